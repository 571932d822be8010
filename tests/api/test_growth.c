/* SPDX-License-Identifier: MIT */
/*
 * Chains of many reductions through the public functions, by the interpreter: time and memory grow in proportion to
 * their length, results are equal to a plain loop's, and an evaluation of a structure that was seen before compiles
 * nothing.
 */
#include "growth.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static kcl_context *c;
static double requested; /* bytes */
static int64_t blocks;   /* that are not freed */

static void *reallocate(void *user, void *pointer, size_t size)
{
    (void)user;
    requested += (double)size;
    blocks += size ? !pointer : -(pointer != NULL);
    if (size)
        return realloc(pointer, size);
    free(pointer);
    return NULL;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { M = 4 };
static double x[M] = {0.1, 0.2, 0.3, 0.4};

/* A chain: u + v follows on u, or v alone; its derivative in the rows; v in turn over j and over i. */
typedef struct kind {
    bool adds, gradient, turns;
} kind;

static const kind kinds[] = {
    {0}, {.adds = true}, {.gradient = true}, {.adds = true, .gradient = true}, {.turns = true}};

/*
 * One step of the chain: v_i = 0.3 sum_j exp(-(u_i - x_j)^2), or v_j = 0.3 sum_i of the same in a chain that turns.
 * `slope`: du/dx_i through the rows.
 */
static void step(kind of, double *u, double *slope)
{
    if (of.turns) {
        double v[M] = {0};
        for (int j = 0; j < M; j++)
            for (int i = 0; i < M; i++)
                v[j] += 0.3 * exp(-(u[i] - x[j]) * (u[i] - x[j]));
        memcpy(u, v, sizeof v);
        return;
    }
    for (int i = 0; i < M; i++) {
        double v = 0, dv = 0;
        for (int j = 0; j < M; j++) {
            const double d = u[i] - x[j], e = 0.3 * exp(-d * d);
            v += e;
            dv += -2 * d * e;
        }
        slope[i] *= dv + of.adds;
        u[i] = v + (of.adds ? u[i] : 0);
    }
}

typedef struct cost {
    double seconds, again, bytes, bytes_again;
} cost;

/* Builds, evaluates and checks a chain, and evaluates it again: in a scope of its own, as a loop would. */
static cost measure(int count, kind of)
{
    cost spent = {0};
    double out[M], u[M], slope[M] = {1, 1, 1, 1};
    memcpy(u, x, sizeof u);
    for (int k = 0; k < count; k++)
        step(of, u, slope);
    for (int round = 0; round < 2; round++) {
        requested = 0;
        const double start = cpu_seconds();
        kcl_scope *s = kcl_scope_create(c);
        kcl_expr *rows = kcl_vi(s, kcl_f64(x, M, 1)), *columns = kcl_vj(s, kcl_f64(x, M, 1)), *f = rows;
        for (int k = 0; k < count; k++) {
            const bool turned = of.turns && k % 2; /* f has rows of j */
            kcl_expr *power = kcl_exp(kcl_neg(kcl_square(kcl_sub(f, turned ? rows : columns))));
            kcl_expr *v =
                kcl_reduce_sum(kcl_mul(power, kcl_constant(s, 0.3)), of.turns && !turned ? KCL_OVER_I : KCL_OVER_J);
            f = of.adds ? kcl_add(f, v) : v;
        }
        if (of.gradient)
            f = kcl_grad(kcl_reduce_sum(f, KCL_OVER_I), rows);
        const double before = requested;
        ck_assert_msg(kcl_eval1(f, kcl_f64(out, M, 1)) == KCL_OK, "%s", kcl_context_error(c));
        *(round ? &spent.again : &spent.seconds) = cpu_seconds() - start;
        *(round ? &spent.bytes_again : &spent.bytes) = requested - before;
        kcl_scope_destroy(&s);
        for (int i = 0; i < M; i++) {
            const double want = of.gradient ? slope[i] : u[i];
            ck_assert_double_le(fabs(out[i] - want), 1e-10 * (1 + fabs(want)));
        }
    }
    return spent;
}

/* A bound in seconds is one for optimised code without sanitizers. */
#if defined __OPTIMIZE__ && !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
#define IN_SECONDS true
#else
#define IN_SECONDS false
#endif

static cost measure_anew(int count, kind of)
{
    kcl_context_drop_programs(c);
    return measure(count, of);
}

/*
 * On a quiet machine twice as many take 2.1 times as long. Beside other work that uses up the caches they take up to 2.4
 * times, so the bound of the times is wider; memory, which no other work changes, has a narrow bound.
 */
START_TEST(test_chains_grow_linearly)
{
    enum { COUNT = 1600 };
    const double most = 3;
    const kind of = kinds[_i];
    growth first = {0}, again = {0};
    cost half = measure_anew(COUNT, of), whole = half;
    double least = half.seconds;
    growth_add(&first, 0, half.seconds);
    growth_add(&again, 0, half.again);
    while (growth_goes_on(&first, most) || growth_goes_on(&again, most)) {
        if (first.runs == GROWTH_MOST_RUNS)
            break;
        whole = measure_anew(2 * COUNT, of);
        half = measure_anew(COUNT, of);
        growth_add(&first, whole.seconds, half.seconds);
        growth_add(&again, whole.again, half.again);
        least = fmin(least, half.seconds);
    }
    printf("%d reductions%s%s%s: %.3g s; twice as many: %.2f times, evaluated again %.2f times (%d runs); %.3g MB "
           "requested "
           "by the evaluation, again %.3g MB\n",
           COUNT, of.adds ? " that add u" : "", of.gradient ? ", gradient" : "",
           of.turns ? ", over j and over i in turn" : "", least, growth_median(&first), growth_median(&again),
           first.runs, half.bytes / 1e6, half.bytes_again / 1e6);
    ck_assert_double_lt(growth_median(&first), most);
    ck_assert_double_lt(growth_median(&again), most);
    ck_assert_msg(!IN_SECONDS || least < 0.1, "%g s", least);
    ck_assert_msg(whole.bytes < 2.05 * half.bytes, "%g bytes, then %g", half.bytes, whole.bytes);
    /* The second evaluation finds its variables and interprets; the program of the first evaluation is kept. */
    ck_assert_msg(half.bytes_again < 0.8 * half.bytes, "%g bytes, again %g", half.bytes, half.bytes_again);
}
END_TEST

/* A loop whose formula is another one each time: programs that are kept are bounded by their size too. */
START_TEST(test_kept_programs_are_bounded)
{
    enum { LENGTH = 300, ROUNDS = 240, FULL = 120 };
    double out[M];
    int64_t when_full = 0;
    kcl_context_drop_programs(c);
    for (int round = 0; round < ROUNDS; round++) {
        kcl_scope *s = kcl_scope_create(c);
        kcl_expr *columns = kcl_vj(s, kcl_f64(x, M, 1)), *f = kcl_vi(s, kcl_f64(x, M, 1));
        for (int k = 0; k < LENGTH; k++)
            f = kcl_reduce_sum(kcl_mul(kcl_sin(kcl_mul(f, columns)), kcl_constant(s, 0.1 + round)), KCL_OVER_J);
        ck_assert_msg(kcl_eval1(f, kcl_f64(out, M, 1)) == KCL_OK, "%s", kcl_context_error(c));
        kcl_scope_destroy(&s);
        when_full = round == FULL ? blocks : when_full;
    }
    printf("%lld blocks after %d evaluations, %lld after %d\n", (long long)when_full, FULL, (long long)blocks, ROUNDS);
    ck_assert_int_le(blocks, when_full + when_full / 10);
    kcl_context_drop_programs(c);
    ck_assert_int_lt(blocks, when_full / 10);
}
END_TEST

int main(void)
{
    const test_entry tests[] = {{test_chains_grow_linearly, KB_COUNT(kinds)}, {test_kept_programs_are_bounded, 0}};
    const kcl_context_params params = {.device = "host", .allocator = {reallocate, NULL}};
    if (kcl_context_create(&c, &params) < 0) {
        printf("%s\n", kcl_context_error(c));
        return 1;
    }
    int failed = run_entries("growth of chains", tests, KB_COUNT(tests), NULL, NULL);
    kcl_context_destroy(&c);
    return failed;
}
