/* SPDX-License-Identifier: MIT */
/* tests/cli/test_data.c: NumPy files and text tables, good and bad. */
#define _XOPEN_SOURCE 700 /* fmemopen, files */
#include "data.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_memory_by(table *t, const void *bytes, size_t size, missing_rule missing, fault *f)
{
    /* A copy of the exact size, so that a sanitizer sees a read beyond the end; fmemopen refuses size 0. */
    void *copy = malloc(size + !size);
    memcpy(copy, bytes, size);
    FILE *file = size ? fmemopen(copy, size, "rb") : tmpfile();
    ck_assert_ptr_nonnull(file);
    memset(f, 0, sizeof *f);
    int code = table_read(t, file, "argument 'x', p", missing, f);
    fclose(file);
    free(copy);
    ck_assert_msg(code == EXIT_DONE || code == EXIT_COMPUTATION, "code %d", code);
    ck_assert_int_eq(code == EXIT_DONE, f->text[0] == 0);
    if (code)
        ck_assert_msg(strncmp(f->text, "argument 'x', p: ", 17) == 0 && !strchr(f->text, '\n'), "%s", f->text);
    return code;
}

static int read_memory(table *t, const void *bytes, size_t size, fault *f)
{
    return read_memory_by(t, bytes, size, MISSING_IS_ERROR, f);
}

/* Asserts that reading fails with a reason that contains `reason`. */
static void assert_refused(const void *bytes, size_t size, const char *reason)
{
    table t;
    fault f;
    ck_assert_int_eq(read_memory(&t, bytes, size, &f), EXIT_COMPUTATION);
    ck_assert_msg(strstr(f.text, reason) != NULL, "'%s' does not contain '%s'", f.text, reason);
    ck_assert_ptr_null(t.values);
}

static void assert_table_by(missing_rule missing, const void *bytes, size_t size, kcl_dtype dtype, kcl_dtype natural,
                            int axes, int64_t rows, int64_t columns, const double *values)
{
    table t;
    fault f;
    ck_assert_msg(read_memory_by(&t, bytes, size, missing, &f) == EXIT_DONE, "%s", f.text);
    ck_assert_int_eq(t.dtype, dtype);
    ck_assert_int_eq(t.natural, natural);
    ck_assert_int_eq(t.axes, axes);
    ck_assert_int_eq(t.rows, rows);
    ck_assert_int_eq(t.columns, columns);
    for (int64_t k = 0; k < rows * columns; k++) {
        double value = table_get(&t, k);
        ck_assert_msg(value == values[k] || (isnan(value) && isnan(values[k])), "element %d is %.17g, not %.17g",
                      (int)k, value, values[k]);
    }
    table_free(&t);
}

static void assert_table(const void *bytes, size_t size, kcl_dtype dtype, kcl_dtype natural, int axes, int64_t rows,
                         int64_t columns, const double *values)
{
    assert_table_by(MISSING_IS_ERROR, bytes, size, dtype, natural, axes, rows, columns, values);
}

/* A text table: whole numbers are int64. */
static void assert_text(missing_rule missing, const char *text, bool whole, int64_t rows, int64_t columns,
                        const double *values)
{
    assert_table_by(missing, text, strlen(text), whole ? KCL_I64 : KCL_F64, whole ? KCL_I64 : KCL_F32, 2, rows, columns,
                    values);
}

/* ---- NumPy files ------------------------------------------------------------------------------------------------- */

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

/* ---- Text tables ------------------------------------------------------------------------------------------------- */

static const double one_to_six[6] = {1, 2, 3, 4, 5, 6};

