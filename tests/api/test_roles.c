/* SPDX-License-Identifier: MIT */
/*
 * One data handle in two roles: in formulas given as text and in operators, values and gradients against plain loops,
 * by the interpreter; with the argument "device" on a device.
 */
#include "support.h"

#include <math.h>
#include <string.h>

enum { B = 2, M = 5, D = 2 };

static bool on_device;
static kcl_context *c;
static kcl_scope *s;
static double x[B][M][D], w[B][M], e[B][M];

static void setup(void)
{
    seed_random(test_seed());
    for (int b = 0; b < B; b++) {
        for (int i = 0; i < M; i++) {
            for (int d = 0; d < D; d++)
                x[b][i][d] = uniform(-1, 1);
            w[b][i] = uniform(0.5, 1.5);
            e[b][i] = uniform(-1, 1);
        }
    }
    s = kcl_scope_create(c);
    ck_assert_ptr_nonnull(s);
}

static void teardown(void)
{
    kcl_scope_destroy(&s);
}

/* K(p, q) = exp(-|p - q|^2) p_0, which is not symmetric. */
static double kernel(const double p[D], const double q[D])
{
    return exp(-(p[0] - q[0]) * (p[0] - q[0]) - (p[1] - q[1]) * (p[1] - q[1])) * p[0];
}

/* Adds the derivatives of the kernel, times `factor`, to the derivatives in p and q. */
static void add_slope(const double p[D], const double q[D], double factor, double dp[D], double dq[D])
{
    const double gauss = kernel(p, q) / p[0];
    for (int d = 0; d < D; d++) {
        dp[d] += factor * (-2 * (p[d] - q[d]) * kernel(p, q) + (d == 0 ? gauss : 0));
        dq[d] += factor * 2 * (p[d] - q[d]) * kernel(p, q);
    }
}

/* a_i = sum_j K(x_i, x_j) w_j, and the gradient of sum_i e_i a_i in the first and in the second x. */
static void wanted(int b, double a[M], double first[M][D], double second[M][D])
{
    memset(first, 0, M * sizeof *first);
    memset(second, 0, M * sizeof *second);
    for (int i = 0; i < M; i++) {
        a[i] = 0;
        for (int j = 0; j < M; j++) {
            a[i] += kernel(x[b][i], x[b][j]) * w[b][j];
            add_slope(x[b][i], x[b][j], e[b][i] * w[b][j], first[i], second[j]);
        }
    }
}

static void near(double got, double want, const char *what)
{
    ck_assert_msg(fabs(got - want) <= 1e-12 * (1 + fabs(want)), "%s: %.17g, not %.17g", what, got, want);
}

#define OK(call) ck_assert_msg((call) == KCL_OK, "%s", kcl_context_error(c))

static kcl_expr *kernel_of(kcl_expr *p, kcl_expr *q)
{
    return kcl_mul(kcl_exp(kcl_neg(kcl_sqdist(p, q))), kcl_elem(p, 0));
}

/* Batches: none, or B of the array and of all else. */
START_TEST(test_a_text_takes_one_handle_in_two_roles)
{
    for (int batches = 1; batches <= B; batches++) {
        const bool many = batches > 1;
        kcl_array xs = kcl_array_f64(&x[0][0][0], many ? 3 : 2, many ? (int64_t[]){B, M, D} : (int64_t[]){M, D});
        kcl_array ws = kcl_array_f64(&w[0][0], many ? 3 : 2, many ? (int64_t[]){B, M, 1} : (int64_t[]){M, 1});
        kcl_array es = kcl_array_f64(&e[0][0], many ? 3 : 2, many ? (int64_t[]){B, M, 1} : (int64_t[]){M, 1});
        kcl_data *data = kcl_data_create(s, &xs);
        kcl_expr *values[] = {kcl_vi_data(s, data), kcl_vj_data(s, data), kcl_vj(s, &ws)};
        kcl_expr *F = kcl_formula(s, "Exp(-SqDist(x,y))*Elem(x,0)*w", 3, (const char *const[]){"x", "y", "w"}, values);
        kcl_expr *a = kcl_reduce_sum(F, KCL_OVER_J);
        ck_assert_msg(kcl_expr_status(a) == KCL_OK, "%s", kcl_expr_error(a));
        double sums[B][M], slopes[B][M][D], again[B][M], first[M][D], second[M][D], want[M];
        OK(kcl_eval1(a, kcl_f64(&sums[0][0], batches, M)));
        OK(kcl_eval1(kcl_vjp(a, values[1], kcl_vi(s, &es)), kcl_f64(&slopes[0][0][0], batches, M, D)));
        /* What is bound may itself be made of both. */
        kcl_expr *K = kernel_of(values[0], values[1]);
        OK(kcl_sum(kcl_formula(s, "K*w+0*x", 3, (const char *const[]){"K", "w", "x"},
                               (kcl_expr *[]){K, values[2], kcl_elem(values[0], 1)}),
                   KCL_OVER_J, kcl_f64(&again[0][0], batches, M)));
        for (int b = 0; b < batches; b++) {
            wanted(b, want, first, second);
            for (int i = 0; i < M; i++) {
                near(sums[b][i], want[i], "value");
                near(again[b][i], want[i], "value of what is bound");
                for (int d = 0; d < D; d++)
                    near(slopes[b][i][d], first[i][d] + second[i][d], "gradient");
            }
        }
        kcl_scope_reset(s);
    }
    /* A text that names a variable twice itself means a mistake. */
    kcl_expr *bad = kcl_formula(s, "Var(0,2,0)-Var(0,2,1)", 0, NULL, NULL);
    ck_assert_int_eq(kcl_expr_status(bad), KCL_ERROR_SHAPE);
    CONTAINS(kcl_expr_error(bad), "Vi(0,2)", "Vj(0,2)");
}
END_TEST

