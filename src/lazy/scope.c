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
    static const kcl_expr expr = {NULL, NULL, &no_scope_error, NULL};
    return (kcl_expr *)(uintptr_t)&expr;
}

static const kb_error gone_error = {
    KCL_ERROR_ARGUMENT, "an expression, data handle or scope was used that is gone: the scope was reset or destroyed "
                        "since then; build it again"};

static const kb_error memory_error = {KCL_ERROR_NO_MEMORY, "host memory is exhausted"};

kcl_expr *kl_scope_error(kcl_scope *scope)
{
    return !scope ? no_scope() : scope->destroyed ? &scope->gone : NULL;
}

/* ---- Scopes ------------------------------------------------------------------------------------------------------ */

kcl_scope *kcl_scope_create(kcl_context *context)
{
    if (!context)
        return NULL;
    const kcl_allocator *a = kd_allocator(context);
    kl_handles *handles = kl_handles_of(context);
    kcl_scope *scope = handles ? kl_new_scope(handles) : NULL;
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
    kb_free(a, scope->exprs);
    kb_free(a, scope->batch);
    scope->data = NULL;
    scope->exprs = NULL;
    scope->batch = NULL;
    scope->batch_count = scope->batch_capacity = 0;
    scope->has_batches = false;
    scope->data_count = scope->data_capacity = scope->expr_capacity = 0;
    scope->data_lost = false;
    kl_retire(scope, &gone_error, destroyed);
}

