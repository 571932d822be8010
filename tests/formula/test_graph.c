/* SPDX-License-Identifier: MIT */
/* The graph: interning, shapes and their errors, axes, copies, names, failing memory. */
#include "derive.h"
#include "failing.h"
#include "graph_support.h"
#include "layout.h"
#include "names.h"
#include "passes.h"
#include "simplify.h"

/* ---- Interning --------------------------------------------------------------------------------------------------- */

START_TEST(equal_formulas_are_one_node)
{
    const kf_node *d = kf_binary(&g, KF_SUB, x, y), *f = kf_unary(&g, KF_EXP, kf_unary(&g, KF_SUM, d));
    size_t count = g.count;
    ck_assert_ptr_eq(kf_binary(&g, KF_SUB, x, y), d);
    ck_assert_ptr_eq(kf_unary(&g, KF_EXP, kf_unary(&g, KF_SUM, kf_binary(&g, KF_SUB, x, y))), f);
    ck_assert_ptr_eq(kf_var(&g, 0, 3, KF_ROLE_I), x);
    ck_assert_uint_eq(g.count, count);
    ck_assert_ptr_eq(kf_rat(&g, 2, 4), kf_rat(&g, -1, -2));
    ck_assert_ptr_eq(kf_num(&g, 3), kf_rat(&g, 9, 3));
    ck_assert_ptr_eq(kf_num(&g, 0.1), kf_num(&g, 0.1));
    ck_assert_ptr_eq(kf_num(&g, -0.0), kf_zero(&g, 1));
    ck_assert_ptr_eq(kf_rat(&g, 0, 7), kf_zero(&g, 1));
}
END_TEST

START_TEST(unequal_formulas_are_not)
{
    const kf_node *f[] = {
        x,
        y,
        s,
        kf_var(&g, 0, 2, KF_ROLE_I),
        kf_var(&g, 0, 3, KF_ROLE_P),
        kf_var(&g, 0, 3, KF_ROLE_ACC),
        kf_binary(&g, KF_SUB, x, y),
        kf_binary(&g, KF_SUB, y, x),
        kf_binary(&g, KF_ADD, x, y),
        with(KF_POW, x, 3, 0),
        with(KF_POW, x, 4, 0),
        with(KF_EXTRACT, x, 0, 2),
        with(KF_EXTRACT, x, 1, 2),
        kf_rat(&g, 1, 3),
        kf_num(&g, 1.0 / 3),
        kf_num(&g, 0.1),
        kf_num(&g, 0.1000000000000001),
        kf_zero(&g, 2),
        kf_zero(&g, 3),
        kf_rat(&g, INT64_MAX, 1),
        kf_rat(&g, INT64_MAX - 1, 1),
        kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, kf_binary(&g, KF_SUB, x, y)),
        kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_binary(&g, KF_SUB, x, y)),
    };
    for (size_t a = 0; a < KB_COUNT(f); a++)
        for (size_t b = 0; b < a; b++) {
            ck_assert_ptr_ne(f[a], f[b]);
            ck_assert_msg(f[a]->hash != f[b]->hash, "formulas %zu and %zu have the same hash", a, b);
        }
}
END_TEST

START_TEST(the_hash_does_not_depend_on_the_order_of_construction)
{
    kf_graph other;
    kf_graph_init(&other, NULL);
    for (int k = 0; k < 1000; k++) /* other ids, another table */
        kf_var(&other, 1000 + k, 1, KF_ROLE_P);
    const kf_node *v = kf_var(&other, 1, 3, KF_ROLE_J), *u = kf_var(&other, 0, 3, KF_ROLE_I);
    const kf_node *a = kf_dot(&g, kf_unary(&g, KF_EXP, x), kf_binary(&g, KF_MULT, y, kf_num(&g, 0.3)));
    const kf_node *b = kf_dot(&other, kf_unary(&other, KF_EXP, u), kf_binary(&other, KF_MULT, v, kf_num(&other, 0.3)));
    ck_assert_uint_ne(a->id, b->id);
    ck_assert_uint_eq(a->hash, b->hash);
    kf_graph_finish(&other);
}
END_TEST

