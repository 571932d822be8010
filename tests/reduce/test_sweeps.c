/* SPDX-License-Identifier: MIT */
/* Sweeps on the host, against plain sums in long double. */
#include "fixture.h"

/* ---- Sweeps ------------------------------------------------------------------------------------------------------ */

static const int sizes[] = {0, 1, 2, 15, 16, 17, 127, 128, 129, 257, 1031};

START_TEST(sums_over_columns_agree_for_all_sizes)
{
    int rows = sizes[_i % (int)KB_COUNT(sizes)], cols = sizes[_i / (int)KB_COUNT(sizes)];
    kr_term term = {KF_REDUCE_SUM, 0, kf_binary(&g, KF_MULT, gauss(), vy)};
    const kf_node *out = acc(0, D);
    double *got = malloc((MOST_ROWS * D + 1) * sizeof *got);
    for (int k = 0; k <= rows * D; k++)
        got[k] = 12345;
    kr_sink sink = dense(got, D);
    ck_assert_msg(sweep(KF_AXIS_J, 1, &term, 1, &out, rows, cols, &sink, 2) == KCL_OK, "%s", err.text);
    for (int i = 0; i<rows; i += rows> 300 ? 37 : 1)
        for (int k = 0; k < D; k++) {
            long double want = 0, magnitude = 0;
            for (int j = 0; j < cols; j++) {
                want += gauss_at(i, j) * y[j * D + k];
                magnitude += fabsl(gauss_at(i, j) * y[j * D + k]);
            }
            ck_assert_msg(fabsl(got[i * D + k] - want) <= TERM_ERROR * magnitude,
                          "row %d of %d x %d: %.17g, not %.17Lg", i, rows, cols, got[i * D + k], want);
        }
    ck_assert(got[rows * D] == 12345);
    free(got);
}
END_TEST

START_TEST(sums_over_both_axes_agree_for_all_sizes)
{
    int rows = sizes[_i % (int)KB_COUNT(sizes)], cols = sizes[_i / (int)KB_COUNT(sizes)];
    kr_term term = {KF_REDUCE_SUM, 0, gauss()};
    const kf_node *out = kf_binary(&g, KF_ADD, acc(0, 1), kf_rat(&g, 1, 1));
    double got[2] = {-1, -1};
    long double want = 1;
    kr_sink sink = dense(got, 1);
    ck_assert_msg(sweep(BOTH, 1, &term, 1, &out, rows, cols, &sink, 2) == KCL_OK, "%s", err.text);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            want += gauss_at(i, j);
    ck_assert_msg(fabsl(got[0] - want) <= TERM_ERROR * want, "%d x %d: %.17g, not %.17Lg", rows, cols, got[0], want);
    ck_assert(got[1] == -1);
}
END_TEST

