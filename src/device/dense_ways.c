/* SPDX-License-Identifier: MIT */
/*
 * device/dense_ways.c: how matrices of the device reach what computes: they are mapped for the host, or copied there in
 * pieces, or a library of the device takes them whole or in pieces.
 */
#include "dense_internal.h"

#include <limits.h>
#include <string.h>

/* ---- Pieces ------------------------------------------------------------------------------------------------------ */

/*
 * Sizes of the pieces in which a product is computed, so that none has more than KD_SPLIT elements: CLBlast copies its
 * operands, filled up to multiples of 128 in each direction, and so does the way by the host, with what lies between
 * rows.
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

/* ---- In place ---------------------------------------------------------------------------------------------------- */

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

/* ---- On copies --------------------------------------------------------------------------------------------------- */

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

/* ---- Products ---------------------------------------------------------------------------------------------------- */

kcl_status kd_device_gemm(kcl_context *c, const kd_product *p, kd_dense_way way)
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

/* ---- Gram matrices ----------------------------------------------------------------------------------------------- */

/* Gram matrices of pieces that are on their way to the host at the same time. */
static size_t gram_slots(size_t order)
{
    return KB_MAX(KD_SPLIT / (order * order), 1);
}

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
            p.a = kd_elements_of(a);
            p.a.offset += row * a->stride;
            p.b = p.a;
            p.c = (kd_elements){.buffer = g->pieces, .offset = k * g->square, .stride = g->order};
            status = kd_device_gemm(c, &p, g->way);
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
        kd_elements p = kd_elements_of(a);
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

kcl_status kd_device_gram(kcl_context *c, kd_dense_way way, kcl_dtype dtype, double alpha, const kd_matrix *a,
                          double beta, double *to, size_t stride)
{
    const size_t order = a->columns;
    if (way == KD_DENSE_COPIED)
        return gram_on_copies(c, dtype, alpha, a, beta, to, stride);
    if (way != KD_DENSE_IN_PLACE) {
        const gram_work g = {.dtype = dtype,
                             .way = way,
                             .order = order,
                             .square = order * order,
                             .alpha = alpha,
                             .beta = beta,
                             .to = to,
                             .stride = stride};
        return gram_by_gpu(c, g, a);
    }
    mapping m = {.count = 0};
    kd_elements p = kd_elements_of(a);
    kcl_status status = map(c, &m, &p);
    if (status >= 0)
        status = kd_host_gram(c, dtype, alpha, a->rows, order, &p, beta, to, stride);
    return unmap(c, &m, status);
}

/* ---- Triangles --------------------------------------------------------------------------------------------------- */

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

kcl_status kd_device_trsm(kcl_context *c, const kd_division *d, kd_dense_way way)
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
