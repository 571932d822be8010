/* SPDX-License-Identifier: MIT */
/* Derivatives at singular points and at the ends of the range of numbers, and what they refuse. */
#include "derive_support.h"
#include "simplify.h"

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

static void check_error(kcl_status status, kcl_status want, const char *a, const char *b)
{
    ck_assert_int_eq(status, want);
    ck_assert_int_eq(g.error.status, want);
    ck_assert_msg(strstr(g.error.text, a) && strstr(g.error.text, b), "\"%s\" lacks \"%s\" or \"%s\"", g.error.text, a,
                  b);
    kf_clear_error(&g);
}

START_TEST(errors_say_what_does_not_fit)
{
    const kf_node *x = kf_var(&g, 0, 3, KF_ROLE_I), *y = kf_var(&g, 1, 3, KF_ROLE_J), *out[1];
    const kf_node *p = kf_var(&g, 0, 3, KF_ROLE_P), *e = kf_var(&g, 2, 2, KF_ROLE_I);
    const kf_node *f = sum_over(KF_AXIS_J, kf_binary(&g, KF_MULT, x, y));
    check_error(kf_vjp(&g, kf_binary(&g, KF_MULT, x, y), e, 1, &x, out), KCL_ERROR_SHAPE, "dimension 3", "has 2");
    check_error(kf_gradient(&g, f, e, 1, &x, out), KCL_ERROR_SHAPE, "dimension 3", "has 2");
    check_error(kf_gradient(&g, f, y, 1, &x, out), KCL_ERROR_SHAPE, "axis (j)", "lacks");
    check_error(kf_gradient(&g, kf_transpose(&g, f), x, 1, &x, out), KCL_ERROR_SHAPE, "axis (i)", "lacks");
    const kf_node *mixed = sum_over(KF_AXIS_I, kf_binary(&g, KF_MULT, x, p));
    check_error(kf_gradient(&g, mixed, kf_rat(&g, 1, 1), 1, &x, out), KCL_ERROR_DERIVATIVE, "parameter", "rows");
    check_error(kf_gradient(&g, mixed, kf_rat(&g, 1, 1), 1, &p, out), KCL_ERROR_DERIVATIVE, "parameter", "rows");
}
END_TEST

START_TEST(exponents_stay_in_range)
{
    const kf_node *x = kf_var(&g, 0, 1, KF_ROLE_I), *out;
    ck_assert_ptr_null(with(KF_POW, x, INT64_MIN, 0));
    ck_assert_ptr_nonnull(strstr(g.error.text, "Pow"));
    ck_assert_ptr_nonnull(strstr(g.error.text, "-9223372036854775808"));
    kf_clear_error(&g);
    ck_assert_ptr_null(with(KF_POW, x, (int64_t)INT32_MAX + 1, 0));
    kf_clear_error(&g);
    ck_assert_int_eq(kf_vjp(&g, with(KF_POW, x, INT32_MAX, 0), kf_rat(&g, 1, 1), 1, &x, &out), KCL_OK);
    /* The derivative of the least power has no node: an error, not another number. */
    ck_assert_int_eq(kf_vjp(&g, with(KF_POW, x, -INT32_MAX, 0), kf_rat(&g, 1, 1), 1, &x, &out), KCL_ERROR_SHAPE);
}
END_TEST

/* ---- Singular points and number formats -------------------------------------------------------------------------- */

static double derivative_at(const char *text, double at)
{
    restart(1);
    const kf_node *x = dense_var(&d, KF_ROLE_I, 1, at, at), *out = NULL;
    const kf_node *f = parsed(text, 1, (kf_binding[]){{"x", x}});
    ck_assert_msg(kf_vjp(&g, f, kf_rat(&g, 1, 1), 1, &x, &out) == KCL_OK, "%s", g.error.text);
    double *value = dense_interpret(&d, out), result = value[0];
    free(value);
    return result;
}

