/* SPDX-License-Identifier: MIT */
/* device/program.c: programs (memory cache, disk cache, driver's compiler) and kernels. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#endif
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- Sources written for reading (KEOPSCL_DUMP_DIR) -------------------------------------------------------------- */

static kcl_status dump_source(kcl_context *c, const kd_program *p)
{
    char path[KD_PATH + 160], label[96];
    size_t n = 0;
    if (!*c->device->dump_dir)
        return KCL_OK;
    for (; p->label[n] && n + 1 < sizeof label; n++)
        label[n] = strchr("/\\ \t\n:*?\"'<>|", p->label[n]) ? '_' : p->label[n];
    label[n] = 0;
    snprintf(path, sizeof path, "%s/%s-%016" PRIx64 ".cl", c->device->dump_dir, label, p->hash);
    const kd_piece text = {p->source, strlen(p->source)};
    int code = kd_put_file(c->device->dump_dir, path, &text, 1);
    return !code
               ? KCL_OK
               : kb_fail(&c->error, KCL_ERROR_IO, "%s cannot be written: %s (KEOPSCL_DUMP_DIR)", path, strerror(code));
}

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

/* Everything that a compiled program depends on, each part with its length, so that no two lists give one text. */
static void make_key(kb_str *key, const kcl_device *d, const kd_program *p)
{
    const char *parts[] = {"keopscl program 1", d->build_options, d->info.name,        d->device_version,
                           d->info.version,     d->info.platform, d->platform_version, p->source};
    kb_str_init(key, &d->allocator);
    for (size_t k = 0; k < KB_COUNT(parts); k++)
        kb_str_putf(key, "%zu:%s\n", strlen(parts[k]), parts[k]);
}

/* The build log of the driver; NULL: no log, or no memory for it. The caller frees the log. */
static char *read_log(const kcl_device *d, cl_program program)
{
    size_t size = 0;
    char *log = NULL;
    if (!d->cl.clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) && size > 1 &&
        (log = kb_calloc(&d->allocator, size + 1, 1)) &&
        d->cl.clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, size, log, NULL))
        log[0] = 0;
    return log;
}

static kcl_status build_failed(kcl_context *c, const kd_program *p, cl_program program, const char *call, cl_int code)
{
    kcl_device *d = c->device;
    char *log = program ? read_log(d, program) : NULL;
    char hint[KD_PATH] = "";
    enum { MOST = 2500 };
    if (kd_is_pocl(d->info.platform) && kd_pocl_cache(hint, sizeof hint))
        hint[0] = 0;
    kd_cl_fail(&c->error, &d->info, call, code, NULL);
    if (c->error.status != KCL_ERROR_NO_MEMORY)
        c->error.status = code == CL_COMPILER_NOT_AVAILABLE ? KCL_ERROR_UNSUPPORTED : KCL_ERROR_BUILD;
    kb_fail(&c->error, c->error.status, "%s, program %s (KEOPSCL_DUMP_DIR=folder keeps its text). %s%s%s%.*s",
            c->error.text, p->label, hint, *hint ? ". " : "",
            log && *log ? "The driver says:\n" : "The driver gives no reason.", (int)MOST, log ? log : "");
    kb_free(&d->allocator, log);
    return c->error.status;
}

