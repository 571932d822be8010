/* SPDX-License-Identifier: MIT */
/* lazy/exec.c: steps run on a device. */
#include "exec.h"
#include "batch.h"
#include "form.h"
#include "indexed.h"
#include "kernels.h"
#include "stage.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- One evaluation ---------------------------------------------------------------------------------------------- */

enum { SMALL = 32 };

typedef struct run {
    const kl_exec *exec;
    kcl_context *context;
    kcl_dtype dtype;
    const kl_view *slots; /* packed where the device needs it */
    const kl_view *outs;
    const kl_view *given_slots, *given_outs;
    const kr_scale *scales; /* by root; NULL: none */
    bool waits;             /* till the outputs are there */
    kd_arg_kind host_input;
    kl_room **temps;                   /* device: by temporary */
    double **host_temps;               /* host: by temporary */
    kl_batch *step_batch, *temp_batch; /* by step, by temporary; NULL: there are no batches */
    kl_batch *temp_terms;              /* of what a temporary was reduced from */
    kl_seen seen;                      /* device: what was learnt about arrays, in the arena */
    kb_arena arena;
} run;

static int64_t rows_of(const kl_exec *e, const kl_view *slots, int extent)
{
    for (size_t k = 0; extent && k < e->slot_count; k++)
        if (e->slots[k].extent == extent)
            return slots[k].rows;
    return 1;
}

typedef struct geometry {
    int64_t rows, cols;
    kp_launch launch;
    const kl_choice *form;
    kl_axes axes;
    const kl_operand *operands; /* variables of the sweep, then outputs; strides in bytes */
} geometry;

kd_arg kl_view_arg(const kl_view *v, kd_arg_kind host_kind)
{
    if (v->buffer || v->memory)
        return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = v->buffer ? v->buffer : kd_memory_buffer(v->memory)};
    return (kd_arg){.kind = host_kind, .data = v->data, .size = kl_span(v)};
}

size_t kl_group_for(kcl_context *context, kd_kernel *kernel)
{
    enum { GROUP = 64 };
    size_t group = (size_t)KB_MAX(KB_MIN(GROUP, kd_caps(context)->max_work_group), 1);
    size_t limit = kd_kernel_limits(context, kernel)->work_group;
    return limit ? KB_MIN(group, limit) : group;
}

/* Between batches of a device array and of the copy that kernels work on, those at `place`. */
static kcl_status copy_batch(run *r, const kl_view *from, const kl_view *to, const int64_t place[KF_MAX_BATCH])
{
    enum { MOST_GROUPS = 4096 };
    kcl_context *context = r->context;
    const int64_t size = (int64_t)kb_dtype_size(from->dtype), elements = to->rows * to->dim;
    const kl_view *ends[2] = {from, to};
    int64_t values[8];
    kd_arg args[10];
    kd_kernel *kernel;
    kb_str source;
    if (!elements)
        return KCL_OK;
    kb_str_init(&source, kd_allocator(context));
    kt_render_copy(&source, (size_t)size);
    kcl_status status = source.failed ? kb_no_memory(kd_error(context))
                                      : kl_own_kernel(context, kb_str_text(&source), "copy", "copy", &kernel);
    kb_str_finish(&source);
    if (status < 0)
        return status;
    for (int k = 0; k < 2; k++) {
        args[5 * k - k] = kl_view_arg(ends[k], KD_ARG_HOST_IN);
        values[3 * k] = ((ends[k]->buffer ? 0 : ends[k]->offset) + kl_offset_at(ends[k], place)) / size;
        values[3 * k + 1] = ends[k]->row_stride / size;
        values[3 * k + 2] = ends[k]->step / size;
    }
    /* One row may be that of all. */
    if (from->rows == 1)
        values[1] = 0;
    values[6] = to->rows;
    values[7] = to->dim;
    for (int k = 0; k < 8; k++)
        args[k + 1 + (k >= 3)] = (kd_arg){.kind = KD_ARG_VALUE, .data = &values[k], .size = sizeof values[k]};
    size_t group = kl_group_for(context, kernel);
    size_t groups = KB_MIN(((size_t)elements + group - 1) / group, MOST_GROUPS);
    return kd_launch(context, kernel, 10, args, (size_t[]){groups * group, 1, 1}, (size_t[]){group, 1, 1});
}

static kcl_status copy_rows(run *r, const kl_view *from, const kl_view *to)
{
    int64_t place[KF_MAX_BATCH] = {0};
    kl_batch own = kl_own_batch(to);
    kcl_status status = KCL_OK;
    if (kl_is_empty(to))
        return KCL_OK;
    do
        status = copy_batch(r, from, to, place);
    while (status == KCL_OK && kl_next_place(&own, place));
    return status;
}

kcl_status kl_wait_for(kcl_context *context, kcl_status status)
{
    if (status == KCL_OK)
        return kd_finish(context);
    kb_error first = *kd_error(context);
    kd_finish(context);
    *kd_error(context) = first;
    return status;
}

/* ---- What the form of squared distances depends on, of device arrays --------------------------------------------- */

/* Takes `count` rows, `step` rows apart, to the host; waits. */
static kcl_status read_rows(void *user, const kl_view *view, int64_t step, int64_t count, void *to)
{
    run *r = user;
    kl_view from = *view, dense = {.dtype = view->dtype, .rows = count, .dim = view->dim};
    from.rows = count;
    from.row_stride *= step;
    dense.step = (int64_t)kb_dtype_size(view->dtype);
    dense.row_stride = dense.dim * dense.step;
    size_t bytes = (size_t)(count * dense.row_stride);
    if (!bytes)
        return KCL_OK;
    kcl_status status = kd_buffer_create(r->context, bytes, &dense.buffer);
    if (status == KCL_OK)
        status = copy_rows(r, &from, &dense);
    if (status == KCL_OK)
        status = kd_read(r->context, dense.buffer, 0, to, bytes);
    status = kl_wait_for(r->context, status);
    kd_buffer_release(r->context, &dense.buffer);
    return status;
}

