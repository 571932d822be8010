/* SPDX-License-Identifier: MIT */
/* tests/cli/table_checks.c: what the suites of files share. */
#define _XOPEN_SOURCE 700 /* fmemopen, files */
#include "table_checks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int read_memory_by(table *t, const void *bytes, size_t size, missing_rule missing, fault *f)
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

int read_memory(table *t, const void *bytes, size_t size, fault *f)
{
    return read_memory_by(t, bytes, size, MISSING_IS_ERROR, f);
}

void assert_refused(const void *bytes, size_t size, const char *reason)
{
    table t;
    fault f;
    ck_assert_int_eq(read_memory(&t, bytes, size, &f), EXIT_COMPUTATION);
    ck_assert_msg(strstr(f.text, reason) != NULL, "'%s' does not contain '%s'", f.text, reason);
    ck_assert_ptr_null(t.values);
}

void assert_table_by(missing_rule missing, const void *bytes, size_t size, kcl_dtype dtype, kcl_dtype natural, int axes,
                     int64_t rows, int64_t columns, const double *values)
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

void assert_table(const void *bytes, size_t size, kcl_dtype dtype, kcl_dtype natural, int axes, int64_t rows,
                  int64_t columns, const double *values)
{
    assert_table_by(MISSING_IS_ERROR, bytes, size, dtype, natural, axes, rows, columns, values);
}

void assert_text(missing_rule missing, const char *text, bool whole, int64_t rows, int64_t columns,
                 const double *values)
{
    assert_table_by(missing, text, strlen(text), whole ? KCL_I64 : KCL_F64, whole ? KCL_I64 : KCL_F32, 2, rows, columns,
                    values);
}

int run_table_tests(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create(name);
    for (size_t k = 0; k < count; k++)
        tcase_add_test(all, tests[k]);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
