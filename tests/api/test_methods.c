/* SPDX-License-Identifier: MIT */
/* Methods of lazy tensors by the interpreter: values against plain loops in double, and the sentences of errors. */
#include "plain.h"

/* ---- Elementwise methods ----------------------------------------------------------------------------------------- */

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
    is_near(out[2][1], x[2][1] / norm, "normalize");
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

/* ---- Complex numbers --------------------------------------------------------------------------------------------- */

/* Component k of the pair (re, im). The pairs are components 1 and 2 of x, and components 0 and 1 of y. */
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
        is_near(row[i], sum, "matvec");
        for (int k = 0; k < COLUMNS; k++)
            is_near(out[i][k], sums[k], "matmul");
    }
    /* K^T x: the product has a row for each row of y, and a term for each row of x. */
    eval_ok(kcl_matmul(kcl_transpose(K), kcl_transpose(x_i)), kcl_f64(&transposed[0][0], N, D));
    for (int j = 0; j < N; j++) {
        double sums[D] = {0}, sum = 0;
        for (int i = 0; i < M; i++) {
            sum += kernel(i, j) * u[i];
            for (int k = 0; k < D; k++)
                sums[k] += kernel(i, j) * x[i][k];
        }
        is_near(column[j], sum, "rmatvec");
        for (int k = 0; k < D; k++)
            is_near(transposed[j][k], sums[k], "transposed matmul");
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
            is_near(sums[i], sum, "applied");
        }
        is_near(slope, derivative, "slope");
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

/* Variables may be made and listed in any order, and each number is one variable until the scope is reset. */
START_TEST(test_symbolic_variables_in_any_order)
{
    enum { COUNT = 997 };
    kcl_expr *vars[COUNT], *f = kcl_zero(s, 1);
    kcl_array values[COUNT];
    const kcl_array *arguments[COUNT];
    double numbers[COUNT], out, want = 0;
    for (int k = 0; k < COUNT; k++) {
        const int number = k * 379 % COUNT;
        vars[k] = kcl_var(s, 3 * number, 1, KCL_ROLE_PARAMETER);
        f = kcl_add(f, kcl_mul(kcl_constant(s, number + 1), vars[k]));
        numbers[k] = uniform(1, 2);
        values[k] = kcl_array_f64(&numbers[k], 1, (const int64_t[]){1});
        arguments[k] = &values[k];
        want += (number + 1) * numbers[k];
    }
    for (int k = 0; k < COUNT; k++)
        ck_assert_ptr_eq(kcl_var(s, 3 * (k * 379 % COUNT), 1, KCL_ROLE_PARAMETER), vars[k]);
    kcl_operator *op;
    ck_assert_msg(kcl_operator_from(&op, 1, &f, COUNT, vars, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    const kcl_status status = kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(&out, 1)}, 1, arguments, COUNT);
    ck_assert_msg(status == KCL_OK, "%s", kcl_context_error(c));
    ck_assert_double_eq_tol(out, want, 1e-12 * want);
    kcl_operator_destroy(&op);
    kcl_scope_reset(s);
    ck_assert_int_eq(kcl_expr_dim(kcl_var(s, 3, 2, KCL_ROLE_I)), 2);
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
    is_near(out[0], x[0][0] * x[0][0], "after the reset");
    kcl_scope *other = kcl_scope_create(c);
    kcl_expr *theirs = kcl_vi(other, kcl_f64(&x[0][0], M, D));
    kcl_scope_destroy(&other);
    is_gone(kcl_exp(theirs));
    ck_assert_int_eq(kcl_eval1(theirs, kcl_f64(out, M, D)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "reset or destroyed");
}
END_TEST

/* ---- Reductions that are made of others -------------------------------------------------------------------------- */

/* exp(f - m) w, with 1 for the largest. */
static double shifted(double f, double m)
{
    return f == m ? 1 : exp(f - m);
}

START_TEST(test_largest_and_sum_of_exponentials)
{
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "w=Vj(1)"};
    kcl_operator *op = make("Max_SumShiftExp_Reduction(x|y,0); Max_SumShiftExpWeight_Reduction(x|y,y*w,1);"
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
        is_near(plain[i][0], m, "largest");
        is_near(plain[i][1], s, "sum of exponentials");
        ck_assert(zeros[i][0] == 0 && zeros[i][1] == 0);
    }
    for (int j = 0; j < N; j++) {
        double m = -INFINITY, s[D] = {0};
        for (int i = 0; i < M; i++)
            m = fmax(m, f[i][j]);
        for (int i = 0; i < M; i++)
            for (int k = 0; k < D; k++)
                s[k] += shifted(f[i][j], m) * y[j][k] * w[j];
        is_near(weighted[j][0], m, "largest");
        for (int k = 0; k < D; k++)
            is_near(weighted[j][1 + k], s[k], "weighted sum of exponentials");
    }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            sum += shifted(w[j] - x[i][0], largest);
    is_near(both[0], largest, "largest");
    is_near(both[1], sum, "sum of exponentials");
    ck_assert(zero[0] == 0 && zero[1] == 0 && zero[2] == 0);
    kcl_operator_destroy(&op);
}
END_TEST

/*
 * KeOps has NaN for two infinities. A term of -infinity adds 0, so terms of -infinity alone give the same as no terms.
 */
START_TEST(test_largest_and_sum_of_infinite_exponents)
{
    static const struct {
        int count;
        double f[4], m, s;
    } cases[] = {
        {3, {-INFINITY, -INFINITY, -INFINITY}, -INFINITY, 0},
        {3, {INFINITY, 1, INFINITY}, INFINITY, 2},
        {3, {-INFINITY, 2, -INFINITY}, 2, 1},
        {2, {1e308, 1e308}, 1e308, 2},
        {0, {0}, -INFINITY, 0},
        {2, {1, NAN}, 1, NAN},
    };
    const char *const aliases[] = {"f=Vj(1)"};
    kcl_operator *op = make("Max_SumShiftExp_Reduction(f,2)", 1, aliases);
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

/* The derivatives of m and s themselves, which KeOps does not have; m + log(s) has the derivatives of LogSumExp. */
START_TEST(test_derivatives_of_largest_and_sum_of_exponentials)
{
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "e=Vi(2)"};
    const double h = 1e-5;
    double e[M][2], got[M][D], value[2][M][2];
    kcl_operator *op = make("Max_SumShiftExp_Reduction(x|y,0)", 2, aliases);
    kcl_operator *grad = make("Grad(Max_SumShiftExp_Reduction(x|y,0),x,e)", 3, aliases);
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
                ck_assert_int_eq(
                    kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(&value[side][0][0], M, 2)}, 1, args, 2),
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

int main(void)
{
    const test_entry tests[] = {
        {test_functions, 0},
        {test_comparisons, 0},
        {test_components, 0},
        {test_slices, 0},
        {test_extremes_and_weights, 0},
        {test_complex_numbers, 0},
        {test_products_with_vectors, 0},
        {test_symbolic_variables, 0},
        {test_symbolic_variables_in_any_order, 0},
        {test_expressions_of_scopes_that_are_gone, 0},
        {test_largest_and_sum_of_exponentials, 0},
        {test_largest_and_sum_of_infinite_exponents, 0},
        {test_derivatives_of_largest_and_sum_of_exponentials, 0},
    };
    return run_entries("methods of lazy tensors", tests, KB_COUNT(tests), setup_points, teardown);
}
