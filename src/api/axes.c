/* SPDX-License-Identifier: MIT */
/* api/axes.c: the axes i and j of an expression, and rows chosen by an index. */
#include "builder.h"
#include "make.h"
#include "passes.h"
#include "reductions.h"

kcl_expr *kcl_transpose(kcl_expr *f)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &f, &error);
    return scope ? ka_shaped(ka_expr_of(scope, kf_transpose(&scope->graph, f->node)), f->inner) : error;
}

kcl_expr *kcl_like(kcl_expr *f, kcl_expr *axes_of)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(2, (kcl_expr *[]){f, axes_of}, &error);
    return scope ? ka_shaped(ka_expr_of(scope, kf_like(&scope->graph, f->node, axes_of->node)), f->inner) : error;
}

kcl_expr *kcl_gather(kcl_expr *table, kcl_expr *index)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(2, (kcl_expr *[]){table, index}, &error);
    if (!scope)
        return error;
    kcl_expr *rows = ka_expr_of(scope, kf_gather_rows(&scope->graph, table->node, index->node));
    return rows->node && rows->node->dim == table->node->dim ? ka_shaped(rows, table->inner) : rows;
}
