/* SPDX-License-Identifier: MIT */
/*
 * device/dense.c: dense algebra on matrices of the device: checks, and the way to a library. Kernels and the host work on
 * the same memory where a device works in place: there the memory is mapped, and CBLAS computes. On other devices a
 * library of the device computes, or pieces are copied to the host and back.
 */
#include "dense_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- The state of a context ------------------------------------------------------------------------------------------ */

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

/* Gram matrices of pieces that are on their way to the host at the same time. */
static size_t gram_slots(size_t order)
{
    return KB_MAX(KD_SPLIT / (order * order), 1);
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

/* ---- Checks ---------------------------------------------------------------------------------------------------------- */

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

static kd_elements place_of(const kd_matrix *m)
{
    return (kd_elements){m->buffer, m->host, m->offset, m->stride};
}

/* ---- Pieces ---------------------------------------------------------------------------------------------------------- */

/*
 * Sizes of the pieces in which a product is computed, so that none has more than KD_SPLIT elements: CLBlast copies its
 * operands, filled up to multiples of 128 in each direction, and so does the way by the host, with what lies between rows.
 */
typedef struct piece {
    size_t m, n, k;
} piece;

static size_t elements(size_t rows, size_t columns, size_t stride)
{
    const size_t across = KB_MAX(KB_MAX(columns, stride), 128);
    return KB_MAX(rows, 128) > SIZE_MAX / across ? SIZE_MAX : KB_MAX(rows, 128) * across;
}

static size_t of_operand(bool transposed, size_t rows, size_t columns, size_t stride)
{
    return transposed ? elements(columns, rows, stride) : elements(rows, columns, stride);
}

/* Halves the longer of two lengths, or the one that makes the operand smaller where its rows are `stride` apart. */
static void halve(size_t *rows, size_t *columns, bool only_rows)
{
    size_t *longer = *rows >= *columns || (only_rows && *rows > 1) ? rows : columns;
    *longer = (*longer + 1) / 2;
}

static piece split(const kd_product *p, bool with_gaps)
{
    piece s = {p->m, p->n, p->k};
    const size_t a = with_gaps ? p->a.stride : 0, b = with_gaps ? p->b.stride : 0, c = with_gaps ? p->c.stride : 0;
    while (s.m * s.k > 1 && of_operand(p->transpose_a, s.m, s.k, a) > KD_SPLIT) {
        if (p->transpose_a)
            halve(&s.k, &s.m, a > 0);
        else
            halve(&s.m, &s.k, a > 0);
        if (a && (p->transpose_a ? s.k : s.m) == 1)
            break;
    }
    while (s.k * s.n > 1 && of_operand(p->transpose_b, s.k, s.n, b) > KD_SPLIT) {
        if (p->transpose_b)
            halve(&s.n, &s.k, b > 0);
        else
            halve(&s.k, &s.n, b > 0);
        if (b && (p->transpose_b ? s.n : s.k) == 1)
            break;
    }
    while (s.m * s.n > 1 && of_operand(false, s.m, s.n, c) > KD_SPLIT) {
        halve(&s.m, &s.n, c > 0);
        if (c && s.m == 1)
            break;
    }
    return s;
}

/* Calls `work` for all pieces of the product; those of a sum come one after another. */
static kcl_status by_pieces(kcl_context *c, const kd_product *p, piece s, void *user,
                            kcl_status (*work)(kcl_context *c, const kd_product *p, void *user))
{
    kcl_status status = KCL_OK;
    for (size_t i = 0; i < p->m && status >= 0; i += s.m)
        for (size_t j = 0; j < p->n && status >= 0; j += s.n)
            for (size_t l = 0; (l < p->k || !l) && status >= 0; l += KB_MAX(s.k, 1)) {
                kd_product q = *p;
                q.m = KB_MIN(s.m, p->m - i);
                q.n = KB_MIN(s.n, p->n - j);
                q.k = KB_MIN(s.k, p->k - l);
                q.beta = l ? 1 : p->beta;
                q.a.offset += p->transpose_a ? l * p->a.stride + i : i * p->a.stride + l;
                q.b.offset += p->transpose_b ? j * p->b.stride + l : l * p->b.stride + j;
                q.c.offset += i * p->c.stride + j;
                status = work(c, &q, user);
            }
    return status;
}

static kcl_status gpu_piece(kcl_context *c, const kd_product *p, void *user)
{
    (void)user;
    return kd_gpu_gemm(c, p);
}

/* ---- In place -------------------------------------------------------------------------------------------------------- */

enum { MOST_MAPPED = 3 };

/* Buffers that the host works on, each mapped once. */
typedef struct mapping {
    kd_buffer *buffers[MOST_MAPPED];
    void *at[MOST_MAPPED];
    int count;
} mapping;

/* Waits for earlier work, and puts the address of the buffer into the place. */
static kcl_status map(kcl_context *c, mapping *m, kd_elements *p)
{
    cl_int code = 0;
    for (int k = 0; p->buffer && k < m->count; k++)
        if (m->buffers[k] == p->buffer)
            p->host = m->at[k];
    if (!p->buffer || p->host)
        return KCL_OK;
    kd_take_turn(c);
    p->host = c->device->cl.clEnqueueMapBuffer(c->queue, p->buffer->mem, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                               p->buffer->size, 0, NULL, NULL, &code);
    if (!p->host)
        return kd_cl_fail(&c->error, &c->device->info, "clEnqueueMapBuffer", code, ", for dense algebra");
    m->buffers[m->count] = p->buffer;
    m->at[m->count++] = p->host;
    return KCL_OK;
}

static kcl_status unmap(kcl_context *c, const mapping *m, kcl_status status)
{
    for (int k = 0; k < m->count; k++) {
        cl_event event = NULL;
        const cl_int code = c->device->cl.clEnqueueUnmapMemObject(c->queue, m->buffers[k]->mem, m->at[k], 0, NULL,
                                                                  c->device->takes_turns ? &event : NULL);
        kd_note_last(c, event);
        c->launches++;
        if (code && status >= 0)
            status = kd_cl_fail(&c->error, &c->device->info, "clEnqueueUnmapMemObject", code, ", for dense algebra");
    }
    return status;
}

static kcl_status gemm_in_place(kcl_context *c, kd_product p)
{
    mapping m = {.count = 0};
    kcl_status status = map(c, &m, &p.a);
    if (status >= 0)
        status = map(c, &m, &p.b);
    if (status >= 0)
        status = map(c, &m, &p.c);
    if (status >= 0)
        status = kd_host_gemm(c, &p);
    return unmap(c, &m, status);
}

/* ---- On copies ------------------------------------------------------------------------------------------------------- */

/* Host memory for the operands of a piece. */
typedef struct copies {
    void *at[3];
    size_t bytes[3];
} copies;

/* After a failure the device may still be copying. */
static kcl_status free_copies(kcl_context *c, copies *s, kcl_status status)
{
    if (status < 0)
        kd_wait_for_queue(c);
    for (size_t k = 0; k < KB_COUNT(s->at); k++)
        kb_free(&c->allocator, s->at[k]);
    return status;
}

/* Elements from the first to the last one of a part of a matrix. */
static size_t span(size_t rows, size_t columns, size_t stride)
{
    return rows && columns ? (rows - 1) * stride + columns : 0;
}

/* Copies the part to host memory, if it is to be read, and makes the place one of the host. */
static kcl_status fetch(kcl_context *c, copies *s, size_t index, kcl_dtype dtype, kd_elements *p, size_t count,
                        bool read)
{
    const size_t bytes = count * kb_dtype_size(dtype);
    if (!p->buffer || !count)
        return KCL_OK;
    if (s->bytes[index] < bytes) {
        kb_free(&c->allocator, s->at[index]);
        s->bytes[index] = 0;
        s->at[index] = kb_alloc(&c->allocator, bytes);
        if (!s->at[index])
            return kb_no_memory(&c->error);
        s->bytes[index] = bytes;
    }
    const kcl_status status =
        read ? kd_read(c, p->buffer, p->offset * kb_dtype_size(dtype), s->at[index], bytes) : KCL_OK;
    p->host = s->at[index];
    p->offset = 0;
    return status;
}

static kcl_status put_back(kcl_context *c, const kd_elements *from, const kd_elements *to, kcl_dtype dtype,
                           size_t count)
{
    const size_t size = kb_dtype_size(dtype);
    const kcl_status status = kd_write(c, to->buffer, to->offset * size, from->host, count * size);
    return status < 0 ? status : kd_wait_for_queue(c);
}

static kcl_status copied_piece(kcl_context *c, const kd_product *p, void *user)
{
    copies *s = user;
    kd_product q = *p;
    const size_t in_c = span(p->m, p->n, p->c.stride);
    const size_t in_a = p->transpose_a ? span(p->k, p->m, p->a.stride) : span(p->m, p->k, p->a.stride);
    const size_t in_b = p->transpose_b ? span(p->n, p->k, p->b.stride) : span(p->k, p->n, p->b.stride);
    kcl_status status = fetch(c, s, 0, p->dtype, &q.a, in_a, true);
    if (status >= 0)
        status = fetch(c, s, 1, p->dtype, &q.b, in_b, true);
    if (status >= 0)
        status = fetch(c, s, 2, p->dtype, &q.c, in_c, p->beta != 0 || p->c.stride > p->n);
    if (status >= 0)
        status = kd_wait_for_queue(c);
    if (status >= 0)
        status = kd_host_gemm(c, &q);
    return status < 0 ? status : put_back(c, &q.c, &p->c, p->dtype, in_c);
}

static kcl_status gemm_on_copies(kcl_context *c, const kd_product *p)
{
    copies s = {.bytes = {0}};
    return free_copies(c, &s, by_pieces(c, p, split(p, true), &s, copied_piece));
}

/* ---- Products -------------------------------------------------------------------------------------------------------- */

static kcl_status gemm_on_device(kcl_context *c, const kd_product *p, kd_dense_way way)
{
    const bool is_sum = p->k && p->alpha != 0; /* else C is scaled, for which CLBlast has no function */
    const size_t most = KB_MAX(KB_MAX(p->m, p->n), KB_MAX(p->k, KB_MAX(p->a.stride, KB_MAX(p->b.stride, p->c.stride))));
    if (way == KD_DENSE_IN_PLACE)
        return gemm_in_place(c, *p);
    if (way == KD_DENSE_CUBLAS && is_sum && most <= INT_MAX)
        return kd_gpu_gemm(c, p);
    if (way == KD_DENSE_CLBLAST && is_sum)
        return by_pieces(c, p, split(p, false), NULL, gpu_piece);
    return gemm_on_copies(c, p);
}

kcl_status kd_gemm(kcl_context *c, kcl_dtype dtype, bool ta, bool tb, double alpha, const kd_matrix *a,
                   const kd_matrix *b, double beta, const kd_matrix *to)
{
    struct kd_dense *dense;
    kcl_status status = check_product(c, dtype, ta, tb, a, b, to);
    if (status >= 0)
        status = kd_dense_get(c, &dense);
    if (status < 0)
        return note(c, to, status);
    const kd_product p = {dtype, ta,   tb,          to->rows,    to->columns, ta ? a->rows : a->columns,
                          alpha, beta, place_of(a), place_of(b), place_of(to)};
    if (!p.m || !p.n || ((!p.k || alpha == 0) && beta == 1))
        return KCL_OK;
    return note(c, to, to->buffer ? gemm_on_device(c, &p, dense->way) : kd_host_gemm(c, &p));
}

/* ---- Gram matrices --------------------------------------------------------------------------------------------------- */

/* Adds the matrices of pieces of rows in double, where the device has it; else they go to the host one by one. */
static const char sum_source[] =
    "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"
    "__kernel void add(__global const float *restrict pieces, long square, int count, __global double *restrict sums,\n"
    "                  int is_first)\n"
    "{\n"
    "    const long e = get_global_id(0);\n"
    "    if (e >= square)\n"
    "        return;\n"
    "    double sum = is_first ? 0 : sums[e];\n"
    "    for (int k = 0; k < count; k++)\n"
    "        sum += pieces[k * square + e];\n"
    "    sums[e] = sum;\n"
    "}\n";

/* A Gram matrix on its way. */
typedef struct gram_work {
    kcl_dtype dtype;
    kd_dense_way way;
    size_t order, square;
    kd_buffer *pieces; /* matrices of pieces of rows */
    kd_buffer *sums;   /* in double; NULL: the host adds */
    kd_kernel *kernel;
    void *host; /* room for what comes from the device at once */
    double alpha, beta, *to;
    size_t stride;
} gram_work;

/* Fetches `count` matrices of a type from the device and adds them. */
static kcl_status add_on_host(kcl_context *c, gram_work *g, kd_buffer *from, kcl_dtype dtype, size_t count)
{
    const size_t size = kb_dtype_size(dtype);
    kcl_status status = kd_read(c, from, 0, g->host, count * g->square * size);
    if (status >= 0)
        status = kd_wait_for_queue(c);
    for (size_t k = 0; k < count && status >= 0; k++, g->beta = 1)
        kd_add_lower(dtype, g->alpha, g->order, kd_at(g->host, dtype, k * g->square), g->beta, g->to, g->stride);
    return status;
}

static kcl_status add_on_device(kcl_context *c, gram_work *g, int count, bool is_first)
{
    enum { GROUP = 64 };
    const int64_t square = (int64_t)g->square;
    const int first = is_first;
    const size_t global[3] = {(g->square + GROUP - 1) / GROUP * GROUP, 1, 1}, local[3] = {GROUP, 1, 1};
    return kd_launch(c, g->kernel, 5,
                     (kd_arg[]){{KD_ARG_BUFFER, NULL, 0, g->pieces},
                                {KD_ARG_VALUE, &square, sizeof square, NULL},
                                {KD_ARG_VALUE, &count, sizeof count, NULL},
                                {KD_ARG_BUFFER, NULL, 0, g->sums},
                                {KD_ARG_VALUE, &first, sizeof first, NULL}},
                     global, local);
}

static kcl_status multiply_and_add(kcl_context *c, gram_work *g, const kd_matrix *a, size_t slots)
{
    const size_t rows = g->dtype == KCL_F32 ? KD_GRAM_ROWS : a->rows, pieces = (a->rows + rows - 1) / rows;
    kcl_status status = KCL_OK;
    for (size_t first = 0; first < pieces && status >= 0; first += slots) {
        const size_t count = KB_MIN(slots, pieces - first);
        for (size_t k = 0; k < count && status >= 0; k++) {
            const size_t row = (first + k) * rows;
            kd_product p = {.dtype = g->dtype, .transpose_a = true, .m = g->order, .n = g->order, .alpha = 1};
            p.k = KB_MIN(rows, a->rows - row);
            p.a = place_of(a);
            p.a.offset += row * a->stride;
            p.b = p.a;
            p.c = (kd_elements){.buffer = g->pieces, .offset = k * g->square, .stride = g->order};
            status = gemm_on_device(c, &p, g->way);
        }
        if (status >= 0)
            status = g->sums ? add_on_device(c, g, (int)count, !first) : add_on_host(c, g, g->pieces, g->dtype, count);
    }
    return status < 0 || !g->sums ? status : add_on_host(c, g, g->sums, KCL_F64, 1);
}

static kcl_status gram_by_gpu(kcl_context *c, gram_work g, const kd_matrix *a)
{
    const size_t size = kb_dtype_size(g.dtype);
    const size_t slots = g.dtype == KCL_F32 ? KB_MIN(gram_slots(g.order), (a->rows - 1) / KD_GRAM_ROWS + 1) : 1;
    const bool adds = slots > 1 && c->device->caps.has_f64;
    kcl_status status = kd_buffer_create(c, slots * g.square * size, &g.pieces);
    if (status >= 0 && adds)
        status = kd_buffer_create(c, g.square * sizeof(double), &g.sums);
    if (status >= 0 && adds)
        status = kd_kernel_get(c, sum_source, "add", "sums of Gram matrices", &g.kernel);
    if (status >= 0 && !(g.host = kb_alloc(&c->allocator, g.square * (adds ? sizeof(double) : slots * size))))
        status = kb_no_memory(&c->error);
    if (status >= 0)
        status = multiply_and_add(c, &g, a, slots);
    if (status >= 0)
        kd_copy_to_upper(g.order, g.to, g.stride);
    else
        kd_wait_for_queue(c); /* the device may still be copying */
    kd_kernel_release(c, &g.kernel);
    kd_buffer_release(c, &g.sums);
    kd_buffer_release(c, &g.pieces);
    kb_free(&c->allocator, g.host);
    return status;
}

static kcl_status gram_on_copies(kcl_context *c, kcl_dtype dtype, double alpha, const kd_matrix *a, double beta,
                                 double *to, size_t stride)
{
    copies s = {.bytes = {0}};
    const size_t rows = KB_MAX(KD_SPLIT / a->stride, 1);
    kcl_status status = KCL_OK;
    for (size_t row = 0; row < a->rows && status >= 0; row += rows) {
        kd_elements p = place_of(a);
        const size_t count = KB_MIN(rows, a->rows - row);
        p.offset += row * a->stride;
        status = fetch(c, &s, 0, dtype, &p, span(count, a->columns, a->stride), true);
        if (status >= 0)
            status = kd_wait_for_queue(c);
        if (status >= 0)
            status = kd_host_gram(c, dtype, alpha, count, a->columns, &p, row ? 1 : beta, to, stride);
    }
    return free_copies(c, &s, status);
}

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
    kd_elements p = place_of(a);
    if (!a->buffer || !a->rows || alpha == 0) {
        status = kd_host_gram(c, dtype, alpha, alpha == 0 ? 0 : a->rows, a->columns, &p, beta, to, stride);
    } else if (dense->way == KD_DENSE_IN_PLACE) {
        mapping m = {.count = 0};
        status = map(c, &m, &p);
        if (status >= 0)
            status = kd_host_gram(c, dtype, alpha, a->rows, a->columns, &p, beta, to, stride);
        status = unmap(c, &m, status);
    } else if (dense->way == KD_DENSE_COPIED) {
        status = gram_on_copies(c, dtype, alpha, a, beta, to, stride);
    } else {
        const size_t order = a->columns;
        const gram_work g = {.dtype = dtype,
                             .way = dense->way,
                             .order = order,
                             .square = order * order,
                             .alpha = alpha,
                             .beta = beta,
                             .to = to,
                             .stride = stride};
        status = gram_by_gpu(c, g, a);
    }
    return note(c, a, status);
}

