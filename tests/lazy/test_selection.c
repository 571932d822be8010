/* SPDX-License-Identifier: MIT */
/*
 * Derivatives of smallest and largest values: against finite differences of plain loops in double, by the interpreter; and,
 * with the argument "device", what a device follows.
 */
#include "losses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Derivatives ------------------------------------------------------------------------------------------------- */

START_TEST(derivatives_are_those_of_finite_differences)
{
    const struct loss *l = &losses[_i];
    double v[INPUTS], u[INPUTS], first[INPUTS], second[INPUTS], ahead[INPUTS], behind[INPUTS];
    for (int round = 0; round < 3; round++) {
        fill(v);
        fill(u);
        double value = derivatives(l, KCL_F64, v, u, first, second, true);
        ck_assert_msg(fabs(value - l->value(v)) <= 1e-12 * (1 + fabs(value)), "%s: %.17g, wanted %.17g", l->name, value,
                      l->value(v));
        const double h = 1e-6;
        for (int k = 0; k < INPUTS; k++) {
            double was = v[k];
            v[k] = was + h;
            double up = l->value(v);
            v[k] = was - h;
            double slope = (up - l->value(v)) / (2 * h);
            v[k] = was;
            ck_assert_msg(fabs(first[k] - slope) <= 1e-7 * (1 + fabs(slope)),
                          "%s, seed %llu: gradient %d is %.12g, by differences %.12g", l->name,
                          (unsigned long long)test_seed(), k, first[k], slope);
        }
        for (int k = 0; k < INPUTS; k++)
            v[k] += h * u[k];
        derivatives(l, KCL_F64, v, u, ahead, NULL, false);
        for (int k = 0; k < INPUTS; k++)
            v[k] -= 2 * h * u[k];
        derivatives(l, KCL_F64, v, u, behind, NULL, false);
        for (int k = 0; k < INPUTS; k++) {
            double slope = (ahead[k] - behind[k]) / (2 * h);
            ck_assert_msg(fabs(second[k] - slope) <= 1e-6 * (1 + fabs(slope)),
                          "%s, seed %llu: second derivative %d is %.12g, by differences %.12g", l->name,
                          (unsigned long long)test_seed(), k, second[k], slope);
        }
    }
}
END_TEST

/* ---- What is not smooth ------------------------------------------------------------------------------------------ */

START_TEST(of_equal_terms_the_first_is_followed)
{
    double x[] = {0, 1}, y[] = {2, -1, 2, -1}, gx[2], gy[4], least[2];
    s = kcl_scope_create(c);
    kcl_expr *a = kcl_vi(s, kcl_f64(x, 2, 1)), *b = kcl_vj(s, kcl_f64(y, 4, 1));
    kcl_expr *v = kcl_reduce_min(kcl_sqdist(a, b), KCL_OVER_J), *loss = kcl_reduce_sum(v, KCL_OVER_I);
    kcl_expr *all[] = {v, kcl_grad(loss, a), kcl_grad(loss, b)};
    ck_assert_msg(kcl_eval(3, all, (const kcl_array *const[]){kcl_f64(least, 2), kcl_f64(gx, 2), kcl_f64(gy, 4)}) ==
                      KCL_OK,
                  "%s", kcl_context_error(c));
    /* 0 is nearest to -1, 1 is nearest to 2. */
    ck_assert_double_eq(least[0], 1);
    ck_assert_double_eq(least[1], 1);
    ck_assert_double_eq(gx[0], 2);
    ck_assert_double_eq(gx[1], -2);
    ck_assert_double_eq(gy[0], 2);
    ck_assert_double_eq(gy[1], -2);
    ck_assert_double_eq(gy[2], 0);
    ck_assert_double_eq(gy[3], 0);
    kcl_scope_destroy(&s);
}
END_TEST

