/* SPDX-License-Identifier: MIT */
/* api/array.c: arrays in the device's memory, copies to and from it. */
#include "run.h"

#include <keopscl/memory.h>

#include <stdio.h>
#include <string.h>

/* ---- Descriptions ------------------------------------------------------------------------------------------------ */

static const kcl_array refused = {.ndim = -1};

kcl_array kcl_array_in(kcl_memory *memory, int64_t offset, kcl_dtype dtype, int ndim, const int64_t *shape)
{
    kcl_array array = memory ? kcl_array_of(NULL, dtype, ndim, shape) : refused;
    array.memory = memory;
    array.offset = offset;
    return array;
}

static kcl_status create(const char *call, kcl_context *context, kcl_dtype dtype, int ndim, const int64_t *shape,
                         kcl_array *array)
{
    if (array)
        *array = refused;
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    if (!array || (!shape && ndim > 0))
        return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT, "%s: the %s is NULL", call,
                       array ? "shape" : "array that is to be made");
    kcl_array made = kcl_array_of(NULL, dtype, ndim, shape);
    char what[64];
    int64_t elements;
    snprintf(what, sizeof what, "%s: the array that is to be made", call);
    if (kx_check_shape(&made, what, &elements, kd_error(context)) < 0)
        return kcl_context_status(context);
    status = kcl_memory_create(context, (size_t)elements * kb_dtype_size(dtype), &made.memory);
    if (status == KCL_OK)
        *array = made;
    return status;
}

kcl_status kcl_array_create(kcl_context *context, kcl_dtype dtype, int ndim, const int64_t *shape, kcl_array *array)
{
    return create(__func__, context, dtype, ndim, shape, array);
}

