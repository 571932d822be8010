/* SPDX-License-Identifier: MIT */
/* Memory that users hold, work that is not waited for, devices that run out of memory, limits of built kernels. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "harness.h"

#include <stdio.h>
#include <string.h>

static const char *const devices[] = {"0:0", "1:0", "2:1"}; /* in place, mapped, copied */
enum { DEVICES = KB_COUNT(devices), N = 10 };
static const size_t one[3] = {1, 1, 1};

static kcl_context *open_or_fail(const char *device)
{
    kcl_context *c;
    ck_assert_msg(open_device(&c, device) == KCL_OK, "%s", kcl_context_error(c));
    return c;
}

/* out = 2 * in for N floats in device memory; the submission is not ended. */
static kcl_status start_twice(kcl_context *c, kd_arg in, const kcl_memory *out)
{
    kd_kernel *twice;
    const int n = N;
    kcl_status status = kd_kernel_get(c, harness_source, "twice", "label", &twice);
    return status < 0
               ? status
               : kd_launch(c, twice, 3,
                           (kd_arg[]){
                               in, {KD_ARG_BUFFER, NULL, 0, kd_memory_buffer(out)}, {KD_ARG_VALUE, &n, sizeof n, NULL}},
                           one, one);
}

static kd_arg in_memory(const kcl_memory *m)
{
    return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = kd_memory_buffer(m)};
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

START_TEST(test_memory_holds_what_is_written)
{
    for (int d = 0; d < DEVICES; d++) {
        kcl_context *c = open_or_fail(devices[d]);
        kcl_memory *a, *b;
        float in[N], out[N] = {0};
        for (int k = 0; k < N; k++)
            in[k] = (float)k;
        ck_assert_int_eq(kcl_memory_create(c, sizeof in, &a), KCL_OK);
        ck_assert_int_eq(kcl_memory_create(c, sizeof in, &b), KCL_OK);
        ck_assert_uint_eq(kcl_memory_size(a), sizeof in);
        ck_assert(kd_has_memory(c, a) && kd_has_memory(c, b));
        ck_assert_int_eq(kd_write(c, kd_memory_buffer(a), 0, in, sizeof in), KCL_OK);
        ck_assert_int_eq(start_twice(c, in_memory(a), b), KCL_OK);
        ck_assert_int_eq(kd_read(c, kd_memory_buffer(b), 2 * sizeof *out, out + 2, sizeof out - 2 * sizeof *out),
                         KCL_OK);
        ck_assert_int_eq(kd_finish(c), KCL_OK);
        for (int k = 0; k < N; k++)
            ck_assert_float_eq(out[k], k < 2 ? 0 : 2 * in[k]);
        const kcl_memory *gone = a;
        kcl_memory_release(&a);
        ck_assert_ptr_null(a);
        ck_assert(!kd_has_memory(c, gone) && kd_has_memory(c, b));
        kcl_memory_release(&a);
        kcl_memory_release(NULL);
        ck_assert_uint_eq(kcl_memory_size(NULL), 0);
        kcl_context_destroy(&c);
        /* Memory of a destroyed context can only be released. */
        ck_assert_uint_eq(kcl_memory_size(b), sizeof in);
        kcl_memory_release(&b);
        ck_assert_int_eq(fake.live, 0);
    }
}
END_TEST

START_TEST(test_memory_of_a_context_that_is_none)
{
    kcl_memory *m = (kcl_memory *)1;
    kcl_context *c;
    ck_assert_int_eq(kcl_memory_create(NULL, 8, &m), KCL_ERROR_ARGUMENT);
    ck_assert_ptr_null(m);
    ck_assert_int_eq(open_device(&c, "nothing"), KCL_ERROR_NO_DEVICE);
    ck_assert_int_eq(kcl_memory_create(c, 8, &m), KCL_ERROR_NO_DEVICE);
    ck_assert_ptr_null(m);
    kcl_context_destroy(&c);
    c = open_or_fail("2:1");
    ck_assert_int_eq(kcl_memory_create(c, 8, NULL), KCL_ERROR_ARGUMENT);
    kcl_context_destroy(&c);
}
END_TEST

/* ---- Work that is not waited for --------------------------------------------------------------------------------- */

