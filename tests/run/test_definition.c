/* SPDX-License-Identifier: MIT */
/*
 * Random formulas (random_formula.h) on a device, and by the interpreter, against their definition, which shares nothing with
 * the library: operators, vectors, complex numbers, reductions over either axis or both and within formulas, numbers of
 * rows, gathers, batches, strides, both types of numbers, gradients.
 *
 * What is compared may be off by what the definition says that rounding does. KEOPSCL_TEST_PROGRAM=K repeats program K alone,
 * KEOPSCL_TEST_PROGRAMS=N draws N of them.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "random_formula.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static kcl_context *device, *host;
static int part = 0, parts = 1;
static bool host_alone;
static struct {
    long formulas, gradients, compared, loose, programs;
    long op[D_COUNT];
    long vector[64]; /* by V_... */
    long reduction[16];
    double worst;
} totals;

/* ---- Programs ------------------------------------------------------------------------------------------------------ */

/* A variable with values from low to high that its type holds. */
static int variable_make(program *p, const char *name, int role, int dim, double low, double high)
{
    variable *v = &p->var[p->var_count];
    ck_assert_int_lt(p->var_count, MOST_VARS);
    *v = (variable){.role = role, .dim = dim, .how = (layout)pick(LAYOUT_COUNT)};
    snprintf(v->name, sizeof v->name, "%s", name);
    v->batches = !p->has_batches ? 0 : p->var_count == 0 ? 3 : pick(4);
    const int64_t count = batches_of(p) * rows_of_role(p, role) * dim;
    v->data = malloc((size_t)count * sizeof *v->data);
    for (int64_t n = 0; n < count; n++)
        v->data[n] = p->dtype == KCL_F32 ? (double)(float)uniform(low, high) : uniform(low, high);
    return p->var_count++;
}

static int64_t variable_batches(const program *p, const variable *v)
{
    return (v->batches & 1 ? p->batch[0] : 1) * (v->batches & 2 ? p->batch[1] : 1);
}

/* The batch of v that belongs to batch b of all. */
static int64_t batch_of_variable(const program *p, const variable *v, int64_t b)
{
    const int64_t first = v->batches & 1 ? b / p->batch[1] : 0, second = v->batches & 2 ? b % p->batch[1] : 0;
    return first * (v->batches & 2 ? p->batch[1] : 1) + second;
}

static double variable_at(const program *p, const variable *v, int64_t b, int64_t row, int component)
{
    return v->data[(batch_of_variable(p, v, b) * rows_of_role(p, v->role) + row) * v->dim + component];
}

static node *leaf_of(program *p, int k)
{
    const variable *v = &p->var[k];
    node *f = node_make(p, v->dim, v->role == 0 ? AXIS_I : v->role == 1 ? AXIS_J : 0, v->batches != 0, "%s", v->name);
    FOR_POINTS(p, f)
    {
        const int64_t row = v->role == 0 ? i : v->role == 1 ? j : 0;
        for (int c = 0; c < v->dim; c++) {
            num *r = node_at(p, f, b, i, j) + c;
            r->v = variable_at(p, v, b, row, c);
            for (int t = 0; t < DIRECTIONS; t++)
                r->d[t] = k == p->moved[t] && row == p->moved_row[t] && c == p->moved_component[t];
        }
    }
    return f;
}

