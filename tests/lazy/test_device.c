/* SPDX-License-Identifier: MIT */
/*
 * Lazy tensors and operators on this machine's first OpenCL CPU, against the interpreter and against plain loops. Exits
 * with 77 (skipped) where there is none. A kernel takes up to a second to build: a fixed core is tested and a sample,
 * drawn with KEOPSCL_TEST_SEED; with KEOPSCL_LONG_TESTS=1 the full product.
 */
#include "support.h"
#include "graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static kcl_context *device, *host;
static const char *program;

static void setup(void)
{
    device = open_cpu_or_skip();
    ck_assert_ptr_nonnull(device);
    ck_assert_int_eq(kcl_context_create(&host, &(kcl_context_params){.device = "host"}), KCL_OK);
    start_random(program);
}

static void teardown(void)
{
    kcl_context_stats stats;
    kcl_context_get_stats(device, &stats);
    printf("%llu kernels built in %.1f s, %llu loaded\n", (unsigned long long)stats.programs_built,
           stats.build_seconds, (unsigned long long)stats.programs_loaded);
    kcl_context_destroy(&device);
    kcl_context_destroy(&host);
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
    ck_assert_msg(fabs(got - want) <= tolerance * scale + 1e-37, "%s, %s: %.9g, by plain loops %.9g, sum of |terms| %.3g",
                  what, kb_dtype_name(dtype), got, want, scale);
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
    [KF_LIKE] = "Like(x*x,y)",
    [KF_REDUCE] = "x*y",
};

/* Operands from the table's test domain: of both axes at once, and of each alone. */
static void put_operator(char *text, size_t size, int op)
{
    const kf_op_info *info = kf_info((kf_op)op);
    if (info->op_class != KF_CLASS_MAP)
        snprintf(text, size, "%s", node_formula[op]);
    else if (info->arity == 2)
        snprintf(text, size, "%s(x,y)*x+%s(y,x)*y", info->name, info->name);
    else
        snprintf(text, size, "%s(0.5*(x+y)%s)*y+%s(x%s)*%s(y%s)", info->name, info->params ? ",3" : "", info->name,
                 info->params ? ",3" : "", info->name, info->params ? ",-2" : "");
}

static void check_operators(int first, int last, const char *derive)
{
    char text[8192] = "", one[160];
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)"};
    subject s = {.scaled_by_rows = true};
    bool positive = true;
    for (int op = first; op < last; op++) {
        put_operator(one, sizeof one, op);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%sSum_Reduction(%s,0)", op > first ? ";" : "", one);
        const kf_op_info *info = kf_info((kf_op)op);
        positive = positive && !(info->op_class == KF_CLASS_MAP && info->low < 0);
    }
    s.low = positive ? 0.3 : -2;
    s.high = 2;
    subject_make(&s, text, 2, aliases, derive, "");
    for (int t = 0; t < 2; t++) {
        subject_check(&s, device, host, dtypes[t], 33, 257);
        subject_check(&s, device, host, dtypes[t], 5, 1000);
    }
    subject_free(&s);
}

START_TEST(test_every_operator)
{
    /* Elementwise operators of like domains follow each other in the table; each run of them is one sweep. */
    for (int op = 0; op < KF_OP_COUNT;) {
        const kf_op_info *info = kf_info((kf_op)op);
        int last = op + 1;
        while (last < KF_OP_COUNT && kf_info((kf_op)last)->op_class != KF_CLASS_REDUCE &&
               (kf_info((kf_op)last)->op_class == KF_CLASS_MAP) == (info->op_class == KF_CLASS_MAP) &&
               (kf_info((kf_op)last)->low < 0) == (info->low < 0))
            last++;
        if (info->op_class != KF_CLASS_MAP)
            ck_assert_msg(node_formula[op], "operator %s has no formula here", info->name);
        check_operators(op, last, "");
        if (long_tests())
            check_operators(op, last, "x");
        op = last;
    }
    check_operators(KF_ADD, KF_ADD + 19, long_tests() ? "y" : "");
}
END_TEST
