/* SPDX-License-Identifier: MIT */
/* The methods of lazy tensors by the interpreter: values against plain loops in double, and the sentences of errors. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { M = 5, N = 4, D = 3 };

static failing memory;
static kcl_context *c;
static kcl_scope *s;
static double x[M][D], y[N][D], w[N], p[D];
static kcl_expr *x_i, *y_j, *w_j, *p_p;

static void setup(void)
{
    memory = (failing){.fail_at = 0};
    const kcl_context_params params = {.device = "host", .allocator = failing_allocator(&memory)};
    ck_assert_int_eq(kcl_context_create(&c, &params), KCL_OK);
    s = kcl_scope_create(c);
    seed_random(1);
    for (int k = 0; k < D; k++) {
        for (int i = 0; i < M; i++)
            x[i][k] = uniform(-2, 2);
        for (int j = 0; j < N; j++)
            y[j][k] = uniform(-2, 2);
        p[k] = uniform(-2, 2);
    }
    for (int j = 0; j < N; j++)
        w[j] = uniform(0.5, 2);
    x_i = kcl_vi(s, kcl_f64(&x[0][0], M, D));
    y_j = kcl_vj(s, kcl_f64(&y[0][0], N, D));
    w_j = kcl_vj(s, kcl_f64(w, N));
    p_p = kcl_pm(s, kcl_f64(p, D));
}

static void teardown(void)
{
    kcl_scope_destroy(&s);
    kcl_context_destroy(&c);
    ck_assert_int_eq(memory.blocks, 0);
}

static void eval_ok(kcl_expr *e, const kcl_array *out)
{
    ck_assert_msg(kcl_eval1(e, out) == KCL_OK, "%s", kcl_context_error(c));
}

static void near(double got, double want, const char *what)
{
    ck_assert_msg(fabs(got - want) <= 1e-13 * (1 + fabs(want)), "%s: %.17g, wanted %.17g", what, got, want);
}

/* Sums w_j times `expr` over j and compares with a loop over `value`, a formula in i, j and component k. */
#define CHECK(dim, expr, value)                                                                                        \
    do {                                                                                                               \
        kcl_expr *e_ = (expr);                                                                                         \
        double got_[M][dim];                                                                                           \
        ck_assert_msg(kcl_expr_status(e_) == KCL_OK, "%s: %s", #expr, kcl_expr_error(e_));                             \
        ck_assert_int_eq(kcl_expr_dim(e_), dim);                                                                       \
        eval_ok(kcl_reduce_sum(kcl_mul(kcl_add(kcl_mul(kcl_zero(s, 1), kcl_elem(x_i, 0)), w_j), e_), KCL_OVER_J),      \
                kcl_f64(&got_[0][0], M, dim));                                                                         \
        for (int i = 0; i < M; i++)                                                                                    \
            for (int k = 0; k < dim; k++) {                                                                            \
                double sum_ = 0;                                                                                       \
                for (int j = 0; j < N; j++)                                                                            \
                    sum_ += w[j] * (value);                                                                            \
                near(got_[i][k], sum_, #expr);                                                                         \
            }                                                                                                          \
    } while (0)

/* The expression is an error whose sentence holds the parts. */
static void is_error(kcl_expr *e, kcl_status status, const char *const *parts)
{
    double out[64];
    ck_assert_ptr_nonnull(e);
    ck_assert_msg(kcl_expr_status(e) == status, "%s: %s", kcl_status_name(kcl_expr_status(e)), kcl_expr_error(e));
    contains(kcl_expr_error(e), parts);
    kcl_expr *chain = kcl_reduce_sum(kcl_exp(e), KCL_OVER_J);
    ck_assert_int_eq(kcl_eval1(chain, kcl_f64(out, 64)), status);
    ck_assert_str_eq(kcl_context_error(c), kcl_expr_error(e));
}
#define IS_ERROR(e, status, ...) is_error(e, status, (const char *const[]){__VA_ARGS__, NULL})

/* ---- Elementwise methods ----------------------------------------------------------------------------------------- */

static double clamped(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

START_TEST(test_functions)
{
    const double pi = acos(-1);
    CHECK(D, kcl_step(kcl_sub(x_i, y_j)), x[i][k] >= y[j][k]);
    CHECK(D, kcl_relu(kcl_sub(x_i, y_j)), fmax(x[i][k] - y[j][k], 0));
    CHECK(D, kcl_floor(kcl_mul(kcl_constant(s, 3), kcl_sub(x_i, y_j))), floor(3 * (x[i][k] - y[j][k])));
    CHECK(D, kcl_round(kcl_mul(x_i, y_j), 0), round(x[i][k] * y[j][k]));
    CHECK(D, kcl_round(kcl_mul(x_i, y_j), 2), round(x[i][k] * y[j][k] * 100) / 100);
    CHECK(D, kcl_round(kcl_mul(kcl_constant(s, 100), kcl_mul(x_i, y_j)), -1), round(10 * (x[i][k] * y[j][k])) * 10);
    CHECK(D, kcl_xlogx(kcl_abs(kcl_mul(x_i, y_j))), fabs(x[i][k] * y[j][k]) * log(fabs(x[i][k] * y[j][k])));
    CHECK(D, kcl_asin(kcl_sin(kcl_mul(x_i, y_j))), asin(sin(x[i][k] * y[j][k])));
    CHECK(D, kcl_acos(kcl_sin(kcl_mul(x_i, y_j))), acos(sin(x[i][k] * y[j][k])));
    CHECK(D, kcl_atan(kcl_mul(x_i, y_j)), atan(x[i][k] * y[j][k]));
    CHECK(D, kcl_atan2(x_i, y_j), atan2(x[i][k], y[j][k]));
    CHECK(D, kcl_tan(kcl_mul(x_i, y_j)), tan(x[i][k] * y[j][k]));
    CHECK(D, kcl_sinh(kcl_mul(x_i, y_j)), sinh(x[i][k] * y[j][k]));
    CHECK(D, kcl_cosh(kcl_mul(x_i, y_j)), cosh(x[i][k] * y[j][k]));
    CHECK(D, kcl_tanh(kcl_mul(x_i, y_j)), tanh(x[i][k] * y[j][k]));
    CHECK(D, kcl_asinh(kcl_mul(x_i, y_j)), asinh(x[i][k] * y[j][k]));
    CHECK(D, kcl_acosh(kcl_exp(kcl_square(kcl_mul(x_i, y_j)))), acosh(exp(pow(x[i][k] * y[j][k], 2))));
    CHECK(D, kcl_atanh(kcl_sin(kcl_mul(x_i, y_j))), atanh(sin(x[i][k] * y[j][k])));
    CHECK(D, kcl_erf(kcl_mul(x_i, y_j)), erf(x[i][k] * y[j][k]));
    CHECK(D, kcl_erfc(kcl_mul(x_i, y_j)), erfc(x[i][k] * y[j][k]));
    CHECK(D, kcl_expm1(kcl_mul(x_i, y_j)), expm1(x[i][k] * y[j][k]));
    CHECK(D, kcl_log1p(kcl_square(kcl_mul(x_i, y_j))), log1p(pow(x[i][k] * y[j][k], 2)));
    CHECK(D, kcl_sigmoid(kcl_mul(x_i, y_j)), 1 / (1 + exp(-x[i][k] * y[j][k])));
    CHECK(D, kcl_softplus(kcl_mul(x_i, y_j)), log(1 + exp(x[i][k] * y[j][k])));
    CHECK(D, kcl_ceil(kcl_mul(kcl_constant(s, 3), kcl_sub(x_i, y_j))), ceil(3 * (x[i][k] - y[j][k])));
    CHECK(D, kcl_trunc(kcl_mul(kcl_constant(s, 3), kcl_sub(x_i, y_j))), trunc(3 * (x[i][k] - y[j][k])));
    CHECK(D, kcl_hypot(x_i, y_j), hypot(x[i][k], y[j][k]));
    CHECK(D, kcl_minimum(x_i, y_j), fmin(x[i][k], y[j][k]));
    CHECK(D, kcl_maximum(x_i, w_j), fmax(x[i][k], w[j]));
    CHECK(D, kcl_sinxdivx(kcl_sub(x_i, y_j)), sin(x[i][k] - y[j][k]) / (x[i][k] - y[j][k]));
    CHECK(D, kcl_sinc(kcl_sub(x_i, y_j)), sin(pi * (x[i][k] - y[j][k])) / (pi * (x[i][k] - y[j][k])));
    CHECK(D, kcl_clamp(kcl_mul(x_i, y_j), kcl_constant(s, -0.5), p_p), clamped(x[i][k] * y[j][k], -0.5, p[k]));
    CHECK(D, kcl_clampint(kcl_mul(x_i, y_j), -1, 1), clamped(x[i][k] * y[j][k], -1, 1));
    CHECK(D, kcl_mod(kcl_mul(x_i, y_j), kcl_constant(s, 0.75), kcl_constant(s, 0)),
          x[i][k] * y[j][k] - 0.75 * floor(x[i][k] * y[j][k] / 0.75));
    CHECK(D, kcl_mod(x_i, w_j, p_p), x[i][k] - w[j] * floor((x[i][k] - p[k]) / w[j]));
    CHECK(D, kcl_ifelse(kcl_sub(x_i, y_j), kcl_mul(x_i, x_i), y_j), x[i][k] >= y[j][k] ? x[i][k] * x[i][k] : y[j][k]);
    CHECK(D, kcl_ifelse(kcl_dot(x_i, y_j), x_i, p_p),
          x[i][0] * y[j][0] + x[i][1] * y[j][1] + x[i][2] * y[j][2] >= 0 ? x[i][k] : p[k]);
    IS_ERROR(kcl_round(x_i, 19), KCL_ERROR_SHAPE, "kcl_round", "19", "-18", "18");
    IS_ERROR(kcl_ifelse(x_i, y_j, kcl_zero(s, 2)), KCL_ERROR_SHAPE, "kcl_ifelse", "dimensions 3 and 2");
    IS_ERROR(kcl_clamp(x_i, kcl_zero(s, 2), y_j), KCL_ERROR_SHAPE, "dimensions 3 and 2");
    IS_ERROR(kcl_mod(x_i, NULL, y_j), KCL_ERROR_ARGUMENT, "operand 2 of 3 is NULL");
}
END_TEST

START_TEST(test_comparisons)
{
    x[0][0] = y[0][0];
    x[1][2] = y[3][2];
    CHECK(D, kcl_equal(x_i, y_j), x[i][k] == y[j][k]);
    CHECK(D, kcl_not_equal(x_i, y_j), x[i][k] != y[j][k]);
    CHECK(D, kcl_less(x_i, y_j), x[i][k] < y[j][k]);
    CHECK(D, kcl_less_equal(x_i, y_j), x[i][k] <= y[j][k]);
    CHECK(D, kcl_greater(x_i, y_j), x[i][k] > y[j][k]);
    CHECK(D, kcl_greater_equal(x_i, y_j), x[i][k] >= y[j][k]);
    CHECK(D, kcl_greater(w_j, x_i), w[j] > x[i][k]);
    CHECK(D, kcl_and(kcl_relu(x_i), kcl_relu(y_j)), x[i][k] > 0 && y[j][k] > 0);
    CHECK(D, kcl_or(kcl_relu(x_i), kcl_relu(y_j)), x[i][k] > 0 || y[j][k] > 0);
    CHECK(D, kcl_not(kcl_relu(kcl_sub(x_i, y_j))), x[i][k] <= y[j][k]);
    IS_ERROR(kcl_minimum(x_i, kcl_zero(s, 2)), KCL_ERROR_SHAPE, "kcl_minimum", "dimensions 3 and 2");
    IS_ERROR(kcl_and(x_i, NULL), KCL_ERROR_ARGUMENT, "operand 2 of 2 is NULL");
    IS_ERROR(kcl_less(x_i, kcl_zero(s, 2)), KCL_ERROR_SHAPE, "kcl_less", "dimensions 3 and 2");
}
END_TEST

/* ---- The vector of components ------------------------------------------------------------------------------------ */

START_TEST(test_components)
{
    CHECK(1, kcl_elem(kcl_mul(x_i, y_j), -1), x[i][2] * y[j][2]);
    CHECK(1, kcl_elem(x_i, -D), x[i][0]);
    IS_ERROR(kcl_elem(x_i, D), KCL_ERROR_SHAPE, "kcl_elem", "index 3", "dimension 3", "-3 and 2");
    IS_ERROR(kcl_elem(x_i, -D - 1), KCL_ERROR_SHAPE, "index -4", "-3 and 2");
    double norm = sqrt(x[2][0] * x[2][0] + x[2][1] * x[2][1] + x[2][2] * x[2][2]), out[M][D];
    eval_ok(kcl_normalize(x_i), kcl_f64(&out[0][0], M, D));
    near(out[2][1], x[2][1] / norm, "normalize");
    double zero[D] = {0}, at_zero[D];
    eval_ok(kcl_normalize(kcl_pm(s, kcl_f64(zero, D))), kcl_f64(at_zero, D));
    ck_assert(at_zero[0] == 0 && at_zero[2] == 0);
    kcl_expr *parts[] = {x_i, w_j, kcl_mul(x_i, y_j), p_p};
    CHECK(10, kcl_concatenate(4, parts),
          k < 3    ? x[i][k]
          : k == 3 ? w[j]
          : k < 7  ? x[i][k - 4] * y[j][k - 4]
                   : p[k - 7]);
    CHECK(3, kcl_concatenate(1, parts), x[i][k]);
    ck_assert_int_eq(kcl_expr_status(kcl_concatenate(0, parts)), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_expr_status(kcl_concatenate(2, NULL)), KCL_ERROR_ARGUMENT);
    IS_ERROR(kcl_concatenate(2, (kcl_expr *[]){x_i, NULL}), KCL_ERROR_ARGUMENT, "operand 2 of 2 is NULL");
}
END_TEST

/* Every start, stop and step of a vector of six, against the rule of Python's slices. */
START_TEST(test_slices)
{
    enum { LENGTH = 6 };
    double v[LENGTH], out[LENGTH];
    for (int k = 0; k < LENGTH; k++)
        v[k] = uniform(-1, 1);
    kcl_expr *f = kcl_pm(s, kcl_f64(v, LENGTH));
    int checked = 0, empty = 0;
    for (int start = -LENGTH; start < LENGTH; start++)
        for (int stop = -LENGTH; stop <= LENGTH + 1; stop++)
            for (int step = -3; step <= 3; step++) {
                int rest = stop == LENGTH + 1, count = 0, want[LENGTH];
                int last = rest ? (step < 0 ? -1 : LENGTH) : stop < 0 ? stop + LENGTH : stop;
                for (int k = start < 0 ? start + LENGTH : start; step && (step < 0 ? k > last : k < last); k += step)
                    want[count++] = k;
                kcl_expr *e = kcl_slice(f, start, rest ? KCL_REST : stop, step);
                if (!count) {
                    empty++;
                    ck_assert_int_lt(kcl_expr_status(e), 0);
                    continue;
                }
                ck_assert_msg(kcl_expr_status(e) == KCL_OK, "%d:%d:%d: %s", start, stop, step, kcl_expr_error(e));
                ck_assert_int_eq(kcl_expr_dim(e), count);
                eval_ok(e, kcl_f64(out, count));
                for (int k = 0; k < count; k++)
                    ck_assert_double_eq(out[k], v[want[k]]);
                checked++;
            }
    ck_assert_int_gt(checked, 300);
    ck_assert_int_gt(empty, 100);
    IS_ERROR(kcl_slice(f, 0, 6, 0), KCL_ERROR_ARGUMENT, "kcl_slice", "the step is 0");
    IS_ERROR(kcl_slice(f, 6, KCL_REST, 1), KCL_ERROR_SHAPE, "kcl_slice", "from 6", "dimension 6", "-6 and 5");
    IS_ERROR(kcl_slice(f, 0, 7, 1), KCL_ERROR_SHAPE, "up to 7", "dimension 6", "-6 and 6");
    IS_ERROR(kcl_slice(f, 3, 3, 1), KCL_ERROR_SHAPE, "from 3 up to 3 by steps of 1", "there is no component");
}
END_TEST

START_TEST(test_extremes_and_weights)
{
    double W[D * D];
    for (int k = 0; k < D * D; k++)
        W[k] = uniform(-1, 1);
    kcl_expr *S = kcl_pm(s, kcl_f64(W, D * D)), *f = kcl_mul(x_i, y_j);
#define F(k) (x[i][k] * y[j][k])
#define G(k) (x[i][k] - y[j][k])
    CHECK(1, kcl_max_inner(f), fmax(F(0), fmax(F(1), F(2))));
    CHECK(1, kcl_min_inner(f), fmin(F(0), fmin(F(1), F(2))));
    CHECK(1, kcl_argmax_inner(f), F(0) >= F(1) && F(0) >= F(2) ? 0 : F(1) >= F(2) ? 1 : 2);
    CHECK(1, kcl_argmin_inner(f), F(0) <= F(1) && F(0) <= F(2) ? 0 : F(1) <= F(2) ? 1 : 2);
    CHECK(1, kcl_weightedsqnorm(x_i, w_j), w[j] * (pow(x[i][0], 2) + pow(x[i][1], 2) + pow(x[i][2], 2)));
    CHECK(1, kcl_weightedsqdist(x_i, y_j, p_p), p[0] * pow(G(0), 2) + p[1] * pow(G(1), 2) + p[2] * pow(G(2), 2));
    CHECK(1, kcl_weightedsqdist(x_i, y_j, S),
          G(0) * (W[0] * G(0) + W[1] * G(1) + W[2] * G(2)) + G(1) * (W[3] * G(0) + W[4] * G(1) + W[5] * G(2)) +
              G(2) * (W[6] * G(0) + W[7] * G(1) + W[8] * G(2)));
#undef F
#undef G
    CHECK(4, kcl_one_hot(kcl_abs(kcl_elem(x_i, 0)), 4), k == round(fabs(x[i][0])));
    /* The first of equal components; NaN is not chosen; the derivative goes to the chosen one. */
    double tie[4] = {1, 2, NAN, 2}, out[4];
    kcl_expr *t = kcl_pm(s, kcl_f64(tie, 4));
    eval_ok(kcl_max_inner(t), kcl_f64(out, 1));
    ck_assert_double_eq(out[0], 2);
    eval_ok(kcl_argmax_inner(t), kcl_f64(out, 1));
    ck_assert_double_eq(out[0], 1);
    eval_ok(kcl_grad(kcl_max_inner(t), t), kcl_f64(out, 4));
    ck_assert(out[0] == 0 && out[1] == 1 && out[2] == 0 && out[3] == 0);
    double none[2] = {NAN, NAN};
    kcl_expr *u = kcl_pm(s, kcl_f64(none, 2));
    eval_ok(kcl_max_inner(u), kcl_f64(out, 1));
    eval_ok(kcl_min_inner(u), kcl_f64(out + 1, 1));
    ck_assert(isnan(out[0]) && isnan(out[1]));
    eval_ok(kcl_argmin_inner(u), kcl_f64(out, 1));
    ck_assert_double_eq(out[0], 2);
    IS_ERROR(kcl_weightedsqnorm(x_i, kcl_zero(s, 4)), KCL_ERROR_SHAPE, "kcl_weightedsqnorm", "dimension 4", "3", "9");
    IS_ERROR(kcl_one_hot(x_i, 4), KCL_ERROR_SHAPE, "kcl_one_hot", "dimension 3");
    IS_ERROR(kcl_one_hot(w_j, 0), KCL_ERROR_SHAPE, "kcl_one_hot", "dimension 0");
}
END_TEST

/* ---- Components as small tensors --------------------------------------------------------------------------------- */

static void has_shape(kcl_expr *f, int rank, const int *sizes)
{
    int shape[KCL_MAX_INNER];
    ck_assert_msg(kcl_expr_status(f) == KCL_OK, "%s", kcl_expr_error(f));
    ck_assert_int_eq(kcl_expr_inner_shape(f, shape), rank);
    for (int k = 0; k < rank; k++)
        ck_assert_int_eq(shape[k], sizes[k]);
}
#define HAS_SHAPE(f, ...) has_shape(f, (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)), (const int[]){__VA_ARGS__})
#define RESHAPE(f, ...)                                                                                                \
    kcl_reshape_inner(f, (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)), (const int[]){__VA_ARGS__})

START_TEST(test_inner_shapes)
{
    double a[M][12], b[N][12];
    for (int k = 0; k < 12; k++) {
        for (int i = 0; i < M; i++)
            a[i][k] = uniform(-1, 1);
        for (int j = 0; j < N; j++)
            b[j][k] = uniform(-1, 1);
    }
    kcl_expr *A = kcl_vi(s, kcl_f64(&a[0][0], M, 12)), *B = kcl_vj(s, kcl_f64(&b[0][0], N, 12));
    kcl_expr *A34 = RESHAPE(A, 3, 4), *B43 = RESHAPE(B, 4, 3), *A232 = RESHAPE(A, 2, 3, 2), *B62 = RESHAPE(B, 6, 2);
    HAS_SHAPE(A, 12);
    HAS_SHAPE(A34, 3, 4);
    HAS_SHAPE(RESHAPE(A34, 12), 12);
    /* Broadcasting: k is the flat component. */
    kcl_expr *column = RESHAPE(x_i, 3, 1), *row = kcl_extract(B, 0, 4);
    HAS_SHAPE(kcl_mul(column, row), 3, 4);
    CHECK(12, kcl_mul(column, row), x[i][k / 4] * b[j][k % 4]);
    CHECK(12, kcl_add(A34, row), a[i][k] + b[j][k % 4]);
    CHECK(12, kcl_add(column, RESHAPE(B, 3, 4)), x[i][k / 4] + b[j][k]);
    CHECK(12, kcl_mul(A34, w_j), a[i][k] * w[j]);
    CHECK(12, kcl_ifelse(column, A34, row), x[i][k / 4] >= 0 ? a[i][k] : b[j][k % 4]);
    CHECK(12, kcl_clamp(A34, kcl_constant(s, -0.5), row), clamped(a[i][k], -0.5, b[j][k % 4]));
    HAS_SHAPE(kcl_exp(kcl_square(kcl_pow(A34, 3))), 3, 4);
    HAS_SHAPE(kcl_reduce_sum(kcl_mul(A34, row), KCL_OVER_J), 3, 4);
    HAS_SHAPE(kcl_transpose(A34), 3, 4);
    /* Axes rearranged, sliced, summed. */
    HAS_SHAPE(kcl_transpose_inner(A34), 4, 3);
    CHECK(12, kcl_mul(kcl_transpose_inner(A34), B43), a[i][k % 3 * 4 + k / 3] * b[j][k]);
    kcl_expr *turned = kcl_permute_inner(A232, (int[]){2, 0, -2});
    HAS_SHAPE(turned, 2, 2, 3);
    CHECK(12, kcl_mul(turned, w_j), a[i][k / 3 % 2 * 6 + k % 3 * 2 + k / 6] * w[j]);
    HAS_SHAPE(kcl_slice_inner(A34, 1, 3, KCL_REST, -2), 3, 2);
    CHECK(6, kcl_mul(kcl_slice_inner(A34, 1, 3, KCL_REST, -2), w_j), a[i][k / 2 * 4 + 3 - k % 2 * 2] * w[j]);
    CHECK(4, kcl_mul(kcl_slice_inner(A34, -2, 1, 2, 1), w_j), a[i][4 + k] * w[j]);
    HAS_SHAPE(kcl_sum_inner_axis(A232, 1), 2, 2);
    CHECK(4, kcl_mul(kcl_sum_inner_axis(A232, 1), w_j),
          (a[i][k / 2 * 6 + k % 2] + a[i][k / 2 * 6 + 2 + k % 2] + a[i][k / 2 * 6 + 4 + k % 2]) * w[j]);
    CHECK(3, kcl_sum_inner_axis(kcl_mul(A34, row), -1),
          a[i][k * 4] * b[j][0] + a[i][k * 4 + 1] * b[j][1] + a[i][k * 4 + 2] * b[j][2] + a[i][k * 4 + 3] * b[j][3]);
    CHECK(1, kcl_sum_inner_axis(kcl_mul(x_i, y_j), 0), x[i][0] * y[j][0] + x[i][1] * y[j][1] + x[i][2] * y[j][2]);
    /* Products: matrices, a row, a column, and with a further axis that broadcasts. */
    HAS_SHAPE(kcl_matmul_inner(A34, B43), 3, 3);
#define DOT4(p, q) (p(0) * q(0) + p(1) * q(1) + p(2) * q(2) + p(3) * q(3))
#define ROW(m) a[i][k / 3 * 4 + (m)]
#define COLUMN(m) b[j][(m)*3 + k % 3]
    CHECK(9, kcl_matmul_inner(A34, B43), DOT4(ROW, COLUMN));
#undef ROW
#define ROW(m) a[i][k * 4 + (m)]
#define FIRST(m) b[j][m]
    HAS_SHAPE(kcl_matmul_inner(A34, row), 3);
    CHECK(3, kcl_matmul_inner(A34, row), DOT4(ROW, FIRST));
    HAS_SHAPE(kcl_matmul_inner(row, kcl_transpose_inner(A34)), 3);
    CHECK(3, kcl_matmul_inner(row, kcl_transpose_inner(A34)), DOT4(ROW, FIRST));
    CHECK(1, kcl_matmul_inner(x_i, y_j), x[i][0] * y[j][0] + x[i][1] * y[j][1] + x[i][2] * y[j][2]);
    HAS_SHAPE(kcl_matmul_inner(A232, RESHAPE(B, 1, 2, 6)), 2, 3, 6);
    CHECK(36, kcl_matmul_inner(A232, RESHAPE(B, 1, 2, 6)),
          a[i][k / 6 * 2] * b[j][k % 6] + a[i][k / 6 * 2 + 1] * b[j][6 + k % 6]);
    /* KeOps' TensorDot: axes 0 and 2 of (2,3,2) with 1 and 0 of (2,2,3), then permuted. */
    kcl_expr *dot = kcl_tensordot(A232, RESHAPE(B, 2, 2, 3), 2, (int[]){0, 2}, (int[]){1, 0});
    HAS_SHAPE(dot, 3, 3);
#define TERM(m, n) a[i][(m)*6 + k / 3 * 2 + (n)] * b[j][(n)*6 + (m)*3 + k % 3]
    CHECK(9, dot, TERM(0, 0) + TERM(0, 1) + TERM(1, 0) + TERM(1, 1));
    HAS_SHAPE(kcl_tensordot(x_i, B62, 0, NULL, NULL), 3, 6, 2);
    CHECK(36, kcl_tensordot(x_i, B62, 0, NULL, NULL), x[i][k / 12] * b[j][k % 12]);
    HAS_SHAPE(kcl_kron(RESHAPE(x_i, 3, 1), B62), 18, 2);
    CHECK(36, kcl_kron(RESHAPE(x_i, 3, 1), B62), x[i][k / 12] * b[j][k % 12]);
    CHECK(36, kcl_kron(RESHAPE(x_i, 1, 3), B62), x[i][k % 6 / 2] * b[j][k / 6 * 2 + k % 2]);
    CHECK(3, kcl_matvecmult(A, row), DOT4(ROW, FIRST));
    CHECK(4, kcl_vecmatmult(x_i, B), x[i][0] * b[j][k] + x[i][1] * b[j][4 + k] + x[i][2] * b[j][8 + k]);
    CHECK(9, kcl_tensorprod(x_i, y_j), x[i][k / 3] * y[j][k % 3]);
    /* What does not fit. */
    IS_ERROR(kcl_add(A34, B43), KCL_ERROR_SHAPE, "kcl_add", "(3, 4)", "(4, 3)", "axis -1", "size 4 and 3");
    IS_ERROR(kcl_add(A34, y_j), KCL_ERROR_SHAPE, "(3, 4)", "(3)", "size 4 and 3");
    IS_ERROR(RESHAPE(A, 5, 2), KCL_ERROR_SHAPE, "kcl_reshape_inner", "(12)", "(5, 2)");
    IS_ERROR(RESHAPE(A, -3, -4), KCL_ERROR_SHAPE, "kcl_reshape_inner", "(-3");
    IS_ERROR(kcl_reshape_inner(A, 9, (int[9]){12, 1, 1, 1, 1, 1, 1, 1, 1}), KCL_ERROR_ARGUMENT, "9 axes", "1 to 8");
    IS_ERROR(kcl_transpose_inner(A), KCL_ERROR_SHAPE, "kcl_transpose_inner", "one inner axis");
    IS_ERROR(kcl_permute_inner(A34, (int[]){0, 2}), KCL_ERROR_SHAPE, "axis 2", "(3, 4)", "-2 and 1");
    IS_ERROR(kcl_permute_inner(A34, (int[]){1, -1}), KCL_ERROR_ARGUMENT, "axis -1", "twice");
    IS_ERROR(kcl_sum_inner_axis(A34, 2), KCL_ERROR_SHAPE, "kcl_sum_inner_axis", "axis 2");
    IS_ERROR(kcl_slice_inner(A34, 0, 3, 4, 1), KCL_ERROR_SHAPE, "kcl_slice_inner", "from 3", "dimension 3");
    IS_ERROR(kcl_matmul_inner(A34, A34), KCL_ERROR_SHAPE, "kcl_matmul_inner", "(3, 4)", "size 4", "has 3");
    IS_ERROR(kcl_tensordot(A34, B43, 1, (int[]){0}, (int[]){0}), KCL_ERROR_SHAPE, "axis 0", "size 3", "has 4");
    IS_ERROR(kcl_tensordot(A34, B43, 3, NULL, NULL), KCL_ERROR_ARGUMENT, "kcl_tensordot", "3 axes", "2 and 2");
    IS_ERROR(kcl_kron(A34, A232), KCL_ERROR_SHAPE, "kcl_kron", "2 and 3 axes");
    IS_ERROR(kcl_matvecmult(A, kcl_zero(s, 5)), KCL_ERROR_SHAPE, "kcl_matvecmult", "12 components", "rows of 5");
    IS_ERROR(kcl_vecmatmult(kcl_zero(s, 5), A), KCL_ERROR_SHAPE, "kcl_vecmatmult", "12 components", "columns of 5");
    ck_assert_int_eq(kcl_expr_inner_shape(NULL, NULL), 0);
}
END_TEST

/* The gradient of a loss of matrix products, against differences of the loss by plain loops. */
static double product_loss(double a[M][6], double b[N][6])
{
    double sum = 0;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            for (int r = 0; r < 2; r++)
                for (int q = 0; q < 2; q++) {
                    double entry = 0;
                    for (int m = 0; m < 3; m++)
                        entry += a[i][r * 3 + m] * b[j][m * 2 + q];
                    sum += sin(entry) * (1 + r + 2 * q);
                }
    return sum;
}

/* Inverse and determinant by elimination, the largest pivot of a column first. */
static double eliminate(int n, const double *A, double *inverse)
{
    double a[4][8], det = 1;
    for (int r = 0; r < n; r++)
        for (int k = 0; k < 2 * n; k++)
            a[r][k] = k < n ? A[r * n + k] : k - n == r;
    for (int k = 0; k < n; k++) {
        int best = k;
        for (int r = k; r < n; r++)
            best = fabs(a[r][k]) > fabs(a[best][k]) ? r : best;
        for (int m = 0; m < 2 * n; m++) {
            double swap = a[k][m];
            a[k][m] = a[best][m];
            a[best][m] = swap;
        }
        const double pivot = a[k][k];
        det *= best == k ? pivot : -pivot;
        for (int m = 0; m < 2 * n; m++)
            a[k][m] /= pivot;
        for (int r = 0; r < n; r++) {
            const double factor = a[r][k];
            for (int m = 0; m < 2 * n && r != k; m++)
                a[r][m] -= factor * a[k][m];
        }
    }
    for (int k = 0; k < n * n; k++)
        inverse[k] = a[k / n][n + k % n];
    return det;
}

START_TEST(test_small_matrices)
{
    double a[4][M][16], det[M], trace[M], inverse[M * 16], want[16];
    for (int n = 1; n <= 4; n++) {
        double *A = a[n - 1][0];
        for (int k = 0; k < M * n * n; k++)
            A[k] = uniform(-1, 1) + (k % (n * n) % (n + 1) == 0 ? 2 : 0);
        kcl_expr *flat = kcl_vi(s, kcl_f64(A, M, n * n)), *square = kcl_reshape_inner(flat, 2, (int[]){n, n});
        eval_ok(kcl_det_inner(n % 2 ? flat : square), kcl_f64(det, M));
        eval_ok(kcl_trace_inner(n % 2 ? square : flat), kcl_f64(trace, M));
        eval_ok(kcl_inv_inner(square), kcl_f64(inverse, M, n * n));
        HAS_SHAPE(kcl_inv_inner(square), n, n);
        HAS_SHAPE(kcl_inv_inner(flat), n * n);
        for (int i = 0; i < M; i++) {
            double diagonal = 0;
            near(det[i], eliminate(n, A + i * n * n, want), "determinant");
            for (int k = 0; k < n * n; k++) {
                near(inverse[i * n * n + k], want[k], "inverse");
                diagonal += k % (n + 1) ? 0 : A[i * n * n + k];
            }
            near(trace[i], diagonal, "trace");
        }
    }
    double singular[9] = {1, 2, 3, 2, 4, 6, 0, 1, 0};
    kcl_expr *A = kcl_pm(s, kcl_f64(singular, 9));
    eval_ok(kcl_inv_inner(A), kcl_f64(inverse, 9));
    ck_assert(isinf(inverse[0]) && isnan(inverse[4]));
    double nine[25] = {0};
    nine[0] = 3, nine[12] = 4;
    eval_ok(kcl_trace_inner(kcl_pm(s, kcl_f64(nine, 25))), kcl_f64(det, 1));
    near(det[0], 7, "trace of five rows");
    IS_ERROR(kcl_det_inner(x_i), KCL_ERROR_SHAPE, "kcl_det_inner", "3 components", "1, 4, 9 or 16");
    IS_ERROR(kcl_inv_inner(kcl_pm(s, kcl_f64(nine, 25))), KCL_ERROR_SHAPE, "kcl_inv_inner", "25 components", "1 to 4");
    IS_ERROR(kcl_trace_inner(x_i), KCL_ERROR_SHAPE, "kcl_trace_inner", "3 components");
    IS_ERROR(kcl_det_inner(kcl_reshape_inner(kcl_pm(s, kcl_f64(singular, 4)), 3, (int[]){1, 2, 2})), KCL_ERROR_SHAPE,
             "kcl_det_inner", "(1, 2, 2)");
}
END_TEST

/* By the whole table. */
static double warped(const double *u, int n, const double *v, int m, double gamma)
{
    double R[8][8];
    for (int a = 0; a < n; a++) {
        for (int b = 0; b < m; b++) {
            const double cost = (u[a] - v[b]) * (u[a] - v[b]);
            if (a && b)
                R[a][b] = cost - gamma * log(exp(-R[a - 1][b - 1] / gamma) + exp(-R[a - 1][b] / gamma) +
                                             exp(-R[a][b - 1] / gamma));
            else
                R[a][b] = cost + (a ? R[a - 1][b] : b ? R[a][b - 1] : 0);
        }
    }
    return R[n - 1][m - 1];
}

START_TEST(test_warping)
{
    double z[N][5], gamma = 0.4, sums[M], gx[M][D], gz[N][5], g;
    for (int j = 0; j < N; j++)
        for (int k = 0; k < 5; k++)
            z[j][k] = uniform(-2, 2);
    kcl_expr *z_j = kcl_vj(s, kcl_f64(&z[0][0], N, 5)), *q = kcl_pm(s, kcl_f64(&gamma, 1));
    kcl_expr *f = kcl_softdtw_sqdist(x_i, z_j, q), *row = kcl_reduce_sum(f, KCL_OVER_J);
    kcl_expr *loss = kcl_reduce_sum(kcl_exp(kcl_neg(kcl_mul(kcl_constant(s, 0.1), f))), KCL_OVER_BOTH);
    kcl_expr *all[] = {row, kcl_grad(loss, x_i), kcl_grad(loss, z_j), kcl_grad(loss, q)};
    const kcl_array *outs[] = {kcl_f64(sums, M), kcl_f64(&gx[0][0], M, D), kcl_f64(&gz[0][0], N, 5), kcl_f64(&g, 1)};
    ck_assert_msg(kcl_eval(4, all, outs) == KCL_OK, "%s", kcl_context_error(c));
    for (int i = 0; i < M; i++) {
        double want = 0;
        for (int j = 0; j < N; j++)
            want += warped(x[i], D, z[j], 5, gamma);
        near(sums[i], want, "soft dynamic time warping");
    }
    /* Every number moved. */
    const double h = 1e-5;
    for (int n = 0; n < M * D + N * 5 + 1; n++) {
        double *at = n < M * D ? &x[0][0] + n : n < M * D + N * 5 ? &z[0][0] + (n - M * D) : &gamma, value[2] = {0};
        const double got = n < M * D ? (&gx[0][0])[n] : n < M * D + N * 5 ? (&gz[0][0])[n - M * D] : g, was = *at;
        for (int side = 0; side < 2; side++) {
            *at = was + (side ? h : -h);
            for (int i = 0; i < M; i++)
                for (int j = 0; j < N; j++)
                    value[side] += exp(-0.1 * warped(x[i], D, z[j], 5, gamma));
        }
        *at = was;
        ck_assert_double_eq_tol(got, (value[1] - value[0]) / (2 * h), 1e-8);
    }
    IS_ERROR(kcl_softdtw_sqdist(x_i, z_j, x_i), KCL_ERROR_SHAPE, "kcl_softdtw_sqdist", "gamma", "dimension 3");
    IS_ERROR(kcl_grad(kcl_reduce_sum(kcl_square(kcl_grad(loss, q)), KCL_OVER_J), q), KCL_ERROR_DERIVATIVE,
             "SoftDTW_SqDist", "second");
}
END_TEST

/* By the recursion, one spline at a time. */
static double spline(const double *t, int j, int degree, double at)
{
    if (degree == 0)
        return t[j] <= at && at < t[j + 1];
    const double rise = t[j + degree] - t[j], fall = t[j + degree + 1] - t[j + 1];
    return (rise > 0 ? (at - t[j]) / rise * spline(t, j, degree - 1, at) : 0) +
           (fall > 0 ? (t[j + degree + 1] - at) / fall * spline(t, j + 1, degree - 1, at) : 0);
}

START_TEST(test_splines)
{
    enum { K = 9, P = 12 };
    double knots[K] = {0, 0, 0, 1, 1.5, 1.5, 3, 3, 3},
           places[P] = {-1, 0, 1e-9, 0.3, 1, 1.4999, 1.5, 2, 2.9, 3, 4, NAN};
    double out[P * K], slope[P], second[P];
    kcl_expr *t = kcl_pm(s, kcl_f64(knots, K)), *at = kcl_vi(s, kcl_f64(places, P));
    for (int degree = 0; degree <= 4; degree++) {
        const int count = K - degree - 1;
        kcl_expr *B = kcl_bspline(t, at, degree);
        ck_assert_int_eq(kcl_expr_dim(B), count);
        eval_ok(B, kcl_f64(out, P, count));
        for (int i = 0; i < P; i++)
            for (int j = 0; j < count && !isnan(places[i]); j++)
                near(out[i * count + j], spline(knots, j, degree, places[i]), "spline");
        if (degree == 0)
            continue;
        /* By differences between knots. */
        kcl_expr *first = kcl_vjp(kcl_sum_inner(kcl_square(B)), at, kcl_constant(s, 1));
        kcl_expr *of_first = kcl_vjp(first, at, kcl_constant(s, 1));
        ck_assert_msg(kcl_eval(2, (kcl_expr *[]){first, of_first},
                               (const kcl_array *const[]){kcl_f64(slope, P), kcl_f64(second, P)}) == KCL_OK,
                      "%s", kcl_context_error(c));
        for (int i = 0; i < P - 1; i++) {
            const double h = 1e-4;
            double value[3] = {0};
            bool inside = true;
            for (int k = 0; k < K; k++)
                inside = inside && fabs(places[i] - knots[k]) > 2 * h;
            for (int n = 0; n < 3; n++)
                for (int j = 0; j < count; j++)
                    value[n] += pow(spline(knots, j, degree, places[i] + (n - 1) * h), 2);
            if (!inside)
                continue;
            ck_assert_double_eq_tol(slope[i], (value[2] - value[0]) / (2 * h), 1e-5);
            ck_assert_double_eq_tol(second[i], (value[2] - 2 * value[1] + value[0]) / (h * h), 1e-4);
        }
    }
    IS_ERROR(kcl_bspline(t, at, 8), KCL_ERROR_SHAPE, "kcl_bspline", "9 knots", "degree 8");
    IS_ERROR(kcl_bspline(t, at, -1), KCL_ERROR_SHAPE, "degree -1");
    IS_ERROR(kcl_bspline(t, x_i, 1), KCL_ERROR_SHAPE, "kcl_bspline", "dimension 3");
}
END_TEST

START_TEST(test_gradients_of_inner_products)
{
    const double h = 1e-4;
    double a[M][6], b[N][6], ga[M][6], gb[N][6], weights[4] = {1, 3, 2, 4};
    for (int k = 0; k < 6; k++) {
        for (int i = 0; i < M; i++)
            a[i][k] = uniform(-1, 1);
        for (int j = 0; j < N; j++)
            b[j][k] = uniform(-1, 1);
    }
    kcl_expr *A = kcl_vi(s, kcl_f64(&a[0][0], M, 6)), *B = kcl_vj(s, kcl_f64(&b[0][0], N, 6));
    kcl_expr *product = kcl_sin(kcl_matmul_inner(RESHAPE(A, 2, 3), RESHAPE(B, 3, 2)));
    kcl_expr *W = RESHAPE(kcl_pm(s, kcl_f64(weights, 4)), 2, 2);
    kcl_expr *L = kcl_reduce_sum(kcl_sum_inner(kcl_mul(product, W)), KCL_OVER_BOTH);
    eval_ok(kcl_grad(L, A), kcl_f64(&ga[0][0], M, 6));
    eval_ok(kcl_grad(L, B), kcl_f64(&gb[0][0], N, 6));
    for (int n = 0; n < M * 6 + N * 6; n++) {
        double *at = n < M * 6 ? &a[0][0] + n : &b[0][0] + (n - M * 6), was = *at;
        double got = n < M * 6 ? (&ga[0][0])[n] : (&gb[0][0])[n - M * 6];
        *at = was + h;
        double above = product_loss(a, b);
        *at = was - h;
        double want = (above - product_loss(a, b)) / (2 * h);
        *at = was;
        ck_assert_msg(fabs(got - want) <= 1e-6 * (1 + fabs(want)), "%d: %.12g, by differences %.12g", n, got, want);
    }
}
END_TEST

/* ---- Complex numbers --------------------------------------------------------------------------------------------- */

/* Those of x, y: 1 and 2 as a pair of each; K is component k of the pair (re, im). */
#define PAIR(re, im) (k ? (im) : (re))

START_TEST(test_complex_numbers)
{
    kcl_expr *z = kcl_slice(x_i, 1, 3, 1), *u = kcl_slice(y_j, 0, 2, 1), *two = kcl_concat(x_i, w_j);
#define ZR x[i][1]
#define ZI x[i][2]
#define UR y[j][0]
#define UI y[j][1]
    CHECK(6, kcl_real2complex(x_i), k % 2 ? 0 : x[i][k / 2]);
    CHECK(6, kcl_imag2complex(y_j), k % 2 ? y[j][k / 2] : 0);
    CHECK(6, kcl_exp1j(x_i), k % 2 ? sin(x[i][k / 2]) : cos(x[i][k / 2]));
    CHECK(1, kcl_real(z), ZR);
    CHECK(1, kcl_imag(z), ZI);
    CHECK(2, kcl_imag(two), k ? w[j] : x[i][1]);
    CHECK(2, kcl_conj(z), PAIR(ZR, -ZI));
    CHECK(1, kcl_complex_abs(u), hypot(UR, UI));
    CHECK(1, kcl_complex_square_abs(u), UR * UR + UI * UI);
    CHECK(1, kcl_complex_arg(u), atan2(UI, UR));
    CHECK(2, kcl_complex_add(z, u), PAIR(ZR + UR, ZI + UI));
    CHECK(2, kcl_complex_sub(z, u), PAIR(ZR - UR, ZI - UI));
    CHECK(2, kcl_complex_mul(z, u), PAIR(ZR * UR - ZI * UI, ZR * UI + ZI * UR));
    CHECK(4, kcl_complex_sub(two, kcl_conj(u)),
          (k < 3 ? x[i][k] : w[j]) - (k % 2 ? -UI : UR)); /* one number is repeated */
    CHECK(2, kcl_complex_div(z, u), PAIR(ZR * UR + ZI * UI, ZI * UR - ZR * UI) / (UR * UR + UI * UI));
    CHECK(2, kcl_complex_scale(w_j, z), w[j] * PAIR(ZR, ZI));
    CHECK(2, kcl_complex_exp(z), exp(ZR) * PAIR(cos(ZI), sin(ZI)));
    CHECK(2, kcl_complex_sum(two), PAIR(x[i][0] + x[i][2], x[i][1] + w[j]));
    CHECK(6, kcl_complex_repeat(z, 3), k % 2 ? ZI : ZR);
    ck_assert_int_eq(kcl_expr_dim(kcl_reduce_sum(kcl_complex_mul(z, u), KCL_OVER_J)), 2);
    is_error(kcl_complex_mul(x_i, u), KCL_ERROR_SHAPE, (const char *[]){"kcl_complex_mul", "dimension 3", "odd", NULL});
    is_error(kcl_complex_add(two, kcl_concat(y_j, x_i)), KCL_ERROR_SHAPE,
             (const char *[]){"kcl_complex_add", "4 and 6", NULL});
    is_error(kcl_complex_scale(x_i, two), KCL_ERROR_SHAPE, (const char *[]){"kcl_complex_scale", "3 and 4", NULL});
    is_error(kcl_complex_repeat(z, 0), KCL_ERROR_SHAPE, (const char *[]){"kcl_complex_repeat", "dimension 0", NULL});
    is_error(kcl_complex_mul(NULL, u), KCL_ERROR_ARGUMENT, (const char *[]){"NULL", NULL});
#undef ZR
#undef ZI
#undef UR
#undef UI
}
END_TEST

/* ---- Products with vectors --------------------------------------------------------------------------------------- */

static double kernel(int i, int j)
{
    double sum = 0;
    for (int k = 0; k < D; k++)
        sum += (x[i][k] - y[j][k]) * (x[i][k] - y[j][k]);
    return exp(-sum);
}

START_TEST(test_products_with_vectors)
{
    enum { COLUMNS = 7 };
    double v[N][COLUMNS], u[M], out[M][COLUMNS], row[M], column[N], transposed[N][D];
    for (int j = 0; j < N; j++)
        for (int k = 0; k < COLUMNS; k++)
            v[j][k] = uniform(-1, 1);
    for (int i = 0; i < M; i++)
        u[i] = uniform(-1, 1);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j))), *u_i = kcl_vi(s, kcl_f64(u, M));
    eval_ok(kcl_matmul(K, kcl_vj(s, kcl_f64(&v[0][0], N, COLUMNS))), kcl_f64(&out[0][0], M, COLUMNS));
    eval_ok(kcl_matvec(K, w_j), kcl_f64(row, M));
    eval_ok(kcl_rmatvec(K, u_i), kcl_f64(column, N));
    for (int i = 0; i < M; i++) {
        double sums[COLUMNS] = {0}, sum = 0;
        for (int j = 0; j < N; j++) {
            sum += kernel(i, j) * w[j];
            for (int k = 0; k < COLUMNS; k++)
                sums[k] += kernel(i, j) * v[j][k];
        }
        near(row[i], sum, "matvec");
        for (int k = 0; k < COLUMNS; k++)
            near(out[i][k], sums[k], "matmul");
    }
    /* K^T x: the rows of the product are those of y, its terms those of x. */
    eval_ok(kcl_matmul(kcl_transpose(K), kcl_transpose(x_i)), kcl_f64(&transposed[0][0], N, D));
    for (int j = 0; j < N; j++) {
        double sums[D] = {0}, sum = 0;
        for (int i = 0; i < M; i++) {
            sum += kernel(i, j) * u[i];
            for (int k = 0; k < D; k++)
                sums[k] += kernel(i, j) * x[i][k];
        }
        near(column[j], sum, "rmatvec");
        for (int k = 0; k < D; k++)
            near(transposed[j][k], sums[k], "transposed matmul");
    }
    IS_ERROR(kcl_matmul(kcl_sub(x_i, y_j), w_j), KCL_ERROR_SHAPE, "kcl_matmul", "dimension 3", "must be 1");
    IS_ERROR(kcl_matmul(K, u_i), KCL_ERROR_SHAPE, "kcl_matmul", "axis i", "over j", "kcl_vj");
    IS_ERROR(kcl_matvec(K, y_j), KCL_ERROR_SHAPE, "kcl_matvec", "dimension 3", "kcl_matmul");
    IS_ERROR(kcl_rmatvec(K, w_j), KCL_ERROR_SHAPE, "kcl_rmatvec", "axis j", "over i", "kcl_vi");
    kcl_scope *other = kcl_scope_create(c);
    IS_ERROR(kcl_matmul(K, kcl_vj(other, kcl_f64(w, N))), KCL_ERROR_ARGUMENT, "another scope");
    kcl_scope_destroy(&other);
}
END_TEST

