/* SPDX-License-Identifier: MIT */
/*
 * formula/select.c: smallest and largest values as formulas of the terms that they are.
 *
 * With a_i the index of the smallest F(x_i, y_j), the value is F(x_i, Gather(y, a)_i): the same number, but a formula of
 * rows, whose derivatives, to any order, take as many steps as there are rows and not as there are pairs. Where terms
 * are equally small it is the first of them, the one of the index, that is followed. A row with too few terms keeps its
 * infinity, and what it depends on is masked, so that nothing reaches the variables from there.
 */
#include "graph.h"

typedef struct selection {
    kf_graph *g;
    kf_order order;
    const kf_node **made; /* by position */
    bool *moves;          /* depends on one of the variables, by position */

    /* While a term is written: */
    unsigned axes;         /* that are reduced */
    const kf_node *index;  /* all indices */
    const kf_node *number; /* the one of the term, a real number */
    int64_t at;            /* its component of the index */
} selection;

bool kf_is_among(const kf_node *f, size_t var_count, const kf_node *const *vars)
{
    for (size_t k = 0; f->op == KF_VAR && k < var_count; k++)
        if (vars[k]->param[0] == f->param[0])
            return true;
    return false;
}

/* Rows of f at the index of the term; without a reduced axis, f itself where there is a term. */
static const kf_node *rows_at_index(const selection *s, const kf_node *f)
{
    kf_graph *g = s->g;
    if (!(f->axes & s->axes))
        return kf_make(g, KF_IFELSE, (const kf_node *[]){s->number, f, kf_zero(g, 1)}, NULL);
    const unsigned rows = f->axes & s->axes & KF_PAIR_AXES;
    const int64_t dim = f->dim;
    f = kf_gather(g, f, s->index,
                  !rows                                      ? KF_ROW_OF_PLACE
                  : (s->axes & KF_PAIR_AXES) != KF_PAIR_AXES ? KF_ROW
                  : rows == KF_AXIS_I                        ? KF_ROW_I
                                                             : KF_ROW_J);
    if (!f || s->index->dim == 1)
        return f;
    return kf_make(g, KF_EXTRACT, &f, (int64_t[]){s->at * dim, dim});
}

/* a i + b j + c: of a reduced axis, the number of the term. `terms` tell how long the axes are. */
static const kf_node *number_at_index(const selection *s, const kf_node *leaf, const kf_node *terms)
{
    kf_graph *g = s->g;
    const kf_node *sum = kf_rat(g, leaf->param[2], 1);
    for (int k = 0; k < 2 && sum; k++) {
        if (!leaf->param[k])
            continue;
        const kf_node *part = kf_index(g, k ? 0 : leaf->param[0], k ? leaf->param[1] : 0, 0);
        if (part && part->axes & s->axes)
            part = rows_at_index(s, kf_like_on(g, part, terms, part->axes));
        sum = kf_binary(g, KF_ADD, part, sum);
    }
    return sum;
}

/* F of the term: its leaves at the index. */
static const kf_node *term_at_index(selection *s, const kf_node *terms)
{
    kf_graph *g = s->g;
    if (terms->op == KF_REDUCE) /* as a leaf */
        return rows_at_index(s, s->made[kf_at(&s->order, terms)]);
    kf_order order;
    if (kf_order_init(&order, g, 1, &terms, true, &g->error) < 0)
        return NULL;
    const kf_node **made = kb_calloc(kf_allocator(g), order.count, sizeof *made), *value = NULL;
    bool ok = made != NULL;
    if (!ok)
        kb_no_memory(&g->error);
    for (size_t k = 0; ok && k < order.count; k++) {
        const kf_node *f = order.nodes[k], *args[KF_MAX_ARGS] = {NULL};
        for (int n = 0; f->op != KF_REDUCE && n < f->arg_count; n++)
            args[n] = made[kf_at(&order, f->arg[n])];
        made[k] = f->op == KF_INDEX                       ? number_at_index(s, f, terms)
                  : f->op == KF_VAR || f->op == KF_REDUCE ? rows_at_index(s, s->made[kf_at(&s->order, f)])
                  : f->op == KF_LIKE                      ? kf_like_on(g, args[0], f->arg[1], ~s->axes)
                                                          : kf_rebuild(g, f, args);
        ok = made[k] != NULL;
    }
    if (ok)
        value = made[kf_at(&order, terms)];
    kb_free(kf_allocator(g), made);
    kf_order_finish(&order);
    return value;
}

/* Value number s->at of f. */
static const kf_node *value_at(selection *s, const kf_node *f, bool largest)
{
    kf_graph *g = s->g;
    const kf_node *terms = f->arg[0], *value = NULL, *none = NULL;
    s->number = s->index->dim == 1 ? kf_to_real(g, s->index) : kf_make(g, KF_ELEM, &s->index, &s->at);
    if (!s->number)
        return NULL;
    value = term_at_index(s, terms);
    if (!value)
        return NULL;
    if (terms->dim > 1)
        value = kf_make(g, KF_ELEM, &value, &(int64_t){s->at % terms->dim});
    /* The index of no term is -1, the value 1/0. */
    none = kf_unary(g, KF_INV, kf_binary(g, KF_ADD, s->number, kf_rat(g, 1, 1)));
    none = largest ? kf_unary(g, KF_MINUS, none) : none;
    return kf_make(g, KF_IFELSE, (const kf_node *[]){s->number, value, none}, NULL);
}

