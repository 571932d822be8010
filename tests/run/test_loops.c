/* SPDX-License-Identifier: MIT */
/*
 * Optimisation loops: the same structure is built again and again, with other data and lengths. By the interpreter and
 * against an OpenCL made of our own functions, where programs, buffers and bytes are counted.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "fake_cl.h"
#include "harness.h"

#include <keopscl/keopscl.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    LONGEST = 120,
    D = 3,
    ROUNDS = 10000,
    WARM = 200,
    KEPT = 600 /* resets after which no more memory is kept for handles that are gone */
};

static double x[LONGEST * D], y[LONGEST * D], g[1], target[LONGEST];

/* An allocator that counts bytes in use: each block begins with its size. */
typedef struct counter {
    long long bytes, blocks;
} counter;

enum { HEADER = 32 };

static void *counted(void *user, void *pointer, size_t size)
{
    counter *c = user;
    char *block = pointer ? (char *)pointer - HEADER : NULL;
    size_t before = 0;
    if (block)
        memcpy(&before, block, sizeof before);
    c->bytes += (long long)size - (long long)before;
    c->blocks += (size > 0) - (block != NULL);
    if (!size) {
        free(block);
        return NULL;
    }
    block = realloc(block, size + HEADER);
    memcpy(block, &size, sizeof size);
    return block + HEADER;
}

/* One step: a loss through two reductions, its gradient, and a Hessian-vector product. */
static void step(kcl_context *context, kcl_scope *s, int64_t m, int64_t n, double *loss, double *gradient, double *hvp)
{
    kcl_expr *x_i = kcl_vi(s, kcl_f64(x, m, D)), *y_j = kcl_vj(s, kcl_f64(y, n, D)), *p = kcl_scalar(s, g[0]);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_mul(p, kcl_sqdist(x_i, y_j)))), *u = kcl_add(x_i, kcl_matmul(K, y_j));
    kcl_expr *t = kcl_vi(s, kcl_f64(target, m));
    kcl_expr *v = kcl_reduce_logsumexp(kcl_neg(kcl_sqdist(u, y_j)), KCL_OVER_J);
    kcl_expr *L = kcl_reduce_sum(kcl_square(kcl_sub(v, t)), KCL_OVER_I);
    kcl_status status = kcl_eval(3, (kcl_expr *[]){L, kcl_grad(L, x_i), kcl_hvp(L, x_i, x_i)},
                                 (const kcl_array *[]){kcl_f64(loss, 1), kcl_f64(gradient, m, D), kcl_f64(hvp, m, D)});
    ck_assert_msg(status == KCL_OK, "%s", kcl_context_error(context));
    kcl_scope_reset(s);
}

static void loop(const kd_cl *table, const char *device, int rounds)
{
    static const int lengths[] = {40, 17, 100, 64, 33, 120, 5, 80};
    static double loss, gradient[LONGEST * D], hvp[LONGEST * D];
    counter memory = {0};
    kcl_context *context = NULL;
    const kcl_context_params params = {.device = device, .threads = 2, .allocator = {counted, &memory}};
    ck_assert_int_eq(kd_context_create_with(table, &context, &params), KCL_OK);
    kcl_scope *s = kcl_scope_create(context);
    long long bytes = 0, blocks = 0;
    int builds = 0, buffers = 0, live = 0;
    for (int k = 0; k < rounds; k++) {
        int64_t m = lengths[k % 8], n = lengths[k / 8 % 8];
        for (int64_t c = 0; c < LONGEST * D; c++) {
            x[c] = sin((double)(c + k));
            y[c] = cos((double)(2 * c + k));
        }
        g[0] = 0.5 + 1e-4 * k; /* no part of any kernel */
        step(context, s, m, n, &loss, gradient, hvp);
        if (k == KEPT) {
            bytes = memory.bytes;
            blocks = memory.blocks;
        }
        if (k == WARM) {
            builds = fake.builds;
            live = fake.live;
        }
        if (k == 2 * WARM)
            buffers = fake.buffers;
    }
    ck_assert_int_eq(memory.bytes, bytes);
    ck_assert_int_eq(memory.blocks, blocks);
    ck_assert_int_eq(fake.builds, builds);
    ck_assert_int_eq(fake.live, live);
    if (table && strcmp(device, "cpu") != 0) /* a CPU is lent the caller's memory each time */
        ck_assert_int_eq(fake.buffers, buffers);
    kcl_scope_destroy(&s);
    kcl_context_destroy(&context);
    ck_assert_int_eq(memory.bytes, 0);
    ck_assert_int_eq(memory.blocks, 0);
}

START_TEST(test_loops_by_the_interpreter)
{
    loop(NULL, "host", 1000);
}
END_TEST

START_TEST(test_loops_on_a_device)
{
    const kd_cl table = fake_table();
    fake_reset();
    empty_folder();
    loop(&table, _i ? "2:1" : "cpu", ROUNDS);
    ck_assert_int_gt(fake.builds, 0);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

int main(void)
{
    for (int k = 0; k < LONGEST; k++)
        target[k] = 0.1 * k;
    Suite *suite = suite_create("loops");
    TCase *tests = tcase_create("loops");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, test_loops_by_the_interpreter);
    tcase_add_loop_test(tests, test_loops_on_a_device, 0, 2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
