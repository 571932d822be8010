/* SPDX-License-Identifier: MIT */
/*
 * Complex numbers against the complex numbers of C, in long double; their dimensions; what simplification leaves of
 * them.
 */
#include "dense.h"
#include "simplify.h"
#include "text.h"

#include <complex.h>

typedef long double complex number;

enum { ROWS = 2, COLUMNS = 3 };

static kf_graph g;
static dense d;
static kf_binding bindings[5]; /* f, h: 2n; one: 2; r: n; s: 1 */

static void setup(void)
{
    dense_init(&d, &g, ROWS, COLUMNS, 1);
}

static void teardown(void)
{
    dense_finish(&d);
}

static void bind_variables(int64_t n)
{
    dense_finish(&d);
    dense_init(&d, &g, ROWS, COLUMNS, (uint64_t)n);
    bindings[0] = (kf_binding){"f", dense_var(&d, KF_ROLE_I, 2 * n, -2, 2)};
    bindings[1] = (kf_binding){"h", dense_var(&d, KF_ROLE_J, 2 * n, 0.3, 2)};
    bindings[2] = (kf_binding){"one", dense_var(&d, KF_ROLE_J, 2, -2, 2)};
    bindings[3] = (kf_binding){"r", dense_var(&d, KF_ROLE_I, n, -2, 2)};
    bindings[4] = (kf_binding){"s", dense_var(&d, KF_ROLE_P, 1, -2, 2)};
}

static kcl_status parse(const char *text, const kf_node **f, kb_error *err)
{
    int64_t next = DENSE_VARS;
    return kf_parse_formula(&g, text, KB_COUNT(bindings), bindings, &next, f, err);
}

static const kf_node *formula(const char *text)
{
    kb_error err = {0};
    const kf_node *f = NULL;
    ck_assert_msg(parse(text, &f, &err) == KCL_OK, "%s", err.text);
    return f;
}

/* What a formula should be: number k of the result, from the numbers of the operands. */
typedef struct operands {
    number f, h, one, f_sum;
    long double r, s;
} operands;

#define VALUE(name, expression)                                                                                        \
    static number name(const operands *x)                                                                              \
    {                                                                                                                  \
        return expression;                                                                                             \
    }
VALUE(of_real, x->r)
VALUE(of_imag, x->r *I)
VALUE(real_part, creal(x->f))
VALUE(imag_part, cimag(x->f))
VALUE(conjugate, conj(x->f))
VALUE(square_abs, creal(x->f) * creal(x->f) + cimag(x->f) * cimag(x->f))
VALUE(absolute, fabs(x->f))
VALUE(angle, carg(x->f))
VALUE(sum, x->f_sum)
VALUE(repeated, x->one)
VALUE(add, x->f + x->h)
VALUE(add_one, x->one + x->f)
VALUE(subtract, x->f - x->h)
VALUE(subtract_one, x->f - x->one)
VALUE(one_less, x->one - x->f)
VALUE(multiply, x->f * x->h)
VALUE(multiply_one, x->f * x->one)
VALUE(divide, x->f / x->h)
VALUE(divide_by_one, x->f / x->one)
VALUE(one_divided, x->one / x->h)
VALUE(scaled, x->s * x->f)
VALUE(scaled_join, x->s *conj(x->f))
VALUE(exponential, exp(x->f))
VALUE(exponential_of_ir, cos(x->r) + I * sin(x->r))
VALUE(chain, exp(I * x->r) * x->f * conj(x->h) + x->one)

static const struct {
    const char *text;
    number (*value)(const operands *x);
    bool real;       /* the result is real: a component for each number */
    bool one_result; /* of all numbers */
} cases[] = {
    {"Real2Complex(r)", of_real, false, false},
    {"Imag2Complex(r)", of_imag, false, false},
    {"ComplexReal(f)", real_part, true, false},
    {"ComplexImag(f)", imag_part, true, false},
    {"Conj(f)", conjugate, false, false},
    {"ComplexSquareAbs(f)", square_abs, true, false},
    {"ComplexAbs(f)", absolute, true, false},
    {"ComplexAngle(f)", angle, true, false},
    {"ComplexSum(f)", sum, false, true},
    {"ComplexSumT(one,6)", repeated, false, false},
    {"ComplexAdd(f,h)", add, false, false},
    {"ComplexAdd(one,f)", add_one, false, false},
    {"ComplexSubtract(f,h)", subtract, false, false},
    {"ComplexSubtract(f,one)", subtract_one, false, false},
    {"ComplexSubtract(one,f)", one_less, false, false},
    {"ComplexMult(f,h)", multiply, false, false},
    {"ComplexMult(one,f)", multiply_one, false, false},
    {"ComplexDivide(f,h)", divide, false, false},
    {"ComplexDivide(f,one)", divide_by_one, false, false},
    {"ComplexDivide(one,h)", one_divided, false, false},
    {"ComplexRealScal(s,f)", scaled, false, false},
    {"ComplexRealScal(f,s)", scaled, false, false},
    {"ComplexRealScal(s,Conj(f))", scaled_join, false, false},
    {"ComplexExp(f)", exponential, false, false},
    {"ComplexExp1j(r)", exponential_of_ir, false, false},
    {"ComplexAdd(ComplexMult(ComplexMult(ComplexExp1j(r),f),Conj(h)),one)", chain, false, false},
};

