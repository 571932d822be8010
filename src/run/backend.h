/* SPDX-License-Identifier: MIT */
/*
 * run/backend.h: what runs the steps of a program, as a table of functions. A run is one program on the arrays of one
 * call.
 */
#ifndef KX_BACKEND_H
#define KX_BACKEND_H

#include "axes.h"
#include "distance_form.h"
#include "gather.h"
#include "run.h"

typedef struct kx_run kx_run;

typedef struct kx_backend {
    kcl_dtype real;  /* the type of real temporaries; KCL_DTYPE_NONE: the type of the run */
    bool has_memory; /* device arrays are copied by the backend, and not on the host */

    /* Whether the backend's functions can work on the elements where they are, or on a packed copy only. */
    bool (*reaches)(kcl_context *context, const kx_view *v, bool is_output);

    /* Gives `view` room for `elements` of its type at place `place`, till the run ends. */
    kcl_status (*place)(kx_run *r, uint32_t place, int64_t elements, kx_view *view);

    /* Copies all elements of an array that the backend has: from or to a copy that kernels work on. */
    kcl_status (*copy)(kx_run *r, const kx_view *from, const kx_view *to);

    kcl_status (*sweep)(kx_run *r, size_t step);
    kcl_status (*gather)(kx_run *r, const kx_gather *work); /* and scatter, and whole */

    /* Waits, or submits what was launched. Returns the first error, which `status` may be. */
    kcl_status (*end)(kx_run *r, kcl_status status);
} kx_backend;

extern const kx_backend kx_interpreter, kx_opencl;

struct kx_run {
    const kg_program *program;
    kcl_context *context;
    const kx_backend *backend;
    kcl_dtype dtype;
    const kx_view *slots, *outs; /* packed where the backend needs that */
    const kx_view *given_slots, *given_outs;
    const kr_scale *scales; /* by root; NULL: none */
    bool waits;             /* till the outputs are there */
    kd_arg_kind host_input;
    kx_view *temps;                    /* by temporary */
    kg_batch *step_batch, *temp_batch; /* by step, by temporary; NULL: there are no batches */
    kg_batch *temp_terms;              /* by temporary: the batches of what it was reduced from */
    kx_seen seen;                      /* what was learnt about arrays, in the arena */
    void **host_places;                /* the interpreter's memory of places */
    bool is_watched;                   /* by a progress function, or by who may cancel: */
    double work, work_done, step_work; /* pairs and the like: of all steps, of those before, of the step that runs */
    kcl_status watched;                /* what the interpreter was last told */
    kb_arena arena;
};

/* run.c: tells how far a watched run is, with `fraction` of the step that runs. KCL_ERROR_CANCELLED: it is to end. */
kcl_status kx_tell(kx_run *r, double fraction);

/* ---- bind.c: where operands lie ----------------------------------------------------------------------------------- */

/* Gives every step its batches, and every temporary its memory. */
kcl_status kx_bind(kx_run *r);

/* Rows of an extent class in this call. */
static inline int64_t kx_rows_of(const kg_program *program, const kx_view *slots, int extent)
{
    const uint32_t slot = extent < program->extent_count ? program->extent_slot[extent] : UINT32_MAX;
    return extent && slot != UINT32_MAX ? slots[slot].rows : 1;
}

/* The array that a step reads or writes: slot or temporary, root or temporary. */
static inline const kx_view *kx_input(const kx_run *r, const kg_step *step, size_t k)
{
    const kg_place from = step->inputs[k];
    return from.is_temp ? &r->temps[from.index] : &r->slots[from.index];
}

static inline const kx_view *kx_output(const kx_run *r, const kg_step *step, size_t k)
{
    const kg_place to = step->outputs[k];
    return to.is_temp ? &r->temps[to.index] : &r->outs[to.index];
}

/* The scale of an output of a step; NULL: it is a temporary, or not scaled. */
static inline const kr_scale *kx_scale(const kx_run *r, const kg_step *step, size_t k)
{
    const kg_place to = step->outputs[k];
    return to.is_temp || !r->scales || !r->scales[to.index].is_scaled ? NULL : &r->scales[to.index];
}

/* Whether a step has batch axes, also axes that became rows or columns. */
static inline bool kx_has_batches(const kx_run *r, size_t step)
{
    return r->step_batch && r->step_batch[step].count;
}

/* What a sweep runs over. */
typedef struct kx_extents {
    int64_t rows, cols;
    kx_axes axes;
    const kx_operand *operands; /* inputs, then outputs; NULL: there are no batches */
} kx_extents;

kcl_status kx_find_extents(kx_run *r, size_t step, kx_extents *x);
bool kx_has_no_rows(const kg_step *step, const kx_extents *x); /* nothing is computed then */

/* No pairs where alpha is 0 for all results of a step: none of the terms is read. */
void kx_leave_out_pairs(const kx_run *r, const kg_step *step, kx_extents *x);

/* The scales of a step's outputs, in the arena and rounded to the type of the arrays; NULL where none is scaled. */
kcl_status kx_find_scales(kx_run *r, const kg_step *step, const kr_scale **scales);

/* ---- kinds.c: the kinds of steps ---------------------------------------------------------------------------------- */

typedef struct kx_kind {
    kcl_status (*run)(kx_run *r, size_t step);
    /* Changes *batch, the batches of the terms without reduced axes, into the batches of the results. */
    void (*find_result)(const kx_run *r, const kg_step *step, kg_batch *batch);
    const char *title; /* in descriptions; NULL: emit.c describes it */
} kx_kind;

extern const kx_kind kx_kinds[KG_STEP_KINDS];

#endif
