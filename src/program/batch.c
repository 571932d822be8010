/* SPDX-License-Identifier: MIT */
/* program/batch.c: the sizes of batch axes. */
#include "batch.h"

int kg_batch_join(kg_batch *batch, const kg_batch *other)
{
    while (batch->count < other->count)
        batch->size[batch->count++] = 1;
    for (int k = 0; k < other->count; k++) {
        if (batch->size[k] == 1)
            batch->size[k] = other->size[k];
        else if (other->size[k] != 1 && other->size[k] != batch->size[k])
            return k;
    }
    return -1;
}

kg_batch kg_reduced_batch(const kg_batch *batch, unsigned axes)
{
    kg_batch left = *batch;
    for (int k = 0; k < left.count; k++)
        if (axes & KF_BATCH_AXIS(k))
            left.size[k] = 1;
    return left;
}

bool kg_same_batch(const kg_batch *a, const kg_batch *b)
{
    for (int k = 0; k < KB_MAX(a->count, b->count); k++)
        if (kg_batch_size(a, k) != kg_batch_size(b, k))
            return false;
    return true;
}

int64_t kg_batch_count(const kg_batch *batch)
{
    int64_t count = 1;
    for (int k = 0; k < batch->count; k++)
        if (kb_mul_overflows(count, batch->size[k], &count))
            return INT64_MAX;
    return count;
}

void kg_dense_strides(const kg_batch *batch, int64_t size, int64_t stride[KF_MAX_BATCH])
{
    for (int k = 0; k < KF_MAX_BATCH; k++) {
        int64_t here = kg_batch_size(batch, k);
        stride[k] = here == 1 ? 0 : size;
        size *= here;
    }
}
