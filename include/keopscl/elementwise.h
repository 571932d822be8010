/* SPDX-License-Identifier: MIT */
/* keopscl/elementwise.h: arithmetic, functions and comparisons of each component. */
#ifndef KEOPSCL_ELEMENTWISE_H
#define KEOPSCL_ELEMENTWISE_H

#include <keopscl/scope.h>

KCL_BEGIN

/* ---- Arithmetic ------------------------------------------------------------------------------------- */

KCL_API kcl_expr *kcl_add(kcl_expr *f, kcl_expr *g); /* f + g */
KCL_API kcl_expr *kcl_sub(kcl_expr *f, kcl_expr *g); /* f - g */
KCL_API kcl_expr *kcl_mul(kcl_expr *f, kcl_expr *g); /* f * g */
KCL_API kcl_expr *kcl_div(kcl_expr *f, kcl_expr *g); /* f / g */
KCL_API kcl_expr *kcl_neg(kcl_expr *f);              /* -f */
KCL_API kcl_expr *kcl_inv(kcl_expr *f);              /* 1 / f */
KCL_API kcl_expr *kcl_square(kcl_expr *f);           /* f^2 */

/*
 * factor * f. The factor is part of the formula, as the exponent of kcl_pow is: another factor makes another kernel. A
 * factor that changes from evaluation to evaluation should be a kcl_scalar.
 */
KCL_API kcl_expr *kcl_scale(kcl_expr *f, double factor);

/*
 * f to a constant power, which is part of the formula. A whole exponent is a product: defined for negative f, and
 * f^0 = 1 everywhere. 0.5 and -0.5 are kcl_sqrt and kcl_rsqrt. Any other exponent gives NaN for negative f.
 */
KCL_API kcl_expr *kcl_pow(kcl_expr *f, double exponent);

/* f to the power g, both expressions: pow of the C library. NaN for negative f and broken g. */
KCL_API kcl_expr *kcl_powf(kcl_expr *f, kcl_expr *g);

/* ---- Functions, elementwise -------------------------------------------------------------------------------------- */

KCL_API kcl_expr *kcl_exp(kcl_expr *f);   /* e^f */
KCL_API kcl_expr *kcl_log(kcl_expr *f);   /* natural logarithm; NaN below 0, -infinity at 0 */
KCL_API kcl_expr *kcl_sqrt(kcl_expr *f);  /* square root; its derivative at 0 is taken as 0 */
KCL_API kcl_expr *kcl_rsqrt(kcl_expr *f); /* 1 / sqrt(f), and 0 at f = 0, as in KeOps; derivative 0 there */
KCL_API kcl_expr *kcl_sin(kcl_expr *f);   /* sine, radians */
KCL_API kcl_expr *kcl_cos(kcl_expr *f);   /* cosine, radians */
KCL_API kcl_expr *kcl_tan(kcl_expr *f);   /* tangent, radians */
KCL_API kcl_expr *kcl_abs(kcl_expr *f);   /* absolute value; derivative 0 at 0 */
KCL_API kcl_expr *kcl_sign(kcl_expr *f);  /* -1, 0 or 1 */
KCL_API kcl_expr *kcl_xlogx(kcl_expr *f); /* f log(f), and 0 at f = 0 */
KCL_API kcl_expr *kcl_atan(kcl_expr *f);  /* arc tangent */

/*
 * Arc sine and cosine, NaN beyond -1 and 1; their derivatives at -1 and 1 are taken as 0. The scalar product of
 * normalised vectors is rounded to more than 1 for about a quarter of equal directions: kcl_acos(kcl_clampint(cosine,
 * -1, 1)) is 0 there, and so is its derivative.
 */
KCL_API kcl_expr *kcl_asin(kcl_expr *f);
KCL_API kcl_expr *kcl_acos(kcl_expr *f);

/* The angle of the point (g, f): atan2 of the C library; f is the ordinate. Derivative 0 at (0, 0). */
KCL_API kcl_expr *kcl_atan2(kcl_expr *f, kcl_expr *g);

/* Hyperbolic functions and their inverses: acosh is NaN below 1; atanh is infinite at -1 and 1 and NaN beyond. */
KCL_API kcl_expr *kcl_sinh(kcl_expr *f);
KCL_API kcl_expr *kcl_cosh(kcl_expr *f);
KCL_API kcl_expr *kcl_tanh(kcl_expr *f);
KCL_API kcl_expr *kcl_asinh(kcl_expr *f);
KCL_API kcl_expr *kcl_acosh(kcl_expr *f); /* its derivative at 1 is taken as 0 */
KCL_API kcl_expr *kcl_atanh(kcl_expr *f);

