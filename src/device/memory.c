/* SPDX-License-Identifier: MIT */
/* device/memory.c: memory of the device that users hold, and memory of users. */
#include "internal.h"

static void take_out(kcl_memory *m)
{
    if (m->next)
        m->next->previous = m->previous;
    *(m->previous ? &m->previous->next : &m->context->memories) = m->next;
    m->context = NULL;
}

static void put_in(kcl_context *context, kcl_memory *m)
{
    m->context = context;
    m->next = context->memories;
    if (m->next)
        m->next->previous = m;
    context->memories = m;
}

/* A description of memory that is not there yet. */
static kcl_status new_memory(kcl_context *context, const char *call, size_t bytes, kcl_memory **memory)
{
    if (memory)
        *memory = NULL;
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    if (!memory)
        return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT, "%s: there is no place for the memory (NULL)", call);
    kcl_memory *m = *memory = kb_calloc(&context->allocator, 1, sizeof *m);
    if (!m)
        return kb_no_memory(&context->error);
    m->allocator = context->allocator;
    m->size = bytes;
    m->holder = m;
    return KCL_OK;
}

kcl_status kcl_memory_create(kcl_context *context, size_t bytes, kcl_memory **memory)
{
    kcl_status status = new_memory(context, __func__, bytes, memory);
    if (status < 0)
        return status;
    kcl_memory *m = *memory;
    if (context->device->host) {
        const uint64_t all = context->device->info.memory;
        if (bytes > PTRDIFF_MAX || (all && bytes > all))
            status = kb_fail(&context->error, KCL_ERROR_DEVICE_MEMORY,
                             "%zu bytes were requested, this machine has %llu in all", bytes, (unsigned long long)all);
        else if (!(m->host = kb_alloc(&m->allocator, bytes)))
            status = kb_no_memory(&context->error);
    } else {
        status = kd_buffer_create(context, bytes, &m->buffer);
    }
    if (status < 0) {
        kb_free(&context->allocator, m);
        *memory = NULL;
        return status;
    }
    put_in(context, m);
    return KCL_OK;
}

/* ---- Memory of users --------------------------------------------------------------------------------------------- */

kcl_status kd_memory_wrap(kcl_context *context, cl_mem mem, size_t bytes, bool retain, kcl_memory **memory)
{
    kcl_status status = new_memory(context, __func__, bytes, memory);
    if (status < 0)
        return status;
    kcl_memory *m = *memory;
    kcl_device *d = context->device;
    cl_int code = 0;
    if (d->host)
        status = kb_fail(&context->error, KCL_ERROR_UNSUPPORTED, "the interpreter has no device memory");
    else if (retain && (code = d->cl.clRetainMemObject(mem)))
        status = kd_cl_fail(&context->error, &d->info, "clRetainMemObject", code, NULL);
    if (status < 0) {
        kb_free(&context->allocator, m);
        *memory = NULL;
        return status;
    }
    m->is_foreign = true;
    m->is_retained = retain;
    m->foreign = (kd_buffer){.mem = mem, .serial = ++context->last_serial, .size = bytes, .capacity = bytes};
    m->buffer = &m->foreign;
    /* Addresses of one device are places in one memory. */
    m->holder = retain ? (const void *)mem : d;
    m->origin = retain ? 0 : (uint64_t)(uintptr_t)mem;
    put_in(context, m);
    return KCL_OK;
}

/*
 * Work that uses the memory may still be running: the driver holds the memory objects of commands until they are done,
 * and memory without references is the user's to keep.
 */
static void let_go(kcl_memory *m)
{
    if (m->is_retained && !kd_forked())
        m->context->device->cl.clReleaseMemObject(m->foreign.mem);
    m->buffer = NULL;
}

/* ---- All memory -------------------------------------------------------------------------------------------------- */

size_t kcl_memory_size(const kcl_memory *memory)
{
    return memory ? memory->size : 0;
}

void kcl_memory_release(kcl_memory **memory)
{
    kcl_memory *m = memory ? *memory : NULL;
    if (!m)
        return;
    *memory = NULL;
    if (m->context) {
        if (m->is_foreign)
            let_go(m);
        else
            kd_buffer_release(m->context, &m->buffer);
        take_out(m);
    }
    const kcl_allocator allocator = m->allocator;
    kb_free(&allocator, m->host);
    kb_free(&allocator, m);
}

void kd_memories_orphan(kcl_context *context)
{
    while (context->memories) {
        kcl_memory *m = context->memories;
        kb_free(&m->allocator, m->host);
        m->host = NULL;
        if (m->is_foreign)
            let_go(m);
        m->buffer = NULL; /* freed with all buffers of the context */
        take_out(m);
    }
}

bool kd_has_memory(const kcl_context *context, const kcl_memory *memory)
{
    /* By the list alone: a pointer to released memory must not be followed. */
    const kcl_memory *m = context->memories;
    while (m && m != memory)
        m = m->next;
    return m != NULL;
}

kd_buffer *kd_memory_buffer(const kcl_memory *memory)
{
    return memory->buffer;
}

void *kd_memory_host(const kcl_memory *memory)
{
    return memory->host;
}

const void *kd_memory_holder(const kcl_memory *memory)
{
    return memory->holder;
}

uint64_t kd_memory_origin(const kcl_memory *memory)
{
    return memory->origin;
}

bool kd_is_readable(const kcl_memory *memory)
{
    return !memory->is_unreadable;
}

bool kd_is_writable(const kcl_memory *memory)
{
    return !memory->is_unwritable;
}
