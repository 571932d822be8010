/* SPDX-License-Identifier: MIT */
/* api/variables.c: variables, numbers and formulas in text. */
#include "make.h"
#include "reductions.h"
#include "scope.h"
#include "text.h"

#include <math.h>
#include <string.h>

/* ---- Variables --------------------------------------------------------------------------------------------------- */

static kcl_expr *variable(const char *call, kcl_scope *scope, kcl_data *data, kf_role role)
{
    if (ka_scope_error(scope))
        return ka_scope_error(scope);
    if (!data && scope->data_lost)
        return &scope->out_of_memory;
    if (!data)
        return ka_fail(scope, KCL_ERROR_ARGUMENT, "%s: the data handle is NULL", call);
    if (data->error)
        return ka_error_expr(scope, data->error);
    if (data->scope != scope)
        return ka_fail(scope, KCL_ERROR_ARGUMENT, "%s: the data handle belongs to another scope", call);
    if (!data->is_variable)
        data->call = call;
    data->is_variable = true;
    kx_view view;
    kb_error err;
    if (kx_view_of(&view, &data->array, role, 0, KX_STATED, "", &err) < 0) {
        kx_view_of(&view, &data->array, role, 0, KX_STATED, ka_data_name(scope, data->index), &err);
        return ka_error_expr(scope, &err);
    }
    const unsigned axes = ka_batch_axes(&view.batch);
    scope->has_batches |= axes != 0;
    const kf_node *var = kf_on_batches(&scope->graph, kf_var(&scope->graph, data->index, view.dim, role), axes);
    return ka_expr_called(call, scope, view.dtype == KCL_I64 ? kf_integers(&scope->graph, var) : var);
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
    return variable(__func__, scope, ka_new_data(__func__, scope, array), KF_ROLE_I);
}

kcl_expr *kcl_vj(kcl_scope *scope, const kcl_array *array)
{
    return variable(__func__, scope, ka_new_data(__func__, scope, array), KF_ROLE_J);
}

kcl_expr *kcl_pm(kcl_scope *scope, const kcl_array *array)
{
    return variable(__func__, scope, ka_new_data(__func__, scope, array), KF_ROLE_P);
}

kcl_expr *kcl_lazy(kcl_scope *scope, const kcl_array *array)
{
    if (ka_scope_error(scope))
        return ka_scope_error(scope);
    if (!array || array->ndim < 0 || array->ndim > KCL_MAX_AXES)
        return variable(__func__, scope, ka_new_data(__func__, scope, array), KF_ROLE_I);
    const int axes = array->ndim;
    if (axes <= 1)
        return variable(__func__, scope, ka_new_data(__func__, scope, array), KF_ROLE_P);
    if (axes == 2)
        return ka_fail(scope, KCL_ERROR_SHAPE,
                       "kcl_lazy: an array of 2 axes does not tell its role: (M, 1, D) is an i-variable, (1, N, D) a "
                       "j-variable, (1, 1, D) or (D) a parameter, each with batch axes in front of it where there are "
                       "some; kcl_vi, kcl_vj and kcl_pm state the role");
    const int64_t rows = array->shape[axes - 3], cols = array->shape[axes - 2];
    if (rows != 1 && cols != 1) {
        char shape[160];
        kx_put_shape(shape, sizeof shape, array);
        return ka_fail(
            scope, KCL_ERROR_SHAPE,
            "kcl_lazy: shape %s has both the axis i (size %lld) and the axis j (size %lld): K_ij is given by a "
            "formula, not by an array; one of the two sizes must be 1",
            shape, (long long)rows, (long long)cols);
    }
    /* The array without the axes of the pair that have size 1. */
    kcl_array stated = *array;
    stated.ndim = 0;
    for (int k = 0; k < axes; k++) {
        if ((k == axes - 3 && rows == 1) || (k == axes - 2 && cols == 1))
            continue;
        stated.shape[stated.ndim] = array->shape[k];
        stated.stride[stated.ndim++] = array->stride[k];
    }
    return variable(__func__, scope, ka_new_data(__func__, scope, &stated),
                    rows != 1   ? KF_ROLE_I
                    : cols != 1 ? KF_ROLE_J
                                : KF_ROLE_P);
}

kcl_expr *kcl_scalar(kcl_scope *scope, double value)
{
    if (ka_scope_error(scope))
        return ka_scope_error(scope);
    kcl_data *data = ka_new_data(__func__, scope, &(kcl_array){.data = &value, .dtype = KCL_F64});
    if (!data)
        return &scope->out_of_memory;
    data->is_scalar = true;
    data->value = (ka_number){(float)value, value};
    return ka_expr_of(scope, kf_var(&scope->graph, data->index, 1, KF_ROLE_P));
}

kcl_status kcl_scalar_set(kcl_expr *scalar, double value)
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope(1, &scalar, &error);
    if (!scope)
        return kcl_expr_status(error);
    if (kd_enter(scope->context) < 0)
        return kcl_context_status(scope->context);
    const int64_t index = scalar->node->op == KF_VAR ? scalar->node->param[0] : INT64_MAX;
    if (index >= (int64_t)scope->data_count || !scope->data[index]->is_scalar)
        return kb_fail(kd_error(scope->context), KCL_ERROR_ARGUMENT,
                       "kcl_scalar_set: the expression was not made by kcl_scalar, it has no value of its own");
    scope->data[index]->value = (ka_number){(float)value, value};
    return KCL_OK;
}

