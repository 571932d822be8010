/* SPDX-License-Identifier: MIT */
/*
 * Programs, failures and graphs of CUDA in the device layer, as test_cuda.c. With the argument "lacking" or "broken": what
 * serves instead of CUDA where the simulated driver that the environment names is so.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "cuda_line.h"

#include <stdio.h>
#include <string.h>

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

START_TEST(test_programs_are_kept_as_machine_code)
{
    kcl_context *c = open_on(stream, NULL);
    kcl_context_stats stats;
    check_host_line(c, 2, 1);
    kcl_context_destroy(&c);
    reset_cuda();
    c = open_on(NULL, NULL);
    check_host_line(c, 3, 1);
    OK(kcl_context_get_stats(c, &stats));
    ck_assert_uint_eq(stats.programs_built, 0);
    ck_assert_uint_eq(stats.programs_loaded, 1);
    kcl_context_destroy(&c);
    if (!fake_cuda_found)
        return;
    ck_assert_int_eq(fake_cuda_found->builds, 0);
    ck_assert_int_eq(fake_cuda_found->links, 0);
    /* A driver that refuses what is on disk builds again. */
    fake_cuda_found->fail_call = "cuModuleLoadData";
    fake_cuda_found->calls = 0;
    fake_cuda_found->fail_at = 1;
    fake_cuda_found->fail_code = CU_INVALID_IMAGE;
    c = open_on(stream, NULL);
    check_host_line(c, 4, 1);
    ck_assert_str_eq(fake_cuda_found->failed, "cuModuleLoadData");
    ck_assert_int_eq(fake_cuda_found->builds, 1);
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_the_compiler_says_what_is_wrong)
{
    kd_kernel *k;
    kcl_context *c = open_on(stream, NULL);
    ck_assert_int_eq(kd_kernel_get(c, "__kernel void f(__global float *x) { x[0] = undeclared; }", "f", "bad", &k),
                     KCL_ERROR_BUILD);
    HAS(kcl_context_error(c), "undeclared", "cuda:0");
    ck_assert_int_eq(kd_kernel_get(c, line_source, "no_such_kernel", "line", &k), KCL_ERROR_BUILD);
    check_host_line(c, 2, 2);
    kcl_context_destroy(&c);
}
END_TEST

/* ---- The simulated driver only ----------------------------------------------------------------------------------- */

START_TEST(test_a_device_without_memory)
{
    if (!fake_cuda_found)
        return;
    kcl_context *c = open_on(stream, NULL);
    fake_cuda_found->memory = sizeof xs + 100;
    ck_assert_int_eq(host_line(c, xs, got, 2, 1), KCL_ERROR_DEVICE_MEMORY);
    HAS(kcl_context_error(c), "bytes", "cuda:0");
    fake_cuda_found->memory = 1 << 30;
    check_host_line(c, 2, 1);
    kcl_context_destroy(&c);
}
END_TEST

/* A block that needs more than the device has is tried again by whoever chose the size; other failures are errors. */
START_TEST(test_launches_that_fail)
{
    static const struct {
        cu_result code;
        kcl_status status;
        const char *name;
    } cases[] = {{CU_LAUNCH_OUT_OF_RESOURCES, KCL_ERROR_UNSUPPORTED, "CL_OUT_OF_RESOURCES"},
                 {CU_OUT_OF_MEMORY, KCL_ERROR_DEVICE_MEMORY, "64 x 1 x 1"},
                 {CU_LAUNCH_FAILED, KCL_ERROR_OPENCL, "CUDA_ERROR_LAUNCH_FAILED (-10719)"},
                 {CU_ILLEGAL_ADDRESS, KCL_ERROR_OPENCL, "CUDA_ERROR_ILLEGAL_ADDRESS"}};
    if (!fake_cuda_found)
        return;
    kcl_context *c = open_on(stream, NULL);
    check_host_line(c, 2, 1);
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        fake_cuda_found->fail_call = "cuLaunchKernel";
        fake_cuda_found->fail_at = -1;
        fake_cuda_found->fail_code = cases[k].code;
        const kcl_status status = launch_line(c, &(kd_arg){KD_ARG_HOST_IN, xs, sizeof xs, NULL},
                                              &(kd_arg){KD_ARG_HOST_OUT, got, sizeof got, NULL}, 2, 1);
        ck_assert_int_eq(status, cases[k].status);
        HAS(kcl_context_error(c), cases[k].name, "kernel line", "cuda:0");
        kd_finish(c);
        fake_cuda_found->fail_at = 0;
        check_host_line(c, 3, (float)k);
    }
    kcl_context_destroy(&c);
}
END_TEST

