/* SPDX-License-Identifier: MIT */
/* api/reductions.c: reductions over rows, columns and batches; products with vectors. */
#include "reductions.h"
#include "builder.h"
#include "make.h"

/* Whether a scope's function `name` may reduce over these axes. */
static bool check_axes(kcl_scope *scope, const char *name, kcl_axes over, kcl_expr **error)
{
    if (over == KCL_OVER_I || over == KCL_OVER_J || over == KCL_OVER_BOTH)
        return true;
    *error = ka_fail(scope, KCL_ERROR_ARGUMENT,
                     "%s: the axes are %d; they must be KCL_OVER_I, KCL_OVER_J or KCL_OVER_BOTH", name, (int)over);
    return false;
}

static kcl_expr *reduced(kcl_scope *scope, kf_reduction reduction, const kcl_expr *f, int64_t param, unsigned axes)
{
    kcl_expr *result = ka_expr_of(scope, kf_reduce_on(&scope->graph, reduction, axes, param, f->node));
    return result->node && result->node->dim == f->node->dim ? ka_shaped(result, f->inner) : result;
}

static kcl_expr *reduce(const char *name, kf_reduction reduction, kcl_expr *f, int64_t param, kcl_axes over)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope_called(name, 1, &f, &error);
    if (!scope || !check_axes(scope, name, over, &error))
        return error;
    return ka_as(name, 1, &f, reduced(scope, reduction, f, param, (unsigned)over));
}

/* The batch axis, as an axis of the graph; 0 and *error if f has no axis of this number. */
static unsigned batch_axis(const char *name, kcl_scope *scope, const kcl_expr *f, int axis, kcl_expr **error)
{
    int64_t shape[KCL_MAX_AXES];
    int count = kcl_expr_shape(f, shape) - 3;
    if (axis >= -count && axis < count)
        return KF_BATCH_AXIS(axis < 0 ? -1 - axis : count - 1 - axis);
    *error = ka_fail(scope, KCL_ERROR_ARGUMENT,
                     "%s: axis %d is not there: the expression has %d batch axes%s (of arrays, axes of size 1 in front "
                     "do not count)",
                     name, axis, count, count ? ", counted from 0, or from -1 backwards" : "");
    return 0;
}

static kcl_expr *reduce_batch(const char *name, kf_reduction reduction, kcl_expr *f, int64_t param, int axis)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope_called(name, 1, &f, &error);
    unsigned over = scope ? batch_axis(name, scope, f, axis, &error) : 0;
    return over ? ka_as(name, 1, &f, reduced(scope, reduction, f, param, over)) : error;
}

/* The pair of exponent and weights, which has the batch axes of both; NULL and *error if they make no pair. */
static kcl_expr *weigh(const char *name, kf_reduction reduction, kcl_expr *f, kcl_expr *weight, kcl_expr **error)
{
    kcl_scope *scope = ka_common_scope_called(name, 2, (kcl_expr *[]){f, weight}, error);
    if (!scope)
        return NULL;
    *error = ka_expr_called(name, scope, kf_weighted(&scope->graph, reduction, f->node, weight->node));
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
/* The values; *index, unless NULL, becomes their indices. */
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
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    unsigned over = scope ? batch_axis("kcl_reduce_mean_batch", scope, f, axis, &error) : 0;
    if (!over)
        return error;
    kf_graph *g = &scope->graph;
    const kf_node *sum = kf_reduce(g, KF_REDUCE_SUM, over, 0, f->node);
    return ka_shaped(ka_expr_of(scope, kf_binary(g, KF_DIVIDE, sum, kf_term_count(g, over, f->node))), f->inner);
}

kcl_expr *kcl_reduce_mean(kcl_expr *f, kcl_axes over)
{
    kcl_expr *sum = reduce("kcl_reduce_mean", KF_REDUCE_SUM, f, 0, over), *error;
    kcl_scope *scope = ka_common_scope(2, (kcl_expr *[]){f, sum}, &error);
    if (!scope)
        return error;
    kf_graph *g = &scope->graph;
    return ka_expr_of(scope, kf_binary(g, KF_DIVIDE, sum->node, kf_term_count(g, (unsigned)over, f->node)));
}

/* ---- Products with vectors --------------------------------------------------------------------------------------- */

static kcl_expr *product(const char *name, kcl_expr *K, kcl_expr *v, kcl_axes over, bool one_column)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope_called(name, 2, (kcl_expr *[]){K, v}, &error);
    if (!scope)
        return error;
    const bool over_j = over == KCL_OVER_J;
    if (K->node->dim != 1)
        return ka_fail(scope, KCL_ERROR_SHAPE,
                       "%s: the matrix has dimension %d, it must be 1: a number for each i and j", name, K->node->dim);
    if (one_column && v->node->dim != 1)
        return ka_fail(scope, KCL_ERROR_SHAPE,
                       "%s: the vector has dimension %d, it must be 1: kcl_matmul takes any number of columns", name,
                       v->node->dim);
    if (v->node->axes & KF_PAIR_AXES & ~(unsigned)over)
        return ka_fail(scope, KCL_ERROR_SHAPE,
                       "%s: the vector has the axis %s, but the sum is over %s: give it the axis %s (%s, or "
                       "kcl_transpose)",
                       name, over_j ? "i" : "j", over_j ? "j" : "i", over_j ? "j" : "i", over_j ? "kcl_vj" : "kcl_vi");
    return ka_as(name, 2, (kcl_expr *[]){K, v}, kcl_reduce_sum(kcl_mul(K, v), over));
}

kcl_expr *kcl_matmul(kcl_expr *K, kcl_expr *v)
{
    return product("kcl_matmul", K, v, KCL_OVER_J, false);
}

kcl_expr *kcl_matvec(kcl_expr *K, kcl_expr *v)
{
    return product("kcl_matvec", K, v, KCL_OVER_J, true);
}

kcl_expr *kcl_rmatvec(kcl_expr *K, kcl_expr *v)
{
    return product("kcl_rmatvec", K, v, KCL_OVER_I, true);
}
