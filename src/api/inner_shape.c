/* SPDX-License-Identifier: MIT */
/* api/inner_shape.c: the shape of the components as a small tensor. */
#include "inner_shape.h"
#include "scope.h"
#include "tensor.h"

_Static_assert(KCL_MAX_INNER == KF_MAX_RANK, "shapes of the interface are those of layouts");

ka_inner ka_inner_of(const kcl_expr *f)
{
    return f->inner ? *f->inner : (ka_inner){1, {f->node->dim}};
}

kcl_expr *ka_shaped(kcl_expr *f, const ka_inner *inner)
{
    if (!f->node || !inner || (inner->rank == 1 && !f->inner))
        return f;
    kcl_expr *shaped = ka_new_handle(f->scope, KA_HANDLE_EXPR);
    ka_inner *kept = kb_arena_alloc(&f->scope->arena, sizeof *kept);
    if (!shaped || !kept)
        return &f->scope->out_of_memory;
    *kept = *inner;
    *shaped = *f;
    shaped->inner = inner->rank == 1 ? NULL : kept;
    return shaped;
}

bool ka_broadcast_shapes(const char *name, kcl_scope *scope, const ka_inner *a, const ka_inner *b, int skip,
                         ka_inner *out, kcl_expr **error)
{
    char left[KF_SHAPE_TEXT], right[KF_SHAPE_TEXT];
    ka_inner result = {.rank = KB_MAX(a->rank, b->rank) - skip};
    for (int k = 1; k <= result.rank; k++) {
        const int m = a->rank - skip - k, n = b->rank - skip - k;
        const int64_t x = m >= 0 ? a->size[m] : 1, y = n >= 0 ? b->size[n] : 1;
        if (x != y && x != 1 && y != 1) {
            *error =
                ka_fail(scope, KCL_ERROR_SHAPE,
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

void ka_broadcast_strides(const ka_inner *from, int skip, int rank, int64_t *out)
{
    int64_t stride[KF_MAX_RANK];
    kf_shape_strides(from, stride);
    for (int k = 1; k <= rank; k++) {
        const int m = from->rank - skip - k;
        out[rank - k] = m >= 0 && from->size[m] > 1 ? stride[m] : 0;
    }
}

bool ka_broadcast(const char *name, kcl_scope *scope, int count, kcl_expr *const *operands, const kf_node **nodes,
                  ka_inner *shape, bool *shaped, kcl_expr **error)
{
    *shaped = false;
    for (int k = 0; k < count; k++) {
        nodes[k] = operands[k]->node;
        *shaped = *shaped || operands[k]->inner;
    }
    if (!*shaped)
        return true;
    *shape = (ka_inner){1, {1}};
    for (int k = 0; k < count; k++) {
        const ka_inner own = ka_inner_of(operands[k]);
        if (!ka_broadcast_shapes(name, scope, shape, &own, 0, shape, error))
            return false;
    }
    for (int k = 0; k < count; k++) {
        const ka_inner own = ka_inner_of(operands[k]);
        int64_t stride[KF_MAX_RANK] = {0};
        if (nodes[k]->dim == 1) /* every operator repeats numbers */
            continue;
        ka_broadcast_strides(&own, 0, shape->rank, stride);
        nodes[k] = kf_arrange_shape(&scope->graph, nodes[k], shape, stride, 0);
        if (!nodes[k]) {
            *error = ka_expr_of(scope, NULL);
            return false;
        }
    }
    return true;
}

bool ka_check_slice(const char *name, kcl_scope *scope, int64_t size, int start, int stop, int step, int64_t *first,
                    int64_t *count, kcl_expr **error)
{
    const int64_t end = stop == KCL_REST ? (step < 0 ? -1 : size) : stop < 0 ? stop + size : stop;
    *first = start < 0 ? start + size : start;
    const int64_t span = step < 0 ? *first - end : end - *first, stride = step < 0 ? -(int64_t)step : step;
    if (step == 0) {
        *error = ka_fail(scope, KCL_ERROR_ARGUMENT, "%s: the step is 0", name);
        return false;
    }
    if (*first < 0 || *first >= size || end < -1 || end > size) {
        *error =
            ka_fail(scope, KCL_ERROR_SHAPE,
                    "%s: from %d up to %d of a vector of dimension %lld: the start must be between %lld and %lld, the "
                    "stop between %lld and %lld or KCL_REST",
                    name, start, stop, (long long)size, (long long)-size, (long long)size - 1, (long long)-size,
                    (long long)size);
        return false;
    }
    if (span <= 0) {
        *error = ka_fail(scope, KCL_ERROR_SHAPE,
                         "%s: from %d up to %d by steps of %d of a vector of dimension %lld there is no component",
                         name, start, stop, step, (long long)size);
        return false;
    }
    *count = (span + stride - 1) / stride;
    return true;
}

int kcl_expr_inner_shape(const kcl_expr *expr, int shape[KCL_MAX_INNER])
{
    if (!expr || !expr->node)
        return 0;
    const ka_inner s = ka_inner_of(expr);
    for (int k = 0; shape && k < s.rank; k++)
        shape[k] = (int)s.size[k];
    return s.rank;
}
