/* SPDX-License-Identifier: MIT */
/* run/launch.h: what all launches of kernels on a device need. */
#ifndef KX_LAUNCH_H
#define KX_LAUNCH_H

#include "backend.h"

/* A view as an argument of a kernel that reads (host_kind) or writes the array. */
kd_arg kx_view_arg(const kx_view *v, kd_arg_kind host_kind);

/* Work-items of a work-group for kernels that work on any number of them. */
size_t kx_group_for(kcl_context *context, kd_kernel *kernel);

/* Waits for what was given to the device; after a failure too, and then keeps the first error. */
kcl_status kx_wait_for(kcl_context *context, kcl_status status);

/* Copies all elements of a view; one row may be repeated. Launches, and does not wait. */
kcl_status kx_copy_on_device(kcl_context *context, const kx_view *from, const kx_view *to);

/* look.c: what decides the form of a sweep's squared distances, of arrays that a device works on. */
typedef struct kx_looking {
    kx_run *run;
    const kg_step *step;
} kx_looking;

kx_device_eyes kx_eyes_of(kx_looking *looking);

/* sweep.c, gather_device.c */
kcl_status kx_evaluate_on_device(void *looking, const kp_expansion *expansion, const kf_node *node, kd_buffer **value);
kcl_status kx_sweep_on_device(kx_run *r, size_t step);
kcl_status kx_gather_on_device(kx_run *r, const kx_gather *work);

#endif
