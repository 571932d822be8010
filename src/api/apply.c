/* SPDX-License-Identifier: MIT */
/* api/apply.c: operators applied to arrays. */
#include "make.h"
#include "operator.h"
#include "passes.h"
#include "reductions.h"

/* Refuses arguments that lack a batch axis that the operator knows of, or have another one. */
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
                    op->parameters[k].name, (long long)size, -1 - b);
            return kb_fail(err, KCL_ERROR_SHAPE,
                           "%s has size 1 on batch axis %d, others have %lld: the expressions of the operator reduce "
                           "batch axes, and have this one too",
                           op->parameters[k].name, -1 - b, (long long)wanted);
        }
    }
    return KCL_OK;
}

/* The batch axes of output k; `all` has the batch axes of all arguments together. */
static kg_batch batch_of_output(const kcl_operator *op, size_t k, const kx_view *slots, const kg_batch *all)
{
    if (op->outputs[k].sums_to >= 0)
        return slots[op->outputs[k].sums_to].batch;
    if (!op->knows_batches)
        return *all;
    kg_batch own = kg_reduced_batch(all, ~(unsigned)op->roots[k]->axes);
    while (own.count && own.size[own.count - 1] == 1 && !(op->outputs[k].batches & KF_BATCH_AXIS(own.count - 1)))
        own.count--;
    return own;
}

/* Whether the axes of an array read (batch axes..., 1, D), with a batch axis that is not 1. */
static bool is_batch_of_single_rows(const kcl_array *array)
{
    bool has_batch = false;
    for (int k = 0; k + 2 < array->ndim; k++)
        has_batch = has_batch || array->shape[k] != 1;
    return has_batch && array->shape[array->ndim - 2] == 1;
}

/* Whether an argument of `role` is a batch of single rows. */
static bool has_single_rows(const kcl_operator *op, const kcl_array *const *args, kf_role role)
{
    for (size_t k = 0; k < op->input_count; k++)
        if (op->parameters[k].role == role && !op->parameters[k].number && is_batch_of_single_rows(args[k]))
            return true;
    return false;
}

/*
 * Sees the arguments of a call, joins their batch axes and finds the type of their numbers. `batches`: the arguments are
 * read as batches even if none of them has more axes than rows and vectors.
 */
static kcl_status see_arguments(const kcl_operator *op, ka_call *call, const kcl_array *const *args, int arg_count,
                                bool batches)
{
    kb_error *err = kd_error(call->context);
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
    if (ka_see_inputs(call, args, KX_SQUEEZED) < 0)
        return err->status;
    /* Batch axes of one argument tell that axes of size 1 in front of rows are such axes as well. */
    for (int k = 0; k < arg_count; k++)
        batches = batches || call->inputs[k].batch.count;
    /* Rows of i may be stated with an axis of size 1 behind, for the columns. Rows of j are not stated so as well. */
    batches = batches || (has_single_rows(op, args, KF_ROLE_I) && has_single_rows(op, args, KF_ROLE_J));
    if (batches && (ka_see_inputs(call, args, KX_STATED) < 0 || ka_broadcast_inputs(call) < 0))
        return err->status;
    if (op->knows_batches && check_known_batches(op, call->inputs, &call->batch, err) < 0)
        return err->status;
    return ka_type_inputs(call);
}

/* Sees the arguments as see_arguments does, and the outputs. */
static kcl_status see_all(const kcl_operator *op, ka_call *call, const kcl_array *const *outs,
                          const kcl_array *const *args, int arg_count, bool batches)
{
    kb_error *err = kd_error(call->context);
    if (see_arguments(op, call, args, arg_count, batches) < 0)
        return err->status;
    for (size_t k = 0; k < op->root_count; k++) {
        const kg_batch batch = batch_of_output(op, k, call->inputs, &call->batch);
        if (ka_see_output(call, k, outs[k], op->roots[k], op->outputs[k].role, &batch) < 0)
            return err->status;
    }
    ka_finish_types(call);
    return kx_check(op->program, call->inputs, call->outputs, err);
}

