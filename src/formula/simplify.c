/* SPDX-License-Identifier: MIT */
/* formula/simplify.c: rewriting by named rules. */
#include "simplify.h"
#include "layout.h"
#include "make.h"
#include "passes.h"
#include "reductions.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Building simplified nodes ----------------------------------------------------------------------------------- */

static const kf_node *rewrite(kf_graph *g, const kf_node *f);

static const kf_node *unary(kf_graph *g, kf_op op, const kf_node *a)
{
    return rewrite(g, kf_unary(g, op, a));
}

static const kf_node *binary(kf_graph *g, kf_op op, const kf_node *a, const kf_node *b)
{
    return rewrite(g, kf_binary(g, op, a, b));
}

static const kf_node *with_params(kf_graph *g, kf_op op, const kf_node *a, int64_t p0, int64_t p1)
{
    return rewrite(g, kf_make(g, op, &a, (const int64_t[]){p0, p1, 0}));
}

static const kf_node *minus(kf_graph *g, const kf_node *a)
{
    return unary(g, KF_MINUS, a);
}

/* f repeated to the dimension of the node that it replaces. */
static const kf_node *widen(kf_graph *g, const kf_node *f, int64_t dim)
{
    return !f || f->dim == dim ? f : with_params(g, KF_SUMT, f, dim, 0);
}

static bool is_const(const kf_node *f)
{
    return f->op == KF_CONST || (f->op == KF_ZERO && f->dim == 1);
}

static bool is_one(const kf_node *f)
{
    return f->op == KF_CONST && f->value == 1;
}

/* A number times a vector. */
static bool is_scaled(const kf_node *f)
{
    return f->op == KF_MULT && f->arg[0]->dim == 1 && f->dim > 1;
}

/* Whether f is a finite number whatever the variables are. Then 0 times f is 0. */
static bool is_finite(const kf_node *f)
{
    switch ((kf_op)f->op) {
    case KF_CONST:
        return isfinite(f->value);
    case KF_ZERO:
    case KF_INDEX:
    case KF_IOTA:
    case KF_STEP:
        return true;
    default:
        return kf_is_truth(f);
    }
}

/* ---- Constants --------------------------------------------------------------------------------------------------- */

typedef struct rational {
    int64_t p, q; /* q = 0: no ratio, but a decimal number */
    double value;
} rational;

static rational constant(const kf_node *f)
{
    if (f->op == KF_ZERO)
        return (rational){0, 1, 0};
    return (rational){f->param[0], f->param[1], f->value};
}

/* Whether float32 keeps c. Beyond, c would be infinite or lose its digits in float32, and take f along. */
static bool fits_every_type(const kf_node *c)
{
    const double size = fabs(constant(c).value);
    return size == 0 || (size >= FLT_MIN && size <= FLT_MAX);
}

static const kf_node *fold(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (!is_const(a) || (b && !is_const(b)))
        return f;
    rational x = constant(a), y = b ? constant(b) : (rational){1, 1, 1};
    const int64_t small = INT64_C(1) << 31; /* products and their sums stay exact */
    bool exact = x.q && y.q && llabs(x.p) < small && x.q < small && llabs(y.p) < small && y.q < small;
    double value;
    switch ((kf_op)f->op) {
    case KF_ADD:
        if (exact)
            return kf_rat(g, x.p * y.q + y.p * x.q, x.q * y.q);
        value = x.value + y.value;
        break;
    case KF_SUB:
        if (exact)
            return kf_rat(g, x.p * y.q - y.p * x.q, x.q * y.q);
        value = x.value - y.value;
        break;
    case KF_MULT:
        if (exact)
            return kf_rat(g, x.p * y.p, x.q * y.q);
        value = x.value * y.value;
        break;
    case KF_DIVIDE:
        if (y.value == 0)
            return f;
        if (exact)
            return kf_rat(g, x.p * y.q, x.q * y.p);
        value = x.value / y.value;
        break;
    case KF_MINUS:
        if (x.q && x.p > INT64_MIN)
            return kf_rat(g, -x.p, x.q);
        value = -x.value;
        break;
    case KF_INV:
        if (x.value == 0)
            return f;
        if (exact)
            return kf_rat(g, x.q, x.p);
        value = 1 / x.value;
        break;
    case KF_SQUARE:
        if (exact)
            return kf_rat(g, x.p * x.p, x.q * x.q);
        value = x.value * x.value;
        break;
    default:
        return f;
    }
    return isfinite(value) ? kf_num(g, value) : f;
}

