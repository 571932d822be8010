/* SPDX-License-Identifier: MIT */
/* run/look.c: what decides the form of squared distances, of arrays in the memory of a device. */
#include "cache.h"
#include "launch.h"

#include <math.h>

/* Takes `count` rows, `step` rows apart, to the host; waits. */
static kcl_status read_rows(void *user, const kx_view *view, int64_t step, int64_t count, void *to)
{
    kcl_context *context = user;
    kx_view from = *view, dense = {.dtype = view->dtype, .rows = count, .dim = view->dim};
    from.rows = count;
    from.row_stride *= step;
    dense.step = (int64_t)kb_dtype_size(view->dtype);
    dense.row_stride = dense.dim * dense.step;
    size_t bytes = (size_t)(count * dense.row_stride);
    if (!bytes)
        return KCL_OK;
    kcl_status status = kd_buffer_create(context, bytes, &dense.buffer);
    if (status == KCL_OK)
        status = kx_copy_on_device(context, &from, &dense);
    if (status == KCL_OK)
        status = kd_read(context, dense.buffer, 0, to, bytes);
    status = kx_wait_for(context, status);
    kd_buffer_release(context, &dense.buffer);
    return status;
}

static kcl_status largest_on_device(void *user, const kx_view *view, const void *factor, const void *centre,
                                    double *most)
{
    enum { MOST_ITEMS = 1 << 14 };
    kcl_context *context = user;
    const kcl_allocator *a = kd_allocator(context);
    const int64_t size = (int64_t)kb_dtype_size(view->dtype);
    const int64_t values[] = {view->buffer ? 0 : view->offset / size, view->rows > 1 ? view->row_stride / size : 0,
                              view->step / size, view->rows, view->dim};
    kd_kernel *kernel = NULL;
    kd_buffer *results = NULL;
    kd_arg args[9];
    kb_str source;
    kb_str_init(&source, a);
    kt_render_squares(&source, view->dtype);
    kcl_status status = source.failed ? kb_no_memory(kd_error(context))
                                      : kx_own_kernel(context, kb_str_text(&source), "squares", "squares", &kernel);
    kb_str_finish(&source);
    if (status < 0)
        return status;
    size_t group = kx_group_for(context, kernel);
    size_t items = (size_t)(KB_MIN(view->rows, MOST_ITEMS) + (int64_t)group - 1) / group * group;
    char *host = kb_calloc(a, items, (size_t)size);
    status = host ? kd_buffer_create(context, items * (size_t)size, &results) : kb_no_memory(kd_error(context));
    if (status == KCL_OK) {
        args[0] = kx_view_arg(view, KD_ARG_HOST_IN);
        for (int k = 0; k < 5; k++)
            args[k + 1] = (kd_arg){.kind = KD_ARG_VALUE, .data = &values[k], .size = sizeof values[k]};
        args[6] = (kd_arg){.kind = KD_ARG_HOST_IN, .data = factor, .size = (size_t)(view->dim * size)};
        args[7] = (kd_arg){.kind = KD_ARG_HOST_IN, .data = centre, .size = (size_t)(view->dim * size)};
        args[8] = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = results};
        status = kd_launch(context, kernel, 9, args, (size_t[]){items, 1, 1}, (size_t[]){group, 1, 1});
    }
    if (status == KCL_OK)
        status = kd_read(context, results, 0, host, items * (size_t)size);
    status = kx_wait_for(context, status);
    *most = 0;
    for (size_t k = 0; status == KCL_OK && k < items; k++)
        *most = fmax(*most, size == sizeof(float) ? (double)((const float *)(const void *)host)[k]
                                                  : ((const double *)(const void *)host)[k]);
    kb_free(a, host);
    kd_buffer_release(context, &results);
    return status;
}

kx_device_eyes kx_eyes_of(kcl_context *context)
{
    return (kx_device_eyes){context, read_rows, largest_on_device};
}
