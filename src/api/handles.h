/* SPDX-License-Identifier: MIT */
/*
 * api/handles.h: memory of expressions, data handles and scopes.
 *
 * Users keep pointers to handles longer than they should. So the memory of a handle always holds a handle, as long as
 * its context lives. A scope that is reset or destroyed leaves error handles behind, which wait in a line, the oldest
 * first, and are used again from there. The use of a pointer that was kept too long is then an error that says so, in
 * every build, and builders need no check for it.
 *
 * The line is bounded: a handle leaves the line only once more than KA_WAITING blocks of its kind wait and
 * KA_RETIREMENTS later scopes were reset or destroyed. A pointer that is kept even longer may point to a newer handle.
 */
#ifndef KA_HANDLES_H
#define KA_HANDLES_H

#include "device.h"

#include <keopscl/expr.h>

enum { KA_WAITING_EXPRS = 256, KA_WAITING_DATA = 64, KA_WAITING_SCOPES = 16, KA_RETIREMENTS = 4 };

typedef enum ka_handle_kind { KA_HANDLE_EXPR, KA_HANDLE_DATA, KA_HANDLE_KINDS } ka_handle_kind;

/* Handles of one kind. */
typedef struct ka_block {
    struct ka_block *next;
    uint64_t retired; /* number of the retirement */
    size_t used;
    max_align_t handles[];
} ka_block;

typedef struct ka_handles ka_handles;

/* The handles of a context, made when they are first asked for; NULL: memory is out (the context's error). */
ka_handles *ka_handles_of(kcl_context *context);

/* A scope, zeroed except `handles`; NULL: memory is out. */
kcl_scope *ka_new_scope(ka_handles *handles);

/* A handle of the scope, zeroed; NULL: memory is out. */
void *ka_new_handle(kcl_scope *scope, ka_handle_kind kind);

/* Makes all handles of the scope error handles and gives them back, and `destroyed` the scope itself as well. */
void ka_retire(kcl_scope *scope, const kb_error *why, bool destroyed);

#endif
