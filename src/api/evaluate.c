/* SPDX-License-Identifier: MIT */
/* api/evaluate.c: expressions evaluated. */
#include "evaluate.h"
#include "batches.h"
#include "make.h"
#include "passes.h"
#include "reductions.h"

/* The batch axes of a slot whose variable only lends axes to others, and so does not tell its own. */
enum { NOT_KNOWN = KF_PAIR_AXES };

/* What a slot is bound to. */
typedef struct bound {
    kcl_data *data;
    int32_t dim;
    bool has_rows;
    unsigned batches; /* KF_BATCH_AXIS, or NOT_KNOWN */
} bound;

typedef struct evaluation {
    kcl_scope *scope;
    const ka_wanted *wanted;
    kf_graph *graph;
    size_t count;
    const kf_node **roots;
    kg_batch *batches; /* by root */
    int64_t *slot_at;  /* by data index, and whether the variable is a parameter: slot + 1 */
    bound *bound;      /* by slot */
    size_t slot_count, slot_capacity;
    kg_slot *slots;
    ka_parameter *parameters; /* by slot */
    const kcl_array **arrays; /* by slot */
} evaluation;

kcl_data *ka_data_of(const kcl_scope *scope, const kf_node *var, size_t more_count, kcl_data *const *more,
                     kb_error *err)
{
    const int64_t index = var->param[0], own = (int64_t)scope->data_count;
    kcl_data *data = index < own                                      ? scope->data[index]
                     : (uint64_t)(index - own) < (uint64_t)more_count ? more[index - own]
                                                                      : NULL;
    if (!data)
        kb_fail(err, KCL_ERROR_ARGUMENT, "the formula has the variable Var(%lld,%d,%lld), which is bound to no data",
                (long long)index, var->dim, (long long)var->param[2]);
    else if (data->is_symbol)
        kb_fail(
            err, KCL_ERROR_ARGUMENT,
            "variable %d (kcl_var) is bound to no array: make an operator of the expression (kcl_operator_from) and "
            "apply it to arrays",
            data->number);
    return data && !data->is_symbol ? data : NULL;
}

/* Data beyond those of the scope have their names. */
static const char *name_of(const evaluation *e, const kcl_data *data)
{
    return *data->name ? data->name : ka_data_name(e->scope, data->index);
}

/* The slot of a variable of `data`; NULL: the graph's error. */
static bound *slot_of(evaluation *e, const kf_node *var, kcl_data *data, size_t *slot)
{
    const int64_t index = var->param[0];
    const bool is_parameter = var->param[2] == KF_ROLE_P;
    int64_t *at = &e->slot_at[2 * index + is_parameter];
    if (!*at) {
        if (!kb_reserve(kd_allocator(e->scope->context), (void **)&e->bound, &e->slot_capacity, e->slot_count + 1,
                        sizeof *e->bound)) {
            kb_no_memory(&e->graph->error);
            return NULL;
        }
        e->bound[e->slot_count] = (bound){data, var->dim, !is_parameter, NOT_KNOWN};
        *at = (int64_t)++e->slot_count;
    }
    *slot = (size_t)*at - 1;
    return &e->bound[*slot];
}

/* Variables numbered by first use, so that the same structure has the same text whatever was built before. */
static const kf_node *renumber(void *user, const kf_node *leaf)
{
    evaluation *e = user;
    if (leaf->op != KF_VAR)
        return leaf;
    const int64_t index = leaf->param[0];
    kcl_data *data = ka_data_of(e->scope, leaf, e->wanted->more_count, e->wanted->more, &e->graph->error);
    size_t slot;
    bound *b = data ? slot_of(e, leaf, data, &slot) : NULL;
    if (!b)
        return NULL;
    const kf_role role = (kf_role)leaf->param[2];
    for (int k = 0; k < 2; k++) {
        int64_t other = e->slot_at[2 * index + k];
        if (!other || e->bound[other - 1].dim == leaf->dim)
            continue;
        kb_fail(&e->graph->error, KCL_ERROR_SHAPE,
                "%s is used with dimension %d and with dimension %d: give it the shape (rows, D)", name_of(e, data),
                e->bound[other - 1].dim, leaf->dim);
        return NULL;
    }
    const kf_node *var = kf_var(e->graph, (int64_t)slot, leaf->dim, role);
    if (kf_lends_axes(leaf))
        return kf_lend_axes(e->graph, var, leaf->axes);
    if (b->batches == NOT_KNOWN)
        b->batches = leaf->axes & KF_BATCH_AXES;
    if (b->batches != (leaf->axes & KF_BATCH_AXES)) {
        kb_fail(&e->graph->error, KCL_ERROR_SHAPE,
                "%s has batch axes: a formula's text cannot name it as Var(%lld,%d,%d), give it a name",
                name_of(e, data), (long long)index, leaf->dim, (int)role);
        return NULL;
    }
    /* The name Var(...) in a text does not say that the array is of integers. */
    var = b->data->array.dtype == KCL_I64 ? kf_integers(e->graph, var) : var;
    return kf_on_batches(e->graph, var, leaf->axes);
}

