/* SPDX-License-Identifier: MIT */
/* lazy/indexed.c: steps that are no sweeps: rows chosen by an index, and its adjoint. */
#include "indexed.h"

#include <math.h>
#include <string.h>

/*
 * A scatter is a sum of segments: the parts of all rows, sorted by their index with a counting sort, which keeps the
 * order of parts of one index. Long segments are cut into pieces whose sums are added in a second pass, in their order.
 * Pieces depend on the indices alone: so do the results, bit for bit.
 */
enum { PIECE = 4096 };

/* The number of a row in an index: (n / divisor) % modulus. */
typedef struct decoding {
    int64_t divisor, modulus;
} decoding;

static decoding decoding_of(const kl_indexed *work)
{
    const int64_t columns = KB_MAX(work->columns, 1);
    return (decoding){work->part == KF_PART_I ? columns : 1, work->part == KF_PART_J ? columns : INT64_MAX};
}

/* -1: none of `rows` rows. */
static int64_t row_of(const decoding *d, int64_t n, int64_t rows)
{
    const int64_t row = n < 0 ? n : n / d->divisor % d->modulus;
    return row >= 0 && row < rows ? row : -1;
}

typedef struct segments {
    int64_t parts, pieces; /* parts with an index; pieces of all segments, where an empty one is a piece too */
    int64_t *order;        /* parts, by their index */
    int64_t *start;        /* pieces + 1: where they begin in `order` */
    int64_t *first;        /* rows + 1: the first piece of each row */
    int64_t *identity;     /* pieces, where there are more than rows */
} segments;

static int64_t pieces_of(int64_t length)
{
    return length ? (length - 1) / PIECE + 1 : 1;
}

static int64_t *numbers(kb_arena *arena, int64_t count)
{
    return kb_arena_alloc(arena, (size_t)count * sizeof(int64_t));
}

/* `count` numbers of rows 0..rows-1, or -1. Launches refer to the memory of the segments till their batch ends: the arena's. */
static kcl_status sort_parts(segments *s, const int64_t *index, int64_t count, int64_t rows, kb_arena *arena,
                             kb_error *err)
{
    const kcl_allocator *a = &arena->allocator;
    int64_t *next = kb_calloc(a, (size_t)rows + 1, sizeof *next);
    s->order = numbers(arena, count + 1);
    s->first = numbers(arena, rows + 1);
    bool ok = next && s->order && s->first;
    for (int64_t p = 0; ok && p < count; p++)
        if (index[p] >= 0)
            next[index[p]]++;
    for (int64_t r = 0; ok && r < rows; r++)
        s->pieces += pieces_of(next[r]);
    s->start = ok ? numbers(arena, s->pieces + 1) : NULL;
    s->identity = ok ? numbers(arena, s->pieces > rows ? s->pieces : 1) : NULL;
    ok = ok && s->start && s->identity;
    for (int64_t r = 0, piece = 0; ok && r < rows; r++) {
        int64_t length = next[r], pieces = pieces_of(length);
        for (int64_t n = 0; n < pieces; n++)
            s->start[piece + n] = s->parts + n * PIECE;
        s->first[r] = piece;
        piece += pieces;
        next[r] = s->parts;
        s->parts += length;
    }
    if (ok) {
        s->start[s->pieces] = s->parts;
        s->first[rows] = s->pieces;
        for (int64_t p = 0; p < count; p++)
            if (index[p] >= 0)
                s->order[next[index[p]]++] = p;
        for (int64_t n = 0; n < s->pieces && s->pieces > rows; n++)
            s->identity[n] = n;
    }
    kb_free(a, next);
    return ok ? KCL_OK : kb_no_memory(err);
}

/* ---- Devices ----------------------------------------------------------------------------------------------------- */

static kcl_status get_kernel(kcl_context *context, kcl_dtype dtype, const char *name, kd_kernel **kernel)
{
    kb_str source;
    kb_str_init(&source, kd_allocator(context));
    kt_render_indexed(&source, dtype);
    kcl_status status = source.failed ? kb_no_memory(kd_error(context))
                                      : kd_kernel_get(context, kb_str_text(&source), name, "indexed", kernel);
    kb_str_finish(&source);
    return status;
}

/* Sets args[0] and what tells where elements are, args[1] to args[3], with their values. */
static void put_values(kd_arg *args, int64_t *where, const kl_view *v, kd_arg_kind host_input)
{
    const int64_t size = (int64_t)kb_dtype_size(v->dtype);
    args[0] = kl_view_arg(v, host_input);
    where[0] = v->buffer ? 0 : v->offset / size;
    where[1] = v->row_stride / size;
    where[2] = v->step / size;
    for (int k = 0; k < 3; k++)
        args[1 + k] = (kd_arg){.kind = KD_ARG_VALUE, .data = &where[k], .size = sizeof where[k]};
}

