/* SPDX-License-Identifier: MIT */
/* formula/rules_index.c: rules of numbers of rows and columns: linear arithmetic and comparisons are exact. */
#include "rules.h"

#include <stdlib.h>
#include <string.h>

/* a i + b j + c. False if f is nothing of the kind. */
static bool see_index(const kf_node *f, int64_t index[3])
{
    f = kf_value(f);
    memset(index, 0, 3 * sizeof *index);
    if (f->op == KF_INDEX)
        memcpy(index, f->param, 3 * sizeof *index);
    else if (f->op == KF_CONST && f->param[1] == 1)
        index[2] = f->param[0];
    return f->op == KF_INDEX || (f->op == KF_CONST && f->param[1] == 1) || (f->op == KF_ZERO && f->dim == 1);
}

/* x first + y second, as one Index or whole number; NULL if the sum would not be exact. */
static const kf_node *index_sum(kf_graph *g, const int64_t *first, int64_t x, const int64_t *second, int64_t y)
{
    int64_t sum[3];
    for (int n = 0; n < 3; n++) {
        const int64_t most = n < 2 ? KF_MAX_STEP : INT64_C(1) << KF_MAX_START_BITS;
        int64_t a, b;
        if (kb_mul_overflows(first[n], x, &a) || kb_mul_overflows(second[n], y, &b) || llabs(a) > most ||
            llabs(b) > most || llabs(a + b) > most)
            return NULL;
        sum[n] = a + b;
    }
    return sum[0] || sum[1] ? kf_index(g, sum[0], sum[1], sum[2]) : kf_rat(g, sum[2], 1);
}

/* Sums, differences and multiples are taken of whole numbers, and rounded once. */
const kf_node *kf_rule_index_linear(kf_graph *g, const kf_node *f)
{
    static const int64_t none[3] = {0, 0, 0};
    const kf_node *a = kf_value(f->arg[0]), *b = f->arg[1] ? kf_value(f->arg[1]) : a, *sum;
    int64_t x[3], y[3];
    if ((a->op != KF_INDEX && b->op != KF_INDEX) || !see_index(a, x) || !see_index(b, y))
        return f;
    if (f->op == KF_MINUS)
        sum = index_sum(g, x, -1, none, 0);
    else if (f->op == KF_MULT && a->op == KF_INDEX && b->op == KF_INDEX)
        return f;
    else if (f->op == KF_MULT)
        sum = a->op == KF_INDEX ? index_sum(g, x, y[2], none, 0) : index_sum(g, y, x[2], none, 0);
    else
        sum = index_sum(g, x, 1, y, f->op == KF_SUB ? -1 : 1);
    return sum ? sum : f;
}

/* A comparison is made of the difference and 0: the sign of the difference is right, however large the numbers are. */
const kf_node *kf_rule_index_compare(kf_graph *g, const kf_node *f)
{
    const kf_node *a = kf_value(f->arg[0]), *b = kf_value(f->arg[1]), *difference;
    int64_t x[3], y[3];
    if (kf_is_zero(b) || (a->op != KF_INDEX && b->op != KF_INDEX) || !see_index(a, x) || !see_index(b, y))
        return f;
    difference = index_sum(g, x, 1, y, -1);
    return difference ? kf_simple_binary(g, (kf_op)f->op, difference, kf_zero(g, 1)) : f;
}
