/* SPDX-License-Identifier: MIT */
/* formula/layout.h: components of vectors rearranged: the axes of small tensors. */
#ifndef KF_LAYOUT_H
#define KF_LAYOUT_H

#include "graph.h"

/* Component (k0, k1, ...) of the result, row-major, is component offset + k0 stride[0] + k1 stride[1] + ... */
typedef struct kf_layout {
    int rank;
    int64_t offset, size[KF_MAX_RANK], stride[KF_MAX_RANK];
} kf_layout;

kf_layout kf_layout_of(const kf_node *f); /* of Arrange; of Place: its result is the operand of the layout */
int64_t kf_layout_source(const kf_layout *l, int64_t k);
int64_t kf_layout_inverse(const kf_layout *l, int64_t source); /* of Place; -1: no component */

void kf_layout_order(const kf_layout *l, int order[KF_MAX_RANK]); /* axes by falling stride; zero strides last */
kf_layout kf_layout_shortest(const kf_layout *l); /* axes of size 1 dropped, axes that follow in memory made one */

enum { KF_LAYOUT_TEXT = 160 };

/*
 * Returns whether `params` are parameters of Arrange (with `place`: of Place) for a vector of `dim` components. If not,
 * `text` tells why.
 */
bool kf_layout_check(const int64_t *params, bool place, int64_t dim, int64_t *count, char text[KF_LAYOUT_TEXT]);

/*
 * For a KF_CLASS_COPY node: returns the number of the operand from which component k comes, and sets *component, or
 * returns -1 where the component is 0. *run is set to the number of components from k on for which the answer goes on:
 * each is the next component of the operand, or, where *stride is 0, the same component again.
 */
int kf_copy_source(const kf_node *f, int64_t k, int64_t *component, int64_t *run, int *stride);

/* ---- arrange.c --------------------------------------------------------------------------------------------------- */

/* The components of f as the layout says; f itself, Elem, Extract or SumT where one of these does the same. */
const kf_node *kf_arrange(kf_graph *g, const kf_node *f, const kf_layout *l);
/* The cotangent of an operand of dimension `dim` whose arrangement has the cotangent e. */
const kf_node *kf_arrange_adjoint(kf_graph *g, const kf_layout *l, int64_t dim, const kf_node *e);
const kf_node *kf_sum_rows(kf_graph *g, const kf_node *f, int64_t length); /* of `length` components each */

#endif
