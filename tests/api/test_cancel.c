/* SPDX-License-Identifier: MIT */
/*
 * Calls that tell how far they are, and calls that are cancelled: by the interpreter, or on a device (with the argument
 * "device"). Problems that are cancelled would take much longer.
 */
#include "either.h"

#include <pthread.h>
#include <time.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- Problems ----------------------------------------------------------------------------------------------------- */

/* Sums of a kernel of two clouds. The interpreter is a hundred times slower than the slowest device. */
typedef struct problem {
    int64_t m, n;
    float *x, *y, *b, *out;
    kcl_expr *by_rows, *both, *nearest;
} problem;

static float *numbers_of(int64_t count)
{
    float *made = malloc((size_t)count * sizeof *made);
    for (int64_t k = 0; k < count; k++)
        made[k] = (float)uniform(0, 1);
    return made;
}

static problem make_problem(int64_t m, int64_t n)
{
    problem p = {.m = m, .n = n, .x = numbers_of(3 * m), .y = numbers_of(3 * n), .b = numbers_of(n)};
    p.out = calloc((size_t)m, sizeof *p.out);
    kcl_expr *x = kcl_vi(s, kcl_f32(p.x, m, 3)), *y = kcl_vj(s, kcl_f32(p.y, n, 3)), *b = kcl_vj(s, kcl_f32(p.b, n));
    kcl_expr *f = kcl_mul(kcl_exp(kcl_neg(kcl_sqdist(x, y))), b);
    p.by_rows = kcl_reduce_sum(f, KCL_OVER_J);
    p.both = kcl_reduce_sum(f, KCL_OVER_BOTH);
    p.nearest = kcl_reduce_min(kcl_sqdist(x, y), KCL_OVER_J);
    return p;
}

static void free_problem(problem *p)
{
    free(p->x);
    free(p->y);
    free(p->b);
    free(p->out);
}

static double sum_of_row(const problem *p, int64_t i)
{
    double sum = 0;
    for (int64_t j = 0; j < p->n; j++) {
        double distance = 0;
        for (int k = 0; k < 3; k++) {
            const double d = (double)p->x[3 * i + k] - (double)p->y[3 * j + k];
            distance += d * d;
        }
        sum += exp(-distance) * (double)p->b[j];
    }
    return sum;
}

/* The context computes what it should, on few points, in the kernels that long calls use. */
static void check_context(void)
{
    problem p = make_problem(50, 20000);
    float both;
    double all = 0;
    ok(kcl_eval1(p.by_rows, kcl_f32(p.out, p.m)));
    ok(kcl_eval1(p.both, kcl_f32(&both, 1)));
    for (int64_t i = 0; i < p.m; i++) {
        const double want = sum_of_row(&p, i);
        ck_assert_msg(fabs((double)p.out[i] - want) <= 1e-5 * want, "row %lld: %g, wanted %g", (long long)i,
                      (double)p.out[i], want);
        all += want;
    }
    ck_assert_msg(fabs((double)both - all) <= 1e-5 * all, "%g, wanted %g", (double)both, all);
    free_problem(&p);
}

static bool on_gpu(void)
{
    kcl_device_info info;
    ok(kcl_context_device_info(c, &info));
    return strcmp(info.type, "gpu") == 0;
}

/* Rows and columns of problems that take long: seconds on a GPU of many, a minute on a CPU of few. */
static int64_t many(void)
{
    return on_gpu() ? 2000000 : on_device ? 600000 : 200000;
}

/* ---- Cancelled from outside --------------------------------------------------------------------------------------- */

typedef struct canceller {
    pthread_t thread;
    double at; /* the time when it cancels */
} canceller;

static void *cancel_at(void *argument)
{
    const canceller *of = argument;
    const struct timespec pause = {0, 1000000};
    while (seconds() < of->at)
        nanosleep(&pause, NULL);
    kcl_context_cancel(c);
    return NULL;
}

/*
 * Calls `call` twice, with a cancel that comes `after` seconds. The first time kernels may be built, for which a cancel
 * waits; the second time the call has to return within a second of the cancel.
 */
#define IS_CANCELLED(after, call)                                                                                      \
    for (int round_ = 0; round_ < 2; round_++) {                                                                       \
        canceller by = {.at = seconds() + (after)};                                                                    \
        ck_assert_int_eq(pthread_create(&by.thread, NULL, cancel_at, &by), 0);                                         \
        const kcl_status status_ = (call);                                                                             \
        const double now_ = seconds();                                                                                 \
        pthread_join(by.thread, NULL);                                                                                 \
        is_cancelled(status_, round_ ? now_ - by.at : 0);                                                              \
    }

static void is_cancelled(kcl_status status, double late)
{
    ck_assert_msg(status == KCL_ERROR_CANCELLED, "%s: %s", kcl_status_name(status), kcl_context_error(c));
    CONTAINS(kcl_context_error(c), "cancelled", "kcl_context_cancel");
    ck_assert_msg(late < 1, "the call went on for %.3f s", late);
}

