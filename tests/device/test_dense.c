/* SPDX-License-Identifier: MIT */
/*
 * Dense algebra against plain loops in double: on the interpreter, or on the device of the argument, by every way there
 * is: in place, on copies, by CLBlast, by cuBLAS (on a card, or simulated). Libraries that are not installed are left out
 * with a line. Exits with 77 (skipped) without the device. Tests run in one process (CK_NOFORK): drivers do not survive fork.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "dense_internal.h"
#include "failing.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *device = "host";
static bool is_host(void)
{
    return strcmp(device, "host") == 0;
}

static char log_lines[8192];
static void collect(void *user, const char *line)
{
    (void)user;
    if (strlen(log_lines) + strlen(line) + 2 < sizeof log_lines)
        strcat(strcat(log_lines, line), "\n");
}

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

static kcl_context *open_with(kcl_context_params params)
{
    kcl_context *c;
    params.device = device;
    ck_assert_msg(kcl_context_create(&c, &params) == KCL_OK, "%s", kcl_context_error(c));
    return c;
}

/* ---- The ways -------------------------------------------------------------------------------------------------------- */

typedef struct way {
    const char *name;
    kd_dense_way way;
    bool loops; /* without a library on the host */
} way;

static const way ways[] = {
    {"by CBLAS in place", KD_DENSE_IN_PLACE, false},
    {"by loops", KD_DENSE_IN_PLACE, true}, /* on copies where the host does not see the memory */
    {"by CBLAS on copies", KD_DENSE_COPIED, false},
    {"by CLBlast", KD_DENSE_CLBLAST, false},
    {"by cuBLAS", KD_DENSE_CUBLAS, false},
};

static kcl_context *base; /* on whose device the others are, so that CLBlast builds its programs once */

/* Sets a variable and returns what it was, which put_variable sets again. */
static char *set_variable(const char *name, const char *value)
{
    const char *before = getenv(name);
    char *kept = before ? strdup(before) : NULL;
    setenv(name, value, 1);
    return kept;
}

static void put_variable(const char *name, char *kept)
{
    if (kept)
        setenv(name, kept, 1);
    else
        unsetenv(name);
    free(kept);
}

/* A context on the device of `other` that computes so, as far as memory suffices for its libraries. */
static kcl_status open_so(kcl_context **c, const kcl_context *other, const way *w)
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
static kcl_context *open_way(const way *w)
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

#define FOR_WAYS(c, w)                                                                                                 \
    for (const way *w = ways; w < ways + KB_COUNT(ways); w++)                                                          \
        for (kcl_context *c = open_way(w); c; kcl_context_destroy(&c))

/* ---- Matrices -------------------------------------------------------------------------------------------------------- */

static uint64_t state = 88172645463325252u;
static double uniform(void) /* in -1 .. 1 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 4503599627370496.0 - 1;
}

/* A matrix in memory of the context, and the same numbers on the host, gaps included. */
typedef struct matrix {
    kd_matrix m;
    kcl_dtype dtype;
    size_t count; /* elements of the memory */
    void *numbers;
} matrix;

static double get(const matrix *a, size_t i, size_t j)
{
    return kb_number(kd_at(a->numbers, a->dtype, a->m.offset + i * a->m.stride + j), a->dtype);
}

static double op(const matrix *a, bool transpose, size_t i, size_t j)
{
    return transpose ? get(a, j, i) : get(a, i, j);
}

static void set_number(void *to, kcl_dtype dtype, size_t index, double value)
{
    if (dtype == KCL_F32)
        ((float *)to)[index] = (float)value;
    else
        ((double *)to)[index] = value;
}

static void upload(kcl_context *c, matrix *a)
{
    const size_t bytes = a->count * kb_dtype_size(a->dtype);
    if (is_host()) {
        a->m.host = malloc(bytes + 1);
        memcpy(a->m.host, a->numbers, bytes);
    } else {
        OK(kd_buffer_create(c, bytes, &a->m.buffer));
        OK(kd_write(c, a->m.buffer, 0, a->numbers, bytes));
    }
}

static matrix make(kcl_context *c, kcl_dtype dtype, size_t rows, size_t columns, size_t gap, size_t offset)
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
static void *download(kcl_context *c, const matrix *a)
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

static void finish(kcl_context *c, matrix *a)
{
    if (is_host())
        free(a->m.host);
    kd_buffer_release(c, &a->m.buffer);
    free(a->numbers);
}

static double epsilon(kcl_dtype dtype)
{
    return dtype == KCL_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
}

static const kcl_dtype types[] = {KCL_F32, KCL_F64};

/* ---- Products -------------------------------------------------------------------------------------------------------- */

