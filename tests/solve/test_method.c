/* SPDX-License-Identifier: MIT */
/*
 * Conjugate gradients with refinement on small dense matrices, whose operations are plain loops. The matrices have chosen
 * eigenvalues, so solutions, curvatures and what an arithmetic can reach are known beforehand.
 */
#include "dense.h"
#include "failing.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* ---- Systems that have a solution --------------------------------------------------------------------------------- */

/* As many products as there are distinct eigenvalues, and few more for the residual that is computed anew. */
START_TEST(distinct_eigenvalues_are_products)
{
    static const int distinct[] = {1, 2, 5, 9};
    const int count = distinct[_i];
    set_condition(0, 10, count);
    set_right_side(0, 1);
    const kcl_solve_result r = solve_one(1e-10, 1000, &operations);
    is_reason(r, KCL_SOLVE_CONVERGED);
    ck_assert(r.residual <= 1e-10 * r.norm);
    ck_assert_msg(r.iterations >= count && r.iterations <= count + 1, "%lld products", (long long)r.iterations);
    ck_assert_int_eq(s.calls[REFINE], 0);
    ck_assert_int_eq(s.calls[APPLY], (int)r.iterations);
}
END_TEST

/* The goal is 1e-13 |b|, far below what float32 has: passes of float32, in which nothing else is exact, add up. */
START_TEST(passes_of_float32_reach_what_float64_has)
{
    static const double condition[] = {1e1, 1e2, 1e3};
    s.rounds = true;
    set_condition(0, condition[_i], N);
    set_right_side(0, 1);
    const ks_operations own = without_refine();
    const kcl_solve_result r = solve_one(1e-13, 1000, &own);
    is_reason(r, KCL_SOLVE_CONVERGED);
    ck_assert(r.residual <= 1e-13 * r.norm);
    ck_assert_int_gt(s.calls[BEGIN], 1);
}
END_TEST

/* Matrices that float32 cannot solve for: the iterations become float64, or end with the best solution. */
START_TEST(float32_that_stagnates_is_refined)
{
    s.rounds = true;
    set_condition(0, 1e10, N);
    set_right_side(0, 1);
    if (_i == 0) {
        const kcl_solve_result r = solve_one(1e-6, 1000, &operations);
        is_reason(r, KCL_SOLVE_CONVERGED);
        ck_assert_int_eq(s.calls[REFINE], 1);
    } else {
        const ks_operations own = without_refine();
        const kcl_solve_result r = solve_one(1e-6, 1000, &own);
        ck_assert(r.reason == KCL_SOLVE_NOT_REACHED || r.reason == KCL_SOLVE_NOT_POSITIVE_DEFINITE ||
                  r.reason == KCL_SOLVE_INDEFINITE);
        ck_assert(r.residual <= r.norm);
        ck_assert_int_lt((int)r.iterations, 1000);
    }
}
END_TEST

/* No arithmetic solves to 1e-18 |b|: the end is NOT_REACHED, near what float64 has, long before the limit. */
START_TEST(a_goal_below_rounding_is_not_reached)
{
    s.rounds = _i == 1;
    set_condition(0, 100, N);
    set_right_side(0, 1);
    const kcl_solve_result r = solve_one(1e-18, 100000, &operations);
    is_reason(r, KCL_SOLVE_NOT_REACHED);
    ck_assert_msg(r.residual < 1e-14 * r.norm, "%g of |b|", r.residual / r.norm);
    ck_assert_int_lt((int)r.iterations, 1000);
    ck_assert_int_eq(s.calls[REFINE], _i);
}
END_TEST

