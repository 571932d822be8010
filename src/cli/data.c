/* SPDX-License-Identifier: MIT */
/* cli/data.c: tables in memory, and numbers as text. */
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