static kcl_status build_from_source(kcl_context *c, kd_program *p)
{
    kcl_device *d = c->device;
    cl_int code = 0;
    const char *call = "clCreateProgramWithSource", *source = p->source;
    double start = kb_seconds();
    cl_program program = d->cl.clCreateProgramWithSource(d->context, 1, &source, NULL, &code);
    if (program) {
        call = "clBuildProgram";
        code = d->cl.clBuildProgram(program, 1, &d->id, d->build_options, NULL, NULL);
    }
    if (!program || code) {
        kcl_status status = build_failed(c, p, program, call, code);
        if (program)
            d->cl.clReleaseProgram(program);
        return status;
    }
    double seconds = kb_seconds() - start;
    c->stats.programs_built++;
    c->stats.build_seconds += seconds;
    kb_log_line(&c->log, "program %s: built in %.3f s", p->label, seconds);
    p->program = program;
    kb_free(&d->allocator, p->notes);
    p->notes = d->tells_registers ? read_log(d, program) : NULL;
    atomic_store(&p->loaded, false);
    /* To hand out a binary PoCL compiles all kernels again. The next process finds what PoCL keeps of the source. */
    atomic_store(&p->unsaved, *d->cache_dir && !d->leaves_to_driver);
    return KCL_OK;
}

/* False: not on disk, or refused by the driver and removed. */
static bool load_entry(kcl_context *c, kd_program *p, const kb_str *key)
{
    kcl_device *d = c->device;
    unsigned char *binary = NULL;
    size_t size = 0;
    double start = kb_seconds();
    if (!kd_disk_load(d, &c->log, key, &binary, &size, &p->notes))
        return false;
    cl_int code = 0, binary_code = 0;
    const unsigned char *data = binary;
    cl_program program = d->cl.clCreateProgramWithBinary(d->context, 1, &d->id, &size, &data, &binary_code, &code);
    if (program && !code && !(code = binary_code))
        code = d->cl.clBuildProgram(program, 1, &d->id, d->build_options, NULL, NULL);
    if (program && code)
        d->cl.clReleaseProgram(program);
    if (!program || code) {
        kb_log_line(&c->log, "program %s: the driver refuses the entry on disk: %s (%d); it is built again", p->label,
                    kd_cl_error_name(code), (int)code);
        kd_disk_remove(d, key);
        kb_free(&d->allocator, p->notes);
        p->notes = NULL;
        program = NULL;
    } else {
        double seconds = kb_seconds() - start;
        c->stats.programs_loaded++;
        c->stats.build_seconds += seconds;
        kb_log_line(&c->log, "program %s: read from disk in %.4f s", p->label, seconds);
        p->program = program;
        atomic_store(&p->loaded, true);
    }
    kb_free(&d->allocator, binary);
    return program != NULL;
}

static void free_program(kcl_device *d, kd_program *p)
{
    if (p->program && !kd_forked())
        d->cl.clReleaseProgram(p->program);
    kb_free(&d->allocator, p->source);
    kb_free(&d->allocator, p->label);
    kb_free(&d->allocator, p->notes);
    kb_free(&d->allocator, p);
}

void kd_programs_free(kcl_device *device)
{
    while (device->programs) {
        kd_program *next = device->programs->next;
        free_program(device, device->programs);
        device->programs = next;
    }
    device->program_count = 0;
}

/*
 * Frees programs that have no kernels, the longest unused first, until at most `most` programs are left, beside those that
 * stay.
 */
static void trim_programs(kcl_context *c, size_t most)
{
    kcl_device *d = c->device;
    /*
     * If submissions of a driver take turns, the driver is not asked to free what another context's submission may be
     * using.
     */
    const bool mine = kd_take_turn(c);
    pthread_mutex_lock(&d->lock);
    while (d->program_count > most) {
        kd_program **oldest = NULL, *gone;
        for (kd_program **link = &d->programs; *link; link = &(*link)->next)
            if (!(*link)->users && !atomic_load(&(*link)->is_pinned) && (!oldest || (*link)->used < (*oldest)->used))
                oldest = link;
        if (!oldest)
            break;
        gone = *oldest;
        *oldest = gone->next;
        d->program_count--;
        free_program(d, gone);
    }
    pthread_mutex_unlock(&d->lock);
    if (mine)
        kd_end_turn(c);
}

size_t kd_most_programs(const kcl_context *c)
{
    return c->device->most_programs;
}

