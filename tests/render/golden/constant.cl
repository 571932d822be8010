/*
 * o0 = 2.5
 * o1 = Zero(2)
 */
#define KCL_REAL_F32
#define KCL_LANES 16

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k, \
    __global real *restrict o1, const long o1_s, const long o1_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT         \
    KCL_STORE(o0, 0, 2.5f)     \
    FOR_INDEX(k, 0, 2) {       \
        KCL_STORE(o1, k, 0.0f) \
    }

