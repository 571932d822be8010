/* SPDX-License-Identifier: MIT */
/* One operator applied from several threads, each with a context of its own on one device. 77 without an OpenCL CPU. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "support.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 6, ROUNDS = 20 };

static kcl_context *device;

static void setup(void)
{
    seed_random(1);
}

static void teardown(void)
{
}

typedef struct job {
    numbers ins[MAX_INPUTS], out;
} job;

typedef struct worker {
    pthread_t thread;
    const kcl_operator *op;
    job jobs[ROUNDS];
    char problem[4200];
    /* Of test_threads_with_few_programs: */
    int turns, first, op_count;
    const subject *ops;
    const numbers *want;
    numbers *ins;
} worker;

/* Assertions are for the main thread. */
static void *work(void *user)
{
    worker *w = user;
    kcl_context *own;
    if (kcl_context_create_shared(&own, device) < 0)
        snprintf(w->problem, sizeof w->problem, "%s", kcl_context_error(own));
    for (int r = 0; r < ROUNDS && !*w->problem; r++)
        if (apply(w->op, own, &w->jobs[r].out, w->jobs[r].ins, false) < 0)
            snprintf(w->problem, sizeof w->problem, "%s", kcl_context_error(own));
    kcl_context_destroy(&own);
    return NULL;
}

/* Operators by turns; the bits must be the bits that a context with all its programs gave. */
static void *take_turns(void *user)
{
    worker *w = user;
    kcl_context *own;
    if (kcl_context_create_shared(&own, device) < 0)
        snprintf(w->problem, sizeof w->problem, "%s", kcl_context_error(own));
    for (int r = 0; r < w->turns && !*w->problem; r++) {
        const int f = (w->first + r * (1 + w->first % 2)) % w->op_count;
        numbers out;
        outputs_make(w->ops[f].op, KCL_F32, w->ins[0].rows, w->ins[1].rows, DENSE, &out);
        if (apply(w->ops[f].op, own, &out, w->ins, false) < 0)
            snprintf(w->problem, sizeof w->problem, "%s", kcl_context_error(own));
        else if (memcmp(out.memory, w->want[f].memory, out.bytes) != 0)
            snprintf(w->problem, sizeof w->problem, "turn %d, formula %d: other bits", r, f);
        numbers_free(&out);
    }
    kcl_context_destroy(&own);
    return NULL;
}

/* No program is built when the threads start: they meet at the program cache. Then the main thread does the same. */
static void check_threads(const char *formula)
{
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(1)", "g=Pm(1)"};
    static worker workers[THREADS];
    subject s = {0};
    subject_make(&s, formula, 4, aliases, "", "");
    for (int t = 0; t < THREADS; t++) {
        workers[t] = (worker){.op = s.op};
        for (int r = 0; r < ROUNDS; r++) {
            int m = 1 + pick(300), n = r % 4 ? pick(400) : 5000;
            arguments_make(&s, KCL_F32, m, n, workers[t].jobs[r].ins);
            outputs_make(s.op, KCL_F32, m, n, DENSE, &workers[t].jobs[r].out);
        }
    }
    for (int t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&workers[t].thread, NULL, work, &workers[t]), 0);
    for (int t = 0; t < THREADS; t++)
        pthread_join(workers[t].thread, NULL);
    for (int t = 0; t < THREADS; t++) {
        ck_assert_msg(!*workers[t].problem, "thread %d: %s", t, workers[t].problem);
        for (int r = 0; r < ROUNDS; r++) {
            job *j = &workers[t].jobs[r];
            numbers want;
            outputs_make(s.op, KCL_F32, j->ins[0].rows, j->ins[1].rows, DENSE, &want);
            ck_assert_msg(apply(s.op, device, &want, j->ins, false) == KCL_OK, "%s", kcl_context_error(device));
            ck_assert_msg(memcmp(j->out.memory, want.memory, want.bytes) == 0, "thread %d, round %d: other bits", t, r);
            numbers_free(&want);
            numbers_free(&j->out);
            arguments_free(&s, j->ins);
        }
    }
    subject_free(&s);
}

