/* SPDX-License-Identifier: MIT */
/*
 * device/disk.c: compiled programs kept on disk.
 *
 * One file per program, keopscl-<hash of the key>.bin: an entry_header, the key, notes, the program. Notes are a text
 * that only its build could give. An entry counts only if its size, key and checksum are exactly right. It is written to a temporary file in the same folder, which is then
 * renamed, so that no reader meets half an entry and a writer that dies leaves none (but a keopscl-tmp-XXXXXX).
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char entry_magic[8] = {'K', 'C', 'L', 'P', 'R', 'O', 'G', '2'};

typedef struct entry_header {
    char magic[8];
    uint64_t key_size, notes_size, binary_size;
    uint64_t checksum; /* of all three */
} entry_header;

enum { LONG_PATH = KD_PATH + 64 };

static void entry_path(char path[LONG_PATH], const kcl_device *d, const kb_str *key)
{
    snprintf(path, LONG_PATH, "%s/keopscl-%016" PRIx64 ".bin", d->cache_dir, kb_hash(kb_str_text(key), key->length, 1));
}

static uint64_t checksum(const kb_str *key, const void *notes, size_t notes_size, const unsigned char *binary,
                         size_t size)
{
    return kb_hash(binary, size, kb_hash(notes, notes_size, kb_hash(kb_str_text(key), key->length, 2)));
}

static void switch_off(kcl_device *d, const kb_log *log, const char *what, int code)
{
    kb_log_line(log, "kernels are not kept on disk: %s: %s: %s (KEOPSCL_CACHE_DIR chooses another folder)",
                d->cache_dir, what, strerror(code));
    d->cache_dir[0] = 0;
}

