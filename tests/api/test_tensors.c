/* SPDX-License-Identifier: MIT */
/* The components as small tensors, functions of vectors: values against plain loops in double. */
#include "plain.h"

/* ---- Components as small tensors --------------------------------------------------------------------------------- */

static void has_shape(kcl_expr *f, int rank, const int *sizes)
{
    int shape[KCL_MAX_INNER];
    ck_assert_msg(kcl_expr_status(f) == KCL_OK, "%s", kcl_expr_error(f));
    ck_assert_int_eq(kcl_expr_inner_shape(f, shape), rank);
    for (int k = 0; k < rank; k++)
        ck_assert_int_eq(shape[k], sizes[k]);
}
#define HAS_SHAPE(f, ...) has_shape(f, (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)), (const int[]){__VA_ARGS__})
#define RESHAPE(f, ...)                                                                                                \
    kcl_reshape_inner(f, (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)), (const int[]){__VA_ARGS__})

START_TEST(test_inner_shapes)
{
    double a[M][12], b[N][12];
    for (int k = 0; k < 12; k++) {
        for (int i = 0; i < M; i++)
            a[i][k] = uniform(-1, 1);
        for (int j = 0; j < N; j++)
            b[j][k] = uniform(-1, 1);
    }
    kcl_expr *A = kcl_vi(s, kcl_f64(&a[0][0], M, 12)), *B = kcl_vj(s, kcl_f64(&b[0][0], N, 12));
    kcl_expr *A34 = RESHAPE(A, 3, 4), *B43 = RESHAPE(B, 4, 3), *A232 = RESHAPE(A, 2, 3, 2), *B62 = RESHAPE(B, 6, 2);
    HAS_SHAPE(A, 12);
    HAS_SHAPE(A34, 3, 4);
    HAS_SHAPE(RESHAPE(A34, 12), 12);
    /* Broadcasting: k is the flat component. */
    kcl_expr *column = RESHAPE(x_i, 3, 1), *row = kcl_extract(B, 0, 4);
    HAS_SHAPE(kcl_mul(column, row), 3, 4);
    CHECK(12, kcl_mul(column, row), x[i][k / 4] * b[j][k % 4]);
    CHECK(12, kcl_add(A34, row), a[i][k] + b[j][k % 4]);
    CHECK(12, kcl_add(column, RESHAPE(B, 3, 4)), x[i][k / 4] + b[j][k]);
    CHECK(12, kcl_mul(A34, w_j), a[i][k] * w[j]);
    CHECK(12, kcl_ifelse(column, A34, row), x[i][k / 4] >= 0 ? a[i][k] : b[j][k % 4]);
    CHECK(12, kcl_clamp(A34, kcl_constant(s, -0.5), row), clamped(a[i][k], -0.5, b[j][k % 4]));
    HAS_SHAPE(kcl_exp(kcl_square(kcl_pow(A34, 3))), 3, 4);
    HAS_SHAPE(kcl_reduce_sum(kcl_mul(A34, row), KCL_OVER_J), 3, 4);
    HAS_SHAPE(kcl_transpose(A34), 3, 4);
    /* Axes rearranged, sliced, summed. */
    HAS_SHAPE(kcl_transpose_inner(A34), 4, 3);
    CHECK(12, kcl_mul(kcl_transpose_inner(A34), B43), a[i][k % 3 * 4 + k / 3] * b[j][k]);
    kcl_expr *turned = kcl_permute_inner(A232, (int[]){2, 0, -2});
    HAS_SHAPE(turned, 2, 2, 3);
    CHECK(12, kcl_mul(turned, w_j), a[i][k / 3 % 2 * 6 + k % 3 * 2 + k / 6] * w[j]);
    HAS_SHAPE(kcl_slice_inner(A34, 1, 3, KCL_REST, -2), 3, 2);
    CHECK(6, kcl_mul(kcl_slice_inner(A34, 1, 3, KCL_REST, -2), w_j), a[i][k / 2 * 4 + 3 - k % 2 * 2] * w[j]);
    CHECK(4, kcl_mul(kcl_slice_inner(A34, -2, 1, 2, 1), w_j), a[i][4 + k] * w[j]);
    HAS_SHAPE(kcl_sum_inner_axis(A232, 1), 2, 2);
    CHECK(4, kcl_mul(kcl_sum_inner_axis(A232, 1), w_j),
          (a[i][k / 2 * 6 + k % 2] + a[i][k / 2 * 6 + 2 + k % 2] + a[i][k / 2 * 6 + 4 + k % 2]) * w[j]);
    CHECK(3, kcl_sum_inner_axis(kcl_mul(A34, row), -1),
          a[i][k * 4] * b[j][0] + a[i][k * 4 + 1] * b[j][1] + a[i][k * 4 + 2] * b[j][2] + a[i][k * 4 + 3] * b[j][3]);
    CHECK(1, kcl_sum_inner_axis(kcl_mul(x_i, y_j), 0), x[i][0] * y[j][0] + x[i][1] * y[j][1] + x[i][2] * y[j][2]);
    /* Products: matrices, a row, a column, and with a further axis that broadcasts. */
    HAS_SHAPE(kcl_matmul_inner(A34, B43), 3, 3);
#define DOT4(p, q) (p(0) * q(0) + p(1) * q(1) + p(2) * q(2) + p(3) * q(3))
#define ROW(m) a[i][k / 3 * 4 + (m)]
#define COLUMN(m) b[j][(m)*3 + k % 3]
    CHECK(9, kcl_matmul_inner(A34, B43), DOT4(ROW, COLUMN));
#undef ROW
#define ROW(m) a[i][k * 4 + (m)]
#define FIRST(m) b[j][m]
    HAS_SHAPE(kcl_matmul_inner(A34, row), 3);
    CHECK(3, kcl_matmul_inner(A34, row), DOT4(ROW, FIRST));
    HAS_SHAPE(kcl_matmul_inner(row, kcl_transpose_inner(A34)), 3);
    CHECK(3, kcl_matmul_inner(row, kcl_transpose_inner(A34)), DOT4(ROW, FIRST));
    CHECK(1, kcl_matmul_inner(x_i, y_j), x[i][0] * y[j][0] + x[i][1] * y[j][1] + x[i][2] * y[j][2]);
    HAS_SHAPE(kcl_matmul_inner(A232, RESHAPE(B, 1, 2, 6)), 2, 3, 6);
    CHECK(36, kcl_matmul_inner(A232, RESHAPE(B, 1, 2, 6)),
          a[i][k / 6 * 2] * b[j][k % 6] + a[i][k / 6 * 2 + 1] * b[j][6 + k % 6]);
    /* KeOps' TensorDot: axes 0 and 2 of (2,3,2) with 1 and 0 of (2,2,3), then permuted. */
    kcl_expr *dot = kcl_tensordot(A232, RESHAPE(B, 2, 2, 3), 2, (int[]){0, 2}, (int[]){1, 0});
    HAS_SHAPE(dot, 3, 3);
#define TERM(m, n) a[i][(m)*6 + k / 3 * 2 + (n)] * b[j][(n)*6 + (m)*3 + k % 3]
    CHECK(9, dot, TERM(0, 0) + TERM(0, 1) + TERM(1, 0) + TERM(1, 1));
    HAS_SHAPE(kcl_tensordot(x_i, B62, 0, NULL, NULL), 3, 6, 2);
    CHECK(36, kcl_tensordot(x_i, B62, 0, NULL, NULL), x[i][k / 12] * b[j][k % 12]);
    HAS_SHAPE(kcl_kron(RESHAPE(x_i, 3, 1), B62), 18, 2);
    CHECK(36, kcl_kron(RESHAPE(x_i, 3, 1), B62), x[i][k / 12] * b[j][k % 12]);
    CHECK(36, kcl_kron(RESHAPE(x_i, 1, 3), B62), x[i][k % 6 / 2] * b[j][k / 6 * 2 + k % 2]);
    CHECK(3, kcl_matvecmult(A, row), DOT4(ROW, FIRST));
    CHECK(4, kcl_vecmatmult(x_i, B), x[i][0] * b[j][k] + x[i][1] * b[j][4 + k] + x[i][2] * b[j][8 + k]);
    CHECK(9, kcl_tensorprod(x_i, y_j), x[i][k / 3] * y[j][k % 3]);
    /* What does not fit. */
    IS_ERROR(kcl_add(A34, B43), KCL_ERROR_SHAPE, "kcl_add", "(3, 4)", "(4, 3)", "axis -1", "size 4 and 3");
    IS_ERROR(kcl_add(A34, y_j), KCL_ERROR_SHAPE, "(3, 4)", "(3)", "size 4 and 3");
    IS_ERROR(RESHAPE(A, 5, 2), KCL_ERROR_SHAPE, "kcl_reshape_inner", "(12)", "(5, 2)");
    IS_ERROR(RESHAPE(A, -3, -4), KCL_ERROR_SHAPE, "kcl_reshape_inner", "(-3");
    IS_ERROR(kcl_reshape_inner(A, 9, (int[9]){12, 1, 1, 1, 1, 1, 1, 1, 1}), KCL_ERROR_ARGUMENT, "9 axes", "1 to 8");
    IS_ERROR(kcl_transpose_inner(A), KCL_ERROR_SHAPE, "kcl_transpose_inner", "one inner axis");
    IS_ERROR(kcl_permute_inner(A34, (int[]){0, 2}), KCL_ERROR_SHAPE, "axis 2", "(3, 4)", "-2 and 1");
    IS_ERROR(kcl_permute_inner(A34, (int[]){1, -1}), KCL_ERROR_ARGUMENT, "axis -1", "twice");
    IS_ERROR(kcl_sum_inner_axis(A34, 2), KCL_ERROR_SHAPE, "kcl_sum_inner_axis", "axis 2");
    IS_ERROR(kcl_slice_inner(A34, 0, 3, 4, 1), KCL_ERROR_SHAPE, "kcl_slice_inner", "from 3", "dimension 3");
    IS_ERROR(kcl_matmul_inner(A34, A34), KCL_ERROR_SHAPE, "kcl_matmul_inner", "(3, 4)", "size 4", "has 3");
    IS_ERROR(kcl_tensordot(A34, B43, 1, (int[]){0}, (int[]){0}), KCL_ERROR_SHAPE, "axis 0", "size 3", "has 4");
    IS_ERROR(kcl_tensordot(A34, B43, 3, NULL, NULL), KCL_ERROR_ARGUMENT, "kcl_tensordot", "3 axes", "2 and 2");
    IS_ERROR(kcl_kron(A34, A232), KCL_ERROR_SHAPE, "kcl_kron", "2 and 3 axes");
    IS_ERROR(kcl_matvecmult(A, kcl_zero(s, 5)), KCL_ERROR_SHAPE, "kcl_matvecmult", "12 components", "rows of 5");
    IS_ERROR(kcl_vecmatmult(kcl_zero(s, 5), A), KCL_ERROR_SHAPE, "kcl_vecmatmult", "12 components", "columns of 5");
    ck_assert_int_eq(kcl_expr_inner_shape(NULL, NULL), 0);
}
END_TEST

