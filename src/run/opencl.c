/* SPDX-License-Identifier: MIT */
/* run/opencl.c: the backend that runs steps on an OpenCL device. */
#include "cache.h"
#include "launch.h"
#include "staging.h"

static kcl_status place(kx_run *r, uint32_t number, int64_t elements, kx_view *view)
{
    kx_room *room = kx_room_of_place(r->context, number);
    kcl_status status = room ? kx_make_room(r->context, room, elements, view->dtype) : kd_error(r->context)->status;
    view->buffer = status == KCL_OK ? room->buffer : NULL;
    return status;
}

static kcl_status copy(kx_run *r, const kx_view *from, const kx_view *to)
{
    return kx_copy_on_device(r->context, from, to);
}

/* Nothing may refer to the caller's memory afterwards. */
static kcl_status end(kx_run *r, kcl_status status)
{
    status = status < 0 || r->waits ? kx_wait_for(r->context, status) : kd_submit(r->context);
    if (status == KCL_ERROR_DEVICE_MEMORY)
        kx_empty_rooms(r->context);
    return status;
}

const kx_backend kx_opencl = {KCL_DTYPE_NONE,      true, kx_is_usable, place, copy, kx_sweep_on_device,
                              kx_gather_on_device, end};
