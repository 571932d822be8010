/* SPDX-License-Identifier: MIT */
/* api/derived.c: operators made of another one: derivatives in both modes, magnitudes. */
#include "derive.h"
#include "make.h"
#include "operator.h"
#include "passes.h"
#include "reductions.h"
#include "simplify.h"

#include <stdio.h>
#include <string.h>

/* An operator with the arguments of `from`. `roots` are the results of `from`, from which results are to be made. */
static kcl_status derived_operator(kcl_operator **out, const kcl_operator *from, const kf_node **roots)
{
    if (!out)
        return KCL_ERROR_ARGUMENT;
    kcl_operator *op = ka_operator_new(from ? &(kcl_operator_params){.allocator = from->allocator} : NULL);
    *out = op;
    if (!op)
        return KCL_ERROR_NO_MEMORY;
    if (!from)
        return kb_fail(&op->error, KCL_ERROR_ARGUMENT, "the operator is NULL");
    if (from->error.status < 0) {
        op->error = from->error;
        return op->error.status;
    }
    op->options = from->options;
    op->knows_batches = from->knows_batches;
    op->joins_axes = from->joins_axes;
    for (size_t k = 0; k < from->input_count; k++) {
        if (ka_operator_declare(op, (int64_t)k, from->inputs[k].name, from->inputs[k].dim, from->inputs[k].role) < 0)
            return op->error.status;
        op->inputs[k] = from->inputs[k];
    }
    if (kf_import(&op->graph, &from->graph, from->root_count, from->roots, roots) < 0)
        return (op->error = op->graph.error).status;
    return KCL_OK;
}

int64_t ka_operator_find_input(const kcl_operator *op, const char *name)
{
    int64_t number = 0;
    const char *p = name;
    for (; *p >= '0' && *p <= '9' && number < 100000; p++)
        number = number * 10 + (*p - '0');
    if (p > name && !*p)
        return number < (int64_t)op->input_count ? number : -1;
    for (size_t k = 0; k < op->input_count; k++)
        if (*name && strcmp(op->inputs[k].name, name) == 0)
            return (int64_t)k;
    return -1;
}

/* A name that no argument has: e, e1, e2, ... for the cotangent of output k, u, u1, ... for direction k. */
static void free_name(const kcl_operator *op, char letter, size_t k, char name[64])
{
    snprintf(name, 64, k ? "%c%zu" : "%c", letter, k);
    for (int n = 1; ka_operator_find_input(op, name) >= 0; n++)
        snprintf(name, 64, "%c%zu_%d", letter, k, n);
}

/* The arguments that are derived by: their numbers and their variables. */
static kcl_status find_variables(kcl_operator *op, int count, const char *const *names, int64_t *at, const kf_node **v)
{
    if (count < 1 || !names)
        return kb_fail(&op->error, KCL_ERROR_ARGUMENT, "the list of arguments to derive by is NULL or empty (%d)",
                       count);
    for (int n = 0; n < count; n++) {
        if (!names[n] || (at[n] = ka_operator_find_input(op, names[n])) < 0)
            return kb_fail(&op->error, KCL_ERROR_ARGUMENT, "the operator has no argument \"%s\"",
                           names[n] ? names[n] : "(NULL)");
        const ka_argument *in = &op->inputs[at[n]];
        v[n] = kf_on_batches(&op->graph, kf_var(&op->graph, at[n], in->dim, in->role), in->batches);
        if (!v[n])
            return op->graph.error.status;
    }
    return KCL_OK;
}

/* Whether a result is a constant to gradients: an index beside results that are real numbers. */
static bool is_constant(size_t count, const kf_node *const *roots, size_t k)
{
    size_t real = 0;
    for (size_t n = 0; n < count; n++)
        real += roots[n]->kind != KF_INT;
    return real && roots[k]->kind == KF_INT;
}

/* Room for nodes and for numbers of variables. False: memory is out, and there is no operator. */
static bool make_lists(kcl_operator **out, const kcl_allocator *a, size_t nodes, size_t variables,
                       const kf_node ***roots, int64_t **at)
{
    *roots = kb_calloc(a, nodes + 1, sizeof **roots);
    *at = kb_calloc(a, variables + 1, sizeof **at);
    if (*roots && *at)
        return true;
    kb_free(a, *roots);
    kb_free(a, *at);
    if (out)
        *out = NULL;
    return false;
}

