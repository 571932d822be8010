/* SPDX-License-Identifier: MIT */
/* formula/simplify.c: rewriting by named rules: the table, and the pass. */
#include "passes.h"
#include "reductions.h"
#include "rules.h"

/* ---- The table --------------------------------------------------------------------------------------------------- */

const kf_rule kf_rules[] = {
    {"fold", KF_ADD, "1/3+1", "", kf_rule_fold},
    {"fold", KF_SUB, "1/3-1", "", kf_rule_fold},
    {"fold", KF_MULT, "2*0.75", "", kf_rule_fold},
    {"fold", KF_DIVIDE, "2/3", "", kf_rule_fold},
    {"fold", KF_MINUS, "Minus(2)", "", kf_rule_fold},
    {"fold", KF_INV, "Inv(3)", "", kf_rule_fold},
    {"fold", KF_SQUARE, "Square(3)", "", kf_rule_fold},
    {"index-sum", KF_ADD, "IndexI+2", "", kf_rule_index_linear},
    {"index-sum", KF_SUB, "IndexI-IndexJ", "", kf_rule_index_linear},
    {"index-sum", KF_MINUS, "Minus(IndexI)", "", kf_rule_index_linear},
    {"index-sum", KF_MULT, "3*IndexI", "", kf_rule_index_linear},
    {"index-compare", KF_EQUAL, "Equal(IndexI,IndexJ)", "", kf_rule_index_compare},
    {"index-compare", KF_NOT_EQUAL, "NotEqual(IndexI,IndexJ)", "", kf_rule_index_compare},
    {"index-compare", KF_LESS, "LessThan(IndexI,IndexJ+2)", "", kf_rule_index_compare},
    {"index-compare", KF_LESS_EQUAL, "LessOrEqual(IndexI,3)", "", kf_rule_index_compare},
    {"add-zero", KF_ADD, "x+Zero(1)", "", kf_rule_add_zero},
    {"add-repeated", KF_ADD, "SumT(s,3)+x", "", kf_rule_repeated_operand},
    {"add-like-terms", KF_ADD, "2*x+x", "", kf_rule_add_like_terms},
    {"add-minus", KF_ADD, "x+(-y)", "", kf_rule_add_minus},
    {"add-places", KF_ADD, "Place(x,1,0,3,2,6)+Place(y,1,1,3,2,6)", "", kf_rule_add_places},
    {"add-elems", KF_ADD, "ElemT(s,2,1)+ElemT(t,2,0)", "", kf_rule_add_places},
    {"sub-zero", KF_SUB, "Zero(1)-x", "", kf_rule_sub_zero},
    {"sub-repeated", KF_SUB, "x-SumT(s,3)", "", kf_rule_repeated_operand},
    {"sub-like-terms", KF_SUB, "-3*x-x", "", kf_rule_add_like_terms},
    {"sub-minus", KF_SUB, "x-(-y)", "", kf_rule_sub_minus},
    {"minus-zero", KF_MINUS, "-Zero(3)", "", kf_rule_minus_zero},
    {"minus-minus", KF_MINUS, "-(-x)", "", kf_rule_minus_minus},
    {"minus-difference", KF_MINUS, "-(x-y)", "", kf_rule_minus_difference},
    {"minus-scaled", KF_MINUS, "-(2*x)", "", kf_rule_minus_scaled},
    {"minus-repeated", KF_MINUS, "-SumT(s,3)", "", kf_rule_minus_repeated},
    {"mult-zero", KF_MULT, "Zero(1)*LessThan(x,y)", "", kf_rule_mult_zero},
    {"mult-one", KF_MULT, "1*x", "", kf_rule_mult_one},
    {"mult-repeated", KF_MULT, "SumT(s,3)*x", "", kf_rule_repeated_operand},
    {"mult-constant-first", KF_MULT, "x*2", "", kf_rule_mult_constant_first},
    {"mult-minus", KF_MULT, "(-x)*y", "", kf_rule_mult_minus},
    {"mult-constants", KF_MULT, "2*(3*x)", "", kf_rule_mult_constants},
    {"mult-self", KF_MULT, "x*x", "", kf_rule_mult_self},
    {"mult-inverse", KF_MULT, "x*Inv(y)", "", kf_rule_mult_inverse},
    {"mult-scalars-first", KF_MULT, "s*(t*x)", "", kf_rule_mult_scalars_first},
    {"divide-constant", KF_DIVIDE, "x/2", "", kf_rule_divide_constant},
    {"divide-one", KF_DIVIDE, "1/x", "", kf_rule_divide_one},
    {"divide-minus", KF_DIVIDE, "(-x)/y", "", kf_rule_divide_minus},
    {"square-zero", KF_SQUARE, "Square(Zero(3))", "", kf_rule_square_zero},
    {"square-minus", KF_SQUARE, "Square(-x)", "", kf_rule_even_minus},
    {"abs-minus", KF_ABS, "Abs(-x)", "", kf_rule_even_minus},
    {"pow-small", KF_POW, "Pow(x,1)", "", kf_rule_pow_small},
    {"sum-of-one", KF_SUM, "Sum(s)", "", kf_rule_sum_of_one},
    {"sum-of-zero", KF_SUM, "Sum(Zero(3))", "", kf_rule_sum_of_zero},
    {"sum-of-scaled", KF_SUM, "Sum(s*x)", "infinity instead of NaN where s is infinite", kf_rule_sum_of_scaled},
    {"sum-of-quotient", KF_SUM, "Sum(x/s)", "infinity instead of NaN where s is 0", kf_rule_sum_of_quotient},
    {"sum-of-copy", KF_SUM, "Sum(Concat(x,y))", "", kf_rule_sum_of_copy},
    {"copy-all", KF_SUMT, "SumT(s,1)", "", kf_rule_copy_all},
    {"copy-all", KF_ELEM, "Elem(s,0)", "", kf_rule_copy_all},
    {"copy-all", KF_ELEMT, "ElemT(s,1,0)", "", kf_rule_copy_all},
    {"copy-all", KF_EXTRACT, "Extract(x,0,3)", "", kf_rule_copy_all},
    {"copy-all", KF_EXTRACTT, "ExtractT(x,0,3)", "", kf_rule_copy_all},
    {"copy-zero", KF_SUMT, "SumT(Zero(1),3)", "", kf_rule_copy_zero},
    {"copy-zero", KF_ELEM, "Elem(Zero(3),1)", "", kf_rule_copy_zero},
    {"copy-zero", KF_ELEMT, "ElemT(Zero(1),3,1)", "", kf_rule_copy_zero},
    {"copy-zero", KF_EXTRACT, "Extract(Zero(3),1,2)", "", kf_rule_copy_zero},
    {"copy-zero", KF_EXTRACTT, "ExtractT(Zero(2),1,3)", "", kf_rule_copy_zero},
    {"copy-all", KF_ARRANGE, "Arrange(x,1,0,3,1)", "", kf_rule_copy_all},
    {"copy-all", KF_PLACE, "Place(x,1,0,3,1,3)", "", kf_rule_copy_all},
    {"copy-zero", KF_ARRANGE, "Arrange(Zero(3),1,2,3,-1)", "", kf_rule_copy_zero},
    {"copy-zero", KF_PLACE, "Place(Zero(3),1,0,3,2,6)", "", kf_rule_copy_zero},
    {"sum-rows-all", KF_SUMROWS, "SumRows(x,3)", "", kf_rule_sum_rows_all},
    {"sum-rows-of-zero", KF_SUMROWS, "SumRows(Zero(6),2)", "", kf_rule_sum_rows_of_zero},
    {"copy-zero", KF_CONCAT, "Concat(Zero(2),Zero(1))", "", kf_rule_copy_zero},
    {"extract-one", KF_EXTRACT, "Extract(x,1,1)", "", kf_rule_extract_one},
    {"elem-of-copy", KF_ELEM, "Elem(Concat(x,y),4)", "", kf_rule_extract_of_copy},
    {"arrange-of-copy", KF_ARRANGE, "Arrange(Concat(x,y),2,3,2,0,3,1)", "", kf_rule_arrange_of_copy},
    {"extract-of-arrange", KF_EXTRACT, "Extract(Arrange(Concat(x,y),2,0,2,3,3,1),3,3)", "", kf_rule_arrange_of_copy},
    {"extract-of-copy", KF_EXTRACT, "Extract(Concat(x,y),3,2)", "", kf_rule_extract_of_copy},
};