/* ---- Sums and differences ---------------------------------------------------------------------------------------- */

static const kf_node *add_zero(kf_graph *g, const kf_node *f)
{
    if (kf_is_zero(f->arg[0]))
        return widen(g, f->arg[1], f->dim);
    return kf_is_zero(f->arg[1]) ? widen(g, f->arg[0], f->dim) : f;
}

/* n*u: the factor n, and u. */
static const kf_node *split_factor(kf_graph *g, const kf_node *f, const kf_node **rest)
{
    if (f->op == KF_MULT && is_const(f->arg[0])) {
        *rest = f->arg[1];
        return f->arg[0];
    }
    *rest = f;
    return kf_rat(g, 1, 1);
}

/*
 * Factors of one sign alone: infinity minus infinity is NaN, which no multiple of infinity is but 0 times infinity.
 * What cancels becomes 0*u.
 */
static const kf_node *add_like_terms(kf_graph *g, const kf_node *f)
{
    const kf_node *u, *v, *m = split_factor(g, f->arg[0], &u), *n = split_factor(g, f->arg[1], &v);
    if (!m || !n)
        return NULL;
    if (u != v)
        return f;
    const kf_node *both = binary(g, (kf_op)f->op, m, n);
    if (!both || !is_const(both) || !fits_every_type(both))
        return both ? f : NULL;
    const double x = constant(m).value, y = f->op == KF_ADD ? constant(n).value : -constant(n).value;
    return kf_is_zero(both) || (x < 0) == (y < 0) ? binary(g, KF_MULT, both, u) : f;
}

static const kf_node *add_minus(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (a->op == KF_MINUS && b->op == KF_MINUS)
        return minus(g, binary(g, KF_ADD, a->arg[0], b->arg[0]));
    if (b->op == KF_MINUS)
        return binary(g, KF_SUB, a, b->arg[0]);
    return a->op == KF_MINUS ? binary(g, KF_SUB, b, a->arg[0]) : f;
}

static const kf_node *repeated_operand(kf_graph *g, const kf_node *f)
{
    for (int k = 0; k < 2; k++) {
        const kf_node *a = f->arg[k], *b = f->arg[1 - k];
        if (a->op == KF_SUMT && b->dim == a->dim && b->op != KF_SUMT)
            return k == 0 ? binary(g, (kf_op)f->op, a->arg[0], b) : binary(g, (kf_op)f->op, b, a->arg[0]);
        if (a->op == KF_SUMT && b->op == KF_SUMT && k == 0)
            return widen(g, binary(g, (kf_op)f->op, a->arg[0], b->arg[0]), f->dim);
    }
    return f;
}

static const kf_node *sub_zero(kf_graph *g, const kf_node *f)
{
    if (kf_is_zero(f->arg[1]))
        return widen(g, f->arg[0], f->dim);
    return kf_is_zero(f->arg[0]) ? minus(g, widen(g, f->arg[1], f->dim)) : f;
}

static const kf_node *sub_minus(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (b->op == KF_MINUS)
        return binary(g, KF_ADD, a, b->arg[0]);
    return a->op == KF_MINUS ? minus(g, binary(g, KF_ADD, a->arg[0], b)) : f;
}

static const kf_node *minus_zero(kf_graph *g, const kf_node *f)
{
    (void)g;
    return kf_is_zero(f->arg[0]) ? f->arg[0] : f;
}

static const kf_node *minus_minus(kf_graph *g, const kf_node *f)
{
    (void)g;
    return f->arg[0]->op == KF_MINUS ? f->arg[0]->arg[0] : f;
}

static const kf_node *minus_difference(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    return a->op == KF_SUB ? binary(g, KF_SUB, a->arg[1], a->arg[0]) : f;
}

/* -(c*u): the sign goes into the constant. */
static const kf_node *minus_scaled(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    if (a->op == KF_MULT && is_const(a->arg[0]))
        return binary(g, KF_MULT, minus(g, a->arg[0]), a->arg[1]);
    return f;
}

