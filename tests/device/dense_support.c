/* SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "dense_support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *device = "host";
char log_lines[8192];

bool is_host(void)
{
    return strcmp(device, "host") == 0;
}

void collect(void *user, const char *line)
{
    (void)user;
    if (strlen(log_lines) + strlen(line) + 2 < sizeof log_lines)
        strcat(strcat(log_lines, line), "\n");
}

kcl_context *open_with(kcl_context_params params)
{
    kcl_context *c;
    params.device = device;
    ck_assert_msg(kcl_context_create(&c, &params) == KCL_OK, "%s", kcl_context_error(c));
    return c;
}

/* ---- The ways ---------------------------------------------------------------------------------------------------- */

const way ways[MOST_WAYS] = {
    {"by CBLAS in place", KD_DENSE_IN_PLACE, false},
    {"by loops", KD_DENSE_IN_PLACE, true}, /* on copies where the host does not see the memory */
    {"by CBLAS on copies", KD_DENSE_COPIED, false},
    {"by CLBlast", KD_DENSE_CLBLAST, false},
    {"by cuBLAS", KD_DENSE_CUBLAS, false},
};

kcl_context *base; /* on whose device the others are, so that CLBlast builds its programs once */

/* Sets a variable and returns what it was, which put_variable sets again. */
char *set_variable(const char *name, const char *value)
{
    const char *before = getenv(name);
    char *kept = before ? strdup(before) : NULL;
    setenv(name, value, 1);
    return kept;
}

void put_variable(const char *name, char *kept)
{
    if (kept)
        setenv(name, kept, 1);
    else
        unsetenv(name);
    free(kept);
}

/* A context on the device of `other` that computes so, as far as memory suffices for its libraries. */
kcl_status open_so(kcl_context **c, const kcl_context *other, const way *w)
{
    struct kd_dense *dense;
    ck_assert_int_eq(kcl_context_create_shared(c, other), KCL_OK);
    char *kept = w->loops ? set_variable("KEOPSCL_BLAS", "none") : NULL;
    kcl_status status = kd_dense_get(*c, &dense);
    if (w->loops)
        put_variable("KEOPSCL_BLAS", kept);
    if (status >= 0)
        status = kd_dense_use(*c, w->way);
    return status == KCL_ERROR_UNSUPPORTED && w->loops ? kd_dense_use(*c, KD_DENSE_COPIED) : status;
}

/* A context that computes so; NULL: not here. */
kcl_context *open_way(const way *w)
{
    kcl_context *c;
    kd_dense_info info;
    if (is_host() && w->way != KD_DENSE_IN_PLACE)
        return NULL; /* test_libraries_that_are_missing sees these refused */
    const kcl_status status = open_so(&c, base, w);
    OK(kd_dense_describe(c, &info));
    const char *why = NULL;
    if (status < 0)
        why = kcl_context_error(c);
    else if (!w->loops && w->way >= KD_DENSE_IN_PLACE && !info.has_blas)
        why = info.text;
    if (why) {
        static bool told[KB_COUNT(ways)];
        if (!told[w - ways])
            printf("# %s: left out: %s\n", w->name, why);
        told[w - ways] = true;
        kcl_context_destroy(&c);
    }
    return c;
}

/* ---- Matrices ---------------------------------------------------------------------------------------------------- */

static uint64_t state = 88172645463325252u;
double uniform(void) /* in -1 .. 1 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 4503599627370496.0 - 1;
}

double get(const matrix *a, size_t i, size_t j)
{
    return kb_number(kd_at(a->numbers, a->dtype, a->m.offset + i * a->m.stride + j), a->dtype);
}

static double op(const matrix *a, bool transpose, size_t i, size_t j)
{
    return transpose ? get(a, j, i) : get(a, i, j);
}

void set_number(void *to, kcl_dtype dtype, size_t index, double value)
{
    if (dtype == KCL_F32)
        ((float *)to)[index] = (float)value;
    else
        ((double *)to)[index] = value;
}

void upload(kcl_context *c, matrix *a)
{
    const size_t bytes = a->count * kb_dtype_size(a->dtype);
    if (is_host() && !a->m.host)
        a->m.host = malloc(bytes + 1);
    else if (!is_host() && !a->m.buffer)
        OK(kd_buffer_create(c, bytes, &a->m.buffer));
    if (is_host())
        memcpy(a->m.host, a->numbers, bytes);
    else
        OK(kd_write(c, a->m.buffer, 0, a->numbers, bytes));
}

matrix make(kcl_context *c, kcl_dtype dtype, size_t rows, size_t columns, size_t gap, size_t offset)
{
    matrix a = {.m = {.offset = offset, .rows = rows, .columns = columns, .stride = columns + gap}, .dtype = dtype};
    a.count = offset + rows * a.m.stride + 1;
    a.numbers = malloc(a.count * kb_dtype_size(dtype));
    for (size_t k = 0; k < a.count; k++)
        set_number(a.numbers, dtype, k, uniform());
    upload(c, &a);
    return a;
}

/* What the memory of the context holds now; the caller frees it. */
void *download(kcl_context *c, const matrix *a)
{
    const size_t bytes = a->count * kb_dtype_size(a->dtype);
    void *now = malloc(bytes + 1);
    if (is_host())
        memcpy(now, a->m.host, bytes);
    else
        OK(kd_read(c, a->m.buffer, 0, now, bytes));
    OK(kd_finish(c));
    return now;
}

