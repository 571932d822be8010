/* SPDX-License-Identifier: MIT */
/* lazy/operator.c: formulas compiled once and applied to arrays. */
#include "scope.h"
#include "text.h"

#include <keopscl/operator.h>

#include <stdio.h>
#include <string.h>

typedef struct input {
    char name[64]; /* "" where it has none */
    int32_t dim;
    kf_role role;
    unsigned batches; /* KF_BATCH_AXIS, where the operator knows them */
    kf_kind kind;     /* KF_INT: an array of int64 */
    bool is_index;    /* of a gather: its array may be of int64, unless */
    bool is_operand;  /* something else reads it too, as real numbers */
} input;

struct kcl_operator {
    kcl_allocator allocator;
    kb_error error;
    kf_graph graph;
    kl_options options;
    size_t input_count, input_capacity;
    input *inputs;
    size_t root_count;
    const kf_node **roots;
    int *tags; /* by root: rows 0 (i), 1 (j) or 2 (one) */
    bool joins_axes;    /* an argument stands in both roles, i and j */
    unsigned *spans;    /* by root, where batch axes are known: those that it has, and those that it reduces */
    bool knows_batches; /* the formulas say which arguments have which batch axes; else a call does */
    int64_t
        *sums_to; /* by root: of a gradient, the argument whose batch axes it has, summed over the others; else -1 */
    kl_exec *exec;
};

/* ---- Making ------------------------------------------------------------------------------------------------------ */

static kcl_operator *new_operator(const kcl_operator_params *params)
{
    kcl_allocator a = kb_allocator(params ? &params->allocator : NULL);
    kcl_operator *op = kb_calloc(&a, 1, sizeof *op);
    if (!op)
        return NULL;
    op->allocator = a;
    kf_graph_init(&op->graph, &a);
    return op;
}

static const char *const form_names[] = {"auto", "differences", "expanded"}; /* by kl_form */

static kcl_status read_options(kcl_operator *op, const kcl_operator_params *params)
{
    if (!params)
        return KCL_OK;
    if (kp_check_schedule_name(params->schedule, &op->error) < 0 ||
        kl_read_math(params->math, &op->options.fast, &op->error) < 0)
        return op->error.status;
    if (params->schedule)
        snprintf(op->options.schedule, sizeof op->options.schedule, "%s", params->schedule);
    const char *s = params->form && *params->form ? params->form : form_names[KL_FORM_AUTO];
    for (size_t k = 0; k < KB_COUNT(form_names); k++) {
        if (strcmp(s, form_names[k]) == 0) {
            op->options.form = (kl_form)k;
            return KCL_OK;
        }
    }
    return kb_fail(&op->error, KCL_ERROR_ARGUMENT,
                   "form \"%s\" is not known: write \"auto\", \"differences\" or \"expanded\"", s);
}

/* Whether its array may be of int64. */
static bool takes_integers(const input *in)
{
    return in->kind == KF_INT || (in->is_index && !in->is_operand);
}

static const char *role_name(kf_role role)
{
    return role == KF_ROLE_I ? "i" : role == KF_ROLE_J ? "j" : "parameter";
}

/* Declares argument `index`, which may be known already, then alike. */
static kcl_status declare(kcl_operator *op, int64_t index, const char *name, int64_t dim, kf_role role)
{
    if (index >= 65536)
        return kb_fail(&op->error, KCL_ERROR_ARGUMENT, "argument number %lld: numbers go up to 65535",
                       (long long)index);
    size_t before = op->input_count;
    if (!kb_reserve(&op->allocator, (void **)&op->inputs, &op->input_capacity, (size_t)index + 1, sizeof *op->inputs))
        return kb_no_memory(&op->error);
    for (size_t k = before; k <= (size_t)index; k++)
        op->inputs[k] = (input){.dim = 0};
    op->input_count = KB_MAX(before, (size_t)index + 1);
    input *in = &op->inputs[index];
    if (in->dim && op->joins_axes && in->role != KF_ROLE_P && role != KF_ROLE_P)
        role = in->role;
    if (in->dim && (in->dim != dim || in->role != role))
        return kb_fail(
            &op->error, KCL_ERROR_ARGUMENT,
            "argument number %lld is used with dimension %d and role %s, and with dimension %lld and role %s",
            (long long)index, in->dim, role_name(in->role), (long long)dim, role_name(role));
    if (in->dim && *name && *in->name)
        return kb_fail(&op->error, KCL_ERROR_ARGUMENT, "argument number %lld has two names, \"%s\" and \"%s\"",
                       (long long)index, in->name, name);
    in->dim = (int32_t)dim;
    in->role = role;
    if (*name)
        snprintf(in->name, sizeof in->name, "%s", name);
    return KCL_OK;
}

/* Notes how a formula reads its operand `c`, or a result, f = NULL. */
static void note_use(kcl_operator *op, const kf_node *f, int c, const kf_node *operand)
{
    if (operand->op != KF_VAR || kf_lends_axes(operand))
        return;
    input *in = &op->inputs[operand->param[0]];
    const bool reduces = f && f->op == KF_REDUCE;
    /* Of these the length alone is taken. */
    const bool lends = (f && f->op == KF_LIKE && c == 1) || (reduces && f->param[0] == KF_REDUCE_SCATTER && c == 2);
    if (reduces && f->param[0] == KF_REDUCE_WHOLE)
        in->is_index = true;
    else if (!lends)
        in->is_operand = true;
}

