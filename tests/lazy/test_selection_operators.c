/* SPDX-License-Identifier: MIT */
/*
 * Derivatives of smallest and largest values, by operators and with arrays on a device: by the interpreter; and a device
 * (with the argument "device") against it.
 */
#include "losses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What is not smooth ------------------------------------------------------------------------------------------ */

/* A formula string, and an operator that is applied to other lengths. */
START_TEST(operators_have_them_too)
{
    const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "e=Vi(1)"};
    kcl_operator *op;
    ck_assert_msg(kcl_operator_create(&op, "Grad(Max_Reduction(-SqDist(x,y),0),y,e)", 3, aliases, NULL) == KCL_OK, "%s",
                  kcl_operator_error(op));
    for (int m = 0; m <= 9; m += 3) {
        enum { COLS = 4 };
        double x[9][2], y[COLS][2], e[9], g[COLS][2], want[COLS][2] = {{0}};
        for (int k = 0; k < 2; k++) {
            for (int i = 0; i < m; i++)
                x[i][k] = uniform(-1, 1);
            for (int j = 0; j < COLS; j++)
                y[j][k] = uniform(-1, 1);
        }
        for (int i = 0; i < m; i++) {
            int at = 0;
            e[i] = uniform(-1, 1);
            for (int j = 1; j < COLS; j++)
                at = sqdist(x[i], y[j]) < sqdist(x[i], y[at]) ? j : at;
            for (int k = 0; k < 2; k++)
                want[at][k] += e[i] * 2 * (x[i][k] - y[at][k]);
        }
        const kcl_array *args[] = {kcl_f64(&x[0][0], m, 2), kcl_f64(&y[0][0], COLS, 2), kcl_f64(e, m, 1)};
        const kcl_array *outs[] = {kcl_f64(&g[0][0], COLS, 2)};
        ck_assert_msg(kcl_operator_apply(op, c, outs, 1, args, 3) == KCL_OK, "%s", kcl_context_error(c));
        for (int j = 0; j < COLS; j++)
            for (int k = 0; k < 2; k++)
                ck_assert_msg(fabs(g[j][k] - want[j][k]) <= 1e-13 * (1 + fabs(want[j][k])), "%d rows: %g, wanted %g", m,
                              g[j][k], want[j][k]);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- Devices ----------------------------------------------------------------------------------------------------- */

/*
 * Gradients in both types in turn, and second derivatives of some: most of the time is the driver's compiler's. So of
 * the losses but for three one in three is computed, another one with another seed.
 */
START_TEST(a_device_computes_the_same)
{
    const struct loss *l = &losses[_i];
    const bool core = _i == 0 || _i == 9 || l->value == gathered;
    if (!core && !long_tests() && ((uint64_t)_i + test_seed()) % 3)
        return;
    const kcl_context_params params = {.device = "host"};
    const kcl_dtype dtype = _i % 2 ? KCL_F64 : KCL_F32;
    const double tolerance = dtype == KCL_F64 ? 1e-12 : 2e-5;
    const bool twice = _i == 0 || _i == 9;
    double v[INPUTS], u[INPUTS], got[2][INPUTS], want[2][INPUTS];
    kcl_context *device = c, *host;
    ck_assert_int_eq(kcl_context_create(&host, &params), KCL_OK);
    fill(v);
    fill(u);
    for (int k = 0; k < INPUTS; k++) {
        v[k] = (float)v[k];
        u[k] = (float)u[k];
    }
    c = host;
    derivatives(l, KCL_F64, v, u, want[0], twice ? want[1] : NULL, false);
    c = device;
    derivatives(l, dtype, v, u, got[0], twice ? got[1] : NULL, false);
    for (int order = 0; order <= twice; order++) {
        double size = 0;
        for (int k = 0; k < INPUTS; k++)
            size = fmax(size, fabs(want[order][k]));
        for (int k = 0; k < INPUTS; k++)
            ck_assert_msg(fabs(got[order][k] - want[order][k]) <= tolerance * (1 + size),
                          "%s, derivative %d, component %d: %.12g, wanted %.12g", l->name, order + 1, k, got[order][k],
                          want[order][k]);
    }
    kcl_context_destroy(&host);
}
END_TEST

/*
 * Many rows that choose the same column, more than one piece of its sum; the same bits each time; and no kernel works on
 * pairs but the one sweep, so that with columns that are few or many as many kernels start.
 */
START_TEST(many_rows_choose_one_column)
{
    enum { ROWS = 10007, COLS = 300 };
    float *x = calloc(ROWS, sizeof *x), *t = calloc(ROWS, sizeof *t), y[COLS], g[2][COLS], gx[ROWS];
    uint64_t launches[2];
    ck_assert(x && t);
    for (int i = 0; i < ROWS; i++) {
        x[i] = (float)uniform(-1, 1);
        t[i] = (float)uniform(-1, 1);
    }
    for (int cols = 3; cols <= COLS; cols += COLS - 3) {
        for (int j = 0; j < cols; j++)
            y[j] = j == 1 ? 0 : (float)(100 + j);
        for (int round = 0; round < 2; round++) {
            kcl_context_stats before, after;
            s = kcl_scope_create(c);
            kcl_expr *a = kcl_vi(s, kcl_f32(x, ROWS, 1)), *b = kcl_vj(s, kcl_f32(y, cols, 1));
            kcl_expr *w = kcl_vi(s, kcl_f32(t, ROWS, 1));
            kcl_expr *v = kcl_reduce_min(kcl_sqdist(a, b), KCL_OVER_J);
            kcl_expr *loss = kcl_reduce_sum(kcl_mul(w, v), KCL_OVER_I);
            kcl_expr *both[] = {kcl_grad(loss, b), kcl_grad(loss, a)};
            kcl_context_get_stats(c, &before);
            ck_assert_msg(
                kcl_eval(2, both, (const kcl_array *const[]){kcl_f32(g[round], cols, 1), kcl_f32(gx, ROWS, 1)}) ==
                    KCL_OK,
                "%s", kcl_context_error(c));
            kcl_context_get_stats(c, &after);
            launches[cols > 3] = after.launches - before.launches;
            kcl_scope_destroy(&s);
        }
        double want = 0, size = 0;
        for (int i = 0; i < ROWS; i++) {
            want += (double)t[i] * 2 * (0 - (double)x[i]);
            size += fabs((double)t[i] * 2 * (double)x[i]);
            ck_assert_float_eq(gx[i], t[i] * 2 * x[i]);
        }
        ck_assert_msg(fabs(g[0][1] - want) <= 2e-7 * size, "%.9g, wanted %.9g", (double)g[0][1], want);
        for (int j = 0; j < cols; j++)
            ck_assert(j == 1 || g[0][j] == 0);
        ck_assert_mem_eq(g[0], g[1], (size_t)cols * sizeof **g);
    }
    printf("gradient of sum_i t_i min_j: %llu kernels\n", (unsigned long long)launches[0]);
    ck_assert_uint_eq(launches[0], launches[1]);
    free(x);
    free(t);
}
END_TEST

/* Arrays on the device stay there. */
START_TEST(device_arrays)
{
    double v[INPUTS], first[INPUTS];
    typed at, result = {.dtype = KCL_F64};
    fill(v);
    derivatives(&losses[2], KCL_F64, v, v, first, NULL, false);
    s = kcl_scope_create(c);
    from_double(&at, KCL_F64, v);
    kcl_array x = part(&at, X, M, D), y = part(&at, Y, N, D), q = part(&at, P, 1, 1);
    x_i = kcl_vi_data(s, kcl_data_upload(s, &x));
    y_j = kcl_vj_data(s, kcl_data_upload(s, &y));
    p = kcl_pm_data(s, kcl_data_upload(s, &q));
    kcl_expr *loss = losses[2].expr();
    evaluate(loss, (kcl_expr *[]){kcl_grad(loss, x_i), kcl_grad(loss, y_j), kcl_grad(loss, p)}, &result);
    ck_assert_mem_eq(result.of.f64, first, sizeof first);
    kcl_scope_destroy(&s);
}
END_TEST

static bool on_device;

int main(int argc, char **argv)
{
    const test_entry tests[] = {{operators_have_them_too, 0}, {many_rows_choose_one_column, 0}, {device_arrays, 0}};
    const test_entry device_tests[] = {{a_device_computes_the_same, LOSSES},
                                       {operators_have_them_too, 0},
                                       {many_rows_choose_one_column, 0},
                                       {device_arrays, 0}};
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "selection by operators",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .tests = tests,
                                              .count = KB_COUNT(tests),
                                              .device_tests = device_tests,
                                              .device_count = KB_COUNT(device_tests)});
}
