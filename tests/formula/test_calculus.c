/* SPDX-License-Identifier: MIT */
/*
 * Diff, GradMatrix, Divergence, Laplacian and linear operators against the matrix of differences of values by
 * definition (dense.h), for each pair. test_derive.c tests their derivatives.
 */
#include "calculus.h"
#include "dense.h"
#include "derive.h"
#include "text.h"

enum { ROWS = 3, COLUMNS = 2, PAIRS = ROWS * COLUMNS, MOST = 12 };

static kf_graph g;
static dense d;
static kf_binding bindings[4]; /* x, y: 3; s: 1; u: 3 */

static void setup(void)
{
    dense_init(&d, &g, ROWS, COLUMNS, 1);
}

static void teardown(void)
{
    dense_finish(&d);
}

/* x is an i-variable, a j-variable or a parameter; the others go on from there. */
static void bind_variables(int role)
{
    dense_finish(&d);
    dense_init(&d, &g, ROWS, COLUMNS, (uint64_t)role + 1);
    const char *const names[] = {"x", "y", "s", "u"};
    for (int k = 0; k < 4; k++)
        bindings[k] = (kf_binding){names[k], dense_var(&d, (kf_role)((role + k) % 3), k == 2 ? 1 : 3, 0.3, 2)};
}

static kcl_status parse(const char *text, const kf_node **f, kb_error *err)
{
    int64_t next = DENSE_VARS;
    return kf_parse_formula(&g, text, KB_COUNT(bindings), bindings, &next, f, err);
}

KB_PRINTF(1, 2) static const kf_node *formula(const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    kb_error err = {0};
    const kf_node *f = NULL;
    ck_assert_msg(parse(text, &f, &err) == KCL_OK, "%s", err.text);
    return f;
}

static const kf_node *variable(const char *name)
{
    for (size_t k = 0; k < KB_COUNT(bindings); k++)
        if (strcmp(bindings[k].name, name) == 0)
            return bindings[k].value;
    return NULL;
}

typedef long double matrix[PAIRS][MOST][MOST]; /* [pair][component of F][component of v] */

/* dF/dv by differences of the fourth order. */
static void matrix_of(const kf_node *F, const kf_node *v, matrix J)
{
    static const long double steps[] = {1, -1, 2, -2}, weights[] = {8, -8, -1, 1}, h = 1e-4L;
    ck_assert_int_le(F->dim, MOST);
    memset(J, 0, sizeof(matrix));
    d.moved_leaf = v;
    for (int64_t k = 0; k < v->dim; k++)
        for (size_t n = 0; n < KB_COUNT(steps); n++) {
            d.moved_component = k;
            d.step = steps[n] * h;
            long double *value = dense_eval(&d, F);
            for (int at = 0; at < PAIRS; at++)
                for (int64_t m = 0; m < F->dim; m++)
                    J[at][m][k] += weights[n] * value[at * F->dim + m] / (12 * h);
            free(value);
        }
    d.moved_leaf = NULL;
    d.step = 0;
}

static void near(const char *what, const char *F, long double got, long double want)
{
    ck_assert_msg(fabs(got - want) <= 1e-8L * (1 + fabs(want)), "%s of %s: %.12Lg, by differences %.12Lg", what, F, got,
                  want);
}

/* ---- Any formula ------------------------------------------------------------------------------------------------- */

static const char *const formulas[] = {
    "x*y",
    "Sin(x)*Exp(-SqDist(x,y)*s)*y",
    "x/Norm2(x-y)+s",
    "Concat(x*y,Sum(x)*x)",
    "SqDist(x,y)",
    "s*Elem(x,1)*Elem(x,2)",
    "SumT((x|y),3)*Square(x)+SumT(Sum(Cos(x)),3)",
    "MatVecMult(TensorProd(x,y),x)",
    "Arrange(x*x,1,2,3,-1)*Extract(Concat(x,y),1,3)",
    "IfElse(x-1,x*x,y*Norm2(x))",
    "y+s",
    "Like(Square(x),y)",
    "ComplexMult(Concat(x,s),Concat(s,x))",
    "TensorDot(x,TensorProd(x,y),[3],[3,3],[0],[1])",
    "Max(x*y)*x",
};

