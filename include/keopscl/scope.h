/* SPDX-License-Identifier: MIT */
/*
 * keopscl/scope.h: scopes and the expressions that they own.
 *
 * An expression is a formula F(x_i, y_j, p) in variables that are bound to arrays. Nothing is computed before somebody
 * evaluates an expression. A variable has a role: an "i"-variable has one row per i, a "j"-variable one row per j, a
 * parameter is the same for all. An expression that lacks an axis has size 1 on the axis, and is repeated along the
 * axis if another operand has it.
 *
 * Vector components: operands of an elementwise operation have the same dimension D, or dimension 1, which is repeated.
 *
 * Batches: arrays may have up to 6 batch axes in front of these axes. The batch axes of operands are broadcast as in
 * NumPy: aligned at the last axis, size 1 is repeated. Sizes that do not fit are an error of the builder
 * (KCL_ERROR_SHAPE) that names the operation, an array of each operand, the axis (-1 is the last batch axis) and both
 * sizes. Each batch is reduced on its own, and indices count within the batch, except by kcl_reduce_sum_batch and its
 * like. Repeated arrays are not copied.
 *
 * Errors: a builder that fails returns an error expression of its scope, never NULL. Everything built on an error
 * expression carries its error, and an evaluation of it returns the error's status and copies the error's sentence to
 * the context: a chain of calls needs one check. NULL operands, operands of two scopes, and operands of a scope that
 * was reset or destroyed are such errors. If operands belong to several contexts, the builder tells all of these
 * contexts at once, and evaluation tells the context of the first operand. An expression that was built from NULL alone
 * knows of no context: an evaluation of nothing else returns KCL_ERROR_ARGUMENT and can tell no context
 * (kcl_scope_create tells its context why it returns NULL).
 *
 * Handles that are gone: the use of an expression, data handle or scope after kcl_scope_reset or kcl_scope_destroy is
 * an error like all others, in every build. For these errors the context keeps the memory of the handles, 32 bytes an
 * expression. The context uses the memory again once four more scopes were reset or destroyed and more than 32,768
 * expressions, 1024 data handles or 16 scopes wait. New handles then have the addresses of old ones, so a handle kept
 * for longer may stand for another handle. No use of a handle is undefined while the context lives; after
 * kcl_context_destroy every use of what the context had is undefined.
 *
 * Ownership: expressions and data handles belong to their scope and live until kcl_scope_reset or kcl_scope_destroy.
 * Thread safety: a scope and its expressions belong to one thread at a time.
 */
#ifndef KEOPSCL_SCOPE_H
#define KEOPSCL_SCOPE_H

#include <keopscl/array.h>
#include <keopscl/context.h>

KCL_BEGIN

/* Owns expressions and data handles. */
typedef struct kcl_scope kcl_scope;

/* A formula, or a reduction of one. Immutable. */
typedef struct kcl_expr kcl_expr;

/* An array with an identity: gradients are per handle. */
typedef struct kcl_data kcl_data;

/* Axes of K_ij, a set of bits. */
typedef enum kcl_axes {
    KCL_OVER_I = 1,    /* reduce over i: the result has one row per j */
    KCL_OVER_J = 2,    /* reduce over j: the result has one row per i */
    KCL_OVER_BOTH = 3, /* reduce over both: one row */
} kcl_axes;

/* The role of a variable, or of an operator's argument. */
typedef enum kcl_role {
    KCL_ROLE_I = 0,         /* one row per i: (M, D) */
    KCL_ROLE_J = 1,         /* one row per j: (N, D) */
    KCL_ROLE_PARAMETER = 2, /* one vector: (D) */
} kcl_role;

/* ---- Scopes ------------------------------------------------------------------------------------------------------ */

/*
 * Creates a scope for expressions that are evaluated on `context`, which must outlive it. Returns NULL when memory
 * is out, which is then the context's error, or when the context is NULL. Every function that builds expressions
 * accepts a NULL scope and then returns an error expression.
 */
KCL_API kcl_scope *kcl_scope_create(kcl_context *context);

/*
 * Which elementary functions later evaluations of the scope's expressions use: "precise", as a new scope does, or
 * "fast". `math` in kcl_operator_params explains both words, and is what operators made of the expressions use.
 * kcl_scope_reset keeps the choice. Returns KCL_ERROR_ARGUMENT, with the text in the context, for other words and
 * without a scope.
 */
KCL_API kcl_status kcl_scope_set_math(kcl_scope *scope, const char *math);

/* Frees all expressions and handles of the scope and keeps it, and the compiled kernels of its context. */
KCL_API void kcl_scope_reset(kcl_scope *scope);

/* Frees the scope and sets *scope to NULL. NULL and a pointer to NULL are accepted. */
KCL_API void kcl_scope_destroy(kcl_scope **scope);

/* ---- Looking at expressions -------------------------------------------------------------------------------------- */

/* KCL_OK, or why this expression is the error expression. NULL: KCL_ERROR_ARGUMENT. */
KCL_API kcl_status kcl_expr_status(const kcl_expr *expr);

/* The sentence that belongs to kcl_expr_status, "" for KCL_OK. Owned by the scope: valid until kcl_scope_reset. */
KCL_API const char *kcl_expr_error(const kcl_expr *expr);

/* Dimension D of the vector of components; 0 for an error expression. */
KCL_API int kcl_expr_dim(const kcl_expr *expr);

/*
 * The number type of the expression's values: KCL_I64 for an index (kcl_reduce_argmin and its like), else the type of
 * its first array of real numbers. KCL_DTYPE_NONE if no array tells (numbers take the type of the output), and for an
 * error expression. Whether all arrays have one type is checked by evaluations.
 */
KCL_API kcl_dtype kcl_expr_dtype(const kcl_expr *expr);

/* The axes that the expression has: a set of kcl_axes bits, 0 for a parameter expression or an error. */
KCL_API int kcl_expr_axes(const kcl_expr *expr);

/*
 * The shape (batch axes..., M, N, D) of the values that the expression stands for, with 1 for each axis that it lacks,
 * and -1 for an axis of which it has nothing but the numbers (kcl_index_i, kcl_index_j), so that no array tells how
 * long the axis is.
 * Returns the number of axes, 3 or more; 0 for an error expression. The expression has as many batch axes as the
 * operand that has most. An array has the batch axes from the first axis on that is not of size 1; a reduced batch axis
 * stays, with the size 1.
 */
KCL_API int kcl_expr_shape(const kcl_expr *expr, int64_t shape[KCL_MAX_AXES]);

/*
 * Writes the expression as a formula, variables as Var(index,dim,role). Batch axes that a reduction goes over follow
 * the number of its results, "Sum_Reduction(F,0,batch axis -1)": this text is no formula that can be read back. Parts
 * that a formula shares are written out at each of their places. KCL_ERROR_UNSUPPORTED, and nothing is written, if the
 * text would be longer than 2^24 bytes.
 */
KCL_API kcl_status kcl_expr_print(const kcl_expr *expr, kcl_write_fn write, void *user);

KCL_END

#endif
