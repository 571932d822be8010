/* SPDX-License-Identifier: MIT */
/* States of the reductions on the host, step by step and merged, and the terms that compute what formulas ask for. */
#include "fixture.h"

/* ---- The table --------------------------------------------------------------------------------------------------- */

static const kf_reduction in_sweeps[] = {KF_REDUCE_SUM,    KF_REDUCE_LOGSUMEXP, KF_REDUCE_EXPSUMS, KF_REDUCE_MIN,
                                         KF_REDUCE_ARGMIN, KF_REDUCE_KMIN,      KF_REDUCE_ARGKMIN, KF_REDUCE_MEANKMIN};

START_TEST(states_merged_at_any_cut_give_the_same_result)
{
    enum { MOST = 3, COUNT = 12 };
    const kr_reduction *r = kr_get(in_sweeps[_i]);
    const int width = MOST;
    int64_t param = kf_reduction_get(in_sweeps[_i])->params ? 5 : 0, size = r->state_size(width, param);
    int64_t dim = 2 * kf_reduction_dim(in_sweeps[_i], width, param);
    double *whole = malloc((size_t)size * sizeof(double)), *part = malloc((size_t)size * sizeof(double));
    double *want = calloc((size_t)dim, sizeof(double)), *got = calloc((size_t)dim, sizeof(double));
    const double *value[MOST] = {y, y + COUNT, y + 2 * COUNT}, *rest[MOST];
    const int stride[MOST] = {1, 1, 0};
    ck_assert_ptr_nonnull(r->name);
    r->init(whole, width, param);
    r->step(whole, width, param, &(kr_block){value, stride, 0, COUNT});
    r->finish(whole, width, param, want);
    for (int cut = 0; cut <= COUNT; cut++) {
        for (int k = 0; k < width; k++)
            rest[k] = value[k] + cut * stride[k];
        r->init(whole, width, param);
        r->init(part, width, param);
        if (cut > 0)
            r->step(whole, width, param, &(kr_block){value, stride, 0, cut});
        if (cut < COUNT)
            r->step(part, width, param, &(kr_block){rest, stride, cut, COUNT - cut});
        r->merge(whole, part, width, param);
        r->finish(whole, width, param, got);
        for (int64_t k = 0; k < dim; k++)
            ck_assert_msg(fabs(got[k] - want[k]) <= 1e-15, "cut at %d: %.17g, not %.17g", cut, got[k], want[k]);
    }
    free(whole);
    free(part);
    free(want);
    free(got);
}
END_TEST

START_TEST(sum_keeps_what_cancellation_would_lose)
{
    enum { COUNT = 1000000 };
    const kr_reduction *r = kr_get(KF_REDUCE_SUM);
    double *terms = malloc(COUNT * sizeof *terms), state[2], half[2], got, magnitude = 0, naive = 0;
    int64_t want = 0; /* exact: whole numbers below 2^42 */
    for (int k = 0; k < COUNT; k++) {
        int64_t a = (int64_t)ldexp(fabs(y[k % (2 * COUNT / 3) % (MOST_COLS * D)]), 42) + k % 11;
        if (k >= COUNT / 2)
            a = -a;
        terms[k] = (double)a;
        want += a;
        magnitude += fabs(terms[k]);
        naive += terms[k];
    }
    ck_assert_msg(fabs(naive - (double)want) > 1e-16 * magnitude, "the terms are too easy");
    for (int cut = COUNT; cut > 0; cut -= 333333) { /* in one piece, and in two */
        int stride = 1;
        const double *first = terms, *second = terms + cut;
        r->init(state, 1, 0);
        r->init(half, 1, 0);
        r->step(state, 1, 0, &(kr_block){&first, &stride, 0, cut});
        if (cut < COUNT)
            r->step(half, 1, 0, &(kr_block){&second, &stride, cut, COUNT - cut});
        r->merge(state, half, 1, 0);
        r->finish(state, 1, 0, &got);
        ck_assert_msg(got == (double)want, "%.17g, not %.17g", got, (double)want);
    }
    free(terms);
}
END_TEST

