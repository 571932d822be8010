/* SPDX-License-Identifier: MIT */
/* api/vectors.c: the components as a vector: sums, norms, parts, products. */
#include "builder.h"
#include "layout.h"
#include "make.h"

/* ---- Sums and norms ---------------------------------------------------------------------------------------------- */

kcl_expr *kcl_sum_inner(kcl_expr *f)
{
    return ka_apply(KF_SUM, 1, &f, NULL);
}

kcl_expr *kcl_repeat(kcl_expr *f, int dim)
{
    return ka_apply(KF_SUMT, 1, &f, (int64_t[]){dim});
}

kcl_expr *kcl_dot(kcl_expr *f, kcl_expr *g)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(2, (kcl_expr *[]){f, g}, &error);
    return scope ? ka_expr_of(scope, kf_dot(&scope->graph, f->node, g->node)) : error;
}

kcl_expr *kcl_sqnorm2(kcl_expr *f)
{
    return ka_as(__func__, 1, &f, kcl_sum_inner(kcl_square(f)));
}

kcl_expr *kcl_norm2(kcl_expr *f)
{
    return ka_as(__func__, 1, &f, kcl_sqrt(kcl_sqnorm2(f)));
}

kcl_expr *kcl_sqdist(kcl_expr *f, kcl_expr *g)
{
    return ka_as(__func__, 2, (kcl_expr *[]){f, g}, kcl_sqnorm2(kcl_sub(f, g)));
}

kcl_expr *kcl_normalize(kcl_expr *f)
{
    return ka_shaped(ka_named("Normalize", false, 1, &f, NULL), f ? f->inner : NULL);
}

kcl_expr *kcl_weightedsqnorm(kcl_expr *f, kcl_expr *s)
{
    kcl_expr *error;
    return ka_common_scope(2, (kcl_expr *[]){f, s}, &error)
               ? ka_named("WeightedSqNorm", false, 2, (kcl_expr *[]){s, f}, NULL)
               : error;
}

kcl_expr *kcl_weightedsqdist(kcl_expr *f, kcl_expr *g, kcl_expr *s)
{
    kcl_expr *error;
    return ka_common_scope(3, (kcl_expr *[]){f, g, s}, &error)
               ? ka_named("WeightedSqDist", false, 3, (kcl_expr *[]){s, f, g}, NULL)
               : error;
}

kcl_expr *kcl_max_inner(kcl_expr *f)
{
    return ka_apply(KF_MAX, 1, &f, NULL);
}

kcl_expr *kcl_min_inner(kcl_expr *f)
{
    return ka_apply(KF_MIN, 1, &f, NULL);
}

kcl_expr *kcl_argmax_inner(kcl_expr *f)
{
    return ka_named("ArgMax", false, 1, &f, NULL);
}

kcl_expr *kcl_argmin_inner(kcl_expr *f)
{
    return ka_named("ArgMin", false, 1, &f, NULL);
}

/* ---- Parts ------------------------------------------------------------------------------------------------------- */

kcl_expr *kcl_concat(kcl_expr *f, kcl_expr *g)
{
    return ka_apply(KF_CONCAT, 2, ((kcl_expr *[]){f, g}), NULL);
}

/* By halves, so that no component passes through many operators. */
static kcl_expr *concatenate(int count, kcl_expr *const *f)
{
    return count == 1 ? f[0] : kcl_concat(concatenate(count / 2, f), concatenate(count - count / 2, f + count / 2));
}

kcl_expr *kcl_concatenate(int count, kcl_expr *const *f)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(f ? count : 0, f, &error);
    return scope ? ka_as(__func__, count, f, concatenate(count, f)) : error;
}

kcl_expr *kcl_extract(kcl_expr *f, int start, int length)
{
    return ka_apply(KF_EXTRACT, 1, &f, (int64_t[]){start, length});
}

kcl_expr *kcl_elem(kcl_expr *f, int index)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const int dim = f->node->dim;
    if (index < -dim || index >= dim)
        return ka_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_elem: index %d of a vector of dimension %d is not between %d and %d", index, dim, -dim,
                       dim - 1);
    return ka_apply(KF_ELEM, 1, &f, (int64_t[]){index < 0 ? index + dim : index});
}

kcl_expr *kcl_slice(kcl_expr *f, int start, int stop, int step)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    int64_t first, count;
    if (!scope || !ka_check_slice("kcl_slice", scope, f->node->dim, start, stop, step, &first, &count, &error))
        return error;
    const kf_layout l = {.rank = 1, .offset = first, .size = {count}, .stride = {count > 1 ? step : 1}};
    return ka_expr_of(scope, kf_arrange(&scope->graph, f->node, &l));
}

kcl_expr *kcl_one_hot(kcl_expr *f, int dim)
{
    return ka_named("OneHot", false, 1, &f, (int64_t[]){dim});
}

/* ---- KeOps' products of flat vectors ----------------------------------------------------------------------------- */

kcl_expr *kcl_matvecmult(kcl_expr *A, kcl_expr *v)
{
    return ka_named("MatVecMult", false, 2, (kcl_expr *[]){A, v}, NULL);
}

kcl_expr *kcl_vecmatmult(kcl_expr *v, kcl_expr *A)
{
    return ka_named("VecMatMult", false, 2, (kcl_expr *[]){v, A}, NULL);
}

kcl_expr *kcl_tensorprod(kcl_expr *f, kcl_expr *g)
{
    return ka_named("TensorProd", false, 2, (kcl_expr *[]){f, g}, NULL);
}

/* ---- Functions of vectors ---------------------------------------------------------------------------------------- */

kcl_expr *kcl_softdtw_sqdist(kcl_expr *x, kcl_expr *y, kcl_expr *gamma)
{
    return ka_apply(KF_SOFTDTW, 3, (kcl_expr *[]){x, y, gamma}, NULL);
}

kcl_expr *kcl_bspline(kcl_expr *t, kcl_expr *x, int degree)
{
    return ka_named("BSpline", false, 2, (kcl_expr *[]){t, x}, (int64_t[]){degree});
}
