/* SPDX-License-Identifier: MIT */
/*
 * Steps that are composed: each reads the row-wise results of the one before. However many steps there are, the same few
 * kernels compute them, and none has many arguments. Values and gradients are those of plain loops and of finite
 * differences. By the interpreter, and with the argument "device" on a device; kernels are counted by an OpenCL that is made
 * of our own functions.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "fake_cl.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static kcl_context *c;
static bool on_device;

enum { M = 9, N = 7, D = 2, LONGEST = 100, MOST_PROGRAMS = 12, MOST_ARRAYS = 16 };

static const int lengths[] = {5, 20, LONGEST};

static const double h = 0.05;
static double x[M * D], y[N * D], b[N * D];

/* ---- Chains, as loops and as expressions -------------------------------------------------------------------------- */

/* v_i = sum_j F(u_i, y_j) b_j with F = exp(-|u - y|^2), or tanh(u.y) in a residual network. */
static void velocity(bool network, const double *u, double *v)
{
    for (int i = 0; i < M; i++) {
        v[i * D] = v[i * D + 1] = 0;
        for (int j = 0; j < N; j++) {
            const double r = u[i * D] - y[j * D], s = u[i * D + 1] - y[j * D + 1];
            const double dot = u[i * D] * y[j * D] + u[i * D + 1] * y[j * D + 1];
            for (int n = 0; n < D; n++)
                v[i * D + n] += (network ? tanh(dot) : exp(-r * r - s * s)) * b[j * D + n];
        }
    }
}

static kcl_expr *y_j, *b_j;
static kcl_scope *scope;

static kcl_expr *velocity_of(bool network, kcl_expr *u)
{
    kcl_expr *F = network ? kcl_tanh(kcl_dot(u, y_j)) : kcl_exp(kcl_neg(kcl_sqdist(u, y_j)));
    return kcl_reduce_sum(kcl_mul(F, b_j), KCL_OVER_J);
}

static kcl_expr *times(double factor, kcl_expr *f)
{
    return kcl_mul(kcl_constant(scope, factor), f);
}

/* u + factor * v */
static void move(double *to, const double *u, double factor, const double *v)
{
    for (int k = 0; k < M * D; k++)
        to[k] = u[k] + factor * v[k];
}

/* v_i = sum_j exp(-|u_i - u_j|^2) u_j: rows that meet themselves */
static void attraction(const double *u, double *v)
{
    for (int i = 0; i < M; i++) {
        v[i * D] = v[i * D + 1] = 0;
        for (int j = 0; j < M; j++) {
            const double r = u[i * D] - u[j * D], s = u[i * D + 1] - u[j * D + 1];
            for (int n = 0; n < D; n++)
                v[i * D + n] += exp(-r * r - s * s) * u[j * D + n];
        }
    }
}

enum { EULER, RALSTON, MOMENTUM, NETWORK, SELF, CHAINS };
static const char *const names[] = {"Euler", "Ralston", "momentum", "residual network",
                                    "Euler, rows that meet themselves"};

static double loss_of(int kind, int steps, const double *start)
{
    double u[M * D], v[M * D], w[M * D], m[M * D] = {0}, middle[M * D], loss = 0;
    memcpy(u, start, sizeof u);
    for (int n = 0; n < steps; n++) {
        if (kind == SELF)
            attraction(u, v);
        else
            velocity(kind == NETWORK, u, v);
        if (kind == RALSTON) {
            move(middle, u, 2 * h / 3, v);
            velocity(false, middle, w);
            move(u, u, h / 4, v);
            move(u, u, 3 * h / 4, w);
        } else if (kind == MOMENTUM) {
            for (int k = 0; k < M * D; k++)
                m[k] = 0.9 * m[k] + h * v[k];
            move(u, u, 1, m);
        } else {
            move(u, u, h, v);
        }
    }
    for (int k = 0; k < M * D; k++)
        loss += (u[k] - 1) * (u[k] - 1);
    return loss;
}

