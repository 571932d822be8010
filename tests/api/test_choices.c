/* SPDX-License-Identifier: MIT */
/*
 * Selections by truth values, their masks and derivatives: against mathematics and plain loops in double; by the
 * interpreter and, with the argument "device", on a device.
 */
#include "values.h"

/* ---- Selections by truth values ---------------------------------------------------------------------------------- */

START_TEST(where_chooses_by_truth)
{
    enum { M = 5 };
    choose_type(_i);
    values c_ = VALUES(1, 0, -0.0, NAN, -0.5), x = VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), got;
    kcl_expr *c_i = rows_of(&c_, false, M, 1), *x_i = rows_of(&x, false, M, 2);
    static const bool taken[M] = {true, false, false, true, true};
    evaluate(kcl_where(c_i, x_i, kcl_neg(x_i)), &got, M, 2);
    for (int k = 0; k < 2 * M; k++)
        ck_assert_double_eq(got.exact[k], taken[k / 2] ? x.exact[k] : -x.exact[k]);
    /* Of comparisons; one number for all components of the other, and a condition of each component. */
    evaluate(kcl_where(kcl_less(x_i, number(5.5)), kcl_elem(x_i, 0), x_i), &got, M, 2);
    for (int k = 0; k < 2 * M; k++)
        ck_assert_double_eq(got.exact[k], x.exact[k] < 5.5 ? x.exact[k / 2 * 2] : x.exact[k]);
    const char *const names[] = {"x", "c"};
    evaluate(kcl_formula(s, "Where(And(c, x < 8), -inf, Where(c, inf, x))", 2, names, (kcl_expr *[]){x_i, c_i}), &got,
             M, 2);
    for (int k = 0; k < 2 * M; k++)
        ck_assert_double_eq(got.exact[k], !taken[k / 2] ? x.exact[k] : x.exact[k] < 8 ? -INFINITY : INFINITY);
    values y = VALUES(1, 2, 3);
    REFUSED(kcl_where(c_i, x_i, rows_of(&y, false, 1, 3)), KCL_ERROR_SHAPE, "kcl_where", "dimensions 2 and 3");
}
END_TEST

/* f at u is taken for u > 0; its first two derivatives at these u. */
typedef struct branch {
    const char *name;
    kcl_expr *(*make)(kcl_expr *u);
    double (*first)(double u), (*second)(double u);
} branch;

static kcl_expr *make_log(kcl_expr *u)
{
    return kcl_log(u);
}

static double log_first(double u)
{
    return 1 / u;
}

static double log_second(double u)
{
    return -1 / (u * u);
}

static kcl_expr *make_power(kcl_expr *u)
{
    return kcl_powf(u, number(-1.5));
}

static double power_first(double u)
{
    return -1.5 * pow(u, -2.5);
}

static double power_second(double u)
{
    return 3.75 * pow(u, -3.5);
}

static const branch branches[] = {{"log", make_log, log_first, log_second},
                                  {"power", make_power, power_first, power_second}};

/* Ways to write the same choice; Minimum and Maximum are choices as well. */
static kcl_expr *choose(int way, kcl_expr *u, kcl_expr *f, kcl_expr *g)
{
    switch (way) {
    case 0:
        return kcl_where(kcl_less(number(0), u), f, g);
    case 1:
        return kcl_where(kcl_less_equal(u, number(0)), g, f);
    case 2:
        return kcl_where(u, kcl_where(kcl_less(u, number(0)), g, f), g);
    default:
        return kcl_ifelse(kcl_sub(u, number(0.125)), f, g);
    }
}

