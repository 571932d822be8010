/* SPDX-License-Identifier: MIT */
/* lazy/scope.c: scopes, data handles, variables, evaluation. */
#include "scope.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- The expression without a scope ------------------------------------------------------------------------------ */

static const kb_error no_scope_error = {
    KCL_ERROR_ARGUMENT, "an expression was built without a scope (the scope or an operand is NULL): create one with "
                        "kcl_scope_create and check that the context could be made"};

static kcl_expr *no_scope(void)
{
    static const kcl_expr expr = {NULL, NULL, &no_scope_error, NULL, 0};
    return (kcl_expr *)(uintptr_t)&expr;
}

static const kb_error gone_error = {
    KCL_ERROR_ARGUMENT, "an expression or data handle was used whose scope was reset or destroyed since it was made: "
                        "build it again"};

static kcl_expr *gone(void)
{
    static const kcl_expr expr = {NULL, NULL, &gone_error, NULL, 0};
    return (kcl_expr *)(uintptr_t)&expr;
}

bool kl_is_gone(const kcl_expr *expr)
{
#ifdef NDEBUG
    (void)expr;
    return false;
#else
    return expr->scope && expr->generation != expr->scope->generation;
#endif
}

/* ---- Scopes ------------------------------------------------------------------------------------------------------ */

kcl_scope *kcl_scope_create(kcl_context *context)
{
    if (!context || kcl_context_status(context) == KCL_ERROR_NO_MEMORY || !kd_allocator(context))
        return NULL;
    const kcl_allocator *a = kd_allocator(context);
    kcl_scope *scope = kb_calloc(a, 1, sizeof *scope);
    if (!scope)
        return NULL;
    scope->context = context;
    kf_graph_init(&scope->graph, a);
    kb_arena_init(&scope->arena, a);
    kb_no_memory(&scope->memory_error);
    scope->out_of_memory = (kcl_expr){scope, NULL, &scope->memory_error, NULL, 1};
    scope->generation = 1;
    return scope;
}

/* Frees the arena, and a scope that is to be destroyed; debug builds keep them for a while. */
static void drop(kcl_context *context, kb_arena *arena, kcl_scope *destroyed)
{
    const kcl_allocator *a = kd_allocator(context);
#ifndef NDEBUG
    kl_grave **graves = kl_graves(context), *grave = graves ? kb_calloc(a, 1, sizeof *grave) : NULL;
    if (grave) {
        *grave = (kl_grave){*graves, *arena, destroyed};
        *graves = grave;
        kl_graves_free(a, graves, KL_GRAVES);
        kb_arena_init(arena, a);
        return;
    }
#endif
    kb_arena_finish(arena);
    kb_free(a, destroyed);
}

static void clear(kcl_scope *scope)
{
    const kcl_allocator *a = kd_allocator(scope->context);
    for (size_t k = 0; k < scope->data_count; k++)
        kcl_memory_release(&scope->data[k]->memory);
    kf_graph_finish(&scope->graph);
    kb_free(a, scope->data);
    kb_free(a, scope->exprs);
    kb_free(a, scope->batch);
    scope->data = NULL;
    scope->exprs = NULL;
    scope->batch = NULL;
    scope->batch_count = scope->batch_capacity = 0;
    scope->has_batches = false;
    scope->data_count = scope->data_capacity = scope->expr_capacity = 0;
    scope->data_lost = false;
}

kcl_status kcl_scope_set_math(kcl_scope *scope, const char *math)
{
    if (!scope)
        return KCL_ERROR_ARGUMENT;
    if (kd_enter(scope->context) < 0)
        return kcl_context_status(scope->context);
    return kl_read_math(math, &scope->options.fast, kd_error(scope->context));
}

void kcl_scope_reset(kcl_scope *scope)
{
    if (!scope)
        return;
    clear(scope);
    scope->generation++;
    scope->generation += !scope->generation;
    scope->out_of_memory.generation = scope->generation;
    drop(scope->context, &scope->arena, NULL);
}

void kcl_scope_destroy(kcl_scope **scope)
{
    if (!scope || !*scope)
        return;
    kcl_scope *s = *scope;
    clear(s);
    s->generation = 0;
    kb_arena arena = s->arena;
    drop(s->context, &arena, s);
    *scope = NULL;
}

/* ---- Expressions ------------------------------------------------------------------------------------------------- */

static kcl_expr *error_expr(kcl_scope *scope, const kb_error *error)
{
    kb_error *kept = kb_arena_alloc(&scope->arena, sizeof *kept);
    kcl_expr *expr = kb_arena_alloc(&scope->arena, sizeof *expr);
    if (!kept || !expr)
        return &scope->out_of_memory;
    *kept = *error;
    *expr = (kcl_expr){scope, NULL, kept, NULL, scope->generation};
    return expr;
}

