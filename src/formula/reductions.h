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

/* Numbers of the smallest or largest values, and the values themselves where there may be fewer than are asked for. */
bool kf_chooses(kf_reduction reduction);

/*
 * An axis that f lacks is not reduced; where none is left the result is that of one term. Where numbers of terms are
 * asked for, or K of them, that is refused, KCL_ERROR_SHAPE, unless there is a batch axis among them: that has size 1
 * then. `param` is K of K-min, 1 or more, else 0. The operand of a weighted reduction is Concat(F, G): see kf_weighted.
 */
const kf_node *kf_reduce(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f);
/*
 * The same, but that a chain is one reduction over the axes of all: of f that is such a reduction itself, where one of
 * the two is over batch axes alone. Indices number the terms of all these axes then, and the K smallest are those of
 * all: K must be the same. LogSumExp continues LogSumExpWeight; SumSoftMaxWeight of (LogSumExp, SumSoftMaxWeight) of
 * the same F and axes continues that.
 */
const kf_node *kf_reduce_on(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f);
/* How many terms the reduction of f over `axes` has; 1 for axes that f lacks. */
const kf_node *kf_term_count(kf_graph *g, unsigned axes, const kf_node *f);
/*
 * An index numbers the terms of the axes that its reduction goes over, row-major: batch axes first, in front the one
 * that is farthest from the last, then i, then j. KF_ROW: its row, where that is of one axis of the pair; KF_ROW_I,
 * KF_ROW_J: of both; KF_ROW_OF_PLACE: none of its, but that of the place where the index stands; KF_WHOLE: the index is
 * the row itself, whatever it numbers, in the batch of the place, and may stand on the axis of F.
 */
typedef enum kf_part { KF_ROW, KF_ROW_I, KF_ROW_J, KF_ROW_OF_PLACE, KF_WHOLE } kf_part;
unsigned kf_index_axes(const kf_node *index); /* that it numbers */
/*
 * F at the terms `index` (KF_INT): the dimension of F for each component of the index, on the axes of the index and
 * those of F that it does not number. F has one axis of the pair, or none, of which the index tells `part`. A REDUCE
 * node of operands F and index, as it is made by kf_reduce.
 */
const kf_node *kf_gather(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part);
/*
 * The adjoint, on the axes of `like`: for each of its rows, the sum of those parts of F whose index is that row, over
 * all batches that `like` lacks. F has none of the axes that the index numbers, and a multiple of its dimension. A
 * REDUCE node of operands F, index and what has the axes of `like`.
 */
const kf_node *kf_scatter(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part, const kf_node *like);
/* The variable of an array of int64, KF_INT: nothing but kf_whole takes it as an operand. */
const kf_node *kf_integers(kf_graph *g, const kf_node *var);
/*
 * A formula as an index, KF_INT: a reduction that gives one itself, of anything else a REDUCE node of that operand. F has
 * one axis of the pair or none.
 */
const kf_node *kf_whole(kf_graph *g, const kf_node *F);
/* F, of one axis of the pair or none, as a leaf of those that read it, as results of reductions are. */
const kf_node *kf_stored(kf_graph *g, const kf_node *F);
/*
 * Gather(table, index) of formula strings, whose batch axes are broadcast: numbers are those of rows of the same batch.
 * Errors: KCL_ERROR_SHAPE.
 */
const kf_node *kf_gather_rows(kf_graph *g, const kf_node *table, const kf_node *index);

/* Concat(F, G), the operand of `reduction`. Errors: KCL_ERROR_SHAPE where F is a vector. */
const kf_node *kf_weighted(kf_graph *g, kf_reduction reduction, const kf_node *F, const kf_node *G);

#endif
