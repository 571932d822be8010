/* SPDX-License-Identifier: MIT */
/*
 * Derivatives at expressions, reduced batch axes, operators in several arguments and the sizes of outputs: against
 * plain loops in double and finite differences; by the interpreter and, with the argument "device", on a device.
 */
#include "values.h"

/* ---- Derivatives at expressions ---------------------------------------------------------------------------------- */

/*
 * Three steps of a Hamiltonian system by Euler's symplectic rule: particles q with momenta p and
 * H = sum_ij exp(-s |q_i - q_j|^2) p_i . p_j / 2, as in matching by large deformations.
 */
enum { PARTICLES = 5 };
static int steps = 3; /* on devices 1: what they build grows with them */
static const double step_length = 0.2;

static void hamiltonian_steps(double *q, double *p, double sigma)
{
    for (int t = 0; t < steps; t++) {
        double by_q[PARTICLES * 2] = {0}, by_p[PARTICLES * 2] = {0};
        for (int i = 0; i < PARTICLES; i++) {
            for (int j = 0; j < PARTICLES; j++) {
                const double a = q[2 * i] - q[2 * j], b = q[2 * i + 1] - q[2 * j + 1];
                const double k = exp(-sigma * (a * a + b * b)), pp = p[2 * i] * p[2 * j] + p[2 * i + 1] * p[2 * j + 1];
                by_q[2 * i] -= 2 * sigma * k * pp * a;
                by_q[2 * i + 1] -= 2 * sigma * k * pp * b;
            }
        }
        for (int n = 0; n < PARTICLES * 2; n++)
            p[n] -= step_length * by_q[n];
        for (int i = 0; i < PARTICLES; i++) {
            for (int j = 0; j < PARTICLES; j++) {
                const double a = q[2 * i] - q[2 * j], b = q[2 * i + 1] - q[2 * j + 1];
                const double k = exp(-sigma * (a * a + b * b));
                by_p[2 * i] += k * p[2 * j];
                by_p[2 * i + 1] += k * p[2 * j + 1];
            }
        }
        for (int n = 0; n < PARTICLES * 2; n++)
            q[n] += step_length * by_p[n];
    }
}

static double shooting_loss(const double *q, const double *p, double sigma)
{
    double end[PARTICLES * 2], momenta[PARTICLES * 2], loss = 0;
    memcpy(end, q, sizeof end);
    memcpy(momenta, p, sizeof momenta);
    hamiltonian_steps(end, momenta, sigma);
    for (int n = 0; n < PARTICLES * 2; n++)
        loss += sin(end[n] + n % 2);
    return loss;
}

static kcl_expr *hamiltonian(kcl_expr *q, kcl_expr *p, kcl_expr *sigma)
{
    kcl_expr *k = kcl_exp(kcl_neg(kcl_mul(sigma, kcl_sqdist(q, kcl_transpose(q)))));
    return kcl_scale(kcl_reduce_sum(kcl_mul(k, kcl_dot(p, kcl_transpose(p))), KCL_OVER_BOTH), 0.5);
}

