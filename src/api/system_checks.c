/* SPDX-License-Identifier: MIT */
/* api/system_checks.c: what is no linear system is refused. */
#include "system.h"

#include "calculus.h"
#include "make.h"
#include "order.h"
#include "passes.h"

#include <math.h>
#include <string.h>

/* Refuses what is no problem. */
kcl_status ka_system_check(ka_system *s, const char *unknown, const kcl_array *solution, const kcl_array *const *args,
                           int arg_count)
{
    kb_error *err = kd_error(s->context);
    const kcl_operator *op = s->op;
    const kcl_solve_params *p = s->params;
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"alpha", p->alpha}, {"tolerance", p->tolerance}, {"absolute", p->absolute}};
    for (size_t k = 0; k < KB_COUNT(numbers); k++)
        if (!(numbers[k].value >= 0) || !isfinite(numbers[k].value))
            return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: %s is %g, it must be 0 or more and finite",
                           numbers[k].name, numbers[k].value);
    if (p->max_iterations < 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: max_iterations is %lld, below 0",
                       (long long)p->max_iterations);
    if (p->preconditioner < KCL_PRECONDITIONER_DEFAULT || p->preconditioner > KCL_PRECONDITIONER_CHOLESKY)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: there is no preconditioner %d",
                       (int)p->preconditioner);
    if (p->rank < 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: rank is %lld, below 0", (long long)p->rank);
    const int64_t at = unknown ? ka_operator_find_input(op, unknown) : -1;
    if (at < 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: the operator has no argument \"%s\"",
                       unknown ? unknown : "(NULL)");
    s->unknown = (size_t)at;
    s->dim = op->inputs[at].dim;
    if (op->knows_batches)
        return kb_fail(err, KCL_ERROR_UNSUPPORTED,
                       "kcl_operator_solve: the operator's expressions reduce batch axes, which is no matrix");
    if (op->root_count != 1 || op->outputs[0].role != KF_ROLE_I || op->roots[0]->kind == KF_INT)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_operator_solve: the operator must have one output, a row of real numbers for each i");
    if (op->inputs[at].role != KF_ROLE_J || op->roots[0]->dim != s->dim)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_operator_solve: %s must have a row for each j, of the dimension of the output: the output "
                       "has dimension %d, the argument %d",
                       op->inputs[at].label, op->roots[0]->dim, op->inputs[at].dim);
    if (arg_count < 0 || (size_t)arg_count != op->input_count || !args || !solution)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: the operator has %zu arguments, %d were given%s",
                       op->input_count, args ? arg_count : 0, solution ? "" : ", and no array for the solution");
    return KCL_OK;
}

static bool is_use(const kf_node *f, const kf_node *var)
{
    return f->op == KF_VAR && f->param[0] == var->param[0] && !kf_lends_axes(f);
}

/* What goes through a node, given that all that depends on the variable has its dimension. */
static bool keeps_components(const kf_node *f)
{
    if (f->op == KF_REDUCE)
        return f->param[0] == KF_REDUCE_SUM;
    return f->op == KF_VAR || f->op == KF_LIKE || kf_info((kf_op)f->op)->op_class == KF_CLASS_MAP;
}

/*
 * Whether component k of the root depends on component k of the variable alone: nothing that depends on the variable
 * moves components or has another number of them.
 */
static kcl_status find_separate(kf_graph *g, const kf_node *root, const kf_node *var, bool *is_separate)
{
    kf_order order;
    if (kf_order_init(&order, g, 1, &root, false, &g->error) < 0)
        return g->error.status;
    bool *depends = kb_calloc(kf_allocator(g), order.count + 1, sizeof *depends);
    *is_separate = true;
    for (size_t k = 0; depends && k < order.count; k++) {
        const kf_node *f = order.nodes[k];
        depends[k] = is_use(f, var);
        for (int c = 0; c < f->arg_count; c++)
            depends[k] = depends[k] || depends[kf_at(&order, f->arg[c])];
        if (!depends[k])
            continue;
        *is_separate = *is_separate && f->dim == var->dim && keeps_components(f);
    }
    if (!depends)
        kb_no_memory(&g->error);
    kb_free(kf_allocator(g), depends);
    kf_order_finish(&order);
    return g->error.status;
}

/* What the formula is as a function of the unknown. */
kcl_status ka_system_check_formula(ka_system *s)
{
    kb_error *err = kd_error(s->context);
    kf_graph g;
    kf_graph_init(&g, kd_allocator(s->context));
    const kf_node *root, *var;
    kcl_status status = kf_import(&g, &s->op->graph, 1, s->op->roots, &root);
    if (status == KCL_OK) {
        var = kf_var(&g, (int64_t)s->unknown, s->dim, KF_ROLE_J);
        status = var ? kf_check_linear(&g, __func__, root, var, KF_THROUGH_ALL) : g.error.status;
        if (status == KCL_OK)
            status = find_separate(&g, root, var, &s->is_separate);
    }
    if (status == KCL_ERROR_DERIVATIVE)
        kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: the formula is not linear in %s",
                s->op->inputs[s->unknown].label);
    else if (status < 0)
        *err = g.error;
    kf_graph_finish(&g);
    return status < 0 ? err->status : KCL_OK;
}

