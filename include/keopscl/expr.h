/* SPDX-License-Identifier: MIT */
/*
 * keopscl/expr.h: lazy tensors.
 *
 * An expression is a formula F(x_i, y_j, p) in variables that are bound to arrays. Nothing is computed until it is
 * evaluated. A variable has a role: an "i"-variable has one row per i, a "j"-variable one per j, a parameter is the same
 * for all. An expression that lacks an axis has size 1 there, and is repeated along it where another operand has it.
 *
 * Vector components: operands of an elementwise operation have the same dimension D, or dimension 1, which is repeated.
 *
 * Batches: arrays may have up to 6 batch axes in front of these. Those of operands are broadcast as in NumPy: aligned
 * at the last one, size 1 is repeated; sizes that do not fit are an error of the builder (KCL_ERROR_SHAPE) that names
 * the operation, an array of each operand, the axis (-1 is the last batch axis) and both sizes. Reductions are of each
 * batch on its own, and indices count within it, but for kcl_reduce_sum_batch and its like. Repeated arrays are not
 * copied.
 *
 * Errors: a builder that fails returns an error expression of its scope, never NULL. Everything built on it carries that
 * first error, and an evaluation that is given it returns its status and copies its sentence to the context: a chain of
 * calls needs one check. NULL operands, operands of two scopes, and operands of a scope that was reset or destroyed are
 * such errors. Where operands belong to several contexts, all of these are told at once, and evaluation tells that of
 * the first operand. An expression that was built from NULL alone knows of no context: an evaluation of nothing else
 * returns KCL_ERROR_ARGUMENT and can tell no context (kcl_scope_create tells its context why it returned NULL).
 *
 * Handles that are gone: the use of an expression, data handle or scope after kcl_scope_reset or kcl_scope_destroy is an
 * error like others, in every build. The context keeps memory of such handles for that, 32 bytes an expression, and uses
 * it again when four more scopes were reset or destroyed and more than 32,768 expressions, 1024 data handles or 16 scopes
 * wait; what is built then has the addresses of what was, and a handle kept for longer than that may stand for another
 * one. While the context lives no such use is undefined; after kcl_context_destroy every use of what it had is.
 *
 * Ownership: expressions and data handles belong to their scope and live until kcl_scope_reset or kcl_scope_destroy.
 * Thread safety: a scope and its expressions belong to one thread at a time.
 */
#ifndef KEOPSCL_EXPR_H
#define KEOPSCL_EXPR_H

#include <keopscl/array.h>
#include <keopscl/context.h>

KCL_BEGIN

/* Owns expressions and data handles. */
typedef struct kcl_scope kcl_scope;

/* A formula, or a reduction of one. Immutable. */
typedef struct kcl_expr kcl_expr;

/* An array with an identity: gradients are per handle. */
typedef struct kcl_data kcl_data;

/* Axes of K_ij, a set of bits. */
typedef enum kcl_axes {
    KCL_OVER_I = 1,    /* reduce over i: the result has one row per j */
    KCL_OVER_J = 2,    /* reduce over j: the result has one row per i */
    KCL_OVER_BOTH = 3, /* reduce over both: one row */
} kcl_axes;

/* The role of a variable, or of an operator's argument. */
typedef enum kcl_role {
    KCL_ROLE_I = 0,         /* one row per i: (M, D) */
    KCL_ROLE_J = 1,         /* one row per j: (N, D) */
    KCL_ROLE_PARAMETER = 2, /* one vector: (D) */
} kcl_role;

/* ---- Scopes ------------------------------------------------------------------------------------------------------ */

/*
 * Creates a scope for expressions that are evaluated on `context`, which must outlive it. NULL when memory is out,
 * which is then the context's error, or when the context is NULL; every function below accepts a NULL scope and then
 * returns an error expression.
 */
KCL_API kcl_scope *kcl_scope_create(kcl_context *context);

/*
 * Which elementary functions later evaluations of the scope's expressions use: "precise", as a new scope does, or "fast";
 * see `math` in kcl_operator_params, which also tells what operators made of the expressions use. Kept by
 * kcl_scope_reset. KCL_ERROR_ARGUMENT, with the text in the context, for other words and without a scope.
 */
KCL_API kcl_status kcl_scope_set_math(kcl_scope *scope, const char *math);

/* Frees all expressions and handles of the scope and keeps it, and the compiled kernels of its context. */
KCL_API void kcl_scope_reset(kcl_scope *scope);

/* Frees the scope and sets *scope to NULL. NULL and a pointer to NULL are accepted. */
KCL_API void kcl_scope_destroy(kcl_scope **scope);

/* ---- Data and variables ------------------------------------------------------------------------------------------ */

/*
 * A handle to an array in the host's or the device's memory. The memory is borrowed and read when an evaluation runs:
 * it must be valid then, and changed by nothing but the evaluation until that returns (of a device array: until later
 * calls on the context change it, which are done afterwards). The description is copied. NULL when memory is out; using a
 * NULL handle, or one whose description was refused, gives an error expression.
 */
KCL_API kcl_data *kcl_data_create(kcl_scope *scope, const kcl_array *array);

/*
 * Copies an array to the device's memory, as kcl_array_upload does, and makes a handle to the copy, which belongs to the
 * scope: evaluations copy nothing then. NULL and errors as above; one of the copy (KCL_ERROR_DEVICE_MEMORY) is carried
 * by the variables that are made from the handle.
 */
KCL_API kcl_data *kcl_data_upload(kcl_scope *scope, const kcl_array *array);

