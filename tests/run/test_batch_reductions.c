/* SPDX-License-Identifier: MIT */
/*
 * Reductions over batch axes, in expressions, in operators and, by every schedule, in the layer below.
 */
#include "batches.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Reductions over batch axes, gradients ----------------------------------------------------------------------- */

enum { SUM, MEAN, LOGSUMEXP, MIN, MAX, REDUCTIONS };

static kcl_expr *(*const over_rows[])(kcl_expr *f, kcl_axes over) = {
    kcl_reduce_sum, kcl_reduce_mean, kcl_reduce_logsumexp, kcl_reduce_min, kcl_reduce_max};
static kcl_expr *(*const over_batches[])(kcl_expr *f, int axis) = {kcl_reduce_sum_batch, kcl_reduce_mean_batch,
                                                                   kcl_reduce_logsumexp_batch, kcl_reduce_min_batch,
                                                                   kcl_reduce_max_batch};

/*
 * A reduction over `over` and over the batch axes in `axes`, bits from the last one on: sum or mean of F, or one of the
 * others of G.
 */
static void check_reduced(const problem *p, const operand *out, int over, unsigned axes, int what)
{
    int64_t place[AXES] = {0};
    sizes inner = no_batches;
    for (int b = 0; b < AXES; b++)
        if (axes >> b & 1)
            inner.of[b] = p->batch.of[b];
    if (!count_of(&out->batch))
        return;
    do {
        for (int64_t row = 0; row < out->rows; row++) {
            for (int k = 0; k < out->dim; k++) {
                double want = what == MIN ? INFINITY : what == MAX ? -INFINITY : 0, scale = 1e-30, terms = 0;
                int64_t each[AXES] = {0};
                bool some = count_of(&inner) > 0;
                while (some) {
                    int64_t all[AXES];
                    for (int b = 0; b < AXES; b++)
                        all[b] = axes >> b & 1 ? each[b] : place[b];
                    for (int64_t i = over & KCL_OVER_I ? 0 : row; i < (over & KCL_OVER_I ? p->M : row + 1); i++) {
                        for (int64_t j = over & KCL_OVER_J ? 0 : row; j < (over & KCL_OVER_J ? p->N : row + 1); j++) {
                            double f = what == SUM || what == MEAN ? f_of(p, all, i, j, k) : g_of(p, all, i, j);
                            f = what == LOGSUMEXP ? exp(f) : f;
                            want = what == MIN ? fmin(want, f) : what == MAX ? fmax(want, f) : want + f;
                            scale += fabs(f);
                            terms++;
                        }
                    }
                    some = next_place(&inner, each);
                }
                if (what == MEAN) {
                    want /= terms;
                    scale /= terms;
                } else if (what != SUM) {
                    want = what == LOGSUMEXP ? log(want) : want;
                    scale = 1 + fabs(want);
                }
                double got = memory_get(out, place, row, k);
                ck_assert_msg(got == want || (isnan(got) && isnan(want)) || fabs(got - want) <= tolerance(p) * scale,
                              "%s: over %d and batch axes %x, row %lld: %.9g, not %.9g", p->text, over, axes,
                              (long long)row, got, want);
            }
        }
    } while (next_place(&out->batch, place));
}

START_TEST(test_reductions_over_batch_axes)
{
    seed_random(test_seed() + 20000 + (uint64_t)_i);
    problem p;
    do
        problem_make(&p, _i % 3 ? KCL_F32 : KCL_F64, true);
    while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    kcl_expr *v[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    const int what = pick(2) ? SUM : pick(REDUCTIONS);
    int over = 1 + _i % 3, axes_there = 0;
    kcl_expr *d = kcl_mul(v[G], kcl_sqdist(v[X], v[Y])), *e = kcl_mul(kcl_exp(kcl_neg(d)), v[B]);
    if (what >= LOGSUMEXP)
        e = kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), d);
    for (int b = 0; b < AXES; b++)
        axes_there = p.batch.of[b] != 1 ? b + 1 : axes_there;
    unsigned axes = 0;
    sizes left = p.batch;
    const bool first = what == MEAN || pick(2); /* rows before batches, or after them */
    for (int pass = 0; pass < 2; pass++) {
        if (pass == !first)
            e = over_rows[what](e, (kcl_axes)over);
        for (int b = 0; pass == first && b < axes_there; b++) {
            if (!pick(2))
                continue;
            axes |= 1u << b;
            left.of[b] = 1;
            e = over_batches[what](e, -1 - b);
        }
    }
    char role = over == KCL_OVER_J ? 'i' : over == KCL_OVER_I ? 'j' : 'p';
    operand out = result_for(&p, role, kcl_expr_dim(e), left, p.dtype);
    ck_assert_msg(kcl_expr_status(e) == KCL_OK, "%s: %s", p.text, kcl_expr_error(e));
    eval(&p, 1, &e, &out);
    check_reduced(&p, &out, over, axes, what);
    drop(&out);
    problem_drop(&p);
}
END_TEST

