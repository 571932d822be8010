/* SPDX-License-Identifier: MIT */
/* keopscl/evaluation.h: expressions evaluated. */
#ifndef KEOPSCL_EVALUATION_H
#define KEOPSCL_EVALUATION_H

#include <keopscl/scope.h>

KCL_BEGIN

/*
 * Computes `count` expressions, in one go: reductions that can share a sweep do. outs[k] receives exprs[k]: shape (M,
 * D) for an i-expression, (N, D) for a j-expression, (D) for one without axes, each with the expression's batch axes in
 * front (kcl_expr_shape); axes of size 1 may be added or left out anywhere. An expression that depends on both i and j
 * must be reduced first.
 *
 * All arrays have one number type, except arrays of indices (kcl_reduce_argmin and its like), which are int64.
 *
 * An output may be the array of an input as a whole (the same first element, number type, sizes and strides; axes of
 * size 1 do not count, and axes that follow each other without gaps may be one): x becomes sum_j K(x_i, y_j) b_j in
 * place. Every output is computed from the inputs as they were when the call began, which costs a copy of this output.
 * Refused with KCL_ERROR_ARGUMENT, before anything is written: any other output that shares memory with an element of
 * an input or of another output, and an output with two elements in one place (a stride of 0). Arrays whose elements
 * lie between each other, as the columns of a matrix do, do not overlap. Only for arrays of several axes that are not
 * nested in each other, with strides so odd that some thousand steps do not tell, is an overlap taken for granted.
 *
 * On failure the contents of the outputs are not specified. If all outputs are device arrays, the call need not wait
 * for them, as keopscl/memory.h explains.
 */
KCL_API kcl_status kcl_eval(int count, kcl_expr *const *exprs, const kcl_array *const *outs);

/*
 * kcl_eval with an epilogue: outs[k] becomes alpha[k] * exprs[k] + beta[k] * outs[k], with the conventions of BLAS. The
 * epilogue is part of the sweep that computes the result: no pass of its own, no temporary. Gradients are added up this
 * way. alpha: NULL for all 1; beta: NULL for all 0. If beta[k] is 0, the array is not read. If alpha[k] is 0, the
 * result is not used: NaN and infinity in the result are lost, and a sweep whose results are all lost goes through no
 * pair. Both numbers are rounded to the arrays' type and belong to the call: other numbers compile nothing, all share
 * one kernel, beside the kernel of kcl_eval. Results that are indices have alpha 1 and beta 0, else KCL_ERROR_TYPE. An
 * output that is an input's array is added to as it was when the call began. After an error of the device outputs may
 * be partly added to.
 */
KCL_API kcl_status kcl_eval_scaled(int count, kcl_expr *const *exprs, const kcl_array *const *outs, const double *alpha,
                                   const double *beta);

/* kcl_eval of one expression. */
KCL_API kcl_status kcl_eval1(kcl_expr *expr, const kcl_array *out);

/* A reduction and its evaluation in one. Arrays of indices are int64. */
KCL_API kcl_status kcl_sum(kcl_expr *f, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_mean(kcl_expr *f, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_logsumexp(kcl_expr *f, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_logsumexp_weight(kcl_expr *f, kcl_expr *weight, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_sumsoftmaxweight(kcl_expr *f, kcl_expr *weight, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_min(kcl_expr *f, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_max(kcl_expr *f, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_argmin(kcl_expr *f, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_argmax(kcl_expr *f, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_min_argmin(kcl_expr *f, kcl_axes over, const kcl_array *values, const kcl_array *indices);
KCL_API kcl_status kcl_max_argmax(kcl_expr *f, kcl_axes over, const kcl_array *values, const kcl_array *indices);
KCL_API kcl_status kcl_kmin(kcl_expr *f, int k, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_kmax(kcl_expr *f, int k, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_mean_kmin(kcl_expr *f, int k, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_mean_kmax(kcl_expr *f, int k, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_argkmin(kcl_expr *f, int k, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_argkmax(kcl_expr *f, int k, kcl_axes over, const kcl_array *out);
KCL_API kcl_status kcl_kmin_argkmin(kcl_expr *f, int k, kcl_axes over, const kcl_array *values,
                                    const kcl_array *indices);
KCL_API kcl_status kcl_kmax_argkmax(kcl_expr *f, int k, kcl_axes over, const kcl_array *values,
                                    const kcl_array *indices);

KCL_END

#endif
