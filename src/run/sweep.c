/* SPDX-License-Identifier: MIT */
/* run/sweep.c: sweeps on an OpenCL device. */
#include "cache.h"
#include "launch.h"
#include "pieces.h"
#include "staging.h"

#include <stdio.h>
#include <string.h>

enum { FEW_ARGUMENTS = 32 }; /* of a kernel, which need no memory of their own */

/* One sweep while it is launched. */
typedef struct launching {
    kx_run *run;
    const kg_step *step;
    kx_compiled *compiled;
    const kx_choice *form;
    kx_extents extents;
    kp_launch launch;
} launching;

/* ---- The form of squared distances -------------------------------------------------------------------------------- */

/*
 * The form of a sweep by its data; noted for descriptions and the log. A device with memory of its own decides, so that the
 * host need not wait. Watched calls wait anyway, and learn from each launch how long the next one may take: the host decides.
 */
static kcl_status choose_form(launching *l, size_t index, const kp_choice *schedule, kx_choice *choice)
{
    kx_run *r = l->run;
    const kg_step *step = l->step;
    *choice = (kx_choice){.is_expanded = false};
    if (!step->expansion)
        return KCL_OK;
    kb_error *err = kd_error(r->context);
    const kx_view **views = kb_arena_alloc(&r->arena, step->input_count * sizeof *views);
    if (!views)
        return kb_no_memory(err);
    for (size_t k = 0; k < step->input_count; k++)
        views[k] = step->inputs[k].is_temp ? NULL : kx_input(r, step, k);
    const kx_device_eyes eyes = kx_eyes_of(&(kx_looking){r, step});
    kx_question question = {&step->sweep,
                            step->expansion,
                            views,
                            &eyes,
                            l->extents.rows,
                            l->extents.cols,
                            r->dtype,
                            kd_caps(r->context),
                            r->program->options.form,
                            kp_screens(schedule),
                            kd_threads(r->context),
                            kx_has_batches(r, index),
                            kd_caps(r->context)->device_class == KP_GPU && !kd_always_waits(r->context) &&
                                !r->is_watched};
    if (kx_choose_form(choice, &question, &r->seen, &r->arena, err) < 0)
        return err->status;
    char *note = kx_form_note(r->context, kx_note_key(r->program, index, r->dtype), true);
    if (!note)
        return err->status;
    snprintf(note, KX_FORM_NOTE, "%s", choice->why);
    kb_log_line(kd_log(r->context), "sweep %zu: form: %s", index + 1, choice->why);
    return KCL_OK;
}

/* ---- Arguments ---------------------------------------------------------------------------------------------------- */

/* Batches of a prepared variable: of the axes that the variable has. */
static int64_t prepared_batches(const launching *l, size_t var)
{
    const kx_axes *axes = &l->extents.axes;
    int64_t count = 1;
    for (int k = 0; k < axes->outer + axes->each; k++)
        if (l->compiled->plan->batched[var] >> k & 1 && kb_mul_overflows(count, axes->size[k], &count))
            count = INT64_MAX;
    return count;
}

/* The distance of a prepared variable's batches along an axis that the variable has. */
static int64_t prepared_stride(const launching *l, size_t var, uint32_t axis)
{
    const kr_var *v = &l->compiled->plan->vars[var];
    int64_t stride = v->dim * (v->role == KF_ROLE_I ? l->extents.rows : l->extents.cols);
    for (uint32_t k = 0; k < axis; k++)
        if (l->compiled->plan->batched[var] >> k & 1)
            stride *= l->extents.axes.size[k];
    return stride;
}

static kd_arg number_argument(double number, kcl_dtype dtype, int64_t *value)
{
    const float single = (float)number;
    if (dtype == KCL_F32)
        memcpy(value, &single, sizeof single);
    else
        memcpy(value, &number, sizeof number);
    return (kd_arg){.kind = KD_ARG_VALUE, .data = value, .size = kb_dtype_size(dtype)};
}

