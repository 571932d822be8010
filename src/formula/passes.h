/* SPDX-License-Identifier: MIT */
/* formula/passes.h: the loop that rewrites formulas, and passes made of it: other leaves, other axes, another graph. */
#ifndef KF_PASSES_H
#define KF_PASSES_H

#include "order.h"

/*
 * What a pass makes of one node. Returns the node that stands for f, of which `args` are the rewritten operands. `args`
 * holds an operand itself if the pass does not go through the operand, and NULL beyond the last operand. Returns NULL
 * after a failure, with the error in the graph.
 */
typedef const kf_node *kf_rewriter(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args);

/*
 * Rewrites every node that is reached from the roots, operands first, into the graph g. `from` holds the roots, and may
 * be g. out[k] is what became of roots[k]. `out` may be `roots`, and stays as it is after a failure. `stop_at_reduce`
 * as for kf_order_init.
 */
kcl_status kf_rewrite(kf_graph *g, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                      bool stop_at_reduce, kf_rewriter *rewriter, void *user, const kf_node **out);

/*
 * The same for passes that have an order already. made[k] becomes what order->nodes[k] is rewritten to; `made` has room
 * for order->count nodes. A rewriter may read what was made of the nodes before its own.
 */
kcl_status kf_rewrite_in_order(kf_graph *g, const kf_order *order, kf_rewriter *rewriter, void *user,
                               const kf_node **made);

/* Whether `args` are the operands that f has; false for a leaf, which a graph may share with no other graph. */
bool kf_keeps_args(const kf_node *f, const kf_node *const *args);

/* The node with other operands, of the same dimensions. f itself, if the operands are the operands of f. */
const kf_node *kf_rebuild(kf_graph *g, const kf_node *f, const kf_node *const *args);

/* Returns whether all rewritten operands of f are the operands that f has. */
static inline bool kf_keeps_operands(const kf_node *f, const kf_node *const *args)
{
    for (int c = 0; c < f->arg_count; c++)
        if (args[c] != f->arg[c])
            return false;
    return true;
}

/*
 * The axes i and j exchanged: variables change roles, reductions change the axes that they reduce. A node without an
 * axis is the same number either way and stays as it is.
 */
const kf_node *kf_transpose(kf_graph *g, const kf_node *f);

/* One node of kf_transpose: `args` are its operands with their axes exchanged. */
const kf_node *kf_transpose_node(kf_graph *g, const kf_node *f, const kf_node *const *args);

/*
 * The same formulas with leaves replaced. `replace(user, leaf)` is asked for every VAR and REDUCE node, and returns the
 * node to stand for the leaf (the leaf itself where nothing changes). out[k] belongs to roots[k].
 */
kcl_status kf_substitute(kf_graph *g, size_t root_count, const kf_node *const *roots, bool stop_at_reduce,
                         const kf_node *(*replace)(void *user, const kf_node *leaf), void *user, const kf_node **out);

/*
 * kf_replace: F with the variable by[k] for every node nodes[k]; the variable has the dimension and the axes of the
 * node. kf_put_back: F with nodes[k] for the variable by[k] again.
 */
const kf_node *kf_replace(kf_graph *g, const kf_node *F, size_t count, const kf_node *const *nodes,
                          const kf_node *const *by);
const kf_node *kf_put_back(kf_graph *g, const kf_node *F, size_t count, const kf_node *const *nodes,
                           const kf_node *const *by);

/*
 * The same formulas, in which variables have the batch axes batches[index] beside their own. In every batch they have
 * the value that they have without batches. So the sum of the rows with one index is a sum within a batch, whether the
 * table has batches or not.
 */
kcl_status kf_spread(kf_graph *g, size_t root_count, const kf_node *const *roots, const unsigned *batches,
                     const kf_node **out);

/* Copies formulas from one graph into another. */
kcl_status kf_import(kf_graph *g, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                     const kf_node **out);

#endif
