/* SPDX-License-Identifier: MIT */
/* The parser: precedence, names, Grad, aliases, and every error with the place of its caret. */
#include "failing.h"
#include "make.h"
#include "order.h"
#include "parse.h"
#include "reductions.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static kf_graph g;
static kb_error err;
static const kf_node *x, *y, *p, *b; /* Vi(0,3), Vj(1,3), Pm(2,1), Vj(3,1) */
static kf_binding bindings[4];
static int64_t next_index;

static void bind_variables(void)
{
    x = kf_var(&g, 0, 3, KF_ROLE_I);
    y = kf_var(&g, 1, 3, KF_ROLE_J);
    p = kf_var(&g, 2, 1, KF_ROLE_P);
    b = kf_var(&g, 3, 1, KF_ROLE_J);
    bindings[0] = (kf_binding){"x", x};
    bindings[1] = (kf_binding){"y", y};
    bindings[2] = (kf_binding){"p", p};
    bindings[3] = (kf_binding){"b", b};
    next_index = 4;
}

static void setup(void)
{
    kf_graph_init(&g, NULL);
    bind_variables();
}

static void teardown(void)
{
    kf_graph_finish(&g);
}

static const kf_node *formula(const char *text)
{
    const kf_node *f = NULL;
    kcl_status status = kf_parse_formula(&g, text, KB_COUNT(bindings), bindings, &next_index, &f, &err);
    ck_assert_msg(status == KCL_OK, "%.200s: %s", text, err.text);
    ck_assert_ptr_nonnull(f);
    return f;
}

static kf_parsed_reduction reduction(const char *text)
{
    kf_parsed_reduction r[KF_MAX_RESULTS];
    size_t count = 0;
    kcl_status status =
        kf_parse_reductions(&g, text, KB_COUNT(bindings), bindings, &next_index, &count, r, &err);
    ck_assert_msg(status == KCL_OK, "%s: %s", text, err.text);
    ck_assert_uint_eq(count, 1);
    return r[0];
}

/* ---- Grammar ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *text, *same, *other;
} precedence[] = {
    {"x|y+x", "x|(y+x)", "(x|y)+x"},
    {"x|y*x", "x|(y*x)", "(x|y)*x"},
    {"x+y|x", "(x+y)|x", "x+(y|x)"},
    {"x|y|p", "(x|y)|p", "x|(y|p)"},
    {"x+y*p", "x+(y*p)", "(x+y)*p"},
    {"x*y+p", "(x*y)+p", "x*(y+p)"},
    {"x-y-p", "(x-y)-p", "x-(y-p)"},
    {"x-y+p", "(x-y)+p", "x-(y+p)"},
    {"x/y/p", "(x/y)/p", "x/(y/p)"},
    {"x/y*p", "(x/y)*p", "x/(y*p)"},
    {"x*y/p", "(x*y)/p", "x*(y/p)"},
    {"-x+y", "(-x)+y", "-(x+y)"},
    {"-x*y", "(-x)*y", "-(x*y)"},
    {"x*-y", "x*(-y)", "-(x*y)"},
    {"x- -y", "x-(-y)", "x+y"},
    {"-x**2", "-(x**2)", "(-x)**2"},
    {"-3**2", "-(3**2)", "(-3)**2"},
    {"x**p**b", "x**(p**b)", "(x**p)**b"},
    {"x**-p**b", "x**(-(p**b))", "x**((-p)**b)"},
    {"x*y**2", "x*(y**2)", "(x*y)**2"},
    {"x**2*y", "(x**2)*y", "x**(2*y)"},
    {"x**1/2", "(x**1)/2", "x**(1/2)"},
    {"x|y+p*x**2-b", "x|((y+(p*(x**2)))-b)", "(x|y)+p*x**2-b"},
    {"x+y*p-x/b*y", "(x+(y*p))-((x/b)*y)", "x+(y*p-x/b)*y"},
    {"x<y+p", "x<(y+p)", "(x<y)+p"},
    {"x+y<p", "(x+y)<p", "x+(y<p)"},
    {"x|y<p", "(x|y)<p", "x|(y<p)"},
    {"p==x|y", "p==(x|y)", "(p==x)|y"},
    {"x%y*p", "(x%y)*p", "x%(y*p)"},
    {"x*y%p", "(x*y)%p", "x*(y%p)"},
    {"x+y%p", "x+(y%p)", "(x+y)%p"},
    {"-x%y", "(-x)%y", "-(x%y)"},
    {"x%y**2", "x%(y**2)", "(x%y)**2"},
    {"-x<y", "(-x)<y", "-(x<y)"},
    {"x<y!=p*b", "(x<y)*(y!=(p*b))", "(x<y)!=(p*b)"},
    {"x<=y<p==b", "((x<=y)*(y<p))*(p==b)", "(x<=y)<(p==b)"},
    {"(x<y)<p", "LessThan(LessThan(x,y),p)", "x<y<p"},
    {"x<(y<p)", "LessThan(x,LessThan(y,p))", "x<y<p"},
    {"x<y|p<b", "(x<(y|p))*((y|p)<b)", "(x<y)|(p<b)"},
};

/* Component c of f where x has the values of a row and p, y, b one value. */
static double value_at(const kf_node *f, const double *row, double other, int c)
{
    double a = f->arg_count > 0 ? value_at(f->arg[0], row, other, c) : 0;
    double b = f->arg_count > 1 ? value_at(f->arg[1], row, other, c) : 0;
    switch ((kf_op)f->op) {
    case KF_VAR:
        return f == x ? row[c] : other;
    case KF_CONST:
        return f->value;
    case KF_ZERO:
        return 0;
    case KF_SUB:
        return a - b;
    case KF_MULT:
        return a * b;
    case KF_DIVIDE:
        return a / b;
    case KF_MINUS:
        return -a;
    case KF_FLOOR:
        return floor(a);
    case KF_EQUAL:
        return a == b;
    case KF_NOT_EQUAL:
        return a != b;
    case KF_LESS:
        return a < b;
    case KF_LESS_EQUAL:
        return a <= b;
    default:
        ck_abort_msg("the test does not know %s", kf_info((kf_op)f->op)->name);
    }
    return NAN;
}

START_TEST(operators_bind_as_in_python)
{
    const kf_node *f = formula(precedence[_i].text);
    ck_assert_msg(f == formula(precedence[_i].same), "%s is not %s", precedence[_i].text, precedence[_i].same);
    ck_assert_msg(f != formula(precedence[_i].other), "%s is %s", precedence[_i].text, precedence[_i].other);
}
END_TEST

START_TEST(operators_make_their_nodes)
{
    ck_assert_ptr_eq(formula("x+y"), kf_binary(&g, KF_ADD, x, y));
    ck_assert_ptr_eq(formula("x-y"), kf_binary(&g, KF_SUB, x, y));
    ck_assert_ptr_eq(formula("x*y"), kf_binary(&g, KF_MULT, x, y));
    ck_assert_ptr_eq(formula("x/y"), kf_binary(&g, KF_DIVIDE, x, y));
    ck_assert_ptr_eq(formula("-x"), kf_unary(&g, KF_MINUS, x));
    ck_assert_ptr_eq(formula("+x"), x);
    ck_assert_ptr_eq(formula("--x"), kf_unary(&g, KF_MINUS, kf_unary(&g, KF_MINUS, x)));
    ck_assert_ptr_eq(formula("x|y"), kf_unary(&g, KF_SUM, kf_binary(&g, KF_MULT, x, y)));
    ck_assert_ptr_eq(formula("Scalprod(x,y)"), formula("x|y"));
    ck_assert_ptr_eq(formula("SqDist(x,y)"),
                     kf_unary(&g, KF_SUM, kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, x, y))));
    ck_assert_ptr_eq(formula("Elem(x,2)"), kf_make(&g, KF_ELEM, &x, &(int64_t){2}));
    ck_assert_ptr_eq(formula("Extract(x, 1, +2)"), kf_make(&g, KF_EXTRACT, &x, (int64_t[]){1, 2}));
    ck_assert_ptr_eq(formula("ElemT(p,4,1)"), kf_make(&g, KF_ELEMT, &p, (int64_t[]){4, 1}));
    ck_assert_ptr_eq(formula("Pow(x,-3)"), kf_make(&g, KF_POW, &x, &(int64_t){-3}));
    ck_assert_ptr_eq(formula("Concat(x,p)"), kf_binary(&g, KF_CONCAT, x, p));
    ck_assert_ptr_eq(formula("Zero(5)"), kf_zero(&g, 5));
    ck_assert_ptr_eq(formula("Var(7,2,1)"), kf_var(&g, 7, 2, KF_ROLE_J));
    ck_assert_int_eq(next_index, 8);
}
END_TEST

START_TEST(comparisons_and_remainders_make_their_nodes)
{
    ck_assert_ptr_eq(formula("x == y"), kf_binary(&g, KF_EQUAL, x, y));
    ck_assert_ptr_eq(formula("x!=y"), kf_binary(&g, KF_NOT_EQUAL, x, y));
    ck_assert_ptr_eq(formula("x<y"), kf_binary(&g, KF_LESS, x, y));
    ck_assert_ptr_eq(formula("x<=y"), kf_binary(&g, KF_LESS_EQUAL, x, y));
    ck_assert_ptr_eq(formula("x>y"), kf_binary(&g, KF_LESS, y, x));
    ck_assert_ptr_eq(formula("x>=y"), kf_binary(&g, KF_LESS_EQUAL, y, x));
    ck_assert_ptr_eq(formula("x<-y"), kf_binary(&g, KF_LESS, x, kf_unary(&g, KF_MINUS, y)));
    ck_assert_ptr_eq(formula("x>y>=p"), kf_binary(&g, KF_MULT, formula("y<x"), formula("p<=y")));
    ck_assert_ptr_eq(formula("x%p"), formula("Mod(x,p,0)"));
    ck_assert_ptr_eq(formula("x % 3"), formula("x-3*Floor((x-0)/3)"));
}
END_TEST