/* Each system has a goal of its own: of the size of b, or the same for all. */
START_TEST(goals_are_by_system)
{
    const double scale[] = {1, 1e-6, 0, 1e6};
    double relative[4], absolute[4];
    kcl_solve_result r[4];
    s.rounds = _i % 2;
    s.count = 4;
    for (size_t k = 0; k < s.count; k++) {
        set_condition(0, 100, N);
        memcpy(s.a[k], s.a[0], sizeof s.a[k]);
        set_right_side(k, scale[k]);
        relative[k] = 1e-9 * norm_of(s.b[k]);
        absolute[k] = 1e-4;
    }
    const double *goal = _i < 2 ? relative : absolute;
    ck_assert_int_eq(solve(goal, 1000, &operations, r), KCL_OK);
    for (size_t k = 0; k < s.count; k++) {
        is_reason(r[k], KCL_SOLVE_CONVERGED);
        const double is = true_residual(k);
        ck_assert_double_le(is, goal[k]);
        ck_assert_double_le(fabs(is - r[k].residual), 1e-6 * is);
        ck_assert_double_eq(r[k].norm, norm_of(s.b[k]));
    }
    ck_assert_int_eq((int)r[2].iterations, 0);
    ck_assert_double_eq(r[2].residual, 0);
    ck_assert_double_eq(norm_of(s.x[2]), 0);
    if (_i >= 2) { /* all of |b| is within the goal of the second, and the last has the longest way */
        ck_assert_int_eq((int)r[1].iterations, 0);
        ck_assert_int_gt((int)r[3].iterations, (int)r[0].iterations);
    } else {
        ck_assert_int_gt((int)r[1].iterations, 0);
    }
}
END_TEST

/* A system that is hard, and one that is not finite, change no bit of the others. */
START_TEST(systems_do_not_touch_each_other)
{
    kcl_solve_result alone, r[3];
    vector x;
    const double conditions[] = {10, 1e6, 10};
    double goal[3];
    for (size_t k = 0; k < 3; k++) {
        set_condition(k, conditions[k], N);
        set_right_side(k, 1);
        goal[k] = 1e-8 * norm_of(s.b[k]);
    }
    s.a[2][3][4] = s.a[2][4][3] = NAN;
    s.count = 1;
    ck_assert_int_eq(solve(goal, 1000, &operations, &alone), KCL_OK);
    memcpy(x, s.x[0], sizeof x);
    memset(s.x, 0, sizeof s.x);
    s.count = 3;
    ck_assert_int_eq(solve(goal, 1000, &operations, r), KCL_OK);
    is_reason(r[0], KCL_SOLVE_CONVERGED);
    is_reason(r[1], KCL_SOLVE_CONVERGED);
    is_reason(r[2], KCL_SOLVE_NOT_FINITE);
    ck_assert_int_eq(memcmp(x, s.x[0], sizeof x), 0);
    ck_assert_int_eq((int)r[0].iterations, (int)alone.iterations);
    ck_assert_int_gt((int)r[1].iterations, (int)r[0].iterations);
    for (int i = 0; i < N; i++)
        ck_assert(s.x[2][i] == 0);
}
END_TEST

/* A guess that is the solution needs no product; one that is near needs fewer than 0 does. */
START_TEST(guesses_help)
{
    vector exact;
    set_condition(0, 1e3, N);
    for (int i = 0; i < N; i++)
        exact[i] = random_number();
    residual_of(0, exact, s.b[0]); /* b is 0 so far: -A x */
    for (int i = 0; i < N; i++)
        s.b[0][i] = -s.b[0][i];
    const kcl_solve_result cold = solve_one(1e-6, 1000, &operations);
    memcpy(s.x[0], exact, sizeof exact);
    const kcl_solve_result hot = solve_one(1e-6, 1000, &operations);
    for (int i = 0; i < N; i++)
        s.x[0][i] = exact[i] * (1 + 1e-4 * random_number());
    const kcl_solve_result warm = solve_one(1e-6, 1000, &operations);
    is_reason(cold, KCL_SOLVE_CONVERGED);
    is_reason(hot, KCL_SOLVE_CONVERGED);
    is_reason(warm, KCL_SOLVE_CONVERGED);
    ck_assert_int_eq((int)hot.iterations, 0);
    ck_assert_msg(warm.iterations < cold.iterations && warm.iterations > 0, "%lld and %lld", (long long)warm.iterations,
                  (long long)cold.iterations);
}
END_TEST

