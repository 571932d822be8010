/* SPDX-License-Identifier: MIT */
/*
 * Operators on memory and streams of CUDA: on the simulated driver, or on a real one, where tests that need the
 * simulation are left out. Exits with 77 (skipped) without a driver.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "on_cuda.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Few rows and many columns: the columns are taken in parts, whose results lie in memory between the two launches. */
enum { M = 37, N = 6000, D = 3 };

static const char gauss[] = "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)";
static const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(1)", "g=Pm(1)"};

static double x[M][D], y[N][D], b[N], got[M], want[M];
static void *stream;
static kcl_operator *op;
static kcl_context *c;

#define OK(call) ck_assert_msg((call) == KCL_OK, "%s", kcl_context_error(c))

static void setup(void)
{
    reset_cuda();
    cuda_log[0] = 0;
    seed_random(test_seed());
    for (int i = 0; i < M; i++)
        for (int k = 0; k < D; k++)
            x[i][k] = uniform(-1, 1);
    for (int j = 0; j < N; j++) {
        for (int k = 0; k < D; k++)
            y[j][k] = uniform(-1, 1);
        b[j] = uniform(-1, 1);
    }
    CU(cuStreamCreate(&stream, 1));
    ck_assert_int_eq(kcl_operator_create(&op, gauss, 4, aliases, NULL), KCL_OK);
}

static void teardown(void)
{
    kcl_operator_destroy(&op);
    CU(cuStreamSynchronize(stream));
    CU(cuStreamDestroy_v2(stream));
    if (!fake_cuda_found)
        return;
    const size_t live = fake_cuda_found->live_allocations;
    fake_cuda_found->live_allocations = 0;
    ck_assert_uint_eq(live, 0);
    ck_assert_int_eq(fake_cuda_found->overruns, 0);
}

static void plain_loop(double g)
{
    for (int i = 0; i < M; i++) {
        want[i] = 0;
        for (int j = 0; j < N; j++) {
            double square = 0;
            for (int k = 0; k < D; k++)
                square += (x[i][k] - y[j][k]) * (x[i][k] - y[j][k]);
            want[i] += exp(-g * square) * b[j];
        }
    }
}

static void check_sums(double g)
{
    plain_loop(g);
    for (int i = 0; i < M; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= 1e-9 * (1 + fabs(want[i])), "row %d, g %g: %.17g, not %.17g", i, g,
                      got[i], want[i]);
}

/* What the user has on the device, and the descriptions of it in a context. */
typedef struct points {
    cu_pointer x, y, b, out;
    kcl_memory *memories[4];
    kcl_array arrays[4];
} points;

static kcl_array describe(kcl_context *context, cu_pointer at, size_t bytes, int64_t rows, int64_t dim, kcl_memory **m)
{
    ck_assert_msg(kcl_cuda_memory(context, cuda_pointer(at), bytes, m) == KCL_OK, "%s", kcl_context_error(context));
    return kcl_array_in(*m, 0, KCL_F64, 2, (int64_t[]){rows, dim});
}

static void put_points(points *p, void *on)
{
    p->x = cuda_upload(x, sizeof x, on);
    p->y = cuda_upload(y, sizeof y, on);
    p->b = cuda_upload(b, sizeof b, on);
    p->out = cuda_upload(got, sizeof got, on);
}

static void describe_points(points *p, kcl_context *context)
{
    p->arrays[0] = describe(context, p->x, sizeof x, M, D, &p->memories[0]);
    p->arrays[1] = describe(context, p->y, sizeof y, N, D, &p->memories[1]);
    p->arrays[2] = describe(context, p->b, sizeof b, N, 1, &p->memories[2]);
    p->arrays[3] = describe(context, p->out, sizeof got, M, 1, &p->memories[3]);
}

static void forget_points(points *p)
{
    for (int k = 0; k < 4; k++)
        kcl_memory_release(&p->memories[k]);
}

