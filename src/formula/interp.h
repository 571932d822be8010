/* SPDX-License-Identifier: MIT */
/*
 * formula/interp.h: formulas evaluated on the host, in double: the reference of every test, and the device `host`.
 *
 * Columns are taken in blocks. What depends on parameters only is computed once, what depends on the row only once a
 * row, what depends on the column only once a block.
 */
#ifndef KF_INTERP_H
#define KF_INTERP_H

#include "graph.h"

enum { KF_BLOCK = 128 }; /* columns evaluated at a time, at most */

/* Formulas compiled for evaluation: immutable, shared between threads. Leaves are VAR nodes only. */
typedef struct kf_interp kf_interp;

kcl_status kf_interp_create(kf_interp **interp, const kf_graph *g, size_t root_count, const kf_node *const *roots,
                            kb_error *err);
void kf_interp_destroy(kf_interp **interp);

/*
 * Where the values of a variable lie, by the index of the variable. Element (row, k) is at data + row * row_stride + k
 * * component_stride, in bytes.
 */
typedef struct kf_source {
    const void *data;
    kcl_dtype dtype;
    int64_t row_stride;
    int64_t component_stride;
} kf_source;

/*
 * The workspace of one thread; `interp` must outlive the frame. kf_frame_row reads results of terms (kf_acc): acc[2 *
 * index] points to the components of a real result, acc[2 * index + 1] to the components of a result of kind KF_INT.
 */
typedef struct kf_frame kf_frame;

kcl_status kf_frame_create(kf_frame **frame, const kf_interp *interp, kb_error *err);
void kf_frame_destroy(kf_frame **frame);

void kf_frame_launch(kf_frame *frame, const kf_source *sources);         /* parameters; `sources` must stay valid */
void kf_frame_row(kf_frame *frame, int64_t i, const double *const *acc); /* what depends on i (and not on j) */
void kf_frame_block(kf_frame *frame, int64_t j, int count); /* columns j to j+count-1, count <= kf_frame_columns */

/*
 * Columns of a block, at most: KF_BLOCK, less for a formula with many large vectors. The same for all frames of an
 * interp.
 */
int kf_frame_columns(const kf_frame *frame);

/*
 * Values of root `root`, component k, for the columns of the block: result[c * *stride], stride 0 where the value does
 * not depend on j, else 1. The values are valid until the next call that changes what the root depends on. Address and
 * stride never change.
 */
const double *kf_frame_value(const kf_frame *frame, size_t root, int64_t k, int *stride);

/* ---- Compensated sums (Knuth, Neumaier): the reference does not depend on the order of terms --------------------- */

static inline void kf_sum_add(double *sum, double *error, double x)
{
    double t = *sum + x, y = t - *sum;
    *error += (*sum - (t - y)) + (x - y);
    *sum = t;
}

/* The error of an infinite sum is NaN and says nothing. */
static inline double kf_sum_value(double sum, double error)
{
    double value = sum + error;
    return value - value == 0 ? value : sum;
}

#endif
