/* SPDX-License-Identifier: MIT */
/*
 * formula/select.c: smallest and largest values as formulas of the terms that they are.
 *
 * With a_i the index of the smallest F(x_i, y_j), the value is F(x_i, Gather(y, a)_i): the same number, but a formula
 * of rows, whose derivatives, to any order, take as many steps as there are rows, not pairs. Of equally small terms,
 * derivatives follow the first, which is the term of the index. A row with too few terms keeps its infinity; what the
 * infinity depends on is masked, so that nothing reaches the variables from there.
 */
#include "derive.h"
#include "make.h"
#include "partial.h"
#include "passes.h"
#include "reductions.h"

typedef struct selection {
    kf_graph *g;
    kf_order order;
    const kf_node **made; /* by position */
    bool *moves;          /* by position: the node depends on one of the variables */

    /* While a term is written: */
    unsigned axes;         /* the reduced axes */
    const kf_node *index;  /* all indices */
    const kf_node *number; /* the index of the term, a real number */
    int64_t at;            /* its component of the index */
} selection;

/* A term while it is written: `terms` is F, whose axes are as long as the axes of the reduction. */
typedef struct term {
    const selection *s;
    const kf_node *terms;
} term;

bool kf_is_among(const kf_node *f, size_t var_count, const kf_node *const *vars)
{
    for (size_t k = 0; f->op == KF_VAR && k < var_count; k++)
        if (vars[k]->param[0] == f->param[0])
            return true;
    return false;
}

/* Rows of f at the index of the term. If f has no reduced axis: f itself, or 0 if there is no term. */
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

/* a i + b j + c: on a reduced axis, the number of the term. `terms` tell how long the axes are. */
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

/* A node of F at the term: leaves are taken at the index. */
static const kf_node *node_at_index(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const term *t = user;
    if (f->op == KF_INDEX)
        return number_at_index(t->s, f, t->terms);
    if (f->op == KF_VAR || f->op == KF_REDUCE)
        return rows_at_index(t->s, t->s->made[kf_at(&t->s->order, f)]);
    return f->op == KF_LIKE ? kf_like_on(g, args[0], f->arg[1], ~t->s->axes) : kf_rebuild(g, f, args);
}

/* F at the term. */
static const kf_node *term_at_index(const selection *s, const kf_node *terms)
{
    const kf_node *value = NULL;
    if (terms->op == KF_REDUCE) /* a reduction is a leaf */
        return rows_at_index(s, s->made[kf_at(&s->order, terms)]);
    return kf_rewrite(s->g, s->g, 1, &terms, true, node_at_index, &(term){s, terms}, &value) < 0 ? NULL : value;
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
    /* The index of a missing term is -1, the value 1/0. */
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

static const kf_node *select_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    selection *s = user;
    if (!s->moves[kf_at(&s->order, f)] || (!is_choice(f) && kf_keeps_operands(f, args)))
        return f;
    return is_choice(f) ? selected(s, f) : kf_rebuild(g, f, args);
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
    kcl_status status = s.made && s.moves ? KCL_OK : kb_no_memory(&g->error);
    for (size_t k = 0; status == KCL_OK && k < s.order.count; k++) {
        const kf_node *f = s.order.nodes[k];
        s.moves[k] = kf_is_among(f, var_count, vars);
        for (int c = 0; c < f->arg_count; c++)
            s.moves[k] |= s.moves[kf_at(&s.order, f->arg[c])];
        s.moves[k] = s.moves[k] && f->kind != KF_INT;
    }
    if (status == KCL_OK)
        status = kf_rewrite_in_order(g, &s.order, select_node, &s, s.made);
    if (status == KCL_OK)
        *out = s.made[kf_at(&s.order, F)];
    kb_free(alloc, s.made);
    kb_free(alloc, s.moves);
    kf_order_finish(&s.order);
    return status;
}
