/* SPDX-License-Identifier: MIT */
/* plan/expand.c: finds squared distances that may be expanded, and expands them. */
#include "expand.h"
#include "make.h"
#include "order.h"
#include "passes.h"
#include "simplify.h"

#include <math.h>

enum {
    SHORTEST = 8,     /* components of a distance, at least: shorter distances are never expanded */
    PAYS_ON_CPU = 32, /* components from which on preparing columns and reading them costs less than is gained */
    PAYS_ON_GPU = 16,
    FEW = 64,           /* rows or columns, below which preparing the other axis does not pay */
    FEW_PAIRS = 1 << 24 /* pairs, below which looking at the data does not pay */
};

bool kp_expansion_pays(const kp_caps *caps, int32_t dim, int64_t rows, int64_t cols)
{
    return dim >= (caps->device_class == KP_CPU ? PAYS_ON_CPU : PAYS_ON_GPU) && rows >= FEW && cols >= FEW &&
           rows >= FEW_PAIRS / cols;
}

double kp_error_growth(int32_t dim)
{
    return sqrt(0.09 * dim + 1.5);
}

/* ---- What a distance looks like ---------------------------------------------------------------------------------- */

static const kf_node *times(kf_graph *g, const kf_node *factor, const kf_node *f)
{
    return factor ? kf_binary(g, KF_MULT, factor, f) : f;
}

/*
 * Takes factors of parameters off f, and multiplies *factor (NULL: 1) by them. With `scalar` only factors of dimension
 * 1 are taken. Returns the rest of f.
 */
static const kf_node *without_factors(kf_graph *g, const kf_node *f, bool scalar, const kf_node **factor)
{
    for (;;) {
        const kf_node *out = NULL, *rest = NULL;
        if (f->op == KF_MINUS) {
            out = kf_rat(g, -1, 1);
            rest = f->arg[0];
        } else if (f->op == KF_MULT) {
            int k = f->arg[0]->axes == 0 ? 0 : 1;
            out = f->arg[k];
            rest = f->arg[1 - k];
        } else if (f->op == KF_DIVIDE && f->arg[1]->axes == 0) {
            out = kf_unary(g, KF_INV, f->arg[1]);
            rest = f->arg[0];
        }
        if (!out || out->axes || rest->dim != f->dim || (scalar && out->dim > 1))
            return f;
        *factor = times(g, *factor, out);
        f = rest;
    }
}

static bool see_operand(kf_graph *g, const kf_node *f, kp_operand *operand)
{
    *operand = (kp_operand){.factor = NULL};
    const kf_node *var = without_factors(g, f, false, &operand->factor);
    operand->var = var->param[0];
    return var->op == KF_VAR && (var->param[2] == KF_ROLE_I || var->param[2] == KF_ROLE_J);
}

static bool see_distance(kf_graph *g, const kf_node *f, kp_distance *d)
{
    if (f->op != KF_SUM || f->arg[0]->op != KF_SQUARE || f->arg[0]->dim < SHORTEST)
        return false;
    *d = (kp_distance){.node = f, .dim = f->arg[0]->dim};
    const kf_node *factor = NULL, *sub = without_factors(g, f->arg[0]->arg[0], true, &factor);
    if (sub->op != KF_SUB || sub->arg[0]->dim != d->dim || sub->arg[1]->dim != d->dim)
        return false;
    bool swapped = sub->arg[0]->axes == KF_AXIS_J;
    d->row = sub->arg[swapped];
    d->col = sub->arg[!swapped];
    d->weight = factor ? kf_unary(g, KF_SQUARE, factor) : NULL;
    return d->row->axes == KF_AXIS_I && d->col->axes == KF_AXIS_J && see_operand(g, d->row, &d->row_from) &&
           see_operand(g, d->col, &d->col_from);
}

/* ---- Slopes ------------------------------------------------------------------------------------------------------ */

/* How a value follows a change d of one distance S, while all other operands stay. */
typedef enum dependence {
    NONE,     /* not at all */
    LINEAR,   /* a number of the form slope * S + rest */
    RELATIVE, /* by at most slope * |d| of its parts, to first order: a sum of products with exp(linear in S) */
    UNKNOWN
} dependence;

typedef struct follows {
    dependence how;
    const kf_node *slope; /* a formula of parameters; RELATIVE: not negative */
} follows;

static const follows unknown = {UNKNOWN, NULL};

