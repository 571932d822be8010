/* SPDX-License-Identifier: MIT */
/* The printer: pretty forms, and texts that read back to the same node. */
#include "failing.h"
#include "make.h"
#include "reductions.h"
#include "text.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static kf_graph g;
static kb_error err;
static kb_str text;
static const kf_node *vars[4]; /* x = Vi(0,3), y = Vj(1,3), p = Pm(2,1), b = Vj(3,1) */
static kf_binding bindings[4];
static uint64_t seed;

static uint64_t draw(uint64_t below)
{
    seed = kb_hash_combine(seed, 1);
    return (seed >> 20) % below;
}

static const char *name_of(void *user, const kf_node *var)
{
    (void)user;
    for (size_t k = 0; k < KB_COUNT(vars); k++)
        if (var == vars[k])
            return bindings[k].name;
    return NULL;
}

static void setup(void)
{
    static const char *const names[] = {"x", "y", "p", "b"};
    kf_graph_init(&g, NULL);
    kb_str_init(&text, NULL);
    vars[0] = kf_var(&g, 0, 3, KF_ROLE_I);
    vars[1] = kf_var(&g, 1, 3, KF_ROLE_J);
    vars[2] = kf_var(&g, 2, 1, KF_ROLE_P);
    vars[3] = kf_var(&g, 3, 1, KF_ROLE_J);
    for (size_t k = 0; k < KB_COUNT(vars); k++)
        bindings[k] = (kf_binding){names[k], vars[k]};
}

static void teardown(void)
{
    kb_str_finish(&text);
    kf_graph_finish(&g);
}

static const kf_node *read_back(const char *formula)
{
    const kf_node *f = NULL;
    int64_t next_index = 4;
    kcl_status status = kf_parse_formula(&g, formula, 4, bindings, &next_index, &f, &err);
    ck_assert_msg(status == KCL_OK, "seed %llu: %s", (unsigned long long)seed, err.text);
    return f;
}

static const char *printed(const kf_node *f)
{
    kb_str_clear(&text);
    ck_assert(kf_print(&text, f, name_of, NULL, 0));
    return kb_str_text(&text);
}

/* ---- Forms ------------------------------------------------------------------------------------------------------- */

