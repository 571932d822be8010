/* SPDX-License-Identifier: MIT */
/*
 * What users of KeOps and its like ran into, on this machine's first OpenCL CPU, against plain loops in double. The
 * table in docs/keops-compatibility.md lists the reports that have tests elsewhere.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "base.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static kcl_context *device;
static kcl_scope *s;

static void setup(void)
{
    s = kcl_scope_create(device);
    seed_random(test_seed());
}

static void teardown(void)
{
    kcl_scope_destroy(&s);
}

#define OK(call) ck_assert_msg((call) == KCL_OK, "%s: %s", #call, kcl_context_error(device))

static float *random_floats(int64_t count, double low, double high)
{
    float *x = malloc((size_t)count * sizeof *x + 1);
    for (int64_t k = 0; k < count; k++)
        x[k] = (float)uniform(low, high);
    return x;
}

/* Sums of squared differences of two vectors. */
static double squared(const float *x, const float *y, int dim)
{
    double sum = 0;
    for (int k = 0; k < dim; k++)
        sum += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
    return sum;
}

/* A sum by plain loops, and the sum of the sizes of its terms. */
typedef struct sum {
    double value, size;
} sum;

static void add(sum *to, double term)
{
    to->value += term;
    to->size += fabs(term);
}

static void check_sum(double got, const sum *want, const char *what, int64_t row, int component)
{
    if (!(fabs(got - want->value) <= 1e-5 * want->size))
        ck_abort_msg("%s at (%lld, %d) is %.9g, by plain loops %.9g of terms that sum up to %.3g", what, (long long)row,
                     component, got, want->value, want->size);
}

/* ---- Neighbours -------------------------------------------------------------------------------------------------- */

/* keops#262: dimensions that leave one component over, whatever components are taken at once. */
START_TEST(test_nearest_neighbours_of_any_dimension)
{
    static const int dims[] = {65, 24705, 63, 64, 127, 128, 129, 24704, 24706};
    const int count = long_tests() ? (int)KB_COUNT(dims) : 2;
    for (int d = 0; d < count; d++) {
        const int D = dims[d], M = long_tests() || D < 1000 ? 205 : 21, N = M - 1;
        float *x = random_floats((int64_t)M * D, 0, 1), *y = random_floats((int64_t)N * D, 0, 1),
              *value = calloc((size_t)M, 4);
        int64_t *index = calloc((size_t)M, sizeof *index);
        kcl_expr *F = kcl_sqdist(kcl_vi(s, kcl_f32(x, M, D)), kcl_vj(s, kcl_f32(y, N, D)));
        OK(kcl_kmin_argkmin(F, 1, KCL_OVER_J, kcl_f32(value, M, 1), kcl_i64(index, M, 1)));
        for (int i = 0; i < M; i++) {
            double least = INFINITY;
            for (int j = 0; j < N; j++)
                least = fmin(least, squared(x + (int64_t)i * D, y + (int64_t)j * D, D));
            ck_assert_int_ge(index[i], 0);
            ck_assert_int_lt(index[i], N);
            const double there = squared(x + (int64_t)i * D, y + index[i] * D, D);
            ck_assert_msg(there <= least * (1 + 1e-5) && fabs((double)value[i] - least) <= 1e-5 * least,
                          "D=%d, row %d: column %lld at %.9g with value %.9g, the nearest is at %.9g", D, i,
                          (long long)index[i], there, (double)value[i], least);
        }
        kcl_scope_reset(s);
        free(x);
        free(y);
        free(value);
        free(index);
    }
}
END_TEST

