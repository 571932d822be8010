/* SPDX-License-Identifier: MIT */
/*
 * tests/run/definition.h: formulas by their definition, for tests. Operators, vectors and reductions are written here
 * from mathematics, in long double, and share nothing with the library: neither its table nor its trees.
 *
 * A number carries what rounding may do to it and its derivatives in some directions, which carry the same. Errors are
 * those that a computation in `definition_unit` would have, to first order: where the operands of an operation move by
 * what they may be off, the result moves, and so do its slopes; the operation adds a rounding of its own. So whatever is
 * near a pole, a jump or a fold has a large error, or none that is finite, and cannot be compared.
 */
#ifndef TEST_DEFINITION_H
#define TEST_DEFINITION_H

#include "base.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { DIRECTIONS = 2 };

typedef struct num {
    long double v, d[DIRECTIONS]; /* value, derivatives */
    long double e, f[DIRECTIONS]; /* how far off each may be */
} num;

/* Half of what lies between 1 and the next number: 2^-24 or 2^-53. */
extern long double definition_unit;

/* ---- Functions of numbers ------------------------------------------------------------------------------------------ */

/* (n)(n-2)(n-4)... */
static inline long double odd_factorial(int n)
{
    return n <= 1 ? 1 : n * odd_factorial(n - 2);
}

/* j_n(x)/x^n: the sum of (-x^2/2)^k / (k! (2n+2k+1)!!). */
static inline long double bessel_ratio(long double x, int n)
{
    long double sum = 0, term = 1;
    for (int k = 0; k < 40; k++) {
        sum += term / odd_factorial(2 * n + 2 * k + 1);
        term *= -x * x / 2 / (k + 1);
    }
    return sum;
}

static inline long double whole_power(long double x, int n)
{
    return n == 0 ? 1 : n < 0 ? 1 / whole_power(x, -n) : x * whole_power(x, n - 1);
}

static inline long double sign_of(long double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}

#define TWO_OVER_ROOT_PI 1.12837916709551257389615890312154517L
#define LN2 0.693147180559945309417232121458176568L
#define SECH2(x) (1 / (coshl(x) * coshl(x)))

/*
 * X(id, name, operands, value, slope by a, by b, by c, error, domain of a, domain of b): a, b, c the operands, n a whole
 * number that follows them, v the value; the error of the operation in units, whose size is that of |v| where nothing
 * else matters. Bounds are those of docs/accuracy.md, rounded up; functions of what may be computed to another base have
 * errors that grow with their operand.
 */