kcl_status kcl_scope_set_math(kcl_scope *scope, const char *math)
{
    if (!scope)
        return KCL_ERROR_ARGUMENT;
    if (kd_enter(scope->context) < 0)
        return kcl_context_status(scope->context);
    if (scope->destroyed)
        return kb_fail(kd_error(scope->context), gone_error.status, "%s", gone_error.text);
    return kl_read_math(math, &scope->options.fast, kd_error(scope->context));
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

/* ---- Expressions ------------------------------------------------------------------------------------------------- */

/* A copy that lives as long as the scope's expressions; NULL where memory is out. */
static const kb_error *kept_error(kcl_scope *scope, const kb_error *error)
{
    kb_error *kept = kb_arena_alloc(&scope->arena, sizeof *kept);
    if (kept)
        *kept = *error;
    return kept;
}

static kcl_expr *error_expr(kcl_scope *scope, const kb_error *error)
{
    const kb_error *kept = kept_error(scope, error);
    kcl_expr *expr = kl_new_handle(scope, KL_HANDLE_EXPR);
    if (!kept || !expr)
        return &scope->out_of_memory;
    *expr = (kcl_expr){scope, NULL, kept, NULL};
    return expr;
}

kcl_expr *kl_fail(kcl_scope *scope, kcl_status status, const char *format, ...)
{
    kb_error error;
    va_list args;
    if (kl_scope_error(scope))
        return kl_scope_error(scope);
    va_start(args, format);
    kb_failv(&error, status, format, args);
    va_end(args);
    return error_expr(scope, &error);
}

/* Tells every context that an operand has, but for that of `scope`, which evaluation tells. */
static void tell_contexts(int count, kcl_expr *const *operands, const kcl_scope *scope, const kb_error *error)
{
    for (int k = 0; k < count; k++)
        if (operands[k] && operands[k]->scope && operands[k]->scope->context != scope->context &&
            kd_enter(operands[k]->scope->context) == KCL_OK)
            *kd_error(operands[k]->scope->context) = *error;
}

/* What follows the word in front, "Subtract: the operands ...". */
static const char *after_name(const char *text)
{
    const size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return length && strncmp(text + length, ": ", 2) == 0 ? text + length + 2 : text;
}

static bool is_public(const char *name)
{
    return name && strncmp(name, "kcl_", 4) == 0;
}

const char *kl_call_or(const char *call, const char *name)
{
    return is_public(call) ? call : name;
}

void kl_name_call(const char *call, kb_error *err)
{
    if (is_public(call) && !is_public(err->text) && err->status != KCL_ERROR_NO_MEMORY)
        kb_fail(err, err->status, "%s: %s", call, after_name(err->text));
}

kcl_expr *kl_as(const char *call, int count, kcl_expr *const *operands, kcl_expr *result)
{
    for (int k = 0; k < count; k++)
        if (operands[k] && operands[k]->error)
            return result;
    if (!result->error || !result->scope || result->scope->destroyed || result->error->status == KCL_ERROR_NO_MEMORY)
        return result;
    kb_error renamed = *result->error;
    kb_fail(&renamed, renamed.status, "%s: %s", call, after_name(renamed.text));
    tell_contexts(count, operands, result->scope, &renamed);
    return error_expr(result->scope, &renamed);
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
static void name_operand(const kcl_scope *scope, const kf_node *f, unsigned axis, char *text, size_t size)
{
    bool reduced = false;
    for (; f->op != KF_VAR; f = below(f, axis))
        reduced = reduced || (f->op == KF_REDUCE && !kf_is_indexed(f));
    snprintf(text, size, "%s%s", reduced ? "a reduction of " : "", kl_data_name(scope, f->param[0]));
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
    char names[2][KL_NAME + 16];
    name_operand(scope, f->arg[first], KF_BATCH_AXIS(at), names[0], sizeof names[0]);
    name_operand(scope, f->arg[other], KF_BATCH_AXIS(at), names[1], sizeof names[1]);
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

kcl_expr *kl_expr_called(const char *call, kcl_scope *scope, const kf_node *node)
{
    if (!node) {
        kl_name_call(call, &scope->graph.error);
        kcl_expr *failed = error_expr(scope, &scope->graph.error);
        kf_clear_error(&scope->graph);
        return failed;
    }
    kl_batch batch;
    kb_error clash;
    if (kl_batch_of(scope, node, &batch, &clash) < 0) {
        kl_name_call(call, &clash);
        return error_expr(scope, &clash);
    }
    size_t before = scope->expr_capacity;
    if (!kb_reserve(kd_allocator(scope->context), (void **)&scope->exprs, &scope->expr_capacity, node->id + 1u,
                    sizeof *scope->exprs))
        return &scope->out_of_memory;
    if (scope->expr_capacity > before)
        memset(scope->exprs + before, 0, (scope->expr_capacity - before) * sizeof *scope->exprs);
    if (!scope->exprs[node->id]) {
        kcl_expr *expr = kl_new_handle(scope, KL_HANDLE_EXPR);
        if (!expr)
            return &scope->out_of_memory;
        *expr = (kcl_expr){scope, node, NULL, NULL};
        scope->exprs[node->id] = expr;
    }
    return scope->exprs[node->id];
}

kcl_scope *kl_common_scope_called(const char *call, int count, kcl_expr *const *operands, kcl_expr **error)
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
    *error = wrong < 0 || !operands[wrong] ? no_scope() : operands[wrong];
    if (!scope)
        return NULL;
    const char *name = kl_call_or(call, ""), *colon = *name ? ": " : "";
    /* An error of no scope, or of one that is gone, gets one, and with it a context that evaluation can tell. */
    if (failed && operands[wrong]->scope != scope)
        *error = error_expr(scope, operands[wrong]->error);
    else if (!failed && !operands[wrong])
        *error = kl_fail(scope, KCL_ERROR_ARGUMENT, "%s%soperand %d of %d is NULL", name, colon, wrong + 1, count);
    else if (!failed)
        *error = kl_fail(scope, KCL_ERROR_ARGUMENT,
                         "%s%soperand %d of %d belongs to another scope%s than operand 1: expressions of one scope can "
                         "be combined",
                         name, colon, wrong + 1, count,
                         operands[wrong]->scope && operands[wrong]->scope->context != scope->context
                             ? " (and another context)"
                             : "");
    tell_contexts(count, operands, scope, (*error)->error);
    return NULL;
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
    kf_print(&text, expr->node, symbol_name, &printer, 0);
    kcl_status status = text.failed ? kb_no_memory(err) : KCL_OK;
    if (status == KCL_OK)
        write(user, kb_str_text(&text), text.length);
    kb_str_finish(&text);
    return status;
}

/* ---- Data and variables ------------------------------------------------------------------------------------------ */

/* Appends to the name, which ends in "..." where it is full. Every evaluation names arrays, so printf is too slow. */
static void put_text(kcl_data *data, size_t *length, const char *text)
{
    const size_t room = sizeof data->name - 1 - *length, size = strlen(text), taken = KB_MIN(size, room);
    memcpy(data->name + *length, text, taken);
    *length += taken;
    data->name[*length] = 0;
    if (size > room)
        memcpy(data->name + sizeof data->name - 4, "...", 4);
}

static void put_number(kcl_data *data, size_t *length, int64_t number)
{
    char text[24], *at = text + sizeof text - 1;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *at = 0;
    do
        *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0)
        *--at = '-';
    put_text(data, length, at);
}

const char *kl_data_name(const kcl_scope *scope, int64_t index)
{
    kcl_data *data = index < (int64_t)scope->data_count ? scope->data[index] : NULL;
    if (!data)
        return "a variable that is bound to no data";
    if (*data->name)
        return data->name;
    size_t n = 0;
    put_text(data, &n, data->is_symbol ? "variable " : "array ");
    put_number(data, &n, data->is_symbol ? data->number : index);
    put_text(data, &n, " (");
    if (data->alias) {
        put_text(data, &n, "\"");
        put_text(data, &n, data->alias);
        put_text(data, &n, "\", ");
    }
    put_text(data, &n, data->call);
    const bool has_shape =
        !data->is_scalar && !data->is_symbol && data->array.ndim >= 0 && data->array.ndim <= KCL_MAX_AXES;
    for (int k = 0; has_shape && k < data->array.ndim; k++) {
        put_text(data, &n, k ? ", " : " of shape (");
        put_number(data, &n, data->array.shape[k]);
    }
    put_text(data, &n, has_shape && data->array.ndim ? "))" : ")");
    return data->name;
}

static kcl_data *new_data(const char *call, kcl_scope *scope, const kcl_array *array)
{
    if (kl_scope_error(scope))
        return NULL;
    kcl_data *data = kl_new_handle(scope, KL_HANDLE_DATA);
    if (!data || !kb_reserve(kd_allocator(scope->context), (void **)&scope->data, &scope->data_capacity,
                             scope->data_count + 1, sizeof *scope->data)) {
        scope->data_lost = true;
        return NULL;
    }
    data->scope = scope;
    data->index = (int64_t)scope->data_count;
    data->call = call;
    kl_view view;
    kb_error err = {0};
    char what[KL_NAME];
    if (!array)
        kb_fail(&err, KCL_ERROR_ARGUMENT, "%s: the array is NULL (array %zu of the scope)", call, scope->data_count);
    else if (array->ndim < 0 || array->ndim > KCL_MAX_AXES || !kb_dtype_size(array->dtype)) {
        snprintf(what, sizeof what, "%s: the array (array %zu of the scope)", call, scope->data_count);
        kl_view_of(&view, array, KF_ROLE_I, 0, KL_STATED, what, &err);
    }
    if (err.status < 0) {
        data->error = kept_error(scope, &err);
        if (!data->error) {
            scope->data_lost = true;
            return NULL;
        }
    } else {
        data->array = *array;
    }
    scope->data[scope->data_count++] = data;
    return data;
}

kcl_data *kcl_data_create(kcl_scope *scope, const kcl_array *array)
{
    return new_data(__func__, scope, array);
}

kcl_data *kcl_data_upload(kcl_scope *scope, const kcl_array *array)
{
    kcl_data *data = new_data(__func__, scope, array);
    if (!data || data->error)
        return data;
    kcl_array copy;
    if (kcl_array_upload(scope->context, array, &copy) == KCL_OK) {
        data->array = copy;
        data->memory = copy.memory;
        return data;
    }
    data->error = kept_error(scope, kd_error(scope->context));
    if (!data->error)
        scope->data_lost = true;
    return data->error ? data : NULL;
}

static kcl_expr *variable(const char *call, kcl_scope *scope, kcl_data *data, kf_role role)
{
    if (kl_scope_error(scope))
        return kl_scope_error(scope);
    if (!data && scope->data_lost)
        return &scope->out_of_memory;
    if (!data)
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "%s: the data handle is NULL", call);
    if (data->error)
        return error_expr(scope, data->error);
    if (data->scope != scope)
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "%s: the data handle belongs to another scope", call);
    if (!data->is_variable)
        data->call = call;
    data->is_variable = true;
    kl_view view;
    kb_error err;
    if (kl_view_of(&view, &data->array, role, 0, KL_STATED, "", &err) < 0) {
        kl_view_of(&view, &data->array, role, 0, KL_STATED, kl_data_name(scope, data->index), &err);
        return error_expr(scope, &err);
    }
    unsigned axes = 0;
    for (int k = 0; k < view.batch.count; k++)
        axes |= view.batch.size[k] != 1 ? KF_BATCH_AXIS(k) : 0;
    scope->has_batches |= axes != 0;
    const kf_node *var = kf_on_batches(&scope->graph, kf_var(&scope->graph, data->index, view.dim, role), axes);
    return kl_expr_called(call, scope, view.dtype == KCL_I64 ? kf_integers(&scope->graph, var) : var);
}