/* keops#331: two neighbours of one row, tiled and not. Points of a lattice, so that floats are exact. */
START_TEST(test_two_neighbours_of_one_row)
{
    enum { N = 3096, D = 300, K = 2 };
    static const char *const schedules[] = {"", "rows", "lanes", "split", "columns"};
    float *x = random_floats(D, -4, 4), *y = random_floats(N * D, -4, 4);
    for (int k = 0; k < D; k++)
        x[k] = roundf(x[k]);
    for (int k = 0; k < N * D; k++)
        y[k] = roundf(y[k]);
    double best[K] = {INFINITY, INFINITY};
    int64_t at[K] = {-1, -1};
    for (int j = 0; j < N; j++) {
        const double f = -squared(x, y + j * D, D);
        const int place = f < best[0] ? 0 : 1;
        if (f >= best[1])
            continue;
        best[1] = place ? f : best[0];
        at[1] = place ? j : at[0];
        if (!place) {
            best[0] = f;
            at[0] = j;
        }
    }
    for (size_t n = 0; n < (long_tests() ? KB_COUNT(schedules) : 2); n++) {
        float value[K];
        int64_t index[K];
        kcl_operator *op;
        ck_assert_msg(kcl_operator_create(&op, "KMin_ArgKMin_Reduction(-SqDist(x,y),2,0)", 2,
                                          (const char *const[]){"x=Vi(300)", "y=Vj(300)"},
                                          &(kcl_operator_params){.schedule = schedules[n]}) == KCL_OK,
                      "%s", kcl_operator_error(op));
        OK(kcl_operator_apply(op, device, (const kcl_array *[]){kcl_f32(value, 1, K), kcl_i64(index, 1, K)}, 2,
                              (const kcl_array *[]){kcl_f32(x, 1, D), kcl_f32(y, N, D)}, 2));
        for (int k = 0; k < K; k++)
            ck_assert_msg((double)value[k] == best[k] && index[k] == at[k],
                          "schedule \"%s\": neighbour %d is %lld at %g, by plain loops %lld at %g", schedules[n], k,
                          (long long)index[k], (double)value[k], (long long)at[k], best[k]);
        kcl_operator_destroy(&op);
    }
    free(x);
    free(y);
}
END_TEST

/* keops#364: fewer columns than neighbours that are asked for, and none. */
START_TEST(test_fewer_columns_than_neighbours)
{
    enum { M = 3, K = 4 };
    static const float x[M] = {0, 10, 20}, y[K] = {1, 9, 18, 31};
    static const int64_t order[M][K] = {{0, 1, 2, 3}, {1, 2, 0, 3}, {2, 1, 3, 0}};
    for (int N = 0; N <= K; N += 2) {
        float value[M][K];
        int64_t index[M][K];
        kcl_expr *F = kcl_sqdist(kcl_vi(s, kcl_f32(x, M, 1)), kcl_vj(s, kcl_f32(y, N, 1)));
        OK(kcl_kmin_argkmin(F, K, KCL_OVER_J, kcl_f32(&value[0][0], M, K), kcl_i64(&index[0][0], M, K)));
        for (int i = 0; i < M; i++) {
            int found = 0;
            for (int k = 0; k < K; k++) {
                const int64_t j = order[i][k];
                if (j >= N)
                    continue;
                ck_assert_int_eq(index[i][found], j);
                ck_assert_double_eq((double)value[i][found++], squared(&x[i], &y[j], 1));
            }
            for (; found < K; found++)
                ck_assert(index[i][found] == -1 && value[i][found] == INFINITY);
        }
    }
}
END_TEST

/* ---- Gradients --------------------------------------------------------------------------------------------------- */

