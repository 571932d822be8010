/*
 * r0 = Sum over j of Norm2(Norm2(x0-y1)*x0+y1)*Norm2(x0*y1)
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 8
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_SWEEP_BLOCK                                                       \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */                                 \
    FOR_STREAM { s0[v] = 0; }                                                 \
    lanes s1[KCL_STREAM]; /* SqNorm2(x0*y1) */                                \
    FOR_STREAM { s1[v] = 0; }                                                 \
    FOR_INDEX(k, 0, 3) {                                                      \
        FOR_STREAM {                                                          \
            const lanes t0 = x0[k] - a1[(j + v) * 3 + k];                     \
            const lanes t1 = x0[k] * a1[(j + v) * 3 + k];                     \
            s0[v] = fma(t0, t0, s0[v]);                                       \
            s1[v] = fma(t1, t1, s1[v]);                                       \
        }                                                                     \
    }                                                                         \
    lanes s2[KCL_STREAM]; /* Norm2(x0-y1) */                                  \
    FOR_STREAM {                                                              \
        s2[v] = kcl_sqrt(s0[v]);                                              \
    }                                                                         \
    lanes s3[KCL_STREAM]; /* SqNorm2(Norm2(x0-y1)*x0+y1) */                   \
    FOR_STREAM { s3[v] = 0; }                                                 \
    FOR_INDEX(k, 0, 3) {                                                      \
        FOR_STREAM {                                                          \
            const lanes t2 = fma(s2[v], x0[k], (lanes)(a1[(j + v) * 3 + k])); \
            s3[v] = fma(t2, t2, s3[v]);                                       \
        }                                                                     \
    }                                                                         \
    FOR_STREAM {                                                              \
        KCL_STEP_PRODUCT(SUM, 0, 0, kcl_sqrt(s3[v]), kcl_sqrt(s1[v]))         \
    }
#define KCL_SWEEP_OUT            \
    KCL_STORE(o0, 0, result0[0])

