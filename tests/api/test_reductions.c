/* SPDX-License-Identifier: MIT */
/* Reductions by the interpreter: every one against plain loops. */
#include "points.h"

/* The index of the least of `value(i, j)` over the axes; exact ties are made by equal points. */
static int64_t index_of_least(int axes, int64_t at, int k)
{
    int64_t best = -1;
    double least = 0;
    for (int64_t i = axes & KCL_OVER_I ? 0 : at; i < (axes & KCL_OVER_I ? M : at + 1); i++)
        for (int64_t j = axes & KCL_OVER_J ? 0 : at; j < (axes & KCL_OVER_J ? N : at + 1); j++) {
            double value = k == D ? distance_of(i, j) : X(k) * Y(k);
            if (best < 0 || value < least) {
                least = value;
                best = axes == KCL_OVER_BOTH ? i * N + j : axes == KCL_OVER_I ? i : j;
            }
        }
    return best;
}

static double log_sum(int axes, int64_t at, double shift)
{
    double sum = 0;
    for (int64_t i = axes & KCL_OVER_I ? 0 : at; i < (axes & KCL_OVER_I ? M : at + 1); i++)
        for (int64_t j = axes & KCL_OVER_J ? 0 : at; j < (axes & KCL_OVER_J ? N : at + 1); j++)
            sum += exp(-distance_of(i, j));
    return log(sum) + shift;
}

START_TEST(test_three_kinds_of_reduction_at_once)
{
    static const kcl_axes all_axes[] = {KCL_OVER_I, KCL_OVER_J, KCL_OVER_BOTH};
    kcl_dtype dtype = _i % 2 ? KCL_F32 : KCL_F64;
    make_points(dtype, (layout)(_i / 2), -1, 1);
    for (int k = 0; k < D; k++) { /* the first and the last row alike: ties */
        numbers_set(&x, M - 1, k, *numbers_exact(&x, 0, k));
        numbers_set(&y, N - 1, k, *numbers_exact(&y, 0, k));
    }
    kcl_expr *d = kcl_sqdist(x_i, y_j), *exprs[12];
    const double shift = -500;
    kcl_expr *shifted = kcl_add(kcl_neg(d), kcl_constant(s, shift));
    numbers logs[3], sums[3];
    const kcl_array *outs[12];
    int64_t nearest[3][M * 2], parts[3][M * D + 1];
    for (int a = 0; a < 3; a++) {
        int64_t rows = all_axes[a] == KCL_OVER_J ? M : all_axes[a] == KCL_OVER_I ? N : 1;
        numbers_make(&logs[a], dtype, rows, 1, (layout)(_i / 2));
        numbers_make(&sums[a], dtype, rows, 1, (layout)(_i / 2));
        exprs[4 * a] = kcl_reduce_argmin(d, all_axes[a]);
        exprs[4 * a + 1] = kcl_reduce_logsumexp(shifted, all_axes[a]);
        exprs[4 * a + 2] = kcl_reduce_sum(d, all_axes[a]);
        exprs[4 * a + 3] = kcl_reduce_argmin(kcl_mul(x_i, y_j), all_axes[a]);
        ck_assert_int_eq(kcl_expr_dim(exprs[4 * a + 3]), D);
        /* Every second element, and backwards in the components. */
        static kcl_array gaps[3], reversed[3];
        gaps[a] = *kcl_i64(nearest[a], rows);
        gaps[a].stride[0] = 2 * (int64_t)sizeof(int64_t);
        reversed[a] = *kcl_i64(parts[a], rows, D);
        reversed[a].data = &parts[a][D - 1];
        reversed[a].stride[1] = -(int64_t)sizeof(int64_t);
        memset(nearest[a], 0xa5, sizeof nearest[a]);
        parts[a][rows * D] = 4711;
        outs[4 * a] = &gaps[a];
        outs[4 * a + 1] = &logs[a].array;
        outs[4 * a + 2] = &sums[a].array;
        outs[4 * a + 3] = &reversed[a];
    }
    ck_assert_msg(kcl_eval(12, exprs, outs) == KCL_OK, "%s", kcl_context_error(c));
    for (int a = 0; a < 3; a++) {
        for (int64_t r = 0; r < logs[a].rows; r++) {
            ck_assert_int_eq(nearest[a][2 * r], index_of_least((int)all_axes[a], r, D));
            ck_assert_int_eq(nearest[a][2 * r + 1], (int64_t)UINT64_C(0xa5a5a5a5a5a5a5a5));
            for (int k = 0; k < D; k++)
                ck_assert_int_eq(parts[a][r * D + D - 1 - k], index_of_least((int)all_axes[a], r, k));
            near(numbers_get(&logs[a], r, 0), log_sum((int)all_axes[a], r, shift), dtype, "log sum exp");
        }
        ck_assert_int_eq(parts[a][logs[a].rows * D], 4711);
        numbers_check_gaps(&logs[a]);
        numbers_check_gaps(&sums[a]);
        numbers_free(&logs[a]);
        numbers_free(&sums[a]);
    }
    /* The short forms. */
    int64_t index[M];
    double log_f64[M];
    float log_f32[M];
    ck_assert_int_eq(kcl_argmin(d, KCL_OVER_J, kcl_i64(index, M, 1)), KCL_OK);
    ck_assert_int_eq(kcl_logsumexp(shifted, KCL_OVER_J, dtype == KCL_F32 ? kcl_f32(log_f32, M) : kcl_f64(log_f64, M)),
                     KCL_OK);
    for (int i = 0; i < M; i++) {
        ck_assert_int_eq(index[i], index_of_least(KCL_OVER_J, i, D));
        near(dtype == KCL_F32 ? (double)log_f32[i] : log_f64[i], log_sum(KCL_OVER_J, i, shift), dtype, "kcl_logsumexp");
    }
    free_points();
}
END_TEST

