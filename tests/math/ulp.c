/* SPDX-License-Identifier: MIT */
/*
 * Measures the functions of cl/math.cl on an OpenCL device, in units in the last place (ulps) of the true result, and
 * fails above the bounds that docs/accuracy.md states.
 *
 *     ulp [--long] [--seed S] [--only FUNCTION] [--native] [--fast path/to/cl/fast.cl] path/to/cl/math.cl
 *
 * Default: a seeded sample of every binade and of the ranges in use. --long: every float, and more doubles. --native:
 * with KCL_NATIVE, as kernels for GPUs. --fast: the functions of cl/fast.cl instead. Of both subnormal arguments are left
 * out, and subnormal results may be 0. Exit codes: 0 within the bounds, 1 above, 2 wrong usage or a failing device, 77 no
 * OpenCL device.
 */
static const char program_name[] = "ulp";
#include "opencl.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>

enum { BATCH = 1 << 18, LONG_DOUBLES = 1 << 24, SAMPLES = 1 << 19, FEW = 1 << 16, SCALARS = 4096 };

typedef enum domain {
    ALL,         /* every number */
    NONPOS,      /* x <= 0 and NaN */
    POWER,       /* pairs, of which x^y covers the range */
    PLAIN_POWER, /* the same, without zeros, infinities and NaN */
    PAIRS,       /* pairs of any size, mostly near each other's */
    NEAR,        /* |x| <= 4: beyond, the functions have zeros, near which no place is the last */
    PERIODIC,    /* |x| <= 1e5: beyond, the driver's reduction of the argument is measured, not ours */
} domain;

typedef struct function {
    const char *name;
    const char *call; /* of x and y, lanes or real */
    domain domain;
    double (*f)(double, double);
    long double (*g)(long double, long double);
    double bound_f32, bound_f64; /* ulps */
    bool zeros;                  /* the sign of a zero is the C library's */
} function;

#define REFERENCE(name, in_double, in_long_double)                                                                     \
    static double name##_f(double x, double y)                                                                         \
    {                                                                                                                  \
        (void)y;                                                                                                       \
        return in_double;                                                                                              \
    }                                                                                                                  \
    static long double name##_g(long double x, long double y)                                                          \
    {                                                                                                                  \
        (void)y;                                                                                                       \
        return in_long_double;                                                                                         \
    }

REFERENCE(exp2, exp2(x), exp2l(x))
REFERENCE(exp, exp(x), expl(x))
REFERENCE(log2, log2(x), log2l(x))
REFERENCE(log, log(x), logl(x))
REFERENCE(sqrt, sqrt(x), sqrtl(x))
REFERENCE(rsqrt, x == 0 ? 0 : 1 / sqrt(x), x == 0 ? 0 : 1 / sqrtl(x))
REFERENCE(inv, 1 / x, 1 / x)
REFERENCE(sin, sin(x), sinl(x))
REFERENCE(cos, cos(x), cosl(x))
REFERENCE(abs, fabs(x), fabsl(x))
REFERENCE(square, x * x, x * x)
REFERENCE(cube, x * x * x, x * x * x)
REFERENCE(inverse_square, 1 / (x * x), 1 / (x * x))
REFERENCE(powf, pow(x, y), powl(x, y))
REFERENCE(sign, x > 0 ? 1 : x < 0 ? -1 : x, x > 0 ? 1 : x < 0 ? -1 : x)

REFERENCE(floor, floor(x), floorl(x))
REFERENCE(round, round(x), roundl(x))
REFERENCE(step, x < 0 ? 0 : 1, x < 0 ? 0 : 1)
REFERENCE(relu, x < 0 ? 0 : x, x < 0 ? 0 : x)
REFERENCE(xlogx, x == 0 ? 0 : x * log(x), x == 0 ? 0 : x * logl(x))
REFERENCE(asin, asin(x), asinl(x))
REFERENCE(acos, acos(x), acosl(x))
REFERENCE(atan, atan(x), atanl(x))
REFERENCE(atan2, atan2(x, y), atan2l(x, y))
REFERENCE(less, x < y, x < y)
REFERENCE(less_equal, x <= y, x <= y)
REFERENCE(equal, x == y, x == y)
REFERENCE(not_equal, x != y, x != y)
REFERENCE(ifelse, x >= 0 ? y : x, x >= 0 ? y : x)
REFERENCE(where, x != 0 ? y : x, x != 0 ? y : x)
REFERENCE(sinxdivx, x == 0 ? 1 : isinf(x) ? 0 : sin(x) / x, x == 0 ? 1 : isinf(x) ? 0 : sinl(x) / x)

