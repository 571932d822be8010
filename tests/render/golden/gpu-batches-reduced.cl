/*
 * r0 = LogSumExp over i and j of ln(2)*(-1.4426950408889634*a2*SqDist(x0,y1))
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 4
#define KCL_NATIVE
#define KCL_SHAPE KCL_ROWS_BOTH
#define KCL_STREAM 4
#define KCL_TILE 256
#define KCL_GROUP 256
#define KCL_NUMBERS 2
#define KCL_EACH
#define KCL_UNROLLED
#define KCL_RECORD 4
#define KCL_TERMS(X) X(LOGSUMEXP, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS                                                \
    __global const real *restrict a0,                                       \
    __global const real *restrict a1,                                       \
    __global const real *restrict a2,                                       \
    const long a0_b0,                                                       \
    const long a1_b1,                                                       \
    const long a2_b0,                                                       \
    const long a2_b1,                                                       \
    const long first_batch,                                                 \
    const long partial_b,                                                   \
    const long column_parts, const long each_count, const long each_length,
#define KCL_SWEEP_LAUNCH                               \
    const long batch = first_batch + KCL_GLOBAL_ID(2); \
    const long b0 = batch;                             \
    a0 += b0 * a0_b0;                                  \
    a2 += b0 * a2_b0;                                  \
    partial += batch * partial_b;                      \
    __global const real *const all1 = a1;              \
    __global const real *const all2 = a2;
#define KCL_SWEEP_LANE                                                    \
    const long b1 = each;                                                 \
    __global const real *restrict const a1 = all1 + b1 * a1_b1;           \
    __global const real *restrict const a2 = all2 + b1 * a2_b1;           \
    const real p0 = -0x1.715476p+0f * a2[0]; /* -1.4426950408889634*a2 */ \
    lanes x0[3];                                                          \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_MEMORY_1(k) a1[KCL_ELEMENT(v) * 3 + (k)]
#define KCL_LOCAL_1(k) KCL_OF_COLUMN(0 + (k))
#define KCL_SWEEP_FILL    \
    KCL_FILL(0, a1, 3, 3)
#define KCL_SWEEP_BLOCK                              \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */        \
    FOR_STREAM { s0[v] = 0; }                        \
    FOR_INDEX(k, 0, 3) {                             \
        FOR_STREAM {                                 \
            const lanes t0 = x0[k] - KCL_READ(1, k); \
            s0[v] = fma(t0, t0, s0[v]);              \
        }                                            \
    }                                                \
    FOR_STREAM {                                     \
        KCL_STEP_PRODUCT(LOGSUMEXP, 0, 0, p0, s0[v]) \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k, \
    const long o0_b0,                                             \
    const long first_batch,                                       \
    const long partial_b,
#define KCL_FINISH_LAUNCH                              \
    const long batch = first_batch + KCL_GLOBAL_ID(2); \
    const long b0 = batch;                             \
    o0 += b0 * o0_b0;                                  \
    partial += batch * partial_b;
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT           \
    KCL_STORE(o0, 0, result0[0])

