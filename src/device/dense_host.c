/* SPDX-License-Identifier: MIT */
/* device/dense_host.c: dense algebra on memory of the host, by CBLAS and LAPACK, or by plain loops. */
#include "dense_internal.h"

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void *start(const kd_elements *p, kcl_dtype dtype)
{
    return kd_at(p->host, dtype, p->offset);
}

static void put_number(void *to, kcl_dtype dtype, double value)
{
    const float single = (float)value;
    memcpy(to, dtype == KCL_F32 ? (const void *)&single : &value, kb_dtype_size(dtype));
}

/* ---- Threads of the library -------------------------------------------------------------------------------------- */

/*
 * OpenBLAS has one number of threads for the process. A context that has fewer lowers the number during a call. Where
 * another call has lowered the number at the time, that number serves; nobody waits, so a fork cannot leave the lock
 * held against its child.
 */
static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;

static int lower_threads(const kd_blas *b, int threads)
{
    if (!b->get_threads || !b->set_threads || b->get_threads() <= threads || pthread_mutex_trylock(&threads_lock) != 0)
        return 0;
    const int before = b->get_threads();
    b->set_threads(threads);
    return before;
}

static void restore_threads(const kd_blas *b, int before)
{
    if (!before)
        return;
    b->set_threads(before);
    pthread_mutex_unlock(&threads_lock);
}

static bool fits(size_t a, size_t b, size_t c)
{
    return a <= INT_MAX && b <= INT_MAX && c <= INT_MAX;
}

/* ---- Products by plain loops ------------------------------------------------------------------------------------- */

/*
 * Tiles of C, each summed in double over all products: the sums are as exact as the type of C allows. The parts of A
 * and B that a tile needs are first put in order and in double, so there is one loop for all types and transpositions.
 */
typedef struct tiling {
    const kd_product *p;
    kcl_dtype result; /* type of C */
    size_t across;    /* tiles in a row of tiles */
    double *room;     /* three tiles a worker */
} tiling;

/* Copies op(A)'s rows from `row` and columns from `column` to tile[rows][columns]. */
static void pack(double *tile, const kd_elements *a, kcl_dtype dtype, bool transpose, size_t row, size_t column,
                 size_t rows, size_t columns)
{
    const char *from = start(a, dtype);
    const size_t size = kb_dtype_size(dtype);
    const size_t down = (transpose ? 1 : a->stride) * size, right = (transpose ? a->stride : 1) * size;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            tile[i * columns + j] = kb_number(from + (row + i) * down + (column + j) * right, dtype);
}

static void tile_of(void *user, int64_t number, int worker)
{
    const tiling *t = user;
    const kd_product *p = t->p;
    double *a = t->room + (size_t)worker * 3 * KD_TILE * KD_TILE, *b = a + KD_TILE * KD_TILE,
           *c = b + KD_TILE * KD_TILE;
    const size_t row = (size_t)number / t->across * KD_TILE, column = (size_t)number % t->across * KD_TILE;
    const size_t rows = KB_MIN(KD_TILE, p->m - row), columns = KB_MIN(KD_TILE, p->n - column);
    memset(c, 0, rows * columns * sizeof *c);
    for (size_t first = 0; first < p->k && p->alpha != 0; first += KD_TILE) {
        const size_t count = KB_MIN(KD_TILE, p->k - first);
        pack(a, &p->a, p->dtype, p->transpose_a, row, first, rows, count);
        pack(b, &p->b, p->dtype, p->transpose_b, first, column, count, columns);
        for (size_t i = 0; i < rows; i++) {
            double *restrict sum = c + i * columns;
            for (size_t k = 0; k < count; k++) {
                const double factor = a[i * count + k];
                const double *restrict from = b + k * columns;
                for (size_t j = 0; j < columns; j++)
                    sum[j] += factor * from[j];
            }
        }
    }
    for (size_t i = 0; i < rows; i++) {
        char *to = kd_at(start(&p->c, t->result), t->result, (row + i) * p->c.stride + column);
        for (size_t j = 0; j < columns; j++, to += kb_dtype_size(t->result))
            put_number(to, t->result,
                       p->alpha * c[i * columns + j] + (p->beta != 0 ? p->beta * kb_number(to, t->result) : 0));
    }
}

