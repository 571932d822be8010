/* SPDX-License-Identifier: MIT */
/*
 * Linear systems with preconditioners: the same solutions in fewer products. By the interpreter and, with the argument
 * "device", on a device.
 */
#include "systems.h"

#include <float.h>

enum { COLUMNS = 2 };

typedef struct points {
    int64_t n;
    double *x, *b, *matrix;
    kcl_array *x_array, *b_array;
    double g;
} points;

static points make_points(int64_t n, double g)
{
    points p = {.n = n, .x = random_numbers(n * 3, 0, 1), .b = random_numbers(n * COLUMNS, -1, 1), .g = g};
    p.x_array = GIVEN(p.x, n, 3);
    p.b_array = GIVEN(p.b, n, COLUMNS);
    p.matrix = gauss_matrix(p.x, n, 3, g);
    return p;
}

/* Solves to 1e-6 and checks the residuals; returns the products of the slowest column. */
static int64_t solve_with(const points *p, kcl_solve_params params, const double *noise)
{
    kcl_solve_result r[COLUMNS];
    kcl_array *a_array = WANTED(KCL_F64, p->n, COLUMNS);
    int64_t most = 0;
    params.tolerance = 1e-6;
    params.max_iterations = 20000;
    ok(solve(operator_of(GAUSS, 3, COLUMNS), a_array, p->x_array, p->b_array, p->g, &params, r, COLUMNS));
    const double *a = numbers_of(a_array), largest = largest_eigenvalue(p->matrix, p->n) + params.alpha + 1;
    for (int k = 0; k < COLUMNS; k++) {
        const double is = dense_residual(p->matrix, params.alpha, noise, p->n, COLUMNS, k, p->b, a);
        const double rounding = 8 * DBL_EPSILON * largest * column_norm(a, p->n, COLUMNS, k);
        ended(r[k], KCL_SOLVE_CONVERGED);
        honest(r[k], is, rounding);
        ck_assert_double_le(is, 1e-6 * r[k].norm + rounding);
        most = KB_MAX(most, r[k].iterations);
    }
    return most;
}

/* In both types, with alpha from 1e-1 to 1e-6: never many more products than without, and far fewer where alpha is small. */
START_TEST(products_are_saved)
{
    type = _i % 2 ? KCL_F32 : KCL_F64;
    const points p = make_points(on_device ? 1000 : 150, 2);
    static const double alphas[] = {1e-1, 1e-3, 1e-6};
    const double alpha = alphas[_i / 2];
    const int64_t plain =
        solve_with(&p, (kcl_solve_params){.alpha = alpha, .preconditioner = KCL_PRECONDITIONER_NONE}, NULL);
    const int64_t with =
        solve_with(&p, (kcl_solve_params){.alpha = alpha, .preconditioner = KCL_PRECONDITIONER_CHOLESKY}, NULL);
    ck_assert_msg(with <= 2 * plain + 2, "%lld products, and %lld without", (long long)with, (long long)plain);
    if (alpha < 1e-5)
        ck_assert_msg(3 * with < plain, "%lld products, and %lld without", (long long)with, (long long)plain);
    solve_with(&p, (kcl_solve_params){.alpha = alpha}, NULL); /* by default */
}
END_TEST

/* Ranks that are too small to help, one, all, and more than there are rows; with a noise for each point. */
START_TEST(any_rank_solves)
{
    const points p = make_points(60, 5);
    double *noise = random_numbers(p.n, 0.01, 1);
    kcl_solve_params params = {.alpha = 1e-3, .preconditioner = KCL_PRECONDITIONER_CHOLESKY};
    static const int64_t ranks[] = {1, 2, 17, 59, 60, 61, 100000};
    for (size_t k = 0; k < KB_COUNT(ranks); k++) {
        params.rank = ranks[k];
        params.noise = NULL;
        const int64_t products = solve_with(&p, params, NULL);
        if (ranks[k] >= p.n)
            ck_assert_msg(products <= 6, "%lld products with all columns", (long long)products);
        params.noise = GIVEN(noise, p.n);
        solve_with(&p, params, noise);
    }
}
END_TEST

/* Points that are there many times, as few as one, and none. */
START_TEST(matrices_of_low_rank)
{
    type = _i ? KCL_F32 : KCL_F64;
    const kcl_solve_params params = {.alpha = 0.01, .preconditioner = KCL_PRECONDITIONER_CHOLESKY};
    for (int64_t n = 0; n < 4; n++) {
        const points p = make_points(n, 2);
        solve_with(&p, params, NULL);
    }
    points p = make_points(90, 2);
    for (int64_t k = 5 * 3; k < p.n * 3; k++)
        p.x[k] = p.x[k % 15];
    p.x_array = GIVEN(p.x, p.n, 3);
    p.matrix = gauss_matrix(p.x, p.n, 3, 2);
    const int64_t products = solve_with(&p, params, NULL);
    ck_assert_msg(products <= 10, "%lld products for 5 points", (long long)products);
}
END_TEST

