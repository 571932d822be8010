/* SPDX-License-Identifier: MIT */
/*
 * Arrays in the device's memory, through the public functions: operators, copies, the order of calls, what is refused.
 */
#include "placement.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- An operator, by plain loops --------------------------------------------------------------------------------- */

static double entry(const problem *p, int i, int j)
{
    double d2 = 0;
    for (int k = 0; k < D; k++)
        d2 += pow(*numbers_exact(&p->x, i, k) - *numbers_exact(&p->y, j, k), 2);
    return exp(-*numbers_exact(&p->g, 0, 0) * d2);
}

static void problem_check(const problem *p)
{
    const kcl_dtype dtype = p->x.array.dtype;
    for (int i = 0; i < M; i++) {
        double want[2] = {0};
        for (int j = 0; j < N; j++)
            for (int k = 0; k < 2; k++)
                want[k] += entry(p, i, j) * *numbers_exact(&p->b, j, k);
        for (int k = 0; k < 2; k++)
            check_number(numbers_get(&p->sums, i, k), want[k], dtype);
    }
    for (int j = 0; j < N; j++) {
        double want = 0;
        for (int i = 0; i < M; i++)
            want += entry(p, i, j);
        check_number(numbers_get(&p->columns, j, 0), want, dtype);
    }
    numbers_check_gaps(&p->sums);
    numbers_check_gaps(&p->columns);
}

/* Which arrays are on the device: bits of x, y, b, g, then of the two outputs. */
static void check_placement(const kcl_operator *op, kcl_dtype dtype, layout in, layout out, unsigned where,
                            int64_t shift)
{
    problem p;
    problem_make(&p, dtype, in, out);
    numbers *const all[] = {&p.x, &p.y, &p.b, &p.g, &p.sums, &p.columns};
    kcl_array arrays[6];
    const kcl_array *given[6];
    for (int k = 0; k < 6; k++) {
        arrays[k] = where >> k & 1 ? to_device(all[k], shift) : all[k]->array;
        given[k] = &arrays[k];
    }
    last_line[0] = 0;
    OK(kcl_operator_apply(op, c, given + 4, 2, given, 4));
    bool waits = !copies() || where >> 4 != 3;
    ck_assert_msg(strstr(last_line, "not waited for") ? !waits : waits, "arrays %#x: %s", where, last_line);
    for (int k = 0; k < 6; k++) {
        if (k > 3 && arrays[k].memory)
            from_device(all[k], &arrays[k]);
        if (arrays[k].memory)
            kcl_array_free(&arrays[k]);
    }
    problem_check(&p);
    problem_free(&p);
}

START_TEST(test_operators_on_device_arrays)
{
    kcl_operator *op = make_operator(formula);
    c = contexts[_i];
    for (unsigned where = 0; where < 64; where++)
        check_placement(op, where % 3 ? KCL_F32 : KCL_F64, DENSE, DENSE, where, 0);
    for (int in = 0; in < LAYOUT_COUNT; in++) {
        for (int out = 0; out < LAYOUT_COUNT; out++) {
            const kcl_dtype dtype = (in + out) % 4 ? KCL_F32 : KCL_F64;
            check_placement(op, dtype, (layout)in, (layout)out, 63, 0);
            check_placement(op, dtype, (layout)in, (layout)out, (unsigned)pick(64), 8 * pick(5));
            check_placement(op, dtype, (layout)in, (layout)out, 63, 24);
        }
    }
    kcl_operator_destroy(&op);
    ck_assert_ptr_null(contexts[_i]->memories);
}
END_TEST

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

/* An array of three axes of any strides in `memory`, which has `bytes` bytes. */
typedef struct block {
    int64_t first, stride[3]; /* elements */
} block;

enum { A = 2, B = 3, C = 4, SPACE = 200 };
static const block blocks_of_three[] = {{0, {12, 4, 1}},      {5, {12, 4, 1}},   {0, {1, 2, 6}},
                                        {190, {-12, -4, -1}}, {11, {70, 16, 3}}, {100, {-40, 9, 2}}};

static double *element(double *memory, const block *b, int i, int j, int k)
{
    return memory + b->first + i * b->stride[0] + j * b->stride[1] + k * b->stride[2];
}