/* ---- What is chosen, over batch axes too ------------------------------------------------------------------------- */

START_TEST(test_weighted_reductions_over_batch_axes)
{
    seed_random(test_seed() + 70000 + (uint64_t)_i);
    const int over = _i % 4;
    problem p;
    do {
        problem_make(&p, _i % 3 ? KCL_F32 : KCL_F64, true);
        if (!over)
            keep_rows_only(&p);
    } while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    kcl_expr *v[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    kcl_expr *two = kcl_constant(s, 2);
    kcl_expr *f = over ? kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), kcl_mul(v[G], kcl_sqdist(v[X], v[Y])))
                       : kcl_mul(kcl_constant(s, 3), kcl_elem(v[X], 2));
    kcl_expr *w = kcl_add(two, over ? v[B] : kcl_mul(v[G], kcl_extract(v[X], 0, 2)));
    /* Batch axes that w has and f lacks count for both: those of the pair. */
    kcl_expr *log_sum = NULL, *mean = NULL, *sum = NULL;
    const int last = last_axis_of(&p.batch);
    unsigned axes = 0;
    while (!axes)
        for (int b = 0; b < last; b++)
            axes |= pick(2) ? 1u << b : 0;
    for (int pass = 0, rows_first = pick(2); pass < 2; pass++) {
        if (pass == !rows_first && over) {
            log_sum = log_sum ? kcl_reduce_logsumexp(log_sum, (kcl_axes)over)
                              : kcl_reduce_logsumexp_weight(f, w, (kcl_axes)over);
            mean = kcl_reduce_sumsoftmaxweight(mean ? sum : f, mean ? mean : w, (kcl_axes)over);
            sum = kcl_reduce_logsumexp(sum ? sum : f, (kcl_axes)over);
        }
        for (int b = 0; b < last && pass == rows_first; b++) {
            int64_t shape[KCL_MAX_AXES];
            if (!(axes >> b & 1))
                continue;
            log_sum =
                log_sum ? kcl_reduce_logsumexp_batch(log_sum, -1 - b) : kcl_reduce_logsumexp_weight_batch(f, w, -1 - b);
            mean = kcl_reduce_sumsoftmaxweight_batch(mean ? sum : f, mean ? mean : w, -1 - b);
            kcl_expr *exponent = sum ? sum : f; /* which may have fewer axes than w */
            sum = kcl_expr_shape(exponent, shape) - 3 > b ? kcl_reduce_logsumexp_batch(exponent, -1 - b) : exponent;
        }
    }
    const char role = over == KCL_OVER_BOTH ? 'p' : over == KCL_OVER_I ? 'j' : 'i';
    const sizes left = without(p.batch, axes);
    kcl_expr *exprs[] = {log_sum, mean};
    operand outs[] = {result_for(&p, role, 2, left, p.dtype), result_for(&p, role, 2, left, p.dtype)};
    for (int k = 0; k < 2; k++)
        ck_assert_msg(kcl_expr_status(exprs[k]) == KCL_OK, "%s: %s", p.text, kcl_expr_error(exprs[k]));
    eval(&p, 2, exprs, outs);
    check_weighted(&p, &outs[0], &outs[1], over, axes);
    drop(&outs[0]);
    drop(&outs[1]);
    problem_drop(&p);
}
END_TEST

/* ---- The layer below expressions, where a schedule can be asked for ----------------------------------------------- */

START_TEST(test_every_schedule_reduces_batches)
{
    const char *schedule = schedules[_i % 5];
    seed_random(test_seed() + 50000 + (uint64_t)_i);
    bool lse = _i % 5 == 2 || pick(2); /* terms of contractions are numbers */
    int over = _i % 10 < 5 || _i % 5 == 2 || _i % 5 == 4 ? KCL_OVER_J : KCL_OVER_BOTH;
    problem p;
    below l;
    do
        problem_make(&p, KCL_F32, false);
    while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    below_make(&l, &p);
    kf_graph *g = &l.g;
    const kf_node *d = below_squares(&l);
    const kf_node *f = kf_binary(g, KF_MULT, kf_unary(g, KF_EXP, kf_unary(g, KF_MINUS, d)), l.v[B]);
    if (lse)
        f = kf_binary(g, KF_SUB, kf_binary(g, KF_DIVIDE, kf_make(g, KF_ELEM, &l.v[B], (int64_t[]){0}), kf_rat(g, 3, 1)),
                      d);
    const kf_node *root = kf_reduce(g, lse ? KF_REDUCE_LOGSUMEXP : KF_REDUCE_SUM, (unsigned)over | l.axes << 2, 0, f);
    operand out = result_for(&p, over == KCL_OVER_J ? 'i' : 'p', lse ? 1 : 2, l.left, p.dtype);
    below_run(&l, schedule, over, 1, &root, &out);
    check_reduced(&p, &out, over, l.axes, lse ? LOGSUMEXP : SUM);
    kf_graph_finish(&l.g);
    drop(&out);
    problem_drop(&p);
}
END_TEST