static long double component(int v, int64_t i, int64_t j, int64_t k)
{
    const kf_node *var = bindings[v].value;
    return d.data[v][dense_row(&d, var, i, j) * var->dim + k];
}

static number number_of(int v, int64_t i, int64_t j, int64_t k)
{
    return component(v, i, j, 2 * k) + I * component(v, i, j, 2 * k + 1);
}

static void check_value(const char *text, const kf_node *f, int which, int64_t n)
{
    const int64_t count = cases[which].one_result ? 1 : n;
    ck_assert_int_eq(f->dim, count * (cases[which].real ? 1 : 2));
    long double *got = dense_eval(&d, f);
    for (int64_t at = 0; at < ROWS * COLUMNS; at++) {
        const int64_t i = at / COLUMNS, j = at % COLUMNS;
        operands x = {.one = number_of(2, i, j, 0), .s = component(4, i, j, 0)};
        for (int64_t k = 0; k < n; k++)
            x.f_sum += number_of(0, i, j, k);
        for (int64_t k = 0; k < count; k++) {
            x.f = number_of(0, i, j, k);
            x.h = number_of(1, i, j, k);
            x.r = component(3, i, j, k);
            const number want = cases[which].value(&x);
            const long double *have = got + at * f->dim + (cases[which].real ? k : 2 * k);
            ck_assert_msg(fabs(have[0] - creal(want)) <= 1e-15L * (1 + fabs(want)) &&
                              (cases[which].real || fabs(have[1] - cimag(want)) <= 1e-15L * (1 + fabs(want))),
                          "%s, %lld numbers: (%Lg, %Lg), not (%Lg, %Lg)", text, (long long)n, have[0],
                          cases[which].real ? 0 : have[1], creal(want), cimag(want));
        }
    }
    free(got);
}

START_TEST(values_are_those_of_c)
{
    const bool repeats = cases[_i].value == repeated; /* to a stated dimension */
    for (int64_t n = repeats ? 3 : 1; n <= (repeats ? 3 : 5); n++) {
        bind_variables(n);
        const kf_node *f = formula(cases[_i].text), *simple = NULL;
        check_value(cases[_i].text, f, _i, n);
        ck_assert_int_eq(kf_simplify(&g, 1, &f, &simple), KCL_OK);
        check_value(cases[_i].text, simple, _i, n);
    }
}
END_TEST

/* KeOps cannot differentiate these formulas: it adds gradients as complex numbers, of even dimension. */
START_TEST(complex_formulas_have_gradients_in_real_variables_of_odd_dimension)
{
    /* s(f) with e: r, of 3 components, or s, of 1. By hand: */
    const struct {
        const char *text, *by_hand;
    } pairs[] = {
        {"Grad(ComplexMult(Real2Complex(r),f),r,h)", "ComplexReal(f)*ComplexReal(h)+ComplexImag(f)*ComplexImag(h)"},
        {"Grad(ComplexRealScal(s,f),s,h)", "(f|h)"},
        {"Grad(ComplexExp1j(s*r),r,h)", "s*(Cos(s*r)*ComplexImag(h)-Sin(s*r)*ComplexReal(h))"},
        {"Grad(ComplexExp1j(s*r),s,h)", "(r|Cos(s*r)*ComplexImag(h)-Sin(s*r)*ComplexReal(h))"},
        {"Grad(ComplexMult(ComplexExp1j(s*r),ComplexExp1j(s*r)),s,h)",
         "2*(r|Cos(2*s*r)*ComplexImag(h)-Sin(2*s*r)*ComplexReal(h))"},
        {"Grad(Real2Complex(r),r,h)", "ComplexReal(h)"},
        {"Grad(ComplexImag(f),f,r)", "Imag2Complex(r)"},
        {"Grad(ComplexAbs(f),f,r)", "ComplexMult(Real2Complex(r/ComplexAbs(f)),f)"},
    };
    bind_variables(3);
    for (size_t k = 0; k < KB_COUNT(pairs); k++) {
        const kf_node *got = formula(pairs[k].text), *want = formula(pairs[k].by_hand);
        ck_assert_int_eq(got->dim, want->dim);
        long double *a = dense_eval(&d, got), *b = dense_eval(&d, want);
        for (int64_t at = 0; at < ROWS * COLUMNS * got->dim; at++)
            ck_assert_msg(fabs(a[at] - b[at]) <= 1e-14L * (1 + fabs(b[at])), "%s: %Lg, not %Lg", pairs[k].text, a[at],
                          b[at]);
        free(a);
        free(b);
    }
}
END_TEST

