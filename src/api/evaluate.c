/* SPDX-License-Identifier: MIT */
/* api/evaluate.c: expressions evaluated. */
#include "batches.h"
#include "make.h"
#include "passes.h"
#include "reductions.h"

#include <stdio.h>
#include <string.h>

enum { NOT_KNOWN = KF_PAIR_AXES }; /* of batch axes: a variable that lends others does not tell */

typedef struct evaluation {
    kcl_scope *scope;
    int64_t *slot_at; /* by data index, and whether it is a parameter: slot + 1 */
    kg_slot *slots;
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
                ka_data_name(e->scope, index), e->slots[other - 1].dim, leaf->dim);
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
                ka_data_name(e->scope, index), (long long)index, leaf->dim, (int)role);
        return NULL;
    }
    var = leaf->kind == KF_INT ? kf_integers(&e->scope->graph, var) : var;
    return kf_on_batches(&e->scope->graph, var, leaf->axes);
}

static kf_role role_of(const kf_node *result)
{
    return result->axes & KF_AXIS_I ? KF_ROLE_I : result->axes & KF_AXIS_J ? KF_ROLE_J : KF_ROLE_P;
}

/* The program of the roots: one that the context keeps of an evaluation of the same structure, or a new one. */
static kcl_status find_program(const evaluation *e, size_t count, const kf_node *const *roots,
                               const kg_program **program)
{
    kcl_context *context = e->scope->context;
    const kg_options *options = &e->scope->options;
    kb_error *err = kd_error(context);
    const uint64_t structure = kg_structure(count, roots, e->slot_count, e->slots, options);
    kg_program *made;
    *program = kx_kept_program(context, structure);
    if (*program)
        return KCL_OK;
    if (kg_program_create(&made, &e->scope->graph, count, roots, e->slot_count, e->slots, options, err) < 0)
        return err->status;
    *program = kx_keep_program(context, structure, made);
    return *program ? KCL_OK : err->status;
}

static kcl_status run_evaluation(evaluation *e, size_t count, const kf_node **roots, const kcl_array *const *outs,
                                 const kr_scale *scales)
{
    kcl_scope *scope = e->scope;
    kcl_context *context = scope->context;
    const kcl_allocator *a = kd_allocator(context);
    kb_error *err = kd_error(context);
    kf_graph *g = &scope->graph;
    const kg_program *program = NULL;
    kg_batch *batches = kb_calloc(a, count + 1, sizeof *batches);
    if (!batches)
        return kb_no_memory(err);
    for (size_t k = 0; k < count; k++) {
        if (ka_batch_of(scope, roots[k], &batches[k], err) < 0) {
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
    kx_view *views = kb_calloc(a, e->slot_count + count + 1, sizeof *views);
    if (!views) {
        kb_free(a, batches);
        return kb_no_memory(err);
    }
    kx_view *out_views = views + e->slot_count;
    kcl_dtype dtype = KCL_DTYPE_NONE;
    char what[KX_NAME], first_name[KX_NAME] = "";
    for (size_t k = 0; status == KCL_OK && k < count; k++) {
        snprintf(what, sizeof what, "output %zu", k);
        status = kg_check_root(roots[k], k, err);
        if (status == KCL_OK)
            status =
                kx_view_of_result(&out_views[k], outs[k], role_of(roots[k]), roots[k]->dim, &batches[k], what, err);
        if (status == KCL_OK)
            status = kx_check_output_type(&out_views[k], (kf_kind)roots[k]->kind, what, err);
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
            memcpy(first_name, ka_data_name(scope, e->data[k]->index), sizeof first_name);
        }
    }
    dtype = dtype ? dtype : kx_type_beside_integers(context);
    for (size_t k = 0; status == KCL_OK && k < e->slot_count; k++) {
        kcl_data *data = e->data[k];
        e->slots[k].name = ka_data_name(scope, data->index);
        if (data->is_scalar) {
            const void *value = dtype == KCL_F32 ? (const void *)&data->f32 : (const void *)&data->f64;
            views[k] =
                (kx_view){.data = value, .dtype = dtype, .rows = 1, .dim = 1, .step = (int64_t)kb_dtype_size(dtype)};
            continue;
        }
        bool rows = e->is_rows[k];
        unsigned batches = 0;
        status = kx_view_of(&views[k], &data->array, rows ? KF_ROLE_I : KF_ROLE_P, 0, KX_STATED, e->slots[k].name, err);
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
        status = find_program(e, count, roots, &program);
    if (status == KCL_OK)
        status = kx_check(program, views, out_views, err);
    if (status == KCL_OK)
        status = kx_run_program(program, context, dtype, views, out_views, scales);
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
        ka_tell_contexts(count, exprs, scope, err);
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
        status = kx_scales_of(scales, (size_t)count, roots, alpha, beta, err);
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
