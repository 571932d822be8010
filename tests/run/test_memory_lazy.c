/* SPDX-License-Identifier: MIT */
/*
 * Arrays in the device's memory: expressions, indices, handles, the form of distances, what is told of a computation.
 */
#include "placement.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Lazy tensors ------------------------------------------------------------------------------------------------ */

START_TEST(test_lazy_tensors_on_device_arrays)
{
    double x[M][D], y[N], got[M], slopes[M][D];
    c = contexts[_i];
    for (int i = 0; i < M; i++)
        for (int k = 0; k < D; k++)
            x[i][k] = uniform(-1, 1);
    for (int j = 0; j < N; j++)
        y[j] = uniform(0.5, 1);
    kcl_array out, grad, y_there;
    OK(kcl_array_create(c, KCL_F64, 2, (int64_t[]){M, 1}, &out));
    OK(kcl_array_create(c, KCL_F64, 2, (int64_t[]){M, D}, &grad));
    OK(kcl_array_upload(c, kcl_f64(y, N), &y_there));
    kcl_scope *s = kcl_scope_create(c);
    kcl_data *points = kcl_data_upload(s, kcl_f64(&x[0][0], M, D));
    kcl_expr *x_i = kcl_vi_data(s, points), *x_j = kcl_vj_data(s, points), *y_j = kcl_vj(s, &y_there);
    /* The upload was a copy. */
    double kept[M][D];
    memcpy(kept, x, sizeof x);
    memset(x, 0, sizeof x);
    /* a_i = (sum_j |x_i - x_j|^2) * (sum_j y_j) * 0.5, and the gradient of its sum, over both roles of x. */
    kcl_expr *a = kcl_mul(kcl_reduce_sum(kcl_sqdist(x_i, x_j), KCL_OVER_J),
                          kcl_mul(kcl_reduce_sum(y_j, KCL_OVER_J), kcl_scalar(s, 0.5)));
    kcl_expr *exprs[] = {a, kcl_grad(kcl_reduce_sum(a, KCL_OVER_I), x_i)};
    const kcl_array *outs[] = {&out, &grad};
    OK(kcl_eval(2, exprs, outs));
    ck_assert_int_eq(strstr(last_line, "not waited for") != NULL, copies());
    kcl_scope_reset(s); /* the handle's memory goes while work may still run */
    OK(kcl_array_download(c, &out, kcl_f64(got, M)));
    OK(kcl_array_download(c, &grad, kcl_f64(&slopes[0][0], M, D)));
    double total = 0;
    for (int j = 0; j < N; j++)
        total += y[j];
    for (int i = 0; i < M; i++) {
        double want = 0, slope[D] = {0}, scale = 0;
        for (int j = 0; j < M; j++) {
            for (int k = 0; k < D; k++) {
                double d = kept[i][k] - kept[j][k];
                want += d * d;
                slope[k] += 4 * d * total * 0.5;
                scale += fabs(4 * d * total * 0.5);
            }
        }
        check_number(got[i], want * total * 0.5, KCL_F64);
        for (int k = 0; k < D; k++)
            ck_assert_double_le(fabs(slopes[i][k] - slope[k]), 1e-12 * scale);
    }
    kcl_array_free(&out);
    kcl_array_free(&grad);
    kcl_array_free(&y_there);
    ck_assert_ptr_null(c->memories);
    kcl_scope_destroy(&s);
}
END_TEST