START_TEST(hamiltonian_systems_are_unrolled)
{
    choose_type(_i);
    values q0, p0, u, got, many;
    double point[2][PARTICLES * 2], end[2][PARTICLES * 2];
    const double value = 0.7, h = 1e-4;
    fill(&q0, PARTICLES * 2, -1, 1);
    fill(&p0, PARTICLES * 2, -1, 1);
    fill(&u, PARTICLES * 2, -1, 1);
    kcl_expr *sigma = kcl_scalar(s, value),
             *v[] = {rows_of(&q0, false, PARTICLES, 2), rows_of(&p0, false, PARTICLES, 2)};
    kcl_expr *q = v[0], *p = v[1], *u_i = rows_of(&u, false, PARTICLES, 2);
    memcpy(point[0], q0.exact, sizeof point[0]);
    memcpy(point[1], p0.exact, sizeof point[1]);
    for (int t = 0; t < steps; t++) {
        p = kcl_sub(p, kcl_scale(kcl_grad(hamiltonian(q, p, sigma), q), step_length));
        q = kcl_add(q, kcl_scale(kcl_grad(hamiltonian(q, p, sigma), p), step_length));
    }
    ck_assert_int_eq(kcl_expr_axes(kcl_grad(hamiltonian(q, p, sigma), q)), KCL_OVER_I);
    memcpy(end, point, sizeof end);
    hamiltonian_steps(end[0], end[1], value);
    evaluate(q, &got, PARTICLES, 2);
    for (int n = 0; n < PARTICLES * 2; n++)
        near(got.exact[n], end[0][n], tolerance(), "position", n);
    evaluate(p, &got, PARTICLES, 2);
    for (int n = 0; n < PARTICLES * 2; n++)
        near(got.exact[n], end[1][n], tolerance(), "momentum", n);
    /* Gradients through all steps, in both in one call, and a product with the Hessian in both. */
    kcl_expr *shift = kcl_concat(kcl_zero(s, 1), number(1)), *grads[2], *products[2];
    kcl_expr *loss = kcl_reduce_sum(kcl_sum_inner(kcl_sin(kcl_add(q, shift))), KCL_OVER_I);
    ck_assert_int_eq(kcl_grad_many(loss, 2, v, grads), KCL_OK);
    ck_assert_int_eq(kcl_hvp_many(loss, 2, v, (kcl_expr *[]){u_i, kcl_neg(u_i)}, products), KCL_OK);
    for (int of = 0; of < 2; of++) {
        evaluate(grads[of], &got, PARTICLES, 2);
        if (!on_device)
            evaluate(products[of], &many, PARTICLES, 2);
        for (int n = 0; n < PARTICLES * 2; n++) {
            double moved[2][PARTICLES * 2], first = 0, second = 0;
            for (int sign = -1; sign < 2; sign += 2) {
                memcpy(moved, point, sizeof moved);
                moved[of][n] += sign * h;
                first += sign * shooting_loss(moved[0], moved[1], value);
                for (int along = -1; along < 2; along += 2) {
                    for (int m = 0; m < PARTICLES * 2; m++) {
                        moved[0][m] = point[0][m] + along * h * u.exact[m];
                        moved[1][m] = point[1][m] - along * h * u.exact[m];
                    }
                    moved[of][n] += sign * h;
                    second += sign * along * shooting_loss(moved[0], moved[1], value);
                }
            }
            near(got.exact[n], first / (2 * h), dtype == KCL_F32 ? 1e-4 : 1e-6, "shooting", 100 * of + n);
            if (on_device)
                continue;
            near(many.exact[n], second / (4 * h * h), dtype == KCL_F32 ? 1e-3 : 1e-5, "Hessian", 100 * of + n);
        }
    }
    /* The scalar takes another value: nothing is built anew. */
    ok(kcl_scalar_set(sigma, 1.3));
    evaluate(loss, &got, 1, 1);
    near(got.exact[0], shooting_loss(point[0], point[1], 1.3), tolerance(), "another scalar", 0);
    ck_assert_int_eq(kcl_scalar_set(q, 1), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "kcl_scalar_set", "kcl_scalar");
    ck_assert_int_eq(kcl_scalar_set(NULL, 1), KCL_ERROR_ARGUMENT);
}
END_TEST

