/* SPDX-License-Identifier: MIT */
/*
 * Derivatives of smallest and largest values: against finite differences of plain loops in double, by the interpreter;
 * and a device (with the argument "device") against the interpreter.
 */
#include "losses.h"

static kcl_context *c;

/* ---- Derivatives ------------------------------------------------------------------------------------------------- */

static void fill(double *v)
{
    for (int k = 0; k < INPUTS; k++)
        v[k] = uniform(-1, 1);
    v[P] = uniform(0.5, 1.5);
}

typedef struct typed {
    kcl_dtype dtype;
    union {
        double f64[INPUTS];
        float f32[INPUTS];
    } of;
} typed;

static kcl_array part(typed *t, int from, int rows, int dim)
{
    return t->dtype == KCL_F64 ? *kcl_f64(t->of.f64 + from, rows, dim) : *kcl_f32(t->of.f32 + from, rows, dim);
}

/* Variables of the arrays in `t`. */
static void bind(typed *t)
{
    kcl_array x = part(t, X, M, D), y = part(t, Y, N, D), q = part(t, P, 1, 1);
    kcl_data *xs = kcl_data_create(s, &x), *ys = kcl_data_create(s, &y);
    x_i = kcl_vi_data(s, xs);
    x_j = kcl_vj_data(s, xs);
    y_j = kcl_vj_data(s, ys);
    p = kcl_pm(s, &q);
}

static void from_double(typed *t, kcl_dtype dtype, const double *v)
{
    t->dtype = dtype;
    for (int k = 0; k < INPUTS; k++) {
        if (dtype == KCL_F64)
            t->of.f64[k] = v[k];
        else
            t->of.f32[k] = (float)v[k];
    }
}

static void to_double(const typed *t, double *v)
{
    for (int k = 0; k < INPUTS; k++)
        v[k] = t->dtype == KCL_F64 ? t->of.f64[k] : (double)t->of.f32[k];
}

/* The number e, and g[0..2] in x, y and p, evaluated together. */
static double evaluate(kcl_expr *e, kcl_expr *const *g, typed *gradient)
{
    double number[1];
    float single[1];
    const bool f64 = gradient->dtype == KCL_F64;
    kcl_array parts[3] = {part(gradient, X, M, D), part(gradient, Y, N, D), part(gradient, P, 1, 1)};
    const kcl_array *outs[4] = {f64 ? kcl_f64(number, 1) : kcl_f32(single, 1), &parts[0], &parts[1], &parts[2]};
    kcl_expr *all[4] = {e, g[0], g[1], g[2]};
    ck_assert_msg(kcl_eval(4, all, outs) == KCL_OK, "%s", kcl_context_error(c));
    return f64 ? number[0] : (double)single[0];
}

/*
 * The loss at v: its gradient and, unless `second` is NULL, the gradient of the gradient's product with u.
 * `both_modes`: the same in forward mode. Returns the loss.
 */
static double derivatives(const loss *l, kcl_dtype dtype, const double *v, const double *u, double *first,
                          double *second, bool both_modes)
{
    typed at, direction, result = {.dtype = dtype};
    s = kcl_scope_create(c);
    from_double(&direction, dtype, u);
    bind(&direction);
    kcl_expr *const along[3] = {x_i, y_j, p};
    from_double(&at, dtype, v);
    bind(&at);
    kcl_expr *const vars[3] = {x_i, y_j, p};
    kcl_expr *loss = l->expr(), *g[3], *h[3], *products[3] = {NULL}, *moved, *forward = loss;
    for (int k = 0; k < 3; k++)
        g[k] = kcl_grad(loss, vars[k]);
    moved = kcl_add(kcl_reduce_sum(kcl_dot(g[0], along[0]), KCL_OVER_I),
                    kcl_add(kcl_reduce_sum(kcl_dot(g[1], along[1]), KCL_OVER_J), kcl_mul(g[2], along[2])));
    double value = evaluate(loss, g, &result);
    to_double(&result, first);
    if (!second) {
        kcl_scope_destroy(&s);
        return value;
    }
    for (int k = 0; k < 3; k++)
        h[k] = kcl_grad(moved, vars[k]);
    if (both_modes)
        forward =
            kcl_add(kcl_jvp(loss, x_i, along[0]), kcl_add(kcl_jvp(loss, y_j, along[1]), kcl_jvp(loss, p, along[2])));
    double slope = evaluate(forward, h, &result), want = 0, size = 0, hessian[INPUTS];
    to_double(&result, second);
    for (int k = 0; k < INPUTS; k++) {
        want += first[k] * u[k];
        size += fabs(first[k] * u[k]);
    }
    for (int k = 0; k < 3 && both_modes; k++)
        products[k] =
            kcl_add(kcl_jvp(g[k], x_i, along[0]), kcl_add(kcl_jvp(g[k], y_j, along[1]), kcl_jvp(g[k], p, along[2])));
    if (both_modes) {
        ck_assert_msg(fabs(slope - want) <= 1e-12 * (1 + size), "%s: forward %.17g, reverse %.17g", l->name, slope,
                      want);
        evaluate(loss, products, &result);
        to_double(&result, hessian);
    }
    for (int k = 0; k < INPUTS && both_modes; k++)
        ck_assert_msg(fabs(hessian[k] - second[k]) <= 1e-10 * (1 + fabs(second[k])),
                      "%s: Hessian times direction, component %d: %.17g forward, %.17g reverse", l->name, k, hessian[k],
                      second[k]);
    kcl_scope_destroy(&s);
    return value;
}

START_TEST(derivatives_are_those_of_finite_differences)
{
    const loss *l = &losses[_i];
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

/* Values that are not there reach no variable, though the formula has no derivative without them. */
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
    const loss *l = &losses[_i];
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
 * Many rows that choose the same column, more than one piece of its sum; the same bits each time; and no kernel works
 * on pairs but the one sweep, so that with columns that are few or many as many kernels start.
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

/* ---- All --------------------------------------------------------------------------------------------------------- */

static void setup_host(void)
{
    const kcl_context_params params = {.device = "host"};
    ck_assert_int_eq(kcl_context_create(&c, &params), KCL_OK);
    seed_random(test_seed());
}

static void setup_device(void)
{
    c = open_cpu_or_skip();
    ck_assert_ptr_nonnull(c);
    seed_random(test_seed());
}

static void teardown(void)
{
    kcl_context_destroy(&c);
}

int main(int argc, char **argv)
{
    const test_entry by_host[] = {
        {derivatives_are_those_of_finite_differences, LOSSES},
        {of_equal_terms_the_first_is_followed, 0},
        {what_is_not_there_has_no_gradient, 0},
        {lengths_that_differ_are_told, 0},
        {matrices_are_refused, 0},
        {operators_tell_of_them, 0},
        {allocations_that_fail, 0},
        {operators_have_them_too, 0},
        {many_rows_choose_one_column, 0},
        {device_arrays, 0},
    };
    const test_entry by_device[] = {
        {a_device_computes_the_same, LOSSES},   {of_equal_terms_the_first_is_followed, 0},
        {what_is_not_there_has_no_gradient, 0}, {operators_have_them_too, 0},
        {many_rows_choose_one_column, 0},       {device_arrays, 0},
    };
    announce_seed(argv[0]);
    if (argc > 1 && strcmp(argv[1], "device") == 0) {
        kcl_context *device = open_cpu_or_skip();
        if (!device)
            return 77;
        kcl_context_destroy(&device);
        return run_entries("selection on a device", by_device, KB_COUNT(by_device), setup_device, teardown);
    }
    return run_entries("selection", by_host, KB_COUNT(by_host), setup_host, teardown);
}