static kcl_array describe(double *data, kcl_memory *memory, const block *b)
{
    const int64_t size = sizeof(double);
    return (kcl_array){.data = memory ? NULL : data + b->first,
                       .dtype = KCL_F64,
                       .ndim = 3,
                       .shape = {A, B, C},
                       .stride = {b->stride[0] * size, b->stride[1] * size, b->stride[2] * size},
                       .memory = memory,
                       .offset = memory ? b->first * size : 0};
}

START_TEST(test_copies_of_any_strides)
{
    c = contexts[_i];
    for (size_t h = 0; h < KB_COUNT(blocks_of_three); h++) {
        for (size_t d = 0; d < KB_COUNT(blocks_of_three); d++) {
            const block *host = &blocks_of_three[h], *device = &blocks_of_three[d];
            double from[SPACE], inside[SPACE], to[SPACE];
            kcl_memory *memory;
            for (int k = 0; k < SPACE; k++) {
                from[k] = k;
                to[k] = -1;
            }
            OK(kcl_memory_create(c, sizeof inside, &memory));
            const kcl_array space = kcl_array_in(memory, 0, KCL_F64, 1, (int64_t[]){SPACE});
            for (int k = 0; k < SPACE; k++)
                inside[k] = -2;
            OK(kcl_array_update(c, kcl_f64(inside, SPACE), &space));
            const kcl_array source = describe(from, NULL, host), there = describe(NULL, memory, device),
                            target = describe(to, NULL, host);
            OK(kcl_array_update(c, &source, &there));
            OK(kcl_array_download(c, &there, &target));
            OK(kcl_array_download(c, &space, kcl_f64(inside, SPACE)));
            int changed = 0, written = 0;
            for (int k = 0; k < SPACE; k++) {
                changed += inside[k] != -2;
                written += to[k] != -1;
            }
            ck_assert_int_eq(changed, A * B * C);
            ck_assert_int_eq(written, A * B * C);
            for (int i = 0; i < A; i++) {
                for (int j = 0; j < B; j++) {
                    for (int k = 0; k < C; k++) {
                        double want = *element(from, host, i, j, k);
                        ck_assert_double_eq(*element(inside, device, i, j, k), want);
                        ck_assert_double_eq(*element(to, host, i, j, k), want);
                    }
                }
            }
            /* What an upload makes is dense. */
            kcl_array copy;
            double dense[A * B * C];
            OK(kcl_array_upload(c, &source, &copy));
            ck_assert_uint_eq(kcl_memory_size(copy.memory), sizeof dense);
            OK(kcl_array_download(c, &copy, kcl_f64(dense, A, B, C)));
            for (int k = 0; k < A * B * C; k++)
                ck_assert_double_eq(dense[k], *element(from, host, k / (B * C), k / C % B, k % C));
            kcl_array_free(&copy);
            ck_assert_int_eq(copy.ndim, -1);
            kcl_memory_release(&memory);
        }
    }
    /* Axes of size 1 do not count, and nothing is nothing. */
    double two[2] = {1, 2}, back[2] = {0};
    kcl_array pair, none;
    OK(kcl_array_upload(c, kcl_f64(two, 1, 2, 1), &pair));
    OK(kcl_array_download(c, &pair, kcl_f64(back, 2)));
    ck_assert_double_eq(back[1], 2);
    OK(kcl_array_upload(c, kcl_f64(NULL, 0, 3), &none));
    OK(kcl_array_download(c, &none, kcl_f64(NULL, 0, 3)));
    kcl_array_free(&pair);
    kcl_array_free(&none);
    kcl_array_free(NULL);
}
END_TEST

/* ---- Order ------------------------------------------------------------------------------------------------------- */

