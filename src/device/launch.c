/* SPDX-License-Identifier: MIT */
/* device/launch.c: buffers, launches, waiting. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#endif
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- Buffers ----------------------------------------------------------------------------------------------------- */

/* Buffers that wait for reuse: a driver's allocation costs far more than a launch, and often page faults on top. */
enum { MOST_IDLE = 16 };

static void release_at(kcl_context *c, size_t index)
{
    kd_buffer *b = c->buffers[index];
    c->buffers[index] = c->buffers[--c->buffer_count];
    if (!kd_forked())
        c->device->cl.clReleaseMemObject(b->mem);
    kb_free(&c->allocator, b);
}

static uint64_t bytes_in_use(const kcl_context *c)
{
    uint64_t bytes = 0;
    for (size_t k = 0; k < c->buffer_count; k++)
        if (!c->buffers[k]->host || c->device->sharing == KD_COPIED)
            bytes += c->buffers[k]->size;
    return bytes;
}

/* Releases idle buffers, the oldest first, until at most `count` of `bytes` together are left. */
static void trim_idle(kcl_context *c, size_t count, uint64_t bytes)
{
    for (;;) {
        size_t idle = 0, oldest = 0;
        uint64_t idle_bytes = 0;
        for (size_t k = 0; k < c->buffer_count; k++) {
            if (!c->buffers[k]->idle)
                continue;
            if (!idle++ || c->buffers[k]->serial < c->buffers[oldest]->serial)
                oldest = k;
            idle_bytes += c->buffers[k]->size;
        }
        if (idle <= count && idle_bytes <= bytes)
            return;
        release_at(c, oldest);
    }
}

static void make_idle(kcl_context *c, kd_buffer *b)
{
    b->host = NULL;
    b->is_output = false;
    b->idle = true;
    trim_idle(c, MOST_IDLE, c->device->info.memory / 8);
}

static kcl_status no_device_memory(kcl_context *c, size_t bytes, cl_int code)
{
    const kcl_device_info *info = &c->device->info;
    const char *advice = "give it fewer rows at once, or take KEOPSCL_DEVICE=host, which has no such limit";
    if (code == CL_SUCCESS)
        return kb_fail(&c->error, KCL_ERROR_DEVICE_MEMORY,
                       "an array of %zu bytes is larger than the largest buffer of device %s \"%s\", %" PRIu64
                       " bytes: %s",
                       bytes, info->id, info->name, info->max_buffer, advice);
    return kb_fail(&c->error, KCL_ERROR_DEVICE_MEMORY,
                   "clCreateBuffer failed: %s (%d) on device %s \"%s\": %zu bytes were requested, it has %" PRIu64
                   " bytes in all and at most %" PRIu64 " in one buffer, this context holds %" PRIu64 ": %s",
                   kd_cl_error_name(code), (int)code, info->id, info->name, bytes, info->memory, info->max_buffer,
                   bytes_in_use(c), advice);
}

/* Drivers that allocate late report it from any command. */
static kcl_status command_failed(kcl_context *c, const char *call, cl_int code, const char *what)
{
    const kcl_device_info *info = &c->device->info;
    char more[512] = "";
    if (code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES)
        snprintf(more, sizeof more, "%s: this context holds %" PRIu64 " bytes of the device's %" PRIu64, what,
                 bytes_in_use(c), info->memory);
    return kd_cl_fail(&c->error, info, call, code, *more ? more : what);
}

static bool means_memory(cl_int code)
{
    return code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES || code == CL_INVALID_BUFFER_SIZE;
}

