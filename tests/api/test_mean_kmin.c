/* SPDX-License-Identifier: MIT */
/*
 * The mean of the K smallest and of the K largest, against plain loops in double: over i, j, both and batches, more values
 * wanted than there are, no terms, NaN and infinities. By the interpreter, and with the argument "device" by a driver.
 * test_selection.c has the derivatives.
 */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = 3, D = 2, MOST_M = 40, MOST_N = 700 };

static kcl_context *c;
static bool on_device;

/* ---- By the definition ------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The mean of the K smallest of the terms that are no NaN; sorts them. */
static double mean_of_smallest(double *terms, int64_t count, int k)
{
    int64_t there = 0;
    double sum = 0;
    for (int64_t n = 0; n < count; n++)
        if (!isnan(terms[n]))
            terms[there++] = terms[n];
    qsort(terms, (size_t)there, sizeof *terms, by_size);
    for (int q = 0; q < k; q++)
        sum += q < there ? terms[q] : INFINITY;
    return sum / k;
}

/* A problem: x is (B, M, D), y (B, N, D), w (B, N, 1); a term is x y + w. */
typedef struct problem {
    kcl_dtype dtype;
    int64_t rows, cols;
    double x[B * MOST_M * D], y[B * MOST_N * D], w[B * MOST_N];
    float x32[B * MOST_M * D], y32[B * MOST_N * D], w32[B * MOST_N];
    double terms[B * MOST_M * MOST_N];
} problem;

static void draw(double *to, float *single, int64_t count)
{
    for (int64_t k = 0; k < count; k++) {
        single[k] = (float)uniform(-2, 2);
        to[k] = (double)single[k];
    }
}

static void make(problem *p, kcl_dtype dtype, int64_t rows, int64_t cols)
{
    p->dtype = dtype;
    p->rows = rows;
    p->cols = cols;
    draw(p->x, p->x32, B * rows * D);
    draw(p->y, p->y32, B * cols * D);
    draw(p->w, p->w32, B * cols);
}

static double term(const problem *p, int64_t b, int64_t i, int64_t j, int component)
{
    return p->x[(b * p->rows + i) * D + component] * p->y[(b * p->cols + j) * D + component] + p->w[b * p->cols + j];
}

typedef struct axes {
    bool i, j, batch; /* that are reduced */
} axes;

/* The result of one batch (0 where batches are reduced), row and component. */
static double wanted(problem *p, axes over, int64_t b, int64_t row, int component, int k, bool largest)
{
    int64_t count = 0;
    for (int64_t n = over.batch ? 0 : b; n < (over.batch ? B : b + 1); n++)
        for (int64_t i = over.i ? 0 : row; i < (over.i ? p->rows : row + 1); i++)
            for (int64_t j = over.j ? 0 : row; j < (over.j ? p->cols : row + 1); j++)
                p->terms[count++] = (largest ? -1 : 1) * term(p, n, i, j, component);
    return (largest ? -1 : 1) * mean_of_smallest(p->terms, count, k);
}

/* ---- By the library ---------------------------------------------------------------------------------------------- */

static kcl_array array(const problem *p, double *wide, float *narrow, int64_t rows, int64_t dim)
{
    const int64_t shape[] = {B, rows, dim};
    return p->dtype == KCL_F64 ? kcl_array_f64(wide, 3, shape) : kcl_array_f32(narrow, 3, shape);
}

static kcl_expr *terms_of(kcl_scope *s, problem *p)
{
    kcl_array x = array(p, p->x, p->x32, p->rows, D), y = array(p, p->y, p->y32, p->cols, D),
              w = array(p, p->w, p->w32, p->cols, 1);
    return kcl_add(kcl_mul(kcl_vi(s, &x), kcl_vj(s, &y)), kcl_vj(s, &w));
}

static void near(const problem *p, double got, double want, const char *what, int k)
{
    const double error = (p->dtype == KCL_F64 ? 1e-14 : 1e-6) * 8;
    const bool same = isnan(want) ? isnan(got) : isinf(want) ? got == want : fabs(got - want) <= error;
    ck_assert_msg(same, "%s, K = %d, %d x %d, seed %llu: %.17g, wanted %.17g", what, k, (int)p->rows, (int)p->cols,
                  (unsigned long long)test_seed(), got, want);
}

