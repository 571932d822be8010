/* SPDX-License-Identifier: MIT */
/* api/system_operators.c: the operators by which the method of a linear system works on vectors. */
#include "system.h"

#include "make.h"
#include "passes.h"
#include "reductions.h"

static const kf_node *norm_of(const ka_system *s, kf_graph *g, const kf_node *a, const kf_node *b)
{
    const kf_node *product = kf_binary(g, KF_MULT, a, b);
    if (product && !s->is_separate)
        product = kf_unary(g, KF_SUM, product);
    return product ? kf_reduce(g, KF_REDUCE_SUM, KF_AXIS_I, 0, product) : NULL;
}

/* An operator of rows of i and parameters; its results are added by finish_operator. */
static kcl_operator *start_operator(const ka_system *s)
{
    kcl_operator *op = ka_operator_new(&(kcl_operator_params){.allocator = *kd_allocator(s->context)});
    if (!op)
        kb_no_memory(kd_error(s->context));
    return op;
}

static const kf_node *declare(kcl_operator *op, const char *name, int32_t dim, kf_role role)
{
    const int64_t index = (int64_t)op->input_count;
    return ka_operator_declare(op, index, name, dim, role) < 0 ? NULL : kf_var(&op->graph, index, dim, role);
}

/* Compiles the operator with results `roots`. On failure the operator is destroyed and the context has the error. */
static kcl_status finish_operator(const ka_system *s, kcl_operator **op, size_t count, const kf_node *const *roots)
{
    kcl_operator *o = *op;
    kcl_status status = o->graph.error.status;
    if (status == KCL_OK)
        status = ka_operator_add_roots(o, count);
    for (size_t k = 0; status == KCL_OK && k < count; k++) {
        o->roots[k] = roots[k];
        o->outputs[k].role = roots[k]->axes & KF_AXIS_I ? KF_ROLE_I : KF_ROLE_P;
    }
    if (status == KCL_OK)
        status = ka_operator_compile(o);
    if (status < 0) {
        *kd_error(s->context) = o->error.status < 0 ? o->error : o->graph.error;
        kcl_operator_destroy(op);
        return kd_error(s->context)->status;
    }
    return KCL_OK;
}

/* The arguments of the matrix, and (alpha + noise) v + K v of the unknown v. */
static const kf_node *matrix_times(const ka_system *s, kcl_operator *op, const kf_node **v)
{
    kf_graph *g = &op->graph;
    op->options = s->op->options;
    op->joins_axes = true;
    for (size_t k = 0; k < s->op->input_count; k++) {
        if (ka_operator_declare(op, (int64_t)k, s->op->inputs[k].name, s->op->inputs[k].dim, s->op->inputs[k].role) < 0)
            return NULL;
        op->inputs[k] = s->op->inputs[k];
    }
    const kf_node *product, *diagonal = declare(op, "alpha", 1, KF_ROLE_P);
    if (kf_import(g, &s->op->graph, 1, s->op->roots, &product) < 0 || !diagonal)
        return NULL;
    if (s->noise.ndim >= 0) {
        const kf_node *noise = declare(op, "noise", 1, KF_ROLE_I);
        diagonal = noise ? kf_binary(g, KF_ADD, diagonal, noise) : NULL;
    }
    *v = kf_var(g, (int64_t)s->unknown, s->op->inputs[s->unknown].dim, KF_ROLE_I);
    return diagonal && *v ? kf_binary(g, KF_ADD, product, kf_binary(g, KF_MULT, diagonal, *v)) : NULL;
}

static kcl_status make_apply(ka_system *s)
{
    const kf_node *v, *roots[4];
    if (!(s->apply = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    kf_graph *g = &s->apply->graph;
    roots[0] = matrix_times(s, s->apply, &v);
    roots[1] = roots[0] ? norm_of(s, g, v, roots[0]) : NULL;
    roots[2] = roots[0] ? norm_of(s, g, v, v) : NULL;
    roots[3] = roots[0] ? norm_of(s, g, roots[0], roots[0]) : NULL;
    return finish_operator(s, &s->apply, KB_COUNT(roots), roots);
}

static kcl_status make_residual(ka_system *s)
{
    const kf_node *v, *roots[2] = {NULL};
    if (!(s->residual = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    kf_graph *g = &s->residual->graph;
    const kf_node *image = matrix_times(s, s->residual, &v);
    const kf_node *b = image ? declare(s->residual, "", (int32_t)s->dim, KF_ROLE_I) : NULL;
    roots[0] = b ? kf_binary(g, KF_SUB, b, image) : NULL;
    roots[1] = roots[0] ? norm_of(s, g, roots[0], roots[0]) : NULL;
    return finish_operator(s, &s->residual, KB_COUNT(roots), roots);
}

/* a times v, and 0 where a is 0, whatever v is: the vectors of systems that have ended may hold NaN. */
static const kf_node *scaled(kf_graph *g, const kf_node *a, const kf_node *v)
{
    const kf_node *product = kf_binary(g, KF_MULT, a, v);
    return product ? kf_make(g, KF_WHERE, (const kf_node *[]){a, product, kf_zero(g, 1)}, NULL) : NULL;
}

static kcl_status make_steps(ka_system *s)
{
    const kf_node *v[4], *roots[3] = {NULL};
    if (!(s->advance = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    for (int k = 0; k < 4; k++)
        v[k] = declare(s->advance, "", (int32_t)s->dim, KF_ROLE_I);
    const kf_node *a = declare(s->advance, "", ka_system_numbers_dim(s), KF_ROLE_P);
    kf_graph *g = &s->advance->graph;
    if (a && v[3]) {
        roots[0] = kf_binary(g, KF_ADD, v[0], scaled(g, a, v[2]));
        roots[1] = kf_binary(g, KF_SUB, v[1], scaled(g, a, v[3]));
        roots[2] = norm_of(s, g, roots[1], roots[1]);
    }
    if (finish_operator(s, &s->advance, 3, roots) < 0)
        return kd_error(s->context)->status;
    if (!(s->turn = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    g = &s->turn->graph;
    for (int k = 0; k < 2; k++)
        v[k] = declare(s->turn, "", (int32_t)s->dim, KF_ROLE_I);
    a = declare(s->turn, "", ka_system_numbers_dim(s), KF_ROLE_P);
    if (a && v[1])
        roots[0] = kf_binary(g, KF_ADD, v[0], scaled(g, a, v[1]));
    if (finish_operator(s, &s->turn, 1, roots) < 0)
        return kd_error(s->context)->status;
    if (!(s->product = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    for (int k = 0; k < 2; k++)
        v[k] = declare(s->product, "", (int32_t)s->dim, KF_ROLE_I);
    roots[0] = v[1] ? norm_of(s, &s->product->graph, v[0], v[1]) : NULL;
    return finish_operator(s, &s->product, 1, roots);
}

kcl_status ka_system_make_operators(ka_system *s)
{
    kcl_status status = make_apply(s);
    if (status == KCL_OK)
        status = make_residual(s);
    return status == KCL_OK ? make_steps(s) : status;
}