/*
 * Variables with a stated role, from an array of shape (batch axes..., M, D) for i, (batch axes..., N, D) for j, (batch
 * axes..., D) for a parameter: the last axis is always the vector, the one before it the rows. (M) and (N) alone mean
 * D = 1, and a parameter may have no axes at all (one number). Each call makes a new handle.
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
 * parameter even if you think of it as one point; state the role with kcl_vi or kcl_vj where an axis may have the size 1.
 * (M, N, D) with neither 1 is an error, and so is (M, D), which does not tell its role.
 */
KCL_API kcl_expr *kcl_lazy(kcl_scope *scope, const kcl_array *array);

/*
 * A number that is a kernel argument: changing it compiles nothing. Every call makes a new parameter, in whose
 * direction a gradient may be taken. It is rounded to the number type of the arrays.
 */
KCL_API kcl_expr *kcl_scalar(kcl_scope *scope, double value);

/*
 * Another value for what kcl_scalar made: all later evaluations of expressions that have it read that, none is built or
 * compiled anew. Operators are not touched: kcl_operator_from makes an argument of a scalar, whose value each call gives.
 * KCL_ERROR_ARGUMENT, with the text in the context, for any other expression.
 */
KCL_API kcl_status kcl_scalar_set(kcl_expr *scalar, double value);

/*
 * A symbolic variable: number `index`, 0 or more, of dimension `dim`, with no array. Expressions that have some are made
 * into an operator (kcl_operator_from) and applied to arrays; evaluating them is an error that names the variable. The
 * same index gives the same variable; with another dimension or role it is an error. Its number has nothing to do with
 * its place among the operator's arguments, which kcl_operator_from is given.
 */
KCL_API kcl_expr *kcl_var(kcl_scope *scope, int index, int dim, kcl_role role);

/*
 * A number that is part of the formula's text (inf and -inf are infinities): changing it makes another kernel. NaN is
 * refused.
 */
KCL_API kcl_expr *kcl_constant(kcl_scope *scope, double value);

/*
 * The number of the row i or of the column j, from 0: within the batch where there are batches, and those of the formula
 * as it is written, whichever axis is reduced. As a real number it is rounded to the number type (float32: exact up to
 * 2^24). Sums, differences and whole multiples of both and of constants (kcl_constant) are computed as whole numbers
 * and rounded once, and comparisons of such are decided exactly: i <= j, i == j + 1 and |i - j| < w hold where they
 * should for any sizes, w up to 2^24. The derivative is 0. It does not tell the length of its axis: an array of that
 * axis must be in the formula, or lend it by kcl_like (KCL_ERROR_SHAPE).
 */
KCL_API kcl_expr *kcl_index_i(kcl_scope *scope);
KCL_API kcl_expr *kcl_index_j(kcl_scope *scope);

/* f repeated along the axes of `axes_of` that it lacks; of `axes_of` nothing but the lengths of its axes is used. */
KCL_API kcl_expr *kcl_like(kcl_expr *f, kcl_expr *axes_of);

/* The vector (0, ..., 0) of `dim` components, 1 or more. */
KCL_API kcl_expr *kcl_zero(kcl_scope *scope, int dim);

/*
 * A formula in KeOps' language, "Exp(-g*SqDist(x,y))*b", whose names stand for the given expressions: names[k] for
 * values[k]. Reductions of one result may be in it, "Log(Sum_Reduction(Exp(-SqDist(x,y)),0))". A syntax error's text
 * holds the formula and a caret. Values may be variables of one data handle in several roles: its gradient, that of
 * Grad(f,x,e) in the text included, is the sum over them. Later errors say a variable's name in the text. See
 * docs/formulas.md.
 */
KCL_API kcl_expr *kcl_formula(kcl_scope *scope, const char *text, int count, const char *const *names,
                              kcl_expr *const *values);

/* ---- Arithmetic, elementwise ------------------------------------------------------------------------------------- */

KCL_API kcl_expr *kcl_add(kcl_expr *f, kcl_expr *g); /* f + g */
KCL_API kcl_expr *kcl_sub(kcl_expr *f, kcl_expr *g); /* f - g */
KCL_API kcl_expr *kcl_mul(kcl_expr *f, kcl_expr *g); /* f * g */
KCL_API kcl_expr *kcl_div(kcl_expr *f, kcl_expr *g); /* f / g */
KCL_API kcl_expr *kcl_neg(kcl_expr *f);              /* -f */
KCL_API kcl_expr *kcl_inv(kcl_expr *f);              /* 1 / f */
KCL_API kcl_expr *kcl_square(kcl_expr *f);           /* f^2 */

/*
 * factor * f. The number is part of the formula, as that of kcl_pow: another one is another kernel. One that changes from
 * evaluation to evaluation is a kcl_scalar.
 */
KCL_API kcl_expr *kcl_scale(kcl_expr *f, double factor);

/*
 * f to a constant power, which is part of the formula. A whole exponent is a product: defined for negative f, and
 * f^0 = 1 everywhere. 0.5 and -0.5 are kcl_sqrt and kcl_rsqrt. Any other exponent gives NaN for negative f.
 */
KCL_API kcl_expr *kcl_pow(kcl_expr *f, double exponent);

/* f to the power g, both expressions: pow of the C library. NaN for negative f and broken g. */
KCL_API kcl_expr *kcl_powf(kcl_expr *f, kcl_expr *g);

/* ---- Functions, elementwise -------------------------------------------------------------------------------------- */

