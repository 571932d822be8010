/* SPDX-License-Identifier: MIT */
/*
 * api/derivatives.c: derivatives of expressions, by variables and at expressions.
 *
 * The derivative at an expression q takes three steps. A variable of the same axes and dimension replaces the node q,
 * and its transpose, in the formula. The formula is derived by the variable. Then q replaces the variable.
 */
#include "batches.h"
#include "builder.h"
#include "calculus.h"
#include "derive.h"
#include "make.h"
#include "order.h"
#include "passes.h"
#include "simplify.h"

/* Variables in the place of expressions count from here downwards: no array has these indices. */
enum { FIRST_INDEX = INT32_MAX };

typedef struct places {
    const char *name; /* of the function that was called */
    kcl_scope *scope;
    const kf_node **memory;
    const kf_node **vars;  /* to derive by */
    const kf_node **asked; /* the expressions whose places the variables take */
    size_t replaced;       /* nodes that are replaced: expressions, simplified ones, transposed ones */
    const kf_node **nodes, **by;
} places;

enum { FORMS = 4 }; /* an expression, simplified or not, and transposed */

static void leave(places *p)
{
    if (p->scope)
        kb_free(kd_allocator(p->scope->context), p->memory);
}

static bool has_variables(const kcl_scope *scope, const kf_node *f)
{
    kf_order order;
    kb_error ignored;
    bool found = false;
    if (kf_order_init(&order, &scope->graph, 1, &f, false, &ignored) < 0)
        return true;
    for (size_t k = 0; k < order.count && !found; k++)
        found = order.nodes[k]->op == KF_VAR;
    kf_order_finish(&order);
    return found;
}

static kcl_expr *refuse_place(const char *name, kcl_scope *scope, const kf_node *q)
{
    if (!has_variables(scope, q))
        return ka_fail(scope, KCL_ERROR_ARGUMENT,
                       "%s: what to derive by is no variable, nor an expression of one: it must come from kcl_vi, "
                       "kcl_vj, kcl_pm, kcl_lazy, kcl_scalar or kcl_var, or be made of such",
                       name);
    if (q->kind == KF_INT)
        return ka_fail(scope, KCL_ERROR_DERIVATIVE,
                       "%s: what to derive by is an index, a whole number: there are no derivatives by it", name);
    if ((q->axes & KF_PAIR_AXES) == KF_PAIR_AXES)
        return ka_fail(scope, KCL_ERROR_SHAPE,
                       "%s: what to derive by is no variable, but an expression that depends on both i and j: it may "
                       "have one of the two axes, or none",
                       name);
    return NULL;
}

static bool add_form(places *p, const kf_node *node, const kf_node *var)
{
    bool known = !node || !var || node->op == KF_VAR;
    for (size_t k = 0; k < p->replaced; k++)
        known = known || p->nodes[k] == node;
    if (!known) {
        p->nodes[p->replaced] = node;
        p->by[p->replaced++] = var;
    }
    return node && var;
}

static bool add_forms(places *p, const kf_node *node, const kf_node *var)
{
    kf_graph *g = &p->scope->graph;
    return add_form(p, node, var) &&
           (!(node->axes & KF_PAIR_AXES) || add_form(p, kf_transpose(g, node), kf_transpose(g, var)));
}

/* A variable in the place of expression k; NULL: the graph's error. */
static const kf_node *place_of(places *p, size_t k, const kf_node *q)
{
    kf_graph *g = &p->scope->graph;
    for (size_t m = 0; m < k; m++)
        if (p->asked[m] == q)
            return p->vars[m];
    const kf_node *var = kf_on_batches(g, kf_var(g, FIRST_INDEX - (int64_t)k, q->dim, ka_role_of(q)), q->axes),
                  *simple = NULL;
    /* Derivatives are simplified, so q may stand in them in another form. */
    if (!var || !add_forms(p, q, var) || kf_simplify(g, 1, &q, &simple) < 0)
        return NULL;
    if (simple->axes == q->axes && has_variables(p->scope, simple) && !add_forms(p, simple, var))
        return NULL;
    return var;
}

/* Finds what to derive by. Returns NULL, or the expression to return. The caller calls `leave` in any case. */
static kcl_expr *enter(places *p, const char *name, kcl_scope *scope, int count, kcl_expr *const *v)
{
    const size_t n = (size_t)count;
    *p = (places){.name = name, .scope = scope};
    p->memory = kb_calloc(kd_allocator(scope->context), (2 + 2 * FORMS) * n + 1, sizeof *p->memory);
    if (!p->memory)
        return &scope->out_of_memory;
    p->vars = p->memory;
    p->asked = p->vars + n;
    p->nodes = p->asked + n;
    p->by = p->nodes + FORMS * n;
    for (size_t k = 0; k < n; k++) {
        const kf_node *q = p->asked[k] = v[k]->node;
        kcl_expr *refused = q->op == KF_VAR ? NULL : refuse_place(name, scope, q);
        if (refused)
            return refused;
        p->vars[k] = q->op == KF_VAR ? q : place_of(p, k, q);
        if (!p->vars[k])
            return ka_expr_called(name, scope, NULL);
    }
    return NULL;
}

