/* SPDX-License-Identifier: MIT */
/*
 * Outputs that are the array of an input: against plain loops.
 */
#include "overlap.h"
#include "sharing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Outputs that are inputs ------------------------------------------------------------------------------------- */

enum { N = 37, D = 2, BLOCK = 2 }; /* rows of all arrays, so that each can be a result */

/* An array in memory of the host or of the device: in the latter with all of its memory, gaps included. */
typedef struct placed {
    kcl_array array;
    kcl_array whole;
} placed;

static placed place(const numbers *n, bool on_device)
{
    placed p = {.array = n->array};
    if (!on_device)
        return p;
    const int64_t elements = (int64_t)(n->bytes / kb_dtype_size(n->array.dtype));
    OK(kcl_array_upload(c,
                        &(kcl_array){.data = n->memory,
                                     .dtype = n->array.dtype,
                                     .ndim = 1,
                                     .shape = {elements},
                                     .stride = {(int64_t)kb_dtype_size(n->array.dtype)}},
                        &p.whole));
    p.array.memory = p.whole.memory;
    p.array.offset = (char *)n->array.data - (char *)n->memory;
    p.array.data = NULL;
    return p;
}

/* Brings it back, gaps included. */
static void take_back(placed *p, numbers *n)
{
    if (!p->whole.memory)
        return;
    const kcl_array to = {.data = n->memory,
                          .dtype = n->array.dtype,
                          .ndim = 1,
                          .shape = {p->whole.shape[0]},
                          .stride = {p->whole.stride[0]}};
    OK(kcl_array_download(c, &p->whole, &to));
    kcl_array_free(&p->whole);
}

static double kernel(const numbers *x, int i, const numbers *y, int j)
{
    double d2 = 0;
    for (int k = 0; k < D; k++)
        d2 += pow(*numbers_exact(x, i, k) - *numbers_exact(y, j, k), 2);
    return exp(-d2);
}

static void check_rows(const numbers *got, const double *want, const char *what, kcl_dtype dtype, int how)
{
    for (int i = 0; i < N; i++)
        for (int k = 0; k < D; k++)
            ck_assert_msg(fabs(numbers_get(got, i, k) - want[i * D + k]) <= (dtype == KCL_F32 ? 1e-4 : 1e-11),
                          "%s, %s, layout %d, seed %llu: (%d, %d) is %.9g, should be %.9g", what, kb_dtype_name(dtype),
                          how, (unsigned long long)test_seed(), i, k, numbers_get(got, i, k), want[i * D + k]);
}

/*
 * Two sweeps, over j and over i, with an output each that is one of the inputs x, y, b of both: out[0] = sum_j K_ij b_j,
 * out[1] = sum_i K_ij (x_i + b_j). Other inputs stay as they are.
 */