const size_t kf_rule_count = KB_COUNT(kf_rules);

/*
 * Applies rules until none does. Every rule makes the formula smaller or moves constants, signs and numbers to the
 * left.
 */
const kf_node *kf_simplified(kf_graph *g, const kf_node *f)
{
    for (size_t k = 0; f && k < kf_rule_count; k++) {
        if (kf_rules[k].op != (kf_op)f->op)
            continue;
        const kf_node *simpler = kf_rules[k].apply(g, f);
        /* 1*n of an integer n is a real number: the product, which converts n, must stay. */
        if (simpler && simpler->kind != f->kind)
            continue;
        /* Rules build their results through rewrite, so a changed node is simplified already. */
        if (simpler != f)
            return simpler ? kf_simplified(g, simpler) : NULL;
    }
    return f;
}

const kf_node *kf_or_zero(kf_graph *g, const kf_node *f)
{
    if (!f || kf_info((kf_op)f->op)->op_class == KF_CLASS_LEAF)
        return f;
    switch ((kf_op)f->op) {
    case KF_ADD:
    case KF_SUB:
    case KF_MINUS:
    case KF_SQUARE:
    case KF_SUM:
    case KF_SUMROWS:
        break;
    case KF_ELEM:
    case KF_EXTRACT:
    case KF_ARRANGE: { /* of zeros that stand beside other components */
        const kf_node *simpler = kf_simplified(g, f);
        return simpler && kf_is_zero(simpler) ? simpler : f;
    }
    default:
        if (kf_info((kf_op)f->op)->op_class != KF_CLASS_COPY)
            return f;
    }
    for (int k = 0; k < f->arg_count; k++)
        if (!kf_is_zero(f->arg[k]))
            return f;
    return kf_zero(g, f->dim);
}

