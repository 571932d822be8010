/* SPDX-License-Identifier: MIT */
/*
 * solve/method.h: conjugate gradients with iterative refinement, for many systems at once. The method sees vectors and the
 * matrix through a table of operations, and nothing else: it knows of no formula and no device.
 */
#ifndef KS_METHOD_H
#define KS_METHOD_H

#include "base.h"

#include <keopscl/solve.h>

/*
 * What the method asks for. Every function works on all systems at once; numbers are given and returned by system. The
 * vectors belong to the caller: the solution x in the highest precision there is; and, in the precision of the iterations,
 * the correction d, the residual r, the preconditioned residual z, the direction p and its image q = A p. The first
 * failure ends the method.
 */
typedef struct ks_operations {
    /* x += scale d, unless `scale` is NULL. norm: the norms |b - A x|. */
    kcl_status (*correct)(void *user, const double *scale, double *norm);
    /* x is what it was before the last correction, where `scale` is not 0: there the residual became larger. */
    kcl_status (*undo)(void *user, const double *scale);
    /* r = (b - A x) / norm, of what `correct` has found, and 0 where norm is 0; d = 0. */
    kcl_status (*begin)(void *user, const double *norm);
    /* z = M^-1 r of the preconditioner M, or z = r. rz: the inner products of r and z. */
    kcl_status (*precondition)(void *user, double *rz);
    /* p = z + beta p. */
    kcl_status (*turn)(void *user, const double *beta);
    /* q = A p. pq: the inner products of p and q; size: |p| |q|. */
    kcl_status (*apply)(void *user, double *pq, double *size);
    /* d += step p, r -= step q. rr: the inner products of r with itself. */
    kcl_status (*advance)(void *user, const double *step, double *rr);
    /* From now on A is applied, and vectors are kept, in the highest precision there is. NULL: they cannot be. */
    kcl_status (*refine)(void *user);
    /* Is told which fraction of the way to the goals is done, by the residuals' digits. NULL: nobody wants to know. */
    void (*tell)(void *user, double fraction);
} ks_operations;

typedef struct ks_problem {
    size_t count;       /* of systems */
    const double *norm; /* |b| */
    const double *goal; /* norm of the residual that is small enough */
    int64_t max_iterations;
    double unit_roundoff; /* of the iterations */
    bool is_finest;       /* the iterations have the highest precision there is */
    const ks_operations *operations;
    void *user;
    const kcl_allocator *allocator;
} ks_problem;

/* Fills results[0..count). Returns the first failure of an operation, or KCL_ERROR_NO_MEMORY; results are of no use then. */
kcl_status ks_solve(const ks_problem *problem, kcl_solve_result *results, kb_error *err);

#endif