/* All three reductions in one sweep, against loops; x and y on a lattice, so that there are ties, all exact. */
START_TEST(reductions_of_all_kinds_share_a_sweep)
{
    enum { ALL = (int)KB_COUNT(sizes) };
    int rows = sizes[_i / 2 % ALL], cols = sizes[_i / 2 / ALL];
    bool both = _i % 2;
    const double shift = 1e5;
    for (int n = 0; n < MOST_ROWS * D; n++)
        x[n] = floor(8 * x[n]) / 8;
    for (int n = 0; n < MOST_COLS * D; n++)
        y[n] = floor(8 * y[n]) / 8;
    const kf_node *difference = kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, vx, vy));
    const kf_node *scaled = kf_unary(&g, KF_MINUS, kf_binary(&g, KF_MULT, vp, kf_unary(&g, KF_SUM, difference)));
    kr_term terms[] = {{KF_REDUCE_ARGMIN, 0, difference},
                       {KF_REDUCE_LOGSUMEXP, 0, kf_binary(&g, KF_ADD, scaled, kf_num(&g, shift))},
                       {KF_REDUCE_SUM, 0, gauss()},
                       {KF_REDUCE_ARGMIN, 0, kf_unary(&g, KF_SUM, difference)}};
    const kf_node *out[] = {kf_acc(&g, 0, D, KF_INT), acc(1, 1), acc(2, 1), kf_to_real(&g, kf_acc(&g, 3, 1, KF_INT)),
                            kf_acc(&g, 3, 1, KF_INT)};
    int64_t results = both ? 1 : rows;
    int64_t *index = calloc((size_t)results * D + 1, sizeof *index),
            *whole = calloc((size_t)results + 1, sizeof *whole);
    double *logs = calloc((size_t)results + 1, sizeof *logs), *sums = calloc((size_t)results + 1, sizeof *sums),
           *real = calloc((size_t)results + 1, sizeof *real);
    index[results * D] = whole[results] = 4711;
    kr_sink sinks[] = {{index, KCL_I64, D * sizeof *index, sizeof *index},
                       dense(logs, 1),
                       dense(sums, 1),
                       dense(real, 1),
                       {whole, KCL_I64, sizeof *whole, sizeof *whole}};
    ck_assert_msg(sweep(both ? BOTH : KF_AXIS_J, 4, terms, 5, out, rows, cols, sinks, 3) == KCL_OK, "%s", err.text);
    for (int64_t r = 0; r<results; r += results> 300 ? 37 : 1) {
        long double sum = 0, least[D + 1] = {0};
        int64_t at[D + 1] = {-1, -1, -1};
        for (int64_t i = both ? 0 : r; i < (both ? rows : r + 1); i++)
            for (int64_t j = 0; j < cols; j++) {
                long double value[D + 1] = {0};
                sum += gauss_at(i, j);
                for (int k = 0; k < D; k++) {
                    value[k] = ((long double)x[i * D + k] - y[j * D + k]) * ((long double)x[i * D + k] - y[j * D + k]);
                    value[D] += value[k];
                }
                for (int k = 0; k <= D; k++)
                    if (at[k] < 0 || value[k] < least[k]) {
                        least[k] = value[k];
                        at[k] = both ? i * cols + j : j;
                    }
            }
        for (int k = 0; k < D; k++)
            ck_assert_msg(index[r * D + k] == at[k], "row %lld of %d x %d, component %d: %lld, not %lld", (long long)r,
                          rows, cols, k, (long long)index[r * D + k], (long long)at[k]);
        ck_assert(whole[r] == at[D] && real[r] == (double)at[D]);
        ck_assert(fabsl(sums[r] - sum) <= TERM_ERROR * sum);
        /* The shift is far larger than the term: that rounds to its 2^-36. */
        long double want = at[D] < 0 ? -INFINITY : logl(sum) + shift;
        ck_assert_msg(logs[r] == want || fabsl(logs[r] - want) <= 0x1p-35L, "row %lld: %.17g, not %.17Lg", (long long)r,
                      logs[r], want);
    }
    ck_assert(index[results * D] == 4711 && whole[results] == 4711);
    free(index);
    free(whole);
    free(logs);
    free(sums);
    free(real);
}
END_TEST

START_TEST(a_sweep_without_reduction_computes_its_rows)
{
    const kf_node *out[] = {kf_binary(&g, KF_MULT, vx, vp), vp};
    for (size_t n = 0; n < KB_COUNT(sizes); n++) {
        int rows = sizes[n];
        double *got = malloc((MOST_ROWS * D + 1) * sizeof *got), *other = malloc((MOST_ROWS + 1) * sizeof *other);
        kr_sink sinks[] = {dense(got, D), dense(other, 1)};
        got[rows * D] = other[rows] = 12345;
        ck_assert_msg(sweep(0, 0, NULL, 2, out, rows, 77, sinks, 3) == KCL_OK, "%s", err.text);
        for (int k = 0; k < rows * D; k++)
            ck_assert(got[k] == x[k] * p && other[k / D] == p);
        ck_assert(got[rows * D] == 12345 && other[rows] == 12345);
        free(got);
        free(other);
    }
}
END_TEST

