/* SPDX-License-Identifier: MIT */
/*
 * How many compiled programs a context keeps, which of them it lets go, and that nothing is lost with them. Against an
 * OpenCL made of our own functions, which counts programs, kernels and buffers and computes nothing; the values are
 * looked at in test_threads.c.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "harness.h"

#include <keopscl/keopscl.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>

enum { M = 20, N = 30, BOUND = 8, FORMULAS = 300 };

static double x[M], y[N], out[M];
static failing memory;

static kcl_context *open_bounded(const kd_cl *table, const char *device, int programs)
{
    kcl_context *c;
    memory = (failing){0};
    const kcl_context_params params = {.device = device, .programs = programs, .allocator = failing_allocator(&memory)};
    ck_assert_msg(kd_context_create_with(table, &c, &params) == KCL_OK, "%s", kcl_context_error(c));
    return c;
}

static kcl_context_stats stats_of(const kcl_context *c)
{
    kcl_context_stats stats;
    ck_assert_int_eq(kcl_context_get_stats(c, &stats), KCL_OK);
    return stats;
}

/* The n-th formula, of `sweeps` sweeps, each with a kernel of its own: the number is part of their texts. */
static kcl_operator *make_operator(int n, int sweeps)
{
    char text[600], inner[600] = "x";
    const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)"};
    kcl_operator *op;
    for (int k = 0; k < sweeps; k++) {
        snprintf(text, sizeof text, "Sum_Reduction(Sin(y*(%s)*%d.5+%d),0)", inner, n, k);
        memcpy(inner, text, sizeof inner);
    }
    ck_assert_msg(kcl_operator_create(&op, text, 2, aliases, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    return op;
}

static void apply(const kcl_operator *op, kcl_context *c)
{
    const kcl_array *args[] = {kcl_f64(x, M, 1), kcl_f64(y, N, 1)};
    ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(out, M, 1)}, 1, args, 2) == KCL_OK, "%s",
                  kcl_context_error(c));
}

START_TEST(test_many_formulas_through_a_small_bound)
{
    static kcl_operator *ops[FORMULAS];
    const kd_cl table = fake_table();
    kcl_context *c = open_bounded(&table, _i ? "2:1" : "cpu", BOUND);
    int live = 0;
    long long blocks = 0;
    for (int k = 0; k < FORMULAS; k++) {
        ops[k] = make_operator(k, 1);
        apply(ops[k], c);
        apply(ops[0], c); /* in use all the time */
        ck_assert_uint_le(stats_of(c).programs_kept, BOUND);
        if (k == 5 * BOUND) {
            live = fake.live;
            blocks = memory.blocks;
        }
        ck_assert_msg(k < 5 * BOUND || (fake.live <= live && memory.blocks <= blocks), "%d formulas: %d objects", k,
                      fake.live);
    }
    ck_assert_uint_eq(stats_of(c).programs_kept, BOUND);
    ck_assert_int_eq(fake.builds, FORMULAS);
    /* What was let go comes from the disk; what is used last is there. */
    for (int k = 0; k < FORMULAS; k++)
        apply(ops[k], c);
    for (int k = FORMULAS - BOUND; k < FORMULAS; k++)
        apply(ops[k], c);
    ck_assert_uint_eq(stats_of(c).programs_built, FORMULAS);
    ck_assert_uint_ge(stats_of(c).programs_loaded, FORMULAS - BOUND);
    ck_assert_uint_le(stats_of(c).programs_loaded, FORMULAS);
    ck_assert_int_eq(fake.early_releases, 0);
    for (int k = 0; k < FORMULAS; k++)
        kcl_operator_destroy(&ops[k]);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
    ck_assert_int_eq(memory.blocks, 0);
}
END_TEST

/* Sweeps of one evaluation that are more than the bound, with results between them. */
START_TEST(test_an_evaluation_keeps_what_it_uses)
{
    enum { SWEEPS = 5 };
    const kd_cl table = fake_table();
    kcl_context *c = open_bounded(&table, _i ? "2:1" : "cpu", 1);
    kcl_operator *large = make_operator(1, SWEEPS), *small = make_operator(2, 1);
    apply(large, c);
    const uint64_t built = stats_of(c).programs_built;
    ck_assert_uint_ge(built, SWEEPS);
    ck_assert_uint_eq(stats_of(c).programs_kept, built);
    apply(large, c);
    ck_assert_uint_eq(stats_of(c).programs_built + stats_of(c).programs_loaded, built);
    apply(small, c);
    ck_assert_uint_eq(stats_of(c).programs_kept, 1);
    ck_assert_int_eq(fake.early_releases, 0);
    kcl_operator_destroy(&large);
    kcl_operator_destroy(&small);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
    ck_assert_int_eq(memory.blocks, 0);
}
END_TEST