START_TEST(test_one_operator_in_several_threads)
{
    check_threads("Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)");
    check_threads("Sum_Reduction(Exp(-g*Norm2(x-y))*b,1)");
    check_threads("Sum_Reduction(b/(g+SqDist(x,y)),2)");
}
END_TEST

/*
 * More formulas than programs are kept, in another order in every thread: they are let go and made again all the time.
 */
START_TEST(test_threads_with_few_programs)
{
    enum { FORMULAS = 4, BOUND = 2, TURNS = 30 };
    static worker workers[THREADS];
    kcl_context *unbounded = device, *few;
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(1)", "g=Pm(1)"};
    const kcl_context_params params = {.device = test_device(), .programs = BOUND};
    static subject s[FORMULAS];
    numbers want[FORMULAS], ins[MAX_INPUTS];
    ck_assert_int_eq(kcl_context_create(&few, &params), KCL_OK);
    for (int f = 0; f < FORMULAS; f++) {
        char formula[80];
        snprintf(formula, sizeof formula, "Sum_Reduction(Exp(-g*%d.25*SqDist(x,y))*b,0)", f + 1);
        subject_make(&s[f], formula, 4, aliases, "", "");
    }
    arguments_make(&s[0], KCL_F32, 37, 41, ins);
    for (int f = 0; f < FORMULAS; f++) {
        outputs_make(s[f].op, KCL_F32, 37, 41, DENSE, &want[f]);
        ck_assert_msg(apply(s[f].op, unbounded, &want[f], ins, false) == KCL_OK, "%s", kcl_context_error(unbounded));
        for (int64_t i = 0; i < want[f].rows; i++) {
            double sum = 0;
            for (int64_t j = 0; j < ins[1].rows; j++) {
                double square = 0;
                for (int k = 0; k < 3; k++)
                    square += pow(numbers_get(&ins[0], i, k) - numbers_get(&ins[1], j, k), 2);
                sum += exp(-numbers_get(&ins[3], 0, 0) * (f + 1.25) * square) * numbers_get(&ins[2], j, 0);
            }
            ck_assert_msg(fabs(numbers_get(&want[f], i, 0) - sum) <= 1e-3, "row %lld: %g, not %g", (long long)i,
                          numbers_get(&want[f], i, 0), sum);
        }
    }
    for (int t = 0; t < THREADS; t++)
        workers[t] = (worker){.turns = TURNS, .first = t, .ops = s, .op_count = FORMULAS, .want = want, .ins = ins};
    device = few;
    for (int t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&workers[t].thread, NULL, take_turns, &workers[t]), 0);
    for (int t = 0; t < THREADS; t++)
        pthread_join(workers[t].thread, NULL);
    device = unbounded;
    kcl_context_stats stats;
    for (int t = 0; t < THREADS; t++)
        ck_assert_msg(!*workers[t].problem, "thread %d: %s", t, workers[t].problem);
    ck_assert_int_eq(kcl_context_get_stats(few, &stats), KCL_OK);
    ck_assert_uint_le(stats.programs_kept, BOUND);
    for (int f = 0; f < FORMULAS; f++)
        numbers_free(&want[f]);
    arguments_free(&s[0], ins);
    for (int f = 0; f < FORMULAS; f++)
        subject_free(&s[f]);
    kcl_context_destroy(&few);
}
END_TEST

int main(void)
{
    if (!getenv("KEOPSCL_CACHE_DIR"))
        setenv("KEOPSCL_CACHE", "off", 1);
    device = open_cpu_or_skip();
    if (!device)
        return 77;
    const test_entry tests[] = {{test_one_operator_in_several_threads, 0}, {test_threads_with_few_programs, 0}};
    int failed = run_entries("threads", tests, KB_COUNT(tests), setup, teardown);
    kcl_context_destroy(&device);
    return failed;
}
