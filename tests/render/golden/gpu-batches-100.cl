/*
 * y3 = Sqrt(y1), once a launch
 * r0 = LogSumExp over j of ln(2)*(1.4426950408889634*(y2-SqDist(x0,y3)))
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 8
#define KCL_NATIVE
#define KCL_ONE_BLOCK
#define KCL_SHAPE KCL_ROWS_SPLIT
#define KCL_STREAM 8
#define KCL_TILE 128
#define KCL_GROUP 256
#define KCL_NUMBERS 2
#define KCL_EACH
#define KCL_SIDE 16
#define KCL_DIM 100
#define KCL_CHUNK 10
#define KCL_TERMS(X) X(LOGSUMEXP, 0, 1, 0)

#define KCL_PREPARE_COLUMNS_PARAMETERS \
    __global const real *restrict a1,  \
    __global real *restrict a3,        \
    const long a1_b0,                  \
    const long a1_b1,                  \
    const long a3_b0,                  \
    const long a3_b1,                  \
    const long n0,                     \
    const long first_batch,
#define KCL_PREPARE_COLUMNS_LAUNCH                     \
    const long batch = first_batch + KCL_GLOBAL_ID(2); \
    const long b0 = batch % n0, b1 = batch / n0;       \
    a1 += b0 * a1_b0 + b1 * a1_b1;                     \
    a3 += b0 * a3_b0 + b1 * a3_b1;
#define KCL_PREPARE_COLUMNS_LANE
#define KCL_PREPARE_COLUMNS_OUT                                        \
    FOR_INDEX(k, 0, 100) {                                             \
        const lanes t0 = kcl_gather(a1, i, lane_count, 100, k);        \
        kcl_scatter(a3, i, lane_count, 100, k, (lanes)(kcl_sqrt(t0))); \
    }

#define KCL_SWEEP_PARAMETERS                                                \
    __global const real *restrict a0,                                       \
    __global const real *restrict a2,                                       \
    __global const real *restrict a3,                                       \
    const long a2_b0,                                                       \
    const long a2_b1,                                                       \
    const long a3_b0,                                                       \
    const long a3_b1,                                                       \
    const long first_batch,                                                 \
    const long partial_b,                                                   \
    const long column_parts, const long each_count, const long each_length,
#define KCL_SWEEP_LAUNCH                               \
    const long batch = first_batch + KCL_GLOBAL_ID(2); \
    const long b0 = batch;                             \
    a2 += b0 * a2_b0;                                  \
    a3 += b0 * a3_b0;                                  \
    partial += batch * partial_b;                      \
    __global const real *const all2 = a2;              \
    __global const real *const all3 = a3;
#define KCL_SWEEP_LANE                                          \
    const long b1 = each;                                       \
    __global const real *restrict const a2 = all2 + b1 * a2_b1; \
    __global const real *restrict const a3 = all3 + b1 * a3_b1;
#define KCL_MEMORY_2(k) a2[KCL_ELEMENT(v) * 1 + (k)]
#define KCL_MEMORY_3(k) a3[KCL_ELEMENT(v) * 100 + (k)]
#define KCL_ROW_OPERANDS(X) X(0, 0, 100)
#define KCL_ROW_OPERAND_COUNT 1
#define KCL_COLUMN_OPERANDS(X) X(0, 3, 100)
#define KCL_COLUMN_OPERAND_COUNT 1
#define KCL_SWEEP_SUMS                        \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y3) */ \
    FOR_STREAM { s0[v] = 0; }
#define KCL_SWEEP_STEP               \
    FOR_STREAM {                     \
        const lanes t0 = x0 - y3[v]; \
        s0[v] = fma(t0, t0, s0[v]);  \
    }
#define KCL_SWEEP_BLOCK                                                           \
    FOR_STREAM {                                                                  \
        KCL_STEP_PRODUCT(LOGSUMEXP, 0, 0, 0x1.715476p+0f, KCL_READ(2, 0) - s0[v]) \
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

