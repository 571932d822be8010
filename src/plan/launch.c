/* SPDX-License-Identifier: MIT */
/* plan/launch.c: how the kernels of a plan are started. */
#include "planner.h"

enum {
    BATCH_ITEMS = 64,   /* work-items a compute unit of a CPU that batches are spread over */
    LIST_COLUMNS = 256, /* columns of a part for each of the K values of a list: most terms shall not enter the list */
    ROUND = 4           /* work-groups of the rows schedule that share a compute unit */
};

/* Returns the work-items for `blocks`, in whole work-groups. */
static size_t items_for(int64_t blocks, const kp_plan *plan, const kp_caps *caps)
{
    int64_t groups = KB_MAX(1, KB_MIN(blocks_of(blocks, plan->group), caps->max_groups));
    return (size_t)groups * (size_t)plan->group;
}

/*
 * Returns how many parts of the columns leave few compute units idle at the end. Work-groups run in rounds of about
 * ROUND work-groups a compute unit.
 */
static int64_t filling_parts(const kp_plan *plan, const kp_caps *caps, int64_t groups, int64_t cols)
{
    int64_t tiles = blocks_of(cols, plan->tile), round = caps->compute_units, best = 1;
    int64_t least = blocks_of((int64_t)GROUPS * caps->compute_units, KB_MAX(groups, 1)),
            most = KB_MIN(MAX_PARTS, 2 * least);
    double best_fill = 0;
    if (plan->schedule == KP_BY_ROWS && least == 1)
        return 1;
    if (plan->schedule == KP_BY_ROWS)
        round *= ROUND;
    for (int64_t parts = least; parts <= most && parts <= blocks_of(tiles, 4); parts++) {
        int64_t length = blocks_of(tiles, parts), rounds = blocks_of(product(groups, blocks_of(tiles, length)), round);
        double fill = (double)groups * (double)tiles / ((double)rounds * (double)round * (double)length);
        if (fill > best_fill * 1.002) {
            best_fill = fill;
            best = blocks_of(tiles, length);
        }
    }
    return best_fill > 0 ? best : blocks_of(tiles, 4);
}

/*
 * Returns how many parts of the columns a plan wants, before the limits on the memory of all parts. A part has `states`
 * numbers.
 */
static int64_t wanted_parts(const kp_plan *plan, const kp_caps *caps, int64_t groups, int64_t cols, int64_t states)
{
    int64_t list;
    if (kp_keeps_lists(plan->term_count, plan->terms, &list))
        return KB_MIN(blocks_of((int64_t)FEW_BLOCKS * caps->compute_units, KB_MAX(groups, 1)),
                      cols / KB_MAX(product(LIST_COLUMNS, list), PART_COLUMNS));
    int64_t few = blocks_of(cols, PART_COLUMNS);
    if (plan->schedule == KP_BY_LANES) {
        if (plan->shape != KP_ROWS_SPLIT || groups < (int64_t)FEW_BLOCKS * caps->compute_units)
            return few;
        const int64_t parts = kp_cached_parts(kp_column_bytes(plan->var_count, plan->vars, plan->dtype), cols);
        return parts <= MAX_PARTS && product(parts, states) <= STATE_NUMBERS ? parts : 1;
    }
    if (plan->shape == KP_COLUMNS)
        return KB_MIN(few, 2 * (int64_t)caps->compute_units);
    return filling_parts(plan, caps, groups, cols);
}

/*
 * Returns the work-items of a batch; all batches have the same number of blocks. With many batches a work-item of a CPU
 * takes several blocks.
 */
static size_t items_of_batch(int64_t blocks, const kp_plan *plan, const kp_caps *caps, const kp_sizes *sizes)
{
    if (caps->device_class == KP_CPU && sizes->batches > 1)
        blocks = KB_MIN(blocks, blocks_of((int64_t)BATCH_ITEMS * caps->compute_units, sizes->batches));
    return items_for(blocks, plan, caps);
}