static const kf_node *with_variables(const places *p, const kf_node *f)
{
    return p->replaced ? kf_replace(&p->scope->graph, f, p->replaced, p->nodes, p->by) : f;
}

/* The derivative with the expressions put back, as an expression that has the batch axes of `like`. */
static kcl_expr *finish(const places *p, const kf_node *out, const kf_node *like)
{
    if (out && p->replaced)
        out = kf_put_back(&p->scope->graph, out, p->replaced, p->nodes, p->by);
    return ka_expr_called(p->name, p->scope, ka_with_batches_of(p->scope, out, like));
}

/* ---- Several at once --------------------------------------------------------------------------------------------- */

/*
 * The scope of f, e and both lists; NULL and *error if a list is missing. `directs`: the second list is required. e and
 * the first elements of the lists are looked at even if f is missing, so that a context learns of the error.
 */
static kcl_scope *check_lists(const char *name, kcl_expr *f, kcl_expr *e, int count, kcl_expr *const *first,
                              bool directs, kcl_expr *const *second, kcl_expr **error)
{
    const bool any = count >= 1 && first;
    kcl_expr *own[4] = {f};
    int owned = 1;
    if (e)
        own[owned++] = e;
    if (any)
        own[owned++] = first[0];
    if (any && second)
        own[owned++] = second[0];
    kcl_scope *scope = ka_common_scope_called(name, owned, own, error);
    if (!scope)
        return NULL;
    if (!any || (directs && !second)) {
        *error =
            any ? ka_fail(scope, KCL_ERROR_ARGUMENT, "%s: the list of directions is NULL", name)
                : ka_fail(scope, KCL_ERROR_ARGUMENT, "%s: the list of variables is NULL or empty (%d)", name, count);
        return NULL;
    }
    for (int k = 1; k < count; k++) {
        kcl_expr *all[] = {f, first[k], second ? second[k] : f};
        if (!ka_common_scope_called(name, 3, all, error))
            return NULL;
    }
    return scope;
}

static kcl_status all_failed(int count, kcl_expr **out, kcl_expr *error)
{
    for (int k = 0; out && k < count; k++)
        out[k] = error;
    return kcl_expr_status(error);
}

static kcl_status first_failed(int count, kcl_expr *const *out)
{
    kcl_status status = KCL_OK;
    for (int k = 0; k < count && status == KCL_OK; k++)
        status = kcl_expr_status(out[k]);
    return status;
}

static kcl_expr *no_number(const char *name, kcl_scope *scope, const kf_node *f)
{
    if (!f->axes && f->dim == 1)
        return NULL;
    return ka_fail(scope, KCL_ERROR_SHAPE,
                   "%s: the expression is no single number (dimension %d%s%s%s): sum it first, or use kcl_vjp", name,
                   f->dim, f->axes & KF_AXIS_I ? ", a value for each i" : "",
                   f->axes & KF_AXIS_J ? ", a value for each j" : "",
                   f->axes & KF_BATCH_AXES ? ", a value for each batch" : "");
}

/* e: NULL stands for 1, then f is a number. u: NULL, or the directions in which the gradients are derived in turn. */
static kcl_status gradients(const char *name, kcl_expr *f, kcl_expr *e, int count, kcl_expr *const *v, bool directs,
                            kcl_expr *const *u, kcl_expr **out)
{
    kcl_expr *error;
    kcl_scope *scope = check_lists(name, f, e, count, v, directs, u, &error);
    kcl_expr *refused = scope && !e ? no_number(name, scope, f->node) : NULL;
    if (!scope || refused)
        return all_failed(count, out, refused ? refused : error);
    kf_graph *g = &scope->graph;
    places p;
    refused = enter(&p, name, scope, count, v);
    if (refused) {
        leave(&p);
        return all_failed(count, out, refused);
    }
    const kcl_allocator *a = kd_allocator(scope->context);
    const kf_node **grads = kb_calloc(a, 2 * (size_t)count, sizeof *grads);
    const kf_node *F = with_variables(&p, f->node), *one = e ? e->node : kf_rat(g, 1, 1);
    bool ok = grads && F && one && kf_gradient(g, F, one, (size_t)count, p.vars, grads) == KCL_OK;
    for (int k = 0; ok && u && k < count; k++)
        grads[count + k] = u[k]->node;
    for (int k = 0; ok && u && k < count; k++) {
        const kf_node *product = NULL;
        ok = kf_jvp(g, grads[k], (size_t)count, p.vars, grads + count, &product) == KCL_OK;
        out[k] = ok ? finish(&p, product, p.asked[k]) : NULL;
    }
    for (int k = 0; ok && !u && k < count; k++)
        out[k] = finish(&p, grads[k], p.asked[k]);
    if (!ok)
        all_failed(count, out, grads ? ka_expr_called(name, scope, NULL) : &scope->out_of_memory);
    kb_free(a, grads);
    leave(&p);
    return first_failed(count, out);
}

