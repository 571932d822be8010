/* SPDX-License-Identifier: MIT */
/* Operators by the interpreter: made of texts and expressions, applied, looked at. */
#include "points.h"

static void check_slot(const kcl_slot_info *info, const char *name, kcl_role role, int dim)
{
    ck_assert_str_eq(info->name, name);
    ck_assert_int_eq(info->role, role);
    ck_assert_int_eq(info->dim, dim);
}

START_TEST(test_operator_applied_and_looked_at)
{
    static collected text;
    kcl_slot_info info;
    kcl_operator *op = make(gauss, 4, gauss_aliases), *grad, *magnitude;
    ck_assert_int_eq(kcl_operator_input_count(op), 4);
    ck_assert_int_eq(kcl_operator_output_count(op), 1);
    ck_assert_int_eq(kcl_operator_input(op, 1, &info), KCL_OK);
    check_slot(&info, "y", KCL_ROLE_J, 3);
    ck_assert_int_eq(kcl_operator_input(op, 3, &info), KCL_OK);
    check_slot(&info, "g", KCL_ROLE_PARAMETER, 1);
    ck_assert_int_eq(kcl_operator_output(op, 0, &info), KCL_OK);
    check_slot(&info, "", KCL_ROLE_I, 1);
    ck_assert_int_eq(kcl_operator_input(op, 4, &info), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_input(op, -1, &info), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_output(op, 1, &info), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_output(op, 0, NULL), KCL_ERROR_ARGUMENT);
    text.length = 0;
    ck_assert_int_eq(kcl_operator_print(op, collect, &text), KCL_OK);
    kcl_operator *again = make(text.text, 4, gauss_aliases); /* what is printed can be read */
    make_points(KCL_F64, DENSE, -1, 1);
    double g = 0.6, out[M], same[M], scale[M], dx[M * D], e[M] = {1, -2, 3, -4, 5};
    const kcl_array *args[] = {&x.array, &y.array, &b.array, kcl_f64(&g, 1), kcl_f64(e, M)};
    const kcl_array *outs[] = {kcl_f64(out, M)};
    ck_assert_msg(kcl_operator_apply(op, c, outs, 1, args, 4) == KCL_OK, "%s", kcl_context_error(c));
    ck_assert_msg(kcl_operator_apply(again, c, (const kcl_array *[]){kcl_f64(same, M, 1)}, 1, args, 4) == KCL_OK, "%s",
                  kcl_context_error(c));
    ck_assert_int_eq(kcl_operator_magnitude(&magnitude, op), KCL_OK);
    ck_assert_int_eq(kcl_operator_apply(magnitude, c, (const kcl_array *[]){kcl_f64(scale, M)}, 1, args, 4), KCL_OK);
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "x"), KCL_OK);
    ck_assert_int_eq(kcl_operator_input_count(grad), 5);
    ck_assert_int_eq(kcl_operator_input(grad, 4, &info), KCL_OK);
    check_slot(&info, "e", KCL_ROLE_I, 1);
    ck_assert_int_eq(kcl_operator_output(grad, 0, &info), KCL_OK);
    check_slot(&info, "", KCL_ROLE_I, 3);
    ck_assert_msg(kcl_operator_apply(grad, c, (const kcl_array *[]){kcl_f64(dx, M, D)}, 1, args, 5) == KCL_OK, "%s",
                  kcl_context_error(c));
    for (int64_t i = 0; i < M; i++) {
        double want = 0, size = 0, slope = 0;
        for (int64_t j = 0; j < N; j++) {
            double w = exp(-g * distance_of(i, j)) * B;
            want += w;
            size += fabs(w);
            slope += -2 * g * (X(1) - Y(1)) * w * e[i];
        }
        near(out[i], want, KCL_F64, "operator");
        near(same[i], want, KCL_F64, "printed operator");
        near(scale[i], size, KCL_F64, "magnitude");
        near(dx[i * D + 1], slope, KCL_F64, "gradient");
    }
    free_points();
    kcl_operator_destroy(&op);
    kcl_operator_destroy(&again);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&magnitude);
    ck_assert_ptr_null(op);
    kcl_operator_destroy(&op);
    kcl_operator_destroy(NULL);
}
END_TEST