/* What the product should be, and that nothing else has changed. */
static void check_gemm(kcl_context *c, const char *name, bool ta, bool tb, double alpha, const matrix *a,
                       const matrix *b, double beta, const matrix *to)
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

static void multiply(kcl_context *c, const char *name, kcl_dtype dtype, bool ta, bool tb, const size_t mnk[3],
                     double alpha, double beta, size_t gap)
{
    const size_t m = mnk[0], n = mnk[1], k = mnk[2];
    matrix a = make(c, dtype, ta ? k : m, ta ? m : k, gap, 2 * gap),
           b = make(c, dtype, tb ? n : k, tb ? k : n, gap, gap);
    matrix to = make(c, dtype, m, n, 2 * gap, 3 * gap);
    if (beta == 0) {
        /* What is overwritten does not matter. */
        for (size_t index = 0; index < to.count; index++)
            set_number(to.numbers, dtype, index, NAN);
        if (is_host())
            memcpy(to.m.host, to.numbers, to.count * kb_dtype_size(dtype));
        else
            OK(kd_write(c, to.m.buffer, 0, to.numbers, to.count * kb_dtype_size(dtype)));
    }
    OK(kd_gemm(c, dtype, ta, tb, alpha, &a.m, &b.m, beta, &to.m));
    check_gemm(c, name, ta, tb, alpha, &a, &b, beta, &to);
    finish(c, &a);
    finish(c, &b);
    finish(c, &to);
}

START_TEST(test_products)
{
    static const size_t sizes[][3] = {{0, 3, 2}, {1, 1, 1},  {5, 0, 3},    {3, 4, 0},
                                      {7, 5, 3}, {1, 9, 66}, {33, 17, 65}, {130, 70, 129}};
    static const double factors[][2] = {{1, 0}, {-1.5, 1}, {0.5, -2}, {0, 0.5}, {0, 0}};
    FOR_WAYS(c, w)
    for (size_t s = 0; s < KB_COUNT(sizes); s++)
        for (int k = 0; k < 8; k++) /* types and transpositions; factors and gaps take turns */
            for (size_t f = 0; f < KB_COUNT(factors); f++)
                if (s < 6 || f == (s + (size_t)k) % 3)
                    multiply(c, w->name, types[k & 1], k & 2, k & 4, sizes[s], factors[f][0], factors[f][1],
                             (s + (size_t)k + f) % 3);
}
END_TEST

/* The products of a preconditioner, all in one memory: L' R, L T and the update of columns beside L. */
START_TEST(test_tall_products)
{
    enum { N = 100000, K = 64, R = 3, B = 7 };
    FOR_WAYS(c, w)
    for (size_t t = 0; t < KB_COUNT(types); t++) {
        const kcl_dtype dtype = types[t];
        matrix l = make(c, dtype, N, K, B + 1, 5), r = make(c, dtype, N, R, 0, 0);
        matrix small = make(c, dtype, K, R, 2, 1), columns = make(c, dtype, K, B, 0, 0),
               out = make(c, dtype, N, R, 0, 0);
        matrix beside = l;
        OK(kd_gemm(c, dtype, true, false, 1, &l.m, &r.m, 0, &small.m));
        check_gemm(c, w->name, true, false, 1, &l, &r, 0, &small);
        free(small.numbers);
        small.numbers = download(c, &small);
        OK(kd_gemm(c, dtype, false, false, 2, &l.m, &small.m, -1, &out.m));
        check_gemm(c, w->name, false, false, 2, &l, &small, -1, &out);
        beside.m.offset += K;
        beside.m.columns = B;
        OK(kd_gemm(c, dtype, false, false, -1, &l.m, &columns.m, 1, &beside.m));
        check_gemm(c, w->name, false, false, -1, &l, &columns, 1, &beside);
        finish(c, &l);
        finish(c, &r);
        finish(c, &small);
        finish(c, &columns);
        finish(c, &out);
    }
}
END_TEST

/* ---- Gram matrices --------------------------------------------------------------------------------------------------- */