const kf_node *kf_product(kf_graph *g, const kf_node *f, const kf_node *h)
{
    if (f && h && (kf_is_zero(kf_value(f)) || kf_is_zero(kf_value(h))))
        return kf_zero(g, KB_MAX(f->dim, h->dim));
    return kf_binary(g, KF_MULT, f, h);
}

/* ---- The pass ---------------------------------------------------------------------------------------------------- */

/* Concat(F, G), the operand of a weighted reduction: the two stay apart even if the rules would join them. */
static bool is_weighting(const kf_node *f)
{
    return f->op == KF_CONCAT && f->arg[0]->dim == 1;
}

static const kf_node *simplify_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    (void)user;
    if (kf_info((kf_op)f->op)->op_class == KF_CLASS_LEAF)
        return f;
    if (f->op == KF_REDUCE) {
        if (kf_is_indexed(f))
            return kf_rebuild(g, f, (const kf_node *[]){kf_like(g, args[0], f->arg[0]), args[1], args[2]});
        /* The number of terms stays, even if the terms no longer differ. */
        const kf_node *terms = kf_like(g, args[0], f->arg[0]);
        if (terms && f->param[0] == KF_REDUCE_SUM && kf_is_zero(kf_value(terms)))
            return kf_like(g, kf_zero(g, f->dim), f);
        if (terms && kf_reduction_get((kf_reduction)f->param[0])->formulas == 2 && !is_weighting(terms))
            terms = kf_binary(g, KF_CONCAT, kf_simplified(g, kf_make(g, KF_ELEM, &terms, &(int64_t){0})),
                              kf_simplified(g, kf_make(g, KF_EXTRACT, &terms, (int64_t[]){1, terms->dim - 1})));
        return terms ? kf_rebuild(g, f, &terms) : NULL;
    }
    if (f->op == KF_LIKE)
        return kf_like(g, args[0], f->arg[1]);
    return kf_simplified(g, kf_rebuild(g, f, args));
}

kcl_status kf_simplify(kf_graph *g, size_t root_count, const kf_node *const *roots, const kf_node **out)
{
    const kf_node **made = kb_calloc(kf_allocator(g), root_count + 1, sizeof *made);
    kcl_status status =
        made ? kf_rewrite(g, g, root_count, roots, false, simplify_node, NULL, made) : kb_no_memory(&g->error);
    for (size_t k = 0; status == KCL_OK && k < root_count; k++) {
        out[k] = kf_like(g, made[k], roots[k]);
        if (!out[k])
            status = g->error.status;
    }
    kb_free(kf_allocator(g), made);
    return status;
}