static follows relative(const kf_node *slope)
{
    return (follows){RELATIVE, slope};
}

/* Both operands follow the distance: the sum of the slopes. */
static follows together(kf_graph *g, follows a, follows b)
{
    if (a.how == NONE || b.how == NONE)
        return a.how == NONE ? b : a;
    return relative(kf_binary(g, KF_ADD, a.slope, b.slope));
}

static bool is_parameter(const kf_node *f)
{
    return f->axes == 0 && f->dim == 1;
}

static follows follow_linear(kf_graph *g, const kf_node *f, follows a, follows b)
{
    const double ln2 = 0x1.62e42fefa39efp-1;
    const follows first = a.how == LINEAR ? a : b;
    const kf_node *other = f->arg[a.how == LINEAR];
    switch ((kf_op)f->op) {
    case KF_LIKE:
        return a;
    case KF_MINUS:
        return (follows){LINEAR, kf_unary(g, KF_MINUS, a.slope)};
    case KF_ADD:
        return f->dim > 1 ? unknown
                          : (follows){LINEAR, a.how == b.how ? kf_binary(g, KF_ADD, a.slope, b.slope) : first.slope};
    case KF_SUB:
        if (f->dim > 1)
            return unknown;
        if (a.how == b.how)
            return (follows){LINEAR, kf_binary(g, KF_SUB, a.slope, b.slope)};
        return (follows){LINEAR, a.how == LINEAR ? a.slope : kf_unary(g, KF_MINUS, b.slope)};
    case KF_MULT:
        return a.how == b.how || !is_parameter(other) ? unknown
                                                      : (follows){LINEAR, kf_binary(g, KF_MULT, first.slope, other)};
    case KF_DIVIDE:
        return b.how == LINEAR || !is_parameter(other) ? unknown
                                                       : (follows){LINEAR, kf_binary(g, KF_DIVIDE, a.slope, other)};
    case KF_EXP:
        return relative(kf_unary(g, KF_ABS, a.slope));
    case KF_EXP2:
        return relative(kf_unary(g, KF_ABS, kf_binary(g, KF_MULT, kf_num(g, ln2), a.slope)));
    default:
        return unknown;
    }
}

static follows follow_relative(kf_graph *g, const kf_node *f, follows a, follows b)
{
    switch ((kf_op)f->op) {
    case KF_ADD:
    case KF_SUB:
    case KF_CONCAT:
        return a.slope == b.slope ? a : together(g, a, b);
    case KF_MULT:
    case KF_DIVIDE:
        return together(g, a, b);
    case KF_LIKE:
    case KF_MINUS:
    case KF_ABS:
    case KF_INV:
    case KF_SUM:
    case KF_SUMT:
    case KF_ELEM:
    case KF_ELEMT:
    case KF_EXTRACT:
    case KF_EXTRACTT:
        return a;
    case KF_SQUARE:
        return relative(kf_binary(g, KF_MULT, kf_rat(g, 2, 1), a.slope));
    default:
        return unknown;
    }
}

static follows follow(kf_graph *g, const kf_node *f, follows a, follows b)
{
    if (f->op == KF_LIKE)
        b.how = NONE;
    if (a.how == UNKNOWN || b.how == UNKNOWN)
        return unknown;
    if (a.how == NONE && b.how == NONE)
        return a;
    if (a.how != LINEAR && b.how != LINEAR)
        return follow_relative(g, f, a, b);
    return a.how == RELATIVE || b.how == RELATIVE ? unknown : follow_linear(g, f, a, b);
}

/* Returns whether f is the distance times parameters. */
static bool is_multiple(kf_graph *g, const kf_node *f, const kf_node *distance)
{
    const kf_node *factor = NULL;
    return without_factors(g, f, true, &factor) == distance;
}

/*
 * Returns whether the slope of S tells the error that an error in S leaves in the reduction of the term. An ArgMin
 * takes differences between the numbers in memory. So the operands of its distances have no factors, and both forms are
 * near to the same distances.
 */
static bool is_told(kf_graph *g, const kr_term *term, const kf_node *root, follows how, const kp_distance *d)
{
    if (how.how == NONE)
        return true;
    switch (kr_get(term->reduction)->error) {
    case KR_ERROR_ADDS:
        return how.how == RELATIVE || (how.how == LINEAR && is_multiple(g, root, d->node));
    case KR_ERROR_CHOOSES:
        return how.how == LINEAR && is_multiple(g, root, d->node) && !d->row_from.factor && !d->col_from.factor;
    case KR_ERROR_STAYS:
        return how.how == LINEAR;
    default:
        return false;
    }
}

