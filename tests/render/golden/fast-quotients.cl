/*
 * y3 = Inv(y2), once a launch
 * r0 = Sum over j of y2/(1+SqDist(x0,y1))*Exp2(1.4426950408889634*(x0-y1))+y3
 * o0 = RatCst(1,3)*r0
 * with fast elementary functions
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 3, 0)

#define KCL_PREPARE_COLUMNS_PARAMETERS \
    __global const real *restrict a2,  \
    __global real *restrict a3,
#define KCL_PREPARE_COLUMNS_LAUNCH
#define KCL_PREPARE_COLUMNS_LANE \
    lanes y2[1];                 \
    KCL_LOAD(y2, a2, 1, 1)
#define KCL_PREPARE_COLUMNS_OUT                                    \
    kcl_scatter(a3, i, lane_count, 1, 0, (lanes)(kcl_inv(y2[0])));

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global const real *restrict a3,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_SWEEP_BLOCK                                                                                               \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */                                                                         \
    FOR_STREAM { s0[v] = 0; }                                                                                         \
    FOR_INDEX(k, 0, 3) {                                                                                              \
        FOR_STREAM {                                                                                                  \
            const lanes t0 = x0[k] - a1[(j + v) * 3 + k];                                                             \
            s0[v] = fma(t0, t0, s0[v]);                                                                               \
        }                                                                                                             \
    }                                                                                                                 \
    lanes s1[KCL_STREAM]; /* y2/(1+SqDist(x0,y1)) */                                                                  \
    FOR_STREAM {                                                                                                      \
        s1[v] = kcl_divide((lanes)(a2[j + v]), 1.0f + s0[v]);                                                         \
    }                                                                                                                 \
    FOR_INDEX(k, 0, 3) {                                                                                              \
        FOR_STREAM {                                                                                                  \
            const lanes t1 = fma(s1[v], kcl_exp2(0x1.715476p+0f * (x0[k] - a1[(j + v) * 3 + k])), (lanes)(a3[j + v])); \
            KCL_STEP(SUM, 0, k, t1)                                                                                   \
        }                                                                                                             \
    }
#define KCL_SWEEP_OUT                                 \
    FOR_INDEX(k, 0, 3) {                              \
        KCL_STORE(o0, k, 0x1.555556p-2f * result0[k]) \
    }