static kcl_status declare_used(kcl_operator *op, size_t count, const kf_node *const *roots)
{
    kf_order order;
    if (!count || kf_order_init(&order, &op->graph, count, roots, false, &op->error) < 0)
        return op->error.status;
    kcl_status status = KCL_OK;
    for (size_t k = 0; status == KCL_OK && k < order.count; k++) {
        const int64_t *p = order.nodes[k]->param;
        if (order.nodes[k]->op == KF_VAR)
            status = declare(op, p[0], "", p[1], (kf_role)p[2]);
        if (status == KCL_OK && kf_is_integers(order.nodes[k]))
            op->inputs[p[0]].kind = KF_INT;
        for (int c = 0; status == KCL_OK && c < order.nodes[k]->arg_count; c++)
            note_use(op, order.nodes[k], c, order.nodes[k]->arg[c]);
    }
    for (size_t k = 0; status == KCL_OK && k < count; k++)
        note_use(op, NULL, 0, roots[k]);
    kf_order_finish(&order);
    return status;
}

static void describe_input(const kcl_operator *op, size_t index, char *text, size_t size)
{
    if (*op->inputs[index].name)
        snprintf(text, size, "argument \"%.48s\"", op->inputs[index].name);
    else
        snprintf(text, size, "argument %zu (%s(%d))", index,
                 op->inputs[index].role == KF_ROLE_I   ? "Vi"
                 : op->inputs[index].role == KF_ROLE_J ? "Vj"
                                                       : "Pm",
                 op->inputs[index].dim);
}

/* The last step of making an operator: roots are there, `inputs` are complete. */
static kcl_status compile(kcl_operator *op)
{
    for (size_t k = 0; k < op->input_count; k++)
        if (!op->inputs[k].dim)
            return kb_fail(&op->error, KCL_ERROR_ARGUMENT,
                           "no argument has the number %zu: numbers must follow each other from 0 on", k);
    kl_slot *slots = kb_calloc(&op->allocator, op->input_count + 1, sizeof *slots);
    if (!slots)
        return kb_no_memory(&op->error);
    for (size_t k = 0; k < op->input_count; k++) {
        slots[k].dim = op->inputs[k].dim;
        slots[k].rows = -1;
        slots[k].extent = op->inputs[k].role == KF_ROLE_P   ? 0
                          : op->joins_axes                  ? KL_EXTENT_BOTH
                          : op->inputs[k].role == KF_ROLE_I ? KL_EXTENT_I
                                                            : KL_EXTENT_J;
        /* Any size: calls have an exec of their own. */
        for (int b = 0; op->inputs[k].batches && b < KF_MAX_BATCH; b++)
            slots[k].batch.size[slots[k].batch.count++] = op->inputs[k].batches & KF_BATCH_AXIS(b) ? 2 : 1;
        describe_input(op, k, slots[k].name, sizeof slots[k].name);
    }
    kcl_status status = kl_exec_create(&op->exec, &op->graph, op->root_count, op->roots, op->input_count, slots,
                                       &op->options, &op->error);
    kb_free(&op->allocator, slots);
    return status;
}

static kcl_status add_roots(kcl_operator *op, size_t count)
{
    op->roots = kb_calloc(&op->allocator, count + 1, sizeof *op->roots);
    op->tags = kb_calloc(&op->allocator, count + 1, sizeof *op->tags);
    op->sums_to = kb_calloc(&op->allocator, count + 1, sizeof *op->sums_to);
    op->spans = kb_calloc(&op->allocator, count + 1, sizeof *op->spans);
    if (!op->roots || !op->tags || !op->sums_to || !op->spans)
        return kb_no_memory(&op->error);
    op->root_count = count;
    for (size_t k = 0; k < count; k++)
        op->sums_to[k] = -1;
    return KCL_OK;
}

static int tag_of(const kf_node *root)
{
    return root->axes & KF_AXIS_I ? 0 : root->axes & KF_AXIS_J ? 1 : 2;
}

static kcl_status finish_operator(kcl_operator **out, kcl_operator *op, kcl_status status)
{
    *out = op;
    if (status < 0 && op->error.status == KCL_OK)
        op->error = op->graph.error;
    return status < 0 ? op->error.status : KCL_OK;
}

static kcl_status read_aliases(kcl_operator *op, int count, const char *const *aliases, kf_binding *bindings)
{
    for (int k = 0; k < count; k++) {
        kf_alias alias;
        if (!aliases || !aliases[k])
            return kb_fail(&op->error, KCL_ERROR_ARGUMENT, "alias %d is NULL", k);
        if (kf_parse_alias(&op->allocator, aliases[k], &alias, &op->error) < 0)
            return op->error.status;
        int64_t index = alias.index < 0 ? k : alias.index;
        if (declare(op, index, alias.name, alias.dim, alias.role) < 0)
            return op->error.status;
        for (int m = 0; m < k && *alias.name; m++)
            if (bindings[m].name && strcmp(bindings[m].name, alias.name) == 0)
                return kb_fail(&op->error, KCL_ERROR_ARGUMENT, "the name \"%s\" is declared twice", alias.name);
        const kf_node *var = kf_var(&op->graph, index, alias.dim, alias.role);
        if (!var)
            return op->graph.error.status;
        bindings[k] = (kf_binding){NULL, var};
        if (*alias.name) {
            bindings[k].name = kb_arena_strdup(&op->graph.arena, alias.name);
            if (!bindings[k].name)
                return kb_no_memory(&op->error);
        }
    }
    return KCL_OK;
}

