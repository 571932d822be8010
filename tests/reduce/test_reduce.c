/* SPDX-License-Identifier: MIT */
/* The table of reductions, and sweeps on the host, against plain sums in long double. */
#include "failing.h"
#include "make.h"
#include "reduction.h"
#include "reductions.h"

#include <check.h>
#include <math.h>
#include <string.h>

enum { BOTH = KF_AXIS_I | KF_AXIS_J, MOST_ROWS = 2100, MOST_COLS = 9000, D = 2 };

/* Relative error of a term gauss() * y: exp's argument, up to 5.6, carries four roundings. */
#define TERM_ERROR 3e-15L

static kf_graph g;
static kb_error err;
static failing counter;
static double *x, *y, p = 0.7;
static kf_source sources[3];
static const kr_var vars[] = {{KF_ROLE_I, D}, {KF_ROLE_J, D}, {KF_ROLE_P, 1}};
static const kf_node *vx, *vy, *vp;

static void setup(void)
{
    static uint64_t seed;
    seed = 1;
    counter.fail_at = 0;
    kcl_allocator allocator = failing_allocator(&counter);
    kf_graph_init(&g, &allocator);
    x = malloc(MOST_ROWS * D * sizeof *x);
    y = malloc(MOST_COLS * D * sizeof *y);
    for (int n = 0; n < (MOST_ROWS + MOST_COLS) * D; n++) {
        seed = kb_hash_combine(seed, 1);
        *(n < MOST_ROWS * D ? &x[n] : &y[n - MOST_ROWS * D]) = (double)(seed >> 11) * 0x1p-52 - 1;
    }
    sources[0] = (kf_source){x, KCL_F64, D * sizeof *x, sizeof *x};
    sources[1] = (kf_source){y, KCL_F64, D * sizeof *y, sizeof *y};
    sources[2] = (kf_source){&p, KCL_F64, 0, sizeof p};
    vx = kf_var(&g, 0, D, KF_ROLE_I);
    vy = kf_var(&g, 1, D, KF_ROLE_J);
    vp = kf_var(&g, 2, 1, KF_ROLE_P);
}

static void teardown(void)
{
    counter.fail_at = 0;
    kf_graph_finish(&g);
    free(x);
    free(y);
    ck_assert_int_eq(atomic_load(&counter.blocks), 0);
}

static const kf_node *acc(int64_t term, int64_t dim)
{
    return kf_acc(&g, term, dim, KF_REAL);
}

static kcl_status sweep(unsigned reduced, size_t term_count, const kr_term *terms, size_t output_count,
                        const kf_node *const *outputs, int64_t rows, int64_t cols, const kr_sink *sinks, int threads)
{
    ck_assert_msg(g.error.status == KCL_OK, "%s", g.error.text);
    kr_sweep s = {&g, reduced, KB_COUNT(vars), term_count, output_count, vars, terms, outputs, NULL};
    kb_error_clear(&err);
    return kr_run_host(&s, rows, cols, sources, sinks, threads, &err);
}

static kr_sink dense(double *data, int64_t dim)
{
    return (kr_sink){data, KCL_F64, dim * (int64_t)sizeof *data, sizeof *data};
}

/* exp(-p |x-y|^2) * y, D components: the formula of most tests. */
static const kf_node *gauss(void)
{
    const kf_node *d = kf_unary(&g, KF_SUM, kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, vx, vy)));
    return kf_unary(&g, KF_EXP, kf_unary(&g, KF_MINUS, kf_binary(&g, KF_MULT, vp, d)));
}

static long double gauss_at(int64_t i, int64_t j)
{
    long double d = 0;
    for (int k = 0; k < D; k++)
        d += ((long double)x[i * D + k] - y[j * D + k]) * ((long double)x[i * D + k] - y[j * D + k]);
    return expl(-p * d);
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

static const kf_reduction in_sweeps[] = {KF_REDUCE_SUM,  KF_REDUCE_LOGSUMEXP, KF_REDUCE_EXPSUMS, KF_REDUCE_MIN,
                                         KF_REDUCE_ARGMIN, KF_REDUCE_KMIN,    KF_REDUCE_ARGKMIN,
                                         KF_REDUCE_MEANKMIN};

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
                r->step(other, 2, 0, &(kr_block){(const double *[]){rows[k].terms + from, rows[k].weight + from},
                                                 (int[]){1, 1}, from, KB_MIN(piece, rows[k].count - from)});
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
    int64_t *index = calloc((size_t)results * D + 1, sizeof *index), *whole = calloc((size_t)results + 1, sizeof *whole);
    double *logs = calloc((size_t)results + 1, sizeof *logs), *sums = calloc((size_t)results + 1, sizeof *sums),
           *real = calloc((size_t)results + 1, sizeof *real);
    index[results * D] = whole[results] = 4711;
    kr_sink sinks[] = {{index, KCL_I64, D * sizeof *index, sizeof *index}, dense(logs, 1), dense(sums, 1),
                       dense(real, 1), {whole, KCL_I64, sizeof *whole, sizeof *whole}};
    ck_assert_msg(sweep(both ? BOTH : KF_AXIS_J, 4, terms, 5, out, rows, cols, sinks, 3) == KCL_OK, "%s", err.text);
    for (int64_t r = 0; r < results; r += results > 300 ? 37 : 1) {
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
    Suite *suite = suite_create("reduce");
    TCase *tests = tcase_create("reduce");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, states_merged_at_any_cut_give_the_same_result, 0, (int)KB_COUNT(in_sweeps));
    tcase_add_loop_test(tests, the_smallest_values_are_sorted, 0, 2);
    tcase_add_test(tests, weighted_exponentials_do_not_overflow);
    tcase_add_test(tests, terms_are_shared_where_one_state_serves);
    tcase_add_test(tests, reductions_become_terms);
    tcase_add_test(tests, sum_keeps_what_cancellation_would_lose);
    tcase_add_test(tests, sum_of_infinities_and_nan_is_that_of_ieee);
    tcase_add_loop_test(tests, sums_over_columns_agree_for_all_sizes, 0, (int)(KB_COUNT(sizes) * KB_COUNT(sizes)));
    tcase_add_loop_test(tests, sums_over_both_axes_agree_for_all_sizes, 0, (int)(KB_COUNT(sizes) * KB_COUNT(sizes)));
    tcase_add_test(tests, infinities_nan_ties_and_no_terms_have_a_meaning);
    tcase_add_test(tests, the_smaller_number_wins_in_any_order);
    tcase_add_loop_test(tests, reductions_of_all_kinds_share_a_sweep, 0,
                        (int)(2 * KB_COUNT(sizes) * KB_COUNT(sizes)));
    tcase_add_test(tests, a_sweep_without_reduction_computes_its_rows);
    tcase_add_test(tests, outputs_are_formulas_of_several_results_rows_and_parameters);
    tcase_add_loop_test(tests, results_do_not_depend_on_the_number_of_threads, 0, 8);
    tcase_add_test(tests, few_rows_with_many_columns_are_right_too);
    tcase_add_test(tests, long_vectors_are_summed);
    tcase_add_test(tests, outputs_are_written_with_any_type_and_stride);
    tcase_add_test(tests, inputs_may_be_float_reversed_and_repeated);
    tcase_add_test(tests, an_output_with_columns_is_refused);
    tcase_add_loop_test(tests, every_failing_allocation_is_reported_and_nothing_leaks, 0, 3);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