START_TEST(operands_have_smaller_ids_and_axes_are_the_union)
{
    const kf_node *f = kf_binary(&g, KF_ADD, kf_dot(&g, x, y), with(KF_ELEM, p, 1, 0));
    for (size_t k = 0; k < g.count; k++)
        for (int c = 0; c < g.nodes[k]->arg_count; c++)
            ck_assert_uint_lt(g.nodes[k]->arg[c]->id, g.nodes[k]->id);
    ck_assert_uint_eq(f->axes, KF_AXIS_I | KF_AXIS_J);
    ck_assert_uint_eq(x->axes, KF_AXIS_I);
    ck_assert_uint_eq(y->axes, KF_AXIS_J);
    ck_assert_uint_eq(p->axes, 0);
}
END_TEST

/* ---- Constants and powers ---------------------------------------------------------------------------------------- */

START_TEST(constants_keep_double_precision)
{
    ck_assert(kf_num(&g, 0.1)->value == 0.1);
    ck_assert(kf_num(&g, 1e300)->value == 1e300);
    ck_assert(kf_num(&g, 0x1p-1074)->value == 0x1p-1074);
    ck_assert(kf_rat(&g, 1, 3)->value == 1.0 / 3.0);
    ck_assert(kf_num(&g, 0x1p53 + 2)->value == 0x1p53 + 2);
    ck_assert_int_eq(kf_num(&g, 16777217)->param[0], 16777217); /* not a float */
    ck_assert(kf_rat(&g, INT64_MIN, 3)->value == (double)INT64_MIN / 3);
    ck_assert(kf_rat(&g, 3, INT64_MIN)->value == 3 / (double)INT64_MIN);
    ck_assert_int_eq(kf_rat(&g, 6, -4)->param[0], -3);
    ck_assert_int_eq(kf_rat(&g, 6, -4)->param[1], 2);
}
END_TEST

START_TEST(powers_choose_their_node)
{
    ck_assert_ptr_eq(kf_power(&g, x, 1), x);
    ck_assert_ptr_eq(kf_power(&g, x, 2), kf_unary(&g, KF_SQUARE, x));
    ck_assert_ptr_eq(kf_power(&g, x, 0.5), kf_unary(&g, KF_SQRT, x));
    ck_assert_ptr_eq(kf_power(&g, x, -0.5), kf_unary(&g, KF_RSQRT, x));
    ck_assert_ptr_eq(kf_power(&g, x, -3), with(KF_POW, x, -3, 0));
    ck_assert_ptr_eq(kf_power(&g, x, 0), with(KF_POW, x, 0, 0));
    ck_assert_ptr_eq(kf_power(&g, x, 1.5),
                     kf_binary(&g, KF_POWF, x, kf_rat(&g, 3, 2)->value == 1.5 ? kf_num(&g, 1.5) : NULL));
    ck_assert_int_eq(kf_power(&g, x, 1e20)->op, KF_POWF);
    ck_assert_ptr_null(kf_power(&g, x, NAN));
    ck_assert_int_eq(g.error.status, KCL_ERROR_SHAPE);
}
END_TEST

START_TEST(whole_powers)
{
    for (int n = -40; n <= 40; n++)
        ck_assert_double_eq_tol(kf_powi(1.25, n) / pow(1.25, n), 1, 1e-14);
    ck_assert(kf_powi(0, 0) == 1 && kf_powi(2, INT64_MIN) == 0 && kf_powi(-1, INT64_MIN) == 1);
    ck_assert(kf_powi(-1, INT64_MAX) == -1 && isinf(kf_powi(2, INT64_MAX)));
}
END_TEST

/* ---- Shapes ------------------------------------------------------------------------------------------------------ */

static const kf_node *pair(kf_op op)
{
    return kf_binary(&g, op, x, p);
}

#define WRONG(name, formula)                                                                                           \
    static const kf_node *name(void)                                                                                   \
    {                                                                                                                  \
        return formula;                                                                                                \
    }