START_TEST(test_results_in_the_place_of_inputs)
{
    static const int pairs[][2] = {{0, 1}, {1, 0}, {2, 0}, {1, 2}, {2, -1}, {-1, 2}};
    static const double alpha[] = {2, -0.5}, beta[] = {0.5, 3};
    const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "b=Vj(2)"};
    kcl_operator *op;
    choose(_i);
    ck_assert_int_eq(kcl_operator_create(&op,
                                         "Sum_Reduction(Exp(-SqDist(x,y))*b,0);"
                                         "Sum_Reduction(Exp(-SqDist(x,y))*(x+b),1)",
                                         3, aliases, NULL),
                     KCL_OK);
    for (int how = 0; how < LAYOUT_COUNT; how++) {
        for (size_t pair = 0; pair < KB_COUNT(pairs); pair++) {
            for (int way = 0; way < 4; way++) { /* host or device memory, plain or with an epilogue */
                const bool on_device = way & 1, scaled = way & 2;
                const kcl_dtype dtype = (how + way + (int)pair) % 2 ? KCL_F64 : KCL_F32;
                numbers in[3], own;
                placed at[3], at_own;
                double want[2][N * D] = {{0}};
                for (int k = 0; k < 3; k++) {
                    numbers_make(&in[k], dtype, N, D, (layout)how);
                    numbers_fill(&in[k], -1, 1);
                    at[k] = place(&in[k], on_device);
                }
                numbers_make(&own, dtype, N, D, (layout)how);
                numbers_fill(&own, -1, 1);
                at_own = place(&own, on_device);
                for (int i = 0; i < N; i++) {
                    for (int j = 0; j < N; j++) {
                        const double entry = kernel(&in[0], i, &in[1], j);
                        for (int k = 0; k < D; k++) {
                            const double b = *numbers_exact(&in[2], j, k);
                            want[0][i * D + k] += entry * b;
                            want[1][j * D + k] += entry * (*numbers_exact(&in[0], i, k) + b);
                        }
                    }
                }
                const kcl_array *outs[2], *args[] = {&at[0].array, &at[1].array, &at[2].array};
                for (int o = 0; o < 2; o++) {
                    const int n = pairs[pair][o];
                    outs[o] = n < 0 ? &at_own.array : &at[n].array;
                    for (int k = 0; scaled && k < N * D; k++)
                        want[o][k] =
                            alpha[o] * want[o][k] + beta[o] * *numbers_exact(n < 0 ? &own : &in[n], k / D, k % D);
                }
                if (scaled)
                    OK(kcl_operator_apply_scaled(op, c, outs, 2, args, 3, alpha, beta));
                else
                    OK(kcl_operator_apply(op, c, outs, 2, args, 3));
                for (int k = 0; k < 3; k++) {
                    take_back(&at[k], &in[k]);
                    const int o = pairs[pair][0] == k ? 0 : pairs[pair][1] == k ? 1 : -1;
                    check_rows(&in[k], o < 0 ? in[k].exact.data : want[o], o < 0 ? "input" : "result", dtype, how);
                    numbers_check_gaps(&in[k]);
                    numbers_free(&in[k]);
                }
                take_back(&at_own, &own);
                for (int o = 0; o < 2; o++)
                    if (pairs[pair][o] < 0)
                        check_rows(&own, want[o], "other result", dtype, how);
                numbers_free(&own);
            }
        }
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* The case that is written: x = sum_j K(x, y) y_j, again and again; also with x as both arguments. */
START_TEST(test_a_step_repeated_in_place)
{
    enum { STEPS = 3 };
    choose(_i);
    for (int on_device = 0; on_device < 2; on_device++) {
        double x[N], y[N], want[N];
        kcl_array there;
        for (int i = 0; i < N; i++) {
            x[i] = want[i] = uniform(-1, 1);
            y[i] = uniform(-1, 1);
        }
        if (on_device)
            OK(kcl_array_upload(c, kcl_f64(x, N, 1), &there));
        const kcl_array *const at = on_device ? &there : kcl_f64(x, N, 1);
        kcl_scope *s = kcl_scope_create(c);
        kcl_expr *xi = kcl_vi(s, at), *xj = kcl_vj(s, at), *yj = kcl_vj(s, kcl_f64(y, N, 1));
        kcl_expr *f = kcl_mul(kcl_exp(kcl_neg(kcl_sqdist(xi, yj))), kcl_add(yj, xj));
        for (int n = 0; n < STEPS; n++) {
            double before[N];
            memcpy(before, want, sizeof before);
            for (int i = 0; i < N; i++) {
                want[i] = 0;
                for (int j = 0; j < N; j++)
                    want[i] += exp(-pow(before[i] - y[j], 2)) * (y[j] + before[j]);
                want[i] *= n == STEPS - 1 ? 0.01 : 1;
                want[i] += n == STEPS - 1 ? before[i] : 0;
            }
            if (n == 0)
                OK(kcl_sum(f, KCL_OVER_J, at));
            else if (n == 1)
                OK(kcl_eval1(kcl_reduce_sum(f, KCL_OVER_J), at));
            else
                OK(kcl_eval_scaled(1, (kcl_expr *[]){kcl_reduce_sum(f, KCL_OVER_J)}, &at, (double[]){0.01},
                                   (double[]){1}));
        }
        if (on_device) {
            OK(kcl_array_download(c, &there, kcl_f64(x, N, 1)));
            kcl_array_free(&there);
        }
        for (int i = 0; i < N; i++)
            ck_assert_double_eq_tol(x[i], want[i], 1e-10 * (1 + fabs(want[i])));
        kcl_scope_destroy(&s);
    }
}
END_TEST

/* sum_j x_i y_j into y, where the first rows written are read by all others. */
START_TEST(test_a_product_into_its_factor)
{
    enum { COUNT = 64 };
    float x[COUNT], y[COUNT];
    choose(_i);
    kcl_scope *s = kcl_scope_create(c);
    for (int i = 0; i < COUNT; i++)
        x[i] = y[i] = (float)i;
    OK(kcl_sum(kcl_mul(kcl_vi(s, kcl_f32(x, COUNT, 1)), kcl_vj(s, kcl_f32(y, COUNT, 1))), KCL_OVER_J,
               kcl_f32(y, COUNT)));
    for (int i = 0; i < COUNT; i++)
        ck_assert_double_eq((double)y[i], i * 2016.0); /* the sum of 0 to 63; exact in float32 */
    kcl_scope_destroy(&s);
}
END_TEST

/* A later sweep reads what the first result is written over, and what becomes of it as a temporary. */
START_TEST(test_results_of_several_sweeps)
{
    choose(_i);
    for (int on_device = 0; on_device < 2; on_device++) {
        double x[N], b[N], sums[N] = {0}, want[2][N] = {{0}};
        kcl_array at_x, at_b;
        for (int i = 0; i < N; i++) {
            x[i] = uniform(-1, 1);
            b[i] = uniform(-1, 1);
        }
        for (int pass = 0; pass < 2; pass++)
            for (int i = 0; i < N; i++)
                for (int j = 0; j < N; j++) {
                    const double entry = exp(-pow(x[i] - x[j], 2));
                    *(pass ? &want[1][i] : &sums[i]) += entry * (pass ? sums[j] * b[j] : b[j]);
                }
        memcpy(want[0], sums, sizeof sums);
        if (on_device) {
            OK(kcl_array_upload(c, kcl_f64(x, N, 1), &at_x));
            OK(kcl_array_upload(c, kcl_f64(b, N, 1), &at_b));
        } else {
            at_x = *kcl_f64(x, N, 1);
            at_b = *kcl_f64(b, N, 1);
        }
        kcl_scope *s = kcl_scope_create(c);
        kcl_expr *xi = kcl_vi(s, &at_x), *xj = kcl_vj(s, &at_x), *bj = kcl_vj(s, &at_b);
        kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(xi, xj)));
        kcl_expr *first = kcl_reduce_sum(kcl_mul(K, bj), KCL_OVER_J);
        kcl_expr *second = kcl_reduce_sum(kcl_mul(kcl_mul(K, bj), kcl_transpose(first)), KCL_OVER_J);
        OK(kcl_eval(2, (kcl_expr *[]){first, second}, (const kcl_array *[]){&at_b, &at_x}));
        if (on_device) {
            OK(kcl_array_download(c, &at_x, kcl_f64(x, N, 1)));
            OK(kcl_array_download(c, &at_b, kcl_f64(b, N, 1)));
            kcl_array_free(&at_x);
            kcl_array_free(&at_b);
        }
        for (int i = 0; i < N; i++) {
            ck_assert_double_eq_tol(b[i], want[0][i], 1e-11);
            ck_assert_double_eq_tol(x[i], want[1][i], 1e-10);
        }
        kcl_scope_destroy(&s);
    }
}
END_TEST

