/*
 * r0 = LogSumExp over j of ln(2)*(1.4426950408889634*(y2-SqDist(x0,y1)))
 * o0 = r0
 */
#define KCL_REAL_F64
#define KCL_LANES 8
#define KCL_SHAPE KCL_COLUMNS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_STATES 16
#define KCL_TERMS(X) X(LOGSUMEXP, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a0, \
    __global const real *restrict a1, \
    __global const real *restrict a2,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE     \
    lanes y1[3];           \
    KCL_LOAD(y1, a1, 3, 3) \
    lanes y2[1];           \
    KCL_LOAD(y2, a2, 1, 1)
#define KCL_SWEEP_BLOCK                                                               \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */                                         \
    FOR_STREAM { s0[v] = 0; }                                                         \
    FOR_INDEX(k, 0, 3) {                                                              \
        FOR_STREAM {                                                                  \
            const lanes t0 = a0[(j + v) * 3 + k] - y1[k];                             \
            s0[v] = fma(t0, t0, s0[v]);                                               \
        }                                                                             \
    }                                                                                 \
    FOR_STREAM {                                                                      \
        KCL_STEP_PRODUCT(LOGSUMEXP, 0, base + v, 0x1.71547652b82fep+0, y2[0] - s0[v]) \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT           \
    KCL_STORE(o0, 0, result0[0])