/* Applies to arrays of one batch or of B, and compares; `args` receives arrays for the arguments that are given. */
static void apply_and_compare(kcl_operator *op, bool one_argument)
{
    kcl_operator *grad[2] = {NULL, NULL};
    for (int k = 0; k < (one_argument ? 1 : 2); k++)
        ck_assert_msg(kcl_operator_grad(&grad[k], op, k ? "1" : "0") == KCL_OK, "%s", kcl_operator_error(grad[k]));
    for (int batches = 1; batches <= B; batches++) {
        const kcl_array *xs = kcl_f64(&x[0][0][0], batches, M, D), *ws = kcl_f64(&w[0][0], batches, M, 1);
        const kcl_array *es = kcl_f64(&e[0][0], batches, M, 1);
        const kcl_array *args[4] = {xs, one_argument ? ws : xs, one_argument ? es : ws, es};
        double sums[B][M], slopes[2][B][M][D], first[M][D], second[M][D], want[M];
        OK(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(&sums[0][0], batches, M, 1)}, 1, args,
                              one_argument ? 2 : 3));
        for (int k = 0; k < (one_argument ? 1 : 2); k++)
            OK(kcl_operator_apply(grad[k], c, (const kcl_array *[]){kcl_f64(&slopes[k][0][0][0], batches, M, D)}, 1,
                                  args, one_argument ? 3 : 4));
        for (int b = 0; b < batches; b++) {
            wanted(b, want, first, second);
            for (int i = 0; i < M; i++) {
                near(sums[b][i], want[i], "value");
                for (int d = 0; d < D; d++) {
                    near(slopes[0][b][i][d], first[i][d] + (one_argument ? second[i][d] : 0), "gradient in 0");
                    if (!one_argument)
                        near(slopes[1][b][i][d], second[i][d], "gradient in 1");
                }
            }
        }
    }
    /* Points that are the same for all batches of the weights: the gradient is summed over these. */
    const kcl_array *args[4] = {kcl_f64(&x[0][0][0], M, D), kcl_f64(&w[0][0], B, M, 1), kcl_f64(&e[0][0], B, M, 1)};
    double slope[M][D], sum[M][D] = {{0}}, dq[M][D] = {{0}};
    if (one_argument)
        OK(kcl_operator_apply(grad[0], c, (const kcl_array *[]){kcl_f64(&slope[0][0], M, D)}, 1, args, 3));
    for (int b = 0; one_argument && b < B; b++)
        for (int i = 0; i < M; i++)
            for (int j = 0; j < M; j++)
                add_slope(x[0][i], x[0][j], e[b][i] * w[b][j], sum[i], dq[j]);
    for (int i = 0; one_argument && i < M; i++)
        for (int d = 0; d < D; d++)
            near(slope[i][d], sum[i][d] + dq[i][d], "gradient summed over batches");
    kcl_operator_destroy(&grad[0]);
    kcl_operator_destroy(&grad[1]);
}

