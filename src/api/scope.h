/* SPDX-License-Identifier: MIT */
/* api/scope.h: what a scope owns. */
#ifndef KA_SCOPE_H
#define KA_SCOPE_H

#include "data.h"
#include "expr.h"
#include "handles.h"

struct kcl_scope {
    kcl_context *context;
    bool destroyed;  /* somebody kept a pointer to the scope; `context` and `gone` are all that is left */
    kcl_scope *next; /* destroyed scopes */
    ka_handles *handles;
    ka_block *blocks[KA_HANDLE_KINDS];
    kf_graph graph;
    kb_arena arena;
    kcl_data **data; /* by index */
    size_t data_count, data_capacity;
    kcl_data **symbols; /* the data of kcl_var, by number in ascending order */
    size_t symbol_count, symbol_capacity;
    bool data_lost;   /* memory was out when a handle was to be made, so a NULL handle stands for this handle */
    kcl_expr **exprs; /* by node id: one expression a node */
    size_t expr_capacity;
    kg_options options; /* of evaluations */
    bool has_batches;   /* a variable has batch axes */
    kg_batch *batch;    /* with batches, by node id; count -1: the operands of the node clash */
    size_t batch_count, batch_capacity;
    kcl_expr out_of_memory; /* for when not even an error expression can be made */
    kcl_expr gone;          /* what is built in a destroyed scope */
};

/* The error expression of a scope in which nothing can be built: NULL, or destroyed; NULL for a scope that is alive. */
kcl_expr *ka_scope_error(kcl_scope *scope);

/* A copy of an error that lives as long as the scope's expressions; NULL: memory is out. */
const kb_error *ka_kept_error(kcl_scope *scope, const kb_error *error);

#endif
