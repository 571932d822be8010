/* SPDX-License-Identifier: MIT */
/* Random formulas of every operator of the table: the interpreter against their definition (dense.h). */
#include "dense.h"

enum { FORMULAS = 2000, STEPS = 55, CELLS = 3 };

static kf_graph g;

/* The sum of the nodes' roundings, of values that the garden bounds, is at most this. */
static const double tolerance = 1e-9;

START_TEST(the_interpreter_computes_what_formulas_say)
{
    const uint64_t seed = case_seed(700001);
    const int cases = getenv("KEOPSCL_TEST_SEED") ? 1 : FORMULAS;
    long nodes = 0, compared = 0, ill = 0;
    for (int k = 0; k < cases; k++) {
        dense d;
        dense_init(&d, &g, CELLS, CELLS, seed + (uint64_t)k);
        garden w;
        garden_init(&w, &d, STEPS + 8, false);
        for (int v = 0; v < 4; v++)
            w.pool[w.count++] = dense_var(&d, (kf_role)(v % 3), v < 2 ? 3 : 1, 0.3, 2);
        const kf_node *f = garden_grow(&w, STEPS);
        long double *want = dense_eval(&d, f), *moved;
        double *got = dense_interpret(&d, f);
        /* If a change of an argument by a rounding moves the value, other roundings may move it too. */
        d.moved_leaf = w.pool[0];
        d.step = 1e-15L;
        moved = dense_eval(&d, f);
        for (int64_t n = 0; n < CELLS * CELLS * f->dim; n++) {
            if (fabsl(moved[n] - want[n]) > 1e-12L) {
                ill++;
                continue;
            }
            compared++;
            ck_assert_msg(fabs(got[n] - (double)want[n]) <= tolerance * fmax(1, fabs((double)want[n])),
                          "seed %llu: number %lld is %.17g, by definition %.17g",
                          (unsigned long long)(seed + (uint64_t)k), (long long)n, got[n], (double)want[n]);
        }
        nodes += (long)node_count(&g, f);
        free(want);
        free(moved);
        free(got);
        garden_finish(&w);
        dense_finish(&d);
    }
    printf("random: seed %llu, %d formulas of %.1f nodes, %ld values compared, %ld ill-conditioned\n",
           (unsigned long long)seed, cases, (double)nodes / cases, compared, ill);
    ck_assert_int_ge(compared, 9L * cases);
    ck_assert_int_le(50 * ill, compared);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random formulas");
    TCase *tests = tcase_create("random");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, the_interpreter_computes_what_formulas_say);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
