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

static void free_kept(kcl_context *c);

/*
 * Buffers that wait for reuse: an allocation by the driver costs far more than a launch, and often page faults on top.
 * All but large buffers are rounded up by less than a quarter (of 1 KB), so that lengths which change from call to call
 * find a buffer.
 */
enum { MOST_IDLE = 64, LEAST_PIECE = 256 };
static const size_t largest_rounded = (size_t)16 << 20;

static size_t rounded(const kcl_device_info *info, size_t bytes)
{
    size_t piece = LEAST_PIECE;
    if (bytes > largest_rounded)
        return bytes; /* doubling could exceed the largest number */
    while (piece * 8 < bytes)
        piece *= 2;
    const size_t up = (bytes + piece - 1) / piece * piece;
    return info->max_buffer && up > info->max_buffer ? bytes : up;
}

/* Memory of the device from where the context takes memory. */
static cl_mem take(kcl_context *c, cl_mem_flags flags, size_t bytes, const void *host, cl_int *code)
{
    if (host || !c->source.allocate)
        return c->device->cl.clCreateBuffer(c->device->context, flags, bytes, (void *)(uintptr_t)host, code);
    cl_mem mem = (cl_mem)c->source.allocate(c->source.user, bytes);
    *code = mem ? CL_SUCCESS : CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return mem;
}

static void give_back(kcl_context *c, const kd_buffer *b)
{
    if (b->is_own && c->source.release)
        c->source.release(c->source.user, (void *)b->mem);
    else
        c->device->cl.clReleaseMemObject(b->mem);
}

/* `forked`: kd_forked(), a system call. Calls that have passed kd_enter do not ask again for every buffer. */
static void release_at(kcl_context *c, size_t index, bool forked)
{
    kd_buffer *b = c->buffers[index];
    c->buffers[index] = c->buffers[--c->buffer_count];
    if (!forked)
        give_back(c, b);
    kb_free(&c->allocator, b);
}

static uint64_t bytes_in_use(const kcl_context *c)
{
    uint64_t bytes = 0;
    for (size_t k = 0; k < c->buffer_count; k++)
        if (c->buffers[k]->is_own)
            bytes += c->buffers[k]->capacity;
    return bytes;
}

/*
 * Releases idle buffers, the oldest first, until at most `count` buffers with at most `bytes` together are left, beside
 * those that stay.
 */
static void trim_idle(kcl_context *c, size_t count, uint64_t bytes)
{
    for (;;) {
        size_t idle = 0, oldest = 0;
        uint64_t idle_bytes = 0;
        for (size_t k = 0; k < c->buffer_count; k++) {
            if (!c->buffers[k]->idle || c->buffers[k]->is_pinned)
                continue;
            if (!idle++ || c->buffers[k]->serial < c->buffers[oldest]->serial)
                oldest = k;
            idle_bytes += c->buffers[k]->capacity;
        }
        if (idle <= count && idle_bytes <= bytes)
            return;
        release_at(c, oldest, kd_forked());
    }
}

/* Memory that others gave is wanted back: what waits is small, so that scalars need no allocation a call. */
static uint64_t most_idle_bytes(const kcl_context *c)
{
    return c->source.allocate ? (uint64_t)1 << 20 : c->device->info.memory / 8;
}

static void rest(kd_buffer *b)
{
    b->host = NULL;
    b->is_output = b->is_kept = false;
    b->idle = true;
}

static void make_idle(kcl_context *c, kd_buffer *b)
{
    rest(b);
    trim_idle(c, MOST_IDLE, most_idle_bytes(c));
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
    uint64_t held = bytes_in_use(c);
    return kb_fail(&c->error, KCL_ERROR_DEVICE_MEMORY,
                   "clCreateBuffer failed: %s (%d) on device %s \"%s\": %zu bytes were requested; of its %" PRIu64
                   " bytes this context holds %" PRIu64 ", at most %" PRIu64 " are available, and %" PRIu64
                   " in one buffer: %s",
                   kd_cl_error_name(code), (int)code, info->id, info->name, bytes, info->memory, held,
                   info->memory - KB_MIN(held, info->memory), info->max_buffer, advice);
}