static void free_points(const points *p)
{
    CU(cuMemFree_v2(p->x));
    CU(cuMemFree_v2(p->y));
    CU(cuMemFree_v2(p->b));
    CU(cuMemFree_v2(p->out));
}

/* The sums, from device arrays to a device array. */
static kcl_status sums(kcl_context *context, const points *p, double g)
{
    const kcl_array *out = &p->arrays[3];
    return kcl_operator_apply(op, context, &out, 1,
                              (const kcl_array *[]){&p->arrays[0], &p->arrays[1], &p->arrays[2], kcl_f64(&g, 1)}, 4);
}

static kcl_context *open_with_pool(cuda_pool *pool)
{
    kcl_context *context;
    const kcl_cuda_params params = {
        .stream = pool->stream, .allocate = pool_allocate, .release = pool_release, .user = pool};
    ck_assert_msg(kcl_cuda_context_create(&context, NULL, &params) == KCL_OK, "%s", kcl_context_error(context));
    return context;
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

/* No wait, one compilation, and the host's scalar may change at once. */
START_TEST(test_device_arrays_are_not_waited_for)
{
    points p;
    c = open_on(stream, NULL);
    put_points(&p, stream);
    describe_points(&p, c);
    OK(sums(c, &p, 1));
    OK(kcl_context_finish(c));
    reset_cuda();
    for (int k = 0; k < 5; k++) {
        const double g = 0.5 + k;
        const int waits = fake_cuda_found ? fake_cuda_found->waits : 0;
        OK(sums(c, &p, g));
        if (fake_cuda_found)
            ck_assert_int_eq(fake_cuda_found->waits, waits);
        cuda_download(got, p.out, sizeof got, stream);
        check_sums(g);
    }
    /* An output of the host is there when the call returns. */
    const kcl_array *to_host = kcl_f64(got, M);
    const double g = 0.25;
    memset(got, 0, sizeof got);
    OK(kcl_operator_apply(op, c, &to_host, 1,
                          (const kcl_array *[]){&p.arrays[0], kcl_f64(&y[0][0], N, D), &p.arrays[2], kcl_f64(&g, 1)},
                          4));
    check_sums(g);
    forget_points(&p);
    kcl_context_destroy(&c);
    free_points(&p);
}
END_TEST

/*
 * Two streams with an allocator each, in turn, on points that the other stream has moved and that are freed as soon as
 * the call has returned. Temporaries of one call may have the memory of what was freed.
 */
START_TEST(test_two_streams_with_allocators)
{
    enum { ROUNDS = 100 };
    cuda_pool pools[2] = {{.stream = stream}};
    kcl_context *contexts[2];
    static double results[ROUNDS][M];
    void *event;
    CU(cuStreamCreate(&pools[1].stream, 1));
    CU(cuEventCreate(&event, 0));
    for (int k = 0; k < 2; k++)
        contexts[k] = open_with_pool(&pools[k]);
    if (fake_cuda_found)
        fake_cuda_found->delay = 50;
    for (int round = 0; round < ROUNDS; round++) {
        cuda_pool *mine = &pools[round % 2], *other = &pools[!(round % 2)];
        points p;
        c = contexts[round % 2];
        /* The other stream has the data, this one computes, and frees. */
        CU(cuMemAllocAsync(&p.x, sizeof x, other->stream));
        CU(cuMemAllocAsync(&p.y, sizeof y, other->stream));
        CU(cuMemAllocAsync(&p.b, sizeof b, other->stream));
        CU(cuMemAllocAsync(&p.out, sizeof got, other->stream));
        CU(cuMemcpyHtoDAsync_v2(p.x, x, sizeof x, other->stream));
        CU(cuMemcpyHtoDAsync_v2(p.y, y, sizeof y, other->stream));
        CU(cuMemcpyHtoDAsync_v2(p.b, b, sizeof b, other->stream));
        CU(cuEventRecord(event, other->stream));
        CU(cuStreamWaitEvent(mine->stream, event, 0));
        describe_points(&p, c);
        OK(sums(c, &p, 1 + round % 3));
        forget_points(&p);
        CU(cuMemcpyDtoHAsync_v2(results[round], p.out, sizeof got, mine->stream));
        CU(cuMemFreeAsync(p.x, mine->stream));
        CU(cuMemFreeAsync(p.y, mine->stream));
        CU(cuMemFreeAsync(p.b, mine->stream));
        CU(cuMemFreeAsync(p.out, mine->stream));
    }
    for (int k = 0; k < 2; k++) {
        CU(cuStreamSynchronize(pools[k].stream));
        kcl_context_destroy(&contexts[k]);
        ck_assert_int_gt(pools[k].allocations, 0);
        ck_assert_uint_eq(pools[k].live, 0);
        CU(cuStreamSynchronize(pools[k].stream));
    }
    for (int g = 1; g <= 3; g++) {
        plain_loop(g);
        for (int round = g - 1; round < ROUNDS; round += 3)
            for (int i = 0; i < M; i++)
                ck_assert_msg(fabs(results[round][i] - want[i]) <= 1e-9 * (1 + fabs(want[i])),
                              "round %d, row %d: %.17g, not %.17g", round, i, results[round][i], want[i]);
    }
    CU(cuEventDestroy_v2(event));
    CU(cuStreamDestroy_v2(pools[1].stream));
}
END_TEST

/* Each allocation fails in turn: the call tells so, and the next call computes. */
START_TEST(test_each_allocation_fails_in_turn)
{
    cuda_pool pool = {.stream = stream};
    points p;
    int n = 1, failures = 0;
    put_points(&p, stream);
    for (bool more = true; more; n++) {
        c = open_with_pool(&pool);
        describe_points(&p, c);
        pool.allocations = 0;
        pool.fail_at = n;
        const kcl_status status = sums(c, &p, 1);
        more = pool.allocations >= n;
        if (status < 0) {
            ck_assert_int_eq(status, KCL_ERROR_DEVICE_MEMORY);
            ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "bytes were requested"));
            failures++;
        }
        pool.fail_at = 0;
        OK(sums(c, &p, 2));
        cuda_download(got, p.out, sizeof got, stream);
        check_sums(2);
        forget_points(&p);
        kcl_context_destroy(&c);
        ck_assert_uint_eq(pool.live, 0);
    }
    ck_assert_int_gt(failures, 0);
    free_points(&p);
}
END_TEST