static kcl_status launch(kcl_context *context, kd_kernel *kernel, int count, const kd_arg *args, int64_t items)
{
    enum { MOST_GROUPS = 1 << 16 };
    size_t group = kl_group_for(context, kernel), groups = ((size_t)items + group - 1) / group;
    return kd_launch(context, kernel, count, args, (size_t[]){KB_MIN(groups, MOST_GROUPS) * group, 1, 1},
                     (size_t[]){group, 1, 1});
}

static kcl_status gather(kcl_context *context, const kl_indexed *work, kcl_dtype dtype, kd_arg_kind host_input)
{
    const decoding d = decoding_of(work);
    const int64_t numbers[] = {work->out.rows,    work->index.dim, work->values.dim,
                               work->values.rows, d.divisor,       d.modulus};
    kd_kernel *kernel;
    kd_arg args[12];
    int64_t where[3];
    kcl_status status = get_kernel(context, dtype, "gather", &kernel);
    if (status < 0)
        return status;
    put_values(args, where, &work->values, host_input);
    args[4] = kl_view_arg(&work->index, host_input);
    args[5] = kl_view_arg(&work->out, KD_ARG_HOST_OUT);
    for (int k = 0; k < 6; k++)
        args[6 + k] = (kd_arg){.kind = KD_ARG_VALUE, .data = &numbers[k], .size = sizeof numbers[k]};
    return launch(context, kernel, 12, args, work->out.rows * work->out.dim);
}

/* Sums of `pieces` pieces, which begin at `start` in `order`. */
static kcl_status add_pieces(kcl_context *context, kd_kernel *kernel, const kl_view *values, kd_arg_kind host_input,
                             const int64_t *order, int64_t parts, const int64_t *start, int64_t pieces, int64_t count,
                             const kl_view *out)
{
    const int64_t numbers[] = {pieces, count, out->dim};
    kd_arg args[10];
    int64_t where[3];
    put_values(args, where, values, host_input);
    args[4] = (kd_arg){.kind = host_input, .data = order, .size = (size_t)KB_MAX(parts, 1) * sizeof *order};
    args[5] = (kd_arg){.kind = host_input, .data = start, .size = (size_t)(pieces + 1) * sizeof *start};
    args[6] = kl_view_arg(out, KD_ARG_HOST_OUT);
    for (int k = 0; k < 3; k++)
        args[7 + k] = (kd_arg){.kind = KD_ARG_VALUE, .data = &numbers[k], .size = sizeof numbers[k]};
    return launch(context, kernel, 10, args, pieces * out->dim);
}

static kcl_status scatter(kcl_context *context, const kl_indexed *work, kcl_dtype dtype, kd_arg_kind host_input,
                          kb_arena *arena)
{
    const kcl_allocator *a = kd_allocator(context);
    const int64_t count = work->index.dim, rows = work->out.rows, parts = work->index.rows * count;
    kl_view partial = work->out;
    segments s = {0};
    kd_kernel *kernel;
    int64_t *index = kb_calloc(a, (size_t)parts + 1, sizeof *index);
    if (!index)
        return kb_no_memory(kd_error(context));
    kcl_status status = get_kernel(context, dtype, "scatter", &kernel);
    if (status == KCL_OK && parts)
        status = kl_wait_for(context, kd_read(context, work->index.buffer, 0, index, (size_t)parts * sizeof *index));
    const decoding d = decoding_of(work);
    for (int64_t p = 0; status == KCL_OK && p < parts; p++)
        index[p] = row_of(&d, index[p], rows);
    if (status == KCL_OK)
        status = sort_parts(&s, index, parts, rows, arena, kd_error(context));
    kb_free(a, index);
    if (status < 0)
        return status;
    if (s.pieces == rows) {
        status =
            add_pieces(context, kernel, &work->values, host_input, s.order, s.parts, s.start, rows, count, &work->out);
    } else {
        partial.buffer = NULL;
        partial.rows = s.pieces;
        status = kd_buffer_create(context, (size_t)(s.pieces * partial.row_stride), &partial.buffer);
        if (status == KCL_OK)
            status = add_pieces(context, kernel, &work->values, host_input, s.order, s.parts, s.start, s.pieces, count,
                                &partial);
        if (status == KCL_OK)
            status =
                add_pieces(context, kernel, &partial, host_input, s.identity, s.pieces, s.first, rows, 1, &work->out);
        kd_buffer_release(context, &partial.buffer);
    }
    return status;
}

