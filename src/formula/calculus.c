/* SPDX-License-Identifier: MIT */
/*
 * formula/calculus.c: what KeOps computes from the matrix J = dF/dv of a formula, for every pair (i, j) on its own: J
 * itself, its trace, the trace of the matrix of second derivatives. A linear operator is a formula that is linear in v:
 * J is the matrix of the operator then.
 */
#include "calculus.h"
#include "derive.h"
#include "layout.h"
#include "make.h"
#include "order.h"
#include "partial.h"
#include "reductions.h"
#include "simplify.h"

enum { MOST_DIRECTIONS = 4096 }; /* rows or columns of J that are derived one by one */

/* ---- What depends on v ------------------------------------------------------------------------------------------- */

typedef struct walk {
    kf_graph *g;
    kf_order order; /* of F, through reductions */
    bool *depends;  /* by position: the node depends on the value of v */
    bool reduces;   /* a node that depends on v is a reduction */
} walk;

static void walk_finish(walk *w)
{
    kb_free(kf_allocator(w->g), w->depends);
    kf_order_finish(&w->order);
}

/* False after setting the graph's error; nothing is to be finished then. */
/* `mixes`: reductions may go over the rows of the variable. */
static bool walk_init(walk *w, kf_graph *g, const char *name, const kf_node *F, const kf_node *v, bool mixes)
{
    *w = (walk){.g = g};
    if (kf_order_init(&w->order, g, 1, &F, false, &g->error) < 0)
        return false;
    bool ok = (w->depends = kb_calloc(kf_allocator(g), w->order.count, sizeof *w->depends)) != NULL;
    if (!ok)
        kb_no_memory(&g->error);
    for (size_t k = 0; ok && k < w->order.count; k++) {
        const kf_node *f = w->order.nodes[k];
        w->depends[k] = f == v;
        for (int c = 0; c < (f->op == KF_LIKE ? 1 : f->arg_count); c++)
            w->depends[k] |= w->depends[kf_at(&w->order, f->arg[c])];
        if (f->op != KF_REDUCE || !w->depends[k])
            continue;
        w->reduces = true;
        ok = f->kind != KF_INT && !kf_is_indexed(f) && (mixes || !((unsigned)f->param[1] & v->axes));
        if (!ok)
            kb_fail(
                &g->error, KCL_ERROR_DERIVATIVE,
                "%s: the formula has a %s_Reduction that mixes the rows of the variable: there is no derivative for "
                "each row",
                name, kf_reduction_get((kf_reduction)f->param[0])->name);
    }
    if (!ok)
        walk_finish(w);
    return ok;
}

/* ---- Directions -------------------------------------------------------------------------------------------------- */

static const kf_node *unit(kf_graph *g, int64_t dim, int64_t k)
{
    const kf_node *one = kf_rat(g, 1, 1);
    return dim == 1 ? one : kf_make(g, KF_ELEMT, &one, (int64_t[]){dim, k});
}

/* For parts of a result that `finished` completes: the axes of f need not be kept. */
static const kf_node *elem(kf_graph *g, const kf_node *f, int64_t k)
{
    f = f ? kf_value(f) : NULL;
    return !f || f->dim == 1 ? f : kf_or_zero(g, kf_make(g, KF_ELEM, &f, &k));
}

static const kf_node *dot(kf_graph *g, const kf_node *f, const kf_node *h)
{
    const kf_node *product = f && h ? kf_product(g, kf_value(f), kf_value(h)) : NULL;
    return product && kf_is_zero(product) ? kf_zero(g, 1) : kf_dot(g, f, h);
}

static const kf_node *column(kf_graph *g, const kf_node *F, const kf_node *v, int64_t k)
{
    const kf_node *u = unit(g, v->dim, k), *out = NULL;
    return u && kf_diff(g, F, v, u, &out) == KCL_OK ? out : NULL;
}

static const kf_node *row(kf_graph *g, const kf_node *F, const kf_node *v, int64_t k)
{
    const kf_node *e = unit(g, F->dim, k), *out = NULL;
    return e && kf_vjp(g, F, e, 1, &v, &out) == KCL_OK ? out : NULL;
}

