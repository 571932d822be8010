/* SPDX-License-Identifier: MIT */
/*
 * Outputs that overlap an input, or each other: against maps of bytes.
 */
#include "overlap.h"
#include "strides.h"
#include "sharing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Which arrays overlap ---------------------------------------------------------------------------------------- */

enum { MOST_SIZE = 4, ROOM = 4096 }; /* three axes span 1520 bytes at most, in both directions */

/* A description with up to three axes; `nested`: with gaps, in any order and direction, but no element twice. */
static kcl_array random_array(char *room, bool nested)
{
    const kcl_dtype dtypes[] = {KCL_F32, KCL_F64, KCL_I64};
    kcl_array a = {.dtype = dtypes[pick(3)], .ndim = pick(4)};
    const int size = (int)kb_dtype_size(a.dtype), order = pick(6);
    int64_t length = size;
    for (int k = 0; k < a.ndim; k++) {
        const int axis =
            a.ndim < 3 ? (k + order) % a.ndim
                       : (const int[6][3]){{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}[order][k];
        a.shape[axis] = axis == a.ndim - 1 || pick(20) ? 1 + pick(MOST_SIZE) : 0; /* vectors have components */
        a.stride[axis] = nested ? length + pick(3) * size : pick(61) - 30;
        if (!nested && pick(2))
            a.stride[axis] = a.stride[axis] / size * size;
        length += KB_MAX(a.shape[axis] - 1, 0) * a.stride[axis];
        if (nested && pick(2))
            a.stride[axis] = -a.stride[axis];
    }
    a.data = room + ROOM / 2 + pick(200);
    return a;
}

/* Counts, for each byte of the room, the elements that take it. */
static void mark(const kcl_array *a, const char *room, unsigned char *marks)
{
    memset(marks, 0, ROOM);
    for (int64_t p = 0; p < (a->ndim > 0 ? a->shape[0] : 1); p++)
        for (int64_t q = 0; q < (a->ndim > 1 ? a->shape[1] : 1); q++)
            for (int64_t r = 0; r < (a->ndim > 2 ? a->shape[2] : 1); r++)
                for (size_t b = 0; b < kb_dtype_size(a->dtype); b++)
                    marks[(char *)a->data - room + p * a->stride[0] + q * a->stride[1] + r * a->stride[2] +
                          (int64_t)b]++;
}

static kx_view view_of(const kcl_array *array)
{
    kx_view view;
    kb_error err;
    ck_assert_int_eq(kx_view_of(&view, array, KF_ROLE_I, 0, KX_STATED, "array", &err), KCL_OK);
    return view;
}

/* Every answer is that of a map of bytes. */
START_TEST(test_arrays_overlap_where_bytes_do)
{
    static char room[ROOM];
    static unsigned char marks[2][ROOM];
    int told[2] = {0}, shared[2] = {0};
    for (int n = 0; n < 40000; n++) {
        kcl_array of[2];
        bool meet = false;
        for (int k = 0; k < 2; k++) {
            of[k] = random_array(room, n % 2);
            mark(&of[k], room, marks[k]);
        }
        bool shares = false;
        for (int k = 0; k < ROOM; k++) {
            meet = meet || (marks[0][k] && marks[1][k]);
            shares = shares || marks[0][k] > 1;
        }
        ck_assert_int_eq(kx_shares_elements(of[0].ndim, of[0].shape, of[0].stride, (int64_t)kb_dtype_size(of[0].dtype)),
                         shares);
        ck_assert(!(n % 2 && shares));
        shared[shares]++;
        const kx_view a = view_of(&of[0]), b = view_of(&of[1]);
        ck_assert_msg(kx_overlap(&a, &b) == meet, "seed %llu, pair %d", (unsigned long long)test_seed(), n);
        ck_assert_int_eq(kx_overlap(&b, &a), meet);
        told[meet]++;
    }
    for (int k = 0; k < 2; k++) {
        ck_assert_int_gt(told[k], 1000);
        ck_assert_int_gt(shared[k], 1000);
    }
}
END_TEST

START_TEST(test_which_arrays_are_the_same)
{
    static double x[24], y[24];
    const kcl_array wide = {.data = x, .dtype = KCL_F64, .ndim = 2, .shape = {4, 2}, .stride = {48, 8}};
    const kcl_array batches = {.data = x, .dtype = KCL_F64, .ndim = 3, .shape = {1, 4, 2}, .stride = {-1, 48, 8}};
    const kcl_array turned = {.data = x, .dtype = KCL_F64, .ndim = 2, .shape = {2, 4}, .stride = {8, 48}};
    const kcl_array backwards = {.data = x + 23, .dtype = KCL_F64, .ndim = 1, .shape = {24}, .stride = {-8}};
    const struct {
        const kcl_array *a, *b;
        bool same;
    } cases[] = {
        {kcl_f64(x, 24), kcl_f64(x, 24, 1), true},
        {kcl_f64(x, 24), kcl_f64(x, 1, 24), true},
        {kcl_f64(x, 24), kcl_f64(x, 3, 8), true},
        {kcl_f64(x, 2, 3, 4), kcl_f64(x, 6, 4), true},
        {&wide, &wide, true},
        {&wide, &batches, true},
        {&wide, &turned, false},
        {&wide, kcl_f64(x, 4, 2), false},
        {kcl_f64(x, 24), &backwards, false},
        {kcl_f64(x, 24), kcl_f64(x, 23), false},
        {kcl_f64(x, 24), kcl_f64(y, 24), false},
        {kcl_f64(x, 24), kcl_i64((const int64_t *)(const void *)x, 24), false},
        {kcl_f64(x, 24), kcl_f32((const float *)(const void *)x, 48), false},
    };
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        const kx_view a = view_of(cases[k].a), b = view_of(cases[k].b);
        ck_assert_msg(kx_is_same_array(&a, &b) == cases[k].same, "case %zu", k);
        ck_assert_int_eq(kx_is_same_array(&b, &a), cases[k].same);
    }
}
END_TEST