START_TEST(test_submitted_work_is_not_waited_for)
{
    for (int d = 0; d < DEVICES; d++) {
        kcl_context *c = open_or_fail(devices[d]);
        kcl_memory *a, *b;
        float in[N] = {1, 2, 3}, out[N];
        ck_assert_int_eq(kcl_memory_create(c, sizeof in, &a), KCL_OK);
        ck_assert_int_eq(kcl_memory_create(c, sizeof in, &b), KCL_OK);
        /* The first run of a program that was built here is waited for: other processes wait for its entry on disk. */
        fake.finishes = 0;
        ck_assert_int_eq(start_twice(c, in_memory(a), b), KCL_OK);
        ck_assert_int_eq(kd_submit(c), KCL_OK);
        ck_assert_int_eq(fake.finishes, 1);
        fake.finishes = fake.flushes = 0;
        /* The memory of the host is copied when the work is given: the memory changes at once. */
        const kd_arg copied = {.kind = KD_ARG_HOST_COPY, .data = in, .size = sizeof in};
        ck_assert_int_eq(start_twice(c, copied, a), KCL_OK);
        ck_assert_int_eq(kd_submit(c), KCL_OK);
        in[0] = 100;
        ck_assert_int_eq(start_twice(c, in_memory(a), b), KCL_OK);
        ck_assert_int_eq(kd_submit(c), KCL_OK);
        ck_assert_int_eq(fake.finishes, d == 0 ? 2 : 0);
        ck_assert_int_eq(fake.flushes > 0, d != 0);
        ck_assert_int_eq(kd_always_waits(c), d == 0);
        kd_read(c, kd_memory_buffer(b), 0, out, sizeof out);
        ck_assert_int_eq(kd_finish(c), KCL_OK);
        ck_assert_float_eq(out[0], 4);
        ck_assert_float_eq(out[2], 12);
        /* The second call must not find the copy that the first call made of the same address. */
        ck_assert_int_eq(start_twice(c, copied, a), KCL_OK);
        ck_assert_int_eq(kd_submit(c), KCL_OK);
        kd_read(c, kd_memory_buffer(a), 0, out, sizeof out);
        ck_assert_int_eq(kd_finish(c), KCL_OK);
        ck_assert_float_eq(out[0], 200);
        /* Host memory that is referred to is waited for. */
        fake.finishes = 0;
        ck_assert_int_eq(start_twice(c, (kd_arg){.kind = KD_ARG_HOST_IN, .data = in, .size = sizeof in}, a), KCL_OK);
        ck_assert_int_eq(kd_submit(c), KCL_OK);
        ck_assert_int_eq(fake.finishes, 1);
        kcl_memory_release(&a);
        kcl_memory_release(&b);
        kcl_context_destroy(&c);
        ck_assert_int_eq(fake.live, 0);
    }
}
END_TEST

/* Copies of host arrays that wait for the device are bounded. */
START_TEST(test_copies_do_not_pile_up)
{
    failing memory = {0};
    kcl_context *c;
    kcl_memory *a;
    static float in[10000];
    const kcl_context_params params = {.device = "2:1", .allocator = failing_allocator(&memory)};
    ck_assert_int_eq(kd_context_create_with(&fake_cl, &c, &params), KCL_OK);
    ck_assert_int_eq(kcl_memory_create(c, sizeof in, &a), KCL_OK);
    for (int k = 0; k < 1000; k++) {
        in[0] = (float)k;
        ck_assert_int_eq(start_twice(c, (kd_arg){.kind = KD_ARG_HOST_COPY, .data = in, .size = sizeof in}, a), KCL_OK);
        ck_assert_int_eq(kd_submit(c), KCL_OK);
        ck_assert_int_lt(memory.blocks, 100);
    }
    ck_assert_int_gt(fake.finishes, 10);
    ck_assert_int_lt(fake.finishes, 100);
    kcl_context_destroy(&c);
    kcl_memory_release(&a);
    ck_assert_int_eq(memory.blocks, 0);
}
END_TEST

