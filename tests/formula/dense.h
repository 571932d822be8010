/* SPDX-License-Identifier: MIT */
/*
 * dense.h: formulas evaluated by definition, for tests. Every node is an array over all i, j and components, in long
 * double; a reduction is a loop over its axes. dense.h shares the table of operators with the library and nothing else.
 */
#ifndef TEST_DENSE_H
#define TEST_DENSE_H

#include "interp.h"
#include "make.h"
#include "order.h"
#include "reductions.h"
#include "table.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>
#include <time.h>

enum { DENSE_VARS = 64 };

typedef struct dense {
    kf_graph *g;
    int64_t rows, cols; /* numbers of i and j */
    double *data[DENSE_VARS];
    int64_t dim[DENSE_VARS];
    int var_count;
    uint64_t seed;
    /* Added to a component of one leaf everywhere, or of one row of a variable whatever its role. */
    const kf_node *moved_leaf;
    int64_t moved_index, moved_row, moved_component;
    long double step;
} dense;

/* Values by node id, [i][j][component]; NULL: not computed. */
typedef struct dense_values {
    long double **of;
    size_t count;
} dense_values;

static inline double dense_draw(dense *d, double low, double high)
{
    d->seed = kb_hash_combine(d->seed, 1);
    return low + (high - low) * ((double)(d->seed >> 11) * 0x1p-53);
}

static inline int dense_below(dense *d, int64_t n)
{
    return (int)dense_draw(d, 0, (double)n);
}

static inline void dense_init(dense *d, kf_graph *g, int64_t rows, int64_t cols, uint64_t seed)
{
    *d = (dense){.g = g, .rows = rows, .cols = cols, .seed = seed, .moved_index = -1};
    kf_graph_init(g, NULL);
}

static inline void dense_finish(dense *d)
{
    for (int k = 0; k < d->var_count; k++)
        free(d->data[k]);
    kf_graph_finish(d->g);
}

/* A new variable with values from low to high. */
static inline const kf_node *dense_var(dense *d, kf_role role, int64_t dim, double low, double high)
{
    int index = d->var_count++;
    ck_assert_int_lt(index, DENSE_VARS);
    int64_t count = KB_MAX(d->rows, d->cols) * dim;
    d->dim[index] = dim;
    d->data[index] = malloc((size_t)count * sizeof(double));
    for (int64_t k = 0; k < count; k++)
        d->data[index][k] = dense_draw(d, low, high);
    return kf_var(d->g, index, dim, role);
}

static inline int64_t dense_row(const dense *d, const kf_node *var, int64_t i, int64_t j)
{
    (void)d;
    return var->param[2] == KF_ROLE_I ? i : var->param[2] == KF_ROLE_J ? j : 0;
}

static inline long double *dense_at(const dense *d, const dense_values *v, const kf_node *f, int64_t i, int64_t j)
{
    return v->of[f->id] + (i * d->cols + j) * f->dim;
}

static inline long double dense_moved(const dense *d, const kf_node *f, int64_t i, int64_t j, int64_t k)
{
    bool here = f == d->moved_leaf || (f->op == KF_VAR && f->param[0] == d->moved_index &&
                                       dense_row(d, f, i, j) == d->moved_row);
    return here && k == d->moved_component ? d->step : 0;
}

/*
 * A reduction by its definition. The exponentials of long double reach far enough for what tests draw. The r-th
 * smallest value is the value with r others in front.
 */
static inline long double dense_reduce(const dense *d, const dense_values *v, const kf_node *f, int64_t i, int64_t j,
                                       int64_t k)
{
    const int64_t *p = f->param;
    const int64_t rows = p[1] & KF_AXIS_I ? d->rows : 1, cols = p[1] & KF_AXIS_J ? d->cols : 1;
    const kf_reduction of = (kf_reduction)p[0];
    const int dim = f->arg[0]->dim, weighted = kf_reduction_get(of)->formulas == 2;
    const bool largest = of == KF_REDUCE_MAX || of == KF_REDUCE_ARGMAX || of == KF_REDUCE_KMAX || of == KF_REDUCE_ARGKMAX;
    long double sum = 0, powers = 0, *value = malloc((size_t)(rows * cols + 1) * sizeof *value);
    for (int64_t n = 0; n < rows * cols; n++) {
        const long double *terms =
            dense_at(d, v, f->arg[0], p[1] & KF_AXIS_I ? n / cols : i, p[1] & KF_AXIS_J ? n % cols : j);
        value[n] = largest ? -terms[k % dim] : terms[k % dim];
        powers += expl(terms[weighted ? 0 : k % dim]);
        sum += weighted ? expl(terms[0]) * terms[1 + k] : terms[k % dim];
    }
    int64_t at = -1, rank = k / dim;
    for (int64_t n = 0; n < rows * cols && at < 0; n++) {
        int64_t before = 0;
        for (int64_t m = 0; m < rows * cols; m++)
            before += value[m] < value[n] || (value[m] == value[n] && m < n);
        if (!isnan(value[n]) && before == rank)
            at = n;
    }
    long double found = at < 0 ? INFINITY : value[at];
    free(value);
    if (of == KF_REDUCE_SUM)
        return sum;
    if (weighted)
        return of == KF_REDUCE_SUMSOFTMAXWEIGHT ? sum / powers : logl(sum);
    if (of == KF_REDUCE_LOGSUMEXP)
        return logl(powers);
    return f->kind == KF_INT ? (long double)at : largest ? -found : found;
}

