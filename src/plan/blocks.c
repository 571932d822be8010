/* SPDX-License-Identifier: MIT */
/* plan/blocks.c: sizes of blocks, from registers, local and private memory. */
#include "numeric.h"
#include "planner.h"

enum {
    TILE = 128,       /* terms added up before they meet the total: rounding errors stay as small as in a short sum */
    LISTS = 64,       /* vectors in the lists that a work-item keeps while columns pass */
    STEP_WORK = 2048, /* additions that the unrolled text of a block may cost: compilers are slow */
    PERIODIC_WORK = 1000,  /* cost of a sine on GPUs: the function of the driver has a long text for large arguments */
    PERIODIC_LANES = 500,  /* cost of a sine on CPUs: only lanes with large arguments take the function of the driver */
    CALL_WORK = 8192,      /* cost of an operation of whole vectors, such as a time warp */
    ROW_WORK = 8192,       /* additions that the text of a pair may cost, for all rows of a work-item of a GPU */
    PAIR_WORK = 64,        /* additions of a pair of long vectors that are work enough without a second column */
    BLOCK_WORK = 800,      /* the same for a block of more than two columns: short sums gain nothing by more */
    STRAIGHT_WORK = 24000, /* additions of straight code: some twenty sines, or longer loops with fewer */
    UNROLLED = 66,         /* components of the vectors that registers hold: 64, and an exponent beside weights */
    REGISTERS = 220,       /* 32-bit registers for vectors and sums: some 255 less those for places and for a pair */
    WIDE = 48,             /* components from which on sums are long, and rows beside them from half as many on */
    LOCAL_TILE = 256,      /* columns in local memory, at most */
    LOCAL_BYTES = 16 << 10,      /* bytes of the columns in local memory: several work-groups share a compute unit */
    WIDE_LOCAL_BYTES = 36 << 10, /* the same if the registers suffice for one work-group: totals are met less often */
    ROW_REGISTERS = 100          /* 32-bit registers for the rows of a work-item */
};

/*
 * Returns the bytes of the arrays that a work-item of the sweep cannot do without: states and results, and vectors that
 * are computed once a launch or once per lane.
 */
static int64_t needed_memory(const kp_plan *plan, const kf_order *order, const bool *kept)
{
    int64_t bytes = kp_state_memory(plan), size = (int64_t)kb_dtype_size(plan->dtype), vector = size * plan->lanes;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        const unsigned c = kp_class(plan, f);
        if (kept[k])
            bytes += f->dim * (c & KP_LANE ? vector : size);
        else if (f->op == KF_SUMROWS) /* sums for every element of a block */
            bytes += f->dim * (c & KP_LANE ? vector : size) * (c & KP_STREAM ? 2 : 1);
        if (kf_info((kf_op)f->op)->op_class == KF_CLASS_CALL) /* see put_call_of in render/body.c */
            bytes += vector * (kf_call_memory(f) + f->dim +
                               ((int64_t)f->arg[0]->dim + f->arg[1]->dim + 1 + f->dim) * KB_MAX(plan->stream, 1));
    }
    return bytes;
}

/* Keeps lane variables in private memory, shorter variables first, while there is room. */
static void place_lane_variables(kp_plan *plan, int64_t room)
{
    int64_t vector = (int64_t)kb_dtype_size(plan->dtype) * plan->lanes;
    for (;;) {
        size_t best = plan->var_count;
        for (size_t k = 0; k < plan->var_count; k++)
            if (!plan->private[k] && plan->vars[k].role != KF_ROLE_P &&
                !(plan->schedule == KP_BY_CONTRACTION && plan->vars[k].dim > 1) && /* registers are for sums */
                (best == plan->var_count || plan->vars[k].dim < plan->vars[best].dim))
                best = k;
        if (best == plan->var_count || plan->vars[best].dim * vector > room)
            return;
        room -= plan->vars[best].dim * vector;
        plan->private[best] = true;
    }
}

