/* SPDX-License-Identifier: MIT */
/* keopscl/variables.h: what expressions are made of: variables, numbers, formulas in text. */
#ifndef KEOPSCL_VARIABLES_H
#define KEOPSCL_VARIABLES_H

#include <keopscl/scope.h>

KCL_BEGIN

/* ---- Data -------------------------------------------------------------------------------------------------------- */

/*
 * A handle to an array in the host's or the device's memory. The description is copied, the memory is borrowed and read
 * when an evaluation runs: the memory must be valid then, and nothing but the evaluation may change it until the
 * evaluation returns (a device array may be changed by later calls on the context, which run afterwards). Returns NULL
 * when memory is out. The use of a NULL handle, or of a handle whose description was refused, gives an error
 * expression.
 */
KCL_API kcl_data *kcl_data_create(kcl_scope *scope, const kcl_array *array);

/*
 * Copies an array to the device's memory, as kcl_array_upload does, and makes a handle to the copy, which belongs to
 * the scope: evaluations copy nothing then. NULL and errors as kcl_data_create. The variables that are made from the
 * handle carry an error of the copy (KCL_ERROR_DEVICE_MEMORY).
 */
KCL_API kcl_data *kcl_data_upload(kcl_scope *scope, const kcl_array *array);

/* ---- Variables --------------------------------------------------------------------------------------------------- */

/*
 * Variables with a stated role, from an array of shape (batch axes..., M, D) for i, (batch axes..., N, D) for j, (batch
 * axes..., D) for a parameter: the last axis is always the vector, the axis before the vector the rows. (M) and (N)
 * alone mean D = 1, and a parameter may have no axes at all (one number). Each call makes a new handle.
 */
KCL_API kcl_expr *kcl_vi(kcl_scope *scope, const kcl_array *array);
KCL_API kcl_expr *kcl_vj(kcl_scope *scope, const kcl_array *array);
KCL_API kcl_expr *kcl_pm(kcl_scope *scope, const kcl_array *array);

/* The same from a handle: one handle may be used in several roles, and has one gradient, the sum over its roles. */
KCL_API kcl_expr *kcl_vi_data(kcl_scope *scope, kcl_data *data);
KCL_API kcl_expr *kcl_vj_data(kcl_scope *scope, kcl_data *data);
KCL_API kcl_expr *kcl_pm_data(kcl_scope *scope, kcl_data *data);

/*
 * A variable whose role is read off the last three axes of its shape: (batch axes..., M, 1, D) is an i-variable,
 * (..., 1, N, D) a j-variable, (..., 1, 1, D) and (D) a parameter. An axis of size 1 is "not there": (1, 1, D) is a
 * parameter even if you think of it as one point; state the role with kcl_vi or kcl_vj if an axis may have the size 1.
 * (M, N, D) with neither 1 is an error, and so is (M, D), which does not tell its role.
 */
KCL_API kcl_expr *kcl_lazy(kcl_scope *scope, const kcl_array *array);

/*
 * A number that is a kernel argument: another value compiles nothing. Every call makes a new parameter, in whose
 * direction a gradient may be taken. The number is rounded to the number type of the arrays.
 */
KCL_API kcl_expr *kcl_scalar(kcl_scope *scope, double value);

/*
 * Another value for what kcl_scalar made. All later evaluations of expressions that have the scalar read the new value;
 * no expression is built or compiled anew. Operators are not touched: kcl_operator_from makes an argument of a scalar,
 * whose value each call gives. Returns KCL_ERROR_ARGUMENT, with the text in the context, for any other expression.
 */
KCL_API kcl_status kcl_scalar_set(kcl_expr *scalar, double value);

/*
 * A symbolic variable: number `index`, 0 or more, of dimension `dim`, with no array. Expressions that have symbolic
 * variables are made into an operator (kcl_operator_from) and applied to arrays; their evaluation is an error that
 * names the variable. The same index gives the same variable; the same index with another dimension or role is an
 * error. The number has nothing to do with the variable's place among the operator's arguments, which kcl_operator_from
 * is given.
 */
KCL_API kcl_expr *kcl_var(kcl_scope *scope, int index, int dim, kcl_role role);

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/*
 * A number that is part of the formula's text (inf and -inf are infinities): another number makes another kernel. NaN
 * is refused.
 */
KCL_API kcl_expr *kcl_constant(kcl_scope *scope, double value);

/*
 * The number of the row i or of the column j, from 0, counted within the batch. i and j are the axes of the formula as
 * it is written, whichever axis is reduced. As a real number it is rounded to the number type (float32: exact up to
 * 2^24). Sums, differences and whole multiples of both and of constants (kcl_constant) are computed as whole numbers
 * and rounded once, and comparisons of these numbers are decided exactly: i <= j, i == j + 1 and |i - j| < w hold as
 * they should for any sizes, w up to 2^24. The derivative is 0. The number of a row does not tell how many rows there
 * are: an array with the axis must be in the formula, or lend the axis by kcl_like (KCL_ERROR_SHAPE).
 */
KCL_API kcl_expr *kcl_index_i(kcl_scope *scope);
KCL_API kcl_expr *kcl_index_j(kcl_scope *scope);

/* The vector (0, ..., 0) of `dim` components, 1 or more. */
KCL_API kcl_expr *kcl_zero(kcl_scope *scope, int dim);

/* ---- Formulas in text -------------------------------------------------------------------------------------------- */

/*
 * A formula in KeOps' language, "Exp(-g*SqDist(x,y))*b", whose names stand for the given expressions: names[k] for
 * values[k]. Reductions of one result may be in it, "Log(Sum_Reduction(Exp(-SqDist(x,y)),0))". A syntax error's text
 * holds the formula and a caret. Values may be variables of one data handle in several roles: the gradient in the
 * handle, as by Grad(f,x,e) in the text, is the sum over the roles. Later errors call a variable by its name in the
 * text. docs/formulas.md describes the language.
 */
KCL_API kcl_expr *kcl_formula(kcl_scope *scope, const char *text, int count, const char *const *names,
                              kcl_expr *const *values);

KCL_END

#endif
