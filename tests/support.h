/* SPDX-License-Identifier: MIT */
/* tests/support.h: what the tests of expressions, operators and programs share. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "failing.h"

#include <keopscl/keopscl.h>

#include <check.h>

/* ---- Running ----------------------------------------------------------------------------------------------------- */

typedef struct test_entry {
    const TTest *test;
    int rounds; /* calls with _i = 0 to rounds - 1; 0: one call without a number */
} test_entry;

/*
 * Runs the tests and returns the exit status. KEOPSCL_TEST_PART=K/N: the K-th, the K+N-th and so on, from 0; drivers become
 * slow in processes that have built many kernels.
 */
int run_entries(const char *name, const test_entry *tests, size_t count, void (*setup)(void), void (*teardown)(void));

/* What device suites run on: KEOPSCL_TEST_DEVICE, or "cpu". */
const char *test_device(void);

/* That device, or NULL after a line that begins with SKIPPED: then exit with 77. */
kcl_context *open_cpu_or_skip(void);

/*
 * The main function of a suite that compares a device with the interpreter: opens both, runs the tests, tells how many
 * kernels were built. Kernels are kept on disk where KEOPSCL_CACHE_DIR says so only. Returns the exit status.
 */
int run_on_device(const char *program, const char *name, const test_entry *tests, size_t count, void (*setup)(void),
                  void (*teardown)(void), kcl_context **device, kcl_context **host);

/*
 * A suite that runs by the interpreter, or on a device where its argument is "device". Before each test its contexts are made
 * and random numbers begin with the seed; then `begin` is called, and `end` before the contexts are destroyed.
 */
typedef struct here_or_there {
    const char *name;
    kcl_context **context;             /* of the device, or the interpreter */
    kcl_context **host;                /* of the interpreter in any case; NULL: not wanted */
    bool *on_device;                   /* is set */
    void (*begin)(void), (*end)(void); /* or NULL */
    const test_entry *tests;
    size_t count;
    const test_entry *device_tests; /* on a device; NULL: the same */
    size_t device_count;
} here_or_there;

/* Returns the exit status. */
int run_here_or_there(int argc, char **argv, const here_or_there *suite);

bool long_tests(void); /* KEOPSCL_LONG_TESTS=1: the full product of what is otherwise sampled */

uint64_t test_seed(void);                /* KEOPSCL_TEST_SEED, or 1 */
void announce_seed(const char *program); /* prints it, with the command that repeats the run */
void seed_random(uint64_t seed);
double uniform(double low, double high);
int pick(int count); /* 0 to count - 1 */

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

/* Fails unless `text` contains every part; the list of parts ends with NULL. */
void contains(const char *text, const char *const *parts);
#define CONTAINS(text, ...) contains(text, (const char *const[]){__VA_ARGS__, NULL})

/* A kcl_write_fn that appends to the text of a `collected`. */
typedef struct collected {
    size_t length;
    char text[1 << 20];
} collected;
void collect(void *user, const char *text, size_t length);

/* ---- Arrays ------------------------------------------------------------------------------------------------------ */

typedef enum layout {
    DENSE,
    ROWS_APART,       /* unused elements between rows */
    COMPONENTS_APART, /* every second element */
    ROWS_BACKWARDS,   /* negative stride */
    TRANSPOSED,       /* components outside, rows inside */
    LAYOUT_COUNT
} layout;

/* An array, and the numbers in it as doubles, dense. */
typedef struct numbers {
    kcl_array array, exact;
    int64_t rows;
    int dim;
    void *memory;
    size_t bytes; /* of `memory` */
} numbers;

void numbers_make(numbers *n, kcl_dtype dtype, int64_t rows, int dim, layout how);
void numbers_free(numbers *n);
void numbers_set(numbers *n, int64_t row, int component, double value); /* in both, rounded to the type */
double numbers_get(const numbers *n, int64_t row, int component);       /* from the array, not from `exact` */
double *numbers_exact(const numbers *n, int64_t row, int component);
void numbers_fill(numbers *n, double low, double high);
/* Fails where memory between the elements has changed since numbers_make. */
void numbers_check_gaps(const numbers *n);

/* ---- Device against interpreter ---------------------------------------------------------------------------------- */

enum { MAX_INPUTS = 64 };

typedef struct subject {
    char text[512]; /* for messages */
    kcl_operator *op, *magnitude;
    double low, high;    /* range of the arguments */
    double offset;       /* added to arguments that are no parameters and have more than one component */
    double lattice;      /* of which arguments are multiples, so that float32 is exact and there are ties; 0: none */
    bool scaled_by_rows; /* errors against the largest magnitude of an output, where the formula itself cancels */
    double tolerance;    /* 0: 1e-5 in float32, 1e-12 in float64 */
    layout in, out;
    const char *form; /* of squared distances; NULL: auto */
    const char *math; /* elementary functions; NULL: precise */
} subject;

/* Makes the operator and its magnitude; `derive` names variables by which the VJP is taken one after another. */
void subject_make(subject *s, const char *formula, int alias_count, const char *const *aliases, const char *derive,
                  const char *schedule);
void subject_free(subject *s);

/*
 * Random arguments through `device`, and through `host` in double on the same numbers: fails where they differ. Indices
 * must be equal.
 */
void subject_check(const subject *s, kcl_context *device, kcl_context *host, kcl_dtype dtype, int64_t m, int64_t n);

/* Random arguments for an operator; ins has MAX_INPUTS entries. */
void arguments_make(const subject *s, kcl_dtype dtype, int64_t m, int64_t n, numbers *ins);
void arguments_free(const subject *s, numbers *ins);
void outputs_make(const kcl_operator *op, kcl_dtype dtype, int64_t m, int64_t n, layout how, numbers *outs);
void outputs_free(const kcl_operator *op, numbers *outs);
kcl_status apply(const kcl_operator *op, kcl_context *context, numbers *outs, numbers *ins, bool exact);

#endif
