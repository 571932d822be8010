/* SPDX-License-Identifier: MIT */
/* Gradients through reductions against differences of values by definition, in long double; how long they take. */
#include "derive_support.h"
#include "simplify.h"

/* The sum of e*f over the axes of f, after a step of the row that d says. */
static long double total(const kf_node *f, const kf_node *e, long double step)
{
    long double pairs[PAIRS], sum = 0;
    weighted(f, e, step, pairs);
    for (int64_t i = 0; i < (f->axes & KF_AXIS_I ? d.rows : 1); i++)
        for (int64_t j = 0; j < (f->axes & KF_AXIS_J ? d.cols : 1); j++)
            sum += pairs[i * d.cols + j];
    return sum;
}

static int64_t rows_of(const kf_node *var)
{
    return var->param[2] == KF_ROLE_I ? d.rows : var->param[2] == KF_ROLE_J ? d.cols : 1;
}

/* Component k of row `row` of a formula with the axes of var. */
static long double at_row(const long double *values, const kf_node *var, int64_t row, int64_t k)
{
    int64_t i = var->param[2] == KF_ROLE_I ? row : 0, j = var->param[2] == KF_ROLE_J ? row : 0;
    return values[(i * d.cols + j) * var->dim + k];
}

static void check_gradient(const char *what, const kf_node *f, const kf_node *e, size_t count,
                           const kf_node *const *vars, int order)
{
    ck_assert_msg(f != NULL, "%s: %s", what, g.error.text);
    const kf_node *out[8];
    if (!e)
        e = kf_like(&g, dense_var(&d, KF_ROLE_P, f->dim, 0.5, 1.5), f);
    ck_assert_msg(kf_gradient(&g, f, e, count, vars, out) == KCL_OK, "%s: %s", what, g.error.text);
    for (size_t n = 0; n < count; n++) {
        ck_assert_int_eq(out[n]->dim, vars[n]->dim);
        ck_assert_msg(out[n]->axes == vars[n]->axes, "%s: the gradient has axes %d, the variable %d", what,
                      out[n]->axes, vars[n]->axes);
        long double *got = dense_eval(&d, out[n]);
        for (int64_t row = 0; row < rows_of(vars[n]); row++)
            for (int64_t k = 0; k < vars[n]->dim; k++) {
                const long double h = 1e-3L;
                d.moved_index = vars[n]->param[0];
                d.moved_row = row;
                d.moved_component = k;
                long double want =
                    (8 * (total(f, e, h) - total(f, e, -h)) - (total(f, e, 2 * h) - total(f, e, -2 * h))) / (12 * h);
                d.moved_index = -1;
                check_close(what, at_row(got, vars[n], row, k), want, fabs(want));
            }
        free(got);
    }
    for (size_t n = 0; order > 1 && n < count; n++) {
        const kf_node *c = dense_var(&d, (kf_role)vars[n]->param[2], vars[n]->dim, 0.5, 1.5);
        if (!kf_is_zero(kf_value(out[n])))
            check_gradient(what, out[n], c, count, vars, order - 1);
    }
}

/*
 * Formulas over x (Vi 3), y (Vj 3), b (Vj 1), s (Vi 1), p (Pm 3), q (Pm 1), and over results: each line may use u, the
 * reduction of the line before, and ut, its transpose.
 */
typedef struct stage {
    unsigned axes; /* reduced; 0: none; plus 4 times the reduction, if the reduction is no sum */
    const char *text;
} stage;

enum {
    LSE = 4 * KF_REDUCE_LOGSUMEXP,
    LSEW = 4 * KF_REDUCE_LOGSUMEXPWEIGHT,
    SOFTMAX = 4 * KF_REDUCE_SUMSOFTMAXWEIGHT,
    ARGMIN = 4 * KF_REDUCE_ARGMIN
};