KCL_API kcl_expr *kcl_exp(kcl_expr *f);   /* e^f */
KCL_API kcl_expr *kcl_log(kcl_expr *f);   /* natural logarithm; NaN below 0, -infinity at 0 */
KCL_API kcl_expr *kcl_sqrt(kcl_expr *f);  /* square root; its derivative at 0 is taken as 0 */
KCL_API kcl_expr *kcl_rsqrt(kcl_expr *f); /* 1 / sqrt(f), and 0 at f = 0, as in KeOps; derivative 0 there */
KCL_API kcl_expr *kcl_sin(kcl_expr *f);   /* sine, radians */
KCL_API kcl_expr *kcl_cos(kcl_expr *f);   /* cosine, radians */
KCL_API kcl_expr *kcl_tan(kcl_expr *f);   /* tangent, radians */
KCL_API kcl_expr *kcl_abs(kcl_expr *f);   /* absolute value; derivative 0 at 0 */
KCL_API kcl_expr *kcl_sign(kcl_expr *f);  /* -1, 0 or 1 */
KCL_API kcl_expr *kcl_xlogx(kcl_expr *f); /* f log(f), and 0 at f = 0 */
KCL_API kcl_expr *kcl_atan(kcl_expr *f);  /* arc tangent */

/*
 * Arc sine and cosine, NaN beyond -1 and 1; their derivatives at -1 and 1 are taken as 0. The scalar product of normalised
 * vectors is rounded to more than 1 for about a quarter of equal directions: kcl_acos(kcl_clampint(cosine, -1, 1)) is 0
 * there, and so is its derivative.
 */
KCL_API kcl_expr *kcl_asin(kcl_expr *f);
KCL_API kcl_expr *kcl_acos(kcl_expr *f);

/* The angle of the point (g, f): atan2 of the C library, whose first operand is the ordinate. Derivative 0 at (0, 0). */
KCL_API kcl_expr *kcl_atan2(kcl_expr *f, kcl_expr *g);

/* Hyperbolic functions. Of their inverses acosh is NaN below 1, atanh beyond -1 and 1, where it is infinite. */
KCL_API kcl_expr *kcl_sinh(kcl_expr *f);
KCL_API kcl_expr *kcl_cosh(kcl_expr *f);
KCL_API kcl_expr *kcl_tanh(kcl_expr *f);
KCL_API kcl_expr *kcl_asinh(kcl_expr *f);
KCL_API kcl_expr *kcl_acosh(kcl_expr *f); /* its derivative at 1 is taken as 0 */
KCL_API kcl_expr *kcl_atanh(kcl_expr *f);

KCL_API kcl_expr *kcl_erf(kcl_expr *f);      /* 2/sqrt(pi) times the integral of e^(-t^2) over t from 0 to f */
KCL_API kcl_expr *kcl_erfc(kcl_expr *f);     /* 1 - erf(f), exact where it is small */
KCL_API kcl_expr *kcl_expm1(kcl_expr *f);    /* e^f - 1, exact near 0 */
KCL_API kcl_expr *kcl_log1p(kcl_expr *f);    /* log(1 + f), exact near 0; NaN below -1, -infinity at -1 */
KCL_API kcl_expr *kcl_sigmoid(kcl_expr *f);  /* the logistic function, 1 / (1 + e^-f) */
KCL_API kcl_expr *kcl_softplus(kcl_expr *f); /* log(1 + e^f), without overflow */

/* sqrt(f^2 + g^2), without overflow or underflow on the way. Derivative 0 at (0, 0), as for norms. */
KCL_API kcl_expr *kcl_hypot(kcl_expr *f, kcl_expr *g);

KCL_API kcl_expr *kcl_sinxdivx(kcl_expr *f); /* sin(f) / f, and 1 at f = 0; derivatives are exact near 0 */
KCL_API kcl_expr *kcl_sinc(kcl_expr *f);     /* sin(pi f) / (pi f) */
KCL_API kcl_expr *kcl_step(kcl_expr *f);     /* 0 where f < 0, else 1 */
KCL_API kcl_expr *kcl_relu(kcl_expr *f);     /* 0 where f < 0, else f; its derivative at 0 is taken as 1 */
KCL_API kcl_expr *kcl_floor(kcl_expr *f);    /* the largest whole number not above f; derivative 0 */
KCL_API kcl_expr *kcl_ceil(kcl_expr *f);     /* the smallest whole number not below f; derivative 0 */
KCL_API kcl_expr *kcl_trunc(kcl_expr *f);    /* f without its decimals; derivative 0 */

/*
 * The smaller and the larger of two numbers. NaN where one of them is NaN, unlike fmin of C: a NaN does not get lost. The
 * derivative is that of the operand that was chosen, of the first one where they are equal.
 */
KCL_API kcl_expr *kcl_minimum(kcl_expr *f, kcl_expr *g);
KCL_API kcl_expr *kcl_maximum(kcl_expr *f, kcl_expr *g);

/* f rounded to `digits` decimals, -18 to 18, half away from zero; negative: to tens, hundreds, ... */
KCL_API kcl_expr *kcl_round(kcl_expr *f, int digits);

/* `low` where f < low, `high` where f > high, else f. Each branch has its own derivative. */
KCL_API kcl_expr *kcl_clamp(kcl_expr *f, kcl_expr *low, kcl_expr *high);
KCL_API kcl_expr *kcl_clampint(kcl_expr *f, int low, int high); /* with whole numbers, part of the formula */

/* f - n floor((f - offset) / n): f brought into [offset, offset + n) by steps of n. */
KCL_API kcl_expr *kcl_mod(kcl_expr *f, kcl_expr *n, kcl_expr *offset);

/* ---- Comparisons and logic, elementwise -------------------------------------------------------------------------- */

/* 1 where it holds, else 0: with NaN nothing holds but kcl_not_equal. Their derivatives are 0. */
KCL_API kcl_expr *kcl_equal(kcl_expr *f, kcl_expr *g);         /* f == g */
KCL_API kcl_expr *kcl_not_equal(kcl_expr *f, kcl_expr *g);     /* f != g */
KCL_API kcl_expr *kcl_less(kcl_expr *f, kcl_expr *g);          /* f < g */
KCL_API kcl_expr *kcl_less_equal(kcl_expr *f, kcl_expr *g);    /* f <= g */
KCL_API kcl_expr *kcl_greater(kcl_expr *f, kcl_expr *g);       /* f > g */
KCL_API kcl_expr *kcl_greater_equal(kcl_expr *f, kcl_expr *g); /* f >= g */