kcl_expr *kl_fail(kcl_scope *scope, kcl_status status, const char *format, ...)
{
    kb_error error;
    va_list args;
    if (!scope)
        return no_scope();
    va_start(args, format);
    kb_failv(&error, status, format, args);
    va_end(args);
    return error_expr(scope, &error);
}

/* ---- Batch axes of expressions ----------------------------------------------------------------------------------- */

/* The batch axes of a variable's array; none for one that is bound to no array. */
static kl_batch batch_of_variable(const kcl_scope *scope, const kf_node *var)
{
    kl_view view = {.rows = 0};
    kb_error ignored;
    size_t index = (size_t)var->param[0];
    if (!(var->axes & KF_BATCH_AXES) || index >= scope->data_count ||
        kl_view_of(&view, &scope->data[index]->array, (kf_role)var->param[2], 0, KL_STATED, "", &ignored) < 0)
        return (kl_batch){0};
    for (int k = 0; k < view.batch.count; k++)
        if (!(var->axes & KF_BATCH_AXIS(k)))
            view.batch.size[k] = 1;
    while (view.batch.count && view.batch.size[view.batch.count - 1] == 1)
        view.batch.count--;
    return view.batch;
}

static kl_batch batch_of_operands(const kcl_scope *scope, const kf_node *f)
{
    kl_batch batch = {0};
    for (int c = 0; c < f->arg_count; c++) {
        const kl_batch *of = &scope->batch[f->arg[c]->id];
        if (of->count < 0 || kl_batch_join(&batch, of) >= 0)
            return (kl_batch){.count = -1};
    }
    for (int k = 0; f->op == KF_REDUCE && k < batch.count; k++)
        if (f->param[1] & KF_BATCH_AXIS(k))
            batch.size[k] = 1;
    return batch;
}

static const kf_node *below(const kf_node *f, unsigned axis)
{
    for (int c = 0; c < f->arg_count; c++)
        if (f->arg[c]->axes & axis)
            return f->arg[c];
    return f;
}

/* Names an operand by a variable that gives it the axis. */
static void name_operand(const kf_node *f, unsigned axis, char *text, size_t size)
{
    bool reduced = false;
    for (; f->op != KF_VAR; f = below(f, axis))
        reduced = reduced || (f->op == KF_REDUCE && !kf_is_indexed(f));
    snprintf(text, size, "%sarray %lld", reduced ? "a reduction of " : "", (long long)f->param[0]);
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
    kl_batch batch = scope->batch[f->arg[0]->id];
    int other = 1, at = kl_batch_join(&batch, &scope->batch[f->arg[1]->id]);
    if (at < 0)
        at = kl_batch_join(&batch, &scope->batch[f->arg[other = 2]->id]);
    int first = f->arg[0]->axes & KF_BATCH_AXIS(at) ? 0 : 1;
    char names[2][64];
    name_operand(f->arg[first], KF_BATCH_AXIS(at), names[0], sizeof names[0]);
    name_operand(f->arg[other], KF_BATCH_AXIS(at), names[1], sizeof names[1]);
    return kb_fail(
        err, KCL_ERROR_SHAPE,
        "%s: the first operand has size %lld on batch axis %d (that of %s), the other %lld (that of %s): sizes "
        "must be equal, or one of them 1; batch axes are those before the rows, -1 is the last of them",
        f->op == KF_REDUCE ? kf_reduction_get((kf_reduction)f->param[0])->name : kf_info((kf_op)f->op)->name,
        (long long)batch.size[at], -1 - at, names[0], (long long)scope->batch[f->arg[other]->id].size[at], names[1]);
}

