/* SPDX-License-Identifier: MIT */
/*
 * cl/rows.cl: the sweep of GPUs. A work-item keeps KCL_LANES rows in registers; the columns pass through local memory,
 * KCL_TILE at a time, where a column is KCL_RECORD numbers: its variables one after another. KCL_RECORD 0: columns are
 * too long for that and are read where they are.
 *
 * The generated text in front defines, for sum_j exp(-g |x_i - y_j|^2) b_j, beside what cl/lanes.cl explains:
 *
 *     #define KCL_GROUP 256                          work-items of a work-group
 *     #define KCL_MEMORY_1(k) a1[KCL_ELEMENT(v) * 3 + (k)]         component k of column j + v of variable 1
 *     #define KCL_LOCAL_1(k) tile[(c + v) * KCL_RECORD + 0 + (k)]  the same in local memory, where it is c + v
 *     #define KCL_SWEEP_FILL KCL_FILL(0, a1, 3, 3)   once per tile: first number, memory, distance of rows, dimension
 */

#define KCL_COLUMN(v) ((ilanes)((ireal)(j + (v)-first)))
#if KCL_SHAPE == KCL_ROWS_BOTH
#define KCL_NUMBER_FIRST ((i KCL_OF_EACH(rows)) * cols)
#define KCL_NUMBER_STEP cols
#else
#define KCL_NUMBER_FIRST (first KCL_OF_EACH(cols))
#define KCL_NUMBER_STEP 0
#endif

#define KCL_ELEMENT(v) (j + (v))
#if KCL_RECORD
#define KCL_READ(variable, k) KCL_LOCAL_##variable(k)
#define KCL_FILL(offset, from, stride, dim)                                                                            \
    for (int e = item; e < count * (dim); e += KCL_GROUP)                                                              \
        tile[e / (dim) * KCL_RECORD + (offset) + e % (dim)] = (from)[(start + e / (dim)) * (stride) + e % (dim)];
#else
#define KCL_READ(variable, k) KCL_MEMORY_##variable(k)
#endif

#define KCL_JOIN_WIDTH KCL_GROUP
#define KCL_JOIN_MEMBER item
#define KCL_JOIN_SET 0

/* KCL_STREAM and what generated text does with a term, KCL_STEP, change within the kernel: a step of many columns or one. */
enum { KCL_BLOCK_COLUMNS = KCL_STREAM };
#if KCL_STREAM > 1
#define KCL_BLOCKS
#endif

