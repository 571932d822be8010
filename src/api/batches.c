/* SPDX-License-Identifier: MIT */
/* api/batches.c: batch axes and shapes of expressions. */
#include "batches.h"
#include "make.h"
#include "reductions.h"

#include <stdio.h>

/* The batch axes of a variable's array; none for a variable that is bound to no array. */
static kg_batch batch_of_variable(const kcl_scope *scope, const kf_node *var)
{
    kx_view view = {.rows = 0};
    kb_error ignored;
    size_t index = (size_t)var->param[0];
    if (!(var->axes & KF_BATCH_AXES) || index >= scope->data_count ||
        kx_view_of(&view, &scope->data[index]->array, (kf_role)var->param[2], 0, KX_STATED, "", &ignored) < 0)
        return (kg_batch){0};
    for (int k = 0; k < view.batch.count; k++)
        if (!(var->axes & KF_BATCH_AXIS(k)))
            view.batch.size[k] = 1;
    while (view.batch.count && view.batch.size[view.batch.count - 1] == 1)
        view.batch.count--;
    return view.batch;
}

/* An operand of f from which f has the axis and its length: numbers of rows have an axis, but tell no length. */
static const kf_node *below(const kf_node *f, unsigned axis)
{
    for (int c = 0; c < f->arg_count; c++)
        if (f->arg[c]->sized & axis)
            return f->arg[c];
    return f;
}

/* A variable from which f has the axis, NULL if no variable tells the length of the axis. */
static const kf_node *variable_of(const kf_node *f, unsigned axis)
{
    if (!(f->sized & axis))
        return NULL;
    while (f->op != KF_VAR && below(f, axis) != f)
        f = below(f, axis);
    return f->op == KF_VAR ? f : NULL;
}

static kg_batch batch_of_operands(const kcl_scope *scope, const kf_node *f)
{
    kg_batch batch = {0};
    for (int c = 0; c < f->arg_count; c++) {
        const kg_batch *of = &scope->batch[f->arg[c]->id];
        if (of->count < 0 || kg_batch_join(&batch, of) >= 0)
            return (kg_batch){.count = -1};
    }
    for (int k = 0; f->op == KF_REDUCE && k < batch.count; k++)
        if (f->param[1] & KF_BATCH_AXIS(k))
            batch.size[k] = 1;
    return batch;
}

void ka_name_operand(const kcl_scope *scope, const kf_node *f, unsigned axis, char *text, size_t size)
{
    bool reduced = false;
    for (; f->op != KF_VAR && below(f, axis) != f; f = below(f, axis))
        reduced = reduced || (f->op == KF_REDUCE && !kf_is_indexed(f));
    snprintf(text, size, "%s%s", reduced ? "a reduction of " : "",
             f->op == KF_VAR ? ka_data_name(scope, f->param[0]) : "numbers of rows");
}

/* Tells which operands below f clash. */
static kcl_status refuse_operands(const kcl_scope *scope, const kf_node *f, kb_error *err)
{
    for (int c = 0; c < f->arg_count; c++) {
        if (scope->batch[f->arg[c]->id].count < 0) {
            f = f->arg[c];
            c = -1;
        }
    }
    kg_batch batch = scope->batch[f->arg[0]->id];
    int other = 1, at = kg_batch_join(&batch, &scope->batch[f->arg[1]->id]);
    if (at < 0)
        at = kg_batch_join(&batch, &scope->batch[f->arg[other = 2]->id]);
    int first = f->arg[0]->axes & KF_BATCH_AXIS(at) ? 0 : 1;
    char names[2][KX_NAME + 16];
    ka_name_operand(scope, f->arg[first], KF_BATCH_AXIS(at), names[0], sizeof names[0]);
    ka_name_operand(scope, f->arg[other], KF_BATCH_AXIS(at), names[1], sizeof names[1]);
    return kb_fail(
        err, KCL_ERROR_SHAPE,
        "%s: the first operand has size %lld on batch axis %d (that of %s), the other %lld (that of %s): sizes "
        "must be equal, or one of them 1; batch axes are those before the rows, -1 is the last of them",
        f->op == KF_REDUCE ? kf_reduction_get((kf_reduction)f->param[0])->name : kf_info((kf_op)f->op)->name,
        (long long)batch.size[at], -1 - at, names[0], (long long)scope->batch[f->arg[other]->id].size[at], names[1]);
}