START_TEST(matrices_traces_and_directions_agree_with_differences)
{
    const char *F = formulas[_i], *const vars[] = {"x", "y", "s"};
    for (int n = 0; n < 9; n++) {
        bind_variables(n / 3);
        const char *v = vars[n % 3];
        const kf_node *f = formula("%s", F), *var = variable(v), *u = formula(n % 3 == 2 ? "Elem(u,1)" : "u");
        matrix J;
        matrix_of(f, var, J);
        const kf_node *all = formula("GradMatrix(%s,%s)", F, v), *along = NULL;
        ck_assert_int_eq(kf_diff(&g, f, var, u, &along), KCL_OK);
        ck_assert_int_eq(all->dim, f->dim * var->dim);
        ck_assert_int_eq(along->dim, f->dim);
        const kf_node *text = formula("Diff(%s,%s,%s)", F, v, n % 3 == 2 ? "Elem(u,1)" : "u");
        ck_assert_ptr_eq(text, along);
        const kf_node *trace = f->dim == var->dim ? formula("Divergence(%s,%s)", F, v) : NULL;
        long double *entries = dense_eval(&d, all), *moved = dense_eval(&d, along), *direction = dense_eval(&d, u);
        long double *sum = trace ? dense_eval(&d, trace) : NULL;
        for (int at = 0; at < PAIRS; at++) {
            long double diagonal = 0;
            for (int m = 0; m < f->dim; m++) {
                long double product = 0;
                for (int k = 0; k < var->dim; k++) {
                    near("GradMatrix", F, entries[(at * f->dim + m) * var->dim + k], J[at][m][k]);
                    product += J[at][m][k] * direction[at * u->dim + k];
                }
                near("Diff", F, moved[at * f->dim + m], product);
                diagonal += J[at][m][KB_MIN(m, var->dim - 1)];
            }
            if (trace)
                near("Divergence", F, sum[at], diagonal);
        }
        free(entries);
        free(moved);
        free(direction);
        free(sum);
    }
}
END_TEST

static const char *const numbers[] = {
    "Exp(-s*SqDist(x,y))",
    "Norm2(x-y)**3",
    "(x|y)*Elem(x,0)",
    "Log(1+SqNorm2(x*y))/s",
    "SqNorm2(x)*Sum(Sin(x*s))",
    "Elem(x,1)**2*s",
    "Max(Square(x))*Sum(x)",
    "s",
    "ComplexAbs(Concat(Elem(x,0),Elem(x,2)))",
};

START_TEST(laplacians_agree_with_differences_of_gradients)
{
    const char *F = numbers[_i];
    for (int role = 0; role < 3; role++) {
        bind_variables(role);
        matrix H;
        matrix_of(formula("Grad(%s,x,1)", F), variable("x"), H);
        long double *got = dense_eval(&d, formula("Laplacian(%s,x)", F));
        for (int at = 0; at < PAIRS; at++)
            near("Laplacian", F, got[at], H[at][0][0] + H[at][1][1] + H[at][2][2]);
        free(got);
    }
}
END_TEST