/* 1 or 0, of numbers of which 0 is false and all others, NaN among them, are true. Their derivatives are 0. */
KCL_API kcl_expr *kcl_and(kcl_expr *f, kcl_expr *g);
KCL_API kcl_expr *kcl_or(kcl_expr *f, kcl_expr *g);
KCL_API kcl_expr *kcl_not(kcl_expr *f);

/*
 * f where the condition is true, else g: for comparisons, kcl_and and the like. As there, 0 is false, and all other
 * numbers and NaN are true. What is not taken has no part in the value and in derivatives of any order, even where it is
 * infinite or NaN; the condition has no derivative. A mask is one line: attention to the columns up to the row's own is
 *
 *     kcl_expr *causal = kcl_where(kcl_less_equal(kcl_index_j(s), kcl_index_i(s)), score, kcl_constant(s, -INFINITY));
 *     kcl_expr *attention = kcl_reduce_sumsoftmaxweight(causal, value, KCL_OVER_J);
 */
KCL_API kcl_expr *kcl_where(kcl_expr *condition, kcl_expr *f, kcl_expr *g);

/* f where condition >= 0, else g, which NaN chooses too: by the sign of a number. Comparisons, 0 or 1, are for kcl_where. */
KCL_API kcl_expr *kcl_ifelse(kcl_expr *condition, kcl_expr *f, kcl_expr *g);

/* ---- The vector of components ------------------------------------------------------------------------------------ */

KCL_API kcl_expr *kcl_sum_inner(kcl_expr *f);           /* sum of the components, dimension 1 (KeOps: Sum) */
KCL_API kcl_expr *kcl_repeat(kcl_expr *f, int dim);     /* a number repeated `dim` times (KeOps: SumT) */
KCL_API kcl_expr *kcl_dot(kcl_expr *f, kcl_expr *g);    /* scalar product (KeOps: f|g) */
KCL_API kcl_expr *kcl_sqnorm2(kcl_expr *f);             /* squared Euclidean norm */
KCL_API kcl_expr *kcl_norm2(kcl_expr *f);               /* Euclidean norm; derivative 0 at 0 */
KCL_API kcl_expr *kcl_sqdist(kcl_expr *f, kcl_expr *g); /* |f - g|^2, from differences */
KCL_API kcl_expr *kcl_normalize(kcl_expr *f);           /* f / |f|, and 0 at f = 0 */

/* s |f|^2, the sum of s_k f_k^2, or f^T S f, for s of dimension 1, D or D*D (row-major; it need not be symmetric). */
KCL_API kcl_expr *kcl_weightedsqnorm(kcl_expr *f, kcl_expr *s);
KCL_API kcl_expr *kcl_weightedsqdist(kcl_expr *f, kcl_expr *g, kcl_expr *s); /* kcl_weightedsqnorm of f - g */

/* The largest and smallest component, NaN only where all are NaN; and its number, the first of equal ones. */
KCL_API kcl_expr *kcl_max_inner(kcl_expr *f);
KCL_API kcl_expr *kcl_min_inner(kcl_expr *f);
KCL_API kcl_expr *kcl_argmax_inner(kcl_expr *f); /* a real number; derivative 0; D where all are NaN */
KCL_API kcl_expr *kcl_argmin_inner(kcl_expr *f);

KCL_API kcl_expr *kcl_one_hot(kcl_expr *f, int dim); /* 1 at component round(f), 0 elsewhere, also where there is none */
/*
 * Soft dynamic time warping (Cuturi and Blondel, Soft-DTW, 2017) of the sequences x and y, whose numbers are the components,
 * with the costs (x_a - y_b)^2: R(a,b) = cost(a,b) - gamma log(exp(-R(a-1,b-1)/gamma) + exp(-R(a-1,b)/gamma) +
 * exp(-R(a,b-1)/gamma)), the first row and column being sums; the last R is the result. gamma, dimension 1, is positive.
 * First derivatives in all three, not of second order (KCL_ERROR_DERIVATIVE). The gradient keeps as many numbers as the
 * sequences have pairs, for each lane of a device: KCL_ERROR_UNSUPPORTED at evaluation where its memory has no room.
 */
KCL_API kcl_expr *kcl_softdtw_sqdist(kcl_expr *x, kcl_expr *y, kcl_expr *gamma);

/*
 * The B-splines of a degree (0 or more) with the K knots t, at x (dimension 1), K - degree - 1 of them: polynomials between
 * knots, by the recursion of Cox and de Boor. Knots do not fall; equal ones are allowed, and splines at a knot are those
 * of the interval behind it. All are 0 outside of the knots, at the last one too. Derivatives in x and t of any order,
 * which at knots are those of the interval behind. KCL_ERROR_SHAPE where K < degree + 2.
 */
KCL_API kcl_expr *kcl_bspline(kcl_expr *t, kcl_expr *x, int degree);

KCL_API kcl_expr *kcl_elem(kcl_expr *f, int index);     /* component `index`; -1 is the last, -D the first */
KCL_API kcl_expr *kcl_extract(kcl_expr *f, int start, int length); /* components start to start+length-1 */
KCL_API kcl_expr *kcl_concat(kcl_expr *f, kcl_expr *g);            /* the components of f, then those of g */
KCL_API kcl_expr *kcl_concatenate(int count, kcl_expr *const *f);  /* of f[0], then f[1], ..., f[count - 1] */

