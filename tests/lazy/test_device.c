/* SPDX-License-Identifier: MIT */
/*
 * Lazy tensors and operators on this machine's first OpenCL CPU, against the interpreter and against plain loops. Exits
 * with 77 (skipped) where there is none. A kernel takes up to a second to build: a fixed core is tested and a sample,
 * drawn with KEOPSCL_TEST_SEED; with KEOPSCL_LONG_TESTS=1 the full product.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "node.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static kcl_context *device, *host; /* of all tests, so that they share kernels */

static void setup(void)
{
    seed_random(test_seed());
}

static void teardown(void)
{
}

static const kcl_dtype dtypes[] = {KCL_F32, KCL_F64};

/* Around the lanes of a vector, the tiles of blocked summation, and nothing at all. */
static const int sizes[] = {0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 127, 128, 129, 211, 255, 256, 257};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* ---- Plain loops ------------------------------------------------------------------------------------------------- */

enum { D = 3 };

static double gauss(const numbers *x, int64_t i, const numbers *y, int64_t j, double g)
{
    double d2 = 0;
    for (int k = 0; k < D; k++) {
        double d = *numbers_exact(x, i, k) - *numbers_exact(y, j, k);
        d2 += d * d;
    }
    return exp(-g * d2);
}

static void close_to(double got, double want, double scale, kcl_dtype dtype, const char *what)
{
    double tolerance = dtype == KCL_F32 ? 1e-5 : 1e-12;
    ck_assert_msg(fabs(got - want) <= tolerance * scale + 1e-37,
                  "%s, %s: %.9g, by plain loops %.9g, sum of |terms| %.3g", what, kb_dtype_name(dtype), got, want,
                  scale);
}

/* Nothing of the library has a part in what is expected here. */
static void check_by_loops(kcl_dtype dtype, int64_t m, int64_t n)
{
    numbers x, y, b, g, e, sum, over_i, both, grad;
    numbers *const all[] = {&x, &y, &b, &g, &e, &sum, &over_i, &both, &grad};
    const int64_t rows[] = {m, n, n, 1, m, m, n, 1, m};
    const int dims[] = {D, D, 1, 1, 1, 1, 1, 1, D};
    for (size_t k = 0; k < KB_COUNT(all); k++) {
        numbers_make(all[k], dtype, rows[k], dims[k], DENSE);
        numbers_fill(all[k], k == 3 ? 0.3 : -1, 1);
    }
    kcl_scope *s = kcl_scope_create(device);
    kcl_expr *x_i = kcl_vi(s, &x.array), *y_j = kcl_vj(s, &y.array), *b_j = kcl_vj(s, &b.array);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_mul(kcl_pm(s, &g.array), kcl_sqdist(x_i, y_j))));
    kcl_expr *f = kcl_mul(K, b_j), *a_i = kcl_reduce_sum(f, KCL_OVER_J);
    kcl_expr *exprs[] = {a_i, kcl_reduce_sum(K, KCL_OVER_I), kcl_reduce_sum(f, KCL_OVER_BOTH),
                         kcl_vjp(a_i, x_i, kcl_vi(s, &e.array))};
    const kcl_array *outs[] = {&sum.array, &over_i.array, &both.array, &grad.array};
    ck_assert_msg(kcl_eval(4, exprs, outs) == KCL_OK, "%s", kcl_context_error(device));
    const double bandwidth = *numbers_exact(&g, 0, 0);
    double total = 0, size = 0;
    for (int64_t i = 0; i < m; i++) {
        double want = 0, scale = 0, slope[D] = {0}, slope_scale[D] = {0};
        for (int64_t j = 0; j < n; j++) {
            double value = gauss(&x, i, &y, j, bandwidth) * *numbers_exact(&b, j, 0);
            want += value;
            scale += fabs(value);
            for (int k = 0; k < D; k++) {
                double term = -2 * bandwidth * (*numbers_exact(&x, i, k) - *numbers_exact(&y, j, k)) * value *
                              *numbers_exact(&e, i, 0);
                slope[k] += term;
                slope_scale[k] += fabs(term);
            }
        }
        close_to(numbers_get(&sum, i, 0), want, scale, dtype, "sum over j");
        for (int k = 0; k < D; k++)
            close_to(numbers_get(&grad, i, k), slope[k], slope_scale[k], dtype, "gradient");
        total += want;
        size += scale;
    }
    close_to(numbers_get(&both, 0, 0), total, size, dtype, "sum over both");
    for (int64_t j = 0; j < n; j++) {
        double want = 0;
        for (int64_t i = 0; i < m; i++)
            want += gauss(&x, i, &y, j, bandwidth);
        close_to(numbers_get(&over_i, j, 0), want, want, dtype, "sum over i");
    }
    kcl_scope_destroy(&s);
    for (size_t k = 0; k < KB_COUNT(all); k++)
        numbers_free(all[k]);
}

START_TEST(test_gaussian_sums_by_plain_loops)
{
    static const int pairs[][2] = {{0, 0}, {0, 5}, {5, 0}, {1, 1}, {100, 130}, {131, 1}, {7, 5003}, {150, 6007}};
    for (size_t k = 0; k < KB_COUNT(pairs); k++)
        for (int t = 0; t < 2; t++)
            check_by_loops(dtypes[t], pairs[k][0], pairs[k][1]);
}
END_TEST

/* ---- Families of formulas ---------------------------------------------------------------------------------------- */

/* In `formula` and `aliases`, # is the dimension of the vectors. */
typedef struct family {
    const char *formula, *aliases[5];
    double low, high;
} family;

static const family families[] = {
    {"Exp(-IntInv(#)*g*SqDist(x,y))*b", {"x=Vi(#)", "y=Vj(#)", "b=Vj(1)", "g=Pm(1)"}, -1, 1},
    {"Exp(-IntInv(#)*g*SqDist(x,y))*b", {"x=Vi(#)", "y=Vj(#)", "b=Vj(64)", "g=Pm(1)"}, -1, 1},
    {"Exp(-g*Norm2(x-y)*IntInv(#))*b", {"x=Vi(#)", "y=Vj(#)", "b=Vj(3)", "g=Pm(1)"}, -1, 1},
    {"Inv(1+SqDist(x,y))*(x-y)", {"x=Vi(#)", "y=Vj(#)"}, -1, 1},
    {"(x|y)*b", {"x=Vi(#)", "y=Vj(#)", "b=Vj(1)"}, 0.3, 2},
    {"x*y+p", {"x=Vi(#)", "y=Vj(#)", "p=Pm(#)"}, 0.3, 2},
    {"Sum(p*Square(x-y))*b", {"x=Vi(#)", "y=Vj(#)", "p=Pm(#)", "b=Vj(1)"}, 0.3, 2},
    {"Concat(Elem(x,0)*y,Extract(y,0,1)*b)", {"x=Vi(#)", "y=Vj(#)", "b=Vi(1)"}, -1, 1},
    {"ElemT(Elem(x,0)*b,5,2)+ExtractT(Extract(y,0,1),1,5)", {"x=Vi(#)", "y=Vj(#)", "b=Vj(1)"}, -1, 1},
    {"Extract(Concat(x,y),#-0,1)*Rsqrt(1+SqNorm2(x+y))", {"x=Vi(#)", "y=Vj(#)"}, -1, 1},
    {"Exp(-g*IntInv(#)*SqNorm2(x))*c", {"x=Vi(#)", "c=Vi(2)", "g=Pm(1)", "y=Vj(1)"}, -1, 1},
    {"Exp(-g*IntInv(#)*SqNorm2(y))*b", {"y=Vj(#)", "b=Vj(2)", "g=Pm(1)", "x=Vi(1)"}, -1, 1},
    {"g*SqNorm2(p)", {"p=Pm(#)", "g=Pm(1)", "x=Vi(1)", "y=Vj(1)"}, -1, 1},
};

