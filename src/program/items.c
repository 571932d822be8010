/* SPDX-License-Identifier: MIT */
/* program/items.c: the reductions of a program, and which of them share a sweep. */
#include "compile.h"
#include "make.h"
#include "reductions.h"

#include <string.h>

/* ---- Items -------------------------------------------------------------------------------------------------------- */

/* The reduction in the orientation of sweeps, also where its result has no axis. */
static const kf_node *canonical(kg_compiler *c, const kf_node *reduce)
{
    unsigned batches = reduce->param[1] & KF_BATCH_AXES, pair = reduce->param[1] & KF_PAIR_AXES;
    bool of_columns = !pair && (reduce->arg[0]->axes & KF_PAIR_AXES) == KF_AXIS_J;
    if (pair != KF_AXIS_I && !of_columns)
        return reduce;
    return kf_reduce(c->g, (kf_reduction)reduce->param[0], batches | (pair ? KF_AXIS_J : 0), reduce->param[2],
                     kg_turned(c, reduce->arg[0]));
}

/* The same values as a formula of rows. */
static const kf_node *of_rows(kg_compiler *c, const kf_node *f)
{
    return (f->axes & KF_PAIR_AXES) == KF_AXIS_J ? kg_turned(c, f) : f;
}

/* The extent class of the only axis of the pair that `f` has, 0: it has none. */
static int extent_of(const kf_node *f, const kg_facts *facts)
{
    return f->axes & KF_AXIS_I ? facts->rows : f->axes & KF_AXIS_J ? facts->cols : 0;
}

/* What a step of its own needs, from its operands as they stand in the formula. */
static bool find_operands(kg_compiler *c, const kf_node *f, kg_item *it)
{
    kg_facts facts;
    if (f->param[0] == KF_REDUCE_WHOLE || kf_is_stored(f)) {
        if (!kg_facts_of(c, f->arg[0], &facts))
            return false;
        it->facts = facts;
        it->facts.rows = it->facts.cols = extent_of(f, &facts);
        it->operand[0] = of_rows(c, f->arg[0]);
        return it->operand[0] || kg_graph_error(c);
    }
    /* The values and the index of a scatter run over the same rows. */
    const kf_node *both = kf_binary(c->g, KF_CONCAT, f->arg[0], f->arg[1]);
    if (!both)
        return kg_graph_error(c);
    if (!kg_facts_of(c, both, &facts))
        return false;
    it->facts = facts;
    it->facts.cols = extent_of(f->arg[0], &facts);
    if (f->param[0] == KF_REDUCE_SCATTER) {
        if (!kg_facts_of(c, f->arg[2], &facts))
            return false;
        kg_batch batch = *kg_batch_at(c, it->facts.batch);
        kg_batch_join(&batch, kg_batch_at(c, facts.batch));
        if (!kg_find_batch(c, &batch, &it->facts.batch))
            return false;
    }
    it->facts.rows = extent_of(f, &facts);
    for (int k = 0; k < 2; k++)
        if (!(it->operand[k] = of_rows(c, f->arg[k])))
            return kg_graph_error(c);
    return true;
}

static kg_level *level_at(kg_compiler *c, uint32_t level)
{
    if (level >= c->level_count) {
        if (!kb_reserve(c->a, (void **)&c->levels, &c->level_capacity, (size_t)level + 1, sizeof *c->levels))
            return kg_out_of_memory(c), NULL;
        const kg_list none = {KG_NONE, KG_NONE};
        while (c->level_count <= level)
            c->levels[c->level_count++] = (kg_level){none, none};
    }
    return &c->levels[level];
}

static bool find_group(kg_compiler *c, kg_item *it)
{
    kg_level *level = level_at(c, it->facts.level);
    const unsigned reduced = (unsigned)it->node->param[1];
    if (!level)
        return false;
    for (uint32_t k = level->groups.first; k != KG_NONE; k = c->groups[k].next) {
        const kg_group *gr = &c->groups[k];
        if (gr->rows == it->facts.rows && gr->cols == it->facts.cols && gr->reduced == reduced &&
            gr->batch == it->facts.batch) {
            it->group = k;
            return true;
        }
    }
    if (!kb_reserve(c->a, (void **)&c->groups, &c->group_capacity, c->group_count + 1, sizeof *c->groups))
        return kg_out_of_memory(c);
    const kg_list none = {KG_NONE, KG_NONE};
    it->group = (uint32_t)c->group_count++;
    c->groups[it->group] = (kg_group){.level = it->facts.level,
                                      .rows = it->facts.rows,
                                      .cols = it->facts.cols,
                                      .batch = it->facts.batch,
                                      .reduced = reduced,
                                      .items = none,
                                      .fused = none,
                                      .roots = none,
                                      .next = KG_NONE};
    const uint32_t before = kg_append(&level->groups, it->group);
    if (before != KG_NONE)
        c->groups[before].next = it->group;
    return true;
}

