/* SPDX-License-Identifier: MIT */
/*
 * NaN, infinities and the ends of ranges: formulas are NaN or infinite exactly if IEEE arithmetic, written down here as
 * plain C, is; derivatives keep their digits in float32. By the interpreter, and by a device (with the argument
 * "device").
 */
#include "derivatives.h"
#include "support.h"

#include "base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static kcl_context *c, *host;
static kcl_scope *s;
static bool on_device;

static void begin(void)
{
    s = kcl_scope_create(c);
}

static void end(void)
{
    kcl_scope_destroy(&s);
}

static void ok(kcl_status status)
{
    ck_assert_msg(status == KCL_OK, "%s", kcl_context_error(c));
}

/* ---- Derivatives ------------------------------------------------------------------------------------------------- */

/*
 * In units of roundoff: functions of cl/math.cl are off by up to 5 ulps, which are 10 units, second derivatives have
 * several.
 */
static const double bound = 40;

enum { ARGUMENTS = 600, AT_ONCE = 5 };

/* Functions whose derivatives are not the next function or a power: a kernel of many takes long to build. */
static bool is_delicate(const char *text)
{
    static const char *names[] = {"Tanh(",  "Sigmoid(", "Softplus(", "Asinh(", "Atanh(",
                                  "Hypot(", "Atan2(x",  "Asin(",     "Erf(",   "Atan("};
    for (size_t k = 0; k < KB_COUNT(names); k++)
        if (strncmp(text, names[k], strlen(names[k])) == 0)
            return true;
    return long_tests() || !on_device;
}

START_TEST(derivatives_keep_their_digits)
{
    static float x[AT_ONCE][ARGUMENTS], out[AT_ONCE][2][ARGUMENTS];
    kcl_expr *made[2 * AT_ONCE] = {NULL};
    const kcl_array *outs[2 * AT_ONCE] = {NULL};
    kcl_array arrays[2 * AT_ONCE];
    const derivatives *chosen[AT_ONCE];
    int count = 0, skipped = 0;
    for (int n = 0; n < KNOWN_DERIVATIVES && count < AT_ONCE; n++)
        if (is_delicate(known_derivatives[n].text) && skipped++ >= _i * AT_ONCE)
            chosen[count++] = &known_derivatives[n];
    if (!count)
        return;
    for (int n = 0; n < count; n++) {
        const derivatives *f = chosen[n];
        for (int k = 0; k < ARGUMENTS; k++)
            x[n][k] = (float)derivatives_argument(f, k, ARGUMENTS);
        kcl_expr *x_i = kcl_vi(s, kcl_f32(x[n], ARGUMENTS, 1));
        for (int order = 1; order <= 2; order++) {
            char text[200];
            snprintf(text, sizeof text, order == 1 ? "Grad(%s,x,1)" : "Grad(Grad(%s,x,1),x,1)", f->text);
            made[2 * n + order - 1] = kcl_formula(s, text, 1, (const char *const[]){"x"}, &x_i);
            arrays[2 * n + order - 1] = *kcl_f32(out[n][order - 1], ARGUMENTS, 1);
            outs[2 * n + order - 1] = &arrays[2 * n + order - 1];
        }
    }
    ok(kcl_eval(count * 2, made, outs));
    for (int n = 0; n < count; n++) {
        const derivatives *f = chosen[n];
        double worst[2] = {0}, where[2] = {0};
        for (int order = 1; order <= 2; order++)
            for (int k = 0; k < ARGUMENTS; k++) {
                const double error =
                    derivatives_error(f, order, x[n][k], out[n][order - 1][k], 0x1p-24, FLT_MIN, FLT_MAX);
                if (error > worst[order - 1]) {
                    worst[order - 1] = error;
                    where[order - 1] = x[n][k];
                }
            }
        printf("%s: first derivative %.3g units at %.9g, second %.3g at %.9g\n", f->text, worst[0], where[0], worst[1],
               where[1]);
        for (int k = 0; k < 2; k++)
            ck_assert_msg(worst[k] <= bound, "%s: derivative %d is off by %g units at %.9g, the bound is %g", f->text,
                          k + 1, worst[k], where[k], bound);
    }
}
END_TEST

