/*
 * y3[0] = Sqrt(y1), once a launch
 * y3[1] = y1**2, once a launch
 * y3[2] = Abs(y1), once a launch
 * y3[3] = Sign(y1), once a launch
 * y3[4] = Sqrt(Sin(y1)), once a launch
 * y3[5] = Sin(y1)**2, once a launch
 * y3[6] = Abs(Sin(y1)), once a launch
 * y3[7] = Sign(Sin(y1)), once a launch
 * y3[8] = Sqrt(Cos(y1)), once a launch
 * y3[9] = Cos(y1)**2, once a launch
 * y3[10] = Abs(Cos(y1)), once a launch
 * y3[11] = Sign(Cos(y1)), once a launch
 * y3[12] = Sqrt(Exp(y1)), once a launch
 * y3[13] = Exp(y1)**2, once a launch
 * y3[14] = Abs(Exp(y1)), once a launch
 * y3[15] = Sign(Exp(y1)), once a launch
 * y3[16] = Log(y1), once a launch
 * y4 = Exp(y2), once a launch
 * r0 = Sum over j of Sin(x0*Elem(y3,0))*Cos(x0*Elem(y3,1))*(x0-Elem(y3,2))*(x0-Elem(y3,3))+Sin(x0*Elem(y3,4))*Cos(x0*Elem(y3,5))*(x0-Elem(y3,6))*(x0-Elem(y3,7))+Sin(x0*Elem(y3,8))*Cos(x0*Elem(y3,9))*(x0-Elem(y3,10))*(x0-Elem(y3,11))+Sin(x0*Elem(y3,12))*Cos(x0*Elem(y3,13))*(x0-Elem(y3,14))*(x0-Elem(y3,15))+Sin(x0*Elem(y3,16))+x0*y4
 * o0 = r0
 */
#define KCL_REAL_F32
#define KCL_LANES 16
#define KCL_SHAPE KCL_ROWS
#define KCL_STREAM 1
#define KCL_TILE 128
#define KCL_TERMS(X) X(SUM, 0, 2, 0)

#define KCL_PREPARE_COLUMNS_PARAMETERS \
    __global const real *restrict a1,  \
    __global const real *restrict a2,  \
    __global real *restrict a3,        \
    __global real *restrict a4,
#define KCL_PREPARE_COLUMNS_LAUNCH
#define KCL_PREPARE_COLUMNS_LANE \
    lanes y1[1];                 \
    KCL_LOAD(y1, a1, 1, 1)       \
    lanes y2[2];                 \
    KCL_LOAD(y2, a2, 2, 2)       \
    lanes shared3[17];
#define KCL_PREPARE_COLUMNS_OUT                                        \
    const lanes t0 = kcl_sin(y1[0]);                                   \
    const lanes t1 = kcl_cos(y1[0]);                                   \
    const lanes t2 = kcl_exp(y1[0]);                                   \
    shared3[0] = kcl_sqrt(y1[0]);                                      \
    shared3[1] = kcl_square(y1[0]);                                    \
    shared3[2] = kcl_abs(y1[0]);                                       \
    shared3[3] = kcl_sign(y1[0]);                                      \
    shared3[4] = kcl_sqrt(t0);                                         \
    shared3[5] = kcl_square(t0);                                       \
    shared3[6] = kcl_abs(t0);                                          \
    shared3[7] = kcl_sign(t0);                                         \
    shared3[8] = kcl_sqrt(t1);                                         \
    shared3[9] = kcl_square(t1);                                       \
    shared3[10] = kcl_abs(t1);                                         \
    shared3[11] = kcl_sign(t1);                                        \
    shared3[12] = kcl_sqrt(t2);                                        \
    shared3[13] = kcl_square(t2);                                      \
    shared3[14] = kcl_abs(t2);                                         \
    shared3[15] = kcl_sign(t2);                                        \
    shared3[16] = kcl_log(y1[0]);                                      \
    FOR_INDEX(k, 0, 2) {                                               \
        kcl_scatter(a4, i, lane_count, 2, k, (lanes)(kcl_exp(y2[k]))); \
    }                                                                  \
    FOR_INDEX(k, 0, 17) {                                              \
        kcl_scatter(a3, i, lane_count, 17, k, shared3[k]);             \
    }

#define KCL_SWEEP_PARAMETERS                                      \
    __global const real *restrict a0,                             \
    __global const real *restrict a3,                             \
    __global const real *restrict a4,                             \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE     \
    lanes x0[1];           \
    KCL_LOAD(x0, a0, 1, 1)
#define KCL_SWEEP_BLOCK                                                                                               \
    lanes s0[KCL_STREAM]; /* Sin(x0*Elem(y3,0))*Cos(x0*Elem(y3,1))*(x0-Elem(y3,2))*(x0-Elem(y3,3))+Sin(x0*... */      \
    FOR_STREAM {                                                                                                      \
        const lanes t0 = kcl_sin(x0[0] * a3[(j + v) * 17 + 0]) * kcl_cos(x0[0] * a3[(j + v) * 17 + 1]);               \
        const lanes t1 = kcl_sin(x0[0] * a3[(j + v) * 17 + 4]) * kcl_cos(x0[0] * a3[(j + v) * 17 + 5]);               \
        const lanes t2 = fma(t1 * (x0[0] - a3[(j + v) * 17 + 6]), x0[0] - a3[(j + v) * 17 + 7], t0 * (x0[0] - a3[(j + v) * 17 + 2]) * (x0[0] - a3[(j + v) * 17 + 3])); \
        const lanes t3 = kcl_sin(x0[0] * a3[(j + v) * 17 + 8]) * kcl_cos(x0[0] * a3[(j + v) * 17 + 9]);               \
        const lanes t4 = fma(t3 * (x0[0] - a3[(j + v) * 17 + 10]), x0[0] - a3[(j + v) * 17 + 11], t2);                \
        const lanes t5 = kcl_sin(x0[0] * a3[(j + v) * 17 + 12]) * kcl_cos(x0[0] * a3[(j + v) * 17 + 13]);             \
        const lanes t6 = fma(t5 * (x0[0] - a3[(j + v) * 17 + 14]), x0[0] - a3[(j + v) * 17 + 15], t4);                \
        s0[v] = t6 + kcl_sin(x0[0] * a3[(j + v) * 17 + 16]);                                                          \
    }                                                                                                                 \
    FOR_INDEX(k, 0, 2) {                                                                                              \
        FOR_STREAM {                                                                                                  \
            KCL_STEP(SUM, 0, k, fma(x0[0], (lanes)(a4[(j + v) * 2 + k]), s0[v]))                                      \
        }                                                                                                             \
    }
#define KCL_SWEEP_OUT                \
    FOR_INDEX(k, 0, 2) {             \
        KCL_STORE(o0, k, result0[k]) \
    }

