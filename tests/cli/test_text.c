/* SPDX-License-Identifier: MIT */
/* tests/cli/test_text.c: text tables, good and bad. */
#define _XOPEN_SOURCE 700 /* fmemopen, files */
#include "table_checks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    const TTest *const tests[] = {
        text_separators_comments_and_names, text_lines_end_in_lf_cr_or_both, text_missing_values_are_errors_or_nan,
        text_errors_name_the_line,          text_never_loses_a_line,         text_of_long_lines_and_many_rows};
    return run_table_tests("text tables", tests, sizeof tests / sizeof *tests);
}
