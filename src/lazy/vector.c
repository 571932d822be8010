/* SPDX-License-Identifier: MIT */
/* lazy/vector.c: methods made from several operators; the axis of components; products with vectors. */
#include "scope.h"

#include <string.h>

/* An operator or composite of ops.def by its name in formulas. */
static kcl_expr *named(const char *name, int count, kcl_expr *const *operands, const int64_t *params)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(count, operands, &error);
    if (!scope)
        return error;
    const kf_node *nodes[KF_MAX_ARGS] = {0};
    for (int k = 0; k < count; k++)
        nodes[k] = operands[k]->node;
    kf_name found;
    const kf_node *made = NULL;
    if (kf_find_name(name, strlen(name), &found))
        made = kf_make_name(&scope->graph, &found, nodes, params);
    return kl_expr_of(scope, made);
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

kcl_expr *kcl_sinxdivx(kcl_expr *f)
{
    return named("SinXDivX", 1, &f, NULL);
}

kcl_expr *kcl_sinc(kcl_expr *f)
{
    const double pi = 0x1.921fb54442d18p+1;
    return kcl_sinxdivx(kcl_mul(kcl_constant(f ? f->scope : NULL, pi), f));
}

kcl_expr *kcl_clamp(kcl_expr *f, kcl_expr *low, kcl_expr *high)
{
    return named("Clamp", 3, (kcl_expr *[]){f, low, high}, NULL);
}

kcl_expr *kcl_clampint(kcl_expr *f, int low, int high)
{
    return named("ClampInt", 1, &f, (int64_t[]){low, high});
}

kcl_expr *kcl_mod(kcl_expr *f, kcl_expr *n, kcl_expr *offset)
{
    return named("Mod", 3, (kcl_expr *[]){f, n, offset}, NULL);
}

kcl_expr *kcl_normalize(kcl_expr *f)
{
    return named("Normalize", 1, &f, NULL);
}

/* ---- The vector of components ------------------------------------------------------------------------------------ */

kcl_expr *kcl_elem(kcl_expr *f, int index)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const int dim = f->node->dim;
    if (index < -dim || index >= dim)
        return kl_fail(scope, KCL_ERROR_SHAPE, "kcl_elem: index %d of a vector of dimension %d is not between %d and %d",
                       index, dim, -dim, dim - 1);
    return kl_apply(KF_ELEM, 1, &f, (int64_t[]){index < 0 ? index + dim : index});
}

kcl_expr *kcl_slice(kcl_expr *f, int start, int stop, int step)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const int64_t dim = f->node->dim;
    const int64_t first = start < 0 ? start + dim : start;
    const int64_t end = stop == KCL_REST ? (step < 0 ? -1 : dim) : stop < 0 ? stop + dim : stop;
    if (step == 0)
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_slice: the step is 0");
    if (first < 0 || first >= dim || end < -1 || end > dim)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_slice: from %d up to %d of a vector of dimension %lld: the start must be between %lld and "
                       "%lld, the stop between %lld and %lld or KCL_REST",
                       start, stop, (long long)dim, (long long)-dim, (long long)dim - 1, (long long)-dim,
                       (long long)dim);
    const int64_t span = step < 0 ? first - end : end - first, size = step < 0 ? -(int64_t)step : step;
    if (span <= 0)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_slice: from %d up to %d by steps of %d of a vector of dimension %lld there is no component",
                       start, stop, step, (long long)dim);
    const int64_t count = (span + size - 1) / size;
    if (step == 1 || count == 1)
        return kl_apply(KF_EXTRACT, 1, &f, (int64_t[]){first, count});
    kcl_expr **parts = kb_calloc(kd_allocator(scope->context), (size_t)count, sizeof *parts);
    if (!parts)
        return &scope->out_of_memory;
    for (int64_t k = 0; k < count; k++)
        parts[k] = kl_apply(KF_ELEM, 1, &f, (int64_t[]){first + k * step});
    kcl_expr *result = kcl_concatenate((int)count, parts);
    kb_free(kd_allocator(scope->context), parts);
    return result;
}

/* By halves, so that no component passes through many operators. */
static kcl_expr *concatenate(int count, kcl_expr *const *f)
{
    return count == 1 ? f[0] : kcl_concat(concatenate(count / 2, f), concatenate(count - count / 2, f + count / 2));
}

kcl_expr *kcl_concatenate(int count, kcl_expr *const *f)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(f ? count : 0, f, &error);
    return scope ? concatenate(count, f) : error;
}

/* ---- Products with vectors --------------------------------------------------------------------------------------- */

static kcl_expr *product(const char *name, kcl_expr *K, kcl_expr *v, kcl_axes over, bool one_column)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(2, (kcl_expr *[]){K, v}, &error);
    if (!scope)
        return error;
    const bool over_j = over == KCL_OVER_J;
    if (K->node->dim != 1)
        return kl_fail(scope, KCL_ERROR_SHAPE, "%s: the matrix has dimension %d, it must be 1: a number for each i and j",
                       name, K->node->dim);
    if (one_column && v->node->dim != 1)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "%s: the vector has dimension %d, it must be 1: kcl_matmul takes any number of columns", name,
                       v->node->dim);
    if (v->node->axes & ~(unsigned)over)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "%s: the vector has the axis %s, but the sum is over %s: give it the axis %s (%s, or "
                       "kcl_transpose)",
                       name, over_j ? "i" : "j", over_j ? "j" : "i", over_j ? "j" : "i", over_j ? "kcl_vj" : "kcl_vi");
    return kcl_reduce_sum(kcl_mul(K, v), over);
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
