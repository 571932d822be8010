/* SPDX-License-Identifier: MIT */
/* device/dense_gpu.c: dense algebra on memory of the device, by CLBlast and cuBLAS. */
#include "cuda.h"
#include "dense_internal.h"

#include <stdio.h>

/* ---- CLBlast ----------------------------------------------------------------------------------------------------- */

/* Ends a call: the command is in the queue. */
static kcl_status end_clblast(kcl_context *c, const char *call, int code, cl_event event)
{
    enum { FIRST_OF_ITS_OWN = -1000, NO_DOUBLE = -2044 };
    kd_note_last(c, event);
    c->launches++;
    if (!code)
        return KCL_OK;
    if (code > FIRST_OF_ITS_OWN)
        return kd_cl_fail(&c->error, &c->device->info, call, code, NULL);
    return kb_fail(&c->error, KCL_ERROR_OPENCL, "%s failed: CLBlast's status %d%s on device %s \"%s\"", call, code,
                   code == NO_DOUBLE ? " (no double precision)" : "", c->device->info.id, c->device->info.name);
}

static kcl_status clblast_gemm(kcl_context *c, const kd_clblast *l, const kd_product *p)
{
    cl_event event = NULL;
    cl_command_queue queue = c->queue;
    const int ta = p->transpose_a ? KD_TRANSPOSED : KD_PLAIN, tb = p->transpose_b ? KD_TRANSPOSED : KD_PLAIN;
    if (p->dtype == KCL_F32) {
        const int code = l->sgemm(KD_ROW_MAJOR, ta, tb, p->m, p->n, p->k, (float)p->alpha, p->a.buffer->mem,
                                  p->a.offset, p->a.stride, p->b.buffer->mem, p->b.offset, p->b.stride, (float)p->beta,
                                  p->c.buffer->mem, p->c.offset, p->c.stride, &queue, &event);
        return end_clblast(c, "CLBlastSgemm", code, event);
    }
    const int code = l->dgemm(KD_ROW_MAJOR, ta, tb, p->m, p->n, p->k, p->alpha, p->a.buffer->mem, p->a.offset,
                              p->a.stride, p->b.buffer->mem, p->b.offset, p->b.stride, p->beta, p->c.buffer->mem,
                              p->c.offset, p->c.stride, &queue, &event);
    return end_clblast(c, "CLBlastDgemm", code, event);
}

static kcl_status clblast_trsm(kcl_context *c, const kd_clblast *l, const kd_division *d)
{
    cl_event event = NULL;
    cl_command_queue queue = c->queue;
    const int triangle = d->is_lower ? KD_LOWER : KD_UPPER, transpose = d->transpose ? KD_TRANSPOSED : KD_PLAIN;
    if (d->dtype == KCL_F32) {
        const int code =
            l->strsm(KD_ROW_MAJOR, KD_RIGHT, triangle, transpose, KD_NON_UNIT, d->n, d->order, 1, d->t.buffer->mem,
                     d->t.offset, d->t.stride, d->x.buffer->mem, d->x.offset, d->x.stride, &queue, &event);
        return end_clblast(c, "CLBlastStrsm", code, event);
    }
    const int code =
        l->dtrsm(KD_ROW_MAJOR, KD_RIGHT, triangle, transpose, KD_NON_UNIT, d->n, d->order, 1, d->t.buffer->mem,
                 d->t.offset, d->t.stride, d->x.buffer->mem, d->x.offset, d->x.stride, &queue, &event);
    return end_clblast(c, "CLBlastDtrsm", code, event);
}

/* ---- cuBLAS ------------------------------------------------------------------------------------------------------ */

/* cuBLAS's numbers. */
enum { PLAIN = 0, TRANSPOSED = 1, LOWER = 0, UPPER = 1, LEFT = 0, NON_UNIT = 0, ALLOC_FAILED = 3 };