/* A call that was made before becomes part of a graph, with the scalar that it had, on what the arrays hold later. */
START_TEST(test_a_call_in_a_graph)
{
    points p;
    void *graph, *executable;
    c = open_on(stream, NULL);
    put_points(&p, stream);
    describe_points(&p, c);
    OK(sums(c, &p, 1));
    CU(cuStreamSynchronize(stream));
    CU(cuStreamBeginCapture_v2(stream, 0));
    OK(sums(c, &p, 0.75));
    CU(cuStreamEndCapture(stream, &graph));
    CU(cuGraphInstantiateWithFlags(&executable, graph, 0));
    /* What the graph uses stays, whatever the context lets go of. */
    OK(kcl_context_drop_programs(c));
    for (int round = 0; round < 3; round++) {
        for (int j = 0; j < N; j++)
            b[j] = uniform(-1, 1);
        CU(cuMemcpyHtoDAsync_v2(p.b, b, sizeof b, stream));
        CU(cuGraphLaunch(executable, stream));
        cuda_download(got, p.out, sizeof got, stream);
        check_sums(0.75);
        /* Calls beside the graph have scalars of their own. */
        OK(sums(c, &p, 3));
        cuda_download(got, p.out, sizeof got, stream);
        check_sums(3);
    }
    CU(cuGraphExecDestroy(executable));
    CU(cuGraphDestroy(graph));
    forget_points(&p);
    kcl_context_destroy(&c);
    free_points(&p);
}
END_TEST