void finish(kcl_context *c, matrix *a)
{
    if (is_host())
        free(a->m.host);
    kd_buffer_release(c, &a->m.buffer);
    free(a->numbers);
}

double epsilon(kcl_dtype dtype)
{
    return dtype == KCL_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
}

const kcl_dtype types[TYPES] = {KCL_F32, KCL_F64};

/* ---- Products ---------------------------------------------------------------------------------------------------- */

/* What the product should be, and that nothing else has changed. */
void check_gemm(kcl_context *c, const char *name, bool ta, bool tb, double alpha, const matrix *a, const matrix *b,
                double beta, const matrix *to)
{
    const size_t k = ta ? a->m.rows : a->m.columns;
    void *now = download(c, to);
    for (size_t index = 0; index < to->count; index++) {
        const double was = kb_number(kd_at(to->numbers, to->dtype, index), to->dtype);
        const double is = kb_number(kd_at(now, to->dtype, index), to->dtype);
        const size_t at = index - to->m.offset, i = to->m.stride ? at / to->m.stride : 0, j = at - i * to->m.stride;
        if (index < to->m.offset || i >= to->m.rows || j >= to->m.columns) {
            CHECK(is == was || (isnan(is) && isnan(was)), "%s: element %zu beside C has changed", name, index);
            continue;
        }
        double sum = beta != 0 ? beta * was : 0, size = fabs(sum);
        for (size_t l = 0; l < k && alpha != 0; l++) {
            const double term = alpha * op(a, ta, i, l) * op(b, tb, l, j);
            sum += term;
            size += fabs(term);
        }
        const double allowed = (8 + sqrt((double)k)) * epsilon(to->dtype) * size;
        CHECK(fabs(is - sum) <= allowed,
              "%s, %s, op %d %d, %zu x %zu from %zu, alpha %g, beta %g: element (%zu, %zu) is %.17g, not %.17g", name,
              kb_dtype_name(to->dtype), ta, tb, to->m.rows, to->m.columns, k, alpha, beta, i, j, is, sum);
    }
    free(now);
}

void multiply(kcl_context *c, const char *name, kcl_dtype dtype, bool ta, bool tb, const size_t mnk[3], double alpha,
              double beta, size_t gap)
{
    const size_t m = mnk[0], n = mnk[1], k = mnk[2];
    matrix a = make(c, dtype, ta ? k : m, ta ? m : k, gap, 2 * gap),
           b = make(c, dtype, tb ? n : k, tb ? k : n, gap, gap);
    matrix to = make(c, dtype, m, n, 2 * gap, 3 * gap);
    if (beta == 0) {
        /* What is overwritten does not matter. */
        for (size_t index = 0; index < to.count; index++)
            set_number(to.numbers, dtype, index, NAN);
        upload(c, &to);
    }
    OK(kd_gemm(c, dtype, ta, tb, alpha, &a.m, &b.m, beta, &to.m));
    check_gemm(c, name, ta, tb, alpha, &a, &b, beta, &to);
    finish(c, &a);
    finish(c, &b);
    finish(c, &to);
}

/* ---- Triangles --------------------------------------------------------------------------------------------------- */

/* Numbers beside the triangle are NaN: they are not to be read. */
double *make_triangle(size_t order, size_t stride, bool is_lower)
{
    double *t = malloc((order * stride + 1) * sizeof *t);
    for (size_t i = 0; i < order; i++)
        for (size_t j = 0; j < stride; j++)
            t[i * stride + j] = i == j                             ? 2 + fabs(uniform())
                                : j < order && (j < i) == is_lower ? uniform() / (double)order
                                                                   : NAN;
    return t;
}

double of_triangle(const double *t, size_t stride, bool is_lower, bool transpose, size_t i, size_t j)
{
    const size_t row = transpose ? j : i, column = transpose ? i : j;
    return (is_lower ? column <= row : row <= column) ? t[row * stride + column] : 0;
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

int run_dense(int argc, char **argv, const char *name, const TTest *const *tests, size_t count)
{
    if (argc > 1)
        device = argv[1];
    if (kcl_context_create(&base, &(kcl_context_params){.device = device, .log = collect}) < 0) {
        printf("skipped: %s\n", kcl_context_error(base));
        kcl_context_destroy(&base);
        return 77;
    }
    Suite *suite = suite_create(name);
    for (size_t k = 0; k < count; k++) {
        TCase *tc = tcase_create(tests[k]->name); /* CK_RUN_CASE=NAME runs one */
        tcase_set_timeout(tc, 0);
        tcase_add_test(tc, tests[k]);
        suite_add_tcase(suite, tc);
    }
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* drivers do not survive fork */
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    kcl_context_destroy(&base);
    return failed ? 1 : 0;
}