/* Returns `step` or fewer rows. Every streamed row has lists of its own, and text that inserts into the lists. */
static int few_lists(const kp_plan *plan, int step)
{
    int64_t lists = 0;
    for (size_t k = 0; plan->shape == KP_COLUMNS && k < plan->term_count; k++)
        if (kp_reduction(plan, k)->lists)
            lists += kr_pieces(&plan->terms[k]) * plan->terms[k].formula->dim;
    while (step > 1 && step * lists > LISTS)
        step /= 2;
    return step;
}

/* Returns the additions that a pair costs, if a sine costs `periodic`; 0: as elsewhere. */
static int64_t pair_work(const kp_plan *plan, const kf_order *order, int periodic)
{
    int64_t work = 0;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        const kf_op op = (kf_op)f->op;
        const kf_class op_class = kf_info(op)->op_class;
        const int cost = periodic && (op == KF_SIN || op == KF_COS || op == KF_TAN) ? periodic : kf_info(op)->cost;
        if (kp_class(plan, f) == (KP_LANE | KP_STREAM))
            work += op_class == KF_CLASS_CALL ? CALL_WORK
                                              : (int64_t)cost * (op_class == KF_CLASS_SUM ? f->arg[0]->dim : f->dim);
    }
    return work;
}

/*
 * Returns whether straight code is too long for compilers of GPUs, all loops over components taken together. What a rearranged
 * vector is made of is computed in the loop over the components of that vector, again for each place where it is read.
 */
static kcl_status is_too_long(const kp_plan *plan, const kf_order *order, bool *is_long, kb_error *err)
{
    const kcl_allocator *a = kf_allocator(&plan->graph);
    int64_t work = 0, *times = kb_calloc(a, order->count + 1, sizeof *times);
    if (!times)
        return kb_no_memory(err);
    for (size_t k = order->count; k-- > 0;) {
        const kf_node *f = order->nodes[k];
        const kf_op op = (kf_op)f->op;
        const kf_class op_class = kf_info(op)->op_class;
        const bool is_copy = op_class == KF_CLASS_COPY, is_map = op_class == KF_CLASS_MAP;
        const bool is_repeated = (is_copy || is_map) && (times[k] || op == KF_ARRANGE || op == KF_PLACE);
        const bool is_periodic = !plan->fast && (op == KF_SIN || op == KF_COS || op == KF_TAN);
        times[k] = KB_MAX(times[k], f->dim);
        if (is_map)
            work = KB_MIN(work + product(is_periodic ? PERIODIC_WORK : kf_info(op)->cost, times[k]), INT32_MAX);
        for (int c = 0; is_repeated && c < f->arg_count; c++) {
            int64_t *of_operand = &times[kf_at(order, f->arg[c])];
            if (f->arg[c]->dim > 1)
                *of_operand = KB_MIN(is_copy ? *of_operand + times[k] : KB_MAX(*of_operand, times[k]), INT32_MAX);
        }
    }
    kb_free(a, times);
    *is_long = work > STRAIGHT_WORK;
    return KCL_OK;
}

/*
 * Returns the streamed elements of a block: as many as registers hold partial results for. Every sum over components
 * keeps a vector an element, and more vectors would spill. Long formulas have fewer elements, because the text is
 * repeated for every element.
 */
