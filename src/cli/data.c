/* SPDX-License-Identifier: MIT */
/* cli/data.c: tables in memory, the choice of a format, and files that are there whole or not at all. */
#define _XOPEN_SOURCE 700 /* realpath and other functions for files */
#include "data.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

size_t dtype_size(kcl_dtype dtype)
{
    return dtype == KCL_F32 ? sizeof(float) : sizeof(double);
}

int table_create(table *t, kcl_dtype dtype, int64_t rows, int64_t columns, fault *f)
{
    *t = (table){.dtype = dtype, .natural = dtype, .axes = 2, .rows = rows, .columns = columns};
    if (columns > 0 && rows > PTRDIFF_MAX / (int64_t)dtype_size(dtype) / columns)
        return fail(f, EXIT_COMPUTATION, "%lld x %lld numbers are more than memory can hold", (long long)rows,
                    (long long)columns);
    size_t size = (size_t)rows * (size_t)columns * dtype_size(dtype);
    if (size && !(t->values = malloc(size)))
        return fail(f, EXIT_COMPUTATION, "memory for %lld x %lld numbers is exhausted", (long long)rows,
                    (long long)columns);
    return EXIT_DONE;
}

void table_free(table *t)
{
    free(t->values);
    *t = (table){0};
}

double table_get(const table *t, int64_t index)
{
    if (t->dtype == KCL_I64)
        return (double)((const int64_t *)t->values)[index];
    return t->dtype == KCL_F32 ? (double)((const float *)t->values)[index] : ((const double *)t->values)[index];
}

void table_set(table *t, int64_t index, double value)
{
    if (t->dtype == KCL_F32)
        ((float *)t->values)[index] = (float)value;
    else if (t->dtype == KCL_I64) /* as doubles, the largest int64 numbers are one more */
        ((int64_t *)t->values)[index] = value < 0x1p63 ? (int64_t)value : INT64_MAX;
    else
        ((double *)t->values)[index] = value;
}

int table_convert(table *t, kcl_dtype dtype, const char *label, fault *f)
{
    if (t->dtype == dtype)
        return EXIT_DONE;
    table to;
    int code = table_create(&to, dtype, t->rows, t->columns, f);
    if (code)
        return code;
    to.axes = t->axes;
    to.natural = t->natural;
    for (int64_t k = 0, count = t->rows * t->columns; k < count; k++) {
        double value = table_get(t, k);
        if (t->dtype == KCL_I64 && (value >= 0x1p63 || (int64_t)value != ((const int64_t *)t->values)[k])) {
            table_free(&to);
            return fail(f, EXIT_COMPUTATION, "%s: row %lld, column %lld: float64 does not hold the integer %lld", label,
                        (long long)(k / t->columns + 1), (long long)(k % t->columns + 1),
                        (long long)((const int64_t *)t->values)[k]);
        }
        table_set(&to, k, value);
        if (isinf(table_get(&to, k)) && !isinf(value)) {
            table_free(&to);
            return fail(f, EXIT_COMPUTATION, "%s: %g is too large for float32; use --dtype f64", label, value);
        }
    }
    table_free(t);
    *t = to;
    return EXIT_DONE;
}

bool parse_number(const char *text, double *value)
{
    char *end;
    if (isspace((unsigned char)*text))
        return false;
    errno = 0;
    *value = strtod(text, &end);
    return end != text && *end == 0 && !(errno == ERANGE && isinf(*value));
}

bool parse_whole(const char *text, int64_t *value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (!*digits || digits[strspn(digits, "0123456789")])
        return false;
    errno = 0;
    *value = strtoll(text, NULL, 10);
    return errno != ERANGE && !(*value == 0 && *text == '-'); /* only real numbers keep the sign of -0 */
}

/* Reads the `count` fields of `text`, between commas, as numbers of t's type. */
static bool parse_fields(table *t, char *text, int64_t count)
{
    for (int64_t k = 0; k < count; k++) {
        double value = 0;
        char *comma = strchr(text, ',');
        if (comma)
            *comma = 0;
        bool good = t->dtype == KCL_I64 ? parse_whole(text, (int64_t *)t->values + k) : parse_number(text, &value);
        if (good && t->dtype != KCL_I64)
            table_set(t, k, value);
        if (comma) {
            *comma = ',';
            text = comma + 1;
        }
        if (!good)
            return false;
    }
    return true;
}

int table_parse(table *t, const char *text)
{
    int64_t count = 1;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    char *copy = malloc(strlen(text) + 1);
    fault ignored;
    *t = (table){0};
    if (copy)
        strcpy(copy, text);
    for (int whole = 1; copy && whole >= 0; whole--) {
        if (table_create(t, whole ? KCL_I64 : KCL_F64, count, 1, &ignored))
            break;
        t->axes = 1;
        t->natural = KCL_DTYPE_NONE;
        if (parse_fields(t, copy, count)) {
            free(copy);
            return 1;
        }
        table_free(t);
    }
    free(copy);
    return 0;
}

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