/* ---- What is refused --------------------------------------------------------------------------------------------- */

START_TEST(test_parts_of_inputs)
{
    enum { M = 8 };
    choose(_i);
    const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)"};
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(x*y,0)", 2, aliases, NULL), KCL_OK);
    for (int on_device = 0; on_device < 2; on_device++) {
        double memory[3 * M], y[M], before[3 * M];
        for (int k = 0; k < 3 * M; k++)
            memory[k] = before[k] = k;
        for (int k = 0; k < M; k++)
            y[k] = 1;
        kcl_array whole = *kcl_f64(memory, 3 * M), there = {.ndim = -1};
        if (on_device) {
            OK(kcl_array_upload(c, &whole, &there));
            whole = there;
        }
        kcl_scope *s = kcl_scope_create(c);
        kcl_array x = whole, out = whole;
        x.ndim = 1;
        x.shape[0] = M;
        kcl_expr *xi = kcl_vi(s, &x), *f = kcl_reduce_sum(kcl_mul(xi, kcl_vj(s, kcl_f64(y, M))), KCL_OVER_J);
        const struct {
            int64_t first, stride;
        } places[] = {{8, 8}, {56, 8}, {56, -8}, {0, 16}, {64 - 16, 16}, {7 * 24, -24}, {4, 8}, {60, 8}};
        for (size_t k = 0; k < KB_COUNT(places); k++) {
            if (on_device && places[k].first % 8)
                continue; /* refused for that */
            out.shape[0] = M;
            out.stride[0] = places[k].stride;
            if (on_device)
                out.offset = places[k].first;
            else
                out.data = (char *)memory + places[k].first;
            const kcl_array *const outs[] = {&out}, *const args[] = {&x, kcl_f64(y, M)};
            REFUSED(kcl_operator_apply(op, c, outs, 1, args, 2), "output 0", "argument \"x\"", "overlap");
            REFUSED(kcl_operator_apply_scaled(op, c, outs, 1, args, 2, (double[]){0}, NULL), "output 0",
                    "argument \"x\"", "overlap");
            REFUSED(kcl_eval1(f, &out), "output 0", "array 0", "overlap");
            REFUSED(kcl_sum(kcl_mul(xi, kcl_vj(s, kcl_f64(y, M))), KCL_OVER_J, &out), "output 0", "array 0", "overlap");
            REFUSED(kcl_eval_scaled(1, &f, outs, NULL, (double[]){1}), "output 0", "array 0", "overlap");
        }
        /* Single numbers between two elements, and the last before and the first behind. */
        out.stride[0] = 8;
        if (on_device)
            out.offset = 64;
        else
            out.data = memory + M;
        OK(kcl_eval1(f, &out));
        if (on_device)
            OK(kcl_array_download(c, &there, kcl_f64(memory, 3 * M)));
        for (int k = 0; k < 3 * M; k++)
            ck_assert_double_eq(memory[k], k >= M && k < 2 * M ? M * before[k - M] : before[k]);
        kcl_array_free(&there);
        kcl_scope_destroy(&s);
    }
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_other_numbers_in_the_memory_of_an_input)
{
    enum { M = 4 };
    double x[M] = {1, 2, 3, 4}, y[M] = {4, 3, 2, 1};
    choose(_i);
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *xi = kcl_vi(s, kcl_f64(x, M, 1)), *yj = kcl_vj(s, kcl_f64(y, M, 1)), *d = kcl_sqdist(xi, yj);
    kcl_array turned = {.data = x, .dtype = KCL_F64, .ndim = 2, .shape = {2, 2}, .stride = {8, 16}};
    REFUSED(kcl_argmin(d, KCL_OVER_J, kcl_i64((const int64_t *)(const void *)x, M)), "output 0", "array 0", "overlap");
    REFUSED(kcl_min_argmin(d, KCL_OVER_J, kcl_f64(x, M), kcl_i64((const int64_t *)(const void *)y, M)), "output 1",
            "array 1", "overlap");
    REFUSED(kcl_eval1(kcl_square(kcl_vi(s, kcl_f64(x, 2, 2))), &turned), "output 0", "array 2", "overlap");
    kcl_scope_destroy(&s);
}
END_TEST

