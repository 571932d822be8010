/* SPDX-License-Identifier: MIT */
/* formula/forward.c: forward-mode derivatives, as formulas: one sweep over the graph, operands before users. */
#include "derive.h"
#include "make.h"
#include "matrix.h"
#include "order.h"
#include "partial.h"
#include "passes.h"
#include "reductions.h"
#include "simplify.h"

/* A NULL tangent is 0. A tangent may lack axes and repetitions of its node: users repeat the tangent. */
typedef struct forward {
    kf_graph *g;
    const kf_order *order;
    const kf_node **tangent; /* by position */
    size_t var_count;
    const kf_node *const *vars, *const *directions;
    bool this_use_only; /* other roles of the array do not move */
} forward;

static const kf_node *tangent_of(const forward *s, const kf_node *f)
{
    return s->tangent[kf_at(s->order, f)];
}

/* a + b, with NULL for 0. A failure sets *ok to false. */
static const kf_node *sum_of(kf_graph *g, const kf_node *a, const kf_node *b, bool *ok)
{
    const kf_node *sum = a && b ? kf_binary(g, KF_ADD, a, b) : a ? a : b;
    *ok = *ok && (sum || (!a && !b));
    return sum;
}

static const kf_node *of_variable(const forward *s, const kf_node *leaf, bool *ok)
{
    const kf_node *sum = NULL;
    for (size_t k = 0; *ok && k < s->var_count; k++) {
        const kf_node *v = s->vars[k], *u = s->directions[k];
        if (s->this_use_only ? v != leaf : v->param[0] != leaf->param[0])
            continue;
        *ok = kf_has_one_shape(s->g, v, leaf);
        if (*ok && leaf->param[2] != v->param[2])
            *ok = (u = kf_transpose(s->g, u)) != NULL;
        if (*ok && u->dim < leaf->dim)
            *ok = (u = kf_make(s->g, KF_SUMT, &u, &(int64_t){leaf->dim})) != NULL;
        if (*ok)
            sum = sum_of(s->g, sum, u, ok);
    }
    return sum;
}

/* The same choice between the tangents of the two operands: what is not taken has no part in the tangent. */
static const kf_node *of_choice(const forward *s, const kf_node *f, bool *ok)
{
    const kf_node *args[KF_MAX_ARGS] = {f->arg[0], tangent_of(s, f->arg[1]), tangent_of(s, f->arg[2])};
    if (!args[1] && !args[2])
        return NULL;
    for (int k = 1; k < KF_MAX_ARGS; k++)
        args[k] = args[k] ? args[k] : kf_zero(s->g, 1);
    const kf_node *made = kf_make(s->g, (kf_op)f->op, args, NULL);
    *ok = made != NULL;
    return made;
}

static const kf_node *of_map(const forward *s, const kf_node *f, bool *ok)
{
    const kf_node *sum = kf_is_choice(f) ? of_choice(s, f, ok) : NULL;
    for (int k = 0; *ok && k < f->arg_count && !kf_is_choice(f); k++) {
        const kf_node *t = tangent_of(s, f->arg[k]);
        if (!t)
            continue;
        const kf_node *product = kf_times_partial(s->g, f, k, t);
        *ok = product != NULL;
        if (*ok && !kf_is_zero(product))
            sum = sum_of(s->g, sum, product, ok);
    }
    if (*ok && sum && sum->dim < f->dim)
        *ok = (sum = kf_make(s->g, KF_SUMT, &sum, &(int64_t){f->dim})) != NULL;
    return sum;
}

/* Sums and copies are linear: the tangent is the same operator of the tangents of the operands. */
static const kf_node *of_linear(const forward *s, const kf_node *f, bool *ok)
{
    const kf_node *args[KF_MAX_ARGS] = {NULL};
    bool any = false;
    for (int k = 0; k < f->arg_count; k++) {
        args[k] = tangent_of(s, f->arg[k]);
        any |= args[k] != NULL;
        if (!args[k])
            *ok = *ok && (args[k] = kf_zero(s->g, f->arg[k]->dim)) != NULL;
    }
    const kf_node *made = any && *ok ? kf_or_zero(s->g, kf_make(s->g, (kf_op)f->op, args, f->param)) : NULL;
    *ok = *ok && (made || !any);
    return made && kf_is_zero(made) ? NULL : made;
}

