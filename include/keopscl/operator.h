/* SPDX-License-Identifier: MIT */
/*
 * keopscl/operator.h: a formula compiled once and applied to new arrays many times.
 */
#ifndef KEOPSCL_OPERATOR_H
#define KEOPSCL_OPERATOR_H

#include <keopscl/array.h>
#include <keopscl/expr.h>

KCL_BEGIN

/*
 * A list of reductions of formulas, with named or numbered arguments. Immutable; belongs to no context or scope.
 * Thread safety: may be applied from several threads at once, each with its own context.
 */
typedef struct kcl_operator kcl_operator;

/*
 * Zero in any field means the default.
 *
 * Long squared distances are computed from differences or, faster, from norms and dot products ("expanded"). The error
 * of the expanded form grows with the distance of the points from their centre. "auto" looks at the data of each call
 * and expands if errors stay within 4 times the errors of differences (docs/accuracy.md). "expanded" expands whatever
 * the data are: it is for experiments, results may be wrong. Neither of them expands formulas that "auto" never
 * expands.
 */
typedef struct kcl_operator_params {
    /*
     * How kernels go through the matrix; NULL: by device and sizes. "lanes": rows in the lanes of a CPU's vectors;
     * "rows": a few rows a work-item, columns through local memory; "contraction": blocks of rows and columns, a long
     * vector's index in steps; "split": columns divided, for few rows; "columns": lanes over columns, for very few.
     * A schedule that cannot run a formula is KCL_ERROR_UNSUPPORTED when the operator is applied, by the interpreter
     * too.
     */
    const char *schedule;
    const char *form; /* of squared distances |x - y|^2: "auto" (the default), "differences", "expanded"; see above */
    /*
     * Elementary functions on devices. "precise" (the default, also NULL and ""): to a few units in the last place.
     * "fast": errors up to some 1e-5 of the result in float32 and 1e-11 in float64; for sines and cosines, and in
     * float32 on GPUs for logarithms, up to this fraction of 1; large arguments and subnormal numbers are less exact
     * (docs/accuracy.md). Gradients made from the operator take the choice over. The interpreter is always precise.
     */
    const char *math;
    kcl_allocator allocator; /* default: malloc, realloc, free */
} kcl_operator_params;

/*
 * Reads a text in KeOps' language: one or several reductions separated by ";",
 *
 *     "Sum_Reduction(Exp(-g*SqDist(x,y))*b, 0)"
 *
 * whose last number tells the rows of the result: 0, one per i (reduced over j); 1, one per j; 2, a single one.
 * aliases[k] declares argument number k: "x = Vi(3)", "y = Vj(3)", "g = Pm(1)", or with a number of its own,
 * "x = Vi(0,3)". Arguments that the formula names as Var(index,dim,role) need no alias. See docs/formulas.md.
 *
 * `params` may be NULL. On failure *op is set all the same (unless memory is out: then it is NULL), to an operator that
 * only tells why: kcl_operator_error(*op); it must be destroyed. Errors: KCL_ERROR_SYNTAX (the text with a caret),
 * KCL_ERROR_SHAPE, KCL_ERROR_ARGUMENT (aliases that clash or leave a gap), KCL_ERROR_DERIVATIVE, KCL_ERROR_NO_MEMORY.
 */
KCL_API kcl_status kcl_operator_create(kcl_operator **op, const char *formula, int alias_count,
                                       const char *const *aliases, const kcl_operator_params *params);

/*
 * An operator from expressions: outputs are exprs[0..], arguments are vars[0..], which must hold every variable that
 * the expressions use (a kcl_scalar or a data handle that is not in vars is an error that names the variable). The
 * operator outlives the scope. Failures are told in the operator, and in the context of the expressions.
 *
 * A data handle may stand in both roles, i and j. List its variable in each role for two arguments, which may be
 * different arrays; or in one role, for one argument that is both: rows and columns of the operator are then as many
 * (else KCL_ERROR_LENGTH), and the gradient in the argument (kcl_operator_grad) is the sum over both roles.
 * kcl_operator_print writes this argument in both roles, a text that kcl_operator_create does not read.
 *
 * The batch axes of the arguments count, not the batch axes of the expressions' arrays. But if an expression reduces
 * batch axes (by kcl_reduce_sum_batch and its like, or by gradients in variables that lack some), arguments must have
 * the batch axes that their variables' arrays had, of any size, and no other axes; outputs have the batch axes of the
 * expressions. A call with other batch axes is KCL_ERROR_SHAPE, which names the argument and the axis.
 */