/* ---- Triangles ------------------------------------------------------------------------------------------------------- */

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

/* Rows of X after rows of X, with the triangle on the device. */
static kcl_status trsm_by_gpu(kcl_context *c, kd_division d, size_t rows)
{
    const size_t bytes = d.order * d.order * kb_dtype_size(d.dtype), all = d.n, first = d.x.offset;
    kd_buffer *buffer;
    const void *kept = kd_keep_copy(c, d.t.host, bytes);
    kcl_status status = kept ? kd_buffer_create(c, bytes, &buffer) : kb_no_memory(&c->error);
    if (status < 0)
        return status;
    status = kd_write(c, buffer, 0, kept, bytes);
    d.t.buffer = buffer;
    for (size_t row = 0; row < all && status >= 0; row += rows) {
        d.n = KB_MIN(rows, all - row);
        d.x.offset = first + row * d.x.stride;
        status = kd_gpu_trsm(c, &d);
    }
    kd_buffer_release(c, &buffer);
    return status;
}

static kcl_status trsm_on_copies(kcl_context *c, const kd_division *d)
{
    copies s = {.bytes = {0}};
    const size_t rows = KB_MAX(KD_SPLIT / d->x.stride, 1);
    kcl_status status = KCL_OK;
    for (size_t row = 0; row < d->n && status >= 0; row += rows) {
        kd_division q = *d;
        q.n = KB_MIN(rows, d->n - row);
        q.x.offset += row * d->x.stride;
        const kd_elements there = q.x;
        const size_t count = span(q.n, d->order, d->x.stride);
        status = fetch(c, &s, 0, d->dtype, &q.x, count, true);
        if (status >= 0)
            status = kd_wait_for_queue(c);
        if (status >= 0)
            status = kd_host_trsm(c, &q);
        if (status >= 0)
            status = put_back(c, &q.x, &there, d->dtype, count);
    }
    return free_copies(c, &s, status);
}

static kcl_status trsm_on_device(kcl_context *c, const kd_division *d, kd_dense_way way)
{
    if (way == KD_DENSE_CUBLAS && KB_MAX(d->n, d->x.stride) <= INT_MAX && d->order <= INT_MAX)
        return trsm_by_gpu(c, *d, d->n);
    if (way == KD_DENSE_CLBLAST)
        return trsm_by_gpu(c, *d, KB_MAX(KD_SPLIT / KB_MAX(d->order, 128), 1));
    if (way != KD_DENSE_IN_PLACE)
        return trsm_on_copies(c, d);
    mapping m = {.count = 0};
    kd_division q = *d;
    kcl_status status = map(c, &m, &q.x);
    if (status >= 0)
        status = kd_host_trsm(c, &q);
    return unmap(c, &m, status);
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
    kd_division d = {dtype, x->rows, x->columns, is_lower, transpose, place_of(x), {.stride = x->columns}};
    d.t.host = typed_triangle(c, &d, t, stride);
    if (!d.t.host)
        return note(c, x, kb_no_memory(&c->error));
    status = x->buffer ? trsm_on_device(c, &d, dense->way) : kd_host_trsm(c, &d);
    kb_free(&c->allocator, d.t.host);
    return note(c, x, status);
}