/* keops#246, #293: vectors of one dimension, values of another, which is larger or smaller. */
START_TEST(test_values_of_another_dimension_than_points)
{
    static const int cases[][4] = {{200, 200, 4, 3}, {20, 5, 15, 120}}; /* M, N, D, components of v */
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        const int M = cases[n][0], N = cases[n][1], D = cases[n][2], V = cases[n][3];
        float *x = random_floats(M * D, -1, 1), *y = random_floats(N * D, -1, 1), *v = random_floats(N * V, -1, 1),
              *e = random_floats(M * V, -1, 1), g = 0.3f, by_g;
        float *by_x = calloc((size_t)(M * D), sizeof *by_x), *by_v = calloc((size_t)(N * V), sizeof *by_v);
        sum *want_x = calloc((size_t)(M * D), sizeof *want_x), *want_v = calloc((size_t)(N * V), sizeof *want_v);
        sum want_g = {0, 0};
        kcl_expr *xi = kcl_vi(s, kcl_f32(x, M, D)), *yj = kcl_vj(s, kcl_f32(y, N, D)),
                 *vj = kcl_vj(s, kcl_f32(v, N, V));
        kcl_expr *p = kcl_pm(s, kcl_f32(&g, 1)), *ei = kcl_vi(s, kcl_f32(e, M, V));
        kcl_expr *R = kcl_reduce_sum(kcl_mul(kcl_exp(kcl_neg(kcl_mul(p, kcl_sqdist(xi, yj)))), vj), KCL_OVER_J);
        OK(kcl_eval(3, (kcl_expr *[]){kcl_vjp(R, xi, ei), kcl_vjp(R, vj, ei), kcl_vjp(R, p, ei)},
                    (const kcl_array *[]){kcl_f32(by_x, M, D), kcl_f32(by_v, N, V), kcl_f32(&by_g, 1)}));
        for (int i = 0; i < M; i++) {
            for (int j = 0; j < N; j++) {
                const double d2 = squared(x + i * D, y + j * D, D), entry = exp(-(double)g * d2);
                for (int k = 0; k < V; k++) {
                    const double both = (double)e[i * V + k] * (double)v[j * V + k] * entry;
                    add(&want_v[j * V + k], entry * (double)e[i * V + k]);
                    add(&want_g, -d2 * both);
                    for (int c = 0; c < D; c++)
                        add(&want_x[i * D + c], -2 * (double)g * ((double)x[i * D + c] - (double)y[j * D + c]) * both);
                }
            }
        }
        for (int k = 0; k < M * D; k++)
            check_sum((double)by_x[k], &want_x[k], "gradient in x", k / D, k % D);
        for (int k = 0; k < N * V; k++)
            check_sum((double)by_v[k], &want_v[k], "gradient in v", k / V, k % V);
        check_sum((double)by_g, &want_g, "gradient in the parameter", 0, 0);
        kcl_scope_reset(s);
        float *const all[] = {x, y, v, e, by_x, by_v};
        for (size_t k = 0; k < KB_COUNT(all); k++)
            free(all[k]);
        free(want_x);
        free(want_v);
    }
}
END_TEST

/* keops#145: the gradient of a Gaussian product in points with a batch axis has the shape of the points. */
START_TEST(test_gradients_of_batches_have_the_shape_of_the_variable)
{
    enum { B = 2, D = 3 };
    const int M = long_tests() ? 2000 : 150;
    float *x = random_floats(B * M * D, -1, 1), *m = random_floats(B * M, -1, 1), *got = calloc((size_t)(B * M * D), 4);
    kcl_data *points = kcl_data_create(s, kcl_f32(x, B, M, D)), *weights = kcl_data_create(s, kcl_f32(m, B, M, 1));
    kcl_expr *xi = kcl_vi_data(s, points), *K = kcl_exp(kcl_neg(kcl_sqdist(xi, kcl_vj_data(s, points))));
    kcl_expr *H = kcl_reduce_sum(kcl_mul(kcl_mul(K, kcl_vi_data(s, weights)), kcl_vj_data(s, weights)), KCL_OVER_BOTH);
    kcl_expr *gradient = kcl_grad(kcl_reduce_sum_batch(H, 0), xi);
    int64_t shape[KCL_MAX_AXES];
    ck_assert_int_eq(kcl_expr_shape(gradient, shape), 4);
    ck_assert(shape[0] == B && shape[1] == M && shape[2] == 1 && shape[3] == D);
    OK(kcl_eval1(gradient, kcl_f32(got, B, M, D)));
    for (int i = 0; i < B * M; i++) {
        sum want[D] = {{0, 0}};
        for (int j = i / M * M; j < (i / M + 1) * M; j++)
            for (int k = 0; k < D; k++)
                add(&want[k], -4 * ((double)x[i * D + k] - (double)x[j * D + k]) *
                                  exp(-squared(x + i * D, x + j * D, D)) * (double)m[i] * (double)m[j]);
        for (int k = 0; k < D; k++)
            check_sum((double)got[i * D + k], &want[k], "gradient", i, k);
    }
    free(x);
    free(m);
    free(got);
}
END_TEST

