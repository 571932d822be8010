/* SPDX-License-Identifier: MIT */
/* api/values.c: values of expressions written out, as maps over rows and a batch axis. */
#include "batches.h"
#include "evaluate.h"
#include "indices.h"
#include "make.h"
#include "order.h"
#include "passes.h"
#include "reductions.h"
#include "simplify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * F(x_i, y_j) depends on two axes, which no map does. So one of the axes i and j becomes the rows of a map and the
 * other a batch axis of its own, before all batch axes that the expression has; of entries and of the diagonal both
 * become rows. What the formula reads of an axis is rewritten:
 *
 * - A variable becomes a variable of the same memory with other strides, or, with a list of indices, a gather.
 * - A result of a reduction, or of anything else that has rows, becomes a gather, and is computed as everywhere. So
 *   what is below is not rewritten.
 * - Numbers of rows become arrays of the numbers that were chosen.
 *
 * Everything behind the formula is an evaluation like any other.
 */

typedef struct values {
    const char *call;
    kcl_scope *scope;
    kb_arena arena;
    kf_graph graph; /* the formula is copied there: the scope knows nothing of what is made of it */
    const kf_node *root;
    kf_order order;
    bool *used;      /* by position in `order`: is rewritten, or read as it is by what is rewritten */
    int batch_count; /* batch axes that a part of the formula has */
    kg_batch batch;  /* of the results */
    ka_picked of[2];
    bool pairs;      /* both axes become rows */
    bool one_by_one; /* there is no batch axis left: the axis that would become it is computed row by row */
    kcl_dtype dtype;
    kcl_data **more; /* what the rewritten formula reads beyond the data of the scope */
    size_t more_count, more_capacity;
} values;

static kb_error *error_of(const values *v)
{
    return kd_error(v->scope->context);
}

static kcl_status fail_with_graph(const values *v)
{
    *error_of(v) = v->graph.error;
    return error_of(v)->status;
}

/* ---- The formula -------------------------------------------------------------------------------------------------- */

/* A reduction or gather, whose operands the formula does not see. A reduction over batches alone may have both axes. */
static bool is_result(const kf_node *f)
{
    return f->op == KF_REDUCE && (f->axes & KF_PAIR_AXES) != KF_PAIR_AXES;
}

/* Orders the nodes, and finds those that the map reads or computes. *has_numbers: numbers of rows are among them. */
static kcl_status find_used(values *v, bool *has_numbers)
{
    kb_error *err = error_of(v);
    kf_order_finish(&v->order);
    if (kf_order_init(&v->order, &v->graph, 1, &v->root, false, err) < 0)
        return err->status;
    v->used = kb_arena_alloc(&v->arena, v->order.count * sizeof *v->used);
    if (!v->used)
        return kb_no_memory(err);
    *has_numbers = false;
    v->used[v->order.count - 1] = true;
    for (size_t k = v->order.count; k-- > 0;) {
        const kf_node *f = v->order.nodes[k];
        for (int b = v->batch_count; b < KF_MAX_BATCH; b++)
            if (f->axes & KF_BATCH_AXIS(b))
                v->batch_count = b + 1;
        *has_numbers = *has_numbers || (v->used[k] && f->op == KF_INDEX);
        for (int c = 0; v->used[k] && !is_result(f) && c < f->arg_count; c++)
            v->used[kf_at(&v->order, f->arg[c])] = true;
    }
    return KCL_OK;
}

