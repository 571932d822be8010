/* SPDX-License-Identifier: MIT */
/* device/dense.c: dense algebra: what a context keeps for it, and its functions on matrices of the device. */
#include "dense_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- The state of a context -------------------------------------------------------------------------------------- */

static const char *const name_of_way[] = {"default", "cuBLAS", "CLBlast", "in place", "copied to the host"};

static bool works_in_place(const kcl_context *c)
{
    return c->device->host || c->device->sharing != KD_COPIED;
}

static void describe(kcl_context *c, struct kd_dense *d)
{
    char host[1024];
    snprintf(host, sizeof host, "%.300s%s%.500s", d->blas.has_cblas ? d->blas.name : "plain loops (",
             d->blas.has_cblas ? "" : d->blas.why, d->blas.has_cblas ? "" : ")");
    if (d->way == KD_DENSE_CLBLAST || d->way == KD_DENSE_CUBLAS)
        snprintf(d->text, sizeof d->text, "dense algebra by %s", name_of_way[d->way]);
    else
        snprintf(d->text, sizeof d->text, "dense algebra by %s%s%s", host,
                 d->way == KD_DENSE_COPIED ? ", on copies in host memory, which is slow: " : "",
                 d->way == KD_DENSE_COPIED ? (*d->why ? d->why : "asked for") : "");
    kb_log_line(&c->log, "%s", d->text);
}

kcl_status kd_dense_get(kcl_context *c, struct kd_dense **dense)
{
    struct kd_dense *d = *dense = c->dense;
    if (d)
        return KCL_OK;
    d = kb_calloc(&c->allocator, 1, sizeof *d);
    if (!d)
        return kb_no_memory(&c->error);
    *dense = c->dense = d;
    kd_blas_open(&d->blas);
    if (works_in_place(c))
        d->way = KD_DENSE_IN_PLACE;
    else if (!kd_gpu_open(c, d))
        d->way = KD_DENSE_COPIED;
    else
        d->way = c->is_cuda ? KD_DENSE_CUBLAS : KD_DENSE_CLBLAST;
    describe(c, d);
    return KCL_OK;
}

void kd_dense_free(kcl_context *c)
{
    if (c->dense && !kd_forked())
        kd_gpu_end(c, c->dense);
    kb_free(&c->allocator, c->dense);
    c->dense = NULL;
}

kcl_status kd_dense_use(kcl_context *c, kd_dense_way way)
{
    struct kd_dense *d;
    kcl_status status = kd_dense_get(c, &d);
    if (status < 0)
        return status;
    bool is_there = true;
    if (way == KD_DENSE_IN_PLACE || (way == KD_DENSE_DEFAULT && works_in_place(c))) {
        way = KD_DENSE_IN_PLACE;
        is_there = works_in_place(c);
        if (!is_there)
            snprintf(d->why, sizeof d->why, "the host does not see the memory of the device");
    } else if (c->device->host) {
        is_there = false;
        snprintf(d->why, sizeof d->why, "the interpreter has no memory but the host's");
    } else if (way == KD_DENSE_CUBLAS || way == KD_DENSE_CLBLAST) {
        is_there = (way == KD_DENSE_CUBLAS) == c->is_cuda && kd_gpu_open(c, d);
        if (!is_there && (way == KD_DENSE_CUBLAS) != c->is_cuda)
            snprintf(d->why, sizeof d->why, "CLBlast is for OpenCL, cuBLAS for CUDA");
    } else if (way == KD_DENSE_DEFAULT) {
        way = !kd_gpu_open(c, d) ? KD_DENSE_COPIED : c->is_cuda ? KD_DENSE_CUBLAS : KD_DENSE_CLBLAST;
    } else {
        *d->why = 0;
    }
    if (!is_there)
        return kb_fail(&c->error, KCL_ERROR_UNSUPPORTED, "dense algebra (%s) is not to be had on device %s \"%s\": %s",
                       name_of_way[way], c->device->info.id, c->device->info.name, d->why);
    d->way = way;
    describe(c, d);
    return KCL_OK;
}

kcl_status kd_dense_describe(kcl_context *c, kd_dense_info *info)
{
    struct kd_dense *d;
    const kcl_status status = kd_dense_get(c, &d);
    if (status >= 0)
        *info = (kd_dense_info){.way = d->way,
                                .is_fast = d->way == KD_DENSE_IN_PLACE ? d->blas.has_cblas : d->way != KD_DENSE_COPIED,
                                .has_blas = d->blas.has_cblas,
                                .has_lapack = d->blas.has_lapack,
                                .text = d->text};
    return status;
}