static kcl_status largest_on_device(void *user, const kl_view *view, const void *factor, const void *centre,
                                    double *most)
{
    enum { MOST_ITEMS = 1 << 14 };
    run *r = user;
    kcl_context *context = r->context;
    const kcl_allocator *a = kd_allocator(context);
    const int64_t size = (int64_t)kb_dtype_size(view->dtype);
    const int64_t values[] = {view->buffer ? 0 : view->offset / size, view->rows > 1 ? view->row_stride / size : 0,
                              view->step / size, view->rows, view->dim};
    kd_kernel *kernel = NULL;
    kd_buffer *results = NULL;
    kd_arg args[9];
    kb_str source;
    kb_str_init(&source, a);
    kt_render_squares(&source, view->dtype);
    kcl_status status = source.failed ? kb_no_memory(kd_error(context))
                                      : kl_own_kernel(context, kb_str_text(&source), "squares", "squares", &kernel);
    kb_str_finish(&source);
    if (status < 0)
        return status;
    size_t group = kl_group_for(context, kernel);
    size_t items = (size_t)(KB_MIN(view->rows, MOST_ITEMS) + (int64_t)group - 1) / group * group;
    char *host = kb_calloc(a, items, (size_t)size);
    status = host ? kd_buffer_create(context, items * (size_t)size, &results) : kb_no_memory(kd_error(context));
    if (status == KCL_OK) {
        args[0] = kl_view_arg(view, KD_ARG_HOST_IN);
        for (int k = 0; k < 5; k++)
            args[k + 1] = (kd_arg){.kind = KD_ARG_VALUE, .data = &values[k], .size = sizeof values[k]};
        args[6] = (kd_arg){.kind = KD_ARG_HOST_IN, .data = factor, .size = (size_t)(view->dim * size)};
        args[7] = (kd_arg){.kind = KD_ARG_HOST_IN, .data = centre, .size = (size_t)(view->dim * size)};
        args[8] = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = results};
        status = kd_launch(context, kernel, 9, args, (size_t[]){items, 1, 1}, (size_t[]){group, 1, 1});
    }
    if (status == KCL_OK)
        status = kd_read(context, results, 0, host, items * (size_t)size);
    status = kl_wait_for(r->context, status);
    *most = 0;
    for (size_t k = 0; status == KCL_OK && k < items; k++)
        *most = fmax(*most, size == sizeof(float) ? (double)((const float *)(const void *)host)[k]
                                                  : ((const double *)(const void *)host)[k]);
    kb_free(a, host);
    kd_buffer_release(context, &results);
    return status;
}

/* Whether a step has any, also those that became rows or columns. */
static bool has_batches(const run *r, size_t step)
{
    return r->step_batch && r->step_batch[step].count;
}

/* The form of a step by its data; noted for descriptions and the log. */
static kcl_status choose_form(run *r, size_t index, const geometry *g, const kp_choice *schedule, kl_choice *choice)
{
    const kl_step *step = &r->exec->steps[index];
    *choice = (kl_choice){.is_expanded = false};
    if (!step->expansion)
        return KCL_OK;
    kb_error *err = kd_error(r->context);
    const kl_view **views = kb_arena_alloc(&r->arena, step->sweep.var_count * sizeof *views);
    if (!views)
        return kb_no_memory(err);
    for (size_t k = 0; k < step->sweep.var_count; k++)
        views[k] = step->inputs[k].is_temp ? NULL : &r->slots[step->inputs[k].index];
    const kl_device_eyes eyes = {r, read_rows, largest_on_device};
    kl_question question = {&step->sweep,
                            step->expansion,
                            views,
                            &eyes,
                            g->rows,
                            g->cols,
                            r->dtype,
                            kd_caps(r->context),
                            r->exec->options.form,
                            kp_screens(schedule),
                            kd_threads(r->context),
                            has_batches(r, index)};
    if (kl_choose_form(choice, &question, &r->seen, &r->arena, err) < 0)
        return err->status;
    char *note = kl_form_note(r->context, kb_hash_combine(r->exec->key, index * 4 + r->dtype), true);
    if (!note)
        return err->status;
    snprintf(note, KL_FORM_NOTE, "%s", choice->why);
    kb_log_line(kd_log(r->context), "sweep %zu: form: %s", index + 1, choice->why);
    return KCL_OK;
}

enum { MOST_BATCHES = 65535 }; /* of a launch: work-groups along the last axis, where drivers are narrow */

/* Batches of a prepared variable: of the axes that it has. */
static int64_t prepared_batches(const kl_compiled *c, const geometry *g, size_t var)
{
    int64_t count = 1;
    for (int k = 0; k < g->axes.outer + g->axes.each; k++)
        if (c->plan->batched[var] >> k & 1 && kb_mul_overflows(count, g->axes.size[k], &count))
            count = INT64_MAX;
    return count;
}

