/* SPDX-License-Identifier: MIT */
/* formula/derive.c: reverse-mode derivatives, as formulas. */
#include "graph.h"

#include <string.h>

/* ---- One rule per operator --------------------------------------------------------------------------------------- */

#define INT(x) kf_rat(g, x, 1)
#define RAT(p, q) kf_rat(g, p, q)
#define NUM(x) kf_num(g, x)
#define ZERO(n) kf_zero(g, n)
#define MINUS(x) kf_unary(g, KF_MINUS, x)
#define SQUARE(x) kf_unary(g, KF_SQUARE, x)
#define INV(x) kf_unary(g, KF_INV, x)
#define EXP(x) kf_unary(g, KF_EXP, x)
#define LOG(x) kf_unary(g, KF_LOG, x)
#define RSQRT(x) kf_unary(g, KF_RSQRT, x)
#define SIN(x) kf_unary(g, KF_SIN, x)
#define COS(x) kf_unary(g, KF_COS, x)
#define SINH(x) kf_unary(g, KF_SINH, x)
#define COSH(x) kf_unary(g, KF_COSH, x)
#define SIGMOID(x) kf_unary(g, KF_SIGMOID, x)
#define SIGN(x) kf_unary(g, KF_SIGN, x)
#define MULT(x, z) kf_binary(g, KF_MULT, x, z)
#define DIV(x, z) kf_binary(g, KF_DIVIDE, x, z)
#define SUB(x, z) kf_binary(g, KF_SUB, x, z)
#define POWF(x, z) kf_binary(g, KF_POWF, x, z)
#define POW(x, m) kf_make(g, KF_POW, (const kf_node *[]){x}, (const int64_t[]){m})
#define ADD(x, z) kf_binary(g, KF_ADD, x, z)
#define STEP(x) kf_unary(g, KF_STEP, x)
#define NOT(x) kf_unary(g, KF_NOT, x)
#define NOT_EQUAL(x, z) kf_binary(g, KF_NOT_EQUAL, x, z)
#define LESS(x, z) kf_binary(g, KF_LESS, x, z)
#define LESS_EQUAL(x, z) kf_binary(g, KF_LESS_EQUAL, x, z)
#define SPHERICAL(x, m) kf_make(g, KF_SPHERICAL, (const kf_node *[]){x}, (const int64_t[]){m})
#define NONE NULL

static const kf_node *partial_of(kf_graph *g, const kf_node *y, int k)
{
    const kf_node *a = y->arg[0], *b = y->arg[1];
    const int64_t n = y->param[0];
    (void)b, (void)n;
    switch ((kf_op)y->op) {
#define KF_MAP(id, name, arity, params, cost, value, kernel, da, db, dc, low, high)                                    \
    case KF_##id:                                                                                                      \
        return k == 0 ? da : k == 1 ? db : dc;
#include "ops.def"
    default:
        return NULL;
    }
}

const kf_node *kf_times_partial(kf_graph *g, const kf_node *f, int k, const kf_node *e)
{
    /* What was not chosen may have no derivative, and 0 times that is not 0. */
    if (kf_is_choice(f) && k > 0)
        return kf_make(g, (kf_op)f->op, (const kf_node *[]){f->arg[0], k == 1 ? e : ZERO(1), k == 1 ? ZERO(1) : e},
                       NULL);
    const kf_node *partial = partial_of(g, f, k);
    if (f->op == KF_MINIMUM || f->op == KF_MAXIMUM) /* partial is 0 or 1 */
        return kf_make(g, KF_IFELSE, (const kf_node *[]){SUB(partial, INT(1)), e, ZERO(1)}, NULL);
    if (partial && kf_is_zero(partial))
        return ZERO(f->arg[k]->dim);
    return MULT(e, partial);
}