static kcl_expr *loss_expr(int kind, int steps, kcl_expr *u)
{
    kcl_expr *m = NULL;
    for (int n = 0; n < steps; n++) {
        kcl_expr *v = kind == SELF
                          ? kcl_reduce_sum(kcl_mul(kcl_exp(kcl_neg(kcl_sqdist(u, kcl_transpose(u)))), kcl_transpose(u)),
                                           KCL_OVER_J)
                          : velocity_of(kind == NETWORK, u);
        if (kind == RALSTON) {
            kcl_expr *w = velocity_of(false, kcl_add(u, times(2 * h / 3, v)));
            u = kcl_add(u, kcl_add(times(h / 4, v), times(3 * h / 4, w)));
        } else if (kind == MOMENTUM) {
            m = m ? kcl_add(times(0.9, m), times(h, v)) : times(h, v);
            u = kcl_add(u, m);
        } else {
            u = kcl_add(u, times(h, v));
        }
    }
    return kcl_reduce_sum(kcl_sum_inner(kcl_square(kcl_sub(u, kcl_constant(scope, 1)))), KCL_OVER_I);
}

static unsigned long long programs(void)
{
    kcl_context_stats stats;
    ck_assert_int_eq(kcl_context_get_stats(c, &stats), KCL_OK);
    return (unsigned long long)(stats.programs_built + stats.programs_loaded);
}

START_TEST(steps_share_their_kernels)
{
    const unsigned long long before = programs();
    unsigned long long few = 0;
    scope = kcl_scope_create(c);
    for (size_t l = 0; l < KB_COUNT(lengths); l++) {
        double loss, g[M * D];
        kcl_scope_reset(scope);
        y_j = kcl_vj(scope, kcl_f64(y, N, D));
        b_j = kcl_vj(scope, kcl_f64(b, N, D));
        kcl_expr *x_i = kcl_vi(scope, kcl_f64(x, M, D)), *L = loss_expr(_i, lengths[l], x_i);
        kcl_expr *both[] = {L, kcl_grad(L, x_i)};
        const kcl_array *outs[] = {kcl_f64(&loss, 1), kcl_f64(g, M, D)};
        ck_assert_msg(kcl_eval(2, both, outs) == KCL_OK, "%s", kcl_context_error(c));
        const double want = loss_of(_i, lengths[l], x);
        ck_assert_msg(fabs(loss - want) <= 1e-11 * (1 + fabs(want)), "%s, %d steps: %.15g, not %.15g", names[_i],
                      lengths[l], loss, want);
        for (int k = 0; k < M * D; k += 5) {
            double moved[M * D];
            memcpy(moved, x, sizeof x);
            moved[k] += 1e-6;
            double slope = loss_of(_i, lengths[l], moved);
            moved[k] -= 2e-6;
            slope = (slope - loss_of(_i, lengths[l], moved)) / 2e-6;
            ck_assert_msg(fabs(g[k] - slope) <= 1e-6 * (1 + fabs(want)),
                          "%s, %d steps: derivative %d is %.9g, not %.9g", names[_i], lengths[l], k, g[k], slope);
        }
        /* All that are needed were built for the shortest chain. */
        if (l == 0)
            few = programs() - before;
        ck_assert_msg(programs() - before == few && few <= MOST_PROGRAMS, "%s, %d steps: %llu programs, %llu before",
                      names[_i], lengths[l], programs() - before, few);
    }
    kcl_scope_destroy(&scope);
}
END_TEST

/* ---- What a driver is given --------------------------------------------------------------------------------------- */

enum { MOST_TEXTS = 100, MOST_KERNELS = 400, MOST_BUFFERS = 20000 };

/* The texts that were built, the buffers that were made, and which arguments of a kernel were buffers. */
static struct {
    uint64_t text[MOST_TEXTS], arrays[MOST_KERNELS];
    cl_kernel kernel[MOST_KERNELS];
    cl_mem buffer[MOST_BUFFERS];
    int texts, kernels, buffers;
} given;

