/* SPDX-License-Identifier: MIT */
/* tests/cli/table_checks.h: tables read from memory, against what they should hold, for the suites of files. */
#ifndef TABLE_CHECKS_H
#define TABLE_CHECKS_H

#include "data.h"

#include <check.h>

/* Reads a table from so many bytes, missing values by the rule or as errors. Returns what table_read returns. */
int read_memory_by(table *t, const void *bytes, size_t size, missing_rule missing, fault *f);
int read_memory(table *t, const void *bytes, size_t size, fault *f);

/* Asserts that reading fails with a reason that contains `reason`. */
void assert_refused(const void *bytes, size_t size, const char *reason);

/* Asserts what the bytes are read as: types, shape and values. */
void assert_table_by(missing_rule missing, const void *bytes, size_t size, kcl_dtype dtype, kcl_dtype natural, int axes,
                     int64_t rows, int64_t columns, const double *values);
void assert_table(const void *bytes, size_t size, kcl_dtype dtype, kcl_dtype natural, int axes, int64_t rows,
                  int64_t columns, const double *values);

/* The same of a text table: whole numbers are int64. */
void assert_text(missing_rule missing, const char *text, bool whole, int64_t rows, int64_t columns,
                 const double *values);

/* Runs the tests as a suite. Returns the exit status of the program. */
int run_table_tests(const char *name, const TTest *const *tests, size_t count);

#endif
