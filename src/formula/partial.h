/* SPDX-License-Identifier: MIT */
/* formula/partial.h: what both modes of derivatives share: partial derivatives, guards, shares of sums. */
#ifndef KF_PARTIAL_H
#define KF_PARTIAL_H

#include "graph.h"

/* guard.c: a cotangent that counts where `where` is true, everywhere where that is NULL; `masked`: it is 0 elsewhere. */
typedef struct kf_guarded {
    const kf_node *value, *where;
    bool masked;
} kf_guarded;

/* The truth value that tells where f takes operand k; NULL: f is no choice, or the operand is what chooses. */
const kf_node *kf_condition(kf_graph *g, const kf_node *f, int k);
const kf_node *kf_guard_and(kf_graph *g, const kf_node *a, const kf_node *b); /* NULL: true */
const kf_node *kf_guard_mask(kf_graph *g, const kf_guarded *c);               /* the value, and 0 elsewhere */
bool kf_guard_add(kf_graph *g, kf_guarded *sum, const kf_guarded *c); /* a sum without value is 0; false on failure */

/* What both modes share: `e` times the derivative of elementwise f by its operand k; */
const kf_node *kf_times_partial(kf_graph *g, const kf_node *f, int k, const kf_node *e);

/*
 * exp(F - L), the share that a term exp(F) has of a sum exp(L) of such terms: 0 where F is -infinity, even if L is as well,
 * because all terms are or because a device takes numbers of that size for infinite; NaN where F is NaN.
 */
const kf_node *kf_share(kf_graph *g, const kf_node *F, const kf_node *L);

/* 1, and 0 where F is -infinity: of sums of exp(F) G, which may be 0 where no F is -infinity. */
const kf_node *kf_has_weight(kf_graph *g, const kf_node *F);
/* the error of a derivative of SoftDTW's gradient, returns NULL; */
const kf_node *kf_refuse_second(kf_graph *g);
/* whether f is a use of the array of one of the variables; */
bool kf_is_among(const kf_node *f, size_t var_count, const kf_node *const *vars);
/* whether the use of an array as `leaf` can be told from that as `var`: rows and a parameter are no one shape. */
bool kf_has_one_shape(kf_graph *g, const kf_node *var, const kf_node *leaf);

#endif
