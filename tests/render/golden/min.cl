/*
 * r0 = Min over j of x0*y1
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS_SPLIT
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(MIN, 0, 3, 0)

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a0, \
    __global const real *restrict a1,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_SWEEP_BLOCK                                             \
    FOR_INDEX(k, 0, 3) {                                            \
        FOR_STREAM {                                                \
            KCL_STEP_PRODUCT(MIN, 0, k, x0[k], a1[(j + v) * 3 + k]) \
        }                                                           \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT               \
    FOR_INDEX(k, 0, 3) {             \
        KCL_STORE(o0, k, result0[k]) \
    }