/* A buffer on `host` memory (not copied), or one on the device where `host` is NULL. */
static kcl_status new_buffer(kcl_context *c, size_t bytes, const void *host, kd_buffer **buffer)
{
    kcl_device *d = c->device;
    cl_int code = 0;
    if (d->info.max_buffer && bytes > d->info.max_buffer)
        return no_device_memory(c, bytes, CL_SUCCESS);
    kd_buffer *b = kb_calloc(&c->allocator, 1, sizeof *b);
    if (!b || !kb_reserve(&c->allocator, (void **)&c->buffers, &c->buffer_capacity, c->buffer_count + 1,
                          sizeof *c->buffers)) {
        kb_free(&c->allocator, b);
        return kb_no_memory(&c->error);
    }
    /* Inputs too are opened for writing: one memory may be an output of one launch and an input of the next. */
    const cl_mem_flags flags = CL_MEM_READ_WRITE | (host ? CL_MEM_USE_HOST_PTR : 0);
    b->mem = d->cl.clCreateBuffer(d->context, flags, bytes, (void *)(uintptr_t)host, &code);
    if (!b->mem && means_memory(code)) {
        trim_idle(c, 0, 0);
        b->mem = d->cl.clCreateBuffer(d->context, flags, bytes, (void *)(uintptr_t)host, &code);
    }
    if (!b->mem) {
        kb_free(&c->allocator, b);
        return means_memory(code) ? no_device_memory(c, bytes, code)
                                  : kd_cl_fail(&c->error, &d->info, "clCreateBuffer", code, NULL);
    }
    b->serial = ++c->last_serial;
    b->size = bytes;
    c->buffers[c->buffer_count++] = b;
    *buffer = b;
    return KCL_OK;
}

/* Work on an idle buffer may still be running: what comes next is done after it. */
static kcl_status device_buffer(kcl_context *c, size_t bytes, kd_buffer **buffer)
{
    for (size_t k = 0; k < c->buffer_count; k++) {
        kd_buffer *b = c->buffers[k];
        if (b->idle && b->size == bytes) {
            b->idle = false;
            *buffer = b;
            return KCL_OK;
        }
    }
    return new_buffer(c, bytes, NULL, buffer);
}

kcl_status kd_buffer_create(kcl_context *c, size_t bytes, kd_buffer **buffer)
{
    *buffer = NULL;
    if (c->device->host)
        return kb_fail(&c->error, KCL_ERROR_UNSUPPORTED, "the interpreter has no device memory");
    return device_buffer(c, KB_MAX(bytes, 1), buffer);
}

void kd_buffer_release(kcl_context *c, kd_buffer **buffer)
{
    if (*buffer)
        make_idle(c, *buffer);
    *buffer = NULL;
}

void kd_buffers_free(kcl_context *c)
{
    while (c->buffer_count)
        release_at(c, c->buffer_count - 1);
    kb_free(&c->allocator, c->buffers);
    c->buffers = NULL;
    c->buffer_capacity = 0;
}

/* ---- Launches ---------------------------------------------------------------------------------------------------- */

/*
 * Host memory is given a buffer anew in each batch: its contents may change between batches, and it may be freed. One
 * that works in place costs a third of a microsecond to make. Drivers that copy get theirs from the idle ones.
 */
static kcl_status host_buffer(kcl_context *c, const kd_arg *arg, kd_buffer **buffer)
{
    kcl_device *d = c->device;
    kd_buffer *b = NULL;
    for (size_t k = 0; k < c->buffer_count && !b; k++)
        if (c->buffers[k]->host == arg->data && c->buffers[k]->size == arg->size)
            b = c->buffers[k];
    if (!b) {
        bool copied = d->sharing == KD_COPIED;
        kcl_status status = copied ? device_buffer(c, arg->size, &b) : new_buffer(c, arg->size, arg->data, &b);
        if (status < 0)
            return status;
        cl_int code = 0;
        if (copied && arg->kind == KD_ARG_HOST_IN)
            code = d->cl.clEnqueueWriteBuffer(c->queue, b->mem, CL_FALSE, 0, arg->size, arg->data, 0, NULL, NULL);
        if (code) {
            make_idle(c, b);
            return command_failed(c, "clEnqueueWriteBuffer", code, "");
        }
        b->host = arg->data;
    }
    b->is_output |= arg->kind == KD_ARG_HOST_OUT;
    *buffer = b;
    return KCL_OK;
}

