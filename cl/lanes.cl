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
 * and KCL_DEFERRED where steps of all parts are looked at again by the kernel "finish" (cl/map.cl). cl/sweep.cl is the
 * loop; cl/columns.cl has the shape of very few rows.
 */

#define KCL_WORKER(axis) KCL_GLOBAL_ID(axis)
#define KCL_BLOCK_ROWS KCL_LANES
#define KCL_ROW_OF(block) ((block) * KCL_LANES)
#define KCL_BEGIN_SWEEP
#define KCL_PLACE long
#define KCL_BEGIN_TILE const long from = start, to = min(last, start + KCL_TILE);
#define KCL_COLUMN_AT(c) c
#if KCL_STREAM > 1
#define KCL_RESCAN_BLOCKS
#endif

/* In front of a loop that compilers would write out several times, for the columns beside the blocks. */
#define KCL_KEEP_LOOP

#include "sweep.cl"
