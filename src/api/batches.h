/* SPDX-License-Identifier: MIT */
/* api/batches.h: batch axes of expressions. */
#ifndef KA_BATCHES_H
#define KA_BATCHES_H

#include "order.h"
#include "scope.h"

/* The batch axes of a node of the scope's graph. Errors in err: operands that do not broadcast. */
kcl_status ka_batch_of(kcl_scope *scope, const kf_node *node, kg_batch *batch, kb_error *err);

/*
 * The node with as many batch axes as `like` has. The two differ in axes of size 1 in front alone: reduced axes, or
 * axes that derivatives no longer mention. NULL if `node` is NULL, or memory is out.
 */
const kf_node *ka_with_batches_of(kcl_scope *scope, const kf_node *node, const kf_node *like);

/*
 * The number of rows of a node on an axis of the pair: 1 if the node lacks the axis, -1 if it has nothing but numbers
 * of rows on the axis.
 */
int64_t ka_rows_on(const kcl_scope *scope, const kf_node *f, unsigned axis);

/* The number type of the first array of real numbers below the nodes of an order; KCL_DTYPE_NONE: there is none. */
kcl_dtype ka_type_of(const kcl_scope *scope, const kf_order *order);

/* Names an operand by a variable from which the operand has the axis. */
void ka_name_operand(const kcl_scope *scope, const kf_node *f, unsigned axis, char *text, size_t size);

#endif