static int choose_step(const kp_plan *plan, const kf_order *order, const kp_caps *caps)
{
    int64_t sums = 0, work = 0, most = 16, list, longest = 0;
    if (plan->schedule == KP_BY_ROWS && plan->loops == KP_LOOPS_WIDE)
        return 1; /* the components of a column are work enough for the registers that are left */
    /* The bits of a sum do not depend on the columns of a block, nor do lists; the bits of other reductions may. */
    bool sums_alone = true, is_free = true;
    for (size_t k = 0; k < plan->term_count; k++) {
        const kr_reduction *r = kp_reduction(plan, k);
        sums_alone = sums_alone && r->sums;
        is_free = is_free && (r->sums || r->lists);
        longest = KB_MAX(longest, plan->terms[k].formula->dim);
    }
    if (plan->schedule == KP_BY_ROWS && plan->loops != KP_LOOPS_SHORT)
        /*
         * LogSumExp needs registers for more. Insertions into lists have a text for each element. A long column is work
         * enough, but more columns of many weights share loads.
         */
        most = plan->record > 16 ? (is_free && longest <= 16 && pair_work(plan, order, 0) > PAIR_WORK ? 1 : 2)
               : kp_numbers(plan) == 2 || kp_keeps_lists(plan->term_count, plan->terms, &list) ? 4
                                                                                               : 8;
    /*
     * A column of sines is work enough for a GPU if registers hold the vectors: more columns a block only repeat the text of
     * the driver's function. Of longer vectors the columns of a block share loads.
     */
    const int periodic = !sums_alone || plan->fast                          ? 0
                         : plan->native && plan->loops == KP_LOOPS_UNROLLED ? STEP_WORK
                         : plan->many_periodic                              ? 0
                         : plan->native                                     ? PERIODIC_WORK
                                                                            : PERIODIC_LANES;
    for (size_t k = 0; k < order->count; k++) {
        if (kp_class(plan, order->nodes[k]) != (KP_LANE | KP_STREAM))
            continue;
        if (kf_info((kf_op)order->nodes[k]->op)->op_class == KF_CLASS_SUM)
            sums += order->nodes[k]->dim;
        if (kf_info((kf_op)order->nodes[k]->op)->op_class == KF_CLASS_CALL) /* one element a block */
            sums += STEP_WORK;
        const kf_op op = (kf_op)order->nodes[k]->op;
        work += periodic && (op == KF_SIN || op == KF_COS || op == KF_TAN) ? periodic : kf_info(op)->cost;
    }
    int64_t step = most;
    while (plan->schedule == KP_BY_LANES && step > 1 && step * KB_MAX(sums, 1) + 6 > caps->vector_registers)
        step /= 2;
    step = KB_MAX(step, KB_MIN(most, sums > 4 ? 1 : 2));
    while (step > 1 && step * work > STEP_WORK)
        step /= 2;
    if (plan->schedule == KP_BY_ROWS && plan->loops == KP_LOOPS_UNROLLED && sums_alone)
        while (step > 2 && step * plan->lanes * pair_work(plan, order, 0) > BLOCK_WORK)
            step /= 2;
    return few_lists(plan, (int)step);
}

/* Finds the vectors that one class of values computes for another class. They are arrays, unless they are variables. */
static void find_kept(const kp_plan *plan, const kf_order *order, bool *kept)
{
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        for (int c = 0; c < f->arg_count; c++)
            kept[kf_at(order, f->arg[c])] |= kp_class(plan, f->arg[c]) != kp_class(plan, f);
    }
    for (size_t k = 0; k < plan->term_count; k++)
        kept[kf_at(order, plan->terms[k].formula)] = true;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        kept[k] = kept[k] && f->dim > 1 && !(kp_class(plan, f) & KP_STREAM) &&
                  kf_info((kf_op)f->op)->op_class != KF_CLASS_LEAF;
    }
}

/* Chooses the numbers of a column in local memory, and where the numbers of each variable begin. */
static void choose_record(kp_plan *plan, const kf_order *order)
{
    plan->record = 0;
    for (size_t k = 0; k < plan->var_count; k++)
        plan->offset[k] = -1;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (f->op != KF_VAR || kp_class(plan, f) != KP_STREAM || plan->offset[f->param[0]] >= 0)
            continue;
        plan->offset[f->param[0]] = plan->record;
        if (plan->record < KF_MAX_DIM)
            plan->record += f->dim;
    }
    /* A column has whole vectors of four numbers, which are loaded at once. */
    if (plan->record > 2)
        plan->record = (int)blocks_of(plan->record, 4) * 4;
}

/* Returns whether a row variable is read while columns pass. Other row variables need no registers then. */
static bool is_read_by_pairs(const kp_plan *plan, const kf_order *order, const kf_node *var)
{
    bool read = false;
    for (size_t k = 0; !read && k < order->count; k++)
        for (int c = 0; c < order->nodes[k]->arg_count; c++)
            read |= order->nodes[k]->arg[c] == var && kp_class(plan, order->nodes[k]) != KP_LANE;
    for (size_t k = 0; k < plan->term_count; k++)
        read |= plan->terms[k].formula == var;
    return read;
}

