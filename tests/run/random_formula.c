/* SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "random_formula.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

long double definition_unit;

int64_t batches_of(const program *p)
{
    return (int64_t)p->batch[0] * p->batch[1];
}

int64_t rows_of_role(const program *p, int role)
{
    return role == 0 ? p->rows : role == 1 ? p->cols : 1;
}

/* ---- Nodes --------------------------------------------------------------------------------------------------------- */

static int64_t place_of(const program *p, const node *f, int64_t b, int64_t i, int64_t j)
{
    const int64_t rows = f->axes & AXIS_I ? p->rows : 1, cols = f->axes & AXIS_J ? p->cols : 1;
    return (((f->batch ? b : 0) * rows + (f->axes & AXIS_I ? i : 0)) * cols + (f->axes & AXIS_J ? j : 0)) * f->dim;
}

num *node_at(const program *p, const node *f, int64_t b, int64_t i, int64_t j)
{
    return f->at + place_of(p, f, b, i, j);
}

static int64_t size_of(const program *p, const node *f)
{
    return (f->batch ? batches_of(p) : 1) * (f->axes & AXIS_I ? p->rows : 1) * (f->axes & AXIS_J ? p->cols : 1) *
           f->dim;
}

node *node_make(program *p, int dim, int axes, bool batch, const char *format, ...)
{
    node *f = calloc(1, sizeof *f);
    va_list list;
    char text[4 * MOST_TEXT];
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    ck_assert_int_lt(p->all_count, (int)KB_COUNT(p->all));
    p->all[p->all_count++] = f;
    *f = (node){.text = strdup(text), .dim = dim, .axes = axes, .batch = batch};
    f->at = calloc((size_t)size_of(p, f), sizeof *f->at);
    return f;
}

/* Where the numbers of a node lie, of one component or all, without what is not well-conditioned. */
static bool range_of(const program *p, const node *f, double *low, double *high)
{
    const int64_t size = size_of(p, f);
    long double largest = 0, error = 0, slope = 0, slope_error = 0;
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t n = 0; n < size; n++) {
        const num *const x = &f->at[n];
        if (!isfinite(x->v) || !isfinite(x->e))
            return false;
        *low = fmin(*low, (double)x->v);
        *high = fmax(*high, (double)x->v);
        largest = fmaxl(largest, fabsl(x->v));
        error = fmaxl(error, x->e);
        for (int t = 0; t < DIRECTIONS; t++) {
            if (!isfinite(x->d[t]) || !isfinite(x->f[t]))
                return false;
            slope = fmaxl(slope, fabsl(x->d[t]));
            slope_error = fmaxl(slope_error, x->f[t]);
        }
    }
    return largest <= 300 && slope <= 1000 && error <= 2000 * definition_unit * (1 + largest) &&
           slope_error <= 1e4L * definition_unit * (1 + slope);
}

bool is_good(const program *p, const node *f)
{
    double low, high;
    return f && strlen(f->text) <= MOST_TEXT && range_of(p, f, &low, &high);
}

node *constant(program *p, double value)
{
    node *f = node_make(p, 1, 0, false, value < 0 ? "(%.17g)" : "%.17g", value);
    f->at[0] = number(value);
    return f;
}

node *elementwise(program *p, definition_op op, node *x, node *y, node *z, int n, bool infix)
{
    static const char signs[][4] = {"+", "-", "*", "/"};
    const int operands = definition_operators[op].operands;
    const int dim = KB_MAX(x->dim, KB_MAX(y->dim, z->dim));
    const int axes = x->axes | y->axes | z->axes;
    const bool batch = x->batch || y->batch || z->batch;
    const char *const name = definition_operators[op].name;
    node *f;
    if (infix && op <= D_DIVIDE)
        f = node_make(p, dim, axes, batch, "(%s%s%s)", x->text, signs[op], y->text);
    else if (infix && (op == D_EQUAL || op == D_LESS))
        f = node_make(p, dim, axes, batch, "(%s%s%s)", x->text, op == D_LESS ? "<" : "==", y->text);
    else if (infix && op == D_POW && n >= 0)
        f = node_make(p, dim, axes, batch, "(%s**%d)", x->text, n);
    else if (op == D_POW || op == D_ROUND || op == D_BESSEL)
        f = node_make(p, dim, axes, batch, "%s(%s,%d)", name, x->text, n);
    else if (operands == 1)
        f = node_make(p, dim, axes, batch, "%s(%s)", name, x->text);
    else if (operands == 2)
        f = node_make(p, dim, axes, batch, "%s(%s,%s)", name, x->text, y->text);
    else
        f = node_make(p, dim, axes, batch, "%s(%s,%s,%s)", name, x->text, y->text, z->text);
    f->operators = x->operators | y->operators | z->operators | UINT64_C(1) << op;
    f->vectors = x->vectors | y->vectors | z->vectors;
    FOR_POINTS(p, f)
    {
        const num *a = node_at(p, x, b, i, j), *c = node_at(p, y, b, i, j), *d = node_at(p, z, b, i, j);
        num *r = node_at(p, f, b, i, j);
        for (int k = 0; k < dim; k++)
            r[k] = apply_op(op, a[x->dim == 1 ? 0 : k], c[y->dim == 1 ? 0 : k], d[z->dim == 1 ? 0 : k], n);
    }
    return f;
}

