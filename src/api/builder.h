/* SPDX-License-Identifier: MIT */
/* api/builder.h: what the functions that build expressions are made of. */
#ifndef KL_BUILDER_H
#define KL_BUILDER_H

#include "scope.h"

/* ---- Operators --------------------------------------------------------------------------------------------------- */

/* An operator of the table applied to expressions; `params` may be NULL. */
kcl_expr *kl_apply_called(const char *call, kf_op op, int count, kcl_expr *const *operands, const int64_t *params);
#define kl_apply(...) kl_apply_called(__func__, __VA_ARGS__)

/* An operator or composite of ops.def by its name in formulas; elementwise ones broadcast inner shapes. */
kcl_expr *kl_named_called(const char *call, const char *name, bool elementwise, int count, kcl_expr *const *operands,
                          const int64_t *params);
#define kl_named(...) kl_named_called(__func__, __VA_ARGS__)

/* ---- Inner shapes ------------------------------------------------------------------------------------------------ */

/* f with an inner shape of as many components; NULL: f. */
kcl_expr *kl_shaped(kcl_expr *f, const kl_inner *inner);

/*
 * Brings the operands of an elementwise operation to one inner shape, if one of them has an inner shape; *shaped tells.
 * False if the shapes do not fit; *error is then the expression to return.
 */
bool kl_broadcast(const char *name, kcl_scope *scope, int count, kcl_expr *const *operands, const kf_node **nodes,
                  kl_inner *shape, bool *shaped, kcl_expr **error);

/* What start, stop and step mean for an axis of `size`; false after setting *error. */
bool kl_check_slice(const char *name, kcl_scope *scope, int64_t size, int start, int stop, int step, int64_t *first,
                    int64_t *count, kcl_expr **error);

#endif