/* The gradient of a loss of matrix products, against differences of the loss by plain loops. */
static double product_loss(double a[M][6], double b[N][6])
{
    double sum = 0;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            for (int r = 0; r < 2; r++)
                for (int q = 0; q < 2; q++) {
                    double entry = 0;
                    for (int m = 0; m < 3; m++)
                        entry += a[i][r * 3 + m] * b[j][m * 2 + q];
                    sum += sin(entry) * (1 + r + 2 * q);
                }
    return sum;
}

/* Inverse and determinant by elimination, the largest pivot of a column first. */
static double eliminate(int n, const double *A, double *inverse)
{
    double a[4][8], det = 1;
    for (int r = 0; r < n; r++)
        for (int k = 0; k < 2 * n; k++)
            a[r][k] = k < n ? A[r * n + k] : k - n == r;
    for (int k = 0; k < n; k++) {
        int best = k;
        for (int r = k; r < n; r++)
            best = fabs(a[r][k]) > fabs(a[best][k]) ? r : best;
        for (int m = 0; m < 2 * n; m++) {
            double swap = a[k][m];
            a[k][m] = a[best][m];
            a[best][m] = swap;
        }
        const double pivot = a[k][k];
        det *= best == k ? pivot : -pivot;
        for (int m = 0; m < 2 * n; m++)
            a[k][m] /= pivot;
        for (int r = 0; r < n; r++) {
            const double factor = a[r][k];
            for (int m = 0; m < 2 * n && r != k; m++)
                a[r][m] -= factor * a[k][m];
        }
    }
    for (int k = 0; k < n * n; k++)
        inverse[k] = a[k / n][n + k % n];
    return det;
}