/* The derivatives from `first` on, concatenated by halves, so that no component passes through many operators. */
static const kf_node *all_of(kf_graph *g, const kf_node *F, const kf_node *v, int64_t first, int64_t count,
                             const kf_node *(*derive)(kf_graph *, const kf_node *, const kf_node *, int64_t))
{
    if (count == 1)
        return derive(g, F, v, first);
    const kf_node *left = all_of(g, F, v, first, count / 2, derive);
    return left ? kf_binary(g, KF_CONCAT, left, all_of(g, F, v, first + count / 2, count - count / 2, derive)) : NULL;
}

static bool few_directions(kf_graph *g, const char *name, int64_t count)
{
    if (count > MOST_DIRECTIONS)
        kf_refuse(g, KCL_ERROR_SHAPE, "%s: %lld derivatives, one for each component, are more than %d", name,
                  (long long)count, MOST_DIRECTIONS);
    return count <= MOST_DIRECTIONS;
}

/* `result`, simplified, on the axes of F: all axes of F count. */
static kcl_status finished(kf_graph *g, const kf_node *result, const kf_node *F, const kf_node **out)
{
    if (!result || kf_simplify(g, 1, &result, out) < 0 || !(*out = kf_like(g, *out, F)))
        return g->error.status;
    return KCL_OK;
}

kcl_status kf_grad_matrix(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out)
{
    const char *name = "GradMatrix";
    walk w;
    if ((int64_t)F->dim * v->dim > KF_MAX_DIM)
        return kb_fail(&g->error, KCL_ERROR_SHAPE, "%s: dimensions %d and %d give more than %d components", name,
                       F->dim, v->dim, KF_MAX_DIM);
    if (!walk_init(&w, g, name, F, v, false))
        return g->error.status;
    const bool by_rows = !w.reduces && F->dim <= v->dim;
    const kf_node *J = NULL;
    walk_finish(&w);
    if (by_rows) {
        J = few_directions(g, name, F->dim) ? all_of(g, F, v, 0, F->dim, row) : NULL;
    } else if (few_directions(g, name, v->dim)) {
        const kf_layout turned = {.rank = 2, .size = {F->dim, v->dim}, .stride = {1, F->dim}};
        J = kf_arrange(g, all_of(g, F, v, 0, v->dim, column), &turned);
    }
    return finished(g, J, F, out);
}

/* ---- Traces ------------------------------------------------------------------------------------------------------ */

static bool add_to(kf_graph *g, const kf_node **sum, const kf_node *term)
{
    if (term && !kf_is_zero(term))
        *sum = *sum ? kf_binary(g, KF_ADD, *sum, term) : term;
    return term && (*sum || kf_is_zero(term));
}

/* The sum of the diagonal of w J, column by column. */
static const kf_node *trace_by_columns(kf_graph *g, const char *name, const kf_node *F, const kf_node *v,
                                       const kf_guarded *w)
{
    const kf_node *sum = NULL;
    bool ok = few_directions(g, name, v->dim);
    for (int64_t k = 0; ok && k < v->dim; k++) {
        const kf_guarded product = {kf_product(g, elem(g, w->value, k), elem(g, column(g, F, v, k), k)),
                                    elem(g, w->where, k), false};
        ok = add_to(g, &sum, kf_guard_mask(g, &product));
    }
    return !ok ? NULL : sum ? sum : kf_zero(g, 1);
}

/*
 * One sweep over the graph, users before operands, of what the trace is linear in. A node f of v's dimension has a
 * weight w: the sum of w_k df_k/dv_k is wanted. So has a number that its user repeats to that dimension. What is
 * elementwise hands w times its partial derivative on to its operands. Any other number s adds w . ds/dv. v itself adds
 * the sum of w. What moves components about adds the derivatives by each component.
 */
typedef struct trace {
    walk *walk;
    const char *name;
    const kf_node *v;
    kf_guarded *weight; /* by position; without value: 0 */
    const kf_node *total;
} trace;