static bool read_all(int file, void *data, size_t size)
{
    char *p = data;
    while (size) {
        ssize_t n = read(file, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

static bool write_all(int file, const void *data, size_t size)
{
    const char *p = data;
    while (size) {
        ssize_t n = write(file, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- Entries ----------------------------------------------------------------------------------------------------- */

/* Whether the file is a whole entry of this key; *data is its program, NULL where memory is out. */
static bool read_entry(int file, const kb_str *key, const kcl_allocator *a, unsigned char **data, size_t *size,
                       char **notes)
{
    struct stat st;
    entry_header h;
    /* Programs are code: a file that another user could have put there is not run. */
    if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0))
        return false;
    if (!read_all(file, &h, sizeof h) || memcmp(h.magic, entry_magic, sizeof h.magic) != 0)
        return false;
    uint64_t rest = (uint64_t)st.st_size - sizeof h;
    if (h.key_size != key->length || rest < h.key_size || rest - h.key_size < h.notes_size ||
        h.binary_size != rest - h.key_size - h.notes_size || h.binary_size == 0)
        return false;
    unsigned char *all = rest <= SIZE_MAX / 2 ? kb_alloc(a, (size_t)rest) : NULL;
    if (!all)
        return true;
    size_t notes_size = (size_t)h.notes_size;
    const unsigned char *text = all + key->length, *binary = text + notes_size;
    if (!read_all(file, all, (size_t)rest) || memcmp(all, kb_str_text(key), key->length) != 0 ||
        checksum(key, text, notes_size, binary, (size_t)h.binary_size) != h.checksum) {
        kb_free(a, all);
        return false;
    }
    if (notes_size && (*notes = kb_calloc(a, notes_size + 1, 1)))
        memcpy(*notes, text, notes_size);
    memmove(all, binary, (size_t)h.binary_size);
    *data = all;
    *size = (size_t)h.binary_size;
    return true;
}

bool kd_disk_load(kcl_device *d, const kb_log *log, const kb_str *key, unsigned char **binary, size_t *size,
                  char **notes)
{
    char path[LONG_PATH];
    entry_path(path, d, key);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        if (errno != ENOENT)
            switch_off(d, log, "cannot be read", errno);
        return false;
    }
    *binary = NULL;
    *notes = NULL;
    bool good = read_entry(file, key, &d->allocator, binary, size, notes);
    close(file);
    if (!good) {
        kb_log_line(log, "%s is damaged or not ours and is removed", path);
        unlink(path);
    }
    return good && *binary;
}

/* The folder and those above it. */
static int make_folders(const char *path)
{
    char part[KD_PATH];
    size_t length = strlen(path);
    memcpy(part, path, length + 1);
    for (size_t k = 1; k <= length; k++) {
        if (part[k] != '/' && part[k])
            continue;
        char c = part[k];
        part[k] = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST && k == length)
            return errno;
        part[k] = c;
    }
    return 0;
}

void kd_disk_store(kcl_device *d, const kb_log *log, const kb_str *key, const unsigned char *binary, size_t size,
                   const char *notes)
{
    char path[LONG_PATH], temporary[LONG_PATH];
    if (!*d->cache_dir)
        return;
    entry_path(path, d, key);
    snprintf(temporary, sizeof temporary, "%s/keopscl-tmp-XXXXXX", d->cache_dir);
    int code = make_folders(d->cache_dir);
    if (code) {
        switch_off(d, log, "cannot be made", code);
        return;
    }
    int file = mkstemp(temporary);
    if (file < 0) {
        switch_off(d, log, "cannot be written", errno);
        return;
    }
    size_t notes_size = notes ? strlen(notes) : 0;
    entry_header h = {{0}, key->length, notes_size, size, checksum(key, notes, notes_size, binary, size)};
    memcpy(h.magic, entry_magic, sizeof h.magic);
    bool good = write_all(file, &h, sizeof h) && write_all(file, kb_str_text(key), key->length) &&
                write_all(file, notes, notes_size) && write_all(file, binary, size) && fsync(file) == 0;
    code = errno;
    if (close(file) != 0 && good) {
        good = false;
        code = errno;
    }
    if (good && rename(temporary, path) != 0) {
        good = false;
        code = errno;
    }
    if (!good) {
        unlink(temporary);
        switch_off(d, log, "cannot be written", code);
    }
}

void kd_disk_remove(kcl_device *d, const kb_str *key)
{
    char path[LONG_PATH];
    if (!*d->cache_dir)
        return;
    entry_path(path, d, key);
    unlink(path);
}

/* ---- The folder as a whole --------------------------------------------------------------------------------------- */

/* keopscl-<16 hexadecimal digits>.bin, or keopscl-tmp-<6 letters and digits>: a writer's that died. */
static bool is_entry_name(const char *name, bool *temporary)
{
    const char *const digits = "0123456789abcdef";
    const char *const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (strncmp(name, "keopscl-", 8) != 0)
        return false;
    *temporary = strncmp(name + 8, "tmp-", 4) == 0 && strspn(name + 12, letters) == 6 && !name[18];
    return *temporary || (strspn(name + 8, digits) == 16 && strcmp(name + 24, ".bin") == 0);
}

/* An entry begins with the mark, of whatever version; a temporary file may have been cut before its end. */
static bool is_entry(const char *path, bool temporary, uint64_t *bytes)
{
    char start[sizeof entry_magic - 1];
    struct stat st;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return false;
    bool good = fstat(file, &st) == 0 && S_ISREG(st.st_mode);
    size_t size = good && (uint64_t)st.st_size < sizeof start ? (size_t)st.st_size : sizeof start;
    good = good && (temporary || size == sizeof start) && read_all(file, start, size) &&
           memcmp(start, entry_magic, size) == 0;
    close(file);
    if (good)
        *bytes = (uint64_t)st.st_size;
    return good;
}

/* Visits the entries of the folder that the environment names; removes them where `removed` is given. */
static kcl_status visit(kcl_cache_info *info, uint64_t *removed)
{
    char dir[KD_PATH], path[KD_PATH + 256];
    const kb_log log = {0};
    kb_error err;
    memset(info, 0, sizeof *info);
    kcl_status status = kd_cache_folder(dir, NULL, &log, &err);
    if (status < 0 || !*dir)
        return status;
    memcpy(info->dir, dir, sizeof dir);
    DIR *folder = opendir(dir);
    if (!folder)
        return errno == ENOENT ? KCL_OK : KCL_ERROR_IO;
    struct dirent *e;
    for (errno = 0; (e = readdir(folder)); errno = 0) {
        bool temporary;
        uint64_t bytes;
        if (!is_entry_name(e->d_name, &temporary))
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (!is_entry(path, temporary, &bytes))
            continue;
        if (removed && unlink(path) != 0) {
            status = KCL_ERROR_IO;
        } else if (!temporary) {
            info->entries++;
            info->bytes += bytes;
        }
    }
    if (errno)
        status = KCL_ERROR_IO;
    closedir(folder);
    return status;
}

kcl_status kcl_cache_stats(kcl_cache_info *info)
{
    return info ? visit(info, NULL) : KCL_ERROR_ARGUMENT;
}

kcl_status kcl_cache_clear(uint64_t *removed)
{
    kcl_cache_info info;
    uint64_t count;
    kcl_status status = visit(&info, removed ? removed : &count);
    if (removed)
        *removed = info.entries;
    return status;
}