/* ---- Symbolic variables ------------------------------------------------------------------------------------------ */

START_TEST(test_symbolic_variables)
{
    kcl_expr *u = kcl_var(s, 0, D, KCL_ROLE_I), *v = kcl_var(s, 1, D, KCL_ROLE_J), *b = kcl_var(s, 2, 1, KCL_ROLE_J);
    kcl_expr *g = kcl_var(s, 7, 1, KCL_ROLE_PARAMETER);
    ck_assert_ptr_eq(kcl_var(s, 1, D, KCL_ROLE_J), v);
    ck_assert_int_eq(kcl_expr_axes(u), KCL_OVER_I);
    ck_assert_int_eq(kcl_expr_dim(u), D);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_mul(g, kcl_sqdist(u, v))));
    kcl_expr *both[] = {kcl_matmul(K, b), kcl_vjp(kcl_matmul(K, b), g, kcl_constant(s, 1))};
    kcl_expr *vars[] = {g, v, u, b}; /* in any order */
    kcl_operator *op = NULL;
    ck_assert_msg(kcl_operator_from(&op, 2, both, 4, vars, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    for (int round = 0; round < 2; round++) {
        double gamma = 0.5 + round, sums[M], slope = 0;
        ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(sums, M), kcl_f64(&slope, 1)}, 2,
                                         (const kcl_array *[]){kcl_f64(&gamma, 1), kcl_f64(&y[0][0], N, D),
                                                               kcl_f64(&x[0][0], M, D), kcl_f64(w, N)},
                                         4) == KCL_OK,
                      "%s", kcl_context_error(c));
        double derivative = 0;
        for (int i = 0; i < M; i++) {
            double sum = 0;
            for (int j = 0; j < N; j++) {
                sum += pow(kernel(i, j), gamma) * w[j];
                derivative += log(kernel(i, j)) * pow(kernel(i, j), gamma) * w[j];
            }
            near(sums[i], sum, "applied");
        }
        near(slope, derivative, "slope");
    }
    kcl_operator_destroy(&op);
    /* Evaluated without arrays, or left out of the list. */
    double out[M];
    ck_assert_int_eq(kcl_eval1(both[0], kcl_f64(out, M)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "(kcl_var)", "no array", "kcl_operator_from");
    ck_assert_int_eq(kcl_eval1(kcl_square(g), kcl_f64(out, 1)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "variable 7 (kcl_var)");
    ck_assert_int_eq(kcl_operator_from(&op, 1, both, 3, (kcl_expr *[]){g, v, u}, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(op), "variable 2 (kcl_var)", "not in the list");
    kcl_operator_destroy(&op);
    static collected text;
    text.length = 0;
    ck_assert_int_eq(kcl_expr_print(kcl_mul(g, b), collect, &text), KCL_OK);
    ck_assert_str_eq(text.text, "v7*v2");
    /* One number has one dimension and role. */
    IS_ERROR(kcl_var(s, 1, 2, KCL_ROLE_J), KCL_ERROR_SHAPE, "variable 1", "dimension 3", "dimension 2", "role j");
    IS_ERROR(kcl_var(s, 1, D, KCL_ROLE_I), KCL_ERROR_SHAPE, "role j", "role i");
    IS_ERROR(kcl_var(s, -1, D, KCL_ROLE_I), KCL_ERROR_ARGUMENT, "index -1");
    IS_ERROR(kcl_var(s, 3, 0, KCL_ROLE_I), KCL_ERROR_ARGUMENT, "dimension 0");
    IS_ERROR(kcl_var(s, 3, 1, (kcl_role)3), KCL_ERROR_ARGUMENT, "role 3");
    ck_assert_int_eq(kcl_expr_status(kcl_var(NULL, 0, 1, KCL_ROLE_I)), KCL_ERROR_ARGUMENT);
}
END_TEST

/* ---- Derivatives in a direction ---------------------------------------------------------------------------------- */

/* A loss through two reductions, by plain loops: x moves by its gradient flow, the result is compared with targets. */
static double loss(double t, double px[M][D], double py[N][D], double gamma)
{
    double u[M][D], sum = 0;
    for (int i = 0; i < M; i++) {
        memcpy(u[i], px[i], sizeof u[i]);
        for (int j = 0; j < N; j++) {
            double distance = 0;
            for (int k = 0; k < D; k++)
                distance += (px[i][k] - py[j][k]) * (px[i][k] - py[j][k]);
            for (int k = 0; k < D; k++)
                u[i][k] += exp(-gamma * distance) * w[j] * py[j][k];
        }
    }
    for (int j = 0; j < N; j++) {
        double terms = 0;
        for (int i = 0; i < M; i++) {
            double distance = 0;
            for (int k = 0; k < D; k++)
                distance += (u[i][k] - py[j][k]) * (u[i][k] - py[j][k]);
            terms += exp(-distance);
        }
        sum += (log(terms) - t) * (log(terms) - t);
    }
    return sum;
}

static kcl_expr *lazy_loss(double t, kcl_expr *gamma)
{
    kcl_expr *K = kcl_exp(kcl_neg(kcl_mul(gamma, kcl_sqdist(x_i, y_j))));
    kcl_expr *u = kcl_add(x_i, kcl_matmul(K, kcl_mul(w_j, y_j)));
    kcl_expr *v = kcl_reduce_logsumexp(kcl_neg(kcl_sqdist(u, y_j)), KCL_OVER_I);
    return kcl_reduce_sum(kcl_square(kcl_sub(v, kcl_constant(s, t))), KCL_OVER_J);
}

/* The loss after a step along a direction of x, y and gamma; negative steps go back. */
static double loss_along(double step, double dx[M][D], double dy[N][D], double dg)
{
    double px[M][D], py[N][D];
    for (int k = 0; k < D; k++) {
        for (int i = 0; i < M; i++)
            px[i][k] = x[i][k] + step * dx[i][k];
        for (int j = 0; j < N; j++)
            py[j][k] = y[j][k] + step * dy[j][k];
    }
    return loss(0.3, px, py, 0.4 + step * dg);
}

START_TEST(test_directional_derivatives_across_reductions)
{
    const double h = 1e-3;
    double dx[M][D], dy[N][D], dg[1] = {0.7}, none[1] = {0}, out[3], gamma_value[1] = {0.4};
    double no_x[M][D] = {{0}}, no_y[N][D] = {{0}};
    for (int k = 0; k < D; k++) {
        for (int i = 0; i < M; i++)
            dx[i][k] = uniform(-1, 1);
        for (int j = 0; j < N; j++)
            dy[j][k] = uniform(-1, 1);
    }
    kcl_expr *gamma = kcl_pm(s, kcl_f64(gamma_value, 1)), *L = lazy_loss(0.3, gamma);
    kcl_expr *vars[] = {x_i, y_j, gamma};
    kcl_expr *directions[] = {kcl_vi(s, kcl_f64(&dx[0][0], M, D)), kcl_vj(s, kcl_f64(&dy[0][0], N, D)),
                              kcl_pm(s, kcl_f64(dg, 1))};
    for (int n = 0; n < 3; n++) {
        double(*ax)[D] = n == 0 ? dx : no_x, (*ay)[D] = n == 1 ? dy : no_y, ag = n == 2 ? dg[0] : none[0];
        kcl_expr *first = kcl_jvp(L, vars[n], directions[n]), *second = kcl_jvp(first, vars[n], directions[n]);
        kcl_expr *third = kcl_jvp(second, vars[n], directions[n]);
        ck_assert_msg(kcl_eval(3, (kcl_expr *[]){first, second, third},
                               (const kcl_array *[]){kcl_f64(out, 1), kcl_f64(out + 1, 1), kcl_f64(out + 2, 1)}) ==
                          KCL_OK,
                      "%s", kcl_context_error(c));
        double at[7];
        for (int k = -3; k <= 3; k++)
            at[k + 3] = loss_along(k * h, ax, ay, ag);
        double one = (at[6] - 9 * at[5] + 45 * at[4] - 45 * at[2] + 9 * at[1] - at[0]) / (60 * h);
        double two =
            (2 * at[6] - 27 * at[5] + 270 * at[4] - 490 * at[3] + 270 * at[2] - 27 * at[1] + 2 * at[0]) / (180 * h * h);
        double three = (-at[6] + 8 * at[5] - 13 * at[4] + 13 * at[2] - 8 * at[1] + at[0]) / (8 * h * h * h);
        ck_assert_msg(fabs(out[0] - one) <= 1e-8 * (1 + fabs(one)), "%d: %.12g, by differences %.12g", n, out[0], one);
        ck_assert_msg(fabs(out[1] - two) <= 1e-6 * (1 + fabs(two)), "%d: %.12g, by differences %.12g", n, out[1], two);
        ck_assert_msg(fabs(out[2] - three) <= 1e-3 * (1 + fabs(three)), "%d: %.12g, by differences %.12g", n, out[2],
                      three);
        /* The gradient's product with the direction is the same number. */
        eval_ok(kcl_reduce_sum(kcl_dot(kcl_grad(L, vars[n]), directions[n]), n == 0   ? KCL_OVER_I
                                                                             : n == 1 ? KCL_OVER_J
                                                                                      : KCL_OVER_BOTH),
                kcl_f64(&out[1], 1));
        near(out[1], out[0], "gradient and direction");
    }
}
END_TEST

START_TEST(test_hessians_are_symmetric)
{
    double gamma_value[1] = {0.4}, dx[M][D], ex[M][D], dy[N][D], a = 0, b = 0;
    for (int k = 0; k < D; k++) {
        for (int i = 0; i < M; i++) {
            dx[i][k] = uniform(-1, 1);
            ex[i][k] = uniform(-1, 1);
        }
        for (int j = 0; j < N; j++)
            dy[j][k] = uniform(-1, 1);
    }
    kcl_expr *L = lazy_loss(0.3, kcl_pm(s, kcl_f64(gamma_value, 1)));
    kcl_expr *d = kcl_vi(s, kcl_f64(&dx[0][0], M, D)), *e = kcl_vi(s, kcl_f64(&ex[0][0], M, D));
    kcl_expr *f = kcl_vj(s, kcl_f64(&dy[0][0], N, D));
    ck_assert_int_eq(kcl_expr_axes(kcl_hvp(L, x_i, d)), KCL_OVER_I);
    ck_assert_int_eq(kcl_expr_dim(kcl_hvp(L, x_i, d)), D);
    eval_ok(kcl_reduce_sum(kcl_dot(kcl_hvp(L, x_i, d), e), KCL_OVER_I), kcl_f64(&a, 1));
    eval_ok(kcl_reduce_sum(kcl_dot(kcl_hvp(L, x_i, e), d), KCL_OVER_I), kcl_f64(&b, 1));
    near(a, b, "<e, H d> = <d, H e>");
    ck_assert(fabs(a) > 1e-3);
    /* Between x and y, forward over reverse both ways, and reverse over reverse. */
    eval_ok(kcl_reduce_sum(kcl_dot(kcl_jvp(kcl_grad(L, x_i), y_j, f), d), KCL_OVER_I), kcl_f64(&a, 1));
    eval_ok(kcl_reduce_sum(kcl_dot(kcl_jvp(kcl_grad(L, y_j), x_i, d), f), KCL_OVER_J), kcl_f64(&b, 1));
    near(a, b, "<d, H f> = <f, H d>");
    eval_ok(kcl_reduce_sum(kcl_dot(kcl_vjp(kcl_grad(L, x_i), y_j, d), f), KCL_OVER_J), kcl_f64(&b, 1));
    near(a, b, "forward and reverse");
}
END_TEST

START_TEST(test_derivatives_of_what_does_not_depend)
{
    double out[M][D], number = 7, one[D] = {1, 1, 1};
    kcl_expr *f = kcl_reduce_sum(kcl_mul(x_i, y_j), KCL_OVER_J), *L = kcl_reduce_sum(kcl_sqnorm2(x_i), KCL_OVER_I);
    kcl_expr *moved = kcl_jvp(f, p_p, kcl_pm(s, kcl_f64(one, D)));
    ck_assert_int_eq(kcl_expr_axes(moved), KCL_OVER_I);
    ck_assert_int_eq(kcl_expr_dim(moved), D);
    eval_ok(moved, kcl_f64(&out[0][0], M, D));
    for (int k = 0; k < M * D; k++)
        ck_assert_double_eq((&out[0][0])[k], 0);
    ck_assert_int_eq(kcl_expr_axes(kcl_grad(L, y_j)), KCL_OVER_J);
    eval_ok(kcl_grad(L, y_j), kcl_f64(&out[0][0], N, D));
    for (int k = 0; k < N * D; k++)
        ck_assert_double_eq((&out[0][0])[k], 0);
    eval_ok(kcl_grad(L, p_p), kcl_f64(&out[0][0], D));
    ck_assert(out[0][0] == 0 && out[0][2] == 0);
    eval_ok(kcl_hvp(L, y_j, y_j), kcl_f64(&out[0][0], N, D));
    ck_assert(out[0][0] == 0 && out[N - 1][2] == 0);
    /* An index inside a formula is a constant. */
    kcl_expr *index = kcl_reduce_argmin(kcl_sqdist(x_i, y_j), KCL_OVER_J);
    eval_ok(kcl_jvp(kcl_reduce_sum(kcl_mul(index, kcl_elem(x_i, 0)), KCL_OVER_I), x_i, kcl_constant(s, 0)),
            kcl_f64(&number, 1));
    ck_assert_double_eq(number, 0);
    IS_ERROR(kcl_jvp(index, x_i, x_i), KCL_ERROR_DERIVATIVE, "ArgMin_Reduction", "whole number", "no derivative");
    IS_ERROR(kcl_jvp(f, kcl_zero(s, 3), x_i), KCL_ERROR_ARGUMENT, "kcl_jvp", "no variable", "kcl_var");
    IS_ERROR(kcl_jvp(f, x_i, y_j), KCL_ERROR_SHAPE, "direction has an axis (j)", "lacks");
    IS_ERROR(kcl_jvp(f, x_i, kcl_zero(s, 2)), KCL_ERROR_SHAPE, "dimension 3", "direction has 2");
    IS_ERROR(kcl_hvp(f, x_i, x_i), KCL_ERROR_SHAPE, "kcl_hvp", "no single number", "dimension 3", "each i");
    IS_ERROR(kcl_grad(kcl_sqdist(x_i, y_j), x_i), KCL_ERROR_SHAPE, "each i", "each j");
}
END_TEST

/* ---- Handles that are gone --------------------------------------------------------------------------------------- */

static void is_gone(kcl_expr *e)
{
    ck_assert_int_eq(kcl_expr_status(e), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(e), "scope", "reset or destroyed", "build it again");
}

START_TEST(test_expressions_of_scopes_that_are_gone)
{
    double out[M * D];
    kcl_data *data = kcl_data_create(s, kcl_f64(w, N));
    kcl_expr *old_x = x_i, *old_y = y_j, *sum = kcl_reduce_sum(kcl_mul(x_i, y_j), KCL_OVER_J);
    kcl_scope_reset(s);
    kcl_expr *fresh = kcl_vi(s, kcl_f64(&x[0][0], M, D));
    is_gone(kcl_add(fresh, old_y));
    is_gone(kcl_add(old_x, fresh));
    is_gone(kcl_grad(fresh, old_x));
    is_gone(kcl_vj_data(s, data));
    is_gone(kcl_formula(s, "x*y", 2, (const char *const[]){"x", "y"}, (kcl_expr *[]){fresh, old_y}));
    ck_assert_int_eq(kcl_eval1(sum, kcl_f64(out, M, D)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "reset or destroyed");
    kcl_operator *op = NULL;
    ck_assert_int_eq(kcl_operator_from(&op, 1, &sum, 2, (kcl_expr *[]){old_x, old_y}, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(op), "reset or destroyed");
    kcl_operator_destroy(&op);
    eval_ok(kcl_square(fresh), kcl_f64(out, M, D));
    near(out[0], x[0][0] * x[0][0], "after the reset");
    kcl_scope *other = kcl_scope_create(c);
    kcl_expr *theirs = kcl_vi(other, kcl_f64(&x[0][0], M, D));
    kcl_scope_destroy(&other);
    is_gone(kcl_exp(theirs));
    ck_assert_int_eq(kcl_eval1(theirs, kcl_f64(out, M, D)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "reset or destroyed");
}
END_TEST

/* ---- Reductions that are made of others -------------------------------------------------------------------------- */

static kcl_operator *operator_of(const char *formula, int count, const char *const *aliases)
{
    kcl_operator *op;
    ck_assert_msg(kcl_operator_create(&op, formula, count, aliases, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    return op;
}

/* exp(f - m) w, with 1 for the largest. */
static double shifted(double f, double m)
{
    return f == m ? 1 : exp(f - m);
}

START_TEST(test_largest_and_sum_of_exponentials)
{
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "w=Vj(1)"};
    kcl_operator *op = operator_of("Max_SumShiftExp_Reduction(x|y,0); Max_SumShiftExpWeight_Reduction(x|y,y*w,1);"
                                   "Max_SumShiftExp_Reduction(w-Elem(x,0),2); Zero_Reduction(2,0); Zero_Reduction(3,2)",
                                   3, aliases);
    double plain[M][2], weighted[N][4], both[2], zeros[M][2], zero[3];
    memset(zeros, 1, sizeof zeros);
    memset(zero, 1, sizeof zero);
    const kcl_array *outs[] = {kcl_f64(&plain[0][0], M, 2), kcl_f64(&weighted[0][0], N, 4), kcl_f64(both, 2),
                               kcl_f64(&zeros[0][0], M, 2), kcl_f64(zero, 3)};
    const kcl_array *args[] = {kcl_f64(&x[0][0], M, D), kcl_f64(&y[0][0], N, D), kcl_f64(w, N)};
    ck_assert_msg(kcl_operator_apply(op, c, outs, 5, args, 3) == KCL_OK, "%s", kcl_context_error(c));
    double f[M][N], largest = -INFINITY, sum = 0;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            f[i][j] = x[i][0] * y[j][0] + x[i][1] * y[j][1] + x[i][2] * y[j][2];
    for (int i = 0; i < M; i++) {
        double m = -INFINITY, s = 0;
        for (int j = 0; j < N; j++)
            m = fmax(m, f[i][j]), largest = fmax(largest, w[j] - x[i][0]);
        for (int j = 0; j < N; j++)
            s += shifted(f[i][j], m);
        near(plain[i][0], m, "largest");
        near(plain[i][1], s, "sum of exponentials");
        ck_assert(zeros[i][0] == 0 && zeros[i][1] == 0);
    }
    for (int j = 0; j < N; j++) {
        double m = -INFINITY, s[D] = {0};
        for (int i = 0; i < M; i++)
            m = fmax(m, f[i][j]);
        for (int i = 0; i < M; i++)
            for (int k = 0; k < D; k++)
                s[k] += shifted(f[i][j], m) * y[j][k] * w[j];
        near(weighted[j][0], m, "largest");
        for (int k = 0; k < D; k++)
            near(weighted[j][1 + k], s[k], "weighted sum of exponentials");
    }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            sum += shifted(w[j] - x[i][0], largest);
    near(both[0], largest, "largest");
    near(both[1], sum, "sum of exponentials");
    ck_assert(zero[0] == 0 && zero[1] == 0 && zero[2] == 0);
    kcl_operator_destroy(&op);
}
END_TEST

/* KeOps has NaN for two infinities. A term of -infinity adds 0, so all such terms and no terms give the same. */
START_TEST(test_largest_and_sum_of_infinite_exponents)
{
    static const struct {
        int count;
        double f[4], m, s;
    } cases[] = {
        {3, {-INFINITY, -INFINITY, -INFINITY}, -INFINITY, 0}, {3, {INFINITY, 1, INFINITY}, INFINITY, 2},
        {3, {-INFINITY, 2, -INFINITY}, 2, 1},                 {2, {1e308, 1e308}, 1e308, 2},
        {0, {0}, -INFINITY, 0},                               {2, {1, NAN}, 1, NAN},
    };
    const char *const aliases[] = {"f=Vj(1)"};
    kcl_operator *op = operator_of("Max_SumShiftExp_Reduction(f,2)", 1, aliases);
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        double got[2];
        const kcl_array *outs[] = {kcl_f64(got, 2)}, *args[] = {kcl_f64(cases[k].f, cases[k].count, 1)};
        ck_assert_msg(kcl_operator_apply(op, c, outs, 1, args, 1) == KCL_OK, "%s", kcl_context_error(c));
        ck_assert_msg(got[0] == cases[k].m, "case %zu: %g", k, got[0]);
        ck_assert_msg(got[1] == cases[k].s || (isnan(got[1]) && isnan(cases[k].s)), "case %zu: %g", k, got[1]);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* The derivatives of m and s themselves, which KeOps does not have; and m + log(s) has those of LogSumExp. */
START_TEST(test_derivatives_of_largest_and_sum_of_exponentials)
{
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "e=Vi(2)"};
    const double h = 1e-5;
    double e[M][2], got[M][D], value[2][M][2];
    kcl_operator *op = operator_of("Max_SumShiftExp_Reduction(x|y,0)", 2, aliases);
    kcl_operator *grad = operator_of("Grad(Max_SumShiftExp_Reduction(x|y,0),x,e)", 3, aliases);
    for (int i = 0; i < M; i++)
        for (int k = 0; k < 2; k++)
            e[i][k] = uniform(0.5, 1.5);
    const kcl_array *args[] = {kcl_f64(&x[0][0], M, D), kcl_f64(&y[0][0], N, D), kcl_f64(&e[0][0], M, 2)};
    ck_assert_msg(kcl_operator_apply(grad, c, (const kcl_array *[]){kcl_f64(&got[0][0], M, D)}, 1, args, 3) == KCL_OK,
                  "%s", kcl_context_error(c));
    for (int i = 0; i < M; i++)
        for (int k = 0; k < D; k++) {
            const double was = x[i][k];
            for (int side = 0; side < 2; side++) {
                x[i][k] = was + (side ? h : -h);
                ck_assert_int_eq(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(&value[side][0][0], M, 2)}, 1,
                                                    args, 2),
                                 KCL_OK);
            }
            x[i][k] = was;
            double want = 0;
            for (int n = 0; n < 2; n++)
                want += e[i][n] * (value[1][i][n] - value[0][i][n]) / (2 * h);
            ck_assert_msg(fabs(got[i][k] - want) <= 1e-8 * (1 + fabs(want)), "%.12g, by differences %.12g", got[i][k],
                          want);
        }
    kcl_operator_destroy(&op);
    kcl_operator_destroy(&grad);
}
END_TEST

/* ---- Matrices of derivatives ------------------------------------------------------------------------------------- */

START_TEST(test_matrices_of_derivatives)
{
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j)));
#define DIFFERENCE(k) (x[i][k] - y[j][k])
    CHECK(9, kcl_grad_matrix(kcl_mul(x_i, kcl_sum_inner(kcl_mul(x_i, y_j))), x_i),
          x[i][k / 3] * y[j][k % 3] +
              (k / 3 == k % 3 ? x[i][0] * y[j][0] + x[i][1] * y[j][1] + x[i][2] * y[j][2] : 0));
    CHECK(3, kcl_grad_matrix(K, y_j), 2 * DIFFERENCE(k) * kernel(i, j));
    CHECK(2 * 3, kcl_grad_matrix(kcl_concat(kcl_elem(x_i, 2), w_j), x_i), k == 2);
    CHECK(2, kcl_grad_matrix(kcl_concat(K, kcl_mul(w_j, w_j)), w_j), k * 2 * w[j]);
    CHECK(1, kcl_divergence(kcl_mul(K, x_i), x_i),
          (3 - 2 * (DIFFERENCE(0) * x[i][0] + DIFFERENCE(1) * x[i][1] + DIFFERENCE(2) * x[i][2])) * kernel(i, j));
    CHECK(1, kcl_divergence(y_j, x_i), 0);
    CHECK(1, kcl_laplacian(K, y_j), (-4 * log(kernel(i, j)) - 6) * kernel(i, j));
    CHECK(1, kcl_laplacian(kcl_sqnorm2(kcl_mul(p_p, w_j)), p_p), 6 * w[j] * w[j]);
    CHECK(1, kcl_trace_operator(kcl_mul(x_i, y_j), x_i), y[j][0] + y[j][1] + y[j][2]);
    /* Through a sum over j, row by row. */
    double field[M], sums[M], second[M];
    eval_ok(kcl_divergence(kcl_reduce_sum(kcl_mul(K, y_j), KCL_OVER_J), x_i), kcl_f64(field, M));
    eval_ok(kcl_laplacian(kcl_reduce_logsumexp(kcl_dot(x_i, y_j), KCL_OVER_J), x_i), kcl_f64(second, M));
    eval_ok(kcl_trace_operator(kcl_reduce_sum(kcl_mul(x_i, y_j), KCL_OVER_J), x_i), kcl_f64(sums, M));
    for (int i = 0; i < M; i++) {
        double divergence = 0, trace = 0, total = 0, mean[D] = {0}, square = 0;
        for (int j = 0; j < N; j++) {
            const double share = exp(x[i][0] * y[j][0] + x[i][1] * y[j][1] + x[i][2] * y[j][2]);
            total += share;
            for (int k = 0; k < D; k++) {
                divergence -= 2 * DIFFERENCE(k) * kernel(i, j) * y[j][k];
                trace += y[j][k];
                mean[k] += share * y[j][k];
                square += share * y[j][k] * y[j][k];
            }
        }
        near(field[i], divergence, "divergence of a sum");
        near(sums[i], trace, "trace of a sum");
        near(second[i], square / total - (mean[0] * mean[0] + mean[1] * mean[1] + mean[2] * mean[2]) / (total * total),
             "Laplacian of a logarithm of a sum");
    }
#undef DIFFERENCE
    is_error(kcl_divergence(kcl_reduce_sum(kcl_mul(K, x_i), KCL_OVER_I), x_i), KCL_ERROR_DERIVATIVE,
             (const char *[]){"kcl_divergence", "Sum_Reduction", "mixes the rows of the variable", NULL});
    is_error(kcl_divergence(K, x_i), KCL_ERROR_SHAPE, (const char *[]){"kcl_divergence", "dimension 1", "has 3", NULL});
    is_error(kcl_grad_matrix(K, K), KCL_ERROR_SHAPE, (const char *[]){"kcl_grad_matrix", "no variable", NULL});
    is_error(kcl_laplacian(x_i, x_i), KCL_ERROR_SHAPE, (const char *[]){"kcl_laplacian", "dimension 3", NULL});
    is_error(kcl_trace_operator(kcl_square(x_i), x_i), KCL_ERROR_DERIVATIVE, (const char *[]){"not linear", NULL});
    is_error(kcl_laplacian(NULL, x_i), KCL_ERROR_ARGUMENT, (const char *[]){"NULL", NULL});
}
END_TEST

/* An array that is both x_i and x_j: each of its uses has derivatives of its own. */
START_TEST(test_matrices_of_derivatives_by_one_use_of_an_array)
{
    kcl_data *data = kcl_data_create(s, kcl_f64(&x[0][0], M, D));
    kcl_expr *a = kcl_vi_data(s, data), *b = kcl_vj_data(s, data);
    double got[M];
    eval_ok(kcl_reduce_sum(kcl_divergence(kcl_mul(kcl_mul(a, a), b), a), KCL_OVER_J), kcl_f64(got, M));
    for (int i = 0; i < M; i++) {
        double want = 0;
        for (int j = 0; j < M; j++)
            for (int k = 0; k < D; k++)
                want += 2 * x[i][k] * x[j][k];
        near(got[i], want, "divergence by one use");
    }
}
END_TEST

int main(void)
{
    const test_entry tests[] = {
        {test_functions, 0},
        {test_comparisons, 0},
        {test_components, 0},
        {test_slices, 0},
        {test_extremes_and_weights, 0},
        {test_inner_shapes, 0},
        {test_small_matrices, 0},
        {test_splines, 0},
        {test_warping, 0},
        {test_gradients_of_inner_products, 0},
        {test_complex_numbers, 0},
        {test_products_with_vectors, 0},
        {test_symbolic_variables, 0},
        {test_directional_derivatives_across_reductions, 0},
        {test_hessians_are_symmetric, 0},
        {test_derivatives_of_what_does_not_depend, 0},
        {test_largest_and_sum_of_exponentials, 0},
        {test_largest_and_sum_of_infinite_exponents, 0},
        {test_derivatives_of_largest_and_sum_of_exponentials, 0},
        {test_matrices_of_derivatives, 0},
        {test_matrices_of_derivatives_by_one_use_of_an_array, 0},
        {test_expressions_of_scopes_that_are_gone, 0},
    };
    return run_entries("methods of lazy tensors", tests, KB_COUNT(tests), setup, teardown);
}
