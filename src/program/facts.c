/* SPDX-License-Identifier: MIT */
/* program/facts.c: what is known of the nodes of a program while it is compiled, each fact found once. */
#include "compile.h"
#include "passes.h"

#include <string.h>

bool kg_out_of_memory(kg_compiler *c)
{
    kb_no_memory(c->err);
    return false;
}

bool kg_graph_error(kg_compiler *c)
{
    if (c->g->error.status < 0 && !c->err->status)
        *c->err = c->g->error;
    return false;
}

/* ---- Notes about nodes -------------------------------------------------------------------------------------------- */

bool kg_reserve_notes(kg_compiler *c, uint32_t id)
{
    const size_t need = (size_t)id + 1, before = c->note_count;
    if (need <= before)
        return true;
    if (!kb_reserve(c->a, (void **)&c->notes, &c->note_capacity, need, sizeof *c->notes))
        return kg_out_of_memory(c);
    for (size_t k = before; k < need; k++)
        c->notes[k] = (kg_note){.item = KG_NONE, .of_terms = KG_NONE};
    c->note_count = need;
    return true;
}

kg_item *kg_item_of(const kg_compiler *c, const kf_node *reduce)
{
    const uint32_t item = reduce->id < c->note_count ? c->notes[reduce->id].item : KG_NONE;
    return item == KG_NONE ? NULL : &c->items[item];
}

bool kg_find_batch(kg_compiler *c, const kg_batch *batch, uint32_t *number)
{
    for (size_t k = c->batch_count; k-- > 0;) {
        if (kg_same_batch(&c->batches[k], batch)) {
            *number = (uint32_t)k;
            return true;
        }
    }
    if (!kb_reserve(c->a, (void **)&c->batches, &c->batch_capacity, c->batch_count + 1, sizeof *c->batches))
        return kg_out_of_memory(c);
    *number = (uint32_t)c->batch_count;
    c->batches[c->batch_count++] = *batch;
    return true;
}

static bool join_extent(int *extent, int other)
{
    const bool clash = *extent && other && *extent != other;
    *extent = other ? other : *extent;
    return !clash;
}

static bool join_facts(kg_compiler *c, kg_facts *to, const kg_facts *from)
{
    to->level = KB_MAX(to->level, from->level);
    bool fits = join_extent(&to->rows, from->rows) && join_extent(&to->cols, from->cols);
    if (to->batch != from->batch) {
        kg_batch batch = *kg_batch_at(c, to->batch);
        fits = fits && kg_batch_join(&batch, kg_batch_at(c, from->batch)) < 0;
        if (fits && !kg_find_batch(c, &batch, &to->batch))
            return false;
    }
    if (!fits)
        kb_fail(c->err, KCL_ERROR_INTERNAL, "axes clash that were checked before");
    return fits;
}

static bool facts_of_leaf(kg_compiler *c, const kf_node *leaf, kg_facts *facts)
{
    int extent = 0;
    kg_batch batch = {0};
    if (leaf->op == KF_VAR) {
        const kg_slot *slot = &c->slots[leaf->param[0]];
        extent = slot->extent;
        batch = kg_reduced_batch(&slot->batch, ~(unsigned)leaf->axes);
    } else if (leaf->op == KF_REDUCE) {
        const kg_item *it = kg_item_of(c, leaf);
        if (!it)
            return kb_fail(c->err, KCL_ERROR_INTERNAL, "a reduction was met before it was planned"), false;
        extent = it->facts.rows;
        batch = kg_reduced_batch(kg_batch_at(c, it->facts.batch), (unsigned)it->node->param[1]);
        facts->level = it->facts.level;
    }
    const unsigned pair = leaf->axes & KF_PAIR_AXES;
    facts->rows = pair == KF_AXIS_I ? extent : 0;
    facts->cols = pair == KF_AXIS_J ? extent : 0;
    return kg_find_batch(c, &batch, &facts->batch);
}

bool kg_walk(kg_compiler *c, const kf_node *f, bool (*is_done)(kg_compiler *c, const kf_node *f),
             bool (*is_leaf)(const kf_node *f), bool (*take)(kg_compiler *c, const kf_node *f))
{
    const size_t base = c->stack_depth; /* `take` may walk too */
    const kf_node *next = f;
    while (next || c->stack_depth > base) {
        if (next) {
            if (!kg_reserve_notes(c, next->id))
                return false;
            if (!kb_reserve(c->a, (void **)&c->stack, &c->stack_capacity, c->stack_depth + 1, sizeof *c->stack))
                return kg_out_of_memory(c);
            c->stack[c->stack_depth++] = next;
        }
        const kf_node *top = c->stack[c->stack_depth - 1];
        next = NULL;
        for (int n = 0; !(is_leaf && is_leaf(top)) && n < top->arg_count && !next; n++)
            if (!kg_reserve_notes(c, top->arg[n]->id))
                return false;
            else if (!is_done(c, top->arg[n]))
                next = top->arg[n];
        if (next)
            continue;
        if (!is_done(c, top) && !take(c, top))
            return false;
        c->stack_depth--;
    }
    return true;
}

static bool is_known(kg_compiler *c, const kf_node *f)
{
    return c->notes[f->id].is_known;
}

static bool is_reduction(const kf_node *f)
{
    return f->op == KF_REDUCE;
}

static bool know(kg_compiler *c, const kf_node *f)
{
    kg_facts facts = {0};
    if (f->op == KF_VAR || f->op == KF_REDUCE) {
        if (!facts_of_leaf(c, f, &facts))
            return false;
    } else {
        for (int n = 0; n < f->arg_count; n++)
            if (!join_facts(c, &facts, &c->notes[f->arg[n]->id].facts))
                return false;
    }
    c->notes[f->id].facts = facts;
    c->notes[f->id].is_known = true;
    return true;
}

bool kg_facts_of(kg_compiler *c, const kf_node *f, kg_facts *facts)
{
    if (!kg_walk(c, f, is_known, is_reduction, know))
        return false;
    *facts = c->notes[f->id].facts;
    return true;
}

static bool is_turned(kg_compiler *c, const kf_node *f)
{
    return c->notes[f->id].turned != NULL;
}

static bool turn(kg_compiler *c, const kf_node *f)
{
    const kf_node *args[KF_MAX_ARGS] = {NULL};
    for (int k = 0; k < f->arg_count; k++)
        args[k] = c->notes[f->arg[k]->id].turned;
    c->notes[f->id].turned = kf_transpose_node(c->g, f, args);
    return c->notes[f->id].turned || kg_graph_error(c);
}

const kf_node *kg_turned(kg_compiler *c, const kf_node *f)
{
    return kg_walk(c, f, is_turned, NULL, turn) ? c->notes[f->id].turned : NULL;
}

bool kg_leaves_init(kg_leaves *leaves, kg_compiler *c, const kf_node *f)
{
    *leaves = (kg_leaves){.self = f, .nodes = &leaves->self};
    if (f->op == KF_REDUCE) {
        leaves->count = 1;
        return true;
    }
    if (kf_order_init(&leaves->order, c->g, 1, &f, true, c->err) < 0)
        return false;
    leaves->nodes = leaves->order.nodes;
    leaves->count = leaves->order.count;
    return true;
}

void kg_leaves_finish(kg_leaves *leaves)
{
    if (leaves->nodes != &leaves->self)
        kf_order_finish(&leaves->order);
}
