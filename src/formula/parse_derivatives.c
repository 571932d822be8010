/* SPDX-License-Identifier: MIT */
/* formula/parse_derivatives.c: derivatives in formula strings. */
#include "calculus.h"
#include "derive.h"
#include "make.h"
#include "order.h"
#include "parse.h"
#include "partial.h"
#include "simplify.h"

#include <string.h>

/* The variable that stands for the cotangent of F in a text without a cotangent. */
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

/* Reports what the graph has refused, with the name that the text has. */
static bool fault_at(kf_parser *p, const kf_call *c, size_t at)
{
    kf_name_error(p->g, c->name.text, c->name.length);
    return kf_fault_graph(p, at);
}

/* Opens the call, then asks for F and the variable by which F is derived. Returns KF_DONE when both have been read. */
static kf_step read_two(kf_parser *p, kf_call *c)
{
    if (c->count == 0 && !kf_open_call(p, c))
        return KF_FAILED;
    if (c->count < 2)
        return kf_want_formula(p, c, c->count);
    const bool ok = c->count > 2 || check_derivative(p, c, kf_argument(p, c, 0), kf_argument(p, c, 1));
    return ok ? KF_DONE : KF_FAILED;
}

/* Names of KeOps with this ending take the value of F as well, which is not needed here. */
static const char saved_forward[] = "_WithSavedForward";

static bool has_saved_forward(const kf_word *name)
{
    const size_t n = sizeof saved_forward - 1;
    return name->length > n && memcmp(name->text + name->length - n, saved_forward, n) == 0;
}

static bool check_saved_forward(kf_parser *p, const kf_call *c, kf_operand *saved)
{
    const kf_operand *F = kf_argument(p, c, 0);
    if (!kf_need_formula(p, saved))
        return false;
    return saved->node->dim == F->node->dim ||
           kf_fault(p, KCL_ERROR_SHAPE, saved->at, "%.*s: the result has dimension %d, what was saved of it has %d",
                    KF_SHOWN(&c->name), F->node->dim, saved->node->dim);
}

/* The derivative of a reduction as texts have it: 0 is Zero_Reduction, whose tag tells its rows. */
static const kf_node *derived_reduction(kf_graph *g, const kf_node *f)
{
    return kf_is_zero(kf_value(f)) ? kf_zero(g, f->dim) : f;
}

/* Finds a reduction in F whose operand depends on v, or rows that an index chooses; NULL: there is none. */
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

/* Whether the derivative of formula F in v is a derivative for each pair (i, j), independent of other pairs. */
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

static bool derive_in_reverse(kf_parser *p, const kf_call *c, const kf_operand *F, const kf_operand *v,
                              const kf_operand *e, kf_operand *out)
{
    if (F->tag == KF_NO_REDUCTION)
        return of_pairs(p, F, v) &&
               (kf_vjp(p->g, F->node, e->node, 1, &v->node, &out->node) == KCL_OK || fault_at(p, c, e->at));
    unsigned reduced = kf_axes_of_tag(F->tag);
    if (e->node->axes & reduced)
        return kf_fault(p, KCL_ERROR_SHAPE, e->at, "the cotangent depends on %s, over which the result is reduced",
                        e->node->axes & reduced & KF_AXIS_I ? "i" : "j");
    /* A result without i has the same row for every i, and the gradient is the sum over the cotangents of the rows. */
    const kf_node *rows = kf_like(p->g, F->node, e->node);
    if (!rows || kf_gradient(p->g, rows, e->node, 1, &v->node, &out->node) < 0)
        return fault_at(p, c, e->at);
    out->node = derived_reduction(p->g, out->node);
    out->tag = v->node->param[2] == KF_ROLE_I ? 0 : v->node->param[2] == KF_ROLE_J ? 1 : 2;
    return out->node || fault_at(p, c, e->at);
}

/* Grad(F,v), Grad(F,v,e), Grad_WithSavedForward(F,v,e,R) */
kf_step kf_read_grad(kf_parser *p, kf_call *c, kf_operand *out)
{
    const bool saved = has_saved_forward(&c->name);
    c->most = saved ? 4 : 3;
    c->needs = saved ? "a formula or reduction F, a variable v, a cotangent e and the value of F"
                     : "a formula or reduction F, a variable v, and perhaps a cotangent e";
    const kf_step step = read_two(p, c);
    if (step != KF_DONE)
        return step;
    if (c->count < c->most && (saved || kf_has_more(p)))
        return kf_want_formula(p, c, c->count);
    const kf_operand F = *kf_argument(p, c, 0), v = *kf_argument(p, c, 1);
    kf_operand e = {.node = NULL};
    if (c->count > 2 ? !kf_need_formula(p, kf_argument(p, c, 2)) : !new_cotangent(p, c, &F, v.node, &e))
        return KF_FAILED;
    if (c->count > 2)
        e = *kf_argument(p, c, 2);
    if (saved && !check_saved_forward(p, c, kf_argument(p, c, 3)))
        return KF_FAILED;
    return kf_close_call(p, c) && derive_in_reverse(p, c, &F, &v, &e, out) ? KF_DONE : KF_FAILED;
}