/* The roots in variables of slots, and their batch axes. */
static kcl_status find_slots(evaluation *e)
{
    kcl_scope *scope = e->scope;
    const kcl_allocator *a = kd_allocator(scope->context);
    kb_error *err = kd_error(scope->context);
    e->roots = kb_calloc(a, e->count + 1, sizeof *e->roots);
    e->batches = kb_calloc(a, e->count + 1, sizeof *e->batches);
    e->slot_at = kb_calloc(a, 2 * (scope->data_count + e->wanted->more_count) + 1, sizeof *e->slot_at);
    if (!e->roots || !e->batches || !e->slot_at)
        return kb_no_memory(err);
    for (size_t k = 0; k < e->count; k++) {
        e->roots[k] = e->wanted->nodes[k];
        if (e->wanted->batches)
            e->batches[k] = e->wanted->batches[k];
        else if (ka_batch_of(scope, e->roots[k], &e->batches[k], err) < 0)
            return err->status;
    }
    if (kf_substitute(e->graph, e->count, e->roots, false, renumber, e, e->roots) < 0) {
        *err = e->graph->error;
        kf_clear_error(e->graph);
        return err->status;
    }
    for (size_t k = 0; k < e->count; k++)
        if (kg_check_root(e->roots[k], k, err) < 0)
            return err->status;
    return KCL_OK;
}

/* What the call knows of the slots before it sees their arrays. */
static kcl_status make_parameters(evaluation *e)
{
    const kcl_allocator *a = kd_allocator(e->scope->context);
    e->slots = kb_calloc(a, e->slot_count + 1, sizeof *e->slots);
    e->parameters = kb_calloc(a, e->slot_count + 1, sizeof *e->parameters);
    e->arrays = kb_calloc(a, e->slot_count + 1, sizeof *e->arrays);
    if (!e->slots || !e->parameters || !e->arrays)
        return kb_no_memory(kd_error(e->scope->context));
    for (size_t k = 0; k < e->slot_count; k++) {
        const bound *b = &e->bound[k];
        e->slots[k].dim = b->dim;
        e->slots[k].name = name_of(e, b->data);
        e->parameters[k] = (ka_parameter){.name = e->slots[k].name,
                                          .role = b->has_rows ? KF_ROLE_I : KF_ROLE_P,
                                          .kind = b->data->array.dtype == KCL_I64 ? KF_INT : KF_REAL,
                                          .number = b->data->is_scalar ? &b->data->value : NULL};
        e->arrays[k] = &b->data->array;
    }
    return KCL_OK;
}

/* Rows and batches of the slots, from the arrays of the call. */
static kcl_status size_slots(evaluation *e, const ka_call *call)
{
    for (size_t k = 0; k < e->slot_count; k++) {
        const bound *b = &e->bound[k];
        const kx_view *view = &call->inputs[k];
        if (view->dim != b->dim)
            return kb_fail(kd_error(call->context), KCL_ERROR_SHAPE,
                           "%s has vectors of dimension %d, a formula's text reads it with dimension %d",
                           e->slots[k].name, view->dim, b->dim);
        if (b->data->is_scalar)
            continue;
        if (b->batches != NOT_KNOWN && b->batches != ka_batch_axes(&view->batch))
            return kb_fail(kd_error(call->context), KCL_ERROR_SHAPE,
                           "%s has batch axes, which a formula's text that calls it Var(...) does not know: give it a "
                           "name in kcl_formula",
                           e->slots[k].name);
        e->slots[k].batch = view->batch;
        if (!b->has_rows)
            continue;
        e->slots[k].rows = view->rows;
        /* Arrays of the same length may share sweeps. */
        size_t first = 0;
        while (first < k && (e->slots[first].extent == 0 || call->inputs[first].rows != view->rows))
            first++;
        e->slots[k].extent = first < k ? e->slots[first].extent : (int)k + 1;
    }
    return KCL_OK;
}

