/* SPDX-License-Identifier: MIT */
/*
 * lazy/kernels.h: steps compiled for a device, and the device memory of intermediate results. The context keeps the last
 * kd_most_programs of each, and all that the running evaluation has used.
 */
#ifndef KL_KERNELS_H
#define KL_KERNELS_H

#include "exec.h"

/* Device memory that grows and stays. */
typedef struct kl_room {
    kd_buffer *buffer;
    size_t size;
} kl_room;

kcl_status kl_make_room(kcl_context *context, kl_room *room, int64_t elements, kcl_dtype dtype);

/* Gives back all memory of intermediate results: the device has no more. */
void kl_empty_rooms(kcl_context *context);

/* The memory of a result that later steps read; NULL: host memory is out (the context's error). */
kl_room *kl_temporary(kcl_context *context, uint64_t key);

/* The text, of KL_FORM_NOTE bytes, that tells the form a step last had. NULL where there is none and none was made. */
enum { KL_FORM_NOTE = 96 };
char *kl_form_note(kcl_context *context, uint64_t key, bool make);

/* What the context keeps of one kind, by key. `used`: the number of the evaluation that used it last. */
typedef struct kl_kept {
    struct kl_kept *next;
    uint64_t key, used;
} kl_kept;

typedef struct kl_compiled {
    kl_kept kept;
    kp_caps caps; /* the device's, tightened where the kernels turned out to need that */
    int tightened;
    kp_plan *plan;
    kcl_allocator allocator; /* of the signatures */
    kt_signature signature[KT_KERNELS];
    kd_kernel *kernel[KT_KERNELS];
    kl_room partial;
    kl_room *prepared; /* by prepared variable */
} kl_compiled;

/* A kernel that is no step, from a text of the library's. It may be used until the end of the evaluation. */
kcl_status kl_own_kernel(kcl_context *context, const char *source, const char *name, const char *label,
                         kd_kernel **kernel);

/* How the arrays of a step lie in memory and what becomes of outputs, as far as kernels are made for that. */
typedef struct kl_layout {
    bool *dense;            /* by variable: kp_request */
    kp_batches batches;     /* its `axes` by variable */
    const kr_scale *scales; /* kr_sweep */
} kl_layout;

/* Step `index` compiled: known, or made now. NULL: the context's error tells why. */
kl_compiled *kl_find_compiled(const kl_exec *exec, kcl_context *context, kcl_dtype dtype, size_t index,
                              const kp_choice *choice, const kl_layout *arrays);
void kl_forget_compiled(kcl_context *context, kl_compiled *c);

/* What a step was compiled to for dense arrays; NULL: it was not. Not an error where memory is out. */
kl_compiled *kl_built_before(const kl_exec *exec, kcl_context *context, kcl_dtype dtype, size_t step, kp_choice choice);

/*
 * Plans for c->caps and builds. How large a work-group the built kernels allow is known only then. Where the plan asks
 * for more it is made again with that limit; `most`: what is known of it already, 0: nothing.
 */
kcl_status kl_compile(kcl_context *context, kcl_dtype dtype, const kl_step *step, const kp_choice *choice,
                      const kl_layout *arrays, size_t most, kl_compiled *c);

#endif
