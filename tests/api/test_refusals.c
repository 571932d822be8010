/* SPDX-License-Identifier: MIT */
/* What expressions and operators refuse, and the sentence of every error. */
#include "fixture.h"

/* ---- Errors of expressions --------------------------------------------------------------------------------------- */

START_TEST(test_without_a_scope)
{
    double a[3] = {1, 2, 3};
    kcl_expr *const all[] = {kcl_vi(NULL, kcl_f64(a, 3)),
                             kcl_vj(NULL, kcl_f64(a, 3)),
                             kcl_pm(NULL, kcl_f64(a, 3)),
                             kcl_lazy(NULL, kcl_f64(a, 3)),
                             kcl_scalar(NULL, 1),
                             kcl_constant(NULL, 1),
                             kcl_zero(NULL, 3),
                             kcl_formula(NULL, "x", 0, NULL, NULL),
                             kcl_vi_data(NULL, NULL),
                             kcl_exp(NULL),
                             kcl_add(NULL, NULL),
                             kcl_reduce_sum(NULL, KCL_OVER_I),
                             kcl_pow(NULL, 2),
                             kcl_dot(NULL, NULL),
                             kcl_transpose(NULL),
                             kcl_grad(NULL, NULL),
                             kcl_vjp(NULL, NULL, NULL)};
    for (size_t k = 0; k < KB_COUNT(all); k++) {
        ck_assert_ptr_nonnull(all[k]);
        ck_assert_int_eq(kcl_expr_status(all[k]), KCL_ERROR_ARGUMENT);
        CONTAINS(kcl_expr_error(all[k]), "without a scope", "kcl_scope_create");
        ck_assert_int_eq(kcl_eval1(all[k], kcl_f64(a, 3)), KCL_ERROR_ARGUMENT);
    }
    ck_assert_int_eq(kcl_expr_status(NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(NULL), "NULL");
    ck_assert_ptr_null(kcl_data_create(NULL, kcl_f64(a, 3)));
    ck_assert_ptr_null(kcl_scope_create(NULL));
    kcl_scope_reset(NULL);
    kcl_scope_destroy(NULL);
    kcl_scope *none = NULL;
    kcl_scope_destroy(&none);
    /* Built with an operand of a scope, the first error is kept, and evaluation can tell it. */
    IS_ERROR(kcl_add(kcl_vi(s, kcl_f64(a, 3)), NULL), KCL_ERROR_ARGUMENT, "operand 2 of 2", "NULL");
}
END_TEST

START_TEST(test_operands_that_do_not_belong_together)
{
    double a[6] = {1, 2, 3}, out[6];
    kcl_scope *other = kcl_scope_create(c);
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 3)), *v = kcl_vj(other, kcl_f64(a, 3));
    IS_ERROR(kcl_add(v, u), KCL_ERROR_ARGUMENT, "operand 2 of 2", "another scope than operand 1");
    CALL_FAILS(
        kcl_eval(2, (kcl_expr *[]){u, kcl_transpose(v)}, (const kcl_array *[]){kcl_f64(out, 3), kcl_f64(out, 3)}),
        KCL_ERROR_ARGUMENT, "expression 1", "another scope");
    IS_ERROR(kcl_vi_data(s, kcl_data_create(other, kcl_f64(a, 3))), KCL_ERROR_ARGUMENT, "another scope");
    IS_ERROR(kcl_vi_data(s, NULL), KCL_ERROR_ARGUMENT, "NULL");
    IS_ERROR(kcl_formula(s, "x", 1, (const char *[]){"x"}, &v), KCL_ERROR_ARGUMENT, "\"x\"", "another scope");
    kcl_scope_destroy(&other);
    kcl_expr *x3 = kcl_vi(s, kcl_f64(a, 2, 3)), *x2 = kcl_vj(s, kcl_f64(a, 3, 2));
    IS_ERROR(kcl_add(x3, x2), KCL_ERROR_SHAPE, "kcl_add", "3", "2");
    IS_ERROR(kcl_sqdist(x3, x2), KCL_ERROR_SHAPE, "3", "2");
    IS_ERROR(kcl_dot(x3, x2), KCL_ERROR_SHAPE, "3", "2");
    IS_ERROR(kcl_elem(x3, 3), KCL_ERROR_SHAPE, "kcl_elem", "index 3");
    IS_ERROR(kcl_elem(x3, -4), KCL_ERROR_SHAPE, "kcl_elem", "index -4");
    IS_ERROR(kcl_extract(x3, 2, 2), KCL_ERROR_SHAPE, "kcl_extract", "2", "3");
    IS_ERROR(kcl_repeat(x3, 4), KCL_ERROR_SHAPE, "kcl_repeat", "3");
    IS_ERROR(kcl_zero(s, 0), KCL_ERROR_SHAPE, "0");
    IS_ERROR(kcl_constant(s, NAN), KCL_ERROR_ARGUMENT, "nan");
    IS_ERROR(kcl_reduce_sum(x3, (kcl_axes)0), KCL_ERROR_ARGUMENT, "kcl_reduce_sum", "0", "KCL_OVER_BOTH");
    IS_ERROR(kcl_reduce_sum(x3, (kcl_axes)4), KCL_ERROR_ARGUMENT, "kcl_reduce_sum", "4");
    /* After errors the scope works. */
    eval_ok(kcl_mul(u, u), kcl_f64(out, 3));
    ck_assert_double_eq(out[2], 9);
}
END_TEST

