/* SPDX-License-Identifier: MIT */
/* The interpreter against values computed independently, in long double if rounding matters. */
#include "interp_support.h"
#include "layout.h"

/* ---- Elementwise operators --------------------------------------------------------------------------------------- */

static void check_map(kf_op op, const kf_node *const *args, int64_t n)
{
    enum { ROWS = 3, COLS = KF_BLOCK + 3 };
    const kf_node *f = kf_make(&g, op, args, &n), *a = args[0], *b = args[1], *c = args[2];
    ck_assert_msg(f != NULL, "%s", g.error.text);
    double *got = malloc((size_t)(ROWS * COLS * f->dim) * sizeof *got);
    evaluate(1, &f, vars.source, ROWS, COLS, got);
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < COLS; j++)
            for (int64_t k = 0; k < f->dim; k++)
                expect_close(kf_info(op)->name, got[(i * COLS + j) * f->dim + k],
                             table_value(op, at(a, i, j, k), b ? at(b, i, j, k) : 0, c ? at(c, i, j, k) : 0, n), 1e-15,
                             i, j, k);
    free(got);
}

START_TEST(elementwise_operators_agree_with_long_double_on_every_axis_and_broadcast)
{
    static const int dims[][3] = {{1, 1, 1}, {4, 4, 1}, {1, 4, 4}, {4, 1, 4}};
    kf_op op = (kf_op)_i;
    if (kf_info(op)->op_class != KF_CLASS_MAP)
        return;
    double low = kf_info(op)->low, high = kf_info(op)->high;
    for (int64_t n = table_least_param(op); n <= table_most_param(op); n++)
        for (int roles = 0; roles < (kf_info(op)->arity == 3 ? 27 : 9); roles++)
            for (size_t d = 0; d < KB_COUNT(dims); d++) {
                teardown();
                setup();
                const kf_node *args[KF_MAX_ARGS] = {NULL};
                for (int k = 0, role = roles; k < kf_info(op)->arity; k++, role /= 3)
                    args[k] = variable((kf_role)(role % 3), dims[d][k], 200, low, high);
                check_map(op, args, n);
            }
}
END_TEST

