/* SPDX-License-Identifier: MIT */
/*
 * Numbers of rows and columns in formulas: values by plain loops in double, by the interpreter; a device (with the
 * argument "device") against both.
 */
#include "support.h"

#include "base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static kcl_context *c, *host;
static kcl_scope *s;
static bool on_device;

static void setup(void)
{
    host = NULL;
    ck_assert_int_eq(kcl_context_create(&host, &(kcl_context_params){.device = "host"}), KCL_OK);
    c = on_device ? open_cpu_or_skip() : host;
    ck_assert_ptr_nonnull(c);
    s = kcl_scope_create(c);
    seed_random(test_seed());
}

static void teardown(void)
{
    kcl_scope_destroy(&s);
    if (c != host)
        kcl_context_destroy(&c);
    kcl_context_destroy(&host);
}

static void ok(kcl_status status)
{
    ck_assert_msg(status == KCL_OK, "%s", kcl_context_error(c));
}

static void refused(kcl_expr *e, kcl_status status, const char *const *parts)
{
    ck_assert_int_eq(kcl_expr_status(e), status);
    contains(kcl_expr_error(e), parts);
}
#define REFUSED(e, status, ...) refused(e, status, (const char *const[]){__VA_ARGS__, NULL})

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

enum { M = 37, N = 29 };

/* Over j and over i, of rows that both reductions count as the user does. */
START_TEST(numbers_are_those_of_plain_loops)
{
    float x[M], y[N], rows[M], columns[N], both[1], map[M], turned[N];
    for (int i = 0; i < M; i++)
        x[i] = (float)uniform(0.5, 2);
    for (int j = 0; j < N; j++)
        y[j] = (float)uniform(0.5, 2);
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, M)), *y_j = kcl_vj(s, kcl_f32(y, N));
    kcl_expr *i_ = kcl_index_i(s), *j_ = kcl_index_j(s), *three = kcl_constant(s, 3);
    kcl_expr *causal = kcl_less_equal(j_, i_), *band = kcl_less(kcl_abs(kcl_sub(i_, j_)), three);
    kcl_expr *diagonal = kcl_equal(i_, j_);
    kcl_expr *f = kcl_mul(kcl_mul(x_i, y_j), kcl_add(causal, kcl_add(kcl_mul(three, band), kcl_mul(i_, diagonal))));
    kcl_expr *all[] = {kcl_reduce_sum(f, KCL_OVER_J), kcl_reduce_sum(f, KCL_OVER_I), kcl_reduce_sum(f, KCL_OVER_BOTH),
                       kcl_mul(x_i, i_), kcl_add(kcl_mul(y_j, j_), three)};
    const kcl_array *outs[] = {kcl_f32(rows, M), kcl_f32(columns, N), kcl_f32(both, 1), kcl_f32(map, M),
                               kcl_f32(turned, N)};
    ok(kcl_eval(5, all, outs));
    double want_columns[N] = {0}, want_both = 0;
    for (int i = 0; i < M; i++) {
        double want = 0;
        for (int j = 0; j < N; j++) {
            double value = (double)x[i] * y[j] * ((j <= i) + 3 * (abs(i - j) < 3) + (i == j ? i : 0));
            want += value;
            want_columns[j] += value;
            want_both += value;
        }
        ck_assert_msg(fabs(rows[i] - want) <= 1e-5 * want, "row %d: %g, wanted %g", i, (double)rows[i], want);
        ck_assert_float_eq(map[i], x[i] * (float)i);
    }
    for (int j = 0; j < N; j++) {
        ck_assert_msg(fabs(columns[j] - want_columns[j]) <= 1e-5 * want_columns[j], "column %d: %g, wanted %g", j,
                      (double)columns[j], want_columns[j]);
        ck_assert_msg(fabs(turned[j] - ((double)y[j] * j + 3)) <= 1e-5 * turned[j], "column %d", j);
    }
    ck_assert_msg(fabs(both[0] - want_both) <= 1e-5 * want_both, "%g, wanted %g", (double)both[0], want_both);
}
END_TEST

