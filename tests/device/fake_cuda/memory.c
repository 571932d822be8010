/* SPDX-License-Identifier: MIT */
/* tests/device/fake_cuda/memory.c: memory of the simulated devices. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "simulation.h"

#include <stdlib.h>
#include <string.h>

/* No address of the host has this bit: following an address of a device ends the process. */
static const cu_pointer mark = (cu_pointer)1 << 60;

enum { GUARD_BYTE = 0xa5, NAN_BYTE = 0xff };

static fc_allocation *allocations;

static cu_pointer address_of(const fc_allocation *a)
{
    return mark | (cu_pointer)(uintptr_t)a->host;
}

static fc_allocation *allocation_at(const fc_context *context, cu_pointer pointer)
{
    fc_allocation *a = allocations;
    /* One past the end belongs to the guard: arrays without elements may lie there. */
    while (a && (a->context != context || pointer < address_of(a) || pointer > address_of(a) + a->size))
        a = a->next;
    return a;
}

unsigned char *fc_find(const fc_context *context, cu_pointer pointer, size_t bytes, size_t *left)
{
    const fc_allocation *a = allocation_at(context, pointer);
    const size_t offset = a ? (size_t)(pointer - address_of(a)) : 0;
    if (!a || bytes > a->size - offset)
        return NULL;
    if (left)
        *left = a->size - offset;
    return a->host + offset;
}

static fc_allocation **link_of(cu_pointer pointer)
{
    fc_allocation **link = &allocations;
    while (*link && address_of(*link) != pointer)
        link = &(*link)->next;
    return link;
}

static void release_at(fc_allocation **link)
{
    fc_allocation *a = *link;
    bool is_overrun = false;
    *link = a->next;
    if (a->is_lent) {
        free(a);
        return;
    }
    for (int k = 0; k < FC_GUARD; k++)
        is_overrun |= a->host[-1 - k] != GUARD_BYTE || a->host[a->size + (size_t)k] != GUARD_BYTE;
    fake_cuda.overruns += is_overrun;
    fake_cuda.live_allocations--;
    fake_cuda.live_bytes -= a->size;
    a->context->used -= a->size;
    memset(a->host, NAN_BYTE, a->size);
    free(a->host - FC_GUARD);
    free(a);
}

void fc_release(cu_pointer pointer)
{
    fc_allocation **link = link_of(pointer);
    if (*link)
        release_at(link);
}

void fc_release_all(fc_context *context)
{
    for (fc_allocation **link = &allocations; *link;) {
        if ((*link)->context == context)
            release_at(link);
        else
            link = &(*link)->next;
    }
}

static cu_result allocate(fc_context *context, size_t bytes, cu_pointer *pointer)
{
    void *memory = NULL;
    if (!bytes || !pointer)
        return CU_INVALID_VALUE;
    if (bytes > fake_cuda.memory || context->used > fake_cuda.memory - bytes ||
        posix_memalign(&memory, FC_GUARD, bytes + 2 * FC_GUARD))
        return CU_OUT_OF_MEMORY;
    fc_allocation *a = calloc(1, sizeof *a);
    *a = (fc_allocation){
        .next = allocations, .context = context, .host = (unsigned char *)memory + FC_GUARD, .size = bytes};
    memset(memory, GUARD_BYTE, bytes + 2 * FC_GUARD);
    memset(a->host, NAN_BYTE, bytes);
    allocations = a;
    context->used += bytes;
    fake_cuda.allocations++;
    fake_cuda.live_allocations++;
    fake_cuda.live_bytes += bytes;
    *pointer = address_of(a);
    return CU_SUCCESS;
}

FC_EXPORT fake_cuda_lend_fn fake_cuda_lend;
FC_EXPORT cu_pointer fake_cuda_lend(int device, void *host, size_t bytes)
{
    unsigned char *const begin = host, *const end = begin + bytes;
    void *context = NULL;
    fc_allocation *made = calloc(1, sizeof *made);
    if (cuDevicePrimaryCtxRetain(&context, device) || !made) {
        free(made);
        return 0;
    }
    pthread_mutex_lock(&fc_world);
    for (fc_allocation **link = &allocations; *link;) {
        if ((*link)->is_lent && (*link)->host < end && begin < (*link)->host + (*link)->size)
            release_at(link);
        else
            link = &(*link)->next;
    }
    *made = (fc_allocation){.next = allocations, .context = context, .host = begin, .size = bytes, .is_lent = true};
    allocations = made;
    pthread_mutex_unlock(&fc_world);
    return address_of(made);
}

FC_EXPORT cu_result cuMemAlloc_v2(cu_pointer *pointer, size_t bytes)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    if (!code && fc_is_forbidden())
        code = CU_CAPTURE_UNSUPPORTED;
    return fc_end(code ? code : allocate(context, bytes, pointer));
}