WRONG(add_3_2, pair(KF_ADD))
WRONG(sub_3_2, pair(KF_SUB))
WRONG(mult_3_2, pair(KF_MULT))
WRONG(divide_3_2, pair(KF_DIVIDE))
WRONG(powf_3_2, pair(KF_POWF))
WRONG(dot_3_2, kf_dot(&g, x, p))
WRONG(sumt_vector, with(KF_SUMT, x, 4, 0))
WRONG(sumt_zero, with(KF_SUMT, s, 0, 0))
WRONG(sumt_large, with(KF_SUMT, s, KF_MAX_DIM + 1, 0))
WRONG(elem_high, with(KF_ELEM, x, 3, 0))
WRONG(elem_low, with(KF_ELEM, x, -1, 0))
WRONG(elemt_vector, with(KF_ELEMT, p, 4, 1))
WRONG(elemt_high, with(KF_ELEMT, s, 4, 4))
WRONG(elemt_least, with(KF_ELEMT, s, INT64_MIN, 0))
WRONG(extract_long, with(KF_EXTRACT, x, 1, 3))
WRONG(extract_empty, with(KF_EXTRACT, x, 1, 0))
WRONG(extract_low, with(KF_EXTRACT, x, -1, 2))
WRONG(extract_far, with(KF_EXTRACT, x, INT64_MAX, INT64_MAX))
WRONG(extract_least, with(KF_EXTRACT, x, 0, INT64_MIN))
WRONG(extractt_short, with(KF_EXTRACTT, x, 0, 2))
WRONG(extractt_far, with(KF_EXTRACTT, x, 2, 4))
WRONG(extractt_low, with(KF_EXTRACTT, x, -1, 4))
WRONG(extractt_least, with(KF_EXTRACTT, x, 0, INT64_MIN))
WRONG(concat_large, kf_binary(&g, KF_CONCAT, kf_zero(&g, KF_MAX_DIM), x))
WRONG(zero_zero, kf_zero(&g, 0))
WRONG(zero_large, kf_zero(&g, (int64_t)KF_MAX_DIM + 1))
WRONG(var_dim, kf_var(&g, 0, 0, KF_ROLE_I))
WRONG(var_index, kf_var(&g, -1, 1, KF_ROLE_I))
WRONG(var_large, kf_var(&g, INT64_C(1) << 40, 1, KF_ROLE_I))
WRONG(var_role, kf_var(&g, 0, 1, (kf_role)7))
WRONG(rat_zero, kf_rat(&g, 1, 0))
WRONG(num_nan, kf_num(&g, NAN))
WRONG(weighted_vector, kf_weighted(&g, KF_REDUCE_LOGSUMEXPWEIGHT, x, y))
WRONG(softmax_vector, kf_weighted(&g, KF_REDUCE_SUMSOFTMAXWEIGHT, x, y))
WRONG(kmin_many, kf_reduce(&g, KF_REDUCE_ARGKMIN, KF_AXIS_J, KF_MAX_DIM, y))
WRONG(kmin_other_axis, kf_reduce(&g, KF_REDUCE_KMAX, KF_AXIS_J, 1, x))
WRONG(argmin_other_axis, kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_J, 0, x))
WRONG(argmin_no_axis, kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_I | KF_AXIS_J, 0, p))

static const struct {
    const kf_node *(*make)(void);
    const char *says[3];
} wrong[] = {
    {add_3_2, {"Add", "3", "2"}},
    {sub_3_2, {"Subtract", "3", "2"}},
    {mult_3_2, {"Mult", "3", "2"}},
    {divide_3_2, {"Divide", "3", "2"}},
    {powf_3_2, {"Powf", "3", "2"}},
    {dot_3_2, {"Scalprod", "3", "2"}},
    {sumt_vector, {"SumT", "dimension 3", "1"}},
    {sumt_zero, {"SumT", "dimension 0", "16777216"}},
    {sumt_large, {"SumT", "16777217", "16777216"}},
    {elem_high, {"Elem", "index 3", "0 and 2"}},
    {elem_low, {"Elem", "index -1", "0 and 2"}},
    {elemt_vector, {"ElemT", "dimension 2", "1"}},
    {elemt_high, {"ElemT", "index 4", "0 and 3"}},
    {elemt_least, {"ElemT", "dimension -9223372036854775808", "16777216"}},
    {extract_long, {"Extract", "3 components from 1", "dimension 3"}},
    {extract_empty, {"Extract", "length", "dimension 3"}},
    {extract_low, {"Extract", "from -1", "dimension 3"}},
    {extract_far, {"Extract", "9223372036854775807", "dimension 3"}},
    {extract_least, {"Extract", "length", "dimension 3"}},
    {extractt_short, {"ExtractT", "3 components", "dimension 2"}},
    {extractt_far, {"ExtractT", "from 2", "dimension 4"}},
    {extractt_low, {"ExtractT", "from -1", "dimension 4"}},
    {extractt_least, {"ExtractT", "3 components", "dimension -9223372036854775808"}},
    {concat_large, {"Concat", "16777219", "16777216"}},
    {zero_zero, {"Zero", "dimension 0", "16777216"}},
    {zero_large, {"Zero", "16777217", "16777216"}},
    {var_dim, {"Var", "dimension 0", "16777216"}},
    {var_index, {"Var", "index -1", "2147483647"}},
    {var_large, {"Var", "index 1099511627776", "2147483647"}},
    {var_role, {"Var", "role 7", "0 (i), 1 (j) or 2 (parameter)"}},
    {rat_zero, {"RatCst", "denominator is 0", ""}},
    {num_nan, {"constant", "NaN", ""}},
    {weighted_vector, {"LogSumExpWeight_Reduction", "dimension 3", "must be 1"}},
    {softmax_vector, {"SumSoftMaxWeight_Reduction", "dimension 3", "must be 1"}},
    {kmin_many, {"ArgKMin_Reduction", "K is 16777216", "16777216 components"}},
    {kmin_other_axis, {"KMax_Reduction over j", "depends on i,", "nothing to choose from"}},
    {argmin_other_axis, {"ArgMin_Reduction over j", "depends on i,", "nothing to choose from"}},
    {argmin_no_axis, {"ArgMin_Reduction over i and j", "neither i nor j", ""}},
};

