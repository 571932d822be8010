/* SPDX-License-Identifier: MIT */
/* Contexts on objects of users, and memory of users. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "harness.h"

#include <keopscl/opencl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 10, DEVICES = 3 };
static const size_t one[3] = {1, 1, 1};

/* What a user has on a device that works in place, that maps, and that copies. */
typedef struct user {
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
} user;

static const char *const device_ids[DEVICES] = {"0:0", "1:0", "2:1"};

static user open_user(int which)
{
    static const int places[DEVICES][2] = {{0, 0}, {1, 0}, {2, 1}};
    const fake_platform *p = &fake.platforms[places[which][0]];
    user u = {(cl_platform_id)(uintptr_t)p, (cl_device_id)(uintptr_t)&p->devices[places[which][1]], NULL, NULL};
    cl_int code;
    u.context = fake_cl.clCreateContext(NULL, 1, &u.device, NULL, NULL, &code);
    u.queue = fake_cl.clCreateCommandQueue(u.context, u.device, 0, &code);
    return u;
}

static void close_user(const user *u)
{
    fake_cl.clReleaseCommandQueue(u->queue);
    fake_cl.clReleaseContext(u->context);
}

static cl_mem user_memory(const user *u, size_t bytes)
{
    cl_int code;
    return fake_cl.clCreateBuffer(u->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
}

static kd_given given_of(const user *u, bool retain, const kcl_context *share)
{
    return (kd_given){u->platform, u->device, u->context, u->queue, retain, share};
}

static kcl_status open_given(kcl_context **c, const user *u, bool retain, const kcl_context *share)
{
    const kd_given given = given_of(u, retain, share);
    return kd_context_create_given(&fake_cl, c, NULL, &given);
}

static kcl_context *open_or_fail(const user *u)
{
    kcl_context *c;
    ck_assert_msg(open_given(&c, u, true, NULL) == KCL_OK, "%s", kcl_context_error(c));
    return c;
}

/* out = 2 * in for N floats in device memory; waits. */
static kcl_status twice(kcl_context *c, const kcl_memory *in, const kcl_memory *out)
{
    kd_kernel *kernel;
    const int n = N;
    kcl_status status = kd_kernel_get(c, harness_source, "twice", "label", &kernel);
    if (status >= 0)
        kd_launch(c, kernel, 3,
                  (kd_arg[]){{KD_ARG_BUFFER, NULL, 0, kd_memory_buffer(in)},
                             {KD_ARG_BUFFER, NULL, 0, kd_memory_buffer(out)},
                             {KD_ARG_VALUE, &n, sizeof n, NULL}},
                  one, one);
    return status < 0 ? status : kd_finish(c);
}

/* ---- Contexts ---------------------------------------------------------------------------------------------------- */

START_TEST(test_the_context_and_queue_of_a_user)
{
    for (int d = 0; d < DEVICES; d++) {
        kcl_device_info info;
        const user u = open_user(d);
        const int live = fake.live;
        /* The variable would choose another device, and be refused where devices are chosen. */
        setenv("KEOPSCL_DEVICE", "nothing", 1);
        kcl_context *c = open_or_fail(&u);
        ck_assert_int_eq(fake.live, live);
        ck_assert_int_eq(kcl_context_device_info(c, &info), KCL_OK);
        ck_assert_str_eq(info.id, device_ids[d]);
        check_twice(c);
        kcl_context_destroy(&c);
        ck_assert_int_eq(fake.live, live);
        close_user(&u);
        ck_assert_int_eq(fake.live, 0);
    }
}
END_TEST

START_TEST(test_the_user_lets_go_first)
{
    for (int d = 0; d < DEVICES; d++) {
        const user u = open_user(d);
        cl_mem mem[2] = {user_memory(&u, N * sizeof(float)), user_memory(&u, N * sizeof(float))};
        kcl_context *c = open_or_fail(&u);
        kcl_memory *in, *out;
        float numbers[N] = {1, 2, 3}, results[N];
        ck_assert_int_eq(kd_memory_wrap(c, mem[0], sizeof numbers, true, &in), KCL_OK);
        ck_assert_int_eq(kd_memory_wrap(c, mem[1], sizeof numbers, true, &out), KCL_OK);
        fake_cl.clReleaseMemObject(mem[0]);
        fake_cl.clReleaseMemObject(mem[1]);
        close_user(&u);
        ck_assert_int_eq(kd_write(c, kd_memory_buffer(in), 0, numbers, sizeof numbers), KCL_OK);
        ck_assert_int_eq(twice(c, in, out), KCL_OK);
        kd_read(c, kd_memory_buffer(out), 0, results, sizeof results);
        ck_assert_int_eq(kd_finish(c), KCL_OK);
        for (int k = 0; k < N; k++)
            ck_assert_float_eq(results[k], 2 * numbers[k]);
        check_twice(c);
        kcl_memory_release(&in);
        kcl_context_destroy(&c); /* `out` goes with the context */
        ck_assert_int_eq(fake.live, 0);
        kcl_memory_release(&out);
        ck_assert_int_eq(fake.live, 0);
    }
}
END_TEST

START_TEST(test_references_that_are_handed_over)
{
    kcl_context *c, *other;
    user u = open_user(2);
    ck_assert_int_eq(open_given(&c, &u, false, NULL), KCL_OK);
    /* A further context on the device brings a reference to the cl_context as well. */
    cl_int code;
    fake_cl.clRetainContext(u.context);
    u.queue = fake_cl.clCreateCommandQueue(u.context, u.device, 0, &code);
    ck_assert_int_eq(open_given(&other, &u, false, c), KCL_OK);
    check_twice(other);
    kcl_context_destroy(&c);
    check_twice(other);
    kcl_context_destroy(&other);
    ck_assert_int_eq(fake.live, 0);

    /* They are handed over even where the context cannot be made. */
    setenv("KEOPSCL_THREADS", "none", 1);
    u = open_user(2);
    ck_assert_int_eq(open_given(&c, &u, false, NULL), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(c), "KEOPSCL_THREADS");
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

START_TEST(test_without_a_queue_one_is_made)
{
    const user u = open_user(2);
    kd_given given = given_of(&u, true, NULL);
    const int live = fake.live;
    kcl_context *c;
    given.queue = NULL;
    ck_assert_int_eq(kd_context_create_given(&fake_cl, &c, NULL, &given), KCL_OK);
    ck_assert_int_eq(fake.live, live + 1);
    check_twice(c);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, live);
    close_user(&u);
}
END_TEST

START_TEST(test_settings_count)
{
    kcl_context *c;
    const user u = open_user(0);
    const kd_given given = given_of(&u, true, NULL);
    setenv("KEOPSCL_THREADS", "3", 1);
    const kcl_context_params params = {.programs = 7, .cache_dir = "", .device = "nothing"};
    ck_assert_int_eq(kd_context_create_given(&fake_cl, &c, &params, &given), KCL_OK);
    ck_assert_uint_eq(kd_most_programs(c), 7);
    ck_assert_int_eq(kd_threads(c), 8); /* all of the device */
    check_twice(c);
    char path[1024];
    ck_assert(!find_file("", 0, path));
    kcl_context_destroy(&c);
    close_user(&u);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

START_TEST(test_a_part_of_a_device)
{
    user u = open_user(0);
    const cl_device_partition_property part[] = {CL_DEVICE_PARTITION_BY_COUNTS, 2,
                                                 CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_uint count;
    cl_int code;
    close_user(&u);
    ck_assert_int_eq(fake_cl.clCreateSubDevices(u.device, part, 1, &u.device, &count), CL_SUCCESS);
    u.context = fake_cl.clCreateContext(NULL, 1, &u.device, NULL, NULL, &code);
    u.queue = fake_cl.clCreateCommandQueue(u.context, u.device, 0, &code);
    kcl_context *c = open_or_fail(&u);
    kcl_device_info info;
    ck_assert_int_eq(kcl_context_device_info(c, &info), KCL_OK);
    ck_assert_str_eq(info.id, "0:0");
    check_twice(c);
    kcl_context_destroy(&c);
    close_user(&u);
    ck_assert_int_eq(fake_cl.clReleaseDevice(u.device), CL_SUCCESS);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

START_TEST(test_devices_that_cannot_be_used)
{
    kcl_context *c;
    user u = open_user(2);
    kd_given given = given_of(&u, true, NULL);
    given.platform = (cl_platform_id)(uintptr_t)&fake.platforms[1];
    ck_assert_int_eq(kd_context_create_given(&fake_cl, &c, NULL, &given), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(c), "not among the devices");
    kcl_context_destroy(&c);
    given.platform = (cl_platform_id)(uintptr_t)&u;
    ck_assert_int_eq(kd_context_create_given(&fake_cl, &c, NULL, &given), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(c), "no platform");
    kcl_context_destroy(&c);
    const fake_platform *old = &fake.platforms[5];
    given.platform = (cl_platform_id)(uintptr_t)old;
    given.device = (cl_device_id)(uintptr_t)&old->devices[0];
    ck_assert_int_eq(kd_context_create_given(&fake_cl, &c, NULL, &given), KCL_ERROR_NO_DEVICE);
    HAS(kcl_context_error(c), "Old CPU", "OpenCL 1.2 is needed");
    kcl_context_destroy(&c);
    close_user(&u);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

START_TEST(test_programs_are_shared_on_the_same_device)
{
    setenv("KEOPSCL_CACHE", "off", 1);
    const user u = open_user(2), same = open_user(2), another = open_user(1);
    kcl_context *first = open_or_fail(&u), *second, *host;
    check_twice(first);
    ck_assert_int_eq(open_given(&second, &u, true, first), KCL_OK);
    kcl_context_destroy(&first);
    check_twice(second);
    ck_assert_int_eq(fake.builds, 1);

    ck_assert_int_eq(open_given(&first, &another, true, second), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(first), "Big GPU", "Other CPU");
    kcl_context_destroy(&first);
    ck_assert_int_eq(open_given(&first, &same, true, second), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(first), "Big GPU", "another cl_context");
    kcl_context_destroy(&first);
    ck_assert_int_eq(open_device(&host, "host"), KCL_OK);
    ck_assert_int_eq(open_given(&first, &u, true, host), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(first), "host", "Big GPU");
    kcl_context_destroy(&first);
    kcl_context_destroy(&host);
    ck_assert_int_eq(open_device(&host, "nothing"), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(open_given(&first, &u, true, host), KCL_ERROR_NO_DEVICE);
    ck_assert_str_eq(kcl_context_error(first), kcl_context_error(host));
    kcl_context_destroy(&first);
    kcl_context_destroy(&host);

    kcl_context_destroy(&second);
    close_user(&u);
    close_user(&same);
    close_user(&another);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* With the functions of one driver alone, objects of other drivers are refused before the driver sees them. */
START_TEST(test_objects_of_another_driver)
{
    kcl_context *c;
    kcl_memory *m;
    const user u = open_user(2);
    cl_mem mem = user_memory(&u, 64);
    kd_cl one_driver = fake_cl;
    one_driver.driver = &one_driver; /* no object begins with this address */
    const kcl_opencl_params own = {u.context, u.device, u.queue, NULL};
    const int calls = fake.calls;
    ck_assert_int_eq(kd_opencl_context_create_with(&one_driver, &c, NULL, &own), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(c), "KEOPSCL_DRIVER");
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.calls, calls);
    ck_assert_int_eq(kd_opencl_context_create_with(&fake_cl, &c, NULL, &own), KCL_OK);
    ck_assert_int_eq(kcl_opencl_memory(c, mem, &m), KCL_OK);
    ck_assert_uint_eq(kcl_memory_size(m), 64);
    kcl_memory_release(&m);
    c->device->cl.driver = &one_driver;
    ck_assert_int_eq(kcl_opencl_memory(c, mem, &m), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(c), "KEOPSCL_DRIVER");
    kcl_context_destroy(&c);
    fake_cl.clReleaseMemObject(mem);
    close_user(&u);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

START_TEST(test_memory_of_users_is_neither_kept_nor_counted)
{
    const user u = open_user(2);
    kcl_context *c = open_or_fail(&u);
    kcl_memory *m, *own;
    const int live = fake.live;
    cl_mem mem = user_memory(&u, 4096), lasting = user_memory(&u, 4096);
    ck_assert_int_eq(kd_memory_wrap(c, mem, 4096, true, &m), KCL_OK);
    fake_cl.clReleaseMemObject(mem);
    ck_assert_uint_eq(kcl_memory_size(m), 4096);
    ck_assert(kd_has_memory(c, m));
    ck_assert_int_eq(fake.live, live + 2);
    /* A release gives memory back at once: none waits for reuse. */
    kcl_memory_release(&m);
    ck_assert_int_eq(fake.live, live + 1);
    for (int k = 0; k < 1000; k++) {
        ck_assert_int_eq(kd_memory_wrap(c, lasting, 4096, k % 2, &m), KCL_OK);
        kcl_memory_release(&m);
    }
    /* Memory of the same size is not taken from what the user has. */
    ck_assert_int_eq(kd_memory_wrap(c, lasting, 4096, false, &m), KCL_OK);
    fake.buffers = 0;
    ck_assert_int_eq(kcl_memory_create(c, 4096, &own), KCL_OK);
    ck_assert_int_eq(fake.buffers, 1);
    ck_assert(kd_memory_holder(own) != kd_memory_holder(m));
    /* The context holds 4096 bytes of its own; the bytes of the user are not counted. */
    kcl_memory *more;
    fake.fail_call = "clCreateBuffer";
    fake.fail_code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    ck_assert_int_eq(kcl_memory_create(c, 100, &more), KCL_ERROR_DEVICE_MEMORY);
    fake.fail_call = NULL;
    HAS(kcl_context_error(c), "this context holds 4096, ");
    kd_drop_unused(c);
    ck_assert_int_eq(fake.live, live + 2);
    /* Without a reference of ours nothing is released, in whatever order. */
    kcl_context_destroy(&c);
    kcl_memory_release(&m);
    kcl_memory_release(&own);
    fake_cl.clReleaseMemObject(lasting);
    close_user(&u);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* Arrays in common bytes are found by where their memory lies. */
START_TEST(test_where_memory_lies)
{
    const user u = open_user(2);
    kcl_context *c = open_or_fail(&u);
    kcl_memory *m[5];
    cl_mem mem = user_memory(&u, 64);
    char *addresses = (char *)0x10000;
    ck_assert_int_eq(kd_memory_wrap(c, mem, 64, true, &m[0]), KCL_OK);
    ck_assert_int_eq(kd_memory_wrap(c, mem, 64, true, &m[1]), KCL_OK);
    ck_assert_int_eq(kd_memory_wrap(c, (cl_mem)(void *)addresses, 64, false, &m[2]), KCL_OK);
    ck_assert_int_eq(kd_memory_wrap(c, (cl_mem)(void *)(addresses + 48), 64, false, &m[3]), KCL_OK);
    ck_assert_int_eq(kcl_memory_create(c, 64, &m[4]), KCL_OK);
    ck_assert_ptr_eq(kd_memory_holder(m[0]), kd_memory_holder(m[1]));
    ck_assert_uint_eq(kd_memory_origin(m[0]), kd_memory_origin(m[1]));
    ck_assert_ptr_eq(kd_memory_holder(m[2]), kd_memory_holder(m[3]));
    ck_assert_uint_eq(kd_memory_origin(m[3]) - kd_memory_origin(m[2]), 48);
    ck_assert(kd_memory_holder(m[0]) != kd_memory_holder(m[2]) && kd_memory_holder(m[4]) != kd_memory_holder(m[2]) &&
              kd_memory_holder(m[4]) != kd_memory_holder(m[0]));
    for (int k = 0; k < 5; k++)
        kcl_memory_release(&m[k]);
    kcl_context_destroy(&c);
    fake_cl.clReleaseMemObject(mem);
    close_user(&u);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

START_TEST(test_memory_that_cannot_be_described)
{
    kcl_context *c;
    kcl_memory *m = (kcl_memory *)1;
    const user u = open_user(2);
    cl_mem mem = user_memory(&u, 64);
    ck_assert_int_eq(kd_memory_wrap(NULL, mem, 64, true, &m), KCL_ERROR_ARGUMENT);
    ck_assert_ptr_null(m);
    ck_assert_int_eq(open_device(&c, "host"), KCL_OK);
    ck_assert_int_eq(kd_memory_wrap(c, mem, 64, true, &m), KCL_ERROR_UNSUPPORTED);
    ck_assert_ptr_null(m);
    kcl_context_destroy(&c);
    c = open_or_fail(&u);
    ck_assert_int_eq(kd_memory_wrap(c, mem, 64, true, NULL), KCL_ERROR_ARGUMENT);
    fake.fail_call = "clRetainMemObject";
    ck_assert_int_eq(kd_memory_wrap(c, mem, 64, true, &m), KCL_ERROR_OPENCL);
    ck_assert_ptr_null(m);
    fake.fail_call = NULL;
    kcl_context_destroy(&c);
    fake_cl.clReleaseMemObject(mem);
    close_user(&u);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* The n-th description is released among others: all others stay. */
START_TEST(test_any_order_of_release)
{
    const user u = open_user(2);
    kcl_context *c = open_or_fail(&u);
    enum { MANY = 5 };
    for (int first = 0; first < MANY; first++) {
        kcl_memory *m[MANY];
        cl_mem mem = user_memory(&u, 64);
        for (int k = 0; k < MANY; k++)
            ck_assert_int_eq(k % 2 ? kcl_memory_create(c, 64, &m[k]) : kd_memory_wrap(c, mem, 64, true, &m[k]), KCL_OK);
        fake_cl.clReleaseMemObject(mem);
        for (int n = 0; n < MANY; n++) {
            const kcl_memory *gone = m[(first + 2 * n) % MANY];
            kcl_memory_release(&m[(first + 2 * n) % MANY]);
            ck_assert(!kd_has_memory(c, gone));
            for (int k = 0; k < MANY; k++)
                ck_assert(!m[k] || kd_has_memory(c, m[k]));
        }
    }
    kcl_context_destroy(&c);
    close_user(&u);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

START_TEST(test_fork)
{
    const user u = open_user(2);
    kcl_context *c = open_or_fail(&u), *other;
    cl_mem mem = user_memory(&u, 64);
    kcl_memory *m, *kept;
    ck_assert_int_eq(kd_memory_wrap(c, mem, 64, true, &m), KCL_OK);
    ck_assert_int_eq(kd_memory_wrap(c, mem, 64, true, &kept), KCL_OK);
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int bad = 0, calls = fake.calls;
        kcl_memory *more;
        bad |= kd_memory_wrap(c, mem, 64, true, &more) != KCL_ERROR_FORKED;
        bad |= (open_given(&other, &u, true, NULL) != KCL_ERROR_FORKED) << 1;
        kcl_context_destroy(&other);
        bad |= (open_given(&other, &u, true, c) != KCL_ERROR_FORKED) << 2;
        kcl_context_destroy(&other);
        bad |= (open_given(&other, &u, false, NULL) != KCL_ERROR_FORKED) << 3;
        kcl_context_destroy(&other);
        kcl_memory_release(&m);
        kcl_context_destroy(&c);
        kcl_memory_release(&kept);
        bad |= (fake.calls != calls) << 4;
        _exit(bad);
    }
    int state;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state));
    ck_assert_int_eq(WEXITSTATUS(state), 0);
    kcl_context_destroy(&c);
    kcl_memory_release(&m);
    kcl_memory_release(&kept);
    fake_cl.clReleaseMemObject(mem);
    close_user(&u);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* ---- Everything that can fail, in turn --------------------------------------------------------------------------- */

/* By the public functions, or with references that are handed over. True when nothing failed any more. */
static bool run_failing(int d, bool is_public, int call, int allocation)
{
    failing memory = {0};
    kcl_context *c;
    kcl_memory *in = NULL, *out = NULL;
    float numbers[N] = {1, 2, 3}, results[N];
    const user u = open_user(d);
    cl_mem mem = user_memory(&u, sizeof numbers);
    if (!is_public) {
        fake_cl.clRetainContext(u.context);
        fake_cl.clRetainCommandQueue(u.queue);
    }
    const kd_given given = given_of(&u, false, NULL);
    fake.calls = 0;
    fake.fail_at = call;
    memory.fail_at = allocation;
    const kcl_context_params params = {.allocator = failing_allocator(&memory)};
    kcl_status status = is_public ? kd_opencl_context_create_with(
                                        &fake_cl, &c, &params, &(kcl_opencl_params){u.context, u.device, u.queue, NULL})
                                  : kd_context_create_given(&fake_cl, &c, &params, &given);
    if (status >= 0)
        status = is_public ? kcl_opencl_memory(c, mem, &in) : kd_memory_wrap(c, mem, sizeof numbers, false, &in);
    if (status >= 0)
        status = kcl_memory_create(c, sizeof numbers, &out);
    if (status >= 0) {
        kd_write(c, kd_memory_buffer(in), 0, numbers, sizeof numbers);
        status = twice(c, in, out);
        const kcl_status end = kd_finish(c);
        status = status < 0 ? status : end;
    }
    if (status >= 0) {
        kd_read(c, kd_memory_buffer(out), 0, results, sizeof results);
        status = kd_finish(c);
    }
    const bool failed = fake.failed || (allocation && memory.requests >= allocation);
    if (status < 0) {
        ck_assert(failed);
        ck_assert(!c || (kcl_context_status(c) == status && *kcl_context_error(c)));
    } else {
        ck_assert_float_eq(results[2], 2 * numbers[2]);
    }
    kcl_memory_release(&in);
    kcl_context_destroy(&c);
    kcl_memory_release(&out);
    fake.fail_at = 0;
    ck_assert_int_eq(memory.blocks, 0);
    fake_cl.clReleaseMemObject(mem);
    close_user(&u);
    ck_assert_int_eq(fake.live, 0);
    return !failed;
}

START_TEST(test_everything_fails_in_turn)
{
    for (int d = 0; d < DEVICES; d++) {
        for (int way = 0; way < 4; way++) {
            int n = 0;
            do {
                empty_folder();
                fake_reset();
                n++;
            } while (!run_failing(d, way / 2, way % 2 ? n : 0, way % 2 ? 0 : n));
            ck_assert_int_gt(n, way % 2 ? 30 : 8);
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_the_context_and_queue_of_a_user,
                                  test_the_user_lets_go_first,
                                  test_references_that_are_handed_over,
                                  test_without_a_queue_one_is_made,
                                  test_settings_count,
                                  test_a_part_of_a_device,
                                  test_devices_that_cannot_be_used,
                                  test_programs_are_shared_on_the_same_device,
                                  test_objects_of_another_driver,
                                  test_memory_of_users_is_neither_kept_nor_counted,
                                  test_where_memory_lies,
                                  test_memory_that_cannot_be_described,
                                  test_any_order_of_release,
                                  test_fork,
                                  test_everything_fails_in_turn};
    return run_tests("given objects", tests, KB_COUNT(tests));
}