kcl_status kcl_operator_create(kcl_operator **out, const char *formula, int alias_count, const char *const *aliases,
                               const kcl_operator_params *params)
{
    if (!out)
        return KCL_ERROR_ARGUMENT;
    kcl_operator *op = new_operator(params);
    *out = op;
    if (!op)
        return KCL_ERROR_NO_MEMORY;
    kcl_status status = read_options(op, params);
    if (status == KCL_OK && (!formula || alias_count < 0))
        status = kb_fail(&op->error, KCL_ERROR_ARGUMENT, "the formula is NULL, or the number of aliases negative");
    kf_binding *bindings = kb_calloc(&op->allocator, (size_t)KB_MAX(alias_count, 0) + 1, sizeof *bindings);
    kf_parsed_reduction *parsed = kb_calloc(&op->allocator, KF_MAX_RESULTS, sizeof *parsed);
    if (status == KCL_OK && (!bindings || !parsed))
        status = kb_no_memory(&op->error);
    if (status == KCL_OK)
        status = read_aliases(op, alias_count, aliases, bindings);
    if (status == KCL_OK) {
        /* The parser wants names: entries without one are dropped. */
        size_t named = 0, count = 0;
        for (int k = 0; k < alias_count; k++)
            if (bindings[k].name)
                bindings[named++] = bindings[k];
        int64_t next = (int64_t)op->input_count;
        status = kf_parse_reductions(&op->graph, formula, named, bindings, &next, &count, parsed, &op->error);
        if (status == KCL_OK)
            status = add_roots(op, count);
        for (size_t k = 0; status == KCL_OK && k < count; k++) {
            op->roots[k] = parsed[k].node;
            op->tags[k] = parsed[k].tag;
        }
        if (status == KCL_OK)
            status = declare_used(op, count, op->roots);
    }
    /* A result indexed by i has a row for each i of the call, even where it is the same for all. */
    for (size_t k = 0; status == KCL_OK && k < op->root_count; k++) {
        for (size_t m = 0; status == KCL_OK && m < op->input_count; m++) {
            const input *in = &op->inputs[m];
            if ((int)in->role == op->tags[k] && op->tags[k] < 2 && in->dim)
                op->roots[k] = kf_like(&op->graph, op->roots[k], kf_var(&op->graph, (int64_t)m, in->dim, in->role));
            if (!op->roots[k])
                status = op->graph.error.status;
        }
    }
    kb_free(&op->allocator, bindings);
    kb_free(&op->allocator, parsed);
    if (status == KCL_OK)
        status = compile(op);
    return finish_operator(out, op, status);
}

typedef struct rename_context {
    kcl_operator *op;
    const kcl_scope *scope;
    int count;
    kcl_expr *const *vars;
} rename_context;

static const kf_node *rename_variable(void *user, const kf_node *leaf)
{
    rename_context *r = user;
    if (leaf->op != KF_VAR)
        return leaf;
    const kf_role role = (kf_role)leaf->param[2];
    int at = -1;
    for (int k = 0; k < r->count; k++) {
        const int64_t *p = r->vars[k]->node->param;
        if (p[0] != leaf->param[0])
            continue;
        if (p[2] == role) {
            at = k;
            break;
        }
        if (at < 0 && p[2] != KF_ROLE_P && role != KF_ROLE_P)
            at = k;
    }
    if (at >= 0) {
        r->op->joins_axes |= r->vars[at]->node->param[2] != role;
        const kf_node *var = kf_var(&r->op->graph, at, leaf->dim, role);
        const unsigned axes = leaf->axes & (r->op->knows_batches ? ~0u : KF_PAIR_AXES);
        if (kf_lends_axes(leaf))
            return kf_lend_axes(&r->op->graph, var, axes);
        var = kf_on_batches(&r->op->graph, var, axes);
        return kf_is_integers(leaf) ? kf_integers(&r->op->graph, var) : var;
    }
    const kcl_data *data = leaf->param[0] < (int64_t)r->scope->data_count ? r->scope->data[leaf->param[0]] : NULL;
    kb_fail(&r->op->graph.error, KCL_ERROR_ARGUMENT,
            "the expressions use %s%s in the role %s, which is not in the list of variables",
            data && data->is_symbol ? "" : "the variable of ", kl_data_name(r->scope, leaf->param[0]), role_name(role));
    return NULL;
}

/*
 * Arrays bring batches along when the operator is applied. Where expressions reduce some, those of their own arrays are the
 * ones that are meant.
 */
static kcl_status find_batch_reductions(kcl_operator *op)
{
    kf_order order;
    kcl_status status = kf_order_init(&order, &op->graph, op->root_count, op->roots, false, &op->error);
    for (size_t k = 0; status == KCL_OK && k < order.count; k++)
        op->knows_batches |= order.nodes[k]->op == KF_REDUCE && order.nodes[k]->param[1] & KF_BATCH_AXES;
    kf_order_finish(&order);
    for (size_t r = 0; status == KCL_OK && op->knows_batches && r < op->root_count; r++) {
        status = kf_order_init(&order, &op->graph, 1, &op->roots[r], false, &op->error);
        for (size_t k = 0; status == KCL_OK && k < order.count; k++)
            op->spans[r] |= order.nodes[k]->axes & KF_BATCH_AXES;
        kf_order_finish(&order);
    }
    return status;
}