kcl_status kl_batch_of(kcl_scope *scope, const kf_node *node, kl_batch *batch, kb_error *err)
{
    *batch = (kl_batch){0};
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

const kf_node *kl_with_batches_of(kcl_scope *scope, const kf_node *node, const kf_node *like)
{
    kl_batch have, want;
    kb_error ignored;
    if (!node || !scope->has_batches || kl_batch_of(scope, node, &have, &ignored) < 0 ||
        kl_batch_of(scope, like, &want, &ignored) < 0 || have.count == want.count)
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
    if (node && kl_batch_of(scope, node, &want, &scope->graph.error) == KCL_OK)
        scope->batch[node->id] = have;
    return scope->graph.error.status == KCL_OK ? node : NULL;
}

/* Rows on an axis of the pair: of a variable that has it. */
static int64_t rows_on(const kcl_scope *scope, const kf_node *f, unsigned axis)
{
    kl_view view;
    kb_error ignored;
    if (!(f->axes & axis))
        return 1;
    while (f->op != KF_VAR)
        f = below(f, axis);
    if ((size_t)f->param[0] >= scope->data_count ||
        kl_view_of(&view, &scope->data[f->param[0]]->array, (kf_role)f->param[2], 0, KL_STATED, "", &ignored) < 0)
        return 1;
    return view.rows;
}

int kcl_expr_shape(const kcl_expr *expr, int64_t shape[KCL_MAX_AXES])
{
    kl_batch batch;
    kb_error ignored;
    if (!expr || !expr->node || kl_batch_of(expr->scope, expr->node, &batch, &ignored) < 0)
        return 0;
    int count = 0;
    for (int k = batch.count - 1; k >= 0; k--)
        shape[count++] = batch.size[k];
    for (unsigned axis = KF_AXIS_I; axis <= KF_AXIS_J; axis *= 2) {
        const kf_node *f = expr->node;
        shape[count++] = rows_on(expr->scope, f, axis);
    }
    shape[count++] = expr->node->dim;
    return count;
}

kcl_expr *kl_expr_of(kcl_scope *scope, const kf_node *node)
{
    if (!node) {
        kcl_expr *failed = error_expr(scope, &scope->graph.error);
        kf_clear_error(&scope->graph);
        return failed;
    }
    kl_batch batch;
    kb_error clash;
    if (kl_batch_of(scope, node, &batch, &clash) < 0)
        return error_expr(scope, &clash);
    size_t before = scope->expr_capacity;
    if (!kb_reserve(kd_allocator(scope->context), (void **)&scope->exprs, &scope->expr_capacity, node->id + 1u,
                    sizeof *scope->exprs))
        return &scope->out_of_memory;
    if (scope->expr_capacity > before)
        memset(scope->exprs + before, 0, (scope->expr_capacity - before) * sizeof *scope->exprs);
    if (!scope->exprs[node->id]) {
        kcl_expr *expr = kb_arena_alloc(&scope->arena, sizeof *expr);
        if (!expr)
            return &scope->out_of_memory;
        *expr = (kcl_expr){scope, node, NULL, NULL, scope->generation};
        scope->exprs[node->id] = expr;
    }
    return scope->exprs[node->id];
}

kcl_scope *kl_common_scope(int count, kcl_expr *const *operands, kcl_expr **error)
{
    kcl_scope *scope = NULL;
    *error = gone();
    for (int k = 0; k < count; k++)
        if (operands[k] && kl_is_gone(operands[k]))
            return NULL;
    *error = no_scope();
    for (int k = 0; k < count; k++)
        if (operands[k] && operands[k]->scope)
            scope = operands[k]->scope;
    for (int k = 0; k < count; k++) {
        if (operands[k] && !operands[k]->node) {
            *error = operands[k];
            return NULL;
        }
    }
    if (!scope)
        return NULL;
    for (int k = 0; k < count; k++) {
        if (!operands[k]) {
            *error = kl_fail(scope, KCL_ERROR_ARGUMENT, "operand %d of %d is NULL", k + 1, count);
            return NULL;
        }
        if (operands[k]->scope != scope) {
            *error = kl_fail(scope, KCL_ERROR_ARGUMENT, "operand %d of %d belongs to another scope", k + 1, count);
            return NULL;
        }
    }
    return scope;
}

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
    if (!expr || !expr->node || !write)
        return expr && expr->error ? expr->error->status : KCL_ERROR_ARGUMENT;
    kb_str text;
    symbol_printer printer = {.scope = expr->scope};
    kb_str_init(&text, kd_allocator(expr->scope->context));
    kf_print(&text, expr->node, symbol_name, &printer, 0);
    kcl_status status = text.failed ? KCL_ERROR_NO_MEMORY : KCL_OK;
    if (status == KCL_OK)
        write(user, kb_str_text(&text), text.length);
    kb_str_finish(&text);
    return status;
}

/* ---- Data and variables ------------------------------------------------------------------------------------------ */

kcl_data *kcl_data_create(kcl_scope *scope, const kcl_array *array)
{
    if (!scope)
        return NULL;
    kcl_data *data = kb_arena_alloc(&scope->arena, sizeof *data);
    if (!data || !kb_reserve(kd_allocator(scope->context), (void **)&scope->data, &scope->data_capacity,
                             scope->data_count + 1, sizeof *scope->data)) {
        scope->data_lost = true;
        return NULL;
    }
    data->scope = scope;
    data->generation = scope->generation;
    data->index = (int64_t)scope->data_count;
    kl_view view;
    kb_error err = {0};
    char what[48];
    snprintf(what, sizeof what, "array %zu", scope->data_count);
    if (!array)
        kb_fail(&err, KCL_ERROR_ARGUMENT, "%s is NULL", what);
    else if (array->ndim < 0 || array->ndim > KCL_MAX_AXES || !kb_dtype_size(array->dtype))
        kl_view_of(&view, array, KF_ROLE_I, 0, KL_STATED, what, &err);
    if (err.status < 0) {
        data->error = kb_arena_alloc(&scope->arena, sizeof *data->error);
        if (!data->error) {
            scope->data_lost = true;
            return NULL;
        }
        *data->error = err;
    } else {
        data->array = *array;
    }
    scope->data[scope->data_count++] = data;
    return data;
}

