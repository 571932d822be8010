/* SPDX-License-Identifier: MIT */
/* tests/api/fixture.h: a context of the interpreter and a scope, made anew for each test. */
#ifndef FIXTURE_H
#define FIXTURE_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

extern failing memory; /* of the context */
extern kcl_context *c;
extern kcl_scope *s;

void setup(void);
void teardown(void); /* fails if a block of memory is left */

void eval_ok(kcl_expr *e, const kcl_array *out);

/* The expression is an error, its sentence holds the parts, and both reach the context through a chain of calls. */
void is_error(kcl_expr *e, kcl_status status, const char *const *parts);
#define IS_ERROR(e, status, ...) is_error(e, status, (const char *const[]){__VA_ARGS__, NULL})

/* A call failed: its status, and the parts of the context's sentence. */
#define CALL_FAILS(call, status, ...)                                                                                  \
    do {                                                                                                               \
        ck_assert_int_eq(call, status);                                                                                \
        ck_assert_int_eq(kcl_context_status(c), status);                                                               \
        CONTAINS(kcl_context_error(c), __VA_ARGS__);                                                                   \
    } while (0)

#define ALIASES(...) ((const char *const[]){__VA_ARGS__})

/* The operator of a formula without an error. */
kcl_operator *make(const char *formula, int count, const char *const *aliases);

/* A formula of three arrays and a parameter: x = Vi(3), y = Vj(3), b = Vj(1), g = Pm(1). */
extern const char gauss[];
extern const char *const gauss_aliases[4];

#endif