/* The array without axes of size 1. */
static kcl_array squeezed(const kcl_array *array)
{
    kcl_array a = *array;
    a.ndim = 0;
    for (int k = 0; k < array->ndim; k++) {
        if (array->shape[k] == 1)
            continue;
        a.shape[a.ndim] = array->shape[k];
        a.stride[a.ndim++] = array->stride[k];
    }
    return a;
}

static bool same_sizes(const kcl_array *a, const kcl_array *b)
{
    return a->ndim == b->ndim && (!a->ndim || !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape));
}

/* Refuses an array beside the operator's arguments that cannot be read, or is of integers. */
static kcl_status check_array(const ka_system *s, const kcl_array *array, const char *what)
{
    kb_error *err = kd_error(s->context);
    int64_t elements, low, high;
    if (kx_check_shape(array, what, &elements, err) < 0 || kx_check_strides(array, what, &low, &high, err) < 0)
        return err->status;
    if (!array->data && !array->memory && elements)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s has no data (NULL), but %lld elements", what, (long long)elements);
    if (array->dtype == KCL_I64)
        return kb_fail(err, KCL_ERROR_TYPE, "%s is int64, it must be float32 or float64", what);
    return kx_check_memory(s->context, array->memory, low, high, array->offset, array->dtype, what);
}

/* Refuses an array that has not the shape of the solution. */
static kcl_status check_vector(const ka_system *s, const kcl_array *array, const char *what)
{
    if (check_array(s, array, what) < 0)
        return kd_error(s->context)->status;
    const kcl_array is = squeezed(array), needed = squeezed(&s->shape);
    char given[160], wanted[160];
    if (same_sizes(&is, &needed))
        return KCL_OK;
    kx_put_shape(given, sizeof given, array);
    kx_put_shape(wanted, sizeof wanted, &s->shape);
    return kb_fail(kd_error(s->context), KCL_ERROR_SHAPE, "%s has shape %s, the solution %s", what, given, wanted);
}

/* Takes the noise of the call, with an axis for one component. */
static kcl_status take_noise(ka_system *s, const kcl_array *noise)
{
    const int batches = s->shape.ndim - 2, surplus = noise->ndim - 1 - batches;
    if (check_array(s, noise, "the noise") < 0)
        return kd_error(s->context)->status;
    bool fits = noise->ndim >= 1 && noise->ndim < KCL_MAX_AXES && noise->shape[noise->ndim - 1] == s->rows;
    for (int k = 0; fits && k < noise->ndim - 1; k++)
        fits = noise->shape[k] == 1 || (k >= surplus && noise->shape[k] == s->shape.shape[k - surplus]);
    if (!fits) {
        char given[160], wanted[160];
        kx_put_shape(given, sizeof given, noise);
        kx_put_shape(wanted, sizeof wanted, &s->shape);
        return kb_fail(kd_error(s->context), KCL_ERROR_SHAPE,
                       "the noise has shape %s, for a solution of shape %s: its last axis must have a number for each "
                       "of %lld rows, and axes before it must be batch axes of the solution",
                       given, wanted, (long long)s->rows);
    }
    s->noise = *noise;
    s->noise.shape[s->noise.ndim] = 1;
    s->noise.stride[s->noise.ndim++] = (int64_t)kb_dtype_size(s->noise.dtype);
    return KCL_OK;
}

/* Finds the shape of the solution, checks the arrays for it, the start and the noise, and counts the systems. */
kcl_status ka_system_find_shape(ka_system *s, const kcl_array *solution, const kcl_array *const *args)
{
    const kcl_solve_params *p = s->params;
    kb_error *err = kd_error(s->context);
    if (kcl_operator_output_shape(s->op, s->context, 0, args, (int)s->op->input_count, &s->shape) < 0)
        return err->status;
    s->rows = s->shape.shape[s->shape.ndim - 2];
    s->elements = ka_elements_of(&s->shape);
    s->batches = 1;
    for (int k = 0; k < s->shape.ndim - 2; k++)
        s->batches *= s->shape.shape[k];
    s->count = (size_t)(s->batches * ka_system_numbers_dim(s));
    kx_view unknown;
    if (ka_system_view_unknown(s, &unknown, args[s->unknown]) < 0)
        return err->status;
    if (unknown.rows != s->rows)
        return kb_fail(
            err, KCL_ERROR_LENGTH,
            "kcl_operator_solve: the matrix has %lld rows, and as many columns as %s has rows, %lld: it must "
            "be square",
            (long long)s->rows, unknown.name, (long long)unknown.rows);
    if (check_vector(s, solution, "the array of the solution") < 0 ||
        kx_check_elements(solution, "the array of the solution", err) < 0)
        return err->status;
    if (solution->dtype != s->shape.dtype && solution->dtype != KCL_F64)
        return kb_fail(err, KCL_ERROR_TYPE,
                       "the array of the solution is %s, the arguments are %s: it must be that, or float64",
                       kb_dtype_name(solution->dtype), kb_dtype_name(s->shape.dtype));
    if (p->start && check_vector(s, p->start, "the start") < 0)
        return err->status;
    return p->noise ? take_noise(s, p->noise) : KCL_OK;
}
