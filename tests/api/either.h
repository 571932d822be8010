/* SPDX-License-Identifier: MIT */
/* tests/api/either.h: suites that run by the interpreter, or on a device. */
#ifndef EITHER_H
#define EITHER_H

#include "support.h"

#include "base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern kcl_context *c, *host; /* the interpreter or the device; the interpreter in any case, if a suite asks for it */
extern kcl_scope *s;          /* of c, made anew for each test */
extern bool on_device;

void begin(void);
void end(void);

void ok(kcl_status status);

/* The expression is an error whose sentence holds the parts. */
void refused(kcl_expr *e, kcl_status status, const char *const *parts);
#define REFUSED(e, status, ...) refused(e, status, (const char *const[]){__VA_ARGS__, NULL})

#endif