/* What is read, and how it is written; "": as it was read. */
static const struct {
    const char *in, *out;
} forms[] = {
    {"x + (y + p)", "x+(y+p)"},
    {"(x + y) + p", "x+y+p"},
    {"x - (y - p)", "x-(y-p)"},
    {"(x - y) - p", "x-y-p"},
    {"x + (y*p)", "x+y*p"},
    {"(x+y)*p", ""},
    {"x/(y*p)", ""},
    {"(x/y)*p", "x/y*p"},
    {"-(x*y)", ""},
    {"(-x)*y", "-x*y"},
    {"x*(-y)", ""},
    {"x+(-y*p)", ""},
    {"x-(-2)", ""},
    {"x*-2", "x*(-2)"},
    {"-2*x", ""},
    {"--x", ""},
    {"-(x**2)", "-x**2"},
    {"(-x)**2", ""},
    {"(-3)**2", ""},
    {"-(3**2)", "-3**2"},
    {"-(3)", ""},
    {"--3", ""},
    {"-(0)", ""},
    {"(x**2)**3", ""},
    {"x**(2)", "x**2"},
    {"x**-2", ""},
    {"Pow(x,2)", ""},
    {"Pow(x,1)", ""},
    {"Pow(x,3)", "x**3"},
    {"x**(y)", "x**y"},
    {"x**(-y)", "x**-y"},
    {"(x**y)**p", ""},
    {"x**y**p", ""},
    {"x**(y+1)", ""},
    {"x**1.5", "Powf(x,1.5)"},
    {"Powf(x,2)", ""},
    {"Powf(x,-(p))", "Powf(x,-p)"},
    {"x**0.5", "Sqrt(x)"},
    {"x|y", ""},
    {"Sum(x*y)", "x|y"},
    {"Sum(x*p)", ""},
    {"p|b", ""},
    {"(x|y)+p", ""},
    {"x|(y+p)", "x|y+p"},
    {"(x|y)|p", "x|y|p"},
    {"x|p", "p*Sum(x)"},
    {"p|(b|p)", ""},
    {"(p|b)|p", "p|b|p"},
    {"Exp(-(x|y))", ""},
    {"Sum(Square(x-y))", "SqDist(x,y)"},
    {"Sum(Square(x+y))", "SqNorm2(x+y)"},
    {"Sqrt(Sum(Square(x)))", "Norm2(x)"},
    {"Sqrt(SqDist(x,y))", "Norm2(x-y)"},
    {"Scalprod(x,y)", "x|y"},
    {"Exp(-p*SqDist(x,y))*b", ""},
    {"1/(1 + SqNorm2(x-y))", "1/(1+SqDist(x,y))"},
    {"1/3", ""},
    {"RatCst(2,6)", "RatCst(1,3)"},
    {"RatCst(-1,3)*x", ""},
    {"IntCst(-3)*x", "-3*x"},
    {"IntInv(3)", "RatCst(1,3)"},
    {"0.5*x-.25", "0.5*x-0.25"},
    {"-0.5", ""},
    {"1e-300", ""},
    {"0.1", ""},
    {"9007199254740993", ""},
    {"9007199254740992.", "9007199254740992.0"},
    {"-9223372036854775807", ""},
    {"1e20", "1e+20"},
    {"Zero(1)", "0"},
    {"Zero(3)", ""},
    {"Elem(x,1)", ""},
    {"ElemT(p,3,1)", ""},
    {"Extract(x,1,2)", ""},
    {"ExtractT(x,1,5)", ""},
    {"SumT(p,4)", ""},
    {"Concat(x,y-p)", ""},
    {"Like(p,x)", ""},
    {"Var(5,2,1)", ""},
    {"Abs(Sin(Exp2(x)))", ""},
    {"x<y", "LessThan(x,y)"},
    {"x>=y", "LessOrEqual(y,x)"},
    {"x<y<p", "LessThan(x,y)*LessThan(y,p)"},
    {"x%2", "x-2*Floor((x-0)/2)"},
};

START_TEST(formulas_are_written_briefly)
{
    const char *in = forms[_i].in, *out = forms[_i].out[0] ? forms[_i].out : in;
    const kf_node *f = read_back(in);
    ck_assert_str_eq(printed(f), out);
    ck_assert_ptr_eq(read_back(out), f);
}
END_TEST

START_TEST(numbers_read_back)
{
    const double values[] = {0x1p53, -0x1p53, 0x1p53 + 2, 0x1p62,  0x1p63, -0x1p63, 1e300,
                             -1e22,  5e-324,  1.0 / 3,    -2.5e-7, 0.1,    123456.75};
    for (size_t k = 0; k < KB_COUNT(values); k++) {
        const kf_node *f = kf_num(&g, values[k]);
        ck_assert_ptr_eq(read_back(printed(f)), f);
        const kf_node *minus = kf_unary(&g, KF_MINUS, f), *square = kf_unary(&g, KF_SQUARE, f);
        ck_assert_ptr_eq(read_back(printed(minus)), minus);
        ck_assert_ptr_eq(read_back(printed(square)), square);
    }
}
END_TEST

START_TEST(variables_without_name_are_written_in_full)
{
    kf_print(&text, read_back("Exp(x)*Var(9,3,2)"), NULL, NULL, 0);
    ck_assert_str_eq(kb_str_text(&text), "Exp(Var(0,3,0))*Var(9,3,2)");
}
END_TEST

/* ---- Random formulas --------------------------------------------------------------------------------------------- */

enum { POOL = 300, LARGEST = 400 };

typedef struct sized {
    const kf_node *node;
    size_t length; /* of the text */
} sized;

static const kf_node *random_leaf(void)
{
    switch (draw(8)) {
    case 0:
        return kf_rat(&g, (int64_t)draw(9) - 4, 1);
    case 1:
        return kf_rat(&g, (int64_t)draw(99) - 49, 1 + (int64_t)draw(7));
    case 2:
        return kf_num(&g, ((double)draw(1 << 20) - (1 << 19)) / 1024);
    case 3:
        return kf_zero(&g, 1 + (int64_t)draw(3));
    default:
        return vars[draw(KB_COUNT(vars))];
    }
}