/* q = sum_j ... of rows, of columns, a number; beside x, which q is made of and which stays. */
START_TEST(expressions_count_as_independent)
{
    enum { M = 4, N = 3 };
    choose_type(_i);
    values x = VALUES(0.5, -1, 2, 1.5), y = VALUES(1, -0.5, 2), got;
    kcl_expr *x_i = rows_of(&x, false, M, 1), *y_j = rows_of(&y, true, N, 1);
    double q[M] = {0}, r = 0;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            q[i] += x.exact[i] * y.exact[j] * y.exact[j];
    for (int j = 0; j < N; j++)
        r += sin(y.exact[j]);
    kcl_expr *q_i = kcl_reduce_sum(kcl_mul(x_i, kcl_square(y_j)), KCL_OVER_J);
    kcl_expr *r_p = kcl_reduce_sum(kcl_sin(y_j), KCL_OVER_J);
    /* sum_ik q_i^2 q_k x_i + r^3 sum_i q_i, q in both roles; sums of q alone, q the smallest */
    kcl_expr *f = kcl_reduce_sum(kcl_mul(kcl_mul(kcl_square(q_i), kcl_transpose(q_i)), x_i), KCL_OVER_BOTH);
    f = kcl_add(f, kcl_mul(kcl_pow(r_p, 3), kcl_reduce_sum(q_i, KCL_OVER_I)));
    f = kcl_add(f, kcl_reduce_min(kcl_scale(q_i, 5), KCL_OVER_I));
    double sum = 0, weighted = 0;
    int least = 0;
    for (int i = 0; i < M; i++) {
        sum += q[i];
        weighted += q[i] * q[i] * x.exact[i];
        least = q[i] < q[least] ? i : least;
    }
    evaluate(kcl_grad(f, q_i), &got, M, 1);
    for (int i = 0; i < M; i++)
        near(got.exact[i], 2 * q[i] * sum * x.exact[i] + weighted + r * r * r + (i == least ? 5 : 0), tolerance(),
             "at rows", i);
    evaluate(kcl_grad(f, r_p), &got, 1, 1);
    near(got.exact[0], 3 * r * r * sum, tolerance(), "at a number", 0);
    evaluate(kcl_jvp(kcl_mul(kcl_square(q_i), x_i), q_i, x_i), &got, M, 1);
    for (int i = 0; i < M; i++)
        near(got.exact[i], 2 * q[i] * x.exact[i] * x.exact[i], tolerance(), "a direction", i);
    evaluate(kcl_hvp(kcl_reduce_sum(kcl_pow(q_i, 3), KCL_OVER_I), q_i, x_i), &got, M, 1);
    for (int i = 0; i < M; i++)
        near(got.exact[i], 6 * q[i] * x.exact[i], tolerance(), "a Hessian", i);
    evaluate(kcl_vjp(kcl_mul(q_i, kcl_square(kcl_elem(y_j, 0))), q_i, number(2)), &got, M, 1);
    for (int i = 0; i < M; i++)
        near(got.exact[i], 2 * q[0] / x.exact[0], tolerance(), "a cotangent", i);
    evaluate(kcl_laplacian(kcl_mul(kcl_pow(q_i, 3), x_i), q_i), &got, M, 1);
    for (int i = 0; i < M; i++)
        near(got.exact[i], 6 * q[i] * x.exact[i], tolerance(), "a Laplacian", i);
    /* q at columns; q that is not there; a tangent in two at once. */
    kcl_expr *s_j = kcl_exp(y_j), *g = kcl_reduce_sum(kcl_mul(x_i, kcl_square(s_j)), KCL_OVER_BOTH);
    evaluate(kcl_grad(g, s_j), &got, N, 1);
    for (int j = 0; j < N; j++)
        near(got.exact[j], 2 * exp(y.exact[j]) * (x.exact[0] + x.exact[1] + x.exact[2] + x.exact[3]), tolerance(),
             "at columns", j);
    got.exact[1] = 7;
    evaluate(kcl_grad(g, q_i), &got, M, 1);
    for (int i = 0; i < M; i++)
        ck_assert_double_eq(got.exact[i], 0);
    evaluate(kcl_jvp_many(kcl_mul(q_i, x_i), 2, (kcl_expr *[]){q_i, x_i}, (kcl_expr *[]){number(1), number(2)}), &got,
             M, 1);
    for (int i = 0; i < M; i++)
        near(got.exact[i], x.exact[i] + 2 * q[i], tolerance(), "two directions", i);
    kcl_expr *out[2];
    ck_assert_int_eq(kcl_grad_many(g, 2, (kcl_expr *[]){s_j, kcl_mul(x_i, y_j)}, out), KCL_ERROR_SHAPE);
    REFUSED(out[0], KCL_ERROR_SHAPE, "kcl_grad_many", "both i and j");
    ck_assert_ptr_eq(out[0], out[1]);
    ck_assert_int_eq(kcl_vjp_many(g, number(1), 0, NULL, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_hvp_many(g, 1, &s_j, NULL, out), KCL_ERROR_ARGUMENT);
    REFUSED(out[0], KCL_ERROR_ARGUMENT, "kcl_hvp_many", "directions");
}
END_TEST

/* ---- Batch axes that were reduced -------------------------------------------------------------------------------- */

static void has_shape(kcl_expr *e, const int64_t *wanted, int axes)
{
    int64_t shape[KCL_MAX_AXES];
    ck_assert_msg(kcl_expr_status(e) == KCL_OK, "%s", kcl_expr_error(e));
    ck_assert_int_eq(kcl_expr_shape(e, shape), axes);
    for (int k = 0; k < axes; k++)
        ck_assert_int_eq(shape[k], wanted[k]);
}
#define HAS_SHAPE(e, ...)                                                                                              \
    has_shape(e, (const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

START_TEST(reduced_batch_axes_stay)
{
    enum { A = 2, B = 3, M = 4 };
    choose_type(_i);
    values x, y, got;
    fill(&x, A * B * M, 0.5, 2);
    fill(&y, B * M, 0.5, 2);
    round_values(&x);
    round_values(&y);
    const kcl_array of_x = described(&x, 4, (const int64_t[]){A, B, M, 1});
    const kcl_array of_y = described(&y, 3, (const int64_t[]){B, M, 1});
    kcl_expr *x_i = kcl_vi(s, &of_x), *y_i = kcl_vi(s, &of_y), *f = kcl_mul(x_i, y_i);
    kcl_expr *over_a = kcl_reduce_sum_batch(f, 0), *over_both = kcl_reduce_sum_batch(over_a, 1);
    HAS_SHAPE(f, A, B, M, 1, 1);
    HAS_SHAPE(over_a, 1, B, M, 1, 1);
    HAS_SHAPE(over_both, 1, 1, M, 1, 1);
    HAS_SHAPE(kcl_reduce_sum_batch(kcl_reduce_sum_batch(f, 1), 0), 1, 1, M, 1, 1);
    HAS_SHAPE(kcl_reduce_sum_batch(over_a, -1), 1, 1, M, 1, 1);
    HAS_SHAPE(kcl_reduce_mean_batch(kcl_reduce_max_batch(kcl_exp(over_a), 1), 0), 1, 1, M, 1, 1);
    HAS_SHAPE(kcl_add(over_a, y_i), 1, B, M, 1, 1);
    REFUSED(kcl_reduce_sum_batch(over_both, 2), KCL_ERROR_ARGUMENT, "axis 2 is not there", "2 batch axes");
    double sums[M] = {0}, squares[M] = {0};
    for (int b = 0; b < B; b++)
        for (int i = 0; i < M; i++) {
            double sum = 0;
            for (int a = 0; a < A; a++)
                sum += x.exact[(a * B + b) * M + i] * y.exact[b * M + i];
            sums[i] += sum;
            squares[i] += sum * sum;
        }
    /* With and without the axes of size 1. */
    const kcl_array full = described(&got, 4, (const int64_t[]){1, 1, M, 1});
    ok(kcl_eval1(over_both, &full));
    for (int i = 0; i < M; i++)
        near(dtype == KCL_F32 ? (double)got.rounded[i] : got.exact[i], sums[i], tolerance(), "all axes", i);
    evaluate(kcl_reduce_sum_batch(kcl_square(over_a), 1), &got, M, 1);
    for (int i = 0; i < M; i++)
        near(got.exact[i], squares[i], tolerance(), "fewer axes", i);
    /* Gradients have the axes of their variables, at expressions too, and keep their numbers. */
    kcl_expr *loss = kcl_reduce_sum(kcl_reduce_sum_batch(kcl_square(over_a), 1), KCL_OVER_I);
    kcl_expr *by_y = kcl_grad(kcl_reduce_sum_batch(loss, 0), y_i), *by_sum = kcl_grad(loss, over_a);
    HAS_SHAPE(by_y, B, M, 1, 1);
    HAS_SHAPE(kcl_scale(by_y, 2), B, M, 1, 1);
    HAS_SHAPE(kcl_grad(loss, x_i), A, B, M, 1, 1);
    HAS_SHAPE(by_sum, 1, B, M, 1, 1);
    HAS_SHAPE(kcl_jvp(over_both, x_i, number(1)), 1, 1, M, 1, 1);
    HAS_SHAPE(kcl_reduce_sum_batch(by_y, 0), 1, M, 1, 1);
    evaluate(kcl_reduce_sum_batch(kcl_scale(by_y, 2), 0), &got, M, 1); /* dL/dy_b summed over b: axis 0 is b */
    for (int i = 0; i < M; i++) {
        double wanted = 0;
        for (int b = 0; b < B; b++) {
            double sum = 0;
            for (int a = 0; a < A; a++)
                sum += x.exact[(a * B + b) * M + i];
            wanted += 4 * sum * sum * y.exact[b * M + i];
        }
        near(got.exact[i], wanted, tolerance(), "gradient", i);
    }
    evaluate(kcl_reduce_sum_batch(by_sum, 1), &got, M, 1);
    for (int i = 0; i < M; i++)
        near(got.exact[i], 2 * sums[i], tolerance(), "at a sum over batches", i);
}
END_TEST

/* ---- Operators --------------------------------------------------------------------------------------------------- */

static void shape_is(const kcl_operator *op, int output, const kcl_array *const *args, kcl_dtype type, int axes,
                     const int64_t *sizes)
{
    kcl_array shape;
    ok(kcl_operator_output_shape(op, c, output, args, kcl_operator_input_count(op), &shape));
    ck_assert_int_eq(shape.dtype, type);
    ck_assert_int_eq(shape.ndim, axes);
    for (int k = 0; k < axes; k++)
        ck_assert_int_eq(shape.shape[k], sizes[k]);
    ck_assert_int_eq(shape.stride[axes - 1], type == KCL_F32 ? 4 : 8);
    ck_assert_ptr_null(shape.data);
}
#define SHAPE_IS(op, output, args, type, ...)                                                                          \
    shape_is(op, output, args, type, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                  \
             (const int64_t[]){__VA_ARGS__})

/*
 * Of the smallest y_j^2 - x_i with its index j: the index has no cotangent, and the gradients are -e_i and 2 e_i y_j.
 */
START_TEST(indices_beside_values_have_no_cotangent)
{
    choose_type(_i);
    static const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)"}, *const by[] = {"x", "y"};
    values x = VALUES(0.5, -1), y = VALUES(2, -0.5, 1), e = VALUES(3, 4), got[2];
    kcl_operator *op, *grad;
    ok(kcl_operator_create(&op, "Min_ArgMin_Reduction(Square(y)-x,0)", 2, aliases, NULL));
    ok(kcl_operator_grad_many(&grad, op, 2, by));
    ck_assert_int_eq(kcl_operator_input_count(grad), 3);
    values *const all[] = {&x, &y, &e};
    for (int k = 0; k < 3; k++)
        round_values(all[k]);
    const kcl_array args[] = {described(&x, 2, (const int64_t[]){2, 1}), described(&y, 2, (const int64_t[]){3, 1}),
                              described(&e, 2, (const int64_t[]){2, 1})};
    const kcl_array outs[] = {described(&got[0], 2, (const int64_t[]){2, 1}),
                              described(&got[1], 2, (const int64_t[]){3, 1})};
    ok(kcl_operator_apply(grad, c, (const kcl_array *const[]){&outs[0], &outs[1]}, 2,
                          (const kcl_array *const[]){&args[0], &args[1], &args[2]}, 3));
    static const double in_x[] = {-3, -4}, in_y[] = {0, 2 * (3 + 4) * -0.5, 0};
    for (int i = 0; i < 2; i++)
        near(dtype == KCL_F32 ? (double)got[0].rounded[i] : got[0].exact[i], in_x[i], tolerance(), "in x", i);
    for (int j = 0; j < 3; j++)
        near(dtype == KCL_F32 ? (double)got[1].rounded[j] : got[1].exact[j], in_y[j], tolerance(), "in y", j);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
    ok(kcl_operator_create(&op, "ArgMin_Reduction(Square(y)-x,0)", 2, aliases, NULL));
    ck_assert_int_eq(kcl_operator_grad_many(&grad, op, 2, by), KCL_ERROR_DERIVATIVE);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
}
END_TEST

/*
 * F_i = sum_j p x_i y_j^2 in batches of x. When x and y move, y in another direction in each batch, F moves by
 * p dx_i sum_j y_j^2 + 2 p x_i sum_j y_j dy_j. The gradient in y with the cotangent e moves by 2 p y_j sum_i e_i dx_i
 * with x, summed over the batches, which y lacks.
 */
START_TEST(operators_move_with_several_arguments)
{
    enum { B = 2, M = 3, N = 4 };
    choose_type(_i);
    static const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)", "p=Pm(1)"}, *const moved[] = {"1", "x"};
    values x, y, p = VALUES(1.5), dx, dy, e, got, in_y;
    values *const all[] = {&x, &y, &p, &dx, &dy, &e};
    fill(&x, B * M, -1, 1);
    fill(&y, N, -1, 1);
    fill(&dx, B * M, -1, 1);
    fill(&dy, B * N, -1, 1);
    fill(&e, B * M, -1, 1);
    for (int k = 0; k < 6; k++)
        round_values(all[k]);
    kcl_operator *op, *jvp, *grad, *second, *bad;
    ok(kcl_operator_create(&op, "Sum_Reduction(p*x*Square(y),0)", 3, aliases, NULL));
    ck_assert_int_eq(kcl_operator_jvp(&jvp, op, 2, moved), KCL_OK);
    ck_assert_int_eq(kcl_operator_input_count(jvp), 5);
    ck_assert_int_eq(kcl_operator_output_count(jvp), 1);
    kcl_slot_info info;
    ok(kcl_operator_input(jvp, 3, &info));
    ck_assert_int_eq(info.role, KCL_ROLE_J);
    const kcl_array of_x = described(&x, 3, (const int64_t[]){B, M, 1}),
                    of_y = described(&y, 2, (const int64_t[]){N, 1}), of_p = described(&p, 1, (const int64_t[]){1}),
                    of_dx = described(&dx, 3, (const int64_t[]){B, M, 1}),
                    of_dy = described(&dy, 3, (const int64_t[]){B, N, 1}),
                    of_e = described(&e, 3, (const int64_t[]){B, M, 1}),
                    out = described(&got, 3, (const int64_t[]){B, M, 1}),
                    out_y = described(&in_y, 2, (const int64_t[]){N, 1});
    const kcl_array *const args[] = {&of_x, &of_y, &of_p, &of_dy, &of_dx};
    ok(kcl_operator_apply(jvp, c, (const kcl_array *const[]){&out}, 1, args, 5));
    SHAPE_IS(jvp, 0, args, dtype, B, M, 1);
    double squares = 0, along[N] = {0};
    for (int j = 0; j < N; j++)
        squares += y.exact[j] * y.exact[j];
    for (int n = 0; n < B * M; n++) {
        double moves = p.exact[0] * dx.exact[n] * squares;
        for (int j = 0; j < N; j++)
            moves += 2 * p.exact[0] * x.exact[n] * y.exact[j] * dy.exact[n / M * N + j];
        near(dtype == KCL_F32 ? (double)got.rounded[n] : got.exact[n], moves, tolerance(), "tangent", n);
        for (int j = 0; j < N; j++)
            along[j] += 2 * p.exact[0] * y.exact[j] * e.exact[n] * dx.exact[n];
    }
    ok(kcl_operator_grad(&grad, op, "y"));
    ok(kcl_operator_jvp(&second, grad, 1, &moved[1]));
    ok(kcl_operator_apply(second, c, (const kcl_array *const[]){&out_y}, 1,
                          (const kcl_array *const[]){&of_x, &of_y, &of_p, &of_e, &of_dx}, 5));
    for (int j = 0; j < N; j++)
        near(dtype == KCL_F32 ? (double)in_y.rounded[j] : in_y.exact[j], along[j], tolerance(), "of the gradient", j);
    kcl_operator_destroy(&second);
    kcl_operator_destroy(&grad);
    ck_assert_int_eq(kcl_operator_jvp(&bad, op, 2, (const char *const[]){"x", "z"}), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "no argument \"z\"");
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_jvp(&bad, op, 0, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "empty");
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_jvp(NULL, op, 2, moved), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_jvp(&bad, NULL, 2, moved), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&bad);
    kcl_operator_destroy(&jvp);
    kcl_operator_destroy(&op);
}
END_TEST

