/* SPDX-License-Identifier: MIT */
/* api/expr.c: how expressions are made, and what errors are called. */
#include "batches.h"

#include <string.h>

kcl_expr *ka_error_expr(kcl_scope *scope, const kb_error *error)
{
    const kb_error *kept = ka_kept_error(scope, error);
    kcl_expr *expr = ka_new_handle(scope, KA_HANDLE_EXPR);
    if (!kept || !expr)
        return &scope->out_of_memory;
    *expr = (kcl_expr){scope, NULL, kept, NULL};
    return expr;
}

kcl_expr *ka_fail(kcl_scope *scope, kcl_status status, const char *format, ...)
{
    kb_error error;
    va_list args;
    if (ka_scope_error(scope))
        return ka_scope_error(scope);
    va_start(args, format);
    kb_failv(&error, status, format, args);
    va_end(args);
    return ka_error_expr(scope, &error);
}

void ka_tell_contexts(int count, kcl_expr *const *operands, const kcl_scope *scope, const kb_error *error)
{
    for (int k = 0; k < count; k++)
        if (operands[k] && operands[k]->scope && operands[k]->scope->context != scope->context &&
            kd_enter(operands[k]->scope->context) == KCL_OK)
            *kd_error(operands[k]->scope->context) = *error;
}

/* The sentence without the word in front, "Subtract: the operands ...". */
static const char *after_name(const char *text)
{
    const size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return length && strncmp(text + length, ": ", 2) == 0 ? text + length + 2 : text;
}

static bool is_public(const char *name)
{
    return name && strncmp(name, "kcl_", 4) == 0;
}

const char *ka_call_or(const char *call, const char *name)
{
    return is_public(call) ? call : name;
}

void ka_name_call(const char *call, kb_error *err)
{
    if (is_public(call) && !is_public(err->text) && err->status != KCL_ERROR_NO_MEMORY)
        kb_fail(err, err->status, "%s: %s", call, after_name(err->text));
}

kcl_expr *ka_as(const char *call, int count, kcl_expr *const *operands, kcl_expr *result)
{
    for (int k = 0; k < count; k++)
        if (operands[k] && operands[k]->error)
            return result;
    if (!result->error || !result->scope || result->scope->destroyed || result->error->status == KCL_ERROR_NO_MEMORY)
        return result;
    kb_error renamed = *result->error;
    kb_fail(&renamed, renamed.status, "%s: %s", call, after_name(renamed.text));
    ka_tell_contexts(count, operands, result->scope, &renamed);
    return ka_error_expr(result->scope, &renamed);
}

kcl_expr *ka_expr_called(const char *call, kcl_scope *scope, const kf_node *node)
{
    if (!node) {
        ka_name_call(call, &scope->graph.error);
        kcl_expr *failed = ka_error_expr(scope, &scope->graph.error);
        kf_clear_error(&scope->graph);
        return failed;
    }
    kg_batch batch;
    kb_error clash;
    if (ka_batch_of(scope, node, &batch, &clash) < 0) {
        ka_name_call(call, &clash);
        return ka_error_expr(scope, &clash);
    }
    size_t before = scope->expr_capacity;
    if (!kb_reserve(kd_allocator(scope->context), (void **)&scope->exprs, &scope->expr_capacity, node->id + 1u,
                    sizeof *scope->exprs))
        return &scope->out_of_memory;
    if (scope->expr_capacity > before)
        memset(scope->exprs + before, 0, (scope->expr_capacity - before) * sizeof *scope->exprs);
    if (!scope->exprs[node->id]) {
        kcl_expr *expr = ka_new_handle(scope, KA_HANDLE_EXPR);
        if (!expr)
            return &scope->out_of_memory;
        *expr = (kcl_expr){scope, node, NULL, NULL};
        scope->exprs[node->id] = expr;
    }
    return scope->exprs[node->id];
}

kcl_scope *ka_common_scope_called(const char *call, int count, kcl_expr *const *operands, kcl_expr **error)
{
    kcl_scope *scope = NULL;
    int wrong = -1; /* the first operand that is an error, or NULL, or of another scope */
    bool failed = false;
    for (int k = 0; k < count; k++) {
        const kcl_expr *f = operands[k];
        if (f && f->scope && !f->scope->destroyed && !scope)
            scope = f->scope;
        if (f && !f->node && !failed) {
            wrong = k;
            failed = true;
        }
    }
    for (int k = 0; k < count && wrong < 0; k++)
        if (!operands[k] || operands[k]->scope != scope)
            wrong = k;
    if (scope && wrong < 0)
        return scope;
    *error = wrong < 0 || !operands[wrong] ? ka_scope_error(NULL) : operands[wrong];
    if (!scope)
        return NULL;
    const char *name = ka_call_or(call, ""), *colon = *name ? ": " : "";
    /* An error without a scope, or of a scope that is gone, moves to a scope, whose context evaluation can tell. */
    if (failed && operands[wrong]->scope != scope)
        *error = ka_error_expr(scope, operands[wrong]->error);
    else if (!failed && !operands[wrong])
        *error = ka_fail(scope, KCL_ERROR_ARGUMENT, "%s%soperand %d of %d is NULL", name, colon, wrong + 1, count);
    else if (!failed)
        *error = ka_fail(scope, KCL_ERROR_ARGUMENT,
                         "%s%soperand %d of %d belongs to another scope%s than operand 1: expressions of one scope can "
                         "be combined",
                         name, colon, wrong + 1, count,
                         operands[wrong]->scope && operands[wrong]->scope->context != scope->context
                             ? " (and another context)"
                             : "");
    ka_tell_contexts(count, operands, scope, (*error)->error);
    return NULL;
}