/* The values over the axes, in the order of their indices: of distances, or of component k of products. */
static int values_of(int axes, int64_t at, int k, double *value)
{
    int count = 0;
    for (int64_t i = axes & KCL_OVER_I ? 0 : at; i < (axes & KCL_OVER_I ? M : at + 1); i++)
        for (int64_t j = axes & KCL_OVER_J ? 0 : at; j < (axes & KCL_OVER_J ? N : at + 1); j++)
            value[count++] = k == D ? distance_of(i, j) : X(k) * Y(k);
    return count;
}

/* The index of the value with `rank` others in front of it, ties by index; -1: there is none. */
static int index_of_rank(int count, const double *value, int rank, bool largest)
{
    for (int n = 0; n < count; n++) {
        int before = 0;
        for (int m = 0; m < count; m++)
            before += (largest ? value[m] > value[n] : value[m] < value[n]) || (value[m] == value[n] && m < n);
        if (before == rank)
            return n;
    }
    return -1;
}

/* All of them, in one evaluation and by their short forms; more neighbours than there are. */
START_TEST(test_every_reduction)
{
    enum { K = 6, ROWS = 5, VALUES = 11, INDICES = 4, WIDTH = K * D };
    static const kcl_axes all_axes[] = {KCL_OVER_I, KCL_OVER_J, KCL_OVER_BOTH};
    const kcl_axes over = all_axes[_i / 2];
    const kcl_dtype dtype = _i % 2 ? KCL_F32 : KCL_F64;
    make_points(dtype, DENSE, -1, 1);
    for (int k = 0; k < D; k++)
        numbers_set(&y, N - 1, k, *numbers_exact(&y, 0, k)); /* ties */
    const int64_t rows = over == KCL_OVER_J ? M : over == KCL_OVER_I ? N : 1;
    kcl_expr *d = kcl_sqdist(x_i, y_j), *f = kcl_mul(x_i, y_j), *e = kcl_sub(kcl_constant(s, 700), d);
    kcl_expr *exprs[VALUES + INDICES];
    exprs[0] = kcl_reduce_mean(f, over);
    exprs[1] = kcl_reduce_logsumexp(f, over);
    exprs[2] = kcl_reduce_logsumexp_weight(e, kcl_square(f), over);
    exprs[3] = kcl_reduce_sumsoftmaxweight(e, f, over);
    exprs[4] = kcl_reduce_min(f, over);
    exprs[5] = kcl_reduce_max_argmax(f, over, &exprs[VALUES]);
    exprs[6] = kcl_reduce_kmin_argkmin(d, K, over, &exprs[VALUES + 1]);
    exprs[7] = kcl_reduce_kmax(f, 2, over);
    exprs[8] = kcl_reduce_kmin(f, K, over);
    exprs[9] = kcl_add(kcl_reduce_min_argmin(d, over, &exprs[VALUES + 2]), kcl_reduce_argmax(d, over));
    exprs[10] = kcl_reduce_kmax_argkmax(d, 3, over, &exprs[VALUES + 3]);
    static const int dims[VALUES + INDICES] = {D, D, D, D, D, D, K, 2 * D, K * D, 1, 3, D, K, 1, 3};
    numbers values[VALUES];
    int64_t indices[INDICES][ROWS * WIDTH];
    static kcl_array arrays[INDICES];
    const kcl_array *outs[VALUES + INDICES];
    for (int n = 0; n < VALUES + INDICES; n++) {
        ck_assert_msg(kcl_expr_status(exprs[n]) == KCL_OK, "%s", kcl_expr_error(exprs[n]));
        ck_assert_int_eq(kcl_expr_dim(exprs[n]), dims[n]);
        if (n < VALUES) {
            numbers_make(&values[n], dtype, rows, dims[n], DENSE);
            outs[n] = &values[n].array;
        } else {
            arrays[n - VALUES] = *kcl_i64(indices[n - VALUES], rows, dims[n]);
            outs[n] = &arrays[n - VALUES];
        }
    }
    ck_assert_msg(kcl_eval(VALUES + INDICES, exprs, outs) == KCL_OK, "%s", kcl_context_error(c));
    for (int64_t r = 0; r < rows; r++) {
        double distance[M * N], product[M * N];
        int count = values_of((int)over, r, D, distance);
        for (int k = 0; k < D; k++) {
            double sum = 0, powers = 0, total = 0, squares = 0, weighed = 0;
            values_of((int)over, r, k, product);
            for (int n = 0; n < count; n++) {
                sum += product[n];
                powers += exp(product[n]);
                total += exp(-distance[n]);
                squares += exp(-distance[n]) * product[n] * product[n];
                weighed += exp(-distance[n]) * product[n];
            }
            near(numbers_get(&values[0], r, k), sum / count, dtype, "mean");
            near(numbers_get(&values[1], r, k), log(powers), dtype, "log sum exp of a vector");
            near(numbers_get(&values[2], r, k), 700 + log(squares), dtype, "weighted log sum exp");
            ck_assert_double_eq_tol(numbers_get(&values[3], r, k), weighed / total, dtype == KCL_F32 ? 1e-4 : 1e-12);
            int least = index_of_rank(count, product, 0, false), most = index_of_rank(count, product, 0, true);
            near(numbers_get(&values[4], r, k), product[least], dtype, "min");
            near(numbers_get(&values[5], r, k), product[most], dtype, "max");
            ck_assert_int_eq(indices[0][r * D + k], most);
            for (int q = 0; q < 2; q++)
                near(numbers_get(&values[7], r, q * D + k), product[index_of_rank(count, product, q, true)], dtype,
                     "kmax");
            for (int q = 0; q < K; q++) {
                int at = index_of_rank(count, product, q, false);
                double got = numbers_get(&values[8], r, q * D + k);
                if (at < 0)
                    ck_assert(got == INFINITY);
                else
                    near(got, product[at], dtype, "kmin");
            }
        }
        for (int q = 0; q < K; q++) {
            int at = index_of_rank(count, distance, q, false);
            double got = numbers_get(&values[6], r, q);
            ck_assert_int_eq(indices[1][r * K + q], at);
            ck_assert(at < 0 ? got == INFINITY : fabs(got - distance[at]) <= 1e-6 * (1 + distance[at]));
        }
        for (int q = 0; q < 3; q++) {
            int at = index_of_rank(count, distance, q, true);
            near(numbers_get(&values[10], r, q), distance[at], dtype, "kmax of distances");
            ck_assert_int_eq(indices[3][r * 3 + q], at);
        }
        int least = index_of_rank(count, distance, 0, false), most = index_of_rank(count, distance, 0, true);
        near(numbers_get(&values[9], r, 0), distance[least] + most, dtype, "min plus an index");
        ck_assert_int_eq(indices[2][r], least);
    }
    /* The short forms. */
    numbers again;
    int64_t found[ROWS * WIDTH];
    numbers_make(&again, dtype, rows, K, DENSE);
    ck_assert_int_eq(kcl_kmin_argkmin(d, K, over, &again.array, kcl_i64(found, rows, K)), KCL_OK);
    for (int64_t n = 0; n < rows * K; n++) {
        ck_assert_int_eq(found[n], indices[1][n]);
        ck_assert(numbers_get(&again, n / K, (int)(n % K)) == numbers_get(&values[6], n / K, (int)(n % K)));
    }
    ck_assert_int_eq(kcl_argkmin(d, K, over, kcl_i64(found, rows, K)), KCL_OK);
    ck_assert_mem_eq(found, indices[1], (size_t)(rows * K) * sizeof *found);
    ck_assert_int_eq(kcl_argmax(f, over, kcl_i64(found, rows, D)), KCL_OK);
    ck_assert_mem_eq(found, indices[0], (size_t)(rows * D) * sizeof *found);
    numbers_free(&again);
    numbers_make(&again, dtype, rows, D, DENSE);
    const kcl_status status[] = {kcl_mean(f, over, &again.array), kcl_max(f, over, &again.array)};
    ck_assert(status[0] == KCL_OK && status[1] == KCL_OK);
    for (int64_t n = 0; n < rows * D; n++)
        ck_assert(numbers_get(&again, n / D, (int)(n % D)) == numbers_get(&values[5], n / D, (int)(n % D)));
    ck_assert_int_eq(kcl_min(f, over, &again.array), KCL_OK);
    ck_assert(numbers_get(&again, 0, 1) == numbers_get(&values[4], 0, 1));
    ck_assert_int_eq(kcl_logsumexp_weight(e, kcl_square(f), over, &again.array), KCL_OK);
    near(numbers_get(&again, 0, 1), numbers_get(&values[2], 0, 1), dtype, "kcl_logsumexp_weight");
    ck_assert_int_eq(kcl_sumsoftmaxweight(e, f, over, &again.array), KCL_OK);
    ck_assert_double_eq_tol(numbers_get(&again, 0, 1), numbers_get(&values[3], 0, 1), 1e-4);
    numbers_free(&again);
    for (int n = 0; n < VALUES; n++)
        numbers_free(&values[n]);
    free_points();
}
END_TEST

