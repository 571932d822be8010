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
    static const kcl_expr expr = {NULL, NULL, &no_scope_error};
    return (kcl_expr *)(uintptr_t)&expr;
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
    scope->out_of_memory = (kcl_expr){scope, NULL, &scope->memory_error};
    return scope;
}

void kcl_scope_reset(kcl_scope *scope)
{
    if (!scope)
        return;
    const kcl_allocator *a = kd_allocator(scope->context);
    for (size_t k = 0; k < scope->data_count; k++)
        kcl_memory_release(&scope->data[k]->memory);
    kf_graph_finish(&scope->graph);
    kb_arena_finish(&scope->arena);
    kb_free(a, scope->data);
    kb_free(a, scope->exprs);
    scope->data = NULL;
    scope->exprs = NULL;
    scope->data_count = scope->data_capacity = scope->expr_capacity = 0;
    scope->data_lost = false;
}

void kcl_scope_destroy(kcl_scope **scope)
{
    if (!scope || !*scope)
        return;
    const kcl_allocator a = *kd_allocator((*scope)->context);
    kcl_scope_reset(*scope);
    kb_free(&a, *scope);
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
    *expr = (kcl_expr){scope, NULL, kept};
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

kcl_expr *kl_expr_of(kcl_scope *scope, const kf_node *node)
{
    if (!node) {
        kcl_expr *failed = error_expr(scope, &scope->graph.error);
        kf_clear_error(&scope->graph);
        return failed;
    }
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
        *expr = (kcl_expr){scope, node, NULL};
        scope->exprs[node->id] = expr;
    }
    return scope->exprs[node->id];
}

kcl_scope *kl_common_scope(int count, kcl_expr *const *operands, kcl_expr **error)
{
    kcl_scope *scope = NULL;
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
    return expr && expr->node ? expr->node->axes : 0;
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
    data->index = (int64_t)scope->data_count;
    kl_view view;
    kb_error err = {0};
    char what[48];
    snprintf(what, sizeof what, "array %zu", scope->data_count);
    if (!array)
        kb_fail(&err, KCL_ERROR_ARGUMENT, "%s is NULL", what);
    else if (array->ndim < 0 || array->ndim > KCL_MAX_AXES || !kb_dtype_size(array->dtype))
        kl_view_of(&view, array, KF_ROLE_I, 0, what, &err);
    else
        kl_check_input_type(&(kl_view){.dtype = array->dtype}, what, &err);
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
    if (data->error)
        return error_expr(scope, data->error);
    kl_view view;
    kb_error err;
    char what[48];
    snprintf(what, sizeof what, "array %lld", (long long)data->index);
    if (kl_view_of(&view, &data->array, role, 0, what, &err) < 0)
        return error_expr(scope, &err);
    return kl_expr_of(scope, kf_var(&scope->graph, data->index, view.dim, role));
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
    const int64_t *n = array->shape;
    int axes = array->ndim;
    if (axes <= 1)
        return kcl_pm(scope, array);
    if (axes == 3 && n[1] == 1 && n[0] != 1)
        return kcl_vi(scope, array);
    if (axes == 3 && n[0] == 1 && n[1] != 1)
        return kcl_vj(scope, array);
    if (axes == 3 && n[0] == 1 && n[1] == 1)
        return kcl_pm(scope, array);
    if (axes == 3)
        return kl_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_lazy: shape (%lld, %lld, %lld) has both the axis i and the axis j: K_ij is given by a "
                       "formula, not by an array; one of the first two sizes must be 1",
                       (long long)n[0], (long long)n[1], (long long)n[2]);
    return kl_fail(scope, KCL_ERROR_SHAPE,
                   "kcl_lazy: an array of %d axes does not tell its role: (M, 1, D) is an i-variable, (1, N, D) a "
                   "j-variable, (1, 1, D) or (D) a parameter; kcl_vi, kcl_vj and kcl_pm state it",
                   axes);
}

kcl_expr *kcl_scalar(kcl_scope *scope, double value)
{
    if (!scope)
        return no_scope();
    kcl_data *data = kcl_data_create(scope, &(kcl_array){.data = &value, .dtype = KCL_F64});
    if (!data)
        return &scope->out_of_memory;
    data->is_scalar = true;
    data->value = value;
    data->f32 = (float)value;
    data->f64 = value;
    return kl_expr_of(scope, kf_var(&scope->graph, data->index, 1, KF_ROLE_P));
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
        return kl_fail(scope, KCL_ERROR_SHAPE,
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
    if (scope && !isfinite(value))
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_constant: %g is not a finite number; kcl_scalar takes any",
                       value);
    return scope ? kl_expr_of(scope, kf_num(&scope->graph, value)) : no_scope();
}

