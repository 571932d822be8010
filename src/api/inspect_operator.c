/* SPDX-License-Identifier: MIT */
/* api/inspect_operator.c: what an operator is, and its kernels. */
#include "operator.h"
#include "text.h"

#include <string.h>

const char *kcl_operator_error(const kcl_operator *op)
{
    return op ? op->error.text : "there is no operator: the pointer is NULL, or memory was exhausted";
}

int kcl_operator_input_count(const kcl_operator *op)
{
    return op ? (int)op->input_count : 0;
}

int kcl_operator_output_count(const kcl_operator *op)
{
    return op ? (int)op->root_count : 0;
}

kcl_status kcl_operator_input(const kcl_operator *op, int index, kcl_slot_info *info)
{
    if (!op || !info || index < 0 || (size_t)index >= op->input_count)
        return KCL_ERROR_ARGUMENT;
    const ka_argument *in = &op->inputs[index];
    *info = (kcl_slot_info){.role = (kcl_role)in->role, .dim = in->dim};
    info->dtype = ka_takes_integers(in) ? KCL_I64 : KCL_DTYPE_NONE;
    memcpy(info->name, in->name, sizeof info->name);
    return KCL_OK;
}

kcl_status kcl_operator_output(const kcl_operator *op, int index, kcl_slot_info *info)
{
    if (!op || !info || index < 0 || (size_t)index >= op->root_count)
        return KCL_ERROR_ARGUMENT;
    *info = (kcl_slot_info){.role = (kcl_role)op->outputs[index].role, .dim = op->roots[index]->dim};
    info->dtype = op->roots[index]->kind == KF_INT ? KCL_I64 : KCL_DTYPE_NONE;
    return KCL_OK;
}

static const char *input_name(void *user, const kf_node *var)
{
    const kcl_operator *op = user;
    const ka_argument *in = (size_t)var->param[0] < op->input_count ? &op->inputs[var->param[0]] : NULL;
    return in && *in->name && in->dim == var->dim && (int)in->role == var->param[2] ? in->name : NULL;
}

static kcl_status hand_over(kb_str *text, kcl_status status, kcl_write_fn write, void *user, kb_error *err)
{
    if (status == KCL_OK && text->failed)
        status = kb_no_memory(err);
    if (status == KCL_OK)
        write(user, kb_str_text(text), text->length);
    kb_str_finish(text);
    return status;
}

kcl_status kcl_operator_print(const kcl_operator *op, kcl_write_fn write, void *user)
{
    if (!op || !write)
        return KCL_ERROR_ARGUMENT;
    if (op->error.status < 0)
        return op->error.status;
    kb_str text;
    kb_str_init(&text, &op->allocator);
    bool whole = true;
    for (size_t k = 0; whole && k < op->root_count; k++) {
        const kf_parsed_reduction result = {op->roots[k], (int)op->outputs[k].role};
        kb_str_put(&text, k ? "; " : "");
        whole = kf_print_reduction(&text, &result, input_name, (void *)(uintptr_t)op, 0) && text.length <= KF_MAX_TEXT;
    }
    kb_error ignored;
    return hand_over(&text, whole ? KCL_OK : kf_text_error(&text, &ignored), write, user, &ignored);
}

static kcl_status show(const kcl_operator *op, kcl_context *context, const char *profile, kcl_dtype dtype, int64_t m,
                       int64_t n, bool describe, kcl_write_fn write, void *user)
{
    kb_error local = {0}, *err = context ? kd_error(context) : &local;
    if (context && kd_enter(context) < 0)
        return kcl_context_status(context);
    if (!op || !write)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s: the %s is NULL",
                       describe ? "kcl_operator_describe" : "kcl_operator_emit",
                       op ? "function that receives the text" : "operator");
    if (op->error.status < 0) {
        *err = op->error;
        return err->status;
    }
    if (m < 0 || n < 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "sizes m = %lld and n = %lld: they must be 0 or more", (long long)m,
                       (long long)n);
    if (op->joins_axes && m != n)
        return kb_fail(err, KCL_ERROR_LENGTH,
                       "sizes m = %lld and n = %lld: an argument of the operator stands on both axes, which have one "
                       "length",
                       (long long)m, (long long)n);
    if (dtype != KCL_F32 && dtype != KCL_F64)
        return kb_fail(err, KCL_ERROR_TYPE, "the number type must be KCL_F32 or KCL_F64");
    const kp_caps *caps = profile                           ? kp_caps_profile(profile)
                          : context && !kd_is_host(context) ? kd_caps(context)
                                                            : NULL;
    if (!caps && profile)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "\"%s\" is no built-in device profile: write \"cpu\" or \"gpu\"",
                       profile);
    if (!caps)
        return kb_fail(err, KCL_ERROR_UNSUPPORTED, "%s",
                       context ? "the device \"host\" interprets formulas: it has no kernels and no plan"
                               : "a profile or a context is needed");
    const char **names = kb_calloc(&op->allocator, op->input_count + 1, sizeof *names);
    if (!names)
        return kb_no_memory(err);
    for (size_t k = 0; k < op->input_count; k++)
        names[k] = op->inputs[k].name;
    kb_str text;
    kb_str_init(&text, &op->allocator);
    kcl_status status = kx_emit(op->program, profile ? NULL : context, caps, dtype, (int64_t[]){1, m, n, m}, names,
                                describe, &text, err);
    kb_free(&op->allocator, names);
    return hand_over(&text, status, write, user, err);
}

kcl_status kcl_operator_emit(const kcl_operator *op, kcl_context *context, const char *profile, kcl_dtype dtype,
                             int64_t m, int64_t n, kcl_write_fn write, void *user)
{
    return show(op, context, profile, dtype, m, n, false, write, user);
}

kcl_status kcl_operator_describe(const kcl_operator *op, kcl_context *context, kcl_dtype dtype, int64_t m, int64_t n,
                                 kcl_write_fn write, void *user)
{
    return show(op, context, NULL, dtype, m, n, true, write, user);
}
