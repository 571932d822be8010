/* SPDX-License-Identifier: MIT */
/*
 * Every reduction on a device, by every schedule, and formulas of results, against the interpreter and plain loops.
 */
#include "on_device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Derivatives ------------------------------------------------------------------------------------------------- */

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

static const char vector_reductions[] =
    "ArgMin_Reduction(Square(x-y),%d);Sum_Reduction(Exp(-g*SqDist(x,y))*(x-y),%d);LogSumExp_Reduction(-(x|y),%d)";

/* Values, lists of them and weights: of numbers, and of vectors. No contraction keeps lists. */
static const char list_reductions[] =
    "Min_ArgMin_Reduction(SqDist(x,y),%d);KMin_ArgKMin_Reduction(SqDist(x,y),10,%d);Max_Reduction(SqDist(x,y),%d)";

static const char weighted_reductions[] =
    "KMax_ArgKMax_Reduction(Square(x-y),3,%d);LogSumExpWeight_Reduction(-g*SqDist(x,y)-100,1+Square(y),%d);"
    "SumSoftMaxWeight_Reduction(-g*SqDist(x,y)-100,y*b,%d)";

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
    static const int pairs[][2] = {{1, 1},    {2, 3},    {17, 129}, {33, 31}, {130, 257},
                                   {257, 16}, {5, 2100}, {0, 2},    {3, 0}};
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
 * Sums of so many components, beside rows of as many, that GPUs keep totals or all vectors in private memory. Columns end
 * within a block, a tile and a part.
 */
START_TEST(test_long_vectors_by_rows)
{
    static const int pairs[][2] = {{5, 300}, {33, 35}, {2, 1}, {0, 2}, {3, 0}};
    static const struct {
        const char *formula, *aliases[3];
    } sums[] = {
        {"Sum_Reduction(Exp(-SqDist(x,y)/64)*b*(x-y),%d)", {"x=Vi(64)", "y=Vj(64)", "b=Vj(1)"}},
        {"Sum_Reduction(Exp(-SqDist(x,y)/64)*b*(x-y),%d)", {"x=Vi(75)", "y=Vj(75)", "b=Vj(1)"}},
        {"SumSoftMaxWeight_Reduction(Where(LessOrEqual(IndexJ,IndexI),(x|y)/8,-inf),b,%d)",
         {"x=Vi(64)", "y=Vj(64)", "b=Vj(64)"}},
        {"SumSoftMaxWeight_Reduction((x|y)/8,b,%d)", {"x=Vi(64)", "y=Vj(64)", "b=Vj(80)"}},
    };
    for (size_t n = 0; n < KB_COUNT(sums); n++) {
        for (int tag = 0; tag < 3; tag++) {
            const int t = ((int)n + tag) % 2;
            char text[160];
            subject s = {0};
            if (!long_tests() && tag != (int)n % 3)
                continue;
            snprintf(text, sizeof text, sums[n].formula, tag);
            subject_make(&s, text, 3, sums[n].aliases, "", tag == 1 ? "split" : "rows");
            for (size_t k = 0; k < KB_COUNT(pairs); k++)
                subject_check(&s, device, host, dtypes[t], pairs[k][tag == 1], pairs[k][tag != 1]);
            subject_free(&s);
        }
    }
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
            if (!long_tests() && n >= 0 && n != (int)((uint64_t)d + test_seed()) % SCHEDULES &&
                !(n == CONTRACTION && d == 3))
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

int main(int argc, char **argv)
{
    (void)argc;
    const test_entry tests[] = {
        {test_three_kinds_of_reduction, 0}, {test_every_schedule_on_every_reduction, 0},
        {test_long_vectors_by_rows, 0},     {test_many_values_of_one_axis, 0},
        {test_fields_far_away_and_wide, 0}, {test_several_sums_in_one_sweep, 0},
        {test_formulas_of_results, 0},      {test_same_structure_builds_nothing, 0},
    };
    return run_tests_on_device(argv[0], "reductions on a device", tests, KB_COUNT(tests));
}
