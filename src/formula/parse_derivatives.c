/* SPDX-License-Identifier: MIT */
/* formula/parse_derivatives.c: derivatives in formula strings. */
#include "parse.h"

#include <string.h>

/* The variable that stands for the cotangent of F where a text gives none. */
static bool new_cotangent(kf_parser *p, const kf_call *c, const kf_operand *F, const kf_node *v, kf_operand *e)
{
    static const kf_role other[] = {KF_ROLE_J, KF_ROLE_I, KF_ROLE_P}; /* KeOps: 1 - v.cat */
    kf_role role = F->tag == KF_NO_REDUCTION ? other[v->param[2]] : kf_role_of_tag(F->tag);
    if (p->next_index >= KF_MAX_VARS)
        return kf_fault(p, KCL_ERROR_SHAPE, c->name.at, "there are more than %d variables", KF_MAX_VARS);
    *e = (kf_operand){.node = kf_var(p->g, p->next_index, F->node->dim, role),
                      .at = c->name.at,
                      .tag = KF_NO_REDUCTION,
                      .number = NAN};
    return e->node ? kf_enter_var(p, e->node, c->name.at) : kf_fault_graph(p, c->name.at);
}

/* Whether F is one result and v a variable. */
static bool check_derivative(kf_parser *p, const kf_call *c, const kf_operand *F, const kf_operand *v)
{
    if (v->tag != KF_NO_REDUCTION || v->node->op != KF_VAR || v->node->param[2] == KF_ROLE_ACC)
        return kf_fault(p, KCL_ERROR_SYNTAX, v->at, "the second argument of %.*s must be a variable",
                        KF_SHOWN(&c->name));
    if (F->second)
        return kf_fault(p, KCL_ERROR_SYNTAX, F->at, "%.*s differentiates one result: values and indices are two",
                        KF_SHOWN(&c->name));
    return true;
}

/* F and the variable by which it is derived: the first two arguments. */
static bool read_two(kf_parser *p, kf_call *c, kf_operand *F, kf_operand *v)
{
    return kf_open_call(p, c) && kf_read_formula_argument(p, c, 0, F) && kf_read_formula_argument(p, c, 1, v) &&
           check_derivative(p, c, F, v);
}

static bool read_formula(kf_parser *p, const kf_call *c, int k, kf_operand *out)
{
    return kf_read_formula_argument(p, c, k, out) && kf_need_formula(p, out);
}

/* KeOps' names with this ending are given the value of F as well, which is not needed here. */
static const char saved_forward[] = "_WithSavedForward";

static bool has_saved_forward(const kf_word *name)
{
    const size_t n = sizeof saved_forward - 1;
    return name->length > n && memcmp(name->text + name->length - n, saved_forward, n) == 0;
}

static bool read_saved_forward(kf_parser *p, const kf_call *c, const kf_operand *F)
{
    kf_operand saved;
    if (!has_saved_forward(&c->name))
        return true;
    if (!read_formula(p, c, 3, &saved))
        return false;
    return saved.node->dim == F->node->dim ||
           kf_fault(p, KCL_ERROR_SHAPE, saved.at, "%.*s: the result has dimension %d, what was saved of it has %d",
                    KF_SHOWN(&c->name), F->node->dim, saved.node->dim);
}

/* What a reduction's derivative is in texts: 0 is Zero_Reduction, whose tag tells its rows. */
static const kf_node *derived_reduction(kf_graph *g, const kf_node *f)
{
    return kf_is_zero(kf_value(f)) ? kf_zero(g, f->dim) : f;
}

/* A reduction in F whose operand depends on v, rows that an index chooses among them; NULL where there is none. */
static bool find_reduction_of(kf_parser *p, const kf_node *F, const kf_node *v, const kf_node **found)
{
    kf_order all, below;
    *found = NULL;
    if (kf_order_init(&all, p->g, 1, &F, false, &p->g->error) < 0)
        return false;
    bool ok = true;
    for (size_t k = 0; ok && !*found && k < all.count; k++) {
        if (all.nodes[k]->op != KF_REDUCE)
            continue;
        ok = kf_order_init(&below, p->g, 1, &all.nodes[k]->arg[0], false, &p->g->error) == KCL_OK;
        for (size_t n = 0; ok && n < below.count; n++)
            if (kf_is_among(below.nodes[n], 1, &v))
                *found = all.nodes[k];
        if (ok)
            kf_order_finish(&below);
    }
    kf_order_finish(&all);
    return ok;
}

/* Whether the derivative of formula F in v is one of each pair (i, j), which none of the others enter. */
static bool of_pairs(kf_parser *p, const kf_operand *F, const kf_operand *v)
{
    const kf_node *found;
    if (!find_reduction_of(p, F->node, v->node, &found))
        return kf_fault_graph(p, F->at);
    if (found && kf_is_indexed(found))
        return kf_fault(p, KCL_ERROR_DERIVATIVE, F->at,
                        "a row of Gather's table is used by many rows: Grad is of a reduction of the formula, or of "
                        "what has no such table");
    return !found || kf_fault(p, KCL_ERROR_DERIVATIVE, F->at,
                              "the variable is in a reduction within the formula: Grad is of a reduction around it, "
                              "such as Identity_Reduction(F,0)");
}