REFERENCE(tan, tan(x), tanl(x))
REFERENCE(sinh, sinh(x), sinhl(x))
REFERENCE(cosh, cosh(x), coshl(x))
REFERENCE(tanh, tanh(x), tanhl(x))
REFERENCE(asinh, asinh(x), asinhl(x))
REFERENCE(acosh, acosh(x), acoshl(x))
REFERENCE(atanh, atanh(x), atanhl(x))
REFERENCE(erf, erf(x), erfl(x))
REFERENCE(erfc, erfc(x), erfcl(x))
REFERENCE(expm1, expm1(x), expm1l(x))
REFERENCE(log1p, log1p(x), log1pl(x))
REFERENCE(sigmoid, x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)),
          x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x)))
REFERENCE(softplus, fmax(x, 0) + log1p(exp(-fabs(x))), fmaxl(x, 0) + log1pl(expl(-fabsl(x))))
REFERENCE(sech, 2 * exp(-fabs(x)) / (1 + exp(-2 * fabs(x))), 2 * expl(-fabsl(x)) / (1 + expl(-2 * fabsl(x))))
REFERENCE(one_minus_square, fma(-x, x, 1), fmal(-x, x, 1))
REFERENCE(hypot_ratio, x == 0 && y == 0 ? 0 : x / hypot(x, y), x == 0 && y == 0 ? 0 : x / hypotl(x, y))
REFERENCE(inverse_hypot, isnan(x) || isnan(y) ? NAN : x == 0 && y == 0 ? 0 : 1 / hypot(x, y),
          isnan(x) || isnan(y) ? NAN : x == 0 && y == 0 ? 0 : 1 / hypotl(x, y))
REFERENCE(ceil, ceil(x), ceill(x))
REFERENCE(trunc, trunc(x), truncl(x))
REFERENCE(hypot, hypot(x, y), hypotl(x, y))
REFERENCE(minimum, isnan(x) || isnan(y) ? NAN : fmin(x, y), isnan(x) || isnan(y) ? NAN : fminl(x, y))
REFERENCE(maximum, isnan(x) || isnan(y) ? NAN : fmax(x, y), isnan(x) || isnan(y) ? NAN : fmaxl(x, y))
REFERENCE(and, x &&y, x &&y)
REFERENCE(or, x || y, x || y)
REFERENCE(not, !x, !x)

/* j_n(x)/x^n from the integral of (1 - t^2)^n cos(x t) over -1 <= t <= 1, its cosine as a series. */
static long double spherical(long double x, int n)
{
    long double sum = 0, power = 1;
    for (int k = 0; k < 40; k++) {
        long double moment = 2 / (2 * k + 1.0L); /* the integral of t^(2k) (1 - t^2)^n */
        for (int m = 1; m <= n; m++)
            moment *= 2 * m / (2 * k + 2 * m + 1.0L);
        sum += power * moment;
        power *= -x * x / ((2 * k + 1.0L) * (2 * k + 2.0L));
    }
    for (int m = 1; m <= n; m++)
        sum /= 2 * m;
    return isnan(x) ? x : sum / 2;
}

REFERENCE(spherical_1, (double)spherical(x, 1), spherical(x, 1))
REFERENCE(spherical_2, (double)spherical(x, 2), spherical(x, 2))
REFERENCE(spherical_4, (double)spherical(x, 4), spherical(x, 4))

