/* SPDX-License-Identifier: MIT */
/* tests/api/points.h: random points x_i and y_j, weights b_j and a parameter p, in any type and layout. */
#ifndef POINTS_H
#define POINTS_H

#include "fixture.h"

enum { M = 5, N = 4, D = 3 };

extern numbers x, y, b, p;
extern kcl_expr *x_i, *y_j, *b_j, *p_p;

void make_points(kcl_dtype dtype, layout how, double low, double high);
void free_points(void);

#define X(k) (*numbers_exact(&x, i, (k)))
#define Y(k) (*numbers_exact(&y, j, (k)))
#define B (*numbers_exact(&b, j, 0))
#define P(k) (*numbers_exact(&p, 0, (k)))

double dot_of(int64_t i, int64_t j);
double distance_of(int64_t i, int64_t j);

void near(double got, double want, kcl_dtype dtype, const char *what);

/* Sums `expr` over j, over i and over both, and compares with loops over `value`, a formula in i, j and component k. */
#define CHECK_SUMS(dim, expr, value)                                                                                   \
    do {                                                                                                               \
        kcl_expr *e_ = (expr);                                                                                         \
        numbers over_j, over_i, both;                                                                                  \
        ck_assert_msg(kcl_expr_status(e_) == KCL_OK, "%s: %s", #expr, kcl_expr_error(e_));                             \
        ck_assert_int_eq(kcl_expr_dim(e_), dim);                                                                       \
        ck_assert_int_eq(kcl_expr_axes(e_), KCL_OVER_BOTH);                                                            \
        numbers_make(&over_j, dtype, M, dim, how);                                                                     \
        numbers_make(&over_i, dtype, N, dim, how);                                                                     \
        numbers_make(&both, dtype, 1, dim, how);                                                                       \
        ck_assert_msg(kcl_sum(e_, KCL_OVER_J, &over_j.array) == KCL_OK, "%s", kcl_context_error(c));                   \
        ck_assert_msg(kcl_sum(e_, KCL_OVER_I, &over_i.array) == KCL_OK, "%s", kcl_context_error(c));                   \
        ck_assert_msg(kcl_sum(e_, KCL_OVER_BOTH, &both.array) == KCL_OK, "%s", kcl_context_error(c));                  \
        for (int k = 0; k < dim; k++) {                                                                                \
            double rows[M] = {0}, cols[N] = {0}, all = 0;                                                              \
            for (int64_t i = 0; i < M; i++) {                                                                          \
                for (int64_t j = 0; j < N; j++) {                                                                      \
                    double v_ = (value);                                                                               \
                    rows[i] += v_;                                                                                     \
                    cols[j] += v_;                                                                                     \
                    all += v_;                                                                                         \
                }                                                                                                      \
            }                                                                                                          \
            for (int64_t i = 0; i < M; i++)                                                                            \
                near(numbers_get(&over_j, i, k), rows[i], dtype, #expr " over j");                                     \
            for (int64_t j = 0; j < N; j++)                                                                            \
                near(numbers_get(&over_i, j, k), cols[j], dtype, #expr " over i");                                     \
            near(numbers_get(&both, 0, k), all, dtype, #expr " over both");                                            \
        }                                                                                                              \
        numbers_check_gaps(&over_j);                                                                                   \
        numbers_check_gaps(&over_i);                                                                                   \
        numbers_free(&over_j);                                                                                         \
        numbers_free(&over_i);                                                                                         \
        numbers_free(&both);                                                                                           \
    } while (0)

#endif