static void put_dim(char *out, size_t size, const char *text, int dim)
{
    size_t n = 0;
    for (; *text; text++) {
        /* "#-0" is a number that must not be an expression: the last component of x behind y's first. */
        if (strncmp(text, "#-0", 3) == 0) {
            n += (size_t)snprintf(out + n, size - n, "%d", dim);
            text += 2;
        } else if (*text == '#') {
            n += (size_t)snprintf(out + n, size - n, "%d", dim);
        } else {
            n += (size_t)snprintf(out + n, size - n, "%c", *text);
        }
    }
}

static void make_family(subject *s, const family *f, int dim, int tag, const char *derive, const char *schedule)
{
    char formula[256], text[300], alias[5][32];
    const char *aliases[5];
    int count = 0;
    put_dim(formula, sizeof formula, f->formula, dim);
    snprintf(text, sizeof text, "Sum_Reduction(%s,%d)", formula, tag);
    for (; count < 5 && f->aliases[count]; count++) {
        put_dim(alias[count], sizeof alias[count], f->aliases[count], dim);
        aliases[count] = alias[count];
    }
    s->low = f->low;
    s->high = f->high;
    subject_make(s, text, count, aliases, derive, schedule);
}

static void check_sizes(const subject *s, kcl_dtype dtype, int every)
{
    for (int a = 0; a < SIZES; a++)
        for (int b = 0; b < SIZES; b++)
            if (every == 1 || pick(every) == 0)
                subject_check(s, device, host, dtype, sizes[a], sizes[b]);
}

START_TEST(test_every_size)
{
    for (int tag = 0; tag < 3; tag++) {
        subject s = {0};
        make_family(&s, &families[0], 3, tag, "", "");
        check_sizes(&s, KCL_F32, 1);
        check_sizes(&s, KCL_F64, long_tests() ? 1 : 4);
        subject_free(&s);
    }
}
END_TEST

/* Where the plan turns to another schedule: very few rows; too few rows to occupy the device. */
START_TEST(test_split_thresholds)
{
    static const int rows[] = {1, 2, 7, 15, 16, 17, 31, 33, 64, 100, 127, 128, 129, 199, 200};
    static const int cols[] = {31, 32, 33, 63, 64, 65, 2047, 2048, 2049, 4095, 4096, 4097, 5000, 8191, 8193, 20011};
    for (int t = 0; t < 2; t++) {
        for (int tag = 0; tag < 2; tag++) {
            subject s = {0};
            make_family(&s, &families[0], 3, tag, "", "");
            for (size_t a = 0; a < KB_COUNT(rows); a++)
                for (size_t b = 0; b < KB_COUNT(cols); b++)
                    if (long_tests() || pick(5) == 0)
                        subject_check(&s, device, host, dtypes[t], tag ? cols[b] : rows[a], tag ? rows[a] : cols[b]);
            subject_free(&s);
        }
    }
}
END_TEST

START_TEST(test_forced_schedules)
{
    for (int t = 0; t < 2; t++) {
        for (int tag = 0; tag < 2; tag++) {
            subject s = {0};
            make_family(&s, &families[0], 3, tag, "", tag ? "columns" : "rows");
            check_sizes(&s, dtypes[t], long_tests() ? 1 : 4);
            subject_check(&s, device, host, dtypes[t], 9, 9001);
            subject_check(&s, device, host, dtypes[t], 9001, 9);
            subject_free(&s);
        }
    }
    const char *const refused[] = {"x=Vi(1)", "y=Vj(1)"};
    subject s = {0};
    subject_make(&s, "Sum_Reduction(x*y,2)", 2, refused, "", "columns");
    numbers ins[MAX_INPUTS], outs[64];
    arguments_make(&s, KCL_F32, 5, 6, ins);
    outputs_make(s.op, KCL_F32, 5, 6, DENSE, outs);
    ck_assert_int_eq(apply(s.op, device, outs, ins, false), KCL_ERROR_UNSUPPORTED);
    CONTAINS(kcl_context_error(device), "\"columns\"", "both axes");
    outputs_free(s.op, outs);
    arguments_free(&s, ins);
    subject_free(&s);
}
END_TEST

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
                 info->params ? ",3" : "", info->name, !info->params ? "" : op == KF_SPHERICAL ? ",1" : ",-2");
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

static void check_operators(int group, const char *derive)
{
    char text[8192] = "", one[160];
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)"};
    static const double low[GROUPS] = {-2, 0.3, -0.7, 1.3, 0.3}, high[GROUPS] = {2, 2, 0.7, 3, 2};
    subject s = {.scaled_by_rows = true, .low = low[group], .high = high[group]};
    int count = 0;
    for (int op = 0; op < KF_OP_COUNT; op++) {
        const kf_op_info *info = kf_info((kf_op)op);
        /* A gradient that has none itself. */
        if (group_of(info) != group || (op == KF_SOFTDTW_GRAD && *derive))
            continue;
        ck_assert_msg(group != OTHERS || node_formula[op], "operator %s has no formula here", info->name);
        put_operator(one, sizeof one, op);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%sSum_Reduction(%s,0)", count++ ? ";" : "", one);
    }
    ck_assert_int_gt(count, 0);
    subject_make(&s, text, 2, aliases, derive, "");
    for (int t = 0; t < 2; t++) {
        if (*derive && t != group % 2 && !long_tests()) /* these kernels take long to compile */
            continue;
        subject_check(&s, device, host, dtypes[t], 33, 257);
        if (long_tests())
            subject_check(&s, device, host, dtypes[t], 5, 1000);
    }
    subject_free(&s);
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

