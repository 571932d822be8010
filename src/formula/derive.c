/* SPDX-License-Identifier: MIT */
/* formula/derive.c: reverse-mode derivatives, as formulas. */
#include "graph.h"

/* ---- One rule per operator --------------------------------------------------------------------------------------- */

#define INT(x) kf_rat(g, x, 1)
#define RAT(p, q) kf_rat(g, p, q)
#define NUM(x) kf_num(g, x)
#define ZERO(n) kf_zero(g, n)
#define MINUS(x) kf_unary(g, KF_MINUS, x)
#define SQUARE(x) kf_unary(g, KF_SQUARE, x)
#define INV(x) kf_unary(g, KF_INV, x)
#define LOG(x) kf_unary(g, KF_LOG, x)
#define RSQRT(x) kf_unary(g, KF_RSQRT, x)
#define SIN(x) kf_unary(g, KF_SIN, x)
#define COS(x) kf_unary(g, KF_COS, x)
#define SIGN(x) kf_unary(g, KF_SIGN, x)
#define MULT(x, z) kf_binary(g, KF_MULT, x, z)
#define DIV(x, z) kf_binary(g, KF_DIVIDE, x, z)
#define SUB(x, z) kf_binary(g, KF_SUB, x, z)
#define POWF(x, z) kf_binary(g, KF_POWF, x, z)
#define POW(x, m) kf_make(g, KF_POW, (const kf_node *[]){x}, (const int64_t[]){m})
#define NONE NULL

/* The derivative of an elementwise node by its operand `k`, elementwise. */
static const kf_node *partial(kf_graph *g, const kf_node *y, int k)
{
    const kf_node *a = y->arg[0], *b = y->arg[1];
    const int64_t n = y->param[0];
    (void)b, (void)n;
    switch ((kf_op)y->op) {
#define KF_MAP(id, name, arity, params, cost, value, kernel, da, db, low, high)                                        \
    case KF_##id:                                                                                                      \
        return k == 0 ? da : db;
#include "ops.def"
    default:
        return NULL;
    }
}

/* What the cotangent `e` of node f means for its operand `k`. */
static const kf_node *pull_back(kf_graph *g, const kf_node *f, int k, const kf_node *e)
{
    const kf_node *a = f->arg[k];
    const int64_t *p = f->param;
    switch ((kf_op)f->op) {
    case KF_SUM:
        return kf_make(g, KF_SUMT, &e, &(int64_t){a->dim});
    case KF_SUMT:
        return kf_unary(g, KF_SUM, e);
    case KF_ELEM:
        return kf_make(g, KF_ELEMT, &e, (int64_t[]){a->dim, p[0]});
    case KF_ELEMT:
        return kf_make(g, KF_ELEM, &e, (int64_t[]){p[1]});
    case KF_EXTRACT:
        return kf_make(g, KF_EXTRACTT, &e, (int64_t[]){p[0], a->dim});
    case KF_EXTRACTT:
        return kf_make(g, KF_EXTRACT, &e, (int64_t[]){p[0], a->dim});
    case KF_CONCAT:
        return kf_make(g, KF_EXTRACT, &e, (int64_t[]){k ? f->arg[0]->dim : 0, a->dim});
    case KF_LIKE:
        return k ? kf_zero(g, a->dim) : e;
    default: {
        const kf_node *product = MULT(e, partial(g, f, k));
        return product && a->dim < product->dim ? kf_unary(g, KF_SUM, product) : product;
    }
    }
}

/* ---- Formulas ---------------------------------------------------------------------------------------------------- */

static const kf_node *accumulate(kf_graph *g, const kf_node *sum, const kf_node *term)
{
    if (!term || kf_is_zero(term))
        return term ? sum : NULL;
    return sum ? kf_binary(g, KF_ADD, sum, term) : term;
}

static const kf_node *repeated_to(kf_graph *g, const kf_node *e, int64_t dim)
{
    return e->dim == dim ? e : kf_make(g, KF_SUMT, &e, &dim);
}

