/* SPDX-License-Identifier: MIT */
/* device/context.c: devices that are opened, contexts on them, their errors. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Devices ----------------------------------------------------------------------------------------------------- */

static void open_host(kcl_device *d, const kd_settings *settings)
{
    d->host = true;
    d->threads = settings->threads ? settings->threads : kb_processors();
    kd_host_info(&d->info, d->threads);
    /* Figures of an ordinary CPU, for a layer above that plans without asking for which device. */
    d->caps = (kp_caps){.device_class = KP_CPU,
                        .lanes_f32 = 8,
                        .lanes_f64 = 4,
                        .vector_registers = 16,
                        .compute_units = kb_processors(),
                        .max_work_group = 1,
                        .local_memory = 32768,
                        .private_memory = (size_t)1 << 20,
                        .max_groups = 65535,
                        .has_f64 = true};
}

static kd_sharing sharing_of(const kcl_device_info *info)
{
    if (strcmp(info->type, "cpu") != 0)
        return KD_COPIED;
    /* PoCL's drivers for the machine that PoCL runs on; other drivers (remote, accelerators) move data. */
    static const char *const local_drivers[] = {"pthread", "basic", "cpu"};
    for (size_t k = 0; k < KB_COUNT(local_drivers); k++)
        if (kd_is_pocl(info->platform) && strncmp(info->name, local_drivers[k], strlen(local_drivers[k])) == 0)
            return KD_IN_PLACE;
    return KD_MAPPED;
}

/* Takes a part of a CPU if fewer threads are wanted than the CPU has. A device that cannot be divided is used whole. */
static void limit_threads(kcl_device *d, const kd_settings *settings, const kb_log *log)
{
    int units = d->info.compute_units;
    d->threads = units;
    if (!settings->threads || settings->threads >= units || strcmp(d->info.type, "cpu") != 0)
        return;
    const cl_device_partition_property part[] = {CL_DEVICE_PARTITION_BY_COUNTS, settings->threads,
                                                 CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id id = NULL;
    cl_uint count = 0;
    cl_int code = d->cl.clCreateSubDevices(d->id, part, 1, &id, &count);
    if (code || !id) {
        kb_log_line(log, "%s=%d has no effect: clCreateSubDevices failed: %s (%d); device %s uses %d threads",
                    settings->threads_source, settings->threads, kd_cl_error_name(code), (int)code, d->info.id, units);
        return;
    }
    d->id = id;
    d->is_part = true;
    d->threads = settings->threads;
}

/*
 * Seconds that a process waits for a kernel that another process builds and runs for the first time. Most kernels are
 * built in less than a second, but on a machine that is busy with the builds of others all builds take longer.
 */
enum { LONGEST_WAIT = 30 };

/* All but the context. */
static kcl_status prepare(kcl_device *d, const kd_candidate *c, const kd_settings *settings, kb_error *err)
{
    d->id = c->id;
    d->info = c->info;
    memcpy(d->platform_version, c->platform_version, sizeof d->platform_version);
    memcpy(d->device_version, c->device_version, sizeof d->device_version);
    memcpy(d->cache_dir, settings->cache_dir, sizeof d->cache_dir);
    d->leaves_to_driver = !settings->names_cache_dir && kd_is_pocl(d->info.platform) && kd_pocl_keeps();
    d->longest_wait = LONGEST_WAIT;
    d->sharing = sharing_of(&d->info);
    d->takes_turns = d->sharing == KD_IN_PLACE;
    d->tells_registers = kd_is_cuda(d->info.platform) || strncmp(d->info.platform, "NVIDIA", 6) == 0;
    d->build_options = d->tells_registers ? "-cl-std=CL1.2 -cl-nv-verbose" : "-cl-std=CL1.2";
    if (pthread_mutex_init(&d->lock, NULL) != 0)
        return kb_no_memory(err);
    d->has_lock = true;
    if (pthread_mutex_init(&d->turn, NULL) != 0)
        return kb_no_memory(err);
    d->has_turn = true;
    cl_int code = kd_fill_caps(&d->caps, &d->cl, d->id, &d->info);
    return code ? kd_cl_fail(err, &d->info, "clGetDeviceInfo", code, NULL) : KCL_OK;
}

static kcl_status open_chosen(kcl_device *d, const kd_candidate *c, const kd_settings *settings, const kb_log *log,
                              kb_error *err)
{
    cl_int code;
    kcl_status status = prepare(d, c, settings, err);
    if (status < 0)
        return status;
    limit_threads(d, settings, log);
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)c->platform, 0};
    d->context = d->cl.clCreateContext(properties, 1, &d->id, NULL, NULL, &code);
    if (!d->context)
        return kd_cl_fail(err, &d->info, "clCreateContext", code,
                          "; KEOPSCL_DEVICE chooses another device, KEOPSCL_DEVICE=host needs no driver");
    return KCL_OK;
}

