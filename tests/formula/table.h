/* SPDX-License-Identifier: MIT */
/* table.h: the elementwise operators of ops.def in long double, and what tests must know of some operators. */
#ifndef TEST_TABLE_H
#define TEST_TABLE_H

#include "numeric.h"

#include <check.h>
#include <tgmath.h>

static inline long double table_round(long double a, int64_t n)
{
    return round(a * pow(10.0L, (long double)n)) / pow(10.0L, (long double)n);
}

/* j_n(x)/x^n by its series, whose terms hardly cancel for the x that tests draw. */
static inline long double table_spherical(long double x, int64_t n)
{
    long double term = 1, sum = 0;
    for (int64_t k = 1; k <= n; k++)
        term /= (long double)(2 * k + 1);
    for (int64_t k = 1; k < 60; k++) {
        sum += term;
        term *= -x * x / (long double)(2 * k * (2 * n + 2 * k + 1));
    }
    return sum;
}

/* The table's expressions, by the type-generic functions. */
static inline long double table_value(kf_op op, long double a, long double b, long double c, int64_t n)
{
    (void)a, (void)b, (void)c, (void)n;
    switch (op) {
#define kf_powi(a, n) pow(a, (long double)(n))
#define kf_round(a, n) table_round(a, n)
#define kf_spherical(a, n) table_spherical(a, n)
#define KF_MAP(id, name, arity, parameters, cost, value, ...)                                                          \
    case KF_##id:                                                                                                      \
        return value;
#include "ops.def"
#undef kf_powi
#undef kf_round
#undef kf_spherical
    default:
        ck_abort_msg("%s is not elementwise", kf_info(op)->name);
    }
    return 0;
}

/* The parameters for which tests try an operator; numbers rounded to more decimals jump at every step of a difference. */
static inline int64_t table_least_param(kf_op op)
{
    return !kf_info(op)->params || op == KF_SPHERICAL ? 0 : -2;
}

static inline int64_t table_most_param(kf_op op)
{
    return !kf_info(op)->params || op == KF_ROUND ? 0 : 5;
}

/* Operators whose value jumps as operand k changes: a rounding may distinguish almost equal operands. */
static inline bool table_jumps(kf_op op, int k)
{
    return op == KF_FLOOR || op == KF_CEIL || op == KF_TRUNC || op == KF_ROUND || op == KF_EQUAL ||
           op == KF_NOT_EQUAL || op == KF_LESS || op == KF_LESS_EQUAL || op == KF_AND || op == KF_OR || op == KF_NOT ||
           ((op == KF_IFELSE || op == KF_WHERE) && k == 0);
}

#endif