/* Its distance along an axis that it has. */
static int64_t prepared_stride(const kl_compiled *c, const geometry *g, size_t var, uint32_t axis)
{
    const kr_var *v = &c->plan->vars[var];
    int64_t stride = v->dim * (v->role == KF_ROLE_I ? g->rows : g->cols);
    for (uint32_t k = 0; k < axis; k++)
        if (c->plan->batched[var] >> k & 1)
            stride *= g->axes.size[k];
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

/* One argument; its value, where it is one, goes to *value. */
static kd_arg argument(run *r, const kl_step *step, const kl_compiled *c, const geometry *g, kt_arg from,
                       int64_t *value)
{
    const size_t own = step->sweep.var_count, first_prepared = c->plan->var_count - c->plan->prepared_vars;
    const int64_t size = (int64_t)kb_dtype_size(r->dtype);
    const bool of_scale = from.kind == KT_ARG_OUTPUT_ALPHA || from.kind == KT_ARG_OUTPUT_BETA;
    const bool of_output = from.kind == KT_ARG_OUTPUT || from.kind == KT_ARG_OUTPUT_STRIDE ||
                           from.kind == KT_ARG_OUTPUT_STEP || from.kind == KT_ARG_OUTPUT_BATCH || of_scale;
    const bool of_var = from.kind == KT_ARG_VAR || from.kind == KT_ARG_VAR_STRIDE || from.kind == KT_ARG_VAR_BATCH;
    const kl_input *input = of_var && from.index < own ? &step->inputs[from.index] : NULL;
    const kl_output *output = of_output ? &step->outputs[from.index] : NULL;
    const kl_view *out = output && !output->is_temp ? &r->outs[output->index] : NULL;
    const int64_t out_size = out ? (int64_t)kb_dtype_size(out->dtype) : size;
    *value = 0;
    switch (from.kind) {
    case KT_ARG_VAR:
        if (!input && from.index < first_prepared)
            return (kd_arg){.kind = r->host_input,
                            .data = g->form->parameter[from.index - own],
                            .size = g->form->size[from.index - own]};
        if (!input)
            return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = c->prepared[from.index - first_prepared].buffer};
        if (input->is_temp)
            return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = r->temps[input->index]->buffer};
        return kl_view_arg(&r->slots[input->index], r->host_input);
    case KT_ARG_VAR_STRIDE:
        *value = r->slots[input->index].row_stride / size;
        break;
    case KT_ARG_VAR_BATCH:
        *value =
            input ? g->operands[from.index].stride[from.axis] / size : prepared_stride(c, g, from.index, from.axis);
        break;
    case KT_ARG_OUTPUT:
        if (out)
            return kl_view_arg(out, kl_is_read(r->scales, output->index) ? KD_ARG_HOST_BOTH : KD_ARG_HOST_OUT);
        return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = r->temps[output->index]->buffer};
    case KT_ARG_OUTPUT_ALPHA:
        return number_argument(r->scales[output->index].alpha, r->dtype, value);
    case KT_ARG_OUTPUT_BETA:
        return number_argument(r->scales[output->index].beta, r->dtype, value);
    case KT_ARG_OUTPUT_STRIDE:
        *value = out ? out->row_stride / out_size : r->exec->temps[output->index].dim;
        break;
    case KT_ARG_OUTPUT_STEP:
        *value = out ? out->step / out_size : 1;
        break;
    case KT_ARG_OUTPUT_BATCH:
        *value = g->operands[own + from.index].stride[from.axis] / out_size;
        break;
    case KT_ARG_ROWS:
        *value = g->rows;
        break;
    case KT_ARG_COLS:
        *value = g->cols;
        break;
    case KT_ARG_PARTS:
        *value = g->launch.parts;
        break;
    case KT_ARG_PART_LENGTH:
        *value = g->launch.part_length;
        break;
    case KT_ARG_PARTIAL:
        return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = c->partial.buffer};
    case KT_ARG_PARTIAL_BATCH:
        *value = g->launch.partial_elements / KB_MAX(g->axes.batches, 1);
        break;
    case KT_ARG_BATCH_SIZE:
        *value = g->axes.size[from.axis];
        break;
    case KT_ARG_FIRST_BATCH: /* the launches of all batches: see launch_kernel */
        break;
    case KT_ARG_COLUMN_PARTS:
        *value = g->launch.parts / g->launch.each_parts;
        break;
    case KT_ARG_EACH_COUNT:
        *value = g->axes.each_count;
        break;
    case KT_ARG_EACH_LENGTH:
        *value = g->launch.each_length;
        break;
    }
    return (kd_arg){.kind = KD_ARG_VALUE, .data = value, .size = sizeof *value};
}

/* `items` of the first two axes; the third is that of `batches`. */
static kcl_status launch_kernel(run *r, const kl_step *step, kl_compiled *c, kt_kernel_id id, const geometry *g,
                                const size_t items[2], int64_t batches)
{
    const kt_signature *signature = &c->signature[id];
    kd_arg small_args[SMALL], *args = small_args;
    int64_t small_values[SMALL], *values = small_values, *first_batch = NULL;
    const kcl_allocator *a = kd_allocator(r->context);
    if (signature->count > SMALL) {
        args = kb_calloc(a, signature->count, sizeof *args);
        values = kb_calloc(a, signature->count, sizeof *values);
    }
    kcl_status status = args && values ? KCL_OK : kb_no_memory(kd_error(r->context));
    for (size_t k = 0; status == KCL_OK && k < signature->count; k++) {
        args[k] = argument(r, step, c, g, signature->args[k], &values[k]);
        if (signature->args[k].kind == KT_ARG_FIRST_BATCH)
            first_batch = &values[k];
    }
    for (int64_t first = 0; status == KCL_OK && first < batches; first += MOST_BATCHES) {
        if (first_batch)
            *first_batch = first;
        status = kd_launch(r->context, c->kernel[id], (int)signature->count, args,
                           (size_t[]){items[0], items[1], (size_t)KB_MIN(batches - first, MOST_BATCHES)},
                           (size_t[]){(size_t)c->plan->group, 1, 1});
    }
    if (args != small_args)
        kb_free(a, args);
    if (values != small_values)
        kb_free(a, values);
    return status;
}

/* GCC 12 leaves the conversion out where two numbers beside each other are rounded this way, unless it is volatile. */
static double rounded(double number, kcl_dtype dtype)
{
    const volatile float single = (float)number;
    return dtype == KCL_F32 ? (double)single : number;
}

/* No pairs where alpha is 0 for all results of a step: none of them is read. */
static void leave_out_pairs(const run *r, const kl_step *step, geometry *g)
{
    for (size_t o = 0; o < step->sweep.output_count; o++) {
        const kr_scale *scale = step->outputs[o].is_temp || !r->scales ? NULL : &r->scales[step->outputs[o].index];
        if (!scale || !scale->is_scaled || rounded(scale->alpha, r->dtype) != 0)
            return;
    }
    g->rows = step->sweep.reduced & KF_AXIS_I ? 0 : g->rows;
    g->cols = 0;
}