#define DEFINITION_OPERATORS(X)                                                                                        \
    X(ADD, "Add", 2, a + b, 1, 1, 0, fabsl(v), -3, 3, -3, 3)                                                           \
    X(SUBTRACT, "Subtract", 2, a - b, 1, -1, 0, fabsl(v), -3, 3, -3, 3)                                                \
    X(MULT, "Mult", 2, a *b, b, a, 0, fabsl(v), -3, 3, -3, 3)                                                          \
    X(DIVIDE, "Divide", 2, a / b, 1 / b, -a / (b * b), 0, 4 * fabsl(v), -3, 3, 0.4, 3)                                 \
    X(MINUS, "Minus", 1, 0 - a, -1, 0, 0, 0, -3, 3, 0, 0)                                                              \
    X(INV, "Inv", 1, 1 / a, -1 / (a * a), 0, 0, 4 * fabsl(v), 0.4, 3, 0, 0)                                            \
    X(SQUARE, "Square", 1, a *a, 2 * a, 0, 0, fabsl(v), -3, 3, 0, 0)                                                   \
    X(POW, "Pow", 1, whole_power(a, n), n *whole_power(a, n - 1), 0, 0, 2 * (abs(n) + 1) * fabsl(v), 0.4, 2, 0, 0)     \
    X(POWF, "Powf", 2, expl(b *logl(a)), b *expl((b - 1) * logl(a)), logl(a) * v, 0, 6 * fabsl(v), 0.4, 2, -2, 2)      \
    X(EXP, "Exp", 1, expl(a), expl(a), 0, 0, (3 + 3 * fabsl(a)) * fabsl(v), -2, 2, 0, 0)                               \
    X(LOG, "Log", 1, logl(a), 1 / a, 0, 0, 4 * fabsl(v), 0.4, 3, 0, 0)                                                 \
    X(EXP2, "Exp2", 1, powl(2, a), LN2 *powl(2, a), 0, 0, (3 + 3 * fabsl(a)) * fabsl(v), -2, 2, 0, 0)                  \
    X(LOG2, "Log2", 1, logl(a) / LN2, 1 / (LN2 * a), 0, 0, 4 * fabsl(v), 0.4, 3, 0, 0)                                 \
    X(SQRT, "Sqrt", 1, sqrtl(a), 0.5L / sqrtl(a), 0, 0, 4 * fabsl(v), 0.4, 3, 0, 0)                                    \
    X(RSQRT, "Rsqrt", 1, 1 / sqrtl(a), -0.5L / (a * sqrtl(a)), 0, 0, 4 * fabsl(v), 0.4, 3, 0, 0)                       \
    X(SIN, "Sin", 1, sinl(a), cosl(a), 0, 0, 4 * fabsl(v), -3, 3, 0, 0)                                                \
    X(COS, "Cos", 1, cosl(a), -sinl(a), 0, 0, 4 * fabsl(v), -3, 3, 0, 0)                                               \
    X(ABS, "Abs", 1, a < 0 ? -a : a, sign_of(a), 0, 0, 0, -3, 3, 0, 0)                                                 \
    X(SIGN, "Sign", 1, sign_of(a), 0, 0, 0, 0, -3, 3, 0, 0)                                                            \
    X(FLOOR, "Floor", 1, floorl(a), 0, 0, 0, 0, -3, 3, 0, 0)                                                           \
    X(ROUND, "Round", 1, roundl(a *whole_power(10, n)) / whole_power(10, n), 0, 0, 0, 4 * fabsl(v), -3, 3, 0, 0)       \
    X(STEP, "Step", 1, a < 0 ? 0 : 1, 0, 0, 0, 0, -3, 3, 0, 0)                                                         \
    X(RELU, "ReLU", 1, a < 0 ? 0 : a, a < 0 ? 0 : 1, 0, 0, 0, -3, 3, 0, 0)                                             \
    X(XLOGX, "XLogX", 1, a *logl(a), logl(a) + 1, 0, 0, 4 * fabsl(v), 0.1, 3, 0, 0)                                    \
    X(ASIN, "Asin", 1, asinl(a), 1 / sqrtl(1 - a * a), 0, 0, 5 * fabsl(v), -0.8, 0.8, 0, 0)                            \
    X(ACOS, "Acos", 1, acosl(a), -1 / sqrtl(1 - a * a), 0, 0, 5 * fabsl(v), -0.8, 0.8, 0, 0)                           \
    X(ATAN, "Atan", 1, atanl(a), 1 / (1 + a * a), 0, 0, 5 * fabsl(v), -3, 3, 0, 0)                                     \
    X(ATAN2, "Atan2", 2, atan2l(a, b), b / (a * a + b * b), -a / (a * a + b * b), 0, 6 * fabsl(v), 0.3, 3, -3, 3)      \
    X(BESSEL, "SphericalBessel", 1, bessel_ratio(a, n), -a *bessel_ratio(a, n + 1), 0, 0,                              \
      8 / odd_factorial(2 * n + 1), -3, 3, 0, 0)                                                                       \
    X(SINC, "SinXDivX", 1, bessel_ratio(a, 0), -a *bessel_ratio(a, 1), 0, 0, 8, -3, 3, 0, 0)                           \
    X(EQUAL, "Equal", 2, a == b ? 1 : 0, 0, 0, 0, 0, -3, 3, -3, 3)                                                     \
    X(NOT_EQUAL, "NotEqual", 2, a == b ? 0 : 1, 0, 0, 0, 0, -3, 3, -3, 3)                                              \
    X(LESS, "LessThan", 2, a < b ? 1 : 0, 0, 0, 0, 0, -3, 3, -3, 3)                                                    \
    X(LESS_EQUAL, "LessOrEqual", 2, a > b ? 0 : 1, 0, 0, 0, 0, -3, 3, -3, 3)                                           \
    X(IFELSE, "IfElse", 3, a < 0 ? c : b, 0, a < 0 ? 0 : 1, a < 0 ? 1 : 0, 0, -3, 3, -3, 3)                            \
    X(TAN, "Tan", 1, tanl(a), 1 / (cosl(a) * cosl(a)), 0, 0, 5 * fabsl(v), -1, 1, 0, 0)                                \
    X(SINH, "Sinh", 1, (expl(a) - expl(-a)) / 2, coshl(a), 0, 0, 4 * fabsl(v), -2, 2, 0, 0)                            \
    X(COSH, "Cosh", 1, (expl(a) + expl(-a)) / 2, sinhl(a), 0, 0, 4 * fabsl(v), -2, 2, 0, 0)                            \
    X(TANH, "Tanh", 1, tanhl(a), SECH2(a), 0, 0, 4 * fabsl(v), -2, 2, 0, 0)                                            \
    X(ASINH, "Asinh", 1, asinhl(a), 1 / sqrtl(1 + a * a), 0, 0, 4 * fabsl(v), -3, 3, 0, 0)                             \
    X(ACOSH, "Acosh", 1, logl(a + sqrtl(a * a - 1)), 1 / sqrtl(a * a - 1), 0, 0, 4 * fabsl(v), 1.2, 3, 0, 0)           \
    X(ATANH, "Atanh", 1, (log1pl(a) - log1pl(-a)) / 2, 1 / (1 - a * a), 0, 0, 4 * fabsl(v), -0.8, 0.8, 0, 0)           \
    X(ERF, "Erf", 1, erfl(a), TWO_OVER_ROOT_PI *expl(-a *a), 0, 0, 4 * fabsl(v), -2, 2, 0, 0)                          \
    X(ERFC, "Erfc", 1, erfcl(a), -TWO_OVER_ROOT_PI *expl(-a *a), 0, 0, 4 * fabsl(v), -2, 2, 0, 0)                      \
    X(EXPM1, "Expm1", 1, expm1l(a), expl(a), 0, 0, 4 * fabsl(v), -2, 2, 0, 0)                                          \
    X(LOG1P, "Log1p", 1, log1pl(a), 1 / (1 + a), 0, 0, 4 * fabsl(v), -0.6, 3, 0, 0)                                    \
    X(SIGMOID, "Sigmoid", 1, 1 / (1 + expl(-a)), 1 / (2 + expl(a) + expl(-a)), 0, 0, 5 * fabsl(v), -3, 3, 0, 0)        \
    X(SOFTPLUS, "Softplus", 1, log1pl(expl(a)), 1 / (1 + expl(-a)), 0, 0, 4 * fabsl(v), -3, 3, 0, 0)                   \
    X(CEIL, "Ceil", 1, ceill(a), 0, 0, 0, 0, -3, 3, 0, 0)                                                              \
    X(TRUNC, "Trunc", 1, sign_of(a) * floorl(fabsl(a)), 0, 0, 0, 0, -3, 3, 0, 0)                                       \
    X(HYPOT, "Hypot", 2, sqrtl(a *a + b * b), a / v, b / v, 0, 4 * fabsl(v), 0.3, 3, -3, 3)                            \
    X(MINIMUM, "Minimum", 2, a <= b ? a : b, a <= b ? 1 : 0, a <= b ? 0 : 1, 0, 0, -3, 3, -3, 3)                       \
    X(MAXIMUM, "Maximum", 2, a >= b ? a : b, a >= b ? 1 : 0, a >= b ? 0 : 1, 0, 0, -3, 3, -3, 3)                       \
    X(AND, "And", 2, a == 0 || b == 0 ? 0 : 1, 0, 0, 0, 0, -3, 3, -3, 3)                                               \
    X(OR, "Or", 2, a == 0 && b == 0 ? 0 : 1, 0, 0, 0, 0, -3, 3, -3, 3)                                                 \
    X(NOT, "Not", 1, a == 0 ? 1 : 0, 0, 0, 0, 0, -3, 3, 0, 0)