START_TEST(outputs_are_formulas_of_several_results_rows_and_parameters)
{
    enum { ROWS = 37, COLS = 300 };
    /* A kernel regression plus a shift, the number of columns, and a term of rows alone. */
    kr_term terms[] = {{KF_REDUCE_SUM, 0, kf_binary(&g, KF_MULT, gauss(), vy)},
                       {KF_REDUCE_SUM, 0, gauss()},
                       {KF_REDUCE_SUM, 0, kf_rat(&g, 1, 1)},
                       {KF_REDUCE_SUM, 0, kf_like(&g, vx, vy)}};
    const kf_node *ratio = kf_binary(&g, KF_DIVIDE, acc(0, D), acc(1, 1));
    const kf_node *out[] = {kf_binary(&g, KF_ADD, ratio, kf_binary(&g, KF_MULT, vp, vx)), acc(2, 1), acc(3, D),
                            acc(1, 1)};
    double mean[ROWS][D], count[ROWS], copies[ROWS][D], density[ROWS];
    kr_sink sinks[] = {dense(&mean[0][0], D), dense(count, 1), dense(&copies[0][0], D), dense(density, 1)};
    ck_assert_msg(sweep(KF_AXIS_J, 4, terms, 4, out, ROWS, COLS, sinks, 2) == KCL_OK, "%s", err.text);
    for (int i = 0; i < ROWS; i++) {
        long double weight = 0, sum[D] = {0};
        for (int j = 0; j < COLS; j++) {
            weight += gauss_at(i, j);
            for (int k = 0; k < D; k++)
                sum[k] += gauss_at(i, j) * y[j * D + k];
        }
        ck_assert(count[i] == COLS);
        ck_assert(fabsl(density[i] - weight) <= TERM_ERROR * weight);
        for (int k = 0; k < D; k++) {
            ck_assert(fabsl(mean[i][k] - (sum[k] / weight + (long double)p * x[i * D + k])) <= 2 * TERM_ERROR);
            ck_assert(fabs(copies[i][k] - COLS * x[i * D + k]) <= 1e-15 * COLS);
        }
    }
}
END_TEST

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
    static const struct {
        unsigned reduced;
        int rows, cols;
    } cases[] = {{KF_AXIS_J, MOST_ROWS, 130}, {KF_AXIS_J, 3, MOST_COLS}, {KF_AXIS_J, 1, 8191}, {KF_AXIS_J, 50, 5000},
                 {BOTH, MOST_ROWS, 130},      {BOTH, 2, MOST_COLS},      {BOTH, 333, 2100},    {0, MOST_ROWS, 0}};
    static const int threads[] = {2, 3, 7, 1000, 0, -5};
    int rows = cases[_i].rows;
    kr_term terms[] = {{KF_REDUCE_SUM, 0, kf_binary(&g, KF_MULT, gauss(), vy)},
                       {KF_REDUCE_SUM, 0, gauss()},
                       {KF_REDUCE_LOGSUMEXP, 0, gauss()},
                       {KF_REDUCE_ARGMIN, 0, kf_binary(&g, KF_MULT, vx, vy)},
                       {KF_REDUCE_ARGKMIN, 3, kf_binary(&g, KF_MULT, vx, vy)}};
    const kf_node *nearest = acc(4, 3 * D), *numbers = kf_acc(&g, 4, 3 * D, KF_INT);
    nearest = kf_binary(&g, KF_ADD, kf_unary(&g, KF_SUM, nearest), kf_unary(&g, KF_SUM, numbers));
    const kf_node *ratio = kf_binary(&g, KF_DIVIDE, acc(0, D), acc(1, 1));
    ratio = kf_binary(&g, KF_ADD, kf_binary(&g, KF_MULT, ratio, acc(2, 1)), acc(3, D));
    ratio = kf_binary(&g, KF_ADD, ratio, nearest);
    const kf_node *out = cases[_i].reduced ? ratio : kf_unary(&g, KF_EXP, vx);
    double *first = calloc(MOST_ROWS * D, sizeof *first), *other = calloc(MOST_ROWS * D, sizeof *other);
    kr_sink sink = dense(first, D), other_sink = dense(other, D);
    size_t count = cases[_i].reduced ? KB_COUNT(terms) : 0;
    ck_assert_int_eq(sweep(cases[_i].reduced, count, terms, 1, &out, rows, cases[_i].cols, &sink, 1), KCL_OK);
    ck_assert(first[0] != 0 && isfinite(first[0]));
    for (size_t n = 0; n < KB_COUNT(threads); n++) {
        memset(other, 0, MOST_ROWS * D * sizeof *other);
        ck_assert_int_eq(sweep(cases[_i].reduced, count, terms, 1, &out, rows, cases[_i].cols, &other_sink, threads[n]),
                         KCL_OK);
        ck_assert_msg(memcmp(first, other, MOST_ROWS * D * sizeof *first) == 0, "%d threads", threads[n]);
    }
    free(first);
    free(other);
}
END_TEST

