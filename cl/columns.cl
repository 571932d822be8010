/* SPDX-License-Identifier: MIT */
/*
 * cl/columns.cl: the sweep for very few rows. A work-item keeps the states of KCL_STATES rows, in vectors whose lanes are
 * neighbouring columns; columns are divided among the work-items of a work-group, and among work-groups. The streamed
 * elements are the rows; the generated text is explained in cl/lanes.cl and, for GPUs, in cl/rows.cl.
 */

/* Another row's term comes next: nothing is put off. */
#define KCL_FORM(step, now, rescan) now

#define KCL_COLUMN(v) ((ilanes)((ireal)(i - first)) + kcl_lane_numbers())
#define KCL_NUMBER_FIRST (first KCL_OF_EACH(cols))
#define KCL_NUMBER_STEP 0

#ifdef KCL_GROUP
#define KCL_ITEMS KCL_GROUP
#define KCL_WORKER(axis) get_group_id(axis)
#define KCL_GROUPS get_num_groups(0)
#define KCL_JOIN_WIDTH KCL_GROUP
#define KCL_JOIN_MEMBER item
#define KCL_JOIN_SET 0
/* Rows beyond the last one stand for repetitions of it; their states are not saved. */
#define KCL_ELEMENT(v) min(j + (v), rows - 1)
#define KCL_READ(variable, k) KCL_MEMORY_##variable(k)
#define KCL_SAVES(row) (item == 0 && (row) < rows)
#else
#define KCL_SAVES(row) true
#define KCL_ITEMS 1
#define KCL_WORKER(axis) KCL_GLOBAL_ID(axis)
#define KCL_GROUPS KCL_GLOBAL_SIZE
#endif

KCL_KERNEL KCL_GROUP_SIZE
void KCL_NAME(sweep)(KCL_SWEEP_PARAMETERS const long rows, const long cols, const long parts, const long part_length,
                     const long first_part, __global real *restrict partial KCL_PLACES)
{
#ifdef KCL_GROUP
    __local lanes joined[KCL_JOINED];
    const int item = get_local_id(0);
#endif
    const long part = KCL_FROM(first_part, KCL_WORKER(1)), first = KCL_COLUMN_PART(part) * part_length;
    const long last = min(cols, first + part_length);
    const long lane_count = cols, groups = (rows + KCL_STATES - 1) / KCL_STATES;
    KCL_DECLARE
    KCL_SWEEP_LAUNCH
    FOR_BLOCKS(group, KCL_WORKER(0), groups, KCL_GROUPS) {
        const long group_first = group * KCL_STATES;
#ifndef KCL_GROUP
        const long group_rows = min((long)KCL_STATES, rows - group_first);
#endif
        KCL_INIT
        KCL_EACH_BEGIN(KCL_EACH_PART(part))
        KCL_ROWS_BEGIN
        for (long tile = first; tile < last; tile += KCL_TILE * KCL_LANES * KCL_ITEMS) {
            const long end = min(last, tile + KCL_TILE * KCL_LANES * KCL_ITEMS);
            KCL_TILE_BEGIN
            for (long i = tile + KCL_ITEM * KCL_LANES; i < end; i += KCL_LANES * KCL_ITEMS) {
                /* Lanes beyond the last column are a tile of their own, so that they can be taken out of it. */
                if (i + KCL_LANES > cols) {
                    KCL_TILE_END
                    KCL_TILE_BEGIN
                }
                KCL_SWEEP_LANE
#ifdef KCL_GROUP
                const long j = group_first;
                const int base = 0;
                KCL_SWEEP_BLOCK
#else
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
#endif
                if (i + KCL_LANES > cols) {
                    KCL_MASK
                }
            }
            KCL_TILE_END
        }
        KCL_ROWS_END
        KCL_EACH_END
        KCL_CLOSE
#ifdef KCL_GROUP
        KCL_TERMS(KCL_JOIN_STATES)
        _Pragma("unroll") for (int state = 0; state < KCL_STATES; state++)
#else
        for (long state = 0; state < group_rows; state++)
#endif
        {
            const long row = group_first + state;
            if (KCL_SAVES(row)) {
                KCL_TERMS(KCL_SAVE_SUM)
            }
        }
    }
}