START_TEST(sum_of_infinities_and_nan_is_that_of_ieee)
{
    static const double terms[][3] = {
        {1, INFINITY, 2}, {INFINITY, -INFINITY, 1}, {1, NAN, 1}, {-INFINITY, 1, -INFINITY}};
    static const double want[] = {INFINITY, NAN, NAN, -INFINITY};
    const kr_reduction *r = kr_get(KF_REDUCE_SUM);
    for (int k = 0; k < 4; k++) {
        double state[2], other[2], got;
        const double *value = terms[k], *last = terms[k] + 2;
        r->init(state, 1, 0);
        r->init(other, 1, 0);
        r->step(state, 1, 0, &(kr_block){&value, (int[]){1}, 0, 2});
        r->step(other, 1, 0, &(kr_block){&last, (int[]){1}, 2, 1});
        r->merge(state, other, 1, 0);
        r->finish(state, 1, 0, &got);
        ck_assert_msg(got == want[k] || (isnan(got) && isnan(want[k])), "row %d: %g, not %g", k, got, want[k]);
    }
}
END_TEST

/* The values and numbers of one component, in pieces of `piece` terms, each a state of its own, merged in order. */
static void reduced(kf_reduction id, int64_t param, int count, const double *terms, int piece, double *got)
{
    const kr_reduction *r = kr_get(id);
    double state[16], other[16];
    ck_assert_int_le(r->state_size(1, param), 16);
    r->init(state, 1, param);
    for (int from = 0; from < count; from += piece) {
        const double *value = terms + from;
        r->init(other, 1, param);
        r->step(other, 1, param, &(kr_block){&value, (int[]){1}, from, KB_MIN(piece, count - from)});
        r->merge(state, other, 1, param);
    }
    r->finish(state, 1, param, got);
}

#define INF INFINITY

START_TEST(infinities_nan_ties_and_no_terms_have_a_meaning)
{
    static const struct {
        int count;
        double terms[4];
        double logsumexp, argmin; /* by definition */
    } rows[] = {
        {0, {0}, -INF, -1},
        {4, {3, 1, 1, 2}, 3.4938117090722383 /* log(e^3 + 2 e + e^2) */, 1},
        {4, {NAN, 1, NAN, 0}, NAN, 3},
        {4, {NAN, NAN, NAN, NAN}, NAN, -1},
        {4, {NAN, INF, INF, NAN}, NAN, 1},
        {4, {INF, INF, INF, INF}, INF, 0},
        {4, {INF, 5, INF, 5}, INF, 1},
        {4, {-INF, -INF, -INF, -INF}, -INF, 0},
        {4, {7, -INF, 7, -INF}, 7 + 0.69314718055994531, 1},
        {4, {INF, -INF, 1, NAN}, NAN, 1},
        {4, {-INF, INF, 0, 0}, INF, 0},
        {4, {0.0, -0.0, 0.0, -0.0}, 1.3862943611198906, 0},
        {4, {1e308, 1e308, -1e308, 0}, 1e308, 2},
        {4, {-1e308, -1e308, -1e308, -1e308}, -1e308, 0},
        {2, {1e6, 1e6 + 1}, 1000001 + 0.31326168751822286, 0},
        {2, {-1e6, -1e6 - 1}, -1e6 + 0.31326168751822286, 1},
    };
    for (size_t k = 0; k < KB_COUNT(rows); k++)
        for (int piece = 1; piece <= 4; piece++) {
            double sum, least[2], want = rows[k].logsumexp;
            reduced(KF_REDUCE_LOGSUMEXP, 0, rows[k].count, rows[k].terms, piece, &sum);
            reduced(KF_REDUCE_ARGMIN, 0, rows[k].count, rows[k].terms, piece, least);
            double at = least[1];
            ck_assert(least[0] == (at < 0 ? INF : rows[k].terms[(int)at]));
            ck_assert_msg(isnan(want) ? isnan(sum) : sum == want || fabs(sum - want) <= 4e-16 * fabs(want),
                          "row %zu in pieces of %d: log sum exp %.17g, not %.17g", k, piece, sum, want);
            ck_assert_msg(at == rows[k].argmin, "row %zu in pieces of %d: index %g, not %g", k, piece, at,
                          rows[k].argmin);
        }
}
END_TEST