START_TEST(few_rows_with_many_columns_are_right_too)
{
    kr_term term = {KF_REDUCE_SUM, 0, gauss()};
    const kf_node *out = acc(0, 1);
    for (int cols = MOST_COLS - 2; cols <= MOST_COLS; cols++)
        for (int rows = 1; rows <= 33; rows += 16) {
            double got[33];
            kr_sink sink = dense(got, 1);
            ck_assert_int_eq(sweep(KF_AXIS_J, 1, &term, 1, &out, rows, cols, &sink, 2), KCL_OK);
            for (int i = 0; i < rows; i += 8) {
                long double want = 0;
                for (int j = 0; j < cols; j++)
                    want += gauss_at(i, j);
                ck_assert_msg(fabsl(got[i] - want) <= TERM_ERROR * want, "row %d of %d x %d", i, rows, cols);
            }
        }
}
END_TEST

START_TEST(long_vectors_are_summed)
{
    enum { DIM = 1000, ROWS = 19, COLS = 37 }; /* x and y hold enough numbers for overlapping rows */
    const kf_node *a = kf_var(&g, 0, DIM, KF_ROLE_I), *b = kf_var(&g, 1, DIM, KF_ROLE_J);
    kr_term term = {KF_REDUCE_SUM, 0, kf_binary(&g, KF_MULT, a, b)};
    const kf_node *out = acc(0, DIM);
    double *got = malloc(ROWS * DIM * sizeof *got);
    kr_sink sink = dense(got, DIM);
    ck_assert_int_eq(sweep(KF_AXIS_J, 1, &term, 1, &out, ROWS, COLS, &sink, 2), KCL_OK);
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < DIM; k++) {
            long double want = 0, magnitude = 0;
            for (int j = 0; j < COLS; j++) {
                want += (long double)x[i * D + k] * y[j * D + k];
                magnitude += fabsl((long double)x[i * D + k] * y[j * D + k]);
            }
            ck_assert(fabsl(got[i * DIM + k] - want) <= 2e-16L * magnitude);
        }
    free(got);
}
END_TEST

START_TEST(outputs_are_written_with_any_type_and_stride)
{
    enum { ROWS = 21, COLS = 9 };
    static const int64_t row_strides[] = {16, 40, -24, 17, -33}, steps[] = {8, -8, 9};
    kr_term term = {KF_REDUCE_SUM, 0, kf_binary(&g, KF_MULT, gauss(), vy)};
    const kf_node *out = acc(0, D);
    double want[ROWS * D];
    kr_sink plain = dense(want, D);
    ck_assert_int_eq(sweep(KF_AXIS_J, 1, &term, 1, &out, ROWS, COLS, &plain, 1), KCL_OK);
    for (size_t r = 0; r < KB_COUNT(row_strides); r++)
        for (size_t s = 0; s < KB_COUNT(steps); s++)
            for (int type = 0; type < 2; type++) {
                kcl_dtype dtype = type ? KCL_F32 : KCL_F64;
                unsigned char memory[4096], touched[4096] = {0};
                memset(memory, 0xa5, sizeof memory);
                kr_sink sink = {memory + 2048, dtype, row_strides[r], steps[s]};
                ck_assert_int_eq(sweep(KF_AXIS_J, 1, &term, 1, &out, ROWS, COLS, &sink, 2), KCL_OK);
                for (int i = 0; i < ROWS; i++)
                    for (int k = 0; k < D; k++) {
                        int64_t offset = 2048 + i * sink.row_stride + k * sink.step;
                        double f64;
                        float f32;
                        memcpy(&f64, memory + offset, sizeof f64);
                        memcpy(&f32, memory + offset, sizeof f32);
                        memset(touched + offset, 1, kb_dtype_size(dtype));
                        if (llabs(sink.row_stride) >= 32 ||
                            (sink.row_stride == 16 && llabs(sink.step) == 8)) /* no overlap */
                            ck_assert(dtype == KCL_F64 ? f64 == want[i * D + k] : f32 == (float)want[i * D + k]);
                    }
                for (int n = 0; n < 4096; n++)
                    ck_assert(touched[n] || memory[n] == 0xa5);
            }
}
END_TEST