static kcl_status multiply_by_loops(kcl_context *c, const kd_product *p, kcl_dtype result)
{
    const size_t down = (p->m + KD_TILE - 1) / KD_TILE, across = (p->n + KD_TILE - 1) / KD_TILE;
    const int threads = (int)KB_MIN((size_t)kd_threads(c), down * across);
    tiling t = {p, result, across, kb_alloc(&c->allocator, (size_t)threads * 3 * KD_TILE * KD_TILE * sizeof *t.room)};
    if (!t.room)
        return kb_no_memory(&c->error);
    kb_parallel_for(threads, (int64_t)(down * across), tile_of, &t);
    kb_free(&c->allocator, t.room);
    return KCL_OK;
}

kcl_status kd_host_gemm(kcl_context *c, const kd_product *p)
{
    struct kd_dense *dense;
    kcl_status status = kd_dense_get(c, &dense);
    if (status < 0 || !p->m || !p->n)
        return status;
    const kd_blas *b = &dense->blas;
    const bool small = fits(p->m, p->n, p->k) && fits(p->a.stride, p->b.stride, p->c.stride);
    if (!b->has_cblas || !small || !p->k || p->alpha == 0)
        return multiply_by_loops(c, p, p->dtype);
    const int before = lower_threads(b, kd_threads(c));
    const int ta = p->transpose_a ? KD_TRANSPOSED : KD_PLAIN, tb = p->transpose_b ? KD_TRANSPOSED : KD_PLAIN;
    const int m = (int)p->m, n = (int)p->n, k = (int)p->k;
    const int lda = (int)p->a.stride, ldb = (int)p->b.stride, ldc = (int)p->c.stride;
    const void *at_a = start(&p->a, p->dtype), *at_b = start(&p->b, p->dtype);
    void *at_c = start(&p->c, p->dtype);
    if (p->dtype == KCL_F32)
        b->sgemm(KD_ROW_MAJOR, ta, tb, m, n, k, (float)p->alpha, at_a, lda, at_b, ldb, (float)p->beta, at_c, ldc);
    else
        b->dgemm(KD_ROW_MAJOR, ta, tb, m, n, k, p->alpha, at_a, lda, at_b, ldb, p->beta, at_c, ldc);
    restore_threads(b, before);
    return KCL_OK;
}

/* ---- Gram matrices ----------------------------------------------------------------------------------------------- */

void kd_add_lower(kcl_dtype dtype, double alpha, size_t order, const void *s, double beta, double *c, size_t stride)
{
    for (size_t i = 0; i < order; i++) {
        double *to = c + i * stride;
        const float *singles = (const float *)s + i * order;
        const double *doubles = (const double *)s + i * order;
        for (size_t j = 0; beta != 1 && j <= i; j++)
            to[j] = beta != 0 ? beta * to[j] : 0;
        if (dtype == KCL_F32)
            for (size_t j = 0; j <= i; j++)
                to[j] += alpha * (double)singles[j];
        else
            for (size_t j = 0; j <= i; j++)
                to[j] += alpha * doubles[j];
    }
}

void kd_copy_to_upper(size_t order, double *c, size_t stride)
{
    for (size_t i = 0; i < order; i++)
        for (size_t j = 0; j < i; j++)
            c[j * stride + i] = c[i * stride + j];
}