START_TEST(the_smallest_values_are_sorted)
{
    static const struct {
        int count;
        double terms[6], value[4], number[4];
    } rows[] = {
        {0, {0}, {INF, INF, INF, INF}, {-1, -1, -1, -1}},
        {6, {3, 1, 2, 1, 5, 0}, {0, 1, 1, 2}, {5, 1, 3, 2}},
        {3, {3, 1, 2}, {1, 2, 3, INF}, {1, 2, 0, -1}},
        {6, {NAN, 4, NAN, 3, NAN, NAN}, {3, 4, INF, INF}, {3, 1, -1, -1}},
        {6, {INF, NAN, INF, -INF, INF, INF}, {-INF, INF, INF, INF}, {3, 0, 2, 4}},
        {6, {2, 2, 2, 2, 2, 2}, {2, 2, 2, 2}, {0, 1, 2, 3}},
        {6, {0.0, -0.0, 1, 0.0, -0.0, 1}, {0, 0, 0, 0}, {0, 1, 3, 4}},
        {6, {6, 5, 4, 3, 2, 1}, {1, 2, 3, 4}, {5, 4, 3, 2}},
    };
    for (size_t k = 0; k < KB_COUNT(rows); k++)
        for (int piece = 1; piece <= 6; piece++) {
            double got[8];
            reduced(_i ? KF_REDUCE_ARGKMIN : KF_REDUCE_KMIN, 4, rows[k].count, rows[k].terms, piece, got);
            for (int q = 0; q < 4; q++)
                ck_assert_msg(got[q] == rows[k].value[q] && got[4 + q] == rows[k].number[q],
                              "row %zu in pieces of %d: number %d is %g at %g, not %g at %g", k, piece, q, got[q],
                              got[4 + q], rows[k].value[q], rows[k].number[q]);
        }
}
END_TEST

/* What formulas make of the sums: log(s_1) + m and s_1 / s_0. */
START_TEST(weighted_exponentials_do_not_overflow)
{
    static const struct {
        int count;
        double terms[4], weight[4], logs, mean;
    } rows[] = {
        {0, {0}, {0}, -INF, NAN},
        {4, {1000, 1000, 1000, 1000}, {1, 2, 3, 4}, 1000 + 2.3025850929940457, 2.5},
        {4, {-1e6, -1e6 - 1, -INF, -INF}, {2, 2, 7, 9}, -1e6 + 0.31326168751822286 + 0.69314718055994531, 2},
        {4, {0, 0, 0, 0}, {1, -1, 1, -1}, -INF, 0},
        {4, {5, 5, 5, 5}, {1, -1, -1, -1}, NAN, -0.5},
        {4, {-INF, -INF, -INF, -INF}, {1, 1, 1, 1}, -INF, NAN},
        {4, {INF, 0, 0, 0}, {1, 1, 1, 1}, INF, NAN},
        {4, {INF, 0, 0, INF}, {-1, 1, 1, -1}, NAN, NAN},
        {4, {NAN, 0, 0, 0}, {1, 1, 1, 1}, NAN, NAN},
        {4, {0, 0, 0, 0}, {1, 1, NAN, 1}, NAN, NAN},
    };
    const kr_reduction *r = kr_get(KF_REDUCE_EXPSUMS);
    for (size_t k = 0; k < KB_COUNT(rows); k++)
        for (int piece = 1; piece <= 4; piece++) {
            double state[5], other[5], got[3];
            r->init(state, 2, 0);
            for (int from = 0; from < rows[k].count; from += piece) {
                r->init(other, 2, 0);
                r->step(other, 2, 0,
                        &(kr_block){(const double *[]){rows[k].terms + from, rows[k].weight + from}, (int[]){1, 1},
                                    from, KB_MIN(piece, rows[k].count - from)});
                r->merge(state, other, 2, 0);
            }
            r->finish(state, 2, 0, got);
            double logs = got[0] + log(got[2]), mean = got[2] / got[1];
            ck_assert_msg(isnan(rows[k].logs) ? isnan(logs) : logs == rows[k].logs || fabs(logs - rows[k].logs) < 1e-9,
                          "row %zu in pieces of %d: %.17g, not %.17g", k, piece, logs, rows[k].logs);
            ck_assert_msg(isnan(rows[k].mean) ? isnan(mean) : fabs(mean - rows[k].mean) < 1e-15,
                          "row %zu in pieces of %d: %.17g, not %.17g", k, piece, mean, rows[k].mean);
        }
}
END_TEST

