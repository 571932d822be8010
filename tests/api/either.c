/* SPDX-License-Identifier: MIT */
/* tests/api/either.c: suites that run by the interpreter, or on a device. */
#include "either.h"

kcl_context *c, *host;
kcl_scope *s;
bool on_device;

void begin(void)
{
    s = kcl_scope_create(c);
}

void end(void)
{
    kcl_scope_destroy(&s);
}

void ok(kcl_status status)
{
    ck_assert_msg(status == KCL_OK, "%s", kcl_context_error(c));
}

void refused(kcl_expr *e, kcl_status status, const char *const *parts)
{
    ck_assert_msg(kcl_expr_status(e) == status, "%s: %s", kcl_status_name(kcl_expr_status(e)), kcl_expr_error(e));
    contains(kcl_expr_error(e), parts);
}
