/*
 * o0 = Norm2(x0)*a2+x1
 * o1 = Sqrt(a2)*Sin(x0)
 */
#define KCL_REAL_F32
#define KCL_LANES 16

#define KCL_FINISH_PARAMETERS                                     \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    const long a1_s,                                              \
    __global const real *restrict a2,                             \
    __global real *restrict o0, const long o0_s, const long o0_k, \
    __global real *restrict o1, const long o1_s, const long o1_k,
#define KCL_FINISH_LAUNCH                           \
    const real p0 = kcl_sqrt(a2[0]); /* Sqrt(a2) */
#define KCL_FINISH_LANE       \
    lanes x0[3];              \
    KCL_LOAD(x0, a0, 3, 3)    \
    lanes x1[1];              \
    KCL_LOAD(x1, a1, a1_s, 1)
#define KCL_FINISH_OUT                                         \
    lanes r0 = 0; /* SqNorm2(x0) */                            \
    FOR_INDEX(k, 0, 3) {                                       \
        r0 = fma(x0[k], x0[k], r0);                            \
    }                                                          \
    KCL_STORE(o0, 0, fma(kcl_sqrt(r0), (lanes)(a2[0]), x1[0])) \
    FOR_INDEX(k, 0, 3) {                                       \
        KCL_STORE(o1, k, p0 * kcl_sin(x0[k]))                  \
    }

