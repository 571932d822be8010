/* SPDX-License-Identifier: MIT */
/* Expressions by the interpreter: values, roles, gradients against plain loops and finite differences. */
#include "points.h"

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

int main(void)
{
    const test_entry tests[] = {
        {test_builders_by_plain_loops, 2 * LAYOUT_COUNT},
        {test_variables_and_roles, 0},
        {test_one_handle_in_two_roles, 0},
        {test_results_in_further_formulas, 0},
        {test_gradients_of_chains_by_finite_differences, 0},
        {test_vjp_and_gradients_of_nothing, 0},
        {test_scope_reset_in_a_loop, 0},
        {test_print, 0},
    };
    return run_entries("expressions", tests, KB_COUNT(tests), setup, teardown);
}