kcl_data *kcl_data_upload(kcl_scope *scope, const kcl_array *array)
{
    kcl_data *data = kcl_data_create(scope, array);
    if (!data || data->error)
        return data;
    kcl_array copy;
    if (kcl_array_upload(scope->context, array, &copy) == KCL_OK) {
        data->array = copy;
        data->memory = copy.memory;
        return data;
    }
    data->error = kb_arena_alloc(&scope->arena, sizeof *data->error);
    if (data->error)
        *data->error = *kd_error(scope->context);
    else
        scope->data_lost = true;
    return data->error ? data : NULL;
}

static kcl_expr *variable(kcl_scope *scope, kcl_data *data, kf_role role)
{
    if (!scope)
        return no_scope();
    if (!data && scope->data_lost)
        return &scope->out_of_memory;
    if (!data)
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "a variable was made from no data (NULL)");
    if (data->scope != scope)
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "a variable was made from data of another scope");
    if (data->generation != scope->generation)
        return gone();
    if (data->error)
        return error_expr(scope, data->error);
    kl_view view;
    kb_error err;
    char what[48];
    snprintf(what, sizeof what, "array %lld", (long long)data->index);
    if (kl_view_of(&view, &data->array, role, 0, KL_STATED, what, &err) < 0)
        return error_expr(scope, &err);
    unsigned axes = 0;
    for (int k = 0; k < view.batch.count; k++)
        axes |= view.batch.size[k] != 1 ? KF_BATCH_AXIS(k) : 0;
    scope->has_batches |= axes != 0;
    const kf_node *var = kf_on_batches(&scope->graph, kf_var(&scope->graph, data->index, view.dim, role), axes);
    return kl_expr_of(scope, view.dtype == KCL_I64 ? kf_integers(&scope->graph, var) : var);
}

kcl_expr *kcl_vi_data(kcl_scope *scope, kcl_data *data)
{
    return variable(scope, data, KF_ROLE_I);
}

kcl_expr *kcl_vj_data(kcl_scope *scope, kcl_data *data)
{
    return variable(scope, data, KF_ROLE_J);
}

kcl_expr *kcl_pm_data(kcl_scope *scope, kcl_data *data)
{
    return variable(scope, data, KF_ROLE_P);
}

kcl_expr *kcl_vi(kcl_scope *scope, const kcl_array *array)
{
    return variable(scope, kcl_data_create(scope, array), KF_ROLE_I);
}

kcl_expr *kcl_vj(kcl_scope *scope, const kcl_array *array)
{
    return variable(scope, kcl_data_create(scope, array), KF_ROLE_J);
}

kcl_expr *kcl_pm(kcl_scope *scope, const kcl_array *array)
{
    return variable(scope, kcl_data_create(scope, array), KF_ROLE_P);
}

kcl_expr *kcl_lazy(kcl_scope *scope, const kcl_array *array)
{
    if (!scope)
        return no_scope();
    if (!array || array->ndim < 0 || array->ndim > KCL_MAX_AXES)
        return kcl_vi(scope, array);
    const int axes = array->ndim;
    if (axes <= 1)
        return kcl_pm(scope, array);
    if (axes == 2)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_lazy: an array of 2 axes does not tell its role: (M, 1, D) is an i-variable, (1, N, D) a "
                       "j-variable, (1, 1, D) or (D) a parameter, each with batch axes in front of it where there are "
                       "some; kcl_vi, kcl_vj and kcl_pm state the role");
    const int64_t rows = array->shape[axes - 3], cols = array->shape[axes - 2];
    if (rows != 1 && cols != 1) {
        char shape[160];
        kl_put_shape(shape, sizeof shape, array);
        return kl_fail(
            scope, KCL_ERROR_SHAPE,
            "kcl_lazy: shape %s has both the axis i (size %lld) and the axis j (size %lld): K_ij is given by a "
            "formula, not by an array; one of the two sizes must be 1",
            shape, (long long)rows, (long long)cols);
    }
    /* Without the axes of the pair that it lacks. */
    kcl_array stated = *array;
    stated.ndim = 0;
    for (int k = 0; k < axes; k++) {
        if ((k == axes - 3 && rows == 1) || (k == axes - 2 && cols == 1))
            continue;
        stated.shape[stated.ndim] = array->shape[k];
        stated.stride[stated.ndim++] = array->stride[k];
    }
    return rows != 1 ? kcl_vi(scope, &stated) : cols != 1 ? kcl_vj(scope, &stated) : kcl_pm(scope, &stated);
}

static void set_scalar(kcl_data *data, double value)
{
    data->value = value;
    data->f32 = (float)value;
    data->f64 = value;
}

kcl_expr *kcl_scalar(kcl_scope *scope, double value)
{
    if (!scope)
        return no_scope();
    kcl_data *data = kcl_data_create(scope, &(kcl_array){.data = &value, .dtype = KCL_F64});
    if (!data)
        return &scope->out_of_memory;
    data->is_scalar = true;
    set_scalar(data, value);
    return kl_expr_of(scope, kf_var(&scope->graph, data->index, 1, KF_ROLE_P));
}

