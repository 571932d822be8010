/* SPDX-License-Identifier: MIT */
/* api/apply.c: operators applied to arrays. */
#include "make.h"
#include "operator.h"
#include "passes.h"
#include "reductions.h"

#include <stdio.h>

enum { FEW = 16 };

/* Argument `at` clashes with one before it on a batch axis. */
static kcl_status refuse_batches(const kcl_operator *op, const kx_view *slots, int at, int axis, kb_error *err)
{
    int other = 0;
    while (kg_batch_size(&slots[other].batch, axis) == 1 ||
           kg_batch_size(&slots[other].batch, axis) == kg_batch_size(&slots[at].batch, axis))
        other++;
    return kb_fail(
        err, KCL_ERROR_LENGTH,
        "%s has size %lld on batch axis %d, %s has %lld: sizes must be equal, or one of them 1; batch axes are "
        "those before the rows, -1 is the last of them",
        op->inputs[other].label, (long long)kg_batch_size(&slots[other].batch, axis), -1 - axis, op->inputs[at].label,
        (long long)kg_batch_size(&slots[at].batch, axis));
}

/* Whether the arguments have the batch axes that the operator knows of, and no other. */
static kcl_status check_known_batches(const kcl_operator *op, const kx_view *slots, const kg_batch *all, kb_error *err)
{
    for (size_t k = 0; k < op->input_count; k++) {
        for (int b = 0; b < KF_MAX_BATCH; b++) {
            const int64_t size = kg_batch_size(&slots[k].batch, b), wanted = kg_batch_size(all, b);
            if (op->inputs[k].batches & KF_BATCH_AXIS(b) ? size == wanted : size == 1)
                continue;
            if (size != 1)
                return kb_fail(
                    err, KCL_ERROR_SHAPE,
                    "%s has size %lld on batch axis %d: the expressions of the operator reduce batch axes, and "
                    "have size 1 there",
                    op->inputs[k].label, (long long)size, -1 - b);
            return kb_fail(err, KCL_ERROR_SHAPE,
                           "%s has size 1 on batch axis %d, others have %lld: the expressions of the operator reduce "
                           "batch axes, and have this one too",
                           op->inputs[k].label, -1 - b, (long long)wanted);
        }
    }
    return KCL_OK;
}

/* Those of `all` that output k has. */
static kg_batch batch_of_output(const kcl_operator *op, int k, const kx_view *slots, const kg_batch *all)
{
    if (op->sums_to[k] >= 0)
        return slots[op->sums_to[k]].batch;
    if (!op->knows_batches)
        return *all;
    kg_batch own = kg_reduced_batch(all, ~(unsigned)op->roots[k]->axes);
    while (own.count && own.size[own.count - 1] == 1 && !(op->spans[k] & KF_BATCH_AXIS(own.count - 1)))
        own.count--;
    return own;
}

/* One array of the call; *dtype is that of the arrays before it, and becomes its own. */
static kcl_status see_type(const kx_view *view, kf_kind kind, bool is_arg, const char *what, kcl_dtype *dtype,
                           kb_error *err)
{
    if ((is_arg ? kx_check_input_type(view, kind, what, err) : kx_check_output_type(view, kind, what, err)) < 0)
        return err->status;
    if (kind == KF_INT)
        return KCL_OK;
    if (*dtype && view->dtype != *dtype)
        return kb_fail(err, KCL_ERROR_TYPE, "%s is %s, the arrays before it are %s: all arrays need one type", what,
                       kb_dtype_name(view->dtype), kb_dtype_name(*dtype));
    *dtype = view->dtype;
    return KCL_OK;
}