static void check(problem *p, axes over, int k, bool largest)
{
    static double wide[B * MOST_N * D];
    static float narrow[B * MOST_N * D];
    const int64_t rows = over.i && over.j ? 1 : over.i ? p->cols : p->rows, batches = over.batch ? 1 : B;
    const int64_t shape[] = {batches, rows, D};
    const kcl_axes pair = over.i && over.j ? KCL_OVER_BOTH : over.i ? KCL_OVER_I : KCL_OVER_J;
    kcl_array out = p->dtype == KCL_F64 ? kcl_array_f64(wide, 3, shape) : kcl_array_f32(narrow, 3, shape);
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *f = terms_of(s, p);
    f = largest ? kcl_reduce_mean_kmax(f, k, pair) : kcl_reduce_mean_kmin(f, k, pair);
    if (over.batch)
        f = largest ? kcl_reduce_mean_kmax_batch(f, k, 0) : kcl_reduce_mean_kmin_batch(f, k, 0);
    ck_assert_int_eq(kcl_expr_dim(f), D);
    ck_assert_msg(kcl_eval1(f, &out) == KCL_OK, "%s", kcl_context_error(c));
    for (int64_t n = 0; n < batches * rows * D; n++) {
        const double want = wanted(p, over, n / (rows * D), n / D % rows, (int)(n % D), k, largest);
        near(p, p->dtype == KCL_F64 ? wide[n] : (double)narrow[n], want,
             over.batch ? "over batches too"
             : over.i   ? "over i or both"
                        : "over j",
             k);
    }
    kcl_scope_destroy(&s);
}

static const axes all_axes[] = {
    {false, true, false}, {true, false, false}, {true, true, false}, {false, true, true}, {true, true, true}};

/* Fewer terms than K among them: infinity. */
START_TEST(means_are_those_of_sorted_terms)
{
    static problem p;
    static const int many[] = {1, 3, 7, 20};
    static const int sizes[][2] = {{7, 5}, {1, 1}, {33, MOST_N}, {MOST_M, 130}};
    /* A driver builds a kernel for each K. */
    for (int n = on_device ? (_i + _i / 2) % 4 : 0; n < 4; n += on_device ? 4 : 1) {
        make(&p, _i % 2 ? KCL_F64 : KCL_F32, sizes[n][0], sizes[n][1]);
        check(&p, all_axes[_i / 2], many[on_device ? 1 + _i % 3 : (n + _i) % 4], n % 2 == 1);
        if (!on_device)
            check(&p, all_axes[_i / 2], 3, false);
    }
}
END_TEST

START_TEST(no_terms_have_an_infinite_mean)
{
    static problem p;
    static double wide[B * MOST_M * D];
    const int64_t shape[] = {B, 4, D};
    kcl_array out = kcl_array_f64(wide, 3, shape);
    kcl_scope *s = kcl_scope_create(c);
    make(&p, KCL_F64, 4, 0);
    for (int largest = 0; largest < 2; largest++) {
        kcl_expr *f = terms_of(s, &p);
        f = largest ? kcl_reduce_mean_kmax(f, 2, KCL_OVER_J) : kcl_reduce_mean_kmin(f, 2, KCL_OVER_J);
        ck_assert_msg(kcl_eval1(f, &out) == KCL_OK, "%s", kcl_context_error(c));
        for (int n = 0; n < B * 4 * D; n++)
            ck_assert(wide[n] == (largest ? -INFINITY : INFINITY));
    }
    /* And no rows: nothing is written. */
    make(&p, KCL_F64, 0, 5);
    const int64_t none[] = {B, 0, D};
    out = kcl_array_f64(wide, 3, none);
    ck_assert_int_eq(kcl_eval1(kcl_reduce_mean_kmin(terms_of(s, &p), 2, KCL_OVER_J), &out), KCL_OK);
    kcl_scope_destroy(&s);
}
END_TEST

