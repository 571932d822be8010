/* SPDX-License-Identifier: MIT */
/* Small matrices on the host; sizes, libraries, memory and threads of dense algebra. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "dense_support.h"
#include "failing.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Small matrices ---------------------------------------------------------------------------------------------- */

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

/* ---- What goes wrong --------------------------------------------------------------------------------------------- */

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

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

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
    const TTest *const tests[] = {test_cholesky,    test_cholesky_of_other_matrices, test_small_triangles,
                                  test_eigenvalues, test_sizes_that_do_not_fit,      test_libraries_that_are_missing,
                                  test_memory,      test_cublas_that_fails,          test_contexts_in_threads};
    return run_dense(argc, argv, "dense algebra, small matrices", tests, KB_COUNT(tests));
}
