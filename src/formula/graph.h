/* SPDX-License-Identifier: MIT */
/*
 * formula/graph.h: graphs of interned nodes, and the first error of making a node.
 *
 * Constructors, which the other headers of this folder declare, check shapes and intern, nothing else. A constructor
 * that fails, or is given NULL, returns NULL. The graph keeps the first error, so a chain of constructors needs one
 * check.
 */
#ifndef KF_GRAPH_H
#define KF_GRAPH_H

#include "node.h"

/*
 * A node in the table. The low bits of the node's hash stand beside the id, so growing the table reads no node, and
 * looking a node up reads the node that is found and no other.
 */
typedef struct kf_entry {
    uint32_t hash;
    uint32_t number; /* id + 1; 0: free */
} kf_entry;

typedef struct kf_graph {
    kb_arena arena;
    kb_error error;        /* the first failure */
    const kf_node **nodes; /* by id */
    size_t count, capacity;
    kf_entry *table; /* open addressing */
    size_t table_size;
} kf_graph;

kcl_status kf_graph_init(kf_graph *g, const kcl_allocator *allocator);
void kf_graph_finish(kf_graph *g);
const kcl_allocator *kf_allocator(const kf_graph *g);
void kf_clear_error(kf_graph *g);

/* Keeps the error, unless the graph has one already. Returns NULL, for constructors to return. */
KB_PRINTF(3, 4) const kf_node *kf_refuse(kf_graph *g, kcl_status status, const char *format, ...);

#endif