/* Length of an axis: that of everything that has the axis, which must agree. */
static kcl_status find_length(values *v, ka_picked *p)
{
    kb_error *err = error_of(v);
    const kf_node *first = NULL;
    if (v->root->axes & p->axis & ~v->root->sized)
        return kb_fail(
            err, KCL_ERROR_SHAPE,
            "%s: the expression has of axis %c only the numbers, Index%c: nothing tells its length. An array "
            "with that axis must enter the formula, kcl_like takes no more than the length from it",
            v->call, p->axis == KF_AXIS_I ? 'i' : 'j', p->axis == KF_AXIS_I ? 'I' : 'J');
    p->size = 1;
    for (size_t k = 0; k < v->order.count; k++) {
        const kf_node *f = v->order.nodes[k];
        if (!v->used[k] || !(f->axes & p->axis) || (f->op != KF_VAR && !is_result(f)))
            continue;
        const int64_t rows = ka_rows_on(v->scope, f, p->axis);
        if (first && rows != p->size) {
            char names[2][KX_NAME + 16];
            ka_name_operand(v->scope, first, p->axis, names[0], sizeof names[0]);
            ka_name_operand(v->scope, f, p->axis, names[1], sizeof names[1]);
            return kb_fail(err, KCL_ERROR_LENGTH,
                           "%s: %s has %lld rows, %s has %lld: both are on axis %c of a formula and must agree",
                           v->call, names[0], (long long)p->size, names[1], (long long)rows,
                           p->axis == KF_AXIS_I ? 'i' : 'j');
        }
        first = f;
        p->size = rows;
    }
    return KCL_OK;
}

/* The number type of the call, which arrays of numbers of rows have to have. */
static void find_type(values *v, const kcl_array *out)
{
    v->dtype = ka_type_of(v->scope, &v->order);
    if (!v->dtype)
        v->dtype = out->dtype != KCL_I64 ? out->dtype : kx_type_beside_integers(v->scope->context);
}

/*
 * What is asked for is the formula itself, or the formula with sums of numbers of rows taken together: these are exact,
 * and what compares them knows of the whole numbers.
 */
static kcl_status see_formula(values *v, kcl_expr *f)
{
    bool has_numbers;
    if (kf_import(&v->graph, &v->scope->graph, 1, &f->node, &v->root) < 0)
        return fail_with_graph(v);
    if (find_used(v, &has_numbers) < 0)
        return error_of(v)->status;
    for (size_t k = 0; k < v->order.count; k++)
        if (v->order.nodes[k]->op == KF_VAR && !ka_data_of(v->scope, v->order.nodes[k], 0, NULL, error_of(v)))
            return error_of(v)->status;
    if (has_numbers && kf_simplify(&v->graph, 1, &v->root, &v->root) < 0)
        return fail_with_graph(v);
    if (has_numbers && find_used(v, &has_numbers) < 0)
        return error_of(v)->status;
    if (v->root->kind == KF_INT)
        return kb_fail(error_of(v), KCL_ERROR_TYPE,
                       "%s: the expression is an index, an int64, of which kcl_eval and kcl_dense tell all rows",
                       v->call);
    return ka_batch_of(v->scope, f->node, &v->batch, error_of(v));
}

/* ---- What the rewritten formula reads ----------------------------------------------------------------------------- */

static ka_picked *picked_on(values *v, const kf_node *f)
{
    return &v->of[f->axes & KF_AXIS_I ? 0 : 1];
}

/* A variable of an array beyond those of the scope. `name` is what errors call it. NULL: the graph's error. */
static const kf_node *add_array(values *v, const char *name, const kcl_array *array, int32_t dim, kf_role role,
                                unsigned batches)
{
    kcl_data *data = kb_arena_alloc(&v->arena, sizeof *data);
    if (!data || !kb_reserve(kd_allocator(v->scope->context), (void **)&v->more, &v->more_capacity, v->more_count + 1,
                             sizeof *v->more)) {
        kb_no_memory(&v->graph.error);
        return NULL;
    }
    data->array = *array;
    data->index = (int64_t)(v->scope->data_count + v->more_count);
    snprintf(data->name, sizeof data->name, "%s", name);
    v->more[v->more_count++] = data;
    const kf_node *var = kf_var(&v->graph, data->index, dim, role);
    if (var && array->dtype == KCL_I64)
        var = kf_integers(&v->graph, var);
    return var ? kf_on_batches(&v->graph, var, var->axes | batches) : NULL;
}