/* A random node of any operator, with operands from the pool; NULL if the operands do not fit. */
static const kf_node *random_node(const sized *pool, size_t count)
{
    kf_op op = (kf_op)draw(KF_OP_COUNT);
    const kf_node *args[KF_MAX_ARGS];
    int64_t params[KF_MAX_PARAMS];
    if (draw(2)) /* the operators with a syntax of their own, more often */
        op = (const kf_op[]){KF_ADD, KF_SUB, KF_MULT, KF_DIVIDE, KF_MINUS, KF_SQUARE, KF_POW, KF_POWF, KF_SUM}[draw(9)];
    if (op == KF_VAR || op == KF_CONST || op == KF_REDUCE)
        return random_leaf();
    const kf_op_info *info = kf_info(op);
    for (int k = 0; k < info->arity; k++) {
        const sized *s = &pool[draw(count)];
        if (s->length > LARGEST)
            return NULL;
        args[k] = s->node;
    }
    if ((op == KF_DIVIDE && kf_is_zero(args[1])) || (op == KF_INV && kf_is_zero(args[0]))) /* refused in texts */
        return NULL;
    for (int k = 0; k < KF_MAX_PARAMS; k++)
        params[k] = (int64_t)draw(8) - 3;
    const kf_node *f = kf_make(&g, op, args, params);
    if (!f)
        kf_clear_error(&g);
    return f;
}

START_TEST(random_formulas_read_back_to_the_same_node)
{
    sized pool[POOL];
    const uint64_t first = (uint64_t)_i + 1;
    int checked = 0;
    seed = first;
    for (size_t k = 0; k < POOL; k++) {
        const kf_node *f = k < 8 ? random_leaf() : random_node(pool, k);
        if (!f)
            f = random_leaf();
        const char *t = printed(f);
        ck_assert_msg(read_back(t) == f, "seed %llu: %s", (unsigned long long)first, t);
        pool[k] = (sized){f, strlen(t)};
        checked += f->arg_count > 0;
    }
    ck_assert_int_gt(checked, POOL / 3);
}
END_TEST

START_TEST(derivatives_read_back_to_the_same_node)
{
    const char *const formulas[] = {
        "Grad(Exp(-p*SqDist(x,y))*b,x)",
        "Grad(Grad(Exp(-p*SqDist(x,y))*b,x),y)",
        "Grad(Norm2(x-y)**1.5/(1+(x|y)),y,Sin(b))",
        "Grad(Grad(Grad(Log(1+SqDist(x,y))*x**p,p),x),b,x)",
        "x<y<=p%2",
        "x%y==b",
        "TensorDot(TensorProd(x,y),x,[3,3],[3],[1],[0])",
        "TensorDot(TensorProd(x,y),x,[3,3],[3],[],[],[2,0,1])",
        "Grad(Kron(x,TensorProd(y,x),[3,1],[3,3]),x)",
        "Real2Complex(x)+Imag2Complex(y)",
        "ComplexMult(ComplexExp(Concat(x,y)),ComplexExp1j(x))",
        "ComplexDivide(ComplexAdd(Concat(x,y),Concat(p,b)),Conj(Concat(y,x)))",
        "ComplexSubtract(Concat(p,b),ComplexRealScal(p,Concat(x,y)))",
        "ComplexSumT(ComplexSum(Concat(x,y)),8)",
        "ComplexAbs(Concat(x,y))*ComplexAngle(Concat(y,x))+ComplexSquareAbs(Concat(x,x))",
        "Grad(ComplexReal(ComplexExp(Concat(x,y)))+ComplexImag(Concat(x,y)),x)",
        "Diff(Norm2(x-y),x,y*b)",
        "GradMatrix(Concat(x*y,p),x)",
        "Divergence(Exp(x*p)*y,x)",
        "Laplacian(Exp(-p*SqDist(x,y)),x)",
        "TraceOperator(x*y,x,y)",
        "AdjointOperator(MatVecMult(TensorProd(y,y),x),x,y)",
        "SumLinOperator(Concat(x,x*p),x,Concat(y,y),y)",
        "Factorize(Exp(x)*Exp(x),Exp(x))",
    };
    for (size_t k = 0; k < KB_COUNT(formulas); k++) {
        const kf_node *f = read_back(formulas[k]);
        ck_assert_msg(read_back(printed(f)) == f, "%s: %s", formulas[k], kb_str_text(&text));
    }
}
END_TEST