static const kf_node *minus_repeated(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    return a->op == KF_SUMT ? widen(g, minus(g, a->arg[0]), f->dim) : f;
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

/* 0 times what may be infinite or NaN stays: derivatives leave such products out when they are made (kf_product). */
static const kf_node *mult_zero(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    return (kf_is_zero(a) && is_finite(b)) || (kf_is_zero(b) && is_finite(a)) ? kf_zero(g, f->dim) : f;
}

static const kf_node *mult_one(kf_graph *g, const kf_node *f)
{
    for (int k = 0; k < 2; k++) {
        const kf_node *c = f->arg[k], *u = f->arg[1 - k];
        if (c->op == KF_CONST && fabs(c->value) == 1)
            return is_one(c) ? u : minus(g, u);
    }
    return f;
}

static const kf_node *mult_constant_first(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    return is_const(b) && !is_const(a) ? binary(g, KF_MULT, b, a) : f;
}

/*
 * c*u, but not c*(d*u), whose constants are too large or too small to be one. Other constants meet in front of c*(d*u).
 */
static bool has_constant(const kf_node *f)
{
    if (f->op != KF_MULT || !is_const(f->arg[0]))
        return false;
    return f->arg[1]->op != KF_MULT || !is_const(f->arg[1]->arg[0]);
}

/* c*(d*u) and (c*u)*v: constants meet on the left, unless float32 would lose the product: 1e-30*(1e-30*u). */
static const kf_node *mult_constants(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (is_const(a) && b->op == KF_MULT && is_const(b->arg[0])) {
        const kf_node *c = binary(g, KF_MULT, a, b->arg[0]);
        const bool lost = c && kf_is_zero(c) && !kf_is_zero(a) && !kf_is_zero(b->arg[0]);
        return c && is_const(c) && fits_every_type(c) && !lost ? binary(g, KF_MULT, c, b->arg[1]) : f;
    }
    if (!is_const(a) && has_constant(b))
        return binary(g, KF_MULT, b->arg[0], binary(g, KF_MULT, a, b->arg[1]));
    if (has_constant(a) && !is_const(b))
        return binary(g, KF_MULT, a->arg[0], binary(g, KF_MULT, a->arg[1], b));
    return f;
}

static const kf_node *mult_minus(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (is_const(a) && b->op == KF_MINUS)
        return binary(g, KF_MULT, minus(g, a), b->arg[0]);
    if (a->op == KF_MINUS)
        return minus(g, binary(g, KF_MULT, a->arg[0], b));
    return b->op == KF_MINUS ? minus(g, binary(g, KF_MULT, a, b->arg[0])) : f;
}

/* Numbers are multiplied with each other before they meet a vector: s*(t*v), (s*v)*t. */
static const kf_node *mult_scalars_first(kf_graph *g, const kf_node *f)
{
    if (f->dim == 1)
        return f;
    for (int k = 0; k < 2; k++) {
        const kf_node *s = f->arg[k], *u = f->arg[1 - k];
        if (s->dim == 1 && is_scaled(u) && !is_const(s))
            return binary(g, KF_MULT, binary(g, KF_MULT, s, u->arg[0]), u->arg[1]);
        if (s->dim == 1 && u->op == KF_MULT && u->dim > 1 && u->arg[1]->dim == 1 && !is_const(s))
            return binary(g, KF_MULT, binary(g, KF_MULT, s, u->arg[1]), u->arg[0]);
    }
    return f->arg[1]->dim == 1 ? binary(g, KF_MULT, f->arg[1], f->arg[0]) : f;
}

static const kf_node *mult_self(kf_graph *g, const kf_node *f)
{
    return f->arg[0] == f->arg[1] ? unary(g, KF_SQUARE, f->arg[0]) : f;
}

static const kf_node *mult_inverse(kf_graph *g, const kf_node *f)
{
    for (int k = 1; k >= 0; k--) {
        const kf_node *u = f->arg[1 - k], *v = f->arg[k];
        if (v->op == KF_INV && u->op != KF_INV && !is_const(u))
            return binary(g, KF_DIVIDE, u, v->arg[0]);
    }
    return f;
}

static const kf_node *divide_constant(kf_graph *g, const kf_node *f)
{
    const kf_node *c = f->arg[1];
    if (!is_const(c) || c->value == 0 || isinf(c->value) || is_const(f->arg[0]))
        return f;
    const kf_node *inverse = unary(g, KF_INV, c);
    return inverse && is_const(inverse) && fits_every_type(c) && fits_every_type(inverse)
               ? binary(g, KF_MULT, inverse, f->arg[0])
               : f;
}

static const kf_node *divide_one(kf_graph *g, const kf_node *f)
{
    return is_one(f->arg[0]) ? unary(g, KF_INV, f->arg[1]) : f;
}

static const kf_node *divide_minus(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (a->op == KF_MINUS)
        return minus(g, binary(g, KF_DIVIDE, a->arg[0], b));
    return b->op == KF_MINUS ? minus(g, binary(g, KF_DIVIDE, a, b->arg[0])) : f;
}

static const kf_node *even_minus(kf_graph *g, const kf_node *f)
{
    return f->arg[0]->op == KF_MINUS ? unary(g, (kf_op)f->op, f->arg[0]->arg[0]) : f;
}

static const kf_node *square_zero(kf_graph *g, const kf_node *f)
{
    (void)g;
    return kf_is_zero(f->arg[0]) ? f->arg[0] : f;
}

static const kf_node *pow_small(kf_graph *g, const kf_node *f)
{
    switch (f->param[0]) {
    case 0:
        return widen(g, kf_rat(g, 1, 1), f->dim);
    case 1:
        return f->arg[0];
    case 2:
        return unary(g, KF_SQUARE, f->arg[0]);
    case -1:
        return unary(g, KF_INV, f->arg[0]);
    default:
        return f;
    }
}

/* ---- Sums over components ---------------------------------------------------------------------------------------- */

static const kf_node *sum_of_one(kf_graph *g, const kf_node *f)
{
    (void)g;
    return f->arg[0]->dim == 1 ? f->arg[0] : f;
}

static const kf_node *sum_of_zero(kf_graph *g, const kf_node *f)
{
    return kf_is_zero(f->arg[0]) ? kf_zero(g, 1) : f;
}

/* Rules that go down chains of operands stop after so many nodes: work and recursion stay bounded. */
enum { NEAR = 64 };

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
        return !is_scaled(a) || sum_ends_near(a->arg[1], steps);
    case KF_DIVIDE:
        return a->arg[1]->dim > 1 || a->dim == 1 || sum_ends_near(a->arg[0], steps);
    case KF_CONCAT:
        return sum_ends_near(a->arg[0], steps) && sum_ends_near(a->arg[1], steps);
    default:
        return true;
    }
}