size_t kd_program_count(const kcl_context *c)
{
    kcl_device *d = c->device;
    if (d->host)
        return 0;
    pthread_mutex_lock(&d->lock);
    const size_t count = d->program_count;
    pthread_mutex_unlock(&d->lock);
    return count;
}

void kd_drop_unused(kcl_context *c)
{
    if (c->device->host)
        return;
    trim_programs(c, 0);
    kd_drop_idle_buffers(c);
}

static kd_program *look_up(const kcl_device *d, const char *source, uint64_t hash)
{
    kd_program *p = d->programs;
    while (p && !(p->hash == hash && strcmp(p->source, source) == 0))
        p = p->next;
    return p;
}

static bool load_from_disk(kcl_context *c, kd_program *p)
{
    kb_str key;
    if (!*c->device->cache_dir)
        return false;
    make_key(&key, c->device, p);
    bool loaded = !key.failed && load_entry(c, p, &key);
    kb_str_finish(&key);
    return loaded;
}

static kd_lock lock_entry(kcl_context *c, const kd_program *p)
{
    kb_str key;
    if (!*c->device->cache_dir)
        return KD_LOCK_NONE;
    make_key(&key, c->device, p);
    kd_lock lock = key.failed ? KD_LOCK_NONE : kd_disk_lock(c, &key);
    kb_str_finish(&key);
    return lock;
}

/*
 * Loads from disk, or builds. If another process, or another device of this process, is building the same program, its
 * entry is waited for, but not for ever, and not by a context that others wait for: the two might wait for each other.
 * Meanwhile the lock of the device is let go. *found is the program if another thread has made it then, else NULL.
 */
static kcl_status load_or_build(kcl_context *c, kd_program *p, kd_program **found)
{
    const struct timespec nap = {0, 5 * 1000 * 1000};
    kcl_device *d = c->device;
    const double start = kb_seconds();
    bool waits = false;
    *found = NULL;
    while (!load_from_disk(c, p)) {
        const bool holds = c->locks != NULL;
        kd_lock lock = lock_entry(c, p);
        /* The entry may have come between the two looks. */
        if (lock == KD_LOCK_TAKEN && load_from_disk(c, p)) {
            kd_disk_unlock_last(c);
            break;
        }
        /* The other process has built the program for the driver's own cache. No entry will come. */
        if (lock == KD_LOCK_TAKEN && waits && d->leaves_to_driver)
            kd_disk_unlock_last(c);
        const bool is_late = kb_seconds() - start > d->longest_wait;
        if (lock == KD_LOCK_BUSY && !holds && is_late)
            kb_log_line(&c->log,
                        "program %s: another process has been building it for %.1f s: it is built here as well",
                        p->label, kb_seconds() - start);
        if (lock != KD_LOCK_BUSY || holds || is_late)
            return build_from_source(c, p);
        if (!waits)
            kb_log_line(&c->log, "program %s: another process builds it and is waited for", p->label);
        waits = true;
        pthread_mutex_unlock(&d->lock);
        nanosleep(&nap, NULL);
        pthread_mutex_lock(&d->lock);
        if ((*found = look_up(d, p->source, p->hash))) {
            c->stats.programs_reused++;
            return KCL_OK;
        }
    }
    return KCL_OK;
}

/* With the lock of the device held, also while building: a second thread that wants the same program waits. */
static kcl_status get_program(kcl_context *c, const char *source, uint64_t hash, const char *label, kd_program **found)
{
    kcl_device *d = c->device;
    kd_program *p = look_up(d, source, hash);
    if (p) {
        c->stats.programs_reused++;
        *found = p;
        return KCL_OK;
    }
    if (!(p = kb_calloc(&d->allocator, 1, sizeof *p)))
        return kb_no_memory(&c->error);
    p->hash = hash;
    p->source = kb_strdup(&d->allocator, source);
    p->label = kb_strdup(&d->allocator, label);
    atomic_init(&p->loaded, false);
    atomic_init(&p->unsaved, false);
    atomic_init(&p->is_pinned, false);
    kcl_status status = p->source && p->label ? dump_source(c, p) : kb_no_memory(&c->error);
    if (status >= 0)
        status = load_or_build(c, p, found);
    if (status < 0 || *found) {
        free_program(d, p);
        return status;
    }
    p->next = d->programs;
    d->programs = p;
    d->program_count++;
    *found = p;
    return KCL_OK;
}

