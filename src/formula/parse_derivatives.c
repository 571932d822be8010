/* SPDX-License-Identifier: MIT */
/* formula/parse_derivatives.c: derivatives in formula strings. */
#include "parse.h"

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

bool kf_read_grad(kf_parser *p, const kf_word *name, kf_operand *out)
{
    kf_call c = {
        .name = *name, .most = 3, .needs = "a formula or reduction F, a variable v, and perhaps a cotangent e"};
    kf_operand F, v, e;
    if (!kf_open_call(p, &c) || !kf_read_formula_argument(p, &c, 0, &F) || !kf_read_formula_argument(p, &c, 1, &v))
        return false;
    if (v.tag != KF_NO_REDUCTION || v.node->op != KF_VAR || v.node->param[2] == KF_ROLE_ACC)
        return kf_fault(p, KCL_ERROR_SYNTAX, v.at, "the second argument of Grad must be a variable");
    if (F.second)
        return kf_fault(p, KCL_ERROR_SYNTAX, F.at, "Grad differentiates one result: values and indices are two");
    if (kf_peek(p) == ')' ? !new_cotangent(p, &c, &F, v.node, &e)
                          : !kf_read_formula_argument(p, &c, 2, &e) || !kf_need_formula(p, &e))
        return false;
    if (F.tag == KF_NO_REDUCTION) {
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
    out->tag = v.node->param[2] == KF_ROLE_I ? 0 : v.node->param[2] == KF_ROLE_J ? 1 : 2;
    return kf_close_call(p, &c);
}
