/* SPDX-License-Identifier: MIT */
/* lazy/builders.c: the functions that build expressions. */
#include "scope.h"

#include <math.h>

kcl_expr *kl_apply_called(const char *call, kf_op op, int count, kcl_expr *const *operands, const int64_t *params)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope_called(call, count, operands, &error);
    if (!scope)
        return error;
    const kf_node *nodes[KF_MAX_ARGS] = {0};
    kl_inner inner;
    bool shaped = false;
    for (int k = 0; k < count; k++)
        nodes[k] = operands[k]->node;
    if (kf_info(op)->op_class == KF_CLASS_MAP &&
        !kl_broadcast(kl_call_or(call, kf_info(op)->name), scope, count, operands, nodes, &inner, &shaped, &error))
        return error;
    return kl_shaped(kl_expr_called(call, scope, kf_make(&scope->graph, op, nodes, params)), shaped ? &inner : NULL);
}

/* Macros, for the name of the function that they stand in. */
#define unary(op, f) kl_apply(op, 1, &(f), NULL)
#define binary(op, f, g) kl_apply(op, 2, ((kcl_expr *[]){f, g}), NULL)

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

kcl_expr *kcl_concat(kcl_expr *f, kcl_expr *g)
{
    return binary(KF_CONCAT, f, g);
}

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
    kcl_expr *error;
    return kl_common_scope(2, (kcl_expr *[]){f, g}, &error) ? binary(KF_LESS, g, f) : error;
}

kcl_expr *kcl_greater_equal(kcl_expr *f, kcl_expr *g)
{
    kcl_expr *error;
    return kl_common_scope(2, (kcl_expr *[]){f, g}, &error) ? binary(KF_LESS_EQUAL, g, f) : error;
}

kcl_expr *kcl_ifelse(kcl_expr *condition, kcl_expr *f, kcl_expr *g)
{
    return kl_apply(KF_IFELSE, 3, (kcl_expr *[]){condition, f, g}, NULL);
}

kcl_expr *kcl_where(kcl_expr *condition, kcl_expr *f, kcl_expr *g)
{
    return kl_apply(KF_WHERE, 3, (kcl_expr *[]){condition, f, g}, NULL);
}

kcl_expr *kcl_round(kcl_expr *f, int digits)
{
    return kl_apply(KF_ROUND, 1, &f, (int64_t[]){digits});
}

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
UNARY(kcl_sum_inner, KF_SUM)

kcl_expr *kcl_pow(kcl_expr *f, double exponent)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    return scope ? kl_shaped(kl_expr_of(scope, kf_power(&scope->graph, f->node, exponent)), f->inner) : error;
}

kcl_expr *kcl_scale(kcl_expr *f, double factor)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    if (!scope)
        return error;
    if (isnan(factor))
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_scale: the factor is nan, it must be a number");
    kf_graph *g = &scope->graph;
    return kl_shaped(kl_expr_of(scope, kf_binary(g, KF_MULT, kf_num(g, factor), f->node)), f->inner);
}

kcl_expr *kcl_repeat(kcl_expr *f, int dim)
{
    return kl_apply(KF_SUMT, 1, &f, (int64_t[]){dim});
}

kcl_expr *kcl_dot(kcl_expr *f, kcl_expr *g)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(2, (kcl_expr *[]){f, g}, &error);
    return scope ? kl_expr_of(scope, kf_dot(&scope->graph, f->node, g->node)) : error;
}

kcl_expr *kcl_sqnorm2(kcl_expr *f)
{
    return kl_as(__func__, 1, &f, kcl_sum_inner(kcl_square(f)));
}

kcl_expr *kcl_norm2(kcl_expr *f)
{
    return kl_as(__func__, 1, &f, kcl_sqrt(kcl_sqnorm2(f)));
}

kcl_expr *kcl_sqdist(kcl_expr *f, kcl_expr *g)
{
    return kl_as(__func__, 2, (kcl_expr *[]){f, g}, kcl_sqnorm2(kcl_sub(f, g)));
}

kcl_expr *kcl_extract(kcl_expr *f, int start, int length)
{
    return kl_apply(KF_EXTRACT, 1, &f, (int64_t[]){start, length});
}

kcl_expr *kcl_transpose(kcl_expr *f)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    return scope ? kl_shaped(kl_expr_of(scope, kf_transpose(&scope->graph, f->node)), f->inner) : error;
}

kcl_expr *kcl_like(kcl_expr *f, kcl_expr *axes_of)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(2, (kcl_expr *[]){f, axes_of}, &error);
    return scope ? kl_shaped(kl_expr_of(scope, kf_like(&scope->graph, f->node, axes_of->node)), f->inner) : error;
}