kcl_status kd_refuse_fork(kb_error *err)
{
    return !kd_forked() ? KCL_OK
                        : kb_fail(err, KCL_ERROR_FORKED,
                                  "this process was forked after OpenCL was used, and OpenCL drivers do not survive "
                                  "that: fork before the first context, or use KEOPSCL_DEVICE=host");
}

static kcl_status open_opencl(kcl_device *d, const kd_settings *settings, const kb_log *log, kb_error *err)
{
    kd_candidates list;
    const kd_candidate *chosen;
    kd_mark_use();
    kcl_status status = kd_list(&list, &d->cl, &d->allocator, log, err);
    if (status < 0)
        return status;
    status = kd_choose(&chosen, &list, settings, log, err);
    if (status >= 0 && !chosen)
        open_host(d, settings);
    else if (status >= 0)
        status = open_chosen(d, chosen, settings, log, err);
    kd_list_finish(&list);
    return status;
}

/* Without CUDA's driver the card is used by OpenCL, to which arrays of the host are the same. */
static kcl_status open_cuda(kcl_device *d, const kd_settings *settings, const kb_log *log, kb_error *err)
{
    kd_settings instead = *settings;
    kb_error why, other;
    if (kd_open_cuda(&d->cl, &why) >= 0)
        return open_opencl(d, settings, log, err);
    instead.device = "NVIDIA";
    if (kd_open_loader(&d->cl, NULL, &other) >= 0 && open_opencl(d, &instead, log, &other) >= 0) {
        kb_log_line(log, "%s=\"%s\": %s; OpenCL's device is used", settings->device_source, settings->device, why.text);
        return KCL_OK;
    }
    return kb_fail(err, KCL_ERROR_NO_DEVICE, "%s=\"%s\" names no device: %.1200s; OpenCL cannot serve instead: %.1200s",
                   settings->device_source, settings->device, why.text, other.text);
}

static kcl_device *new_device(const kd_settings *settings, const kcl_allocator *allocator)
{
    kcl_device *d = kb_calloc(allocator, 1, sizeof *d);
    if (!d)
        return NULL;
    atomic_init(&d->references, 1);
    d->allocator = *allocator;
    memcpy(d->dump_dir, settings->dump_dir, sizeof d->dump_dir);
    d->most_programs = (size_t)settings->programs;
    return d;
}

/* Hands the device out, or releases it if it could not be opened. */
static kcl_status hand_out(kcl_device **device, kcl_device *d, kcl_status status, const kb_log *log)
{
    if (status < 0) {
        kd_device_release(d);
        return status;
    }
    kb_log_line(log, "device %s: %s \"%s\" of platform \"%s\", driver %s, %d of %d compute units", d->info.id,
                d->info.type, d->info.name, d->info.platform, d->info.version, d->threads, d->info.compute_units);
    *device = d;
    return KCL_OK;
}