/* ---- Search ------------------------------------------------------------------------------------------------------ */

int kp_find_distances(kf_graph *g, size_t term_count, const kr_term *terms, const kf_node *const *roots,
                      kp_distance *distances, size_t *slope_count, kp_slope *slopes)
{
    kf_order order;
    int count = 0;
    size_t found = 0;
    if (kf_order_init(&order, g, term_count, roots, false, &g->error) < 0)
        return -1;
    follows *at = kb_calloc(kf_allocator(g), order.count + 1, sizeof *at);
    if (!at)
        kb_no_memory(&g->error);
    for (size_t n = 0; at && n < order.count && count < KP_MAX_DISTANCES; n++) {
        kp_distance d;
        if (!see_distance(g, order.nodes[n], &d))
            continue;
        for (size_t k = 0; k < order.count; k++) {
            const kf_node *f = order.nodes[k];
            follows a = {NONE, NULL}, b = a;
            if (f->arg_count > 0)
                a = at[kf_at(&order, f->arg[0])];
            if (f->arg_count > 1)
                b = at[kf_at(&order, f->arg[1])];
            if (f->arg_count > 2 && at[kf_at(&order, f->arg[2])].how != NONE)
                a = unknown;
            at[k] = k == n ? (follows){LINEAR, d.weight ? d.weight : kf_rat(g, 1, 1)} : follow(g, f, a, b);
        }
        bool told = true;
        for (size_t t = 0; t < term_count; t++)
            told = told && is_told(g, &terms[t], roots[t], at[kf_at(&order, roots[t])], &d);
        if (!told)
            continue;
        for (size_t t = 0; t < term_count; t++) {
            follows how = at[kf_at(&order, roots[t])];
            const kr_error error = kr_get(terms[t].reduction)->error;
            bool multiple = how.how == LINEAR && error == KR_ERROR_ADDS;
            if (how.how != NONE)
                slopes[found++] = (kp_slope){t, (size_t)count, how.slope, multiple, error == KR_ERROR_CHOOSES};
        }
        distances[count++] = d;
    }
    kb_free(kf_allocator(g), at);
    kf_order_finish(&order);
    *slope_count = found;
    return g->error.status < 0 ? -1 : count;
}

/* Returns whether a sweep can have a distance at all. Most sweeps have short variables, and need no search. */
static bool has_long_variables(const kr_sweep *sweep)
{
    bool rows = false, cols = false;
    for (size_t k = 0; k < sweep->var_count; k++) {
        rows |= sweep->vars[k].role == KF_ROLE_I && sweep->vars[k].dim >= SHORTEST;
        cols |= sweep->vars[k].role == KF_ROLE_J && sweep->vars[k].dim >= SHORTEST;
    }
    return rows && cols && sweep->term_count;
}

/* Finds the parameters that slopes and factors are computed from. */
static kcl_status find_wanted(kp_expansion *e, const kr_sweep *sweep)
{
    const kcl_allocator *a = kf_allocator(&e->graph);
    const kf_node **nodes = kb_calloc(a, e->slope_count + 2 * e->count + 1, sizeof *nodes);
    size_t count = 0;
    kf_order order;
    e->wanted = kb_calloc(a, sweep->var_count + 1, sizeof *e->wanted);
    if (!nodes || !e->wanted) {
        kb_free(a, nodes);
        return kb_no_memory(&e->graph.error);
    }
    for (size_t k = 0; k < e->slope_count; k++)
        nodes[count++] = e->slopes[k].value;
    for (size_t k = 0; k < e->count; k++) {
        const kf_node *factors[] = {e->distance[k].row_from.factor, e->distance[k].col_from.factor};
        for (int side = 0; side < 2; side++)
            if (factors[side])
                nodes[count++] = factors[side];
    }
    kcl_status status = kf_order_init(&order, &e->graph, count, nodes, false, &e->graph.error);
    for (size_t k = 0; status == KCL_OK && k < order.count; k++)
        if (order.nodes[k]->op == KF_VAR)
            e->wanted[order.nodes[k]->param[0]] = true;
    kf_order_finish(&order);
    kb_free(a, nodes);
    return status;
}

