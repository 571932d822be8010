/* SPDX-License-Identifier: MIT */
/* tests/cli/test_npy.c: NumPy files, good and bad; both formats written and read again. */
#define _XOPEN_SOURCE 700 /* fmemopen, files */
#include "table_checks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    unsigned char data[2048];
    size_t size;
} bytes;

static void put(bytes *b, const void *data, size_t size)
{
    ck_assert(b->size + size <= sizeof b->data);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

/* A file of a version, made byte by byte: `header` without its padding. */
static bytes npy(int version, const char *header, const void *data, size_t size)
{
    bytes b = {{0}, 0};
    size_t width = version == 1 ? 2 : 4, length = strlen(header), padded = length;
    while ((8 + width + padded + 1) % 64)
        padded++;
    padded++;
    put(&b, "\x93NUMPY", 6);
    unsigned char numbers[6] = {(unsigned char)version, 0, padded & 255, (unsigned char)(padded >> 8), 0, 0};
    put(&b, numbers, 2 + width);
    put(&b, header, length);
    while (length++ < padded - 1)
        put(&b, " ", 1);
    put(&b, "\n", 1);
    put(&b, data, size);
    return b;
}

/* Bytes of an IEEE number or an integer, the most significant byte last. */
static void put_number(bytes *b, uint64_t bits, size_t size, bool big_endian)
{
    for (size_t k = 0; k < size; k++) {
        unsigned char byte = (unsigned char)(bits >> (8 * (big_endian ? size - 1 - k : k)));
        put(b, &byte, 1);
    }
}

/* 1.5, -2, 0.1f, 3 rows of 2 with 1e30f and infinity */
static const uint32_t f4_bits[6] = {0x3fc00000, 0xc0000000, 0x3dcccccd, 0x00000001, 0x7149f2ca, 0x7f800000};
static const double f4_values[6] = {1.5, -2, 0.1f, 0x1p-149, 1e30f, INFINITY};
static const uint64_t f8_bits[6] = {0x3ff8000000000000, 0xc000000000000000, 0x3fb999999999999a,
                                    0x0000000000000001, 0x7fefffffffffffff, 0x7ff8000000000000};
static const double f8_values[6] = {1.5, -2, 0.1, 0x1p-1074, 0x1.fffffffffffffp1023, NAN};

static bytes numbers(const char *type, bool big_endian)
{
    static const int64_t integers[6] = {1, -2, 2147483647, -2147483647 - 1, 0, 255};
    bytes b = {{0}, 0};
    for (int k = 0; k < 6; k++) {
        uint64_t bits = strcmp(type, "f4") == 0   ? f4_bits[k]
                        : strcmp(type, "f8") == 0 ? f8_bits[k]
                                                  : (uint64_t)integers[k];
        put_number(&b, bits, (size_t)(type[1] - '0'), big_endian);
    }
    return b;
}

static const double integer_values[6] = {1, -2, 2147483647, -2147483648.0, 0, 255};

static const struct {
    const char *type;
    kcl_dtype dtype, natural;
    const double *values;
} types[] = {
    {"f4", KCL_F32, KCL_F32, f4_values},
    {"f8", KCL_F64, KCL_F64, f8_values},
    {"i4", KCL_I64, KCL_I64, integer_values},
    {"i8", KCL_I64, KCL_I64, integer_values},
};

START_TEST(npy_every_version_type_and_byte_order)
{
    for (int version = 1; version <= 3; version++)
        for (size_t k = 0; k < sizeof types / sizeof *types; k++)
            for (int big = 0; big < 2; big++) {
                char header[128];
                bytes data = numbers(types[k].type, big);
                snprintf(header, sizeof header, "{'descr': '%c%s', 'fortran_order': False, 'shape': (3, 2), }",
                         big ? '>' : '<', types[k].type);
                bytes file = npy(version, header, data.data, data.size);
                assert_table(file.data, file.size, types[k].dtype, types[k].natural, 2, 3, 2, types[k].values);
            }
}
END_TEST

START_TEST(npy_fortran_order_is_transposed)
{
    static const int order[6] = {0, 2, 4, 1, 3, 5}; /* element k of the file, for k by rows: k / 2 + 3 * (k % 2) */
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        for (int big = 0; big < 2; big++) {
            char header[128];
            size_t size = (size_t)(types[k].type[1] - '0');
            bytes rows = numbers(types[k].type, big), columns = {{0}, 0};
            for (int e = 0; e < 6; e++)
                put(&columns, rows.data + (size_t)order[e] * size, size);
            snprintf(header, sizeof header, "{'descr': '%c%s', 'fortran_order': True, 'shape': (3, 2), }",
                     big ? '>' : '<', types[k].type);
            bytes file = npy(1, header, columns.data, columns.size);
            assert_table(file.data, file.size, types[k].dtype, types[k].natural, 2, 3, 2, types[k].values);
        }
}
END_TEST

START_TEST(npy_header_entries_in_any_order_and_style)
{
    static const char *const headers[] = {
        "{'shape': (3, 2), 'fortran_order': False, 'descr': '<f4'}",
        "{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(3,2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 2L), }", /* Python 2 */
    };
    bytes data = numbers("f4", false);
    for (size_t k = 0; k < sizeof headers / sizeof *headers; k++) {
        bytes file = npy(1, headers[k], data.data, data.size);
        assert_table(file.data, file.size, KCL_F32, KCL_F32, 2, 3, 2, f4_values);
    }
}
END_TEST

START_TEST(npy_one_axis_no_axis_and_no_rows)
{
    bytes data = numbers("f4", false);
    bytes file = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", data.data, 24);
    assert_table(file.data, file.size, KCL_F32, KCL_F32, 1, 6, 1, f4_values);
    file = npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (6,), }", data.data, 24);
    assert_table(file.data, file.size, KCL_F32, KCL_F32, 1, 6, 1, f4_values);
    file = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", data.data, 4);
    assert_table(file.data, file.size, KCL_F32, KCL_F32, 0, 1, 1, f4_values);
    file = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }", "", 0);
    assert_table(file.data, file.size, KCL_F32, KCL_F32, 2, 0, 3, NULL);
    file = npy(1, "{'descr': '<f8', 'fortran_order': True, 'shape': (0, 3), }", "", 0);
    assert_table(file.data, file.size, KCL_F64, KCL_F64, 2, 0, 3, NULL);
}
END_TEST

