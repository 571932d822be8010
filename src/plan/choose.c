/* SPDX-License-Identifier: MIT */
/* plan/choose.c: schedule and shape, by rule or by name. */
#include "planner.h"

enum {
    CACHED_BYTES = 1 << 19,   /* bytes of streamed variables that stay in a core's cache while all rows pass */
    SMALL_GROUP = 32,         /* work-items of a GPU's work-group where batches have few rows, at least */
    DIVIDED_STATES = 1 << 26, /* numbers of the states of all rows, up to which columns are divided in any case */
    FEW_ROWS = 16,            /* rows up to which columns run over the lanes of a GPU */
    FIVE_STATES = 5,          /* rows whose states a work-item keeps while columns pass, if the states are small */
    FOUR_STATES = 4,          /* rows whose states a work-item keeps while columns pass, if the states are larger */
    FEW_NUMBERS = 2,          /* numbers of a small state of a row, at most */
    CONTRACTED = 48           /* components of vectors from which on GPUs take the contraction schedule */
};

static const kp_caps cpu_profile = {
    .device_class = KP_CPU,
    .lanes_f32 = 16,
    .lanes_f64 = 8,
    .vector_registers = 32,
    .compute_units = 8,
    .max_work_group = 4096,
    .local_memory = 256 << 10,
    .private_memory = 1 << 20,
    .max_groups = 65535,
    .has_f64 = true,
};

static const kp_caps gpu_profile = {
    .device_class = KP_GPU,
    .lanes_f32 = 4,
    .lanes_f64 = 2,
    .vector_registers = 16,
    .compute_units = 64,
    .max_work_group = 1024,
    .local_memory = 48 << 10,
    .private_memory = 128 << 10,
    .max_groups = INT32_MAX,
    .has_f64 = true,
};

const kp_caps *kp_caps_profile(const char *name)
{
    return strcmp(name, "cpu") == 0 ? &cpu_profile : strcmp(name, "gpu") == 0 ? &gpu_profile : NULL;
}

int kp_lanes_of(const kp_caps *caps, kcl_dtype dtype)
{
    return dtype == KCL_F32 ? caps->lanes_f32 : caps->lanes_f64;
}

const char *kp_schedule_name(const kp_plan *plan)
{
    static const char *const names[] = {"lanes", "rows", "contraction"};
    return plan->shape == KP_COLUMNS ? "columns" : names[plan->schedule];
}

const char *kp_shape_name(kp_shape shape)
{
    static const char *const names[] = {"map", "rows", "rows, columns split", "columns", "rows, both axes reduced"};
    return names[shape];
}

/* Returns the bytes of the column variables of one column. */
int64_t kp_column_bytes(size_t count, const kr_var *vars, kcl_dtype dtype)
{
    int64_t dim = 0;
    for (size_t k = 0; k < count; k++)
        dim += vars[k].role == KF_ROLE_J ? vars[k].dim : 0;
    return dim * (int64_t)kb_dtype_size(dtype);
}

/*
 * Returns how many parts the columns need so that a core reads a part from its own cache again and again. Returns 1 if
 * the cache holds all columns, or if a column is so small that computing with the column takes longer than fetching it.
 * With D = 100 a sixth is gained.
 */
int64_t kp_cached_parts(int64_t bytes, int64_t cols)
{
    return bytes < 64 || cols < 4 * CACHED_BYTES / bytes ? 1 : blocks_of(cols, CACHED_BYTES / bytes + 1);
}

/* Names that force a schedule. */
enum { BY_RULE, FORCE_LANES, FORCE_ROWS, FORCE_CONTRACTION, FORCE_SPLIT, FORCE_COLUMNS };

static int forced_schedule(const char *name)
{
    static const char *const names[] = {"", "lanes", "rows", "contraction", "split", "columns"};
    for (int k = 0; k < (int)KB_COUNT(names); k++)
        if (strcmp(name ? name : "", names[k]) == 0)
            return k;
    return -1;
}

