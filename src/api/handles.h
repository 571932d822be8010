/* SPDX-License-Identifier: MIT */
/*
 * api/handles.h: memory of expressions, data handles and scopes.
 *
 * Users keep pointers to these longer than they should. So the memory of a handle always holds a handle, as long as its
 * context lives: what a scope leaves behind when it is reset or destroyed becomes error handles, which wait in a line, the
 * oldest first, and are used again from there. A pointer that was kept too long then is an error that says so, in every
 * build and without a check where expressions are built.
 *
 * The line is bounded: a handle leaves it only when more than KL_WAITING blocks of its kind wait and KL_RETIREMENTS later
 * scopes were reset or destroyed. A pointer kept longer than that may be that of a newer handle.
 */
#ifndef KL_HANDLES_H
#define KL_HANDLES_H

#include "device.h"

#include <keopscl/expr.h>

enum { KL_WAITING_EXPRS = 256, KL_WAITING_DATA = 64, KL_WAITING_SCOPES = 16, KL_RETIREMENTS = 4 };

typedef enum kl_handle_kind { KL_HANDLE_EXPR, KL_HANDLE_DATA, KL_HANDLE_KINDS } kl_handle_kind;

/* Handles of one kind. */
typedef struct kl_block {
    struct kl_block *next;
    uint64_t retired; /* number of the retirement */
    size_t used;
    max_align_t handles[];
} kl_block;

typedef struct kl_handles kl_handles;

/* The handles of a context, made when they are first asked for; NULL where memory is out (the context's error). */
kl_handles *kl_handles_of(kcl_context *context);

/* A scope that is zero but for `handles`; NULL where memory is out. */
kcl_scope *kl_new_scope(kl_handles *handles);

/* A handle of the scope, zeroed; NULL where memory is out. */
void *kl_new_handle(kcl_scope *scope, kl_handle_kind kind);

/* Makes all handles of the scope error handles and gives them back, and the scope itself where it is destroyed. */
void kl_retire(kcl_scope *scope, const kb_error *why, bool destroyed);

#endif