START_TEST(test_arrays_that_are_none)
{
    double a[6] = {0}, out[6];
    IS_ERROR(kcl_vi(s, NULL), KCL_ERROR_ARGUMENT, "array 0", "NULL");
    IS_ERROR(kcl_vi(s, kcl_f64(a, -2, 3)), KCL_ERROR_ARGUMENT, "array 1", "sizes of 0 or more");
    IS_ERROR(kcl_vi(s, kcl_f64(a, INT64_MAX, 3)), KCL_ERROR_ARGUMENT, "array 2", "64-bit");
    IS_ERROR(kcl_vi(s, kcl_f64(a, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)), KCL_ERROR_ARGUMENT, "array 3", "9 axes");
    const kcl_array negative = {.data = a, .dtype = KCL_F64, .ndim = 2, .shape = {-2, 3}, .stride = {24, 8}},
                    huge = {.data = a, .dtype = KCL_F64, .ndim = 2, .shape = {INT64_MAX / 2, 3}, .stride = {24, 8}};
    IS_ERROR(kcl_vi(s, &negative), KCL_ERROR_ARGUMENT, "array 4", "axis 0", "-2");
    IS_ERROR(kcl_vi(s, &huge), KCL_ERROR_ARGUMENT, "array 5", "axes 0 to 1");
    IS_ERROR(kcl_vi(s, kcl_f64(NULL, 2, 3)), KCL_ERROR_ARGUMENT, "array 6", "NULL", "6 elements");
    const kcl_array odd = {.data = a, .dtype = (kcl_dtype)17, .ndim = 1, .shape = {3}, .stride = {8}};
    IS_ERROR(kcl_vi(s, &odd), KCL_ERROR_TYPE, "array 7", "float32 or float64");
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 2, 3));
    CALL_FAILS(kcl_eval1(u, NULL), KCL_ERROR_ARGUMENT, "output 0", "missing");
    CALL_FAILS(kcl_eval(1, &u, NULL), KCL_ERROR_ARGUMENT, "outputs");
    CALL_FAILS(kcl_eval1(u, kcl_f64(NULL, 2, 3)), KCL_ERROR_ARGUMENT, "output 0", "NULL");
    CALL_FAILS(kcl_eval1(u, kcl_f64(out, -2, 3)), KCL_ERROR_ARGUMENT, "output 0", "sizes of 0 or more");
    CALL_FAILS(kcl_eval1(u, &odd), KCL_ERROR_TYPE, "output 0");
    CALL_FAILS(kcl_eval(2, (kcl_expr *[]){u, NULL}, (const kcl_array *[]){kcl_f64(out, 2, 3), kcl_f64(out, 2)}),
               KCL_ERROR_ARGUMENT, "expression 1", "NULL");
    ck_assert_int_eq(kcl_eval(0, &u, (const kcl_array *[]){kcl_f64(out, 2, 3)}), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_eval(-1, &u, (const kcl_array *[]){kcl_f64(out, 2, 3)}), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_eval(1, NULL, NULL), KCL_ERROR_ARGUMENT);
}
END_TEST

