/* SPDX-License-Identifier: MIT */
/*
 * Solutions of linear systems against Cholesky's decomposition of dense matrices in double; by the interpreter and, with
 * the argument "device", on a device.
 */
#include "systems.h"

#include <float.h>

/* On the way to here, rounding has cost this much of a product with the matrix in double. */
static double rounding_of(const double *matrix, double alpha, int64_t n, const double *a, int64_t columns,
                          int64_t column)
{
    return 8 * DBL_EPSILON * (largest_eigenvalue(matrix, n) + alpha) * column_norm(a, n, columns, column);
}

/*
 * With residuals r, the solution errs by |r| / alpha at most, since no eigenvalue is below alpha. The dense solution errs
 * by rounding.
 */
static void close_to(const double *a, const double *want, int64_t n, int64_t columns, int64_t column, double residual,
                     double alpha, double condition)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++)
        square += pow(a[i * columns + column] - want[i * columns + column], 2);
    const double bound =
        1.01 * residual / alpha + 100 * DBL_EPSILON * condition * column_norm(want, n, columns, column);
    ck_assert_msg(sqrt(square) <= bound, "the solution is off by %g, at most %g is possible", sqrt(square), bound);
}

/*
 * Condition numbers from 10 to 1e8, by alpha: in float64; float32 for float32; and a float64 solution for float32. All
 * converge but the float32 solutions of large condition numbers, whose own rounding has a larger residual: they end
 * NOT_REACHED, and tell the residual.
 */
START_TEST(solutions_are_those_of_cholesky)
{
    static const double conditions[] = {1e1, 1e2, 1e4, 1e6, 1e8};
    const int64_t sizes[] = {on_device ? 500 : 100, on_device ? 2000 : 200};
    const kcl_dtype of[][2] = {{KCL_F64, KCL_F64}, {KCL_F32, KCL_F32}, {KCL_F32, KCL_F64}};
    for (size_t round = 0; round < 2 * KB_COUNT(conditions); round++) {
        const double condition = conditions[round / 2], tolerance = of[_i][1] == KCL_F64 ? 1e-8 : 1e-4, g = 1;
        const int64_t n = sizes[round % 2];
        if (round % 2 && condition != 1e4) /* the larger size once */
            continue;
        type = of[_i][0];
        double *x = random_numbers(n * 3, 0, 1), *b = random_numbers(n, -1, 1);
        kcl_array *x_array = GIVEN(x, n, 3), *b_array = GIVEN(b, n, 1), *a_array = WANTED(of[_i][1], n, 1);
        double *matrix = gauss_matrix(x, n, 3, g);
        const double alpha = largest_eigenvalue(matrix, n) / condition;
        /* The library has alpha in the precision of the arrays or better. */
        kcl_solve_result r = {.iterations = -1};
        const kcl_status status =
            solve(operator_of(GAUSS, 3, 1), a_array, x_array, b_array, g,
                  &(kcl_solve_params){.alpha = alpha, .tolerance = tolerance, .max_iterations = 20000}, &r, 1);
        double *a = numbers_of(a_array);
        const double is = dense_residual(matrix, alpha, NULL, n, 1, 0, b, a);
        const double rounding = rounding_of(matrix, alpha, n, a, 1, 0);
        if (of[_i][1] == KCL_F32 && condition >= 1e4) {
            /* Rounding of a alone makes a residual of some eps |A a|, 6e-8 |a| times the largest eigenvalue. */
            const double floor = 6e-8 * largest_eigenvalue(matrix, n) * column_norm(a, n, 1, 0);
            ck_assert_msg(r.residual <= tolerance * r.norm + 2 * floor, "residual %g, float32 has %g", r.residual,
                          floor);
            ck_assert(r.reason == KCL_SOLVE_CONVERGED || r.reason == KCL_SOLVE_NOT_REACHED);
            ck_assert_int_eq(status, r.reason == KCL_SOLVE_CONVERGED ? KCL_OK : KCL_ERROR_NOT_SOLVED);
            if (condition == 1e8)
                ended(r, KCL_SOLVE_NOT_REACHED);
        } else {
            ck_assert_msg(status == KCL_OK, "condition %g: %s", condition, kcl_context_error(c));
            ended(r, KCL_SOLVE_CONVERGED);
            ck_assert_double_le(is, tolerance * r.norm + rounding);
        }
        honest(r, is, rounding);
        ck_assert_double_le(fabs(r.norm - column_norm(b, n, 1, 0)), 1e-12 * r.norm);
        ck_assert_int_gt((int)r.iterations, 0);
        close_to(a, dense_solution(matrix, alpha, NULL, n, 1, b), n, 1, 0, is, alpha, condition);
    }
}
END_TEST

