/* SPDX-License-Identifier: MIT */
/*
 * tests/math/opencl.h: a device and its programs, for programs that run the functions of cl/ without the library; what fails
 * ends them with exit code 2. Where it is included, `program_name` is there.
 */
#ifndef TEST_OPENCL_H
#define TEST_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct opencl {
    cl_device_id id;
    cl_device_type type;
    char name[256];
    bool has_f64;
    cl_context context;
    cl_command_queue queue;
} opencl;

static void check(cl_int status, const char *what)
{
    if (status != CL_SUCCESS) {
        fprintf(stderr, "%s: %s failed (%d)\n", program_name, what, (int)status);
        exit(2);
    }
}

/* The text of a file, to be freed. */
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(1 << 20);
    const size_t size = file && text ? fread(text, 1, (1 << 20) - 1, file) : 0;
    if (size == 0) {
        fprintf(stderr, "%s: cannot read %s\n", program_name, path);
        exit(2);
    }
    fclose(file);
    text[size] = '\0';
    return text;
}

/* The first CPU, or the first device of the platform that KCL_TEST_PLATFORM names a part of. */
static bool find_device(cl_device_id *id)
{
    cl_platform_id platforms[16];
    cl_uint count = 0;
    const char *const wanted = getenv("KCL_TEST_PLATFORM");
    if (clGetPlatformIDs(16, platforms, &count) != CL_SUCCESS) {
        return false;
    }
    for (cl_uint i = 0; i < count && i < 16; i++) {
        char name[256] = "";
        clGetPlatformInfo(platforms[i], CL_PLATFORM_NAME, sizeof name, name, NULL);
        if ((wanted == NULL || strstr(name, wanted) != NULL) &&
            clGetDeviceIDs(platforms[i], wanted ? CL_DEVICE_TYPE_ALL : CL_DEVICE_TYPE_CPU, 1, id, NULL) == CL_SUCCESS) {
            return true;
        }
    }
    return false;
}

/* False where there is no device. */
static bool open_device(opencl *cl)
{
    cl_int status;
    char extensions[8192] = "";
    *cl = (opencl){.type = CL_DEVICE_TYPE_CPU};
    if (!find_device(&cl->id)) {
        return false;
    }
    clGetDeviceInfo(cl->id, CL_DEVICE_NAME, sizeof cl->name, cl->name, NULL);
    clGetDeviceInfo(cl->id, CL_DEVICE_TYPE, sizeof cl->type, &cl->type, NULL);
    clGetDeviceInfo(cl->id, CL_DEVICE_EXTENSIONS, sizeof extensions, extensions, NULL);
    cl->has_f64 = strstr(extensions, "cl_khr_fp64") != NULL;
    cl->context = clCreateContext(NULL, 1, &cl->id, NULL, NULL, &status);
    check(status, "clCreateContext");
    cl->queue = clCreateCommandQueue(cl->context, cl->id, 0, &status);
    check(status, "clCreateCommandQueue");
    return true;
}

static void close_device(opencl *cl)
{
    clReleaseCommandQueue(cl->queue);
    clReleaseContext(cl->context);
}

static cl_mem make_buffer(const opencl *cl, size_t bytes)
{
    cl_int status;
    cl_mem buffer = clCreateBuffer(cl->context, CL_MEM_READ_WRITE, bytes, NULL, &status);
    check(status, "clCreateBuffer");
    return buffer;
}

/* Builds `source`; what the compiler says of a text that it refuses is shown, with `what` it is. */
static cl_program build_program(const opencl *cl, const char *source, const char *what)
{
    cl_int status;
    cl_program program = clCreateProgramWithSource(cl->context, 1, &source, NULL, &status);
    check(status, "clCreateProgramWithSource");
    if (clBuildProgram(program, 1, &cl->id, "-cl-std=CL1.2", NULL, NULL) != CL_SUCCESS) {
        static char log[1 << 16];
        clGetProgramBuildInfo(program, cl->id, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, NULL);
        fprintf(stderr, "%s: the device refused %s:\n%s\n", program_name, what, log);
        exit(2);
    }
    return program;
}

#endif