/* A product of this matrix takes half a digit or so away, of ten: the last but one tells that little is left. */
START_TEST(digits_tell_how_far_it_is)
{
    set_condition(0, 10, N);
    set_right_side(0, 1);
    is_reason(solve_one(1e-10, 1000, &operations), KCL_SOLVE_CONVERGED);
    ck_assert_msg(s.told > 0.7 && s.told < 1.04, "%g is done", s.told);
    memset(s.x, 0, sizeof s.x);
    is_reason(solve_one(1e-10, 3, &operations), KCL_SOLVE_LIMIT);
    ck_assert_msg(s.told > 0.01 && s.told < 0.3, "%g is done", s.told);
}
END_TEST

/* Rows and columns of A are multiplied by numbers of up to 1e4, which a diagonal takes away. */
START_TEST(a_preconditioner_saves_products)
{
    set_condition(0, 4, N);
    set_right_side(0, 1);
    for (int i = 0; i < N; i++) {
        const double by = pow(10, 2 * random_number());
        s.scaling[i] = 1 / (by * by);
        for (int j = 0; j < N; j++) {
            s.a[0][i][j] *= by;
            s.a[0][j][i] *= by;
        }
    }
    const kcl_solve_result plain = solve_one(1e-8, 10000, &operations);
    memset(s.x, 0, sizeof s.x);
    s.preconditions = true;
    const kcl_solve_result better = solve_one(1e-8, 10000, &operations);
    is_reason(plain, KCL_SOLVE_CONVERGED);
    is_reason(better, KCL_SOLVE_CONVERGED);
    ck_assert_msg(2 * better.iterations < plain.iterations, "%lld and %lld products", (long long)better.iterations,
                  (long long)plain.iterations);
}
END_TEST

/* ---- Ends without a solution -------------------------------------------------------------------------------------- */

START_TEST(the_limit_ends)
{
    static const int64_t limits[] = {0, 1, 3, 8};
    set_condition(0, 1e6, N);
    set_right_side(0, 1);
    const kcl_solve_result r = solve_one(1e-12, limits[_i], &operations);
    is_reason(r, KCL_SOLVE_LIMIT);
    ck_assert_int_eq((int)r.iterations, (int)limits[_i]);
    ck_assert_int_eq(s.calls[APPLY], (int)limits[_i]);
    if (limits[_i] == 0)
        ck_assert_double_eq(r.residual, r.norm);
    /* Another 3 products from there leave a smaller error still. */
    const kcl_solve_result more = solve_one(1e-12, 3, &operations);
    is_reason(more, KCL_SOLVE_LIMIT);
    ck_assert_double_le(more.residual, r.residual);
}
END_TEST

/* A matrix with a NaN, or an infinity; a right-hand side with one; a guess with one; a preconditioner with one. */
START_TEST(what_is_not_finite_is_told)
{
    s.rounds = _i % 2;
    set_condition(0, 10, N);
    set_right_side(0, 1);
    const double value = _i % 4 < 2 ? NAN : INFINITY;
    switch (_i / 4) {
    case 0:
        s.a[0][5][7] = s.a[0][7][5] = value;
        break;
    case 1:
        s.b[0][3] = value;
        break;
    case 2:
        s.x[0][3] = value;
        break;
    default:
        s.preconditions = true;
        for (int i = 0; i < N; i++)
            s.scaling[i] = i == 3 ? value : 1;
    }
    kcl_solve_result r;
    s.count = 1;
    ck_assert_int_eq(solve((const double[]){1e-8}, 1000, &operations, &r), KCL_OK);
    is_reason(r, KCL_SOLVE_NOT_FINITE);
    ck_assert_int_lt((int)r.iterations, 10);
}
END_TEST

/* All eigenvalues are negative, half of them, or two. */
START_TEST(signs_of_curvature_are_told)
{
    double eigenvalues[N];
    for (int v = 0; v < N; v++)
        eigenvalues[v] = 0.1 + 0.9 * v / N;
    for (int v = 0; v < N; v++)
        if (_i / 2 == 0 || (_i / 2 == 1 && v < N / 2) || (_i / 2 == 2 && v >= N - 2))
            eigenvalues[v] = -eigenvalues[v];
    s.rounds = _i % 2;
    set_matrix(0, eigenvalues);
    set_right_side(0, 1);
    const kcl_solve_result r = solve_one(1e-8, 1000, &operations);
    if (_i / 2 == 0) {
        is_reason(r, KCL_SOLVE_NOT_POSITIVE_DEFINITE);
        ck_assert_int_le((int)r.iterations, 2 + 2 * (_i % 2));
    } else {
        is_reason(r, KCL_SOLVE_INDEFINITE);
    }
    ck_assert_double_le(r.residual, r.norm);
    ck_assert_int_lt((int)r.iterations, 300);
}
END_TEST