START_TEST(elementwise_operators_have_their_mathematical_values)
{
    static const struct {
        kf_op op;
        double a, b;
        int n;
        double value;
    } known[] = {
        {KF_ADD, 2, 3, 0, 5},
        {KF_SUB, 2, 3, 0, -1},
        {KF_MULT, 2, 3, 0, 6},
        {KF_DIVIDE, 3, 2, 0, 1.5},
        {KF_MINUS, 2, 0, 0, -2},
        {KF_INV, 4, 0, 0, 0.25},
        {KF_SQUARE, -3, 0, 0, 9},
        {KF_POW, 2, 0, 10, 1024},
        {KF_POW, 2, 0, -2, 0.25},
        {KF_POW, 7, 0, 0, 1},
        {KF_POW, -2, 0, 3, -8},
        {KF_POWF, 4, 1.5, 0, 8},
        {KF_EXP, 0, 0, 0, 1},
        {KF_EXP, 1, 0, 0, 0x1.5bf0a8b145769p+1},
        {KF_LOG, 1, 0, 0, 0},
        {KF_LOG, 0, 0, 0, -INFINITY},
        {KF_EXP2, 3, 0, 0, 8},
        {KF_LOG2, 8, 0, 0, 3},
        {KF_SQRT, 9, 0, 0, 3},
        {KF_RSQRT, 4, 0, 0, 0.5},
        {KF_RSQRT, 0, 0, 0, 0},
        {KF_SIN, 0, 0, 0, 0},
        {KF_COS, 0, 0, 0, 1},
        {KF_ABS, -2, 0, 0, 2},
        {KF_SIGN, -2, 0, 0, -1},
        {KF_SIGN, 0, 0, 0, 0},
        {KF_SIGN, 5, 0, 0, 1},
        {KF_SIGN, NAN, 0, 0, NAN},
        {KF_INV, 0, 0, 0, INFINITY},
        {KF_SQRT, -1, 0, 0, NAN},
        {KF_FLOOR, -1.5, 0, 0, -2},
        {KF_FLOOR, NAN, 0, 0, NAN},
        {KF_ROUND, 2.5, 0, 0, 3},
        {KF_ROUND, -2.5, 0, 0, -3},
        {KF_ROUND, 126, 0, -1, 130},
        {KF_ROUND, 2.345678, 0, 2, 2.35},
        {KF_ROUND, 1e300, 0, 18, 1e300},
        {KF_ROUND, 4, 0, -18, 0},
        {KF_ROUND, INFINITY, 0, 1, INFINITY},
        {KF_ROUND, NAN, 0, 0, NAN},
        {KF_STEP, 0, 0, 0, 1},
        {KF_STEP, -0.5, 0, 0, 0},
        {KF_STEP, NAN, 0, 0, 1},
        {KF_RELU, -3, 0, 0, 0},
        {KF_RELU, 3, 0, 0, 3},
        {KF_RELU, NAN, 0, 0, NAN},
        {KF_XLOGX, 0, 0, 0, 0},
        {KF_XLOGX, 1, 0, 0, 0},
        {KF_XLOGX, -1, 0, 0, NAN},
        {KF_ASIN, 1, 0, 0, 0x1.921fb54442d18p+0},
        {KF_ASIN, 1.5, 0, 0, NAN},
        {KF_ACOS, 1, 0, 0, 0},
        {KF_ATAN, 1, 0, 0, 0x1.921fb54442d18p-1},
        {KF_ATAN2, 1, 0, 0, 0x1.921fb54442d18p+0},
        {KF_ATAN2, 0, -1, 0, 0x1.921fb54442d18p+1},
        {KF_ATAN2, 0, 0, 0, 0},
        {KF_SPHERICAL, 0, 0, 0, 1},
        {KF_SPHERICAL, 0, 0, 1, 1.0 / 3},
        {KF_SPHERICAL, 0, 0, 2, 1.0 / 15},
        {KF_SPHERICAL, INFINITY, 0, 3, 0},
        {KF_SPHERICAL, NAN, 0, 3, NAN},
        {KF_EQUAL, 2, 2, 0, 1},
        {KF_EQUAL, 2, 3, 0, 0},
        {KF_EQUAL, NAN, NAN, 0, 0},
        {KF_NOT_EQUAL, 2, 2, 0, 0},
        {KF_NOT_EQUAL, NAN, NAN, 0, 1},
        {KF_LESS, 1, 2, 0, 1},
        {KF_LESS, 2, 2, 0, 0},
        {KF_LESS, NAN, 2, 0, 0},
        {KF_LESS_EQUAL, 2, 2, 0, 1},
        {KF_LESS_EQUAL, 3, 2, 0, 0},
        {KF_LESS_EQUAL, NAN, NAN, 0, 0},
        {KF_IFELSE, 0, 2, 0, 2},
        {KF_IFELSE, -1, 2, 0, 7},
        {KF_IFELSE, NAN, 2, 0, 7},
        {KF_IFELSE, -1, NAN, 0, 7},
        {KF_TAN, 0, 0, 0, 0},
        {KF_SINH, INFINITY, 0, 0, INFINITY},
        {KF_COSH, 0, 0, 0, 1},
        {KF_TANH, -INFINITY, 0, 0, -1},
        {KF_ASINH, 0, 0, 0, 0},
        {KF_ACOSH, 1, 0, 0, 0},
        {KF_ACOSH, 0.5, 0, 0, NAN},
        {KF_ATANH, 1, 0, 0, INFINITY},
        {KF_ATANH, 2, 0, 0, NAN},
        {KF_ERF, INFINITY, 0, 0, 1},
        {KF_ERFC, -INFINITY, 0, 0, 2},
        {KF_EXPM1, 1e-300, 0, 0, 1e-300},
        {KF_LOG1P, 1e-300, 0, 0, 1e-300},
        {KF_LOG1P, -1, 0, 0, -INFINITY},
        {KF_LOG1P, -2, 0, 0, NAN},
        {KF_SIGMOID, 0, 0, 0, 0.5},
        {KF_SIGMOID, 1000, 0, 0, 1},
        {KF_SIGMOID, -1000, 0, 0, 0},
        {KF_SIGMOID, NAN, 0, 0, NAN},
        {KF_SOFTPLUS, 1000, 0, 0, 1000},
        {KF_SOFTPLUS, -1000, 0, 0, 0},
        {KF_SOFTPLUS, NAN, 0, 0, NAN},
        {KF_CEIL, -1.5, 0, 0, -1},
        {KF_CEIL, 1.5, 0, 0, 2},
        {KF_TRUNC, -1.5, 0, 0, -1},
        {KF_TRUNC, 1.5, 0, 0, 1},
        {KF_HYPOT, 3, -4, 0, 5},
        {KF_HYPOT, 3e300, 4e300, 0, 5e300},
        {KF_HYPOT, NAN, INFINITY, 0, INFINITY},
        {KF_HYPOT, NAN, 1, 0, NAN},
        {KF_MINIMUM, 2, -3, 0, -3},
        {KF_MINIMUM, NAN, 1, 0, NAN},
        {KF_MINIMUM, 1, NAN, 0, NAN},
        {KF_MAXIMUM, 2, -3, 0, 2},
        {KF_MAXIMUM, NAN, 1, 0, NAN},
        {KF_MAXIMUM, 1, NAN, 0, NAN},
        {KF_AND, 2, -0.5, 0, 1},
        {KF_AND, 0, 1, 0, 0},
        {KF_AND, 1, 0, 0, 0},
        {KF_AND, NAN, 1, 0, 1},
        {KF_OR, 0, 0, 0, 0},
        {KF_OR, 0, -1, 0, 1},
        {KF_OR, 0.1, 0, 0, 1},
        {KF_NOT, 0, 0, 0, 1},
        {KF_NOT, 0.1, 0, 0, 0},
        {KF_NOT, NAN, 0, 0, 0},
    };
    const double third = 7;
    for (size_t k = 0; k < KB_COUNT(known); k++) {
        const kf_node *args[] = {kf_var(&g, 0, 1, KF_ROLE_P), kf_var(&g, 1, 1, KF_ROLE_P), kf_var(&g, 2, 1, KF_ROLE_P)};
        int64_t n = known[k].n;
        const kf_node *f = kf_make(&g, known[k].op, args, &n);
        kf_source sources[] = {{&known[k].a, KCL_F64, 0, 8}, {&known[k].b, KCL_F64, 0, 8}, {&third, KCL_F64, 0, 8}};
        double got;
        evaluate(1, &f, sources, 1, 1, &got);
        ck_assert_msg(got == known[k].value || (isnan(got) && isnan(known[k].value)),
                      "%s(%g, %g, %d) = %.17g, not %.17g", kf_info(known[k].op)->name, known[k].a, known[k].b,
                      known[k].n, got, known[k].value);
    }
}
END_TEST

