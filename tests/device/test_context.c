/* SPDX-License-Identifier: MIT */
/* Contexts, fork, launches, and the failure of each call in turn. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Contexts ---------------------------------------------------------------------------------------------------- */

START_TEST(test_context_that_could_not_be_made_tells_why)
{
    kcl_context *c, *shared;
    kcl_device_info info;
    kcl_context_stats stats;
    ck_assert_int_eq(open_device(&c, "nothing"), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_context_status(c), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kd_enter(c), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_context_finish(c), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_context_device_info(c, &info), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_context_get_stats(c, &stats), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_context_create_shared(&shared, c), KCL_ERROR_NO_DEVICE);
    ck_assert_str_eq(kcl_context_error(shared), kcl_context_error(c));
    kcl_context_destroy(&shared);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);

    ck_assert_int_eq(kcl_context_create(NULL, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kd_enter(NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_context_finish(NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_context_status(NULL), KCL_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(kcl_context_error(NULL), "no context"));
    ck_assert_int_eq(kcl_context_create_shared(&c, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "other"));
    kcl_context_destroy(&c);
    kcl_context_destroy(&c);
    kcl_context_destroy(NULL);
}
END_TEST

START_TEST(test_shared_contexts_share_programs)
{
    kcl_context *a, *b;
    kcl_context_stats stats;
    setenv("KEOPSCL_CACHE", "off", 1);
    ck_assert_int_eq(open_device(&a, "gpu"), KCL_OK);
    check_twice(a);
    ck_assert_int_eq(kcl_context_create_shared(&b, a), KCL_OK);
    ck_assert(kd_serial(a) != kd_serial(b));
    kcl_context_destroy(&a);
    check_twice(b);
    ck_assert_int_eq(fake.builds, 1);
    kcl_context_get_stats(b, &stats);
    ck_assert_uint_eq(stats.programs_built, 0);
    ck_assert_uint_ge(stats.programs_reused, 1);
    ck_assert_uint_eq(stats.launches, 6);
    kcl_context_destroy(&b);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* A child of fork: every call reports the fork, nothing reaches the driver, memory is freed. */
START_TEST(test_fork)
{
    kcl_context *c, *d;
    kcl_device_info info;
    failing memory = {0};
    ck_assert_int_eq(kd_context_create_with(
                         &fake_cl, &c, &(kcl_context_params){.device = "gpu", .allocator = failing_allocator(&memory)}),
                     KCL_OK);
    check_twice(c);
    kcl_memory *held, *released, *kept;
    ck_assert_int_eq(kcl_memory_create(c, 100, &held), KCL_OK);
    ck_assert_int_eq(kcl_memory_create(c, 200, &released), KCL_OK);
    ck_assert_int_eq(kcl_memory_create(c, 300, &kept), KCL_OK);
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int bad = 0, calls = fake.calls;
        bad |= kd_enter(c) != KCL_ERROR_FORKED;
        bad |= (kcl_context_finish(c) != KCL_ERROR_FORKED) << 1;
        bad |= (strstr(kcl_context_error(c), "fork") == NULL) << 2;
        bad |= (kd_context_create_with(&fake_cl, &d, NULL) != KCL_ERROR_FORKED) << 3;
        kcl_context_destroy(&d);
        bad |= (kd_device_list_with(&fake_cl, &info, 1) != KCL_ERROR_FORKED) << 4;
        bad |= (open_device(&d, "host") != KCL_OK) << 5;
        kcl_context_destroy(&d);
        kcl_memory_release(&released);
        kcl_context_destroy(&c);
        kcl_memory_release(&held);
        kcl_memory_release(&kept);
        bad |= (memory.blocks != 0) << 6;
        bad |= (fake.calls != calls) << 7;
        _exit(bad);
    }
    int state;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state));
    ck_assert_int_eq(WEXITSTATUS(state), 0);
    check_twice(c);
    kcl_memory_release(&released);
    kcl_context_destroy(&c);
    kcl_memory_release(&held);
    kcl_memory_release(&kept);
    ck_assert_int_eq(memory.blocks, 0);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* ---- Launches ---------------------------------------------------------------------------------------------------- */

START_TEST(test_results_on_every_way_of_sharing_memory)
{
    static const struct {
        const char *device;
        int reads, maps, writes;
    } cases[] = {{"0:0", 0, 0, 0}, {"1:0", 0, 3, 0}, {"2:1", 3, 0, 3}};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        kcl_context *c;
        fake_reset();
        ck_assert_int_eq(open_device(&c, cases[k].device), KCL_OK);
        check_twice(c);
        /* An input of two launches is copied once a submission. */
        ck_assert_int_eq(fake.writes, cases[k].writes);
        ck_assert_int_eq(fake.reads, cases[k].reads);
        ck_assert_int_eq(fake.maps, cases[k].maps);
        ck_assert_int_eq(fake.finishes, 3);
        kcl_context_destroy(&c);
        ck_assert_int_eq(fake.live, 0);
    }
}
END_TEST