/* keops#221: distances of points to themselves have the derivative 0, twice. */
START_TEST(test_distances_within_a_cloud)
{
    enum { N = 100, D = 3 };
    for (int t = 0; t < 2; t++) {
        const kcl_dtype dtype = t ? KCL_F64 : KCL_F32;
        const double tolerance = t ? 1e-12 : 1e-5;
        numbers x, v, sums, first, second;
        numbers *const all[] = {&x, &v, &sums, &first, &second};
        for (size_t k = 0; k < KB_COUNT(all); k++) {
            numbers_make(all[k], dtype, N, k == 2 ? 1 : D, DENSE);
            numbers_fill(all[k], -1, 1);
        }
        kcl_data *points = kcl_data_create(s, &x.array);
        kcl_expr *xi = kcl_vi_data(s, points);
        kcl_expr *R = kcl_reduce_sum(kcl_sqrt(kcl_sqdist(xi, kcl_vj_data(s, points))), KCL_OVER_J);
        kcl_expr *L = kcl_reduce_sum(R, KCL_OVER_I);
        OK(kcl_eval(3, (kcl_expr *[]){R, kcl_grad(L, xi), kcl_hvp(L, xi, kcl_vi(s, &v.array))},
                    (const kcl_array *[]){&sums.array, &first.array, &second.array}));
        for (int i = 0; i < N; i++) {
            double want = 0, gradient[D] = {0}, product[D] = {0}, scale[D] = {0};
            for (int j = 0; j < N; j++) {
                double d[D], w[D], length = 0, along = 0;
                for (int k = 0; k < D; k++) {
                    d[k] = *numbers_exact(&x, i, k) - *numbers_exact(&x, j, k);
                    w[k] = *numbers_exact(&v, i, k) - *numbers_exact(&v, j, k);
                    length += d[k] * d[k];
                    along += d[k] * w[k];
                }
                length = sqrt(length);
                want += length;
                for (int k = 0; k < D && j != i; k++) {
                    const double term = 2 * (w[k] - d[k] * along / (length * length)) / length;
                    gradient[k] += 2 * d[k] / length;
                    product[k] += term;
                    scale[k] += 2 * (fabs(w[k]) + fabs(d[k] * along) / (length * length)) / length;
                }
            }
            ck_assert(fabs(numbers_get(&sums, i, 0) - want) <= tolerance * want);
            for (int k = 0; k < D; k++) {
                ck_assert(fabs(numbers_get(&first, i, k) - gradient[k]) <= tolerance * 2 * N);
                ck_assert(fabs(numbers_get(&second, i, k) - product[k]) <= 4 * tolerance * scale[k]);
            }
        }
        for (size_t k = 0; k < KB_COUNT(all); k++)
            numbers_free(all[k]);
        kcl_scope_reset(s);
    }
}
END_TEST

/* keops#327: one array as both rows and columns of a LogSumExp has one gradient, the sum over both roles. */
START_TEST(test_logsumexp_of_a_cloud_with_itself)
{
    enum { N = 256, D = 5 };
    float *x = random_floats(N * D, -1, 1), *got = calloc(N * D, sizeof *got);
    static sum want[N * D];
    memset(want, 0, sizeof want);
    kcl_data *points = kcl_data_create(s, kcl_f32(x, N, D));
    kcl_expr *xi = kcl_vi_data(s, points);
    kcl_expr *R = kcl_reduce_logsumexp(kcl_neg(kcl_sqdist(xi, kcl_vj_data(s, points))), KCL_OVER_J);
    OK(kcl_eval1(kcl_grad(kcl_reduce_sum(R, KCL_OVER_I), xi), kcl_f32(got, N, D)));
    for (int i = 0; i < N; i++) {
        double total = 0;
        for (int j = 0; j < N; j++)
            total += exp(-squared(x + i * D, x + j * D, D));
        for (int j = 0; j < N; j++) {
            const double share = exp(-squared(x + i * D, x + j * D, D)) / total;
            for (int k = 0; k < D; k++) {
                const double term = -2 * share * ((double)x[i * D + k] - (double)x[j * D + k]);
                add(&want[i * D + k], term);
                add(&want[j * D + k], -term);
            }
        }
    }
    for (int k = 0; k < N * D; k++)
        check_sum((double)got[k], &want[k], "gradient", k / D, k % D);
    free(x);
    free(got);
}
END_TEST