START_TEST(text_separators_comments_and_names)
{
    static const char *const texts[] = {
        "1 2\n3 4\n5 6\n",
        "1 2\n3 4\n5 6",
        "1,2\n3,4\n5,6\n",
        "1;2\r\n3;4\r\n5;6\r\n",
        "1\t2\n3\t4\n5\t6\n",
        "1\t2\t\n3\t4\t\n5\t6\t\n", /* as a loop that prints a tab behind each number */
        "1 2 \t\n3 4\t\t\n5 6\n",
        "  1   2\n\t 3\t,4\n",
        "  1 ,  2  \n 3\t,4\n5 , 6\n\n \n",
        "\n\n1 2\n3 4\n5 6\n\n\n",
        "# two columns\n1 2 # the first\n3 4\n#\n5 6\n## 7 8\n",
        "# 7 8\n1,2\n3,4 # 7, 8\n  # 7\n5,6,# 9\n",
        "x y\n1 2\n3 4\n5 6\n",
        "#x y\n1 2\n3 4\n5 6\n",
        "# units: m\n\nx,y\n1,2\n3,4\n5,6\n",
        "\"x, m\",\"y \"\"m\"\"\"\n\"1\",2\n3,\" 4 \"\n5,6\n",
        "mean x\tstd\n1\t 2\n3\t4 \n5\t6\n",
        "\"mean x\" std\n1 2\n\"3\"  \"4\"\n5 6\n",
        "x1;_2\n1;2\n3;4\n5;6\n",
        "\xc3\xa9t\xc3\xa9;%\n1;2\n3;4\n5;6\n",
        "\xef\xbb\xbf"
        "1 2\n3 4\n5 6\n",
        "\xef\xbb\xbf"
        "longitude;latitude\n1;2\n3;4\n5;6\n",
        "1\v2\f\n+3 4\n05 6\n",
    };
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        if (k == 7) /* a blank and a comma both separate */
            assert_refused(texts[k], strlen(texts[k]), "line 2 separates cells by ',', line 1 by blanks");
        else if (strstr(texts[k], ",# 9")) /* a comma in front of a comment is behind an empty cell */
            assert_refused(texts[k], strlen(texts[k]), "line 5, column 3: the cell is empty");
        else
            assert_text(MISSING_IS_ERROR, texts[k], true, 3, 2, one_to_six);
    }
    assert_text(MISSING_IS_ERROR, "1.0 +2e0\n0.03e2 4.\n.5e1 0x6\n", false, 3, 2, one_to_six);
    assert_text(MISSING_IS_ERROR, "1\n2\n3\n", true, 3, 1, one_to_six);
    assert_text(MISSING_IS_ERROR, "x\n1\t\n2\n3\t\n", true, 3, 1, one_to_six);
    assert_text(MISSING_IS_ERROR, "1 2 3", true, 1, 3, one_to_six);
    const double special[4] = {NAN, INFINITY, -INFINITY, -0.0};
    assert_text(MISSING_IS_ERROR, "nan inf\n-inf -0\n", false, 2, 2, special);
}
END_TEST

START_TEST(text_lines_end_in_lf_cr_or_both)
{
    static const char *const ends[] = {"\n", "\r", "\r\n"};
    static const char *const lines[] = {"# head", "x;y", "1;2", "3;4", "# between", "5;6"};
    for (size_t end = 0; end < 3; end++)
        for (int last = 0; last < 2; last++) {
            char text[128] = "";
            for (size_t k = 0; k < 6; k++) {
                strcat(text, lines[k]);
                strcat(text, k < 5 || last ? ends[end] : "");
            }
            assert_text(MISSING_IS_ERROR, text, true, 3, 2, one_to_six);
        }
    assert_text(MISSING_IS_ERROR, "1 2\r3 4\n5 6\r\n\r\n", true, 3, 2, one_to_six);
    assert_refused("1\r\r2\r", 5, "line 2 is empty and rows follow");
    assert_refused("1\r2 3", 5, "line 2 has 2 numbers, the rows before it have 1");
}
END_TEST