enum { MOST_VARIABLES = 16 };

/* Goes to argument k of Diff: one formula, or several as (f,g,...). */
static kf_step begin_tuple(kf_parser *p, kf_call *c, int k)
{
    if (!kf_next_argument(p, c, k))
        return KF_FAILED;
    c->close = kf_tuple_close(p);
    const int count = c->close ? kf_count_arguments(p, p->at) : 1;
    if (count > MOST_VARIABLES)
        return kf_fault(p, KCL_ERROR_SYNTAX, p->at, "there are %d formulas, more than %d", count, MOST_VARIABLES),
               KF_FAILED;
    p->at += c->close != 0;
    return KF_WANTS_FORMULA;
}

/* Behind a formula of the tuple: goes to the next formula, or returns KF_DONE behind the bracket of the tuple. */
static kf_step continue_tuple(kf_parser *p, kf_call *c)
{
    if (!kf_need_formula(p, kf_argument(p, c, c->count - 1)))
        return KF_FAILED;
    if (c->close) {
        kf_skip_last_comma(p, c->close);
        if (kf_peek(p) == ',')
            return p->at++, KF_WANTS_FORMULA;
        if (kf_peek(p) != c->close)
            return kf_expected(p, c->close == ')' ? "an operator or ')'" : "an operator or ']'"), KF_FAILED;
        p->at++;
        c->close = 0;
    }
    c->tuples++;
    return KF_DONE;
}

/* The sum of the derivatives by each variable in its direction. */
static bool derive_along(kf_parser *p, const kf_call *c, const kf_operand *F, const kf_operand *v, const kf_operand *u,
                         int count, kf_operand *out)
{
    const kf_node *sum = NULL;
    for (int k = 0; k < count; k++) {
        const kf_node *var = v[k].node, *direction = u[k].node, *term = NULL;
        const kcl_status status = F->tag == KF_NO_REDUCTION ? kf_diff(p->g, F->node, var, direction, &term)
                                                            : kf_jvp(p->g, F->node, 1, &var, &direction, &term);
        if (status == KCL_OK && (!sum || kf_is_zero(kf_value(sum))))
            sum = term;
        else if (status == KCL_OK && !kf_is_zero(kf_value(term)))
            sum = kf_binary(p->g, KF_ADD, sum, term);
        if (status < 0 || !sum)
            return fault_at(p, c, u[k].at);
    }
    if (count > 1 && kf_simplify(p->g, 1, &sum, &sum) < 0)
        return fault_at(p, c, out->at);
    out->tag = F->tag;
    out->node = F->tag == KF_NO_REDUCTION ? sum : derived_reduction(p->g, sum);
    return out->node || fault_at(p, c, out->at);
}

/*
 * Diff(F,v,u), Diff_WithSavedForward(F,v,u,R); (v1,v2,...) and (u1,u2,...) for several variables. The formulas are F,
 * the variables, the directions, R.
 */
kf_step kf_read_diff(kf_parser *p, kf_call *c, kf_operand *out)
{
    const bool saved = has_saved_forward(&c->name);
    c->most = saved ? 4 : 3;
    c->needs = saved ? "a formula or reduction F, a variable v, a direction u and the value of F"
                     : "a formula or reduction F, a variable v and a direction u";
    if (c->count == 0)
        return kf_open_call(p, c) ? kf_want_formula(p, c, 0) : KF_FAILED;
    if (c->count == 1)
        return begin_tuple(p, c, 1);
    if (c->tuples < 2) {
        const kf_step step = continue_tuple(p, c);
        if (step != KF_DONE)
            return step;
        if (c->tuples == 1) {
            for (int k = 1; k < c->count; k++)
                if (!check_derivative(p, c, kf_argument(p, c, 0), kf_argument(p, c, k)))
                    return KF_FAILED;
            c->directions = c->count;
            return begin_tuple(p, c, 2);
        }
        const int given = c->count - c->directions;
        if (given != c->directions - 1)
            return kf_fault(p, KCL_ERROR_SYNTAX, kf_argument(p, c, c->directions)->at,
                            "%.*s: %d variables need as many directions, %d given", KF_SHOWN(&c->name),
                            c->directions - 1, given),
                   KF_FAILED;
        if (saved)
            return kf_want_formula(p, c, 3);
    }
    const int count = c->directions - 1;
    const kf_operand *F = kf_argument(p, c, 0);
    return (!saved || check_saved_forward(p, c, kf_argument(p, c, c->count - 1))) && kf_close_call(p, c) &&
                   derive_along(p, c, F, F + 1, F + c->directions, count, out)
               ? KF_DONE
               : KF_FAILED;
}

