/* SPDX-License-Identifier: MIT */
/* render/body.h: formulas as statements. */
#ifndef KT_BODY_H
#define KT_BODY_H

#include "order.h"
#include "plan.h"

/* Where a value is kept once it has been computed. */
typedef enum kt_place {
    KT_NOWHERE,
    KT_SCALAR,      /* name */
    KT_STEP,        /* name[v]: one value a streamed element of the step */
    KT_VECTOR,      /* name[k] */
    KT_STEP_VECTOR, /* name[k][v] */
} kt_place;

typedef struct kt_stored {
    kt_place place;
    char name[16];
} kt_stored;

/* What a section computes: values to be kept, results for terms and outputs. */
typedef enum kt_target_kind { KT_KEEP, KT_TERM, KT_OUTPUT, KT_PREPARED } kt_target_kind;

typedef struct kt_target {
    kt_target_kind kind;
    const kf_node *node;
    size_t index;  /* of the term, output or prepared variable */
    int component; /* of the prepared variable: the value's first */
    bool used;     /* scratch of body.c */
} kt_target;

/* State of one kernel's rendering. */
typedef struct kt_body {
    const kp_plan *plan;
    kb_error *err;
    kb_arena arena;    /* texts of expressions */
    kf_order order;    /* nodes of the kernel's formulas */
    kt_stored *stored; /* by position in `order` */
    bool lane_rows;    /* the lane axis holds rows (else columns); decides names x or y */
    unsigned lane_axis, stream_axis;
    bool *reads;         /* by variable: the kernel reads it */
    bool *operand;       /* by variable: the steps of a contraction read it */
    bool indirect;       /* streamed variables are read by KCL_READ: from local memory, or where they are */
    kb_str *sums, *step; /* of a contraction: declarations, and the statements for a component; NULL: there is none */
    int next_p, next_r, next_s, next_t, next_q;
    kb_str *out;
} kt_body;

kcl_status kt_body_init(kt_body *body, const kp_plan *plan, unsigned lane_axis, unsigned stream_axis, size_t root_count,
                        const kf_node *const *roots, kb_error *err);
void kt_body_finish(kt_body *body);

/* Which of the two axes the value of f depends on: KP_LANE, KP_STREAM. */
static inline unsigned kt_class(const kt_body *body, const kf_node *f)
{
    return (f->axes & body->lane_axis ? KP_LANE : 0u) | (f->axes & body->stream_axis ? KP_STREAM : 0u);
}

/*
 * Writes the statements that compute the targets. `streamed`: inside a step over streamed elements, with the class of
 * values {LANE, STREAM}; else straight code. Kept values are then stored in body->stored. The sums of a contraction go
 * to body->sums and body->step.
 */
kcl_status kt_section(kt_body *body, bool streamed, size_t target_count, kt_target *targets, kb_str *out);

/* Writes a number of the plan's type so that the compiler reads the same value. */
void kt_put_number(kb_str *out, kcl_dtype dtype, double value);

#endif
