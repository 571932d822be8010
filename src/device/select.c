/* SPDX-License-Identifier: MIT */
/* device/select.c: which devices there are, which of them is meant, and what the device can do. */
#include "internal.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What clGetPlatformIDs of the ICD loader answers when no driver is installed (cl_khr_icd). */
#define PLATFORM_NOT_FOUND (-1001)

static int lower(char c)
{
    return tolower((unsigned char)c);
}

static bool same_text(const char *a, const char *b)
{
    for (; *a && lower(*a) == lower(*b); a++, b++) {
    }
    return lower(*a) == lower(*b);
}

static bool contains(const char *text, const char *part)
{
    for (; *text; text++) {
        size_t n = 0;
        while (part[n] && lower(text[n]) == lower(part[n]))
            n++;
        if (!part[n])
            return true;
    }
    return false;
}

/* Both columns of a list of devices name the interpreter, so users write either. */
static const char host_id[] = "host", host_name[] = "interpreter";

bool kd_wants_host(const kd_settings *settings)
{
    return same_text(settings->device, host_id) || same_text(settings->device, host_name);
}

bool kd_wants_cuda(const kd_settings *settings)
{
    static const char name[] = "cuda";
    const char *wish = settings->device;
    for (size_t k = 0; name[k]; k++, wish++)
        if (lower(*wish) != name[k])
            return false;
    return !*wish || (*wish == ':' && wish[1] && !wish[1 + strspn(wish + 1, "0123456789")]);
}

void kd_host_info(kcl_device_info *info, int threads)
{
    memset(info, 0, sizeof *info);
    snprintf(info->id, sizeof info->id, "%s", host_id);
    snprintf(info->name, sizeof info->name, "%s", host_name);
    snprintf(info->platform, sizeof info->platform, "keopscl");
    snprintf(info->version, sizeof info->version, "%s", kcl_version());
    snprintf(info->type, sizeof info->type, "host");
    info->compute_units = threads;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0)
        info->memory = (uint64_t)pages * (uint64_t)page;
    info->max_buffer = info->memory;
    info->has_f64 = 1;
}

/*
 * The score orders GPUs before CPUs before other devices, GPUs with memory of their own before GPUs that share the
 * host's, then by double precision, then by compute units times clock. The interpreter has 0.
 */
static double score(const kcl_device_info *info, bool own_memory)
{
    bool gpu = strcmp(info->type, "gpu") == 0, cpu = strcmp(info->type, "cpu") == 0;
    double kind = gpu ? (own_memory ? 4 : 3) : cpu ? 2 : 1;
    double speed = (double)info->compute_units * (double)KB_MAX(info->clock_mhz, 1);
    return kind * 1e9 + (info->has_f64 ? 1e8 : 0) + KB_MIN(speed, 9.9e7);
}

/* Of devices that are used when they are asked for, and listed before the interpreter. */
#define LEAST_SCORE 0.5

/* Sets `problem` if the device cannot be used. */
static void look_at(const kd_cl *cl, kd_candidate *c)
{
    cl_device_type type = 0;
    cl_uint units = 0, clock = 0;
    cl_ulong memory = 0, max_buffer = 0;
    cl_bool available = CL_FALSE, compiler = CL_FALSE, unified = CL_TRUE;
    cl_device_fp_config f64 = 0;
    cl_int code = kd_device_text(cl, c->id, CL_DEVICE_NAME, c->info.name, sizeof c->info.name);
    if (!code)
        code = kd_device_text(cl, c->id, CL_DRIVER_VERSION, c->info.version, sizeof c->info.version);
    if (!code)
        code = kd_device_text(cl, c->id, CL_DEVICE_VERSION, c->device_version, sizeof c->device_version);
#define GET(what, variable)                                                                                            \
    if (!code)                                                                                                         \
    code = cl->clGetDeviceInfo(c->id, what, sizeof variable, &variable, NULL)
    GET(CL_DEVICE_TYPE, type);
    GET(CL_DEVICE_MAX_COMPUTE_UNITS, units);
    GET(CL_DEVICE_MAX_CLOCK_FREQUENCY, clock);
    GET(CL_DEVICE_GLOBAL_MEM_SIZE, memory);
    GET(CL_DEVICE_MAX_MEM_ALLOC_SIZE, max_buffer);
    GET(CL_DEVICE_AVAILABLE, available);
    GET(CL_DEVICE_COMPILER_AVAILABLE, compiler);
#undef GET
    /* Drivers without doubles, or of a version without the query, may refuse these two. */
    if (cl->clGetDeviceInfo(c->id, CL_DEVICE_DOUBLE_FP_CONFIG, sizeof f64, &f64, NULL))
        f64 = 0;
    if (cl->clGetDeviceInfo(c->id, CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof unified, &unified, NULL))
        unified = CL_TRUE;
    snprintf(c->info.type, sizeof c->info.type, "%s",
             type & CL_DEVICE_TYPE_GPU   ? "gpu"
             : type & CL_DEVICE_TYPE_CPU ? "cpu"
                                         : "other");
    c->info.compute_units = (int)KB_MIN(units, (cl_uint)INT_MAX);
    c->info.clock_mhz = (int)KB_MIN(clock, (cl_uint)INT_MAX);
    c->info.memory = memory;
    c->info.max_buffer = max_buffer;
    c->info.has_f64 = f64 != 0;
    c->info.score = score(&c->info, !unified);

    int major = 0, minor = 0;
    if (code)
        snprintf(c->problem, sizeof c->problem, "clGetDeviceInfo failed: %s (%d)", kd_cl_error_name(code), (int)code);
    else if (sscanf(c->device_version, "OpenCL %d.%d", &major, &minor) != 2 || major < 1 || (major == 1 && minor < 2))
        snprintf(c->problem, sizeof c->problem, "it offers \"%.60s\", OpenCL 1.2 is needed", c->device_version);
    else if (!available)
        snprintf(c->problem, sizeof c->problem, "its driver says it is not available");
    else if (!compiler)
        snprintf(c->problem, sizeof c->problem, "%s",
                 kd_is_cuda(c->info.platform) ? "no OpenCL of NVIDIA is there, which compiles for CUDA"
                                              : "its driver has no compiler");
}

