/* SPDX-License-Identifier: MIT */
/* render/kernel.h: one kernel of a program while it is written; for render.c and arguments.c. */
#ifndef KT_KERNEL_H
#define KT_KERNEL_H

#include "body.h"
#include "render.h"

typedef struct kt_kernel {
    kt_kernel_id id;
    unsigned lane_axis, stream_axis;
    size_t target_count;
    kt_target *targets; /* terms first, then outputs or prepared values */
} kt_kernel;

/* Writes the parameters of the kernel, and keeps them in program->kernel[k->id]. */
kcl_status kt_put_parameters(kt_program *program, const kp_plan *plan, const kt_kernel *k, const kt_body *body,
                             kb_str *out);

/* The reduced batch axes that the kernel has a loop over, as bits. */
unsigned kt_looped_axes(const kp_plan *plan, const kt_kernel *k);

/* Moves all memory to the memory of the launched batch. */
void kt_put_launched_batch(kb_str *out, const kp_plan *plan, const kt_kernel *k, const kt_body *body);

/* The memory of a reduced batch: `launch` keeps where all batches begin, `each` goes to the batch of the loop. */
void kt_put_looped_batch(kb_str *launch, kb_str *each, const kp_plan *plan, const kt_kernel *k, const kt_body *body);

#endif
