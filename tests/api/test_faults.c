/* SPDX-License-Identifier: MIT */
/*
 * Every allocation and every OpenCL call fails in turn, through the public functions: by the interpreter and against an
 * OpenCL made of our own functions; with the argument "driver", against the machine's own (77 without one).
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "faulty_cl.h"
#include "harness.h"

#include <keopscl/keopscl.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- One program that uses every public function which computes -------------------------------------------------- */

enum { M = 20, N = 30 };

typedef struct trial {
    const kd_cl *table; /* NULL: the interpreter */
    failing memory;
    kcl_context *context;
    kcl_scope *scope;
    kcl_operator *op, *grad, *jvp, *magnitude, *from, *expanded;
    double sums[M], slopes[M * 3], loss;
    bool one_apply; /* that and no more: a driver takes its time */
    bool gpu;       /* a device to which everything is copied, and which is not waited for */
} trial;

static double x[M * 3], y[N * 3], b[N], e[M], g = 0.5;
static const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(1)", "g=Pm(1)"};

static kcl_status open_trial(trial *t)
{
    const kcl_context_params params = {.device = !t->table ? "host"
                                                 : t->gpu  ? "2:1"
                                                           : "cpu",
                                       .threads = 2,
                                       .allocator = failing_allocator(&t->memory)};
    return kd_context_create_with(t->table, &t->context, &params);
}

static kcl_status evaluate(trial *t)
{
    kcl_scope *s = t->scope;
    kcl_data *points = kcl_data_create(s, kcl_f64(x, M, 3));
    kcl_expr *x_i = kcl_vi_data(s, points), *x_j = kcl_vj_data(s, points);
    kcl_expr *y_j = kcl_lazy(s, kcl_f64(y, 1, N, 3)), *b_j = kcl_vj(s, kcl_f64(b, N)), *sigma = kcl_scalar(s, g);
    const char *const names[] = {"x", "y", "g"};
    kcl_expr *K = kcl_formula(s, "Exp(-g*SqDist(x,y))", 3, names, (kcl_expr *[]){x_i, y_j, sigma});
    kcl_expr *u = kcl_add(x_i, kcl_reduce_sum(kcl_mul(K, kcl_mul(b_j, y_j)), KCL_OVER_J));
    kcl_expr *v = kcl_reduce_sum(kcl_dot(u, x_j), KCL_OVER_J);
    kcl_expr *loss = kcl_reduce_sum(kcl_square(v), KCL_OVER_I);
    kcl_status status = kcl_eval(2, (kcl_expr *[]){loss, kcl_grad(loss, x_i)},
                                 (const kcl_array *[]){kcl_f64(&t->loss, 1), kcl_f64(t->slopes, M, 3)});
    kcl_scope_reset(s);
    return status;
}

