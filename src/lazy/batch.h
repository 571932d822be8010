/* SPDX-License-Identifier: MIT */
/*
 * lazy/batch.h: batch axes of a launch. Arrays say by strides how they lie along each; axes that all of them have
 * without gaps, one after the other, become one, and batches that are nothing but more rows or columns become that.
 */
#ifndef KL_BATCH_H
#define KL_BATCH_H

#include "exec.h"

/* What a sweep reads or writes. */
typedef struct kl_operand {
    kf_role role; /* KF_ROLE_P: it has no rows */
    int64_t row_stride;
    int64_t stride[KF_MAX_BATCH]; /* along batch axes, from the last one on; 0: it lacks the axis */
} kl_operand;

/* The axes that are left, the outer ones (with results of their own) first, each from the fastest on. */
typedef struct kl_axes {
    int outer, each;
    int64_t size[KF_MAX_BATCH];
    int64_t batches, each_count; /* products of sizes */
} kl_axes;

/*
 * Merges; *rows and *cols grow by batches that become such, operands' strides are then along the axes that are left.
 * `reduced` are the sweep's axes of the pair, `reduced_batches` its batch axes, `numbered` those of the pair whose
 * elements the formulas count: batches are no more of them.
 */
void kl_merge_axes(kl_axes *axes, const kl_batch *batch, unsigned reduced, unsigned reduced_batches, unsigned numbered,
                   size_t count, kl_operand *operands, int64_t *rows, int64_t *cols);

/* Strides of a dense array of elements of `size` (bytes, or 1) numbers whose batch axes are `batch`. */
void kl_dense_strides(const kl_batch *batch, int64_t size, int64_t stride[KF_MAX_BATCH]);

int64_t kl_batch_count(const kl_batch *batch); /* product of sizes; INT64_MAX where it is more */

#endif