static kcl_status see_arrays(const kcl_operator *op, ka_call *call, const kcl_array *const *outs, int out_count,
                             const kcl_array *const *args, int arg_count)
{
    kb_error *err = kd_error(call->context);
    if ((size_t)arg_count == op->input_count && (!arg_count || args) && ((size_t)out_count != op->root_count || !outs))
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the operator has %zu outputs, %d were given", op->root_count,
                       outs ? out_count : 0);
    const kcl_status status = see_all(op, call, outs, args, arg_count, false);
    /* Batches of single rows beside arguments without batches read as rows as well, and the outputs tell which. */
    if ((status != KCL_ERROR_SHAPE && status != KCL_ERROR_LENGTH) || (size_t)arg_count != op->input_count ||
        (!has_single_rows(op, args, KF_ROLE_I) && !has_single_rows(op, args, KF_ROLE_J)))
        return status;
    const kb_error as_rows = *err;
    kb_error_clear(err);
    if (see_all(op, call, outs, args, arg_count, true) < 0)
        *err = as_rows;
    return err->status;
}

/* The gradient `root` summed over the batch axes `surplus`, which its argument lacks in the call. */
static const kf_node *sum_over_batches(const kcl_operator *op, kf_graph *g, const kf_node *root,
                                       const unsigned *batches, unsigned surplus)
{
    for (size_t k = 0; root && k < op->input_count; k++) {
        const kf_node *var = kf_var(g, (int64_t)k, op->inputs[k].dim, op->inputs[k].role);
        root = var ? kf_like_on(g, root, kf_on_batches(g, var, batches[k]), surplus) : NULL;
    }
    return kf_reduce(g, KF_REDUCE_SUM, surplus, 0, root);
}

/* The batch axes that arguments have and output `root`, a gradient, lacks; 0 for other outputs. */
static unsigned surplus_of(const kcl_operator *op, size_t root, const kx_view *slots)
{
    const int64_t to = op->outputs[root].sums_to;
    unsigned surplus = 0;
    for (size_t k = 0; k < op->input_count && to >= 0; k++)
        surplus |= ka_batch_axes(&slots[k].batch) & ~ka_batch_axes(&slots[to].batch);
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
static kcl_status make_for_call(const kcl_operator *op, const ka_call *call, const kg_slot *slots, unsigned surplus,
                                kg_program **program)
{
    const kcl_allocator *a = kd_allocator(call->context);
    kb_error *err = kd_error(call->context);
    kf_graph g;
    kf_graph_init(&g, a);
    unsigned *batches = kb_calloc(a, op->input_count + 1, sizeof *batches); /* by argument */
    const kf_node **roots = kb_calloc(a, op->root_count + 1, sizeof *roots);
    kcl_status status = batches && roots ? KCL_OK : kb_no_memory(err);
    for (size_t k = 0; status == KCL_OK && k < op->input_count; k++)
        batches[k] = ka_batch_axes(&call->inputs[k].batch);
    if (status == KCL_OK) {
        status = kf_import(&g, &op->graph, op->root_count, op->roots, roots);
        if (status == KCL_OK && surplus)
            status = kf_spread(&g, op->root_count, roots, batches, roots);
        for (size_t k = 0; status == KCL_OK && surplus && k < op->root_count; k++) {
            const unsigned own_surplus = surplus_of(op, k, call->inputs);
            if (own_surplus && !(roots[k] = sum_over_batches(op, &g, roots[k], batches, own_surplus)))
                status = g.error.status;
        }
        if (status < 0)
            *err = g.error;
    }
    if (status == KCL_OK)
        status = kg_program_create(program, &g, op->root_count, roots, op->input_count, slots, &op->options, err);
    kb_free(a, batches);
    kb_free(a, roots);
    kf_graph_finish(&g);
    return status;
}

/* The program for a call whose batches are reduced: kept of a call with the same batches, or a new one. */
static kcl_status find_for_call(const kcl_operator *op, const ka_call *call, unsigned surplus,
                                const kg_program **program)
{
    const kcl_allocator *a = kd_allocator(call->context);
    kb_error *err = kd_error(call->context);
    kg_program *made;
    kg_slot *slots = kb_calloc(a, op->input_count + 1, sizeof *slots);
    if (!slots)
        return kb_no_memory(err);
    for (size_t k = 0; k < op->input_count; k++) {
        slots[k] = op->program->slots[k];
        slots[k].name = op->parameters[k].name;
        slots[k].batch = call->inputs[k].batch;
    }
    uint64_t structure = kg_structure(op->root_count, op->roots, op->input_count, slots, &op->options);
    structure = kb_hash_combine(structure, op->knows_batches);
    for (size_t k = 0; k < op->root_count; k++)
        structure = kb_hash_combine(structure, surplus_of(op, k, call->inputs));
    kcl_status status = KCL_OK;
    *program = kx_kept_program(call->context, structure);
    if (!*program) {
        status = make_for_call(op, call, slots, surplus, &made);
        *program = status == KCL_OK ? kx_keep_program(call->context, structure, made) : NULL;
        status = *program ? KCL_OK : err->status;
    }
    kb_free(a, slots);
    return status;
}

static kcl_status run(const kcl_operator *op, const ka_call *call)
{
    const unsigned surplus = surplus_batches(op, call->inputs);
    const kg_program *program = op->program;
    if ((surplus || op->knows_batches) && find_for_call(op, call, surplus, &program) < 0)
        return kd_error(call->context)->status;
    return kx_run_program(program, call->context, call->dtype, call->inputs, call->outputs, call->scales);
}

/* Enters the context. An operator that is missing or an error is the context's error. */
static kcl_status enter(const kcl_operator *op, kcl_context *context, const char *if_missing)
{
    const kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    if (!op)
        return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT, "%s", if_missing);
    if (op->error.status < 0)
        *kd_error(context) = op->error;
    return op->error.status;
}

