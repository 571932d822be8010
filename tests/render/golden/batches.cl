/*
 * y4 = Sqrt(y2), once a launch
 * r0 = Sum over j of Exp2(-1.4426950408889634*a3*SqDist(x0,y1))*y4
 * o0 = r0*a3
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 1, 0)

#define KCL_PREPARE_COLUMNS_PARAMETERS \
    __global const real *restrict a2,  \
    __global real *restrict a4,
#define KCL_PREPARE_COLUMNS_LAUNCH
#define KCL_PREPARE_COLUMNS_LANE \
    lanes y2[1];                 \
    KCL_LOAD(y2, a2, 1, 1)
#define KCL_PREPARE_COLUMNS_OUT                                     \
    kcl_scatter(a4, i, lane_count, 1, 0, (lanes)(kcl_sqrt(y2[0])));

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a3,                             \
    __global const real *restrict a4,                             \
    __global real *restrict o0, const long o0_s, const long o0_k, \
    const long a0_b0,                                             \
    const long a0_b1,                                             \
    const long a1_b1,                                             \
    const long a3_b0,                                             \
    const long o0_b0,                                             \
    const long o0_b1,                                             \
    const long n0,                                                \
    const long first_batch,
#define KCL_SWEEP_LAUNCH                                                  \
    const long batch = first_batch + KCL_GLOBAL_ID(2);                    \
    const long b0 = batch % n0, b1 = batch / n0;                          \
    a0 += b0 * a0_b0 + b1 * a0_b1;                                        \
    a1 += b1 * a1_b1;                                                     \
    a3 += b0 * a3_b0;                                                     \
    o0 += b0 * o0_b0 + b1 * o0_b1;                                        \
    const real p0 = -0x1.715476p+0f * a3[0]; /* -1.4426950408889634*a3 */
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_SWEEP_BLOCK                                              \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */                        \
    FOR_STREAM { s0[v] = 0; }                                        \
    FOR_INDEX(k, 0, 3) {                                             \
        FOR_STREAM {                                                 \
            const lanes t0 = x0[k] - a1[(j + v) * 3 + k];            \
            s0[v] = fma(t0, t0, s0[v]);                              \
        }                                                            \
    }                                                                \
    FOR_STREAM {                                                     \
        KCL_STEP_PRODUCT(SUM, 0, 0, kcl_exp2(p0 * s0[v]), a4[j + v]) \
    }
#define KCL_SWEEP_OUT                    \
    KCL_STORE(o0, 0, result0[0] * a3[0])

