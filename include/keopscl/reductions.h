/* SPDX-License-Identifier: MIT */
/* keopscl/reductions.h: reductions over rows, columns and batches; products with vectors; the axes i and j. */
#ifndef KEOPSCL_REDUCTIONS_H
#define KEOPSCL_REDUCTIONS_H

#include <keopscl/scope.h>

KCL_BEGIN

/* ---- Products with vectors --------------------------------------------------------------------------------------- */

/*
 * K v: the sum over j of K_ij v_j, for K of dimension 1 and v of any number of components (columns), without the axis
 * i. The product with the transposed matrix is kcl_matmul(kcl_transpose(K), v). Lazy, as every reduction.
 */
KCL_API kcl_expr *kcl_matmul(kcl_expr *K, kcl_expr *v);
KCL_API kcl_expr *kcl_matvec(kcl_expr *K, kcl_expr *v); /* the same for v of dimension 1 */
KCL_API kcl_expr *kcl_rmatvec(kcl_expr *K,
                              kcl_expr *v); /* sum over i of K_ij v_i, v of dimension 1 without the axis j */

/* ---- The axes i and j -------------------------------------------------------------------------------------------- */

/* The same values with the axes i and j exchanged: an i-expression used as a j-expression, and the reverse. */
KCL_API kcl_expr *kcl_transpose(kcl_expr *f);

/* f repeated along the axes of `axes_of` that f lacks; of `axes_of` nothing but the lengths of its axes is used. */
KCL_API kcl_expr *kcl_like(kcl_expr *f, kcl_expr *axes_of);

/* ---- Rows chosen by an index ------------------------------------------------------------------------------------- */

/*
 * Row number `index` of `table`, an expression of i or of j; 0 if the table has no row of this number. The index is an
 * expression of i, of j or of parameters, and the result has the index's axis. If index and table have the same axis,
 * they have as many rows. The index is one of these: a variable of an array of int64, which nothing else takes as an
 * operand (KCL_ERROR_TYPE); a reduction that gives indices, such as kcl_reduce_argmin; a formula, which is rounded to
 * the nearest integer, half away from zero, and in float32 exact up to 2^24. NaN is no row. An index of k components
 * gives k D components: number q of component c of the table is component q D + c. Batch axes are broadcast: result[b,
 * r] = table[b, index[b, r]]. A table or an index that lacks a batch axis is the same for all batches along the axis;
 * numbers count the rows of a batch.
 *
 * Derivatives in the table to any order, by sums of the rows that have the same index; derivatives in the index are 0.
 * KCL_ERROR_SHAPE if the table has no rows, if the index has both axes, or if batch axes do not fit.
 */
KCL_API kcl_expr *kcl_gather(kcl_expr *table, kcl_expr *index);

/* ---- Reductions -------------------------------------------------------------------------------------------------- */

/*
 * Sum over the axes of K_ij: still lazy. The result lacks the reduced axes and may enter further formulas and be
 * differentiated. Summing over an axis that f does not have returns f: the axis has size 1. The sum of no rows is 0.
 * Summation is blocked: partial sums of a few hundred terms are added up, in an order that depends on sizes and device
 * only.
 */
KCL_API kcl_expr *kcl_reduce_sum(kcl_expr *f, kcl_axes over);

/* The sum divided by the number of its terms, which evaluation counts: NaN without terms. */
KCL_API kcl_expr *kcl_reduce_mean(kcl_expr *f, kcl_axes over);

/*
 * For each component of f, log of the sum of exp(f) over the axes; whatever the size of f, nothing overflows. Otherwise
 * as kcl_reduce_sum, derivatives to any order included. NaN if a term is NaN; else infinity if a term is infinity;
 * -infinity if all terms are -infinity, or without terms. A term that is -infinity is masked, by kcl_reduce_logsumexp
 * and the two reductions below: the term has no part in the value and in derivatives of any order, whatever infinities
 * and NaN the term is made of or weighs.
 */
KCL_API kcl_expr *kcl_reduce_logsumexp(kcl_expr *f, kcl_axes over);

/*
 * For each component of `weight`, log of the sum of exp(f) * weight, for f of dimension 1: as accurate as the sum
 * itself at any offset of f, derivatives to any order included. NaN if the sum is negative, -infinity if the sum is 0.
 */