/* The array of variable `var` of the plan: an input of the step, a parameter of the form, or a prepared variable. */
static kd_arg variable_argument(const launching *l, size_t var)
{
    const kx_run *r = l->run;
    const kx_compiled *c = l->compiled;
    const size_t own = l->step->input_count, first_prepared = c->plan->var_count - c->plan->prepared_vars;
    if (var < own)
        return kx_view_arg(kx_input(r, l->step, var), r->host_input);
    const size_t centres = c->plan->centre_count, n = var - own;
    if (n < centres && l->form->centre[n])
        return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = l->form->centre[n]};
    if (var < first_prepared && c->plan->size_count && n >= centres)
        return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = l->form->sizes[n - centres]};
    if (var < first_prepared)
        return (kd_arg){.kind = r->host_input, .data = l->form->parameter[n], .size = l->form->size[n]};
    return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = c->prepared[var - first_prepared].buffer};
}

/* One number that a kernel is told about its arrays and the launch, in elements. */
static int64_t number_of(const launching *l, kt_arg from)
{
    const kx_run *r = l->run;
    const kx_extents *x = &l->extents;
    const size_t own = l->step->input_count;
    const int64_t size = (int64_t)kb_dtype_size(r->dtype);
    const bool of_output =
        from.kind == KT_ARG_OUTPUT_STRIDE || from.kind == KT_ARG_OUTPUT_STEP || from.kind == KT_ARG_OUTPUT_BATCH;
    const kx_view *out = of_output ? kx_output(r, l->step, from.index) : NULL;
    const int64_t out_size = out ? (int64_t)kb_dtype_size(out->dtype) : size;
    switch (from.kind) {
    case KT_ARG_VAR_STRIDE:
        return kx_input(r, l->step, from.index)->row_stride / size;
    case KT_ARG_VAR_BATCH:
        return from.index < own ? x->operands[from.index].stride[from.axis] / size
                                : prepared_stride(l, from.index, from.axis);
    case KT_ARG_OUTPUT_STRIDE:
        return out->row_stride / out_size;
    case KT_ARG_OUTPUT_STEP:
        return out->step / out_size;
    case KT_ARG_OUTPUT_BATCH:
        return x->operands[own + from.index].stride[from.axis] / out_size;
    case KT_ARG_ROWS:
        return x->rows;
    case KT_ARG_COLS:
        return x->cols;
    case KT_ARG_PARTS:
        return l->launch.parts;
    case KT_ARG_PART_LENGTH:
        return l->launch.part_length;
    case KT_ARG_PARTIAL_BATCH:
        return l->launch.partial_elements / KB_MAX(x->axes.batches, 1);
    case KT_ARG_BATCH_SIZE:
        return x->axes.size[from.axis];
    case KT_ARG_COLUMN_PARTS:
        return l->launch.parts / l->launch.each_parts;
    case KT_ARG_EACH_COUNT:
        return x->axes.each_count;
    case KT_ARG_EACH_LENGTH:
        return l->launch.each_length;
    case KT_ARG_WORKERS:
        return (int64_t)(l->launch.sweep_items[0] / (size_t)l->compiled->plan->group);
    default: /* KT_ARG_FIRST_WORKER, KT_ARG_FIRST_PART, KT_ARG_FIRST_BATCH: kx_launch counts */
        return 0;
    }
}