START_TEST(test_small_matrices)
{
    double a[4][M][16], det[M], trace[M], inverse[M * 16], want[16];
    for (int n = 1; n <= 4; n++) {
        double *A = a[n - 1][0];
        for (int k = 0; k < M * n * n; k++)
            A[k] = uniform(-1, 1) + (k % (n * n) % (n + 1) == 0 ? 2 : 0);
        kcl_expr *flat = kcl_vi(s, kcl_f64(A, M, n * n)), *square = kcl_reshape_inner(flat, 2, (int[]){n, n});
        eval_ok(kcl_det_inner(n % 2 ? flat : square), kcl_f64(det, M));
        eval_ok(kcl_trace_inner(n % 2 ? square : flat), kcl_f64(trace, M));
        eval_ok(kcl_inv_inner(square), kcl_f64(inverse, M, n * n));
        HAS_SHAPE(kcl_inv_inner(square), n, n);
        HAS_SHAPE(kcl_inv_inner(flat), n * n);
        for (int i = 0; i < M; i++) {
            double diagonal = 0;
            is_near(det[i], eliminate(n, A + i * n * n, want), "determinant");
            for (int k = 0; k < n * n; k++) {
                is_near(inverse[i * n * n + k], want[k], "inverse");
                diagonal += k % (n + 1) ? 0 : A[i * n * n + k];
            }
            is_near(trace[i], diagonal, "trace");
        }
    }
    double singular[9] = {1, 2, 3, 2, 4, 6, 0, 1, 0};
    kcl_expr *A = kcl_pm(s, kcl_f64(singular, 9));
    eval_ok(kcl_inv_inner(A), kcl_f64(inverse, 9));
    ck_assert(isinf(inverse[0]) && isnan(inverse[4]));
    double nine[25] = {0};
    nine[0] = 3, nine[12] = 4;
    eval_ok(kcl_trace_inner(kcl_pm(s, kcl_f64(nine, 25))), kcl_f64(det, 1));
    is_near(det[0], 7, "trace of five rows");
    IS_ERROR(kcl_det_inner(x_i), KCL_ERROR_SHAPE, "kcl_det_inner", "3 components", "1, 4, 9 or 16");
    IS_ERROR(kcl_inv_inner(kcl_pm(s, kcl_f64(nine, 25))), KCL_ERROR_SHAPE, "kcl_inv_inner", "25 components", "1 to 4");
    IS_ERROR(kcl_trace_inner(x_i), KCL_ERROR_SHAPE, "kcl_trace_inner", "3 components");
    IS_ERROR(kcl_det_inner(kcl_reshape_inner(kcl_pm(s, kcl_f64(singular, 4)), 3, (int[]){1, 2, 2})), KCL_ERROR_SHAPE,
             "kcl_det_inner", "(1, 2, 2)");
}
END_TEST

