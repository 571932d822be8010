/* SPDX-License-Identifier: MIT */
/* Errors, memory, text, numbers in any locale, hash, log, threads, arrays. */
#include "failing.h"

#include <check.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

START_TEST(every_status_has_a_name_and_a_text)
{
    int count = 0;
#define CHECK_STATUS(name, value, text)                                                                                \
    ck_assert_str_eq(kcl_status_name(name), #name);                                                                    \
    ck_assert_str_eq(kcl_status_text(name), text);                                                                     \
    ck_assert_int_eq(name, value);                                                                                     \
    ck_assert_int_le(name, 0);                                                                                         \
    count++;
    KCL_STATUSES(CHECK_STATUS)
    ck_assert_int_gt(count, 10);
    ck_assert_str_eq(kcl_status_name((kcl_status)-1000), "KCL_?");
    ck_assert_str_eq(kcl_status_text((kcl_status)-1000), "not a status of this library");
}
END_TEST

START_TEST(the_version_is_that_of_the_headers)
{
    char text[64];
    snprintf(text, sizeof text, "%d.%d.%d", KCL_VERSION_MAJOR, KCL_VERSION_MINOR, KCL_VERSION_PATCH);
    ck_assert_str_eq(kcl_version(), text);
}
END_TEST

START_TEST(errors_hold_a_sentence)
{
    kb_error err = {0};
    ck_assert_int_eq(kb_fail(&err, KCL_ERROR_SHAPE, "dimensions %d and %s", 3, "four"), KCL_ERROR_SHAPE);
    ck_assert_int_eq(err.status, KCL_ERROR_SHAPE);
    ck_assert_str_eq(err.text, "dimensions 3 and four");
    kb_fail(&err, KCL_ERROR_IO, "points.npy: %s", err.text); /* its own text */
    ck_assert_str_eq(err.text, "points.npy: dimensions 3 and four");
    ck_assert_int_eq(kb_no_memory(&err), KCL_ERROR_NO_MEMORY);
    ck_assert_str_eq(err.text, "host memory is exhausted");
    kb_error_clear(&err);
    ck_assert_int_eq(err.status, KCL_OK);
    ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(errors_that_are_too_long_end_in_dots)
{
    static char text[10000];
    kb_error err = {0};
    memset(text, 'a', sizeof text - 1);
    kb_fail(&err, KCL_ERROR_BUILD, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    ck_assert_str_eq(err.text + sizeof err.text - 5, "a...");
    text[sizeof err.text - 1] = 0; /* just fits */
    kb_fail(&err, KCL_ERROR_BUILD, "%s", text);
    ck_assert_str_eq(err.text, text);
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

START_TEST(allocations)
{
    failing f = {0};
    kcl_allocator a = failing_allocator(&f), standard = kb_allocator(NULL), empty = {NULL, NULL};
    ck_assert_ptr_eq((void *)(uintptr_t)kb_allocator(&a).user, &f);
    ck_assert(kb_allocator(&empty).reallocate == standard.reallocate);
    void *none = kb_alloc(&standard, 0);
    ck_assert_ptr_nonnull(none);
    kb_free(&standard, none);
    kb_free(&standard, NULL);
    kb_free(&a, NULL);
    unsigned char *zeros = kb_calloc(&a, 10, 10);
    for (int k = 0; k < 100; k++)
        ck_assert_uint_eq(zeros[k], 0);
    ck_assert_ptr_null(kb_calloc(&a, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(kb_calloc(&a, SIZE_MAX, SIZE_MAX));
    char *copy = kb_strdup(&a, "text");
    ck_assert_str_eq(copy, "text");
    kb_free(&a, copy);
    kb_free(&a, zeros);
    ck_assert_int_eq(f.blocks, 0);
    f.fail_at = f.requests + 1;
    ck_assert_ptr_null(kb_alloc(&a, 1));
    ck_assert_ptr_null(kb_calloc(&a, 1, 1));
    ck_assert_ptr_null(kb_strdup(&a, ""));
}
END_TEST

START_TEST(arrays_grow_and_stay_where_memory_is_out)
{
    failing f = {0};
    kcl_allocator a = failing_allocator(&f);
    int *array = NULL;
    size_t capacity = 0;
    for (int k = 0; k < 1000; k++) {
        ck_assert(kb_reserve(&a, (void **)&array, &capacity, (size_t)k + 1, sizeof *array));
        ck_assert_uint_gt(capacity, (size_t)k);
        array[k] = k;
    }
    ck_assert_int_lt(f.requests, 20); /* doubling */
    f.fail_at = f.requests + 1;
    int *before = array;
    size_t kept = capacity;
    ck_assert(!kb_reserve(&a, (void **)&array, &capacity, kept + 1, sizeof *array));
    ck_assert(!kb_reserve(&a, (void **)&array, &capacity, SIZE_MAX / 2, sizeof *array));
    ck_assert(array == before && capacity == kept);
    for (int k = 0; k < 1000; k++)
        ck_assert_int_eq(array[k], k);
    kb_free(&a, array);
    ck_assert_int_eq(f.blocks, 0);
}
END_TEST

static bool all_are(const unsigned char *bytes, size_t size, unsigned char value)
{
    for (size_t k = 0; k < size; k++)
        if (bytes[k] != value)
            return false;
    return true;
}

START_TEST(arenas_give_aligned_zeros_apart_from_each_other)
{
    static const size_t sizes[] = {0, 1, 3, 16, 17, 100, 5000, 16384, 16385, 100000};
    failing f = {0};
    kcl_allocator a = failing_allocator(&f);
    kb_arena arena;
    kb_arena_init(&arena, &a);
    for (int round = 0; round < 2; round++) { /* the text may be used again */
        unsigned char *block[20 * KB_COUNT(sizes)];
        for (size_t k = 0; k < KB_COUNT(block); k++) {
            size_t size = sizes[k % KB_COUNT(sizes)];
            block[k] = kb_arena_alloc(&arena, size);
            ck_assert_ptr_nonnull(block[k]);
            ck_assert_uint_eq((uintptr_t)block[k] % _Alignof(max_align_t), 0);
            ck_assert(all_are(block[k], size, 0));
            memset(block[k], (int)k + 1, size);
        }
        for (size_t k = 0; k < KB_COUNT(block); k++)
            ck_assert(all_are(block[k], sizes[k % KB_COUNT(sizes)], (unsigned char)(k + 1)));
        ck_assert_str_eq(kb_arena_strdup(&arena, "kept"), "kept");
        kb_arena_finish(&arena);
        ck_assert_int_eq(f.blocks, 0);
    }
    ck_assert_ptr_null(kb_arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(kb_arena_alloc(&arena, SIZE_MAX / 2 + 1));
    f.fail_at = f.requests + 1;
    ck_assert_ptr_null(kb_arena_alloc(&arena, 1));
    ck_assert_ptr_null(kb_arena_strdup(&arena, "text"));
    f.fail_at = 0;
    ck_assert_ptr_nonnull(kb_arena_alloc(&arena, 1));
    kb_arena_finish(&arena);
    ck_assert_int_eq(f.blocks, 0);
}
END_TEST

/* ---- Text -------------------------------------------------------------------------------------------------------- */

START_TEST(texts_are_appended)
{
    kb_str s;
    kb_str_init(&s, NULL);
    ck_assert_str_eq(kb_str_text(&s), "");
    kb_str_put(&s, "");
    kb_str_put(&s, "one ");
    kb_str_putn(&s, "two three", 4);
    kb_str_putf(&s, "%d %s", 4, "five");
    ck_assert_str_eq(kb_str_text(&s), "one two 4 five");
    ck_assert_uint_eq(s.length, 14);
    kb_str_clear(&s);
    ck_assert_str_eq(kb_str_text(&s), "");
    char word[1000];
    for (size_t n = 250; n < 262; n++) { /* about the size of the formatter's own buffer */
        memset(word, 'w', n);
        word[n] = 0;
        kb_str_clear(&s);
        kb_str_put(&s, "<");
        kb_str_putf(&s, "%s", word);
        kb_str_put(&s, ">");
        ck_assert_uint_eq(s.length, n + 2);
        ck_assert_uint_eq(strlen(kb_str_text(&s)), n + 2);
        ck_assert_int_eq(s.data[n], 'w');
        ck_assert_int_eq(s.data[n + 1], '>');
    }
    ck_assert(!s.failed);
    kb_str_finish(&s);
    ck_assert_str_eq(kb_str_text(&s), "");
    kb_str_finish(&s);
}
END_TEST

START_TEST(a_text_without_memory_says_so_and_stays_valid)
{
    for (long long n = 1; n < 8; n++) {
        failing f = {.fail_at = n};
        kcl_allocator a = failing_allocator(&f);
        kb_str s;
        kb_str_init(&s, &a);
        for (int k = 0; k < 200; k++) {
            kb_str_put(&s, "piece");
            kb_str_putf(&s, "%300d", k);
            kb_str_put_double(&s, 0.1, false);
        }
        ck_assert(s.failed);
        ck_assert_uint_eq(strlen(kb_str_text(&s)), s.length);
        kb_str_finish(&s);
        ck_assert(!s.failed);
        ck_assert_int_eq(f.blocks, 0);
    }
}
END_TEST

static const struct {
    double value;
    const char *text;
} shortest[] = {
    {0, "0"}, {1, "1"}, {-2, "-2"}, {0.5, "0.5"}, {0.1, "0.1"}, {1.0 / 3, "0.3333333333333333"}, {1e300, "1e+300"},
    {0x1p-1074, "5e-324"}, {123456789, "123456789"}, {1e21, "1e+21"}, {0.30000000000000004, "0.30000000000000004"},
    {INFINITY, "inf"}, {-INFINITY, "-inf"}, {-0.0, "-0"},
};

static void check_numbers(void)
{
    kb_str s;
    kb_str_init(&s, NULL);
    for (size_t k = 0; k < KB_COUNT(shortest); k++) {
        kb_str_clear(&s);
        kb_str_put_double(&s, shortest[k].value, false);
        ck_assert_str_eq(kb_str_text(&s), shortest[k].text);
    }
    kb_str_clear(&s);
    kb_str_put_double(&s, NAN, true);
    ck_assert_str_eq(kb_str_text(&s), "nan");
    uint64_t state = 1;
    for (int k = 0; k < 20000; k++) {
        state = kb_hash_combine(state, 1);
        uint64_t bits = state & ~(UINT64_C(1) << 63);
        double value, back = -1;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        kb_str_clear(&s);
        kb_str_put_double(&s, value, false);
        ck_assert_ptr_null(strchr(kb_str_text(&s), ','));
        ck_assert_uint_eq(kb_parse_double(kb_str_text(&s), s.length, &back), s.length);
        ck_assert_msg(back == value, "%s is %a, not %a", kb_str_text(&s), back, value);
        kb_str_clear(&s);
        kb_str_put_double(&s, value, true);
        ck_assert_ptr_null(strchr(kb_str_text(&s), ','));
        double exact = 0;
        /* Read without strtod, which wants the point of the locale. */
        const char *p = strstr(kb_str_text(&s), "0x");
        ck_assert_ptr_nonnull(p);
        int exponent = 0, digits = 0;
        for (p += 2; *p && *p != 'p'; p++) {
            if (*p == '.') {
                digits = 1;
                continue;
            }
            exact = exact * 16 + (*p <= '9' ? *p - '0' : *p - 'a' + 10);
            exponent -= digits ? 4 : 0;
        }
        exponent += atoi(p + 1);
        ck_assert_msg(ldexp(exact, exponent) == value, "%s", kb_str_text(&s));
    }
    kb_str_finish(&s);
}

static const struct {
    const char *text;
    size_t length;
    double value;
} readings[] = {
    {"1", 1, 1}, {"12.5x", 4, 12.5}, {".5", 2, 0.5}, {"5.", 2, 5}, {"1e3", 3, 1000}, {"1E-2+", 4, 0.01},
    {"1e+2", 4, 100}, {"2e", 1, 2}, {"2e+", 1, 2}, {"2ex", 1, 2}, {"1.2.3", 3, 1.2}, {"1,5", 1, 1}, {"0x10", 1, 0},
    {"", 0, 0}, {".", 0, 0}, {"-1", 0, 0}, {"+1", 0, 0}, {"e5", 0, 0}, {"nan", 0, 0}, {"inf", 0, 0}, {" 1", 0, 0},
    {"1e999", 5, INFINITY}, {"1e-999", 6, 0}, {"0.1", 3, 0.1},
};

static void check_readings(void)
{
    for (size_t k = 0; k < KB_COUNT(readings); k++) {
        double value = -7;
        size_t length = kb_parse_double(readings[k].text, strlen(readings[k].text), &value);
        ck_assert_msg(length == readings[k].length, "\"%s\": %zu characters", readings[k].text, length);
        if (length)
            ck_assert_msg(value == readings[k].value, "\"%s\": %g", readings[k].text, value);
    }
    double value;
    ck_assert_uint_eq(kb_parse_double("12345", 3, &value), 3); /* not beyond `length` */
    ck_assert(value == 123);
    char many[300];
    memset(many, '1', sizeof many);
    size_t length = kb_parse_double(many, sizeof many, &value);
    ck_assert(length == 0 || length == sizeof many); /* all of it, or nothing */
}

START_TEST(numbers_are_written_and_read_back)
{
    check_numbers();
    check_readings();
}
END_TEST

START_TEST(numbers_do_not_depend_on_the_locale)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "de_DE",
                                        "ru_RU.UTF-8"};
    for (size_t k = 0; k < KB_COUNT(names); k++) {
        if (!setlocale(LC_NUMERIC, names[k]) || strcmp(localeconv()->decimal_point, ",") != 0)
            continue;
        char text[16];
        snprintf(text, sizeof text, "%g", 0.5);
        ck_assert_str_eq(text, "0,5");
        check_numbers();
        check_readings();
        setlocale(LC_NUMERIC, "C");
        return;
    }
    printf("no locale with a decimal comma is installed: that case is not tested\n");
}
END_TEST

/* ---- Hash -------------------------------------------------------------------------------------------------------- */

START_TEST(hashes_depend_on_every_bit_and_on_the_seed)
{
    unsigned char data[64] = {0};
    uint64_t seen[64 * 8 + 3];
    size_t count = 0;
    seen[count++] = kb_hash(data, sizeof data, 0);
    seen[count++] = kb_hash(data, sizeof data, 1);
    seen[count++] = kb_hash(data, sizeof data - 1, 0);
    for (size_t bit = 0; bit < 512; bit++) {
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        seen[count++] = kb_hash(data, sizeof data, 0);
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    ck_assert_uint_eq(kb_hash(data, sizeof data, 0), seen[0]);
    int same = 0;
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < a; b++)
            same += seen[a] == seen[b];
    ck_assert_int_eq(same, 0);
    ck_assert_uint_ne(kb_hash_combine(1, 2), kb_hash_combine(2, 1));
    ck_assert_uint_ne(kb_hash_combine(0, 0), 0);
    /* Low bits choose slots of tables: small numbers must not share them. */
    int slots[256] = {0}, most = 0;
    for (uint64_t k = 0; k < 4096; k++) {
        int used = ++slots[kb_hash_combine(7, k) & 255];
        most = KB_MAX(most, used);
    }
    ck_assert_int_lt(most, 40);
}
END_TEST

/* ---- Log, clock -------------------------------------------------------------------------------------------------- */

static void keep_line(void *user, const char *line)
{
    strcat(user, line);
}

START_TEST(log_lines_are_formatted_and_bounded)
{
    static char lines[8192], text[5000];
    kb_log_line(&(kb_log){NULL, NULL}, "%s", "nobody listens");
    kb_log log = {keep_line, lines};
    kb_log_line(&log, "%d rows", 7);
    ck_assert_str_eq(lines, "7 rows");
    memset(text, 'a', sizeof text - 1);
    lines[0] = 0;
    kb_log_line(&log, "%s", text);
    ck_assert_uint_gt(strlen(lines), 1000);
    ck_assert_uint_lt(strlen(lines), sizeof text - 1);
    double start = kb_seconds();
    ck_assert(kb_seconds() >= start);
    ck_assert_int_ge(kb_processors(), 1);
}
END_TEST

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

typedef struct job {
    atomic_int visits[1000];
    atomic_int bad_worker, threads;
} job;

static void visit(void *user, int64_t k, int worker)
{
    job *j = user;
    atomic_fetch_add(&j->visits[k], 1);
    if (worker < 0 || worker >= KB_MAX(j->threads, 1) || worker >= 256)
        atomic_store(&j->bad_worker, 1);
}

START_TEST(parallel_for_visits_everything_once)
{
    static const int threads[] = {-1, 0, 1, 2, 3, 7, 64, 100000};
    static const int64_t counts[] = {0, 1, 2, 5, 1000};
    for (size_t t = 0; t < KB_COUNT(threads); t++)
        for (size_t c = 0; c < KB_COUNT(counts); c++) {
            static job j;
            memset(&j, 0, sizeof j);
            j.threads = threads[t];
            kb_parallel_for(threads[t], counts[c], visit, &j);
            int64_t wrong = 0;
            for (int64_t k = 0; k < 1000; k++)
                wrong += j.visits[k] != (k < counts[c]);
            ck_assert_int_eq(wrong, 0);
            ck_assert_int_eq(j.bad_worker, 0);
        }
}
END_TEST

/* ---- Sizes and arrays -------------------------------------------------------------------------------------------- */

START_TEST(products_that_overflow_are_seen)
{
    int64_t p = -1;
    ck_assert(!kb_mul_overflows(3, 4, &p) && p == 12);
    ck_assert(!kb_mul_overflows(0, INT64_MAX, &p) && p == 0);
    ck_assert(!kb_mul_overflows(INT64_MAX, 0, &p) && p == 0);
    ck_assert(!kb_mul_overflows(INT64_MAX, 1, &p) && p == INT64_MAX);
    ck_assert(!kb_mul_overflows(INT64_C(1) << 31, (INT64_C(1) << 32) - 1, &p));
    ck_assert(kb_mul_overflows(INT64_C(1) << 31, INT64_C(1) << 32, &p));
    ck_assert(kb_mul_overflows(INT64_MAX, 2, &p) && kb_mul_overflows(2, INT64_MAX, &p));
}
END_TEST

START_TEST(types)
{
    ck_assert_uint_eq(kb_dtype_size(KCL_F32), sizeof(float));
    ck_assert_uint_eq(kb_dtype_size(KCL_F64), sizeof(double));
    ck_assert_uint_eq(kb_dtype_size(KCL_DTYPE_NONE), 0);
    ck_assert_uint_eq(kb_dtype_size((kcl_dtype)99), 0);
    ck_assert_str_eq(kb_dtype_name(KCL_F32), "float32");
    ck_assert_str_eq(kb_dtype_name(KCL_F64), "float64");
    ck_assert_str_eq(kb_dtype_name((kcl_dtype)99), "no type");
}
END_TEST

START_TEST(arrays_are_dense_and_row_major)
{
    static const float data[24];
    kcl_array a = kcl_array_f32(data, 3, (const int64_t[]){2, 3, 4});
    ck_assert(a.data == data);
    ck_assert_int_eq(a.ndim, 3);
    ck_assert_int_eq(a.dtype, KCL_F32);
    ck_assert(a.shape[0] == 2 && a.shape[1] == 3 && a.shape[2] == 4);
    ck_assert(a.stride[0] == 48 && a.stride[1] == 16 && a.stride[2] == 4);
    ck_assert_int_eq(kcl_array_of(data, KCL_F64, 0, NULL).ndim, 0);
    kcl_array empty = kcl_array_of(NULL, KCL_F64, 2, (const int64_t[]){0, 5});
    ck_assert(empty.ndim == 2 && empty.shape[0] == 0 && empty.stride[0] == 40 && empty.stride[1] == 8);
    ck_assert_int_eq(kcl_array_of(NULL, KCL_F64, 2, (const int64_t[]){5, 0}).ndim, 2);
    const int64_t nine[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    ck_assert_int_eq(kcl_array_of(data, KCL_F32, KCL_MAX_AXES, nine).ndim, KCL_MAX_AXES);
    const int64_t shape[] = {3, 2}, stride[] = {-16, 0};
    a = kcl_array_strided(data + 8, KCL_F32, 2, shape, stride);
    ck_assert(a.data == data + 8 && a.ndim == 2 && a.dtype == KCL_F32 && a.shape[0] == 3 && a.shape[1] == 2);
    ck_assert(a.stride[0] == -16 && a.stride[1] == 0);
    ck_assert_int_eq(kcl_array_strided(data, KCL_F32, 2, shape, NULL).stride[0], 8);
    ck_assert_int_eq(kcl_array_strided(data, KCL_F32, -2, shape, stride).ndim, -1);
}
END_TEST

static const struct {
    int dtype, ndim;
    int64_t shape[2];
} impossible[] = {
    {KCL_F32, -1, {1, 1}},
    {KCL_F32, KCL_MAX_AXES + 1, {1, 1}},
    {KCL_DTYPE_NONE, 2, {1, 1}},
    {99, 2, {1, 1}},
    {KCL_F32, 2, {-1, 3}},
    {KCL_F32, 2, {3, -1}},
    {KCL_F32, 2, {INT64_MIN, 1}},
    {KCL_F32, 2, {INT64_C(1) << 31, INT64_C(1) << 31}},
    {KCL_F64, 2, {INT64_C(1) << 30, INT64_C(1) << 30}},
    {KCL_F64, 1, {INT64_MAX}},
    {KCL_F64, 2, {INT64_MAX, 0}}, /* no element, but strides that no address has */
};

START_TEST(impossible_arrays_are_marked)
{
    kcl_array a = kcl_array_of(NULL, (kcl_dtype)impossible[_i].dtype, impossible[_i].ndim, impossible[_i].shape);
    ck_assert_int_eq(a.ndim, -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, every_status_has_a_name_and_a_text);
    tcase_add_test(tests, the_version_is_that_of_the_headers);
    tcase_add_test(tests, errors_hold_a_sentence);
    tcase_add_test(tests, errors_that_are_too_long_end_in_dots);
    tcase_add_test(tests, allocations);
    tcase_add_test(tests, arrays_grow_and_stay_where_memory_is_out);
    tcase_add_test(tests, arenas_give_aligned_zeros_apart_from_each_other);
    tcase_add_test(tests, texts_are_appended);
    tcase_add_test(tests, a_text_without_memory_says_so_and_stays_valid);
    tcase_add_test(tests, numbers_are_written_and_read_back);
    tcase_add_test(tests, numbers_do_not_depend_on_the_locale);
    tcase_add_test(tests, hashes_depend_on_every_bit_and_on_the_seed);
    tcase_add_test(tests, log_lines_are_formatted_and_bounded);
    tcase_add_test(tests, parallel_for_visits_everything_once);
    tcase_add_test(tests, products_that_overflow_are_seen);
    tcase_add_test(tests, types);
    tcase_add_test(tests, arrays_are_dense_and_row_major);
    tcase_add_loop_test(tests, impossible_arrays_are_marked, 0, KB_COUNT(impossible));
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