/* KeOps raises an error for each formula. */
START_TEST(divergences_and_laplacians_may_be_zero_and_go_through_copies)
{
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"Divergence(y,x)", "0"},
        {"Laplacian(x|y,x)", "0"},
        {"Laplacian(s,x)", "0"},
        {"Laplacian(Elem(x,1)**2,x)", "2"},
        {"Divergence(ElemT(Elem(x,1),3,1),x)", "1"},
        {"Divergence(ExtractT(Extract(x,0,2),1,3),x)", "0"},
        {"Divergence(ExtractT(Extract(x,1,2),1,3),x)", "2"},
        {"Divergence(x,x)", "3"},
        {"Divergence(SumT(Sum(x),3),x)", "3"},
        {"Divergence(s*x,x)", "3*s"},
        {"Divergence(s*s,s)", "2*s"},
        {"Divergence(MatVecMult(TensorProd(y,u),x),x)", "(y|u)"},
        {"Laplacian(SqDist(x,y),x)", "6"},
        {"Laplacian(Exp(-SqDist(x,y)),x)", "(4*SqDist(x,y)-6)*Exp(-SqDist(x,y))"},
    };
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        bind_variables(0);
        const kf_node *f = formula("%s", cases[k].text), *want = formula("%s", cases[k].value);
        long double *got = dense_eval(&d, f), *value = dense_eval(&d, want);
        ck_assert_int_eq(f->dim, 1);
        for (int at = 0; at < PAIRS; at++)
            ck_assert_msg(fabs(got[at] - value[at]) <= 1e-14L * (1 + fabs(value[at])), "%s: %Lg, not %Lg",
                          cases[k].text, got[at], value[at]);
        free(got);
        free(value);
    }
}
END_TEST

/* What a kernel computes for each pair does not grow with the square of the dimension. */
START_TEST(laplacians_of_long_vectors_are_short)
{
    bind_variables(0);
    const kf_node *a = kf_var(&g, 40, 500, KF_ROLE_I), *b = kf_var(&g, 41, 500, KF_ROLE_J), *out = NULL;
    const kf_node *square = kf_unary(&g, KF_SUM, kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, a, b)));
    ck_assert_int_eq(kf_laplacian(&g, kf_unary(&g, KF_EXP, kf_unary(&g, KF_MINUS, square)), a, &out), KCL_OK);
    kf_order order;
    ck_assert_int_eq(kf_order_init(&order, &g, 1, &out, false, &g.error), KCL_OK);
    ck_assert_uint_lt(order.count, 40);
    kf_order_finish(&order);
}
END_TEST

/* ---- Linear operators -------------------------------------------------------------------------------------------- */

static const char *const linear[] = {
    "x",
    "-x*y",
    "s*x-y*x/s",
    "SumT((x|y),3)",
    "(x|y)",
    "Sum(x)*y",
    "SumT(Elem(x,1),3)+Extract(Concat(x,x),1,3)",
    "MatVecMult(TensorProd(y,u),x)",
    "VecMatMult(x,TensorProd(y,u))",
    "IfElse(y-1,x,2*x*y)",
    "Like(x,y)*Exp(y)",
    "Grad(x*x*s,x,y)",
    "Zero(3)",
    "Arrange(x,1,2,3,-1)",
};