/* ---- Reductions -------------------------------------------------------------------------------------------------- */

/* A text, and how it is written if not as it was read: an axis that F lacks comes from the first name with the axis. */
static const char *const reductions[][2] = {
    {"Sum_Reduction(Exp(-p*SqDist(x,y))*b,0)", NULL},
    {"Sum_Reduction(x*y,1)", NULL},
    {"Sum_Reduction(x|y,2)", NULL},
    {"Sum_Reduction(x,1)", NULL},
    {"LogSumExp_Reduction(-p*SqDist(x,y)+b,0)", NULL},
    {"ArgMin_Reduction(SqDist(x,y),1)", NULL},
    {"ArgMin_Reduction(x*y,2)", NULL},
    {"LogSumExp_Reduction(Elem(x,1),0)", "LogSumExp_Reduction(Like(Elem(x,1),y),0)"},
    {"ArgMin_Reduction(x,0)", "ArgMin_Reduction(Like(x,y),0)"},
    {"KMin_Reduction(SqDist(x,y),5,0)", NULL},
    {"MeanKMin_Reduction(SqDist(x,y),5,0)", NULL},
    {"MeanKMax_Reduction(SqDist(x,y),5,1)", NULL},
    {"ArgKMax_Reduction(x*y,5,2)", NULL},
    {"Max_Reduction(-x*y,1)", NULL},
    {"LogSumExpWeight_Reduction(x|y,y*b,0)", NULL},
    {"LogSumExp_Reduction(x|y,1,b)", "LogSumExpWeight_Reduction(x|y,b,1)"},
    {"SumSoftMaxWeight_Reduction(-SqDist(x,y),Concat(y,b),2)", NULL},
    {"Sum_Reduction(x,2)", "Sum_Reduction(Like(x,y),2)"},
    {"Zero_Reduction(3,0)", NULL},
    {"Zero_Reduction(1,2)", NULL},
    {"Sum_Reduction(x,0)", "Sum_Reduction(Like(x,y),0)"},
    {"Sum_Reduction(p,2)", "Sum_Reduction(Like(Like(p,x),y),2)"},
    {"Identity_Reduction(x,0)", NULL},
    {"Identity_Reduction(Elem(y,1),1)", NULL},
    {"Identity_Reduction(3,2)", NULL},
    {"Identity_Reduction(Sum_Reduction(b,0),2)", NULL},
    {"Identity_Reduction(Identity_Reduction(b,1),1)", "Identity_Reduction(b,1)"},
    {"Identity_Reduction(Sum_Reduction(b*x,0),0)", "Sum_Reduction(b*x,0)"},
    {"Identity_Reduction(ArgMin_Reduction(b,0),1)", NULL},
    {"Identity_Reduction(Gather(y,Elem(x,0)),0)", NULL},
    {"Identity_Reduction(Zero(2),1)", "Zero_Reduction(2,1)"},
    {"Grad(Sum_Reduction(b,0),b,2)", "Identity_Reduction(Like(2,b),1)"},
    {"Grad(Sum_Reduction(b,0),b,p)", "Identity_Reduction(Like(p,b),1)"},
    {"Grad(Sum_Reduction(p*b,0),p,1)", "Identity_Reduction(Sum_Reduction(b,0),2)"},
};

