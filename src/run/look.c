/* SPDX-License-Identifier: MIT */
/* run/look.c: what decides the form of squared distances, of arrays in the memory of a device. */
#include "cache.h"
#include "launch.h"

enum { SHARE = 8, MOST_GROUPS = 1024 }; /* work-items that divide a row or a component; work-groups of an array */

/* Takes `count` rows, `step` rows apart, to the host; waits. */
static kcl_status read_rows(void *user, const kx_view *view, int64_t step, int64_t count, void *to)
{
    kcl_context *context = ((kx_looking *)user)->run->context;
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

/* ---- Kernels ----------------------------------------------------------------------------------------------------- */

enum { OF_F64 = 1, HAS_F64 = 2 };

static void write_squares(kb_str *out, unsigned variant)
{
    kt_render_squares(out, variant & OF_F64 ? KCL_F64 : KCL_F32, variant & HAS_F64);
}

/* Starts "centre" or "squares" on two sides, or on a single side, which then stands for both. */
static kcl_status launch(const kx_looking *l, const char *name, int count, const kx_side *sides, const kd_arg *centre,
                         kd_buffer *largest)
{
    kcl_context *context = l->run->context;
    const kx_view *of = sides[0].view;
    const int64_t size = (int64_t)kb_dtype_size(of->dtype), dim = of->dim;
    kd_kernel *kernel;
    int64_t values[2][6], rows = 0;
    kd_arg args[18];
    kd_arg *next = args;
    if (kx_own_kernel(context, write_squares,
                      (of->dtype == KCL_F64 ? OF_F64 : 0) | (kd_caps(context)->has_f64 ? HAS_F64 : 0), name, "squares",
                      &kernel) < 0)
        return kd_error(context)->status;
    for (int s = 0; s < 2; s++) {
        const kx_side *side = &sides[s < count ? s : 0];
        const kx_view *v = side->view;
        int64_t *value = values[s];
        value[0] = v->buffer ? 0 : v->offset / size;
        value[1] = v->rows > 1 ? v->row_stride / size : 0;
        value[2] = v->step / size;
        value[3] = v->rows;
        value[4] = !side->factor ? -1 : side->factor->dim > 1;
        *next++ = kx_view_arg(v, l->run->host_input);
        for (int k = 0; k < 4; k++)
            *next++ = (kd_arg){.kind = KD_ARG_VALUE, .data = &value[k], .size = sizeof *value};
        /* Where there is no factor the kernel takes any memory and reads none of it. */
        *next++ = side->factor ? kx_view_arg(side->factor, l->run->host_input)
                               : (kd_arg){.kind = KD_ARG_BUFFER, .buffer = largest};
        *next++ = (kd_arg){.kind = KD_ARG_VALUE, .data = &value[4], .size = sizeof *value};
        rows = KB_MAX(rows, v->rows);
    }
    const size_t group = kx_group_for(context, kernel);
    const int share = group % SHARE ? 1 : SHARE;
    const int64_t at_once = (int64_t)group / share;
    *next++ = (kd_arg){.kind = KD_ARG_VALUE, .data = &dim, .size = sizeof dim};
    *next++ = (kd_arg){.kind = KD_ARG_VALUE, .data = &share, .size = sizeof share};
    *next++ = *centre;
    *next++ = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = largest};
    /* "centre" goes through the components and "squares" through the rows. */
    const bool measures = *name == 's';
    const int64_t groups = KB_MAX(((measures ? KB_MIN(rows, MOST_GROUPS * at_once) : dim) + at_once - 1) / at_once, 1);
    return kd_launch(context, kernel, (int)(next - args), args,
                     (size_t[]){(size_t)groups * group, measures ? (size_t)count : 1, 1}, (size_t[]){group, 1, 1});
}

static kcl_status largest_on_device(void *user, const kx_side *side, const void *centre, double *most)
{
    const kx_looking *l = user;
    kcl_context *context = l->run->context;
    const size_t size = kb_dtype_size(side->view->dtype);
    const kd_arg centre_arg = {.kind = KD_ARG_HOST_IN, .data = centre, .size = (size_t)side->view->dim * size};
    const double none[2] = {0, 0};
    double got[2] = {0, 0};
    kd_buffer *largest = NULL;
    kcl_status status = kd_buffer_create(context, 2 * size, &largest);
    if (status == KCL_OK)
        status = kd_write(context, largest, 0, none, 2 * size);
    if (status == KCL_OK)
        status = launch(l, "squares", 1, side, &centre_arg, largest);
    if (status == KCL_OK)
        status = kd_read(context, largest, 0, got, size);
    status = kx_wait_for(context, status);
    *most = kb_number(got, side->view->dtype);
    kd_buffer_release(context, &largest);
    return status;
}

static kcl_status measure(void *user, const kx_side sides[2], kd_buffer **centre, kd_buffer **sizes, bool measures)
{
    const kx_looking *l = user;
    kcl_context *context = l->run->context;
    const size_t size = kb_dtype_size(sides[0].view->dtype);
    kcl_status status = kd_buffer_create(context, (size_t)sides[0].view->dim * size, centre);
    if (status == KCL_OK)
        status = kd_buffer_create(context, 2 * size, sizes);
    const kd_arg centre_arg = {.kind = KD_ARG_BUFFER, .buffer = *centre};
    if (status == KCL_OK)
        status = launch(l, "centre", 2, sides, &centre_arg, *sizes);
    if (status == KCL_OK && measures)
        status = launch(l, "squares", 2, sides, &centre_arg, *sizes);
    return status;
}

void kx_forget_seen(kx_seen *seen, kcl_context *context)
{
    for (kx_sight *s = seen->first; s; s = s->next) {
        kd_buffer_release(context, &s->centre_there);
        kd_buffer_release(context, &s->sizes_there);
    }
    seen->first = NULL;
}

kx_device_eyes kx_eyes_of(kx_looking *looking)
{
    return (kx_device_eyes){looking, read_rows, largest_on_device, measure, kx_evaluate_on_device};
}