kcl_status kcl_operator_grad_many(kcl_operator **out, const kcl_operator *from, int variable_count,
                                  const char *const *variables)
{
    kcl_allocator a = kb_allocator(from ? &from->allocator : NULL);
    const size_t count = from ? from->root_count : 0, wanted = variable_count > 0 ? (size_t)variable_count : 0;
    const kf_node **roots;
    int64_t *at;
    if (!make_lists(out, &a, count + 3 * wanted, wanted, &roots, &at))
        return KCL_ERROR_NO_MEMORY;
    const kf_node **sums = roots + count, **parts = sums + wanted, **v = parts + wanted;
    kcl_status status = derived_operator(out, from, roots);
    kcl_operator *op = out ? *out : NULL;
    if (status == KCL_OK)
        status = find_variables(op, variable_count, variables, at, v);
    for (size_t k = 0; status == KCL_OK && k < count; k++) {
        if (is_constant(count, roots, k))
            continue;
        char name[64];
        free_name(op, 'e', k, name);
        const kf_role role = from->outputs[k].role;
        int64_t number = (int64_t)op->input_count;
        status = ka_operator_declare(op, number, name, roots[k]->dim, role);
        if (status < 0)
            break;
        kf_graph *g = &op->graph;
        op->inputs[number].batches = roots[k]->axes & KF_BATCH_AXES;
        const kf_node *e = kf_on_batches(g, kf_var(g, number, roots[k]->dim, role), roots[k]->axes);
        /* The cotangents of a result that is the same for all rows are added up. */
        const kf_node *value = e ? kf_like(g, roots[k], e) : NULL;
        if (!value || kf_gradient(g, value, e, wanted, v, parts) < 0)
            status = g->error.status;
        for (size_t n = 0; status == KCL_OK && n < wanted; n++)
            if (!(sums[n] = sums[n] ? kf_binary(g, KF_ADD, sums[n], parts[n]) : parts[n]))
                status = g->error.status;
    }
    if (status == KCL_OK)
        status = ka_operator_add_roots(op, wanted);
    for (size_t n = 0; status == KCL_OK && n < wanted; n++) {
        op->roots[n] = sums[n];
        const ka_argument *to = &op->inputs[at[n]];
        op->outputs[n] = (ka_output){to->role, to->batches, op->knows_batches ? -1 : at[n]};
    }
    if (status == KCL_OK)
        status = kf_simplify(&op->graph, wanted, op->roots, op->roots);
    if (status == KCL_OK)
        status = ka_operator_compile(op);
    kb_free(&a, roots);
    kb_free(&a, at);
    return op ? ka_operator_finish(out, op, status) : status;
}

kcl_status kcl_operator_grad(kcl_operator **out, const kcl_operator *from, const char *variable)
{
    return kcl_operator_grad_many(out, from, 1, &variable);
}

/* Declares the direction in which argument `at` moves. NULL: the error of the operator or of the graph. */
static const kf_node *add_direction(kcl_operator *op, size_t k, int64_t at)
{
    const ka_argument moved = op->inputs[at];
    const int64_t number = (int64_t)op->input_count;
    char name[64];
    free_name(op, 'u', k, name);
    if (ka_operator_declare(op, number, name, moved.dim, moved.role) < 0)
        return NULL;
    op->inputs[number].batches = moved.batches;
    return kf_on_batches(&op->graph, kf_var(&op->graph, number, moved.dim, moved.role), moved.batches);
}

kcl_status kcl_operator_jvp(kcl_operator **out, const kcl_operator *from, int variable_count,
                            const char *const *variables)
{
    kcl_allocator a = kb_allocator(from ? &from->allocator : NULL);
    const size_t count = from ? from->root_count : 0, moved = variable_count > 0 ? (size_t)variable_count : 0;
    const kf_node **roots;
    int64_t *at;
    if (!make_lists(out, &a, count + 2 * moved, moved, &roots, &at))
        return KCL_ERROR_NO_MEMORY;
    const kf_node **v = roots + count, **u = v + moved;
    kcl_status status = derived_operator(out, from, roots);
    kcl_operator *op = out ? *out : NULL;
    if (status == KCL_OK)
        status = find_variables(op, variable_count, variables, at, v);
    for (size_t n = 0; status == KCL_OK && n < moved; n++)
        if (!(u[n] = add_direction(op, n, at[n])))
            status = op->error.status < 0 ? op->error.status : op->graph.error.status;
    if (status == KCL_OK)
        status = ka_operator_add_roots(op, count);
    size_t made = 0;
    for (size_t k = 0; status == KCL_OK && k < count; k++) {
        if (is_constant(count, roots, k))
            continue;
        op->outputs[made] = from->outputs[k];
        status = kf_jvp(&op->graph, roots[k], moved, v, u, &op->roots[made++]);
    }
    if (status == KCL_OK) {
        op->root_count = made;
        status = ka_operator_compile(op);
    }
    kb_free(&a, roots);
    kb_free(&a, at);
    return op ? ka_operator_finish(out, op, status) : status;
}