START_TEST(test_indices_in_further_formulas)
{
    make_points(KCL_F64, DENSE, -1, 1);
    kcl_expr *d = kcl_sqdist(x_i, y_j), *over_j = kcl_reduce_argmin(d, KCL_OVER_J);
    kcl_expr *whole = kcl_reduce_argmin(d, KCL_OVER_BOTH);
    double scaled[M][D], turned[M], columns[N][D], real[M];
    int64_t index[M], twice[M];
    /* As an output, in an output, as a variable of a later sweep, and turned round there. */
    kcl_expr *later = kcl_reduce_sum(
        kcl_mul(kcl_transpose(over_j), kcl_exp(kcl_neg(kcl_sqdist(x_i, kcl_transpose(x_i))))), KCL_OVER_J);
    kcl_expr *exprs[] = {
        over_j, kcl_mul(over_j, x_i), later, kcl_mul(whole, y_j), over_j, kcl_mul(kcl_constant(s, 1), over_j)};
    const kcl_array *outs[] = {kcl_i64(index, M),    kcl_f64(&scaled[0][0], M, D),
                               kcl_f64(turned, M),   kcl_f64(&columns[0][0], N, D),
                               kcl_i64(twice, 1, M), kcl_f64(real, M)};
    ck_assert_msg(kcl_eval(6, exprs, outs) == KCL_OK, "%s", kcl_context_error(c));
    for (int64_t i = 0; i < M; i++) {
        int64_t want = index_of_least(KCL_OVER_J, i, D);
        double sum = 0;
        ck_assert_int_eq(index[i], want);
        ck_assert_int_eq(twice[i], want);
        ck_assert_double_eq(real[i], (double)want);
        for (int k = 0; k < D; k++)
            ck_assert_double_eq(scaled[i][k], (double)want * X(k));
        for (int64_t n = 0; n < M; n++) {
            double e = 0;
            for (int k = 0; k < D; k++)
                e += pow(X(k) - *numbers_exact(&x, n, k), 2);
            sum += (double)index_of_least(KCL_OVER_J, n, D) * exp(-e);
        }
        near(turned[i], sum, KCL_F64, "a sum of indices");
    }
    for (int64_t j = 0; j < N; j++)
        for (int k = 0; k < D; k++)
            ck_assert_double_eq(columns[j][k], (double)index_of_least(KCL_OVER_BOTH, 0, D) * Y(k));
    /* The share of each term is the gradient of log sum exp. */
    double dx[M][D];
    kcl_expr *total = kcl_reduce_sum(kcl_reduce_logsumexp(kcl_neg(d), KCL_OVER_J), KCL_OVER_I);
    eval_ok(kcl_grad(total, x_i), kcl_f64(&dx[0][0], M, D));
    for (int64_t i = 0; i < M; i++)
        for (int k = 0; k < D; k++) {
            double want = 0;
            for (int64_t j = 0; j < N; j++)
                want -= 2 * (X(k) - Y(k)) * exp(-distance_of(i, j) - log_sum(KCL_OVER_J, i, 0));
            near(dx[i][k], want, KCL_F64, "gradient of log sum exp");
        }
    eval_ok(kcl_vjp(kcl_mul(over_j, x_i), x_i, kcl_constant(s, 1)), kcl_f64(&dx[0][0], M, D));
    for (int i = 0; i < M; i++)
        ck_assert_double_eq(dx[i][1], (double)index[i]);
    IS_ERROR(kcl_vjp(over_j, x_i, kcl_constant(s, 1)), KCL_ERROR_DERIVATIVE, "ArgMin", "whole number");
    free_points();
}
END_TEST

