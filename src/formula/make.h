/* SPDX-License-Identifier: MIT */
/* formula/make.h: constructors of leaves and operators. */
#ifndef KF_MAKE_H
#define KF_MAKE_H

#include "graph.h"

/*
 * Any operator of the table but VAR, CONST and REDUCE. `args` has the arity of the operator, `params` its parameters
 * (NULL for an operator without parameters). Errors: KCL_ERROR_SHAPE with the operator and both dimensions.
 */
const kf_node *kf_make(kf_graph *g, kf_op op, const kf_node *const *args, const int64_t *params);

const kf_node *kf_var(kf_graph *g, int64_t index, int64_t dim, kf_role role);
const kf_node *kf_on_batches(kf_graph *g, const kf_node *var, unsigned axes); /* with these batch axes too */
/* Some axes of a variable, for the second operand of Like. The value of the node is never read. */
const kf_node *kf_lend_axes(kf_graph *g, const kf_node *var, unsigned axes);
/*
 * The result of term `index` of the sweep: its values, or, with KF_INT, its numbers of terms. Numbers of terms are an
 * array of integers as an output of their own; formulas take them as real numbers.
 */
const kf_node *kf_acc(kf_graph *g, int64_t index, int64_t dim, kf_kind kind);
const kf_node *kf_rat(kf_graph *g, int64_t numerator, int64_t denominator); /* reduced to lowest terms */
/* Whole numbers below 2^53 become kf_rat, -infinity Minus(infinity); NaN is an error. */
const kf_node *kf_num(kf_graph *g, double value);
const kf_node *kf_zero(kf_graph *g, int64_t dim);
/*
 * a i + b j + c of the number i of the row and the number j of the column. KCL_ERROR_SHAPE where a, b or c is out of
 * bounds, or a = b = 0.
 */
const kf_node *kf_index(kf_graph *g, int64_t a, int64_t b, int64_t c);
const kf_node *kf_unary(kf_graph *g, kf_op op, const kf_node *a);
const kf_node *kf_binary(kf_graph *g, kf_op op, const kf_node *a, const kf_node *b);
/* The operator of (b, a), as a > b is b < a; errors name a first. */
const kf_node *kf_exchanged(kf_graph *g, kf_op op, const kf_node *a, const kf_node *b);
/* `f ** exponent`: Square, Pow, Sqrt, Rsqrt or Powf by a constant, as the exponent asks. */
const kf_node *kf_power(kf_graph *g, const kf_node *f, double exponent);
const kf_node *kf_dot(kf_graph *g, const kf_node *a, const kf_node *b); /* f|g: Sum(f*g); one may have dimension 1 */
/* f brought into [offset, offset + n) by adding multiples of n: Mod, and f % n */
const kf_node *kf_mod(kf_graph *g, const kf_node *f, const kf_node *n, const kf_node *offset);
const kf_node *kf_like(kf_graph *g, const kf_node *f, const kf_node *axes_of); /* f itself if that has all axes */
const kf_node *kf_like_on(kf_graph *g, const kf_node *f, const kf_node *axes_of, unsigned axes); /* on some of them */
const kf_node *kf_to_real(kf_graph *g, const kf_node *f); /* an integer as a real number */

#endif
