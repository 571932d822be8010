/* SPDX-License-Identifier: MIT */
/* plan/plan.c: a plan from a sweep, one pass after another, and the description of a plan. */
#include "make.h"
#include "passes.h"
#include "planner.h"
#include "simplify.h"

#include <float.h>

enum {
    MAX_NODES = 100000, /* operators of a kernel: compilers do not take formulas of any size */
    MANY_PERIODIC = 32, /* sines and the like, above which their text takes compilers too long: it has a branch */
    /* The same on GPUs, where every row of a work-item has the driver's text of every sine; contractions have more rows. */
    MANY_BY_ROWS = 24,
    MANY_IN_CONTRACTIONS = 16
};

static kcl_status check_size(kp_plan *plan, size_t count, const kf_node *const *roots)
{
    kf_order order;
    kf_graph *g = &plan->graph;
    if (kf_order_init(&order, g, count, roots, false, &g->error) < 0)
        return g->error.status;
    size_t size = order.count, periodic = 0;
    for (size_t k = 0; k < size; k++) {
        const kf_op op = (kf_op)order.nodes[k]->op;
        /* Fast functions have no branch, except within the spherical functions. */
        periodic += op == KF_SPHERICAL || (!plan->fast && (op == KF_SIN || op == KF_COS || op == KF_TAN));
    }
    plan->many_periodic = periodic > (!plan->native                         ? MANY_PERIODIC
                                      : plan->schedule == KP_BY_CONTRACTION ? MANY_IN_CONTRACTIONS
                                                                            : MANY_BY_ROWS);
    kf_order_finish(&order);
    if (size > MAX_NODES)
        return kb_fail(
            &g->error, KCL_ERROR_UNSUPPORTED,
            "the formula has %zu different operators; a kernel can have %d. Divide it into several reductions, "
            "or use the device \"host\"",
            size, MAX_NODES);
    return KCL_OK;
}

/*
 * Adds the numbers that decide whether the expanded form is used, and two sizes a distance as parameters. Norms must not
 * overflow where distances do not.
 */
static kcl_status guard(kp_plan *plan, size_t term_count, size_t count, const kp_distance *distances,
                        size_t slope_count, const kp_slope *slopes)
{
    kf_graph *g = &plan->graph;
    const double largest = plan->dtype == KCL_F32 ? FLT_MAX : DBL_MAX;
    const kf_node *size[KP_MAX_DISTANCES];
    plan->guards = kb_calloc(kf_allocator(g), term_count + count + 1, sizeof *plan->guards);
    if (!plan->guards || kp_grow_vars(plan, plan->var_count + count) < 0)
        return kb_no_memory(&g->error);
    plan->size_count = count;
    for (size_t k = 0; k < count; k++) {
        const kf_node *sizes = kf_var(g, (int64_t)plan->var_count, 2, KF_ROLE_P);
        plan->vars[plan->var_count] = (kr_var){KF_ROLE_P, 2};
        plan->dense[plan->var_count++] = true;
        size[k] = kf_binary(g, KF_ADD, kf_make(g, KF_ELEM, &sizes, &(int64_t){0}),
                            kf_make(g, KF_ELEM, &sizes, &(int64_t){1}));
        plan->guards[plan->guard_count++] = kf_binary(g, KF_MULT, kf_num(g, 4 * KP_BOUND_LIMIT / largest), size[k]);
    }
    for (size_t t = 0; t < term_count; t++) {
        const kf_node *bound = NULL;
        for (size_t k = 0; k < slope_count; k++) {
            const kp_slope *s = &slopes[k];
            if (s->term != t)
                continue;
            const kf_node *of_distance =
                kf_binary(g, KF_MULT,
                          kf_binary(g, KF_MULT, kf_num(g, kp_error_growth(distances[s->distance].dim)),
                                    kf_unary(g, KF_ABS, s->value)),
                          size[s->distance]);
            bound = bound ? kf_binary(g, KF_ADD, bound, of_distance) : of_distance;
        }
        if (bound)
            plan->guards[plan->guard_count++] = bound;
    }
    return g->error.status;
}

