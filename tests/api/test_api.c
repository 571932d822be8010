/* SPDX-License-Identifier: MIT */
/* Expressions and operators by the interpreter: values against plain loops, and the sentence of every error. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static failing memory;
static kcl_context *c;
static kcl_scope *s;

static void setup(void)
{
    memory = (failing){.fail_at = 0};
    const kcl_context_params params = {.device = "host", .allocator = failing_allocator(&memory)};
    ck_assert_int_eq(kcl_context_create(&c, &params), KCL_OK);
    s = kcl_scope_create(c);
    ck_assert_ptr_nonnull(s);
    seed_random(1);
}

static void teardown(void)
{
    kcl_scope_destroy(&s);
    ck_assert_ptr_null(s);
    kcl_context_destroy(&c);
    ck_assert_int_eq(memory.blocks, 0);
}

static void eval_ok(kcl_expr *e, const kcl_array *out)
{
    ck_assert_msg(kcl_eval1(e, out) == KCL_OK, "%s", kcl_context_error(c));
}

/* The expression is an error, its sentence holds the parts, and both reach the context through a chain of calls. */
static void is_error(kcl_expr *e, kcl_status status, const char *const *parts)
{
    double out[64];
    ck_assert_ptr_nonnull(e);
    ck_assert_msg(kcl_expr_status(e) == status, "%s: %s", kcl_status_name(kcl_expr_status(e)), kcl_expr_error(e));
    contains(kcl_expr_error(e), parts);
    ck_assert_int_eq(kcl_expr_dim(e), 0);
    ck_assert_int_eq(kcl_expr_axes(e), 0);
    kcl_expr *chain = kcl_reduce_sum(kcl_add(kcl_exp(e), kcl_constant(s, 1)), KCL_OVER_J);
    ck_assert_str_eq(kcl_expr_error(chain), kcl_expr_error(e));
    ck_assert_int_eq(kcl_eval1(chain, kcl_f64(out, 64)), status);
    ck_assert_str_eq(kcl_context_error(c), kcl_expr_error(e));
    ck_assert_int_eq(kcl_context_status(c), status);
}
#define IS_ERROR(e, status, ...) is_error(e, status, (const char *const[]){__VA_ARGS__, NULL})

/* A call failed: its status, and the parts of the context's sentence. */
#define CALL_FAILS(call, status, ...)                                                                                  \
    do {                                                                                                               \
        ck_assert_int_eq(call, status);                                                                                \
        ck_assert_int_eq(kcl_context_status(c), status);                                                               \
        CONTAINS(kcl_context_error(c), __VA_ARGS__);                                                                   \
    } while (0)

/* ---- Values ------------------------------------------------------------------------------------------------------ */

enum { M = 5, N = 4, D = 3 };

static numbers x, y, b, p;
static kcl_expr *x_i, *y_j, *b_j, *p_p;

static void make_points(kcl_dtype dtype, layout how, double low, double high)
{
    numbers_make(&x, dtype, M, D, how);
    numbers_make(&y, dtype, N, D, how);
    numbers_make(&b, dtype, N, 1, how);
    numbers_make(&p, dtype, 1, D, DENSE);
    numbers_fill(&x, low, high);
    numbers_fill(&y, low, high);
    numbers_fill(&b, low, high);
    numbers_fill(&p, low, high);
    x_i = kcl_vi(s, &x.array);
    y_j = kcl_vj(s, &y.array);
    b_j = kcl_vj(s, &b.array);
    p_p = kcl_pm(s, &p.array);
}

static void free_points(void)
{
    numbers_free(&x);
    numbers_free(&y);
    numbers_free(&b);
    numbers_free(&p);
}

#define X(k) (*numbers_exact(&x, i, (k)))
#define Y(k) (*numbers_exact(&y, j, (k)))
#define B (*numbers_exact(&b, j, 0))
#define P(k) (*numbers_exact(&p, 0, (k)))

static double dot_of(int64_t i, int64_t j)
{
    return X(0) * Y(0) + X(1) * Y(1) + X(2) * Y(2);
}

static double distance_of(int64_t i, int64_t j)
{
    return pow(X(0) - Y(0), 2) + pow(X(1) - Y(1), 2) + pow(X(2) - Y(2), 2);
}

static void near(double got, double want, kcl_dtype dtype, const char *what)
{
    ck_assert_msg(fabs(got - want) <= (dtype == KCL_F32 ? 1e-6 : 1e-13) * (1 + fabs(want)),
                  "%s, %s: %.17g, wanted %.17g", what, kb_dtype_name(dtype), got, want);
}