/* ---- NaN and infinity -------------------------------------------------------------------------------------------- */

static const double special[] = {NAN, INFINITY, -INFINITY, 0, 1.5, -2, 1, 0.25};

enum { SPECIAL = KB_COUNT(special), PAIRS = SPECIAL * SPECIAL };

#define VALUE(name, expression)                                                                                        \
    static double name(double x, double y)                                                                             \
    {                                                                                                                  \
        (void)y;                                                                                                       \
        return expression;                                                                                             \
    }
VALUE(difference, x - x)
VALUE(nothing, 0 * x)
VALUE(nothing_by, 0 / x)
VALUE(logarithms, log(x) - log(x))
VALUE(distance, (x - x) * (x - x))
VALUE(modulus, 2 - x * floor((2 - 2) / x))
VALUE(cancelled, (x + y) - (x + y))
VALUE(multiples, 3 * x - 2 * x)
VALUE(product, (x - x) * y)
VALUE(smallest, fmin(x, y))
VALUE(largest, fmax(x, y))
VALUE(smaller, isnan(x) || isnan(y) ? NAN : fmin(x, y))
VALUE(tiny, (float)(1e-60 * x))
VALUE(angle, acos(fmin(fmax(x, -1), 1)) + x - x)
#undef VALUE

static const struct {
    const char *text;
    double (*value)(double x, double y);
} texts[] = {
    {"x-x", difference},
    {"0*x", nothing},
    {"x*0", nothing},
    {"0/x", nothing_by},
    {"Log(x)-Log(x)", logarithms},
    {"SqDist(x,x)", distance},
    {"Mod(2,x,2)", modulus},
    {"(x+y)-(x+y)", cancelled},
    {"3*x-2*x", multiples},
    {"(x-x)*y", product},
    {"Min(Concat(x,y))", smallest},
    {"Max(Concat(x,y))", largest},
    {"Minimum(x,y)", smaller},
    {"1e-30*(1e-30*x)", tiny},
    {"Acos(Clamp(x,-1,1))+x-x", angle},
};

static void check_class(const char *what, double got, double want)
{
    ck_assert_msg(isnan(want)   ? isnan(got)
                  : isinf(want) ? got == want
                                : fabs(got - want) <= 1e-5,
                  "%s is %g, not %g", what, got, want);
}

/* For each row, and in a sum over columns of which a row decides. */
START_TEST(nan_and_infinity_stay)
{
    enum { TEXTS = KB_COUNT(texts) };
    float x[PAIRS], y[PAIRS], b[3] = {1, 2, 4}, signs[3] = {1, 2, -4}, rows[TEXTS][PAIRS], sums[PAIRS];
    for (int k = 0; k < PAIRS; k++) {
        x[k] = (float)special[k / SPECIAL];
        y[k] = (float)special[k % SPECIAL];
    }
    const char *const names[] = {"x", "y", "b"};
    kcl_expr *args[] = {kcl_vi(s, kcl_f32(x, PAIRS, 1)), kcl_vi(s, kcl_f32(y, PAIRS, 1)), kcl_vj(s, kcl_f32(b, 3, 1))};
    kcl_expr *made[TEXTS];
    kcl_array arrays[TEXTS];
    const kcl_array *outs[TEXTS];
    for (int n = 0; n < TEXTS; n++) {
        made[n] = kcl_formula(s, texts[n].text, 2, names, args);
        arrays[n] = *kcl_f32(rows[n], PAIRS, 1);
        outs[n] = &arrays[n];
    }
    ok(kcl_eval(TEXTS, made, outs));
    ok(kcl_eval1(kcl_formula(s, "Sum_Reduction((x-x)*b+0*y*b,0)", 3, names, args), kcl_f32(sums, PAIRS, 1)));
    /*
     * A device multiplies by x once, after the sum, so an infinite x gives infinity; the formula as it is written gives
     * NaN.
     */
    float factors[PAIRS];
    ok(kcl_sum(kcl_mul(args[0], kcl_vj(s, kcl_f32(signs, 3, 1))), KCL_OVER_J, kcl_f32(factors, PAIRS, 1)));
    for (int k = 0; k < PAIRS; k++) {
        char what[100];
        if (isinf(x[k]))
            ck_assert(isnan(factors[k]) || (on_device && factors[k] == -x[k]));
        else
            check_class("a sum of multiples", factors[k], -(double)x[k]);
        for (int n = 0; n < TEXTS; n++) {
            snprintf(what, sizeof what, "%s of %g and %g", texts[n].text, (double)x[k], (double)y[k]);
            check_class(what, rows[n][k], texts[n].value(x[k], y[k]));
        }
        snprintf(what, sizeof what, "the sum for %g and %g", (double)x[k], (double)y[k]);
        check_class(what, sums[k], isfinite(x[k]) && isfinite(y[k]) ? 0 : NAN);
    }
}
END_TEST

