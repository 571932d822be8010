/* SPDX-License-Identifier: MIT */
/* lazy/vector.c: methods made from several operators; the axis of components; products with vectors. */
#include "layout.h"
#include "names.h"
#include "scope.h"

#include <string.h>

kcl_expr *kl_named_called(const char *call, const char *name, bool elementwise, int count, kcl_expr *const *operands,
                          const int64_t *params)
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
    if (elementwise && !kl_broadcast(kl_call_or(call, name), scope, count, operands, nodes, &inner, &shaped, &error))
        return error;
    kf_name found;
    const kf_node *made = NULL;
    if (kf_find_name(name, strlen(name), &found))
        made = kf_make_name(&scope->graph, &found, nodes, params);
    return kl_shaped(kl_expr_called(call, scope, made), shaped ? &inner : NULL);
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

kcl_expr *kcl_sinxdivx(kcl_expr *f)
{
    return kl_named("SinXDivX", true, 1, &f, NULL);
}

kcl_expr *kcl_sinc(kcl_expr *f)
{
    const double pi = 0x1.921fb54442d18p+1;
    return kl_as(__func__, 1, &f, kcl_sinxdivx(kcl_mul(kcl_constant(f ? f->scope : NULL, pi), f)));
}

kcl_expr *kcl_clamp(kcl_expr *f, kcl_expr *low, kcl_expr *high)
{
    return kl_named("Clamp", true, 3, (kcl_expr *[]){f, low, high}, NULL);
}

kcl_expr *kcl_clampint(kcl_expr *f, int low, int high)
{
    return kl_named("ClampInt", true, 1, &f, (int64_t[]){low, high});
}

kcl_expr *kcl_mod(kcl_expr *f, kcl_expr *n, kcl_expr *offset)
{
    return kl_named("Mod", true, 3, (kcl_expr *[]){f, n, offset}, NULL);
}

kcl_expr *kcl_normalize(kcl_expr *f)
{
    return kl_shaped(kl_named("Normalize", false, 1, &f, NULL), f ? f->inner : NULL);
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
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_elem: index %d of a vector of dimension %d is not between %d and %d", index, dim, -dim,
                       dim - 1);
    return kl_apply(KF_ELEM, 1, &f, (int64_t[]){index < 0 ? index + dim : index});
}

bool kl_check_slice(const char *name, kcl_scope *scope, int64_t size, int start, int stop, int step, int64_t *first,
                    int64_t *count, kcl_expr **error)
{
    const int64_t end = stop == KCL_REST ? (step < 0 ? -1 : size) : stop < 0 ? stop + size : stop;
    *first = start < 0 ? start + size : start;
    const int64_t span = step < 0 ? *first - end : end - *first, stride = step < 0 ? -(int64_t)step : step;
    if (step == 0) {
        *error = kl_fail(scope, KCL_ERROR_ARGUMENT, "%s: the step is 0", name);
        return false;
    }
    if (*first < 0 || *first >= size || end < -1 || end > size) {
        *error =
            kl_fail(scope, KCL_ERROR_SHAPE,
                    "%s: from %d up to %d of a vector of dimension %lld: the start must be between %lld and %lld, the "
                    "stop between %lld and %lld or KCL_REST",
                    name, start, stop, (long long)size, (long long)-size, (long long)size - 1, (long long)-size,
                    (long long)size);
        return false;
    }
    if (span <= 0) {
        *error = kl_fail(scope, KCL_ERROR_SHAPE,
                         "%s: from %d up to %d by steps of %d of a vector of dimension %lld there is no component",
                         name, start, stop, step, (long long)size);
        return false;
    }
    *count = (span + stride - 1) / stride;
    return true;
}

kcl_expr *kcl_slice(kcl_expr *f, int start, int stop, int step)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    int64_t first, count;
    if (!scope || !kl_check_slice("kcl_slice", scope, f->node->dim, start, stop, step, &first, &count, &error))
        return error;
    const kf_layout l = {.rank = 1, .offset = first, .size = {count}, .stride = {count > 1 ? step : 1}};
    return kl_expr_of(scope, kf_arrange(&scope->graph, f->node, &l));
}