/* Sums `expr` over j, over i and over both, and compares with loops over `value`, a formula in i, j and component k. */
#define CHECK_SUMS(dim, expr, value)                                                                                   \
    do {                                                                                                               \
        kcl_expr *e_ = (expr);                                                                                         \
        numbers over_j, over_i, both;                                                                                  \
        ck_assert_msg(kcl_expr_status(e_) == KCL_OK, "%s: %s", #expr, kcl_expr_error(e_));                             \
        ck_assert_int_eq(kcl_expr_dim(e_), dim);                                                                       \
        ck_assert_int_eq(kcl_expr_axes(e_), KCL_OVER_BOTH);                                                            \
        numbers_make(&over_j, dtype, M, dim, how);                                                                     \
        numbers_make(&over_i, dtype, N, dim, how);                                                                     \
        numbers_make(&both, dtype, 1, dim, how);                                                                       \
        ck_assert_msg(kcl_sum(e_, KCL_OVER_J, &over_j.array) == KCL_OK, "%s", kcl_context_error(c));                   \
        ck_assert_msg(kcl_sum(e_, KCL_OVER_I, &over_i.array) == KCL_OK, "%s", kcl_context_error(c));                   \
        ck_assert_msg(kcl_sum(e_, KCL_OVER_BOTH, &both.array) == KCL_OK, "%s", kcl_context_error(c));                  \
        for (int k = 0; k < dim; k++) {                                                                                \
            double rows[M] = {0}, cols[N] = {0}, all = 0;                                                              \
            for (int64_t i = 0; i < M; i++) {                                                                          \
                for (int64_t j = 0; j < N; j++) {                                                                      \
                    double v_ = (value);                                                                               \
                    rows[i] += v_;                                                                                     \
                    cols[j] += v_;                                                                                     \
                    all += v_;                                                                                         \
                }                                                                                                      \
            }                                                                                                          \
            for (int64_t i = 0; i < M; i++)                                                                            \
                near(numbers_get(&over_j, i, k), rows[i], dtype, #expr " over j");                                     \
            for (int64_t j = 0; j < N; j++)                                                                            \
                near(numbers_get(&over_i, j, k), cols[j], dtype, #expr " over i");                                     \
            near(numbers_get(&both, 0, k), all, dtype, #expr " over both");                                            \
        }                                                                                                              \
        numbers_check_gaps(&over_j);                                                                                   \
        numbers_check_gaps(&over_i);                                                                                   \
        numbers_free(&over_j);                                                                                         \
        numbers_free(&over_i);                                                                                         \
        numbers_free(&both);                                                                                           \
    } while (0)

START_TEST(test_builders_by_plain_loops)
{
    const kcl_dtype dtype = _i % 2 ? KCL_F64 : KCL_F32;
    const layout how = (layout)(_i / 2);
    make_points(dtype, how, 0.3, 2);
    CHECK_SUMS(3, kcl_add(x_i, y_j), X(k) + Y(k));
    CHECK_SUMS(3, kcl_sub(x_i, y_j), X(k) - Y(k));
    CHECK_SUMS(3, kcl_mul(x_i, y_j), X(k) * Y(k));
    CHECK_SUMS(3, kcl_div(x_i, y_j), X(k) / Y(k));
    CHECK_SUMS(3, kcl_powf(x_i, y_j), pow(X(k), Y(k)));
    CHECK_SUMS(3, kcl_mul(b_j, x_i), B * X(k));
    CHECK_SUMS(3, kcl_mul(kcl_add(x_i, y_j), p_p), (X(k) + Y(k)) * P(k));
    CHECK_SUMS(3, kcl_neg(kcl_add(x_i, y_j)), -(X(k) + Y(k)));
    CHECK_SUMS(3, kcl_inv(kcl_add(x_i, y_j)), 1 / (X(k) + Y(k)));
    CHECK_SUMS(3, kcl_square(kcl_sub(x_i, y_j)), pow(X(k) - Y(k), 2));
    CHECK_SUMS(3, kcl_exp(kcl_sub(x_i, y_j)), exp(X(k) - Y(k)));
    CHECK_SUMS(3, kcl_log(kcl_add(x_i, y_j)), log(X(k) + Y(k)));
    CHECK_SUMS(3, kcl_sqrt(kcl_add(x_i, y_j)), sqrt(X(k) + Y(k)));
    CHECK_SUMS(3, kcl_rsqrt(kcl_add(x_i, y_j)), 1 / sqrt(X(k) + Y(k)));
    CHECK_SUMS(3, kcl_sin(kcl_sub(x_i, y_j)), sin(X(k) - Y(k)));
    CHECK_SUMS(3, kcl_cos(kcl_sub(x_i, y_j)), cos(X(k) - Y(k)));
    CHECK_SUMS(3, kcl_abs(kcl_sub(x_i, y_j)), fabs(X(k) - Y(k)));
    CHECK_SUMS(3, kcl_sign(kcl_sub(x_i, y_j)), (X(k) > Y(k)) - (X(k) < Y(k)));
    CHECK_SUMS(3, kcl_pow(kcl_sub(x_i, y_j), 3), pow(X(k) - Y(k), 3));
    CHECK_SUMS(3, kcl_pow(kcl_add(x_i, y_j), -2), pow(X(k) + Y(k), -2));
    CHECK_SUMS(3, kcl_pow(kcl_add(x_i, y_j), 1.5), pow(X(k) + Y(k), 1.5));
    CHECK_SUMS(3, kcl_pow(kcl_add(x_i, y_j), 0.5), sqrt(X(k) + Y(k)));
    CHECK_SUMS(3, kcl_pow(kcl_add(x_i, y_j), -0.5), 1 / sqrt(X(k) + Y(k)));
    CHECK_SUMS(1, kcl_sum_inner(kcl_mul(x_i, y_j)), dot_of(i, j));
    CHECK_SUMS(1, kcl_dot(x_i, y_j), dot_of(i, j));
    CHECK_SUMS(1, kcl_sqnorm2(kcl_sub(x_i, y_j)), distance_of(i, j));
    CHECK_SUMS(1, kcl_norm2(kcl_sub(x_i, y_j)), sqrt(distance_of(i, j)));
    CHECK_SUMS(1, kcl_sqdist(x_i, y_j), distance_of(i, j));
    CHECK_SUMS(4, kcl_repeat(kcl_dot(x_i, y_j), 4), dot_of(i, j));
    CHECK_SUMS(1, kcl_elem(kcl_mul(x_i, y_j), 2), X(2) * Y(2));
    CHECK_SUMS(2, kcl_extract(kcl_mul(x_i, y_j), 1, 2), X(k + 1) * Y(k + 1));
    CHECK_SUMS(6, kcl_concat(x_i, y_j), k < 3 ? X(k) : Y(k - 3));
    CHECK_SUMS(3, kcl_mul(kcl_scalar(s, 0.75), kcl_add(x_i, y_j)), 0.75 * (X(k) + Y(k)));
    CHECK_SUMS(3, kcl_mul(kcl_constant(s, 1.25), kcl_add(x_i, y_j)), 1.25 * (X(k) + Y(k)));
    CHECK_SUMS(3, kcl_add(kcl_zero(s, 3), kcl_mul(x_i, y_j)), X(k) * Y(k));
    const char *const names[] = {"x", "y", "beta", "p"};
    CHECK_SUMS(3, kcl_formula(s, "Exp(-SqDist(x,y))*beta + p*(x|y)", 4, names, (kcl_expr *[]){x_i, y_j, b_j, p_p}),
               exp(-distance_of(i, j)) * B + P(k) * dot_of(i, j));
    free_points();
}
END_TEST

/* ---- Roles and results ------------------------------------------------------------------------------------------- */

START_TEST(test_variables_and_roles)
{
    double a[12] = {0};
    const struct {
        kcl_expr *e;
        int dim, axes;
    } all[] = {
        {kcl_vi(s, kcl_f64(a, 4, 3)), 3, KCL_OVER_I},
        {kcl_vj(s, kcl_f64(a, 4, 3)), 3, KCL_OVER_J},
        {kcl_vi(s, kcl_f64(a, 4)), 1, KCL_OVER_I},
        {kcl_vi(s, kcl_f64(a, 1, 3)), 3, KCL_OVER_I},
        {kcl_vi(s, kcl_f64(a, 0, 3)), 3, KCL_OVER_I},
        {kcl_pm(s, kcl_f64(a, 3)), 3, 0},
        {kcl_pm(s, kcl_f64(a, 1, 3)), 3, 0},
        {kcl_lazy(s, kcl_f64(a, 4, 1, 3)), 3, KCL_OVER_I},
        {kcl_lazy(s, kcl_f64(a, 1, 4, 3)), 3, KCL_OVER_J},
        {kcl_lazy(s, kcl_f64(a, 1, 1, 3)), 3, 0},
        {kcl_lazy(s, kcl_f64(a, 3)), 3, 0},
        {kcl_lazy(s, kcl_f64(a, 0, 1, 3)), 3, KCL_OVER_I},
        {kcl_lazy(s, kcl_f64(a, 4, 1, 1)), 1, KCL_OVER_I},
        {kcl_scalar(s, 2), 1, 0},
        {kcl_constant(s, 2), 1, 0},
        {kcl_zero(s, 5), 5, 0},
    };
    for (size_t k = 0; k < KB_COUNT(all); k++) {
        ck_assert_msg(kcl_expr_status(all[k].e) == KCL_OK, "%zu: %s", k, kcl_expr_error(all[k].e));
        ck_assert_int_eq(kcl_expr_dim(all[k].e), all[k].dim);
        ck_assert_int_eq(kcl_expr_axes(all[k].e), all[k].axes);
        ck_assert_str_eq(kcl_expr_error(all[k].e), "");
    }
    double zero_axes = 7, out = 0;
    const kcl_array number = kcl_array_f64(&zero_axes, 0, NULL);
    eval_ok(kcl_square(kcl_pm(s, &number)), kcl_f64(&out, 1));
    ck_assert_double_eq(out, 49);
    IS_ERROR(kcl_lazy(s, kcl_f64(a, 2, 2, 3)), KCL_ERROR_SHAPE, "kcl_lazy", "(2, 2, 3)", "axis i", "axis j");
    IS_ERROR(kcl_lazy(s, kcl_f64(a, 4, 3)), KCL_ERROR_SHAPE, "kcl_lazy", "2 axes", "kcl_vi, kcl_vj");
    IS_ERROR(kcl_lazy(s, kcl_f64(a, 3, 2, 2, 1)), KCL_ERROR_SHAPE, "kcl_lazy", "(3, 2, 2, 1)", "axis i", "axis j");
    IS_ERROR(kcl_pm(s, kcl_f64(a, 2, 1, 1, 1, 1, 1, 1, 3)), KCL_ERROR_SHAPE, "(2, 1, 1, 1, 1, 1, 1, 3)",
             "a parameter needs (D)", "up to 6 batch axes");
    IS_ERROR(kcl_vi(s, kcl_f64(a, 2, 1, 1, 1, 1, 1, 1, 2, 3)), KCL_ERROR_SHAPE, "(rows, D)", "up to 6 batch axes");
}
END_TEST

START_TEST(test_one_handle_in_two_roles)
{
    double a[] = {1, 2, 4}, grad[3], sum[3];
    kcl_data *d = kcl_data_create(s, kcl_f64(a, 3, 1));
    kcl_expr *u = kcl_vi_data(s, d), *v = kcl_vj_data(s, d);
    kcl_expr *L = kcl_reduce_sum(kcl_mul(kcl_square(u), v), KCL_OVER_BOTH);
    /* d/da_k of (sum a_i^2) (sum a_j) = 2 a_k sum a + sum a^2; asked for by either role */
    eval_ok(kcl_grad(L, u), kcl_f64(grad, 3, 1));
    for (int k = 0; k < 3; k++)
        ck_assert_double_eq_tol(grad[k], 2 * a[k] * 7 + 21, 1e-12);
    ck_assert_int_eq(kcl_expr_axes(kcl_grad(L, v)), KCL_OVER_J);
    eval_ok(kcl_grad(L, v), kcl_f64(grad, 3, 1));
    for (int k = 0; k < 3; k++)
        ck_assert_double_eq_tol(grad[k], 2 * a[k] * 7 + 21, 1e-12);
    /* Equal arrays with handles of their own are different variables. */
    kcl_expr *w = kcl_vj(s, kcl_f64(a, 3, 1));
    eval_ok(kcl_grad(kcl_reduce_sum(kcl_mul(kcl_square(u), w), KCL_OVER_BOTH), u), kcl_f64(grad, 3, 1));
    for (int k = 0; k < 3; k++)
        ck_assert_double_eq_tol(grad[k], 2 * a[k] * 7, 1e-12);
    /* Memory is read when an evaluation runs. */
    kcl_expr *doubled = kcl_mul(kcl_constant(s, 2), u);
    a[1] = 10;
    eval_ok(doubled, kcl_f64(sum, 3));
    ck_assert_double_eq(sum[1], 20);
    /* (3) is three rows of an i-variable, and one vector of a parameter: not both in one formula. */
    kcl_data *vector = kcl_data_create(s, kcl_f64(a, 3));
    ck_assert_int_eq(kcl_expr_dim(kcl_pm_data(s, vector)), 3);
    kcl_expr *mixed = kcl_mul(kcl_vi_data(s, vector), kcl_pm_data(s, vector));
    double out[9];
    CALL_FAILS(kcl_eval1(mixed, kcl_f64(out, 3, 3)), KCL_ERROR_SHAPE, "array 2", "dimension 1", "dimension 3");
}
END_TEST

START_TEST(test_results_in_further_formulas)
{
    double out[M][D], row[D], number, col[N];
    make_points(KCL_F64, DENSE, -1, 1);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j)));
    kcl_expr *mass = kcl_reduce_sum(K, KCL_OVER_J), *moved = kcl_add(x_i, kcl_reduce_sum(kcl_mul(K, y_j), KCL_OVER_J));
    ck_assert_int_eq(kcl_expr_axes(mass), KCL_OVER_I);
    double m[M] = {0}, u[M][D];
    for (int64_t i = 0; i < M; i++) {
        for (int k = 0; k < D; k++)
            u[i][k] = X(k);
        for (int64_t j = 0; j < N; j++) {
            double w = exp(-distance_of(i, j));
            m[i] += w;
            for (int k = 0; k < D; k++)
                u[i][k] += w * Y(k);
        }
    }
    eval_ok(moved, kcl_f64(&out[0][0], M, D));
    for (int i = 0; i < M; i++)
        for (int k = 0; k < D; k++)
            near(out[i][k], u[i][k], KCL_F64, "x + sum");
    /* A result as a j-expression: the sum over i2 of u_i * u_i2. */
    eval_ok(kcl_reduce_sum(kcl_mul(moved, kcl_transpose(moved)), KCL_OVER_J), kcl_f64(&out[0][0], M, D));
    for (int k = 0; k < D; k++) {
        double total = 0;
        for (int i = 0; i < M; i++)
            total += u[i][k];
        for (int i = 0; i < M; i++)
            near(out[i][k], u[i][k] * total, KCL_F64, "transposed result");
    }
    /* Results of different lengths, and a number, in one call; the number inside a row formula. */
    kcl_expr *all = kcl_reduce_sum(mass, KCL_OVER_I), *share = kcl_div(mass, all);
    kcl_expr *columns = kcl_reduce_sum(kcl_mul(K, share), KCL_OVER_I);
    double shares[M];
    kcl_expr *exprs[] = {share, columns, all, kcl_reduce_sum(moved, KCL_OVER_I)};
    const kcl_array *outs[] = {kcl_f64(shares, M), kcl_f64(col, N, 1), kcl_f64(&number, 1), kcl_f64(row, D)};
    ck_assert_msg(kcl_eval(4, exprs, outs) == KCL_OK, "%s", kcl_context_error(c));
    double total = 0;
    for (int i = 0; i < M; i++)
        total += m[i];
    near(number, total, KCL_F64, "number");
    for (int i = 0; i < M; i++)
        near(shares[i], m[i] / total, KCL_F64, "share");
    for (int64_t j = 0; j < N; j++) {
        double want = 0;
        for (int64_t i = 0; i < M; i++)
            want += exp(-distance_of(i, j)) * m[i] / total;
        near(col[j], want, KCL_F64, "column");
    }
    for (int k = 0; k < D; k++) {
        double want = 0;
        for (int i = 0; i < M; i++)
            want += u[i][k];
        near(row[k], want, KCL_F64, "sum of a result");
    }
    /* A j-expression comes out with a row per j; outputs may repeat an expression. */
    double twice[2][N];
    ck_assert_int_eq(kcl_eval(2, (kcl_expr *[]){kcl_mul(b_j, b_j), kcl_mul(b_j, b_j)},
                              (const kcl_array *[]){kcl_f64(twice[0], N), kcl_f64(twice[1], 1, N, 1)}),
                     KCL_OK);
    for (int64_t j = 0; j < N; j++) {
        near(twice[0][j], B * B, KCL_F64, "j-expression");
        near(twice[1][j], B * B, KCL_F64, "j-expression twice");
    }
    /* Summing over an axis that is not there changes nothing. */
    double same[M][D];
    eval_ok(kcl_reduce_sum(x_i, KCL_OVER_J), kcl_f64(&same[0][0], M, D));
    for (int64_t i = 0; i < M; i++)
        ck_assert_double_eq(same[i][1], X(1));
    free_points();
}
END_TEST

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

/* ---- Derivatives ------------------------------------------------------------------------------------------------- */

static kcl_expr *loss_of(kcl_expr *xi, kcl_expr *xj, kcl_expr *yj, kcl_expr *g)
{
    kcl_expr *K = kcl_exp(kcl_neg(kcl_mul(g, kcl_sqdist(xi, yj))));
    kcl_expr *u = kcl_add(xi, kcl_reduce_sum(kcl_mul(K, yj), KCL_OVER_J));
    kcl_expr *v = kcl_reduce_sum(kcl_inv(kcl_add(kcl_constant(s, 1), kcl_sqdist(u, xj))), KCL_OVER_J);
    return kcl_reduce_sum(kcl_mul(kcl_square(v), kcl_elem(u, 1)), KCL_OVER_I);
}

static double loss_value(kcl_expr *loss)
{
    double value = 0;
    eval_ok(loss, kcl_f64(&value, 1));
    return value;
}

/* One array as i- and as j-variable through one handle, another, and a parameter, through two sums. */
START_TEST(test_gradients_of_chains_by_finite_differences)
{
    make_points(KCL_F64, ROWS_APART, -1, 1);
    double bandwidth = 0.7, grad[M * D], change = 1e-6;
    kcl_data *points = kcl_data_create(s, &x.array), *width = kcl_data_create(s, kcl_f64(&bandwidth, 1));
    kcl_expr *xi = kcl_vi_data(s, points), *g = kcl_pm_data(s, width);
    kcl_expr *L = loss_of(xi, kcl_vj_data(s, points), y_j, g);
    ck_assert_msg(kcl_expr_status(L) == KCL_OK, "%s", kcl_expr_error(L));
    kcl_expr *const vars[] = {xi, y_j, g};
    const numbers *const of[] = {&x, &y, NULL};
    for (int v = 0; v < 3; v++) {
        int64_t rows = of[v] ? of[v]->rows : 1;
        int dim = of[v] ? D : 1;
        kcl_expr *dL = kcl_grad(L, vars[v]);
        ck_assert_int_eq(kcl_expr_dim(dL), dim);
        eval_ok(dL, kcl_f64(grad, rows, dim));
        for (int64_t i = 0; i < rows; i++) {
            for (int k = 0; k < dim; k++) {
                double *at =
                    of[v] ? (double *)(void *)((char *)of[v]->array.data + i * of[v]->array.stride[0]) + k : &bandwidth;
                double value = *at, up, down;
                *at = value + change;
                up = loss_value(L);
                *at = value - change;
                down = loss_value(L);
                *at = value;
                ck_assert_double_eq_tol(grad[i * dim + k], (up - down) / (2 * change),
                                        1e-6 * (1 + fabs(grad[i * dim + k])));
            }
        }
    }
    /* Second order: the gradient of |dL/dx|^2 in the bandwidth. */
    kcl_expr *square = kcl_reduce_sum(kcl_sqnorm2(kcl_grad(L, xi)), KCL_OVER_I);
    eval_ok(kcl_grad(square, g), kcl_f64(grad, 1));
    bandwidth += change;
    double up = loss_value(square);
    bandwidth -= 2 * change;
    ck_assert_double_eq_tol(grad[0], (up - loss_value(square)) / (2 * change), 1e-5 * (1 + fabs(grad[0])));
    free_points();
}
END_TEST

START_TEST(test_vjp_and_gradients_of_nothing)
{
    make_points(KCL_F64, DENSE, -1, 1);
    double out[M * D], weight[M] = {1, 2, 3, 4, 5};
    kcl_expr *e_i = kcl_vi(s, kcl_f64(weight, M));
    kcl_expr *sum = kcl_reduce_sum(kcl_dot(x_i, y_j), KCL_OVER_J);
    eval_ok(kcl_vjp(sum, x_i, e_i), kcl_f64(out, M, D));
    for (int i = 0; i < M; i++) {
        double want = 0;
        for (int64_t j = 0; j < N; j++)
            want += Y(2) * weight[i];
        near(out[i * D + 2], want, KCL_F64, "vjp in x");
    }
    eval_ok(kcl_vjp(sum, y_j, e_i), kcl_f64(out, N, D));
    for (int j = 0; j < N; j++) {
        double want = 0;
        for (int64_t i = 0; i < M; i++)
            want += X(0) * weight[i];
        near(out[j * D], want, KCL_F64, "vjp in y");
    }
    /* A variable that the expression does not hold: zeros of its shape. */
    kcl_expr *L = kcl_reduce_sum(sum, KCL_OVER_I), *zero = kcl_grad(L, b_j);
    ck_assert_int_eq(kcl_expr_dim(zero), 1);
    ck_assert_int_eq(kcl_expr_axes(zero), KCL_OVER_J);
    for (int k = 0; k < N; k++)
        out[k] = 9;
    eval_ok(zero, kcl_f64(out, N));
    for (int k = 0; k < N; k++)
        ck_assert_double_eq(out[k], 0);
    kcl_expr *parameter = kcl_scalar(s, 3);
    eval_ok(kcl_grad(kcl_mul(L, kcl_square(parameter)), parameter), kcl_f64(out, 1));
    near(out[0], 6 * loss_value(L), KCL_F64, "gradient in a scalar");
    IS_ERROR(kcl_grad(sum, x_i), KCL_ERROR_SHAPE, "kcl_grad", "dimension 1", "a value for each i", "kcl_vjp");
    IS_ERROR(kcl_grad(p_p, p_p), KCL_ERROR_SHAPE, "kcl_grad", "dimension 3");
    IS_ERROR(kcl_grad(L, kcl_constant(s, 2)), KCL_ERROR_ARGUMENT, "kcl_grad", "no variable");
    IS_ERROR(kcl_grad(L, kcl_sub(x_i, y_j)), KCL_ERROR_SHAPE, "kcl_grad", "no variable", "both i and j");
    IS_ERROR(kcl_grad(L, kcl_reduce_argmin(kcl_sub(x_i, y_j), KCL_OVER_J)), KCL_ERROR_DERIVATIVE, "index");
    IS_ERROR(kcl_vjp(sum, x_i, x_i), KCL_ERROR_SHAPE, "3");
    IS_ERROR(kcl_vjp(sum, x_i, b_j), KCL_ERROR_SHAPE, "axis");
    free_points();
}
END_TEST

START_TEST(test_scope_reset_in_a_loop)
{
    double a[] = {1, 2, 3}, out[3];
    long long blocks = 0;
    for (int round = 0; round < 600; round++) {
        kcl_expr *u = kcl_vi(s, kcl_f64(a, 3));
        for (int k = 0; k < 20; k++)
            u = kcl_add(kcl_mul(u, kcl_constant(s, 0.5)), kcl_constant(s, round));
        eval_ok(u, kcl_f64(out, 3));
        ck_assert_double_eq_tol(out[2], 2 * round + (3 - 2 * round) * pow(0.5, 20), 1e-9);
        kcl_scope_reset(s);
        if (round == 300) /* the handles of some hundred resets are kept, so that the use of old ones is an error */
            blocks = memory.blocks;
        ck_assert(round < 300 || memory.blocks == blocks);
    }
}
END_TEST

START_TEST(test_print)
{
    static collected text;
    double a[6] = {0};
    text.length = 0;
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 2, 3)), *v = kcl_vj(s, kcl_f64(a, 2, 3));
    kcl_expr *f = kcl_mul(kcl_exp(kcl_neg(kcl_sqdist(u, v))), kcl_constant(s, 3));
    ck_assert_int_eq(kcl_expr_print(f, collect, &text), KCL_OK);
    CONTAINS(text.text, "Exp(", "Var(0,3,0)", "Var(1,3,1)", "3");
    ck_assert_int_eq(kcl_expr_print(NULL, collect, &text), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_expr_print(f, NULL, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_expr_print(kcl_exp(NULL), collect, &text), KCL_ERROR_ARGUMENT);
}
END_TEST