START_TEST(text_missing_values_are_errors_or_nan)
{
    static const char *const words[] = {"NA",  "N/A",   "#N/A",    "#NA",    "<NA>",    "null",  "NULL", "None",
                                        "-",   "--",    ".",       "?",      "n/a",     "na",    "\"\"", "\"NA\"",
                                        "#NV", "#REF!", "#DIV/0!", "#NAME?", "#VALUE!", "#NUM!", "#N/A!"};
    static const double first[3] = {NAN, 2, 3}, second[3] = {1, NAN, 3}, last[3] = {1, 2, NAN};
    static const struct {
        const char *format;
        const char *place;
        const double *values;
        int columns;
    } places[] = {
        {"%s\n2\n3\n", "line 1, column 1: ", first, 1},  {"1\n%s\n3\n", "line 2, column 1: ", second, 1},
        {"1\n2\n%s", "line 3, column 1: ", last, 1},     {"x\n%s\n2\n3\n", "line 2, column 1: ", first, 1},
        {"%s 2 3\n", "line 1, column 1: ", first, 3},    {"1;%s;3\n", "line 1, column 2: ", second, 3},
        {"1,2, %s \r\n", "line 1, column 3: ", last, 3}, {"1\t%s\t3", "line 1, column 2: ", second, 3},
    };
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
            char text[64], reason[64];
            snprintf(text, sizeof text, places[p].format, words[k]);
            if (words[k][0] == '"')
                snprintf(reason, sizeof reason, "%s", places[p].place);
            else
                snprintf(reason, sizeof reason, "%s'%s' is a missing value; --missing nan", places[p].place, words[k]);
            assert_refused(text, strlen(text), reason);
            assert_text(MISSING_IS_NAN, text, false, 3 / places[p].columns, places[p].columns, places[p].values);
        }

    static const struct {
        const char *text, *reason;
        const double *values;
    } empty[] = {
        {"1,,3\n", "line 1, column 2: the cell is empty; --missing nan reads NaN", second},
        {",2,3\n", "line 1, column 1: the cell is empty", first},
        {"1,2,\n", "line 1, column 3: the cell is empty", last},
        {"1; ;3\n", "line 1, column 2: the cell is empty", second},
        {"1\t\t3\n", "line 1, column 2: the cell is empty", second},
        {"\t2\t3\n", "line 1, column 1: the cell is empty", first},
        {"x\ty\tz\n1\t2\t\n", "line 2, column 3: the cell is empty", last},
        {"x\ty\tz\t\n1\t2\t\t\n", "line 2, column 3: the cell is empty", last},
    };
    for (size_t k = 0; k < sizeof empty / sizeof *empty; k++) {
        assert_refused(empty[k].text, strlen(empty[k].text), empty[k].reason);
        assert_text(MISSING_IS_NAN, empty[k].text, false, 1, 3, empty[k].values);
    }
    static const double rows[6] = {1, 2, NAN, NAN, NAN, 6};
    assert_refused("1\t2\n\t\n\t6\n", 9, "line 2, column 1: the cell is empty");
    assert_text(MISSING_IS_NAN, "1\t2\n\t\n\t6\n", false, 3, 2, rows);
    assert_text(MISSING_IS_NAN, "1,2\n,\n,6\n", false, 3, 2, rows);
    /* Rows of a table without tabs are not empty because of blanks. */
    assert_text(MISSING_IS_NAN, "1 2\n3 4\n5 6\n\t\n", true, 3, 2, one_to_six);
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