kcl_status kd_device_open(kcl_device **device, const kd_cl *cl, const kd_settings *settings,
                          const kcl_allocator *allocator, const kb_log *log, kb_error *err)
{
    kcl_device *d = new_device(settings, allocator);
    *device = NULL;
    if (!d)
        return kb_no_memory(err);
    kcl_status status = KCL_OK;
    if (kd_wants_host(settings)) {
        open_host(d, settings);
    } else if (kd_refuse_fork(err) < 0) {
        status = KCL_ERROR_FORKED;
    } else if (cl) {
        d->cl = *cl;
        status = open_opencl(d, settings, log, err);
    } else if (kd_wants_cuda(settings)) {
        status = open_cuda(d, settings, log, err);
    } else if (kd_open_loader(&d->cl, NULL, err) >= 0) {
        status = open_opencl(d, settings, log, err);
    } else if (*settings->device) {
        kb_error why = *err;
        status = kb_fail(err, KCL_ERROR_NO_DEVICE, "%s=\"%s\" names no device: %.2000s; only host can be used here",
                         settings->device_source, settings->device, why.text);
    } else {
        kb_log_line(log, "%s: the interpreter computes (KEOPSCL_DEVICE=host asks for it)", err->text);
        kb_error_clear(err);
        open_host(d, settings);
    }
    return hand_out(device, d, status, log);
}

kcl_status kd_device_open_given(kcl_device **device, const kd_cl *cl, const kd_given *given,
                                const kd_settings *settings, const kcl_allocator *allocator, const kb_log *log,
                                kb_error *err)
{
    kd_candidate found;
    kcl_device *d = new_device(settings, allocator);
    *device = NULL;
    if (!d)
        return kb_no_memory(err);
    d->cl = *cl;
    kcl_status status = kd_describe(&found, cl, given->platform, given->device, allocator, log, err);
    if (status >= 0)
        status = prepare(d, &found, settings, err);
    if (status >= 0) {
        d->context = given->context;
        d->threads = d->info.compute_units;
        if (settings->threads && settings->threads < d->threads)
            kb_log_line(log, "%s=%d has no effect on a device that was given: device %s uses %d threads",
                        settings->threads_source, settings->threads, d->info.id, d->threads);
    }
    return hand_out(device, d, status, log);
}

void kd_device_release(kcl_device *d)
{
    if (!d || atomic_fetch_sub(&d->references, 1) != 1)
        return;
    kd_programs_free(d);
    if (!kd_forked()) {
        if (d->clear_clblast)
            d->clear_clblast();
        if (d->context)
            d->cl.clReleaseContext(d->context);
        if (d->is_part)
            d->cl.clReleaseDevice(d->id);
        if (d->has_lock)
            pthread_mutex_destroy(&d->lock);
        if (d->has_turn)
            pthread_mutex_destroy(&d->turn);
    }
    kb_free(&d->allocator, d);
}

/* Adds the devices of a list to `infos`, as far as there is room, and to *count. */
static void put_usable(const kd_candidates *list, kcl_device_info *infos, int capacity, int *count)
{
    for (size_t k = 0; k < list->count; k++)
        if (!*list->items[k].problem && (*count)++ < capacity)
            infos[*count - 1] = list->items[k].info;
}

int kd_device_list_with(const kd_cl *cl, kcl_device_info *infos, int capacity)
{
    const kcl_allocator allocator = kb_allocator(NULL);
    const kb_log log = {0};
    kd_candidates list = {.allocator = allocator};
    kb_error err;
    kd_cl opened;
    int count = 0;
    const bool is_real = !cl; /* else a table of tests, which has nothing to do with CUDA */
    if (capacity < 0 || (capacity > 0 && !infos))
        return KCL_ERROR_ARGUMENT;
    if (kd_forked())
        return KCL_ERROR_FORKED;
    if (!cl && kd_open_loader(&opened, NULL, &err) >= 0)
        cl = &opened;
    if (cl) {
        kd_mark_use();
        kcl_status status = kd_list(&list, cl, &allocator, &log, &err);
        if (status < 0)
            return status;
    }
    put_usable(&list, infos, capacity, &count);
    kd_list_finish(&list);
    if (is_real && kd_open_cuda(&opened, &err) >= 0) {
        kcl_status status = kd_list(&list, &opened, &allocator, &log, &err);
        if (status < 0)
            return status;
        put_usable(&list, infos, capacity, &count);
        kd_list_finish(&list);
    }
    if (count++ < capacity)
        kd_host_info(&infos[count - 1], kb_processors());
    return count;
}