/* Points of a lattice: squared distances are exact, and many are equal. */
START_TEST(test_three_kinds_of_reduction)
{
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "g=Pm(1)"};
    for (int tag = 0; tag < 3; tag++) {
        char text[256];
        subject s = {.lattice = 0.125, .out = tag == 1 ? TRANSPOSED : COMPONENTS_APART};
        snprintf(text, sizeof text,
                 "ArgMin_Reduction(SqDist(x,y),%d);LogSumExp_Reduction(-g*SqDist(x,y)-100,%d);"
                 "Sum_Reduction(Exp(-g*SqDist(x,y)),%d);ArgMin_Reduction(Square(x-y),%d);ArgMin_Reduction(-(x|x),%d)",
                 tag, tag, tag, tag, tag);
        subject_make(&s, text, 3, aliases, "", "");
        for (int a = 0; a < SIZES; a++)
            subject_check(&s, device, host, KCL_F32, sizes[a], sizes[pick(SIZES)]);
        subject_check(&s, device, host, KCL_F64, 257, 127);
        subject_check(&s, device, host, KCL_F32, 40, 6000);
        subject_check(&s, device, host, KCL_F32, 6000, 3);
        subject_free(&s);
        /* The share of each term in the sum, without weights and with them. */
        const char *const by[] = {"x", "y", "g", "xy", "y", "x"};
        for (int k = 0; k < 6; k++) {
            subject gradient = {.tolerance = 1e-4};
            const char *shares = k < 4    ? "LogSumExp_Reduction(-g*SqDist(x,y)-100,%d)"
                                 : k == 4 ? "SumSoftMaxWeight_Reduction(-g*SqDist(x,y)-100,y,%d)"
                                          : "LogSumExpWeight_Reduction(-g*SqDist(x,y)-100,1+Square(y),%d)";
            if (k >= 4 && tag != k % 3 && !long_tests())
                continue;
            snprintf(text, sizeof text, shares, tag);
            subject_make(&gradient, text, 3, aliases, by[k], "");
            subject_check(&gradient, device, host, KCL_F32, 33, 130);
            gradient.tolerance = 1e-11;
            subject_check(&gradient, device, host, KCL_F64, 130, 33);
            subject_free(&gradient);
        }
    }
}
END_TEST

/* ---- Schedules --------------------------------------------------------------------------------------------------- */

static const char *const schedules[] = {"lanes", "rows", "contraction", "split", "columns"};
enum { LANES, ROWS, CONTRACTION, SPLIT, COLUMNS, SCHEDULES };

/* Three reductions of numbers, which contractions compute too, and of vectors. */
static const char three_reductions[] =
    "ArgMin_Reduction(SqDist(x,y),%d);LogSumExp_Reduction(-g*SqDist(x,y)-100,%d);Sum_Reduction(Exp(-g*SqDist(x,y))*b,%d)";
static const char vector_reductions[] =
    "ArgMin_Reduction(Square(x-y),%d);Sum_Reduction(Exp(-g*SqDist(x,y))*(x-y),%d);LogSumExp_Reduction(-(x|y),%d)";

/* Values, lists of them and weights: of numbers, and of vectors. No contraction keeps lists. */
static const char list_reductions[] =
    "Min_ArgMin_Reduction(SqDist(x,y),%d);KMin_ArgKMin_Reduction(SqDist(x,y),10,%d);Max_Reduction(SqDist(x,y),%d)";
static const char weighted_reductions[] =
    "KMax_ArgKMax_Reduction(Square(x-y),3,%d);LogSumExpWeight_Reduction(-g*SqDist(x,y)-100,1+Square(y),%d);"
    "SumSoftMaxWeight_Reduction(-g*SqDist(x,y)-100,y*b,%d)";

static void make_reductions(subject *s, const char *formulas, int dim, int tag, const char *schedule)
{
    char text[300], x[16], y[16];
    snprintf(text, sizeof text, formulas, tag, tag, tag);
    snprintf(x, sizeof x, "x=Vi(%d)", dim);
    snprintf(y, sizeof y, "y=Vj(%d)", dim);
    subject_make(s, text, 4, (const char *const[]){x, y, "b=Vj(1)", "g=Pm(1)"}, "", schedule);
}

/* The schedule cannot run the subject, and says so by name; the interpreter says the same. */
static void check_refused(const subject *s, kcl_dtype dtype, const char *schedule, const char *why)
{
    numbers ins[MAX_INPUTS], outs[64];
    arguments_make(s, dtype, 5, 6, ins);
    outputs_make(s->op, dtype, 5, 6, DENSE, outs);
    ck_assert_int_eq(apply(s->op, device, outs, ins, false), KCL_ERROR_UNSUPPORTED);
    CONTAINS(kcl_context_error(device), schedule, why);
    ck_assert_int_eq(apply(s->op, host, outs, ins, false), KCL_ERROR_UNSUPPORTED);
    ck_assert_str_eq(kcl_context_error(host), kcl_context_error(device));
    outputs_free(s->op, outs);
    arguments_free(s, ins);
}

/* Points of a lattice, so that indices are those of exact ties, through every schedule and both axes. */
START_TEST(test_every_schedule_on_every_reduction)
{
    static const int pairs[][2] = {{1, 1}, {2, 3}, {17, 129}, {33, 31}, {130, 257}, {257, 16}, {5, 2100}, {0, 2}, {3, 0}};
    for (int n = 0; n < SCHEDULES; n++) {
        for (int tag = 0; tag < 3; tag++) {
            for (int set = 0; set < 4; set++) {
                static const char *const sets[] = {three_reductions, vector_reductions, list_reductions,
                                                   weighted_reductions};
                for (int t = 0; t < 2; t++) {
                    bool refused = tag == 2 ? n == CONTRACTION || n == COLUMNS : n == CONTRACTION && set > 0;
                    /* A type each; vectors over one axis, and so the others by turns. */
                    if (!long_tests() && (t != (n + tag + set) % 2 || (set == 1 && tag != n % 2 && !refused) ||
                                          (set > 1 && (refused ? tag == 2 : tag != (n + set) % (n % 2 ? 3 : 2)))))
                        continue;
                    subject s = {.lattice = 0.125};
                    make_reductions(&s, sets[set], set % 2 ? 3 : 17, tag, schedules[n]);
                    for (size_t k = 0; !refused && k < KB_COUNT(pairs); k++)
                        subject_check(&s, device, host, dtypes[t], pairs[k][tag == 1], pairs[k][tag != 1]);
                    if (refused)
                        check_refused(&s, dtypes[t], n == COLUMNS ? "\"columns\"" : "\"contraction\"",
                                      tag == 2   ? "both axes"
                                      : set == 1 ? "its terms are vectors"
                                                 : "KMin, KMax, their means and indices keep a list");
                    subject_free(&s);
                }
            }
        }
    }
    subject s = {0};
    subject_make(&s, "Sum_Reduction(Exp(x-y),0)", 2, (const char *const[]){"x=Vi(1)", "y=Vj(1)"}, "", "contraction");
    check_refused(&s, KCL_F32, "\"contraction\"", "no sum over the components");
    subject_free(&s);
}
END_TEST