/* Writes guards in the operators of the device. Leaves out those that are 0 and repetitions. */
static kcl_status lower_guards(kp_plan *plan)
{
    const size_t count = plan->guard_count;
    if (!count)
        return KCL_OK;
    if (kf_simplify(&plan->graph, count, plan->guards, plan->guards) < 0 ||
        kp_lower(&plan->graph, count, plan->guards) < 0)
        return plan->graph.error.status;
    plan->guard_count = 0;
    for (size_t k = 0; k < count; k++) {
        bool known = kf_is_zero(plan->guards[k]);
        for (size_t n = 0; n < plan->guard_count; n++)
            known |= plan->guards[n] == plan->guards[k];
        if (!known)
            plan->guards[plan->guard_count++] = plan->guards[k];
    }
    return KCL_OK;
}

/* Expands distances. Adds a parameter for the centre of each, and a parameter for margins if terms are screened. */
static kcl_status add_centres(kp_plan *plan, size_t term_count, size_t count, const kp_distance *distances,
                              size_t root_count, const kf_node **roots)
{
    kf_graph *g = &plan->graph;
    if (kp_grow_vars(plan, plan->var_count + count + plan->screens) < 0 ||
        kp_expand(g, root_count, roots, count, distances, plan->var_count) < 0)
        return g->error.status;
    plan->centre_count = count;
    for (size_t k = 0; k < count + plan->screens; k++) {
        plan->vars[plan->var_count] = (kr_var){KF_ROLE_P, k < count ? distances[k].dim : 2 * (int32_t)term_count};
        plan->dense[plan->var_count++] = true;
    }
    if (plan->screens)
        plan->shape = KP_ROWS_SPLIT;
    return KCL_OK;
}

/*
 * Finds the distances, expands them, and adds what the decision needs: as far as the choice asks for it. The formulas of
 * screened terms before the expansion go behind the roots, roots[exact_count++]; exact_of[term] is the place.
 */
static kcl_status expand(kp_plan *plan, const kr_sweep *sweep, const kp_choice *choice, size_t root_count,
                         const kf_node **roots, size_t *exact_count, size_t *exact_of)
{
    kf_graph *g = &plan->graph;
    kp_distance distances[KP_MAX_DISTANCES];
    size_t slope_count = 0;
    kp_slope *slopes = kb_calloc(kf_allocator(g), sweep->term_count * KP_MAX_DISTANCES + 1, sizeof *slopes);
    if (!slopes)
        return kb_no_memory(&g->error);
    int count = kp_find_distances(g, sweep->term_count, sweep->terms, roots, distances, &slope_count, slopes);
    for (size_t k = 0; count >= 0 && k < slope_count; k++) {
        if (!slopes[k].is_screened || !choice->expand)
            continue;
        plan->screens = true;
        exact_of[slopes[k].term] = root_count + *exact_count;
        roots[root_count + (*exact_count)++] = roots[slopes[k].term];
    }
    kcl_status status = g->error.status;
    if (status == KCL_OK && choice->expand)
        status = add_centres(plan, sweep->term_count, (size_t)count, distances, root_count, roots);
    if (status == KCL_OK && choice->decided)
        status = guard(plan, sweep->term_count, (size_t)count, distances, slope_count, slopes);
    kb_free(kf_allocator(g), slopes);
    return status;
}
/*
 * One launch of a kernel computes the prepared values of an axis. So the values have the batch axes of all that the
 * kernel reads.
 */
static kcl_status find_prepared_batches(kp_plan *plan)
{
    uint8_t of_side[2] = {0, 0};
    kf_order order;
    if (!plan->prepared_count || !(plan->outer_batches + plan->each_batches))
        return KCL_OK;
    for (size_t k = 0; k < plan->prepared_count; k++) {
        if (kf_order_init(&order, &plan->graph, 1, &plan->prepared[k].value, false, &plan->graph.error) < 0)
            return plan->graph.error.status;
        for (size_t m = 0; m < order.count; m++)
            if (order.nodes[m]->op == KF_VAR)
                of_side[plan->vars[plan->prepared[k].var].role] |= plan->batched[order.nodes[m]->param[0]];
        kf_order_finish(&order);
    }
    for (size_t k = plan->var_count - plan->prepared_vars; k < plan->var_count; k++)
        plan->batched[k] = of_side[plan->vars[k].role];
    return KCL_OK;
}

