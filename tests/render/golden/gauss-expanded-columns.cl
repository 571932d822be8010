/*
 * x5 = x0-a4, once a launch
 * x6 = RatCst(1,2)*SqDist(x0,a4), once a launch
 * r0 = Sum over j of Exp2(-1.4426950408889634*a3*(x6+RatCst(1,2)*SqDist(y1,a4)-(x5|y1-a4)+Abs(x6+RatCst(1,2)*SqDist(y1,a4)-(x5|y1-a4))))*y2
 * o0 = r0
 */
#define KCL_REAL_F64
#define KCL_LANES 8
#define KCL_SHAPE KCL_COLUMNS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_STATES 16
#define KCL_TERMS(X) X(SUM, 0, 1, 0)

#define KCL_PREPARE_ROWS_PARAMETERS   \
    __global const real *restrict a0, \
    __global const real *restrict a4, \
    __global real *restrict a5,       \
    __global real *restrict a6,
#define KCL_PREPARE_ROWS_LAUNCH
#define KCL_PREPARE_ROWS_LANE  \
    lanes x0[100];             \
    KCL_LOAD(x0, a0, 100, 100)
#define KCL_PREPARE_ROWS_OUT                                            \
    lanes r0 = 0; /* SqDist(x0,a4) */                                   \
    FOR_INDEX(k, 0, 100) {                                              \
        const lanes t0 = x0[k] - a4[k];                                 \
        r0 = fma(t0, t0, r0);                                           \
    }                                                                   \
    kcl_scatter(a6, i, lane_count, 1, 0, (lanes)(0.5 * r0));            \
    FOR_INDEX(k, 0, 100) {                                              \
        kcl_scatter(a5, i, lane_count, 100, k, (lanes)(x0[k] - a4[k])); \
    }

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a1, \
    __global const real *restrict a2, \
    __global const real *restrict a3, \
    __global const real *restrict a4, \
    __global const real *restrict a5, \
    __global const real *restrict a6,
#define KCL_SWEEP_LAUNCH                                                        \
    const real p0 = -0x1.71547652b82fep+0 * a3[0]; /* -1.4426950408889634*a3 */
#define KCL_SWEEP_LANE                                         \
    lanes y1[100];                                             \
    KCL_LOAD(y1, a1, 100, 100)                                 \
    lanes y2[1];                                               \
    KCL_LOAD(y2, a2, 1, 1)                                     \
    lanes r0 = 0; /* SqDist(y1,a4) */                          \
    FOR_INDEX(k, 0, 100) {                                     \
        const lanes t0 = y1[k] - a4[k];                        \
        r0 = fma(t0, t0, r0);                                  \
    }                                                          \
    const lanes r1 = 0.5 * r0; /* RatCst(1,2)*SqDist(y1,a4) */ \
    lanes r2[100]; /* y1-a4 */                                 \
    FOR_INDEX(k, 0, 100) {                                     \
        r2[k] = y1[k] - a4[k];                                 \
    }
#define KCL_SWEEP_BLOCK                                                              \
    lanes s0[KCL_STREAM]; /* x5|y1-a4 */                                             \
    FOR_STREAM { s0[v] = 0; }                                                        \
    FOR_INDEX(k, 0, 100) {                                                           \
        FOR_STREAM {                                                                 \
            s0[v] = fma((lanes)(a5[(j + v) * 100 + k]), r2[k], s0[v]);               \
        }                                                                            \
    }                                                                                \
    FOR_STREAM {                                                                     \
        const lanes t1 = a6[j + v] + r1 - s0[v];                                     \
        KCL_STEP_PRODUCT(SUM, 0, base + v, kcl_exp2(p0 * (t1 + kcl_abs(t1))), y2[0]) \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT           \
    KCL_STORE(o0, 0, result0[0])