const kf_node *kf_refuse_second(kf_graph *g)
{
    if (g->error.status == KCL_OK)
        kb_fail(&g->error, KCL_ERROR_DERIVATIVE, "SoftDTW_SqDist has first derivatives, no second ones");
    return NULL;
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
    case KF_SUMROWS: {
        const kf_layout l = {.rank = 2, .size = {f->dim, p[0]}, .stride = {1, 0}};
        return kf_arrange(g, e, &l);
    }
    case KF_ARRANGE: {
        const kf_layout l = kf_layout_of(f);
        return kf_arrange_adjoint(g, &l, a->dim, e);
    }
    case KF_PLACE: {
        const kf_layout l = kf_layout_of(f);
        return kf_arrange(g, e, &l);
    }
    case KF_MAX:
    case KF_MIN:
        return MULT(e, kf_one_hot(g, kf_arg_extreme(g, a, (kf_op)f->op), a->dim));
    case KF_SOFTDTW: {
        const kf_node *all = kf_make(g, KF_SOFTDTW_GRAD, f->arg, NULL);
        const int64_t first = k == 0 ? 0 : k == 1 ? f->arg[0]->dim : (int64_t)f->arg[0]->dim + f->arg[1]->dim;
        return MULT(e, kf_make(g, KF_EXTRACT, &all, (int64_t[]){first, a->dim}));
    }
    case KF_SOFTDTW_GRAD:
        return kf_refuse_second(g);
    case KF_LIKE:
        return k ? kf_zero(g, a->dim) : e;
    default: {
        const kf_node *product = kf_times_partial(g, f, k, e);
        return product && a->dim < product->dim ? kf_unary(g, KF_SUM, product) : product;
    }
    }
}