static kcl_status list_platform(kd_candidates *list, const kd_cl *cl, cl_uint number, cl_platform_id platform,
                                const kb_log *log, kb_error *err)
{
    char name[128] = "", version[256] = "", hint[sizeof list->hint];
    const char *call = "clGetPlatformInfo";
    cl_uint count = 0;
    cl_int code = kd_platform_text(cl, platform, CL_PLATFORM_NAME, name, sizeof name);
    if (!code)
        code = kd_platform_text(cl, platform, CL_PLATFORM_VERSION, version, sizeof version);
    if (!code) {
        call = "clGetDeviceIDs";
        code = cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &count);
        const bool explained = (code || !count) && kd_is_pocl(name) && !kd_pocl_cache(hint, sizeof hint);
        if (explained)
            memcpy(list->hint, hint, sizeof hint);
        if (code == CL_DEVICE_NOT_FOUND || (!code && !count)) {
            kb_log_line(log, "platform %u \"%s\" has no device%s%s", (unsigned)number, name, explained ? ": " : "",
                        explained ? hint : "");
            return KCL_OK;
        }
    }
    cl_device_id *ids = code ? NULL : kb_calloc(&list->allocator, count, sizeof *ids);
    if (!code && !ids)
        return kb_no_memory(err);
    if (!code)
        code = cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, ids, NULL);
    if (code) {
        kb_log_line(log, "platform %u \"%s\" is left out: %s failed: %s (%d)", (unsigned)number, name, call,
                    kd_cl_error_name(code), (int)code);
        kb_free(&list->allocator, ids);
        return KCL_OK;
    }
    bool room =
        kb_reserve(&list->allocator, (void **)&list->items, &list->capacity, list->count + count, sizeof *list->items);
    for (cl_uint k = 0; room && k < count; k++) {
        kd_candidate *c = &list->items[list->count++];
        memset(c, 0, sizeof *c);
        c->platform = platform;
        c->id = ids[k];
        if (kd_is_cuda(name))
            snprintf(c->info.id, sizeof c->info.id, "cuda:%u", (unsigned)k % 1000000);
        else
            snprintf(c->info.id, sizeof c->info.id, "%u:%u", (unsigned)number % 1000000, (unsigned)k % 1000000);
        memcpy(c->info.platform, name, sizeof name);
        memcpy(c->platform_version, version, sizeof version);
        look_at(cl, c);
        /* The arrays of the host gain nothing by CUDA, so who does not ask for CUDA gets OpenCL. */
        if (kd_is_cuda(name))
            c->info.score = LEAST_SCORE;
    }
    kb_free(&list->allocator, ids);
    return room ? KCL_OK : kb_no_memory(err);
}

kcl_status kd_list(kd_candidates *list, const kd_cl *cl, const kcl_allocator *allocator, const kb_log *log,
                   kb_error *err)
{
    *list = (kd_candidates){.allocator = *allocator};
    cl_int code = cl->clGetPlatformIDs(0, NULL, &list->platforms);
    if (code == PLATFORM_NOT_FOUND || (!code && !list->platforms)) {
        list->platforms = 0;
        return KCL_OK;
    }
    cl_platform_id *ids = code ? NULL : kb_calloc(allocator, list->platforms, sizeof *ids);
    if (!code && !ids)
        return kb_no_memory(err);
    if (!code)
        code = cl->clGetPlatformIDs(list->platforms, ids, NULL);
    kcl_status status = code ? kd_cl_fail(err, NULL, "clGetPlatformIDs", code, NULL) : KCL_OK;
    for (cl_uint k = 0; status >= 0 && k < list->platforms; k++)
        status = list_platform(list, cl, k, ids[k], log, err);
    kb_free(allocator, ids);
    if (status < 0)
        kd_list_finish(list);
    return status;
}