static const function functions[] = {
    {"exp2", "kcl_exp2(x)", ALL, exp2_f, exp2_g, 1.9, 1.1, false},
    {"exp2_nonpos", "kcl_exp2_nonpos(x)", NONPOS, exp2_f, exp2_g, 1.9, 1.1, false},
    {"exp", "kcl_exp(x)", ALL, exp_f, exp_g, 1.1, 1.1, false},
    {"log2", "kcl_log2(x)", ALL, log2_f, log2_g, 1.2, 1.2, false},
    {"log", "kcl_log(x)", ALL, log_f, log_g, 1.0, 1.0, false},
    {"sqrt", "kcl_sqrt(x)", ALL, sqrt_f, sqrt_g, 3.0, 0.5, false},
    {"rsqrt", "kcl_rsqrt(x)", ALL, rsqrt_f, rsqrt_g, 1.6, 1.6, false},
    {"inv", "kcl_inv(x)", ALL, inv_f, inv_g, 2.5, 0.5, false},
    {"square", "kcl_square(x)", ALL, square_f, square_g, 0.5, 0.5, false},
    {"powi_3", "kcl_powi(x, 3)", ALL, cube_f, cube_g, 1.5, 1.5, false},
    {"powi_m2", "kcl_powi(x, -2)", ALL, inverse_square_f, inverse_square_g, 3.0, 2.0, false},
    {"powf", "kcl_powf(x, y)", POWER, powf_f, powf_g, 2.2, 1.3, false},
    {"sin", "kcl_sin(x)", ALL, sin_f, sin_g, 4.0, 4.0, true},
    {"cos", "kcl_cos(x)", ALL, cos_f, cos_g, 4.0, 4.0, false},
    {"abs", "kcl_abs(x)", ALL, abs_f, abs_g, 0.0, 0.0, false},
    {"sign", "kcl_sign(x)", ALL, sign_f, sign_g, 0.0, 0.0, false},
    {"floor", "kcl_floor(x)", ALL, floor_f, floor_g, 0.0, 0.0, false},
    {"round", "kcl_round(x, 0)", ALL, round_f, round_g, 0.0, 0.0, false},
    {"step", "kcl_step(x)", ALL, step_f, step_g, 0.0, 0.0, false},
    {"relu", "kcl_relu(x)", ALL, relu_f, relu_g, 0.0, 0.0, false},
    {"equal", "kcl_equal(x, y)", POWER, equal_f, equal_g, 0.0, 0.0, false},
    {"not_equal", "kcl_not_equal(x, y)", POWER, not_equal_f, not_equal_g, 0.0, 0.0, false},
    {"less", "kcl_less(x, y)", POWER, less_f, less_g, 0.0, 0.0, false},
    {"less_equal", "kcl_less_equal(x, y)", POWER, less_equal_f, less_equal_g, 0.0, 0.0, false},
    {"ifelse", "kcl_ifelse(x, y, x)", POWER, ifelse_f, ifelse_g, 0.0, 0.0, false},
    {"where", "kcl_where(x, y, x)", POWER, where_f, where_g, 0.0, 0.0, false},
    {"xlogx", "kcl_xlogx(x)", ALL, xlogx_f, xlogx_g, 2.0, 2.0, false},
    {"asin", "kcl_asin(x)", ALL, asin_f, asin_g, 4.0, 4.0, false},
    {"acos", "kcl_acos(x)", ALL, acos_f, acos_g, 4.0, 4.0, false},
    {"atan", "kcl_atan(x)", ALL, atan_f, atan_g, 5.0, 5.0, false},
    {"atan2", "kcl_atan2(x, y)", POWER, atan2_f, atan2_g, 6.0, 6.0, false},
    {"tan", "kcl_tan(x)", ALL, tan_f, tan_g, 5.0, 5.0, true},
    {"sinh", "kcl_sinh(x)", ALL, sinh_f, sinh_g, 4.0, 2.0, true},
    {"cosh", "kcl_cosh(x)", ALL, cosh_f, cosh_g, 4.0, 1.7, true},
    {"tanh", "kcl_tanh(x)", ALL, tanh_f, tanh_g, 4.0, 2.8, true},
    {"asinh", "kcl_asinh(x)", ALL, asinh_f, asinh_g, 4.0, 2.0, true},
    {"acosh", "kcl_acosh(x)", ALL, acosh_f, acosh_g, 4.0, 2.3, true},
    {"atanh", "kcl_atanh(x)", ALL, atanh_f, atanh_g, 4.0, 2.0, true},
    {"erf", "kcl_erf(x)", ALL, erf_f, erf_g, 4.0, 1.3, true},
    {"erfc", "kcl_erfc(x)", ALL, erfc_f, erfc_g, 4.0, 2.8, true},
    {"expm1", "kcl_expm1(x)", ALL, expm1_f, expm1_g, 2.0, 2.0, true},
    {"log1p", "kcl_log1p(x)", ALL, log1p_f, log1p_g, 2.0, 1.3, true},
    {"sigmoid", "kcl_sigmoid(x)", ALL, sigmoid_f, sigmoid_g, 4.0, 2.5, true},
    {"softplus", "kcl_softplus(x)", ALL, softplus_f, softplus_g, 2.2, 2.0, true},
    {"sech", "kcl_sech(x)", ALL, sech_f, sech_g, 4.0, 2.5, true},
    {"one_minus_square", "kcl_one_minus_square(x)", ALL, one_minus_square_f, one_minus_square_g, 0.5, 0.5, false},
    {"hypot_ratio", "kcl_hypot_ratio(x, y)", PAIRS, hypot_ratio_f, hypot_ratio_g, 4.0, 3.0, false},
    {"inverse_hypot", "kcl_inverse_hypot(x, y)", PAIRS, inverse_hypot_f, inverse_hypot_g, 4.0, 3.0, false},
    {"ceil", "kcl_ceil(x)", ALL, ceil_f, ceil_g, 0.0, 0.0, true},
    {"trunc", "kcl_trunc(x)", ALL, trunc_f, trunc_g, 0.0, 0.0, true},
    {"hypot", "kcl_hypot(x, y)", PAIRS, hypot_f, hypot_g, 4.0, 1.4, true},
    {"minimum", "kcl_minimum(x, y)", PAIRS, minimum_f, minimum_g, 0.0, 0.0, false},
    {"maximum", "kcl_maximum(x, y)", PAIRS, maximum_f, maximum_g, 0.0, 0.0, false},
    {"and", "kcl_and(x, y)", PAIRS, and_f, and_g, 0.0, 0.0, true},
    {"or", "kcl_or(x, y)", PAIRS, or_f, or_g, 0.0, 0.0, true},
    {"not", "kcl_not(x)", ALL, not_f, not_g, 0.0, 0.0, true},
    {"sinxdivx", "kcl_spherical(x, 0)", PERIODIC, sinxdivx_f, sinxdivx_g, 7.0, 5.0, false},
    {"spherical_1", "kcl_spherical(x, 1)", NEAR, spherical_1_f, spherical_1_g, 7.0, 6.0, false},
    {"spherical_2", "kcl_spherical(x, 2)", NEAR, spherical_2_f, spherical_2_g, 7.0, 6.0, false},
    {"spherical_4", "kcl_spherical(x, 4)", NEAR, spherical_4_f, spherical_4_g, 7.0, 6.0, false},
};

enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

#define LEFT_OUT (-1.0)

/* The functions that cl/fast.cl replaces, with their bounds; where they are measured, if not where the others are. */
typedef struct fast_bound {
    const char *name;
    domain domain;
    double f32, f64;
    double unit, native_unit; /* smaller results are measured as if they had that size; native: floats of --native */
} fast_bound;

static const fast_bound fast_bounds[] = {
    {"exp2", ALL, 64, 65536, 0, 0},
    {"exp2_nonpos", NONPOS, 64, 65536, 0, 0},
    {"exp", ALL, 128, 65536, 0, 0},
    {"log2", ALL, 64, 65536, 0, 1},
    {"log", ALL, 64, 65536, 0, 1},
    {"xlogx", ALL, 64, 65536, 0, 1},
    {"powf", PLAIN_POWER, 200, 65536, 0, 0},
    {"powi_m2", ALL, 8, 8192, 0, 0},
    {"sqrt", ALL, 4, 8192, 0, 0},
    {"rsqrt", ALL, 4, 8192, 0, 0},
    {"inv", ALL, 4, 8192, 0, 0},
    {"sin", PERIODIC, 16, 65536, 1, 1},
    {"cos", PERIODIC, 16, 65536, 1, 1},
    {"tan", NEAR, 64, 65536, 0, LEFT_OUT}, /* where the cosine is small its error is any multiple of it */
    {"sigmoid", ALL, 128, 65536, 0, 0},
    {"sech", ALL, 128, 65536, 0, 0},
};

static const fast_bound *fast_bound_of(const char *name)
{
    for (size_t k = 0; k < sizeof fast_bounds / sizeof fast_bounds[0]; k++)
        if (strcmp(fast_bounds[k].name, name) == 0)
            return &fast_bounds[k];
    return NULL;
}

