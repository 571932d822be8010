/* SPDX-License-Identifier: MIT */
/*
 * Numbers of rows and columns in formulas, and rows chosen by them: values by plain loops in double, by the interpreter; a device (with the
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
    REFUSED(kcl_reduce_sum(kcl_mul(x_i, j_), KCL_OVER_J), KCL_ERROR_SHAPE, "kcl_reduce_sum", "axis j", "IndexJ",
            "Like");
    REFUSED(kcl_reduce_argmin(kcl_mul(i_, kcl_vj(s, kcl_f64(x, 3))), KCL_OVER_J), KCL_ERROR_SHAPE, "kcl_reduce_argmin",
            "IndexI");
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
    static const int sampled[] = {2, 0, -1, 1}; /* tag; "split" differs from "rows" in the merge alone */
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)"};
    for (int n = 0; n < 4; n++) {
        for (int tag = 0; tag < 3; tag++) {
            char text[512];
            if (long_tests() ? tag == 2 && n == 3 : tag != sampled[n]) /* "columns" reduces one axis */
                continue;
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

/* ---- Rows by their numbers --------------------------------------------------------------------------------------- */

enum { ROWS = 20011, TABLE = 7 };

/* Many rows for one of the table, in both types; rounding, and numbers that are no row. */
START_TEST(rows_are_chosen_by_numbers)
{
    static const double cases[] = {0, 0.49, 0.5, 1.5, 2.49, 6.49, 6.5, -0.49, -0.5, -3, 1e30, -1e30, NAN, INFINITY, 6};
    const int64_t expected[] = {0, 0, 1, 2, 2, 6, -1, 0, -1, -1, -1, -1, -1, -1, 6};
    for (int t = 0; t < 2; t++) {
        const kcl_dtype dtype = t ? KCL_F64 : KCL_F32;
        numbers table, index, weight, out, gradient, second;
        numbers_make(&table, dtype, TABLE, 2, COMPONENTS_APART);
        numbers_make(&index, dtype, ROWS, 1, t ? DENSE : ROWS_APART);
        numbers_make(&weight, dtype, ROWS, 2, DENSE);
        numbers_make(&out, dtype, ROWS, 2, t ? ROWS_APART : DENSE);
        numbers_make(&gradient, dtype, TABLE, 2, DENSE);
        numbers_make(&second, dtype, TABLE, 2, DENSE);
        numbers_fill(&table, -1, 1);
        numbers_fill(&weight, -1, 1);
        double want[TABLE][2] = {{0}}, size = 0;
        int64_t *row = malloc(ROWS * sizeof *row);
        for (int64_t i = 0; i < ROWS; i++) {
            row[i] = i < (int64_t)KB_COUNT(cases) ? expected[i] : i % 3 ? pick(TABLE) : 4;
            numbers_set(&index, i, 0, i < (int64_t)KB_COUNT(cases) ? cases[i] : (double)row[i]);
            for (int c_ = 0; c_ < 2 && row[i] >= 0; c_++)
                want[row[i]][c_] += *numbers_exact(&weight, i, c_);
        }
        kcl_expr *x = kcl_vj(s, &table.array), *at = kcl_vi(s, &index.array), *w = kcl_vi(s, &weight.array);
        kcl_expr *chosen = kcl_gather(x, at), *loss = kcl_reduce_sum(kcl_dot(w, chosen), KCL_OVER_I);
        kcl_expr *first = kcl_grad(loss, x);
        kcl_expr *squares = kcl_reduce_sum(kcl_dot(w, kcl_square(chosen)), KCL_OVER_I);
        kcl_expr *of_gradient = kcl_grad(kcl_reduce_sum(kcl_sum_inner(kcl_grad(squares, x)), KCL_OVER_J), x);
        ok(kcl_eval(3, (kcl_expr *[]){chosen, first, of_gradient},
                    (const kcl_array *const[]){&out.array, &gradient.array, &second.array}));
        for (int64_t i = 0; i < ROWS; i++)
            for (int k = 0; k < 2; k++)
                ck_assert_msg(numbers_get(&out, i, k) == (row[i] < 0 ? 0 : *numbers_exact(&table, row[i], k)),
                              "type %d, row %lld: %g", t, (long long)i, numbers_get(&out, i, k));
        for (int r = 0; r < TABLE; r++) {
            for (int k = 0; k < 2; k++) {
                size = (t ? 1e-12 : 1e-4) * (1 + fabs(want[r][k]));
                ck_assert_msg(fabs(numbers_get(&gradient, r, k) - want[r][k]) <= size, "row %d: %g, wanted %g", r,
                              numbers_get(&gradient, r, k), want[r][k]);
                ck_assert_msg(fabs(numbers_get(&second, r, k) - 2 * want[r][k]) <= 2 * size, "second, row %d", r);
            }
        }
        numbers_check_gaps(&out);
        free(row);
        numbers *all[] = {&table, &index, &weight, &out, &gradient, &second};
        for (size_t n = 0; n < KB_COUNT(all); n++)
            numbers_free(all[n]);
    }
}
END_TEST

/* In texts, over either axis, a table of j by numbers of i and the reverse; the printed gradient is read again. */
START_TEST(texts_choose_rows)
{
    const char *const aliases[] = {"x=Vi(2)", "k=Vj(1)", "e=Vj(1)"};
    const char *const text =
        "Sum_Reduction((x|Gather(x*x,2*k-0.5))*LessOrEqual(IndexJ,IndexI)+Elem(Gather(k,k+1),0),1)";
    enum { R = 4, Q = 3 };
    double x[R][2], k[Q] = {0.3, 1.2, 2.6}, e[Q], sums[Q], gradient[R][2];
    for (int i = 0; i < R; i++)
        x[i][0] = uniform(-1, 1), x[i][1] = uniform(-1, 1);
    for (int j = 0; j < Q; j++)
        e[j] = uniform(-1, 1);
    double want[Q] = {0}, want_gradient[R][2] = {{0}};
    for (int j = 0; j < Q; j++) {
        const int a = (int)lround(2 * k[j] - 0.5), b = (int)lround(k[j] + 1);
        for (int i = 0; i < R; i++) {
            for (int m = 0; m < 2 && a >= 0 && a < R && j <= i; m++) {
                want[j] += x[i][m] * x[a][m] * x[a][m];
                want_gradient[i][m] += e[j] * x[a][m] * x[a][m];
                want_gradient[a][m] += e[j] * x[i][m] * 2 * x[a][m];
            }
            want[j] += b < Q ? k[b] : 0;
        }
    }
    char derived[512];
    snprintf(derived, sizeof derived, "Grad(%s,x,e)", text);
    kcl_operator *op = NULL, *grad = NULL;
    ok(kcl_operator_create(&op, text, 2, aliases, NULL));
    ok(kcl_operator_create(&grad, derived, 3, aliases, NULL));
    const kcl_array *ins[] = {kcl_f64(&x[0][0], R, 2), kcl_f64(k, Q), kcl_f64(e, Q)};
    ok(kcl_operator_apply(op, c, (const kcl_array *const[]){kcl_f64(sums, Q)}, 1, ins, 2));
    ok(kcl_operator_apply(grad, c, (const kcl_array *const[]){kcl_f64(&gradient[0][0], R, 2)}, 1, ins, 3));
    for (int j = 0; j < Q; j++)
        ck_assert_double_eq_tol(sums[j], want[j], 1e-12);
    for (int n = 0; n < R * 2; n++)
        ck_assert_double_eq_tol(gradient[n / 2][n % 2], want_gradient[n / 2][n % 2], 1e-12);
    static collected printed;
    printed.length = 0;
    kcl_expr *vars[] = {kcl_vi(s, ins[0]), kcl_vj(s, ins[1])};
    kcl_expr *rows = kcl_formula(s, "Gather(x*x,2*k-0.5)", 2, (const char *const[]){"x", "k"}, vars);
    ok(kcl_expr_print(rows, collect, &printed));
    kcl_expr *read_again = kcl_formula(s, printed.text, 0, NULL, NULL);
    ck_assert_msg(kcl_expr_status(read_again) == KCL_OK, "%s: %s", printed.text, kcl_expr_error(read_again));
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
}
END_TEST

/* Arrays of int64 as indices, rows apart, with two numbers a row and some of no row; also as arguments of an operator. */
START_TEST(arrays_of_integers_choose_rows)
{
    enum { R = 6, T = 4 };
    const int64_t big = (INT64_C(1) << 40) + 1;
    int64_t index[R][3] = {{0, 3, 9}, {-1, 2, 9}, {T, 1, 9}, {3, 3, 9}, {big, 0, 9}, {INT64_MIN, 2, 9}};
    float table[T] = {1.5f, 2, -3, 4}, weight[R][2], out[R][2], gradient[T], again[R][2], want[T] = {0};
    for (int n = 0; n < R * 2; n++)
        weight[n / 2][n % 2] = (float)pick(16);
    kcl_array at = kcl_array_i64(&index[0][0], 2, (const int64_t[]){R, 2});
    at.stride[0] = sizeof index[0];
    kcl_expr *t = kcl_vj(s, kcl_f32(table, T)), *k = kcl_vi(s, &at), *w = kcl_vi(s, kcl_f32(&weight[0][0], R, 2));
    kcl_expr *rows = kcl_gather(t, k), *loss = kcl_reduce_sum(kcl_dot(w, rows), KCL_OVER_I);
    ok(kcl_eval(2, (kcl_expr *[]){rows, kcl_grad(loss, t)},
                (const kcl_array *const[]){kcl_f32(&out[0][0], R, 2), kcl_f32(gradient, T)}));
    for (int i = 0; i < R; i++) {
        for (int q = 0; q < 2; q++) {
            const bool there = index[i][q] >= 0 && index[i][q] < T;
            ck_assert_float_eq(out[i][q], there ? table[index[i][q]] : 0);
            if (there)
                want[index[i][q]] += weight[i][q];
        }
    }
    for (int r = 0; r < T; r++)
        ck_assert_float_eq(gradient[r], want[r]);
    kcl_operator *op = NULL, *grad = NULL;
    ok(kcl_operator_from(&op, 1, &rows, 2, (kcl_expr *[]){k, t}, NULL));
    const kcl_array *outs[] = {kcl_f32(&again[0][0], R, 2)};
    ok(kcl_operator_apply(op, c, outs, 1, (const kcl_array *const[]){&at, kcl_f32(table, T)}, 2));
    ck_assert_mem_eq(again, out, sizeof out);
    ok(kcl_operator_grad(&grad, op, "1"));
    ok(kcl_operator_apply(grad, c, (const kcl_array *const[]){kcl_f32(gradient, T)}, 1,
                          (const kcl_array *const[]){&at, kcl_f32(table, T), kcl_f32(&weight[0][0], R, 2)}, 3));
    for (int r = 0; r < T; r++)
        ck_assert_float_eq(gradient[r], want[r]);
    kcl_operator_destroy(&grad);
    const kcl_array *wrong[] = {kcl_f32(&weight[0][0], R, 2), kcl_f32(table, T)};
    ck_assert_int_eq(kcl_operator_apply(op, c, outs, 1, wrong, 2), KCL_ERROR_TYPE);
    CONTAINS(kcl_context_error(c), "argument", "float32", "must be int64");
    kcl_operator_destroy(&op);
    if (on_device) { /* in the device's memory too */
        memset(again, 0, sizeof again);
        kcl_data *there = kcl_data_upload(s, &at);
        ok(kcl_eval1(kcl_gather(t, kcl_vi_data(s, there)), outs[0]));
        ck_assert_mem_eq(again, out, sizeof out);
    }
    REFUSED(kcl_add(k, w), KCL_ERROR_TYPE, "kcl_add", "int64", "Gather");
    ck_assert_int_eq(kcl_eval1(k, kcl_i64(&index[0][0], R, 2)), KCL_ERROR_TYPE);
    CONTAINS(kcl_context_error(c), "result 0", "int64");
    kcl_scope_reset(s);
    k = kcl_vi(s, &at);
    REFUSED(kcl_gather(k, kcl_vi(s, kcl_f32(&weight[0][0], R, 2))), KCL_ERROR_TYPE, "int64");
    kcl_scope_reset(s);
    REFUSED(kcl_reduce_sum(kcl_vi(s, &at), KCL_OVER_I), KCL_ERROR_TYPE, "int64");
    kcl_scope_reset(s);
    /* An index that is the same for all rows. */
    kcl_expr *x_i = kcl_vi(s, kcl_f32(&weight[0][0], R, 2)), *y_j = kcl_vj(s, kcl_f32(table, T));
    kcl_expr *most = kcl_like(kcl_reduce_argmin(kcl_neg(kcl_elem(x_i, 1)), KCL_OVER_I), y_j);
    ok(kcl_eval1(kcl_elem(kcl_gather(x_i, most), 1), kcl_f32(gradient, T)));
    float largest = 0;
    for (int i = 0; i < R; i++)
        largest = weight[i][1] > largest ? weight[i][1] : largest;
    for (int r = 0; r < T; r++)
        ck_assert_float_eq(gradient[r], largest);
}
END_TEST

/* Neighbours, a number for each batch, and one table of all batches, whose gradient is the sum over them. */
START_TEST(rows_are_chosen_within_the_batch)
{
    enum { B = 3, R = 4, T = 5 };
    double x[B][R], before[B][R], of_batch[B], table[T], shared[B][R], gradient[T], want[T] = {0};
    const int64_t last[B] = {3, 4, 0};
    int64_t k[B][R];
    for (int b = 0; b < B; b++)
        for (int i = 0; i < R; i++) {
            x[b][i] = uniform(-1, 1);
            k[b][i] = pick(T + 2) - 1;
            if (k[b][i] >= 0 && k[b][i] < T)
                want[k[b][i]] += x[b][i];
        }
    for (int r = 0; r < T; r++)
        table[r] = uniform(-1, 1);
    kcl_expr *x_i = kcl_vi(s, kcl_f64(&x[0][0], B, R, 1)), *t_j = kcl_vj(s, kcl_f64(table, T, 1));
    kcl_expr *at = kcl_pm(s, kcl_i64(last, B, 1)), *k_i = kcl_vi(s, kcl_i64(&k[0][0], B, R, 1));
    kcl_expr *chosen = kcl_gather(t_j, k_i);
    kcl_expr *all[] = {kcl_gather(x_i, kcl_sub(kcl_index_i(s), kcl_constant(s, 1))), kcl_gather(x_i, at), chosen,
                       kcl_grad(kcl_reduce_sum_batch(kcl_reduce_sum(kcl_mul(chosen, x_i), KCL_OVER_I), 0), t_j)};
    ok(kcl_eval(4, all,
                (const kcl_array *const[]){kcl_f64(&before[0][0], B, R, 1), kcl_f64(of_batch, B, 1),
                                           kcl_f64(&shared[0][0], B, R, 1), kcl_f64(gradient, T, 1)}));
    for (int b = 0; b < B; b++) {
        ck_assert_double_eq(of_batch[b], last[b] < R ? x[b][last[b]] : 0);
        for (int i = 0; i < R; i++) {
            ck_assert_double_eq(before[b][i], i ? x[b][i - 1] : 0);
            ck_assert_double_eq(shared[b][i], k[b][i] >= 0 && k[b][i] < T ? table[k[b][i]] : 0);
        }
    }
    for (int r = 0; r < T; r++)
        ck_assert_double_eq_tol(gradient[r], want[r], 1e-14);
}
END_TEST

/* In host memory rows may lie anyhow: records of 12 bytes, a double and an int each. */
START_TEST(rows_of_records_are_chosen)
{
    enum { R = 5, RECORD = 12 };
    unsigned char records[R * RECORD], numbers_of[R * RECORD];
    double out[R], gradient[R], x[R];
    const int64_t k[R] = {4, 0, 2, 7, 1};
    for (int i = 0; i < R; i++) {
        x[i] = uniform(-1, 1);
        memcpy(records + i * RECORD, &x[i], sizeof x[i]);
        memcpy(numbers_of + i * RECORD, &k[i], sizeof k[i]);
    }
    kcl_array table = kcl_array_f64((double *)(void *)records, 2, (const int64_t[]){R, 1});
    kcl_array index = kcl_array_i64((int64_t *)(void *)numbers_of, 2, (const int64_t[]){R, 1});
    table.stride[0] = index.stride[0] = RECORD;
    kcl_expr *x_i = kcl_vi(s, &table), *chosen = kcl_gather(x_i, kcl_vj(s, &index));
    kcl_expr *all[] = {chosen, kcl_vjp(chosen, x_i, kcl_vj(s, &table))};
    ok(kcl_eval(2, all, (const kcl_array *const[]){kcl_f64(out, R, 1), kcl_f64(gradient, R, 1)}));
    for (int i = 0; i < R; i++)
        ck_assert_double_eq(out[i], k[i] < R ? x[k[i]] : 0);
    const double want[R] = {x[1], x[4], x[2], 0, x[0]};
    for (int i = 0; i < R; i++)
        ck_assert_double_eq(gradient[i], want[i]);
}
END_TEST

/* Where all arrays are of integers nothing but numbers of rows is computed, and nothing tells a number type. */
START_TEST(numbers_alone_have_a_type)
{
    enum { B = 2, R = 3 };
    const int64_t k[B * R] = {0, 2, 1, 1, -1, 3};
    int64_t least[B];
    kcl_expr *k_j = kcl_vj(s, kcl_i64(k, B, R, 1)), *table = kcl_like(kcl_mul(kcl_scalar(s, -2), kcl_index_j(s)), k_j);
    ok(kcl_eval1(kcl_reduce_argmin(kcl_gather(table, k_j), KCL_OVER_J), kcl_i64(least, B, 1)));
    ck_assert_int_eq(least[0], 1);
    ck_assert_int_eq(least[1], 0);
}
END_TEST

/* Sums over i of (x_i | x_a x_a), a = k_j: an operator of a text takes k as either type, and so do those made of it. */
START_TEST(texts_take_integers_as_indices)
{
    enum { R = 4, Q = 3 };
    const char *const aliases[] = {"x=Vi(2)", "k=Vj(1)", "e=Vj(1)"};
    const int64_t integers[Q][2] = {{2, 9}, {(INT64_C(1) << 40) + 1, 9}, {0, 9}};
    const double reals[Q] = {2.25, 1e12, -0.25};
    double x[R][2], e[Q], sums[2][Q], gradient[2][R][2], want[Q] = {0}, want_gradient[R][2] = {{0}}, of_index[Q],
                                                         sizes[Q];
    kcl_array index = kcl_array_i64(&integers[0][0], 2, (const int64_t[]){Q, 1});
    index.stride[0] = sizeof integers[0];
    for (int j = 0; j < Q; j++)
        e[j] = uniform(-1, 1);
    for (int n = 0; n < R * 2; n++)
        x[n / 2][n % 2] = uniform(-1, 1);
    for (int j = 0; j < Q; j++)
        for (int i = 0; i < R && integers[j][0] < R; i++)
            for (int m = 0; m < 2; m++) {
                const double row = x[integers[j][0]][m];
                want[j] += x[i][m] * row * row;
                want_gradient[i][m] += e[j] * row * row;
                want_gradient[integers[j][0]][m] += e[j] * x[i][m] * 2 * row;
            }
    kcl_operator *op = NULL, *grad = NULL, *in_index = NULL, *magnitude = NULL, *text = NULL;
    ok(kcl_operator_create(&op, "Sum_Reduction(x|Gather(x*x,k),1)", 2, aliases, NULL));
    kcl_slot_info info;
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(kcl_operator_input(op, k, &info), KCL_OK);
        ck_assert_int_eq(info.dtype, k == 1 ? KCL_I64 : KCL_DTYPE_NONE);
    }
    ok(kcl_operator_grad(&grad, op, "x"));
    ok(kcl_operator_grad(&in_index, op, "k"));
    ok(kcl_operator_magnitude(&magnitude, op));
    ok(kcl_operator_create(&text, "Grad(Sum_Reduction(x|Gather(x*x,k),1),x,e)", 3, aliases, NULL));
    for (int t = 0; t < 2; t++) {
        const kcl_array *ins[] = {kcl_f64(&x[0][0], R, 2), t ? &index : kcl_f64(reals, Q), kcl_f64(e, Q)};
        ok(kcl_operator_apply(op, c, (const kcl_array *const[]){kcl_f64(sums[t], Q)}, 1, ins, 2));
        ok(kcl_operator_apply(grad, c, (const kcl_array *const[]){kcl_f64(&gradient[t][0][0], R, 2)}, 1, ins, 3));
        ok(kcl_operator_apply(in_index, c, (const kcl_array *const[]){kcl_f64(of_index, Q)}, 1, ins, 3));
        ok(kcl_operator_apply(magnitude, c, (const kcl_array *const[]){kcl_f64(sizes, Q)}, 1, ins, 2));
        for (int j = 0; j < Q; j++) {
            ck_assert_double_eq_tol(sums[t][j], want[j], 1e-12);
            ck_assert_double_eq(of_index[j], 0);
            ck_assert_double_ge(sizes[j], fabs(want[j]));
        }
        for (int n = 0; n < R * 2; n++)
            ck_assert_double_eq_tol(gradient[t][n / 2][n % 2], want_gradient[n / 2][n % 2], 1e-12);
        ok(kcl_operator_apply(text, c, (const kcl_array *const[]){kcl_f64(&gradient[t][0][0], R, 2)}, 1, ins, 3));
        for (int n = 0; n < R * 2; n++)
            ck_assert_double_eq_tol(gradient[t][n / 2][n % 2], want_gradient[n / 2][n % 2], 1e-12);
    }
    kcl_operator_destroy(&text);
    kcl_operator_destroy(&magnitude);
    kcl_operator_destroy(&in_index);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
    /* Rows of rows: the derivative takes the length of an index alone. */
    ok(kcl_operator_create(&text, "Grad(Sum_Reduction(x|Gather(Gather(x*x,k),k),1),x,e)", 3, aliases, NULL));
    for (int t = 0; t < 2; t++) {
        const kcl_array *twice[] = {kcl_f64(&x[0][0], R, 2), t ? &index : kcl_f64(reals, Q), kcl_f64(e, Q)};
        ok(kcl_operator_apply(text, c, (const kcl_array *const[]){kcl_f64(&gradient[t][0][0], R, 2)}, 1, twice, 3));
    }
    double by_loops[R][2] = {{0}};
    for (int j = 0; j < Q; j++) {
        const int64_t row = integers[j][0] < Q ? integers[integers[j][0]][0] : R;
        for (int i = 0; i < R && row < R; i++)
            for (int m = 0; m < 2; m++) {
                by_loops[i][m] += e[j] * x[row][m] * x[row][m];
                by_loops[row][m] += e[j] * x[i][m] * 2 * x[row][m];
            }
    }
    for (int n = 0; n < R * 2; n++) {
        ck_assert_double_eq_tol(gradient[0][n / 2][n % 2], by_loops[n / 2][n % 2], 1e-12);
        ck_assert_double_eq_tol(gradient[1][n / 2][n % 2], by_loops[n / 2][n % 2], 1e-12);
    }
    kcl_operator_destroy(&text);
    /* What something else reads is a real number. */
    static const char *const texts[] = {"Sum_Reduction((x|Gather(x*x,k))*k,1)", "Sum_Reduction(x|Gather(x*x,k+1),1)"};
    const kcl_array *ins[] = {kcl_f64(&x[0][0], R, 2), &index}, *outs[] = {kcl_f64(sums[0], Q), kcl_f64(sums[1], Q)};
    for (size_t n = 0; n < KB_COUNT(texts); n++) {
        ok(kcl_operator_create(&op, texts[n], 2, aliases, NULL));
        ck_assert_int_eq(kcl_operator_input(op, 1, &info), KCL_OK);
        ck_assert_int_eq(info.dtype, KCL_DTYPE_NONE);
        ck_assert_int_eq(kcl_operator_apply(op, c, outs, 1, ins, 2), KCL_ERROR_TYPE);
        CONTAINS(kcl_context_error(c), "argument \"k\"", "int64", "index of Gather");
        kcl_operator_destroy(&op);
    }
    kcl_expr *vars[] = {kcl_var(s, 0, 2, KCL_ROLE_I), kcl_var(s, 1, 1, KCL_ROLE_J)};
    kcl_expr *results[] = {kcl_sum_inner(kcl_gather(vars[0], vars[1])), vars[1]};
    for (int count = 1; count <= 2; count++) {
        ok(kcl_operator_from(&op, count, results, 2, vars, NULL));
        ck_assert_int_eq(kcl_operator_apply(op, c, outs, count, ins, 2), count == 1 ? KCL_OK : KCL_ERROR_TYPE);
        kcl_operator_destroy(&op);
    }
    CONTAINS(kcl_context_error(c), "argument 1", "int64");
    ck_assert_double_eq(sums[0][0], x[2][0] + x[2][1]);
}
END_TEST

START_TEST(tables_that_cannot_be)
{
    double x[6] = {1, 2, 3, 4, 5, 6}, out[6];
    kcl_expr *x_i = kcl_vi(s, kcl_f64(x, 6)), *y_j = kcl_vj(s, kcl_f64(x, 3)), *p = kcl_pm(s, kcl_f64(x + 4, 1));
    REFUSED(kcl_gather(p, x_i), KCL_ERROR_SHAPE, "kcl_gather", "table", "neither i nor j");
    REFUSED(kcl_gather(kcl_add(x_i, y_j), y_j), KCL_ERROR_SHAPE, "kcl_gather", "table", "both i and j");
    REFUSED(kcl_gather(x_i, kcl_add(x_i, y_j)), KCL_ERROR_SHAPE, "kcl_gather", "index", "both i and j");
    REFUSED(kcl_gather(x_i, kcl_index_j(s)), KCL_ERROR_SHAPE, "kcl_gather", "index", "IndexJ", "Like");
    REFUSED(kcl_gather(kcl_index_i(s), y_j), KCL_ERROR_SHAPE, "kcl_gather", "table", "IndexI");
    kcl_expr *two = kcl_vi(s, kcl_f64(x, 2, 3, 1)), *three = kcl_vj(s, kcl_f64(x, 3, 2, 1));
    REFUSED(kcl_gather(two, three), KCL_ERROR_SHAPE, "kcl_gather", "size 2", "axis -1", "of array 3", "3",
            "of array 4");
    REFUSED(kcl_gather(three, kcl_neg(two)), KCL_ERROR_SHAPE, "kcl_gather", "size 3", "axis -1", "of array 4", "2",
            "of array 3");
    REFUSED(kcl_formula(s, "Grad(Gather(x,y)*x,x,1)", 2, (const char *const[]){"x", "y"}, (kcl_expr *[]){x_i, y_j}),
            KCL_ERROR_DERIVATIVE, "Gather", "Grad");
    /* A parameter chooses one row; a table without rows has none. */
    ok(kcl_eval1(kcl_gather(x_i, p), kcl_f64(out, 1)));
    ck_assert_double_eq(out[0], 6);
    ok(kcl_eval1(kcl_gather(kcl_vj(s, kcl_f64(x, 0, 1)), x_i), kcl_f64(out, 6)));
    ck_assert_double_eq(out[3], 0);
    ok(kcl_eval1(kcl_gather(x_i, kcl_vj(s, kcl_f64(x, 0, 1))), kcl_f64(out, 0, 1)));
    ck_assert_int_eq(kcl_eval1(kcl_gather(x_i, kcl_vi(s, kcl_f64(x, 3))), kcl_f64(out, 3)), KCL_ERROR_LENGTH);
    CONTAINS(kcl_context_error(c), "6 rows", "3", "axis i");
}
END_TEST

/* ---- Lengths of arguments that no formula names ------------------------------------------------------------------- */

enum { DECLARED_ROWS = 7, DECLARED_COLUMNS = 5 };

static const struct {
    const char *F, *G;
} declared_texts[] = {
    {"s", "IndexI+1"},
    {"IndexI/8", "s"},
    {"g", "(IndexI+1)*(IndexJ+2)"},
    {"IndexJ/4", "IndexI+s"},
};

/* F and G of row k of the table. */
static void declared_values(int k, double s_j, double g, int i, int j, double *F, double *G)
{
    *F = k == 0 ? s_j : k == 1 ? i / 8.0 : k == 2 ? g : j / 4.0;
    *G = k == 0 ? i + 1 : k == 1 ? s_j : k == 2 ? (i + 1.0) * (j + 2) : i + s_j;
}

/* A reduction of F and a weight has as many terms as the call has rows and columns, whichever of the two names them. */
START_TEST(weights_take_the_lengths_of_declared_arguments)
{
    const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)", "s=Vj(1)", "g=Pm(1)"};
    const int k = _i / 3, tag = _i % 3, rows = tag == 0 ? DECLARED_ROWS : tag == 1 ? DECLARED_COLUMNS : 1;
    const char *F = declared_texts[k].F, *G = declared_texts[k].G;
    double x[DECLARED_ROWS] = {0}, y[DECLARED_COLUMNS] = {0}, s_j[DECLARED_COLUMNS], g = uniform(-1, 1);
    double log_sum[DECLARED_ROWS], mean[DECLARED_ROWS], shifted[DECLARED_ROWS][2], smallest[DECLARED_ROWS];
    char text[400];
    if (on_device && tag != k % 3) /* a kernel each: the interpreter has had them all */
        return;
    for (int j = 0; j < DECLARED_COLUMNS; j++)
        s_j[j] = uniform(0.5, 2);
    snprintf(text, sizeof text,
             "LogSumExpWeight_Reduction(%s,%s,%d);SumSoftMaxWeight_Reduction(%s,%s,%d);"
             "Max_SumShiftExpWeight_Reduction(%s,%d,%s);Min_Reduction((%s)*(%s),%d)",
             F, G, tag, F, G, tag, F, tag, G, F, G, tag);
    kcl_operator *op;
    const kcl_status status = kcl_operator_create(&op, text, 4, aliases, NULL);
    ck_assert_msg(status == KCL_OK, "%s: %s", text, kcl_operator_error(op));
    const kcl_array *ins[] = {kcl_f64(x, DECLARED_ROWS, 1), kcl_f64(y, DECLARED_COLUMNS, 1),
                              kcl_f64(s_j, DECLARED_COLUMNS, 1), kcl_f64(&g, 1)};
    const kcl_array *outs[] = {kcl_f64(log_sum, rows, 1), kcl_f64(mean, rows, 1), kcl_f64(&shifted[0][0], rows, 2),
                               kcl_f64(smallest, rows, 1)};
    ok(kcl_operator_apply(op, c, outs, 4, ins, 4));
    for (int r = 0; r < rows; r++) {
        double weighted = 0, sum = 0, most = -INFINITY, least = INFINITY;
        for (int i = tag == 0 ? r : 0; i < (tag == 0 ? r + 1 : DECLARED_ROWS); i++) {
            for (int j = tag == 1 ? r : 0; j < (tag == 1 ? r + 1 : DECLARED_COLUMNS); j++) {
                double f, h;
                declared_values(k, s_j[j], g, i, j, &f, &h);
                weighted += exp(f) * h;
                sum += exp(f);
                most = fmax(most, f);
                least = fmin(least, f * h);
            }
        }
        ck_assert_msg(fabs(log_sum[r] - log(weighted)) < 1e-12, "%s, row %d: %g, not %g", text, r, log_sum[r],
                      log(weighted));
        ck_assert_msg(fabs(mean[r] - weighted / sum) < 1e-12 * (1 + fabs(mean[r])), "%s, row %d: mean %g, not %g", text,
                      r, mean[r], weighted / sum);
        ck_assert_double_eq_tol(shifted[r][0], most, 1e-15);
        ck_assert_double_eq_tol(shifted[r][1], weighted * exp(-most), 1e-12 * (1 + weighted));
        ck_assert_double_eq_tol(smallest[r], least, 1e-13 * (1 + fabs(least)));
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* L_i is the logarithm of the sum of exp(s_j) (i+1), so dL_i/ds_j is exp(s_j) divided by the sum of these. */
START_TEST(weights_of_numbers_have_gradients)
{
    const char *const aliases[] = {"x=Vi(1)", "s=Vj(1)", "e=Vi(1)"};
    double x[DECLARED_ROWS] = {0}, s_j[DECLARED_COLUMNS], e[DECLARED_ROWS], got[DECLARED_COLUMNS], sum = 0, all = 0;
    for (int j = 0; j < DECLARED_COLUMNS; j++)
        sum += exp(s_j[j] = uniform(-1, 1));
    for (int i = 0; i < DECLARED_ROWS; i++)
        all += e[i] = uniform(-1, 1);
    kcl_operator *op;
    ok(kcl_operator_create(&op, "Grad(LogSumExpWeight_Reduction(s,IndexI+1,0),s,e)", 3, aliases, NULL));
    const kcl_array *ins[] = {kcl_f64(x, DECLARED_ROWS, 1), kcl_f64(s_j, DECLARED_COLUMNS, 1),
                              kcl_f64(e, DECLARED_ROWS, 1)};
    ok(kcl_operator_apply(op, c, (const kcl_array *const[]){kcl_f64(got, DECLARED_COLUMNS, 1)}, 1, ins, 3));
    for (int j = 0; j < DECLARED_COLUMNS; j++)
        ck_assert_double_eq_tol(got[j], all * exp(s_j[j]) / sum, 1e-13);
    kcl_operator_destroy(&op);
}
END_TEST

/* Of an axis that a formula has in its numbers alone, what lends the axis tells the length in gradients through reductions too. */
START_TEST(numbers_beside_reductions_have_gradients)
{
    enum { ROWS = 5, COLUMNS = 4 };
    const char *const aliases[] = {"x=Vi(1)", "q=Vj(1)", "w=Pm(1)", "e=Vj(1)"};
    const char text[] = "Grad(Sum_Reduction((Max_Reduction(w,2)+q)*Sin(Index(1,-1,2)),1),q,e)";
    double x[ROWS] = {0}, q[COLUMNS] = {1, 2, 3, 4}, w = 3, e[COLUMNS] = {1, -2, 0.5, 4}, out[COLUMNS];
    kcl_operator *op;
    ck_assert_msg(kcl_operator_create(&op, text, 4, aliases, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    ok(kcl_operator_apply(
        op, c, (const kcl_array *[]){kcl_f64(out, COLUMNS, 1)}, 1,
        (const kcl_array *[]){kcl_f64(x, ROWS, 1), kcl_f64(q, COLUMNS, 1), kcl_f64(&w, 1), kcl_f64(e, COLUMNS, 1)}, 4));
    for (int j = 0; j < COLUMNS; j++) {
        double want = 0;
        for (int i = 0; i < ROWS; i++)
            want += e[j] * sin(i - j + 2);
        ck_assert_double_eq_tol(out[j], want, 1e-14);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/*
 * A term that is chosen has the number of its row: the largest x_i v_j (i - 2) has the derivative x_a (a - 2) in v_j, with a
 * the row where it is, and the largest over both axes as well. An argument that is declared tells how many rows there are.
 */
START_TEST(a_chosen_term_has_its_own_number)
{
    enum { ROWS = 6, COLUMNS = 5 };
    const char *const aliases[] = {"x=Vi(1)", "v=Vj(1)", "e=Vj(1)", "g=Pm(1)"};
    double x[ROWS], v[COLUMNS], e[COLUMNS], g = uniform(0.5, 2), by_rows[COLUMNS], by_both[COLUMNS], alone[COLUMNS];
    double gathered[ROWS];
    for (int i = 0; i < ROWS; i++)
        x[i] = uniform(-2, 2);
    for (int j = 0; j < COLUMNS; j++) {
        v[j] = uniform(0.5, 2);
        e[j] = uniform(-1, 1);
    }
    kcl_operator *op;
    ck_assert_msg(
        kcl_operator_create(&op,
                            "Grad(Max_Reduction(x*v*(IndexI-2),1),v,e);Grad(Max_Reduction(x*v*(IndexI-2),2),v,g);"
                            "Grad(Min_Reduction(v*Index(-1,1,2),1),v,e);Sum_Reduction(Gather(x,IndexJ)*Sin(x),0)",
                            4, aliases, NULL) == KCL_OK,
        "%s", kcl_operator_error(op));
    const kcl_array *ins[] = {kcl_f64(x, ROWS, 1), kcl_f64(v, COLUMNS, 1), kcl_f64(e, COLUMNS, 1), kcl_f64(&g, 1)};
    const kcl_array *outs[] = {kcl_f64(by_rows, COLUMNS, 1), kcl_f64(by_both, COLUMNS, 1), kcl_f64(alone, COLUMNS, 1),
                               kcl_f64(gathered, ROWS, 1)};
    ok(kcl_operator_apply(op, c, outs, 4, ins, 4));
    double most = -INFINITY, slope = 0;
    int column = 0;
    for (int j = 0; j < COLUMNS; j++) {
        int a = 0;
        for (int i = 1; i < ROWS; i++)
            a = x[i] * v[j] * (i - 2) > x[a] * v[j] * (a - 2) ? i : a;
        ck_assert_double_eq_tol(by_rows[j], e[j] * x[a] * (a - 2), 1e-14);
        if (x[a] * v[j] * (a - 2) > most) {
            most = x[a] * v[j] * (a - 2);
            slope = g * x[a] * (a - 2);
            column = j;
        }
        /* The smallest v_j (j - i + 2) is that of the last row. */
        ck_assert_double_eq_tol(alone[j], e[j] * (j - (ROWS - 1) + 2), 1e-14);
    }
    for (int j = 0; j < COLUMNS; j++)
        ck_assert_double_eq_tol(by_both[j], j == column ? slope : 0, 1e-14);
    for (int i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int j = 0; j < COLUMNS; j++)
            sum += x[j] * sin(x[i]);
        ck_assert_double_eq_tol(gathered[i], sum, 1e-13);
    }
    kcl_operator_destroy(&op);
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {numbers_are_those_of_plain_loops, 0},
        {comparisons_are_exact_beyond_float32, 0},
        {numbers_are_within_the_batch, 0},
        {a_length_must_be_told, 0},
        {rows_are_chosen_by_numbers, 0},
        {texts_choose_rows, 0},
        {tables_that_cannot_be, 0},
        {arrays_of_integers_choose_rows, 0},
        {rows_are_chosen_within_the_batch, 0},
        {rows_of_records_are_chosen, 0},
        {numbers_alone_have_a_type, 0},
        {texts_take_integers_as_indices, 0},
        {weights_take_the_lengths_of_declared_arguments, 3 * KB_COUNT(declared_texts)},
        {weights_of_numbers_have_gradients, 0},
        {a_chosen_term_has_its_own_number, 0},
        {numbers_beside_reductions_have_gradients, 0},
    };
    const test_entry device_tests[] = {
        {comparisons_are_exact_beyond_float32, 0},
        {numbers_are_within_the_batch, 0},
        {every_schedule_counts_alike, 0},
        {rows_are_chosen_by_numbers, 0},
        {texts_choose_rows, 0},
        {arrays_of_integers_choose_rows, 0},
        {rows_are_chosen_within_the_batch, 0},
        {rows_of_records_are_chosen, 0},
        {numbers_alone_have_a_type, 0},
        {texts_take_integers_as_indices, 0},
        {weights_take_the_lengths_of_declared_arguments, 3 * KB_COUNT(declared_texts)},
        {weights_of_numbers_have_gradients, 0},
        {a_chosen_term_has_its_own_number, 0},
        {numbers_beside_reductions_have_gradients, 0},
    };
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "numbers",
                                              .context = &c,
                                              .host = &host,
                                              .on_device = &on_device,
                                              .begin = begin,
                                              .end = end,
                                              .tests = tests,
                                              .count = KB_COUNT(tests),
                                              .device_tests = device_tests,
                                              .device_count = KB_COUNT(device_tests)});
}
