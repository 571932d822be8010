/* SPDX-License-Identifier: MIT */
/* tests/api/plain.c: random points as plain arrays of doubles. */
#include "plain.h"

double x[M][D], y[N][D], w[N], p[D];
kcl_expr *x_i, *y_j, *w_j, *p_p;

void setup_points(void)
{
    setup();
    for (int k = 0; k < D; k++) {
        for (int i = 0; i < M; i++)
            x[i][k] = uniform(-2, 2);
        for (int j = 0; j < N; j++)
            y[j][k] = uniform(-2, 2);
        p[k] = uniform(-2, 2);
    }
    for (int j = 0; j < N; j++)
        w[j] = uniform(0.5, 2);
    x_i = kcl_vi(s, kcl_f64(&x[0][0], M, D));
    y_j = kcl_vj(s, kcl_f64(&y[0][0], N, D));
    w_j = kcl_vj(s, kcl_f64(w, N));
    p_p = kcl_pm(s, kcl_f64(p, D));
}

void is_near(double got, double want, const char *what)
{
    ck_assert_msg(fabs(got - want) <= 1e-13 * (1 + fabs(want)), "%s: %.17g, wanted %.17g", what, got, want);
}

double clamped(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

double kernel(int i, int j)
{
    double sum = 0;
    for (int k = 0; k < D; k++)
        sum += (x[i][k] - y[j][k]) * (x[i][k] - y[j][k]);
    return exp(-sum);
}
