/* SPDX-License-Identifier: MIT */
/*
 * cl/lanes.cl: the sweep of CPUs. One axis runs over the lanes of a vector, the other is streamed past them KCL_STREAM
 * elements a step; a work-group has one work-item.
 *
 * The generated text in front defines, for sum_j exp(-g |x_i - y_j|^2) b_j (lanes over rows):
 *
 *     #define KCL_SHAPE KCL_ROWS                    which axes, how states are merged
 *     #define KCL_STREAM 16                         columns a step
 *     #define KCL_TILE 128                          columns a block of blocked summation
 *     #define KCL_TERMS(X) X(SUM, 0, 1, 0)          reduction, number, dimension, dimensions before it
 *     #define KCL_SWEEP_PARAMETERS __global const real *restrict a0, ...
 *     #define KCL_SWEEP_LAUNCH const real p0 = ...; what is computed once a launch
 *     #define KCL_SWEEP_LANE   lanes x0[3]; ...     once per vector of rows
 *     #define KCL_SWEEP_BLOCK  ...                  once per vector of rows and KCL_STREAM columns
 *     #define KCL_SWEEP_OUT    KCL_STORE(o0, 0, result0[0])   from results, once per vector of rows
 *
 * and KCL_DEFERRED where steps of all parts are looked at again by the kernel "finish" (cl/map.cl).
 */

#if KCL_SHAPE != KCL_COLUMNS

#define KCL_COLUMN(v) ((ilanes)((ireal)(j + (v)-first)))
#if KCL_SHAPE == KCL_ROWS_BOTH
#define KCL_NUMBER_FIRST ((i KCL_OF_EACH(rows)) * cols)
#define KCL_NUMBER_STEP cols
#else
#define KCL_NUMBER_FIRST (first KCL_OF_EACH(cols))
#define KCL_NUMBER_STEP 0
#endif

/* KCL_STREAM and what generated text does with a term, KCL_STEP, change within the kernel: a step of many columns or one. */
enum { KCL_BLOCK_COLUMNS = KCL_STREAM };
#if KCL_STREAM > 1
#define KCL_BLOCKS
#endif

