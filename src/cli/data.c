/* SPDX-License-Identifier: MIT */
/* cli/data.c: tables in memory, and the choice of a format. */
#include "data.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    else if (t->dtype == KCL_I64) /* the largest numbers of int64, as doubles, are one more */
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

int table_parse(table *t, const char *text)
{
    int64_t count = 1, k = 0;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    char *copy = malloc(strlen(text) + 1);
    fault ignored;
    if (!copy || table_create(t, KCL_F64, count, 1, &ignored)) {
        free(copy);
        return 0;
    }
    strcpy(copy, text);
    for (char *field = copy; k < count; k++) {
        double value;
        char *comma = strchr(field, ',');
        if (comma)
            *comma = 0;
        if (!parse_number(field, &value))
            break;
        table_set(t, k, value);
        if (comma)
            field = comma + 1;
    }
    free(copy);
    t->axes = 1;
    t->natural = KCL_DTYPE_NONE;
    if (k == count)
        return 1;
    table_free(t);
    return 0;
}

int table_read(table *t, FILE *file, const char *label, fault *f)
{
    int first = getc(file);
    *t = (table){0};
    if (first == EOF)
        return ferror(file) ? fail(f, EXIT_COMPUTATION, "%s: cannot be read: %s", label, strerror(errno))
                            : fail(f, EXIT_COMPUTATION, "%s: the file is empty", label);
    ungetc(first, file);
    int code = first == 0x93 ? npy_read(t, file, label, f) : text_read(t, file, label, f);
    if (code)
        table_free(t);
    return code;
}

int table_load(table *t, const char *path, const char *label, fault *f)
{
    *t = (table){0};
    if (strcmp(path, "-") == 0)
        return table_read(t, stdin, label, f);
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(f, EXIT_COMPUTATION, "%s: cannot be opened: %s", label, strerror(errno));
    int code = table_read(t, file, label, f);
    fclose(file);
    return code;
}

int table_save(const table *t, const char *path, fault *f)
{
    if (strcmp(path, "-") == 0) {
        errno = 0;
        text_write(t, stdout);
        return ferror(stdout) ? fail_output(f) : EXIT_DONE;
    }
    size_t length = strlen(path);
    FILE *file = fopen(path, "wb");
    if (!file)
        return fail(f, EXIT_COMPUTATION, "%s: cannot be written: %s", path, strerror(errno));
    errno = 0;
    if (length >= 4 && strcmp(path + length - 4, ".npy") == 0)
        npy_write(t, file);
    else
        text_write(t, file);
    int failed = ferror(file), reason = errno;
    if (fclose(file) != 0 && !failed) {
        failed = 1;
        reason = errno;
    }
    return failed ? fail(f, EXIT_COMPUTATION, "%s: cannot be written: %s", path, strerror(reason)) : EXIT_DONE;
}