static kcl_status make_operators(trial *t)
{
    const kcl_operator_params params = {.allocator = failing_allocator(&t->memory)};
    kcl_status status = kcl_operator_create(&t->op, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", 4, aliases, &params);
    if (t->one_apply || t->gpu)
        return status;
    if (status == KCL_OK)
        status = kcl_operator_grad(&t->grad, t->op, "x");
    if (status == KCL_OK)
        status = kcl_operator_jvp(&t->jvp, t->op, 2, (const char *const[]){"y", "g"});
    if (status == KCL_OK)
        status = kcl_operator_magnitude(&t->magnitude, t->op);
    if (status == KCL_OK) {
        const kcl_operator_params norms = {.form = "expanded", .allocator = params.allocator};
        status = kcl_operator_create(&t->expanded, "Sum_Reduction(Exp(-g*SqDist(g*x,y))*b,0)", 4,
                                     (const char *const[]){"x=Vi(10)", "y=Vj(10)", "b=Vj(1)", "g=Pm(1)"}, &norms);
    }
    if (status == KCL_OK) {
        kcl_expr *u = kcl_vi(t->scope, kcl_f64(x, M, 3)), *f = kcl_exp(u);
        status = kcl_operator_from(&t->from, 1, &f, 1, &u, &params);
    }
    return status;
}

static kcl_status apply_operators(trial *t)
{
    const kcl_array *args[] = {kcl_f64(x, M, 3), kcl_f64(y, N, 3), kcl_f64(b, N), kcl_f64(&g, 1), kcl_f64(e, M)};
    kcl_status status = kcl_operator_apply(t->op, t->context, (const kcl_array *[]){kcl_f64(t->sums, M)}, 1, args, 4);
    if (t->one_apply || t->gpu)
        return status;
    if (status == KCL_OK)
        status = kcl_operator_apply(t->grad, t->context, (const kcl_array *[]){kcl_f64(t->slopes, M, 3)}, 1, args, 5);
    /* An input that kernels cannot read in its place. */
    const kcl_array backwards = {.data = x + (M - 1) * 3,
                                 .dtype = KCL_F64,
                                 .ndim = 2,
                                 .shape = {M, 3},
                                 .stride = {-3 * (int64_t)sizeof(double), sizeof(double)}};
    double out[M * 3];
    if (status == KCL_OK)
        status = kcl_operator_apply_scaled(t->from, t->context, (const kcl_array *[]){kcl_f64(out, M, 3)}, 1,
                                           (const kcl_array *[]){&backwards}, 1, (double[]){2}, NULL);
    /* An output that is the input. */
    const kcl_array *const in_place[] = {kcl_f64(out, M, 3)};
    if (status == KCL_OK)
        status = kcl_operator_apply_scaled(t->from, t->context, in_place, 1, in_place, 1, NULL, (double[]){1});
    if (status == KCL_OK)
        status = kcl_operator_apply(t->magnitude, t->context, (const kcl_array *[]){kcl_f64(out, M)}, 1, args, 4);
    const kcl_array *long_args[] = {kcl_f64(x, M * 3 / 10, 10), kcl_f64(y, N * 3 / 10, 10), kcl_f64(b, N * 3 / 10),
                                    kcl_f64(&g, 1)};
    if (status == KCL_OK)
        status = kcl_operator_apply(t->expanded, t->context, (const kcl_array *[]){kcl_f64(out, M * 3 / 10)}, 1,
                                    long_args, 4);
    return status;
}

static void drop_operators(trial *t)
{
    kcl_operator_destroy(&t->op);
    kcl_operator_destroy(&t->grad);
    kcl_operator_destroy(&t->jvp);
    kcl_operator_destroy(&t->magnitude);
    kcl_operator_destroy(&t->from);
    kcl_operator_destroy(&t->expanded);
}

static void close_trial(trial *t)
{
    drop_operators(t);
    kcl_scope_destroy(&t->scope);
    kcl_context_destroy(&t->context);
    ck_assert_msg(t->memory.blocks == 0, "%lld blocks leak", (long long)t->memory.blocks);
}

static void fill(void)
{
    for (int k = 0; k < M * 3; k++)
        x[k] = sin(1.0 + k);
    for (int k = 0; k < N * 3; k++)
        y[k] = cos(2.0 + k);
    for (int k = 0; k < N; k++)
        b[k] = sin(3.0 * k);
    for (int k = 0; k < M; k++)
        e[k] = cos(5.0 * k);
}

static double sum_at(int i)
{
    double sum = 0;
    for (int j = 0; j < N; j++) {
        double d2 = 0;
        for (int k = 0; k < 3; k++)
            d2 += pow(x[3 * i + k] - y[3 * j + k], 2);
        sum += exp(-g * d2) * b[j];
    }
    return sum;
}

/* The same sums on device arrays, one of which begins within its memory. */
static kcl_status apply_on_device(trial *t)
{
    kcl_array there[4] = {{.ndim = -1}, {.ndim = -1}, {.ndim = -1}, {.ndim = -1}}, out = {.ndim = -1};
    kcl_memory *columns = NULL;
    kcl_scope *s = t->scope;
    kcl_status status = kcl_array_upload(t->context, kcl_f64(x, M, 3), &there[0]);
    if (status == KCL_OK)
        status = kcl_memory_create(t->context, sizeof y + 8, &columns);
    if (status == KCL_OK) {
        there[1] = kcl_array_in(columns, 8, KCL_F64, 2, (int64_t[]){N, 3});
        status = kcl_array_update(t->context, kcl_f64(y, N, 3), &there[1]);
    }
    if (status == KCL_OK)
        status = kcl_array_upload(t->context, kcl_f64(b, N), &there[2]);
    if (status == KCL_OK)
        status = kcl_array_create(t->context, KCL_F64, 1, (int64_t[]){M}, &out);
    const kcl_array *outs[] = {&out}, *args[] = {&there[0], &there[1], &there[2], kcl_f64(&g, 1)};
    if (status == KCL_OK)
        status = kcl_operator_apply(t->op, t->context, outs, 1, args, 4);
    if (status == KCL_OK)
        status = kcl_array_download(t->context, &out, kcl_f64(t->sums, M));
    if (status == KCL_OK) /* in place */
        status = kcl_eval1(kcl_square(kcl_vi(s, &out)), &out);
    double number = 0;
    if (status == KCL_OK) {
        kcl_expr *v = kcl_vi_data(s, kcl_data_upload(s, kcl_f64(e, M)));
        status = kcl_sum(v, KCL_OVER_I, kcl_f64(&number, 1));
    }
    kcl_array_free(&there[0]);
    kcl_array_free(&there[2]);
    kcl_array_free(&out);
    kcl_memory_release(&columns);
    return status == KCL_OK ? kcl_context_finish(t->context) : status;
}

/*
 * The whole program, the first failure ends it. Beside the fake's CPU without device arrays, beside its GPU these and
 * one operator: each takes its time. `computes`: kernels are real.
 */
static kcl_status run_all(trial *t, bool computes)
{
    kcl_status status = KCL_OK;
    if (!t->scope && !t->one_apply && !(t->scope = kcl_scope_create(t->context)))
        return KCL_ERROR_NO_MEMORY;
    if (!t->one_apply && !t->gpu)
        status = evaluate(t);
    if (status == KCL_OK)
        status = make_operators(t);
    if (status == KCL_OK)
        status = apply_operators(t);
    if (status == KCL_OK && !t->one_apply && (t->gpu || !t->table))
        status = apply_on_device(t);
    for (int i = 0; status == KCL_OK && computes && i < M; i++)
        ck_assert_double_eq_tol(t->sums[i], sum_at(i), 1e-12);
    return status;
}

/* ---- Allocations ------------------------------------------------------------------------------------------------- */

/* Runs with allocation n and all later ones failing; then, if a context was made, once more with none failing. */
static bool fail_allocation(const kd_cl *table, bool gpu, long long n)
{
    trial t = {.table = table, .gpu = gpu, .memory = {.fail_at = n}};
    kcl_status status = open_trial(&t);
    if (status == KCL_OK) {
        status = run_all(&t, !table);
        ck_assert_msg(status == KCL_OK || status == KCL_ERROR_NO_MEMORY, "allocation %lld: %s: %s", n,
                      kcl_status_name(status), kcl_context_error(t.context));
        long long requests = t.memory.requests;
        t.memory.fail_at = 0;
        drop_operators(&t);
        if (t.scope)
            kcl_scope_reset(t.scope);
        kcl_status again = run_all(&t, !table);
        ck_assert_msg(again == KCL_OK, "after allocation %lld: %s", n, kcl_context_error(t.context));
        close_trial(&t);
        return status == KCL_OK && requests < n;
    }
    ck_assert_int_eq(status, KCL_ERROR_NO_MEMORY);
    ck_assert_ptr_null(t.scope);
    close_trial(&t);
    return false;
}

START_TEST(test_each_allocation_fails_by_the_interpreter)
{
    long long n = 1;
    fill();
    while (!fail_allocation(NULL, false, n))
        n++;
    ck_assert_int_gt(n, 100);
}
END_TEST

START_TEST(test_each_allocation_fails_beside_a_device)
{
    const kd_cl table = fake_table();
    fill();
    for (int gpu = 0; gpu < 2; gpu++) {
        long long n = 1;
        do {
            fake_reset();
            empty_folder();
        } while (!fail_allocation(&table, gpu, n++));
        ck_assert_int_gt(n, 100);
        ck_assert_int_eq(fake.live, 0);
    }
}
END_TEST

/* One request fails, and those after it succeed. */
typedef struct single_failure {
    int64_t requests, fails, blocks;
} single_failure;

static void *fail_once(void *user, void *pointer, size_t size)
{
    single_failure *f = user;
    if (size == 0) {
        f->blocks -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    if (++f->requests == f->fails)
        return NULL;
    f->blocks += !pointer;
    return realloc(pointer, size);
}

/* Evaluations into the array of an input, of chains and of gathers: after any failure the next call is right. */
START_TEST(test_one_allocation_fails)
{
    single_failure memory = {0, 0, 0};
    kcl_context *c;
    ck_assert_int_eq(kcl_context_create(&c, &(kcl_context_params){.device = "host", .allocator = {fail_once, &memory}}),
                     KCL_OK);
    const double start[3] = {0.5, -1, 2};
    kcl_status status = KCL_ERROR_NO_MEMORY;
    for (int64_t n = 1; status != KCL_OK; n++) {
        double u[3], want[3];
        for (int round = 0; round < 2; round++) {
            memcpy(u, start, sizeof u);
            kcl_context_drop_programs(c);
            kcl_scope *s = kcl_scope_create(c);
            kcl_expr *rows = kcl_vi(s, kcl_f64(u, 3, 1)), *columns = kcl_vj(s, kcl_f64(u, 3, 1));
            kcl_expr *sum = kcl_reduce_sum(kcl_mul(rows, columns), KCL_OVER_J);
            kcl_expr *nearest = kcl_gather(columns, kcl_reduce_argmin(kcl_sqdist(sum, columns), KCL_OVER_J));
            kcl_expr *next = kcl_add(kcl_reduce_sum(kcl_mul(sum, columns), KCL_OVER_J), nearest);
            memory.requests = 0;
            memory.fails = round ? 0 : n;
            const kcl_status now = kcl_eval1(next, kcl_f64(u, 3, 1));
            memory.fails = 0;
            if (!round) {
                status = now;
                ck_assert(now == KCL_OK || now == KCL_ERROR_NO_MEMORY);
                for (int i = 0; now < 0 && i < 3; i++)
                    ck_assert_double_eq(u[i], start[i]);
            } else {
                ck_assert_msg(now == KCL_OK, "%s", kcl_context_error(c));
            }
            kcl_scope_destroy(&s);
        }
        /* sum_i = 1.5 u_i, the nearest u_j to it, and 1.5 sum_i beside that. */
        for (int i = 0; i < 3; i++) {
            const double sum = 1.5 * start[i];
            want[i] = start[0];
            for (int j = 1; j < 3; j++)
                if (fabs(sum - start[j]) < fabs(sum - want[i]))
                    want[i] = start[j];
            want[i] += 1.5 * sum;
            ck_assert_double_eq_tol(u[i], want[i], 1e-12);
        }
        ck_assert_int_lt(n, 10000);
    }
    kcl_context_destroy(&c);
    ck_assert_int_eq(memory.blocks, 0);
}
END_TEST

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

/* Opens without faults, so that the count is of the calls of apply and evaluation. */
static kcl_status run_faulty(trial *t, void (*arm)(int n), int n)
{
    ck_assert_msg(open_trial(t) == KCL_OK, "%s", kcl_context_error(t->context));
    arm(n);
    kcl_status status = run_all(t, t->table != NULL && t->table->clSetKernelArg != fake_set_any_arg);
    ck_assert(status == KCL_OK || *kcl_context_error(t->context));
    return status;
}

static void run_again(trial *t)
{
    drop_operators(t);
    kcl_scope_reset(t->scope);
    kcl_status status = run_all(t, t->table->clSetKernelArg != fake_set_any_arg);
    ck_assert_msg(status == KCL_OK, "afterwards: %s", kcl_context_error(t->context));
    close_trial(t);
}

static void arm_fake(int n)
{
    fake.calls = 0;
    fake.fail_at = n;
}

START_TEST(test_each_call_of_a_device_fails)
{
    const kd_cl table = fake_table();
    fill();
    for (int gpu = 0; gpu < 2; gpu++) {
        int n = 0, failures = 0;
        bool failed = true;
        while (failed) {
            trial t = {.table = &table, .gpu = gpu};
            fake_reset();
            empty_folder();
            kcl_status status = run_faulty(&t, arm_fake, ++n);
            failed = fake.failed;
            failures += status < 0;
            ck_assert(failed || status == KCL_OK);
            if (status < 0)
                ck_assert_msg(strstr(kcl_context_error(t.context), "cl") &&
                                  strstr(kcl_context_error(t.context), "OUT_OF_RES"),
                              "call %d: %s", n, kcl_context_error(t.context));
            fake.fail_at = 0;
            run_again(&t);
            ck_assert_int_eq(fake.live, 0);
        }
        ck_assert_int_gt(n, 50);
        ck_assert_int_gt(failures, 20);
    }
}
END_TEST

/* A system of float32 arrays, whose products are computed in both precisions; the fake's kernels compute nothing. */
static kcl_status solve_by(trial *t)
{
    float points[M * 3], side[M], start[M], noise[M], number = 0.5F, solution[M];
    for (int k = 0; k < M * 3; k++)
        points[k] = (float)x[k];
    for (int k = 0; k < M; k++) {
        side[k] = (float)b[k];
        start[k] = 0.5F;
        noise[k] = 1;
    }
    const kcl_array *points_i = kcl_f32(points, M, 3);
    return kcl_operator_solve(t->op, t->context, "b", kcl_f32(solution, M),
                              (const kcl_array *[]){points_i, points_i, kcl_f32(side, M), kcl_f32(&number, 1)}, 4,
                              &(kcl_solve_params){.alpha = 0.1,
                                                  .noise = kcl_f32(noise, M),
                                                  .start = kcl_f32(start, M),
                                                  .max_iterations = 2,
                                                  .checks_symmetry = 1},
                              NULL, 0);
}

START_TEST(test_each_call_of_a_linear_system_fails)
{
    const kd_cl table = fake_table();
    fill();
    for (int gpu = 0; gpu < 2; gpu++) {
        int failures = 0;
        bool failed = true;
        for (int n = 1; failed; n += 1 + n / 20) {
            trial t = {.table = &table, .gpu = gpu};
            fake_reset();
            empty_folder();
            ck_assert_msg(open_trial(&t) == KCL_OK, "%s", kcl_context_error(t.context));
            ck_assert_int_eq(kcl_operator_create(&t.op, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", 4, aliases, NULL),
                             KCL_OK);
            arm_fake(n);
            const kcl_status status = solve_by(&t);
            failed = fake.failed;
            const bool broke = failed && status != KCL_OK && status != KCL_ERROR_NOT_SOLVED;
            failures += broke;
            ck_assert_msg(failed || status == KCL_OK || status == KCL_ERROR_NOT_SOLVED, "%s",
                          kcl_context_error(t.context));
            if (broke)
                ck_assert_msg(strstr(kcl_context_error(t.context), "OUT_OF_RES"), "call %d: %s", n,
                              kcl_context_error(t.context));
            fake.fail_at = 0;
            const kcl_status again = solve_by(&t);
            ck_assert_msg(again == KCL_OK || again == KCL_ERROR_NOT_SOLVED, "afterwards: %s",
                          kcl_context_error(t.context));
            close_trial(&t);
            ck_assert_int_eq(fake.live, 0);
        }
        ck_assert_msg(failures > 20, "%d calls failed", failures);
    }
}
END_TEST

/* The driver allows smaller work-groups than the plan asks for: it says so beforehand, or only when it is asked to. */
START_TEST(test_plans_follow_what_kernels_allow)
{
    static const struct {
        size_t told, allowed; /* work-items of a work-group */
        int planned;          /* how often; -1: in vain */
    } cases[] = {{1024, 1024, 1}, {64, 64, 2}, {1024, 128, 2}, {1024, 64, 3}, {1024, 16, -1}, {0, 128, 2}};
    const kd_cl table = fake_table();
    fill();
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        trial t = {.table = &table, .gpu = true, .one_apply = true};
        fake_reset();
        empty_folder();
        fake.told_group = cases[k].told;
        fake.most_group = cases[k].allowed;
        ck_assert_int_eq(open_trial(&t), KCL_OK);
        for (int round = 0; round < 2; round++) {
            int launched = fake.launches;
            kcl_status status = run_all(&t, false);
            if (cases[k].planned > 0)
                ck_assert_msg(status == KCL_OK, "case %zu: %s", k, kcl_context_error(t.context));
            else
                ck_assert_int_eq(status, KCL_ERROR_UNSUPPORTED);
            ck_assert_int_eq(fake.launches > launched, cases[k].planned > 0);
            ck_assert((size_t)fake.last_group <= cases[k].allowed);
            ck_assert(cases[k].planned < 0 || !*kcl_context_error(t.context));
            ck_assert(cases[k].planned > 0 || strstr(kcl_context_error(t.context), "work-group"));
            kcl_operator_destroy(&t.op);
        }
        /* One program a plan, whatever the number of calls. */
        ck_assert_int_eq(fake.builds, cases[k].planned > 0 ? cases[k].planned : 3);
        close_trial(&t);
        ck_assert_int_eq(fake.live, 0);
    }
}
END_TEST

/* Calls that an evaluation cannot do without: the error names the one that failed. */
START_TEST(test_the_failing_call_is_named)
{
    static const char *const names[] = {
        "clCreateProgramWithSource", "clBuildProgram", "clCreateKernel", "clSetKernelArg", "clCreateBuffer",
        "clEnqueueNDRangeKernel",    "clFinish"};
    const kd_cl table = fake_table();
    fill();
    for (size_t k = 0; k < KB_COUNT(names); k++) {
        trial t = {.table = &table};
        fake_reset();
        empty_folder();
        ck_assert_int_eq(open_trial(&t), KCL_OK);
        fake.fail_call = names[k];
        ck_assert_msg(run_all(&t, false) < 0, "%s", names[k]);
        ck_assert_msg(strstr(kcl_context_error(t.context), names[k]), "%s: %s", names[k], kcl_context_error(t.context));
        fake.fail_call = NULL;
        run_again(&t);
    }
}
END_TEST

START_TEST(test_objects_of_a_device_do_not_grow)
{
    const kd_cl table = fake_table();
    trial t = {.table = &table};
    int live = 0;
    long long blocks = 0;
    fill();
    ck_assert_int_eq(open_trial(&t), KCL_OK);
    ck_assert_int_eq(run_all(&t, false), KCL_OK);
    for (int call = 0; call < 3000; call++) {
        int m = 1 + call * 7 % M, n = 1 + call * 11 % N;
        const kcl_array *args[] = {kcl_f64(x, m, 3), kcl_f64(y, n, 3), kcl_f64(b, n), kcl_f64(&g, 1)};
        ck_assert_int_eq(kcl_operator_apply(t.op, t.context, (const kcl_array *[]){kcl_f64(t.sums, m)}, 1, args, 4),
                         KCL_OK);
        if (call == 1000) {
            live = fake.live;
            blocks = t.memory.blocks;
        }
        ck_assert(call <= 1000 || (fake.live <= live && t.memory.blocks <= blocks));
    }
    close_trial(&t);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

static void arm_driver(int n)
{
    faulty = (faulty_state){.fail_at = n, .code = CL_OUT_OF_RESOURCES};
}

START_TEST(test_each_call_of_the_driver_fails)
{
    fill();
    int n = 0, failures = 0;
    bool failed = true;
    while (failed) {
        trial t = {.table = faulty_cl(), .one_apply = true};
        arm_driver(0);
        empty_folder();
        kcl_status status = run_faulty(&t, arm_driver, ++n);
        failed = faulty.failed;
        failures += status < 0;
        ck_assert_msg(failed || status == KCL_OK, "%s", kcl_context_error(t.context));
        if (status < 0)
            ck_assert_msg(strstr(kcl_context_error(t.context), faulty.name), "call %d, %s: %s", n, faulty.name,
                          kcl_context_error(t.context));
        arm_driver(0);
        run_again(&t);
    }
    ck_assert_int_gt(n, 20);
    ck_assert_int_gt(failures, 10);
    printf("%d calls of the driver, %d of which an operator cannot do without\n", n - 1, failures);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "driver") == 0) {
        kcl_context *c;
        if (kcl_context_create(&c, &(kcl_context_params){.device = "cpu"}) < 0) {
            printf("SKIPPED: %s\n", kcl_context_error(c));
            kcl_context_destroy(&c);
            return 77;
        }
        kcl_context_destroy(&c);
        setenv("CK_FORK", "no", 1);
        const TTest *const tests[] = {test_each_call_of_the_driver_fails};
        return run_tests("faults of a driver", tests, KB_COUNT(tests));
    }
    const TTest *const tests[] = {test_each_allocation_fails_by_the_interpreter,
                                  test_each_allocation_fails_beside_a_device,
                                  test_one_allocation_fails,
                                  test_each_call_of_a_device_fails,
                                  test_each_call_of_a_linear_system_fails,
                                  test_plans_follow_what_kernels_allow,
                                  test_the_failing_call_is_named,
                                  test_objects_of_a_device_do_not_grow};
    return run_tests("faults", tests, KB_COUNT(tests));
}