/* 2^25 columns in float32, whose numbers are no longer all different: one row of a band far out has as many as it should. */
START_TEST(comparisons_are_exact_beyond_float32)
{
    const int64_t n = (INT64_C(1) << 25) + 1, at = (INT64_C(1) << 24) + 3;
    float one = 1, out[4];
    kcl_array ones = kcl_array_f32(&one, 2, (const int64_t[]){n, 1});
    ones.stride[0] = 0;
    kcl_expr *y_j = kcl_vj(s, &ones), *x_i = kcl_vi(s, kcl_f32(&one, 1, 1));
    kcl_expr *i_ = kcl_add(kcl_like(kcl_index_i(s), x_i), kcl_constant(s, (double)at)), *j_ = kcl_index_j(s);
    kcl_expr *f[] = {kcl_equal(i_, j_), kcl_less(kcl_abs(kcl_sub(i_, j_)), kcl_constant(s, 5)),
                     kcl_mul(kcl_less_equal(i_, j_), kcl_less(j_, kcl_add(i_, kcl_constant(s, 2)))),
                     kcl_sub(kcl_less(j_, i_), kcl_less_equal(kcl_add(j_, kcl_constant(s, 3)), i_))};
    const kcl_array *outs[] = {kcl_f32(&out[0], 1), kcl_f32(&out[1], 1), kcl_f32(&out[2], 1), kcl_f32(&out[3], 1)};
    for (int k = 0; k < 4; k++)
        f[k] = kcl_reduce_sum(kcl_mul(f[k], y_j), KCL_OVER_J);
    ok(kcl_eval(4, f, outs));
    ck_assert_float_eq(out[0], 1);
    ck_assert_float_eq(out[1], 9);
    ck_assert_float_eq(out[2], 2);
    ck_assert_float_eq(out[3], 2);
}
END_TEST

/* Numbers begin anew in every batch, where the batches alone could be more rows or columns. */
START_TEST(numbers_are_within_the_batch)
{
    enum { B = 3, R = 5, Q = 4 };
    double x[B * R], y[Q], z[B * Q], rows[B * R], columns[B * Q], one[B * R], all[1];
    for (int k = 0; k < B * R; k++)
        x[k] = uniform(1, 2);
    for (int k = 0; k < Q; k++)
        y[k] = uniform(1, 2);
    for (int k = 0; k < B * Q; k++)
        z[k] = uniform(1, 2);
    kcl_expr *x_i = kcl_vi(s, kcl_f64(x, B, R, 1)), *y_j = kcl_vj(s, kcl_f64(y, Q, 1));
    kcl_expr *z_j = kcl_vj(s, kcl_f64(z, B, Q, 1)), *i_ = kcl_index_i(s), *j_ = kcl_index_j(s);
    kcl_expr *mask = kcl_less_equal(j_, i_), *f = kcl_mul(kcl_mul(x_i, y_j), mask);
    kcl_expr *sums[] = {kcl_reduce_sum(f, KCL_OVER_J), kcl_reduce_sum(kcl_mul(kcl_mul(x_i, z_j), mask), KCL_OVER_I),
                        kcl_mul(x_i, i_), kcl_reduce_sum_batch(kcl_reduce_sum(f, KCL_OVER_BOTH), -1)};
    const kcl_array *outs[] = {kcl_f64(rows, B, R, 1), kcl_f64(columns, B, Q, 1), kcl_f64(one, B, R, 1),
                               kcl_f64(all, 1)};
    ok(kcl_eval(4, sums, outs));
    double want_all = 0;
    for (int b = 0; b < B; b++) {
        for (int i = 0; i < R; i++) {
            double want = 0;
            for (int j = 0; j < Q; j++)
                want += j <= i ? x[b * R + i] * y[j] : 0;
            want_all += want;
            ck_assert_double_eq_tol(rows[b * R + i], want, 1e-12);
            ck_assert_double_eq_tol(one[b * R + i], x[b * R + i] * i, 1e-12);
        }
        for (int j = 0; j < Q; j++) {
            double want = 0;
            for (int i = 0; i < R; i++)
                want += j <= i ? x[b * R + i] * z[b * Q + j] : 0;
            ck_assert_double_eq_tol(columns[b * Q + j], want, 1e-12);
        }
    }
    ck_assert_double_eq_tol(all[0], want_all, 1e-11);
}
END_TEST

