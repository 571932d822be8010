/* SPDX-License-Identifier: MIT */
/*
 * keopscl/derivatives.h: derivatives of expressions.
 *
 * Derivatives are taken in a variable v (made by kcl_vi, kcl_vj, kcl_pm, kcl_lazy, kcl_scalar or kcl_var) or at an
 * expression: v may be any q that was made of variables, has the axis i or j or neither, and stands in f. q then counts
 * as independent: all else in f, even the variables that q is made of, stays as it is. Every place in f that holds q or
 * its transpose counts; q is the expression that f was built from, not another expression of the same value. So the
 * steps of a Hamiltonian system are unrolled, q1 = q0 + dt dH/dp(q0, p0), and H(q1, p1) is derived at q1 again. The
 * derivative at a q that does not stand in f is 0. KCL_ERROR_SHAPE for a q that depends on both i and j,
 * KCL_ERROR_DERIVATIVE for an index.
 */
#ifndef KEOPSCL_DERIVATIVES_H
#define KEOPSCL_DERIVATIVES_H

#include <keopscl/scope.h>

KCL_BEGIN

/*
 * Gradient of `f`, which must be one number (no axis, no batches, dimension 1), in `v`: an expression of v's role,
 * dimension and batch axes, 0 if f does not depend on v. Batch axes that v lacks are summed over. All roles of v's
 * data handle count. Reverse mode, through reductions, to any order.
 */
KCL_API kcl_expr *kcl_grad(kcl_expr *f, kcl_expr *v);

/*
 * Vector-Jacobian product: the gradient of the sum over all components and rows of f * e. `e` has f's dimension or 1,
 * and no axis that f lacks.
 */
KCL_API kcl_expr *kcl_vjp(kcl_expr *f, kcl_expr *v, kcl_expr *e);

/*
 * Jacobian-vector product: the derivative of `f` when `v`, in all roles of its data handle, moves in the direction `u`:
 * f's axes and dimension, 0 if f does not depend on v. `u` has v's dimension or 1, and no axis that v lacks. Forward
 * mode, through reductions, to any order; of kcl_grad and kcl_vjp too. An index is a constant in formulas; the
 * derivative of an index itself is an error.
 */
KCL_API kcl_expr *kcl_jvp(kcl_expr *f, kcl_expr *v, kcl_expr *u);

/*
 * The Hessian of the number `f` in `v`, times the direction `u`: the derivative of kcl_grad(f, v) in the direction u,
 * of v's role and dimension. Between two variables: kcl_jvp(kcl_grad(f, v), w, u).
 */
KCL_API kcl_expr *kcl_hvp(kcl_expr *f, kcl_expr *v, kcl_expr *u);

/*
 * Derivatives in `count` variables or at expressions, 1 or more, by one pass over f. Results that are evaluated
 * together share what they have in common. kcl_grad_many and kcl_vjp_many set gradients[k], products[k] to the
 * derivative in v[k]. kcl_jvp_many is the derivative when every v[k] moves in its direction u[k]; kcl_hvp_many sets
 * products[k] to row k of the Hessian in all v, times u: the sum over l of d^2 f/dv_k dv_l u_l. If one derivative
 * fails, all results are the error expression, whose status is returned; KCL_ERROR_ARGUMENT if the list of results is
 * NULL.
 */
KCL_API kcl_status kcl_grad_many(kcl_expr *f, int count, kcl_expr *const *v, kcl_expr **gradients);
KCL_API kcl_status kcl_vjp_many(kcl_expr *f, kcl_expr *e, int count, kcl_expr *const *v, kcl_expr **products);
KCL_API kcl_expr *kcl_jvp_many(kcl_expr *f, int count, kcl_expr *const *v, kcl_expr *const *u);
KCL_API kcl_status kcl_hvp_many(kcl_expr *f, int count, kcl_expr *const *v, kcl_expr *const *u, kcl_expr **products);

/*
 * The matrix df/dv for each i and j: D rows of as many numbers as v has components, row-major, row k the gradient of
 * component k of `f` (reshape it with kcl_reshape_inner). Unlike kcl_vjp, this function and the functions below sum
 * over no rows, and `v` counts in its own role, not in other roles of its handle. A reduction in `f` must leave v's
 * rows apart: over j for an i-variable, any reduction for a parameter; else KCL_ERROR_DERIVATIVE. At most 4096
 * components of f or of v are derived one by one.
 */
KCL_API kcl_expr *kcl_grad_matrix(kcl_expr *f, kcl_expr *v);

/* The trace of the matrix df/dv, for f and v of one dimension: the sum of df_k/dv_k. 0 if f does not depend on v. */
KCL_API kcl_expr *kcl_divergence(kcl_expr *f, kcl_expr *v);

/* The sum of the second derivatives d^2 f/dv_k^2, for f of dimension 1. */
KCL_API kcl_expr *kcl_laplacian(kcl_expr *f, kcl_expr *v);

/*
 * The trace of the matrix of an `f` that is linear in v, which is not in the result: the divergence of f, with
 * KCL_ERROR_DERIVATIVE for an f that is seen not to be linear. An f of dimension 1 counts as repeated: the sum of its
 * row.
 */
KCL_API kcl_expr *kcl_trace_operator(kcl_expr *f, kcl_expr *v);

KCL_END

#endif