/* Component k of a layout: axes and offset, then sizes and strides; digits of k from the last axis on. */
static inline int64_t dense_layout(const int64_t *p, int64_t k)
{
    int64_t source = p[1];
    for (int64_t axis = p[0] - 1; axis >= 0; axis--) {
        source += (k % p[2 + 2 * axis]) * p[3 + 2 * axis];
        k /= p[2 + 2 * axis];
    }
    return source;
}

/* By the definition: every way from (i, j) back to (0, 0) is computed anew. */
static inline long double dense_soft_dtw(const long double *x, int64_t i, const long double *y, int64_t j,
                                         long double gamma)
{
    const long double cost = (x[i] - y[j]) * (x[i] - y[j]);
    if (i == 0 && j == 0)
        return cost;
    if (i == 0 || j == 0)
        return cost + dense_soft_dtw(x, i - (i > 0), y, j - (j > 0), gamma);
    return cost - gamma * logl(expl(-dense_soft_dtw(x, i - 1, y, j - 1, gamma) / gamma) +
                               expl(-dense_soft_dtw(x, i - 1, y, j, gamma) / gamma) +
                               expl(-dense_soft_dtw(x, i, y, j - 1, gamma) / gamma));
}

/* Component k of the gradient, by differences of the definition. */
static inline long double dense_soft_dtw_slope(const long double *x, int64_t n, const long double *y, int64_t m,
                                               long double gamma, int64_t k)
{
    const long double h = 1e-3L, steps[4] = {2 * h, h, -h, -2 * h}, weights[4] = {-1, 8, -8, 1};
    long double moved[64], sum = 0;
    ck_assert_int_le(n + m + 1, 64);
    for (int t = 0; t < 4; t++) {
        for (int64_t c = 0; c < n + m + 1; c++)
            moved[c] = (c < n ? x[c] : c < n + m ? y[c - n] : gamma) + (c == k ? steps[t] : 0);
        sum += weights[t] * dense_soft_dtw(moved, n - 1, moved + n, m - 1, moved[n + m]);
    }
    return sum / (12 * h);
}

static inline long double dense_component(const dense *d, const dense_values *v, const kf_node *f, int64_t i,
                                          int64_t j, int64_t k)
{
    const kf_node *a = f->arg[0], *b = f->arg[1], *c = f->arg[2];
    const long double *x = a ? dense_at(d, v, a, i, j) : NULL, *y = b ? dense_at(d, v, b, i, j) : NULL;
    const long double *z = c ? dense_at(d, v, c, i, j) : NULL;
    const int64_t *p = f->param;
    long double sum = 0;
    switch ((kf_op)f->op) {
    case KF_VAR:
        return d->data[p[0]][dense_row(d, f, i, j) * f->dim + k];
    case KF_CONST:
        return f->param[1] ? (long double)f->param[0] / (long double)f->param[1] : f->value;
    case KF_ZERO:
        return 0;
    case KF_SUM:
        for (int64_t m = 0; m < a->dim; m++)
            sum += x[m];
        return sum;
    case KF_SUMT:
        return x[0];
    case KF_ELEM:
        return x[p[0]];
    case KF_ELEMT:
        return k == p[1] ? x[0] : 0;
    case KF_EXTRACT:
        return x[p[0] + k];
    case KF_EXTRACTT:
        return k >= p[0] && k < p[0] + a->dim ? x[k - p[0]] : 0;
    case KF_CONCAT:
        return k < a->dim ? x[k] : y[k - a->dim];
    case KF_IOTA:
        return k;
    case KF_INDEX:
        return p[0] * i + p[1] * j + p[2];
    case KF_SUMROWS:
        for (int64_t m = 0; m < p[0]; m++)
            sum += x[k * p[0] + m];
        return sum;
    case KF_MAX:
    case KF_MIN:
        sum = NAN; /* fmax and fmin pass over NaN */
        for (int64_t m = 0; m < a->dim; m++)
            sum = f->op == KF_MAX ? fmax(sum, x[m]) : fmin(sum, x[m]);
        return sum;
    case KF_ARRANGE:
        return x[dense_layout(p, k)];
    case KF_PLACE:
        for (int64_t m = 0; m < a->dim; m++)
            sum += dense_layout(p, m) == k ? x[m] : 0;
        return sum;
    case KF_LIKE:
        return x[k];
    case KF_SOFTDTW:
        return dense_soft_dtw(x, a->dim - 1, y, b->dim - 1, z[0]);
    case KF_SOFTDTW_GRAD:
        return dense_soft_dtw_slope(x, a->dim, y, b->dim, z[0], k);
    case KF_REDUCE:
        return dense_reduce(d, v, f, i, j, k);
    default:
        return table_value((kf_op)f->op, x[a->dim == 1 ? 0 : k], b ? y[b->dim == 1 ? 0 : k] : 0,
                           c ? z[c->dim == 1 ? 0 : k] : 0, p[0]);
    }
}

