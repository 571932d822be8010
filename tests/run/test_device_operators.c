/* SPDX-License-Identifier: MIT */
/*
 * Every operator on a device, and its derivatives, against the interpreter.
 */
#include "on_device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Every operator ---------------------------------------------------------------------------------------------- */

/* Of operators that are not elementwise: positive arguments x (i), y (j) of dimension 3. */
static const char *const node_formula[KF_OP_COUNT] = {
    [KF_VAR] = "y",
    [KF_CONST] = "RatCst(3,7)*y*x",
    [KF_ZERO] = "Zero(3)+x*y",
    [KF_SUM] = "Sum(x*y)",
    [KF_SUMT] = "SumT(Elem(x,1)*Elem(y,2),4)",
    [KF_ELEM] = "Elem(x*y,2)",
    [KF_ELEMT] = "ElemT(Elem(x,0)*Elem(y,0),4,1)",
    [KF_EXTRACT] = "Extract(x+y,1,2)",
    [KF_EXTRACTT] = "ExtractT(x*y,1,5)",
    [KF_CONCAT] = "Concat(x*y,Elem(y,1)+x)",
    [KF_IOTA] = "Iota(3)*x*y",
    [KF_INDEX] = "Index(2,-1,3)*x*y+IndexI*x-Sin(IndexJ)*y+LessOrEqual(IndexI,IndexJ+1)*x",
    [KF_ARRANGE] = "Arrange(x*y,2,2,3,-1,2,0)*Arrange(Concat(x,y+x),1,0,6,1)+Arrange(Concat(y*x,x),2,5,3,-1,2,-3)",
    [KF_PLACE] = "Place(x*y,1,1,3,2,7)+Arrange(Place(x+y,1,0,3,3,8),1,7,7,-1)",
    [KF_SUMROWS] = "SumRows(TensorProd(x*y,x+y),3)*y",
    [KF_MAX] = "Max(x*y)",
    [KF_MIN] = "Min(x*y-x)*x",
    [KF_LIKE] = "Like(x*x,y)",
    [KF_SOFTDTW] = "SoftDTW_SqDist(x,y,0.5)+SoftDTW_SqDist(x,x*x,Elem(x,0))*SoftDTW_SqDist(y*y,y,0.7)",
    [KF_SOFTDTW_GRAD] = "GradSoftDTW_SqDist(Elem(x,0),x*y,0.5)*Elem(y,1)+GradSoftDTW_SqDist(x,Elem(x,1),Elem(y,2))",
    [KF_REDUCE] = "x*y",
};

/* Operands from the table's test domain: of both axes at once, and of each alone. */
static void put_operator(char *text, size_t size, int op)
{
    const kf_op_info *info = kf_info((kf_op)op);
    if (info->op_class != KF_CLASS_MAP)
        snprintf(text, size, "%s", node_formula[op]);
    else if (info->arity == 3)
        snprintf(text, size, "%s(x,y,x+y)*x+%s(y-x,x*y,y)+%s(y,y,x)", info->name, info->name, info->name);
    else if (info->arity == 2)
        snprintf(text, size, "%s(x,y)*x+%s(y,x)*y", info->name, info->name);
    else
        snprintf(text, size, "%s(0.5*(x+y)%s)*y+%s(x%s)*%s(y%s)", info->name, info->params ? ",3" : "", info->name,
                 info->params ? ",3" : "", info->name,
                 !info->params        ? ""
                 : op == KF_SPHERICAL ? ",1"
                                      : ",-2");
}

/* Operators whose operands may be negative, those whose may not, those with small and large ones, and what is not elementwise. */
enum { POSITIVE = 1, SMALL, LARGE, OTHERS, GROUPS };

static int group_of(const kf_op_info *info)
{
    return info->op_class != KF_CLASS_MAP ? OTHERS
           : info->low >= 1               ? LARGE
           : info->low >= 0               ? POSITIVE
           : info->high < 1               ? SMALL
                                          : 0;
}

/* Operators of a program, at most: compilers of GPUs take long for more. */
enum { TOGETHER = 12 };