/* By the whole table. */
static double warped(const double *u, int n, const double *v, int m, double gamma)
{
    double R[8][8];
    for (int a = 0; a < n; a++) {
        for (int b = 0; b < m; b++) {
            const double cost = (u[a] - v[b]) * (u[a] - v[b]);
            if (a && b)
                R[a][b] = cost - gamma * log(exp(-R[a - 1][b - 1] / gamma) + exp(-R[a - 1][b] / gamma) +
                                             exp(-R[a][b - 1] / gamma));
            else
                R[a][b] = cost + (a ? R[a - 1][b] : b ? R[a][b - 1] : 0);
        }
    }
    return R[n - 1][m - 1];
}

START_TEST(test_warping)
{
    double z[N][5], gamma = 0.4, sums[M], gx[M][D], gz[N][5], g;
    for (int j = 0; j < N; j++)
        for (int k = 0; k < 5; k++)
            z[j][k] = uniform(-2, 2);
    kcl_expr *z_j = kcl_vj(s, kcl_f64(&z[0][0], N, 5)), *q = kcl_pm(s, kcl_f64(&gamma, 1));
    kcl_expr *f = kcl_softdtw_sqdist(x_i, z_j, q), *row = kcl_reduce_sum(f, KCL_OVER_J);
    kcl_expr *loss = kcl_reduce_sum(kcl_exp(kcl_neg(kcl_mul(kcl_constant(s, 0.1), f))), KCL_OVER_BOTH);
    kcl_expr *all[] = {row, kcl_grad(loss, x_i), kcl_grad(loss, z_j), kcl_grad(loss, q)};
    const kcl_array *outs[] = {kcl_f64(sums, M), kcl_f64(&gx[0][0], M, D), kcl_f64(&gz[0][0], N, 5), kcl_f64(&g, 1)};
    ck_assert_msg(kcl_eval(4, all, outs) == KCL_OK, "%s", kcl_context_error(c));
    for (int i = 0; i < M; i++) {
        double want = 0;
        for (int j = 0; j < N; j++)
            want += warped(x[i], D, z[j], 5, gamma);
        is_near(sums[i], want, "soft dynamic time warping");
    }
    /* Every number moved. */
    const double h = 1e-5;
    for (int n = 0; n < M * D + N * 5 + 1; n++) {
        double *at = n < M * D ? &x[0][0] + n : n < M * D + N * 5 ? &z[0][0] + (n - M * D) : &gamma, value[2] = {0};
        const double got = n < M * D ? (&gx[0][0])[n] : n < M * D + N * 5 ? (&gz[0][0])[n - M * D] : g, was = *at;
        for (int side = 0; side < 2; side++) {
            *at = was + (side ? h : -h);
            for (int i = 0; i < M; i++)
                for (int j = 0; j < N; j++)
                    value[side] += exp(-0.1 * warped(x[i], D, z[j], 5, gamma));
        }
        *at = was;
        ck_assert_double_eq_tol(got, (value[1] - value[0]) / (2 * h), 1e-8);
    }
    IS_ERROR(kcl_softdtw_sqdist(x_i, z_j, x_i), KCL_ERROR_SHAPE, "kcl_softdtw_sqdist", "gamma", "dimension 3");
    IS_ERROR(kcl_grad(kcl_reduce_sum(kcl_square(kcl_grad(loss, q)), KCL_OVER_J), q), KCL_ERROR_DERIVATIVE,
             "SoftDTW_SqDist", "second");
}
END_TEST