kcl_status kd_dense_most_bytes(kcl_context *c, kcl_dtype dtype, size_t order, kd_dense_bytes *bytes)
{
    enum { WORKSPACE = 32 << 20, TILE_BYTES = 3 * KD_TILE * KD_TILE * 8 };
    struct kd_dense *d;
    const kcl_status status = kd_dense_get(c, &d);
    if (status < 0)
        return status;
    order = KB_MAX(order, 1);
    const uint64_t size = kb_dtype_size(dtype), square = (uint64_t)order * order * size;
    const uint64_t loops = (uint64_t)kd_threads(c) * (d->blas.has_cblas ? 0 : KB_MAX(TILE_BYTES, 8 * order));
    const bool on_gpu = d->way == KD_DENSE_CUBLAS || d->way == KD_DENSE_CLBLAST;
    const uint64_t slots = dtype == KCL_F32 ? KB_MAX(square, KD_SPLIT * size) : square;
    /* A triangle of the type of the matrices, the sums of a piece of rows, and what a piece takes. */
    bytes->host = square + (on_gpu ? KB_MAX(slots, (uint64_t)order * order * sizeof(double)) : square + loops);
    bytes->device = on_gpu ? square + slots + (uint64_t)order * order * sizeof(double) : 0;
    if (d->way == KD_DENSE_COPIED)
        bytes->host += 3 * KD_SPLIT * size;
    if (d->way == KD_DENSE_CLBLAST)
        bytes->device += 3 * KD_SPLIT * size;
    if (d->way == KD_DENSE_CUBLAS)
        bytes->device += WORKSPACE;
    return KCL_OK;
}

/* ---- Checks ------------------------------------------------------------------------------------------------------ */

/* The last element of the matrix, counted from 1; SIZE_MAX where that is no number. */
static size_t end_of(const kd_matrix *m)
{
    int64_t last;
    if (m->rows > INT64_MAX || m->stride > INT64_MAX ||
        kb_mul_overflows((int64_t)(m->rows - 1), (int64_t)m->stride, &last))
        return SIZE_MAX;
    const size_t sum = (size_t)last + m->columns + m->offset;
    return sum < m->offset || sum < m->columns ? SIZE_MAX : sum;
}

static kcl_status check_matrix(kcl_context *c, const char *call, const char *name, kcl_dtype dtype, const kd_matrix *m)
{
    if (!m->rows || !m->columns)
        return KCL_OK;
    if (m->stride < m->columns)
        return kb_fail(&c->error, KCL_ERROR_ARGUMENT, "%s: %s has rows of %zu elements, but a stride of %zu", call,
                       name, m->columns, m->stride);
    if (!m->buffer && !m->host)
        return kb_fail(&c->error, KCL_ERROR_ARGUMENT, "%s: %s has no memory", call, name);
    const size_t end = end_of(m);
    if (m->buffer && end > m->buffer->size / kb_dtype_size(dtype))
        return kb_fail(&c->error, KCL_ERROR_ARGUMENT, "%s: %s ends at element %zu of a buffer of %zu elements", call,
                       name, end, m->buffer->size / kb_dtype_size(dtype));
    return KCL_OK;
}

static kcl_status check_type(kcl_context *c, const char *call, kcl_dtype dtype, bool on_device)
{
    if (dtype != KCL_F32 && dtype != KCL_F64)
        return kb_fail(&c->error, KCL_ERROR_TYPE, "%s: %d is no type of numbers", call, (int)dtype);
    if (on_device && dtype == KCL_F64 && !c->device->caps.has_f64)
        return kb_fail(&c->error, KCL_ERROR_TYPE, "%s: device %s \"%s\" has no float64", call, c->device->info.id,
                       c->device->info.name);
    return KCL_OK;
}

static bool is_empty(const kd_matrix *m)
{
    return !m->rows || !m->columns;
}

static kcl_status check_product(kcl_context *c, kcl_dtype dtype, bool ta, bool tb, const kd_matrix *a,
                                const kd_matrix *b, const kd_matrix *to)
{
    const char *const call = "kd_gemm";
    const size_t m = ta ? a->columns : a->rows, k = ta ? a->rows : a->columns;
    const size_t of_b = tb ? b->columns : b->rows, n = tb ? b->rows : b->columns;
    if (k != of_b)
        return kb_fail(&c->error, KCL_ERROR_ARGUMENT, "%s: op(A) has %zu columns, op(B) %zu rows", call, k, of_b);
    if (m != to->rows)
        return kb_fail(&c->error, KCL_ERROR_ARGUMENT, "%s: op(A) has %zu rows, C %zu", call, m, to->rows);
    if (n != to->columns)
        return kb_fail(&c->error, KCL_ERROR_ARGUMENT, "%s: op(B) has %zu columns, C %zu", call, n, to->columns);
    kcl_status status = check_type(c, call, dtype, to->buffer != NULL);
    if (status >= 0)
        status = check_matrix(c, call, "A", dtype, a);
    if (status >= 0)
        status = check_matrix(c, call, "B", dtype, b);
    if (status >= 0)
        status = check_matrix(c, call, "C", dtype, to);
    if (status >= 0 && !is_empty(to) &&
        ((!is_empty(a) && !a->buffer != !to->buffer) || (!is_empty(b) && !b->buffer != !to->buffer)))
        status =
            kb_fail(&c->error, KCL_ERROR_ARGUMENT, "%s: some matrices are on the device, others on the host", call);
    return status;
}