void kcl_array_free(kcl_array *array)
{
    if (!array)
        return;
    kcl_memory_release(&array->memory);
    *array = refused;
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

/* The array without its axes of size 1. */
static kcl_array squeeze(const kcl_array *array)
{
    kcl_array result = *array;
    result.ndim = 0;
    for (int k = 0; k < array->ndim; k++) {
        if (array->shape[k] == 1)
            continue;
        result.shape[result.ndim] = array->shape[k];
        result.stride[result.ndim++] = array->stride[k];
    }
    return result;
}

static bool same_shape(const kcl_array *a, const kcl_array *b)
{
    return a->ndim == b->ndim && memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}

static bool is_dense(const kcl_array *array)
{
    int64_t stride = (int64_t)kb_dtype_size(array->dtype);
    for (int k = array->ndim - 1; k >= 0; stride *= array->shape[k--])
        if (array->stride[k] != stride)
            return false;
    return true;
}

/* Copies the axes of `from` from `axis` on, at address `source`, to the same axes of `to`. The shapes are equal. */
static void copy_axes(const kcl_array *from, const char *source, const kcl_array *to, char *target, int axis)
{
    const size_t size = kb_dtype_size(from->dtype);
    if (axis == from->ndim) {
        memcpy(target, source, size);
        return;
    }
    const int64_t count = from->shape[axis], step = from->stride[axis], to_step = to->stride[axis];
    if (axis == from->ndim - 1 && step == (int64_t)size && to_step == step) {
        memcpy(target, source, size * (size_t)count);
        return;
    }
    for (int64_t k = 0; k < count; k++)
        copy_axes(from, source + k * step, to, target + k * to_step, axis + 1);
}

/*
 * Copies by way of dense memory on the host, for arrays with gaps. The bytes between the elements of the device's array
 * are read and written back unchanged.
 */
static kcl_status copy_by_parts(kcl_context *context, const kcl_array *host, const kcl_array *device, int64_t lowest,
                                int64_t highest, bool upload)
{
    const size_t bytes = (size_t)(highest - lowest);
    kd_buffer *buffer = kd_memory_buffer(device->memory);
    char *span = kb_alloc(kd_allocator(context), bytes);
    if (!span)
        return kb_no_memory(kd_error(context));
    char *first = span + (device->offset - lowest);
    kcl_status status = KCL_OK;
    if (!upload || !is_dense(device)) {
        kd_read(context, buffer, (size_t)lowest, span, bytes);
        status = kd_finish(context);
    }
    if (status == KCL_OK && upload) {
        copy_axes(host, host->data, device, first, 0);
        kd_write(context, buffer, (size_t)lowest, span, bytes);
        status = kd_finish(context);
    } else if (status == KCL_OK) {
        copy_axes(device, first, host, host->data, 0);
    }
    kb_free(kd_allocator(context), span);
    return status;
}

static kcl_status transfer(const char *call, kcl_context *context, const kcl_array *given_host,
                           const kcl_array *given_device, bool upload)
{
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    kb_error *err = kd_error(context);
    char host_name[64], device_name[64];
    snprintf(host_name, sizeof host_name, "%s: the host's array", call);
    snprintf(device_name, sizeof device_name, "%s: the device's array", call);
    int64_t elements;
    if (kx_check_shape(given_host, host_name, &elements, err) < 0 ||
        kx_check_shape(given_device, device_name, &elements, err) < 0)
        return err->status;
    if (given_host->memory || !given_device->memory)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s is in the %s's memory",
                       given_host->memory ? host_name : device_name, given_host->memory ? "device" : "host");
    const kcl_array host = squeeze(given_host), device = squeeze(given_device);
    if (host.dtype != device.dtype)
        return kb_fail(err, KCL_ERROR_TYPE, "%s is %s, the device's array is %s: they must be of one type", host_name,
                       kb_dtype_name(host.dtype), kb_dtype_name(device.dtype));
    if (!same_shape(&host, &device)) {
        char shapes[2][160];
        kx_put_shape(shapes[0], sizeof shapes[0], given_host);
        kx_put_shape(shapes[1], sizeof shapes[1], given_device);
        return kb_fail(err, KCL_ERROR_LENGTH, "%s has the shape %s, the device's array %s: they must agree", host_name,
                       shapes[0], shapes[1]);
    }
    const kcl_array *target = upload ? given_device : given_host;
    int64_t lowest, highest;
    if (kx_check_strides(given_host, host_name, &lowest, &highest, err) < 0 ||
        kx_check_strides(given_device, device_name, &lowest, &highest, err) < 0 ||
        kx_check_elements(target, upload ? device_name : host_name, err) < 0)
        return err->status;
    if (elements) {
        lowest += device.offset;
        highest += device.offset;
    }
    status = kx_check_memory(context, device.memory, lowest, highest, device.offset, device.dtype, device_name);
    if (status < 0)
        return status;
    if (!elements)
        return kcl_context_finish(context);
    if (!host.data)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s has no data (NULL), but %lld elements", host_name,
                       (long long)elements);
    if (kd_is_host(context)) {
        char *first = (char *)kd_memory_host(device.memory) + device.offset;
        if (upload)
            copy_axes(&host, host.data, &device, first, 0);
        else
            copy_axes(&device, first, &host, host.data, 0);
        return KCL_OK;
    }
    if (!is_dense(&host) || !is_dense(&device))
        return copy_by_parts(context, &host, &device, lowest, highest, upload);
    kd_buffer *buffer = kd_memory_buffer(device.memory);
    if (upload)
        kd_write(context, buffer, (size_t)lowest, host.data, (size_t)(highest - lowest));
    else
        kd_read(context, buffer, (size_t)lowest, host.data, (size_t)(highest - lowest));
    return kd_finish(context);
}

kcl_status kcl_array_update(kcl_context *context, const kcl_array *from, const kcl_array *array)
{
    return transfer("kcl_array_update", context, from, array, true);
}

kcl_status kcl_array_download(kcl_context *context, const kcl_array *array, const kcl_array *to)
{
    return transfer("kcl_array_download", context, to, array, false);
}

kcl_status kcl_array_upload(kcl_context *context, const kcl_array *from, kcl_array *array)
{
    if (array)
        *array = refused;
    kcl_status status = kd_enter(context);
    int64_t elements;
    if (status == KCL_OK)
        status = kx_check_shape(from, "kcl_array_upload: the host's array", &elements, kd_error(context));
    if (status == KCL_OK)
        status = create(__func__, context, from->dtype, from->ndim, from->shape, array);
    if (status < 0)
        return status;
    status = transfer("kcl_array_upload", context, from, array, true);
    if (status < 0)
        kcl_array_free(array);
    return status;
}
