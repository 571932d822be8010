/* SPDX-License-Identifier: MIT */
/*
 * A simulated cuBLAS for the simulated CUDA driver (../fake_cuda): matrices of columns, as NVIDIA documents them,
 * fetched from the device, computed in double by plain loops, and put back in the order of the stream. A handle
 * remembers the context that was current when it was made, and is refused in others, as NVIDIA's is. FAKE_CUBLAS_FAIL
 * names a function that fails.
 */
#include "../fake_cuda/cuda_abi.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { SUCCESS = 0, NOT_INITIALIZED = 1, ALLOC_FAILED = 3, INVALID_VALUE = 7, EXECUTION_FAILED = 13 };

#define CU_CALL(name, parameters) extern cu_result name parameters;
CU_CALLS(CU_CALL)
#undef CU_CALL

typedef struct handle {
    void *context, *stream;
} handle;

static int fails(const char *name)
{
    const char *failing = getenv("FAKE_CUBLAS_FAIL");
    return failing && strcmp(failing, name) == 0;
}

EXPORT int cublasCreate_v2(handle **h)
{
    void *context = NULL;
    if (fails("cublasCreate"))
        return ALLOC_FAILED;
    if (cuCtxGetCurrent(&context) || !context)
        return NOT_INITIALIZED;
    *h = calloc(1, sizeof **h);
    if (!*h)
        return ALLOC_FAILED;
    (*h)->context = context;
    return SUCCESS;
}

static int is_current(const handle *h)
{
    void *context = NULL;
    return h && !cuCtxGetCurrent(&context) && context == h->context;
}

EXPORT int cublasDestroy_v2(handle *h)
{
    if (!is_current(h))
        return NOT_INITIALIZED;
    free(h);
    return SUCCESS;
}

EXPORT int cublasSetStream_v2(handle *h, void *stream)
{
    if (!is_current(h))
        return NOT_INITIALIZED;
    h->stream = stream;
    return SUCCESS;
}

/* A matrix of columns, of numbers of `size` bytes, and the memory of the device from its first to its last element. */
typedef struct columns {
    size_t size, rows, count, ld;
    char *data;
} columns;

static size_t bytes_of(const columns *a)
{
    return a->rows && a->count ? ((a->count - 1) * a->ld + a->rows) * a->size : 0;
}

static double get(const columns *a, size_t i, size_t j)
{
    const char *at = a->data + (j * a->ld + i) * a->size;
    float single;
    double number;
    memcpy(&single, at, sizeof single);
    memcpy(&number, at, a->size == sizeof number ? sizeof number : 0);
    return a->size == sizeof number ? number : (double)single;
}

static void set(const columns *a, size_t i, size_t j, double number)
{
    const float single = (float)number;
    memcpy(a->data + (j * a->ld + i) * a->size, a->size == sizeof single ? (const void *)&single : &number, a->size);
}

/* Zero: done. The stream is waited for, which a real one would not be. */
static int fetch(const handle *h, columns *a, const void *from)
{
    a->data = malloc(bytes_of(a) + sizeof(double));
    if (!a->data || cuMemcpyDtoHAsync_v2(a->data, (cu_pointer)(uintptr_t)from, bytes_of(a), h->stream))
        return EXECUTION_FAILED;
    return cuStreamSynchronize(h->stream) ? EXECUTION_FAILED : SUCCESS;
}

static int put_back(const handle *h, columns *a, void *to)
{
    if (cuMemcpyHtoDAsync_v2((cu_pointer)(uintptr_t)to, a->data, bytes_of(a), h->stream))
        return EXECUTION_FAILED;
    return cuStreamSynchronize(h->stream) ? EXECUTION_FAILED : SUCCESS;
}

/* The columns of a matrix, or its rows, one after another. */
static double *lines(const columns *a, int of_rows)
{
    double *all = calloc(a->rows * a->count + 1, sizeof *all);
    for (size_t j = 0; all && a->data && j < a->count; j++)
        for (size_t i = 0; i < a->rows; i++)
            all[of_rows ? i * a->count + j : j * a->rows + i] = get(a, i, j);
    if (!all)
        abort();
    return all;
}

