/*
 * r0 = ArgKMin over j of SqDist(x0,y1)
 * o0 = r0
 * o1 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_K0 10
#define KCL_TERMS(X) X(ARGKMIN, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global real *restrict o0, const long o0_s, const long o0_k, \
    __global long *restrict o1, const long o1_s, const long o1_k,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_SWEEP_BLOCK                                   \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */             \
    FOR_STREAM { s0[v] = 0; }                             \
    FOR_INDEX(k, 0, 3) {                                  \
        FOR_STREAM {                                      \
            const lanes t0 = x0[k] - a1[(j + v) * 3 + k]; \
            s0[v] = fma(t0, t0, s0[v]);                   \
        }                                                 \
    }                                                     \
    FOR_STREAM {                                          \
        KCL_STEP(ARGKMIN, 0, 0, s0[v])                    \
    }
#define KCL_SWEEP_OUT                     \
    FOR_INDEX(k, 0, 10) {                 \
        KCL_STORE(o0, k, result0[k])      \
        KCL_STORE_INDEX(o1, k, index0[k]) \
    }