START_TEST(linear_operators_agree_with_their_matrices)
{
    const char *F = linear[_i];
    for (int role = 0; role < 3; role++) {
        bind_variables(role);
        const kf_node *f = formula("%s", F), *x = variable("x");
        const char *rows = f->dim == 3 ? "y" : "s"; /* weights of the components of F */
        matrix M;
        matrix_of(f, x, M);
        const kf_node *results[] = {
            formula("TraceOperator(%s,x)", F),
            formula("TraceOperator(%s,x,u)", F),
            formula("SumLinOperator(%s,x)", F),
            formula("SumLinOperator(%s,x,%s)", F, rows),
            formula("SumLinOperator(%s,x,%s,u)", F, rows),
            formula("AdjointOperator(%s,x,%s)", F, rows),
        };
        long double *got[KB_COUNT(results)], *u = dense_eval(&d, variable("u")), *w = dense_eval(&d, variable(rows));
        for (size_t k = 0; k < KB_COUNT(results); k++) {
            ck_assert_int_eq(results[k]->dim, k == 5 ? 3 : 1);
            got[k] = dense_eval(&d, results[k]);
        }
        for (int at = 0; at < PAIRS; at++) {
            long double want[KB_COUNT(results) + 2] = {0};
            for (int k = 0; k < 3; k++) {
                want[0] += M[at][f->dim == 3 ? k : 0][k];
                want[1] += M[at][f->dim == 3 ? k : 0][k] * u[at * 3 + k];
                for (int m = 0; m < f->dim; m++) {
                    want[2] += M[at][m][k];
                    want[3] += M[at][m][k] * w[at * f->dim + m];
                    want[4] += M[at][m][k] * w[at * f->dim + m] * u[at * 3 + k];
                    want[5 + k] += M[at][m][k] * w[at * f->dim + m];
                }
            }
            for (size_t k = 0; k < 5; k++)
                near("operator", F, got[k][at], want[k]);
            for (int k = 0; k < 3; k++)
                near("AdjointOperator", F, got[5][at * 3 + k], want[5 + k]);
        }
        for (size_t k = 0; k < KB_COUNT(results); k++)
            free(got[k]);
        free(u);
        free(w);
    }
}
END_TEST

/* ---- What is given and not needed -------------------------------------------------------------------------------- */

START_TEST(saved_results_and_factors_change_nothing)
{
    bind_variables(0);
    ck_assert_ptr_eq(formula("Grad_WithSavedForward(x*y,x,u,y*y)"), formula("Grad(x*y,x,u)"));
    ck_assert_ptr_eq(formula("Diff_WithSavedForward(x*y,x,u,x)"), formula("Diff(x*y,x,u)"));
    ck_assert_ptr_eq(formula("Factorize(Exp(x)*y+Exp(x),Exp(x))"), formula("Exp(x)*y+Exp(x)"));
    ck_assert_ptr_eq(formula("AutoFactorize(Exp(x)*y+Exp(x))"), formula("Exp(x)*y+Exp(x)"));
    kf_parsed_reduction r[2];
    size_t count = 0;
    int64_t next = DENSE_VARS;
    kb_error err = {0};
    const char *text = "Grad(Sum_Reduction(x*y,0),y,x); Grad_WithSavedForward(Sum_Reduction(x*y,0),y,x,Var(7,3,0))";
    ck_assert_msg(kf_parse_reductions(&g, text, 4, bindings, &next, &count, r, &err) == KCL_OK, "%s", err.text);
    ck_assert_ptr_eq(r[0].node, r[1].node);
    ck_assert_int_eq(r[1].tag, 1);
    text = "Diff(Sum_Reduction(x*y,0),y,y*y); Diff_WithSavedForward(Sum_Reduction(x*y,0),y,y*y,x)";
    ck_assert_msg(kf_parse_reductions(&g, text, 4, bindings, &next, &count, r, &err) == KCL_OK, "%s", err.text);
    ck_assert_ptr_eq(r[0].node, r[1].node);
    ck_assert_ptr_eq(r[0].node, kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, formula("Square(y)*x")));
    ck_assert_int_eq(r[0].tag, 0);
}
END_TEST

