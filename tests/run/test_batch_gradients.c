/* SPDX-License-Identifier: MIT */
/*
 * Derivatives with batch axes.
 */
#include "batches.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- The layer below expressions, where a schedule can be asked for ----------------------------------------------- */

/* The sum over everything of (u_i sum_j F)^2. */
static double loss_of(const problem *p)
{
    int64_t place[AXES] = {0};
    sizes all = join(p->batch, p->of[U].batch);
    double loss = 0;
    do {
        for (int64_t i = 0; i < p->M; i++) {
            for (int k = 0; k < 2; k++) {
                double sum = 0;
                for (int64_t j = 0; j < p->N; j++)
                    sum += f_of(p, place, i, j, k);
                loss += pow(sum * *exact_at(&p->of[U], place, i, k), 2);
            }
        }
    } while (next_place(&all, place));
    return loss;
}

/* The sum over everything of (u_i0 LogSumExp_j G)^2. */
static double logsumexp_loss_of(const problem *p)
{
    int64_t place[AXES] = {0};
    sizes all = join(p->batch, p->of[U].batch);
    double loss = 0;
    do {
        for (int64_t i = 0; i < p->M; i++) {
            double sum = 0;
            for (int64_t j = 0; j < p->N; j++)
                sum += exp(g_of(p, place, i, j));
            loss += pow(log(sum) * *exact_at(&p->of[U], place, i, 0), 2);
        }
    } while (next_place(&all, place));
    return loss;
}

START_TEST(test_gradients)
{
    seed_random(test_seed() + 30000 + (uint64_t)_i);
    problem p;
    do
        problem_make(&p, _i % 2 ? KCL_F32 : KCL_F64, false);
    while ((p.M > 5 || p.N > 17 || count_of(&p.batch) > 12) && (problem_drop(&p), true));
    kcl_expr *v[OPERANDS], *grads[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    kcl_expr *F = kcl_mul(kcl_exp(kcl_neg(kcl_mul(v[G], kcl_sqdist(v[X], v[Y])))), v[B]);
    kcl_expr *w = kcl_mul(kcl_reduce_sum(F, KCL_OVER_J), v[U]);
    const bool lse = _i % 3 == 2;
    kcl_expr *value = kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), kcl_mul(v[G], kcl_sqdist(v[X], v[Y])));
    if (lse)
        w = kcl_mul(kcl_reduce_logsumexp(value, KCL_OVER_J), kcl_elem(v[U], 0));
    kcl_expr *L = over_all_batches(kcl_reduce_sum(kcl_sqnorm2(w), KCL_OVER_I));
    check_gradients(&p, L, v, lse ? logsumexp_loss_of : loss_of, grads);
    problem_drop(&p);
}
END_TEST

/* ---- Rows by their numbers --------------------------------------------------------------------------------------- */

/* The sum over everything of u_i sum_j F: u is the cotangent. */
static double linear_loss_of(const problem *p)
{
    int64_t place[AXES] = {0};
    sizes all = join(p->batch, p->of[U].batch);
    double loss = 0;
    do
        for (int64_t i = 0; i < p->M; i++)
            for (int k = 0; k < 2; k++) {
                double sum = 0;
                for (int64_t j = 0; j < p->N; j++)
                    sum += f_of(p, place, i, j, k);
                loss += sum * *exact_at(&p->of[U], place, i, k);
            }
    while (next_place(&all, place));
    return loss;
}

/* Its derivative when x moves along itself. */
static double slope_along_x(const problem *p)
{
    int64_t place[AXES] = {0};
    sizes all = join(p->batch, p->of[U].batch);
    double slope = 0;
    do
        for (int64_t i = 0; i < p->M; i++)
            for (int64_t j = 0; j < p->N; j++) {
                double moves = 0;
                for (int k = 0; k < 3; k++) {
                    const double x = *exact_at(&p->of[X], place, i, k);
                    moves += 2 * x * (x - *exact_at(&p->of[Y], place, j, k));
                }
                moves *= -*exact_at(&p->of[G], place, 0, 0);
                for (int k = 0; k < 2; k++)
                    slope += moves * f_of(p, place, i, j, k) * *exact_at(&p->of[U], place, i, k);
            }
    while (next_place(&all, place));
    return slope;
}