START_TEST(test_failures_come_late)
{
    kcl_context *c = open_or_fail("2:1");
    kcl_memory *a, *b;
    ck_assert_int_eq(kcl_memory_create(c, 4096, &a), KCL_OK);
    ck_assert_int_eq(kcl_memory_create(c, 4096, &b), KCL_OK);
    ck_assert_int_eq(start_twice(c, in_memory(a), b), KCL_OK);
    ck_assert_int_eq(kd_submit(c), KCL_OK);
    static const cl_int codes[] = {CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES, CL_INVALID_COMMAND_QUEUE};
    static const char *const calls[] = {"clFinish", "clFlush"};
    for (size_t e = 0; e < KB_COUNT(codes); e++) {
        for (size_t k = 0; k < KB_COUNT(calls); k++) {
            kcl_status want = e < 2 ? KCL_ERROR_DEVICE_MEMORY : KCL_ERROR_OPENCL;
            ck_assert_int_eq(start_twice(c, in_memory(a), b), KCL_OK);
            fake.fail_code = codes[e];
            fake.fail_call = calls[k];
            ck_assert_int_eq(kd_submit(c), k ? want : KCL_OK);
            if (!k)
                ck_assert_int_eq(kcl_context_finish(c), want);
            HAS(kcl_context_error(c), calls[k], kd_cl_error_name(codes[e]), "Big GPU");
            /* Later on, memory that check_twice used waits for reuse. */
            if (e == 0 && k == 0)
                HAS(kcl_context_error(c), "16000000000 bytes this context holds 8192",
                    "at most 15999991808 are available");
            fake.fail_call = NULL;
            ck_assert_int_eq(kcl_context_finish(c), KCL_OK);
            check_twice(c);
        }
    }
    kcl_memory_release(&a);
    kcl_memory_release(&b);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

/* ---- No more memory ---------------------------------------------------------------------------------------------- */

START_TEST(test_memory_that_the_device_does_not_have)
{
    for (int d = 0; d < DEVICES; d++) {
        kcl_context *c = open_or_fail(devices[d]);
        kcl_memory *m, *small;
        ck_assert_int_eq(kcl_memory_create(c, 1000, &small), KCL_OK);
        ck_assert_int_eq(kcl_memory_create(c, (1 << 20) + 1, &m), KCL_ERROR_DEVICE_MEMORY);
        ck_assert_ptr_null(m);
        HAS(kcl_context_error(c), "1048577 bytes", "1048576 bytes");
        /* Sizes that would exceed the largest number when rounded up. */
        const size_t huge[] = {SIZE_MAX,         SIZE_MAX - 1,     SIZE_MAX / 2 + 2, SIZE_MAX / 2 + 1, SIZE_MAX / 2,
                               SIZE_MAX / 8 + 2, SIZE_MAX / 8 + 1, (size_t)3 << 61,  (size_t)1 << 62};
        for (size_t k = 0; k < KB_COUNT(huge); k++) {
            char asked[40];
            snprintf(asked, sizeof asked, "%zu bytes", huge[k]);
            ck_assert_int_eq(kcl_memory_create(c, huge[k], &m), KCL_ERROR_DEVICE_MEMORY);
            ck_assert_ptr_null(m);
            HAS(kcl_context_error(c), asked);
        }
        fake.fail_call = "clCreateBuffer";
        fake.fail_code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
        ck_assert_int_eq(kcl_memory_create(c, 54321, &m), KCL_ERROR_DEVICE_MEMORY);
        ck_assert_ptr_null(m);
        HAS(kcl_context_error(c), "54321 bytes were requested", "this context holds 1024", "are available");
        fake.fail_call = NULL;
        check_twice(c);
        kcl_memory_release(&small);
        kcl_context_destroy(&c);
        ck_assert_int_eq(fake.live, 0);
    }
}
END_TEST

/*
 * Drivers that allocate late report the failure from a command: what waits for reuse is given back, and the command
 * tried again.
 */
START_TEST(test_commands_that_want_memory_get_what_waits)
{
    static const char *const calls[] = {"clEnqueueNDRangeKernel", "clEnqueueWriteBuffer"};
    for (size_t k = 0; k < KB_COUNT(calls); k++) {
        for (int idle = 0; idle < 2; idle++) {
            kcl_context *c = open_or_fail("2:1");
            kcl_memory *a, *b, *spare;
            float in[N] = {1, 2, 3}, out[N];
            ck_assert_int_eq(kcl_memory_create(c, sizeof in, &a), KCL_OK);
            ck_assert_int_eq(kcl_memory_create(c, sizeof in, &b), KCL_OK);
            ck_assert_int_eq(kd_write(c, kd_memory_buffer(a), 0, in, sizeof in), KCL_OK);
            ck_assert_int_eq(start_twice(c, in_memory(a), b), KCL_OK);
            ck_assert_int_eq(kd_finish(c), KCL_OK);
            ck_assert_int_eq(kcl_memory_create(c, 5000, &spare), KCL_OK);
            if (idle)
                kcl_memory_release(&spare);
            int live = fake.live;
            fake.fail_at = fake.calls + 1;
            fake.fail_code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
            kcl_status status =
                k ? kd_write(c, kd_memory_buffer(a), 0, in, sizeof in) : start_twice(c, in_memory(a), b);
            ck_assert(fake.failed);
            if (idle) {
                ck_assert_int_eq(status, KCL_OK);
                ck_assert_int_eq(fake.live, live - 1);
                ck_assert_int_eq(kd_finish(c), KCL_OK);
            } else {
                ck_assert_int_eq(status, KCL_ERROR_DEVICE_MEMORY);
                /* A write is of 40 bytes, a kernel's arguments are 80. */
                HAS(kcl_context_error(c), calls[k], k ? "40 bytes were requested" : "80 bytes were requested",
                    "this context holds 5632");
                ck_assert_int_eq(kd_finish(c), KCL_ERROR_DEVICE_MEMORY);
            }
            kd_read(c, kd_memory_buffer(b), 0, out, sizeof out);
            ck_assert_int_eq(kd_finish(c), KCL_OK);
            ck_assert_float_eq(out[2], 6);
            check_twice(c);
            kcl_context_destroy(&c);
            kcl_memory_release(&a);
            kcl_memory_release(&b);
            kcl_memory_release(&spare);
            ck_assert_int_eq(fake.live, 0);
        }
    }
}
END_TEST

/* Memory, copies and work that is not waited for, with the n-th call or allocation failing. True: none failed. */
static bool run_failing(const char *device, int call, int allocation)
{
    failing memory = {0};
    kcl_context *c;
    kcl_memory *a = NULL, *b = NULL;
    float in[N] = {3, 2, 1}, out[N] = {0};
    const kcl_context_params params = {.device = device, .cache_dir = "", .allocator = failing_allocator(&memory)};
    ck_assert_int_eq(kd_context_create_with(&fake_cl, &c, &params), KCL_OK);
    fake.calls = 0;
    fake.failed = false;
    fake.fail_at = call;
    long long before = memory.requests;
    memory.fail_at = allocation ? before + allocation : 0;
    kcl_status status = kcl_memory_create(c, sizeof in, &a);
    if (status == KCL_OK)
        status = kcl_memory_create(c, sizeof in, &b);
    if (status == KCL_OK)
        status = start_twice(c, (kd_arg){.kind = KD_ARG_HOST_COPY, .data = in, .size = sizeof in}, a);
    if (status == KCL_OK)
        status = kd_submit(c);
    if (status == KCL_OK)
        status = start_twice(c, in_memory(a), b);
    if (status == KCL_OK)
        status = kd_read(c, kd_memory_buffer(b), 0, out, sizeof out);
    kcl_status end = kd_finish(c);
    if (status == KCL_OK)
        status = end;
    bool failed = fake.failed || (allocation && memory.requests >= before + allocation);
    ck_assert(status == KCL_OK || (failed && *kcl_context_error(c)));
    if (status == KCL_OK)
        ck_assert_float_eq(out[0], 12);
    fake.fail_at = memory.fail_at = 0;
    check_twice(c);
    kcl_memory_release(&a);
    kcl_context_destroy(&c);
    kcl_memory_release(&b);
    ck_assert_int_eq(fake.live, 0);
    ck_assert_int_eq(memory.blocks, 0);
    return !failed;
}

START_TEST(test_everything_fails_in_turn)
{
    static const cl_int codes[] = {CL_OUT_OF_RESOURCES, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_HOST_MEMORY};
    for (int d = 0; d < DEVICES; d++) {
        for (size_t e = 0; e <= KB_COUNT(codes); e++) {
            int n = 0;
            do {
                fake_reset();
                fake.fail_code = codes[e % KB_COUNT(codes)];
                n++;
            } while (!run_failing(devices[d], e < KB_COUNT(codes) ? n : 0, e < KB_COUNT(codes) ? 0 : n));
            ck_assert_int_gt(n, 8);
        }
    }
}
END_TEST

/* ---- Limits of built kernels ------------------------------------------------------------------------------------- */

/* The lines of NVIDIA's compiler; a function that kernels call has properties too. */
static const char ptxas_log[] =
    "ptxas info    : 0 bytes gmem\n"
    "ptxas info    : Compiling entry function 'prepare' for 'sm_90'\n"
    "ptxas info    : Function properties for prepare\n"
    "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
    "ptxas info    : Used 12 registers, used 0 barriers, 368 bytes cmem[0]\n"
    "ptxas info    : Compiling entry function 'twice' for 'sm_90'\n"
    "ptxas info    : Function properties for twice\n"
    "    136 bytes stack frame, 24 bytes spill stores, 40 bytes spill loads\n"
    "ptxas info    : Function properties for helper\n"
    "    8 bytes stack frame, 1 bytes spill stores, 2 bytes spill loads\r\n"
    "ptxas info    : Used 40 registers, used 1 barriers, 4096 bytes smem, 400 bytes cmem[0]\n";

static kd_limits read_log(const char *log, const char *kernel)
{
    kd_limits limits = {.registers = -1, .spilled = -1, .stack = -1};
    kd_read_build_log(log, kernel, &limits);
    return limits;
}

START_TEST(test_build_log_of_nvidia)
{
    kd_limits l = read_log(ptxas_log, "twice");
    ck_assert_int_eq(l.registers, 40);
    ck_assert_int_eq(l.spilled, 64);
    ck_assert_int_eq(l.stack, 136);
    l = read_log(ptxas_log, "prepare");
    ck_assert_int_eq(l.registers, 12);
    ck_assert_int_eq(l.spilled, 0);
    ck_assert_int_eq(l.stack, 0);
    /* A function is no kernel: it has no registers of its own. */
    ck_assert_int_eq(read_log(ptxas_log, "helper").registers, -1);
    ck_assert_int_eq(read_log(ptxas_log, "helper").stack, 8);
    static const char *const absent[] = {"twic", "twice2", "", "idle"};
    for (size_t k = 0; k < KB_COUNT(absent); k++) {
        l = read_log(ptxas_log, absent[k]);
        ck_assert_msg(l.registers == -1 && l.spilled == -1 && l.stack == -1, "%s", absent[k]);
    }
    /* Older compilers: no properties, private memory as lmem; a sum of two sizes. */
    l = read_log(
        "ptxas info : Compiling entry function 'f' for 'sm_35'\nptxas info : Used 63 registers, 24 bytes lmem, "
        "4096+16 bytes smem\n",
        "f");
    ck_assert_int_eq(l.registers, 63);
    ck_assert_int_eq(l.stack, 24);
    ck_assert_int_eq(l.spilled, -1);
    /* Nothing of use, and texts that are no numbers. */
    static const char *const odd[] = {"",
                                      "\n\n",
                                      "Used registers",
                                      "Compiling entry function 'f'\nUsed  registers\n",
                                      "Compiling entry function 'f'\nUsed 99999999999999999999999 registers",
                                      "Compiling entry function '",
                                      " registers\n bytes stack frame"};
    for (size_t k = 0; k < KB_COUNT(odd); k++)
        ck_assert_int_eq(read_log(odd[k], "f").registers, -1);
}
END_TEST

START_TEST(test_limits_come_from_the_driver)
{
    kcl_context *c = open_or_fail("2:1");
    kd_kernel *k;
    fake.told_group = 192;
    fake.build_log = ptxas_log;
    ck_assert_int_eq(kd_kernel_get(c, harness_source, "twice", "label", &k), KCL_OK);
    const kd_limits *l = kd_kernel_limits(c, k);
    ck_assert_uint_eq(l->work_group, 192);
    ck_assert_uint_eq(l->multiple, 32);
    ck_assert_uint_eq(l->local_memory, 4096);
    ck_assert_uint_eq(l->private_memory, 48);
    /* The log of a driver that is not asked to tell registers is not read. */
    ck_assert_int_eq(l->registers, -1);
    int calls = fake.calls;
    kd_kernel_limits(c, k);
    ck_assert_int_eq(fake.calls, calls);
    /* A driver that does not tell. */
    fake.fail_call = "clGetKernelWorkGroupInfo";
    ck_assert_int_eq(kd_kernel_get(c, harness_source, "idle", "label", &k), KCL_OK);
    l = kd_kernel_limits(c, k);
    ck_assert_uint_eq(l->work_group, 0);
    ck_assert_uint_eq(l->local_memory, 0);
    ck_assert_int_eq(kcl_context_status(c), KCL_OK);
    kcl_context_destroy(&c);
}
END_TEST

static const fake_device nvidia_device = {
    "NVIDIA GPU", "OpenCL 3.0 CUDA", CL_DEVICE_TYPE_GPU, 132,      1980, 1,       1,
    CL_TRUE,      CL_TRUE,           CL_FALSE,           CL_FALSE, 63,   1 << 30, (cl_ulong)1 << 28};
static const fake_platform nvidia = {"NVIDIA CUDA", "OpenCL 3.0 CUDA 12", CL_SUCCESS, 1, &nvidia_device};

START_TEST(test_registers_are_kept_with_the_entry_on_disk)
{
    for (int process = 0; process < 2; process++) {
        fake_reset();
        fake.platforms = &nvidia;
        fake.platform_count = 1;
        /* A program that is loaded has no log. */
        fake.build_log = process ? "" : ptxas_log;
        kcl_context *c = open_or_fail("gpu");
        check_twice(c);
        ck_assert_str_eq(fake.build_options, "-cl-std=CL1.2 -cl-nv-verbose");
        kcl_context_stats stats;
        kcl_context_get_stats(c, &stats);
        ck_assert_uint_eq(stats.programs_loaded, (uint64_t)process);
        kd_kernel *k;
        ck_assert_int_eq(kd_kernel_get(c, harness_source, "twice", "label", &k), KCL_OK);
        ck_assert_int_eq(kd_kernel_limits(c, k)->registers, 40);
        ck_assert_int_eq(kd_kernel_limits(c, k)->spilled, 64);
        kcl_context_destroy(&c);
        ck_assert_int_eq(fake.live, 0);
    }
    fake_reset();
    kcl_context *c = open_or_fail("2:1");
    check_twice(c);
    ck_assert_str_eq(fake.build_options, "-cl-std=CL1.2");
    kcl_context_destroy(&c);
}
END_TEST

/* The submission is as before the call: a smaller work-group may be tried, and the submission ends well. */
START_TEST(test_work_groups_that_are_too_large)
{
    static const cl_int codes[] = {CL_INVALID_WORK_GROUP_SIZE, CL_OUT_OF_RESOURCES};
    const size_t wide[3] = {128, 1, 1}, narrow[3] = {64, 1, 1};
    for (size_t e = 0; e < KB_COUNT(codes); e++) {
        kcl_context *c = open_or_fail("2:1");
        kd_kernel *twice;
        float in[N] = {1, 2}, out[N] = {0};
        const int n = N;
        const kd_arg args[] = {{KD_ARG_HOST_IN, in, sizeof in, NULL},
                               {KD_ARG_HOST_OUT, out, sizeof out, NULL},
                               {KD_ARG_VALUE, &n, sizeof n, NULL}};
        fake.most_group = 100;
        fake.group_code = codes[e];
        ck_assert_int_eq(kd_kernel_get(c, harness_source, "twice", "label", &twice), KCL_OK);
        ck_assert_int_eq(kd_launch(c, twice, 3, args, wide, wide), KCL_ERROR_UNSUPPORTED);
        HAS(kcl_context_error(c), kd_cl_error_name(codes[e]), "128 x 1 x 1", "twice");
        ck_assert_int_eq(kd_launch(c, twice, 3, args, wide, narrow), KCL_OK);
        ck_assert_int_eq(kd_finish(c), KCL_OK);
        ck_assert_float_eq(out[1], 4);
        kcl_context_destroy(&c);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_memory_holds_what_is_written,
                                  test_memory_of_a_context_that_is_none,
                                  test_submitted_work_is_not_waited_for,
                                  test_copies_do_not_pile_up,
                                  test_failures_come_late,
                                  test_memory_that_the_device_does_not_have,
                                  test_commands_that_want_memory_get_what_waits,
                                  test_everything_fails_in_turn,
                                  test_build_log_of_nvidia,
                                  test_limits_come_from_the_driver,
                                  test_registers_are_kept_with_the_entry_on_disk,
                                  test_work_groups_that_are_too_large};
    return run_tests("memory", tests, KB_COUNT(tests));
}
