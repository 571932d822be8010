/* SPDX-License-Identifier: MIT */
/* formula/matrix.h: vectors and matrices of components: products, inverses, splines, the largest component. */
#ifndef KF_MATRIX_H
#define KF_MATRIX_H

#include "graph.h"

/* Matrices are row-major; dimensions tell their sizes. Errors: KCL_ERROR_SHAPE. */
const kf_node *kf_mat_vec(kf_graph *g, const kf_node *A, const kf_node *b);
const kf_node *kf_vec_mat(kf_graph *g, const kf_node *b, const kf_node *A);
const kf_node *kf_tensor_prod(kf_graph *g, const kf_node *a, const kf_node *b);
/* s|f|^2, the sum of s_k f_k^2, or f^T s f, by the dimension of s. */
const kf_node *kf_weighted_norm(kf_graph *g, const kf_node *s, const kf_node *f);
const kf_node *kf_one_hot(kf_graph *g, const kf_node *index, int64_t dim);
/* The first component that is the largest (KF_MAX) or smallest (KF_MIN); the dimension where all components are NaN. */
const kf_node *kf_arg_extreme(kf_graph *g, const kf_node *f, kf_op op);

/*
 * Square matrices of 1 to 4 rows (kf_trace: of any number), row-major, by cofactors. The inverse of a singular matrix
 * is what dividing by 0 gives. Errors: KCL_ERROR_SHAPE.
 */
const kf_node *kf_det(kf_graph *g, const kf_node *A);
const kf_node *kf_mat_inv(kf_graph *g, const kf_node *A);
const kf_node *kf_trace(kf_graph *g, const kf_node *A);

/*
 * The B-splines of a degree with the knots t, which do not fall, at x. The result has the dimension of t less the
 * degree less 1. Knots may be equal. Errors: KCL_ERROR_SHAPE.
 */
const kf_node *kf_bspline(kf_graph *g, const kf_node *t, const kf_node *x, int64_t degree);

#endif