START_TEST(inputs_may_be_float_reversed_and_repeated)
{
    enum { ROWS = 5, COLS = 140 };
    float *x32 = malloc(ROWS * D * sizeof *x32);
    for (int k = 0; k < ROWS * D; k++)
        x[k] = x32[k] = (float)x[k];
    kr_term term = {KF_REDUCE_SUM, 0, gauss()};
    const kf_node *out = acc(0, 1);
    double got[ROWS], repeated[ROWS];
    kr_sink sink = dense(got, 1), other = dense(repeated, 1);
    sources[0] = (kf_source){x32 + (ROWS - 1) * D, KCL_F32, -D * (int64_t)sizeof *x32, sizeof *x32};
    ck_assert_int_eq(sweep(KF_AXIS_J, 1, &term, 1, &out, ROWS, COLS, &sink, 1), KCL_OK);
    sources[0].row_stride = 0;
    ck_assert_int_eq(sweep(KF_AXIS_J, 1, &term, 1, &out, ROWS, COLS, &other, 1), KCL_OK);
    for (int i = 0; i < ROWS; i++) {
        long double want = 0;
        for (int j = 0; j < COLS; j++)
            want += gauss_at(ROWS - 1 - i, j);
        ck_assert(fabsl(got[i] - want) <= TERM_ERROR * want);
        ck_assert(repeated[i] == got[0]);
    }
    free(x32);
}
END_TEST

START_TEST(an_output_with_columns_is_refused)
{
    double got[2];
    kr_sink sink = dense(got, D);
    ck_assert_int_eq(sweep(0, 0, NULL, 1, &vy, 1, 1, &sink, 1), KCL_ERROR_INTERNAL);
    ck_assert_ptr_nonnull(strstr(err.text, "output 0"));
}
END_TEST

START_TEST(every_failing_allocation_is_reported_and_nothing_leaks)
{
    unsigned reduced = _i == 0 ? 0 : _i == 1 ? KF_AXIS_J : BOTH;
    int rows = _i == 2 ? 20 : 3;
    kr_term term = {KF_REDUCE_SUM, 0, gauss()};
    const kf_node *out = reduced ? acc(0, 1) : vp;
    double got[20];
    kr_sink sink = dense(got, 1);
    long long before = atomic_load(&counter.blocks);
    kcl_status status = KCL_ERROR_NO_MEMORY;
    for (int n = 1; status != KCL_OK; n++) {
        ck_assert_int_lt(n, 200);
        atomic_store(&counter.requests, 0);
        counter.fail_at = n;
        status = sweep(reduced, reduced ? 1 : 0, &term, 1, &out, rows, 2500, &sink, 2);
        ck_assert(status == KCL_ERROR_NO_MEMORY || (status == KCL_OK && n > 12));
        ck_assert_int_eq(atomic_load(&counter.blocks), before);
    }
}
END_TEST

int main(void)
{
    const reduce_test tests[] = {
        {sums_over_columns_agree_for_all_sizes, KB_COUNT(sizes) * KB_COUNT(sizes)},
        {sums_over_both_axes_agree_for_all_sizes, KB_COUNT(sizes) * KB_COUNT(sizes)},
        {reductions_of_all_kinds_share_a_sweep, 2 * KB_COUNT(sizes) * KB_COUNT(sizes)},
        {a_sweep_without_reduction_computes_its_rows, 0},
        {outputs_are_formulas_of_several_results_rows_and_parameters, 0},
        {results_do_not_depend_on_the_number_of_threads, 8},
        {few_rows_with_many_columns_are_right_too, 0},
        {long_vectors_are_summed, 0},
        {outputs_are_written_with_any_type_and_stride, 0},
        {inputs_may_be_float_reversed_and_repeated, 0},
        {an_output_with_columns_is_refused, 0},
        {every_failing_allocation_is_reported_and_nothing_leaks, 3},
    };
    return run_tests("sweeps", tests, KB_COUNT(tests));
}
