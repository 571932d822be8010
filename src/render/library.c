/* SPDX-License-Identifier: MIT */
/* render/library.c: the pieces of cl/ that a program uses. */
#include "library.h"

#include <limits.h>
#include <string.h>

/* The pieces of a program while they are found. */
typedef struct selection {
    bool there[KT_MAX_PIECES]; /* in one of the program's files */
    bool taken[KT_MAX_PIECES];
    bool used[KT_MAX_NAMES];
    size_t open; /* taken pieces whose words are still to be looked at */
    uint16_t todo[KT_MAX_PIECES];
} selection;

/* The number of a name, -1: there is none. */
static int number_of(const char *word, size_t length)
{
    unsigned hash = 0;
    for (size_t k = 0; k < length; k++)
        hash = (hash * 31 + (unsigned char)word[k]) % (unsigned)kt_cl.buckets;
    for (int n = kt_cl_bucket[hash]; n >= 0; n = kt_cl_next_name[n]) {
        const char *name = (const char *)kt_cl_names + kt_cl_name_start[n];
        if (strncmp(name, word, length) == 0 && !name[length])
            return n;
    }
    return -1;
}

static void take(selection *s, int piece)
{
    if (s->taken[piece])
        return;
    s->taken[piece] = true;
    s->todo[s->open++] = (uint16_t)piece;
}

/* Takes an #if and all that belongs to it, and what these lines stand in. */
static void take_branches_around(selection *s, int piece)
{
    for (int branch = kt_cl_inside[piece]; branch >= 0; branch = kt_cl_inside[branch])
        for (int b = kt_cl_first_branch[branch]; b >= 0; b = kt_cl_next_branch[b])
            take(s, b);
}

/* A macro outside of all branches: what is expanded behind it means this definition and none before it. */
static bool replaces(const selection *s, int piece)
{
    return s->there[piece] && kt_cl_kind[piece] == KT_PIECE_MACRO && kt_cl_inside[piece] < 0;
}

/* Takes the definitions that `name` may mean between piece `from` and piece `to`. */
static void use(selection *s, int name, int from, int to)
{
    const uint16_t *d = kt_cl_definition + kt_cl_first_definition[name];
    const uint16_t *end = kt_cl_definition + kt_cl_first_definition[name + 1];
    s->used[name] = true;
    for (const uint16_t *k = d; k < end && *k < from; k++)
        if (replaces(s, *k))
            d = k;
    for (; d < end && *d < to; d++)
        if (s->there[*d])
            take(s, *d);
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Uses the words of a text, which has no comment that is not ended. */
static void use_words(selection *s, const char *text, size_t length, int from, int to)
{
    const char *end = text + length;
    for (const char *p = text; p < end;) {
        const char *start = p;
        if (p + 1 < end && p[0] == '/' && p[1] == '*') {
            for (p += 2; p + 1 < end && (p[0] != '*' || p[1] != '/'); p++) {
            }
            p += 2;
            continue;
        }
        if (end - p > 2 && p[0] == '#' && p[1] == '#' && p[2] == '_')
            p += 2;
        while (p < end && is_word(*p))
            p++;
        const int name = p > start && !(*start >= '0' && *start <= '9') ? number_of(start, (size_t)(p - start)) : -1;
        if (name >= 0)
            use(s, name, from, to);
        if (p == start)
            p++;
    }
}

static void follow(selection *s)
{
    while (s->open) {
        const int piece = s->todo[--s->open];
        const kt_piece_kind kind = kt_cl_kind[piece];
        const char *text = (const char *)kt_cl_text + kt_cl_start[piece];
        take_branches_around(s, piece);
        if (kind != KT_PIECE_ALWAYS)
            use_words(s, text, kt_cl_start[piece + 1] - kt_cl_start[piece], piece,
                      kind == KT_PIECE_MACRO ? INT_MAX : piece);
    }
}

/* Uses what is made of two words that are used; returns whether there was something new. */
static bool paste(selection *s)
{
    bool any = false;
    for (int k = 0; k < kt_cl.pasted; k++) {
        if (s->used[kt_cl_paste_result[k]] || !s->used[kt_cl_paste_stem[k]] || !s->used[kt_cl_paste_suffix[k]])
            continue;
        use(s, kt_cl_paste_result[k], INT_MAX, INT_MAX);
        any = true;
    }
    return any;
}

static bool is_wanted(const char *file, const char *const *files, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        const size_t length = strlen(files[k]);
        const bool is_folder = length && files[k][length - 1] == '/';
        if (is_folder ? strncmp(file, files[k], length) == 0 : strcmp(file, files[k]) == 0)
            return true;
    }
    return false;
}

void kt_put_library(kb_str *out, const char *const *files, size_t file_count, const char *words)
{
    selection s = {.open = 0};
    for (int f = 0; f < kt_cl.files; f++) {
        const bool wanted = is_wanted(kt_cl_file_name[f], files, file_count);
        for (int p = kt_cl_first_piece[f]; wanted && p < kt_cl_first_piece[f + 1]; p++) {
            s.there[p] = true;
            if (kt_cl_kind[p] == KT_PIECE_ALWAYS)
                take(&s, p);
        }
    }
    use_words(&s, kb_str_text(out), out->length, INT_MAX, INT_MAX);
    use_words(&s, words, strlen(words), INT_MAX, INT_MAX);
    do
        follow(&s);
    while (paste(&s));
    for (int f = 0; f < kt_cl.files; f++) {
        bool first = true;
        for (int p = kt_cl_first_piece[f]; p < kt_cl_first_piece[f + 1]; p++) {
            const char *text = (const char *)kt_cl_text + kt_cl_start[p];
            const size_t length = kt_cl_start[p + 1] - kt_cl_start[p];
            if (!s.taken[p])
                continue;
            if (first)
                kb_str_putf(out, "/* cl/%s.cl */\n", kt_cl_file_name[f]);
            else if (length > 1 && text[length - 2] == '}')
                kb_str_put(out, "\n"); /* functions stand apart */
            first = false;
            kb_str_putn(out, text, length);
        }
    }
}