static const stage chains[][4] = {
    {{2, "Exp(-q*SqDist(x,y))*b"}},
    {{1, "Exp(-q*SqDist(x,y))*s*p"}},
    {{3, "Exp(-q*SqDist(x,y))*b*(p|x)"}},
    {{0, "Exp(-q*SqDist(x,y))*b"}},
    {{0, "Sin(x)*p"}},
    {{0, "Sin(y)*q"}},
    {{0, "Sin(p)*q"}},
    {{2, "x+y"}},
    {{1, "x+y"}},
    {{3, "x+y"}},
    {{3, "x+2*y+p"}},
    {{3, "x"}},
    {{2, "Square(x)+b"}},
    {{2, "y*p"}},
    {{2, "x*y"}, {0, "u*Sin(x)+u"}},
    {{2, "Sin(x*y)"}, {1, "u*u*x"}},
    {{2, "Sin(x-y)*b"}, {0, "Sin(ut)*y+x*u"}},
    {{2, "Exp(-SqDist(x,y))*b"}, {2, "Exp(-q*SqDist(x,y))*Sin(ut)*u"}},
    {{2, "Exp(-SqDist(x,y))*y"}, {2, "Exp(-q*SqDist(x+u,y+ut))*b"}, {3, "Square(u-s)"}},
    {{1, "Exp(-SqDist(x,y))*x"}, {2, "Exp(-q*SqDist(x,u))*ut"}, {1, "Square(u-p)*b"}, {0, "Sqrt(1+(u|u))*y"}},
    {{3, "x*y"}, {2, "Sin(u*x)*y"}},
    {{3, "x*y"}, {0, "Sin(u)*p"}},
    {{3, "x*y*p"}, {2, "Sin(u*x)"}, {1, "u*y"}},
    {{2, "Exp(-q*(x|y))*y"}, {0, "u/(1+Square(u))"}, {3, "Norm2(u)*b"}},
    {{2, "Concat(x*b,Sin(y))"}, {1, "Extract(u,1,3)*Elem(y,0)"}},
    {{2, "Like(x,y)"}},
    {{3, "Like(Sin(p),x+y)"}},
    {{2, "Like(Square(s),y)*b"}, {0, "u*u"}},
    {{2, "(x-x)+y"}},
    {{2, "Sin(Elem(x,1)-b)*ElemT(s,4,2)"}},
    {{2, "Sin(x*y)"}, {2, "Sin(u)*y+Cos(u)*Square(y)*x"}, {2, "u*Exp(-SqDist(x,y))+y"}},
    {{1, "Sin(x*y)"}, {3, "Sin(u)*x+ut*y"}, {2, "u*x*y+p"}},
    {{LSE + 2, "b-q*SqDist(x,y)"}},
    {{LSE + 1, "(x|y)*s"}},
    {{LSE + 3, "Sin(x|y)*q+b*(p|x)"}},
    {{LSE + 2, "Like(x|p,y)"}},
    {{LSE + 2, "x|y"}, {1, "Sin(u)*x"}},
    {{LSE + 1, "x|y"}, {LSE + 2, "u*b+(x|y)"}, {3, "Square(u-s)+ut"}},
    {{2, "Exp(-SqDist(x,y))*y"}, {LSE + 2, "b-q*SqDist(u,y)"}, {3, "Square(u-s)"}},
    {{LSE + 3, "x|y"}, {2, "Sin(u*x)*y"}},
    {{LSE + 2, "x*y"}, {1, "Sin(u)*x"}},
    {{LSEW + 2, "Concat(x|y,Square(y)*b)"}},
    {{LSEW + 1, "Concat(b-q*SqDist(x,y),b)"}},
    {{LSEW + 3, "Concat(s*q,x*Square(y))"}, {0, "u*Sin(x)"}},
    {{LSEW + 2, "Concat(s,Exp(x*y))"}, {2, "Sin(u*y)"}},
    {{SOFTMAX + 2, "Concat(x|y,y*b)"}},
    {{SOFTMAX + 1, "Concat(s-q*SqDist(x,y),x-y)"}, {LSE + 2, "ut|y"}},
    {{SOFTMAX + 3, "Concat(x|y,Sin(x*y))"}, {0, "u*x"}},
    {{SOFTMAX + 2, "Concat(b,x*y)"}, {1, "u*y*x"}},
    {{SOFTMAX + 2, "Concat(s,Sin(x*y))"}, {3, "Square(u)+y"}},
    {{ARGMIN + 2, "SqDist(x,y)"}, {0, "u*Sin(x)"}},
    {{ARGMIN + 1, "Square(x-y)*b"}, {3, "Sin(u*y)*x+ut*s"}},
    {{ARGMIN + 3, "x*y"}, {2, "Sin(u*x)*y"}},
};

