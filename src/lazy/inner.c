/* SPDX-License-Identifier: MIT */
/*
 * lazy/inner.c: vectors of components as small tensors (D1, ..., Dk), row-major. The graph sees flat vectors of
 * D1 * ... * Dk components: what rearranges them is one Arrange node, what sums over an axis SumRows behind it.
 */
#include "layout.h"
#include "matrix.h"
#include "scope.h"

#include <stdio.h>
#include <string.h>

_Static_assert(KCL_MAX_INNER == KF_MAX_RANK, "shapes of the interface are those of layouts");

/* ---- Shapes ------------------------------------------------------------------------------------------------------ */

/* Vectors are tensors of one axis. */
static kl_inner inner_of(const kcl_expr *f)
{
    return f->inner ? *f->inner : (kl_inner){1, {f->node->dim}};
}

kcl_expr *kl_shaped(kcl_expr *f, const kl_inner *inner)
{
    if (!f->node || !inner || (inner->rank == 1 && !f->inner))
        return f;
    kcl_expr *shaped = kl_new_handle(f->scope, KL_HANDLE_EXPR);
    kl_inner *kept = kb_arena_alloc(&f->scope->arena, sizeof *kept);
    if (!shaped || !kept)
        return &f->scope->out_of_memory;
    *kept = *inner;
    *shaped = *f;
    shaped->inner = inner->rank == 1 ? NULL : kept;
    return shaped;
}

/* kf_shape_axis; -1 after setting *error. */
static int checked_axis(const char *name, kcl_scope *scope, const kl_inner *s, int axis, kcl_expr **error)
{
    const int checked = kf_shape_axis(&scope->graph, name, s, axis);
    if (checked < 0)
        *error = kl_expr_of(scope, NULL);
    return checked;
}

/*
 * The shape to which two broadcast, as in NumPy: axes count from the last one, an axis of size 1 is repeated. `skip` axes
 * at the end are left out. False after setting *error.
 */
static bool broadcast_shapes(const char *name, kcl_scope *scope, const kl_inner *a, const kl_inner *b, int skip,
                             kl_inner *out, kcl_expr **error)
{
    char left[KF_SHAPE_TEXT], right[KF_SHAPE_TEXT];
    kl_inner result = {.rank = KB_MAX(a->rank, b->rank) - skip};
    for (int k = 1; k <= result.rank; k++) {
        const int m = a->rank - skip - k, n = b->rank - skip - k;
        const int64_t x = m >= 0 ? a->size[m] : 1, y = n >= 0 ? b->size[n] : 1;
        if (x != y && x != 1 && y != 1) {
            *error =
                kl_fail(scope, KCL_ERROR_SHAPE,
                        "%s: the inner shapes %s and %s do not fit: axis %d has size %lld and %lld; they must be "
                        "equal, or one of them 1",
                        name, kf_shape_text(a, left), kf_shape_text(b, right), -k - skip, (long long)x, (long long)y);
            return false;
        }
        result.size[result.rank - k] = KB_MAX(x, y);
    }
    *out = result;
    return true;
}

/* Strides of `from` along the axes of `to`, 0 where it is repeated; `skip` axes at the end of both are left out. */
static void broadcast_strides(const kl_inner *from, int skip, int rank, int64_t *out)
{
    int64_t stride[KF_MAX_RANK];
    kf_shape_strides(from, stride);
    for (int k = 1; k <= rank; k++) {
        const int m = from->rank - skip - k;
        out[rank - k] = m >= 0 && from->size[m] > 1 ? stride[m] : 0;
    }
}

bool kl_broadcast(const char *name, kcl_scope *scope, int count, kcl_expr *const *operands, const kf_node **nodes,
                  kl_inner *shape, bool *shaped, kcl_expr **error)
{
    *shaped = false;
    for (int k = 0; k < count; k++) {
        nodes[k] = operands[k]->node;
        *shaped = *shaped || operands[k]->inner;
    }
    if (!*shaped)
        return true;
    *shape = (kl_inner){1, {1}};
    for (int k = 0; k < count; k++) {
        const kl_inner own = inner_of(operands[k]);
        if (!broadcast_shapes(name, scope, shape, &own, 0, shape, error))
            return false;
    }
    for (int k = 0; k < count; k++) {
        const kl_inner own = inner_of(operands[k]);
        int64_t stride[KF_MAX_RANK] = {0};
        if (nodes[k]->dim == 1) /* numbers are repeated by every operator */
            continue;
        broadcast_strides(&own, 0, shape->rank, stride);
        nodes[k] = kf_arrange_shape(&scope->graph, nodes[k], shape, stride, 0);
        if (!nodes[k]) {
            *error = kl_expr_of(scope, NULL);
            return false;
        }
    }
    return true;
}

