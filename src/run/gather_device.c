/* SPDX-License-Identifier: MIT */
/* run/gather_device.c: gathers and scatters on an OpenCL device. */
#include "cache.h"
#include "launch.h"
#include "places.h"

#include <string.h>

/*
 * A scatter is a sum of segments: the parts of all places, sorted by the row of the table with a counting sort, which
 * keeps the order of parts of one row. Long segments are cut into pieces whose sums are added in a second pass, in
 * their order. Pieces depend on the indices alone: so do the results, bit for bit. Batches that have the indices in
 * common ("planes") have the segments in common too.
 */
enum { PIECE = 4096 };

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
static void find_targets(const kx_gather *work, const kx_spread *s, int64_t *index)
{
    int64_t place[KX_MOST_AXES] = {0}, from = 0, target = 0, count = work->index.dim;
    for (int64_t p = kx_places_of(&s->places); p > 0; p--) {
        for (int64_t q = 0; q < count; q++, index++)
            *index = kx_is_term(&s->digits, *index) ? target + kx_place_of_term(&s->digits, *index) : -1;
        kx_go_on(&s->places, place, &from, &target);
    }
}

/* By the target of every part. Launches refer to the memory of the segments till their batch ends: the arena's. */
static kcl_status sort_parts(segments *s, const kx_gather *work, const kx_spread *over, const int64_t *target,
                             kb_arena *arena, kb_error *err)
{
    const kcl_allocator *a = &arena->allocator;
    const int64_t count = work->index.dim, parts = kx_places_of(&over->places) * count,
                  targets = kx_places_of(&over->targets);
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
        int64_t place[KX_MOST_AXES] = {0}, from = 0, ignored = 0;
        s->start[s->pieces] = s->parts;
        s->first[targets] = s->pieces;
        for (int64_t p = 0; p < parts; p++) {
            if (target[p] >= 0)
                s->order[next[target[p]]++] = from + p % count * dim * step;
            if (p % count == count - 1)
                kx_go_on(&over->places, place, &from, &ignored);
        }
        for (int64_t n = 0; n < s->pieces && s->pieces > targets; n++)
            s->sums[n] = n * dim;
    }
    kb_free(a, next);
    return ok ? KCL_OK : kb_no_memory(err);
}

/* ---- Devices ----------------------------------------------------------------------------------------------------- */

static void write_indexed(kb_str *out, unsigned dtype)
{
    kt_render_indexed(out, (kcl_dtype)dtype);
}