/* KeOps compares f == g as Python objects, and keeps the last of several comparisons. */
START_TEST(comparisons_compare_values_and_chains_mean_all_of_them)
{
    const char *const texts[] = {"p<x<2", "p==p", "p!=p", "x>=p", "5%3", "-5%3"};
    const double values[][3] = {{0, 1, 0}, {1, 1, 1}, {0, 0, 0}, {0, 1, 1}, {2, 2, 2}, {1, 1, 1}};
    const double x_row[] = {0.5, 1.5, 2.5};
    for (size_t k = 0; k < KB_COUNT(texts); k++) {
        const kf_node *f = formula(texts[k]);
        for (int c = 0; c < 3; c++)
            ck_assert_msg(value_at(f, x_row, 1, c) == values[k][c], "%s, component %d", texts[k], c);
    }
}
END_TEST

START_TEST(powers_with_a_number)
{
    ck_assert_ptr_eq(formula("x**2"), kf_unary(&g, KF_SQUARE, x));
    ck_assert_ptr_eq(formula("x**+2"), kf_unary(&g, KF_SQUARE, x));
    ck_assert_ptr_eq(formula("x**((2))"), kf_unary(&g, KF_SQUARE, x));
    ck_assert_ptr_eq(formula("x**1"), x);
    ck_assert_ptr_eq(formula("x**3"), kf_make(&g, KF_POW, &x, &(int64_t){3}));
    ck_assert_ptr_eq(formula("x**-2"), kf_make(&g, KF_POW, &x, &(int64_t){-2}));
    ck_assert_ptr_eq(formula("x**(-2)"), kf_make(&g, KF_POW, &x, &(int64_t){-2}));
    ck_assert_ptr_eq(formula("x**-(2)"), kf_make(&g, KF_POW, &x, &(int64_t){-2}));
    ck_assert_ptr_eq(formula("x**0.5"), kf_unary(&g, KF_SQRT, x));
    ck_assert_ptr_eq(formula("x**(1/2)"), kf_unary(&g, KF_SQRT, x));
    ck_assert_ptr_eq(formula("x**-.5"), kf_unary(&g, KF_RSQRT, x));
    ck_assert_ptr_eq(formula("x**1.5"), kf_binary(&g, KF_POWF, x, kf_num(&g, 1.5)));
    ck_assert_ptr_eq(formula("x**y"), kf_binary(&g, KF_POWF, x, y));
    ck_assert_ptr_eq(formula("Powf(x,2)"), kf_binary(&g, KF_POWF, x, kf_rat(&g, 2, 1)));
}
END_TEST

START_TEST(numbers)
{
    ck_assert_ptr_eq(formula("12"), kf_rat(&g, 12, 1));
    ck_assert_ptr_eq(formula("-12"), kf_rat(&g, -12, 1));
    ck_assert_ptr_eq(formula("- 12"), kf_rat(&g, -12, 1));
    ck_assert_ptr_eq(formula("-(12)"), kf_unary(&g, KF_MINUS, kf_rat(&g, 12, 1)));
    ck_assert_ptr_eq(formula("--12"), kf_unary(&g, KF_MINUS, kf_rat(&g, -12, 1)));
    ck_assert_ptr_eq(formula("007"), kf_rat(&g, 7, 1));
    ck_assert_ptr_eq(formula("0.5"), kf_num(&g, 0.5));
    ck_assert_ptr_eq(formula(".5"), kf_num(&g, 0.5));
    ck_assert_ptr_eq(formula("-.5"), kf_num(&g, -0.5));
    ck_assert_ptr_eq(formula("1e-3"), kf_num(&g, 1e-3));
    ck_assert_ptr_eq(formula("2.5E+2"), kf_rat(&g, 250, 1));
    ck_assert_ptr_eq(formula("3."), kf_rat(&g, 3, 1));
    ck_assert_ptr_eq(formula("9223372036854775807"), kf_rat(&g, INT64_MAX, 1));
    ck_assert_ptr_eq(formula("9223372036854775808"), kf_num(&g, 0x1p63));
    ck_assert_ptr_eq(formula("-9223372036854775808"), kf_num(&g, -0x1p63));
    ck_assert_ptr_eq(formula("123456789012345678901234567890"), kf_num(&g, 123456789012345678901234567890.0));
    ck_assert_ptr_eq(formula("1/3"), kf_binary(&g, KF_DIVIDE, kf_rat(&g, 1, 1), kf_rat(&g, 3, 1)));
    ck_assert_ptr_eq(formula("IntCst(4)"), kf_rat(&g, 4, 1));
    ck_assert_ptr_eq(formula("IntInv(4)"), kf_rat(&g, 1, 4));
    ck_assert_ptr_eq(formula("RatCst(6,-4)"), kf_rat(&g, -3, 2));
    ck_assert_ptr_eq(formula("IntCst(-9223372036854775807)"), kf_rat(&g, -INT64_MAX, 1));
}
END_TEST

/* Both texts are the same expression of Python. */
static const struct {
    const char *text, *same;
} python_texts[] = {
    {"Abs(x,)", "Abs(x)"},
    {"Concat(x , y , )", "Concat(x,y)"},
    {"Extract(x,0,2-1,)", "Extract(x,0,1)"},
    {"Extract(x,0,2-1)", "Extract(x,0,1)"},
    {"Extract(x,(3-2)*1,4//2)", "Extract(x,1,2)"},
    {"Elem(x,-3//-2)", "Elem(x,1)"},
    {"Elem(x,-(-7//2)-2)", "Elem(x,2)"}, /* -7//2 is -4 */
    {"Elem(x,7//-2+5)", "Elem(x,1)"},
    {"Elem(x,-7%3)", "Elem(x,2)"},
    {"Elem(x,7%-3+3)", "Elem(x,1)"},
    {"Elem(x,-6%3)", "Elem(x,0)"},
    {"Elem(x,(-9223372036854775807-1)%-1)", "Elem(x,0)"},
    {"Elem(x,2**3**0)", "Elem(x,2)"},
    {"Elem(x,-2**2+5)", "Elem(x,1)"},
    {"Elem(x,(-1)**9223372036854775807+1)", "Elem(x,0)"},
    {"Elem(x,1-2*3+6)", "Elem(x,1)"},
    {"Elem(x,--(+(1)))", "Elem(x,1)"},
    {"Elem(x,0-(-9223372036854775807-1)//9223372036854775807)", "Elem(x,2)"},
    {"ElemT(p,3,+2)", "ElemT(p,3,2)"},
    {"Pow(x,2**5)", "Pow(x,32)"},
    {"Pow(x,-(1+1))", "Pow(x,-2)"},
    {"IntCst(2*3)", "6"},
    {"RatCst(1,1+1)", "RatCst(1,2)"},
    {"x*(7//2)", "x*3"},
    {"x*(-7//2)", "x*-4"},
    {"x**(3-1)", "x**2"},
    {"x**(5//2)", "x**2"},
    {"x**-(1+1)", "x**-2"},
    {"x**(2**3)", "x**8"},
    {"x**(7%5)", "x**2"},
    {"x**((1+1)/4)", "Sqrt(x)"},
    {"Kron(x,y,(3,),(3,))", "Kron(x,y,[3],[3])"},
    {"Kron(x,y,[3,],( 3 , ),)", "Kron(x,y,[3],[3])"},
    {"Kron(x,y,(1,3),(3,1,))", "Kron(x,y,[1,3],[3,1])"},
    {"Kron(p,b,(),[])", "Kron(p,b,[],[])"},
    {"Kron(x,y,(2+1,),Ind(3,))", "Kron(x,y,[3],[3])"},
    {"TensorDot(x,y,(3,),(3,),(0,),(-1+1,))", "TensorDot(x,y,[3],[3],[0],[0])"},
    {"TensorDot(x,y,(3,),(3,),(),(),(1,0),)", "TensorDot(x,y,[3],[3],[],[],[1,0])"},
    {"Grad(x*p,x,x,)", "Grad(x*p,x,x)"},
    {"Grad_WithSavedForward(x*p,x,x,x,)", "Grad(x*p,x,x)"},
    {"Diff(x*p,(x,),(y,),)", "Diff(x*p,x,y)"},
    {"Diff(x*p,[x,p],(x,p,))", "Diff(x*p,(x,p),(x,p))"},
    {"Diff(x*p,[x],[y])", "Diff(x*p,x,y)"},
    {"Diff(x*p,x,(y))", "Diff(x*p,x,y)"},
    {"Diff(x*p,x,(y)+(x))", "Diff(x*p,x,y+x)"},
    {"GradMatrix(x,x,)", "GradMatrix(x,x)"},
    {"TraceOperator(x,x,)", "TraceOperator(x,x)"},
    {"SumLinOperator(x,x,x,p,)", "SumLinOperator(x,x,x,p)"},
    {"Factorize(x,x,)", "x"},
    {"Var(2-2,1+2,0,)", "x"},
    {"Sum_Reduction(x,0,)", "Sum_Reduction(x,0)"},
    {"Sum_Reduction(x*y,2-1)", "Sum_Reduction(x*y,1)"},
    {"KMin_Reduction(x*y,2+1,0,)", "KMin_Reduction(x*y,3,0)"},
    {"MeanKMin_Reduction(x*y,2+1,0)", "MeanKMin_Reduction(x*y,3,0)"},
    {"LogSumExp_Reduction(b,0,x,)", "LogSumExp_Reduction(b,0,x)"},
    {"LogSumExp_Reduction(b,x,1-1)", "LogSumExp_Reduction(b,x,0)"},
    {"LogSumExp_Reduction (b,x,0)", "LogSumExp_Reduction(b,x,0)"},
    {"Max_SumShiftExp_Reduction (b,0,y,)", "Max_SumShiftExp_Reduction(b,0,y)"},
    {"Zero_Reduction(6//2,2%2,)", "Zero_Reduction(3,0)"},
    {"Identity_Reduction(x,0,)", "Identity_Reduction(x,0)"},
};

START_TEST(texts_are_expressions_of_python)
{
    ck_assert_ptr_eq(formula(python_texts[_i].text), formula(python_texts[_i].same));
}
END_TEST

START_TEST(blanks_and_parentheses_do_not_matter)
{
    const kf_node *f = formula("Exp(-p*SqDist(x,y))*b");
    ck_assert_ptr_eq(f, formula(" \tExp ( - p *\n\tSqDist ( x ,\r\n y ) ) * b \n"));
    ck_assert_ptr_eq(f, formula("(((Exp((-(p))*(SqDist((x),(y))))))*(b))"));
    ck_assert_ptr_eq(formula("x ** 2"), formula("x**2"));
}
END_TEST