START_TEST(reductions_read_back)
{
    kf_parsed_reduction r[KF_MAX_RESULTS], again[KF_MAX_RESULTS];
    size_t count = 0;
    int64_t next_index = 4;
    const char *given = reductions[_i][0], *written = reductions[_i][1] ? reductions[_i][1] : given;
    ck_assert_int_eq(kf_parse_reductions(&g, given, 4, bindings, &next_index, &count, r, &err), KCL_OK);
    kf_print_reduction(&text, &r[0], name_of, NULL, 0);
    ck_assert_str_eq(kb_str_text(&text), written);
    ck_assert_int_eq(kf_parse_reductions(&g, written, 4, bindings, &next_index, &count, again, &err), KCL_OK);
    ck_assert_ptr_eq(again[0].node, r[0].node);
    ck_assert_int_eq(again[0].tag, r[0].tag);
}
END_TEST

/* Results of a text, written together, are read as the same nodes with the same tags. */
static void results_read_back(const char *given)
{
    kf_parsed_reduction r[KF_MAX_RESULTS], again[KF_MAX_RESULTS];
    size_t count = 0, count_again = 0;
    int64_t next_index = 4;
    ck_assert_msg(kf_parse_reductions(&g, given, 4, bindings, &next_index, &count, r, &err) == KCL_OK, "%s", err.text);
    kb_str_clear(&text);
    for (size_t k = 0; k < count; k++) {
        kb_str_put(&text, k ? ";" : "");
        kf_print_reduction(&text, &r[k], name_of, NULL, 0);
    }
    const char *written = kb_str_text(&text);
    ck_assert_msg(kf_parse_reductions(&g, written, 4, bindings, &next_index, &count_again, again, &err) == KCL_OK,
                  "%s: %s", given, err.text);
    ck_assert_uint_eq(count_again, count);
    for (size_t k = 0; k < count; k++)
        ck_assert_msg(again[k].node == r[k].node && again[k].tag == r[k].tag, "%s: %s", given, written);
}

/* Derivatives of sums lack axes that their rows have, or that their tags reduce. */
START_TEST(derivatives_of_sums_read_back)
{
    static const char *const formulas[] = {"x", "y", "p", "b", "p*x", "b*x", "p*b", "x|y", "x*y+b", "Exp(p)*b", "2"};
    static const char *const cotangents[] = {"", ",1", ",p"};
    for (size_t k = 0; k < KB_COUNT(formulas); k++)
        for (int tag = 0; tag < 3; tag++)
            for (size_t v = 0; v < KB_COUNT(vars); v++)
                for (size_t e = 0; e < KB_COUNT(cotangents); e++) {
                    const char *name = bindings[v].name;
                    char sum[64], texts[3][256];
                    snprintf(sum, sizeof sum, "Sum_Reduction(%s,%d)", formulas[k], tag);
                    snprintf(texts[0], sizeof texts[0], "%s;Grad(%s,%s%s)", sum, sum, name, cotangents[e]);
                    snprintf(texts[1], sizeof texts[1], "Diff(%s,%s,1);%s", sum, name, sum);
                    snprintf(texts[2], sizeof texts[2], "Grad(Grad(%s,%s%s),b,1);Grad(%s,b,p);%s", sum, name,
                             cotangents[e], sum, sum);
                    for (size_t n = 0; n < KB_COUNT(texts); n++)
                        results_read_back(texts[n]);
                }
}
END_TEST

/* Reductions inside formulas, as gradients have them and as users may write them; but no rows that are chosen. */
START_TEST(chains_read_back)
{
    static const char *const choices[] = {
        "Identity_Reduction(Exp(Sum_Reduction(x*b,0))*Max_Reduction(x*y,0),0)",
        "Sum_Reduction(SqDist(x,Gather(x,ArgMin_Reduction(SqDist(x,y),1))),1)",
        "Min_Reduction(SqDist(x,y),0)",
        "KMin_Reduction(b*Sum_Reduction(x,2),2,0)",
    };
    static const char *const chains[] = {
        "LogSumExp_Reduction(-SqDist(x,y),0)",
        "LogSumExp_Reduction(x*b,0)",
        "SumSoftMaxWeight_Reduction(x|b*y,0,y)",
        "Sum_Reduction(Exp(-SqDist(x,y))*b,0)",
        "Sum_Reduction(Log(Sum_Reduction(Exp(x*b),0))*x,1)",
        "Identity_Reduction(x/Sqrt(Sum_Reduction(Square(x),2)),0)",
        "Identity_Reduction(Exp(Sum_Reduction(x*b,0))*Sum_Reduction(x*y,0),0)",
    };
    for (size_t k = 0; k < KB_COUNT(choices); k++)
        results_read_back(choices[k]);
    for (size_t k = 0; k < KB_COUNT(chains); k++) {
        char derived[3][512];
        results_read_back(chains[k]);
        for (size_t v = 0; v < KB_COUNT(vars); v++) {
            const char *name = bindings[v].name;
            snprintf(derived[0], sizeof derived[0], "Grad(%s,%s,1)", chains[k], name);
            snprintf(derived[1], sizeof derived[1], "Diff(%s,%s,1)", chains[k], name);
            snprintf(derived[2], sizeof derived[2], "Grad(Grad(%s,%s,1),x,1)", chains[k], name);
            for (size_t n = 0; n < KB_COUNT(derived); n++)
                results_read_back(derived[n]);
        }
    }
}
END_TEST

