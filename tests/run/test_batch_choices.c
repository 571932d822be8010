/* SPDX-License-Identifier: MIT */
/*
 * Smallest and largest values, their indices and lists of them, over batch axes too.
 */
#include "batches.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- What is chosen, over batch axes too ------------------------------------------------------------------------- */

/* Whole numbers, among which many are equal, and NaN. */
static double whole_term(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    return *exact_at(&p->of[B], place, j, k) - squares(p, place, i, j);
}

static double whole_row(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    (void)j;
    return *exact_at(&p->of[G], place, 0, 0) * *exact_at(&p->of[X], place, i, k);
}

static void fill_whole(operand *o, int low, int high, bool holes)
{
    int64_t place[AXES] = {0};
    if (!count_of(&o->batch))
        return;
    do
        for (int64_t i = 0; i < o->rows; i++)
            for (int k = 0; k < o->dim; k++) {
                double x = holes && pick(8) == 0 ? NAN : low + pick(high - low + 1);
                float f = (float)x;
                *exact_at(o, place, i, k) = x;
                memcpy(memory_at(o, place, i, k), o->array.dtype == KCL_F32 ? (void *)&f : (void *)&x,
                       kb_dtype_size(o->array.dtype));
            }
    while (next_place(&o->batch, place));
}

static void fill_problem_whole(problem *p)
{
    fill_whole(&p->of[X], -2, 2, false);
    fill_whole(&p->of[Y], -2, 2, false);
    fill_whole(&p->of[B], -3, 3, true);
    fill_whole(&p->of[G], 1, 2, false);
}

/* Values and indices are exactly those of plain loops. */
static void check_choice(const problem *p, const choice *c, const operand *values, const operand *numbers)
{
    int64_t place[AXES] = {0}, want_number[MOST_CHOSEN];
    double want[MOST_CHOSEN];
    const int count = c->what & LIST ? c->k : 1, dim = numbers->dim / count;
    if (!count_of(&numbers->batch))
        return;
    do {
        for (int64_t row = 0; row < numbers->rows; row++) {
            for (int k = 0; k < dim; k++) {
                choose(p, c, place, row, k, want, want_number);
                for (int q = 0; q < count; q++) {
                    const double value = values ? memory_get(values, place, row, q * dim + k) : want[q];
                    const double number = memory_get(numbers, place, row, q * dim + k);
                    ck_assert_msg(value == want[q] && (int64_t)number == want_number[q],
                                  "%s: what %d, %d over %d and batch axes %x, row %lld, component %d, number %d: %g at "
                                  "%lld, not %g at %lld",
                                  p->text, c->what, c->k, c->over, c->axes, (long long)row, k, q, value,
                                  (long long)number, want[q], (long long)want_number[q]);
                }
            }
        }
    } while (next_place(&numbers->batch, place));
}

