/* SPDX-License-Identifier: MIT */
/* api/data.h: data handles: what variables are bound to. */
#ifndef KA_DATA_H
#define KA_DATA_H

#include "call.h"

#include <keopscl/expr.h>

struct kcl_data {
    kcl_scope *scope;
    kcl_array array;
    const kb_error *error; /* why the array was refused, or NULL */
    int64_t index;         /* of variables bound to the handle */
    const char *call;      /* the function that made the handle, or first made a variable of the handle */
    const char *alias;     /* in the first text that names the handle, or NULL */
    char name[KX_NAME];    /* for errors, once somebody asked for the name */
    bool is_scalar;        /* made by kcl_scalar: no array, but a value: */
    ka_number value;
    bool is_variable;   /* `call` made a variable */
    kcl_memory *memory; /* the scope's own copy, made by kcl_data_upload */
    bool is_symbol;     /* made by kcl_var: no array, but a number, a dimension and a role: */
    int number, symbol_dim;
    kf_role symbol_role;
};

/*
 * A handle of the scope to an array, made by the public function `call`. An array that is refused is the handle's
 * error. NULL: memory is out, as scope->data_lost tells, or nothing can be built in the scope (ka_scope_error).
 */
kcl_data *ka_new_data(const char *call, kcl_scope *scope, const kcl_array *array);

/*
 * What errors call the data of a variable with this index, as the user wrote it: "array 3 (kcl_vj of shape (100, 3))",
 * "array 3 (\"y\", kcl_vj of shape (100, 3))" if a text has a name for the array, "variable 0 (kcl_var)".
 */
const char *ka_data_name(const kcl_scope *scope, int64_t index);

#endif
