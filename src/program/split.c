/* SPDX-License-Identifier: MIT */
/* program/split.c: sums over both axes that a sweep over one of them computes as well. */
#include "compile.h"
#include "passes.h"
#include "reductions.h"

static bool is_sum_of_pairs(const kg_item *it)
{
    return it->group != KG_NONE && it->node->param[0] == KF_REDUCE_SUM &&
           (it->node->param[1] & KF_PAIR_AXES) == KF_PAIR_AXES;
}

static void mark(kg_compiler *c, const kf_node *f)
{
    kg_item *it = f->op == KF_REDUCE ? kg_item_of(c, f) : NULL;
    if (it)
        it->is_needed = true;
}

static bool mark_needed(kg_compiler *c)
{
    for (size_t k = 0; k < c->item_count; k++) {
        const kf_node *node = c->items[k].node;
        kf_order order;
        if (kf_order_init(&order, c->g, (size_t)node->arg_count, node->arg, true, c->err) < 0)
            return false;
        for (size_t n = 0; n < order.count; n++)
            mark(c, order.nodes[n]);
        kf_order_finish(&order);
    }
    return true;
}

/* Counts the operators of the pair, below `f`, that are in `of_sweep` as well. */
static bool count_shared(kg_compiler *c, const kf_node *f, const kf_order *of_sweep, size_t *count)
{
    kf_order order;
    *count = 0;
    if (kf_order_init(&order, c->g, 1, &f, true, c->err) < 0)
        return false;
    for (size_t k = 0; k < order.count; k++) {
        const kf_node *node = order.nodes[k];
        *count += (node->axes & KF_PAIR_AXES) == KF_PAIR_AXES && kf_reached(of_sweep, node);
    }
    kf_order_finish(&order);
    return true;
}

/* Compares a sum over both axes with the sweep of a group of the same level. */
static bool compare_sum(kg_compiler *c, kg_item *it, const kg_group *gr, const kf_order *of_sweep)
{
    for (int turn = 0; turn < 2; turn++) {
        const int rows = turn ? it->facts.cols : it->facts.rows, cols = turn ? it->facts.rows : it->facts.cols;
        if (rows != gr->rows || cols != gr->cols)
            continue;
        const kf_node *f = turn ? kg_turned(c, it->node->arg[0]) : it->node->arg[0];
        size_t shared;
        if (!f)
            return kg_graph_error(c);
        if (!count_shared(c, f, of_sweep, &shared))
            return false;
        if (shared > it->shared) {
            it->shared = shared;
            it->by_rows = f;
        }
    }
    return true;
}

/* Finds what the sums over both axes of a level share with the sweep of a group of that level. */
static bool compare_with_group(kg_compiler *c, const kg_group *gr)
{
    const kf_node **formulas = kb_calloc(c->a, gr->item_count + 1, sizeof *formulas);
    size_t count = 0;
    kf_order of_sweep;
    if (!formulas)
        return kg_out_of_memory(c);
    for (uint32_t k = gr->items.first; k != KG_NONE; k = c->items[k].next_of_group)
        formulas[count++] = c->items[k].node->arg[0];
    kcl_status status = kf_order_init(&of_sweep, c->g, count, formulas, true, c->err);
    kb_free(c->a, formulas);
    if (status < 0)
        return false;
    bool ok = true;
    for (uint32_t k = c->levels[gr->level].items.first; ok && k != KG_NONE; k = c->items[k].next_of_level) {
        kg_item *it = &c->items[k];
        if (is_sum_of_pairs(it) && !it->is_needed && it->facts.batch == gr->batch)
            ok = compare_sum(c, it, gr, &of_sweep);
    }
    kf_order_finish(&of_sweep);
    return ok;
}

static const kf_node *sum_of_rows(void *user, const kf_node *leaf)
{
    kg_compiler *c = user;
    const kg_item *it = leaf->op == KF_REDUCE ? kg_item_of(c, leaf) : NULL;
    if (!it || !it->by_rows)
        return leaf;
    const kf_node *rows = kf_reduce(c->g, KF_REDUCE_SUM, KF_AXIS_J, 0, it->by_rows);
    return rows ? kf_reduce(c->g, KF_REDUCE_SUM, (unsigned)(it->node->param[1] & ~(int64_t)KF_AXIS_J), 0, rows) : NULL;
}

static bool has_sums_of_pairs(const kg_compiler *c, const kg_level *level)
{
    for (uint32_t k = level->items.first; k != KG_NONE; k = c->items[k].next_of_level)
        if (is_sum_of_pairs(&c->items[k]))
            return true;
    return false;
}

/*
 * A sum over both axes needs a sweep of its own. Where a sweep over columns runs through the same pairs and computes some
 * of the same operators, as the other gradients do beside a gradient in a parameter, the sum over both axes is the sum of
 * that sweep's row sums instead. Only in roots: what other reductions need would come a level later.
 */
bool kg_split_sums(kg_compiler *c, bool *changed)
{
    bool any = false;
    *changed = false;
    for (size_t level = 0; level < c->level_count; level++)
        any = any || has_sums_of_pairs(c, &c->levels[level]);
    if (!any)
        return true;
    if (!mark_needed(c))
        return false;
    for (size_t k = 0; k < c->group_count; k++)
        if (c->groups[k].reduced == KF_AXIS_J && has_sums_of_pairs(c, &c->levels[c->groups[k].level]) &&
            !compare_with_group(c, &c->groups[k]))
            return false;
    for (size_t r = 0; r < c->program->root_count; r++) {
        const kf_node *before = c->roots[r];
        if (before->op == KF_REDUCE)
            c->roots[r] = sum_of_rows(c, before);
        else if (kf_substitute(c->g, 1, &before, true, sum_of_rows, c, &c->roots[r]) < 0)
            c->roots[r] = NULL;
        if (!c->roots[r])
            return kg_graph_error(c);
        *changed = *changed || c->roots[r] != before;
    }
    return true;
}