int kcl_device_list(kcl_device_info *infos, int capacity)
{
    return kd_device_list_with(NULL, infos, capacity);
}

/* ---- Contexts ---------------------------------------------------------------------------------------------------- */

static kcl_status check(const kcl_context *context)
{
    if (!context)
        return KCL_ERROR_ARGUMENT;
    if (context->dead)
        return context->error.status;
    if (!context->device->host && kd_forked())
        /* A context is never a constant object: its creators allocate it. */
        return kb_fail((kb_error *)&context->error, KCL_ERROR_FORKED,
                       "this process was forked after the context was made, and OpenCL drivers do not survive that: "
                       "fork before the first context is made");
    return KCL_OK;
}

kcl_status kd_enter(kcl_context *context)
{
    return check(context);
}

/* Refuses a missing place for what a call returns. */
static kcl_status check_place(const kcl_context *context, const char *call, const void *place)
{
    kcl_status status = check(context);
    return status < 0 || place ? status
                               : kb_fail((kb_error *)&context->error, KCL_ERROR_ARGUMENT,
                                         "%s: there is no place for what it tells (NULL)", call);
}

static kcl_context *new_context(const kcl_allocator *allocator)
{
    kcl_context *c = kb_calloc(allocator, 1, sizeof *c);
    if (!c)
        return NULL;
    c->allocator = *allocator;
    /* An address is used again once its context is destroyed; the clock has moved on by then. */
    c->serial = kb_hash_combine((uint64_t)(uintptr_t)c, (uint64_t)(kb_seconds() * 1e9));
    return c;
}

static kcl_status open_queue(kcl_context *c)
{
    kcl_device *d = c->device;
    cl_int code;
    c->is_cuda = !d->host && kd_is_cuda(d->info.platform);
    if (d->host || c->queue)
        return KCL_OK;
    c->queue = d->cl.clCreateCommandQueue(d->context, d->id, 0, &code);
    return c->queue ? KCL_OK : kd_cl_fail(&c->error, &d->info, "clCreateCommandQueue", code, NULL);
}

/* A context that failed keeps its error and nothing else. */
static kcl_status settle(kcl_context **context, kcl_status status)
{
    kcl_context *c = *context;
    if (status >= 0)
        return status;
    kd_device_release(c->device);
    c->device = NULL;
    c->dead = true;
    if (status == KCL_ERROR_NO_MEMORY)
        kcl_context_destroy(context);
    return status;
}

kcl_status kd_context_create_with(const kd_cl *cl, kcl_context **context, const kcl_context_params *params)
{
    static const kcl_context_params defaults;
    if (!context)
        return KCL_ERROR_ARGUMENT;
    if (!params)
        params = &defaults;
    const kcl_allocator allocator = kb_allocator(&params->allocator);
    kcl_context *c = *context = new_context(&allocator);
    if (!c)
        return KCL_ERROR_NO_MEMORY;
    kd_settings settings;
    kcl_status status = kd_read_settings(&settings, &c->log, params, &c->error);
    if (status >= 0)
        status = kd_device_open(&c->device, cl, &settings, &allocator, &c->log, &c->error);
    if (status >= 0)
        status = open_queue(c);
    return settle(context, status);
}

kcl_status kcl_context_create(kcl_context **context, const kcl_context_params *params)
{
    return kd_context_create_with(NULL, context, params);
}

