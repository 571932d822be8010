/* SPDX-License-Identifier: MIT */
/* tests/device/fake_cuda/stream.c: streams with a thread each, events, captures. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "simulation.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static fc_stream *streams; /* all that were ever made */
static fc_graph *graphs;   /* finished captures; an executable graph is the graph */
static _Thread_local int capture_mode;

enum { RELAXED = 2 };

typedef struct fc_event {
    struct fc_event *next;
    fc_stream *stream; /* NULL: not recorded */
    uint64_t count;
} fc_event;

static fc_event *events;

/* ---- The thread of a stream -------------------------------------------------------------------------------------- */

static bool is_ready(const fc_task *task)
{
    for (size_t k = 0; k < task->wait_count; k++)
        if (task->waits[k].stream->done < task->waits[k].count)
            return false;
    return true;
}

static void pause_for(int microseconds)
{
    const struct timespec pause = {microseconds / 1000000, (long)(microseconds % 1000000) * 1000};
    if (microseconds > 0)
        nanosleep(&pause, NULL);
}

/* Memory that was there when the command was given may have been freed since. */
static cu_result copy(const fc_context *context, const fc_task *task)
{
    unsigned char *to = task->to ? fc_find(context, task->to, task->bytes, NULL) : task->host;
    const unsigned char *from = task->from ? fc_find(context, task->from, task->bytes, NULL) : task->host;
    if (!to || (!from && task->kind != FC_SET))
        return CU_ILLEGAL_ADDRESS;
    if (task->kind == FC_SET)
        for (size_t k = 0; k < task->bytes; k += sizeof task->value)
            memcpy(to + k, &task->value, sizeof task->value);
    else
        memmove(to, from, task->bytes);
    return CU_SUCCESS;
}

/* With the lock of the world, which is let go while a kernel runs. */
static void run(fc_stream *s, fc_task *task)
{
    cu_result code = CU_SUCCESS;
    if (task->kind == FC_FREE) {
        fc_release(task->to);
    } else if (task->kind == FC_LAUNCH) {
        pthread_mutex_unlock(&fc_world);
        code = fc_run_kernel(task);
        pthread_mutex_lock(&fc_world);
        task->function->module->pending--;
    } else if (task->kind != FC_WAIT) {
        code = copy(s->context, task);
    }
    if (code && !s->context->sick)
        s->context->sick = code;
}

static void *serve(void *stream)
{
    fc_stream *s = stream;
    pthread_mutex_lock(&fc_world);
    for (;;) {
        fc_task *task = s->first;
        if (!task && s->is_closed)
            break;
        if (!task || !is_ready(task)) {
            pthread_cond_wait(&fc_changed, &fc_world);
            continue;
        }
        const int delay = fake_cuda.delay;
        if (delay) {
            pthread_mutex_unlock(&fc_world);
            pause_for(delay);
            pthread_mutex_lock(&fc_world);
        }
        run(s, task);
        if (!(s->first = task->next))
            s->last = &s->first;
        free(task->waits);
        free(task);
        s->done++;
        pthread_cond_broadcast(&fc_changed);
    }
    pthread_mutex_unlock(&fc_world);
    return NULL;
}

static fc_stream *start(fc_context *context, bool is_blocking)
{
    fc_stream *s = calloc(1, sizeof *s);
    *s = (fc_stream){.next = streams, .context = context, .is_blocking = is_blocking};
    s->last = &s->first;
    if (pthread_create(&s->thread, NULL, serve, s)) {
        free(s);
        return NULL;
    }
    pthread_detach(s->thread);
    return streams = s;
}

fc_stream *fc_stream_of(fc_context *context, void *handle)
{
    static void *const legacy = (void *)1, *const per_thread = (void *)2;
    if (!handle || handle == legacy)
        return context->legacy ? context->legacy : (context->legacy = start(context, false));
    if (handle == per_thread)
        return context->per_thread ? context->per_thread : (context->per_thread = start(context, true));
    for (fc_stream *s = streams; s; s = s->next)
        if (s == handle)
            return s->is_closed || s->context != context ? NULL : s;
    return NULL;
}

void fc_wait_for_stream(fc_stream *s, uint64_t count)
{
    while (s->done < count)
        pthread_cond_wait(&fc_changed, &fc_world);
}

void fc_wait_for_context(fc_context *context)
{
    for (fc_stream *s = streams; s; s = s->next)
        if (s->context == context)
            fc_wait_for_stream(s, s->given);
}

/* The threads must not work on while the process takes itself apart. */
__attribute__((destructor)) static void end_streams(void)
{
    pthread_mutex_lock(&fc_world);
    for (fc_stream *s = streams; s; s = s->next)
        fc_wait_for_stream(s, s->given);
    pthread_mutex_unlock(&fc_world);
}

/* ---- Giving commands --------------------------------------------------------------------------------------------- */