/* Derivatives of what is not taken are infinite or NaN: none comes through, by reverse and by forward mode. */
START_TEST(what_is_not_taken_has_no_part_in_derivatives)
{
    enum { M = 6, WAYS = 4 };
    choose_type(_i % 2);
    values u = VALUES(0, 0.5, -1, 2, -0.0, 1.25), w = VALUES(1, 2, 3, 4, 5, 6), got, t = VALUES(0.5, -1, 2, 1, -2, 3);
    kcl_expr *u_i = rows_of(&u, false, M, 1), *w_i = rows_of(&w, false, M, 1), *t_i = rows_of(&t, false, M, 1);
    /* On devices a kernel each: one way of each branch. */
    for (int b = 0; b < (int)KB_COUNT(branches); b++) {
        const branch *br = &branches[b];
        for (int way = on_device ? 2 * b : 0; way < (on_device ? 2 * b + 1 : WAYS); way++) {
            kcl_expr *chosen = choose(way, u_i, br->make(u_i), kcl_mul(number(3), kcl_square(u_i)));
            kcl_expr *loss = kcl_reduce_sum(kcl_mul(w_i, chosen), KCL_OVER_I), *grad = kcl_grad(loss, u_i);
            kcl_expr *all[] = {grad,
                               kcl_vjp(chosen, u_i, w_i),
                               kcl_jvp(chosen, u_i, t_i),
                               kcl_hvp(loss, u_i, t_i),
                               kcl_grad(kcl_reduce_sum(kcl_mul(grad, t_i), KCL_OVER_I), u_i),
                               kcl_grad_matrix(chosen, u_i),
                               kcl_laplacian(chosen, u_i)};
            for (int e = 0; e < (int)KB_COUNT(all); e++) {
                evaluate(all[e], &got, M, 1);
                for (int i = 0; i < M; i++) {
                    const double x = u.exact[i], first = x > 0 ? br->first(x) : 6 * x;
                    const double second = x > 0 ? br->second(x) : 6, by_w = w.exact[i], by_t = t.exact[i];
                    const double wanted[] = {by_w * first,         by_w * first, by_t * first, by_w * by_t * second,
                                             by_w * by_t * second, first,        second};
                    near(got.exact[i], wanted[e], tolerance(), br->name, 1000 * way + 100 * e + i);
                }
            }
        }
    }
    /* The larger of log(u) and -1, for a log(u) of -infinity too. */
    values v = VALUES(0, 0.25, 2);
    kcl_expr *v_i = rows_of(&v, false, 3, 1);
    kcl_expr *larger = kcl_maximum(kcl_log(v_i), number(-1)), *smaller = kcl_minimum(number(1), kcl_neg(kcl_log(v_i)));
    for (int e = 0; e < 2; e++) {
        evaluate(kcl_grad(kcl_reduce_sum(e ? smaller : larger, KCL_OVER_I), v_i), &got, 3, 1);
        ck_assert_double_eq(got.exact[0], 0);
        ck_assert_double_eq(got.exact[1], 0);
        near(got.exact[2], e ? -0.5 : 0.5, tolerance(), "extremes", e);
    }
}
END_TEST