/* Sums over j and over both axes, smallest values, and sums of more columns than rows. */
START_TEST(a_call_is_cancelled_by_another_thread)
{
    problem p = _i == 3 ? make_problem(many() / 20, 5 * many()) : make_problem(many(), many());
    kcl_expr *of[] = {p.by_rows, p.both, p.nearest, p.by_rows};
    check_context(); /* kernels are built */
    ok(kcl_context_set_cancellable(c, 1));
    IS_CANCELLED(0.2, kcl_eval1(of[_i], kcl_f32(p.out, _i == 1 ? 1 : p.m)));
    check_context();
    ok(kcl_context_set_cancellable(c, 0));
    check_context();
    free_problem(&p);
}
END_TEST

/* Many sweeps that are short each, on the device: none of them waits, so that the call has to. */
START_TEST(a_chain_of_short_sweeps_is_cancelled)
{
    enum { STEPS = 2000 };
    const int64_t n = on_device ? 20000 : 1000;
    float *points = numbers_of(n);
    kcl_array x, out;
    ok(kcl_array_upload(c, kcl_f32(points, n, 1), &x));
    ok(kcl_array_create(c, KCL_F32, 2, (const int64_t[]){n, 1}, &out));
    kcl_expr *u = kcl_vi(s, &x), *y = kcl_vj(s, &x), *small = kcl_constant(s, 1e-5);
    for (int k = 0; k < STEPS; k++) {
        u = kcl_mul(small, kcl_reduce_sum(kcl_exp(kcl_neg(kcl_sqdist(u, y))), KCL_OVER_J));
        if (k == 1) /* the kernels are built */
            ok(kcl_eval1(u, &out));
    }
    ok(kcl_context_finish(c));
    ok(kcl_context_set_cancellable(c, 1));
    IS_CANCELLED(0.3, kcl_eval1(u, &out));
    check_context();
    kcl_array_free(&x);
    kcl_array_free(&out);
    free(points);
}
END_TEST

/* As many batches as rows, which are a launch's third axis: batch b has the points from number b on. */
START_TEST(batches_are_cancelled)
{
    const int64_t n = on_gpu() ? 14000 : on_device ? 4000 : 500, size = (int64_t)sizeof(float);
    float *x = numbers_of(2 * n), *out = calloc((size_t)(n * n), sizeof *out);
    kcl_array points = kcl_array_f32(x, 3, (const int64_t[]){n, n, 1});
    points.stride[0] = size;
    kcl_expr *sum = kcl_reduce_sum(kcl_exp(kcl_neg(kcl_sqdist(kcl_vi(s, &points), kcl_vj(s, &points)))), KCL_OVER_J);
    points.shape[0] = 2;
    kcl_expr *less = kcl_reduce_sum(kcl_exp(kcl_neg(kcl_sqdist(kcl_vi(s, &points), kcl_vj(s, &points)))), KCL_OVER_J);
    ok(kcl_eval1(less, kcl_f32(out, 2, n)));
    ok(kcl_context_set_cancellable(c, 1));
    IS_CANCELLED(0.1, kcl_eval1(sum, kcl_f32(out, n, n)));
    ok(kcl_eval1(less, kcl_f32(out, 2, n)));
    for (int64_t b = 0; b < 2; b++) {
        double want = 0;
        for (int64_t j = 0; j < n; j++)
            want += exp(-pow((double)x[b + 7] - (double)x[b + j], 2));
        ck_assert_double_eq_tol((double)out[b * n + 7], want, 1e-4 * want);
    }
    free(out);
    free(x);
}
END_TEST

/* A cancel while nothing runs: the next call ends before it begins, the one after is as always. */
START_TEST(a_cancel_before_a_call_ends_it)
{
    problem p = make_problem(20, 30);
    float big[20];
    for (int k = 0; k < 20; k++)
        big[k] = 7;
    kcl_context_cancel(c); /* nobody may cancel yet: nothing happens */
    ok(kcl_eval1(p.by_rows, kcl_f32(p.out, 20)));
    ok(kcl_context_set_cancellable(c, 1)); /* forgets it */
    ok(kcl_eval1(p.by_rows, kcl_f32(p.out, 20)));
    kcl_context_cancel(c);
    ck_assert_int_eq(kcl_eval1(p.by_rows, kcl_f32(big, 20)), KCL_ERROR_CANCELLED);
    ck_assert_int_eq(kcl_context_status(c), KCL_ERROR_CANCELLED);
    for (int k = 0; k < 20; k++)
        ck_assert_float_eq(big[k], 7);
    ok(kcl_eval1(p.by_rows, kcl_f32(big, 20)));
    for (int k = 0; k < 20; k++)
        ck_assert_float_eq(big[k], p.out[k]);
    kcl_context_cancel(NULL);
    ck_assert_int_eq(kcl_context_set_cancellable(NULL, 1), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_context_set_progress(NULL, NULL, NULL), KCL_ERROR_ARGUMENT);
    free_problem(&p);
}
END_TEST

