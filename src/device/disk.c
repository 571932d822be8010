/* SPDX-License-Identifier: MIT */
/*
 * device/disk.c: compiled programs kept on disk.
 *
 * One file per program, keopscl-<hash of the key>.bin: an entry_header, the key, notes, the program. Notes are a text
 * that only the build of the program could give. An entry counts only if its size, key and checksum are exactly right.
 * An entry is written to a temporary file in the same folder, which is then renamed, so that no reader meets half an
 * entry, and a writer that dies leaves no entry (but a keopscl-tmp-XXXXXX). The entry is not forced to the disk, which
 * can take seconds: if the machine stops, the checksum shows the loss.
 *
 * keopscl-<hash of the key>.lock is locked by the process that builds the program of an entry that is not there yet.
 *
 * Entries are code that is run, and a checksum tells nothing of who wrote them. So the folder and the entries count
 * only if nobody but this user and root can write to them, and nothing is opened that could make a reader wait.
 */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* flock */
#endif
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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

static void switch_off(kcl_device *d, const kb_log *log, const char *why)
{
    kb_log_line(log, "kernels are not kept on disk: %s: %s (KEOPSCL_CACHE_DIR chooses another folder)", d->cache_dir,
                why);
    d->cache_dir[0] = 0;
}

static void switch_off_for(kcl_device *d, const kb_log *log, const char *what, int code)
{
    char why[160];
    snprintf(why, sizeof why, "%s: %s", what, strerror(code));
    switch_off(d, log, why);
}