static kf_role role_of(const ka_picked *p)
{
    return p->becomes == KF_AXIS_I ? KF_ROLE_I : KF_ROLE_P;
}

static unsigned batch_of(const ka_picked *p)
{
    return p->becomes & KF_BATCH_AXES;
}

static void add_axis(kcl_array *array, int64_t size, int64_t stride)
{
    array->shape[array->ndim] = size;
    array->stride[array->ndim++] = stride;
}

/* The axes of an array that stands on the axis: the batch axis or the rows that the axis becomes, others between. */
static void begin_axes(const values *v, kcl_array *array, const ka_picked *p, int64_t stride)
{
    array->ndim = 0;
    if (!batch_of(p))
        return;
    add_axis(array, p->count, stride);
    for (int k = 0; k < v->batch_count; k++)
        add_axis(array, 1, 0);
}

static void end_axes(kcl_array *array, const ka_picked *p, int64_t stride)
{
    if (role_of(p) == KF_ROLE_I)
        add_axis(array, p->count, stride);
}

/* A variable of one number for each row that is wanted. */
static const kf_node *add_numbers(values *v, ka_picked *p, const void *numbers, kcl_dtype dtype)
{
    const int64_t size = (int64_t)kb_dtype_size(dtype);
    char name[64];
    kcl_array array = {.data = (void *)(uintptr_t)numbers, .dtype = dtype};
    snprintf(name, sizeof name, "%s: the numbers of %ss", v->call, p->what);
    begin_axes(v, &array, p, size);
    end_axes(&array, p, size);
    add_axis(&array, 1, size);
    return add_array(v, name, &array, 1, role_of(p), batch_of(p));
}

static const kf_node *index_of(values *v, ka_picked *p)
{
    if (p->index)
        return p->index;
    const int64_t *numbers = p->list;
    if (!numbers) {
        int64_t *made = kb_arena_alloc(&v->arena, ((size_t)p->count + 1) * sizeof *made);
        if (!made) {
            kb_no_memory(&v->graph.error);
            return NULL;
        }
        for (int64_t k = 0; k < p->count; k++)
            made[k] = ka_number_at(p, k);
        numbers = made;
    }
    return p->index = add_numbers(v, p, numbers, KCL_I64);
}

/* A result of rows, or a variable, at the rows of a list. */
static const kf_node *gather(values *v, const kf_node *f, ka_picked *p)
{
    const kf_node *table = f, *index = index_of(v, p);
    /* Rows of the map are no rows of the table: the table stands on the other axis. */
    if (role_of(p) == KF_ROLE_I && f->axes & KF_AXIS_I)
        table = kf_transpose(&v->graph, f);
    return kf_gather_rows(&v->graph, table, index);
}

/* The variable at rows that a distance in memory tells. One that lends its axes is not read, and has any distance. */
static const kf_node *pick_variable(values *v, const kf_node *var, ka_picked *p)
{
    const kcl_data *data = v->scope->data[var->param[0]];
    const bool lends = kf_lends_axes(var);
    const char *name = ka_data_name(v->scope, var->param[0]);
    kx_view view;
    if (kx_view_of(&view, &data->array, (kf_role)var->param[2], 0, KX_STATED, name, &v->graph.error) < 0)
        return NULL;
    const int64_t distance = lends ? 0 : p->step * view.row_stride, first = lends ? 0 : p->start * view.row_stride;
    kcl_array array = data->array;
    if (array.memory)
        array.offset += first;
    else if (array.data)
        array.data = (char *)array.data + first;
    array.ndim = 0;
    if (batch_of(p))
        add_axis(&array, p->count, distance);
    for (int k = v->batch_count - 1; k >= 0; k--)
        add_axis(&array, kg_batch_size(&view.batch, k), k < view.batch.count ? view.batch_stride[k] : 0);
    end_axes(&array, p, distance);
    add_axis(&array, view.dim, view.step);
    const unsigned batches = var->axes & KF_BATCH_AXES;
    if (!lends)
        return add_array(v, name, &array, var->dim, role_of(p), batches | batch_of(p));
    const unsigned here = var->axes & KF_PAIR_AXES ? p->becomes : 0;
    const kf_node *all = add_array(v, name, &array, var->dim, role_of(p), 0);
    return all ? kf_lend_axes(&v->graph, all, batches | here) : NULL;
}