/* Columns b, 1e-6 b, 0 and 1e6 b in one call, each to its own tolerance; then to one absolute tolerance for all. */
START_TEST(right_hand_sides_have_tolerances_of_their_own)
{
    enum { COLUMNS = 4 };
    const double scale[COLUMNS] = {1, 1e-6, 0, 1e6}, alpha = 0.1, tolerance = 1e-5;
    const int64_t n = on_device ? 400 : 100;
    type = _i ? KCL_F32 : KCL_F64;
    double *x = random_numbers(n * 3, 0, 1), *b = random_numbers(n * COLUMNS, -1, 1);
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < COLUMNS; k++)
            b[i * COLUMNS + k] *= scale[k];
    kcl_array *x_array = GIVEN(x, n, 3), *b_array = GIVEN(b, n, COLUMNS), *a_array = WANTED(KCL_F64, n, COLUMNS);
    double *matrix = gauss_matrix(x, n, 3, 10), *want = dense_solution(matrix, alpha, NULL, n, COLUMNS, b);
    kcl_operator *op = operator_of(GAUSS, 3, COLUMNS);
    kcl_solve_result r[COLUMNS];
    ok(solve(op, a_array, x_array, b_array, 10, &(kcl_solve_params){.alpha = alpha, .tolerance = tolerance}, r,
             COLUMNS));
    double *a = numbers_of(a_array);
    for (int k = 0; k < COLUMNS; k++) {
        const double is = dense_residual(matrix, alpha, NULL, n, COLUMNS, k, b, a);
        ended(r[k], KCL_SOLVE_CONVERGED);
        honest(r[k], is, rounding_of(matrix, alpha, n, a, COLUMNS, k));
        ck_assert_double_le(is, 1.01 * tolerance * column_norm(b, n, COLUMNS, k));
        close_to(a, want, n, COLUMNS, k, is, alpha, 1e4);
    }
    ck_assert_int_eq((int)r[2].iterations, 0);
    ck_assert_double_eq(r[2].norm, 0);
    ck_assert_double_eq(column_norm(a, n, COLUMNS, 2), 0);
    ck_assert(r[0].iterations > 0 && r[1].iterations > 0 && r[3].iterations > 0);

    const double absolute = 1e-2;
    ok(solve(op, a_array, x_array, b_array, 10, &(kcl_solve_params){.alpha = alpha, .absolute = absolute}, r, COLUMNS));
    a = numbers_of(a_array);
    for (int k = 0; k < COLUMNS; k++)
        ck_assert_double_le(dense_residual(matrix, alpha, NULL, n, COLUMNS, k, b, a), 1.01 * absolute);
    ck_assert_int_eq((int)r[1].iterations, 0);
    ck_assert_int_gt((int)r[3].iterations, (int)r[0].iterations);
    /* The larger of both tolerances counts. */
    ok(solve(op, a_array, x_array, b_array, 10,
             &(kcl_solve_params){.alpha = alpha, .absolute = absolute, .tolerance = tolerance}, r, COLUMNS));
    a = numbers_of(a_array);
    ck_assert_double_le(dense_residual(matrix, alpha, NULL, n, COLUMNS, 0, b, a), 1.01 * absolute);
    ck_assert_double_le(dense_residual(matrix, alpha, NULL, n, COLUMNS, 3, b, a), 1.01 * tolerance * r[3].norm);
}
END_TEST

/*
 * Two batch axes, (2, 1) and (3), of which one element has its points close together and is hard: as many products and
 * the same solutions as in calls of their own.
 */
