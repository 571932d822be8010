/* SPDX-License-Identifier: MIT */
/*
 * lazy/exec.h: expressions cut into sweeps, and sweeps run on a device.
 */
#ifndef KL_EXEC_H
#define KL_EXEC_H

#include "device.h"
#include "plan.h"
#include "reduction.h"
#include "reductions.h"
#include "render.h"

/* Sizes of batch axes, counted from the last one; axes beyond `count` have size 1. */
typedef struct kl_batch {
    int count;
    int64_t size[KF_MAX_BATCH];
} kl_batch;

static inline int64_t kl_batch_size(const kl_batch *b, int axis)
{
    return axis < b->count ? b->size[axis] : 1;
}

/* Widens *batch to what it and `other` are broadcast to; returns the axis on which they clash, -1: none. */
int kl_batch_join(kl_batch *batch, const kl_batch *other);

/* What is left of them where those in `axes`, KF_BATCH_AXIS, are reduced. */
kl_batch kl_reduced_batch(const kl_batch *batch, unsigned axes);

/* An array seen as rows of vectors, or batches of such. */
typedef struct kl_view {
    const void *data;
    kcl_dtype dtype;
    int64_t rows;
    int32_t dim;
    int64_t row_stride, step; /* bytes */
    kcl_memory *memory;       /* of the device, that holds the elements; NULL: they are at `data` */
    int64_t offset;           /* of element (0, 0) in `memory` or `buffer`, bytes */
    kd_buffer *buffer;        /* a copy that kernels work on */
    kl_batch batch;
    int64_t batch_stride[KF_MAX_BATCH]; /* bytes; 0 for axes of size 1 */
    int64_t low, high; /* of an array of the caller: the bytes of its elements, from the first one on; 0 where empty */
} kl_view;

/*
 * How the axes of an array are read. In all cases role P has no rows, and the batch axes stand in front.
 */
typedef enum kl_reading {
    KL_STATED,   /* the last axis is the vector, the one before it the rows; (M) is rows of numbers */
    KL_SQUEEZED, /* axes of size 1 do not count; where that leaves more than rows and vector, as KL_STATED */
} kl_reading;

/*
 * Sees `array` as rows of `dim` components, or of any number where dim is 0 (then KL_STATED). Where dim is 1 and there are
 * no batches the vector's axis may be missing. `what` names the array in errors: "argument \"x\"".
 */
kcl_status kl_view_of(kl_view *view, const kcl_array *array, kf_role role, int32_t dim, kl_reading reading,
                      const char *what, kb_error *err);

/*
 * Sees the array of a result: its axes that are not 1 must be those of the batches, the rows (any number, where there
 * are rows) and the vector. Its elements must have memory of their own each.
 */
kcl_status kl_view_of_result(kl_view *view, const kcl_array *array, kf_role role, int32_t dim, const kl_batch *batch,
                             const char *what, kb_error *err);

/* Refuses what is no array: NULL, too many axes, sizes below 0, no number type. */
kcl_status kl_check_shape(const kcl_array *array, const char *what, int64_t *elements, kb_error *err);
void kl_put_shape(char *text, size_t size, const kcl_array *array); /* "(3, 4)" */

/*
 * Where the elements of an array that kl_check_shape has passed lie, in bytes from the first one on: from *low to *high,
 * both 0 where there are none. Refuses strides and offsets that memory cannot have, so that sums of a few such distances
 * are numbers. Strides of axes of size 0 or 1 are not looked at.
 */
kcl_status kl_check_strides(const kcl_array *array, const char *what, int64_t *low, int64_t *high, kb_error *err);

/* Refuses an array that is written and has an element where another one is. Strides were checked. */
kcl_status kl_check_elements(const kcl_array *array, const char *what, kb_error *err);