kcl_status kcl_scalar_set(kcl_expr *scalar, double value)
{
    kcl_expr *error;
    kcl_scope *scope = kl_common_scope(1, &scalar, &error);
    if (!scope)
        return kcl_expr_status(error);
    if (kd_enter(scope->context) < 0)
        return kcl_context_status(scope->context);
    const int64_t index = scalar->node->op == KF_VAR ? scalar->node->param[0] : INT64_MAX;
    if (index >= (int64_t)scope->data_count || !scope->data[index]->is_scalar)
        return kb_fail(kd_error(scope->context), KCL_ERROR_ARGUMENT,
                       "kcl_scalar_set: the expression was not made by kcl_scalar, it has no value of its own");
    set_scalar(scope->data[index], value);
    return KCL_OK;
}

kcl_expr *kcl_var(kcl_scope *scope, int index, int dim, kcl_role role)
{
    if (!scope)
        return no_scope();
    if (index < 0 || dim < 1 || dim > KF_MAX_DIM || (int)role < KCL_ROLE_I || role > KCL_ROLE_PARAMETER)
        return kl_fail(scope, KCL_ERROR_ARGUMENT,
                       "kcl_var: index %d, dimension %d, role %d: the index must be 0 or more, the dimension between 1 "
                       "and %d, the role one of KCL_ROLE_I, KCL_ROLE_J and KCL_ROLE_PARAMETER",
                       index, dim, (int)role, KF_MAX_DIM);
    for (size_t k = 0; k < scope->data_count; k++) {
        const kcl_data *known = scope->data[k];
        if (!known->is_symbol || known->number != index)
            continue;
        if (known->symbol_dim == dim && known->symbol_role == (kf_role)role)
            return kl_expr_of(scope, kf_var(&scope->graph, known->index, dim, (kf_role)role));
        static const char *const names[] = {"i", "j", "parameter"};
        return kl_fail(
            scope, KCL_ERROR_SHAPE,
            "kcl_var: variable %d has dimension %d and role %s already, it cannot have dimension %d and role "
            "%s as well",
            index, known->symbol_dim, names[known->symbol_role], dim, names[role]);
    }
    kcl_data *data = kcl_data_create(scope, &(kcl_array){.dtype = KCL_F64});
    if (!data)
        return &scope->out_of_memory;
    data->is_symbol = true;
    data->number = index;
    data->symbol_dim = dim;
    data->symbol_role = (kf_role)role;
    return kl_expr_of(scope, kf_var(&scope->graph, data->index, dim, (kf_role)role));
}

const char *kl_data_name(const kcl_scope *scope, int64_t index, char text[KL_DATA_NAME])
{
    const kcl_data *data = index < (int64_t)scope->data_count ? scope->data[index] : NULL;
    if (data && data->is_symbol)
        snprintf(text, KL_DATA_NAME, "variable %d (kcl_var)", data->number);
    else
        snprintf(text, KL_DATA_NAME, "array %lld", (long long)index);
    return text;
}

kcl_expr *kcl_constant(kcl_scope *scope, double value)
{
    if (scope && isnan(value))
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_constant: nan is no number; kcl_scalar takes any");
    return scope ? kl_expr_of(scope, kf_num(&scope->graph, value)) : no_scope();
}

kcl_expr *kcl_zero(kcl_scope *scope, int dim)
{
    return scope ? kl_expr_of(scope, kf_zero(&scope->graph, dim)) : no_scope();
}

kcl_expr *kcl_index_i(kcl_scope *scope)
{
    return scope ? kl_expr_of(scope, kf_index(&scope->graph, 1, 0, 0)) : no_scope();
}

kcl_expr *kcl_index_j(kcl_scope *scope)
{
    return scope ? kl_expr_of(scope, kf_index(&scope->graph, 0, 1, 0)) : no_scope();
}

kcl_expr *kcl_formula(kcl_scope *scope, const char *text, int count, const char *const *names, kcl_expr *const *values)
{
    if (!scope)
        return no_scope();
    if (!text || count < 0 || (count && (!names || !values)))
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_formula: the text or the list of names is missing");
    const kcl_allocator *a = kd_allocator(scope->context);
    kf_binding *bindings = kb_calloc(a, (size_t)count + 1, sizeof *bindings);
    if (!bindings)
        return &scope->out_of_memory;
    kcl_expr *result = NULL;
    for (int k = 0; k < count && !result; k++) {
        if (!names[k] || !values[k])
            result = kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_formula: name or value %d is NULL", k);
        else if (kl_is_gone(values[k]))
            result = gone();
        else if (!values[k]->node)
            result = values[k];
        else if (values[k]->scope != scope)
            result = kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_formula: \"%s\" belongs to another scope", names[k]);
        else
            bindings[k] = (kf_binding){names[k], values[k]->node};
    }
    if (!result) {
        kb_error err = {0};
        int64_t next = (int64_t)scope->data_count;
        const kf_node *node = NULL;
        if (kf_parse_formula(&scope->graph, text, (size_t)count, bindings, &next, &node, &err) < 0)
            result = error_expr(scope, &err);
        else
            result = kl_expr_of(scope, node);
    }
    kb_free(a, bindings);
    return result;
}

