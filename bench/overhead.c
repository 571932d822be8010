/* SPDX-License-Identifier: MIT */
/*
 * bench/overhead.c: what a call of a cached operator costs above the driver. Both sides alternate, 20 calls at a time,
 * of which the first does not count: how soon a driver's threads wake up depends on the call before. For the same
 * reason PoCL gets one thread, unless POCL_MAX_PTHREAD_COUNT is set. kcl_operator_apply on M=N=100 points, and
 * clEnqueueNDRangeKernel with clFinish of the same kernel with its arguments set once. Prints the medians and their
 * difference; exit code 1 when that is above 10 microseconds, 2 when something fails.
 *
 *     cc -O2 -o overhead bench/overhead.c $(pkg-config --cflags --libs keopscl) -lOpenCL && ./overhead [REPEATS]
 */
#define _POSIX_C_SOURCE 200809L
#define CL_TARGET_OPENCL_VERSION 120
#include "timing.h"

#include <CL/cl.h>
#include <keopscl/keopscl.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 100, DIM = 3, INPUTS = 4, LIMIT = 10, BLOCK = 20 };

typedef struct text {
    char *data;
    size_t length;
} text;

static void check(bool good, const char *what, const char *why)
{
    if (!good) {
        fprintf(stderr, "overhead: %s: %s\n", what, why);
        exit(2);
    }
}

static void check_cl(cl_int status, const char *what)
{
    char why[32];
    snprintf(why, sizeof why, "OpenCL error %d", (int)status);
    check(status == CL_SUCCESS, what, why);
}

static void append(void *user, const char *piece, size_t length)
{
    text *const t = user;
    char *const data = realloc(t->data, t->length + length + 1);
    check(data != NULL, "kcl_operator_emit", "out of memory");
    memcpy(data + t->length, piece, length);
    t->data = data;
    t->length += length;
    data[t->length] = '\0';
}

/* Sets an argument by its name in the kernel: memory a0.. and o0, strides a0_s, o0_s, o0_k, sizes rows and cols. */
static void set_argument(cl_kernel kernel, cl_uint index, cl_context context, void *const inputs[], const size_t *bytes,
                         const cl_long *strides, void *output)
{
    char name[64] = "";
    cl_int status;
    check_cl(clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_NAME, sizeof name, name, NULL), "clGetKernelArgInfo");
    const int number = name[0] == '\0' ? -1 : atoi(name + 1);
    const bool memory = strchr(name, '_') == NULL;
    if (strcmp(name, "rows") == 0 || strcmp(name, "cols") == 0) {
        const cl_long size = POINTS;
        status = clSetKernelArg(kernel, index, sizeof size, &size);
    } else if (name[0] == 'a' && number >= 0 && number < INPUTS && memory) {
        cl_mem buffer = clCreateBuffer(context, CL_MEM_USE_HOST_PTR, bytes[number], inputs[number], &status);
        check_cl(status, "clCreateBuffer");
        status = clSetKernelArg(kernel, index, sizeof buffer, &buffer);
    } else if (name[0] == 'a' && number >= 0 && number < INPUTS) {
        status = clSetKernelArg(kernel, index, sizeof(cl_long), &strides[number]);
    } else if (strcmp(name, "o0") == 0) {
        cl_mem buffer = clCreateBuffer(context, CL_MEM_USE_HOST_PTR, POINTS * sizeof(float), output, &status);
        check_cl(status, "clCreateBuffer");
        status = clSetKernelArg(kernel, index, sizeof buffer, &buffer);
    } else if (strcmp(name, "o0_s") == 0 || strcmp(name, "o0_k") == 0) {
        const cl_long one = 1;
        status = clSetKernelArg(kernel, index, sizeof one, &one);
    } else {
        check(false, "the emitted kernel has an argument that this program does not know", name);
        return;
    }
    check_cl(status, name);
}