static void share_device(kcl_context *c, kcl_device *device)
{
    c->device = device;
    atomic_fetch_add(&device->references, 1);
}

/* Refuses a context whose programs are not for the device that is given. */
static kcl_status check_share(const kd_cl *cl, const kd_given *given, kb_error *err)
{
    char name[128] = "";
    const kcl_device *d = given->share->device;
    if (check(given->share) < 0) {
        *err = given->share->error;
        return err->status;
    }
    if (!d->host && d->id == given->device && d->context == given->context)
        return KCL_OK;
    const bool same_device = !d->host && d->id == given->device;
    kd_device_text(cl, given->device, CL_DEVICE_NAME, name, sizeof name);
    return kb_fail(err, KCL_ERROR_ARGUMENT,
                   "the context whose programs are to be shared is on device %s \"%s\"%s, the given one on device "
                   "\"%s\": programs are shared by contexts on the same device and cl_context",
                   d->info.id, d->info.name, same_device ? " and another cl_context of the device" : "", name);
}

/* Objects whose references are ours, and nobody's yet. */
typedef struct held {
    cl_context context;
    cl_command_queue queue;
} held;

static kcl_status hold(held *h, const kd_cl *cl, const kd_given *given, kb_error *err)
{
    cl_int code;
    if (!given->retain)
        return KCL_OK; /* they are ours already */
    if ((code = cl->clRetainContext(given->context)))
        return kd_cl_fail(err, NULL, "clRetainContext", code, NULL);
    h->context = given->context;
    if (given->queue && (code = cl->clRetainCommandQueue(given->queue)))
        return kd_cl_fail(err, NULL, "clRetainCommandQueue", code, NULL);
    h->queue = given->queue;
    return KCL_OK;
}

static kcl_status open_given(kcl_context *c, held *h, const kd_cl *cl, const kcl_context_params *params,
                             const kd_given *given)
{
    kd_settings settings;
    kcl_status status = kd_read_settings(&settings, &c->log, params, &c->error);
    if (status >= 0)
        status = kd_refuse_fork(&c->error);
    if (status < 0)
        return status;
    kd_mark_use();
    status = hold(h, cl, given, &c->error);
    if (status >= 0 && given->share)
        status = check_share(cl, given, &c->error);
    if (status < 0)
        return status;
    if (given->share) {
        share_device(c, given->share->device);
    } else {
        status = kd_device_open_given(&c->device, cl, given, &settings, &c->allocator, &c->log, &c->error);
        if (status < 0)
            return status;
        h->context = NULL;
    }
    c->queue = h->queue;
    h->queue = NULL;
    return open_queue(c);
}

kcl_status kd_context_create_failed(kcl_context **context, const kcl_context_params *params, const kb_error *err)
{
    const kcl_allocator allocator = kb_allocator(params ? &params->allocator : NULL);
    kcl_context *c = *context = new_context(&allocator);
    if (!c)
        return KCL_ERROR_NO_MEMORY;
    c->error = *err;
    return settle(context, err->status);
}

kcl_status kd_context_create_given(const kd_cl *cl, kcl_context **context, const kcl_context_params *params,
                                   const kd_given *given)
{
    static const kcl_context_params defaults;
    if (!params)
        params = &defaults;
    held h = {given->retain ? NULL : given->context, given->retain ? NULL : given->queue};
    const kcl_allocator allocator = kb_allocator(&params->allocator);
    kcl_context *c = *context = new_context(&allocator);
    const kcl_status status = c ? open_given(c, &h, cl, params, given) : KCL_ERROR_NO_MEMORY;
    if (h.queue && !kd_forked())
        cl->clReleaseCommandQueue(h.queue);
    if (h.context && !kd_forked())
        cl->clReleaseContext(h.context);
    return c ? settle(context, status) : status;
}

