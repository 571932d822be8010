/*
 * o0 = Exp(a1)*x0
 */
#define KCL_REAL_F32
#define KCL_LANES 16

#define KCL_FINISH_PARAMETERS                                     \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global real *restrict o0, const long o0_s, const long o0_k, \
    const long a0_b0,                                             \
    const long a0_b1,                                             \
    const long a1_b1,                                             \
    const long o0_b0,                                             \
    const long o0_b1,                                             \
    const long n0,                                                \
    const long first_batch,
#define KCL_FINISH_LAUNCH                              \
    const long batch = first_batch + KCL_GLOBAL_ID(2); \
    const long b0 = batch % n0, b1 = batch / n0;       \
    a0 += b0 * a0_b0 + b1 * a0_b1;                     \
    a1 += b1 * a1_b1;                                  \
    o0 += b0 * o0_b0 + b1 * o0_b1;                     \
    const real p0 = kcl_exp(a1[0]); /* Exp(a1) */
#define KCL_FINISH_LANE    \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_FINISH_OUT               \
    FOR_INDEX(k, 0, 3) {             \
        KCL_STORE(o0, k, p0 * x0[k]) \
    }