/* A matrix of rank 3: it is solved where b is in its range, and ends by itself where b is not. */
START_TEST(singular_matrices_end)
{
    double eigenvalues[N] = {1, 2, 3};
    set_matrix(0, eigenvalues);
    if (_i == 0) {
        vector x;
        for (int i = 0; i < N; i++)
            x[i] = random_number();
        residual_of(0, x, s.b[0]);
        const kcl_solve_result r = solve_one(1e-8, 1000, &operations);
        is_reason(r, KCL_SOLVE_CONVERGED);
        ck_assert_int_le((int)r.iterations, 4);
    } else {
        set_right_side(0, 1);
        const kcl_solve_result r = solve_one(1e-8, 100000, &operations);
        ck_assert(r.reason == KCL_SOLVE_NOT_REACHED || r.reason == KCL_SOLVE_NOT_POSITIVE_DEFINITE ||
                  r.reason == KCL_SOLVE_INDEFINITE);
        ck_assert_double_le(r.residual, r.norm);
        ck_assert_int_lt((int)r.iterations, 1000);
    }
}
END_TEST

/* A = 0, and b = 0 beside A = 0. */
START_TEST(a_matrix_of_zeros)
{
    set_right_side(0, 1);
    is_reason(solve_one(1e-8, 1000, &operations), KCL_SOLVE_NOT_POSITIVE_DEFINITE);
    ck_assert_double_eq(norm_of(s.x[0]), 0);
    memset(s.b, 0, sizeof s.b);
    is_reason(solve_one(1e-8, 1000, &operations), KCL_SOLVE_CONVERGED);
}
END_TEST

/* ---- Operations --------------------------------------------------------------------------------------------------- */

/* Iterations whose image is a third of A p: corrections are three times too long, and have to be taken back. */
START_TEST(corrections_that_make_it_worse_are_taken_back)
{
    vector start;
    s.rounds = true;
    set_condition(0, 10, N);
    set_right_side(0, 1);
    for (int i = 0; i < N; i++)
        start[i] = s.x[0][i] = random_number();
    s.apply_errs[0] = 1.0 / 3;
    if (_i == 0) {
        vector r0;
        residual_of(0, start, r0);
        const ks_operations own = without_refine();
        const kcl_solve_result r = solve_one(1e-8, 1000, &own);
        is_reason(r, KCL_SOLVE_NOT_REACHED);
        ck_assert_double_le(r.residual, norm_of(r0));
        for (int i = 0; i < N; i++)
            ck_assert_double_le(fabs(s.x[0][i] - start[i]), 1e-12);
    } else {
        is_reason(solve_one(1e-8, 1000, &operations), KCL_SOLVE_CONVERGED);
        ck_assert_int_eq(s.calls[REFINE], 1);
    }
    ck_assert_int_ge(s.calls[UNDO], 1);
}
END_TEST

/* One system is taken back, and the other keeps what it has. */
START_TEST(only_what_is_worse_is_taken_back)
{
    kcl_solve_result r[2];
    s.rounds = true;
    s.count = 2;
    double goal[2];
    for (size_t k = 0; k < 2; k++) {
        set_condition(k, 10, N);
        set_right_side(k, 1);
        goal[k] = 1e-4 * norm_of(s.b[k]);
    }
    s.apply_errs[1] = 0.25;
    const ks_operations own = without_refine();
    ck_assert_int_eq(solve(goal, 1000, &own, r), KCL_OK);
    is_reason(r[0], KCL_SOLVE_CONVERGED);
    is_reason(r[1], KCL_SOLVE_NOT_REACHED);
    ck_assert_double_le(true_residual(0), goal[0]);
    ck_assert_double_eq(r[1].residual, r[1].norm);
    ck_assert_double_le(norm_of(s.x[1]), 1e-12);
}
END_TEST