/* Of pairs, of several components, and of what was reduced before: the guard goes through sums and copies. */
START_TEST(what_is_not_taken_is_masked_for_each_pair)
{
    enum { M = 4, N = 5, D = 2 };
    choose_type(_i);
    values x = VALUES(0, 1, 2, 3, 1, 1, -1, 2), y = VALUES(0, 1, 1, 2, 2, 3, 3, 0, 5, 5), got;
    kcl_expr *x_i = rows_of(&x, false, M, D), *y_j = rows_of(&y, true, N, D);
    /* 1/(x - y), by component, for x other than y. */
    kcl_expr *apart = kcl_sub(x_i, y_j), *f = kcl_where(kcl_not_equal(x_i, y_j), kcl_inv(apart), number(0));
    kcl_expr *sum = kcl_reduce_sum(kcl_sum_inner(f), KCL_OVER_BOTH);
    kcl_expr *swapped = kcl_concat(kcl_elem(apart, 1), kcl_elem(apart, 0)); /* the other component */
    kcl_expr *g = kcl_where(kcl_not_equal(swapped, number(0)), kcl_inv(swapped), number(0));
    kcl_expr *h = kcl_where(kcl_not_equal(kcl_concat(kcl_elem(apart, 0), kcl_elem(apart, 0)), number(0)),
                            kcl_inv(kcl_elem(apart, 0)), number(0)); /* repeated */
    kcl_expr *all[] = {kcl_grad(sum, x_i), kcl_grad(kcl_reduce_sum(kcl_sum_inner(g), KCL_OVER_BOTH), x_i),
                       kcl_vjp(kcl_reduce_sum(h, KCL_OVER_J), x_i, number(0.5)), kcl_hvp(sum, x_i, number(1))};
    for (int e = 0; e < 4; e++) {
        evaluate(all[e], &got, M, D);
        for (int k = 0; k < M * D; k++) {
            double first = 0, second = 0;
            for (int j = 0; j < N; j++) {
                const double d = x.exact[k] - y.exact[j * D + k % D];
                first += d != 0 ? -1 / (d * d) : 0;
                second += d != 0 ? 2 / (d * d * d) : 0;
            }
            near(got.exact[k], e == 3 ? second : e == 2 && k % D ? 0 : first, tolerance(), "pairs", 100 * e + k);
        }
    }
    /* q_i is a sum, 0 for row 0, whose logarithm is taken by pairs of the other rows only. */
    values z = VALUES(0, 2, 3, 0.5);
    kcl_expr *z_i = rows_of(&z, false, M, 1),
             *q = kcl_reduce_sum(kcl_mul(z_i, kcl_square(kcl_elem(y_j, 0))), KCL_OVER_J);
    kcl_expr *mask = kcl_less(kcl_elem(y_j, 0), z_i), *loss;
    loss = kcl_reduce_sum(kcl_where(mask, kcl_mul(kcl_elem(y_j, 1), kcl_log(q)), number(0)), KCL_OVER_BOTH);
    evaluate(kcl_grad(loss, z_i), &got, M, 1);
    for (int i = 0; i < M; i++) {
        double wanted = 0;
        for (int j = 0; j < N; j++)
            wanted += y.exact[j * D] < z.exact[i] ? y.exact[j * D + 1] / z.exact[i] : 0;
        near(got.exact[i], wanted, tolerance(), "reduced before", i);
    }
}
END_TEST

/* Attention of each row to the columns up to its own: value, and derivatives by finite differences of a loop. */
enum { LENGTH = 6, DIM = 2 };

static double attention_loss(const double *q, const double *k, const double *v)
{
    double loss = 0;
    for (int i = 0; i < LENGTH; i++) {
        double sum = 0, mean = 0, largest = -INFINITY;
        for (int j = 0; j <= i; j++) {
            const double score = q[i * DIM] * k[j * DIM] + q[i * DIM + 1] * k[j * DIM + 1];
            largest = fmax(largest, score);
            sum += exp(score);
            mean += exp(score) * v[j];
        }
        loss += sin(mean / sum + i) + 0.1 * log(sum);
    }
    return loss;
}

