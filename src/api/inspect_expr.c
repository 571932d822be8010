/* SPDX-License-Identifier: MIT */
/* api/inspect_expr.c: what an expression is. */
#include "scope.h"
#include "text.h"

#include <stdio.h>

kcl_status kcl_expr_status(const kcl_expr *expr)
{
    return !expr ? KCL_ERROR_ARGUMENT : expr->error ? expr->error->status : KCL_OK;
}

const char *kcl_expr_error(const kcl_expr *expr)
{
    return !expr ? "the expression is NULL" : expr->error ? expr->error->text : "";
}

int kcl_expr_dim(const kcl_expr *expr)
{
    return expr && expr->node ? expr->node->dim : 0;
}

int kcl_expr_axes(const kcl_expr *expr)
{
    return expr && expr->node ? expr->node->axes & KF_PAIR_AXES : 0;
}

typedef struct symbol_printer {
    const kcl_scope *scope;
    char text[16];
} symbol_printer;

/* Variables of kcl_var have their own numbers. */
static const char *symbol_name(void *user, const kf_node *var)
{
    symbol_printer *p = user;
    const bool known = var->param[0] < (int64_t)p->scope->data_count && p->scope->data[var->param[0]]->is_symbol;
    if (!known)
        return NULL;
    snprintf(p->text, sizeof p->text, "v%d", p->scope->data[var->param[0]]->number);
    return p->text;
}

kcl_status kcl_expr_print(const kcl_expr *expr, kcl_write_fn write, void *user)
{
    kcl_context *context = expr && expr->scope ? expr->scope->context : NULL;
    kb_error local, *err = context && kd_enter(context) == KCL_OK ? kd_error(context) : &local;
    if (expr && expr->error) {
        *err = *expr->error;
        return err->status;
    }
    if (!expr || !write)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_expr_print: the %s is NULL",
                       expr ? "function that receives the text" : "expression");
    kb_str text;
    symbol_printer printer = {.scope = expr->scope};
    kb_str_init(&text, kd_allocator(expr->scope->context));
    const bool whole = kf_print(&text, expr->node, symbol_name, &printer, 0);
    kcl_status status = whole ? KCL_OK : kf_text_error(&text, err);
    if (status == KCL_OK)
        write(user, kb_str_text(&text), text.length);
    kb_str_finish(&text);
    return status;
}