/* Parameters, formulas of rows alone, and indices that replace what they were chosen by. */
START_TEST(test_other_roles_and_kinds)
{
    enum { M = 5 };
    double p[3] = {1, 2, 4}, x[M] = {3, 1, 4, 1, 5}, y[M] = {9, 2, 6, 5, 3}, swap[M];
    int64_t index[M] = {4, 3, 2, 1, 0};
    choose(_i);
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *xi = kcl_vi(s, kcl_f64(x, M, 1));
    /* A parameter of three components: (3) and (1, 3) are the same numbers. The sum of x is 14. */
    OK(kcl_sum(kcl_mul(xi, kcl_pm(s, kcl_f64(p, 3))), KCL_OVER_I, kcl_f64(p, 1, 3)));
    for (int k = 0; k < 3; k++)
        ck_assert_double_eq(p[k], 14 << k);
    /* A formula of rows, backwards in memory. */
    kcl_array back = *kcl_f64(y, M, 1);
    back.data = y + M - 1;
    back.stride[0] = -8;
    OK(kcl_eval1(kcl_add(kcl_square(kcl_vi(s, &back)), xi), &back));
    const double squares[M] = {81 + 5, 4 + 1, 36 + 4, 25 + 1, 9 + 3};
    for (int i = 0; i < M; i++)
        ck_assert_double_eq(y[i], squares[i]);
    /* x at the index, into x. */
    kcl_expr *table = kcl_vj(s, kcl_f64(x, M, 1)), *at = kcl_vi(s, kcl_i64(index, M, 1));
    memcpy(swap, x, sizeof x);
    OK(kcl_eval1(kcl_gather(table, at), kcl_f64(x, M)));
    for (int i = 0; i < M; i++)
        ck_assert_double_eq(x[i], swap[M - 1 - i]);
    /* The place of the nearest of the x that an index chooses, into that index: they are now 5 1 4 1 3. */
    kcl_expr *chosen = kcl_gather(table, at);
    OK(kcl_argmin(kcl_sqdist(chosen, table), KCL_OVER_J, kcl_i64(index, M)));
    const int64_t nearest[M] = {4, 1, 2, 1, 0};
    for (int i = 0; i < M; i++)
        ck_assert_int_eq(index[i], nearest[i]);
    kcl_scope_destroy(&s);
}
END_TEST