kcl_expr *kcl_one_hot(kcl_expr *f, int dim)
{
    return kl_named("OneHot", false, 1, &f, (int64_t[]){dim});
}

kcl_expr *kcl_softdtw_sqdist(kcl_expr *x, kcl_expr *y, kcl_expr *gamma)
{
    return kl_apply(KF_SOFTDTW, 3, (kcl_expr *[]){x, y, gamma}, NULL);
}

kcl_expr *kcl_bspline(kcl_expr *t, kcl_expr *x, int degree)
{
    return kl_named("BSpline", false, 2, (kcl_expr *[]){t, x}, (int64_t[]){degree});
}

kcl_expr *kcl_max_inner(kcl_expr *f)
{
    return kl_apply(KF_MAX, 1, &f, NULL);
}

kcl_expr *kcl_min_inner(kcl_expr *f)
{
    return kl_apply(KF_MIN, 1, &f, NULL);
}

kcl_expr *kcl_argmax_inner(kcl_expr *f)
{
    return kl_named("ArgMax", false, 1, &f, NULL);
}

kcl_expr *kcl_argmin_inner(kcl_expr *f)
{
    return kl_named("ArgMin", false, 1, &f, NULL);
}

kcl_expr *kcl_weightedsqnorm(kcl_expr *f, kcl_expr *s)
{
    kcl_expr *error;
    return kl_common_scope(2, (kcl_expr *[]){f, s}, &error)
               ? kl_named("WeightedSqNorm", false, 2, (kcl_expr *[]){s, f}, NULL)
               : error;
}

kcl_expr *kcl_weightedsqdist(kcl_expr *f, kcl_expr *g, kcl_expr *s)
{
    kcl_expr *error;
    return kl_common_scope(3, (kcl_expr *[]){f, g, s}, &error)
               ? kl_named("WeightedSqDist", false, 3, (kcl_expr *[]){s, f, g}, NULL)
               : error;
}

kcl_expr *kcl_matvecmult(kcl_expr *A, kcl_expr *v)
{
    return kl_named("MatVecMult", false, 2, (kcl_expr *[]){A, v}, NULL);
}

kcl_expr *kcl_vecmatmult(kcl_expr *v, kcl_expr *A)
{
    return kl_named("VecMatMult", false, 2, (kcl_expr *[]){v, A}, NULL);
}

kcl_expr *kcl_tensorprod(kcl_expr *f, kcl_expr *g)
{
    return kl_named("TensorProd", false, 2, (kcl_expr *[]){f, g}, NULL);
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
    return scope ? kl_as(__func__, count, f, concatenate(count, f)) : error;
}

/* ---- Products with vectors --------------------------------------------------------------------------------------- */

static kcl_expr *product(const char *name, kcl_expr *K, kcl_expr *v, kcl_axes over, bool one_column)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope_called(name, 2, (kcl_expr *[]){K, v}, &error);
    if (!scope)
        return error;
    const bool over_j = over == KCL_OVER_J;
    if (K->node->dim != 1)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "%s: the matrix has dimension %d, it must be 1: a number for each i and j", name, K->node->dim);
    if (one_column && v->node->dim != 1)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "%s: the vector has dimension %d, it must be 1: kcl_matmul takes any number of columns", name,
                       v->node->dim);
    if (v->node->axes & KF_PAIR_AXES & ~(unsigned)over)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "%s: the vector has the axis %s, but the sum is over %s: give it the axis %s (%s, or "
                       "kcl_transpose)",
                       name, over_j ? "i" : "j", over_j ? "j" : "i", over_j ? "j" : "i", over_j ? "kcl_vj" : "kcl_vi");
    return kl_as(name, 2, (kcl_expr *[]){K, v}, kcl_reduce_sum(kcl_mul(K, v), over));
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