/* ---- Errors of expressions --------------------------------------------------------------------------------------- */

START_TEST(test_without_a_scope)
{
    double a[3] = {1, 2, 3};
    kcl_expr *const all[] = {kcl_vi(NULL, kcl_f64(a, 3)),
                             kcl_vj(NULL, kcl_f64(a, 3)),
                             kcl_pm(NULL, kcl_f64(a, 3)),
                             kcl_lazy(NULL, kcl_f64(a, 3)),
                             kcl_scalar(NULL, 1),
                             kcl_constant(NULL, 1),
                             kcl_zero(NULL, 3),
                             kcl_formula(NULL, "x", 0, NULL, NULL),
                             kcl_vi_data(NULL, NULL),
                             kcl_exp(NULL),
                             kcl_add(NULL, NULL),
                             kcl_reduce_sum(NULL, KCL_OVER_I),
                             kcl_pow(NULL, 2),
                             kcl_dot(NULL, NULL),
                             kcl_transpose(NULL),
                             kcl_grad(NULL, NULL),
                             kcl_vjp(NULL, NULL, NULL)};
    for (size_t k = 0; k < KB_COUNT(all); k++) {
        ck_assert_ptr_nonnull(all[k]);
        ck_assert_int_eq(kcl_expr_status(all[k]), KCL_ERROR_ARGUMENT);
        CONTAINS(kcl_expr_error(all[k]), "without a scope", "kcl_scope_create");
        ck_assert_int_eq(kcl_eval1(all[k], kcl_f64(a, 3)), KCL_ERROR_ARGUMENT);
    }
    ck_assert_int_eq(kcl_expr_status(NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(NULL), "NULL");
    ck_assert_ptr_null(kcl_data_create(NULL, kcl_f64(a, 3)));
    ck_assert_ptr_null(kcl_scope_create(NULL));
    kcl_scope_reset(NULL);
    kcl_scope_destroy(NULL);
    kcl_scope *none = NULL;
    kcl_scope_destroy(&none);
    /* Built with an operand of a scope, the first error is kept, and evaluation can tell it. */
    IS_ERROR(kcl_add(kcl_vi(s, kcl_f64(a, 3)), NULL), KCL_ERROR_ARGUMENT, "operand 2 of 2", "NULL");
}
END_TEST

START_TEST(test_operands_that_do_not_belong_together)
{
    double a[6] = {1, 2, 3}, out[6];
    kcl_scope *other = kcl_scope_create(c);
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 3)), *v = kcl_vj(other, kcl_f64(a, 3));
    IS_ERROR(kcl_add(v, u), KCL_ERROR_ARGUMENT, "operand 2 of 2", "another scope than operand 1");
    CALL_FAILS(
        kcl_eval(2, (kcl_expr *[]){u, kcl_transpose(v)}, (const kcl_array *[]){kcl_f64(out, 3), kcl_f64(out, 3)}),
        KCL_ERROR_ARGUMENT, "expression 1", "another scope");
    IS_ERROR(kcl_vi_data(s, kcl_data_create(other, kcl_f64(a, 3))), KCL_ERROR_ARGUMENT, "another scope");
    IS_ERROR(kcl_vi_data(s, NULL), KCL_ERROR_ARGUMENT, "NULL");
    IS_ERROR(kcl_formula(s, "x", 1, (const char *[]){"x"}, &v), KCL_ERROR_ARGUMENT, "\"x\"", "another scope");
    kcl_scope_destroy(&other);
    kcl_expr *x3 = kcl_vi(s, kcl_f64(a, 2, 3)), *x2 = kcl_vj(s, kcl_f64(a, 3, 2));
    IS_ERROR(kcl_add(x3, x2), KCL_ERROR_SHAPE, "kcl_add", "3", "2");
    IS_ERROR(kcl_sqdist(x3, x2), KCL_ERROR_SHAPE, "3", "2");
    IS_ERROR(kcl_dot(x3, x2), KCL_ERROR_SHAPE, "3", "2");
    IS_ERROR(kcl_elem(x3, 3), KCL_ERROR_SHAPE, "kcl_elem", "index 3");
    IS_ERROR(kcl_elem(x3, -4), KCL_ERROR_SHAPE, "kcl_elem", "index -4");
    IS_ERROR(kcl_extract(x3, 2, 2), KCL_ERROR_SHAPE, "kcl_extract", "2", "3");
    IS_ERROR(kcl_repeat(x3, 4), KCL_ERROR_SHAPE, "kcl_repeat", "3");
    IS_ERROR(kcl_zero(s, 0), KCL_ERROR_SHAPE, "0");
    IS_ERROR(kcl_constant(s, NAN), KCL_ERROR_ARGUMENT, "nan");
    IS_ERROR(kcl_reduce_sum(x3, (kcl_axes)0), KCL_ERROR_ARGUMENT, "kcl_reduce_sum", "0", "KCL_OVER_BOTH");
    IS_ERROR(kcl_reduce_sum(x3, (kcl_axes)4), KCL_ERROR_ARGUMENT, "kcl_reduce_sum", "4");
    /* After errors the scope works. */
    eval_ok(kcl_mul(u, u), kcl_f64(out, 3));
    ck_assert_double_eq(out[2], 9);
}
END_TEST