/* Batches whose axes lie in any order in memory. */
START_TEST(test_batches_in_place)
{
    enum { A = 3, B = 2, M = 6 };
    choose(_i);
    for (int way = 0; way < 4; way++) {
        double x[A * B * M], y[B * M], want[A][B][M];
        kcl_array at = *kcl_f64(x, A, B, M, 1), device_x;
        if (way & 1) { /* rows outside, the batches inside */
            at.stride[0] = 8;
            at.stride[1] = 8 * A;
            at.stride[2] = 8 * A * B;
        }
        for (int k = 0; k < A * B * M; k++)
            x[k] = uniform(-1, 1);
        for (int k = 0; k < B * M; k++)
            y[k] = uniform(-1, 1);
#define X(a, b, i) x[((a)*at.stride[0] + (b)*at.stride[1] + (i)*at.stride[2]) / 8]
        for (int a = 0; a < A; a++)
            for (int b = 0; b < B; b++)
                for (int i = 0; i < M; i++) {
                    want[a][b][i] = 0.5 * X(a, b, i);
                    for (int j = 0; j < M; j++)
                        want[a][b][i] += exp(X(a, b, i) * y[b * M + j]) * X(a, b, j);
                }
        if (way & 2) {
            OK(kcl_array_upload(c, kcl_f64(x, A * B * M), &device_x));
            at.memory = device_x.memory;
        }
        kcl_scope *s = kcl_scope_create(c);
        kcl_expr *f = kcl_mul(kcl_exp(kcl_mul(kcl_vi(s, &at), kcl_vj(s, kcl_f64(y, B, M, 1)))), kcl_vj(s, &at));
        OK(kcl_eval_scaled(1, (kcl_expr *[]){kcl_reduce_sum(f, KCL_OVER_J)}, (const kcl_array *[]){&at}, NULL,
                           (double[]){0.5}));
        if (way & 2) {
            OK(kcl_array_download(c, &device_x, kcl_f64(x, A * B * M)));
            kcl_array_free(&device_x);
        }
        for (int a = 0; a < A; a++)
            for (int b = 0; b < B; b++)
                for (int i = 0; i < M; i++)
                    ck_assert_double_eq_tol(X(a, b, i), want[a][b][i], 1e-12 * (1 + fabs(want[a][b][i])));
        kcl_scope_destroy(&s);
    }
}
END_TEST

