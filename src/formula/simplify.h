/* SPDX-License-Identifier: MIT */
/* formula/simplify.h: simplification. */
#ifndef KF_SIMPLIFY_H
#define KF_SIMPLIFY_H

#include "graph.h"

/*
 * kf_simplify finds the same values by fewer operations, of the same kind and on the same axes, by the rules of this
 * table. Time is linear in the number of nodes. Simplification goes through reductions.
 */
typedef struct kf_rule {
    const char *name;
    kf_op op;            /* of the nodes that the rule applies to */
    const char *example; /* a formula in x, y (3 components) and s, t (1) that the rule changes */
    const char *note;    /* which NaN or infinity the rule loses; "": none, but for what overflows between */
    /*
     * Returns the simpler node, f itself if the rule does not apply, or NULL on failure. Operands are simplified
     * already.
     */
    const kf_node *(*apply)(kf_graph *g, const kf_node *f);
} kf_rule;

extern const kf_rule kf_rules[];
extern const size_t kf_rule_count;

/*
 * What is 0 by its form. The rules keep 0 f, which is NaN where f is infinite. But a factor 0 in a derivative, or for
 * the part of a complex number that a real number lacks, stands for nothing at all: those who make these products leave
 * out what the factor multiplies.
 */
/* f, or Zero if the rules see that f is nothing else; NULL for NULL. */
const kf_node *kf_or_zero(kf_graph *g, const kf_node *f);
/* f h, or Zero if one of the two is Zero; NULL if one is NULL. */
const kf_node *kf_product(kf_graph *g, const kf_node *f, const kf_node *h);

kcl_status kf_simplify(kf_graph *g, size_t root_count, const kf_node *const *roots, const kf_node **out);

#endif