/* The term of the group that computes the item: one that is there already, or a new one. */
static bool find_term(kg_compiler *c, kg_item *it)
{
    it->term = kr_term_of(c->g, it->node);
    if (!it->term.formula)
        return kg_graph_error(c);
    if (!kg_reserve_notes(c, it->term.formula->id))
        return false;
    uint32_t *link = &c->notes[it->term.formula->id].of_terms;
    for (; *link != KG_NONE; link = &c->items[*link].next_of_term) {
        const kg_item *other = &c->items[*link];
        kr_term both = other->term;
        if (other->group == it->group && kr_join_terms(&both, &it->term)) {
            it->term_index = other->term_index;
            break;
        }
    }
    if (*link == KG_NONE)
        it->term_index = (uint32_t)c->groups[it->group].term_count++;
    while (*link != KG_NONE)
        link = &c->items[*link].next_of_term;
    *link = (uint32_t)c->item_count; /* the number that the item gets */
    return true;
}

static bool keep_item(kg_compiler *c, const kf_node *reduce, const kg_item *it)
{
    kg_level *level = level_at(c, it->facts.level);
    if (!level)
        return false;
    const uint32_t number = (uint32_t)c->item_count++;
    c->items[number] = *it;
    uint32_t before = kg_append(&level->items, number);
    if (before != KG_NONE)
        c->items[before].next_of_level = number;
    if (it->group != KG_NONE) {
        before = kg_append(&c->groups[it->group].items, number);
        if (before != KG_NONE)
            c->items[before].next_of_group = number;
        c->groups[it->group].item_count++;
    }
    c->notes[it->node->id].item = c->notes[reduce->id].item = number;
    return true;
}

static bool add_item(kg_compiler *c, const kf_node *reduce)
{
    const kf_node *node = kf_is_indexed(reduce) ? of_rows(c, reduce) : canonical(c, reduce);
    if (!node)
        return kg_graph_error(c);
    if (!kg_reserve_notes(c, KB_MAX(node->id, reduce->id)))
        return false;
    if (!kb_reserve(c->a, (void **)&c->items, &c->item_capacity, c->item_count + 1, sizeof *c->items))
        return kg_out_of_memory(c);
    if (kg_item_of(c, node)) {
        c->notes[reduce->id].item = c->notes[node->id].item;
        return true;
    }
    kg_item it = {.node = node,
                  .group = KG_NONE,
                  .temp = KG_NONE,
                  .index_temp = KG_NONE,
                  .fused = KG_NONE,
                  .next_of_term = KG_NONE,
                  .next_of_group = KG_NONE,
                  .next_of_level = KG_NONE,
                  .next_fused = KG_NONE};
    if (kf_is_indexed(reduce)) {
        if (!find_operands(c, reduce, &it))
            return false;
        /* A stored value follows the sweeps of its level, or is one of their outputs. */
        it.facts.level += !kf_is_stored(reduce);
        return keep_item(c, reduce, &it);
    }
    /* The formula's own leaves; the transposed formula's reductions are known by their canonical forms. */
    const kf_node *formula = reduce->arg[0];
    const unsigned pair = (unsigned)node->param[1] & KF_PAIR_AXES;
    if (!pair && (formula->axes & KF_PAIR_AXES) == KF_PAIR_AXES)
        return kb_fail(c->err, KCL_ERROR_SHAPE,
                       "a reduction over batch axes has a formula that depends on both i and j: reduce it over one of "
                       "them, or over both, before or at once after the batch axes"),
               false;
    if (!kg_facts_of(c, formula, &it.facts))
        return false;
    if (node != reduce) {
        const int rows = it.facts.rows;
        it.facts.rows = it.facts.cols;
        it.facts.cols = rows;
    }
    it.facts.level++;
    if (pair == KF_PAIR_AXES && (node->arg[0]->axes & KF_PAIR_AXES) != KF_PAIR_AXES)
        return kb_fail(c->err, KCL_ERROR_INTERNAL, "a reduction over an axis that is not there"), false;
    return find_group(c, &it) && find_term(c, &it) && keep_item(c, reduce, &it);
}

static bool is_visited(kg_compiler *c, const kf_node *f)
{
    return c->notes[f->id].is_visited;
}

static bool visit(kg_compiler *c, const kf_node *f)
{
    if (f->op == KF_REDUCE && !kg_item_of(c, f) && !add_item(c, f))
        return false;
    c->notes[f->id].is_visited = true;
    return true;
}

bool kg_find_items(kg_compiler *c)
{
    const kg_batch none = {0};
    uint32_t number;
    if (!kg_find_batch(c, &none, &number))
        return false;
    for (size_t r = 0; r < c->program->root_count; r++)
        if (!kg_walk(c, c->roots[r], is_visited, NULL, visit))
            return false;
    /* Transposed reductions hold further transposed reductions, and steps of their own have operands as formulas of rows. */
    for (size_t k = 0; k < c->item_count; k++) {
        const kf_node *node = c->items[k].node, *operand[2] = {c->items[k].operand[0], c->items[k].operand[1]};
        for (int n = 0; n < node->arg_count; n++)
            if (!kg_walk(c, node->arg[n], is_visited, NULL, visit))
                return false;
        for (int n = 0; n < 2 && operand[n]; n++)
            if (!kg_walk(c, operand[n], is_visited, NULL, visit))
                return false;
    }
    return true;
}

void kg_forget_items(kg_compiler *c)
{
    c->note_count = c->item_count = c->group_count = c->level_count = 0;
}
