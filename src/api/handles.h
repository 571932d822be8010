/* SPDX-License-Identifier: MIT */
/*
 * api/handles.h: memory of expressions, data handles and scopes.
 *
 * Users keep pointers to these longer than they should. So the memory of a handle always holds a handle, as long as its
 * context lives: what a scope leaves behind when it is reset or destroyed becomes error handles, which wait in a line, the
 * oldest first, and are used again from there. A pointer that was kept too long then is an error that says so, in every
 * build and without a check where expressions are built.
 *
 * The line is bounded: a handle leaves it only when more than KA_WAITING blocks of its kind wait and KA_RETIREMENTS later
 * scopes were reset or destroyed. A pointer kept longer than that may be that of a newer handle.
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

/* The handles of a context, made when they are first asked for; NULL where memory is out (the context's error). */
ka_handles *ka_handles_of(kcl_context *context);

/* A scope that is zero but for `handles`; NULL where memory is out. */
kcl_scope *ka_new_scope(ka_handles *handles);

/* A handle of the scope, zeroed; NULL where memory is out. */
void *ka_new_handle(kcl_scope *scope, ka_handle_kind kind);

/* Makes all handles of the scope error handles and gives them back, and the scope itself where it is destroyed. */
void ka_retire(kcl_scope *scope, const kb_error *why, bool destroyed);

#endif