/* Ulps of floats that a GPU's own functions may be off, where ours are less. */
#define NATIVE_BOUND 2.5

/* What is measured. */
typedef struct setting {
    bool every, native;
    const char *math, *fast; /* texts; fast: NULL or that of cl/fast.cl */
} setting;

typedef struct device {
    opencl cl;
    cl_mem x, y, out;
} device;

typedef struct worst {
    double ulps;
    double x, y, got, want;
    uint64_t count;
} worst;

static uint64_t random_state;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static double random_unit(void)
{
    return (double)(random_bits() >> 11) * 0x1p-53;
}

static double number_of_bits(bool f64, uint64_t bits)
{
    if (f64) {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, sizeof value);
    return (double)value;
}

/* Arguments are produced one after another: number `index` of function `f`. Returns false at the end, after `samples`. */
static bool argument(domain domain, bool f64, bool every, uint64_t samples, uint64_t index, double *x, double *y)
{
    const int exponent_bits = f64 ? 11 : 8, mantissa_bits = f64 ? 52 : 23;
    const uint64_t mantissas = UINT64_C(1) << mantissa_bits, binades = UINT64_C(2) << exponent_bits;

    *y = 1;
    if (domain == POWER || domain == PLAIN_POWER || domain == PAIRS) {
        static const double specials[] = {0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1.5, 0x1p25, -0x1p25, 16777215,
                                          1e30, -1e30, 1e-40, -1e-40, INFINITY, -INFINITY, NAN};
        const uint64_t count = sizeof specials / sizeof specials[0];
        if (index < count * count && domain != PLAIN_POWER) {
            *x = specials[index / count];
            *y = specials[index % count];
        } else if (domain == PAIRS) {
            /* x of any size; y equal, of a size that differs by a few binades, or of any size as well */
            const double size = f64 ? 1074 : 149, binades = index % 3 == 2 ? 2 * size : index % 4 * 30 + 1;
            const double log2x = (2 * random_unit() - 1) * size;
            const double log2y = log2x + (random_unit() - 0.5) * binades;
            *x = (random_bits() & 1 ? 1 : -1) * exp2(log2x);
            *y = index % 16 == 0 ? *x : (random_bits() & 1 ? 1 : -1) * exp2(log2y);
            *x = f64 ? *x : (double)(float)*x;
            *y = f64 ? *y : (double)(float)*y;
        } else {
            /* x of any size, or near 1 where log2(x) cancels; y so that the result covers the range of the type */
            const double limit = f64 ? 1080 : 152, size = f64 ? 1022 : 126;
            double log2x = (2 * random_unit() - 1) * (index % 3 == 0 ? size : index % 3 == 1 ? 2 : 0x1p-10);
            *x = exp2(log2x);
            *x = f64 ? *x : (double)(float)*x;
            log2x = log2(*x);
            *y = log2x == 0 ? 1 : (2 * random_unit() - 1) * limit / log2x;
            *y = index % 4 == 3 ? (2 * random_unit() - 1) * 4 : *y;
            *y = f64 ? *y : (double)(float)*y;
            if (domain == PLAIN_POWER && index % 8 == 7) { /* of a negative number: some are none */
                *x = -*x;
                *y = index % 16 == 15 ? rint(*y) : *y;
            }
        }
        return index < (every ? LONG_DOUBLES : samples);
    }
    if (every && !f64) {
        *x = number_of_bits(false, index);
        if (index >> 32 != 0) {
            return false;
        }
    } else {
        /* The first and last numbers of each binade, then random ones of each, then random ones of the common range. */
        static const uint64_t edges = 8, inner = 32;
        /* Of all floats up to 2^17 the nearest to multiples of pi/2. */
        static const double hard[] = {0x1.9a48dep+16, 0x1.9a48dep+15};
        const uint64_t per_binade = edges + inner, hard_count = sizeof hard / sizeof hard[0];
        if (index >= binades * per_binade && index < binades * per_binade + hard_count) {
            *x = hard[index - binades * per_binade];
        } else if (index < binades * per_binade) {
            const uint64_t k = index % per_binade;
            const uint64_t mantissa = k < edges / 2 ? k
                                      : k < edges   ? mantissas - 1 - (k - edges / 2)
                                                    : random_bits() % mantissas;
            *x = number_of_bits(f64, (index / per_binade) * mantissas + mantissa);
        } else {
            const double range = index % 2 ? 2 : f64 ? 1080 : 152;
            *x = (2 * random_unit() - 1) * range;
            if (index % 8 == 6) { /* next to multiples of pi/2, where sine and cosine cancel */
                *x = rint((2 * random_unit() - 1) * (f64 ? 0x1p29 : 0x1p16)) * 1.5707963267948966;
            }
            *x = f64 ? *x : (double)(float)*x;
        }
        if (index >= binades * per_binade + (every ? LONG_DOUBLES : samples)) {
            return false;
        }
    }
    if (domain == NONPOS && *x > 0) {
        *x = -*x;
    }
    if (domain == PERIODIC && fabs(*x) > 1e5) {
        *x = f64 ? fmod(*x, 1e5) : (double)fmodf((float)*x, 1e5f);
    }
    if (domain == NEAR && fabs(*x) > 4) {
        *x = f64 ? fmod(*x, 4) : (double)fmodf((float)*x, 4);
    }
    return true;
}

