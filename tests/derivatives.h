/* SPDX-License-Identifier: MIT */
/*
 * tests/derivatives.h: first and second derivatives of elementary functions in long double, by formulas in which nothing
 * cancels or overflows, for tests of what Grad makes of them.
 */
#ifndef TEST_DERIVATIVES_H
#define TEST_DERIVATIVES_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* sech(x)^2, which is small before cosh overflows. */
static inline long double sech_squared(long double x)
{
    const long double e = expl(-fabsl(x)), s = 2 * e / (1 + e * e);
    return s * s;
}

static const long double two_by_root_pi = 1.128379167095512573896158903121545172L,
                         ln2 = 0.693147180559945309417232121458L;

/* The derivative of an order of sin(x)/x, for |x| up to 2. */
static inline long double sinxdivx_derivative(long double x, int order)
{
    long double sum = 0, term = 1; /* (-1)^k / (2k+1)! */
    for (int k = 1; k < 20; k++) {
        term *= -1 / (2.0L * k * (2 * k + 1));
        sum += term * (order == 1 ? 2 * k : 2 * k * (2 * k - 1)) * powl(x, 2 * k - order);
    }
    return sum;
}

/*
 * FUNCTION(name, text, first, second, low, high, signs, by_argument): the function of x that is the text, its
 * derivatives, the range of |x|, how many signs x has (-1: it is negative), and whether the rounding of an argument of an
 * exponential, a logarithm or a sine counts.
 */
#define FUNCTIONS(FUNCTION)                                                                                            \
    FUNCTION(inv, "Inv(x)", -1 / (x * x), 2 / (x * x * x), 1e-12, 1e12, 2, false)                                      \
    FUNCTION(square, "Square(x)", 2 * x, 2 + 0 * x, 1e-18, 1e18, 2, false)                                             \
    FUNCTION(cube, "Pow(x,3)", 3 * x * x, 6 * x, 1e-12, 1e12, 2, false)                                                \
    FUNCTION(inverse_cube, "Pow(x,-3)", -3 / (x * x * x * x), 12 / (x * x * x * x * x), 1e-6, 1e6, 2, false)           \
    FUNCTION(power, "Powf(x,2.75)", 2.75L * powl(x, 1.75L), 2.75L * 1.75L * powl(x, 0.75L), 1e-9, 1e9, 1, true)        \
    FUNCTION(power_of, "Powf(3,x)", logl(3) * powl(3, x), logl(3) * logl(3) * powl(3, x), 1e-30, 70, 2, true)          \
    FUNCTION(exp, "Exp(x)", expl(x), expl(x), 1e-30, 80, 2, false)                                                     \
    FUNCTION(exp2, "Exp2(x)", ln2 *exp2l(x), ln2 *ln2 *exp2l(x), 1e-30, 120, 2, true)                                  \
    FUNCTION(log, "Log(x)", 1 / x, -1 / (x * x), 1e-15, 1e15, 1, false)                                                \
    FUNCTION(log2, "Log2(x)", 1 / (ln2 * x), -1 / (ln2 * x * x), 1e-15, 1e15, 1, false)                                \
    FUNCTION(sqrt, "Sqrt(x)", 1 / (2 * sqrtl(x)), -1 / (4 * x * sqrtl(x)), 1e-24, 1e24, 1, false)                      \
    FUNCTION(rsqrt, "Rsqrt(x)", -1 / (2 * x * sqrtl(x)), 3 / (4 * x * x * sqrtl(x)), 1e-12, 1e12, 1, false)            \
    FUNCTION(sin, "Sin(x)", cosl(x), -sinl(x), 1e-30, 1e4, 2, true)                                                    \
    FUNCTION(cos, "Cos(x)", -sinl(x), -cosl(x), 1e-30, 1e4, 2, true)                                                   \
    FUNCTION(tan, "Tan(x)", 1 / (cosl(x) * cosl(x)), 2 * tanl(x) / (cosl(x) * cosl(x)), 1e-30, 1e4, 2, true)           \
    FUNCTION(xlogx, "XLogX(x)", logl(x) + 1, 1 / x, 1e-30, 1e30, 1, true)                                              \
    FUNCTION(asin, "Asin(x)", 1 / sqrtl((1 - x) * (1 + x)), x / ((1 - x) * (1 + x) * sqrtl((1 - x) * (1 + x))), 1e-30, \
             1, 2, false)                                                                                              \
    FUNCTION(acos, "Acos(x)", -1 / sqrtl((1 - x) * (1 + x)), -x / ((1 - x) * (1 + x) * sqrtl((1 - x) * (1 + x))),      \
             1e-30, 1, 2, false)                                                                                       \
    FUNCTION(atan, "Atan(x)", 1 / (1 + x * x), -2 * x / ((1 + x * x) * (1 + x * x)), 1e-30, 1e9, 2, false)             \
    FUNCTION(sinh, "Sinh(x)", coshl(x), sinhl(x), 1e-30, 80, 2, false)                                                 \
    FUNCTION(cosh, "Cosh(x)", sinhl(x), coshl(x), 1e-30, 80, 2, false)                                                 \
    FUNCTION(tanh, "Tanh(x)", sech_squared(x), -2 * tanhl(x) * sech_squared(x), 1e-30, 1e3, 2, false)                  \
    FUNCTION(asinh, "Asinh(x)", 1 / hypotl(x, 1), -x / hypotl(x, 1) / hypotl(x, 1) / hypotl(x, 1), 1e-30, 1e30, 2,     \
             false)                                                                                                    \
    FUNCTION(acosh, "Acosh(x)", 1 / sqrtl((x - 1) * (x + 1)), -x / ((x - 1) * (x + 1) * sqrtl((x - 1) * (x + 1))), 1,  \
             1e30, 1, false)                                                                                           \
    FUNCTION(atanh, "Atanh(x)", 1 / ((1 - x) * (1 + x)), 2 * x / ((1 - x) * (1 + x) * (1 - x) * (1 + x)), 1e-30, 1, 2, \
             false)                                                                                                    \
    FUNCTION(erf, "Erf(x)", two_by_root_pi *expl(-x *x), -2 * x * two_by_root_pi * expl(-x * x), 1e-30, 1e3, 2, true)  \
    FUNCTION(erfc, "Erfc(x)", -two_by_root_pi *expl(-x *x), 2 * x * two_by_root_pi * expl(-x * x), 1e-30, 1e3, 2,      \
             true)                                                                                                     \
    FUNCTION(expm1, "Expm1(x)", expl(x), expl(x), 1e-30, 80, 2, false)                                                 \
    FUNCTION(log1p, "Log1p(x)", 1 / (1 + x), -1 / ((1 + x) * (1 + x)), 1e-30, 1e15, 1, false)                          \
    FUNCTION(log1p_below, "Log1p(x)", 1 / (1 + x), -1 / ((1 + x) * (1 + x)), 1e-30, 1, -1, false)                      \
    FUNCTION(sigmoid, "Sigmoid(x)", sech_squared(x / 2) / 4, -tanhl(x / 2) * sech_squared(x / 2) / 4, 1e-30, 1e3, 2,   \
             false)                                                                                                    \
    FUNCTION(softplus, "Softplus(x)", x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x)), sech_squared(x / 2) / 4,   \
             1e-30, 1e3, 2, false)                                                                                     \
    FUNCTION(sinxdivx, "SinXDivX(x)", sinxdivx_derivative(x, 1), sinxdivx_derivative(x, 2), 1e-30, 1.5, 2, true)       \
    FUNCTION(hypot, "Hypot(x,1)", x / hypotl(x, 1), 1 / (hypotl(x, 1) * hypotl(x, 1) * hypotl(x, 1)), 1e-30, 1e30, 2,  \
             false)                                                                                                    \
    FUNCTION(atan2, "Atan2(x,1)", 1 / (1 + x * x), -2 * x / ((1 + x * x) * (1 + x * x)), 1e-30, 1e12, 2, false)        \
    FUNCTION(atan2_below, "Atan2(1,x)", -1 / (1 + x * x), 2 * x / ((1 + x * x) * (1 + x * x)), 1e-30, 1e12, 2, false)