START_TEST(elements_of_a_batch_are_systems_of_their_own)
{
    enum { BATCHES = 6 };
    const int64_t n = on_device ? 200 : 60;
    const double alpha = 1e-3;
    double *x = random_numbers(2 * n * 3, 0, 1), *b = random_numbers(3 * n, -1, 1);
    for (int64_t k = 0; k < n * 3; k++) /* the first points are far apart */
        x[k] *= 30;
    kcl_array *a_array = WANTED(KCL_F64, 2, 3, n, 1);
    kcl_operator *op = operator_of(GAUSS, 3, 1);
    const kcl_solve_params params = {.alpha = alpha, .tolerance = 1e-7};
    kcl_solve_result r[BATCHES];
    ok(solve(op, a_array, GIVEN(x, 2, 1, n, 3), GIVEN(b, 3, n, 1), 10, &params, r, BATCHES));
    const double *a = numbers_of(a_array);
    for (int of = 0; of < BATCHES; of++) {
        kcl_array *alone = WANTED(KCL_F64, n, 1);
        kcl_solve_result one;
        double *points = x + of / 3 * n * 3, *side = b + of % 3 * n, *matrix = gauss_matrix(points, n, 3, 10);
        ok(solve(op, alone, GIVEN(points, n, 3), GIVEN(side, n, 1), 10, &params, &one, 1));
        const double is = dense_residual(matrix, alpha, NULL, n, 1, 0, side, a + of * n);
        ended(r[of], KCL_SOLVE_CONVERGED);
        honest(r[of], is, rounding_of(matrix, alpha, n, a + of * n, 1, 0));
        ck_assert_double_le(is, 1.01e-7 * r[of].norm);
        /* Sums are in another order on devices. */
        ck_assert_msg(llabs(r[of].iterations - one.iterations) <= 1 + one.iterations / 20, "%lld products, alone %lld",
                      (long long)r[of].iterations, (long long)one.iterations);
        close_to(a + of * n, numbers_of(alone), n, 1, 0, is + one.residual, alpha, 1e6);
    }
    ck_assert_int_gt((int)r[3].iterations, 3 * (int)r[0].iterations);
}
END_TEST

/* b without batch axes beside points with one, and the reverse; the number g by batch. */
START_TEST(batch_axes_are_broadcast)
{
    const int64_t n = 50;
    const double alpha = 0.05;
    double *x = random_numbers(2 * n * 3, 0, 1), *b = random_numbers(2 * n * 2, -1, 1), g[] = {3, 10};
    kcl_operator *op = operator_of(GAUSS, 3, 2);
    type = _i % 2 ? KCL_F32 : KCL_F64;
    const bool points = _i / 2 == 0, sides = _i / 2 == 1, numbers = _i / 2 == 2;
    kcl_array *x_array = points ? GIVEN(x, 2, n, 3) : GIVEN(x, n, 3),
              *b_array = sides ? GIVEN(b, 2, n, 2) : GIVEN(b, n, 2), *g_array = numbers ? GIVEN(g, 2, 1) : GIVEN(g, 1),
              *a_array = WANTED(KCL_F64, 2, n, 2);
    const kcl_array *args[] = {x_array, x_array, b_array, g_array};
    kcl_solve_result r[4];
    ok(kcl_operator_solve(op, c, "b", a_array, args, 4, &(kcl_solve_params){.alpha = alpha, .tolerance = 1e-8}, r, 4));
    double *a = numbers_of(a_array);
    for (int of = 0; of < 2; of++) {
        double *matrix = gauss_matrix(x + of * points * n * 3, n, 3, g[of * numbers]);
        const double *side = b + of * sides * n * 2, *is = a + of * n * 2;
        double *want = dense_solution(matrix, alpha, NULL, n, 2, side);
        for (int k = 0; k < 2; k++) {
            const double residual = dense_residual(matrix, alpha, NULL, n, 2, k, side, is);
            ended(r[2 * of + k], KCL_SOLVE_CONVERGED);
            honest(r[2 * of + k], residual, rounding_of(matrix, alpha, n, is, 2, k));
            close_to(is, want, n, 2, k, residual, alpha, 1e4);
        }
    }
}
END_TEST

