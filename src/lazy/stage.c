/* SPDX-License-Identifier: MIT */
/* lazy/stage.c: what kernels can reach of arrays where they are, and copies of the rest. */
#include "stage.h"
#include "batch.h"

#include <stdio.h>
#include <string.h>

bool kl_is_empty(const kl_view *v)
{
    return v->rows == 0 || kl_batch_count(&v->batch) == 0;
}

size_t kl_span(const kl_view *v)
{
    if (kl_is_empty(v))
        return 0;
    int64_t length = (v->rows - 1) * v->row_stride + (v->dim - 1) * v->step;
    for (int k = 0; k < v->batch.count; k++)
        length += (v->batch.size[k] - 1) * v->batch_stride[k];
    return (size_t)length + kb_dtype_size(v->dtype);
}

kl_batch kl_own_batch(const kl_view *v)
{
    kl_batch own = v->batch;
    for (int k = 0; k < own.count; k++)
        if (!v->batch_stride[k] && own.size[k])
            own.size[k] = 1;
    return own;
}

/* Strides for elements without gaps, each of them once. Returns their number. */
static int64_t pack(kl_view *v)
{
    kl_batch own = kl_own_batch(v);
    int64_t count = v->rows * v->dim;
    v->step = (int64_t)kb_dtype_size(v->dtype);
    v->row_stride = v->dim * v->step;
    kl_dense_strides(&own, v->rows * v->row_stride, v->batch_stride);
    return kl_batch_count(&own) * count;
}

bool kl_has_dense_rows(const kl_view *v)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype);
    return (v->dim == 1 || v->step == size) && (v->rows <= 1 || v->row_stride == v->dim * size);
}

static bool is_dense(const kl_view *v)
{
    int64_t stride[KF_MAX_BATCH];
    kl_dense_strides(&v->batch, v->rows * v->dim * (int64_t)kb_dtype_size(v->dtype), stride);
    for (int k = 0; k < v->batch.count; k++)
        if (v->batch_stride[k] != stride[k])
            return false;
    return kl_has_dense_rows(v);
}

/* Whether kernels can reach the elements: whole elements apart, forwards. */
static bool is_reachable(const kl_view *v, bool with_step)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype);
    bool rows_ok = v->rows <= 1 || (v->row_stride >= 0 && v->row_stride % size == 0);
    bool step_ok = v->dim == 1 || v->step == size || (with_step && v->step >= 0 && v->step % size == 0);
    for (int k = 0; k < v->batch.count; k++)
        rows_ok = rows_ok && v->batch_stride[k] >= 0 && v->batch_stride[k] % size == 0;
    return rows_ok && step_ok && v->offset == 0 && (uintptr_t)v->data % (size_t)size == 0;
}

bool kl_next_place(const kl_batch *batch, int64_t place[KF_MAX_BATCH])
{
    for (int k = 0; k < batch->count; k++) {
        if (++place[k] < batch->size[k])
            return true;
        place[k] = 0;
    }
    return false;
}

int64_t kl_offset_at(const kl_view *v, const int64_t place[KF_MAX_BATCH])
{
    int64_t offset = 0;
    for (int k = 0; k < v->batch.count; k++)
        offset += place[k] * v->batch_stride[k];
    return offset;
}

/* Copies all elements of view `to`, at `target`, from those at `source`, where one row may be that of all. */
static void copy_view(const kl_view *from, const char *source, const kl_view *to, char *target)
{
    size_t size = kb_dtype_size(to->dtype);
    int64_t place[KF_MAX_BATCH] = {0}, row_stride = from->rows == 1 ? 0 : from->row_stride;
    kl_batch own = kl_own_batch(to);
    if (kl_is_empty(to))
        return;
    do {
        const char *start = source + kl_offset_at(from, place);
        char *first = target + kl_offset_at(to, place);
        for (int64_t i = 0; i < to->rows; i++)
            for (int64_t k = 0; k < to->dim; k++)
                memcpy(first + i * to->row_stride + k * to->step, start + i * row_stride + k * from->step, size);
    } while (kl_next_place(&own, place));
}

