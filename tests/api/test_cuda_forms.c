/* SPDX-License-Identifier: MIT */
/*
 * The form of long squared distances, decided by the device: on a simulated CUDA driver, or on a real one. Both forms have
 * other bits than the other, and each must be used for the data that it is right for, without a wait of the host.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "on_cuda.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Just enough pairs for the expanded form to be worth looking at the data, and vectors for the contraction schedule. */
enum { M = 64, N = 1 << 18, D = 48, FORMS = 3 };
enum { AUTO, DIFFERENCES, EXPANDED };

static const char *const forms[FORMS] = {"auto", "differences", "expanded"};
static void *stream;
static kcl_context *c;

#define OK(call) ck_assert_msg((call) == KCL_OK, "%s", kcl_context_error(c))

/* An array of the host, and the device's copy of it. */
typedef struct matrix {
    kcl_dtype dtype;
    int64_t rows;
    int dim;
    size_t bytes;
    void *data;
    cu_pointer there;
    kcl_memory *memory;
    kcl_array array; /* of the device */
} matrix;

static void put(matrix *m, int64_t i, int k, double value)
{
    if (m->dtype == KCL_F32)
        ((float *)m->data)[i * m->dim + k] = (float)value;
    else
        ((double *)m->data)[i * m->dim + k] = value;
}

static double at(const matrix *m, int64_t i, int k)
{
    return m->dtype == KCL_F32 ? (double)((const float *)m->data)[i * m->dim + k]
                               : ((const double *)m->data)[i * m->dim + k];
}

static void send(const matrix *m)
{
    CU(cuMemcpyHtoDAsync_v2(m->there, m->data, m->bytes, stream));
    CU(cuStreamSynchronize(stream));
}

static void matrix_make(matrix *m, kcl_dtype dtype, int64_t rows, int dim)
{
    *m = (matrix){.dtype = dtype, .rows = rows, .dim = dim};
    m->bytes = (size_t)(rows * dim) * (dtype == KCL_F32 ? sizeof(float) : sizeof(double));
    m->data = calloc(1, m->bytes);
    for (int64_t i = 0; i < rows; i++)
        for (int k = 0; k < dim; k++)
            put(m, i, k, uniform(0, 1));
    m->there = cuda_upload(m->data, m->bytes, stream);
    OK(kcl_cuda_memory(c, cuda_pointer(m->there), m->bytes, &m->memory));
    m->array = kcl_array_in(m->memory, 0, dtype, 2, (int64_t[]){rows, dim});
}

static void matrix_free(matrix *m)
{
    kcl_memory_release(&m->memory);
    CU(cuMemFree_v2(m->there));
    free(m->data);
}

/* ---- Points ------------------------------------------------------------------------------------------------------ */

/* Points for which the form of kind_form is right, whatever their place. */
enum { CUBE, FAR_CLUSTERS, FAR_AWAY, A_NAN, SPREAD, AN_INFINITY, KINDS };
static const int kind_form[KINDS] = {EXPANDED, DIFFERENCES, EXPANDED, DIFFERENCES, DIFFERENCES, DIFFERENCES};

static void make_points(matrix *x, matrix *y, int kind)
{
    for (int side = 0; side < 2; side++) {
        matrix *m = side == 0 ? x : y;
        for (int64_t i = 0; i < m->rows; i++) {
            const double middle = kind == FAR_AWAY ? 1024 : kind == FAR_CLUSTERS && i % 2 ? 300 : 0;
            const double extent = kind == SPREAD ? 1000 : 1;
            for (int k = 0; k < m->dim; k++) /* every row has a column near by */
                put(m, i, k,
                    side == 0 || i >= x->rows ? middle + extent * uniform(0, 1) : at(x, i, k) + uniform(0, 0.125));
        }
    }
    if (kind == A_NAN)
        put(y, y->rows - 1, y->dim - 1, NAN);
    if (kind == AN_INFINITY)
        put(x, 5, 1, INFINITY);
    send(x);
    send(y);
}

/* ---- Operators --------------------------------------------------------------------------------------------------- */

typedef struct computation {
    kcl_operator *op[FORMS];
    size_t arg_count;
    const kcl_array *args[5];
    matrix *out;
} computation;

static void computation_make(computation *s, const char *formula, const char *derive, size_t count, const char *const *names)
{
    for (int form = 0; form < FORMS; form++) {
        kcl_operator *op;
        ck_assert_msg(kcl_operator_create(&op, formula, count, names,
                                          &(kcl_operator_params){.form = forms[form]}) == KCL_OK,
                      "%s", kcl_operator_error(op));
        s->op[form] = op;
        if (!*derive)
            continue;
        ck_assert_int_eq(kcl_operator_grad(&s->op[form], op, derive), KCL_OK);
        kcl_operator_destroy(&op);
    }
}

