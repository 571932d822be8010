/* SPDX-License-Identifier: MIT */
/* formula/order.h: the order in which passes go through nodes. */
#ifndef KF_ORDER_H
#define KF_ORDER_H

#include "graph.h"

enum { KF_PAGE = 64 };

typedef struct kf_page {
    uint32_t number; /* id / KF_PAGE + 1; 0: free */
    uint32_t first;  /* index of its positions in `position` */
} kf_page;

/*
 * The nodes that are reached from `roots`, operands before users, in an order that depends on the structure alone. With
 * `stop_at_reduce` the order ends at REDUCE nodes: they are listed, but their operands are followed only if the node is
 * a root.
 */
typedef struct kf_order {
    kcl_allocator allocator;
    const kf_node **nodes;
    size_t count;
    /* Positions by id, in pages of KF_PAGE: an order of few nodes takes little time and memory in a large graph. */
    uint32_t *position; /* + 1; 0: not reached. The first page serves ids without a page: zeros */
    size_t positions, capacity;
    kf_page *pages; /* by a hash of their numbers, 2^page_bits of them */
    int page_bits;
} kf_order;

kcl_status kf_order_init(kf_order *order, const kf_graph *g, size_t root_count, const kf_node *const *roots,
                         bool stop_at_reduce, kb_error *err);
void kf_order_finish(kf_order *order);

/* The page of this number, or the free page that the number would get. */
static inline kf_page *kf_page_of(const kf_order *order, uint32_t number)
{
    const uint32_t mask = (1u << order->page_bits) - 1;
    uint32_t slot = number * 0x9e3779b9u >> (32 - order->page_bits);
    while (order->pages[slot].number && order->pages[slot].number != number)
        slot = (slot + 1) & mask;
    return &order->pages[slot];
}
static inline uint32_t *kf_position(const kf_order *order, const kf_node *f)
{
    return &order->position[kf_page_of(order, f->id / KF_PAGE + 1)->first + f->id % KF_PAGE];
}
static inline size_t kf_at(const kf_order *order, const kf_node *f)
{
    return *kf_position(order, f) - 1u;
}
static inline bool kf_reached(const kf_order *order, const kf_node *f)
{
    return *kf_position(order, f) > 0;
}

#endif