START_TEST(npy_cut_anywhere_is_an_error)
{
    for (int version = 1; version <= 3; version++)
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            char header[128];
            bytes data = numbers(types[k].type, false);
            snprintf(header, sizeof header, "{'descr': '<%s', 'fortran_order': %s, 'shape': (3, 2), }", types[k].type,
                     version == 2 ? "True" : "False");
            bytes file = npy(version, header, data.data, data.size);
            assert_refused(file.data, 0, "the file is empty");
            for (size_t size = 1; size < file.size; size++)
                assert_refused(file.data, size, "truncated");
            put(&file, "x", 1);
            assert_refused(file.data, file.size, "longer than");
        }
}
END_TEST

START_TEST(npy_damaged_anywhere_never_crashes)
{
    static const char replacements[] = {0, '\n', '\'', '(', ')', '-', '9', ',', '{', '}', ' ', '\x7f', '\xff'};
    bytes data = numbers("f8", false);
    bytes file = npy(2, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }", data.data, data.size);
    int refused = 0;
    for (size_t k = 0; k + data.size < file.size; k++)
        for (size_t r = 0; r < sizeof replacements; r++) {
            bytes damaged = file;
            table t;
            fault f;
            damaged.data[k] = (unsigned char)replacements[r];
            if (read_memory(&t, damaged.data, damaged.size, &f) != EXIT_DONE)
                refused++;
            else
                ck_assert_int_eq(t.rows * t.columns, 6); /* the change leaves a valid header of as many numbers */
            table_free(&t);
        }
    ck_assert_int_gt(refused, 500);
}
END_TEST