/* keops#214: the gradient of exponential kernels in their length. */
START_TEST(test_gradient_in_a_length)
{
    const int N = long_tests() ? 1000 : 300, D = 3;
    float *x = random_floats(N * D, -1, 1), *y = random_floats(N, 0.5, 1), length = 0.4f, got;
    sum want = {0, 0};
    kcl_data *points = kcl_data_create(s, kcl_f32(x, N, D));
    kcl_expr *l = kcl_pm(s, kcl_f32(&length, 1));
    kcl_expr *d = kcl_norm2(kcl_sub(kcl_vi_data(s, points), kcl_vj_data(s, points)));
    kcl_expr *R = kcl_reduce_sum(kcl_mul(kcl_exp(kcl_neg(kcl_div(d, l))), kcl_vj(s, kcl_f32(y, N, 1))), KCL_OVER_J);
    OK(kcl_eval1(kcl_grad(kcl_reduce_sum(R, KCL_OVER_I), l), kcl_f32(&got, 1)));
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            const double r = sqrt(squared(x + i * D, x + j * D, D)), a = (double)length;
            add(&want, exp(-r / a) * r / (a * a) * (double)y[j]);
        }
    }
    check_sum((double)got, &want, "gradient in the length", 0, 0);
    free(x);
    free(y);
}
END_TEST

/* ---- A loss of two reductions ------------------------------------------------------------------------------------ */

/* Lengths of x, y and z, all different; the numbers of all variables are one list: x, y, b, sigma. */
enum { LX = 11, LY = 13, LZ = 9, LD = 3, VARIABLES = (LX + 2 * LY) * LD + 1 };

/* sum_k (v_k - t_k)^2 for u = x + sum_j exp(-|x - y_j|^2 / sigma^2) b_j and v_k = logsumexp_i(-|z_k - u_i|^2). */
static double loss_of(const double *of, const double *z, const double *t)
{
    const double *x = of, *y = x + LX * LD, *b = y + LY * LD, sigma = b[LY * LD];
    double u[LX][LD], loss = 0;
    for (int i = 0; i < LX; i++) {
        memcpy(u[i], x + i * LD, sizeof u[i]);
        for (int j = 0; j < LY; j++) {
            double d2 = 0;
            for (int k = 0; k < LD; k++)
                d2 += pow(x[i * LD + k] - y[j * LD + k], 2);
            for (int k = 0; k < LD; k++)
                u[i][k] += exp(-d2 / (sigma * sigma)) * b[j * LD + k];
        }
    }
    for (int n = 0; n < LZ; n++) {
        double total = 0;
        for (int i = 0; i < LX; i++)
            total +=
                exp(-pow(z[n * LD] - u[i][0], 2) - pow(z[n * LD + 1] - u[i][1], 2) - pow(z[n * LD + 2] - u[i][2], 2));
        loss += pow(log(total) - t[n], 2);
    }
    return loss;
}