START_TEST(test_arrays_that_are_none)
{
    double a[6] = {0}, out[6];
    IS_ERROR(kcl_vi(s, NULL), KCL_ERROR_ARGUMENT, "array 0", "NULL");
    IS_ERROR(kcl_vi(s, kcl_f64(a, -2, 3)), KCL_ERROR_ARGUMENT, "array 1", "sizes of 0 or more");
    IS_ERROR(kcl_vi(s, kcl_f64(a, INT64_MAX, 3)), KCL_ERROR_ARGUMENT, "array 2", "64-bit");
    IS_ERROR(kcl_vi(s, kcl_f64(a, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)), KCL_ERROR_ARGUMENT, "array 3", "9 axes");
    const kcl_array negative = {.data = a, .dtype = KCL_F64, .ndim = 2, .shape = {-2, 3}, .stride = {24, 8}},
                    huge = {.data = a, .dtype = KCL_F64, .ndim = 2, .shape = {INT64_MAX / 2, 3}, .stride = {24, 8}};
    IS_ERROR(kcl_vi(s, &negative), KCL_ERROR_ARGUMENT, "array 4", "axis 0", "-2");
    IS_ERROR(kcl_vi(s, &huge), KCL_ERROR_ARGUMENT, "array 5", "axes 0 to 1");
    IS_ERROR(kcl_vi(s, kcl_f64(NULL, 2, 3)), KCL_ERROR_ARGUMENT, "array 6", "NULL", "6 elements");
    const kcl_array odd = {.data = a, .dtype = (kcl_dtype)17, .ndim = 1, .shape = {3}, .stride = {8}};
    IS_ERROR(kcl_vi(s, &odd), KCL_ERROR_TYPE, "array 7", "float32 or float64");
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 2, 3));
    CALL_FAILS(kcl_eval1(u, NULL), KCL_ERROR_ARGUMENT, "output 0", "missing");
    CALL_FAILS(kcl_eval(1, &u, NULL), KCL_ERROR_ARGUMENT, "outputs");
    CALL_FAILS(kcl_eval1(u, kcl_f64(NULL, 2, 3)), KCL_ERROR_ARGUMENT, "output 0", "NULL");
    CALL_FAILS(kcl_eval1(u, kcl_f64(out, -2, 3)), KCL_ERROR_ARGUMENT, "output 0", "sizes of 0 or more");
    CALL_FAILS(kcl_eval1(u, &odd), KCL_ERROR_TYPE, "output 0");
    CALL_FAILS(kcl_eval(2, (kcl_expr *[]){u, NULL}, (const kcl_array *[]){kcl_f64(out, 2, 3), kcl_f64(out, 2)}),
               KCL_ERROR_ARGUMENT, "expression 1", "NULL");
    ck_assert_int_eq(kcl_eval(0, &u, (const kcl_array *[]){kcl_f64(out, 2, 3)}), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_eval(-1, &u, (const kcl_array *[]){kcl_f64(out, 2, 3)}), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_eval(1, NULL, NULL), KCL_ERROR_ARGUMENT);
}
END_TEST