typedef enum definition_op {
#define X(id, ...) D_##id,
    DEFINITION_OPERATORS(X)
#undef X
        D_COUNT
} definition_op;

static const struct {
    const char *name;
    int operands;
    double low[2], high[2]; /* of the first two operands: where tests draw */
} definition_operators[] = {
#define X(id, name, operands, value, by_a, by_b, by_c, error, la, ha, lb, hb) {name, operands, {la, lb}, {ha, hb}},
    DEFINITION_OPERATORS(X)
#undef X
};

/* What to compute of an operation: its value, its slope by an operand, or its error in units. */
enum { THE_VALUE = -1, SLOPE_A, SLOPE_B, SLOPE_C, THE_ERROR };

static inline long double definition_of(definition_op op, int what, const long double *x, int n)
{
    const long double a = x[0], b = x[1], c = x[2];
    (void)b, (void)c, (void)n;
    switch (op) {
#define X(id, name, operands, value, by_a, by_b, by_c, error, ...)                                                     \
    case D_##id: {                                                                                                     \
        const long double v = (value);                                                                                 \
        return what == THE_VALUE ? v                                                                                   \
               : what == SLOPE_A ? (by_a)                                                                              \
               : what == SLOPE_B ? (by_b)                                                                              \
               : what == SLOPE_C ? (by_c)                                                                              \
                                 : (error);                                                                            \
    }
        DEFINITION_OPERATORS(X)
#undef X
    default:
        return NAN;
    }
}

