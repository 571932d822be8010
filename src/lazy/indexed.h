/* SPDX-License-Identifier: MIT */
/*
 * lazy/indexed.h: rows chosen by an index, and its adjoint, the sum of the rows that chose: what derivatives of smallest
 * values are made of. Work and memory are those of the rows and the terms, never of their product.
 */
#ifndef KL_INDEXED_H
#define KL_INDEXED_H

#include "exec.h"

/*
 * Gather: row r of `out` is, for each of its indices, the row of `values` with that number, 0 where there is none.
 * Scatter: row r of `out` is the sum of all parts of `values` whose index is r, in the order of rows and indices.
 * `index` and `out` are dense.
 */
typedef struct kl_indexed {
    bool is_scatter;
    kf_part part;    /* of the index, where it numbers pairs, */
    int64_t columns; /* of which each row has so many */
    kl_view values, index, out;
} kl_indexed;

/*
 * A scatter waits for the device: the host sorts the indices, into memory of `arena`, which must last till the end of the
 * batch.
 */
kcl_status kl_run_indexed(kcl_context *context, const kl_indexed *work, kcl_dtype dtype, kd_arg_kind host_input,
                          kb_arena *arena);

/* All views are host memory; `out` is of doubles. */
kcl_status kl_run_indexed_on_host(const kl_indexed *work, const kcl_allocator *allocator, kb_error *err);

/* Values rounded to an index, `out`, which is dense. */
kcl_status kl_run_whole(kcl_context *context, const kl_view *values, const kl_view *out, kcl_dtype dtype,
                        kd_arg_kind host_input);
void kl_run_whole_on_host(const kl_view *values, const kl_view *out);

/* Writes the program, or a line that describes the step. */
void kl_emit_indexed(const kl_step *step, kcl_dtype dtype, size_t number, size_t count, bool describe, kb_str *out);

#endif