/* Whether nobody but this user and root can write to the file. */
static bool is_trusted(const struct stat *st)
{
    return (st->st_uid == geteuid() || st->st_uid == 0) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

bool kd_folder_is_safe(const char *dir, char *why, size_t size)
{
    struct stat st;
    const unsigned writers = S_IWGRP | S_IWOTH;
    if (stat(dir, &st) != 0) {
        const int code = errno;
        snprintf(why, size, "cannot be read: %s", strerror(code));
        return code == ENOENT;
    }
    if (!S_ISDIR(st.st_mode))
        snprintf(why, size, "cannot be read: %s", strerror(ENOTDIR));
    else if (st.st_mode & writers)
        snprintf(why, size, "others may write to it and place programs there (mode %04o, chmod go-w makes it safe)",
                 (unsigned)st.st_mode & 07777u);
    else if (!is_trusted(&st))
        snprintf(why, size, "it belongs to another user (%lu), who may place programs there", (unsigned long)st.st_uid);
    else
        return true;
    return false;
}

/* Whether the folder may be used. A folder that is not there yet may. */
static bool is_usable(kcl_device *d, const kb_log *log)
{
    char why[160];
    if (!*d->cache_dir)
        return false;
    if (kd_folder_is_safe(d->cache_dir, why, sizeof why))
        return true;
    switch_off(d, log, why);
    return false;
}

/* A pipe, socket or device under the name of an entry must not be waited for. What a link points to is not ours. */
static int open_to_read(int folder, const char *name)
{
    return openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
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

/* Closes `file` in any case. Returns the first error; 0: none. */
static int close_with(int file, int code)
{
    return close(file) != 0 && !code ? errno : code;
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

enum { MOST_BYTES = 1 << 28 }; /* of an entry; programs have a few megabytes */

/* Whether the file is a whole entry of this key; *data becomes its program, NULL when memory is out. */
static bool read_entry(int file, const kb_str *key, const kcl_allocator *a, unsigned char **data, size_t *size,
                       char **notes)
{
    struct stat st;
    entry_header h;
    if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode) || !is_trusted(&st) || st.st_size > MOST_BYTES)
        return false;
    if (!read_all(file, &h, sizeof h) || memcmp(h.magic, entry_magic, sizeof h.magic) != 0)
        return false;
    uint64_t rest = (uint64_t)st.st_size - sizeof h;
    if (h.key_size != key->length || rest < h.key_size || rest - h.key_size < h.notes_size ||
        h.binary_size != rest - h.key_size - h.notes_size || h.binary_size == 0)
        return false;
    unsigned char *all = kb_alloc(a, (size_t)rest);
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
    struct stat st;
    *binary = NULL;
    *notes = NULL;
    if (!is_usable(d, log))
        return false;
    entry_path(path, d, key);
    if (lstat(path, &st) != 0) {
        if (errno != ENOENT)
            switch_off_for(d, log, "cannot be read", errno);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        kb_log_line(log, "%s is no file and is not read", path);
        return false;
    }
    int file = open_to_read(AT_FDCWD, path);
    if (file < 0) {
        kb_log_line(log, "%s cannot be read: %s", path, strerror(errno));
        return false;
    }
    bool good = read_entry(file, key, &d->allocator, binary, size, notes);
    close(file);
    if (!good) {
        kb_log_line(log, "%s is damaged or not ours and is removed", path);
        unlink(path);
    }
    return good && *binary;
}

/* Makes the folder and the folders above it. */
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

static bool make_folder(kcl_device *d, const kb_log *log)
{
    int code = make_folders(d->cache_dir);
    if (code)
        switch_off_for(d, log, "cannot be made", code);
    return !code;
}

int kd_put_file(const char *dir, const char *path, const kd_piece *pieces, size_t count)
{
    char temporary[LONG_PATH];
    int code = 0;
    snprintf(temporary, sizeof temporary, "%s/keopscl-tmp-XXXXXX", dir);
    int file = mkstemp(temporary);
    if (file < 0)
        return errno;
    fcntl(file, F_SETFD, FD_CLOEXEC);
    for (size_t k = 0; k < count && !code; k++)
        if (!write_all(file, pieces[k].data, pieces[k].size))
            code = errno;
    code = close_with(file, code);
    if (!code && rename(temporary, path) != 0)
        code = errno;
    if (code)
        unlink(temporary);
    return code;
}

void kd_disk_store(kcl_device *d, const kb_log *log, const kb_str *key, const unsigned char *binary, size_t size,
                   const char *notes)
{
    char path[LONG_PATH];
    struct stat st;
    if (!is_usable(d, log) || !make_folder(d, log))
        return;
    entry_path(path, d, key);
    size_t notes_size = notes ? strlen(notes) : 0;
    entry_header h = {{0}, key->length, notes_size, size, checksum(key, notes, notes_size, binary, size)};
    memcpy(h.magic, entry_magic, sizeof h.magic);
    if (size > MOST_BYTES - sizeof h - key->length - notes_size) {
        kb_log_line(log, "a kernel of %zu bytes is not kept on disk", size);
        return;
    }
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        kb_log_line(log, "%s is no file: a kernel is not kept on disk", path);
        return;
    }
    const kd_piece pieces[] = {{&h, sizeof h}, {kb_str_text(key), key->length}, {notes, notes_size}, {binary, size}};
    int code = kd_put_file(d->cache_dir, path, pieces, KB_COUNT(pieces));
    if (code)
        switch_off_for(d, log, "cannot be written", code);
}

void kd_disk_remove(kcl_device *d, const kb_str *key)
{
    char path[LONG_PATH];
    if (!*d->cache_dir)
        return;
    entry_path(path, d, key);
    unlink(path);
}

/* ---- Who builds -------------------------------------------------------------------------------------------------- */

/*
 * An empty file beside the entry is locked while the program of the entry is built, run for the first time and kept.
 * The lock ends with the process, so nobody waits for a process that died. The file goes with the lock: a process that
 * waits for a file that is gone gets the lock of the old file, and finds the entry, or builds once more than needed.
 */