static void add_wait(fc_task *task, fc_stream *stream, uint64_t count)
{
    if (!stream || stream->done >= count)
        return;
    task->waits = realloc(task->waits, (task->wait_count + 1) * sizeof *task->waits);
    task->waits[task->wait_count++] = (struct fc_wait){stream, count};
}

static fc_task *copy_of(const fc_task *task)
{
    fc_task *t = malloc(sizeof *t);
    *t = *task;
    t->next = NULL;
    t->waits = NULL;
    t->wait_count = 0;
    for (size_t k = 0; k < task->wait_count; k++)
        add_wait(t, task->waits[k].stream, task->waits[k].count);
    return t;
}

cu_result fc_give(fc_stream *s, const fc_task *task)
{
    fc_task *t = copy_of(task);
    fc_context *context = s->context;
    if (s->capture) {
        *s->capture->last = t;
        s->capture->last = &t->next;
        return s->is_spoilt ? CU_CAPTURE_INVALIDATED : CU_SUCCESS;
    }
    if (s == context->legacy) {
        for (fc_stream *other = streams; other; other = other->next)
            if (other->context == context && other->is_blocking)
                add_wait(t, other, other->given);
    } else if (s->is_blocking && context->legacy) {
        add_wait(t, context->legacy, context->legacy->given);
    }
    if (t->kind == FC_LAUNCH)
        t->function->module->pending++;
    *s->last = t;
    s->last = &t->next;
    s->given++;
    pthread_cond_broadcast(&fc_changed);
    return CU_SUCCESS;
}

/* ---- Calls about streams ----------------------------------------------------------------------------------------- */

static cu_result begin_on(const char *call, void *handle, fc_stream **s)
{
    fc_context *context;
    cu_result code = fc_begin_in(call, &context);
    *s = code ? NULL : fc_stream_of(context, handle);
    return code ? code : *s ? CU_SUCCESS : CU_INVALID_HANDLE;
}

FC_EXPORT cu_result cuStreamCreate(void **stream, unsigned flags)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    if (!code && (!stream || flags > 1))
        code = CU_INVALID_VALUE;
    if (!code) {
        *stream = start(context, !flags);
        fake_cuda.live_streams += *stream != NULL;
        code = *stream ? CU_SUCCESS : CU_OUT_OF_MEMORY;
    }
    return fc_end(code);
}

/* Work that was given before is done all the same. */
FC_EXPORT cu_result cuStreamDestroy_v2(void *stream)
{
    fc_stream *s;
    cu_result code = begin_on(__func__, stream, &s);
    if (!code && (s == s->context->legacy || s == s->context->per_thread))
        code = CU_INVALID_HANDLE;
    if (!code) {
        s->is_closed = true;
        fake_cuda.live_streams--;
        pthread_cond_broadcast(&fc_changed);
    }
    return fc_end(code);
}

/* A stream has one context, whatever context is current; the default streams are streams of the current one. */
FC_EXPORT cu_result cuStreamGetCtx(void *stream, void **context)
{
    cu_result code = fc_begin(__func__);
    const fc_stream *s = streams;
    while (s && (s != stream || s->is_closed))
        s = s->next;
    if (!code)
        *context = s ? s->context : (uintptr_t)stream <= 2 ? fc_current() : NULL;
    return fc_end(code ? code : *context ? CU_SUCCESS : CU_INVALID_CONTEXT);
}

FC_EXPORT cu_result cuStreamQuery(void *stream)
{
    fc_stream *s;
    cu_result code = begin_on(__func__, stream, &s);
    if (!code && s->capture) {
        s->is_spoilt = true;
        code = CU_CAPTURE_UNSUPPORTED;
    }
    return fc_end(code ? code : s->done < s->given ? CU_NOT_READY : s->context->sick);
}