kcl_expr *kcl_gather(kcl_expr *table, kcl_expr *index)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(2, (kcl_expr *[]){table, index}, &error);
    if (!scope)
        return error;
    kcl_expr *rows = kl_expr_of(scope, kf_gather_rows(&scope->graph, table->node, index->node));
    return rows->node && rows->node->dim == table->node->dim ? kl_shaped(rows, table->inner) : rows;
}

/* Whether a scope's function `name` may reduce over these axes. */
static bool check_axes(kcl_scope *scope, const char *name, kcl_axes over, kcl_expr **error)
{
    if (over == KCL_OVER_I || over == KCL_OVER_J || over == KCL_OVER_BOTH)
        return true;
    *error = kl_fail(scope, KCL_ERROR_ARGUMENT,
                     "%s: the axes are %d; they must be KCL_OVER_I, KCL_OVER_J or KCL_OVER_BOTH", name, (int)over);
    return false;
}

static kcl_expr *reduced(kcl_scope *scope, kf_reduction reduction, const kcl_expr *f, int64_t param, unsigned axes)
{
    kcl_expr *result = kl_expr_of(scope, kf_reduce_on(&scope->graph, reduction, axes, param, f->node));
    return result->node && result->node->dim == f->node->dim ? kl_shaped(result, f->inner) : result;
}

static kcl_expr *reduce(const char *name, kf_reduction reduction, kcl_expr *f, int64_t param, kcl_axes over)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope_called(name, 1, &f, &error);
    if (!scope || !check_axes(scope, name, over, &error))
        return error;
    return kl_as(name, 1, &f, reduced(scope, reduction, f, param, (unsigned)over));
}

/* The batch axis, as an axis of the graph; 0 and *error where it is not there. */
static unsigned batch_axis(const char *name, kcl_scope *scope, const kcl_expr *f, int axis, kcl_expr **error)
{
    int64_t shape[KCL_MAX_AXES];
    int count = kcl_expr_shape(f, shape) - 3;
    if (axis >= -count && axis < count)
        return KF_BATCH_AXIS(axis < 0 ? -1 - axis : count - 1 - axis);
    *error = kl_fail(scope, KCL_ERROR_ARGUMENT,
                     "%s: axis %d is not there: the expression has %d batch axes%s (of arrays, axes of size 1 in front "
                     "do not count)",
                     name, axis, count, count ? ", counted from 0, or from -1 backwards" : "");
    return 0;
}

static kcl_expr *reduce_batch(const char *name, kf_reduction reduction, kcl_expr *f, int64_t param, int axis)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope_called(name, 1, &f, &error);
    unsigned over = scope ? batch_axis(name, scope, f, axis, &error) : 0;
    return over ? kl_as(name, 1, &f, reduced(scope, reduction, f, param, over)) : error;
}

/* The pair of exponent and weights, which has the batch axes of both; NULL and *error where that is none. */
static kcl_expr *weigh(const char *name, kf_reduction reduction, kcl_expr *f, kcl_expr *weight, kcl_expr **error)
{
    kcl_scope *scope = kl_common_scope_called(name, 2, (kcl_expr *[]){f, weight}, error);
    if (!scope)
        return NULL;
    *error = kl_expr_called(name, scope, kf_weighted(&scope->graph, reduction, f->node, weight->node));
    return (*error)->node ? *error : NULL;
}

static kcl_expr *reduce_weighted(const char *name, kf_reduction reduction, kcl_expr *f, kcl_expr *weight, kcl_axes over)
{
    kcl_expr *error, *both = weigh(name, reduction, f, weight, &error);
    return both ? reduce(name, reduction, both, 0, over) : error;
}

static kcl_expr *reduce_weighted_batch(const char *name, kf_reduction reduction, kcl_expr *f, kcl_expr *weight,
                                       int axis)
{
    kcl_expr *error, *both = weigh(name, reduction, f, weight, &error);
    return both ? reduce_batch(name, reduction, both, 0, axis) : error;
}