static cl_program CL_API_CALL note_program(cl_context context, cl_uint count, const char **texts, const size_t *sizes,
                                           cl_int *error)
{
    ck_assert_int_lt(given.texts, MOST_TEXTS);
    given.text[given.texts++] = kb_hash(texts[0], strlen(texts[0]), 0);
    return fake_cl.clCreateProgramWithSource(context, count, texts, sizes, error);
}

static cl_mem CL_API_CALL note_buffer(cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *error)
{
    ck_assert_int_lt(given.buffers, MOST_BUFFERS);
    return given.buffer[given.buffers++] = fake_cl.clCreateBuffer(context, flags, size, host, error);
}

static cl_int CL_API_CALL note_argument(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
    bool is_buffer = false;
    int k = 0;
    for (int b = 0; size == sizeof given.buffer[0] && b < given.buffers; b++)
        is_buffer = is_buffer || memcmp(value, &given.buffer[b], size) == 0;
    while (k < given.kernels && given.kernel[k] != kernel)
        k++;
    ck_assert_int_lt(k, MOST_KERNELS);
    ck_assert_uint_lt(index, 64);
    given.kernel[k] = kernel;
    given.kernels = KB_MAX(given.kernels, k + 1);
    given.arrays[k] |= (uint64_t)is_buffer << index;
    return fake_set_any_arg(kernel, index, size, value);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x_of = *(const uint64_t *)a, y_of = *(const uint64_t *)b;
    return (x_of > y_of) - (x_of < y_of);
}

/* Value and gradient of a chain, on a device that computes nothing. */
static void give(const char *device, int kind, int steps)
{
    double loss, g[M * D];
    kcl_context *there;
    kd_cl table = fake_cl;
    memset(&given, 0, sizeof given);
    fake_reset();
    setenv("KEOPSCL_CACHE", "off", 1);
    table.clCreateProgramWithSource = note_program;
    table.clCreateBuffer = note_buffer;
    table.clSetKernelArg = note_argument;
    ck_assert_msg(kd_context_create_with(&table, &there, &(kcl_context_params){.device = device}) == KCL_OK, "%s",
                  kcl_context_error(there));
    scope = kcl_scope_create(there);
    y_j = kcl_vj(scope, kcl_f64(y, N, D));
    b_j = kcl_vj(scope, kcl_f64(b, N, D));
    kcl_expr *x_i = kcl_vi(scope, kcl_f64(x, M, D)), *L = loss_expr(kind, steps, x_i);
    ck_assert_msg(kcl_eval(2, (kcl_expr *[]){L, kcl_grad(L, x_i)},
                           (const kcl_array *[]){kcl_f64(&loss, 1), kcl_f64(g, M, D)}) == KCL_OK,
                  "%s", kcl_context_error(there));
    kcl_scope_destroy(&scope);
    kcl_context_destroy(&there);
    qsort(given.text, (size_t)given.texts, sizeof given.text[0], by_number);
}

START_TEST(chains_give_drivers_few_programs_of_few_arrays)
{
    static const char *const devices[] = {"cpu", "2:1"}; /* a CPU, a GPU with double precision */
    uint64_t few[MOST_TEXTS] = {0};
    int count = 0;
    for (size_t d = 0; d < KB_COUNT(devices); d++)
        for (size_t l = 0; l < KB_COUNT(lengths); l++) {
            give(devices[d], _i, lengths[l]);
            ck_assert_int_gt(given.kernels, 0);
            for (int k = 0; k < given.kernels; k++) {
                int arrays = 0;
                for (int n = 0; n < 64; n++)
                    arrays += given.arrays[k] >> n & 1;
                ck_assert_msg(arrays > 0 && arrays <= MOST_ARRAYS, "%s, %d steps on %s: a kernel of %d arrays",
                              names[_i], lengths[l], devices[d], arrays);
            }
            if (l == 0) {
                count = given.texts;
                memcpy(few, given.text, sizeof few);
            }
            ck_assert_msg(given.texts > 0 && given.texts <= MOST_PROGRAMS, "%s, %d steps on %s: %d programs", names[_i],
                          lengths[l], devices[d], given.texts);
            ck_assert_msg(given.texts == count && memcmp(given.text, few, sizeof few) == 0,
                          "%s on %s: %d steps are computed by %d programs, %d steps by %d, not the same ones",
                          names[_i], devices[d], lengths[l], given.texts, lengths[0], count);
        }
}
END_TEST

