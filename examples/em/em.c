/* SPDX-License-Identifier: MIT */
/*
 * A mixture of Gaussians, fitted by expectation and maximisation (EM).
 *
 *     em [POINTS [PICTURE]]     4000 points if no number is given; draws PICTURE.png (.ppm)
 *
 * With l_ij the logarithm of weight j times density j at x_i, the log-likelihood is sum_i log sum_j exp(l_ij). Point i
 * belongs to component j by the share r_ij = exp(l_ij) / sum_j exp(l_ij). The sums over i of r_ij, r_ij x_i and r_ij
 * x_i x_i^T give the next weights, means and covariances. The matrices l and r are never stored. The points are drawn
 * from a planted mixture, which must be found.
 */
#include "../common/common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program[] = "em";

enum { D = 2, K = 4, MOST_STEPS = 500 };

static const double pi = 3.14159265358979323846;

/* The parameters of a mixture, and what a step computes from the parameters. */
typedef struct mixture {
    double weight[K], mean[K][D], covariance[K][D * D];
    double inverse[K][D * D], constant[K]; /* inverse of the covariance; log of weight / (2 pi sqrt(determinant)) */
} mixture;

static const mixture planted = {
    .weight = {0.4, 0.3, 0.2, 0.1},
    .mean = {{-2, -1}, {2, -1.5}, {0.5, 2}, {-2.5, 2.5}},
    .covariance = {{1, 0.6, 0.6, 0.6}, {0.3, -0.1, -0.1, 0.8}, {1.2, -0.4, -0.4, 0.3}, {0.15, 0, 0, 0.15}}};

static void prepare(mixture *m)
{
    for (int j = 0; j < K; j++) {
        const double *S = m->covariance[j], determinant = S[0] * S[3] - S[1] * S[2];
        if (!(determinant > 0))
            fail("the covariance of component %d is singular", j);
        memcpy(m->inverse[j],
               (double[]){S[3] / determinant, -S[1] / determinant, -S[2] / determinant, S[0] / determinant},
               sizeof m->inverse[j]);
        m->constant[j] = log(m->weight[j] / (2 * pi * sqrt(determinant)));
    }
}

/* Returns the weight times the density of a component. */
static double density_at(const mixture *m, int j, const double *x)
{
    const double *P = m->inverse[j], u = x[0] - m->mean[j][0], v = x[1] - m->mean[j][1];
    return exp(m->constant[j] - (P[0] * u * u + 2 * P[1] * u * v + P[3] * v * v) / 2);
}

/* The sums of a step, in double: in the last steps the likelihood grows by little. */
typedef struct sums {
    double likelihood, share[K], first[K][D], second[K][D * D]; /* `first` and `second` are sums of x - mean */
    kcl_expr *expr[4];
} sums;

static void build(sums *s, kcl_scope *scope, int count, const double *x, mixture *m)
{
    kcl_expr *x_i = kcl_vi(scope, kcl_f64(x, count, D)), *mean = kcl_vj(scope, kcl_f64(&m->mean[0][0], K, D));
    kcl_expr *inverse = kcl_vj(scope, kcl_f64(&m->inverse[0][0], K, D * D));
    kcl_expr *constant = kcl_vj(scope, kcl_f64(m->constant, K, 1)), *half = kcl_constant(scope, 0.5);
    kcl_expr *l = kcl_sub(constant, kcl_mul(half, kcl_weightedsqdist(x_i, mean, inverse)));
    kcl_expr *density = kcl_reduce_logsumexp(l, KCL_OVER_J), *r = kcl_exp(kcl_sub(l, density));
    kcl_expr *off = kcl_sub(x_i, mean);
    s->expr[0] = kcl_reduce_sum(density, KCL_OVER_I);
    s->expr[1] = kcl_reduce_sum(r, KCL_OVER_I);
    s->expr[2] = kcl_reduce_sum(kcl_mul(r, off), KCL_OVER_I);
    s->expr[3] = kcl_reduce_sum(kcl_mul(r, kcl_tensorprod(off, off)), KCL_OVER_I);
}