/* Computes f and what f needs, unless computed already. */
static inline void dense_compute(const dense *d, dense_values *v, const kf_node *f)
{
    ck_assert_msg(f != NULL, "%s", d->g->error.text);
    if (v->count < d->g->count) {
        v->of = realloc(v->of, d->g->count * sizeof *v->of);
        memset(v->of + v->count, 0, (d->g->count - v->count) * sizeof *v->of);
        v->count = d->g->count;
    }
    bool *wanted = calloc(f->id + 1, sizeof *wanted);
    wanted[f->id] = true;
    for (uint32_t id = f->id + 1; id-- > 0;)
        for (int c = 0; wanted[id] && !v->of[id] && c < d->g->nodes[id]->arg_count; c++)
            wanted[d->g->nodes[id]->arg[c]->id] = true;
    for (uint32_t id = 0; id <= f->id; id++) {
        const kf_node *n = d->g->nodes[id];
        if (!wanted[id] || v->of[id])
            continue;
        v->of[id] = malloc((size_t)(d->rows * d->cols * n->dim) * sizeof **v->of);
        for (int64_t i = 0; i < d->rows; i++)
            for (int64_t j = 0; j < d->cols; j++)
                for (int64_t k = 0; k < n->dim; k++)
                    dense_at(d, v, n, i, j)[k] = dense_component(d, v, n, i, j, k) + dense_moved(d, n, i, j, k);
    }
    free(wanted);
}

static inline void dense_values_finish(dense_values *v)
{
    for (size_t k = 0; k < v->count; k++)
        free(v->of[k]);
    free(v->of);
    *v = (dense_values){0};
}

/* The values of one formula, [i][j][component], to be freed. */
static inline long double *dense_eval(const dense *d, const kf_node *f)
{
    dense_values v = {0};
    dense_compute(d, &v, f);
    long double *out = v.of[f->id];
    v.of[f->id] = NULL;
    dense_values_finish(&v);
    return out;
}

/* The same by the interpreter, for formulas without reductions. */
static inline double *dense_interpret(const dense *d, const kf_node *f)
{
    kf_source sources[DENSE_VARS];
    kb_error err = {0};
    kf_interp *interp = NULL;
    kf_frame *frame = NULL;
    ck_assert_msg(f != NULL, "%s", d->g->error.text);
    ck_assert_msg(kf_interp_create(&interp, d->g, 1, &f, &err) == KCL_OK, "%s", err.text);
    ck_assert_msg(kf_frame_create(&frame, interp, &err) == KCL_OK, "%s", err.text);
    for (int k = 0; k < d->var_count; k++)
        sources[k] = (kf_source){d->data[k], KCL_F64, d->dim[k] * (int64_t)sizeof(double), sizeof(double)};
    double *out = malloc((size_t)(d->rows * d->cols * f->dim) * sizeof *out);
    ck_assert_int_le(d->cols, kf_frame_columns(frame));
    kf_frame_launch(frame, sources);
    for (int64_t i = 0; i < d->rows; i++) {
        kf_frame_row(frame, i, NULL);
        kf_frame_block(frame, 0, (int)d->cols);
        for (int64_t j = 0; j < d->cols; j++)
            for (int64_t k = 0; k < f->dim; k++) {
                int stride;
                const double *value = kf_frame_value(frame, 0, k, &stride);
                out[(i * d->cols + j) * f->dim + k] = value[j * stride];
            }
    }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
    return out;
}