/*
 * More values of one axis than have arrays of their own, for contractions of both axes; and more sines and cosines than
 * are computed by the library's own text.
 */
START_TEST(test_many_values_of_one_axis)
{
    enum { VALUES = 20 };
    kb_str text;
    for (int n = 0; n < SCHEDULES; n++) {
        kb_str_init(&text, NULL);
        kb_str_put(&text, "Sum_Reduction(Exp(-SqDist(x,y))*(Square(u*v)");
        for (int k = 1; k <= VALUES; k++)
            kb_str_putf(&text, "+Square(Cos(%d*u)*Sin(%d*v))", k, k);
        kb_str_putf(&text, "),%d)", n % 2);
        subject s = {0};
        subject_make(&s, kb_str_text(&text), 4, (const char *const[]){"x=Vi(17)", "y=Vj(17)", "u=Vi(1)", "v=Vj(1)"}, "",
                     schedules[n]);
        subject_check(&s, device, host, dtypes[n % 2], 33, 70);
        if (long_tests())
            subject_check(&s, device, host, dtypes[1 - n % 2], 1, 2100);
        subject_free(&s);
        kb_str_finish(&text);
    }
}
END_TEST

static double squared_distance(const numbers *x, int64_t i, const numbers *y, int64_t j)
{
    double d2 = 0;
    for (int k = 0; k < x->dim; k++)
        d2 += pow(*numbers_exact(x, i, k) - *numbers_exact(y, j, k), 2);
    return d2;
}

/*
 * Gaussians of width 1 in a field of 1e4 of them, at the origin or 1e6 away. Streamed points are near the first half of
 * the others; those of the second half are far from all. Against plain loops in double on the same numbers.
 */
static void check_far(int dim, int tag, double offset, const char *schedule)
{
    enum { KEPT = 40, REDUCED = 300 };
    const int64_t m = tag ? REDUCED : KEPT, n = tag ? KEPT : REDUCED;
    const double unit = 0x1p-24;
    subject s = {0}, nearest = {0};
    char text[200], x[16], y[16];
    snprintf(x, sizeof x, "x=Vi(%d)", dim);
    snprintf(y, sizeof y, "y=Vj(%d)", dim);
    const char *const aliases[] = {x, y, tag ? "b=Vi(1)" : "b=Vj(1)"};
    snprintf(text, sizeof text, "Sum_Reduction(Exp(-SqDist(x,y))*b,%d);LogSumExp_Reduction(-SqDist(x,y),%d)", tag, tag);
    subject_make(&s, text, 3, aliases, "", schedule);
    snprintf(text, sizeof text, "ArgMin_Reduction(SqDist(x,y),%d)", tag);
    subject_make(&nearest, text, 3, aliases, "", schedule);
    numbers ins[MAX_INPUTS], got[2], index;
    arguments_make(&s, KCL_F32, m, n, ins);
    numbers *kept = &ins[tag], *reduced = &ins[1 - tag];
    for (int64_t i = 0; i < KEPT; i++)
        for (int k = 0; k < dim; k++)
            numbers_set(kept, i, k, offset + uniform(0, 1e4));
    for (int64_t j = 0; j < REDUCED; j++)
        for (int k = 0; k < dim; k++)
            numbers_set(reduced, j, k, *numbers_exact(kept, j % (KEPT / 2), k) + uniform(0, 0.2));
    outputs_make(s.op, KCL_F32, m, n, DENSE, got);
    outputs_make(nearest.op, KCL_F32, m, n, DENSE, &index);
    ck_assert_msg(apply(s.op, device, got, ins, false) == KCL_OK, "%s", kcl_context_error(device));
    ck_assert_msg(apply(nearest.op, device, &index, ins, false) == KCL_OK, "%s", kcl_context_error(device));
    for (int64_t i = 0; i < KEPT; i++) {
        double sum = 0, scale = 0, least = INFINITY, power = 0;
        for (int64_t j = 0; j < REDUCED; j++) {
            double d2 = squared_distance(kept, i, reduced, j), b = *numbers_exact(&ins[2], j, 0);
            sum += exp(-d2) * b;
            scale += exp(-d2) * fabs(b);
            least = fmin(least, d2);
        }
        for (int64_t j = 0; j < REDUCED; j++)
            power += exp(least - squared_distance(kept, i, reduced, j));
        double want = log(power) - least;
        ck_assert_msg(fabs(numbers_get(&got[0], i, 0) - sum) <= 1e-6 * scale + 1e-37,
                      "%s, D=%d, offset %g, row %lld: sum %.9g, by plain loops %.9g, sum of |terms| %.3g", s.text, dim,
                      offset, (long long)i, numbers_get(&got[0], i, 0), sum, scale);
        ck_assert_msg(fabs(numbers_get(&got[1], i, 0) - want) <= 1e-6 * (1 + fabs(want)),
                      "%s, D=%d, offset %g, row %lld: logsumexp %.9g, by plain loops %.9g", s.text, dim, offset,
                      (long long)i, numbers_get(&got[1], i, 0), want);
        int64_t found = (int64_t)numbers_get(&index, i, 0);
        ck_assert(found >= 0 && found < REDUCED);
        /* Either of two points whose distances differ by the rounding of a sum of `dim` squares, each. */
        double at = squared_distance(kept, i, reduced, found);
        ck_assert_msg(at <= least * (1 + 2 * (dim + 2) * unit),
                      "%s, D=%d, offset %g, row %lld: point %lld is at %.9g, the nearest at %.9g", nearest.text, dim,
                      offset, (long long)i, (long long)found, at, least);
    }
    outputs_free(s.op, got);
    outputs_free(nearest.op, &index);
    arguments_free(&s, ins);
    subject_free(&s);
    subject_free(&nearest);
}

START_TEST(test_fields_far_away_and_wide)
{
    static const int far_dims[] = {2, 3, 64, 100};
    for (int d = 0; d < 4; d++) {
        for (int n = -1; n < SCHEDULES; n++) {
            /* By rule, the contraction of long vectors, and another one. */
            if (!long_tests() && n >= 0 && n != (int)((uint64_t)d + test_seed()) % SCHEDULES && !(n == CONTRACTION && d == 3))
                continue;
            for (int tag = 0; tag < 2; tag++)
                for (int k = 0; (tag == d % 2 || long_tests()) && k < 2; k++)
                    check_far(far_dims[d], tag, k ? 1e6 : 0, n < 0 ? "" : schedules[n]);
        }
    }
}
END_TEST

START_TEST(test_several_sums_in_one_sweep)
{
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "g=Pm(1)"};
    subject s = {0};
    subject_make(&s,
                 "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0);Sum_Reduction(Exp(-g*SqDist(x,y)),0);"
                 "Sum_Reduction(Exp(-g*SqDist(x,y))*(x-y),0);Sum_Reduction(Exp(-g*SqDist(x,y))*b,1);"
                 "Sum_Reduction(SqDist(x,y),2)",
                 4, aliases, "", "");
    for (int a = 0; a < SIZES; a++)
        subject_check(&s, device, host, KCL_F32, sizes[a], sizes[pick(SIZES)]);
    subject_check(&s, device, host, KCL_F64, 257, 127);
    subject_check(&s, device, host, KCL_F32, 40, 6000);
    subject_free(&s);
}
END_TEST

