/* SPDX-License-Identifier: MIT */
/* formula/calculus.h: what is computed from the matrix of all derivatives: traces and quadratic forms. */
#ifndef KF_CALCULUS_H
#define KF_CALCULUS_H

#include "graph.h"

/*
 * calculus.c: what is computed from the matrix dF/dv, for each pair (i, j) of F, v a VAR node that counts where it
 * stands in F and not in other roles of its array. Results are simplified and on the axes of F. F may have reductions
 * that leave the rows of v apart; others are KCL_ERROR_DERIVATIVE. Other errors: KCL_ERROR_SHAPE.
 */
/* The matrix itself, row-major: the gradient of component k of F is row k. */
kcl_status kf_grad_matrix(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out);
kcl_status kf_divergence(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out); /* its trace */
kcl_status kf_laplacian(kf_graph *g, const kf_node *F, const kf_node *v,
                        const kf_node **out); /* of second derivatives */
/* KCL_ERROR_DERIVATIVE unless F is linear in v; what stands before v, and is added, must be seen to be 0. */
kcl_status kf_check_linear(kf_graph *g, const char *name, const kf_node *F, const kf_node *v, bool through_reductions);
/* F linear in v: its matrix M has the trace sum of w_k M_kk, F repeated where it is a number; the sum of l_i M_ij r_j. */
kcl_status kf_trace_operator(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *w, const kf_node **out);
kcl_status kf_sum_lin_operator(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *left,
                               const kf_node *right, const kf_node **out); /* NULL: ones, as for w above */

#endif