/* Chains of reductions as texts, and their gradients as texts that are read again. */
START_TEST(test_texts_of_chains)
{
    static collected text;
    /* s_i = sum_j exp(-g |x_i - y_j|^2), r_i = log(s_i) x_i, t = sum_i s_i */
    kcl_operator *op = make("Identity_Reduction(Log(Sum_Reduction(Exp(-g*SqDist(x,y)),0))*x,0);"
                            "Sum_Reduction(Sum_Reduction(Exp(-g*SqDist(x,y)),0),2);"
                            "Identity_Reduction(x/Sum_Reduction(Sum_Reduction(Exp(-g*SqDist(x,y)),0),2),0)",
                            4, gauss_aliases);
    make_points(KCL_F64, DENSE, -1, 1);
    double g = 0.6, rows[M][D], total, parts[M][D], s[M] = {0}, t = 0, e[M];
    const kcl_array *args[] = {&x.array, &y.array, &b.array, kcl_f64(&g, 1), kcl_f64(e, M)};
    const kcl_array *outs[] = {kcl_f64(&rows[0][0], M, D), kcl_f64(&total, 1), kcl_f64(&parts[0][0], M, D)};
    ck_assert_msg(kcl_operator_apply(op, c, outs, 3, args, 4) == KCL_OK, "%s", kcl_context_error(c));
    for (int64_t i = 0; i < M; i++) {
        e[i] = uniform(-1, 1);
        for (int64_t j = 0; j < N; j++)
            s[i] += exp(-g * distance_of(i, j));
        t += s[i];
    }
    /* The inner sum has no j: the outer one, over both, has a term for each j of the call. */
    near(total, (double)N * t, KCL_F64, "sum of sums");
    for (int64_t i = 0; i < M; i++)
        for (int k = 0; k < D; k++) {
            near(rows[i][k], log(s[i]) * X(k), KCL_F64, "logarithms of sums");
            near(parts[i][k], X(k) / ((double)N * t), KCL_F64, "parts of a sum");
        }
    kcl_operator_destroy(&op);
    kcl_scope *scope = kcl_scope_create(c);
    kcl_expr *vars[] = {kcl_vi(scope, &x.array), kcl_vj(scope, &y.array), kcl_scalar(scope, g)};
    kcl_expr *logs = kcl_formula(scope, "Log(Sum_Reduction(Exp(-g*SqDist(x,y)),0))*x", 3,
                                 (const char *const[]){"x", "y", "g"}, vars);
    ck_assert_msg(kcl_eval1(logs, kcl_f64(&parts[0][0], M, D)) == KCL_OK, "%s", kcl_context_error(c));
    ck_assert_int_eq(memcmp(parts, rows, sizeof rows), 0);
    kcl_scope_destroy(&scope);
    static const char *const chains[] = {"LogSumExp_Reduction(-g*SqDist(x,y),0)",
                                         "Identity_Reduction(Log(Sum_Reduction(Exp(-g*SqDist(x,y))*b*b,0)),0)",
                                         "SumSoftMaxWeight_Reduction(-g*SqDist(x,y),0,Sin(b))"};
    const char *const with_cotangent[] = {gauss_aliases[0], gauss_aliases[1], gauss_aliases[2], gauss_aliases[3],
                                          "e = Vi(1)"};
    for (size_t n = 0; n < KB_COUNT(chains); n++) {
        for (int v = 0; v < 4; v++) {
            kcl_operator *from = make(chains[n], 4, gauss_aliases), *grad, *again;
            kcl_slot_info info;
            double first[(M + N) * D], second[(M + N) * D];
            ck_assert_int_eq(kcl_operator_grad(&grad, from, ((const char *[]){"x", "y", "b", "g"})[v]), KCL_OK);
            text.length = 0;
            ck_assert_int_eq(kcl_operator_print(grad, collect, &text), KCL_OK);
            again = make(text.text, 5, with_cotangent);
            ck_assert_int_eq(kcl_operator_output(again, 0, &info), KCL_OK);
            const int64_t count = info.role == KCL_ROLE_I ? M : info.role == KCL_ROLE_J ? N : 1;
            ck_assert_msg(kcl_operator_apply(grad, c, (const kcl_array *[]){kcl_f64(first, count, info.dim)}, 1, args,
                                             5) == KCL_OK,
                          "%s", kcl_context_error(c));
            ck_assert_msg(kcl_operator_apply(again, c, (const kcl_array *[]){kcl_f64(second, count, info.dim)}, 1, args,
                                             5) == KCL_OK,
                          "%s: %s", text.text, kcl_context_error(c));
            for (int64_t k = 0; k < count * info.dim; k++)
                near(second[k], first[k], KCL_F64, text.text);
            kcl_operator_destroy(&again);
            kcl_operator_destroy(&grad);
            kcl_operator_destroy(&from);
        }
    }
    free_points();
}
END_TEST