START_TEST(text_errors_name_the_line)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"1 2\n3 4\n# c\n5\n", "line 4 has 1 numbers, the rows before it have 2"},
        {"1 2\n3 4 5\n", "line 2 has 3 numbers, the rows before it have 2"},
        {"1\t2\n3\t4\t5\t\n", "line 2 has 3 numbers"},
        {"x y\n1 2\nu v\n", "line 3, column 1: 'u' is not a number"},
        {"1 b\n", "line 1, column 2: 'b' is not a number"},
        {"x 1\n2 3\n", "line 1, column 1: 'x' is not a number"},
        {"1 2\n3 4x\n", "line 2, column 2: '4x' is not a number"},
        {"1 2\n3 1e999\n", "line 2, column 2: '1e999' is not a number of double precision"},
        /* First lines that are numbers written wrong are no names. */
        {"1e999\n1\n2\n", "line 1, column 1: '1e999' is not a number of double precision"},
        {"1,5;2,5\n1;2\n", "line 1, column 1: '1,5' is not a number: numbers are written with a point, not a comma"},
        {"2020-01-05\n1\n", "line 1, column 1: '2020-01-05' is not a number"},
        {"$5\n1\n", "line 1, column 1: '$5' is not a number"},
        {"\xe2\x88\x92"
         "5\n1\n",
         "line 1, column 1: '\xe2\x88\x92"
         "5' is not a number"},
        {"1 2\n1,5 2\n", "line 2 separates cells by ',', line 1 by blanks; numbers are written with a point"},
        {"1,5 2,5\n", "line 1, column 2: '5 2' is not a number: here ',' separates cells, numbers are written with a"},
        {"1 2\n3\t4\n", "line 2 separates cells by tabs, line 1 by blanks"},
        {"1;2\n3 4\n", "line 2 separates cells by blanks, line 1 by ';'"},
        {"x y\n1,2\n", "line 2 separates cells by ',', line 1 by blanks"},
        /* Names that are not as many as the columns: R, for one, has no name for the names of rows. */
        {"x y z\n1 2\n", "line 1 has 3 names of columns, line 2 has 2 numbers; '# ' begins a title"},
        {"\"x\",\"y\"\n\"1\",2,3\n", "line 1 has 2 names of columns, line 2 has 3 numbers"},
        {"x\n1,5\n2,5\n", "line 1 has 1 names of columns, line 2 has 2 numbers"},
        {"a b\nc d\n1 2\n", "line 2, column 1: 'c' is not a number, and the names of columns are one line"},
        /* A '#' that does not surely begin a comment does not hide what follows. */
        {"1\n#2\n3\n", "line 2, column 1: '#2' is not a number; a comment is '#' and a blank"},
        {"#1\n2\n", "line 1, column 1: '#1' is not a number"},
        {"1 2 #note\n", "line 1, column 3: '#note' is not a number; a comment is '#' and a blank"},
        {"1 2# note\n", "line 1, column 2: '2#' is not a number"},
        /* An empty line may be a missing value, or lie between two tables. */
        {"1\n\n2\n", "line 2 is empty and rows follow"},
        {"1 2\n3 4\n \t\n\n# next\n5 6\n", "line 3 is empty and rows follow"},
        {"2,1 \",\"\n", "line 1: a quoted cell is not closed"},
        {"1,\"2\n3,4\n", "line 1: a quoted cell is not closed"},
        {"1,\"2\"3\n", "line 1, column 2: something follows a closing quote"},
        {"1 \"2\"3\n", "line 1, column 2: something follows a closing quote"},
        {"# nothing\n\n", "has no numbers"},
        {"x y z\n", "has no numbers"},
        {"\n", "has no numbers"},
        {"\xef\xbb\xbf", "has no numbers"},
        {"PK\x03\x04", "neither a .npy file nor a text table: line 1 has a byte 0x03"},
        {"1 2\n\x01\n", "neither a .npy file nor a text table: line 2 has a byte 0x01"},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        assert_refused(rows[k].text, strlen(rows[k].text), rows[k].reason);
    assert_refused("1 2\0 3\n", 7, "neither a .npy file nor a text table: line 1 has a byte 0x00");
    assert_refused("\xff\xfe\x31\0\n\0", 6, "a text in UTF-16; save it as UTF-8");
    assert_refused("", 0, "the file is empty");
}
END_TEST

/* Among texts of a small alphabet, those that can be read have a row for each line with a number. */
START_TEST(text_never_loses_a_line)
{
    static const char alphabet[] = "1x-# ,;\t\"\n\r.";
    uint64_t state = 88172645463325252;
    int read = 0;
    for (int n = 0; n < 40000; n++) {
        char text[12] = "";
        int length = 1 + n % 11, lines = 0;
        for (int k = 0; k < length; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text[k] = alphabet[(state >> 32) % (sizeof alphabet - 1)];
        }
        table t;
        fault f;
        if (read_memory_by(&t, text, (size_t)length, n % 2 ? MISSING_IS_NAN : MISSING_IS_ERROR, &f) == EXIT_DONE) {
            /* Lines that hold a digit and no letter outside of a comment, by a loop that knows nothing of cells. */
            bool digit = false, letter = false, comment = false;
            for (int k = 0; k <= length; k++) {
                if (k == length || text[k] == '\n' || text[k] == '\r') {
                    lines += digit && !letter;
                    digit = letter = comment = false;
                } else {
                    comment |= text[k] == '#';
                    digit |= text[k] == '1' && !comment;
                    letter |= text[k] == 'x' && !comment; /* "x1" may be the name of a column */
                }
            }
            ck_assert_msg(n % 2 ? t.rows >= lines : t.rows == lines, "text %d, '%s', has %d rows, %d lines of numbers",
                          n, text, (int)t.rows, lines);
            read++;
        }
        table_free(&t);
    }
    ck_assert_int_gt(read, 2000);
}
END_TEST