/* NaN never counts; infinities are values as others are, and both together are NaN. */
START_TEST(nan_and_infinities)
{
    static problem p;
    static const double special[][2] = {{NAN, NAN},       {INFINITY, 0},         {-INFINITY, 0},
                                        {NAN, -INFINITY}, {INFINITY, -INFINITY}, {NAN, INFINITY}};
    for (size_t n = 0; n < KB_COUNT(special); n++) {
        for (int cols = 3; cols <= 300; cols += 297) {
            make(&p, _i ? KCL_F64 : KCL_F32, 5, cols);
            for (int b = 0; b < B; b++) {
                for (int q = 0; q < 2; q++) {
                    const int at = b * cols + (q + b) % 3;
                    p.w[at] = special[n][q];
                    p.w32[at] = (float)special[n][q];
                }
            }
            for (int k = on_device ? 2 : 1; k <= (on_device ? 2 : 3); k++)
                check(&p, all_axes[on_device ? (size_t)_i * 2 : (n + (size_t)k) % KB_COUNT(all_axes)], k, k == 2);
        }
    }
}
END_TEST

/* One row of numbers for all schedules, from a text. */
START_TEST(every_schedule_computes_it)
{
    static problem p;
    static const char *const schedules[] = {"lanes", "rows", "split", "columns"};
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "w=Vj(1)"};
    double wide[MOST_M * D];
    float narrow[MOST_M * D];
    kcl_operator *op;
    const kcl_operator_params params = {.schedule = schedules[_i]};
    make(&p, (_i + (int)test_seed()) % 2 ? KCL_F64 : KCL_F32, 11, 300);
    const bool f64 = p.dtype == KCL_F64;
    ck_assert_msg(kcl_operator_create(&op, "MeanKMin_Reduction(x*y+w,4,0)", 3, aliases, &params) == KCL_OK, "%s",
                  kcl_operator_error(op));
    const kcl_array *in[] = {f64 ? kcl_f64(p.x, 11, D) : kcl_f32(p.x32, 11, D),
                             f64 ? kcl_f64(p.y, 300, D) : kcl_f32(p.y32, 300, D),
                             f64 ? kcl_f64(p.w, 300, 1) : kcl_f32(p.w32, 300, 1)};
    const kcl_array *out[] = {f64 ? kcl_f64(wide, 11, D) : kcl_f32(narrow, 11, D)};
    ck_assert_msg(kcl_operator_apply(op, c, out, 1, in, 3) == KCL_OK, "%s", kcl_context_error(c));
    for (int n = 0; n < 11 * D; n++)
        near(&p, f64 ? wide[n] : (double)narrow[n], wanted(&p, all_axes[0], 0, n / D, n % D, 4, false), schedules[_i],
             4);
    kcl_operator_destroy(&op);
}
END_TEST

/* What errors of a device are compared with: no less than the size of any result. */
START_TEST(magnitudes_are_bounds)
{
    static problem p;
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "w=Vj(1)"};
    double wide[11 * D];
    kcl_operator *op, *magnitude;
    make(&p, KCL_F64, 11, 300);
    ck_assert_int_eq(kcl_operator_create(&op, "MeanKMin_Reduction(x*y+w,4,0)", 3, aliases, NULL), KCL_OK);
    const kcl_array *in[] = {kcl_f64(p.x, 11, D), kcl_f64(p.y, 300, D), kcl_f64(p.w, 300, 1)};
    const kcl_array *out[] = {kcl_f64(wide, 11, D)};
    ck_assert_int_eq(kcl_operator_magnitude(&magnitude, op), KCL_OK);
    ck_assert_msg(kcl_operator_apply(magnitude, c, out, 1, in, 3) == KCL_OK, "%s", kcl_context_error(c));
    for (int n = 0; n < 11 * D; n++)
        ck_assert_double_ge(wide[n], fabs(wanted(&p, all_axes[0], 0, n / D, n % D, 4, false)));
    kcl_operator_destroy(&magnitude);
    kcl_operator_destroy(&op);
}
END_TEST