/* For `stop` of kcl_slice: as far as there are components. */
#define KCL_REST INT32_MAX

/*
 * Components start, start + step, ... before `stop`; from -D to -1 they count from the end. `step` is not 0; a negative
 * one goes backwards. As in Python, but that bounds beyond the vector, and slices without components, are errors.
 */
KCL_API kcl_expr *kcl_slice(kcl_expr *f, int start, int stop, int step);

/* ---- Components as small tensors --------------------------------------------------------------------------------- */

/*
 * The D components may be seen as a tensor of shape (D1, ..., Dk), row-major, with up to KCL_MAX_INNER axes. Elementwise
 * operations of such tensors, and of vectors, which have the shape (D), broadcast as in NumPy: axes count from the last
 * one, an axis of size 1 or one that is not there is repeated. Sums over i and j, kcl_transpose and kcl_jvp keep the
 * shape; outputs are flat, and what is not said here takes all D components as one vector.
 */
#define KCL_MAX_INNER 8

KCL_API kcl_expr *kcl_reshape_inner(kcl_expr *f, int rank, const int *sizes); /* D1 * ... * Dk must be D */

/* Axis k of the result is axis axes[k] of f; negative axes count from the end. */
KCL_API kcl_expr *kcl_permute_inner(kcl_expr *f, const int *axes);
KCL_API kcl_expr *kcl_transpose_inner(kcl_expr *f); /* the last two axes exchanged */

KCL_API kcl_expr *kcl_sum_inner_axis(kcl_expr *f, int axis);
KCL_API kcl_expr *kcl_slice_inner(kcl_expr *f, int axis, int start, int stop, int step); /* as kcl_slice */

/*
 * Determinant, inverse and trace of a square matrix: an inner shape (n, n), or a vector of n * n components, row-major.
 * By cofactors, n from 1 to 4 (of the trace: any); derivatives to any order. The inverse of a singular matrix is what
 * dividing by 0 gives: infinities and NaN. KCL_ERROR_SHAPE for what is no such matrix.
 */
KCL_API kcl_expr *kcl_det_inner(kcl_expr *A);
KCL_API kcl_expr *kcl_inv_inner(kcl_expr *A);
KCL_API kcl_expr *kcl_trace_inner(kcl_expr *A);

/* The matrix product of the last two axes, as NumPy's matmul: vectors are rows or columns, further axes broadcast. */
KCL_API kcl_expr *kcl_matmul_inner(kcl_expr *f, kcl_expr *g);

/*
 * The product of f and g summed over pairs of axes, axes_f[k] with axes_g[k]: the axes of f that are left, then those of
 * g. Together with kcl_permute_inner this is KeOps' TensorDot.
 */
KCL_API kcl_expr *kcl_tensordot(kcl_expr *f, kcl_expr *g, int count, const int *axes_f, const int *axes_g);

KCL_API kcl_expr *kcl_kron(kcl_expr *f, kcl_expr *g); /* as NumPy's kron; as many axes each */

/* KeOps' products of flat vectors: matrices are row-major, sizes follow from the dimensions. */
KCL_API kcl_expr *kcl_matvecmult(kcl_expr *A, kcl_expr *v); /* A of a*b components, v of b: the a components of A v */
KCL_API kcl_expr *kcl_vecmatmult(kcl_expr *v, kcl_expr *A); /* v of a, A of a*b components: the b components of v A */
KCL_API kcl_expr *kcl_tensorprod(kcl_expr *f, kcl_expr *g); /* f_k g_l at component k * (dimension of g) + l */

/* Writes the inner shape, (D) for a vector, and returns the number of axes; 0 for an error expression. */
KCL_API int kcl_expr_inner_shape(const kcl_expr *expr, int shape[KCL_MAX_INNER]);

/* ---- Complex numbers --------------------------------------------------------------------------------------------- */

/*
 * A vector of 2n components may be taken as n complex numbers: re, im, re, im, ... Operands of two have as many numbers,
 * or one of them has one, which is repeated; an odd dimension is an error (KCL_ERROR_SHAPE). Everything is computed with
 * real numbers: sums (kcl_neg, kcl_reduce_sum, ...) are those of the pairs, and gradients take C as R^2, so that of a
 * real number by z has the derivatives by re and im as its pair, and variables that are real have real gradients.
 */
KCL_API kcl_expr *kcl_real2complex(kcl_expr *f); /* f + 0i, of 2D components */
KCL_API kcl_expr *kcl_imag2complex(kcl_expr *f); /* 0 + fi */
KCL_API kcl_expr *kcl_exp1j(kcl_expr *f);        /* e^(if) = cos f + i sin f, for real f */

KCL_API kcl_expr *kcl_real(kcl_expr *f);               /* the real parts, n components */
KCL_API kcl_expr *kcl_imag(kcl_expr *f);               /* the imaginary parts */
KCL_API kcl_expr *kcl_conj(kcl_expr *f);               /* re - i im */
KCL_API kcl_expr *kcl_complex_abs(kcl_expr *f);        /* |f|, from squares; its derivative at 0 is taken as 0 */
KCL_API kcl_expr *kcl_complex_square_abs(kcl_expr *f); /* |f|^2 */
KCL_API kcl_expr *kcl_complex_arg(kcl_expr *f);        /* the angle, from -pi to pi; derivative 0 at 0 (KeOps: angle) */

