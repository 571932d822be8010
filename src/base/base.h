/* SPDX-License-Identifier: MIT */
/* base/base.h: errors, memory, text, hashing, log and threads. Knows neither formulas nor OpenCL. */
#ifndef KB_BASE_H
#define KB_BASE_H

#include <keopscl/array.h>
#include <keopscl/context.h>
#include <keopscl/status.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __GNUC__
#define KB_PRINTF(text, args) __attribute__((format(printf, text, args)))
#else
#define KB_PRINTF(text, args)
#endif

#define KB_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KB_MIN(a, b) ((a) < (b) ? (a) : (b))
#define KB_MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- Errors: a status and a sentence in fixed memory, so that reporting never allocates. ------------------------- */

typedef struct kb_error {
    kcl_status status;
    char text[4096];
} kb_error;

/*
 * Sets the error and returns `status`. The arguments may point into err->text. A text that is too long ends in "...".
 */
kcl_status kb_fail(kb_error *err, kcl_status status, const char *format, ...) KB_PRINTF(3, 4);
kcl_status kb_failv(kb_error *err, kcl_status status, const char *format, va_list args);
kcl_status kb_no_memory(kb_error *err);
void kb_error_clear(kb_error *err);

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* *given, or malloc and friends if `given` is NULL or empty. */
kcl_allocator kb_allocator(const kcl_allocator *given);

void *kb_alloc(const kcl_allocator *a, size_t size); /* NULL when memory is out; size 0 gives a pointer too */
void *kb_calloc(const kcl_allocator *a, size_t count, size_t size); /* zeroed; NULL on overflow too */
void kb_free(const kcl_allocator *a, void *pointer);                /* NULL is accepted */
/* Makes room for `need` elements in a growing array. False when memory is out; the array stays as it was then. */
bool kb_reserve(const kcl_allocator *a, void **array, size_t *capacity, size_t need, size_t element_size);
char *kb_strdup(const kcl_allocator *a, const char *text);

/* Many small objects freed at once. */
typedef struct kb_arena {
    kcl_allocator allocator;
    struct kb_arena_chunk *chunks;
    size_t used;
} kb_arena;

void kb_arena_init(kb_arena *arena, const kcl_allocator *allocator);
void kb_arena_finish(kb_arena *arena);              /* frees everything; the arena may be used again */
void *kb_arena_alloc(kb_arena *arena, size_t size); /* zeroed, aligned for any type; NULL when memory is out */
char *kb_arena_strdup(kb_arena *arena, const char *text);

/* ---- Text: append freely, check `failed` once. ------------------------------------------------------------------- */

typedef struct kb_str {
    kcl_allocator allocator;
    char *data; /* zero-terminated once anything was appended; use kb_str_text */
    size_t length;
    size_t capacity;
    bool failed; /* memory ran out: the text is incomplete */
} kb_str;

void kb_str_init(kb_str *s, const kcl_allocator *allocator);
void kb_str_finish(kb_str *s);
void kb_str_clear(kb_str *s);
void kb_str_put(kb_str *s, const char *text);
void kb_str_putn(kb_str *s, const char *text, size_t length);
void kb_str_putf(kb_str *s, const char *format, ...) KB_PRINTF(2, 3);
const char *kb_str_text(const kb_str *s); /* never NULL */

/*
 * Appends a double so that reading the text gives the same number, whatever the locale: the shortest decimal form, or,
 * with `hex`, the hexadecimal form. NaN and infinities are written as nan, inf, -inf.
 */
void kb_str_put_double(kb_str *s, double value, bool hex);

/* Reads a decimal number at `text` (no sign, no hexadecimal), without locale. Returns its length; 0: no number. */
size_t kb_parse_double(const char *text, size_t length, double *value);

/* ---- Hash -------------------------------------------------------------------------------------------------------- */

uint64_t kb_hash(const void *data, size_t size, uint64_t seed);

static inline uint64_t kb_hash_combine(uint64_t a, uint64_t b)
{
    uint64_t h = a + 0x9e3779b97f4a7c15u * (b + 1);
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return h ^ (h >> 31);
}

/* ---- Log --------------------------------------------------------------------------------------------------------- */

typedef struct kb_log {
    kcl_log_fn write; /* NULL: off */
    void *user;
} kb_log;

void kb_log_line(const kb_log *log, const char *format, ...) KB_PRINTF(2, 3);
void kb_log_stderr(void *user, const char *line); /* a kcl_log_fn */

double kb_seconds(void); /* monotonic clock */

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

int kb_processors(void); /* processors this process may use, 1 or more */

/*
 * Calls work(user, k, worker) for k = 0 .. count-1, spread over at most `threads` threads, the caller among them;
 * `worker` is below `threads`. If threads cannot be started, the other threads do all the work.
 */
void kb_parallel_for(int threads, int64_t count, void (*work)(void *user, int64_t k, int worker), void *user);

/* ---- Sizes ------------------------------------------------------------------------------------------------------- */

bool kb_mul_overflows(int64_t a, int64_t b, int64_t *product); /* for a, b >= 0 */
size_t kb_dtype_size(kcl_dtype dtype);                         /* bytes; 0 for no such type */
const char *kb_dtype_name(kcl_dtype dtype);                    /* "float32" */

/* A float32 or float64, whatever its alignment. */
static inline double kb_number(const void *from, kcl_dtype dtype)
{
    float single;
    double number;
    if (dtype == KCL_F32) {
        memcpy(&single, from, sizeof single);
        return (double)single;
    }
    memcpy(&number, from, sizeof number);
    return number;
}

#endif
