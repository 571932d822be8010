/* SPDX-License-Identifier: MIT */
/* tests/plan/fixture.h: a sweep, capabilities of a CPU and a list of tests, for the tests of this folder. */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include "sweeps.h"

static kb_error err;

static const char gauss_variables[] = "x:i3 y:j3 b:j1 g:p1";
static const char gauss_term[] = "Exp(-g*SqDist(x,y))*b";

static sweep_of s;
static kp_caps caps;

static inline void setup(void)
{
    sweep_init(&s, NULL, KF_AXIS_J, gauss_variables, gauss_term, "r0");
    caps = cpu_caps(16, 32);
    kb_error_clear(&err);
}

static inline void teardown(void)
{
    sweep_finish(&s);
}

/* Puts a sweep of other formulas in place of the Gaussian sum. */
static inline void use(unsigned reduced, const char *variables, const char *terms, const char *outputs)
{
    sweep_finish(&s);
    sweep_init(&s, NULL, reduced, variables, terms, outputs);
}

static inline char *text_of(const kf_node *f)
{
    static char text[2048];
    kb_str out;
    kb_str_init(&out, NULL);
    kf_print(&out, f, NULL, NULL, sizeof text - 1);
    snprintf(text, sizeof text, "%s", kb_str_text(&out));
    kb_str_finish(&out);
    return text;
}

/* Runs the tests, each between setup and teardown. Returns the exit status. */
static inline int run_tests(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    for (size_t k = 0; k < count; k++)
        tcase_add_test(tc, tests[k]);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