START_TEST(test_lengths_and_types_that_disagree)
{
    double a[15] = {0}, out[25];
    float single[15] = {0}, narrow[5];
    int64_t index[4];
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 5, 3)), *v = kcl_vi(s, kcl_f64(a, 4, 3)), *w = kcl_vj(s, kcl_f64(a, 4, 3));
    CALL_FAILS(kcl_eval1(kcl_add(u, v), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH, "array 0", "array 1", "5", "4",
               "axis i");
    CALL_FAILS(kcl_sum(kcl_mul(kcl_vj(s, kcl_f64(a, 5, 3)), kcl_mul(w, u)), KCL_OVER_J, kcl_f64(out, 5, 3)),
               KCL_ERROR_LENGTH, "5", "4", "axis j");
    CALL_FAILS(kcl_eval1(kcl_add(u, kcl_reduce_sum(kcl_mul(v, w), KCL_OVER_J)), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH,
               "5", "4", "axis i");
    /* The axis is the one that was written, also where sweeps exchange the two. */
    kcl_expr *z = kcl_vj(s, kcl_f64(a, 5, 3));
    CALL_FAILS(kcl_sum(kcl_mul(w, kcl_add(u, v)), KCL_OVER_I, kcl_f64(out, 4, 3)), KCL_ERROR_LENGTH,
               "array 0 (kcl_vi of shape (5, 3)) has 5", "array 1 (kcl_vi of shape (4, 3)) has 4", "axis i");
    CALL_FAILS(kcl_argmin(kcl_sqdist(kcl_add(u, v), w), KCL_OVER_I, kcl_i64(index, 4)), KCL_ERROR_LENGTH,
               "array 0 (kcl_vi of shape (5, 3)) has 5", "array 1 (kcl_vi of shape (4, 3)) has 4", "axis i");
    CALL_FAILS(kcl_sum(kcl_mul(u, kcl_mul(w, z)), KCL_OVER_I, kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH,
               "array 2 (kcl_vj of shape (4, 3)) has 4", "5", "axis j");
    CALL_FAILS(kcl_eval1(kcl_add(w, z), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH, "array 2 (kcl_vj of shape (4, 3)) has 4",
               "5", "axis j");
    CALL_FAILS(kcl_eval1(kcl_add(z, kcl_reduce_sum(kcl_mul(u, w), KCL_OVER_I)), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH,
               "5", "array 2 (kcl_vj of shape (4, 3)) has 4", "axis j");
    CALL_FAILS(
        kcl_sum(kcl_mul(z, kcl_reduce_sum(kcl_mul(v, kcl_add(w, z)), KCL_OVER_J)), KCL_OVER_I, kcl_f64(out, 5, 3)),
        KCL_ERROR_LENGTH, "array 2 (kcl_vj of shape (4, 3)) has 4", "5", "axis j");
    CALL_FAILS(kcl_eval1(kcl_add(w, kcl_transpose(u)), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH,
               "array 2 (kcl_vj of shape (4, 3)) has 4", "array 0 (kcl_vi of shape (5, 3)) has 5", "axis j");
    CALL_FAILS(kcl_eval1(u, kcl_f64(out, 4, 3)), KCL_ERROR_LENGTH, "output 0", "(4, ", "(5, ", "4 rows, and 5");
    CALL_FAILS(kcl_eval1(u, kcl_f64(out, 5, 2)), KCL_ERROR_SHAPE, "output 0", "(5, 2)", "(M, 3)");
    CALL_FAILS(kcl_eval1(w, kcl_f64(out, 4, 2)), KCL_ERROR_SHAPE, "output 0", "(4, 2)", "3");
    CALL_FAILS(kcl_eval1(kcl_sqdist(u, w), kcl_f64(out, 5, 4)), KCL_ERROR_SHAPE, "both i and j", "reduce");
    CALL_FAILS(kcl_eval1(u, kcl_f32(single, 5, 3)), KCL_ERROR_TYPE,
               "output 0 is float32, array 0 (kcl_vi of shape (5, 3)) is float64");
    kcl_expr *f = kcl_vi(s, kcl_f32(single, 5));
    CALL_FAILS(kcl_eval1(kcl_mul(u, f), kcl_f64(out, 5, 3)), KCL_ERROR_TYPE, "float32", "float64");
    CALL_FAILS(kcl_eval(2, (kcl_expr *[]){u, f}, (const kcl_array *[]){kcl_f64(out, 5, 3), kcl_f32(narrow, 5)}),
               KCL_ERROR_TYPE, "array 5 (kcl_vi of shape (5)) is float32, array 0 (kcl_vi of shape (5, 3)) is float64");
    kcl_expr *number = kcl_scalar(s, 2);
    CALL_FAILS(kcl_eval(2, (kcl_expr *[]){number, kcl_square(number)},
                        (const kcl_array *[]){kcl_f64(out, 1), kcl_f32(narrow, 1)}),
               KCL_ERROR_TYPE, "output 1 is float32, output 0 is float64");
    eval_ok(kcl_square(u), kcl_f64(out, 5, 3));
}
END_TEST

START_TEST(test_formula_texts)
{
    double a[6] = {1, 2, 3, 4, 5, 6}, out[2];
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 2, 3)), *bad = kcl_elem(u, 9);
    const char *const names[] = {"x", "y"};
    kcl_expr *values[] = {u, u};
    IS_ERROR(kcl_formula(s, "Exp(x", 1, names, values), KCL_ERROR_SYNTAX, "Exp(x", "^", "\n");
    IS_ERROR(kcl_formula(s, "x + z", 1, names, values), KCL_ERROR_SYNTAX, "z", "x + z", "^");
    IS_ERROR(kcl_formula(s, "x + Nonsense(x)", 1, names, values), KCL_ERROR_SYNTAX, "Nonsense", "^");
    IS_ERROR(kcl_formula(s, "Elem(x,7)", 1, names, values), KCL_ERROR_SHAPE, "Elem", "7", "0 and 2", "^");
    IS_ERROR(kcl_formula(s, NULL, 1, names, values), KCL_ERROR_ARGUMENT, "kcl_formula");
    IS_ERROR(kcl_formula(s, "x", 1, NULL, values), KCL_ERROR_ARGUMENT, "kcl_formula");
    IS_ERROR(kcl_formula(s, "x", -1, names, values), KCL_ERROR_ARGUMENT, "kcl_formula");
    IS_ERROR(kcl_formula(s, "x", 1, (const char *[]){NULL}, values), KCL_ERROR_ARGUMENT, "0 is NULL");
    IS_ERROR(kcl_formula(s, "x", 1, names, &bad), KCL_ERROR_SHAPE, "kcl_elem", "9");
    CALL_FAILS(kcl_eval1(kcl_formula(s, "x*Var(77,1,2)", 1, names, values), kcl_f64(a, 2, 3)), KCL_ERROR_ARGUMENT,
               "Var(77,1,2)", "no data");
    eval_ok(kcl_formula(s, "SqNorm2(x)", 1, names, values), kcl_f64(out, 2));
    ck_assert_double_eq(out[1], 16 + 25 + 36);
}
END_TEST

START_TEST(test_deep_nesting)
{
    double a[] = {1, 2}, out[2];
    enum { DEEP = 100000 };
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 2)), *f = u;
    for (int k = 0; k < DEEP; k++)
        f = kcl_sin(f);
    eval_ok(f, kcl_f64(out, 2));
    double want = 2;
    for (int k = 0; k < DEEP; k++)
        want = sin(want);
    ck_assert_double_eq_tol(out[1], want, 1e-12);
    kcl_expr *g = kcl_grad(kcl_reduce_sum(f, KCL_OVER_I), u);
    ck_assert_msg(kcl_expr_status(g) == KCL_OK, "%s", kcl_expr_error(g));
    char *text = malloc(200001);
    memset(text, '(', 100000);
    memset(text + 100000, ')', 100000);
    text[200000] = 0;
    kcl_expr *nested = kcl_formula(s, text, 0, NULL, NULL);
    ck_assert_int_eq(kcl_expr_status(nested), KCL_ERROR_SYNTAX);
    CONTAINS(kcl_expr_error(nested), "500", "^");
    free(text);
}
END_TEST

/* Every public function on a context that could not be made. */
START_TEST(test_context_that_could_not_be_made)
{
    kcl_context *broken;
    double a[3] = {1, 2, 3};
    ck_assert_int_eq(kcl_context_create(&broken, &(kcl_context_params){.device = "no such device"}),
                     KCL_ERROR_NO_DEVICE);
    kcl_scope *scope = kcl_scope_create(broken);
    ck_assert_ptr_nonnull(scope);
    kcl_expr *f = kcl_square(kcl_vi(scope, kcl_f64(a, 3)));
    ck_assert_int_eq(kcl_eval1(f, kcl_f64(a, 3)), KCL_ERROR_NO_DEVICE);
    CONTAINS(kcl_context_error(broken), "no such device");
    kcl_operator *op;
    const char *const aliases[] = {"x=Vi(1)"};
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(x,1)", 1, aliases, NULL), KCL_OK);
    const kcl_array *in = kcl_f64(a, 3), *out = kcl_f64(a, 1);
    ck_assert_int_eq(kcl_operator_apply(op, broken, &out, 1, &in, 1), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_operator_apply(op, NULL, &out, 1, &in, 1), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_emit(op, broken, NULL, KCL_F32, 5, 5, collect, NULL), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_operator_describe(op, NULL, KCL_F32, 5, 5, collect, NULL), KCL_ERROR_UNSUPPORTED);
    kcl_operator_destroy(&op);
    kcl_scope_destroy(&scope);
    kcl_context_destroy(&broken);
}
END_TEST

/* ---- Operators --------------------------------------------------------------------------------------------------- */

static const char *const gauss_aliases[] = {"x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"};
static const char gauss[] = "Sum_Reduction(Exp(-g*SqDist(x,y))*b, 0)";

static kcl_operator *make(const char *formula, int count, const char *const *aliases)
{
    kcl_operator *op;
    const kcl_operator_params params = {.allocator = failing_allocator(&memory)};
    ck_assert_msg(kcl_operator_create(&op, formula, count, aliases, &params) == KCL_OK, "%s", kcl_operator_error(op));
    ck_assert_str_eq(kcl_operator_error(op), "");
    return op;
}

static void check_slot(const kcl_slot_info *info, const char *name, kcl_role role, int dim)
{
    ck_assert_str_eq(info->name, name);
    ck_assert_int_eq(info->role, role);
    ck_assert_int_eq(info->dim, dim);
}

START_TEST(test_operator_applied_and_looked_at)
{
    static collected text;
    kcl_slot_info info;
    kcl_operator *op = make(gauss, 4, gauss_aliases), *grad, *magnitude;
    ck_assert_int_eq(kcl_operator_input_count(op), 4);
    ck_assert_int_eq(kcl_operator_output_count(op), 1);
    ck_assert_int_eq(kcl_operator_input(op, 1, &info), KCL_OK);
    check_slot(&info, "y", KCL_ROLE_J, 3);
    ck_assert_int_eq(kcl_operator_input(op, 3, &info), KCL_OK);
    check_slot(&info, "g", KCL_ROLE_PARAMETER, 1);
    ck_assert_int_eq(kcl_operator_output(op, 0, &info), KCL_OK);
    check_slot(&info, "", KCL_ROLE_I, 1);
    ck_assert_int_eq(kcl_operator_input(op, 4, &info), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_input(op, -1, &info), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_output(op, 1, &info), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_output(op, 0, NULL), KCL_ERROR_ARGUMENT);
    text.length = 0;
    ck_assert_int_eq(kcl_operator_print(op, collect, &text), KCL_OK);
    kcl_operator *again = make(text.text, 4, gauss_aliases); /* what is printed can be read */
    make_points(KCL_F64, DENSE, -1, 1);
    double g = 0.6, out[M], same[M], scale[M], dx[M * D], e[M] = {1, -2, 3, -4, 5};
    const kcl_array *args[] = {&x.array, &y.array, &b.array, kcl_f64(&g, 1), kcl_f64(e, M)};
    const kcl_array *outs[] = {kcl_f64(out, M)};
    ck_assert_msg(kcl_operator_apply(op, c, outs, 1, args, 4) == KCL_OK, "%s", kcl_context_error(c));
    ck_assert_msg(kcl_operator_apply(again, c, (const kcl_array *[]){kcl_f64(same, M, 1)}, 1, args, 4) == KCL_OK, "%s",
                  kcl_context_error(c));
    ck_assert_int_eq(kcl_operator_magnitude(&magnitude, op), KCL_OK);
    ck_assert_int_eq(kcl_operator_apply(magnitude, c, (const kcl_array *[]){kcl_f64(scale, M)}, 1, args, 4), KCL_OK);
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "x"), KCL_OK);
    ck_assert_int_eq(kcl_operator_input_count(grad), 5);
    ck_assert_int_eq(kcl_operator_input(grad, 4, &info), KCL_OK);
    check_slot(&info, "e", KCL_ROLE_I, 1);
    ck_assert_int_eq(kcl_operator_output(grad, 0, &info), KCL_OK);
    check_slot(&info, "", KCL_ROLE_I, 3);
    ck_assert_msg(kcl_operator_apply(grad, c, (const kcl_array *[]){kcl_f64(dx, M, D)}, 1, args, 5) == KCL_OK, "%s",
                  kcl_context_error(c));
    for (int64_t i = 0; i < M; i++) {
        double want = 0, size = 0, slope = 0;
        for (int64_t j = 0; j < N; j++) {
            double w = exp(-g * distance_of(i, j)) * B;
            want += w;
            size += fabs(w);
            slope += -2 * g * (X(1) - Y(1)) * w * e[i];
        }
        near(out[i], want, KCL_F64, "operator");
        near(same[i], want, KCL_F64, "printed operator");
        near(scale[i], size, KCL_F64, "magnitude");
        near(dx[i * D + 1], slope, KCL_F64, "gradient");
    }
    free_points();
    kcl_operator_destroy(&op);
    kcl_operator_destroy(&again);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&magnitude);
    ck_assert_ptr_null(op);
    kcl_operator_destroy(&op);
    kcl_operator_destroy(NULL);
}
END_TEST