/* a n + c of the wanted numbers n of an axis, and with `other` + b m of the numbers m of the other axis, of pairs. */
static int64_t linear(const ka_picked *p, int64_t a, const ka_picked *other, int64_t b, int64_t c, int64_t k)
{
    return a * ka_number_at(p, k) + (other ? b * ka_number_at(other, k) : 0) + c;
}

/* Floats of whole numbers: all of the number (bits < 0), or the part above or below some bits. */
typedef enum part { WHOLE, HIGH, LOW } part;

static const kf_node *add_floats(values *v, ka_picked *p, int64_t a, const ka_picked *other, int64_t b, int64_t c,
                                 part which, int bits)
{
    const size_t size = kb_dtype_size(v->dtype);
    char *numbers = kb_arena_alloc(&v->arena, ((size_t)p->count + 1) * size);
    if (!numbers) {
        kb_no_memory(&v->graph.error);
        return NULL;
    }
    for (int64_t k = 0; k < p->count; k++) {
        const int64_t n = linear(p, a, other, b, c, k), low = n & ((INT64_C(1) << bits) - 1);
        const int64_t value = which == WHOLE ? n : which == LOW ? low : (n - low) / (INT64_C(1) << bits);
        const float single = (float)value;
        const double number = (double)value;
        memcpy(numbers + (size_t)k * size, v->dtype == KCL_F32 ? (const void *)&single : &number, size);
    }
    return add_numbers(v, p, numbers, v->dtype);
}

/* Largest size of a n + c. */
static double most(const ka_picked *p, int64_t a, int64_t c)
{
    int64_t largest = 0;
    for (int64_t k = 0; k < p->count; k++)
        largest = KB_MAX(largest, ka_number_at(p, k));
    return (double)llabs(a) * (double)largest + (double)llabs(c);
}

/*
 * a i + b j + c, rounded once. Of two axes each array has its part of the number, in two pieces where the sum would
 * have more digits than a float: sums of equal pieces are exact.
 */
static const kf_node *number_rows(values *v, const kf_node *f)
{
    const int64_t a = f->param[0], b = f->param[1], c = f->param[2];
    ka_picked *i = &v->of[0], *j = &v->of[1];
    kf_graph *g = &v->graph;
    if (!a || !b)
        return a ? add_floats(v, i, a, NULL, 0, c, WHOLE, 0) : add_floats(v, j, b, NULL, 0, c, WHOLE, 0);
    if (v->pairs)
        return add_floats(v, i, a, j, b, c, WHOLE, 0);
    const int digits = v->dtype == KCL_F32 ? 24 : 53, bits = digits - 1;
    if (most(i, a, c) + most(j, b, 0) < (double)(INT64_C(1) << digits))
        return kf_binary(g, KF_ADD, add_floats(v, i, a, NULL, 0, c, WHOLE, 0),
                         add_floats(v, j, b, NULL, 0, 0, WHOLE, 0));
    const kf_node *high =
        kf_binary(g, KF_ADD, add_floats(v, i, a, NULL, 0, c, HIGH, bits), add_floats(v, j, b, NULL, 0, 0, HIGH, bits));
    const kf_node *low =
        kf_binary(g, KF_ADD, add_floats(v, i, a, NULL, 0, c, LOW, bits), add_floats(v, j, b, NULL, 0, 0, LOW, bits));
    return kf_binary(g, KF_ADD, kf_binary(g, KF_MULT, kf_rat(g, INT64_C(1) << bits, 1), high), low);
}

