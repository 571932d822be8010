/*
 * y5 = y1-a3, once a launch
 * y6 = RatCst(1,2)*SqDist(y1,a3), once a launch
 * r0 = ArgMin over j of RatCst(1,2)*SqDist(x0,a3)+y6-(x0-a3|y5)+Abs(RatCst(1,2)*SqDist(x0,a3)+y6-(x0-a3|y5))
 * o0 = r0
 * o1 = x2
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS_SPLIT
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(CANDIDATES, 0, 1, 0)
#define KCL_DEFERRED
#define KCL_MARGIN(k) a4[k]

#define KCL_PREPARE_COLUMNS_PARAMETERS \
    __global const real *restrict a1,  \
    __global const real *restrict a3,  \
    __global real *restrict a5,        \
    __global real *restrict a6,
#define KCL_PREPARE_COLUMNS_LAUNCH
#define KCL_PREPARE_COLUMNS_LANE \
    lanes y1[100];               \
    KCL_LOAD(y1, a1, 100, 100)
#define KCL_PREPARE_COLUMNS_OUT                                         \
    lanes r0 = 0; /* SqDist(y1,a3) */                                   \
    FOR_INDEX(k, 0, 100) {                                              \
        const lanes t0 = y1[k] - a3[k];                                 \
        r0 = fma(t0, t0, r0);                                           \
    }                                                                   \
    kcl_scatter(a6, i, lane_count, 1, 0, (lanes)(0.5f * r0));           \
    FOR_INDEX(k, 0, 100) {                                              \
        kcl_scatter(a5, i, lane_count, 100, k, (lanes)(y1[k] - a3[k])); \
    }

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a0, \
    __global const real *restrict a3, \
    __global const real *restrict a5, \
    __global const real *restrict a6,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE                                          \
    lanes x0[100];                                              \
    KCL_LOAD(x0, a0, 100, 100)                                  \
    lanes r0 = 0; /* SqDist(x0,a3) */                           \
    FOR_INDEX(k, 0, 100) {                                      \
        const lanes t0 = x0[k] - a3[k];                         \
        r0 = fma(t0, t0, r0);                                   \
    }                                                           \
    const lanes r1 = 0.5f * r0; /* RatCst(1,2)*SqDist(x0,a3) */ \
    lanes r2[100]; /* x0-a3 */                                  \
    FOR_INDEX(k, 0, 100) {                                      \
        r2[k] = x0[k] - a3[k];                                  \
    }
#define KCL_SWEEP_BLOCK                                                \
    lanes s0[KCL_STREAM]; /* x0-a3|y5 */                               \
    FOR_STREAM { s0[v] = 0; }                                          \
    FOR_INDEX(k, 0, 100) {                                             \
        FOR_STREAM {                                                   \
            s0[v] = fma(r2[k], (lanes)(a5[(j + v) * 100 + k]), s0[v]); \
        }                                                              \
    }                                                                  \
    FOR_STREAM {                                                       \
        const lanes t1 = r1 + a6[j + v] - s0[v];                       \
        KCL_STEP(CANDIDATES, 0, 0, t1 + kcl_abs(t1))                   \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global const real *restrict a4,                             \
    __global long *restrict o0, const long o0_s, const long o0_k, \
    __global real *restrict o1, const long o1_s, const long o1_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE        \
    lanes x0[100];             \
    KCL_LOAD(x0, a0, 100, 100) \
    lanes x2[1];               \
    KCL_LOAD(x2, a2, 1, 1)
#define KCL_FINISH_BLOCK                                    \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */               \
    FOR_STREAM { s0[v] = 0; }                               \
    FOR_INDEX(k, 0, 100) {                                  \
        FOR_STREAM {                                        \
            const lanes t0 = x0[k] - a1[(j + v) * 100 + k]; \
            s0[v] = fma(t0, t0, s0[v]);                     \
        }                                                   \
    }                                                       \
    FOR_STREAM {                                            \
        KCL_STEP(CANDIDATES, 0, 0, s0[v])                   \
    }
#define KCL_FINISH_OUT                \
    KCL_STORE_INDEX(o0, 0, index0[0]) \
    KCL_STORE(o1, 0, x2[0])