/* Whether a variable, or a result of this kind, may be an array of this type: KCL_ERROR_TYPE where not. */
kcl_status kl_check_input_type(const kl_view *view, kf_kind kind, const char *what, kb_error *err);
kcl_status kl_check_output_type(const kl_view *view, kf_kind kind, const char *what, kb_error *err);

/* ---- Computations ------------------------------------------------------------------------------------------------ */

/*
 * A slot is an array that a computation reads. Variables of the graph have the slot's number as index. Slots whose rows
 * have the same extent class have the same number of rows when the computation runs; class 0 is a single row. Where the
 * rows are not known before it runs, the classes are the axes.
 */
enum { KL_EXTENT_I = 1, KL_EXTENT_J = 2, KL_EXTENT_BOTH = 3 /* an array stands on both axes: they are as long */ };

/* What errors call an array: "argument \"x\"", "array 3 (kcl_vj of shape (100, 3))". */
enum { KL_NAME = 112 };

typedef struct kl_slot {
    int32_t dim;
    int extent;     /* class */
    int64_t rows;   /* for messages about classes that clash; -1 where they are not known yet */
    kl_batch batch; /* those that the formula knows; arrays of a call may bring others along */
    char name[KL_NAME];
} kl_slot;

/* Where a variable of a sweep comes from. */
typedef struct kl_input {
    bool is_temp;
    uint32_t index; /* slot or temporary */
} kl_input;

/* Where an output of a sweep goes. */
typedef struct kl_output {
    bool is_temp;
    uint32_t index; /* root or temporary */
} kl_output;

/* How squared distances are computed: "" or "auto" (by the data, form.h), "differences", "expanded". */
typedef enum kl_form { KL_FORM_AUTO, KL_FORM_DIFFERENCES, KL_FORM_EXPANDED } kl_form;

/*
 * Rows chosen by an index, or their adjoint (indexed.h): inputs[0] is F, inputs[1] the index, outputs[0] the result, which
 * has the rows of row_extent; col_extent is that of F's rows. `batch` has the axes of all of them. KL_WHOLE: an index,
 * outputs[0], from the values of inputs[0].
 */
typedef enum kl_step_kind { KL_SWEEP, KL_GATHER, KL_SCATTER, KL_WHOLE } kl_step_kind;

typedef struct kl_chosen {
    kf_part part;
    unsigned axes;    /* that the index numbers, as the sweep that found it has them */
    unsigned batches; /* those of them that F (of a gather) or the result (of a scatter) has, KF_BATCH_AXIS */
    int extent[2];    /* of i and j of that sweep */
} kl_chosen;

typedef struct kl_step {
    kl_step_kind kind;
    kl_chosen chosen;        /* of what is no KL_SWEEP */
    kr_sweep sweep;          /* of KL_SWEEP */
    kp_expansion *expansion; /* NULL: no squared distance of the sweep can be expanded */
    kl_input *inputs;        /* by variable of the sweep */
    kl_output *outputs;      /* by output of the sweep */
    int row_extent, col_extent;
    kl_batch batch;           /* as in slots */
    unsigned reduced_batches; /* KF_BATCH_AXIS */
    unsigned numbered;        /* axes of the pair that have an Index in a formula of the sweep */
} kl_step;

typedef struct kl_temp {
    int32_t dim;
    int extent;
    kf_kind kind; /* KF_INT: of int64 */
} kl_temp;

/* Entries of `inputs`. */
static inline size_t kl_input_count(const kl_step *step)
{
    return step->kind == KL_SWEEP ? step->sweep.var_count : step->kind == KL_WHOLE ? 1 : 2;
}

/* What a root is: its array has one row for each of the extent class, of int64 where it is an integer. */
typedef struct kl_root {
    int32_t dim;
    int extent;
    kf_kind kind;
    unsigned repeats; /* axes along which an integer is the same: computed once, copied */
} kl_root;

/* What a user asks for about the kernels. */
typedef struct kl_options {
    char schedule[16]; /* forced, or "" */
    kl_form form;      /* forced, or KL_FORM_AUTO */
    bool fast;         /* shorter elementary functions */
} kl_options;

