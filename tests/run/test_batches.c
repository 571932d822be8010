/* SPDX-License-Identifier: MIT */
/*
 * Batch axes: random shapes and broadcasts, shapes that do not fit, scenarios, memory.
 */
#include "batches.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- The formula ------------------------------------------------------------------------------------------------- */

/* Sum of F over the axes, times u_i where that has rows. */
static void check_sum(const problem *p, const operand *out, int over, bool times_u)
{
    int64_t place[AXES] = {0};
    if (!count_of(&out->batch))
        return;
    do {
        for (int64_t row = 0; row < out->rows; row++) {
            for (int k = 0; k < 2; k++) {
                double want = 0, scale = 1e-30;
                for (int64_t i = over & KCL_OVER_I ? 0 : row; i < (over & KCL_OVER_I ? p->M : row + 1); i++) {
                    for (int64_t j = over & KCL_OVER_J ? 0 : row; j < (over & KCL_OVER_J ? p->N : row + 1); j++) {
                        double f = f_of(p, place, i, j, k);
                        want += f;
                        scale += fabs(f);
                    }
                }
                if (times_u) {
                    want *= *exact_at(&p->of[U], place, row, k);
                    scale *= 1 + fabs(*exact_at(&p->of[U], place, row, k));
                }
                double got = memory_get(out, place, row, k);
                ck_assert_msg(fabs(got - want) <= tolerance(p) * scale, "%s: sum over %d, row %lld: %.9g, not %.9g",
                              p->text, over, (long long)row, got, want);
            }
        }
    } while (next_place(&out->batch, place));
}

/* LogSumExp and ArgMin of G over the axis that the result lacks. */
static void check_values(const problem *p, const operand *lse, const operand *least, int over)
{
    int64_t place[AXES] = {0}, terms = over == KCL_OVER_J ? p->N : p->M;
    if (!count_of(&lse->batch))
        return;
    do {
        for (int64_t row = 0; row < lse->rows; row++) {
            double most = -INFINITY, smallest = INFINITY, sum = 0;
            for (int64_t t = 0; t < terms; t++) {
                double g = over == KCL_OVER_J ? g_of(p, place, row, t) : g_of(p, place, t, row);
                most = fmax(most, g);
                smallest = fmin(smallest, g);
            }
            for (int64_t t = 0; t < terms; t++)
                sum += exp((over == KCL_OVER_J ? g_of(p, place, row, t) : g_of(p, place, t, row)) - most);
            double want = most + log(sum), got = memory_get(lse, place, row, 0);
            if (terms == 0)
                want = -INFINITY;
            ck_assert_msg(got == want || fabs(got - want) <= tolerance(p) * (1 + fabs(want)),
                          "%s: logsumexp over %d, row %lld: %.9g, not %.9g", p->text, over, (long long)row, got, want);
            int64_t index = (int64_t)memory_get(least, place, row, 0);
            ck_assert_msg(terms ? index >= 0 && index < terms : index == -1, "%s: argmin over %d, row %lld: %lld",
                          p->text, over, (long long)row, (long long)index);
            if (terms) {
                double g = over == KCL_OVER_J ? g_of(p, place, row, index) : g_of(p, place, index, row);
                ck_assert_msg(g - smallest <= tolerance(p) * (1 + fabs(smallest)), "%s: argmin over %d, row %lld: %lld",
                              p->text, over, (long long)row, (long long)index);
            }
        }
    } while (next_place(&lse->batch, place));
}