START_TEST(gradients_through_reductions)
{
    restart(7);
    const kf_node *vars[] = {dense_var(&d, KF_ROLE_I, 3, 0.3, 1.2), dense_var(&d, KF_ROLE_J, 3, 0.3, 1.2),
                             dense_var(&d, KF_ROLE_J, 1, 0.3, 1.2), dense_var(&d, KF_ROLE_I, 1, 0.3, 1.2),
                             dense_var(&d, KF_ROLE_P, 3, 0.3, 1.2), dense_var(&d, KF_ROLE_P, 1, 0.3, 1.2)};
    kf_binding bindings[8] = {{"x", vars[0]}, {"y", vars[1]}, {"b", vars[2]},
                              {"s", vars[3]}, {"p", vars[4]}, {"q", vars[5]}};
    const kf_node *f = NULL;
    const char *text = NULL;
    for (int k = 0; k < 4 && chains[_i][k].text; k++) {
        bindings[6] = (kf_binding){"u", f};
        bindings[7] = (kf_binding){"ut", k ? kf_transpose(&g, f) : NULL};
        text = chains[_i][k].text;
        f = kf_reduce(&g, (kf_reduction)(chains[_i][k].axes / 4), chains[_i][k].axes % 4, 0,
                      parsed(text, k ? 8 : 6, bindings));
    }
    check_jvp(text, f, 6, vars, 2);
    check_gradient(text, f, NULL, 6, vars, 2);
}
END_TEST

START_TEST(random_formulas_with_reductions)
{
    uint64_t seed = case_seed(500001);
    long checked = 0;
    int cases = getenv("KEOPSCL_TEST_SEED") ? 1 : CASES;
    for (int k = 0; k < cases; k++) {
        garden w;
        const kf_node *f = sum_over(1u + (unsigned)k % 3, grown(&w, seed + (uint64_t)k, true)), *out[4];
        const kf_node *e = kf_like(&g, kf_rat(&g, 3, 4), f);
        ck_assert_msg(kf_gradient(&g, f, e, 4, w.pool, out) == KCL_OK, "seed %llu: %s",
                      (unsigned long long)(seed + (uint64_t)k), g.error.text);
        for (int v = 0; v < 4; v++) {
            ck_assert_int_eq(out[v]->dim, w.pool[v]->dim);
            ck_assert_int_eq(out[v]->axes, w.pool[v]->axes);
            long double *got = dense_eval(&d, out[v]), h = 1e-3L;
            int64_t row = dense_below(&d, rows_of(w.pool[v])), c = dense_below(&d, w.pool[v]->dim);
            d.moved_index = w.pool[v]->param[0];
            d.moved_row = row;
            d.moved_component = c;
            long double one = (total(f, e, h) - total(f, e, -h)) / (2 * h);
            long double two = (total(f, e, 2 * h) - total(f, e, -2 * h)) / (4 * h), want = (4 * one - two) / 3;
            d.moved_index = -1;
            if (fabs(one - two) <= 1e-4L * KB_MAX(1, fabs(one))) {
                ck_assert_msg(fabs(at_row(got, w.pool[v], row, c) - want) <= 1e-4L * KB_MAX(1, fabs(want)),
                              "seed %llu, variable %d: %.12Lg, by differences %.12Lg",
                              (unsigned long long)(seed + (uint64_t)k), v, at_row(got, w.pool[v], row, c), want);
                checked++;
            }
            free(got);
        }
        garden_finish(&w);
    }
    printf("gradient: seed %llu, %d formulas, %ld of %d values compared\n", (unsigned long long)seed, cases, checked,
           4 * cases);
    ck_assert_int_ge(checked * 10, 9L * 4 * cases * (cases > 1));
}
END_TEST

