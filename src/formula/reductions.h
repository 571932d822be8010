/* SPDX-License-Identifier: MIT */
/* formula/reductions.h: reductions, and the nodes that hold rows: gathers, scatters, indices, stored values. */
#ifndef KF_REDUCTIONS_H
#define KF_REDUCTIONS_H

#include "graph.h"

typedef struct kf_reduction_info {
    const char *name;
    int formulas; /* 2: a weight follows the formula */
    int params;
    kf_kind kind; /* of the result */
} kf_reduction_info;

const kf_reduction_info *kf_reduction_get(kf_reduction reduction);
int64_t kf_reduction_dim(kf_reduction reduction, int64_t dim, int64_t param); /* of the result */

/*
 * Reductions whose results are the smallest or largest values, of which there may be fewer than are asked for, or the
 * numbers of the terms with these values.
 */
bool kf_chooses(kf_reduction reduction);

/*
 * Axes that f lacks are not reduced; if no axis is left, the result is the result of one term. A reduction that chooses
 * terms (kf_chooses) and has no axis left is refused, KCL_ERROR_SHAPE, unless a batch axis is among `axes`: the batch
 * axis has size 1 then. `param` is K of K-min, 1 or more, else 0. The operand of a weighted reduction is Concat(F, G):
 * see kf_weighted.
 */
const kf_node *kf_reduce(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f);
/*
 * The same, but a chain becomes one reduction: if f is the same reduction itself, and one of the two is over batch axes
 * alone, the result is one reduction of the operand of f over the axes of both. Indices number the terms of all these
 * axes then. The K smallest are the K smallest of all terms: K must be the same. LogSumExp continues LogSumExpWeight.
 * SumSoftMaxWeight of Concat(LogSumExp, SumSoftMaxWeight), both of the same F and axes, continues the inner
 * SumSoftMaxWeight.
 */
const kf_node *kf_reduce_on(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f);
/* How many terms the reduction of f over `axes` has; 1 for axes that f lacks. */
const kf_node *kf_term_count(kf_graph *g, unsigned axes, const kf_node *f);
/*
 * An index numbers the terms of the axes that its reduction goes over, row-major: first batch axes, the batch axis
 * farthest from the last one in front, then i, then j. A part of the index chooses the rows of a table. KF_ROW: the row
 * of the one axis of the pair that the index numbers. KF_ROW_I, KF_ROW_J: one of two rows, of an index that numbers
 * both axes. KF_ROW_OF_PLACE: the row of the place where the index stands; the index tells batches alone. KF_WHOLE: the
 * index is the row itself, whatever the index numbers, in the batch of the place, and may stand on the axis of F.
 */
typedef enum kf_part { KF_ROW, KF_ROW_I, KF_ROW_J, KF_ROW_OF_PLACE, KF_WHOLE } kf_part;
unsigned kf_index_axes(const kf_node *index); /* the axes that `index` numbers */
/*
 * F at the terms `index` (KF_INT). The result has the dimension of F for each component of the index, on the axes of
 * the index and the axes of F that the index does not number. F has one axis of the pair, or none; `part` of the index
 * tells its row. The result is a REDUCE node with the operands F and index, as kf_reduce makes.
 */
const kf_node *kf_gather(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part);
/*
 * The adjoint, on the axes of `like`: for each row of `like`, the sum of the parts of F whose index is the row, over
 * all batches that `like` lacks. F has none of the axes that the index numbers; its dimension is a multiple of the
 * index's. The result is a REDUCE node with the operands F, index and a node with the axes of `like`.
 */
const kf_node *kf_scatter(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part, const kf_node *like);
/* The variable of an array of int64, KF_INT. No constructor but kf_whole takes the node as an operand. */
const kf_node *kf_integers(kf_graph *g, const kf_node *var);
/*
 * A formula as an index, KF_INT: F itself if F is a reduction that gives an index, else a REDUCE node of F. F has one
 * axis of the pair or none.
 */
const kf_node *kf_whole(kf_graph *g, const kf_node *F);
/* F as a leaf of the formulas that read it, as results of reductions are. F has one axis of the pair or none. */
const kf_node *kf_stored(kf_graph *g, const kf_node *F);
/*
 * Gather(table, index) of formula strings. Batch axes of the two are broadcast: an index chooses a row of its own
 * batch. Errors: KCL_ERROR_SHAPE.
 */
const kf_node *kf_gather_rows(kf_graph *g, const kf_node *table, const kf_node *index);

/* Concat(F, G), the operand of `reduction`. Errors: KCL_ERROR_SHAPE where F is a vector. */
const kf_node *kf_weighted(kf_graph *g, kf_reduction reduction, const kf_node *F, const kf_node *G);

#endif
