/* SPDX-License-Identifier: MIT */
/* formula/rules_copies.c: rules of sums over components, and of components that are copied. */
#include "layout.h"
#include "rules.h"

/* ---- Sums over components ---------------------------------------------------------------------------------------- */

const kf_node *kf_rule_sum_of_one(kf_graph *g, const kf_node *f)
{
    (void)g;
    return f->arg[0]->dim == 1 ? f->arg[0] : f;
}

const kf_node *kf_rule_sum_of_zero(kf_graph *g, const kf_node *f)
{
    return kf_is_zero(f->arg[0]) ? kf_zero(g, 1) : f;
}

/* Whether a sum goes through `a`, to the node that keeps the sum, within *steps. */
static bool sum_ends_near(const kf_node *a, int *steps)
{
    if (--*steps < 0)
        return false;
    switch ((kf_op)a->op) {
    case KF_MINUS:
    case KF_EXTRACTT:
        return sum_ends_near(a->arg[0], steps);
    case KF_MULT:
        return !kf_is_scaled(a) || sum_ends_near(a->arg[1], steps);
    case KF_DIVIDE:
        return a->arg[1]->dim > 1 || a->dim == 1 || sum_ends_near(a->arg[0], steps);
    case KF_CONCAT:
        return sum_ends_near(a->arg[0], steps) && sum_ends_near(a->arg[1], steps);
    default:
        return true;
    }
}

const kf_node *kf_rule_sum_of_scaled(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    if (!sum_ends_near(a, &(int){KF_NEAR}))
        return f;
    if (kf_is_scaled(a))
        return kf_simple_binary(g, KF_MULT, a->arg[0], kf_simple_unary(g, KF_SUM, a->arg[1]));
    return a->op == KF_MINUS ? kf_simple_minus(g, kf_simple_unary(g, KF_SUM, a->arg[0])) : f;
}

const kf_node *kf_rule_sum_of_quotient(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    if (a->op != KF_DIVIDE || a->arg[1]->dim > 1 || a->dim == 1 || !sum_ends_near(a, &(int){KF_NEAR}))
        return f;
    return kf_simple_binary(g, KF_DIVIDE, kf_simple_unary(g, KF_SUM, a->arg[0]), a->arg[1]);
}

const kf_node *kf_rule_sum_of_copy(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    if (!sum_ends_near(a, &(int){KF_NEAR}))
        return f;
    switch ((kf_op)a->op) {
    case KF_SUMT:
        return kf_simple_binary(g, KF_MULT, kf_rat(g, a->dim, 1), a->arg[0]);
    case KF_ELEMT:
        return a->arg[0];
    case KF_EXTRACTT:
        return kf_simple_unary(g, KF_SUM, a->arg[0]);
    case KF_CONCAT:
        return kf_simple_binary(g, KF_ADD, kf_simple_unary(g, KF_SUM, a->arg[0]),
                                kf_simple_unary(g, KF_SUM, a->arg[1]));
    default:
        return f;
    }
}

/* Rows of one component, or a single row. */
const kf_node *kf_rule_sum_rows_all(kf_graph *g, const kf_node *f)
{
    if (f->param[0] == 1)
        return f->arg[0];
    return f->dim == 1 ? kf_simple_unary(g, KF_SUM, f->arg[0]) : f;
}