/* By the recursion, one spline at a time. */
static double spline(const double *t, int j, int degree, double at)
{
    if (degree == 0)
        return t[j] <= at && at < t[j + 1];
    const double rise = t[j + degree] - t[j], fall = t[j + degree + 1] - t[j + 1];
    return (rise > 0 ? (at - t[j]) / rise * spline(t, j, degree - 1, at) : 0) +
           (fall > 0 ? (t[j + degree + 1] - at) / fall * spline(t, j + 1, degree - 1, at) : 0);
}

START_TEST(test_splines)
{
    enum { K = 9, P = 12 };
    double knots[K] = {0, 0, 0, 1, 1.5, 1.5, 3, 3, 3},
           places[P] = {-1, 0, 1e-9, 0.3, 1, 1.4999, 1.5, 2, 2.9, 3, 4, NAN};
    double out[P * K], slope[P], second[P];
    kcl_expr *t = kcl_pm(s, kcl_f64(knots, K)), *at = kcl_vi(s, kcl_f64(places, P));
    for (int degree = 0; degree <= 4; degree++) {
        const int count = K - degree - 1;
        kcl_expr *B = kcl_bspline(t, at, degree);
        ck_assert_int_eq(kcl_expr_dim(B), count);
        eval_ok(B, kcl_f64(out, P, count));
        for (int i = 0; i < P; i++)
            for (int j = 0; j < count && !isnan(places[i]); j++)
                is_near(out[i * count + j], spline(knots, j, degree, places[i]), "spline");
        if (degree == 0)
            continue;
        /* By differences between knots. */
        kcl_expr *first = kcl_vjp(kcl_sum_inner(kcl_square(B)), at, kcl_constant(s, 1));
        kcl_expr *of_first = kcl_vjp(first, at, kcl_constant(s, 1));
        ck_assert_msg(kcl_eval(2, (kcl_expr *[]){first, of_first},
                               (const kcl_array *const[]){kcl_f64(slope, P), kcl_f64(second, P)}) == KCL_OK,
                      "%s", kcl_context_error(c));
        for (int i = 0; i < P - 1; i++) {
            const double h = 1e-4;
            double value[3] = {0};
            bool inside = true;
            for (int k = 0; k < K; k++)
                inside = inside && fabs(places[i] - knots[k]) > 2 * h;
            for (int n = 0; n < 3; n++)
                for (int j = 0; j < count; j++)
                    value[n] += pow(spline(knots, j, degree, places[i] + (n - 1) * h), 2);
            if (!inside)
                continue;
            ck_assert_double_eq_tol(slope[i], (value[2] - value[0]) / (2 * h), 1e-5);
            ck_assert_double_eq_tol(second[i], (value[2] - 2 * value[1] + value[0]) / (h * h), 1e-4);
        }
    }
    IS_ERROR(kcl_bspline(t, at, 8), KCL_ERROR_SHAPE, "kcl_bspline", "9 knots", "degree 8");
    IS_ERROR(kcl_bspline(t, at, -1), KCL_ERROR_SHAPE, "degree -1");
    IS_ERROR(kcl_bspline(t, x_i, 1), KCL_ERROR_SHAPE, "kcl_bspline", "dimension 3");
}
END_TEST