kcl_expr *kcl_vi_data(kcl_scope *scope, kcl_data *data)
{
    return variable(__func__, scope, data, KF_ROLE_I);
}

kcl_expr *kcl_vj_data(kcl_scope *scope, kcl_data *data)
{
    return variable(__func__, scope, data, KF_ROLE_J);
}

kcl_expr *kcl_pm_data(kcl_scope *scope, kcl_data *data)
{
    return variable(__func__, scope, data, KF_ROLE_P);
}

kcl_expr *kcl_vi(kcl_scope *scope, const kcl_array *array)
{
    return variable(__func__, scope, new_data(__func__, scope, array), KF_ROLE_I);
}

kcl_expr *kcl_vj(kcl_scope *scope, const kcl_array *array)
{
    return variable(__func__, scope, new_data(__func__, scope, array), KF_ROLE_J);
}

kcl_expr *kcl_pm(kcl_scope *scope, const kcl_array *array)
{
    return variable(__func__, scope, new_data(__func__, scope, array), KF_ROLE_P);
}

kcl_expr *kcl_lazy(kcl_scope *scope, const kcl_array *array)
{
    if (kl_scope_error(scope))
        return kl_scope_error(scope);
    if (!array || array->ndim < 0 || array->ndim > KCL_MAX_AXES)
        return variable(__func__, scope, new_data(__func__, scope, array), KF_ROLE_I);
    const int axes = array->ndim;
    if (axes <= 1)
        return variable(__func__, scope, new_data(__func__, scope, array), KF_ROLE_P);
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
    return variable(__func__, scope, new_data(__func__, scope, &stated),
                    rows != 1   ? KF_ROLE_I
                    : cols != 1 ? KF_ROLE_J
                                : KF_ROLE_P);
}