static const kf_node *of_extreme(const forward *s, const kf_node *f, bool *ok)
{
    const kf_node *t = tangent_of(s, f->arg[0]);
    if (!t)
        return NULL;
    const kf_node *here = kf_one_hot(s->g, kf_arg_extreme(s->g, f->arg[0], (kf_op)f->op), f->arg[0]->dim);
    const kf_node *made = kf_dot(s->g, here, t);
    *ok = made != NULL;
    return made;
}

static const kf_node *of_call(const forward *s, const kf_node *f, bool *ok)
{
    const kf_node *all = NULL, *sum = NULL;
    int64_t first = 0;
    for (int k = 0; *ok && k < f->arg_count; first += f->arg[k++]->dim) {
        const kf_node *t = tangent_of(s, f->arg[k]);
        if (!t)
            continue;
        all = f->op == KF_SOFTDTW ? kf_make(s->g, KF_SOFTDTW_GRAD, f->arg, NULL) : kf_refuse_second(s->g);
        t = all ? kf_dot(s->g, kf_make(s->g, KF_EXTRACT, &all, (int64_t[]){first, f->arg[k]->dim}), t) : NULL;
        sum = sum ? kf_binary(s->g, KF_ADD, sum, t) : t;
        *ok = t && sum;
    }
    return sum;
}

/*
 * What a term adds to the tangent of its reduction: 0 if the weight of the term is exp(-infinity), whatever its tangent
 * is.
 */
static const kf_node *of_term(kf_graph *g, const kf_node *f, const kf_node *t)
{
    const kf_node *terms = f->arg[0], *F, *G, *share, *weighs;
    switch ((kf_reduction)f->param[0]) {
    case KF_REDUCE_SUM:
        return t;
    case KF_REDUCE_LOGSUMEXP: /* every term has its share of the sum */
        weighs = share = kf_share(g, terms, f);
        break;
    case KF_REDUCE_LOGSUMEXPWEIGHT:
    case KF_REDUCE_SUMSOFTMAXWEIGHT:
        F = kf_make(g, KF_ELEM, &terms, &(int64_t){0});
        G = kf_make(g, KF_EXTRACT, &terms, (int64_t[]){1, f->dim});
        if (f->param[0] == KF_REDUCE_SUMSOFTMAXWEIGHT) {
            weighs = share =
                kf_share(g, F, kf_reduce(g, KF_REDUCE_LOGSUMEXP, (unsigned)f->param[1], 0, kf_like(g, F, terms)));
            G = kf_binary(g, KF_SUB, G, f);
        } else {
            share = kf_unary(g, KF_EXP, kf_binary(g, KF_SUB, F, f));
            weighs = kf_has_weight(g, F);
        }
        t = kf_binary(g, KF_ADD, kf_binary(g, KF_MULT, kf_make(g, KF_ELEM, &t, &(int64_t){0}), G),
                      kf_make(g, KF_EXTRACT, &t, (int64_t[]){1, f->dim}));
        break;
    default: /* kf_select_terms has replaced what chooses by an index */
        return kf_zero(g, f->dim);
    }
    const kf_node *choice[] = {weighs, kf_binary(g, KF_MULT, t, share), kf_zero(g, 1)};
    return kf_make(g, KF_WHERE, choice, NULL);
}

static const kf_node *of_reduction(const forward *s, const kf_node *f, bool *ok)
{
    const kf_node *t = tangent_of(s, f->arg[0]);
    if (!t || f->kind == KF_INT) /* an index is a constant */
        return NULL;
    const unsigned own = s->this_use_only ? s->directions[0]->axes & ~s->vars[0]->axes : 0;
    if (own & (kf_is_indexed(f) ? ~0u : (unsigned)f->param[1])) {
        kb_fail(&s->g->error, KCL_ERROR_SHAPE,
                "derivative in a direction: the direction has an axis (%s) that the variable lacks, and a reduction is "
                "over it",
                own & KF_AXIS_I   ? "i"
                : own & KF_AXIS_J ? "j"
                                  : "a batch axis");
        *ok = false;
        return NULL;
    }
    /* A tangent that lacks an axis counts once for every term nevertheless. */
    if (kf_is_indexed(f)) {
        t = kf_rebuild(s->g, f, (const kf_node *[]){kf_like(s->g, t, f->arg[0]), f->arg[1], f->arg[2]});
        *ok = t != NULL;
        return t;
    }
    t = of_term(s->g, f, t);
    t = t ? kf_reduce(s->g, KF_REDUCE_SUM, (unsigned)f->param[1], 0, kf_like(s->g, t, f->arg[0])) : NULL;
    *ok = t != NULL;
    return t;
}