/* ---- Batches ------------------------------------------------------------------------------------------------------ */

/* Batches: the chains of two sets of points, which share y and b, are those of each set, as operators too. */
START_TEST(batches_and_operators_compose_as_well)
{
    enum { STEPS = 6 };
    double both[2][M * D], loss[2], g[2][M * D], other[2], want[2];
    for (int k = 0; k < M * D; k++) {
        both[0][k] = x[k];
        both[1][k] = 0.5 * x[k] + 0.1;
    }
    scope = kcl_scope_create(c);
    y_j = kcl_vj(scope, kcl_f64(y, N, D));
    b_j = kcl_vj(scope, kcl_f64(b, N, D));
    kcl_expr *x_i = kcl_vi(scope, kcl_f64(&both[0][0], 2, M, D)), *L = loss_expr(MOMENTUM, STEPS, x_i);
    kcl_expr *roots[] = {L, kcl_vjp(L, x_i, kcl_constant(scope, 1))};
    const kcl_array *outs[] = {kcl_f64(loss, 2, 1), kcl_f64(&g[0][0], 2, M, D)};
    ck_assert_msg(kcl_eval(2, roots, outs) == KCL_OK, "%s", kcl_context_error(c));
    for (int k = 0; k < 2; k++) {
        want[k] = loss_of(MOMENTUM, STEPS, both[k]);
        ck_assert_msg(fabs(loss[k] - want[k]) <= 1e-11 * (1 + want[k]), "batch %d: %.15g, not %.15g", k, loss[k],
                      want[k]);
        for (int n = 0; n < M * D; n += 4) {
            double moved[M * D];
            memcpy(moved, both[k], sizeof moved);
            moved[n] += 1e-6;
            double slope = loss_of(MOMENTUM, STEPS, moved);
            moved[n] -= 2e-6;
            slope = (slope - loss_of(MOMENTUM, STEPS, moved)) / 2e-6;
            ck_assert_msg(fabs(g[k][n] - slope) <= 1e-6 * (1 + want[k]), "batch %d, derivative %d: %.9g, not %.9g", k,
                          n, g[k][n], slope);
        }
    }
    kcl_expr *one = kcl_vi(scope, kcl_f64(both[0], M, D)), *single = loss_expr(RALSTON, STEPS, one);
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_from(&op, 1, &single, 3, (kcl_expr *[]){one, y_j, b_j}, NULL), KCL_OK);
    const kcl_array *args[] = {kcl_f64(&both[0][0], 2, M, D), kcl_f64(y, N, D), kcl_f64(b, N, D)};
    ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(other, 2, 1)}, 1, args, 3) == KCL_OK, "%s",
                  kcl_context_error(c));
    for (int k = 0; k < 2; k++)
        ck_assert_double_eq_tol(other[k], loss_of(RALSTON, STEPS, both[k]), 1e-11 * (1 + other[k]));
    kcl_operator_destroy(&op);
    kcl_scope_destroy(&scope);
}
END_TEST

static void begin(void)
{
    for (int k = 0; k < M * D; k++)
        x[k] = uniform(-1, 1);
    for (int k = 0; k < N * D; k++) {
        y[k] = uniform(-1, 1);
        b[k] = uniform(-0.5, 0.5);
    }
}

int main(int argc, char **argv)
{
    const test_entry tests[] = {{steps_share_their_kernels, CHAINS},
                                {batches_and_operators_compose_as_well, 0},
                                {chains_give_drivers_few_programs_of_few_arrays, CHAINS}};
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "chains",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .begin = begin,
                                              .tests = tests,
                                              .count = KB_COUNT(tests),
                                              .device_tests = tests,
                                              .device_count = KB_COUNT(tests) - 1});
}