/* As when both axes are reduced: a block of a later row comes before one of an earlier row. */
START_TEST(the_smaller_number_wins_in_any_order)
{
    const kr_reduction *r = kr_get(KF_REDUCE_ARGMIN);
    static const double terms[] = {4, 2, 2, 3};
    const double *value = terms;
    double state[2], other[2], got[2];
    for (int k = 0; k < 6; k++) {
        int64_t first[] = {k / 2 * 100, (k / 2 + 1 + k % 2) % 3 * 100};
        r->init(state, 1, 0);
        r->init(other, 1, 0);
        r->step(state, 1, 0, &(kr_block){&value, (int[]){1}, first[0], 4});
        r->step(state, 1, 0, &(kr_block){&value, (int[]){1}, first[1], 4});
        r->finish(state, 1, 0, got);
        ck_assert(got[1] == (double)KB_MIN(first[0], first[1]) + 1);
        r->init(state, 1, 0);
        r->step(state, 1, 0, &(kr_block){&value, (int[]){1}, first[0], 4});
        r->step(other, 1, 0, &(kr_block){&value, (int[]){1}, first[1], 4});
        r->merge(state, other, 1, 0);
        r->finish(state, 1, 0, got);
        ck_assert(got[1] == (double)KB_MIN(first[0], first[1]) + 1);
    }
}
END_TEST

/* ---- Terms ------------------------------------------------------------------------------------------------------- */

START_TEST(terms_are_shared_where_one_state_serves)
{
    const kf_node *f = kf_binary(&g, KF_MULT, vx, vy), *h = gauss();
    static const struct {
        kf_reduction a, b, both; /* COUNT: nothing */
    } cases[] = {
        {KF_REDUCE_MIN, KF_REDUCE_MIN, KF_REDUCE_MIN},
        {KF_REDUCE_MIN, KF_REDUCE_ARGMIN, KF_REDUCE_ARGMIN},
        {KF_REDUCE_ARGMIN, KF_REDUCE_MIN, KF_REDUCE_ARGMIN},
        {KF_REDUCE_KMIN, KF_REDUCE_ARGKMIN, KF_REDUCE_ARGKMIN},
        {KF_REDUCE_MAX, KF_REDUCE_ARGMAX, KF_REDUCE_ARGMIN},
        {KF_REDUCE_MIN, KF_REDUCE_MAX, KF_REDUCTION_COUNT},
        {KF_REDUCE_MIN, KF_REDUCE_SUM, KF_REDUCTION_COUNT},
        {KF_REDUCE_KMIN, KF_REDUCE_ARGMIN, KF_REDUCTION_COUNT},
        {KF_REDUCE_LOGSUMEXPWEIGHT, KF_REDUCE_SUMSOFTMAXWEIGHT, KF_REDUCE_EXPSUMS},
    };
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        kr_term term[2];
        for (int n = 0; n < 2; n++) {
            kf_reduction r = n ? cases[k].b : cases[k].a;
            const kf_node *reduced = kf_reduce(&g, r, KF_AXIS_J, kf_reduction_get(r)->params ? 4 : 0, f);
            ck_assert_msg(reduced != NULL, "%s", g.error.text);
            term[n] = kr_term_of(&g, reduced);
        }
        ck_assert_int_eq(kr_join_terms(&term[0], &term[1]), cases[k].both != KF_REDUCTION_COUNT);
        if (cases[k].both != KF_REDUCTION_COUNT)
            ck_assert_int_eq(term[0].reduction, cases[k].both);
    }
    kr_term three = {KF_REDUCE_KMIN, 3, f}, four = {KF_REDUCE_ARGKMIN, 4, f}, other = {KF_REDUCE_KMIN, 3, h};
    ck_assert(!kr_join_terms(&three, &four) && !kr_join_terms(&three, &other));
}
END_TEST

