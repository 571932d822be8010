/* SPDX-License-Identifier: MIT */
/* formula/gradient.c: reverse-mode derivatives through reductions, as formulas. */
#include "derive.h"
#include "make.h"
#include "order.h"
#include "partial.h"
#include "passes.h"
#include "reductions.h"
#include "simplify.h"

#include <string.h>

/*
 * One sweep over the whole graph, users before operands. A cotangent is kept together with the axes on which it lives:
 * the axes of the terms of a reduction, or of the root. A variable that lacks some of these axes is used once for every
 * index of them, so its cotangent is summed over them at the end. The cotangent of a formula with a reduction in it is
 * summed at once, if a sweep can: otherwise all that the formula is made of would be visited for every formula that
 * uses it.
 */
typedef struct domain {
    uint32_t axis[KF_AXIS_COUNT]; /* by axis: 1 + position of the variable that stands for its rows; 0: no such axis */
} domain;

typedef struct cotangent {
    struct cotangent *next; /* of the same node, on another domain */
    domain on;
    kf_guarded is;
} cotangent;

typedef struct gradient {
    kf_graph *g;
    kb_arena arena;         /* of cotangents */
    kf_order order;         /* all nodes, through reductions */
    cotangent **cotangents; /* by position */
    /* By axis and position: a node with the same rows, up to the first variable with these rows. */
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

/* Operands of one node have the same rows; the first node in the order, a variable, stands for all. */
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

/*
 * c, which lives on `on`, with the lengths of all its axes, and the axes that f lacks. If c has only the numbers of rows,
 * `on` tells how many rows.
 */
static const kf_node *spread(const gradient *s, const kf_node *f, domain on, const kf_node *c, unsigned *surplus)
{
    *surplus = 0;
    for (int axis = 0; c && axis < KF_AXIS_COUNT; axis++) {
        const unsigned bit = 1u << axis;
        if (!on.axis[axis] || (f->axes & bit && !(c->axes & ~c->sized & bit)))
            continue;
        *surplus |= bit & ~f->axes;
        c = kf_like_on(s->g, c, s->order.nodes[on.axis[axis] - 1], bit);
    }
    return c;
}

/* c, which lives on `on`, summed over the axes that f lacks. */
static const kf_node *sum_to(const gradient *s, const kf_node *f, domain on, const kf_node *c)
{
    unsigned surplus;
    c = spread(s, f, on, c, &surplus);
    return c ? kf_reduce(s->g, KF_REDUCE_SUM, surplus, 0, c) : NULL;
}

/*
 * No sweep sums over batches alone what depends on both i and j. Such a sum is left to operands that lack i or j, which
 * sum over the batches too.
 */
static bool can_sum_to(const kf_node *f, domain on)
{
    unsigned surplus = 0;
    for (int axis = 0; axis < KF_AXIS_COUNT; axis++)
        surplus |= on.axis[axis] ? 1u << axis & ~f->axes : 0;
    return !surplus || surplus & KF_PAIR_AXES || (f->axes & KF_PAIR_AXES) != KF_PAIR_AXES;
}

static bool add_cotangent(gradient *s, const kf_node *f, domain on, kf_guarded c)
{
    size_t at = kf_at(&s->order, f);
    if (!c.value || !s->wanted[at] || kf_is_zero(kf_value(c.value)))
        return c.value != NULL;
    if (s->reduces[at] && can_sum_to(f, on)) {
        domain own = domain_of(s, f);
        /* If f has only the numbers of an axis, the users of f tell the length of the axis. */
        for (int axis = 0; axis < KF_AXIS_COUNT; axis++)
            if (f->axes & ~f->sized & (1u << axis))
                own.axis[axis] = on.axis[axis];
        if (c.where && memcmp(&own, &on, sizeof on) != 0) {
            /* A row of the sum counts where one of the terms of the row counts. */
            const unsigned counted = c.where->axes & ~f->axes;
            unsigned surplus;
            const kf_node *terms = spread(s, f, on, counted ? kf_guard_mask(s->g, &c) : c.value, &surplus);
            c.value = terms ? kf_reduce(s->g, KF_REDUCE_SUM, surplus, 0, terms) : NULL;
            if (c.value && counted)
                c.where = kf_reduce(s->g, KF_REDUCE_SUM, counted, 0, kf_like_on(s->g, c.where, terms, c.where->axes));
            c.masked = c.masked || counted;
            if (!c.value || !c.where)
                return false;
        } else {
            c.value = sum_to(s, f, on, c.value);
        }
        on = own;
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
    return kf_guard_add(s->g, &known->is, &c);
}

static const kf_node *accumulate(kf_graph *g, const kf_node *sum, const kf_node *term)
{
    if (!term || kf_is_zero(term))
        return term ? sum : NULL;
    return sum ? kf_binary(g, KF_ADD, sum, term) : term;
}

static bool add_result(gradient *s, const kf_node *leaf, domain on, kf_guarded is)
{
    const kf_node *c = sum_to(s, leaf, on, kf_guard_mask(s->g, &is));
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

/* What the cotangent `e` of a reduction contributes to the cotangent of its terms. */
static kf_guarded pull_back_reduction(kf_graph *g, const kf_node *f, kf_guarded e)
{
    const kf_node *terms = f->arg[0], *F = NULL, *G = NULL, *share, *sum, *weighs;
    if (kf_reduction_get((kf_reduction)f->param[0])->formulas == 2) { /* Concat, maybe on further axes */
        F = kf_make(g, KF_ELEM, &terms, &(int64_t){0});
        G = kf_make(g, KF_EXTRACT, &terms, (int64_t[]){1, f->dim});
        if (e.where && e.where->dim > 1) {
            e = (kf_guarded){kf_guard_mask(g, &e), kf_unary(g, KF_SUM, e.where), true};
        }
    }
    switch ((kf_reduction)f->param[0]) {
    case KF_REDUCE_SUM:
        return e;
    case KF_REDUCE_LOGSUMEXP: /* every term has its share of the sum */
        share = kf_share(g, terms, f);
        return (kf_guarded){kf_product(g, e.value, share), kf_guard_and(g, e.where, share), !e.where};
    case KF_REDUCE_LOGSUMEXPWEIGHT:
        share = kf_product(g, e.value, kf_unary(g, KF_EXP, kf_binary(g, KF_SUB, F, f)));
        return (kf_guarded){kf_binary(g, KF_CONCAT, kf_dot(g, share, G), share),
                            kf_guard_and(g, e.where, kf_has_weight(g, F)), false};
    case KF_REDUCE_SUMSOFTMAXWEIGHT:
        sum = kf_reduce(g, KF_REDUCE_LOGSUMEXP, (unsigned)f->param[1], 0, kf_like(g, F, f->arg[0]));
        share = kf_share(g, F, sum);
        weighs = share;
        share = kf_product(g, e.value, share);
        sum = kf_dot(g, share, kf_binary(g, KF_SUB, G, f));
        sum = kf_make(g, KF_WHERE, (const kf_node *[]){weighs, sum, kf_zero(g, 1)}, NULL);
        return (kf_guarded){kf_binary(g, KF_CONCAT, sum, share), kf_guard_and(g, e.where, weighs), !e.where};
    case KF_REDUCE_GATHER:
        e.value = kf_like_on(g, kf_like(g, kf_guard_mask(g, &e), f->arg[1]), f->arg[0], f->axes);
        return (kf_guarded){kf_scatter(g, e.value, f->arg[1], (kf_part)f->param[2], f->arg[0]), NULL, true};
    case KF_REDUCE_SCATTER:
        e.value = kf_like(g, kf_guard_mask(g, &e), f->arg[2]);
        return (kf_guarded){kf_gather(g, e.value, f->arg[1], (kf_part)f->param[2]), NULL, true};
    default: /* an index is a constant; kf_select_terms has replaced what chooses by an index */
        return (kf_guarded){.value = kf_zero(g, f->arg[0]->dim)};
    }
}

/* Hands a cotangent of f on to its operands. */
static bool pull_back_through(gradient *s, const kf_node *f, domain on, kf_guarded c)
{
    if (f->op == KF_VAR)
        return add_result(s, f, on, c);
    if (f->op == KF_REDUCE)
        return add_cotangent(s, f->arg[0], domain_of(s, f->arg[0]), pull_back_reduction(s->g, f, c));
    bool ok = true;
    for (int k = 0; ok && k < f->arg_count; k++)
        if (s->wanted[kf_at(&s->order, f->arg[k])])
            ok = add_cotangent(s, f->arg[k], on, kf_pull_back(s->g, f, k, c));
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
         add_cotangent(&s, F, domain_of(&s, F), (kf_guarded){kf_repeated(g, kf_to_real(g, e), F->dim), NULL, true});
    for (size_t k = s.order.count; ok && k-- > 0;)
        for (const cotangent *c = s.cotangents[k]; ok && c; c = c->next)
            ok = pull_back_through(&s, s.order.nodes[k], c->on, c->is);
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