START_TEST(test_lengths_and_types_that_disagree)
{
    double a[15] = {0}, out[25];
    float single[15] = {0}, narrow[5];
    int64_t index[4];
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 5, 3)), *v = kcl_vi(s, kcl_f64(a, 4, 3)), *w = kcl_vj(s, kcl_f64(a, 4, 3));
    CALL_FAILS(kcl_eval1(kcl_add(u, v), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH, "array 0", "array 1", "5", "4",
               "axis i");
    CALL_FAILS(kcl_sum(kcl_mul(kcl_vj(s, kcl_f64(a, 5, 3)), kcl_mul(w, u)), KCL_OVER_J, kcl_f64(out, 5, 3)),
               KCL_ERROR_LENGTH, "5", "4", "axis j");
    CALL_FAILS(kcl_eval1(kcl_add(u, kcl_reduce_sum(kcl_mul(v, w), KCL_OVER_J)), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH,
               "5", "4", "axis i");
    /* The axis is the one that was written, even if sweeps exchange the two. */
    kcl_expr *z = kcl_vj(s, kcl_f64(a, 5, 3));
    CALL_FAILS(kcl_sum(kcl_mul(w, kcl_add(u, v)), KCL_OVER_I, kcl_f64(out, 4, 3)), KCL_ERROR_LENGTH,
               "array 0 (kcl_vi of shape (5, 3)) has 5", "array 1 (kcl_vi of shape (4, 3)) has 4", "axis i");
    CALL_FAILS(kcl_argmin(kcl_sqdist(kcl_add(u, v), w), KCL_OVER_I, kcl_i64(index, 4)), KCL_ERROR_LENGTH,
               "array 0 (kcl_vi of shape (5, 3)) has 5", "array 1 (kcl_vi of shape (4, 3)) has 4", "axis i");
    CALL_FAILS(kcl_sum(kcl_mul(u, kcl_mul(w, z)), KCL_OVER_I, kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH,
               "array 2 (kcl_vj of shape (4, 3)) has 4", "5", "axis j");
    CALL_FAILS(kcl_eval1(kcl_add(w, z), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH, "array 2 (kcl_vj of shape (4, 3)) has 4",
               "5", "axis j");
    CALL_FAILS(kcl_eval1(kcl_add(z, kcl_reduce_sum(kcl_mul(u, w), KCL_OVER_I)), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH,
               "5", "array 2 (kcl_vj of shape (4, 3)) has 4", "axis j");
    CALL_FAILS(
        kcl_sum(kcl_mul(z, kcl_reduce_sum(kcl_mul(v, kcl_add(w, z)), KCL_OVER_J)), KCL_OVER_I, kcl_f64(out, 5, 3)),
        KCL_ERROR_LENGTH, "array 2 (kcl_vj of shape (4, 3)) has 4", "5", "axis j");
    CALL_FAILS(kcl_eval1(kcl_add(w, kcl_transpose(u)), kcl_f64(out, 5, 3)), KCL_ERROR_LENGTH,
               "array 2 (kcl_vj of shape (4, 3)) has 4", "array 0 (kcl_vi of shape (5, 3)) has 5", "axis j");
    CALL_FAILS(kcl_eval1(u, kcl_f64(out, 4, 3)), KCL_ERROR_LENGTH, "output 0", "(4, ", "(5, ", "4 rows, and 5");
    CALL_FAILS(kcl_eval1(u, kcl_f64(out, 5, 2)), KCL_ERROR_SHAPE, "output 0", "(5, 2)", "(M, 3)");
    CALL_FAILS(kcl_eval1(w, kcl_f64(out, 4, 2)), KCL_ERROR_SHAPE, "output 0", "(4, 2)", "3");
    CALL_FAILS(kcl_eval1(kcl_sqdist(u, w), kcl_f64(out, 5, 4)), KCL_ERROR_SHAPE, "both i and j", "reduce");
    CALL_FAILS(kcl_eval1(u, kcl_f32(single, 5, 3)), KCL_ERROR_TYPE,
               "output 0 is float32, array 0 (kcl_vi of shape (5, 3)) is float64");
    kcl_expr *f = kcl_vi(s, kcl_f32(single, 5));
    CALL_FAILS(kcl_eval1(kcl_mul(u, f), kcl_f64(out, 5, 3)), KCL_ERROR_TYPE, "float32", "float64");
    CALL_FAILS(kcl_eval(2, (kcl_expr *[]){u, f}, (const kcl_array *[]){kcl_f64(out, 5, 3), kcl_f32(narrow, 5)}),
               KCL_ERROR_TYPE, "array 5 (kcl_vi of shape (5)) is float32, array 0 (kcl_vi of shape (5, 3)) is float64");
    kcl_expr *number = kcl_scalar(s, 2);
    CALL_FAILS(kcl_eval(2, (kcl_expr *[]){number, kcl_square(number)},
                        (const kcl_array *[]){kcl_f64(out, 1), kcl_f32(narrow, 1)}),
               KCL_ERROR_TYPE, "output 1 is float32, output 0 is float64");
    eval_ok(kcl_square(u), kcl_f64(out, 5, 3));
}
END_TEST

START_TEST(test_formula_texts)
{
    double a[6] = {1, 2, 3, 4, 5, 6}, out[2];
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 2, 3)), *bad = kcl_elem(u, 9);
    const char *const names[] = {"x", "y"};
    kcl_expr *values[] = {u, u};
    IS_ERROR(kcl_formula(s, "Exp(x", 1, names, values), KCL_ERROR_SYNTAX, "Exp(x", "^", "\n");
    IS_ERROR(kcl_formula(s, "x + z", 1, names, values), KCL_ERROR_SYNTAX, "z", "x + z", "^");
    IS_ERROR(kcl_formula(s, "x + Nonsense(x)", 1, names, values), KCL_ERROR_SYNTAX, "Nonsense", "^");
    IS_ERROR(kcl_formula(s, "Elem(x,7)", 1, names, values), KCL_ERROR_SHAPE, "Elem", "7", "0 and 2", "^");
    IS_ERROR(kcl_formula(s, NULL, 1, names, values), KCL_ERROR_ARGUMENT, "kcl_formula");
    IS_ERROR(kcl_formula(s, "x", 1, NULL, values), KCL_ERROR_ARGUMENT, "kcl_formula");
    IS_ERROR(kcl_formula(s, "x", -1, names, values), KCL_ERROR_ARGUMENT, "kcl_formula");
    IS_ERROR(kcl_formula(s, "x", 1, (const char *[]){NULL}, values), KCL_ERROR_ARGUMENT, "0 is NULL");
    IS_ERROR(kcl_formula(s, "x", 1, names, &bad), KCL_ERROR_SHAPE, "kcl_elem", "9");
    CALL_FAILS(kcl_eval1(kcl_formula(s, "x*Var(77,1,2)", 1, names, values), kcl_f64(a, 2, 3)), KCL_ERROR_ARGUMENT,
               "Var(77,1,2)", "no data");
    /* Vectors of another length than the array has. */
    CALL_FAILS(kcl_eval1(kcl_formula(s, "Sum(Var(0,5,0))", 0, NULL, NULL), kcl_f64(out, 2)), KCL_ERROR_SHAPE,
               "dimension 3", "dimension 5");
    CALL_FAILS(kcl_eval1(kcl_formula(s, "Sum(Var(0,2,0))", 0, NULL, NULL), kcl_f64(out, 2)), KCL_ERROR_SHAPE,
               "dimension 3", "dimension 2");
    eval_ok(kcl_formula(s, "SqNorm2(x)", 1, names, values), kcl_f64(out, 2));
    ck_assert_double_eq(out[1], 16 + 25 + 36);
}
END_TEST

START_TEST(test_deep_nesting)
{
    double a[] = {1, 2}, out[2];
    enum { DEEP = 100000 };
    kcl_expr *u = kcl_vi(s, kcl_f64(a, 2)), *f = u;
    for (int k = 0; k < DEEP; k++)
        f = kcl_sin(f);
    eval_ok(f, kcl_f64(out, 2));
    double want = 2;
    for (int k = 0; k < DEEP; k++)
        want = sin(want);
    ck_assert_double_eq_tol(out[1], want, 1e-12);
    kcl_expr *g = kcl_grad(kcl_reduce_sum(f, KCL_OVER_I), u);
    ck_assert_msg(kcl_expr_status(g) == KCL_OK, "%s", kcl_expr_error(g));
    char *text = malloc(200001);
    memset(text, '(', 100000);
    memset(text + 100000, ')', 100000);
    text[200000] = 0;
    kcl_expr *nested = kcl_formula(s, text, 0, NULL, NULL);
    ck_assert_int_eq(kcl_expr_status(nested), KCL_ERROR_SYNTAX);
    CONTAINS(kcl_expr_error(nested), "500", "^");
    free(text);
}
END_TEST

/* Every public function on a context that could not be made. */
START_TEST(test_context_that_could_not_be_made)
{
    kcl_context *broken;
    double a[3] = {1, 2, 3};
    ck_assert_int_eq(kcl_context_create(&broken, &(kcl_context_params){.device = "no such device"}),
                     KCL_ERROR_NO_DEVICE);
    kcl_scope *scope = kcl_scope_create(broken);
    ck_assert_ptr_nonnull(scope);
    kcl_expr *f = kcl_square(kcl_vi(scope, kcl_f64(a, 3)));
    ck_assert_int_eq(kcl_eval1(f, kcl_f64(a, 3)), KCL_ERROR_NO_DEVICE);
    CONTAINS(kcl_context_error(broken), "no such device");
    kcl_operator *op;
    const char *const aliases[] = {"x=Vi(1)"};
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(x,1)", 1, aliases, NULL), KCL_OK);
    const kcl_array *in = kcl_f64(a, 3), *out = kcl_f64(a, 1);
    ck_assert_int_eq(kcl_operator_apply(op, broken, &out, 1, &in, 1), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_operator_apply(op, NULL, &out, 1, &in, 1), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_emit(op, broken, NULL, KCL_F32, 5, 5, collect, NULL), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_operator_describe(op, NULL, KCL_F32, 5, 5, collect, NULL), KCL_ERROR_UNSUPPORTED);
    kcl_operator_destroy(&op);
    kcl_scope_destroy(&scope);
    kcl_context_destroy(&broken);
}
END_TEST

/* ---- Errors of operators ----------------------------------------------------------------------------------------- */

static void create_fails(const char *formula, int count, const char *const *aliases, const kcl_operator_params *params,
                         kcl_status status, const char *const *parts)
{
    kcl_operator *op;
    kcl_status got = kcl_operator_create(&op, formula, count, aliases, params);
    ck_assert_msg(got == status, "%s: %s", kcl_status_name(got), kcl_operator_error(op));
    ck_assert_ptr_nonnull(op);
    contains(kcl_operator_error(op), parts);
    /* It tells the same to whoever uses it. */
    double out;
    const kcl_array *outs[] = {kcl_f64(&out, 1)};
    ck_assert_int_eq(kcl_operator_apply(op, c, outs, 1, outs, 0), status);
    ck_assert_str_eq(kcl_context_error(c), kcl_operator_error(op));
    ck_assert_int_eq(kcl_operator_print(op, collect, NULL), status);
    kcl_operator_destroy(&op);
}
#define CREATE_FAILS(formula, count, aliases, params, status, ...)                                                     \
    create_fails(formula, count, aliases, params, status, (const char *const[]){__VA_ARGS__, NULL})
#define ALIASES(...) ((const char *const[]){__VA_ARGS__})

START_TEST(test_operators_that_cannot_be_made)
{
    CREATE_FAILS("Sum_Reduction(Exp(x,0)", 1, ALIASES("x=Vi(3)"), NULL, KCL_ERROR_SYNTAX, "Sum_Reduction(Exp(x,0)",
                 "\n", "^");
    CREATE_FAILS("Sum_Reduction(x+why,0)", 1, ALIASES("x=Vi(3)"), NULL, KCL_ERROR_SYNTAX, "why", "^");
    CREATE_FAILS("Sum_Reduction(x+y,0)", 2, ALIASES("x=Vi(3)", "y=Vj(2)"), NULL, KCL_ERROR_SHAPE, "3", "2");
    CREATE_FAILS("Sum_Reduction(x+y,0)", 2, ALIASES("x=Vi(0,3)", "y=Vi(0,2)"), NULL, KCL_ERROR_ARGUMENT, "number 0",
                 "dimension 3", "dimension 2");
    CREATE_FAILS("Sum_Reduction(x+y,0)", 2, ALIASES("x=Vi(0,3)", "y=Vj(0,3)"), NULL, KCL_ERROR_ARGUMENT, "number 0",
                 "role i", "role j");
    CREATE_FAILS("Sum_Reduction(x+y,0)", 2, ALIASES("x=Vi(0,3)", "y=Vi(0,3)"), NULL, KCL_ERROR_ARGUMENT, "two names",
                 "\"x\"", "\"y\"");
    CREATE_FAILS("Sum_Reduction(x,0)", 2, ALIASES("x=Vi(3)", "x=Vj(3)"), NULL, KCL_ERROR_ARGUMENT, "\"x\"", "twice");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(2,3)"), NULL, KCL_ERROR_ARGUMENT, "number 0");
    CREATE_FAILS("Sum_Reduction(x+Var(0,2,0),0)", 1, ALIASES("x=Vi(1)"), NULL, KCL_ERROR_SHAPE, "Vi(0,1)", "Vi(0,2)",
                 "^");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(70000,3)"), NULL, KCL_ERROR_SHAPE, "65535");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Foo(3)"), NULL, KCL_ERROR_SYNTAX, "x=Foo(3)", "^");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES(NULL), NULL, KCL_ERROR_ARGUMENT, "alias 0 is NULL");
    CREATE_FAILS("Sum_Reduction(x,0)", 2, NULL, NULL, KCL_ERROR_ARGUMENT, "alias 0 is NULL");
    CREATE_FAILS("Sum_Reduction(x,0)", -1, NULL, NULL, KCL_ERROR_ARGUMENT, "negative");
    CREATE_FAILS(NULL, 0, NULL, NULL, KCL_ERROR_ARGUMENT, "NULL");
    CREATE_FAILS("", 0, NULL, NULL, KCL_ERROR_SYNTAX, "empty");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(3)"), &(kcl_operator_params){.schedule = "diagonal"},
                 KCL_ERROR_ARGUMENT, "\"diagonal\"", "\"rows\"", "\"columns\"");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(3)"), &(kcl_operator_params){.math = "quick"},
                 KCL_ERROR_ARGUMENT, "math \"quick\"", "\"precise\"", "\"fast\"");
    CREATE_FAILS("Sum_Reduction(x,0)", 1, ALIASES("x=Vi(3)"), &(kcl_operator_params){.form = "norms"},
                 KCL_ERROR_ARGUMENT, "\"norms\"", "\"auto\"", "\"differences\"", "\"expanded\"");
    ck_assert_int_eq(kcl_operator_create(NULL, gauss, 4, gauss_aliases, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_grad(NULL, NULL, "x"), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_input_count(NULL), 0);
    ck_assert_int_eq(kcl_operator_output_count(NULL), 0);
    CONTAINS(kcl_operator_error(NULL), "NULL");
}
END_TEST

