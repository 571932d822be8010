/* SPDX-License-Identifier: MIT */
/* api/inner_shape.h: the shape of the components as a small tensor. A vector is a tensor of one axis. */
#ifndef KA_INNER_SHAPE_H
#define KA_INNER_SHAPE_H

#include "expr.h"

ka_inner ka_inner_of(const kcl_expr *f);

/* f with an inner shape of as many components; NULL: f. */
kcl_expr *ka_shaped(kcl_expr *f, const ka_inner *inner);

/*
 * Brings the operands of an elementwise operation to one inner shape, if one of them has an inner shape; *shaped tells.
 * False if the shapes do not fit; *error is then the expression to return.
 */
bool ka_broadcast(const char *name, kcl_scope *scope, int count, kcl_expr *const *operands, const kf_node **nodes,
                  ka_inner *shape, bool *shaped, kcl_expr **error);

/* What start, stop and step mean for an axis of `size`; false after setting *error. */
bool ka_check_slice(const char *name, kcl_scope *scope, int64_t size, int start, int stop, int step, int64_t *first,
                    int64_t *count, kcl_expr **error);

/*
 * The shape to which two shapes broadcast, as in NumPy: axes count from the last one, an axis of size 1 is repeated.
 * `skip` axes at the end are left out. False after setting *error.
 */
bool ka_broadcast_shapes(const char *name, kcl_scope *scope, const ka_inner *a, const ka_inner *b, int skip,
                         ka_inner *out, kcl_expr **error);

/* Strides of `from` along the `rank` axes of a shape to which it is broadcast, 0 along an axis that repeats it. */
void ka_broadcast_strides(const ka_inner *from, int skip, int rank, int64_t *out);

#endif
