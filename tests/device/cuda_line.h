/* SPDX-License-Identifier: MIT */
/* tests/device/cuda_line.h: a kernel, y = a * x + b, and what the tests of the device layer on CUDA do with it. */
#ifndef CUDA_LINE_H
#define CUDA_LINE_H

#include "harness.h"
#include "on_cuda.h"

enum { N = 1000 };

extern const char line_source[];
extern float xs[N], got[N]; /* 0, 1, 2, ..., and room for results; made anew for each test */
extern void *stream;        /* of device 0, made anew for each test */

#define OK(call) ck_assert_msg((call) == KCL_OK, "%s", kcl_context_error(c))

kcl_status launch_line(kcl_context *c, const kd_arg *x, const kd_arg *y, float a, float b);
kcl_status line(kcl_context *c, const kcl_memory *x, const kcl_memory *y, float a, float b); /* without waiting */
kcl_status host_line(kcl_context *c, const float *x, float *y, float a, float b);            /* of arrays of the host */

void check_line(const float *y, float a, float b); /* against the plain loop */
void check_host_line(kcl_context *c, float a, float b);

/* A context that has its program: the first call compiles, and waits until the program can be kept. */
kcl_context *open_warm(void *on, const kcl_context *share);

kcl_memory *describe(kcl_context *c, cu_pointer at); /* N floats */
kcl_status open_by_name(kcl_context **c, const char *name);

/*
 * Runs the tests in this process, each from a clean environment; the exit status. `on_cuda`: and with a stream, after which
 * nothing may be left on the simulated device.
 */
int run_on_cuda(const char *name, const TTest *const *tests, size_t count, bool on_cuda);

#endif