START_TEST(npy_wrong_headers_tell_why)
{
    static const struct {
        const char *header, *reason;
    } rows[] = {
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (3, 2), }", "dtype <f2 is not supported"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2), }", "dtype |u1 is not supported"},
        {"{'descr': '<c16', 'fortran_order': False, 'shape': (3, 2), }", "dtype <c16 is not supported"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }", "dtype |O is not supported"},
        {"{'descr': '', 'fortran_order': False, 'shape': (3, 2), }", "is not supported"},
        {"{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (3,), }",
         "dtype [('a', '<f4'), ('b', '<f4')] is not supported; float32, float64, int32 and int64 are"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 1), }", "the array has 3 axes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, -2), }", "axis 1 a negative size"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", "overflow"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2), }", "overflow"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,), }", "overflow"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 9223372036854775807), }", "overflow"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (250000000000, 4), }", "truncated"},
        {"{'descr': '<f8', 'fortran_order': True, 'shape': (1, 100000000000000000), }", "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 3, }", "cannot be understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3 2), }", "cannot be understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2", "cannot be understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), } x", "cannot be understood"},
        {"{'descr': '<f4', 'fortran_order': 1, 'shape': (3, 2), }", "cannot be understood"},
        {"{'descr': '<f4', 'fortran_order': False, }", "cannot be understood"},
        {"{'descr': '<f4', 'shape': (3, 2), }", "cannot be understood"},
        {"{'fortran_order': False, 'shape': (3, 2), }", "cannot be understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), 'order': 'C', }", "cannot be understood"},
        {"[]", "cannot be understood"},
        {"", "cannot be understood"},
    };
    bytes data = numbers("f4", false);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        bytes file = npy(1, rows[k].header, data.data, data.size);
        assert_refused(file.data, file.size, rows[k].reason);
    }
}
END_TEST

START_TEST(npy_wrong_prelude_tells_why)
{
    bytes file = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2), }", "", 0);
    file.data[6] = 4;
    assert_refused(file.data, file.size, "version 4.0 of the .npy format is unknown");
    file.data[6] = 1;
    file.data[7] = 7;
    assert_refused(file.data, file.size, "version 1.7 of the .npy format is unknown");
    file.data[5] = 'X';
    assert_refused(file.data, file.size, "neither a .npy file nor a text table");
    assert_refused("\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13, "claims 4294967295 bytes");
}
END_TEST

/* Writes a table in one of the formats, and reads it back. */
static void assert_round_trip(const table *t, void (*write)(const table *, FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    write(t, file);
    ck_assert(!ferror(file) && fclose(file) == 0);
    table back;
    fault f;
    ck_assert_msg(read_memory(&back, text, size, &f) == EXIT_DONE, "%s", f.text);
    ck_assert_int_eq(back.rows, t->rows);
    ck_assert_int_eq(back.columns, t->columns);
    ck_assert_msg(table_convert(&back, t->dtype, "back", &f) == EXIT_DONE, "%s", f.text);
    for (int64_t k = 0; k < t->rows * t->columns; k++) {
        double wanted = table_get(t, k), value = table_get(&back, k);
        ck_assert_msg((isnan(wanted) && isnan(value)) || (value == wanted && signbit(value) == signbit(wanted)),
                      "%.17g was read back as %.17g", wanted, value);
    }
    table_free(&back);
    free(text);
}

START_TEST(numbers_survive_both_formats)
{
    uint64_t state = 2463534242;
    for (int dtype = KCL_F32; dtype <= KCL_F64; dtype++) {
        table t;
        fault f;
        ck_assert_int_eq(table_create(&t, dtype, 2000, 3, &f), EXIT_DONE);
        for (int64_t k = 0; k < 6000; k++) { /* all bit patterns are numbers of the type */
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if (dtype == KCL_F32)
                ((uint32_t *)t.values)[k] = (uint32_t)(state >> 32);
            else
                ((uint64_t *)t.values)[k] = state;
        }
        const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 0.1, 1e-40, 16777217, 1.0 / 3};
        for (size_t k = 0; k < sizeof special / sizeof *special; k++)
            table_set(&t, (int64_t)k, special[k]);
        assert_round_trip(&t, npy_write);
        assert_round_trip(&t, text_write);
        table_free(&t);
    }
}
END_TEST

START_TEST(npy_written_as_numpy_does)
{
    static const char wanted[] =
        "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"
        "                                                          \n\x00\x00\xc0\x3f\x00\x00\x00\xc0";
    float values[2] = {1.5f, -2};
    table t = {values, KCL_F32, KCL_F32, 2, 1, 2};
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    npy_write(&t, file);
    fclose(file);
    ck_assert_uint_eq(size, 128 + 8);
    ck_assert_uint_eq(sizeof wanted - 1, 128 + 8);
    ck_assert_mem_eq(text, wanted, 128 + 8);
    free(text);
    t.axes = 1;
    file = open_memstream(&text, &size);
    npy_write(&t, file);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text + 10, "'shape': (2,), }"));
    free(text);
}
END_TEST

