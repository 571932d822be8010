/* SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "cuda_line.h"

#include <string.h>

enum { GROUP = 64 };

/* y = a * x + b: exact for the numbers here, so that every device gives the same. */
const char line_source[] =
    "__kernel void line(__global const float *x, __global float *y, float a, float b, int n)\n"
    "{\n"
    "    int i = get_global_id(0);\n"
    "    if (i < n)\n"
    "        y[i] = a * x[i] + b;\n"
    "}\n";

float xs[N], got[N];
void *stream;

static void setup(void)
{
    harness_setup();
    reset_cuda();
    cuda_log[0] = 0;
    for (int i = 0; i < N; i++)
        xs[i] = (float)i;
    memset(got, 0, sizeof got);
    CU(cuStreamCreate(&stream, 1));
}

/* Whatever a test does, nothing is left on the device, and nothing was written beside memory. */
static void teardown(void)
{
    CU(cuStreamSynchronize(stream));
    CU(cuStreamDestroy_v2(stream));
    harness_teardown();
    if (!fake_cuda_found)
        return;
    const fake_cuda_state seen = *fake_cuda_found;
    fake_cuda_found->live_allocations = fake_cuda_found->live_modules = 0;
    fake_cuda_found->live_streams = 0;
    ck_assert_uint_eq(seen.live_allocations, 0);
    ck_assert_uint_eq(seen.live_modules, 0);
    ck_assert_uint_eq(seen.live_streams, 0);
    ck_assert_int_eq(seen.overruns, 0);
    ck_assert_int_eq(seen.early_unloads, 0);
}

kcl_status launch_line(kcl_context *c, const kd_arg *x, const kd_arg *y, float a, float b)
{
    const size_t local[3] = {GROUP, 1, 1}, global[3] = {(N + GROUP - 1) / GROUP * GROUP, 1, 1};
    const int n = N;
    kd_kernel *k;
    const kcl_status status = kd_kernel_get(c, line_source, "line", "line", &k);
    return status < 0 ? status
                      : kd_launch(c, k, 5,
                                  (kd_arg[]){*x,
                                             *y,
                                             {KD_ARG_VALUE, &a, sizeof a, NULL},
                                             {KD_ARG_VALUE, &b, sizeof b, NULL},
                                             {KD_ARG_VALUE, &n, sizeof n, NULL}},
                                  global, local);
}

/* Between device memories, without waiting. */
kcl_status line(kcl_context *c, const kcl_memory *x, const kcl_memory *y, float a, float b)
{
    kcl_status status = launch_line(c, &(kd_arg){KD_ARG_BUFFER, NULL, 0, kd_memory_buffer(x)},
                                    &(kd_arg){KD_ARG_BUFFER, NULL, 0, kd_memory_buffer(y)}, a, b);
    const kcl_status end = kd_submit(c);
    return status < 0 ? status : end;
}

/* Between arrays of the host. */
kcl_status host_line(kcl_context *c, const float *x, float *y, float a, float b)
{
    kcl_status status = launch_line(c, &(kd_arg){KD_ARG_HOST_IN, x, N * sizeof *x, NULL},
                                    &(kd_arg){KD_ARG_HOST_OUT, y, N * sizeof *y, NULL}, a, b);
    const kcl_status end = kd_finish(c);
    return status < 0 ? status : end;
}

/* Checks numbers against the plain loop. */
void check_line(const float *y, float a, float b)
{
    for (int i = 0; i < N; i++)
        ck_assert_float_eq(y[i], a * xs[i] + b);
}

void check_host_line(kcl_context *c, float a, float b)
{
    memset(got, 0, sizeof got);
    OK(host_line(c, xs, got, a, b));
    check_line(got, a, b);
}

/* A context that has its program: the first call compiles, and waits until the program can be kept. */
kcl_context *open_warm(void *on, const kcl_context *share)
{
    kcl_context *c = open_on(on, share);
    check_host_line(c, 7, 5);
    memset(got, 0, sizeof got);
    return c;
}

kcl_memory *describe(kcl_context *c, cu_pointer at)
{
    kcl_memory *m;
    OK(kcl_cuda_memory(c, cuda_pointer(at), sizeof xs, &m));
    return m;
}

kcl_status open_by_name(kcl_context **c, const char *name)
{
    return kcl_context_create(c, &(kcl_context_params){.device = name, .log = cuda_collect});
}

int run_on_cuda(const char *name, const TTest *const *tests, size_t count, bool on_cuda)
{
    Suite *suite = suite_create(name);
    for (size_t k = 0; k < count; k++) {
        TCase *tc = tcase_create(tests[k]->name); /* CK_RUN_CASE=NAME runs one */
        tcase_add_checked_fixture(tc, on_cuda ? setup : harness_setup, on_cuda ? teardown : harness_teardown);
        tcase_set_timeout(tc, 0);
        tcase_add_test(tc, tests[k]);
        suite_add_tcase(suite, tc);
    }
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
