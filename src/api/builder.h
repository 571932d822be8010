/* SPDX-License-Identifier: MIT */
/* api/builder.h: what the functions that build expressions are made of. */
#ifndef KL_BUILDER_H
#define KL_BUILDER_H

#include "inner_shape.h"
#include "scope.h"

/* An operator of the table applied to expressions; `params` may be NULL. */
kcl_expr *kl_apply_called(const char *call, kf_op op, int count, kcl_expr *const *operands, const int64_t *params);
#define kl_apply(...) kl_apply_called(__func__, __VA_ARGS__)

/* An operator or composite of ops.def by its name in formulas; elementwise ones broadcast inner shapes. */
kcl_expr *kl_named_called(const char *call, const char *name, bool elementwise, int count, kcl_expr *const *operands,
                          const int64_t *params);
#define kl_named(...) kl_named_called(__func__, __VA_ARGS__)

#endif