START_TEST(test_indices_are_int64_and_nothing_else_is)
{
    double a[15] = {0}, out[15];
    float single[15];
    int64_t index[15];
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 5, 3)), *v = kcl_vj(s, kcl_f64(a, 4, 3)),
             *f = kcl_reduce_argmin(kcl_mul(u, v), KCL_OVER_J);
    CALL_FAILS(kcl_eval1(f, kcl_f64(out, 5, 3)), KCL_ERROR_TYPE, "output 0", "float64", "index", "must be int64");
    CALL_FAILS(kcl_eval1(kcl_neg(f), kcl_i64(index, 5, 3)), KCL_ERROR_TYPE, "output 0", "int64", "real number");
    CALL_FAILS(kcl_eval1(f, kcl_i64(index, 5, 2)), KCL_ERROR_SHAPE, "output 0", "(5, 2)");
    CALL_FAILS(kcl_eval(2, (kcl_expr *[]){f, u}, (const kcl_array *[]){kcl_i64(index, 5, 3), kcl_f32(single, 5, 3)}),
               KCL_ERROR_TYPE, "array 0", "float64", "output 1", "float32");
    kcl_expr *mixed = kcl_reduce_argmin(kcl_mul(u, kcl_vj(s, kcl_f32(single, 4, 3))), KCL_OVER_J);
    CALL_FAILS(kcl_eval1(mixed, kcl_i64(index, 5, 3)), KCL_ERROR_TYPE, "array 2", "float32", "array 0", "float64");
    kcl_expr *whole = kcl_vi(s, kcl_i64(index, 5, 3));
    IS_ERROR(kcl_square(whole), KCL_ERROR_TYPE, "kcl_square", "int64", "Gather");
    /* A text that calls the array Var(...) does not say that it is of integers: array 3 here. */
    CALL_FAILS(kcl_eval1(kcl_formula(s, "Square(Var(3,3,0))", 0, NULL, NULL), kcl_f64(out, 5, 3)), KCL_ERROR_TYPE,
               "Square", "int64", "Gather");
    CALL_FAILS(kcl_eval1(kcl_formula(s, "Var(3,3,0)", 0, NULL, NULL), kcl_f64(out, 5, 3)), KCL_ERROR_TYPE, "result 0",
               "int64");
    IS_ERROR(kcl_reduce_logsumexp_weight(kcl_mul(u, v), v, KCL_OVER_J), KCL_ERROR_SHAPE, "kcl_reduce_logsumexp_weight",
             "dimension 3");
    IS_ERROR(kcl_reduce_sumsoftmaxweight(kcl_dot(u, v), NULL, KCL_OVER_J), KCL_ERROR_ARGUMENT, "operand");
    IS_ERROR(kcl_reduce_kmin(kcl_dot(u, v), 0, KCL_OVER_J), KCL_ERROR_ARGUMENT, "kcl_reduce_kmin", "K is 0");
    IS_ERROR(kcl_reduce_argkmax(u, 2, KCL_OVER_J), KCL_ERROR_SHAPE, "kcl_reduce_argkmax", "over j", "depends on i");
    IS_ERROR(kcl_reduce_mean(u, (kcl_axes)0), KCL_ERROR_ARGUMENT, "kcl_reduce_mean", "KCL_OVER_BOTH");
    IS_ERROR(kcl_reduce_argmin(u, KCL_OVER_J), KCL_ERROR_SHAPE, "kcl_reduce_argmin", "over j", "depends on i");
    IS_ERROR(kcl_reduce_argmin(u, (kcl_axes)4), KCL_ERROR_ARGUMENT, "kcl_reduce_argmin", "4", "KCL_OVER_BOTH");
    eval_ok(f, kcl_i64(index, 5, 3));
    for (int k = 0; k < 15; k++)
        ck_assert_int_eq(index[k], 0);
    /* No columns, and no rows. */
    kcl_expr *none = kcl_vj(s, kcl_f64(NULL, 0, 3));
    eval_ok(kcl_reduce_argmin(kcl_mul(u, none), KCL_OVER_J), kcl_i64(index, 5, 3));
    for (int k = 0; k < 15; k++)
        ck_assert_int_eq(index[k], -1);
    eval_ok(kcl_reduce_argmin(kcl_mul(u, none), KCL_OVER_BOTH), kcl_i64(index, 3));
    ck_assert_int_eq(index[2], -1);
    eval_ok(kcl_reduce_argmin(kcl_mul(u, none), KCL_OVER_I), kcl_i64(NULL, 0, 3));
    eval_ok(kcl_reduce_logsumexp(kcl_dot(u, none), KCL_OVER_J), kcl_f64(out, 5));
    ck_assert(out[4] == -INFINITY);
}
END_TEST