START_TEST(several_variables_move_at_once)
{
    bind_variables(0);
    ck_assert_ptr_eq(formula("Diff(x*y,(x,y),(u,s*y))"), formula("Diff(x*y,x,u)+Diff(x*y,y,s*y)"));
    ck_assert_ptr_eq(formula("Diff(x*Sin(s),(x,s),((u+x),(s)))"), formula("Diff(x*Sin(s),x,u+x)+Diff(x*Sin(s),s,s)"));
    ck_assert_ptr_eq(formula("Diff(x*y,(x),(u))"), formula("Diff(x*y,x,u)"));
    kf_parsed_reduction r[2];
    size_t count = 0;
    int64_t next = DENSE_VARS;
    kb_error err = {0};
    const char *text = "Diff(Sum_Reduction(x*y*s,0),(x,s),(x,2)); Diff(Sum_Reduction(u,0),(x,y),(x,y))";
    ck_assert_msg(kf_parse_reductions(&g, text, 4, bindings, &next, &count, r, &err) == KCL_OK, "%s", err.text);
    long double *got = dense_eval(&d, r[0].node);
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < 3; k++) {
            const double x = d.data[0][i * 3 + k], s = d.data[2][0];
            long double want = 0;
            for (int j = 0; j < COLUMNS; j++)
                want += x * d.data[1][j * 3 + k] * (s + 2);
            ck_assert_msg(fabs(got[i * COLUMNS * 3 + k] - want) <= 1e-15L * (1 + fabs(want)), "%Lg, not %Lg",
                          got[i * COLUMNS * 3 + k], want);
        }
    free(got);
    ck_assert_ptr_eq(r[1].node, kf_zero(&g, 3));
}
END_TEST

/*
 * Names may stand for formulas with reductions. A direction for each term of a reduction is no direction of the result.
 */
START_TEST(directions_may_not_have_axes_that_are_reduced)
{
    bind_variables(0);
    const kf_node *x = variable("x"), *y = variable("y"), *out = NULL;
    const kf_node *sum = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_binary(&g, KF_MULT, x, y));
    ck_assert_int_eq(kf_diff(&g, sum, x, x, &out), KCL_OK);
    ck_assert_int_eq(kf_diff(&g, kf_binary(&g, KF_MULT, x, sum), y, y, &out), KCL_OK);
    ck_assert_int_eq(kf_diff(&g, sum, x, y, &out), KCL_ERROR_SHAPE);
    ck_assert_ptr_nonnull(strstr(g.error.text, "an axis (j) that the variable lacks, and a reduction is over it"));
    kf_clear_error(&g);
    ck_assert_int_eq(kf_diff(&g, kf_binary(&g, KF_MULT, x, y), x, y, &out), KCL_OK);
    /* The sum has a trace; what needs reverse mode within a formula is refused. */
    ck_assert_int_eq(kf_trace_operator(&g, sum, x, NULL, &out), KCL_OK);
    ck_assert_int_eq(kf_sum_lin_operator(&g, sum, x, NULL, NULL, &out), KCL_ERROR_DERIVATIVE);
    ck_assert_ptr_nonnull(
        strstr(g.error.text, "SumLinOperator: the formula depends on the variable through a reduction"));
    kf_clear_error(&g);
}
END_TEST

