/* SPDX-License-Identifier: MIT */
/* tests/lazy/numbered.h: what the tests of numbers of rows and columns, and of rows chosen by them, share. */
#ifndef NUMBERED_H
#define NUMBERED_H

#include "support.h"

extern kcl_context *c, *host;
extern kcl_scope *s;
extern bool on_device;

void ok(kcl_status status);

void refused(kcl_expr *e, kcl_status status, const char *const *parts);

#define REFUSED(e, status, ...) refused(e, status, (const char *const[]){__VA_ARGS__, NULL})

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* Runs the tests by the interpreter, or `device_tests` where the argument is "device"; returns the exit status. */
int run_numbered(int argc, char **argv, const char *name, const test_entry *tests, size_t count,
                 const test_entry *device_tests, size_t device_count);

#endif
