/*
 * r0 = Sum over j of Exp2(-1.4426950408889634*a3*SqDist(x0,y1))*y2
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 1
#define KCL_NATIVE
#define KCL_ONE_BLOCK
#define KCL_SHAPE KCL_COLUMNS
#define KCL_STREAM 4
#define KCL_TILE 128
#define KCL_STATES 4
#define KCL_GROUP 256
#define KCL_NUMBERS 1
#define KCL_UNROLLED
#define KCL_TERMS(X) X(SUM, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a0, \
    __global const real *restrict a1, \
    __global const real *restrict a2, \
    __global const real *restrict a3,
#define KCL_SWEEP_LAUNCH                                                  \
    const real p0 = -0x1.715476p+0f * a3[0]; /* -1.4426950408889634*a3 */
#define KCL_SWEEP_LANE     \
    lanes y1[3];           \
    KCL_LOAD(y1, a1, 3, 3) \
    lanes y2[1];           \
    KCL_LOAD(y2, a2, 1, 1)
#define KCL_MEMORY_0(k) a0[KCL_ELEMENT(v) * 3 + (k)]
#define KCL_SWEEP_BLOCK                                                 \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */                           \
    FOR_STREAM { s0[v] = 0; }                                           \
    FOR_INDEX(k, 0, 3) {                                                \
        FOR_STREAM {                                                    \
            const lanes t0 = KCL_READ(0, k) - y1[k];                    \
            s0[v] = fma(t0, t0, s0[v]);                                 \
        }                                                               \
    }                                                                   \
    FOR_STREAM {                                                        \
        KCL_STEP_PRODUCT(SUM, 0, base + v, kcl_exp2(p0 * s0[v]), y2[0]) \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT           \
    KCL_STORE(o0, 0, result0[0])