static kcl_status get_kernel(kcl_context *context, kcl_dtype dtype, const char *name, kd_kernel **kernel)
{
    return kx_own_kernel(context, write_indexed, (unsigned)dtype, name, "indexed", kernel);
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
static void put_view(launch_args *args, const kx_view *v, kd_arg_kind host_input)
{
    const int64_t size = (int64_t)kb_dtype_size(v->dtype);
    put_array(args, kx_view_arg(v, host_input));
    put_value(args, v->buffer ? 0 : v->offset / size);
    put_value(args, v->step / size);
}

static void put_numbers(launch_args *args, const int64_t *of, int64_t count, kd_arg_kind host_input)
{
    put_array(args, (kd_arg){.kind = host_input, .data = of, .size = (size_t)KB_MAX(count, 1) * sizeof *of});
}

/* Lines of one or two tables, in memory of the arena. */
static int64_t *table_of(const kx_lines *a, const kx_lines *b, kb_arena *arena, kb_error *err)
{
    kx_line *table = kb_arena_alloc(arena, (size_t)(a->count + (b ? b->count : 0) + 1) * sizeof *table);
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
    size_t group = kx_group_for(context, kernel), groups = ((size_t)items + group - 1) / group;
    return kd_launch(context, kernel, args->count, args->of, (size_t[]){KB_MIN(groups, MOST_GROUPS) * group, 1, 1},
                     (size_t[]){group, 1, 1});
}

static kcl_status gather(kcl_context *context, const kx_gather *work, kcl_dtype dtype, kd_arg_kind host_input,
                         kb_arena *arena)
{
    kx_digits d;
    const kx_lines places = kx_places_of_gather(work, &d);
    kb_error *err = kd_error(context);
    launch_args args = {0};
    kd_kernel *kernel;
    kcl_status status = get_kernel(context, dtype, "gather", &kernel);
    const int64_t *axes = status == KCL_OK ? table_of(&places, NULL, arena, err) : NULL;
    const int64_t *told = axes ? table_of(&d.of, NULL, arena, err) : NULL;
    if (!told)
        return err->status;
    put_view(&args, &work->values, host_input);
    put_array(&args, kx_view_arg(&work->index, host_input));
    put_array(&args, kx_view_arg(&work->out, KD_ARG_HOST_OUT));
    put_value(&args, kx_places_of(&places));
    put_value(&args, work->index.dim);
    put_value(&args, work->values.dim);
    put_value(&args, d.terms);
    put_numbers(&args, axes, 3 * places.count, host_input);
    put_value(&args, places.count);
    put_numbers(&args, told, 3 * d.of.count, host_input);
    put_value(&args, d.of.count);
    return launch(context, kernel, &args, kx_places_of(&places) * work->out.dim);
}

/* Sums of `pieces` pieces, which begin at `start` in `order`, in every plane; `to` says where pieces go. */
static kcl_status add_pieces(kcl_context *context, kd_kernel *kernel, const kx_view *values, kd_arg_kind host_input,
                             const int64_t *order, int64_t parts, const int64_t *start, int64_t pieces,
                             const kx_lines *to, const kx_lines *planes, const kx_view *out, kb_arena *arena)
{
    launch_args args = {0};
    const int64_t *axes = table_of(to, planes, arena, kd_error(context)), count = kx_places_of(planes);
    if (!axes)
        return kd_error(context)->status;
    put_view(&args, values, host_input);
    put_numbers(&args, order, parts, host_input);
    put_numbers(&args, start, pieces + 1, host_input);
    put_array(&args, kx_view_arg(out, KD_ARG_HOST_OUT));
    put_value(&args, pieces);
    put_value(&args, out->dim);
    put_value(&args, count);
    put_numbers(&args, axes, 3 * (to->count + planes->count), host_input);
    put_value(&args, to->count);
    put_value(&args, planes->count);
    return launch(context, kernel, &args, count * pieces * out->dim);
}

/* The same where long segments are in pieces, whose sums are added up in `partial`, a plane behind the other. */
static kcl_status add_sums_of_pieces(kcl_context *context, kd_kernel *kernel, const kx_gather *work,
                                     kd_arg_kind host_input, const segments *s, const kx_spread *over, kb_arena *arena)
{
    const int64_t size = (int64_t)kb_dtype_size(work->out.dtype), length = s->pieces * work->out.dim;
    kx_lines in_order = {.count = 1, .of = {{s->pieces, 0, work->out.dim}}}, to_partial = over->planes,
             from_partial = to_partial;
    int64_t plane = length;
    for (int k = 0; k < over->planes.count; k++) {
        to_partial.of[k].second = from_partial.of[k].first = plane;
        plane *= over->planes.of[k].size;
    }
    kx_view partial = {.dtype = work->out.dtype, .rows = plane / work->out.dim, .dim = work->out.dim, .step = size};
    partial.row_stride = partial.dim * size;
    kcl_status status = kd_buffer_create(context, (size_t)(plane * size), &partial.buffer);
    if (status == KCL_OK)
        status = add_pieces(context, kernel, &work->values, host_input, s->order, s->parts, s->start, s->pieces,
                            &in_order, &to_partial, &partial, arena);
    if (status == KCL_OK)
        status = add_pieces(context, kernel, &partial, host_input, s->sums, s->pieces, s->first,
                            kx_places_of(&over->targets), &over->targets, &from_partial, &work->out, arena);
    kd_buffer_release(context, &partial.buffer);
    return status;
}

static kcl_status scatter(kcl_context *context, const kx_gather *work, kcl_dtype dtype, kd_arg_kind host_input,
                          kb_arena *arena)
{
    const kcl_allocator *a = kd_allocator(context);
    const kx_spread over = kx_spread_of(work);
    const int64_t parts = kx_places_of(&over.places) * work->index.dim, targets = kx_places_of(&over.targets);
    segments s = {0};
    kd_kernel *kernel;
    int64_t *index = kb_calloc(a, (size_t)parts + 1, sizeof *index);
    if (!index)
        return kb_no_memory(kd_error(context));
    kcl_status status = get_kernel(context, dtype, "scatter", &kernel);
    if (status == KCL_OK && parts)
        status = kx_wait_for(context, kd_read(context, work->index.buffer, 0, index, (size_t)parts * sizeof *index));
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

static kcl_status whole(kcl_context *context, const kx_gather *work, kcl_dtype dtype, kd_arg_kind host_input,
                        kb_arena *arena)
{
    const kx_lines places = kx_places_of_whole(work);
    launch_args args = {0};
    kd_kernel *kernel;
    kcl_status status = get_kernel(context, dtype, work->values.dtype == KCL_I64 ? "take" : "whole", &kernel);
    const int64_t *axes = status == KCL_OK ? table_of(&places, NULL, arena, kd_error(context)) : NULL;
    if (!axes)
        return kd_error(context)->status;
    put_view(&args, &work->values, host_input);
    put_array(&args, kx_view_arg(&work->out, KD_ARG_HOST_OUT));
    put_value(&args, kx_places_of(&places));
    put_value(&args, work->out.dim);
    put_numbers(&args, axes, 3 * places.count, host_input);
    put_value(&args, places.count);
    return launch(context, kernel, &args, kx_places_of(&places) * work->out.dim);
}

/*
 * A scatter waits for the device: the host sorts the indices. Both need memory of the run's arena, which lasts till what
 * was launched is done or has its own copy.
 */
kcl_status kx_gather_on_device(kx_run *r, const kx_gather *given)
{
    kx_gather work = *given;
    if (kx_is_empty(&work.out))
        return KCL_OK;
    work.unit = (int64_t)kb_dtype_size(work.values.dtype);
    return work.kind == KG_WHOLE     ? whole(r->context, &work, r->dtype, r->host_input, &r->arena)
           : work.kind == KG_SCATTER ? scatter(r->context, &work, r->dtype, r->host_input, &r->arena)
                                     : gather(r->context, &work, r->dtype, r->host_input, &r->arena);
}