kcl_status kf_vjp(kf_graph *g, const kf_node *F, const kf_node *e, size_t leaf_count, const kf_node *const *leaves,
                  const kf_node **out)
{
    if (e->dim != F->dim && e->dim != 1)
        return kb_fail(&g->error, KCL_ERROR_SHAPE,
                       "Grad: the formula has dimension %d, the cotangent has %d; they must be equal", F->dim, e->dim);
    kf_order order;
    if (kf_order_init(&order, g, 1, &F, true, &g->error) < 0)
        return g->error.status;
    const kcl_allocator *alloc = kf_allocator(g);
    const kf_node **cotangent = kb_calloc(alloc, order.count, sizeof *cotangent);
    bool *wanted = kb_calloc(alloc, order.count, sizeof *wanted);
    bool ok = cotangent && wanted;
    if (!ok)
        kb_no_memory(&g->error);
    for (size_t k = 0; ok && k < leaf_count; k++)
        if (leaves[k]->id < order.position_count && order.position[leaves[k]->id])
            wanted[kf_at(&order, leaves[k])] = true;
    /* Nodes above a wanted leaf. A reduction's operands belong to another sweep, unless it is F itself. */
    for (size_t k = 0; ok && k < order.count; k++)
        for (int c = 0; c < order.nodes[k]->arg_count && order.nodes[k]->op != KF_REDUCE; c++)
            wanted[k] |= wanted[kf_at(&order, order.nodes[k]->arg[c])];
    if (ok) {
        cotangent[kf_at(&order, F)] = repeated_to(g, e, F->dim);
        ok = cotangent[kf_at(&order, F)] != NULL;
    }
    for (size_t k = order.count; ok && k-- > 0;) {
        const kf_node *f = order.nodes[k];
        if (!wanted[k] || !cotangent[k] || f->op == KF_REDUCE)
            continue;
        for (int c = 0; ok && c < f->arg_count; c++) {
            size_t at = kf_at(&order, f->arg[c]);
            if (!wanted[at])
                continue;
            const kf_node *term = pull_back(g, f, c, cotangent[k]);
            if (term && !kf_is_zero(term))
                cotangent[at] = accumulate(g, cotangent[at], term);
            ok = term && (kf_is_zero(term) || cotangent[at]);
        }
    }
    for (size_t k = 0; ok && k < leaf_count; k++) {
        bool reached = leaves[k]->id < order.position_count && order.position[leaves[k]->id];
        const kf_node *c = reached ? cotangent[kf_at(&order, leaves[k])] : NULL;
        out[k] = c ? c : kf_zero(g, leaves[k]->dim);
        ok = out[k] != NULL;
    }
    if (ok && leaf_count)
        ok = kf_simplify(g, leaf_count, out, out) == KCL_OK;
    /* A derivative that no longer mentions an axis still counts once for every index of it. */
    for (size_t k = 0; ok && k < leaf_count; k++)
        ok = (out[k] = kf_like(g, out[k], F)) != NULL;
    kb_free(alloc, cotangent);
    kb_free(alloc, wanted);
    kf_order_finish(&order);
    return ok ? KCL_OK : g->error.status;
}

/* ---- Through reductions ------------------------------------------------------------------------------------------ */

/*
 * The graph falls into stages: the root formula, and the formula of every reduction below it. Within a stage a value
 * may have both axes; a leaf that lacks an axis of the stage is used once for every index of it, so its cotangent is
 * summed over that axis. Stages are taken from the root down, each after all its users.
 */
typedef struct gradient {
    kf_graph *g;
    kf_order order;            /* all nodes, through reductions */
    const kf_node **cotangent; /* of reductions, by position */
    bool *wanted;              /* the node depends on a variable that is asked for */
    size_t var_count;
    const kf_node *const *vars;
    const kf_node **out;
} gradient;

/* The number of the wanted variable that has leaf's index, or -1. */
static ptrdiff_t wanted_var(const gradient *s, const kf_node *leaf)
{
    for (size_t k = 0; leaf->op == KF_VAR && k < s->var_count; k++)
        if (s->vars[k]->param[0] == leaf->param[0])
            return (ptrdiff_t)k;
    return -1;
}

static const kf_node *in_role_of(kf_graph *g, const kf_node *var, const kf_node *leaf, const kf_node *c)
{
    if (leaf->param[2] == var->param[2] || !c)
        return c;
    if (leaf->param[2] == KF_ROLE_P || var->param[2] == KF_ROLE_P) {
        kb_fail(&g->error, KCL_ERROR_DERIVATIVE,
                "an array is used both as a parameter and as rows of points: its gradient has no one shape");
        return NULL;
    }
    return kf_transpose(g, c);
}

