/* SPDX-License-Identifier: MIT */
/* device/settings.c: parameters of a context and environment variables. */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Programs kept in memory. With PoCL they take a quarter of a GiB; few processes need as many. */
enum { DEFAULT_PROGRAMS = 256 };

/* An empty variable counts as one that is not set. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static kcl_status malformed(kb_error *err, const char *name, const char *value, const char *expected)
{
    return kb_fail(err, KCL_ERROR_ARGUMENT, "%s=\"%s\" is not valid: it takes %s", name, value, expected);
}

/*
 * Reads a number of `what` from a parameter or, if the parameter is 0, from a variable; 0: neither is set. *source
 * becomes the name of the parameter or variable.
 */
static kcl_status read_count(int *count, const char **source, int given, const char *parameter, const char *name,
                             const char *what, kb_error *err)
{
    char expected[80];
    *source = parameter;
    *count = given;
    if (given < 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s is %d: it takes a number of %s, or 0 for the default", parameter,
                       given, what);
    const char *text = variable(name);
    if (given || !text)
        return KCL_OK;
    *source = name;
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    snprintf(expected, sizeof expected, "a number of %s, 1 or more", what);
    if (text[strspn(text, "0123456789")] || errno || n < 1 || n > INT_MAX)
        return malformed(err, name, text, expected);
    *count = (int)n;
    return KCL_OK;
}

static kcl_status put_path(char path[KD_PATH], kb_error *err, const char *name, const char *folder, const char *below)
{
    if (snprintf(path, KD_PATH, "%s%s", folder, below) >= KD_PATH) {
        path[0] = 0;
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s names a folder of more than %d characters", name, KD_PATH - 1);
    }
    return KCL_OK;
}

kcl_status kd_cache_folder(char dir[KD_PATH], const char *given, const kb_log *log, kb_error *err)
{
    dir[0] = 0;
    if (given)
        return put_path(dir, err, "kcl_context_params.cache_dir", given, "");
    const char *off = variable("KEOPSCL_CACHE"), *path;
    if (off && strcmp(off, "off") == 0)
        return KCL_OK;
    if (off && strcmp(off, "on") != 0)
        return malformed(err, "KEOPSCL_CACHE", off, "off or on");
    if ((path = variable("KEOPSCL_CACHE_DIR")) && path[0] != '/')
        /*
         * A relative path would find no kernels from another working directory, and "off" is a value of KEOPSCL_CACHE.
         */
        return malformed(err, "KEOPSCL_CACHE_DIR", path, "an absolute path; KEOPSCL_CACHE=off keeps no kernels");
    if (path)
        return put_path(dir, err, "KEOPSCL_CACHE_DIR", path, "");
    /* The XDG specification says to ignore a relative path. */
    if ((path = variable("XDG_CACHE_HOME")) && path[0] == '/')
        return put_path(dir, err, "XDG_CACHE_HOME", path, "/keopscl");
    if ((path = variable("HOME")))
        return put_path(dir, err, "HOME", path, "/.cache/keopscl");
    kb_log_line(log, "kernels are not kept on disk: neither KEOPSCL_CACHE_DIR, XDG_CACHE_HOME nor HOME is set");
    return KCL_OK;
}

static kcl_status read_dump_dir(kd_settings *s, kb_error *err)
{
    const char *path = variable("KEOPSCL_DUMP_DIR");
    struct stat st;
    if (!path)
        return KCL_OK;
    int code = stat(path, &st) != 0 ? errno : !S_ISDIR(st.st_mode) ? ENOTDIR : access(path, W_OK | X_OK) ? errno : 0;
    if (code)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "KEOPSCL_DUMP_DIR=\"%s\" cannot be used: %s; it takes an existing folder that can be written",
                       path, strerror(code));
    return put_path(s->dump_dir, err, "KEOPSCL_DUMP_DIR", path, "");
}

kcl_status kd_read_settings(kd_settings *s, kb_log *log, const kcl_context_params *params, kb_error *err)
{
    memset(s, 0, sizeof *s);
    *log = (kb_log){params->log, params->log_user};
    const char *text = variable("KEOPSCL_LOG");
    if (text && strcmp(text, "1") != 0 && strcmp(text, "0") != 0)
        return malformed(err, "KEOPSCL_LOG", text, "1 or 0");
    if (!log->write && text && text[0] == '1')
        *log = (kb_log){kb_log_stderr, NULL};

    s->device = params->device;
    s->device_source = "kcl_context_params.device";
    if (!s->device || !*s->device) {
        s->device = variable("KEOPSCL_DEVICE");
        s->device_source = "KEOPSCL_DEVICE";
    }
    if (!s->device)
        s->device = "";
    const char *source;
    kcl_status status = read_count(&s->threads, &s->threads_source, params->threads, "kcl_context_params.threads",
                                   "KEOPSCL_THREADS", "threads", err);
    if (status >= 0)
        status = read_count(&s->programs, &source, params->programs, "kcl_context_params.programs", "KEOPSCL_PROGRAMS",
                            "programs", err);
    if (status >= 0 && !s->programs)
        s->programs = DEFAULT_PROGRAMS;
    if (status >= 0)
        status = kd_cache_folder(s->cache_dir, params->cache_dir, log, err);
    s->names_cache_dir = params->cache_dir || variable("KEOPSCL_CACHE_DIR");
    if (status >= 0)
        status = read_dump_dir(s, err);
    return status;
}