/*
 * Distance of `got` from the true result, in units of the last place that the type has there, or at `unit` if that is
 * larger. loose: a subnormal result may be 0.
 */
static double error_in_ulps(bool f64, bool zeros, bool loose, double unit, double got, long double want)
{
    const int digits = f64 ? DBL_MANT_DIG : FLT_MANT_DIG;
    const int min_exponent = f64 ? DBL_MIN_EXP - 1 : FLT_MIN_EXP - 1;
    const int max_exponent = f64 ? DBL_MAX_EXP : FLT_MAX_EXP;
    long double value = got;

    if (isnan(got) || isnan(want)) {
        return isnan(got) && isnan(want) ? 0 : INFINITY;
    }
    if (isinf(want)) {
        return got == (double)want ? 0 : INFINITY;
    }
    if (want == 0) {
        return got == 0 && !(zeros && !signbit(got) != !signbit(want)) ? 0 : INFINITY;
    }
    if (loose && got == 0 && ilogbl(want) < min_exponent) {
        return 0;
    }
    int exponent = ilogbl(want) < min_exponent ? min_exponent : ilogbl(want);
    if (unit > 0 && ilogbl(unit) > exponent) {
        exponent = ilogbl(unit);
    }
    if (exponent >= max_exponent) { /* the true result is too large for the type */
        return isinf(got) && (got > 0) == (want > 0) ? 0 : INFINITY;
    }
    if (isinf(got)) { /* the number after the largest */
        value = copysignl(ldexpl(1, max_exponent), got);
    }
    return (double)(fabsl(value - want) / ldexpl(1, exponent - digits + 1));
}

static cl_program build(const device *device, const setting *s, bool f64, int lanes)
{
    const char *const fast = s->fast ? s->fast : "";
    char *source = malloc(strlen(s->math) + strlen(fast) + (1 << 16));
    char *end = source;
    end += sprintf(end, "#define KCL_REAL_%s\n#define KCL_LANES %d\n%s\n%s\n%s\n", f64 ? "F64" : "F32", lanes,
                   s->native ? "#define KCL_NATIVE" : "#define KCL_SLOW_DIVIDER", s->math, fast);
    end += sprintf(end, lanes == 1 ? "#define LOAD(i, p) (p)[i]\n#define STORE(v, i, p) (p)[i] = (v)\n"
                                   : "#define LOAD KCL_VECTOR_(vload)\n#define STORE KCL_VECTOR_(vstore)\n");
    for (int i = 0; i < FUNCTIONS; i++) {
        end += sprintf(end,
                       "__kernel void lanes_%s(__global const real *xs, __global const real *ys, __global real *out)\n"
                       "{\n    const size_t i = get_global_id(0);\n    const lanes x = LOAD(i, xs), y = LOAD(i, ys);\n"
                       "    STORE(%s, i, out);\n}\n"
                       "__kernel void real_%s(__global const real *xs, __global const real *ys, __global real *out)\n"
                       "{\n    const size_t i = get_global_id(0);\n    const real x = xs[i], y = ys[i];\n"
                       "    out[i] = %s;\n}\n",
                       functions[i].name, functions[i].call, functions[i].name, functions[i].call);
    }
    cl_program program = build_program(&device->cl, source, "the text");
    free(source);
    return program;
}

