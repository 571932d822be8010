/* SPDX-License-Identifier: MIT */
/* lazy/indexed.c: steps that are no sweeps: rows chosen by an index, and its adjoint. */
#include "indexed.h"
#include "batch.h"
#include "kernels.h"

#include <math.h>
#include <string.h>

/*
 * A scatter is a sum of segments: the parts of all places, sorted by the row of the table with a counting sort, which
 * keeps the order of parts of one row. Long segments are cut into pieces whose sums are added in a second pass, in
 * their order. Pieces depend on the indices alone: so do the results, bit for bit. Batches that have the indices in
 * common ("planes") have the segments in common too.
 */
enum { PIECE = 4096, ROWS = 0, MOST_AXES = 1 + KF_MAX_BATCH };

/* ---- Axes -------------------------------------------------------------------------------------------------------- */

/* Rows, then the batch axes from the last one on: the fastest first, where an array is dense. */
static int64_t size_on(const kl_view *v, int axis)
{
    return axis == ROWS ? v->rows : kl_batch_size(&v->batch, axis - 1);
}

/* Distance of neighbours, in units of so many bytes; 0 where the array lacks the axis. */
static int64_t distance_on(const kl_view *v, int axis, int64_t unit)
{
    return size_on(v, axis) == 1 ? 0 : (axis == ROWS ? v->row_stride : v->batch_stride[axis - 1]) / unit;
}

/* In elements. */
static int64_t stride_on(const kl_view *v, int axis)
{
    return distance_on(v, axis, (int64_t)kb_dtype_size(v->dtype));
}

static int64_t stride_of_values(const kl_indexed *work, int axis)
{
    return distance_on(&work->values, axis, work->unit);
}

/* A line of the kernels' tables. */
typedef struct line {
    int64_t size, first, second;
} line;

typedef struct lines {
    int count;
    line of[MOST_AXES];
} lines;

static void add_line(lines *to, int64_t size, int64_t first, int64_t second)
{
    to->of[to->count++] = (line){size, first, second};
}

/* Where `v` has the axis. */
static void add_axis(lines *to, const kl_view *v, int axis, int64_t first, int64_t second)
{
    if (size_on(v, axis) != 1)
        add_line(to, size_on(v, axis), first, second);
}

/* Of all places, where there is none: 0. */
static int64_t places_of(const lines *l)
{
    int64_t count = 1;
    for (int k = 0; k < l->count; k++)
        count *= l->of[k].size;
    return count;
}

/* Goes to the next place, from zeros on; the distances follow. */
static void go_on(const lines *l, int64_t place[MOST_AXES], int64_t *first, int64_t *second)
{
    for (int k = 0; k < l->count; k++) {
        const bool ends = ++place[k] == l->of[k].size;
        *first += l->of[k].first * (ends ? 1 - l->of[k].size : 1);
        *second += l->of[k].second * (ends ? 1 - l->of[k].size : 1);
        if (!ends)
            return;
        place[k] = 0;
    }
}

/* Whether the index tells the place of the table on this axis. */
static bool is_told(const kl_indexed *work, int axis)
{
    if (axis == ROWS)
        return work->chosen.part != KF_ROW_OF_PLACE;
    return work->chosen.batches & KF_BATCH_AXIS(axis - 1);
}

/* The digits of an index. */
typedef struct digits {
    lines of;      /* of the axes that the table has: a divisor, a size, a distance in the table */
    int64_t terms; /* of all axes */
} digits;

/* `stride`: distances in the table. */
static digits digits_of(const kl_indexed *work, const int64_t stride[MOST_AXES])
{
    digits d = {.terms = 1};
    const kf_part part = work->chosen.part;
    for (int pair = 1; pair >= 0; pair--) {
        const unsigned axis = pair ? KF_AXIS_J : KF_AXIS_I;
        if (!(work->chosen.axes & axis))
            continue;
        if (part == KF_ROW || part == (pair ? KF_ROW_J : KF_ROW_I))
            add_line(&d.of, d.terms, work->length[pair], stride[ROWS]);
        d.terms *= work->length[pair];
    }
    for (int k = 0; k < KF_MAX_BATCH; k++) {
        if (!(work->chosen.axes & KF_BATCH_AXIS(k)))
            continue;
        if (is_told(work, 1 + k))
            add_line(&d.of, d.terms, kl_batch_size(&work->terms, k), stride[1 + k]);
        d.terms *= kl_batch_size(&work->terms, k);
    }
    if (!d.terms) /* no number has digits then */
        d.of.count = 0;
    return d;
}