int kcl_expr_inner_shape(const kcl_expr *expr, int shape[KCL_MAX_INNER])
{
    if (!expr || !expr->node)
        return 0;
    const kl_inner s = inner_of(expr);
    for (int k = 0; shape && k < s.rank; k++)
        shape[k] = (int)s.size[k];
    return s.rank;
}

kcl_expr *kcl_reshape_inner(kcl_expr *f, int rank, const int *sizes)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    if (!scope)
        return error;
    if (rank < 1 || rank > KF_MAX_RANK || !sizes)
        return kl_fail(scope, KCL_ERROR_ARGUMENT,
                       "kcl_reshape_inner: the shape has %d axes, it must have 1 to %d, and sizes", rank, KF_MAX_RANK);
    kl_inner s = {.rank = rank};
    int64_t count = 1;
    for (int k = 0; k < rank; k++) {
        s.size[k] = sizes[k];
        count = sizes[k] < 1 || count > KF_MAX_DIM ? -1 : count * sizes[k];
        if (count < 0)
            break;
    }
    if (count != f->node->dim) {
        const kl_inner own = inner_of(f);
        char left[KF_SHAPE_TEXT], right[KF_SHAPE_TEXT];
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_reshape_inner: the inner shape %s of %d components cannot become %s, which is not as many",
                       kf_shape_text(&own, left), f->node->dim, kf_shape_text(&s, right));
    }
    return kl_shaped(f, &s);
}

kcl_expr *kcl_permute_inner(kcl_expr *f, const int *axes)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const kl_inner own = inner_of(f);
    kl_inner s = {.rank = own.rank};
    int64_t from[KF_MAX_RANK], stride[KF_MAX_RANK] = {0};
    bool seen[KF_MAX_RANK] = {false};
    if (!axes)
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_permute_inner: the list of axes is NULL");
    kf_shape_strides(&own, from);
    for (int k = 0; k < own.rank; k++) {
        const int axis = checked_axis("kcl_permute_inner", scope, &own, axes[k], &error);
        if (axis < 0)
            return error;
        if (seen[axis])
            return kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_permute_inner: axis %d is listed twice", axes[k]);
        seen[axis] = true;
        s.size[k] = own.size[axis];
        stride[k] = from[axis];
    }
    return kl_shaped(kl_expr_of(scope, kf_arrange_shape(&scope->graph, f->node, &s, stride, 0)), &s);
}

kcl_expr *kcl_transpose_inner(kcl_expr *f)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const int rank = inner_of(f).rank;
    int axes[KF_MAX_RANK];
    if (rank < 2)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_transpose_inner: a vector has one inner axis, a matrix two: kcl_reshape_inner makes one");
    for (int k = 0; k < rank; k++)
        axes[k] = k < rank - 2 ? k : rank - 2 + (rank - 1 - k);
    return kcl_permute_inner(f, axes);
}

/* A function of square matrices, of as many axes as two or in a vector. */
static kcl_expr *of_matrix(const char *name, kcl_expr *A, const kf_node *(*make)(kf_graph *, const kf_node *),
                           bool keeps)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope_called(name, 1, &A, &error);
    char text[KF_SHAPE_TEXT];
    if (!scope)
        return error;
    if (A->inner && (A->inner->rank != 2 || A->inner->size[0] != A->inner->size[1]))
        return kl_fail(scope, KCL_ERROR_SHAPE, "%s: the inner shape is %s, it must be that of a square matrix", name,
                       kf_shape_text(A->inner, text));
    return kl_shaped(kl_expr_called(name, scope, make(&scope->graph, A->node)), keeps ? A->inner : NULL);
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

/* From `first` on `count` components by `step` along an axis. */
kcl_expr *kl_slice(kcl_expr *f, int axis, int64_t first, int64_t count, int64_t step)
{
    kcl_scope *scope = f->scope;
    kl_inner s = inner_of(f);
    int64_t stride[KF_MAX_RANK] = {0};
    kf_shape_strides(&s, stride);
    const int64_t offset = first * stride[axis];
    s.size[axis] = count;
    stride[axis] *= step;
    return kl_shaped(kl_expr_of(scope, kf_arrange_shape(&scope->graph, f->node, &s, stride, offset)), &s);
}