/* ---- The formula rewritten ---------------------------------------------------------------------------------------- */

static const kf_node *rewrite(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    values *v = user;
    if (!v->used[kf_at(&v->order, f)])
        return f;
    if (f->op == KF_INDEX)
        return number_rows(v, f);
    if (f->op != KF_VAR && !is_result(f))
        return kf_rebuild(g, f, args);
    const bool lends = kf_lends_axes(f);
    /* A variable may lend no more than batch axes, and has rows. */
    const unsigned rows = lends ? (f->param[2] == KF_ROLE_P ? 0 : KF_AXIS_I) : f->axes & KF_PAIR_AXES;
    if (!rows)
        return f;
    ka_picked *p = lends ? &v->of[f->param[2] == KF_ROLE_I ? 0 : 1] : picked_on(v, f);
    if (f->op == KF_VAR && (lends || !p->list))
        return pick_variable(v, f, p);
    /* All rows in their order are rows of the map. */
    if (!p->list && role_of(p) == KF_ROLE_I && p->step == 1 && p->count == p->size)
        return f->axes & KF_AXIS_J ? kf_transpose(g, f) : f;
    return gather(v, f, p);
}

/* The result repeated along an axis that is wanted and that the formula lacks. */
static const kf_node *repeat(values *v, const kf_node *result)
{
    for (int k = 0; result && k < 2; k++) {
        ka_picked *p = &v->of[k];
        if (!p->becomes || result->axes & p->becomes)
            continue;
        const kf_node *index = index_of(v, p);
        index = index ? kf_lend_axes(&v->graph, kf_var(&v->graph, index->param[0], 1, role_of(p)), p->becomes) : NULL;
        result = index ? kf_binary(&v->graph, KF_LIKE, result, index) : NULL;
    }
    return result;
}

static kcl_status compute(values *v, const kcl_array *out)
{
    const kf_node *result;
    kg_batch batch = v->batch;
    const kf_node **made = kb_arena_alloc(&v->arena, v->order.count * sizeof *made);
    if (!made)
        return kb_no_memory(error_of(v));
    if (kf_rewrite_in_order(&v->graph, &v->order, rewrite, v, made) < 0)
        return fail_with_graph(v);
    result = repeat(v, made[v->order.count - 1]);
    if (!result)
        return fail_with_graph(v);
    for (int k = 0; k < 2; k++) {
        if (!batch_of(&v->of[k]))
            continue;
        while (batch.count < v->batch_count)
            batch.size[batch.count++] = 1;
        batch.count = v->batch_count;
        batch.size[batch.count++] = v->of[k].count;
    }
    return ka_evaluate(v->scope, &(ka_wanted){.count = 1,
                                              .graph = &v->graph,
                                              .nodes = &result,
                                              .batches = &batch,
                                              .outs = &out,
                                              .more_count = v->more_count,
                                              .more = v->more});
}

/* ---- The output --------------------------------------------------------------------------------------------------- */

