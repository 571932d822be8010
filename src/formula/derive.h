/* SPDX-License-Identifier: MIT */
/* formula/derive.h: derivatives of formulas and of reductions, in both modes. */
#ifndef KF_DERIVE_H
#define KF_DERIVE_H

#include "graph.h"

/*
 * derive.c: vector-Jacobian products of a formula F, in one sweep: out[k] = (dF/dleaves[k])^T e, simplified. The leaves
 * of F are VAR and REDUCE nodes; no reduction is differentiated. `e` has the dimension of F.
 */
kcl_status kf_vjp(kf_graph *g, const kf_node *F, const kf_node *e, size_t leaf_count, const kf_node *const *leaves,
                  const kf_node **out);

/*
 * gradient.c: the gradient of the sum of F * e through reductions: out[k] has the axes and the dimension of variable
 * vars[k], and is summed over all other axes. Every variable with the index of vars[k] counts, whatever its role. An
 * integer is a constant inside a formula. Where F itself is an integer, a variable on which F depends is
 * KCL_ERROR_DERIVATIVE.
 */
kcl_status kf_gradient(kf_graph *g, const kf_node *F, const kf_node *e, size_t var_count, const kf_node *const *vars,
                       const kf_node **out);

/*
 * forward.c: the derivative of F when every variable vars[k] moves in directions[k], through reductions, simplified.
 * The derivative has the axes and the dimension of F. A direction has the dimension of its variable, or 1, and no axis
 * that the variable lacks. Indices are constants; an F that is an index and moves is KCL_ERROR_DERIVATIVE.
 */
kcl_status kf_jvp(kf_graph *g, const kf_node *F, size_t var_count, const kf_node *const *vars,
                  const kf_node *const *directions, const kf_node **out);

/*
 * The same for one variable in the role that v has; other roles of its array do not move. A direction may have axes
 * that the variable lacks: then every pair (i, j) moves in a direction of its own. A reduction over an axis that only
 * the direction has is KCL_ERROR_SHAPE.
 */
kcl_status kf_diff(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *u, const kf_node **out);

/*
 * select.c: F with every smallest or largest value that depends on one of the variables written as the formula of the
 * term that is smallest or largest, at the index of the term. So F can be differentiated.
 */
kcl_status kf_select_terms(kf_graph *g, const kf_node *F, size_t var_count, const kf_node *const *vars,
                           const kf_node **out);

#endif
