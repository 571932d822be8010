/* SPDX-License-Identifier: MIT */
/*
 * api/system.h: a linear system while it is solved. solve.c is the call; system_checks.c refuses what is no system;
 * system_arrays.c copies between the caller's arrays and the system's; system_operators.c makes the operators; what the method
 * of solve/cg.c asks for is done in system_steps.c.
 */
#ifndef KA_SYSTEM_H
#define KA_SYSTEM_H

#include "method.h"
#include "numbers.h"
#include "operator.h"
#include "precondition.h"

/* Vectors in the precision of the iterations. Two of a kind take turns: an operator reads one and writes the other. */
enum { KA_CORRECTION = 0, KA_RESIDUAL = 2, KA_DIRECTION = 4, KA_IMAGE = 6, KA_PRECONDITIONED = 7, KA_VECTORS = 8 };

/* One precision: the operators' arguments, and room for numbers. */
typedef struct ka_precision {
    kcl_dtype dtype;
    const kcl_array **args; /* of the operator that applies the matrix */
    kcl_array *own;         /* copies in this precision, by argument; ndim -1: none */
    void *numbers[3];       /* by system, of this type */
    double alpha;           /* a number of this type lies there */
} ka_precision;

typedef struct ka_system {
    kcl_context *context;
    const kcl_operator *op;
    size_t unknown;   /* number of the argument */
    bool is_separate; /* columns are systems of their own */
    const kcl_solve_params *params;
    kcl_array shape; /* of the solution: batch axes, rows, components */
    int64_t elements, rows, dim, batches;
    size_t count; /* of systems */
    kcl_operator *apply, *residual, *advance, *turn, *product;
    ka_preconditioner *preconditioner; /* NULL: none */
    ka_precision given, fine, *now;    /* the arrays of the caller; the highest; the iterations' */
    kcl_array vectors[KA_VECTORS];
    int solved, turned; /* 0 or 1: which of two vectors of a kind is the one that counts; turned: of KA_DIRECTION */
    double *squares;    /* by system: inner products of the residual with itself */
    double *x, *b, *r;  /* the solution, the right-hand side, the residual, dense and in double */
    double *kept;       /* the solution before the last correction */
    void *scratch;      /* a vector, in the precision of the iterations */
    float *narrow[3];   /* x, b and r where the device has no float64; else NULL */
    bool is_started;    /* x may differ from 0 */
    double shift;       /* alpha and the mean of the noise */
    bool is_rounded;    /* the solution is wanted in float32 */
    kcl_array noise;    /* ndim -1: none */
} ka_system;

static inline int64_t ka_elements_of(const kcl_array *array)
{
    int64_t count = 1;
    for (int k = 0; k < array->ndim; k++)
        count *= array->shape[k];
    return count;
}

static inline int32_t ka_system_numbers_dim(const ka_system *s)
{
    return s->is_separate ? (int32_t)s->dim : 1;
}

static inline size_t ka_system_matrix_arguments(const ka_system *s)
{
    return s->op->input_count + 1 + (s->noise.ndim >= 0);
}

/* The system of an element of a vector. */
static inline size_t ka_system_of(const ka_system *s, int64_t at)
{
    const int64_t batch = at / (s->rows * s->dim);
    return (size_t)(s->is_separate ? batch * s->dim + at % s->dim : batch);
}

static inline kcl_array ka_system_scratch(const ka_system *s)
{
    return kcl_array_of(s->scratch, s->now->dtype, s->shape.ndim, s->shape.shape);
}

/* ---- system_checks.c ---------------------------------------------------------------------------------------------- */

/* Refuses parameters and arguments that are none, and finds the unknown. */
kcl_status ka_system_check(ka_system *s, const char *unknown, const kcl_array *solution, const kcl_array *const *args,
                           int arg_count);

/* Refuses a formula that is not linear in the unknown, and finds whether columns are systems of their own. */
kcl_status ka_system_check_formula(ka_system *s);

/* Finds the shape of the solution and the number of systems; checks the arrays for the solution, the start and the noise. */
kcl_status ka_system_find_shape(ka_system *s, const kcl_array *solution, const kcl_array *const *args);

/* ---- system_operators.c ------------------------------------------------------------------------------------------- */

kcl_status ka_system_make_operators(ka_system *s);

/* ---- system_arrays.c ---------------------------------------------------------------------------------------------- */

/* A dense copy in double of an array of real numbers. The caller frees *to with the context's allocator, after errors too. */
kcl_status ka_system_fetch(ka_system *s, const kcl_array *from, double **to);

/* Sees the argument of the unknown as the operator does. */
kcl_status ka_system_view_unknown(const ka_system *s, kx_view *view, const kcl_array *array);

/* An array of rows of the unknown's dimension, broadcast to the solution's shape, in double. */
kcl_status ka_system_fetch_vector(ka_system *s, const kcl_array *from, double *to);

kcl_status ka_system_find_shift(ka_system *s);

/* The arguments of the matrix in one precision: of the caller, or copies. ka_system_end_precision comes in any case. */
kcl_status ka_system_make_precision(ka_system *s, ka_precision *p, kcl_dtype dtype, const kcl_array *const *args,
                                    bool copies);
void ka_system_end_precision(const ka_system *s, ka_precision *p);

/* Gives the solution to the caller's array. */
kcl_status ka_system_give_solution(ka_system *s, const kcl_array *solution);

/* ---- system_steps.c ----------------------------------------------------------------------------------------------- */

extern const ks_operations ka_system_operations;

/* Room for the vectors of the iterations, and their preconditioner, in the precision that the iterations have now. */
kcl_status ka_system_make_vectors(ka_system *s);
kcl_status ka_system_make_preconditioner(ka_system *s);

/* Operations of the method that others use as well. */
kcl_status ka_system_correct(void *user, const double *scale, double *norm);
kcl_status ka_system_apply(void *user, double *pq, double *size);

/* The norms of a dense vector, by system. */
void ka_system_norms(const ka_system *s, const double *vector, double *norm);

#endif