/* The output with all axes that the result has; those of size 1, which may be left out, have no distance. */
static kcl_status see_output(const values *v, const kcl_array *out, kcl_array *seen)
{
    kb_error *err = error_of(v);
    char what[64];
    int64_t elements, low, high;
    int at = 0;
    snprintf(what, sizeof what, "%s: the output", v->call);
    if (kx_check_shape(out, what, &elements, err) < 0 || kx_check_strides(out, what, &low, &high, err) < 0)
        return err->status;
    if (elements && !out->data && !out->memory)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s has no data (NULL), but %lld elements", what, (long long)elements);
    *seen = *out;
    seen->ndim = 0;
    for (int k = v->batch.count - 1; k >= 0; k--)
        add_axis(seen, v->batch.size[k], 0);
    add_axis(seen, v->of[0].count, 0);
    if (!v->pairs)
        add_axis(seen, v->of[1].count, 0);
    add_axis(seen, v->root->dim, 0);
    bool fits = true;
    for (int k = 0; k < seen->ndim; k++) {
        if (seen->shape[k] == 1)
            continue;
        while (at < out->ndim && out->shape[at] == 1)
            at++;
        fits = fits && at < out->ndim && out->shape[at] == seen->shape[k];
        if (fits)
            seen->stride[k] = out->stride[at++];
    }
    while (at < out->ndim && out->shape[at] == 1)
        at++;
    if (fits && at == out->ndim)
        return KCL_OK;
    char given[160], wanted[160];
    kx_put_shape(given, sizeof given, out);
    kx_put_shape(wanted, sizeof wanted, seen);
    return kb_fail(err, KCL_ERROR_SHAPE, "%s has shape %s, the result %s (axes of size 1 may be left out)", what, given,
                   wanted);
}

/* The axes in the order in which the map has them: the batch axis of one axis of the pair first. */
static kcl_array turned(const values *v, const kcl_array *seen)
{
    const int batches = v->batch.count, last = seen->ndim - 1;
    kcl_array out = *seen;
    out.ndim = 0;
    for (int k = 0; k < 2; k++) {
        if (!batch_of(&v->of[k]))
            continue;
        add_axis(&out, seen->shape[batches + k], seen->stride[batches + k]);
        for (int b = batches; b < v->batch_count; b++)
            add_axis(&out, 1, 0);
    }
    /* Batch axes of size 1 that no array knows are left out, since the new batch axis comes right after the others. */
    for (int b = KB_MAX(batches - v->batch_count, 0); b < batches; b++)
        add_axis(&out, seen->shape[b], seen->stride[b]);
    for (int k = 0; k < 2; k++)
        if (v->of[k].becomes == KF_AXIS_I && (k == 0 || !v->pairs))
            add_axis(&out, seen->shape[batches + k], seen->stride[batches + k]);
    add_axis(&out, seen->shape[last], seen->stride[last]);
    return out;
}

/* ---- Calls -------------------------------------------------------------------------------------------------------- */

/* The columns become rows of the map, as they lie in memory, if there are enough of them for the lanes of a vector. */
static void place_axes(values *v)
{
    enum { LANES = 16 }; /* of a vector */
    ka_picked *i = &v->of[0], *j = &v->of[1];
    i->becomes = j->becomes = KF_AXIS_I;
    if (v->pairs)
        return;
    ka_picked *batches = j->count < LANES && i->count > j->count ? j : i;
    v->one_by_one = batches->count != 1 && v->batch_count == KF_MAX_BATCH;
    batches->becomes = batches->count == 1 || v->one_by_one ? 0 : KF_BATCH_AXIS(v->batch_count);
}

static void forget_arrays(values *v)
{
    v->more_count = 0;
    v->of[0].index = v->of[1].index = NULL;
}

/* Where the expression has all batch axes that there can be, its rows (or columns) are computed one by one. */
static kcl_status compute_one_by_one(values *v, const kcl_array *seen)
{
    const int at = v->of[0].becomes ? 1 : 0, axis = v->batch.count + at;
    const ka_picked all = v->of[at];
    kcl_array part = *seen;
    kcl_status status = KCL_OK;
    part.shape[axis] = 1;
    for (int64_t k = 0; status == KCL_OK && k < all.count; k++) {
        const int64_t first = k * seen->stride[axis];
        v->of[at] = (ka_picked){.what = all.what, .axis = all.axis, .size = all.size, .count = 1, .step = 1};
        v->of[at].start = ka_number_at(&all, k);
        if (part.memory)
            part.offset = seen->offset + first;
        else
            part.data = (char *)seen->data + first;
        const kcl_array out = turned(v, &part);
        status = compute(v, &out);
        forget_arrays(v);
    }
    return status;
}

