/* SPDX-License-Identifier: MIT */
/*
 * A program with OpenCL objects of its own, against plain loops: contexts on its cl_context and queue, arrays in its
 * buffers (keopscl/opencl.h). On the device of the device suites; without one the exit status is 77 (skipped).
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "internal.h"
#include "support.h"

#include <keopscl/opencl.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
} own;
static kcl_context *programs; /* of all tests, on a queue of its own */
static kcl_context *c;        /* under test, on the objects above */

#define OK(call) ck_assert_msg((call) == KCL_OK, "%s: %s", #call, kcl_context_error(c))
#define REFUSED(call, ...)                                                                                             \
    do {                                                                                                               \
        ck_assert_int_eq(call, KCL_ERROR_ARGUMENT);                                                                    \
        CONTAINS(kcl_context_error(c), __VA_ARGS__);                                                                   \
    } while (0)
#define POINTS(rows, count) kcl_f32(&(rows)[0][0], count, D)
/* Drivers let go of queues and memory a little after the last command has ended. */
#define SETTLES(count, want)                                                                                           \
    do {                                                                                                               \
        for (int tries = 0; tries < 1000 && (count) != (want); tries++)                                                \
            nanosleep(&(struct timespec){0, 1000 * 1000}, NULL);                                                       \
        ck_assert_uint_eq(count, want);                                                                                \
    } while (0)
#define DONE(call) ck_assert_int_eq(call, CL_SUCCESS)

enum { M = 41, N = 130, D = 3 };
static const size_t x_bytes = M * D * sizeof(float), y_bytes = N * D * sizeof(float), a_bytes = M * D * sizeof(float);

static float x[M][D], y[N][D];

static void setup(void)
{
    cl_int code;
    seed_random(test_seed());
    for (int k = 0; k < M * D; k++)
        x[k / D][k % D] = (float)uniform(-1, 1);
    for (int k = 0; k < N * D; k++)
        y[k / D][k % D] = (float)uniform(0.5, 1); /* no cancellation: errors are relative */
    own.queue = clCreateCommandQueue(own.context, own.device, 0, &code);
    DONE(code);
    OK(kcl_opencl_context_create(&c, NULL, &(kcl_opencl_params){own.context, own.device, own.queue, programs}));
}

static cl_uint references_of_context(void)
{
    cl_uint count = 0;
    DONE(clGetContextInfo(own.context, CL_CONTEXT_REFERENCE_COUNT, sizeof count, &count, NULL));
    return count;
}

static cl_uint references_of_queue(void)
{
    cl_uint count = 0;
    DONE(clGetCommandQueueInfo(own.queue, CL_QUEUE_REFERENCE_COUNT, sizeof count, &count, NULL));
    return count;
}

static cl_uint references_of_memory(cl_mem mem)
{
    cl_uint count = 0;
    DONE(clGetMemObjectInfo(mem, CL_MEM_REFERENCE_COUNT, sizeof count, &count, NULL));
    return count;
}

static void teardown(void)
{
    kcl_context_destroy(&c);
    SETTLES(references_of_queue(), 1);
    clReleaseCommandQueue(own.queue);
}

static cl_mem new_buffer(cl_mem_flags flags, size_t bytes, const void *from)
{
    cl_int code;
    cl_mem mem =
        clCreateBuffer(own.context, flags | (from ? CL_MEM_COPY_HOST_PTR : 0), bytes, (void *)(uintptr_t)from, &code);
    DONE(code);
    return mem;
}

static kcl_memory *describe(cl_mem mem)
{
    kcl_memory *m;
    OK(kcl_opencl_memory(c, mem, &m));
    return m;
}

/* a_i = sum_j exp(-|x_i - y_j|^2) y_j, M by D. */
static kcl_operator *make_operator(void)
{
    kcl_operator *op;
    const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)"};
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(Exp(-SqDist(x,y))*y,0)", 2, aliases, NULL), KCL_OK);
    return op;
}

static double expected(const float *at, int component)
{
    double sum = 0;
    for (int j = 0; j < N; j++) {
        double d2 = 0;
        for (int k = 0; k < D; k++)
            d2 += pow((double)at[k] - y[j][k], 2);
        sum += exp(-d2) * y[j][component];
    }
    return sum;
}