/* One argument; its value, where it is one, goes to *value. */
static kd_arg argument(const launching *l, kt_arg from, int64_t *value)
{
    const kx_run *r = l->run;
    const kx_view *out;
    const kg_place *to;
    *value = 0;
    switch (from.kind) {
    case KT_ARG_VAR:
        return variable_argument(l, from.index);
    case KT_ARG_OUTPUT:
        out = kx_output(r, l->step, from.index);
        to = &l->step->outputs[from.index];
        return kx_view_arg(out, !to->is_temp && kx_is_read(r->scales, to->index) ? KD_ARG_HOST_BOTH : KD_ARG_HOST_OUT);
    case KT_ARG_OUTPUT_ALPHA:
        return number_argument(kx_scale(r, l->step, from.index)->alpha, r->dtype, value);
    case KT_ARG_OUTPUT_BETA:
        return number_argument(kx_scale(r, l->step, from.index)->beta, r->dtype, value);
    case KT_ARG_PARTIAL:
        return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = l->compiled->partial.buffer};
    default:
        *value = number_of(l, from);
        return (kd_arg){.kind = KD_ARG_VALUE, .data = value, .size = sizeof *value};
    }
}

/* ---- Launches ----------------------------------------------------------------------------------------------------- */

/* What a sweep goes through, or the rows of a map. */
static double pairs_of(const launching *l)
{
    const kx_extents *x = &l->extents;
    const double cols = l->compiled->plan->shape == KP_MAP ? 1 : (double)x->cols * (double)x->axes.each_count;
    return (double)x->rows * cols * (double)x->axes.batches;
}

/* `items` of the first two axes; the third axis counts batches. */
static kcl_status launch_kernel(launching *l, kt_kernel_id id, const size_t items[2], int64_t batches)
{
    kx_compiled *c = l->compiled;
    kcl_context *context = l->run->context;
    const kt_signature *signature = &c->signature[id];
    kd_arg small_args[FEW_ARGUMENTS], *args = small_args;
    int64_t small_values[FEW_ARGUMENTS], *values = small_values;
    const kcl_allocator *a = kd_allocator(context);
    if (signature->count > FEW_ARGUMENTS) {
        args = kb_calloc(a, signature->count, sizeof *args);
        values = kb_calloc(a, signature->count, sizeof *values);
    }
    kx_kernel_call call = {
        .kernel = c->kernel[id],
        .arg_count = (int)signature->count,
        .args = args,
        .group = (size_t)c->plan->group,
        .count = {(int64_t)items[0] / c->plan->group, (int64_t)items[1], batches},
    };
    kcl_status status = args && values ? KCL_OK : kb_no_memory(kd_error(context));
    for (size_t k = 0; status == KCL_OK && k < signature->count; k++) {
        const kt_arg_kind kind = signature->args[k].kind;
        args[k] = argument(l, signature->args[k], &values[k]);
        const int axis = kind == KT_ARG_FIRST_WORKER  ? 0
                         : kind == KT_ARG_FIRST_PART  ? 1
                         : kind == KT_ARG_FIRST_BATCH ? 2
                                                      : -1;
        if (axis >= 0)
            call.first[axis] = &values[k];
    }
    const bool is_long = id == KT_SWEEP || c->plan->shape == KP_MAP;
    if (status == KCL_OK && l->run->is_watched && is_long)
        status = kx_launch_in_pieces(l->run, &call, pairs_of(l), &c->pace);
    else if (status == KCL_OK)
        status = kx_launch(context, &call);
    if (args != small_args)
        kb_free(a, args);
    if (values != small_values)
        kb_free(a, values);
    return status;
}

/* Memory for the prepared variables and the states of parts; *batches: of the prepared variables of either side. */
static kcl_status make_rooms(launching *l, int64_t batches[2])
{
    kx_compiled *c = l->compiled;
    const kx_run *r = l->run;
    for (size_t k = 0; k < c->plan->prepared_vars; k++) {
        const size_t number = c->plan->var_count - c->plan->prepared_vars + k;
        const kr_var *var = &c->plan->vars[number];
        const int side = var->role == KF_ROLE_I ? 0 : 1;
        int64_t elements;
        batches[side] = prepared_batches(l, number);
        if (kb_mul_overflows(var->dim, side ? l->extents.cols : l->extents.rows, &elements) ||
            kb_mul_overflows(elements, batches[side], &elements))
            elements = INT64_MAX;
        if (kx_make_room(r->context, &c->prepared[k], elements, r->dtype) < 0)
            return kd_error(r->context)->status;
    }
    if (c->plan->term_count && c->plan->shape != KP_ROWS)
        return kx_make_room(r->context, &c->partial, l->launch.partial_elements, r->dtype);
    return KCL_OK;
}

