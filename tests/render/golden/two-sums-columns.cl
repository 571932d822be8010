/*
 * r0 = Sum over j of Exp2(-1.4426950408889634*a3*SqDist(x0,y1))*y2
 * r1 = Sum over j of Exp2(-1.4426950408889634*a3*SqDist(x0,y1))
 * o0 = r0*Inv(r1)
 * o1 = r1
 */
#define KCL_REAL_F64
#define KCL_LANES 8
#define KCL_SHAPE KCL_COLUMNS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_STATES 16
#define KCL_TERMS(X) X(SUM, 0, 2, 0) X(SUM, 1, 1, 2)

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a0, \
    __global const real *restrict a1, \
    __global const real *restrict a2, \
    __global const real *restrict a3,
#define KCL_SWEEP_LAUNCH                                                        \
    const real p0 = -0x1.71547652b82fep+0 * a3[0]; /* -1.4426950408889634*a3 */
#define KCL_SWEEP_LANE     \
    lanes y1[3];           \
    KCL_LOAD(y1, a1, 3, 3) \
    lanes y2[2];           \
    KCL_LOAD(y2, a2, 2, 2)
#define KCL_SWEEP_BLOCK                                                    \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */                              \
    FOR_STREAM { s0[v] = 0; }                                              \
    FOR_INDEX(k, 0, 3) {                                                   \
        FOR_STREAM {                                                       \
            const lanes t0 = a0[(j + v) * 3 + k] - y1[k];                  \
            s0[v] = fma(t0, t0, s0[v]);                                    \
        }                                                                  \
    }                                                                      \
    lanes s1[KCL_STREAM]; /* Exp2(-1.4426950408889634*a3*SqDist(x0,y1)) */ \
    FOR_STREAM {                                                           \
        const lanes t1 = kcl_exp2(p0 * s0[v]);                             \
        s1[v] = t1;                                                        \
        KCL_STEP(SUM, 1, base + v, t1)                                     \
    }                                                                      \
    FOR_INDEX(k, 0, 2) {                                                   \
        FOR_STREAM {                                                       \
            KCL_STEP_PRODUCT(SUM, 0, (base + v) * 2 + k, s1[v], y2[k])     \
        }                                                                  \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k, \
    __global real *restrict o1, const long o1_s, const long o1_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT                                  \
    const lanes r0 = kcl_inv(result1[0]); /* Inv(r1) */ \
    KCL_STORE(o1, 0, result1[0])                        \
    FOR_INDEX(k, 0, 2) {                                \
        KCL_STORE(o0, k, result0[k] * r0)               \
    }

