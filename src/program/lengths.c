/* SPDX-License-Identifier: MIT */
/* program/lengths.c: whether operands agree in length. */
#include "compile.h"

/* The slots that tell how long the axes i and j of a node are; NULL: the node lacks the axis, or nothing tells. */
typedef struct lengths {
    const kg_slot *of[2];
} lengths;

static bool join_length(kg_compiler *c, const kg_slot **known, const kg_slot *from, char axis)
{
    if (!*known)
        *known = from;
    if (!from || (*known)->extent == from->extent)
        return true;
    if (from->rows < 0)
        kb_fail(c->err, KCL_ERROR_LENGTH, "%s and %s are on different axes, but both on axis %c of a formula",
                (*known)->name, from->name, axis);
    else
        kb_fail(c->err, KCL_ERROR_LENGTH,
                "%s has %lld rows, %s has %lld: both are on axis %c of a formula and must agree", (*known)->name,
                (long long)(*known)->rows, from->name, (long long)from->rows, axis);
    return false;
}

static bool find_length(kg_compiler *c, const kf_order *order, lengths *all, size_t k)
{
    const kf_node *f = order->nodes[k];
    for (int axis = 0; axis < 2; axis++) {
        const unsigned bit = axis ? KF_AXIS_J : KF_AXIS_I;
        const kg_slot *length = NULL;
        if (f->op == KF_VAR && f->axes & bit && c->slots[f->param[0]].extent)
            length = &c->slots[f->param[0]];
        for (int n = 0; n < f->arg_count; n++)
            if (!join_length(c, &length, all[kf_at(order, f->arg[n])].of[axis], axis ? 'j' : 'i'))
                return false;
        all[k].of[axis] = f->axes & bit ? length : NULL;
    }
    return true;
}

bool kg_check_lengths(kg_compiler *c)
{
    kf_order order;
    if (kf_order_init(&order, c->g, c->program->root_count, c->roots, false, c->err) < 0)
        return false;
    lengths *all = kb_calloc(c->a, order.count + 1, sizeof *all);
    bool ok = all || kg_out_of_memory(c);
    for (size_t k = 0; ok && k < order.count; k++)
        ok = find_length(c, &order, all, k);
    kb_free(c->a, all);
    kf_order_finish(&order);
    return ok;
}
