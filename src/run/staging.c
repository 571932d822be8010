/* SPDX-License-Identifier: MIT */
/* run/staging.c: what kernels can reach of arrays where they are, and copies of the rest. */
#include "staging.h"
#include "overlap.h"

#include <stdio.h>
#include <string.h>

/* Strides for elements without gaps, each of them once. Returns their number. */
static int64_t pack(kx_view *v)
{
    kg_batch own = kx_own_batch(v);
    int64_t count = v->rows * v->dim;
    v->step = (int64_t)kb_dtype_size(v->dtype);
    v->row_stride = v->dim * v->step;
    kg_dense_strides(&own, v->rows * v->row_stride, v->batch_stride);
    return kg_batch_count(&own) * count;
}

static bool is_dense(const kx_view *v)
{
    int64_t stride[KF_MAX_BATCH];
    kg_dense_strides(&v->batch, v->rows * v->dim * (int64_t)kb_dtype_size(v->dtype), stride);
    for (int k = 0; k < v->batch.count; k++)
        if (v->batch_stride[k] != stride[k])
            return false;
    return kx_has_dense_rows(v);
}

/* Whether kernels can reach the elements: whole elements apart, forwards. */
static bool is_reachable(const kx_view *v, bool with_step)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype);
    bool rows_ok = v->rows <= 1 || (v->row_stride >= 0 && v->row_stride % size == 0);
    bool step_ok = v->dim == 1 || v->step == size || (with_step && v->step >= 0 && v->step % size == 0);
    for (int k = 0; k < v->batch.count; k++)
        rows_ok = rows_ok && v->batch_stride[k] >= 0 && v->batch_stride[k] % size == 0;
    return rows_ok && step_ok && v->offset == 0 && (uintptr_t)v->data % (size_t)size == 0;
}

/* Copies all elements of view `to`, at `target`, from `source`, where a single row stands for all rows. */
static void copy_view(const kx_view *from, const char *source, const kx_view *to, char *target)
{
    size_t size = kb_dtype_size(to->dtype);
    int64_t place[KF_MAX_BATCH] = {0}, row_stride = from->rows == 1 ? 0 : from->row_stride;
    kg_batch own = kx_own_batch(to);
    if (kx_is_empty(to))
        return;
    do {
        const char *start = source + kx_offset_at(from, place);
        char *first = target + kx_offset_at(to, place);
        for (int64_t i = 0; i < to->rows; i++)
            for (int64_t k = 0; k < to->dim; k++)
                memcpy(first + i * to->row_stride + k * to->step, start + i * row_stride + k * from->step, size);
    } while (kx_next_place(&own, place));
}

/* ---- Dense copies ------------------------------------------------------------------------------------------------ */

bool kx_is_usable(kcl_context *context, const kx_view *v, bool is_output)
{
    /* Of host arrays whole copies come back: what lies between the elements of an output would be overwritten. */
    return is_reachable(v, is_output) && (!is_output || v->memory || !kd_copies(context) || is_dense(v));
}

/* Gives the view of `s` memory of its own. */
static kcl_status stage_view(kx_staging *s, const kx_run *r, size_t k, unsigned repeats)
{
    kx_view *v = &s->views[k];
    kcl_context *context = r->context;
    v->rows = repeats & KF_PAIR_AXES ? 1 : v->rows;
    for (int b = 0; b < v->batch.count; b++)
        if (repeats & KF_BATCH_AXIS(b))
            v->batch.size[b] = 1;
    int64_t elements = pack(v);
    if (v->memory && r->backend->has_memory)
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
static kcl_status start_staging(kx_staging *s, kcl_context *context, size_t count, const kx_view *views)
{
    const kcl_allocator *a = kd_allocator(context);
    *s = (kx_staging){.count = count};
    s->views = kb_calloc(a, count + 1, sizeof *s->views);
    s->memory = kb_calloc(a, count + 1, sizeof *s->memory);
    if (!s->views || !s->memory)
        return kb_no_memory(kd_error(context));
    for (size_t k = 0; k < count; k++)
        s->views[k] = views[k];
    return KCL_OK;
}

kcl_status kx_stage_inputs(kx_staging *s, const kx_run *r)
{
    kcl_status status = start_staging(s, r->context, r->program->slot_count, r->slots);
    for (size_t k = 0; status == KCL_OK && k < s->count; k++) {
        if (r->backend->reaches(r->context, &r->slots[k], false))
            continue;
        status = stage_view(s, r, k, 0);
        if (s->memory[k])
            copy_view(&r->slots[k], r->slots[k].data, &s->views[k], s->memory[k]);
    }
    return status;
}

static bool is_input(const kg_program *e, const kx_view *slots, const kx_view *out)
{
    for (size_t k = 0; k < e->slot_count; k++)
        if (kx_overlap(&slots[k], out))
            return true;
    return false;
}

kcl_status kx_stage_outputs(kx_staging *s, const kx_run *r)
{
    const kx_view *outs = r->outs;
    kcl_status status = start_staging(s, r->context, r->program->root_count, outs);
    for (size_t k = 0; status == KCL_OK && k < s->count; k++) {
        const unsigned repeats = r->program->roots[k].repeats;
        if (!repeats && r->backend->reaches(r->context, &outs[k], true) &&
            !is_input(r->program, r->given_slots, &outs[k]))
            continue;
        status = stage_view(s, r, k, repeats);
        if (s->memory[k] && kx_is_read(r->scales, k))
            copy_view(&outs[k], kx_host_data(&outs[k]), &s->views[k], s->memory[k]);
    }
    return status;
}

void kx_unstage(kx_staging *s, kcl_context *context, const kx_view *results)
{
    const kcl_allocator *a = kd_allocator(context);
    for (size_t k = 0; s->views && s->memory && k < s->count; k++) {
        if (s->memory[k] && results)
            copy_view(&s->views[k], s->memory[k], &results[k], kx_host_data(&results[k]));
        kb_free(a, s->memory[k]);
        kd_buffer_release(context, &s->views[k].buffer);
    }
    kb_free(a, s->memory);
    kb_free(a, s->views);
}

bool kx_all_reached(const kx_backend *backend, kcl_context *context, size_t count, const kx_view *views, bool is_output)
{
    for (size_t k = 0; k < count; k++)
        if (!backend->reaches(context, &views[k], is_output))
            return false;
    return true;
}

/* ---- Arrays on the device ---------------------------------------------------------------------------------------- */

kcl_status kx_check_memory(kcl_context *context, const kcl_memory *memory, int64_t lowest, int64_t highest,
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
    const uint64_t origin = kd_memory_origin(memory);
    if (offset % (int64_t)kb_dtype_size(dtype))
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "%s begins at byte %lld of its device memory, which is no multiple of "
                       "the %zu bytes of a %s",
                       what, (long long)offset, kb_dtype_size(dtype), kb_dtype_name(dtype));
    if (origin % kb_dtype_size(dtype))
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "%s is in device memory that begins at the address %#llx, which is no multiple of the %zu bytes "
                       "of a %s",
                       what, (unsigned long long)origin, kb_dtype_size(dtype), kb_dtype_name(dtype));
    if (lowest < 0 || (uint64_t)highest > kcl_memory_size(memory))
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s takes the bytes %lld to %lld of its device memory, which has %zu",
                       what, (long long)lowest, (long long)highest, kcl_memory_size(memory));
    return KCL_OK;
}