/* Returns the numbers of a row that columns meet in registers, without the states of reductions. */
static int64_t numbers_of_row(const kp_plan *plan, const kf_order *order, const bool *kept)
{
    int64_t numbers = 0;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (kp_class(plan, f) == KP_LANE && (kept[k] || (f->op == KF_VAR && is_read_by_pairs(plan, order, f))))
            numbers += f->dim;
    }
    return numbers;
}

/*
 * Where rows and sums have many components: chooses what registers hold, everything, all but the totals, or nothing.
 * Sums of many components alone, such as many columns of weights, are fastest in registers.
 */
static void choose_loops(kp_plan *plan, const kf_order *order, const bool *kept)
{
    int64_t sums = 0, words = (int64_t)kb_dtype_size(plan->dtype) / 4;
    for (size_t k = 0; k < plan->term_count; k++)
        if (kp_reduction(plan, k)->sums || kp_reduction(plan, k)->exponent == KR_FIRST_EXPONENT)
            sums += plan->terms[k].formula->dim;
    const int64_t numbers = numbers_of_row(plan, order, kept);
    if (KB_MIN(sums, 2 * numbers) < WIDE || (numbers + 3 * sums) * words <= REGISTERS)
        return;
    const bool fits = plan->loops == KP_LOOPS_UNROLLED && (numbers + sums) * words <= REGISTERS;
    plan->loops = fits ? KP_LOOPS_WIDE : KP_LOOPS_SHORT;
}

/* Returns the rows of a work-item: as many rows as registers hold the numbers of. */
static int rows_of_item(const kp_plan *plan, const kf_order *order, const bool *kept)
{
    int64_t numbers = numbers_of_row(plan, order, kept), words = (int64_t)kb_dtype_size(plan->dtype) / 4;
    for (size_t k = 0; k < plan->term_count; k++)
        numbers += 3 * kp_state_dim(plan, k);
    int rows = plan->dtype == KCL_F32 ? 4 : 2;
    while (rows > 1 && rows * numbers * words > ROW_REGISTERS)
        rows /= 2;
    return rows;
}

/* Chooses work-group, vector, block and tile of a plan. */
static void choose_blocks(kp_plan *plan, const kf_order *order, const bool *kept, bool is_long, const kp_caps *caps)
{
    int64_t size = (int64_t)kb_dtype_size(plan->dtype), longest = 0;
    int64_t local = (int64_t)KB_MIN(caps->local_memory, (size_t)INT64_MAX);
    for (size_t k = 0; k < order->count; k++)
        longest = KB_MAX(longest, order->nodes[k]->dim);
    const bool is_long_map = is_long && plan->shape == KP_MAP;
    /* Loops over more components are no straight code in any case. */
    is_long = is_long && plan->schedule == KP_BY_ROWS && longest <= UNROLLED;
    if (plan->schedule != KP_BY_LANES && longest <= UNROLLED)
        plan->loops = is_long ? KP_LOOPS_SHORT : KP_LOOPS_UNROLLED;
    if (plan->schedule == KP_BY_CONTRACTION)
        return; /* kp_check_contraction has chosen them */
    plan->tile = TILE;
    plan->group = plan->group ? plan->group : GROUP;
    plan->group = plan->schedule == KP_BY_LANES ? 1 : power_of_two(KB_MIN(plan->group, caps->max_work_group));
    plan->lanes = kp_lanes_of(caps, plan->dtype);
    if (plan->schedule == KP_BY_ROWS)
        plan->lanes = plan->shape == KP_MAP || plan->shape == KP_COLUMNS ? 1 : rows_of_item(plan, order, kept);
    /* A work-group joins its states in local memory, beside the columns if both axes are reduced. */
    if (plan->schedule == KP_BY_ROWS && (plan->shape == KP_COLUMNS || plan->shape == KP_ROWS_BOTH)) {
        while (plan->group > 1 && kp_joining_memory(plan) > (plan->shape == KP_COLUMNS ? local : local / 2))
            plan->group /= 2;
        local -= kp_joining_memory(plan);
    }
    if (plan->schedule == KP_BY_ROWS && plan->shape == KP_COLUMNS)
        plan->stream = is_long ? 1 : few_lists(plan, plan->stream);
    if (plan->shape == KP_MAP)
        plan->loops = is_long_map ? KP_LOOPS_SHORT : KP_LOOPS_LEFT;
    if (plan->schedule == KP_BY_ROWS && (plan->shape == KP_MAP || plan->shape == KP_COLUMNS))
        return;
    if (plan->schedule == KP_BY_ROWS) {
        choose_loops(plan, order, kept);
        while (plan->lanes > 1 && plan->lanes * pair_work(plan, order, plan->fast ? 0 : PERIODIC_WORK) > ROW_WORK)
            plan->lanes /= 2;
        choose_record(plan, order);
        plan->tile = LOCAL_TILE;
        const bool wide = plan->loops == KP_LOOPS_WIDE || plan->loops == KP_LOOPS_SHORT;
        const int64_t most = KB_MIN(wide ? WIDE_LOCAL_BYTES : LOCAL_BYTES, local);
        while (plan->tile > 16 && size * plan->tile * plan->record > most)
            plan->tile /= 2;
        if (size * plan->tile * plan->record > local) {
            plan->record = 0;
            plan->tile = TILE;
        }
    }
    plan->stream = is_long ? 1 : choose_step(plan, order, caps);
}

