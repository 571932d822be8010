/* SPDX-License-Identifier: MIT */
/*
 * tests/run/placement.h: what the tests of arrays in the device's memory share. They run by the interpreter, and on this
 * machine's first OpenCL CPU: once as it is, and once as if it were a device with memory of its own, to which everything is
 * copied. Without an OpenCL CPU the interpreter alone is tested.
 */
#ifndef PLACEMENT_H
#define PLACEMENT_H

#include "internal.h"
#include "support.h"

enum { HOST, IN_PLACE, COPIED };

extern kcl_context *contexts[3], *c; /* by kind, NULL where there is none; the one under test */
extern char last_line[512];          /* of the log, about an evaluation */

/* Whether arrays of the context under test are copies, as those of GPUs always are. */
bool copies(void);

#define OK(call) ck_assert_msg((call) == KCL_OK, "%s: %s", #call, kcl_context_error(c))
#define FAILS(status, call, ...)                                                                                       \
    do {                                                                                                               \
        ck_assert_int_eq(call, status);                                                                                \
        CONTAINS(kcl_context_error(c), __VA_ARGS__);                                                                   \
    } while (0)

/* ---- An operator, by plain loops --------------------------------------------------------------------------------- */

enum { M = 37, N = 130, D = 3 };

extern const char formula[];

kcl_operator *make_operator(const char *text);

typedef struct problem {
    numbers x, y, b, g, sums, columns;
} problem;

void problem_make(problem *p, kcl_dtype dtype, layout in, layout out);

void problem_free(problem *p);

void check_number(double got, double want, kcl_dtype dtype);

kcl_array to_device(const numbers *n, int64_t shift);

void from_device(numbers *n, const kcl_array *array);

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* A context of one kind; NULL: there is none. */
kcl_context *open_context(int device);

/* Opens the contexts and returns the number of rounds of tests: one for each context. */
int begin_placement(const char *program);

/* Runs the tests and returns the exit status; 1 too where memory leaks. */
int run_placement(const char *name, const test_entry *tests, size_t count);

#endif