static bool is_term(const digits *d, int64_t n)
{
    return n >= 0 && n < d->terms;
}

/* Where term n is in the table, on the axes that it tells. */
static int64_t place_of_term(const digits *d, int64_t n)
{
    int64_t place = 0;
    for (int k = 0; k < d->of.count; k++)
        place += n / d->of.of[k].size % d->of.of[k].first * d->of.of[k].second;
    return place;
}

/* The places of a gather: distances in the index and in the table. */
static lines places_of_gather(const kl_indexed *work, digits *d)
{
    lines l = {0};
    int64_t told[MOST_AXES];
    for (int axis = 0; axis < MOST_AXES; axis++) {
        const int64_t stride = stride_of_values(work, axis);
        told[axis] = is_told(work, axis) ? stride : 0;
        add_axis(&l, &work->out, axis, stride_on(&work->index, axis), is_told(work, axis) ? 0 : stride);
    }
    *d = digits_of(work, told);
    return l;
}

/* The places of a formula as an index: distances in the values. */
static lines places_of_whole(const kl_indexed *work)
{
    lines l = {0};
    for (int axis = 0; axis < MOST_AXES; axis++)
        add_axis(&l, &work->out, axis, stride_of_values(work, axis), 0);
    return l;
}

/* What a scatter goes over. */
typedef struct spread {
    lines places;  /* of the index: distances in `values`, and among the targets, on axes that the place tells */
    digits digits; /* distances among the targets on the others */
    lines targets; /* rows of the table that indices choose: no distance, distance in the result */
    lines planes;  /* axes of the table that the index knows nothing of: distances in `values`, in the result */
} spread;

static spread spread_of(const kl_indexed *work)
{
    spread s = {0};
    int64_t target = 1, told[MOST_AXES];
    for (int axis = 0; axis < MOST_AXES; axis++) {
        const int64_t of_index = size_on(&work->index, axis), of_table = size_on(&work->out, axis);
        const int64_t from = stride_of_values(work, axis), to = stride_on(&work->out, axis);
        const bool tells = is_told(work, axis), is_target = of_table != 1 && (tells || of_index != 1);
        told[axis] = tells && is_target ? target : 0;
        add_axis(&s.places, &work->index, axis, from, !tells && is_target ? target : 0);
        if (is_target) {
            add_line(&s.targets, of_table, 0, to);
            target *= of_table;
        } else if (of_table != 1) {
            add_line(&s.planes, of_table, from, to);
        }
    }
    s.digits = digits_of(work, told);
    if (!s.targets.count)
        add_line(&s.targets, 1, 0, 0);
    return s;
}

/* ---- Segments ---------------------------------------------------------------------------------------------------- */

typedef struct segments {
    int64_t parts, pieces; /* parts with an index; pieces of all segments, where an empty one is a piece too */
    int64_t *order;        /* where parts begin in `values`, by their target */
    int64_t *start;        /* pieces + 1: where they begin in `order` */
    int64_t *first;        /* targets + 1: the first piece of each */
    int64_t *sums;         /* pieces, where there are more than targets: where their sums are */
} segments;

static int64_t pieces_of(int64_t length)
{
    return length ? (length - 1) / PIECE + 1 : 1;
}

static int64_t *numbers(kb_arena *arena, int64_t count)
{
    return kb_arena_alloc(arena, (size_t)count * sizeof(int64_t));
}

