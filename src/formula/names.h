/* SPDX-License-Identifier: MIT */
/* formula/names.h: the names that formula strings use. */
#ifndef KF_NAMES_H
#define KF_NAMES_H

#include "graph.h"

/* A name of the table, or a composite, by its name in formula strings. */
typedef struct kf_name {
    int op;     /* kf_op, or -1 - k for composite k */
    int arity;  /* formulas that come first */
    int params; /* whole numbers that follow */
} kf_name;

bool kf_find_name(const char *text, size_t length, kf_name *name);
const kf_node *kf_make_name(kf_graph *g, const kf_name *name, const kf_node *const *args, const int64_t *params);
/*
 * Puts the name of what the user wrote into the error that the graph has kept: in place of the operator that refused,
 * of which the user may know nothing, or in front of the error.
 */
void kf_name_error(kf_graph *g, const char *name, size_t length);
/* Calls visit for every name that formula strings may use, in the order of the table. */
void kf_each_name(void (*visit)(void *user, const char *text), void *user);

#endif