kcl_status kcl_context_create_shared(kcl_context **context, const kcl_context *other)
{
    if (!context)
        return KCL_ERROR_ARGUMENT;
    const kcl_allocator allocator = kb_allocator(other ? &other->allocator : NULL);
    kcl_context *c = *context = new_context(&allocator);
    if (!c)
        return KCL_ERROR_NO_MEMORY;
    kcl_status status = check(other);
    if (!other) {
        status = kb_fail(&c->error, status, "kcl_context_create_shared: `other` is NULL");
    } else if (status < 0) {
        c->error = other->error;
    } else {
        c->log = other->log;
        share_device(c, other->device);
        status = open_queue(c);
    }
    return settle(context, status);
}

void kcl_context_destroy(kcl_context **context)
{
    kcl_context *c = context ? *context : NULL;
    if (!c)
        return;
    *context = NULL;
    for (int place = KD_PLACES - 1; place >= 0; place--)
        if (c->attached[place].destroy)
            c->attached[place].destroy(c, c->attached[place].object);
    kd_dense_free(c);
    if (c->device && !c->device->host) {
        bool forked = kd_forked();
        if (!forked) {
            kd_finish(c);
            kd_settle_queue(c);
        }
        kd_disk_unlock(c);
        kd_kernels_free(c);
        kd_buffers_free(c);
        if (c->queue && !forked)
            c->device->cl.clReleaseCommandQueue(c->queue);
    }
    kd_memories_orphan(c);
    kd_device_release(c->device);
    const kcl_allocator allocator = c->allocator;
    kb_free(&allocator, c);
}

void *kd_attachment(const kcl_context *context, kd_place place)
{
    return context->attached[place].object;
}

void kd_attach(kcl_context *context, kd_place place, void *object, void (*destroy)(kcl_context *context, void *object))
{
    context->attached[place].object = object;
    context->attached[place].destroy = destroy;
}

const char *kcl_context_error(const kcl_context *context)
{
    return context ? context->error.text : "there is no context: the pointer is NULL, or memory was exhausted";
}

kcl_status kcl_context_status(const kcl_context *context)
{
    return context ? context->error.status : KCL_ERROR_ARGUMENT;
}

kcl_status kcl_context_finish(kcl_context *context)
{
    kcl_status status = check(context);
    return status < 0 ? status : kd_finish(context);
}

kcl_status kcl_context_device_info(const kcl_context *context, kcl_device_info *info)
{
    kcl_status status = check_place(context, __func__, info);
    if (status >= 0)
        *info = context->device->info;
    return status;
}

kcl_status kcl_context_get_stats(const kcl_context *context, kcl_context_stats *stats)
{
    kcl_status status = check_place(context, __func__, stats);
    if (status >= 0) {
        *stats = context->stats;
        stats->programs_kept = kd_program_count(context);
    }
    return status;
}

/* ---- What the layers above ask ----------------------------------------------------------------------------------- */

kb_error *kd_error(kcl_context *context)
{
    return &context->error;
}

const kcl_allocator *kd_allocator(const kcl_context *context)
{
    return &context->allocator;
}

const kb_log *kd_log(const kcl_context *context)
{
    return &context->log;
}

const kp_caps *kd_caps(const kcl_context *context)
{
    return &context->device->caps;
}

bool kd_copies(const kcl_context *context)
{
    return context->device->sharing == KD_COPIED;
}

bool kd_always_waits(const kcl_context *context)
{
    return context->device->host || context->device->sharing == KD_IN_PLACE;
}

bool kd_is_host(const kcl_context *context)
{
    return context->device->host;
}

int kd_threads(const kcl_context *context)
{
    return context->device->threads;
}

const char *kd_dump_dir(const kcl_context *context)
{
    return *context->device->dump_dir ? context->device->dump_dir : NULL;
}

uint64_t kd_serial(const kcl_context *context)
{
    return context->serial;
}

kcl_context_stats *kd_stats(kcl_context *context)
{
    return &context->stats;
}
