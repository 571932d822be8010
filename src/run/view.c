/* SPDX-License-Identifier: MIT */
/* run/view.c: arrays of the caller seen as rows of vectors, and what is wrong with arrays that cannot be seen so. */
#include "view.h"
#include "strides.h"

#include <stdio.h>

void kx_put_shape(char *text, size_t size, const kcl_array *array)
{
    size_t n = (size_t)snprintf(text, size, "(");
    for (int k = 0; k < array->ndim && n < size; k++)
        n += (size_t)snprintf(text + n, size - n, "%s%lld", k ? ", " : "", (long long)array->shape[k]);
    if (n < size)
        snprintf(text + n, size - n, ")");
}

kcl_status kx_check_shape(const kcl_array *array, const char *what, int64_t *elements, kb_error *err)
{
    int64_t count = 1, bytes;
    if (!array)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s is missing", what);
    if (array->ndim < 0 || array->ndim > KCL_MAX_AXES)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "%s is no valid array: it needs 0 to %d axes, sizes of 0 or more, and a size in bytes that a "
                       "64-bit number holds",
                       what, KCL_MAX_AXES);
    if (kb_dtype_size(array->dtype) == 0)
        return kb_fail(
            err, KCL_ERROR_TYPE,
            "%s has no number type that is supported: float32 or float64, int64 where the result is an index", what);
    /* Products of the other sizes are computed of empty arrays too. */
    bool is_empty = false;
    for (int k = 0; k < array->ndim; k++) {
        if (array->shape[k] < 0)
            return kb_fail(err, KCL_ERROR_ARGUMENT, "%s has axis %d of size %lld: it is not a size", what, k,
                           (long long)array->shape[k]);
        is_empty = is_empty || array->shape[k] == 0;
        if (kb_mul_overflows(count, KB_MAX(array->shape[k], 1), &count)) {
            char shape[160];
            kx_put_shape(shape, sizeof shape, array);
            return kb_fail(err, KCL_ERROR_ARGUMENT,
                           "%s has the shape %s: the product of its sizes on the axes 0 to %d is more than a 64-bit "
                           "number holds",
                           what, shape, k);
        }
    }
    if (kb_mul_overflows(count, (int64_t)kb_dtype_size(array->dtype), &bytes))
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s has %lld elements: more bytes than a 64-bit number holds", what,
                       (long long)count);
    *elements = is_empty ? 0 : count;
    return KCL_OK;
}

/* Bytes of an array without gaps, 0 where it is empty; -1: it has some, or its axes are in another order. */
static int64_t dense_bytes(const kcl_array *array)
{
    int64_t bytes = (int64_t)kb_dtype_size(array->dtype);
    for (int k = array->ndim - 1; k >= 0; bytes *= array->shape[k--])
        if (array->stride[k] != bytes && array->shape[k] != 1)
            return -1;
    return bytes;
}

static const int64_t most_bytes = INT64_MAX / 8; /* sums and differences of several are numbers still */

static kcl_status add_up_strides(const kcl_array *array, const char *what, int64_t *low, int64_t *high, kb_error *err)
{
    int64_t lowest = 0, highest = (int64_t)kb_dtype_size(array->dtype);
    bool is_empty = false;
    for (int k = 0; k < array->ndim; k++) {
        const int64_t step = array->stride[k];
        int64_t length;
        is_empty = is_empty || array->shape[k] == 0;
        if (array->shape[k] <= 1)
            continue;
        if (step < -most_bytes || step > most_bytes ||
            kb_mul_overflows(array->shape[k] - 1, step < 0 ? -step : step, &length) ||
            length > most_bytes - (highest - lowest))
            return kb_fail(err, KCL_ERROR_ARGUMENT,
                           "%s has axis %d of size %lld with the stride %lld: its elements are further apart than "
                           "memory can reach",
                           what, k, (long long)array->shape[k], (long long)step);
        *(step < 0 ? &lowest : &highest) += step < 0 ? -length : length;
    }
    *low = is_empty ? 0 : lowest;
    *high = is_empty ? 0 : highest;
    return KCL_OK;
}

kcl_status kx_check_strides(const kcl_array *array, const char *what, int64_t *low, int64_t *high, kb_error *err)
{
    *low = 0;
    *high = dense_bytes(array);
    if ((*high < 0 || *high > most_bytes) && add_up_strides(array, what, low, high, err) < 0)
        return err->status;
    if (*low == *high)
        return KCL_OK;
    if (array->memory && (array->offset < -most_bytes || array->offset > most_bytes))
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s begins at byte %lld of its device memory, which is not that large",
                       what, (long long)array->offset);
    const uint64_t first = (uint64_t)(uintptr_t)array->data;
    if (!array->memory && (first < (uint64_t) - *low || (uint64_t)*high > UINTPTR_MAX - first))
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "%s has elements from %lld to %lld bytes behind its first one: they are outside of the address "
                       "space",
                       what, (long long)*low, (long long)*high);
    return KCL_OK;
}

