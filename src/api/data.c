/* SPDX-License-Identifier: MIT */
/* api/data.c: data handles, and what errors call them. */
#include "data.h"
#include "label.h"
#include "scope.h"

#include <keopscl/memory.h>

#include <stdio.h>

const char *ka_data_name(const kcl_scope *scope, int64_t index)
{
    kcl_data *data = index < (int64_t)scope->data_count ? scope->data[index] : NULL;
    if (!data)
        return "a variable that is bound to no data";
    if (*data->name)
        return data->name;
    ka_name name = {data->name, sizeof data->name, 0};
    ka_put_text(&name, data->is_symbol ? "variable " : "array ");
    ka_put_number(&name, data->is_symbol ? data->number : index);
    ka_put_text(&name, " (");
    if (data->alias) {
        ka_put_text(&name, "\"");
        ka_put_text(&name, data->alias);
        ka_put_text(&name, "\", ");
    }
    ka_put_text(&name, data->call);
    const bool has_shape =
        !data->is_scalar && !data->is_symbol && data->array.ndim >= 0 && data->array.ndim <= KCL_MAX_AXES;
    for (int k = 0; has_shape && k < data->array.ndim; k++) {
        ka_put_text(&name, k ? ", " : " of shape (");
        ka_put_number(&name, data->array.shape[k]);
    }
    ka_put_text(&name, has_shape && data->array.ndim ? "))" : ")");
    return data->name;
}

kcl_data *ka_new_data(const char *call, kcl_scope *scope, const kcl_array *array)
{
    if (ka_scope_error(scope))
        return NULL;
    kcl_data *data = ka_new_handle(scope, KA_HANDLE_DATA);
    if (!data || !kb_reserve(kd_allocator(scope->context), (void **)&scope->data, &scope->data_capacity,
                             scope->data_count + 1, sizeof *scope->data)) {
        scope->data_lost = true;
        return NULL;
    }
    data->scope = scope;
    data->index = (int64_t)scope->data_count;
    data->call = call;
    kx_view view;
    kb_error err = {0};
    char what[KX_NAME];
    if (!array)
        kb_fail(&err, KCL_ERROR_ARGUMENT, "%s: the array is NULL (array %zu of the scope)", call, scope->data_count);
    else if (array->ndim < 0 || array->ndim > KCL_MAX_AXES || !kb_dtype_size(array->dtype)) {
        snprintf(what, sizeof what, "%s: the array (array %zu of the scope)", call, scope->data_count);
        kx_view_of(&view, array, KF_ROLE_I, 0, KX_STATED, what, &err);
    }
    if (err.status < 0) {
        data->error = ka_kept_error(scope, &err);
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
    return ka_new_data(__func__, scope, array);
}

kcl_data *kcl_data_upload(kcl_scope *scope, const kcl_array *array)
{
    kcl_data *data = ka_new_data(__func__, scope, array);
    if (!data || data->error)
        return data;
    kcl_array copy;
    if (kcl_array_upload(scope->context, array, &copy) == KCL_OK) {
        data->array = copy;
        data->memory = copy.memory;
        return data;
    }
    data->error = ka_kept_error(scope, kd_error(scope->context));
    if (!data->error)
        scope->data_lost = true;
    return data->error ? data : NULL;
}