START_TEST(derivatives_at_singular_points_are_defined)
{
    ck_assert(derivative_at("Sqrt(x)", 0) == 0);
    ck_assert(derivative_at("Norm2(x)", 0) == 0);
    ck_assert(derivative_at("Norm2(SumT(x,3)*SumT(2,3))", 0) == 0);
    ck_assert(derivative_at("Rsqrt(x)", 0) == 0);
    ck_assert(derivative_at("Abs(x)", 0) == 0);
    ck_assert(derivative_at("Sign(x)", 0) == 0);
    ck_assert(derivative_at("Square(x)", 0) == 0);
    ck_assert(derivative_at("x**3", 0) == 0);
    ck_assert(derivative_at("x**1", 0) == 1);
    ck_assert(derivative_at("Pow(x,1)", 0) == 1);
    ck_assert(derivative_at("Pow(x,0)", 0) == 0);
    ck_assert(derivative_at("x**2.5", 0) == 0);
    ck_assert(derivative_at("Sqrt(SqDist(x,x))", 0.7) == 0);
    ck_assert(derivative_at("Grad(Norm2(x),x,1)", 0) == 0);
    ck_assert(derivative_at("Grad(Sqrt(x),x,1)", 0) == 0);
    ck_assert(derivative_at("Hypot(x,2*x)", 0) == 0);
    ck_assert(derivative_at("Grad(Hypot(x,2*x),x,1)", 0) == 0);
    ck_assert(derivative_at("Acosh(x)", 1) == 0);
    ck_assert(isnan(derivative_at("Acosh(x)", 0.5)) && isnan(derivative_at("Acosh(x)", -3)));
    ck_assert(isinf(derivative_at("Atanh(x)", 1)));
    ck_assert(derivative_at("Minimum(x,3*x)", 0) == 1); /* equal operands: the derivative of the first */
    ck_assert(derivative_at("Maximum(3*x,x)", 0) == 3);
    ck_assert(derivative_at("Maximum(x,3*x)", 2) == 3);
    ck_assert(derivative_at("Minimum(x,3*x)", 2) == 1);
    ck_assert(derivative_at("Ceil(x)+Trunc(x)", 2) == 0);
    ck_assert(derivative_at("And(x,x)+Or(x,x)+Not(x)", 0) == 0);
    ck_assert(derivative_at("SinXDivX(x)", 0) == 0);
    ck_assert_double_eq_tol(derivative_at("Grad(SinXDivX(x),x,1)", 0), -1.0 / 3, 1e-15);
    /* Equal bounds: a constant on either side. */
    ck_assert(derivative_at("Clamp(x,1,1)", 0.5) == 0);
    ck_assert(derivative_at("Clamp(x,1,1)", 2) == 0);
    ck_assert(isfinite(derivative_at("Clamp(x,1,1)", 1)));
    ck_assert(derivative_at("Atan2(x,x-x)", 0) == 0);
}
END_TEST

/* What is 0 by its form is left out, whatever stands beside it; all that a user wrote stays. */
START_TEST(zeros_by_form_are_left_out_of_derivatives)
{
    static const struct {
        const char *text, *by_x, *by_s;
    } cases[] = {
        {"Sign(x)*s", "0", "Sign(x)"},
        {"Floor(x)+x*s", "s", "x"},
        {"LessThan(x,s)*s", "0", "LessThan(x,s)"},
        {"Elem(Concat(x,s*s),0)", "1", "0"},
        {"Elem(ExtractT(x,1,3),0)*s", "0", "Elem(ExtractT(x,1,3),0)"},
        {"0*x+s", "0", "1"},
        {"(x-x)*s", "s-s", "0*x"},
        {"Pow(x,0)*s", "0", "1"},
        {"ComplexReal(ComplexMult(Real2Complex(x),Concat(s,x)))", "s", "x"},
        {"ComplexReal(ComplexMult(Real2Complex(x),Real2Complex(s)))", "s", "x"},
        {"ComplexReal(ComplexDivide(Concat(x,s),Real2Complex(s)))", "Inv(Square(s))*s", NULL},
    };
    for (size_t k = 0; k < KB_COUNT(cases); k++)
        for (int by_s = 0; by_s < 2; by_s++) {
            restart(1);
            const kf_node *x = dense_var(&d, KF_ROLE_P, 1, 1, 2), *s = dense_var(&d, KF_ROLE_P, 1, 1, 2), *want;
            const kf_binding names[] = {{"x", x}, {"s", s}};
            const kf_node *f = parsed(cases[k].text, 2, names), *v = by_s ? s : x, *one = kf_rat(&g, 1, 1), *got[2];
            if (by_s && !cases[k].by_s)
                continue;
            want = parsed(by_s ? cases[k].by_s : cases[k].by_x, 2, names);
            ck_assert_int_eq(kf_simplify(&g, 1, &want, &want), KCL_OK);
            ck_assert_int_eq(kf_vjp(&g, f, one, 1, &v, &got[0]), KCL_OK);
            ck_assert_int_eq(kf_diff(&g, f, v, one, &got[1]), KCL_OK);
            for (int m = 0; m < 2; m++) {
                kb_str text;
                kb_str_init(&text, NULL);
                kf_print(&text, kf_value(got[m]), NULL, NULL, 200);
                ck_assert_msg(kf_value(got[m]) == want, "%s, %s: %s", cases[k].text, m ? "forward" : "reverse",
                              kb_str_text(&text));
                kb_str_finish(&text);
            }
        }
}
END_TEST