/* Functions of the matrix dF/dv, for each pair (i, j). */
static kf_step read_operator_of(kf_parser *p, kf_call *c, kf_operand *out,
                                kcl_status (*of)(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out))
{
    c->most = 2;
    c->needs = "a formula F and a variable v";
    const kf_step step = read_two(p, c);
    if (step != KF_DONE)
        return step;
    kf_operand *F = kf_argument(p, c, 0);
    if (!kf_close_call(p, c) || !kf_need_formula(p, F))
        return KF_FAILED;
    return of(p->g, F->node, kf_argument(p, c, 1)->node, &out->node) == KCL_OK || fault_at(p, c, F->at) ? KF_DONE
                                                                                                        : KF_FAILED;
}

kf_step kf_read_grad_matrix(kf_parser *p, kf_call *c, kf_operand *out)
{
    return read_operator_of(p, c, out, kf_grad_matrix);
}

kf_step kf_read_divergence(kf_parser *p, kf_call *c, kf_operand *out)
{
    return read_operator_of(p, c, out, kf_divergence);
}

kf_step kf_read_laplacian(kf_parser *p, kf_call *c, kf_operand *out)
{
    return read_operator_of(p, c, out, kf_laplacian);
}

/* ---- Linear operators -------------------------------------------------------------------------------------------- */

/*
 * Reads F, v, and `least` further formulas or more, as many as the name takes. The further formulas become *more; what
 * is not given stays NULL.
 */
static kf_step read_linear(kf_parser *p, kf_call *c, int least, const kf_node *more[2])
{
    const kf_step step = read_two(p, c);
    if (step != KF_DONE)
        return step;
    if (!kf_need_formula(p, kf_argument(p, c, c->count == 2 ? 0 : c->count - 1)))
        return KF_FAILED;
    if (c->count - 2 < least || (c->count < c->most && kf_has_more(p)))
        return kf_want_formula(p, c, c->count);
    for (int k = 2; k < c->count; k++)
        more[k - 2] = kf_argument(p, c, k)->node;
    return kf_close_call(p, c) ? KF_DONE : KF_FAILED;
}

kf_step kf_read_trace_operator(kf_parser *p, kf_call *c, kf_operand *out)
{
    const kf_node *more[2] = {NULL, NULL};
    c->most = 3;
    c->needs = "a formula F, a variable v in which it is linear, and perhaps weights";
    const kf_step step = read_linear(p, c, 0, more);
    if (step != KF_DONE)
        return step;
    const kf_operand *F = kf_argument(p, c, 0), *v = kf_argument(p, c, 1);
    return kf_trace_operator(p->g, F->node, v->node, more[0], &out->node) == KCL_OK || fault_at(p, c, F->at)
               ? KF_DONE
               : KF_FAILED;
}

kf_step kf_read_adjoint_operator(kf_parser *p, kf_call *c, kf_operand *out)
{
    const kf_node *more[2] = {NULL, NULL};
    c->most = 3;
    c->needs = "a formula F, a variable v in which it is linear, and its operand";
    const kf_step step = read_linear(p, c, 1, more);
    if (step != KF_DONE)
        return step;
    const kf_operand *F = kf_argument(p, c, 0), *v = kf_argument(p, c, 1);
    return (kf_check_linear(p->g, "AdjointOperator", F->node, v->node, KF_THROUGH_NONE) == KCL_OK &&
            kf_vjp(p->g, F->node, more[0], 1, &v->node, &out->node) == KCL_OK) ||
                   fault_at(p, c, F->at)
               ? KF_DONE
               : KF_FAILED;
}

kf_step kf_read_sum_lin_operator(kf_parser *p, kf_call *c, kf_operand *out)
{
    const kf_node *more[2] = {NULL, NULL};
    c->most = 4;
    c->needs = "a formula F, a variable v in which it is linear, and perhaps weights of its components and of the "
               "variable's";
    const kf_step step = read_linear(p, c, 0, more);
    if (step != KF_DONE)
        return step;
    const kf_operand *F = kf_argument(p, c, 0), *v = kf_argument(p, c, 1);
    return kf_sum_lin_operator(p->g, F->node, v->node, more[0], more[1], &out->node) == KCL_OK || fault_at(p, c, F->at)
               ? KF_DONE
               : KF_FAILED;
}

/* ---- Factorisation ----------------------------------------------------------------------------------------------- */

/* Factorize(F,g), AutoFactorize(F): F itself, since whatever a formula has twice is one node already. */
kf_step kf_read_factorize(kf_parser *p, kf_call *c, kf_operand *out)
{
    c->formulas = c->most = kf_is_word(&c->name, "Factorize") ? 2 : 1;
    if (c->count == 0 ? !kf_open_call(p, c) : !kf_need_formula(p, kf_argument(p, c, c->count - 1)))
        return KF_FAILED;
    if (c->count < c->formulas)
        return kf_want_formula(p, c, c->count);
    out->node = kf_argument(p, c, 0)->node;
    return kf_close_call(p, c) ? KF_DONE : KF_FAILED;
}