START_TEST(test_operator_gradient_of_several_outputs)
{
    kcl_operator *op = make("Sum_Reduction(Exp(-g*SqDist(x,y))*b,0);Sum_Reduction(g*(x|y),1);Sum_Reduction(g*b*b,2)", 4,
                            gauss_aliases);
    make_points(KCL_F64, DENSE, -1, 1);
    double g = 0.6, a[M], o[N], t, dg, e0[M], e1[N], e2 = 0.5, change = 1e-6, value[2];
    for (int k = 0; k < M; k++)
        e0[k] = uniform(-1, 1);
    for (int k = 0; k < N; k++)
        e1[k] = uniform(-1, 1);
    const kcl_array *args[] = {&x.array,       &y.array,       &b.array,       kcl_f64(&g, 1),
                               kcl_f64(e0, M), kcl_f64(e1, N), kcl_f64(&e2, 1)};
    const char *const spelled[] = {"g", "3"};
    for (int way = 0; way < 2; way++) {
        kcl_operator *grad;
        ck_assert_int_eq(kcl_operator_grad(&grad, op, spelled[way]), KCL_OK);
        ck_assert_int_eq(kcl_operator_input_count(grad), 7);
        ck_assert_msg(kcl_operator_apply(grad, c, (const kcl_array *[]){kcl_f64(&dg, 1)}, 1, args, 7) == KCL_OK, "%s",
                      kcl_context_error(c));
        for (int side = 0; side < 2; side++) {
            double kept = g;
            g += side ? -change : change;
            ck_assert_int_eq(kcl_operator_apply(op, c,
                                                (const kcl_array *[]){kcl_f64(a, M), kcl_f64(o, N), kcl_f64(&t, 1)}, 3,
                                                args, 4),
                             KCL_OK);
            g = kept;
            value[side] = e2 * t;
            for (int k = 0; k < M; k++)
                value[side] += e0[k] * a[k];
            for (int k = 0; k < N; k++)
                value[side] += e1[k] * o[k];
        }
        ck_assert_double_eq_tol(dg, (value[0] - value[1]) / (2 * change), 1e-7);
        kcl_operator_destroy(&grad);
    }
    kcl_operator *bad;
    ck_assert_int_eq(kcl_operator_grad(&bad, op, "q"), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "\"q\"");
    kcl_operator *worse;
    ck_assert_int_eq(kcl_operator_grad(&worse, bad, "x"), KCL_ERROR_ARGUMENT);
    ck_assert_str_eq(kcl_operator_error(worse), kcl_operator_error(bad));
    kcl_operator_destroy(&worse);
    ck_assert_int_eq(kcl_operator_magnitude(&worse, bad), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&worse);
    ck_assert_int_eq(kcl_operator_magnitude(&worse, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(worse), "NULL");
    kcl_operator_destroy(&worse);
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_grad(&bad, op, "7"), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&bad);
    free_points();
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_operator_from_expressions)
{
    make_points(KCL_F64, DENSE, -1, 1);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j))), *mass = kcl_reduce_sum(K, KCL_OVER_J);
    kcl_expr *exprs[] = {kcl_div(kcl_reduce_sum(kcl_mul(K, b_j), KCL_OVER_J), mass), kcl_reduce_sum(K, KCL_OVER_I)};
    kcl_operator *op, *bad;
    kcl_slot_info info;
    ck_assert_msg(kcl_operator_from(&op, 2, exprs, 3, (kcl_expr *[]){b_j, x_i, y_j}, NULL) == KCL_OK, "%s",
                  kcl_operator_error(op));
    ck_assert_int_eq(kcl_operator_from(&bad, 2, exprs, 2, (kcl_expr *[]){b_j, x_i}, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "array 1");
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_from(&bad, 1, exprs, 1, &mass, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "entry 0", "no variable");
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_from(&bad, 0, exprs, 0, NULL, NULL), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_from(&bad, 1, &K, 2, (kcl_expr *[]){x_i, y_j}, NULL), KCL_ERROR_SHAPE);
    CONTAINS(kcl_operator_error(bad), "both i and j");
    kcl_operator_destroy(&bad);
    kcl_expr *wrong = kcl_elem(x_i, 5);
    ck_assert_int_eq(kcl_operator_from(&bad, 1, &wrong, 0, NULL, NULL), KCL_ERROR_SHAPE);
    ck_assert_str_eq(kcl_operator_error(bad), kcl_expr_error(wrong));
    kcl_operator_destroy(&bad);
    kcl_scope_reset(s); /* the operator outlives its expressions */
    ck_assert_int_eq(kcl_operator_input(op, 0, &info), KCL_OK);
    check_slot(&info, "", KCL_ROLE_J, 1);
    double mean[M], col[N];
    ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(mean, M), kcl_f64(col, N)}, 2,
                                     (const kcl_array *[]){&b.array, &x.array, &y.array}, 3) == KCL_OK,
                  "%s", kcl_context_error(c));
    for (int64_t i = 0; i < M; i++) {
        double top = 0, bottom = 0;
        for (int64_t j = 0; j < N; j++) {
            top += exp(-distance_of(i, j)) * B;
            bottom += exp(-distance_of(i, j));
        }
        near(mean[i], top / bottom, KCL_F64, "mean");
    }
    for (int64_t j = 0; j < N; j++) {
        double want = 0;
        for (int64_t i = 0; i < M; i++)
            want += exp(-distance_of(i, j));
        near(col[j], want, KCL_F64, "over i");
    }
    kcl_operator_destroy(&op);
    free_points();
}
END_TEST