static const kf_node *sum_of_scaled(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    if (!sum_ends_near(a, &(int){NEAR}))
        return f;
    if (is_scaled(a))
        return binary(g, KF_MULT, a->arg[0], unary(g, KF_SUM, a->arg[1]));
    return a->op == KF_MINUS ? minus(g, unary(g, KF_SUM, a->arg[0])) : f;
}

static const kf_node *sum_of_quotient(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    if (a->op != KF_DIVIDE || a->arg[1]->dim > 1 || a->dim == 1 || !sum_ends_near(a, &(int){NEAR}))
        return f;
    return binary(g, KF_DIVIDE, unary(g, KF_SUM, a->arg[0]), a->arg[1]);
}

static const kf_node *sum_of_copy(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    if (!sum_ends_near(a, &(int){NEAR}))
        return f;
    switch ((kf_op)a->op) {
    case KF_SUMT:
        return binary(g, KF_MULT, kf_rat(g, a->dim, 1), a->arg[0]);
    case KF_ELEMT:
        return a->arg[0];
    case KF_EXTRACTT:
        return unary(g, KF_SUM, a->arg[0]);
    case KF_CONCAT:
        return binary(g, KF_ADD, unary(g, KF_SUM, a->arg[0]), unary(g, KF_SUM, a->arg[1]));
    default:
        return f;
    }
}

/* Rows of one component, or a single row. */
static const kf_node *sum_rows_all(kf_graph *g, const kf_node *f)
{
    if (f->param[0] == 1)
        return f->arg[0];
    return f->dim == 1 ? unary(g, KF_SUM, f->arg[0]) : f;
}