/* The arguments of a call: their views, their batch axes together, and the type of their numbers. */
static kcl_status see_arguments(const kcl_operator *op, kb_error *err, const kcl_array *const *args, int arg_count,
                                kx_view *slots, kg_batch *all_batches, kcl_dtype *dtype)
{
    char what[KX_NAME];
    if ((size_t)arg_count != op->input_count) {
        bool missing = (size_t)arg_count < op->input_count;
        if (missing)
            ka_operator_name_input(op, (size_t)KB_MAX(arg_count, 0), what, sizeof what);
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the operator has %zu arguments, %d were given%s%s", op->input_count,
                       arg_count, missing ? ": the first that is missing is " : ": the last are too many",
                       missing ? what : "");
    }
    if (arg_count && !args)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the list of arguments is NULL");
    /* Batch axes of one argument tell that axes of size 1 in front of rows are such axes as well. */
    kg_batch batch = {0};
    for (int pass = 0; pass == 0 || (pass == 1 && batch.count); pass++) {
        kg_batch all = {0};
        for (int k = 0; k < arg_count; k++) {
            const char *name = op->inputs[k].label;
            if (kx_view_of(&slots[k], args[k], op->inputs[k].role, op->inputs[k].dim, pass ? KX_STATED : KX_SQUEEZED,
                           name, err) < 0)
                return err->status;
            int clash = kg_batch_join(&all, &slots[k].batch);
            if (clash >= 0 && pass)
                return refuse_batches(op, slots, k, clash, err);
        }
        batch = all;
        for (int k = 0; k < arg_count && !pass; k++)
            batch.count = KB_MAX(batch.count, slots[k].batch.count);
    }
    if (op->knows_batches && check_known_batches(op, slots, &batch, err) < 0)
        return err->status;
    *dtype = KCL_DTYPE_NONE;
    for (int k = 0; k < arg_count; k++) {
        const ka_argument *in = &op->inputs[k];
        const bool integers = ka_takes_integers(in) && slots[k].dtype == KCL_I64;
        if (see_type(&slots[k], integers ? KF_INT : in->kind, true, op->inputs[k].label, dtype, err) < 0)
            return err->status;
    }
    *all_batches = batch;
    return KCL_OK;
}

static kcl_status see_arrays(const kcl_operator *op, kb_error *err, const kcl_array *const *outs, int out_count,
                             const kcl_array *const *args, int arg_count, kx_view *slots, kx_view *out_views,
                             kcl_dtype *dtype)
{
    char what[96];
    kg_batch batch;
    if ((size_t)arg_count == op->input_count && (!arg_count || args) && ((size_t)out_count != op->root_count || !outs))
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the operator has %zu outputs, %d were given", op->root_count,
                       outs ? out_count : 0);
    if (see_arguments(op, err, args, arg_count, slots, &batch, dtype) < 0)
        return err->status;
    for (int k = 0; k < out_count; k++) {
        const kg_batch of_output = batch_of_output(op, k, slots, &batch);
        snprintf(what, sizeof what, "output %d", k);
        if (kx_view_of_result(&out_views[k], outs[k], (kf_role)op->tags[k], op->roots[k]->dim, &of_output, what, err) <
                0 ||
            see_type(&out_views[k], (kf_kind)op->roots[k]->kind, false, what, dtype, err) < 0)
            return err->status;
    }
    return kx_check(op->exec, slots, out_views, err);
}

/* The batch axes of an array. */
static unsigned batches_of(const kx_view *v)
{
    unsigned axes = 0;
    for (int b = 0; b < KF_MAX_BATCH; b++)
        axes |= kg_batch_size(&v->batch, b) != 1 ? KF_BATCH_AXIS(b) : 0;
    return axes;
}

/* The gradient summed over the batch axes of the call that its argument lacks. */
static const kf_node *sum_over_batches(const kcl_operator *op, kf_graph *g, const kf_node *root,
                                       const unsigned *batches, unsigned surplus)
{
    for (size_t k = 0; root && k < op->input_count; k++) {
        const kf_node *var = kf_var(g, (int64_t)k, op->inputs[k].dim, op->inputs[k].role);
        root = var ? kf_like_on(g, root, kf_on_batches(g, var, batches[k]), surplus) : NULL;
    }
    return kf_reduce(g, KF_REDUCE_SUM, surplus, 0, root);
}