static void check_gram(kcl_context *c, const char *name, kcl_dtype dtype, size_t rows, size_t order, size_t gap,
                       double alpha, double beta, double shift)
{
    matrix a = make(c, dtype, rows, order, gap, gap);
    if (shift != 0) {
        for (size_t k = 0; k < a.count; k++)
            set_number(a.numbers, dtype, k, shift + kb_number(kd_at(a.numbers, dtype, k), dtype));
        if (is_host())
            memcpy(a.m.host, a.numbers, a.count * kb_dtype_size(dtype));
        else
            OK(kd_write(c, a.m.buffer, 0, a.numbers, a.count * kb_dtype_size(dtype)));
    }
    const size_t stride = order + gap;
    double *before = malloc((order * stride + 1) * sizeof *before), *now = malloc((order * stride + 1) * sizeof *now);
    double *sums = calloc(order * order + 1, sizeof *sums);
    for (size_t k = 0; k < order * stride; k++)
        before[k] = beta == 0 ? NAN : uniform();
    memcpy(now, before, order * stride * sizeof *now);
    OK(kd_gram(c, dtype, alpha, &a.m, beta, now, stride));
    OK(kd_finish(c));
    double *line = malloc((order + 1) * sizeof *line);
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < order; i++)
            line[i] = get(&a, row, i);
        for (size_t i = 0; i < order; i++)
            for (size_t j = 0; j < order; j++)
                sums[i * order + j] += line[i] * line[j];
    }
    free(line);
    const double relative = dtype == KCL_F32 ? 1e-6 : 1e-12;
    for (size_t i = 0; i < order; i++)
        for (size_t j = 0; j < stride; j++) {
            if (j >= order) {
                CHECK(memcmp(&now[i * stride + j], &before[i * stride + j], sizeof *now) == 0,
                      "%s: an element beside, or of the other triangle", name);
                continue;
            }
            const double was = beta == 0 ? 0 : beta * before[KB_MAX(i, j) * stride + KB_MIN(i, j)];
            const double expected = was + alpha * sums[i * order + j], is = now[i * stride + j];
            const double scale = fabs(was) + fabs(alpha) * sqrt(sums[i * order + i] * sums[j * order + j]);
            CHECK(fabs(is - expected) <= relative * scale, "%s, %s, %zu x %zu: (%zu, %zu) is %.17g, not %.17g", name,
                  kb_dtype_name(dtype), rows, order, i, j, is, expected);
            CHECK(is == now[j * stride + i], "%s: an element beside, or of the other triangle", name);
        }
    free(before);
    free(now);
    free(sums);
    finish(c, &a);
}

START_TEST(test_gram_matrices)
{
    static const size_t sizes[][2] = {{0, 3},   {5, 0},   {1, 1},    {3, 7},   {65, 33},
                                      {512, 5}, {513, 5}, {1025, 5}, {6000, 9}};
    FOR_WAYS(c, w)
    for (size_t t = 0; t < KB_COUNT(types); t++) {
        for (size_t s = 0; s < KB_COUNT(sizes); s++) {
            check_gram(c, w->name, types[t], sizes[s][0], sizes[s][1], s % 3, 1, 0, 0);
            check_gram(c, w->name, types[t], sizes[s][0], sizes[s][1], (s + 1) % 3, -0.5, 2, 0);
        }
        check_gram(c, w->name, types[t], 100000, 64, 0, 1, 0, 0);
    }
}
END_TEST

/* Numbers of one sign: sums in float32 alone would lose digits with every row. */
START_TEST(test_gram_matrix_of_many_rows)
{
    FOR_WAYS(c, w)
    {
        check_gram(c, w->name, KCL_F32, 1000000, 3, 0, 1, 0, 1.5);
        /* A GPU without double precision leaves the sums to the host. */
        const bool has_f64 = c->device->caps.has_f64;
        c->device->caps.has_f64 = false;
        check_gram(c, w->name, KCL_F32, 5000, 33, 1, 2, -1, 1.5);
        c->device->caps.has_f64 = has_f64;
    }
}
END_TEST

/* ---- Triangles ------------------------------------------------------------------------------------------------------- */

/* Numbers beside the triangle are NaN: they are not to be read. */
static double *make_triangle(size_t order, size_t stride, bool is_lower)
{
    double *t = malloc((order * stride + 1) * sizeof *t);
    for (size_t i = 0; i < order; i++)
        for (size_t j = 0; j < stride; j++)
            t[i * stride + j] = i == j                             ? 2 + fabs(uniform())
                                : j < order && (j < i) == is_lower ? uniform() / (double)order
                                                                   : NAN;
    return t;
}

static double of_triangle(const double *t, size_t stride, bool is_lower, bool transpose, size_t i, size_t j)
{
    const size_t row = transpose ? j : i, column = transpose ? i : j;
    return (is_lower ? column <= row : row <= column) ? t[row * stride + column] : 0;
}

