/* SPDX-License-Identifier: MIT */
/* parse_support.h: a parser with a few names, for tests of texts. */
#ifndef TEST_PARSE_SUPPORT_H
#define TEST_PARSE_SUPPORT_H

#include "failing.h"
#include "make.h"
#include "order.h"
#include "parse.h"
#include "reductions.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static kf_graph g;
static kb_error err;
static const kf_node *x, *y, *p, *b; /* Vi(0,3), Vj(1,3), Pm(2,1), Vj(3,1) */
static kf_binding bindings[4];
static int64_t next_index;

static inline void bind_variables(void)
{
    x = kf_var(&g, 0, 3, KF_ROLE_I);
    y = kf_var(&g, 1, 3, KF_ROLE_J);
    p = kf_var(&g, 2, 1, KF_ROLE_P);
    b = kf_var(&g, 3, 1, KF_ROLE_J);
    bindings[0] = (kf_binding){"x", x};
    bindings[1] = (kf_binding){"y", y};
    bindings[2] = (kf_binding){"p", p};
    bindings[3] = (kf_binding){"b", b};
    next_index = 4;
}

static inline void setup(void)
{
    kf_graph_init(&g, NULL);
    bind_variables();
}

static inline void teardown(void)
{
    kf_graph_finish(&g);
}

static inline const kf_node *formula(const char *text)
{
    const kf_node *f = NULL;
    kcl_status status = kf_parse_formula(&g, text, KB_COUNT(bindings), bindings, &next_index, &f, &err);
    ck_assert_msg(status == KCL_OK, "%.200s: %s", text, err.text);
    ck_assert_ptr_nonnull(f);
    return f;
}

static inline kf_parsed_reduction reduction(const char *text)
{
    kf_parsed_reduction r[KF_MAX_RESULTS];
    size_t count = 0;
    kcl_status status = kf_parse_reductions(&g, text, KB_COUNT(bindings), bindings, &next_index, &count, r, &err);
    ck_assert_msg(status == KCL_OK, "%s: %s", text, err.text);
    ck_assert_uint_eq(count, 1);
    return r[0];
}

#endif
