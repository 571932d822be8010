/* SPDX-License-Identifier: MIT */
/* api/builder.c: operators applied to expressions. */
#include "builder.h"
#include "make.h"
#include "names.h"

#include <string.h>

/* Operands that are brought together for an operator. */
typedef struct operands {
    kcl_scope *scope;
    const kf_node *nodes[KF_MAX_ARGS];
    ka_inner inner; /* of the result, if */
    bool shaped;    /* an operand has an inner shape */
} operands;

/* `name` is what errors call an elementwise operator that has no caller. False: *error is what the caller returns. */
static bool join(operands *o, const char *call, const char *name, bool elementwise, int count, kcl_expr *const *exprs,
                 kcl_expr **error)
{
    *o = (operands){.scope = ka_common_scope_called(call, count, exprs, error)};
    for (int k = 0; o->scope && k < count; k++)
        o->nodes[k] = exprs[k]->node;
    return o->scope && (!elementwise || ka_broadcast(ka_call_or(call, name), o->scope, count, exprs, o->nodes,
                                                     &o->inner, &o->shaped, error));
}

static kcl_expr *result_of(const operands *o, const char *call, const kf_node *made)
{
    return ka_shaped(ka_expr_called(call, o->scope, made), o->shaped ? &o->inner : NULL);
}

kcl_expr *ka_apply_called(const char *call, kf_op op, int count, kcl_expr *const *exprs, const int64_t *params)
{
    const kf_op_info *info = kf_info(op);
    kcl_expr *error;
    operands o;
    if (!join(&o, call, info->name, info->op_class == KF_CLASS_MAP, count, exprs, &error))
        return error;
    return result_of(&o, call, kf_make(&o.scope->graph, op, o.nodes, params));
}

kcl_expr *ka_exchanged_called(const char *call, kf_op op, kcl_expr *f, kcl_expr *g)
{
    kcl_expr *error;
    operands o;
    if (!join(&o, call, kf_info(op)->name, true, 2, (kcl_expr *[]){f, g}, &error))
        return error;
    return result_of(&o, call, kf_exchanged(&o.scope->graph, op, o.nodes[0], o.nodes[1]));
}

kcl_expr *ka_named_called(const char *call, const char *name, bool elementwise, int count, kcl_expr *const *exprs,
                          const int64_t *params)
{
    kcl_expr *error;
    operands o;
    if (!join(&o, call, name, elementwise, count, exprs, &error))
        return error;
    kf_name found;
    const kf_node *made = NULL;
    if (kf_find_name(name, strlen(name), &found))
        made = kf_make_name(&o.scope->graph, &found, o.nodes, params);
    return result_of(&o, call, made);
}