/* ---- The product of families, dimensions, axes, types and schedules ---------------------------------------------- */

static void check_member(int family, int dim, int tag, int t, int schedule)
{
    static const int pairs[][2] = {{1, 1},     {2, 3},    {17, 129}, {33, 31}, {16, 5003},
                                   {70, 6001}, {257, 16}, {0, 2},    {3, 0}};
    /* What a contraction runs is another test's. */
    if (schedule == CONTRACTION || (tag == 2 && schedule == COLUMNS))
        return;
    /* A work-group's states of 64 components are joined in an unrolled loop with barriers: half a minute to build. */
    if (tag == 2 && schedule == 1 && family == 1 && dim != 3)
        return;
    subject s = {.scaled_by_rows = family == 9};
    make_family(&s, &families[family], dim, tag, "", schedule < SCHEDULES ? schedules[schedule] : "");
    for (size_t k = 0; k < KB_COUNT(pairs); k++) {
        int m = pairs[k][tag == 1], n = pairs[k][tag != 1];
        /* Each schedule is another kernel: one that few rows ask for, and one that they do not. */
        if ((long_tests() || k != (size_t)(4 + family % 2)) && (double)m * n * dim <= (long_tests() ? 2e7 : 4e6))
            subject_check(&s, device, host, dtypes[t], m, n);
    }
    subject_free(&s);
}

static const int dims[] = {1, 2, 3, 16, 17, 100, 1000};

START_TEST(test_sample_of_the_product)
{
    /* Every family and every dimension at least once. */
    for (size_t k = 0; !long_tests() && k < KB_COUNT(families); k++)
        check_member((int)k, dims[(k + test_seed()) % KB_COUNT(dims)], pick(3), pick(4) == 0,
                     (const int[]){LANES, ROWS, SPLIT, COLUMNS, SCHEDULES}[pick(5)]);
    for (size_t f = 0; long_tests() && f < KB_COUNT(families); f++)
        for (size_t d = 0; d < KB_COUNT(dims); d++)
            for (int tag = 0; tag < 3; tag++)
                for (int t = 0; t < 2; t++)
                    for (int schedule = 0; schedule <= SCHEDULES; schedule++)
                        check_member((int)f, dims[d], tag, t, schedule);
}
END_TEST

/* ---- Layouts ----------------------------------------------------------------------------------------------------- */

START_TEST(test_layouts_of_arrays)
{
    for (int in = 0; in < LAYOUT_COUNT; in++) {
        int out = (in + pick(LAYOUT_COUNT)) % LAYOUT_COUNT;
        subject s = {.in = (layout)in, .out = (layout)out};
        make_family(&s, &families[2], 3, in % 2, "", "");
        subject_check(&s, device, host, dtypes[in == 1], 37, 130);
        subject_check(&s, device, host, dtypes[in == 1], 1, 29);
        subject_check(&s, device, host, dtypes[in == 1], 0, 29);
        for (int other = 0; other < LAYOUT_COUNT; other++) {
            s.out = (layout)other;
            subject_check(&s, device, host, dtypes[in == 1], 37, 130);
        }
        subject_free(&s);
    }
}
END_TEST

START_TEST(test_broadcast_axis_of_stride_zero)
{
    float one[3] = {0.5f, -1, 2}, y[20][3], out[6][2];
    const kcl_array x = {.data = one, .dtype = KCL_F32, .ndim = 2, .shape = {6, 3}, .stride = {0, sizeof(float)}};
    for (int j = 0; j < 20; j++)
        for (int k = 0; k < 3; k++)
            y[j][k] = (float)uniform(-1, 1);
    const kcl_array column = {.data = out, .dtype = KCL_F32, .ndim = 1, .shape = {6}, .stride = {2 * sizeof(float)}};
    kcl_scope *s = kcl_scope_create(device);
    kcl_expr *f = kcl_sqdist(kcl_vi(s, &x), kcl_vj(s, kcl_f32(&y[0][0], 20, 3)));
    ck_assert_msg(kcl_sum(f, KCL_OVER_J, &column) == KCL_OK, "%s", kcl_context_error(device));
    double want = 0;
    for (int j = 0; j < 20; j++)
        for (int k = 0; k < 3; k++)
            want += pow((double)one[k] - (double)y[j][k], 2);
    for (int i = 0; i < 6; i++)
        close_to((double)out[i][0], want, want, KCL_F32, "rows that are all the same");
    kcl_scope_destroy(&s);
}
END_TEST

/* ---- Accuracy and order ------------------------------------------------------------------------------------------ */

