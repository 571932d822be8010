/* SPDX-License-Identifier: MIT */
/*
 * cli/npy.c: NumPy's .npy files, versions 1.0, 2.0 and 3.0. The format is described in NumPy's documentation, under
 * numpy.lib.format. Nothing that the header says is trusted before it is checked.
 */
#include "data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PRELUDE = 8,              /* magic string and version */
    LARGEST_HEADER = 1 << 20, /* headers of plain arrays have about 100 bytes */
    FIRST_BLOCK = 1 << 20,
};

typedef struct npy_header {
    char kind;   /* 'f' or 'i' */
    size_t size; /* bytes of an element: 4 or 8 */
    bool big_endian;
    bool fortran; /* columns are contiguous */
    int axes;
    int64_t shape[2];
} npy_header;

static bool host_is_big_endian(void)
{
    const uint16_t one = 1;
    return *(const unsigned char *)&one == 0;
}

/*
 * Reads `size` bytes. The size comes from the file itself, so memory grows with what really arrives: a header that
 * promises terabytes costs nothing. NULL: only *got bytes arrived, or, with *got == size, memory is out.
 */
static unsigned char *read_bytes(FILE *file, size_t size, size_t *got)
{
    unsigned char *bytes = NULL;
    size_t capacity = 0;
    *got = 0;
    do {
        size_t grown = capacity ? capacity : FIRST_BLOCK;
        grown = grown > size - capacity ? size : capacity + grown;
        unsigned char *moved = realloc(bytes, grown ? grown : 1);
        if (!moved) {
            free(bytes);
            *got = size;
            return NULL;
        }
        bytes = moved;
        capacity = grown;
        *got += fread(bytes + *got, 1, capacity - *got, file);
        if (*got < capacity) {
            free(bytes);
            return NULL;
        }
    } while (capacity < size);
    return bytes;
}

static int fail_short(FILE *file, const char *label, const char *part, size_t size, size_t got, fault *f)
{
    if (ferror(file))
        return fail(f, EXIT_COMPUTATION, "%s: cannot be read: %s", label, strerror(errno));
    if (got == size)
        return fail(f, EXIT_COMPUTATION, "%s: memory for %zu bytes is exhausted", label, size);
    return fail(f, EXIT_COMPUTATION, "%s: the .npy file is truncated: its %s needs %zu bytes and has %zu", label, part,
                size, got);
}

/* ---- The header: a Python dictionary of three entries. ----------------------------------------------------------- */

typedef struct cursor {
    const char *at, *end;
} cursor;

static bool take(cursor *c, const char *word)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t'))
        c->at++;
    size_t length = strlen(word);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

/* A quoted text without escapes, cut to fit. */
static bool take_string(cursor *c, char *text, size_t size)
{
    const char *quote = take(c, "'") ? "'" : take(c, "\"") ? "\"" : NULL;
    const char *end = quote ? memchr(c->at, *quote, (size_t)(c->end - c->at)) : NULL;
    if (!end)
        return false;
    snprintf(text, size, "%.*s", (int)(end - c->at), c->at);
    c->at = end + 1;
    return true;
}

/*
 * A size. A size that is too large becomes INT64_MAX, which the check of the whole array refuses; a negative size
 * becomes -1.
 */