START_TEST(wrong_shapes_are_refused_and_named)
{
    ck_assert_ptr_null(wrong[_i].make());
    ck_assert_int_eq(g.error.status, KCL_ERROR_SHAPE);
    for (int k = 0; k < 3; k++)
        ck_assert_msg(strstr(g.error.text, wrong[_i].says[k]) != NULL, "\"%s\" does not say \"%s\"", g.error.text,
                      wrong[_i].says[k]);
}
END_TEST

START_TEST(shapes_that_fit)
{
    ck_assert_int_eq(kf_binary(&g, KF_MULT, s, x)->dim, 3);
    ck_assert_int_eq(kf_binary(&g, KF_POWF, x, s)->dim, 3);
    ck_assert_int_eq(kf_binary(&g, KF_CONCAT, x, p)->dim, 5);
    ck_assert_int_eq(with(KF_EXTRACT, x, 1, 2)->dim, 2);
    ck_assert_int_eq(with(KF_EXTRACTT, x, 2, 5)->dim, 5);
    ck_assert_int_eq(with(KF_ELEMT, s, 4, 3)->dim, 4);
    ck_assert_int_eq(with(KF_ELEM, x, 2, 0)->dim, 1);
    ck_assert_int_eq(with(KF_SUMT, s, KF_MAX_DIM, 0)->dim, KF_MAX_DIM);
    ck_assert_int_eq(kf_unary(&g, KF_SUM, x)->dim, 1);
    ck_assert_int_eq(kf_dot(&g, x, y)->dim, 1);
    ck_assert_int_eq(kf_dot(&g, s, x)->dim, 1);
    ck_assert_ptr_eq(kf_dot(&g, x, s), kf_dot(&g, s, x));
    ck_assert_int_eq(g.error.status, KCL_OK);
}
END_TEST

START_TEST(the_first_error_is_kept_and_missing_operands_give_none)
{
    const kf_node *bad = kf_binary(&g, KF_ADD, x, p);
    char first[sizeof g.error.text];
    strcpy(first, g.error.text);
    const kf_node *nothing[] = {
        bad,
        kf_binary(&g, KF_ADD, bad, x),
        kf_binary(&g, KF_MULT, x, bad),
        kf_unary(&g, KF_EXP, bad),
        kf_power(&g, bad, 2),
        kf_power(&g, bad, 1),
        kf_power(&g, bad, 0.3),
        kf_dot(&g, bad, x),
        kf_dot(&g, x, bad),
        kf_like(&g, bad, x),
        kf_like(&g, x, bad),
        kf_transpose(&g, bad),
        kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, bad),
        with(KF_SUMT, bad, 3, 0),
        kf_rat(&g, 1, 0),
    };
    for (size_t k = 0; k < KB_COUNT(nothing); k++)
        ck_assert_msg(nothing[k] == NULL, "chain %zu", k);
    ck_assert_str_eq(g.error.text, first);
    ck_assert_int_eq(g.error.status, KCL_ERROR_SHAPE);
    kf_clear_error(&g);
    ck_assert_int_eq(g.error.status, KCL_OK);
    ck_assert_ptr_null(kf_unary(&g, KF_EXP, NULL));
    ck_assert_int_eq(g.error.status, KCL_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(g.error.text, "Exp: operand 1 is missing"));
    kf_clear_error(&g);
    ck_assert_ptr_null(kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, NULL));
    ck_assert_ptr_nonnull(strstr(g.error.text, "Sum_Reduction: the formula is missing"));
    ck_assert_ptr_eq(kf_binary(&g, KF_ADD, x, y), kf_binary(&g, KF_ADD, x, y)); /* good nodes still come */
}
END_TEST