KCL_API kcl_expr *kcl_reduce_logsumexp_weight(kcl_expr *f, kcl_expr *weight, kcl_axes over);

/*
 * For each component of `weight`, its mean with the weights exp(f) / (sum of exp(f)), for f of dimension 1: softmax, or
 * attention. Derivatives to any order. NaN if all f are -infinity, if one f is infinity, and without terms.
 */
KCL_API kcl_expr *kcl_reduce_sumsoftmaxweight(kcl_expr *f, kcl_expr *weight, kcl_axes over);

/*
 * For each component of f, the smallest or the largest value over the axes. NaN is never chosen; the result is
 * +infinity (of max: -infinity) if there is nothing else. An f with none of the axes is the result itself.
 *
 * Derivatives, to any order, are the derivatives of the chosen term, which is the term with the smallest index of equal
 * ones; without a term they are 0. Derivatives are computed from the index, in time and memory of rows and columns
 * rather than of pairs, for each batch; the sweep that finds the values finds the index as well.
 */
KCL_API kcl_expr *kcl_reduce_min(kcl_expr *f, kcl_axes over);
KCL_API kcl_expr *kcl_reduce_max(kcl_expr *f, kcl_axes over);

/*
 * For each component of f, the index of the smallest or largest value over the axes: a column j over j, a row i over i,
 * i N + j of the pair over both, for N columns. Of equal values the smallest index is the result. NaN is never chosen,
 * infinities are ordinary values; the index is -1 if there is nothing to choose from. An error if f has none of the
 * axes.
 *
 * Evaluated on its own, the result is an array of int64. In further formulas it is a real number of the arrays' type,
 * in float32 exact up to 2^24, and a constant: its derivative is 0. The gradient of an index itself is an error.
 */
KCL_API kcl_expr *kcl_reduce_argmin(kcl_expr *f, kcl_axes over);
KCL_API kcl_expr *kcl_reduce_argmax(kcl_expr *f, kcl_axes over);

/* Value and index: returns kcl_reduce_min and sets *index, unless that is NULL, to kcl_reduce_argmin. One sweep. */
KCL_API kcl_expr *kcl_reduce_min_argmin(kcl_expr *f, kcl_axes over, kcl_expr **index);
KCL_API kcl_expr *kcl_reduce_max_argmax(kcl_expr *f, kcl_axes over, kcl_expr **index);

/*
 * For each component of f, the k smallest values over the axes, the smallest first, or the k largest, the largest
 * first; and their indices. The result has k D components: number q of component c is component q D + c, so for D = 1 a
 * (M, k) array takes the result. Equal values are in the order of their indices. If there are fewer than k values, the
 * rest is +infinity (of kmax: -infinity) with the index -1. Everything else, derivatives too, is as for kcl_reduce_min
 * and kcl_reduce_argmin. An error if k is less than 1, or if f has none of the axes.
 */
KCL_API kcl_expr *kcl_reduce_kmin(kcl_expr *f, int k, kcl_axes over);
KCL_API kcl_expr *kcl_reduce_kmax(kcl_expr *f, int k, kcl_axes over);
KCL_API kcl_expr *kcl_reduce_argkmin(kcl_expr *f, int k, kcl_axes over);
KCL_API kcl_expr *kcl_reduce_argkmax(kcl_expr *f, int k, kcl_axes over);

/*
 * For each component of f, the mean of the k smallest or the k largest values over the axes: the mean of the values of
 * kcl_reduce_kmin or kcl_reduce_kmax, of which no array is made. The result has the dimension of f; it is +infinity (of
 * the largest: -infinity) if there are fewer than k values. NaN is never chosen. The derivative of a row, divided by k,
 * goes to each of the k terms. Errors as kcl_reduce_kmin.
 */
KCL_API kcl_expr *kcl_reduce_mean_kmin(kcl_expr *f, int k, kcl_axes over);
KCL_API kcl_expr *kcl_reduce_mean_kmax(kcl_expr *f, int k, kcl_axes over);