static void check_row(const float *got, const float *at)
{
    for (int k = 0; k < D; k++)
        ck_assert_msg(fabs(got[k] - expected(at, k)) <= 1e-5 * expected(at, k), "seed %llu: %.9g, by plain loops %.9g",
                      (unsigned long long)test_seed(), got[k], expected(at, k));
}

static kcl_array array_in(kcl_memory *m, int64_t offset, int64_t rows)
{
    return kcl_array_in(m, offset, KCL_F32, 2, (int64_t[]){rows, D});
}

static kcl_status sum_rows(const kcl_operator *op, kcl_context *context, const kcl_array *a, const kcl_array *x_array,
                           const kcl_array *y_array)
{
    return kcl_operator_apply(op, context, (const kcl_array *[]){a}, 1, (const kcl_array *[]){x_array, y_array}, 2);
}

static void read_now(cl_mem mem, size_t bytes, void *to)
{
    DONE(clEnqueueReadBuffer(own.queue, mem, CL_TRUE, 0, bytes, to, 0, NULL, NULL));
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

/*
 * Work of the program, a call, and work of the program again, without waiting for anything in between: as the device
 * is, and as a device whose calls return without waiting.
 */
START_TEST(test_calls_stand_between_the_work_of_the_program)
{
    enum { ROUNDS = 10 };
    static float results[ROUNDS][M][D];
    kcl_operator *op = make_operator();
    cl_mem mem[] = {new_buffer(CL_MEM_READ_WRITE, x_bytes, NULL), new_buffer(CL_MEM_READ_WRITE, y_bytes, y),
                    new_buffer(CL_MEM_READ_WRITE, a_bytes, NULL)};
    kcl_memory *m[] = {describe(mem[0]), describe(mem[1]), describe(mem[2])};
    const kcl_array xs = array_in(m[0], 0, M), ys = array_in(m[1], 0, N), as = array_in(m[2], 0, M);
    const kd_sharing sharing = c->device->sharing;
    if (_i)
        c->device->sharing = KD_COPIED;
    memset(results, 0, sizeof results);
    for (int round = 0; round < ROUNDS; round++) {
        const float value = (float)round / ROUNDS;
        DONE(clEnqueueFillBuffer(own.queue, mem[0], &value, sizeof value, 0, x_bytes, 0, NULL, NULL));
        OK(sum_rows(op, c, &as, &xs, &ys));
        DONE(clEnqueueReadBuffer(own.queue, mem[2], CL_FALSE, 0, a_bytes, results[round], 0, NULL, NULL));
    }
    DONE(clFinish(own.queue));
    c->device->sharing = sharing;
    for (int round = 0; round < ROUNDS; round++) {
        const float value = (float)round / ROUNDS, at[D] = {value, value, value};
        for (int i = 0; i < M; i++)
            check_row(results[round][i], at);
    }
    for (int k = 0; k < 3; k++) {
        kcl_memory_release(&m[k]);
        clReleaseMemObject(mem[k]);
    }
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_host_arrays_beside_buffers)
{
    float results[M][D];
    kcl_operator *op = make_operator();
    cl_mem mem = new_buffer(CL_MEM_READ_WRITE, x_bytes, NULL);
    kcl_memory *m = describe(mem);
    const kcl_array xs = array_in(m, 0, M);
    DONE(clEnqueueWriteBuffer(own.queue, mem, CL_FALSE, 0, x_bytes, x, 0, NULL, NULL));
    OK(sum_rows(op, c, POINTS(results, M), &xs, POINTS(y, N)));
    for (int i = 0; i < M; i++)
        check_row(results[i], x[i]);
    OK(kcl_array_update(c, POINTS(y, M), &xs));
    OK(kcl_array_download(c, &xs, POINTS(results, M)));
    ck_assert_mem_eq(results, y, sizeof results);
    kcl_memory_release(&m);
    clReleaseMemObject(mem);
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- Parts of buffers -------------------------------------------------------------------------------------------- */

/* Bytes of the smallest origin of a sub-buffer. */
static size_t alignment(void)
{
    cl_uint bits = 0;
    DONE(clGetDeviceInfo(own.device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof bits, &bits, NULL));
    return bits / 8 > 4 ? bits / 8 : 4;
}

static cl_mem part_of(cl_mem whole, size_t origin, size_t bytes)
{
    cl_int code;
    const cl_buffer_region region = {origin, bytes};
    cl_mem part = clCreateSubBuffer(whole, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    DONE(code);
    return part;
}

/* Points at an offset and with gaps between rows, in a sub-buffer; results in another part of the same buffer. */
START_TEST(test_offsets_strides_and_sub_buffers)
{
    enum { GAP = 2, SHIFT = 3 };
    const size_t align = alignment(), part_bytes = (SHIFT + M * (D + GAP)) * sizeof(float);
    const size_t second = (part_bytes + align - 1) / align * align + align;
    static float all[4096], before[4096];
    ck_assert_uint_le(2 * second, sizeof all);
    for (size_t k = 0; k < KB_COUNT(all); k++)
        all[k] = before[k] = (float)uniform(5, 6);
    for (int i = 0; i < M; i++)
        memcpy(all + align / sizeof *all + SHIFT + i * (D + GAP), x[i], sizeof x[i]);
    memcpy(before, all, sizeof all);
    cl_mem whole = new_buffer(CL_MEM_READ_WRITE, sizeof all, all), ymem = new_buffer(CL_MEM_READ_ONLY, y_bytes, y);
    cl_mem parts[] = {part_of(whole, align, part_bytes), part_of(whole, second, part_bytes)};
    kcl_memory *m[] = {describe(parts[0]), describe(parts[1]), describe(ymem)};
    ck_assert_uint_eq(kcl_memory_size(m[0]), part_bytes);
    kcl_array xs = array_in(m[0], SHIFT * sizeof(float), M), ys = array_in(m[2], 0, N);
    kcl_array as = array_in(m[1], SHIFT * sizeof(float), M);
    xs.stride[0] = as.stride[0] = (D + GAP) * sizeof(float);
    kcl_operator *op = make_operator();
    OK(sum_rows(op, c, &as, &xs, &ys));
    read_now(whole, sizeof all, all);
    for (size_t k = 0; k < KB_COUNT(all); k++) {
        const size_t first = second / sizeof *all + SHIFT;
        const bool is_result = k >= first && k < first + (M - 1) * (D + GAP) + D && (k - first) % (D + GAP) < (size_t)D;
        if (is_result && (k - first) % (D + GAP) == 0)
            check_row(all + k, x[(k - first) / (D + GAP)]);
        ck_assert(is_result || all[k] == before[k]);
    }
    /* Beyond the part, though not beyond the buffer. */
    as = array_in(m[1], SHIFT * sizeof(float), 2 * M);
    as.stride[0] = (D + GAP) * sizeof(float);
    REFUSED(kcl_array_download(c, &as, kcl_f32(all, 2 * M, D)), "device memory, which has");
    for (int k = 0; k < 3; k++)
        kcl_memory_release(&m[k]);
    clReleaseMemObject(parts[0]);
    clReleaseMemObject(parts[1]);
    clReleaseMemObject(whole);
    clReleaseMemObject(ymem);
    kcl_operator_destroy(&op);
}
END_TEST

/*
 * Results in the memory of y, by two descriptions of the buffer, and by a sub-buffer. What overlaps in part is
 * refused, as in one memory of the library.
 */
START_TEST(test_the_same_memory_by_several_descriptions)
{
    float results[N][D];
    const size_t align = alignment();
    kcl_operator *op = make_operator();
    for (int in_part = 0; in_part < 2; in_part++) {
        cl_mem whole = new_buffer(CL_MEM_READ_WRITE, align + y_bytes, NULL);
        cl_mem other = in_part ? part_of(whole, align, y_bytes) : whole;
        kcl_memory *m[] = {describe(whole), describe(other)};
        const int64_t shift = (int64_t)align;
        /* Every result needs all of y. */
        const kcl_array ys = array_in(m[0], shift, N), as = array_in(m[1], in_part ? 0 : shift, N);
        const kcl_array overlapping = array_in(m[0], shift - (int64_t)sizeof(float), N);
        DONE(clEnqueueWriteBuffer(own.queue, whole, CL_FALSE, align, y_bytes, y, 0, NULL, NULL));
        OK(sum_rows(op, c, &as, &ys, &ys));
        DONE(clEnqueueReadBuffer(own.queue, whole, CL_TRUE, align, y_bytes, results, 0, NULL, NULL));
        for (int i = 0; i < N; i++)
            check_row(results[i], y[i]);
        REFUSED(sum_rows(op, c, &as, &overlapping, &ys), "output 0 and", "overlap");
        kcl_memory_release(&m[0]);
        kcl_memory_release(&m[1]);
        if (in_part)
            clReleaseMemObject(other);
        clReleaseMemObject(whole);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- What is refused --------------------------------------------------------------------------------------------- */

START_TEST(test_buffers_that_are_only_read_or_written)
{
    float results[M][D] = {{0}};
    kcl_operator *op = make_operator();
    cl_mem mem[] = {new_buffer(CL_MEM_READ_ONLY, x_bytes, x), new_buffer(CL_MEM_READ_ONLY, y_bytes, y),
                    new_buffer(CL_MEM_WRITE_ONLY, a_bytes, NULL)};
    kcl_memory *m[] = {describe(mem[0]), describe(mem[1]), describe(mem[2])};
    const kcl_array xs = array_in(m[0], 0, M), ys = array_in(m[1], 0, N), as = array_in(m[2], 0, M);
    OK(sum_rows(op, c, &as, &xs, &ys));
    read_now(mem[2], a_bytes, results);
    for (int i = 0; i < M; i++)
        check_row(results[i], x[i]);
    REFUSED(sum_rows(op, c, &xs, POINTS(x, M), &ys), "output 0", "CL_MEM_READ_ONLY", "writes");
    REFUSED(sum_rows(op, c, POINTS(results, M), &as, &ys), "\"x\"", "CL_MEM_WRITE_ONLY", "reads");
    /* An output to which the result is added is read. */
    const double one[] = {1};
    REFUSED(
        kcl_operator_apply_scaled(op, c, (const kcl_array *[]){&as}, 1, (const kcl_array *[]){&xs, &ys}, 2, one, one),
        "output 0", "CL_MEM_WRITE_ONLY", "reads");
    for (int k = 0; k < 3; k++) {
        kcl_memory_release(&m[k]);
        clReleaseMemObject(mem[k]);
    }
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_memory_that_is_refused)
{
    cl_int code;
    kcl_memory *m = (kcl_memory *)1;
    cl_mem mem = new_buffer(CL_MEM_READ_WRITE, 64, NULL);
    cl_context other = clCreateContext(NULL, 1, &own.device, NULL, NULL, &code);
    cl_mem foreign = clCreateBuffer(other, CL_MEM_READ_WRITE, 64, NULL, &code);
    REFUSED(kcl_opencl_memory(c, foreign, &m), "another cl_context");
    ck_assert_ptr_null(m);
    SETTLES(references_of_memory(foreign), 1);
    REFUSED(kcl_opencl_memory(c, NULL, &m), "no cl_mem");
    REFUSED(kcl_opencl_memory(c, mem, NULL), "no place");
    ck_assert_int_eq(kcl_opencl_memory(NULL, mem, &m), KCL_ERROR_ARGUMENT);
    cl_bool images = CL_FALSE;
    DONE(clGetDeviceInfo(own.device, CL_DEVICE_IMAGE_SUPPORT, sizeof images, &images, NULL));
    if (images) {
        const cl_image_format format = {CL_RGBA, CL_FLOAT};
        const cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 8, .image_height = 8};
        cl_mem image = clCreateImage(own.context, CL_MEM_READ_WRITE, &format, &desc, NULL, &code);
        DONE(code);
        REFUSED(kcl_opencl_memory(c, image, &m), "no buffer");
        clReleaseMemObject(image);
    }
    kcl_context *host;
    ck_assert_int_eq(kcl_context_create(&host, &(kcl_context_params){.device = "host"}), KCL_OK);
    ck_assert_int_eq(kcl_opencl_memory(host, mem, &m), KCL_ERROR_UNSUPPORTED);
    ck_assert_ptr_null(m);
    kcl_context_destroy(&host);
    /* An address that a number cannot have: refused before anything looks at the address. */
    OK(kd_memory_wrap(c, (cl_mem)(void *)(uintptr_t)0x10002, 1 << 20, false, &m));
    kcl_operator *op = make_operator();
    const kcl_array odd = array_in(m, 0, M);
    float results[M][D];
    REFUSED(sum_rows(op, c, POINTS(results, M), &odd, POINTS(y, N)), "\"x\"", "0x10002", "4 bytes of a float32");
    kcl_operator_destroy(&op);
    kcl_memory_release(&m);
    clReleaseMemObject(foreign);
    clReleaseContext(other);
    SETTLES(references_of_memory(mem), 1);
    clReleaseMemObject(mem);
}
END_TEST

static void no_context(const kcl_opencl_params *params, const char *part)
{
    const cl_uint contexts = references_of_context(), queues = references_of_queue();
    kcl_context *none;
    ck_assert_int_eq(kcl_opencl_context_create(&none, NULL, params), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(none), part);
    kcl_context_destroy(&none);
    ck_assert_uint_eq(references_of_context(), contexts);
    ck_assert_uint_eq(references_of_queue(), queues);
}

START_TEST(test_contexts_that_are_refused)
{
    cl_int code;
    cl_context other = clCreateContext(NULL, 1, &own.device, NULL, NULL, &code);
    cl_command_queue of_other = clCreateCommandQueue(other, own.device, 0, &code);
    no_context(NULL, "kcl_opencl_params is NULL");
    no_context(&(kcl_opencl_params){NULL, own.device, own.queue, NULL}, "context is NULL");
    no_context(&(kcl_opencl_params){own.context, NULL, own.queue, NULL}, "device is NULL");
    no_context(&(kcl_opencl_params){own.context, own.device, of_other, NULL}, "queue of another context");
    no_context(&(kcl_opencl_params){other, own.device, of_other, c}, "another cl_context");
    ck_assert_int_eq(kcl_opencl_context_create(NULL, NULL, &(kcl_opencl_params){own.context, own.device, NULL, NULL}),
                     KCL_ERROR_ARGUMENT);
    clReleaseCommandQueue(of_other);
    cl_command_queue any = clCreateCommandQueue(own.context, own.device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    if (code == CL_SUCCESS) {
        no_context(&(kcl_opencl_params){own.context, own.device, any, NULL}, "out of order");
        clReleaseCommandQueue(any);
    }
    clReleaseContext(other);
}
END_TEST

/* ---- Parts of devices, contexts with several devices ------------------------------------------------------------- */

/*
 * Two devices of the platform (on PoCL: what POCL_DEVICES names), or two parts of the device; the program that the first
 * round builds is found on disk by the second.
 */
START_TEST(test_several_devices_in_one_context)
{
    const cl_device_partition_property part[] = {CL_DEVICE_PARTITION_BY_COUNTS, 1, 1,
                                                 CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id two[64];
    cl_uint count = 0;
    cl_int code = clGetDeviceIDs(own.platform, CL_DEVICE_TYPE_ALL, 64, two, &count);
    const bool parts = count == 1;
    if (parts)
        code = clCreateSubDevices(own.device, part, 2, two, &count);
    if (code || count < 2) {
        printf("contexts with several devices are not tested: there is one device, which cannot be divided\n");
        return;
    }
    char folder[] = "/tmp/keopscl-test-XXXXXX", path[1024];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    const kcl_context_params params = {.cache_dir = folder};
    cl_context context = clCreateContext(NULL, 2, two, NULL, NULL, &code);
    DONE(code);
    kcl_operator *op = make_operator();
    for (int which = 0; which < 2; which++) {
        for (int round = 0; round < 2; round++) {
            kcl_context *on_one;
            kcl_context_stats stats;
            float results[M][D];
            cl_command_queue queue = clCreateCommandQueue(context, two[which], 0, &code);
            no_context(&(kcl_opencl_params){context, two[1 - which], queue, NULL}, "queue of another device");
            ck_assert_msg(kcl_opencl_context_create(&on_one, &params,
                                                    &(kcl_opencl_params){context, two[which], queue, NULL}) == KCL_OK,
                          "%s", kcl_context_error(on_one));
            no_context(&(kcl_opencl_params){context, two[1 - which], NULL, on_one}, "to be shared");
            ck_assert_msg(sum_rows(op, on_one, POINTS(results, M), POINTS(x, M), POINTS(y, N)) == KCL_OK, "%s",
                          kcl_context_error(on_one));
            for (int i = 0; i < M; i++)
                check_row(results[i], x[i]);
            ck_assert_int_eq(kcl_context_get_stats(on_one, &stats), KCL_OK);
            ck_assert(round == 0 || (stats.programs_built == 0 && stats.programs_loaded > 0));
            kcl_context_destroy(&on_one);
            clReleaseCommandQueue(queue);
        }
    }
    if (!parts)
        no_context(&(kcl_opencl_params){own.context, two[own.device == two[0]], NULL, NULL}, "none of the 1");
    snprintf(path, sizeof path, "rm -r %s", folder);
    ck_assert_int_eq(system(path), 0);
    kcl_operator_destroy(&op);
    clReleaseContext(context);
    if (parts) {
        clReleaseDevice(two[0]);
        clReleaseDevice(two[1]);
    }
}
END_TEST

/* ---- Lifetimes --------------------------------------------------------------------------------------------------- */

START_TEST(test_references)
{
    kcl_memory *m, *lasting;
    cl_mem mem = new_buffer(CL_MEM_READ_WRITE, x_bytes, x);
    kcl_context *again;
    const cl_uint queues = references_of_queue();
    OK(kcl_opencl_context_create(&again, NULL, &(kcl_opencl_params){own.context, own.device, own.queue, c}));
    ck_assert_uint_eq(references_of_queue(), queues + 1);
    kcl_context_destroy(&again);
    ck_assert_uint_eq(references_of_queue(), queues);
    for (int k = 0; k < 10000; k++) {
        m = describe(mem);
        SETTLES(references_of_memory(mem), 2);
        kcl_memory_release(&m);
    }
    SETTLES(references_of_memory(mem), 1);
    /* A description of memory that is also used by calls, released before and after the context. */
    kcl_operator *op = make_operator();
    float results[M][D];
    lasting = describe(mem);
    for (int k = 0; k < 100; k++) {
        m = describe(mem);
        const kcl_array xs = array_in(m, 0, M);
        OK(sum_rows(op, c, POINTS(results, M), &xs, POINTS(y, N)));
        kcl_memory_release(&m);
        REFUSED(sum_rows(op, c, POINTS(results, M), &xs, POINTS(y, N)), "\"x\"", "released");
    }
    DONE(clFinish(own.queue));
    SETTLES(references_of_memory(mem), 2);
    kcl_context_destroy(&c);
    SETTLES(references_of_memory(mem), 1);
    ck_assert_uint_eq(kcl_memory_size(lasting), x_bytes);
    kcl_memory_release(&lasting);
    SETTLES(references_of_memory(mem), 1);
    kcl_operator_destroy(&op);
    clReleaseMemObject(mem);
}
END_TEST

/* The program lets go of everything while the library still works on it. */
START_TEST(test_the_program_lets_go_first)
{
    cl_int code;
    float results[M][D];
    kcl_operator *op = make_operator();
    kcl_context *kept = c;
    cl_context context = clCreateContext(NULL, 1, &own.device, NULL, NULL, &code);
    cl_command_queue queue = clCreateCommandQueue(context, own.device, 0, &code);
    cl_mem mem = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, x_bytes, x, &code);
    OK(kcl_opencl_context_create(&c, NULL, &(kcl_opencl_params){context, own.device, queue, NULL}));
    kcl_memory *m = describe(mem);
    clReleaseMemObject(mem);
    clReleaseCommandQueue(queue);
    clReleaseContext(context);
    const kcl_array xs = array_in(m, 0, M);
    OK(sum_rows(op, c, POINTS(results, M), &xs, POINTS(y, N)));
    for (int i = 0; i < M; i++)
        check_row(results[i], x[i]);
    kcl_context_destroy(&c);
    kcl_memory_release(&m);
    kcl_operator_destroy(&op);
    c = kept;
}
END_TEST

/* ---- Several contexts -------------------------------------------------------------------------------------------- */

typedef struct worker {
    kcl_context *context;
    cl_command_queue queue;
    const kcl_operator *op;
    int wrong;
} worker;

static void *work(void *user)
{
    worker *w = user;
    for (int round = 0; round < 50; round++) {
        float results[M][D];
        if (sum_rows(w->op, w->context, POINTS(results, M), POINTS(x, M), POINTS(y, N)) < 0)
            w->wrong++;
        for (int i = 0; i < M; i++)
            w->wrong += fabs(results[i][0] - expected(x[i], 0)) > 1e-5 * expected(x[i], 0);
    }
    return NULL;
}

/* Programs are shared, queues are not, and threads work side by side. */
START_TEST(test_shared_programs_in_two_threads)
{
    kcl_operator *op = make_operator();
    worker workers[2];
    pthread_t threads[2];
    cl_int code;
    float results[M][D];
    OK(sum_rows(op, c, POINTS(results, M), POINTS(x, M), POINTS(y, N)));
    for (int k = 0; k < 2; k++) {
        workers[k] = (worker){.queue = clCreateCommandQueue(own.context, own.device, 0, &code), .op = op};
        /* The second context has a queue that the library makes. */
        OK(kcl_opencl_context_create(&workers[k].context, NULL,
                                     &(kcl_opencl_params){own.context, own.device, k ? NULL : workers[k].queue, c}));
    }
    for (int k = 0; k < 2; k++)
        ck_assert_int_eq(pthread_create(&threads[k], NULL, work, &workers[k]), 0);
    for (int k = 0; k < 2; k++) {
        kcl_context_stats stats;
        pthread_join(threads[k], NULL);
        ck_assert_int_eq(workers[k].wrong, 0);
        kcl_context_get_stats(workers[k].context, &stats);
        ck_assert_uint_eq(stats.programs_built + stats.programs_loaded, 0);
        kcl_context_destroy(&workers[k].context);
        clReleaseCommandQueue(workers[k].queue);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* The device of the device suites, as the program finds it: false without one. */
static bool find_device(void)
{
    kcl_device_info info;
    unsigned platform, device;
    cl_platform_id platforms[64];
    cl_device_id devices[64];
    kcl_context *probe = open_cpu_or_skip();
    if (!probe)
        return false;
    kcl_context_device_info(probe, &info);
    kcl_context_destroy(&probe);
    if (sscanf(info.id, "%u:%u", &platform, &device) != 2 || platform >= 64 || device >= 64 ||
        clGetPlatformIDs(64, platforms, NULL) ||
        clGetDeviceIDs(platforms[platform], CL_DEVICE_TYPE_ALL, 64, devices, NULL)) {
        printf("SKIPPED: %s is no device of OpenCL\n", info.id);
        return false;
    }
    own.platform = platforms[platform];
    own.device = devices[device];
    return true;
}

int main(int argc, char **argv)
{
    (void)argc;
    announce_seed(argv[0]);
    if (!find_device())
        return 77;
    cl_int code;
    own.context = clCreateContext(NULL, 1, &own.device, NULL, NULL, &code);
    if (!own.context ||
        kcl_opencl_context_create(&programs, NULL, &(kcl_opencl_params){own.context, own.device, NULL, NULL}) < 0) {
        printf("%s\n", own.context ? kcl_context_error(programs) : "there is no cl_context");
        return 1;
    }
    const test_entry tests[] = {
        {test_calls_stand_between_the_work_of_the_program, 2},
        {test_host_arrays_beside_buffers, 0},
        {test_offsets_strides_and_sub_buffers, 0},
        {test_the_same_memory_by_several_descriptions, 0},
        {test_buffers_that_are_only_read_or_written, 0},
        {test_memory_that_is_refused, 0},
        {test_contexts_that_are_refused, 0},
        {test_several_devices_in_one_context, 0},
        {test_references, 0},
        {test_the_program_lets_go_first, 0},
        {test_shared_programs_in_two_threads, 0},
    };
    const int failed = run_entries("objects of a program", tests, KB_COUNT(tests), setup, teardown);
    kcl_context_destroy(&programs);
    clReleaseContext(own.context);
    return failed;
}
