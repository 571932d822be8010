/* SPDX-License-Identifier: MIT */
/* How exact first and second derivatives are, by the interpreter. tests/api/test_special.c has the same on devices. */
#include "dense.h"
#include "derivatives.h"
#include "simplify.h"
#include "text.h"

enum { ROWS = 2000 };

static kf_graph g;
static dense d;

/* Units in which errors are measured: derivatives_error. */
static const double bound = 16;

START_TEST(derivatives_keep_their_digits)
{
    const derivatives *f = &known_derivatives[_i];
    double worst[2] = {0}, where[2] = {0};
    dense_init(&d, &g, ROWS, 1, 1);
    const kf_binding x = {"x", dense_var(&d, KF_ROLE_I, 1, 0, 1)};
    for (int k = 0; k < ROWS; k++) {
        const double at = derivatives_argument(f, k, ROWS);
        /* Doubles reach further than floats, for which the ranges are. */
        d.data[0][k] = f->high >= 1e9 && k % 3 == 0 ? copysign(pow(fabs(at), 5), at) : at;
    }
    for (int order = 1; order <= 2; order++) {
        char text[200];
        kb_error err = {0};
        const kf_node *made = NULL;
        snprintf(text, sizeof text, order == 1 ? "Grad(%s,x,1)" : "Grad(Grad(%s,x,1),x,1)", f->text);
        ck_assert_msg(kf_parse_formula(&g, text, 1, &x, &(int64_t){1}, &made, &err) == KCL_OK, "%s", err.text);
        ck_assert_int_eq(kf_simplify(&g, 1, &made, &made), KCL_OK);
        double *got = dense_interpret(&d, made);
        for (int k = 0; k < ROWS; k++) {
            const double at = d.data[0][k];
            const double error = derivatives_error(f, order, at, got[k], 0x1p-53, DBL_MIN, DBL_MAX);
            if (error > worst[order - 1]) {
                worst[order - 1] = error;
                where[order - 1] = at;
            }
        }
        free(got);
    }
    dense_finish(&d);
    printf("%s: first derivative %.3g units at %.17g, second %.3g at %.17g\n", f->text, worst[0], where[0], worst[1],
           where[1]);
    for (int k = 0; k < 2; k++)
        ck_assert_msg(worst[k] <= bound, "%s: derivative %d is off by %g units at %.17g, the bound is %g", f->text,
                      k + 1, worst[k], where[k], bound);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("accuracy");
    TCase *tests = tcase_create("accuracy");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, derivatives_keep_their_digits, 0, KNOWN_DERIVATIVES);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