START_TEST(test_outputs_in_each_other)
{
    enum { M = 4 };
    double x[M] = {1, 2, 3, 4}, y[M] = {4, 3, 2, 1}, out[4 * M] = {0};
    const kcl_array sparse = {.data = out, .dtype = KCL_F64, .ndim = 1, .shape = {M}, .stride = {16}};
    choose(_i);
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *f = kcl_mul(kcl_vi(s, kcl_f64(x, M, 1)), kcl_vj(s, kcl_f64(y, M, 1)));
    kcl_expr *sums[] = {kcl_reduce_sum(f, KCL_OVER_J), kcl_reduce_sum(f, KCL_OVER_I),
                        kcl_square(kcl_vi(s, kcl_f64(x, M)))};
    static const char *const names[] = {"output 0", "output 1", "output 2"};
    const kcl_array *outs[3];
    kcl_context_stats before, after;
    ck_assert_int_eq(kcl_context_get_stats(c, &before), KCL_OK);
    for (int k = 0; k < 3; k++) {
        outs[k] = outs[(k + 1) % 3] = kcl_f64(out, M);
        outs[(k + 2) % 3] = kcl_f64(out + 2 * M, M);
        REFUSED(kcl_eval(3, sums, outs), names[k], names[(k + 1) % 3], "overlap");
        outs[(k + 1) % 3] = kcl_f64(out + M - 1, M);
        REFUSED(kcl_eval_scaled(3, sums, outs, NULL, (double[]){1, 1, 1}), names[k], names[(k + 1) % 3], "overlap");
        outs[(k + 1) % 3] = &sparse;
        REFUSED(kcl_eval(3, sums, outs), names[k], names[(k + 1) % 3], "overlap");
    }
    /* The same array of an input twice. */
    REFUSED(kcl_eval(2, sums, (const kcl_array *[]){kcl_f64(x, M), kcl_f64(x, M)}), "output 0", "output 1", "overlap");
    for (int k = 0; k < 4 * M; k++)
        ck_assert_double_eq(out[k], 0);
    /* What is refused is no evaluation. */
    ck_assert_int_eq(kcl_context_get_stats(c, &after), KCL_OK);
    ck_assert_uint_eq(after.evaluations, before.evaluations);
    kcl_scope_destroy(&s);
}
END_TEST