/* Waits for the device, as real drivers do. */
FC_EXPORT cu_result cuMemFree_v2(cu_pointer pointer)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    if (code || !pointer)
        return fc_end(code);
    if (fc_is_forbidden())
        return fc_end(CU_CAPTURE_UNSUPPORTED);
    fc_wait_for_context(context);
    const fc_allocation *a = *link_of(pointer);
    if (!a || a->is_leaving || a->context != context)
        return fc_end(CU_INVALID_VALUE);
    fake_cuda.frees++;
    fc_log("cuMemFree", NULL, pointer, a->size);
    fc_release(pointer);
    return fc_end(CU_SUCCESS);
}

FC_EXPORT cu_result cuMemAllocAsync(cu_pointer *pointer, size_t bytes, void *stream)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    if (!code && !fc_stream_of(context, stream))
        code = CU_INVALID_HANDLE;
    return fc_end(code ? code : allocate(context, bytes, pointer));
}

FC_EXPORT cu_result cuMemFreeAsync(cu_pointer pointer, void *stream)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    fc_stream *s = code ? NULL : fc_stream_of(context, stream);
    fc_allocation *a = *link_of(pointer);
    if (!code && !s)
        code = CU_INVALID_HANDLE;
    if (!code && (!a || a->is_leaving || a->context != context))
        code = CU_INVALID_VALUE;
    if (code)
        return fc_end(code);
    fake_cuda.frees++;
    a->is_leaving = true;
    fc_log("cuMemFreeAsync", stream, pointer, a->size);
    return fc_end(fc_give(s, &(fc_task){.kind = FC_FREE, .to = pointer}));
}

FC_EXPORT cu_result cuMemGetInfo_v2(size_t *available, size_t *total)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    if (!code) {
        *total = fake_cuda.memory;
        *available = fake_cuda.memory > context->used ? fake_cuda.memory - context->used : 0;
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuPointerGetAttribute(void *value, int what, cu_pointer pointer)
{
    enum { CONTEXT = 1, MEMORY_TYPE = 2, DEVICE_POINTER = 3, IS_MANAGED = 8, ORDINAL = 9, START = 11, SIZE = 12 };
    enum { OF_DEVICE = 2 };
    cu_result code = fc_begin(__func__);
    const fc_allocation *a = allocations;
    while (a && (pointer < address_of(a) || pointer >= address_of(a) + a->size))
        a = a->next;
    if (!code && !a)
        code = CU_INVALID_VALUE;
    if (code)
        return fc_end(code);
    switch (what) {
    case CONTEXT:
        *(void **)value = a->context;
        break;
    case MEMORY_TYPE:
        *(unsigned *)value = OF_DEVICE;
        break;
    case DEVICE_POINTER:
        *(cu_pointer *)value = pointer;
        break;
    case IS_MANAGED:
        *(unsigned *)value = 0;
        break;
    case ORDINAL:
        *(int *)value = a->context->device;
        break;
    case START:
        *(cu_pointer *)value = address_of(a);
        break;
    case SIZE:
        *(size_t *)value = a->size;
        break;
    default:
        code = CU_INVALID_VALUE;
    }
    return fc_end(code);
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

/* Gives a command on `bytes` of device memory at `to` or `from` (0: none) to a stream. */
static cu_result give_copy(const char *call, const char *log, void *stream, const fc_task *task, int *count)
{
    fc_context *context;
    cu_result code = fc_begin_in(call, &context);
    fc_stream *s = code ? NULL : fc_stream_of(context, stream);
    if (!code && !s)
        code = CU_INVALID_HANDLE;
    if (!code &&
        ((task->to && !fc_find(context, task->to, task->bytes, NULL)) ||
         (task->from && !fc_find(context, task->from, task->bytes, NULL)) || (!task->host && !task->to && !task->from)))
        code = CU_INVALID_VALUE;
    if (code || !task->bytes)
        return fc_end(code);
    if (count)
        ++*count;
    fc_log(log, stream, task->to ? task->to : task->from, task->bytes);
    return fc_end(fc_give(s, task));
}

FC_EXPORT cu_result cuMemcpyHtoDAsync_v2(cu_pointer to, const void *from, size_t bytes, void *stream)
{
    return give_copy(__func__, "cuMemcpyHtoDAsync", stream,
                     &(fc_task){.kind = FC_WRITE, .to = to, .host = (void *)(uintptr_t)from, .bytes = bytes},
                     &fake_cuda.writes);
}

FC_EXPORT cu_result cuMemcpyDtoHAsync_v2(void *to, cu_pointer from, size_t bytes, void *stream)
{
    return give_copy(__func__, "cuMemcpyDtoHAsync", stream,
                     &(fc_task){.kind = FC_READ, .from = from, .host = to, .bytes = bytes}, &fake_cuda.reads);
}

FC_EXPORT cu_result cuMemcpyDtoDAsync_v2(cu_pointer to, cu_pointer from, size_t bytes, void *stream)
{
    return give_copy(__func__, "cuMemcpyDtoDAsync", stream,
                     &(fc_task){.kind = FC_COPY, .to = to, .from = from, .bytes = bytes}, NULL);
}

FC_EXPORT cu_result cuMemsetD32Async(cu_pointer to, unsigned value, size_t count, void *stream)
{
    return give_copy(__func__, "cuMemsetD32Async", stream,
                     &(fc_task){.kind = FC_SET, .to = to, .value = value, .bytes = count * sizeof value}, NULL);
}
