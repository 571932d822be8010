/* SPDX-License-Identifier: MIT */
/* run/places.c: which elements a gather or scatter reads and writes. */
#include "places.h"
#include "reductions.h"

enum { ROWS = 0 };

/* Rows, then the batch axes from the last one on: the fastest first, where an array is dense. */
static int64_t size_on(const kx_view *v, int axis)
{
    return axis == ROWS ? v->rows : kg_batch_size(&v->batch, axis - 1);
}

/* Distance of neighbours, in units of so many bytes; 0 where the array lacks the axis. */
static int64_t distance_on(const kx_view *v, int axis, int64_t unit)
{
    return size_on(v, axis) == 1 ? 0 : (axis == ROWS ? v->row_stride : v->batch_stride[axis - 1]) / unit;
}

/* In elements. */
static int64_t stride_on(const kx_view *v, int axis)
{
    return distance_on(v, axis, (int64_t)kb_dtype_size(v->dtype));
}

static int64_t stride_of_values(const kx_gather *work, int axis)
{
    return distance_on(&work->values, axis, work->unit);
}

static void add_line(kx_lines *to, int64_t size, int64_t first, int64_t second)
{
    to->of[to->count++] = (kx_line){size, first, second};
}

/* Where `v` has the axis. */
static void add_axis(kx_lines *to, const kx_view *v, int axis, int64_t first, int64_t second)
{
    if (size_on(v, axis) != 1)
        add_line(to, size_on(v, axis), first, second);
}

int64_t kx_places_of(const kx_lines *l)
{
    int64_t count = 1;
    for (int k = 0; k < l->count; k++)
        count *= l->of[k].size;
    return count;
}

void kx_go_on(const kx_lines *l, int64_t place[KX_MOST_AXES], int64_t *first, int64_t *second)
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
static bool is_told(const kx_gather *work, int axis)
{
    if (axis == ROWS)
        return work->chosen.part != KF_ROW_OF_PLACE;
    return work->chosen.batches & KF_BATCH_AXIS(axis - 1);
}

/* `stride`: distances in the table. */
static kx_digits digits_of(const kx_gather *work, const int64_t stride[KX_MOST_AXES])
{
    kx_digits d = {.terms = 1};
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
            add_line(&d.of, d.terms, kg_batch_size(&work->terms, k), stride[1 + k]);
        d.terms *= kg_batch_size(&work->terms, k);
    }
    if (!d.terms) /* no number has digits then */
        d.of.count = 0;
    return d;
}

bool kx_is_term(const kx_digits *d, int64_t n)
{
    return n >= 0 && n < d->terms;
}

int64_t kx_place_of_term(const kx_digits *d, int64_t n)
{
    int64_t place = 0;
    for (int k = 0; k < d->of.count; k++)
        place += n / d->of.of[k].size % d->of.of[k].first * d->of.of[k].second;
    return place;
}

kx_lines kx_places_of_gather(const kx_gather *work, kx_digits *d)
{
    kx_lines l = {0};
    int64_t told[KX_MOST_AXES];
    for (int axis = 0; axis < KX_MOST_AXES; axis++) {
        const int64_t stride = stride_of_values(work, axis);
        told[axis] = is_told(work, axis) ? stride : 0;
        add_axis(&l, &work->out, axis, stride_on(&work->index, axis), is_told(work, axis) ? 0 : stride);
    }
    *d = digits_of(work, told);
    return l;
}

kx_lines kx_places_of_whole(const kx_gather *work)
{
    kx_lines l = {0};
    for (int axis = 0; axis < KX_MOST_AXES; axis++)
        add_axis(&l, &work->out, axis, stride_of_values(work, axis), 0);
    return l;
}

kx_spread kx_spread_of(const kx_gather *work)
{
    kx_spread s = {0};
    int64_t target = 1, told[KX_MOST_AXES];
    for (int axis = 0; axis < KX_MOST_AXES; axis++) {
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