static bool means_memory(cl_int code)
{
    return code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES || code == CL_INVALID_BUFFER_SIZE;
}

/* Drivers that allocate late report the failure from any command. The command works on `bytes`, 0: not known. */
static kcl_status command_failed(kcl_context *c, const char *call, cl_int code, uint64_t bytes, const char *what)
{
    const kcl_device_info *info = &c->device->info;
    char more[640], size[96] = "work started before needs more memory, or more of something else,";
    if (!means_memory(code))
        return kd_cl_fail(&c->error, info, call, code, what);
    uint64_t held = bytes_in_use(c);
    if (bytes)
        snprintf(size, sizeof size, "%" PRIu64 " bytes were requested, more", bytes);
    snprintf(more, sizeof more,
             "%s: %s than the device has left; of its %" PRIu64 " bytes this context holds %" PRIu64
             ", at most %" PRIu64 " are available",
             what, size, info->memory, held, info->memory - KB_MIN(held, info->memory));
    kd_cl_fail(&c->error, info, call, code, more);
    return c->error.status = KCL_ERROR_DEVICE_MEMORY;
}

/*
 * Whether a command may be tried again, since memory that waited for reuse was given back. Drivers let go of memory
 * when the work that uses it is done.
 */
static bool made_memory(kcl_context *c, cl_int code)
{
    size_t idle = 0;
    if (!means_memory(code))
        return false;
    for (size_t k = 0; k < c->buffer_count; k++)
        idle += c->buffers[k]->idle && !c->buffers[k]->is_pinned;
    if (!idle || c->device->cl.clFinish(c->queue))
        return false;
    trim_idle(c, 0, 0);
    return true;
}

/* A buffer on `bytes` of `host` memory (not copied), or, for NULL as `host`, a buffer with `capacity` on the device. */
static kcl_status new_buffer(kcl_context *c, size_t bytes, size_t capacity, const void *host, kd_buffer **buffer)
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
    b->mem = take(c, flags, capacity, host, &code);
    if (!b->mem && made_memory(c, code)) {
        code = CL_SUCCESS;
        b->mem = take(c, flags, capacity, host, &code);
    }
    if (!b->mem) {
        kb_free(&c->allocator, b);
        return means_memory(code) ? no_device_memory(c, bytes, code)
                                  : kd_cl_fail(&c->error, &d->info, "clCreateBuffer", code, NULL);
    }
    b->serial = ++c->last_serial;
    b->size = bytes;
    b->capacity = capacity;
    b->is_own = !host;
    c->buffers[c->buffer_count++] = b;
    *buffer = b;
    return KCL_OK;
}

