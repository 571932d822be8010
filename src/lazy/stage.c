/* SPDX-License-Identifier: MIT */
/* lazy/stage.c: what kernels can reach of arrays where they are, and copies of the rest. */
#include "stage.h"
#include "batch.h"
#include "overlap.h"

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

/* Gives the view of `s` memory of its own. */
static kcl_status stage_view(kl_staging *s, kcl_context *context, size_t k, unsigned repeats)
{
    kl_view *v = &s->views[k];
    v->rows = repeats & KF_PAIR_AXES ? 1 : v->rows;
    for (int b = 0; b < v->batch.count; b++)
        if (repeats & KF_BATCH_AXIS(b))
            v->batch.size[b] = 1;
    int64_t elements = pack(v);
    if (v->memory && !kd_is_host(context))
        return kd_buffer_create(context, (size_t)(elements * v->step), &v->buffer);
    s->memory[k] = kb_calloc(kd_allocator(context), (size_t)v->step, (size_t)KB_MAX(elements, 1));
    if (!s->memory[k])
        return kb_no_memory(kd_error(context));
    v->data = s->memory[k];
    v->memory = NULL;
    v->offset = 0;
    return KCL_OK;
}

/* As many views, none of them staged. */
static kcl_status start_staging(kl_staging *s, kcl_context *context, size_t count, const kl_view *views)
{
    const kcl_allocator *a = kd_allocator(context);
    *s = (kl_staging){.count = count};
    s->views = kb_calloc(a, count + 1, sizeof *s->views);
    s->memory = kb_calloc(a, count + 1, sizeof *s->memory);
    if (!s->views || !s->memory)
        return kb_no_memory(kd_error(context));
    for (size_t k = 0; k < count; k++)
        s->views[k] = views[k];
    return KCL_OK;
}

kcl_status kl_stage_inputs(kl_staging *s, kcl_context *context, const kl_exec *e, const kl_view *slots)
{
    kcl_status status = start_staging(s, context, e->slot_count, slots);
    for (size_t k = 0; status == KCL_OK && k < s->count; k++) {
        if (kd_is_host(context) || is_usable(&slots[k], false, kd_copies(context)))
            continue;
        status = stage_view(s, context, k, 0);
        if (s->memory[k])
            copy_view(&slots[k], slots[k].data, &s->views[k], s->memory[k]);
    }
    return status;
}

static bool is_input(const kl_exec *e, const kl_view *slots, const kl_view *out)
{
    for (size_t k = 0; k < e->slot_count; k++)
        if (kl_overlap(&slots[k], out))
            return true;
    return false;
}

kcl_status kl_stage_outputs(kl_staging *s, kcl_context *context, const kl_exec *e, const kl_view *slots,
                            const kl_view *outs, const kr_scale *scales)
{
    const bool host = kd_is_host(context), copies = kd_copies(context);
    kcl_status status = start_staging(s, context, e->root_count, outs);
    for (size_t k = 0; status == KCL_OK && k < s->count; k++) {
        const unsigned repeats = e->root[k].repeats;
        if (!repeats && (host || is_usable(&outs[k], true, copies)) && !is_input(e, slots, &outs[k]))
            continue;
        status = stage_view(s, context, k, repeats);
        if (s->memory[k] && kl_is_read(scales, k))
            copy_view(&outs[k], kl_host_data(&outs[k]), &s->views[k], s->memory[k]);
    }
    return status;
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

/* Whether a device array is there, and kernels can work on it or copy it. */
static kcl_status check_device_array(kcl_context *context, const kl_view *v, const char *what)
{
    const bool is_empty = v->low == v->high;
    if (kl_check_memory(context, v->memory, is_empty ? 0 : v->offset + v->low, is_empty ? 0 : v->offset + v->high,
                        v->offset, v->dtype, what) < 0)
        return kd_error(context)->status;
    if (!has_whole_strides(v))
        return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT,
                       "%s is in device memory, where strides must be multiples of the %zu bytes of a %s", what,
                       kb_dtype_size(v->dtype), kb_dtype_name(v->dtype));
    return KCL_OK;
}

/* Whether output k overlaps no other array but an input that it is; *shares tells of such a one. */
static kcl_status check_output(const kl_exec *e, const kl_view *slots, const kl_view *outs, size_t k, bool *shares,
                               kb_error *err)
{
    for (size_t m = 0; m < e->slot_count; m++) {
        if (!kl_overlap(&slots[m], &outs[k]))
            continue;
        if (!kl_is_same_array(&slots[m], &outs[k]))
            return kb_fail(err, KCL_ERROR_ARGUMENT,
                           "output %zu and %s overlap: an output needs memory of its own, or is an input as a whole, "
                           "with the same first element, number type, sizes and strides",
                           k, e->slots[m].name);
        *shares = true;
    }
    for (size_t m = 0; m < k; m++)
        if (kl_overlap(&outs[m], &outs[k]))
            return kb_fail(err, KCL_ERROR_ARGUMENT, "output %zu and output %zu overlap: each needs memory of its own",
                           m, k);
    return KCL_OK;
}

kcl_status kl_check_arrays(const kl_exec *e, kcl_context *context, const kl_view *slots, const kl_view *outs,
                           bool *shares)
{
    char output[32];
    *shares = false;
    for (size_t k = 0; k < e->slot_count; k++)
        if (slots[k].memory && check_device_array(context, &slots[k], e->slots[k].name) < 0)
            return kd_error(context)->status;
    for (size_t k = 0; k < e->root_count; k++) {
        if (outs[k].memory) {
            snprintf(output, sizeof output, "output %zu", k);
            if (check_device_array(context, &outs[k], output) < 0)
                return kd_error(context)->status;
        }
        if (check_output(e, slots, outs, k, shares, kd_error(context)) < 0)
            return kd_error(context)->status;
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