static bool take_size(cursor *c, int64_t *value)
{
    bool negative = take(c, "-");
    take(c, "");
    const char *start = c->at;
    for (*value = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        *value = *value > (INT64_MAX - 9) / 10 ? INT64_MAX : *value * 10 + (*c->at - '0');
    bool some = c->at > start;
    if (some && negative)
        *value = -1;
    take(c, "L"); /* Python 2 wrote long integers with an L */
    return some;
}

static int read_dtype(npy_header *h, cursor *c, const char *label, fault *f)
{
    char text[48];
    const char *start = c->at;
    if (!take_string(c, text, sizeof text))
        snprintf(text, sizeof text, "%.*s", (int)(c->end - start > 40 ? 40 : c->end - start), start); /* a record */
    h->big_endian = *text == '>' || (*text == '=' && host_is_big_endian());
    if (*text && strchr("<>=", *text) &&
        (strcmp(text + 1, "f4") == 0 || strcmp(text + 1, "f8") == 0 || strcmp(text + 1, "i4") == 0 ||
         strcmp(text + 1, "i8") == 0)) {
        h->kind = text[1];
        h->size = (size_t)(text[2] - '0');
        return EXIT_DONE;
    }
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
    return fail(f, EXIT_COMPUTATION, "%s: dtype %s is not supported; float32, float64, int32 and int64 are", label,
                text);
}

static int read_shape(npy_header *h, cursor *c, const char *label, fault *f)
{
    int64_t size, extent = (int64_t)h->size;
    if (!take(c, "("))
        return -1;
    for (h->axes = 0; !take(c, ")"); h->axes++) {
        if (!take_size(c, &size))
            return -1;
        if (size < 0)
            return fail(f, EXIT_COMPUTATION, "%s: the header gives axis %d a negative size", label, h->axes);
        /* An empty axis must not hide the overflow of other axes. */
        if ((size ? size : 1) > PTRDIFF_MAX / extent)
            return fail(f, EXIT_COMPUTATION, "%s: the sizes in the header overflow: no memory holds such an array",
                        label);
        extent *= size ? size : 1;
        if (h->axes < 2)
            h->shape[h->axes] = size;
        if (!take(c, ",")) {
            h->axes++;
            if (!take(c, ")"))
                return -1;
            break;
        }
    }
    if (h->axes > 2)
        return fail(f, EXIT_COMPUTATION, "%s: the array has %d axes; an argument has two, rows and components", label,
                    h->axes);
    return EXIT_DONE;
}

/* The order of the entries is free, and sizes can only be checked against the type: so the shape is read last. */
static int parse_header(npy_header *h, const char *text, size_t length, const char *label, fault *f)
{
    cursor c = {text, text + length}, descr = {0}, shape = {0};
    bool has_order = false, closed = false;
    *h = (npy_header){0};
    if (!take(&c, "{"))
        goto wrong;
    while (!(closed = take(&c, "}"))) {
        char key[16];
        if (!take_string(&c, key, sizeof key) || !take(&c, ":"))
            goto wrong;
        take(&c, "");
        const char *start = c.at;
        if (strcmp(key, "fortran_order") == 0) {
            h->fortran = take(&c, "True");
            if (!h->fortran && !take(&c, "False"))
                goto wrong;
            has_order = true;
        } else if (strcmp(key, "descr") == 0 || strcmp(key, "shape") == 0) {
            int depth = 0;
            for (char quote = 0; c.at < c.end && (depth > 0 || quote || (*c.at != ',' && *c.at != '}')); c.at++) {
                if (quote)
                    quote = *c.at == quote ? 0 : quote;
                else if (*c.at == '\'' || *c.at == '"')
                    quote = *c.at;
                else
                    depth += (*c.at == '(' || *c.at == '[') - (*c.at == ')' || *c.at == ']');
            }
            *(key[0] == 'd' ? &descr : &shape) = (cursor){start, c.at};
        } else {
            goto wrong;
        }
        take(&c, ",");
    }
    take(&c, "");
    if (closed && c.at == c.end && has_order && descr.at && shape.at) {
        int code = read_dtype(h, &descr, label, f);
        if (!code)
            code = read_shape(h, &shape, label, f);
        if (code >= 0)
            return code;
    }
wrong:
    return fail(f, EXIT_COMPUTATION, "%s: the header of the .npy file cannot be understood", label);
}

static int read_header(npy_header *h, FILE *file, const char *label, fault *f)
{
    unsigned char prelude[PRELUDE + 4];
    size_t got = fread(prelude, 1, PRELUDE, file);
    if (memcmp(prelude, "\x93NUMPY", got < 6 ? got : 6) != 0)
        return fail(f, EXIT_COMPUTATION, "%s: neither a .npy file nor a text table", label);
    if (got < PRELUDE)
        return fail_short(file, label, "prelude", PRELUDE, got, f);
    int version = prelude[6];
    if (version < 1 || version > 3 || prelude[7] != 0)
        return fail(f, EXIT_COMPUTATION, "%s: version %d.%d of the .npy format is unknown; 1.0, 2.0 and 3.0 are known",
                    label, version, prelude[7]);
    size_t width = version == 1 ? 2 : 4, length = 0;
    got = fread(prelude + PRELUDE, 1, width, file);
    if (got < width)
        return fail_short(file, label, "length of the header", width, got, f);
    for (size_t k = 0; k < width; k++)
        length |= (size_t)prelude[PRELUDE + k] << (8 * k);
    if (length > LARGEST_HEADER)
        return fail(f, EXIT_COMPUTATION, "%s: the header of the .npy file claims %zu bytes, more than any array needs",
                    label, length);
    unsigned char *text = read_bytes(file, length, &got);
    if (!text)
        return fail_short(file, label, "header", length, got, f);
    int code = parse_header(h, (const char *)text, length, label, f);
    free(text);
    return code;
}

/* ---- The elements ------------------------------------------------------------------------------------------------ */

static void reverse_bytes(unsigned char *bytes, size_t count, size_t size)
{
    for (; count; count--, bytes += size)
        for (size_t k = 0; k < size / 2; k++) {
            unsigned char byte = bytes[k];
            bytes[k] = bytes[size - 1 - k];
            bytes[size - 1 - k] = byte;
        }
}

/* Copies an element; the table has the type that element_type() returns. */
static void copy_element(const npy_header *h, table *t, int64_t to, const unsigned char *bytes)
{
    if (h->kind == 'i' && h->size == 4) {
        int32_t value;
        memcpy(&value, bytes, sizeof value);
        ((int64_t *)t->values)[to] = value;
    } else {
        memcpy((unsigned char *)t->values + (size_t)to * h->size, bytes, h->size);
    }
}

static kcl_dtype element_type(const npy_header *h)
{
    return h->kind == 'i' ? KCL_I64 : h->size == 4 ? KCL_F32 : KCL_F64;
}

int npy_read(table *t, FILE *file, const char *label, fault *f)
{
    npy_header h = {0};
    int code = read_header(&h, file, label, f);
    if (code)
        return code;
    int64_t rows = h.axes > 0 ? h.shape[0] : 1, columns = h.axes > 1 ? h.shape[1] : 1;
    size_t count = (size_t)rows * (size_t)columns, size = count * h.size, got;
    unsigned char *bytes = read_bytes(file, size, &got);
    if (!bytes)
        return fail_short(file, label, "array", size, got, f);
    if (getc(file) != EOF) {
        free(bytes);
        return fail(f, EXIT_COMPUTATION, "%s: the .npy file is longer than the %zu bytes of its array", label, size);
    }
    if (h.big_endian != host_is_big_endian())
        reverse_bytes(bytes, count, h.size);
    kcl_dtype dtype = element_type(&h);
    if (h.size == dtype_size(dtype) && !h.fortran) {
        *t = (table){.values = bytes, .dtype = dtype};
    } else {
        code = table_create(t, dtype, rows, columns, f);
        for (int64_t i = 0, k = 0; !code && i < rows; i++)
            for (int64_t j = 0; j < columns; j++, k++)
                copy_element(&h, t, k, bytes + (size_t)(h.fortran ? j * rows + i : k) * h.size);
        free(bytes);
    }
    t->natural = dtype;
    t->axes = h.axes;
    t->rows = rows;
    t->columns = columns;
    return code;
}

void npy_write(const table *t, FILE *file)
{
    char header[128], shape[64];
    if (t->axes == 1)
        snprintf(shape, sizeof shape, "(%lld,)", (long long)(t->rows * t->columns));
    else
        snprintf(shape, sizeof shape, "(%lld, %lld)", (long long)t->rows, (long long)t->columns);
    int length =
        snprintf(header, sizeof header, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': %s, }",
                 host_is_big_endian() ? '>' : '<', t->dtype == KCL_I64 ? 'i' : 'f', (int)dtype_size(t->dtype), shape);
    /* The elements start at a multiple of 64; the header ends in a newline. */
    int padded = (PRELUDE + 2 + length + 1 + 63) / 64 * 64 - PRELUDE - 2;
    fwrite("\x93NUMPY\x01\x00", 1, PRELUDE, file);
    putc(padded & 255, file);
    putc(padded >> 8, file);
    fprintf(file, "%-*s\n", padded - 1, header);
    size_t count = (size_t)t->rows * (size_t)t->columns;
    if (count)
        fwrite(t->values, dtype_size(t->dtype), count, file);
}