const kf_node *kf_rule_sum_rows_of_zero(kf_graph *g, const kf_node *f)
{
    return kf_is_zero(f->arg[0]) ? kf_zero(g, f->dim) : f;
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

const kf_node *kf_rule_copy_all(kf_graph *g, const kf_node *f)
{
    (void)g;
    if (f->op == KF_ARRANGE || f->op == KF_PLACE) {
        const kf_layout l = kf_layout_of(f);
        return l.rank == 1 && l.stride[0] == 1 && f->arg[0]->dim == f->dim ? f->arg[0] : f;
    }
    bool in_place = f->op == KF_SUMT || f->op == KF_ELEM || f->param[0] == 0 || f->op == KF_ELEMT;
    return in_place && f->arg[0]->dim == f->dim ? f->arg[0] : f;
}

const kf_node *kf_rule_copy_zero(kf_graph *g, const kf_node *f)
{
    bool zero = kf_is_zero(f->arg[0]) && (!f->arg[1] || kf_is_zero(f->arg[1]));
    return zero ? kf_zero(g, f->dim) : f;
}

const kf_node *kf_rule_extract_one(kf_graph *g, const kf_node *f)
{
    return f->dim == 1 ? kf_simple_make(g, KF_ELEM, f->arg[0], f->param[0], 0) : f;
}

/*
 * Elem or Extract of a copy: taken from the copy's operand if all components come from one operand; so on through
 * copies.
 */
const kf_node *kf_rule_extract_of_copy(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    int64_t start = f->param[0];
    for (int steps = 0; kf_info((kf_op)a->op)->op_class == KF_CLASS_COPY; steps++) {
        int64_t component, run;
        int stride, source = kf_copy_source(a, start, &component, &run, &stride);
        if (run < f->dim)
            break;
        if (steps == KF_NEAR)
            return f;
        if (source < 0)
            return kf_zero(g, f->dim);
        if (stride == 0 && a->arg[source]->dim > 1)
            return kf_simple_repeat(g, kf_simple_make(g, KF_ELEM, a->arg[source], component, 0), f->dim);
        if (stride == 0)
            return kf_simple_repeat(g, a->arg[source], f->dim);
        a = a->arg[source];
        start = component;
    }
    if (a == f->arg[0])
        return f;
    return f->dim == 1 ? kf_simple_make(g, KF_ELEM, a, start, 0) : kf_simple_make(g, KF_EXTRACT, a, start, f->dim);
}

static bool same_layout(const kf_layout *a, const kf_layout *b)
{
    bool same = a->rank == b->rank && a->offset == b->offset;
    for (int k = 0; same && k < a->rank; k++)
        same = a->size[k] == b->size[k] && a->stride[k] == b->stride[k];
    return same;
}

/* Longer vectors are left as they are: every component is looked at. */
enum { MOST_ARRANGED = 1024 };

/*
 * What the layout takes from f, a copy of several components, as a layout of one operand of f. False if the components
 * come from several operands, or from zeros, or if no layout says where they come from.
 */
static bool layout_through(const kf_node *f, const kf_layout *l, int64_t count, int *operand, kf_layout *out)
{
    int64_t component, run, params[KF_MAX_PARAMS] = {l->rank};
    int stride;
    char text[KF_LAYOUT_TEXT];
    *out = *l;
    *operand = kf_copy_source(f, l->offset, &out->offset, &run, &stride);
    for (int axis = 0; *operand >= 0 && axis < l->rank; axis++) {
        if (l->size[axis] > 1 && kf_copy_source(f, l->offset + l->stride[axis], &component, &run, &stride) != *operand)
            return false;
        out->stride[axis] = l->size[axis] > 1 ? component - out->offset : 0;
        params[2 + 2 * axis] = out->size[axis];
        params[3 + 2 * axis] = out->stride[axis];
    }
    params[1] = out->offset;
    if (*operand < 0 || !kf_layout_check(params, false, f->arg[*operand]->dim, &count, text))
        return false;
    for (int64_t k = 0; k < count; k++)
        if (kf_copy_source(f, kf_layout_source(l, k), &component, &run, &stride) != *operand ||
            component != kf_layout_source(out, k))
            return false;
    return true;
}

/* kf_arrange, which may make two nodes. */
static const kf_node *arranged(kf_graph *g, const kf_node *f, const kf_layout *l)
{
    const kf_node *made = kf_arrange(g, f, l);
    if (made && made->op == KF_SUMT && made->arg[0] != f)
        return kf_simple_repeat(g, kf_simplified(g, made->arg[0]), made->dim);
    return kf_simplified(g, made);
}

/* Arrange or Extract of an operand that is arranged or joined itself. */
const kf_node *kf_rule_arrange_of_copy(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    kf_layout l = {.rank = 1, .offset = f->param[0], .size = {f->dim}, .stride = {1}}, through;
    int operand;
    if (f->op == KF_ARRANGE)
        l = kf_layout_of(f);
    if ((a->op != KF_ARRANGE && (f->op == KF_EXTRACT || a->op != KF_CONCAT)) || f->dim > MOST_ARRANGED ||
        !layout_through(a, &l, f->dim, &operand, &through))
        return f;
    return arranged(g, a->arg[operand], &through);
}

/*
 * Every second component from one operand, the others from another: re and im of complex numbers, as gradients have
 * them.
 */
const kf_node *kf_rule_add_places(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (a->op != b->op || a->dim != b->dim)
        return f;
    if (a->op == KF_ELEMT && a->dim == 2 && a->param[1] != b->param[1])
        return a->param[1] ? kf_simple_binary(g, KF_CONCAT, b->arg[0], a->arg[0])
                           : kf_simple_binary(g, KF_CONCAT, a->arg[0], b->arg[0]);
    if (a->op != KF_PLACE || a->arg[0]->dim != b->arg[0]->dim)
        return f;
    const int64_t n = a->arg[0]->dim;
    const kf_layout even = {.rank = 1, .size = {n}, .stride = {2}}, odd = {1, 1, {n}, {2}};
    const kf_layout l = kf_layout_of(a), m = kf_layout_of(b), pairs = {2, 0, {n, 2}, {1, n}};
    if (a->dim != 2 * n ||
        !((same_layout(&l, &even) && same_layout(&m, &odd)) || (same_layout(&l, &odd) && same_layout(&m, &even))))
        return f;
    const kf_node *both = l.offset ? kf_simple_binary(g, KF_CONCAT, b->arg[0], a->arg[0])
                                   : kf_simple_binary(g, KF_CONCAT, a->arg[0], b->arg[0]);
    return arranged(g, both, &pairs);
}
