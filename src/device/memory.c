/* SPDX-License-Identifier: MIT */
/* device/memory.c: memory of the device that users hold. */
#include "internal.h"

static void take_out(kcl_memory *m)
{
    kcl_memory **link = &m->context->memories;
    while (*link != m)
        link = &(*link)->next;
    *link = m->next;
    m->context = NULL;
}

kcl_status kcl_memory_create(kcl_context *context, size_t bytes, kcl_memory **memory)
{
    if (memory)
        *memory = NULL;
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    if (!memory)
        return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT,
                       "kcl_memory_create: there is no place for the memory (NULL)");
    kcl_memory *m = kb_calloc(&context->allocator, 1, sizeof *m);
    if (!m)
        return kb_no_memory(&context->error);
    m->allocator = context->allocator;
    m->size = bytes;
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
        kb_free(&m->allocator, m);
        return status;
    }
    m->context = context;
    m->next = context->memories;
    context->memories = m;
    *memory = m;
    return KCL_OK;
}

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