START_TEST(test_empty_and_single_rows)
{
    double one[] = {1, 2, 3}, out[3] = {9, 9, 9}, none[1] = {9};
    for (int m = 0; m < 2; m++) {
        for (int n = 0; n < 2; n++) {
            kcl_expr *f = kcl_mul(kcl_vi(s, kcl_f64(m ? one : NULL, m, 3)), kcl_vj(s, kcl_f64(n ? one : NULL, n, 3)));
            eval_ok(kcl_reduce_sum(f, KCL_OVER_J), kcl_f64(m ? out : none, m, 3));
            for (int k = 0; k < 3; k++)
                ck_assert_double_eq(out[k], !m ? 9 : n ? one[k] * one[k] : 0);
            eval_ok(kcl_reduce_sum(f, KCL_OVER_BOTH), kcl_f64(out, 3));
            for (int k = 0; k < 3; k++)
                ck_assert_double_eq(out[k], m && n ? one[k] * one[k] : 0);
            for (int k = 0; k < 3; k++)
                out[k] = 9;
        }
    }
    ck_assert_double_eq(none[0], 9);
}
END_TEST

/* The gradient in a parameter, by number and by name, of several outputs, against finite differences. */
START_TEST(test_operators_with_indices)
{
    static const char *const aliases[] = {"x = Vi(3)", "y = Vj(3)"};
    kcl_operator *op = make("ArgMin_Reduction(SqDist(x,y),0); ArgMin_Reduction(SqNorm2(y),0); "
                            "LogSumExp_Reduction(-SqDist(x,y),1); ArgMin_Reduction(x*y,2)",
                            2, aliases);
    kcl_operator *scale, *grad;
    kcl_slot_info info;
    make_points(KCL_F64, DENSE, -1, 1);
    int64_t nearest[M], same[2 * M], pair[D];
    double logs[N], values[M], other[M], magnitude[N], products[D];
    /* The second result is the same for all rows: it is written to each. */
    kcl_array gaps = *kcl_i64(same, M);
    gaps.stride[0] = 2 * (int64_t)sizeof *same;
    memset(same, 0, sizeof same);
    const kcl_array *args[] = {&x.array, &y.array};
    const kcl_array *outs[] = {kcl_i64(nearest, M), &gaps, kcl_f64(logs, N), kcl_i64(pair, D)};
    ck_assert_msg(kcl_operator_apply(op, c, outs, 4, args, 2) == KCL_OK, "%s", kcl_context_error(c));
    int64_t shortest = 0;
    for (int64_t j = 1; j < N; j++)
        if (Y(0) * Y(0) + Y(1) * Y(1) + Y(2) * Y(2) < pow(*numbers_exact(&y, shortest, 0), 2) +
                                                          pow(*numbers_exact(&y, shortest, 1), 2) +
                                                          pow(*numbers_exact(&y, shortest, 2), 2))
            shortest = j;
    for (int i = 0; i < M; i++) {
        ck_assert_int_eq(nearest[i], index_of_least(KCL_OVER_J, i, D));
        ck_assert_int_eq(same[2 * i], shortest);
        ck_assert_int_eq(same[2 * i + 1], 0);
    }
    for (int j = 0; j < N; j++)
        near(logs[j], log_sum(KCL_OVER_I, j, 0), KCL_F64, "log sum exp over i");
    for (int k = 0; k < D; k++)
        ck_assert_int_eq(pair[k], index_of_least(KCL_OVER_BOTH, 0, k));
    for (int k = 0; k < 4; k++) {
        ck_assert_int_eq(kcl_operator_output(op, k, &info), KCL_OK);
        ck_assert_int_eq(info.dtype, k == 2 ? KCL_DTYPE_NONE : KCL_I64);
    }
    /* Scales: with one column the values themselves. */
    ck_assert_int_eq(kcl_operator_magnitude(&scale, op), KCL_OK);
    ck_assert_int_eq(kcl_operator_output(scale, 0, &info), KCL_OK);
    ck_assert_int_eq(info.dtype, KCL_DTYPE_NONE);
    kcl_array one = y.array;
    one.shape[0] = 1;
    ck_assert_msg(kcl_operator_apply(scale, c,
                                     (const kcl_array *[]){kcl_f64(values, M), kcl_f64(other, M), kcl_f64(magnitude, 1),
                                                           kcl_f64(products, D)},
                                     4, (const kcl_array *[]){&x.array, &one}, 2) == KCL_OK,
                  "%s", kcl_context_error(c));
    for (int i = 0; i < M; i++)
        near(values[i], distance_of(i, 0), KCL_F64, "the value at an index");
    near(magnitude[0], 1 + fabs(log_sum(KCL_OVER_I, 0, 0)), KCL_F64, "the scale of log sum exp");
    CALL_FAILS(kcl_operator_apply(op, c,
                                  (const kcl_array *[]){kcl_f64(values, M), &gaps, kcl_f64(logs, N), kcl_i64(pair, D)},
                                  4, args, 2),
               KCL_ERROR_TYPE, "output 0", "float64", "int64");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 4, (const kcl_array *[]){kcl_i64(nearest, M, 1), &y.array}, 2),
               KCL_ERROR_SHAPE, "argument \"x\"");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 4, (const kcl_array *[]){kcl_i64(same, 3, 3), &y.array}, 2),
               KCL_ERROR_TYPE, "argument \"x\"", "int64");
    /* Indices beside values have no cotangent; indices alone have no gradient. */
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "x"), KCL_OK);
    ck_assert_int_eq(kcl_operator_input_count(grad), 3);
    kcl_operator_destroy(&grad);
    kcl_operator *indices = make("ArgMin_Reduction(SqDist(x,y),0); ArgMin_Reduction(x*y,2)", 2, aliases);
    ck_assert_int_eq(kcl_operator_grad(&grad, indices, "x"), KCL_ERROR_DERIVATIVE);
    CONTAINS(kcl_operator_error(grad), "ArgMin_Reduction", "no gradient");
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&indices);
    kcl_operator_destroy(&scale);
    kcl_operator_destroy(&op);
    free_points();
}
END_TEST