/* A part that is not asked for is not computed, and nothing is joined only to be taken apart again. */
START_TEST(chains_compute_with_parts)
{
    const char *const pairs[][2] = {
        {"ComplexReal(Real2Complex(r))", "r"},
        {"ComplexImag(Real2Complex(r))", "Zero(3)"},
        {"ComplexReal(ComplexMult(ComplexExp1j(r),ComplexExp1j(2*r)))", "Cos(r)*Cos(2*r)-Sin(r)*Sin(2*r)"},
        {"ComplexSquareAbs(ComplexRealScal(s,Real2Complex(r)))", "Square(s*r)"},
        {"Conj(Conj(Conj(Real2Complex(r))))", "Real2Complex(r)"},
        {"Grad(ComplexReal(f),f,r)+Grad(ComplexImag(f),f,r)", "Arrange(Concat(r,r),2,0,3,1,2,3)"},
    };
    bind_variables(3);
    for (size_t k = 0; k < KB_COUNT(pairs); k++) {
        const kf_node *f[] = {formula(pairs[k][0]), formula(pairs[k][1])}, *simple[2];
        ck_assert_int_eq(kf_simplify(&g, 2, f, simple), KCL_OK);
        kb_str out;
        kb_str_init(&out, NULL);
        kf_print(&out, simple[0], NULL, NULL, 0);
        ck_assert_msg(simple[0] == simple[1], "%s: %s", pairs[k][0], kb_str_text(&out));
        kb_str_finish(&out);
    }
}
END_TEST

START_TEST(dimensions_that_do_not_fit_are_named)
{
    const char *const errors[][2] = {
        {"ComplexReal(r)",
         "ComplexReal: the operand has dimension 3, which is odd: complex numbers are pairs (re, im)"},
        {"ComplexExp(s)", "ComplexExp: the operand has dimension 1, which is odd: complex numbers are pairs (re, im)"},
        {"ComplexAbs(r)", "ComplexAbs: the operand has dimension 3, which is odd: complex numbers are pairs (re, im)"},
        {"ComplexMult(f,r)",
         "ComplexMult: the operand has dimension 3, which is odd: complex numbers are pairs (re, im)"},
        {"ComplexMult(f,Concat(r,s))",
         "ComplexMult: the operands have dimensions 6 and 4; they must be equal, or one of them 2"},
        {"ComplexSubtract(Concat(r,s),f)",
         "ComplexSubtract: the operands have dimensions 4 and 6; they must be equal, or one of them 2"},
        {"ComplexRealScal(r,f)", "ComplexRealScal: the operands have dimensions 3 and 6; one of them must be 1"},
        {"ComplexRealScal(s,r)",
         "ComplexRealScal: the operand has dimension 3, which is odd: complex numbers are pairs (re, im)"},
        {"ComplexSumT(f,4)", "ComplexSumT: the operand has dimension 6, it must be 2, one pair (re, im)"},
        {"ComplexSumT(one,3)", "ComplexSumT: dimension 3 is not that of pairs (re, im), 2 or more and even"},
        {"ComplexSumT(one,0)", "ComplexSumT: dimension 0 is not that of pairs (re, im), 2 or more and even"},
        {"ComplexDivide(f,0)", "this divides by 0"},
    };
    bind_variables(3);
    for (size_t k = 0; k < KB_COUNT(errors); k++) {
        kb_error err = {0};
        const kf_node *f = NULL;
        ck_assert_msg(parse(errors[k][0], &f, &err) < 0, "%s", errors[k][0]);
        *strchr(err.text, '\n') = 0;
        ck_assert_str_eq(err.text, errors[k][1]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("complex");
    TCase *tests = tcase_create("complex");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, values_are_those_of_c, 0, KB_COUNT(cases));
    tcase_add_test(tests, complex_formulas_have_gradients_in_real_variables_of_odd_dimension);
    tcase_add_test(tests, chains_compute_with_parts);
    tcase_add_test(tests, dimensions_that_do_not_fit_are_named);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
