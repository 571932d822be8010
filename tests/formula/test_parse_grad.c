/* SPDX-License-Identifier: MIT */
/* Grad in texts: against differences of values, by an evaluation of its own. */
#include "parse_support.h"

/* ---- Values: an evaluation of its own, one pair at a time -------------------------------------------------------- */

enum { ROWS = 3, COLUMNS = 4, MOST = 8 };

static double data[MOST][ROWS + COLUMNS][3]; /* by variable, row, component */

static double component(const kf_node *f, int i, int j, int64_t k)
{
    const kf_node *a = f->arg[0], *c = f->arg[1];
    const int64_t *n = f->param;
    double total = 0;
    if (f->dim == 1)
        k = 0;
    switch ((kf_op)f->op) {
    case KF_VAR:
        return data[n[0]][n[2] == KF_ROLE_I ? i : n[2] == KF_ROLE_J ? j : 0][k];
    case KF_CONST:
        return n[1] ? (double)n[0] / (double)n[1] : f->value;
    case KF_ZERO:
        return 0;
    case KF_ADD:
        return component(a, i, j, k) + component(c, i, j, k);
    case KF_SUB:
        return component(a, i, j, k) - component(c, i, j, k);
    case KF_MULT:
        return component(a, i, j, k) * component(c, i, j, k);
    case KF_DIVIDE:
        return component(a, i, j, k) / component(c, i, j, k);
    case KF_MINUS:
        return -component(a, i, j, k);
    case KF_SQUARE:
        return pow(component(a, i, j, k), 2);
    case KF_EXP:
        return exp(component(a, i, j, k));
    case KF_SUM:
        for (int64_t m = 0; m < a->dim; m++)
            total += component(a, i, j, m);
        return total;
    case KF_SUMT:
        return component(a, i, j, 0);
    case KF_LIKE:
        return component(a, i, j, k);
    case KF_REDUCE:
        for (int row = 0; row < (n[1] & KF_AXIS_I ? ROWS : 1); row++)
            for (int column = 0; column < (n[1] & KF_AXIS_J ? COLUMNS : 1); column++)
                total += component(a, n[1] & KF_AXIS_I ? row : i, n[1] & KF_AXIS_J ? column : j, k);
        return total;
    default:
        ck_abort_msg("the test does not know %s", kf_info((kf_op)f->op)->name);
    }
    return NAN;
}

static void draw_data(void)
{
    uint64_t seed = 7;
    for (int v = 0; v < MOST; v++)
        for (int r = 0; r < ROWS + COLUMNS; r++)
            for (int k = 0; k < 3; k++) {
                seed = kb_hash_combine(seed, 1);
                data[v][r][k] = (double)(seed >> 11) * 0x1p-53 + 0.2;
            }
}

/* The sum over the rows of a result, and its components, of F * e. */
static double weighted(const kf_node *F, const kf_node *e, int tag, int i, int j)
{
    double total = 0;
    for (int row = tag == 0 ? 0 : i; row < (tag == 0 ? ROWS : i + 1); row++)
        for (int column = tag == 1 ? 0 : j; column < (tag == 1 ? COLUMNS : j + 1); column++)
            for (int64_t k = 0; k < F->dim; k++)
                total += component(F, row, column, k) * component(e, row, column, k);
    return total;
}

/* Compares `gradient` with central differences of the weighted sum by every component of v. */
static void check_gradient(const char *what, const kf_node *F, int tag, const kf_node *e, const kf_node *v,
                           const kf_node *gradient, bool one_pair)
{
    const double h = 1e-5;
    int rows = one_pair ? 1 : v->param[2] == KF_ROLE_I ? ROWS : v->param[2] == KF_ROLE_J ? COLUMNS : 1;
    ck_assert_int_eq(gradient->dim, v->dim);
    for (int r = 0; r < rows; r++) {
        for (int64_t k = 0; k < v->dim; k++) {
            double *value = &data[v->param[0]][r][k], kept = *value;
            *value = kept + h;
            double above = weighted(F, e, tag, 0, 0);
            *value = kept - h;
            double below = weighted(F, e, tag, 0, 0);
            *value = kept;
            double found = component(gradient, v->param[2] == KF_ROLE_I ? r : 0, v->param[2] == KF_ROLE_J ? r : 0, k);
            double want = (above - below) / (2 * h);
            ck_assert_msg(fabs(found - want) <= 1e-7 * (1 + fabs(want)), "%s, row %d, component %d: %g, not %g", what,
                          r, (int)k, found, want);
        }
    }
}

static const struct {
    const char *F, *v, *e;
} formula_grads[] = {
    {"SqDist(x,y)", "x", "b"},           {"SqDist(x,y)", "y", "b*p"},
    {"Exp(-p*SqDist(x,y))*y", "p", "x"}, {"(x|y)/p+b*x", "x", "Var(4,3,0)-y"},
    {"Exp(-p*SqDist(x,y))", "x", "1"},   {"x*y", "b", "x"},
    {"Grad(x|y,x,b)*p", "b", "x"},
};