START_TEST(a_lost_axis_counts_its_terms)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 1, 0, 1), *y = dense_var(&d, KF_ROLE_J, 1, 0, 1), *out[2];
    const kf_node *f = sum_over(KF_AXIS_J, kf_binary(&g, KF_ADD, x, y)), *vars[] = {x, y};
    ck_assert_int_eq(kf_gradient(&g, f, kf_rat(&g, 1, 1), 2, vars, out), KCL_OK);
    for (int k = 0; k < 2; k++) {
        long double *value = dense_eval(&d, out[k]);
        for (int at = 0; at < PAIRS; at++)
            ck_assert(value[at] == 3); /* rows and columns, not 1 */
        free(value);
    }
}
END_TEST

START_TEST(an_array_in_two_roles_has_one_gradient)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 2, 0.3, 1.2), *xj = kf_var(&g, x->param[0], 2, KF_ROLE_J);
    const kf_node *b = dense_var(&d, KF_ROLE_J, 1, 0.3, 1.2), *vars[] = {x, b}, *turned[] = {xj, b};
    const kf_node *distance = kf_unary(&g, KF_SUM, kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, x, xj)));
    const kf_node *kernel = kf_binary(&g, KF_MULT, kf_unary(&g, KF_EXP, kf_unary(&g, KF_MINUS, distance)), b);
    for (unsigned axes = 1; axes < 4; axes++) {
        const kf_node *signal = kf_binary(&g, KF_ADD, kf_unary(&g, KF_SIN, x), xj);
        const kf_node *f = sum_over(axes, kf_binary(&g, KF_MULT, kernel, signal));
        check_gradient("x in both roles, asked as i", f, NULL, 2, vars, 2);
        check_gradient("x in both roles, asked as j", f, NULL, 2, turned, 2);
    }
    check_gradient("the same, not reduced", kernel, NULL, 2, vars, 2);
    const kf_node *u = sum_over(KF_AXIS_J, kf_binary(&g, KF_MULT, kernel, xj));
    const kf_node *gap = kf_binary(&g, KF_SUB, u, kf_transpose(&g, u));
    const kf_node *v = sum_over(KF_AXIS_J, kf_binary(&g, KF_MULT, kf_unary(&g, KF_SIN, gap), x));
    check_gradient("x in both roles, twice", v, NULL, 2, vars, 2);
}
END_TEST

/* <c, H d> = <d, H c>, between every two variables. */
START_TEST(second_derivatives_are_symmetric)
{
    const kf_node *vars[] = {dense_var(&d, KF_ROLE_I, 2, 0.3, 1.2), dense_var(&d, KF_ROLE_J, 2, 0.3, 1.2),
                             dense_var(&d, KF_ROLE_P, 1, 0.3, 1.2)};
    kf_binding bindings[] = {
        {"x", vars[0]}, {"y", vars[1]}, {"q", vars[2]}, {"xt", kf_var(&g, vars[0]->param[0], 2, KF_ROLE_J)}};
    const kf_node *u = sum_over(KF_AXIS_J, parsed("Exp(-q*SqDist(x,y))*Sin(y+xt)", 4, bindings));
    const kf_node *f = sum_over(KF_AXIS_I, kf_unary(&g, KF_SUM, kf_binary(&g, KF_MULT, u, kf_unary(&g, KF_SQUARE, u))));
    const kf_node *first[3], *c[3], *second[3][3];
    ck_assert_int_eq(kf_gradient(&g, f, kf_rat(&g, 1, 1), 3, vars, first), KCL_OK);
    long double form[3][3];
    for (int k = 0; k < 3; k++) {
        c[k] = dense_var(&d, (kf_role)vars[k]->param[2], vars[k]->dim, -1, 1);
        ck_assert_int_eq(kf_gradient(&g, first[k], c[k], 3, vars, second[k]), KCL_OK);
    }
    for (int k = 0; k < 3; k++)
        for (int n = 0; n < 3; n++)
            form[k][n] = total(second[k][n], c[n], 0);
    for (int k = 0; k < 3; k++)
        for (int n = 0; n < 3; n++) {
            ck_assert(fabs(form[k][n]) > 1e-6L);
            ck_assert_msg(fabs(form[k][n] - form[n][k]) <= 1e-15L * KB_MAX(1, fabs(form[k][n])),
                          "variables %d and %d: %.17Lg and %.17Lg", k, n, form[k][n], form[n][k]);
        }
}
END_TEST

