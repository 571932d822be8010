/* SPDX-License-Identifier: MIT */
/*
 * tests/run/on_device.h: what the suites share that run lazy tensors and operators on this machine's first OpenCL CPU. They
 * exit with 77 (skipped) where there is none. A kernel takes up to a second to build: a fixed core is tested and a sample,
 * drawn with KEOPSCL_TEST_SEED; with KEOPSCL_LONG_TESTS=1 the full product.
 */
#ifndef ON_DEVICE_H
#define ON_DEVICE_H

#include "node.h"
#include "support.h"

extern kcl_context *device, *host; /* of all tests, so that they share kernels */

extern const kcl_dtype dtypes[2];

enum { SIZES = 18 };

/* Around the lanes of a vector, the tiles of blocked summation, and nothing at all. */
extern const int sizes[SIZES];

/* ---- Plain loops ------------------------------------------------------------------------------------------------- */

void close_to(double got, double want, double scale, kcl_dtype dtype, const char *what);

/* ---- Families of formulas ---------------------------------------------------------------------------------------- */

/* In `formula` and `aliases`, # is the dimension of the vectors. */
typedef struct family {
    const char *formula, *aliases[5];
    double low, high;
} family;

enum { FAMILIES = 13 };

extern const family families[FAMILIES];

void make_family(subject *s, const family *f, int dim, int tag, const char *derive, const char *schedule);

/* ---- Schedules --------------------------------------------------------------------------------------------------- */

enum { LANES, ROWS, CONTRACTION, SPLIT, COLUMNS, SCHEDULES };

extern const char *const schedules[SCHEDULES];

/* Three reductions of numbers, which contractions compute too, and of vectors. */
extern const char three_reductions[];

void make_reductions(subject *s, const char *formulas, int dim, int tag, const char *schedule);

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* Runs the tests and returns the exit status. `program`: argv[0]. */
int run_tests_on_device(const char *program, const char *name, const test_entry *tests, size_t count);

#endif