/* Every reduction of the table, as a term and a formula of its results, against its definition. */
START_TEST(reductions_become_terms)
{
    enum { ROWS = 3, COLS = 21, K = 4 };
    const kf_node *f = kf_binary(&g, KF_MULT, vx, vy);
    for (int r = 0; r < KF_REDUCE_EXPSUMS; r++) {
        const kf_reduction_info *info = kf_reduction_get((kf_reduction)r);
        bool weighted = info->formulas == 2, largest = strstr(info->name, "Max") && !weighted;
        const bool mean = strncmp(info->name, "Mean", 4) == 0;
        int param = info->params ? K : 0, results = (param && !mean ? K : 1) * (weighted ? D - 1 : D);
        const kf_node *node = kf_reduce(&g, (kf_reduction)r, KF_AXIS_J, param, f);
        kr_term term = kr_term_of(&g, node);
        const kf_node *out = kf_to_real(&g, kr_value_of(&g, node, 0));
        double got[ROWS * K * D];
        kr_sink sink = dense(got, results);
        ck_assert_int_eq(results, node->dim);
        ck_assert_msg(sweep(KF_AXIS_J, 1, &term, 1, &out, ROWS, COLS, &sink, 1) == KCL_OK, "%s", err.text);
        for (int i = 0; i < ROWS; i++)
            for (int k = 0; k < results; k++) {
                int c = weighted ? k + 1 : k % D, rank = k / D, at = -1;
                double value[COLS], sum = 0, powers = 0, weighed = 0, least = 0;
                for (int j = 0; j < COLS; j++) {
                    value[j] = x[i * D + c] * y[j * D + c] * (largest ? -1 : 1);
                    double exponent = x[i * D] * y[j * D];
                    sum += value[j];
                    powers += exp(weighted ? exponent : value[j]);
                    weighed += exp(exponent) * value[j];
                }
                for (int j = 0; j < COLS; j++) {
                    int before = 0;
                    for (int n = 0; n < COLS; n++)
                        before += value[n] < value[j] || (value[n] == value[j] && n < j);
                    at = before == rank ? j : at;
                    least += before < K ? value[j] : 0;
                }
                double want = r == KF_REDUCE_SUM               ? sum
                              : r == KF_REDUCE_LOGSUMEXP       ? log(powers)
                              : r == KF_REDUCE_LOGSUMEXPWEIGHT ? log(weighed)
                              : weighted                       ? weighed / powers
                              : info->kind == KF_INT           ? at
                              : mean                           ? (largest ? -least : least) / K
                              : largest                        ? -value[at]
                                                               : value[at];
                double result = got[i * results + k];
                ck_assert_msg(isnan(want) ? isnan(result) : fabs(result - want) <= 1e-13 * (1 + fabs(want)),
                              "%s of row %d, result %d: %.17g, not %.17g", info->name, i, k, result, want);
            }
    }
}
END_TEST

int main(void)
{
    const reduce_test tests[] = {
        {states_merged_at_any_cut_give_the_same_result, KB_COUNT(in_sweeps)},
        {the_smallest_values_are_sorted, 2},
        {weighted_exponentials_do_not_overflow, 0},
        {terms_are_shared_where_one_state_serves, 0},
        {reductions_become_terms, 0},
        {sum_keeps_what_cancellation_would_lose, 0},
        {sum_of_infinities_and_nan_is_that_of_ieee, 0},
        {infinities_nan_ties_and_no_terms_have_a_meaning, 0},
        {the_smaller_number_wins_in_any_order, 0},
    };
    return run_tests("states", tests, KB_COUNT(tests));
}