KCL_API kcl_expr *kcl_complex_add(kcl_expr *f, kcl_expr *g);
KCL_API kcl_expr *kcl_complex_sub(kcl_expr *f, kcl_expr *g);
KCL_API kcl_expr *kcl_complex_mul(kcl_expr *f, kcl_expr *g);
KCL_API kcl_expr *kcl_complex_div(kcl_expr *f, kcl_expr *g);   /* f conj(g) / |g|^2: |g|^2 must be in range */
KCL_API kcl_expr *kcl_complex_scale(kcl_expr *s, kcl_expr *f); /* a real number s, of dimension 1, times each */
KCL_API kcl_expr *kcl_complex_exp(kcl_expr *f);                /* e^re (cos im + i sin im) */

KCL_API kcl_expr *kcl_complex_sum(kcl_expr *f);               /* of the n numbers: one, of 2 components */
KCL_API kcl_expr *kcl_complex_repeat(kcl_expr *f, int count); /* one number repeated: `count` numbers */

/* ---- Products with vectors --------------------------------------------------------------------------------------- */

/*
 * K v: the sum over j of K_ij v_j, for K of dimension 1 and v of any number of components (columns), without the axis i.
 * The product with the transposed matrix is kcl_matmul(kcl_transpose(K), v). Lazy, as every reduction.
 */
KCL_API kcl_expr *kcl_matmul(kcl_expr *K, kcl_expr *v);
KCL_API kcl_expr *kcl_matvec(kcl_expr *K, kcl_expr *v);  /* the same for v of dimension 1 */
KCL_API kcl_expr *kcl_rmatvec(kcl_expr *K, kcl_expr *v); /* sum over i of K_ij v_i, v of dimension 1 without the axis j */

/* ---- Roles ------------------------------------------------------------------------------------------------------- */

/* The same values with the axes i and j exchanged: an i-expression used as a j-expression, and the reverse. */
KCL_API kcl_expr *kcl_transpose(kcl_expr *f);

/* ---- Rows chosen by an index ------------------------------------------------------------------------------------- */

/*
 * Row number `index` of `table`, an expression of i or of j, and 0 where there is no such row. The index is an expression
 * of i, of j or of parameters, and its axis is that of the result; on the table's own axis it has as many rows. It is one
 * of these: a variable of an array of int64, which nothing else takes as an operand (KCL_ERROR_TYPE); a reduction that gives
 * indices, such as kcl_reduce_argmin; a formula, which is rounded to the nearest integer, half away from zero, and in float32
 * exact up to 2^24. NaN is no row. An index of k components gives k D components: number q of component c of the table is
 * component q D + c. Batch axes are broadcast: result[b, r] = table[b, index[b, r]], where a table or an index without
 * an axis is the same for all batches along it; numbers are those of the rows of a batch.
 *
 * Derivatives in the table to any order, by sums of the rows that have the same index; in the index 0. KCL_ERROR_SHAPE
 * where the table has no rows, the index both axes, or batch axes do not fit.
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

/* The sum divided by the number of its terms, which is read when it is evaluated: NaN where there are none. */
KCL_API kcl_expr *kcl_reduce_mean(kcl_expr *f, kcl_axes over);

/*
 * For each component of f, log of the sum of exp(f) over the axes; whatever the size of f, nothing overflows. Otherwise
 * as kcl_reduce_sum, derivatives to any order included. NaN where a term is NaN; else infinity where a term is; -infinity
 * where all are, or where there are no terms. A term that is -infinity is masked, here and in the two reductions below: it
 * has no part in the value and in derivatives of any order, whatever infinities and NaN it is made of or weighs.
 */
KCL_API kcl_expr *kcl_reduce_logsumexp(kcl_expr *f, kcl_axes over);

/*
 * For each component of `weight`, log of the sum of exp(f) * weight, for f of dimension 1: as accurate as that sum at any
 * offset of f, derivatives to any order included. NaN where the sum is negative, -infinity where it is 0.
 */
KCL_API kcl_expr *kcl_reduce_logsumexp_weight(kcl_expr *f, kcl_expr *weight, kcl_axes over);

/*
 * For each component of `weight`, its mean with the weights exp(f) / (sum of exp(f)), for f of dimension 1: softmax, or
 * attention. Derivatives to any order. NaN where all f are -infinity, where one is infinity, and without terms.
 */
KCL_API kcl_expr *kcl_reduce_sumsoftmaxweight(kcl_expr *f, kcl_expr *weight, kcl_axes over);

/*
 * For each component of f, the smallest or the largest value over the axes. NaN is never chosen; +infinity (of max:
 * -infinity) where there is nothing else. An f with none of the axes is the result itself.
 *
 * Derivatives, to any order, are those of the term that was chosen: of equal ones the one with the smallest index, and
 * 0 where there is none. They are computed from the index, in time and memory of rows and columns rather than of pairs,
 * of each batch; the index is found in the sweep that finds the values.
 */
KCL_API kcl_expr *kcl_reduce_min(kcl_expr *f, kcl_axes over);
KCL_API kcl_expr *kcl_reduce_max(kcl_expr *f, kcl_axes over);

/*
 * For each component of f, the index of the smallest or largest value over the axes: a column j where j is reduced, a row
 * i where i is, i N + j of the pair where both are and there are N columns. Of equal values the smallest index is the
 * result. NaN is never chosen, infinities are ordinary values; the index is -1 where there is nothing to choose from. An
 * error where f has none of the axes.
 *
 * Evaluated on its own, the result is an array of int64. In further formulas it is a real number of the arrays' type, in
 * float32 exact up to 2^24, and a constant: its derivative is 0. The gradient of an index itself is an error.
 */
KCL_API kcl_expr *kcl_reduce_argmin(kcl_expr *f, kcl_axes over);
KCL_API kcl_expr *kcl_reduce_argmax(kcl_expr *f, kcl_axes over);