/* Grad(F,v), Grad(F,v,e), Grad_WithSavedForward(F,v,e,R) */
bool kf_read_grad(kf_parser *p, const kf_word *name, kf_operand *out)
{
    const bool saved = has_saved_forward(name);
    kf_call c = {.name = *name,
                 .most = saved ? 4 : 3,
                 .needs = saved ? "a formula or reduction F, a variable v, a cotangent e and the value of F"
                                : "a formula or reduction F, a variable v, and perhaps a cotangent e"};
    kf_operand F, v, e;
    if (!read_two(p, &c, &F, &v))
        return false;
    if (kf_peek(p) == ')' && !saved ? !new_cotangent(p, &c, &F, v.node, &e)
                                    : !read_formula(p, &c, 2, &e) || !read_saved_forward(p, &c, &F))
        return false;
    if (F.tag == KF_NO_REDUCTION) {
        if (!of_pairs(p, &F, &v))
            return false;
        if (kf_vjp(p->g, F.node, e.node, 1, &v.node, &out->node) < 0)
            return kf_fault_graph(p, e.at);
        return kf_close_call(p, &c);
    }
    unsigned reduced = kf_axes_of_tag(F.tag);
    if (e.node->axes & reduced)
        return kf_fault(p, KCL_ERROR_SHAPE, e.at, "the cotangent depends on %s, over which the result is reduced",
                        e.node->axes & reduced & KF_AXIS_I ? "i" : "j");
    /* A result without i has the same row for every i, and the gradient is the sum over the rows' cotangents. */
    const kf_node *rows = kf_like(p->g, F.node, e.node);
    if (!rows || kf_gradient(p->g, rows, e.node, 1, &v.node, &out->node) < 0)
        return kf_fault_graph(p, e.at);
    out->node = derived_reduction(p->g, out->node);
    out->tag = v.node->param[2] == KF_ROLE_I ? 0 : v.node->param[2] == KF_ROLE_J ? 1 : 2;
    return out->node ? kf_close_call(p, &c) : kf_fault_graph(p, e.at);
}

enum { MOST_VARIABLES = 16 };

typedef struct tuple {
    int count;
    kf_operand of[MOST_VARIABLES];
} tuple;

/* Argument k: one formula, or several as (f,g,...). */
static bool read_tuple(kf_parser *p, const kf_call *c, int k, tuple *out)
{
    if (!kf_next_argument(p, c, k))
        return false;
    const kf_call inner = {.name = c->name, .open = p->at, .most = MOST_VARIABLES};
    out->count = kf_peek(p) == '(' ? kf_count_arguments(p, p->at) : 1;
    if (out->count < 2) {
        out->count = 1;
        return kf_nested(p, c->open, kf_read_expression, &out->of[0]) && kf_need_formula(p, &out->of[0]);
    }
    if (out->count > MOST_VARIABLES)
        return kf_fault(p, KCL_ERROR_SYNTAX, inner.open, "there are %d formulas, more than %d", out->count,
                        MOST_VARIABLES);
    p->at++;
    for (int n = 0; n < out->count; n++)
        if (!read_formula(p, &inner, n, &out->of[n]))
            return false;
    return kf_close_call(p, &inner);
}

/* The sum of the derivatives by each variable in its direction. */
static bool derive_along(kf_parser *p, const kf_operand *F, const tuple *v, const tuple *u, kf_operand *out)
{
    const kf_node *sum = NULL;
    for (int k = 0; k < v->count; k++) {
        const kf_node *var = v->of[k].node, *direction = u->of[k].node, *term = NULL;
        const kcl_status status = F->tag == KF_NO_REDUCTION ? kf_diff(p->g, F->node, var, direction, &term)
                                                            : kf_jvp(p->g, F->node, 1, &var, &direction, &term);
        if (status == KCL_OK && (!sum || kf_is_zero(kf_value(sum))))
            sum = term;
        else if (status == KCL_OK && !kf_is_zero(kf_value(term)))
            sum = kf_binary(p->g, KF_ADD, sum, term);
        if (status < 0 || !sum)
            return kf_fault_graph(p, u->of[k].at);
    }
    if (v->count > 1 && kf_simplify(p->g, 1, &sum, &sum) < 0)
        return kf_fault_graph(p, out->at);
    out->tag = F->tag;
    out->node = F->tag == KF_NO_REDUCTION ? sum : derived_reduction(p->g, sum);
    return out->node || kf_fault_graph(p, out->at);
}