static kcl_status buffer_of(kcl_context *c, const kd_arg *arg, kd_buffer **buffer)
{
    if (arg->kind == KD_ARG_BUFFER) {
        *buffer = arg->buffer;
        return KCL_OK;
    }
    if (arg->size && arg->data)
        return host_buffer(c, arg, buffer);
    if (arg->size)
        return kb_fail(&c->error, KCL_ERROR_INTERNAL, "an array of %zu bytes has no address", arg->size);
    /* OpenCL has no buffers of size 0. */
    kcl_status status = c->nothing ? KCL_OK : device_buffer(c, 64, &c->nothing);
    *buffer = c->nothing;
    return status;
}

static kcl_status set_arg(kcl_context *c, kd_kernel *k, int index, const kd_arg *arg)
{
    kd_saved_arg *saved = &k->saved[index];
    kd_buffer *b = NULL;
    if (arg->kind != KD_ARG_VALUE) {
        kcl_status status = buffer_of(c, arg, &b);
        if (status < 0)
            return status;
        if (saved->serial == b->serial)
            return KCL_OK;
    } else if (arg->size == saved->size && saved->size && memcmp(arg->data, saved->value, arg->size) == 0) {
        return KCL_OK;
    }
    *saved = (kd_saved_arg){0};
    cl_int code = b ? c->device->cl.clSetKernelArg(k->kernel, (cl_uint)index, sizeof b->mem, &b->mem)
                    : c->device->cl.clSetKernelArg(k->kernel, (cl_uint)index, arg->size, arg->data);
    if (code)
        return kd_cl_fail(&c->error, &c->device->info, "clSetKernelArg", code, NULL);
    if (b) {
        saved->serial = b->serial;
    } else if (arg->size <= sizeof saved->value) {
        saved->size = arg->size;
        memcpy(saved->value, arg->data, arg->size);
    }
    return KCL_OK;
}

static kcl_status make_room(kcl_context *c, kd_kernel *k, int arg_count)
{
    if ((size_t)arg_count <= k->saved_count)
        return KCL_OK;
    kd_saved_arg *saved = kb_calloc(&c->allocator, (size_t)arg_count, sizeof *saved);
    if (!saved)
        return kb_no_memory(&c->error);
    kb_free(&c->allocator, k->saved);
    k->saved = saved;
    k->saved_count = (size_t)arg_count;
    return KCL_OK;
}

static kcl_status start(kcl_context *c, kd_kernel *k, int arg_count, const kd_arg *args, const size_t global[3],
                        const size_t local[3])
{
    kcl_device *d = c->device;
    kcl_status status = make_room(c, k, arg_count);
    for (int a = 0; status >= 0 && a < arg_count; a++)
        status = set_arg(c, k, a, &args[a]);
    if (status < 0 || !global[0] || !global[1] || !global[2])
        return status;
    cl_event event = NULL;
    cl_int code = d->cl.clEnqueueNDRangeKernel(c->queue, k->kernel, 3, NULL, global, local, 0, NULL,
                                               d->sharing == KD_IN_PLACE ? &event : NULL);
    if (event) {
        if (c->last)
            d->cl.clReleaseEvent(c->last);
        c->last = event;
    }
    if (code) {
        char what[256];
        snprintf(what, sizeof what, ", kernel %.60s, %zu x %zu x %zu work-items in groups of %zu x %zu x %zu", k->name,
                 global[0], global[1], global[2], local[0], local[1], local[2]);
        /* A stale binary shows itself here at the latest. */
        if (atomic_load(&k->program->loaded))
            kd_drop_entry(c, k->program);
        return command_failed(c, "clEnqueueNDRangeKernel", code, what);
    }
    k->launched = true;
    c->save_pending |= atomic_load_explicit(&k->program->unsaved, memory_order_relaxed);
    c->stats.launches++;
    return KCL_OK;
}

void kd_settle_queue(kcl_context *c)
{
    const struct timespec pause = {0, 50 * 1000};
    const kd_cl *cl = &c->device->cl;
    if (!c->last)
        return;
    /* Bounded: a driver may count references of its own. */
    for (int k = 0; k < 2000; k++) {
        cl_uint references = 1;
        if (cl->clGetEventInfo(c->last, CL_EVENT_REFERENCE_COUNT, sizeof references, &references, NULL) ||
            references <= 1)
            break;
        nanosleep(&pause, NULL);
    }
    cl->clReleaseEvent(c->last);
    c->last = NULL;
}

