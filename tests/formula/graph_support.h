/* SPDX-License-Identifier: MIT */
/* graph_support.h: a graph with a few variables, for tests of graphs and passes. */
#ifndef TEST_GRAPH_SUPPORT_H
#define TEST_GRAPH_SUPPORT_H

#include "dense.h"

static kf_graph g;
static const kf_node *x, *y, *s, *p; /* Vi(0,3), Vj(1,3), Vi(2,1), Pm(3,2) */

static inline void setup(void)
{
    kf_graph_init(&g, NULL);
    x = kf_var(&g, 0, 3, KF_ROLE_I);
    y = kf_var(&g, 1, 3, KF_ROLE_J);
    s = kf_var(&g, 2, 1, KF_ROLE_I);
    p = kf_var(&g, 3, 2, KF_ROLE_P);
}

static inline void teardown(void)
{
    kf_graph_finish(&g);
}

static inline const kf_node *with(kf_op op, const kf_node *f, int64_t p0, int64_t p1)
{
    return kf_make(&g, op, &f, (const int64_t[]){p0, p1});
}

#endif
