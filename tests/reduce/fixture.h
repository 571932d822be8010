/* SPDX-License-Identifier: MIT */
/* tests/reduce/fixture.h: points, formulas of them and sweeps over them, for the tests of this folder. */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

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

static inline void setup(void)
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

static inline void teardown(void)
{
    counter.fail_at = 0;
    kf_graph_finish(&g);
    free(x);
    free(y);
    ck_assert_int_eq(atomic_load(&counter.blocks), 0);
}

static inline const kf_node *acc(int64_t term, int64_t dim)
{
    return kf_acc(&g, term, dim, KF_REAL);
}

static inline kcl_status sweep(unsigned reduced, size_t term_count, const kr_term *terms, size_t output_count,
                               const kf_node *const *outputs, int64_t rows, int64_t cols, const kr_sink *sinks,
                               int threads)
{
    ck_assert_msg(g.error.status == KCL_OK, "%s", g.error.text);
    kr_sweep s = {&g, reduced, KB_COUNT(vars), term_count, output_count, vars, terms, outputs, NULL};
    kb_error_clear(&err);
    return kr_run_host(&s, rows, cols, sources, sinks, threads, &err);
}

static inline kr_sink dense(double *data, int64_t dim)
{
    return (kr_sink){data, KCL_F64, dim * (int64_t)sizeof *data, sizeof *data};
}

/* exp(-p |x-y|^2) * y, D components: the formula of most tests. */
static inline const kf_node *gauss(void)
{
    const kf_node *d = kf_unary(&g, KF_SUM, kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, vx, vy)));
    return kf_unary(&g, KF_EXP, kf_unary(&g, KF_MINUS, kf_binary(&g, KF_MULT, vp, d)));
}

static inline long double gauss_at(int64_t i, int64_t j)
{
    long double d = 0;
    for (int k = 0; k < D; k++)
        d += ((long double)x[i * D + k] - y[j * D + k]) * ((long double)x[i * D + k] - y[j * D + k]);
    return expl(-p * d);
}

typedef struct reduce_test {
    const TTest *test;
    int rounds; /* calls with _i = 0 to rounds - 1; 0: one call without a number */
} reduce_test;

/* Runs tests, each between setup and teardown; returns the exit status. */
static inline int run_tests(const char *name, const reduce_test *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    for (size_t k = 0; k < count; k++)
        tcase_add_loop_test(tc, tests[k].test, 0, KB_MAX(tests[k].rounds, 1));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