/* Elements of an output that are the same memory: stride 0 and others, of every axis, and in copies. */
START_TEST(test_elements_in_each_other)
{
    double x[24], out[64] = {0};
    choose(_i);
    for (int k = 0; k < 24; k++)
        x[k] = k;
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *f = kcl_square(kcl_vi(s, kcl_f64(x, 2, 4, 3)));
    const struct {
        int64_t stride[3];
        const char *axis, *why;
    } cases[] = {{{96, 24, 0}, "axis 2 of size 3", "stride 0"},  {{96, 0, 8}, "axis 1 of size 4", "stride 0"},
                 {{0, 24, 8}, "axis 0 of size 2", "stride 0"},   {{96, 16, 8}, "axis 2 of size 3", "stride 8"},
                 {{96, 24, 4}, "axis 2 of size 3", "stride 4"},  {{96, -16, 8}, "axis 2 of size 3", "stride 8"},
                 {{24, 24, 8}, "axis 1 of size 4", "stride 24"}, {{88, 24, 8}, "axis 2 of size 3", "stride 8"},
                 {{72, 24, 8}, "axis 1 of size 4", "stride 24"}};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        kcl_array to = {.data = out + 32, .dtype = KCL_F64, .ndim = 3, .shape = {2, 4, 3}}, there;
        memcpy(to.stride, cases[k].stride, sizeof cases[k].stride);
        REFUSED(kcl_eval1(f, &to), "output 0", cases[k].axis, cases[k].why);
        REFUSED(kcl_eval_scaled(1, &f, (const kcl_array *[]){&to}, NULL, (double[]){1}), "output 0", cases[k].axis);
        OK(kcl_array_upload(c, kcl_f64(x, 2, 4, 3), &there));
        REFUSED(kcl_array_download(c, &there, &to), "the host's array", cases[k].axis, cases[k].why);
        kcl_array wrong = there;
        memcpy(wrong.stride, cases[k].stride, sizeof cases[k].stride);
        REFUSED(kcl_array_update(c, kcl_f64(x, 2, 4, 3), &wrong), "the device's array", cases[k].axis, cases[k].why);
        REFUSED(kcl_eval1(f, &wrong), "output 0", cases[k].axis);
        kcl_array_free(&there);
    }
    for (int k = 0; k < 64; k++)
        ck_assert_double_eq(out[k], 0);
    /* Inputs may have stride 0, and outputs whose axes pass each other without meeting. */
    kcl_array passing = {.data = out, .dtype = KCL_F64, .ndim = 2, .shape = {2, 3}, .stride = {24, 16}};
    kcl_array all_one = {.data = x + 5, .dtype = KCL_F64, .ndim = 2, .shape = {2, 3}};
    OK(kcl_eval1(kcl_square(kcl_vi(s, &all_one)), &passing));
    static const double want[8] = {25, 0, 25, 25, 25, 25, 0, 25};
    for (int k = 0; k < 8; k++)
        ck_assert_double_eq(out[k], want[k]);
    kcl_scope_destroy(&s);
}
END_TEST

/* ---- Strides and sizes beyond all memory ------------------------------------------------------------------------- */

/* The call that is given a bad array, as what it is called there. */
static void refuse_everywhere(const kcl_array *bad, const char *why)
{
    static char good[64];
    const kcl_dtype real = bad->dtype == KCL_I64 ? KCL_F64 : bad->dtype;
    const kcl_array three = kcl_array_of(good, real, 1, (int64_t[]){3});
    const kcl_array copy = kcl_array_of(good, bad->dtype, 1, (int64_t[]){3});
    const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)"};
    kcl_operator *op;
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *const made[] = {kcl_vi(s, bad), kcl_vj(s, bad), kcl_pm(s, bad)};
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(kcl_expr_status(made[k]), KCL_ERROR_ARGUMENT);
        CONTAINS(kcl_expr_error(made[k]), "array", why);
    }
    const bool whole = bad->dtype == KCL_I64;
    kcl_expr *f = kcl_mul(kcl_vi(s, &three), kcl_vj(s, &three));
    REFUSED(whole ? kcl_argmin(f, KCL_OVER_J, bad) : kcl_sum(f, KCL_OVER_J, bad), "output 0", why);
    ck_assert_int_eq(
        kcl_operator_create(&op, whole ? "ArgMin_Reduction(x*y,0)" : "Sum_Reduction(x*y,0)", 2, aliases, NULL), KCL_OK);
    REFUSED(kcl_operator_apply(op, c, &bad, 1, (const kcl_array *[]){&three, &three}, 2), "output 0", why);
    REFUSED(kcl_operator_apply(op, c, (const kcl_array *[]){&three}, 1, (const kcl_array *[]){bad, &three}, 2),
            "argument \"x\"", why);
    REFUSED(kcl_operator_apply(op, c, (const kcl_array *[]){&three}, 1, (const kcl_array *[]){&three, bad}, 2),
            "argument \"y\"", why);
    if (bad->memory) {
        REFUSED(kcl_array_download(c, bad, &copy), "the device's array", why);
        REFUSED(kcl_array_update(c, &copy, bad), "the device's array", why);
    } else {
        kcl_array there;
        OK(kcl_array_create(c, bad->dtype, 1, (int64_t[]){3}, &there));
        REFUSED(kcl_array_download(c, &there, bad), "the host's array", why);
        REFUSED(kcl_array_update(c, bad, &there), "the host's array", why);
        kcl_array_free(&there);
        REFUSED(kcl_array_upload(c, bad, &there), "kcl_array_upload", why);
    }
    kcl_operator_destroy(&op);
    kcl_scope_destroy(&s);
}