/* ---- Axes -------------------------------------------------------------------------------------------------------- */

START_TEST(like_adds_axes_and_nothing_else)
{
    const kf_node *f = kf_like(&g, x, y);
    ck_assert_uint_eq(f->axes, KF_AXIS_I | KF_AXIS_J);
    ck_assert_int_eq(f->dim, x->dim);
    ck_assert_ptr_eq(kf_value(f), x);
    ck_assert_ptr_eq(kf_like(&g, x, s), x);
    ck_assert_ptr_eq(kf_like(&g, x, p), x);
    ck_assert_ptr_eq(kf_like(&g, f, y), f);
    const kf_node *both = kf_like(&g, p, kf_dot(&g, x, y));
    ck_assert_uint_eq(both->axes, KF_AXIS_I | KF_AXIS_J);
    ck_assert_ptr_eq(kf_value(both), p);
    ck_assert_ptr_eq(kf_value(x), x);
    /* Axes of a reduction, not the axes inside the reduction. */
    const kf_node *r = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_dot(&g, x, y));
    ck_assert_uint_eq(kf_like(&g, p, kf_unary(&g, KF_EXP, r))->axes, KF_AXIS_I);
}
END_TEST

START_TEST(reductions_remove_the_axes_that_are_there)
{
    const kf_node *f = kf_dot(&g, x, y);
    const kf_node *over_j = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, f);
    ck_assert_int_eq(over_j->op, KF_REDUCE);
    ck_assert_uint_eq(over_j->axes, KF_AXIS_I);
    ck_assert_uint_eq(kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, f)->axes, KF_AXIS_J);
    ck_assert_uint_eq(kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I | KF_AXIS_J, 0, f)->axes, 0);
    ck_assert_ptr_eq(kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, y), y);
    ck_assert_ptr_eq(kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I | KF_AXIS_J, 0, p), p);
    ck_assert_ptr_eq(kf_reduce(&g, KF_REDUCE_SUM, 0, 0, f), f);
    ck_assert_ptr_eq(kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I | KF_AXIS_J, 0, over_j),
                     kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, over_j));
    ck_assert_int_eq(kf_reduction_dim(KF_REDUCE_SUM, 7, 0), 7);
    ck_assert_str_eq(kf_reduction_get(KF_REDUCE_SUM)->name, "Sum");
}
END_TEST

START_TEST(reductions_have_a_shape_and_a_kind)
{
    const kf_node *product = kf_binary(&g, KF_MULT, x, y);
    const kf_node *index = kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_J, 0, product);
    ck_assert_int_eq(index->kind, KF_INT);
    ck_assert_int_eq(index->dim, 3);
    ck_assert_uint_eq(index->axes, KF_AXIS_I);
    ck_assert_int_eq(kf_reduce(&g, KF_REDUCE_LOGSUMEXP, KF_AXIS_J, 0, kf_dot(&g, x, y))->kind, KF_REAL);
    ck_assert(kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_dot(&g, x, y)) !=
              kf_reduce(&g, KF_REDUCE_LOGSUMEXP, KF_AXIS_J, 0, kf_dot(&g, x, y)));
    ck_assert_ptr_eq(kf_reduce(&g, KF_REDUCE_LOGSUMEXP, KF_AXIS_I, 0, kf_unary(&g, KF_SUM, y)),
                     kf_unary(&g, KF_SUM, y));
    /* Formulas of an index are real numbers; the same index on more axes is an index. */
    ck_assert_int_eq(kf_unary(&g, KF_MINUS, index)->kind, KF_REAL);
    ck_assert_int_eq(with(KF_ELEM, index, 1, 0)->kind, KF_REAL);
    ck_assert_int_eq(kf_like(&g, kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_J, 0, y), x)->kind, KF_INT);
    ck_assert_int_eq(kf_to_real(&g, index)->kind, KF_REAL);
    ck_assert_ptr_eq(kf_to_real(&g, x), x);
    /* What a sweep gives to its outputs. */
    const kf_node *whole = kf_acc(&g, 0, 3, KF_INT), *real = kf_acc(&g, 0, 3, KF_REAL);
    ck_assert(whole != real && whole->kind == KF_INT && whole->hash != real->hash);
    ck_assert_ptr_eq(real, kf_var(&g, 0, 3, KF_ROLE_ACC));
    kf_graph other;
    const kf_node *imported;
    kf_graph_init(&other, NULL);
    ck_assert_int_eq(kf_import(&other, &g, 1, &whole, &imported), KCL_OK);
    ck_assert_int_eq(imported->kind, KF_INT);
    kf_graph_finish(&other);
}
END_TEST

