/* SPDX-License-Identifier: MIT */
/* api/operator.c: operators made of formulas in text, and of expressions. */
#include "operator.h"
#include "make.h"
#include "order.h"
#include "passes.h"
#include "reductions.h"
#include "scope.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

kcl_operator *ka_operator_new(const kcl_operator_params *params)
{
    kcl_allocator a = kb_allocator(params ? &params->allocator : NULL);
    kcl_operator *op = kb_calloc(&a, 1, sizeof *op);
    if (!op)
        return NULL;
    op->allocator = a;
    kf_graph_init(&op->graph, &a);
    return op;
}

static const char *const form_names[] = {"auto", "differences", "expanded"}; /* by kg_form */

static kcl_status read_options(kcl_operator *op, const kcl_operator_params *params)
{
    if (!params)
        return KCL_OK;
    if (kp_check_schedule_name(params->schedule, &op->error) < 0 ||
        kg_read_math(params->math, &op->options.fast, &op->error) < 0)
        return op->error.status;
    if (params->schedule)
        snprintf(op->options.schedule, sizeof op->options.schedule, "%s", params->schedule);
    const char *s = params->form && *params->form ? params->form : form_names[KG_FORM_AUTO];
    for (size_t k = 0; k < KB_COUNT(form_names); k++) {
        if (strcmp(s, form_names[k]) == 0) {
            op->options.form = (kg_form)k;
            return KCL_OK;
        }
    }
    return kb_fail(&op->error, KCL_ERROR_ARGUMENT,
                   "form \"%s\" is not known: write \"auto\", \"differences\" or \"expanded\"", s);
}

/* A new operator with its options, in *out and *op. *op is NULL: there is no place for the operator, or no memory. */
static kcl_status begin(kcl_operator **out, const kcl_operator_params *params, kcl_operator **op)
{
    *op = out ? ka_operator_new(params) : NULL;
    if (!out)
        return KCL_ERROR_ARGUMENT;
    *out = *op;
    return *op ? read_options(*op, params) : KCL_ERROR_NO_MEMORY;
}

static const char *name_of_role(kf_role role)
{
    return role == KF_ROLE_I ? "i" : role == KF_ROLE_J ? "j" : "parameter";
}

