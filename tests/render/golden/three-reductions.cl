/*
 * r0 = Sum over j of Exp2(-1.4426950408889634*a3*SqDist(x0,y1))*y2
 * r1 = LogSumExp over j of ln(2)*(-1.4426950408889634*a3*SqDist(x0,y1))
 * r2 = ArgMin over j of SqDist(x0,y1)
 * o0 = r0*Inv(Exp(r1))
 * o1 = r2
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 2, 0) X(LOGSUMEXP, 1, 1, 2) X(ARGMIN, 2, 1, 4)

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global const real *restrict a3,                             \
    __global real *restrict o0, const long o0_s, const long o0_k, \
    __global long *restrict o1, const long o1_s, const long o1_k,
#define KCL_SWEEP_LAUNCH                                                  \
    const real p0 = -0x1.715476p+0f * a3[0]; /* -1.4426950408889634*a3 */
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_SWEEP_BLOCK                                                    \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */                              \
    FOR_STREAM { s0[v] = 0; }                                              \
    FOR_INDEX(k, 0, 3) {                                                   \
        FOR_STREAM {                                                       \
            const lanes t0 = x0[k] - a1[(j + v) * 3 + k];                  \
            s0[v] = fma(t0, t0, s0[v]);                                    \
        }                                                                  \
    }                                                                      \
    lanes s1[KCL_STREAM]; /* Exp2(-1.4426950408889634*a3*SqDist(x0,y1)) */ \
    FOR_STREAM {                                                           \
        const lanes t1 = p0 * s0[v];                                       \
        s1[v] = kcl_exp2(t1);                                              \
        KCL_STEP(LOGSUMEXP, 1, 0, t1)                                      \
        KCL_STEP(ARGMIN, 2, 0, s0[v])                                      \
    }                                                                      \
    FOR_INDEX(k, 0, 2) {                                                   \
        FOR_STREAM {                                                       \
            KCL_STEP_PRODUCT(SUM, 0, k, s1[v], a2[(j + v) * 2 + k])        \
        }                                                                  \
    }
#define KCL_SWEEP_OUT                                                 \
    const lanes r0 = kcl_inv(kcl_exp(result1[0])); /* Inv(Exp(r1)) */ \
    KCL_STORE_INDEX(o1, 0, index2[0])                                 \
    FOR_INDEX(k, 0, 2) {                                              \
        KCL_STORE(o0, k, result0[k] * r0)                             \
    }

