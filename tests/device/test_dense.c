/* SPDX-License-Identifier: MIT */
/* Products, Gram matrices and divisions by triangles, against plain loops in double. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "dense_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Products ---------------------------------------------------------------------------------------------------- */

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

/* ---- Gram matrices ----------------------------------------------------------------------------------------------- */

static void check_gram(kcl_context *c, const char *name, kcl_dtype dtype, size_t rows, size_t order, size_t gap,
                       double alpha, double beta, double shift)
{
    matrix a = make(c, dtype, rows, order, gap, gap);
    if (shift != 0) {
        for (size_t k = 0; k < a.count; k++)
            set_number(a.numbers, dtype, k, shift + kb_number(kd_at(a.numbers, dtype, k), dtype));
        upload(c, &a);
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

/* ---- Triangles --------------------------------------------------------------------------------------------------- */

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

int main(int argc, char **argv)
{
    const TTest *const tests[] = {test_products, test_tall_products, test_gram_matrices, test_gram_matrix_of_many_rows,
                                  test_division_by_triangles};
    return run_dense(argc, argv, "dense algebra", tests, KB_COUNT(tests));
}
