/* SPDX-License-Identifier: MIT */
/*
 * run/run.h: programs run on the arrays of a call. What runs the steps is a backend (backend.h): the interpreter, or an
 * OpenCL device.
 */
#ifndef KX_RUN_H
#define KX_RUN_H

#include "render.h"
#include "view.h"

/* Whether output k is read before it is written. `scales` as in kx_run_program. */
static inline bool kx_is_read(const kr_scale *scales, size_t k)
{
    return scales && scales[k].is_scaled && scales[k].beta != 0;
}

/*
 * The scales of `count` roots from a caller's numbers; NULL stands for as many 1 and 0. Results that are indices are
 * refused other numbers.
 */
kcl_status kx_scales_of(kr_scale *scales, size_t count, const kf_node *const *roots, const double *alpha,
                        const double *beta, kb_error *err);

/*
 * Checks lengths: slots of one class agree (the error names both, the axis and both sizes), and outputs have the rows of
 * their roots.
 */
kcl_status kx_check(const kg_program *program, const kx_view *slots, const kx_view *outs, kb_error *err);
kcl_status kx_check_rows(const kg_program *program, const kx_view *slots, kb_error *err); /* of slots alone */

/*
 * Runs on views of the slots; outs[k] receives root k, scaled by scales[k] (NULL: none is). kx_check has passed the views.
 * `dtype` is the type of everything but integers. Where all outputs are device arrays the work may still be running
 * afterwards.
 */
kcl_status kx_run_program(const kg_program *program, kcl_context *context, kcl_dtype dtype, const kx_view *slots,
                          const kx_view *outs, const kr_scale *scales);

/* The number type where all arrays are of integers: double, in which row numbers are exact, if the device has it. */
kcl_dtype kx_type_beside_integers(kcl_context *context);

/*
 * Programs that the context keeps by the key of their structure (kg_structure), the last kd_most_programs of them.
 * kx_keep_program takes the program over, and destroys the program where memory is out (the context's error). A kept
 * program lasts till another one is kept.
 */
const kg_program *kx_kept_program(kcl_context *context, uint64_t structure);
const kg_program *kx_keep_program(kcl_context *context, uint64_t structure, kg_program *program);

/*
 * Writes the kernels of all steps for extents: extents[class] rows. With a context (NULL: none) a description tells the
 * form of the last run there, and what was compiled is described as it was built. `names`, by slot: what users call it; NULL
 * or "": it has no name.
 */
kcl_status kx_emit(const kg_program *program, kcl_context *context, const kp_caps *caps, kcl_dtype dtype,
                   const int64_t *extents, const char *const *names, bool describe, kb_str *out, kb_error *err);

#endif