static const kf_node *sum_rows_of_zero(kf_graph *g, const kf_node *f)
{
    return kf_is_zero(f->arg[0]) ? kf_zero(g, f->dim) : f;
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

static const kf_node *copy_all(kf_graph *g, const kf_node *f)
{
    (void)g;
    if (f->op == KF_ARRANGE || f->op == KF_PLACE) {
        const kf_layout l = kf_layout_of(f);
        return l.rank == 1 && l.stride[0] == 1 && f->arg[0]->dim == f->dim ? f->arg[0] : f;
    }
    bool in_place = f->op == KF_SUMT || f->op == KF_ELEM || f->param[0] == 0 || f->op == KF_ELEMT;
    return in_place && f->arg[0]->dim == f->dim ? f->arg[0] : f;
}

static const kf_node *copy_zero(kf_graph *g, const kf_node *f)
{
    bool zero = kf_is_zero(f->arg[0]) && (!f->arg[1] || kf_is_zero(f->arg[1]));
    return zero ? kf_zero(g, f->dim) : f;
}

static const kf_node *extract_one(kf_graph *g, const kf_node *f)
{
    return f->dim == 1 ? with_params(g, KF_ELEM, f->arg[0], f->param[0], 0) : f;
}

/*
 * Elem or Extract of a copy: taken from the copy's operand if all components come from one operand; so on through
 * copies.
 */
static const kf_node *extract_of_copy(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    int64_t start = f->param[0];
    for (int steps = 0; kf_info((kf_op)a->op)->op_class == KF_CLASS_COPY; steps++) {
        int64_t component, run;
        int stride, source = kf_copy_source(a, start, &component, &run, &stride);
        if (run < f->dim)
            break;
        if (steps == NEAR)
            return f;
        if (source < 0)
            return kf_zero(g, f->dim);
        if (stride == 0 && a->arg[source]->dim > 1)
            return widen(g, with_params(g, KF_ELEM, a->arg[source], component, 0), f->dim);
        if (stride == 0)
            return widen(g, a->arg[source], f->dim);
        a = a->arg[source];
        start = component;
    }
    if (a == f->arg[0])
        return f;
    return f->dim == 1 ? with_params(g, KF_ELEM, a, start, 0) : with_params(g, KF_EXTRACT, a, start, f->dim);
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
        return widen(g, rewrite(g, made->arg[0]), made->dim);
    return rewrite(g, made);
}

/* Arrange or Extract of an operand that is arranged or joined itself. */
static const kf_node *arrange_of_copy(kf_graph *g, const kf_node *f)
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
static const kf_node *add_places(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (a->op != b->op || a->dim != b->dim)
        return f;
    if (a->op == KF_ELEMT && a->dim == 2 && a->param[1] != b->param[1])
        return a->param[1] ? binary(g, KF_CONCAT, b->arg[0], a->arg[0]) : binary(g, KF_CONCAT, a->arg[0], b->arg[0]);
    if (a->op != KF_PLACE || a->arg[0]->dim != b->arg[0]->dim)
        return f;
    const int64_t n = a->arg[0]->dim;
    const kf_layout even = {.rank = 1, .size = {n}, .stride = {2}}, odd = {1, 1, {n}, {2}};
    const kf_layout l = kf_layout_of(a), m = kf_layout_of(b), pairs = {2, 0, {n, 2}, {1, n}};
    if (a->dim != 2 * n ||
        !((same_layout(&l, &even) && same_layout(&m, &odd)) || (same_layout(&l, &odd) && same_layout(&m, &even))))
        return f;
    const kf_node *both =
        l.offset ? binary(g, KF_CONCAT, b->arg[0], a->arg[0]) : binary(g, KF_CONCAT, a->arg[0], b->arg[0]);
    return arranged(g, both, &pairs);
}

/* ---- Numbers of rows --------------------------------------------------------------------------------------------- */

/* a i + b j + c. False if f is nothing of the kind. */
static bool see_index(const kf_node *f, int64_t index[3])
{
    f = kf_value(f);
    memset(index, 0, 3 * sizeof *index);
    if (f->op == KF_INDEX)
        memcpy(index, f->param, 3 * sizeof *index);
    else if (f->op == KF_CONST && f->param[1] == 1)
        index[2] = f->param[0];
    return f->op == KF_INDEX || (f->op == KF_CONST && f->param[1] == 1) || (f->op == KF_ZERO && f->dim == 1);
}

/* x first + y second, as one Index or whole number; NULL if the sum would not be exact. */
static const kf_node *index_sum(kf_graph *g, const int64_t *first, int64_t x, const int64_t *second, int64_t y)
{
    int64_t sum[3];
    for (int n = 0; n < 3; n++) {
        const int64_t most = n < 2 ? KF_MAX_STEP : INT64_C(1) << KF_MAX_START_BITS;
        int64_t a, b;
        if (kb_mul_overflows(first[n], x, &a) || kb_mul_overflows(second[n], y, &b) || llabs(a) > most ||
            llabs(b) > most || llabs(a + b) > most)
            return NULL;
        sum[n] = a + b;
    }
    return sum[0] || sum[1] ? kf_index(g, sum[0], sum[1], sum[2]) : kf_rat(g, sum[2], 1);
}

/* Sums, differences and multiples are taken of whole numbers, and rounded once. */
static const kf_node *index_linear(kf_graph *g, const kf_node *f)
{
    static const int64_t none[3] = {0, 0, 0};
    const kf_node *a = kf_value(f->arg[0]), *b = f->arg[1] ? kf_value(f->arg[1]) : a, *sum;
    int64_t x[3], y[3];
    if ((a->op != KF_INDEX && b->op != KF_INDEX) || !see_index(a, x) || !see_index(b, y))
        return f;
    if (f->op == KF_MINUS)
        sum = index_sum(g, x, -1, none, 0);
    else if (f->op == KF_MULT && a->op == KF_INDEX && b->op == KF_INDEX)
        return f;
    else if (f->op == KF_MULT)
        sum = a->op == KF_INDEX ? index_sum(g, x, y[2], none, 0) : index_sum(g, y, x[2], none, 0);
    else
        sum = index_sum(g, x, 1, y, f->op == KF_SUB ? -1 : 1);
    return sum ? sum : f;
}

/* A comparison is made of the difference and 0: the sign of the difference is right, however large the numbers are. */
static const kf_node *index_compare(kf_graph *g, const kf_node *f)
{
    const kf_node *a = kf_value(f->arg[0]), *b = kf_value(f->arg[1]), *difference;
    int64_t x[3], y[3];
    if (kf_is_zero(b) || (a->op != KF_INDEX && b->op != KF_INDEX) || !see_index(a, x) || !see_index(b, y))
        return f;
    difference = index_sum(g, x, 1, y, -1);
    return difference ? binary(g, (kf_op)f->op, difference, kf_zero(g, 1)) : f;
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

const kf_rule kf_rules[] = {
    {"fold", KF_ADD, "1/3+1", "", fold},
    {"fold", KF_SUB, "1/3-1", "", fold},
    {"fold", KF_MULT, "2*0.75", "", fold},
    {"fold", KF_DIVIDE, "2/3", "", fold},
    {"fold", KF_MINUS, "Minus(2)", "", fold},
    {"fold", KF_INV, "Inv(3)", "", fold},
    {"fold", KF_SQUARE, "Square(3)", "", fold},
    {"index-sum", KF_ADD, "IndexI+2", "", index_linear},
    {"index-sum", KF_SUB, "IndexI-IndexJ", "", index_linear},
    {"index-sum", KF_MINUS, "Minus(IndexI)", "", index_linear},
    {"index-sum", KF_MULT, "3*IndexI", "", index_linear},
    {"index-compare", KF_EQUAL, "Equal(IndexI,IndexJ)", "", index_compare},
    {"index-compare", KF_NOT_EQUAL, "NotEqual(IndexI,IndexJ)", "", index_compare},
    {"index-compare", KF_LESS, "LessThan(IndexI,IndexJ+2)", "", index_compare},
    {"index-compare", KF_LESS_EQUAL, "LessOrEqual(IndexI,3)", "", index_compare},
    {"add-zero", KF_ADD, "x+Zero(1)", "", add_zero},
    {"add-repeated", KF_ADD, "SumT(s,3)+x", "", repeated_operand},
    {"add-like-terms", KF_ADD, "2*x+x", "", add_like_terms},
    {"add-minus", KF_ADD, "x+(-y)", "", add_minus},
    {"add-places", KF_ADD, "Place(x,1,0,3,2,6)+Place(y,1,1,3,2,6)", "", add_places},
    {"add-elems", KF_ADD, "ElemT(s,2,1)+ElemT(t,2,0)", "", add_places},
    {"sub-zero", KF_SUB, "Zero(1)-x", "", sub_zero},
    {"sub-repeated", KF_SUB, "x-SumT(s,3)", "", repeated_operand},
    {"sub-like-terms", KF_SUB, "-3*x-x", "", add_like_terms},
    {"sub-minus", KF_SUB, "x-(-y)", "", sub_minus},
    {"minus-zero", KF_MINUS, "-Zero(3)", "", minus_zero},
    {"minus-minus", KF_MINUS, "-(-x)", "", minus_minus},
    {"minus-difference", KF_MINUS, "-(x-y)", "", minus_difference},
    {"minus-scaled", KF_MINUS, "-(2*x)", "", minus_scaled},
    {"minus-repeated", KF_MINUS, "-SumT(s,3)", "", minus_repeated},
    {"mult-zero", KF_MULT, "Zero(1)*LessThan(x,y)", "", mult_zero},
    {"mult-one", KF_MULT, "1*x", "", mult_one},
    {"mult-repeated", KF_MULT, "SumT(s,3)*x", "", repeated_operand},
    {"mult-constant-first", KF_MULT, "x*2", "", mult_constant_first},
    {"mult-minus", KF_MULT, "(-x)*y", "", mult_minus},
    {"mult-constants", KF_MULT, "2*(3*x)", "", mult_constants},
    {"mult-self", KF_MULT, "x*x", "", mult_self},
    {"mult-inverse", KF_MULT, "x*Inv(y)", "", mult_inverse},
    {"mult-scalars-first", KF_MULT, "s*(t*x)", "", mult_scalars_first},
    {"divide-constant", KF_DIVIDE, "x/2", "", divide_constant},
    {"divide-one", KF_DIVIDE, "1/x", "", divide_one},
    {"divide-minus", KF_DIVIDE, "(-x)/y", "", divide_minus},
    {"square-zero", KF_SQUARE, "Square(Zero(3))", "", square_zero},
    {"square-minus", KF_SQUARE, "Square(-x)", "", even_minus},
    {"abs-minus", KF_ABS, "Abs(-x)", "", even_minus},
    {"pow-small", KF_POW, "Pow(x,1)", "", pow_small},
    {"sum-of-one", KF_SUM, "Sum(s)", "", sum_of_one},
    {"sum-of-zero", KF_SUM, "Sum(Zero(3))", "", sum_of_zero},
    {"sum-of-scaled", KF_SUM, "Sum(s*x)", "infinity instead of NaN where s is infinite", sum_of_scaled},
    {"sum-of-quotient", KF_SUM, "Sum(x/s)", "infinity instead of NaN where s is 0", sum_of_quotient},
    {"sum-of-copy", KF_SUM, "Sum(Concat(x,y))", "", sum_of_copy},
    {"copy-all", KF_SUMT, "SumT(s,1)", "", copy_all},
    {"copy-all", KF_ELEM, "Elem(s,0)", "", copy_all},
    {"copy-all", KF_ELEMT, "ElemT(s,1,0)", "", copy_all},
    {"copy-all", KF_EXTRACT, "Extract(x,0,3)", "", copy_all},
    {"copy-all", KF_EXTRACTT, "ExtractT(x,0,3)", "", copy_all},
    {"copy-zero", KF_SUMT, "SumT(Zero(1),3)", "", copy_zero},
    {"copy-zero", KF_ELEM, "Elem(Zero(3),1)", "", copy_zero},
    {"copy-zero", KF_ELEMT, "ElemT(Zero(1),3,1)", "", copy_zero},
    {"copy-zero", KF_EXTRACT, "Extract(Zero(3),1,2)", "", copy_zero},
    {"copy-zero", KF_EXTRACTT, "ExtractT(Zero(2),1,3)", "", copy_zero},
    {"copy-all", KF_ARRANGE, "Arrange(x,1,0,3,1)", "", copy_all},
    {"copy-all", KF_PLACE, "Place(x,1,0,3,1,3)", "", copy_all},
    {"copy-zero", KF_ARRANGE, "Arrange(Zero(3),1,2,3,-1)", "", copy_zero},
    {"copy-zero", KF_PLACE, "Place(Zero(3),1,0,3,2,6)", "", copy_zero},
    {"sum-rows-all", KF_SUMROWS, "SumRows(x,3)", "", sum_rows_all},
    {"sum-rows-of-zero", KF_SUMROWS, "SumRows(Zero(6),2)", "", sum_rows_of_zero},
    {"copy-zero", KF_CONCAT, "Concat(Zero(2),Zero(1))", "", copy_zero},
    {"extract-one", KF_EXTRACT, "Extract(x,1,1)", "", extract_one},
    {"elem-of-copy", KF_ELEM, "Elem(Concat(x,y),4)", "", extract_of_copy},
    {"arrange-of-copy", KF_ARRANGE, "Arrange(Concat(x,y),2,3,2,0,3,1)", "", arrange_of_copy},
    {"extract-of-arrange", KF_EXTRACT, "Extract(Arrange(Concat(x,y),2,0,2,3,3,1),3,3)", "", arrange_of_copy},
    {"extract-of-copy", KF_EXTRACT, "Extract(Concat(x,y),3,2)", "", extract_of_copy},
};

const size_t kf_rule_count = KB_COUNT(kf_rules);

/*
 * Applies rules until none does. Every rule makes the formula smaller or moves constants, signs and numbers to the
 * left.
 */
static const kf_node *rewrite(kf_graph *g, const kf_node *f)
{
    for (size_t k = 0; f && k < kf_rule_count; k++) {
        if (kf_rules[k].op != (kf_op)f->op)
            continue;
        const kf_node *simpler = kf_rules[k].apply(g, f);
        /* 1*n of an integer n is a real number: the product, which converts n, must stay. */
        if (simpler && simpler->kind != f->kind)
            continue;
        /* Rules build their results through rewrite, so a changed node is simplified already. */
        if (simpler != f)
            return simpler ? rewrite(g, simpler) : NULL;
    }
    return f;
}

const kf_node *kf_or_zero(kf_graph *g, const kf_node *f)
{
    if (!f || kf_info((kf_op)f->op)->op_class == KF_CLASS_LEAF)
        return f;
    switch ((kf_op)f->op) {
    case KF_ADD:
    case KF_SUB:
    case KF_MINUS:
    case KF_SQUARE:
    case KF_SUM:
    case KF_SUMROWS:
        break;
    case KF_ELEM:
    case KF_EXTRACT:
    case KF_ARRANGE: { /* of zeros that stand beside other components */
        const kf_node *simpler = rewrite(g, f);
        return simpler && kf_is_zero(simpler) ? simpler : f;
    }
    default:
        if (kf_info((kf_op)f->op)->op_class != KF_CLASS_COPY)
            return f;
    }
    for (int k = 0; k < f->arg_count; k++)
        if (!kf_is_zero(f->arg[k]))
            return f;
    return kf_zero(g, f->dim);
}

const kf_node *kf_product(kf_graph *g, const kf_node *f, const kf_node *h)
{
    if (f && h && (kf_is_zero(kf_value(f)) || kf_is_zero(kf_value(h))))
        return kf_zero(g, KB_MAX(f->dim, h->dim));
    return kf_binary(g, KF_MULT, f, h);
}

/* ---- The pass ---------------------------------------------------------------------------------------------------- */

/* Concat(F, G), the operand of a weighted reduction: the two stay apart even if the rules would join them. */
static bool is_weighting(const kf_node *f)
{
    return f->op == KF_CONCAT && f->arg[0]->dim == 1;
}

static const kf_node *simplify_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    (void)user;
    if (kf_info((kf_op)f->op)->op_class == KF_CLASS_LEAF)
        return f;
    if (f->op == KF_REDUCE) {
        if (kf_is_indexed(f))
            return kf_rebuild(g, f, (const kf_node *[]){kf_like(g, args[0], f->arg[0]), args[1], args[2]});
        /* The number of terms stays, even if the terms no longer differ. */
        const kf_node *terms = kf_like(g, args[0], f->arg[0]);
        if (terms && f->param[0] == KF_REDUCE_SUM && kf_is_zero(kf_value(terms)))
            return kf_like(g, kf_zero(g, f->dim), f);
        if (terms && kf_reduction_get((kf_reduction)f->param[0])->formulas == 2 && !is_weighting(terms))
            terms = kf_binary(g, KF_CONCAT, rewrite(g, kf_make(g, KF_ELEM, &terms, &(int64_t){0})),
                              rewrite(g, kf_make(g, KF_EXTRACT, &terms, (int64_t[]){1, terms->dim - 1})));
        return kf_reduce(g, (kf_reduction)f->param[0], (unsigned)f->param[1], f->param[2], terms);
    }
    if (f->op == KF_LIKE)
        return kf_like(g, args[0], f->arg[1]);
    return rewrite(g, kf_make(g, (kf_op)f->op, args, f->param));
}

kcl_status kf_simplify(kf_graph *g, size_t root_count, const kf_node *const *roots, const kf_node **out)
{
    const kf_node **made = kb_calloc(kf_allocator(g), root_count + 1, sizeof *made);
    kcl_status status =
        made ? kf_rewrite(g, g, root_count, roots, false, simplify_node, NULL, made) : kb_no_memory(&g->error);
    for (size_t k = 0; status == KCL_OK && k < root_count; k++) {
        out[k] = kf_like(g, made[k], roots[k]);
        if (!out[k])
            status = g->error.status;
    }
    kb_free(kf_allocator(g), made);
    return status;
}