void kd_list_finish(kd_candidates *list)
{
    kb_free(&list->allocator, list->items);
    *list = (kd_candidates){.allocator = list->allocator};
}

size_t kd_find_device(const kd_cl *cl, const cl_device_id *ids, size_t count, cl_device_id device)
{
    while (device) {
        for (size_t k = 0; k < count; k++)
            if (ids[k] == device)
                return k;
        cl_device_id whole = NULL;
        if (cl->clGetDeviceInfo(device, CL_DEVICE_PARENT_DEVICE, sizeof whole, &whole, NULL))
            return count;
        device = whole;
    }
    return count;
}

kcl_status kd_describe(kd_candidate *found, const kd_cl *cl, cl_platform_id platform, cl_device_id device,
                       const kcl_allocator *allocator, const kb_log *log, kb_error *err)
{
    kd_candidates list = {.allocator = *allocator};
    const kd_candidate *match = NULL;
    cl_uint number = 0;
    cl_int code = cl->clGetPlatformIDs(0, NULL, &list.platforms);
    cl_platform_id *ids = code ? NULL : kb_calloc(allocator, list.platforms + 1, sizeof *ids);
    if (!code && !ids)
        return kb_no_memory(err);
    if (!code)
        code = cl->clGetPlatformIDs(list.platforms, ids, NULL);
    while (!code && number < list.platforms && ids[number] != platform)
        number++;
    kb_free(allocator, ids);
    if (code)
        return kd_cl_fail(err, NULL, "clGetPlatformIDs", code, NULL);
    if (number == list.platforms)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the device is of no platform that the OpenCL loader of keopscl lists");
    kcl_status status = list_platform(&list, cl, number, platform, log, err);
    /* Parts of a device are not listed: a part is known by the device that it is a part of. */
    for (size_t k = 0; status >= 0 && k < list.count && !match; k++)
        match = kd_find_device(cl, &list.items[k].id, 1, device) == 0 ? &list.items[k] : NULL;
    if (status >= 0 && !match)
        status = kb_fail(err, KCL_ERROR_ARGUMENT, "the device is not among the devices that its platform lists");
    if (status >= 0) {
        *found = *match;
        found->id = device;
        if (match->id != device)
            look_at(cl, found);
        if (*found->problem)
            status = kb_fail(err, KCL_ERROR_NO_DEVICE, "device %s \"%s\" cannot be used: %s", found->info.id,
                             found->info.name, found->problem);
    }
    kd_list_finish(&list);
    return status;
}

static bool is_number_pair(const char *wish)
{
    size_t a = strspn(wish, "0123456789");
    size_t b = wish[a] == ':' ? strspn(wish + a + 1, "0123456789") : 0;
    return a && b && !wish[a + 1 + b];
}

/* "00:1" means "0:1". */
static bool same_number_pair(const char *wish, const char *id)
{
    return strtoul(wish, NULL, 10) == strtoul(id, NULL, 10) &&
           strtoul(strchr(wish, ':') + 1, NULL, 10) == strtoul(strchr(id, ':') + 1, NULL, 10);
}

static bool matches(const kd_candidate *c, const char *wish)
{
    if (!*wish)
        return true;
    if (same_text(wish, "gpu") || same_text(wish, "cpu"))
        return same_text(wish, c->info.type);
    if (same_text(wish, c->info.id))
        return true;
    if (is_number_pair(wish))
        return same_number_pair(wish, c->info.id);
    return contains(c->info.name, wish) || contains(c->info.platform, wish);
}

/* What can be written, for the sentence about a device that was not found. */
static kcl_status no_match(const kd_candidates *list, const kd_settings *s, kb_error *err)
{
    kb_str text;
    kb_str_init(&text, &list->allocator);
    kb_str_putf(&text, "%s=\"%s\" names no device that can be used. It takes host (the interpreter)", s->device_source,
                s->device);
    if (list->count)
        kb_str_put(&text, ", gpu, cpu, a number or a part of a name of these devices:");
    else if (list->platforms > 1)
        kb_str_putf(&text, " only: none of the %u OpenCL platforms on this machine has a device",
                    (unsigned)list->platforms);
    else
        kb_str_put(&text, list->platforms ? " only: the OpenCL platform on this machine has no device"
                                          : " only: there is no OpenCL platform on this machine");
    for (size_t k = 0; k < list->count; k++) {
        const kd_candidate *c = &list->items[k];
        kb_str_putf(&text, "%s %s %s \"%s\" of platform \"%s\"%s%s%s", k ? "," : "", c->info.id, c->info.type,
                    c->info.name, c->info.platform, *c->problem ? " (cannot be used: " : "", c->problem,
                    *c->problem ? ")" : "");
    }
    if (*list->hint)
        kb_str_putf(&text, ". %s", list->hint);
    kcl_status status = text.failed ? kb_no_memory(err) : kb_fail(err, KCL_ERROR_NO_DEVICE, "%s", kb_str_text(&text));
    kb_str_finish(&text);
    return status;
}