static kcl_status see_arrays(evaluation *e, ka_call *call, const kcl_array *const *outs)
{
    kb_error *err = kd_error(call->context);
    if (ka_see_inputs(call, e->arrays, KX_STATED) < 0 || ka_type_inputs(call) < 0)
        return err->status;
    for (size_t k = 0; k < e->count; k++)
        if (ka_see_output(call, k, outs[k], e->roots[k], ka_role_of(e->roots[k]), &e->batches[k]) < 0)
            return err->status;
    ka_finish_types(call);
    return size_slots(e, call);
}

/* The program of the roots: kept of an evaluation of the same structure, or a new one. */
static kcl_status find_program(const evaluation *e, const kg_program **program)
{
    kcl_context *context = e->scope->context;
    const kg_options *options = &e->scope->options;
    kb_error *err = kd_error(context);
    const uint64_t structure = kg_structure(e->count, e->roots, e->slot_count, e->slots, options);
    kg_program *made;
    *program = kx_kept_program(context, structure);
    if (*program)
        return KCL_OK;
    if (kg_program_create(&made, e->graph, e->count, e->roots, e->slot_count, e->slots, options, err) < 0)
        return err->status;
    *program = kx_keep_program(context, structure, made);
    return *program ? KCL_OK : err->status;
}

static kcl_status run(const evaluation *e, const ka_call *call)
{
    kb_error *err = kd_error(call->context);
    const kg_program *program;
    if (find_program(e, &program) < 0 || kx_check(program, call->inputs, call->outputs, err) < 0)
        return err->status;
    return kx_run_program(program, call->context, call->dtype, call->inputs, call->outputs, call->scales);
}

static void finish(evaluation *e)
{
    const kcl_allocator *a = kd_allocator(e->scope->context);
    kb_free(a, e->roots);
    kb_free(a, e->batches);
    kb_free(a, e->slot_at);
    kb_free(a, e->bound);
    kb_free(a, e->slots);
    kb_free(a, e->parameters);
    kb_free(a, e->arrays);
}

kcl_status ka_evaluate(kcl_scope *scope, const ka_wanted *wanted)
{
    kcl_context *context = scope->context;
    kb_error *err = kd_error(context);
    evaluation e = {.scope = scope, .wanted = wanted, .graph = wanted->graph, .count = wanted->count};
    ka_call call;
    kcl_status status = find_slots(&e);
    if (status == KCL_OK)
        status = make_parameters(&e);
    if (status == KCL_OK) {
        status = ka_call_begin(&call, context, e.slot_count, e.parameters, e.count, wanted->alpha || wanted->beta);
        if (status == KCL_OK && call.scales)
            status = kx_scales_of(call.scales, e.count, e.roots, wanted->alpha, wanted->beta, err);
        if (status == KCL_OK)
            status = see_arrays(&e, &call, wanted->outs);
        if (status == KCL_OK)
            status = run(&e, &call);
        ka_call_end(&call);
    }
    finish(&e);
    return status;
}

/* `scope` is the scope of the first expression that has a scope. */
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
    enum { FEW = 16 };
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
        ka_tell_contexts(count, exprs, scope, err);
        return err->status;
    }
    const kf_node *few[FEW], **nodes = few;
    if (count > FEW && !(nodes = kb_calloc(kd_allocator(context), (size_t)count, sizeof *nodes)))
        return kb_no_memory(err);
    for (int k = 0; k < count; k++)
        nodes[k] = exprs[k]->node;
    kcl_status status = ka_evaluate(scope, &(ka_wanted){.count = (size_t)count,
                                                        .graph = &scope->graph,
                                                        .nodes = nodes,
                                                        .outs = outs,
                                                        .alpha = alpha,
                                                        .beta = beta});
    if (nodes != few)
        kb_free(kd_allocator(context), nodes);
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