static node *index_leaf(program *p, int a, int c, int e, const char *text)
{
    node *f = node_make(p, 1, (a ? AXIS_I : 0) | (c ? AXIS_J : 0), false, "%s", text);
    FOR_POINTS(p, f) * node_at(p, f, b, i, j) = number(a * i + c * j + e);
    return f;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void program_make(program *p, int number_of)
{
    static const char *const schedules[] = {"", "", "lanes", "rows", "split", "columns"};
    static const int64_t sizes[] = {1, 5, 16, 17, 23, 33};
    *p = (program){.dtype = number_of % 2 ? KCL_F32 : KCL_F64,
                   .schedule = schedules[pick(6)],
                   .tag = pick(5) ? pick(2) : 2,
                   .batch = {1, 1}};
    definition_unit = p->dtype == KCL_F32 ? 0x1p-24L : 0x1p-53L;
    p->has_batches = pick(4) == 0;
    if (p->has_batches) {
        p->batch[0] = 1 + pick(3);
        p->batch[1] = 2;
    }
    const bool is_long = pick(8) == 0; /* in components */
    p->rows = p->has_batches || is_long ? 1 + pick(19) : sizes[pick(6)];
    p->cols = p->has_batches || is_long ? 1 + pick(19) : sizes[pick(6)];
    const int dim = is_long ? LONG_DIM + 1 + pick(20) : 1 + pick(10), other = pick(2) ? dim : 1 + pick(10);
    const struct {
        const char *name;
        int role, dim;
    } leaves[VARIABLES] = {{"x", 0, dim},
                           {"y", 1, dim},
                           {"u", 0, 1},
                           {"v", 1, 1},
                           {"p", 2, is_long ? 3 : other},
                           {"q", 2, 1},
                           {"A", pick(3), pick(2) ? 4 : 9},
                           {"t", 2, 6},
                           {"w", pick(2), is_long ? 2 : other}};
    for (size_t k = 0; k < KB_COUNT(leaves); k++)
        variable_make(p, leaves[k].name, leaves[k].role, leaves[k].dim, is_long && leaves[k].dim > 10 ? -0.4 : -1.5,
                      is_long && leaves[k].dim > 10 ? 0.4 : 1.5);
    variable *knots = &p->var[KNOTS];
    for (int64_t n = 0; n < variable_batches(p, knots); n++) {
        double *t = knots->data + n * knots->dim;
        qsort(t, (size_t)knots->dim, sizeof *t, compare_doubles);
        for (int k = 0; k < knots->dim; k++) /* apart */
            t[k] = p->dtype == KCL_F32 ? (double)(float)(0.5 * t[k] + 0.5 * k) : 0.5 * t[k] + 0.5 * k;
    }
    p->sweeps_left = pick(3) ? 0 : 2;
    for (int t = 0; t < DIRECTIONS; t++) {
        do
            p->moved[t] = pick(VARIABLES);
        while (p->moved[t] == KNOTS);
        const variable *moved = &p->var[p->moved[t]];
        p->moved_row[t] = pick((int)rows_of_role(p, moved->role));
        p->moved_component[t] = pick(moved->dim);
        if (strcmp(p->schedule, "columns") == 0 && (p->tag == 2 || moved->role == 2))
            p->schedule = ""; /* it cannot reduce both axes */
    }
    for (int k = 0; k < (int)KB_COUNT(leaves); k++)
        p->pool[p->count++] = leaf_of(p, k);
    p->pool[p->count++] = index_leaf(p, 1, 0, 0, "IndexI");
    p->pool[p->count++] = index_leaf(p, 0, 1, 0, "IndexJ");
    p->pool[p->count++] = index_leaf(p, 1, -1, 2, "Index(1,-1,2)");
    p->pool[p->count++] = constant(p, 0.75);
    p->pool[p->count++] = constant(p, 0.1);
    node *iota = node_make(p, 3, 0, false, "Iota(3)");
    for (int k = 0; k < 3; k++)
        iota->at[k] = number(k);
    p->pool[p->count++] = iota;
    p->leaves = p->count;
    for (int k = 0; k < p->leaves; k++)
        p->pool[k]->worth = worth_of(p, p->pool[k]);
}

static void program_free(program *p)
{
    for (int k = 0; k < p->all_count; k++) {
        free(p->all[k]->text);
        free(p->all[k]->at);
        free(p->all[k]);
    }
    for (int k = 0; k < p->result_count; k++) {
        free(p->result[k].text);
        free(p->result[k].want);
        free(p->result[k].number);
        free(p->result[k].terms);
        free(p->result[k].sure);
    }
    for (int k = 0; k < p->var_count; k++)
        free(p->var[k].data);
    free(p);
}

/* The variable that is the cotangent of results of a role and a dimension. */
static int cotangent(program *p, int role, int dim)
{
    char name[16];
    snprintf(name, sizeof name, "e%c%d", "ijp"[role], dim);
    for (int k = 0; k < p->var_count; k++)
        if (strcmp(p->var[k].name, name) == 0)
            return k;
    return p->var_count < MOST_VARS ? variable_make(p, name, role, dim, -1, 1) : -1;
}

static const struct {
    const char *name;
    enum { SUM, LOGSUMEXP, RANKED, WEIGHTED_LOG, WEIGHTED_SOFT, SHIFT } what;
    bool largest, has_values, has_indices, has_k, weighted;
} reductions[] = {
    {"Sum", SUM, false, true, false, false, false},
    {"Sum", SUM, false, true, false, false, false},
    {"LogSumExp", LOGSUMEXP, false, true, false, false, false},
    {"Min", RANKED, false, true, false, false, false},
    {"Max", RANKED, true, true, false, false, false},
    {"ArgMin", RANKED, false, false, true, false, false},
    {"ArgMax", RANKED, true, false, true, false, false},
    {"Min_ArgMin", RANKED, false, true, true, false, false},
    {"Max_ArgMax", RANKED, true, true, true, false, false},
    {"KMin", RANKED, false, true, false, true, false},
    {"ArgKMin", RANKED, false, false, true, true, false},
    {"KMin_ArgKMin", RANKED, false, true, true, true, false},
    {"KMax", RANKED, true, true, false, true, false},
    {"LogSumExpWeight", WEIGHTED_LOG, false, true, false, false, true},
    {"SumSoftMaxWeight", WEIGHTED_SOFT, false, true, false, false, true},
    {"Max_SumShiftExp", SHIFT, true, true, false, false, false},
};

/* A result's numbers: of values and of indices. */
static void fill_result(program *p, result *r, size_t kind, const node *f, const node *weight, int K)
{
    const int64_t rows = rows_of_role(p, p->tag), count = term_count_of(p, p->tag);
    const bool largest = reductions[kind].largest;
    const size_t size = (size_t)(batches_of(p) * rows * r->dim);
    r->want = calloc(size, sizeof *r->want);
    r->number = calloc(size, sizeof *r->number);
    r->sure = calloc(size, sizeof *r->sure);
    r->term_count = count;
    r->term_dim = f->dim;
    if (r->kind == IS_INDEX)
        r->terms = malloc((size_t)(batches_of(p) * rows * count * f->dim) * sizeof *r->terms);
    for (int64_t b = 0; b < batches_of(p); b++) {
        for (int64_t row = 0; row < rows; row++) {
            num *terms = terms_of(p, f, p->tag, b, row), *weights = weight ? terms_of(p, weight, p->tag, b, row) : NULL;
            const int64_t first = (b * rows + row) * r->dim;
            num *want = r->want + first;
            if (r->kind == IS_INDEX)
                memcpy(r->terms + (b * rows + row) * count * f->dim, terms, (size_t)(count * f->dim) * sizeof *terms);
            for (int k = 0; k < r->dim; k++) {
                int64_t at = 0;
                bool sure = true;
                switch (reductions[kind].what) {
                case SUM:
                    want[k] = sum_of(terms + k, count, f->dim);
                    break;
                case LOGSUMEXP:
                    want[k] = log_sum_exp(terms + k, f->dim, NULL, 0, count);
                    break;
                case WEIGHTED_LOG:
                    want[k] = log_sum_exp(terms, 1, weights + k, weight->dim, count);
                    break;
                case WEIGHTED_SOFT:
                    want[k] = soft_max_weight(terms, 1, weights + k, weight->dim, count);
                    break;
                case SHIFT: /* m, then exp(log(sum of exp) - m) */
                    want[k] = ranked(terms, 1, count, 0, true, &at, &sure);
                    if (k == 1)
                        want[k] = op1(D_EXP, subtract(log_sum_exp(terms, 1, NULL, 0, count), want[k]));
                    break;
                case RANKED:
                    if (k / f->dim < KB_MIN(count, K)) {
                        want[k] = ranked(terms + k % f->dim, f->dim, count, k / f->dim, largest, &at, &sure);
                    } else {
                        want[k] = (num){.v = largest ? -INFINITY : INFINITY};
                        at = -1;
                    }
                    break;
                }
                r->number[first + k] = at;
                r->sure[first + k] = sure;
            }
            free(terms);
            free(weights);
        }
    }
}

/* The gradient of the scalar product of a result and a cotangent, in the component that moves in direction t. */
static void gradient_of(program *p, result *r, const result *of, int by, int t)
{
    const int64_t rows = rows_of_role(p, of->role);
    const variable *moved = &p->var[p->moved[t]], *e = &p->var[by];
    const int64_t of_moved = rows_of_role(p, moved->role);
    *r = (result){.kind = IS_GRADIENT, .role = moved->role, .dim = moved->dim};
    r->want = calloc((size_t)(batches_of(p) * of_moved * moved->dim), sizeof *r->want);
    r->sure = calloc((size_t)(batches_of(p) * of_moved * moved->dim), sizeof *r->sure);
    for (int64_t b = 0; b < batches_of(p); b++) {
        const int64_t at = (b * of_moved + p->moved_row[t]) * moved->dim + p->moved_component[t];
        long double size = 0;
        num sum = {0};
        for (int64_t row = 0; row < rows; row++) {
            for (int k = 0; k < of->dim; k++) {
                const num *x = &of->want[(b * rows + row) * of->dim + k];
                const long double c = variable_at(p, e, b, row, k);
                sum.v += c * x->d[t];
                sum.e += fabsl(c) * x->f[t];
                size += fabsl(c * x->d[t]);
            }
        }
        sum.e += definition_unit * size * (long double)(rows * of->dim + 4);
        r->want[at] = sum;
        r->sure[at] = true;
    }
}

__attribute__((format(printf, 1, 2))) static char *text_of(const char *format, ...)
{
    char text[4 * MOST_TEXT];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return strdup(text);
}

/* Lasts until the next. */
static const char *sum_text(const node *f)
{
    static char text[2 * MOST_TEXT];
    snprintf(text, sizeof text, "Sum(%s)", f->text);
    return text;
}

/* One more formula, of one result or two. */
static bool grow_result(program *p)
{
    const size_t kind = (size_t)pick((int)KB_COUNT(reductions));
    node *f = grow(p, 2 + pick(5)), *weight = NULL;
    const int K = reductions[kind].has_k ? 1 + pick(5) : 1;
    /* Mostly of both axes, and of a variable that moves. */
    const int wanted = pick(DIRECTIONS);
    for (int tries = 0; f && tries < 20 && pick(12); tries++) {
        const bool in_both = f->axes == (AXIS_I | AXIS_J), in_moved = moves(p, f, 0) || moves(p, f, 1);
        node *other = in_moved ? any_like(p, f) : p->pool[p->moved[wanted]];
        if (in_both && in_moved)
            break;
        if (!in_moved && other->dim != 1 && f->dim != 1 && other->dim != f->dim)
            other = apply_vector(p, V_SUM, other, NULL, NULL, 0, 0, 1, sum_text(other));
        if (other && (!in_moved || (f->axes | other->axes) == (AXIS_I | AXIS_J))) {
            node *both = elementwise(p, pick(2) ? D_MULT : D_ADD, f, other, f, 0, true);
            f = is_good(p, both) ? both : f;
        }
    }
    if (!f)
        return false;
    if (reductions[kind].weighted || reductions[kind].what == SHIFT) {
        f = f->dim == 1 ? f : apply_vector(p, V_SUM, f, NULL, NULL, 0, 0, 1, sum_text(f));
    }
    if (reductions[kind].weighted)
        weight = any(p);
    if (reductions[kind].what == WEIGHTED_LOG)
        weight = fit(p, weight, 0.3, 3);
    if (reductions[kind].weighted && (!weight || weight->dim > 12))
        return false;
    if (reductions[kind].what != SUM)
        f = fit(p, f, -6, 6);
    if (!f || f->dim * K > 60 || (f->dim > 12 && K > 1))
        return false;
    const int dim = weight ? weight->dim : reductions[kind].what == SHIFT ? 2 : f->dim * K;
    char parameter[16] = "";
    if (reductions[kind].has_k)
        snprintf(parameter, sizeof parameter, ",%d", K);
    char *text = text_of("%s_Reduction(%s%s%s%s,%d)", reductions[kind].name, f->text, weight ? "," : "",
                         weight ? weight->text : "", parameter, p->tag);
    result *r = &p->result[p->result_count];
    if (reductions[kind].has_values) {
        *r = (result){.text = text, .kind = IS_VALUE, .role = p->tag, .dim = dim};
        fill_result(p, r, kind, f, weight, K);
    }
    const int along = moves(p, f, 0) && (pick(2) || !moves(p, f, 1)) ? 0 : 1;
    const bool derive = reductions[kind].has_values && !reductions[kind].has_indices && pick(3) &&
                        reductions[kind].what != SHIFT && (K <= term_count_of(p, p->tag)) &&
                        (moves(p, f, along) || (weight && moves(p, weight, along)));
    const int by = derive ? cotangent(p, p->tag, dim) : -1;
    if (by >= 0) {
        result of = *r;
        gradient_of(p, r, &of, by, along);
        r->text = text_of("Grad(%s,%s,%s)", text, p->var[p->moved[along]].name, p->var[by].name);
        free(text);
        free(of.want);
        free(of.number);
        free(of.sure);
    }
    if (reductions[kind].has_values)
        p->result_count++;
    if (reductions[kind].has_indices) {
        r = &p->result[p->result_count++];
        *r = (result){.text = reductions[kind].has_values ? NULL : text, .kind = IS_INDEX, .role = p->tag, .dim = dim};
        fill_result(p, r, kind, f, weight, K);
    }
    for (int op = 0; op < D_COUNT; op++)
        p->op[op] += (f->operators | (weight ? weight->operators : 0)) >> op & 1;
    for (int op = 0; op < V_COUNT; op++)
        p->vector[op] += (f->vectors | (weight ? weight->vectors : 0)) >> op & 1;
    totals.reduction[kind]++;
    totals.gradients += by >= 0;
    p->formulas++;
    return true;
}

/* ---- Running ------------------------------------------------------------------------------------------------------- */

/* An array of the batches that `batches` names, in front of rows and components. */
static kcl_array array_of(const program *p, const numbers *n, int batches, int64_t rows, bool is_vector)
{
    kcl_array a = n->array;
    const int64_t first = batches & 1 ? p->batch[0] : 1, second = batches & 2 ? p->batch[1] : 1;
    if (!p->has_batches)
        return a;
    int at = 0;
    if (first > 1 || pick(2)) {
        a.shape[at] = first;
        a.stride[at++] = second * rows * n->array.stride[0];
    }
    a.shape[at] = second;
    a.stride[at++] = rows * n->array.stride[0];
    if (!is_vector) {
        a.shape[at] = rows;
        a.stride[at++] = n->array.stride[0];
    }
    a.shape[at] = n->dim;
    a.stride[at++] = n->array.stride[1];
    a.ndim = at;
    return a;
}

static void check_numbers(const program *p, int number_of, const char *where, const numbers *got, const result *r,
                          int index, const char *text)
{
    const int64_t rows = rows_of_role(p, r->role);
    const long double factor = r->kind == IS_GRADIENT ? 4 : 2;
    for (int64_t n = 0; n < batches_of(p) * rows; n++) {
        for (int c = 0; c < r->dim; c++) {
            const num *want = &r->want[n * r->dim + c];
            const double value = numbers_get(got, n, c);
            bool same;
            long double allowed = 0;
            if (r->kind == IS_GRADIENT && !r->sure[n * r->dim + c])
                continue; /* another component than those that move */
            if (r->kind == IS_INDEX) {
                const int64_t at = (int64_t)value, right = r->number[n * r->dim + c];
                same = at == right;
                if (!same && right >= 0 && at >= 0 && at < r->term_count && !r->sure[n * r->dim + c]) {
                    const num *other = &r->terms[(n * r->term_count + at) * r->term_dim + c % r->term_dim];
                    same = fabsl(other->v - want->v) <= 8 * (other->e + want->e);
                    totals.loose++;
                }
            } else {
                allowed = factor * want->e + 0x1p-120L;
                if (!(allowed <= 0.01L * (1 + fabsl(want->v)))) { /* NaN and infinity as well */
                    totals.loose++;
                    continue;
                }
                same = isinf(want->v) ? (long double)value == want->v : fabsl(value - want->v) <= allowed;
                if (same && want->e > 0)
                    totals.worst = fmax(totals.worst, (double)(fabsl(value - want->v) / allowed));
            }
            totals.compared++;
            ck_assert_msg(
                same,
                "program %d (KEOPSCL_TEST_SEED=%llu KEOPSCL_TEST_PROGRAM=%d), %s, %s, schedule \"%s\", M=%lld, "
                "N=%lld, batches %d x %d: result %d, row %lld, component %d is %.17g, by definition %.17g within "
                "%.3g: %s",
                number_of, (unsigned long long)test_seed(), number_of, where, kb_dtype_name(p->dtype), p->schedule,
                (long long)p->rows, (long long)p->cols, p->batch[0], p->batch[1], index, (long long)n, c, value,
                r->kind == IS_INDEX ? (double)r->number[n * r->dim + c] : (double)want->v, (double)allowed, text);
        }
    }
}

START_TEST(formulas_are_what_they_say)
{
    const char *only = getenv("KEOPSCL_TEST_PROGRAM");
    const int number_of = parts * _i + part;
    if (only && *only && atoi(only) != number_of)
        return;
    program *p = malloc(sizeof *p);
    seed_random(kb_hash_combine(test_seed(), (uint64_t)number_of));
    program_make(p, number_of);
    for (int tries = 0; p->formulas < RESULTS && tries < 400; tries++)
        if (grow_result(p) && pick(3) == 0)
            p->count = p->leaves;
    ck_assert_int_eq(p->formulas, RESULTS);

    kb_str text;
    char alias[MOST_VARS][40];
    const char *aliases[MOST_VARS];
    kcl_array arrays[MOST_VARS], out_arrays[2 * RESULTS];
    const kcl_array *args[MOST_VARS], *outs[2 * RESULTS];
    numbers in[MOST_VARS], out[2 * RESULTS];
    kb_str_init(&text, NULL);
    for (int k = 0; k < p->result_count; k++)
        if (p->result[k].text)
            kb_str_putf(&text, "%s%s", text.length ? ";" : "", p->result[k].text);
    ck_assert(!text.failed);
    for (int k = 0; k < p->var_count; k++) {
        const variable *v = &p->var[k];
        const int64_t rows = rows_of_role(p, v->role);
        snprintf(alias[k], sizeof alias[k], "%s=%s(%d)", v->name,
                 v->role == 0   ? "Vi"
                 : v->role == 1 ? "Vj"
                                : "Pm",
                 v->dim);
        aliases[k] = alias[k];
        numbers_make(&in[k], p->dtype, variable_batches(p, v) * rows, v->dim, v->how);
        for (int64_t n = 0; n < in[k].rows; n++)
            for (int c = 0; c < v->dim; c++)
                numbers_set(&in[k], n, c, v->data[n * v->dim + c]);
        arrays[k] = array_of(p, &in[k], v->batches, rows, v->role == 2);
        args[k] = &arrays[k];
    }
    kcl_operator *op;
    ck_assert_msg(kcl_operator_create(&op, kb_str_text(&text), p->var_count, aliases,
                                      &(kcl_operator_params){.schedule = p->schedule}) == KCL_OK,
                  "program %d: %s\n%s", number_of, kcl_operator_error(op), kb_str_text(&text));
    ck_assert_int_eq(kcl_operator_output_count(op), p->result_count);
    for (int on_host = host_alone; on_host < 2; on_host++) {
        kcl_context *context = on_host ? host : device;
        for (int k = 0; k < p->result_count; k++) {
            const result *r = &p->result[k];
            const int64_t rows = rows_of_role(p, r->role);
            numbers_make(&out[k], r->kind == IS_INDEX ? KCL_I64 : p->dtype, batches_of(p) * rows, r->dim,
                         (layout)pick(LAYOUT_COUNT));
            out_arrays[k] = array_of(p, &out[k], 3, rows, false);
            outs[k] = &out_arrays[k];
        }
        ck_assert_msg(kcl_operator_apply(op, context, outs, p->result_count, args, p->var_count) == KCL_OK,
                      "program %d, %s: %s\n%s", number_of, on_host ? "interpreter" : "device",
                      kcl_context_error(context), kb_str_text(&text));
        const char *named = NULL;
        for (int k = 0; k < p->result_count; k++) {
            named = p->result[k].text ? p->result[k].text : named;
            numbers_check_gaps(&out[k]);
            check_numbers(p, number_of, on_host ? "by the interpreter" : "on the device", &out[k], &p->result[k], k,
                          named);
            numbers_free(&out[k]);
        }
    }
    for (int k = 0; k < D_COUNT; k++)
        totals.op[k] += p->op[k];
    for (int k = 0; k < V_COUNT; k++)
        totals.vector[k] += p->vector[k];
    totals.formulas += p->formulas;
    totals.programs++;
    kcl_operator_destroy(&op);
    kb_str_finish(&text);
    for (int k = 0; k < p->var_count; k++)
        numbers_free(&in[k]);
    program_free(p);
}
END_TEST

/* What all programs together held: nearly every operation, and few numbers that cannot be compared. */
START_TEST(formulas_held_what_there_is)
{
    int missing = 0;
    kb_str names;
    kb_str_init(&names, NULL);
    for (int op = 0; op < D_COUNT; op++)
        if (!totals.op[op] && ++missing)
            kb_str_putf(&names, " %s", definition_operators[op].name);
    for (int op = 0; op < V_COUNT; op++)
        if (!totals.vector[op] && ++missing)
            kb_str_putf(&names, " %s", vector_names[op]);
    for (size_t kind = 0; kind < KB_COUNT(reductions); kind++)
        if (!totals.reduction[kind] && ++missing)
            kb_str_putf(&names, " %s_Reduction", reductions[kind].name);
    printf("%ld formulas in %ld programs, %ld of them gradients; %ld numbers compared, %ld could not be, largest error "
           "%.2g "
           "of what is allowed; never:%s\n",
           totals.formulas, totals.programs, totals.gradients, totals.compared, totals.loose, totals.worst,
           kb_str_text(&names));
    if (!getenv("KEOPSCL_TEST_PROGRAM")) {
        if (totals.programs >= 50)
            ck_assert_msg(missing <= 3, "none of%s in the formulas", kb_str_text(&names));
        ck_assert_int_eq(totals.formulas, RESULTS * totals.programs);
        ck_assert_int_ge(10 * totals.gradients, totals.formulas);
        ck_assert_int_le(10 * totals.loose, totals.compared);
    }
    kb_str_finish(&names);
}
END_TEST

static int programs_in_all(void)
{
    const char *text = getenv("KEOPSCL_TEST_PROGRAMS");
    return text && *text ? atoi(text) : long_tests() || host_alone ? 100 : 5;
}

/* Arguments: "host", the interpreter alone; or K N, programs K, K+N, ... */
int main(int argc, char **argv)
{
    host_alone = argc == 2 && strcmp(argv[1], "host") == 0;
    if (host_alone)
        setenv("KEOPSCL_TEST_DEVICE", "host", 1);
    else if (argc > 1 && (argc != 3 || (parts = atoi(argv[2])) < 1 || (part = atoi(argv[1])) < 0 || part >= parts))
        return 1;
    const test_entry tests[] = {{formulas_are_what_they_say, (programs_in_all() + parts - 1 - part) / parts},
                                {formulas_held_what_there_is, 0}};
    return run_on_device(argv[0], "formulas by definition", tests, KB_COUNT(tests), NULL, NULL, &device, &host);
}
