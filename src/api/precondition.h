/* SPDX-License-Identifier: MIT */
/*
 * api/precondition.h: a preconditioner for alpha Id + K, from a partial Cholesky factorisation K = L L' + E with pivots
 * drawn at random: Chen, Epperly, Tropp, Webber, Randomly pivoted Cholesky (2024); in blocks, as in their section on
 * blocked versions.
 */
#ifndef KA_PRECONDITION_H
#define KA_PRECONDITION_H

#include "operator.h"

/* K as an operator without batches that is applied to columns one by one. */
typedef struct ka_matrix {
    kcl_context *context;
    const kcl_operator *op;
    size_t unknown; /* number of the argument that K is applied to */
    kcl_dtype dtype;
    const kcl_array *const *args; /* by argument; the unknown's is not read */
    int64_t rows;
} ka_matrix;

typedef struct ka_preconditioner ka_preconditioner;

/*
 * (L L' + shift Id)^-1 for an L of at most `rank` columns, fewer where the trace of E falls below shift times the rows
 * before. The shift is raised to what the numbers' precision asks for. *made is NULL, and that is no failure, if K has
 * no such factor (columns have matrices of their own, an argument stands in both roles, the diagonal is not positive) or
 * if the mean of the diagonal is below `least` times the shift.
 */
kcl_status ka_precondition_make(ka_preconditioner **made, const ka_matrix *matrix, double shift, int64_t rank,
                                double least);

int64_t ka_precondition_rank(const ka_preconditioner *p);

/* z from r: dense arrays of shape (rows, columns) in memory of the device. */
kcl_status ka_precondition_apply(ka_preconditioner *p, const kcl_array *r, const kcl_array *z, int64_t columns);
void ka_precondition_free(ka_preconditioner **p);

#endif