static int gemm(const handle *h, size_t size, int ta, int tb, int m, int n, int k, double alpha, const void *a, int lda,
                const void *b, int ldb, double beta, void *c, int ldc)
{
    if (!is_current(h))
        return NOT_INITIALIZED;
    if (m < 0 || n < 0 || k < 0 || lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m || lda < 1 || ldb < 1 || ldc < 1)
        return INVALID_VALUE;
    columns x = {size, (size_t)(ta ? k : m), (size_t)(ta ? m : k), (size_t)lda, NULL};
    columns y = {size, (size_t)(tb ? n : k), (size_t)(tb ? k : n), (size_t)ldb, NULL};
    columns z = {size, (size_t)m, (size_t)n, (size_t)ldc, NULL};
    int code = fetch(h, &x, a);
    if (!code)
        code = fetch(h, &y, b);
    if (!code)
        code = fetch(h, &z, c);
    double *left = lines(&x, !ta), *right = lines(&y, tb); /* rows of op(A), columns of op(B) */
    for (size_t j = 0; j < z.count && !code; j++)
        for (size_t i = 0; i < z.rows; i++) {
            const double *from = left + i * (size_t)k, *with = right + j * (size_t)k;
            double sum = 0;
            for (size_t l = 0; l < (size_t)k; l++)
                sum += from[l] * with[l];
            set(&z, i, j, alpha * sum + (beta != 0 ? beta * get(&z, i, j) : 0));
        }
    free(left);
    free(right);
    if (!code)
        code = put_back(h, &z, c);
    free(x.data);
    free(y.data);
    free(z.data);
    return code;
}

/* Solves op(T) Y = alpha X for the columns of X, which the library asks for: the triangle is on the left. */
static int trsm(const handle *h, size_t size, int side, int is_upper, int transpose, int is_unit, int m, int n,
                double alpha, const void *t, int ldt, void *x, int ldx)
{
    if (!is_current(h))
        return NOT_INITIALIZED;
    if (side != 0 || is_unit || m < 0 || n < 0 || ldt < m || ldx < m || ldt < 1)
        return INVALID_VALUE;
    columns a = {size, (size_t)m, (size_t)m, (size_t)ldt, NULL}, b = {size, (size_t)m, (size_t)n, (size_t)ldx, NULL};
    int code = fetch(h, &a, t);
    if (!code)
        code = fetch(h, &b, x);
    const int is_forward = is_upper == transpose;
    for (size_t j = 0; j < b.count && !code; j++)
        for (size_t k = 0; k < b.rows; k++) {
            const size_t i = is_forward ? k : b.rows - 1 - k;
            double rest = alpha * get(&b, i, j);
            for (size_t l = 0; l < k; l++) {
                const size_t before = is_forward ? l : b.rows - 1 - l;
                rest -= (transpose ? get(&a, before, i) : get(&a, i, before)) * get(&b, before, j);
            }
            set(&b, i, j, rest / get(&a, i, i));
        }
    if (!code)
        code = put_back(h, &b, x);
    free(a.data);
    free(b.data);
    return code;
}

#define GEMM(name, number)                                                                                             \
    EXPORT int name(handle *h, int ta, int tb, int m, int n, int k, const number *alpha, const number *a, int lda,     \
                    const number *b, int ldb, const number *beta, number *c, int ldc)                                  \
    {                                                                                                                  \
        return fails(#name)                                                                                            \
                   ? EXECUTION_FAILED                                                                                  \
                   : gemm(h, sizeof(number), ta, tb, m, n, k, (double)*alpha, a, lda, b, ldb, (double)*beta, c, ldc);  \
    }
GEMM(cublasSgemm_v2, float)
GEMM(cublasDgemm_v2, double)

#define TRSM(name, number)                                                                                             \
    EXPORT int name(handle *h, int side, int is_upper, int transpose, int is_unit, int m, int n, const number *alpha,  \
                    const number *t, int ldt, number *x, int ldx)                                                      \
    {                                                                                                                  \
        return fails(#name) ? EXECUTION_FAILED                                                                         \
                            : trsm(h, sizeof(number), side, is_upper, transpose, is_unit, m, n, (double)*alpha, t,     \
                                   ldt, x, ldx);                                                                       \
    }
TRSM(cublasStrsm_v2, float)
TRSM(cublasDtrsm_v2, double)