START_TEST(errors_are_named)
{
    const char *const errors[][2] = {
        {"Diff(x,x)", "Diff needs a formula or reduction F, a variable v and a direction u, 2 given"},
        {"Diff(x,x+y,x)", "the second argument of Diff must be a variable"},
        {"Diff(x,x,Concat(x,s))", "Diff: derivative in a direction: the variable has dimension 3, the direction has 4; they "
                                  "must be equal, or that of the direction 1"},
        {"Diff(x,(x,y),u)", "Diff: 2 variables need as many directions, 1 given"},
        {"Diff(x,(x,2),(u,u))", "the second argument of Diff must be a variable"},
        {"Diff(x,(x,y),(u,u)", "the text ends where an operator or ')' is expected"},
        {"Diff(x,(x,y),(u,Concat(u,u)))",
         "Diff: derivative in a direction: the variable has dimension 3, the direction has 6; they must be equal, or that of "
         "the direction 1"},
        {"GradMatrix(x,2)", "the second argument of GradMatrix must be a variable"},
        {"Divergence(Concat(x,s),x)",
         "Divergence: the formula has dimension 4, the variable has 3; they must be equal"},
        {"Divergence(x)", "Divergence needs a formula F and a variable v, 1 given"},
        {"Divergence(x,x,x)", "Divergence needs a formula F and a variable v, 3 given"},
        {"Laplacian(x,x)", "Laplacian: the formula has dimension 3, it must be 1"},
        {"Grad_WithSavedForward(x,x,y)",
         "Grad_WithSavedForward needs a formula or reduction F, a variable v, a cotangent "
         "e and the value of F, 3 given"},
        {"Grad_WithSavedForward(x,x,y,s)",
         "Grad_WithSavedForward: the result has dimension 3, what was saved of it has 1"},
        {"TraceOperator(x*x,x)", "TraceOperator: the formula is not linear in the variable"},
        {"TraceOperator(x*Exp(x),x)", "TraceOperator: the formula is not linear in the variable"},
        {"TraceOperator(x+1,x)", "TraceOperator: the formula is not linear in the variable"},
        {"TraceOperator(y,x)", "TraceOperator: the formula is not linear in the variable"},
        {"TraceOperator(y/x,x)", "TraceOperator: the formula is not linear in the variable"},
        {"TraceOperator(IfElse(x,x,x),x)", "TraceOperator: the formula is not linear in the variable"},
        {"TraceOperator(Max(x),x)", "TraceOperator: the formula is not linear in the variable"},
        {"TraceOperator(Concat(x,s),x)", "TraceOperator: the formula has dimension 4, the variable has 3; they must be "
                                         "equal, or that of the formula 1"},
        {"TraceOperator(x,x,Concat(x,x))", "TraceOperator: weights of dimension 6 for 3 components"},
        {"AdjointOperator(x,x)",
         "AdjointOperator needs a formula F, a variable v in which it is linear, and its operand, 2 given"},
        {"AdjointOperator(Sin(x),x,x)", "AdjointOperator: the formula is not linear in the variable"},
        {"SumLinOperator(x|x,x)", "SumLinOperator: the formula is not linear in the variable"},
        {"SumLinOperator(Concat(x,x),x,x)", "SumLinOperator: weights of dimension 3 for 6 components"},
        {"Factorize(x)", "Factorize needs 2 formulas, 1 given"},
        {"AutoFactorize(x,x)", "AutoFactorize needs 1 formula, 2 given"},
        {"GradMatrix(SumT(Var(9,5000,0),1)*x,x)", "SumT: the operand has dimension 5000, it must be 1"},
        {"GradMatrix(Var(9,5000,0)*2,Var(9,5000,0))",
         "GradMatrix: dimensions 5000 and 5000 give more than 16777216 components"},
        {"Divergence(Concat(Extract(Var(9,5000,0),0,4999),s),Var(9,5000,0))",
         "Divergence: 5000 derivatives, one for each component, are more than 4096"},
    };
    for (size_t k = 0; k < KB_COUNT(errors); k++) {
        bind_variables(0);
        kb_error err = {0};
        const kf_node *f = NULL;
        ck_assert_msg(parse(errors[k][0], &f, &err) < 0, "%s", errors[k][0]);
        ck_assert_msg(strchr(err.text, '^') != NULL, "%s", err.text);
        *strchr(err.text, '\n') = 0;
        ck_assert_str_eq(err.text, errors[k][1]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calculus");
    TCase *tests = tcase_create("calculus");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, matrices_traces_and_directions_agree_with_differences, 0, KB_COUNT(formulas));
    tcase_add_loop_test(tests, laplacians_agree_with_differences_of_gradients, 0, KB_COUNT(numbers));
    tcase_add_test(tests, divergences_and_laplacians_may_be_zero_and_go_through_copies);
    tcase_add_test(tests, laplacians_of_long_vectors_are_short);
    tcase_add_loop_test(tests, linear_operators_agree_with_their_matrices, 0, KB_COUNT(linear));
    tcase_add_test(tests, saved_results_and_factors_change_nothing);
    tcase_add_test(tests, several_variables_move_at_once);
    tcase_add_test(tests, directions_may_not_have_axes_that_are_reduced);
    tcase_add_test(tests, errors_are_named);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