KCL_API kcl_status kcl_operator_from(kcl_operator **op, int count, kcl_expr *const *exprs, int var_count,
                                     kcl_expr *const *vars, const kcl_operator_params *params);

/*
 * The vector-Jacobian product in argument `variable` (a name or a number as text). Its arguments are the arguments of
 * `op` followed by one cotangent for each output, of the output's rows and dimension; its output has the rows and the
 * dimension of the variable. Outputs that are indices beside others have no cotangent (KCL_ERROR_DERIVATIVE if all
 * are). This is KeOps' Grad(Reduction, v, e), summed over i and j for a parameter. The output has the batch axes of
 * the variable's argument in the call and is summed over all others, as by kcl_grad and kcl_vjp
 * (keopscl/derivatives.h). Grad(...) within a text is a formula like any other, whose results have the batch axes of
 * all arguments.
 */
KCL_API kcl_status kcl_operator_grad(kcl_operator **grad, const kcl_operator *op, const char *variable);

/*
 * The vector-Jacobian product in several arguments, 1 or more: output k is the output of kcl_operator_grad in
 * variables[k]. One call computes once what the outputs have in common, and goes through the matrix once for reductions
 * over the same axis. KCL_ERROR_ARGUMENT for an empty list.
 */
KCL_API kcl_status kcl_operator_grad_many(kcl_operator **grad, const kcl_operator *op, int variable_count,
                                          const char *const *variables);

/*
 * The Jacobian-vector product: the derivative of the outputs when the arguments variables[k], 1 or more, move. Its
 * arguments are the arguments of `op` followed by one direction for each entry of the list, of the role and the
 * dimension of that argument. Its outputs are the tangents of the outputs of `op`, of the same rows and dimensions;
 * outputs that are indices beside others have none (KCL_ERROR_DERIVATIVE if all are). A direction may have batch axes
 * that its argument lacks: outputs have the batch axes of all arguments together, so one call takes a batch of
 * directions. The tangent of a gradient has the batch axes of the gradient. KCL_ERROR_ARGUMENT for an empty list.
 */
KCL_API kcl_status kcl_operator_jvp(kcl_operator **jvp, const kcl_operator *op, int variable_count,
                                    const char *const *variables);

/*
 * An operator with the arguments of `op` whose outputs are the scale against which errors are measured. Every sum of F
 * is replaced by the sum of |F|, every L = LogSumExp of F by 1 + |L|, and every ArgMin of F by the sum of F: applied to
 * arrays of one row, this sum gives the values at an index.
 */
KCL_API kcl_status kcl_operator_magnitude(kcl_operator **magnitude, const kcl_operator *op);

/* Frees the operator and sets *op to NULL; no call may be running. NULL and a pointer to NULL are accepted. */
KCL_API void kcl_operator_destroy(kcl_operator **op);

/*
 * Why the operator could not be made, "" if it could. Owned by the operator: valid until kcl_operator_destroy. NULL: a
 * sentence that says so, in static storage.
 */
KCL_API const char *kcl_operator_error(const kcl_operator *op);

/*
 * Computes all outputs from arrays: outs[0..out_count), args[0..arg_count). Shapes: see kcl_role; axes of size 1 may be
 * added or left out, and a missing vector axis means D = 1. Arguments may have up to 6 batch axes in front of these
 * axes. Batch axes are broadcast as in NumPy (keopscl/scope.h); outputs have the batch axes of all arguments together.
 * As soon as one argument has batch axes, every argument of more axes than its role needs is read as (batch axes...,
 * rows, D), or (batch axes..., D) for a parameter, with no axis left out. The same holds where an argument of i and an
 * argument of j have the shape (batch axes..., 1, D), which are batches of single rows, and where only the arguments of
 * one of the two roles have this shape, if the outputs do not fit the other reading, as rows. Lengths of arguments of one
 * role must agree; a role without arguments has length 1.
 *
 * All arrays have one number type, with two exceptions. An output that is an index (ArgMin_Reduction, see
 * kcl_slot_info) is an array of int64. An argument that is the index of Gather and enters nothing else may be an array
 * of int64 in any call.
 *
 * The arrays are read and written before the call returns, unless all outputs are device arrays: keopscl/memory.h has
 * the rules. An output may be the array of an argument as a whole; outputs overlap nothing else, by the rules of
 * kcl_eval (keopscl/evaluation.h).
 *
 * Errors: the status, with kcl_context_error(context): KCL_ERROR_ARGUMENT (a missing or surplus argument, arrays that
 * overlap), KCL_ERROR_SHAPE, KCL_ERROR_LENGTH (which argument, which axis, both sizes), KCL_ERROR_TYPE, and errors of
 * the device.
 */