/* Batches, kernels whose values are matrices, and alpha = 0 have none or another one: they are solved all the same. */
START_TEST(systems_without_a_factor_are_solved)
{
    const int64_t n = 40;
    const points p = make_points(n, 20);
    kcl_solve_result r[2 * COLUMNS];
    const kcl_solve_params params = {
        .alpha = 0.1, .preconditioner = KCL_PRECONDITIONER_CHOLESKY, .tolerance = 1e-8, .max_iterations = 1000};
    double *both = zeros(2 * n * COLUMNS);
    memcpy(both, p.b, (size_t)(n * COLUMNS) * sizeof *both);
    memcpy(both + n * COLUMNS, p.b, (size_t)(n * COLUMNS) * sizeof *both);
    kcl_array *a_array = WANTED(KCL_F64, 2, n, COLUMNS);
    ok(solve(operator_of(GAUSS, 3, COLUMNS), a_array, p.x_array, GIVEN(both, 2, n, COLUMNS), p.g, &params, r,
             2 * COLUMNS));
    const double *a = numbers_of(a_array);
    for (int k = 0; k < COLUMNS; k++)
        ck_assert_double_le(dense_residual(p.matrix, 0.1, NULL, n, COLUMNS, k, p.b, a + n * COLUMNS),
                            1.01e-8 * r[k].norm);
    double *sides = random_numbers(n * 3, -1, 1);
    ok(solve(operator_of("Sum_Reduction(Exp(-g*SqDist(x,y))*b + x*(y|b),0)", 3, 3), WANTED(KCL_F64, n, 3), p.x_array,
             GIVEN(sides, n, 3), p.g, &params, r, 1));
    ended(r[0], KCL_SOLVE_CONVERGED);
    solve_with(&p, (kcl_solve_params){.preconditioner = KCL_PRECONDITIONER_CHOLESKY}, NULL);
}
END_TEST

/* What is no kernel ends for the same reason as without. */
START_TEST(reasons_are_the_same)
{
    type = _i ? KCL_F32 : KCL_F64;
    const points p = make_points(50, 5);
    static const struct {
        const char *formula;
        kcl_solve_reason reason;
    } cases[] = {{"Sum_Reduction(-Exp(-g*SqDist(x,y))*b,0)", KCL_SOLVE_NOT_POSITIVE_DEFINITE},
                 {"Sum_Reduction(Norm2(x-y)*b,0)", KCL_SOLVE_INDEFINITE},
                 {"Sum_Reduction(Inv(SqDist(x,y))*b,0)", KCL_SOLVE_NOT_FINITE},
                 {"Sum_Reduction(Exp(-g*SqDist(x,2*y))*b,0)", KCL_SOLVE_NOT_SYMMETRIC}};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        kcl_solve_result r[COLUMNS];
        ck_assert_int_eq(
            solve(operator_of(cases[k].formula, 3, COLUMNS), WANTED(type, p.n, COLUMNS), p.x_array, p.b_array, p.g,
                  &(kcl_solve_params){.preconditioner = KCL_PRECONDITIONER_CHOLESKY, .checks_symmetry = 1}, r, COLUMNS),
            KCL_ERROR_NOT_SOLVED);
        for (int of = 0; of < COLUMNS; of++)
            ended(r[of], cases[k].reason);
    }
}
END_TEST

START_TEST(wrong_choices_are_refused)
{
    const points p = make_points(10, 1);
    kcl_solve_result r[COLUMNS];
    kcl_operator *op = operator_of(GAUSS, 3, COLUMNS);
    kcl_array *a = WANTED(KCL_F64, 10, COLUMNS);
    ck_assert_int_eq(solve(op, a, p.x_array, p.b_array, 1,
                           &(kcl_solve_params){.alpha = 1, .preconditioner = (kcl_preconditioner)77}, r, COLUMNS),
                     KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "preconditioner", "77");
    ck_assert_int_eq(solve(op, a, p.x_array, p.b_array, 1, &(kcl_solve_params){.alpha = 1, .rank = -1}, r, COLUMNS),
                     KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "rank", "-1");
}
END_TEST

/* Requests for memory fail in turn. */
START_TEST(memory_runs_out)
{
    const points p = make_points(30, 2);
    kcl_operator *op = operator_of(GAUSS, 3, COLUMNS);
    kcl_context *const outer = c;
    const kcl_array *solution = WANTED(type, 30, COLUMNS);
    kcl_status status = KCL_ERROR_NO_MEMORY;
    for (long long at = 1; status == KCL_ERROR_NO_MEMORY; at++) {
        failing memory = {.fail_at = 0};
        kcl_solve_result r[COLUMNS];
        ck_assert_int_eq(
            kcl_context_create(
                &c, &(kcl_context_params){.device = "host", .threads = 1, .allocator = failing_allocator(&memory)}),
            KCL_OK);
        memory.fail_at = atomic_load(&memory.requests) + at;
        status = solve(op, solution, p.x_array, p.b_array, 2,
                       &(kcl_solve_params){.alpha = 1e-3, .preconditioner = KCL_PRECONDITIONER_CHOLESKY}, r, COLUMNS);
        ck_assert_msg(status == KCL_ERROR_NO_MEMORY || status == KCL_OK, "%s: %s", kcl_status_name(status),
                      kcl_context_error(c));
        kcl_context_destroy(&c);
        ck_assert_msg(memory.blocks == 0, "%lld blocks leak at request %lld", (long long)memory.blocks, at);
        c = outer;
    }
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {products_are_saved, 6},   {any_rank_solves, 0},
        {matrices_of_low_rank, 2}, {systems_without_a_factor_are_solved, 0},
        {reasons_are_the_same, 2}, {wrong_choices_are_refused, 0},
        {memory_runs_out, 0},
    };
    const test_entry on_devices[] = {
        {products_are_saved, 6},
        {any_rank_solves, 0},
        {matrices_of_low_rank, 2},
    };
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "preconditioners",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .begin = begin_systems,
                                              .end = end_systems,
                                              .tests = tests,
                                              .count = KB_COUNT(tests),
                                              .device_tests = long_tests() ? NULL : on_devices,
                                              .device_count = KB_COUNT(on_devices)});
}