/* ---- The other nodes --------------------------------------------------------------------------------------------- */

START_TEST(copies_put_components_where_they_belong)
{
    enum { ROWS = 2, COLS = 131, D = 5 };
    kf_role role = (kf_role)(_i % 3), other = (kf_role)(_i / 3);
    const kf_node *v = variable(role, D, 150, -2, 2), *s = variable(role, 1, 150, -2, 2);
    const kf_node *w = variable(other, 3, 150, -2, 2);
    const kf_node *f[] = {
        kf_make(&g, KF_SUMT, &s, (int64_t[]){8}),
        kf_make(&g, KF_ELEMT, &s, (int64_t[]){8, 3}),
        kf_make(&g, KF_EXTRACTT, &v, (int64_t[]){2, 8}),
        kf_make(&g, KF_CONCAT, (const kf_node *[]){v, w}, NULL),
        kf_make(&g, KF_CONCAT, (const kf_node *[]){w, v}, NULL),
        kf_make(&g, KF_ELEMT, &s, (int64_t[]){8, 0}),
        kf_make(&g, KF_ELEMT, &s, (int64_t[]){8, 7}),
    };
    double *got = malloc(KB_COUNT(f) * ROWS * COLS * 8 * sizeof *got), *p = got;
    evaluate(KB_COUNT(f), f, vars.source, ROWS, COLS, got);
    for (size_t r = 0; r < KB_COUNT(f); r++)
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLS; j++)
                for (int k = 0; k < 8; k++) {
                    double want = r == 0   ? at(s, i, j, 0)
                                  : r == 1 ? (k == 3 ? at(s, i, j, 0) : 0)
                                  : r == 2 ? (k >= 2 && k < 7 ? at(v, i, j, k - 2) : 0)
                                  : r == 3 ? (k < D ? at(v, i, j, k) : at(w, i, j, k - D))
                                  : r == 4 ? (k < 3 ? at(w, i, j, k) : at(v, i, j, k - 3))
                                           : (k == (r == 5 ? 0 : 7) ? at(s, i, j, 0) : 0);
                    expect_close(kf_info(f[r]->op)->name, *p++, want, 0, i, j, k);
                }
    free(got);
    const kf_node *part = kf_make(&g, KF_EXTRACT, &v, (int64_t[]){1, 3});
    got = malloc(ROWS * COLS * 3 * sizeof *got);
    evaluate(1, &part, vars.source, ROWS, COLS, got);
    for (int n = 0; n < ROWS * COLS * 3; n++)
        expect_close("Extract", got[n], at(v, n / 3 / COLS, n / 3 % COLS, n % 3 + 1), 0, n / 3 / COLS, n / 3 % COLS,
                     n % 3);
    const kf_node *one = kf_make(&g, KF_ELEM, &v, (int64_t[]){4});
    evaluate(1, &one, vars.source, ROWS, COLS, got);
    for (int n = 0; n < ROWS * COLS; n++)
        expect_close("Elem", got[n], at(v, n / COLS, n % COLS, 4), 0, n / COLS, n % COLS, 0);
    free(got);
}
END_TEST