static kcl_expr *tangent(const char *name, kcl_expr *f, int count, kcl_expr *const *v, kcl_expr *const *u)
{
    kcl_expr *error;
    kcl_scope *scope = check_lists(name, f, NULL, count, v, true, u, &error);
    if (!scope)
        return error;
    places p;
    kcl_expr *result = enter(&p, name, scope, count, v);
    const kcl_allocator *a = kd_allocator(scope->context);
    const kf_node **directions = kb_calloc(a, (size_t)count, sizeof *directions), *out = NULL;
    for (int k = 0; directions && k < count; k++)
        directions[k] = u[k]->node;
    if (!result && !directions)
        result = &scope->out_of_memory;
    if (!result) {
        const kf_node *F = with_variables(&p, f->node);
        const bool ok = F && kf_jvp(&scope->graph, F, (size_t)count, p.vars, directions, &out) == KCL_OK;
        result = ka_shaped(finish(&p, ok ? out : NULL, f->node), f->inner);
    }
    kb_free(a, directions);
    leave(&p);
    return result;
}

kcl_status kcl_grad_many(kcl_expr *f, int count, kcl_expr *const *v, kcl_expr **gradients_of)
{
    return gradients_of ? gradients(__func__, f, NULL, count, v, false, NULL, gradients_of) : KCL_ERROR_ARGUMENT;
}

kcl_status kcl_vjp_many(kcl_expr *f, kcl_expr *e, int count, kcl_expr *const *v, kcl_expr **products)
{
    kcl_expr *error;
    if (!products)
        return KCL_ERROR_ARGUMENT;
    if (!ka_common_scope(2, (kcl_expr *[]){f, e}, &error))
        return all_failed(count, products, error);
    return gradients(__func__, f, e, count, v, false, NULL, products);
}

kcl_expr *kcl_jvp_many(kcl_expr *f, int count, kcl_expr *const *v, kcl_expr *const *u)
{
    return tangent(__func__, f, count, v, u);
}

kcl_status kcl_hvp_many(kcl_expr *f, int count, kcl_expr *const *v, kcl_expr *const *u, kcl_expr **products)
{
    return products ? gradients(__func__, f, NULL, count, v, true, u, products) : KCL_ERROR_ARGUMENT;
}

/* ---- One at a time ----------------------------------------------------------------------------------------------- */

kcl_expr *kcl_grad(kcl_expr *f, kcl_expr *v)
{
    kcl_expr *out;
    gradients(__func__, f, NULL, 1, &v, false, NULL, &out);
    return out;
}

kcl_expr *kcl_vjp(kcl_expr *f, kcl_expr *v, kcl_expr *e)
{
    kcl_expr *out, *error;
    if (!ka_common_scope(3, (kcl_expr *[]){f, v, e}, &error))
        return error;
    gradients(__func__, f, e, 1, &v, false, NULL, &out);
    return out;
}

kcl_expr *kcl_jvp(kcl_expr *f, kcl_expr *v, kcl_expr *u)
{
    return tangent(__func__, f, 1, &v, &u);
}

kcl_expr *kcl_hvp(kcl_expr *f, kcl_expr *v, kcl_expr *u)
{
    kcl_expr *out;
    gradients(__func__, f, NULL, 1, &v, true, &u, &out);
    return out;
}

/* ---- Of the matrix of derivatives -------------------------------------------------------------------------------- */

/* A function `of` the matrix df/dv, for each pair of rows. */
static kcl_expr *of_matrix(const char *name, kcl_expr *f, kcl_expr *v,
                           kcl_status (*of)(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out))
{
    kcl_expr *error;
    kcl_scope *scope = ka_common_scope_called(name, 2, (kcl_expr *[]){f, v}, &error);
    if (!scope)
        return error;
    places p;
    kcl_expr *result = enter(&p, name, scope, 1, &v);
    if (!result) {
        const kf_node *F = with_variables(&p, f->node), *out = NULL;
        const bool ok = F && of(&scope->graph, F, p.vars[0], &out) == KCL_OK;
        result = finish(&p, ok ? out : NULL, f->node);
    }
    leave(&p);
    return result;
}

kcl_expr *kcl_grad_matrix(kcl_expr *f, kcl_expr *v)
{
    return of_matrix("kcl_grad_matrix", f, v, kf_grad_matrix);
}

kcl_expr *kcl_divergence(kcl_expr *f, kcl_expr *v)
{
    return of_matrix("kcl_divergence", f, v, kf_divergence);
}

kcl_expr *kcl_laplacian(kcl_expr *f, kcl_expr *v)
{
    return of_matrix("kcl_laplacian", f, v, kf_laplacian);
}

static kcl_status trace_of_operator(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out)
{
    return kf_trace_operator(g, F, v, NULL, out);
}

kcl_expr *kcl_trace_operator(kcl_expr *f, kcl_expr *v)
{
    return of_matrix("kcl_trace_operator", f, v, trace_of_operator);
}