START_TEST(integers_are_exact_or_refused)
{
    static const struct {
        const char *text;
        int64_t first;
    } whole[] = {{"9007199254740993\n1\n", 9007199254740993},
                 {"x\n-9007199254740993\n", -9007199254740993},
                 {"+9223372036854775807\n-9223372036854775808\n", INT64_MAX},
                 {"000000000000000000000000012\n", 12}};
    for (size_t k = 0; k < sizeof whole / sizeof *whole; k++) {
        table t;
        fault f;
        ck_assert_msg(read_memory(&t, whole[k].text, strlen(whole[k].text), &f) == EXIT_DONE, "%s", f.text);
        ck_assert_int_eq(t.dtype, KCL_I64);
        ck_assert_int_eq(((const int64_t *)t.values)[0], whole[k].first);
        bool fits = whole[k].first == 12;
        ck_assert_int_eq(table_convert(&t, KCL_F64, "argument 'x'", &f), fits ? EXIT_DONE : EXIT_COMPUTATION);
        if (!fits)
            ck_assert_ptr_nonnull(strstr(f.text, "argument 'x': row 1, column 1: float64 does not hold the integer "));
        table_free(&t);
    }
    for (int fortran = 0; fortran < 2; fortran++) {
        char header[128];
        bytes data = {{0}, 0};
        table t;
        fault f;
        for (int k = 0; k < 4; k++)
            put_number(&data, 9007199254740993u + (uint64_t)k, 8, fortran);
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': %s, 'shape': (2, 2), }",
                 fortran ? ">i8" : "<i8", fortran ? "True" : "False");
        bytes file = npy(1, header, data.data, data.size);
        ck_assert_msg(read_memory(&t, file.data, file.size, &f) == EXIT_DONE, "%s", f.text);
        const int64_t *values = t.values;
        ck_assert(values[0] == 9007199254740993 && values[fortran ? 2 : 1] == 9007199254740994 &&
                  values[3] == 9007199254740996);
        ck_assert_int_eq(table_convert(&t, KCL_F32, "argument 'x'", &f), EXIT_COMPUTATION);
        ck_assert_str_eq(f.text, "argument 'x': row 1, column 1: float64 does not hold the integer 9007199254740993");
        table_free(&t);
    }
    /* Whole numbers among real numbers have to be doubles. */
    static const double reals[3] = {9007199254740992, 0.5, 1.8446744073709552e19};
    assert_text(MISSING_IS_ERROR, "9007199254740992\n0.5\n18446744073709551616\n", false, 3, 1, reals);
    assert_text(MISSING_IS_ERROR, "9007199254740992\n.5\n18446744073709551616", false, 3, 1, reals);
    static const struct {
        const char *text, *reason;
    } refused[] = {
        {"9007199254740993\n0.5\n",
         "line 1, column 1: float64 does not hold 9007199254740993; write it with a decimal"},
        {"0.5 1\n2 9007199254740993\n", "line 2, column 2: float64 does not hold 9007199254740993"},
        {"1\n18446744073709551617\n", "line 2, column 1: float64 does not hold 18446744073709551617"},
        {"1,-9223372036854775809\n", "line 1, column 2: float64 does not hold -9223372036854775809"},
    };
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
        assert_refused(refused[k].text, strlen(refused[k].text), refused[k].reason);
    static const double rounded[2] = {9007199254740992, 0.5};
    assert_text(MISSING_IS_ERROR, "9007199254740993.\n0.5\n", false, 2, 1, rounded);
    assert_text(MISSING_IS_ERROR, "9.007199254740993e15\n0.5\n", false, 2, 1, rounded);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {integers_are_exact_or_refused,      npy_every_version_type_and_byte_order,
                                  npy_fortran_order_is_transposed,    npy_header_entries_in_any_order_and_style,
                                  npy_one_axis_no_axis_and_no_rows,   npy_cut_anywhere_is_an_error,
                                  npy_damaged_anywhere_never_crashes, npy_wrong_headers_tell_why,
                                  npy_wrong_prelude_tells_why,        numbers_survive_both_formats,
                                  npy_written_as_numpy_does};
    return run_table_tests("NumPy files", tests, sizeof tests / sizeof *tests);
}