/* The place of the symbol with this number, or the place that the symbol would have. */
static size_t symbol_place(const kcl_scope *scope, int number)
{
    size_t low = 0, high = scope->symbol_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (scope->symbols[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

kcl_expr *kcl_var(kcl_scope *scope, int index, int dim, kcl_role role)
{
    if (ka_scope_error(scope))
        return ka_scope_error(scope);
    if (index < 0 || dim < 1 || dim > KF_MAX_DIM || (int)role < KCL_ROLE_I || role > KCL_ROLE_PARAMETER)
        return ka_fail(scope, KCL_ERROR_ARGUMENT,
                       "kcl_var: index %d, dimension %d, role %d: the index must be 0 or more, the dimension between 1 "
                       "and %d, the role one of KCL_ROLE_I, KCL_ROLE_J and KCL_ROLE_PARAMETER",
                       index, dim, (int)role, KF_MAX_DIM);
    const size_t place = symbol_place(scope, index);
    if (place < scope->symbol_count && scope->symbols[place]->number == index) {
        const kcl_data *known = scope->symbols[place];
        if (known->symbol_dim == dim && known->symbol_role == (kf_role)role)
            return ka_expr_of(scope, kf_var(&scope->graph, known->index, dim, (kf_role)role));
        static const char *const names[] = {"i", "j", "parameter"};
        return ka_fail(
            scope, KCL_ERROR_SHAPE,
            "kcl_var: variable %d has dimension %d and role %s already, it cannot have dimension %d and role "
            "%s as well",
            index, known->symbol_dim, names[known->symbol_role], dim, names[role]);
    }
    const bool has_room = kb_reserve(kd_allocator(scope->context), (void **)&scope->symbols, &scope->symbol_capacity,
                                     scope->symbol_count + 1, sizeof *scope->symbols);
    kcl_data *data = has_room ? ka_new_data(__func__, scope, &(kcl_array){.dtype = KCL_F64}) : NULL;
    if (!data)
        return &scope->out_of_memory;
    memmove(scope->symbols + place + 1, scope->symbols + place, (scope->symbol_count - place) * sizeof *scope->symbols);
    scope->symbols[place] = data;
    scope->symbol_count++;
    data->is_symbol = true;
    data->number = index;
    data->symbol_dim = dim;
    data->symbol_role = (kf_role)role;
    return ka_expr_of(scope, kf_var(&scope->graph, data->index, dim, (kf_role)role));
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

kcl_expr *kcl_constant(kcl_scope *scope, double value)
{
    if (ka_scope_error(scope))
        return ka_scope_error(scope);
    if (isnan(value))
        return ka_fail(scope, KCL_ERROR_ARGUMENT, "kcl_constant: nan is no number; kcl_scalar takes any");
    return ka_expr_of(scope, kf_num(&scope->graph, value));
}

kcl_expr *kcl_zero(kcl_scope *scope, int dim)
{
    return ka_scope_error(scope) ? ka_scope_error(scope) : ka_expr_of(scope, kf_zero(&scope->graph, dim));
}

kcl_expr *kcl_index_i(kcl_scope *scope)
{
    return ka_scope_error(scope) ? ka_scope_error(scope) : ka_expr_of(scope, kf_index(&scope->graph, 1, 0, 0));
}

kcl_expr *kcl_index_j(kcl_scope *scope)
{
    return ka_scope_error(scope) ? ka_scope_error(scope) : ka_expr_of(scope, kf_index(&scope->graph, 0, 1, 0));
}

/* ---- Formulas in text -------------------------------------------------------------------------------------------- */

/* Errors call a variable's array by the name that the first text has for the array. */
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
    if (ka_scope_error(scope))
        return ka_scope_error(scope);
    if (!text || count < 0 || (count && (!names || !values)))
        return ka_fail(scope, KCL_ERROR_ARGUMENT, "kcl_formula: the text or the list of names is missing");
    const kcl_allocator *a = kd_allocator(scope->context);
    kf_binding *bindings = kb_calloc(a, (size_t)count + 1, sizeof *bindings);
    if (!bindings)
        return &scope->out_of_memory;
    kcl_expr *result = NULL;
    for (int k = 0; k < count && !result; k++) {
        if (!names[k] || !values[k])
            result = ka_fail(scope, KCL_ERROR_ARGUMENT, "kcl_formula: name or value %d is NULL", k);
        else if (!values[k]->node)
            result = values[k]->scope == scope ? values[k] : ka_error_expr(scope, values[k]->error);
        else if (values[k]->scope != scope)
            result = ka_fail(scope, KCL_ERROR_ARGUMENT, "kcl_formula: \"%s\" belongs to another scope", names[k]);
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
            result = ka_error_expr(scope, &err);
        else
            result = ka_expr_called(NULL, scope, node); /* the operator stands in the text */
    }
    kb_free(a, bindings);
    return result;
}