/* Value and index: returns kcl_reduce_min and sets *index, unless that is NULL, to kcl_reduce_argmin. One sweep. */
KCL_API kcl_expr *kcl_reduce_min_argmin(kcl_expr *f, kcl_axes over, kcl_expr **index);
KCL_API kcl_expr *kcl_reduce_max_argmax(kcl_expr *f, kcl_axes over, kcl_expr **index);

/*
 * For each component of f, the k smallest values over the axes, the smallest first, or the k largest, the largest first;
 * and their indices. The result has k D components: number q of component c is component q D + c, so a (M, k) array takes
 * it where D is 1. Equal values are in the order of their indices. Where there are fewer than k, the values are +infinity
 * (of kmax: -infinity) and the indices -1. Otherwise, derivatives too, as kcl_reduce_min and kcl_reduce_argmin. An error where k is less
 * than 1, or where f has none of the axes.
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
 * Reductions over one batch axis, which has size 1 in the result; otherwise as kcl_reduce_sum and its like, derivatives
 * included. `axis` counts the axes that kcl_expr_shape tells, from 0, or backwards from -1, the last batch axis; so an axis has
 * the same number before and after others were reduced.
 * KCL_ERROR_ARGUMENT where the axis is not there. A formula that depends on both i and j must be reduced over one of
 * them as well: by the call before or after.
 *
 * A reduction over several axes is a chain of calls of one kind, computed in one pass (means in several, rows first).
 * The chain of indices, kcl_reduce_argmin_batch(kcl_reduce_argmin(f, over), axis), in any order, gives the index of the
 * smallest value along all its axes; the chain of K-mins the K smallest values along all, and K must be the same in all
 * calls (KCL_ERROR_ARGUMENT). A logsumexp of kcl_reduce_logsumexp_weight is the logarithm of the whole weighted sum, and
 * kcl_reduce_sumsoftmaxweight_batch(kcl_reduce_logsumexp(f, over), kcl_reduce_sumsoftmaxweight(f, weight, over), axis)
 * is the mean along all axes. After another kind it is a reduction of the results:
 * kcl_reduce_argmin_batch(kcl_reduce_min(f, over), axis) is the batch in which the smallest value is.
 *
 * An index is that of the value in the reduced axes flattened, row-major as in NumPy: batch axes, then i, then j. With
 * batch axes of sizes B0 and B1 and N columns, b, c and j reduced: (b B1 + c) N + j. It is exact in int64; on devices
 * up to 2^48 where the arrays are float32. An axis of size 1 is an axis all the same: the index is 0, or -1 where the
 * value is NaN.
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

/* ---- Derivatives ------------------------------------------------------------------------------------------------- */

/*
 * Derivatives are taken by a variable (made by kcl_vi, kcl_vj, kcl_pm, kcl_lazy, kcl_scalar or kcl_var) or at an expression:
 * v = q for any q that was made of variables, has the axis i or j or neither, and stands in f. There q counts as
 * independent: what f has beside it, even of the variables that q is made of, stays as it is. All places where q stands
 * count, and those where its transpose does; q is the expression that f was built from, another one of the same value is
 * not found. So steps of a Hamiltonian system are unrolled, q1 = q0 + dt dH/dp(q0, p0), and H(q1, p1) is derived at q1
 * again. An f in which q does not stand has derivative 0. KCL_ERROR_SHAPE for a q that depends on both i and j,
 * KCL_ERROR_DERIVATIVE for an index.
 */

/*
 * Gradient of `f`, which must be one number (no axis, no batches, dimension 1), in `v`: an expression of v's role,
 * dimension and batch axes, 0 where f does not depend on v. Batch axes that v lacks are summed over. All roles of v's
 * data handle count. Reverse mode, through reductions, to any order.
 */
KCL_API kcl_expr *kcl_grad(kcl_expr *f, kcl_expr *v);

/*
 * Vector-Jacobian product: the gradient of the sum over all components and rows of f * e. `e` has f's dimension or 1,
 * and no axis that f lacks.
 */
KCL_API kcl_expr *kcl_vjp(kcl_expr *f, kcl_expr *v, kcl_expr *e);

/*
 * Jacobian-vector product: the derivative of `f` when `v`, in all roles of its data handle, moves in the direction `u`: f's
 * axes and dimension, 0 where f does not depend on v. `u` has v's dimension or 1, and no axis that v lacks. Forward mode,
 * through reductions, to any order; of kcl_grad and kcl_vjp too. An index is a constant in formulas; the derivative of an
 * index itself is an error.
 */
KCL_API kcl_expr *kcl_jvp(kcl_expr *f, kcl_expr *v, kcl_expr *u);

/*
 * The Hessian of the number `f` in `v`, times the direction `u`: the derivative of kcl_grad(f, v) in the direction u, of
 * v's role and dimension. Between two variables: kcl_jvp(kcl_grad(f, v), w, u).
 */
KCL_API kcl_expr *kcl_hvp(kcl_expr *f, kcl_expr *v, kcl_expr *u);

/*
 * The same in `count` variables or at expressions, 1 or more, at once: in one pass over f, whose results share what they have
 * in common when they are evaluated together. kcl_grad_many and kcl_vjp_many set gradients[k], products[k] to the derivative
 * in v[k]. kcl_jvp_many is the derivative when every v[k] moves in its direction u[k]; kcl_hvp_many sets products[k] to row k of
 * the Hessian in all v, times u: the sum over l of d^2 f/dv_k dv_l u_l. Where one fails, all results are the error
 * expression, whose status is returned; KCL_ERROR_ARGUMENT where the list of results is NULL.
 */