/* Tells the contexts of the expressions why the operator could not be made. */
static kcl_status tell_why(int count, kcl_expr *const *exprs, const kcl_operator *op, kcl_status status)
{
    const kb_error missing = {KCL_ERROR_ARGUMENT, "kcl_operator_from: there is no place for the operator (NULL)"};
    const kb_error memory = {KCL_ERROR_NO_MEMORY, "host memory is exhausted"};
    const kb_error *why = status == KCL_ERROR_NO_MEMORY ? &memory : op ? &op->error : &missing;
    for (int k = 0; status < 0 && exprs && k < count; k++)
        if (exprs[k] && exprs[k]->scope && kd_enter(exprs[k]->scope->context) == KCL_OK)
            *kd_error(exprs[k]->scope->context) = *why;
    return status;
}

static kcl_status operator_from(kcl_operator **out, int count, kcl_expr *const *exprs, int var_count,
                                kcl_expr *const *vars, const kcl_operator_params *params)
{
    if (!out)
        return KCL_ERROR_ARGUMENT;
    kcl_operator *op = new_operator(params);
    *out = op;
    if (!op)
        return KCL_ERROR_NO_MEMORY;
    kcl_status status = read_options(op, params);
    if (status == KCL_OK && (count < 1 || !exprs || var_count < 0 || (var_count && !vars)))
        status = kb_fail(&op->error, KCL_ERROR_ARGUMENT,
                         "kcl_operator_from: needs one expression or more, and the list of their variables");
    for (int k = 0; status == KCL_OK && k < count + var_count; k++) {
        const kcl_expr *e = k < count ? exprs[k] : vars[k - count];
        if (!e)
            status = kb_fail(&op->error, KCL_ERROR_ARGUMENT, "kcl_operator_from: %s %d is NULL",
                             k < count ? "expression" : "variable", k < count ? k : k - count);
        else if (e->error)
            status = (op->error = *e->error).status;
        else if (e->scope != exprs[0]->scope)
            status =
                kb_fail(&op->error, KCL_ERROR_ARGUMENT, "kcl_operator_from: the expressions are of different scopes");
        else if (k >= count && e->node->op != KF_VAR)
            status = kb_fail(&op->error, KCL_ERROR_ARGUMENT,
                             "kcl_operator_from: entry %d of the variables is no variable", k - count);
    }
    if (status == KCL_OK)
        status = add_roots(op, (size_t)count);
    for (int k = 0; status == KCL_OK && k < count; k++)
        op->roots[k] = exprs[k]->node;
    if (status == KCL_OK)
        status = kf_import(&op->graph, &exprs[0]->scope->graph, (size_t)count, op->roots, op->roots);
    if (status == KCL_OK)
        status = find_batch_reductions(op);
    if (status == KCL_OK)
        status = kf_substitute(&op->graph, (size_t)count, op->roots, false, rename_variable,
                               &(rename_context){op, exprs[0]->scope, var_count, vars}, op->roots);
    for (int k = 0; status == KCL_OK && k < var_count; k++)
        if ((status = declare(op, k, "", vars[k]->node->dim, (kf_role)vars[k]->node->param[2])) == KCL_OK)
            op->inputs[k].batches = op->knows_batches ? vars[k]->node->axes & KF_BATCH_AXES : 0;
    if (status == KCL_OK)
        status = declare_used(op, op->root_count, op->roots);
    for (size_t k = 0; status == KCL_OK && k < op->root_count; k++)
        op->tags[k] = tag_of(op->roots[k]);
    if (status == KCL_OK)
        status = compile(op);
    return finish_operator(out, op, status);
}

kcl_status kcl_operator_from(kcl_operator **out, int count, kcl_expr *const *exprs, int var_count,
                             kcl_expr *const *vars, const kcl_operator_params *params)
{
    const kcl_status status = operator_from(out, count, exprs, var_count, vars, params);
    return tell_why(var_count, vars, out ? *out : NULL, tell_why(count, exprs, out ? *out : NULL, status));
}

/* An operator with the inputs of another, whose roots are to be made from `roots`. */
static kcl_status derived_operator(kcl_operator **out, const kcl_operator *from, const kf_node **roots)
{
    if (!out)
        return KCL_ERROR_ARGUMENT;
    kcl_operator *op = new_operator(from ? &(kcl_operator_params){.allocator = from->allocator} : NULL);
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
        if (declare(op, (int64_t)k, from->inputs[k].name, from->inputs[k].dim, from->inputs[k].role) < 0)
            return op->error.status;
        op->inputs[k] = from->inputs[k];
    }
    if (kf_import(&op->graph, &from->graph, from->root_count, from->roots, roots) < 0)
        return (op->error = op->graph.error).status;
    return KCL_OK;
}

/* The argument with this name or number; -1: none. */
static int64_t find_input(const kcl_operator *op, const char *name)
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

/* A name for the cotangent of output k that no argument has. */
static void cotangent_name(const kcl_operator *op, size_t k, char name[64])
{
    snprintf(name, 64, k ? "e%zu" : "e", k);
    for (int n = 1; find_input(op, name) >= 0; n++)
        snprintf(name, 64, "e%zu_%d", k, n);
}