static const kf_node *tangent(const forward *s, const kf_node *f, bool *ok)
{
    switch (kf_info((kf_op)f->op)->op_class) {
    case KF_CLASS_LEAF:
        return f->op == KF_VAR ? of_variable(s, f, ok) : NULL;
    case KF_CLASS_MAP:
        return of_map(s, f, ok);
    case KF_CLASS_AXIS:
        return tangent_of(s, f->arg[0]);
    case KF_CLASS_CALL:
        return of_call(s, f, ok);
    case KF_CLASS_SUM:
        return f->op == KF_MAX || f->op == KF_MIN ? of_extreme(s, f, ok) : of_linear(s, f, ok);
    case KF_CLASS_COPY:
        return of_linear(s, f, ok);
    case KF_CLASS_REDUCE:
        return of_reduction(s, f, ok);
    }
    return NULL;
}

static kcl_status check_dimension(kf_graph *g, const kf_node *v, const kf_node *u)
{
    if (u->dim == v->dim || u->dim == 1)
        return KCL_OK;
    return kb_fail(&g->error, KCL_ERROR_SHAPE,
                   "derivative in a direction: the variable has dimension %d, the direction has %d; they must be "
                   "equal, or that of the direction 1",
                   v->dim, u->dim);
}

static kcl_status check_directions(kf_graph *g, size_t count, const kf_node *const *vars,
                                   const kf_node *const *directions)
{
    for (size_t k = 0; k < count; k++) {
        const kf_node *v = vars[k], *u = directions[k];
        if (check_dimension(g, v, u) < 0)
            return g->error.status;
        if (u->axes & ~v->axes)
            return kb_fail(&g->error, KCL_ERROR_SHAPE,
                           "derivative in a direction: the direction has an axis (%s) that the variable lacks",
                           u->axes & ~v->axes & KF_AXIS_I   ? "i"
                           : u->axes & ~v->axes & KF_AXIS_J ? "j"
                                                            : "a batch axis");
    }
    return KCL_OK;
}

static kcl_status sweep(kf_graph *g, const kf_node *F, size_t var_count, const kf_node *const *vars,
                        const kf_node *const *directions, bool this_use_only, const kf_node **out)
{
    kf_order order;
    if (kf_select_terms(g, F, var_count, vars, &F) < 0 || kf_order_init(&order, g, 1, &F, false, &g->error) < 0)
        return g->error.status;
    forward s = {.g = g,
                 .order = &order,
                 .var_count = var_count,
                 .vars = vars,
                 .directions = directions,
                 .this_use_only = this_use_only};
    s.tangent = kb_calloc(kf_allocator(g), order.count, sizeof *s.tangent);
    bool ok = s.tangent != NULL;
    if (!ok)
        kb_no_memory(&g->error);
    bool depends = false;
    for (size_t k = 0; ok && k < order.count; k++) {
        s.tangent[k] = tangent(&s, order.nodes[k], &ok);
        depends |= s.tangent[k] && F->kind == KF_INT;
    }
    if (ok && depends) {
        const kf_node *index = kf_value(F);
        kb_fail(&g->error, KCL_ERROR_DERIVATIVE,
                "the result of %s_Reduction is a whole number: it jumps where it changes and has no derivative",
                kf_reduction_get((kf_reduction)index->param[0])->name);
        ok = false;
    }
    if (ok) {
        *out = tangent_of(&s, F) ? tangent_of(&s, F) : kf_zero(g, F->dim);
        ok = (*out = kf_like(g, kf_to_real(g, *out), F)) != NULL;
    }
    ok = ok && kf_simplify(g, 1, out, out) == KCL_OK;
    kb_free(kf_allocator(g), s.tangent);
    kf_order_finish(&order);
    return ok ? KCL_OK : g->error.status;
}

kcl_status kf_jvp(kf_graph *g, const kf_node *F, size_t var_count, const kf_node *const *vars,
                  const kf_node *const *directions, const kf_node **out)
{
    if (check_directions(g, var_count, vars, directions) < 0)
        return g->error.status;
    return sweep(g, F, var_count, vars, directions, false, out);
}

kcl_status kf_diff(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *u, const kf_node **out)
{
    if (check_dimension(g, v, u) < 0)
        return g->error.status;
    return sweep(g, F, 1, &v, &u, true, out);
}
