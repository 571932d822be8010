/* SPDX-License-Identifier: MIT */
/*
 * tests/run/sharing.h: what the tests share that run by the interpreter, and on this machine's first OpenCL CPU: as it is, as
 * one whose outputs are mapped, and as a device to which everything is copied. Without an OpenCL CPU the interpreter alone is
 * tested.
 */
#ifndef SHARING_H
#define SHARING_H

#include "internal.h"
#include "support.h"

enum { HOST, IN_PLACE, MAPPED, COPIED, DEVICES };

extern kcl_context *host, *device, *c; /* c: the context under test */

/* Sets c: one device in three ways, so that kernels are built once. What a GPU has copied is not seen in place. */
void choose(int which);

#define OK(call) ck_assert_msg((call) == KCL_OK, "%s: %s", #call, kcl_context_error(c))
#define REFUSED(call, ...)                                                                                             \
    do {                                                                                                               \
        ck_assert_int_eq(call, KCL_ERROR_ARGUMENT);                                                                    \
        CONTAINS(kcl_context_error(c), __VA_ARGS__);                                                                   \
    } while (0)

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* Opens the contexts and returns the number of rounds of tests that begin with choose(_i). */
int begin_sharing(const char *program);

/* Runs the tests and returns the exit status. */
int run_sharing(const char *name, const test_entry *tests, size_t count);

#endif
