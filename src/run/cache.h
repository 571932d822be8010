/* SPDX-License-Identifier: MIT */
/*
 * run/cache.h: what the context keeps between evaluations: sweeps compiled for its device, programs, notes about forms,
 * and the device memory of intermediate results.
 */
#ifndef KX_CACHE_H
#define KX_CACHE_H

#include "run.h"

/* ---- Memory of intermediate results ------------------------------------------------------------------------------- */

/* Device memory that grows and stays. */
typedef struct kx_room {
    kd_buffer *buffer;
    size_t size;
} kx_room;

kcl_status kx_make_room(kcl_context *context, kx_room *room, int64_t elements, kcl_dtype dtype);
void kx_empty_room(kcl_context *context, kx_room *room);

/* Gives back all memory of intermediate results: the device has no more. */
void kx_empty_rooms(kcl_context *context);
void kx_give_back(kcl_context *context); /* the same, and memory that waits for reuse */

/* The memory of a place of temporaries (kg_temp); NULL: host memory is out (the context's error). */
kx_room *kx_room_of_place(kcl_context *context, uint32_t place);

/* ---- What is kept by key ------------------------------------------------------------------------------------------ */

/*
 * Of each kind the context keeps the last kd_most_programs, fewer where their weights add up to more than KX_MOST_WEIGHT,
 * and all that the running evaluation has used.
 */
enum { KX_MOST_WEIGHT = 1 << 18 }; /* nodes of programs: some tens of megabytes */

typedef enum kx_kind_kept { KX_COMPILED, KX_NOTES, KX_PROGRAMS, KX_KINDS_KEPT } kx_kind_kept;

typedef struct kx_kept kx_kept;

/* What the cache does with what it keeps. */
typedef struct kx_kept_kind {
    void (*destroy)(kcl_context *context, kx_kept *kept);
    void (*empty_rooms)(kcl_context *context, kx_kept *kept); /* NULL: it has none */
} kx_kept_kind;

/* The head of what is kept. `used`: the number of the evaluation that used it last. */
struct kx_kept {
    kx_kept *next;
    const kx_kept_kind *kind;
    uint64_t key, used;
    size_t weight; /* of a program: nodes; 0 by default */
};

/* NULL: nothing of the kind is kept by this key. */
void *kx_look_up(kcl_context *context, kx_kind_kept kind, uint64_t key);

/* Takes over an object that begins with `kept`. Where host memory is out the object is destroyed (the context's error). */
kcl_status kx_keep(kcl_context *context, kx_kind_kept kind, kx_kept *kept, const kx_kept_kind *functions, uint64_t key);

/* Gives an object that is kept back to the caller. */
void kx_take_out(kcl_context *context, kx_kind_kept kind, kx_kept *kept);

/* notes.c: the text, of KX_FORM_NOTE bytes, that tells the form a step last had. NULL where there is none and none was made. */
enum { KX_FORM_NOTE = 96 };
uint64_t kx_note_key(const kg_program *program, size_t step, kcl_dtype dtype);
char *kx_form_note(kcl_context *context, uint64_t key, bool make);

/* ---- compiled.c: sweeps compiled for a device --------------------------------------------------------------------- */

/* How fast a kernel is: a unit of work is a pair of a formula of weight 1. */
typedef struct kx_pace {
    double weight;  /* numbers that the formula computes for a pair, or so: more than it does */
    double seconds; /* of a unit of work, as measured last; 0: not known */
} kx_pace;

typedef struct kx_compiled {
    kx_kept kept;
    kp_caps caps; /* the device's, tightened where the kernels turned out to need that */
    int tightened;
    kp_plan *plan;
    kcl_allocator allocator; /* of the signatures */
    kt_signature signature[KT_KERNELS];
    kd_kernel *kernel[KT_KERNELS];
    kx_room partial;
    kx_room *prepared; /* by prepared variable */
    kx_pace pace;
} kx_compiled;

/*
 * A kernel that is no step, of a program that `write` writes, in the variant of this number. No two programs have a kernel
 * of the same name. The kernel may be used until the end of the evaluation.
 */
kcl_status kx_own_kernel(kcl_context *context, void (*write)(kb_str *out, unsigned variant), unsigned variant,
                         const char *name, const char *label, kd_kernel **kernel);

/* How the arrays of a step lie in memory and what becomes of outputs, as far as kernels are made for that. */
typedef struct kx_layout {
    bool *dense;            /* by variable: kp_request */
    kp_batches batches;     /* its `axes` by variable */
    const kr_scale *scales; /* kr_sweep */
} kx_layout;

/* The key of a step of a program. */
uint64_t kx_step_key(const kg_program *program, size_t step);

/* A sweep compiled, whose key this is: known, or made now. NULL: the context's error tells why. */
kx_compiled *kx_find_compiled(kcl_context *context, uint64_t step_key, kcl_dtype dtype, const kg_step *step,
                              const kp_choice *choice, const kx_layout *arrays);
void kx_forget_compiled(kcl_context *context, kx_compiled *c);

/* What a step was compiled to for dense arrays; NULL: it was not. Not an error where memory is out. */
kx_compiled *kx_built_before(const kg_program *program, kcl_context *context, kcl_dtype dtype, size_t step,
                             kp_choice choice);

/*
 * Plans for c->caps and builds. How large a work-group the built kernels allow is known only then. Where the plan asks
 * for more it is made again with that limit; `most`: what is known of it already, 0: nothing.
 */
kcl_status kx_compile(kcl_context *context, kcl_dtype dtype, const kg_step *step, const kp_choice *choice,
                      const kx_layout *arrays, size_t most, kx_compiled *c);

#endif