START_TEST(test_an_operator_has_an_argument_for_each_listed_variable)
{
    kcl_data *data = kcl_data_create(s, kcl_f64(&x[0][0][0], M, D));
    kcl_expr *p = kcl_vi_data(s, data), *q = kcl_vj_data(s, data), *v = kcl_vj(s, kcl_f64(&w[0][0], M, 1));
    kcl_expr *a = kcl_reduce_sum(kcl_mul(kernel_of(p, q), v), KCL_OVER_J);
    kcl_operator *op = NULL;
    /* One for both roles. */
    ck_assert_msg(kcl_operator_from(&op, 1, &a, 2, (kcl_expr *[]){p, v}, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    ck_assert_int_eq(kcl_operator_input_count(op), 2);
    kcl_slot_info info;
    ck_assert_int_eq(kcl_operator_input(op, 0, &info), KCL_OK);
    ck_assert(info.role == KCL_ROLE_I && info.dim == D);
    apply_and_compare(op, true);
    /* The argument's rows are the rows of both axes. */
    double sums[M];
    ck_assert_int_eq(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(sums, M)}, 1,
                                        (const kcl_array *[]){kcl_f64(&x[0][0][0], M, D), kcl_f64(&w[0][0], M - 1, 1)},
                                        2),
                     KCL_ERROR_LENGTH);
    CONTAINS(kcl_context_error(c), "argument 0 (Vi(2)) has 5 rows", "argument 1 (Vj(1)) has 4", "axes i and j");
    static collected text;
    ck_assert_int_eq(kcl_operator_emit(op, NULL, "cpu", KCL_F32, 100, 50, collect, &text), KCL_ERROR_LENGTH);
    ck_assert_int_eq(kcl_operator_emit(op, NULL, "cpu", KCL_F32, 100, 100, collect, &text), KCL_OK);
    kcl_operator_destroy(&op);
    /* By the other role it is the same operator. */
    ck_assert_msg(kcl_operator_from(&op, 1, &a, 2, (kcl_expr *[]){q, v}, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    apply_and_compare(op, true);
    kcl_operator_destroy(&op);
    /* One for each role. */
    ck_assert_msg(kcl_operator_from(&op, 1, &a, 3, (kcl_expr *[]){p, q, v}, NULL) == KCL_OK, "%s",
                  kcl_operator_error(op));
    ck_assert_int_eq(kcl_operator_input_count(op), 3);
    apply_and_compare(op, false);
    const double other[2][D] = {{1, 2}, {0.5, -1}}, weights[2] = {2, -1};
    OK(kcl_operator_apply(
        op, c, (const kcl_array *[]){kcl_f64(sums, M)}, 1,
        (const kcl_array *[]){kcl_f64(&x[0][0][0], M, D), kcl_f64(&other[0][0], 2, D), kcl_f64(weights, 2, 1)}, 3));
    for (int i = 0; i < M; i++)
        near(sums[i], 2 * kernel(x[0][i], other[0]) - kernel(x[0][i], other[1]), "with other columns");
    kcl_operator_destroy(&op);
    /* A parameter is no row. */
    kcl_data *vector = kcl_data_create(s, kcl_f64(&w[0][0], 1, 1));
    kcl_expr *row = kcl_vi_data(s, vector), *both = kcl_mul(row, kcl_pm_data(s, vector));
    ck_assert_int_eq(kcl_operator_from(&op, 1, &both, 1, &row, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(op), "kcl_vi_data of shape (1, 1)", "parameter", "not in the list");
    kcl_operator_destroy(&op);
}
END_TEST

/* An expression that reduces batches: the sum over all batches of sum_ij e_i K(x_i, x_j) w_j. */
START_TEST(test_an_operator_that_reduces_batches_takes_one_handle_in_two_roles)
{
    kcl_data *data = kcl_data_create(s, kcl_f64(&x[0][0][0], B, M, D));
    kcl_expr *p = kcl_vi_data(s, data), *q = kcl_vj_data(s, data), *v = kcl_vj(s, kcl_f64(&w[0][0], B, M, 1));
    kcl_expr *u = kcl_vi(s, kcl_f64(&e[0][0], B, M, 1));
    kcl_expr *sum = kcl_reduce_sum_batch(
        kcl_reduce_sum(kcl_mul(u, kcl_reduce_sum(kcl_mul(kernel_of(p, q), v), KCL_OVER_J)), KCL_OVER_I), 0);
    kcl_expr *outs[2] = {sum, kcl_grad(sum, p)};
    kcl_operator *op = NULL;
    ck_assert_msg(kcl_operator_from(&op, 2, outs, 3, (kcl_expr *[]){p, v, u}, NULL) == KCL_OK, "%s",
                  kcl_operator_error(op));
    double total = 0, slopes[B][M][D], want = 0, a[M], first[M][D], second[M][D];
    OK(kcl_operator_apply(
        op, c, (const kcl_array *[]){kcl_f64(&total, 1), kcl_f64(&slopes[0][0][0], B, M, D)}, 2,
        (const kcl_array *[]){kcl_f64(&x[0][0][0], B, M, D), kcl_f64(&w[0][0], B, M, 1), kcl_f64(&e[0][0], B, M, 1)},
        3));
    for (int b = 0; b < B; b++) {
        wanted(b, a, first, second);
        for (int i = 0; i < M; i++) {
            want += e[b][i] * a[i];
            for (int d = 0; d < D; d++)
                near(slopes[b][i][d], first[i][d] + second[i][d], "gradient");
        }
    }
    near(total, want, "sum");
    kcl_operator_destroy(&op);
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {test_a_text_takes_one_handle_in_two_roles, 0},
        {test_an_operator_has_an_argument_for_each_listed_variable, 0},
        {test_an_operator_that_reduces_batches_takes_one_handle_in_two_roles, 0},
    };
    on_device = argc > 1 && strcmp(argv[1], "device") == 0;
    kcl_context *host = NULL;
    if (on_device)
        return run_on_device("test_api_roles device", "roles", tests, KB_COUNT(tests), setup, teardown, &c, &host);
    if (kcl_context_create(&c, &(kcl_context_params){.device = "host"}) < 0)
        return 1;
    announce_seed("test_api_roles");
    const int failed = run_entries("roles", tests, KB_COUNT(tests), setup, teardown);
    kcl_context_destroy(&c);
    return failed;
}