node *fit(program *p, node *f, double low, double high)
{
    double from, to;
    if (!range_of(p, f, &from, &to))
        return NULL;
    if (from >= low && to <= high)
        return f;
    const double width = to - from, room = (high - low) * 0.9;
    double factor = width <= room ? 1 : floor(room / width * 64) / 64;
    if (factor <= 0)
        return NULL;
    const double offset = round((0.5 * (low + high) - 0.5 * factor * (from + to)) * 64) / 64;
    node *g = f;
    if (factor != 1) {
        node *by = constant(p, factor);
        g = elementwise(p, D_MULT, by, g, g, 0, true);
    }
    if (offset != 0) {
        node *by = constant(p, offset);
        g = elementwise(p, D_ADD, g, by, g, 0, true);
    }
    if (!range_of(p, g, &from, &to) || from < low || to > high)
        return NULL;
    return g;
}

/* ---- Growing ------------------------------------------------------------------------------------------------------- */

bool moves(const program *p, const node *f, int t)
{
    const int64_t size = size_of(p, f);
    for (int64_t n = 0; n < size; n++)
        if (f->at[n].d[t] != 0)
            return true;
    return false;
}

int worth_of(const program *p, const node *f)
{
    return 2 * moves(p, f, 0) + 2 * moves(p, f, 1) + 2 * (f->dim > 1) + ((f->axes & AXIS_I) != 0) +
           ((f->axes & AXIS_J) != 0);
}

node *any(const program *p)
{
    node *best = NULL;
    for (int tries = pick(4); tries >= 0; tries--) {
        const int what = pick(6);
        node *f = p->pool[what < 1   ? pick(VARIABLES)
                          : what < 2 ? pick(p->count)
                                     : KB_MAX(p->count - 1 - pick(5), pick(p->count))];
        best = !best || f->worth > best->worth ? f : best;
    }
    return best;
}

node *any_of(const program *p, int dim, int times)
{
    for (int tries = 0; tries < 40; tries++) {
        node *f = any(p);
        if ((dim == 0 || f->dim == dim) && f->dim % times == 0)
            return f;
    }
    return NULL;
}

node *any_square(const program *p)
{
    for (int tries = 0; tries < 40; tries++) {
        node *f = any(p);
        if (f->dim == 4 || f->dim == 9 || (f->dim == 1 && pick(8) == 0))
            return f;
    }
    return NULL;
}

node *any_like(const program *p, const node *x)
{
    return pick(4) ? any_of(p, x->dim, 1) : any_of(p, 1, 1);
}

int rarest(const long *uses, int count)
{
    int best = pick(count);
    for (int k = 0; k < 2; k++) {
        const int other = pick(count);
        best = uses[other] < uses[best] ? other : best;
    }
    return best;
}

static node *grow_elementwise(program *p)
{
    const definition_op op = (definition_op)rarest(p->op, D_COUNT);
    const int operands = definition_operators[op].operands;
    node *x = any(p), *y = operands > 1 ? any_like(p, x) : x, *z = operands > 2 ? any_like(p, x) : x;
    if (operands > 1 && pick(4) == 0) {
        node *first = x;
        x = y;
        y = first;
    }
    if (!x || !y || !z)
        return NULL;
    x = fit(p, x, definition_operators[op].low[0], definition_operators[op].high[0]);
    y = !x || operands < 2 ? x : fit(p, y, definition_operators[op].low[1], definition_operators[op].high[1]);
    z = operands < 3 ? y : z;
    if (!x || !y)
        return NULL;
    const int n = op == D_POW ? pick(7) - 2 : op == D_BESSEL ? pick(5) : op == D_ROUND ? pick(2) : 0;
    return elementwise(p, op, x, y, z, n, pick(2) != 0);
}