static const char *status_name(int code)
{
    /* Names of the documentation; other codes are told by their number. */
    static const char *const names[] = {
        [1] = "NOT_INITIALIZED", [3] = "ALLOC_FAILED",      [7] = "INVALID_VALUE",   [8] = "ARCH_MISMATCH",
        [11] = "MAPPING_ERROR",  [13] = "EXECUTION_FAILED", [14] = "INTERNAL_ERROR", [15] = "NOT_SUPPORTED"};
    return code > 0 && (size_t)code < KB_COUNT(names) && names[code] ? names[code] : "unknown";
}

static kcl_status cublas_failed(kcl_context *c, const char *call, int code)
{
    return kb_fail(&c->error, code == ALLOC_FAILED ? KCL_ERROR_DEVICE_MEMORY : KCL_ERROR_OPENCL,
                   "%s failed: CUBLAS_STATUS_%s (%d) on device %s \"%s\"", call, status_name(code), code,
                   c->device->info.id, c->device->info.name);
}

static void *address(const kd_elements *p, kcl_dtype dtype)
{
    return (void *)((uintptr_t)p->buffer->mem + p->offset * kb_dtype_size(dtype));
}

static kcl_status use_stream(kcl_context *c, struct kd_dense *dense)
{
    const kd_cuda_queue *queue = (const kd_cuda_queue *)c->queue;
    if (kd_cuda_captures(c->queue))
        return kb_fail(&c->error, KCL_ERROR_UNSUPPORTED,
                       "dense algebra cannot become a part of a graph: the stream is captured");
    const int code = dense->cublas.set_stream(dense->handle, queue->stream);
    return code ? cublas_failed(c, "cublasSetStream", code) : KCL_OK;
}

/* cuBLAS stores columns: what has rows here is transposed there, and C' = op(B)' op(A)'. */
static kcl_status cublas_gemm(kcl_context *c, struct kd_dense *dense, const kd_product *p)
{
    const int ta = p->transpose_a ? TRANSPOSED : PLAIN, tb = p->transpose_b ? TRANSPOSED : PLAIN;
    const int m = (int)p->m, n = (int)p->n, k = (int)p->k;
    const int lda = (int)p->a.stride, ldb = (int)p->b.stride, ldc = (int)p->c.stride;
    const void *a = address(&p->a, p->dtype), *b = address(&p->b, p->dtype);
    void *to = address(&p->c, p->dtype);
    if (p->dtype == KCL_F32) {
        const float alpha = (float)p->alpha, beta = (float)p->beta;
        const int code = dense->cublas.sgemm(dense->handle, tb, ta, n, m, k, &alpha, b, ldb, a, lda, &beta, to, ldc);
        return code ? cublas_failed(c, "cublasSgemm", code) : KCL_OK;
    }
    const int code = dense->cublas.dgemm(dense->handle, tb, ta, n, m, k, &p->alpha, b, ldb, a, lda, &p->beta, to, ldc);
    return code ? cublas_failed(c, "cublasDgemm", code) : KCL_OK;
}

/* X' = op(T')^-1 X' for the transposed X' and T', whose triangle is the other one. */
static kcl_status cublas_trsm(kcl_context *c, struct kd_dense *dense, const kd_division *d)
{
    const int triangle = d->is_lower ? UPPER : LOWER, transpose = d->transpose ? TRANSPOSED : PLAIN;
    const void *t = address(&d->t, d->dtype);
    void *x = address(&d->x, d->dtype);
    const int m = (int)d->order, n = (int)d->n, ldt = (int)d->t.stride, ldx = (int)d->x.stride;
    if (d->dtype == KCL_F32) {
        const float one = 1;
        const int code =
            dense->cublas.strsm(dense->handle, LEFT, triangle, transpose, NON_UNIT, m, n, &one, t, ldt, x, ldx);
        return code ? cublas_failed(c, "cublasStrsm", code) : KCL_OK;
    }
    const double one = 1;
    const int code =
        dense->cublas.dtrsm(dense->handle, LEFT, triangle, transpose, NON_UNIT, m, n, &one, t, ldt, x, ldx);
    return code ? cublas_failed(c, "cublasDtrsm", code) : KCL_OK;
}