kcl_status kp_check_schedule_name(const char *name, kb_error *err)
{
    return forced_schedule(name) >= 0
               ? KCL_OK
               : kb_fail(err, KCL_ERROR_ARGUMENT,
                         "schedule \"%s\" is not known: write \"lanes\", \"rows\", \"contraction\", \"split\" or "
                         "\"columns\"",
                         name);
}

/* Returns the work-items along a side of a work-group of the contraction schedule, which has side * side work-items. */
int kp_side_of(const kp_caps *caps)
{
    int side = 16;
    while (side * side > caps->max_work_group)
        side /= 2;
    return side;
}

/* Finds whether a formula sums over the index of long row and column vectors, as kp_is_contraction asks. */
static kcl_status find_long_sums(const kr_sweep *sweep, bool *found, kb_error *err)
{
    *found = false;
    for (size_t k = 0; !*found && k < sweep->term_count; k++) {
        kf_order order;
        if (kf_order_init(&order, sweep->graph, 1, &sweep->terms[k].formula, false, err) < 0)
            return err->status;
        for (size_t n = 0; n < order.count; n++) {
            const kf_node *f = order.nodes[n];
            *found =
                *found || (f->op == KF_SUM && (f->axes & KF_PAIR_AXES) == KF_PAIR_AXES && f->arg[0]->dim >= CONTRACTED);
        }
        kf_order_finish(&order);
    }
    return KCL_OK;
}

kcl_status kp_choose(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, int64_t rows, int64_t cols,
                     const char *name, kp_choice *choice, kb_error *err)
{
    return kp_choose_for(sweep, caps, dtype, &(kp_sizes){rows, cols, 1, 1}, name, choice, err);
}

/* Makes work-groups of GPUs no larger than the rows of a batch need. */
static void fit_group(kp_choice *choice, const kp_sizes *sizes, int lanes)
{
    if (sizes->batches * sizes->each == 1 || choice->schedule != KP_BY_ROWS)
        return;
    for (choice->group = SMALL_GROUP; choice->group < GROUP && (int64_t)choice->group * lanes < sizes->rows;)
        choice->group *= 2;
}