/*
 * Gradients in x that are linear in u: the derivative in u of the gradient at u = 0, at which the sum of cotangents is 0
 * in every row, is the gradient at u = 1.
 */
START_TEST(a_sum_of_cotangents_that_is_zero_has_a_derivative)
{
    static const char *const texts[] = {
        "IfElse(y-0.7,u*Exp(y*L),0)", /* the guard depends on j */
        "IfElse(x-0.7,u*Exp(y*L),0)", /* the guard lacks j */
        "IfElse(y-x,u*Exp(y*L),IfElse(x-0.7,u*Sin(y*L),0))",
        "u*Maximum(L,y-x)*y",
    };
    for (size_t n = 0; n < KB_COUNT(texts); n++) {
        restart(n + 1);
        const kf_node *x = dense_var(&d, KF_ROLE_I, 1, 0.3, 1.2), *y = dense_var(&d, KF_ROLE_J, 1, 0.3, 1.2);
        const kf_node *zero = dense_var(&d, KF_ROLE_P, 1, 0, 0), *one = dense_var(&d, KF_ROLE_P, 1, 1, 1);
        const kf_node *e = dense_var(&d, KF_ROLE_I, 1, -1, 1), *c = dense_var(&d, KF_ROLE_I, 1, -1, 1);
        const kf_node *gradient[2], *in_u;
        for (int k = 0; k < 2; k++) {
            const kf_node *L = kf_reduce(&g, KF_REDUCE_LOGSUMEXP, KF_AXIS_J, 0, kf_binary(&g, KF_MULT, x, y));
            const kf_binding bindings[] = {{"x", x}, {"y", y}, {"u", k ? one : zero}, {"L", L}};
            const kf_node *f = sum_over(KF_AXIS_J, parsed(texts[n], 4, bindings));
            ck_assert_msg(kf_gradient(&g, f, e, 1, &x, &gradient[k]) == KCL_OK, "%s", g.error.text);
        }
        ck_assert_msg(kf_gradient(&g, gradient[0], c, 1, &zero, &in_u) == KCL_OK, "%s", g.error.text);
        const long double is = total(in_u, kf_rat(&g, 1, 1), 0), want = total(gradient[1], c, 0);
        ck_assert_msg(fabs(want) > 1e-3L, "%s", texts[n]);
        ck_assert_msg(fabs(is - want) <= 1e-14L * fabs(want), "%s: %.17Lg, not %.17Lg", texts[n], is, want);
    }
}
END_TEST