static void run(const device *device, cl_program program, const char *form, const char *name, size_t bytes,
                size_t items, const void *x, const void *y, void *out)
{
    char kernel_name[64];
    cl_int status;
    snprintf(kernel_name, sizeof kernel_name, "%s_%s", form, name);
    cl_kernel kernel = clCreateKernel(program, kernel_name, &status);
    check(status, kernel_name);
    check(clEnqueueWriteBuffer(device->cl.queue, device->x, CL_FALSE, 0, bytes, x, 0, NULL, NULL), "write");
    check(clEnqueueWriteBuffer(device->cl.queue, device->y, CL_FALSE, 0, bytes, y, 0, NULL, NULL), "write");
    check(clSetKernelArg(kernel, 0, sizeof(cl_mem), &device->x), "clSetKernelArg");
    check(clSetKernelArg(kernel, 1, sizeof(cl_mem), &device->y), "clSetKernelArg");
    check(clSetKernelArg(kernel, 2, sizeof(cl_mem), &device->out), "clSetKernelArg");
    check(clEnqueueNDRangeKernel(device->cl.queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL), "launch");
    check(clEnqueueReadBuffer(device->cl.queue, device->out, CL_TRUE, 0, bytes, out, 0, NULL, NULL), "read");
    clReleaseKernel(kernel);
}

/* Measures one function; counts results of the scalar form that differ from the vector's. */
static worst measure(const device *device, cl_program program, const setting *setting, const function *f, bool f64,
                     int lanes, bool every, int *different)
{
    const fast_bound *const fast = setting->fast ? fast_bound_of(f->name) : NULL;
    const domain domain = fast ? fast->domain : f->domain;
    const double unit = !fast ? 0 : setting->native && !f64 ? fast->native_unit : fast->unit;
    const bool loose = setting->native || fast;
    const double least = f64 ? DBL_MIN : FLT_MIN;
    static double x[BATCH], y[BATCH], out[BATCH], scalar[SCALARS];
    float *const xf = (float *)malloc(BATCH * sizeof(float)), *const yf = (float *)malloc(BATCH * sizeof(float));
    float *const of = (float *)malloc(BATCH * sizeof(float));
    const size_t size = f64 ? sizeof(double) : sizeof(float);
    worst result = {-1, 0, 0, 0, 0, 0};
    uint64_t index = 0;
    bool more = true;

    *different = 0;
    while (more) {
        int count = 0;
        while (count < BATCH &&
               (more = argument(domain, f64, every, lanes > 1 ? SAMPLES : FEW, index, &x[count], &y[count]))) {
            index++;
            if (!(loose && x[count] != 0 && fabs(x[count]) < least)) {
                count++;
            }
        }
        for (int i = count; i < BATCH; i++) {
            x[i] = y[i] = 1;
        }
        for (int i = 0; i < BATCH && !f64; i++) {
            xf[i] = (float)x[i];
            yf[i] = (float)y[i];
        }
        const void *const xs = f64 ? (const void *)x : xf, *const ys = f64 ? (const void *)y : yf;
        void *const os = f64 ? (void *)out : of;
        run(device, program, "lanes", f->name, BATCH * size, BATCH / (size_t)lanes, xs, ys, os);
        if (index <= BATCH) { /* the first batch has all special numbers */
            run(device, program, "real", f->name, SCALARS * size, SCALARS, xs, ys, scalar);
            for (int i = 0; i < SCALARS; i++) {
                const double a = f64 ? out[i] : (double)of[i], b = f64 ? scalar[i] : (double)((float *)scalar)[i];
                *different += memcmp(&a, &b, sizeof a) != 0 && !(isnan(a) && isnan(b));
            }
        }
        for (int i = 0; i < count; i++) {
            const double got = f64 ? out[i] : (double)of[i];
            const long double want = f64 ? f->g(x[i], y[i]) : (long double)f->f(xf[i], yf[i]);
            const double rounded = f64 ? (double)want : (double)(float)want;
            if (got == rounded && got != 0 && result.ulps >= ((long double)got == want ? 0 : 0.5)) {
                continue; /* exact, or rounded correctly: not the worst; spares most of the work of --long */
            }
            const double ulps = error_in_ulps(f64, f->zeros && !loose, loose, unit, got, want);
            if (ulps > result.ulps) {
                result = (worst){ulps, f64 ? x[i] : (double)xf[i], f64 ? y[i] : (double)yf[i], got, (double)want, 0};
            }
        }
        result.count += (uint64_t)count;
        if (isinf(result.ulps)) {
            break;
        }
    }
    free(xf);
    free(yf);
    free(of);
    return result;
}