START_TEST(bound_expressions_are_used_as_they_are)
{
    const kf_binding with[] = {{"x", x}, {"K", formula("Exp(-p*SqDist(x,y))")}};
    const kf_node *f = NULL;
    ck_assert_int_eq(kf_parse_formula(&g, "K*K", 2, with, &next_index, &f, &err), KCL_OK);
    ck_assert_ptr_eq(f, kf_binary(&g, KF_MULT, with[1].value, with[1].value));
}
END_TEST

/* ---- Reductions -------------------------------------------------------------------------------------------------- */

START_TEST(reductions_carry_their_tag)
{
    kf_parsed_reduction r[KF_MAX_RESULTS];
    size_t count = 0;
    const char *text = "Sum_Reduction(x*b,0); (Sum_Reduction(x*b, 1)) ;\nSum_Reduction(x*b,2);";
    ck_assert_int_eq(kf_parse_reductions(&g, text, 4, bindings, &next_index, &count, r, &err), KCL_OK);
    ck_assert_uint_eq(count, 3);
    const unsigned axes[] = {KF_AXIS_J, KF_AXIS_I, KF_AXIS_I | KF_AXIS_J};
    for (int tag = 0; tag < 3; tag++) {
        ck_assert_int_eq(r[tag].tag, tag);
        ck_assert_ptr_eq(r[tag].node, kf_reduce(&g, KF_REDUCE_SUM, axes[tag], 0, formula("x*b")));
    }
    ck_assert_int_eq(next_index, 4);
    ck_assert_ptr_eq(reduction("LogSumExp_Reduction(x|y,0)").node,
                     kf_reduce(&g, KF_REDUCE_LOGSUMEXP, KF_AXIS_J, 0, formula("x|y")));
    ck_assert_ptr_eq(reduction("ArgMin_Reduction(x*y,1)").node,
                     kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_I, 0, formula("x*y")));
    ck_assert_ptr_eq(reduction("ArgKMax_Reduction(x*y, 7, 2)").node,
                     kf_reduce(&g, KF_REDUCE_ARGKMAX, KF_AXIS_I | KF_AXIS_J, 7, formula("x*y")));
    /* The weight stands before the tag, or behind it as in KeOps. */
    const kf_node *weighted = kf_weighted(&g, KF_REDUCE_LOGSUMEXPWEIGHT, formula("x|y"), formula("y"));
    weighted = kf_reduce(&g, KF_REDUCE_LOGSUMEXPWEIGHT, KF_AXIS_J, 0, weighted);
    ck_assert_ptr_eq(reduction("LogSumExpWeight_Reduction(x|y,y,0)").node, weighted);
    ck_assert_ptr_eq(reduction("LogSumExpWeight_Reduction(x|y,0,y)").node, weighted);
    ck_assert_ptr_eq(reduction("LogSumExp_Reduction(x|y,y,0)").node, weighted);
    ck_assert_ptr_eq(reduction("LogSumExp_Reduction(x|y,0,y)").node, weighted);
    ck_assert_ptr_eq(reduction("SumSoftMaxWeight_Reduction(x|y,2,1)").node,
                     kf_reduce(&g, KF_REDUCE_SUMSOFTMAXWEIGHT, KF_AXIS_I, 0,
                               kf_weighted(&g, KF_REDUCE_SUMSOFTMAXWEIGHT, formula("x|y"), formula("2"))));
    /* One name, two results. */
    ck_assert_int_eq(kf_parse_reductions(&g, "KMin_ArgKMin_Reduction(x*y,3,1);Max_ArgMax_Reduction(b,0)", 4, bindings,
                                         &next_index, &count, r, &err), KCL_OK);
    ck_assert_uint_eq(count, 4);
    ck_assert_ptr_eq(r[0].node, kf_reduce(&g, KF_REDUCE_KMIN, KF_AXIS_I, 3, formula("x*y")));
    ck_assert_ptr_eq(r[1].node, kf_reduce(&g, KF_REDUCE_ARGKMIN, KF_AXIS_I, 3, formula("x*y")));
    ck_assert_int_eq(r[0].node->dim, 9);
    ck_assert_ptr_eq(r[2].node, kf_reduce(&g, KF_REDUCE_MAX, KF_AXIS_J, 0, formula("b")));
    ck_assert_ptr_eq(r[3].node, kf_reduce(&g, KF_REDUCE_ARGMAX, KF_AXIS_J, 0, formula("b")));
    ck_assert_int_eq(r[1].tag, 1);
    ck_assert_int_eq(r[3].tag, 0);
    /* The sum over j has a term for each j of the call, though x is the same for all. */
    ck_assert_ptr_eq(reduction("Sum_Reduction(x,0)").node,
                     kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_like(&g, x, formula("y"))));
}
END_TEST

START_TEST(results_are_counted)
{
    char text[40 * (KF_MAX_RESULTS + 1)] = "";
    kf_parsed_reduction r[KF_MAX_RESULTS];
    size_t count = 0;
    for (int k = 0; k < KF_MAX_RESULTS; k++)
        strcat(text, "Sum_Reduction(b,0);");
    ck_assert_int_eq(kf_parse_reductions(&g, text, 4, bindings, &next_index, &count, r, &err), KCL_OK);
    ck_assert_uint_eq(count, KF_MAX_RESULTS);
    strcat(text, "Sum_Reduction(b,0);");
    ck_assert_int_eq(kf_parse_reductions(&g, text, 4, bindings, &next_index, &count, r, &err), KCL_ERROR_SYNTAX);
    ck_assert_ptr_nonnull(strstr(err.text, "there are more than 64 reductions\n"));
}
END_TEST

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
    {"SqDist(x,y)", "x", "b"},       {"SqDist(x,y)", "y", "b*p"},      {"Exp(-p*SqDist(x,y))*y", "p", "x"},
    {"(x|y)/p+b*x", "x", "Var(4,3,0)-y"}, {"Exp(-p*SqDist(x,y))", "x", "1"}, {"x*y", "b", "x"},
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
    {"Exp(-p*SqDist(x,y))*b", 0, "x", "Var(5,1,0)"}, {"Exp(-p*SqDist(x,y))*b", 0, "y", "Var(5,1,0)"},
    {"Exp(-p*SqDist(x,y))*b", 0, "p", "Var(5,1,0)"}, {"Exp(-p*SqDist(x,y))*x", 1, "x", "y"},
    {"Exp(-p*SqDist(x,y))*x", 1, "y", "Var(5,3,1)"},         {"(x|y)*b", 2, "x", "p"},
    {"(x|y)*b", 2, "b", "Var(6,1,2)"},               {"y*b", 0, "b", "x"},
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

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

#define REDUCTIONS                                                                                                     \
    "Sum_Reduction, LogSumExp_Reduction, Min_Reduction, ArgMin_Reduction, KMin_Reduction, ArgKMin_Reduction, "         \
    "MeanKMin_Reduction, Max_Reduction, ArgMax_Reduction, KMax_Reduction, ArgKMax_Reduction, MeanKMax_Reduction, LogSumExpWeight_Reduction, "                  \
    "SumSoftMaxWeight_Reduction, Min_ArgMin_Reduction, Max_ArgMax_Reduction, KMin_ArgKMin_Reduction, "                 \
    "KMax_ArgKMax_Reduction, Max_SumShiftExp_Reduction, Max_SumShiftExpWeight_Reduction, Zero_Reduction, "             \
    "Identity_Reduction"

