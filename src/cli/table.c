/* SPDX-License-Identifier: MIT */
/* cli/table.c: text tables, one row a line, "#" to the end of a line a comment, at most one line of column names. */
#define _POSIX_C_SOURCE 200809L /* getline */
#include "data.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef struct text_reader {
    const char *label;
    long long line; /* counted from 1 */
    bool started;   /* a line with names or numbers was seen */
    double *values;
    size_t count, capacity;
    int64_t rows, columns;
} text_reader;

static bool append(text_reader *r, double value)
{
    if (r->count == r->capacity) {
        size_t grown = r->capacity ? r->capacity * 2 : 256;
        double *moved = grown > PTRDIFF_MAX / sizeof *moved ? NULL : realloc(r->values, grown * sizeof *moved);
        if (!moved)
            return false;
        r->values = moved;
        r->capacity = grown;
    }
    r->values[r->count++] = value;
    return true;
}

/* Commas and semicolons separate fields one by one, blanks do in any number. */
static int read_fields(text_reader *r, char *p, fault *f)
{
    const char *wrong = NULL; /* the first field that is no number */
    size_t wrong_length = 0;
    size_t before = r->count;
    int64_t fields = 0;
    bool expected = false; /* a field must follow: behind a comma */
    for (;;) {
        while (isspace((unsigned char)*p))
            p++;
        if (*p == 0 && !expected)
            break;
        if (*p == 0 || *p == ',' || *p == ';')
            return fail(f, EXIT_COMPUTATION, "%s: line %lld: a field is empty", r->label, r->line);
        size_t length = strcspn(p, " \t\r\n\v\f,;");
        char *next = p + length, end = *next, *field = p;
        double value;
        *next = 0;
        bool is_number = parse_number(field, &value);
        *next = end;
        if (is_number && !append(r, value))
            return fail_memory(f);
        if (!is_number && !wrong) {
            wrong = field;
            wrong_length = length;
        }
        fields++;
        p = next;
        while (isspace((unsigned char)*p))
            p++;
        expected = *p == ',' || *p == ';';
        p += expected;
    }
    if (fields == 0)
        return EXIT_DONE;
    bool names = !r->started && r->count == before;
    r->started = true;
    if (names)
        return EXIT_DONE;
    if (wrong)
        return fail(f, EXIT_COMPUTATION, "%s: line %lld: '%.*s' is not a number%s", r->label, r->line,
                    (int)(wrong_length > 40 ? 40 : wrong_length), wrong,
                    strspn(wrong, "+-.0123456789eE") == wrong_length ? " of double precision" : "");
    if (r->rows > 0 && fields != r->columns)
        return fail(f, EXIT_COMPUTATION, "%s: line %lld has %lld numbers, the rows before it have %lld", r->label,
                    r->line, (long long)fields, (long long)r->columns);
    r->columns = fields;
    r->rows++;
    return EXIT_DONE;
}

static int read_line(text_reader *r, char *line, size_t length, fault *f)
{
    for (size_t k = 0; k < length; k++)
        if (iscntrl((unsigned char)line[k]) && !isspace((unsigned char)line[k]))
            return fail(f, EXIT_COMPUTATION, "%s: neither a .npy file nor a text table", r->label);
    if (r->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0) /* the byte order mark that some programs write */
        line += 3;
    line[strcspn(line, "#")] = 0;
    if (strchr(line, ',') && strchr(line, ';'))
        return fail(f, EXIT_COMPUTATION, "%s: line %lld has both ',' and ';'; numbers are written with a point",
                    r->label, r->line);
    return read_fields(r, line, f);
}

int text_read(table *t, FILE *file, const char *label, fault *f)
{
    text_reader r = {.label = label};
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    int code = EXIT_DONE;
    *t = (table){0};
    errno = 0;
    while (!code && (length = getline(&line, &size, file)) >= 0) {
        r.line++;
        code = read_line(&r, line, (size_t)length, f);
    }
    if (!code && !feof(file))
        code = fail(f, EXIT_COMPUTATION, "%s: cannot be read: %s", label, strerror(errno));
    if (!code && r.rows == 0)
        code = fail(f, EXIT_COMPUTATION, "%s: the text table has no numbers", label);
    free(line);
    if (code) {
        free(r.values);
        return code;
    }
    *t = (table){r.values, KCL_F64, KCL_F32, 2, r.rows, r.columns};
    return EXIT_DONE;
}

/* The fewest digits, from a usual number of them upwards, that are read back as the same number. */
static void write_number(const table *t, int64_t index, FILE *file)
{
    char text[40];
    if (t->dtype == KCL_I64) {
        fprintf(file, "%lld", (long long)((const int64_t *)t->values)[index]);
        return;
    }
    double value = table_get(t, index);
    bool single = t->dtype == KCL_F32;
    if (isnan(value)) {
        fputs("nan", file); /* printf may write a sign */
        return;
    }
    for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    fputs(text, file);
}

void text_write(const table *t, FILE *file)
{
    for (int64_t i = 0; i < t->rows && !ferror(file); i++)
        for (int64_t j = 0; j < t->columns; j++) {
            write_number(t, i * t->columns + j, file);
            putc(j + 1 < t->columns ? ' ' : '\n', file);
        }
}