static void set_scalar(kcl_data *data, double value)
{
    data->value = value;
    data->f32 = (float)value;
    data->f64 = value;
}

kcl_expr *kcl_scalar(kcl_scope *scope, double value)
{
    if (kl_scope_error(scope))
        return kl_scope_error(scope);
    kcl_data *data = new_data(__func__, scope, &(kcl_array){.data = &value, .dtype = KCL_F64});
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
    if (kl_scope_error(scope))
        return kl_scope_error(scope);
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
    kcl_data *data = new_data(__func__, scope, &(kcl_array){.dtype = KCL_F64});
    if (!data)
        return &scope->out_of_memory;
    data->is_symbol = true;
    data->number = index;
    data->symbol_dim = dim;
    data->symbol_role = (kf_role)role;
    return kl_expr_of(scope, kf_var(&scope->graph, data->index, dim, (kf_role)role));
}

kcl_expr *kcl_constant(kcl_scope *scope, double value)
{
    if (kl_scope_error(scope))
        return kl_scope_error(scope);
    if (isnan(value))
        return kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_constant: nan is no number; kcl_scalar takes any");
    return kl_expr_of(scope, kf_num(&scope->graph, value));
}

kcl_expr *kcl_zero(kcl_scope *scope, int dim)
{
    return kl_scope_error(scope) ? kl_scope_error(scope) : kl_expr_of(scope, kf_zero(&scope->graph, dim));
}

kcl_expr *kcl_index_i(kcl_scope *scope)
{
    return kl_scope_error(scope) ? kl_scope_error(scope) : kl_expr_of(scope, kf_index(&scope->graph, 1, 0, 0));
}

kcl_expr *kcl_index_j(kcl_scope *scope)
{
    return kl_scope_error(scope) ? kl_scope_error(scope) : kl_expr_of(scope, kf_index(&scope->graph, 0, 1, 0));
}

/* Errors say the name that a text has for a variable's array. */
static void note_alias(kcl_scope *scope, const kf_node *f, const char *name)
{
    kcl_data *data = f->op == KF_VAR && (size_t)f->param[0] < scope->data_count ? scope->data[f->param[0]] : NULL;
    if (!data || data->alias)
        return;
    data->alias = kb_arena_strdup(&scope->arena, name);
    *data->name = 0;
}