/* The interpreter refuses the schedules that CPUs would refuse, and takes all others. */
START_TEST(test_schedules_that_others_refuse)
{
    static const struct {
        const char *schedule, *formula, *why; /* NULL: it can be run */
    } cases[] = {
        {"columns", "Sum_Reduction(x|y,2)", "cannot reduce both axes"},
        {"contraction", "Sum_Reduction(x|y,2)", "cannot reduce both axes"},
        {"contraction", "Sum_Reduction(x-y,0)", "its terms are vectors"},
        {"contraction", "Sum_Reduction(Sum(x)*Sum(y),1)", "no sum over the components"},
        {"contraction", "KMin_Reduction(x|y,2,0)", "keep a list"},
        {"contraction", "Sum_Reduction(Exp(x|y),0);Sum_Reduction(Sum(x)*Sum(y),1)", "no sum over the components"},
        {"contraction", "Sum_Reduction(x|y,0)", NULL},
        {"contraction", "Sum_Reduction(x|y,1)", NULL},
        {"columns", "Sum_Reduction(x|y,0)", NULL},
        {"split", "Sum_Reduction(x|y,2)", NULL},
        {"rows", "Sum_Reduction(x|y,2)", NULL},
        {"lanes", "Sum_Reduction(x|y,1)", NULL},
    };
    /* x|y of the two rows is 1*1 + 2*2 = 5 and 3*1 + 4*2 = 11. */
    double x[4] = {1, 2, 3, 4}, y[2] = {1, 2};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        double out[8] = {0}, more[8];
        kcl_operator *op;
        const kcl_array *const args[] = {kcl_f64(x, 2, 2), kcl_f64(y, 1, 2)};
        const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)"}, *const formula = cases[k].formula;
        ck_assert_int_eq(
            kcl_operator_create(&op, formula, 2, aliases, &(kcl_operator_params){.schedule = cases[k].schedule}),
            KCL_OK);
        const int axis = formula[strlen(formula) - 2] - '0', dim = strchr(formula, '-') || formula[0] == 'K' ? 2 : 1;
        const kcl_array *const outs[] = {
            strchr(formula, ';') || axis == 0 ? kcl_f64(out, 2, dim) : kcl_f64(out, 1, dim), kcl_f64(more, 1)};
        const kcl_status status = kcl_operator_apply(op, c, outs, kcl_operator_output_count(op), args, 2);
        ck_assert_msg(status == (cases[k].why ? KCL_ERROR_UNSUPPORTED : KCL_OK), "case %zu: %s", k,
                      kcl_context_error(c));
        if (cases[k].why)
            CONTAINS(kcl_context_error(c), cases[k].schedule, cases[k].why);
        else
            ck_assert_double_eq(out[0], axis == 0 ? 5 : 16);
        kcl_operator_destroy(&op);
    }
}
END_TEST

