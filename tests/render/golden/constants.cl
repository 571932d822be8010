/*
 * y2 = y1-3, once a launch
 * y3 = 0.001*y1, once a launch
 * r0 = Sum over j of (x0+0.1)*y2+RatCst(-3,7)*Exp2(1.4426950408889634*(x0-y3))-0.375*Sin(12345678*(x0-y1))
 * o0 = r0+1e+300
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 2
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 1, 0)

#define KCL_PREPARE_COLUMNS_PARAMETERS \
    __global const real *restrict a1,  \
    __global real *restrict a2,        \
    __global real *restrict a3,
#define KCL_PREPARE_COLUMNS_LAUNCH
#define KCL_PREPARE_COLUMNS_LANE \
    lanes y1[1];                 \
    KCL_LOAD(y1, a1, 1, 1)
#define KCL_PREPARE_COLUMNS_OUT                                             \
    kcl_scatter(a2, i, lane_count, 1, 0, (lanes)(y1[0] - 3.0f));            \
    kcl_scatter(a3, i, lane_count, 1, 0, (lanes)(0x1.0624dep-10f * y1[0]));

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global const real *restrict a3,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE                                    \
    lanes x0[1];                                          \
    KCL_LOAD(x0, a0, 1, 1)                                \
    const lanes r0 = x0[0] + 0x1.99999ap-4f; /* x0+0.1 */
#define KCL_SWEEP_BLOCK                                                                                               \
    FOR_STREAM {                                                                                                      \
        const lanes t0 = fma((lanes)(-0x1.b6db6ep-2f), kcl_exp2(0x1.715476p+0f * (x0[0] - a3[j + v])), r0 * a2[j + v]); \
        const lanes t1 = fma(-(lanes)(0.375f), kcl_sin(0x1.78c29cp+23f * (x0[0] - a1[j + v])), t0);                   \
        KCL_STEP(SUM, 0, 0, t1)                                                                                       \
    }
#define KCL_SWEEP_OUT                       \
    KCL_STORE(o0, 0, result0[0] + INFINITY)

