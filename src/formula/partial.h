/* SPDX-License-Identifier: MIT */
/* formula/partial.h: what both modes of derivatives share: partial derivatives, guards, shares of sums. */
#ifndef KF_PARTIAL_H
#define KF_PARTIAL_H

#include "graph.h"

/*
 * guard.c: a cotangent that counts where `where` is true, or everywhere if `where` is NULL. `masked`: the value is 0
 * where the cotangent does not count.
 */
typedef struct kf_guarded {
    const kf_node *value, *where;
    bool masked;
} kf_guarded;

/* The truth value that tells where f takes operand k. NULL: f is no choice, or operand k is the condition. */
const kf_node *kf_condition(kf_graph *g, const kf_node *f, int k);
const kf_node *kf_guard_and(kf_graph *g, const kf_node *a, const kf_node *b); /* NULL: true */
const kf_node *kf_guard_mask(kf_graph *g, const kf_guarded *c);               /* the value, and 0 elsewhere */
bool kf_guard_add(kf_graph *g, kf_guarded *sum, const kf_guarded *c); /* a sum without value is 0; false on failure */

/* `e` times the derivative of elementwise f by its operand k. */
const kf_node *kf_times_partial(kf_graph *g, const kf_node *f, int k, const kf_node *e);

/* What the cotangent `e` of node f contributes to the cotangent of operand `k`. */
kf_guarded kf_pull_back(kf_graph *g, const kf_node *f, int k, kf_guarded e);
const kf_node *kf_repeated(kf_graph *g, const kf_node *e,
                           int64_t dim); /* e of one component, `dim` times; NULL of NULL */

/*
 * exp(F - L): the share that a term exp(F) has of exp(L), a sum of exponentials. The share is 0 where F is -infinity,
 * even if L is -infinity too: all terms may be, or a device may take numbers of that size for infinite. NaN where F is
 * NaN.
 */
const kf_node *kf_share(kf_graph *g, const kf_node *F, const kf_node *L);

/* 1, and 0 where F is -infinity. For sums of exp(F) G, which may be 0 where no F is -infinity. */
const kf_node *kf_has_weight(kf_graph *g, const kf_node *F);
/* Keeps the error of a derivative of the gradient of SoftDTW; returns NULL. */
const kf_node *kf_refuse_second(kf_graph *g);
/* Whether f is a use of the array of one of the variables. */
bool kf_is_among(const kf_node *f, size_t var_count, const kf_node *const *vars);
/*
 * Whether the uses of one array as `leaf` and as `var` have one shape: an array that is both rows and a parameter has
 * not.
 */
bool kf_has_one_shape(kf_graph *g, const kf_node *var, const kf_node *leaf);

#endif
