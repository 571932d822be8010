/*
 * r0 = Sum over j of (Abs(x0)+1)**y1*(x0-y1)**3+Sin(x0*y1)*Cos(x0-y1)*Log(1+(x0-y1)**2)+Sign(y1-x2)*Inv(Sqrt(x0**2+1))
 * o0 = Rsqrt(r0)
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 1
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 2, 0)

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE                                               \
    lanes x0[2];                                                     \
    KCL_LOAD(x0, a0, 2, 2)                                           \
    lanes x2[1];                                                     \
    KCL_LOAD(x2, a2, 1, 1)                                           \
    lanes r0[2]; /* Abs(x0)+1 */                                     \
    lanes r1[2]; /* Inv(Sqrt(x0**2+1)) */                            \
    FOR_INDEX(k, 0, 2) {                                             \
        r0[k] = kcl_abs(x0[k]) + 1.0f;                               \
        r1[k] = kcl_inv(kcl_sqrt(fma(x0[k], x0[k], (lanes)(1.0f)))); \
    }
#define KCL_SWEEP_BLOCK                                                                                               \
    FOR_INDEX(k, 0, 2) {                                                                                              \
        FOR_STREAM {                                                                                                  \
            const lanes t0 = x0[k] - a1[(j + v) * 2 + k];                                                             \
            const lanes t1 = kcl_sin(x0[k] * a1[(j + v) * 2 + k]) * kcl_cos(t0) * kcl_log(fma(t0, t0, (lanes)(1.0f))); \
            const lanes t2 = fma(kcl_sign(a1[(j + v) * 2 + k] - x2[0]), r1[k], fma(kcl_powf(r0[k], (lanes)(a1[(j + v) * 2 + k])), kcl_powi(t0, 3), t1)); \
            KCL_STEP(SUM, 0, k, t2)                                                                                   \
        }                                                                                                             \
    }
#define KCL_SWEEP_OUT                           \
    FOR_INDEX(k, 0, 2) {                        \
        KCL_STORE(o0, k, kcl_rsqrt(result0[k])) \
    }

