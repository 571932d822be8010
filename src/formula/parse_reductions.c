/* SPDX-License-Identifier: MIT */
/* formula/parse_reductions.c: reductions in formula strings. */
#include "make.h"
#include "parse.h"
#include "partial.h"
#include "reductions.h"

#include <math.h>

/* Reductions by their names in texts. */
static const struct reduction_name {
    const char *name;
    kf_reduction first, second; /* the same for one result */
} reduction_names[] = {
#define KF_REDUCTION(id, name, formulas, ...) {(formulas) ? name "_Reduction" : "", KF_REDUCE_##id, KF_REDUCE_##id},
#define KF_REDUCTION_PAIR(name, values, indices) {name "_Reduction", KF_REDUCE_##values, KF_REDUCE_##indices},
#include "reductions.def"
};

static kf_reader read_sum_shift_exp, read_zero, read_identity;

/* Reductions that are formulas of other reductions. */
static const kf_special composed[] = {
    {"Max_SumShiftExp_Reduction", read_sum_shift_exp},
    {"Max_SumShiftExpWeight_Reduction", read_sum_shift_exp},
    {"Zero_Reduction", read_zero},
    {"Identity_Reduction", read_identity},
};

void kf_each_reduction(void (*visit)(void *user, const char *name), void *user)
{
    for (size_t k = 0; k < KB_COUNT(reduction_names); k++)
        if (reduction_names[k].name[0])
            visit(user, reduction_names[k].name);
    for (size_t k = 0; k < KB_COUNT(composed); k++)
        visit(user, composed[k].name);
}

const kf_node *kf_on_declared_axes(kf_parser *p, const kf_node *f, const kf_node *weight, unsigned axes)
{
    for (size_t k = 0; f && k < p->binding_count; k++) {
        const kf_node *var = p->bindings[k].value;
        const unsigned there = f->axes | (weight ? weight->axes : 0u), sized = f->sized | (weight ? weight->sized : 0u);
        const unsigned wanted = (axes & ~there) | (there & ~sized);
        if (var->op == KF_VAR && var->axes & wanted)
            f = kf_like_on(p->g, f, var, wanted);
    }
    return f;
}

static bool take_tag(kf_parser *p, size_t at, int64_t tag, kf_operand *out)
{
    if (tag < 0 || tag > 2)
        return kf_fault(p, KCL_ERROR_SYNTAX, at,
                        "tag %lld of a reduction is not 0 (a row per i), 1 (a row per j) or 2 "
                        "(a single row)",
                        (long long)tag);
    out->tag = (int)tag;
    return true;
}

/* Reads argument k, the tag. */
static bool read_tag(kf_parser *p, const kf_call *c, int k, kf_operand *out)
{
    int64_t tag = 0;
    if (!kf_next_argument(p, c, k))
        return false;
    const size_t at = p->at;
    return kf_read_whole(p, "the reduction's tag (0, 1 or 2)", &tag) && take_tag(p, at, tag, out);
}

/*
 * Takes the weight and the tag, in this order or in KeOps' order. Formulas 1 and 2 become the weight and another
 * formula.
 */
static bool take_weight(kf_parser *p, const kf_call *c, kf_operand *out)
{
    kf_operand *weight = kf_argument(p, c, 1), tag = *kf_argument(p, c, 2);
    if (!tag.is_whole) {
        const kf_operand other = *weight;
        *weight = tag;
        tag = other;
    }
    if (!tag.is_whole)
        return kf_fault(p, KCL_ERROR_SYNTAX, tag.at, "the reduction's tag (0, 1 or 2) is expected");
    return kf_need_formula(p, weight) && take_tag(p, tag.at, tag.whole, out);
}

/*
 * m, the largest F, and the sum of exp(F - m) G: Max_SumShiftExp(F,tag), (F,tag,G), (F,G,tag). If F and m are infinite
 * the exponential is 1, although their difference is NaN. If F is -infinity the term is 0, whatever m and G are.
 */