/* Values and indices: returns the values and sets *index, unless that is NULL. One sweep. */
KCL_API kcl_expr *kcl_reduce_kmin_argkmin(kcl_expr *f, int k, kcl_axes over, kcl_expr **index);
KCL_API kcl_expr *kcl_reduce_kmax_argkmax(kcl_expr *f, int k, kcl_axes over, kcl_expr **index);

/*
 * Reductions over one batch axis, which has size 1 in the result; everything else, derivatives too, is as for
 * kcl_reduce_sum and its like. `axis` counts the axes that kcl_expr_shape tells, from 0, or backwards from -1, the last
 * batch axis; so an axis has the same number before and after a reduction of other axes. KCL_ERROR_ARGUMENT if the
 * expression has no such axis. A formula that depends on both i and j must be reduced over one of them as well, before
 * or after.
 *
 * A reduction over several axes is a chain of calls of one kind, computed in one pass (means in several, rows first).
 * The chain of indices, kcl_reduce_argmin_batch(kcl_reduce_argmin(f, over), axis), in any order, gives the index of the
 * smallest value along all its axes; the chain of K-mins the K smallest values along all, and K must be the same in all
 * calls (KCL_ERROR_ARGUMENT). A logsumexp of kcl_reduce_logsumexp_weight is the logarithm of the whole weighted sum,
 * and kcl_reduce_sumsoftmaxweight_batch(kcl_reduce_logsumexp(f, over), kcl_reduce_sumsoftmaxweight(f, weight, over),
 * axis) is the mean along all axes. A call after a call of another kind reduces the results:
 * kcl_reduce_argmin_batch(kcl_reduce_min(f, over), axis) is the batch that has the smallest value.
 *
 * An index numbers the values along all reduced axes, row-major as in NumPy: batch axes, then i, then j. With batch
 * axes of sizes B0 and B1 and N columns, b, c and j reduced: (b B1 + c) N + j. The index is exact in int64, for float32
 * arrays on devices up to 2^48. An axis of size 1 is an axis all the same: the index is 0, or -1 if the value is NaN.
 */
KCL_API kcl_expr *kcl_reduce_sum_batch(kcl_expr *f, int axis);
KCL_API kcl_expr *kcl_reduce_mean_batch(kcl_expr *f, int axis);
KCL_API kcl_expr *kcl_reduce_min_batch(kcl_expr *f, int axis);
KCL_API kcl_expr *kcl_reduce_max_batch(kcl_expr *f, int axis);
KCL_API kcl_expr *kcl_reduce_logsumexp_batch(kcl_expr *f, int axis);
KCL_API kcl_expr *kcl_reduce_logsumexp_weight_batch(kcl_expr *f, kcl_expr *weight, int axis);
KCL_API kcl_expr *kcl_reduce_sumsoftmaxweight_batch(kcl_expr *f, kcl_expr *weight, int axis);
KCL_API kcl_expr *kcl_reduce_argmin_batch(kcl_expr *f, int axis);
KCL_API kcl_expr *kcl_reduce_argmax_batch(kcl_expr *f, int axis);
KCL_API kcl_expr *kcl_reduce_min_argmin_batch(kcl_expr *f, int axis, kcl_expr **index);
KCL_API kcl_expr *kcl_reduce_max_argmax_batch(kcl_expr *f, int axis, kcl_expr **index);
KCL_API kcl_expr *kcl_reduce_kmin_batch(kcl_expr *f, int k, int axis);
KCL_API kcl_expr *kcl_reduce_kmax_batch(kcl_expr *f, int k, int axis);
KCL_API kcl_expr *kcl_reduce_mean_kmin_batch(kcl_expr *f, int k, int axis);
KCL_API kcl_expr *kcl_reduce_mean_kmax_batch(kcl_expr *f, int k, int axis);
KCL_API kcl_expr *kcl_reduce_argkmin_batch(kcl_expr *f, int k, int axis);
KCL_API kcl_expr *kcl_reduce_argkmax_batch(kcl_expr *f, int k, int axis);
KCL_API kcl_expr *kcl_reduce_kmin_argkmin_batch(kcl_expr *f, int k, int axis, kcl_expr **index);
KCL_API kcl_expr *kcl_reduce_kmax_argkmax_batch(kcl_expr *f, int k, int axis, kcl_expr **index);

KCL_END

#endif
