/* SPDX-License-Identifier: MIT */
/* tests/api/points.c: random points, and values of them. */
#include "points.h"

numbers x, y, b, p;
kcl_expr *x_i, *y_j, *b_j, *p_p;

void make_points(kcl_dtype dtype, layout how, double low, double high)
{
    numbers_make(&x, dtype, M, D, how);
    numbers_make(&y, dtype, N, D, how);
    numbers_make(&b, dtype, N, 1, how);
    numbers_make(&p, dtype, 1, D, DENSE);
    numbers_fill(&x, low, high);
    numbers_fill(&y, low, high);
    numbers_fill(&b, low, high);
    numbers_fill(&p, low, high);
    x_i = kcl_vi(s, &x.array);
    y_j = kcl_vj(s, &y.array);
    b_j = kcl_vj(s, &b.array);
    p_p = kcl_pm(s, &p.array);
}

void free_points(void)
{
    numbers_free(&x);
    numbers_free(&y);
    numbers_free(&b);
    numbers_free(&p);
}

double dot_of(int64_t i, int64_t j)
{
    return X(0) * Y(0) + X(1) * Y(1) + X(2) * Y(2);
}

double distance_of(int64_t i, int64_t j)
{
    return pow(X(0) - Y(0), 2) + pow(X(1) - Y(1), 2) + pow(X(2) - Y(2), 2);
}

void near(double got, double want, kcl_dtype dtype, const char *what)
{
    ck_assert_msg(fabs(got - want) <= (dtype == KCL_F32 ? 1e-6 : 1e-13) * (1 + fabs(want)),
                  "%s, %s: %.17g, wanted %.17g", what, kb_dtype_name(dtype), got, want);
}