START_TEST(reductions_inside_formulas_are_written)
{
    const kf_node *sum = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, read_back("x*b"));
    ck_assert_str_eq(printed(kf_binary(&g, KF_ADD, vars[0], sum)), "x+Sum_Reduction(x*b,0)");
    sum = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I | KF_AXIS_J, 0, read_back("x*b"));
    ck_assert_str_eq(printed(kf_unary(&g, KF_EXP, sum)), "Exp(Sum_Reduction(x*b,2))");
    const kf_node *nearest = kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_I, 0, read_back("x*b"));
    ck_assert_str_eq(printed(kf_unary(&g, KF_MINUS, nearest)), "-ArgMin_Reduction(x*b,1)");
    const kf_node *weighted = kf_weighted(&g, KF_REDUCE_SUMSOFTMAXWEIGHT, read_back("b"), read_back("x"));
    weighted = kf_reduce(&g, KF_REDUCE_SUMSOFTMAXWEIGHT, KF_AXIS_J, 0, weighted);
    ck_assert_str_eq(printed(kf_unary(&g, KF_MINUS, weighted)), "-SumSoftMaxWeight_Reduction(b,x,0)");
    /* The texts are read as well. */
    ck_assert_ptr_eq(read_back("-SumSoftMaxWeight_Reduction(b,0,x)"), kf_unary(&g, KF_MINUS, weighted));
    ck_assert_ptr_eq(read_back("Exp(Sum_Reduction(x*b,2))"), kf_unary(&g, KF_EXP, sum));
    ck_assert_ptr_eq(read_back("-ArgMin_Reduction(x*b,1)"), kf_unary(&g, KF_MINUS, nearest));
}
END_TEST

/* ---- Size -------------------------------------------------------------------------------------------------------- */

START_TEST(deep_formulas_are_written)
{
    enum { DEPTH = 100000 };
    const kf_node *f = vars[0], *sum = vars[0], *power = vars[3];
    for (int k = 0; k < DEPTH; k++) {
        f = kf_unary(&g, k & 1 ? KF_EXP : KF_MINUS, f);
        sum = kf_binary(&g, KF_SUB, vars[1], sum);
        power = kf_binary(&g, KF_POWF, vars[3], power);
    }
    ck_assert_uint_eq(strlen(printed(f)), 1 + DEPTH / 2 + DEPTH / 2 * 5);
    ck_assert_uint_eq(strlen(printed(sum)), 3 + (DEPTH - 1) * 4);
    ck_assert_uint_eq(strlen(printed(power)), 1 + DEPTH * 3);
    /* A formula that leans to the left is no deeper for the parser either. */
    for (int k = 0; k < DEPTH; k++)
        sum = k ? kf_binary(&g, KF_SUB, sum, vars[k & 1]) : vars[1];
    ck_assert_ptr_eq(read_back(printed(sum)), sum);
}
END_TEST

/* Twice all there is, a hundred times: 2^100 letters in full. */
static const kf_node *doubled(void)
{
    const kf_node *f = vars[0];
    for (int k = 0; k < 100; k++)
        f = kf_binary(&g, KF_MULT, f, f);
    return f;
}