/* `l` is a copy: the launch may leave out all pairs, and the extents of the call stay. */
static kcl_status launch_sweep(launching l)
{
    const kp_plan *plan = l.compiled->plan;
    kx_extents *x = &l.extents;
    int64_t side_batches[2] = {0, 0};
    kx_leave_out_pairs(l.run, l.step, x);
    kp_launch_batches(plan, &l.compiled->caps, &(kp_sizes){x->rows, x->cols, x->axes.batches, x->axes.each_count},
                      &l.launch);
    kcl_status status = make_rooms(&l, side_batches);
    for (int side = 0; side < 2; side++)
        if (status == KCL_OK && l.launch.prepare_items[side] && (side == 0 ? x->rows : x->cols))
            status = launch_kernel(&l, side == 0 ? KT_PREPARE_ROWS : KT_PREPARE_COLUMNS,
                                   (size_t[]){l.launch.prepare_items[side], 1}, side_batches[side]);
    if (status == KCL_OK && l.launch.sweep_items[0])
        status = launch_kernel(&l, KT_SWEEP, l.launch.sweep_items, x->axes.batches);
    if (status == KCL_OK && l.launch.finish_items) {
        /* Where both axes are reduced there is one row of results. */
        x->rows = l.step->sweep.reduced & KF_AXIS_I ? 1 : x->rows;
        status = launch_kernel(&l, KT_FINISH, (size_t[]){l.launch.finish_items, 1}, x->axes.batches);
    }
    return status;
}

/* How the arrays lie: kept in the arena. */
static kcl_status find_layout(const launching *l, kx_layout *arrays)
{
    kx_run *r = l->run;
    const kx_extents *x = &l->extents;
    const size_t count = l->step->input_count;
    uint8_t *axes = kb_arena_alloc(&r->arena, count + 1);
    arrays->dense = kb_arena_alloc(&r->arena, (count + 1) * sizeof *arrays->dense);
    if (!arrays->dense || !axes)
        return kb_no_memory(kd_error(r->context));
    for (size_t k = 0; k < count; k++) {
        arrays->dense[k] = kx_has_dense_rows(kx_input(r, l->step, k));
        for (int b = 0; x->operands && b < x->axes.outer + x->axes.each; b++)
            axes[k] |= (uint8_t)(x->operands[k].stride[b] ? 1u << b : 0);
    }
    arrays->batches = (kp_batches){x->axes.outer, x->axes.each, axes};
    return kx_find_scales(r, l->step, &arrays->scales);
}

/*
 * Launches a sweep by a choice, and compiles it where that was not done before. The states of parts are in the memory that
 * `lender` has for its own; NULL: in memory that is kept for them.
 */
static kcl_status launch_choice(launching *l, uint64_t step_key, const kp_choice *choice, const kx_layout *arrays,
                                kx_compiled *lender)
{
    kcl_context *context = l->run->context;
    kb_error *err = kd_error(context);
    kx_compiled *c = kx_find_compiled(context, step_key, l->run->dtype, l->step, choice, arrays);
    if (!c)
        return err->status;
    const kx_room own = c->partial;
    if (lender)
        c->partial = lender->partial;
    l->compiled = c;
    kcl_status status = launch_sweep(*l);
    /* What the driver told beforehand may not have been all. */
    while (c && status == KCL_ERROR_UNSUPPORTED && c->plan->group > 1) {
        kb_error_clear(err);
        status = kx_compile(context, l->run->dtype, l->step, choice, arrays, (size_t)c->plan->group / 2, c);
        if (status == KCL_OK)
            status = launch_sweep(*l);
        else
            c = NULL;
    }
    if (lender) {
        lender->partial = l->compiled->partial;
        l->compiled->partial = own;
    }
    if (!c)
        kx_forget_compiled(context, l->compiled);
    return status;
}