/* Chains of reductions as texts, and their gradients as texts that are read again. */
START_TEST(test_texts_of_chains)
{
    static collected text;
    /* s_i = sum_j exp(-g |x_i - y_j|^2), r_i = log(s_i) x_i, t = sum_i s_i */
    kcl_operator *op = make("Identity_Reduction(Log(Sum_Reduction(Exp(-g*SqDist(x,y)),0))*x,0);"
                            "Sum_Reduction(Sum_Reduction(Exp(-g*SqDist(x,y)),0),2);"
                            "Identity_Reduction(x/Sum_Reduction(Sum_Reduction(Exp(-g*SqDist(x,y)),0),2),0)",
                            4, gauss_aliases);
    make_points(KCL_F64, DENSE, -1, 1);
    double g = 0.6, rows[M][D], total, parts[M][D], s[M] = {0}, t = 0, e[M];
    const kcl_array *args[] = {&x.array, &y.array, &b.array, kcl_f64(&g, 1), kcl_f64(e, M)};
    const kcl_array *outs[] = {kcl_f64(&rows[0][0], M, D), kcl_f64(&total, 1), kcl_f64(&parts[0][0], M, D)};
    ck_assert_msg(kcl_operator_apply(op, c, outs, 3, args, 4) == KCL_OK, "%s", kcl_context_error(c));
    for (int64_t i = 0; i < M; i++) {
        e[i] = uniform(-1, 1);
        for (int64_t j = 0; j < N; j++)
            s[i] += exp(-g * distance_of(i, j));
        t += s[i];
    }
    /* The inner sum has no j: the outer one, over both, has a term for each j of the call. */
    near(total, (double)N * t, KCL_F64, "sum of sums");
    for (int64_t i = 0; i < M; i++)
        for (int k = 0; k < D; k++) {
            near(rows[i][k], log(s[i]) * X(k), KCL_F64, "logarithms of sums");
            near(parts[i][k], X(k) / ((double)N * t), KCL_F64, "parts of a sum");
        }
    kcl_operator_destroy(&op);
    kcl_scope *scope = kcl_scope_create(c);
    kcl_expr *vars[] = {kcl_vi(scope, &x.array), kcl_vj(scope, &y.array), kcl_scalar(scope, g)};
    kcl_expr *logs = kcl_formula(scope, "Log(Sum_Reduction(Exp(-g*SqDist(x,y)),0))*x", 3,
                                 (const char *const[]){"x", "y", "g"}, vars);
    ck_assert_msg(kcl_eval1(logs, kcl_f64(&parts[0][0], M, D)) == KCL_OK, "%s", kcl_context_error(c));
    ck_assert_int_eq(memcmp(parts, rows, sizeof rows), 0);
    kcl_scope_destroy(&scope);
    static const char *const chains[] = {"LogSumExp_Reduction(-g*SqDist(x,y),0)",
                                         "Identity_Reduction(Log(Sum_Reduction(Exp(-g*SqDist(x,y))*b*b,0)),0)",
                                         "SumSoftMaxWeight_Reduction(-g*SqDist(x,y),0,Sin(b))"};
    const char *const with_cotangent[] = {gauss_aliases[0], gauss_aliases[1], gauss_aliases[2], gauss_aliases[3],
                                          "e = Vi(1)"};
    for (size_t n = 0; n < KB_COUNT(chains); n++) {
        for (int v = 0; v < 4; v++) {
            kcl_operator *from = make(chains[n], 4, gauss_aliases), *grad, *again;
            kcl_slot_info info;
            double first[(M + N) * D], second[(M + N) * D];
            ck_assert_int_eq(kcl_operator_grad(&grad, from, ((const char *[]){"x", "y", "b", "g"})[v]), KCL_OK);
            text.length = 0;
            ck_assert_int_eq(kcl_operator_print(grad, collect, &text), KCL_OK);
            again = make(text.text, 5, with_cotangent);
            ck_assert_int_eq(kcl_operator_output(again, 0, &info), KCL_OK);
            const int64_t count = info.role == KCL_ROLE_I ? M : info.role == KCL_ROLE_J ? N : 1;
            ck_assert_msg(kcl_operator_apply(grad, c, (const kcl_array *[]){kcl_f64(first, count, info.dim)}, 1, args,
                                             5) == KCL_OK,
                          "%s", kcl_context_error(c));
            ck_assert_msg(kcl_operator_apply(again, c, (const kcl_array *[]){kcl_f64(second, count, info.dim)}, 1, args,
                                             5) == KCL_OK,
                          "%s: %s", text.text, kcl_context_error(c));
            for (int64_t k = 0; k < count * info.dim; k++)
                near(second[k], first[k], KCL_F64, text.text);
            kcl_operator_destroy(&again);
            kcl_operator_destroy(&grad);
            kcl_operator_destroy(&from);
        }
    }
    free_points();
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
    /* Scales: values themselves, where there is one column. */
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
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "x"), KCL_ERROR_DERIVATIVE);
    CONTAINS(kcl_operator_error(grad), "ArgMin_Reduction", "no gradient");
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&scale);
    kcl_operator_destroy(&op);
    free_points();
}
END_TEST

START_TEST(test_operator_gradient_of_several_outputs)
{
    kcl_operator *op = make("Sum_Reduction(Exp(-g*SqDist(x,y))*b,0);Sum_Reduction(g*(x|y),1);Sum_Reduction(g*b*b,2)", 4,
                            gauss_aliases);
    make_points(KCL_F64, DENSE, -1, 1);
    double g = 0.6, a[M], o[N], t, dg, e0[M], e1[N], e2 = 0.5, change = 1e-6, value[2];
    for (int k = 0; k < M; k++)
        e0[k] = uniform(-1, 1);
    for (int k = 0; k < N; k++)
        e1[k] = uniform(-1, 1);
    const kcl_array *args[] = {&x.array,       &y.array,       &b.array,       kcl_f64(&g, 1),
                               kcl_f64(e0, M), kcl_f64(e1, N), kcl_f64(&e2, 1)};
    const char *const spelled[] = {"g", "3"};
    for (int way = 0; way < 2; way++) {
        kcl_operator *grad;
        ck_assert_int_eq(kcl_operator_grad(&grad, op, spelled[way]), KCL_OK);
        ck_assert_int_eq(kcl_operator_input_count(grad), 7);
        ck_assert_msg(kcl_operator_apply(grad, c, (const kcl_array *[]){kcl_f64(&dg, 1)}, 1, args, 7) == KCL_OK, "%s",
                      kcl_context_error(c));
        for (int side = 0; side < 2; side++) {
            double kept = g;
            g += side ? -change : change;
            ck_assert_int_eq(kcl_operator_apply(op, c,
                                                (const kcl_array *[]){kcl_f64(a, M), kcl_f64(o, N), kcl_f64(&t, 1)}, 3,
                                                args, 4),
                             KCL_OK);
            g = kept;
            value[side] = e2 * t;
            for (int k = 0; k < M; k++)
                value[side] += e0[k] * a[k];
            for (int k = 0; k < N; k++)
                value[side] += e1[k] * o[k];
        }
        ck_assert_double_eq_tol(dg, (value[0] - value[1]) / (2 * change), 1e-7);
        kcl_operator_destroy(&grad);
    }
    kcl_operator *bad;
    ck_assert_int_eq(kcl_operator_grad(&bad, op, "q"), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "\"q\"");
    kcl_operator *worse;
    ck_assert_int_eq(kcl_operator_grad(&worse, bad, "x"), KCL_ERROR_ARGUMENT);
    ck_assert_str_eq(kcl_operator_error(worse), kcl_operator_error(bad));
    kcl_operator_destroy(&worse);
    ck_assert_int_eq(kcl_operator_magnitude(&worse, bad), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&worse);
    ck_assert_int_eq(kcl_operator_magnitude(&worse, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(worse), "NULL");
    kcl_operator_destroy(&worse);
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_grad(&bad, op, "7"), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&bad);
    free_points();
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_operator_from_expressions)
{
    make_points(KCL_F64, DENSE, -1, 1);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j))), *mass = kcl_reduce_sum(K, KCL_OVER_J);
    kcl_expr *exprs[] = {kcl_div(kcl_reduce_sum(kcl_mul(K, b_j), KCL_OVER_J), mass), kcl_reduce_sum(K, KCL_OVER_I)};
    kcl_operator *op, *bad;
    kcl_slot_info info;
    ck_assert_msg(kcl_operator_from(&op, 2, exprs, 3, (kcl_expr *[]){b_j, x_i, y_j}, NULL) == KCL_OK, "%s",
                  kcl_operator_error(op));
    ck_assert_int_eq(kcl_operator_from(&bad, 2, exprs, 2, (kcl_expr *[]){b_j, x_i}, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "array 1");
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_from(&bad, 1, exprs, 1, &mass, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "entry 0", "no variable");
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_from(&bad, 0, exprs, 0, NULL, NULL), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_from(&bad, 1, &K, 2, (kcl_expr *[]){x_i, y_j}, NULL), KCL_ERROR_SHAPE);
    CONTAINS(kcl_operator_error(bad), "both i and j");
    kcl_operator_destroy(&bad);
    kcl_expr *wrong = kcl_elem(x_i, 5);
    ck_assert_int_eq(kcl_operator_from(&bad, 1, &wrong, 0, NULL, NULL), KCL_ERROR_SHAPE);
    ck_assert_str_eq(kcl_operator_error(bad), kcl_expr_error(wrong));
    kcl_operator_destroy(&bad);
    kcl_scope_reset(s); /* the operator outlives its expressions */
    ck_assert_int_eq(kcl_operator_input(op, 0, &info), KCL_OK);
    check_slot(&info, "", KCL_ROLE_J, 1);
    double mean[M], col[N];
    ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(mean, M), kcl_f64(col, N)}, 2,
                                     (const kcl_array *[]){&b.array, &x.array, &y.array}, 3) == KCL_OK,
                  "%s", kcl_context_error(c));
    for (int64_t i = 0; i < M; i++) {
        double top = 0, bottom = 0;
        for (int64_t j = 0; j < N; j++) {
            top += exp(-distance_of(i, j)) * B;
            bottom += exp(-distance_of(i, j));
        }
        near(mean[i], top / bottom, KCL_F64, "mean");
    }
    for (int64_t j = 0; j < N; j++) {
        double want = 0;
        for (int64_t i = 0; i < M; i++)
            want += exp(-distance_of(i, j));
        near(col[j], want, KCL_F64, "over i");
    }
    kcl_operator_destroy(&op);
    free_points();
}
END_TEST

