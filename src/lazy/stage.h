/* SPDX-License-Identifier: MIT */
/*
 * lazy/stage.h: what kernels can reach of arrays where they are, and copies of the rest.
 */
#ifndef KL_STAGE_H
#define KL_STAGE_H

#include "exec.h"

bool kl_is_empty(const kl_view *v); /* has no element */
size_t kl_span(const kl_view *v);   /* bytes from the first element to the end of the last */
bool kl_has_dense_rows(const kl_view *v);
void *kl_host_data(const kl_view *v); /* where the interpreter finds the elements */

/* The batch axes along which the elements of a view differ. */
kl_batch kl_own_batch(const kl_view *v);

/* Takes the next of the places of a batch; false after the last. Starts and ends with zeros. */
bool kl_next_place(const kl_batch *batch, int64_t place[KF_MAX_BATCH]);
int64_t kl_offset_at(const kl_view *v, const int64_t place[KF_MAX_BATCH]); /* of a place, bytes */

/* Dense copies of what kernels cannot reach where it is, and single rows of what is repeated. */
typedef struct kl_staging {
    kl_view *views; /* the views to use; those that were staged point to `memory`, or have a buffer to be filled */
    char **memory;  /* by view, NULL where nothing was staged */
    size_t count;
} kl_staging;

/*
 * Inputs are copied, outputs where `scales`, which may be NULL, adds to them; on the device only room is made for copies.
 * An output that is the array of an input is staged, so that the input stays as it was till all steps are done.
 */
kcl_status kl_stage_inputs(kl_staging *s, kcl_context *context, const kl_exec *e, const kl_view *slots);
kcl_status kl_stage_outputs(kl_staging *s, kcl_context *context, const kl_exec *e, const kl_view *slots,
                            const kl_view *outs, const kr_scale *scales);
void kl_unstage(kl_staging *s, kcl_context *context, const kl_view *results); /* copies to `results`, unless NULL */

/* Whether kernels can work on all of them where they are; `copies`: kd_copies. */
bool kl_all_usable(size_t count, const kl_view *views, bool is_output, bool copies);

/*
 * Checks that device arrays are there (kl_check_memory) and that outputs overlap nothing, but for one that is the array
 * of an input as a whole; *shares tells whether there is such an output.
 */
kcl_status kl_check_arrays(const kl_exec *e, kcl_context *context, const kl_view *slots, const kl_view *outs,
                           bool *shares);

/* Whether there are so few bytes of host arrays among the arguments that they are copied rather than waited for. */
bool kl_has_little_host_data(size_t count, const kl_view *views);
bool kl_all_on_device(size_t count, const kl_view *views);

#endif