static const kf_node *sum_shift_exp(kf_graph *g, unsigned axes, const kf_node *F, const kf_node *G)
{
    const kf_node *m = kf_reduce(g, KF_REDUCE_MAX, axes, 0, F);
    const kf_node *infinite = kf_binary(g, KF_EQUAL, m, kf_num(g, INFINITY));
    const kf_node *choice[] = {kf_binary(g, KF_AND, infinite, kf_binary(g, KF_EQUAL, F, m)), kf_rat(g, 1, 1),
                               kf_share(g, F, m)};
    /* The choice by the share itself has no effect on the value if G is finite: it is there for the derivatives. */
    const kf_node *share = kf_make(g, KF_WHERE, choice, NULL);
    const kf_node *weighted[] = {share, G ? kf_binary(g, KF_MULT, share, G) : share, kf_zero(g, 1)};
    const kf_node *terms = kf_make(g, KF_WHERE, weighted, NULL);
    /*
     * If all F are -infinity, m becomes a number that depends on no F: Floor changes no infinity and has derivative 0.
     */
    const kf_node *largest[] = {kf_has_weight(g, m), m, kf_unary(g, KF_FLOOR, m)};
    return kf_binary(g, KF_CONCAT, kf_make(g, KF_WHERE, largest, NULL), kf_reduce(g, KF_REDUCE_SUM, axes, 0, terms));
}

/* Reads the formula, the weight and the tag of a reduction: KF_WANTS_FORMULA while a formula is still to come. */
static kf_step read_weighted(kf_parser *p, kf_call *c, kf_operand *out)
{
    if (c->count == 1 && !kf_need_formula(p, kf_argument(p, c, 0)))
        return KF_FAILED;
    if (c->count < 3)
        return kf_want_formula(p, c, c->count);
    return take_weight(p, c, out) && kf_close_call(p, c) ? KF_DONE : KF_FAILED;
}

/* The same for a reduction without a weight, with `params` whole numbers between the formula and the tag. */
static kf_step read_unweighted(kf_parser *p, kf_call *c, int params, int64_t *param, kf_operand *out)
{
    if (c->count == 0)
        return kf_want_formula(p, c, 0);
    const bool ok = kf_need_formula(p, kf_argument(p, c, 0)) &&
                    (!params || (kf_next_argument(p, c, 1) &&
                                 kf_read_whole(p, "the reduction's parameter (a whole number)", param))) &&
                    read_tag(p, c, params + 1, out) && kf_close_call(p, c);
    return ok ? KF_DONE : KF_FAILED;
}

static kf_step read_sum_shift_exp(kf_parser *p, kf_call *c, kf_operand *out)
{
    if (c->count == 0) {
        c->wholes = 1;
        c->most = 3;
        c->needs = "a formula F, a tag, and perhaps a weight";
        if (!kf_open_call(p, c))
            return KF_FAILED;
    }
    const bool weighted = kf_count_arguments(p, c->open) == 3;
    const kf_step step = weighted ? read_weighted(p, c, out) : read_unweighted(p, c, 0, NULL, out);
    if (step != KF_DONE)
        return step;
    const kf_operand *F = kf_argument(p, c, 0);
    const kf_node *weight = weighted ? kf_argument(p, c, 1)->node : NULL;
    if (F->node->dim != 1)
        return kf_fault(p, KCL_ERROR_SHAPE, F->at, "%.*s: the exponent has dimension %d, it must be 1",
                        KF_SHOWN(&c->name), F->node->dim),
               KF_FAILED;
    const unsigned axes = kf_axes_of_tag(out->tag);
    const kf_node *terms = kf_on_declared_axes(p, F->node, weight, axes);
    if (terms && weight) /* the largest F is a function of F alone */
        terms = kf_like_on(p->g, terms, weight, terms->axes & ~(unsigned)terms->sized);
    out->node = terms ? sum_shift_exp(p->g, axes, terms, weight) : NULL;
    return out->node || kf_fault_name(p, &c->name) ? KF_DONE : KF_FAILED;
}