START_TEST(a_variable_that_does_not_occur_has_a_zero_gradient)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0, 1), *y = dense_var(&d, KF_ROLE_J, 3, 0, 1), *out[4];
    const kf_node *absent[] = {dense_var(&d, KF_ROLE_I, 2, 0, 1), dense_var(&d, KF_ROLE_J, 4, 0, 1),
                               dense_var(&d, KF_ROLE_P, 5, 0, 1), x};
    const kf_node *formula[] = {kf_dot(&g, x, y), sum_over(KF_AXIS_I, kf_dot(&g, x, y)),
                                sum_over(KF_AXIS_I | KF_AXIS_J, kf_dot(&g, x, y))};
    for (size_t n = 0; n < KB_COUNT(formula); n++) {
        ck_assert_int_eq(kf_gradient(&g, formula[n], kf_rat(&g, 1, 1), 4, absent, out), KCL_OK);
        for (int k = 0; k < 3; k++) {
            ck_assert(kf_is_zero(kf_value(out[k])));
            ck_assert_int_eq(out[k]->dim, absent[k]->dim);
            ck_assert_uint_eq(out[k]->axes, absent[k]->axes);
        }
        ck_assert(!kf_is_zero(kf_value(out[3])));
    }
    ck_assert_int_eq(kf_vjp(&g, formula[0], kf_rat(&g, 1, 1), 4, absent, out), KCL_OK);
    for (int k = 0; k < 3; k++)
        ck_assert(kf_is_zero(kf_value(out[k])) && out[k]->dim == absent[k]->dim);
    /* Sign has a derivative, which is 0. */
    ck_assert_int_eq(kf_vjp(&g, kf_unary(&g, KF_SIGN, x), kf_rat(&g, 1, 1), 1, &x, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && out[0]->dim == 3);
    /* A leaf that is asked for and was made after the formula. */
    const kf_node *late = dense_var(&d, KF_ROLE_I, 2, 0, 1);
    ck_assert_int_eq(kf_vjp(&g, formula[0], kf_rat(&g, 1, 1), 1, &late, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && out[0]->dim == 2);
}
END_TEST

START_TEST(an_index_is_a_constant_and_has_no_gradient_of_its_own)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0, 1), *y = dense_var(&d, KF_ROLE_J, 3, 0, 1), *out[1];
    const kf_node *absent = dense_var(&d, KF_ROLE_I, 2, 0, 1), *one = kf_rat(&g, 1, 1);
    const kf_node *index = kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_J, 0, kf_binary(&g, KF_MULT, x, y));
    ck_assert_int_eq(index->kind, KF_INT);
    ck_assert_int_eq(index->dim, 3);
    ck_assert_int_eq(kf_gradient(&g, kf_binary(&g, KF_MULT, one, index), one, 1, &x, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && out[0]->axes == KF_AXIS_I);
    ck_assert_int_eq(kf_gradient(&g, index, one, 1, &absent, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && out[0]->dim == 2);
    for (int k = 0; k < 2; k++) {
        const kf_node *f = k ? kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_I, 0, kf_like(&g, x, y)) : index;
        ck_assert_int_eq(kf_gradient(&g, f, one, 1, &x, out), KCL_ERROR_DERIVATIVE);
        ck_assert_ptr_nonnull(strstr(g.error.text, "ArgMin_Reduction is a whole number"));
        kf_clear_error(&g);
    }
    /* As a cotangent the index is a number: the gradient of x*e is e, and no integer. */
    ck_assert_int_eq(kf_gradient(&g, x, index, 1, &x, out), KCL_OK);
    ck_assert_int_eq(out[0]->kind, KF_REAL);
    ck_assert_int_eq(kf_vjp(&g, x, index, 1, &x, out), KCL_OK);
    ck_assert_int_eq(out[0]->kind, KF_REAL);
}
END_TEST