static void check_sums(int group, const char *sums, const char *derive)
{
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)"};
    static const double low[GROUPS] = {-2, 0.3, -0.7, 1.3, 0.3}, high[GROUPS] = {2, 2, 0.7, 3, 2};
    subject s = {.scaled_by_rows = true, .low = low[group], .high = high[group]};
    subject_make(&s, sums, 2, aliases, derive, "");
    for (int t = 0; t < 2; t++) {
        if (*derive && t != group % 2 && !long_tests()) /* these kernels take long to compile */
            continue;
        subject_check(&s, device, host, dtypes[t], 33, 257);
        if (long_tests())
            subject_check(&s, device, host, dtypes[t], 5, 1000);
    }
    subject_free(&s);
}

static void check_operators(int group, const char *derive)
{
    char text[8192] = "", one[160];
    int count = 0;
    for (int op = 0; op < KF_OP_COUNT; op++) {
        const kf_op_info *info = kf_info((kf_op)op);
        /* A gradient that has none itself. */
        if (group_of(info) != group || (op == KF_SOFTDTW_GRAD && *derive))
            continue;
        ck_assert_msg(group != OTHERS || node_formula[op], "operator %s has no formula here", info->name);
        put_operator(one, sizeof one, op);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%sSum_Reduction(%s,0)", *text ? ";" : "", one);
        if (++count % TOGETHER == 0) {
            check_sums(group, text, derive);
            text[0] = 0;
        }
    }
    ck_assert_int_gt(count, 0);
    if (*text)
        check_sums(group, text, derive);
}

START_TEST(test_every_operator)
{
    for (int group = 0; group < GROUPS; group++) {
        check_operators(group, "");
        check_operators(group, "x");
        if (long_tests())
            check_operators(group, "y");
    }
}
END_TEST

/* Each function that has a shorter form, in every place where kernels call it, and its derivative. */
START_TEST(test_fast_elementary_functions)
{
    static const struct {
        const char *formula, *schedule, *derive;
    } cases[] = {
        {"Sum_Reduction(Exp(-g*SqDist(x,y))*Divide(x,y)+Inv(x+y),0)", "", "x"},
        {"Sum_Reduction(Powf(x,y)+Pow(x+y,-3)+Sqrt(x+y)*Rsqrt(x*y),0)", "split", "y"},
        {"Sum_Reduction(Sin(x*y)*Cos(x-y)+Tan(x*y*0.3)+Sigmoid(x-y),0)", "columns", "x"},
        {"Sum_Reduction(Log(x+y)*Exp2(x-y)+XLogX(x*y)+Log2(x*y),1)", "rows", ""},
        {"LogSumExp_Reduction(-Norm2(x-y),0);SumSoftMaxWeight_Reduction(-SqDist(x,y),0,y)", "", ""},
        {"Max_SumShiftExpWeight_Reduction(g*SqDist(x,y),0,Exp(-x))", "lanes", ""},
    };
    const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "g=Pm(1)"};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        for (int derived = 0; derived < (*cases[k].derive ? 2 : 1); derived++) {
            for (int t = 0; t < 2; t++) {
                subject s = {.low = 0.3, .high = 2, .math = "fast", .tolerance = dtypes[t] == KCL_F32 ? 4e-5 : 1e-10};
                subject_make(&s, cases[k].formula, 3, aliases, derived ? cases[k].derive : "", cases[k].schedule);
                subject_check(&s, device, host, dtypes[t], 41, 300);
                subject_free(&s);
            }
        }
    }
}
END_TEST