/* Gradients of operators have the batch axes of the argument, whatever a call brings along; those of gradients too. */
START_TEST(test_gradients_of_operators)
{
    static const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "g=Pm(1)"}, *const names[] = {"x", "y", "b",
                                                                                                         "g"};
    seed_random(test_seed() + 110000 + (uint64_t)_i);
    problem p;
    do
        problem_make(&p, _i % 2 ? KCL_F32 : KCL_F64, false);
    while ((p.M > 5 || p.N > 17 || count_of(&p.batch) > 12) && (problem_drop(&p), true));
    kcl_operator *op, *grad, *second;
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", 4, aliases, NULL), KCL_OK);
    const kcl_array *args[6];
    for (int k = 0; k < OPERANDS; k++)
        args[k] = &p.of[k].array;
    for (int k = 0; k < 4; k++) {
        operand out = like_operand(&p, k);
        const kcl_array *to = &out.array;
        ck_assert_int_eq(kcl_operator_grad(&grad, op, names[k]), KCL_OK);
        ck_assert_msg(kcl_operator_apply(grad, device, &to, 1, args, 5) == KCL_OK, "%s: %s", p.text,
                      kcl_context_error(device));
        check_gradient(&p, &p.of[k], &out, linear_loss_of);
        kcl_operator_destroy(&grad);
        drop(&out);
    }
    /* The gradient in x, with x as its cotangent: what x itself does as a variable is held. */
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "x"), KCL_OK);
    args[5] = &p.of[X].array;
    for (int k = 1; k < OPERANDS && (by_interpreter || k == 3); k++) {
        operand out = like_operand(&p, k);
        const kcl_array *to = &out.array;
        ck_assert_int_eq(kcl_operator_grad(&second, grad, k < 4 ? names[k] : "4"), KCL_OK);
        ck_assert_msg(kcl_operator_apply(second, device, &to, 1, args, 6) == KCL_OK, "%s: %s", p.text,
                      kcl_context_error(device));
        check_gradient(&p, &p.of[k], &out, slope_along_x);
        kcl_operator_destroy(&second);
        drop(&out);
    }
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
    problem_drop(&p);
}
END_TEST

/* |dH/dm|^2 for H = sum over batches of m K m / 2, with x = (i) and m = (u); K_ij = exp(-|x_i - x_j|^2). */
static double squared_momentum(const problem *p)
{
    int64_t place[AXES] = {0};
    double loss = 0;
    do {
        for (int64_t i = 0; i < p->M; i++) {
            for (int k = 0; k < 2; k++) {
                double sum = 0;
                for (int64_t j = 0; j < p->M; j++) {
                    double square = 0;
                    for (int c = 0; c < 3; c++)
                        square += pow(*exact_at(&p->of[X], place, i, c) - *exact_at(&p->of[X], place, j, c), 2);
                    sum += exp(-square) * *exact_at(&p->of[U], place, j, k);
                }
                loss += sum * sum;
            }
        }
    } while (next_place(&p->of[X].batch, place));
    return loss;
}

START_TEST(test_second_derivatives_of_batches)
{
    problem p = {.dtype = _i ? KCL_F32 : KCL_F64, .M = 6, .text = "second derivatives"};
    const sizes batch = {{4, 1, 1, 1, 1, 1}};
    p.of[X] = make('i', 3, p.M, &batch, p.dtype, 0, 0);
    p.of[U] = make('i', 2, p.M, &batch, p.dtype, 0, 0);
    fill(&p.of[X], -1, 1);
    fill(&p.of[U], -1, 1);
    kcl_data *x = kcl_data_create(s, &p.of[X].array), *m = kcl_data_create(s, &p.of[U].array);
    kcl_expr *x_i = kcl_vi_data(s, x), *m_i = kcl_vi_data(s, m);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, kcl_vj_data(s, x))));
    kcl_expr *H = kcl_reduce_sum(kcl_dot(m_i, kcl_reduce_sum(kcl_mul(K, kcl_vj_data(s, m)), KCL_OVER_J)), KCL_OVER_I);
    H = kcl_mul(kcl_constant(s, 0.5), over_all_batches(H));
    kcl_expr *L = over_all_batches(kcl_reduce_sum(kcl_sqnorm2(kcl_grad(H, m_i)), KCL_OVER_I));
    kcl_expr *grads[] = {kcl_grad(L, x_i), kcl_grad(L, m_i)};
    operand outs[] = {make('i', 3, p.M, &batch, p.dtype, 0, 0), make('i', 2, p.M, &batch, p.dtype, 0, 0)};
    eval(&p, 2, grads, outs);
    check_gradient(&p, &p.of[X], &outs[0], squared_momentum);
    check_gradient(&p, &p.of[U], &outs[1], squared_momentum);
    drop(&outs[0]);
    drop(&outs[1]);
    drop(&p.of[X]);
    drop(&p.of[U]);
}
END_TEST