START_TEST(text_of_long_lines_and_many_rows)
{
    enum { COLUMNS = 3000, ROWS = 40 };
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    double *values = malloc(sizeof *values * COLUMNS * ROWS);
    for (int k = 0; k < COLUMNS * ROWS; k++) {
        values[k] = k * 0.25;
        fprintf(file, "%.17g%c", values[k], k % COLUMNS == COLUMNS - 1 ? '\n' : ',');
    }
    fclose(file);
    assert_table(text, size, KCL_F64, KCL_F32, 2, ROWS, COLUMNS, values);
    free(values);
    free(text);
}
END_TEST

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

START_TEST(parameter_texts)
{
    static const char *const refused[] = {"", "points.txt", "1,", ",1", "1,,2", "1 ", " 1", "1e999", "1;2", "0.5x"};
    table t;
    ck_assert_int_eq(table_parse(&t, "0.5"), 1);
    ck_assert_int_eq(t.rows * t.columns, 1);
    ck_assert_double_eq(table_get(&t, 0), 0.5);
    table_free(&t);
    ck_assert_int_eq(table_parse(&t, "9007199254740993,-2"), 1);
    ck_assert(t.rows * t.columns == 2 && t.dtype == KCL_I64 && t.natural == KCL_DTYPE_NONE);
    ck_assert(((const int64_t *)t.values)[0] == 9007199254740993 && ((const int64_t *)t.values)[1] == -2);
    table_free(&t);
    ck_assert_int_eq(table_parse(&t, "-0"), 1);
    ck_assert(t.dtype == KCL_F64 && signbit(table_get(&t, 0)));
    table_free(&t);
    ck_assert_int_eq(table_parse(&t, "1,-2,3e-1"), 1);
    ck_assert_int_eq(t.rows * t.columns, 3);
    ck_assert_double_eq(table_get(&t, 1), -2);
    ck_assert_double_eq(table_get(&t, 2), 0.3);
    table_free(&t);
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
        ck_assert_msg(!table_parse(&t, refused[k]), "'%s' was read as a number", refused[k]);
}
END_TEST

START_TEST(conversion_refuses_what_float32_cannot_hold)
{
    table t;
    fault f;
    ck_assert_int_eq(table_create(&t, KCL_F64, 1, 2, &f), EXIT_DONE);
    table_set(&t, 0, -INFINITY);
    table_set(&t, 1, 0.1);
    ck_assert_int_eq(table_convert(&t, KCL_F32, "argument 'x'", &f), EXIT_DONE);
    ck_assert_int_eq(t.dtype, KCL_F32);
    ck_assert(table_get(&t, 0) == -INFINITY && table_get(&t, 1) == 0.1f);
    ck_assert_int_eq(table_convert(&t, KCL_F64, "argument 'x'", &f), EXIT_DONE);
    ck_assert(table_get(&t, 0) == -INFINITY && table_get(&t, 1) == 0.1f);
    table_set(&t, 0, 1e39);
    ck_assert_int_eq(table_convert(&t, KCL_F32, "argument 'x'", &f), EXIT_COMPUTATION);
    ck_assert_str_eq(f.text, "argument 'x': 1e+39 is too large for float32; use --dtype f64");
    ck_assert_double_eq(table_get(&t, 0), 1e39);
    table_free(&t);
}
END_TEST

START_TEST(sizes_beyond_memory_are_refused)
{
    table t;
    fault f;
    ck_assert_int_eq(table_create(&t, KCL_F64, INT64_MAX, 3, &f), EXIT_COMPUTATION);
    ck_assert_ptr_nonnull(strstr(f.text, "9223372036854775807 x 3 numbers are more than memory can hold"));
    ck_assert_int_eq(table_create(&t, KCL_F64, 0, 3, &f), EXIT_DONE);
    ck_assert_ptr_null(t.values);
}
END_TEST

