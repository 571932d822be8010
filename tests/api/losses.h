/* SPDX-License-Identifier: MIT */
/* tests/api/losses.h: numbers that choose terms, in plain loops and as expressions. */
#ifndef LOSSES_H
#define LOSSES_H

#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 6, N = 5, D = 2, MOST = 12 };

/* What a loss depends on, as one vector: x (M x D), y (N x D), p. */
enum { X = 0, Y = M * D, P = Y + N * D, INPUTS = P + 1 };

extern kcl_scope *s; /* in which the expressions are made, of: */
extern kcl_expr *x_i, *x_j, *y_j, *p;

typedef struct loss {
    const char *name;
    double (*value)(const double *v);
    kcl_expr *(*expr)(void);
} loss;

enum { LOSSES = 18 };
extern const loss losses[LOSSES];

double sqdist(const double *a, const double *b); /* of two points */
double gathered(const double *v);                /* the loss whose rows formulas number */

#endif
