/* SPDX-License-Identifier: MIT */
/*
 * Numbers of rows and columns in formulas, and the lengths that they take: values by plain loops in double, by the
 * interpreter; a device (with the argument "device") against both.
 */
#include "either.h"

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

/*
 * 2^25 columns in float32, whose numbers are no longer all different: one row of a band far out has as many as it
 * should.
 */
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

/* The shape of what has numbers of rows beside an array, and of what has nothing but them. */
START_TEST(shapes_tell_the_lengths_of_arrays)
{
    float x[M] = {0};
    int64_t shape[KCL_MAX_AXES];
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, M)), *both = kcl_add(kcl_index_i(s), kcl_index_j(s));
    ck_assert_int_eq(kcl_expr_shape(kcl_add(both, x_i), shape), 3);
    ck_assert_int_eq(shape[0], M);
    ck_assert_int_eq(shape[1], -1);
    ck_assert_int_eq(kcl_expr_shape(kcl_index_j(s), shape), 3);
    ck_assert_int_eq(shape[0], 1);
    ck_assert_int_eq(shape[1], -1);
    ck_assert_int_eq(kcl_expr_shape(kcl_like(kcl_index_i(s), x_i), shape), 3);
    ck_assert_int_eq(shape[0], M);
}
END_TEST

/* The type of an expression is the type of its arrays, or int64 for an index; numbers alone have none. */
START_TEST(expressions_tell_their_types)
{
    float x[3] = {0};
    double y[4] = {0};
    int64_t rows[4] = {0};
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, 3)), *y_j = kcl_vj(s, kcl_f64(y, 4)), *at = kcl_vj(s, kcl_i64(rows, 4));
    kcl_expr *distance = kcl_sqdist(y_j, kcl_transpose(kcl_vj(s, kcl_f64(y, 4))));
    ck_assert_int_eq(kcl_expr_dtype(kcl_mul(kcl_scalar(s, 2), kcl_exp(x_i))), KCL_F32);
    ck_assert_int_eq(kcl_expr_dtype(kcl_add(kcl_index_j(s), y_j)), KCL_F64);
    ck_assert_int_eq(kcl_expr_dtype(kcl_gather(x_i, at)), KCL_F32);
    ck_assert_int_eq(kcl_expr_dtype(kcl_reduce_argmin(distance, KCL_OVER_J)), KCL_I64);
    ck_assert_int_eq(kcl_expr_dtype(kcl_reduce_min(distance, KCL_OVER_J)), KCL_F64);
    ck_assert_int_eq(kcl_expr_dtype(kcl_scalar(s, 2)), KCL_DTYPE_NONE);
    ck_assert_int_eq(kcl_expr_dtype(kcl_like(kcl_index_j(s), at)), KCL_DTYPE_NONE);
    ck_assert_int_eq(kcl_expr_dtype(kcl_vi(s, NULL)), KCL_DTYPE_NONE);
    ck_assert_int_eq(kcl_expr_dtype(NULL), KCL_DTYPE_NONE);
}
END_TEST

/* Numbers begin anew in every batch, even if the batches could be computed as more rows or columns. */
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

/* Every schedule; lanes beyond the last row, whose numbers make a formula infinite, reach nothing. */
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

/* If all arrays are of integers, nothing but numbers of rows is computed, and no array tells a number type. */
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

/* ---- Lengths of arguments that no formula names ------------------------------------------------------------------ */

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

/*
 * Of an axis that a formula has in its numbers alone, what lends the axis tells the length in gradients through
 * reductions too.
 */
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

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {numbers_are_those_of_plain_loops, 0},
        {shapes_tell_the_lengths_of_arrays, 0},
        {expressions_tell_their_types, 0},
        {comparisons_are_exact_beyond_float32, 0},
        {numbers_are_within_the_batch, 0},
        {a_length_must_be_told, 0},
        {numbers_alone_have_a_type, 0},
        {weights_take_the_lengths_of_declared_arguments, 3 * KB_COUNT(declared_texts)},
        {weights_of_numbers_have_gradients, 0},
        {numbers_beside_reductions_have_gradients, 0},
    };
    const test_entry device_tests[] = {
        {comparisons_are_exact_beyond_float32, 0},
        {numbers_are_within_the_batch, 0},
        {every_schedule_counts_alike, 0},
        {numbers_alone_have_a_type, 0},
        {weights_take_the_lengths_of_declared_arguments, 3 * KB_COUNT(declared_texts)},
        {weights_of_numbers_have_gradients, 0},
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