/* Each call reads what the one before wrote; a parameter in host memory changes as soon as the call has returned. */
START_TEST(test_calls_are_done_in_order)
{
    enum { CALLS = 60 };
    const char *const names[] = {"x=Vi(1)", "y=Vj(1)", "g=Pm(1)"};
    kcl_operator *op;
    c = contexts[_i];
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(x*y*g,0)", 3, names, NULL), KCL_OK);
    double x[M], y[N], g, want[M], got[M], total = 0, slopes[CALLS];
    for (int i = 0; i < M; i++)
        want[i] = x[i] = uniform(0.5, 1);
    for (int j = 0; j < N; j++)
        total += y[j] = uniform(0.5, 1);
    kcl_array a, b, columns;
    OK(kcl_array_upload(c, kcl_f64(x, M), &a));
    OK(kcl_array_create(c, KCL_F64, 1, (int64_t[]){M}, &b));
    OK(kcl_array_upload(c, kcl_f64(y, N), &columns));
    for (int k = 0; k < CALLS; k++) {
        const kcl_array *from = k % 2 ? &b : &a, *to = k % 2 ? &a : &b;
        slopes[k] = g = uniform(0.9, 1.1) / total;
        OK(kcl_operator_apply(op, c, &to, 1, (const kcl_array *[]){from, &columns, kcl_f64(&g, 1)}, 3));
        ck_assert_int_eq(strstr(last_line, "not waited for") != NULL, copies());
        g = NAN;
        for (int i = 0; i < M; i++)
            want[i] *= total * slopes[k];
    }
    /* Released while work that uses it may still run, and its memory used again. */
    kcl_array_free(&columns);
    kcl_array again;
    OK(kcl_array_create(c, KCL_F64, 1, (int64_t[]){N}, &again));
    OK(kcl_array_update(c, kcl_f64(y, N), &again));
    OK(kcl_context_finish(c));
    OK(kcl_array_download(c, &a, kcl_f64(got, M)));
    for (int i = 0; i < M; i++)
        check_number(got[i], want[i], KCL_F64);
    kcl_array_free(&a);
    kcl_array_free(&b);
    kcl_array_free(&again);
    kcl_operator_destroy(&op);
}
END_TEST