void *kl_host_data(const kl_view *v)
{
    return v->memory ? (char *)kd_memory_host(v->memory) + v->offset : (void *)(uintptr_t)v->data;
}

/* ---- Dense copies ------------------------------------------------------------------------------------------------ */

/* Whether kernels can work on it where it is. */
static bool is_usable(const kl_view *v, bool is_output, bool copies)
{
    /* Of host arrays whole copies come back: what lies between the elements of an output would be overwritten. */
    return is_reachable(v, is_output) && (!is_output || v->memory || !copies || is_dense(v));
}

kcl_status kl_stage(kl_staging *s, kcl_context *context, size_t count, const kl_view *views, const kl_root *roots,
                    const kr_scale *scales)
{
    const kcl_allocator *a = kd_allocator(context);
    const bool host = kd_is_host(context), copies = kd_copies(context);
    *s = (kl_staging){.count = count};
    s->views = kb_calloc(a, count + 1, sizeof *s->views);
    s->memory = kb_calloc(a, count + 1, sizeof *s->memory);
    if (!s->views || !s->memory)
        return kb_no_memory(kd_error(context));
    for (size_t k = 0; k < count; k++) {
        unsigned repeats = roots ? roots[k].repeats : 0;
        s->views[k] = views[k];
        if (!repeats && (host || is_usable(&views[k], roots != NULL, copies)))
            continue;
        kl_view *v = &s->views[k];
        v->rows = repeats & KF_PAIR_AXES ? 1 : v->rows;
        for (int b = 0; b < v->batch.count; b++)
            if (repeats & KF_BATCH_AXIS(b))
                v->batch.size[b] = 1;
        int64_t elements = pack(v);
        if (v->memory && !host) {
            kcl_status status = kd_buffer_create(context, (size_t)(elements * v->step), &v->buffer);
            if (status < 0)
                return status;
            continue;
        }
        s->memory[k] = kb_calloc(a, (size_t)v->step, (size_t)KB_MAX(elements, 1));
        if (!s->memory[k])
            return kb_no_memory(kd_error(context));
        v->data = s->memory[k];
        v->memory = NULL;
        v->offset = 0;
        if (!roots || kl_is_read(scales, k))
            copy_view(&views[k], views[k].data, v, s->memory[k]);
    }
    return KCL_OK;
}

void kl_unstage(kl_staging *s, kcl_context *context, const kl_view *results)
{
    const kcl_allocator *a = kd_allocator(context);
    for (size_t k = 0; s->memory && k < s->count; k++) {
        if (s->memory[k] && results)
            copy_view(&s->views[k], s->memory[k], &results[k], kl_host_data(&results[k]));
        kb_free(a, s->memory[k]);
        kd_buffer_release(context, &s->views[k].buffer);
    }
    kb_free(a, s->memory);
    kb_free(a, s->views);
}

bool kl_all_usable(size_t count, const kl_view *views, bool is_output, bool copies)
{
    for (size_t k = 0; k < count; k++)
        if (!is_usable(&views[k], is_output, copies))
            return false;
    return true;
}

/* ---- Arrays on the device ---------------------------------------------------------------------------------------- */

kcl_status kl_check_memory(kcl_context *context, const kcl_memory *memory, int64_t lowest, int64_t highest,
                           int64_t offset, kcl_dtype dtype, const char *what)
{
    kb_error *err = kd_error(context);
    if (!memory)
        return KCL_OK;
    if (!kd_has_memory(context, memory))
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "%s is in device memory that this context does not have: it was released, or belongs to another "
                       "context",
                       what);
    if (offset % (int64_t)kb_dtype_size(dtype))
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "%s begins at byte %lld of its device memory, which is no multiple of "
                       "the %zu bytes of a %s",
                       what, (long long)offset, kb_dtype_size(dtype), kb_dtype_name(dtype));
    if (lowest < 0 || (uint64_t)highest > kcl_memory_size(memory))
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s takes the bytes %lld to %lld of its device memory, which has %zu",
                       what, (long long)lowest, (long long)highest, kcl_memory_size(memory));
    return KCL_OK;
}

