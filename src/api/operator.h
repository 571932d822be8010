/* SPDX-License-Identifier: MIT */
/* api/operator.h: what operators are, and the steps by which they are made. */
#ifndef KA_OPERATOR_H
#define KA_OPERATOR_H

#include "call.h"

#include <keopscl/operator.h>

/* What an operator knows of an argument. */
typedef struct ka_argument {
    char name[64]; /* or "" */
    int32_t dim;
    kf_role role;
    char label[KX_NAME]; /* in errors: "argument \"x\"" */
    unsigned batches;    /* KF_BATCH_AXIS, if the operator knows_batches */
    kf_kind kind;        /* KF_INT: an array of int64 */
    bool is_index;       /* a gather reads it as an index: its array may be of int64, unless */
    bool is_operand;     /* something else reads it too, as real numbers */
} ka_argument;

/* What an operator knows of a result. */
typedef struct ka_output {
    kf_role role; /* of its rows; KF_ROLE_P: one row */
    /* KF_BATCH_AXIS, if the operator knows_batches: the axes that the result has, and the axes that it reduces. */
    unsigned batches;
    /* Of a gradient: the argument whose batch axes the gradient has, summed over all others; else -1. */
    int64_t sums_to;
} ka_output;

struct kcl_operator {
    kcl_allocator allocator;
    kb_error error;
    kf_graph graph;
    kg_options options;
    size_t input_count, input_capacity;
    ka_argument *inputs;
    ka_parameter *parameters; /* by argument: what calls know of it, once the operator is compiled */
    size_t root_count;
    const kf_node **roots;
    ka_output *outputs; /* by root */
    bool joins_axes;    /* an argument stands in both roles, i and j */
    bool knows_batches; /* the formulas say which arguments have which batch axes; else a call does */
    kg_program *program;
};

/* Without arguments and results; NULL: memory is out. */
kcl_operator *ka_operator_new(const kcl_operator_params *params);

/* Declares argument `index`. An argument that is known already must be alike. */
kcl_status ka_operator_declare(kcl_operator *op, int64_t index, const char *name, int64_t dim, kf_role role);

/* Room for `count` results. */
kcl_status ka_operator_add_roots(kcl_operator *op, size_t count);

/* The last step: the results are there, the list of arguments is complete. */
kcl_status ka_operator_compile(kcl_operator *op);

/* What a function that makes an operator returns: the operator in *out, its error as the status. */
kcl_status ka_operator_finish(kcl_operator **out, kcl_operator *op, kcl_status status);

/* Whether the array of an argument may be of int64. */
static inline bool ka_takes_integers(const ka_argument *in)
{
    return in->kind == KF_INT || (in->is_index && !in->is_operand);
}

/* The argument with this name or number; -1: none. */
int64_t ka_operator_find_input(const kcl_operator *op, const char *name);

/* What errors call an argument. */
void ka_operator_name_input(const kcl_operator *op, size_t index, char *text, size_t size);

#endif
