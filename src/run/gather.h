/* SPDX-License-Identifier: MIT */
/*
 * run/gather.h: rows chosen by an index, and the adjoint, sums of the rows that chose: derivatives of smallest
 * values are made of both; and indices that formulas compute. Work and memory grow with the rows and with the terms, never
 * with their product, with batches as without.
 */
#ifndef KX_GATHER_H
#define KX_GATHER_H

#include "run.h"

/*
 * The table is `values` of a gather and `out` of a scatter; the places are the rows and batches of `index` and of the other
 * array.
 *
 * Gather: at each place `out` is, for each of its indices, the row of the table that the index numbers, on the axes of
 * the place that it does not number; 0 where there is none. Scatter: each row of the table is the sum of all parts of
 * `values` whose indices choose it, in the order of places and indices. `index` and `out` are dense. An array without
 * an axis that others have is the same along it. Whole: `out` is `values`, real numbers or integers, as an index.
 */
typedef struct kx_gather {
    kg_step_kind kind; /* of a step that is no sweep */
    kg_chosen chosen;
    int64_t length[2]; /* of i and j, where the index numbers them */
    kg_batch terms;    /* the batches that it numbers */
    int64_t unit;      /* of distances in `values`, bytes: an element; 1 by the interpreter, where arrays lie anyhow */
    kx_view values, index, out;
} kx_gather;

/* By the interpreter: all views are host memory; `out` is of doubles, or an index. */
kcl_status kx_gather_on_host(const kx_gather *work, const kcl_allocator *allocator, kb_error *err);

#endif