/* Work on an idle buffer may still be running: what comes next is done after that work. */
static kcl_status device_buffer(kcl_context *c, size_t bytes, kd_buffer **buffer)
{
    const size_t capacity = rounded(&c->device->info, bytes);
    kcl_status status = KCL_OK;
    *buffer = NULL;
    for (size_t k = 0; k < c->buffer_count && !*buffer; k++)
        if (c->buffers[k]->idle && c->buffers[k]->capacity == capacity)
            *buffer = c->buffers[k];
    if (!*buffer)
        status = new_buffer(c, bytes, capacity, NULL, buffer);
    if (status < 0)
        return status;
    (*buffer)->idle = false;
    (*buffer)->size = bytes;
    return KCL_OK;
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
    const bool forked = kd_forked();
    while (c->buffer_count)
        release_at(c, c->buffer_count - 1, forked);
    free_kept(c);
    kb_free(&c->allocator, c->buffers);
    c->buffers = NULL;
    c->buffer_capacity = 0;
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

static kcl_status write_buffer(kcl_context *c, kd_buffer *b, size_t offset, const void *from, size_t bytes)
{
    cl_int code;
    do
        code = c->device->cl.clEnqueueWriteBuffer(c->queue, b->mem, CL_FALSE, offset, bytes, from, 0, NULL, NULL);
    while (code && made_memory(c, code));
    return code ? command_failed(c, "clEnqueueWriteBuffer", code, bytes, "") : KCL_OK;
}

static kcl_status read_buffer(kcl_context *c, kd_buffer *b, size_t offset, void *to, size_t bytes)
{
    cl_int code = c->device->cl.clEnqueueReadBuffer(c->queue, b->mem, CL_FALSE, offset, bytes, to, 0, NULL, NULL);
    return code ? command_failed(c, "clEnqueueReadBuffer", code, bytes, "") : KCL_OK;
}

const void *kd_keep_copy(kcl_context *c, const void *data, size_t bytes)
{
    kd_kept *kept = kb_alloc(&c->allocator, sizeof *kept + bytes);
    if (!kept)
        return NULL;
    kept->next = c->kept;
    c->kept = kept;
    c->kept_bytes += sizeof *kept + bytes;
    memcpy(kept->data, data, bytes);
    return kept->data;
}

static void free_kept(kcl_context *c)
{
    while (c->kept) {
        kd_kept *next = c->kept->next;
        kb_free(&c->allocator, c->kept);
        c->kept = next;
    }
    c->kept_bytes = 0;
}

/* ---- Launches ---------------------------------------------------------------------------------------------------- */

/*
 * Host memory is given a new buffer in each submission: its contents may change between submissions, and it may be
 * freed. A buffer that works in place costs a third of a microsecond to make. Drivers that copy get their buffers from
 * the idle ones.
 */
static kcl_status host_buffer(kcl_context *c, const kd_arg *arg, kd_buffer **buffer)
{
    kd_buffer *b = NULL;
    for (size_t k = 0; k < c->buffer_count && !b; k++)
        if (c->buffers[k]->host == arg->data && c->buffers[k]->size == arg->size)
            b = c->buffers[k];
    if (!b) {
        bool keep = arg->kind == KD_ARG_HOST_COPY, copied = keep || c->device->sharing == KD_COPIED;
        kcl_status status =
            copied ? device_buffer(c, arg->size, &b) : new_buffer(c, arg->size, arg->size, arg->data, &b);
        if (status < 0)
            return status;
        if (copied && arg->kind != KD_ARG_HOST_OUT) {
            const void *from = keep ? kd_keep_copy(c, arg->data, arg->size) : arg->data;
            status = from ? write_buffer(c, b, 0, from, arg->size) : kb_no_memory(&c->error);
        }
        if (status < 0) {
            make_idle(c, b);
            return status;
        }
        b->host = arg->data;
        b->is_kept = keep;
    }
    b->is_output |= arg->kind == KD_ARG_HOST_OUT || arg->kind == KD_ARG_HOST_BOTH;
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
        b->is_pinned |= c->is_captured && !c->source.allocate; /* memory that others lend is theirs to keep */
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

/* What the arguments of a kernel that are this buffer add to the bytes that the kernel works on. */
static uint64_t bytes_of_args(const kd_kernel *k, int arg_count, const kd_buffer *b)
{
    uint64_t bytes = 0;
    for (int a = 0; a < arg_count; a++)
        bytes += k->saved[a].serial == b->serial ? b->size : 0;
    return bytes;
}

static kcl_status start(kcl_context *c, kd_kernel *k, int arg_count, const kd_arg *args, const size_t global[3],
                        const size_t local[3])
{
    kcl_device *d = c->device;
    c->is_captured = c->is_cuda && kd_cuda_captures(c->queue);
    if (c->is_captured)
        atomic_store(&k->program->is_pinned, true);
    kcl_status status = make_room(c, k, arg_count);
    for (int a = 0; status >= 0 && a < arg_count; a++)
        status = set_arg(c, k, a, &args[a]);
    if (status < 0 || !global[0] || !global[1] || !global[2])
        return status;
    cl_event event = NULL;
    cl_int code;
    do
        code = d->cl.clEnqueueNDRangeKernel(c->queue, k->kernel, 3, NULL, global, local, 0, NULL,
                                            d->takes_turns ? &event : NULL);
    while (code && made_memory(c, code));
    kd_note_last(c, event);
    if (code) {
        char what[256];
        uint64_t bytes = 0;
        snprintf(what, sizeof what, ", kernel %.60s, %zu x %zu x %zu work-items in groups of %zu x %zu x %zu", k->name,
                 global[0], global[1], global[2], local[0], local[1], local[2]);
        /* A stale binary shows its fault here at the latest. */
        if (atomic_load(&k->program->loaded))
            kd_drop_entry(c, k->program);
        bool shared = local[0] * local[1] * local[2] > 1;
        if (code == CL_INVALID_WORK_GROUP_SIZE || (shared && code == CL_OUT_OF_RESOURCES)) {
            kd_cl_fail(&c->error, &d->info, "clEnqueueNDRangeKernel", code, what);
            return c->error.status = KCL_ERROR_UNSUPPORTED;
        }
        for (size_t n = 0; n < c->buffer_count; n++)
            bytes += c->buffers[n]->idle ? 0 : bytes_of_args(k, arg_count, c->buffers[n]);
        for (const kcl_memory *m = c->memories; m; m = m->next)
            bytes += m->is_foreign ? bytes_of_args(k, arg_count, m->buffer) : 0;
        return command_failed(c, "clEnqueueNDRangeKernel", code, bytes, what);
    }
    k->last_launch = ++c->launches;
    c->save_pending |= atomic_load_explicit(&k->program->unsaved, memory_order_relaxed);
    c->stats.launches++;
    return KCL_OK;
}

void kd_note_last(kcl_context *c, cl_event event)
{
    if (!event)
        return;
    if (c->last || !c->device->takes_turns)
        c->device->cl.clReleaseEvent(c->device->takes_turns ? c->last : event);
    if (c->device->takes_turns)
        c->last = event;
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
 * Submissions to a PoCL device take turns: each uses all processors anyway.
 */
bool kd_take_turn(kcl_context *c)
{
    if (!c->device->takes_turns || c->holds_turn)
        return false;
    pthread_mutex_lock(&c->device->turn);
    c->holds_turn = true;
    return true;
}

void kd_end_turn(kcl_context *c)
{
    if (!c->holds_turn)
        return;
    c->holds_turn = false;
    pthread_mutex_unlock(&c->device->turn);
}

/* A failure ends the submission. */
static bool wait_for_queue(kcl_context *c)
{
    cl_int code = c->device->cl.clFinish(c->queue);
    c->finished_launches = c->launches;
    c->in_flight = 0;
    if (code && c->submission_status >= 0)
        c->submission_status = command_failed(c, "clFinish", code, 0, "");
    return !code;
}

bool kd_wait_for_kernel(kcl_context *c, const kd_kernel *k)
{
    if (k->last_launch <= c->finished_launches)
        return true;
    return wait_for_queue(c);
}

kcl_status kd_wait_for_queue(kcl_context *c)
{
    wait_for_queue(c);
    return c->submission_status;
}

kcl_status kd_wait(kcl_context *c)
{
    if (!c->device->host && c->launches > c->finished_launches)
        wait_for_queue(c);
    return c->submission_status;
}

void kd_drop_idle_buffers(kcl_context *c)
{
    trim_idle(c, 0, 0);
}

bool kd_is_captured(const kcl_context *c)
{
    return c->source.allocate && kd_cuda_captures(c->queue);
}

bool kd_holds_much(const kcl_context *c)
{
    return c->source.allocate && bytes_in_use(c) > most_idle_bytes(c);
}

kcl_status kd_launch(kcl_context *c, kd_kernel *k, int arg_count, const kd_arg *args, const size_t global[3],
                     const size_t local[3])
{
    if (c->log.write && !c->batch_launches++)
        c->batch_start = kb_seconds();
    kd_take_turn(c);
    kcl_status status = start(c, k, arg_count, args, global, local);
    if (status < 0 && status != KCL_ERROR_UNSUPPORTED && c->submission_status >= 0)
        c->submission_status = status;
    kb_log_line(&c->log, "launch %s: %zu x %zu x %zu work-items in groups of %zu x %zu x %zu", k->name, global[0],
                global[1], global[2], local[0], local[1], local[2]);
    return status;
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

/*
 * Asks for what must be done before host memory holds the results. In place, waiting is all: a map and its unmapping
 * would be two more commands for the driver's threads, which cost 30 microseconds on PoCL.
 */
static kcl_status fetch_outputs(kcl_context *c)
{
    kcl_device *d = c->device;
    for (size_t k = 0; k < c->buffer_count; k++) {
        kd_buffer *b = c->buffers[k];
        cl_int code = 0;
        if (!b->host || !b->is_output)
            continue;
        if (b->is_own) {
            kcl_status status = read_buffer(c, b, 0, (void *)(uintptr_t)b->host, b->size);
            if (status < 0)
                return status;
        } else if (d->sharing == KD_MAPPED) {
            void *at =
                d->cl.clEnqueueMapBuffer(c->queue, b->mem, CL_FALSE, CL_MAP_READ, 0, b->size, 0, NULL, NULL, &code);
            if (at && !code)
                code = d->cl.clEnqueueUnmapMemObject(c->queue, b->mem, at, 0, NULL, NULL);
            if (!at || code)
                return command_failed(c, at ? "clEnqueueUnmapMemObject" : "clEnqueueMapBuffer", code, b->size, "");
        }
    }
    return KCL_OK;
}

/* Lets go of the host's memory. */
static void end_submission(kcl_context *c)
{
    for (size_t k = c->buffer_count; k-- > 0;) {
        kd_buffer *b = c->buffers[k];
        if (!b->host)
            continue;
        if (b->is_own)
            rest(b);
        else
            release_at(c, k, false);
    }
    trim_idle(c, MOST_IDLE, most_idle_bytes(c));
    c->submission_status = KCL_OK;
    c->batch_launches = 0;
}

/* Starts a copy between host memory and a buffer, as part of the submission. */
static kcl_status start_copy(kcl_context *c, kd_buffer *b, size_t offset, const void *from, void *to, size_t bytes)
{
    if (c->log.write && !c->batch_launches++)
        c->batch_start = kb_seconds();
    kd_take_turn(c);
    kcl_status status = !bytes ? KCL_OK
                        : from ? write_buffer(c, b, offset, from, bytes)
                               : read_buffer(c, b, offset, to, bytes);
    if (status < 0 && c->submission_status >= 0)
        c->submission_status = status;
    kb_log_line(&c->log, "copy %s the device: %zu bytes", from ? "to" : "from", bytes);
    return status;
}

kcl_status kd_write(kcl_context *c, kd_buffer *buffer, size_t offset, const void *from, size_t bytes)
{
    return start_copy(c, buffer, offset, from, NULL, bytes);
}

kcl_status kd_read(kcl_context *c, kd_buffer *buffer, size_t offset, void *to, size_t bytes)
{
    return start_copy(c, buffer, offset, NULL, to, bytes);
}

kcl_status kd_finish(kcl_context *c)
{
    kcl_device *d = c->device;
    if (d->host)
        return KCL_OK;
    kcl_status status = c->submission_status;
    if (status >= 0)
        status = fetch_outputs(c);
    cl_int code = d->cl.clFinish(c->queue);
    if (code && status >= 0)
        status = command_failed(c, "clFinish", code, 0, "");
    c->finished_launches = c->launches;
    c->in_flight = 0;
    if (c->batch_launches)
        kb_log_line(&c->log, "run: %d commands, %.6f s", c->batch_launches, kb_seconds() - c->batch_start);
    free_kept(c);
    end_submission(c);
    if (c->save_pending && status >= 0)
        kd_save_programs(c);
    kd_disk_unlock(c);
    kd_end_turn(c);
    return status;
}

kcl_status kd_submit(kcl_context *c)
{
    enum { MOST_KEPT = 1 << 20 }; /* bytes of copies that wait for the device */
    kcl_device *d = c->device;
    /* A program that others wait for is kept on disk once it has run. */
    bool waits = kd_always_waits(c) || c->submission_status < 0 || c->kept_bytes > MOST_KEPT || c->locks;
    for (size_t k = 0; k < c->buffer_count; k++)
        waits |= c->buffers[k]->host && !c->buffers[k]->is_kept;
    if (waits)
        return kd_finish(c);
    cl_int code = d->cl.clFlush(c->queue);
    if (code) {
        c->submission_status = command_failed(c, "clFlush", code, 0, "");
        return kd_finish(c);
    }
    end_submission(c);
    return KCL_OK;
}