/* ---- Random formulas --------------------------------------------------------------------------------------------- */

typedef struct garden {
    dense *d;
    dense_values values;
    const kf_node **pool;
    int count;
    int most_dim;
    bool reductions;
} garden;

static inline void garden_init(garden *w, dense *d, int capacity, bool reductions)
{
    *w = (garden){.d = d, .pool = malloc((size_t)capacity * sizeof(kf_node *)), .most_dim = 6,
                  .reductions = reductions};
}

static inline void garden_finish(garden *w)
{
    dense_values_finish(&w->values);
    free(w->pool);
}

/* The largest value of sign * f; NaN if a value is NaN. */
static inline long double garden_extreme(garden *w, const kf_node *f, long double sign)
{
    dense_compute(w->d, &w->values, f);
    long double most = -INFINITY;
    for (int64_t k = 0; k < w->d->rows * w->d->cols * f->dim; k++) {
        long double x = sign * w->values.of[f->id][k];
        if (x != x)
            return x;
        most = KB_MAX(most, x);
    }
    return most;
}

/*
 * A formula of the pool, more often a late one, with values from low to high: the formula itself, or something made
 * from it.
 */
static inline const kf_node *garden_operand(garden *w, double low, double high)
{
    kf_graph *g = w->d->g;
    int chance = dense_below(w->d, 10), back = KB_MIN(w->count, chance < 3 ? 1 : chance < 8 ? 4 : w->count);
    const kf_node *f = w->pool[w->count - 1 - dense_below(w->d, back)];
    if (-garden_extreme(w, f, -1) >= low && garden_extreme(w, f, 1) <= high)
        return f;
    f = kf_unary(g, KF_SIN, f);
    if (low <= -1)
        return f;
    f = kf_binary(g, KF_MULT, kf_rat(g, 1, 2), f);
    return low < 0 ? f : kf_binary(g, KF_ADD, kf_rat(g, 1, 1), f);
}

static inline const kf_node *garden_number(garden *w, double low, double high)
{
    const kf_node *f = garden_operand(w, low, high);
    return f->dim == 1 ? f : kf_make(w->d->g, KF_ELEM, &f, &(int64_t){dense_below(w->d, f->dim)});
}