START_TEST(causal_attention_is_a_line)
{
    choose_type(_i);
    values q, k, v, got;
    fill(&q, LENGTH * DIM, -1, 1);
    fill(&k, LENGTH * DIM, -1, 1);
    fill(&v, LENGTH, -1, 1);
    kcl_expr *q_i = rows_of(&q, false, LENGTH, DIM), *k_j = rows_of(&k, true, LENGTH, DIM);
    kcl_expr *v_j = rows_of(&v, true, LENGTH, 1), *score = kcl_dot(q_i, k_j);
    kcl_expr *causal = kcl_where(kcl_less_equal(kcl_index_j(s), kcl_index_i(s)), score, number(-INFINITY));
    kcl_expr *attention = kcl_reduce_sumsoftmaxweight(causal, v_j, KCL_OVER_J);
    kcl_expr *sums = kcl_reduce_logsumexp(causal, KCL_OVER_J);
    kcl_expr *loss =
        kcl_reduce_sum(kcl_add(kcl_sin(kcl_add(attention, kcl_index_i(s))), kcl_mul(number(0.1), sums)), KCL_OVER_I);
    evaluate(loss, &got, 1, 1);
    near(got.exact[0], attention_loss(q.exact, k.exact, v.exact), tolerance(), "attention", 0);
    /* Gradients, and the product of the Hessian in q with a direction. */
    values by_q, by_k, by_v, product, u;
    fill(&u, LENGTH * DIM, -1, 1);
    evaluate(kcl_grad(loss, q_i), &by_q, LENGTH, DIM);
    evaluate(kcl_grad(loss, k_j), &by_k, LENGTH, DIM);
    evaluate(kcl_grad(loss, v_j), &by_v, LENGTH, 1);
    evaluate(kcl_hvp(loss, q_i, rows_of(&u, false, LENGTH, DIM)), &product, LENGTH, DIM);
    const double h = 1e-4;
    double *const at[] = {q.exact, k.exact, v.exact}, *const got_of[] = {by_q.exact, by_k.exact, by_v.exact};
    for (int a = 0; a < 3; a++) {
        for (int n = 0; n < (a < 2 ? LENGTH * DIM : LENGTH); n++) {
            const double here = at[a][n];
            at[a][n] = here + h;
            double above = attention_loss(q.exact, k.exact, v.exact);
            at[a][n] = here - h;
            above -= attention_loss(q.exact, k.exact, v.exact);
            at[a][n] = here;
            near(got_of[a][n], above / (2 * h), dtype == KCL_F32 ? 5e-5 : 1e-7, "attention's gradient", 100 * a + n);
        }
    }
    for (int n = 0; n < LENGTH * DIM; n++) {
        double second = 0;
        for (int sign = 0; sign < 4; sign++) { /* in the direction u, and by number n */
            const double along = sign & 1 ? -1e-3 : 1e-3, by = sign & 2 ? -1e-3 : 1e-3;
            double moved[LENGTH * DIM];
            for (int m = 0; m < LENGTH * DIM; m++)
                moved[m] = q.exact[m] + along * u.exact[m] + (m == n ? by : 0);
            second += along * by * attention_loss(moved, k.exact, v.exact);
        }
        near(product.exact[n], second / 4e-12, dtype == KCL_F32 ? 1e-4 : 1e-5, "attention's Hessian", n);
    }
    /* As a text, whose print is read again: the operator has the same values. */
    static const char *const aliases[] = {"q=Vi(2)", "k=Vj(2)", "v=Vj(1)"};
    kcl_operator *op, *again;
    ok(kcl_operator_create(&op, "SumSoftMaxWeight_Reduction(Where(LessOrEqual(IndexJ,IndexI), q|k, -inf), v, 0)", 3,
                           aliases, NULL));
    static collected text;
    text.length = 0;
    ok(kcl_operator_print(op, collect, &text));
    CONTAINS(text.text, "-inf", "Where(");
    ok(kcl_operator_create(&again, text.text, 3, aliases, NULL));
    const kcl_array arrays[] = {
        described(&q, 2, (const int64_t[]){LENGTH, DIM}), described(&k, 2, (const int64_t[]){LENGTH, DIM}),
        described(&v, 2, (const int64_t[]){LENGTH, 1}), described(&got, 2, (const int64_t[]){LENGTH, 1})};
    ok(kcl_operator_apply(again, c, (const kcl_array *const[]){&arrays[3]}, 1,
                          (const kcl_array *const[]){&arrays[0], &arrays[1], &arrays[2]}, 3));
    values wanted;
    evaluate(attention, &wanted, LENGTH, 1);
    for (int i = 0; i < LENGTH; i++)
        near(dtype == KCL_F32 ? (double)got.rounded[i] : got.exact[i], wanted.exact[i], tolerance(), "text", i);
    kcl_operator_destroy(&op);
    kcl_operator_destroy(&again);
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {where_chooses_by_truth, 2},
        {what_is_not_taken_has_no_part_in_derivatives, 2},
        {what_is_not_taken_is_masked_for_each_pair, 2},
        {causal_attention_is_a_line, 2},
    };
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "choices",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .begin = begin,
                                              .end = end,
                                              .tests = tests,
                                              .count = KB_COUNT(tests)});
}