kcl_status kcl_operator_apply_scaled(const kcl_operator *op, kcl_context *context, const kcl_array *const *outs,
                                     int out_count, const kcl_array *const *args, int arg_count, const double *alpha,
                                     const double *beta)
{
    kcl_status status = enter(op, context, "kcl_operator_apply: the operator is NULL");
    if (status < 0)
        return status;
    ka_call call;
    status = ka_call_begin(&call, context, op->input_count, op->parameters, op->root_count, alpha || beta);
    if (status == KCL_OK)
        status = see_arrays(op, &call, outs, out_count, args, arg_count);
    if (status == KCL_OK && call.scales)
        status = kx_scales_of(call.scales, op->root_count, op->roots, alpha, beta, kd_error(context));
    if (status == KCL_OK)
        status = run(op, &call);
    ka_call_end(&call);
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
    kcl_status status = enter(shape ? op : NULL, context,
                              "kcl_operator_output_shape: the operator or the array that receives the shape is NULL");
    if (status < 0)
        return status;
    kb_error *err = kd_error(context);
    if (output < 0 || (size_t)output >= op->root_count)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the operator has %zu outputs, there is no output %d", op->root_count,
                       output);
    ka_call call;
    int64_t rows[2] = {1, 1}; /* i, j */
    status = ka_call_begin(&call, context, op->input_count, op->parameters, 0, false);
    if (status == KCL_OK)
        status = see_arguments(op, &call, args, arg_count, false);
    if (status == KCL_OK)
        status = kx_check_rows(op->program, call.inputs, err);
    for (size_t k = 0; status == KCL_OK && k < op->input_count; k++)
        if (op->inputs[k].role != KF_ROLE_P)
            rows[op->inputs[k].role == KF_ROLE_J] = call.inputs[k].rows;
    if (status == KCL_OK) {
        const kg_batch batch = batch_of_output(op, (size_t)output, call.inputs, &call.batch);
        const kf_role role = op->outputs[output].role;
        int64_t sizes[KCL_MAX_AXES];
        int axes = 0;
        for (int b = batch.count - 1; b >= 0; b--)
            sizes[axes++] = batch.size[b];
        if (role != KF_ROLE_P)
            sizes[axes++] = rows[role == KF_ROLE_J];
        sizes[axes++] = op->roots[output]->dim;
        ka_finish_types(&call);
        *shape = kcl_array_of(NULL, op->roots[output]->kind == KF_INT ? KCL_I64 : call.dtype, axes, sizes);
    }
    ka_call_end(&call);
    return status;
}