/* ---- Progress ----------------------------------------------------------------------------------------------------- */

typedef struct told {
    int count, stop_at; /* calls; the one that cancels, 0: none */
    double last, longest, when;
    bool falls;
} told;

static int listen(void *user, double fraction)
{
    told *t = user;
    const double now = seconds();
    t->longest = t->count && now - t->when > t->longest ? now - t->when : t->longest;
    t->when = now;
    t->falls |= fraction < t->last || fraction > 1;
    t->last = fraction;
    return ++t->count == t->stop_at ? 5 : 0;
}

/* Bit for bit what the call computes without; the fraction grows up to 1. */
START_TEST(progress_is_told)
{
    const int64_t n = on_device ? 60000 : 6000;
    problem p = make_problem(n, n);
    float *plain = malloc((size_t)n * sizeof *plain), plain_both, both;
    kcl_expr *results[] = {p.by_rows, p.both};
    ok(kcl_eval(2, results, (const kcl_array *const[]){kcl_f32(plain, n), kcl_f32(&plain_both, 1)}));
    for (int round = 0; round < 3; round++) {
        told t = {.last = 0};
        ok(kcl_context_set_progress(c, listen, &t));
        const double start = seconds();
        ok(kcl_eval(2, results, (const kcl_array *const[]){kcl_f32(p.out, n), kcl_f32(&both, 1)}));
        const double took = seconds() - start;
        ck_assert(!t.falls);
        ck_assert_int_eq(memcmp(plain, p.out, (size_t)n * sizeof *plain), 0);
        ck_assert(memcmp(&plain_both, &both, sizeof both) == 0);
        if (took > 1) {
            ck_assert_msg(t.count >= 3, "told %d times in %.2f s", t.count, took);
            ck_assert_double_eq(t.last, 1);
        }
    }
    told t = {.stop_at = 2};
    ok(kcl_context_set_progress(c, listen, &t));
    problem long_one = make_problem(many(), many());
    const kcl_status status = kcl_eval1(long_one.by_rows, kcl_f32(long_one.out, many()));
    ck_assert_int_eq(status, KCL_ERROR_CANCELLED);
    CONTAINS(kcl_context_error(c), "progress function", "5", "%");
    ck_assert_int_eq(t.count, 2);
    ok(kcl_context_set_progress(c, NULL, NULL));
    check_context();
    ck_assert_int_eq(t.count, 2);
    free_problem(&long_one);
    free_problem(&p);
    free(plain);
}
END_TEST

/* A solution of many products, none of which takes long: it tells how far the whole is, and ends where that is refused. */
START_TEST(a_solution_tells_how_far_it_is)
{
    const int64_t n = on_device ? 4000 : 600;
    float *x = numbers_of(3 * n), *b = numbers_of(n), *a = calloc((size_t)n, sizeof *a);
    const kcl_array *args[] = {kcl_f32(x, n, 3), kcl_f32(x, n, 3), kcl_f32(b, n, 1)}, *solution = kcl_f32(a, n, 1);
    const kcl_solve_params params = {.alpha = 1e-3, .tolerance = 1e-3};
    kcl_operator *op;
    ok(kcl_operator_create(&op, "Sum_Reduction(Exp(-50*SqDist(x,y))*b, 0)", 3,
                           (const char *[]){"x = Vi(3)", "y = Vj(3)", "b = Vj(1)"}, NULL));
    ok(kcl_operator_solve(op, c, "b", solution, args, 3, &params, NULL, 0)); /* kernels are built */
    told t = {.last = 0};
    ok(kcl_context_set_progress(c, listen, &t));
    const double start = seconds();
    ok(kcl_operator_solve(op, c, "b", solution, args, 3, &params, NULL, 0));
    const double took = seconds() - start;
    ck_assert(!t.falls);
    if (took > 1) {
        ck_assert_msg(t.count >= 3, "told %d times in %.2f s", t.count, took);
        ck_assert_double_eq(t.last, 1);
    }
    t = (told){.stop_at = 1};
    const kcl_status status = kcl_operator_solve(op, c, "b", solution, args, 3, &params, NULL, 0);
    if (took > 1) {
        ck_assert_int_eq(status, KCL_ERROR_CANCELLED);
        ck_assert_int_eq(t.count, 1);
    }
    ok(kcl_context_set_progress(c, NULL, NULL));
    check_context();
    kcl_operator_destroy(&op);
    free(x);
    free(b);
    free(a);
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {a_call_is_cancelled_by_another_thread, 4},
        {a_chain_of_short_sweeps_is_cancelled, 0},
        {batches_are_cancelled, 0},
        {a_cancel_before_a_call_ends_it, 0},
        {progress_is_told, 0},
        {a_solution_tells_how_far_it_is, 0},
    };
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "cancel",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .begin = begin,
                                              .end = end,
                                              .tests = tests,
                                              .count = KB_COUNT(tests)});
}
