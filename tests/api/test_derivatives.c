/* SPDX-License-Identifier: MIT */
/* Derivatives in a direction, of second order, matrices of derivatives: by finite differences and plain loops. */
#include "plain.h"

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
        is_near(out[1], out[0], "gradient and direction");
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
    is_near(a, b, "<e, H d> = <d, H e>");
    ck_assert(fabs(a) > 1e-3);
    /* Between x and y, forward over reverse both ways, and reverse over reverse. */
    eval_ok(kcl_reduce_sum(kcl_dot(kcl_jvp(kcl_grad(L, x_i), y_j, f), d), KCL_OVER_I), kcl_f64(&a, 1));
    eval_ok(kcl_reduce_sum(kcl_dot(kcl_jvp(kcl_grad(L, y_j), x_i, d), f), KCL_OVER_J), kcl_f64(&b, 1));
    is_near(a, b, "<d, H f> = <f, H d>");
    eval_ok(kcl_reduce_sum(kcl_dot(kcl_vjp(kcl_grad(L, x_i), y_j, d), f), KCL_OVER_J), kcl_f64(&b, 1));
    is_near(a, b, "forward and reverse");
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

/* ---- Matrices of derivatives ------------------------------------------------------------------------------------- */

START_TEST(test_matrices_of_derivatives)
{
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j)));
#define DIFFERENCE(k) (x[i][k] - y[j][k])
    CHECK(9, kcl_grad_matrix(kcl_mul(x_i, kcl_sum_inner(kcl_mul(x_i, y_j))), x_i),
          x[i][k / 3] * y[j][k % 3] + (k / 3 == k % 3 ? x[i][0] * y[j][0] + x[i][1] * y[j][1] + x[i][2] * y[j][2] : 0));
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
        is_near(field[i], divergence, "divergence of a sum");
        is_near(sums[i], trace, "trace of a sum");
        is_near(second[i],
                square / total - (mean[0] * mean[0] + mean[1] * mean[1] + mean[2] * mean[2]) / (total * total),
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
        is_near(got[i], want, "divergence by one use");
    }
}
END_TEST

int main(void)
{
    const test_entry tests[] = {
        {test_directional_derivatives_across_reductions, 0},
        {test_hessians_are_symmetric, 0},
        {test_derivatives_of_what_does_not_depend, 0},
        {test_matrices_of_derivatives, 0},
        {test_matrices_of_derivatives_by_one_use_of_an_array, 0},
    };
    return run_entries("derivatives", tests, KB_COUNT(tests), setup_points, teardown);
}