kcl_status kx_check_elements(const kcl_array *array, const char *what, kb_error *err)
{
    const int64_t size = (int64_t)kb_dtype_size(array->dtype);
    if (!kx_shares_elements(array->ndim, array->shape, array->stride, size))
        return KCL_OK;
    /* The axis whose elements are too near: the first axis that lies within the axes before it. */
    int axis = 0;
    while (axis + 1 < array->ndim && !kx_shares_elements(axis + 1, array->shape, array->stride, size))
        axis++;
    return kb_fail(err, KCL_ERROR_ARGUMENT,
                   "%s has axis %d of size %lld with the stride %lld, by which its elements share memory: each element "
                   "that is written needs memory of its own",
                   what, axis, (long long)array->shape[axis], (long long)array->stride[axis]);
}

/* Takes axis `at` of the array as the next batch axis, from the last one on. */
static void add_batch_axis(kx_view *view, const kcl_array *array, int at)
{
    int k = view->batch.count++;
    view->batch.size[k] = array->shape[at];
    view->batch_stride[k] = array->shape[at] <= 1 ? 0 : array->stride[at];
}

/* Axes of size 1 in front tell nothing: every array has them. */
static void trim_batch(kx_view *view)
{
    while (view->batch.count && view->batch.size[view->batch.count - 1] == 1)
        view->batch.count--;
}

static kcl_status refuse_shape(const kcl_array *array, kf_role role, int32_t dim, const char *what, kb_error *err)
{
    char shape[160], needed[32] = "";
    kx_put_shape(shape, sizeof shape, array);
    if (!dim)
        return kb_fail(err, KCL_ERROR_SHAPE, "%s has shape %s; %s, with up to %d batch axes in front, and D up to %d",
                       what, shape, role == KF_ROLE_P ? "a parameter needs (D)" : "rows of vectors need (rows, D)",
                       KF_MAX_BATCH, KF_MAX_DIM);
    snprintf(needed, sizeof needed, "(%s%d)", role == KF_ROLE_I ? "M, " : role == KF_ROLE_J ? "N, " : "", dim);
    return kb_fail(err, KCL_ERROR_SHAPE, "%s has shape %s; %s of dimension %d needs %s, or batches of that", what,
                   shape,
                   role == KF_ROLE_I   ? "an i-variable"
                   : role == KF_ROLE_J ? "a j-variable"
                                       : "a parameter",
                   dim, needed);
}

static kcl_status start_view(kx_view *view, const kcl_array *array, int32_t dim, const char *what, kb_error *err)
{
    int64_t elements;
    if (kx_check_shape(array, what, &elements, err) < 0)
        return err->status;
    if (!array->data && !array->memory && elements)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s has no data (NULL), but %lld elements", what, (long long)elements);
    *view = (kx_view){.data = array->memory ? NULL : array->data,
                      .dtype = array->dtype,
                      .rows = 1,
                      .dim = dim ? dim : 1,
                      .step = (int64_t)kb_dtype_size(array->dtype),
                      .memory = array->memory,
                      .offset = array->memory ? array->offset : 0};
    return kx_check_strides(array, what, &view->low, &view->high, err);
}

/* The axes whose size is not 1. Returns their number. */
static int counted_axes(const kcl_array *array, int axes[KCL_MAX_AXES])
{
    int count = 0;
    for (int k = 0; k < array->ndim; k++)
        if (array->shape[k] != 1)
            axes[count++] = k;
    return count;
}

static bool take_vector(kx_view *view, const kcl_array *array, int at, int32_t dim)
{
    if (array->shape[at] < 1 || array->shape[at] > KF_MAX_DIM || (dim && array->shape[at] != dim))
        return false;
    view->dim = (int32_t)array->shape[at];
    if (view->dim > 1)
        view->step = array->stride[at];
    return true;
}

static void take_rows(kx_view *view, const kcl_array *array, int at)
{
    view->rows = array->shape[at];
    view->row_stride = view->rows > 1 ? array->stride[at] : 0;
}

kcl_status kx_view_of(kx_view *view, const kcl_array *array, kf_role role, int32_t dim, kx_reading reading,
                      const char *what, kb_error *err)
{
    if (start_view(view, array, dim, what, err) < 0)
        return err->status;
    view->name = what;
    int axes[KCL_MAX_AXES], count = counted_axes(array, axes), rows = role != KF_ROLE_P;
    if (reading == KX_SQUEEZED && count <= rows + (dim > 1)) {
        if (dim > 1 && (!count || !take_vector(view, array, axes[--count], dim)))
            return refuse_shape(array, role, dim, what, err);
        if (count)
            take_rows(view, array, axes[0]);
        return KCL_OK;
    }
    int left = array->ndim;
    bool has_vector = left > rows || (dim > 1 && left);
    if (has_vector && !take_vector(view, array, --left, dim))
        return refuse_shape(array, role, dim, what, err);
    if (rows && left)
        take_rows(view, array, --left);
    if (left > KF_MAX_BATCH || (dim > 1 && !has_vector))
        return refuse_shape(array, role, dim, what, err);
    while (left)
        add_batch_axis(view, array, --left);
    trim_batch(view);
    return KCL_OK;
}