/* A factor that is the same for all terms is multiplied once, after the sum, but not without terms. */
START_TEST(sums_of_no_terms_are_0)
{
    float x[SPECIAL], none[1] = {0}, out[SPECIAL] = {0}, one[1];
    for (int k = 0; k < SPECIAL; k++)
        x[k] = (float)special[k];
    /* With terms, by another kernel of the same formula. */
    float y[2] = {1, 2};
    ok(kcl_sum(kcl_mul(kcl_exp(kcl_vi(s, kcl_f32(x, SPECIAL, 1))), kcl_neg(kcl_vj(s, kcl_f32(y, 2, 1)))), KCL_OVER_J,
               kcl_f32(out, SPECIAL, 1)));
    for (int k = 0; k < SPECIAL; k++)
        check_class("a sum of two terms", out[k] / (isinf(out[k]) ? 1 : 30), -3 * exp(special[k]) / 30);
    for (int over_i = 0; over_i < 2; over_i++) {
        kcl_expr *rows = over_i ? kcl_vj(s, kcl_f32(x, SPECIAL, 1)) : kcl_vi(s, kcl_f32(x, SPECIAL, 1));
        kcl_expr *absent = over_i ? kcl_vi(s, kcl_f32(none, 0, 1)) : kcl_vj(s, kcl_f32(none, 0, 1));
        for (int k = 0; k < SPECIAL; k++)
            out[k] = 7;
        ok(kcl_sum(kcl_mul(kcl_exp(rows), kcl_neg(absent)), over_i ? KCL_OVER_I : KCL_OVER_J,
                   kcl_f32(out, SPECIAL, 1)));
        for (int k = 0; k < SPECIAL; k++)
            ck_assert_msg(out[k] == 0, "row %d, whose factor is %g: %g", k, exp(special[k]), (double)out[k]);
        for (int k = 0; k < SPECIAL; k++) {
            kcl_expr *p = kcl_pm(s, kcl_f32(x + k, 1));
            one[0] = 7;
            ok(kcl_sum(kcl_mul(p, kcl_add(rows, absent)), KCL_OVER_BOTH, kcl_f32(one, 1)));
            ck_assert_msg(one[0] == 0, "the factor is %g: %g", special[k], (double)one[0]);
        }
    }
}
END_TEST