START_TEST(test_output_of_one_launch_is_input_of_the_next)
{
    static const char *const devices[] = {"0:0", "1:0", "2:1"};
    for (size_t d = 0; d < KB_COUNT(devices); d++) {
        kcl_context *c;
        kd_kernel *twice;
        float a[5] = {1, 2, 3, 4, 5}, b[5] = {0}, r[5] = {0};
        const int n = 5;
        const size_t one[3] = {1, 1, 1};
        ck_assert_int_eq(open_device(&c, devices[d]), KCL_OK);
        ck_assert_int_eq(kd_kernel_get(c, harness_source, "twice", "label", &twice), KCL_OK);
        ck_assert_int_eq(kd_launch(c, twice, 3,
                                   (kd_arg[]){{KD_ARG_HOST_IN, a, sizeof a, NULL},
                                              {KD_ARG_HOST_OUT, b, sizeof b, NULL},
                                              {KD_ARG_VALUE, &n, sizeof n, NULL}},
                                   one, one),
                         KCL_OK);
        /* On drivers with copies of their own, one memory must stay one buffer. */
        ck_assert_int_eq(kd_launch(c, twice, 3,
                                   (kd_arg[]){{KD_ARG_HOST_IN, b, sizeof b, NULL},
                                              {KD_ARG_HOST_OUT, r, sizeof r, NULL},
                                              {KD_ARG_VALUE, &n, sizeof n, NULL}},
                                   one, one),
                         KCL_OK);
        ck_assert_int_eq(kcl_context_finish(c), KCL_OK);
        for (int k = 0; k < n; k++) {
            ck_assert_float_eq(b[k], 2 * a[k]);
            ck_assert_float_eq(r[k], 4 * a[k]);
        }
        kcl_context_destroy(&c);
    }
}
END_TEST

