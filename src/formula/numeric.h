/* SPDX-License-Identifier: MIT */
/* formula/numeric.h: functions of numbers that the interpreter and constant folding need. */
#ifndef KF_NUMERIC_H
#define KF_NUMERIC_H

#include "node.h"

double kf_powi(double base, int64_t exponent);
double kf_hypot_ratio(double a, double b);     /* a / hypot(a, b), and 0 for 0 and 0 */
double kf_inverse_hypot(double a, double b);   /* 1 / hypot(a, b), and 0 for 0 and 0 */
double kf_round(double value, int64_t digits); /* to `digits` decimals, half away from zero */
double kf_spherical(double x, int64_t n);      /* j_n(x) / x^n, j_n the spherical Bessel function: sin(x)/x for n = 0 */

/* The count of numbers in the memory that a CALL node works in. */
int64_t kf_call_memory(const kf_node *f);

/*
 * Soft dynamic time warping (Cuturi and Blondel 2017) of n numbers x and m numbers y, with the costs (x_i - y_j)^2;
 * `memory` has room for m numbers. The gradient is n + m + 1 numbers: by x, by y and by gamma; its `memory` has room
 * for (n + 1) m.
 */
double kf_soft_dtw(const double *x, int64_t n, const double *y, int64_t m, double gamma, double *memory);
void kf_soft_dtw_gradient(const double *x, int64_t n, const double *y, int64_t m, double gamma, double *memory,
                          double *out);

#endif
