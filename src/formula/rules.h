/* SPDX-License-Identifier: MIT */
/*
 * formula/rules.h: what the rules of simplify.c share, and the rules by topic. A rule returns the simpler node, f itself if
 * the rule does not apply, or NULL on failure. Rules build their results by the functions below.
 */
#ifndef KF_RULES_H
#define KF_RULES_H

#include "make.h"
#include "simplify.h"

enum {
    KF_NEAR = 64
}; /* rules that go down chains of operands stop after so many nodes: work and recursion stay bounded */

/* f, of simplified operands, after all rules. */
const kf_node *kf_simplified(kf_graph *g, const kf_node *f);

static inline const kf_node *kf_simple_unary(kf_graph *g, kf_op op, const kf_node *a)
{
    return kf_simplified(g, kf_unary(g, op, a));
}

static inline const kf_node *kf_simple_binary(kf_graph *g, kf_op op, const kf_node *a, const kf_node *b)
{
    return kf_simplified(g, kf_binary(g, op, a, b));
}

static inline const kf_node *kf_simple_make(kf_graph *g, kf_op op, const kf_node *a, int64_t p0, int64_t p1)
{
    return kf_simplified(g, kf_make(g, op, &a, (const int64_t[]){p0, p1, 0}));
}

static inline const kf_node *kf_simple_minus(kf_graph *g, const kf_node *a)
{
    return kf_simple_unary(g, KF_MINUS, a);
}

/* f repeated to the dimension of the node that it replaces. */
static inline const kf_node *kf_simple_repeat(kf_graph *g, const kf_node *f, int64_t dim)
{
    return !f || f->dim == dim ? f : kf_simple_make(g, KF_SUMT, f, dim, 0);
}

/* A number times a vector. */
static inline bool kf_is_scaled(const kf_node *f)
{
    return f->op == KF_MULT && f->arg[0]->dim == 1 && f->dim > 1;
}

typedef const kf_node *kf_rule_fn(kf_graph *g, const kf_node *f);

/* rules_numbers.c */
kf_rule_fn kf_rule_fold, kf_rule_add_zero, kf_rule_add_like_terms, kf_rule_add_minus, kf_rule_repeated_operand,
    kf_rule_sub_zero, kf_rule_sub_minus, kf_rule_minus_zero, kf_rule_minus_minus, kf_rule_minus_difference,
    kf_rule_minus_scaled, kf_rule_minus_repeated, kf_rule_mult_zero, kf_rule_mult_one, kf_rule_mult_constant_first,
    kf_rule_mult_constants, kf_rule_mult_minus, kf_rule_mult_scalars_first, kf_rule_mult_self, kf_rule_mult_inverse,
    kf_rule_divide_constant, kf_rule_divide_one, kf_rule_divide_minus, kf_rule_even_minus, kf_rule_square_zero,
    kf_rule_pow_small;

/* rules_copies.c */
kf_rule_fn kf_rule_sum_of_one, kf_rule_sum_of_zero, kf_rule_sum_of_scaled, kf_rule_sum_of_quotient, kf_rule_sum_of_copy,
    kf_rule_sum_rows_all, kf_rule_sum_rows_of_zero, kf_rule_copy_all, kf_rule_copy_zero, kf_rule_extract_one,
    kf_rule_extract_of_copy, kf_rule_arrange_of_copy, kf_rule_add_places;

/* rules_index.c */
kf_rule_fn kf_rule_index_linear, kf_rule_index_compare;

#endif