__kernel void sweep(KCL_SWEEP_PARAMETERS const long rows, const long cols
#if KCL_SHAPE != KCL_ROWS
                    , const long parts, const long part_length, __global real *restrict partial
#endif
)
{
    const long lane_count = rows, blocks = (rows + KCL_LANES - 1) / KCL_LANES;
#if KCL_SHAPE == KCL_ROWS_SPLIT
    const long part = get_global_id(1), first = KCL_COLUMN_PART(part) * part_length;
    const long last = min(cols, first + part_length);
#else
    const long first = 0, last = cols;
#endif
    KCL_DECLARE
    KCL_SWEEP_LAUNCH
#if KCL_SHAPE == KCL_ROWS_BOTH
    KCL_INIT
#endif
    for (long block = get_global_id(0); block < blocks; block += get_global_size(0)) {
        const long i = block * KCL_LANES;
#if KCL_SHAPE != KCL_ROWS_BOTH
        KCL_INIT
        KCL_EACH_BEGIN(KCL_EACH_PART(part))
#else
        KCL_EACH_BEGIN(get_group_id(1))
#endif
        KCL_SWEEP_LANE
        KCL_ROWS_BEGIN
        for (long tile = first; tile < last; tile += KCL_TILE) {
            const long end = min(last, tile + KCL_TILE);
            KCL_TILE_BEGIN
#if KCL_RESCANS & KCL_RESCAN_TILES
            /* Columns that are looked at first: a step of them, and all where that was not enough. */
            long look = (0 KCL_LOOKS) ? min(end, tile + KCL_BLOCK_COLUMNS) : tile;
            for (bool again = false;; again = true) {
                if (look > tile) {
                    KCL_LOOK_BEGIN
#undef KCL_STEP
#undef KCL_STEP_PRODUCT
#undef KCL_STEP_WHERE
#define KCL_STEP(R, t, n, value) R##_RESCAN_STEP(t, n, value)
#define KCL_STEP_PRODUCT(R, t, n, a, b) R##_RESCAN_STEP_PRODUCT(t, n, a, b)
#define KCL_STEP_WHERE(R, t, n, c, a, b) R##_RESCAN_STEP_WHERE(t, n, c, a, b)
#undef KCL_STREAM
#define KCL_STREAM 1
                    for (long j = tile; j < look; j++) {
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
                long j = tile;
#ifdef KCL_BLOCKS
                for (; j + KCL_BLOCK_COLUMNS <= end; j += KCL_BLOCK_COLUMNS) {
                    KCL_BLOCK_BEGIN
                    KCL_SWEEP_BLOCK
                    KCL_BLOCK_END
                }
#endif
#undef KCL_STREAM
#define KCL_STREAM 1
                for (; j < end; j++) {
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
                look = end;
            }
#endif
            KCL_TILE_END
        }
#if (KCL_RESCANS & KCL_RESCAN_STEPS) && !defined KCL_DEFERRED
        KCL_FIND
#define KCL_RESCAN_BLOCK KCL_SWEEP_BLOCK
#define KCL_RESCAN_STREAM KCL_BLOCK_COLUMNS
#ifdef KCL_BLOCKS
#define KCL_RESCAN_BLOCKS
#endif
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
    const long part = KCL_ALL_PARTS(get_global_id(0)), row = 0, state = 0;
#define rows 1
    KCL_TERMS(KCL_SAVE_SUM)
#undef rows
#endif
}

#else

/* Another row's term comes next: nothing is put off. */
#define KCL_STEP(R, t, n, value) R##_STEP_NOW(t, n, value)
#define KCL_STEP_PRODUCT(R, t, n, a, b) R##_STEP_NOW_PRODUCT(t, n, a, b)
#define KCL_STEP_WHERE(R, t, n, c, a, b) R##_STEP_NOW_WHERE(t, n, c, a, b)

#define KCL_COLUMN(v) ((ilanes)((ireal)(i - first)) + kcl_lane_numbers())
#define KCL_NUMBER_FIRST (first KCL_OF_EACH(cols))
#define KCL_NUMBER_STEP 0

__kernel void sweep(KCL_SWEEP_PARAMETERS const long rows, const long cols, const long parts, const long part_length,
                    __global real *restrict partial)
{
    const long part = get_global_id(1), first = KCL_COLUMN_PART(part) * part_length;
    const long last = min(cols, first + part_length);
    const long lane_count = cols, groups = (rows + KCL_STREAM - 1) / KCL_STREAM;
    KCL_DECLARE
    KCL_SWEEP_LAUNCH
    for (long group = get_global_id(0); group < groups; group += get_global_size(0)) {
        const long group_rows = min((long)KCL_STREAM, rows - group * KCL_STREAM), group_first = group * KCL_STREAM;
        KCL_INIT
        KCL_EACH_BEGIN(KCL_EACH_PART(part))
        KCL_ROWS_BEGIN
        for (long tile = first; tile < last; tile += KCL_TILE * KCL_LANES) {
            const long end = min(last, tile + KCL_TILE * KCL_LANES);
            KCL_TILE_BEGIN
            for (long i = tile; i < end; i += KCL_LANES) {
                /* Lanes beyond the last column are a tile of their own, so that they can be taken out of it. */
                if (i + KCL_LANES > cols) {
                    KCL_TILE_END
                    KCL_TILE_BEGIN
                }
                KCL_SWEEP_LANE
                long base = 0;
#if KCL_STREAM > 1
                if (group_rows == KCL_STREAM) {
                    const long j = group_first;
                    KCL_SWEEP_BLOCK
                    base = KCL_STREAM;
                }
#endif
#undef KCL_STREAM
#define KCL_STREAM 1
                for (; base < group_rows; base++) {
                    const long j = group_first + base;
                    KCL_SWEEP_BLOCK
                }
#undef KCL_STREAM
#define KCL_STREAM KCL_STATES
                if (i + KCL_LANES > cols) {
                    KCL_MASK
                }
            }
            KCL_TILE_END
        }
        KCL_ROWS_END
        KCL_EACH_END
        KCL_CLOSE
        for (long state = 0; state < group_rows; state++) {
            const long row = group_first + state;
            KCL_TERMS(KCL_SAVE_SUM)
        }
    }
}

#endif