/*
 * An allocator that keeps memory for a graph apart, as PyTorch's does: what is allocated during the capture is the
 * graph's, and what is given back then and was allocated before goes to others at once.
 */
enum { MOST_OF_GRAPH = 64 };
static struct {
    cuda_pool pool;
    bool captures;
    void *of_graph[MOST_OF_GRAPH], *of_others[MOST_OF_GRAPH];
    int graph_count, other_count;
} apart;

static void *apart_allocate(void *user, size_t bytes)
{
    cu_pointer pointer = 0;
    int mode = 2; /* relaxed: allocations are no part of the graph */
    (void)user;
    if (!apart.captures)
        return pool_allocate(&apart.pool, bytes);
    ck_assert_int_lt(apart.graph_count, MOST_OF_GRAPH);
    CU(cuThreadExchangeStreamCaptureMode(&mode));
    CU(cuMemAlloc_v2(&pointer, bytes));
    CU(cuThreadExchangeStreamCaptureMode(&mode));
    return apart.of_graph[apart.graph_count++] = cuda_pointer(pointer);
}

static void apart_release(void *user, void *pointer)
{
    (void)user;
    for (int k = 0; k < apart.graph_count; k++)
        if (apart.of_graph[k] == pointer)
            return;
    if (!apart.captures) {
        pool_release(&apart.pool, pointer);
        return;
    }
    ck_assert_int_lt(apart.other_count, MOST_OF_GRAPH);
    apart.of_others[apart.other_count++] = pointer;
}

START_TEST(test_a_graph_with_memory_of_its_own)
{
    points p;
    void *graph, *executable;
    memset(&apart, 0, sizeof apart);
    apart.pool.stream = stream;
    const kcl_cuda_params params = {.stream = stream, .allocate = apart_allocate, .release = apart_release};
    ck_assert_int_eq(kcl_cuda_context_create(&c, NULL, &params), KCL_OK);
    put_points(&p, stream);
    describe_points(&p, c);
    OK(sums(c, &p, 1));
    CU(cuStreamSynchronize(stream));
    CU(cuStreamBeginCapture_v2(stream, 0));
    apart.captures = true;
    OK(sums(c, &p, 0.75));
    CU(cuStreamEndCapture(stream, &graph));
    apart.captures = false;
    CU(cuGraphInstantiateWithFlags(&executable, graph, 0));
    ck_assert_int_gt(apart.graph_count, 0);
    for (int k = 0; k < apart.other_count; k++)
        pool_release(&apart.pool, apart.of_others[k]);
    for (int round = 0; round < 3; round++) {
        OK(sums(c, &p, 3));
        cuda_download(got, p.out, sizeof got, stream);
        check_sums(3);
        CU(cuGraphLaunch(executable, stream));
        cuda_download(got, p.out, sizeof got, stream);
        check_sums(0.75);
    }
    /* The memory of the graph goes with the graph, and the context works on. */
    CU(cuGraphExecDestroy(executable));
    CU(cuGraphDestroy(graph));
    for (int k = 0; k < apart.graph_count; k++)
        CU(cuMemFree_v2((cu_pointer)(uintptr_t)apart.of_graph[k]));
    OK(sums(c, &p, 2));
    cuda_download(got, p.out, sizeof got, stream);
    check_sums(2);
    forget_points(&p);
    kcl_context_destroy(&c);
    ck_assert_uint_eq(apart.pool.live, 0);
    free_points(&p);
}
END_TEST

/* A call that has to wait, or to allocate, cannot be captured: an error, and the context is as good as before. */
START_TEST(test_calls_that_no_graph_can_have)
{
    points p;
    void *graph;
    if (!fake_cuda_found)
        return; /* real drivers may allow what the simulation forbids */
    c = open_on(stream, NULL);
    put_points(&p, stream);
    describe_points(&p, c);
    CU(cuStreamBeginCapture_v2(stream, 0));
    ck_assert_int_lt(sums(c, &p, 1), 0);
    ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "CUDA_ERROR_STREAM_CAPTURE"));
    ck_assert_int_eq(cu.cuStreamEndCapture(stream, &graph), CU_CAPTURE_INVALIDATED);
    OK(sums(c, &p, 1));
    cuda_download(got, p.out, sizeof got, stream);
    check_sums(1);
    forget_points(&p);
    kcl_context_destroy(&c);
    free_points(&p);
}
END_TEST

