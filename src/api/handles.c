/* SPDX-License-Identifier: MIT */
/* api/handles.c: memory of expressions, data handles and scopes. */
#include "handles.h"
#include "scope.h"

#include <pthread.h>
#include <string.h>

static const struct kind {
    size_t size, per_block, waiting;
} kinds[KA_HANDLE_KINDS] = {
    [KA_HANDLE_EXPR] = {sizeof(kcl_expr), 128, KA_WAITING_EXPRS},
    [KA_HANDLE_DATA] = {sizeof(kcl_data), 16, KA_WAITING_DATA},
};

/* Blocks in the order in which they were given back. */
typedef struct line {
    ka_block *first, *last;
    size_t count;
} line;

struct ka_handles {
    kcl_allocator allocator;
    pthread_mutex_t lock; /* scopes of one context may be built in by several threads */
    uint64_t retirements;
    line lines[KA_HANDLE_KINDS];
    kcl_scope *first, *last; /* destroyed scopes */
    size_t scopes;
};

static ka_handles *create(const kcl_allocator *allocator)
{
    ka_handles *h = kb_calloc(allocator, 1, sizeof *h);
    if (!h)
        return NULL;
    h->allocator = *allocator;
    if (pthread_mutex_init(&h->lock, NULL) == 0)
        return h;
    kb_free(allocator, h);
    return NULL;
}

/* Every scope must be destroyed. */
static void destroy(kcl_context *context, void *object)
{
    (void)context;
    ka_handles *h = object;
    const kcl_allocator a = h->allocator;
    for (int kind = 0; kind < KA_HANDLE_KINDS; kind++) {
        for (ka_block *b = h->lines[kind].first, *next; b; b = next) {
            next = b->next;
            kb_free(&a, b);
        }
    }
    for (kcl_scope *s = h->first, *next; s; s = next) {
        next = s->next;
        kb_free(&a, s);
    }
    pthread_mutex_destroy(&h->lock);
    kb_free(&a, h);
}

ka_handles *ka_handles_of(kcl_context *context)
{
    ka_handles *h = kd_attachment(context, KD_PLACE_HANDLES);
    if (!h) {
        h = create(kd_allocator(context));
        if (!h)
            kb_no_memory(kd_error(context));
        else
            kd_attach(context, KD_PLACE_HANDLES, h, destroy);
    }
    return h;
}

kcl_scope *ka_new_scope(ka_handles *h)
{
    kcl_scope *scope = NULL;
    pthread_mutex_lock(&h->lock);
    if (h->scopes > KA_WAITING_SCOPES) {
        scope = h->first;
        h->first = scope->next;
        h->last = h->first ? h->last : NULL;
        h->scopes--;
    }
    pthread_mutex_unlock(&h->lock);
    if (scope)
        memset(scope, 0, sizeof *scope);
    else
        scope = kb_calloc(&h->allocator, 1, sizeof *scope);
    if (scope)
        scope->handles = h;
    return scope;
}

static ka_block *take_block(ka_handles *h, ka_handle_kind kind)
{
    line *l = &h->lines[kind];
    ka_block *b = NULL;
    pthread_mutex_lock(&h->lock);
    if (l->count > kinds[kind].waiting && h->retirements - l->first->retired >= KA_RETIREMENTS) {
        b = l->first;
        l->first = b->next;
        l->last = l->first ? l->last : NULL;
        l->count--;
    }
    pthread_mutex_unlock(&h->lock);
    if (!b)
        b = kb_alloc(&h->allocator, sizeof *b + kinds[kind].per_block * kinds[kind].size);
    if (b)
        b->used = 0;
    return b;
}

void *ka_new_handle(kcl_scope *scope, ka_handle_kind kind)
{
    ka_block *b = scope->blocks[kind];
    if (!b || b->used == kinds[kind].per_block) {
        b = take_block(scope->handles, kind);
        if (!b)
            return NULL;
        b->next = scope->blocks[kind];
        scope->blocks[kind] = b;
    }
    void *handle = (char *)b->handles + kinds[kind].size * b->used++;
    memset(handle, 0, kinds[kind].size);
    return handle;
}

/* An error handle keeps its scope, which knows the context to tell. */
static void make_error(ka_block *b, ka_handle_kind kind, const kb_error *why)
{
    for (size_t k = 0; k < b->used; k++) {
        if (kind == KA_HANDLE_EXPR) {
            kcl_expr *expr = (kcl_expr *)b->handles + k;
            *expr = (kcl_expr){.scope = expr->scope, .error = why};
        } else {
            kcl_data *data = (kcl_data *)b->handles + k;
            *data = (kcl_data){.scope = data->scope, .error = why};
        }
    }
}

void ka_retire(kcl_scope *scope, const kb_error *why, bool destroyed)
{
    ka_handles *h = scope->handles;
    for (int kind = 0; kind < KA_HANDLE_KINDS; kind++)
        for (ka_block *b = scope->blocks[kind]; b; b = b->next)
            make_error(b, (ka_handle_kind)kind, why);
    pthread_mutex_lock(&h->lock);
    h->retirements++;
    for (int kind = 0; kind < KA_HANDLE_KINDS; kind++) {
        line *l = &h->lines[kind];
        for (ka_block *b = scope->blocks[kind], *next; b; b = next) {
            next = b->next;
            b->next = NULL;
            b->retired = h->retirements;
            *(l->last ? &l->last->next : &l->first) = b;
            l->last = b;
            l->count++;
        }
        scope->blocks[kind] = NULL;
    }
    if (destroyed) {
        scope->destroyed = true;
        scope->next = NULL;
        *(h->last ? &h->last->next : &h->first) = scope;
        h->last = scope;
        h->scopes++;
    }
    pthread_mutex_unlock(&h->lock);
}
