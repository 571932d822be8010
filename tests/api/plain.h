/* SPDX-License-Identifier: MIT */
/* tests/api/plain.h: random points x_i and y_j, weights w_j and a parameter p as plain arrays of doubles. */
#ifndef PLAIN_H
#define PLAIN_H

#include "fixture.h"

enum { M = 5, N = 4, D = 3 };

extern double x[M][D], y[N][D], w[N], p[D];
extern kcl_expr *x_i, *y_j, *w_j, *p_p;

void setup_points(void); /* setup of the suites, with points */

double clamped(double v, double low, double high);
double kernel(int i, int j); /* exp(-|x_i - y_j|^2) */

void is_near(double got, double want, const char *what);

/* Sums w_j times `expr` over j and compares with a loop over `value`, a formula in i, j and component k. */
#define CHECK(dim, expr, value)                                                                                        \
    do {                                                                                                               \
        kcl_expr *e_ = (expr);                                                                                         \
        double got_[M][dim];                                                                                           \
        ck_assert_msg(kcl_expr_status(e_) == KCL_OK, "%s: %s", #expr, kcl_expr_error(e_));                             \
        ck_assert_int_eq(kcl_expr_dim(e_), dim);                                                                       \
        eval_ok(kcl_reduce_sum(kcl_mul(kcl_add(kcl_mul(kcl_zero(s, 1), kcl_elem(x_i, 0)), w_j), e_), KCL_OVER_J),      \
                kcl_f64(&got_[0][0], M, dim));                                                                         \
        for (int i = 0; i < M; i++)                                                                                    \
            for (int k = 0; k < dim; k++) {                                                                            \
                double sum_ = 0;                                                                                       \
                for (int j = 0; j < N; j++)                                                                            \
                    sum_ += w[j] * (value);                                                                            \
                is_near(got_[i][k], sum_, #expr);                                                                      \
            }                                                                                                          \
    } while (0)

#endif
