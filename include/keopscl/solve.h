/* SPDX-License-Identifier: MIT */
/*
 * keopscl/solve.h: linear systems (alpha Id + K) a = b whose matrix K is given by a formula and never stored.
 *
 *     kcl_operator_create(&K, "Sum_Reduction(Exp(-g*SqDist(x,y))*b, 0)", 4,
 *                         (const char *[]){"x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"}, NULL);
 *     const kcl_array *args[] = {points, points, rhs, kcl_f32(&g, 1)};
 *     kcl_solve_result result;
 *     status = kcl_operator_solve(K, ctx, "b", solution, args, 4, &(kcl_solve_params){.alpha = 0.1}, &result, 1);
 *
 * The matrix has to be symmetric and alpha Id + K positive definite, as kernels of Gaussian processes are. The method is
 * that of conjugate gradients, for all right-hand sides at once: Hestenes and Stiefel, Journal of Research of the
 * National Bureau of Standards 49 (1952).
 *
 * With float32 arrays, matrices are applied in float32, the residual b - (alpha Id + K) a is computed in float64 and the
 * solution corrected until the residual is small enough (iterative refinement: Wilkinson, Rounding Errors in Algebraic
 * Processes, 1963). So the residual that is reported is the true one. If float32 brings a system no further, the
 * matrix is applied in float64.
 */
#ifndef KEOPSCL_SOLVE_H
#define KEOPSCL_SOLVE_H

#include <keopscl/operator.h>

KCL_BEGIN

/* How the solution of a system ended: name, value, meaning. */
#define KCL_SOLVE_REASONS(X)                                                                                           \
    X(KCL_SOLVE_CONVERGED, 0, "the residual is within the tolerance")                                                  \
    X(KCL_SOLVE_LIMIT, 1, "the limit of iterations was reached")                                                       \
    X(KCL_SOLVE_NOT_REACHED, 2, "the residual does not get any smaller in this arithmetic")                            \
    X(KCL_SOLVE_NOT_POSITIVE_DEFINITE, 3, "alpha Id + K has no positive curvature where it was looked at")             \
    X(KCL_SOLVE_INDEFINITE, 4, "alpha Id + K has curvatures of both signs")                                            \
    X(KCL_SOLVE_NOT_SYMMETRIC, 5, "K is not symmetric")                                                                \
    X(KCL_SOLVE_NOT_FINITE, 6, "a NaN or an infinity came up")

typedef enum kcl_solve_reason {
#define KCL_SOLVE_ENUM(name, value, text) name = value,
    KCL_SOLVE_REASONS(KCL_SOLVE_ENUM)
#undef KCL_SOLVE_ENUM
} kcl_solve_reason;

/* The constant's name, "KCL_SOLVE_CONVERGED", and its meaning. Static storage, never NULL. */
KCL_API const char *kcl_solve_reason_name(kcl_solve_reason reason);
KCL_API const char *kcl_solve_reason_text(kcl_solve_reason reason);

/* What became of one system: of one column of b, in one element of a batch. */
typedef struct kcl_solve_result {
    kcl_solve_reason reason;
    int64_t iterations; /* products with the matrix */
    double residual;    /* |b - (alpha Id + K) a|, of the solution that was returned; the norm is the Euclidean one */
    double norm;        /* |b| */
} kcl_solve_result;

/* What the iterations are preconditioned with. */
typedef enum kcl_preconditioner {
    KCL_PRECONDITIONER_DEFAULT = 0, /* CHOLESKY where that pays: many rows, a small alpha, a BLAS library */
    KCL_PRECONDITIONER_NONE = 1,
    /*
     * Randomly pivoted Cholesky (Chen, Epperly, Tropp, Webber 2024): a factor of `rank` columns of K, of N rank numbers on
     * the device. For one matrix for all columns, without batches; else there is none.
     */
    KCL_PRECONDITIONER_CHOLESKY = 2,
} kcl_preconditioner;

/* Zero in any field means the default. */
typedef struct kcl_solve_params {
    double alpha;           /* 0 or more: what is added to the diagonal */
    const kcl_array *noise; /* added to the diagonal beside alpha: (..., N), a number for each row; NULL: none */
    /* A column is solved once |b - (alpha Id + K) a| is at most the larger of tolerance |b| and absolute. */
    double tolerance; /* default: 1e-6 for a float64 solution, 1e-4 for float32; 0 if `absolute` is given */
    double absolute;
    int64_t max_iterations; /* products with the matrix a column; default: 10 for each row, 1000 at least */
    kcl_preconditioner preconditioner;
    int64_t rank;           /* of the preconditioner at most; default: a quarter of the rows, at most 1,000 */
    const kcl_array *start; /* a guess of the solution, of its shape; NULL: 0 */
    int checks_symmetry;    /* 1: two products with random vectors tell a matrix that is not symmetric */
    int keeps_precision;    /* 1: the matrix of float32 arrays is never applied in float64 in the iterations */
} kcl_solve_params;

/*
 * Solves (alpha Id + K) a = b. The only output of `op` is K b, one row per i: a sum of a formula that is linear in the
 * argument `unknown` (a name, or a number as text), which stands for one row per j, of the output's dimension D.
 * args[] are the arguments of the operator, b in the place of the unknown; the number of rows is the number of columns.
 * The columns of b are systems of their own if the formula treats its components one by one, as K(x_i,y_j) b_j with a
 * number K does; else there is one system of N D unknowns for each element of a batch, and one result. Elements of
 * batches are systems of their own in any case.
 *
 * `solution` has the shape of the operator's output, and the type of the arguments or float64: with float32 arguments, a
 * float64 solution can have residuals that no float32 solution has. results[0..result_count) receives what became of each
 * system, row-major over batch axes and columns; result_count is the number of systems (KCL_ERROR_LENGTH) or, with results
 * NULL, 0. Residuals are those of the numbers in `solution`.
 *
 * Returns KCL_OK if all systems converged. KCL_ERROR_NOT_SOLVED if one did not, with a sentence about the first one:
 * `solution` holds the best of the start and of the solutions whose residual was computed, after each pass of iterations,
 * and results tell about each. Errors of arguments: KCL_ERROR_ARGUMENT (a
 * tolerance or alpha that is negative or not finite; the unknown enters in another way than linearly), and the errors of
 * kcl_operator_apply. A context may be cancelled in every product with the matrix. What a progress function is told is the
 * digits that the residuals have lost, as a fraction of the digits that they shall lose.
 */
KCL_API kcl_status kcl_operator_solve(const kcl_operator *op, kcl_context *context, const char *unknown,
                                      const kcl_array *solution, const kcl_array *const *args, int arg_count,
                                      const kcl_solve_params *params, kcl_solve_result *results, int64_t result_count);

KCL_END

#endif