/* A failure of a call on matrices of the device ends the submission. */
static kcl_status note(kcl_context *c, const kd_matrix *m, kcl_status status)
{
    if (status < 0 && m->buffer && c->submission_status >= 0)
        c->submission_status = status;
    return status;
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

kcl_status kd_gemm(kcl_context *c, kcl_dtype dtype, bool ta, bool tb, double alpha, const kd_matrix *a,
                   const kd_matrix *b, double beta, const kd_matrix *to)
{
    struct kd_dense *dense;
    kcl_status status = check_product(c, dtype, ta, tb, a, b, to);
    if (status >= 0)
        status = kd_dense_get(c, &dense);
    if (status < 0)
        return note(c, to, status);
    const kd_product p = {dtype,
                          ta,
                          tb,
                          to->rows,
                          to->columns,
                          ta ? a->rows : a->columns,
                          alpha,
                          beta,
                          kd_elements_of(a),
                          kd_elements_of(b),
                          kd_elements_of(to)};
    if (!p.m || !p.n || ((!p.k || alpha == 0) && beta == 1))
        return KCL_OK;
    return note(c, to, to->buffer ? kd_device_gemm(c, &p, dense->way) : kd_host_gemm(c, &p));
}

/* ---- Gram matrices ----------------------------------------------------------------------------------------------- */

kcl_status kd_gram(kcl_context *c, kcl_dtype dtype, double alpha, const kd_matrix *a, double beta, double *to,
                   size_t stride)
{
    const char *const call = "kd_gram";
    struct kd_dense *dense;
    kcl_status status = check_type(c, call, dtype, a->buffer != NULL);
    if (status >= 0)
        status = check_matrix(c, call, "A", dtype, a);
    if (status >= 0 && a->columns && (stride < a->columns || !to))
        status = kb_fail(&c->error, KCL_ERROR_ARGUMENT, "%s: A has %zu columns, %s %zu", call, a->columns,
                         to ? "C a stride of" : "C no memory, and a stride of", stride);
    if (status >= 0)
        status = kd_dense_get(c, &dense);
    if (status < 0 || !a->columns)
        return note(c, a, status);
    const kd_elements p = kd_elements_of(a);
    if (!a->buffer || !a->rows || alpha == 0)
        status = kd_host_gram(c, dtype, alpha, alpha == 0 ? 0 : a->rows, a->columns, &p, beta, to, stride);
    else
        status = kd_device_gram(c, dense->way, dtype, alpha, a, beta, to, stride);
    return note(c, a, status);
}

/* ---- Triangles --------------------------------------------------------------------------------------------------- */

/* The triangle in the type of X, without gaps, and 0 beside it; NULL: memory is out. */
static void *typed_triangle(kcl_context *c, const kd_division *d, const double *t, size_t stride)
{
    char *copy = kb_calloc(&c->allocator, d->order * d->order, kb_dtype_size(d->dtype));
    for (size_t i = 0; copy && i < d->order; i++)
        for (size_t j = d->is_lower ? 0 : i; j < (d->is_lower ? i + 1 : d->order); j++) {
            const float single = (float)t[i * stride + j];
            const void *from = d->dtype == KCL_F32 ? (const void *)&single : &t[i * stride + j];
            memcpy(copy + (i * d->order + j) * kb_dtype_size(d->dtype), from, kb_dtype_size(d->dtype));
        }
    return copy;
}

kcl_status kd_trsm(kcl_context *c, kcl_dtype dtype, const kd_matrix *x, const double *t, size_t stride, bool is_lower,
                   bool transpose)
{
    const char *const call = "kd_trsm";
    struct kd_dense *dense;
    kcl_status status = check_type(c, call, dtype, x->buffer != NULL);
    if (status >= 0)
        status = check_matrix(c, call, "X", dtype, x);
    if (status >= 0 && x->columns && (stride < x->columns || !t))
        status = kb_fail(&c->error, KCL_ERROR_ARGUMENT, "%s: X has %zu columns, %s %zu", call, x->columns,
                         t ? "T a stride of" : "T no memory, and a stride of", stride);
    if (status >= 0)
        status = kd_dense_get(c, &dense);
    if (status < 0 || is_empty(x))
        return note(c, x, status);
    kd_division d = {dtype, x->rows, x->columns, is_lower, transpose, kd_elements_of(x), {.stride = x->columns}};
    d.t.host = typed_triangle(c, &d, t, stride);
    if (!d.t.host)
        return note(c, x, kb_no_memory(&c->error));
    status = x->buffer ? kd_device_trsm(c, &d, dense->way) : kd_host_trsm(c, &d);
    kb_free(&c->allocator, d.t.host);
    return note(c, x, status);
}