static kcl_status fill(kp_plan *plan, const kp_request *request)
{
    const kr_sweep *sweep = request->sweep;
    kf_graph *g = &plan->graph;
    const kcl_allocator *a = kf_allocator(g);
    size_t root_count = sweep->term_count + sweep->output_count, exact_count = 0;
    const kf_node **roots = kb_calloc(a, root_count + sweep->term_count + 1, sizeof *roots);
    size_t *exact_of = kb_calloc(a, sweep->term_count + 1, sizeof *exact_of);
    plan->terms = kb_calloc(a, sweep->term_count + 1, sizeof *plan->terms);
    plan->exact = kb_calloc(a, sweep->term_count + 1, sizeof *plan->exact);
    plan->outputs = kb_calloc(a, sweep->output_count + 1, sizeof *plan->outputs);
    plan->scaled = kb_calloc(a, sweep->output_count + 1, sizeof *plan->scaled);
    kcl_status status = kp_grow_vars(plan, sweep->var_count);
    if (status == KCL_OK && (!roots || !exact_of || !plan->terms || !plan->exact || !plan->outputs || !plan->scaled))
        status = kb_no_memory(&g->error);
    if (status == KCL_OK) {
        for (size_t k = 0; k < sweep->var_count; k++) {
            plan->vars[k] = sweep->vars[k];
            plan->dense[k] = !request->dense || request->dense[k];
            plan->batched[k] = request->batches.axes ? request->batches.axes[k] : 0;
        }
        plan->var_count = sweep->var_count;
        for (size_t k = 0; k < sweep->term_count; k++)
            roots[k] = sweep->terms[k].formula;
        for (size_t k = 0; k < sweep->output_count; k++)
            roots[sweep->term_count + k] = sweep->outputs[k];
    }
    if (status == KCL_OK)
        status = kf_import(g, sweep->graph, root_count, roots, roots);
    if (status == KCL_OK)
        status = check_size(plan, root_count, roots);
    if (status == KCL_OK)
        status = kf_simplify(g, root_count, roots, roots);
    if (status == KCL_OK && (request->choice.expand || request->choice.decided))
        status = expand(plan, sweep, &request->choice, root_count, roots, &exact_count, exact_of);
    if (status == KCL_OK)
        status = kp_lower(g, root_count + exact_count, roots);
    if (status == KCL_OK)
        status = lower_guards(plan);
    if (status == KCL_OK) {
        for (size_t k = 0; k < sweep->term_count; k++) {
            plan->terms[k] = sweep->terms[k];
            plan->terms[k].formula = roots[k];
            plan->exact[k] = exact_of[k] ? roots[exact_of[k]] : NULL;
        }
        for (size_t k = 0; k < sweep->output_count; k++) {
            plan->outputs[k] = roots[sweep->term_count + k];
            plan->scaled[k] = sweep->scales && sweep->scales[k].is_scaled;
        }
        plan->term_count = sweep->term_count;
        plan->output_count = sweep->output_count;
        status = kp_rewrite_terms(plan);
    }
    if (status == KCL_OK)
        status = kp_prepare(plan);
    if (status == KCL_OK)
        status = kp_check_contraction(plan, request);
    if (status == KCL_OK)
        status = find_prepared_batches(plan);
    for (size_t k = 0; status == KCL_OK && k < plan->term_count; k++)
        plan->deferred |= kp_reduction(plan, k)->hooks & KR_FIND_PART && plan->schedule == KP_BY_LANES &&
                          plan->shape == KP_ROWS_SPLIT && !(sweep->reduced & KF_AXIS_EACH);
    kb_free(a, exact_of);
    kb_free(a, roots);
    return status;
}