START_TEST(test_strides_beyond_memory)
{
    static const kcl_dtype dtypes[] = {KCL_F32, KCL_F64, KCL_I64};
    static const int64_t strides[] = {INT64_MAX,     INT64_MIN,     INT64_MAX / 2, INT64_MIN / 2,
                                      INT64_MAX - 7, INT64_MIN + 1, INT64_MAX / 8, -(INT64_MAX / 8)};
    static char good[64];
    choose(_i);
    for (int t = 0; t < 3; t++) {
        kcl_array there;
        OK(kcl_array_create(c, dtypes[t], 1, (int64_t[]){3}, &there));
        for (size_t k = 0; k < KB_COUNT(strides); k++) {
            kcl_array bad = {.data = good, .dtype = dtypes[t], .ndim = 1, .shape = {3}, .stride = {strides[k]}};
            refuse_everywhere(&bad, "axis 0 of size 3 with the stride");
            bad.memory = there.memory;
            refuse_everywhere(&bad, "axis 0 of size 3 with the stride");
        }
        /* A stride that could be, around the address space; offsets. */
        kcl_array bad = {.data = good, .dtype = dtypes[t], .ndim = 1, .shape = {3}, .stride = {-(INT64_MAX / 32)}};
        refuse_everywhere(&bad, "outside of the address space");
        static const int64_t offsets[] = {INT64_MAX, INT64_MIN, INT64_MAX - 7, INT64_MIN + 8, INT64_MAX / 16 * 8};
        for (size_t k = 0; k < KB_COUNT(offsets); k++) {
            bad = there;
            bad.offset = offsets[k];
            refuse_everywhere(&bad, "of its device memory");
        }
        kcl_array_free(&there);
    }
}
END_TEST

/* Several axes add up; axes of size 1, and empty ones, are not looked at. */
START_TEST(test_strides_of_several_axes)
{
    static float x[8] = {1, 2, 3}, out[8];
    const kcl_array sum = {.data = x,
                           .dtype = KCL_F32,
                           .ndim = 4,
                           .shape = {2, 2, 2, 1},
                           .stride = {INT64_MAX / 16, INT64_MAX / 16, INT64_MAX / 16, 4}};
    const kcl_array single = {
        .data = x, .dtype = KCL_F32, .ndim = 3, .shape = {1, 3, 1}, .stride = {INT64_MAX, 4, INT64_MIN}};
    const kcl_array one = {.data = x, .dtype = KCL_F32, .ndim = 2, .shape = {1, 1}, .stride = {INT64_MIN, INT64_MAX}};
    const kcl_array none = {
        .data = x, .dtype = KCL_F32, .ndim = 3, .shape = {0, 0, 1}, .stride = {INT64_MAX, INT64_MIN, 4}};
    const kcl_array endless = {
        .data = NULL, .dtype = KCL_F32, .ndim = 3, .shape = {0, INT64_MAX / 2, 3}, .stride = {4, 4, 4}};
    choose(_i);
    kcl_scope *s = kcl_scope_create(c);
    ck_assert_int_eq(kcl_expr_status(kcl_vi(s, &sum)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(kcl_vi(s, &sum)), "axis 1 of size 2");
    ck_assert_int_eq(kcl_expr_status(kcl_vi(s, &endless)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(kcl_vi(s, &endless)), "axes 0 to 2", "64-bit");
    kcl_array to = single;
    to.data = out;
    OK(kcl_eval1(kcl_mul(kcl_vi(s, &single), kcl_pm(s, &one)), &to));
    for (int k = 0; k < 3; k++)
        ck_assert_double_eq((double)out[k], k + 1);
    to = one;
    to.data = out;
    OK(kcl_sum(kcl_mul(kcl_vi(s, &one), kcl_vj(s, &single)), KCL_OVER_J, &to));
    ck_assert_double_eq((double)out[0], 6);
    to = none;
    OK(kcl_eval1(kcl_square(kcl_vi(s, &none)), &to));
    kcl_scope_destroy(&s);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const int rounds = begin_sharing(argv[0]);
    const test_entry tests[] = {
        {test_arrays_overlap_where_bytes_do, 0}, {test_which_arrays_are_the_same, 0},
        {test_parts_of_inputs, rounds},          {test_other_numbers_in_the_memory_of_an_input, rounds},
        {test_outputs_in_each_other, rounds},    {test_elements_in_each_other, rounds},
        {test_strides_beyond_memory, rounds},    {test_strides_of_several_axes, rounds},
    };
    return run_sharing("overlaps", tests, KB_COUNT(tests));
}
