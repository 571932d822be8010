/* SPDX-License-Identifier: MIT */
/* formula/calculus.h: what is computed from the matrix of all derivatives: traces and quadratic forms. */
#ifndef KF_CALCULUS_H
#define KF_CALCULUS_H

#include "graph.h"

/*
 * Each function computes from the matrix dF/dv, for each pair (i, j) of F. v is a VAR node, and counts as the node
 * stands in F, not in other roles of its array. Results are simplified and on the axes of F. F may have reductions that
 * leave the rows of v apart; other reductions are KCL_ERROR_DERIVATIVE. Other errors: KCL_ERROR_SHAPE.
 */
/* The matrix itself, row-major: the gradient of component k of F is row k. */
kcl_status kf_grad_matrix(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out);
/* kf_divergence: the trace of the matrix. kf_laplacian: the trace of the matrix of second derivatives. */
kcl_status kf_divergence(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out);
kcl_status kf_laplacian(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out);
/* Reductions through which a formula may depend on its variable: none, those that keep the variable's rows apart, all. */
typedef enum kf_through { KF_THROUGH_NONE, KF_THROUGH_ROWS, KF_THROUGH_ALL } kf_through;
/*
 * KCL_ERROR_DERIVATIVE unless F is linear in v. What stands before v must be seen to be linear, what is added to be 0.
 */
kcl_status kf_check_linear(kf_graph *g, const char *name, const kf_node *F, const kf_node *v, kf_through through);
/*
 * For F linear in v with the matrix M. kf_trace_operator: the sum of w_k M_kk; an F of dimension 1 is repeated.
 * kf_sum_lin_operator: the sum of l_i M_ij r_j.
 */
kcl_status kf_trace_operator(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *w, const kf_node **out);
kcl_status kf_sum_lin_operator(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *left,
                               const kf_node *right, const kf_node **out); /* NULL: ones, as for w above */

#endif