void kd_drop_entry(kcl_context *c, kd_program *p)
{
    kb_str key;
    pthread_mutex_lock(&c->device->lock);
    make_key(&key, c->device, p);
    if (!key.failed)
        kd_disk_remove(c->device, &key);
    kb_str_finish(&key);
    atomic_store(&p->loaded, false);
    pthread_mutex_unlock(&c->device->lock);
}

/*
 * The size of a program's binary for the device, and its number among the `count` binaries of the program: the context
 * of a user may have several devices, and drivers tell a binary for each of them.
 */
static cl_int find_binary(const kcl_device *d, cl_program program, size_t *size, size_t *number, size_t *count)
{
    size_t sizes[KD_MOST_DEVICES + 1] = {0}, bytes = sizeof *sizes;
    cl_device_id ids[KD_MOST_DEVICES];
    cl_int code =
        d->cl.clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, KD_MOST_DEVICES * sizeof *sizes, sizes, &bytes);
    *count = bytes / sizeof *sizes;
    *number = 0;
    if (!code && *count > 1) {
        code = d->cl.clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof ids, ids, NULL);
        *number = code ? 0 : kd_find_device(&d->cl, ids, *count, d->id);
    }
    *size = sizes[*number];
    return code;
}

static void save_program(kcl_context *c, kd_program *p)
{
    kcl_device *d = c->device;
    kb_str key;
    size_t size = 0, number = 0, count = 0;
    unsigned char *binaries[KD_MOST_DEVICES + 1] = {NULL}; /* drivers leave out binaries that have no place */
    double start = kb_seconds();
    cl_int code = find_binary(d, p->program, &size, &number, &count);
    make_key(&key, d, p);
    if (!code && size && !key.failed && (binaries[number] = kb_alloc(&d->allocator, size))) {
        code = d->cl.clGetProgramInfo(p->program, CL_PROGRAM_BINARIES, count * sizeof *binaries, binaries, NULL);
        if (!code)
            kd_disk_store(d, &c->log, &key, binaries[number], size, p->notes);
    }
    if (code)
        kb_log_line(&c->log, "program %s is not kept on disk: clGetProgramInfo failed: %s (%d)", p->label,
                    kd_cl_error_name(code), (int)code);
    else
        kb_log_line(&c->log, "program %s: saving took %.4f s", p->label, kb_seconds() - start);
    kb_free(&d->allocator, binaries[number]);
    kb_str_finish(&key);
}

static void save_once(kcl_context *c, kd_program *p)
{
    pthread_mutex_lock(&c->device->lock);
    if (atomic_exchange(&p->unsaved, false))
        save_program(c, p);
    pthread_mutex_unlock(&c->device->lock);
}

void kd_save_programs(kcl_context *c)
{
    c->save_pending = false;
    for (kd_kernel *k = c->kernels; k; k = k->next) {
        if (!k->last_launch || !atomic_load(&k->program->unsaved))
            continue;
        save_once(c, k->program);
    }
}

/* ---- Kernels ----------------------------------------------------------------------------------------------------- */