/* A choice of the operator and what is derived from it, and of a scope from then on; it is no part of the structure. */
START_TEST(test_who_asks_for_fast_functions)
{
    const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)"};
    const char formula[] = "Sum_Reduction(Exp(-SqDist(x,y))/(1+Sin(x*y)),0)";
    static collected text;
    for (int fast = 0; fast < 2; fast++) {
        kcl_operator *op, *grad;
        ck_assert_int_eq(
            kcl_operator_create(&op, formula, 2, aliases, &(kcl_operator_params){.math = fast ? "fast" : "precise"}),
            KCL_OK);
        ck_assert_int_eq(kcl_operator_grad(&grad, op, "x"), KCL_OK);
        for (int g = 0; g < 2; g++) {
            text.length = 0;
            ck_assert_int_eq(kcl_operator_emit(g ? grad : op, device, NULL, KCL_F32, 100, 100, collect, &text), KCL_OK);
            ck_assert_int_eq(strstr(text.text, "kcl_fast_sin") != NULL, fast);
            text.length = 0;
            ck_assert_int_eq(kcl_operator_describe(g ? grad : op, device, KCL_F32, 100, 100, collect, &text), KCL_OK);
            ck_assert_int_eq(strstr(text.text, "math: fast\n") != NULL, fast);
        }
        kcl_operator_destroy(&grad);
        kcl_operator_destroy(&op);
    }

    enum { M = 20, N = 50 };
    double x[M], y[N], first[M], again[M], fast[M];
    for (int i = 0; i < M; i++)
        x[i] = uniform(0, 1);
    for (int j = 0; j < N; j++)
        y[j] = uniform(0, 1);
    kcl_scope *s = kcl_scope_create(device);
    double *const results[] = {first, fast, again};
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(kcl_scope_set_math(s, k == 1 ? "fast" : "precise"), KCL_OK);
        kcl_expr *x_i = kcl_vi(s, kcl_f64(x, M, 1)), *y_j = kcl_vj(s, kcl_f64(y, N, 1));
        kcl_expr *f = kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j)));
        ck_assert_msg(kcl_eval1(kcl_reduce_sum(f, KCL_OVER_J), kcl_f64(results[k], M)) == KCL_OK, "%s",
                      kcl_context_error(device));
    }
    ck_assert_int_eq(memcmp(first, again, sizeof first), 0);
    ck_assert_int_ne(memcmp(first, fast, sizeof first), 0);
    for (int i = 0; i < M; i++)
        ck_assert_double_lt(fabs(first[i] - fast[i]), 1e-11 * first[i]);
    /* A word that is refused changes nothing. */
    ck_assert_int_eq(kcl_scope_set_math(s, "fast"), KCL_OK);
    ck_assert_int_eq(kcl_scope_set_math(s, "quick"), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(device), "\"quick\"", "\"precise\"", "\"fast\"");
    kcl_expr *x_i = kcl_vi(s, kcl_f64(x, M, 1)), *y_j = kcl_vj(s, kcl_f64(y, N, 1));
    ck_assert_int_eq(kcl_eval1(kcl_reduce_sum(kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j))), KCL_OVER_J), kcl_f64(again, M)),
                     KCL_OK);
    ck_assert_int_eq(memcmp(fast, again, sizeof fast), 0);
    ck_assert_int_eq(kcl_scope_set_math(NULL, "fast"), KCL_ERROR_ARGUMENT);
    kcl_scope_destroy(&s);
}
END_TEST

/* What strings say by several operators: pairs of reductions, derivatives, comparisons, tensors. */
START_TEST(test_composed_names)
{
    const char *const aliases[] = {"x=Vi(4)", "y=Vj(4)"};
    subject s = {.scaled_by_rows = true, .low = -1, .high = 1};
    subject_make(&s,
                 "Max_SumShiftExp_Reduction(-SqDist(x,y),0,y);Zero_Reduction(3,0);"
                 "Sum_Reduction(Laplacian(Exp(-SqDist(x,y)),x)*y+(y<x<0.5)*Divergence(x*Exp(x*y),x),0);"
                 "Identity_Reduction(Log(Sum_Reduction(Exp(-SqDist(x,y)),0))*x,0);"
                 "Sum_Reduction(y/Sum_Reduction(Exp(-SqDist(x,y)),1),0);"
                 "Sum_Reduction(TensorDot(x,GradMatrix(Sin(x*y),y),[2,2],[2,2,4],[1],[0],[2,0,1]),0)",
                 2, aliases, "", "");
    for (int t = 0; t < 2; t++)
        subject_check(&s, device, host, dtypes[t], 33, 257);
    subject_free(&s);
}
END_TEST