/* A gradient by the same memory, streams and allocator. */
START_TEST(test_a_gradient)
{
    const double g = 1.5;
    double e[M], gradient[M][D];
    cuda_pool pool = {.stream = stream};
    points p;
    kcl_operator *slope;
    kcl_memory *memories[2];
    for (int i = 0; i < M; i++)
        e[i] = uniform(-1, 1);
    c = open_with_pool(&pool);
    put_points(&p, stream);
    describe_points(&p, c);
    ck_assert_int_eq(kcl_operator_grad(&slope, op, "x"), KCL_OK);
    cu_pointer e_at = cuda_upload(e, sizeof e, stream), to = cuda_upload(gradient, sizeof gradient, stream);
    kcl_array es = describe(c, e_at, sizeof e, M, 1, &memories[0]);
    kcl_array out = describe(c, to, sizeof gradient, M, D, &memories[1]);
    const kcl_array *outs = &out;
    OK(kcl_operator_apply(slope, c, &outs, 1,
                          (const kcl_array *[]){&p.arrays[0], &p.arrays[1], &p.arrays[2], kcl_f64(&g, 1), &es}, 5));
    cuda_download(gradient, to, sizeof gradient, stream);
    for (int i = 0; i < M; i++) {
        for (int k = 0; k < D; k++) {
            double slope_want = 0, scale = 0;
            for (int j = 0; j < N; j++) {
                double square = 0;
                for (int n = 0; n < D; n++)
                    square += (x[i][n] - y[j][n]) * (x[i][n] - y[j][n]);
                const double term = -2 * g * (x[i][k] - y[j][k]) * exp(-g * square) * b[j] * e[i];
                slope_want += term;
                scale += fabs(term);
            }
            ck_assert_double_le(fabs(gradient[i][k] - slope_want), 1e-11 * scale);
        }
    }
    kcl_operator_destroy(&slope);
    kcl_memory_release(&memories[0]);
    kcl_memory_release(&memories[1]);
    forget_points(&p);
    kcl_context_destroy(&c);
    CU(cuMemFree_v2(e_at));
    CU(cuMemFree_v2(to));
    free_points(&p);
}
END_TEST

/* A text of the compiler that reads a register which nothing in CUDA stands for. */
START_TEST(test_ptx_that_cannot_be_edited)
{
    points p;
    if (!fake_cuda_found)
        return;
    c = open_on(stream, NULL);
    put_points(&p, stream);
    describe_points(&p, c);
    fake_cuda_found->envreg = 31;
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(sums(c, &p, 1), KCL_ERROR_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "%envreg31"));
    }
    fake_cuda_found->envreg = -1;
    OK(sums(c, &p, 1));
    cuda_download(got, p.out, sizeof got, stream);
    check_sums(1);
    forget_points(&p);
    kcl_context_destroy(&c);
    free_points(&p);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    setenv("KEOPSCL_CACHE", "off", 1);
    if (!open_cuda())
        return 77;
    announce_seed(argv[0]);
    const test_entry tests[] = {{test_device_arrays_are_not_waited_for, 0},
                                {test_two_streams_with_allocators, 0},
                                {test_each_allocation_fails_in_turn, 0},
                                {test_a_call_in_a_graph, 0},
                                {test_a_graph_with_memory_of_its_own, 0},
                                {test_calls_that_no_graph_can_have, 0},
                                {test_a_gradient, 0},
                                {test_ptx_that_cannot_be_edited, 0}};
    return run_entries("operators on CUDA", tests, KB_COUNT(tests), setup, teardown);
}