START_TEST(test_emit_and_describe)
{
    static collected text;
    kcl_operator *op = make(gauss, 4, gauss_aliases);
    text.length = 0;
    ck_assert_int_eq(kcl_operator_emit(op, NULL, "cpu", KCL_F32, 1000, 1000, collect, &text), KCL_OK);
    CONTAINS(text.text, "SqDist", "#define KCL_REAL_F32", "#define KCL_LANES 16", "__kernel");
    CALL_FAILS(kcl_operator_emit(op, c, NULL, KCL_F32, 10, 10, collect, &text), KCL_ERROR_UNSUPPORTED, "\"host\"");
    CALL_FAILS(kcl_operator_describe(op, c, KCL_F32, 10, 10, collect, &text), KCL_ERROR_UNSUPPORTED, "\"host\"");
    CALL_FAILS(kcl_operator_emit(op, c, "toaster", KCL_F32, 10, 10, collect, &text), KCL_ERROR_ARGUMENT, "\"toaster\"",
               "\"cpu\"");
    CALL_FAILS(kcl_operator_emit(op, c, "cpu", KCL_DTYPE_NONE, 10, 10, collect, &text), KCL_ERROR_TYPE, "KCL_F32");
    CALL_FAILS(kcl_operator_emit(op, c, "cpu", KCL_F32, -10, 10, collect, &text), KCL_ERROR_ARGUMENT, "m = -10",
               "n = 10");
    CALL_FAILS(kcl_operator_emit(NULL, c, "cpu", KCL_F32, 10, 10, collect, &text), KCL_ERROR_ARGUMENT, "NULL");
    CALL_FAILS(kcl_operator_emit(op, c, "cpu", KCL_F32, 10, 10, NULL, NULL), KCL_ERROR_ARGUMENT, "NULL");
    ck_assert_int_eq(kcl_operator_print(op, NULL, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_print(NULL, collect, &text), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&op);
}
END_TEST

/* How many sums over both axes two formulas become; the values are those of each by itself. */
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
    /* Not where there is nothing in common, and no other sum. */
    check_sums_of_pairs("Sum_Reduction(Elem(x,0)*b,0);Sum_Reduction(Exp(-g*SqDist(x,y)),2)", 1);
    check_sums_of_pairs("Sum_Reduction(Exp(-g*SqDist(x,y)),2);Sum_Reduction(SqDist(x,y)*b,2)", 2);
}
END_TEST

static void create_fails(const char *formula, int count, const char *const *aliases, const kcl_operator_params *params,
                         kcl_status status, const char *const *parts)
{
    kcl_operator *op;
    kcl_status got = kcl_operator_create(&op, formula, count, aliases, params);
    ck_assert_msg(got == status, "%s: %s", kcl_status_name(got), kcl_operator_error(op));
    ck_assert_ptr_nonnull(op);
    contains(kcl_operator_error(op), parts);
    /* It tells the same to whoever uses it. */
    double out;
    const kcl_array *outs[] = {kcl_f64(&out, 1)};
    ck_assert_int_eq(kcl_operator_apply(op, c, outs, 1, outs, 0), status);
    ck_assert_str_eq(kcl_context_error(c), kcl_operator_error(op));
    ck_assert_int_eq(kcl_operator_print(op, collect, NULL), status);
    kcl_operator_destroy(&op);
}
#define CREATE_FAILS(formula, count, aliases, params, status, ...)                                                     \
    create_fails(formula, count, aliases, params, status, (const char *const[]){__VA_ARGS__, NULL})
#define ALIASES(...) ((const char *const[]){__VA_ARGS__})

START_TEST(test_operators_that_cannot_be_made)
{
    CREATE_FAILS("Sum_Reduction(Exp(x,0)", 1, ALIASES("x=Vi(3)"), NULL, KCL_ERROR_SYNTAX, "Sum_Reduction(Exp(x,0)",
                 "\n", "^");
    CREATE_FAILS("Sum_Reduction(x+why,0)", 1, ALIASES("x=Vi(3)"), NULL, KCL_ERROR_SYNTAX, "why", "^");
    CREATE_FAILS("Sum_Reduction(x+y,0)", 2, ALIASES("x=Vi(3)", "y=Vj(2)"), NULL, KCL_ERROR_SHAPE, "3", "2");
    CREATE_FAILS("Sum_Reduction(x+y,0)", 2, ALIASES("x=Vi(0,3)", "y=Vi(0,2)"), NULL, KCL_ERROR_ARGUMENT, "number 0",
                 "dimension 3", "dimension 2");
    CREATE_FAILS("Sum_Reduction(x+y,0)", 2, ALIASES("x=Vi(0,3)", "y=Vj(0,3)"), NULL, KCL_ERROR_ARGUMENT, "number 0",
                 "role i", "role j");
    CREATE_FAILS("Sum_Reduction(x+y,0)", 2, ALIASES("x=Vi(0,3)", "y=Vi(0,3)"), NULL, KCL_ERROR_ARGUMENT, "two names",
                 "\"x\"", "\"y\"");
    CREATE_FAILS("Sum_Reduction(x,0)", 2, ALIASES("x=Vi(3)", "x=Vj(3)"), NULL, KCL_ERROR_ARGUMENT, "\"x\"", "twice");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(2,3)"), NULL, KCL_ERROR_ARGUMENT, "number 0");
    CREATE_FAILS("Sum_Reduction(x+Var(0,2,0),0)", 1, ALIASES("x=Vi(1)"), NULL, KCL_ERROR_SHAPE, "Vi(0,1)", "Vi(0,2)",
                 "^");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(70000,3)"), NULL, KCL_ERROR_SHAPE, "65535");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Foo(3)"), NULL, KCL_ERROR_SYNTAX, "x=Foo(3)", "^");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES(NULL), NULL, KCL_ERROR_ARGUMENT, "alias 0 is NULL");
    CREATE_FAILS("Sum_Reduction(x,0)", 2, NULL, NULL, KCL_ERROR_ARGUMENT, "alias 0 is NULL");
    CREATE_FAILS("Sum_Reduction(x,0)", -1, NULL, NULL, KCL_ERROR_ARGUMENT, "negative");
    CREATE_FAILS(NULL, 0, NULL, NULL, KCL_ERROR_ARGUMENT, "NULL");
    CREATE_FAILS("", 0, NULL, NULL, KCL_ERROR_SYNTAX, "empty");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(3)"), &(kcl_operator_params){.schedule = "diagonal"},
                 KCL_ERROR_ARGUMENT, "\"diagonal\"", "\"rows\"", "\"columns\"");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(3)"), &(kcl_operator_params){.math = "quick"},
                 KCL_ERROR_ARGUMENT, "math \"quick\"", "\"precise\"", "\"fast\"");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(3)"), &(kcl_operator_params){.form = "norms"},
                 KCL_ERROR_ARGUMENT, "\"norms\"", "\"auto\"", "\"differences\"", "\"expanded\"");
    ck_assert_int_eq(kcl_operator_create(NULL, gauss, 4, gauss_aliases, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_grad(NULL, NULL, "x"), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_input_count(NULL), 0);
    ck_assert_int_eq(kcl_operator_output_count(NULL), 0);
    CONTAINS(kcl_operator_error(NULL), "NULL");
}
END_TEST

/* Schedules are those of other devices; the interpreter refuses what CPUs would, and takes the rest. */
START_TEST(test_schedules_that_others_refuse)
{
    static const struct {
        const char *schedule, *formula, *why; /* NULL: it can be run */
    } cases[] = {
        {"columns", "Sum_Reduction(x|y,2)", "cannot reduce both axes"},
        {"contraction", "Sum_Reduction(x|y,2)", "cannot reduce both axes"},
        {"contraction", "Sum_Reduction(x-y,0)", "its terms are vectors"},
        {"contraction", "Sum_Reduction(Sum(x)*Sum(y),1)", "no sum over the components"},
        {"contraction", "KMin_Reduction(x|y,2,0)", "keep a list"},
        {"contraction", "Sum_Reduction(Exp(x|y),0);Sum_Reduction(Sum(x)*Sum(y),1)", "no sum over the components"},
        {"contraction", "Sum_Reduction(x|y,0)", NULL},
        {"contraction", "Sum_Reduction(x|y,1)", NULL},
        {"columns", "Sum_Reduction(x|y,0)", NULL},
        {"split", "Sum_Reduction(x|y,2)", NULL},
        {"rows", "Sum_Reduction(x|y,2)", NULL},
        {"lanes", "Sum_Reduction(x|y,1)", NULL},
    };
    /* x|y of the two rows is 1*1 + 2*2 = 5 and 3*1 + 4*2 = 11. */
    double x[4] = {1, 2, 3, 4}, y[2] = {1, 2};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        double out[8] = {0}, more[8];
        kcl_operator *op;
        const kcl_array *const args[] = {kcl_f64(x, 2, 2), kcl_f64(y, 1, 2)};
        const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)"}, *const formula = cases[k].formula;
        ck_assert_int_eq(
            kcl_operator_create(&op, formula, 2, aliases, &(kcl_operator_params){.schedule = cases[k].schedule}),
            KCL_OK);
        const int axis = formula[strlen(formula) - 2] - '0', dim = strchr(formula, '-') || formula[0] == 'K' ? 2 : 1;
        const kcl_array *const outs[] = {
            strchr(formula, ';') || axis == 0 ? kcl_f64(out, 2, dim) : kcl_f64(out, 1, dim), kcl_f64(more, 1)};
        const kcl_status status = kcl_operator_apply(op, c, outs, kcl_operator_output_count(op), args, 2);
        ck_assert_msg(status == (cases[k].why ? KCL_ERROR_UNSUPPORTED : KCL_OK), "case %zu: %s", k,
                      kcl_context_error(c));
        if (cases[k].why)
            CONTAINS(kcl_context_error(c), cases[k].schedule, cases[k].why);
        else
            ck_assert_double_eq(out[0], axis == 0 ? 5 : 16);
        kcl_operator_destroy(&op);
    }
}
END_TEST

