/* SPDX-License-Identifier: MIT */
/* api/builder.c: operators applied to expressions. */
#include "builder.h"
#include "make.h"
#include "names.h"

#include <string.h>

kcl_expr *ka_apply_called(const char *call, kf_op op, int count, kcl_expr *const *operands, const int64_t *params)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope_called(call, count, operands, &error);
    if (!scope)
        return error;
    const kf_node *nodes[KF_MAX_ARGS] = {0};
    ka_inner inner;
    bool shaped = false;
    for (int k = 0; k < count; k++)
        nodes[k] = operands[k]->node;
    if (kf_info(op)->op_class == KF_CLASS_MAP &&
        !ka_broadcast(ka_call_or(call, kf_info(op)->name), scope, count, operands, nodes, &inner, &shaped, &error))
        return error;
    return ka_shaped(ka_expr_called(call, scope, kf_make(&scope->graph, op, nodes, params)), shaped ? &inner : NULL);
}

kcl_expr *ka_named_called(const char *call, const char *name, bool elementwise, int count, kcl_expr *const *operands,
                          const int64_t *params)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope_called(call, count, operands, &error);
    if (!scope)
        return error;
    const kf_node *nodes[KF_MAX_ARGS] = {0};
    ka_inner inner;
    bool shaped = false;
    for (int k = 0; k < count; k++)
        nodes[k] = operands[k]->node;
    if (elementwise && !ka_broadcast(ka_call_or(call, name), scope, count, operands, nodes, &inner, &shaped, &error))
        return error;
    kf_name found;
    const kf_node *made = NULL;
    if (kf_find_name(name, strlen(name), &found))
        made = kf_make_name(&scope->graph, &found, nodes, params);
    return ka_shaped(ka_expr_called(call, scope, made), shaped ? &inner : NULL);
}
