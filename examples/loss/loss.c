/* SPDX-License-Identifier: MIT */
/*
 * A loss through two reductions, minimised by its gradient. A smooth field, with vectors b at the places y, moves
 * points x of a circle until the moved points have the density of an ellipse, as seen from places z:
 *
 *     u_i = x_i + sum_j exp(-|x_i - y_j|^2 / sigma^2) b_j
 *     v_k = log sum_i exp(-|z_k - u_i|^2 / s^2)
 *     L   = sum_k (v_k - t_k)^2,  t_k: v_k for the points of the ellipse
 *
 *     loss [POINTS STEPS]     500 points and 200 steps if no numbers are given
 *
 * The gradients in x, y, b and sigma are compared with differences of the loss in a random direction. Then b goes
 * downhill.
 */
#include "../common/common.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program[] = "loss";

enum { D = 2, PLACES = 64, GRADIENTS = 4 };

/* All numbers of a problem, in double so that differences of the loss tell something. */
typedef struct problem {
    int points;
    double *x, *target;                  /* (points, D) */
    double y[PLACES * D], b[PLACES * D]; /* places of the vectors of the field, and the vectors */
    double z[PLACES * D], t[PLACES];     /* places from which densities are seen, and the wanted densities */
    double sigma, s;
    double loss, *by_x, by_y[PLACES * D], by_b[PLACES * D], by_sigma;
    kcl_expr *L, *gradient[GRADIENTS]; /* in x, y, b, sigma */
} problem;

/* Returns v, the densities of the points u_j as seen from the places z_i. */
static kcl_expr *densities(kcl_expr *z_i, kcl_expr *u_j, kcl_expr *s)
{
    return kcl_reduce_logsumexp(kcl_neg(kcl_div(kcl_sqdist(z_i, u_j), kcl_square(s))), KCL_OVER_J);
}

static void build(problem *p, kcl_scope *scope)
{
    kcl_expr *x = kcl_vi(scope, kcl_f64(p->x, p->points, D)), *y = kcl_vj(scope, kcl_f64(p->y, PLACES, D));
    kcl_expr *b = kcl_vj(scope, kcl_f64(p->b, PLACES, D)), *sigma = kcl_pm(scope, kcl_f64(&p->sigma, 1));
    kcl_expr *z = kcl_vi(scope, kcl_f64(p->z, PLACES, D)), *t = kcl_vi(scope, kcl_f64(p->t, PLACES, 1));

    kcl_expr *K = kcl_exp(kcl_neg(kcl_div(kcl_sqdist(x, y), kcl_square(sigma))));
    kcl_expr *u = kcl_add(x, kcl_reduce_sum(kcl_mul(K, b), KCL_OVER_J));
    kcl_expr *v = densities(z, kcl_transpose(u), kcl_scalar(scope, p->s));
    p->L = kcl_reduce_sum(kcl_square(kcl_sub(v, t)), KCL_OVER_I);

    kcl_expr *const variables[GRADIENTS] = {x, y, b, sigma};
    for (int k = 0; k < GRADIENTS; k++)
        p->gradient[k] = kcl_grad(p->L, variables[k]);
}

static kcl_status evaluate(problem *p)
{
    return kcl_eval(1 + GRADIENTS, (kcl_expr *[]){p->L, p->gradient[0], p->gradient[1], p->gradient[2], p->gradient[3]},
                    (const kcl_array *[]){kcl_f64(&p->loss, 1), kcl_f64(p->by_x, p->points, D),
                                          kcl_f64(p->by_y, PLACES, D), kcl_f64(p->by_b, PLACES, D),
                                          kcl_f64(&p->by_sigma, 1)});
}

static void make(problem *p, int points)
{
    const double turn = 6.283185307179586;
    *p = (problem){.points = points, .sigma = 0.5, .s = 0.5};
    p->x = allocate((size_t)points * D, sizeof *p->x);
    p->target = allocate((size_t)points * D, sizeof *p->target);
    p->by_x = allocate((size_t)points * D, sizeof *p->by_x);
    for (int i = 0; i < points; i++) {
        p->x[D * i] = cos(turn * i / points);
        p->x[D * i + 1] = sin(turn * i / points);
        p->target[D * i] = 1.3 * p->x[D * i];
        p->target[D * i + 1] = 0.7 * p->x[D * i + 1];
    }
    /* The places are on a square of 8 x 8. */
    for (int k = 0; k < PLACES; k++) {
        p->y[D * k] = p->z[D * k] = -1.4 + 0.4 * (k % 8);
        p->y[D * k + 1] = p->z[D * k + 1] = -1.4 + 0.4 * (k / 8);
    }
}