START_TEST(test_gradients_of_a_loss_of_two_reductions)
{
    const kcl_dtype dtype = _i ? KCL_F64 : KCL_F32;
    enum { X, Y, B, SIGMA, Z, T, ARRAYS };
    static const int rows[ARRAYS] = {LX, LY, LY, 1, LZ, LZ}, dims[ARRAYS] = {LD, LD, LD, 1, LD, 1};
    numbers in[ARRAYS], out[SIGMA + 1], loss;
    double of[VARIABLES], z[LZ * LD], t[LZ], *next = of;
    for (int a = 0; a < ARRAYS; a++) {
        numbers_make(&in[a], dtype, rows[a], dims[a], DENSE);
        numbers_fill(&in[a], a == SIGMA ? 0.8 : -1, 1);
        double *to = a == Z ? z : a == T ? t : next;
        for (int k = 0; k < rows[a] * dims[a]; k++)
            to[k] = *numbers_exact(&in[a], k / dims[a], k % dims[a]);
        next += a < Z ? rows[a] * dims[a] : 0;
    }
    kcl_expr *x = kcl_vi(s, &in[X].array), *y = kcl_vj(s, &in[Y].array), *b = kcl_vj(s, &in[B].array);
    kcl_expr *sigma = kcl_pm(s, &in[SIGMA].array), *zi = kcl_vi(s, &in[Z].array), *ti = kcl_vi(s, &in[T].array);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_div(kcl_sqdist(x, y), kcl_square(sigma))));
    kcl_expr *u = kcl_add(x, kcl_reduce_sum(kcl_mul(K, b), KCL_OVER_J));
    kcl_expr *v = kcl_reduce_logsumexp(kcl_neg(kcl_sqdist(zi, kcl_transpose(u))), KCL_OVER_J);
    kcl_expr *L = kcl_reduce_sum(kcl_square(kcl_sub(v, ti)), KCL_OVER_I);
    numbers_make(&loss, dtype, 1, 1, DENSE);
    for (int a = 0; a <= SIGMA; a++)
        numbers_make(&out[a], dtype, rows[a], dims[a], DENSE);
    OK(kcl_eval(5, (kcl_expr *[]){L, kcl_grad(L, x), kcl_grad(L, y), kcl_grad(L, b), kcl_grad(L, sigma)},
                (const kcl_array *[]){&loss.array, &out[X].array, &out[Y].array, &out[B].array, &out[SIGMA].array}));
    const double want = loss_of(of, z, t), step = 1e-5;
    ck_assert(fabs(numbers_get(&loss, 0, 0) - want) <= (_i ? 1e-12 : 1e-5) * want);
    next = of;
    for (int a = 0; a <= SIGMA; a++) {
        double largest = 0, wrong = 0;
        for (int k = 0; k < rows[a] * dims[a]; k++, next++) {
            const double kept = *next;
            *next = kept + step;
            const double above = loss_of(of, z, t);
            *next = kept - step;
            const double slope = (above - loss_of(of, z, t)) / (2 * step);
            *next = kept;
            largest = fmax(largest, fabs(slope));
            wrong = fmax(wrong, fabs(slope - numbers_get(&out[a], k / dims[a], k % dims[a])));
        }
        ck_assert_msg(wrong <= (_i ? 1e-8 : 2e-5) * largest, "gradient %d off by %g of %g", a, wrong, largest);
        numbers_free(&out[a]);
    }
    for (int a = 0; a < ARRAYS; a++)
        numbers_free(&in[a]);
    numbers_free(&loss);
}
END_TEST

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* keops#268: labels that are no component give zeros, and nothing is written beside the vector. */
START_TEST(test_labels_that_are_no_component)
{
    enum { M = 4, CLASSES = 6, GAP = 3 };
    static const float labels[M] = {0, 8, -3, 2}, weights[M] = {2, 3, 5, 7};
    float out[M][CLASSES + GAP], counts[CLASSES];
    for (int i = 0; i < M; i++)
        for (int k = 0; k < CLASSES + GAP; k++)
            out[i][k] = -1;
    const kcl_array rows = {
        .data = out, .dtype = KCL_F32, .ndim = 2, .shape = {M, CLASSES}, .stride = {sizeof out[0], sizeof out[0][0]}};
    kcl_data *l = kcl_data_create(s, kcl_f32(labels, M, 1)), *w = kcl_data_create(s, kcl_f32(weights, M, 1));
    kcl_expr *by_row = kcl_mul(kcl_one_hot(kcl_vi_data(s, l), CLASSES), kcl_vi_data(s, w));
    OK(kcl_eval(2, (kcl_expr *[]){by_row, kcl_reduce_sum(by_row, KCL_OVER_I)},
                (const kcl_array *[]){&rows, kcl_f32(counts, CLASSES)}));
    for (int k = 0; k < CLASSES + GAP; k++) {
        ck_assert(out[0][k] == (k >= CLASSES ? -1 : k == 0 ? 2 : 0));
        ck_assert(out[1][k] == (k >= CLASSES ? -1 : 0));
        ck_assert(out[2][k] == (k >= CLASSES ? -1 : 0));
        ck_assert(out[3][k] == (k >= CLASSES ? -1 : k == 2 ? 7 : 0));
    }
    for (int k = 0; k < CLASSES; k++)
        ck_assert(counts[k] == (k == 0 ? 2 : k == 2 ? 7 : 0));
}
END_TEST