/* How many sums over both axes two formulas become; the values are equal to the values of each formula alone. */
static void check_sums_of_pairs(const char *formulas, int count)
{
    enum { ROWS = 5, COLS = 7 };
    static collected text;
    double x[ROWS * 3], y[COLS * 3], b[COLS], g = 0.7, out[2][COLS];
    for (int k = 0; k < ROWS * 3; k++)
        x[k] = sin(k);
    for (int k = 0; k < COLS * 3; k++)
        y[k] = cos(k);
    for (int k = 0; k < COLS; k++)
        b[k] = 1 + 0.5 * sin(3 * k);
    kcl_operator *op = make(formulas, 4, gauss_aliases), *alone[2];
    kcl_slot_info info[2];
    const kcl_array *args[] = {kcl_f64(x, ROWS, 3), kcl_f64(y, COLS, 3), kcl_f64(b, COLS), kcl_f64(&g, 1)}, *outs[2];
    kcl_array arrays[2];
    text.length = 0;
    ck_assert_int_eq(kcl_operator_emit(op, NULL, "cpu", KCL_F64, 1000, 1000, collect, &text), KCL_OK);
    int found = 0;
    for (const char *p = text.text; (p = strstr(p, "Sum over i and j of")); p++)
        found++;
    ck_assert_msg(found == count, "%s: %d sums over both axes", formulas, found);
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(kcl_operator_output(op, k, &info[k]), KCL_OK);
        const int64_t rows = info[k].role == KCL_ROLE_I ? ROWS : info[k].role == KCL_ROLE_J ? COLS : 1;
        arrays[k] = kcl_array_f64(out[k], 1, &rows);
        outs[k] = &arrays[k];
    }
    ck_assert_msg(kcl_operator_apply(op, c, outs, 2, args, 4) == KCL_OK, "%s", kcl_context_error(c));
    kcl_operator_destroy(&op);
    /* Each formula by itself, in a sweep of its own. */
    char first[200];
    const char *second = strchr(formulas, ';') + 1;
    snprintf(first, sizeof first, "%.*s", (int)(second - formulas - 1), formulas);
    for (int k = 0; k < 2; k++) {
        double want[COLS];
        const int64_t rows = outs[k]->shape[0];
        alone[k] = make(k ? second : first, 4, gauss_aliases);
        ck_assert_int_eq(kcl_operator_apply(alone[k], c, (const kcl_array *[]){kcl_f64(want, rows)}, 1, args, 4),
                         KCL_OK);
        for (int i = 0; i < rows; i++)
            ck_assert_double_eq_tol(out[k][i], want[i], 1e-13 * ROWS * COLS);
        kcl_operator_destroy(&alone[k]);
    }
}