/* Indices are int64 on the device too; one that is the same for all rows is repeated, whatever the layout. */
START_TEST(test_indices_on_the_device)
{
    const char *const names[] = {"x=Vi(1)", "y=Vj(1)"};
    double x[M], y[N];
    int64_t nearest[M], smallest[M], got[2 * M];
    kcl_operator *op;
    c = contexts[_i];
    for (int i = 0; i < M; i++)
        x[i] = uniform(-1, 1);
    for (int j = 0; j < N; j++)
        y[j] = uniform(-1, 1);
    for (int i = 0; i < M; i++) {
        nearest[i] = smallest[i] = 0;
        for (int j = 1; j < N; j++) {
            if (fabs(x[i] - y[j]) < fabs(x[i] - y[nearest[i]]))
                nearest[i] = j;
            if (y[j] < y[smallest[i]])
                smallest[i] = j;
        }
    }
    ck_assert_msg(kcl_operator_create(&op, "ArgMin_Reduction(Square(x-y),0);ArgMin_Reduction(y,0)", 2, names, NULL) ==
                      KCL_OK,
                  "%s", kcl_operator_error(op));
    kcl_array x_there, y_there, both;
    OK(kcl_array_upload(c, kcl_f64(x, M), &x_there));
    OK(kcl_array_upload(c, kcl_f64(y, N), &y_there));
    OK(kcl_array_create(c, KCL_I64, 2, (int64_t[]){M, 2}, &both));
    for (int apart = 0; apart < 2; apart++) {
        /* Columns of one matrix, or its halves. */
        kcl_array out[2];
        for (int k = 0; k < 2; k++) {
            out[k] = kcl_array_in(both.memory, apart ? 8 * k : 8 * k * M, KCL_I64, 1, (int64_t[]){M});
            out[k].stride[0] = apart ? 16 : 8;
        }
        OK(kcl_operator_apply(op, c, (const kcl_array *[]){&out[0], &out[1]}, 2,
                              (const kcl_array *[]){&x_there, &y_there}, 2));
        const kcl_array target = kcl_array_of(got, KCL_I64, 2, (int64_t[]){M, 2});
        OK(kcl_array_download(c, &both, &target));
        for (int i = 0; i < M; i++) {
            ck_assert_int_eq(got[apart ? 2 * i : i], nearest[i]);
            ck_assert_int_eq(got[apart ? 2 * i + 1 : M + i], smallest[i]);
        }
    }
    kcl_array_free(&x_there);
    kcl_array_free(&y_there);
    kcl_array_free(&both);
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_handles_that_could_not_be_uploaded)
{
    float x[2] = {1, 2};
    c = contexts[_i];
    kcl_scope *s = kcl_scope_create(c);
    kcl_array there;
    OK(kcl_array_upload(c, kcl_f32(x, 2), &there));
    kcl_expr *twice = kcl_vi_data(s, kcl_data_upload(s, &there)), *none = kcl_vi_data(s, kcl_data_upload(s, NULL));
    ck_assert_int_eq(kcl_expr_status(twice), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(twice), "device's memory");
    CONTAINS(kcl_expr_error(none), "NULL");
    const kcl_array huge = {.data = x, .dtype = KCL_F32, .ndim = 1, .shape = {INT64_C(1) << 60}};
    kcl_status status = kcl_expr_status(kcl_vi_data(s, kcl_data_upload(s, &huge)));
    ck_assert_int_eq(status, KCL_ERROR_DEVICE_MEMORY);
    CONTAINS(kcl_context_error(c), "4611686018427387904 bytes");
    ck_assert_ptr_null(kcl_data_upload(NULL, kcl_f32(x, 2)));
    kcl_array_free(&there);
    kcl_scope_destroy(&s);
}
END_TEST

/* ---- The form of squared distances ------------------------------------------------------------------------------- */

/*
 * Decided by the data of device arrays as by those of host arrays: the same form, and then the same bits. A GPU
 * decides by itself.
 */
