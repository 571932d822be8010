/* SPDX-License-Identifier: MIT */
/*
 * run/pieces.h: launches of one kernel that divide its work: batches where there are more than a launch may have, and
 * long work where somebody waits to hear how far it is, or to cancel it.
 */
#ifndef KX_PIECES_H
#define KX_PIECES_H

#include "backend.h"
#include "cache.h"

/* A kernel with its arguments. Along an axis a launch may begin anywhere, if the kernel has an argument for that. */
typedef struct kx_kernel_call {
    kd_kernel *kernel;
    int arg_count;
    const kd_arg *args;
    size_t group;      /* work-items of a work-group, along the first axis */
    int64_t count[3];  /* work-groups along each axis: workers, parts, batches */
    int64_t *first[3]; /* values of the arguments that tell the first of them; NULL: the kernel has none */
} kx_kernel_call;

/* All of the work. */
kcl_status kx_launch(kcl_context *context, const kx_kernel_call *call);

/*
 * All of the work of a watched run, `pairs` pairs or rows, in pieces that take a part of a second each; waits for them,
 * unless all is done soon. *pace, of this kernel, is what is known of its speed.
 */
kcl_status kx_launch_in_pieces(kx_run *r, const kx_kernel_call *call, double pairs, kx_pace *pace);

#endif
