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

static kcl_status read_threads(kd_settings *s, int given, kb_error *err)
{
    s->threads_source = "kcl_context_params.threads";
    s->threads = given;
    if (given < 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s is %d: it takes a number of threads, or 0 for the default",
                       s->threads_source, given);
    const char *text = variable("KEOPSCL_THREADS");
    if (given || !text)
        return KCL_OK;
    s->threads_source = "KEOPSCL_THREADS";
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (text[strspn(text, "0123456789")] || errno || n < 1 || n > INT_MAX)
        return malformed(err, s->threads_source, text, "a number of threads, 1 or more");
    s->threads = (int)n;
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
        /* One that moved with the working directory would find no kernels again, and "off" is meant for the other. */
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
    kcl_status status = read_threads(s, params->threads, err);
    if (status >= 0)
        status = kd_cache_folder(s->cache_dir, params->cache_dir, log, err);
    if (status >= 0)
        status = read_dump_dir(s, err);
    return status;
}