/* The solution for a looser tolerance, or for a b near by, is a start that saves products; the solution saves all. */
START_TEST(a_start_saves_products)
{
    const int64_t n = on_device ? 400 : 100;
    const double alpha = 1e-3;
    type = _i ? KCL_F32 : KCL_F64;
    double *x = random_numbers(n * 3, 0, 1), *b = random_numbers(n, -1, 1);
    kcl_array *x_array = GIVEN(x, n, 3), *first = WANTED(type, n, 1), *second = WANTED(KCL_F64, n, 1);
    kcl_operator *op = operator_of(GAUSS, 3, 1);
    kcl_solve_result cold, warm, hot;
    ok(solve(op, first, x_array, GIVEN(b, n, 1), 10, &(kcl_solve_params){.alpha = alpha, .tolerance = 1e-3}, &cold, 1));
    for (int64_t i = 0; i < n; i++)
        b[i] += 0.01 * uniform(-1, 1);
    kcl_array *b_array = GIVEN(b, n, 1);
    const kcl_solve_params params = {.alpha = alpha, .tolerance = 1e-5};
    ok(solve(op, second, x_array, b_array, 10, &params, &cold, 1));
    kcl_solve_params started = params;
    started.start = first;
    ok(solve(op, second, x_array, b_array, 10, &started, &warm, 1));
    ck_assert_msg(warm.iterations < cold.iterations && warm.iterations > 0, "%lld products, and %lld without a start",
                  (long long)warm.iterations, (long long)cold.iterations);
    double *matrix = gauss_matrix(x, n, 3, 10);
    ck_assert_double_le(dense_residual(matrix, alpha, NULL, n, 1, 0, b, numbers_of(second)), 1.01e-5 * warm.norm);
    started.start = second; /* which is float64 beside float32 */
    ok(solve(op, second, x_array, b_array, 10, &started, &hot, 1));
    ck_assert_int_eq((int)hot.iterations, 0);
    honest(hot, dense_residual(matrix, alpha, NULL, n, 1, 0, b, numbers_of(second)), 1e-9 * hot.norm);
    /* A batch, and a start without the axis of one component. */
    double *both = zeros(2 * n), *starts = zeros(2 * n);
    kcl_solve_result two[2];
    memcpy(both, b, (size_t)n * sizeof *b);
    memcpy(starts + n, numbers_of(second), (size_t)n * sizeof *starts);
    memcpy(both + n, b, (size_t)n * sizeof *b);
    started.start = GIVEN(starts, 2, n);
    ok(solve(op, WANTED(KCL_F64, 2, n, 1), x_array, GIVEN(both, 2, n, 1), 10, &started, two, 2));
    ck_assert_int_lt((int)two[1].iterations, (int)two[0].iterations);
}
END_TEST

/* A noise for each point, beside alpha or alone, the same for all elements of a batch or by element. */
START_TEST(noise_is_by_point)
{
    const int64_t n = 60;
    type = _i % 2 ? KCL_F32 : KCL_F64;
    const double alpha = _i / 2 == 1 ? 0 : 0.05;
    const bool by_element = _i / 2 == 2;
    double *x = random_numbers(n * 3, 0, 1), *b = random_numbers(2 * n, -1, 1), *noise = random_numbers(2 * n, 0.01, 1);
    kcl_array *a_array = WANTED(KCL_F64, 2, n, 1), *noise_array = by_element ? GIVEN(noise, 2, n) : GIVEN(noise, n);
    kcl_solve_result r[2];
    ok(solve(operator_of(GAUSS, 3, 1), a_array, GIVEN(x, n, 3), GIVEN(b, 2, n, 1), 10,
             &(kcl_solve_params){.alpha = alpha, .noise = noise_array, .tolerance = 1e-8}, r, 2));
    double *a = numbers_of(a_array), *matrix = gauss_matrix(x, n, 3, 10);
    for (int of = 0; of < 2; of++) {
        const double *own = noise + of * by_element * n;
        const double is = dense_residual(matrix, alpha, own, n, 1, 0, b + of * n, a + of * n);
        ended(r[of], KCL_SOLVE_CONVERGED);
        honest(r[of], is, rounding_of(matrix, 1, n, a + of * n, 1, 0));
        ck_assert_double_le(is, 1.01e-8 * r[of].norm);
        close_to(a + of * n, dense_solution(matrix, alpha, own, n, 1, b + of * n), n, 1, 0, is, 0.01 + alpha, 1e4);
    }
}
END_TEST