typedef struct magnitude_context {
    kf_graph *g;
    const kf_node *root;
} magnitude_context;

static const kf_node *magnitude_of(void *user, const kf_node *leaf)
{
    const magnitude_context *m = user;
    kf_graph *g = m->g;
    /* An index is a constant in formulas. */
    if (leaf->op != KF_REDUCE || (leaf->kind == KF_INT && leaf != m->root))
        return leaf;
    const kf_node *f = leaf->arg[0], *size = kf_unary(g, KF_ABS, f);
    unsigned axes = (unsigned)leaf->param[1];
    switch ((kf_reduction)leaf->param[0]) {
    case KF_REDUCE_GATHER:
    case KF_REDUCE_SCATTER:
        return kf_rebuild(g, leaf, (const kf_node *[]){size, leaf->arg[1], leaf->arg[2]});
    case KF_REDUCE_SUM:
        return kf_reduce(g, KF_REDUCE_SUM, axes, 0, size);
    case KF_REDUCE_LOGSUMEXP:
    case KF_REDUCE_LOGSUMEXPWEIGHT:
        return kf_binary(g, KF_ADD, kf_rat(g, 1, 1), kf_unary(g, KF_ABS, leaf));
    case KF_REDUCE_SUMSOFTMAXWEIGHT:
        size = kf_weighted(g, KF_REDUCE_SUMSOFTMAXWEIGHT, f->arg[0], kf_unary(g, KF_ABS, f->arg[1]));
        return kf_reduce(g, KF_REDUCE_SUMSOFTMAXWEIGHT, axes, 0, size);
    case KF_REDUCE_MIN:
    case KF_REDUCE_MAX:
        return kf_reduce(g, KF_REDUCE_MAX, axes, 0, size);
    case KF_REDUCE_MEANKMIN:
    case KF_REDUCE_MEANKMAX:
        return kf_unary(g, KF_ABS, kf_reduce(g, KF_REDUCE_MEANKMAX, axes, leaf->param[2], size));
    case KF_REDUCE_KMIN:
    case KF_REDUCE_KMAX:
        return kf_unary(g, KF_ABS, kf_reduce(g, KF_REDUCE_KMAX, axes, leaf->param[2], size));
    default: /* the value at an index: the sum over one term */
        return kf_reduce(g, KF_REDUCE_SUM, axes, 0, f);
    }
}

kcl_status kcl_operator_magnitude(kcl_operator **out, const kcl_operator *from)
{
    kcl_allocator a = kb_allocator(from ? &from->allocator : NULL);
    size_t count = from ? from->root_count : 0;
    const kf_node **roots = kb_calloc(&a, count + 1, sizeof *roots);
    if (!roots) {
        if (out)
            *out = NULL;
        return KCL_ERROR_NO_MEMORY;
    }
    kcl_status status = derived_operator(out, from, roots);
    kcl_operator *op = out ? *out : NULL;
    if (status == KCL_OK)
        status = ka_operator_add_roots(op, count);
    if (status == KCL_OK) {
        magnitude_context m = {&op->graph, NULL};
        for (size_t k = 0; status == KCL_OK && k < count; k++) {
            op->outputs[k] = from->outputs[k];
            m.root = kf_value(roots[k]);
            status = kf_substitute(&op->graph, 1, &roots[k], true, magnitude_of, &m, &op->roots[k]);
        }
    }
    if (status == KCL_OK)
        status = ka_operator_compile(op);
    kb_free(&a, roots);
    return op ? ka_operator_finish(out, op, status) : status;
}