/* ---- Either ------------------------------------------------------------------------------------------------------ */

static kcl_status by_cublas(kcl_context *c, struct kd_dense *dense, const kd_product *p, const kd_division *d)
{
    const kd_cuda_queue *queue = (const kd_cuda_queue *)c->queue;
    bool entered;
    const CUresult result = kd_cuda_enter(queue->context, &entered);
    kcl_status status = result ? kd_cl_fail(&c->error, &c->device->info, "cuCtxPushCurrent", kd_cuda_code(result), NULL)
                               : use_stream(c, dense);
    if (status >= 0)
        status = p ? cublas_gemm(c, dense, p) : cublas_trsm(c, dense, d);
    kd_cuda_leave(entered);
    c->launches++;
    return status;
}

kcl_status kd_gpu_gemm(kcl_context *c, const kd_product *p)
{
    struct kd_dense *dense;
    const kcl_status status = kd_dense_get(c, &dense);
    if (status < 0)
        return status;
    kd_take_turn(c);
    return dense->way == KD_DENSE_CUBLAS ? by_cublas(c, dense, p, NULL) : clblast_gemm(c, &dense->clblast, p);
}

kcl_status kd_gpu_trsm(kcl_context *c, const kd_division *d)
{
    struct kd_dense *dense;
    const kcl_status status = kd_dense_get(c, &dense);
    if (status < 0)
        return status;
    kd_take_turn(c);
    return dense->way == KD_DENSE_CUBLAS ? by_cublas(c, dense, NULL, d) : clblast_trsm(c, &dense->clblast, d);
}

/* A cuBLAS that is too new for the driver loads all the same, and makes no handle. */
static bool accept_cublas(void *user, void *library, const char *name, char *why, size_t size)
{
    kcl_context *c = user;
    struct kd_dense *dense = c->dense;
    const kd_cuda_queue *queue = (const kd_cuda_queue *)c->queue;
    bool entered;
    if (!kd_cublas_accept(&dense->cublas, library, name, why, size))
        return false;
    int code = kd_cuda_enter(queue->context, &entered);
    if (code)
        snprintf(why, size, "cuCtxPushCurrent failed: %d", code);
    else if ((code = dense->cublas.create(&dense->handle)))
        snprintf(why, size, "cublasCreate of %.100s failed: CUBLAS_STATUS_%s (%d)", name, status_name(code), code);
    kd_cuda_leave(entered);
    if (code)
        dense->handle = NULL;
    return !code;
}

bool kd_gpu_open(kcl_context *c, struct kd_dense *d)
{
    char name[KD_PATH];
    if (c->is_cuda && !d->has_cublas && kd_cuda_captures(c->queue))
        snprintf(d->why, sizeof d->why, "cuBLAS cannot be opened while the stream is captured");
    else if (c->is_cuda && !d->has_cublas)
        d->has_cublas = kd_library_open(&kd_library_cublas, accept_cublas, c, name, d->why, sizeof d->why);
    if (c->is_cuda)
        return d->has_cublas;
    if (!d->has_clblast)
        d->has_clblast =
            kd_library_open(&kd_library_clblast, kd_clblast_accept, &d->clblast, name, d->why, sizeof d->why);
    if (!d->has_clblast)
        return false;
    /* CLBlast keeps programs, and with them the cl_context, until it is told that they are not needed. */
    pthread_mutex_lock(&c->device->lock);
    c->device->clear_clblast = d->clblast.clear_cache;
    pthread_mutex_unlock(&c->device->lock);
    return true;
}

void kd_gpu_end(kcl_context *c, struct kd_dense *dense)
{
    if (!dense->handle)
        return;
    bool entered;
    const kd_cuda_queue *queue = (const kd_cuda_queue *)c->queue;
    if (!kd_cuda_enter(queue->context, &entered))
        dense->cublas.destroy(dense->handle);
    kd_cuda_leave(entered);
    dense->handle = NULL;
}