/* All arrays are in the memory of the context: bit for bit the solution of arrays on the host. */
START_TEST(arrays_may_be_on_the_device)
{
    const int64_t n = 80;
    type = _i ? KCL_F32 : KCL_F64;
    double *x = random_numbers(n * 3, 0, 1), *b = random_numbers(n * 2, -1, 1), *noise = random_numbers(n, 0.1, 1),
           *start = random_numbers(n * 2, -1, 1), g = 5;
    kcl_array *here[] = {GIVEN(x, n, 3),  GIVEN(b, n, 2),     GIVEN(&g, 1),
                         GIVEN(noise, n), GIVEN(start, n, 2), WANTED(type, n, 2)},
              *there[KB_COUNT(here)];
    for (size_t k = 0; k < KB_COUNT(here); k++)
        there[k] = uploaded(here[k]);
    kcl_operator *op = operator_of(GAUSS, 3, 2);
    kcl_solve_result r[2][2];
    for (int k = 0; k < 2; k++) {
        kcl_array **of = k ? there : here;
        ok(kcl_operator_solve(op, c, "b", of[5], (const kcl_array *[]){of[0], of[0], of[1], of[2]}, 4,
                              &(kcl_solve_params){.alpha = 0.1, .noise = of[3], .start = of[4]}, r[k], 2));
    }
    const double *a = numbers_of(there[5]), *want = numbers_of(here[5]);
    for (int64_t k = 0; k < n * 2; k++)
        ck_assert_double_eq(a[k], want[k]);
    ck_assert_int_eq(r[0][1].iterations, r[1][1].iterations);
    double *matrix = gauss_matrix(x, n, 3, g);
    for (int k = 0; k < 2; k++)
        honest(r[1][k], dense_residual(matrix, 0.1, noise, n, 2, k, b, a), rounding_of(matrix, 1, n, a, 2, k));
}
END_TEST

/* Rows apart, backwards and transposed, of all arrays; a solution in the place of b. */
START_TEST(strides_and_places)
{
    const int64_t n = 40;
    double *x = random_numbers(n * 3, 0, 1), *b = random_numbers(n * 2, -1, 1), g = 5;
    type = KCL_F32;
    GIVEN(x, n, 3); /* rounds */
    GIVEN(b, n, 2);
    numbers points, side, a;
    const layout how = (layout)_i;
    numbers_make(&points, type, n, 3, how);
    numbers_make(&side, type, n, 2, how);
    numbers_make(&a, type, n, 2, how);
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 3; k++) {
            numbers_set(&points, i, k, x[3 * i + k]);
            if (k < 2)
                numbers_set(&side, i, k, b[2 * i + k]);
        }
    kcl_operator *op = operator_of(GAUSS, 3, 2);
    kcl_solve_result r[2];
    const kcl_solve_params params = {.alpha = 0.1};
    ok(solve(op, &a.array, &points.array, &side.array, g, &params, r, 2));
    ok(solve(op, &side.array, &points.array, &side.array, g, &params, r, 2));
    double *matrix = gauss_matrix(x, n, 3, g), *is = zeros(n * 2);
    for (int64_t k = 0; k < n * 2; k++) {
        is[k] = numbers_get(&a, k / 2, (int)(k % 2));
        ck_assert_double_eq(is[k], numbers_get(&side, k / 2, (int)(k % 2)));
    }
    for (int k = 0; k < 2; k++)
        ck_assert_double_le(dense_residual(matrix, 0.1, NULL, n, 2, k, b, is), 1.01e-4 * r[k].norm);
    numbers_check_gaps(&a);
    numbers_free(&points);
    numbers_free(&side);
    numbers_free(&a);
}
END_TEST

