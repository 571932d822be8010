/* SPDX-License-Identifier: MIT */
/*
 * formula/complex.c: complex numbers as pairs (re, im) of components that follow each other. Everything is made of real
 * operators, so derivatives, which take C as R^2, are derivatives of the real formula.
 *
 * An operator takes its operands apart and joins its result. An operand that was joined is taken apart into what it was
 * joined from, so a chain of operators computes with real and imaginary parts throughout.
 */
#include "complex_numbers.h"
#include "layout.h"
#include "make.h"
#include "simplify.h"

typedef struct parts {
    const kf_node *re, *im;
} parts;

static const kf_node *join(kf_graph *g, const kf_node *re, const kf_node *im)
{
    const kf_node *both = kf_binary(g, KF_CONCAT, re, im);
    const kf_layout l = {.rank = 2, .size = {re ? re->dim : 1, 2}, .stride = {1, re ? re->dim : 1}};
    return kf_arrange(g, both, &l);
}

static bool is_joined(const kf_node *f)
{
    const kf_node *both = f->op == KF_ARRANGE ? f->arg[0] : f;
    if (both->op != KF_CONCAT || both->arg[0]->dim != both->arg[1]->dim || both->dim != f->dim)
        return false;
    const int64_t n = both->arg[0]->dim;
    if (f == both)
        return n == 1;
    const kf_layout l = kf_layout_of(f);
    return l.rank == 2 && l.offset == 0 && l.size[0] == n && l.size[1] == 2 && l.stride[0] == 1 && l.stride[1] == n;
}

static parts parts_of(kf_graph *g, const kf_node *f)
{
    if (is_joined(f)) {
        const kf_node *both = f->op == KF_ARRANGE ? f->arg[0] : f;
        return (parts){both->arg[0], both->arg[1]};
    }
    const kf_layout re = {.rank = 1, .size = {f->dim / 2}, .stride = {2}}, im = {1, 1, {f->dim / 2}, {2}};
    return (parts){kf_arrange(g, f, &re), kf_arrange(g, f, &im)};
}

static bool is_complex(kf_graph *g, const char *name, const kf_node *f)
{
    if (f && f->dim % 2)
        kf_refuse(g, KCL_ERROR_SHAPE,
                  "%s: the operand has dimension %d, which is odd: complex numbers are pairs (re, im)", name, f->dim);
    return f && f->dim % 2 == 0;
}

/* Whether dimensions fit; a single number is repeated. */
static bool are_complex(kf_graph *g, const char *name, const kf_node *f, const kf_node *h)
{
    if (!is_complex(g, name, f) || !is_complex(g, name, h))
        return false;
    if (f->dim != h->dim && f->dim != 2 && h->dim != 2)
        kf_refuse(g, KCL_ERROR_SHAPE,
                  "%s: the operands have dimensions %d and %d; they must be equal, or one of them 2", name, f->dim,
                  h->dim);
    return f->dim == h->dim || f->dim == 2 || h->dim == 2;
}

#define SQUARE(x) kf_unary(g, KF_SQUARE, x)
#define MINUS(x) kf_or_zero(g, kf_unary(g, KF_MINUS, x))
/* The part that a real number lacks stays Zero, and takes no part in products. */
#define ADD(x, y) kf_or_zero(g, kf_binary(g, KF_ADD, x, y))
#define SUB(x, y) kf_or_zero(g, kf_binary(g, KF_SUB, x, y))
#define MULT(x, y) kf_product(g, x, y)

const kf_node *kf_complex_of_real(kf_graph *g, const kf_node *f)
{
    return f ? join(g, f, kf_zero(g, f->dim)) : NULL;
}

const kf_node *kf_complex_of_imag(kf_graph *g, const kf_node *f)
{
    return f ? join(g, kf_zero(g, f->dim), f) : NULL;
}

const kf_node *kf_complex_real(kf_graph *g, const kf_node *f)
{
    return is_complex(g, "ComplexReal", f) ? parts_of(g, f).re : NULL;
}

const kf_node *kf_complex_imag(kf_graph *g, const kf_node *f)
{
    return is_complex(g, "ComplexImag", f) ? parts_of(g, f).im : NULL;
}

const kf_node *kf_complex_conj(kf_graph *g, const kf_node *f)
{
    if (!is_complex(g, "Conj", f))
        return NULL;
    const parts a = parts_of(g, f);
    return join(g, a.re, MINUS(a.im));
}

static const kf_node *square_abs(kf_graph *g, const char *name, const kf_node *f)
{
    if (!is_complex(g, name, f))
        return NULL;
    const parts a = parts_of(g, f);
    return ADD(SQUARE(a.re), SQUARE(a.im));
}

const kf_node *kf_complex_square_abs(kf_graph *g, const kf_node *f)
{
    return square_abs(g, "ComplexSquareAbs", f);
}