/* A new node of a random operator of the whole table; NULL if nothing sensible came out. */
static inline const kf_node *garden_node(garden *w)
{
    dense *d = w->d;
    kf_graph *g = d->g;
    /* Reductions a little more often than other operators. */
    kf_op op = w->reductions && !dense_below(d, 40) ? KF_REDUCE : (kf_op)dense_below(d, KF_OP_COUNT);
    const kf_op_info *info = kf_info(op);
    bool map = info->op_class == KF_CLASS_MAP;
    double low = map ? info->low : -1e3, high = map ? info->high : 1e3;
    const kf_node *args[KF_MAX_ARGS] = {NULL}, *a, *b;
    int64_t p[KF_MAX_PARAMS] = {dense_below(d, 8) - 2, 0, 0};
    if (map)
        p[0] = KB_MAX(KB_MIN(p[0], table_most_param(op)), table_least_param(op));
    for (int k = 0; k < info->arity; k++) {
        if (table_jumps(op, k)) /* variables are the same in every precision */
            args[k] = w->pool[dense_below(d, KB_MIN(d->var_count, 4))];
        else
            args[k] = op == KF_SUMT || op == KF_ELEMT ? garden_number(w, low, high) : garden_operand(w, low, high);
    }
    a = args[0];
    b = args[1];
    switch (op) {
    case KF_VAR:
        return w->pool[dense_below(d, d->var_count)]; /* variables were planted first */
    case KF_CONST:
        p[0] = dense_below(d, 12);
        return p[0] < 3   ? kf_rat(g, p[0] - 1, 1)
               : p[0] < 8 ? kf_rat(g, dense_below(d, 9) - 4, 1 + dense_below(d, 4))
                          : kf_num(g, dense_draw(d, -2, 2));
    case KF_ZERO:
        return kf_zero(g, 1 + dense_below(d, 3));
    case KF_REDUCE:
        /* No ArgMin: a rounding may distinguish almost equal values. No logarithm of sums below 0. */
        p[1] = !dense_below(d, 2)                 ? KF_REDUCE_SUM
               : a->dim > 1 && dense_below(d, 2) ? KF_REDUCE_SUMSOFTMAXWEIGHT
                                                  : KF_REDUCE_LOGSUMEXP;
        return w->reductions ? kf_reduce(g, (kf_reduction)p[1], 1u + (unsigned)dense_below(d, 3), 0, a) : NULL;
    case KF_SUMT:
        p[0] = 1 + dense_below(d, 4);
        break;
    case KF_ELEM:
        p[0] = dense_below(d, a->dim);
        break;
    case KF_ELEMT:
        p[0] = 1 + dense_below(d, 4);
        p[1] = dense_below(d, p[0]);
        break;
    case KF_EXTRACT:
        p[0] = dense_below(d, a->dim);
        p[1] = 1 + dense_below(d, a->dim - p[0]);
        break;
    case KF_EXTRACTT:
        p[0] = dense_below(d, 3);
        p[1] = p[0] + a->dim + dense_below(d, 2);
        break;
    case KF_INDEX:
        for (int n = 0; n < 3; n++)
            p[n] = dense_below(d, 5) - 2;
        if (!p[0] && !p[1])
            return NULL;
        a = kf_make(g, op, NULL, p);
        for (int n = 0; w->reductions && n < d->var_count; n++) /* a reduction needs the lengths of all axes */
            a = kf_like(g, a, w->pool[n]);
        return a;
    case KF_IOTA:
        p[0] = 1 + dense_below(d, 4);
        break;
    case KF_SUMROWS:
        p[0] = a->dim % 3 == 0 ? 3 : a->dim % 2 == 0 ? 2 : 1;
        break;
    case KF_ARRANGE: /* of one axis or two, forwards, backwards or repeated */
        p[0] = 1 + dense_below(d, 2);
        p[1] = p[0] == 2 ? 0 : a->dim - 1;
        p[2] = p[0] == 2 ? 1 + dense_below(d, 2) : a->dim;
        p[3] = p[0] == 2 ? 0 : -1;
        p[4] = (a->dim + 1) / 2;
        p[5] = 2 - a->dim % 2;
        if (a->dim % 2 == 0)
            p[4] = a->dim / 2;
        else
            p[4] = a->dim;
        break;
    case KF_PLACE:
        p[0] = 1;
        p[1] = dense_below(d, 2);
        p[2] = a->dim;
        p[3] = 1 + dense_below(d, 2);
        p[4] = p[1] + (a->dim - 1) * p[3] + 1 + dense_below(d, 2);
        break;
    case KF_SOFTDTW: /* have tests of their own: few formulas are sequences and a positive number */
    case KF_SOFTDTW_GRAD:
        return NULL;
    case KF_LIKE:
        return kf_like(g, a, b);
    default:
        for (int k = 1, dim = a ? a->dim : 1; map && k < info->arity; k++) {
            if (dim != args[k]->dim && dim != 1 && args[k]->dim != 1)
                args[k] = kf_make(g, KF_ELEM, &args[k], &(int64_t){dense_below(d, args[k]->dim)});
            dim = KB_MAX(dim, args[k]->dim);
        }
    }
    return kf_make(g, op, args, p);
}

/* Nodes reachable from f. */
static inline size_t node_count(const kf_graph *g, const kf_node *f)
{
    kf_order order;
    kb_error err = {0};
    ck_assert_int_eq(kf_order_init(&order, g, 1, &f, false, &err), KCL_OK);
    size_t count = order.count;
    kf_order_finish(&order);
    return count;
}

/* Adds `steps` nodes to the pool at most; returns the new node with most nodes below. */
static inline const kf_node *garden_grow(garden *w, int steps)
{
    for (int k = 0; k < steps; k++) {
        const kf_node *f = garden_node(w);
        ck_assert_msg(w->d->g->error.status == KCL_OK, "%s", w->d->g->error.text);
        if (f && f->dim <= w->most_dim && garden_extreme(w, f, 1) < 1e3 && garden_extreme(w, f, -1) < 1e3)
            w->pool[w->count++] = f;
    }
    const kf_node *largest = w->pool[w->count - 1];
    for (int k = w->count - 1; k >= 0; k--)
        if (node_count(w->d->g, w->pool[k]) > node_count(w->d->g, largest))
            largest = w->pool[k];
    return largest;
}

/* Processor time: other processes do not count. */
static inline double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* KEOPSCL_TEST_SEED repeats one case of a random test. */
static inline uint64_t case_seed(uint64_t given)
{
    const char *text = getenv("KEOPSCL_TEST_SEED");
    return text && *text ? strtoull(text, NULL, 0) : given;
}

#endif