static bool has_whole_strides(const kx_view *v)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype);
    for (int k = 0; k < v->batch.count; k++)
        if (v->batch_stride[k] % size)
            return false;
    return v->row_stride % size == 0 && v->step % size == 0;
}

/* Whether a device array is there, and kernels can read it, write it, or copy it. */
static kcl_status check_device_array(kcl_context *context, const kx_view *v, const char *what, bool is_read,
                                     bool is_written)
{
    const bool is_empty = v->low == v->high;
    if (kx_check_memory(context, v->memory, is_empty ? 0 : v->offset + v->low, is_empty ? 0 : v->offset + v->high,
                        v->offset, v->dtype, what) < 0)
        return kd_error(context)->status;
    if (!has_whole_strides(v))
        return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT,
                       "%s is in device memory, where strides must be multiples of the %zu bytes of a %s", what,
                       kb_dtype_size(v->dtype), kb_dtype_name(v->dtype));
    const bool cannot_write = is_written && !kd_is_writable(v->memory);
    if (cannot_write || (is_read && !kd_is_readable(v->memory)))
        return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT,
                       "%s is in device memory that kernels may only %s (%s), and the call %s it", what,
                       cannot_write ? "read" : "write", cannot_write ? "CL_MEM_READ_ONLY" : "CL_MEM_WRITE_ONLY",
                       cannot_write ? "writes" : "reads");
    return KCL_OK;
}

/* Refuses output k where it overlaps another array, but for an input that is the same array: then *shares is set. */
static kcl_status check_output(const kg_program *e, const kx_view *slots, const kx_view *outs, size_t k, bool *shares,
                               kb_error *err)
{
    for (size_t m = 0; m < e->slot_count; m++) {
        if (!kx_overlap(&slots[m], &outs[k]))
            continue;
        if (!kx_is_same_array(&slots[m], &outs[k]))
            return kb_fail(err, KCL_ERROR_ARGUMENT,
                           "output %zu and %s overlap: an output needs memory of its own, or is an input as a whole, "
                           "with the same first element, number type, sizes and strides",
                           k, slots[m].name);
        *shares = true;
    }
    for (size_t m = 0; m < k; m++)
        if (kx_overlap(&outs[m], &outs[k]))
            return kb_fail(err, KCL_ERROR_ARGUMENT, "output %zu and output %zu overlap: each needs memory of its own",
                           m, k);
    return KCL_OK;
}

kcl_status kx_check_arrays(const kg_program *e, kcl_context *context, const kx_view *slots, const kx_view *outs,
                           const kr_scale *scales, bool *shares)
{
    char output[32];
    *shares = false;
    for (size_t k = 0; k < e->slot_count; k++)
        if (slots[k].memory && check_device_array(context, &slots[k], slots[k].name, true, false) < 0)
            return kd_error(context)->status;
    for (size_t k = 0; k < e->root_count; k++) {
        if (outs[k].memory) {
            snprintf(output, sizeof output, "output %zu", k);
            if (check_device_array(context, &outs[k], output, kx_is_read(scales, k), true) < 0)
                return kd_error(context)->status;
        }
        if (check_output(e, slots, outs, k, shares, kd_error(context)) < 0)
            return kd_error(context)->status;
    }
    return KCL_OK;
}

static size_t packed_size(const kx_view *v)
{
    kx_view packed = *v;
    return (size_t)pack(&packed) * kb_dtype_size(v->dtype);
}

bool kx_has_little_host_data(size_t count, const kx_view *views)
{
    enum { LITTLE = 1 << 16 };
    size_t bytes = 0;
    for (size_t k = 0; k < count && bytes <= LITTLE; k++) {
        const kx_view *v = &views[k];
        bytes += v->memory ? 0 : is_reachable(v, false) ? kx_span(v) : packed_size(v);
    }
    return bytes <= LITTLE;
}

bool kx_all_on_device(size_t count, const kx_view *views)
{
    for (size_t k = 0; k < count; k++)
        if (!views[k].memory)
            return false;
    return true;
}