/* Values from..from+count-1, in a tree of few levels. */
static const kf_node *values(selection *s, const kf_node *f, bool largest, int64_t from, int64_t count)
{
    if (count == 1) {
        s->at = from;
        return value_at(s, f, largest);
    }
    const kf_node *first = values(s, f, largest, from, count / 2);
    return kf_binary(s->g, KF_CONCAT, first, values(s, f, largest, from + count / 2, count - count / 2));
}

/* Reductions that choose terms, and those that find the numbers of the terms. */
static const struct choice {
    kf_reduction numbers; /* KF_REDUCE_SUM, the first of all: it chooses none */
    bool is_largest;
    bool is_mean; /* of the values, not these themselves */
} choices[KF_REDUCTION_COUNT] = {
    [KF_REDUCE_MIN] = {KF_REDUCE_ARGMIN, false, false},      [KF_REDUCE_MAX] = {KF_REDUCE_ARGMAX, true, false},
    [KF_REDUCE_KMIN] = {KF_REDUCE_ARGKMIN, false, false},    [KF_REDUCE_KMAX] = {KF_REDUCE_ARGKMAX, true, false},
    [KF_REDUCE_MEANKMIN] = {KF_REDUCE_ARGKMIN, false, true}, [KF_REDUCE_MEANKMAX] = {KF_REDUCE_ARGKMAX, true, true},
};

/* The sum of values number from..from+count-1 of each component, in a tree of few levels. */
static const kf_node *sum_of_values(selection *s, const kf_node *f, bool largest, int64_t from, int64_t count)
{
    if (count == 1)
        return values(s, f, largest, from * f->dim, f->dim);
    const kf_node *first = sum_of_values(s, f, largest, from, count / 2);
    return kf_binary(s->g, KF_ADD, first, sum_of_values(s, f, largest, from + count / 2, count - count / 2));
}

static const kf_node *selected(selection *s, const kf_node *f)
{
    const struct choice *choice = &choices[f->param[0]];
    s->axes = (unsigned)f->param[1];
    s->index = kf_reduce(s->g, choice->numbers, s->axes, f->param[2], f->arg[0]);
    if (!s->index)
        return NULL;
    if (!choice->is_mean)
        return values(s, f, choice->is_largest, 0, f->dim);
    const kf_node *sum = sum_of_values(s, f, choice->is_largest, 0, f->param[2]);
    return kf_binary(s->g, KF_MULT, kf_rat(s->g, 1, f->param[2]), sum);
}

static bool is_choice(const kf_node *f)
{
    return f->op == KF_REDUCE && choices[f->param[0]].numbers != KF_REDUCE_SUM;
}

static const kf_node *rewritten(selection *s, const kf_node *f)
{
    if (is_choice(f))
        return selected(s, f);
    const kf_node *args[KF_MAX_ARGS] = {NULL};
    bool changed = false;
    for (int c = 0; c < f->arg_count; c++) {
        args[c] = s->made[kf_at(&s->order, f->arg[c])];
        changed |= args[c] != f->arg[c];
    }
    return changed ? kf_rebuild(s->g, f, args) : f;
}

kcl_status kf_select_terms(kf_graph *g, const kf_node *F, size_t var_count, const kf_node *const *vars,
                           const kf_node **out)
{
    selection s = {.g = g};
    if (kf_order_init(&s.order, g, 1, &F, false, &g->error) < 0)
        return g->error.status;
    const kcl_allocator *alloc = kf_allocator(g);
    s.made = kb_calloc(alloc, s.order.count, sizeof *s.made);
    s.moves = kb_calloc(alloc, s.order.count, sizeof *s.moves);
    bool ok = s.made && s.moves;
    if (!ok)
        kb_no_memory(&g->error);
    for (size_t k = 0; ok && k < s.order.count; k++) {
        const kf_node *f = s.order.nodes[k];
        s.moves[k] = kf_is_among(f, var_count, vars);
        for (int c = 0; c < f->arg_count; c++)
            s.moves[k] |= s.moves[kf_at(&s.order, f->arg[c])];
        s.moves[k] = s.moves[k] && f->kind != KF_INT;
        s.made[k] = s.moves[k] ? rewritten(&s, f) : f;
        ok = s.made[k] != NULL;
    }
    if (ok)
        *out = s.made[kf_at(&s.order, F)];
    kb_free(alloc, s.made);
    kb_free(alloc, s.moves);
    kf_order_finish(&s.order);
    return ok ? KCL_OK : g->error.status;
}