KCL_API kcl_status kcl_grad_many(kcl_expr *f, int count, kcl_expr *const *v, kcl_expr **gradients);
KCL_API kcl_status kcl_vjp_many(kcl_expr *f, kcl_expr *e, int count, kcl_expr *const *v, kcl_expr **products);
KCL_API kcl_expr *kcl_jvp_many(kcl_expr *f, int count, kcl_expr *const *v, kcl_expr *const *u);
KCL_API kcl_status kcl_hvp_many(kcl_expr *f, int count, kcl_expr *const *v, kcl_expr *const *u, kcl_expr **products);

/*
 * The matrix df/dv for each i and j: D rows of as many numbers as v has components, row-major, row k the gradient of
 * component k of `f` (reshape it with kcl_reshape_inner). Unlike kcl_vjp these sum over no rows, and `v` counts as it is,
 * not in other roles of its handle. A reduction in `f` must leave v's rows apart: over j where v is an i-variable, or any
 * where it is a parameter; else KCL_ERROR_DERIVATIVE. At most 4096 components of f or of v are derived one by one.
 */
KCL_API kcl_expr *kcl_grad_matrix(kcl_expr *f, kcl_expr *v);

/* The trace of that matrix, for f and v of one dimension: the sum of df_k/dv_k. 0 where f does not depend on v. */
KCL_API kcl_expr *kcl_divergence(kcl_expr *f, kcl_expr *v);

/* The sum of the second derivatives d^2 f/dv_k^2, for f of dimension 1. */
KCL_API kcl_expr *kcl_laplacian(kcl_expr *f, kcl_expr *v);

/*
 * The trace of the matrix of an `f` that is linear in v, which is not in the result: the same as its divergence, with
 * KCL_ERROR_DERIVATIVE where f is seen not to be linear. An f of dimension 1 counts as repeated: the sum of its row.
 */
KCL_API kcl_expr *kcl_trace_operator(kcl_expr *f, kcl_expr *v);

/* ---- Evaluation -------------------------------------------------------------------------------------------------- */

/*
 * Computes `count` expressions, in one go: reductions that can share a sweep do. outs[k] receives exprs[k]: shape (M, D)
 * for an i-expression, (N, D) for a j-expression, (D) for one without axes, each with the expression's batch axes in
 * front (kcl_expr_shape); axes of size 1 may be added or left out anywhere. An expression that depends on both i and j
 * must be reduced first.
 *
 * All arrays have one number type, but for indices (kcl_reduce_argmin and its like), whose arrays are int64.
 *
 * An output may be the array of an input as a whole (the same first element, number type, sizes and strides, where axes of
 * size 1 do not count and axes that follow each other without gaps may be one): x becomes sum_j K(x_i, y_j) b_j in place.
 * Every output is computed from the inputs as they were when the call began; it costs a copy of that output.
 * Refused with KCL_ERROR_ARGUMENT, before anything is written: any other output that has elements in the memory of those
 * of an input or of another output, and an output with two elements in one place (a stride of 0). Arrays whose elements
 * lie between each other, as the columns of a matrix do, do not overlap. Only for arrays of several axes that are not
 * nested in each other, with strides so odd that some thousand steps do not tell, is an overlap taken for granted.
 *
 * On failure the contents of the outputs are not specified. Where all outputs are device arrays the call need not wait for
 * them: see keopscl/memory.h.
 */
KCL_API kcl_status kcl_eval(int count, kcl_expr *const *exprs, const kcl_array *const *outs);

/*
 * kcl_eval with an epilogue: outs[k] becomes alpha[k] * exprs[k] + beta[k] * outs[k], with the conventions of BLAS. It is
 * part of the sweep that computes the result: no pass of its own, no temporary. Gradients are added up that way.
 * alpha: NULL for all 1; beta: NULL for all 0. Where beta[k] is 0 the array is not read, where alpha[k] is 0 the result is
 * not: NaN and infinity in it are lost, and no pair is gone through for a sweep whose results are all lost. Both are
 * rounded to the arrays' type and are numbers of the call: other ones compile nothing, all share one kernel, beside that of
 * kcl_eval. Results that are indices have alpha 1 and beta 0, else KCL_ERROR_TYPE. An output that is an input's array is
 * added to as it was when the call began. After an error of the device outputs may be partly added to.
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

/* ---- Looking at expressions -------------------------------------------------------------------------------------- */

/* KCL_OK, or why this expression is the error expression. NULL: KCL_ERROR_ARGUMENT. */
KCL_API kcl_status kcl_expr_status(const kcl_expr *expr);

/* The sentence that belongs to kcl_expr_status, "" for KCL_OK. Owned by the scope. */
KCL_API const char *kcl_expr_error(const kcl_expr *expr);

/* Dimension D of the vector of components; 0 for an error expression. */
KCL_API int kcl_expr_dim(const kcl_expr *expr);

/* The axes that the expression has: a set of kcl_axes bits, 0 for a parameter expression or an error. */
KCL_API int kcl_expr_axes(const kcl_expr *expr);

/*
 * The shape (batch axes..., M, N, D) of the values that the expression stands for, with 1 for what it lacks; returns the
 * number of axes, 3 or more. It has as many batch axes as that operand which has most: an array's are those from its first one
 * that is not of size 1, a reduced batch axis stays with the size 1. 0 for an error expression.
 */
KCL_API int kcl_expr_shape(const kcl_expr *expr, int64_t shape[KCL_MAX_AXES]);

/*
 * Writes the expression as a formula, variables as Var(index,dim,role). Batch axes that a reduction goes over follow the
 * number of its results, "Sum_Reduction(F,0,batch axis -1)": that is no formula that can be read back. Parts that a formula
 * shares are written out wherever they stand. KCL_ERROR_UNSUPPORTED, and nothing is written, where the text would be longer
 * than 2^24 bytes.
 */
KCL_API kcl_status kcl_expr_print(const kcl_expr *expr, kcl_write_fn write, void *user);

KCL_END

#endif
