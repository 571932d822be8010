/* SPDX-License-Identifier: MIT */
/* api/indices.h: numbers of rows and columns that a call is given. */
#ifndef KA_INDICES_H
#define KA_INDICES_H

#include "graph.h"
#include "run.h"

#include <keopscl/values.h>

/* What is wanted of the axis i or j. */
typedef struct ka_picked {
    const char *what;     /* "row" */
    unsigned axis;        /* of the expression */
    unsigned becomes;     /* KF_AXIS_I: rows of the map; a batch axis; 0: a single row or column needs no axis */
    int64_t size, count;  /* how many rows there are, how many are wanted */
    int64_t start, step;  /* of a range */
    const int64_t *list;  /* NULL: a range */
    const kf_node *index; /* variable of the numbers; NULL: not needed yet */
} ka_picked;

/* The k-th number. */
static inline int64_t ka_number_at(const ka_picked *p, int64_t k)
{
    return p->list ? p->list[k] : p->start + k * p->step;
}

/*
 * Reads what the public function `call` was given for an axis whose size is known: sets count, and start and step or
 * list, which is in the arena. Errors are the context's.
 */
kcl_status ka_read_indices(ka_picked *p, const char *call, const kcl_indices *indices, kcl_context *context,
                           kb_arena *arena);

#endif
