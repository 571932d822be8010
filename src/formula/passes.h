/* SPDX-License-Identifier: MIT */
/* formula/passes.h: formulas made again with other leaves, operands or axes, or in another graph. */
#ifndef KF_PASSES_H
#define KF_PASSES_H

#include "graph.h"

/*
 * The axes i and j exchanged: variables change roles, reductions the axes they reduce. What has no axis is the same
 * number either way and stays as it is.
 */
const kf_node *kf_transpose(kf_graph *g, const kf_node *f);

/*
 * The same graphs with leaves replaced: `replace(user, leaf)` is asked for every VAR and REDUCE node and returns the
 * node to stand for it (itself where nothing changes). out[k] belongs to roots[k].
 */
kcl_status kf_substitute(kf_graph *g, size_t root_count, const kf_node *const *roots, bool stop_at_reduce,
                         const kf_node *(*replace)(void *user, const kf_node *leaf), void *user, const kf_node **out);

/*
 * F with the variable by[k] for every node nodes[k], whatever that is made of, of the same dimension and axes; and with
 * nodes[k] for the variable again.
 */
const kf_node *kf_replace(kf_graph *g, const kf_node *F, size_t count, const kf_node *const *nodes,
                          const kf_node *const *by);
const kf_node *kf_put_back(kf_graph *g, const kf_node *F, size_t count, const kf_node *const *nodes,
                           const kf_node *const *by);

/* The node with other operands, of the same dimensions. */
const kf_node *kf_rebuild(kf_graph *g, const kf_node *f, const kf_node *const *args);

/*
 * The same formulas of variables that have the batch axes batches[index] beside their own: in every batch the value
 * that they have without. So sums of the rows that have an index are those of a batch, whether the table has batches or
 * not.
 */
kcl_status kf_spread(kf_graph *g, size_t root_count, const kf_node *const *roots, const unsigned *batches,
                     const kf_node **out);

/* Copies formulas from one graph into another. */
kcl_status kf_import(kf_graph *g, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                     const kf_node **out);

#endif