/*
 * Concurrent queues on one device trip an assertion of PoCL 5 (pocl_release_dlhandle_cache), which ends the process.
 * Batches of a PoCL device take turns: each uses all processors anyway.
 */
static void take_turn(kcl_context *c)
{
    if (c->device->sharing != KD_IN_PLACE || c->holds_turn)
        return;
    pthread_mutex_lock(&c->device->turn);
    c->holds_turn = true;
}

static void end_turn(kcl_context *c)
{
    if (!c->holds_turn)
        return;
    c->holds_turn = false;
    pthread_mutex_unlock(&c->device->turn);
}

kcl_status kd_launch(kcl_context *c, kd_kernel *k, int arg_count, const kd_arg *args, const size_t global[3],
                     const size_t local[3])
{
    if (c->log.write && !c->batch_launches++)
        c->batch_start = kb_seconds();
    take_turn(c);
    kcl_status status = start(c, k, arg_count, args, global, local);
    if (status < 0 && c->batch_status >= 0)
        c->batch_status = status;
    kb_log_line(&c->log, "launch %s: %zu x %zu x %zu work-items in groups of %zu x %zu x %zu", k->name, global[0],
                global[1], global[2], local[0], local[1], local[2]);
    return status;
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

/*
 * Asks for what must be done before host memory holds the results. In place, waiting is all: a map and its unmapping
 * would be two more commands for the driver's threads, which cost PoCL 30 microseconds.
 */
static kcl_status fetch_outputs(kcl_context *c)
{
    kcl_device *d = c->device;
    for (size_t k = 0; k < c->buffer_count; k++) {
        kd_buffer *b = c->buffers[k];
        cl_int code = 0;
        if (!b->host || !b->is_output)
            continue;
        if (d->sharing == KD_COPIED) {
            void *to = (void *)(uintptr_t)b->host;
            code = d->cl.clEnqueueReadBuffer(c->queue, b->mem, CL_FALSE, 0, b->size, to, 0, NULL, NULL);
            if (code)
                return command_failed(c, "clEnqueueReadBuffer", code, "");
        } else if (d->sharing == KD_MAPPED) {
            void *at =
                d->cl.clEnqueueMapBuffer(c->queue, b->mem, CL_FALSE, CL_MAP_READ, 0, b->size, 0, NULL, NULL, &code);
            if (at && !code)
                code = d->cl.clEnqueueUnmapMemObject(c->queue, b->mem, at, 0, NULL, NULL);
            if (!at || code)
                return command_failed(c, at ? "clEnqueueUnmapMemObject" : "clEnqueueMapBuffer", code, "");
        }
    }
    return KCL_OK;
}

/* Lets go of the host's memory. */
static void end_batch(kcl_context *c)
{
    for (size_t k = c->buffer_count; k-- > 0;) {
        kd_buffer *b = c->buffers[k];
        if (!b->host)
            continue;
        if (c->device->sharing != KD_COPIED) {
            release_at(c, k);
        } else {
            b->host = NULL;
            b->is_output = false;
            b->idle = true;
        }
    }
    trim_idle(c, MOST_IDLE, c->device->info.memory / 8);
    c->batch_status = KCL_OK;
    c->batch_launches = 0;
}

kcl_status kd_finish(kcl_context *c)
{
    kcl_device *d = c->device;
    if (d->host)
        return KCL_OK;
    kcl_status status = c->batch_status;
    if (status >= 0)
        status = fetch_outputs(c);
    cl_int code = d->cl.clFinish(c->queue);
    if (code && status >= 0)
        status = command_failed(c, "clFinish", code, "");
    if (c->batch_launches)
        kb_log_line(&c->log, "run: %d launches, %.6f s", c->batch_launches, kb_seconds() - c->batch_start);
    end_batch(c);
    if (c->save_pending && status >= 0)
        kd_save_programs(c);
    end_turn(c);
    return status;
}