/* A device that is not waited for still works on a program that is let go. */
START_TEST(test_pending_work_keeps_its_program)
{
    const kd_cl table = fake_table();
    kcl_context *c = open_bounded(&table, "2:1", 1);
    kcl_array dx, dy, dout;
    ck_assert_int_eq(kcl_array_upload(c, kcl_f64(x, M, 1), &dx), KCL_OK);
    ck_assert_int_eq(kcl_array_upload(c, kcl_f64(y, N, 1), &dy), KCL_OK);
    ck_assert_int_eq(kcl_array_create(c, KCL_F64, 2, (const int64_t[]){M, 1}, &dout), KCL_OK);
    for (int k = 0; k < 5; k++) {
        kcl_operator *op = make_operator(k, 1);
        for (int round = 0; round < 3; round++)
            ck_assert_int_eq(
                kcl_operator_apply(op, c, (const kcl_array *[]){&dout}, 1, (const kcl_array *[]){&dx, &dy}, 2), KCL_OK);
        ck_assert_int_gt(fake.launches, fake.finished);
        kcl_operator_destroy(&op);
        ck_assert_uint_eq(stats_of(c).programs_kept, 1);
    }
    ck_assert_int_eq(kcl_context_drop_programs(c), KCL_OK);
    ck_assert_int_eq(fake.early_releases, 0);
    kcl_array_free(&dx);
    kcl_array_free(&dy);
    kcl_array_free(&dout);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* Calls with other numbers of rows: beside the program for many rows there is one for few. */
START_TEST(test_numbers_of_rows_share_programs)
{
    enum { MOST_ROWS = 3000, COLUMNS = 5000 };
    static const int more[] = {100, 1000, MOST_ROWS};
    static double rows[MOST_ROWS], columns[COLUMNS], sums[MOST_ROWS];
    const kd_cl table = fake_table();
    static const int numbers[] = {10, 1000, COLUMNS};
    for (size_t l = 0; l < KB_COUNT(numbers); l++) {
        const int n = numbers[l];
        kcl_context *c = open_bounded(&table, _i ? "2:1" : "cpu", 0);
        kcl_operator *op = make_operator(1, 1);
        for (int k = 0; k < 64 + (int)KB_COUNT(more); k++) {
            const int m = k < 64 ? 64 - k : more[k - 64];
            const kcl_array *args[] = {kcl_f64(rows, m, 1), kcl_f64(columns, n, 1)};
            ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(sums, m, 1)}, 1, args, 2) == KCL_OK,
                          "%s", kcl_context_error(c));
        }
        const kcl_context_stats stats = stats_of(c);
        ck_assert_msg(stats.programs_built + stats.programs_loaded <= 2, "%d columns: %d programs", n,
                      (int)(stats.programs_built + stats.programs_loaded));
        kcl_operator_destroy(&op);
        kcl_context_destroy(&c);
    }
}
END_TEST