/* How far the result of definition_of moves where each operand moves by twice what it may be off. */
static inline long double definition_spread(definition_op op, int what, const num *const *operand, int n)
{
    const int operands = definition_operators[op].operands;
    long double x[3] = {0}, sum = 0;
    for (int k = 0; k < operands; k++)
        x[k] = operand[k]->v;
    const long double at = definition_of(op, what, x, n);
    for (int k = 0; k < operands; k++) {
        if (operand[k]->e == 0)
            continue;
        x[k] = operand[k]->v + 2 * operand[k]->e;
        const long double above = fabsl(definition_of(op, what, x, n) - at);
        x[k] = operand[k]->v - 2 * operand[k]->e;
        const long double below = fabsl(definition_of(op, what, x, n) - at);
        x[k] = operand[k]->v;
        sum += (above > below || isnan(above) ? above : below) / 2;
    }
    return sum;
}

static inline bool is_held(long double v)
{
    return definition_unit > 0x1p-30L ? (long double)(float)v == v : (long double)(double)v == v;
}

/* A multiple of 1/1024 that is not large: sums and products of such are exact in any order. */
static inline bool is_short(long double v)
{
    return fabsl(v) < 4096 && rintl(v * 1024) == v * 1024;
}

static inline num number(long double v)
{
    return (num){.v = v, .e = is_held(v) ? 0 : definition_unit * fabsl(v)};
}

/*
 * Whether numbers that are told apart may be equal, and whether one that is taken for true may be 0; or whether an angle
 * hangs on the sign of a zero.
 */
static inline bool meets_what_it_compares(definition_op op, const num *a, const num *b)
{
    if (op == D_EQUAL || op == D_NOT_EQUAL)
        return a->e + b->e != 0 && fabsl(a->v - b->v) <= 2 * (a->e + b->e);
    if (op == D_ATAN2)
        return a->v == 0 && b->v <= 0;
    const bool first = a->e != 0 && fabsl(a->v) <= 2 * a->e, second = b->e != 0 && fabsl(b->v) <= 2 * b->e;
    return op == D_NOT ? first : (op == D_AND || op == D_OR) && (first || second);
}

static inline num apply_op(definition_op op, num a, num b, num c, int n)
{
    const num *const operand[3] = {&a, &b, &c};
    const long double x[3] = {a.v, b.v, c.v};
    const int operands = definition_operators[op].operands;
    num r = {.v = definition_of(op, THE_VALUE, x, n)};
    r.e = definition_spread(op, THE_VALUE, operand, n);
    if (meets_what_it_compares(op, &a, &b))
        r.e = INFINITY;
    /* Sums, differences and products of short numbers are not rounded. */
    if (r.e != 0 || op > D_MULT || !is_short(r.v))
        r.e += definition_unit * definition_of(op, THE_ERROR, x, n);
    bool moves = false;
    for (int k = 0; k < operands; k++)
        for (int t = 0; t < DIRECTIONS; t++)
            moves |= operand[k]->d[t] != 0 || operand[k]->f[t] != 0;
    for (int k = 0; moves && k < operands; k++) {
        const long double slope = definition_of(op, k, x, n), spread = definition_spread(op, k, operand, n);
        for (int t = 0; t < DIRECTIONS; t++) {
            const long double d = operand[k]->d[t], f = operand[k]->f[t];
            if (d == 0 && f == 0)
                continue;
            r.d[t] += slope * d;
            r.f[t] += fabsl(slope) * f + fabsl(d) * (spread + 6 * definition_unit * fabsl(slope));
        }
    }
    return r;
}

static inline num op1(definition_op op, num a)
{
    return apply_op(op, a, a, a, 0);
}

static inline num op2(definition_op op, num a, num b)
{
    return apply_op(op, a, b, a, 0);
}

static inline num add(num a, num b)
{
    return op2(D_ADD, a, b);
}

static inline num subtract(num a, num b)
{
    return op2(D_SUBTRACT, a, b);
}

static inline num mult(num a, num b)
{
    return op2(D_MULT, a, b);
}