kcl_status kx_evaluate_on_device(void *looking, const kp_expansion *expansion, const kf_node *node, kd_buffer **value)
{
    const kx_looking *of = looking;
    const kg_step *step = of->step;
    kx_run *r = of->run;
    kcl_context *context = r->context;
    const size_t temp_count = r->program->temp_count;
    const int64_t size = (int64_t)kb_dtype_size(r->dtype);
    /* A step of its own on the inputs of the sweep: its output is one more temporary. */
    kg_place to = {.is_temp = true, .index = (uint32_t)temp_count};
    const kg_step own = {.kind = KG_SWEEP,
                         .input_count = step->input_count,
                         .output_count = 1,
                         .inputs = step->inputs,
                         .outputs = &to,
                         .sweep = {.graph = &expansion->graph,
                                   .var_count = step->sweep.var_count,
                                   .vars = step->sweep.vars,
                                   .output_count = 1,
                                   .outputs = &node}};
    launching l = {.run = r, .step = &own, .extents = {.rows = 1, .cols = 1, .axes = {.batches = 1, .each_count = 1}}};
    kx_layout arrays;
    kp_choice choice = {.fast = false};
    kx_view *const temps = r->temps, *more = kb_arena_alloc(&r->arena, (temp_count + 1) * sizeof *more);
    if (!more)
        return kb_no_memory(kd_error(context));
    if (temp_count)
        memcpy(more, temps, temp_count * sizeof *more);
    if (kd_buffer_create(context, (size_t)(node->dim * size), value) < 0)
        return kd_error(context)->status;
    more[temp_count] = (kx_view){
        .dtype = r->dtype, .rows = 1, .dim = node->dim, .row_stride = node->dim * size, .step = size, .buffer = *value};
    r->temps = more;
    kcl_status status = find_layout(&l, &arrays);
    if (status == KCL_OK)
        status = kp_choose_for(&own.sweep, kd_caps(context), r->dtype, &(kp_sizes){1, 1, 1, 1}, "", &choice,
                               kd_error(context));
    choice.fast = r->program->options.fast;
    if (status == KCL_OK)
        status = launch_choice(&l, kb_hash_combine(node->hash, 1), &choice, &arrays, NULL);
    r->temps = temps;
    return status;
}

kcl_status kx_sweep_on_device(kx_run *r, size_t index)
{
    const kg_step *step = &r->program->steps[index];
    kcl_context *context = r->context;
    kb_error *err = kd_error(context);
    launching l = {.run = r, .step = step};
    kx_layout arrays;
    if (kx_find_extents(r, index, &l.extents) < 0 || find_layout(&l, &arrays) < 0)
        return err->status;
    if (kx_has_no_rows(step, &l.extents))
        return KCL_OK;
    kp_choice choice;
    kx_choice form;
    kp_sizes sizes = {l.extents.rows, l.extents.cols, l.extents.axes.batches, l.extents.axes.each_count};
    if (kp_choose_for(&step->sweep, kd_caps(context), r->dtype, &sizes, r->program->options.schedule, &choice, err) <
            0 ||
        choose_form(&l, index, &choice, &form) < 0)
        return err->status;
    const uint64_t key = kx_step_key(r->program, index);
    choice.expand = form.is_expanded;
    choice.decided = form.is_decided;
    choice.fast = r->program->options.fast;
    l.form = &form;
    kcl_status status = launch_choice(&l, key, &choice, &arrays, NULL);
    /* The kernels of one of both forms do nothing. A plan without a distance that can be expanded has done it all. */
    choice.expand = true;
    if (status == KCL_OK && form.is_decided && l.compiled->plan->guard_count)
        status = launch_choice(&l, key, &choice, &arrays, l.compiled);
    return status;
}