kcl_status kcl_operator_grad_many(kcl_operator **out, const kcl_operator *from, int variable_count,
                                  const char *const *variables)
{
    kcl_allocator a = kb_allocator(from ? &from->allocator : NULL);
    const size_t count = from ? from->root_count : 0, wanted = variable_count > 0 ? (size_t)variable_count : 0;
    const kf_node **roots = kb_calloc(&a, count + 3 * wanted + 1, sizeof *roots);
    int64_t *at = kb_calloc(&a, wanted + 1, sizeof *at);
    if (!roots || !at) {
        kb_free(&a, roots);
        kb_free(&a, at);
        if (out)
            *out = NULL;
        return KCL_ERROR_NO_MEMORY;
    }
    const kf_node **sums = roots + count, **parts = sums + wanted, **v = parts + wanted;
    kcl_status status = derived_operator(out, from, roots);
    kcl_operator *op = out ? *out : NULL;
    if (status == KCL_OK && (!wanted || !variables))
        status = kb_fail(&op->error, KCL_ERROR_ARGUMENT, "the list of arguments to derive by is NULL or empty (%d)",
                         variable_count);
    for (size_t n = 0; status == KCL_OK && n < wanted; n++) {
        if (!variables[n] || (at[n] = find_input(op, variables[n])) < 0) {
            status = kb_fail(&op->error, KCL_ERROR_ARGUMENT, "the operator has no argument \"%s\"",
                             variables[n] ? variables[n] : "(NULL)");
            break;
        }
        const input *in = &op->inputs[at[n]];
        v[n] = kf_on_batches(&op->graph, kf_var(&op->graph, at[n], in->dim, in->role), in->batches);
        status = v[n] ? KCL_OK : op->graph.error.status;
    }
    for (size_t k = 0; status == KCL_OK && k < count; k++) {
        char name[64];
        cotangent_name(op, k, name);
        kf_role role = from->tags[k] == 0 ? KF_ROLE_I : from->tags[k] == 1 ? KF_ROLE_J : KF_ROLE_P;
        int64_t number = (int64_t)op->input_count;
        status = declare(op, number, name, roots[k]->dim, role);
        if (status < 0)
            break;
        kf_graph *g = &op->graph;
        op->inputs[number].batches = roots[k]->axes & KF_BATCH_AXES;
        const kf_node *e = kf_on_batches(g, kf_var(g, number, roots[k]->dim, role), roots[k]->axes);
        /* Where the result is the same for all rows, its cotangents are added up. */
        const kf_node *value = e ? kf_like(g, roots[k], e) : NULL;
        if (!value || kf_gradient(g, value, e, wanted, v, parts) < 0)
            status = g->error.status;
        for (size_t n = 0; status == KCL_OK && n < wanted; n++)
            if (!(sums[n] = sums[n] ? kf_binary(g, KF_ADD, sums[n], parts[n]) : parts[n]))
                status = g->error.status;
    }
    if (status == KCL_OK)
        status = add_roots(op, wanted);
    for (size_t n = 0; status == KCL_OK && n < wanted; n++) {
        op->roots[n] = sums[n];
        op->sums_to[n] = op->knows_batches ? -1 : at[n];
        op->spans[n] = op->inputs[at[n]].batches;
        op->tags[n] = op->inputs[at[n]].role == KF_ROLE_P ? 2 : (int)op->inputs[at[n]].role;
    }
    if (status == KCL_OK)
        status = kf_simplify(&op->graph, wanted, op->roots, op->roots);
    if (status == KCL_OK)
        status = compile(op);
    kb_free(&a, roots);
    kb_free(&a, at);
    return op ? finish_operator(out, op, status) : status;
}

kcl_status kcl_operator_grad(kcl_operator **out, const kcl_operator *from, const char *variable)
{
    return kcl_operator_grad_many(out, from, 1, &variable);
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
    case KF_REDUCE_KMIN:
    case KF_REDUCE_KMAX:
        return kf_unary(g, KF_ABS, kf_reduce(g, KF_REDUCE_KMAX, axes, leaf->param[2], size));
    case KF_REDUCE_MEANKMIN:
    case KF_REDUCE_MEANKMAX:
        return kf_unary(g, KF_ABS, kf_reduce(g, KF_REDUCE_MEANKMAX, axes, leaf->param[2], size));
    default: /* of one term at an index, the value there */
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
        status = add_roots(op, count);
    if (status == KCL_OK) {
        magnitude_context m = {&op->graph, NULL};
        for (size_t k = 0; status == KCL_OK && k < count; k++) {
            op->tags[k] = from->tags[k];
            op->sums_to[k] = from->sums_to[k];
            op->spans[k] = from->spans[k];
            m.root = kf_value(roots[k]);
            status = kf_substitute(&op->graph, 1, &roots[k], true, magnitude_of, &m, &op->roots[k]);
        }
    }
    if (status == KCL_OK)
        status = compile(op);
    kb_free(&a, roots);
    return op ? finish_operator(out, op, status) : status;
}

void kcl_operator_destroy(kcl_operator **op)
{
    if (!op || !*op)
        return;
    kcl_operator *o = *op;
    const kcl_allocator a = o->allocator;
    kl_exec_destroy(&o->exec);
    kb_free(&a, o->inputs);
    kb_free(&a, o->roots);
    kb_free(&a, o->tags);
    kb_free(&a, o->sums_to);
    kb_free(&a, o->spans);
    kf_graph_finish(&o->graph);
    kb_free(&a, o);
    *op = NULL;
}

/* ---- Applying ---------------------------------------------------------------------------------------------------- */

enum { FEW = 16 };

