/*
 * r0 = Sum over j of Exp2(-1.4426950408889634*a4*SqDist(x0,y2))*(y3+x1)
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    const long a0_s,                                              \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global const real *restrict a3,                             \
    __global const real *restrict a4,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH                                                  \
    const real p0 = -0x1.715476p+0f * a4[0]; /* -1.4426950408889634*a4 */
#define KCL_SWEEP_LANE     \
    lanes x1[1];           \
    KCL_LOAD(x1, a1, 1, 1)
#define KCL_SWEEP_BLOCK                                                      \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y2) */                                \
    FOR_STREAM { s0[v] = 0; }                                                \
    FOR_INDEX(k, 0, 100) {                                                   \
        const lanes t0 = kcl_gather(a0, i, lane_count, a0_s, k);             \
        FOR_STREAM {                                                         \
            const lanes t1 = t0 - a2[(j + v) * 100 + k];                     \
            s0[v] = fma(t1, t1, s0[v]);                                      \
        }                                                                    \
    }                                                                        \
    FOR_STREAM {                                                             \
        KCL_STEP_PRODUCT(SUM, 0, 0, kcl_exp2(p0 * s0[v]), a3[j + v] + x1[0]) \
    }
#define KCL_SWEEP_OUT            \
    KCL_STORE(o0, 0, result0[0])

