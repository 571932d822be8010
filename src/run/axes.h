/* SPDX-License-Identifier: MIT */
/*
 * run/axes.h: batch axes of a launch. Arrays say by strides how they lie along each; axes that all of them have
 * without gaps, one after the other, become one, and batches that are nothing but more rows or columns become that.
 */
#ifndef KX_AXES_H
#define KX_AXES_H

#include "run.h"

/* What a sweep reads or writes. */
typedef struct kx_operand {
    kf_role role; /* KF_ROLE_P: it has no rows */
    int64_t row_stride;
    int64_t stride[KF_MAX_BATCH]; /* along batch axes, from the last one on; 0: it lacks the axis */
} kx_operand;

/* The axes that are left: outer axes, which have results of their own, then reduced axes; each from the fastest on. */
typedef struct kx_axes {
    int outer, each;
    int64_t size[KF_MAX_BATCH];
    int64_t batches, each_count; /* products of sizes */
} kx_axes;

/*
 * Merges. *rows and *cols grow by batches that become rows or columns; the operands' strides are then along the axes that
 * are left. `reduced` are the sweep's axes of the pair, `reduced_batches` its batch axes. Batches do not become more rows or
 * columns of an axis of the pair in `fixed`.
 */
void kx_merge_axes(kx_axes *axes, const kg_batch *batch, unsigned reduced, unsigned reduced_batches, unsigned fixed,
                   size_t count, kx_operand *operands, int64_t *rows, int64_t *cols);

#endif