/* Argument `at` clashes with one before it on a batch axis. */
static kcl_status refuse_batches(const kcl_operator *op, const kl_view *slots, int at, int axis, kb_error *err)
{
    int other = 0;
    while (kl_batch_size(&slots[other].batch, axis) == 1 ||
           kl_batch_size(&slots[other].batch, axis) == kl_batch_size(&slots[at].batch, axis))
        other++;
    return kb_fail(err, KCL_ERROR_LENGTH,
                   "%s has size %lld on batch axis %d, %s has %lld: sizes must be equal, or one of them 1; batch axes are "
                   "those before the rows, -1 is the last of them",
                   op->exec->slots[other].name, (long long)kl_batch_size(&slots[other].batch, axis), -1 - axis,
                   op->exec->slots[at].name, (long long)kl_batch_size(&slots[at].batch, axis));
}

/* Whether the arguments have the batch axes that the operator knows of, and no other. */
static kcl_status check_known_batches(const kcl_operator *op, const kl_view *slots, const kl_batch *all, kb_error *err)
{
    for (size_t k = 0; k < op->input_count; k++) {
        for (int b = 0; b < KF_MAX_BATCH; b++) {
            const int64_t size = kl_batch_size(&slots[k].batch, b), wanted = kl_batch_size(all, b);
            if (op->inputs[k].batches & KF_BATCH_AXIS(b) ? size == wanted : size == 1)
                continue;
            if (size != 1)
                return kb_fail(
                    err, KCL_ERROR_SHAPE,
                    "%s has size %lld on batch axis %d: the expressions of the operator reduce batch axes, and "
                    "have size 1 there",
                    op->exec->slots[k].name, (long long)size, -1 - b);
            return kb_fail(err, KCL_ERROR_SHAPE,
                           "%s has size 1 on batch axis %d, others have %lld: the expressions of the operator reduce "
                           "batch axes, and have this one too",
                           op->exec->slots[k].name, -1 - b, (long long)wanted);
        }
    }
    return KCL_OK;
}

/* Those of `all` that output k has. */
static kl_batch batch_of_output(const kcl_operator *op, int k, const kl_view *slots, const kl_batch *all)
{
    if (op->sums_to[k] >= 0)
        return slots[op->sums_to[k]].batch;
    if (!op->knows_batches)
        return *all;
    kl_batch own = kl_reduced_batch(all, ~(unsigned)op->roots[k]->axes);
    while (own.count && own.size[own.count - 1] == 1 && !(op->spans[k] & KF_BATCH_AXIS(own.count - 1)))
        own.count--;
    return own;
}

/* One array of the call; *dtype is that of the arrays before it, and becomes its own. */
static kcl_status see_type(const kl_view *view, kf_kind kind, bool is_arg, const char *what, kcl_dtype *dtype,
                           kb_error *err)
{
    if ((is_arg ? kl_check_input_type(view, kind, what, err) : kl_check_output_type(view, kind, what, err)) < 0)
        return err->status;
    if (kind == KF_INT)
        return KCL_OK;
    if (*dtype && view->dtype != *dtype)
        return kb_fail(err, KCL_ERROR_TYPE, "%s is %s, the arrays before it are %s: all arrays need one type", what,
                       kb_dtype_name(view->dtype), kb_dtype_name(*dtype));
    *dtype = view->dtype;
    return KCL_OK;
}

/* The arguments of a call: their views, their batch axes together, and the type of their numbers. */
static kcl_status see_arguments(const kcl_operator *op, kb_error *err, const kcl_array *const *args, int arg_count,
                                kl_view *slots, kl_batch *all_batches, kcl_dtype *dtype)
{
    char what[KL_NAME];
    if ((size_t)arg_count != op->input_count) {
        bool missing = (size_t)arg_count < op->input_count;
        if (missing)
            describe_input(op, (size_t)KB_MAX(arg_count, 0), what, sizeof what);
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the operator has %zu arguments, %d were given%s%s", op->input_count,
                       arg_count, missing ? ": the first that is missing is " : ": the last are too many",
                       missing ? what : "");
    }
    if (arg_count && !args)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the list of arguments is NULL");
    /* Batch axes of one argument tell that axes of size 1 in front of rows are such axes as well. */
    kl_batch batch = {0};
    for (int pass = 0; pass == 0 || (pass == 1 && batch.count); pass++) {
        kl_batch all = {0};
        for (int k = 0; k < arg_count; k++) {
            const char *name = op->exec->slots[k].name;
            if (kl_view_of(&slots[k], args[k], op->inputs[k].role, op->inputs[k].dim, pass ? KL_STATED : KL_SQUEEZED, name,
                           err) < 0)
                return err->status;
            int clash = kl_batch_join(&all, &slots[k].batch);
            if (clash >= 0 && pass)
                return refuse_batches(op, slots, k, clash, err);
        }
        batch = all;
        for (int k = 0; k < arg_count && !pass; k++)
            batch.count = KB_MAX(batch.count, slots[k].batch.count);
    }
    if (op->knows_batches && check_known_batches(op, slots, &batch, err) < 0)
        return err->status;
    *dtype = KCL_DTYPE_NONE;
    for (int k = 0; k < arg_count; k++) {
        const input *in = &op->inputs[k];
        const bool integers = takes_integers(in) && slots[k].dtype == KCL_I64;
        if (see_type(&slots[k], integers ? KF_INT : in->kind, true, op->exec->slots[k].name, dtype, err) < 0)
            return err->status;
    }
    *all_batches = batch;
    return KCL_OK;
}