/* A kernel whose values are matrices: components of a row are unknowns of one system, and there is one a batch. */
START_TEST(matrix_valued_kernels_are_one_system)
{
    enum { D = 3, BATCHES = 2 };
    const int64_t n = 30, size = n * D;
    const double alpha = 0.05, g = 4;
    type = _i ? KCL_F32 : KCL_F64;
    double *x = random_numbers(n * D, -1, 1), *b = random_numbers(BATCHES * n * D, -1, 1);
    kcl_array *a_array = WANTED(KCL_F64, BATCHES, n, D);
    kcl_operator *op = operator_of("Sum_Reduction(Exp(-g*SqDist(x,y))*b + x*(y|b),0)", D, D);
    kcl_solve_result r[BATCHES];
    ok(solve(op, a_array, GIVEN(x, n, D), GIVEN(b, BATCHES, n, D), g,
             &(kcl_solve_params){.alpha = alpha, .tolerance = 1e-8}, r, BATCHES));
    double *a = numbers_of(a_array), *k = gauss_matrix(x, n, D, g), *matrix = zeros(size * size);
    for (int64_t row = 0; row < size; row++)
        for (int64_t column = 0; column < size; column++)
            matrix[row * size + column] =
                x[row] * x[column] + (row % D == column % D ? k[row / D * n + column / D] : 0);
    for (int of = 0; of < BATCHES; of++) {
        const double *side = b + of * size, *is = a + of * size;
        const double residual = dense_residual(matrix, alpha, NULL, size, 1, 0, side, is);
        ended(r[of], KCL_SOLVE_CONVERGED);
        honest(r[of], residual, rounding_of(matrix, alpha, size, is, 1, 0));
        ck_assert_double_le(residual, 1.01e-8 * column_norm(side, size, 1, 0));
        close_to(is, dense_solution(matrix, alpha, NULL, size, 1, side), size, 1, 0, residual, alpha, 1e4);
    }
}
END_TEST

/*
 * Points of a circle at equal angles: sums of the kernel are the same for all, so the normalised matrix is symmetric.
 */
START_TEST(a_normaliser_is_a_factor)
{
    enum { N_ = 64 };
    const double alpha = 0.01, turn = 6.283185307179586 / N_;
    double *x = zeros(N_), *b = random_numbers(N_, -1, 1), *matrix = zeros(N_ * N_), sum = 0;
    for (int i = 0; i < N_; i++) {
        x[i] = turn * i;
        sum += exp(cos(turn * i));
    }
    for (int i = 0; i < N_; i++)
        for (int j = 0; j < N_; j++)
            matrix[i * N_ + j] = exp(cos(turn * (i - j))) / sum;
    kcl_array *x_array = GIVEN(x, N_, 1), *b_array = GIVEN(b, N_, 1), *a_array = WANTED(KCL_F64, N_, 1);
    const kcl_solve_params params = {.alpha = alpha, .tolerance = 1e-8};
    double *want = dense_solution(matrix, alpha, NULL, N_, 1, b);
    kcl_expr *x_i = kcl_vi(s, x_array), *y_j = kcl_vj(s, x_array), *b_j = kcl_vj(s, b_array), *vars[] = {x_i, y_j, b_j};
    kcl_expr *kernel = kcl_exp(kcl_cos(kcl_sub(x_i, y_j)));
    kcl_expr *quotient = kcl_div(kcl_reduce_sum(kcl_mul(kernel, b_j), KCL_OVER_J), kcl_reduce_sum(kernel, KCL_OVER_J));
    kcl_operator *from;
    ok(kcl_operator_from(&from, 1, &quotient, 3, vars, NULL));
    kcl_solve_result r;
    ok(kcl_operator_solve(from, c, "2", a_array, (const kcl_array *[]){x_array, x_array, b_array}, 3, &params, &r, 1));
    double *a = numbers_of(a_array);
    ended(r, KCL_SOLVE_CONVERGED);
    const double is = dense_residual(matrix, alpha, NULL, N_, 1, 0, b, a);
    honest(r, is, 1e-14 * r.norm / alpha);
    close_to(a, want, N_, 1, 0, is, alpha, 1e3);
    kcl_operator_destroy(&from);
}
END_TEST

/* No points, one and two, in both types. */
START_TEST(few_points)
{
    for (int64_t n = 0; n <= 2; n++) {
        type = _i ? KCL_F32 : KCL_F64;
        double *x = random_numbers(n * 3, 0, 1), *b = random_numbers(n * 2, 1, 2);
        kcl_array *a_array = WANTED(KCL_F64, n, 2);
        kcl_solve_result r[2];
        ok(solve(operator_of(GAUSS, 3, 2), a_array, GIVEN(x, n, 3), GIVEN(b, n, 2), 1,
                 &(kcl_solve_params){.alpha = 0.5, .tolerance = 1e-12}, r, 2));
        double *a = numbers_of(a_array), *matrix = gauss_matrix(x, n, 3, 1),
               *want = dense_solution(matrix, 0.5, NULL, n, 2, b);
        for (int k = 0; k < 2; k++) {
            ended(r[k], KCL_SOLVE_CONVERGED);
            ck_assert_double_le(r[k].residual, 1e-12 * r[k].norm);
            for (int64_t i = 0; i < n; i++)
                ck_assert_double_le(fabs(a[2 * i + k] - want[2 * i + k]), 1e-11);
            if (n == 0)
                ck_assert(r[k].norm == 0 && r[k].iterations == 0);
            else
                ck_assert(r[k].iterations > 0);
        }
    }
}
END_TEST