/* What a kernel does wrong shows when the host waits, and in every call from then on. */
START_TEST(test_a_kernel_that_fails_later)
{
    if (!fake_cuda_found)
        return;
    kcl_context *c = open_on(stream, NULL);
    cu_pointer at = cuda_upload(xs, sizeof xs, stream);
    kcl_memory *x = describe(c, at), *y = describe(c, at);
    OK(line(c, x, y, 1, 0));
    OK(kcl_context_finish(c));
    CU(cuMemFreeAsync(at, stream)); /* too early */
    OK(line(c, x, y, 1, 0));
    ck_assert_int_eq(kcl_context_finish(c), KCL_ERROR_OPENCL);
    HAS(kcl_context_error(c), "clFinish", "CUDA_ERROR_ILLEGAL_ADDRESS");
    reset_cuda();
    kcl_memory_release(&x);
    kcl_memory_release(&y);
    kcl_context_destroy(&c);
}
END_TEST

static kcl_status everything(void)
{
    kcl_context *c = NULL;
    kcl_memory *m = NULL;
    kcl_status status = open_by_name(&c, "cuda:0");
    memset(got, 0, sizeof got);
    if (status >= 0)
        status = kcl_memory_create(c, sizeof xs, &m);
    if (status >= 0)
        status = host_line(c, xs, got, 2, 1);
    if (status >= 0)
        check_line(got, 2, 1);
    else
        ck_assert_uint_gt(strlen(kcl_context_error(c)), 10);
    kcl_memory_release(&m);
    kcl_context_destroy(&c);
    return status;
}

/* Makes the n-th call of a name fail (NULL: of any): false if there are fewer. Nothing is left behind. */
static bool everything_but(const char *call, int n, int *failures)
{
    void *before, *after;
    const size_t streams = fake_cuda_found->live_streams;
    CU(cuCtxGetCurrent(&before));
    fake_cuda_found->fail_call = call;
    fake_cuda_found->fail_code = CU_UNKNOWN;
    fake_cuda_found->failed = NULL;
    fake_cuda_found->calls = 0;
    fake_cuda_found->fail_at = n;
    const kcl_status status = everything();
    fake_cuda_found->fail_at = 0;
    const char *failed = fake_cuda_found->failed;
    if (!failed) {
        ck_assert_int_eq(status, KCL_OK);
        return false;
    }
    *failures += status < 0;
    CU(cuCtxGetCurrent(&after));
    ck_assert_msg(before == after, "%s (call %d) leaves another context current", failed, n);
    /* What a call did not take back stays with the driver. */
    static const char *const ends[] = {"cuMemFree_v2", "cuPointerGetAttribute", "cuModuleUnload", "cuStreamDestroy_v2",
                                       "cuCtxPushCurrent_v2"};
    for (size_t k = 0; k < KB_COUNT(ends); k++) {
        if (strcmp(failed, ends[k]) == 0) {
            fake_cuda_found->live_allocations = fake_cuda_found->live_modules = 0;
            fake_cuda_found->live_streams = streams;
        }
    }
    ck_assert_msg(!fake_cuda_found->live_allocations && !fake_cuda_found->live_modules &&
                      fake_cuda_found->live_streams == streams,
                  "%s (call %d) leaves %zu allocations, %zu modules, %zu streams", failed, n,
                  fake_cuda_found->live_allocations, fake_cuda_found->live_modules,
                  fake_cuda_found->live_streams - streams);
    return true;
}

/* Each call to the driver fails in turn: the result is right or there is an error. */
START_TEST(test_each_call_fails_in_turn)
{
    static const char *const of_builds[] = {"cuLinkCreate_v2", "cuLinkAddData_v2", "cuLinkComplete", "cuLinkDestroy",
                                            "cuModuleLoadData"};
    int failures = 0, n = 1;
    void *mine;
    if (!fake_cuda_found)
        return;
    CU(cuCtxGetCurrent(&mine));
    for (size_t k = 0; k < KB_COUNT(of_builds); k++) {
        empty_folder();
        ck_assert(everything_but(of_builds[k], 1, &failures));
    }
    while (everything_but(NULL, n, &failures))
        n++;
    ck_assert_int_gt(failures, 10);
    ck_assert_int_gt(n, 30);
    /* In a thread without a context the calls that make one current may fail as well. */
    CU(cuCtxSetCurrent(NULL));
    for (n = 1; everything_but(NULL, n, &failures); n++) {
    }
    CU(cuCtxSetCurrent(mine));
    ck_assert_int_gt(n, 40);
}
END_TEST

