/* SPDX-License-Identifier: MIT */
/* formula/intern.h: how the files of this folder make nodes. */
#ifndef KF_INTERN_H
#define KF_INTERN_H

#include "graph.h"

#include <math.h>
#include <string.h>

/* For drafts: the parameters of a node with few parameters. */
#define KF_FEW_PARAMS(...)                                                                                             \
    .param_count = KF_LEAST_PARAMS, .param = (int64_t[KF_LEAST_PARAMS])                                                \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* Returns the node that equals *draft. Where there is none, the node is made from the draft. */
const kf_node *kf_intern(kf_graph *g, kf_node *draft);
bool kf_dim_in_range(kf_graph *g, const char *what, int64_t dim); /* false after refusing */
const kf_node *kf_refuse_integers(kf_graph *g, const char *name); /* int64 arrays are indices, and no operands */
/* `var`, but of a kind and on axes that kf_var does not make. */
const kf_node *kf_var_with(kf_graph *g, const kf_node *var, kf_kind kind, unsigned batches);

#endif
