/* SPDX-License-Identifier: MIT */
/* api/scope.c: scopes, and what is left of them. */
#include "scope.h"

static const kb_error no_scope_error = {
    KCL_ERROR_ARGUMENT, "an expression was built without a scope (the scope or an operand is NULL): create one with "
                        "kcl_scope_create and check that the context could be made"};

static kcl_expr *no_scope(void)
{
    static const kcl_expr expr = {NULL, NULL, &no_scope_error, NULL};
    return (kcl_expr *)(uintptr_t)&expr;
}

static const kb_error gone_error = {
    KCL_ERROR_ARGUMENT, "an expression, data handle or scope was used that is gone: the scope was reset or destroyed "
                        "since then; build it again"};

static const kb_error memory_error = {KCL_ERROR_NO_MEMORY, "host memory is exhausted"};

kcl_expr *ka_scope_error(kcl_scope *scope)
{
    return !scope ? no_scope() : scope->destroyed ? &scope->gone : NULL;
}

const kb_error *ka_kept_error(kcl_scope *scope, const kb_error *error)
{
    kb_error *kept = kb_arena_alloc(&scope->arena, sizeof *kept);
    if (kept)
        *kept = *error;
    return kept;
}

kcl_scope *kcl_scope_create(kcl_context *context)
{
    if (!context)
        return NULL;
    const kcl_allocator *a = kd_allocator(context);
    ka_handles *handles = ka_handles_of(context);
    kcl_scope *scope = handles ? ka_new_scope(handles) : NULL;
    if (!scope) {
        kb_no_memory(kd_error(context));
        return NULL;
    }
    scope->context = context;
    kf_graph_init(&scope->graph, a);
    kb_arena_init(&scope->arena, a);
    scope->out_of_memory = (kcl_expr){scope, NULL, &memory_error, NULL};
    scope->gone = (kcl_expr){scope, NULL, &gone_error, NULL};
    return scope;
}

/* Gives back all but the scope itself; its handles become errors. */
static void clear(kcl_scope *scope, bool destroyed)
{
    const kcl_allocator *a = kd_allocator(scope->context);
    for (size_t k = 0; k < scope->data_count; k++)
        kcl_memory_release(&scope->data[k]->memory);
    kf_graph_finish(&scope->graph);
    kb_arena_finish(&scope->arena);
    kb_free(a, scope->data);
    kb_free(a, scope->symbols);
    kb_free(a, scope->exprs);
    kb_free(a, scope->batch);
    scope->data = NULL;
    scope->symbols = NULL;
    scope->exprs = NULL;
    scope->batch = NULL;
    scope->batch_count = scope->batch_capacity = 0;
    scope->has_batches = false;
    scope->data_count = scope->data_capacity = scope->expr_capacity = 0;
    scope->symbol_count = scope->symbol_capacity = 0;
    scope->data_lost = false;
    ka_retire(scope, &gone_error, destroyed);
}

kcl_status kcl_scope_set_math(kcl_scope *scope, const char *math)
{
    if (!scope)
        return KCL_ERROR_ARGUMENT;
    if (kd_enter(scope->context) < 0)
        return kcl_context_status(scope->context);
    if (scope->destroyed)
        return kb_fail(kd_error(scope->context), gone_error.status, "%s", gone_error.text);
    return kg_read_math(math, &scope->options.fast, kd_error(scope->context));
}

void kcl_scope_reset(kcl_scope *scope)
{
    if (scope && !scope->destroyed)
        clear(scope, false);
}

void kcl_scope_destroy(kcl_scope **scope)
{
    kcl_scope *s = scope ? *scope : NULL;
    if (s && !s->destroyed)
        clear(s, true);
    if (scope)
        *scope = NULL;
}
