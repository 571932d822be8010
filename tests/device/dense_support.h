/* SPDX-License-Identifier: MIT */
/*
 * tests/device/dense_support.h: what the tests of dense algebra share. They run on the interpreter, or on the device of
 * the argument, by every way there is: in place, on copies, by CLBlast, by cuBLAS (on a card, or simulated).
 */
#ifndef DENSE_SUPPORT_H
#define DENSE_SUPPORT_H

#include "dense_internal.h"

#include <check.h>

extern const char *device; /* by name */
bool is_host(void);        /* the device is the interpreter */

extern char log_lines[8192]; /* of contexts whose log is `collect`; a test sets it to "" */
void collect(void *user, const char *line);

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        const kcl_status status_ = (call);                                                                             \
        ck_assert_msg(status_ == KCL_OK, "%s: %s, %s", #call, kcl_status_name(status_), kcl_context_error(c));         \
    } while (0)

/* Check notes every assertion in a file, which takes longer than what is asserted of millions of numbers. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg(__VA_ARGS__);                                                                                 \
    } while (0)

#define HAS(text, part) ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in: %s", part, text)

kcl_context *open_with(kcl_context_params params); /* on `device` */

/* Sets a variable and returns what it was, which put_variable sets again. */
char *set_variable(const char *name, const char *value);
void put_variable(const char *name, char *kept);

typedef struct way {
    const char *name;
    kd_dense_way way;
    bool loops; /* without a library on the host */
} way;
enum { MOST_WAYS = 5, TYPES = 2 };
extern const way ways[MOST_WAYS];
extern const kcl_dtype types[TYPES];

/* A context on the device of `other` that computes so, as far as memory suffices for its libraries. */
kcl_status open_so(kcl_context **c, const kcl_context *other, const way *w);

/* The same on `device`; NULL, after a line that says why: not to be had here. */
kcl_context *open_way(const way *w);

#define FOR_WAYS(c, w)                                                                                                 \
    for (const way *w = ways; w < ways + MOST_WAYS; w++)                                                               \
        for (kcl_context *c = open_way(w); c; kcl_context_destroy(&c))

double uniform(void); /* a random number in -1 .. 1 */

/* A matrix in memory of the context, and the same numbers on the host, gaps included. */
typedef struct matrix {
    kd_matrix m;
    kcl_dtype dtype;
    size_t count; /* elements of the memory */
    void *numbers;
} matrix;

matrix make(kcl_context *c, kcl_dtype dtype, size_t rows, size_t columns, size_t gap, size_t offset);
void upload(kcl_context *c, matrix *a); /* `numbers`, which were changed, to the memory of the context */
void finish(kcl_context *c, matrix *a);
double get(const matrix *a, size_t i, size_t j);
void set_number(void *to, kcl_dtype dtype, size_t index, double value);

/* What the memory of the context holds now; the caller frees it. */
void *download(kcl_context *c, const matrix *a);

double epsilon(kcl_dtype dtype);

/* What the product should be, and that nothing else has changed. */
void check_gemm(kcl_context *c, const char *name, bool ta, bool tb, double alpha, const matrix *a, const matrix *b,
                double beta, const matrix *to);

/* A product of random matrices of these sizes, with gaps between rows. */
void multiply(kcl_context *c, const char *name, kcl_dtype dtype, bool ta, bool tb, const size_t mnk[3], double alpha,
              double beta, size_t gap);

/* Numbers beside the triangle are NaN: they are not to be read. */
double *make_triangle(size_t order, size_t stride, bool is_lower);
double of_triangle(const double *t, size_t stride, bool is_lower, bool transpose, size_t i, size_t j);

/* Runs the tests on the device that the argument names; the exit status, 77 without the device. */
int run_dense(int argc, char **argv, const char *name, const TTest *const *tests, size_t count);

#endif