kcl_status ka_batch_of(kcl_scope *scope, const kf_node *node, kg_batch *batch, kb_error *err)
{
    *batch = (kg_batch){0};
    if (!scope->has_batches)
        return KCL_OK;
    size_t from = scope->batch_count;
    if (!kb_reserve(kd_allocator(scope->context), (void **)&scope->batch, &scope->batch_capacity, node->id + 1u,
                    sizeof *scope->batch))
        return kb_no_memory(err);
    for (; from <= node->id; from++) {
        const kf_node *f = scope->graph.nodes[from];
        scope->batch[from] = f->op == KF_VAR ? batch_of_variable(scope, f) : batch_of_operands(scope, f);
    }
    scope->batch_count = KB_MAX(scope->batch_count, from);
    if (scope->batch[node->id].count < 0)
        return refuse_operands(scope, node, err);
    *batch = scope->batch[node->id];
    return KCL_OK;
}

const kf_node *ka_with_batches_of(kcl_scope *scope, const kf_node *node, const kf_node *like)
{
    kg_batch have, want;
    kb_error ignored;
    if (!node || !scope->has_batches || ka_batch_of(scope, node, &have, &ignored) < 0 ||
        ka_batch_of(scope, like, &want, &ignored) < 0 || have.count == want.count)
        return node;
    while (have.count > want.count && have.size[have.count - 1] == 1)
        have.count--;
    while (have.count < want.count)
        have.size[have.count++] = 1;
    /* A node of its own, which takes no axis from the variable. */
    const kf_node *leaf = like;
    while (leaf->arg_count)
        leaf = leaf->arg[0];
    leaf = leaf->op == KF_VAR ? kf_lend_axes(&scope->graph, leaf, 0) : kf_rat(&scope->graph, 1, 1);
    node = kf_binary(&scope->graph, KF_LIKE, node, leaf);
    if (node && ka_batch_of(scope, node, &want, &scope->graph.error) == KCL_OK)
        scope->batch[node->id] = have;
    return scope->graph.error.status == KCL_OK ? node : NULL;
}

int64_t ka_rows_on(const kcl_scope *scope, const kf_node *f, unsigned axis)
{
    kx_view view;
    kb_error ignored;
    const kf_node *var = variable_of(f, axis);
    if (!var)
        return f->axes & axis ? -1 : 1;
    if ((size_t)var->param[0] >= scope->data_count ||
        kx_view_of(&view, &scope->data[var->param[0]]->array, (kf_role)var->param[2], 0, KX_STATED, "", &ignored) < 0)
        return 1;
    return view.rows;
}

kcl_dtype ka_type_of(const kcl_scope *scope, const kf_order *order)
{
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (f->op != KF_VAR || (size_t)f->param[0] >= scope->data_count)
            continue;
        const kcl_data *data = scope->data[f->param[0]];
        if (!data->is_scalar && !data->is_symbol && data->array.dtype != KCL_I64)
            return data->array.dtype;
    }
    return KCL_DTYPE_NONE;
}

kcl_dtype kcl_expr_dtype(const kcl_expr *expr)
{
    kf_order order;
    kb_error ignored;
    if (!expr || !expr->node || expr->node->kind == KF_INT)
        return expr && expr->node ? KCL_I64 : KCL_DTYPE_NONE;
    if (kf_order_init(&order, &expr->scope->graph, 1, &expr->node, false, &ignored) < 0)
        return KCL_DTYPE_NONE;
    const kcl_dtype dtype = ka_type_of(expr->scope, &order);
    kf_order_finish(&order);
    return dtype;
}

int kcl_expr_shape(const kcl_expr *expr, int64_t shape[KCL_MAX_AXES])
{
    kg_batch batch;
    kb_error ignored;
    if (!expr || !expr->node || ka_batch_of(expr->scope, expr->node, &batch, &ignored) < 0)
        return 0;
    int count = 0;
    for (int k = batch.count - 1; k >= 0; k--)
        shape[count++] = batch.size[k];
    for (unsigned axis = KF_AXIS_I; axis <= KF_AXIS_J; axis *= 2)
        shape[count++] = ka_rows_on(expr->scope, expr->node, axis);
    shape[count++] = expr->node->dim;
    return count;
}