static kcl_status launch_step(run *r, const kl_step *step, kl_compiled *c, geometry g)
{
    kcl_context *context = r->context;
    kcl_status status = KCL_OK;
    int64_t side_batches[2] = {0, 0};
    leave_out_pairs(r, step, &g);
    kp_launch_batches(c->plan, &c->caps, &(kp_sizes){g.rows, g.cols, g.axes.batches, g.axes.each_count}, &g.launch);
    for (size_t k = 0; status == KCL_OK && k < c->plan->prepared_vars; k++) {
        size_t number = c->plan->var_count - c->plan->prepared_vars + k;
        const kr_var *var = &c->plan->vars[number];
        int64_t elements, *batches = &side_batches[var->role == KF_ROLE_I ? 0 : 1];
        *batches = prepared_batches(c, &g, number);
        if (kb_mul_overflows(var->dim, var->role == KF_ROLE_I ? g.rows : g.cols, &elements) ||
            kb_mul_overflows(elements, *batches, &elements))
            elements = INT64_MAX;
        status = kl_make_room(context, &c->prepared[k], elements, r->dtype);
    }
    if (status == KCL_OK && c->plan->term_count && c->plan->shape != KP_ROWS)
        status = kl_make_room(context, &c->partial, g.launch.partial_elements, r->dtype);
    for (int side = 0; side < 2; side++)
        if (status == KCL_OK && g.launch.prepare_items[side] && (side == 0 ? g.rows : g.cols))
            status = launch_kernel(r, step, c, side == 0 ? KT_PREPARE_ROWS : KT_PREPARE_COLUMNS, &g,
                                   (size_t[]){g.launch.prepare_items[side], 1}, side_batches[side]);
    if (status == KCL_OK && g.launch.sweep_items[0])
        status = launch_kernel(r, step, c, KT_SWEEP, &g, g.launch.sweep_items, g.axes.batches);
    if (status == KCL_OK && g.launch.finish_items) {
        geometry of_results = g;
        /* Where both axes are reduced there is one row of results. */
        of_results.rows = step->sweep.reduced & KF_AXIS_I ? 1 : g.rows;
        status =
            launch_kernel(r, step, c, KT_FINISH, &of_results, (size_t[]){g.launch.finish_items, 1}, g.axes.batches);
    }
    return status;
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

/* Those of an array that a step reads. */
static const kl_batch *batch_of_input(const run *r, const kl_input *in)
{
    return in->is_temp ? &r->temp_batch[in->index] : &r->slots[in->index].batch;
}

/* The sizes of the axes in `axes`, as those of `from`. */
static void set_sizes(kl_batch *batch, unsigned axes, const kl_batch *from)
{
    for (int k = 0; k < KF_MAX_BATCH; k++) {
        if (!(axes & KF_BATCH_AXIS(k)))
            continue;
        while (batch->count <= k)
            batch->size[batch->count++] = 1;
        batch->size[k] = kl_batch_size(from, k);
    }
}

/* Arrays that repeat along different axes are small, their batches together may be more than can be counted. */
static kcl_status check_batch_count(const kl_batch *batch, kb_error *err)
{
    char sizes[KF_MAX_BATCH * 24] = "";
    int64_t count = 1;
    size_t n = 0;
    bool overflows = false;
    for (int k = batch->count - 1; k >= 0; k--) {
        n += (size_t)snprintf(sizes + n, sizeof sizes - n, "%s%lld", n ? " x " : "", (long long)batch->size[k]);
        overflows = overflows || kb_mul_overflows(count, batch->size[k], &count);
    }
    return overflows
               ? kb_fail(err, KCL_ERROR_ARGUMENT,
                         "the arrays together have %s batches (axes %d to -1): the product of these sizes is more "
                         "than a 64-bit number holds",
                         sizes, -batch->count)
               : KCL_OK;
}

/* The batch axes of every step and temporary; nothing where no array has any. */
static kcl_status find_batches(run *r)
{
    const kl_exec *e = r->exec;
    bool any = false;
    for (size_t k = 0; k < e->slot_count; k++)
        any = any || r->slots[k].batch.count;
    for (size_t k = 0; k < e->root_count; k++)
        any = any || r->outs[k].batch.count;
    if (!any)
        return KCL_OK;
    r->step_batch = kb_arena_alloc(&r->arena, (e->step_count + 1) * sizeof *r->step_batch);
    r->temp_batch = kb_arena_alloc(&r->arena, (e->temp_count + 1) * sizeof *r->temp_batch);
    r->temp_terms = kb_arena_alloc(&r->arena, (e->temp_count + 1) * sizeof *r->temp_terms);
    if (!r->step_batch || !r->temp_batch || !r->temp_terms)
        return kb_no_memory(kd_error(r->context));
    for (size_t k = 0; k < e->step_count; k++) {
        const kl_step *step = &e->steps[k];
        const size_t outputs = step->kind == KL_SWEEP ? step->sweep.output_count : 1;
        kl_batch *batch = &r->step_batch[k];
        *batch = step->batch;
        int clash = -1;
        /* What the formula knows of its arrays' axes is in step->batch: it may need some of them only. */
        for (size_t v = 0; v < kl_input_count(step) && clash < 0; v++) {
            const kl_input *in = &step->inputs[v];
            if (in->is_temp || !e->slots[in->index].batch.count)
                clash = kl_batch_join(batch, batch_of_input(r, in));
        }
        for (size_t o = 0; o < outputs && clash < 0; o++)
            if (!step->outputs[o].is_temp)
                clash = kl_batch_join(batch, &r->outs[step->outputs[o].index].batch);
        if (clash >= 0)
            return kb_fail(kd_error(r->context), KCL_ERROR_INTERNAL, "step %zu: batch axis %d has two sizes", k + 1,
                           -1 - clash);
        if (check_batch_count(batch, kd_error(r->context)) < 0)
            return kd_error(r->context)->status;
        for (size_t o = 0; o < outputs; o++) {
            if (!step->outputs[o].is_temp)
                continue;
            const size_t temp = step->outputs[o].index;
            r->temp_terms[temp] = *batch;
            r->temp_batch[temp] = kl_reduced_batch(batch, step->reduced_batches);
            if (step->kind == KL_SCATTER)
                set_sizes(&r->temp_batch[temp], step->chosen.batches, &r->temp_terms[step->inputs[1].index]);
        }
    }
    return KCL_OK;
}

/* Rows of a temporary, those of all batches. */
static int64_t temp_rows(const run *r, size_t temp)
{
    int64_t rows = rows_of(r->exec, r->slots, r->exec->temps[temp].extent);
    if (r->temp_batch && kb_mul_overflows(rows, kl_batch_count(&r->temp_batch[temp]), &rows))
        rows = INT64_MAX;
    return rows;
}

static void temp_strides(const run *r, size_t temp, int64_t size, kl_operand *to)
{
    const kl_temp *t = &r->exec->temps[temp];
    to->row_stride = t->dim * size;
    kl_dense_strides(&r->temp_batch[temp], rows_of(r->exec, r->slots, t->extent) * to->row_stride, to->stride);
}

/* The operands of a step, and its batch axes merged. `size`: bytes of an element of temporaries. */
static kl_operand *find_operands(run *r, size_t index, int64_t size, geometry *g)
{
    const kl_step *step = &r->exec->steps[index];
    size_t count = step->sweep.var_count + step->sweep.output_count;
    kl_operand *operands = kb_arena_alloc(&r->arena, (count + 1) * sizeof *operands);
    if (!operands)
        return NULL;
    for (size_t k = 0; k < count; k++) {
        bool is_var = k < step->sweep.var_count;
        size_t o = k - step->sweep.var_count;
        bool is_temp = is_var ? step->inputs[k].is_temp : step->outputs[o].is_temp;
        size_t from = is_var ? step->inputs[k].index : step->outputs[o].index;
        const kl_view *v = is_temp ? NULL : is_var ? &r->slots[from] : &r->outs[from];
        bool one_row = step->sweep.reduced & KF_AXIS_I || g->rows == 1;
        operands[k].role = is_var ? step->sweep.vars[k].role : one_row ? KF_ROLE_P : KF_ROLE_I;
        if (v) {
            operands[k].row_stride = v->row_stride;
            memcpy(operands[k].stride, v->batch_stride, sizeof operands[k].stride);
        } else {
            temp_strides(r, from, size, &operands[k]);
        }
    }
    /* Elements that formulas count are those of one batch. Terms are numbered row-major: i comes behind a batch axis. */
    unsigned fixed = step->numbered;
    for (size_t k = 0; k < step->sweep.term_count; k++)
        if (kf_reduction_get(step->sweep.terms[k].reduction)->kind == KF_INT && step->sweep.reduced & KF_AXIS_I)
            fixed |= KF_AXIS_J;
    kl_merge_axes(&g->axes, &r->step_batch[index], step->sweep.reduced, step->reduced_batches, fixed, count, operands,
                  &g->rows, &g->cols);
    g->operands = operands;
    return operands;
}

static kcl_status find_geometry(run *r, size_t index, int64_t size, geometry *g)
{
    const kl_step *step = &r->exec->steps[index];
    *g = (geometry){.rows = rows_of(r->exec, r->slots, step->row_extent),
                    .cols = rows_of(r->exec, r->slots, step->col_extent),
                    .axes = {.batches = 1, .each_count = 1}};
    if (has_batches(r, index) && !find_operands(r, index, size, g))
        return kb_no_memory(kd_error(r->context));
    return KCL_OK;
}

/* Those of a step's outputs, in the arena and rounded to the type of the arrays; temporaries have none. */
static kcl_status find_scales(run *r, const kl_step *step, const kr_scale **scales)
{
    kr_scale *of_step = NULL;
    *scales = NULL;
    for (size_t o = 0; r->scales && o < step->sweep.output_count; o++) {
        if (step->outputs[o].is_temp || !r->scales[step->outputs[o].index].is_scaled)
            continue;
        if (!of_step)
            of_step = kb_arena_alloc(&r->arena, step->sweep.output_count * sizeof *of_step);
        if (!of_step)
            return kb_no_memory(kd_error(r->context));
        const kr_scale *scale = &r->scales[step->outputs[o].index];
        of_step[o] = (kr_scale){true, rounded(scale->alpha, r->dtype), rounded(scale->beta, r->dtype)};
    }
    *scales = of_step;
    return KCL_OK;
}

/* How the arrays lie: kept in the arena. */
static kcl_status find_layout(run *r, const kl_step *step, const geometry *g, kl_layout *arrays)
{
    size_t count = step->sweep.var_count;
    uint8_t *axes = kb_arena_alloc(&r->arena, count + 1);
    arrays->dense = kb_arena_alloc(&r->arena, (count + 1) * sizeof *arrays->dense);
    if (!arrays->dense || !axes)
        return kb_no_memory(kd_error(r->context));
    for (size_t k = 0; k < count; k++) {
        arrays->dense[k] = step->inputs[k].is_temp || kl_has_dense_rows(&r->slots[step->inputs[k].index]);
        for (int b = 0; g->operands && b < g->axes.outer + g->axes.each; b++)
            axes[k] |= (uint8_t)(g->operands[k].stride[b] ? 1u << b : 0);
    }
    arrays->batches = (kp_batches){g->axes.outer, g->axes.each, axes};
    return find_scales(r, step, &arrays->scales);
}

static kcl_dtype type_of_temp(const run *r, size_t index)
{
    return r->exec->temps[index].kind == KF_INT ? KCL_I64 : r->host_temps ? KCL_F64 : r->dtype;
}

static kl_view view_of_temp(const run *r, size_t index)
{
    const kl_temp *temp = &r->exec->temps[index];
    kl_view v = {.dtype = type_of_temp(r, index), .rows = rows_of(r->exec, r->slots, temp->extent), .dim = temp->dim};
    v.step = (int64_t)kb_dtype_size(v.dtype);
    v.row_stride = v.dim * v.step;
    if (r->temp_batch) {
        v.batch = r->temp_batch[index];
        kl_dense_strides(&v.batch, v.rows * v.row_stride, v.batch_stride);
    }
    if (r->host_temps)
        v.data = r->host_temps[index];
    else
        v.buffer = r->temps[index]->buffer;
    return v;
}

/* A step that is no sweep. */
static kcl_status run_indexed(run *r, const kl_step *step)
{
    kl_indexed work = {.kind = step->kind, .chosen = step->chosen, .out = view_of_temp(r, step->outputs[0].index)};
    work.values = step->inputs[0].is_temp ? view_of_temp(r, step->inputs[0].index) : r->slots[step->inputs[0].index];
    work.unit = r->host_temps ? 1 : (int64_t)kb_dtype_size(work.values.dtype);
    if (step->kind != KL_WHOLE) {
        work.index = view_of_temp(r, step->inputs[1].index);
        for (int k = 0; k < 2; k++)
            work.length[k] = rows_of(r->exec, r->slots, step->chosen.extent[k]);
        if (r->temp_terms)
            work.terms = r->temp_terms[step->inputs[1].index];
    }
    if (!r->host_temps)
        return kl_run_indexed(r->context, &work, r->dtype, r->host_input, &r->arena);
    work.values.data = kl_host_data(&work.values);
    return kl_run_indexed_on_host(&work, kd_allocator(r->context), kd_error(r->context));
}

static kcl_status run_step(run *r, size_t index)
{
    const kl_step *step = &r->exec->steps[index];
    kcl_context *context = r->context;
    if (step->kind != KL_SWEEP)
        return run_indexed(r, step);
    kb_error *err = kd_error(context);
    geometry g;
    kl_layout arrays;
    if (find_geometry(r, index, (int64_t)kb_dtype_size(r->dtype), &g) < 0 || find_layout(r, step, &g, &arrays) < 0)
        return err->status;
    if ((g.rows == 0 && !(step->sweep.reduced & KF_AXIS_I)) || g.axes.batches == 0)
        return KCL_OK;
    kp_choice choice;
    kp_sizes sizes = {g.rows, g.cols, g.axes.batches, g.axes.each_count};
    kcl_status status =
        kp_choose_for(&step->sweep, kd_caps(context), r->dtype, &sizes, r->exec->options.schedule, &choice, err);
    kl_choice form;
    if (status == KCL_OK)
        status = choose_form(r, index, &g, &choice, &form);
    if (status == KCL_OK)
        choice.expand = form.is_expanded;
    choice.fast = r->exec->options.fast;
    g.form = &form;
    kl_compiled *c = status == KCL_OK ? kl_find_compiled(r->exec, context, r->dtype, index, &choice, &arrays) : NULL;
    status = c ? launch_step(r, step, c, g) : err->status;
    /* What the driver told beforehand may not have been all. */
    while (c && status == KCL_ERROR_UNSUPPORTED && c->plan->group > 1) {
        kb_error_clear(err);
        status = kl_compile(context, r->dtype, step, &choice, &arrays, (size_t)c->plan->group / 2, c);
        if (status == KCL_OK) {
            status = launch_step(r, step, c, g);
        } else {
            kl_forget_compiled(context, c);
            c = NULL;
        }
    }
    return status;
}

static kcl_status find_temps(run *r)
{
    const kl_exec *e = r->exec;
    for (size_t k = 0; k < e->temp_count; k++) {
        int64_t elements;
        r->temps[k] = kl_temporary(r->context, kb_hash_combine(e->key, (k + 1) * 4 + r->dtype));
        if (!r->temps[k])
            return kd_error(r->context)->status;
        if (kb_mul_overflows(e->temps[k].dim, temp_rows(r, k), &elements))
            elements = INT64_MAX;
        if (kl_make_room(r->context, r->temps[k], elements, type_of_temp(r, k)) < 0)
            return kd_error(r->context)->status;
    }
    return KCL_OK;
}

static kcl_status end_run(run *r, kcl_status status)
{
    kcl_context *context = r->context;
    /* Nothing may refer to the caller's memory afterwards; the first error is the one to report. */
    status = status < 0 || r->waits ? kl_wait_for(r->context, status) : kd_submit(context);
    if (status == KCL_ERROR_DEVICE_MEMORY)
        kl_empty_rooms(context);
    return status;
}

static kcl_status run_on_device(run *r)
{
    const kcl_allocator *a = kd_allocator(r->context);
    kcl_status status = find_batches(r);
    for (size_t k = 0; status == KCL_OK && k < r->exec->slot_count; k++)
        if (r->slots[k].buffer)
            status = copy_rows(r, &r->given_slots[k], &r->slots[k]);
    for (size_t k = 0; status == KCL_OK && k < r->exec->root_count; k++)
        if (r->outs[k].buffer && kl_is_read(r->scales, k))
            status = copy_rows(r, &r->given_outs[k], &r->outs[k]);
    if (status == KCL_OK && r->exec->temp_count) {
        r->temps = kb_calloc(a, r->exec->temp_count, sizeof *r->temps);
        status = r->temps ? find_temps(r) : kb_no_memory(kd_error(r->context));
    }
    for (size_t k = 0; status == KCL_OK && k < r->exec->step_count; k++)
        status = run_step(r, k);
    for (size_t k = 0; status == KCL_OK && k < r->exec->root_count; k++)
        if (r->outs[k].buffer)
            status = copy_rows(r, &r->outs[k], &r->given_outs[k]);
    kb_free(a, r->temps);
    return end_run(r, status);
}

/* ---- The interpreter --------------------------------------------------------------------------------------------- */

/*
 * A schedule that was asked for is refused where CPUs would refuse it: the interpreter has none, but a program should not
 * find out on another device.
 */
static kcl_status check_schedule(run *r, const kl_step *step, const geometry *g)
{
    const kp_caps *caps = kp_caps_profile("cpu");
    const kp_sizes sizes = {g->rows, g->cols, g->axes.batches, g->axes.each_count};
    const bool is_empty = (g->rows == 0 && !(step->sweep.reduced & KF_AXIS_I)) || g->axes.batches == 0;
    kb_error *err = kd_error(r->context);
    kp_choice choice;
    kp_plan *plan;
    if (!*r->exec->options.schedule || is_empty)
        return KCL_OK;
    if (kp_choose_for(&step->sweep, caps, r->dtype, &sizes, r->exec->options.schedule, &choice, err) < 0)
        return err->status;
    /* Contractions look at formulas closely. */
    if (choice.schedule != KP_BY_CONTRACTION)
        return KCL_OK;
    kcl_status status = kp_plan_create(&plan, &(kp_request){&step->sweep, r->dtype, caps, choice, NULL, {0}}, err);
    kp_plan_destroy(&plan);
    return status;
}

static kcl_status run_host_step(run *r, size_t index)
{
    const kl_step *step = &r->exec->steps[index];
    const kcl_allocator *a = kd_allocator(r->context);
    kb_error *err = kd_error(r->context);
    const int64_t size = sizeof(double);
    if (step->kind != KL_SWEEP)
        return run_indexed(r, step);
    const size_t vars = step->sweep.var_count, outputs = step->sweep.output_count;
    geometry g;
    kr_sweep sweep = step->sweep;
    if (find_geometry(r, index, size, &g) < 0 || find_scales(r, step, &sweep.scales) < 0 ||
        check_schedule(r, step, &g) < 0)
        return err->status;
    leave_out_pairs(r, step, &g);
    kf_source *sources = kb_calloc(a, vars + 1, sizeof *sources);
    kr_sink *sinks = kb_calloc(a, outputs + 1, sizeof *sinks);
    int64_t(*strides)[KF_MAX_BATCH] = kb_calloc(a, vars + outputs + 1, sizeof *strides);
    kcl_status status = sources && sinks && strides ? KCL_OK : kb_no_memory(err);
    for (size_t k = 0; status == KCL_OK && k < vars; k++) {
        const kl_input *in = &step->inputs[k];
        const kl_view *v = in->is_temp ? NULL : &r->slots[in->index];
        sources[k] = v ? (kf_source){kl_host_data(v), v->dtype, v->row_stride, v->step}
                       : (kf_source){r->host_temps[in->index], KCL_F64, r->exec->temps[in->index].dim * size, size};
    }
    for (size_t k = 0; status == KCL_OK && k < outputs; k++) {
        const kl_output *out = &step->outputs[k];
        const kl_view *v = out->is_temp ? NULL : &r->outs[out->index];
        sinks[k] = v ? (kr_sink){kl_host_data(v), v->dtype, v->row_stride, v->step}
                     : (kr_sink){r->host_temps[out->index], type_of_temp(r, out->index),
                                 r->exec->temps[out->index].dim * size, size};
    }
    for (size_t k = 0; status == KCL_OK && g.operands && k < vars + outputs; k++)
        memcpy(strides[k], g.operands[k].stride, sizeof strides[k]);
    if (status == KCL_OK) {
        kr_batches batches = {g.axes.outer,
                              g.axes.each,
                              {0},
                              (const int64_t(*)[KF_MAX_BATCH])strides,
                              (const int64_t(*)[KF_MAX_BATCH])(strides + vars)};
        memcpy(batches.size, g.axes.size, sizeof batches.size);
        status = kr_run_batches(&sweep, g.rows, g.cols, g.operands ? &batches : NULL, sources, sinks,
                                kd_threads(r->context), err);
    }
    kb_free(a, sources);
    kb_free(a, sinks);
    kb_free(a, strides);
    return status;
}

static kcl_status run_on_host(run *r)
{
    const kcl_allocator *a = kd_allocator(r->context);
    const kl_exec *e = r->exec;
    kcl_status status = find_batches(r);
    if (status < 0)
        return status;
    r->host_temps = kb_calloc(a, e->temp_count + 1, sizeof *r->host_temps);
    if (!r->host_temps)
        return kb_no_memory(kd_error(r->context));
    for (size_t k = 0; status == KCL_OK && k < e->temp_count; k++) {
        r->host_temps[k] = kb_calloc(a, (size_t)e->temps[k].dim * sizeof(double), (size_t)temp_rows(r, k));
        if (!r->host_temps[k])
            status = kb_no_memory(kd_error(r->context));
    }
    for (size_t k = 0; status == KCL_OK && k < e->step_count; k++)
        status = run_host_step(r, k);
    for (size_t k = 0; k < e->temp_count; k++)
        kb_free(a, r->host_temps[k]);
    kb_free(a, r->host_temps);
    return status;
}

/* ---- Evaluations ------------------------------------------------------------------------------------------------- */

kcl_status kl_scales_of(kr_scale *scales, size_t count, const kf_node *const *roots, const double *alpha,
                        const double *beta, kb_error *err)
{
    for (size_t k = 0; k < count; k++) {
        const bool is_index = roots[k]->kind == KF_INT;
        scales[k] = (kr_scale){!is_index, alpha ? alpha[k] : 1, beta ? beta[k] : 0};
        if (is_index && !(scales[k].alpha == 1 && scales[k].beta == 0))
            return kb_fail(err, KCL_ERROR_TYPE,
                           "output %zu is an index, an int64, which is not scaled or added to: its alpha is %g and its "
                           "beta %g, they must be 1 and 0",
                           k, scales[k].alpha, scales[k].beta);
    }
    return KCL_OK;
}

kcl_dtype kl_type_beside_integers(kcl_context *context)
{
    return kd_is_host(context) || kd_caps(context)->has_f64 ? KCL_F64 : KCL_F32;
}

kcl_status kl_exec_run(const kl_exec *exec, kcl_context *context, kcl_dtype dtype, const kl_view *slots,
                       const kl_view *outs, const kr_scale *scales)
{
    kcl_context_stats *stats = kd_stats(context);
    double start = kb_seconds(), built = stats->build_seconds;
    const bool host = kd_is_host(context), copies = kd_copies(context);
    run r = {.exec = exec,
             .context = context,
             .dtype = dtype,
             .slots = slots,
             .outs = outs,
             .given_slots = slots,
             .given_outs = outs,
             .scales = scales,
             .waits = kd_always_waits(context) || !kl_all_on_device(exec->root_count, outs) ||
                      !kl_has_little_host_data(exec->slot_count, slots)};
    r.host_input = r.waits ? KD_ARG_HOST_IN : KD_ARG_HOST_COPY;
    kl_staging in = {0}, out = {0};
    bool shares;
    kcl_status status = kl_check_arrays(exec, context, slots, outs, &shares);
    if (status < 0)
        return status;
    if (!host && !kl_all_usable(exec->slot_count, slots, false, copies)) {
        status = kl_stage_inputs(&in, context, exec, slots);
        r.slots = in.views;
    }
    if (status == KCL_OK &&
        (shares || exec->repeats || (!host && !kl_all_usable(exec->root_count, outs, true, copies)))) {
        status = kl_stage_outputs(&out, context, exec, slots, outs, scales);
        r.outs = out.views;
    }
    kb_arena_init(&r.arena, kd_allocator(context));
    if (status == KCL_OK)
        status = host ? run_on_host(&r) : run_on_device(&r);
    kb_arena_finish(&r.arena);
    kl_unstage(&in, context, NULL);
    kl_unstage(&out, context, status == KCL_OK ? outs : NULL);
    double seconds = kb_seconds() - start;
    stats->evaluations++;
    stats->run_seconds += seconds - (stats->build_seconds - built);
    kb_log_line(kd_log(context), "evaluation of %zu results in %zu sweeps: %.6f s, of which %.6f s building%s",
                exec->root_count, exec->step_count, seconds, stats->build_seconds - built,
                r.waits ? "" : "; the device is not waited for");
    return status;
}

/* "(B, rows, dim)" of a result. */
static void put_result_shape(char *text, size_t size, const kl_view *v, int64_t rows)
{
    kcl_array shape = {.ndim = 0};
    for (int k = v->batch.count - 1; k >= 0; k--)
        shape.shape[shape.ndim++] = v->batch.size[k];
    shape.shape[shape.ndim++] = rows;
    shape.shape[shape.ndim++] = v->dim;
    kl_put_shape(text, size, &shape);
}

kcl_status kl_exec_check_rows(const kl_exec *e, const kl_view *slots, kb_error *err)
{
    static const char *const axis_names[] = {
        "", "axis i", "axis j", "the axes i and j, which have one length where an argument stands on both,"};
    for (size_t k = 0; k < e->slot_count; k++) {
        size_t first = 0;
        while (e->slots[first].extent != e->slots[k].extent)
            first++;
        if (e->slots[k].extent && slots[k].rows != slots[first].rows)
            return kb_fail(err, KCL_ERROR_LENGTH, "%s has %lld rows, %s has %lld: both are on %s and must agree",
                           e->slots[first].name, (long long)slots[first].rows, e->slots[k].name,
                           (long long)slots[k].rows, axis_names[KB_MIN(e->slots[k].extent, KL_EXTENT_BOTH)]);
    }
    return KCL_OK;
}

kcl_status kl_exec_check(const kl_exec *e, const kl_view *slots, const kl_view *outs, kb_error *err)
{
    if (kl_exec_check_rows(e, slots, err) < 0)
        return err->status;
    for (size_t k = 0; k < e->root_count; k++) {
        int64_t rows = rows_of(e, slots, e->root[k].extent);
        if (outs[k].rows == rows)
            continue;
        char given[160], wanted[160];
        put_result_shape(given, sizeof given, &outs[k], outs[k].rows);
        put_result_shape(wanted, sizeof wanted, &outs[k], rows);
        return kb_fail(err, KCL_ERROR_LENGTH,
                       "output %zu has shape %s, the result %s: %lld rows, and %lld (axes of size 1 may be left out)",
                       k, given, wanted, (long long)outs[k].rows, (long long)rows);
    }
    return KCL_OK;
}

/* What the compiler made of the kernel that does the work. */
static void describe_kernel(kcl_context *context, const kl_compiled *c, kb_str *out)
{
    kd_kernel *kernel = c->kernel[KT_SWEEP] ? c->kernel[KT_SWEEP] : c->kernel[KT_FINISH];
    if (!kernel)
        return;
    const kd_limits *limits = kd_kernel_limits(context, kernel);
    if (limits->work_group)
        kb_str_putf(out, "largest work-group: %zu\n", limits->work_group);
    kb_str_putf(out, "local memory: %zu bytes\nprivate memory: %zu bytes\n", limits->local_memory,
                limits->private_memory);
    if (limits->registers >= 0)
        kb_str_putf(out, "registers: %d\n", limits->registers);
    if (limits->spilled >= 0)
        kb_str_putf(out, "spilled bytes: %lld\n", (long long)limits->spilled);
    if (limits->stack >= 0)
        kb_str_putf(out, "stack bytes: %lld\n", (long long)limits->stack);
}

kcl_status kl_read_math(const char *word, bool *fast, kb_error *err)
{
    const bool is_fast = word && strcmp(word, "fast") == 0;
    if (is_fast || !word || !*word || strcmp(word, "precise") == 0) {
        *fast = is_fast;
        return KCL_OK;
    }
    return kb_fail(err, KCL_ERROR_ARGUMENT, "math \"%s\" is not known: write \"precise\" or \"fast\"", word);
}

/* What a description says about the form of step `index`. */
static void describe_form(const kl_exec *e, size_t index, kcl_context *context, kcl_dtype dtype, kb_str *out)
{
    static const char *const asked[] = {"by the data of each call", "differences (asked for)", "expanded (asked for)"};
    const char *text = asked[e->options.form];
    const char *note = context ? kl_form_note(context, kb_hash_combine(e->key, index * 4 + dtype), false) : NULL;
    if (note)
        text = note;
    if (e->steps[index].expansion)
        kb_str_putf(out, "form: %s\n", text);
}

kcl_status kl_exec_emit(const kl_exec *e, kcl_context *context, const kp_caps *caps, kcl_dtype dtype,
                        const int64_t *extents, bool describe, kb_str *out, kb_error *err)
{
    for (size_t k = 0; k < e->step_count; k++) {
        const kl_step *step = &e->steps[k];
        if (step->kind != KL_SWEEP) {
            kl_emit_indexed(step, dtype, k + 1, e->step_count, describe, out);
            continue;
        }
        kp_plan *plan;
        kt_program program;
        kp_choice choice;
        if (kp_choose(&step->sweep, caps, dtype, extents[step->row_extent], extents[step->col_extent],
                      e->options.schedule, &choice, err) < 0)
            return err->status;
        choice.expand = e->options.form == KL_FORM_EXPANDED &&
                        !(step->expansion && step->expansion->screens && !kp_screens(&choice));
        choice.fast = e->options.fast;
        if (kp_plan_create(&plan, &(kp_request){&step->sweep, dtype, caps, choice, NULL, {0}}, err) < 0)
            return err->status;
        if (e->step_count > 1)
            kb_str_putf(out, describe ? "sweep: %zu of %zu\n" : "/* Sweep %zu of %zu. */\n", k + 1, e->step_count);
        kcl_status status = KCL_OK;
        if (describe) {
            kp_launch launch;
            const kl_compiled *c = kl_built_before(e, context, dtype, k, choice);
            const kp_plan *made = c ? c->plan : plan;
            kp_describe(made, out);
            describe_form(e, k, context, dtype, out);
            kp_launch_for(made, c ? &c->caps : caps, extents[step->row_extent], extents[step->col_extent], &launch);
            kb_str_putf(out, "work-items: %zu x %zu\nparts: %lld\n", launch.sweep_items[0], launch.sweep_items[1],
                        (long long)launch.parts);
            if (c)
                describe_kernel(context, c, out);
        } else {
            status = kt_render(&program, plan, err);
            if (status == KCL_OK) {
                kb_str_put(out, kb_str_text(&program.source));
                kt_program_finish(&program);
            }
        }
        kp_plan_destroy(&plan);
        if (status < 0)
            return status;
    }
    return out->failed ? kb_no_memory(err) : KCL_OK;
}
