/* SPDX-License-Identifier: MIT */
/* api/elementwise.c: arithmetic, functions and comparisons of each component. */
#include "builder.h"
#include "make.h"

#include <math.h>

/* Macros, not functions: ka_apply takes the name of the function around it. */
#define unary(op, f) ka_apply(op, 1, &(f), NULL)
#define binary(op, f, g) ka_apply(op, 2, ((kcl_expr *[]){f, g}), NULL)

/* ---- Arithmetic -------------------------------------------------------------------------------------------------- */

kcl_expr *kcl_add(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_ADD, f, g);
}

kcl_expr *kcl_sub(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_SUB, f, g);
}

kcl_expr *kcl_mul(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_MULT, f, g);
}

kcl_expr *kcl_div(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_DIVIDE, f, g);
}

kcl_expr *kcl_powf(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_POWF, f, g);
}

kcl_expr *kcl_pow(kcl_expr *f, double exponent)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    return scope ? ka_shaped(ka_expr_of(scope, kf_power(&scope->graph, f->node, exponent)), f->inner) : error;
}

kcl_expr *kcl_scale(kcl_expr *f, double factor)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    if (!scope)
        return error;
    if (isnan(factor))
        return ka_fail(scope, KCL_ERROR_ARGUMENT, "kcl_scale: the factor is nan, it must be a number");
    kf_graph *g = &scope->graph;
    return ka_shaped(ka_expr_of(scope, kf_binary(g, KF_MULT, kf_num(g, factor), f->node)), f->inner);
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

#define UNARY(name, op)                                                                                                \
    kcl_expr *name(kcl_expr *f)                                                                                        \
    {                                                                                                                  \
        return unary(op, f);                                                                                           \
    }

UNARY(kcl_neg, KF_MINUS)
UNARY(kcl_inv, KF_INV)
UNARY(kcl_square, KF_SQUARE)
UNARY(kcl_exp, KF_EXP)
UNARY(kcl_log, KF_LOG)
UNARY(kcl_sqrt, KF_SQRT)
UNARY(kcl_rsqrt, KF_RSQRT)
UNARY(kcl_sin, KF_SIN)
UNARY(kcl_cos, KF_COS)
UNARY(kcl_abs, KF_ABS)
UNARY(kcl_sign, KF_SIGN)
UNARY(kcl_xlogx, KF_XLOGX)
UNARY(kcl_asin, KF_ASIN)
UNARY(kcl_acos, KF_ACOS)
UNARY(kcl_atan, KF_ATAN)
UNARY(kcl_tan, KF_TAN)
UNARY(kcl_sinh, KF_SINH)
UNARY(kcl_cosh, KF_COSH)
UNARY(kcl_tanh, KF_TANH)
UNARY(kcl_asinh, KF_ASINH)
UNARY(kcl_acosh, KF_ACOSH)
UNARY(kcl_atanh, KF_ATANH)
UNARY(kcl_erf, KF_ERF)
UNARY(kcl_erfc, KF_ERFC)
UNARY(kcl_expm1, KF_EXPM1)
UNARY(kcl_log1p, KF_LOG1P)
UNARY(kcl_sigmoid, KF_SIGMOID)
UNARY(kcl_softplus, KF_SOFTPLUS)
UNARY(kcl_floor, KF_FLOOR)
UNARY(kcl_ceil, KF_CEIL)
UNARY(kcl_trunc, KF_TRUNC)
UNARY(kcl_not, KF_NOT)
UNARY(kcl_step, KF_STEP)
UNARY(kcl_relu, KF_RELU)

kcl_expr *kcl_atan2(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_ATAN2, f, g);
}

kcl_expr *kcl_hypot(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_HYPOT, f, g);
}

kcl_expr *kcl_minimum(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_MINIMUM, f, g);
}

kcl_expr *kcl_maximum(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_MAXIMUM, f, g);
}

kcl_expr *kcl_round(kcl_expr *f, int digits)
{
    return ka_apply(KF_ROUND, 1, &f, (int64_t[]){digits});
}

kcl_expr *kcl_sinxdivx(kcl_expr *f)
{
    return ka_named("SinXDivX", true, 1, &f, NULL);
}

kcl_expr *kcl_sinc(kcl_expr *f)
{
    const double pi = 0x1.921fb54442d18p+1;
    return ka_as(__func__, 1, &f, kcl_sinxdivx(kcl_mul(kcl_constant(f ? f->scope : NULL, pi), f)));
}

kcl_expr *kcl_clamp(kcl_expr *f, kcl_expr *low, kcl_expr *high)
{
    return ka_named("Clamp", true, 3, (kcl_expr *[]){f, low, high}, NULL);
}

kcl_expr *kcl_clampint(kcl_expr *f, int low, int high)
{
    return ka_named("ClampInt", true, 1, &f, (int64_t[]){low, high});
}

kcl_expr *kcl_mod(kcl_expr *f, kcl_expr *n, kcl_expr *offset)
{
    return ka_named("Mod", true, 3, (kcl_expr *[]){f, n, offset}, NULL);
}

/* ---- Comparisons and logic --------------------------------------------------------------------------------------- */

kcl_expr *kcl_and(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_AND, f, g);
}

kcl_expr *kcl_or(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_OR, f, g);
}

kcl_expr *kcl_equal(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_EQUAL, f, g);
}

kcl_expr *kcl_not_equal(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_NOT_EQUAL, f, g);
}

kcl_expr *kcl_less(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_LESS, f, g);
}

kcl_expr *kcl_less_equal(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_LESS_EQUAL, f, g);
}

kcl_expr *kcl_greater(kcl_expr *f, kcl_expr *g)
{
    return ka_exchanged(KF_LESS, f, g);
}

kcl_expr *kcl_greater_equal(kcl_expr *f, kcl_expr *g)
{
    return ka_exchanged(KF_LESS_EQUAL, f, g);
}

kcl_expr *kcl_ifelse(kcl_expr *condition, kcl_expr *f, kcl_expr *g)
{
    return ka_apply(KF_IFELSE, 3, (kcl_expr *[]){condition, f, g}, NULL);
}

kcl_expr *kcl_where(kcl_expr *condition, kcl_expr *f, kcl_expr *g)
{
    return ka_apply(KF_WHERE, 3, (kcl_expr *[]){condition, f, g}, NULL);
}