static void computation_free(computation *s)
{
    for (int form = 0; form < FORMS; form++)
        kcl_operator_destroy(&s->op[form]);
}

/* Calls, without a wait of the host where nothing is compiled; the results of each form in `got`. */
static void call(const computation *s, int form, bool is_first)
{
    const kcl_array *out = &s->out->array;
    const int waits = fake_cuda_found ? fake_cuda_found->waits : 0;
    CU(cuMemsetD32Async(s->out->there, 0xffffffffu, s->out->bytes / 4, stream));
    OK(kcl_operator_apply(s->op[form], c, &out, 1, s->args, s->arg_count));
    if (fake_cuda_found && !is_first)
        ck_assert_int_eq(fake_cuda_found->waits, waits);
    cuda_download(s->out->data, s->out->there, s->out->bytes, stream);
}

/* The form that "auto" took: the results of one form, and not of the other, are the same bit for bit. */
static int taken(const computation *s, bool is_first)
{
    void *copy[2] = {malloc(s->out->bytes), malloc(s->out->bytes)};
    for (int form = DIFFERENCES; form <= EXPANDED; form++) {
        call(s, form, is_first);
        memcpy(copy[form - 1], s->out->data, s->out->bytes);
    }
    call(s, AUTO, is_first);
    const bool same[2] = {memcmp(copy[0], s->out->data, s->out->bytes) == 0,
                          memcmp(copy[1], s->out->data, s->out->bytes) == 0};
    free(copy[0]);
    free(copy[1]);
    ck_assert_msg(same[0] != same[1], "the results are those of differences: %d, of the expanded form: %d", same[0],
                  same[1]);
    return same[0] ? DIFFERENCES : EXPANDED;
}

static void setup(void)
{
    reset_cuda();
    seed_random(test_seed());
    CU(cuStreamCreate(&stream, 1));
    c = open_on(stream, NULL);
    cuda_log[0] = 0;
}

static void teardown(void)
{
    kcl_context_destroy(&c);
    CU(cuStreamSynchronize(stream));
    CU(cuStreamDestroy_v2(stream));
    if (!fake_cuda_found)
        return;
    const size_t live = fake_cuda_found->live_allocations;
    fake_cuda_found->live_allocations = 0;
    ck_assert_uint_eq(live, 0);
    ck_assert_int_eq(fake_cuda_found->overruns, 0);
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

/* One operator on data that change from call to call, and the sums of some rows against a plain loop. */
START_TEST(test_the_device_decides_for_each_call)
{
    static const char *const names[] = {"x=Vi(48)", "y=Vj(48)", "b=Vj(1)", "g=Pm(1)"};
    matrix x, y, b, g, out;
    computation s = {.arg_count = 4, .args = {&x.array, &y.array, &b.array, &g.array}, .out = &out};
    matrix_make(&x, KCL_F32, M, D);
    matrix_make(&y, KCL_F32, N, D);
    matrix_make(&b, KCL_F32, N, 1);
    matrix_make(&g, KCL_F32, 1, 1);
    matrix_make(&out, KCL_F32, M, 1);
    put(&g, 0, 0, 0.0625);
    send(&g);
    computation_make(&s, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", "", 4, names);
    for (int kind = 0; kind < KINDS; kind++) {
        make_points(&x, &y, kind);
        ck_assert_msg(taken(&s, kind == 0) == kind_form[kind], "points of kind %d", kind);
        for (int64_t i = 0; i < M; i += 9) {
            double want = 0;
            for (int64_t j = 0; j < N; j++) {
                double square = 0;
                for (int k = 0; k < D; k++)
                    square += (at(&x, i, k) - at(&y, j, k)) * (at(&x, i, k) - at(&y, j, k));
                want += exp(-0.0625 * square) * at(&b, j, 0);
            }
            ck_assert_msg(fabs(at(&out, i, 0) - want) <= 2e-5 * want || (isnan(want) && isnan(at(&out, i, 0))),
                          "kind %d, row %d: %.9g, not %.9g", kind, (int)i, at(&out, i, 0), want);
        }
    }
    computation_free(&s);
    matrix_free(&x);
    matrix_free(&y);
    matrix_free(&b);
    matrix_free(&g);
    matrix_free(&out);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    setenv("KEOPSCL_CACHE", "off", 1);
    if (!open_cuda())
        return 77;
    announce_seed(argv[0]);
    const test_entry tests[] = {{test_the_device_decides_for_each_call, 0}};
    return run_entries("forms on CUDA", tests, KB_COUNT(tests), setup, teardown);
}
