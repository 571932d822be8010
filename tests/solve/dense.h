/* SPDX-License-Identifier: MIT */
/* tests/solve/dense.h: systems of small dense matrices, and the operations of the method on them as plain loops. */
#ifndef DENSE_H
#define DENSE_H

#include "method.h"

enum { N = 24, MOST = 6 };

/* Numbered as they stand in ks_operations. */
typedef enum operation { CORRECT, UNDO, BEGIN, PRECONDITION, TURN, APPLY, ADVANCE, REFINE, OPERATIONS } operation;

typedef double vector[N];

/* Systems, and how exact the operations are. */
typedef struct dense {
    size_t count;
    double a[MOST][N][N];
    vector b[MOST], x[MOST], kept[MOST], d[MOST], r[MOST], z[MOST], p[MOST], q[MOST];
    double scaling[N];    /* diagonal of the preconditioner, if `preconditions` */
    double apply_errs[N]; /* by which the image of the iterations is multiplied until it is refined; 0: 1 */
    bool preconditions;
    bool rounds; /* iterations are in float32 until they are refined */
    bool refined;
    int calls[OPERATIONS];
    operation fails; /* this operation fails in its call number fails_at, from 1 */
    int fails_at;
    double told;       /* the fraction that was told last */
    int after_failure; /* calls after the one that failed */
    kb_error err;
} dense;

extern dense s; /* zeroed before each test */

extern const ks_operations operations;

/* The operations without the one that refines. */
ks_operations without_refine(void);

/* ---- Problems ----------------------------------------------------------------------------------------------------- */

/* Forgets all systems; random numbers begin anew. */
void set_up(void);

double random_number(void); /* uniform in (-1,1) */

/* A symmetric matrix with these eigenvalues and random eigenvectors. */
void set_matrix(size_t k, const double *eigenvalues);

/* Eigenvalues from 1 down to 1 / condition, at equal ratios; `distinct` values. */
void set_condition(size_t k, double condition, int distinct);

void set_right_side(size_t k, double scale);

/* b - A x in long double; b for x = 0, whatever A is. */
void residual_of(size_t k, const double *x, double *r);
double true_residual(size_t k);
double norm_of(const double *v);

/* ---- Solutions ---------------------------------------------------------------------------------------------------- */

/* Solves with these goals for the residuals. */
kcl_status solve(const double *goal, int64_t limit, const ks_operations *by, kcl_solve_result *results);

/* One system, to a residual of tolerance |b|. Fails if the residual that is reported is not the one of x. */
kcl_solve_result solve_one(double tolerance, int64_t limit, const ks_operations *by);

void is_reason(kcl_solve_result result, kcl_solve_reason reason);

#endif