/* A value that has lost its digits, or is too large to be squared, still has an exact derivative. */
START_TEST(derivatives_are_exact_at_the_ends_of_the_range)
{
    ck_assert(derivative_at("Expm1(x)", -60) == exp(-60));
    ck_assert(fabs(derivative_at("Erf(x)", 8) / (2 / sqrt(acos(-1)) * exp(-64)) - 1) < 1e-14);
    ck_assert(derivative_at("Erfc(x)", 8) == -derivative_at("Erf(x)", 8));
    ck_assert(derivative_at("Softplus(x)", -700) == exp(-700));
    ck_assert(derivative_at("Softplus(x)", 800) == 1);
    ck_assert(derivative_at("Sigmoid(x)", -700) == exp(-700));
    ck_assert(fabs(derivative_at("Hypot(x,x)", 1e300) / sqrt(2) - 1) < 1e-15);
    ck_assert(fabs(derivative_at("Acosh(x)", 1e300) * 1e300 - 1) < 1e-15);
    const double next = 1 + 0x1p-50;
    ck_assert(fabs(derivative_at("Acosh(x)", next) / (0x1p25 / sqrt(2)) - 1) < 1e-14);
    ck_assert(fabs(derivative_at("Atanh(x)", 1 - 0x1p-50) / 0x1p49 - 1) < 1e-14);
}
END_TEST

START_TEST(constants_are_not_rounded_to_float)
{
    ck_assert(derivative_at("x*0.1", 1) == 0.1);
    ck_assert(derivative_at("x*RatCst(1,3)", 1) == 1.0 / 3.0);
    ck_assert(derivative_at("x*16777217", 1) == 16777217);
    ck_assert(fabs(derivative_at("Exp2(x)", 0) - 0.693147180559945309417232121458L) < 1e-16L);
    ck_assert(fabs(derivative_at("Log2(x)", 1) - 1.44269504088896340735992468100L) < 1e-15L);
    ck_assert(derivative_at("x**1e-3", 1) == 1e-3);
}
END_TEST

/* KeOps cannot add a rational number and a whole one. */
START_TEST(rational_and_whole_numbers_are_added)
{
    ck_assert(derivative_at("(RatCst(1,3)+IntCst(1))*x", 1) == 4.0 / 3.0);
    ck_assert(derivative_at("(IntCst(1)+RatCst(1,3))*x", 1) == 4.0 / 3.0);
    ck_assert(derivative_at("(RatCst(1,3)-IntCst(1))*x", 1) == -2.0 / 3.0);
    ck_assert(derivative_at("(IntCst(1)-RatCst(1,3))*x", 1) == 2.0 / 3.0);
}
END_TEST

/* KeOps returns a component for each repetition. */
START_TEST(gradients_of_repeated_operands_are_summed)
{
    static const char *const texts[] = {"Powf(x,s)",  "Powf(s,x)",       "x**s",          "Atan2(x,s)",
                                        "Atan2(s,x)", "IfElse(x-1,s,x)", "IfElse(s,x,s)", "IfElse(x-1,s,s*s)"};
    for (size_t k = 0; k < KB_COUNT(texts); k++) {
        restart(k + 1);
        const kf_node *leaves[] = {dense_var(&d, KF_ROLE_I, 3, 0.3, 2), dense_var(&d, KF_ROLE_J, 1, 0.3, 2)};
        const kf_binding bindings[] = {{"x", leaves[0]}, {"s", leaves[1]}};
        const kf_node *f = parsed(texts[k], 2, bindings), *e = dense_var(&d, KF_ROLE_I, 3, 0.5, 1.5), *out = NULL;
        ck_assert_int_eq(kf_vjp(&g, f, e, 1, &leaves[1], &out), KCL_OK);
        ck_assert_int_eq(out->dim, 1);
        check_vjp(texts[k], f, 2, leaves, 2);
        check_jvp(texts[k], f, 2, leaves, 2);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("singular");
    TCase *tests = tcase_create("singular");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, errors_say_what_does_not_fit);
    tcase_add_test(tests, exponents_stay_in_range);
    tcase_add_test(tests, zeros_by_form_are_left_out_of_derivatives);
    tcase_add_test(tests, derivatives_at_singular_points_are_defined);
    tcase_add_test(tests, derivatives_are_exact_at_the_ends_of_the_range);
    tcase_add_test(tests, constants_are_not_rounded_to_float);
    tcase_add_test(tests, rational_and_whole_numbers_are_added);
    tcase_add_test(tests, gradients_of_repeated_operands_are_summed);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