static bool hand_on(trace *t, const kf_node *f, const kf_guarded *w)
{
    kf_graph *g = t->walk->g;
    const bool is_map = kf_info((kf_op)f->op)->op_class == KF_CLASS_MAP;
    if (f == t->v) {
        const kf_node *all = kf_guard_mask(g, w);
        return all &&
               add_to(g, &t->total,
                      all->dim == 1 ? kf_binary(g, KF_MULT, kf_rat(g, f->dim, 1), all) : kf_unary(g, KF_SUM, all));
    }
    if (f->dim == 1 && !is_map && f->op != KF_LIKE) {
        const kf_node *gradient = NULL;
        if (kf_vjp(g, f, kf_rat(g, 1, 1), 1, &t->v, &gradient) < 0)
            return false;
        if (!w->where)
            return add_to(g, &t->total, dot(g, gradient, w->value));
        const kf_guarded product = {kf_product(g, gradient, w->value), w->where, false};
        return add_to(g, &t->total, kf_or_zero(g, kf_unary(g, KF_SUM, kf_guard_mask(g, &product))));
    }
    if (!is_map && f->op != KF_LIKE && f->op != KF_SUMT)
        return add_to(g, &t->total, trace_by_columns(g, t->name, f, t->v, w));
    for (int k = 0; k < (f->op == KF_LIKE ? 1 : f->arg_count); k++) {
        const size_t at = kf_at(&t->walk->order, f->arg[k]);
        if (!t->walk->depends[at] || (kf_is_choice(f) && !k))
            continue;
        kf_guarded term = *w;
        const kf_node *when = is_map ? kf_condition(g, f, k) : NULL;
        if (is_map && !when)
            term.value = kf_times_partial(g, f, k, w->value);
        term.where = kf_guard_and(g, w->where, when);
        term.masked = false;
        if (!kf_guard_add(g, &t->weight[at], &term))
            return false;
    }
    return true;
}

/* The sum of w_k dF_k/dv_k; an F of dimension 1 is repeated. */
static kcl_status weighted_trace(kf_graph *g, const char *name, const kf_node *F, const kf_node *v, const kf_node *w,
                                 const kf_node **out)
{
    walk walk;
    if (!walk_init(&walk, g, name, F, v, false))
        return g->error.status;
    trace t = {.walk = &walk, .name = name, .v = v};
    bool ok = (t.weight = kb_calloc(kf_allocator(g), walk.order.count, sizeof *t.weight)) != NULL;
    if (!ok)
        kb_no_memory(&g->error);
    if (ok && walk.reduces) { /* kf_vjp ends at reductions */
        const kf_node *repeated = F->dim < v->dim ? kf_make(g, KF_SUMT, &F, &(int64_t){v->dim}) : F;
        ok = repeated && (t.total = trace_by_columns(g, name, repeated, v, &(kf_guarded){.value = w})) != NULL;
    } else if (ok) {
        if (walk.depends[kf_at(&walk.order, F)])
            t.weight[kf_at(&walk.order, F)].value = w;
        for (size_t k = walk.order.count; ok && k-- > 0;)
            ok = !t.weight[k].value || hand_on(&t, walk.order.nodes[k], &t.weight[k]);
    }
    kb_free(kf_allocator(g), t.weight);
    walk_finish(&walk);
    return ok ? finished(g, t.total ? t.total : kf_zero(g, 1), F, out) : g->error.status;
}

kcl_status kf_divergence(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out)
{
    if (F->dim != v->dim)
        return kb_fail(&g->error, KCL_ERROR_SHAPE,
                       "Divergence: the formula has dimension %d, the variable has %d; they must be equal", F->dim,
                       v->dim);
    const kf_node *one = kf_rat(g, 1, 1);
    return one ? weighted_trace(g, "Divergence", F, v, one, out) : g->error.status;
}

kcl_status kf_laplacian(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out)
{
    const char *name = "Laplacian";
    walk w;
    if (F->dim != 1)
        return kb_fail(&g->error, KCL_ERROR_SHAPE, "%s: the formula has dimension %d, it must be 1", name, F->dim);
    if (!walk_init(&w, g, name, F, v, false))
        return g->error.status;
    const bool reduces = w.reduces;
    const kf_node *one = kf_rat(g, 1, 1), *gradient = NULL;
    walk_finish(&w);
    if (!one || (reduces ? kf_grad_matrix(g, F, v, &gradient) : kf_vjp(g, F, one, 1, &v, &gradient)) < 0)
        return g->error.status;
    return weighted_trace(g, name, gradient, v, one, out);
}

/* ---- Linear operators -------------------------------------------------------------------------------------------- */

enum { CONSTANT, LINEAR, NEITHER };