START_TEST(test_coordinates_with_a_large_offset)
{
    for (int k = 0; k < 2; k++) {
        subject s = {.offset = 1e6, .tolerance = 1e-6, .low = -1, .high = 1, .scaled_by_rows = k == 1};
        const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(1)", "g=Pm(1)"};
        subject_make(&s, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", 4, aliases, k ? "x" : "", "");
        subject_check(&s, device, host, KCL_F32, 129, 1001);
        subject_check(&s, device, host, KCL_F32, 5, 5003);
        subject_free(&s);
    }
}
END_TEST

/* The bytes of an output, also where it has rows that are not numbers. */
static bool same_bytes(const numbers *a, const numbers *b)
{
    return a->bytes == b->bytes && memcmp(a->memory, b->memory, a->bytes) == 0;
}

/* Repeats, and those on `single`, which has one thread, give the same bits. */
static void check_bits(const subject *s, kcl_context *single, int m, int n)
{
    numbers ins[MAX_INPUTS], first[64], again[64];
    arguments_make(s, KCL_F32, m, n, ins);
    outputs_make(s->op, KCL_F32, m, n, DENSE, first);
    outputs_make(s->op, KCL_F32, m, n, DENSE, again);
    ck_assert_msg(apply(s->op, device, first, ins, false) == KCL_OK, "%s: %s", s->text, kcl_context_error(device));
    for (int round = 0; round < 6; round++) {
        kcl_context *on = round == 5 ? single : device;
        ck_assert_msg(apply(s->op, on, again, ins, false) == KCL_OK, "%s: %s", s->text, kcl_context_error(on));
        for (int k = 0; k < kcl_operator_output_count(s->op); k++)
            ck_assert_msg(same_bytes(&first[k], &again[k]), "%s, M=%d, N=%d: output %d has other bits in run %d%s",
                          s->text, m, n, k, round, round == 5 ? ", with one thread" : "");
    }
    outputs_free(s->op, first);
    outputs_free(s->op, again);
    arguments_free(s, ins);
}

START_TEST(test_repeats_and_thread_counts_give_the_same_bits)
{
    static const int pairs[][2] = {{1000, 3001}, {9, 20001}, {120, 9001}};
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(1)", "g=Pm(1)"};
    setenv("KEOPSCL_THREADS", "1", 1);
    kcl_context *single = open_cpu_or_skip();
    unsetenv("KEOPSCL_THREADS");
    ck_assert_ptr_nonnull(single);
    for (int tag = 0; tag < 3; tag += 2) {
        subject s = {0};
        char text[80];
        snprintf(text, sizeof text, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,%d)", tag);
        subject_make(&s, text, 4, aliases, "", "");
        for (size_t k = 0; k < KB_COUNT(pairs); k++)
            check_bits(&s, single, pairs[k][0], pairs[k][1]);
        subject_free(&s);
    }
    for (int n = 0; n < SCHEDULES; n++) {
        for (int tag = 0; tag < 3; tag += 2) {
            if (tag == 2 && n != ROWS && !(long_tests() && (n == LANES || n == SPLIT)))
                continue;
            subject s = {0};
            make_reductions(&s, three_reductions, 3, tag, schedules[n]);
            check_bits(&s, single, 531, 2051);
            if (n == COLUMNS || long_tests())
                check_bits(&s, single, 9, 20001);
            subject_free(&s);
        }
    }
    kcl_context_destroy(&single);
}
END_TEST

/* One special number in one place, and what comes out wherever it goes. */
START_TEST(test_infinities_and_nan_propagate)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, 0};
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(1)", "g=Pm(1)"};
    subject s = {0};
    subject_make(&s,
                 "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0);Sum_Reduction((x|y)*b,0);"
                 "Sum_Reduction(Sqrt(Abs(x))+Log(Abs(y)),0);Sum_Reduction(b/(1+SqDist(x,y)),0);"
                 "Sum_Reduction(Exp(x)*b**2,0);Sum_Reduction(Rsqrt(y)+Sign(x)+x**3+Inv(y),0)",
                 4, aliases, "", "");
    for (size_t k = 0; k < KB_COUNT(special); k++) {
        for (int where = 0; where < 4; where++) {
            numbers ins[MAX_INPUTS], got[64], want[64];
            arguments_make(&s, KCL_F32, 35, 140, ins);
            outputs_make(s.op, KCL_F32, 35, 140, DENSE, got);
            outputs_make(s.op, KCL_F64, 35, 140, DENSE, want);
            numbers_set(&ins[where], where == 3 ? 0 : 17, where < 2 ? 1 : 0, special[k]);
            ck_assert_msg(apply(s.op, device, got, ins, false) == KCL_OK, "%s", kcl_context_error(device));
            ck_assert_msg(apply(s.op, host, want, ins, true) == KCL_OK, "%s", kcl_context_error(host));
            for (int o = 0; o < kcl_operator_output_count(s.op); o++) {
                for (int64_t i = 0; i < got[o].rows; i++) {
                    for (int c = 0; c < got[o].dim; c++) {
                        double a = numbers_get(&got[o], i, c), b = numbers_get(&want[o], i, c);
                        bool same = isnan(b) ? isnan(a) : isinf(b) ? a == b : fabs(a - b) <= 1e-3 * (1 + fabs(b));
                        ck_assert_msg(same, "%g in argument %d: output %d at (%lld, %d) is %g, by the interpreter %g",
                                      special[k], where, o, (long long)i, c, a, b);
                    }
                }
            }
            outputs_free(s.op, got);
            outputs_free(s.op, want);
            arguments_free(&s, ins);
        }
    }
    subject_free(&s);
}
END_TEST

/* ---- Formulas of results ----------------------------------------------------------------------------------------- */

enum { M = 131, N = 157, RESULTS = 8 };

typedef struct chain {
    numbers x, y, b, t, sigma;
} chain;

/* Sums, formulas of sums in both roles, sums of those, a number, and its gradients. */
static void run_chain(kcl_context *c, chain *in, numbers *outs, bool exact)
{
    kcl_scope *s = kcl_scope_create(c);
#define ARRAY(name) (exact ? &in->name.exact : &in->name.array)
    kcl_data *points = kcl_data_create(s, ARRAY(x));
    kcl_expr *x_i = kcl_vi_data(s, points), *x_j = kcl_vj_data(s, points);
    kcl_expr *y_j = kcl_vj(s, ARRAY(y)), *b_j = kcl_vj(s, ARRAY(b)), *t_i = kcl_vi(s, ARRAY(t));
    kcl_expr *sigma = kcl_pm(s, ARRAY(sigma));
    kcl_expr *K = kcl_exp(kcl_neg(kcl_mul(sigma, kcl_sqdist(x_i, y_j))));
    kcl_expr *mass = kcl_reduce_sum(K, KCL_OVER_J);
    kcl_expr *mean = kcl_div(kcl_reduce_sum(kcl_mul(K, b_j), KCL_OVER_J), mass);
    kcl_expr *u = kcl_add(x_i, mean); /* i-expression of a result */
    kcl_expr *self = kcl_reduce_sum(kcl_mul(kcl_exp(kcl_neg(kcl_sqdist(u, x_j))), kcl_transpose(u)), KCL_OVER_J);
    kcl_expr *column = kcl_reduce_sum(kcl_mul(K, u), KCL_OVER_I); /* one row per y_j */
    kcl_expr *loss = kcl_reduce_sum(kcl_sqnorm2(kcl_sub(self, t_i)), KCL_OVER_I);
    kcl_expr *exprs[RESULTS] = {
        u, self, column, loss, kcl_grad(loss, x_i), kcl_grad(loss, y_j), kcl_grad(loss, b_j), kcl_grad(loss, sigma)};
    const int64_t rows[RESULTS] = {M, M, N, 1, M, N, N, 1};
    const kcl_array *arrays[RESULTS];
    for (int k = 0; k < RESULTS; k++) {
        ck_assert_msg(kcl_expr_status(exprs[k]) == KCL_OK, "%s", kcl_expr_error(exprs[k]));
        numbers_make(&outs[k], exact ? KCL_F64 : in->x.array.dtype, rows[k], kcl_expr_dim(exprs[k]), DENSE);
        arrays[k] = &outs[k].array;
    }
    ck_assert_msg(kcl_eval(RESULTS, exprs, arrays) == KCL_OK, "%s", kcl_context_error(c));
    kcl_scope_destroy(&s);
#undef ARRAY
}