kcl_status kx_view_of_result(kx_view *view, const kcl_array *array, kf_role role, int32_t dim, const kg_batch *batch,
                             const char *what, kb_error *err)
{
    if (start_view(view, array, dim, what, err) < 0)
        return err->status;
    int axes[KCL_MAX_AXES], count = counted_axes(array, axes), first = 0;
    bool fits = true;
    view->batch = *batch;
    for (int k = batch->count - 1; k >= 0; k--) {
        if (batch->size[k] == 1)
            continue;
        fits = fits && first < count && array->shape[axes[first]] == batch->size[k];
        if (fits) {
            view->batch_stride[k] = batch->size[k] ? array->stride[axes[first]] : 0;
            first++;
        }
    }
    if (fits && dim > 1)
        fits = first < count && take_vector(view, array, axes[--count], dim);
    if (fits && first < count && role != KF_ROLE_P)
        take_rows(view, array, axes[first++]);
    if (fits && first == count)
        return kx_check_elements(array, what, err);
    char shape[160], needed[160] = "";
    kx_put_shape(shape, sizeof shape, array);
    size_t n = 0;
    for (int k = batch->count - 1; k >= 0 && n < sizeof needed; k--)
        n += (size_t)snprintf(needed + n, sizeof needed - n, "%lld, ", (long long)batch->size[k]);
    return kb_fail(err, KCL_ERROR_SHAPE, "%s has shape %s, the result (%s%s%d); axes of size 1 may be left out", what,
                   shape, needed,
                   role == KF_ROLE_I   ? "M, "
                   : role == KF_ROLE_J ? "N, "
                                       : "",
                   dim);
}

kcl_status kx_check_input_type(const kx_view *view, kf_kind kind, const char *what, kb_error *err)
{
    if ((view->dtype == KCL_I64) == (kind == KF_INT))
        return KCL_OK;
    if (kind == KF_INT)
        return kb_fail(err, KCL_ERROR_TYPE, "%s is %s, it is an index made from an array of int64: it must be int64",
                       what, kb_dtype_name(view->dtype));
    return kb_fail(
        err, KCL_ERROR_TYPE,
        "%s is int64: variables are float32 or float64; int64 is for results that are indices, and for what is "
        "the index of Gather and nothing else",
        what);
}

kcl_status kx_check_output_type(const kx_view *view, kf_kind kind, const char *what, kb_error *err)
{
    if ((view->dtype == KCL_I64) == (kind == KF_INT))
        return KCL_OK;
    if (kind == KF_INT)
        return kb_fail(
            err, KCL_ERROR_TYPE,
            "%s is %s, the result is an index: its array must be int64 (a formula of it, such as 1 times the "
            "index, is a real number)",
            what, kb_dtype_name(view->dtype));
    return kb_fail(err, KCL_ERROR_TYPE,
                   "%s is int64, the result is a real number: its array must be float32 or float64", what);
}

/* ---- Elements ----------------------------------------------------------------------------------------------------- */

bool kx_is_empty(const kx_view *v)
{
    return v->rows == 0 || kg_batch_count(&v->batch) == 0;
}

size_t kx_span(const kx_view *v)
{
    if (kx_is_empty(v))
        return 0;
    int64_t length = (v->rows - 1) * v->row_stride + (v->dim - 1) * v->step;
    for (int k = 0; k < v->batch.count; k++)
        length += (v->batch.size[k] - 1) * v->batch_stride[k];
    return (size_t)length + kb_dtype_size(v->dtype);
}

kg_batch kx_own_batch(const kx_view *v)
{
    kg_batch own = v->batch;
    for (int k = 0; k < own.count; k++)
        if (!v->batch_stride[k] && own.size[k])
            own.size[k] = 1;
    return own;
}

bool kx_has_dense_rows(const kx_view *v)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype);
    return (v->dim == 1 || v->step == size) && (v->rows <= 1 || v->row_stride == v->dim * size);
}

bool kx_next_place(const kg_batch *batch, int64_t place[KF_MAX_BATCH])
{
    for (int k = 0; k < batch->count; k++) {
        if (++place[k] < batch->size[k])
            return true;
        place[k] = 0;
    }
    return false;
}

int64_t kx_offset_at(const kx_view *v, const int64_t place[KF_MAX_BATCH])
{
    int64_t offset = 0;
    for (int k = 0; k < v->batch.count; k++)
        offset += place[k] * v->batch_stride[k];
    return offset;
}

void *kx_host_data(const kx_view *v)
{
    return v->memory ? (char *)kd_memory_host(v->memory) + v->offset : (void *)(uintptr_t)v->data;
}