static const struct {
    kcl_status status;
    const char *text;
    int column;
    const char *sentence;
} formula_errors[] = {
    {KCL_ERROR_SYNTAX, "x+", 2, "the text ends where a formula is expected"},
    {KCL_ERROR_SYNTAX, "x + * y", 4, "a formula is expected, not '*'"},
    {KCL_ERROR_SYNTAX, "*x", 0, "a formula is expected, not '*'"},
    {KCL_ERROR_SYNTAX, "x**", 3, "the text ends where a formula is expected"},
    {KCL_ERROR_SYNTAX, "x***y", 3, "a formula is expected, not '*'"},
    {KCL_ERROR_SYNTAX, "()", 1, "a formula is expected, not ')'"},
    {KCL_ERROR_SYNTAX, "x*(y+b", 6, "the text ends where an operator or ')' is expected"},
    {KCL_ERROR_SYNTAX, "(x;y)", 2, "an operator or ')' is expected, not ';'"},
    {KCL_ERROR_SYNTAX, "x)+y", 1, "there is no '(' for this ')'"},
    {KCL_ERROR_SYNTAX, "x y", 2, "an operator or the end of the formula is expected, not 'y'"},
    {KCL_ERROR_SYNTAX, "2x", 1, "an operator or the end of the formula is expected, not 'x'"},
    {KCL_ERROR_SYNTAX, "1.2.3", 3, "an operator or the end of the formula is expected, not '.'"},
    {KCL_ERROR_SYNTAX, "x,y", 1, "an operator or the end of the formula is expected, not ','"},
    {KCL_ERROR_SYNTAX, "x;y", 1, "one formula is expected; ';' separates reductions"},
    {KCL_ERROR_SYNTAX, "x=y", 1, "there is no operator '='; the operators are + - * / % | ** == != < <= > >="},
    {KCL_ERROR_SYNTAX, "x===y", 3, "there is no operator '='; the operators are + - * / % | ** == != < <= > >="},
    {KCL_ERROR_SYNTAX, "x<<y", 1, "there is no operator '<<'; the operators are + - * / % | ** == != < <= > >="},
    {KCL_ERROR_SYNTAX, "x<>y", 1, "there is no operator '<'; the operators are + - * / % | ** == != < <= > >="},
    {KCL_ERROR_SYNTAX, "x>>y", 1, "there is no operator '>>'; the operators are + - * / % | ** == != < <= > >="},
    {KCL_ERROR_SYNTAX, "x//y", 1, "there is no operator '//'; the operators are + - * / % | ** == != < <= > >="},
    {KCL_ERROR_SYNTAX, "x^2", 1, "there is no operator '^'; the operators are + - * / % | ** == != < <= > >=, powers are written **"},
    {KCL_ERROR_SYNTAX, "x@y", 1, "there is no operator '@'; the operators are + - * / % | ** == != < <= > >="},
    {KCL_ERROR_SYNTAX, "x<", 2, "the text ends where a formula is expected"},
    {KCL_ERROR_SYNTAX, "x<y and y<p", 4, "there is no operator 'and': And(f,g) is 1 where both are not 0"},
    {KCL_ERROR_SYNTAX, "x<y or y<p", 4, "there is no operator 'or': Or(f,g) is 1 where one of them is not 0"},
    {KCL_ERROR_SYNTAX, "not x<y", 0, "there is no operator 'not': Not(f) is 1 where f is 0"},
    {KCL_ERROR_SYNTAX, "x if p else y", 2, "there is no operator 'if': Where(c,f,g) is f where c is not 0, else g"},
    {KCL_ERROR_SHAPE, "x == Concat(x,p)", 2,
     "'==': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
    {KCL_ERROR_SYNTAX, "x/0", 2, "this divides by 0"},
    {KCL_ERROR_SYNTAX, "x + y/-0.0*p", 6, "this divides by 0"},
    {KCL_ERROR_SYNTAX, "x%Zero(3)", 2, "this divides by 0"},
    {KCL_ERROR_SYNTAX, "Divide(x, 0)", 10, "this divides by 0"},
    {KCL_ERROR_SYNTAX, "Inv(0)", 4, "this divides by 0"},
    {KCL_ERROR_SYNTAX, "Mod(x,0,p)", 6, "this divides by 0"},
    {KCL_ERROR_SYNTAX, "x+[1]", 2, "a formula is expected, not '['"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y)", 0,
     "TensorDot needs two formulas, a list of sizes and of axes to sum over for each, and perhaps a permutation, 2 given"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3],[3],[0],[0],[],0)", 0,
     "TensorDot needs two formulas, a list of sizes and of axes to sum over for each, and perhaps a permutation, 8 given"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,3,[3],[0],[0])", 14, "a list of sizes, as [2,3], is expected, not '3'"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3],[3],[0],x)", 26, "a list of axes, as [0,1] or [], is expected, not 'x'"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3 1],[3],[0],[0])", 17, "',' or ']' is expected, not '1'"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3,,],[3],[0],[0])", 17, "a whole number is expected, not ','"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,[,],[3],[0],[0])", 15, "a whole number is expected, not ','"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,(3),(3,),(0,),(0,))", 14,
     "a list of sizes, as [2,3], is expected, not a number in parentheses; one number is [3] or (3,)"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,(3,1 1),[3],[0],[0])", 19, "',' or ')' is expected, not '1'"},
    {KCL_ERROR_SYNTAX, "Kron(x,y,(3,),(3,),,)", 18, "an operator or ')' is expected, not ','"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3", 16, "the text ends where ',' or ']' is expected"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3,1,1,1,1,1,1,1,1],[3],[0],[0])", 14, "a list has more than 8 numbers"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3],[3],[0],[])", 0,
     "TensorDot: 1 axes of the first are summed over, and 0 of the second: they must be as many"},
    {KCL_ERROR_SYNTAX, "TensorDot(x,y,[3],[3],[],[],[0])", 0,
     "TensorDot: the permutation has 1 numbers, for the 2 axes of the product"},
    {KCL_ERROR_ARGUMENT, "p+TensorDot(x,y,[3],[3],[],[],[1,1])", 2,
     "TensorDot: (1, 1) is no permutation of the 2 axes of the product, 0 to 1"},
    {KCL_ERROR_ARGUMENT, "TensorDot(x,y,[3],[3],[],[],[0,-1])", 0,
     "TensorDot: (0, -1) is no permutation of the 2 axes of the product, 0 to 1"},
    {KCL_ERROR_SHAPE, "TensorDot(x,y,[3,2],[3],[0],[0])", 0,
     "TensorDot: the shape (3, 2) is not one of 3 components, as the operand has"},
    {KCL_ERROR_SHAPE, "TensorDot(x,y,[3],[0],[0],[0])", 0,
     "TensorDot: the shape (0) is not one of 3 components, as the operand has"},
    {KCL_ERROR_SHAPE, "TensorDot(x,Concat(y,p),[3],[4],[0],[0])", 0,
     "TensorDot: axis 0 of the first has size 3, axis 0 of the second has 4"},
    {KCL_ERROR_SHAPE, "TensorDot(x,y,[3],[3],[1],[0])", 0,
     "TensorDot: axis 1 of an inner shape (3) is not between -1 and 0"},
    {KCL_ERROR_ARGUMENT, "TensorDot(x,y,[3,1],[3,1],[0,0],[0,1])", 0,
     "TensorDot: an axis is summed over twice (0, 1)"},
    {KCL_ERROR_SHAPE, "TensorDot(x,y,[3,1,1,1,1],[3,1,1,1,1],[0],[0])", 0,
     "TensorDot: the product has 9 axes, those that are summed over included: more than 8"},
    {KCL_ERROR_SYNTAX, "Kron(x,y,[3])", 0, "Kron needs two formulas, and a list of sizes for each, 3 given"},
    {KCL_ERROR_SHAPE, "Kron(x,y,[3],[3,1])", 0, "Kron: the inner shapes have 1 and 2 axes, it must be as many"},
    {KCL_ERROR_SYNTAX, "x\"", 1, "the character \" has no meaning in a formula"},
    {KCL_ERROR_SYNTAX, "x+\x01", 2, "the byte 0x01 has no meaning in a formula, which is ASCII text"},
    {KCL_ERROR_SYNTAX, "Epx(x)", 0, "unknown name 'Epx'; did you mean 'Exp'?"},
    {KCL_ERROR_SYNTAX, "p*exp(x)", 2, "unknown name 'exp'; did you mean 'Exp'?"},
    {KCL_ERROR_SYNTAX, "1+SqDits(x,y)", 2, "unknown name 'SqDits'; did you mean 'SqDist'?"},
    {KCL_ERROR_SYNTAX, "x+X", 2, "unknown name 'X'; did you mean 'x'?"},
    {KCL_ERROR_SYNTAX, "x+z", 2, "unknown name 'z'; the variables are x, y, p, b"},
    {KCL_ERROR_SYNTAX, "grad(x,x)", 0, "unknown name 'grad'; did you mean 'Grad'?"},
    {KCL_ERROR_SYNTAX, "x+sum_Reduction(x,0)", 2, "unknown name 'sum_Reduction'; did you mean 'Sum_Reduction'?"},
    {KCL_ERROR_SYNTAX, "Median_Reduction(x,0)", 0, "unknown reduction 'Median_Reduction'; there is " REDUCTIONS},
    {KCL_ERROR_SYNTAX, "Reduction(x,0,1,0)", 0, "unknown reduction 'Reduction'; there is " REDUCTIONS},
    {KCL_ERROR_SYNTAX, "x+Exp", 2, "Exp is an operator: its arguments follow in parentheses"},
    {KCL_ERROR_SYNTAX, "p(x)", 0, "'p' is a variable, not an operator: write * to multiply"},
    {KCL_ERROR_SYNTAX, "x+Vj(1,3)", 2,
     "'Vj' declares an alias; in a formula a variable is its alias or Var(index,dimension,role)"},
    {KCL_ERROR_SYNTAX, "Elem(x)", 0, "Elem needs 1 formula and 1 whole number, 1 given"},
    {KCL_ERROR_SYNTAX, "x+Elem(x,)", 2, "Elem needs 1 formula and 1 whole number, 1 given"},
    {KCL_ERROR_SYNTAX, "Elem(x,1,2)", 0, "Elem needs 1 formula and 1 whole number, 3 given"},
    {KCL_ERROR_SYNTAX, "Exp()", 0, "Exp needs 1 formula, 0 given"},
    {KCL_ERROR_SYNTAX, "Exp(x,(y,b))", 0, "Exp needs 1 formula, 2 given"},
    {KCL_ERROR_SYNTAX, "Exp(x,,)", 5, "an operator or ')' is expected, not ','"},
    {KCL_ERROR_SYNTAX, "(x,)", 2, "an operator or ')' is expected, not ','"},
    {KCL_ERROR_SYNTAX, "Exp(,)", 4, "a formula is expected, not ','"},
    {KCL_ERROR_SYNTAX, "Exp(,x)", 4, "a formula is expected, not ','"},
    {KCL_ERROR_SYNTAX, "Exp(x", 5, "the text ends where an operator or ')' is expected"},
    {KCL_ERROR_SYNTAX, "Concat(x", 8, "the text ends where an operator or ',' is expected"},
    {KCL_ERROR_SYNTAX, "Concat(x;y)", 8, "an operator or ',' is expected, not ';'"},
    {KCL_ERROR_SYNTAX, "SqDist(x)", 0, "SqDist needs 2 formulas, 1 given"},
    {KCL_ERROR_SYNTAX, "RatCst(1)", 0, "RatCst needs 2 whole numbers, 1 given"},
    {KCL_ERROR_SYNTAX, "Elem(x,y)", 7, "a whole number is expected, not 'y'"},
    {KCL_ERROR_SYNTAX, "Elem(x,1.5)", 7, "a whole number is expected, not 1.5"},
    {KCL_ERROR_SYNTAX, "Elem(x,-1e2)", 7, "a whole number is expected, not -1e2"},
    {KCL_ERROR_SYNTAX, "Elem(x,9223372036854775808)", 7, "a whole number is expected, not 9223372036854775808"},
    {KCL_ERROR_SHAPE, "Elem(x,1+2)", 0, "Elem: index 3 is not between 0 and 2"},
    {KCL_ERROR_SYNTAX, "Elem(x,1+)", 9, "a whole number is expected, not ')'"},
    {KCL_ERROR_SYNTAX, "Elem(x,1+b)", 9, "a whole number is expected, not 'b'"},
    {KCL_ERROR_SYNTAX, "Elem(x,(1+0.5))", 10, "a whole number is expected, not 0.5"},
    {KCL_ERROR_SYNTAX, "Elem(x,(1)", 10, "the text ends where ')' is expected"},
    {KCL_ERROR_SYNTAX, "Elem(x,(1", 9, "the text ends where an operator or ')' is expected"},
    {KCL_ERROR_SYNTAX, "Elem(x,4/2)", 8, "a whole number is expected: '/' does not give one, '//' does"},
    {KCL_ERROR_SYNTAX, "Elem(x,1<2)", 8, "a whole number is expected: whole numbers have + - * // % **"},
    {KCL_ERROR_SYNTAX, "Elem(x,1|2)", 8, "a whole number is expected: whole numbers have + - * // % **"},
    {KCL_ERROR_SYNTAX, "Elem(x,1^2)", 8,
     "there is no operator '^'; the operators are + - * / % | ** == != < <= > >=, powers are written **"},
    {KCL_ERROR_SYNTAX, "Elem(x,1//(2-2))", 11, "this divides by 0"},
    {KCL_ERROR_SYNTAX, "Elem(x,1%0)", 9, "this divides by 0"},
    {KCL_ERROR_SYNTAX, "Elem(x,2**-1)", 10,
     "a whole number is expected: a power with a negative exponent is none"},
    {KCL_ERROR_SYNTAX, "Elem(x,0*9223372036854775807+1+9223372036854775807)", 30,
     "a whole number is expected: this one has more than 64 bits"},
    {KCL_ERROR_SYNTAX, "Elem(x,0-9223372036854775807-2)", 28,
     "a whole number is expected: this one has more than 64 bits"},
    {KCL_ERROR_SYNTAX, "Elem(x,-(-9223372036854775807-1))", 7,
     "a whole number is expected: this one has more than 64 bits"},
    {KCL_ERROR_SYNTAX, "Elem(x,(-9223372036854775807-1)//-1)", 31,
     "a whole number is expected: this one has more than 64 bits"},
    {KCL_ERROR_SYNTAX, "Elem(x,3037000500*3037000500)", 17,
     "a whole number is expected: this one has more than 64 bits"},
    {KCL_ERROR_SYNTAX, "Elem(x,2**63)", 8, "a whole number is expected: this one has more than 64 bits"},
    {KCL_ERROR_SYNTAX, "Elem(x,10**999999999999999999)", 9,
     "a whole number is expected: this one has more than 64 bits"},
    {KCL_ERROR_SYNTAX, "7//x", 1, "there is no operator '//'; the operators are + - * / % | ** == != < <= > >="},
    {KCL_ERROR_SYNTAX, "7//0", 3, "this divides by 0"},
    {KCL_ERROR_SYNTAX, "1.5//1", 3, "there is no operator '//'; the operators are + - * / % | ** == != < <= > >="},
    {KCL_ERROR_SHAPE, "Elem(x, 3)", 0, "Elem: index 3 is not between 0 and 2"},
    {KCL_ERROR_SHAPE, "1 + RatCst(1,0)", 4, "RatCst: the denominator is 0"},
    {KCL_ERROR_SHAPE, "1 + IntInv(0)", 4, "IntInv: the denominator is 0"},
    {KCL_ERROR_SHAPE, "OneHot(b,0)", 0, "OneHot: dimension 0 is not between 1 and 16777216"},
    {KCL_ERROR_SHAPE, "1 + SqDist(x,Concat(x,p))", 4,
     "SqDist: the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
    {KCL_ERROR_SHAPE, "x % Concat(x,p)", 2,
     "'%': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
    {KCL_ERROR_SHAPE, "x < y > Concat(x,p)", 6,
     "'>': the operands have dimensions 4 and 3; they must be equal, or one of them 1"},
    {KCL_ERROR_SHAPE, "p*1e999", 2, "a constant must be a finite number, or inf"},
    {KCL_ERROR_SYNTAX,
     "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000.00000000"
     "0000000000000000",
     -1, "the number has too many digits"},
    {KCL_ERROR_SHAPE, "x + Concat(x,p)", 2,
     "'+': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
    {KCL_ERROR_SHAPE, "b+(x|Concat(x,p))", 4,
     "'|': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
    {KCL_ERROR_SHAPE, "x ** Concat(x,p)", 2,
     "'**': the operands have dimensions 3 and 4; they must be equal, or one of them 1"},
    {KCL_ERROR_SYNTAX, "Var(0,3)", 0, "Var needs 3 whole numbers, 2 given"},
    {KCL_ERROR_SYNTAX, "Var(0,3,0", 9, "the text ends where ')' is expected"},
    {KCL_ERROR_SYNTAX, "Var(k,3,0)", 4, "a variable's index (a whole number) is expected, not 'k'"},
    {KCL_ERROR_SHAPE, "Var(-1,3,0)", 4, "index -1 of a variable is not between 0 and 65535"},
    {KCL_ERROR_SHAPE, "Var(65536,3,0)", 4, "index 65536 of a variable is not between 0 and 65535"},
    {KCL_ERROR_SHAPE, "Var(9,0,0)", 6, "dimension 0 of a variable is not between 1 and 16777216"},
    {KCL_ERROR_SHAPE, "Var(9,16777217,0)", 6, "dimension 16777217 of a variable is not between 1 and 16777216"},
    {KCL_ERROR_SHAPE, "Var(9,3,3)", 8, "role 3 of a variable is not 0 (i), 1 (j) or 2 (parameter)"},
    {KCL_ERROR_SHAPE, "x+Var(0,2,0)", 2,
     "variable 0 is both Vi(0,3) and Vi(0,2): it has one role and dimension"},
    {KCL_ERROR_SHAPE, "Var(9,3,1)*Var(9,3,2)", 11,
     "variable 9 is both Vj(9,3) and Pm(9,3): it has one role and dimension"},
    {KCL_ERROR_SYNTAX, "Grad(x)", 0,
     "Grad needs a formula or reduction F, a variable v, and perhaps a cotangent e, 1 given"},
    {KCL_ERROR_SYNTAX, "Grad(x,x,x,x)", 0,
     "Grad needs a formula or reduction F, a variable v, and perhaps a cotangent e, 4 given"},
    {KCL_ERROR_SYNTAX, "Grad(x,y+x,x)", 7, "the second argument of Grad must be a variable"},
    {KCL_ERROR_SYNTAX, "Grad(x,1,x)", 7, "the second argument of Grad must be a variable"},
    {KCL_ERROR_SHAPE, "Grad(x,x,Concat(x,p))", 9,
     "Grad: the formula has dimension 3, the cotangent has 4; they must be equal"},
    {KCL_ERROR_SHAPE, "AdjointOperator(x,x,Concat(x,p))", 16,
     "AdjointOperator: the formula has dimension 3, the cotangent has 4; they must be equal"},
    {KCL_ERROR_SHAPE, "Diff(x,x,Concat(x,p))", 9,
     "Diff: derivative in a direction: the variable has dimension 3, the direction has 4; they must be equal, or that "
     "of the direction 1"},
    {KCL_ERROR_SYNTAX, "x+Min_ArgMin_Reduction(x|b,0)", 2, "two results are no formula: name a reduction of one"},
    {KCL_ERROR_SYNTAX, "Min_ArgMin_Reduction(x|b,0)", 0, "two results are no formula: name a reduction of one"},
    {KCL_ERROR_DERIVATIVE, "Grad(Exp(Sum_Reduction(x*b,0)),x,x)", 5,
     "the variable is in a reduction within the formula: Grad is of a reduction around it, such as "
     "Identity_Reduction(F,0)"},
    {KCL_ERROR_DERIVATIVE, "AdjointOperator(Sum_Reduction(x*b,0),x,x)", 16,
     "AdjointOperator: the formula depends on the variable through a reduction"},
}, reduction_errors[] = {
    {KCL_ERROR_SYNTAX, "x", 0, "a reduction is expected, such as Sum_Reduction(F,0), not a formula; Identity_Reduction(F,0) is one of what needs none"},
    {KCL_ERROR_SYNTAX, "Sum_Reduction(x,0);x*y", 19,
     "a reduction is expected, such as Sum_Reduction(F,0), not a formula; Identity_Reduction(F,0) is one of what needs none"},
    {KCL_ERROR_SYNTAX, "Sum_Reduction(x,0);;", 19, "a formula is expected, not ';'"},
    {KCL_ERROR_SYNTAX, "Sum_Reduction(x,0) x", 19, "an operator or the end of the formula is expected, not 'x'"},
    {KCL_ERROR_SYNTAX, "Sum_Reduction(x)", 0, "Sum_Reduction needs 1 formula and 1 whole number, 1 given"},
    {KCL_ERROR_SYNTAX, "Sum_Reduction(x,3)", 16,
     "tag 3 of a reduction is not 0 (a row per i), 1 (a row per j) or 2 (a single row)"},
    {KCL_ERROR_SYNTAX, "Sum_Reduction(x,y)", 16, "the reduction's tag (0, 1 or 2) is expected, not 'y'"},
    {KCL_ERROR_SYNTAX, "Grad(Sum_Reduction(x*b,0),Sum_Reduction(x,0))", 26,
     "the second argument of Grad must be a variable"},
    {KCL_ERROR_SHAPE, "Grad(Sum_Reduction(x*b,0),x,y)", 28,
     "the cotangent depends on j, over which the result is reduced"},
    {KCL_ERROR_SHAPE, "Grad(Sum_Reduction(x*b,0),x,Concat(x,p))", 28,
     "Grad: the expression has dimension 3, the cotangent has 4; they must be equal"},
    {KCL_ERROR_SHAPE, "Grad(Sum_Reduction(x*b,1),x,x)", 28,
     "the cotangent depends on i, over which the result is reduced"},
    {KCL_ERROR_SHAPE, "LogSumExpWeight_Reduction(x*b,y,0)", 0,
     "LogSumExpWeight_Reduction: the exponent has dimension 3, it must be 1: weigh its components one by one (Elem)"},
    {KCL_ERROR_SYNTAX, "LogSumExpWeight_Reduction(b,0)", 0,
     "LogSumExpWeight_Reduction needs 2 formulas and 1 whole number, 2 given"},
    {KCL_ERROR_SHAPE, "LogSumExp_Reduction(x,b,0)", 0,
     "LogSumExp_Reduction: the exponent has dimension 3, it must be 1: weigh its components one by one (Elem)"},
    {KCL_ERROR_ARGUMENT, "KMin_ArgKMin_Reduction(x*b,0,1)", 0, "KMin_ArgKMin_Reduction: K is 0, it must be 1 or more"},
    {KCL_ERROR_SYNTAX, "LogSumExp_Reduction(b,x,y)", 22, "the reduction's tag (0, 1 or 2) is expected"},
    {KCL_ERROR_SYNTAX, "SumSoftMaxWeight_Reduction(b,x,3)", 31,
     "tag 3 of a reduction is not 0 (a row per i), 1 (a row per j) or 2 (a single row)"},
    {KCL_ERROR_ARGUMENT, "KMin_Reduction(x*b,0,1)", 0, "KMin_Reduction: K is 0, it must be 1 or more"},
    {KCL_ERROR_SYNTAX, "KMin_Reduction(x*b,0)", 0, "KMin_Reduction needs 1 formula and 2 whole numbers, 2 given"},
    {KCL_ERROR_SYNTAX, "Grad(Min_ArgMin_Reduction(x*b,0),x)", 5,
     "Grad differentiates one result: values and indices are two"},
    {KCL_ERROR_SHAPE, "Max_SumShiftExp_Reduction(x,0)", 26,
     "Max_SumShiftExp_Reduction: the exponent has dimension 3, it must be 1"},
    {KCL_ERROR_SYNTAX, "Max_SumShiftExp_Reduction(b)", 0,
     "Max_SumShiftExp_Reduction needs a formula F, a tag, and perhaps a weight, 1 given"},
    {KCL_ERROR_SYNTAX, "Max_SumShiftExpWeight_Reduction(b,3,x)", 34,
     "tag 3 of a reduction is not 0 (a row per i), 1 (a row per j) or 2 (a single row)"},
    {KCL_ERROR_SYNTAX, "Max_SumShiftExp_Reduction(b,x)", 28, "the reduction's tag (0, 1 or 2) is expected, not 'x'"},
    {KCL_ERROR_SHAPE, "Zero_Reduction(0,1)", 0, "Zero_Reduction: dimension 0 is not between 1 and 16777216"},
    {KCL_ERROR_SYNTAX, "Zero_Reduction(x,1)", 15, "a dimension (a whole number) is expected, not 'x'"},
    {KCL_ERROR_SYNTAX, "Zero_Reduction(3)", 0, "Zero_Reduction needs 2 whole numbers, 1 given"},
    {KCL_ERROR_SHAPE, "Identity_Reduction(x*b,0)", 19,
     "Identity_Reduction reduces nothing: with tag 0 its formula must not depend on j"},
    {KCL_ERROR_SHAPE, "Identity_Reduction(Sum_Reduction(x*b,0),2)", 19,
     "Identity_Reduction reduces nothing: with tag 2 its formula must not depend on i"},
    {KCL_ERROR_SYNTAX, "Identity_Reduction(Min_ArgMin_Reduction(b,0),2)", 19,
     "Identity_Reduction is of one result: values and indices are two"},
    {KCL_ERROR_SYNTAX, "Identity_Reduction(x)", 0, "Identity_Reduction needs 1 formula and 1 whole number, 1 given"},
    {KCL_ERROR_SYNTAX, "ArgMin_Reduction(x)", 0, "ArgMin_Reduction needs 1 formula and 1 whole number, 1 given"},
    {KCL_ERROR_DERIVATIVE, "Grad(ArgMin_Reduction(x*b,0),x,x)", 31,
     "Grad: the result of ArgMin_Reduction is a whole number: it jumps where it changes and has no gradient"},
}, alias_errors[] = {
    {KCL_ERROR_SYNTAX, "3 = Vi(3)", 0, "an alias such as x = Vi(3) is expected, not '3'"},
    {KCL_ERROR_SYNTAX, "x", 0,
     "a declaration is expected: Vi(dimension), Vj(dimension), Pm(dimension), each also with an index first, or "
     "Var(index,dimension,role)"},
    {KCL_ERROR_SYNTAX, "x =", 3,
     "a declaration is expected: Vi(dimension), Vj(dimension), Pm(dimension), each also with an index first, or "
     "Var(index,dimension,role)"},
    {KCL_ERROR_SYNTAX, "x = Vk(3)", 4,
     "a declaration is expected: Vi(dimension), Vj(dimension), Pm(dimension), each also with an index first, or "
     "Var(index,dimension,role)"},
    {KCL_ERROR_SYNTAX, "x = Vi", 4, "Vi is an operator: its arguments follow in parentheses"},
    {KCL_ERROR_SYNTAX, "x = Vi()", 4, "Vi needs a dimension, or an index and a dimension, 0 given"},
    {KCL_ERROR_SYNTAX, "x = Vi(3,4,5)", 4, "Vi needs a dimension, or an index and a dimension, 3 given"},
    {KCL_ERROR_SYNTAX, "x = Var(0,3)", 4, "Var needs 3 whole numbers, 2 given"},
    {KCL_ERROR_SYNTAX, "x = Vi(3", 8, "the text ends where ')' is expected"},
    {KCL_ERROR_SYNTAX, "x = Vi(3) y", 10, "the end of the alias is expected, not 'y'"},
    {KCL_ERROR_SYNTAX, "x = Vi(d)", 7, "a variable's dimension (a whole number) is expected, not 'd'"},
    {KCL_ERROR_SYNTAX, "x = Vi(2.5)", 7, "a variable's dimension (a whole number) is expected, not 2.5"},
    {KCL_ERROR_SHAPE, "x = Vi(2*3-6)", 7, "dimension 0 of a variable is not between 1 and 16777216"},
    {KCL_ERROR_SYNTAX, "x = Vi((3,))", 9, "an operator or ')' is expected, not ','"},
    {KCL_ERROR_SYNTAX, "x = Vi(2*x)", 9, "a variable's dimension (a whole number) is expected, not 'x'"},
    {KCL_ERROR_SHAPE, "x = Vi(0)", 7, "dimension 0 of a variable is not between 1 and 16777216"},
    {KCL_ERROR_SHAPE, "x = Vi(-3)", 7, "dimension -3 of a variable is not between 1 and 16777216"},
    {KCL_ERROR_SHAPE, "x = Vi(0,16777217)", 9, "dimension 16777217 of a variable is not between 1 and 16777216"},
    {KCL_ERROR_SHAPE, "x = Vi(-1,3)", 7, "index -1 of a variable is not between 0 and 65535"},
    {KCL_ERROR_SHAPE, "x = Var(0,3,4)", 12, "role 4 of a variable is not 0 (i), 1 (j) or 2 (parameter)"},
    {KCL_ERROR_SYNTAX, "Exp = Vi(3)", 0, "'Exp' has a meaning in formulas; choose another name"},
    {KCL_ERROR_SYNTAX, "Grad = Vi(3)", 0, "'Grad' has a meaning in formulas; choose another name"},
    {KCL_ERROR_SYNTAX, "Vi = Vi(3)", 0, "'Vi' has a meaning in formulas; choose another name"},
    {KCL_ERROR_SYNTAX, "My_Reduction = Vi(3)", 0, "'My_Reduction' has a meaning in formulas; choose another name"},
    {KCL_ERROR_SYNTAX, "a234567890123456789012345678901234567890123456789012345678901234 = Vi(3)", 0,
     "the name of an alias has at most 63 letters"},
};

static void check_error(const char *text, kcl_status got, kcl_status status, int column, const char *sentence)
{
    char want[sizeof err.text];
    if (column >= 0)
        snprintf(want, sizeof want, "%s\n%s\n%*s^", sentence, text, column, "");
    else
        snprintf(want, sizeof want, "%s\n%.100s...\n^", sentence, text);
    for (char *c = strchr(want, '\n'); *c; c++)
        if (*c == '\x01')
            *c = '?';
    ck_assert_str_eq(err.text, want);
    ck_assert_int_eq(got, status);
    ck_assert_int_eq(err.status, status);
    ck_assert_int_eq(g.error.status, KCL_OK);
}

START_TEST(errors_in_formulas)
{
    const kf_node *f = x;
    const char *text = formula_errors[_i].text;
    kcl_status status = kf_parse_formula(&g, text, 4, bindings, &next_index, &f, &err);
    check_error(text, status, formula_errors[_i].status, formula_errors[_i].column, formula_errors[_i].sentence);
    ck_assert_ptr_eq(f, x);
    ck_assert_int_eq(next_index, 4);
}
END_TEST

/* KeOps evaluates texts as Python, whatever they do. */
/* Every name that is refused, for sizes, parameters or types, is the first word of the error; operators have signs. */
enum { OPERANDS = 7, PARAMS = 10 };

static const char *const refused_operands[OPERANDS] = {"v1", "v2", "v3", "v5", "v9", "p", "k"};
static const char *const refused_params[PARAMS] = {
    "-9223372036854775807-1", "-1", "0", "1", "2", "4", "33", "16777216", "16777217", "9223372036854775807"};

typedef struct refusals {
    kf_binding names[OPERANDS];
    int names_tried, refused;
} refusals;

static bool is_refused(refusals *r, const char *name, const char *arguments)
{
    char text[400];
    const kf_node *f = NULL;
    kf_parsed_reduction results[2];
    const size_t length = strlen(name);
    size_t count;
    snprintf(text, sizeof text, "%s(%s)", name, arguments);
    if ((strstr(name, "_Reduction")
             ? kf_parse_reductions(&g, text, OPERANDS, r->names, &next_index, &count, results, &err)
             : kf_parse_formula(&g, text, OPERANDS, r->names, &next_index, &f, &err)) == KCL_OK)
        return false;
    ck_assert_msg(strncmp(err.text, name, length) == 0 && (err.text[length] == ':' || err.text[length] == ' '),
                  "%s is refused so: %s", text, err.text);
    return true;
}

static void refuse_operator(void *user, const char *text)
{
    refusals *r = user;
    kf_name name;
    char arguments[300];
    int refused = 0, choices = 1;
    ck_assert(kf_find_name(text, strlen(text), &name));
    const int places = name.arity + KB_MAX(name.params, name.params < 0 ? 5 - name.params : 0);
    if (!places)
        return; /* IndexI and IndexJ */
    for (int k = 0; k < places; k++)
        choices *= k < name.arity ? OPERANDS : name.params < 0 || name.params > 2 ? 1 : PARAMS;
    for (int choice = 0; choice < choices; choice++) {
        int rest = choice, n = 0;
        for (int k = 0; k < places; k++) {
            const bool is_operand = k < name.arity, varies = is_operand || (name.params >= 0 && name.params <= 2);
            const int count = is_operand ? OPERANDS : PARAMS;
            /* For layouts: one axis, offset 7, size 2, stride 3, perhaps dimension 4. For Index: 0, 0, 0. */
            static const char *const layout[] = {"1", "7", "2", "3", "4"};
            const char *value = is_operand        ? refused_operands[rest % count]
                                : varies          ? refused_params[rest % count]
                                : name.params < 0 ? layout[KB_MIN(k - name.arity, 4)]
                                                  : "0";
            rest /= varies ? count : 1;
            if (name.params < 0 && k - name.arity > 3 + (name.params == KF_LAYOUT_AND_DIM))
                continue;
            n += snprintf(arguments + n, sizeof arguments - (size_t)n, "%s%s", k ? "," : "", value);
        }
        refused += is_refused(r, text, arguments);
    }
    ck_assert_msg(refused || strcmp(text, "IntCst") == 0, "%s is never refused", text);
    r->names_tried++;
    r->refused += refused;
}

static void refuse_reduction(void *user, const char *text)
{
    refusals *r = user;
    char arguments[300];
    int refused = 0;
    for (int a = 0; a < OPERANDS; a++) {
        snprintf(arguments, sizeof arguments, "%s,2", refused_operands[a]);
        if (strncmp(text, "Zero", 4) != 0)
            refused += is_refused(r, text, arguments);
        for (int b = 0; b < PARAMS; b++) {
            snprintf(arguments, sizeof arguments, "%s,%s,2", refused_operands[a], refused_params[b]);
            if (strstr(text, "KMin") || strstr(text, "KMax"))
                refused += is_refused(r, text, arguments);
        }
        for (int b = 0; b < OPERANDS; b++) {
            snprintf(arguments, sizeof arguments, "%s,%s,2", refused_operands[a], refused_operands[b]);
            if (strstr(text, "Weight") || strstr(text, "Exp"))
                refused += is_refused(r, text, arguments);
        }
    }
    for (int b = 0; b < PARAMS; b++) {
        snprintf(arguments, sizeof arguments, "%s,2", refused_params[b]);
        if (strncmp(text, "Zero", 4) == 0)
            refused += is_refused(r, text, arguments);
    }
    ck_assert_msg(refused || strncmp(text, "Identity", 8) == 0, "%s is never refused", text);
    r->names_tried++;
    r->refused += refused;
}

START_TEST(errors_name_what_is_written)
{
    refusals r = {.refused = 0};
    for (int k = 0; k < OPERANDS; k++) {
        const bool parameter = refused_operands[k][0] == 'p', index = refused_operands[k][0] == 'k';
        const kf_node *v = kf_var(&g, k, refused_operands[k][0] == 'v' ? refused_operands[k][1] - '0' : 1,
                                  parameter ? KF_ROLE_P : KF_ROLE_I);
        r.names[k] = (kf_binding){refused_operands[k], index ? kf_integers(&g, v) : v};
    }
    kf_each_name(refuse_operator, &r);
    kf_each_reduction(refuse_reduction, &r);
    ck_assert_int_gt(r.names_tried, 100);
    ck_assert_int_gt(r.refused, 1000);
}
END_TEST

START_TEST(texts_are_not_programs)
{
    const char *const texts[] = {
        "print(x)",          "Exp(print(x))",    "__import__(x)",   "x.shape",       "x if p else y", "[x,y]",
        "(lambda: x)(1)",    "Exp(a:=x)",        "x, y",            "Exp(*x)",       "Exp(x=x)",      "'x'",
        "exec(x)",           "{x}",              "x[0]",            "open(p)",       "x is y",        "x in y",
        "Grad.__class__(x)", "Exp(x) # comment", "x\\",             "Concat(x,*y)",  "not p",         "True",
    };
    for (size_t k = 0; k < KB_COUNT(texts); k++) {
        const kf_node *f = NULL;
        kf_parsed_reduction r[KF_MAX_RESULTS];
        size_t count;
        char reduced[100];
        ck_assert_msg(kf_parse_formula(&g, texts[k], 4, bindings, &next_index, &f, &err) == KCL_ERROR_SYNTAX, "%s",
                      texts[k]);
        ck_assert_msg(strchr(err.text, '^') != NULL, "%s", err.text);
        snprintf(reduced, sizeof reduced, "Sum_Reduction(%s,0)", texts[k]);
        ck_assert_int_eq(kf_parse_reductions(&g, reduced, 4, bindings, &next_index, &count, r, &err), KCL_ERROR_SYNTAX);
    }
}
END_TEST

START_TEST(errors_in_reductions)
{
    kf_parsed_reduction r[KF_MAX_RESULTS];
    size_t count = 77;
    const char *text = reduction_errors[_i].text;
    kcl_status status = kf_parse_reductions(&g, text, 4, bindings, &next_index, &count, r, &err);
    check_error(text, status, reduction_errors[_i].status, reduction_errors[_i].column, reduction_errors[_i].sentence);
    ck_assert_uint_eq(count, 77);
    ck_assert_int_eq(next_index, 4);
}
END_TEST

START_TEST(errors_in_aliases)
{
    kf_alias alias;
    const char *text = alias_errors[_i].text;
    kcl_status status = kf_parse_alias(kf_allocator(&g), text, &alias, &err);
    check_error(text, status, alias_errors[_i].status, alias_errors[_i].column, alias_errors[_i].sentence);
}
END_TEST

static void expect_error(const char *text, const char *whole)
{
    const kf_node *f = NULL;
    ck_assert_int_lt(kf_parse_formula(&g, text, 4, bindings, &next_index, &f, &err), 0);
    ck_assert_str_eq(err.text, whole);
}

START_TEST(errors_show_the_line_they_are_in)
{
    expect_error("", "the formula is empty");
    expect_error(" \n\t ", "the formula is empty");
    expect_error("x +\n  y +\n\t? + b\n", "the character ? has no meaning in a formula\n ? + b\n ^");
    expect_error("x +\n y +  \n\n", "the text ends where a formula is expected\n y +\n    ^");
    /* Characters that are not ASCII take one column, whatever their bytes. */
    expect_error("x+\xce\xb1*y",
                 "the byte 0xCE has no meaning in a formula, which is ASCII text\nx+?*y\n  ^");
    expect_error("x+\xff", "the byte 0xFF has no meaning in a formula, which is ASCII text\nx+?\n  ^");
}
END_TEST

START_TEST(errors_in_long_lines_show_their_surroundings)
{
    /* 100 times "x+" on either side: what is shown is cut at both ends, at the end, or at the start. */
    char text[512], want[512];
    for (int before = 0; before <= 100; before += 100) {
        for (int after = 0; after <= 100; after += 100) {
            if (!before && !after)
                continue;
            char *c = text;
            for (int k = 0; k < before + after + 1; k++, c += 2)
                memcpy(c, k == before ? "z+" : "x+", 3);
            memcpy(c, "x", 2);
            const kf_node *f = NULL;
            ck_assert_int_eq(kf_parse_formula(&g, text, 4, bindings, &next_index, &f, &err), KCL_ERROR_SYNTAX);
            const char *line = strchr(err.text, '\n') + 1, *caret = strchr(line, '\n') + 1;
            size_t length = (size_t)(caret - line) - 1, column = strspn(caret, " ");
            ck_assert_str_eq(caret + column, "^");
            ck_assert_int_eq(line[column], 'z');
            ck_assert_uint_eq(length, 100u + (before ? 3 : 0) + (after ? 3 : 0));
            snprintf(want, sizeof want, "%s", before ? "...x+" : "z+x+");
            ck_assert(strncmp(line, want, strlen(want)) == 0 || strncmp(line, "...+x", 5) == 0);
            ck_assert(after ? strncmp(caret - 4, "...", 3) == 0 : caret[-2] == 'x');
        }
    }
}
END_TEST

START_TEST(names_of_operators_cannot_be_bound)
{
    const kf_node *f = NULL;
    const char *const names[] = {"Exp", "SqDist", "Grad", "Var", "Vi", "Sum_Reduction"};
    for (size_t k = 0; k < KB_COUNT(names); k++) {
        const kf_binding bad[] = {{"x", x}, {names[k], y}};
        ck_assert_int_eq(kf_parse_formula(&g, "x", 2, bad, &next_index, &f, &err), KCL_ERROR_ARGUMENT);
        char want[100];
        snprintf(want, sizeof want, "the alias '%s' has the name of an operator", names[k]);
        ck_assert_str_eq(err.text, want);
    }
}
END_TEST

START_TEST(bindings_must_agree)
{
    const kf_node *f = NULL;
    const kf_binding twice[] = {{"x", x}, {"x", y}};
    ck_assert_int_eq(kf_parse_formula(&g, "x", 2, twice, &next_index, &f, &err), KCL_ERROR_ARGUMENT);
    ck_assert_str_eq(err.text, "two aliases have the name 'x'");
    /* One variable may be bound in two roles, of one dimension; a text does not write two. */
    const kf_node *x_j = kf_var(&g, 0, 3, KF_ROLE_J);
    const kf_binding roles[] = {{"x", x}, {"K", kf_unary(&g, KF_EXP, x_j)}};
    ck_assert_int_eq(kf_parse_formula(&g, "x+K", 2, roles, &next_index, &f, &err), KCL_OK);
    ck_assert_ptr_eq(f, kf_binary(&g, KF_ADD, x, kf_unary(&g, KF_EXP, x_j)));
    ck_assert_int_eq(kf_parse_formula(&g, "x+Var(0,3,1)", 1, roles, &next_index, &f, &err), KCL_ERROR_SHAPE);
    ck_assert_ptr_nonnull(strstr(err.text, "variable 0 is both Vi(0,3) and Vj(0,3): it has one role and dimension"));
    const kf_binding clash[] = {{"x", x}, {"K", kf_unary(&g, KF_EXP, kf_var(&g, 0, 2, KF_ROLE_J))}};
    ck_assert_int_eq(kf_parse_formula(&g, "x", 2, clash, &next_index, &f, &err), KCL_ERROR_SHAPE);
    ck_assert_str_eq(err.text, "variable 0 is both Vi(0,3) and Vj(0,2): it has one role and dimension");
    const kf_binding far[] = {{"x", kf_var(&g, INT32_MAX, 3, KF_ROLE_I)}};
    ck_assert_int_eq(kf_parse_formula(&g, "x", 1, far, &next_index, &f, &err), KCL_ERROR_SHAPE);
    ck_assert_str_eq(err.text, "index 2147483647 of a variable is not between 0 and 65535");
}
END_TEST

START_TEST(an_earlier_error_of_the_graph_is_reported)
{
    const kf_node *f = NULL;
    ck_assert_ptr_null(kf_rat(&g, 1, 0));
    ck_assert_int_eq(kf_parse_formula(&g, "x", 4, bindings, &next_index, &f, &err), KCL_ERROR_SHAPE);
    ck_assert_str_eq(err.text, "RatCst: the denominator is 0");
    ck_assert_ptr_eq(formula("x"), x);
}
END_TEST

/* ---- Size -------------------------------------------------------------------------------------------------------- */

/* `head` k times, `middle`, `tail` k times. */
static char *repeated(const char *head, const char *middle, const char *tail, size_t k)
{
    char *text = malloc((strlen(head) + strlen(tail)) * k + strlen(middle) + 1), *c = text;
    ck_assert_ptr_nonnull(text);
    for (size_t n = 0; n < k; n++, c += strlen(head))
        memcpy(c, head, strlen(head));
    memcpy(c, middle, strlen(middle) + 1);
    c += strlen(middle);
    for (size_t n = 0; n < k; n++, c += strlen(tail))
        memcpy(c, tail, strlen(tail) + 1);
    return text;
}

static const struct {
    const char *head, *middle, *tail;
} nestings[] = {
    {"(", "x", ")"}, {"Exp(", "x", ")"}, {"x|x+x*-(", "x", ")"}, {"p**", "p", ""}, {"SqDist(x,", "y", ")"},
};

START_TEST(nesting_is_bounded)
{
    const kf_node *f = NULL;
    char *text = repeated(nestings[_i].head, nestings[_i].middle, nestings[_i].tail, 500);
    ck_assert_ptr_nonnull(formula(text));
    free(text);
    for (size_t levels = 501; levels < 100000; levels *= 60) {
        text = repeated(nestings[_i].head, nestings[_i].middle, nestings[_i].tail, levels);
        ck_assert_int_eq(kf_parse_formula(&g, text, 4, bindings, &next_index, &f, &err), KCL_ERROR_SYNTAX);
        ck_assert_ptr_nonnull(strstr(err.text, "the formula is nested more than 500 levels deep\n"));
        free(text);
    }
}
END_TEST

static const char *const chains[] = {"x+", "x*y-", "p/", "x|", "-", "+", "Exp(x)**2/-y+", "p<", "x%"};

START_TEST(chains_may_be_long)
{
    char *text = repeated(chains[_i], "p", "", 100000);
    ck_assert_ptr_nonnull(formula(text));
    free(text);
}
END_TEST

START_TEST(size_is_bounded)
{
    const size_t most = 16 << 20;
    const kf_node *f = NULL;
    char *text = malloc(most + 3);
    ck_assert_ptr_nonnull(text);
    memset(text, ' ', most + 2);
    memcpy(text + most - 1, "x", 2);
    ck_assert_ptr_eq(formula(text), x);
    memcpy(text + most - 1, "+x", 3);
    ck_assert_int_eq(kf_parse_formula(&g, text, 4, bindings, &next_index, &f, &err), KCL_ERROR_SYNTAX);
    ck_assert_str_eq(err.text, "the text has 16777217 bytes, more than 16777216");
    free(text);
}
END_TEST

/* ---- Aliases ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *text, *name;
    int64_t index, dim;
    kf_role role;
} aliases[] = {
    {"x = Vi(3)", "x", -1, 3, KF_ROLE_I},       {"y=Vj(0,5)", "y", 0, 5, KF_ROLE_J},
    {" p_1\t= Pm ( 2 ,\n1 ) ", "p_1", 2, 1, KF_ROLE_P}, {"x = Var(0,3,0)", "x", 0, 3, KF_ROLE_I},
    {"Var(4,3,2)", "", 4, 3, KF_ROLE_P},        {"x = Vx(7)", "x", -1, 7, KF_ROLE_I},
    {"y = Vy(1,7)", "y", 1, 7, KF_ROLE_J},      {"Vj(16777216)", "", -1, 16777216, KF_ROLE_J},
    {"Viola = Vi(65535,1)", "Viola", 65535, 1, KF_ROLE_I}, {"x = Vi(2*3,)", "x", -1, 6, KF_ROLE_I},
    {"x = Var((1+1)**2,7//2,5%3,)", "x", 4, 3, KF_ROLE_P}, {"Vj(-(-2),8-7)", "", 2, 1, KF_ROLE_J},
};

START_TEST(aliases_are_read)
{
    kf_alias alias;
    ck_assert_int_eq(kf_parse_alias(kf_allocator(&g), aliases[_i].text, &alias, &err), KCL_OK);
    ck_assert_str_eq(alias.name, aliases[_i].name);
    ck_assert_int_eq(alias.index, aliases[_i].index);
    ck_assert_int_eq(alias.dim, aliases[_i].dim);
    ck_assert_int_eq(alias.role, aliases[_i].role);
}
END_TEST

START_TEST(an_empty_alias_is_an_error)
{
    kf_alias alias;
    ck_assert_int_eq(kf_parse_alias(kf_allocator(&g), "", &alias, &err), KCL_ERROR_SYNTAX);
    ck_assert_str_eq(err.text, "the text ends where an alias such as x = Vi(3) is expected\n\n^");
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static const char *const two_texts[] = {
    "Grad(Sum_Reduction(Exp(-p*SqDist(x,y))*b/(1+Norm2(x-y)**3),0),x) ; Sum_Reduction(x|y,2)",
    "Max_SumShiftExp_Reduction(-SqDist(x,y),y,0); Zero_Reduction(3,1)",
    "Sum_Reduction(GradMatrix(Concat(x*y,p),x)*Laplacian(Norm2(x*y),x)+Divergence(ElemT(Elem(x,0),3,0)*x,x),0);"
    "Diff(Sum_Reduction(x*y*p,1),(x,p),(x,2))",
    "Sum_Reduction(TensorDot(x,TensorProd(x,y),[3],[3,3],[0],[1])*Kron(x,b,[3],[1])*(x<y<p)%1.5,0);"
    "Sum_Reduction(ComplexMult(ComplexExp(Concat(x,y)),Concat(p,b))+TraceOperator(x*y,x)+SumLinOperator(x*y,x,y,y),2)",
};

START_TEST(every_allocation_may_fail)
{
    const char *text = two_texts[_i];
    bool done = false;
    for (int n = 1; !done; n++) {
        failing memory = {0};
        const kcl_allocator allocator = failing_allocator(&memory);
        kf_parsed_reduction r[KF_MAX_RESULTS];
        size_t count = 0;
        kf_graph_finish(&g);
        kf_graph_init(&g, &allocator);
        bind_variables();
        memory.fail_at = memory.requests + n;
        kcl_status status = kf_parse_reductions(&g, text, 4, bindings, &next_index, &count, r, &err);
        memory.fail_at = 0;
        done = status == KCL_OK;
        ck_assert_int_eq(status, err.status);
        ck_assert_int_eq(g.error.status, KCL_OK);
        if (!done) {
            ck_assert_int_eq(status, KCL_ERROR_NO_MEMORY);
            ck_assert_str_eq(err.text, "host memory is exhausted");
            ck_assert_int_eq(next_index, 4);
        }
        ck_assert_int_lt(n, 10000);
        ck_assert_int_ge(done ? n : 8, 8);
        /* With memory again the graph works as before. */
        ck_assert_int_eq(kf_parse_reductions(&g, text, 4, bindings, &next_index, &count, r, &err), KCL_OK);
        ck_assert_uint_eq(count, 2);
        kf_graph_finish(&g);
        ck_assert_int_eq(memory.blocks, 0);
        kf_graph_init(&g, NULL);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parse");
    TCase *tests = tcase_create("parse");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, operators_bind_as_in_python, 0, KB_COUNT(precedence));
    tcase_add_test(tests, operators_make_their_nodes);
    tcase_add_test(tests, comparisons_and_remainders_make_their_nodes);
    tcase_add_test(tests, comparisons_compare_values_and_chains_mean_all_of_them);
    tcase_add_test(tests, powers_with_a_number);
    tcase_add_test(tests, numbers);
    tcase_add_test(tests, blanks_and_parentheses_do_not_matter);
    tcase_add_loop_test(tests, texts_are_expressions_of_python, 0, KB_COUNT(python_texts));
    tcase_add_test(tests, bound_expressions_are_used_as_they_are);
    tcase_add_test(tests, reductions_carry_their_tag);
    tcase_add_test(tests, results_are_counted);
    tcase_add_loop_test(tests, grad_of_a_formula, 0, KB_COUNT(formula_grads));
    tcase_add_loop_test(tests, grad_of_a_reduction, 0, KB_COUNT(reduction_grads));
    tcase_add_test(tests, grad_makes_the_cotangent_it_is_not_given);
    tcase_add_loop_test(tests, errors_in_formulas, 0, KB_COUNT(formula_errors));
    tcase_add_test(tests, errors_name_what_is_written);
    tcase_add_test(tests, texts_are_not_programs);
    tcase_add_loop_test(tests, errors_in_reductions, 0, KB_COUNT(reduction_errors));
    tcase_add_loop_test(tests, errors_in_aliases, 0, KB_COUNT(alias_errors));
    tcase_add_test(tests, errors_show_the_line_they_are_in);
    tcase_add_test(tests, errors_in_long_lines_show_their_surroundings);
    tcase_add_test(tests, names_of_operators_cannot_be_bound);
    tcase_add_test(tests, bindings_must_agree);
    tcase_add_test(tests, an_earlier_error_of_the_graph_is_reported);
    tcase_add_loop_test(tests, nesting_is_bounded, 0, KB_COUNT(nestings));
    tcase_add_loop_test(tests, chains_may_be_long, 0, KB_COUNT(chains));
    tcase_add_test(tests, size_is_bounded);
    tcase_add_loop_test(tests, aliases_are_read, 0, KB_COUNT(aliases));
    tcase_add_test(tests, an_empty_alias_is_an_error);
    tcase_add_loop_test(tests, every_allocation_may_fail, 0, KB_COUNT(two_texts));
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
