/*
 * r0 = Sum over j of Exp2(-1.4426950408889634*Sqrt(a4)*SqDist(Cos(x0),y1))*(Log(x2)*y3+Norm2(x0))
 * o0 = x2*r0
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global const real *restrict a3,                             \
    __global const real *restrict a4,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH                                                                  \
    const real p0 = -0x1.715476p+0f * kcl_sqrt(a4[0]); /* -1.4426950408889634*Sqrt(a4) */
#define KCL_SWEEP_LANE                             \
    lanes x0[3];                                   \
    KCL_LOAD(x0, a0, 3, 3)                         \
    lanes x2[1];                                   \
    KCL_LOAD(x2, a2, 1, 1)                         \
    lanes r0 = 0; /* SqNorm2(x0) */                \
    FOR_INDEX(k, 0, 3) {                           \
        r0 = fma(x0[k], x0[k], r0);                \
    }                                              \
    const lanes r1 = kcl_log(x2[0]); /* Log(x2) */ \
    const lanes r2 = kcl_sqrt(r0); /* Norm2(x0) */ \
    lanes r3[3]; /* Cos(x0) */                     \
    FOR_INDEX(k, 0, 3) {                           \
        r3[k] = kcl_cos(x0[k]);                    \
    }
#define KCL_SWEEP_BLOCK                                                                    \
    lanes s0[KCL_STREAM]; /* SqDist(Cos(x0),y1) */                                         \
    FOR_STREAM { s0[v] = 0; }                                                              \
    FOR_INDEX(k, 0, 3) {                                                                   \
        FOR_STREAM {                                                                       \
            const lanes t0 = r3[k] - a1[(j + v) * 3 + k];                                  \
            s0[v] = fma(t0, t0, s0[v]);                                                    \
        }                                                                                  \
    }                                                                                      \
    FOR_STREAM {                                                                           \
        KCL_STEP_PRODUCT(SUM, 0, 0, kcl_exp2(p0 * s0[v]), fma(r1, (lanes)(a3[j + v]), r2)) \
    }
#define KCL_SWEEP_OUT                    \
    KCL_STORE(o0, 0, x2[0] * result0[0])