START_TEST(test_arguments_that_do_not_fit)
{
    kcl_operator *op = make(gauss, 4, gauss_aliases);
    double a[15] = {0}, out[5];
    float single[5];
    const kcl_array *xs = kcl_f64(a, 5, 3), *ys = kcl_f64(a, 4, 3), *bs = kcl_f64(a, 4), *g = kcl_f64(a, 1);
    const kcl_array *good[] = {xs, ys, bs, g, g}, *outs[] = {kcl_f64(out, 5), kcl_f64(out, 5)};
#define APPLY(out_array, ...)                                                                                          \
    kcl_operator_apply(op, c, (const kcl_array *[]){out_array}, 1, (const kcl_array *[]){__VA_ARGS__}, 4)
    ck_assert_int_eq(kcl_operator_apply(op, c, outs, 1, good, 4), KCL_OK);
    CALL_FAILS(kcl_operator_apply(op, c, outs, 1, good, 3), KCL_ERROR_ARGUMENT, "4 arguments", "3 were given",
               "argument \"g\"");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 1, good, 5), KCL_ERROR_ARGUMENT, "4 arguments", "5 were given",
               "too many");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 1, good, -1), KCL_ERROR_ARGUMENT, "4 arguments");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 2, good, 4), KCL_ERROR_ARGUMENT, "1 outputs", "2 were given");
    CALL_FAILS(kcl_operator_apply(op, c, NULL, 1, good, 4), KCL_ERROR_ARGUMENT, "1 outputs", "0 were given");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 1, NULL, 4), KCL_ERROR_ARGUMENT, "arguments is NULL");
    CALL_FAILS(kcl_operator_apply(NULL, c, outs, 1, good, 4), KCL_ERROR_ARGUMENT, "operator is NULL");
    CALL_FAILS(APPLY(outs[0], xs, NULL, bs, g), KCL_ERROR_ARGUMENT, "argument \"y\"", "missing");
    CALL_FAILS(APPLY(NULL, xs, ys, bs, g), KCL_ERROR_ARGUMENT, "output 0", "missing");
    CALL_FAILS(APPLY(outs[0], xs, kcl_f64(a, 4, 2), bs, g), KCL_ERROR_SHAPE, "argument \"y\"", "(4, 2)", "j-variable",
               "dimension 3", "(N, 3)");
    CALL_FAILS(APPLY(outs[0], xs, ys, bs, kcl_f64(a, 2)), KCL_ERROR_SHAPE, "argument \"g\"", "(2)", "parameter");
    CALL_FAILS(APPLY(outs[0], xs, ys, kcl_f64(a, 3), g), KCL_ERROR_LENGTH, "argument \"y\"", "argument \"b\"", "4 rows",
               "has 3", "axis j");
    CALL_FAILS(APPLY(kcl_f64(out, 4), xs, ys, bs, g), KCL_ERROR_LENGTH, "output 0", "(4, ", "(5, ", "4 rows, and 5");
    CALL_FAILS(APPLY(outs[0], xs, ys, kcl_f32(single, 4), g), KCL_ERROR_TYPE,
               "argument \"b\" is float32, argument \"x\" is float64");
    CALL_FAILS(APPLY(kcl_f32(single, 5), xs, ys, bs, g), KCL_ERROR_TYPE,
               "output 0 is float32, argument \"x\" is float64");
    CALL_FAILS(APPLY(outs[0], kcl_f64(a, -5, 3), ys, bs, g), KCL_ERROR_ARGUMENT, "argument \"x\"",
               "sizes of 0 or more");
    CALL_FAILS(APPLY(outs[0], kcl_f64(a, INT64_MAX / 4, 3), ys, bs, g), KCL_ERROR_ARGUMENT, "argument \"x\"", "64-bit");
    CALL_FAILS(APPLY(outs[0], kcl_f64(NULL, 5, 3), ys, bs, g), KCL_ERROR_ARGUMENT, "argument \"x\"", "NULL");
    ck_assert_int_eq(kcl_operator_apply(op, c, outs, 1, good, 4), KCL_OK);
    /* A result of one row per i has the length of the call, even where the formula has no i. */
    kcl_operator *flat = make("Sum_Reduction(g*g,0)", 2, ALIASES("x=Vi(3)", "g=Pm(1)"));
    a[0] = 3;
    ck_assert_msg(kcl_operator_apply(flat, c, outs, 1, (const kcl_array *[]){xs, g}, 2) == KCL_OK, "%s",
                  kcl_context_error(c));
    for (int k = 0; k < 5; k++)
        ck_assert_double_eq(out[k], 9);
    kcl_operator_destroy(&flat);
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- Long runs --------------------------------------------------------------------------------------------------- */

/* Counts bytes in use: each block carries its size in front. */
typedef struct meter {
    long long bytes, blocks;
} meter;

static void *metered(void *user, void *pointer, size_t size)
{
    enum { HEAD = 32 };
    meter *m = user;
    char *block = pointer ? (char *)pointer - HEAD : NULL;
    size_t old = 0;
    if (block)
        memcpy(&old, block, sizeof old);
    if (!size) {
        m->bytes -= (long long)old;
        m->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    char *p = realloc(block, size + HEAD);
    if (!p)
        return NULL;
    m->bytes += (long long)size - (long long)old;
    m->blocks += block == NULL;
    memcpy(p, &size, sizeof size);
    return p + HEAD;
}

START_TEST(test_ten_thousand_calls_with_changing_sizes)
{
    meter m = {0, 0};
    kcl_context *own;
    const kcl_allocator allocator = {metered, &m};
    ck_assert_int_eq(
        kcl_context_create(&own, &(kcl_context_params){.device = "host", .threads = 1, .allocator = allocator}),
        KCL_OK);
    kcl_scope *scope = kcl_scope_create(own);
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_create(&op, gauss, 4, gauss_aliases, &(kcl_operator_params){.allocator = allocator}),
                     KCL_OK);
    static double a[60], out[20];
    double g = 1;
    meter after = {0, 0};
    for (int call = 0; call < 10000; call++) {
        int rows = call * 7 % 20, cols = call * 3 % 19;
        g = 1 + call;
        const kcl_array *args[] = {kcl_f64(a, rows, 3), kcl_f64(a, cols, 3), kcl_f64(a, cols), kcl_f64(&g, 1)};
        const kcl_array *outs[] = {kcl_f64(out, rows)};
        ck_assert_msg(kcl_operator_apply(op, own, outs, 1, args, 4) == KCL_OK, "%s", kcl_context_error(own));
        kcl_expr *f = kcl_mul(kcl_scalar(scope, g), kcl_sqdist(kcl_vi(scope, args[0]), kcl_vj(scope, args[1])));
        ck_assert_msg(kcl_sum(f, KCL_OVER_J, outs[0]) == KCL_OK, "%s", kcl_context_error(own));
        kcl_scope_reset(scope);
        if (call == 300)
            after = m;
        ck_assert_msg(call < 300 || (m.bytes <= after.bytes && m.blocks <= after.blocks),
                      "%lld bytes in %lld blocks after call 300, %lld in %lld after call %d", after.bytes, after.blocks,
                      m.bytes, m.blocks, call);
    }
    kcl_operator_destroy(&op);
    kcl_scope_destroy(&scope);
    kcl_context_destroy(&own);
    ck_assert_int_eq(m.bytes, 0);
}
END_TEST

int main(void)
{
    const test_entry tests[] = {
        {test_builders_by_plain_loops, 2 * LAYOUT_COUNT},
        {test_variables_and_roles, 0},
        {test_one_handle_in_two_roles, 0},
        {test_results_in_further_formulas, 0},
        {test_three_kinds_of_reduction_at_once, 2 * LAYOUT_COUNT},
        {test_every_reduction, 6},
        {test_indices_in_further_formulas, 0},
        {test_indices_are_int64_and_nothing_else_is, 0},
        {test_operators_with_indices, 0},
        {test_empty_and_single_rows, 0},
        {test_gradients_of_chains_by_finite_differences, 0},
        {test_vjp_and_gradients_of_nothing, 0},
        {test_scope_reset_in_a_loop, 0},
        {test_print, 0},
        {test_without_a_scope, 0},
        {test_operands_that_do_not_belong_together, 0},
        {test_arrays_that_are_none, 0},
        {test_lengths_and_types_that_disagree, 0},
        {test_formula_texts, 0},
        {test_deep_nesting, 0},
        {test_context_that_could_not_be_made, 0},
        {test_operator_applied_and_looked_at, 0},
        {test_texts_of_chains, 0},
        {test_operator_gradient_of_several_outputs, 0},
        {test_operator_from_expressions, 0},
        {test_emit_and_describe, 0},
        {test_sums_over_both_axes_join_other_sweeps, 0},
        {test_operators_that_cannot_be_made, 0},
        {test_schedules_that_others_refuse, 0},
        {test_arguments_that_do_not_fit, 0},
        {test_ten_thousand_calls_with_changing_sizes, 0},
    };
    return run_entries("lazy tensors", tests, KB_COUNT(tests), setup, teardown);
}