static kcl_status see_arrays(const kcl_operator *op, kb_error *err, const kcl_array *const *outs, int out_count,
                             const kcl_array *const *args, int arg_count, kl_view *slots, kl_view *out_views,
                             kcl_dtype *dtype)
{
    char what[96];
    kl_batch batch;
    if ((size_t)arg_count == op->input_count && (!arg_count || args) && ((size_t)out_count != op->root_count || !outs))
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the operator has %zu outputs, %d were given", op->root_count,
                       outs ? out_count : 0);
    if (see_arguments(op, err, args, arg_count, slots, &batch, dtype) < 0)
        return err->status;
    for (int k = 0; k < out_count; k++) {
        const kl_batch of_output = batch_of_output(op, k, slots, &batch);
        snprintf(what, sizeof what, "output %d", k);
        if (kl_view_of_result(&out_views[k], outs[k], (kf_role)op->tags[k], op->roots[k]->dim, &of_output, what, err) <
                0 ||
            see_type(&out_views[k], (kf_kind)op->roots[k]->kind, false, what, dtype, err) < 0)
            return err->status;
    }
    return kl_exec_check(op->exec, slots, out_views, err);
}

/* The batch axes of an array. */
static unsigned batches_of(const kl_view *v)
{
    unsigned axes = 0;
    for (int b = 0; b < KF_MAX_BATCH; b++)
        axes |= kl_batch_size(&v->batch, b) != 1 ? KF_BATCH_AXIS(b) : 0;
    return axes;
}

/* The gradient summed over the batch axes of the call that its argument lacks. */
static const kf_node *sum_over_batches(const kcl_operator *op, kf_graph *g, const kf_node *root,
                                       const unsigned *batches, unsigned surplus)
{
    for (size_t k = 0; root && k < op->input_count; k++) {
        const kf_node *var = kf_var(g, (int64_t)k, op->inputs[k].dim, op->inputs[k].role);
        root = var ? kf_like_on(g, root, kf_on_batches(g, var, batches[k]), surplus) : NULL;
    }
    return kf_reduce(g, KF_REDUCE_SUM, surplus, 0, root);
}

/* Batch axes that arguments have and output `root`, a gradient, lacks. */
static unsigned surplus_of(const kcl_operator *op, size_t root, const kl_view *slots)
{
    const int64_t to = op->sums_to[root];
    unsigned surplus = 0;
    for (size_t k = 0; k < op->input_count && to >= 0; k++)
        surplus |= batches_of(&slots[k]) & ~batches_of(&slots[to]);
    return surplus;
}

static unsigned surplus_batches(const kcl_operator *op, const kl_view *slots)
{
    unsigned surplus = 0;
    for (size_t k = 0; k < op->root_count; k++)
        surplus |= surplus_of(op, k, slots);
    return surplus;
}

/* Where a call's batches are reduced, formulas are made for it, as for expressions; their kernels are kept as all are. */
static kcl_status run_for_call(const kcl_operator *op, kcl_context *context, kcl_dtype dtype, const kl_view *slots,
                               const kl_view *outs, const kr_scale *scales, unsigned surplus)
{
    const kcl_allocator *a = kd_allocator(context);
    kb_error *err = kd_error(context);
    kf_graph g;
    kl_exec *exec = NULL;
    kf_graph_init(&g, a);
    kl_slot *own = kb_calloc(a, op->input_count + 1, sizeof *own);
    unsigned *batches = kb_calloc(a, op->input_count + 1, sizeof *batches); /* by argument */
    const kf_node **roots = kb_calloc(a, op->root_count + 1, sizeof *roots);
    kcl_status status = own && batches && roots ? KCL_OK : kb_no_memory(err);
    for (size_t k = 0; status == KCL_OK && k < op->input_count; k++) {
        own[k] = op->exec->slots[k];
        own[k].batch = slots[k].batch;
        batches[k] = batches_of(&slots[k]);
    }
    if (status == KCL_OK) {
        status = kf_import(&g, &op->graph, op->root_count, op->roots, roots);
        if (status == KCL_OK && surplus)
            status = kf_spread(&g, op->root_count, roots, batches, roots);
        for (size_t k = 0; status == KCL_OK && surplus && k < op->root_count; k++) {
            const unsigned own_surplus = surplus_of(op, k, slots);
            if (own_surplus && !(roots[k] = sum_over_batches(op, &g, roots[k], batches, own_surplus)))
                status = g.error.status;
        }
        if (status < 0)
            *err = g.error;
    }
    if (status == KCL_OK)
        status = kl_exec_create(&exec, &g, op->root_count, roots, op->input_count, own, &op->options, err);
    if (status == KCL_OK)
        status = kl_exec_run(exec, context, dtype, slots, outs, scales);
    kl_exec_destroy(&exec);
    kb_free(a, own);
    kb_free(a, batches);
    kb_free(a, roots);
    kf_graph_finish(&g);
    return status;
}

static kcl_status run(const kcl_operator *op, kcl_context *context, kcl_dtype dtype, const kl_view *slots,
                      const kl_view *outs, const kr_scale *scales)
{
    const unsigned surplus = surplus_batches(op, slots);
    if (surplus || op->knows_batches)
        return run_for_call(op, context, dtype, slots, outs, scales, surplus);
    return kl_exec_run(op->exec, context, dtype, slots, outs, scales);
}