const kf_node *kf_complex_abs(kf_graph *g, const kf_node *f)
{
    return kf_unary(g, KF_SQRT, square_abs(g, "ComplexAbs", f));
}

const kf_node *kf_complex_angle(kf_graph *g, const kf_node *f)
{
    if (!is_complex(g, "ComplexAngle", f))
        return NULL;
    const parts a = parts_of(g, f);
    return kf_binary(g, KF_ATAN2, a.im, a.re);
}

const kf_node *kf_complex_sum(kf_graph *g, const kf_node *f)
{
    if (!is_complex(g, "ComplexSum", f))
        return NULL;
    const parts a = parts_of(g, f);
    return f->dim == 2 ? f : join(g, kf_unary(g, KF_SUM, a.re), kf_unary(g, KF_SUM, a.im));
}

const kf_node *kf_complex_sum_t(kf_graph *g, const kf_node *f, int64_t dim)
{
    if (!f)
        return NULL;
    if (f->dim != 2)
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "ComplexSumT: the operand has dimension %d, it must be 2, one pair (re, im)", f->dim);
    if (dim < 2 || dim % 2)
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "ComplexSumT: dimension %lld is not that of pairs (re, im), 2 or more and even",
                         (long long)dim);
    const kf_layout l = {.rank = 2, .size = {dim / 2, 2}, .stride = {0, 1}};
    return kf_arrange(g, f, &l);
}

/* By parts if both operands are vectors, or one operand was joined: the result of a chain is joined once. */
static const kf_node *sum(kf_graph *g, const char *name, kf_op op, const kf_node *f, const kf_node *h)
{
    if (!are_complex(g, name, f, h))
        return NULL;
    if (f->dim == h->dim && !is_joined(f) && !is_joined(h))
        return kf_binary(g, op, f, h);
    const parts a = parts_of(g, f), b = parts_of(g, h);
    return join(g, kf_or_zero(g, kf_binary(g, op, a.re, b.re)), kf_or_zero(g, kf_binary(g, op, a.im, b.im)));
}

const kf_node *kf_complex_add(kf_graph *g, const kf_node *f, const kf_node *h)
{
    return sum(g, "ComplexAdd", KF_ADD, f, h);
}

const kf_node *kf_complex_subtract(kf_graph *g, const kf_node *f, const kf_node *h)
{
    return sum(g, "ComplexSubtract", KF_SUB, f, h);
}

const kf_node *kf_complex_mult(kf_graph *g, const kf_node *f, const kf_node *h)
{
    if (!are_complex(g, "ComplexMult", f, h))
        return NULL;
    const parts a = parts_of(g, f), b = parts_of(g, h);
    return join(g, SUB(MULT(a.re, b.re), MULT(a.im, b.im)), ADD(MULT(a.re, b.im), MULT(a.im, b.re)));
}

const kf_node *kf_complex_divide(kf_graph *g, const kf_node *f, const kf_node *h)
{
    if (!are_complex(g, "ComplexDivide", f, h))
        return NULL;
    const parts a = parts_of(g, f), b = parts_of(g, h);
    const kf_node *scale = kf_unary(g, KF_INV, ADD(SQUARE(b.re), SQUARE(b.im)));
    const kf_node *re = ADD(MULT(a.re, b.re), MULT(a.im, b.im)), *im = SUB(MULT(a.im, b.re), MULT(a.re, b.im));
    return join(g, MULT(scale, re), MULT(scale, im));
}

const kf_node *kf_complex_real_scal(kf_graph *g, const kf_node *s, const kf_node *f)
{
    if (!s || !f)
        return NULL;
    if (s->dim != 1 && f->dim == 1) { /* KeOps takes either order */
        const kf_node *other = s;
        s = f;
        f = other;
    }
    if (s->dim != 1)
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "ComplexRealScal: the operands have dimensions %d and %d; one of them must be 1", s->dim,
                         f->dim);
    if (!is_complex(g, "ComplexRealScal", f))
        return NULL;
    if (!is_joined(f))
        return MULT(s, f);
    const parts a = parts_of(g, f);
    return join(g, MULT(s, a.re), MULT(s, a.im));
}

const kf_node *kf_complex_exp1j(kf_graph *g, const kf_node *f)
{
    return join(g, kf_unary(g, KF_COS, f), kf_unary(g, KF_SIN, f));
}

const kf_node *kf_complex_exp(kf_graph *g, const kf_node *f)
{
    if (!is_complex(g, "ComplexExp", f))
        return NULL;
    const parts a = parts_of(g, f);
    const kf_node *scale = kf_unary(g, KF_EXP, a.re);
    return join(g, MULT(scale, kf_unary(g, KF_COS, a.im)), MULT(scale, kf_unary(g, KF_SIN, a.im)));
}