/* Locks the device. A second try builds from source what was read from disk. */
static kcl_status make_kernel(kcl_context *c, const char *source, uint64_t hash, const char *label, kd_kernel *k,
                              bool *too_many)
{
    kcl_device *d = c->device;
    pthread_mutex_lock(&d->lock);
    kcl_status status = get_program(c, source, hash, label, &k->program);
    if (status >= 0) {
        cl_int code = 0;
        k->kernel = d->cl.clCreateKernel(k->program->program, k->name, &code);
        if (!k->kernel && atomic_load(&k->program->loaded)) {
            kb_log_line(&c->log, "program %s: the entry on disk gives no kernel: %s (%d); it is built again", label,
                        kd_cl_error_name(code), (int)code);
            cl_program rejected = k->program->program;
            status = build_from_source(c, k->program);
            if (status >= 0) {
                d->cl.clReleaseProgram(rejected);
                k->kernel = d->cl.clCreateKernel(k->program->program, k->name, &code);
            }
        }
        if (status >= 0 && !k->kernel)
            status = build_failed(c, k->program, k->program->program, "clCreateKernel", code);
        k->program->used = ++d->uses;
        k->program->users += status >= 0;
    }
    *too_many = d->program_count > d->most_programs;
    pthread_mutex_unlock(&d->lock);
    return status;
}

kcl_status kd_kernel_get(kcl_context *c, const char *source, const char *name, const char *label, kd_kernel **kernel)
{
    *kernel = NULL;
    if (c->device->host)
        return kb_fail(&c->error, KCL_ERROR_UNSUPPORTED, "the interpreter runs no kernels");
    const uint64_t hash = kb_hash(source, strlen(source), 0);
    for (kd_kernel *k = c->kernels; k; k = k->next) {
        if (k->program->hash == hash && strcmp(k->name, name) == 0 && strcmp(k->program->source, source) == 0) {
            c->stats.programs_reused++;
            k->references++;
            *kernel = k;
            return KCL_OK;
        }
    }
    bool too_many;
    kd_kernel *k = kb_calloc(&c->allocator, 1, sizeof *k);
    if (!k || !(k->name = kb_strdup(&c->allocator, name))) {
        kb_free(&c->allocator, k);
        return kb_no_memory(&c->error);
    }
    kcl_status status = make_kernel(c, source, hash, label ? label : name, k, &too_many);
    if (too_many)
        trim_programs(c, c->device->most_programs);
    if (status < 0) {
        kb_free(&c->allocator, k->name);
        kb_free(&c->allocator, k);
        return status;
    }
    k->references = 1;
    k->next = c->kernels;
    c->kernels = k;
    *kernel = k;
    return KCL_OK;
}

/* Takes the kernel from its program. A program without kernels may be freed then. */
static void end_kernel(kcl_context *c, kd_kernel *k)
{
    kcl_device *d = c->device;
    kd_program *p = k->program;
    if (kd_wait_for_kernel(c, k) && k->last_launch && atomic_load(&p->unsaved))
        save_once(c, p);
    const bool mine = kd_take_turn(c);
    d->cl.clReleaseKernel(k->kernel);
    if (mine)
        kd_end_turn(c);
    pthread_mutex_lock(&d->lock);
    p->users--;
    p->used = ++d->uses;
    const bool too_many = d->program_count > d->most_programs;
    pthread_mutex_unlock(&d->lock);
    if (too_many)
        trim_programs(c, d->most_programs);
}

static void free_kernel(kcl_context *c, kd_kernel *k)
{
    /* A child of fork has no driver, and what another thread had locked stays locked for ever. */
    if (!kd_forked())
        end_kernel(c, k);
    kb_free(&c->allocator, k->saved);
    kb_free(&c->allocator, k->name);
    kb_free(&c->allocator, k);
}

void kd_kernel_release(kcl_context *c, kd_kernel **kernel)
{
    kd_kernel *k = *kernel;
    *kernel = NULL;
    if (!k || --k->references)
        return;
    kd_kernel **link = &c->kernels;
    while (*link != k)
        link = &(*link)->next;
    *link = k->next;
    free_kernel(c, k);
}

void kd_kernels_free(kcl_context *c)
{
    while (c->kernels) {
        kd_kernel *k = c->kernels;
        c->kernels = k->next;
        free_kernel(c, k);
    }
}