/* A sum over both axes is part of a sweep over one of them that computes some of the same. */
START_TEST(test_sums_over_both_axes_join_other_sweeps)
{
    check_sums_of_pairs("Sum_Reduction(Exp(-g*SqDist(x,y))*b,0);Sum_Reduction(Exp(-g*SqDist(x,y)),2)", 0);
    check_sums_of_pairs("Sum_Reduction(Exp(-g*SqDist(x,y)),2);Sum_Reduction(Exp(-g*SqDist(x,y))*b,1)", 0);
    check_sums_of_pairs("LogSumExp_Reduction(-g*SqDist(x,y),0);Sum_Reduction(Exp(-g*SqDist(x,y))*b,2)", 0);
    /* Not with nothing in common, nor without another sum. */
    check_sums_of_pairs("Sum_Reduction(Elem(x,0)*b,0);Sum_Reduction(Exp(-g*SqDist(x,y)),2)", 1);
    check_sums_of_pairs("Sum_Reduction(Exp(-g*SqDist(x,y)),2);Sum_Reduction(SqDist(x,y)*b,2)", 2);
}
END_TEST

int main(void)
{
    const test_entry tests[] = {
        {test_three_kinds_of_reduction_at_once, 2 * LAYOUT_COUNT},
        {test_every_reduction, 6},
        {test_indices_in_further_formulas, 0},
        {test_indices_are_int64_and_nothing_else_is, 0},
        {test_empty_and_single_rows, 0},
        {test_operators_with_indices, 0},
        {test_sums_over_both_axes_join_other_sweeps, 0},
    };
    return run_entries("reductions", tests, KB_COUNT(tests), setup, teardown);
}