START_TEST(test_gradients_of_inner_products)
{
    const double h = 1e-4;
    double a[M][6], b[N][6], ga[M][6], gb[N][6], weights[4] = {1, 3, 2, 4};
    for (int k = 0; k < 6; k++) {
        for (int i = 0; i < M; i++)
            a[i][k] = uniform(-1, 1);
        for (int j = 0; j < N; j++)
            b[j][k] = uniform(-1, 1);
    }
    kcl_expr *A = kcl_vi(s, kcl_f64(&a[0][0], M, 6)), *B = kcl_vj(s, kcl_f64(&b[0][0], N, 6));
    kcl_expr *product = kcl_sin(kcl_matmul_inner(RESHAPE(A, 2, 3), RESHAPE(B, 3, 2)));
    kcl_expr *W = RESHAPE(kcl_pm(s, kcl_f64(weights, 4)), 2, 2);
    kcl_expr *L = kcl_reduce_sum(kcl_sum_inner(kcl_mul(product, W)), KCL_OVER_BOTH);
    eval_ok(kcl_grad(L, A), kcl_f64(&ga[0][0], M, 6));
    eval_ok(kcl_grad(L, B), kcl_f64(&gb[0][0], N, 6));
    for (int n = 0; n < M * 6 + N * 6; n++) {
        double *at = n < M * 6 ? &a[0][0] + n : &b[0][0] + (n - M * 6), was = *at;
        double got = n < M * 6 ? (&ga[0][0])[n] : (&gb[0][0])[n - M * 6];
        *at = was + h;
        double above = product_loss(a, b);
        *at = was - h;
        double want = (above - product_loss(a, b)) / (2 * h);
        *at = was;
        ck_assert_msg(fabs(got - want) <= 1e-6 * (1 + fabs(want)), "%d: %.12g, by differences %.12g", n, got, want);
    }
}
END_TEST

int main(void)
{
    const test_entry tests[] = {
        {test_inner_shapes, 0},
        {test_small_matrices, 0},
        {test_warping, 0},
        {test_splines, 0},
        {test_gradients_of_inner_products, 0},
    };
    return run_entries("tensors of components", tests, KB_COUNT(tests), setup_points, teardown);
}
