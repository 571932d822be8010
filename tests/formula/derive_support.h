/* SPDX-License-Identifier: MIT */
/* derive_support.h: differences of values by definition (dense.h), and random formulas, for tests of derivatives. */
#ifndef TEST_DERIVE_SUPPORT_H
#define TEST_DERIVE_SUPPORT_H

#include "dense.h"
#include "derive.h"
#include "passes.h"
#include "text.h"

static kf_graph g;
static dense d;

static inline void setup(void)
{
    dense_init(&d, &g, 3, 3, 1); /* as many rows as columns: an array may be used as both */
}

static inline void teardown(void)
{
    dense_finish(&d);
}

static inline void restart(uint64_t seed)
{
    dense_finish(&d);
    dense_init(&d, &g, 3, 3, seed);
}

static inline const kf_node *with(kf_op op, const kf_node *f, int64_t p0, int64_t p1)
{
    return kf_make(&g, op, &f, (const int64_t[]){p0, p1});
}

static inline const kf_node *sum_over(unsigned axes, const kf_node *f)
{
    return kf_reduce(&g, KF_REDUCE_SUM, axes, 0, f);
}

/* e*f summed over components, for every (i, j): after a step of the leaf or row that d says. */
static inline void weighted(const kf_node *f, const kf_node *e, long double step, long double *out)
{
    d.step = step;
    long double *value = dense_eval(&d, f);
    d.step = 0;
    long double *weight = dense_eval(&d, e);
    for (int64_t at = 0; at < d.rows * d.cols; at++) {
        out[at] = 0;
        for (int64_t k = 0; k < f->dim; k++)
            out[at] += value[at * f->dim + k] * weight[at * e->dim + (e->dim == 1 ? 0 : k)];
    }
    free(value);
    free(weight);
}

enum { PAIRS = 9 };

/* The derivative along what d says, by differences of the fourth order. */
static inline void difference(const kf_node *f, const kf_node *e, long double *out)
{
    const long double h = 1e-4L;
    long double near[2][PAIRS], far[2][PAIRS];
    weighted(f, e, h, near[0]);
    weighted(f, e, -h, near[1]);
    weighted(f, e, 2 * h, far[0]);
    weighted(f, e, -2 * h, far[1]);
    for (int at = 0; at < PAIRS; at++)
        out[at] = (8 * (near[0][at] - near[1][at]) - (far[0][at] - far[1][at])) / (12 * h);
}

static inline void check_close(const char *what, long double got, long double want, long double scale)
{
    ck_assert_msg(fabs(got - want) <= 1e-8L * KB_MAX(1, scale), "%s: derivative %.15Lg, by differences %.15Lg", what,
                  got, want);
}

static inline bool has_reduction(const kf_node *f)
{
    kf_order order;
    bool found = false;
    kf_order_init(&order, &g, 1, &f, false, &g.error);
    for (size_t k = 0; k < order.count; k++)
        found |= order.nodes[k]->op == KF_REDUCE;
    kf_order_finish(&order);
    return found;
}

/* (dF/dleaf)^T e for every leaf, at every pair; then the derivatives of these derivatives. */
static inline void check_vjp(const char *what, const kf_node *f, size_t count, const kf_node *const *leaves, int order)
{
    ck_assert_msg(f != NULL, "%s: %s", what, g.error.text);
    const kf_node *out[8];
    ck_assert_uint_le(count, KB_COUNT(out));
    const kf_node *e =
        order == 1 && f->dim > 1 ? dense_var(&d, KF_ROLE_P, 1, 0.5, 1.5) : dense_var(&d, KF_ROLE_J, f->dim, 0.5, 1.5);
    ck_assert_msg(kf_vjp(&g, f, e, count, leaves, out) == KCL_OK, "%s: %s", what, g.error.text);
    for (size_t n = 0; n < count; n++) {
        ck_assert_int_eq(out[n]->dim, leaves[n]->dim);
        ck_assert_msg((f->axes & ~out[n]->axes) == 0, "%s: an axis is lost", what);
        long double *got = dense_eval(&d, out[n]), want[PAIRS];
        double *interpreted = has_reduction(f) ? NULL : dense_interpret(&d, out[n]);
        for (int64_t k = 0; k < leaves[n]->dim; k++) {
            d.moved_leaf = leaves[n];
            d.moved_component = k;
            difference(f, e, want);
            d.moved_leaf = NULL;
            for (int at = 0; at < PAIRS; at++) {
                check_close(what, got[at * leaves[n]->dim + k], want[at], fabs(want[at]));
                if (interpreted)
                    check_close(what, interpreted[at * leaves[n]->dim + k], want[at], fabs(want[at]));
            }
        }
        free(got);
        free(interpreted);
    }
    for (size_t n = 0; order > 1 && n < count; n++)
        if (!kf_is_zero(kf_value(out[n])))
            check_vjp(what, out[n], count, leaves, order - 1);
}

/*
 * f at every pair, its variables moved by `step` in directions that are variables: the data of these variables tell
 * where.
 */