/* The smallest y_j^2 - x_i moves by 2 y_j dy_j - dx_i of the chosen j; the index beside it has no tangent. */
START_TEST(indices_beside_values_have_no_tangent)
{
    choose_type(_i);
    static const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)"}, *const moved[] = {"x", "y"};
    values x = VALUES(0.5, -1), y = VALUES(2, -0.5, 1), dx = VALUES(3, 4), dy = VALUES(7, 2, 9), got;
    values *const all[] = {&x, &y, &dx, &dy};
    for (int k = 0; k < 4; k++)
        round_values(all[k]);
    kcl_operator *op, *jvp;
    ok(kcl_operator_create(&op, "Min_ArgMin_Reduction(Square(y)-x,0)", 2, aliases, NULL));
    ok(kcl_operator_jvp(&jvp, op, 2, moved));
    ck_assert_int_eq(kcl_operator_output_count(jvp), 1);
    const kcl_array args[] = {described(&x, 2, (const int64_t[]){2, 1}), described(&y, 2, (const int64_t[]){3, 1}),
                              described(&dx, 2, (const int64_t[]){2, 1}), described(&dy, 2, (const int64_t[]){3, 1})};
    const kcl_array out = described(&got, 2, (const int64_t[]){2, 1});
    ok(kcl_operator_apply(jvp, c, (const kcl_array *const[]){&out}, 1,
                          (const kcl_array *const[]){&args[0], &args[1], &args[2], &args[3]}, 4));
    for (int i = 0; i < 2; i++)
        near(dtype == KCL_F32 ? (double)got.rounded[i] : got.exact[i], 2 * -0.5 * 2 - dx.exact[i], tolerance(),
             "tangent", i);
    kcl_operator_destroy(&jvp);
    kcl_operator_destroy(&op);
    ok(kcl_operator_create(&op, "ArgMin_Reduction(Square(y)-x,0)", 2, aliases, NULL));
    ck_assert_int_eq(kcl_operator_jvp(&jvp, op, 2, moved), KCL_ERROR_DERIVATIVE);
    kcl_operator_destroy(&jvp);
    kcl_operator_destroy(&op);
}
END_TEST