typedef struct derivatives {
    const char *text;
    long double (*first)(long double x), (*second)(long double x);
    double low, high; /* of |x| */
    int signs;
    bool by_argument;
} derivatives;

#define FUNCTION(name, text, first, second, low, high, signs, by_argument)                                             \
    static long double first_of_##name(long double x)                                                                  \
    {                                                                                                                  \
        return first;                                                                                                  \
    }                                                                                                                  \
    static long double second_of_##name(long double x)                                                                 \
    {                                                                                                                  \
        return second;                                                                                                 \
    }
FUNCTIONS(FUNCTION)
#undef FUNCTION

static const derivatives known_derivatives[] = {
#define FUNCTION(name, text, first, second, low, high, signs, by_argument)                                             \
    {text, first_of_##name, second_of_##name, low, high, signs, by_argument},
    FUNCTIONS(FUNCTION)
#undef FUNCTION
};

enum { KNOWN_DERIVATIVES = sizeof known_derivatives / sizeof *known_derivatives };

/*
 * Argument number k of `count`: half of them spread evenly over the exponents of the range, half near its ends and near 1,
 * where differences of nearly equal numbers are.
 */
static inline double derivatives_argument(const derivatives *f, int k, int count)
{
    const int sign = f->signs < 0 || (f->signs == 2 && k % 2) ? -1 : 1, half = count / 2;
    const double at = (double)(k % half) / (half - 1);
    double x = exp(log(f->low) + at * (log(f->high) - log(f->low)));
    if (k >= half) { /* 1 - 2^-n and 1 + 2^-n */
        const double n = 1 + (double)((k - half) / 4) * 21 / (half / 4);
        x = f->high == 1 || (f->low < 1 && k / 2 % 2) ? 1 - exp2(-n) : 1 + exp2(-n);
    }
    return sign * fmin(fmax(x, f->low), f->high);
}

/*
 * The error of `got` as the derivative of an order at x, in units of roundoff u of the true value: so many roundings it is
 * worth. Where roundings of an argument count the unit has what one of them changes. 0 where the value is too large for
 * the type, whose numbers go from `least` to `most`, and where the error is below `least`.
 */
static inline double derivatives_error(const derivatives *f, int order, double x, double got, double u, double least,
                                       double most)
{
    long double (*derivative)(long double) = order == 1 ? f->first : f->second;
    const long double h = 1e-7L, want = derivative(x);
    if (!(fabsl(want) < most))
        return 0;
    const long double slope = f->by_argument ? (derivative(x * (1 + h)) - derivative(x * (1 - h))) / (2 * h) : 0;
    const long double error = fabsl(got - want) - least;
    return isnan(got) ? INFINITY : error > 0 ? (double)(error / ((fabsl(want) + fabsl(slope)) * u)) : 0;
}

#endif
