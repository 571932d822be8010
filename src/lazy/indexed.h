/* SPDX-License-Identifier: MIT */
/*
 * lazy/indexed.h: rows chosen by an index, and its adjoint, the sum of the rows that chose: what derivatives of
 * smallest values are made of; and indices that formulas compute. Work and memory are those of the rows and the terms,
 * never of their product, with batches as without.
 */
#ifndef KL_INDEXED_H
#define KL_INDEXED_H

#include "exec.h"

/*
 * The table is `values` of a gather and `out` of a scatter, places are those of the other and of `index`.
 *
 * Gather: at each place `out` is, for each of its indices, the row of the table that the index numbers, on the axes of
 * the place that it does not number; 0 where there is none. Scatter: each row of the table is the sum of all parts of
 * `values` whose indices choose it, in the order of places and indices. `index` and `out` are dense. An array without
 * an axis that others have is the same along it. Whole: `out` is `values`, real numbers or integers, as an index.
 */
typedef struct kl_indexed {
    kl_step_kind kind; /* of a step that is no sweep */
    kl_chosen chosen;
    int64_t length[2]; /* of i and j, where the index numbers them */
    kl_batch terms;    /* the batches that it numbers */
    int64_t unit;      /* of distances in `values`, bytes: an element; 1 by the interpreter, where arrays lie anyhow */
    kl_view values, index, out;
} kl_indexed;

/*
 * A scatter waits for the device: the host sorts the indices. Both need memory of `arena`, which must last till the end
 * of the batch.
 */
kcl_status kl_run_indexed(kcl_context *context, const kl_indexed *work, kcl_dtype dtype, kd_arg_kind host_input,
                          kb_arena *arena);

/* All views are host memory; `out` is of doubles, or an index. */
kcl_status kl_run_indexed_on_host(const kl_indexed *work, const kcl_allocator *allocator, kb_error *err);

/* Writes the program, or a line that describes the step. */
void kl_emit_indexed(const kl_step *step, kcl_dtype dtype, size_t number, size_t count, bool describe, kb_str *out);

#endif
