/* SPDX-License-Identifier: MIT */
/* device/doctor.c: what was looked for, in which places, what was found, what is lost without it. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "internal.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Writes whether a shared library can be loaded, or the reason that the linker gives. */
static bool put_library(kb_str *out, const char *name)
{
    void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    const char *why = library ? NULL : dlerror();
    kb_str_putf(out, "%s: %s%s\n", name, library ? "loads" : "does not load: ", library ? "" : why ? why : "");
    if (library)
        dlclose(library);
    return library != NULL;
}

/* The first line of an .icd file is the name of a driver's library. */
static void put_icd_file(kb_str *out, const char *path)
{
    char line[1024] = "";
    FILE *file = fopen(path, "r");
    kb_str_putf(out, "  %s: ", path);
    if (!file || !fgets(line, sizeof line, file)) {
        kb_str_putf(out, "cannot be read: %s\n", file ? "it is empty" : strerror(errno));
    } else {
        line[strcspn(line, "\r\n")] = 0;
        put_library(out, line);
    }
    if (file)
        fclose(file);
}

static bool ends_in(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

static void put_drivers(kb_str *out)
{
    const char *given = getenv("OCL_ICD_VENDORS");
    const char *where = given && *given ? given : "/etc/OpenCL/vendors";
    int found = 0;
    kb_str_putf(out, "OpenCL drivers, from %s%s\n", where, given && *given ? " (OCL_ICD_VENDORS)" : "");
    DIR *folder = opendir(where);
    if (!folder && ends_in(where, ".icd")) {
        put_icd_file(out, where);
        found++;
    } else if (!folder && errno != ENOENT && errno != ENOTDIR) {
        kb_str_putf(out, "  cannot be read: %s\n", strerror(errno));
    }
    for (struct dirent *e; folder && (e = readdir(folder));) {
        char path[KD_PATH];
        if (!ends_in(e->d_name, ".icd") || snprintf(path, sizeof path, "%s/%s", where, e->d_name) >= (int)sizeof path)
            continue;
        put_icd_file(out, path);
        found++;
    }
    if (folder)
        closedir(folder);
    if (!found)
        kb_str_put(out, "  none is registered there. Without one only the interpreter computes. For CPUs install PoCL "
                        "(Debian, Ubuntu: pocl-opencl-icd), for GPUs the vendor's OpenCL driver.\n");
}

static void put_line(void *user, const char *line)
{
    kb_str_putf(user, "  %s\n", line);
}

static void put_device(kb_str *out, const kd_candidate *c)
{
    kb_str_putf(out,
                "  %s  %s \"%s\", %s, driver %s, %d compute units, %d MHz, %" PRIu64 " MiB, double precision: %s%s%s\n",
                c->info.id, c->info.type, c->info.name, c->device_version, c->info.version, c->info.compute_units,
                c->info.clock_mhz, c->info.memory >> 20, c->info.has_f64 ? "yes" : "no, float64 arrays are refused",
                *c->problem ? "; cannot be used: " : "", c->problem);
}

/* Which device of the list KEOPSCL_DEVICE means. */
static void put_choice(kb_str *out, const kd_candidates *list, const kd_settings *settings, const kb_log *log)
{
    const kd_candidate *chosen;
    kb_error err;
    if (kd_choose(&chosen, list, settings, log, &err) < 0)
        kb_str_putf(out, "  %s\n", err.text);
    else
        kb_str_putf(out, "  chosen: %s\n", chosen ? chosen->info.id : "host");
}

static kd_settings wish(void)
{
    const char *device = getenv("KEOPSCL_DEVICE");
    return (kd_settings){.device = device ? device : "", .device_source = "KEOPSCL_DEVICE"};
}

/* The CUDA driver, and which of its devices can be used. */
static void put_cuda(kb_str *out)
{
    const kcl_allocator allocator = kb_allocator(NULL);
    const kb_log log = {put_line, out};
    kd_candidates list;
    kd_cl cl;
    kb_error err;
    kb_str_put(out, "CUDA\n");
    if (kd_open_cuda(&cl, &err) < 0 || kd_list(&list, &cl, &allocator, &log, &err) < 0) {
        kb_str_putf(out, "  %s\n  Without it memory of CUDA (PyTorch's tensors on GPUs) is copied to OpenCL.\n",
                    err.text);
        return;
    }
    for (size_t k = 0; k < list.count; k++)
        put_device(out, &list.items[k]);
    const kd_settings settings = wish();
    if (kd_wants_cuda(&settings))
        put_choice(out, &list, &settings, &log);
    kd_list_finish(&list);
}

static kcl_status put_devices(kb_str *out, const kd_cl *cl, kb_error *err)
{
    const kcl_allocator allocator = kb_allocator(NULL);
    const kb_log log = {put_line, out};
    kd_candidates list;
    kd_mark_use();
    kb_str_put(out, "Devices\n");
    kcl_status status = kd_list(&list, cl, &allocator, &log, err);
    if (status < 0) {
        kb_str_putf(out, "  %s\n", err->text);
        return status;
    }
    for (size_t k = 0; k < list.count; k++) {
        const kd_candidate *c = &list.items[k];
        if (!k || c->platform != c[-1].platform)
            kb_str_putf(out, "  platform \"%s\", %s\n", c->info.platform, c->platform_version);
        put_device(out, c);
    }
    char pocl[KD_PATH];
    const char *named = getenv("KEOPSCL_CACHE_DIR");
    for (size_t k = 0; k < list.count; k++) {
        if (!kd_is_pocl(list.items[k].info.platform))
            continue;
        kd_pocl_cache(pocl, sizeof pocl);
        kb_str_putf(out, "  %s\n", pocl);
        if (kd_pocl_keeps() && !(named && *named))
            kb_str_put(out, "  its kernels are kept there alone, because KEOPSCL_CACHE_DIR is not set\n");
        break;
    }
    if (!list.count)
        kb_str_putf(out, "  %s: only the interpreter computes\n",
                    !list.platforms       ? "no platform"
                    : list.platforms == 1 ? "one platform, which has no device"
                                          : "no platform has a device");
    kb_str_put(out, "  host  the interpreter: always there, needs no driver, far slower than a device\n");
    const kd_settings settings = wish();
    if (!kd_wants_cuda(&settings))
        put_choice(out, &list, &settings, &log);
    kd_list_finish(&list);
    return KCL_OK;
}

static void put_cache(kb_str *out)
{
    const kb_log log = {put_line, out};
    kb_error err;
    char dir[KD_PATH], why[160];
    kcl_cache_info info;
    kb_str_put(out, "Compiled kernels on disk\n");
    if (kd_cache_folder(dir, NULL, &log, &err) < 0) {
        kb_str_putf(out, "  %s\n", err.text);
    } else if (!*dir) {
        kb_str_put(out, "  off: every process compiles its kernels again that the driver does not keep\n");
    } else if (access(dir, F_OK) != 0 && errno == ENOENT) {
        kb_str_putf(out, "  %s: not there yet, it is made when the first kernel is kept\n", dir);
    } else if (!kd_folder_is_safe(dir, why, sizeof why)) {
        kb_str_putf(
            out,
            "  %s: is not used: %s. Every process compiles its kernels again; KEOPSCL_CACHE_DIR chooses another "
            "folder\n",
            dir, why);
    } else if (access(dir, R_OK | W_OK | X_OK) != 0 || kcl_cache_stats(&info) < 0) {
        kb_str_putf(out,
                    "  %s: cannot be used: %s. Every process compiles its kernels again; KEOPSCL_CACHE_DIR chooses "
                    "another folder\n",
                    dir, strerror(errno));
    } else {
        kb_str_putf(out, "  %s, kernels: %" PRIu64 ", bytes: %" PRIu64 "\n", dir, info.entries, info.bytes);
    }
}

static void put_environment(kb_str *out)
{
    static const char *const names[] = {"KEOPSCL_DEVICE",    "KEOPSCL_THREADS",
                                        "KEOPSCL_LOG",       "KEOPSCL_CACHE_DIR",
                                        "KEOPSCL_CACHE",     "KEOPSCL_DUMP_DIR",
                                        "KEOPSCL_PROGRAMS",  "XDG_CACHE_HOME",
                                        "OCL_ICD_VENDORS",   "OCL_ICD_FILENAMES",
                                        "POCL_DEVICES",      "POCL_CACHE_DIR",
                                        "LD_LIBRARY_PATH",   "POCL_WORK_GROUP_SPECIALIZATION",
                                        "POCL_KERNEL_CACHE", "KEOPSCL_BLAS",
                                        "KEOPSCL_CLBLAST",   "KEOPSCL_CUBLAS"};
    kb_str_put(out, "Environment\n");
    int set = 0;
    for (size_t k = 0; k < KB_COUNT(names); k++) {
        const char *value = getenv(names[k]);
        if (value && ++set)
            kb_str_putf(out, "  %s=%s\n", names[k], value);
    }
    if (!set)
        kb_str_put(out, "  no variable that matters is set\n");
}

kcl_status kd_doctor_with(const kd_cl *cl, kcl_write_fn write, void *user)
{
    kb_str out;
    kb_error err;
    kd_cl opened;
    const char *loader = "given";
    const bool is_real = !cl; /* else a table of tests, which has nothing to do with CUDA */
    kcl_status status = KCL_OK;
    if (!write)
        return KCL_ERROR_ARGUMENT;
    kb_str_init(&out, NULL);
    kb_str_putf(&out, "libkeopscl %s\n\nOpenCL loader\n", kcl_version());
    bool forked = kd_forked();
    if (forked) {
        kb_str_put(&out, "  this process was forked after OpenCL was used: only host can be used in it\n");
        status = KCL_ERROR_FORKED;
    } else if (!cl && kd_open_loader(&opened, &loader, &err) >= 0) {
        cl = &opened;
    }
    if (cl && !forked)
        kb_str_putf(&out, "  %s: loads\n", loader);
    else if (!forked)
        kb_str_putf(&out, "  %s\n  Without it only the interpreter computes. Debian, Ubuntu: ocl-icd-libopencl1.\n",
                    err.text);
    kb_str_put(&out, "\n");
    /* Devices are looked for first, so that the loader loads their drivers in its own way. */
    kb_str devices;
    kb_str_init(&devices, NULL);
    if (cl && !forked)
        status = put_devices(&devices, cl, &err);
    if (is_real && !forked)
        put_cuda(&devices);
    put_drivers(&out);
    kb_str_putf(&out, "\n%s%s", kb_str_text(&devices), devices.length ? "\n" : "");
    kd_dense_report(&out);
    kb_str_put(&out, "\n");
    put_cache(&out);
    kb_str_put(&out, "\n");
    put_environment(&out);
    if (out.failed || devices.failed)
        status = KCL_ERROR_NO_MEMORY;
    else
        write(user, kb_str_text(&out), out.length);
    kb_str_finish(&devices);
    kb_str_finish(&out);
    return status;
}

kcl_status kcl_doctor(kcl_write_fn write, void *user)
{
    return kd_doctor_with(NULL, write, user);
}
