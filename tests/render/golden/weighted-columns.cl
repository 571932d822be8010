/*
 * r0 = ExpSums over j of Concat(-1.4426950408889634*SqDist(x0,y1),y2), the first component times ln(2)
 * o0 = Extract(r0,2,2)*Inv(Elem(r0,1))
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_COLUMNS
#define KCL_STREAM 16
#define KCL_TILE 128
#define KCL_STATES 16
#define KCL_TERMS(X) X(EXPSUMS, 0, 3, 0)

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a0, \
    __global const real *restrict a1, \
    __global const real *restrict a2,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE     \
    lanes y1[3];           \
    KCL_LOAD(y1, a1, 3, 3) \
    lanes y2[2];           \
    KCL_LOAD(y2, a2, 2, 2)
#define KCL_SWEEP_BLOCK                                           \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */                     \
    FOR_STREAM { s0[v] = 0; }                                     \
    FOR_INDEX(k, 0, 3) {                                          \
        FOR_STREAM {                                              \
            const lanes t0 = a0[(j + v) * 3 + k] - y1[k];         \
            s0[v] = fma(t0, t0, s0[v]);                           \
        }                                                         \
    }                                                             \
    lanes s1[KCL_STREAM]; /* -1.4426950408889634*SqDist(x0,y1) */ \
    FOR_STREAM {                                                  \
        s1[v] = -0x1.715476p+0f * s0[v];                          \
    }                                                             \
    { const int k = 0;                                            \
        FOR_STREAM {                                              \
            KCL_STEP(EXPSUMS, 0, (base + v) * 3 + k, s1[v])       \
        }                                                         \
    }                                                             \
    FOR_INDEX(k, 1, 3) {                                          \
        FOR_STREAM {                                              \
            KCL_STEP(EXPSUMS, 0, (base + v) * 3 + k, y2[k - 1])   \
        }                                                         \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT                                          \
    const lanes r0 = kcl_inv(result0[1]); /* Inv(Elem(r0,1)) */ \
    FOR_INDEX(k, 0, 2) {                                        \
        KCL_STORE(o0, k, result0[k + 2] * r0)                   \
    }