START_TEST(test_random_broadcasts)
{
    seed_random(test_seed() + (uint64_t)_i);
    problem p;
    problem_make(&p, _i % 3 ? KCL_F32 : KCL_F64, true);
    kcl_expr *v[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    kcl_expr *d = kcl_mul(v[G], kcl_sqdist(v[X], v[Y]));
    kcl_expr *F = kcl_mul(kcl_exp(kcl_neg(d)), v[B]);
    kcl_expr *value = kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), d);
    int64_t shape[KCL_MAX_AXES];
    int axes = kcl_expr_shape(F, shape);
    ck_assert_msg(axes >= 3, "%s: %s", p.text, kcl_expr_error(F));
    for (int b = 0; b < AXES; b++)
        ck_assert_int_eq(b < axes - 3 ? shape[axes - 4 - b] : 1, p.batch.of[b]);
    ck_assert(shape[axes - 3] == p.M && shape[axes - 2] == p.N && shape[axes - 1] == 2);
    int over = 1 + _i % 3;
    char role = over == KCL_OVER_J ? 'i' : over == KCL_OVER_I ? 'j' : 'p';
    bool times_u = role == 'i' && pick(2);
    sizes of_sum = times_u ? join(p.batch, p.of[U].batch) : p.batch;
    kcl_expr *sum = kcl_reduce_sum(F, (kcl_axes)over);
    operand outs[] = {result_for(&p, role, 2, of_sum, p.dtype), result_for(&p, role, 1, p.batch, p.dtype),
                      result_for(&p, role, 1, p.batch, KCL_I64)};
    kcl_expr *exprs[] = {times_u ? kcl_mul(sum, v[U]) : sum, kcl_reduce_logsumexp(value, (kcl_axes)over),
                         kcl_reduce_argmin(value, (kcl_axes)over)};
    /* Where an axis has size 1 or 0, ArgMin over it has nothing to choose from, or is no index of it. */
    bool indices = over != KCL_OVER_BOTH && p.M > 1 && p.N > 1;
    eval(&p, indices ? 3 : 1, exprs, outs);
    check_sum(&p, &outs[0], over, times_u);
    if (indices)
        check_values(&p, &outs[1], &outs[2], over);
    for (int k = 0; k < 3; k++)
        drop(&outs[k]);
    problem_drop(&p);
}
END_TEST

/* Operators get batches with the arrays; every schedule runs them. */
START_TEST(test_operators_on_every_schedule)
{
    static const char *const names[] = {NULL, "lanes", "rows", "contraction", "split", "columns"};
    static const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "g=Pm(1)"};
    seed_random(test_seed() + 7000 + (uint64_t)_i);
    int over = _i % 2 ? KCL_OVER_J : KCL_OVER_I;
    const char *schedule = names[_i % 6];
    bool numbers = schedule && strcmp(schedule, "contraction") == 0; /* its terms are numbers */
    const char *sums =
        over == KCL_OVER_J ? "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)" : "Sum_Reduction(Exp(-g*SqDist(x,y))*b,1)";
    const char *values =
        over == KCL_OVER_J
            ? "LogSumExp_Reduction(Elem(b,0)/3-g*SqDist(x,y),0);ArgMin_Reduction(Elem(b,0)/3-g*SqDist(x,y),0)"
            : "LogSumExp_Reduction(Elem(b,0)/3-g*SqDist(x,y),1);ArgMin_Reduction(Elem(b,0)/3-g*SqDist(x,y),1)";
    problem p;
    do
        problem_make(&p, _i % 4 == 3 ? KCL_F64 : KCL_F32, false);
    while ((p.M < 2 || p.N < 2) && (problem_drop(&p), true));
    const kcl_array *args[4];
    for (int k = 0; k < 4; k++)
        args[k] = &p.of[k].array;
    char role = over == KCL_OVER_J ? 'i' : 'j';
    operand outs[] = {result_for(&p, role, 2, p.batch, p.dtype), result_for(&p, role, 1, p.batch, p.dtype),
                      result_for(&p, role, 1, p.batch, KCL_I64)};
    const kcl_array *to[] = {&outs[0].array, &outs[1].array, &outs[2].array};
    for (int pass = numbers; pass < 2; pass++) {
        kcl_operator *op;
        const kcl_operator_params params = {.schedule = schedule, .form = _i % 4 == 1 ? "expanded" : NULL};
        ck_assert_msg(kcl_operator_create(&op, pass ? values : sums, 4, aliases, &params) == KCL_OK, "%s",
                      kcl_operator_error(op));
        ck_assert_msg(kcl_operator_apply(op, device, to + pass, 1 + pass, args, 4) == KCL_OK, "%s: %s: %s", p.text,
                      schedule ? schedule : "by rule", kcl_context_error(device));
        kcl_operator_destroy(&op);
    }
    if (!numbers)
        check_sum(&p, &outs[0], over, false);
    check_values(&p, &outs[1], &outs[2], over);
    for (int k = 0; k < 3; k++)
        drop(&outs[k]);
    problem_drop(&p);
}
END_TEST