static bool has_whole_strides(const kl_view *v)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype);
    for (int k = 0; k < v->batch.count; k++)
        if (v->batch_stride[k] % size)
            return false;
    return v->row_stride % size == 0 && v->step % size == 0;
}

static void range_of(const kl_view *v, int64_t *lowest, int64_t *highest)
{
    int64_t shape[2 + KF_MAX_BATCH] = {v->rows, v->dim}, stride[2 + KF_MAX_BATCH] = {v->row_stride, v->step};
    for (int k = 0; k < v->batch.count; k++) {
        shape[2 + k] = v->batch.size[k];
        stride[2 + k] = v->batch_stride[k];
    }
    kl_range_of(2 + v->batch.count, shape, stride, v->offset, v->dtype, lowest, highest);
}

static bool overlap(const kl_view *a, const kl_view *b)
{
    int64_t low[2], high[2], width[2];
    range_of(a, &low[0], &high[0]);
    range_of(b, &low[1], &high[1]);
    if (!a->memory || a->memory != b->memory || low[0] >= high[1] || low[1] >= high[0])
        return false;
    /* Columns of one matrix lie side by side. */
    const int64_t pitch = a->row_stride;
    if (a->batch.count || b->batch.count || a->rows < 2 || b->rows < 2 || pitch <= 0 || b->row_stride != pitch)
        return true;
    width[0] = high[0] - low[0] - (a->rows - 1) * pitch;
    width[1] = high[1] - low[1] - (b->rows - 1) * pitch;
    int64_t from = low[0] % pitch, to = (low[1] - from) % pitch;
    to = to < 0 ? to + pitch : to;
    return to < width[0] || to + width[1] > pitch;
}

kcl_status kl_check_arrays(const kl_exec *e, kcl_context *context, const kl_view *slots, const kl_view *outs)
{
    for (size_t k = 0; k < e->slot_count + e->root_count; k++) {
        bool is_slot = k < e->slot_count;
        const kl_view *v = is_slot ? &slots[k] : &outs[k - e->slot_count];
        int64_t lowest, highest;
        char output[32];
        if (!v->memory)
            continue;
        range_of(v, &lowest, &highest);
        snprintf(output, sizeof output, "output %zu", k - e->slot_count);
        if (kl_check_memory(context, v->memory, lowest, highest, v->offset, v->dtype,
                            is_slot ? e->slots[k].name : output) < 0)
            return kd_error(context)->status;
        if (!has_whole_strides(v))
            return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT,
                           "%s is in device memory, where strides must be multiples of the %zu bytes of a %s",
                           is_slot ? e->slots[k].name : output, kb_dtype_size(v->dtype), kb_dtype_name(v->dtype));
        for (size_t m = 0; !is_slot && m < k; m++)
            if (overlap(m < e->slot_count ? &slots[m] : &outs[m - e->slot_count], v))
                return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT,
                               "output %zu and %s overlap in device memory: give each output memory of its own",
                               k - e->slot_count, m < e->slot_count ? e->slots[m].name : "an output before it");
    }
    return KCL_OK;
}

static size_t packed_size(const kl_view *v)
{
    kl_view packed = *v;
    return (size_t)pack(&packed) * kb_dtype_size(v->dtype);
}

bool kl_has_little_host_data(size_t count, const kl_view *views)
{
    enum { LITTLE = 1 << 16 };
    size_t bytes = 0;
    for (size_t k = 0; k < count && bytes <= LITTLE; k++) {
        const kl_view *v = &views[k];
        bytes += v->memory ? 0 : is_reachable(v, false) ? kl_span(v) : packed_size(v);
    }
    return bytes <= LITTLE;
}

bool kl_all_on_device(size_t count, const kl_view *views)
{
    for (size_t k = 0; k < count; k++)
        if (!views[k].memory)
            return false;
    return true;
}
