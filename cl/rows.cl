/* SPDX-License-Identifier: MIT */
/*
 * cl/rows.cl: the sweep of GPUs. A work-item keeps KCL_LANES rows in registers; the columns pass through local memory,
 * KCL_TILE at a time, where a column is KCL_RECORD numbers: its variables one after another. KCL_RECORD 0: columns are
 * too long for that and are read where they are.
 *
 * The generated text in front defines, for sum_j exp(-g |x_i - y_j|^2) b_j, beside what cl/lanes.cl explains
 * (cl/sweep.cl is the loop):
 *
 *     #define KCL_GROUP 256                          work-items of a work-group
 *     #define KCL_MEMORY_1(k) a1[KCL_ELEMENT(v) * 3 + (k)]         component k of column j + v of variable 1
 *     #define KCL_LOCAL_1(k) KCL_OF_COLUMN(0 + (k))  the same in local memory, where it is number 0 + k of column c + v
 *     #define KCL_SWEEP_FILL KCL_FILL(0, a1, 3, 3)   once per tile: first number, memory, distance of rows, dimension
 */

#define KCL_ELEMENT(v) (j + (v))
#if KCL_RECORD
#define KCL_READ(variable, k) KCL_LOCAL_##variable(k)
/*
 * Number n of column c + v. Loops over components are written out, so n & 3 is a constant: 16 bytes are loaded by one
 * statement. Compilers make the same loads of statements for single numbers, but they compare the address of each statement
 * with all others again and again, which was up to half of their time.
 */
#if (defined KCL_UNROLLED || defined KCL_ROLLED) && KCL_RECORD % 4 == 0
#ifdef KCL_REAL_F64
KCL_FN real kcl_of_column(__local const real *column, int n)
{
    const double2 two = ((__local const double2 *)column)[n / 2];
    return n & 1 ? two.y : two.x;
}
#else
KCL_FN real kcl_of_column(__local const real *column, int n)
{
    const float4 four = ((__local const float4 *)column)[n / 4];
    return n & 2 ? (n & 1 ? four.w : four.z) : (n & 1 ? four.y : four.x);
}
#endif
#define KCL_OF_COLUMN(n) kcl_of_column(tile + (c + v) * KCL_RECORD, n)
#else
#define KCL_OF_COLUMN(n) tile[(c + v) * KCL_RECORD + (n)]
#endif
#define KCL_FILL_(offset, from, stride, dim)                                                                           \
    for (uint e = (uint)item; e < (uint)(count * (dim)); e += KCL_GROUP)                                               \
        tile[e / (dim) * KCL_RECORD + (offset) + e % (dim)] =                                                          \
            ((from) + start * (stride))[e / (dim) * (stride) + e % (dim)];
/*
 * A short loop is left as it is, for compilers write its text several times. Where the dimension divides the work-group, a
 * work-item copies the same component of every column that it copies, in a loop of known length: places behind the last
 * column are filled with repetitions of the last column.
 */
#define KCL_FILL(offset, from, stride, dim)                                                                            \
    if (KCL_TILE * (dim) <= 4 * KCL_GROUP) {                                                                           \
        _Pragma("unroll 1") KCL_FILL_(offset, from, stride, dim)                                                       \
    } else if (KCL_GROUP % (dim) == 0) {                                                                               \
        const uint component = (uint)item % (dim), last_column = count - 1;                                            \
        _Pragma("unroll 4") for (uint f = 0; f < KCL_TILE * (dim) / KCL_GROUP; f++)                                    \
        {                                                                                                              \
            const uint column = f * (KCL_GROUP / (dim)) + (uint)item / (dim);                                          \
            tile[column * KCL_RECORD + (offset) + component] =                                                         \
                ((from) + start * (stride))[min(column, last_column) * (stride) + component];                          \
        }                                                                                                              \
    } else {                                                                                                           \
        KCL_FILL_(offset, from, stride, dim)                                                                           \
    }
#else
#define KCL_READ(variable, k) KCL_MEMORY_##variable(k)
#endif

#define KCL_JOIN_WIDTH KCL_GROUP
#define KCL_JOIN_MEMBER item
#define KCL_JOIN_SET 0

#define KCL_WORKER(axis) get_group_id(axis)
#define KCL_BLOCK_ROWS (KCL_LANES * KCL_GROUP)
/* Work-items beyond the last row work on repetitions of it and store nothing. */
#define KCL_ROW_OF(block) (((block) * KCL_GROUP + item) * KCL_LANES)
#if KCL_RECORD
#define KCL_BEGIN_SWEEP                                                                                                \
    __local real tile[KCL_TILE * KCL_RECORD] __attribute__((aligned(16)));                                             \
    const int item = get_local_id(0);
#else
#define KCL_BEGIN_SWEEP const int item = get_local_id(0);
#endif
#define KCL_PLACE int
#if KCL_RECORD
#define KCL_BEGIN_TILE                                                                                                 \
    const int from = 0, to = (int)min((long)KCL_TILE, last - start), count = to;                                       \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                                      \
    KCL_SWEEP_FILL                                                                                                     \
    barrier(CLK_LOCAL_MEM_FENCE);
#else
#define KCL_BEGIN_TILE const int from = 0, to = (int)min((long)KCL_TILE, last - start);
#endif
#define KCL_COLUMN_AT(c) start + (c)

/* In front of a loop that compilers would write out several times, for the columns beside the blocks. */
#define KCL_KEEP_LOOP _Pragma("unroll 1")

#include "sweep.cl"