START_TEST(test_choices_over_batch_axes)
{
    seed_random(test_seed() + 60000 + (uint64_t)_i);
    problem p;
    choice c = {.what = pick(CHOICES) & ~INDEX, .k = 1 + pick(MOST_CHOSEN), .over = _i % 4};
    do {
        problem_make(&p, _i % 3 ? KCL_F32 : KCL_F64, true);
        if (!c.over)
            keep_rows_only(&p);
    } while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    fill_problem_whole(&p);
    kcl_expr *v[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    kcl_expr *f =
        c.over ? kcl_sub(v[B], kcl_mul(v[G], kcl_sqdist(v[X], v[Y]))) : kcl_mul(v[G], kcl_extract(v[X], 0, 2));
    c.term = c.over ? whole_term : whole_row;
    const int last = last_axis_of(&p.batch);
    while (!c.axes && (!c.over || pick(4)))
        for (int b = 0; b < last; b++)
            c.axes |= pick(2) ? 1u << b : 0;
    const bool first = pick(2), alone = !c.over && !(c.axes & (c.axes - 1));
    kcl_expr *exprs[2] = {over_axes(&c, f, c.what, first), over_axes(&c, f, c.what | INDEX, first)};
    if (alone) { /* the function of both gives the same */
        int axis = 0;
        while (!(c.axes >> axis & 1))
            axis++;
        exprs[0] = c.what == LIST     ? kcl_reduce_kmin_argkmin_batch(f, c.k, -1 - axis, &exprs[1])
                   : c.what & LIST    ? kcl_reduce_kmax_argkmax_batch(f, c.k, -1 - axis, &exprs[1])
                   : c.what & LARGEST ? kcl_reduce_max_argmax_batch(f, -1 - axis, &exprs[1])
                                      : kcl_reduce_min_argmin_batch(f, -1 - axis, &exprs[1]);
    }
    const int dim = c.what & LIST ? 2 * c.k : 2;
    const sizes left = without(p.batch, c.axes);
    operand outs[] = {result_for(&p, rows_of_choice(&c), dim, left, p.dtype),
                      result_for(&p, rows_of_choice(&c), dim, left, KCL_I64)};
    for (int k = 0; k < 2; k++)
        ck_assert_msg(kcl_expr_status(exprs[k]) == KCL_OK, "%s: %s", p.text, kcl_expr_error(exprs[k]));
    eval(&p, 2, exprs, outs);
    check_choice(&p, &c, &outs[0], &outs[1]);
    drop(&outs[0]);
    drop(&outs[1]);
    problem_drop(&p);
}
END_TEST

/* Chains, what is no chain, and axes of size 1. */
START_TEST(test_what_an_index_over_batches_is)
{
    /* Two batches of 2 x 3 numbers. */
    double x[] = {5, 4, 3, 9, 1, 7, 6, 2, 8, 1, 0, NAN}, values[6], nan = NAN;
    int64_t index[6];
    kcl_expr *f = kcl_vj(s, kcl_f64(x, 2, 2, 3)), *g = kcl_elem(f, 0), *small;
    kcl_expr *all = kcl_reduce_argmin(kcl_reduce_argmin_batch(f, -1), KCL_OVER_J);
    ck_assert_msg(kcl_eval1(all, kcl_i64(index, 3)) == KCL_OK, "%s", kcl_context_error(device));
    ck_assert(index[0] == 3 && index[1] == 3 && index[2] == 0);
    if (by_interpreter || long_tests()) { /* a kernel each */
        ck_assert_int_eq(kcl_eval1(kcl_reduce_argmin_batch(g, 0), kcl_i64(index, 2)), KCL_OK);
        ck_assert(index[0] == 0 && index[1] == 1);
        kcl_expr *batch = kcl_reduce_argmin_batch(kcl_reduce_min(f, KCL_OVER_J), -1);
        ck_assert_int_eq(kcl_eval1(batch, kcl_i64(index, 3)), KCL_OK);
        ck_assert(index[0] == 1 && index[1] == 1 && index[2] == 0);
        /* The smallest of the indices, which are 0 1 0 and 1 1 0. */
        kcl_expr *of_indices = kcl_reduce_min_batch(kcl_mul(kcl_constant(s, 1), kcl_reduce_argmin(f, KCL_OVER_J)), -1);
        ck_assert_int_eq(kcl_eval1(of_indices, kcl_f64(values, 3)), KCL_OK);
        ck_assert(values[0] == 0 && values[1] == 1 && values[2] == 0);
        small = kcl_reduce_kmin_batch(kcl_reduce_kmin(f, 2, KCL_OVER_J), 2, 0);
        ck_assert_int_eq(kcl_expr_dim(small), 6);
        ck_assert_int_eq(kcl_eval1(small, kcl_f64(values, 6)), KCL_OK);
        ck_assert(values[0] == 1 && values[1] == 0 && values[2] == 3 && values[3] == 5 && values[4] == 1 &&
                  values[5] == 7);
    }
    small = kcl_reduce_kmin_batch(kcl_reduce_kmin(f, 2, KCL_OVER_J), 3, 0);
    ck_assert_int_eq(kcl_expr_status(small), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(small), "kcl_reduce_kmin_batch", "K is 3", "K is 2");
    CONTAINS(kcl_expr_error(kcl_reduce_argkmax_batch(f, 1, 1)), "kcl_reduce_argkmax_batch", "axis 1", "1 batch axes");
    ck_assert_int_eq(kcl_expr_status(kcl_reduce_kmin_batch(f, 0, 0)), KCL_ERROR_ARGUMENT);
    /* Axes of size 1, one that was reduced before among them. */
    kcl_expr *narrow = kcl_vi(s, kcl_f64(x, 2, 1, 3, 1)), *hole = kcl_pm(s, kcl_f64(&nan, 1));
    ck_assert_msg(kcl_eval1(kcl_reduce_argmax_batch(narrow, 1), kcl_i64(index, 2, 3)) == KCL_OK, "%s",
                  kcl_context_error(device));
    for (int k = 0; k < 6; k++)
        ck_assert_int_eq(index[k], 0);
    kcl_expr *again = kcl_reduce_argkmin_batch(kcl_reduce_sum_batch(kcl_mul(narrow, hole), 1), 2, 1);
    int64_t pairs[12];
    ck_assert_msg(kcl_eval1(again, kcl_i64(pairs, 2, 3, 2)) == KCL_OK, "%s", kcl_context_error(device));
    for (int k = 0; k < 12; k++)
        ck_assert_int_eq(pairs[k], -1);
    /* A matrix is left. */
    kcl_expr *matrix = kcl_reduce_argmin_batch(kcl_sqdist(narrow, kcl_vj(s, kcl_f64(x, 4, 1))), 0);
    ck_assert_int_eq(kcl_sum(matrix, KCL_OVER_J, kcl_f64(values, 3)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "batch axes", "both i and j");
}
END_TEST

/* ---- The layer below expressions, where a schedule can be asked for ----------------------------------------------- */

/* Indices, lists and weighted sums: what has more than sums in its states, or numbers the terms. */
START_TEST(test_every_schedule_chooses_in_batches)
{
    const char *schedule = schedules[_i % 5];
    seed_random(test_seed() + 80000 + (uint64_t)_i);
    const bool number = _i % 5 == 2, weighs = !number && _i % 10 >= 5; /* terms of contractions are numbers */
    choice c = {.what = pick(2) ? LARGEST : 0, .k = 1 + pick(long_tests() ? MOST_CHOSEN : 2), .term = whole_term};
    c.over = number || _i % 5 == 4 || pick(2) ? KCL_OVER_J : KCL_OVER_BOTH;
    c.what |= !number && (_i + _i / 10) % 2 ? LIST : 0;
    problem p;
    below l;
    do
        problem_make(&p, _i % 4 == 3 ? KCL_F64 : KCL_F32, false);
    while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    if (!weighs)
        fill_problem_whole(&p);
    below_make(&l, &p);
    c.axes = l.axes;
    kf_graph *g = &l.g;
    const unsigned axes = (unsigned)c.over | l.axes << 2;
    const kf_node *b0 = kf_make(g, KF_ELEM, &l.v[B], (int64_t[]){0}), *d = below_squares(&l), *roots[2];
    const int dim = number || (c.what & LIST && !long_tests()) ? 1 : 2, count = c.what & LIST ? c.k : 1;
    if (weighs) {
        const kf_node *f = kf_binary(g, KF_SUB, kf_binary(g, KF_DIVIDE, b0, kf_rat(g, 3, 1)), d);
        f = kf_weighted(g, KF_REDUCE_LOGSUMEXPWEIGHT, f, kf_binary(g, KF_ADD, kf_rat(g, 2, 1), l.v[B]));
        roots[0] = kf_reduce(g, KF_REDUCE_LOGSUMEXPWEIGHT, axes, 0, f);
        roots[1] = kf_reduce(g, KF_REDUCE_SUMSOFTMAXWEIGHT, axes, 0, f);
        operand outs[] = {result_for(&p, rows_of_choice(&c), 2, l.left, p.dtype),
                          result_for(&p, rows_of_choice(&c), 2, l.left, p.dtype)};
        below_run(&l, schedule, c.over, 2, roots, outs);
        check_weighted(&p, &outs[0], &outs[1], c.over, l.axes);
        drop(&outs[0]);
        drop(&outs[1]);
    } else {
        static const kf_reduction reductions[] = {[0] = KF_REDUCE_MIN,
                                                  [INDEX] = KF_REDUCE_ARGMIN,
                                                  [LARGEST] = KF_REDUCE_MAX,
                                                  [LARGEST | INDEX] = KF_REDUCE_ARGMAX,
                                                  [LIST] = KF_REDUCE_KMIN,
                                                  [LIST | INDEX] = KF_REDUCE_ARGKMIN,
                                                  [LIST | LARGEST] = KF_REDUCE_KMAX,
                                                  [LIST | LARGEST | INDEX] = KF_REDUCE_ARGKMAX};
        const kf_node *f = kf_binary(g, KF_SUB, dim == 1 ? b0 : l.v[B], d);
        const int64_t k = c.what & LIST ? c.k : 0;
        roots[0] = kf_reduce(g, reductions[c.what], axes, k, f);
        roots[1] = kf_reduce(g, reductions[c.what | INDEX], axes, k, f);
        operand outs[] = {result_for(&p, rows_of_choice(&c), dim * count, l.left, p.dtype),
                          result_for(&p, rows_of_choice(&c), dim * count, l.left, KCL_I64)};
        below_run(&l, schedule, c.over, 2, roots, outs);
        check_choice(&p, &c, &outs[0], &outs[1]);
        drop(&outs[0]);
        drop(&outs[1]);
    }
    kf_graph_finish(&l.g);
    problem_drop(&p);
}
END_TEST

int main(int argc, char **argv)
{
    const bool host = begin_batches(argc, argv);
    const test_entry tests[] = {
        {test_choices_over_batch_axes, host || long_tests() ? 200 : 6},
        {test_every_schedule_chooses_in_batches, host || long_tests() ? 100 : 6},
        {test_what_an_index_over_batches_is, 0},
    };
    return run_batches("batch choices", tests, KB_COUNT(tests));
}