/* The number of a pair depends on which axis comes first: a node without axes is not turned. */
START_TEST(transposition_leaves_what_has_no_axes)
{
    const kf_node *nearest = kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_I | KF_AXIS_J, 0, kf_dot(&g, x, y));
    ck_assert_ptr_eq(kf_transpose(&g, nearest), nearest);
    const kf_node *f = kf_binary(&g, KF_MULT, nearest, y);
    ck_assert_ptr_eq(kf_transpose(&g, f), kf_binary(&g, KF_MULT, nearest, kf_var(&g, 1, 3, KF_ROLE_I)));
    ck_assert_ptr_eq(kf_transpose(&g, kf_transpose(&g, f)), f);
}
END_TEST

START_TEST(transposition_exchanges_axes_and_is_its_own_inverse)
{
    const kf_node *a =
        kf_binary(&g, KF_MULT, with(KF_EXTRACT, x, 0, 2), kf_binary(&g, KF_SUB, p, with(KF_EXTRACT, y, 1, 2)));
    const kf_node *f = kf_binary(&g, KF_ADD, kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, a), kf_num(&g, 0.7));
    const kf_node *t = kf_transpose(&g, f);
    ck_assert_uint_eq(t->axes, KF_AXIS_J);
    const kf_node *xt = kf_var(&g, 0, 3, KF_ROLE_J), *yt = kf_var(&g, 1, 3, KF_ROLE_I);
    const kf_node *at =
        kf_binary(&g, KF_MULT, with(KF_EXTRACT, xt, 0, 2), kf_binary(&g, KF_SUB, p, with(KF_EXTRACT, yt, 1, 2)));
    ck_assert_ptr_eq(t, kf_binary(&g, KF_ADD, kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, at), kf_num(&g, 0.7)));
    ck_assert_ptr_eq(kf_transpose(&g, t), f);
    ck_assert_ptr_eq(kf_transpose(&g, p), p);
    const kf_node *whole = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I | KF_AXIS_J, 0, kf_dot(&g, x, y));
    ck_assert_uint_eq(kf_transpose(&g, whole)->axes, 0);
    const kf_node *wide = kf_like(&g, x, y);
    ck_assert_ptr_eq(kf_transpose(&g, wide), kf_like(&g, xt, yt));
}
END_TEST

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

/* The answer for component k must hold for the whole run. */
static void check_copies(const kf_node *f)
{
    ck_assert_msg(f != NULL, "%s", g.error.text);
    dense d = {.g = &g, .rows = 1, .cols = 1};
    double data[4][3] = {{1, 2, 3}, {4, 5, 6}, {7}, {8, 9}};
    for (int k = 0; k < 4; k++)
        d.data[k] = data[k];
    dense_values v = {0};
    dense_compute(&d, &v, f);
    for (int64_t k = 0; k < f->dim; k++) {
        int64_t component = -1, run = -1;
        int stride = -1, source = kf_copy_source(f, k, &component, &run, &stride);
        ck_assert_int_ge(run, 1);
        ck_assert_int_le(run, f->dim - k);
        ck_assert(stride == 0 || stride == 1);
        ck_assert_int_lt(source, f->arg_count);
        for (int64_t n = 0; n < run; n++) {
            if (source >= 0)
                ck_assert_int_lt(component + n * stride, f->arg[source]->dim);
            long double got = source < 0 ? 0 : v.of[f->arg[source]->id][component + n * stride];
            ck_assert_msg(got == v.of[f->id][k + n], "%s, component %d, run from %d", kf_info(f->op)->name,
                          (int)(k + n), (int)k);
        }
    }
    dense_values_finish(&v);
}