kcl_status kd_choose(const kd_candidate **chosen, const kd_candidates *list, const kd_settings *settings,
                     const kb_log *log, kb_error *err)
{
    const kd_candidate *best = NULL;
    int usable = 0;
    *chosen = NULL;
    if (kd_wants_host(settings))
        return KCL_OK;
    for (size_t k = 0; k < list->count; k++) {
        const kd_candidate *c = &list->items[k];
        if (!matches(c, settings->device))
            continue;
        if (*c->problem) {
            kb_log_line(log, "device %s \"%s\" cannot be used: %s", c->info.id, c->info.name, c->problem);
            continue;
        }
        usable++;
        if (!best || c->info.score > best->info.score)
            best = c;
    }
    if (!best && *settings->device)
        return no_match(list, settings, err);
    if (!best)
        kb_log_line(log, "no OpenCL device was found: the interpreter computes (KEOPSCL_DEVICE=host asks for it)%s%s",
                    *list->hint ? ". " : "", list->hint);
    else if (usable > 1 && *settings->device)
        kb_log_line(log, "%s=\"%s\" names %d devices, the best of them is used: %s \"%s\" of platform \"%s\"",
                    settings->device_source, settings->device, usable, best->info.id, best->info.name,
                    best->info.platform);
    *chosen = best;
    return KCL_OK;
}

static int power_of_two_within(cl_uint n, int least, int most)
{
    int p = least;
    while (p < most && (cl_uint)p * 2 <= n)
        p *= 2;
    return p;
}

cl_int kd_fill_caps(kp_caps *caps, const kd_cl *cl, cl_device_id id, const kcl_device_info *info)
{
    cl_uint f32 = 0, f64 = 0, preferred = 0;
    size_t group = 0;
    cl_ulong local = 0;
    bool cpu = strcmp(info->type, "cpu") == 0;
    memset(caps, 0, sizeof *caps);
#define GET(what, variable)                                                                                            \
    if (!code)                                                                                                         \
    code = cl->clGetDeviceInfo(id, what, sizeof variable, &variable, NULL)
    cl_int code = 0;
    GET(CL_DEVICE_MAX_WORK_GROUP_SIZE, group);
    GET(CL_DEVICE_LOCAL_MEM_SIZE, local);
    if (cpu) {
        /*
         * A vectorising compiler may prefer 1 and tell the width of the registers as native; others tell only the
         * preferred width.
         */
        GET(CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, f32);
        GET(CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, preferred);
        f32 = KB_MAX(f32, preferred);
        preferred = 0;
        GET(CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE, f64);
        GET(CL_DEVICE_PREFERRED_VECTOR_WIDTH_DOUBLE, preferred);
        f64 = KB_MAX(f64, preferred);
    }
#undef GET
    /* Work-groups lie along the first axis, which may have a limit of its own. */
    size_t sizes[16] = {0};
    if (!cpu && !code && !cl->clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes, NULL) && sizes[0])
        group = KB_MIN(group, sizes[0]);
    caps->device_class = cpu ? KP_CPU : KP_GPU;
    caps->lanes_f32 = power_of_two_within(f32, 4, 16);
    caps->lanes_f64 = power_of_two_within(f64, 2, 8);
    caps->vector_registers = caps->lanes_f32 == 16 ? 32 : 16;
    caps->compute_units = KB_MAX(info->compute_units, 1);
    caps->max_work_group = (int)KB_MIN(group, (size_t)INT_MAX);
    caps->local_memory = (size_t)local;
    caps->private_memory = cpu ? (size_t)1 << 20 : (size_t)1 << 17;
    /* PoCL generates a second form of a kernel beyond this grid, which the saved binary would lack. */
    caps->max_groups = cpu ? 65535 : INT_MAX;
    caps->has_f64 = info->has_f64;
    /*
     * Estimates are 1.3 to 1.8 times as fast on a Xeon and a tenth slower on an EPYC; drivers name one target for both.
     */
    caps->slow_divider = cpu && strstr(info->name, "Intel") != NULL;
    return code;
}
