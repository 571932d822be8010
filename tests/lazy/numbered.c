/* SPDX-License-Identifier: MIT */
#include "numbered.h"

kcl_context *c, *host;
kcl_scope *s;
bool on_device;

void ok(kcl_status status)
{
    ck_assert_msg(status == KCL_OK, "%s", kcl_context_error(c));
}

void refused(kcl_expr *e, kcl_status status, const char *const *parts)
{
    ck_assert_int_eq(kcl_expr_status(e), status);
    contains(kcl_expr_error(e), parts);
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

static void begin(void)
{
    s = kcl_scope_create(c);
}

static void end(void)
{
    kcl_scope_destroy(&s);
}

int run_numbered(int argc, char **argv, const char *name, const test_entry *tests, size_t count,
                 const test_entry *device_tests, size_t device_count)
{
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = name,
                                              .context = &c,
                                              .host = &host,
                                              .on_device = &on_device,
                                              .begin = begin,
                                              .end = end,
                                              .tests = tests,
                                              .count = count,
                                              .device_tests = device_tests,
                                              .device_count = device_count});
}