kcl_expr *kcl_slice_inner(kcl_expr *f, int axis, int start, int stop, int step)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const kl_inner s = inner_of(f);
    int64_t first, count;
    axis = checked_axis("kcl_slice_inner", scope, &s, axis, &error);
    if (axis < 0 || !kl_check_slice("kcl_slice_inner", scope, s.size[axis], start, stop, step, &first, &count, &error))
        return error;
    return kl_slice(f, axis, first, count, step);
}

kcl_expr *kcl_sum_inner_axis(kcl_expr *f, int axis)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &f, &error);
    if (!scope)
        return error;
    const kl_inner own = inner_of(f);
    axis = checked_axis("kcl_sum_inner_axis", scope, &own, axis, &error);
    if (axis < 0)
        return error;
    kl_inner turned = own, s = {.rank = own.rank - 1};
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
        s = (kl_inner){1, {1}};
    const kf_node *sums =
        kf_sum_rows(&scope->graph, kf_arrange_shape(&scope->graph, f->node, &turned, stride, 0), own.size[axis]);
    return kl_shaped(kl_expr_of(scope, sums), &s);
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

kcl_expr *kcl_matmul_inner(kcl_expr *f, kcl_expr *g)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(2, (kcl_expr *[]){f, g}, &error);
    if (!scope)
        return error;
    const kl_inner shape_f = inner_of(f), shape_g = inner_of(g);
    kl_inner a = shape_f, b = shape_g;
    const bool row = a.rank == 1, column = b.rank == 1;
    if (row)
        a = (kl_inner){2, {1, shape_f.size[0]}};
    if (column)
        b = (kl_inner){2, {shape_g.size[0], 1}};
    const int64_t length = a.size[a.rank - 1];
    char left[KF_SHAPE_TEXT], right[KF_SHAPE_TEXT];
    if (length != b.size[b.rank - 2])
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_matmul_inner: inner shapes %s and %s: the last axis of the first has size %lld, %s of the "
                       "second has %lld",
                       kf_shape_text(&shape_f, left), kf_shape_text(&shape_g, right), (long long)length,
                       column ? "the axis" : "the last axis but one", (long long)b.size[b.rank - 2]);
    kf_contraction c = {.contracted = 1};
    if (!broadcast_shapes("kcl_matmul_inner", scope, &a, &b, 2, &c.size, &error))
        return error;
    const int lead = c.size.rank;
    int64_t stride_f[KF_MAX_RANK], stride_g[KF_MAX_RANK];
    if (!kf_product_fits(&scope->graph, "kcl_matmul_inner", lead + 3))
        return kl_expr_of(scope, NULL);
    kf_shape_strides(&a, stride_f);
    kf_shape_strides(&b, stride_g);
    broadcast_strides(&a, 2, lead, c.f);
    broadcast_strides(&b, 2, lead, c.h);
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
    kl_inner s;
    const kf_node *product = kf_contract(&scope->graph, "kcl_matmul_inner", &c, f->node, g->node, &s);
    return kl_shaped(kl_expr_of(scope, product), &s);
}

kcl_expr *kcl_tensordot(kcl_expr *f, kcl_expr *g, int count, const int *axes_f, const int *axes_g)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(2, (kcl_expr *[]){f, g}, &error);
    if (!scope)
        return error;
    const kf_tensor a = {f->node, inner_of(f)}, b = {g->node, inner_of(g)};
    int64_t summed_f[KF_MAX_RANK], summed_g[KF_MAX_RANK];
    for (int k = 0; axes_f && axes_g && k < KB_MIN(count, KF_MAX_RANK); k++) {
        summed_f[k] = axes_f[k];
        summed_g[k] = axes_g[k];
    }
    kl_inner s;
    const kf_node *product = kf_tensordot(&scope->graph, "kcl_tensordot", &a, &b, count, axes_f ? summed_f : NULL,
                                          axes_g ? summed_g : NULL, NULL, &s);
    return kl_shaped(kl_expr_of(scope, product), &s);
}

kcl_expr *kcl_kron(kcl_expr *f, kcl_expr *g)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(2, (kcl_expr *[]){f, g}, &error);
    if (!scope)
        return error;
    const kf_tensor a = {f->node, inner_of(f)}, b = {g->node, inner_of(g)};
    kl_inner s;
    const kf_node *product = kf_kron(&scope->graph, "kcl_kron", &a, &b, &s);
    return kl_shaped(kl_expr_of(scope, product), &s);
}