static kcl_status choose_shape(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, const kp_sizes *sizes,
                               const char *name, kp_choice *choice, kb_error *err)
{
    const int64_t rows = sizes->rows, cols = sizes->cols;
    int force = forced_schedule(name);
    if (force < 0)
        return kp_check_schedule_name(name, err);
    bool cpu = caps->device_class == KP_CPU, long_sums = false;
    *choice = (kp_choice){.schedule = cpu ? KP_BY_LANES : KP_BY_ROWS, .forced = force != BY_RULE};
    if (force == FORCE_LANES || force == FORCE_ROWS || force == FORCE_CONTRACTION)
        choice->schedule = force == FORCE_LANES ? KP_BY_LANES : force == FORCE_ROWS ? KP_BY_ROWS : KP_BY_CONTRACTION;
    if (!sweep->reduced) {
        choice->shape = KP_MAP;
        choice->schedule = cpu ? KP_BY_LANES : KP_BY_ROWS;
        return KCL_OK;
    }
    /* Numbers of a lane's width count the columns, from the first column of a part on. */
    const char *counted = NULL;
    for (size_t k = 0; k < sweep->term_count; k++)
        if (kp_has_numbers(&sweep->terms[k]) && dtype == KCL_F32 && cols > LONGEST_PART)
            counted = kf_reduction_get(sweep->terms[k].reduction)->name;
    if (sweep->reduced & KF_AXIS_I) {
        if (counted)
            return kb_fail(
                err, KCL_ERROR_UNSUPPORTED,
                "%s over both axes takes at most %d columns in float32, here are %lld: reduce one axis after "
                "the other, or use float64 arrays",
                counted, LONGEST_PART, (long long)cols);
        if (force == FORCE_COLUMNS || force == FORCE_CONTRACTION)
            return kb_fail(err, KCL_ERROR_UNSUPPORTED,
                           "schedule \"%s\" keeps a state for each row: it cannot reduce both axes", name);
        choice->shape = KP_ROWS_BOTH;
        return KCL_OK;
    }
    int64_t lanes = kp_lanes_of(caps, dtype), enough = (int64_t)FEW_BLOCKS * caps->compute_units, state = 0;
    for (size_t k = 0; k < sweep->term_count; k++)
        state +=
            kr_get(sweep->terms[k].reduction)->numbers * kr_pieces(&sweep->terms[k]) * sweep->terms[k].formula->dim;
    /* Lanes over columns waste nothing on a few rows, but every row's state is kept while columns pass. */
    bool few = cpu ? rows <= lanes && cols >= 4 * lanes : rows <= FEW_ROWS && cols >= PART_COLUMNS;
    if (force == FORCE_COLUMNS || (force == BY_RULE && few)) {
        choice->shape = KP_COLUMNS;
        /* All numbers of rows up to FEW_ROWS have one number of states: other numbers of rows need no other program. */
        choice->states = cpu ? 0 : state <= FEW_NUMBERS ? FIVE_STATES : FOUR_STATES;
        return KCL_OK;
    }
    if (force == BY_RULE && !cpu && rows > FEW_ROWS && find_long_sums(sweep, &long_sums, err) < 0)
        return err->status;
    /* A list for each row of a block, in each work-item, is more than registers hold. */
    int64_t list;
    if (long_sums && !kp_keeps_lists(sweep->term_count, sweep->terms, &list) && kp_side_of(caps) >= SMALLEST_SIDE)
        choice->schedule = KP_BY_CONTRACTION;
    if (choice->schedule == KP_BY_CONTRACTION || force == FORCE_SPLIT) {
        choice->shape = KP_ROWS_SPLIT;
        return KCL_OK;
    }
    /*
     * The number of columns alone tells whether the columns are divided, so that calls with many rows and calls with
     * few rows have one program. With many rows there is one part. A further program is nothing beside the time of a
     * call whose states are more than DIVIDED_STATES.
     */
    const int64_t size = choice->schedule == KP_BY_ROWS ? lanes * GROUP : lanes;
    const int64_t all = choice->schedule == KP_BY_ROWS ? (int64_t)GROUPS * caps->compute_units : enough;
    const int64_t least = choice->schedule == KP_BY_ROWS ? PART_COLUMNS : 2 * PART_COLUMNS;
    const bool idle = product(blocks_of(rows, size), sizes->batches) < all && cols >= least;
    bool longer = cols >= least;
    /* CPUs keep the lists of many rows in registers to the end: writing and reading them takes a tenth of the time. */
    if (choice->schedule == KP_BY_LANES)
        longer = !kp_keeps_lists(sweep->term_count, sweep->terms, &list) &&
                 (longer || kp_cached_parts(kp_column_bytes(sweep->var_count, sweep->vars, dtype), cols) > 1);
    const bool is_small = product(state, product(rows, sizes->batches)) <= DIVIDED_STATES;
    choice->shape = counted || idle || (longer && is_small) ? KP_ROWS_SPLIT : KP_ROWS;
    return KCL_OK;
}

kcl_status kp_choose_for(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, const kp_sizes *sizes,
                         const char *name, kp_choice *choice, kb_error *err)
{
    if (choose_shape(sweep, caps, dtype, sizes, name, choice, err) < 0)
        return err->status;
    /* Results come after the last of the reduced batches. */
    if (choice->shape == KP_ROWS && sweep->reduced & KF_AXIS_EACH)
        choice->shape = KP_ROWS_SPLIT;
    if (choice->shape != KP_MAP && choice->shape != KP_COLUMNS)
        fit_group(choice, sizes, kp_lanes_of(caps, dtype));
    choice->empty = (sweep->reduced & KF_AXIS_J && sizes->cols == 0) ||
                    (sweep->reduced & KF_AXIS_I && sizes->rows == 0) ||
                    (sweep->reduced & KF_AXIS_EACH && sizes->each == 0);
    return KCL_OK;
}

bool kp_screens(const kp_choice *choice)
{
    return choice->schedule == KP_BY_LANES && (choice->shape == KP_ROWS || choice->shape == KP_ROWS_SPLIT);
}
