/* SPDX-License-Identifier: MIT */
/* api/builder.h: what the functions that build expressions are made of. */
#ifndef KA_BUILDER_H
#define KA_BUILDER_H

#include "inner_shape.h"
#include "scope.h"

/* An operator of the table applied to expressions; `params` may be NULL. */
kcl_expr *ka_apply_called(const char *call, kf_op op, int count, kcl_expr *const *operands, const int64_t *params);
#define ka_apply(...) ka_apply_called(__func__, __VA_ARGS__)

/* An elementwise operator of (g, f), as f > g is g < f; errors name f first. */
kcl_expr *ka_exchanged_called(const char *call, kf_op op, kcl_expr *f, kcl_expr *g);
#define ka_exchanged(...) ka_exchanged_called(__func__, __VA_ARGS__)

/* An operator or composite of ops.def by its name in formulas. `elementwise`: inner shapes broadcast. */
kcl_expr *ka_named_called(const char *call, const char *name, bool elementwise, int count, kcl_expr *const *operands,
                          const int64_t *params);
#define ka_named(...) ka_named_called(__func__, __VA_ARGS__)

#endif