/* By pieces of rows, whose sums come in float32. */
static kcl_status gram_of_singles(kcl_context *c, const kd_blas *b, double alpha, size_t rows, size_t order,
                                  const kd_elements *a, double beta, double *to, size_t stride)
{
    float *sums = kb_calloc(&c->allocator, order * order, sizeof *sums);
    if (!sums)
        return kb_no_memory(&c->error);
    const int before = lower_threads(b, kd_threads(c));
    for (size_t first = 0; first < rows; first += KD_GRAM_ROWS) {
        const float *from = (const float *)start(a, KCL_F32) + first * a->stride;
        b->ssyrk(KD_ROW_MAJOR, KD_LOWER, KD_TRANSPOSED, (int)order, (int)KB_MIN(KD_GRAM_ROWS, rows - first), 1, from,
                 (int)a->stride, 0, sums, (int)order);
        kd_add_lower(KCL_F32, alpha, order, sums, first ? 1 : beta, to, stride);
    }
    restore_threads(b, before);
    kb_free(&c->allocator, sums);
    return KCL_OK;
}

kcl_status kd_host_gram(kcl_context *c, kcl_dtype dtype, double alpha, size_t rows, size_t order, const kd_elements *a,
                        double beta, double *to, size_t stride)
{
    struct kd_dense *dense;
    kcl_status status = kd_dense_get(c, &dense);
    if (status < 0)
        return status;
    const kd_blas *b = &dense->blas;
    if (!b->has_cblas || !rows || alpha == 0 || !fits(rows, a->stride, stride) || order > INT_MAX) {
        const kd_product p = {
            dtype, true, false, order, order, rows, alpha, beta, *a, *a, {.host = to, .stride = stride}};
        status = multiply_by_loops(c, &p, KCL_F64);
    } else if (dtype == KCL_F32) {
        status = gram_of_singles(c, b, alpha, rows, order, a, beta, to, stride);
    } else {
        const int before = lower_threads(b, kd_threads(c));
        b->dsyrk(KD_ROW_MAJOR, KD_LOWER, KD_TRANSPOSED, (int)order, (int)rows, alpha, start(a, dtype), (int)a->stride,
                 beta, to, (int)stride);
        restore_threads(b, before);
    }
    if (status >= 0)
        kd_copy_to_upper(order, to, stride);
    return status;
}

/* ---- Triangles --------------------------------------------------------------------------------------------------- */

typedef struct rows_to_divide {
    const kd_division *d;
    double *room; /* a row a worker */
} rows_to_divide;

/* Element (i, j) of op(T). */
static double of_triangle(const kd_division *d, size_t i, size_t j)
{
    const size_t at = d->transpose ? j * d->t.stride + i : i * d->t.stride + j;
    return kb_number(kd_at(start(&d->t, d->dtype), d->dtype, at), d->dtype);
}

/* Solves y op(T) = x for one row: y_j (j in the order of the triangle) is known once those before it are. */
static void divide_row(void *user, int64_t row, int worker)
{
    const rows_to_divide *r = user;
    const kd_division *d = r->d;
    const size_t n = d->order, size = kb_dtype_size(d->dtype);
    double *y = r->room + (size_t)worker * n;
    char *x = kd_at(start(&d->x, d->dtype), d->dtype, (size_t)row * d->x.stride);
    const bool upper = d->is_lower == d->transpose; /* op(T) is an upper triangle */
    for (size_t k = 0; k < n; k++) {
        const size_t j = upper ? k : n - 1 - k;
        double rest = kb_number(x + j * size, d->dtype);
        for (size_t l = 0; l < k; l++) {
            const size_t i = upper ? l : n - 1 - l;
            rest -= y[i] * of_triangle(d, i, j);
        }
        y[j] = rest / of_triangle(d, j, j);
    }
    for (size_t j = 0; j < n; j++)
        put_number(x + j * size, d->dtype, y[j]);
}

static kcl_status divide_by_loops(kcl_context *c, const kd_division *d)
{
    const int threads = (int)KB_MIN((size_t)kd_threads(c), d->n);
    rows_to_divide r = {d, kb_calloc(&c->allocator, (size_t)threads * d->order, sizeof *r.room)};
    if (!r.room)
        return kb_no_memory(&c->error);
    kb_parallel_for(threads, (int64_t)d->n, divide_row, &r);
    kb_free(&c->allocator, r.room);
    return KCL_OK;
}