/* Batch axes that arguments have and output `root`, a gradient, lacks. */
static unsigned surplus_of(const kcl_operator *op, size_t root, const kx_view *slots)
{
    const int64_t to = op->sums_to[root];
    unsigned surplus = 0;
    for (size_t k = 0; k < op->input_count && to >= 0; k++)
        surplus |= batches_of(&slots[k]) & ~batches_of(&slots[to]);
    return surplus;
}

static unsigned surplus_batches(const kcl_operator *op, const kx_view *slots)
{
    unsigned surplus = 0;
    for (size_t k = 0; k < op->root_count; k++)
        surplus |= surplus_of(op, k, slots);
    return surplus;
}

/* The program for a call whose batches are reduced, from formulas made for the call, as for expressions. */
static kcl_status make_for_call(const kcl_operator *op, kcl_context *context, const kx_view *slots, const kg_slot *own,
                                unsigned surplus, kg_program **program)
{
    const kcl_allocator *a = kd_allocator(context);
    kb_error *err = kd_error(context);
    kf_graph g;
    kf_graph_init(&g, a);
    unsigned *batches = kb_calloc(a, op->input_count + 1, sizeof *batches); /* by argument */
    const kf_node **roots = kb_calloc(a, op->root_count + 1, sizeof *roots);
    kcl_status status = batches && roots ? KCL_OK : kb_no_memory(err);
    for (size_t k = 0; status == KCL_OK && k < op->input_count; k++)
        batches[k] = batches_of(&slots[k]);
    if (status == KCL_OK) {
        status = kf_import(&g, &op->graph, op->root_count, op->roots, roots);
        if (status == KCL_OK && surplus)
            status = kf_spread(&g, op->root_count, roots, batches, roots);
        for (size_t k = 0; status == KCL_OK && surplus && k < op->root_count; k++) {
            const unsigned own_surplus = surplus_of(op, k, slots);
            if (own_surplus && !(roots[k] = sum_over_batches(op, &g, roots[k], batches, own_surplus)))
                status = g.error.status;
        }
        if (status < 0)
            *err = g.error;
    }
    if (status == KCL_OK)
        status = kg_program_create(program, &g, op->root_count, roots, op->input_count, own, &op->options, err);
    kb_free(a, batches);
    kb_free(a, roots);
    kf_graph_finish(&g);
    return status;
}

/* The program for a call whose batches are reduced: kept of a call with the same batches, or a new one. */
static kcl_status find_for_call(const kcl_operator *op, kcl_context *context, const kx_view *slots, unsigned surplus,
                                const kg_program **program)
{
    const kcl_allocator *a = kd_allocator(context);
    kb_error *err = kd_error(context);
    kg_program *made;
    kg_slot *own = kb_calloc(a, op->input_count + 1, sizeof *own);
    if (!own)
        return kb_no_memory(err);
    for (size_t k = 0; k < op->input_count; k++) {
        own[k] = op->exec->slots[k];
        own[k].name = op->inputs[k].label;
        own[k].batch = slots[k].batch;
    }
    uint64_t structure = kg_structure(op->root_count, op->roots, op->input_count, own, &op->options);
    structure = kb_hash_combine(structure, op->knows_batches);
    for (size_t k = 0; k < op->root_count; k++)
        structure = kb_hash_combine(structure, surplus ? surplus_of(op, k, slots) : 0);
    kcl_status status = KCL_OK;
    *program = kx_kept_program(context, structure);
    if (!*program) {
        status = make_for_call(op, context, slots, own, surplus, &made);
        *program = status == KCL_OK ? kx_keep_program(context, structure, made) : NULL;
        status = *program ? KCL_OK : err->status;
    }
    kb_free(a, own);
    return status;
}

static kcl_status run(const kcl_operator *op, kcl_context *context, kcl_dtype dtype, const kx_view *slots,
                      const kx_view *outs, const kr_scale *scales)
{
    const unsigned surplus = surplus_batches(op, slots);
    const kg_program *program = op->exec;
    if ((surplus || op->knows_batches) && find_for_call(op, context, slots, surplus, &program) < 0)
        return kd_error(context)->status;
    return kx_run_program(program, context, dtype, slots, outs, scales);
}

