/* SPDX-License-Identifier: MIT */
/*
 * Devices, streams and memory of CUDA in the device layer: on the simulated driver, or on a real one, where tests that
 * need the simulation are left out. Exits with 77 (skipped) without a driver. Tests run in one process: drivers do not
 * survive fork.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "cuda_line.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Devices ----------------------------------------------------------------------------------------------------- */

START_TEST(test_names_of_devices)
{
    int count = 0;
    CU(cuDeviceGetCount(&count));
    for (int k = -1; k < count; k++) {
        kcl_context *c;
        kcl_device_info info;
        char id[32], wish[32], name[256];
        snprintf(id, sizeof id, "cuda:%d", KB_MAX(k, 0));
        snprintf(wish, sizeof wish, k < 0 ? "CUDA" : "Cuda:%d", k);
        ck_assert_msg(open_by_name(&c, wish) == KCL_OK, "%s: %s", wish, kcl_context_error(c));
        OK(kcl_context_device_info(c, &info));
        CU(cuDeviceGetName(name, sizeof name, k < 0 ? (cu_device)strtol(info.id + 5, NULL, 10) : k));
        ck_assert_str_eq(info.name, name);
        ck_assert_str_eq(info.type, "gpu");
        if (k >= 0)
            ck_assert_str_eq(info.id, id);
        else
            ck_assert_int_eq(strncmp(info.id, "cuda:", 5), 0);
        check_host_line(c, 2, 1);
        kcl_context_destroy(&c);
    }
    char beyond[32];
    kcl_context *c;
    snprintf(beyond, sizeof beyond, "cuda:%d", count);
    setenv("KEOPSCL_DEVICE", beyond, 1);
    ck_assert_int_eq(open_by_name(&c, NULL), KCL_ERROR_NO_DEVICE);
    HAS(kcl_context_error(c), "KEOPSCL_DEVICE=\"cuda:", "cuda:0");
    kcl_context_destroy(&c);
    unsetenv("KEOPSCL_DEVICE");
}
END_TEST

START_TEST(test_devices_that_are_listed)
{
    kcl_device_info infos[64];
    const int count = kcl_device_list(infos, 64);
    int cuda = 0, expected = 0;
    CU(cuDeviceGetCount(&expected));
    ck_assert_int_gt(count, 0);
    for (int k = 0; k < KB_MIN(count, 64); k++)
        cuda += strncmp(infos[k].id, "cuda:", 5) == 0;
    ck_assert_int_eq(cuda, expected);
}
END_TEST

/* ---- Contexts on streams ----------------------------------------------------------------------------------------- */

/* The handles of streams: one of the user, the default one, and the two names that it has. */
START_TEST(test_contexts_on_streams)
{
    void *const streams[] = {stream, NULL, (void *)1, (void *)2};
    for (size_t k = 0; k < KB_COUNT(streams); k++) {
        kcl_context *c = open_warm(streams[k], NULL);
        cu_pointer at = cuda_upload(xs, sizeof xs, streams[k]), to = cuda_upload(got, sizeof got, streams[k]);
        kcl_memory *x = describe(c, at), *y = describe(c, to);
        reset_cuda();
        OK(line(c, x, y, 3, (float)k));
        if (fake_cuda_found) {
            ck_assert_int_eq(fake_cuda_found->waits, 0);
            ck_assert_uint_eq(fake_cuda_found->command_count, 1);
            ck_assert_str_eq(fake_cuda_found->commands[0].call, "cuLaunchKernel");
            ck_assert_ptr_eq(fake_cuda_found->commands[0].stream, streams[k]);
        }
        cuda_download(got, to, sizeof got, streams[k]);
        check_line(got, 3, (float)k);
        kcl_memory_release(&x);
        kcl_memory_release(&y);
        kcl_context_destroy(&c);
        CU(cuMemFree_v2(at));
        CU(cuMemFree_v2(to));
    }
}
END_TEST

