/*
 * r0 = LogSumExp over j of ln(2)*(1.4426950408889634*(y2-SqDist(x0,y1)))
 * o0 = r0
 */
#define KCL_REAL_F64
#define KCL_LANES 4
#define KCL_NATIVE
#define KCL_ONE_BLOCK
#define KCL_SHAPE KCL_ROWS_SPLIT
#define KCL_STREAM 4
#define KCL_TILE 64
#define KCL_GROUP 256
#define KCL_NUMBERS 2
#define KCL_SIDE 16
#define KCL_DIM 100
#define KCL_CHUNK 10
#define KCL_TERMS(X) X(LOGSUMEXP, 0, 1, 0)

#define KCL_SWEEP_PARAMETERS          \
    __global const real *restrict a0, \
    __global const real *restrict a1, \
    __global const real *restrict a2,
#define KCL_SWEEP_LAUNCH
#define KCL_SWEEP_LANE
#define KCL_MEMORY_1(k) a1[KCL_ELEMENT(v) * 100 + (k)]
#define KCL_MEMORY_2(k) a2[KCL_ELEMENT(v) * 1 + (k)]
#define KCL_ROW_OPERANDS(X) X(0, 0, 100)
#define KCL_ROW_OPERAND_COUNT 1
#define KCL_COLUMN_OPERANDS(X) X(0, 1, 100)
#define KCL_COLUMN_OPERAND_COUNT 1
#define KCL_SWEEP_SUMS                        \
    lanes s0[KCL_STREAM]; /* SqDist(x0,y1) */ \
    FOR_STREAM { s0[v] = 0; }
#define KCL_SWEEP_STEP               \
    FOR_STREAM {                     \
        const lanes t0 = x0 - y1[v]; \
        s0[v] = fma(t0, t0, s0[v]);  \
    }
#define KCL_SWEEP_BLOCK                                                                 \
    FOR_STREAM {                                                                        \
        KCL_STEP_PRODUCT(LOGSUMEXP, 0, 0, 0x1.71547652b82fep+0, KCL_READ(2, 0) - s0[v]) \
    }

#define KCL_FINISH_PARAMETERS                                     \
    __global real *restrict o0, const long o0_s, const long o0_k,
#define KCL_FINISH_LAUNCH
#define KCL_FINISH_LANE
#define KCL_FINISH_OUT           \
    KCL_STORE(o0, 0, result0[0])