static bool add_leaf(gradient *s, const kf_node *stage, const kf_node *leaf, const kf_node *c)
{
    kf_graph *g = s->g;
    unsigned surplus = stage->axes & ~leaf->axes;
    if (kf_is_zero(kf_value(c)))
        return true;
    c = kf_reduce(g, KF_REDUCE_SUM, surplus, 0, kf_like(g, c, stage));
    if (leaf->op == KF_REDUCE) {
        size_t at = kf_at(&s->order, leaf);
        s->cotangent[at] = accumulate(g, s->cotangent[at], c);
        return s->cotangent[at] != NULL;
    }
    for (size_t k = 0; k < s->var_count; k++) {
        if (s->vars[k]->param[0] != leaf->param[0])
            continue;
        const kf_node *turned = in_role_of(g, s->vars[k], leaf, c);
        s->out[k] = turned ? accumulate(g, s->out[k], turned) : NULL;
        if (!s->out[k])
            return false;
    }
    return true;
}

/* Pulls cotangent e of `stage` back to the stage's leaves. */
static bool pull_back_stage(gradient *s, const kf_node *stage, const kf_node *e)
{
    kf_graph *g = s->g;
    const kcl_allocator *alloc = kf_allocator(g);
    kf_order order;
    if (kf_order_init(&order, g, 1, &stage, true, &g->error) < 0)
        return false;
    const kf_node **leaves = kb_calloc(alloc, order.count * 2, sizeof *leaves);
    size_t count = 0;
    bool ok = leaves != NULL;
    if (!ok)
        kb_no_memory(&g->error);
    for (size_t k = 0; ok && k < order.count; k++) {
        const kf_node *f = order.nodes[k];
        if ((f->op == KF_VAR && wanted_var(s, f) >= 0) || (f->op == KF_REDUCE && s->wanted[kf_at(&s->order, f)]))
            leaves[count++] = f;
    }
    const kf_node **c = leaves + order.count;
    ok = ok && kf_vjp(g, stage, e, count, leaves, c) == KCL_OK;
    for (size_t k = 0; ok && k < count; k++)
        ok = add_leaf(s, stage, leaves[k], c[k]);
    kb_free(alloc, leaves);
    kf_order_finish(&order);
    return ok;
}

kcl_status kf_gradient(kf_graph *g, const kf_node *F, const kf_node *e, size_t var_count, const kf_node *const *vars,
                       const kf_node **out)
{
    gradient s = {.g = g, .var_count = var_count, .vars = vars, .out = out};
    if (e->dim != F->dim && e->dim != 1)
        return kb_fail(&g->error, KCL_ERROR_SHAPE,
                       "gradient: the expression has dimension %d, the cotangent has %d; they must be equal", F->dim,
                       e->dim);
    if (e->axes & ~F->axes)
        return kb_fail(&g->error, KCL_ERROR_SHAPE, "gradient: the cotangent has an axis (%s) that the expression lacks",
                       e->axes & ~F->axes & KF_AXIS_I ? "i" : "j");
    if (kf_order_init(&s.order, g, 1, &F, false, &g->error) < 0)
        return g->error.status;
    const kcl_allocator *alloc = kf_allocator(g);
    s.cotangent = kb_calloc(alloc, s.order.count, sizeof *s.cotangent);
    s.wanted = kb_calloc(alloc, s.order.count, sizeof *s.wanted);
    bool ok = s.cotangent && s.wanted;
    if (!ok)
        kb_no_memory(&g->error);
    for (size_t k = 0; k < var_count; k++)
        out[k] = NULL;
    for (size_t k = 0; ok && k < s.order.count; k++) {
        const kf_node *f = s.order.nodes[k];
        s.wanted[k] = wanted_var(&s, f) >= 0;
        for (int c = 0; c < f->arg_count; c++)
            s.wanted[k] |= s.wanted[kf_at(&s.order, f->arg[c])];
    }
    if (ok && F->op == KF_REDUCE)
        s.cotangent[kf_at(&s.order, F)] = repeated_to(g, e, F->dim);
    else if (ok)
        ok = pull_back_stage(&s, F, e);
    for (size_t k = s.order.count; ok && k-- > 0;) {
        const kf_node *f = s.order.nodes[k];
        if (f->op != KF_REDUCE || !s.cotangent[k])
            continue;
        /* The sum: every term has the cotangent of the result. */
        ok = pull_back_stage(&s, f->arg[0], s.cotangent[k]);
    }
    for (size_t k = 0; ok && k < var_count; k++) {
        out[k] = kf_like(g, out[k] ? out[k] : kf_zero(g, vars[k]->dim), vars[k]);
        ok = out[k] != NULL;
    }
    if (ok && var_count)
        ok = kf_simplify(g, var_count, out, out) == KCL_OK;
    kb_free(alloc, s.cotangent);
    kb_free(alloc, s.wanted);
    kf_order_finish(&s.order);
    return ok ? KCL_OK : g->error.status;
}