int main(int argc, char **argv)
{
    setting setting = {.every = false};
    uint64_t seed = 1;
    const char *path = NULL, *fast_path = NULL, *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--long") == 0) {
            setting.every = true;
        } else if (strcmp(argv[i], "--native") == 0) {
            setting.native = true;
        } else if (strcmp(argv[i], "--fast") == 0 && i + 1 < argc) {
            fast_path = argv[++i];
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (argv[i][0] != '-' && path == NULL) {
            path = argv[i];
        } else {
            path = NULL;
            break;
        }
    }
    if (path == NULL) {
        fprintf(stderr, "usage: ulp [--long] [--seed S] [--only FUNCTION] [--native] [--fast path/to/cl/fast.cl] "
                        "path/to/cl/math.cl\n");
        return 2;
    }

    device device;
    if (!open_device(&device.cl)) {
        printf("no OpenCL device: skipped\n");
        return 77;
    }
    device.x = make_buffer(&device.cl, BATCH * sizeof(double));
    device.y = make_buffer(&device.cl, BATCH * sizeof(double));
    device.out = make_buffer(&device.cl, BATCH * sizeof(double));
    printf("device %s, seed %" PRIu64 "\n%-12s %-4s %5s %8s %8s  at\n", device.cl.name, seed, "function", "type",
           "lanes", "ulps", "bound");

    /* The widest form uses special instructions where the device has them, a narrow one never does; one lane has its text. */
    static const int widths[2][3] = {{16, 4, 1}, {8, 2, 1}};
    char *const math = read_text(path), *const fast = fast_path ? read_text(fast_path) : NULL;
    setting.math = math;
    setting.fast = fast;
    int failures = 0;
    for (int f64 = 0; f64 <= device.cl.has_f64; f64++) {
        for (int w = 0; w < 3; w++) {
            const int lanes = widths[f64][w];
            cl_program program = build(&device, &setting, f64, lanes);
            for (int i = 0; i < FUNCTIONS; i++) {
                const function *const f = &functions[i];
                const fast_bound *const faster = fast ? fast_bound_of(f->name) : NULL;
                if ((only != NULL && strcmp(only, f->name) != 0) || (fast != NULL && faster == NULL) ||
                    (faster != NULL && setting.native && !f64 && faster->native_unit == LEFT_OUT)) {
                    continue;
                }
                random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
                int different;
                const worst worst =
                    measure(&device, program, &setting, f, f64, lanes, setting.every && w < 2, &different);
                double bound = faster ? (f64 ? faster->f64 : faster->f32) : f64 ? f->bound_f64 : f->bound_f32;
                if (setting.native && !f64 && bound > 0.5 && bound < NATIVE_BOUND) {
                    bound = NATIVE_BOUND;
                }
                const bool fails = worst.ulps > bound || different > 0;
                printf("%-12s %-4s %5d %8.3f %8.1f  x=%a y=%a got %a want %a%s\n", f->name, f64 ? "f64" : "f32", lanes,
                       worst.ulps, bound, worst.x, worst.y, worst.got, worst.want, fails ? "  FAILS" : "");
                fflush(stdout);
                if (different > 0) {
                    printf("    %d scalar results differ from those of lanes\n", different);
                }
                failures += fails;
            }
            clReleaseProgram(program);
        }
    }
    free(math);
    free(fast);
    clReleaseMemObject(device.x);
    clReleaseMemObject(device.y);
    clReleaseMemObject(device.out);
    close_device(&device.cl);
    if (failures > 0) {
        printf("%d failures; repeat with: ulp%s%s%s%s --seed %" PRIu64 " %s\n", failures,
               setting.every ? " --long" : "", setting.native ? " --native" : "", fast ? " --fast " : "",
               fast ? fast_path : "", seed, path);
    }
    return failures > 0;
}