static void check_trsm(kcl_context *c, const char *name, kcl_dtype dtype, size_t rows, size_t order, size_t gap,
                       bool is_lower, bool transpose)
{
    matrix x = make(c, dtype, rows, order, gap, gap);
    const size_t stride = order + gap;
    double *t = make_triangle(order, stride, is_lower);
    OK(kd_trsm(c, dtype, &x.m, t, stride, is_lower, transpose));
    double *typed = malloc((order * stride + 1) * sizeof *typed); /* by which X was divided */
    for (size_t k = 0; k < order * stride; k++) {
        typed[k] = dtype == KCL_F32 ? (double)(float)t[k] : t[k];
        t[k] = NAN; /* may be changed at once */
    }
    matrix y = x;
    y.numbers = download(c, &x);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < order; j++) {
            double sum = 0, size = fabs(get(&x, i, j));
            for (size_t l = 0; l < order; l++) {
                const double term = get(&y, i, l) * of_triangle(typed, stride, is_lower, transpose, l, j);
                sum += term;
                size += fabs(term);
            }
            CHECK(fabs(sum - get(&x, i, j)) <= 32 * epsilon(dtype) * size,
                  "%s, %s, %zu x %zu, lower %d, transposed %d: the product has %.17g at (%zu, %zu), not %.17g", name,
                  kb_dtype_name(dtype), rows, order, is_lower, transpose, sum, i, j, get(&x, i, j));
        }
        for (size_t j = order; j < stride && i + 1 < rows; j++)
            CHECK(get(&x, i, j) == get(&y, i, j), "%s: an element beside, or of the other triangle", name);
    }
    free(y.numbers);
    free(t);
    free(typed);
    finish(c, &x);
}

START_TEST(test_division_by_triangles)
{
    static const size_t sizes[][2] = {{0, 3}, {4, 0}, {1, 1}, {5, 3}, {67, 33}, {200, 130}};
    FOR_WAYS(c, w)
    {
        for (size_t s = 0; s < KB_COUNT(sizes); s++)
            for (int k = 0; k < 8; k++)
                check_trsm(c, w->name, types[k & 1], sizes[s][0], sizes[s][1], s % 3, k & 2, k & 4);
        check_trsm(c, w->name, KCL_F32, 100000, 32, 3, true, true);
    }
}
END_TEST

/* ---- Small matrices -------------------------------------------------------------------------------------------------- */

/* B B' + I, whose upper triangle is not to be read. */
static double *positive_matrix(size_t n, size_t stride)
{
    double *b = malloc((n * n + 1) * sizeof *b), *a = malloc((n * stride + 1) * sizeof *a);
    for (size_t k = 0; k < n * n; k++)
        b[k] = uniform();
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < stride; j++) {
            double sum = i == j;
            for (size_t l = 0; l < n && j <= i; l++)
                sum += b[i * n + l] * b[j * n + l];
            a[i * stride + j] = j <= i ? sum : -77;
        }
    free(b);
    return a;
}

START_TEST(test_cholesky)
{
    static const size_t orders[] = {0, 1, 2, 7, 64, 131};
    FOR_WAYS(c, w)
    for (size_t s = 0; s < KB_COUNT(orders); s++) {
        const size_t n = orders[s], stride = n + s % 2, columns = 3;
        double *a = positive_matrix(n, stride), *l = malloc((n * stride + 1) * sizeof *l);
        double *b = malloc((n * (columns + 1) + 1) * sizeof *b), *x = malloc((n * (columns + 1) + 1) * sizeof *x);
        size_t failed = 99;
        memcpy(l, a, n * stride * sizeof *l);
        OK(kd_potrf(c, n, l, stride, &failed));
        ck_assert_uint_eq(failed, 0);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < stride; j++) {
                double sum = 0;
                for (size_t k = 0; k <= j && j <= i; k++)
                    sum += l[i * stride + k] * l[j * stride + k];
                if (j > i)
                    ck_assert_double_eq(l[i * stride + j], -77);
                else
                    ck_assert_double_eq_tol(sum, a[i * stride + j], 1e-13 * (double)n);
            }
        for (size_t k = 0; k < n * (columns + 1); k++)
            x[k] = b[k] = uniform();
        OK(kd_potrs(c, n, l, stride, columns, x, columns + 1));
        for (size_t i = 0; i < n; i++) {
            for (size_t r = 0; r < columns; r++) {
                double sum = 0;
                for (size_t j = 0; j < n; j++)
                    sum += a[KB_MAX(i, j) * stride + KB_MIN(i, j)] * x[j * (columns + 1) + r];
                ck_assert_double_eq_tol(sum, b[i * (columns + 1) + r], 1e-11);
            }
            ck_assert_double_eq(x[i * (columns + 1) + columns], b[i * (columns + 1) + columns]);
        }
        free(a);
        free(l);
        free(b);
        free(x);
    }
}
END_TEST

