/* SPDX-License-Identifier: MIT */
/*
 * tests/api/systems.h: linear systems of kernels, and their dense matrices, solutions and residuals in double. Numbers
 * are arrays of double that hold what the library's arrays hold: of float32, they are rounded.
 */
#ifndef SYSTEMS_H
#define SYSTEMS_H

#include "either.h"

extern kcl_dtype type; /* of the arguments */

void begin_systems(void); /* before each test: `begin`, and nothing is kept */
void end_systems(void);   /* after each test: frees what the test has asked for, and `end` */

/* `count` numbers, zero; they live as long as the test. */
double *zeros(int64_t count);
double *random_numbers(int64_t count, double low, double high);

/* An array of `type` with copies of the numbers, which are rounded to it. */
kcl_array *given(double *numbers, int axes, const int64_t *shape);
#define GIVEN(numbers, ...) given(numbers, KCL_SHAPE_COUNT_(__VA_ARGS__), (const int64_t[]){__VA_ARGS__})

/* An array of zeros for a solution. */
kcl_array *wanted(kcl_dtype of, int axes, const int64_t *shape);
#define WANTED(of, ...) wanted(of, KCL_SHAPE_COUNT_(__VA_ARGS__), (const int64_t[]){__VA_ARGS__})

/* A copy of the array in the memory of the context, and a copy of an array as numbers. */
kcl_array *uploaded(const kcl_array *array);
double *numbers_of(const kcl_array *array);

/* ---- Dense -------------------------------------------------------------------------------------------------------- */

/* exp(-g |x_i - x_j|^2) of n points of dimension d, by rows. */
double *gauss_matrix(const double *x, int64_t n, int d, double g);

double largest_eigenvalue(const double *matrix, int64_t n); /* within a hundredth */

/* Solves (alpha Id + diag(noise) + matrix) a = b for `columns` columns by Cholesky's decomposition. noise: or NULL. */
double *dense_solution(const double *matrix, double alpha, const double *noise, int64_t n, int64_t columns,
                       const double *b);

/* |b - (alpha Id + diag(noise) + matrix) a| of one column, in long double. */
double dense_residual(const double *matrix, double alpha, const double *noise, int64_t n, int64_t columns,
                      int64_t column, const double *b, const double *a);

double column_norm(const double *v, int64_t n, int64_t columns, int64_t column);

/* ---- Operators ---------------------------------------------------------------------------------------------------- */

#define GAUSS "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)"

/* An operator of x=Vi(d), y=Vj(d), b=Vj(columns) and g=Pm(1), which lives as long as the test. */
kcl_operator *operator_of(const char *formula, int d, int columns);

/* kcl_operator_solve of x, x, b and g for "b". */
kcl_status solve(const kcl_operator *op, const kcl_array *a, const kcl_array *x, const kcl_array *b, double g,
                 const kcl_solve_params *params, kcl_solve_result *results, int64_t count);

/* Fails unless the system ended for this reason. */
void ended(kcl_solve_result result, kcl_solve_reason reason);

/* Fails unless the residual is `is` within a factor of 2, or what double rounds off in a product of this size. */
void honest(kcl_solve_result result, double is, double rounding);

#endif