/* Smallest values pass NaN over; nothing but NaN counts as no terms. */
START_TEST(reductions_choose_numbers_before_nan)
{
    enum { ROWS = 3, COLUMNS = 4 };
    const float x[ROWS][COLUMNS] = {{NAN, 2, INFINITY, 1}, {NAN, NAN, NAN, NAN}, {NAN, INFINITY, NAN, INFINITY}};
    const float numbers[COLUMNS] = {0, 1, 2, 3};
    float least[ROWS], most[ROWS], two[ROWS][2];
    int64_t at[ROWS], places[ROWS][2];
    kcl_expr *x_i = kcl_vi(s, kcl_f32((float *)x, ROWS, COLUMNS)),
             *j_ = kcl_vj(s, kcl_f32((float *)numbers, COLUMNS, 1));
    /* Component j of row i, as what is not chosen by a product. */
    kcl_expr *f = NULL;
    for (int k = 0; k < COLUMNS; k++) {
        kcl_expr *here = kcl_sub(kcl_equal(j_, kcl_constant(s, k)), kcl_constant(s, 1));
        f = kcl_ifelse(here, kcl_elem(x_i, k), f ? f : kcl_constant(s, 0));
    }
    ok(kcl_min(f, KCL_OVER_J, kcl_f32(least, ROWS, 1)));
    ok(kcl_max(f, KCL_OVER_J, kcl_f32(most, ROWS, 1)));
    ok(kcl_argmin(f, KCL_OVER_J, kcl_i64(at, ROWS, 1)));
    ok(kcl_eval1(kcl_reduce_kmin(f, 2, KCL_OVER_J), kcl_f32(two[0], ROWS, 2)));
    ok(kcl_eval1(kcl_reduce_argkmin(f, 2, KCL_OVER_J), kcl_i64(places[0], ROWS, 2)));
    const double want_least[] = {1, INFINITY, INFINITY}, want_most[] = {INFINITY, -INFINITY, INFINITY};
    const double want_two[][2] = {{1, 2}, {INFINITY, INFINITY}, {INFINITY, INFINITY}};
    const int64_t want_at[] = {3, -1, 1}, want_places[][2] = {{3, 1}, {-1, -1}, {1, 3}};
    for (int i = 0; i < ROWS; i++) {
        ck_assert_double_eq(least[i], want_least[i]);
        ck_assert_double_eq(most[i], want_most[i]);
        ck_assert_int_eq(at[i], want_at[i]);
        for (int k = 0; k < 2; k++) {
            ck_assert_double_eq(two[i][k], want_two[i][k]);
            ck_assert_int_eq(places[i][k], want_places[i][k]);
        }
    }
}
END_TEST

/* Rounding makes cosines of equal directions a little larger than 1, and Acos NaN; Clamp in between gives 0. */
START_TEST(angles_of_equal_directions_are_clamped)
{
    enum { POINTS = 2000, D = 3 };
    static float x[POINTS][D], plain[POINTS], clamped[POINTS], gradient[POINTS][D];
    for (int i = 0; i < POINTS; i++)
        for (int k = 0; k < D; k++)
            x[i][k] = (float)uniform(-1, 1);
    const char *const names[] = {"x", "y"};
    kcl_expr *args[] = {kcl_vi(s, kcl_f32(x[0], POINTS, D)), kcl_vi(s, kcl_f32(x[0], POINTS, D))};
    ok(kcl_eval1(kcl_formula(s, "Acos(Normalize(x)|Normalize(y))", 2, names, args), kcl_f32(plain, POINTS, 1)));
    kcl_expr *angle = kcl_formula(s, "Acos(Clamp(Normalize(x)|Normalize(y),-1,1))", 2, names, args);
    ok(kcl_eval1(angle, kcl_f32(clamped, POINTS, 1)));
    ok(kcl_eval1(kcl_grad(kcl_reduce_sum(angle, KCL_OVER_I), args[0]), kcl_f32(gradient[0], POINTS, D)));
    int outside = 0;
    for (int i = 0; i < POINTS; i++) {
        outside += isnan(plain[i]);
        ck_assert_msg(clamped[i] >= 0 && clamped[i] < 2e-3, "row %d: %g", i, (double)clamped[i]);
        for (int k = 0; k < D; k++)
            ck_assert_msg(isfinite(gradient[i][k]), "row %d: a gradient of %g", i, (double)gradient[i][k]);
    }
    printf("%d of %d cosines are beyond 1\n", outside, POINTS);
    ck_assert_msg(!on_device || outside, "no cosine is beyond 1: the test says nothing");
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {derivatives_keep_their_digits, (KNOWN_DERIVATIVES + AT_ONCE - 1) / AT_ONCE},
        {nan_and_infinity_stay, 0},
        {sums_of_no_terms_are_0, 0},
        {reductions_choose_numbers_before_nan, 0},
        {angles_of_equal_directions_are_clamped, 0},
    };
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "special",
                                              .context = &c,
                                              .host = &host,
                                              .on_device = &on_device,
                                              .begin = begin,
                                              .end = end,
                                              .tests = tests,
                                              .count = KB_COUNT(tests)});
}