/* Writes and commits. */
static int save(const table *t, const char *path, fault *f)
{
    output out;
    int code = output_write(&out, t, path, f);
    if (!code)
        code = output_commit(&out, f);
    output_abandon(&out);
    return code;
}

START_TEST(files_that_cannot_be_used_tell_why)
{
    float value = 1;
    table t, one = {&value, KCL_F32, KCL_F32, 2, 1, 1};
    fault f;
    ck_assert_int_eq(table_load(&t, "there/is/no/such.npy", "argument 'x', there/is/no/such.npy", MISSING_IS_ERROR, &f),
                     EXIT_COMPUTATION);
    ck_assert_str_eq(f.text, "argument 'x', there/is/no/such.npy: cannot be opened: No such file or directory");
    ck_assert_int_eq(table_load(&t, "/", "argument 'x', /", MISSING_IS_ERROR, &f), EXIT_COMPUTATION);
    ck_assert_ptr_nonnull(strstr(f.text, "argument 'x', /: cannot be "));
    ck_assert_int_eq(save(&one, "there/is/no/such.npy", &f), EXIT_COMPUTATION);
    ck_assert_str_eq(f.text, "there/is/no/such.npy: cannot be written: No such file or directory");
    ck_assert_int_eq(save(&one, "/", &f), EXIT_COMPUTATION);
    ck_assert_str_eq(f.text, "/: cannot be written: Is a directory");
    ck_assert_int_eq(save(&one, "/nowhere/", &f), EXIT_COMPUTATION);
    ck_assert_ptr_nonnull(strstr(f.text, "/nowhere/: cannot be written: "));
    if (access("/dev/full", W_OK) == 0) {
        ck_assert_int_eq(save(&one, "/dev/full", &f), EXIT_COMPUTATION);
        ck_assert_str_eq(f.text, "/dev/full: cannot be written: No space left on device");
    }
}
END_TEST

static int count_files(const char *folder)
{
    int count = 0;
    DIR *d = opendir(folder);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(d);
    return count;
}