/* keops#112: whole powers of negative numbers, however they are written. */
START_TEST(test_powers_of_negative_numbers)
{
    static const double x[2] = {-1, 1}, y[2] = {1, 1};
    static const float single_x[2] = {-1, 1}, single_y[2] = {1, 1};
    static const char *const texts[] = {"Sum_Reduction((x*y)**2,0)", "Sum_Reduction(Pow(x*y,2),0)",
                                        "Sum_Reduction(Square(x|y),0)", "Sum_Reduction((x|y)**4,0)"};
    for (size_t n = 0; n < KB_COUNT(texts); n++) {
        kcl_operator *op;
        double out[2] = {0};
        float single[2] = {0};
        ck_assert_int_eq(kcl_operator_create(&op, texts[n], 2, (const char *const[]){"x=Vi(1)", "y=Vj(1)"}, NULL),
                         KCL_OK);
        OK(kcl_operator_apply(op, device, (const kcl_array *[]){kcl_f64(out, 2, 1)}, 1,
                              (const kcl_array *[]){kcl_f64(x, 2, 1), kcl_f64(y, 2, 1)}, 2));
        OK(kcl_operator_apply(op, device, (const kcl_array *[]){kcl_f32(single, 2, 1)}, 1,
                              (const kcl_array *[]){kcl_f32(single_x, 2, 1), kcl_f32(single_y, 2, 1)}, 2));
        ck_assert_msg(out[0] == 2 && out[1] == 2 && single[0] == 2 && single[1] == 2, "%s: %g, %g, %g, %g", texts[n],
                      out[0], out[1], (double)single[0], (double)single[1]);
        kcl_operator_destroy(&op);
    }
}
END_TEST

/* keops#370: a length that is given as a whole number, as a decimal one, and as a parameter. */
START_TEST(test_lengths_as_whole_and_as_decimal_numbers)
{
    enum { M = 5, D = 1000 };
    const int N = long_tests() ? 100000 : 300;
    static const char *const texts[] = {"Sum_Reduction(Exp(-(Sum(Abs(x-y))/5)),0)",
                                        "Sum_Reduction(Exp(-(Sum(Abs(x-y))/5.0)),0)",
                                        "Sum_Reduction(Exp(-(Sum(Abs(x-y))/s)),0)"};
    float *x = random_floats(M * D, 0, 1), *y = random_floats((int64_t)N * D, 0, 1), five = 5, out[3][M];
    for (int n = 0; n < 3; n++) {
        kcl_operator *op;
        const char *const aliases[] = {"x=Vi(1000)", "y=Vj(1000)", "s=Pm(1)"};
        const kcl_array *args[] = {kcl_f32(x, M, D), kcl_f32(y, N, D), kcl_f32(&five, 1)};
        const int count = n == 2 ? 3 : 2;
        ck_assert_msg(kcl_operator_create(&op, texts[n], count, aliases, NULL) == KCL_OK, "%s", kcl_operator_error(op));
        OK(kcl_operator_apply(op, device, (const kcl_array *[]){kcl_f32(out[n], M, 1)}, 1, args, count));
        kcl_operator_destroy(&op);
    }
    for (int i = 0; i < M; i++) {
        double want = 0;
        for (int j = 0; j < N; j++) {
            double d = 0;
            for (int k = 0; k < D; k++)
                d += fabs((double)x[i * D + k] - (double)y[(int64_t)j * D + k]);
            want += exp(-d / 5);
        }
        ck_assert(want > 0);
        ck_assert(out[0][i] == out[1][i]);
        /* The exponent is some 67, with an error of that times the rounding of sums of 1,000 terms. */
        for (int n = 0; n < 3; n++)
            ck_assert_msg(fabs((double)out[n][i] - want) <= 1e-4 * want, "%s: %g, by plain loops %g", texts[n],
                          (double)out[n][i], want);
    }
    free(x);
    free(y);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    if (!getenv("KEOPSCL_CACHE_DIR"))
        setenv("KEOPSCL_CACHE", "off", 1);
    device = open_cpu_or_skip();
    if (!device)
        return 77;
    announce_seed(argv[0]);
    const test_entry tests[] = {
        {test_nearest_neighbours_of_any_dimension, 0},
        {test_two_neighbours_of_one_row, 0},
        {test_fewer_columns_than_neighbours, 0},
        {test_values_of_another_dimension_than_points, 0},
        {test_gradients_of_batches_have_the_shape_of_the_variable, 0},
        {test_distances_within_a_cloud, 0},
        {test_logsumexp_of_a_cloud_with_itself, 0},
        {test_gradient_in_a_length, 0},
        {test_gradients_of_a_loss_of_two_reductions, 2},
        {test_labels_that_are_no_component, 0},
        {test_powers_of_negative_numbers, 0},
        {test_lengths_as_whole_and_as_decimal_numbers, 0},
    };
    int failed = run_entries("scenarios", tests, KB_COUNT(tests), setup, teardown);
    kcl_context_destroy(&device);
    return failed;
}
