/* SPDX-License-Identifier: MIT */
/* api/call.c: the arrays of a call: checked, typed, broadcast. */
#include "call.h"
#include "label.h"

unsigned ka_batch_axes(const kg_batch *batch)
{
    unsigned axes = 0;
    for (int k = 0; k < batch->count; k++)
        axes |= batch->size[k] != 1 ? KF_BATCH_AXIS(k) : 0;
    return axes;
}

kcl_status ka_call_begin(ka_call *call, kcl_context *context, size_t input_count, const ka_parameter *parameters,
                         size_t output_count, bool is_scaled)
{
    const kcl_allocator *a = kd_allocator(context);
    const size_t count = input_count + output_count;
    /* The room for a few views is not cleared, which would cost more than everything else here. */
    call->context = context;
    call->input_count = input_count;
    call->output_count = output_count;
    call->parameters = parameters;
    call->inputs = count <= KB_COUNT(call->few_views) ? call->few_views : kb_calloc(a, count, sizeof *call->inputs);
    call->outputs = call->inputs ? call->inputs + input_count : NULL;
    call->scales = !is_scaled                                   ? NULL
                   : output_count <= KB_COUNT(call->few_scales) ? call->few_scales
                                                                : kb_calloc(a, output_count, sizeof *call->scales);
    call->batch = (kg_batch){0};
    call->dtype = KCL_DTYPE_NONE;
    return call->inputs && (call->scales || !is_scaled) ? KCL_OK : kb_no_memory(kd_error(context));
}

void ka_call_end(ka_call *call)
{
    if (call->inputs != call->few_views)
        kb_free(kd_allocator(call->context), call->inputs);
    if (call->scales != call->few_scales)
        kb_free(kd_allocator(call->context), call->scales);
}

kcl_status ka_see_inputs(ka_call *call, const kcl_array *const *arrays, kx_reading reading)
{
    kb_error *err = kd_error(call->context);
    for (size_t k = 0; k < call->input_count; k++) {
        const ka_parameter *p = &call->parameters[k];
        if (!p->number && kx_view_of(&call->inputs[k], arrays[k], p->role, p->dim, reading, p->name, err) < 0)
            return err->status;
    }
    return KCL_OK;
}

/* Input `at` clashes with an input before it on a batch axis. */
static kcl_status refuse_batches(const ka_call *call, size_t at, int axis)
{
    const int64_t size = kg_batch_size(&call->inputs[at].batch, axis);
    size_t other = 0;
    while (kg_batch_size(&call->inputs[other].batch, axis) == 1 ||
           kg_batch_size(&call->inputs[other].batch, axis) == size)
        other++;
    return kb_fail(
        kd_error(call->context), KCL_ERROR_LENGTH,
        "%s has size %lld on batch axis %d, %s has %lld: sizes must be equal, or one of them 1; batch axes are "
        "those before the rows, -1 is the last of them",
        call->parameters[other].name, (long long)kg_batch_size(&call->inputs[other].batch, axis), -1 - axis,
        call->parameters[at].name, (long long)size);
}

kcl_status ka_broadcast_inputs(ka_call *call)
{
    for (size_t k = 0; k < call->input_count; k++) {
        const int clash = kg_batch_join(&call->batch, &call->inputs[k].batch);
        if (clash >= 0)
            return refuse_batches(call, k, clash);
    }
    return KCL_OK;
}

/* An array of real numbers has the type of the arrays before it; the first array tells the type. */
static kcl_status take_type(ka_call *call, const kx_view *view, const char *name)
{
    if (call->dtype && view->dtype != call->dtype)
        return kb_fail(kd_error(call->context), KCL_ERROR_TYPE, "%s is %s, %s is %s: all arrays need one type", name,
                       kb_dtype_name(view->dtype), call->typed_by, kb_dtype_name(call->dtype));
    if (!call->dtype)
        call->typed_by = name;
    call->dtype = view->dtype;
    return KCL_OK;
}

kcl_status ka_type_inputs(ka_call *call)
{
    kb_error *err = kd_error(call->context);
    for (size_t k = 0; k < call->input_count; k++) {
        const ka_parameter *p = &call->parameters[k];
        const kx_view *view = &call->inputs[k];
        if (p->number)
            continue;
        const kf_kind kind = p->takes_integers && view->dtype == KCL_I64 ? KF_INT : p->kind;
        if (kx_check_input_type(view, kind, p->name, err) < 0 || (kind != KF_INT && take_type(call, view, p->name) < 0))
            return err->status;
    }
    return KCL_OK;
}

kcl_status ka_see_output(ka_call *call, size_t k, const kcl_array *array, const kf_node *result, kf_role role,
                         const kg_batch *batch)
{
    kb_error *err = kd_error(call->context);
    const kf_kind kind = (kf_kind)result->kind;
    char own[sizeof call->output_name], *name = call->dtype ? own : call->output_name;
    ka_name put = {name, sizeof own, 0};
    ka_put_text(&put, "output ");
    ka_put_number(&put, (int64_t)k);
    if (kx_view_of_result(&call->outputs[k], array, role, result->dim, batch, name, err) < 0 ||
        kx_check_output_type(&call->outputs[k], kind, name, err) < 0 ||
        (kind != KF_INT && take_type(call, &call->outputs[k], name) < 0))
        return err->status;
    return KCL_OK;
}

void ka_finish_types(ka_call *call)
{
    if (!call->dtype)
        call->dtype = kx_type_beside_integers(call->context);
    for (size_t k = 0; k < call->input_count; k++) {
        const ka_number *number = call->parameters[k].number;
        if (!number)
            continue;
        call->inputs[k] = (kx_view){.data = call->dtype == KCL_F32 ? (const void *)&number->f32 : &number->f64,
                                    .dtype = call->dtype,
                                    .rows = 1,
                                    .dim = 1,
                                    .step = (int64_t)kb_dtype_size(call->dtype)};
    }
}
