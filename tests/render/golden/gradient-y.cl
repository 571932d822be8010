/*
 * r0 = Sum over j of y4*Exp2(-1.4426950408889634*a3*SqDist(y1,x0))*(y1-x0)
 * o0 = 2*a3*x2*r0
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 3, 0)

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global const real *restrict a3,                             \
    __global const real *restrict a4,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH                                                  \
    const real p0 = -0x1.715476p+0f * a3[0]; /* -1.4426950408889634*a3 */ \
    const real p1 = 2.0f * a3[0]; /* 2*a3 */
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3) \
    lanes x2[1];           \
    KCL_LOAD(x2, a2, 1, 1)
#define KCL_SWEEP_BLOCK                                                       \
    lanes s0[KCL_STREAM]; /* SqDist(y1,x0) */                                 \
    FOR_STREAM { s0[v] = 0; }                                                 \
    FOR_INDEX(k, 0, 3) {                                                      \
        FOR_STREAM {                                                          \
            const lanes t0 = a1[(j + v) * 3 + k] - x0[k];                     \
            s0[v] = fma(t0, t0, s0[v]);                                       \
        }                                                                     \
    }                                                                         \
    lanes s1[KCL_STREAM]; /* y4*Exp2(-1.4426950408889634*a3*SqDist(y1,x0)) */ \
    FOR_STREAM {                                                              \
        s1[v] = a4[j + v] * kcl_exp2(p0 * s0[v]);                             \
    }                                                                         \
    FOR_INDEX(k, 0, 3) {                                                      \
        FOR_STREAM {                                                          \
            KCL_STEP_PRODUCT(SUM, 0, k, s1[v], a1[(j + v) * 3 + k] - x0[k])   \
        }                                                                     \
    }
#define KCL_SWEEP_OUT                          \
    const lanes r0 = p1 * x2[0]; /* 2*a3*x2 */ \
    FOR_INDEX(k, 0, 3) {                       \
        KCL_STORE(o0, k, r0 * result0[k])      \
    }

