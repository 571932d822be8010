/* SPDX-License-Identifier: MIT */
/*
 * api/expr.h: how functions of the interface make expressions, and what errors call these functions.
 *
 * An error names the function that the user called, not the operators that this function is made of. So every function
 * here that can fail takes the name of its caller. The name of a public function replaces the operator's name in front
 * of a sentence, "kcl_sqdist: the operands have dimensions 3 and 2", or stands before the sentence. A function that
 * other functions are made of leaves the naming to these functions.
 */
#ifndef KA_EXPR_H
#define KA_EXPR_H

#include "graph.h"
#include "tensor.h"

#include <keopscl/expr.h>

/* The shape of the components as a small tensor. */
typedef kf_shape ka_inner;

struct kcl_expr {
    kcl_scope *scope;    /* NULL: the expression without a scope */
    const kf_node *node; /* NULL: the error expression */
    const kb_error *error;
    const ka_inner *inner; /* of two axes or more; NULL: a vector */
};

/* The role of a variable that has the axes of f, which has one axis of the pair at most. */
static inline kf_role ka_role_of(const kf_node *f)
{
    return f->axes & KF_AXIS_I ? KF_ROLE_I : f->axes & KF_AXIS_J ? KF_ROLE_J : KF_ROLE_P;
}

/* Puts the name of a public function in front of the sentence of an error. */
void ka_name_call(const char *call, kb_error *err);
const char *ka_call_or(const char *call,
                       const char *name); /* `call` if it is the name of a public function, else `name` */

/* The expression of a node of the scope's graph; the node NULL stands for the graph's error. */
kcl_expr *ka_expr_called(const char *call, kcl_scope *scope, const kf_node *node);
#define ka_expr_of(...) ka_expr_called(__func__, __VA_ARGS__)

/*
 * What a public function made of operands by way of other public functions. An error gets the name of `call`, unless an
 * operand brought the error along.
 */
kcl_expr *ka_as(const char *call, int count, kcl_expr *const *operands, kcl_expr *result);

/* An error expression of a scope; ka_fail makes the error from a sentence. */
kcl_expr *ka_error_expr(kcl_scope *scope, const kb_error *error);
kcl_expr *ka_fail(kcl_scope *scope, kcl_status status, const char *format, ...) KB_PRINTF(3, 4);

/* Tells an error to every context of the operands, but not to the context of `scope`, which evaluation tells. */
void ka_tell_contexts(int count, kcl_expr *const *operands, const kcl_scope *scope, const kb_error *error);

/*
 * The scope of operands that can be combined. NULL if an operand is an error or the operands do not belong together;
 * *error is then the expression to return.
 */
kcl_scope *ka_common_scope_called(const char *call, int count, kcl_expr *const *operands, kcl_expr **error);
#define ka_common_scope(...) ka_common_scope_called(__func__, __VA_ARGS__)

#endif
