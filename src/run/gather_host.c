/* SPDX-License-Identifier: MIT */
/* run/gather_host.c: gathers and scatters by the interpreter. */
#include "interp.h"
#include "places.h"

#include <math.h>
#include <string.h>

/* The element so many bytes behind the first. */
static double number_at(const kx_view *v, int64_t at)
{
    return kb_number((const char *)v->data + at, v->dtype);
}

static int64_t integer_at(const kx_view *v, int64_t at)
{
    int64_t value;
    memcpy(&value, (const char *)v->data + at, sizeof value);
    return value;
}

static void gather_on_host(const kx_gather *work, double *out)
{
    kx_digits d;
    const kx_lines places = kx_places_of_gather(work, &d);
    const int64_t *index = work->index.data, step = work->values.step / work->unit;
    int64_t place[KX_MOST_AXES] = {0}, of_index = 0, from = 0;
    for (int64_t p = kx_places_of(&places); p > 0; p--) {
        for (int64_t q = 0; q < work->index.dim; q++) {
            const int64_t n = index[of_index + q], row = from + kx_place_of_term(&d, n);
            for (int64_t c = 0; c < work->values.dim; c++)
                *out++ = kx_is_term(&d, n) ? number_at(&work->values, row + c * step) : 0;
        }
        kx_go_on(&places, place, &of_index, &from);
    }
}

static kcl_status scatter_on_host(const kx_gather *work, double *out, const kcl_allocator *allocator, kb_error *err)
{
    const kx_spread over = kx_spread_of(work);
    const int64_t *index = work->index.data, count = work->index.dim, dim = work->out.dim;
    const int64_t step = work->values.step / work->unit;
    const int64_t targets = kx_places_of(&over.targets), elements = targets * kx_places_of(&over.planes) * dim;
    double *error = kb_calloc(allocator, (size_t)elements + 1, sizeof *error);
    int64_t *row_of = kb_calloc(allocator, (size_t)targets + 1, sizeof *row_of); /* in the result */
    int64_t place[KX_MOST_AXES] = {0}, ignored = 0, row = 0;
    if (!error || !row_of) {
        kb_free(allocator, error);
        kb_free(allocator, row_of);
        return kb_no_memory(err);
    }
    for (int64_t t = 0; t < targets; t++) {
        row_of[t] = row;
        kx_go_on(&over.targets, place, &ignored, &row);
    }
    memset(out, 0, (size_t)elements * sizeof *out);
    int64_t at_plane[KX_MOST_AXES] = {0}, of_plane = 0, to_plane = 0;
    for (int64_t n = kx_places_of(&over.planes); n > 0; n--) {
        int64_t from = of_plane, target = 0;
        memset(place, 0, sizeof place);
        for (int64_t p = 0; p < kx_places_of(&over.places); p++) {
            for (int64_t q = 0; q < count; q++) {
                const int64_t n = index[p * count + q];
                for (int64_t c = 0; c < dim && kx_is_term(&over.digits, n); c++) {
                    const int64_t to = to_plane + row_of[target + kx_place_of_term(&over.digits, n)] + c;
                    kf_sum_add(&out[to], &error[to], number_at(&work->values, from + (q * dim + c) * step));
                }
            }
            kx_go_on(&over.places, place, &from, &target);
        }
        kx_go_on(&over.planes, at_plane, &of_plane, &to_plane);
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

static void whole_on_host(const kx_gather *work, int64_t *out)
{
    const kx_view *values = &work->values;
    const kx_lines places = kx_places_of_whole(work);
    int64_t place[KX_MOST_AXES] = {0}, from = 0, ignored = 0;
    for (int64_t p = kx_places_of(&places); p > 0; p--) {
        for (int64_t k = 0, at = from; k < work->out.dim; k++, at += values->step)
            *out++ = values->dtype == KCL_I64 ? integer_at(values, at) : index_of(number_at(values, at));
        kx_go_on(&places, place, &from, &ignored);
    }
}

kcl_status kx_gather_on_host(const kx_gather *given, const kcl_allocator *allocator, kb_error *err)
{
    kx_gather work = *given;
    void *out = (void *)(uintptr_t)work.out.data;
    if (kx_is_empty(&work.out))
        return KCL_OK;
    work.unit = 1;
    work.values.data = kx_host_data(&work.values);
    if (work.kind == KG_SCATTER)
        return scatter_on_host(&work, out, allocator, err);
    if (work.kind == KG_WHOLE)
        whole_on_host(&work, out);
    else
        gather_on_host(&work, out);
    return KCL_OK;
}