/* Reads the word for `math`; NULL and "" are "precise". *fast stays as it is where the word is refused. */
kcl_status kl_read_math(const char *word, bool *fast, kb_error *err);

/* Roots compiled to steps. Immutable, shared between threads. */
typedef struct kl_exec {
    kf_graph graph;
    uint64_t key; /* of the structure: equal computations have equal keys in every process */
    size_t slot_count, root_count, step_count, temp_count;
    bool repeats; /* a root is repeated */
    kl_slot *slots;
    kl_root *root;
    kl_step *steps;
    kl_temp *temps;
    kl_options options;
} kl_exec;

/* Refuses a root that depends on both axes. */
kcl_status kl_check_root(const kf_node *root, size_t number, kb_error *err);

/*
 * Compiles roots of `from`, whose variables are slots[0..slot_count). Roots that depend on both axes are refused.
 * Errors in err.
 */
kcl_status kl_exec_create(kl_exec **exec, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                          size_t slot_count, const kl_slot *slots, const kl_options *options, kb_error *err);
void kl_exec_destroy(kl_exec **exec);

/*
 * Whether an array in the device's memory is there: the memory is the context's, and the array within it. `what` names
 * the array; lowest and highest are its bytes in the memory. Host arrays pass.
 */
kcl_status kl_check_memory(kcl_context *context, const kcl_memory *memory, int64_t lowest, int64_t highest,
                           int64_t offset, kcl_dtype dtype, const char *what);

/* Whether output k is read before it is written. `scales` as in kl_exec_run. */
static inline bool kl_is_read(const kr_scale *scales, size_t k)
{
    return scales && scales[k].is_scaled && scales[k].beta != 0;
}

/*
 * The scales of `count` roots from a caller's numbers, NULL for as many 1 and 0; results that are indices are refused
 * other ones.
 */
kcl_status kl_scales_of(kr_scale *scales, size_t count, const kf_node *const *roots, const double *alpha,
                        const double *beta, kb_error *err);

/*
 * Runs on views of the slots; outs[k] receives root k, scaled by scales[k] (NULL: none is), and has its rows and
 * dimension already checked by kl_exec_check. `dtype` of everything but integers. Where all outputs are device arrays
 * the work may still be running afterwards.
 */
kcl_status kl_exec_run(const kl_exec *exec, kcl_context *context, kcl_dtype dtype, const kl_view *slots,
                       const kl_view *outs, const kr_scale *scales);

/* The number type where all arrays are of integers: double, in which row numbers are exact, if the device has it. */
kcl_dtype kl_type_beside_integers(kcl_context *context);

/* A view as an argument of a kernel that reads (host_kind) or writes it. */
kd_arg kl_view_arg(const kl_view *v, kd_arg_kind host_kind);

/* Work-items of a work-group for kernels that work on any number. */
size_t kl_group_for(kcl_context *context, kd_kernel *kernel);

/* Waits for what was given to the device; after a failure too, and then keeps the first error. */
kcl_status kl_wait_for(kcl_context *context, kcl_status status);

/*
 * Checks lengths: slots of one class agree (the error names both, the axis and both sizes), outputs have the rows of
 * their roots. `out_name(k)` is "output k".
 */
kcl_status kl_exec_check(const kl_exec *exec, const kl_view *slots, const kl_view *outs, kb_error *err);
kcl_status kl_exec_check_rows(const kl_exec *exec, const kl_view *slots, kb_error *err); /* of slots alone */

/*
 * Writes the programs of all steps for extents: extents[class] rows. With a context (NULL: none) a description tells
 * the form of the last run there, and what was compiled is described as it was built.
 */
kcl_status kl_exec_emit(const kl_exec *exec, kcl_context *context, const kp_caps *caps, kcl_dtype dtype,
                        const int64_t *extents, bool describe, kb_str *out, kb_error *err);

#endif
