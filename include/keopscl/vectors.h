/* SPDX-License-Identifier: MIT */
/* keopscl/vectors.h: the components of an expression as a vector, a small tensor or complex numbers. */
#ifndef KEOPSCL_VECTORS_H
#define KEOPSCL_VECTORS_H

#include <keopscl/scope.h>

KCL_BEGIN

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

/* The largest and the smallest component, NaN only if all are NaN; and its number, the first of equal ones. */
KCL_API kcl_expr *kcl_max_inner(kcl_expr *f);
KCL_API kcl_expr *kcl_min_inner(kcl_expr *f);
KCL_API kcl_expr *kcl_argmax_inner(kcl_expr *f); /* a real number; derivative 0; D where all are NaN */
KCL_API kcl_expr *kcl_argmin_inner(kcl_expr *f);

KCL_API kcl_expr *kcl_one_hot(kcl_expr *f, int dim); /* 1 at component round(f), 0 elsewhere; all 0 without it */

/*
 * Soft dynamic time warping (Cuturi and Blondel, Soft-DTW, 2017) of the sequences x and y, whose numbers are the
 * components, with the costs (x_a - y_b)^2: R(a,b) = cost(a,b) - gamma log(exp(-R(a-1,b-1)/gamma) +
 * exp(-R(a-1,b)/gamma) + exp(-R(a,b-1)/gamma)), the first row and column being sums; the last R is the result. gamma,
 * dimension 1, is positive. First derivatives in all three, none of second order (KCL_ERROR_DERIVATIVE). The gradient
 * keeps as many numbers as the sequences have pairs, for each lane of a device: KCL_ERROR_UNSUPPORTED at evaluation if
 * the device's memory has no room.
 */
KCL_API kcl_expr *kcl_softdtw_sqdist(kcl_expr *x, kcl_expr *y, kcl_expr *gamma);

/*
 * The B-splines of a degree (0 or more) with the K knots t, at x (dimension 1), K - degree - 1 of them: polynomials
 * between knots, by the recursion of Cox and de Boor. Knots do not fall; equal knots are allowed, and at a knot the
 * splines have the values of the interval behind the knot. All splines are 0 outside of the knots, at the last knot
 * too. Derivatives in x and t of any order; at a knot they are the derivatives in the interval behind the knot.
 * KCL_ERROR_SHAPE if K < degree + 2.
 */
KCL_API kcl_expr *kcl_bspline(kcl_expr *t, kcl_expr *x, int degree);

KCL_API kcl_expr *kcl_elem(kcl_expr *f, int index);                /* component `index`; -1 is the last, -D the first */
KCL_API kcl_expr *kcl_extract(kcl_expr *f, int start, int length); /* components start to start+length-1 */
KCL_API kcl_expr *kcl_concat(kcl_expr *f, kcl_expr *g);            /* the components of f, then those of g */
KCL_API kcl_expr *kcl_concatenate(int count, kcl_expr *const *f);  /* of f[0], then f[1], ..., f[count - 1] */

/* For `stop` of kcl_slice: as far as there are components. */
#define KCL_REST INT32_MAX

/*
 * Components start, start + step, ... before `stop`; bounds from -D to -1 count from the end. `step` is not 0; a
 * negative step goes backwards. As in Python, except that bounds beyond the vector, and slices without components, are
 * errors.
 */
KCL_API kcl_expr *kcl_slice(kcl_expr *f, int start, int stop, int step);

/* ---- Components as small tensors --------------------------------------------------------------------------------- */

/*
 * The D components may be seen as a tensor of shape (D1, ..., Dk), row-major, with up to KCL_MAX_INNER axes.
 * Elementwise operations of such tensors, and of vectors, which have the shape (D), broadcast as in NumPy: axes count
 * from the last axis; an axis of size 1, or an axis that a shape lacks, is repeated. Sums over i and j, kcl_transpose
 * and kcl_jvp keep the shape. Outputs are flat, and every function that is not named here takes all D components as one
 * vector.
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
 * By cofactors, n from 1 to 4 (of the trace: any); derivatives to any order. The inverse of a singular matrix has
 * infinities and NaN, as a division by 0 has. KCL_ERROR_SHAPE for an operand that is no such matrix.
 */
KCL_API kcl_expr *kcl_det_inner(kcl_expr *A);
KCL_API kcl_expr *kcl_inv_inner(kcl_expr *A);
KCL_API kcl_expr *kcl_trace_inner(kcl_expr *A);

/* The matrix product of the last two axes, as NumPy's matmul: vectors are rows or columns, further axes broadcast. */
KCL_API kcl_expr *kcl_matmul_inner(kcl_expr *f, kcl_expr *g);

/*
 * The product of f and g summed over pairs of axes, axes_f[k] with axes_g[k]: the axes of f that are left, then the
 * axes of g that are left. Together with kcl_permute_inner this is KeOps' TensorDot.
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
 * A vector of 2n components may be taken as n complex numbers: re, im, re, im, ... Operands of two have as many
 * numbers, or one of them has one, which is repeated; an odd dimension is an error (KCL_ERROR_SHAPE). Everything is
 * computed with real numbers: kcl_neg, kcl_reduce_sum and other sums are sums of pairs. Gradients take C as R^2, so the
 * gradient of a real number in z has the derivatives in re and im as its pair, and real variables have real gradients.
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

KCL_END

#endif