int main(int argc, char **argv)
{
    const int repeats = argc > 1 ? atoi(argv[1]) : 5000;
    static float x[POINTS * DIM], y[POINTS * DIM], b[POINTS], g[1] = {2}, ours[POINTS], bare[POINTS];
    check(repeats > 0, "REPEATS", "must be a positive number");
    setenv("POCL_MAX_PTHREAD_COUNT", "1", 0);
    for (int i = 0; i < POINTS * DIM; i++) {
        x[i] = (float)rand() / (float)RAND_MAX;
        y[i] = (float)rand() / (float)RAND_MAX;
        b[i / DIM] = (float)rand() / (float)RAND_MAX;
    }

    kcl_context *context;
    kcl_operator *op;
    /* In the order of the formula, in which the kernel numbers its variables. */
    const char *const aliases[] = {"g=Pm(1)", "x=Vi(3)", "y=Vj(3)", "b=Vj(1)"};
    const kcl_context_params params = {.device = getenv("KEOPSCL_DEVICE") ? NULL : "cpu"};
    check(kcl_context_create(&context, &params) == KCL_OK, "kcl_context_create", kcl_context_error(context));
    check(kcl_operator_create(&op, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", INPUTS, aliases, NULL) == KCL_OK,
          "kcl_operator_create", kcl_operator_error(op));
    text source = {NULL, 0};
    check(kcl_operator_emit(op, context, NULL, KCL_F32, POINTS, POINTS, append, &source) == KCL_OK, "kcl_operator_emit",
          kcl_context_error(context));
    kcl_device_info info;
    unsigned platform_number, device_number;
    check(kcl_context_device_info(context, &info) == KCL_OK, "kcl_context_device_info", kcl_context_error(context));
    check(sscanf(info.id, "%u:%u", &platform_number, &device_number) == 2, info.id, "is no OpenCL device");

    /* The bare side. */
    cl_platform_id platforms[16];
    cl_device_id devices[16];
    cl_uint count;
    cl_int status;
    check_cl(clGetPlatformIDs(16, platforms, &count), "clGetPlatformIDs");
    check(platform_number < count && platform_number < 16, info.id, "names no platform");
    check_cl(clGetDeviceIDs(platforms[platform_number], CL_DEVICE_TYPE_ALL, 16, devices, &count), "clGetDeviceIDs");
    check(device_number < count && device_number < 16, info.id, "names no device");
    const cl_device_id device = devices[device_number];
    cl_context cl = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
    check_cl(status, "clCreateContext");
    cl_command_queue queue = clCreateCommandQueue(cl, device, 0, &status);
    check_cl(status, "clCreateCommandQueue");
    const char *texts = source.data;
    cl_program program = clCreateProgramWithSource(cl, 1, &texts, NULL, &status);
    check_cl(status, "clCreateProgramWithSource");
    check_cl(clBuildProgram(program, 1, &device, "-cl-std=CL1.2 -cl-kernel-arg-info", NULL, NULL), "clBuildProgram");
    cl_kernel kernel = clCreateKernel(program, "sweep", &status);
    check_cl(status, "clCreateKernel");
    void *const inputs[INPUTS] = {g, x, y, b};
    const size_t bytes[INPUTS] = {sizeof g, sizeof x, sizeof y, sizeof b};
    const cl_long strides[INPUTS] = {1, DIM, DIM, 1};
    cl_uint arguments;
    check_cl(clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof arguments, &arguments, NULL), "clGetKernelInfo");
    for (cl_uint i = 0; i < arguments; i++) {
        set_argument(kernel, i, cl, inputs, bytes, strides, bare);
    }
    const size_t global = (POINTS + 15) / 16, local = 1; /* vectors of 16 rows; the kernel loops over what is left */

    double *const our_times = malloc((size_t)repeats * sizeof(double));
    double *const bare_times = malloc((size_t)repeats * sizeof(double));
    check(our_times != NULL && bare_times != NULL, "times", "out of memory");
    int counted[2] = {0, 0}, side = 0;
    for (int warm_up = 5; counted[1] < repeats; side = !side, warm_up--) {
        for (int call = 0; call < BLOCK; call++) {
            const double start = 1e6 * seconds_now();
            if (side == 0) {
                check(kcl_operator_apply(op, context, (const kcl_array *[]){kcl_f32(ours, POINTS, 1)}, 1,
                                         (const kcl_array *[]){kcl_f32(g, 1), kcl_f32(x, POINTS, DIM),
                                                               kcl_f32(y, POINTS, DIM), kcl_f32(b, POINTS, 1)},
                                         INPUTS) == KCL_OK,
                      "kcl_operator_apply", kcl_context_error(context));
            } else {
                check_cl(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, &local, 0, NULL, NULL), "launch");
                check_cl(clFinish(queue), "clFinish");
            }
            const double end = 1e6 * seconds_now();
            if (call > 0 && warm_up <= 0 && counted[side] < repeats) {
                (side == 0 ? our_times : bare_times)[counted[side]++] = end - start;
            }
        }
    }
    for (int i = 0; i < POINTS; i++) {
        check(fabsf(ours[i] - bare[i]) <= 1e-5f * POINTS, "results", "the two sides differ");
    }
    const double our_median = median(our_times, repeats), bare_median = median(bare_times, repeats);
    printf("M=N=%d, %d calls, medians in microseconds: operator %.1f, bare %.1f, difference %.1f (limit %d)\n", POINTS,
           repeats, our_median, bare_median, our_median - bare_median, (int)LIMIT);
    kcl_operator_destroy(&op);
    kcl_context_destroy(&context);
    return our_median - bare_median > LIMIT;
}
