/*
 * y4 = a2+Norm2(a2)*y1, once a launch
 * r0 = Sum over j of Exp2(-1.4426950408889634*(a2|(x0-y1)**2))*y4
 * o0 = r0+a3*a2
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 3, 0)

#define KCL_PREPARE_COLUMNS_PARAMETERS \
    __global const real *restrict a1,  \
    __global const real *restrict a2,  \
    __global real *restrict a4,
#define KCL_PREPARE_COLUMNS_LAUNCH                \
    real p0 = 0; /* SqNorm2(a2) */                \
    FOR_INDEX(k, 0, 3) {                          \
        p0 = fma(a2[k], a2[k], p0);               \
    }                                             \
    const real p1 = kcl_sqrt(p0); /* Norm2(a2) */
#define KCL_PREPARE_COLUMNS_LANE \
    lanes y1[3];                 \
    KCL_LOAD(y1, a1, 3, 3)
#define KCL_PREPARE_COLUMNS_OUT                                                                 \
    FOR_INDEX(k, 0, 3) {                                                                        \
        kcl_scatter(a4, i, lane_count, 3, k, (lanes)(fma((lanes)(p1), y1[k], (lanes)(a2[k])))); \
    }

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global const real *restrict a3,                             \
    __global const real *restrict a4,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH       \
    real p0[3]; /* a3*a2 */    \
    FOR_INDEX(k, 0, 3) {       \
        p0[k] = a3[0] * a2[k]; \
    }
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_SWEEP_BLOCK                                                   \
    lanes s0[KCL_STREAM]; /* a2|(x0-y1)**2 */                             \
    FOR_STREAM { s0[v] = 0; }                                             \
    FOR_INDEX(k, 0, 3) {                                                  \
        FOR_STREAM {                                                      \
            const lanes t0 = x0[k] - a1[(j + v) * 3 + k];                 \
            s0[v] = fma((lanes)(a2[k]), kcl_square(t0), s0[v]);           \
        }                                                                 \
    }                                                                     \
    lanes s1[KCL_STREAM]; /* Exp2(-1.4426950408889634*(a2|(x0-y1)**2)) */ \
    FOR_STREAM {                                                          \
        s1[v] = kcl_exp2(-0x1.715476p+0f * s0[v]);                        \
    }                                                                     \
    FOR_INDEX(k, 0, 3) {                                                  \
        FOR_STREAM {                                                      \
            KCL_STEP_PRODUCT(SUM, 0, k, s1[v], a4[(j + v) * 3 + k])       \
        }                                                                 \
    }
#define KCL_SWEEP_OUT                        \
    FOR_INDEX(k, 0, 3) {                     \
        KCL_STORE(o0, k, result0[k] + p0[k]) \
    }