/* Each over rows or columns, and over a batch axis. */
#define REDUCTION_OVER(suffix, how, type, axes, id)                                                                    \
    kcl_expr *suffix(kcl_expr *f, type axes)                                                                           \
    {                                                                                                                  \
        return how(#suffix, KF_REDUCE_##id, f, 0, axes);                                                               \
    }
#define REDUCTION_K_OVER(suffix, how, type, axes, id)                                                                  \
    kcl_expr *suffix(kcl_expr *f, int k, type axes)                                                                    \
    {                                                                                                                  \
        return how(#suffix, KF_REDUCE_##id, f, k, axes);                                                               \
    }
/* Values; *index, where that is not NULL, is their numbers. */
#define REDUCTION_PAIR_OVER(suffix, how, type, axes, values, indices)                                                  \
    kcl_expr *suffix(kcl_expr *f, type axes, kcl_expr **index)                                                         \
    {                                                                                                                  \
        if (index)                                                                                                     \
            *index = how(#suffix, KF_REDUCE_##indices, f, 0, axes);                                                    \
        return how(#suffix, KF_REDUCE_##values, f, 0, axes);                                                           \
    }
#define REDUCTION_PAIR_K_OVER(suffix, how, type, axes, values, indices)                                                \
    kcl_expr *suffix(kcl_expr *f, int k, type axes, kcl_expr **index)                                                  \
    {                                                                                                                  \
        if (index)                                                                                                     \
            *index = how(#suffix, KF_REDUCE_##indices, f, k, axes);                                                    \
        return how(#suffix, KF_REDUCE_##values, f, k, axes);                                                           \
    }
#define REDUCTION_WEIGHTED_OVER(suffix, how, type, axes, id)                                                           \
    kcl_expr *suffix(kcl_expr *f, kcl_expr *weight, type axes)                                                         \
    {                                                                                                                  \
        return how(#suffix, KF_REDUCE_##id, f, weight, axes);                                                          \
    }

#define BOTH_KINDS(OVER, name, rows, batches, ...)                                                                     \
    OVER(name, rows, kcl_axes, over, __VA_ARGS__)                                                                      \
    OVER(name##_batch, batches, int, axis, __VA_ARGS__)
#define REDUCTION(name, id) BOTH_KINDS(REDUCTION_OVER, name, reduce, reduce_batch, id)
#define REDUCTION_K(name, id) BOTH_KINDS(REDUCTION_K_OVER, name, reduce, reduce_batch, id)
#define REDUCTION_PAIR(name, values, indices)                                                                          \
    BOTH_KINDS(REDUCTION_PAIR_OVER, name, reduce, reduce_batch, values, indices)
#define REDUCTION_PAIR_K(name, values, indices)                                                                        \
    BOTH_KINDS(REDUCTION_PAIR_K_OVER, name, reduce, reduce_batch, values, indices)
#define REDUCTION_WEIGHTED(name, id)                                                                                   \
    BOTH_KINDS(REDUCTION_WEIGHTED_OVER, name, reduce_weighted, reduce_weighted_batch, id)

REDUCTION(kcl_reduce_sum, SUM)
REDUCTION(kcl_reduce_logsumexp, LOGSUMEXP)
REDUCTION(kcl_reduce_min, MIN)
REDUCTION(kcl_reduce_max, MAX)
REDUCTION(kcl_reduce_argmin, ARGMIN)
REDUCTION(kcl_reduce_argmax, ARGMAX)
REDUCTION_PAIR(kcl_reduce_min_argmin, MIN, ARGMIN)
REDUCTION_PAIR(kcl_reduce_max_argmax, MAX, ARGMAX)
REDUCTION_K(kcl_reduce_kmin, KMIN)
REDUCTION_K(kcl_reduce_kmax, KMAX)
REDUCTION_K(kcl_reduce_mean_kmin, MEANKMIN)
REDUCTION_K(kcl_reduce_mean_kmax, MEANKMAX)
REDUCTION_K(kcl_reduce_argkmin, ARGKMIN)
REDUCTION_K(kcl_reduce_argkmax, ARGKMAX)
REDUCTION_PAIR_K(kcl_reduce_kmin_argkmin, KMIN, ARGKMIN)
REDUCTION_PAIR_K(kcl_reduce_kmax_argkmax, KMAX, ARGKMAX)
REDUCTION_WEIGHTED(kcl_reduce_logsumexp_weight, LOGSUMEXPWEIGHT)
REDUCTION_WEIGHTED(kcl_reduce_sumsoftmaxweight, SUMSOFTMAXWEIGHT)

kcl_expr *kcl_reduce_mean_batch(kcl_expr *f, int axis)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    unsigned over = scope ? batch_axis("kcl_reduce_mean_batch", scope, f, axis, &error) : 0;
    if (!over)
        return error;
    kf_graph *g = &scope->graph;
    const kf_node *sum = kf_reduce(g, KF_REDUCE_SUM, over, 0, f->node);
    return kl_shaped(kl_expr_of(scope, kf_binary(g, KF_DIVIDE, sum, kf_term_count(g, over, f->node))), f->inner);
}

kcl_expr *kcl_reduce_mean(kcl_expr *f, kcl_axes over)
{
    kcl_expr *sum = reduce("kcl_reduce_mean", KF_REDUCE_SUM, f, 0, over), *error;
    kcl_scope *scope = kl_common_scope(2, (kcl_expr *[]){f, sum}, &error);
    if (!scope)
        return error;
    kf_graph *g = &scope->graph;
    return kl_expr_of(scope, kf_binary(g, KF_DIVIDE, sum->node, kf_term_count(g, (unsigned)over, f->node)));
}
