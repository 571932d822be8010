/* SPDX-License-Identifier: MIT */
/* program/batch.h: the sizes of batch axes, and what broadcasting and reducing make of them. */
#ifndef KG_BATCH_H
#define KG_BATCH_H

#include "graph.h"

/* Sizes of batch axes, counted from the last axis on; axes beyond `count` have size 1. */
typedef struct kg_batch {
    int count;
    int64_t size[KF_MAX_BATCH];
} kg_batch;

static inline int64_t kg_batch_size(const kg_batch *b, int axis)
{
    return axis < b->count ? b->size[axis] : 1;
}

/* Widens *batch to what it and `other` are broadcast to. Returns the axis on which the two clash, -1: they do not. */
int kg_batch_join(kg_batch *batch, const kg_batch *other);

/* The batch after the axes in `axes`, bits KF_BATCH_AXIS, are reduced to size 1. */
kg_batch kg_reduced_batch(const kg_batch *batch, unsigned axes);

bool kg_same_batch(const kg_batch *a, const kg_batch *b);

/* The product of the sizes; INT64_MAX where the product is larger. */
int64_t kg_batch_count(const kg_batch *batch);

/* Strides of a dense array whose batches are `size` (bytes, or elements) long each; 0 along axes of size 1. */
void kg_dense_strides(const kg_batch *batch, int64_t size, int64_t stride[KF_MAX_BATCH]);

#endif