START_TEST(test_formulas_of_results)
{
    for (int t = 0; t < 2; t++) {
        chain in;
        numbers got[RESULTS], want[RESULTS];
        numbers *const all[] = {&in.x, &in.y, &in.b, &in.t, &in.sigma};
        const int64_t rows[] = {M, N, N, M, 1};
        const int width[] = {3, 3, 3, 3, 1};
        for (int k = 0; k < 5; k++) {
            numbers_make(all[k], dtypes[t], rows[k], width[k], k == 1 ? ROWS_APART : DENSE);
            numbers_fill(all[k], k == 4 ? 0.3 : -1, 1);
        }
        run_chain(device, &in, got, false);
        run_chain(host, &in, want, true);
        for (int k = 0; k < RESULTS; k++) {
            double scale = 0;
            for (int64_t i = 0; i < want[k].rows; i++)
                for (int c = 0; c < want[k].dim; c++)
                    scale = fmax(scale, fabs(numbers_get(&want[k], i, c)));
            for (int64_t i = 0; i < want[k].rows; i++) {
                for (int c = 0; c < want[k].dim; c++) {
                    double a = numbers_get(&got[k], i, c), b = numbers_get(&want[k], i, c);
                    ck_assert_msg(fabs(a - b) <= (t ? 1e-11 : 1e-5) * scale,
                                  "%s, result %d at (%lld, %d): %.9g, by the "
                                  "interpreter %.9g",
                                  kb_dtype_name(dtypes[t]), k, (long long)i, c, a, b);
                }
            }
            numbers_free(&got[k]);
            numbers_free(&want[k]);
        }
        for (int k = 0; k < 5; k++)
            numbers_free(all[k]);
    }
}
END_TEST

/* The same structure built again, with other numbers and sizes, compiles nothing. */
START_TEST(test_same_structure_builds_nothing)
{
    kcl_context_stats first, last;
    kcl_scope *s = kcl_scope_create(device);
    float x[300], out[100];
    for (int k = 0; k < 300; k++)
        x[k] = (float)uniform(-1, 1);
    for (int round = 0; round < 20; round++) {
        int m = 40 + round;
        kcl_expr *f = kcl_exp(kcl_mul(kcl_scalar(s, -0.1 * round),
                                      kcl_sqdist(kcl_vi(s, kcl_f32(x, m, 3)), kcl_vj(s, kcl_f32(x, 100 - round, 3)))));
        ck_assert_msg(kcl_sum(f, KCL_OVER_J, kcl_f32(out, m)) == KCL_OK, "%s", kcl_context_error(device));
        if (round == 0) {
            ck_assert_float_eq(out[3], 100.0f);
            kcl_context_get_stats(device, &first);
        }
        kcl_scope_reset(s);
    }
    kcl_context_get_stats(device, &last);
    ck_assert_uint_eq(first.programs_built + first.programs_loaded, last.programs_built + last.programs_loaded);
    ck_assert_uint_eq(last.evaluations - first.evaluations, 19);
    kcl_scope_destroy(&s);
}
END_TEST

/* ---- Forms of squared distances ---------------------------------------------------------------------------------- */

static const char *const forms[] = {"auto", "differences", "expanded"};

/* A member of a family in a form, over i or j, in both number types. */
START_TEST(test_forms_against_the_interpreter)
{
    static const struct {
        const char *formula, *derive, *schedule;
        int dim;
    } cases[] = {
        {"Sum_Reduction(Exp(-0.05*g*SqDist(x,y))*b,0)", "", "lanes", 64},
        {"Sum_Reduction(Exp(-0.05*g*SqDist(x,y))*b,1)", "", "", 33},
        {"Sum_Reduction(Exp(-0.05*g*SqDist(x,y))*b,0)", "", "columns", 33},
        {"Sum_Reduction(Exp(-0.05*SqNorm2(g*(x-y))),2)", "", "", 40},
        {"Sum_Reduction(Exp(-0.05*SqDist(g*x,g*y))*b,0)", "x", "", 32},
    };
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        char x[32], y[32];
        snprintf(x, sizeof x, "x=Vi(%d)", cases[n].dim);
        snprintf(y, sizeof y, "y=Vj(%d)", cases[n].dim);
        for (size_t f = 0; f < KB_COUNT(forms); f++) {
            subject s = {.low = 0, .high = 1, .form = forms[f]};
            subject_make(&s, cases[n].formula, 4, (const char *const[]){x, y, "b=Vj(1)", "g=Pm(1)"}, cases[n].derive,
                         cases[n].schedule);
            for (int t = 0; t < 2; t++) {
                subject_check(&s, device, host, dtypes[t], 100, 211);
                subject_check(&s, device, host, dtypes[t], 7, 65);
            }
            subject_free(&s);
        }
    }
}
END_TEST

static void check_form(const kcl_operator *op, kcl_dtype dtype, const char *want)
{
    static collected text;
    text.length = 0;
    ck_assert_int_eq(kcl_operator_describe(op, device, dtype, 4096, 4100, collect, &text), KCL_OK);
    CONTAINS(text.text, want);
}

START_TEST(test_the_form_follows_the_data_of_each_call)
{
    enum { M = 4096, N = 4100, SAMPLED = 8 };
    subject s = {.low = 0, .high = 1};
    subject_make(&s, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", 4,
                 (const char *const[]){"x=Vi(100)", "y=Vj(100)", "b=Vj(1)", "g=Pm(1)"}, "", "");
    check_form(s.op, KCL_F32, "form: by the data of each call\n");
    /* Coordinates in a unit cube, in metres far away, in a field of 1e4 length scales, and again. */
    static const struct {
        double offset, extent, g;
        const char *form;
    } calls[] = {
        {0, 1, 0.06, "form: expanded (bound "},
        {1e6, 1e4, 1, "form: differences (bound "},
        {1e6, 1, 0.06, "form: expanded (bound "},
        {0, 1e4, 1, "form: differences (bound "},
        {0, 1, 6, "form: differences (bound "},
        {0, 1, 0.06, "form: expanded (bound "},
    };
    for (size_t n = 0; n < KB_COUNT(calls); n++) {
        for (int t = 0; t < 2; t++) {
            numbers ins[MAX_INPUTS], got;
            arguments_make(&s, dtypes[t], M, N, ins);
            for (int64_t i = 0; i < M; i++)
                for (int k = 0; k < 100; k++)
                    numbers_set(&ins[0], i, k, calls[n].offset + calls[n].extent * uniform(0, 1));
            for (int64_t j = 0; j < N; j++) /* every column near a row, so that no sum is nothing */
                for (int k = 0; k < 100; k++)
                    numbers_set(&ins[1], j, k, *numbers_exact(&ins[0], j % M, k) + uniform(0, 0.125));
            numbers_set(&ins[3], 0, 0, calls[n].g);
            outputs_make(s.op, dtypes[t], M, N, DENSE, &got);
            ck_assert_msg(apply(s.op, device, &got, ins, false) == KCL_OK, "%s", kcl_context_error(device));
            for (int64_t i = 0; i < M; i += M / SAMPLED) {
                double want = 0; /* all terms are positive */
                for (int64_t j = 0; j < N; j++) {
                    double d2 = 0;
                    for (int k = 0; k < 100; k++)
                        d2 += pow(*numbers_exact(&ins[0], i, k) - *numbers_exact(&ins[1], j, k), 2);
                    want += exp(-*numbers_exact(&ins[3], 0, 0) * d2) * *numbers_exact(&ins[2], j, 0);
                }
                close_to(numbers_get(&got, i, 0), want, want, dtypes[t], calls[n].form);
            }
            check_form(s.op, dtypes[t], calls[n].form);
            outputs_free(s.op, &got);
            arguments_free(&s, ins);
        }
    }
    subject_free(&s);
}
END_TEST