START_TEST(sums_of_components_are_compensated_and_keep_infinities)
{
    static const double rows[][4] = {{1e16, 1, -1e16, 1},
                                     {INFINITY, 1, 2, 3},
                                     {-INFINITY, 1, INFINITY, 1},
                                     {1, 2, NAN, 3},
                                     {1e-3, 1e17, 1e-3, -1e17}};
    static const double want[] = {2, INFINITY, NAN, NAN, 2e-3};
    kf_role role = (kf_role)_i;
    const kf_node *f = kf_unary(&g, KF_SUM, kf_var(&g, 0, 4, role));
    for (int k = 0; k < 5; k++) {
        double got[5];
        kf_source source = {rows[k], KCL_F64, 0, 8};
        evaluate(1, &f, &source, 1, 5, got);
        for (int c = 0; c < 5; c++)
            ck_assert_msg(got[c] == want[k] || (isnan(got[c]) && isnan(want[k])), "row %d: %.17g, not %g", k, got[c],
                          want[k]);
    }
}
END_TEST

START_TEST(constants_zeros_and_like_have_their_values)
{
    const kf_node *y = variable(KF_ROLE_J, 2, 10, -2, 2), *x = variable(KF_ROLE_I, 2, 10, -2, 2);
    const kf_node *f[] = {kf_like(&g, kf_zero(&g, 2), y), kf_like(&g, x, y),
                          kf_binary(&g, KF_ADD, kf_zero(&g, 2), kf_rat(&g, -1, 3)),
                          kf_binary(&g, KF_MULT, kf_like(&g, kf_num(&g, 0.1), y), kf_like(&g, x, y))};
    double got[4][3][7][2];
    evaluate(4, f, vars.source, 3, 7, &got[0][0][0][0]);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 7; j++)
            for (int k = 0; k < 2; k++) {
                ck_assert(got[0][i][j][k] == 0);
                ck_assert(got[1][i][j][k] == at(x, i, j, k));
                ck_assert(got[2][i][j][k] == -1.0 / 3);
                ck_assert(got[3][i][j][k] == 0.1 * at(x, i, j, k));
            }
}
END_TEST

START_TEST(results_of_reductions_are_read_per_row)
{
    const kf_node *x = variable(KF_ROLE_I, 2, 4, -2, 2), *s = variable(KF_ROLE_P, 1, 1, 1, 2);
    const kf_node *acc1 = kf_acc(&g, 1, 2, KF_REAL), *acc0 = kf_acc(&g, 0, 1, KF_REAL), *at1 = kf_acc(&g, 1, 2, KF_INT);
    const kf_node *f = kf_binary(&g, KF_ADD, kf_binary(&g, KF_DIVIDE, acc1, acc0), kf_binary(&g, KF_MULT, x, s));
    f = kf_binary(&g, KF_ADD, f, at1);
    kf_interp *interp = compiled(1, &f);
    kf_frame *frame = framed(interp);
    kf_frame_launch(frame, vars.source);
    for (int i = 0; i < 4; i++) {
        double a = 3 + i, b[] = {7.5 * i, -i}, numbers[] = {i, 7};
        kf_frame_row(frame, i, (const double *const[]){&a, NULL, b, numbers});
        for (int k = 0; k < 2; k++) {
            int stride;
            double got = *kf_frame_value(frame, 0, k, &stride);
            ck_assert_int_eq(stride, 0);
            ck_assert(got == b[k] / a + at(x, i, 0, k) * at(s, 0, 0, 0) + numbers[k]);
        }
    }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
}
END_TEST

START_TEST(reductions_are_refused_by_name)
{
    kf_interp *interp = (kf_interp *)&g;
    const kf_node *f = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_var(&g, 0, 3, KF_ROLE_J));
    f = kf_unary(&g, KF_EXP, f);
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(kf_interp_create(&interp, &g, 1, &f, &err), KCL_ERROR_INTERNAL);
    ck_assert_ptr_null(interp);
    ck_assert_ptr_nonnull(strstr(err.text, "Reduction"));
    ck_assert_ptr_nonnull(strstr(err.text, "3"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interp");
    TCase *tests = tcase_create("interp");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, elementwise_operators_agree_with_long_double_on_every_axis_and_broadcast, 0,
                        KF_OP_COUNT);
    tcase_add_test(tests, elementwise_operators_have_their_mathematical_values);
    tcase_add_loop_test(tests, copies_put_components_where_they_belong, 0, 9);
    tcase_add_loop_test(tests, sums_of_components_are_compensated_and_keep_infinities, 0, 3);
    tcase_add_test(tests, constants_zeros_and_like_have_their_values);
    tcase_add_test(tests, results_of_reductions_are_read_per_row);
    tcase_add_test(tests, reductions_are_refused_by_name);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
