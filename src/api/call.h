/* SPDX-License-Identifier: MIT */
/*
 * api/call.h: the arrays of a call: checked, typed and broadcast in one place, for evaluations of expressions and for
 * operators alike.
 *
 * A caller goes on in this order: ka_call_begin; ka_see_inputs; ka_broadcast_inputs, unless a scope knows the batch
 * axes; ka_type_inputs; ka_see_output for each output; ka_finish_types. All views are complete then. ka_call_end comes
 * in any case, after errors too. Errors are the context's.
 */
#ifndef KA_CALL_H
#define KA_CALL_H

#include "run.h"

/* A number in place of an array, in both number types. */
typedef struct ka_number {
    float f32;
    double f64;
} ka_number;

/* What a call knows of an array that it reads. */
typedef struct ka_parameter {
    const char *name; /* what errors call the array */
    int32_t dim;      /* 0: any */
    kf_role role;
    kf_kind kind;            /* KF_INT: an array of int64 */
    bool takes_integers;     /* an array of int64 will do as well */
    const ka_number *number; /* NULL: an array */
} ka_parameter;

enum { KA_FEW = 16 };

typedef struct ka_call {
    kcl_context *context;
    size_t input_count, output_count;
    const ka_parameter *parameters; /* by input */
    kx_view *inputs, *outputs;
    kr_scale *scales;              /* NULL: no output is scaled */
    kg_batch batch;                /* the batch axes of all inputs together, once they are broadcast */
    kcl_dtype dtype;               /* of all arrays except integers */
    const char *typed_by;          /* the array that told the type */
    char output_name[24];          /* the name of an output that told the type */
    kx_view few_views[2 * KA_FEW]; /* a call of few arrays allocates nothing */
    kr_scale few_scales[KA_FEW];
} ka_call;

/* KF_BATCH_AXIS of the batch axes that are not of size 1. */
unsigned ka_batch_axes(const kg_batch *batch);

/* Room for views, and for scales if alpha or beta are there. */
kcl_status ka_call_begin(ka_call *call, kcl_context *context, size_t input_count, const ka_parameter *parameters,
                         size_t output_count, bool is_scaled);
void ka_call_end(ka_call *call);

/* Sees the arrays as rows of vectors. Numbers have no view before ka_finish_types. */
kcl_status ka_see_inputs(ka_call *call, const kcl_array *const *arrays, kx_reading reading);

/* Joins the batch axes of all inputs. Refuses sizes that differ, unless one of them is 1. */
kcl_status ka_broadcast_inputs(ka_call *call);

/* Checks that all inputs have one number type. */
kcl_status ka_type_inputs(ka_call *call);

/* Sees the array of output k, a result of this role and with these batch axes, and checks its type. */
kcl_status ka_see_output(ka_call *call, size_t k, const kcl_array *array, const kf_node *result, kf_role role,
                         const kg_batch *batch);

/* Settles the number type, even of a call whose arrays are all of integers, and gives numbers their views. */
void ka_finish_types(ka_call *call);

#endif