/* Replaces the numbers of an index by their targets, or -1. */
static void find_targets(const kl_indexed *work, const spread *s, int64_t *index)
{
    int64_t place[MOST_AXES] = {0}, from = 0, target = 0, count = work->index.dim;
    for (int64_t p = places_of(&s->places); p > 0; p--) {
        for (int64_t q = 0; q < count; q++, index++)
            *index = is_term(&s->digits, *index) ? target + place_of_term(&s->digits, *index) : -1;
        go_on(&s->places, place, &from, &target);
    }
}

/* By the target of every part. Launches refer to the memory of the segments till their batch ends: the arena's. */
static kcl_status sort_parts(segments *s, const kl_indexed *work, const spread *over, const int64_t *target,
                             kb_arena *arena, kb_error *err)
{
    const kcl_allocator *a = &arena->allocator;
    const int64_t count = work->index.dim, parts = places_of(&over->places) * count,
                  targets = places_of(&over->targets);
    const int64_t dim = work->out.dim, step = work->values.step / work->unit;
    int64_t *next = kb_calloc(a, (size_t)targets + 1, sizeof *next);
    s->order = numbers(arena, parts + 1);
    s->first = numbers(arena, targets + 1);
    bool ok = next && s->order && s->first;
    for (int64_t p = 0; ok && p < parts; p++)
        if (target[p] >= 0)
            next[target[p]]++;
    for (int64_t r = 0; ok && r < targets; r++)
        s->pieces += pieces_of(next[r]);
    s->start = ok ? numbers(arena, s->pieces + 1) : NULL;
    s->sums = ok ? numbers(arena, s->pieces > targets ? s->pieces : 1) : NULL;
    ok = ok && s->start && s->sums;
    for (int64_t r = 0, piece = 0; ok && r < targets; r++) {
        int64_t length = next[r], pieces = pieces_of(length);
        for (int64_t n = 0; n < pieces; n++)
            s->start[piece + n] = s->parts + n * PIECE;
        s->first[r] = piece;
        piece += pieces;
        next[r] = s->parts;
        s->parts += length;
    }
    if (ok) {
        int64_t place[MOST_AXES] = {0}, from = 0, ignored = 0;
        s->start[s->pieces] = s->parts;
        s->first[targets] = s->pieces;
        for (int64_t p = 0; p < parts; p++) {
            if (target[p] >= 0)
                s->order[next[target[p]]++] = from + p % count * dim * step;
            if (p % count == count - 1)
                go_on(&over->places, place, &from, &ignored);
        }
        for (int64_t n = 0; n < s->pieces && s->pieces > targets; n++)
            s->sums[n] = n * dim;
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
                                      : kl_own_kernel(context, kb_str_text(&source), name, "indexed", kernel);
    kb_str_finish(&source);
    return status;
}

/* The arguments of a launch, with the values that they refer to. */
typedef struct launch_args {
    int count;
    kd_arg of[16];
    int64_t value[16];
} launch_args;

static void put_value(launch_args *args, int64_t value)
{
    int k = args->count++;
    args->value[k] = value;
    args->of[k] = (kd_arg){.kind = KD_ARG_VALUE, .data = &args->value[k], .size = sizeof value};
}

static void put_array(launch_args *args, kd_arg arg)
{
    args->of[args->count++] = arg;
}

/* And its offset and step, in elements. */
static void put_view(launch_args *args, const kl_view *v, kd_arg_kind host_input)
{
    const int64_t size = (int64_t)kb_dtype_size(v->dtype);
    put_array(args, kl_view_arg(v, host_input));
    put_value(args, v->buffer ? 0 : v->offset / size);
    put_value(args, v->step / size);
}

static void put_numbers(launch_args *args, const int64_t *of, int64_t count, kd_arg_kind host_input)
{
    put_array(args, (kd_arg){.kind = host_input, .data = of, .size = (size_t)KB_MAX(count, 1) * sizeof *of});
}

/* Lines of one or two tables, in memory of the arena. */
static int64_t *table_of(const lines *a, const lines *b, kb_arena *arena, kb_error *err)
{
    line *table = kb_arena_alloc(arena, (size_t)(a->count + (b ? b->count : 0) + 1) * sizeof *table);
    if (!table) {
        kb_no_memory(err);
        return NULL;
    }
    memcpy(table, a->of, (size_t)a->count * sizeof *table);
    if (b)
        memcpy(table + a->count, b->of, (size_t)b->count * sizeof *table);
    return &table->size;
}

static kcl_status launch(kcl_context *context, kd_kernel *kernel, const launch_args *args, int64_t items)
{
    enum { MOST_GROUPS = 1 << 16 };
    size_t group = kl_group_for(context, kernel), groups = ((size_t)items + group - 1) / group;
    return kd_launch(context, kernel, args->count, args->of, (size_t[]){KB_MIN(groups, MOST_GROUPS) * group, 1, 1},
                     (size_t[]){group, 1, 1});
}

static kcl_status gather(kcl_context *context, const kl_indexed *work, kcl_dtype dtype, kd_arg_kind host_input,
                         kb_arena *arena)
{
    digits d;
    const lines places = places_of_gather(work, &d);
    kb_error *err = kd_error(context);
    launch_args args = {0};
    kd_kernel *kernel;
    kcl_status status = get_kernel(context, dtype, "gather", &kernel);
    const int64_t *axes = status == KCL_OK ? table_of(&places, NULL, arena, err) : NULL;
    const int64_t *told = axes ? table_of(&d.of, NULL, arena, err) : NULL;
    if (!told)
        return err->status;
    put_view(&args, &work->values, host_input);
    put_array(&args, kl_view_arg(&work->index, host_input));
    put_array(&args, kl_view_arg(&work->out, KD_ARG_HOST_OUT));
    put_value(&args, places_of(&places));
    put_value(&args, work->index.dim);
    put_value(&args, work->values.dim);
    put_value(&args, d.terms);
    put_numbers(&args, axes, 3 * places.count, host_input);
    put_value(&args, places.count);
    put_numbers(&args, told, 3 * d.of.count, host_input);
    put_value(&args, d.of.count);
    return launch(context, kernel, &args, places_of(&places) * work->out.dim);
}

/* Sums of `pieces` pieces, which begin at `start` in `order`, in every plane; `to` says where pieces go. */
static kcl_status add_pieces(kcl_context *context, kd_kernel *kernel, const kl_view *values, kd_arg_kind host_input,
                             const int64_t *order, int64_t parts, const int64_t *start, int64_t pieces, const lines *to,
                             const lines *planes, const kl_view *out, kb_arena *arena)
{
    launch_args args = {0};
    const int64_t *axes = table_of(to, planes, arena, kd_error(context)), count = places_of(planes);
    if (!axes)
        return kd_error(context)->status;
    put_view(&args, values, host_input);
    put_numbers(&args, order, parts, host_input);
    put_numbers(&args, start, pieces + 1, host_input);
    put_array(&args, kl_view_arg(out, KD_ARG_HOST_OUT));
    put_value(&args, pieces);
    put_value(&args, out->dim);
    put_value(&args, count);
    put_numbers(&args, axes, 3 * (to->count + planes->count), host_input);
    put_value(&args, to->count);
    put_value(&args, planes->count);
    return launch(context, kernel, &args, count * pieces * out->dim);
}

/* The same where long segments are in pieces, whose sums are added up in `partial`, a plane behind the other. */
static kcl_status add_sums_of_pieces(kcl_context *context, kd_kernel *kernel, const kl_indexed *work,
                                     kd_arg_kind host_input, const segments *s, const spread *over, kb_arena *arena)
{
    const int64_t size = (int64_t)kb_dtype_size(work->out.dtype), length = s->pieces * work->out.dim;
    lines in_order = {.count = 1, .of = {{s->pieces, 0, work->out.dim}}}, to_partial = over->planes,
          from_partial = to_partial;
    int64_t plane = length;
    for (int k = 0; k < over->planes.count; k++) {
        to_partial.of[k].second = from_partial.of[k].first = plane;
        plane *= over->planes.of[k].size;
    }
    kl_view partial = {.dtype = work->out.dtype, .rows = plane / work->out.dim, .dim = work->out.dim, .step = size};
    partial.row_stride = partial.dim * size;
    kcl_status status = kd_buffer_create(context, (size_t)(plane * size), &partial.buffer);
    if (status == KCL_OK)
        status = add_pieces(context, kernel, &work->values, host_input, s->order, s->parts, s->start, s->pieces,
                            &in_order, &to_partial, &partial, arena);
    if (status == KCL_OK)
        status = add_pieces(context, kernel, &partial, host_input, s->sums, s->pieces, s->first,
                            places_of(&over->targets), &over->targets, &from_partial, &work->out, arena);
    kd_buffer_release(context, &partial.buffer);
    return status;
}

static kcl_status scatter(kcl_context *context, const kl_indexed *work, kcl_dtype dtype, kd_arg_kind host_input,
                          kb_arena *arena)
{
    const kcl_allocator *a = kd_allocator(context);
    const spread over = spread_of(work);
    const int64_t parts = places_of(&over.places) * work->index.dim, targets = places_of(&over.targets);
    segments s = {0};
    kd_kernel *kernel;
    int64_t *index = kb_calloc(a, (size_t)parts + 1, sizeof *index);
    if (!index)
        return kb_no_memory(kd_error(context));
    kcl_status status = get_kernel(context, dtype, "scatter", &kernel);
    if (status == KCL_OK && parts)
        status = kl_wait_for(context, kd_read(context, work->index.buffer, 0, index, (size_t)parts * sizeof *index));
    if (status == KCL_OK) {
        find_targets(work, &over, index);
        status = sort_parts(&s, work, &over, index, arena, kd_error(context));
    }
    kb_free(a, index);
    if (status < 0)
        return status;
    if (s.pieces > targets)
        return add_sums_of_pieces(context, kernel, work, host_input, &s, &over, arena);
    return add_pieces(context, kernel, &work->values, host_input, s.order, s.parts, s.start, targets, &over.targets,
                      &over.planes, &work->out, arena);
}

static kcl_status whole(kcl_context *context, const kl_indexed *work, kcl_dtype dtype, kd_arg_kind host_input,
                        kb_arena *arena)
{
    const lines places = places_of_whole(work);
    launch_args args = {0};
    kd_kernel *kernel;
    kcl_status status = get_kernel(context, dtype, work->values.dtype == KCL_I64 ? "take" : "whole", &kernel);
    const int64_t *axes = status == KCL_OK ? table_of(&places, NULL, arena, kd_error(context)) : NULL;
    if (!axes)
        return kd_error(context)->status;
    put_view(&args, &work->values, host_input);
    put_array(&args, kl_view_arg(&work->out, KD_ARG_HOST_OUT));
    put_value(&args, places_of(&places));
    put_value(&args, work->out.dim);
    put_numbers(&args, axes, 3 * places.count, host_input);
    put_value(&args, places.count);
    return launch(context, kernel, &args, places_of(&places) * work->out.dim);
}

static bool is_empty(const kl_view *v)
{
    return !v->rows || !kl_batch_count(&v->batch);
}

kcl_status kl_run_indexed(kcl_context *context, const kl_indexed *work, kcl_dtype dtype, kd_arg_kind host_input,
                          kb_arena *arena)
{
    if (is_empty(&work->out))
        return KCL_OK;
    return work->kind == KL_WHOLE     ? whole(context, work, dtype, host_input, arena)
           : work->kind == KL_SCATTER ? scatter(context, work, dtype, host_input, arena)
                                      : gather(context, work, dtype, host_input, arena);
}

/* ---- The interpreter --------------------------------------------------------------------------------------------- */

/* The element so many bytes behind the first. */
static double number_at(const kl_view *v, int64_t at)
{
    return kb_number((const char *)v->data + at, v->dtype);
}

static int64_t integer_at(const kl_view *v, int64_t at)
{
    int64_t value;
    memcpy(&value, (const char *)v->data + at, sizeof value);
    return value;
}

static void gather_on_host(const kl_indexed *work, double *out)
{
    digits d;
    const lines places = places_of_gather(work, &d);
    const int64_t *index = work->index.data, step = work->values.step / work->unit;
    int64_t place[MOST_AXES] = {0}, of_index = 0, from = 0;
    for (int64_t p = places_of(&places); p > 0; p--) {
        for (int64_t q = 0; q < work->index.dim; q++) {
            const int64_t n = index[of_index + q], row = from + place_of_term(&d, n);
            for (int64_t c = 0; c < work->values.dim; c++)
                *out++ = is_term(&d, n) ? number_at(&work->values, row + c * step) : 0;
        }
        go_on(&places, place, &of_index, &from);
    }
}

static kcl_status scatter_on_host(const kl_indexed *work, double *out, const kcl_allocator *allocator, kb_error *err)
{
    const spread over = spread_of(work);
    const int64_t *index = work->index.data, count = work->index.dim, dim = work->out.dim;
    const int64_t step = work->values.step / work->unit;
    const int64_t targets = places_of(&over.targets), elements = targets * places_of(&over.planes) * dim;
    double *error = kb_calloc(allocator, (size_t)elements + 1, sizeof *error);
    int64_t *row_of = kb_calloc(allocator, (size_t)targets + 1, sizeof *row_of); /* in the result */
    int64_t place[MOST_AXES] = {0}, ignored = 0, row = 0;
    if (!error || !row_of) {
        kb_free(allocator, error);
        kb_free(allocator, row_of);
        return kb_no_memory(err);
    }
    for (int64_t t = 0; t < targets; t++) {
        row_of[t] = row;
        go_on(&over.targets, place, &ignored, &row);
    }
    memset(out, 0, (size_t)elements * sizeof *out);
    int64_t at_plane[MOST_AXES] = {0}, of_plane = 0, to_plane = 0;
    for (int64_t n = places_of(&over.planes); n > 0; n--) {
        int64_t from = of_plane, target = 0;
        memset(place, 0, sizeof place);
        for (int64_t p = 0; p < places_of(&over.places); p++) {
            for (int64_t q = 0; q < count; q++) {
                const int64_t n = index[p * count + q];
                for (int64_t c = 0; c < dim && is_term(&over.digits, n); c++) {
                    const int64_t to = to_plane + row_of[target + place_of_term(&over.digits, n)] + c;
                    kf_sum_add(&out[to], &error[to], number_at(&work->values, from + (q * dim + c) * step));
                }
            }
            go_on(&over.places, place, &from, &target);
        }
        go_on(&over.planes, at_plane, &of_plane, &to_plane);
    }
    for (int64_t e = 0; e < elements; e++)
        out[e] = kf_sum_value(out[e], error[e]);
    kb_free(allocator, error);
    kb_free(allocator, row_of);
    return KCL_OK;
}

/* Rounded, half away from zero; -1 for NaN and what is below 0. */
static int64_t index_of(double value)
{
    value = round(value);
    return value >= 0 && value < 0x1p62 ? (int64_t)value : -1;
}

static void whole_on_host(const kl_indexed *work, int64_t *out)
{
    const kl_view *values = &work->values;
    const lines places = places_of_whole(work);
    int64_t place[MOST_AXES] = {0}, from = 0, ignored = 0;
    for (int64_t p = places_of(&places); p > 0; p--) {
        for (int64_t k = 0, at = from; k < work->out.dim; k++, at += values->step)
            *out++ = values->dtype == KCL_I64 ? integer_at(values, at) : index_of(number_at(values, at));
        go_on(&places, place, &from, &ignored);
    }
}

kcl_status kl_run_indexed_on_host(const kl_indexed *work, const kcl_allocator *allocator, kb_error *err)
{
    void *out = (void *)(uintptr_t)work->out.data;
    if (is_empty(&work->out))
        return KCL_OK;
    if (work->kind == KL_SCATTER)
        return scatter_on_host(work, out, allocator, err);
    if (work->kind == KL_WHOLE)
        whole_on_host(work, out);
    else
        gather_on_host(work, out);
    return KCL_OK;
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