/* Only the index is looked for among pairs: gathers and scatters have rows and terms alone, to any order. */
START_TEST(smallest_values_are_derived_through_their_indices)
{
    const kf_node *vars[] = {dense_var(&d, KF_ROLE_I, 2, 0.3, 1.2), dense_var(&d, KF_ROLE_J, 2, 0.3, 1.2)}, *out[2];
    kf_binding bindings[] = {{"x", vars[0]}, {"y", vars[1]}};
    const kf_node *f = parsed("SqDist(x,y)", 2, bindings);
    const kf_node *least = kf_reduce(&g, KF_REDUCE_KMIN, KF_AXIS_J, 3, f);
    out[0] = sum_over(KF_AXIS_I, kf_unary(&g, KF_SUM, kf_unary(&g, KF_SIN, least)));
    for (int times = 1; times <= 3; times++) {
        kf_order order;
        int among_pairs = 0, gathers = 0, scatters = 0;
        ck_assert_int_eq(kf_gradient(&g, out[0], kf_rat(&g, 1, 1), 2, vars, out), KCL_OK);
        ck_assert_int_eq(kf_order_init(&order, &g, 2, out, false, &g.error), KCL_OK);
        for (size_t k = 0; k < order.count; k++) {
            const kf_node *n = order.nodes[k];
            if (n->op != KF_REDUCE)
                continue;
            gathers += n->param[0] == KF_REDUCE_GATHER;
            scatters += n->param[0] == KF_REDUCE_SCATTER;
            if (n->arg[0]->axes != (KF_AXIS_I | KF_AXIS_J))
                continue;
            among_pairs++;
            ck_assert_int_eq(n->param[0], KF_REDUCE_ARGKMIN);
        }
        ck_assert_int_eq(among_pairs, 1);
        ck_assert_int_ge(gathers, 1);
        ck_assert_int_ge(scatters, 1);
        kf_order_finish(&order);
        out[0] = sum_over(KF_AXIS_I, kf_unary(&g, KF_SUM, out[0]));
    }
}
END_TEST

START_TEST(reductions_are_leaves_of_vjp)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0.3, 1), *y = dense_var(&d, KF_ROLE_J, 3, 0.3, 1);
    const kf_node *r = sum_over(KF_AXIS_J, kf_binary(&g, KF_MULT, x, y)), *leaves[] = {x, r}, *out[2];
    const kf_node *z = dense_var(&d, KF_ROLE_I, 3, 0.3, 1), *apart[] = {z, r};
    check_vjp("Sin(r)*z", kf_binary(&g, KF_MULT, kf_unary(&g, KF_SIN, r), z), 2, apart, 2);
    ck_assert_int_eq(kf_vjp(&g, r, kf_rat(&g, 1, 1), 2, leaves, out), KCL_OK);
    ck_assert(kf_is_zero(kf_value(out[0])) && !kf_is_zero(kf_value(out[1])));
    ck_assert_int_eq(kf_vjp(&g, kf_binary(&g, KF_MULT, r, x), kf_rat(&g, 1, 1), 1, leaves, out), KCL_OK);
    ck_assert_ptr_eq(kf_value(out[0]), r); /* the x inside r does not count */
    ck_assert_int_eq(kf_vjp(&g, r, kf_rat(&g, 1, 1), 0, NULL, NULL), KCL_OK);
}
END_TEST

/* ---- Growth ------------------------------------------------------------------------------------------------------ */

static double derive_twice(int size, int kind, size_t *nodes)
{
    restart(1);
    const kf_node *x = kf_var(&g, 0, 3, KF_ROLE_I), *y = kf_var(&g, 1, 3, KF_ROLE_J), *f = x, *one, *two;
    const kf_node *e = kf_var(&g, 2, kind == 1 ? 1 : 3, KF_ROLE_P);
    for (int k = 0; k < size / 4; k++)
        f = kf_binary(&g, KF_ADD, kf_unary(&g, kind == 1 ? KF_COS : KF_SIN, f),
                      kf_binary(&g, KF_MULT, kf_rat(&g, k % 9 + 1, 10 + k % 7),
                                k % 2       ? x
                                : kind == 1 ? f
                                            : y));
    if (kind == 1)
        f = kf_dot(&g, f, f);
    *nodes = node_count(&g, f);
    double start = cpu_seconds();
    ck_assert_int_eq(kf_vjp(&g, f, e, 1, &x, &one), KCL_OK);
    ck_assert_int_eq(kf_vjp(&g, one, x, 1, &x, &two), KCL_OK);
    ck_assert_int_eq(kf_simplify(&g, 1, &two, &two), KCL_OK);
    return cpu_seconds() - start;
}