/* Rearranged components, matrices and extremes in every schedule that takes them, small and as long as 1024. */
START_TEST(test_rearranged_components)
{
    static const struct {
        const char *formula, *derive;
        int d, square;
    } cases[] = {
        {"Sum_Reduction(MatVecMult(A,x-y)*Exp(-SqDist(x,y)),0)", "", 2, 4},
        {"Sum_Reduction(MatVecMult(A,x-y)*Exp(-SqDist(x,y)),0)", "x", 5, 25},
        {"Sum_Reduction(MatVecMult(A,x-y)*Exp(-SqDist(x,y)),0)", "A", 5, 25},
        {"Sum_Reduction(WeightedSqDist(A,x,y),0)", "y", 32, 1024},
        {"Sum_Reduction(VecMatMult(y,A)*Max(x*y),1)", "A", 4, 16},
        {"Sum_Reduction(TensorProd(x,y)*A+TensorProd(y,x),0)", "x", 4, 16},
        {"LogSumExp_Reduction(Min(MatVecMult(A,x)*y)+ArgMax(x-y),0)", "x", 3, 9},
        {"Sum_Reduction(ComplexMult(ComplexExp(x),ComplexAdd(y,Concat(A,A))),0)", "x", 6, 1},
        {"Sum_Reduction(Arrange(Concat(x,Place(y,1,1,6,2,20)),2,25,4,-6,6,-1)*OneHot(Elem(x,0),24),0)", "x", 6, 1},
    };
    static const char *const schedules[] = {"", "lanes", "rows", "split", "columns"};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        char x[32], y[32], A[32];
        snprintf(x, sizeof x, "x=Vi(%d)", cases[k].d);
        snprintf(y, sizeof y, "y=Vj(%d)", cases[k].d);
        snprintf(A, sizeof A, "A=Vi(%d)", cases[k].square);
        for (size_t m = 0; m < KB_COUNT(schedules); m++) {
            for (int derived = 0; derived < 2; derived++) {
                if (!long_tests() && (k + m + (size_t)derived) % 3)
                    continue;
                subject s = {.scaled_by_rows = true, .low = 0.1, .high = 0.9};
                subject_make(&s, cases[k].formula, 3, (const char *const[]){x, y, A}, derived ? cases[k].derive : "",
                             schedules[m]);
                subject_check(&s, device, host, dtypes[(k + m) % 2], 19, 67);
                subject_free(&s);
            }
        }
    }
}
END_TEST

/* ---- Derivatives ------------------------------------------------------------------------------------------------- */

START_TEST(test_gradients_and_second_derivatives)
{
    /* g has one more cotangent name, "e", after the first derivative. */
    static const char *const derive[] = {"x", "y", "b", "g", "xx", "xy", "xg", "ye"};
    for (size_t k = 0; k < KB_COUNT(derive); k++) {
        subject s = {.scaled_by_rows = strlen(derive[k]) > 1};
        make_family(&s, &families[0], 3, (int)k % 3, derive[k], "");
        for (int t = 0; t < 1 + (k % 3 == 0 || long_tests()); t++) {
            subject_check(&s, device, host, dtypes[t], 129, 257);
            subject_check(&s, device, host, dtypes[t], 211, 33);
            subject_check(&s, device, host, dtypes[t], 1, 1);
            subject_check(&s, device, host, dtypes[t], 0, 31);
            subject_check(&s, device, host, dtypes[t], 31, 0);
        }
        subject_free(&s);
    }
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const test_entry tests[] = {
        {test_every_operator, 0}, {test_fast_elementary_functions, 0}, {test_who_asks_for_fast_functions, 0},
        {test_composed_names, 0}, {test_rearranged_components, 0},     {test_gradients_and_second_derivatives, 0},
    };
    return run_tests_on_device(argv[0], "operators on a device", tests, KB_COUNT(tests));
}