kcl_status kp_expansion_create(kp_expansion **out, const kr_sweep *sweep, kb_error *err)
{
    const kcl_allocator *a = kf_allocator(sweep->graph);
    *out = NULL;
    if (!has_long_variables(sweep))
        return KCL_OK;
    kp_expansion *e = kb_calloc(a, 1, sizeof *e);
    if (!e)
        return kb_no_memory(err);
    kf_graph *g = &e->graph;
    kf_graph_init(g, a);
    const kf_node **roots = kb_calloc(a, sweep->term_count, sizeof *roots);
    e->slopes = kb_calloc(a, sweep->term_count * KP_MAX_DISTANCES, sizeof *e->slopes);
    kcl_status status = roots && e->slopes ? KCL_OK : kb_no_memory(&g->error);
    if (status == KCL_OK) {
        for (size_t k = 0; k < sweep->term_count; k++)
            roots[k] = sweep->terms[k].formula;
        status = kf_import(g, sweep->graph, sweep->term_count, roots, roots);
    }
    if (status == KCL_OK)
        status = kf_simplify(g, sweep->term_count, roots, roots);
    if (status == KCL_OK) {
        int count =
            kp_find_distances(g, sweep->term_count, sweep->terms, roots, e->distance, &e->slope_count, e->slopes);
        e->count = (size_t)KB_MAX(count, 0);
        for (size_t k = 0; k < e->slope_count; k++)
            e->screens = e->screens || e->slopes[k].is_screened;
        status = g->error.status;
    }
    if (status == KCL_OK && e->count)
        status = find_wanted(e, sweep);
    kb_free(a, roots);
    if (status < 0)
        *err = g->error;
    if (status < 0 || !e->count)
        kp_expansion_destroy(&e);
    *out = e;
    return status;
}

void kp_expansion_destroy(kp_expansion **expansion)
{
    if (!expansion || !*expansion)
        return;
    kp_expansion *e = *expansion;
    const kcl_allocator a = *kf_allocator(&e->graph);
    kb_free(&a, e->slopes);
    kb_free(&a, e->wanted);
    kf_graph_finish(&e->graph);
    kb_free(&a, e);
    *expansion = NULL;
}

/* ---- Rewriting --------------------------------------------------------------------------------------------------- */

static const kf_node *square_norm(kf_graph *g, const kf_node *f)
{
    return kf_unary(g, KF_SUM, kf_unary(g, KF_SQUARE, f));
}

/*
 * With u = a - c and v = b - c, h = |u|^2/2 + |v|^2/2 - u|v is half the distance, and h + |h| is the distance. If
 * rounding made h negative, h + |h| is 0. Halving is exact, so nothing is lost by halving.
 */
static const kf_node *expanded(kf_graph *g, const kp_distance *d, const kf_node *centre)
{
    const kf_node *u = kf_binary(g, KF_SUB, d->row, centre), *v = kf_binary(g, KF_SUB, d->col, centre);
    if (!u || !v)
        return NULL;
    const kf_node *half = kf_rat(g, 1, 2);
    const kf_node *norms = kf_binary(g, KF_ADD, kf_binary(g, KF_MULT, half, square_norm(g, u)),
                                     kf_binary(g, KF_MULT, half, square_norm(g, v)));
    const kf_node *h = kf_binary(g, KF_SUB, norms, kf_unary(g, KF_SUM, kf_binary(g, KF_MULT, u, v)));
    return times(g, d->weight, kf_binary(g, KF_ADD, h, kf_unary(g, KF_ABS, h)));
}

/* The distances to expand: distance n is expanded around the parameter first_centre + n. */
typedef struct expansion {
    size_t count, first_centre;
    const kp_distance *distances;
} expansion;

static const kf_node *expand_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const expansion *e = user;
    for (size_t n = 0; n < e->count; n++) {
        const kp_distance *d = &e->distances[n];
        if (d->node == f)
            return expanded(g, d, kf_var(g, (int64_t)(e->first_centre + n), d->dim, KF_ROLE_P));
    }
    if (kf_keeps_operands(f, args))
        return f;
    return f->op == KF_LIKE ? kf_like(g, args[0], args[1]) : kf_make(g, (kf_op)f->op, args, f->param);
}

kcl_status kp_expand(kf_graph *g, size_t root_count, const kf_node **roots, size_t count, const kp_distance *distances,
                     size_t first_centre)
{
    return kf_rewrite(g, g, root_count, roots, false, expand_node, &(expansion){count, first_centre, distances}, roots);
}
