/* SPDX-License-Identifier: MIT */
/*
 * formula/guard.c: guards, which tell where cotangents count.
 *
 * An operand that a choice (IfElse, Where, Minimum, Maximum) does not take has no part in the result, and may be
 * infinite or NaN there. The same is true of terms that weigh exp(-infinity) in a reduction. Their cotangent is 0, but
 * a 0 that is multiplied by infinite derivatives on its way to the variables becomes NaN. So a cotangent is carried on
 * as if the operand were taken, together with its guard, a truth value that is 0 where the operand is not taken.
 * Outside of the guard the cotangent is set to 0 at the end, behind all products, by a Where. Derivatives of the Where
 * are taken in the same way, so derivatives of any order are guarded.
 */
#include "make.h"
#include "partial.h"

#include <math.h>

/* f as a truth value, 0 or 1. */
static const kf_node *truth(kf_graph *g, const kf_node *f)
{
    return kf_is_truth(f) ? f : kf_binary(g, KF_NOT_EQUAL, f, kf_zero(g, 1));
}

const kf_node *kf_condition(kf_graph *g, const kf_node *f, int k)
{
    const kf_node *a = f->arg[0], *b = f->arg[1], *first;
    if (kf_is_choice(f) && k == 0)
        return NULL;
    switch ((kf_op)f->op) {
    case KF_IFELSE:
        first = kf_binary(g, KF_LESS_EQUAL, kf_zero(g, 1), a);
        break;
    case KF_WHERE:
        first = truth(g, a);
        break;
    case KF_MINIMUM:
        return k ? kf_binary(g, KF_LESS, b, a) : kf_binary(g, KF_LESS_EQUAL, a, b);
    case KF_MAXIMUM:
        return k ? kf_binary(g, KF_LESS, a, b) : kf_binary(g, KF_LESS_EQUAL, b, a);
    default:
        return NULL;
    }
    return k == 1 ? first : kf_unary(g, KF_NOT, first);
}

const kf_node *kf_guard_and(kf_graph *g, const kf_node *a, const kf_node *b)
{
    return !a || a == b ? b : !b ? a : kf_binary(g, KF_AND, a, b);
}

static bool is_opposite(const kf_node *a, const kf_node *b)
{
    return (a->op == KF_NOT && a->arg[0] == b) || (b->op == KF_NOT && b->arg[0] == a);
}

/* True where a or b is true; NULL, true everywhere, if one of them is NULL. */
static const kf_node *either(kf_graph *g, const kf_node *a, const kf_node *b)
{
    if (!a || !b || is_opposite(a, b))
        return NULL;
    if (a->op == KF_AND && b->op == KF_AND && a->arg[0] == b->arg[0] && is_opposite(a->arg[1], b->arg[1]))
        return a->arg[0];
    return a == b ? a : kf_binary(g, KF_OR, a, b);
}

const kf_node *kf_guard_mask(kf_graph *g, const kf_guarded *c)
{
    const kf_node *when = c->where, *value = c->value;
    if (!value || !when || c->masked || kf_is_zero(kf_value(value)))
        return value;
    return kf_make(g, KF_WHERE, (const kf_node *[]){when, value, kf_zero(g, 1)}, NULL);
}

bool kf_guard_add(kf_graph *g, kf_guarded *sum, const kf_guarded *c)
{
    if (!c->value || kf_is_zero(kf_value(c->value)))
        return c->value != NULL;
    if (!sum->value) {
        *sum = *c;
        return true;
    }
    if (sum->where == c->where) {
        sum->value = kf_binary(g, KF_ADD, sum->value, c->value);
        sum->masked = sum->masked && c->masked;
        return sum->value != NULL;
    }
    sum->value = kf_binary(g, KF_ADD, kf_guard_mask(g, sum), kf_guard_mask(g, c));
    sum->where = either(g, sum->where, c->where);
    sum->masked = true;
    return sum->value != NULL && g->error.status == KCL_OK;
}

const kf_node *kf_share(kf_graph *g, const kf_node *F, const kf_node *L)
{
    const kf_node *masked = kf_binary(g, KF_EQUAL, L, kf_num(g, -INFINITY));
    const kf_node *args[] = {masked, kf_num(g, INFINITY), L};
    return kf_unary(g, KF_EXP, kf_binary(g, KF_SUB, F, kf_make(g, KF_WHERE, args, NULL)));
}

const kf_node *kf_has_weight(kf_graph *g, const kf_node *F)
{
    return kf_binary(g, KF_NOT_EQUAL, F, kf_num(g, -INFINITY));
}
