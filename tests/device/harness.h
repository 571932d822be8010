/* SPDX-License-Identifier: MIT */
/* tests/device/harness.h: what the tests against the fake OpenCL share. */
#ifndef HARNESS_H
#define HARNESS_H

#include "failing.h"
#include "fake_cl.h"

#include <check.h>

extern const char harness_source[]; /* a program with the kernels "twice" and "idle" */
extern char harness_folder[512];    /* a folder of the test's own, which is KEOPSCL_CACHE_DIR */
extern char harness_log[16384];     /* what contexts of open_device logged */

void put_file(const char *path, const void *data, size_t size);
void empty_folder(void);

/* The n-th name in the folder that contains `part`, as a path; false if there are fewer. */
bool find_file(const char *part, int n, char path[1024]);

/* Checks that the text has all parts. */
void has_parts(const char *text, const char *const *parts);
#define HAS(text, ...) has_parts(text, (const char *const[]){__VA_ARGS__, NULL})

kcl_status open_device(kcl_context **context, const char *device);

/* out = 2 * in for n floats. Returns the status of the first call that failed. */
kcl_status run_twice(kcl_context *context, const float *in, float *out, int n);

/* Runs "twice" several times, in place of each other, on changing numbers. */
void check_twice(kcl_context *context);

void harness_setup(void); /* a clean environment, an empty folder */
void harness_teardown(void);

/* Runs the tests, each from a clean environment; the exit status. */
int run_tests(const char *name, const TTest *const *tests, size_t count);

#endif