START_TEST(test_streams_and_devices_that_do_not_belong_together)
{
    int count = 0;
    void *other, *foreign;
    kcl_context *c;
    CU(cuDeviceGetCount(&count));
    ck_assert_int_eq(kcl_cuda_context_create(&c, NULL, &(kcl_cuda_params){.device = count}), KCL_ERROR_NO_DEVICE);
    HAS(kcl_context_error(c), "kcl_cuda_params.device");
    kcl_context_destroy(&c);
    if (count < 2) {
        printf("streams of another device: SKIPPED: there is one device\n");
        return;
    }
    CU(cuDevicePrimaryCtxRetain(&other, 1));
    CU(cuCtxPushCurrent_v2(other));
    CU(cuStreamCreate(&foreign, 1));
    cu_pointer there = cuda_upload(xs, sizeof xs, foreign);
    CU(cuCtxPopCurrent_v2(NULL));
    ck_assert_int_eq(kcl_cuda_context_create(&c, NULL, &(kcl_cuda_params){.stream = foreign}), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(c), "stream", "device");
    kcl_context_destroy(&c);

    kcl_context *a = open_on(stream, NULL);
    ck_assert_int_eq(kcl_cuda_context_create(&c, NULL, &(kcl_cuda_params){.device = 1, .stream = foreign, .share = a}),
                     KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(c), "share", "cuda:0", "cuda:1");
    kcl_context_destroy(&c);

    kcl_memory *m;
    ck_assert_int_eq(kcl_cuda_memory(a, cuda_pointer(there), sizeof xs, &m), KCL_ERROR_ARGUMENT);
    ck_assert_ptr_null(m);
    HAS(kcl_context_error(a), "cuda:0", "cuda:1");
    check_host_line(a, 5, 2);
    kcl_context_destroy(&a);

    CU(cuCtxPushCurrent_v2(other));
    CU(cuMemFree_v2(there));
    CU(cuStreamDestroy_v2(foreign));
    CU(cuCtxPopCurrent_v2(NULL));
    CU(cuDevicePrimaryCtxRelease_v2(1));
}
END_TEST

/* The current context of the thread is what it was, whatever it was. */
START_TEST(test_the_current_context_is_left_alone)
{
    int count = 0;
    void *mine, *others[2] = {NULL, NULL}, *now;
    CU(cuDeviceGetCount(&count));
    CU(cuCtxGetCurrent(&mine));
    if (count > 1)
        CU(cuDevicePrimaryCtxRetain(&others[1], 1));
    kcl_context *c = open_on(stream, NULL);
    for (int k = 0; k < KB_MIN(count, 2); k++) {
        if (others[k])
            CU(cuCtxPushCurrent_v2(others[k]));
        else
            CU(cuCtxSetCurrent(NULL));
        check_host_line(c, 2, 7);
        kcl_memory *m;
        OK(kcl_memory_create(c, sizeof xs, &m));
        kcl_memory_release(&m);
        kcl_context *shared;
        ck_assert_int_eq(kcl_context_create_shared(&shared, c), KCL_OK);
        check_host_line(shared, 2, 8);
        kcl_context_destroy(&shared);
        CU(cuCtxGetCurrent(&now));
        ck_assert_ptr_eq(now, others[k]);
        if (others[k])
            CU(cuCtxPopCurrent_v2(NULL));
        else
            CU(cuCtxSetCurrent(mine));
    }
    kcl_context_destroy(&c);
    CU(cuCtxGetCurrent(&now));
    ck_assert_ptr_eq(now, mine);
    if (count > 1)
        CU(cuDevicePrimaryCtxRelease_v2(1));
}
END_TEST

/* ---- Memory of users --------------------------------------------------------------------------------------------- */

