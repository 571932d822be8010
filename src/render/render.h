/* SPDX-License-Identifier: MIT */
/*
 * render/render.h: a plan as OpenCL C. Pure functions: the same plan gives the same bytes.
 *
 * A program is generated text, the preface and body of each kernel as macros, in front of the skeletons of cl/, which
 * own the loops. Programs for CPUs end with the kernels, which call the functions of the skeletons. Names: a0 the
 * memory of variable 0, x0 and y0 its values in lanes, p0 computed once a launch, r0 once per lane, s0 a number a pair,
 * t0 a step on the way, o0 the memory of output 0.
 */
#ifndef KT_RENDER_H
#define KT_RENDER_H

#include "plan.h"

typedef enum kt_arg_kind {
    KT_ARG_VAR,           /* memory of variable `index`, prepared ones included */
    KT_ARG_VAR_STRIDE,    /* distance of its rows, numbers (long) */
    KT_ARG_OUTPUT,        /* memory of output `index` */
    KT_ARG_OUTPUT_STRIDE, /* distance of its rows, elements (long) */
    KT_ARG_OUTPUT_STEP,   /* distance of its components, elements (long) */
    KT_ARG_OUTPUT_ALPHA,  /* of a scaled output: kr_scale (number) */
    KT_ARG_OUTPUT_BETA,   /* the same (number) */
    KT_ARG_ROWS,          /* long */
    KT_ARG_COLS,          /* long */
    KT_ARG_PARTS,         /* long */
    KT_ARG_PART_LENGTH,   /* long */
    KT_ARG_FIRST_WORKER,  /* of the workers (work-groups along the first axis) of a sweep: the launch's first (long) */
    KT_ARG_WORKERS,       /* of all launches that divide a sweep (long) */
    KT_ARG_FIRST_PART,    /* the launch's first (long) */
    KT_ARG_PARTIAL,       /* memory of partial states */
    KT_ARG_VAR_BATCH,     /* distance of variable `index` along batch axis `axis`, numbers (long) */
    KT_ARG_OUTPUT_BATCH,  /* the same of an output, elements (long) */
    KT_ARG_PARTIAL_BATCH, /* distance of the states of two batches, numbers (long) */
    KT_ARG_BATCH_SIZE,    /* of batch axis `axis` (long) */
    KT_ARG_FIRST_BATCH,   /* that the launch computes (long) */
    KT_ARG_COLUMN_PARTS,  /* parts without those of reduced batches (long) */
    KT_ARG_EACH_COUNT,    /* reduced batches (long) */
    KT_ARG_EACH_LENGTH,   /* of a part (long) */
} kt_arg_kind;

typedef struct kt_arg {
    kt_arg_kind kind;
    uint32_t index;
    uint32_t axis;
} kt_arg;

typedef enum kt_kernel_id { KT_PREPARE_ROWS, KT_PREPARE_COLUMNS, KT_SWEEP, KT_FINISH, KT_KERNELS } kt_kernel_id;

/* Arguments of a kernel, in order; none where the program has no such kernel. */
typedef struct kt_signature {
    size_t count;
    kt_arg *args;
} kt_signature;

typedef struct kt_program {
    kcl_allocator allocator;
    kb_str source; /* the full program */
    size_t body;   /* length of the generated text at its front */
    kt_signature kernel[KT_KERNELS];
} kt_program;

extern const char *const kt_kernel_names[KT_KERNELS];
extern const char *const kt_macro_prefixes[KT_KERNELS]; /* of the macros that a kernel's generated text consists of */

kcl_status kt_render(kt_program *program, const kp_plan *plan, kb_error *err);
void kt_program_finish(kt_program *program);

/* The program whose kernel "copy" moves rows of elements of 1, 2, 4, 8 or 16 bytes: see cl/copy.cl. */
void kt_render_copy(kb_str *out, size_t element_size);

/*
 * The program whose kernels "centre" and "squares" find a centre of rows, and measure rows from a centre: see
 * cl/squares.cl. `has_f64`: the device has doubles.
 */
void kt_render_squares(kb_str *out, kcl_dtype dtype, bool has_f64);

/* The program whose kernels "gather" and "scatter" move rows by an index: see cl/indexed.cl. */
void kt_render_indexed(kb_str *out, kcl_dtype dtype);

#endif