/* Values that are not there reach no variable, though the formula has no derivative where they are not. */
START_TEST(what_is_not_there_has_no_gradient)
{
    double x[] = {0.5, 2, 3}, y[] = {0.25, 4}, q = 2, gx[3], gy[2], gq = NAN, values[3 * 3];
    for (int n = 0; n <= 2; n += 2) {
        s = kcl_scope_create(c);
        kcl_expr *a = kcl_vi(s, kcl_f64(x, 3, 1)), *b = kcl_vj(s, kcl_f64(y, n, 1)), *w = kcl_pm(s, kcl_f64(&q, 1));
        kcl_expr *f = kcl_mul(kcl_rsqrt(a), kcl_mul(kcl_square(kcl_log(b)), kcl_log(w)));
        kcl_expr *v = kcl_reduce_kmin(f, 3, KCL_OVER_J);
        kcl_expr *loss = kcl_reduce_sum(kcl_sum_inner(kcl_square(v)), KCL_OVER_I); /* infinite */
        kcl_expr *all[] = {v, kcl_grad(loss, a), kcl_grad(loss, b), kcl_grad(loss, w)};
        const kcl_array *outs[] = {kcl_f64(values, 3, 3), kcl_f64(gx, 3), kcl_f64(gy, n), kcl_f64(&gq, 1)};
        ck_assert_msg(kcl_eval(4, all, outs) == KCL_OK, "%s", kcl_context_error(c));
        double want_y[2] = {0}, want_q = 0;
        for (int i = 0; i < 3; i++) {
            double want_x = 0;
            for (int j = 0; j < n; j++) {
                double l = log(y[j]), e = 2 * l * l * log(q) / sqrt(x[i]);
                want_x += e * l * l * log(q) * -0.5 * pow(x[i], -1.5);
                want_y[j] += e * 2 * l / y[j] * log(q) / sqrt(x[i]);
                want_q += e * l * l / q / sqrt(x[i]);
            }
            ck_assert_msg(fabs(gx[i] - want_x) <= 1e-12 * (1 + fabs(want_x)), "N %d, x %d: %g, wanted %g", n, i, gx[i],
                          want_x);
            for (int k = n; k < 3; k++)
                ck_assert(isinf(values[i * 3 + k]) && values[i * 3 + k] > 0);
        }
        for (int j = 0; j < n; j++)
            ck_assert_msg(fabs(gy[j] - want_y[j]) <= 1e-12 * (1 + fabs(want_y[j])), "y %d: %g, wanted %g", j, gy[j],
                          want_y[j]);
        ck_assert_msg(fabs(gq - want_q) <= 1e-12 * (1 + fabs(want_q)), "N %d, parameter: %g, wanted %g", n, gq, want_q);
        kcl_scope_destroy(&s);
    }
}
END_TEST

START_TEST(lengths_that_differ_are_told)
{
    double x[6] = {0}, y[4] = {0}, t[5] = {0}, out[4];
    s = kcl_scope_create(c);
    kcl_expr *a = kcl_vi(s, kcl_f64(x, 6, 1)), *b = kcl_vj(s, kcl_f64(y, 4, 1)), *w = kcl_vi(s, kcl_f64(t, 5, 1));
    kcl_expr *loss = kcl_reduce_sum(kcl_mul(w, kcl_reduce_min(kcl_sqdist(a, b), KCL_OVER_J)), KCL_OVER_I);
    ck_assert_int_eq(kcl_eval1(kcl_grad(loss, b), kcl_f64(out, 4)), KCL_ERROR_LENGTH);
    CONTAINS(kcl_context_error(c), "array 0 (kcl_vi of shape (6, 1)) has 6", "array 2 (kcl_vi of shape (5, 1)) has 5");
    kcl_scope_destroy(&s);
}
END_TEST

/* The scale of errors of formulas with indices; descriptions and programs name what is no sweep. */
START_TEST(operators_tell_of_them)
{
    static collected text;
    const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "e=Vi(3)"};
    double x[] = {0, 0, 3, 1}, y[] = {1, 0, 5, 5, 0, 2, 9, 9}, e[] = {1, 1, -1, 1, 1, -1}, g[2][2], size[2][2];
    kcl_operator *op, *magnitude;
    ck_assert_msg(kcl_operator_create(&op, "Grad(KMin_Reduction(SqDist(x,y),3,0),x,e)", 3, aliases, NULL) == KCL_OK,
                  "%s", kcl_operator_error(op));
    ck_assert_msg(kcl_operator_magnitude(&magnitude, op) == KCL_OK, "%s", kcl_operator_error(magnitude));
    const kcl_array *args[] = {kcl_f64(x, 2, 2), kcl_f64(y, 4, 2), kcl_f64(e, 2, 3)};
    ck_assert_int_eq(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(&g[0][0], 2, 2)}, 1, args, 3), KCL_OK);
    ck_assert_int_eq(kcl_operator_apply(magnitude, c, (const kcl_array *[]){kcl_f64(&size[0][0], 2, 2)}, 1, args, 3),
                     KCL_OK);
    /* Row 0: nearest are (1, 0), (0, 2), then (5, 5). */
    ck_assert_double_eq(g[0][0], 2 * (0 - 1) + 2 * (0 - 0) - 2 * (0 - 5));
    ck_assert_double_eq(g[0][1], 2 * (0 - 0) + 2 * (0 - 2) - 2 * (0 - 5));
    for (int k = 0; k < 2; k++)
        ck_assert(isfinite(size[0][k]) && size[0][k] != 0);
    text.length = 0;
    ck_assert_int_eq(kcl_operator_emit(op, NULL, "cpu", KCL_F32, 100, 100, collect, &text), KCL_OK);
    CONTAINS(text.text, "rows chosen by an index (gather)", "__kernel void gather");
    kcl_operator_destroy(&op);
    kcl_operator_destroy(&magnitude);
}
END_TEST