/* Beside the values and their numbers, and a sum, in one sweep. */
START_TEST(with_other_reductions)
{
    static problem p;
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "w=Vj(1)"};
    double mean[9 * D], values[9 * D * 3], log_sum[9 * D];
    int64_t index[9 * D * 3];
    kcl_operator *op;
    make(&p, KCL_F64, 9, 200);
    ck_assert_msg(kcl_operator_create(&op,
                                      "MeanKMin_Reduction(x*y+w,3,0);KMin_ArgKMin_Reduction(x*y+w,3,0);"
                                      "LogSumExp_Reduction(100*(x*y+w),0)",
                                      3, aliases, NULL) == KCL_OK,
                  "%s", kcl_operator_error(op));
    const kcl_array *in[] = {kcl_f64(p.x, 9, D), kcl_f64(p.y, 200, D), kcl_f64(p.w, 200, 1)};
    const kcl_array *out[] = {kcl_f64(mean, 9, D), kcl_f64(values, 9, 3 * D), kcl_i64(index, 9, 3 * D),
                              kcl_f64(log_sum, 9, D)};
    ck_assert_msg(kcl_operator_apply(op, c, out, 4, in, 3) == KCL_OK, "%s", kcl_context_error(c));
    for (int i = 0; i < 9; i++) {
        for (int k = 0; k < D; k++) {
            double sum = 0, largest = -INFINITY, terms = 0;
            for (int q = 0; q < 3; q++) {
                near(&p, values[(3 * i + q) * D + k], term(&p, 0, i, index[(3 * i + q) * D + k], k), "values", 3);
                sum += values[(3 * i + q) * D + k];
            }
            for (int j = 0; j < 200; j++)
                largest = fmax(largest, 100 * term(&p, 0, i, j, k));
            for (int j = 0; j < 200; j++)
                terms += exp(100 * term(&p, 0, i, j, k) - largest);
            near(&p, mean[i * D + k], sum / 3, "beside others", 3);
            ck_assert_double_eq_tol(log_sum[i * D + k], largest + log(terms), 1e-10);
        }
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* Chains over several axes are one reduction, whose K is the same in all calls. */
START_TEST(what_cannot_be_asked_for)
{
    static problem p;
    make(&p, KCL_F64, 4, 5);
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *f = terms_of(s, &p), *two = kcl_reduce_mean_kmin(f, 2, KCL_OVER_J);
    ck_assert_int_eq(kcl_expr_status(kcl_reduce_mean_kmin(f, 0, KCL_OVER_J)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(kcl_reduce_mean_kmin(f, 0, KCL_OVER_J)), "kcl_reduce_mean_kmin", "K is 0");
    CONTAINS(kcl_expr_error(kcl_reduce_mean_kmax(f, 1 << 24, KCL_OVER_I)), "kcl_reduce_mean_kmax", "K is 16777216",
             "dimension 2");
    CONTAINS(kcl_expr_error(kcl_reduce_mean_kmin_batch(two, 3, 0)), "kcl_reduce_mean_kmin_batch", "K is 3", "K is 2");
    CONTAINS(kcl_expr_error(kcl_reduce_mean_kmin(two, 2, KCL_OVER_J)), "kcl_reduce_mean_kmin",
             "nothing to choose from");
    ck_assert_int_eq(kcl_mean_kmin(f, -1, KCL_OVER_BOTH, kcl_f64(p.x, 1, D)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "kcl_mean_kmin", "K is -1");
    kcl_scope_destroy(&s);
}
END_TEST

/* ---- All --------------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {means_are_those_of_sorted_terms, 2 * KB_COUNT(all_axes)},
        {no_terms_have_an_infinite_mean, 0},
        {nan_and_infinities, 2},
        {magnitudes_are_bounds, 0},
        {with_other_reductions, 0},
        {what_cannot_be_asked_for, 0},
    };
    const test_entry by_device[] = {
        {means_are_those_of_sorted_terms, 2 * KB_COUNT(all_axes)},
        {no_terms_have_an_infinite_mean, 0},
        {nan_and_infinities, 2},
        {every_schedule_computes_it, 4},
        {with_other_reductions, 0},
    };
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "means of the K smallest",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .tests = tests,
                                              .count = KB_COUNT(tests),
                                              .device_tests = by_device,
                                              .device_count = KB_COUNT(by_device)});
}