/*
 * Of F_i = sum_j p x_i y_j^2 with the cotangent e_i, in batches of x alone: all three, each with the batches of its
 * argument.
 */
START_TEST(operators_are_derived_in_several_arguments)
{
    enum { B = 2, M = 3, N = 4 };
    choose_type(_i);
    static const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)", "p=Pm(1)"}, *const by[] = {"y", "x", "2"};
    values x, y, p = VALUES(1.5), e, got[3];
    fill(&x, B * M, -1, 1);
    fill(&y, N, -1, 1);
    fill(&e, B * M, -1, 1);
    values *const all[] = {&x, &y, &p, &e};
    for (int k = 0; k < 4; k++)
        round_values(all[k]);
    kcl_operator *op, *grad, *bad;
    ok(kcl_operator_create(&op, "Sum_Reduction(p*x*Square(y),0)", 3, aliases, NULL));
    ck_assert_int_eq(kcl_operator_grad_many(&grad, op, 3, by), KCL_OK);
    ck_assert_int_eq(kcl_operator_output_count(grad), 3);
    const kcl_array args[] = {described(&x, 3, (const int64_t[]){B, M, 1}), described(&y, 2, (const int64_t[]){N, 1}),
                              described(&p, 1, (const int64_t[]){1}), described(&e, 3, (const int64_t[]){B, M, 1})};
    const kcl_array outs[] = {described(&got[0], 2, (const int64_t[]){N, 1}),
                              described(&got[1], 3, (const int64_t[]){B, M, 1}),
                              described(&got[2], 1, (const int64_t[]){1})};
    const kcl_array *const arg_list[] = {&args[0], &args[1], &args[2], &args[3]};
    ok(kcl_operator_apply(grad, c, (const kcl_array *const[]){&outs[0], &outs[1], &outs[2]}, 3, arg_list, 4));
    double by_y[N] = {0}, by_p = 0, squares = 0;
    for (int j = 0; j < N; j++)
        squares += y.exact[j] * y.exact[j];
    for (int n = 0; n < B * M; n++) {
        for (int j = 0; j < N; j++)
            by_y[j] += 2 * p.exact[0] * e.exact[n] * x.exact[n] * y.exact[j];
        by_p += e.exact[n] * x.exact[n] * squares;
        near(dtype == KCL_F32 ? (double)got[1].rounded[n] : got[1].exact[n], p.exact[0] * e.exact[n] * squares,
             tolerance(), "in x", n);
    }
    for (int j = 0; j < N; j++)
        near(dtype == KCL_F32 ? (double)got[0].rounded[j] : got[0].exact[j], by_y[j], tolerance(), "in y", j);
    near(dtype == KCL_F32 ? (double)got[2].rounded[0] : got[2].exact[0], by_p, tolerance(), "in p", 0);
    SHAPE_IS(op, 0, arg_list, dtype, B, M, 1);
    SHAPE_IS(grad, 0, arg_list, dtype, N, 1);
    SHAPE_IS(grad, 1, arg_list, dtype, B, M, 1);
    SHAPE_IS(grad, 2, arg_list, dtype, 1);
    ck_assert_int_eq(kcl_operator_grad_many(&bad, op, 2, (const char *const[]){"x", "z"}), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "no argument \"z\"");
    kcl_operator_destroy(&bad);
    ck_assert_int_eq(kcl_operator_grad_many(&bad, op, 0, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_operator_error(bad), "empty");
    kcl_operator_destroy(&bad);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(operators_tell_the_shapes_of_outputs)
{
    enum { A = 2, B = 3, M = 5, N = 4 };
    choose_type(_i);
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)"};
    values x = VALUES(1), y = VALUES(2);
    round_values(&x);
    round_values(&y);
    kcl_operator *op;
    ok(kcl_operator_create(&op, "Sum_Reduction(x*y,0); KMin_ArgKMin_Reduction(SqDist(x,y),3,1); Sum_Reduction(x|y,2)",
                           2, aliases, NULL));
    const kcl_array x_plain = described(&x, 2, (const int64_t[]){M, 2}),
                    y_plain = described(&y, 2, (const int64_t[]){N, 2});
    const kcl_array *args[] = {&x_plain, &y_plain};
    SHAPE_IS(op, 0, args, dtype, M, 2);
    SHAPE_IS(op, 1, args, dtype, N, 3);
    SHAPE_IS(op, 2, args, KCL_I64, N, 3);
    SHAPE_IS(op, 3, args, dtype, 1);
    const kcl_array x_many = described(&x, 4, (const int64_t[]){A, 1, M, 2});
    const kcl_array y_many = described(&y, 3, (const int64_t[]){B, N, 2});
    args[0] = &x_many;
    args[1] = &y_many;
    SHAPE_IS(op, 0, args, dtype, A, B, M, 2);
    SHAPE_IS(op, 2, args, KCL_I64, A, B, N, 3);
    SHAPE_IS(op, 3, args, dtype, A, B, 1);
    /* The errors of apply. */
    kcl_array shape;
    const kcl_array wrong = described(&y, 2, (const int64_t[]){N, 3});
    args[1] = &wrong;
    ck_assert_int_eq(kcl_operator_output_shape(op, c, 0, args, 2, &shape), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(c), "argument \"y\"", "(4, 3)");
    ck_assert_int_eq(kcl_operator_output_shape(op, c, 0, args, 1, &shape), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "2 arguments, 1 were given");
    ck_assert_int_eq(kcl_operator_output_shape(op, c, 4, args, 2, &shape), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "4 outputs", "no output 4");
    ck_assert_int_eq(kcl_operator_output_shape(op, c, 0, args, 2, NULL), KCL_ERROR_ARGUMENT);
    kcl_operator_destroy(&op);
    /* Of expressions that reduce batches: these stay, with the size 1. */
    kcl_expr *x_i = kcl_vi(s, &x_many), *y_j = kcl_vj(s, &y_many);
    kcl_expr *sum = kcl_reduce_sum_batch(kcl_reduce_sum(kcl_mul(x_i, y_j), KCL_OVER_J), 0);
    ok(kcl_operator_from(&op, 1, &sum, 2, (kcl_expr *[]){x_i, y_j}, NULL));
    args[1] = &y_many;
    SHAPE_IS(op, 0, args, dtype, 1, B, M, 2);
    values got;
    kcl_array out;
    ok(kcl_operator_output_shape(op, c, 0, args, 2, &out));
    out.data = dtype == KCL_F32 ? (void *)got.rounded : (void *)got.exact;
    ok(kcl_operator_apply(op, c, (const kcl_array *const[]){&out}, 1, args, 2));
    kcl_operator_destroy(&op);
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {hamiltonian_systems_are_unrolled, 2},
        {expressions_count_as_independent, 2},
        {reduced_batch_axes_stay, 2},
        {operators_move_with_several_arguments, 2},
        {indices_beside_values_have_no_tangent, 2},
        {indices_beside_values_have_no_cotangent, 2},
        {operators_are_derived_in_several_arguments, 2},
        {operators_tell_the_shapes_of_outputs, 2},
    };
    steps = argc > 1 ? 1 : steps; /* a device takes long for three */
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "builders",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .begin = begin,
                                              .end = end,
                                              .tests = tests,
                                              .count = KB_COUNT(tests)});
}
