/* SPDX-License-Identifier: MIT */
/* tests/device/fake_cl.h: an OpenCL made of a table of functions, whose n-th call can be made to fail. */
#ifndef FAKE_CL_H
#define FAKE_CL_H

#include "internal.h"

typedef struct fake_device {
    const char *name, *version;
    cl_device_type type;
    cl_uint units, clock, lanes_f32, lanes_f64;
    cl_bool available, compiler, unified, partitions;
    cl_device_fp_config f64;
    cl_ulong memory, max_buffer;
} fake_device;

typedef struct fake_platform {
    const char *name, *version;
    cl_int answer; /* of clGetDeviceIDs */
    cl_uint count;
    const fake_device *devices;
} fake_platform;

/*
 * Kernels are not compiled: "twice" is out[i] = 2 * in[i] for n floats (arguments in, out, n); a kernel of any other
 * name in the source does nothing. A source with #error does not build. A binary tells whether a kernel had run before.
 */
typedef struct fake_state {
    const fake_platform *platforms;
    cl_uint platform_count;
    cl_int platforms_answer; /* of clGetPlatformIDs */
    bool refuse_binaries;
    int fail_at;           /* number of the call that fails, from 1; 0: none */
    cl_int fail_code;      /* the code of the failure */
    const char *fail_call; /* every call of this name fails; NULL: none */
    int calls;
    bool failed;
    int live;                                                               /* objects not yet released */
    int buffers, set_args, writes, reads, maps, builds, launches, finishes; /* how often each was called */
    int flushes;
    int finished;       /* launches that were waited for */
    int early_releases; /* of kernels with launches that were not waited for */
    size_t sub_device_units;
    size_t told_group; /* what the driver tells of a kernel: most work-items of a work-group */
    size_t most_group; /* that it runs with; above: */
    cl_int group_code; /* the answer of clEnqueueNDRangeKernel to larger groups */
    size_t last_group; /* of the last launch */
    const char *build_log;
    char build_options[128]; /* of the last build */
} fake_state;

extern fake_state fake;
extern const kd_cl fake_cl;

/*
 * A clSetKernelArg for kernels that are not the fake's own: such kernels have more arguments than the fake keeps, and
 * 64-bit numbers among them. The arguments are not looked at.
 */
cl_int CL_API_CALL fake_set_any_arg(cl_kernel kernel, cl_uint index, size_t size, const void *value);
kd_cl fake_table(void); /* fake_cl with fake_set_any_arg */

void fake_reset(
    void); /* a PoCL-like CPU, another CPU, two GPUs, a broken platform, and devices too old or incomplete */

#endif