kcl_status kp_plan_create(kp_plan **out, const kp_request *request, kb_error *err)
{
    const kp_caps *caps = request->caps;
    const kcl_allocator *a = kf_allocator(request->sweep->graph);
    *out = NULL;
    if (request->dtype == KCL_F64 && !caps->has_f64)
        return kb_fail(err, KCL_ERROR_UNSUPPORTED,
                       "the device does not compute in double precision: use float32 arrays");
    kp_plan *plan = kb_calloc(a, 1, sizeof *plan);
    if (!plan)
        return kb_no_memory(err);
    kf_graph_init(&plan->graph, a);
    plan->schedule = request->choice.schedule;
    plan->shape = request->choice.shape;
    plan->dtype = request->dtype;
    plan->reduced = request->sweep->reduced;
    plan->lane_axis = plan->shape == KP_COLUMNS ? KF_AXIS_J : KF_AXIS_I;
    plan->stream_axis = plan->shape == KP_MAP ? 0 : plan->shape == KP_COLUMNS ? KF_AXIS_I : KF_AXIS_J;
    plan->stream = request->choice.states;
    plan->fast = request->choice.fast;
    plan->empty = request->choice.empty;
    plan->expanded = request->choice.expand;
    plan->slow_divider = caps->slow_divider;
    plan->native = caps->device_class == KP_GPU;
    /* As many work-groups as there can be rows; with both axes reduced, parts of the rows have several blocks. */
    plan->one_block = caps->max_groups >= INT32_MAX && plan->shape != KP_ROWS_BOTH;
    plan->group = request->choice.group;
    plan->outer_batches = request->batches.outer;
    plan->each_batches = request->batches.each;
    if (fill(plan, request) < 0 || kp_choose_sizes(plan, caps) < 0) {
        *err = plan->graph.error;
        kp_plan_destroy(&plan);
        return err->status;
    }
    *out = plan;
    return KCL_OK;
}

void kp_plan_destroy(kp_plan **plan)
{
    if (!plan || !*plan)
        return;
    kp_plan *p = *plan;
    const kcl_allocator a = *kf_allocator(&p->graph);
    kb_free(&a, p->vars);
    kb_free(&a, p->dense);
    kb_free(&a, p->private);
    kb_free(&a, p->offset);
    kb_free(&a, p->batched);
    kb_free(&a, p->prepared);
    kb_free(&a, p->terms);
    kb_free(&a, p->exact);
    kb_free(&a, p->outputs);
    kb_free(&a, p->scaled);
    kb_free(&a, p->guards);
    kf_graph_finish(&p->graph);
    kb_free(&a, p);
    *plan = NULL;
}

void kp_describe(const kp_plan *plan, kb_str *out)
{
    const char *streamed = plan->stream_axis == KF_AXIS_I ? "rows" : "columns";
    if (plan->fast)
        kb_str_put(out, "math: fast\n");
    kb_str_putf(out, "schedule: %s\nshape: %s\ntype: %s\nlanes: %d\n", kp_schedule_name(plan),
                kp_shape_name(plan->shape), kb_dtype_name(plan->dtype), plan->lanes);
    if (plan->schedule != KP_BY_LANES)
        kb_str_putf(out, "work-group: %d\n", plan->group);
    if (plan->schedule == KP_BY_ROWS && plan->record)
        kb_str_putf(out, "local memory: %d columns of %d numbers\n", plan->tile, plan->record);
    if (plan->schedule == KP_BY_CONTRACTION)
        kb_str_putf(out, "contraction: dimension %d, %d components a chunk, %d x %d pairs a work-group\n",
                    plan->contracted, plan->chunk, plan->tile / plan->stream * plan->lanes, plan->tile);
    if (plan->stream_axis)
        kb_str_putf(out, "%s a block: %d\nsummation: tiles of %d %s\n", streamed, plan->stream, plan->tile, streamed);
    for (size_t k = 0; k < plan->term_count; k++) {
        kb_str_putf(out, "term %zu: ", k);
        kb_str_putf(out, "%s of dimension %d\n", kf_reduction_get(plan->terms[k].reduction)->name,
                    plan->terms[k].formula->dim);
        if (kp_reduction(plan, k)->lists)
            kb_str_putf(out, "K: %lld\n", (long long)plan->terms[k].param);
    }
    if (plan->centre_count)
        kb_str_putf(out, "squared distances expanded: %zu%s\n", plan->centre_count,
                    plan->screens ? ", candidates compared by differences" : "");
    kb_str_putf(out, "values computed once a launch: %zu\n", plan->prepared_count);
}