/* ---- Captures ---------------------------------------------------------------------------------------------------- */

/* A captured launch runs each time that the graph does, on what the memory holds then. */
START_TEST(test_a_launch_in_a_graph)
{
    kcl_context *c = open_warm(stream, NULL);
    cu_pointer at = cuda_upload(xs, sizeof xs, stream), to = cuda_upload(got, sizeof got, stream);
    kcl_memory *x = describe(c, at), *y = describe(c, to);
    void *graph, *executable;
    OK(line(c, x, y, 1, 1));
    CU(cuStreamSynchronize(stream));
    CU(cuStreamBeginCapture_v2(stream, 0));
    OK(line(c, x, y, 2, 1));
    OK(line(c, y, x, 1, 0));
    CU(cuStreamEndCapture(stream, &graph));
    CU(cuGraphInstantiateWithFlags(&executable, graph, 0));
    cuda_download(got, to, sizeof got, stream);
    check_line(got, 1, 1); /* nothing ran during the capture */
    for (int k = 0; k < 3; k++)
        CU(cuGraphLaunch(executable, stream));
    cuda_download(got, at, sizeof got, stream);
    check_line(got, 8, 7); /* x becomes 2 x + 1 three times */
    CU(cuGraphExecDestroy(executable));
    CU(cuGraphDestroy(graph));
    kcl_memory_release(&x);
    kcl_memory_release(&y);
    kcl_context_destroy(&c);
    CU(cuMemFree_v2(at));
    CU(cuMemFree_v2(to));
}
END_TEST

/* ---- Without CUDA ------------------------------------------------------------------------------------------------ */

static int count_lines(const char *part)
{
    int count = 0;
    for (const char *p = strstr(cuda_log, part); p; p = strstr(p + 1, part))
        count++;
    return count;
}

/* The card's OpenCL computes, with copies; the log tells so once, and why. */
static void check_fallback(const char *why)
{
    kcl_context *c;
    kcl_device_info info;
    ck_assert_msg(open_by_name(&c, "cuda:0") == KCL_OK, "%s", kcl_context_error(c));
    OK(kcl_context_device_info(c, &info));
    ck_assert_str_eq(info.platform, "NVIDIA CUDA");
    check_host_line(c, 2, 1);
    ck_assert_msg(count_lines(why) == 1, "%s", cuda_log);
    HAS(cuda_log, "OpenCL");
    kcl_context_destroy(&c);
    ck_assert_int_eq(kcl_cuda_context_create(&c, NULL, NULL), KCL_ERROR_NO_DEVICE);
    HAS(kcl_context_error(c), why);
    kcl_context_destroy(&c);
}

START_TEST(test_a_driver_that_lacks_a_function)
{
    check_fallback("lacks the function cuLinkComplete");
}
END_TEST

START_TEST(test_a_driver_that_does_not_start)
{
    check_fallback("cuInit failed");
}
END_TEST

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (*what) {
        kcl_device_info infos[8];
        const TTest *const tests[] = {*what == 'l' ? test_a_driver_that_lacks_a_function
                                                   : test_a_driver_that_does_not_start};
        /* The interpreter is always there. */
        if (kcl_device_list(infos, 8) < 2) {
            printf("SKIPPED: there is no OpenCL CPU\n");
            return 77;
        }
        return run_on_cuda("without CUDA", tests, KB_COUNT(tests), false);
    }
    if (!open_cuda())
        return 77;
    const TTest *const tests[] = {test_programs_are_kept_as_machine_code,
                                  test_the_compiler_says_what_is_wrong,
                                  test_a_device_without_memory,
                                  test_launches_that_fail,
                                  test_a_kernel_that_fails_later,
                                  test_each_call_fails_in_turn,
                                  test_a_launch_in_a_graph};
    return run_on_cuda("programs on CUDA", tests, KB_COUNT(tests), true);
}
