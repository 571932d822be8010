/* SPDX-License-Identifier: MIT */
/* program/fuse.c: stored values and roots that are outputs of the sweeps which compute their reductions. */
#include "compile.h"

enum { MOST_NESTED = 16 }; /* stored values of a sweep that are written into each other */

static bool is_stored_leaf(const kf_node *leaf)
{
    return leaf->op == KF_REDUCE && kf_is_stored(leaf);
}

/*
 * Looks for the one group that computes all reductions among the leaves; where there are none, for the group that computes
 * the stored value of the highest level. KG_NONE: there is no such group.
 */
static uint32_t find_group(const kg_compiler *c, const kf_node *const *leaves, size_t count)
{
    uint32_t found = KG_NONE;
    for (size_t k = 0; k < count; k++) {
        if (leaves[k]->op != KF_REDUCE || kf_is_stored(leaves[k]))
            continue;
        const uint32_t group = kg_item_of(c, leaves[k])->group;
        if (group == KG_NONE || (found != KG_NONE && found != group))
            return KG_NONE;
        found = group;
    }
    uint32_t highest = 0;
    const bool none = found == KG_NONE;
    for (size_t k = 0; none && k < count; k++) {
        const kg_item *it = is_stored_leaf(leaves[k]) ? kg_item_of(c, leaves[k]) : NULL;
        if (it && it->facts.level > highest) {
            highest = it->facts.level;
            found = it->fused;
        }
    }
    return found;
}

/*
 * Finds the group whose sweep can compute `f`, a root or what is stored, as an output: the sweep computes all reductions
 * of f, and what else f reads is there before the sweep. *depth: how many stored values of that sweep go into each other
 * and into f.
 */
static bool fused_group(kg_compiler *c, const kf_node *f, uint32_t *group, int *depth)
{
    kg_leaves leaves;
    *depth = 0;
    *group = KG_NONE;
    if (!kg_leaves_init(&leaves, c, f))
        return false;
    const kf_node *const *nodes = leaves.nodes;
    const uint32_t found = find_group(c, nodes, leaves.count);
    bool fits = found != KG_NONE;
    for (size_t k = 0; fits && k < leaves.count; k++) {
        const kg_item *it = is_stored_leaf(nodes[k]) ? kg_item_of(c, nodes[k]) : NULL;
        if (it && it->fused == found)
            *depth = KB_MAX(*depth, it->depth + 1);
        else
            fits = !it || it->facts.level < c->groups[found].level;
    }
    kg_leaves_finish(&leaves);
    fits = fits && *depth <= MOST_NESTED;
    if (fits && f->op != KF_REDUCE) {
        const kg_group *gr = &c->groups[found];
        const kg_batch of_results = kg_reduced_batch(kg_batch_at(c, gr->batch), gr->reduced);
        const int rows = gr->reduced & KF_AXIS_I ? 0 : gr->rows;
        kg_facts facts;
        if (!kg_facts_of(c, f, &facts))
            return false;
        fits = (!(f->axes & KF_PAIR_AXES) || facts.rows == rows) &&
               kg_same_batch(kg_batch_at(c, facts.batch), &of_results);
    }
    *group = fits ? found : KG_NONE;
    return true;
}

bool kg_fuse(kg_compiler *c)
{
    int depth;
    for (size_t k = 0; k < c->item_count; k++) {
        kg_item *it = &c->items[k];
        if (!kf_is_stored(it->node))
            continue;
        if (!fused_group(c, it->operand[0], &it->fused, &it->depth))
            return false;
        if (it->fused == KG_NONE)
            continue;
        kg_group *gr = &c->groups[it->fused];
        const uint32_t before = kg_append(&gr->fused, (uint32_t)k);
        if (before != KG_NONE)
            c->items[before].next_fused = (uint32_t)k;
        gr->fused_count++;
    }
    for (size_t r = 0; r < c->program->root_count; r++) {
        c->root_next[r] = KG_NONE;
        if (!fused_group(c, c->roots[r], &c->root_fused[r], &depth))
            return false;
        if (c->root_fused[r] == KG_NONE)
            continue;
        kg_group *gr = &c->groups[c->root_fused[r]];
        const uint32_t before = kg_append(&gr->roots, (uint32_t)r);
        if (before != KG_NONE)
            c->root_next[before] = (uint32_t)r;
        gr->fused_count++;
    }
    return true;
}
