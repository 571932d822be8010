/* SPDX-License-Identifier: MIT */
/* formula/parse_tokens.c: the parser's errors, words and numbers. */
#include "parse.h"

#include <string.h>

enum { EXCERPT = 100 }; /* characters of the text that an error shows */

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80; /* of a UTF-8 character */
}

/* The part of the text around `at` on one line, then a caret below `at`. Bytes that are not ASCII show as "?". */
static void excerpt(const kf_parser *p, size_t at, char line[EXCERPT + 8], char caret[EXCERPT + 8])
{
    size_t begin = at, end = at, n = 0, column = 0;
    while (begin > 0 && p->text[begin - 1] != '\n')
        begin--;
    while (end < p->length && p->text[end] != '\n')
        end++;
    size_t first = at - begin > EXCERPT / 2 ? at - EXCERPT / 2 : begin;
    size_t last = end - first > EXCERPT ? first + EXCERPT : end;
    if (last - begin > EXCERPT && last - first < EXCERPT)
        first = last - EXCERPT;
    for (; n < 3 && first > begin; n++)
        line[n] = '.';
    for (size_t k = first; k < last; k++) {
        if (k == at)
            column = n;
        if (!is_continuation(p->text[k]))
            line[n++] = kf_is_blank(p->text[k]) ? ' ' : p->text[k] > ' ' && p->text[k] < 0x7f ? p->text[k] : '?';
    }
    if (at >= last)
        column = n;
    for (size_t k = 0; k < 3 && last < end; k++)
        line[n++] = '.';
    line[n] = 0;
    memset(caret, ' ', column);
    memcpy(caret + column, "^", 2);
}

KB_PRINTF(4, 5) bool kf_fault(kf_parser *p, kcl_status status, size_t at, const char *format, ...)
{
    char line[EXCERPT + 8], caret[EXCERPT + 8];
    va_list args;
    if (p->quiet)
        return false;
    va_start(args, format);
    kb_failv(p->err, status, format, args);
    va_end(args);
    if (at != KF_NOWHERE) {
        excerpt(p, at, line, caret);
        kb_fail(p->err, status, "%.3000s\n%s\n%s", p->err->text, line, caret);
    }
    return false;
}

bool kf_fault_memory(kf_parser *p)
{
    kb_no_memory(p->err);
    return false;
}

bool kf_fault_graph(kf_parser *p, size_t at)
{
    if (p->g->error.status == KCL_ERROR_NO_MEMORY)
        return kf_fault_memory(p);
    return kf_fault(p, p->g->error.status, at, "%s", p->g->error.text);
}

bool kf_fault_name(kf_parser *p, const kf_word *name)
{
    kf_name_error(p->g, name->text, name->length);
    return kf_fault_graph(p, name->at);
}

/* ---- Characters and words ---------------------------------------------------------------------------------------- */

char kf_peek(kf_parser *p)
{
    while (p->at < p->length && kf_is_blank(p->text[p->at]))
        p->at++;
    return p->at < p->length ? p->text[p->at] : 0;
}

kf_word kf_read_word(kf_parser *p)
{
    kf_word w = {p->text + p->at, 0, p->at};
    while (kf_is_letter(kf_ahead(p, w.length)) || kf_is_digit(kf_ahead(p, w.length)))
        w.length++;
    p->at += w.length;
    return w;
}

bool kf_is_word(const kf_word *w, const char *text)
{
    return strlen(text) == w->length && memcmp(text, w->text, w->length) == 0;
}

bool kf_ends_in_reduction(const kf_word *w)
{
    const size_t n = sizeof "Reduction" - 1;
    return w->length >= n && memcmp(w->text + w->length - n, "Reduction", n) == 0;
}

const char *kf_python_hint(const kf_word *w)
{
    static const char *const hints[][2] = {
        {"and", "And(f,g) is 1 where both are not 0"},
        {"or", "Or(f,g) is 1 where one of them is not 0"},
        {"not", "Not(f) is 1 where f is 0"},
        {"if", "Where(c,f,g) is f where c is not 0, else g"},
        {"else", "Where(c,f,g) is f where c is not 0, else g"},
    };
    for (size_t k = 0; k < KB_COUNT(hints); k++)
        if (kf_is_word(w, hints[k][0]))
            return hints[k][1];
    return NULL;
}

bool kf_expected(kf_parser *p, const char *what)
{
    char c = kf_peek(p);
    if (!c)
        return kf_fault(p, KCL_ERROR_SYNTAX, p->at, "the text ends where %s is expected", what);
    if ((unsigned char)c < ' ' || (unsigned char)c >= 0x7f)
        return kf_fault(p, KCL_ERROR_SYNTAX, p->at, "the byte 0x%02X has no meaning in a formula, which is ASCII text",
                        (unsigned char)c);
    if (strchr("<>=!%^@&~", c) || (c == '/' && kf_ahead(p, 1) == '/')) {
        int length = kf_ahead(p, 1) == '=' || kf_ahead(p, 1) == c ? 2 : 1;
        return kf_fault(p, KCL_ERROR_SYNTAX, p->at,
                        "there is no operator '%.*s'; the operators are + - * / %% | ** == != < <= > >=%s", length,
                        p->text + p->at, c == '^' ? ", powers are written **" : "");
    }
    if (strchr("#$?:{}\"'`\\", c))
        return kf_fault(p, KCL_ERROR_SYNTAX, p->at, "the character %c has no meaning in a formula", c);
    size_t at = p->at;
    kf_word w = kf_read_word(p);
    p->at = at;
    if (kf_python_hint(&w))
        return kf_fault(p, KCL_ERROR_SYNTAX, at, "there is no operator '%.*s': %s", KF_SHOWN(&w), kf_python_hint(&w));
    if (!w.length)
        w.length = 1;
    return kf_fault(p, KCL_ERROR_SYNTAX, at, "%s is expected, not '%.*s'", what, KF_SHOWN(&w));
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

bool kf_number_follows(const kf_parser *p)
{
    return kf_is_digit(kf_ahead(p, 0)) || (kf_ahead(p, 0) == '.' && kf_is_digit(kf_ahead(p, 1)));
}

bool kf_read_number(kf_parser *p, kf_literal *number)
{
    size_t n = kb_parse_double(p->text + p->at, p->length - p->at, &number->value);
    if (!n)
        return kf_fault(p, KCL_ERROR_SYNTAX, p->at, "the number has too many digits");
    number->whole = true;
    number->magnitude = 0;
    for (size_t k = 0; k < n && number->whole; k++) {
        unsigned digit = (unsigned)(p->text[p->at + k] - '0');
        number->whole = kf_is_digit(p->text[p->at + k]) && number->magnitude <= ((uint64_t)INT64_MAX - digit) / 10;
        number->magnitude = number->magnitude * 10 + digit;
    }
    p->at += n;
    return true;
}