kcl_expr *kcl_zero(kcl_scope *scope, int dim)
{
    return scope ? kl_expr_of(scope, kf_zero(&scope->graph, dim)) : no_scope();
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

typedef struct evaluation {
    kcl_scope *scope;
    int64_t *slot_at; /* by data index: slot + 1 */
    kl_slot *slots;
    kcl_data **data; /* by slot */
    size_t slot_count;
    bool *roles; /* by slot and role */
    bool failed;
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
        kb_fail(&e->scope->graph.error, KCL_ERROR_ARGUMENT,
                "variable %d (kcl_var) is bound to no array: make an operator of the expression (kcl_operator_from) and "
                "apply it to arrays",
                e->scope->data[index]->number);
        return NULL;
    }
    if (!e->slot_at[index]) {
        e->data[e->slot_count] = e->scope->data[index];
        e->slots[e->slot_count].dim = leaf->dim;
        e->slot_at[index] = (int64_t)++e->slot_count;
    }
    size_t slot = (size_t)e->slot_at[index] - 1;
    if (e->slots[slot].dim != leaf->dim) {
        kb_fail(&e->scope->graph.error, KCL_ERROR_SHAPE,
                "array %lld is used with dimension %d and with dimension %d: give it the shape (rows, D)",
                (long long)index, e->slots[slot].dim, leaf->dim);
        return NULL;
    }
    e->roles[slot * 4 + (size_t)leaf->param[2]] = true;
    return kf_var(&e->scope->graph, (int64_t)slot, leaf->dim, (kf_role)leaf->param[2]);
}

static kcl_status run_evaluation(evaluation *e, size_t count, const kf_node **roots, const kcl_array *const *outs)
{
    kcl_scope *scope = e->scope;
    kcl_context *context = scope->context;
    const kcl_allocator *a = kd_allocator(context);
    kb_error *err = kd_error(context);
    kf_graph *g = &scope->graph;
    kl_exec *exec = NULL;
    kcl_status status = kf_substitute(g, count, roots, false, renumber, e, roots);
    if (status < 0) {
        *err = g->error;
        kf_clear_error(g);
        return status;
    }
    kl_view *views = kb_calloc(a, e->slot_count + count + 1, sizeof *views);
    if (!views)
        return kb_no_memory(err);
    kl_view *out_views = views + e->slot_count;
    kcl_dtype dtype = KCL_DTYPE_NONE;
    char what[48], first_name[48] = "";
    for (size_t k = 0; status == KCL_OK && k < count; k++) {
        snprintf(what, sizeof what, "output %zu", k);
        status = kl_check_root(roots[k], k, err);
        if (status == KCL_OK)
            status =
                kl_view_of(&out_views[k], outs[k], roots[k]->axes ? KF_ROLE_I : KF_ROLE_P, roots[k]->dim, what, err);
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
        if (!e->data[k]->is_scalar) {
            dtype = e->data[k]->array.dtype;
            snprintf(first_name, sizeof first_name, "array %lld", (long long)e->data[k]->index);
        }
    }
    for (size_t k = 0; status == KCL_OK && k < e->slot_count; k++) {
        kcl_data *data = e->data[k];
        const bool *roles = &e->roles[k * 4];
        snprintf(e->slots[k].name, sizeof e->slots[k].name, "array %lld", (long long)data->index);
        if (data->is_scalar) {
            const void *value = dtype == KCL_F32 ? (const void *)&data->f32 : (const void *)&data->f64;
            views[k] =
                (kl_view){.data = value, .dtype = dtype, .rows = 1, .dim = 1, .step = (int64_t)kb_dtype_size(dtype)};
            continue;
        }
        bool rows = roles[KF_ROLE_I] || roles[KF_ROLE_J];
        status =
            kl_view_of(&views[k], &data->array, rows ? KF_ROLE_I : KF_ROLE_P, e->slots[k].dim, e->slots[k].name, err);
        if (status == KCL_OK && views[k].dtype != dtype)
            status = kb_fail(err, KCL_ERROR_TYPE, "%s is %s, %s is %s: all arrays need one type", e->slots[k].name,
                             kb_dtype_name(views[k].dtype), first_name, kb_dtype_name(dtype));
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
        status = kl_exec_create(&exec, g, count, roots, e->slot_count, e->slots, NULL, err);
    if (status == KCL_OK)
        status = kl_exec_check(exec, views, out_views, err);
    if (status == KCL_OK)
        status = kl_exec_run(exec, context, dtype, views, out_views);
    kl_exec_destroy(&exec);
    kb_free(a, views);
    return status;
}

kcl_status kcl_eval(int count, kcl_expr *const *exprs, const kcl_array *const *outs)
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
        if (exprs[k]->error) {
            *err = *exprs[k]->error;
            return err->status;
        }
        if (exprs[k]->scope != scope)
            return kb_fail(err, KCL_ERROR_ARGUMENT,
                           "kcl_eval: expression %d belongs to another scope than expression 0", k);
    }
    const kcl_allocator *a = kd_allocator(context);
    size_t most = scope->data_count + 1;
    evaluation e = {.scope = scope};
    e.slot_at = kb_calloc(a, most, sizeof *e.slot_at);
    e.slots = kb_calloc(a, most, sizeof *e.slots);
    e.data = kb_calloc(a, most, sizeof *e.data);
    e.roles = kb_calloc(a, most * 4, sizeof *e.roles);
    const kf_node **roots = kb_calloc(a, (size_t)count, sizeof *roots);
    kcl_status status = KCL_OK;
    if (!e.slot_at || !e.slots || !e.data || !e.roles || !roots)
        status = kb_no_memory(err);
    for (int k = 0; status == KCL_OK && k < count; k++)
        roots[k] = exprs[k]->node;
    if (status == KCL_OK)
        status = run_evaluation(&e, (size_t)count, roots, outs);
    kb_free(a, e.slot_at);
    kb_free(a, e.slots);
    kb_free(a, e.data);
    kb_free(a, e.roles);
    kb_free(a, roots);
    return status;
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