START_TEST(a_length_must_be_told)
{
    double x[3] = {1, 2, 3}, out[3];
    kcl_expr *x_i = kcl_vi(s, kcl_f64(x, 3)), *i_ = kcl_index_i(s), *j_ = kcl_index_j(s);
    REFUSED(kcl_reduce_sum(kcl_mul(x_i, j_), KCL_OVER_J), KCL_ERROR_SHAPE, "Sum_Reduction", "axis j", "IndexJ", "Like");
    REFUSED(kcl_reduce_argmin(kcl_mul(i_, kcl_vj(s, kcl_f64(x, 3))), KCL_OVER_J), KCL_ERROR_SHAPE, "ArgMin", "IndexI");
    ck_assert_int_eq(kcl_eval1(kcl_square(i_), kcl_f64(out, 3)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(c), "result 0", "axis i", "IndexI");
    REFUSED(kcl_formula(s, "Index(0,0,1)", 0, NULL, NULL), KCL_ERROR_SHAPE, "Index", "not both 0");
    REFUSED(kcl_formula(s, "Index(1048576,0,1)", 0, NULL, NULL), KCL_ERROR_SHAPE, "524288");
    REFUSED(kcl_formula(s, "IndexI(3)", 0, NULL, NULL), KCL_ERROR_SYNTAX, "IndexI(3)");
    ok(kcl_eval1(kcl_like(kcl_sub(i_, i_), x_i), kcl_f64(out, 3)));
    ck_assert_double_eq(out[2], 0);
    ok(kcl_eval1(kcl_like(i_, x_i), kcl_f64(out, 3)));
    ck_assert_double_eq(out[2], 2);
    /* In texts the length comes from the arguments of the call, used or not. */
    const char *const aliases[] = {"b=Vj(1)", "x=Vi(1)"};
    kcl_operator *op = NULL;
    double b[2] = {3, 5}, sums[3];
    ok(kcl_operator_create(&op, "Sum_Reduction(LessOrEqual(IndexJ,IndexI)*b,0)", 2, aliases, NULL));
    const kcl_array *ins[] = {kcl_f64(b, 2), kcl_f64(x, 3)}, *outs[] = {kcl_f64(sums, 3)};
    ok(kcl_operator_apply(op, c, outs, 1, ins, 2));
    ck_assert_double_eq(sums[0], 3);
    ck_assert_double_eq(sums[1], 8);
    ck_assert_double_eq(sums[2], 8);
    kcl_operator_destroy(&op);
}
END_TEST

/* Every schedule; lanes beyond the last row, where a formula of their numbers is infinite, reach nothing. */
START_TEST(every_schedule_counts_alike)
{
    static const char *const schedules[] = {"lanes", "rows", "split", "columns"};
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)"};
    for (int n = 0; n < 4; n++) {
        for (int tag = 0; tag < 3; tag++) {
            char text[512];
            if ((tag == 2 && n == 3) || (!long_tests() && tag != (n + 2) % 3))
                continue; /* "columns" reduces one axis */
            snprintf(text, sizeof text,
                     "Sum_Reduction(Exp(-SqDist(x,y))*LessOrEqual(IndexJ,IndexI)/(IndexI-%d.5+x),%d);"
                     "LogSumExp_Reduction(Square(Sin(0.1*IndexJ))+IfElse(Abs(IndexI-IndexJ)-5,x|y,1),%d);"
                     "Min_ArgMin_Reduction(Abs(2*IndexI-IndexJ-7)+0.1*(x|y),%d)",
                     50, tag, tag, tag);
            subject check = {.low = 0.5, .high = 1.5, .scaled_by_rows = true};
            subject_make(&check, text, 2, aliases, "", schedules[n]);
            for (int t = 0; t < (long_tests() ? 2 : 1); t++) {
                const kcl_dtype dtype = (t + n) % 2 ? KCL_F32 : KCL_F64;
                subject_check(&check, c, host, dtype, 50, 300);
                subject_check(&check, c, host, dtype, 1, 1000);
            }
            subject_free(&check);
        }
    }
    subject check = {.low = 0.5, .high = 1.5};
    subject_make(&check, "Sum_Reduction(Exp(-0.01*SqDist(x,y))*LessOrEqual(IndexJ,IndexI)*Sin(IndexI),0)", 2,
                 (const char *const[]){"x=Vi(64)", "y=Vj(64)"}, "", "contraction");
    subject_check(&check, c, host, KCL_F32, 150, 140);
    subject_free(&check);
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {numbers_are_those_of_plain_loops, 0},
        {comparisons_are_exact_beyond_float32, 0},
        {numbers_are_within_the_batch, 0},
        {a_length_must_be_told, 0},
    };
    const test_entry device_tests[] = {
        {numbers_are_those_of_plain_loops, 0},
        {comparisons_are_exact_beyond_float32, 0},
        {numbers_are_within_the_batch, 0},
        {every_schedule_counts_alike, 0},
    };
    on_device = argc > 1 && strcmp(argv[1], "device") == 0;
    announce_seed("build/tests/lazy/test_lazy_numbers");
    if (!on_device)
        return run_entries("numbers", tests, KB_COUNT(tests), setup, teardown);
    kcl_context *there = open_cpu_or_skip();
    if (!there)
        return 77;
    kcl_context_destroy(&there);
    return run_entries("numbers", device_tests, KB_COUNT(device_tests), setup, teardown);
}
