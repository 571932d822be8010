/* SPDX-License-Identifier: MIT */
/* formula/rules_numbers.c: rules of constants, sums, products, quotients and powers. */
#include "rules.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static bool is_const(const kf_node *f)
{
    return f->op == KF_CONST || (f->op == KF_ZERO && f->dim == 1);
}

static bool is_one(const kf_node *f)
{
    return f->op == KF_CONST && f->value == 1;
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

const kf_node *kf_rule_fold(kf_graph *g, const kf_node *f)
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

const kf_node *kf_rule_add_zero(kf_graph *g, const kf_node *f)
{
    if (kf_is_zero(f->arg[0]))
        return kf_simple_repeat(g, f->arg[1], f->dim);
    return kf_is_zero(f->arg[1]) ? kf_simple_repeat(g, f->arg[0], f->dim) : f;
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
const kf_node *kf_rule_add_like_terms(kf_graph *g, const kf_node *f)
{
    const kf_node *u, *v, *m = split_factor(g, f->arg[0], &u), *n = split_factor(g, f->arg[1], &v);
    if (!m || !n)
        return NULL;
    if (u != v)
        return f;
    const kf_node *both = kf_simple_binary(g, (kf_op)f->op, m, n);
    if (!both || !is_const(both) || !fits_every_type(both))
        return both ? f : NULL;
    const double x = constant(m).value, y = f->op == KF_ADD ? constant(n).value : -constant(n).value;
    return kf_is_zero(both) || (x < 0) == (y < 0) ? kf_simple_binary(g, KF_MULT, both, u) : f;
}

const kf_node *kf_rule_add_minus(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (a->op == KF_MINUS && b->op == KF_MINUS)
        return kf_simple_minus(g, kf_simple_binary(g, KF_ADD, a->arg[0], b->arg[0]));
    if (b->op == KF_MINUS)
        return kf_simple_binary(g, KF_SUB, a, b->arg[0]);
    return a->op == KF_MINUS ? kf_simple_binary(g, KF_SUB, b, a->arg[0]) : f;
}

const kf_node *kf_rule_repeated_operand(kf_graph *g, const kf_node *f)
{
    for (int k = 0; k < 2; k++) {
        const kf_node *a = f->arg[k], *b = f->arg[1 - k];
        if (a->op == KF_SUMT && b->dim == a->dim && b->op != KF_SUMT)
            return k == 0 ? kf_simple_binary(g, (kf_op)f->op, a->arg[0], b)
                          : kf_simple_binary(g, (kf_op)f->op, b, a->arg[0]);
        if (a->op == KF_SUMT && b->op == KF_SUMT && k == 0)
            return kf_simple_repeat(g, kf_simple_binary(g, (kf_op)f->op, a->arg[0], b->arg[0]), f->dim);
    }
    return f;
}

const kf_node *kf_rule_sub_zero(kf_graph *g, const kf_node *f)
{
    if (kf_is_zero(f->arg[1]))
        return kf_simple_repeat(g, f->arg[0], f->dim);
    return kf_is_zero(f->arg[0]) ? kf_simple_minus(g, kf_simple_repeat(g, f->arg[1], f->dim)) : f;
}

const kf_node *kf_rule_sub_minus(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (b->op == KF_MINUS)
        return kf_simple_binary(g, KF_ADD, a, b->arg[0]);
    return a->op == KF_MINUS ? kf_simple_minus(g, kf_simple_binary(g, KF_ADD, a->arg[0], b)) : f;
}

const kf_node *kf_rule_minus_zero(kf_graph *g, const kf_node *f)
{
    (void)g;
    return kf_is_zero(f->arg[0]) ? f->arg[0] : f;
}

const kf_node *kf_rule_minus_minus(kf_graph *g, const kf_node *f)
{
    (void)g;
    return f->arg[0]->op == KF_MINUS ? f->arg[0]->arg[0] : f;
}

const kf_node *kf_rule_minus_difference(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    return a->op == KF_SUB ? kf_simple_binary(g, KF_SUB, a->arg[1], a->arg[0]) : f;
}

/* -(c*u): the sign goes into the constant. */
const kf_node *kf_rule_minus_scaled(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    if (a->op == KF_MULT && is_const(a->arg[0]))
        return kf_simple_binary(g, KF_MULT, kf_simple_minus(g, a->arg[0]), a->arg[1]);
    return f;
}

const kf_node *kf_rule_minus_repeated(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0];
    return a->op == KF_SUMT ? kf_simple_repeat(g, kf_simple_minus(g, a->arg[0]), f->dim) : f;
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

/* 0 times what may be infinite or NaN stays: derivatives leave such products out when they are made (kf_product). */
const kf_node *kf_rule_mult_zero(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    return (kf_is_zero(a) && is_finite(b)) || (kf_is_zero(b) && is_finite(a)) ? kf_zero(g, f->dim) : f;
}

const kf_node *kf_rule_mult_one(kf_graph *g, const kf_node *f)
{
    for (int k = 0; k < 2; k++) {
        const kf_node *c = f->arg[k], *u = f->arg[1 - k];
        if (c->op == KF_CONST && fabs(c->value) == 1)
            return is_one(c) ? u : kf_simple_minus(g, u);
    }
    return f;
}

const kf_node *kf_rule_mult_constant_first(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    return is_const(b) && !is_const(a) ? kf_simple_binary(g, KF_MULT, b, a) : f;
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
const kf_node *kf_rule_mult_constants(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (is_const(a) && b->op == KF_MULT && is_const(b->arg[0])) {
        const kf_node *c = kf_simple_binary(g, KF_MULT, a, b->arg[0]);
        const bool lost = c && kf_is_zero(c) && !kf_is_zero(a) && !kf_is_zero(b->arg[0]);
        return c && is_const(c) && fits_every_type(c) && !lost ? kf_simple_binary(g, KF_MULT, c, b->arg[1]) : f;
    }
    if (!is_const(a) && has_constant(b))
        return kf_simple_binary(g, KF_MULT, b->arg[0], kf_simple_binary(g, KF_MULT, a, b->arg[1]));
    if (has_constant(a) && !is_const(b))
        return kf_simple_binary(g, KF_MULT, a->arg[0], kf_simple_binary(g, KF_MULT, a->arg[1], b));
    return f;
}

const kf_node *kf_rule_mult_minus(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (is_const(a) && b->op == KF_MINUS)
        return kf_simple_binary(g, KF_MULT, kf_simple_minus(g, a), b->arg[0]);
    if (a->op == KF_MINUS)
        return kf_simple_minus(g, kf_simple_binary(g, KF_MULT, a->arg[0], b));
    return b->op == KF_MINUS ? kf_simple_minus(g, kf_simple_binary(g, KF_MULT, a, b->arg[0])) : f;
}

/* Numbers are multiplied with each other before they meet a vector: s*(t*v), (s*v)*t. */
const kf_node *kf_rule_mult_scalars_first(kf_graph *g, const kf_node *f)
{
    if (f->dim == 1)
        return f;
    for (int k = 0; k < 2; k++) {
        const kf_node *s = f->arg[k], *u = f->arg[1 - k];
        if (s->dim == 1 && kf_is_scaled(u) && !is_const(s))
            return kf_simple_binary(g, KF_MULT, kf_simple_binary(g, KF_MULT, s, u->arg[0]), u->arg[1]);
        if (s->dim == 1 && u->op == KF_MULT && u->dim > 1 && u->arg[1]->dim == 1 && !is_const(s))
            return kf_simple_binary(g, KF_MULT, kf_simple_binary(g, KF_MULT, s, u->arg[1]), u->arg[0]);
    }
    return f->arg[1]->dim == 1 ? kf_simple_binary(g, KF_MULT, f->arg[1], f->arg[0]) : f;
}

const kf_node *kf_rule_mult_self(kf_graph *g, const kf_node *f)
{
    return f->arg[0] == f->arg[1] ? kf_simple_unary(g, KF_SQUARE, f->arg[0]) : f;
}

const kf_node *kf_rule_mult_inverse(kf_graph *g, const kf_node *f)
{
    for (int k = 1; k >= 0; k--) {
        const kf_node *u = f->arg[1 - k], *v = f->arg[k];
        if (v->op == KF_INV && u->op != KF_INV && !is_const(u))
            return kf_simple_binary(g, KF_DIVIDE, u, v->arg[0]);
    }
    return f;
}

const kf_node *kf_rule_divide_constant(kf_graph *g, const kf_node *f)
{
    const kf_node *c = f->arg[1];
    if (!is_const(c) || c->value == 0 || isinf(c->value) || is_const(f->arg[0]))
        return f;
    const kf_node *inverse = kf_simple_unary(g, KF_INV, c);
    return inverse && is_const(inverse) && fits_every_type(c) && fits_every_type(inverse)
               ? kf_simple_binary(g, KF_MULT, inverse, f->arg[0])
               : f;
}

const kf_node *kf_rule_divide_one(kf_graph *g, const kf_node *f)
{
    return is_one(f->arg[0]) ? kf_simple_unary(g, KF_INV, f->arg[1]) : f;
}

const kf_node *kf_rule_divide_minus(kf_graph *g, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    if (a->op == KF_MINUS)
        return kf_simple_minus(g, kf_simple_binary(g, KF_DIVIDE, a->arg[0], b));
    return b->op == KF_MINUS ? kf_simple_minus(g, kf_simple_binary(g, KF_DIVIDE, a, b->arg[0])) : f;
}

const kf_node *kf_rule_even_minus(kf_graph *g, const kf_node *f)
{
    return f->arg[0]->op == KF_MINUS ? kf_simple_unary(g, (kf_op)f->op, f->arg[0]->arg[0]) : f;
}

const kf_node *kf_rule_square_zero(kf_graph *g, const kf_node *f)
{
    (void)g;
    return kf_is_zero(f->arg[0]) ? f->arg[0] : f;
}

const kf_node *kf_rule_pow_small(kf_graph *g, const kf_node *f)
{
    switch (f->param[0]) {
    case 0:
        return kf_simple_repeat(g, kf_rat(g, 1, 1), f->dim);
    case 1:
        return f->arg[0];
    case 2:
        return kf_simple_unary(g, KF_SQUARE, f->arg[0]);
    case -1:
        return kf_simple_unary(g, KF_INV, f->arg[0]);
    default:
        return f;
    }
}