START_TEST(deriving_twice_takes_linear_time)
{
    double seconds[3];
    size_t nodes[3];
    for (int k = 0, size = 1000; k < 3; k++, size *= 10) {
        seconds[k] = derive_twice(size, _i, &nodes[k]);
        for (int repeat = 0; repeat < 4; repeat++)
            seconds[k] = KB_MIN(seconds[k], derive_twice(size, _i, &nodes[k]));
        printf("derive twice and simplify, kind %d, %zu nodes: %.2g s\n", _i, nodes[k], seconds[k]);
    }
    ck_assert_msg(seconds[2] < 60 * KB_MAX(seconds[1], 2e-3), "%g s for %zu nodes, %g s for %zu", seconds[1], nodes[1],
                  seconds[2], nodes[2]);
    ck_assert_msg(seconds[1] < 1, "%g s for %zu nodes", seconds[1], nodes[1]);
}
END_TEST

/* Sums of formulas of sums of formulas ..., or steps u <- u + sum_j(...), as flows take. */
static double gradient_of_steps(int steps, int kind, size_t *nodes)
{
    restart(1);
    const kf_node *x = kf_var(&g, 0, 1, KF_ROLE_I), *y = kf_var(&g, 1, 1, KF_ROLE_J), *u = x, *out[2];
    if (kind == 2) /* points that act on each other */
        y = kf_var(&g, 0, 1, KF_ROLE_J);
    for (int k = 0; k < steps; k++) {
        const kf_node *sum = sum_over(KF_AXIS_J, kf_unary(&g, KF_SIN, kf_binary(&g, KF_MULT, u, y)));
        u = kind == 0 ? kf_unary(&g, KF_COS, sum) : kf_binary(&g, KF_ADD, u, sum);
    }
    double start = cpu_seconds();
    ck_assert_int_eq(kf_gradient(&g, u, kf_rat(&g, 1, 1), 2, (const kf_node *[]){x, y}, out), KCL_OK);
    *nodes = g.count;
    return cpu_seconds() - start;
}

START_TEST(gradients_of_many_reductions_take_linear_time)
{
    size_t nodes[2];
    double few = gradient_of_steps(200, _i, &nodes[0]), many = gradient_of_steps(2000, _i, &nodes[1]);
    printf("gradient, kind %d, through 200 reductions: %zu nodes, %.2g s, through 2000: %zu nodes, %.2g s\n", _i,
           nodes[0], few, nodes[1], many);
    ck_assert_uint_lt(nodes[1], 11 * nodes[0]);
    ck_assert_msg(many < 60 * KB_MAX(few, 5e-3), "%g s for 200 reductions, %g s for 2000", few, many);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gradient");
    TCase *tests = tcase_create("gradient");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, gradients_through_reductions, 0, KB_COUNT(chains));
    tcase_add_test(tests, random_formulas_with_reductions);
    tcase_add_test(tests, a_lost_axis_counts_its_terms);
    tcase_add_test(tests, an_array_in_two_roles_has_one_gradient);
    tcase_add_test(tests, second_derivatives_are_symmetric);
    tcase_add_test(tests, a_sum_of_cotangents_that_is_zero_has_a_derivative);
    tcase_add_test(tests, a_variable_that_does_not_occur_has_a_zero_gradient);
    tcase_add_test(tests, an_index_is_a_constant_and_has_no_gradient_of_its_own);
    tcase_add_test(tests, smallest_values_are_derived_through_their_indices);
    tcase_add_test(tests, reductions_are_leaves_of_vjp);
    tcase_add_loop_test(tests, deriving_twice_takes_linear_time, 0, 2);
    tcase_add_loop_test(tests, gradients_of_many_reductions_take_linear_time, 0, 3);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
