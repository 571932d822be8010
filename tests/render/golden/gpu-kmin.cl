/*
 * r0 = ArgKMin over j of SqDist(x0,y1)
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 1
#define KCL_NATIVE
#define KCL_ONE_BLOCK
#define KCL_SHAPE KCL_ROWS_SPLIT
#define KCL_STREAM 4
#define KCL_TILE 256
#define KCL_GROUP 256
#define KCL_NUMBERS 3
#define KCL_UNROLLED
#define KCL_RECORD 4
#define KCL_K0 10
#define KCL_SHORT_LISTS
#define KCL_TERMS(X) X(ARGKMIN, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a0, \
    __global const real *restrict a1,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_MEMORY_1(k) a1[KCL_ELEMENT(v) * 3 + (k)]
#define KCL_LOCAL_1(k) KCL_OF_COLUMN(0 + (k))
#define KCL_SWEEP_FILL    \
    KCL_FILL(0, a1, 3, 3)
#define KCL_SWEEP_BLOCK                              \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */        \
    FOR_STREAM { s0[v] = 0; }                        \
    FOR_INDEX(k, 0, 3) {                             \
        FOR_STREAM {                                 \
            const lanes t0 = x0[k] - KCL_READ(1, k); \
            s0[v] = fma(t0, t0, s0[v]);              \
        }                                            \
    }                                                \
    FOR_STREAM {                                     \
        KCL_STEP(ARGKMIN, 0, 0, s0[v])               \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global long *restrict o0, const long o0_s, const long o0_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT                    \
    FOR_INDEX(k, 0, 10) {                 \
        KCL_STORE_INDEX(o0, k, index0[k]) \
    }

