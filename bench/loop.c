/* SPDX-License-Identifier: MIT */
/*
 * bench/loop.c: the loop that a C user would write, as the base line of bench/compare.py, which builds it with
 * gcc -O3 -march=native -ffast-math -fopenmp -DD=3: with the dimension a constant, which is the faster way to write it.
 * Row-major arrays x (m, D), y (n, D), b (n).
 */
#include <math.h>

#ifndef D
#define D 3
#endif

/* out_i = sum_j exp(-g |x_i - y_j|^2) b_j */
void gauss_sum_f32(long m, long n, float g, const float *x, const float *y, const float *b, float *out)
{
#pragma omp parallel for
    for (long i = 0; i < m; i++) {
        float sum = 0;
        for (long j = 0; j < n; j++) {
            float distance = 0;
            for (long k = 0; k < D; k++) {
                const float difference = x[i * D + k] - y[j * D + k];
                distance += difference * difference;
            }
            sum += expf(-g * distance) * b[j];
        }
        out[i] = sum;
    }
}

void gauss_sum_f64(long m, long n, double g, const double *x, const double *y, const double *b, double *out)
{
#pragma omp parallel for
    for (long i = 0; i < m; i++) {
        double sum = 0;
        for (long j = 0; j < n; j++) {
            double distance = 0;
            for (long k = 0; k < D; k++) {
                const double difference = x[i * D + k] - y[j * D + k];
                distance += difference * difference;
            }
            sum += exp(-g * distance) * b[j];
        }
        out[i] = sum;
    }
}

/* out_ik = e_i d/dx_ik sum_j exp(-g |x_i - y_j|^2) b_j; out is (m, D) */
void gauss_grad_f32(long m, long n, float g, const float *x, const float *y, const float *b, const float *e,
                    float *out)
{
#pragma omp parallel for
    for (long i = 0; i < m; i++) {
        for (long k = 0; k < D; k++) {
            out[i * D + k] = 0;
        }
        for (long j = 0; j < n; j++) {
            float distance = 0;
            for (long k = 0; k < D; k++) {
                const float difference = x[i * D + k] - y[j * D + k];
                distance += difference * difference;
            }
            const float weight = -2 * g * expf(-g * distance) * b[j] * e[i];
            for (long k = 0; k < D; k++) {
                out[i * D + k] += weight * (x[i * D + k] - y[j * D + k]);
            }
        }
    }
}