START_TEST(test_emit_and_describe)
{
    static collected text;
    kcl_operator *op = make(gauss, 4, gauss_aliases);
    text.length = 0;
    ck_assert_int_eq(kcl_operator_emit(op, NULL, "cpu", KCL_F32, 1000, 1000, collect, &text), KCL_OK);
    CONTAINS(text.text, "SqDist", "#define KCL_REAL_F32", "#define KCL_LANES 16", "__kernel");
    CALL_FAILS(kcl_operator_emit(op, c, NULL, KCL_F32, 10, 10, collect, &text), KCL_ERROR_UNSUPPORTED, "\"host\"");
    CALL_FAILS(kcl_operator_describe(op, c, KCL_F32, 10, 10, collect, &text), KCL_ERROR_UNSUPPORTED, "\"host\"");
    CALL_FAILS(kcl_operator_emit(op, c, "toaster", KCL_F32, 10, 10, collect, &text), KCL_ERROR_ARGUMENT, "\"toaster\"",
               "\"cpu\"");
    CALL_FAILS(kcl_operator_emit(op, c, "cpu", KCL_DTYPE_NONE, 10, 10, collect, &text), KCL_ERROR_TYPE, "KCL_F32");
    CALL_FAILS(kcl_operator_emit(op, c, "cpu", KCL_F32, -10, 10, collect, &text), KCL_ERROR_ARGUMENT, "m = -10",
               "n = 10");
    CALL_FAILS(kcl_operator_emit(NULL, c, "cpu", KCL_F32, 10, 10, collect, &text), KCL_ERROR_ARGUMENT, "NULL");
    CALL_FAILS(kcl_operator_emit(op, c, "cpu", KCL_F32, 10, 10, NULL, NULL), KCL_ERROR_ARGUMENT, "NULL");
    ck_assert_int_eq(kcl_operator_print(op, NULL, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_print(NULL, collect, &text), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- Long runs --------------------------------------------------------------------------------------------------- */

/* Counts bytes in use: each block carries its size in front. */
typedef struct meter {
    long long bytes, blocks;
} meter;

static void *metered(void *user, void *pointer, size_t size)
{
    enum { HEAD = 32 };
    meter *m = user;
    char *block = pointer ? (char *)pointer - HEAD : NULL;
    size_t old = 0;
    if (block)
        memcpy(&old, block, sizeof old);
    if (!size) {
        m->bytes -= (long long)old;
        m->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    char *p = realloc(block, size + HEAD);
    if (!p)
        return NULL;
    m->bytes += (long long)size - (long long)old;
    m->blocks += block == NULL;
    memcpy(p, &size, sizeof size);
    return p + HEAD;
}

START_TEST(test_ten_thousand_calls_with_changing_sizes)
{
    meter m = {0, 0};
    kcl_context *own;
    const kcl_allocator allocator = {metered, &m};
    ck_assert_int_eq(
        kcl_context_create(&own, &(kcl_context_params){.device = "host", .threads = 1, .allocator = allocator}),
        KCL_OK);
    kcl_scope *scope = kcl_scope_create(own);
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_create(&op, gauss, 4, gauss_aliases, &(kcl_operator_params){.allocator = allocator}),
                     KCL_OK);
    static double a[60], out[20];
    double g = 1;
    meter after = {0, 0};
    for (int call = 0; call < 10000; call++) {
        int rows = call * 7 % 20, cols = call * 3 % 19;
        g = 1 + call;
        const kcl_array *args[] = {kcl_f64(a, rows, 3), kcl_f64(a, cols, 3), kcl_f64(a, cols), kcl_f64(&g, 1)};
        const kcl_array *outs[] = {kcl_f64(out, rows)};
        ck_assert_msg(kcl_operator_apply(op, own, outs, 1, args, 4) == KCL_OK, "%s", kcl_context_error(own));
        kcl_expr *f = kcl_mul(kcl_scalar(scope, g), kcl_sqdist(kcl_vi(scope, args[0]), kcl_vj(scope, args[1])));
        ck_assert_msg(kcl_sum(f, KCL_OVER_J, outs[0]) == KCL_OK, "%s", kcl_context_error(own));
        kcl_scope_reset(scope);
        if (call == 300)
            after = m;
        ck_assert_msg(call < 300 || (m.bytes <= after.bytes && m.blocks <= after.blocks),
                      "%lld bytes in %lld blocks after call 300, %lld in %lld after call %d", after.bytes, after.blocks,
                      m.bytes, m.blocks, call);
    }
    kcl_operator_destroy(&op);
    kcl_scope_destroy(&scope);
    kcl_context_destroy(&own);
    ck_assert_int_eq(m.bytes, 0);
}
END_TEST

/* With one row and one column nothing but the axes tells batches from rows. */
START_TEST(test_batches_of_single_rows)
{
    enum { BATCHES = 4 };
    const double xs[BATCHES][2] = {{1, 2}, {-3, 4}, {5, 0.5}, {0, 6}};
    const double ys[BATCHES][2] = {{7, -1}, {2, 2}, {-1, 8}, {3, 0.25}};
    for (int axis = 0; axis < 2; axis++) {
        double out[BATCHES] = {0};
        kcl_operator *op = make(axis ? "Sum_Reduction(x|y,1)" : "Sum_Reduction(x|y,0)", 2,
                                (const char *const[]){"x=Vi(2)", "y=Vj(2)"});
        const kcl_array *args[] = {kcl_f64(xs[0], BATCHES, 1, 2), kcl_f64(ys[0], BATCHES, 1, 2)};
        ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(out, BATCHES, 1, 1)}, 1, args, 2) ==
                          KCL_OK,
                      "%s", kcl_context_error(c));
        for (int k = 0; k < BATCHES; k++)
            ck_assert_double_eq_tol(out[k], xs[k][0] * ys[k][0] + xs[k][1] * ys[k][1], 1e-14);
        kcl_operator_destroy(&op);
    }
    /* Rows of i with an axis of size 1 for the columns, and rows of j with one in front, are no batches. */
    double sums[BATCHES] = {0};
    kcl_operator *op = make("Sum_Reduction(x|y,0)", 2, (const char *const[]){"x=Vi(2)", "y=Vj(2)"});
    const kcl_array *args[] = {kcl_f64(xs[0], BATCHES, 1, 2), kcl_f64(ys[0], 1, BATCHES, 2)};
    ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(sums, BATCHES, 1)}, 1, args, 2) == KCL_OK,
                  "%s", kcl_context_error(c));
    for (int i = 0; i < BATCHES; i++) {
        double sum = 0;
        for (int j = 0; j < BATCHES; j++)
            sum += xs[i][0] * ys[j][0] + xs[i][1] * ys[j][1];
        ck_assert_double_eq_tol(sums[i], sum, 1e-13);
    }
    /* Beside rows of j without batches, the shape of the output tells batches of single rows. */
    double each[BATCHES][3] = {{0}};
    const kcl_array *beside[] = {kcl_f64(xs[0], BATCHES, 1, 2), kcl_f64(ys[0], 3, 2)};
    ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(each[0], BATCHES, 1, 3)}, 1, beside, 2) ==
                      KCL_ERROR_SHAPE,
                  "3 rows of the output were taken for a vector");
    ck_assert_msg(strstr(kcl_context_error(c), "(4, 1, 3)"), "%s", kcl_context_error(c));
    kcl_operator_destroy(&op);
    op = make("Sum_Reduction(x|y,1)", 2, (const char *const[]){"x=Vi(2)", "y=Vj(2)"});
    ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(each[0], BATCHES, 3, 1)}, 1, beside, 2) ==
                      KCL_OK,
                  "%s", kcl_context_error(c));
    for (int b = 0; b < BATCHES; b++)
        for (int j = 0; j < 3; j++)
            ck_assert_double_eq_tol(each[b][j], xs[b][0] * ys[j][0] + xs[b][1] * ys[j][1], 1e-13);
    kcl_operator_destroy(&op);
}
END_TEST

int main(void)
{
    const test_entry tests[] = {
        {test_operator_applied_and_looked_at, 0},
        {test_texts_of_chains, 0},
        {test_operator_gradient_of_several_outputs, 0},
        {test_operator_from_expressions, 0},
        {test_emit_and_describe, 0},
        {test_ten_thousand_calls_with_changing_sizes, 0},
        {test_batches_of_single_rows, 0},
    };
    return run_entries("operators", tests, KB_COUNT(tests), setup, teardown);
}