/* ---- Evaluation -------------------------------------------------------------------------------------------------- */

enum { NOT_KNOWN = KF_PAIR_AXES }; /* of batch axes: a variable that lends others does not tell */

typedef struct evaluation {
    kcl_scope *scope;
    int64_t *slot_at; /* by data index, and whether it is a parameter: slot + 1 */
    kl_slot *slots;
    kcl_data **data; /* by slot */
    size_t slot_count;
    bool *is_rows;     /* by slot: has rows */
    unsigned *batches; /* by slot: batch axes */
} evaluation;

/* Variables numbered by first use, so that the same structure has the same text whatever was built before. */
static const kf_node *renumber(void *user, const kf_node *leaf)
{
    evaluation *e = user;
    if (leaf->op != KF_VAR)
        return leaf;
    int64_t index = leaf->param[0];
    if (index >= (int64_t)e->scope->data_count) {
        kb_fail(&e->scope->graph.error, KCL_ERROR_ARGUMENT,
                "the formula has the variable Var(%lld,%d,%lld), which is bound to no data", (long long)index,
                leaf->dim, (long long)leaf->param[2]);
        return NULL;
    }
    if (e->scope->data[index]->is_symbol) {
        kb_fail(
            &e->scope->graph.error, KCL_ERROR_ARGUMENT,
            "variable %d (kcl_var) is bound to no array: make an operator of the expression (kcl_operator_from) and "
            "apply it to arrays",
            e->scope->data[index]->number);
        return NULL;
    }
    kf_role role = (kf_role)leaf->param[2];
    int64_t *at = &e->slot_at[2 * index + (role == KF_ROLE_P)];
    if (!*at) {
        e->data[e->slot_count] = e->scope->data[index];
        e->slots[e->slot_count].dim = leaf->dim;
        e->batches[e->slot_count] = NOT_KNOWN;
        e->is_rows[e->slot_count] = role != KF_ROLE_P;
        *at = (int64_t)++e->slot_count;
    }
    size_t slot = (size_t)*at - 1;
    for (int k = 0; k < 2; k++) {
        int64_t other = e->slot_at[2 * index + k];
        if (!other || e->slots[other - 1].dim == leaf->dim)
            continue;
        kb_fail(&e->scope->graph.error, KCL_ERROR_SHAPE,
                "array %lld is used with dimension %d and with dimension %d: give it the shape (rows, D)",
                (long long)index, e->slots[other - 1].dim, leaf->dim);
        return NULL;
    }
    const kf_node *var = kf_var(&e->scope->graph, (int64_t)slot, leaf->dim, role);
    if (kf_lends_axes(leaf))
        return kf_lend_axes(&e->scope->graph, var, leaf->axes);
    if (e->batches[slot] == NOT_KNOWN)
        e->batches[slot] = leaf->axes & KF_BATCH_AXES;
    if (e->batches[slot] != (leaf->axes & KF_BATCH_AXES)) {
        kb_fail(&e->scope->graph.error, KCL_ERROR_SHAPE,
                "array %lld has batch axes: a formula's text cannot name it as Var(%lld,%d,%d), give it a name",
                (long long)index, (long long)index, leaf->dim, (int)role);
        return NULL;
    }
    var = leaf->kind == KF_INT ? kf_integers(&e->scope->graph, var) : var;
    return kf_on_batches(&e->scope->graph, var, leaf->axes);
}

static kf_role role_of(const kf_node *result)
{
    return result->axes & KF_AXIS_I ? KF_ROLE_I : result->axes & KF_AXIS_J ? KF_ROLE_J : KF_ROLE_P;
}