kcl_status ka_operator_declare(kcl_operator *op, int64_t index, const char *name, int64_t dim, kf_role role)
{
    if (index >= 65536)
        return kb_fail(&op->error, KCL_ERROR_ARGUMENT, "argument number %lld: numbers go up to 65535",
                       (long long)index);
    size_t before = op->input_count;
    if (!kb_reserve(&op->allocator, (void **)&op->inputs, &op->input_capacity, (size_t)index + 1, sizeof *op->inputs))
        return kb_no_memory(&op->error);
    for (size_t k = before; k <= (size_t)index; k++)
        op->inputs[k] = (ka_argument){.dim = 0};
    op->input_count = KB_MAX(before, (size_t)index + 1);
    ka_argument *in = &op->inputs[index];
    if (in->dim && op->joins_axes && in->role != KF_ROLE_P && role != KF_ROLE_P)
        role = in->role;
    if (in->dim && (in->dim != dim || in->role != role))
        return kb_fail(
            &op->error, KCL_ERROR_ARGUMENT,
            "argument number %lld is used with dimension %d and role %s, and with dimension %lld and role %s",
            (long long)index, in->dim, name_of_role(in->role), (long long)dim, name_of_role(role));
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
    ka_argument *in = &op->inputs[operand->param[0]];
    const bool reduces = f && f->op == KF_REDUCE;
    /* Like and Scatter take nothing but the length of this operand. */
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
            status = ka_operator_declare(op, p[0], "", p[1], (kf_role)p[2]);
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

void ka_operator_name_input(const kcl_operator *op, size_t index, char *text, size_t size)
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

/* What calls know of the arguments. */
static kcl_status make_parameters(kcl_operator *op)
{
    op->parameters = kb_calloc(&op->allocator, op->input_count + 1, sizeof *op->parameters);
    if (!op->parameters)
        return kb_no_memory(&op->error);
    for (size_t k = 0; k < op->input_count; k++) {
        const ka_argument *in = &op->inputs[k];
        op->parameters[k] = (ka_parameter){.name = op->inputs[k].label,
                                           .dim = in->dim,
                                           .role = in->role,
                                           .kind = in->kind,
                                           .takes_integers = ka_takes_integers(in)};
    }
    return KCL_OK;
}

kcl_status ka_operator_compile(kcl_operator *op)
{
    for (size_t k = 0; k < op->input_count; k++)
        if (!op->inputs[k].dim)
            return kb_fail(&op->error, KCL_ERROR_ARGUMENT,
                           "no argument has the number %zu: numbers must follow each other from 0 on", k);
    kg_slot *slots = kb_calloc(&op->allocator, op->input_count + 1, sizeof *slots);
    if (!slots)
        return kb_no_memory(&op->error);
    for (size_t k = 0; k < op->input_count; k++) {
        slots[k].dim = op->inputs[k].dim;
        slots[k].rows = -1;
        slots[k].extent = op->inputs[k].role == KF_ROLE_P   ? 0
                          : op->joins_axes                  ? KG_EXTENT_BOTH
                          : op->inputs[k].role == KF_ROLE_I ? KG_EXTENT_I
                                                            : KG_EXTENT_J;
        /* Any size will do, for calls have a program of their own. */
        for (int b = 0; op->inputs[k].batches && b < KF_MAX_BATCH; b++)
            slots[k].batch.size[slots[k].batch.count++] = op->inputs[k].batches & KF_BATCH_AXIS(b) ? 2 : 1;
        ka_operator_name_input(op, k, op->inputs[k].label, sizeof op->inputs[k].label);
        slots[k].name = op->inputs[k].label;
    }
    kcl_status status = kg_program_create(&op->program, &op->graph, op->root_count, op->roots, op->input_count, slots,
                                          &op->options, &op->error);
    kb_free(&op->allocator, slots);
    return status == KCL_OK ? make_parameters(op) : status;
}

kcl_status ka_operator_add_roots(kcl_operator *op, size_t count)
{
    op->roots = kb_calloc(&op->allocator, count + 1, sizeof *op->roots);
    op->outputs = kb_calloc(&op->allocator, count + 1, sizeof *op->outputs);
    if (!op->roots || !op->outputs)
        return kb_no_memory(&op->error);
    op->root_count = count;
    for (size_t k = 0; k < count; k++)
        op->outputs[k].sums_to = -1;
    return KCL_OK;
}

kcl_status ka_operator_finish(kcl_operator **out, kcl_operator *op, kcl_status status)
{
    *out = op;
    if (status < 0 && op->error.status == KCL_OK)
        op->error = op->graph.error;
    return status < 0 ? op->error.status : KCL_OK;
}

void kcl_operator_destroy(kcl_operator **op)
{
    if (!op || !*op)
        return;
    kcl_operator *o = *op;
    const kcl_allocator a = o->allocator;
    kg_program_destroy(&o->program);
    kb_free(&a, o->inputs);
    kb_free(&a, o->roots);
    kb_free(&a, o->outputs);
    kb_free(&a, o->parameters);
    kf_graph_finish(&o->graph);
    kb_free(&a, o);
    *op = NULL;
}

/* ---- Of a text --------------------------------------------------------------------------------------------------- */

static kcl_status read_aliases(kcl_operator *op, int count, const char *const *aliases, kf_binding *bindings)
{
    for (int k = 0; k < count; k++) {
        kf_alias alias;
        if (!aliases || !aliases[k])
            return kb_fail(&op->error, KCL_ERROR_ARGUMENT, "alias %d is NULL", k);
        if (kf_parse_alias(&op->allocator, aliases[k], &alias, &op->error) < 0)
            return op->error.status;
        int64_t index = alias.index < 0 ? k : alias.index;
        if (ka_operator_declare(op, index, alias.name, alias.dim, alias.role) < 0)
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
    kcl_operator *op;
    kcl_status status = begin(out, params, &op);
    if (!op)
        return status;
    if (status == KCL_OK && (!formula || alias_count < 0))
        status = kb_fail(&op->error, KCL_ERROR_ARGUMENT, "the formula is NULL, or the number of aliases negative");
    kf_binding *bindings = kb_calloc(&op->allocator, (size_t)KB_MAX(alias_count, 0) + 1, sizeof *bindings);
    kf_parsed_reduction *parsed = kb_calloc(&op->allocator, KF_MAX_RESULTS, sizeof *parsed);
    if (status == KCL_OK && (!bindings || !parsed))
        status = kb_no_memory(&op->error);
    if (status == KCL_OK)
        status = read_aliases(op, alias_count, aliases, bindings);
    if (status == KCL_OK) {
        /* The parser requires names, so entries without a name are dropped. */
        size_t named = 0, count = 0;
        for (int k = 0; k < alias_count; k++)
            if (bindings[k].name)
                bindings[named++] = bindings[k];
        int64_t next = (int64_t)op->input_count;
        status = kf_parse_reductions(&op->graph, formula, named, bindings, &next, &count, parsed, &op->error);
        if (status == KCL_OK)
            status = ka_operator_add_roots(op, count);
        for (size_t k = 0; status == KCL_OK && k < count; k++) {
            op->roots[k] = parsed[k].node;
            op->outputs[k].role = (kf_role)parsed[k].tag;
        }
        if (status == KCL_OK)
            status = declare_used(op, count, op->roots);
    }
    /* A result indexed by i has a row for each i of the call, even if all rows are equal. */
    for (size_t k = 0; status == KCL_OK && k < op->root_count; k++) {
        for (size_t m = 0; status == KCL_OK && m < op->input_count; m++) {
            const ka_argument *in = &op->inputs[m];
            if (in->role == op->outputs[k].role && in->role != KF_ROLE_P && in->dim)
                op->roots[k] = kf_like(&op->graph, op->roots[k], kf_var(&op->graph, (int64_t)m, in->dim, in->role));
            if (!op->roots[k])
                status = op->graph.error.status;
        }
    }
    kb_free(&op->allocator, bindings);
    kb_free(&op->allocator, parsed);
    if (status == KCL_OK)
        status = ka_operator_compile(op);
    return ka_operator_finish(out, op, status);
}

/* ---- Of expressions ---------------------------------------------------------------------------------------------- */

typedef struct rename_context {
    kcl_operator *op;
    const kcl_scope *scope;
    kcl_expr *const *vars;
    int *first; /* by list: its first variable; -1: there is none */
    int *next;  /* by variable: the next one of the list */
} rename_context;

/* The list of a variable: there is one for each of the scope's data, and one for numbers that are bound to no data. */
static int *list_of(const rename_context *r, const kf_node *var)
{
    return &r->first[KB_MIN(var->param[0], (int64_t)r->scope->data_count)];
}

static kcl_status list_variables(rename_context *r, int count)
{
    const size_t data_count = r->scope->data_count;
    r->first = kb_calloc(&r->op->allocator, data_count + 1, sizeof *r->first);
    r->next = kb_calloc(&r->op->allocator, (size_t)count + 1, sizeof *r->next);
    if (!r->first || !r->next)
        return kb_no_memory(&r->op->error);
    memset(r->first, 0xff, (data_count + 1) * sizeof *r->first);
    for (int k = count; k-- > 0;) {
        int *first = list_of(r, r->vars[k]->node);
        r->next[k] = *first;
        *first = k;
    }
    return KCL_OK;
}

static const kf_node *rename_variable(void *user, const kf_node *leaf)
{
    rename_context *r = user;
    if (leaf->op != KF_VAR)
        return leaf;
    const kf_role role = (kf_role)leaf->param[2];
    int at = -1;
    for (int k = *list_of(r, leaf); k >= 0; k = r->next[k]) {
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
            data && data->is_symbol ? "" : "the variable of ", ka_data_name(r->scope, leaf->param[0]),
            name_of_role(role));
    return NULL;
}

/*
 * Arrays bring their batch axes along when the operator is applied. But expressions that reduce batch axes mean the
 * batch axes of their own arrays, and the operator keeps these.
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
            op->outputs[r].batches |= order.nodes[k]->axes & KF_BATCH_AXES;
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
    kcl_operator *op;
    kcl_status status = begin(out, params, &op);
    if (!op)
        return status;
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
        status = ka_operator_add_roots(op, (size_t)count);
    for (int k = 0; status == KCL_OK && k < count; k++)
        op->roots[k] = exprs[k]->node;
    if (status == KCL_OK)
        status = kf_import(&op->graph, &exprs[0]->scope->graph, (size_t)count, op->roots, op->roots);
    if (status == KCL_OK)
        status = find_batch_reductions(op);
    if (status == KCL_OK) {
        rename_context r = {.op = op, .scope = exprs[0]->scope, .vars = vars};
        status = list_variables(&r, var_count);
        if (status == KCL_OK)
            status = kf_substitute(&op->graph, (size_t)count, op->roots, false, rename_variable, &r, op->roots);
        kb_free(&op->allocator, r.first);
        kb_free(&op->allocator, r.next);
    }
    for (int k = 0; status == KCL_OK && k < var_count; k++)
        if ((status = ka_operator_declare(op, k, "", vars[k]->node->dim, (kf_role)vars[k]->node->param[2])) == KCL_OK)
            op->inputs[k].batches = op->knows_batches ? vars[k]->node->axes & KF_BATCH_AXES : 0;
    if (status == KCL_OK)
        status = declare_used(op, op->root_count, op->roots);
    for (size_t k = 0; status == KCL_OK && k < op->root_count; k++)
        op->outputs[k].role = ka_role_of(op->roots[k]);
    if (status == KCL_OK)
        status = ka_operator_compile(op);
    return ka_operator_finish(out, op, status);
}

kcl_status kcl_operator_from(kcl_operator **out, int count, kcl_expr *const *exprs, int var_count,
                             kcl_expr *const *vars, const kcl_operator_params *params)
{
    const kcl_status status = operator_from(out, count, exprs, var_count, vars, params);
    return tell_why(var_count, vars, out ? *out : NULL, tell_why(count, exprs, out ? *out : NULL, status));
}