kcl_status kcl_operator_apply_scaled(const kcl_operator *op, kcl_context *context, const kcl_array *const *outs,
                                     int out_count, const kcl_array *const *args, int arg_count, const double *alpha,
                                     const double *beta)
{
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    kb_error *err = kd_error(context);
    if (!op)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_apply: the operator is NULL");
    if (op->error.status < 0) {
        *err = op->error;
        return err->status;
    }
    kx_view few[2 * FEW], *views = few;
    kr_scale few_scales[FEW], *scales = alpha || beta ? few_scales : NULL;
    if (op->input_count + op->root_count > 2 * FEW) {
        views = kb_calloc(kd_allocator(context), op->input_count + op->root_count, sizeof *views);
        if (!views)
            return kb_no_memory(err);
    }
    if (scales && op->root_count > FEW)
        scales = kb_calloc(kd_allocator(context), op->root_count, sizeof *scales);
    kcl_dtype dtype = KCL_DTYPE_NONE;
    status = (alpha || beta) && !scales ? kb_no_memory(err) : KCL_OK;
    if (status == KCL_OK)
        status = see_arrays(op, err, outs, out_count, args, arg_count, views, views + op->input_count, &dtype);
    dtype = dtype ? dtype : kx_type_beside_integers(context);
    if (status == KCL_OK && scales)
        status = kx_scales_of(scales, op->root_count, op->roots, alpha, beta, err);
    if (status == KCL_OK)
        status = run(op, context, dtype, views, views + op->input_count, scales);
    if (views != few)
        kb_free(kd_allocator(context), views);
    if (scales != few_scales)
        kb_free(kd_allocator(context), scales);
    return status;
}

kcl_status kcl_operator_apply(const kcl_operator *op, kcl_context *context, const kcl_array *const *outs, int out_count,
                              const kcl_array *const *args, int arg_count)
{
    return kcl_operator_apply_scaled(op, context, outs, out_count, args, arg_count, NULL, NULL);
}

kcl_status kcl_operator_output_shape(const kcl_operator *op, kcl_context *context, int output,
                                     const kcl_array *const *args, int arg_count, kcl_array *shape)
{
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    kb_error *err = kd_error(context);
    if (!op || !shape)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_operator_output_shape: the operator or the array that receives the "
                       "shape is NULL");
    if (op->error.status < 0) {
        *err = op->error;
        return err->status;
    }
    if (output < 0 || (size_t)output >= op->root_count)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the operator has %zu outputs, there is no output %d", op->root_count,
                       output);
    const kcl_allocator *a = kd_allocator(context);
    kx_view *slots = kb_calloc(a, op->input_count + 1, sizeof *slots);
    kg_batch all;
    kcl_dtype dtype;
    int64_t rows[2] = {1, 1}; /* i, j */
    if (!slots)
        return kb_no_memory(err);
    status = see_arguments(op, err, args, arg_count, slots, &all, &dtype);
    if (status == KCL_OK)
        status = kx_check_rows(op->exec, slots, err);
    for (size_t k = 0; status == KCL_OK && k < op->input_count; k++)
        if (op->inputs[k].role != KF_ROLE_P)
            rows[op->inputs[k].role == KF_ROLE_J] = slots[k].rows;
    if (status == KCL_OK) {
        const kg_batch batch = batch_of_output(op, output, slots, &all);
        int64_t sizes[KCL_MAX_AXES];
        int axes = 0;
        for (int b = batch.count - 1; b >= 0; b--)
            sizes[axes++] = batch.size[b];
        if (op->tags[output] < 2)
            sizes[axes++] = rows[op->tags[output]];
        sizes[axes++] = op->roots[output]->dim;
        dtype = dtype ? dtype : kx_type_beside_integers(context);
        if (op->roots[output]->kind == KF_INT)
            *shape = kcl_array_i64(NULL, axes, sizes);
        else
            *shape = dtype == KCL_F32 ? kcl_array_f32(NULL, axes, sizes) : kcl_array_f64(NULL, axes, sizes);
    }
    kb_free(a, slots);
    return status;
}