/* Whichever operation fails, in its first call or a later one: its status is returned, and nothing is called any more. */
START_TEST(the_first_failure_ends)
{
    int failures = 0;
    for (int at = 1; at < 4; at++) {
        memset(&s, 0, sizeof s);
        kcl_solve_result r;
        s.count = 1;
        s.rounds = true;
        set_condition(0, 10, N);
        set_right_side(0, 1);
        s.apply_errs[0] = 1.0 / 3; /* so that corrections are undone, and iterations refined */
        s.fails = (operation)_i;
        s.fails_at = at;
        const kcl_status status = solve((const double[]){1e-10}, 1000, &operations, &r);
        if (s.calls[_i] < at) { /* it was not called as often */
            ck_assert_int_eq(status, KCL_OK);
            is_reason(r, KCL_SOLVE_CONVERGED);
            continue;
        }
        failures++;
        ck_assert_int_eq(status, KCL_ERROR_OPENCL);
        ck_assert_int_eq(s.after_failure, 0);
        ck_assert_int_eq(s.calls[_i], at);
    }
    ck_assert_int_ge(failures, 1);
}
END_TEST

/* Each request for memory fails in turn. */
START_TEST(memory_runs_out)
{
    kcl_status status = KCL_ERROR_NO_MEMORY;
    long long at = 0;
    while (status == KCL_ERROR_NO_MEMORY) {
        ck_assert_int_lt((int)at, 20);
        memset(&s, 0, sizeof s);
        failing f = {.fail_at = ++at};
        const kcl_allocator allocator = failing_allocator(&f);
        set_condition(0, 10, N);
        set_right_side(0, 1);
        kcl_solve_result r;
        s.count = 1;
        const double norm = norm_of(s.b[0]), goal = 1e-6 * norm;
        const ks_problem problem = {.count = 1,
                                    .norm = &norm,
                                    .goal = &goal,
                                    .max_iterations = 100,
                                    .unit_roundoff = DBL_EPSILON,
                                    .is_finest = true,
                                    .operations = &operations,
                                    .allocator = &allocator};
        status = ks_solve(&problem, &r, &s.err);
        ck_assert_int_eq((int)atomic_load(&f.blocks), 0);
        if (status == KCL_OK)
            is_reason(r, KCL_SOLVE_CONVERGED);
        else
            ck_assert_int_eq(s.err.status, KCL_ERROR_NO_MEMORY);
    }
    ck_assert_int_eq(status, KCL_OK);
    ck_assert_int_gt((int)at, 1);
}
END_TEST

START_TEST(no_systems_are_solved)
{
    s.count = 0;
    ck_assert_int_eq(solve(NULL, 100, &operations, NULL), KCL_OK);
    ck_assert_int_eq(s.calls[APPLY], 0);
}
END_TEST

int main(void)
{
    const struct {
        const TTest *test;
        int rounds; /* 0: one, without a number */
    } tests[] = {
        {distinct_eigenvalues_are_products, 4},
        {passes_of_float32_reach_what_float64_has, 3},
        {float32_that_stagnates_is_refined, 2},
        {a_goal_below_rounding_is_not_reached, 2},
        {goals_are_by_system, 4},
        {systems_do_not_touch_each_other, 0},
        {guesses_help, 0},
        {digits_tell_how_far_it_is, 0},
        {a_preconditioner_saves_products, 0},
        {the_limit_ends, 4},
        {what_is_not_finite_is_told, 16},
        {signs_of_curvature_are_told, 6},
        {singular_matrices_end, 2},
        {a_matrix_of_zeros, 0},
        {corrections_that_make_it_worse_are_taken_back, 2},
        {only_what_is_worse_is_taken_back, 0},
        {the_first_failure_ends, OPERATIONS},
        {memory_runs_out, 0},
        {no_systems_are_solved, 0},
    };
    Suite *suite = suite_create("method");
    for (size_t k = 0; k < KB_COUNT(tests); k++) {
        TCase *tc = tcase_create(tests[k].test->name);
        tcase_add_checked_fixture(tc, set_up, NULL);
        if (tests[k].rounds)
            tcase_add_loop_test(tc, tests[k].test, 0, tests[k].rounds);
        else
            tcase_add_test(tc, tests[k].test);
        suite_add_tcase(suite, tc);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