/* Chooses the sizes of blocks: fewer states, then narrower vectors, if the arrays of a work-item would not fit. */
kcl_status kp_choose_sizes(kp_plan *plan, const kp_caps *caps)
{
    kf_graph *g = &plan->graph;
    const kcl_allocator *a = kf_allocator(g);
    size_t root_count = plan->term_count + plan->output_count;
    const kf_node **roots = kb_calloc(a, root_count + 1, sizeof *roots);
    if (!roots)
        return kb_no_memory(&g->error);
    for (size_t k = 0; k < root_count; k++)
        roots[k] = k < plan->term_count ? plan->terms[k].formula : plan->outputs[k - plan->term_count];
    kf_order order;
    kcl_status status = kf_order_init(&order, g, root_count, roots, false, &g->error);
    bool *kept = kb_calloc(a, order.count + 1, sizeof *kept);
    if (status == KCL_OK && !kept)
        status = kb_no_memory(&g->error);
    bool is_long = false;
    if (status == KCL_OK)
        status = is_too_long(plan, &order, &is_long, &g->error);
    if (status == KCL_OK) {
        find_kept(plan, &order, kept);
        choose_blocks(plan, &order, kept, is_long, caps);
        int64_t bytes, longest, room = (int64_t)KB_MIN(caps->private_memory, (size_t)INT64_MAX);
        /* On CPUs the work-items of a group share a thread's memory. */
        bool shares = caps->device_class == KP_CPU;
        while ((bytes = needed_memory(plan, &order, kept) * kp_sharing_items(plan, caps)) > room) {
            if (shares && plan->group > 1 && plan->schedule != KP_BY_CONTRACTION)
                plan->group /= 2;
            else if (plan->shape == KP_COLUMNS && plan->stream > 1)
                plan->stream /= 2;
            else if (plan->lanes > 1 && plan->schedule != KP_BY_CONTRACTION)
                plan->lanes /= 2;
            else
                break;
        }
        if (bytes > room)
            status = kb_fail(&g->error, KCL_ERROR_UNSUPPORTED,
                             "the formula's vectors%s take %lld bytes of a kernel's own memory, which has %lld: reduce "
                             "parts of them one after the other (Extract), or use the device \"host\"",
                             kp_keeps_lists(plan->term_count, plan->terms, &longest) ? " and lists of K values" : "",
                             (long long)bytes, (long long)room);
        place_lane_variables(plan, (room - bytes) / kp_sharing_items(plan, caps));
    }
    kb_free(a, kept);
    kb_free(a, roots);
    kf_order_finish(&order);
    return status;
}
