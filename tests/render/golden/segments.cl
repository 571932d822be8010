/*
 * r0 = Sum over j of Elem(x0-y1,1)*Concat(Elem(x0,0)*y2,Concat(Extract(x0-y1,1,2),ExtractT(Elem(y1,2)*x0,1,5)))
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 8, 0)

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a1,                             \
    __global const real *restrict a2,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE     \
    lanes x0[3];           \
    KCL_LOAD(x0, a0, 3, 3)
#define KCL_SWEEP_BLOCK                                                         \
    lanes s0[KCL_STREAM]; /* Elem(x0-y1,1) */                                   \
    lanes s1[KCL_STREAM]; /* Elem(x0,0)*y2 */                                   \
    FOR_STREAM {                                                                \
        s0[v] = x0[1] - a1[(j + v) * 3 + 1];                                    \
        s1[v] = x0[0] * a2[j + v];                                              \
    }                                                                           \
    { const int k = 0;                                                          \
        FOR_STREAM {                                                            \
            KCL_STEP_PRODUCT(SUM, 0, k, s0[v], s1[v])                           \
        }                                                                       \
    }                                                                           \
    FOR_INDEX(k, 1, 3) {                                                        \
        FOR_STREAM {                                                            \
            KCL_STEP_PRODUCT(SUM, 0, k, s0[v], x0[k] - a1[(j + v) * 3 + k])     \
        }                                                                       \
    }                                                                           \
    { const int k = 3;                                                          \
        FOR_STREAM {                                                            \
            KCL_STEP_PRODUCT(SUM, 0, k, s0[v], 0.0f)                            \
        }                                                                       \
    }                                                                           \
    FOR_INDEX(k, 4, 7) {                                                        \
        FOR_STREAM {                                                            \
            KCL_STEP_PRODUCT(SUM, 0, k, s0[v], a1[(j + v) * 3 + 2] * x0[k - 4]) \
        }                                                                       \
    }                                                                           \
    { const int k = 7;                                                          \
        FOR_STREAM {                                                            \
            KCL_STEP_PRODUCT(SUM, 0, k, s0[v], 0.0f)                            \
        }                                                                       \
    }
#define KCL_SWEEP_OUT                \
    FOR_INDEX(k, 0, 8) {             \
        KCL_STORE(o0, k, result0[k]) \
    }

