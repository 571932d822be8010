/* SPDX-License-Identifier: MIT */
/*
 * cl/columns.cl: the sweep of GPUs for very few rows. A work-item keeps the states of KCL_STATES rows, in vectors whose
 * lanes are neighbouring columns; columns are divided among the work-items of a work-group, and among work-groups. The
 * streamed elements are the rows; the generated text is explained in cl/rows.cl.
 */

/* Another row's term comes next: nothing is put off. */
#define KCL_STEP(R, t, n, value) R##_STEP_NOW(t, n, value)
#define KCL_STEP_PRODUCT(R, t, n, a, b) R##_STEP_NOW_PRODUCT(t, n, a, b)
#define KCL_STEP_WHERE(R, t, n, c, a, b) R##_STEP_NOW_WHERE(t, n, c, a, b)

#define KCL_COLUMN(v) ((ilanes)((ireal)(i - first)) + kcl_lane_numbers())
#define KCL_NUMBER_FIRST (first KCL_OF_EACH(cols))
#define KCL_NUMBER_STEP 0
#define KCL_JOIN_WIDTH KCL_GROUP
#define KCL_JOIN_MEMBER item
#define KCL_JOIN_SET 0

/* Rows beyond the last one stand for repetitions of it; their states are not saved. */
#define KCL_ELEMENT(v) min(j + (v), rows - 1)
#define KCL_READ(variable, k) KCL_MEMORY_##variable(k)

__kernel __attribute__((reqd_work_group_size(KCL_GROUP, 1, 1)))
void sweep(KCL_SWEEP_PARAMETERS const long rows, const long cols, const long parts, const long part_length,
           __global real *restrict partial)
{
    __local lanes joined[KCL_JOINED];
    const int item = get_local_id(0), base = 0;
    const long part = get_group_id(1), first = KCL_COLUMN_PART(part) * part_length;
    const long last = min(cols, first + part_length);
    const long lane_count = cols, groups = (rows + KCL_STATES - 1) / KCL_STATES;
    KCL_DECLARE
    KCL_SWEEP_LAUNCH
    for (long group = get_group_id(0); group < groups; group += get_num_groups(0)) {
        const long j = group * KCL_STATES;
        KCL_INIT
        KCL_EACH_BEGIN(KCL_EACH_PART(part))
        KCL_ROWS_BEGIN
        for (long tile = first; tile < last; tile += KCL_TILE * KCL_LANES * KCL_GROUP) {
            const long end = min(last, tile + KCL_TILE * KCL_LANES * KCL_GROUP);
            KCL_TILE_BEGIN
            for (long i = tile + item * KCL_LANES; i < end; i += KCL_LANES * KCL_GROUP) {
                /* Lanes beyond the last column are a tile of their own, so that they can be taken out of it. */
                if (i + KCL_LANES > cols) {
                    KCL_TILE_END
                    KCL_TILE_BEGIN
                }
                KCL_SWEEP_LANE
                KCL_SWEEP_BLOCK
                if (i + KCL_LANES > cols) {
                    KCL_MASK
                }
            }
            KCL_TILE_END
        }
        KCL_ROWS_END
        KCL_EACH_END
        KCL_CLOSE
        KCL_TERMS(KCL_JOIN_STATES)
        _Pragma("unroll") for (int state = 0; state < KCL_STATES; state++)
        {
            const long row = j + state;
            if (item == 0 && row < rows) {
                KCL_TERMS(KCL_SAVE_SUM)
            }
        }
    }
}
