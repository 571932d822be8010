/* SPDX-License-Identifier: MIT */
/*
 * Derivatives of what is chosen, with batch axes.
 */
#include "batches.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Gradients of what is chosen --------------------------------------------------------------------------------- */

static double real_term(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    (void)k;
    return g_of(p, place, i, j);
}

static double real_row(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    (void)j, (void)k;
    const double *x = exact_at(&p->of[X], place, i, 0);
    return *exact_at(&p->of[G], place, 0, 0) * x[0] + x[1] * x[2];
}

/* What is chosen among may be a result itself. */
static double result_term(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    double sum = 0;
    (void)j, (void)k;
    for (int64_t n = 0; n < p->N; n++)
        sum += exp(g_of(p, place, i, n));
    return log(sum);
}

static choice loss_choice; /* of the loss that check_gradient asks for */

/* What a result is weighted with: 1 + u_i0, 1 + b_j1, or 1. */
static const operand *weights_of(const problem *p)
{
    const char rows = rows_of_choice(&loss_choice);
    return rows == 'i' ? &p->of[U] : rows == 'j' ? &p->of[B] : NULL;
}

/* The weighted sum of (q + 1) exp(-value q / 4), of largest ones exp(value q / 4); what is not there counts 0. */
static double choice_loss_of(const problem *p)
{
    const choice *c = &loss_choice;
    const operand *w = weights_of(p);
    const double rate = c->what & LARGEST ? 0.25 : -0.25;
    int64_t place[AXES] = {0}, numbers[MOST_CHOSEN];
    double values[MOST_CHOSEN], loss = 0;
    sizes all = without(p->batch, c->axes);
    if (w)
        all = join(all, w->batch);
    do {
        for (int64_t row = 0; row < (w ? w->rows : 1); row++) {
            choose(p, c, place, row, 0, values, numbers);
            for (int q = 0; q < (c->what & LIST ? c->k : 1); q++)
                if (numbers[q] >= 0)
                    loss += (q + 1) * exp(rate * values[q]) * (w ? 1 + *exact_at(w, place, row, w == &p->of[B]) : 1);
        }
    } while (next_place(&all, place));
    return loss;
}

static kcl_expr *choice_loss(const problem *p, kcl_expr *const *v, bool rows_first)
{
    const choice *c = &loss_choice;
    kcl_expr *f = kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), kcl_mul(v[G], kcl_sqdist(v[X], v[Y])));
    if (c->term == result_term)
        f = kcl_reduce_logsumexp(f, KCL_OVER_J);
    if (c->term == real_row)
        f = kcl_add(kcl_mul(v[G], kcl_elem(v[X], 0)), kcl_mul(kcl_elem(v[X], 1), kcl_elem(v[X], 2)));
    kcl_expr *values = over_axes(c, f, c->what, rows_first), *sum = kcl_zero(s, 1);
    kcl_expr *rate = kcl_constant(s, c->what & LARGEST ? 0.25 : -0.25);
    for (int q = 0; q < kcl_expr_dim(values); q++)
        sum = kcl_add(sum, kcl_mul(kcl_constant(s, q + 1), kcl_exp(kcl_mul(rate, kcl_elem(values, q)))));
    const operand *w = weights_of(p);
    if (w)
        sum = kcl_mul(sum, kcl_add(kcl_constant(s, 1), w == &p->of[B] ? kcl_elem(v[B], 1) : kcl_elem(v[U], 0)));
    return over_all_batches(kcl_reduce_sum(kcl_reduce_sum(sum, KCL_OVER_I), KCL_OVER_J));
}

START_TEST(test_gradients_of_choices)
{
    seed_random(test_seed() + 90000 + (uint64_t)_i);
    problem p;
    choice *c = &loss_choice;
    *c = (choice){.what = pick(CHOICES) & ~INDEX, .k = 1 + pick(MOST_CHOSEN), .over = _i % 4};
    c->term = c->over ? real_term : _i % 8 ? result_term : real_row;
    do {
        problem_make(&p, _i % 2 ? KCL_F32 : KCL_F64, false);
        if (c->term == real_row)
            keep_rows_only(&p);
    } while ((p.M > 5 || p.N > 17 || count_of(&p.batch) > 12 || (!c->over && count_of(&p.batch) == 1)) &&
             (problem_drop(&p), true));
    const int last = last_axis_of(&p.batch);
    while (!c->axes && (!c->over || pick(2)))
        for (int b = 0; b < last; b++)
            c->axes |= pick(2) ? 1u << b : 0;
    kcl_expr *v[OPERANDS], *grads[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = in_place(&p.of[k]);
    snprintf(p.text + strlen(p.text), sizeof p.text - strlen(p.text), "; what %d, %d over %d and batch axes %x",
             c->what, c->k, c->over, c->axes);
    kcl_expr *L = choice_loss(&p, v, pick(2));
    check_gradients(&p, L, v, choice_loss_of, grads);
    if (p.dtype == KCL_F64 && (by_interpreter || long_tests()))
        check_second_derivatives(&p, v, grads);
    problem_drop(&p);
}
END_TEST

/* ---- Rows by their numbers --------------------------------------------------------------------------------------- */

/* Those in an argument that has no batches are the sum over the batches of the others, each of them once. */
START_TEST(test_gradients_of_choices_of_operators)
{
    enum { B = 3, M = 5, N = 4 };
    static const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)"};
    double x[B][M], y[N], e[B][M], gradient[N], want[N] = {0};
    for (int j = 0; j < N; j++)
        y[j] = uniform(-1, 1);
    for (int b = 0; b < B; b++)
        for (int i = 0; i < M; i++) {
            int at = 0;
            x[b][i] = uniform(-1, 1);
            e[b][i] = uniform(-1, 1);
            for (int j = 1; j < N; j++)
                at = fabs(x[b][i] - y[j]) < fabs(x[b][i] - y[at]) ? j : at;
            want[at] += e[b][i] * 2 * (y[at] - x[b][i]);
        }
    const kcl_array *args[] = {kcl_f64(&x[0][0], B, M, 1), kcl_f64(y, N, 1), kcl_f64(&e[0][0], B, M, 1)};
    const kcl_array *to = kcl_f64(gradient, N, 1);
    kcl_operator *op, *grad;
    ck_assert_int_eq(kcl_operator_create(&op, "Min_Reduction(SqDist(x,y),0)", 2, aliases, NULL), KCL_OK);
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "y"), KCL_OK);
    ck_assert_msg(kcl_operator_apply(grad, device, &to, 1, args, 3) == KCL_OK, "%s", kcl_context_error(device));
    for (int j = 0; j < N; j++)
        ck_assert_double_eq_tol(gradient[j], want[j], 1e-12);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
}
END_TEST

int main(int argc, char **argv)
{
    const bool host = begin_batches(argc, argv);
    const test_entry tests[] = {
        {test_gradients_of_choices, host           ? 60
                                    : long_tests() ? 40
                                                   : 2},
        {test_gradients_of_choices_of_operators, 0},
    };
    return run_batches("batch choice gradients", tests, KB_COUNT(tests));
}
