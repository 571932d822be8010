/* SPDX-License-Identifier: MIT */
/* plan/prepare.c: values that depend on the streamed axis only, which are computed once a launch. */
#include "make.h"
#include "passes.h"
#include "planner.h"

enum {
    PACKED = 16, /* prepared numbers of an axis, above which the numbers share arrays */
    PACK = 1024  /* numbers of an array that values share, at most */
};

/* Returns whether f costs anything: copies and variables are read where they are. */
static bool is_work(const kf_node *f)
{
    kf_class c = kf_info((kf_op)f->op)->op_class;
    return c == KF_CLASS_MAP || c == KF_CLASS_SUM || c == KF_CLASS_CALL;
}

kcl_status kp_grow_vars(kp_plan *plan, size_t count)
{
    const kcl_allocator *a = kf_allocator(&plan->graph);
    kr_var *vars = kb_calloc(a, count + 1, sizeof *vars);
    bool *dense = kb_calloc(a, count + 1, sizeof *dense), *private = kb_calloc(a, count + 1, sizeof *private);
    int *offset = kb_calloc(a, count + 1, sizeof *offset);
    uint8_t *batched = kb_calloc(a, count + 1, sizeof *batched);
    if (!vars || !dense || !private || !offset || !batched) {
        kb_free(a, vars);
        kb_free(a, dense);
        kb_free(a, private);
        kb_free(a, offset);
        kb_free(a, batched);
        return kb_no_memory(&plan->graph.error);
    }
    if (plan->var_count) {
        memcpy(vars, plan->vars, plan->var_count * sizeof *vars);
        memcpy(dense, plan->dense, plan->var_count * sizeof *dense);
        memcpy(batched, plan->batched, plan->var_count * sizeof *batched);
    }
    kb_free(a, plan->vars);
    kb_free(a, plan->dense);
    kb_free(a, plan->private);
    kb_free(a, plan->offset);
    kb_free(a, plan->batched);
    plan->batched = batched;
    plan->offset = offset;
    plan->vars = vars;
    plan->dense = dense;
    plan->private = private;
    return KCL_OK;
}

/*
 * Returns whether f depends on the streamed axis only. In contractions f may depend on the other axis only, because a
 * contraction reads all vectors from memory.
 */
static bool is_preparable(const kp_plan *plan, const kf_node *f)
{
    unsigned c = kp_class(plan, f);
    return c == KP_STREAM || (c == KP_LANE && plan->schedule == KP_BY_CONTRACTION);
}

/*
 * Where the prepared numbers of an axis go. Few numbers have an array each. Many numbers share arrays: an array is an
 * argument of the kernels, and compilers take long for text that stores each number by itself.
 */
typedef struct packing {
    int64_t left;          /* numbers of the axis that are still to come */
    int64_t filled, width; /* numbers in the array that is shared at present; 0, 0: there is none */
    size_t var;            /* the array that is shared at present */
} packing;

/* Makes room for f. Returns the node that terms read in place of f. */
static const kf_node *place_prepared(kp_plan *plan, const kf_node *f, packing *pack)
{
    kf_graph *g = &plan->graph;
    const kf_role role = f->axes & KF_AXIS_J ? KF_ROLE_J : KF_ROLE_I;
    const bool begins = pack->filled == pack->width, shares = f->dim == 1 && (!begins || pack->left > PACKED);
    size_t var = pack->var;
    int64_t at = 0;
    if (!shares || begins) {
        var = plan->var_count++;
        plan->prepared_vars++;
        plan->vars[var] = (kr_var){role, shares ? (int32_t)KB_MIN(pack->left, PACK) : f->dim};
        plan->dense[var] = true;
    }
    if (shares && begins)
        *pack = (packing){pack->left, 0, plan->vars[var].dim, var};
    if (shares)
        at = pack->filled++;
    pack->left -= f->dim == 1;
    plan->prepared[plan->prepared_count++] = (kp_prepared){f, var, (int)at};
    const kf_node *in = kf_on_batches(g, kf_var(g, (int64_t)var, plan->vars[var].dim, role), f->axes);
    return in && shares ? kf_make(g, KF_ELEM, &in, &at) : in;
}