/* ---- Scenarios --------------------------------------------------------------------------------------------------- */

/* K b with any number of columns, and its gradient for cotangents that are expanded, permuted or a slice. */
START_TEST(test_strides_of_cotangents)
{
    enum { BATCHES = 2, M = 7, N = 9, WIDEST = 128 };
    static const int columns[] = {1, 79, 80, 81, WIDEST};
    static float x[BATCHES * M * 3], y[N * 3], e[BATCHES * M * (WIDEST + 3)], out[BATCHES * N * WIDEST];
    const int C = columns[_i];
    const int64_t size = sizeof(float);
    for (int k = 0; k < BATCHES * M * 3; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < N * 3; k++)
        y[k] = (float)uniform(-1, 1);
    for (int k = 0; k < BATCHES * M * (WIDEST + 3); k++)
        e[k] = (float)uniform(-1, 1);
    /* by batch, row, column */
    const int64_t strides[][3] = {
        {M * C, C, 1},             /* dense */
        {0, 0, 0},                 /* one number, expanded */
        {0, C, 1},                 /* the same for all batches */
        {1, C * BATCHES, BATCHES}, /* permuted */
        {M * (C + 3), C + 3, 1},   /* a slice of more columns */
        {M * C, 1, M},             /* transposed */
    };
    kcl_expr *b = kcl_vj(s, kcl_f32(y, N, 1)), *wide = kcl_repeat(b, C);
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, BATCHES, M, 3)), *y_j = kcl_vj(s, kcl_f32(y, N, 3));
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j)));
    kcl_array of_v = *kcl_f32(out, N, C);
    static float zeros[N * WIDEST];
    of_v.data = zeros;
    kcl_expr *v = kcl_vj(s, &of_v), *sums = kcl_reduce_sum(kcl_mul(K, kcl_add(v, wide)), KCL_OVER_J);
    for (size_t n = 0; n < sizeof strides / sizeof *strides; n++) {
        kcl_array of_e = {.data = e, .dtype = KCL_F32, .ndim = 3, .shape = {BATCHES, M, C}};
        for (int k = 0; k < 3; k++)
            of_e.stride[k] = strides[n][k] * size;
        kcl_expr *grad = kcl_vjp(sums, v, kcl_vi(s, &of_e));
        ck_assert_msg(kcl_eval1(grad, kcl_f32(out, N, C)) == KCL_OK, "strides %zu: %s", n, kcl_context_error(device));
        for (int j = 0; j < N; j++) {
            for (int c = 0; c < C; c++) {
                double want = 0, scale = 0;
                for (int at = 0; at < BATCHES * M; at++) {
                    double d = 0, f;
                    for (int k = 0; k < 3; k++)
                        d += pow((double)x[at * 3 + k] - y[j * 3 + k], 2);
                    f = exp(-d) * e[at / M * strides[n][0] + at % M * strides[n][1] + c * strides[n][2]];
                    want += f;
                    scale += fabs(f);
                }
                ck_assert_msg(fabs(out[j * C + c] - want) <= 1e-5 * scale, "strides %zu, %d columns: %g, not %g", n, C,
                              (double)out[j * C + c], want);
            }
        }
    }
}
END_TEST

int main(int argc, char **argv)
{
    const bool host = begin_batches(argc, argv);
    const test_entry tests[] = {
        {test_gradients, host           ? 30
                         : long_tests() ? 60
                                        : 3},
        {test_gradients_of_operators, host           ? 40
                                      : long_tests() ? 60
                                                     : 1},
        {test_second_derivatives_of_batches, 2},
        {test_strides_of_cotangents, 5},
    };
    return run_batches("batch gradients", tests, KB_COUNT(tests));
}