kcl_status kd_host_trsm(kcl_context *c, const kd_division *d)
{
    struct kd_dense *dense;
    kcl_status status = kd_dense_get(c, &dense);
    if (status < 0 || !d->n || !d->order)
        return status;
    const kd_blas *b = &dense->blas;
    if (!b->has_cblas || !fits(d->n, d->x.stride, d->t.stride))
        return divide_by_loops(c, d);
    const int before = lower_threads(b, kd_threads(c));
    const int triangle = d->is_lower ? KD_LOWER : KD_UPPER, transpose = d->transpose ? KD_TRANSPOSED : KD_PLAIN;
    const void *t = start(&d->t, d->dtype);
    void *x = start(&d->x, d->dtype);
    if (d->dtype == KCL_F32)
        b->strsm(KD_ROW_MAJOR, KD_RIGHT, triangle, transpose, KD_NON_UNIT, (int)d->n, (int)d->order, 1, t,
                 (int)d->t.stride, x, (int)d->x.stride);
    else
        b->dtrsm(KD_ROW_MAJOR, KD_RIGHT, triangle, transpose, KD_NON_UNIT, (int)d->n, (int)d->order, 1, t,
                 (int)d->t.stride, x, (int)d->x.stride);
    restore_threads(b, before);
    return KCL_OK;
}

/* ---- Small matrices ---------------------------------------------------------------------------------------------- */