START_TEST(files_are_whole_or_not_there)
{
    char folder[] = "/tmp/keopscl-XXXXXX";
    double values[4096] = {1.5, 2.5};
    table one = {values, KCL_F64, KCL_F64, 2, 1, 2}, many = {values, KCL_F64, KCL_F64, 2, 4096, 1}, t;
    output out;
    fault f;
    struct stat info;
    ck_assert(mkdtemp(folder) && chdir(folder) == 0 && mkdir("sub", 0700) == 0);

    /* A name appears with the commit and not before, and keeps its mode. */
    ck_assert_int_eq(output_write(&out, &one, "sub/a.txt", &f), EXIT_DONE);
    ck_assert_int_ne(access("sub/a.txt", F_OK), 0);
    output_abandon(&out);
    ck_assert_int_eq(count_files("sub"), 0);
    ck_assert_int_eq(save(&one, "sub/a.txt", &f), EXIT_DONE);
    ck_assert_int_eq(count_files("sub"), 1);
    ck_assert(chmod("sub/a.txt", 0640) == 0);
    ck_assert_int_eq(save(&many, "sub/a.txt", &f), EXIT_DONE);
    ck_assert(stat("sub/a.txt", &info) == 0 && (info.st_mode & 0777) == 0640);
    ck_assert_int_eq(table_load(&t, "sub/a.txt", "a", MISSING_IS_ERROR, &f), EXIT_DONE);
    ck_assert_int_eq(t.rows, 4096);
    table_free(&t);

    /* Symbolic links are followed, also links to nowhere. */
    ck_assert(symlink("sub/a.txt", "link") == 0 && symlink("sub/b.npy", "none") == 0);
    ck_assert_int_eq(save(&one, "link", &f), EXIT_DONE);
    ck_assert_int_eq(save(&one, "none", &f), EXIT_DONE);
    ck_assert(lstat("link", &info) == 0 && S_ISLNK(info.st_mode));
    ck_assert(lstat("none", &info) == 0 && S_ISLNK(info.st_mode));
    ck_assert(stat("sub/a.txt", &info) == 0 && info.st_size == 8);
    ck_assert(stat("sub/b.npy", &info) == 0);
    ck_assert(symlink("round", "round") == 0);
    ck_assert_int_eq(save(&one, "round", &f), EXIT_COMPUTATION);
    ck_assert_ptr_nonnull(strstr(f.text, "round: cannot be written: "));

    /* No room: earlier files stay, no new file appears, and nothing else is left behind. */
    struct rlimit old, limit;
    ck_assert(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = (struct rlimit){1000, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    static const char *const names[] = {"sub/a.txt", "link", "sub/new.txt", "sub/new.npy"};
    static fault faults[4];
    int codes[4];
    ck_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (size_t k = 0; k < 4; k++) /* no assertion here: Check writes files too */
        codes[k] = save(&many, names[k], &faults[k]);
    ck_assert(setrlimit(RLIMIT_FSIZE, &old) == 0);
    for (size_t k = 0; k < 4; k++) {
        ck_assert_int_eq(codes[k], EXIT_COMPUTATION);
        ck_assert(strncmp(faults[k].text, names[k], strlen(names[k])) == 0);
        ck_assert_str_eq(faults[k].text + strlen(names[k]), ": cannot be written: File too large");
    }
    ck_assert_int_eq(count_files("sub"), 2);
    ck_assert(stat("sub/a.txt", &info) == 0 && info.st_size == 8);

    if (geteuid() != 0) { /* root may write anything */
        ck_assert(chmod("sub/a.txt", 0440) == 0);
        ck_assert_int_eq(save(&one, "sub/a.txt", &f), EXIT_COMPUTATION);
        ck_assert_str_eq(f.text, "sub/a.txt: cannot be written: Permission denied");
        /* A file that may be written, in a folder in which nothing may be created. */
        ck_assert(chmod("sub/a.txt", 0600) == 0 && chmod("sub", 0500) == 0);
        ck_assert_int_eq(save(&many, "sub/a.txt", &f), EXIT_DONE);
        ck_assert(stat("sub/a.txt", &info) == 0 && info.st_size > 8);
        ck_assert_int_eq(save(&one, "sub/c.txt", &f), EXIT_COMPUTATION);
        ck_assert(chmod("sub", 0700) == 0);
    }
    static const char *const rest[] = {"sub/a.txt", "sub/b.npy", "sub", "link", "none", "round"};
    for (size_t k = 0; k < 6; k++)
        ck_assert(remove(rest[k]) == 0);
    ck_assert(chdir("/") == 0 && rmdir(folder) == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data");
    TCase *all = tcase_create("files and tables");
    tcase_add_test(all, npy_every_version_type_and_byte_order);
    tcase_add_test(all, npy_fortran_order_is_transposed);
    tcase_add_test(all, npy_header_entries_in_any_order_and_style);
    tcase_add_test(all, npy_one_axis_no_axis_and_no_rows);
    tcase_add_test(all, npy_cut_anywhere_is_an_error);
    tcase_add_test(all, npy_damaged_anywhere_never_crashes);
    tcase_add_test(all, npy_wrong_headers_tell_why);
    tcase_add_test(all, npy_wrong_prelude_tells_why);
    tcase_add_test(all, npy_written_as_numpy_does);
    tcase_add_test(all, numbers_survive_both_formats);
    tcase_add_test(all, text_separators_comments_and_names);
    tcase_add_test(all, text_lines_end_in_lf_cr_or_both);
    tcase_add_test(all, text_missing_values_are_errors_or_nan);
    tcase_add_test(all, integers_are_exact_or_refused);
    tcase_add_test(all, text_errors_name_the_line);
    tcase_add_test(all, text_never_loses_a_line);
    tcase_add_test(all, text_of_long_lines_and_many_rows);
    tcase_add_test(all, parameter_texts);
    tcase_add_test(all, conversion_refuses_what_float32_cannot_hold);
    tcase_add_test(all, sizes_beyond_memory_are_refused);
    tcase_add_test(all, files_that_cannot_be_used_tell_why);
    tcase_add_test(all, files_are_whole_or_not_there);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
