/* SPDX-License-Identifier: MIT */
/* lazy/scope.h: what scopes, expressions and operators share. */
#ifndef KL_SCOPE_H
#define KL_SCOPE_H

#include "handles.h"
#include "tensor.h"

struct kcl_data {
    kcl_scope *scope;
    kcl_array array;
    const kb_error *error; /* why the array was refused, or NULL */
    int64_t index;         /* of variables bound to it */
    const char *call;      /* the function that made it, or first made a variable of it */
    const char *alias;     /* in the first text that names it, or NULL */
    char name[KL_NAME];    /* for errors, once it was asked for */
    double value;          /* of a kcl_scalar, whose array points to one of: */
    float f32;
    double f64;
    bool is_scalar;
    bool is_variable; /* `call` made a variable */
    kcl_memory *memory; /* the scope's own, of kcl_data_upload */
    bool is_symbol;     /* of kcl_var: no array, but its own number, dimension and role: */
    int number, symbol_dim;
    kf_role symbol_role;
};

/* The shape of the components as a small tensor. */
typedef kf_shape kl_inner;

struct kcl_expr {
    kcl_scope *scope;    /* NULL: the expression without a scope */
    const kf_node *node; /* NULL: the error expression */
    const kb_error *error;
    const kl_inner *inner; /* of two axes or more; NULL: a vector */
};

struct kcl_scope {
    kcl_context *context;
    bool destroyed;  /* a pointer to it was kept; `context` and `gone` are all that is left */
    kcl_scope *next; /* destroyed scopes */
    kl_handles *handles;
    kl_block *blocks[KL_HANDLE_KINDS];
    kf_graph graph;
    kb_arena arena;
    kcl_data **data; /* by index */
    size_t data_count, data_capacity;
    bool data_lost;   /* memory was out when a handle was to be made: a NULL handle is that one */
    kcl_expr **exprs; /* by node id: one expression a node */
    size_t expr_capacity;
    kl_options options; /* of evaluations */
    bool has_batches; /* a variable has batch axes */
    kl_batch *batch;  /* then: by node id; count -1 where operands clash */
    size_t batch_count, batch_capacity;
    kcl_expr out_of_memory; /* where not even an error expression can be made */
    kcl_expr gone;          /* what is built in a destroyed scope */
};

/* The batch axes of a node of the scope's graph. Errors in err: operands that do not broadcast. */
kcl_status kl_batch_of(kcl_scope *scope, const kf_node *node, kl_batch *batch, kb_error *err);

/*
 * The node with as many batch axes as `like` has, which differ in axes of size 1 in front alone: reduced ones, or those that
 * derivatives no longer mention. NULL where node is, or memory is out.
 */
const kf_node *kl_with_batches_of(kcl_scope *scope, const kf_node *node, const kf_node *like);

/*
 * Errors name the function that the user called, not the operators that it is made of. What can fail takes the name of
 * its caller: where that is a public function it replaces the operator's in front of the sentence, "kcl_sqdist: the
 * operands have dimensions 3 and 2", or stands before it. Functions that other functions are made of leave it to these.
 */
void kl_name_call(const char *call, kb_error *err);
const char *kl_call_or(const char *call, const char *name); /* `call` where that is a public function */

/* The expression of a node of the scope's graph; NULL stands for the graph's error. */
kcl_expr *kl_expr_called(const char *call, kcl_scope *scope, const kf_node *node);
#define kl_expr_of(...) kl_expr_called(__func__, __VA_ARGS__)

/*
 * What a public function made of operands by way of other public functions. An error is called by the name of `call`,
 * unless an operand brought it along.
 */
kcl_expr *kl_as(const char *call, int count, kcl_expr *const *operands, kcl_expr *result);

/* The error expression of a scope in which nothing can be built: NULL, or destroyed; NULL where the scope is alive. */
kcl_expr *kl_scope_error(kcl_scope *scope);

/* An error expression. */
kcl_expr *kl_fail(kcl_scope *scope, kcl_status status, const char *format, ...) KB_PRINTF(3, 4);

/* An operator of the table applied to expressions; `params` may be NULL. */
kcl_expr *kl_apply_called(const char *call, kf_op op, int count, kcl_expr *const *operands, const int64_t *params);
#define kl_apply(...) kl_apply_called(__func__, __VA_ARGS__)
/* An operator or composite of ops.def by its name in formulas; elementwise ones broadcast inner shapes. */
kcl_expr *kl_named_called(const char *call, const char *name, bool elementwise, int count, kcl_expr *const *operands,
                          const int64_t *params);
#define kl_named(...) kl_named_called(__func__, __VA_ARGS__)

/* ---- inner.c ---- */

/* f with an inner shape of as many components; NULL: f. */
kcl_expr *kl_shaped(kcl_expr *f, const kl_inner *inner);

/*
 * Operands of an elementwise operation brought to one inner shape, where one of them has one; *shaped tells. False where
 * they do not fit, *error is then the expression to return.
 */
bool kl_broadcast(const char *name, kcl_scope *scope, int count, kcl_expr *const *operands, const kf_node **nodes,
                  kl_inner *shape, bool *shaped, kcl_expr **error);

/* `count` components from `first` on by `step` along an inner axis. */
kcl_expr *kl_slice(kcl_expr *f, int axis, int64_t first, int64_t count, int64_t step);

/* vector.c: what start, stop and step mean for an axis of `size`; false after setting *error. */
bool kl_check_slice(const char *name, kcl_scope *scope, int64_t size, int start, int stop, int step, int64_t *first,
                    int64_t *count, kcl_expr **error);

/*
 * What errors call the data of a variable with this index, as the user wrote it: "array 3 (kcl_vj of shape (100, 3))",
 * "array 3 (\"y\", kcl_vj of shape (100, 3))" where a text has a name for it, "variable 0 (kcl_var)".
 */
const char *kl_data_name(const kcl_scope *scope, int64_t index);

/*
 * The scope of operands that can be combined; NULL where one is an error or they do not belong together, *error is then
 * the expression to return.
 */
kcl_scope *kl_common_scope_called(const char *call, int count, kcl_expr *const *operands, kcl_expr **error);
#define kl_common_scope(...) kl_common_scope_called(__func__, __VA_ARGS__)

#endif
