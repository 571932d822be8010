/* SPDX-License-Identifier: MIT */
/* base/text.c: string builder, numbers as text, hash. */
#include "base.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kb_str_init(kb_str *s, const kcl_allocator *allocator)
{
    *s = (kb_str){kb_allocator(allocator), NULL, 0, 0, false};
}

void kb_str_finish(kb_str *s)
{
    kb_free(&s->allocator, s->data);
    kb_str_init(s, &s->allocator);
}

void kb_str_clear(kb_str *s)
{
    s->length = 0;
    if (s->data)
        s->data[0] = 0;
}

void kb_str_putn(kb_str *s, const char *text, size_t length)
{
    if (s->failed)
        return;
    if (!kb_reserve(&s->allocator, (void **)&s->data, &s->capacity, s->length + length + 1, 1)) {
        s->failed = true;
        return;
    }
    memcpy(s->data + s->length, text, length);
    s->length += length;
    s->data[s->length] = 0;
}

void kb_str_put(kb_str *s, const char *text)
{
    kb_str_putn(s, text, strlen(text));
}

void kb_str_putf(kb_str *s, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (length < (int)sizeof small) {
        kb_str_putn(s, small, (size_t)KB_MAX(length, 0));
        return;
    }
    if (s->failed || !kb_reserve(&s->allocator, (void **)&s->data, &s->capacity, s->length + (size_t)length + 1, 1)) {
        s->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(s->data + s->length, (size_t)length + 1, format, args);
    va_end(args);
    s->length += (size_t)length;
}

const char *kb_str_text(const kb_str *s)
{
    return s->data ? s->data : "";
}

/* printf and strtod write and expect the locale's decimal point. */
static void swap_point(char *text, const char *from, const char *to)
{
    char *p = *from ? strstr(text, from) : NULL;
    size_t a = strlen(from), b = strlen(to);
    if (!p || strcmp(from, to) == 0)
        return;
    memmove(p + b, p + a, strlen(p + a) + 1);
    memcpy(p, to, b);
}

static const char *locale_point(void)
{
    const struct lconv *l = localeconv();
    return l && l->decimal_point && *l->decimal_point ? l->decimal_point : ".";
}

void kb_str_put_double(kb_str *s, double value, bool hex)
{
    char text[64];
    if (isnan(value) || isinf(value)) {
        kb_str_put(s, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    if (hex) {
        snprintf(text, sizeof text, "%a", value);
    } else {
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            if (strtod(text, NULL) == value)
                break;
        }
    }
    swap_point(text, locale_point(), ".");
    kb_str_put(s, text);
}

size_t kb_parse_double(const char *text, size_t length, double *value)
{
    size_t n = 0, digits = 0;
    while (n < length && text[n] >= '0' && text[n] <= '9')
        n++, digits++;
    if (n < length && text[n] == '.') {
        n++;
        while (n < length && text[n] >= '0' && text[n] <= '9')
            n++, digits++;
    }
    if (!digits)
        return 0;
    if (n < length && (text[n] == 'e' || text[n] == 'E')) {
        size_t m = n + 1;
        if (m < length && (text[m] == '+' || text[m] == '-'))
            m++;
        if (m < length && text[m] >= '0' && text[m] <= '9') {
            while (m < length && text[m] >= '0' && text[m] <= '9')
                m++;
            n = m;
        }
    }
    char small[128];
    if (n + 16 > sizeof small)
        return 0;
    memcpy(small, text, n);
    small[n] = 0;
    swap_point(small, ".", locale_point());
    *value = strtod(small, NULL);
    return n;
}

/* FNV-1a over bytes, finished by the mixer of splitmix64. Not for secrets. */
uint64_t kb_hash(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t h = kb_hash_combine(0xcbf29ce484222325u, seed); /* a seed differs from a first byte */
    for (size_t k = 0; k < size; k++)
        h = (h ^ p[k]) * 0x100000001b3u;
    return kb_hash_combine(h, size);
}
