/* SPDX-License-Identifier: MIT */
/*
 * tests/lazy/losses.h: losses made of smallest and largest values, as plain loops in double and as expressions, and their
 * derivatives.
 */
#ifndef LOSSES_H
#define LOSSES_H

#include "support.h"

enum { M = 6, N = 5, D = 2, MOST = 12 };

/* What a loss depends on, as one vector: x (M x D), y (N x D), p. */
enum { X = 0, Y = M * D, P = Y + N * D, INPUTS = P + 1 };

extern kcl_context *c;
extern kcl_scope *s;
extern kcl_expr *x_i, *x_j, *y_j, *p;

/* ---- Losses, in plain loops and as expressions ------------------------------------------------------------------- */

double sqdist(const double *a, const double *b);

double gathered(const double *v);

typedef struct loss {
    const char *name;
    double (*value)(const double *v);
    kcl_expr *(*expr)(void);
} loss;

enum { LOSSES = 16 };

extern const loss losses[LOSSES];

/* ---- Derivatives ------------------------------------------------------------------------------------------------- */

void fill(double *v);

typedef struct typed {
    kcl_dtype dtype;
    union {
        double f64[INPUTS];
        float f32[INPUTS];
    } of;
} typed;

kcl_array part(typed *t, int from, int rows, int dim);

void from_double(typed *t, kcl_dtype dtype, const double *v);

/* The number e, and g[0..2] in x, y and p, evaluated together. */
double evaluate(kcl_expr *e, kcl_expr *const *g, typed *gradient);

/*
 * The loss at v: its gradient and, unless `second` is NULL, that of the gradient's product with u. Where both modes are
 * asked for, the same in forward mode. Returns the loss.
 */
double derivatives(const struct loss *l, kcl_dtype dtype, const double *v, const double *u, double *first,
                   double *second, bool both_modes);

#endif