START_TEST(test_arguments_that_do_not_fit)
{
    kcl_operator *op = make(gauss, 4, gauss_aliases);
    double a[15] = {0}, out[5];
    float single[5];
    const kcl_array *xs = kcl_f64(a, 5, 3), *ys = kcl_f64(a, 4, 3), *bs = kcl_f64(a, 4), *g = kcl_f64(a, 1);
    const kcl_array *good[] = {xs, ys, bs, g, g}, *outs[] = {kcl_f64(out, 5), kcl_f64(out, 5)};
#define APPLY(out_array, ...)                                                                                          \
    kcl_operator_apply(op, c, (const kcl_array *[]){out_array}, 1, (const kcl_array *[]){__VA_ARGS__}, 4)
    ck_assert_int_eq(kcl_operator_apply(op, c, outs, 1, good, 4), KCL_OK);
    CALL_FAILS(kcl_operator_apply(op, c, outs, 1, good, 3), KCL_ERROR_ARGUMENT, "4 arguments", "3 were given",
               "argument \"g\"");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 1, good, 5), KCL_ERROR_ARGUMENT, "4 arguments", "5 were given",
               "too many");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 1, good, -1), KCL_ERROR_ARGUMENT, "4 arguments");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 2, good, 4), KCL_ERROR_ARGUMENT, "1 outputs", "2 were given");
    CALL_FAILS(kcl_operator_apply(op, c, NULL, 1, good, 4), KCL_ERROR_ARGUMENT, "1 outputs", "0 were given");
    CALL_FAILS(kcl_operator_apply(op, c, outs, 1, NULL, 4), KCL_ERROR_ARGUMENT, "arguments is NULL");
    CALL_FAILS(kcl_operator_apply(NULL, c, outs, 1, good, 4), KCL_ERROR_ARGUMENT, "operator is NULL");
    CALL_FAILS(APPLY(outs[0], xs, NULL, bs, g), KCL_ERROR_ARGUMENT, "argument \"y\"", "missing");
    CALL_FAILS(APPLY(NULL, xs, ys, bs, g), KCL_ERROR_ARGUMENT, "output 0", "missing");
    CALL_FAILS(APPLY(outs[0], xs, kcl_f64(a, 4, 2), bs, g), KCL_ERROR_SHAPE, "argument \"y\"", "(4, 2)", "j-variable",
               "dimension 3", "(N, 3)");
    CALL_FAILS(APPLY(outs[0], xs, ys, bs, kcl_f64(a, 2)), KCL_ERROR_SHAPE, "argument \"g\"", "(2)", "parameter");
    CALL_FAILS(APPLY(outs[0], xs, ys, kcl_f64(a, 3), g), KCL_ERROR_LENGTH, "argument \"y\"", "argument \"b\"", "4 rows",
               "has 3", "axis j");
    CALL_FAILS(APPLY(kcl_f64(out, 4), xs, ys, bs, g), KCL_ERROR_LENGTH, "output 0", "(4, ", "(5, ", "4 rows, and 5");
    CALL_FAILS(APPLY(outs[0], xs, ys, kcl_f32(single, 4), g), KCL_ERROR_TYPE,
               "argument \"b\" is float32, argument \"x\" is float64");
    CALL_FAILS(APPLY(kcl_f32(single, 5), xs, ys, bs, g), KCL_ERROR_TYPE,
               "output 0 is float32, argument \"x\" is float64");
    CALL_FAILS(APPLY(outs[0], kcl_f64(a, -5, 3), ys, bs, g), KCL_ERROR_ARGUMENT, "argument \"x\"",
               "sizes of 0 or more");
    CALL_FAILS(APPLY(outs[0], kcl_f64(a, INT64_MAX / 4, 3), ys, bs, g), KCL_ERROR_ARGUMENT, "argument \"x\"", "64-bit");
    CALL_FAILS(APPLY(outs[0], kcl_f64(NULL, 5, 3), ys, bs, g), KCL_ERROR_ARGUMENT, "argument \"x\"", "NULL");
    ck_assert_int_eq(kcl_operator_apply(op, c, outs, 1, good, 4), KCL_OK);
    /* A result of one row per i has the length of the call, even if the formula has no i. */
    kcl_operator *flat = make("Sum_Reduction(g*g,0)", 2, ALIASES("x=Vi(3)", "g=Pm(1)"));
    a[0] = 3;
    ck_assert_msg(kcl_operator_apply(flat, c, outs, 1, (const kcl_array *[]){xs, g}, 2) == KCL_OK, "%s",
                  kcl_context_error(c));
    for (int k = 0; k < 5; k++)
        ck_assert_double_eq(out[k], 9);
    kcl_operator_destroy(&flat);
    kcl_operator_destroy(&op);
}
END_TEST

int main(void)
{
    const test_entry tests[] = {
        {test_without_a_scope, 0},
        {test_operands_that_do_not_belong_together, 0},
        {test_arrays_that_are_none, 0},
        {test_lengths_and_types_that_disagree, 0},
        {test_formula_texts, 0},
        {test_deep_nesting, 0},
        {test_context_that_could_not_be_made, 0},
        {test_operators_that_cannot_be_made, 0},
        {test_schedules_that_others_refuse, 0},
        {test_arguments_that_do_not_fit, 0},
    };
    return run_entries("refusals", tests, KB_COUNT(tests), setup, teardown);
}