/* Four sums, which a processor can work on at the same time. */
static double dot(const double *a, const double *b, size_t n)
{
    double s[4] = {0};
    size_t k = 0;
    for (; k + 4 <= n; k += 4)
        for (size_t l = 0; l < 4; l++)
            s[l] += a[k + l] * b[k + l];
    for (; k < n; k++)
        s[0] += a[k] * b[k];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* Row by row: a row of L is known once the rows before it are. */
static void factorise(size_t n, double *a, size_t stride)
{
    for (size_t i = 0; i < n; i++) {
        double *row = a + i * stride;
        for (size_t j = 0; j < i; j++)
            row[j] = (row[j] - dot(row, a + j * stride, j)) / a[j * stride + j];
        const double rest = row[i] - dot(row, row, i);
        row[i] = rest > 0 ? sqrt(rest) : NAN;
        if (!(rest > 0))
            return;
    }
}

kcl_status kd_potrf(kcl_context *c, size_t n, double *a, size_t stride, size_t *failed)
{
    struct kd_dense *dense;
    kcl_status status = kd_dense_get(c, &dense);
    *failed = 0;
    if (status < 0)
        return status;
    const kd_blas *b = &dense->blas;
    if (b->has_lapack && fits(n, stride, 0) && n) {
        /* The lower triangle of rows is the upper one of columns, and L L' of rows is U'U of columns. */
        const int before = lower_threads(b, kd_threads(c)), order = (int)n, ld = (int)stride;
        int info = 0;
        b->dpotrf("U", &order, a, &ld, &info, 1);
        restore_threads(b, before);
        *failed = info > 0 ? (size_t)info : 0;
    } else {
        factorise(n, a, stride);
    }
    /* Not every LAPACK takes NaN for a failure. */
    const size_t known = *failed ? *failed - 1 : n;
    for (size_t i = 0; i < known; i++)
        if (!isfinite(a[i * stride + i])) {
            *failed = i + 1;
            break;
        }
    return KCL_OK;
}

kcl_status kd_trsm_left(kcl_context *c, size_t n, const double *t, size_t t_stride, bool is_lower, bool transpose,
                        size_t columns, double *b, size_t b_stride)
{
    struct kd_dense *dense;
    kcl_status status = kd_dense_get(c, &dense);
    if (status < 0 || !n || !columns)
        return status;
    const kd_blas *blas = &dense->blas;
    if (blas->has_cblas && fits(n, columns, t_stride) && b_stride <= INT_MAX) {
        const int before = lower_threads(blas, kd_threads(c));
        blas->dtrsm(KD_ROW_MAJOR, KD_LEFT, is_lower ? KD_LOWER : KD_UPPER, transpose ? KD_TRANSPOSED : KD_PLAIN,
                    KD_NON_UNIT, (int)n, (int)columns, 1, t, (int)t_stride, b, (int)b_stride);
        restore_threads(blas, before);
        return KCL_OK;
    }
    const bool forward = is_lower != transpose;
    for (size_t k = 0; k < n; k++) {
        const size_t i = forward ? k : n - 1 - k;
        double *row = b + i * b_stride;
        for (size_t l = 0; l < k; l++) {
            const size_t j = forward ? l : n - 1 - l;
            const double factor = transpose ? t[j * t_stride + i] : t[i * t_stride + j];
            for (size_t r = 0; r < columns; r++)
                row[r] -= factor * b[j * b_stride + r];
        }
        for (size_t r = 0; r < columns; r++)
            row[r] /= t[i * t_stride + i];
    }
    return KCL_OK;
}

kcl_status kd_potrs(kcl_context *c, size_t n, const double *l, size_t l_stride, size_t columns, double *b,
                    size_t b_stride)
{
    const kcl_status status = kd_trsm_left(c, n, l, l_stride, true, false, columns, b, b_stride);
    return status < 0 ? status : kd_trsm_left(c, n, l, l_stride, true, true, columns, b, b_stride);
}

static kcl_status eigenvalues(kcl_context *c, const kd_blas *b, int n, double *a, int stride, double *values,
                              const char *job)
{
    double need;
    int number_need, info = 0;
    const int ask = -1;
    b->dsyevd(job, "U", &n, a, &stride, values, &need, &ask, &number_need, &ask, &info, 1, 1);
    const int length = (int)need;
    double *work = info ? NULL : kb_calloc(&c->allocator, (size_t)length, sizeof *work);
    int *numbers = info ? NULL : kb_calloc(&c->allocator, (size_t)number_need, sizeof *numbers);
    if (work && numbers)
        b->dsyevd(job, "U", &n, a, &stride, values, work, &length, numbers, &number_need, &info, 1, 1);
    const bool has_memory = info || (work && numbers);
    kb_free(&c->allocator, work);
    kb_free(&c->allocator, numbers);
    if (!has_memory)
        return kb_no_memory(&c->error);
    return !info ? KCL_OK
                 : kb_fail(&c->error, KCL_ERROR_INTERNAL,
                           "dsyevd of %s did not find the eigenvalues of a matrix of order %d: info is %d", b->name, n,
                           info);
}

kcl_status kd_syevd(kcl_context *c, size_t n, double *a, size_t stride, double *values, bool vectors)
{
    struct kd_dense *dense;
    kcl_status status = kd_dense_get(c, &dense);
    if (status < 0)
        return status;
    const kd_blas *b = &dense->blas;
    if (!b->has_lapack)
        return kb_fail(&c->error, KCL_ERROR_UNSUPPORTED, "eigenvalues need LAPACK: %s", b->why);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            if (!isfinite(a[i * stride + j]))
                return kb_fail(&c->error, KCL_ERROR_ARGUMENT,
                               "a matrix of order %zu has no eigenvalues: its element (%zu, %zu) is %g", n, i, j,
                               a[i * stride + j]);
    /* The numbers that count the work of dsyevd have 32 bits: it is 1 + 6 n + 2 n^2. */
    if (n > 32000 || stride > INT_MAX)
        return kb_fail(&c->error, KCL_ERROR_ARGUMENT,
                       "eigenvalues of a matrix of order %zu are too many for LAPACK: at "
                       "most 32000",
                       n);
    if (!n)
        return KCL_OK;
    const int before = lower_threads(b, kd_threads(c));
    status = eigenvalues(c, b, (int)n, a, (int)stride, values, vectors ? "V" : "N");
    restore_threads(b, before);
    return status;
}
