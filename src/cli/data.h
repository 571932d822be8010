/* SPDX-License-Identifier: MIT */
/*
 * cli/data.h: arrays of numbers in memory, in NumPy files and in text tables.
 *
 * Functions that return int return EXIT_DONE, or another exit code with the reason in `f`. `label` opens the reason:
 * the argument and the file.
 */
#ifndef CLI_DATA_H
#define CLI_DATA_H

#include "fault.h"

#include <keopscl/array.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Rows of numbers, row-major. `= {0}` is an empty table. */
typedef struct table {
    void *values;    /* rows * columns elements; NULL: no elements */
    kcl_dtype dtype; /* type of the elements in memory */
    kcl_dtype
        natural; /* the type that suits the source: for a file KCL_F64, KCL_F32 or, of integers, KCL_I64; else none */
    int axes;    /* of the source: 0 is a single number, 1 has one column */
    int64_t rows;
    int64_t columns;
} table;

/* Makes an uninitialised table with two axes. */
int table_create(table *t, kcl_dtype dtype, int64_t rows, int64_t columns, fault *f);
void table_free(table *t);
double table_get(const table *t, int64_t index);
void table_set(table *t, int64_t index, double value);
size_t dtype_size(kcl_dtype dtype);

/*
 * Changes the type of the elements. A finite number that float32 cannot hold is an error; so is an integer that no
 * float64 equals. Other numbers are rounded.
 */
int table_convert(table *t, kcl_dtype dtype, const char *label, fault *f);

/*
 * Reads numbers separated by commas, "0.5" or "1,2,3", as one column, of int64 if all are whole. Returns 1, or 0 if
 * `text` is no such list.
 */
int table_parse(table *t, const char *text);

/* Reads a number that fills all of `text`. False for anything else, and for a number beyond the range of double. */
bool parse_number(const char *text, double *value);

/* Reads a whole number of int64, written as digits, that fills all of `text`. False for anything else, and for -0. */
bool parse_whole(const char *text, int64_t *value);

/* ---- files.c ----------------------------------------------------------------------------------------------------- */

/* What a missing value in a text table is: an error that tells line and column, or NaN. */
typedef enum missing_rule { MISSING_IS_ERROR, MISSING_IS_NAN } missing_rule;

/*
 * Reads a whole file, or standard input for "-". The first byte distinguishes NumPy files from text tables. Integers
 * become tables of int64, exactly.
 */
int table_load(table *t, const char *path, const char *label, missing_rule missing, fault *f);
int table_read(table *t, FILE *file, const char *label, missing_rule missing, fault *f);

/* A result on its way into a file. `= {0}` is no result. */
typedef struct output {
    const char *path; /* as the user wrote it */
    char *target;     /* where symbolic links lead */
    char *temporary;  /* a complete file in the same folder; NULL: the target itself was written */
} output;

/*
 * Writes a NumPy file if `path` ends in ".npy", else a text table; "-" is standard output. output_commit() gives the
 * file its name: until then, and after a failure, the earlier file is untouched. Devices and pipes, and files in
 * folders that nothing can be created in, are written at once. output_abandon() in any case: it removes what was not
 * committed.
 */
int output_write(output *out, const table *t, const char *path, fault *f);
int output_commit(output *out, fault *f);
void output_abandon(output *out);

/* ---- npy.c, table.c ---------------------------------------------------------------------------------------------- */

/* The two formats. The writers do not look for errors of the stream: ferror() reports them. */
int npy_read(table *t, FILE *file, const char *label, fault *f);
void npy_write(const table *t, FILE *file);
int text_read(table *t, FILE *file, const char *label, missing_rule missing, fault *f);
void text_write(const table *t, FILE *file);

#endif