static void evaluate(sums *s, const kcl_context *context)
{
    require(kcl_eval(4, s->expr,
                     (const kcl_array *[]){kcl_f64(&s->likelihood, 1), kcl_f64(s->share, K),
                                           kcl_f64(&s->first[0][0], K, D), kcl_f64(&s->second[0][0], K, D * D)}),
            context);
}

static void maximise(mixture *m, const sums *s, int count)
{
    for (int j = 0; j < K; j++) {
        m->weight[j] = s->share[j] / count;
        for (int k = 0; k < D * D; k++)
            m->covariance[j][k] =
                s->second[j][k] / s->share[j] - s->first[j][k / D] / s->share[j] * s->first[j][k % D] / s->share[j];
        for (int k = 0; k < D; k++)
            m->mean[j][k] += s->first[j][k] / s->share[j];
    }
    prepare(m);
}

/* Begins with four broad components around the mean of the points. */
static void begin(mixture *m, int count, const double *x)
{
    double mean[D] = {0}, variance = 0;
    for (int n = 0; n < count * D; n++)
        mean[n % D] += x[n] / count;
    for (int n = 0; n < count * D; n++)
        variance += (x[n] - mean[n % D]) * (x[n] - mean[n % D]) / (count * D);
    for (int j = 0; j < K; j++) {
        const double angle = 2 * pi * (j + 0.5) / K, around = sqrt(variance);
        m->weight[j] = 1.0 / K;
        m->mean[j][0] = mean[0] + around * cos(angle);
        m->mean[j][1] = mean[1] + around * sin(angle);
        memcpy(m->covariance[j], (double[]){variance, 0, 0, variance}, sizeof m->covariance[j]);
    }
    prepare(m);
}

/* Returns the log-likelihood by a loop. */
static double likelihood(int count, const double *x, const mixture *m)
{
    double sum = 0;
    for (int i = 0; i < count; i++) {
        double density = 0;
        for (int j = 0; j < K; j++)
            density += density_at(m, j, &x[D * i]);
        sum += log(density);
    }
    return sum;
}

/* Steps until the log-likelihood grows by less than 1e-10 of itself. */
static void fit(kcl_context *context, int count, const double *x, mixture *m)
{
    sums s;
    double last = -INFINITY, grown = INFINITY, first = 0;
    uint64_t programs = 0;
    int step = 0;
    kcl_scope *scope = kcl_scope_create(context);
    build(&s, scope, count, x, m);
    for (; grown > 1e-10 && step < MOST_STEPS; step++) {
        evaluate(&s, context);
        programs = step ? programs : count_programs(context);
        first = step ? first : s.likelihood;
        grown = step ? (s.likelihood - last) / fabs(last) : INFINITY;
        if (!(grown >= -1e-13)) /* the rounding of a sum */
            fail("the log-likelihood has gone from %.17g to %.17g", last, s.likelihood);
        last = s.likelihood;
        maximise(m, &s, count);
    }
    if (grown > 1e-10)
        fail("the log-likelihood still grows after %d steps", step);
    printf("converged   after %d steps, log-likelihood %.2f -> %.2f, it never fell\n", step, first, last);

    double shares = 0;
    for (int j = 0; j < K; j++)
        shares += s.share[j];
    const mixture kept = *m;
    *m = planted;
    prepare(m);
    evaluate(&s, context);
    const double looped = likelihood(count, x, m);
    *m = kept;
    printf("likelihood  of the planted mixture %.2f, by a loop the same to %.1e of it\n", s.likelihood,
           fabs(s.likelihood / looped - 1));
    print_programs(context, programs);
    kcl_scope_destroy(&scope);
    if (!(fabs(shares - count) < 1e-9 * count))
        fail("the shares of %d points are %.12g in all", count, shares);
    if (!(fabs(s.likelihood / looped - 1) < 1e-12))
        fail("the log-likelihood is not that of a loop");
    if (!(last >= s.likelihood))
        fail("the planted mixture explains the points better");
}

