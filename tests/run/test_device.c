/* SPDX-License-Identifier: MIT */
/*
 * Lazy tensors and operators on a device, against the interpreter and against plain loops: sizes, layouts, offsets, bits.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "on_device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* ---- Forms of squared distances ---------------------------------------------------------------------------------- */

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
        {test_sample_of_the_product, 0},
        {test_layouts_of_arrays, 0},
        {test_broadcast_axis_of_stride_zero, 0},
        {test_coordinates_with_a_large_offset, 0},
        {test_repeats_and_thread_counts_give_the_same_bits, 0},
        {test_infinities_and_nan_propagate, 0},
        {test_describe_and_emit_for_the_device, 0},
    };
    return run_tests_on_device(argv[0], "sizes and layouts", tests, KB_COUNT(tests));
}