/* The same of a cotangent with a guard. */
static bool pull_back_guarded(kf_graph *g, const kf_node *f, int k, const kf_guarded *c, kf_guarded *out)
{
    const int32_t dim = f->arg[k]->dim;
    const kf_node *when = kf_is_choice(f) && !k ? NULL : kf_condition(g, f, k);
    *out = (kf_guarded){.where = c->where};
    if (!when && !c->where) {
        out->value = pull_back(g, f, k, c->value);
    } else if (kf_info((kf_op)f->op)->op_class == KF_CLASS_MAP) {
        out->value = when ? c->value : kf_times_partial(g, f, k, c->value);
        out->where = kf_guard_and(g, c->where, when);
        if (out->value && dim < out->value->dim) { /* repeated: it counts where one of its repetitions does */
            out->value = kf_unary(g, KF_SUM, kf_guard_mask(g, out));
            out->where = out->where->dim > 1 ? kf_unary(g, KF_SUM, out->where) : out->where;
            out->masked = true;
        }
    } else {
        /* These are linear, so that the guard of a component becomes the number of its uses that count. */
        out->value = pull_back(g, f, k, c->value);
        if (out->value && c->where->dim > 1)
            out->where = pull_back(g, f, k, c->where);
    }
    return out->value && g->error.status == KCL_OK;
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
    return !e || e->dim == dim ? e : kf_make(g, KF_SUMT, &e, &dim);
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
    kf_guarded *cotangent = kb_calloc(alloc, order.count, sizeof *cotangent);
    bool *wanted = kb_calloc(alloc, order.count, sizeof *wanted);
    bool ok = cotangent && wanted;
    if (!ok)
        kb_no_memory(&g->error);
    for (size_t k = 0; ok && k < leaf_count; k++)
        if (kf_reached(&order, leaves[k]))
            wanted[kf_at(&order, leaves[k])] = true;
    /* Nodes above a wanted leaf. A reduction's operands belong to another sweep, unless it is F itself. */
    for (size_t k = 0; ok && k < order.count; k++)
        for (int c = 0; c < order.nodes[k]->arg_count && order.nodes[k]->op != KF_REDUCE; c++)
            wanted[k] |= wanted[kf_at(&order, order.nodes[k]->arg[c])];
    if (ok) {
        kf_guarded *of_F = &cotangent[kf_at(&order, F)];
        of_F->value = repeated_to(g, kf_to_real(g, e), F->dim);
        ok = of_F->value != NULL;
    }
    for (size_t k = order.count; ok && k-- > 0;) {
        const kf_node *f = order.nodes[k];
        if (!wanted[k] || !cotangent[k].value || f->op == KF_REDUCE)
            continue;
        for (int c = 0; ok && c < f->arg_count; c++) {
            size_t at = kf_at(&order, f->arg[c]);
            if (!wanted[at])
                continue;
            kf_guarded term;
            ok = pull_back_guarded(g, f, c, &cotangent[k], &term) && kf_guard_add(g, &cotangent[at], &term);
        }
    }
    for (size_t k = 0; ok && k < leaf_count; k++) {
        bool reached = kf_reached(&order, leaves[k]);
        const kf_node *c = reached ? kf_guard_mask(g, &cotangent[kf_at(&order, leaves[k])]) : NULL;
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
 * One sweep over the whole graph, users before operands. A cotangent is kept together with the axes on which it lives:
 * those of the terms of a reduction, or of the root. A variable that lacks some of them is used once for every index
 * of these axes, so its cotangent is summed over them at the end; that of a formula with a reduction in it is summed
 * at once, where a sweep can, because otherwise whatever it is made of would be visited for every formula that it goes
 * into.
 */
typedef struct domain {
    uint32_t axis[KF_AXIS_COUNT]; /* by axis: 1 + position of the variable that stands for its rows; 0: not there */
} domain;

typedef struct cotangent {
    struct cotangent *next; /* of the same node, on another domain */
    domain on;
    kf_guarded sum;
} cotangent;

typedef struct gradient {
    kf_graph *g;
    kb_arena arena;         /* of cotangents */
    kf_order order;         /* all nodes, through reductions */
    cotangent **cotangents; /* by position */
    /* By axis and position: a node that has the same rows, up to the first such variable. */
    uint32_t *same_rows[KF_AXIS_COUNT];
    bool *wanted;  /* the node has a derivative by a variable that is asked for */
    bool *reduces; /* the node depends on a reduction, or is one */
    size_t var_count;
    const kf_node *const *vars;
    const kf_node **out;    /* as they are used in the role of vars[k] */
    const kf_node **turned; /* as they are used in the other role of rows, to be transposed */
} gradient;

static uint32_t find_rows(const gradient *s, int axis, uint32_t at)
{
    uint32_t *to = s->same_rows[axis];
    while (to[at] != at) {
        to[at] = to[to[at]];
        at = to[at];
    }
    return at;
}

/* Operands of one node have the same rows; the node that comes first, a variable, stands for all. */
static void join_rows(gradient *s)
{
    for (uint32_t k = 0; k < s->order.count; k++) {
        const kf_node *f = s->order.nodes[k];
        for (int axis = 0; axis < KF_AXIS_COUNT; axis++)
            s->same_rows[axis][k] = k;
        for (int c = 0; c < f->arg_count; c++) {
            for (int axis = 0; axis < KF_AXIS_COUNT; axis++) {
                /* Numbers of rows are the same nodes on all axes. */
                if (!(f->axes & f->arg[c]->sized & (1u << axis)))
                    continue;
                uint32_t a = find_rows(s, axis, k), b = find_rows(s, axis, (uint32_t)kf_at(&s->order, f->arg[c]));
                s->same_rows[axis][KB_MAX(a, b)] = KB_MIN(a, b);
            }
        }
    }
}

static domain domain_of(const gradient *s, const kf_node *f)
{
    domain d = {{0}};
    for (int axis = 0; axis < KF_AXIS_COUNT; axis++)
        if (f->axes & (1u << axis))
            d.axis[axis] = 1 + find_rows(s, axis, (uint32_t)kf_at(&s->order, f));
    return d;
}

bool kf_has_one_shape(kf_graph *g, const kf_node *var, const kf_node *leaf)
{
    if (leaf->param[2] == var->param[2] || (leaf->param[2] != KF_ROLE_P && var->param[2] != KF_ROLE_P))
        return true;
    kb_fail(&g->error, KCL_ERROR_DERIVATIVE,
            "an array is used both as a parameter and as rows of points: its gradient has no one shape");
    return false;
}

/* c, which lives on `on`, summed over the axes that f lacks. Where c has but numbers of rows, `on` tells how many. */
static const kf_node *sum_to(const gradient *s, const kf_node *f, domain on, const kf_node *c)
{
    unsigned surplus = 0;
    for (int axis = 0; c && axis < KF_AXIS_COUNT; axis++) {
        const unsigned bit = 1u << axis;
        if (!on.axis[axis] || (f->axes & bit && !(c->axes & ~c->sized & bit)))
            continue;
        surplus |= bit & ~f->axes;
        c = kf_like_on(s->g, c, s->order.nodes[on.axis[axis] - 1], bit);
    }
    return c ? kf_reduce(s->g, KF_REDUCE_SUM, surplus, 0, c) : NULL;
}

/* Axes of `on` that f lacks. */
static unsigned surplus_of(const kf_node *f, domain on)
{
    unsigned surplus = 0;
    for (int axis = 0; axis < KF_AXIS_COUNT; axis++)
        surplus |= on.axis[axis] ? 1u << axis & ~f->axes : 0;
    return surplus;
}

/* sum_to of a cotangent with a guard: the sum counts where one of its terms does. */
static bool sum_guarded_to(const gradient *s, const kf_node *f, domain on, kf_guarded *c)
{
    if (c->where && c->where->axes & surplus_of(f, on)) {
        c->value = kf_guard_mask(s->g, c);
        c->where = sum_to(s, f, on, kf_like_on(s->g, c->where, c->value, c->where->axes));
        c->masked = true;
    }
    c->value = sum_to(s, f, on, c->value);
    return c->value && s->g->error.status == KCL_OK;
}

/*
 * No sweep sums over batches alone what depends on both i and j: that is left to operands that lack i or j, which sum over
 * the batches too.
 */
static bool can_sum_to(const kf_node *f, domain on)
{
    const unsigned surplus = surplus_of(f, on);
    return !surplus || surplus & KF_PAIR_AXES || (f->axes & KF_PAIR_AXES) != KF_PAIR_AXES;
}

static bool add_cotangent(gradient *s, const kf_node *f, domain on, kf_guarded c)
{
    size_t at = kf_at(&s->order, f);
    if (!c.value || !s->wanted[at] || kf_is_zero(kf_value(c.value)))
        return c.value != NULL;
    if (s->reduces[at] && can_sum_to(f, on)) {
        if (!sum_guarded_to(s, f, on, &c))
            return false;
        on = domain_of(s, f);
    }
    cotangent *known = s->cotangents[at];
    while (known && memcmp(&known->on, &on, sizeof on) != 0)
        known = known->next;
    if (!known) {
        known = kb_arena_alloc(&s->arena, sizeof *known);
        if (!known)
            return kb_no_memory(&s->g->error), false;
        *known = (cotangent){.next = s->cotangents[at], .on = on};
        s->cotangents[at] = known;
    }
    return kf_guard_add(s->g, &known->sum, &c);
}

static bool add_result(gradient *s, const kf_node *leaf, domain on, kf_guarded guarded)
{
    const kf_node *c = sum_guarded_to(s, leaf, on, &guarded) ? kf_guard_mask(s->g, &guarded) : NULL;
    for (size_t k = 0; c && k < s->var_count; k++) {
        if (s->vars[k]->param[0] != leaf->param[0])
            continue;
        if (!kf_has_one_shape(s->g, s->vars[k], leaf))
            return false;
        const kf_node **sum = leaf->param[2] == s->vars[k]->param[2] ? &s->out[k] : &s->turned[k];
        *sum = accumulate(s->g, *sum, c);
        if (!*sum)
            return false;
    }
    return c != NULL;
}

/* What the cotangent `e` of a reduction means for its terms. */
static const kf_node *pull_back_reduction(kf_graph *g, const kf_node *f, const kf_node *e)
{
    const kf_node *terms = f->arg[0], *F = NULL, *G = NULL, *share;
    if (kf_reduction_get((kf_reduction)f->param[0])->formulas == 2) { /* Concat, maybe on further axes */
        F = kf_make(g, KF_ELEM, &terms, &(int64_t){0});
        G = kf_make(g, KF_EXTRACT, &terms, (int64_t[]){1, f->dim});
    }
    switch ((kf_reduction)f->param[0]) {
    case KF_REDUCE_SUM:
        return e;
    case KF_REDUCE_LOGSUMEXP: /* every term has its share of the sum */
        return MULT(e, kf_unary(g, KF_EXP, SUB(f->arg[0], f)));
    case KF_REDUCE_LOGSUMEXPWEIGHT:
        share = MULT(e, kf_unary(g, KF_EXP, SUB(F, f)));
        return kf_binary(g, KF_CONCAT, kf_dot(g, share, G), share);
    case KF_REDUCE_SUMSOFTMAXWEIGHT: {
        const kf_node *sum = kf_reduce(g, KF_REDUCE_LOGSUMEXP, (unsigned)f->param[1], 0, kf_like(g, F, f->arg[0]));
        share = MULT(e, kf_unary(g, KF_EXP, SUB(F, sum)));
        return kf_binary(g, KF_CONCAT, kf_dot(g, share, SUB(G, f)), share);
    }
    case KF_REDUCE_GATHER:
        e = kf_like_on(g, kf_like(g, e, f->arg[1]), f->arg[0], f->axes);
        return kf_scatter(g, e, f->arg[1], (kf_part)f->param[2], f->arg[0]);
    case KF_REDUCE_SCATTER:
        return kf_gather(g, kf_like(g, e, f->arg[2]), f->arg[1], (kf_part)f->param[2]);
    default: /* an index is a constant; what chooses by one was replaced (kf_select_terms) */
        return kf_zero(g, f->arg[0]->dim);
    }
}

/* Hands the cotangent of a reduction on to its terms, as far as its guard is one of theirs too. */
static bool pull_back_to_terms(gradient *s, const kf_node *f, kf_guarded c)
{
    kf_graph *g = s->g;
    const bool same_components = f->param[0] == KF_REDUCE_SUM || f->param[0] == KF_REDUCE_LOGSUMEXP;
    if (c.where && (kf_is_indexed(f) || (c.where->dim > 1 && !same_components))) {
        c.value = kf_guard_mask(g, &c);
        c.where = kf_is_indexed(f) ? NULL : kf_unary(g, KF_SUM, c.where);
    }
    c.value = c.value ? pull_back_reduction(g, f, c.value) : NULL;
    c.masked = false;
    return g->error.status == KCL_OK && add_cotangent(s, f->arg[0], domain_of(s, f->arg[0]), c);
}

/* Hands a cotangent of f on to its operands. */
static bool pull_back_through(gradient *s, const kf_node *f, domain on, const kf_guarded *c)
{
    if (f->op == KF_VAR)
        return add_result(s, f, on, *c);
    if (f->op == KF_REDUCE)
        return pull_back_to_terms(s, f, *c);
    bool ok = true;
    for (int k = 0; ok && k < f->arg_count; k++) {
        kf_guarded term;
        if (s->wanted[kf_at(&s->order, f->arg[k])])
            ok = pull_back_guarded(s->g, f, k, c, &term) && add_cotangent(s, f->arg[k], on, term);
    }
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
                       e->axes & ~F->axes & KF_AXIS_I   ? "i"
                       : e->axes & ~F->axes & KF_AXIS_J ? "j"
                                                        : "a batch axis");
    if (kf_select_terms(g, F, var_count, vars, &F) < 0 || kf_order_init(&s.order, g, 1, &F, false, &g->error) < 0)
        return g->error.status;
    const kcl_allocator *alloc = kf_allocator(g);
    kb_arena_init(&s.arena, alloc);
    s.cotangents = kb_calloc(alloc, s.order.count, sizeof *s.cotangents);
    s.same_rows[0] = kb_calloc(alloc, s.order.count * KF_AXIS_COUNT, sizeof *s.same_rows[0]);
    for (size_t axis = 1; s.same_rows[0] && axis < KF_AXIS_COUNT; axis++)
        s.same_rows[axis] = s.same_rows[0] + axis * s.order.count;
    s.wanted = kb_calloc(alloc, s.order.count, sizeof *s.wanted);
    s.reduces = kb_calloc(alloc, s.order.count, sizeof *s.reduces);
    s.turned = kb_calloc(alloc, var_count, sizeof *s.turned);
    bool ok = s.cotangents && s.same_rows[0] && s.wanted && s.reduces && s.turned;
    if (!ok)
        kb_no_memory(&g->error);
    for (size_t k = 0; k < var_count; k++)
        out[k] = NULL;
    for (size_t k = 0; ok && k < s.order.count; k++) {
        const kf_node *f = s.order.nodes[k];
        s.wanted[k] = kf_is_among(f, var_count, vars);
        s.reduces[k] = f->op == KF_REDUCE;
        for (int c = 0; c < f->arg_count; c++) {
            s.wanted[k] |= s.wanted[kf_at(&s.order, f->arg[c])];
            s.reduces[k] |= s.reduces[kf_at(&s.order, f->arg[c])];
        }
        if (s.wanted[k] && f->kind == KF_INT && F->kind == KF_INT) {
            kb_fail(&g->error, KCL_ERROR_DERIVATIVE,
                    "the result of %s_Reduction is a whole number: it jumps where it changes and has no gradient",
                    kf_reduction_get((kf_reduction)f->param[0])->name);
            ok = false;
        }
        s.wanted[k] = s.wanted[k] && f->kind != KF_INT;
    }
    if (ok)
        join_rows(&s);
    ok = ok &&
         add_cotangent(&s, F, domain_of(&s, F), (kf_guarded){repeated_to(g, kf_to_real(g, e), F->dim), NULL, false});
    for (size_t k = s.order.count; ok && k-- > 0;)
        for (const cotangent *c = s.cotangents[k]; ok && c; c = c->next)
            ok = pull_back_through(&s, s.order.nodes[k], c->on, &c->sum);
    for (size_t k = 0; ok && k < var_count; k++) {
        const kf_node *sum = out[k] ? out[k] : kf_zero(g, vars[k]->dim);
        if (sum && s.turned[k])
            sum = accumulate(g, out[k], kf_transpose(g, s.turned[k]));
        out[k] = kf_like(g, sum, vars[k]);
        ok = out[k] != NULL;
    }
    if (ok && var_count)
        ok = kf_simplify(g, var_count, out, out) == KCL_OK;
    kb_free(alloc, s.cotangents);
    kb_free(alloc, s.same_rows[0]);
    kb_arena_finish(&s.arena);
    kb_free(alloc, s.wanted);
    kb_free(alloc, s.reduces);
    kb_free(alloc, s.turned);
    kf_order_finish(&s.order);
    return ok ? KCL_OK : g->error.status;
}
