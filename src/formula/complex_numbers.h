/* SPDX-License-Identifier: MIT */
/* formula/complex_numbers.h: operators of complex numbers. */
#ifndef KF_COMPLEX_NUMBERS_H
#define KF_COMPLEX_NUMBERS_H

#include "graph.h"

/*
 * n complex numbers are 2n components re, im, re, im, ... The operands of an operator of two have one dimension, or one
 * operand is a single number, which is repeated. Errors: KCL_ERROR_SHAPE with the name in formula strings.
 */
const kf_node *kf_complex_of_real(kf_graph *g, const kf_node *f); /* f + 0i */
const kf_node *kf_complex_of_imag(kf_graph *g, const kf_node *f); /* 0 + fi */
const kf_node *kf_complex_real(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_imag(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_conj(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_square_abs(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_abs(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_angle(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_sum(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_sum_t(kf_graph *g, const kf_node *f, int64_t dim); /* one number repeated, dim/2 times */
const kf_node *kf_complex_add(kf_graph *g, const kf_node *f, const kf_node *h);
const kf_node *kf_complex_subtract(kf_graph *g, const kf_node *f, const kf_node *h);
const kf_node *kf_complex_mult(kf_graph *g, const kf_node *f, const kf_node *h);
const kf_node *kf_complex_divide(kf_graph *g, const kf_node *f, const kf_node *h);
const kf_node *kf_complex_real_scal(kf_graph *g, const kf_node *s, const kf_node *f); /* in either order */
const kf_node *kf_complex_exp(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_exp1j(kf_graph *g, const kf_node *f); /* e^(if) of real f */

#endif
