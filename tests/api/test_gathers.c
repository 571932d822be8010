/* SPDX-License-Identifier: MIT */
/*
 * Rows chosen by numbers: values by plain loops in double, by the interpreter; a device (with the argument "device")
 * against both.
 */
#include "either.h"

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

/*
 * Arrays of int64 as indices, rows apart, with two numbers a row and some of no row; also as arguments of an operator.
 */
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

/*
 * Sums over i of (x_i | x_a x_a), a = k_j. The operator of a text takes k as either type, and so does every operator
 * made of it.
 */
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
    /* A table of zeros: nothing but the axes of the computed index counts. */
    out[2] = 1;
    ok(kcl_eval1(kcl_gather(kcl_like(kcl_zero(s, 1), y_j), kcl_square(x_i)), kcl_f64(out, 6)));
    ck_assert_double_eq(out[2], 0);
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

/*
 * A term that is chosen has the number of its row: the largest x_i v_j (i - 2), in row a, has the derivative x_a (a -
 * 2) in v_j. So has the largest term over both axes. A declared argument tells how many rows there are.
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
        /* The smallest v_j (j - i + 2) is in the last row. */
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
        {rows_are_chosen_by_numbers, 0},
        {texts_choose_rows, 0},
        {tables_that_cannot_be, 0},
        {arrays_of_integers_choose_rows, 0},
        {rows_are_chosen_within_the_batch, 0},
        {rows_of_records_are_chosen, 0},
        {texts_take_integers_as_indices, 0},
        {a_chosen_term_has_its_own_number, 0},
    };
    const test_entry device_tests[] = {
        {rows_are_chosen_by_numbers, 0},       {texts_choose_rows, 0},          {arrays_of_integers_choose_rows, 0},
        {rows_are_chosen_within_the_batch, 0}, {rows_of_records_are_chosen, 0}, {texts_take_integers_as_indices, 0},
        {a_chosen_term_has_its_own_number, 0},
    };
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "gathers",
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