START_TEST(test_batch_axes_that_are_not_there)
{
    static float a[MOST], out[MOST];
    kcl_expr *x = kcl_vi(s, kcl_f32(a, 4, 3, 10, 2)), *y = kcl_vj(s, kcl_f32(a, 10, 2)), *d = kcl_sqdist(x, y);
    ck_assert_int_eq(kcl_expr_status(kcl_reduce_sum_batch(d, 2)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(kcl_reduce_sum_batch(d, 2)), "kcl_reduce_sum_batch", "axis 2", "2 batch axes");
    CONTAINS(kcl_expr_error(kcl_reduce_logsumexp_batch(y, -1)), "kcl_reduce_logsumexp_batch", "axis -1",
             "0 batch axes");
    /* A matrix of numbers is left, which exp takes one by one: they are nowhere. */
    collected *text = calloc(1, sizeof *text);
    kcl_expr_print(kcl_reduce_sum_batch(kcl_reduce_sum(d, KCL_OVER_J), 0), collect, text);
    CONTAINS(text->text, ",0,batch axis -2)");
    free(text);
    kcl_expr *matrix = kcl_exp(kcl_neg(kcl_reduce_sum_batch(d, 0)));
    ck_assert_int_eq(kcl_sum(matrix, KCL_OVER_J, kcl_f32(out, 3, 10)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "batch axes", "both i and j");
    kcl_expr *L = kcl_reduce_sum(d, KCL_OVER_BOTH);
    ck_assert_int_eq(kcl_expr_status(kcl_grad(L, x)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_expr_error(kcl_grad(L, x)), "a value for each batch");
}
END_TEST

START_TEST(test_operators_of_expressions_with_batches)
{
    static float a[MOST], out[MOST];
    for (int k = 0; k < MOST; k++)
        a[k] = (float)(k % 7);
    kcl_expr *x = kcl_vi(s, kcl_f32(a, 4, 10, 2)), *y = kcl_vj(s, kcl_f32(a, 11, 2)), *d = kcl_sqdist(x, y);
    kcl_expr *vars[] = {x, y}, *sum = kcl_reduce_sum(d, KCL_OVER_J);
    kcl_operator *op;
    /* Batches are those of the arguments. */
    ck_assert_int_eq(kcl_operator_from(&op, 1, &sum, 2, vars, NULL), KCL_OK);
    const kcl_array *args[] = {kcl_f32(a, 10, 2), kcl_f32(a, 3, 11, 2)}, *to = kcl_f32(out, 3, 10);
    ck_assert_msg(kcl_operator_apply(op, device, &to, 1, args, 2) == KCL_OK, "%s", kcl_context_error(device));
    for (int at = 0; at < 30; at++) {
        double want = 0;
        for (int j = 0; j < 11; j++)
            for (int k = 0; k < 2; k++)
                want += pow((double)a[at % 10 * 2 + k] - a[(at / 10 * 11 + j) * 2 + k], 2);
        ck_assert_double_eq_tol(out[at], want, 1e-4 * want);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* Where an expression reduces batch axes, they are those of its arrays: calls have them too, of any size. */
START_TEST(test_operators_that_reduce_batches)
{
    enum { M = 6, N = 5 };
    float x[7 * M * 2], y[N * 2], e[M], sums[M], shares[3 * M], grad[3 * N * 2], f[7];
    int64_t index[M];
    for (int k = 0; k < 7 * M * 2; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < N * 2; k++)
        y[k] = (float)uniform(-1, 1);
    for (int k = 0; k < M; k++)
        e[k] = (float)uniform(-1, 1);
    for (int k = 0; k < 7; k++)
        f[k] = (float)uniform(0.5, 2);
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, 4, 1, M, 2)), *y_j = kcl_vj(s, kcl_f32(y, N, 2));
    kcl_expr *p = kcl_pm(s, kcl_f32(f, 3, 1)), *d = kcl_sqdist(x_i, y_j), *vars[] = {x_i, y_j, p};
    kcl_expr *exprs[] = {kcl_reduce_sum_batch(kcl_reduce_sum(d, KCL_OVER_J), 0),
                         kcl_reduce_argmin_batch(kcl_reduce_argmin(d, KCL_OVER_J), 0), NULL};
    exprs[2] = kcl_mul(p, exprs[0]);
    kcl_operator *op, *of_y;
    ck_assert_msg(kcl_operator_from(&op, 3, exprs, 3, vars, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    const kcl_array *outs[] = {kcl_f32(sums, M), kcl_i64(index, M), kcl_f32(shares, 3, M)};
    for (int batches = 1; batches <= 7; batches += 3) {
        const kcl_array *args[] = {kcl_f32(x, batches, 1, M, 2), kcl_f32(y, N, 2), kcl_f32(f, 3, 1)};
        ck_assert_msg(kcl_operator_apply(op, device, outs, 3, args, 3) == KCL_OK, "%d batches: %s", batches,
                      kcl_context_error(device));
        for (int i = 0; i < M; i++) {
            double want = 0, least = INFINITY;
            int64_t at = -1;
            for (int n = 0; n < batches * N; n++) {
                double square = 0;
                for (int k = 0; k < 2; k++)
                    square += pow((double)x[(n / N * M + i) * 2 + k] - y[n % N * 2 + k], 2);
                want += square;
                at = square < least ? n : at;
                least = fmin(least, square);
            }
            ck_assert_double_eq_tol(sums[i], want, 1e-5 * want);
            ck_assert_int_eq(index[i], at);
            for (int b = 0; b < 3; b++)
                ck_assert_double_eq_tol(shares[b * M + i], f[b] * want, 1e-5 * f[b] * want);
        }
    }
    /* Its gradient has the batch axes of y, none, and a cotangent those of the results. */
    kcl_operator *first;
    ck_assert_int_eq(kcl_operator_from(&first, 1, exprs, 2, vars, NULL), KCL_OK);
    ck_assert_msg(kcl_operator_grad(&of_y, first, "1") == KCL_OK, "%s", kcl_operator_error(of_y));
    const kcl_array *args[] = {kcl_f32(x, 7, 1, M, 2), kcl_f32(y, N, 2), kcl_f32(e, M)}, *to = kcl_f32(grad, N, 2);
    ck_assert_msg(kcl_operator_apply(of_y, device, &to, 1, args, 3) == KCL_OK, "%s", kcl_context_error(device));
    for (int n = 0; n < N * 2; n++) {
        double want = 0;
        for (int at = 0; at < 7 * M; at++)
            want += e[at % M] * 2 * ((double)y[n] - x[at * 2 + n % 2]);
        ck_assert_double_eq_tol(grad[n], want, 1e-4);
    }
    /* Axes that the expressions lack, or have. */
    const kcl_array *wide[] = {kcl_f32(x, 3, 1, M, 2), kcl_f32(x, 3, 1, N, 2), kcl_f32(f, 3, 1)};
    ck_assert_int_eq(kcl_operator_apply(op, device, outs, 3, wide, 3), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "argument 1", "size 3", "batch axis -2", "size 1");
    const kcl_array *other[] = {kcl_f32(x, 3, M, 2), kcl_f32(y, N, 2), kcl_f32(f, 3, 1)};
    ck_assert_int_eq(kcl_operator_apply(op, device, outs, 3, other, 3), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "argument 0", "size 3", "batch axis -1", "size 1");
    ck_assert_int_eq(kcl_operator_apply(op, device, (const kcl_array *[]){outs[0], outs[1], outs[0]}, 3,
                                        (const kcl_array *[]){wide[0], args[1], wide[2]}, 3),
                     KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "output 2", "(1, 3, M, 1)");
    static collected text;
    text.length = 0;
    ck_assert_int_eq(kcl_operator_emit(op, NULL, "cpu", KCL_F32, 100, 100, collect, &text), KCL_OK);
    CONTAINS(text.text, "void sweep(");
    kcl_operator_destroy(&first);
    kcl_operator_destroy(&op);
    kcl_operator_destroy(&of_y);
}
END_TEST

int main(int argc, char **argv)
{
    const bool host = begin_batches(argc, argv);
    const test_entry tests[] = {
        {test_reductions_over_batch_axes, host || long_tests() ? 200 : 18},
        {test_every_schedule_reduces_batches, host || long_tests() ? 100 : 10},
        {test_batch_axes_that_are_not_there, 0},
        {test_weighted_reductions_over_batch_axes, host || long_tests() ? 100 : 2},
        {test_operators_of_expressions_with_batches, 0},
        {test_operators_that_reduce_batches, 0},
    };
    return run_batches("batch reductions", tests, KB_COUNT(tests));
}