START_TEST(copies_say_where_components_come_from)
{
    bool seen[KF_OP_COUNT] = {false};
    const kf_node *copies[] = {
        with(KF_SUMT, s, 1, 0),
        with(KF_SUMT, s, 4, 0),
        with(KF_ELEM, x, 0, 0),
        with(KF_ELEM, x, 2, 0),
        with(KF_ELEMT, s, 1, 0),
        with(KF_ELEMT, s, 4, 0),
        with(KF_ELEMT, s, 4, 2),
        with(KF_ELEMT, s, 4, 3),
        with(KF_EXTRACT, x, 0, 3),
        with(KF_EXTRACT, x, 1, 2),
        with(KF_EXTRACT, x, 2, 1),
        with(KF_EXTRACTT, x, 0, 3),
        with(KF_EXTRACTT, x, 0, 5),
        with(KF_EXTRACTT, x, 1, 5),
        with(KF_EXTRACTT, x, 2, 5),
        kf_binary(&g, KF_CONCAT, x, p),
        kf_binary(&g, KF_CONCAT, s, s),
        kf_binary(&g, KF_CONCAT, x, x),
        kf_make(&g, KF_ARRANGE, &x, (int64_t[]){1, 2, 3, -1}),
        kf_make(&g, KF_ARRANGE, &x, (int64_t[]){1, 0, 2, 2}),
        kf_make(&g, KF_ARRANGE, &x, (int64_t[]){2, 0, 3, 1, 4, 0}),
        kf_make(&g, KF_ARRANGE, &x, (int64_t[]){2, 0, 4, 0, 3, 1}),
        kf_make(&g, KF_ARRANGE, &x, (int64_t[]){3, 1, 2, 0, 2, 1, 2, 0}),
        kf_make(&g, KF_PLACE, &x, (int64_t[]){1, 1, 3, 2, 7}),
        kf_make(&g, KF_PLACE, &s, (int64_t[]){1, 2, 1, 1, 4}),
        kf_make(&g, KF_PLACE, &x, (int64_t[]){2, 0, 3, 4, 1, 1, 9}),
    };
    for (size_t k = 0; k < KB_COUNT(copies); k++) {
        check_copies(copies[k]);
        seen[copies[k]->op] = true;
    }
    for (int op = 0; op < KF_OP_COUNT; op++)
        ck_assert_msg(seen[op] == (kf_info(op)->op_class == KF_CLASS_COPY), "%s", kf_info(op)->name);
}
END_TEST

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void check_name(void *user, const char *text)
{
    kf_name name;
    ck_assert_msg(kf_find_name(text, strlen(text), &name), "%s", text);
    ck_assert_int_le(name.arity, KF_MAX_ARGS);
    kf_name shorter; /* the name "Exp" is the beginning of "Exp2" */
    ck_assert(!kf_find_name(text, strlen(text) - 1, &shorter) || shorter.op != name.op);
    ++*(int *)user;
}

