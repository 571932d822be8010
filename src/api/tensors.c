/* SPDX-License-Identifier: MIT */
/*
 * api/tensors.c: vectors of components as small tensors (D1, ..., Dk), row-major. The graph sees flat vectors of
 * D1 * ... * Dk components. One Arrange node rearranges them; a sum over an axis is SumRows of an Arrange node.
 */
#include "builder.h"
#include "layout.h"
#include "matrix.h"
#include "tensor.h"

/* ---- Axes -------------------------------------------------------------------------------------------------------- */

/* kf_shape_axis; -1 after setting *error. */
static int checked_axis(const char *name, kcl_scope *scope, const ka_inner *s, int axis, kcl_expr **error)
{
    const int checked = kf_shape_axis(&scope->graph, name, s, axis);
    if (checked < 0)
        *error = ka_expr_of(scope, NULL);
    return checked;
}

kcl_expr *kcl_reshape_inner(kcl_expr *f, int rank, const int *sizes)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    if (!scope)
        return error;
    if (rank < 1 || rank > KF_MAX_RANK || !sizes)
        return ka_fail(scope, KCL_ERROR_ARGUMENT,
                       "kcl_reshape_inner: the shape has %d axes, it must have 1 to %d, and sizes", rank, KF_MAX_RANK);
    ka_inner s = {.rank = rank};
    int64_t count = 1;
    for (int k = 0; k < rank; k++) {
        s.size[k] = sizes[k];
        count = sizes[k] < 1 || count > KF_MAX_DIM ? -1 : count * sizes[k];
        if (count < 0)
            break;
    }
    if (count != f->node->dim) {
        const ka_inner own = ka_inner_of(f);
        char left[KF_SHAPE_TEXT], right[KF_SHAPE_TEXT];
        return ka_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_reshape_inner: the inner shape %s of %d components cannot become %s, which is not as many",
                       kf_shape_text(&own, left), f->node->dim, kf_shape_text(&s, right));
    }
    return ka_shaped(f, &s);
}

kcl_expr *kcl_permute_inner(kcl_expr *f, const int *axes)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const ka_inner own = ka_inner_of(f);
    ka_inner s = {.rank = own.rank};
    int64_t from[KF_MAX_RANK], stride[KF_MAX_RANK] = {0};
    bool seen[KF_MAX_RANK] = {false};
    if (!axes)
        return ka_fail(scope, KCL_ERROR_ARGUMENT, "kcl_permute_inner: the list of axes is NULL");
    kf_shape_strides(&own, from);
    for (int k = 0; k < own.rank; k++) {
        const int axis = checked_axis("kcl_permute_inner", scope, &own, axes[k], &error);
        if (axis < 0)
            return error;
        if (seen[axis])
            return ka_fail(scope, KCL_ERROR_ARGUMENT, "kcl_permute_inner: axis %d is listed twice", axes[k]);
        seen[axis] = true;
        s.size[k] = own.size[axis];
        stride[k] = from[axis];
    }
    return ka_shaped(ka_expr_of(scope, kf_arrange_shape(&scope->graph, f->node, &s, stride, 0)), &s);
}

kcl_expr *kcl_transpose_inner(kcl_expr *f)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const int rank = ka_inner_of(f).rank;
    int axes[KF_MAX_RANK];
    if (rank < 2)
        return ka_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_transpose_inner: a vector has one inner axis, a matrix two: kcl_reshape_inner makes one");
    for (int k = 0; k < rank; k++)
        axes[k] = k < rank - 2 ? k : rank - 2 + (rank - 1 - k);
    return kcl_permute_inner(f, axes);
}

/* `count` components from `first` on by `step` along an axis. */
static kcl_expr *slice(kcl_expr *f, int axis, int64_t first, int64_t count, int64_t step)
{
    kcl_scope *scope = f->scope;
    ka_inner s = ka_inner_of(f);
    int64_t stride[KF_MAX_RANK] = {0};
    kf_shape_strides(&s, stride);
    const int64_t offset = first * stride[axis];
    s.size[axis] = count;
    stride[axis] *= step;
    return ka_shaped(ka_expr_of(scope, kf_arrange_shape(&scope->graph, f->node, &s, stride, offset)), &s);
}

kcl_expr *kcl_slice_inner(kcl_expr *f, int axis, int start, int stop, int step)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const ka_inner s = ka_inner_of(f);
    int64_t first, count;
    axis = checked_axis("kcl_slice_inner", scope, &s, axis, &error);
    if (axis < 0 || !ka_check_slice("kcl_slice_inner", scope, s.size[axis], start, stop, step, &first, &count, &error))
        return error;
    return slice(f, axis, first, count, step);
}

kcl_expr *kcl_sum_inner_axis(kcl_expr *f, int axis)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const ka_inner own = ka_inner_of(f);
    axis = checked_axis("kcl_sum_inner_axis", scope, &own, axis, &error);
    if (axis < 0)
        return error;
    ka_inner turned = own, s = {.rank = own.rank - 1};
    int64_t from[KF_MAX_RANK], stride[KF_MAX_RANK] = {0};
    kf_shape_strides(&own, from);
    for (int k = 0, n = 0; k < own.rank; k++) {
        if (k == axis)
            continue;
        s.size[n] = turned.size[n] = own.size[k];
        stride[n++] = from[k];
    }
    turned.size[own.rank - 1] = own.size[axis];
    stride[own.rank - 1] = from[axis];
    if (!s.rank)
        s = (ka_inner){1, {1}};
    const kf_node *sums =
        kf_sum_rows(&scope->graph, kf_arrange_shape(&scope->graph, f->node, &turned, stride, 0), own.size[axis]);
    return ka_shaped(ka_expr_of(scope, sums), &s);
}