/* Points whose nearest neighbours are clear, or equally near, or near within rounding. */
enum { SCATTERED, LATTICE, FAR_AWAY, FAR_CLUSTERS, REPEATED, POINT_KINDS };

static void make_points(numbers *kept, numbers *reduced, int kind)
{
    for (int side = 0; side < 2; side++) {
        numbers *to = side == 0 ? kept : reduced;
        for (int64_t n = 0; n < to->rows; n++) {
            int cluster = pick(2);
            int64_t other = side && kind == REPEATED && kept->rows ? pick((int)kept->rows) : -1;
            for (int k = 0; k < to->dim; k++) {
                double v = uniform(-1, 1);
                if (kind == LATTICE)
                    v = pick(2);
                else if (kind == FAR_CLUSTERS)
                    v = 100 * cluster + 1e-3 * v;
                numbers_set(to, n, k, other >= 0 ? *numbers_exact(kept, other, k) : v + (kind == FAR_AWAY ? 1e6 : 0));
            }
        }
    }
}

/* Candidates are found with expanded distances and compared by differences: the same indices, ties included. */
START_TEST(test_candidates_give_the_indices_of_differences)
{
    static const struct {
        const char *formula;
        int tag, dim;
        int64_t kept, reduced;
    } cases[] = {
        {"ArgMin_Reduction(SqDist(x,y),%d)", 0, 32, 100, 3000},
        {"ArgMin_Reduction(-SqDist(x,y)/g,%d)", 1, 45, 17, 20011},
        {"ArgMin_Reduction(g*SqDist(x,y),%d);Sum_Reduction(SqDist(x,y),%d)", 0, 100, 1000, 300},
        {"ArgMin_Reduction(SqNorm2(g*(y-x)),%d)", 0, 100, 33, 16},
    };
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        subject s[2] = {{.form = "differences"}, {.form = "expanded"}};
        char x[16], y[16], text[100];
        snprintf(x, sizeof x, "x=Vi(%d)", cases[n].dim);
        snprintf(y, sizeof y, "y=Vj(%d)", cases[n].dim);
        snprintf(text, sizeof text, cases[n].formula, cases[n].tag, cases[n].tag);
        for (int f = 0; f < 2; f++)
            subject_make(&s[f], text, 3, (const char *const[]){x, y, "g=Pm(1)"}, "", "");
        for (int round = 0; round < 2 * POINT_KINDS; round++) {
            kcl_dtype dtype = dtypes[round % 2];
            int64_t m = cases[n].tag ? cases[n].reduced : cases[n].kept, wrong = 0;
            int64_t cols = cases[n].tag ? cases[n].kept : cases[n].reduced;
            numbers ins[MAX_INPUTS], got[2][2];
            arguments_make(&s[0], dtype, m, cols, ins);
            make_points(&ins[cases[n].tag], &ins[1 - cases[n].tag], round / 2);
            for (int f = 0; f < 2; f++) {
                outputs_make(s[f].op, dtype, m, cols, DENSE, got[f]);
                ck_assert_msg(apply(s[f].op, device, got[f], ins, false) == KCL_OK, "%s", kcl_context_error(device));
            }
            for (int64_t i = 0; i < cases[n].kept; i++) {
                double index = numbers_get(&got[1][0], i, 0);
                wrong += index != numbers_get(&got[0][0], i, 0);
                ck_assert(index >= 0 && index < (double)cases[n].reduced);
            }
            ck_assert_msg(wrong == 0, "%s, D=%d, kind %d: %lld of %lld indices differ", text, cases[n].dim, round / 2,
                          (long long)wrong, (long long)cases[n].kept);
            for (int f = 0; f < 2; f++)
                outputs_free(s[f].op, got[f]);
            arguments_free(&s[0], ins);
        }
        kcl_device_info info;
        ck_assert_int_eq(kcl_context_device_info(device, &info), KCL_OK);
        check_form(s[1].op, KCL_F32, strcmp(info.type, "cpu") == 0 ? "candidates compared by differences"
                                                                  : "form: differences (an ArgMin, on this schedule)");
        for (int f = 0; f < 2; f++)
            subject_free(&s[f]);
    }
}
END_TEST

START_TEST(test_describe_and_emit_for_the_device)
{
    static collected text;
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)"};
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(Exp(-SqDist(x,y)),0)", 2, aliases, NULL), KCL_OK);
    text.length = 0;
    ck_assert_int_eq(kcl_operator_emit(op, device, NULL, KCL_F32, 1000, 1000, collect, &text), KCL_OK);
    CONTAINS(text.text, "__kernel", "sweep");
    text.length = 0;
    ck_assert_int_eq(kcl_operator_describe(op, device, KCL_F64, 1000, 1000, collect, &text), KCL_OK);
    CONTAINS(text.text, ": ", "\n", "parts: 1\n");
    kcl_operator_destroy(&op);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const test_entry tests[] = {
        {test_gaussian_sums_by_plain_loops, 0},
        {test_every_size, 0},
        {test_split_thresholds, 0},
        {test_forced_schedules, 0},
        {test_every_operator, 0},
        {test_fast_elementary_functions, 0},
        {test_who_asks_for_fast_functions, 0},
        {test_composed_names, 0},
        {test_rearranged_components, 0},
        {test_gradients_and_second_derivatives, 0},
        {test_every_schedule_on_every_reduction, 0},
        {test_fields_far_away_and_wide, 0},
        {test_several_sums_in_one_sweep, 0},
        {test_many_values_of_one_axis, 0},
        {test_sample_of_the_product, 0},
        {test_layouts_of_arrays, 0},
        {test_broadcast_axis_of_stride_zero, 0},
        {test_coordinates_with_a_large_offset, 0},
        {test_repeats_and_thread_counts_give_the_same_bits, 0},
        {test_infinities_and_nan_propagate, 0},
        {test_formulas_of_results, 0},
        {test_same_structure_builds_nothing, 0},
        {test_forms_against_the_interpreter, 0},
        {test_the_form_follows_the_data_of_each_call, 0},
        {test_candidates_give_the_indices_of_differences, 0},
        {test_describe_and_emit_for_the_device, 0},
        {test_three_kinds_of_reduction, 0},
    };
    return run_on_device(argv[0], "lazy tensors on a device", tests, KB_COUNT(tests), setup, teardown, &device, &host);
}