START_TEST(a_text_of_shared_parts_has_an_end)
{
    failing memory = {0};
    const kcl_allocator allocator = failing_allocator(&memory);
    const kf_node *f = doubled();
    const kf_parsed_reduction r = {kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, f), 1};
    kb_str out;
    kb_str_init(&out, &allocator);
    for (int k = 0; k < 2; k++) {
        kb_str_clear(&out);
        kb_str_put(&out, "F = ");
        ck_assert(k ? !kf_print_reduction(&out, &r, name_of, NULL, 0) : !kf_print(&out, f, name_of, NULL, 0));
        ck_assert_uint_eq(out.length, 4 + KF_MAX_TEXT);
        ck_assert_str_eq(out.data + out.length - 3, "...");
        ck_assert_int_le(memory.largest, 4 * (long long)KF_MAX_TEXT);
        ck_assert_int_eq(kf_text_error(&out, &err), KCL_ERROR_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(err.text, "longer than 16777216 bytes"));
    }
    kb_str_finish(&out);
    ck_assert_int_eq(memory.blocks, 0);
}
END_TEST

START_TEST(shared_parts_are_cut_at_the_limit)
{
    const kf_node *f = doubled();
    kb_str_put(&text, "F = ");
    ck_assert(!kf_print(&text, f, name_of, NULL, 1000));
    ck_assert_uint_eq(text.length, 1004);
    ck_assert_int_eq(strncmp(text.data, "F = x*x*(x*x)*(", 15), 0);
    ck_assert_str_eq(text.data + 1001, "...");
    kb_str_clear(&text);
    kf_print_reduction(&text, &(kf_parsed_reduction){kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, f), 1}, name_of, NULL,
                       50);
    ck_assert_uint_eq(text.length, 50);
    ck_assert_str_eq(text.data + 46, "*...");
    /* A text of just the limit is whole. */
    const char *const cuts[] = {"x+y*p", ".", "..", "...", "x...", "x+y*p", "x+y*p"};
    for (size_t limit = 0; limit < KB_COUNT(cuts); limit++) {
        kb_str_clear(&text);
        ck_assert(kf_print(&text, read_back("x+y*p"), name_of, NULL, limit) == (strlen(cuts[limit]) == 5));
        ck_assert_str_eq(kb_str_text(&text), cuts[limit]);
    }
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    const kf_node *f = vars[0];
    for (int k = 0; k < 200; k++)
        f = kf_binary(&g, KF_DIVIDE, vars[1], f);
    bool done = false;
    for (int n = 1; !done; n++) {
        failing memory = {.fail_at = n};
        const kcl_allocator allocator = failing_allocator(&memory);
        kb_str out;
        kb_str_init(&out, &allocator);
        done = kf_print(&out, f, name_of, NULL, 0);
        ck_assert(done == !out.failed && (done || kf_text_error(&out, &err) == KCL_ERROR_NO_MEMORY));
        ck_assert_int_eq(done, memory.requests < n);
        ck_assert(done || n < 100);
        ck_assert(!done || n > 5);
        kb_str_finish(&out);
        ck_assert_int_eq(memory.blocks, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("print");
    TCase *tests = tcase_create("print");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, formulas_are_written_briefly, 0, KB_COUNT(forms));
    tcase_add_test(tests, numbers_read_back);
    tcase_add_test(tests, variables_without_name_are_written_in_full);
    tcase_add_loop_test(tests, random_formulas_read_back_to_the_same_node, 0, 50);
    tcase_add_test(tests, derivatives_read_back_to_the_same_node);
    tcase_add_loop_test(tests, reductions_read_back, 0, KB_COUNT(reductions));
    tcase_add_test(tests, derivatives_of_sums_read_back);
    tcase_add_test(tests, chains_read_back);
    tcase_add_test(tests, reductions_inside_formulas_are_written);
    tcase_add_test(tests, deep_formulas_are_written);
    tcase_add_test(tests, a_text_of_shared_parts_has_an_end);
    tcase_add_test(tests, shared_parts_are_cut_at_the_limit);
    tcase_add_test(tests, every_allocation_may_fail);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