/* Columns and rows of one matrix that lie between each other are arrays of their own. */
START_TEST(test_parts_of_a_matrix)
{
    enum { M = 6, COLUMNS = 4 };
    choose(_i);
    for (int way = 0; way < 4; way++) {
        const bool on_device = way & 1, rows = way & 2;
        double matrix[M * COLUMNS], want[M * COLUMNS];
        kcl_array whole = *kcl_f64(matrix, M * COLUMNS), from, to[2];
        for (int k = 0; k < M * COLUMNS; k++)
            matrix[k] = want[k] = k;
        if (on_device)
            OK(kcl_array_upload(c, kcl_f64(matrix, M * COLUMNS), &whole));
        /* Two columns that are not neighbours, to the two others, one of them backwards; or rows, of one component. */
        const int64_t row = rows ? 24 : 8 * COLUMNS, step = rows ? 8 : 16, other = rows ? 8 : 8;
        from = to[0] = to[1] = whole;
        from.ndim = 2;
        from.shape[0] = M;
        from.shape[1] = rows ? 1 : 2;
        from.stride[0] = row;
        from.stride[1] = step;
        for (int k = 0; k < 2; k++) {
            to[k].ndim = 1;
            to[k].shape[0] = M;
            to[k].stride[0] = k ? -row : row;
            const int64_t first = other * (k ? (rows ? 2 : 3) : 1) + (k ? (M - 1) * row : 0);
            if (on_device)
                to[k].offset = first;
            else
                to[k].data = (char *)matrix + first;
        }
        double one = 1;
        kcl_scope *s = kcl_scope_create(c);
        kcl_expr *xi = kcl_vi(s, &from), *f = kcl_mul(xi, kcl_vj(s, kcl_f64(&one, 1, 1)));
        OK(kcl_eval(
            2, (kcl_expr *[]){kcl_sum_inner(kcl_reduce_sum(f, KCL_OVER_J)), kcl_mul(kcl_scalar(s, 3), kcl_elem(xi, 0))},
            (const kcl_array *[]){&to[0], &to[1]}));
        for (int i = 0; i < M; i++) {
            const double first = (double)(i * row) / 8, sum = rows ? first : 2 * first + 2;
            want[i * row / 8 + 1] = sum;
            want[(M - 1 - i) * row / 8 + (rows ? 2 : 3)] = 3 * first;
        }
        if (on_device) {
            OK(kcl_array_download(c, &whole, kcl_f64(matrix, M * COLUMNS)));
            kcl_array_free(&whole);
        }
        for (int k = 0; k < M * COLUMNS; k++)
            ck_assert_msg(matrix[k] == want[k], "way %d: element %d is %g, should be %g", way, k, matrix[k], want[k]);
        kcl_scope_destroy(&s);
    }
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const int rounds = begin_sharing(argv[0]);
    const test_entry tests[] = {
        {test_results_in_the_place_of_inputs, rounds},
        {test_a_step_repeated_in_place, rounds},
        {test_a_product_into_its_factor, rounds},
        {test_results_of_several_sweeps, rounds},
        {test_other_roles_and_kinds, rounds},
        {test_batches_in_place, rounds},
        {test_parts_of_a_matrix, rounds},
    };
    return run_sharing("results in place", tests, KB_COUNT(tests));
}