/* Diff(F,v,u), Diff_WithSavedForward(F,v,u,R); (v1,v2,...) and (u1,u2,...) for several variables */
bool kf_read_diff(kf_parser *p, const kf_word *name, kf_operand *out)
{
    const bool saved = has_saved_forward(name);
    kf_call c = {.name = *name,
                 .most = saved ? 4 : 3,
                 .needs = saved ? "a formula or reduction F, a variable v, a direction u and the value of F"
                                : "a formula or reduction F, a variable v and a direction u"};
    kf_operand F;
    tuple v, u;
    if (!kf_open_call(p, &c) || !kf_read_formula_argument(p, &c, 0, &F) || !read_tuple(p, &c, 1, &v))
        return false;
    for (int k = 0; k < v.count; k++)
        if (!check_derivative(p, &c, &F, &v.of[k]))
            return false;
    if (!read_tuple(p, &c, 2, &u))
        return false;
    if (u.count != v.count)
        return kf_fault(p, KCL_ERROR_SYNTAX, u.of[0].at, "%.*s: %d variables need as many directions, %d given",
                        KF_SHOWN(name), v.count, u.count);
    return read_saved_forward(p, &c, &F) && kf_close_call(p, &c) && derive_along(p, &F, &v, &u, out);
}

/* Of the matrix dF/dv, for each pair (i, j). */
static bool read_operator_of(kf_parser *p, const kf_word *name, kf_operand *out,
                             kcl_status (*of)(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out))
{
    kf_call c = {.name = *name, .most = 2, .needs = "a formula F and a variable v"};
    kf_operand F, v;
    if (!read_two(p, &c, &F, &v) || !kf_need_formula(p, &F))
        return false;
    return of(p->g, F.node, v.node, &out->node) < 0 ? kf_fault_graph(p, F.at) : kf_close_call(p, &c);
}

bool kf_read_grad_matrix(kf_parser *p, const kf_word *name, kf_operand *out)
{
    return read_operator_of(p, name, out, kf_grad_matrix);
}

bool kf_read_divergence(kf_parser *p, const kf_word *name, kf_operand *out)
{
    return read_operator_of(p, name, out, kf_divergence);
}

bool kf_read_laplacian(kf_parser *p, const kf_word *name, kf_operand *out)
{
    return read_operator_of(p, name, out, kf_laplacian);
}

/* ---- Linear operators -------------------------------------------------------------------------------------------- */

/* F, v, and `least` formulas or more, as many as there may be; the others stay NULL. */
static bool read_linear(kf_parser *p, kf_call *c, kf_operand *F, kf_operand *v, int least, const kf_node *more[2])
{
    int count = 0;
    if (!read_two(p, c, F, v) || !kf_need_formula(p, F))
        return false;
    for (; count < least || (2 + count < c->most && kf_peek(p) != ')'); count++) {
        kf_operand f;
        if (!read_formula(p, c, 2 + count, &f))
            return false;
        more[count] = f.node;
    }
    return kf_close_call(p, c);
}

bool kf_read_trace_operator(kf_parser *p, const kf_word *name, kf_operand *out)
{
    kf_call c = {
        .name = *name, .most = 3, .needs = "a formula F, a variable v in which it is linear, and perhaps weights"};
    kf_operand F, v;
    const kf_node *more[2] = {NULL, NULL};
    return read_linear(p, &c, &F, &v, 0, more) &&
           (kf_trace_operator(p->g, F.node, v.node, more[0], &out->node) == KCL_OK || kf_fault_graph(p, F.at));
}

bool kf_read_adjoint_operator(kf_parser *p, const kf_word *name, kf_operand *out)
{
    kf_call c = {.name = *name, .most = 3, .needs = "a formula F, a variable v in which it is linear, and its operand"};
    kf_operand F, v;
    const kf_node *more[2] = {NULL, NULL};
    return read_linear(p, &c, &F, &v, 1, more) &&
           ((kf_check_linear(p->g, "AdjointOperator", F.node, v.node, false) == KCL_OK &&
             kf_vjp(p->g, F.node, more[0], 1, &v.node, &out->node) == KCL_OK) ||
            kf_fault_graph(p, F.at));
}

bool kf_read_sum_lin_operator(kf_parser *p, const kf_word *name, kf_operand *out)
{
    kf_call c = {.name = *name,
                 .most = 4,
                 .needs =
                     "a formula F, a variable v in which it is linear, and perhaps weights of its components and of "
                     "the variable's"};
    kf_operand F, v;
    const kf_node *more[2] = {NULL, NULL};
    return read_linear(p, &c, &F, &v, 0, more) &&
           (kf_sum_lin_operator(p->g, F.node, v.node, more[0], more[1], &out->node) == KCL_OK ||
            kf_fault_graph(p, F.at));
}

/* ---- Factorisation ----------------------------------------------------------------------------------------------- */

/* Factorize(F,g), AutoFactorize(F): F, since whatever a formula has twice is one node already. */
bool kf_read_factorize(kf_parser *p, const kf_word *name, kf_operand *out)
{
    const bool by_hand = kf_is_word(name, "Factorize");
    kf_call c = {.name = *name, .formulas = by_hand ? 2 : 1, .most = by_hand ? 2 : 1};
    kf_operand F, part;
    if (!kf_open_call(p, &c) || !read_formula(p, &c, 0, &F) || (by_hand && !read_formula(p, &c, 1, &part)))
        return false;
    out->node = F.node;
    return kf_close_call(p, &c);
}