num *terms_of(const program *p, const node *f, int tag, int64_t b, int64_t row)
{
    const int64_t rows = tag == 0 ? 1 : p->rows, cols = tag == 1 ? 1 : p->cols;
    num *terms = malloc((size_t)(rows * cols * f->dim) * sizeof *terms);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            memcpy(terms + (i * cols + j) * f->dim, node_at(p, f, b, tag == 0 ? row : i, tag == 1 ? row : j),
                   (size_t)f->dim * sizeof *terms);
    return terms;
}

int64_t term_count_of(const program *p, int tag)
{
    return tag == 0 ? p->cols : tag == 1 ? p->rows : p->rows * p->cols;
}

/* A reduction within a formula. */
static node *grow_reduction(program *p)
{
    static const char *const names[] = {"Sum", "LogSumExp", "Min", "Max"};
    const int kind = pick(4), tag = pick(6) || p->schedule[0] == 'c' ? pick(2) : 2;
    node *x = any(p);
    if (p->sweeps_left == 0 || x->dim > 12 || !(x = fit(p, x, -3, 3)))
        return NULL;
    p->sweeps_left--;
    node *f = node_make(p, x->dim,
                        x->axes & (tag == 0   ? AXIS_I
                                   : tag == 1 ? AXIS_J
                                              : 0),
                        x->batch, "%s_Reduction(%s,%d)", names[kind], x->text, tag);
    f->operators = x->operators;
    f->vectors = x->vectors;
    const int64_t count = term_count_of(p, tag);
    FOR_POINTS(p, f)
    {
        num *terms = terms_of(p, x, tag, b, tag == 0 ? i : j), *r = node_at(p, f, b, i, j);
        int64_t at;
        bool sure;
        for (int k = 0; k < f->dim; k++)
            r[k] = kind == 0   ? sum_of(terms + k, count, f->dim)
                   : kind == 1 ? log_sum_exp(terms + k, f->dim, NULL, 0, count)
                               : ranked(terms + k, f->dim, count, 0, kind == 3, &at, &sure);
        free(terms);
    }
    return f;
}

/* Rows of a table by number. */
static node *grow_gather(program *p)
{
    node *table = any(p), *index = any_of(p, 1, 1);
    if (!index || (table->axes != AXIS_I && table->axes != AXIS_J) || index->axes == (AXIS_I | AXIS_J) ||
        table->dim > 20)
        return NULL;
    const int64_t rows = table->axes == AXIS_I ? p->rows : p->cols;
    if (p->sweeps_left == 0 || !(index = fit(p, index, -1.4, (double)rows + 0.4)))
        return NULL;
    p->sweeps_left--;
    node *f =
        node_make(p, table->dim, index->axes, table->batch || index->batch, "Gather(%s,%s)", table->text, index->text);
    f->operators = table->operators | index->operators;
    f->vectors = table->vectors | index->vectors;
    FOR_POINTS(p, f)
    {
        const num *x = node_at(p, index, b, i, j);
        const int64_t row = (int64_t)roundl(x->v);
        const bool sure = fabsl(fabsl(x->v - roundl(x->v)) - 0.5L) > 4 * x->e;
        for (int k = 0; k < f->dim; k++) {
            num *r = node_at(p, f, b, i, j) + k;
            *r = row < 0 || row >= rows
                     ? (num){0}
                     : node_at(p, table, b, table->axes == AXIS_I ? row : 0, table->axes == AXIS_J ? row : 0)[k];
            if (!sure)
                r->e = INFINITY;
        }
    }
    return f;
}

/* Keeps what is well-conditioned. */
static node *keep(program *p, node *f)
{
    if (!is_good(p, f))
        return NULL;
    f->worth = worth_of(p, f);
    if (p->count < POOL)
        p->pool[p->count++] = f;
    else
        p->pool[p->leaves + pick(POOL - p->leaves)] = f;
    return f;
}

node *grow(program *p, int steps)
{
    node *last = NULL;
    for (int tries = 0; steps > 0 && tries < 200; tries++) {
        const int what = pick(100);
        node *f = keep(p, what < 52   ? grow_elementwise(p)
                          : what < 95 ? grow_vector(p)
                          : what < 98 ? grow_reduction(p)
                                      : grow_gather(p));
        if (f) {
            last = f;
            steps--;
        }
    }
    return last;
}