KCL_API kcl_expr *kcl_erf(kcl_expr *f);      /* 2/sqrt(pi) times the integral of e^(-t^2) over t from 0 to f */
KCL_API kcl_expr *kcl_erfc(kcl_expr *f);     /* 1 - erf(f), exact where it is small */
KCL_API kcl_expr *kcl_expm1(kcl_expr *f);    /* e^f - 1, exact near 0 */
KCL_API kcl_expr *kcl_log1p(kcl_expr *f);    /* log(1 + f), exact near 0; NaN below -1, -infinity at -1 */
KCL_API kcl_expr *kcl_sigmoid(kcl_expr *f);  /* the logistic function, 1 / (1 + e^-f) */
KCL_API kcl_expr *kcl_softplus(kcl_expr *f); /* log(1 + e^f), without overflow */

/* sqrt(f^2 + g^2), without overflow or underflow on the way. Derivative 0 at (0, 0), as for norms. */
KCL_API kcl_expr *kcl_hypot(kcl_expr *f, kcl_expr *g);

KCL_API kcl_expr *kcl_sinxdivx(kcl_expr *f); /* sin(f) / f, and 1 at f = 0; derivatives are exact near 0 */
KCL_API kcl_expr *kcl_sinc(kcl_expr *f);     /* sin(pi f) / (pi f) */
KCL_API kcl_expr *kcl_step(kcl_expr *f);     /* 0 where f < 0, else 1 */
KCL_API kcl_expr *kcl_relu(kcl_expr *f);     /* 0 where f < 0, else f; its derivative at 0 is taken as 1 */
KCL_API kcl_expr *kcl_floor(kcl_expr *f);    /* the largest whole number not above f; derivative 0 */
KCL_API kcl_expr *kcl_ceil(kcl_expr *f);     /* the smallest whole number not below f; derivative 0 */
KCL_API kcl_expr *kcl_trunc(kcl_expr *f);    /* f without its decimals; derivative 0 */

/*
 * The smaller and the larger of two numbers. NaN if one of them is NaN, unlike fmin of C: a NaN does not get lost. The
 * derivative is the derivative of the chosen operand, which is the first of two equal ones.
 */
KCL_API kcl_expr *kcl_minimum(kcl_expr *f, kcl_expr *g);
KCL_API kcl_expr *kcl_maximum(kcl_expr *f, kcl_expr *g);

/* f rounded to `digits` decimals, -18 to 18, half away from zero; negative: to tens, hundreds, ... */
KCL_API kcl_expr *kcl_round(kcl_expr *f, int digits);

/* `low` where f < low, `high` where f > high, else f. Each branch has its own derivative. */
KCL_API kcl_expr *kcl_clamp(kcl_expr *f, kcl_expr *low, kcl_expr *high);
KCL_API kcl_expr *kcl_clampint(kcl_expr *f, int low, int high); /* with whole numbers, part of the formula */

/* f - n floor((f - offset) / n): f brought into [offset, offset + n) by steps of n. */
KCL_API kcl_expr *kcl_mod(kcl_expr *f, kcl_expr *n, kcl_expr *offset);

/* ---- Comparisons and logic, elementwise -------------------------------------------------------------------------- */

/* 1 if the comparison holds, else 0. With NaN nothing holds but kcl_not_equal. The derivatives are 0. */
KCL_API kcl_expr *kcl_equal(kcl_expr *f, kcl_expr *g);         /* f == g */
KCL_API kcl_expr *kcl_not_equal(kcl_expr *f, kcl_expr *g);     /* f != g */
KCL_API kcl_expr *kcl_less(kcl_expr *f, kcl_expr *g);          /* f < g */
KCL_API kcl_expr *kcl_less_equal(kcl_expr *f, kcl_expr *g);    /* f <= g */
KCL_API kcl_expr *kcl_greater(kcl_expr *f, kcl_expr *g);       /* f > g */
KCL_API kcl_expr *kcl_greater_equal(kcl_expr *f, kcl_expr *g); /* f >= g */

/* 1 or 0. Of the operands 0 is false, all other numbers and NaN are true. The derivatives are 0. */
KCL_API kcl_expr *kcl_and(kcl_expr *f, kcl_expr *g);
KCL_API kcl_expr *kcl_or(kcl_expr *f, kcl_expr *g);
KCL_API kcl_expr *kcl_not(kcl_expr *f);

/*
 * f where the condition is true, else g. A condition is a comparison, kcl_and or the like: 0 is false, and all other
 * numbers and NaN are true. The operand that is not taken has no part in the value and in derivatives of any order,
 * even if it is infinite or NaN; the condition has no derivative. A mask is one line. Attention to the columns up to
 * the row's own:
 *
 *     kcl_expr *causal = kcl_where(kcl_less_equal(kcl_index_j(s), kcl_index_i(s)), score, kcl_constant(s, -INFINITY));
 *     kcl_expr *attention = kcl_reduce_sumsoftmaxweight(causal, value, KCL_OVER_J);
 */
KCL_API kcl_expr *kcl_where(kcl_expr *condition, kcl_expr *f, kcl_expr *g);

/*
 * f where condition >= 0, else g: a choice by the sign of a number, with g for NaN. A comparison, 0 or 1, is a
 * condition of kcl_where, not of kcl_ifelse.
 */
KCL_API kcl_expr *kcl_ifelse(kcl_expr *condition, kcl_expr *f, kcl_expr *g);

KCL_END

#endif
