/*
 * r0 = Sum over j of Exp2(-1.4426950408889634*a3*SqDist(x0,y1))*y2
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 4
#define KCL_NATIVE
#define KCL_ONE_BLOCK
#define KCL_SHAPE KCL_ROWS_SPLIT
#define KCL_STREAM 8
#define KCL_TILE 256
#define KCL_GROUP 256
#define KCL_NUMBERS 1
#define KCL_UNROLLED
#define KCL_RECORD 4
#define KCL_TERMS(X) X(SUM, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a0, \
    const long a0_s,                  \
    __global const real *restrict a1, \
    const long a1_s,                  \
    __global const real *restrict a2, \
    __global const real *restrict a3,
#define KCL_SWEEP_LAUNCH                                                  \
    const real p0 = -0x1.715476p+0f * a3[0]; /* -1.4426950408889634*a3 */
#define KCL_SWEEP_LANE        \
    lanes x0[3];              \
    KCL_LOAD(x0, a0, a0_s, 3)
#define KCL_MEMORY_1(k) a1[KCL_ELEMENT(v) * a1_s + (k)]
#define KCL_LOCAL_1(k) KCL_OF_COLUMN(0 + (k))
#define KCL_MEMORY_2(k) a2[KCL_ELEMENT(v) * 1 + (k)]
#define KCL_LOCAL_2(k) KCL_OF_COLUMN(3 + (k))
#define KCL_SWEEP_FILL       \
    KCL_FILL(0, a1, a1_s, 3) \
    KCL_FILL(3, a2, 1, 1)
#define KCL_SWEEP_BLOCK                                                   \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */                             \
    FOR_STREAM { s0[v] = 0; }                                             \
    FOR_INDEX(k, 0, 3) {                                                  \
        FOR_STREAM {                                                      \
            const lanes t0 = x0[k] - KCL_READ(1, k);                      \
            s0[v] = fma(t0, t0, s0[v]);                                   \
        }                                                                 \
    }                                                                     \
    FOR_STREAM {                                                          \
        KCL_STEP_PRODUCT(SUM, 0, 0, kcl_exp2(p0 * s0[v]), KCL_READ(2, 0)) \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT           \
    KCL_STORE(o0, 0, result0[0])