START_TEST(test_programs_are_dropped_by_a_call)
{
    const kd_cl table = fake_table();
    kcl_context *c = open_bounded(&table, _i ? "2:1" : "cpu", 0), *other;
    kcl_operator *ops[] = {make_operator(1, 1), make_operator(2, 3)};
    const int empty = fake.live;
    const long long blocks = memory.blocks;
    ck_assert_int_eq(kcl_context_drop_programs(c), KCL_OK);
    for (int round = 0; round < 3; round++) {
        for (size_t k = 0; k < KB_COUNT(ops); k++)
            apply(ops[k], c);
        ck_assert_uint_ge(stats_of(c).programs_kept, 4);
        ck_assert_int_eq(kcl_context_drop_programs(c), KCL_OK);
        ck_assert_uint_eq(stats_of(c).programs_kept, 0);
        /* A device with turns keeps the event of its last launch; the context its table. */
        ck_assert_int_le(fake.live, empty + 1);
        ck_assert_int_le(memory.blocks, blocks + 3);
    }
    ck_assert_uint_eq(stats_of(c).programs_built, 4);
    ck_assert_uint_gt(stats_of(c).programs_loaded, stats_of(c).programs_built);
    /* Another context on the device keeps its own. */
    ck_assert_int_eq(kcl_context_create_shared(&other, c), KCL_OK);
    apply(ops[0], other);
    apply(ops[0], c);
    apply(ops[1], c);
    ck_assert_int_eq(kcl_context_drop_programs(c), KCL_OK);
    ck_assert_uint_eq(stats_of(c).programs_kept, 1);
    const uint64_t before = stats_of(other).programs_loaded + stats_of(other).programs_built;
    apply(ops[0], other);
    ck_assert_uint_eq(stats_of(other).programs_loaded + stats_of(other).programs_built, before);
    /* What a context leaves is kept for the next one on the device. */
    kcl_context_destroy(&other);
    apply(ops[0], c);
    ck_assert_uint_eq(stats_of(c).programs_kept, 1);
    kcl_operator_destroy(&ops[0]);
    kcl_operator_destroy(&ops[1]);
    kcl_context_destroy(&c);
    ck_assert_int_eq(kcl_context_drop_programs(NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(fake.live, 0);
    ck_assert_int_eq(memory.blocks, 0);
}
END_TEST

START_TEST(test_the_bound_is_read)
{
    static const struct {
        int given;
        const char *variable;
        size_t bound; /* 0: refused */
    } cases[] = {{0, NULL, 256}, {0, "", 256}, {0, "3", 3},   {5, "3", 5},           {0, "0", 0},
                 {0, "-1", 0},   {0, "x", 0},  {-1, NULL, 0}, {0, "99999999999", 0}, {7, NULL, 7}};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        kcl_context *c;
        if (cases[k].variable)
            setenv("KEOPSCL_PROGRAMS", cases[k].variable, 1);
        else
            unsetenv("KEOPSCL_PROGRAMS");
        const kcl_context_params params = {.device = "cpu", .programs = cases[k].given};
        kcl_status status = kd_context_create_with(&fake_cl, &c, &params);
        ck_assert_msg(status == (cases[k].bound ? KCL_OK : KCL_ERROR_ARGUMENT), "case %zu", k);
        if (cases[k].bound)
            ck_assert_uint_eq(kd_most_programs(c), cases[k].bound);
        else
            ck_assert_ptr_nonnull(strstr(kcl_context_error(c), cases[k].given ? "programs is -1" : "KEOPSCL_PROGRAMS"));
        kcl_context_destroy(&c);
    }
    unsetenv("KEOPSCL_PROGRAMS");
}
END_TEST

/* -1 where the system does not tell. */
static int open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    int count = d ? 0 : -1;
    while (d && readdir(d))
        count++;
    if (d)
        closedir(d);
    return count;
}

/* Letting go under a bound of 1, while every allocation and then every call fails in turn. */
START_TEST(test_everything_fails_while_programs_go)
{
    const kd_cl table = fake_table();
    kcl_operator *ops[] = {make_operator(1, 2), make_operator(2, 1), make_operator(3, 1)};
    const int files = open_files();
    for (int of_calls = 0; of_calls < 2; of_calls++) {
        bool failed = true;
        int n = 0;
        while (failed) {
            fake_reset();
            empty_folder();
            kcl_context *c = open_bounded(&table, "2:1", 1);
            const kcl_array *args[] = {kcl_f64(x, M, 1), kcl_f64(y, N, 1)}, *outs[] = {kcl_f64(out, M, 1)};
            kcl_status status = KCL_OK;
            n++;
            if (of_calls)
                fake.fail_at = fake.calls + n;
            else
                memory.fail_at = memory.requests + n;
            for (size_t k = 0; k < KB_COUNT(ops); k++) {
                kcl_status one = kcl_operator_apply(ops[k], c, outs, 1, args, 2);
                ck_assert(one == KCL_OK || *kcl_context_error(c));
                status = one < 0 ? one : status;
            }
            kcl_status dropped = kcl_context_drop_programs(c);
            failed = of_calls ? fake.failed : status < 0;
            ck_assert(failed || (status == KCL_OK && dropped == KCL_OK));
            fake.fail_at = 0;
            memory.fail_at = 0;
            /* Nothing is left that does harm. */
            for (size_t k = 0; k < KB_COUNT(ops); k++)
                apply(ops[k], c);
            kcl_context_destroy(&c);
            ck_assert_int_eq(fake.live, 0);
            ck_assert_int_eq(memory.blocks, 0);
            ck_assert_int_eq(open_files(), files);
        }
        ck_assert_int_gt(n, 20);
    }
    for (size_t k = 0; k < KB_COUNT(ops); k++)
        kcl_operator_destroy(&ops[k]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("programs");
    TCase *tests = tcase_create("programs");
    const TTest *const by_device[] = {test_many_formulas_through_a_small_bound, test_an_evaluation_keeps_what_it_uses,
                                      test_programs_are_dropped_by_a_call, test_numbers_of_rows_share_programs};
    const TTest *const once[] = {test_pending_work_keeps_its_program, test_the_bound_is_read,
                                 test_everything_fails_while_programs_go};
    tcase_add_checked_fixture(tests, harness_setup, harness_teardown);
    tcase_set_timeout(tests, 0);
    for (size_t k = 0; k < KB_COUNT(by_device); k++)
        tcase_add_loop_test(tests, by_device[k], 0, 2);
    for (size_t k = 0; k < KB_COUNT(once); k++)
        tcase_add_test(tests, once[k]);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
