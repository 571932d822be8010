/* SPDX-License-Identifier: MIT */
/* api/indices.c: numbers of rows and columns that a call is given. */
#include "indices.h"

#include <keopscl/memory.h>

#include <stdio.h>
#include <string.h>

kcl_indices kcl_all(void)
{
    return (kcl_indices){.kind = KCL_INDICES_ALL};
}

kcl_indices kcl_range(int64_t start, int64_t stop, int64_t step)
{
    return (kcl_indices){.kind = KCL_INDICES_RANGE, .start = start, .stop = stop, .step = step};
}

kcl_indices kcl_list(const kcl_array *list)
{
    return (kcl_indices){.kind = KCL_INDICES_LIST, .list = list};
}

/* The elements of a list, in the arena. */
static kcl_status read_list(ka_picked *p, const char *call, const kcl_array *array, kcl_context *context,
                            kb_arena *arena)
{
    kb_error *err = kd_error(context);
    char what[64];
    int64_t count, low, high, *list;
    int at = -1;
    snprintf(what, sizeof what, "%s: the list of %ss", call, p->what);
    if (kx_check_shape(array, what, &count, err) < 0 || kx_check_strides(array, what, &low, &high, err) < 0)
        return err->status;
    if (array->dtype != KCL_I64)
        return kb_fail(err, KCL_ERROR_TYPE, "%s is %s, it must be int64", what, kb_dtype_name(array->dtype));
    for (int k = 0; k < array->ndim; k++) {
        if (at >= 0 && array->shape[k] != 1 && array->shape[at] != 1) {
            char shape[160];
            kx_put_shape(shape, sizeof shape, array);
            return kb_fail(err, KCL_ERROR_SHAPE, "%s has shape %s, it must have one axis", what, shape);
        }
        at = at < 0 || array->shape[k] != 1 ? k : at;
    }
    if (count && !array->memory && !array->data)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s has no data (NULL), but %lld elements", what, (long long)count);
    p->list = list = kb_arena_alloc(arena, ((size_t)count + 1) * sizeof *list);
    if (!list)
        return kb_no_memory(err);
    if (array->memory) {
        const kcl_array dense = kcl_array_of(list, KCL_I64, array->ndim, array->shape);
        if (count && kcl_array_download(context, array, &dense) < 0)
            return err->status;
    } else {
        for (int64_t k = 0; k < count; k++)
            memcpy(&list[k], (const char *)array->data + (at < 0 ? 0 : k * array->stride[at]), sizeof *list);
    }
    for (int64_t k = 0; k < count; k++)
        if (list[k] < 0 || list[k] >= p->size)
            return kb_fail(err, KCL_ERROR_ARGUMENT,
                           "%s has %lld as its element %lld: the expression has %lld %ss, numbers are 0 or more and "
                           "below that",
                           what, (long long)list[k], (long long)k, (long long)p->size, p->what);
    p->count = count;
    return KCL_OK;
}

static kcl_status read_range(ka_picked *p, const char *call, const kcl_indices *indices, kb_error *err)
{
    const int64_t start = indices->start, stop = indices->stop, step = indices->step;
    if (step == 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s: the range of %ss has the step 0", call, p->what);
    p->start = start;
    p->step = step;
    /* Differences are taken of numbers that cannot overflow. */
    const uint64_t length = step > 0 ? (stop > start ? (uint64_t)stop - (uint64_t)start : 0)
                                     : (start > stop ? (uint64_t)start - (uint64_t)stop : 0);
    const uint64_t by = step > 0 ? (uint64_t)step : (uint64_t)0 - (uint64_t)step;
    if (!length) {
        p->count = 0;
        return KCL_OK;
    }
    const uint64_t last = (length - 1) / by * by; /* distance of the last number from the first */
    const bool in_range =
        start >= 0 && start < p->size && (step > 0 ? last <= (uint64_t)(p->size - 1 - start) : last <= (uint64_t)start);
    if (!in_range)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "%s: the range of %ss from %lld to %lld by %lld has numbers that are not there: the expression "
                       "has %lld %ss, numbers are 0 or more and below that",
                       call, p->what, (long long)start, (long long)stop, (long long)step, (long long)p->size, p->what);
    p->count = (int64_t)(last / by) + 1;
    return KCL_OK;
}

kcl_status ka_read_indices(ka_picked *p, const char *call, const kcl_indices *indices, kcl_context *context,
                           kb_arena *arena)
{
    switch (indices->kind) {
    case KCL_INDICES_ALL:
        p->step = 1;
        p->count = p->size;
        return KCL_OK;
    case KCL_INDICES_RANGE:
        return read_range(p, call, indices, kd_error(context));
    case KCL_INDICES_LIST:
        return read_list(p, call, indices->list, context, arena);
    default:
        return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT,
                       "%s: the kind of the %ss is %d, which is none of kcl_indices_kind", call, p->what,
                       (int)indices->kind);
    }
}
