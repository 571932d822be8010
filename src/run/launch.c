/* SPDX-License-Identifier: MIT */
/* run/launch.c: what all launches of kernels on a device need. */
#include "launch.h"
#include "cache.h"

kcl_status kx_wait_for(kcl_context *context, kcl_status status)
{
    if (status == KCL_OK)
        return kd_finish(context);
    kb_error first = *kd_error(context);
    kd_finish(context);
    *kd_error(context) = first;
    return status;
}

kd_arg kx_view_arg(const kx_view *v, kd_arg_kind host_kind)
{
    if (v->buffer || v->memory)
        return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = v->buffer ? v->buffer : kd_memory_buffer(v->memory)};
    return (kd_arg){.kind = host_kind, .data = v->data, .size = kx_span(v)};
}

size_t kx_group_for(kcl_context *context, kd_kernel *kernel)
{
    enum { GROUP = 64 };
    size_t group = (size_t)KB_MAX(KB_MIN(GROUP, kd_caps(context)->max_work_group), 1);
    size_t limit = kd_kernel_limits(context, kernel)->work_group;
    return limit ? KB_MIN(group, limit) : group;
}

/* ---- Copies ------------------------------------------------------------------------------------------------------- */

static void write_copy(kb_str *out, unsigned element_size)
{
    kt_render_copy(out, element_size);
}

/* Between the batches at `place` of a device array and of the copy that kernels work on. */
static kcl_status copy_batch(kcl_context *context, const kx_view *from, const kx_view *to,
                             const int64_t place[KF_MAX_BATCH])
{
    enum { MOST_GROUPS = 4096 };
    const int64_t size = (int64_t)kb_dtype_size(from->dtype), elements = to->rows * to->dim;
    const kx_view *ends[2] = {from, to};
    int64_t values[8];
    kd_arg args[10];
    kd_kernel *kernel;
    if (!elements)
        return KCL_OK;
    if (kx_own_kernel(context, write_copy, (unsigned)size, "copy", "copy", &kernel) < 0)
        return kd_error(context)->status;
    for (int k = 0; k < 2; k++) {
        args[5 * k - k] = kx_view_arg(ends[k], KD_ARG_HOST_IN);
        values[3 * k] = ((ends[k]->buffer ? 0 : ends[k]->offset) + kx_offset_at(ends[k], place)) / size;
        values[3 * k + 1] = ends[k]->row_stride / size;
        values[3 * k + 2] = ends[k]->step / size;
    }
    /* A single row stands for all rows. */
    if (from->rows == 1)
        values[1] = 0;
    values[6] = to->rows;
    values[7] = to->dim;
    for (int k = 0; k < 8; k++)
        args[k + 1 + (k >= 3)] = (kd_arg){.kind = KD_ARG_VALUE, .data = &values[k], .size = sizeof values[k]};
    size_t group = kx_group_for(context, kernel);
    size_t groups = KB_MIN(((size_t)elements + group - 1) / group, MOST_GROUPS);
    return kd_launch(context, kernel, 10, args, (size_t[]){groups * group, 1, 1}, (size_t[]){group, 1, 1});
}

kcl_status kx_copy_on_device(kcl_context *context, const kx_view *from, const kx_view *to)
{
    int64_t place[KF_MAX_BATCH] = {0};
    kg_batch own = kx_own_batch(to);
    kcl_status status = KCL_OK;
    if (kx_is_empty(to))
        return KCL_OK;
    do
        status = copy_batch(context, from, to, place);
    while (status == KCL_OK && kx_next_place(&own, place));
    return status;
}