FC_EXPORT cu_result cuStreamSynchronize(void *stream)
{
    fc_stream *s;
    cu_result code = begin_on(__func__, stream, &s);
    if (!code && s->capture) {
        s->is_spoilt = true;
        code = CU_CAPTURE_UNSUPPORTED;
    }
    if (!code) {
        fake_cuda.waits++;
        fc_log("cuStreamSynchronize", stream, 0, 0);
        fc_wait_for_stream(s, s->given);
        code = s->context->sick;
    }
    return fc_end(code);
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

static fc_event **find_event(const void *handle)
{
    fc_event **link = &events;
    while (*link && *link != handle)
        link = &(*link)->next;
    return link;
}

FC_EXPORT cu_result cuEventCreate(void **event, unsigned flags)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    (void)flags;
    if (!code) {
        fc_event *e = calloc(1, sizeof *e);
        e->next = events;
        *event = events = e;
        fake_cuda.live_events++;
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuEventRecord(void *event, void *stream)
{
    fc_stream *s;
    cu_result code = begin_on(__func__, stream, &s);
    fc_event *e = *find_event(event);
    if (!code && !e)
        code = CU_INVALID_HANDLE;
    if (!code && !(code = fc_give(s, &(fc_task){.kind = FC_WAIT}))) {
        e->stream = s;
        e->count = s->given;
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuEventQuery(void *event)
{
    cu_result code = fc_begin(__func__);
    const fc_event *e = *find_event(event);
    if (!code && !e)
        code = CU_INVALID_HANDLE;
    if (!code && e->stream)
        code = e->stream->done < e->count ? CU_NOT_READY : e->stream->context->sick;
    return fc_end(code);
}

FC_EXPORT cu_result cuEventSynchronize(void *event)
{
    cu_result code = fc_begin(__func__);
    const fc_event *e = *find_event(event);
    if (!code && !e)
        code = CU_INVALID_HANDLE;
    if (!code && fc_is_forbidden())
        code = CU_CAPTURE_UNSUPPORTED;
    if (!code && e->stream) {
        fake_cuda.waits++;
        fc_wait_for_stream(e->stream, e->count);
        code = e->stream->context->sick;
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuStreamWaitEvent(void *stream, void *event, unsigned flags)
{
    fc_stream *s;
    cu_result code = begin_on(__func__, stream, &s);
    const fc_event *e = *find_event(event);
    (void)flags;
    if (!code && !e)
        code = CU_INVALID_HANDLE;
    if (!code && e->stream) {
        struct fc_wait wait = {e->stream, e->count};
        code = fc_give(s, &(fc_task){.kind = FC_WAIT, .waits = &wait, .wait_count = 1});
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuEventDestroy_v2(void *event)
{
    cu_result code = fc_begin(__func__);
    fc_event **link = find_event(event), *e = *link;
    if (!code && !e)
        code = CU_INVALID_HANDLE;
    if (!code) {
        *link = e->next;
        free(e);
        fake_cuda.live_events--;
    }
    return fc_end(code);
}

/* ---- Captures: one stream each ----------------------------------------------------------------------------------- */

FC_EXPORT cu_result cuThreadExchangeStreamCaptureMode(int *mode)
{
    cu_result code = fc_begin(__func__);
    if (!code && (!mode || *mode < 0 || *mode > RELAXED))
        code = CU_INVALID_VALUE;
    if (!code) {
        const int before = capture_mode;
        capture_mode = *mode;
        *mode = before;
    }
    return fc_end(code);
}

bool fc_is_forbidden(void)
{
    bool forbids = false;
    for (fc_stream *s = streams; s && capture_mode != RELAXED; s = s->next)
        if (s->capture && s->capture_mode != RELAXED)
            forbids = s->is_spoilt = true;
    return forbids;
}

FC_EXPORT cu_result cuStreamIsCapturing(void *stream, int *status)
{
    fc_stream *s;
    cu_result code = begin_on(__func__, stream, &s);
    if (!code)
        *status = !s->capture ? 0 : s->is_spoilt ? 2 : 1;
    return fc_end(code);
}

FC_EXPORT cu_result cuStreamBeginCapture_v2(void *stream, int mode)
{
    fc_stream *s;
    cu_result code = begin_on(__func__, stream, &s);
    if (!code && (s->capture || s == s->context->legacy))
        code = CU_CAPTURE_UNSUPPORTED;
    if (!code) {
        fc_graph *g = calloc(1, sizeof *g);
        g->context = s->context;
        g->last = &g->first;
        g->next = graphs;
        graphs = s->capture = g;
        s->capture_mode = mode;
        s->is_spoilt = false;
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuStreamEndCapture(void *stream, void **graph)
{
    fc_stream *s;
    cu_result code = begin_on(__func__, stream, &s);
    *graph = NULL;
    if (!code && !s->capture)
        code = CU_INVALID_VALUE;
    if (!code) {
        *graph = s->is_spoilt ? NULL : s->capture;
        code = s->is_spoilt ? CU_CAPTURE_INVALIDATED : CU_SUCCESS;
        s->capture = NULL;
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags)
{
    (void)flags;
    cu_result code = fc_begin(__func__);
    *executable = graph;
    return fc_end(code ? code : graph ? CU_SUCCESS : CU_INVALID_VALUE);
}

FC_EXPORT cu_result cuGraphLaunch(void *executable, void *stream)
{
    fc_stream *s;
    cu_result code = begin_on(__func__, stream, &s);
    const fc_graph *g = executable;
    for (const fc_task *t = code ? NULL : g->first; t && !code; t = t->next)
        code = t->kind == FC_LAUNCH && !fc_is_function(t->function) ? CU_INVALID_HANDLE : fc_give(s, t);
    return fc_end(code);
}

/* Tasks of graphs stay for as long as the process lives. */
FC_EXPORT cu_result cuGraphDestroy(void *graph)
{
    cu_result code = fc_begin(__func__);
    return fc_end(code ? code : graph ? CU_SUCCESS : CU_INVALID_VALUE);
}

FC_EXPORT cu_result cuGraphExecDestroy(void *executable)
{
    return cuGraphDestroy(executable);
}