typedef struct preparation {
    kp_plan *plan;
    const kf_order *order;
    const bool *used; /* by position: the value is prepared */
    packing *packs;   /* of rows, of columns */
} preparation;

static const kf_node *prepare_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const preparation *p = user;
    if (p->used[kf_at(p->order, f)])
        return place_prepared(p->plan, f, &p->packs[f->axes & KF_AXIS_J ? 1 : 0]);
    if (kf_info((kf_op)f->op)->op_class == KF_CLASS_LEAF || is_preparable(p->plan, f))
        return f;
    return kf_make(g, (kf_op)f->op, args, f->param);
}

kcl_status kp_order_terms(kp_plan *plan, kf_order *order)
{
    kf_graph *g = &plan->graph;
    const kf_node **roots = kb_calloc(kf_allocator(g), plan->term_count + 1, sizeof *roots);
    *order = (kf_order){.allocator = *kf_allocator(g)};
    if (!roots)
        return kb_no_memory(&g->error);
    for (size_t k = 0; k < plan->term_count; k++)
        roots[k] = plan->terms[k].formula;
    kcl_status status = kf_order_init(order, g, plan->term_count, roots, false, &g->error);
    kb_free(kf_allocator(g), roots);
    return status;
}

kcl_status kp_prepare(kp_plan *plan)
{
    kf_graph *g = &plan->graph;
    const kcl_allocator *a = kf_allocator(g);
    kf_order order;
    kcl_status status = kp_order_terms(plan, &order);
    bool *work = kb_calloc(a, order.count + 1, sizeof *work), *used = kb_calloc(a, order.count + 1, sizeof *used);
    const kf_node **made = kb_calloc(a, order.count + 1, sizeof *made);
    if (status == KCL_OK && (!work || !used || !made))
        status = kb_no_memory(&g->error);
    size_t count = 0;
    packing packs[2] = {{0}, {0}}; /* of rows, of columns */
    if (status == KCL_OK) {
        for (size_t k = 0; k < order.count; k++) {
            const kf_node *f = order.nodes[k];
            work[k] = is_work(f);
            for (int c = 0; c < f->arg_count && !(f->op == KF_LIKE && c == 1); c++)
                work[k] |= work[kf_at(&order, f->arg[c])];
        }
        /* A value is prepared if a value that is computed more often reads it. */
        for (size_t k = 0; k < order.count; k++)
            for (int c = 0; c < order.nodes[k]->arg_count; c++)
                if (!is_preparable(plan, order.nodes[k]) && !(order.nodes[k]->op == KF_LIKE && c == 1))
                    used[kf_at(&order, order.nodes[k]->arg[c])] = true;
        for (size_t k = 0; k < plan->term_count; k++)
            used[kf_at(&order, plan->terms[k].formula)] = true;
        for (size_t k = 0; k < order.count; k++) {
            const kf_node *f = order.nodes[k];
            used[k] = used[k] && work[k] && is_preparable(plan, f);
            count += used[k];
            packs[f->axes & KF_AXIS_J ? 1 : 0].left += used[k] && f->dim == 1;
        }
    }
    if (status == KCL_OK && count) {
        status = kp_grow_vars(plan, plan->var_count + count);
        plan->prepared = kb_calloc(a, count, sizeof *plan->prepared);
        if (status == KCL_OK && !plan->prepared)
            status = kb_no_memory(&g->error);
        if (status == KCL_OK)
            status = kf_rewrite_in_order(g, &order, prepare_node, &(preparation){plan, &order, used, packs}, made);
        for (size_t k = 0; status == KCL_OK && k < plan->term_count; k++)
            plan->terms[k].formula = made[kf_at(&order, plan->terms[k].formula)];
    }
    kb_free(a, work);
    kb_free(a, used);
    kb_free(a, made);
    kf_order_finish(&order);
    return status;
}