KCL_API kcl_status kcl_operator_apply(const kcl_operator *op, kcl_context *context, const kcl_array *const *outs,
                                      int out_count, const kcl_array *const *args, int arg_count);

/*
 * kcl_operator_apply with an epilogue, fused into the sweeps that compute the outputs: outs[k] becomes alpha[k] *
 * result k + beta[k] * outs[k], by the rules of kcl_eval_scaled (keopscl/evaluation.h).
 */
KCL_API kcl_status kcl_operator_apply_scaled(const kcl_operator *op, kcl_context *context, const kcl_array *const *outs,
                                             int out_count, const kcl_array *const *args, int arg_count,
                                             const double *alpha, const double *beta);

/*
 * What a call with these arguments wants as output number `output`: sets *shape to a dense array without data, of the
 * type, the axes (batch axes..., rows, dim), for a single row (batch axes..., dim), and their sizes. Batch axes that
 * the operator reduces have size 1. Nothing is computed, and no data is read; errors are the errors that
 * kcl_operator_apply has for these arguments, and KCL_ERROR_ARGUMENT for an output that is not there. If all arguments
 * are int64 and none tells the type of real numbers, the type is the one that the device computes with beside int64.
 */
KCL_API kcl_status kcl_operator_output_shape(const kcl_operator *op, kcl_context *context, int output,
                                             const kcl_array *const *args, int arg_count, kcl_array *shape);

/* What an argument or output is. */
typedef struct kcl_slot_info {
    char name[64]; /* the alias, or "" */
    kcl_role role; /* rows: one per i, one per j, or a single one */
    int dim;       /* components */
    /*
     * KCL_I64: an output that is an index; an argument that is the index of Gather and nothing else, whose array may
     * have the type of the other arrays as well. KCL_DTYPE_NONE: the type of the arrays.
     */
    kcl_dtype dtype;
} kcl_slot_info;

KCL_API int kcl_operator_input_count(const kcl_operator *op);
KCL_API int kcl_operator_output_count(const kcl_operator *op);
KCL_API kcl_status kcl_operator_input(const kcl_operator *op, int index, kcl_slot_info *info);
KCL_API kcl_status kcl_operator_output(const kcl_operator *op, int index, kcl_slot_info *info);

/*
 * Writes the operator's results as reductions, separated by "; ", with the names of its aliases: a text that
 * kcl_operator_create reads, except derivatives that choose rows (of Min, Max, KMin and Gather) and reductions over
 * batch axes. Parts that a formula shares are written out at each of their places. KCL_ERROR_UNSUPPORTED, and nothing
 * is written, if the text would be longer than 2^24 bytes.
 */
KCL_API kcl_status kcl_operator_print(const kcl_operator *op, kcl_write_fn write, void *user);

/*
 * Writes the OpenCL program that the operator becomes for sizes m and n, body first. `profile`: "cpu" (16 lanes) or
 * "gpu", which need no device, or NULL, the device of `context`; `context` may be NULL with a profile.
 */
KCL_API kcl_status kcl_operator_emit(const kcl_operator *op, kcl_context *context, const char *profile, kcl_dtype dtype,
                                     int64_t m, int64_t n, kcl_write_fn write, void *user);

/* Writes the choices of the plan for sizes m and n on the context's device, a "key: value" a line. */
KCL_API kcl_status kcl_operator_describe(const kcl_operator *op, kcl_context *context, kcl_dtype dtype, int64_t m,
                                         int64_t n, kcl_write_fn write, void *user);

KCL_END

#endif