static kcl_status run_evaluation(evaluation *e, size_t count, const kf_node **roots, const kcl_array *const *outs,
                                 const kr_scale *scales)
{
    kcl_scope *scope = e->scope;
    kcl_context *context = scope->context;
    const kcl_allocator *a = kd_allocator(context);
    kb_error *err = kd_error(context);
    kf_graph *g = &scope->graph;
    kl_exec *exec = NULL;
    kl_batch *batches = kb_calloc(a, count + 1, sizeof *batches);
    if (!batches)
        return kb_no_memory(err);
    for (size_t k = 0; k < count; k++) {
        if (kl_batch_of(scope, roots[k], &batches[k], err) < 0) {
            kb_free(a, batches);
            return err->status;
        }
    }
    kcl_status status = kf_substitute(g, count, roots, false, renumber, e, roots);
    if (status < 0) {
        *err = g->error;
        kf_clear_error(g);
        kb_free(a, batches);
        return status;
    }
    kl_view *views = kb_calloc(a, e->slot_count + count + 1, sizeof *views);
    if (!views) {
        kb_free(a, batches);
        return kb_no_memory(err);
    }
    kl_view *out_views = views + e->slot_count;
    kcl_dtype dtype = KCL_DTYPE_NONE;
    char what[48], first_name[48] = "";
    for (size_t k = 0; status == KCL_OK && k < count; k++) {
        snprintf(what, sizeof what, "output %zu", k);
        status = kl_check_root(roots[k], k, err);
        if (status == KCL_OK)
            status =
                kl_view_of_result(&out_views[k], outs[k], role_of(roots[k]), roots[k]->dim, &batches[k], what, err);
        if (status == KCL_OK)
            status = kl_check_output_type(&out_views[k], (kf_kind)roots[k]->kind, what, err);
        if (status < 0 || roots[k]->kind == KF_INT)
            continue;
        if (dtype && out_views[k].dtype != dtype)
            status = kb_fail(err, KCL_ERROR_TYPE, "%s is %s, %s is %s: all arrays need one type", what,
                             kb_dtype_name(out_views[k].dtype), first_name, kb_dtype_name(dtype));
        if (!dtype)
            memcpy(first_name, what, sizeof what);
        dtype = out_views[k].dtype;
    }
    /* Where all results are indices, the variables tell. */
    for (size_t k = 0; !dtype && k < e->slot_count; k++) {
        if (!e->data[k]->is_scalar && e->data[k]->array.dtype != KCL_I64) {
            dtype = e->data[k]->array.dtype;
            snprintf(first_name, sizeof first_name, "array %lld", (long long)e->data[k]->index);
        }
    }
    dtype = dtype ? dtype : kl_type_beside_integers(context);
    for (size_t k = 0; status == KCL_OK && k < e->slot_count; k++) {
        kcl_data *data = e->data[k];
        snprintf(e->slots[k].name, sizeof e->slots[k].name, "array %lld", (long long)data->index);
        if (data->is_scalar) {
            const void *value = dtype == KCL_F32 ? (const void *)&data->f32 : (const void *)&data->f64;
            views[k] =
                (kl_view){.data = value, .dtype = dtype, .rows = 1, .dim = 1, .step = (int64_t)kb_dtype_size(dtype)};
            continue;
        }
        bool rows = e->is_rows[k];
        unsigned batches = 0;
        status = kl_view_of(&views[k], &data->array, rows ? KF_ROLE_I : KF_ROLE_P, 0, KL_STATED, e->slots[k].name, err);
        if (status == KCL_OK && views[k].dtype != KCL_I64 && views[k].dtype != dtype)
            status = kb_fail(err, KCL_ERROR_TYPE, "%s is %s, %s is %s: all arrays need one type", e->slots[k].name,
                             kb_dtype_name(views[k].dtype), first_name, kb_dtype_name(dtype));
        for (int b = 0; b < views[k].batch.count; b++)
            batches |= views[k].batch.size[b] != 1 ? KF_BATCH_AXIS(b) : 0;
        if (status == KCL_OK && e->batches[k] != NOT_KNOWN && batches != e->batches[k])
            status =
                kb_fail(err, KCL_ERROR_SHAPE,
                        "%s has batch axes, which a formula's text that calls it Var(...) does not know: give it a "
                        "name in kcl_formula",
                        e->slots[k].name);
        e->slots[k].batch = views[k].batch;
        if (!rows)
            continue;
        e->slots[k].rows = views[k].rows;
        /* Arrays of the same length may share sweeps. */
        size_t first = 0;
        while (first < k && (e->slots[first].extent == 0 || views[first].rows != views[k].rows))
            first++;
        e->slots[k].extent = first < k ? e->slots[first].extent : (int)k + 1;
    }
    if (status == KCL_OK)
        status = kl_exec_create(&exec, g, count, roots, e->slot_count, e->slots, &scope->options, err);
    if (status == KCL_OK)
        status = kl_exec_check(exec, views, out_views, err);
    if (status == KCL_OK)
        status = kl_exec_run(exec, context, dtype, views, out_views, scales);
    kl_exec_destroy(&exec);
    kb_free(a, views);
    kb_free(a, batches);
    return status;
}