kcl_status kl_run_indexed(kcl_context *context, const kl_indexed *work, kcl_dtype dtype, kd_arg_kind host_input,
                          kb_arena *arena)
{
    if (!work->out.rows)
        return KCL_OK;
    return work->is_scatter ? scatter(context, work, dtype, host_input, arena)
                            : gather(context, work, dtype, host_input);
}

/* ---- The interpreter --------------------------------------------------------------------------------------------- */

static double number_at(const kl_view *v, int64_t row, int64_t k)
{
    const char *from = (const char *)v->data + row * v->row_stride + k * v->step;
    float single;
    double number;
    if (v->dtype == KCL_F32) {
        memcpy(&single, from, sizeof single);
        return single;
    }
    memcpy(&number, from, sizeof number);
    return number;
}

static void gather_on_host(const kl_indexed *work, const decoding *d, double *out)
{
    const int64_t *index = work->index.data, parts = work->index.rows * work->index.dim;
    for (int64_t p = 0; p < parts; p++) {
        const int64_t row = row_of(d, index[p], work->values.rows);
        for (int64_t c = 0; c < work->values.dim; c++)
            *out++ = row < 0 ? 0 : number_at(&work->values, row, c);
    }
}

static kcl_status scatter_on_host(const kl_indexed *work, const decoding *d, double *out,
                                  const kcl_allocator *allocator, kb_error *err)
{
    const int64_t *index = work->index.data, count = work->index.dim, parts = work->index.rows * count;
    const int64_t dim = work->out.dim, elements = work->out.rows * dim;
    double *error = kb_calloc(allocator, (size_t)elements + 1, sizeof *error);
    if (!error)
        return kb_no_memory(err);
    memset(out, 0, (size_t)elements * sizeof *out);
    for (int64_t p = 0; p < parts; p++) {
        const int64_t row = row_of(d, index[p], work->out.rows);
        for (int64_t c = 0; c < dim && row >= 0; c++)
            kf_sum_add(&out[row * dim + c], &error[row * dim + c],
                       number_at(&work->values, p / count, p % count * dim + c));
    }
    for (int64_t e = 0; e < elements; e++)
        out[e] = kf_sum_value(out[e], error[e]);
    kb_free(allocator, error);
    return KCL_OK;
}

kcl_status kl_run_indexed_on_host(const kl_indexed *work, const kcl_allocator *allocator, kb_error *err)
{
    const decoding d = decoding_of(work);
    double *out = (double *)(uintptr_t)work->out.data;
    if (work->is_scatter)
        return scatter_on_host(work, &d, out, allocator, err);
    gather_on_host(work, &d, out);
    return KCL_OK;
}

/* ---- Indices from formulas --------------------------------------------------------------------------------------- */

kcl_status kl_run_whole(kcl_context *context, const kl_view *values, const kl_view *out, kcl_dtype dtype,
                        kd_arg_kind host_input)
{
    const int64_t numbers[] = {out->rows, out->dim};
    kd_kernel *kernel;
    kd_arg args[7];
    int64_t where[3];
    if (!out->rows)
        return KCL_OK;
    kcl_status status = get_kernel(context, dtype, values->dtype == KCL_I64 ? "take" : "whole", &kernel);
    if (status < 0)
        return status;
    put_values(args, where, values, host_input);
    args[4] = kl_view_arg(out, KD_ARG_HOST_OUT);
    for (int k = 0; k < 2; k++)
        args[5 + k] = (kd_arg){.kind = KD_ARG_VALUE, .data = &numbers[k], .size = sizeof numbers[k]};
    return launch(context, kernel, 7, args, out->rows * out->dim);
}

void kl_run_whole_on_host(const kl_view *values, const kl_view *out)
{
    int64_t *to = (int64_t *)(uintptr_t)out->data;
    for (int64_t row = 0; row < out->rows; row++) {
        for (int64_t k = 0; k < out->dim; k++) {
            if (values->dtype == KCL_I64) {
                memcpy(to++, (const char *)values->data + row * values->row_stride + k * values->step, sizeof *to);
                continue;
            }
            const double value = round(number_at(values, row, k));
            *to++ = value >= 0 && value < 0x1p62 ? (int64_t)value : -1;
        }
    }
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

void kl_emit_indexed(const kl_step *step, kcl_dtype dtype, size_t number, size_t count, bool describe, kb_str *out)
{
    const char *what = step->kind == KL_WHOLE     ? "a formula as an index (whole)"
                       : step->kind == KL_SCATTER ? "sums of the rows that have an index (scatter)"
                                                  : "rows chosen by an index (gather)";
    kb_str_putf(out, describe ? "sweep: %zu of %zu\nno sweep: %s\n" : "/* Sweep %zu of %zu: %s. */\n", number, count,
                what);
    if (!describe)
        kt_render_indexed(out, dtype);
}
