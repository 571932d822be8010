/* SPDX-License-Identifier: MIT */
/* formula/simplify.h: simplification. */
#ifndef KF_SIMPLIFY_H
#define KF_SIMPLIFY_H

#include "graph.h"

/*
 * simplify.c: the same values by fewer operations, of the same kind and on the same axes, by the rules of the table
 * below; linear in the number of nodes. Goes through reductions.
 */
typedef struct kf_rule {
    const char *name;
    kf_op op;            /* of the nodes it applies to */
    const char *example; /* a formula in x, y (3 components) and s, t (1) that it changes */
    const char *note;    /* which NaN or infinity it loses; "" where it keeps them, but for what overflows between */
    /* The simpler node; f itself where the rule does not apply; NULL on failure. Operands are simplified already. */
    const kf_node *(*apply)(kf_graph *g, const kf_node *f);
} kf_rule;

extern const kf_rule kf_rules[];
extern const size_t kf_rule_count;

/*
 * What is 0 by its form. The rules keep 0 f, which is NaN where f is infinite; in derivatives, and for the part of a
 * complex number that a real one lacks, such a factor stands for nothing at all, and what it multiplies is left out by
 * those who make these products.
 */
/* f, or Zero where the rules see that f is nothing else; NULL of NULL. */
const kf_node *kf_or_zero(kf_graph *g, const kf_node *f);
/* f h, or Zero where one of them is Zero; NULL where one is NULL. */
const kf_node *kf_product(kf_graph *g, const kf_node *f, const kf_node *h);

kcl_status kf_simplify(kf_graph *g, size_t root_count, const kf_node *const *roots, const kf_node **out);

#endif