/* The first leading minor that is not positive is told, by every library alike. */
START_TEST(test_cholesky_of_other_matrices)
{
    enum { N = 70 };
    static const double bad[] = {-1, 0, NAN, INFINITY};
    static const size_t at[] = {0, 5, 66};
    FOR_WAYS(c, w)
    for (size_t p = 0; p < KB_COUNT(at); p++)
        for (size_t k = 0; k <= KB_COUNT(bad); k++) {
            double *a = positive_matrix(N, N);
            size_t failed = 0;
            const size_t row = at[p];
            if (k < KB_COUNT(bad))
                a[row * N + row] = bad[k];
            else if (row)
                a[row * N + row - 1] = NAN; /* beside the diagonal */
            else
                a[0] = NAN;
            OK(kd_potrf(c, N, a, N, &failed));
            ck_assert_msg(failed == row + 1, "%s, %g at %zu: the failure is told at %zu", w->name,
                          k < KB_COUNT(bad) ? bad[k] : (double)NAN, row, failed);
            free(a);
        }
}
END_TEST

START_TEST(test_small_triangles)
{
    FOR_WAYS(c, w)
    for (int k = 0; k < 12; k++) {
        const bool is_lower = k & 1, transpose = k & 2;
        const size_t n = k < 4 ? 1 : k < 8 ? 6 : 90, columns = k < 8 ? 1 : 5, stride = n + 2;
        double *t = make_triangle(n, stride, is_lower), *b = malloc(n * columns * sizeof *b);
        double *x = malloc(n * columns * sizeof *x);
        for (size_t i = 0; i < n * columns; i++)
            x[i] = b[i] = uniform();
        OK(kd_trsm_left(c, n, t, stride, is_lower, transpose, columns, x, columns));
        for (size_t i = 0; i < n; i++)
            for (size_t r = 0; r < columns; r++) {
                double sum = 0;
                for (size_t j = 0; j < n; j++)
                    sum += of_triangle(t, stride, is_lower, transpose, i, j) * x[j * columns + r];
                ck_assert_msg(fabs(sum - b[i * columns + r]) <= 1e-13, "%s: %g", w->name, sum - b[i * columns + r]);
            }
        OK(kd_trsm_left(c, 0, t, stride, is_lower, transpose, columns, x, columns));
        OK(kd_trsm_left(c, n, t, stride, is_lower, transpose, 0, x, columns));
        free(t);
        free(b);
        free(x);
    }
}
END_TEST

/* The matrix of second differences has the eigenvalues 2 - 2 cos(pi k / (n + 1)). */
START_TEST(test_eigenvalues)
{
    enum { N = 40, STRIDE = N + 1 };
    const double pi = acos(-1);
    FOR_WAYS(c, w)
    {
        double a[N * STRIDE], was[N * STRIDE], values[N];
        kd_dense_info info;
        OK(kd_dense_describe(c, &info));
        for (int with_vectors = 0; with_vectors < 2; with_vectors++) {
            for (int i = 0; i < N; i++)
                for (int j = 0; j < STRIDE; j++)
                    a[i * STRIDE + j] = was[i * STRIDE + j] = j > i ? NAN : i == j ? 2 : i == j + 1 ? -1 : 0;
            const kcl_status status = kd_syevd(c, N, a, STRIDE, values, with_vectors);
            if (!info.has_lapack) {
                ck_assert_int_eq(status, KCL_ERROR_UNSUPPORTED);
                HAS(kcl_context_error(c), "KEOPSCL_BLAS");
                continue;
            }
            ck_assert_msg(status == KCL_OK, "%s", kcl_context_error(c));
            for (int k = 0; k < N; k++) {
                ck_assert_double_eq_tol(values[k], 2 - 2 * cos(pi * (k + 1) / (N + 1)), 1e-13);
                for (int i = 0; i < N && with_vectors; i++) {
                    double image = 0, product = 0;
                    for (int j = 0; j < N; j++) {
                        image += was[KB_MAX(i, j) * STRIDE + KB_MIN(i, j)] * a[k * STRIDE + j];
                        product += a[i * STRIDE + j] * a[k * STRIDE + j];
                    }
                    ck_assert_double_eq_tol(image, values[k] * a[k * STRIDE + i], 1e-13);
                    ck_assert_double_eq_tol(product, i == k, 1e-13);
                }
            }
            a[3 * STRIDE + 2] = NAN;
            ck_assert_int_eq(kd_syevd(c, N, a, STRIDE, values, false), KCL_ERROR_ARGUMENT);
            HAS(kcl_context_error(c), "(3, 2)");
        }
        if (info.has_lapack)
            OK(kd_syevd(c, 0, a, 1, values, true));
    }
}
END_TEST