kd_lock kd_disk_lock(kcl_context *c, const kb_str *key)
{
    kcl_device *d = c->device;
    char path[LONG_PATH];
    struct stat st;
    if (!is_usable(d, &c->log) || make_folders(d->cache_dir) != 0)
        return KD_LOCK_NONE;
    entry_path(path, d, key);
    strcpy(strrchr(path, '.'), ".lock");
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (file < 0)
        return KD_LOCK_NONE;
    if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode) || !is_trusted(&st)) {
        close(file);
        return KD_LOCK_NONE;
    }
    int code = 0;
    while (flock(file, LOCK_EX | LOCK_NB) != 0 && (code = errno) == EINTR)
        code = 0;
    kd_build_lock *lock = code ? NULL : kb_alloc(&c->allocator, sizeof *lock + strlen(path) + 1);
    if (!lock && code != EWOULDBLOCK)
        unlink(path);
    if (!lock) {
        close(file);
        return code == EWOULDBLOCK ? KD_LOCK_BUSY : KD_LOCK_NONE;
    }
    *lock = (kd_build_lock){.next = c->locks, .file = file};
    strcpy(lock->path, path);
    c->locks = lock;
    return KD_LOCK_TAKEN;
}

void kd_disk_unlock_last(kcl_context *c)
{
    kd_build_lock *lock = c->locks;
    c->locks = lock->next;
    /* The lock belongs to the open file, which a child of fork shares: only the parent ends the lock. */
    if (!kd_forked()) {
        unlink(lock->path);
        flock(lock->file, LOCK_UN);
    }
    close(lock->file);
    kb_free(&c->allocator, lock);
}

void kd_disk_unlock(kcl_context *c)
{
    while (c->locks)
        kd_disk_unlock_last(c);
}

/* ---- The folder as a whole --------------------------------------------------------------------------------------- */

typedef enum entry_kind { NO_ENTRY, ENTRY, TEMPORARY, LOCK } entry_kind;

/*
 * keopscl-<16 hexadecimal digits>.bin, the same with .lock, or keopscl-tmp-<6 letters and digits>, which a writer that
 * died has left.
 */
static entry_kind kind_of(const char *name)
{
    const char *const digits = "0123456789abcdef";
    const char *const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (strncmp(name, "keopscl-", 8) != 0)
        return NO_ENTRY;
    if (strncmp(name + 8, "tmp-", 4) == 0)
        return strspn(name + 12, letters) == 6 && !name[18] ? TEMPORARY : NO_ENTRY;
    if (strspn(name + 8, digits) != 16)
        return NO_ENTRY;
    return strcmp(name + 24, ".bin") == 0 ? ENTRY : strcmp(name + 24, ".lock") == 0 ? LOCK : NO_ENTRY;
}

/*
 * Whether a file with such a name is ours. An entry begins with the mark, of whatever version. A temporary file may be
 * cut anywhere. A lock is empty, and left behind if nobody holds it.
 */
static bool is_ours(int folder, const char *name, entry_kind kind, uint64_t *bytes)
{
    char start[sizeof entry_magic - 1];
    struct stat st;
    /* Opening a device may do something by itself. */
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return false;
    int file = open_to_read(folder, name);
    if (file < 0)
        return false;
    bool good = fstat(file, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == geteuid() || st.st_uid == 0);
    if (kind == LOCK) {
        good = good && st.st_size == 0 && flock(file, LOCK_EX | LOCK_NB) == 0;
        close(file);
        return good;
    }
    size_t size = good && (uint64_t)st.st_size < sizeof start ? (size_t)st.st_size : sizeof start;
    good = good && (kind == TEMPORARY || size == sizeof start) && read_all(file, start, size) &&
           memcmp(start, entry_magic, size) == 0;
    close(file);
    if (good)
        *bytes = (uint64_t)st.st_size;
    return good;
}

/* Visits the entries of the folder that the environment names. `removed` not NULL: removes them. */
static kcl_status visit(kcl_cache_info *info, uint64_t *removed)
{
    char dir[KD_PATH];
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
        const entry_kind kind = kind_of(e->d_name);
        uint64_t bytes = 0;
        /* Locks are looked at only to be removed: looking means to hold the lock for a moment. */
        if (kind == NO_ENTRY || (kind == LOCK && !removed) || !is_ours(dirfd(folder), e->d_name, kind, &bytes))
            continue;
        if (removed && unlinkat(dirfd(folder), e->d_name, 0) != 0) {
            status = KCL_ERROR_IO;
        } else if (kind == ENTRY) {
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