__kernel __attribute__((reqd_work_group_size(KCL_GROUP, 1, 1)))
void sweep(KCL_SWEEP_PARAMETERS const long rows, const long cols
#if KCL_SHAPE != KCL_ROWS
           , const long parts, const long part_length, __global real *restrict partial
#endif
)
{
#if KCL_RECORD
    __local real tile[KCL_TILE * KCL_RECORD] __attribute__((aligned(16)));
#endif
#if KCL_SHAPE == KCL_ROWS_BOTH
    __local lanes joined[KCL_JOINED];
#endif
    const int item = get_local_id(0);
    const long lane_count = rows, groups = (rows + KCL_LANES * KCL_GROUP - 1) / (KCL_LANES * KCL_GROUP);
#if KCL_SHAPE == KCL_ROWS_SPLIT
    const long part = get_group_id(1), first = KCL_COLUMN_PART(part) * part_length;
    const long last = min(cols, first + part_length);
#else
    const long first = 0, last = cols;
#endif
    KCL_DECLARE
    KCL_SWEEP_LAUNCH
#if KCL_SHAPE == KCL_ROWS_BOTH
    KCL_INIT
#endif
    for (long group = get_group_id(0); group < groups; group += get_num_groups(0)) {
        /* Work-items beyond the last row work on repetitions of it and store nothing. */
        const long i = (group * KCL_GROUP + item) * KCL_LANES;
#if KCL_SHAPE != KCL_ROWS_BOTH
        KCL_INIT
        KCL_EACH_BEGIN(KCL_EACH_PART(part))
#else
        KCL_EACH_BEGIN(get_group_id(1))
#endif
        KCL_SWEEP_LANE
        KCL_ROWS_BEGIN
        for (long start = first; start < last; start += KCL_TILE) {
            const int count = (int)min((long)KCL_TILE, last - start);
#if KCL_RECORD
            barrier(CLK_LOCAL_MEM_FENCE);
            KCL_SWEEP_FILL
            barrier(CLK_LOCAL_MEM_FENCE);
#endif
            KCL_TILE_BEGIN
#if KCL_RESCANS & KCL_RESCAN_TILES
            /* Columns that are looked at first: a step of them, and all where that was not enough. */
            int look = (0 KCL_LOOKS) ? min(count, KCL_BLOCK_COLUMNS) : 0;
            for (bool again = false;; again = true) {
                if (look) {
                    KCL_LOOK_BEGIN
#undef KCL_STEP
#undef KCL_STEP_PRODUCT
#undef KCL_STEP_WHERE
#undef KCL_STREAM
#define KCL_STEP(R, t, n, value) R##_RESCAN_STEP(t, n, value)
#define KCL_STEP_PRODUCT(R, t, n, a, b) R##_RESCAN_STEP_PRODUCT(t, n, a, b)
#define KCL_STEP_WHERE(R, t, n, c, a, b) R##_RESCAN_STEP_WHERE(t, n, c, a, b)
#define KCL_STREAM 1
                    for (int c = 0; c < look; c++) {
                        const long j = start + c;
                        KCL_SWEEP_BLOCK
                    }
                    KCL_LOOK_END
                }
#endif
#undef KCL_STEP
#undef KCL_STEP_PRODUCT
#undef KCL_STEP_WHERE
#undef KCL_STREAM
#define KCL_STEP(R, t, n, value) R##_STEP(t, n, value)
#define KCL_STEP_PRODUCT(R, t, n, a, b) R##_STEP_PRODUCT(t, n, a, b)
#define KCL_STEP_WHERE(R, t, n, c, a, b) R##_STEP_WHERE(t, n, c, a, b)
#define KCL_STREAM KCL_BLOCK_COLUMNS
                int c = 0;
#ifdef KCL_BLOCKS
                for (; c + KCL_BLOCK_COLUMNS <= count; c += KCL_BLOCK_COLUMNS) {
                    const long j = start + c;
                    KCL_BLOCK_BEGIN
                    KCL_SWEEP_BLOCK
                    KCL_BLOCK_END
                }
#endif
#undef KCL_STREAM
#define KCL_STREAM 1
                for (; c < count; c++) {
                    const long j = start + c;
                    KCL_BLOCK_BEGIN
                    KCL_SWEEP_BLOCK
                    KCL_BLOCK_END
                }
#if KCL_SHAPE == KCL_ROWS_BOTH
                if (i + KCL_LANES > rows) {
                    KCL_MASK
                }
#endif
#if KCL_RESCANS & KCL_RESCAN_TILES
                if (again || !(0 KCL_TILE_FAILS))
                    break;
                look = count;
            }
#endif
            KCL_TILE_END
        }
#undef KCL_READ
#define KCL_READ(variable, k) KCL_MEMORY_##variable(k)
#if KCL_RESCANS & KCL_RESCAN_STEPS
        KCL_FIND
#define KCL_RESCAN_BLOCK KCL_SWEEP_BLOCK
#define KCL_RESCAN_STREAM KCL_BLOCK_COLUMNS
#include "rescan.cl"
#endif
        KCL_ROWS_END
        KCL_EACH_END
#if KCL_SHAPE != KCL_ROWS_BOTH
        KCL_CLOSE
#endif
#if KCL_SHAPE == KCL_ROWS
        KCL_RESULT
        KCL_SWEEP_OUT
#elif KCL_SHAPE == KCL_ROWS_SPLIT
        KCL_TERMS(KCL_SAVE_LANES)
#endif
    }
#if KCL_SHAPE == KCL_ROWS_BOTH
    KCL_CLOSE
    KCL_TERMS(KCL_JOIN_STATES)
    const long part = KCL_ALL_PARTS(get_group_id(0)), row = 0, state = 0;
    if (item == 0) {
#define rows 1
        KCL_TERMS(KCL_SAVE_SUM)
#undef rows
    }
#endif
}