/*
 * Compares the derivative in a random direction, by the gradients and by differences of the loss. Returns the largest
 * difference, relative to the terms of the derivative.
 */
static double check_gradients(problem *p, const kcl_context *context)
{
    double *const variables[GRADIENTS] = {p->x, p->y, p->b, &p->sigma};
    double *const gradients[GRADIENTS] = {p->by_x, p->by_y, p->by_b, &p->by_sigma};
    const int counts[GRADIENTS] = {p->points * D, PLACES * D, PLACES * D, 1};
    const double step = 1e-5;
    double worst = 0;
    for (int k = 0; k < GRADIENTS; k++) {
        double *direction = allocate((size_t)counts[k], sizeof *direction),
               *kept = allocate((size_t)counts[k], sizeof *kept);
        double slope = 0, size = 0, loss[2];
        uint64_t state = 1;
        require(evaluate(p), context);
        for (int n = 0; n < counts[k]; n++) {
            direction[n] = uniform(&state) - 0.5;
            slope += direction[n] * gradients[k][n];
            size += fabs(direction[n] * gradients[k][n]);
        }
        memcpy(kept, variables[k], (size_t)counts[k] * sizeof *kept);
        for (int side = 0; side < 2; side++) {
            for (int n = 0; n < counts[k]; n++)
                variables[k][n] = kept[n] + (side ? -step : step) * direction[n];
            require(kcl_eval1(p->L, kcl_f64(&loss[side], 1)), context);
        }
        memcpy(variables[k], kept, (size_t)counts[k] * sizeof *kept);
        worst = fmax(worst, fabs((loss[0] - loss[1]) / (2 * step) - slope) / size);
        free(direction);
        free(kept);
    }
    return worst;
}

int main(int argc, char **argv)
{
    if (argc != 1 && argc != 3)
        fail("usage: loss [POINTS STEPS]");
    problem p;
    make(&p, argc == 3 ? whole_number(argv[1], 1000000) : 500);
    const int steps = argc == 3 ? whole_number(argv[2], 100000) : 200;
    kcl_context *context = create_context();
    print_device(context);
    kcl_scope *scope = kcl_scope_create(context);
    kcl_expr *z = kcl_vi(scope, kcl_f64(p.z, PLACES, D)), *target = kcl_vj(scope, kcl_f64(p.target, p.points, D));
    require(kcl_eval1(densities(z, target, kcl_scalar(scope, p.s)), kcl_f64(p.t, PLACES, 1)), context);

    build(&p, scope);
    for (int k = 0; k < PLACES * D; k++)
        p.b[k] = 0.01 * ((k * 7) % 5 - 2); /* away from 0, where the loss does not depend on y and sigma */
    const double error = check_gradients(&p, context);
    printf("gradients   differ from differences of the loss by %.1e of their terms\n", error);
    if (!(error < 1e-6))
        fail("the gradients are wrong");

    require(evaluate(&p), context);
    const double before = p.loss;
    /* Arrays are read when an evaluation runs: the same expressions serve all steps. */
    double length = 1, at = p.loss, here[PLACES * D], downhill[PLACES * D];
    memcpy(downhill, p.by_b, sizeof downhill);
    for (int n = 0; n < steps; n++) {
        memcpy(here, p.b, sizeof here);
        for (int k = 0; k < PLACES * D; k++)
            p.b[k] -= length * downhill[k];
        require(evaluate(&p), context);
        const bool lower = p.loss < at; /* false for NaN */
        length *= lower ? 1.1 : 0.5;
        if (lower) {
            at = p.loss;
            memcpy(downhill, p.by_b, sizeof downhill);
        } else {
            memcpy(p.b, here, sizeof here);
        }
    }
    printf("loss        %.4f, after %d steps %.4f\n", before, steps, at);
    kcl_scope_destroy(&scope);
    kcl_context_destroy(&context);
    free(p.x);
    free(p.target);
    free(p.by_x);
    return 0;
}