/* Many bytes of host arrays are not copied aside: the call waits, and the arrays may change afterwards. */
START_TEST(test_large_host_arrays_are_waited_for)
{
    enum { LARGE = 20000 };
    const char *const names[] = {"x=Vi(1)", "y=Vj(1)"};
    static float x[LARGE], got[LARGE];
    float y[2] = {1, 2};
    kcl_operator *op;
    kcl_array out;
    c = contexts[_i];
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(x*y,0)", 2, names, NULL), KCL_OK);
    OK(kcl_array_create(c, KCL_F32, 1, (int64_t[]){LARGE}, &out));
    for (int k = 0; k < LARGE; k++)
        x[k] = (float)k;
    const kcl_array *outs[] = {&out};
    OK(kcl_operator_apply(op, c, outs, 1, (const kcl_array *[]){kcl_f32(x, LARGE), kcl_f32(y, 2)}, 2));
    ck_assert_ptr_null(strstr(last_line, "not waited for"));
    memset(x, 0, sizeof x);
    OK(kcl_array_download(c, &out, kcl_f32(got, LARGE)));
    for (int k = 0; k < LARGE; k++)
        ck_assert_float_eq(got[k], 3 * (float)k);
    kcl_array_free(&out);
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

START_TEST(test_arrays_that_are_not_there)
{
    const char *const names[] = {"x=Vi(1)", "y=Vj(1)"};
    double x[8] = {0}, y[8] = {0}, out[8];
    kcl_operator *op;
    c = contexts[_i];
    kcl_context *other = open_context(_i);
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(x*y,0)", 2, names, NULL), KCL_OK);
    kcl_array a, b, foreign, gone;
    OK(kcl_array_upload(c, kcl_f64(x, 8), &a));
    OK(kcl_array_upload(c, kcl_f64(y, 8), &b));
    OK(kcl_array_upload(c, kcl_f64(y, 8), &gone));
    ck_assert_int_eq(kcl_array_upload(other, kcl_f64(y, 8), &foreign), KCL_OK);
    const kcl_array freed = gone;
    kcl_array_free(&gone);
    kcl_array beyond = a, before = a, odd = a, crooked = a, backwards = a, far = a;
    beyond.offset = 8;
    before.offset = -8;
    odd.offset = 4;
    odd.shape[0] = 7;
    crooked.stride[0] = 12;
    crooked.shape[0] = 4;
    backwards.stride[0] = -8;
    far.stride[0] = INT64_MAX;
    static const char there_not[] = "device memory that this context does not have";
    const struct {
        const kcl_array *array;
        const char *why;
    } cases[] = {{&foreign, there_not},
                 {&freed, there_not},
                 {&gone, "no valid array"},
                 {&beyond, "takes the bytes 8 to 72 of its device memory, which has 64"},
                 {&before, "takes the bytes -8 to 56"},
                 {&odd, "begins at byte 4"},
                 {&crooked, "multiples of the 8 bytes"},
                 {&backwards, "takes the bytes -56 to 8"},
                 {&far, "axis 0 of size 8 with the stride 9223372036854775807"}};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        const int64_t rows = cases[k].array->shape[0];
        const kcl_array *const host = kcl_f64(out, rows), *const columns = &b;
        FAILS(KCL_ERROR_ARGUMENT,
              kcl_operator_apply(op, c, &host, 1, (const kcl_array *[]){cases[k].array, columns}, 2), cases[k].why,
              "argument \"x\"");
        FAILS(KCL_ERROR_ARGUMENT,
              kcl_operator_apply(op, c, &cases[k].array, 1, (const kcl_array *[]){kcl_f64(x, rows), columns}, 2),
              cases[k].why, "output 0");
        if (cases[k].array == &crooked)
            continue;
        FAILS(KCL_ERROR_ARGUMENT, kcl_array_download(c, cases[k].array, host), cases[k].why, "kcl_array_download");
        FAILS(KCL_ERROR_ARGUMENT, kcl_array_update(c, host, cases[k].array), cases[k].why, "kcl_array_update");
        kcl_scope *s = kcl_scope_create(c);
        kcl_expr *x_i = kcl_vi(s, cases[k].array), *f = kcl_mul(x_i, kcl_vj(s, columns));
        FAILS(KCL_ERROR_ARGUMENT, kcl_sum(f, KCL_OVER_J, host), cases[k].why, "array 0");
        kcl_scope_destroy(&s);
    }
    /* The context can be used all the same. */
    const kcl_array *outs[] = {&b};
    kcl_array c_there;
    OK(kcl_array_upload(c, kcl_f64(y, 8), &c_there));
    OK(kcl_operator_apply(op, c, outs, 1, (const kcl_array *[]){&a, &c_there}, 2));
    kcl_array_free(&a);
    kcl_array_free(&b);
    kcl_array_free(&c_there);
    kcl_context_destroy(&other);
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_download(c, &foreign, kcl_f64(out, 8)), there_not);
    ck_assert_uint_eq(kcl_memory_size(foreign.memory), 64);
    kcl_array_free(&foreign);
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_outputs_that_overlap)
{
    const char *const names[] = {"x=Vi(1)", "y=Vj(1)"};
    kcl_operator *op;
    c = contexts[_i];
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(x*y,0);Sum_Reduction(x+y,0)", 2, names, NULL), KCL_OK);
    double x[8], y[3] = {1, 2, 3}, matrix[16];
    for (int k = 0; k < 8; k++)
        x[k] = k;
    kcl_array there, columns;
    OK(kcl_array_upload(c, kcl_f64(x, 8), &there));
    OK(kcl_array_create(c, KCL_F64, 1, (int64_t[]){16}, &columns));
    kcl_array halves[3] = {kcl_array_in(columns.memory, 0, KCL_F64, 1, (int64_t[]){8}),
                           kcl_array_in(columns.memory, 64, KCL_F64, 1, (int64_t[]){8}),
                           kcl_array_in(columns.memory, 56, KCL_F64, 1, (int64_t[]){8})};
    kcl_array sides[2] = {halves[0], halves[0]};
    sides[1].offset = 8;
    sides[0].stride[0] = sides[1].stride[0] = 16;
    const kcl_array *args[] = {&there, kcl_f64(y, 3)};
    FAILS(KCL_ERROR_ARGUMENT, kcl_operator_apply(op, c, (const kcl_array *[]){&halves[1], &halves[2]}, 2, args, 2),
          "output 0", "output 1", "overlap");
    FAILS(KCL_ERROR_ARGUMENT, kcl_operator_apply(op, c, (const kcl_array *[]){&sides[0], &sides[0]}, 2, args, 2),
          "output 0", "output 1", "overlap");
    FAILS(KCL_ERROR_ARGUMENT, kcl_operator_apply(op, c, (const kcl_array *[]){&sides[0], &halves[0]}, 2, args, 2),
          "output 0", "output 1", "overlap");
    /* Parts of one memory do not overlap, and neither do columns of one matrix. */
    OK(kcl_operator_apply(op, c, (const kcl_array *[]){&halves[1], &halves[0]}, 2, args, 2));
    OK(kcl_array_download(c, &columns, kcl_f64(matrix, 16)));
    for (int k = 0; k < 8; k++) {
        check_number(matrix[8 + k], 6 * x[k], KCL_F64);
        check_number(matrix[k], 6 + 3 * x[k], KCL_F64);
    }
    OK(kcl_operator_apply(op, c, (const kcl_array *[]){&sides[1], &sides[0]}, 2, args, 2));
    OK(kcl_array_download(c, &columns, kcl_f64(matrix, 16)));
    for (int k = 0; k < 8; k++) {
        check_number(matrix[2 * k + 1], 6 * x[k], KCL_F64);
        check_number(matrix[2 * k], 6 + 3 * x[k], KCL_F64);
    }
    kcl_array_free(&there);
    kcl_array_free(&columns);
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_calls_that_make_no_sense)
{
    double x[6] = {0};
    float single[6];
    kcl_array a, b;
    c = contexts[_i];
    OK(kcl_array_upload(c, kcl_f64(x, 2, 3), &a));
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_upload(c, &a, &b), "kcl_array_upload", "device's memory");
    ck_assert_ptr_null(b.memory);
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_upload(c, NULL, &b), "missing");
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_upload(c, kcl_f64(x, 6), NULL), "NULL");
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_upload(c, kcl_f64(NULL, 6), &b), "no data");
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_update(c, &a, &a), "kcl_array_update", "device's memory");
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_update(c, kcl_f64(x, 2, 3), kcl_f64(x, 2, 3)), "host's memory");
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_download(c, &a, NULL), "missing");
    FAILS(KCL_ERROR_LENGTH, kcl_array_download(c, &a, kcl_f64(x, 3, 2)), "(3, 2)", "(2, 3)");
    FAILS(KCL_ERROR_LENGTH, kcl_array_update(c, kcl_f64(x, 6), &a), "(6)", "(2, 3)");
    FAILS(KCL_ERROR_TYPE, kcl_array_download(c, &a, kcl_f32(single, 2, 3)), "float32", "float64");
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_create(c, KCL_F64, 1, NULL, &b), "NULL");
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_create(c, KCL_F64, 1, (int64_t[]){-1}, &b), "valid array");
    FAILS(KCL_ERROR_ARGUMENT, kcl_array_create(c, KCL_F64, 10, (int64_t[10]){0}, &b), "valid array");
    ck_assert_int_eq(kcl_array_create(NULL, KCL_F64, 0, NULL, &b), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_array_upload(NULL, kcl_f64(x, 6), &b), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_array_update(NULL, kcl_f64(x, 2, 3), &a), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_array_download(NULL, &a, kcl_f64(x, 2, 3)), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_array_in(NULL, 0, KCL_F64, 1, (int64_t[]){1}).ndim, -1);
    kcl_array_free(&b);
    kcl_array_free(&a);
    kcl_array_free(&a);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const int rounds = begin_placement(argv[0]);
    const test_entry tests[] = {
        {test_operators_on_device_arrays, rounds}, {test_copies_of_any_strides, rounds},
        {test_calls_are_done_in_order, rounds},    {test_large_host_arrays_are_waited_for, rounds},
        {test_arrays_that_are_not_there, rounds},  {test_outputs_that_overlap, rounds},
        {test_calls_that_make_no_sense, rounds},
    };
    return run_placement("device arrays", tests, KB_COUNT(tests));
}
