/* SPDX-License-Identifier: MIT */
/* formula/numeric.c: functions of numbers, as cl/math.cl computes them. */
#include "numeric.h"

#include <math.h>

double kf_powi(double base, int64_t exponent)
{
    uint64_t n = exponent < 0 ? 0 - (uint64_t)exponent : (uint64_t)exponent;
    double power = 1;
    for (double factor = base; n; n >>= 1, factor *= factor)
        if (n & 1)
            power *= factor;
    return exponent < 0 ? 1 / power : power;
}

/* The hypotenuse of the largest numbers overflows, the hypotenuse of the smallest has few digits. */
static double hypot_scale(double a, double b)
{
    return fabs(a) > 1 || fabs(b) > 1 ? 0.5 : 0x1p600;
}

double kf_hypot_ratio(double a, double b)
{
    const double scale = hypot_scale(a, b);
    return a == 0 && b == 0 ? 0 : scale * a / hypot(scale * a, scale * b);
}

double kf_inverse_hypot(double a, double b)
{
    const double scale = hypot_scale(a, b);
    if (isnan(a) || isnan(b)) /* also NaN beside infinity, although the hypotenuse is infinite */
        return NAN;
    return a == 0 && b == 0 ? 0 : scale / hypot(scale * a, scale * b);
}

double kf_round(double value, int64_t digits)
{
    const double scale = pow(10, (double)(digits < 0 ? -digits : digits));
    double scaled = digits < 0 ? value / scale : value * scale;
    if (!(fabs(scaled) < 0x1p52)) /* whole already, or NaN */
        return value;
    scaled = round(scaled);
    return digits < 0 ? scaled * scale : scaled / scale;
}

/*
 * The series converges for all x, but terms of a large x cancel. The recurrence upwards from sin(x)/x loses digits if x
 * is small beside n.
 */
double kf_spherical(double x, int64_t n)
{
    const double square = x * x;
    if (n > 0 && fabs(x) < (double)(n + 1)) {
        double sum = 1, scale = 1;
        for (int64_t k = 14 + 2 * n; k > 0; k--)
            sum = 1 - square / (double)(2 * k * (2 * n + 2 * k + 1)) * sum;
        for (int64_t k = 1; k <= n; k++)
            scale *= (double)(2 * k + 1);
        return sum / scale;
    }
    if (isinf(x))
        return 0;
    double here = x == 0 ? 1 : sin(x) / x, before = cos(x);
    for (int64_t k = 0; k < n; k++) {
        const double next = ((double)(2 * k + 1) * here - before) / square;
        before = here;
        here = next;
    }
    return here;
}
