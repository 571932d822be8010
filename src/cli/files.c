/* SPDX-License-Identifier: MIT */
/* cli/files.c: the choice of a format, and files that are there whole or not at all. */
#define _XOPEN_SOURCE 700 /* realpath and other functions for files */
#include "data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int table_read(table *t, FILE *file, const char *label, missing_rule missing, fault *f)
{
    int first = getc(file);
    *t = (table){0};
    if (first == EOF)
        return ferror(file) ? fail(f, EXIT_COMPUTATION, "%s: cannot be read: %s", label, strerror(errno))
                            : fail(f, EXIT_COMPUTATION, "%s: the file is empty", label);
    ungetc(first, file);
    int code = first == 0x93 ? npy_read(t, file, label, f) : text_read(t, file, label, missing, f);
    if (code)
        table_free(t);
    return code;
}

int table_load(table *t, const char *path, const char *label, missing_rule missing, fault *f)
{
    *t = (table){0};
    if (strcmp(path, "-") == 0)
        return table_read(t, stdin, label, missing, f);
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(f, EXIT_COMPUTATION, "%s: cannot be opened: %s", label, strerror(errno));
    int code = table_read(t, file, label, missing, f);
    fclose(file);
    return code;
}

/* ---- Output ------------------------------------------------------------------------------------------------------ */

static int fail_write(const char *path, int reason, fault *f)
{
    return fail(f, EXIT_COMPUTATION, "%s: cannot be written: %s", path, strerror(reason));
}

static void write_table(const table *t, const char *path, FILE *file)
{
    size_t length = strlen(path);
    errno = 0;
    if (length >= 4 && strcmp(path + length - 4, ".npy") == 0)
        npy_write(t, file);
    else
        text_write(t, file);
}

/* Writes and closes the file. Returns 0, or the errno of the first failure. */
static int write_and_close(const table *t, const char *path, FILE *file)
{
    int reason = 0;
    write_table(t, path, file);
    if (ferror(file) || fflush(file) != 0)
        reason = errno ? errno : EIO;
    /* Some file systems report only now that there is no room. Pipes and devices have nothing to wait for. */
    if (!reason && fsync(fileno(file)) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
        reason = errno;
    if (fclose(file) != 0 && !reason)
        reason = errno;
    return reason;
}

/* The absolute path, behind symbolic links, of a file that exists or can be created. NULL with errno. */
static char *resolve(const char *path, int links)
{
    char *full = realpath(path, NULL), link[4096];
    if (full || errno != ENOENT)
        return full;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    ssize_t length = readlink(path, link, sizeof link - 1);
    size_t size = strlen(path) + sizeof link + 8;
    char *joined = malloc(size), *folder = NULL;
    if (!joined)
        return NULL;
    snprintf(joined, size, "%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
    if (length > 0 && links > 0) {
        link[length] = 0;
        snprintf(joined + (*link == '/' ? 0 : strlen(joined)), size - strlen(joined), "%s", link);
        full = resolve(joined, links - 1);
    } else if (*name && (folder = realpath(joined, NULL))) {
        size_t whole = strlen(folder) + strlen(name) + 2;
        if ((full = malloc(whole)))
            snprintf(full, whole, "%s/%s", folder, name);
    } else if (!*name) {
        errno = EISDIR;
    }
    int reason = errno;
    free(folder);
    free(joined);
    errno = reason;
    return full;
}

/* Creates a new file in the folder of `target`. NULL with errno. */
static FILE *create_beside(const char *target, char **path)
{
    static unsigned made; /* the tool has one thread */
    const char *slash = strrchr(target, '/');
    int folder = slash ? (int)(slash - target) + 1 : 0, file = -1;
    size_t size = (size_t)folder + 64;
    if (!(*path = malloc(size))) {
        errno = ENOMEM;
        return NULL;
    }
    for (int tries = 0; file < 0 && tries < 1000 && (tries == 0 || errno == EEXIST); tries++) {
        snprintf(*path, size, "%.*s.keopscl-%ld-%u", folder, target, (long)getpid(), made++);
        file = open(*path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    FILE *stream = file < 0 ? NULL : fdopen(file, "wb");
    int reason = errno;
    if (!stream) {
        if (file >= 0) {
            close(file);
            unlink(*path);
        }
        free(*path);
        *path = NULL;
    }
    errno = reason;
    return stream;
}

/* Writes the table into the file `path` as it is; for devices. */
static int write_in_place(const table *t, const char *path, fault *f)
{
    FILE *file = fopen(path, "wb");
    int reason = file ? write_and_close(t, path, file) : errno;
    return reason ? fail_write(path, reason, f) : EXIT_DONE;
}

int output_write(output *out, const table *t, const char *path, fault *f)
{
    struct stat old, standard;
    *out = (output){.path = path};
    bool there = strcmp(path, "-") != 0 && stat(path, &old) == 0;
    /*
     * Standard output by another name, such as /dev/stdout, may be a file that is appended to: the file is not
     * replaced.
     */
    if (strcmp(path, "-") == 0 || (there && fstat(STDOUT_FILENO, &standard) == 0 && standard.st_dev == old.st_dev &&
                                   standard.st_ino == old.st_ino)) {
        write_table(t, path, stdout);
        return ferror(stdout) || fflush(stdout) != 0 ? fail_output(f) : EXIT_DONE;
    }
    if (there && !S_ISREG(old.st_mode))
        return write_in_place(t, path, f);
    if (there && access(path, W_OK) != 0) /* a file that may not be written may still be replaced */
        return fail_write(path, errno, f);
    if (!(out->target = resolve(path, 40)))
        return fail_write(path, errno, f);
    FILE *file = create_beside(out->target, &out->temporary);
    if (!file && there && (errno == EACCES || errno == EPERM || errno == EROFS))
        return write_in_place(t, path, f);
    if (!file)
        return fail_write(path, errno, f);
    if (there) { /* the new file becomes the likeness of the old one, as far as the user and the file system allow */
        int ignored = fchown(fileno(file), old.st_uid, old.st_gid) | fchmod(fileno(file), old.st_mode & 0777);
        (void)ignored;
    }
    int reason = write_and_close(t, path, file);
    return reason ? fail_write(path, reason, f) : EXIT_DONE;
}

int output_commit(output *out, fault *f)
{
    if (out->temporary && rename(out->temporary, out->target) != 0)
        return fail_write(out->path, errno, f);
    free(out->temporary);
    out->temporary = NULL;
    return EXIT_DONE;
}

void output_abandon(output *out)
{
    if (out->temporary)
        unlink(out->temporary);
    free(out->temporary);
    free(out->target);
    *out = (output){0};
}