kcl_status kcl_operator_apply_scaled(const kcl_operator *op, kcl_context *context, const kcl_array *const *outs,
                                     int out_count, const kcl_array *const *args, int arg_count, const double *alpha,
                                     const double *beta)
{
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    kb_error *err = kd_error(context);
    if (!op)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_apply: the operator is NULL");
    if (op->error.status < 0) {
        *err = op->error;
        return err->status;
    }
    kl_view few[2 * FEW], *views = few;
    kr_scale few_scales[FEW], *scales = alpha || beta ? few_scales : NULL;
    if (op->input_count + op->root_count > 2 * FEW) {
        views = kb_calloc(kd_allocator(context), op->input_count + op->root_count, sizeof *views);
        if (!views)
            return kb_no_memory(err);
    }
    if (scales && op->root_count > FEW)
        scales = kb_calloc(kd_allocator(context), op->root_count, sizeof *scales);
    kcl_dtype dtype = KCL_DTYPE_NONE;
    status = (alpha || beta) && !scales ? kb_no_memory(err) : KCL_OK;
    if (status == KCL_OK)
        status = see_arrays(op, err, outs, out_count, args, arg_count, views, views + op->input_count, &dtype);
    dtype = dtype ? dtype : kl_type_beside_integers(context);
    if (status == KCL_OK && scales)
        status = kl_scales_of(scales, op->root_count, op->roots, alpha, beta, err);
    if (status == KCL_OK)
        status = run(op, context, dtype, views, views + op->input_count, scales);
    if (views != few)
        kb_free(kd_allocator(context), views);
    if (scales != few_scales)
        kb_free(kd_allocator(context), scales);
    return status;
}

kcl_status kcl_operator_apply(const kcl_operator *op, kcl_context *context, const kcl_array *const *outs, int out_count,
                              const kcl_array *const *args, int arg_count)
{
    return kcl_operator_apply_scaled(op, context, outs, out_count, args, arg_count, NULL, NULL);
}

kcl_status kcl_operator_output_shape(const kcl_operator *op, kcl_context *context, int output,
                                     const kcl_array *const *args, int arg_count, kcl_array *shape)
{
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    kb_error *err = kd_error(context);
    if (!op || !shape)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_operator_output_shape: the operator or the array that receives the "
                       "shape is NULL");
    if (op->error.status < 0) {
        *err = op->error;
        return err->status;
    }
    if (output < 0 || (size_t)output >= op->root_count)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "the operator has %zu outputs, there is no output %d", op->root_count,
                       output);
    const kcl_allocator *a = kd_allocator(context);
    kl_view *slots = kb_calloc(a, op->input_count + 1, sizeof *slots);
    kl_batch all;
    kcl_dtype dtype;
    int64_t rows[2] = {1, 1}; /* i, j */
    if (!slots)
        return kb_no_memory(err);
    status = see_arguments(op, err, args, arg_count, slots, &all, &dtype);
    if (status == KCL_OK)
        status = kl_exec_check_rows(op->exec, slots, err);
    for (size_t k = 0; status == KCL_OK && k < op->input_count; k++)
        if (op->inputs[k].role != KF_ROLE_P)
            rows[op->inputs[k].role == KF_ROLE_J] = slots[k].rows;
    if (status == KCL_OK) {
        const kl_batch batch = batch_of_output(op, output, slots, &all);
        int64_t sizes[KCL_MAX_AXES];
        int axes = 0;
        for (int b = batch.count - 1; b >= 0; b--)
            sizes[axes++] = batch.size[b];
        if (op->tags[output] < 2)
            sizes[axes++] = rows[op->tags[output]];
        sizes[axes++] = op->roots[output]->dim;
        dtype = dtype ? dtype : kl_type_beside_integers(context);
        if (op->roots[output]->kind == KF_INT)
            *shape = kcl_array_i64(NULL, axes, sizes);
        else
            *shape = dtype == KCL_F32 ? kcl_array_f32(NULL, axes, sizes) : kcl_array_f64(NULL, axes, sizes);
    }
    kb_free(a, slots);
    return status;
}

/* ---- Looking at operators ---------------------------------------------------------------------------------------- */

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
    const input *in = &op->inputs[index];
    *info = (kcl_slot_info){.role = (kcl_role)in->role, .dim = in->dim};
    info->dtype = takes_integers(in) ? KCL_I64 : KCL_DTYPE_NONE;
    memcpy(info->name, in->name, sizeof info->name);
    return KCL_OK;
}

kcl_status kcl_operator_output(const kcl_operator *op, int index, kcl_slot_info *info)
{
    if (!op || !info || index < 0 || (size_t)index >= op->root_count)
        return KCL_ERROR_ARGUMENT;
    *info = (kcl_slot_info){.role = (kcl_role)op->tags[index], .dim = op->roots[index]->dim};
    info->dtype = op->roots[index]->kind == KF_INT ? KCL_I64 : KCL_DTYPE_NONE;
    return KCL_OK;
}

static const char *input_name(void *user, const kf_node *var)
{
    const kcl_operator *op = user;
    const input *in = (size_t)var->param[0] < op->input_count ? &op->inputs[var->param[0]] : NULL;
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
    for (size_t k = 0; k < op->root_count; k++) {
        kb_str_put(&text, k ? "; " : "");
        kf_print_reduction(&text, &(kf_parsed_reduction){op->roots[k], op->tags[k]}, input_name, (void *)(uintptr_t)op,
                           0);
    }
    kb_error ignored;
    return hand_over(&text, KCL_OK, write, user, &ignored);
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
    kb_str text;
    kb_str_init(&text, &op->allocator);
    kcl_status status =
        kl_exec_emit(op->exec, profile ? NULL : context, caps, dtype, (int64_t[]){1, m, n, m}, describe, &text, err);
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
