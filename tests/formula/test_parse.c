/* SPDX-License-Identifier: MIT */
/* The parser: precedence, names, reductions, aliases, size, failing memory. */
#include "parse_support.h"

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
                                         &next_index, &count, r, &err),
                     KCL_OK);
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

/* ---- Bindings ------------------------------------------------------------------------------------------------------- */

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
    {"x = Vi(3)", "x", -1, 3, KF_ROLE_I},
    {"y=Vj(0,5)", "y", 0, 5, KF_ROLE_J},
    {" p_1\t= Pm ( 2 ,\n1 ) ", "p_1", 2, 1, KF_ROLE_P},
    {"x = Var(0,3,0)", "x", 0, 3, KF_ROLE_I},
    {"Var(4,3,2)", "", 4, 3, KF_ROLE_P},
    {"x = Vx(7)", "x", -1, 7, KF_ROLE_I},
    {"y = Vy(1,7)", "y", 1, 7, KF_ROLE_J},
    {"Vj(16777216)", "", -1, 16777216, KF_ROLE_J},
    {"Viola = Vi(65535,1)", "Viola", 65535, 1, KF_ROLE_I},
    {"x = Vi(2*3,)", "x", -1, 6, KF_ROLE_I},
    {"x = Var((1+1)**2,7//2,5%3,)", "x", 4, 3, KF_ROLE_P},
    {"Vj(-(-2),8-7)", "", 2, 1, KF_ROLE_J},
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
