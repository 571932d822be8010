/* SPDX-License-Identifier: MIT */
/* lazy/scope.h: what scopes, expressions and operators share. */
#ifndef KL_SCOPE_H
#define KL_SCOPE_H

#include "exec.h"

#include <keopscl/expr.h>

struct kcl_data {
    kcl_scope *scope;
    kcl_array array;
    unsigned generation; /* of the scope */
    kb_error *error;     /* why the array was refused, or NULL */
    int64_t index;   /* of variables bound to it */
    double value;    /* of a kcl_scalar, whose array points to one of: */
    float f32;
    double f64;
    bool is_scalar;
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
    unsigned generation;   /* of the scope: another one since then means that this is gone */
};

struct kcl_scope {
    kcl_context *context;
    unsigned generation; /* grows with every reset; 0: destroyed */
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
    kb_error memory_error;
};

/* The batch axes of a node of the scope's graph. Errors in err: operands that do not broadcast. */
kcl_status kl_batch_of(kcl_scope *scope, const kf_node *node, kl_batch *batch, kb_error *err);

/*
 * The node with as many batch axes as `like` has, which differ in axes of size 1 in front alone: reduced ones, or those that
 * derivatives no longer mention. NULL where node is, or memory is out.
 */
const kf_node *kl_with_batches_of(kcl_scope *scope, const kf_node *node, const kf_node *like);

/* The expression of a node of the scope's graph; NULL stands for the graph's error. */
kcl_expr *kl_expr_of(kcl_scope *scope, const kf_node *node);

/*
 * Whether the scope was reset or destroyed since the expression was made. Debug builds tell; to others it is not known,
 * and the expression's memory is not there.
 */
bool kl_is_gone(const kcl_expr *expr);

/* An error expression. */
kcl_expr *kl_fail(kcl_scope *scope, kcl_status status, const char *format, ...) KB_PRINTF(3, 4);

/* An operator of the table applied to expressions; `params` may be NULL. */
kcl_expr *kl_apply(kf_op op, int count, kcl_expr *const *operands, const int64_t *params);
/* An operator or composite of ops.def by its name in formulas; elementwise ones broadcast inner shapes. */
kcl_expr *kl_named(const char *name, bool elementwise, int count, kcl_expr *const *operands, const int64_t *params);

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

enum { KL_DATA_NAME = 48 };

/* What errors call the data of a variable with this index: "array 3", "variable 0 (kcl_var)". */
const char *kl_data_name(const kcl_scope *scope, int64_t index, char text[KL_DATA_NAME]);

/*
 * The scope of operands that can be combined; NULL where one is an error or they do not belong together, *error is then
 * the expression to return.
 */
kcl_scope *kl_common_scope(int count, kcl_expr *const *operands, kcl_expr **error);

#endif
