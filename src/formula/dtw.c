/* SPDX-License-Identifier: MIT */
/* formula/dtw.c: soft dynamic time warping of two sequences of numbers, as cl/dtw.cl computes it. */
#include "numeric.h"

#include <math.h>

int64_t kf_call_memory(const kf_node *f)
{
    const int64_t n = f->arg[0]->dim, m = f->arg[1]->dim;
    return f->op == KF_SOFTDTW_GRAD ? (n + 1) * m : m;
}

/*
 * *least becomes the smallest of three numbers R, weight the exp((*least - R) / gamma). Returns the sum of the weights.
 */
static double soft_weights(double a, double b, double c, double gamma, double *least, double *weight)
{
    *least = fmin(fmin(a, b), c);
    weight[0] = exp((*least - a) / gamma);
    weight[1] = exp((*least - b) / gamma);
    weight[2] = exp((*least - c) / gamma);
    return weight[0] + weight[1] + weight[2];
}

static void fill_row(double x, const double *y, int64_t m, double gamma, const double *above, double *row)
{
    double before = 0, left = 0, least, weight[3];
    for (int64_t j = 0; j < m; j++) {
        const double d = (x - y[j]) * (x - y[j]), up = above ? above[j] : 0;
        if (!above)
            left = j ? left + d : d;
        else if (j == 0)
            left = up + d;
        else
            left = d - gamma * log(soft_weights(before, up, left, gamma, &least, weight)) + least;
        row[j] = left;
        before = up;
    }
}

double kf_soft_dtw(const double *x, int64_t n, const double *y, int64_t m, double gamma, double *memory)
{
    for (int64_t i = 0; i < n; i++)
        fill_row(x[i], y, m, gamma, i ? memory : NULL, memory);
    return memory[m - 1];
}

void kf_soft_dtw_gradient(const double *x, int64_t n, const double *y, int64_t m, double gamma, double *memory,
                          double *out)
{
    double *const share = memory + n * m, weight[3], least;
    for (int64_t i = 0; i < n; i++)
        fill_row(x[i], y, m, gamma, i ? memory + (i - 1) * m : NULL, memory + i * m);
    for (int64_t k = 0; k < n + m + 1; k++)
        out[k] = 0;
    for (int64_t j = 0; j < m; j++)
        share[j] = j == m - 1;
    for (int64_t i = n - 1; i >= 0; i--) {
        double *const row = memory + i * m, *const above = row - m;
        for (int64_t j = m - 1; j >= 0; j--) {
            const double e = share[j], d = 2 * (x[i] - y[j]) * e;
            out[i] += d;
            out[n + j] -= d;
            share[j] = i > 0 && j == 0 ? e : 0;
            if (i == 0 && j > 0)
                share[j - 1] += e;
            if (i == 0 || j == 0)
                continue;
            const double a = above[j - 1], b = above[j], c = row[j - 1];
            const double sum = soft_weights(a, b, c, gamma, &least, weight), part = e / sum;
            const double mean = weight[0] * (a - least) + weight[1] * (b - least) + weight[2] * (c - least);
            out[n + m] -= part * (sum * log(sum) + mean / gamma);
            share[j] = part * weight[1];
            share[j - 1] += part * weight[2];
            row[j] = part * weight[0]; /* for (i-1,j-1), when (i,j-1) is done */
        }
        for (int64_t j = 1; i > 0 && j < m; j++)
            share[j - 1] += row[j];
    }
}
