/* SPDX-License-Identifier: MIT */
/*
 * device/pocl.c: the folder in which PoCL keeps what it compiles. If PoCL cannot write to the folder, PoCL has no
 * device, or builds nothing, and gives no reason.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool kd_is_pocl(const char *platform)
{
    return strcmp(platform, "Portable Computing Language") == 0;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

/* The folder that PoCL chooses. Returns the variable that names the folder, or why no variable does. */
static const char *cache_folder(char path[KD_PATH])
{
    static const char *const names[] = {"POCL_CACHE_DIR", "XDG_CACHE_HOME", "HOME"};
    static const char *const below[] = {"", "/pocl/kcache", "/.cache/pocl/kcache"};
    for (size_t k = 0; k < KB_COUNT(names); k++) {
        if (!is_set(names[k]))
            continue;
        snprintf(path, KD_PATH, "%s%s", getenv(names[k]), below[k]);
        return names[k];
    }
    snprintf(path, KD_PATH, "/tmp/pocl/kcache");
    return "HOME is not set";
}

bool kd_pocl_keeps(void)
{
    char path[KD_PATH];
    struct stat st;
    const char *wish = getenv("POCL_KERNEL_CACHE");
    cache_folder(path);
    /* PoCL takes every value but 1 for a no, and makes the folder before there is a device. */
    return (!wish || *wish == '1') && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Writes as many bytes as a kernel takes. Returns 0, or the errno of the failure. */
static int try_to_fill(const char *path)
{
    enum { BLOCK = 4096, BLOCKS = 256 };
    static const char block[BLOCK];
    char name[KD_PATH + 32];
    int code = 0;
    snprintf(name, sizeof name, "%s/keopscl-tmp-XXXXXX", path);
    int file = mkstemp(name);
    if (file < 0)
        return errno;
    for (int k = 0; k < BLOCKS && !code; k++) {
        ssize_t n = write(file, block, BLOCK);
        if (n < 0 && errno != EINTR)
            code = errno;
        else if (n >= 0 && n < BLOCK)
            code = ENOSPC;
    }
    if (close(file) != 0 && !code)
        code = errno;
    unlink(name);
    return code;
}

/*
 * The folder need not be there yet: the folder below which it would be made is what counts. Returns 0, or the errno of
 * what is in the way.
 */
static int try_folder(char path[KD_PATH])
{
    struct stat st;
    bool below = false;
    for (;;) {
        if (stat(path, &st) == 0)
            break;
        char *slash = strrchr(path, '/');
        if (errno != ENOENT || !slash)
            return errno;
        below = true;
        slash[slash == path] = 0;
    }
    if (!S_ISDIR(st.st_mode))
        return ENOTDIR;
    if (!below)
        return try_to_fill(path);
    /* File systems such as /proc take neither folders nor files, and may report so only when asked. */
    char folder[KD_PATH + 32];
    snprintf(folder, sizeof folder, "%s/keopscl-tmp-XXXXXX", path);
    if (!mkdtemp(folder))
        return errno;
    int code = try_to_fill(folder);
    rmdir(folder);
    return code;
}

bool kd_pocl_cache(char *text, size_t size)
{
    char path[KD_PATH], tried[KD_PATH];
    const char *source = cache_folder(path);
    memcpy(tried, path, sizeof tried);
    int code = try_folder(tried);
    if (code)
        snprintf(text, size,
                 "PoCL keeps what it compiles in %.512s (%s), which cannot be written: %s; POCL_CACHE_DIR=folder names "
                 "another",
                 path, source, strerror(code));
    else
        snprintf(text, size, "PoCL keeps what it compiles in %.512s (%s)", path, source);
    return code == 0;
}
