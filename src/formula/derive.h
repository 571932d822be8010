/* SPDX-License-Identifier: MIT */
/* formula/derive.h: derivatives of formulas and of reductions, in both modes. */
#ifndef KF_DERIVE_H
#define KF_DERIVE_H

#include "graph.h"

/*
 * derive.c: vector-Jacobian products of a formula F, in one sweep: out[k] = (dF/dleaves[k])^T e, simplified. F's leaves
 * are VAR and REDUCE nodes; no reduction is differentiated. `e` has F's dimension.
 */
kcl_status kf_vjp(kf_graph *g, const kf_node *F, const kf_node *e, size_t leaf_count, const kf_node *const *leaves,
                  const kf_node **out);

/*
 * derive.c: the gradient of the sum of F * e through reductions: out[k] has the axes and dimension of variable
 * vars[k], summed over the others. Every variable with the index of vars[k] counts, whatever its role. An integer is
 * a constant inside a formula; where F itself is one, a variable that it depends on is an error, KCL_ERROR_DERIVATIVE.
 */
kcl_status kf_gradient(kf_graph *g, const kf_node *F, const kf_node *e, size_t var_count, const kf_node *const *vars,
                       const kf_node **out);

/*
 * forward.c: the derivative of F when every variable vars[k] moves in directions[k], through reductions, simplified. It
 * has the axes and dimension of F. A direction has its variable's dimension, or 1, and no axis that the variable lacks.
 * Indices are constants; of F an index that moves, KCL_ERROR_DERIVATIVE.
 */
kcl_status kf_jvp(kf_graph *g, const kf_node *F, size_t var_count, const kf_node *const *vars,
                  const kf_node *const *directions, const kf_node **out);

/*
 * The same for one variable, exactly as it is used: not in other roles of its array. A direction may have axes that the
 * variable lacks: every pair (i, j) moves in its own. A reduction over such an axis is KCL_ERROR_SHAPE.
 */
kcl_status kf_diff(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *u, const kf_node **out);

/*
 * select.c: F with every smallest or largest value that depends on one of the variables written as the formula of the
 * term that it is, at its index, so that it can be differentiated.
 */
kcl_status kf_select_terms(kf_graph *g, const kf_node *F, size_t var_count, const kf_node *const *vars,
                           const kf_node **out);

#endif
