/* SPDX-License-Identifier: MIT */
/*
 * run/staging.h: what kernels can reach of arrays where they are, and copies of the rest.
 */
#ifndef KX_STAGING_H
#define KX_STAGING_H

#include "backend.h"

/* Dense copies of what kernels cannot reach where it is, and single rows of what is repeated. */
typedef struct kx_staging {
    kx_view *views; /* the views to use; staged views point to `memory`, or have a buffer to be filled */
    char **memory;  /* by view, NULL where nothing was staged */
    size_t count;
} kx_staging;

/*
 * Inputs are copied, and outputs to which the scales of the run add something; on the device only room is made for copies.
 * An output that is the array of an input is staged, so that the input stays as it was till all steps are done.
 */
kcl_status kx_stage_inputs(kx_staging *s, const kx_run *r);
kcl_status kx_stage_outputs(kx_staging *s, const kx_run *r);
void kx_unstage(kx_staging *s, kcl_context *context, const kx_view *results); /* copies to `results`, unless NULL */

/* Whether kernels can work on the elements where they are. */
bool kx_is_usable(kcl_context *context, const kx_view *v, bool is_output);

/* Whether a backend reaches all of these arrays. */
bool kx_all_reached(const kx_backend *backend, kcl_context *context, size_t count, const kx_view *views,
                    bool is_output);

/*
 * Checks that device arrays are there (kx_check_memory) and may be used as they are to be, and that outputs overlap nothing, but for one that is the array
 * of an input as a whole; *shares tells whether there is such an output. `scales` as in kx_run_program.
 */
kcl_status kx_check_arrays(const kg_program *e, kcl_context *context, const kx_view *slots, const kx_view *outs,
                           const kr_scale *scales, bool *shares);

/* Whether there are so few bytes of host arrays among the arguments that they are copied rather than waited for. */
bool kx_has_little_host_data(size_t count, const kx_view *views);
bool kx_all_on_device(size_t count, const kx_view *views);

#endif