/* ---- What goes wrong ------------------------------------------------------------------------------------------------- */

static void refuses(kcl_context *c, kcl_status status, kcl_status expected, const char *part, const char *other)
{
    ck_assert_int_eq(status, expected);
    HAS(kcl_context_error(c), part);
    HAS(kcl_context_error(c), other);
    kd_finish(c); /* the failure has ended the submission */
}

START_TEST(test_sizes_that_do_not_fit)
{
    kcl_context *c = open_with((kcl_context_params){.log = collect});
    matrix a = make(c, KCL_F32, 5, 3, 0, 0), b = make(c, KCL_F32, 4, 6, 0, 0), to = make(c, KCL_F32, 5, 6, 0, 0);
    double t[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const kcl_status bad = KCL_ERROR_ARGUMENT;
    refuses(c, kd_gemm(c, KCL_F32, false, false, 1, &a.m, &b.m, 0, &to.m), bad, "op(A) has 3 columns", "op(B) 4 rows");
    b.m.rows = 3;
    to.m.rows = 2;
    refuses(c, kd_gemm(c, KCL_F32, false, false, 1, &a.m, &b.m, 0, &to.m), bad, "op(A) has 5 rows", "C 2");
    to.m.rows = 5;
    to.m.columns = 5;
    refuses(c, kd_gemm(c, KCL_F32, false, false, 1, &a.m, &b.m, 0, &to.m), bad, "op(B) has 6 columns", "C 5");
    to.m.columns = 6;
    to.m.stride = 4;
    refuses(c, kd_gemm(c, KCL_F32, false, false, 1, &a.m, &b.m, 0, &to.m), bad, "C has rows of 6", "stride of 4");
    to.m.stride = 6;
    refuses(c, kd_gemm(c, (kcl_dtype)9, false, false, 1, &a.m, &b.m, 0, &to.m), KCL_ERROR_TYPE, "kd_gemm", "9");
    refuses(c, kd_gram(c, KCL_F32, 1, &a.m, 0, t, 2), bad, "3 columns", "stride of 2");
    refuses(c, kd_trsm(c, KCL_F32, &a.m, t, 2, true, true), bad, "3 columns", "stride of 2");
    kd_matrix none = {.rows = 3, .columns = 6, .stride = 6};
    refuses(c, kd_gemm(c, KCL_F32, false, false, 1, &a.m, &none, 0, &to.m), bad, "B", "no memory");
    if (!is_host()) {
        float number[18] = {0};
        none.host = number;
        refuses(c, kd_gemm(c, KCL_F32, false, false, 1, &a.m, &none, 0, &to.m), bad, "on the device", "on the host");
        a.m.offset = 20;
        refuses(c, kd_gemm(c, KCL_F32, false, false, 1, &a.m, &b.m, 0, &to.m), bad, "element 35", "16 elements");
        a.m.offset = SIZE_MAX - 3;
        refuses(c, kd_gram(c, KCL_F32, 1, &a.m, 0, t, 3), bad, "A ends", "16 elements");
        a.m.offset = 0;
    }
    OK(kd_gemm(c, KCL_F32, false, false, 1, &a.m, &b.m, 0, &to.m));
    check_gemm(c, "after failures", false, false, 1, &a, &b, 0, &to);
    finish(c, &a);
    finish(c, &b);
    finish(c, &to);
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_libraries_that_are_missing)
{
    static const char *const variables[] = {"KEOPSCL_BLAS", "KEOPSCL_CLBLAST", "KEOPSCL_CUBLAS"};
    /* A path where nothing is, and a library without the functions. */
    static const char *const paths[] = {"/nowhere/lib.so", "libm.so.6"};
    for (size_t k = 0; k < KB_COUNT(paths); k++) {
        char *before[KB_COUNT(variables)];
        kd_dense_info info;
        double a[1] = {4}, value;
        for (size_t v = 0; v < KB_COUNT(variables); v++)
            before[v] = set_variable(variables[v], paths[k]);
        log_lines[0] = 0;
        kcl_context *c = open_with((kcl_context_params){.log = collect});
        OK(kd_dense_describe(c, &info));
        ck_assert(!info.has_blas && !info.has_lapack && !info.is_fast);
        HAS(log_lines, "plain loops");
        HAS(info.text, "libopenblas0");
        HAS(info.text, paths[k]);
        ck_assert_int_eq(kd_syevd(c, 1, a, 1, &value, false), KCL_ERROR_UNSUPPORTED);
        HAS(kcl_context_error(c), "libopenblas0");
        const kd_dense_way own = c->is_cuda ? KD_DENSE_CUBLAS : KD_DENSE_CLBLAST;
        ck_assert_int_eq(kd_dense_use(c, own), KCL_ERROR_UNSUPPORTED);
        HAS(kcl_context_error(c), is_host()    ? "interpreter"
                                  : k          ? "lacks the function"
                                  : c->is_cuda ? "pip's nvidia-cublas"
                                               : "libclblast1");
        ck_assert_int_eq(kd_dense_use(c, c->is_cuda ? KD_DENSE_CLBLAST : KD_DENSE_CUBLAS), KCL_ERROR_UNSUPPORTED);
        OK(kd_dense_use(c, KD_DENSE_DEFAULT));
        multiply(c, "without libraries", KCL_F32, false, true, (size_t[]){9, 8, 7}, 1, 0, 1);
        kcl_context_destroy(&c);
        for (size_t v = 0; v < KB_COUNT(variables); v++)
            put_variable(variables[v], before[v]);
    }
}
END_TEST

/* Each allocation fails once, with all after it; and no request is larger than what was told. */
START_TEST(test_memory)
{
    FOR_WAYS(used, w)
    {
        failing memory = {0};
        kcl_context *root = open_with((kcl_context_params){.allocator = {failing_reallocate, &memory}});
        for (int call = 0; call < 3; call++) {
            kcl_status status = KCL_ERROR_NO_MEMORY;
            for (long long n = 0; status == KCL_ERROR_NO_MEMORY && n < 60; n++) {
                const long long blocks = atomic_load(&memory.blocks);
                kcl_context *c;
                OK(open_so(&c, root, w));
                matrix a = make(c, KCL_F32, 40, 30, 0, 0), b = make(c, KCL_F32, 40, 5, 0, 0);
                matrix to = make(c, KCL_F32, 30, 5, 0, 0);
                double *square = calloc(900, sizeof *square);
                for (int i = 0; i < 30; i++)
                    square[31 * i] = 1;
                OK(kd_finish(c));
                atomic_store(&memory.largest, 0);
                memory.fail_at = n ? atomic_load(&memory.requests) + n : 0; /* first with all that is wanted */
                status = call == 0   ? kd_gemm(c, KCL_F32, true, false, 1, &a.m, &b.m, 0, &to.m)
                         : call == 1 ? kd_gram(c, KCL_F32, 1, &a.m, 0, square, 30)
                                     : kd_trsm(c, KCL_F32, &a.m, square, 30, true, false);
                memory.fail_at = 0;
                ck_assert_msg(status == KCL_OK || (n && status == KCL_ERROR_NO_MEMORY), "%s: %s", w->name,
                              kcl_context_error(c));
                kd_finish(c);
                if (!n) {
                    kd_dense_bytes bytes;
                    OK(kd_dense_most_bytes(c, KCL_F32, 30, &bytes));
                    ck_assert_int_le(atomic_load(&memory.largest), (long long)bytes.host);
                    status = KCL_ERROR_NO_MEMORY;
                }
                free(square);
                finish(c, &a);
                finish(c, &b);
                finish(c, &to);
                kcl_context_destroy(&c);
                ck_assert_int_eq(atomic_load(&memory.blocks), blocks);
            }
            ck_assert_int_eq(status, KCL_OK);
        }
        kcl_context_destroy(&root);
        ck_assert_int_eq(atomic_load(&memory.blocks), 0);
    }
}
END_TEST

/* A call of the simulated cuBLAS fails: the call ends the submission, and the context goes on. */
START_TEST(test_cublas_that_fails)
{
    static const char *const names[] = {"cublasSgemm_v2", "cublasStrsm_v2"};
    const char *library = getenv("KEOPSCL_CUBLAS");
    if (!library || !strstr(library, "fake_cublas"))
        return;
    for (size_t k = 0; k < KB_COUNT(names); k++) {
        kcl_context *c = open_with((kcl_context_params){.log = collect});
        OK(kd_dense_use(c, KD_DENSE_CUBLAS));
        matrix a = make(c, KCL_F32, 4, 3, 0, 0), b = make(c, KCL_F32, 3, 5, 0, 0), to = make(c, KCL_F32, 4, 5, 0, 0);
        const double t[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
        setenv("FAKE_CUBLAS_FAIL", names[k], 1);
        const kcl_status status = k ? kd_trsm(c, KCL_F32, &a.m, t, 3, true, false)
                                    : kd_gemm(c, KCL_F32, false, false, 1, &a.m, &b.m, 0, &to.m);
        unsetenv("FAKE_CUBLAS_FAIL");
        ck_assert_int_eq(status, KCL_ERROR_OPENCL);
        HAS(kcl_context_error(c), "CUBLAS_STATUS_EXECUTION_FAILED (13)");
        ck_assert_int_eq(kd_finish(c), status);
        OK(kd_gemm(c, KCL_F32, false, false, 1, &a.m, &b.m, 0, &to.m));
        check_gemm(c, "after a failure", false, false, 1, &a, &b, 0, &to);
        finish(c, &a);
        finish(c, &b);
        finish(c, &to);
        kcl_context_destroy(&c);
    }
    /* One that makes no handle, as where the driver is too old for it, is as one that is not there. */
    setenv("FAKE_CUBLAS_FAIL", "cublasCreate", 1);
    kcl_context *c = open_with((kcl_context_params){.log = collect});
    kd_dense_info info;
    OK(kd_dense_describe(c, &info));
    ck_assert_int_eq(info.way, KD_DENSE_COPIED);
    HAS(info.text, "cublasCreate");
    HAS(info.text, "CUBLAS_STATUS_ALLOC_FAILED (3)");
    ck_assert_int_eq(kd_dense_use(c, KD_DENSE_CUBLAS), KCL_ERROR_UNSUPPORTED);
    multiply(c, "on copies", KCL_F32, false, true, (size_t[]){9, 8, 7}, 1, 0, 1);
    unsetenv("FAKE_CUBLAS_FAIL");
    OK(kd_dense_use(c, KD_DENSE_DEFAULT));
    multiply(c, "by cuBLAS", KCL_F32, false, true, (size_t[]){9, 8, 7}, 1, 0, 1);
    kcl_context_destroy(&c);
}
END_TEST

/* ---- Threads --------------------------------------------------------------------------------------------------------- */

static void *compute(void *user)
{
    kcl_context *c = user;
    matrix a = make(c, KCL_F64, 300, 50, 0, 0), b = make(c, KCL_F64, 300, 4, 0, 0), to = make(c, KCL_F64, 50, 4, 0, 0);
    for (int round = 0; round < 20; round++) {
        OK(kd_gemm(c, KCL_F64, true, false, 1, &a.m, &b.m, 0, &to.m));
        check_gemm(c, "in a thread", true, false, 1, &a, &b, 0, &to);
    }
    finish(c, &a);
    finish(c, &b);
    finish(c, &to);
    return NULL;
}

START_TEST(test_contexts_in_threads)
{
    enum { THREADS = 4 };
    kcl_context *contexts[THREADS];
    pthread_t threads[THREADS];
    struct kd_dense *dense;
    contexts[0] = open_with((kcl_context_params){.threads = 1, .log = collect});
    ck_assert_int_eq(kd_dense_get(contexts[0], &dense), KCL_OK);
    const int before = dense->blas.get_threads ? dense->blas.get_threads() : 0;
    for (int k = 1; k < THREADS; k++)
        ck_assert_int_eq(kcl_context_create_shared(&contexts[k], contexts[0]), KCL_OK);
    for (int k = 0; k < THREADS; k++)
        ck_assert_int_eq(pthread_create(&threads[k], NULL, compute, contexts[k]), 0);
    for (int k = 0; k < THREADS; k++)
        pthread_join(threads[k], NULL);
    ck_assert_int_eq(dense->blas.get_threads ? dense->blas.get_threads() : 0, before);
    for (int k = 0; k < THREADS; k++)
        kcl_context_destroy(&contexts[k]);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const tests[] = {test_products,
                                  test_tall_products,
                                  test_gram_matrices,
                                  test_gram_matrix_of_many_rows,
                                  test_division_by_triangles,
                                  test_cholesky,
                                  test_cholesky_of_other_matrices,
                                  test_small_triangles,
                                  test_eigenvalues,
                                  test_sizes_that_do_not_fit,
                                  test_libraries_that_are_missing,
                                  test_memory,
                                  test_cublas_that_fails,
                                  test_contexts_in_threads};
    if (argc > 1)
        device = argv[1];
    if (kcl_context_create(&base, &(kcl_context_params){.device = device, .log = collect}) < 0) {
        printf("skipped: %s\n", kcl_context_error(base));
        kcl_context_destroy(&base);
        return 77;
    }
    Suite *suite = suite_create("dense algebra");
    for (size_t k = 0; k < KB_COUNT(tests); k++) {
        TCase *tc = tcase_create(tests[k]->name); /* CK_RUN_CASE=NAME runs one */
        tcase_set_timeout(tc, 0);
        tcase_add_test(tc, tests[k]);
        suite_add_tcase(suite, tc);
    }
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    kcl_context_destroy(&base);
    return failed ? 1 : 0;
}