kcl_status kcl_eval_scaled(int count, kcl_expr *const *exprs, const kcl_array *const *outs, const double *alpha,
                           const double *beta)
{
    kcl_scope *scope = NULL;
    for (int k = 0; exprs && k < count && !scope; k++)
        scope = exprs[k] ? exprs[k]->scope : NULL;
    if (!scope)
        return KCL_ERROR_ARGUMENT;
    kcl_context *context = scope->context;
    if (kd_enter(context) < 0)
        return kcl_context_status(context);
    kb_error *err = kd_error(context);
    if (!outs)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_eval: the list of outputs is NULL");
    for (int k = 0; k < count; k++) {
        if (!exprs[k])
            return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_eval: expression %d is NULL", k);
        if (kl_is_gone(exprs[k]))
            return kb_fail(err, gone_error.status, "%s", gone_error.text);
        if (exprs[k]->error) {
            *err = *exprs[k]->error;
            return err->status;
        }
        if (exprs[k]->scope != scope)
            return kb_fail(err, KCL_ERROR_ARGUMENT,
                           "kcl_eval: expression %d belongs to another scope than expression 0", k);
    }
    const kcl_allocator *a = kd_allocator(context);
    size_t most = 2 * scope->data_count + 1;
    evaluation e = {.scope = scope};
    e.slot_at = kb_calloc(a, most, sizeof *e.slot_at);
    e.slots = kb_calloc(a, most, sizeof *e.slots);
    e.data = kb_calloc(a, most, sizeof *e.data);
    e.is_rows = kb_calloc(a, most, sizeof *e.is_rows);
    e.batches = kb_calloc(a, most, sizeof *e.batches);
    const kf_node **roots = kb_calloc(a, (size_t)count, sizeof *roots);
    kcl_status status = KCL_OK;
    const bool is_scaled = alpha || beta;
    kr_scale *scales = is_scaled ? kb_calloc(a, (size_t)count, sizeof *scales) : NULL;
    if (!e.slot_at || !e.slots || !e.data || !e.is_rows || !e.batches || !roots || (is_scaled && !scales))
        status = kb_no_memory(err);
    for (int k = 0; status == KCL_OK && k < count; k++)
        roots[k] = exprs[k]->node;
    if (status == KCL_OK && is_scaled)
        status = kl_scales_of(scales, (size_t)count, roots, alpha, beta, err);
    if (status == KCL_OK)
        status = run_evaluation(&e, (size_t)count, roots, outs, scales);
    kb_free(a, scales);
    kb_free(a, e.slot_at);
    kb_free(a, e.slots);
    kb_free(a, e.data);
    kb_free(a, e.is_rows);
    kb_free(a, e.batches);
    kb_free(a, roots);
    return status;
}

kcl_status kcl_eval(int count, kcl_expr *const *exprs, const kcl_array *const *outs)
{
    return kcl_eval_scaled(count, exprs, outs, NULL, NULL);
}

kcl_status kcl_eval1(kcl_expr *expr, const kcl_array *out)
{
    return kcl_eval(1, &expr, &out);
}

#define SHORT(name)                                                                                                    \
    kcl_status kcl_##name(kcl_expr *f, kcl_axes over, const kcl_array *out)                                            \
    {                                                                                                                  \
        return kcl_eval1(kcl_reduce_##name(f, over), out);                                                             \
    }
#define SHORT_K(name)                                                                                                  \
    kcl_status kcl_##name(kcl_expr *f, int k, kcl_axes over, const kcl_array *out)                                     \
    {                                                                                                                  \
        return kcl_eval1(kcl_reduce_##name(f, k, over), out);                                                          \
    }
#define SHORT_WEIGHTED(name)                                                                                           \
    kcl_status kcl_##name(kcl_expr *f, kcl_expr *weight, kcl_axes over, const kcl_array *out)                          \
    {                                                                                                                  \
        return kcl_eval1(kcl_reduce_##name(f, weight, over), out);                                                     \
    }
#define SHORT_PAIR(name)                                                                                               \
    kcl_status kcl_##name(kcl_expr *f, kcl_axes over, const kcl_array *values, const kcl_array *indices)               \
    {                                                                                                                  \
        kcl_expr *both[2];                                                                                             \
        both[0] = kcl_reduce_##name(f, over, &both[1]);                                                                \
        return kcl_eval(2, both, (const kcl_array *const[]){values, indices});                                         \
    }
#define SHORT_PAIR_K(name)                                                                                             \
    kcl_status kcl_##name(kcl_expr *f, int k, kcl_axes over, const kcl_array *values, const kcl_array *indices)        \
    {                                                                                                                  \
        kcl_expr *both[2];                                                                                             \
        both[0] = kcl_reduce_##name(f, k, over, &both[1]);                                                             \
        return kcl_eval(2, both, (const kcl_array *const[]){values, indices});                                         \
    }

SHORT(sum)
SHORT(mean)
SHORT(logsumexp)
SHORT(min)
SHORT(max)
SHORT(argmin)
SHORT(argmax)
SHORT_PAIR(min_argmin)
SHORT_PAIR(max_argmax)
SHORT_K(kmin)
SHORT_K(kmax)
SHORT_K(argkmin)
SHORT_K(argkmax)
SHORT_PAIR_K(kmin_argkmin)
SHORT_PAIR_K(kmax_argkmax)
SHORT_WEIGHTED(logsumexp_weight)
SHORT_WEIGHTED(sumsoftmaxweight)