START_TEST(test_repeated_launch_sets_no_more_than_it_must)
{
    kcl_context *c;
    kd_kernel *twice;
    float in[4] = {1, 2, 3, 4}, out[4];
    const int n = 4;
    const size_t one[3] = {1, 1, 1}, none[3] = {0, 1, 1};
    const kd_arg args[] = {{KD_ARG_HOST_IN, in, sizeof in, NULL},
                           {KD_ARG_HOST_OUT, out, sizeof out, NULL},
                           {KD_ARG_VALUE, &n, sizeof n, NULL}};
    ck_assert_int_eq(open_device(&c, "2:1"), KCL_OK);
    ck_assert_int_eq(kd_kernel_get(c, harness_source, "twice", "label", &twice), KCL_OK);
    ck_assert_int_eq(kd_launch(c, twice, 3, args, one, one), KCL_OK);
    ck_assert_int_eq(kd_launch(c, twice, 3, args, one, one), KCL_OK);
    ck_assert_int_eq(kd_launch(c, twice, 3, args, none, one), KCL_OK);
    ck_assert_int_eq(kd_finish(c), KCL_OK);
    ck_assert_int_eq(fake.set_args, 3);
    ck_assert_int_eq(fake.launches, 2);
    int buffers = fake.buffers;
    for (int k = 0; k < 50; k++) {
        in[0] = (float)k;
        ck_assert_int_eq(kd_launch(c, twice, 3, args, one, one), KCL_OK);
        ck_assert_int_eq(kd_finish(c), KCL_OK);
        ck_assert_float_eq(out[0], 2 * in[0]);
    }
    ck_assert_int_eq(fake.buffers, buffers);
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_array_too_large_for_the_device)
{
    static const char *const devices[] = {"0:0", "1:0", "2:1"};
    static float in[300000], out[300000]; /* 1,200,000 bytes; the devices take 1,048,576 */
    for (size_t d = 0; d < KB_COUNT(devices); d++) {
        kcl_context *c;
        ck_assert_int_eq(open_device(&c, devices[d]), KCL_OK);
        ck_assert_int_eq(run_twice(c, in, out, 300000), KCL_ERROR_DEVICE_MEMORY);
        ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "1200000 bytes"));
        ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "1048576 bytes"));
        check_twice(c);
        fake.fail_call = "clCreateBuffer";
        fake.fail_code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
        kd_buffer *b;
        ck_assert_int_eq(kd_buffer_create(c, 12345, &b), KCL_ERROR_DEVICE_MEMORY);
        ck_assert_ptr_nonnull(
            strstr(kcl_context_error(c), "clCreateBuffer failed: CL_MEM_OBJECT_ALLOCATION_FAILURE (-4)"));
        ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "12345 bytes were requested"));
        fake.fail_call = NULL;
        check_twice(c);
        kcl_context_destroy(&c);
    }
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* Idle buffers make room for what is needed, and are bounded. */
START_TEST(test_idle_buffers)
{
    kcl_context *c;
    kd_buffer *b[100];
    ck_assert_int_eq(open_device(&c, "2:1"), KCL_OK);
    int before = fake.live;
    for (size_t k = 0; k < KB_COUNT(b); k++)
        ck_assert_int_eq(kd_buffer_create(c, 1000 + k, &b[k]), KCL_OK);
    for (size_t k = 0; k < KB_COUNT(b); k++)
        kd_buffer_release(c, &b[k]);
    ck_assert_int_le(fake.live, before + 64);
    int made = fake.buffers;
    ck_assert_int_eq(kd_buffer_create(c, 1099, &b[0]), KCL_OK);
    ck_assert_int_eq(fake.buffers, made);
    fake.fail_at = fake.calls + 1;
    fake.fail_code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    ck_assert_int_eq(kd_buffer_create(c, 5000, &b[1]), KCL_OK);
    ck_assert_int_eq(fake.live, before + 2);
    kd_buffer_release(c, &b[0]);
    kd_buffer_release(c, &b[1]);
    ck_assert_int_eq(kd_buffer_create(c, 0, &b[0]), KCL_OK);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* ---- Everything that can fail, in turn --------------------------------------------------------------------------- */

static bool has_failed(failing *memory, int allocation)
{
    return allocation && memory->requests >= allocation;
}

/* Uses a device whose n-th call or allocation fails. True when nothing failed any more. */
static bool run_failing(const char *device, int call, int allocation, bool warm)
{
    failing memory = {0};
    kcl_context *c;
    float in[6] = {1, 2, 3, 4, 5, 6}, out[6];
    if (!warm)
        empty_folder();
    fake.calls = 0;
    fake.failed = false;
    fake.fail_at = call;
    memory.fail_at = allocation;
    const kcl_context_params params = {.device = device, .threads = 2, .allocator = failing_allocator(&memory)};
    kcl_status status = kd_context_create_with(&fake_cl, &c, &params);
    if (status < 0) {
        ck_assert(fake.failed || has_failed(&memory, allocation));
        ck_assert((c == NULL) == (status == KCL_ERROR_NO_MEMORY));
        ck_assert(!c || (*kcl_context_error(c) && kcl_context_status(c) == status));
    } else {
        status = run_twice(c, in, out, 6);
        if (status < 0) {
            ck_assert(fake.failed || has_failed(&memory, allocation));
            ck_assert_int_eq(kcl_context_status(c), status);
            ck_assert(*kcl_context_error(c));
        }
        fake.fail_at = memory.fail_at = 0;
        check_twice(c);
        fake.fail_at = call;
        memory.fail_at = allocation;
    }
    kcl_context_destroy(&c);
    bool failed = fake.failed || has_failed(&memory, allocation);
    fake.fail_at = 0;
    ck_assert_int_eq(fake.live, 0);
    ck_assert_int_eq(memory.blocks, 0);
    return !failed;
}

static void fail_each(bool calls)
{
    static const char *const devices[] = {"0:0", "1:0", "2:1"};
    static const cl_int codes[] = {CL_OUT_OF_RESOURCES, CL_OUT_OF_HOST_MEMORY, CL_MEM_OBJECT_ALLOCATION_FAILURE};
    for (size_t d = 0; d < KB_COUNT(devices); d++) {
        for (int warm = 0; warm < 2; warm++) {
            for (size_t e = 0; e < (calls && !warm ? KB_COUNT(codes) : 1); e++) {
                int n = 0;
                do {
                    empty_folder();
                    fake_reset();
                    if (warm)
                        ck_assert(run_failing(devices[d], 0, 0, true));
                    fake.fail_code = codes[e];
                    n++;
                } while (!run_failing(devices[d], calls ? n : 0, calls ? 0 : n, warm));
                ck_assert_int_gt(n, calls ? 40 : 10);
            }
        }
    }
}

START_TEST(test_each_call_fails_in_turn)
{
    fail_each(true);
}
END_TEST

START_TEST(test_each_allocation_fails_in_turn)
{
    fail_each(false);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_context_that_could_not_be_made_tells_why,
                                  test_shared_contexts_share_programs,
                                  test_fork,
                                  test_results_on_every_way_of_sharing_memory,
                                  test_output_of_one_launch_is_input_of_the_next,
                                  test_repeated_launch_sets_no_more_than_it_must,
                                  test_array_too_large_for_the_device,
                                  test_idle_buffers,
                                  test_each_call_fails_in_turn,
                                  test_each_allocation_fails_in_turn};
    return run_tests("contexts", tests, KB_COUNT(tests));
}