/* The sum of `count` numbers `step` apart, in whatever order: each may be rounded as often as there are numbers. */
static inline num sum_of(const num *x, int64_t count, int64_t step)
{
    num r = {0};
    long double size = 0, sizes[DIRECTIONS] = {0};
    bool exact = true;
    for (int64_t k = 0; k < count; k++) {
        const num *const at = x + k * step;
        r.v += at->v;
        r.e += at->e;
        size += fabsl(at->v);
        exact = exact && at->e == 0 && is_short(at->v) && is_short(r.v);
        for (int t = 0; t < DIRECTIONS; t++) {
            r.d[t] += at->d[t];
            r.f[t] += at->f[t];
            sizes[t] += fabsl(at->d[t]);
        }
    }
    r.e += exact ? 0 : definition_unit * (long double)count * size;
    for (int t = 0; t < DIRECTIONS; t++)
        r.f[t] += definition_unit * (long double)count * sizes[t];
    return r;
}

static inline num dot_of(const num *x, int64_t x_step, const num *y, int64_t y_step, int64_t count)
{
    num products[256];
    products[0] = (num){0}; /* the sum of none reads no number, which compilers do not see */
    for (int64_t k = 0; k < count; k++)
        products[k] = mult(x[k * x_step], y[k * y_step]);
    return sum_of(products, count, 1);
}

/* ---- Reductions ---------------------------------------------------------------------------------------------------- */

/* log(sum of exp(x) w), where w may be NULL, for 1. The largest x is taken off, and may be rounded before that. */
static inline num log_sum_exp(const num *x, int64_t x_step, const num *w, int64_t w_step, int64_t count)
{
    long double largest = x[0].v, size = 0;
    num *terms = malloc((size_t)count * sizeof *terms);
    for (int64_t n = 1; n < count; n++)
        largest = fmaxl(largest, x[n * x_step].v);
    for (int64_t n = 0; n < count; n++) {
        size = fmaxl(size, fabsl(x[n * x_step].v));
        terms[n] = op1(D_EXP, subtract(x[n * x_step], (num){.v = largest}));
        if (w)
            terms[n] = mult(terms[n], w[n * w_step]);
    }
    num r = op1(D_LOG, sum_of(terms, count, 1));
    free(terms);
    r.v += largest;
    r.e += definition_unit * (3 * size + fabsl(r.v) + 2);
    for (int t = 0; t < DIRECTIONS; t++)
        r.f[t] += 4 * definition_unit * (1 + size) * fabsl(r.d[t]);
    return r;
}

/* (sum of exp(x) w) / (sum of exp(x)). */
static inline num soft_max_weight(const num *x, int64_t x_step, const num *w, int64_t w_step, int64_t count)
{
    long double largest = x[0].v, size = 0;
    num *terms = malloc((size_t)count * sizeof *terms), *products = malloc((size_t)count * sizeof *products);
    for (int64_t n = 1; n < count; n++)
        largest = fmaxl(largest, x[n * x_step].v);
    for (int64_t n = 0; n < count; n++) {
        terms[n] = op1(D_EXP, subtract(x[n * x_step], (num){.v = largest}));
        terms[n].e += 3 * definition_unit * fabsl(x[n * x_step].v) * terms[n].v;
        products[n] = mult(terms[n], w[n * w_step]);
        size = fmaxl(size, fabsl(x[n * x_step].v));
    }
    num r = op2(D_DIVIDE, sum_of(products, count, 1), sum_of(terms, count, 1));
    free(terms);
    free(products);
    for (int t = 0; t < DIRECTIONS; t++)
        r.f[t] += 4 * definition_unit * (1 + size) * fabsl(r.d[t]);
    return r;
}

/*
 * The q-th smallest of x, from 0 on, or the q-th largest; *at is its number. Of equal ones the first comes first. Its
 * number and its derivative may be another's (*sure is false then) where one of another rank is as near as the two may
 * be off.
 */
static inline num ranked(const num *x, int64_t step, int64_t count, int64_t q, bool largest, int64_t *at, bool *sure)
{
    *at = -1;
    *sure = true;
    for (int64_t n = 0; n < count && *at < 0; n++) {
        int64_t before = 0;
        for (int64_t m = 0; m < count; m++) {
            const long double d = largest ? x[m * step].v - x[n * step].v : x[n * step].v - x[m * step].v;
            before += d > 0 || (d == 0 && m < n);
        }
        if (before == q)
            *at = n;
    }
    num r = x[*at * step];
    long double most = r.e;
    for (int64_t m = 0; m < count; m++) {
        const num *const other = &x[m * step];
        if (m != *at && fabsl(other->v - r.v) <= 4 * (other->e + r.e) && (other->e != 0 || r.e != 0)) {
            *sure = false;
            most = fmaxl(most, other->e);
        }
    }
    r.e = most;
    for (int t = 0; t < DIRECTIONS; t++)
        r.f[t] = *sure ? r.f[t] : INFINITY;
    return r;
}

#endif