START_TEST(test_the_form_follows_device_arrays)
{
    enum { ROWS = 4096, COLS = 4100, DIM = 32 };
    static const struct {
        double extent, odd;
        const char *form;
    } calls[] = {
        {1, 0.5, "form: expanded (bound "},    {1e4, 0.5, "form: differences (bound "},
        {1, NAN, "form: differences (bound "}, {1, INFINITY, "form: differences (bound "},
        {1, 0.5, "form: expanded (bound "},
    };
    static const char *const far[] = {"x=Vi(32)", "y=Vj(32)", "b=Vj(1)", "g=Pm(1)"};
    static const kcl_dtype types[] = {KCL_F32, KCL_F64};
    c = contexts[_i];
    if (_i == HOST)
        return;
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(Exp(-0.1*g*SqDist(x,y))*b,0)", 4, far, NULL), KCL_OK);
    for (size_t n = 0; n < KB_COUNT(calls); n++) {
        kcl_dtype dtype = types[n % 2];
        numbers in[4], out[2];
        for (int k = 0; k < 4; k++) {
            numbers_make(&in[k], dtype, (int[]){ROWS, COLS, COLS, 1}[k], k < 2 ? DIM : 1, DENSE);
            numbers_fill(&in[k], 0.5, k < 2 ? 0.5 + calls[n].extent : 1);
        }
        numbers_set(&in[1], COLS - 1, DIM - 1, calls[n].odd);
        for (int device = 0; device < 2; device++) {
            static collected text;
            kcl_array arrays[5];
            numbers_make(&out[device], dtype, ROWS, 1, DENSE);
            numbers *const all[] = {&in[0], &in[1], &in[2], &in[3], &out[device]};
            for (int k = 0; k < 5; k++)
                arrays[k] = device ? to_device(all[k], 64) : all[k]->array;
            const kcl_array *args[] = {&arrays[0], &arrays[1], &arrays[2], &arrays[3]}, *outs[] = {&arrays[4]};
            OK(kcl_operator_apply(op, c, outs, 1, args, 4));
            if (device)
                from_device(&out[1], &arrays[4]);
            text.length = 0;
            OK(kcl_operator_describe(op, c, dtype, ROWS, COLS, collect, &text));
            CONTAINS(text.text, device && strcmp(c->device->info.type, "gpu") == 0 ? "form: decided on the device"
                                                                                   : calls[n].form);
            for (int k = 0; k < 5; k++)
                if (device)
                    kcl_array_free(&arrays[k]);
        }
        for (int64_t i = 0; i < ROWS; i++) {
            double a = numbers_get(&out[0], i, 0), b = numbers_get(&out[1], i, 0);
            if (!(a == b || (isnan(a) && isnan(b))))
                ck_abort_msg("call %zu, row %lld: %.17g from host arrays, %.17g from device arrays", n, (long long)i, a,
                             b);
        }
        for (int k = 0; k < 4; k++)
            numbers_free(&in[k]);
        numbers_free(&out[0]);
        numbers_free(&out[1]);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- What was built ---------------------------------------------------------------------------------------------- */

START_TEST(test_describe_tells_what_was_built)
{
    static collected before, after;
    problem p;
    c = contexts[_i];
    if (_i == HOST)
        return;
    kcl_operator *op = make_operator(formula);
    problem_make(&p, KCL_F32, DENSE, DENSE);
    const kcl_array *outs[] = {&p.sums.array, &p.columns.array},
                    *args[] = {&p.x.array, &p.y.array, &p.b.array, &p.g.array};
    OK(kcl_operator_apply(op, c, outs, 2, args, 4));
    after.length = 0;
    OK(kcl_operator_describe(op, c, KCL_F32, M, N, collect, &after));
    CONTAINS(after.text, "largest work-group: ", "local memory: ", "private memory: ", "parts: ");
    if (strcmp(c->device->info.type, "cpu") == 0) /* PoCL's log tells no registers */
        ck_assert_ptr_null(strstr(after.text, "registers"));
    problem_free(&p);
    kcl_operator_destroy(&op);
    /* What was never built is not described. */
    op = make_operator("Sum_Reduction(Exp(-g*SqDist(x,y))*b+3,0)");
    before.length = 0;
    OK(kcl_operator_describe(op, c, KCL_F32, M, N, collect, &before));
    ck_assert_ptr_null(strstr(before.text, "largest work-group"));
    kcl_operator_destroy(&op);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const int rounds = begin_placement(argv[0]);
    const test_entry tests[] = {
        {test_lazy_tensors_on_device_arrays, rounds},      {test_indices_on_the_device, rounds},
        {test_handles_that_could_not_be_uploaded, rounds}, {test_the_form_follows_device_arrays, rounds},
        {test_describe_tells_what_was_built, rounds},
    };
    return run_placement("device arrays of expressions", tests, KB_COUNT(tests));
}