START_TEST(test_memory_of_users)
{
    kcl_context *c = open_on(stream, NULL);
    kcl_memory *m = NULL, *x, *y;
    float both[2 * N];
    /* Pointers into the middle of an allocation, at any element. */
    cu_pointer at = cuda_upload(xs, sizeof xs, stream), to;
    CU(cuMemAlloc_v2(&to, sizeof both));
    for (int shift = 0; shift < 5; shift++) {
        x = describe(c, at);
        y = describe(c, to + sizeof(float) * (size_t)shift);
        ck_assert_uint_eq(kcl_memory_size(y), sizeof xs);
        OK(line(c, x, y, 2, (float)shift));
        kcl_memory_release(&x);
        kcl_memory_release(&y);
        cuda_download(both, to, sizeof both, stream);
        check_line(both + shift, 2, (float)shift);
    }
    OK(kcl_cuda_memory(c, NULL, 0, &m));
    kcl_memory_release(&m);
    ck_assert_int_eq(kcl_cuda_memory(c, xs, sizeof xs, &m), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(c), "kcl_cuda_memory", "no memory of a CUDA device");
    ck_assert_int_eq(kcl_cuda_memory(c, cuda_pointer(at), sizeof xs, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_cuda_memory(NULL, cuda_pointer(at), sizeof xs, &m), KCL_ERROR_ARGUMENT);
    kcl_context *host;
    ck_assert_int_eq(kcl_context_create(&host, &(kcl_context_params){.device = "host"}), KCL_OK);
    ck_assert_int_eq(kcl_cuda_memory(host, cuda_pointer(at), sizeof xs, &m), KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(host), "host");
    kcl_context_destroy(&host);
    /* Descriptions that outlive their context. */
    y = describe(c, to);
    kcl_context_destroy(&c);
    kcl_memory_release(&y);
    CU(cuMemFree_v2(at));
    CU(cuMemFree_v2(to));
}
END_TEST

/* The user frees in the order of the stream as soon as the call has returned, and others may have the memory then. */
START_TEST(test_memory_that_is_freed_at_once)
{
    kcl_context *c = open_warm(stream, NULL);
    if (fake_cuda_found)
        fake_cuda_found->delay = 300;
    for (int round = 0; round < 20; round++) {
        cu_pointer at, to;
        const float a = (float)(round + 2);
        CU(cuMemAllocAsync(&at, sizeof xs, stream));
        CU(cuMemAllocAsync(&to, sizeof xs, stream));
        CU(cuMemcpyHtoDAsync_v2(at, xs, sizeof xs, stream));
        kcl_memory *x = describe(c, at), *y = describe(c, to);
        const int waits = fake_cuda_found ? fake_cuda_found->waits : 0;
        OK(line(c, x, y, a, 1));
        kcl_memory_release(&x);
        CU(cuMemFreeAsync(at, stream));
        CU(cuMemcpyDtoHAsync_v2(got, to, sizeof got, stream));
        kcl_memory_release(&y);
        CU(cuMemFreeAsync(to, stream));
        if (fake_cuda_found)
            ck_assert_int_eq(fake_cuda_found->waits, waits);
        CU(cuStreamSynchronize(stream));
        check_line(got, a, 1);
    }
    kcl_context_destroy(&c);
}
END_TEST

/* Numbers go to and fro between two streams, which wait for each other by events and not through the host. */
START_TEST(test_two_streams_in_turn)
{
    enum { ROUNDS = 1000 };
    kcl_context *contexts[2];
    kcl_memory *memories[2][2];
    void *streams[2] = {stream, NULL}, *events[2];
    cu_pointer at[2];
    static float want[N];
    CU(cuStreamCreate(&streams[1], 1));
    at[0] = cuda_upload(xs, sizeof xs, stream);
    at[1] = cuda_upload(got, sizeof got, stream);
    memcpy(want, xs, sizeof want);
    for (int k = 0; k < 2; k++) {
        contexts[k] = open_warm(streams[k], k ? contexts[0] : NULL);
        CU(cuEventCreate(&events[k], 0));
        for (int m = 0; m < 2; m++)
            memories[k][m] = describe(contexts[k], at[m]);
    }
    const int waits = fake_cuda_found ? fake_cuda_found->waits : 0;
    for (int round = 0; round < ROUNDS; round++) {
        const int k = round % 2;
        kcl_context *c = contexts[k];
        /* The order of the steps shows in the result. */
        const float a = k ? 0.5F : -1, b = (float)(round % 7);
        OK(line(c, memories[k][k], memories[k][!k], a, b));
        CU(cuEventRecord(events[k], streams[k]));
        CU(cuStreamWaitEvent(streams[!k], events[k], 0));
        for (int i = 0; i < N; i++)
            want[i] = a * want[i] + b;
    }
    if (fake_cuda_found) {
        ck_assert_int_eq(fake_cuda_found->waits, waits);
        ck_assert_int_eq(fake_cuda_found->builds, 1);
    }
    cuda_download(got, at[ROUNDS % 2], sizeof got, streams[1]);
    for (int i = 0; i < N; i++)
        ck_assert_float_eq_tol(got[i], want[i], 1e-5F * (1 + (want[i] < 0 ? -want[i] : want[i])));
    for (int k = 0; k < 2; k++) {
        kcl_memory_release(&memories[k][0]);
        kcl_memory_release(&memories[k][1]);
        kcl_context_destroy(&contexts[k]);
        CU(cuEventDestroy_v2(events[k]));
        CU(cuMemFree_v2(at[k]));
    }
    CU(cuStreamDestroy_v2(streams[1]));
}
END_TEST

typedef struct worker {
    kcl_context *context;
    kcl_status status;
    bool is_right;
} worker;

static void *work(void *user)
{
    worker *w = user;
    float y[N];
    w->is_right = true;
    for (int round = 0; round < 50 && w->status >= 0; round++) {
        const float a = (float)round;
        w->status = host_line(w->context, xs, y, a, 3);
        for (int i = 0; i < N; i++)
            w->is_right &= y[i] == a * xs[i] + 3;
    }
    return NULL;
}

/* Threads to which the driver's context is not current, each with a stream, on shared programs. */
START_TEST(test_threads_with_streams)
{
    enum { THREADS = 4 };
    worker workers[THREADS] = {{NULL, KCL_OK, false}};
    pthread_t threads[THREADS];
    void *streams[THREADS];
    for (int k = 0; k < THREADS; k++) {
        CU(cuStreamCreate(&streams[k], 1));
        workers[k].context = open_on(streams[k], k ? workers[0].context : NULL);
    }
    for (int k = 0; k < THREADS; k++)
        ck_assert_int_eq(pthread_create(&threads[k], NULL, work, &workers[k]), 0);
    for (int k = 0; k < THREADS; k++)
        ck_assert_int_eq(pthread_join(threads[k], NULL), 0);
    for (int k = THREADS - 1; k >= 0; k--) {
        ck_assert_msg(workers[k].status >= 0, "%s", kcl_context_error(workers[k].context));
        ck_assert(workers[k].is_right);
        kcl_context_destroy(&workers[k].context);
        CU(cuStreamDestroy_v2(streams[k]));
    }
}
END_TEST

/* ---- Allocators of users ----------------------------------------------------------------------------------------- */

static kcl_context *open_with_pool(cuda_pool *pool)
{
    kcl_context *c;
    const kcl_cuda_params params = {
        .stream = pool->stream, .allocate = pool_allocate, .release = pool_release, .user = pool};
    ck_assert_msg(kcl_cuda_context_create(&c, &(kcl_context_params){.log = cuda_collect}, &params) == KCL_OK, "%s",
                  kcl_context_error(c));
    return c;
}

START_TEST(test_memory_comes_from_the_allocator)
{
    cuda_pool pool = {.stream = stream};
    kcl_context *c = open_with_pool(&pool);
    if (fake_cuda_found)
        fake_cuda_found->delay = 200;
    for (int round = 0; round < 10; round++) {
        kd_buffer *between;
        cu_pointer at = cuda_upload(xs, sizeof xs, stream), to = cuda_upload(got, sizeof got, stream);
        kcl_memory *x = describe(c, at), *y = describe(c, to);
        const size_t bytes = sizeof xs + (size_t)round * 4096;
        OK(kd_buffer_create(c, bytes, &between));
        const kd_arg place = {KD_ARG_BUFFER, NULL, 0, between};
        OK(launch_line(c, &(kd_arg){KD_ARG_BUFFER, NULL, 0, kd_memory_buffer(x)}, &place, 2, 1));
        OK(launch_line(c, &place, &(kd_arg){KD_ARG_BUFFER, NULL, 0, kd_memory_buffer(y)}, 4, (float)round));
        kd_buffer_release(c, &between);
        OK(kd_submit(c));
        /* Memory that waits for use is given back in the order of the stream: the results do not show it. */
        kd_drop_unused(c);
        ck_assert_uint_eq(pool.live, 0);
        cuda_download(got, to, sizeof got, stream);
        check_line(got, 8, 4 + (float)round);
        kcl_memory_release(&x);
        kcl_memory_release(&y);
        CU(cuMemFree_v2(at));
        CU(cuMemFree_v2(to));
    }
    ck_assert_int_gt(pool.allocations, 0);
    kcl_context_destroy(&c);
    ck_assert_int_eq(pool.allocations, pool.releases);
}
END_TEST

START_TEST(test_an_allocator_that_has_no_memory)
{
    cuda_pool pool = {.stream = stream};
    kcl_context *c = open_with_pool(&pool);
    check_host_line(c, 2, 1);
    const int needed = pool.allocations;
    ck_assert_int_gt(needed, 0);
    for (int n = 1; n <= needed; n++) {
        kd_drop_unused(c);
        pool.allocations = pool.releases = 0;
        pool.fail_at = n;
        ck_assert_int_eq(host_line(c, xs, got, 2, 1), KCL_ERROR_DEVICE_MEMORY);
        HAS(kcl_context_error(c), "bytes", "cuda:0");
        pool.fail_at = 0;
        check_host_line(c, 3, (float)n);
    }
    kcl_context_destroy(&c);
    ck_assert_uint_eq(pool.live, 0);
}
END_TEST

START_TEST(test_one_of_two_callbacks)
{
    kcl_context *c;
    ck_assert_int_eq(kcl_cuda_context_create(&c, NULL, &(kcl_cuda_params){.allocate = pool_allocate}),
                     KCL_ERROR_ARGUMENT);
    HAS(kcl_context_error(c), "allocate", "release");
    kcl_context_destroy(&c);
}
END_TEST

int main(void)
{
    if (!open_cuda())
        return 77;
    const TTest *const tests[] = {test_names_of_devices,
                                  test_devices_that_are_listed,
                                  test_contexts_on_streams,
                                  test_streams_and_devices_that_do_not_belong_together,
                                  test_the_current_context_is_left_alone,
                                  test_memory_of_users,
                                  test_memory_that_is_freed_at_once,
                                  test_two_streams_in_turn,
                                  test_threads_with_streams,
                                  test_memory_comes_from_the_allocator,
                                  test_an_allocator_that_has_no_memory,
                                  test_one_of_two_callbacks};
    return run_on_cuda("CUDA", tests, KB_COUNT(tests), true);
}