/* Zero_Reduction(dimension,tag): zeros for every row */
static kf_step read_zero(kf_parser *p, kf_call *c, kf_operand *out)
{
    int64_t dim;
    c->wholes = c->most = 2;
    if (!kf_open_call(p, c) || !kf_next_argument(p, c, 0) || !kf_read_whole(p, "a dimension (a whole number)", &dim) ||
        !read_tag(p, c, 1, out) || !kf_close_call(p, c))
        return KF_FAILED;
    out->node = kf_zero(p->g, dim);
    return out->node || kf_fault_name(p, &c->name) ? KF_DONE : KF_FAILED;
}

/*
 * Identity_Reduction(F,tag), of a formula or a reduction without the axes of the tag: F as it is, with the rows of the
 * tag. Derivatives are written so, since a sum would have a term for each j of the call.
 */
static kf_step read_identity(kf_parser *p, kf_call *c, kf_operand *out)
{
    static const char *const axis_names[] = {"", "i", "j", "i and j"};
    if (c->count == 0) {
        c->formulas = c->wholes = 1;
        c->most = 2;
        return kf_open_call(p, c) ? kf_want_formula(p, c, 0) : KF_FAILED;
    }
    const kf_operand *F = kf_argument(p, c, 0);
    if (!read_tag(p, c, 1, out) || !kf_close_call(p, c))
        return KF_FAILED;
    if (F->second)
        return kf_fault(p, KCL_ERROR_SYNTAX, F->at, "%.*s is of one result: values and indices are two",
                        KF_SHOWN(&c->name)),
               KF_FAILED;
    const unsigned reduced = F->node->axes & kf_axes_of_tag(out->tag);
    if (reduced)
        return kf_fault(p, KCL_ERROR_SHAPE, F->at,
                        "%.*s reduces nothing: with tag %d its formula must not depend on %s", KF_SHOWN(&c->name),
                        out->tag, axis_names[reduced]),
               KF_FAILED;
    out->node = F->node;
    return KF_DONE;
}

/* The row of the name in reduction_names; -1 after an error. */
static int find_reduction(kf_parser *p, const kf_word *name)
{
    for (size_t k = 0; k < KB_COUNT(reduction_names); k++)
        if (kf_is_word(name, reduction_names[k].name))
            return (int)k;
    kf_unknown_name(p, name);
    return -1;
}

kf_step kf_read_reduction(kf_parser *p, kf_call *c, kf_operand *out)
{
    if (c->count == 0) {
        for (size_t k = 0; k < KB_COUNT(composed); k++)
            if (kf_is_word(&c->name, composed[k].name))
                return (c->read = composed[k].read)(p, c, out);
        c->entry = find_reduction(p, &c->name);
        if (c->entry < 0 || !kf_open_call(p, c))
            return KF_FAILED;
    }
    kf_reduction first = reduction_names[c->entry].first, second = reduction_names[c->entry].second;
    if (first == KF_REDUCE_LOGSUMEXP && kf_count_arguments(p, c->open) == 3)
        first = second = KF_REDUCE_LOGSUMEXPWEIGHT;
    const kf_reduction_info *info = kf_reduction_get(first);
    const bool weighted = info->formulas == 2;
    int64_t param = 0;
    c->formulas = info->formulas;
    c->wholes = info->params + 1;
    c->most = info->formulas + info->params + 1;
    const kf_step step = weighted ? read_weighted(p, c, out) : read_unweighted(p, c, info->params, &param, out);
    if (step != KF_DONE)
        return step;
    const unsigned axes = kf_axes_of_tag(out->tag);
    const kf_node *weight = weighted ? kf_argument(p, c, 1)->node : NULL;
    const kf_node *terms = kf_on_declared_axes(p, kf_argument(p, c, 0)->node, weight, axes);
    if (weighted)
        terms = kf_weighted(p->g, first, terms, weight);
    out->node = kf_reduce(p->g, first, axes, param, terms);
    if (second != first)
        out->second = kf_reduce(p->g, second, axes, param, terms);
    return (out->node && (second == first || out->second)) || kf_fault_name(p, &c->name) ? KF_DONE : KF_FAILED;
}