/* Of a matrix of smallest values, one for each pair, no derivative goes by rows. */
START_TEST(matrices_are_refused)
{
    static double x[2 * 3 * 2], y[4 * 2];
    s = kcl_scope_create(c);
    kcl_expr *a = kcl_vi(s, kcl_f64(x, 2, 3, 2)), *b = kcl_vj(s, kcl_f64(y, 4, 2));
    kcl_expr *v = kcl_reduce_min_batch(kcl_sqdist(a, b), 0), *g = kcl_vjp(v, a, kcl_constant(s, 1));
    ck_assert_int_eq(kcl_expr_status(v), KCL_OK);
    ck_assert_int_eq(kcl_expr_status(g), KCL_ERROR_UNSUPPORTED);
    CONTAINS(kcl_expr_error(g), "smallest or largest value", "batch axes alone", "both i and j");
    kcl_scope_destroy(&s);
}
END_TEST

/* Every allocation from one on fails: an error, and nothing is lost. */
START_TEST(allocations_that_fail)
{
    double v[INPUTS];
    typed at, result = {.dtype = KCL_F64};
    fill(v);
    from_double(&at, KCL_F64, v);
    kcl_array x = part(&at, X, M, D), y = part(&at, Y, N, D), gx = part(&result, X, M, D), gy = part(&result, Y, N, D);
    bool done = false;
    int failures = 0;
    for (long long n = 1; !done; n++) {
        failing memory = {.fail_at = 0};
        const kcl_context_params params = {.device = "host", .allocator = failing_allocator(&memory)};
        kcl_context *own;
        ck_assert_int_eq(kcl_context_create(&own, &params), KCL_OK);
        memory.fail_at = atomic_load(&memory.requests) + n;
        kcl_scope *scope = kcl_scope_create(own);
        kcl_expr *a = kcl_vi(scope, &x), *b = kcl_vj(scope, &y);
        kcl_expr *loss = kcl_reduce_sum(kcl_reduce_min(kcl_sqdist(a, b), KCL_OVER_J), KCL_OVER_I);
        kcl_expr *g[2] = {kcl_grad(loss, a), kcl_grad(loss, b)};
        kcl_status status = kcl_eval(2, g, (const kcl_array *const[]){&gx, &gy});
        done = atomic_load(&memory.requests) < memory.fail_at;
        failures += !done;
        ck_assert_msg(done == (status == KCL_OK), "allocation %lld: %s", n, kcl_status_name(status));
        kcl_scope_destroy(&scope);
        kcl_context_destroy(&own);
        ck_assert_int_eq(atomic_load(&memory.blocks), 0);
    }
    ck_assert_int_gt(failures, 50);
}
END_TEST

static bool on_device;

int main(int argc, char **argv)
{
    const test_entry tests[] = {{derivatives_are_those_of_finite_differences, LOSSES},
                                {of_equal_terms_the_first_is_followed, 0},
                                {what_is_not_there_has_no_gradient, 0},
                                {lengths_that_differ_are_told, 0},
                                {matrices_are_refused, 0},
                                {operators_tell_of_them, 0},
                                {allocations_that_fail, 0}};
    const test_entry device_tests[] = {{of_equal_terms_the_first_is_followed, 0},
                                       {what_is_not_there_has_no_gradient, 0}};
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "selection",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .tests = tests,
                                              .count = KB_COUNT(tests),
                                              .device_tests = device_tests,
                                              .device_count = KB_COUNT(device_tests)});
}