START_TEST(every_name_is_found)
{
    int count = 0;
    kf_each_name(check_name, &count);
    ck_assert_int_ge(count, KF_OP_COUNT);
    kf_name name;
    ck_assert(!kf_find_name("Var", 3, &name) && !kf_find_name("Reduction", 9, &name) && !kf_find_name("", 0, &name));
    ck_assert(kf_find_name("Norm2", 5, &name));
    ck_assert_ptr_eq(kf_make_name(&g, &name, &x, NULL),
                     kf_unary(&g, KF_SQRT, kf_unary(&g, KF_SUM, kf_unary(&g, KF_SQUARE, x))));
    const kf_node *missing = NULL;
    ck_assert_ptr_null(kf_make_name(&g, &name, &missing, NULL));
    ck_assert_ptr_nonnull(strstr(g.error.text, "Norm2: operand 1 is missing"));
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Calls everything that allocates. Returns 0, or the status of the failure. */
static kcl_status run_everything(const kcl_allocator *allocator)
{
    kf_graph a, b;
    kf_graph_init(&a, allocator);
    kf_graph_init(&b, allocator);
    const kf_node *u = kf_var(&a, 0, 3, KF_ROLE_I), *v = kf_var(&a, 1, 3, KF_ROLE_J), *e = kf_rat(&a, 1, 1);
    const kf_node *f = kf_unary(&a, KF_EXP, kf_unary(&a, KF_MINUS, kf_dot(&a, u, v)));
    for (int k = 0; k < 150; k++) /* the tables grow */
        f = kf_binary(&a, KF_ADD, kf_unary(&a, KF_SIN, f), kf_binary(&a, KF_MULT, kf_rat(&a, k, 7), f));
    const kf_node *r = kf_reduce(&a, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_binary(&a, KF_MULT, f, v)), *out[2] = {NULL, NULL};
    kcl_status status = a.error.status;
    if (status == KCL_OK && !kf_transpose(&a, r))
        status = a.error.status;
    if (status == KCL_OK)
        status = kf_simplify(&a, 1, &r, out);
    if (status == KCL_OK)
        status = kf_vjp(&a, f, e, 2, (const kf_node *[]){u, v}, out);
    if (status == KCL_OK)
        status = kf_gradient(&a, r, e, 2, (const kf_node *[]){u, v}, out);
    if (status == KCL_OK)
        status = kf_import(&b, &a, 1, &out[0], &out[1]);
    if (status != KCL_OK) {
        const kb_error *error = a.error.status ? &a.error : &b.error;
        ck_assert_int_eq(error->status, status);
        ck_assert_ptr_nonnull(strstr(error->text, "memory"));
    }
    kf_graph_finish(&b);
    kf_graph_finish(&a);
    return status;
}

START_TEST(every_allocation_may_fail)
{
    failing f = {0};
    kcl_allocator allocator = failing_allocator(&f);
    ck_assert_int_eq(run_everything(&allocator), KCL_OK);
    ck_assert_int_eq(f.blocks, 0);
    long long total = f.requests;
    ck_assert_int_gt(total, 50);
    for (long long n = 1; n <= total; n++) {
        f = (failing){.fail_at = n};
        ck_assert_msg(run_everything(&allocator) == KCL_ERROR_NO_MEMORY, "request %lld of %lld", n, total);
        ck_assert_msg(f.blocks == 0, "request %lld of %lld: %lld blocks lost", n, total, (long long)f.blocks);
    }
}
END_TEST

START_TEST(a_graph_may_be_used_after_memory_was_out)
{
    failing f = {0};
    kcl_allocator allocator = failing_allocator(&f);
    kf_graph a;
    kf_graph_init(&a, &allocator);
    const kf_node *u = kf_var(&a, 0, 1, KF_ROLE_I);
    f.fail_at = f.requests + 1;
    const kf_node *v = u;
    for (int k = 0; v && k < 10000; k++)
        v = kf_unary(&a, KF_SIN, v);
    ck_assert_ptr_null(v);
    ck_assert_int_eq(a.error.status, KCL_ERROR_NO_MEMORY);
    f.fail_at = 0;
    kf_clear_error(&a);
    for (int k = 0; k < 10000; k++)
        u = kf_unary(&a, KF_SIN, u);
    ck_assert_ptr_nonnull(u);
    ck_assert_uint_eq(node_count(&a, u), 10001);
    kf_graph_finish(&a);
    ck_assert_int_eq(f.blocks, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph");
    TCase *tests = tcase_create("graph");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, equal_formulas_are_one_node);
    tcase_add_test(tests, unequal_formulas_are_not);
    tcase_add_test(tests, the_hash_does_not_depend_on_the_order_of_construction);
    tcase_add_test(tests, operands_have_smaller_ids_and_axes_are_the_union);
    tcase_add_test(tests, constants_keep_double_precision);
    tcase_add_test(tests, powers_choose_their_node);
    tcase_add_test(tests, whole_powers);
    tcase_add_loop_test(tests, wrong_shapes_are_refused_and_named, 0, KB_COUNT(wrong));
    tcase_add_test(tests, shapes_that_fit);
    tcase_add_test(tests, the_first_error_is_kept_and_missing_operands_give_none);
    tcase_add_test(tests, like_adds_axes_and_nothing_else);
    tcase_add_test(tests, reductions_have_a_shape_and_a_kind);
    tcase_add_test(tests, transposition_leaves_what_has_no_axes);
    tcase_add_test(tests, reductions_remove_the_axes_that_are_there);
    tcase_add_test(tests, transposition_exchanges_axes_and_is_its_own_inverse);
    tcase_add_test(tests, copies_say_where_components_come_from);
    tcase_add_test(tests, every_name_is_found);
    tcase_add_test(tests, every_allocation_may_fail);
    tcase_add_test(tests, a_graph_may_be_used_after_memory_was_out);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