void kp_launch_batches(const kp_plan *plan, const kp_caps *caps, const kp_sizes *sizes, kp_launch *launch)
{
    const int64_t rows = sizes->rows, cols = sizes->cols, batches = KB_MAX(sizes->batches, 1);
    int64_t row_blocks = blocks_of(rows, plan->lanes), col_blocks = blocks_of(cols, plan->lanes), state = 0;
    for (size_t k = 0; k < plan->term_count; k++)
        state += kp_state_dim(plan, k);
    *launch = (kp_launch){.parts = 1, .part_length = cols, .each_parts = 1, .each_length = sizes->each};
    for (size_t k = plan->var_count - plan->prepared_vars; k < plan->var_count; k++) {
        bool of_rows = plan->vars[k].role == KF_ROLE_I;
        int64_t elements = product(plan->vars[k].dim, of_rows ? rows : cols);
        launch->prepare_items[of_rows ? 0 : 1] = items_of_batch(of_rows ? row_blocks : col_blocks, plan, caps, sizes);
        launch->prepared_elements = KB_MIN(elements, INT64_MAX - launch->prepared_elements) + launch->prepared_elements;
    }
    int64_t side = plan->schedule == KP_BY_CONTRACTION ? plan->tile / plan->stream : plan->group;
    int64_t groups = blocks_of(row_blocks, side);
    int64_t states = product(product(plan->shape == KP_ROWS_BOTH ? 1 : rows, state), batches);
    int64_t numbers = caps->device_class == KP_CPU ? STATE_NUMBERS : 4 * (int64_t)STATE_NUMBERS;
    int64_t most = KB_MIN(MAX_PARTS, KB_MAX(1, numbers / KB_MAX(1, states)));
    int64_t wanted = KB_MAX(KB_MIN(most, KB_MAX(1, wanted_parts(plan, caps, product(groups, batches), cols, states))),
                            blocks_of(cols, LONGEST_PART));
    switch (plan->shape) {
    case KP_MAP:
        launch->finish_items = items_of_batch(row_blocks, plan, caps, sizes);
        return;
    case KP_ROWS:
        launch->sweep_items[0] = items_of_batch(row_blocks, plan, caps, sizes);
        launch->sweep_items[1] = 1;
        return;
    case KP_ROWS_SPLIT:
        launch->sweep_items[0] = items_of_batch(product(groups, plan->group), plan, caps, sizes);
        /* Parts are whole tiles, so that a split sum has the tiles of an undivided sum. */
        launch->part_length = blocks_of(blocks_of(cols, wanted), plan->tile) * plan->tile;
        break;
    case KP_COLUMNS:
        launch->sweep_items[0] = items_for(product(blocks_of(rows, plan->stream), plan->group), plan, caps);
        launch->part_length = blocks_of(col_blocks, wanted) * plan->lanes;
        break;
    default:
        launch->parts = KB_MAX(1, KB_MIN(most, groups));
        launch->sweep_items[0] = (size_t)launch->parts * (size_t)plan->group;
        launch->finish_items = (size_t)plan->group;
        break;
    }
    if (plan->shape != KP_ROWS_BOTH) {
        launch->parts = KB_MAX(1, blocks_of(cols, KB_MAX(1, launch->part_length)));
        launch->finish_items = items_of_batch(row_blocks, plan, caps, sizes);
    }
    /* Reduced batches are divided if rows and columns leave compute units idle. */
    int64_t busy = product(product(groups, batches), plan->shape == KP_ROWS_BOTH ? 1 : launch->parts);
    int64_t idle = blocks_of((int64_t)GROUPS * caps->compute_units, KB_MAX(1, busy));
    int64_t each = KB_MAX(1, KB_MIN(KB_MIN(idle, most / launch->parts), sizes->each));
    launch->each_length = blocks_of(sizes->each, each);
    launch->each_parts = KB_MAX(1, blocks_of(sizes->each, KB_MAX(1, launch->each_length)));
    launch->sweep_items[1] = (size_t)(plan->shape == KP_ROWS_BOTH ? 1 : launch->parts) * (size_t)launch->each_parts;
    launch->parts *= launch->each_parts;
    launch->partial_elements = product(launch->parts, states);
}

void kp_launch_for(const kp_plan *plan, const kp_caps *caps, int64_t rows, int64_t cols, kp_launch *launch)
{
    kp_launch_batches(plan, caps, &(kp_sizes){rows, cols, 1, 1}, launch);
}