static int class_of(const walk *w, const int *classes, const kf_node *f, const kf_node *v)
{
    int of[KF_MAX_ARGS] = {CONSTANT, CONSTANT, CONSTANT};
    bool linear = false, zeros = true; /* constant operands are 0 */
    if (f == v)
        return LINEAR;
    if (!w->depends[kf_at(&w->order, f)])
        return CONSTANT;
    const int count = f->op == KF_LIKE ? 1 : f->arg_count;
    for (int k = 0; k < count; k++) {
        of[k] = classes[kf_at(&w->order, f->arg[k])];
        if (of[k] == NEITHER)
            return NEITHER;
        linear |= of[k] == LINEAR;
        zeros &= of[k] == LINEAR || kf_is_zero(kf_value(f->arg[k])) || (kf_is_choice(f) && k == 0);
    }
    switch ((kf_op)f->op) {
    case KF_MULT:
        linear = of[0] != of[1];
        break;
    case KF_DIVIDE:
        linear = of[1] == CONSTANT;
        break;
    case KF_IFELSE:
    case KF_WHERE:
        linear = zeros && of[0] == CONSTANT;
        break;
    case KF_MAX:
    case KF_MIN:
        linear = false;
        break;
    case KF_ADD:
    case KF_SUB:
    case KF_MINUS:
    case KF_LIKE:
        linear = zeros;
        break;
    case KF_REDUCE:
        linear = f->param[0] == KF_REDUCE_SUM;
        break;
    default:
        linear = zeros && kf_info((kf_op)f->op)->op_class != KF_CLASS_MAP;
    }
    return linear ? LINEAR : NEITHER;
}

kcl_status kf_check_linear(kf_graph *g, const char *name, const kf_node *F, const kf_node *v, kf_through through)
{
    walk w;
    if (!walk_init(&w, g, name, F, v, through == KF_THROUGH_ALL))
        return g->error.status;
    if (w.reduces && through == KF_THROUGH_NONE) {
        walk_finish(&w);
        return kb_fail(&g->error, KCL_ERROR_DERIVATIVE, "%s: the formula depends on the variable through a reduction",
                       name);
    }
    int *classes = kb_calloc(kf_allocator(g), w.order.count, sizeof *classes);
    bool linear = false;
    for (size_t k = 0; classes && k < w.order.count; k++)
        classes[k] = class_of(&w, classes, w.order.nodes[k], v);
    if (classes) {
        const int of = classes[kf_at(&w.order, F)];
        linear = of == LINEAR || (of == CONSTANT && kf_is_zero(kf_value(F)));
    }
    kb_free(kf_allocator(g), classes);
    walk_finish(&w);
    if (!classes)
        return kb_no_memory(&g->error);
    return linear ? KCL_OK
                  : kb_fail(&g->error, KCL_ERROR_DERIVATIVE, "%s: the formula is not linear in the variable", name);
}

/* Checks a vector of weights, or one number for all components. */
static kcl_status check_weight(kf_graph *g, const char *name, const kf_node *w, int64_t dim)
{
    if (w->dim == 1 || w->dim == dim)
        return KCL_OK;
    return kb_fail(&g->error, KCL_ERROR_SHAPE, "%s: weights of dimension %d for %lld components", name, w->dim,
                   (long long)dim);
}

kcl_status kf_trace_operator(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *w, const kf_node **out)
{
    const char *name = "TraceOperator";
    if (F->dim != v->dim && F->dim != 1)
        return kb_fail(&g->error, KCL_ERROR_SHAPE,
                       "%s: the formula has dimension %d, the variable has %d; they must be equal, or that of the "
                       "formula 1",
                       name, F->dim, v->dim);
    if (!w && !(w = kf_rat(g, 1, 1)))
        return g->error.status;
    if (check_weight(g, name, w, v->dim) < 0 || kf_check_linear(g, name, F, v, KF_THROUGH_ROWS) < 0)
        return g->error.status;
    return weighted_trace(g, name, F, v, w, out);
}

kcl_status kf_sum_lin_operator(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *left,
                               const kf_node *right, const kf_node **out)
{
    const char *name = "SumLinOperator";
    const kf_node *one = kf_rat(g, 1, 1), *gradient = NULL;
    left = left ? left : one;
    right = right ? right : one;
    if (!one || check_weight(g, name, left, F->dim) < 0 || check_weight(g, name, right, v->dim) < 0 ||
        kf_check_linear(g, name, F, v, KF_THROUGH_NONE) < 0 || kf_vjp(g, F, left, 1, &v, &gradient) < 0)
        return g->error.status;
    return finished(g, dot(g, gradient, right), F, out);
}