kcl_expr *kcl_formula(kcl_scope *scope, const char *text, int count, const char *const *names, kcl_expr *const *values)
{
    if (kl_scope_error(scope))
        return kl_scope_error(scope);
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
            result = values[k]->scope == scope ? values[k] : error_expr(scope, values[k]->error);
        else if (values[k]->scope != scope)
            result = kl_fail(scope, KCL_ERROR_ARGUMENT, "kcl_formula: \"%s\" belongs to another scope", names[k]);
        else
            bindings[k] = (kf_binding){names[k], values[k]->node};
        if (!result)
            note_alias(scope, values[k]->node, names[k]);
    }
    if (!result) {
        kb_error err = {0};
        int64_t next = (int64_t)scope->data_count;
        const kf_node *node = NULL;
        if (kf_parse_formula(&scope->graph, text, (size_t)count, bindings, &next, &node, &err) < 0)
            result = error_expr(scope, &err);
        else
            result = kl_expr_called(NULL, scope, node); /* the operator stands in the text */
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
                "%s is used with dimension %d and with dimension %d: give it the shape (rows, D)",
                kl_data_name(e->scope, index), e->slots[other - 1].dim, leaf->dim);
        return NULL;
    }
    const kf_node *var = kf_var(&e->scope->graph, (int64_t)slot, leaf->dim, role);
    if (kf_lends_axes(leaf))
        return kf_lend_axes(&e->scope->graph, var, leaf->axes);
    if (e->batches[slot] == NOT_KNOWN)
        e->batches[slot] = leaf->axes & KF_BATCH_AXES;
    if (e->batches[slot] != (leaf->axes & KF_BATCH_AXES)) {
        kb_fail(&e->scope->graph.error, KCL_ERROR_SHAPE,
                "%s has batch axes: a formula's text cannot name it as Var(%lld,%d,%d), give it a name",
                kl_data_name(e->scope, index), (long long)index, leaf->dim, (int)role);
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
    char what[KL_NAME], first_name[KL_NAME] = "";
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
            memcpy(first_name, kl_data_name(scope, e->data[k]->index), sizeof first_name);
        }
    }
    dtype = dtype ? dtype : kl_type_beside_integers(context);
    for (size_t k = 0; status == KCL_OK && k < e->slot_count; k++) {
        kcl_data *data = e->data[k];
        memcpy(e->slots[k].name, kl_data_name(scope, data->index), sizeof e->slots[k].name);
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

/* `scope`: of the first expression that has one. */
static kcl_status check_exprs(int count, kcl_expr *const *exprs, const kcl_array *const *outs, const kcl_scope *scope,
                              kb_error *err)
{
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
    return outs ? KCL_OK : kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_eval: the list of outputs is NULL");
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
    if (check_exprs(count, exprs, outs, scope, err) < 0) {
        tell_contexts(count, exprs, scope, err);
        return err->status;
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
        return kcl_eval1(kl_as("kcl_" #name, 1, &f, kcl_reduce_##name(f, over)), out);                                 \
    }
#define SHORT_K(name)                                                                                                  \
    kcl_status kcl_##name(kcl_expr *f, int k, kcl_axes over, const kcl_array *out)                                     \
    {                                                                                                                  \
        return kcl_eval1(kl_as("kcl_" #name, 1, &f, kcl_reduce_##name(f, k, over)), out);                              \
    }
#define SHORT_WEIGHTED(name)                                                                                           \
    kcl_status kcl_##name(kcl_expr *f, kcl_expr *weight, kcl_axes over, const kcl_array *out)                          \
    {                                                                                                                  \
        return kcl_eval1(kl_as("kcl_" #name, 2, (kcl_expr *[]){f, weight}, kcl_reduce_##name(f, weight, over)), out);  \
    }
#define SHORT_PAIR(name)                                                                                               \
    kcl_status kcl_##name(kcl_expr *f, kcl_axes over, const kcl_array *values, const kcl_array *indices)               \
    {                                                                                                                  \
        kcl_expr *both[2];                                                                                             \
        both[0] = kl_as("kcl_" #name, 1, &f, kcl_reduce_##name(f, over, &both[1]));                                    \
        return kcl_eval(2, both, (const kcl_array *const[]){values, indices});                                         \
    }
#define SHORT_PAIR_K(name)                                                                                             \
    kcl_status kcl_##name(kcl_expr *f, int k, kcl_axes over, const kcl_array *values, const kcl_array *indices)        \
    {                                                                                                                  \
        kcl_expr *both[2];                                                                                             \
        both[0] = kl_as("kcl_" #name, 1, &f, kcl_reduce_##name(f, k, over, &both[1]));                                 \
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
SHORT_K(mean_kmin)
SHORT_K(mean_kmax)
SHORT_K(argkmin)
SHORT_K(argkmax)
SHORT_PAIR_K(kmin_argkmin)
SHORT_PAIR_K(kmax_argkmax)
SHORT_WEIGHTED(logsumexp_weight)
SHORT_WEIGHTED(sumsoftmaxweight)