static inline void moved(const kf_node *f, size_t count, const kf_node *const *vars, const kf_node *const *directions,
                         double step, long double *out)
{
    for (int sign = 1; sign >= -1; sign -= 2) {
        for (size_t n = 0; n < count; n++) {
            const int64_t rows = KB_MAX(d.rows, d.cols);
            double *x = d.data[vars[n]->param[0]], *u = d.data[directions[n]->param[0]];
            for (int64_t k = 0; k < rows * vars[n]->dim; k++)
                x[k] += sign * step * u[k];
        }
        if (sign < 0)
            break;
        long double *value = dense_eval(&d, f);
        memcpy(out, value, (size_t)(d.rows * d.cols * f->dim) * sizeof *out);
        free(value);
    }
}

enum { LARGEST = PAIRS * 64 };

/*
 * The derivative of f along random directions of its variables, against differences; then the derivatives of the
 * derivative.
 */
static inline void check_jvp(const char *what, const kf_node *f, size_t count, const kf_node *const *vars, int order)
{
    const double h = 1e-3;
    const kf_node *u[8], *out = NULL;
    ck_assert_msg(f != NULL, "%s: %s", what, g.error.text);
    if (f->dim > 64)
        return;
    for (size_t n = 0; n < count; n++)
        u[n] = dense_var(&d, (kf_role)vars[n]->param[2], vars[n]->dim, -1, 1);
    ck_assert_msg(kf_jvp(&g, f, count, vars, u, &out) == KCL_OK, "%s: %s", what, g.error.text);
    ck_assert_int_eq(out->dim, f->dim);
    ck_assert_int_eq(out->axes, f->axes);
    static long double near[2][LARGEST], far[2][LARGEST];
    moved(f, count, vars, u, h, near[0]);
    moved(f, count, vars, u, -h, near[1]);
    moved(f, count, vars, u, 2 * h, far[0]);
    moved(f, count, vars, u, -2 * h, far[1]);
    long double *got = dense_eval(&d, out);
    for (int64_t k = 0; k < d.rows * d.cols * f->dim; k++) {
        long double one = (near[0][k] - near[1][k]) / (2 * h), two = (far[0][k] - far[1][k]) / (4 * h);
        long double want = (4 * one - two) / 3;
        if (fabs(one - two) <= 1e-3L * KB_MAX(1, fabs(one))) /* otherwise there is a kink or a jump within the step */
            ck_assert_msg(fabs(got[k] - want) <= 1e-5L * KB_MAX(1, fabs(want)),
                          "%s: forward derivative %.15Lg, by differences %.15Lg", what, got[k], want);
    }
    free(got);
    if (order > 1)
        check_jvp(what, out, count, vars, order - 1);
}

static inline const kf_node *in_place_of_name(void *user, const kf_node *leaf)
{
    const kf_binding *bindings = user;
    int64_t k = leaf->op == KF_VAR ? leaf->param[0] - DENSE_VARS : -1;
    return k < 0 ? leaf : bindings[k].value;
}

/* Names stand for any formula: the parser sees variables of their axes and dimension, which are then replaced. */
static inline const kf_node *parsed(const char *text, size_t count, const kf_binding *bindings)
{
    kf_binding names[16];
    int64_t next = 2 * DENSE_VARS;
    kb_error err = {0};
    const kf_node *f = NULL;
    ck_assert_uint_le(count, KB_COUNT(names));
    for (size_t k = 0; k < count; k++) {
        const kf_node *value = bindings[k].value;
        ck_assert_msg(value != NULL, "%s", g.error.text);
        kf_role role = value->axes == 0 ? KF_ROLE_P : value->axes == KF_AXIS_J ? KF_ROLE_J : KF_ROLE_I;
        names[k] = (kf_binding){bindings[k].name, kf_var(&g, DENSE_VARS + (int64_t)k, value->dim, role)};
    }
    ck_assert_msg(kf_parse_formula(&g, text, count, names, &next, &f, &err) == KCL_OK, "%s", err.text);
    ck_assert_int_eq(kf_substitute(&g, 1, &f, false, in_place_of_name, (void *)bindings, &f), KCL_OK);
    return f;
}

enum { CASES = 400, STEPS = 40 };

/* Whether differences say anything: the third derivative of long compositions may be beyond any step. */
static inline bool is_smooth(const kf_node *f, const kf_node *e)
{
    const long double h = 1e-3L;
    long double near[2][PAIRS], far[2][PAIRS];
    weighted(f, e, h, near[0]);
    weighted(f, e, -h, near[1]);
    weighted(f, e, 2 * h, far[0]);
    weighted(f, e, -2 * h, far[1]);
    for (int at = 0; at < PAIRS; at++) {
        long double one = (near[0][at] - near[1][at]) / (2 * h), two = (far[0][at] - far[1][at]) / (4 * h);
        if (!(fabs(one - two) <= 1e-4L * KB_MAX(1, fabs(one))))
            return false;
    }
    return true;
}

static inline const kf_node *grown(garden *w, uint64_t seed, bool reductions)
{
    restart(seed);
    garden_init(w, &d, STEPS + 8, reductions);
    for (int k = 0; k < 4; k++)
        w->pool[w->count++] = dense_var(&d, (kf_role)(k % 3), k < 2 ? 3 : 1, 0.3, 2);
    return garden_grow(w, STEPS);
}

#endif