static kcl_status write_values(values *v, kcl_expr *f, const kcl_indices indices[2], const kcl_array *out)
{
    kb_error *err = error_of(v);
    kcl_array seen;
    v->of[0] = (ka_picked){.what = "row", .axis = KF_AXIS_I};
    v->of[1] = (ka_picked){.what = "column", .axis = KF_AXIS_J};
    if (see_formula(v, f) < 0)
        return err->status;
    for (int k = 0; k < 2; k++)
        if (find_length(v, &v->of[k]) < 0 ||
            ka_read_indices(&v->of[k], v->call, &indices[k], v->scope->context, &v->arena) < 0)
            return err->status;
    if (v->pairs && v->of[0].count != v->of[1].count) {
        const bool is_diagonal = indices[0].kind == KCL_INDICES_ALL && indices[1].kind == KCL_INDICES_ALL;
        return kb_fail(err, is_diagonal ? KCL_ERROR_LENGTH : KCL_ERROR_ARGUMENT,
                       is_diagonal ? "%s: the matrix has %lld rows and %lld columns, it must be square"
                                   : "%s: there are %lld row numbers and %lld column numbers, they must be as many",
                       v->call, (long long)v->of[0].count, (long long)v->of[1].count);
    }
    if (see_output(v, out, &seen) < 0)
        return err->status;
    find_type(v, out);
    place_axes(v);
    for (int k = 0; k < seen.ndim; k++)
        if (!seen.shape[k])
            return KCL_OK;
    if (v->one_by_one)
        return compute_one_by_one(v, &seen);
    const kcl_array result = turned(v, &seen);
    return compute(v, &result);
}

static kcl_status values_of(const char *call, kcl_expr *f, kcl_indices rows, kcl_indices columns, bool pairs,
                            const kcl_array *out)
{
    if (!f || !f->scope)
        return KCL_ERROR_ARGUMENT;
    kcl_context *context = f->scope->context;
    if (kd_enter(context) < 0)
        return kcl_context_status(context);
    if (f->error) {
        *kd_error(context) = *f->error;
        return f->error->status;
    }
    values v = {.call = call, .scope = f->scope, .pairs = pairs};
    kb_arena_init(&v.arena, kd_allocator(context));
    kcl_status status = kf_graph_init(&v.graph, kd_allocator(context)) < 0
                            ? fail_with_graph(&v)
                            : write_values(&v, f, (const kcl_indices[]){rows, columns}, out);
    kf_order_finish(&v.order);
    kf_graph_finish(&v.graph);
    kb_free(kd_allocator(context), v.more);
    kb_arena_finish(&v.arena);
    return status;
}

kcl_status kcl_dense(kcl_expr *f, const kcl_array *out)
{
    /* What lacks an axis is what kcl_eval computes. */
    if (f && f->node && (f->node->axes & KF_PAIR_AXES) != KF_PAIR_AXES)
        return kcl_eval1(f, out);
    return values_of(__func__, f, kcl_all(), kcl_all(), false, out);
}

kcl_status kcl_block(kcl_expr *f, kcl_indices rows, kcl_indices columns, const kcl_array *out)
{
    return values_of(__func__, f, rows, columns, false, out);
}

kcl_status kcl_rows(kcl_expr *f, kcl_indices rows, const kcl_array *out)
{
    return values_of(__func__, f, rows, kcl_all(), false, out);
}

kcl_status kcl_columns(kcl_expr *f, kcl_indices columns, const kcl_array *out)
{
    return values_of(__func__, f, kcl_all(), columns, false, out);
}

kcl_status kcl_entries(kcl_expr *f, kcl_indices rows, kcl_indices columns, const kcl_array *out)
{
    return values_of(__func__, f, rows, columns, true, out);
}

kcl_status kcl_diagonal(kcl_expr *f, const kcl_array *out)
{
    return values_of(__func__, f, kcl_all(), kcl_all(), true, out);
}