/* ---- Square matrices --------------------------------------------------------------------------------------------- */

/* A function of square matrices, whose inner shape has two axes or is a vector. */
static kcl_expr *of_matrix(const char *name, kcl_expr *A, const kf_node *(*make)(kf_graph *, const kf_node *),
                           bool keeps)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope_called(name, 1, &A, &error);
    char text[KF_SHAPE_TEXT];
    if (!scope)
        return error;
    if (A->inner && (A->inner->rank != 2 || A->inner->size[0] != A->inner->size[1]))
        return ka_fail(scope, KCL_ERROR_SHAPE, "%s: the inner shape is %s, it must be that of a square matrix", name,
                       kf_shape_text(A->inner, text));
    return ka_shaped(ka_expr_called(name, scope, make(&scope->graph, A->node)), keeps ? A->inner : NULL);
}

kcl_expr *kcl_det_inner(kcl_expr *A)
{
    return of_matrix("kcl_det_inner", A, kf_det, false);
}

kcl_expr *kcl_inv_inner(kcl_expr *A)
{
    return of_matrix("kcl_inv_inner", A, kf_mat_inv, true);
}

kcl_expr *kcl_trace_inner(kcl_expr *A)
{
    return of_matrix("kcl_trace_inner", A, kf_trace, false);
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

kcl_expr *kcl_matmul_inner(kcl_expr *f, kcl_expr *g)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(2, (kcl_expr *[]){f, g}, &error);
    if (!scope)
        return error;
    const ka_inner shape_f = ka_inner_of(f), shape_g = ka_inner_of(g);
    ka_inner a = shape_f, b = shape_g;
    const bool row = a.rank == 1, column = b.rank == 1;
    if (row)
        a = (ka_inner){2, {1, shape_f.size[0]}};
    if (column)
        b = (ka_inner){2, {shape_g.size[0], 1}};
    const int64_t length = a.size[a.rank - 1];
    char left[KF_SHAPE_TEXT], right[KF_SHAPE_TEXT];
    if (length != b.size[b.rank - 2])
        return ka_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_matmul_inner: inner shapes %s and %s: the last axis of the first has size %lld, %s of the "
                       "second has %lld",
                       kf_shape_text(&shape_f, left), kf_shape_text(&shape_g, right), (long long)length,
                       column ? "the axis" : "the last axis but one", (long long)b.size[b.rank - 2]);
    kf_contraction c = {.contracted = 1};
    if (!ka_broadcast_shapes("kcl_matmul_inner", scope, &a, &b, 2, &c.size, &error))
        return error;
    const int lead = c.size.rank;
    int64_t stride_f[KF_MAX_RANK], stride_g[KF_MAX_RANK];
    if (!kf_product_fits(&scope->graph, "kcl_matmul_inner", lead + 3))
        return ka_expr_of(scope, NULL);
    kf_shape_strides(&a, stride_f);
    kf_shape_strides(&b, stride_g);
    ka_broadcast_strides(&a, 2, lead, c.f);
    ka_broadcast_strides(&b, 2, lead, c.h);
    c.size.rank = lead;
    if (!row) {
        c.f[c.size.rank] = stride_f[a.rank - 2];
        c.size.size[c.size.rank++] = a.size[a.rank - 2];
    }
    if (!column) {
        c.h[c.size.rank] = stride_g[b.rank - 1];
        c.size.size[c.size.rank++] = b.size[b.rank - 1];
    }
    c.f[c.size.rank] = stride_f[a.rank - 1];
    c.h[c.size.rank] = stride_g[b.rank - 2];
    c.size.size[c.size.rank++] = length;
    ka_inner s;
    const kf_node *product = kf_contract(&scope->graph, "kcl_matmul_inner", &c, f->node, g->node, &s);
    return ka_shaped(ka_expr_of(scope, product), &s);
}

kcl_expr *kcl_tensordot(kcl_expr *f, kcl_expr *g, int count, const int *axes_f, const int *axes_g)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(2, (kcl_expr *[]){f, g}, &error);
    if (!scope)
        return error;
    const kf_tensor a = {f->node, ka_inner_of(f)}, b = {g->node, ka_inner_of(g)};
    int64_t summed_f[KF_MAX_RANK], summed_g[KF_MAX_RANK];
    for (int k = 0; axes_f && axes_g && k < KB_MIN(count, KF_MAX_RANK); k++) {
        summed_f[k] = axes_f[k];
        summed_g[k] = axes_g[k];
    }
    ka_inner s;
    const kf_node *product = kf_tensordot(&scope->graph, "kcl_tensordot", &a, &b, count, axes_f ? summed_f : NULL,
                                          axes_g ? summed_g : NULL, NULL, &s);
    return ka_shaped(ka_expr_of(scope, product), &s);
}

kcl_expr *kcl_kron(kcl_expr *f, kcl_expr *g)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(2, (kcl_expr *[]){f, g}, &error);
    if (!scope)
        return error;
    const kf_tensor a = {f->node, ka_inner_of(f)}, b = {g->node, ka_inner_of(g)};
    ka_inner s;
    const kf_node *product = kf_kron(&scope->graph, "kcl_kron", &a, &b, &s);
    return ka_shaped(ka_expr_of(scope, product), &s);
}