START_TEST(grad_of_a_formula)
{
    char text[200];
    draw_data();
    snprintf(text, sizeof text, "Grad(%s, %s, %s)", formula_grads[_i].F, formula_grads[_i].v, formula_grads[_i].e);
    const kf_node *gradient = formula(text);
    check_gradient(text, formula(formula_grads[_i].F), 2, formula(formula_grads[_i].e), formula(formula_grads[_i].v),
                   gradient, true);
}
END_TEST

static const struct {
    const char *F;
    int tag;
    const char *v, *e;
} reduction_grads[] = {
    {"Exp(-p*SqDist(x,y))*b", 0, "x", "Var(5,1,0)"},
    {"Exp(-p*SqDist(x,y))*b", 0, "y", "Var(5,1,0)"},
    {"Exp(-p*SqDist(x,y))*b", 0, "p", "Var(5,1,0)"},
    {"Exp(-p*SqDist(x,y))*x", 1, "x", "y"},
    {"Exp(-p*SqDist(x,y))*x", 1, "y", "Var(5,3,1)"},
    {"(x|y)*b", 2, "x", "p"},
    {"(x|y)*b", 2, "b", "Var(6,1,2)"},
    {"y*b", 0, "b", "x"},
};

START_TEST(grad_of_a_reduction)
{
    char text[200];
    const int tag = reduction_grads[_i].tag;
    draw_data();
    snprintf(text, sizeof text, "Grad(Sum_Reduction(%s,%d),%s,%s)", reduction_grads[_i].F, tag, reduction_grads[_i].v,
             reduction_grads[_i].e);
    kf_parsed_reduction r = reduction(text);
    const kf_node *v = formula(reduction_grads[_i].v);
    ck_assert_int_eq(r.tag, (int)v->param[2]);
    snprintf(text, sizeof text, "Sum_Reduction(%s,%d)", reduction_grads[_i].F, tag);
    check_gradient(text, reduction(text).node, tag, formula(reduction_grads[_i].e), v, r.node, false);
}
END_TEST

static bool uses(const kf_node *f, const kf_node *var)
{
    kf_order order;
    ck_assert_int_eq(kf_order_init(&order, &g, 1, &f, false, &err), KCL_OK);
    bool found = kf_reached(&order, var);
    kf_order_finish(&order);
    return found;
}

START_TEST(grad_makes_the_cotangent_it_is_not_given)
{
    ck_assert(uses(formula("Grad(x*p,x)"), kf_var(&g, 4, 3, KF_ROLE_J)));
    ck_assert(uses(formula("Grad(x*y,y)"), kf_var(&g, 5, 3, KF_ROLE_I)));
    ck_assert(uses(formula("Grad(b*p,p)"), kf_var(&g, 6, 1, KF_ROLE_P)));
    ck_assert(uses(reduction("Grad(Sum_Reduction(x*b,0),x)").node, kf_var(&g, 7, 3, KF_ROLE_I)));
    ck_assert(uses(reduction("Grad(Sum_Reduction(x*b,1),x)").node, kf_var(&g, 8, 3, KF_ROLE_J)));
    ck_assert(uses(reduction("Grad(Sum_Reduction(x*b,2),x)").node, kf_var(&g, 9, 3, KF_ROLE_P)));
    ck_assert_int_eq(next_index, 10);
    /* A second derivative has a cotangent for each derivative. */
    const kf_node *f = reduction("Grad(Grad(Sum_Reduction(Square(x)*b,0),x),x)").node;
    ck_assert(uses(f, kf_var(&g, 10, 3, KF_ROLE_I)) && uses(f, kf_var(&g, 11, 3, KF_ROLE_I)));
    ck_assert_int_eq(next_index, 12);
    /* The cotangent comes behind all indices of the text, also indices that follow. */
    ck_assert(uses(formula("Grad(x*p,x) * Var ( 20,3,1)"), kf_var(&g, 21, 3, KF_ROLE_J)));
    ck_assert_int_eq(next_index, 22);
    ck_assert(uses(formula("Grad(x*p,x) * Var((12*2),3,1)"), kf_var(&g, 25, 3, KF_ROLE_J)));
    ck_assert_int_eq(next_index, 26);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parse-grad");
    TCase *tests = tcase_create("parse-grad");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, grad_of_a_formula, 0, KB_COUNT(formula_grads));
    tcase_add_loop_test(tests, grad_of_a_reduction, 0, KB_COUNT(reduction_grads));
    tcase_add_test(tests, grad_makes_the_cotangent_it_is_not_given);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