/* Compares the mixture with the planted mixture. */
static void check(int count, const mixture *m)
{
    double weight = 0, mean = 0, covariance = 0, scale = sqrt(4000.0 / count);
    for (int j = 0; j < K; j++) {
        int at = 0;
        for (int k = 1; k < K; k++)
            if (hypot(m->mean[k][0] - planted.mean[j][0], m->mean[k][1] - planted.mean[j][1]) <
                hypot(m->mean[at][0] - planted.mean[j][0], m->mean[at][1] - planted.mean[j][1]))
                at = k;
        weight = fmax(weight, fabs(m->weight[at] - planted.weight[j]));
        for (int k = 0; k < D; k++)
            mean = fmax(mean, fabs(m->mean[at][k] - planted.mean[j][k]));
        for (int k = 0; k < D * D; k++)
            covariance = fmax(covariance, fabs(m->covariance[at][k] - planted.covariance[j][k]));
    }
    printf("found       weights within %.2g, means within %.2g, covariances within %.2g of the planted\n", weight, mean,
           covariance);
    if (!(weight < 0.03 * scale && mean < 0.12 * scale && covariance < 0.15 * scale))
        fail("the planted mixture was not found");
}

/* Draws points in the colours of their components, mixed by shares, and the ellipses of one and two deviations. */
static bool draw(const char *name, int count, const double *x, const mixture *m)
{
    canvas c = canvas_create(-6, -5, 6, 5, 720);
    for (int i = 0; i < count; i++) {
        double density[K], sum = 0, colour[3] = {0};
        for (int j = 0; j < K; j++)
            sum += density[j] = density_at(m, j, &x[D * i]);
        for (int j = 0; j < K; j++)
            for (int k = 0; k < 3; k++)
                colour[k] += density[j] / sum * palette[j][k];
        draw_line(&c, &x[D * i], &x[D * i], 4,
                  (unsigned char[]){(unsigned char)colour[0], (unsigned char)colour[1], (unsigned char)colour[2]}, 0.6);
    }
    for (int j = 0; j < K; j++) {
        /* A triangular matrix, whose product with its transpose is the covariance, maps the circle to the ellipse. */
        const double *S = m->covariance[j], a = sqrt(S[0]), b = S[1] / a, d = sqrt(S[3] - b * b);
        for (int n = 0; n < 2 * 90; n++) {
            const double radius = 1 + n / 90, t = 2 * pi * (n % 90) / 90, u = t + 2 * pi / 90;
            draw_line(
                &c, (double[]){m->mean[j][0] + radius * a * cos(t), m->mean[j][1] + radius * (b * cos(t) + d * sin(t))},
                (double[]){m->mean[j][0] + radius * a * cos(u), m->mean[j][1] + radius * (b * cos(u) + d * sin(u))}, 2,
                (unsigned char[]){0, 0, 0}, 1);
        }
    }
    return canvas_write(&c, name, "points by their components, with the ellipses of one and two deviations");
}

int main(int argc, char **argv)
{
    if (argc > 3)
        fail("usage: em [POINTS [PICTURE]]");
    const int count = argc > 1 ? whole_number(argv[1], 1000000) : 4000;
    double *x = allocate((size_t)count * D, sizeof *x);
    uint64_t state = 1;
    for (int i = 0; i < count; i++) {
        double u = uniform(&state), v = normal(&state), w = normal(&state);
        int j = 0;
        while (j < K - 1 && u >= planted.weight[j])
            u -= planted.weight[j++];
        const double *S = planted.covariance[j], a = sqrt(S[0]), b = S[1] / a;
        x[D * i] = planted.mean[j][0] + a * v;
        x[D * i + 1] = planted.mean[j][1] + b * v + sqrt(S[3] - b * b) * w;
    }
    mixture m;
    begin(&m, count, x);
    kcl_context *context = create_context();
    print_device(context);
    fit(context, count, x, &m);
    kcl_context_destroy(&context);
    check(count, &m);
    const int status = argc > 2 && !draw(argv[2], count, x, &m);
    free(x);
    return status;
}