/* The unknown by its number, an operator of expressions, results that are not wanted, parameters that are not given. */
START_TEST(ways_to_call)
{
    const int64_t n = 30;
    double *x = random_numbers(n * 3, 0, 1), *b = random_numbers(n, -1, 1), g = 300;
    kcl_array *x_array = GIVEN(x, n, 3), *b_array = GIVEN(b, n), *a_array = WANTED(KCL_F64, n);
    const kcl_array *args[] = {x_array, x_array, b_array, GIVEN(&g, 1)};
    kcl_operator *op = operator_of(GAUSS, 3, 1), *from;
    double *matrix = gauss_matrix(x, n, 3, g), *want = dense_solution(matrix, 0, NULL, n, 1, b);
    ok(kcl_operator_solve(op, c, "2", a_array, args, 4, NULL, NULL, 0));
    const double *a = numbers_of(a_array);
    for (int64_t i = 0; i < n; i++)
        ck_assert_double_le(fabs(a[i] - want[i]), 1e-4);
    kcl_expr *x_i = kcl_vi(s, x_array), *y_j = kcl_vj(s, x_array), *b_j = kcl_vj(s, b_array), *vars[] = {x_i, y_j, b_j};
    kcl_expr *sum = kcl_reduce_sum(kcl_mul(kcl_exp(kcl_scale(kcl_sqdist(x_i, y_j), -g)), b_j), KCL_OVER_J);
    ok(kcl_operator_from(&from, 1, &sum, 3, vars, NULL));
    kcl_solve_result r;
    ok(kcl_operator_solve(from, c, "2", a_array, args, 3, NULL, &r, 1));
    ended(r, KCL_SOLVE_CONVERGED);
    honest(r, dense_residual(matrix, 0, NULL, n, 1, 0, b, numbers_of(a_array)), 1e-14 * r.norm);
    ck_assert_double_le(r.residual, 1e-6 * r.norm); /* the default for float64 */
    kcl_operator_destroy(&from);
    /* Three batches of a single point are no three points. */
    kcl_solve_result each[3];
    kcl_array *halves = WANTED(KCL_F64, 3, 1, 1);
    ok(solve(op, halves, GIVEN(x, 3, 1, 3), GIVEN(b, 3, 1, 1), g, &(kcl_solve_params){.alpha = 1}, each, 3));
    for (int k = 0; k < 3; k++)
        ck_assert_double_le(fabs(numbers_of(halves)[k] - b[k] / 2), 1e-6);
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {solutions_are_those_of_cholesky, 3},
        {right_hand_sides_have_tolerances_of_their_own, 2},
        {elements_of_a_batch_are_systems_of_their_own, 0},
        {batch_axes_are_broadcast, 6},
        {a_start_saves_products, 2},
        {noise_is_by_point, 6},
        {arrays_may_be_on_the_device, 2},
        {strides_and_places, LAYOUT_COUNT},
        {matrix_valued_kernels_are_one_system, 2},
        {a_normaliser_is_a_factor, 0},
        {few_points, 2},
        {ways_to_call, 0},
    };
    /* Each builds kernels of its own. */
    const test_entry on_devices[] = {
        {solutions_are_those_of_cholesky, 3},
        {right_hand_sides_have_tolerances_of_their_own, 2},
        {elements_of_a_batch_are_systems_of_their_own, 0},
        {batch_axes_are_broadcast, 2},
        {noise_is_by_point, 2},
        {arrays_may_be_on_the_device, 2},
        {matrix_valued_kernels_are_one_system, 0},
        {a_normaliser_is_a_factor, 0},
        {few_points, 0},
    };
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "solve",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .begin = begin_systems,
                                              .end = end_systems,
                                              .tests = tests,
                                              .count = KB_COUNT(tests),
                                              .device_tests = long_tests() ? NULL : on_devices,
                                              .device_count = KB_COUNT(on_devices)});
}