/* ---- Bad shapes -------------------------------------------------------------------------------------------------- */

#define IS_SHAPE_ERROR(e, ...)                                                                                         \
    do {                                                                                                               \
        ck_assert_int_eq(kcl_expr_status(e), KCL_ERROR_SHAPE);                                                         \
        CONTAINS(kcl_expr_error(e), __VA_ARGS__);                                                                      \
    } while (0)

START_TEST(test_sizes_that_do_not_broadcast)
{
    static float a[MOST];
    kcl_expr *x = kcl_vi(s, kcl_f32(a, 4, 3, 10, 2)), *y = kcl_vj(s, kcl_f32(a, 5, 1, 11, 2));
    kcl_expr *z = kcl_lazy(s, kcl_f32(a, 2, 1, 7, 2));
    IS_SHAPE_ERROR(kcl_sub(x, y), "size 4", "batch axis -2", "array 0", "5", "array 1");
    IS_SHAPE_ERROR(kcl_sqdist(x, z), "size 3", "batch axis -1", "array 0", "2", "array 2");
    kcl_expr *u = kcl_reduce_sum(kcl_sqdist(y, kcl_vi(s, kcl_f32(a, 11, 2))), KCL_OVER_J);
    ck_assert_int_eq(kcl_expr_status(u), KCL_OK);
    IS_SHAPE_ERROR(kcl_mul(u, x), "size 5", "batch axis -2", "a reduction of array 1", "4", "array 0");
    IS_SHAPE_ERROR(kcl_formula(s, "x-y", 2, (const char *[]){"x", "y"}, (kcl_expr *[]){x, y}), "size 4", "5");
    int64_t shape[KCL_MAX_AXES];
    ck_assert_int_eq(kcl_expr_shape(kcl_sub(x, y), shape), 0);
    /* The result has the batch axes of all its operands. */
    static float out[MOST];
    kcl_expr *sum = kcl_reduce_sum(kcl_sqdist(x, kcl_vj(s, kcl_f32(a, 11, 2))), KCL_OVER_J);
    ck_assert_int_eq(kcl_eval1(sum, kcl_f32(out, 4, 10)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "output 0", "(4, 10)", "(4, 3, M, 1)");
    ck_assert_int_eq(kcl_eval1(sum, kcl_f32(out, 4, 3, 1, 10)), KCL_OK);
    /* A text knows arrays by number only where they have no batches. */
    kcl_expr *unknown = kcl_formula(s, "Sum(Var(0,2,0))", 0, NULL, NULL);
    ck_assert_int_eq(kcl_eval1(unknown, kcl_f32(out, 10)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "array 0", "batch axes", "name");
}
END_TEST

/* Strides of 0 give small arrays any number of batches, and two of them together more than can be counted. */
START_TEST(test_batches_that_cannot_be_counted)
{
    static float a[MOST], out[8];
    const int64_t many = INT64_C(1) << 40;
    kcl_array left = kcl_array_of(a, KCL_F32, 4, (const int64_t[]){1, 1, 4, 2}), right = left, both = left;
    left.shape[0] = many;
    right.shape[1] = many;
    both.shape[0] = both.shape[1] = many;
    left.stride[0] = right.stride[1] = both.stride[0] = both.stride[1] = 0;
    kcl_expr *product = kcl_mul(kcl_vi(s, &left), kcl_vj(s, &right));
    kcl_expr *sum = kcl_reduce_sum_batch(kcl_reduce_sum_batch(kcl_reduce_sum(product, KCL_OVER_J), 1), 0);
    ck_assert_int_eq(kcl_eval1(sum, kcl_f32(out, 4, 2)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(device), "1099511627776 x 1099511627776 batches", "axes -2 to -1", "64-bit");
    ck_assert_int_eq(kcl_sum(kcl_vj(s, &both), KCL_OVER_J, kcl_f32(out, 2)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(device), "(1099511627776, 1099511627776, 4, 2)", "axes 0 to 1", "64-bit");
}
END_TEST

START_TEST(test_arguments_that_do_not_broadcast)
{
    static float a[MOST], out[MOST];
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)"};
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(SqDist(x,y),0)", 2, aliases, NULL), KCL_OK);
    const kcl_array *args[] = {kcl_f32(a, 4, 3, 10, 2), kcl_f32(a, 5, 1, 11, 2)}, *to = kcl_f32(out, 4, 3, 10);
    ck_assert_int_eq(kcl_operator_apply(op, device, &to, 1, args, 2), KCL_ERROR_LENGTH);
    CONTAINS(kcl_context_error(device), "\"x\"", "size 4", "axis -2", "\"y\"", "5");
    args[1] = kcl_f32(a, 3, 11, 2);
    ck_assert_msg(kcl_operator_apply(op, device, &to, 1, args, 2) == KCL_OK, "%s", kcl_context_error(device));
    to = kcl_f32(out, 4, 2, 10);
    ck_assert_int_eq(kcl_operator_apply(op, device, &to, 1, args, 2), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "output 0", "(4, 2, 10)", "(4, 3, M, 1)");
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- What is chosen, over batch axes too ------------------------------------------------------------------------- */

/* Large enough for parts: of columns, of rows, and of the batches that are reduced. */
START_TEST(test_many_batches_become_one)
{
    enum { BATCHES = 300, M = 40, N = 30, D = 2 };
    static float x[BATCHES * M * D], y[N * D], g[BATCHES], out[M * D + 1];
    for (int k = 0; k < BATCHES * M * D; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < N * D; k++)
        y[k] = (float)uniform(-1, 1);
    for (int k = 0; k < BATCHES; k++)
        g[k] = (float)uniform(0.5, 2);
    kcl_expr *v = kcl_vi(s, kcl_f32(x, BATCHES, M, D)), *w = kcl_vj(s, kcl_f32(y, N, D));
    kcl_expr *K = kcl_mul(kcl_pm(s, kcl_f32(g, BATCHES, 1)), kcl_sqdist(v, w));
    for (int over = 1; over <= 3; over++) {
        kcl_expr *sum = kcl_reduce_sum_batch(kcl_reduce_sum(K, (kcl_axes)over), 0);
        ck_assert_msg(kcl_eval1(sum, over == KCL_OVER_J   ? kcl_f32(out, M)
                                     : over == KCL_OVER_I ? kcl_f32(out, N)
                                                          : kcl_f32(out, 1)) == KCL_OK,
                      "%s", kcl_context_error(device));
        int rows = over == KCL_OVER_J ? M : over == KCL_OVER_I ? N : 1;
        for (int row = 0; row < rows; row++) {
            double want = 0;
            for (int b = 0; b < BATCHES; b++)
                for (int i = over & KCL_OVER_I ? 0 : row; i < (over & KCL_OVER_I ? M : row + 1); i++)
                    for (int j = over & KCL_OVER_J ? 0 : row; j < (over & KCL_OVER_J ? N : row + 1); j++)
                        for (int k = 0; k < D; k++)
                            want += g[b] * pow((double)x[(b * M + i) * D + k] - y[j * D + k], 2);
            ck_assert_msg(fabs(out[row] - want) <= 1e-6 * want, "over %d, row %d: %g, not %g", over, row, out[row],
                          want);
        }
    }
    /* Batches of rows, without columns. */
    kcl_expr *rows = kcl_reduce_sum_batch(kcl_square(v), -1);
    ck_assert_msg(kcl_eval1(rows, kcl_f32(out, M, D)) == KCL_OK, "%s", kcl_context_error(device));
    for (int k = 0; k < M * D; k++) {
        double want = 0;
        for (int b = 0; b < BATCHES; b++)
            want += (double)x[b * M * D + k] * x[b * M * D + k];
        ck_assert_double_le(fabs(out[k] - want), 1e-6 * want);
    }
}
END_TEST

/* ---- The layer below expressions, where a schedule can be asked for ----------------------------------------------- */

/* More batches than a launch takes. */
START_TEST(test_very_many_batches)
{
    enum { BATCHES = 70001, M = 2, N = 3 };
    float *x = malloc(sizeof *x * BATCHES * M), *y = malloc(sizeof *y * BATCHES * N);
    float *out = malloc(sizeof *out * BATCHES * M);
    for (int k = 0; k < BATCHES * M; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < BATCHES * N; k++)
        y[k] = (float)uniform(-1, 1);
    kcl_expr *d = kcl_sqdist(kcl_vi(s, kcl_f32(x, BATCHES, M, 1)), kcl_vj(s, kcl_f32(y, BATCHES, N, 1)));
    ck_assert_msg(kcl_sum(d, KCL_OVER_J, kcl_f32(out, BATCHES, M)) == KCL_OK, "%s", kcl_context_error(device));
    for (int at = 0; at < BATCHES * M; at++) {
        double want = 0;
        for (int j = 0; j < N; j++)
            want += pow((double)x[at] - y[at / M * N + j], 2);
        ck_assert_msg(fabs(out[at] - want) <= 1e-5 * want, "row %d: %g, not %g", at, (double)out[at], want);
    }
    free(x);
    free(y);
    free(out);
}
END_TEST

/* ---- Scenarios --------------------------------------------------------------------------------------------------- */

/* Clouds (4, 1) against (1, 4): all totals of squared distances. */
START_TEST(test_all_pairs_of_clouds)
{
    float *x = malloc(sizeof(float) * 4 * 64 * 3), out[16];
    for (int k = 0; k < 4 * 64 * 3; k++)
        x[k] = (float)uniform(-1, 1);
    kcl_expr *a = kcl_vi(s, kcl_f32(x, 4, 1, 64, 3)), *b = kcl_vj(s, kcl_f32(x, 1, 4, 64, 3));
    int64_t shape[KCL_MAX_AXES];
    ck_assert_int_eq(kcl_expr_shape(kcl_sqdist(a, b), shape), 5);
    ck_assert(shape[0] == 4 && shape[1] == 4 && shape[2] == 64 && shape[3] == 64 && shape[4] == 1);
    ck_assert_msg(kcl_sum(kcl_sqdist(a, b), KCL_OVER_BOTH, kcl_f32(out, 4, 4)) == KCL_OK, "%s",
                  kcl_context_error(device));
    for (int p = 0; p < 16; p++) {
        double want = 0;
        for (int i = 0; i < 64; i++)
            for (int j = 0; j < 64; j++)
                for (int k = 0; k < 3; k++)
                    want += pow((double)x[(p / 4 * 64 + i) * 3 + k] - x[(p % 4 * 64 + j) * 3 + k], 2);
        ck_assert_double_le(fabs(out[p] - want), 1e-5 * want);
    }
    free(x);
}
END_TEST

/* u given as (B, 1, N): three axes that the shape takes for rows of j with N components. */
START_TEST(test_a_vector_axis_that_is_missing)
{
    enum { BATCHES = 8, M = 50, N = 60 };
    static float a[BATCHES * N * 3], out[BATCHES * N];
    kcl_expr *x = kcl_lazy(s, kcl_f32(a, BATCHES, M, 1, 3)), *y = kcl_lazy(s, kcl_f32(a, BATCHES, 1, N, 3));
    kcl_expr *wrong = kcl_lazy(s, kcl_f32(a, BATCHES, 1, N)), *right = kcl_lazy(s, kcl_f32(a, BATCHES, 1, N, 1));
    kcl_expr *F = kcl_div(kcl_add(kcl_neg(kcl_sqdist(x, y)), right), kcl_scalar(s, 0.1));
    ck_assert_msg(kcl_logsumexp(F, KCL_OVER_I, kcl_f32(out, BATCHES, 1, N, 1)) == KCL_OK, "%s",
                  kcl_context_error(device));
    /* (8, 1, 60) is an i-variable of 8 rows and 60 components: the result has 60 too, and does not get into the output. */
    ck_assert_int_eq(kcl_expr_dim(wrong), N);
    kcl_expr *G = kcl_reduce_logsumexp(kcl_add(kcl_neg(kcl_sqdist(x, y)), wrong), KCL_OVER_I);
    ck_assert_int_ne(kcl_eval1(G, kcl_f32(out, BATCHES, 1, N, 1)), KCL_OK);
    CONTAINS(kcl_context_error(device), "8 rows", "50");
}
END_TEST

/* Other lengths and batch sizes of the same structure compile nothing. */
START_TEST(test_other_sizes_compile_nothing)
{
    static float x[MOST], y[MOST], out[MOST];
    kcl_context_stats stats;
    uint64_t built = 0;
    for (int round = 0; round < 30; round++) {
        int64_t A = 2 + round % 3, B = 2 + round % 4, M = 20 + round;
        kcl_expr *F = kcl_exp(kcl_neg(kcl_sqdist(kcl_vi(s, kcl_f32(x, A, B, M, 2)), kcl_vj(s, kcl_f32(y, B, 24, 2)))));
        ck_assert_msg(kcl_sum(F, KCL_OVER_J, kcl_f32(out, A, B, M)) == KCL_OK, "%s", kcl_context_error(device));
        kcl_scope_reset(s);
        kcl_context_get_stats(device, &stats);
        if (round == 0)
            built = stats.programs_built + stats.programs_loaded;
        ck_assert_uint_eq(stats.programs_built + stats.programs_loaded, built);
    }
}
END_TEST

/* Device arrays that begin within their memory are copied batch by batch, in both directions. */
START_TEST(test_device_arrays_of_batches)
{
    enum { A = 3, B = 2, M = 5, N = 4 };
    float x[A * M * 2], y[B * N * 2], out[A * B * M + 1];
    for (int k = 0; k < A * M * 2; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < B * N * 2; k++)
        y[k] = (float)uniform(-1, 1);
    kcl_memory *memory[2] = {NULL, NULL};
    ck_assert_int_eq(kcl_memory_create(device, sizeof x + 8, &memory[0]), KCL_OK);
    ck_assert_int_eq(kcl_memory_create(device, sizeof out + 16, &memory[1]), KCL_OK);
    const kcl_array of_x = kcl_array_in(memory[0], 8, KCL_F32, 4, (const int64_t[]){A, 1, M, 2});
    const kcl_array of_out = kcl_array_in(memory[1], 4, KCL_F32, 3, (const int64_t[]){A, B, M});
    ck_assert_msg(kcl_array_update(device, kcl_f32(x, A, 1, M, 2), &of_x) == KCL_OK, "%s", kcl_context_error(device));
    kcl_expr *sum = kcl_reduce_sum(kcl_sqdist(kcl_vi(s, &of_x), kcl_vj(s, kcl_f32(y, B, N, 2))), KCL_OVER_J);
    ck_assert_msg(kcl_eval1(sum, &of_out) == KCL_OK, "%s", kcl_context_error(device));
    ck_assert_msg(kcl_array_download(device, &of_out, kcl_f32(out, A, B, M)) == KCL_OK, "%s",
                  kcl_context_error(device));
    for (int at = 0; at < A * B * M; at++) {
        double want = 0;
        for (int j = 0; j < N; j++)
            for (int k = 0; k < 2; k++)
                want += pow((double)x[(at / M / B * M + at % M) * 2 + k] - y[(at / M % B * N + j) * 2 + k], 2);
        ck_assert_msg(fabs(out[at] - want) <= 1e-5 * want, "%d: %g, not %g", at, (double)out[at], want);
    }
    kcl_memory_release(&memory[0]);
    kcl_memory_release(&memory[1]);
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Totals of all batches and their gradients, in a context of its own. */
static kcl_status compute(kcl_context *context, kcl_scope *scope, int64_t A, int64_t B, int64_t M)
{
    static double x[MOST], y[MOST], g[64], out[MOST], of_x[MOST], of_g[64];
    for (int k = 0; k < MOST; k++)
        x[k] = y[k] = sin(k + 1.0);
    for (int k = 0; k < 64; k++)
        g[k] = 1 + 0.01 * k;
    kcl_expr *v = kcl_vi(scope, kcl_f64(x, A, 1, M, 2)), *w = kcl_vj(scope, kcl_f64(y, B, 9, 2));
    kcl_expr *p = kcl_pm(scope, kcl_f64(g, A, 1, 1));
    kcl_expr *sum = kcl_reduce_sum(kcl_exp(kcl_neg(kcl_mul(p, kcl_sqdist(v, w)))), KCL_OVER_J);
    kcl_expr *L = kcl_reduce_sum(kcl_square(kcl_reduce_sum_batch(sum, -1)), KCL_OVER_I);
    L = kcl_reduce_sum_batch(L, 0);
    kcl_status status =
        kcl_eval(3, (kcl_expr *[]){sum, kcl_grad(L, v), kcl_grad(L, p)},
                 (const kcl_array *[]){kcl_f64(out, A, B, M), kcl_f64(of_x, A, M, 2), kcl_f64(of_g, A)});
    ck_assert(status == KCL_OK || *kcl_context_error(context));
    kcl_scope_reset(scope);
    return status;
}

START_TEST(test_each_allocation_fails)
{
    kcl_status status = KCL_ERROR_NO_MEMORY;
    long long n;
    for (n = 1; status == KCL_ERROR_NO_MEMORY; n++) {
        failing f = {.fail_at = n};
        kcl_context *c = NULL;
        status = kcl_context_create(&c, &(kcl_context_params){.device = "host", .allocator = failing_allocator(&f)});
        kcl_scope *scope = status == KCL_OK ? kcl_scope_create(c) : NULL;
        if (scope)
            status = compute(c, scope, 3, 2, 5);
        else
            status = KCL_ERROR_NO_MEMORY;
        ck_assert_msg(status == KCL_OK || status == KCL_ERROR_NO_MEMORY, "allocation %lld: %s", n,
                      kcl_context_error(c));
        kcl_scope_destroy(&scope);
        kcl_context_destroy(&c);
        ck_assert_msg(f.blocks == 0, "allocation %lld: %lld blocks leak", n, (long long)f.blocks);
    }
    ck_assert_int_eq(status, KCL_OK);
    ck_assert_int_gt(n, 50);
}
END_TEST

/* Of a call whose batches are reduced: the operator is there before. */
START_TEST(test_each_allocation_of_a_call_fails)
{
    enum { A = 3, M = 4, N = 5 };
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)"};
    double x[A * M * 2], y[N * 2], e[M * 2] = {1, 2, 3, 4}, out[N * 2];
    for (int k = 0; k < A * M * 2; k++)
        x[k] = sin(k + 1.0);
    for (int k = 0; k < N * 2; k++)
        y[k] = cos(k + 1.0);
    kcl_operator *op, *grad;
    ck_assert_int_eq(
        kcl_operator_create(&op, "KMin_Reduction(SqDist(x,y)+Elem(Gather(y,IndexJ+1),0),2,0)", 2, aliases, NULL),
        KCL_OK);
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "y"), KCL_OK);
    const kcl_array *args[] = {kcl_f64(x, A, M, 2), kcl_f64(y, N, 2), kcl_f64(e, M, 2)}, *to = kcl_f64(out, N, 2);
    kcl_status status = KCL_ERROR_NO_MEMORY;
    int n;
    for (n = 1; status == KCL_ERROR_NO_MEMORY; n++) {
        failing f = {.fail_at = 0};
        kcl_context *c = NULL;
        ck_assert_int_eq(
            kcl_context_create(&c, &(kcl_context_params){.device = "host", .allocator = failing_allocator(&f)}),
            KCL_OK);
        f.fail_at = atomic_load(&f.requests) + n;
        status = kcl_operator_apply(grad, c, &to, 1, args, 3);
        ck_assert_msg(status == KCL_OK || status == KCL_ERROR_NO_MEMORY, "allocation %d: %s", n, kcl_context_error(c));
        kcl_context_destroy(&c);
        ck_assert_msg(f.blocks == 0, "allocation %d: %lld blocks leak", n, (long long)f.blocks);
    }
    ck_assert_int_eq(status, KCL_OK);
    ck_assert_int_gt(n, 50);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_memory_stays_flat)
{
    failing f = {0};
    kcl_context *c = NULL;
    const char *name = by_interpreter ? "host" : test_device();
    ck_assert_int_eq(kcl_context_create(&c, &(kcl_context_params){.device = name, .allocator = failing_allocator(&f)}),
                     KCL_OK);
    kcl_scope *scope = kcl_scope_create(c);
    kcl_context_stats stats, first;
    long long blocks = 0;
    const int rounds = 600;
    for (int round = 0; round < rounds; round++) {
        ck_assert_msg(compute(c, scope, 2 + round % 5, 2 + round % 3, 3 + round % 40) == KCL_OK, "%s",
                      kcl_context_error(c));
        kcl_context_get_stats(c, &stats);
        if (round == rounds / 2) {
            blocks = f.blocks;
            first = stats;
        }
        if (round > rounds / 2) {
            ck_assert_int_le(f.blocks, blocks);
            ck_assert_uint_eq(stats.programs_built, first.programs_built);
        }
    }
    kcl_scope_destroy(&scope);
    kcl_context_destroy(&c);
    ck_assert_int_eq(f.blocks, 0);
}
END_TEST

int main(int argc, char **argv)
{
    const bool host = begin_batches(argc, argv);
    const test_entry tests[] = {
        {test_random_broadcasts, host || long_tests() ? 300 : 16},
        {test_operators_on_every_schedule, host           ? 60
                                           : long_tests() ? 300
                                                          : 9},
        {test_sizes_that_do_not_broadcast, 0},
        {test_batches_that_cannot_be_counted, 0},
        {test_arguments_that_do_not_broadcast, 0},
        {test_many_batches_become_one, 0},
        {test_very_many_batches, 0},
        {test_all_pairs_of_clouds, 0},
        {test_a_vector_axis_that_is_missing, 0},
        {test_other_sizes_compile_nothing, 0},
        {test_device_arrays_of_batches, 0},
        {test_each_allocation_fails, 0},
        {test_each_allocation_of_a_call_fails, 0},
        {test_memory_stays_flat, 0},
    };
    return run_batches("batches", tests, KB_COUNT(tests));
}
