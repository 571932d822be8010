/* SPDX-License-Identifier: MIT */
/*
 * lazy/cut.c: roots cut into sweeps.
 *
 * Every reduction is the term of a sweep; those that need nothing from each other and run over the same extents share
 * one. A root is an output of the sweep that computes its reductions, if one does; else it is computed from temporaries
 * by a sweep of its own, without columns. Sweeps reduce over j, or over both axes: a reduction over i has its axes
 * exchanged first.
 */
#include "exec.h"
#include "make.h"
#include "order.h"
#include "passes.h"
#include "simplify.h"

#include <stdio.h>
#include <string.h>

/* A reduction of the graph. */
typedef struct item {
    const kf_node *node; /* reduces over j, or over both */
    int level;           /* 1 + that of the reductions that it needs */
    int rows, cols;      /* extent classes */
    kl_batch batch;      /* of the terms */
    kr_term what;        /* with the formula's own leaves */
    uint32_t group;
    uint32_t term;      /* within the group; reductions that one term computes share it */
    int32_t temp;       /* number of the temporary that keeps the result, or -1 */
    int32_t index_temp; /* of the one that keeps it as integers, or -1 */
    /* Of a gather or scatter, which is a step of its own: F and the index, as formulas of rows. */
    const kf_node *operand[2];
    uint32_t fused; /* of what is stored: the group whose sweep computes it as well, UINT32_MAX: a step of its own */
    int depth;      /* of what is stored: values of the same sweep that go into each other */
    bool is_needed; /* by another reduction */
    size_t shared;  /* of a sum over both axes: operators of the pair that it has in common with the sweep which */
    const kf_node *by_rows; /* sums this, the terms of a row; NULL: there is none */
} item;

#define NO_GROUP (UINT32_MAX - 1) /* of what is a step of its own */

typedef struct group {
    int level, rows, cols;
    kl_batch batch;
    unsigned reduced;
    size_t term_count;
} group;

typedef struct cut {
    kl_exec *exec;
    kf_graph *g;
    kb_error *err;
    const kcl_allocator *a;
    item *items;
    size_t item_count, item_capacity;
    int32_t *item_at; /* by node id: item + 1 */
    size_t item_at_count, item_at_capacity;
    group *groups;
    size_t group_count, group_capacity;
    size_t temp_capacity, step_capacity;

    /* While a step is made: */
    kl_step *step;
    kr_var *vars;
    size_t var_count, var_capacity, input_capacity;
    uint32_t in_group; /* reductions of this group are results; UINT32_MAX: none */
    unsigned each;     /* batch axes that the step reduces */
    bool failed;
} cut;

static bool out_of_memory(cut *c)
{
    kb_no_memory(c->err);
    c->failed = true;
    return false;
}

static bool take_error(cut *c)
{
    *c->err = c->g->error;
    c->failed = true;
    return false;
}

static item *find_item(const cut *c, const kf_node *f)
{
    return f->id < c->item_at_count && c->item_at[f->id] ? &c->items[c->item_at[f->id] - 1] : NULL;
}

/* The reduction in the orientation of sweeps, also where its result has no axis. */
static const kf_node *canonical(kf_graph *g, const kf_node *reduce)
{
    unsigned batches = reduce->param[1] & KF_BATCH_AXES, pair = reduce->param[1] & KF_PAIR_AXES;
    bool of_columns = !pair && (reduce->arg[0]->axes & KF_PAIR_AXES) == KF_AXIS_J;
    if (pair != KF_AXIS_I && !of_columns)
        return reduce;
    return kf_reduce(g, (kf_reduction)reduce->param[0], batches | (pair ? KF_AXIS_J : 0), reduce->param[2],
                     kf_transpose(g, reduce->arg[0]));
}

static bool same_batch(const kl_batch *a, const kl_batch *b)
{
    for (int k = 0; k < KB_MAX(a->count, b->count); k++)
        if (kl_batch_size(a, k) != kl_batch_size(b, k))
            return false;
    return true;
}

/* The extent classes of a formula's rows and columns, and its batch axes: of the leaves that have the axis. */
static bool extents_of(cut *c, const kf_node *f, int *rows, int *cols, kl_batch *batch, int *level)
{
    kf_order order;
    *rows = *cols = *level = 0;
    *batch = (kl_batch){0};
    if (kf_order_init(&order, c->g, 1, &f, true, c->err) < 0) {
        c->failed = true;
        return false;
    }
    /* A formula that is a reduction is a leaf: its operands run over axes of their own. */
    for (size_t k = 0; !c->failed && k < (f->op == KF_REDUCE ? 1 : order.count); k++) {
        const kf_node *leaf = f->op == KF_REDUCE ? f : order.nodes[k];
        int extent = 0;
        kl_batch of_leaf = {0};
        unsigned pair = leaf->axes & KF_PAIR_AXES;
        if (leaf->op == KF_VAR) {
            extent = c->exec->slots[leaf->param[0]].extent;
            of_leaf = kl_reduced_batch(&c->exec->slots[leaf->param[0]].batch, ~(unsigned)leaf->axes);
        } else if (leaf->op == KF_REDUCE) {
            const item *it = find_item(c, leaf);
            if (!it) {
                kb_fail(c->err, KCL_ERROR_INTERNAL, "a reduction was met before it was planned");
                c->failed = true;
                break;
            }
            extent = pair ? it->rows : 0;
            of_leaf = kl_reduced_batch(&it->batch, (unsigned)it->node->param[1]);
            *level = KB_MAX(*level, it->level);
        }
        if (leaf->op != KF_VAR && leaf->op != KF_REDUCE)
            continue;
        int *slot = pair == KF_AXIS_I ? rows : pair == KF_AXIS_J ? cols : NULL;
        if (kl_batch_join(batch, &of_leaf) >= 0 || (slot && extent && *slot && *slot != extent)) {
            kb_fail(c->err, KCL_ERROR_INTERNAL, "axes clash that were checked before");
            c->failed = true;
        }
        if (slot && extent)
            *slot = extent;
    }
    kf_order_finish(&order);
    return !c->failed;
}

/* The arrays that tell how long the axes i and j of a node are; NULL: it has no such axis, or nothing tells. */
typedef struct lengths {
    const kl_slot *of[2];
} lengths;

static void join_length(cut *c, const kl_slot **known, const kl_slot *from, char axis)
{
    if (!*known)
        *known = from;
    if (!from || (*known)->extent == from->extent)
        return;
    if (from->rows < 0)
        kb_fail(c->err, KCL_ERROR_LENGTH, "%s and %s are on different axes, but both on axis %c of a formula",
                (*known)->name, from->name, axis);
    else
        kb_fail(c->err, KCL_ERROR_LENGTH,
                "%s has %lld rows, %s has %lld: both are on axis %c of a formula and must agree", (*known)->name,
                (long long)(*known)->rows, from->name, (long long)from->rows, axis);
    c->failed = true;
}

/* Whether the operands of every operation agree in length: of formulas whose axes are still those that the user named. */
static bool check_lengths(cut *c, size_t count, const kf_node *const *roots)
{
    kf_order order;
    if (kf_order_init(&order, c->g, count, roots, false, c->err) < 0)
        return c->failed = true, false;
    lengths *all = kb_calloc(c->a, order.count + 1, sizeof *all);
    if (!all)
        out_of_memory(c);
    for (size_t k = 0; !c->failed && k < order.count; k++) {
        const kf_node *f = order.nodes[k];
        for (int axis = 0; axis < 2 && !c->failed; axis++) {
            const unsigned bit = axis ? KF_AXIS_J : KF_AXIS_I;
            const kl_slot *length = NULL;
            if (f->op == KF_VAR && f->axes & bit && c->exec->slots[f->param[0]].extent)
                length = &c->exec->slots[f->param[0]];
            for (int n = 0; n < f->arg_count && !c->failed; n++)
                join_length(c, &length, all[kf_at(&order, f->arg[n])].of[axis], axis ? 'j' : 'i');
            all[k].of[axis] = f->axes & bit ? length : NULL;
        }
    }
    kb_free(c->a, all);
    kf_order_finish(&order);
    return !c->failed;
}

/* The same values as a formula of rows. */
static const kf_node *of_rows(cut *c, const kf_node *f)
{
    return (f->axes & KF_PAIR_AXES) == KF_AXIS_J ? kf_transpose(c->g, f) : f;
}

/* That of its axis of the pair, of which it has one at most. */
static int extent_of(const kf_node *f, int rows, int cols)
{
    return f->axes & KF_AXIS_I ? rows : f->axes & KF_AXIS_J ? cols : 0;
}

/* What a gather or scatter needs, from its operands as they stand in the formula. */
static bool find_indexed(cut *c, const kf_node *f, item *it)
{
    int rows, cols, level;
    kl_batch of_result;
    if (f->param[0] == KF_REDUCE_WHOLE || kf_is_stored(f)) {
        if (!extents_of(c, f->arg[0], &rows, &cols, &it->batch, &it->level))
            return false;
        it->group = NO_GROUP;
        it->rows = it->cols = extent_of(f, rows, cols);
        it->operand[0] = of_rows(c, f->arg[0]);
        return it->operand[0] || take_error(c);
    }
    /* F and the index of a scatter run over the same rows. */
    const kf_node *both = kf_binary(c->g, KF_CONCAT, f->arg[0], f->arg[1]);
    if (!both)
        return take_error(c);
    if (!extents_of(c, both, &rows, &cols, &it->batch, &it->level))
        return false;
    it->group = NO_GROUP;
    it->cols = extent_of(f->arg[0], rows, cols);
    if (f->param[0] == KF_REDUCE_SCATTER) {
        if (!extents_of(c, f->arg[2], &rows, &cols, &of_result, &level))
            return false;
        kl_batch_join(&it->batch, &of_result);
    }
    it->rows = extent_of(f, rows, cols);
    for (int k = 0; k < 2; k++)
        if (!(it->operand[k] = of_rows(c, f->arg[k])))
            return take_error(c);
    return true;
}

/* An item of the same group whose term can compute `it` as well. */
static const item *find_shared(const cut *c, const item *it)
{
    for (size_t k = 0; k < c->item_count; k++) {
        kr_term both = c->items[k].what;
        if (c->items[k].group == it->group && kr_join_terms(&both, &it->what))
            return &c->items[k];
    }
    return NULL;
}

static bool keep_item(cut *c, const kf_node *reduce, const item *it)
{
    if (!kb_reserve(c->a, (void **)&c->items, &c->item_capacity, c->item_count + 1, sizeof *c->items))
        return out_of_memory(c);
    c->items[c->item_count++] = *it;
    c->item_at[it->node->id] = c->item_at[reduce->id] = (int32_t)c->item_count;
    return true;
}

static bool add_item(cut *c, const kf_node *reduce)
{
    const kf_node *node = kf_is_indexed(reduce) ? of_rows(c, reduce) : canonical(c->g, reduce);
    if (!node)
        return take_error(c);
    size_t most = KB_MAX(node->id, reduce->id) + 1u;
    size_t before = c->item_at_count;
    if (!kb_reserve(c->a, (void **)&c->item_at, &c->item_at_capacity, most, sizeof *c->item_at))
        return out_of_memory(c);
    if (most > before) {
        memset(c->item_at + before, 0, (most - before) * sizeof *c->item_at);
        c->item_at_count = most;
    }
    item *known = find_item(c, node);
    if (known) {
        c->item_at[reduce->id] = c->item_at[node->id];
        return true;
    }
    item it = {.node = node, .temp = -1, .index_temp = -1, .fused = UINT32_MAX};
    if (kf_is_indexed(reduce)) {
        if (!find_indexed(c, reduce, &it))
            return false;
        /* A stored value follows the sweeps of its level, or is one of their outputs. */
        it.level += !kf_is_stored(reduce);
        return keep_item(c, reduce, &it);
    }
    /* The formula's own leaves; the transposed formula's reductions are known by their canonical forms. */
    const kf_node *formula = reduce->arg[0];
    if (!(node->param[1] & KF_PAIR_AXES) && (formula->axes & KF_PAIR_AXES) == KF_PAIR_AXES) {
        kb_fail(
            c->err, KCL_ERROR_SHAPE,
            "a reduction over batch axes has a formula that depends on both i and j: reduce it over one of them, or "
            "over both, before or at once after the batch axes");
        c->failed = true;
        return false;
    }
    if (!extents_of(c, formula, &it.rows, &it.cols, &it.batch, &it.level))
        return false;
    if (node != reduce) {
        int rows = it.rows;
        it.rows = it.cols;
        it.cols = rows;
    }
    it.level++;
    unsigned reduced = (unsigned)node->param[1];
    if ((reduced & KF_PAIR_AXES) == KF_PAIR_AXES && (node->arg[0]->axes & KF_PAIR_AXES) != KF_PAIR_AXES)
        return kb_fail(c->err, KCL_ERROR_INTERNAL, "a reduction over an axis that is not there"), c->failed = true,
                                                                                                  false;
    size_t at = 0;
    while (at < c->group_count &&
           !(c->groups[at].level == it.level && c->groups[at].rows == it.rows && c->groups[at].cols == it.cols &&
             c->groups[at].reduced == reduced && same_batch(&c->groups[at].batch, &it.batch)))
        at++;
    if (at == c->group_count) {
        if (!kb_reserve(c->a, (void **)&c->groups, &c->group_capacity, at + 1, sizeof *c->groups))
            return out_of_memory(c);
        c->groups[c->group_count++] = (group){it.level, it.rows, it.cols, it.batch, reduced, 0};
    }
    it.group = (uint32_t)at;
    it.what = kr_term_of(c->g, node);
    if (!it.what.formula)
        return take_error(c);
    const item *other = find_shared(c, &it);
    it.term = other ? other->term : (uint32_t)c->groups[at].term_count++;
    return keep_item(c, reduce, &it);
}

/* The result of reducing both axes is one row. */
static int result_rows(const item *it)
{
    return it->node->axes & KF_PAIR_AXES ? it->rows : 0;
}

static bool new_temp(cut *c, int32_t *number, kl_temp temp)
{
    kl_exec *e = c->exec;
    if (*number >= 0)
        return true;
    if (!kb_reserve(c->a, (void **)&e->temps, &c->temp_capacity, e->temp_count + 1, sizeof *e->temps))
        return out_of_memory(c);
    *number = (int32_t)e->temp_count;
    e->temps[e->temp_count++] = temp;
    return true;
}

static bool need_temp(cut *c, item *it)
{
    return new_temp(c, &it->temp, (kl_temp){it->node->dim, result_rows(it), KF_REAL});
}

static bool need_index_temp(cut *c, item *it)
{
    return new_temp(c, &it->index_temp, (kl_temp){it->node->dim, result_rows(it), KF_INT});
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/* The sweep's variable for an input in a role. */
static const kf_node *local_variable(cut *c, kl_input input, int32_t dim, kf_role role, unsigned each)
{
    kl_step *step = c->step;
    for (size_t k = 0; k < c->var_count; k++)
        if (step->inputs[k].is_temp == input.is_temp && step->inputs[k].index == input.index && c->vars[k].role == role)
            return kf_on_batches(c->g, kf_var(c->g, (int64_t)k, dim, role), each);
    if (!kb_reserve(c->a, (void **)&c->vars, &c->var_capacity, c->var_count + 1, sizeof *c->vars) ||
        !kb_reserve(c->a, (void **)&step->inputs, &c->input_capacity, c->var_count + 1, sizeof *step->inputs)) {
        out_of_memory(c);
        return NULL;
    }
    c->vars[c->var_count] = (kr_var){role, dim};
    step->inputs[c->var_count] = input;
    return kf_on_batches(c->g, kf_var(c->g, (int64_t)c->var_count++, dim, role), each);
}

static const kf_node *localised(cut *c, const kf_node *f, uint32_t in_group);

static const kf_node *localise(void *user, const kf_node *leaf)
{
    cut *c = user;
    unsigned each = leaf->axes & c->each ? KF_AXIS_EACH : 0, pair = leaf->axes & KF_PAIR_AXES;
    if (leaf->op == KF_VAR) {
        const kl_input input = {false, (uint32_t)leaf->param[0]};
        const kf_node *var = local_variable(c, input, leaf->dim, (kf_role)leaf->param[2], each);
        return var && kf_lends_axes(leaf) ? kf_lend_axes(c->g, var, pair | each) : var;
    }
    item *it = find_item(c, leaf);
    if (it->group == c->in_group)
        return kr_value_of(c->g, it->node, it->term);
    if (c->in_group != UINT32_MAX && it->fused == c->in_group)
        return localised(c, leaf->arg[0], c->in_group);
    if (!need_temp(c, it))
        return NULL;
    kf_role role = pair == KF_AXIS_I ? KF_ROLE_I : pair == KF_AXIS_J ? KF_ROLE_J : KF_ROLE_P;
    return local_variable(c, (kl_input){true, (uint32_t)it->temp}, leaf->dim, role, each);
}

static const kf_node *localised(cut *c, const kf_node *f, uint32_t in_group)
{
    const kf_node *out = NULL;
    c->in_group = in_group;
    if (f->op == KF_REDUCE) /* as a leaf, not as a root whose operands are followed */
        out = localise(c, f);
    else if (kf_substitute(c->g, 1, &f, true, localise, c, &out) < 0)
        out = NULL;
    if (!out && !c->failed)
        take_error(c);
    return out;
}

static kl_step *new_step(cut *c)
{
    kl_exec *e = c->exec;
    if (!kb_reserve(c->a, (void **)&e->steps, &c->step_capacity, e->step_count + 1, sizeof *e->steps)) {
        out_of_memory(c);
        return NULL;
    }
    c->step = &e->steps[e->step_count++];
    *c->step = (kl_step){.sweep = {.graph = c->g}};
    c->vars = NULL;
    c->each = 0;
    c->var_count = c->var_capacity = c->input_capacity = 0;
    return c->step;
}

/* Notes the axes whose rows the step's formulas count. */
static bool find_numbered(cut *c, size_t count, const kf_node *const *formulas)
{
    kf_order order;
    if (!count || c->failed)
        return !c->failed;
    if (kf_order_init(&order, c->g, count, formulas, false, c->err) < 0)
        return c->failed = true, false;
    for (size_t k = 0; k < order.count; k++)
        if (order.nodes[k]->op == KF_INDEX)
            c->step->numbered |= order.nodes[k]->axes;
    kf_order_finish(&order);
    return true;
}

static bool close_step(cut *c, size_t output_count, const kf_node **outputs, kl_output *to)
{
    c->step->sweep.vars = c->vars;
    c->step->sweep.var_count = c->var_count;
    c->step->sweep.outputs = outputs;
    c->step->sweep.output_count = output_count;
    c->step->outputs = to;
    find_numbered(c, output_count, outputs);
    for (size_t k = 0; k < c->step->sweep.term_count; k++)
        find_numbered(c, 1, &c->step->sweep.terms[k].formula);
    return !c->failed;
}

enum { MOST_NESTED = 16 }; /* stored values of a sweep that are written into each other */

/*
 * The group whose sweep can compute `f`, a root or what is stored, as an output: it computes all reductions of f, and what
 * else f reads is there before. UINT32_MAX: none. *depth: of stored values of that sweep that go into f.
 */
static uint32_t fused_group(cut *c, const kf_node *f, int *depth)
{
    kf_order order;
    uint32_t found = UINT32_MAX;
    *depth = 0;
    if (kf_order_init(&order, c->g, 1, &f, true, c->err) < 0) {
        c->failed = true;
        return UINT32_MAX;
    }
    const size_t count =
        f->op == KF_REDUCE ? 1 : order.count; /* as a leaf, not as a root whose operands are followed */
    const kf_node *const *leaves = f->op == KF_REDUCE ? &f : order.nodes;
    bool same = true;
    int highest = 0;
    for (size_t k = 0; k < count; k++) {
        if (leaves[k]->op != KF_REDUCE || kf_is_stored(leaves[k]))
            continue;
        const uint32_t in = find_item(c, leaves[k])->group;
        same = same && in != NO_GROUP && (found == UINT32_MAX || found == in);
        found = in;
    }
    const bool none = found == UINT32_MAX;
    for (size_t k = 0; none && k < count; k++) {
        const item *it = kf_is_stored(leaves[k]) ? find_item(c, leaves[k]) : NULL;
        if (it && it->level > highest) {
            highest = it->level;
            found = it->fused;
        }
    }
    for (size_t k = 0; same && found != UINT32_MAX && k < count; k++) {
        const item *it = kf_is_stored(leaves[k]) ? find_item(c, leaves[k]) : NULL;
        if (it && it->fused == found)
            *depth = KB_MAX(*depth, it->depth + 1);
        else
            same = !it || it->level < c->groups[found].level;
    }
    same = same && *depth <= MOST_NESTED;
    if (found != UINT32_MAX && same) {
        const group *gr = &c->groups[found];
        int rows, cols, level, result = gr->reduced & KF_AXIS_I ? 0 : gr->rows;
        kl_batch batch, of_results = kl_reduced_batch(&gr->batch, gr->reduced);
        same = extents_of(c, f->op == KF_REDUCE ? f->arg[0] : f, &rows, &cols, &batch, &level);
        if (f->op != KF_REDUCE)
            same = same && (!(f->axes & KF_PAIR_AXES) || rows == result) && same_batch(&batch, &of_results);
    }
    kf_order_finish(&order);
    return same ? found : UINT32_MAX;
}

static bool add_group_step(cut *c, uint32_t index, const uint32_t *fused, const kf_node *const *roots)
{
    const group *gr = &c->groups[index];
    kl_exec *e = c->exec;
    kl_step *step = new_step(c);
    kr_term *terms = kb_calloc(c->a, gr->term_count + 1, sizeof *terms);
    size_t most = 2 * c->item_count + e->root_count + 1;
    const kf_node **outputs = kb_calloc(c->a, most, sizeof *outputs);
    kl_output *to = kb_calloc(c->a, most, sizeof *to);
    if (!step || !terms || !outputs || !to) {
        kb_free(c->a, terms);
        kb_free(c->a, outputs);
        kb_free(c->a, to);
        return out_of_memory(c);
    }
    c->each = gr->reduced & KF_BATCH_AXES;
    step->batch = gr->batch;
    step->reduced_batches = c->each;
    /* Batches alone are reduced as a single column each. */
    step->sweep.reduced =
        (gr->reduced & KF_PAIR_AXES ? gr->reduced & KF_PAIR_AXES : KF_AXIS_J) | (c->each ? KF_AXIS_EACH : 0);
    step->sweep.terms = terms;
    step->sweep.term_count = gr->term_count;
    step->row_extent = gr->rows;
    step->col_extent = gr->cols;
    size_t count = 0;
    for (size_t k = 0; !c->failed && k < c->item_count; k++) {
        const item *it = &c->items[k];
        if (it->group != index)
            continue;
        if (!terms[it->term].formula)
            terms[it->term] = it->what;
        else
            kr_join_terms(&terms[it->term], &it->what);
        if (it->temp >= 0) {
            outputs[count] = kf_to_real(c->g, kr_value_of(c->g, it->node, it->term));
            if (!outputs[count])
                take_error(c);
            to[count++] = (kl_output){true, (uint32_t)it->temp};
        }
        if (it->index_temp >= 0) {
            outputs[count] = kr_value_of(c->g, it->node, it->term);
            if (!outputs[count])
                take_error(c);
            to[count++] = (kl_output){true, (uint32_t)it->index_temp};
        }
    }
    for (size_t k = 0; !c->failed && k < gr->term_count; k++)
        terms[k].formula = localised(c, terms[k].formula, UINT32_MAX);
    for (size_t k = 0; !c->failed && k < c->item_count; k++) {
        if (c->items[k].fused != index)
            continue;
        outputs[count] = localised(c, c->items[k].operand[0], index);
        to[count++] = (kl_output){true, (uint32_t)c->items[k].temp};
    }
    for (size_t r = 0; !c->failed && r < e->root_count; r++) {
        if (fused[r] != index)
            continue;
        outputs[count] = localised(c, roots[r], index);
        to[count++] = (kl_output){false, (uint32_t)r};
    }
    return close_step(c, count, outputs, to);
}

static bool add_map_step(cut *c, kl_output result, const kf_node *f)
{
    kl_step *step = new_step(c);
    const kf_node **outputs = kb_calloc(c->a, 1, sizeof *outputs);
    kl_output *to = kb_calloc(c->a, 1, sizeof *to);
    int cols, level;
    if (!step || !outputs || !to) {
        kb_free(c->a, outputs);
        kb_free(c->a, to);
        return out_of_memory(c);
    }
    int rows = 0;
    if (extents_of(c, f, &rows, &cols, &step->batch, &level)) {
        step->row_extent = rows;
        outputs[0] = localised(c, f, UINT32_MAX);
    }
    to[0] = result;
    return close_step(c, 1, outputs, to);
}

/* Where a step of its own finds F; computed first where it is no array yet. */
static bool find_values(cut *c, const item *it, kl_input *from)
{
    const kf_node *F = it->operand[0];
    int32_t temp = -1;
    if (F->op == KF_VAR) {
        *from = (kl_input){false, (uint32_t)F->param[0]};
        return true;
    }
    if (F->op == KF_REDUCE) {
        *from = (kl_input){true, (uint32_t)find_item(c, F)->temp};
        return true;
    }
    if (!new_temp(c, &temp, (kl_temp){F->dim, it->cols, KF_REAL}))
        return false;
    *from = (kl_input){true, (uint32_t)temp};
    return add_map_step(c, (kl_output){true, (uint32_t)temp}, F);
}

static bool add_indexed_step(cut *c, size_t index)
{
    const item *it = &c->items[index];
    kl_input values;
    if (!find_values(c, it, &values))
        return false;
    kl_step *step = new_step(c);
    if (!step)
        return false;
    const kf_node *node = it->node;
    step->kind = node->param[0] == KF_REDUCE_SCATTER ? KL_SCATTER
                 : node->param[0] == KF_REDUCE_WHOLE ? KL_WHOLE
                                                     : KL_GATHER;
    step->row_extent = it->rows;
    step->col_extent = it->cols;
    step->batch = it->batch;
    step->reduced_batches = (unsigned)node->param[1] & KF_BATCH_AXES;
    step->inputs = kb_calloc(c->a, 2, sizeof *step->inputs);
    step->outputs = kb_calloc(c->a, 1, sizeof *step->outputs);
    if (!step->inputs || !step->outputs)
        return out_of_memory(c);
    step->inputs[0] = values;
    if (step->kind == KL_WHOLE) {
        step->outputs[0] = (kl_output){true, (uint32_t)it->index_temp};
        return true;
    }
    const item *chosen = find_item(c, it->operand[1]);
    step->chosen =
        (kl_chosen){(kf_part)node->param[2], (unsigned)chosen->node->param[1], 0, {chosen->rows, chosen->cols}};
    step->chosen.batches =
        step->chosen.axes & KF_BATCH_AXES & (step->kind == KL_SCATTER ? node->axes : node->arg[0]->axes);
    if (step->chosen.part == KF_WHOLE) { /* as an index that numbers the rows of the table */
        const int table = step->kind == KL_SCATTER ? it->rows : it->cols;
        step->chosen = (kl_chosen){KF_ROW, KF_AXIS_I, 0, {table, table}};
    }
    step->inputs[1] = (kl_input){true, (uint32_t)chosen->index_temp};
    step->outputs[0] = (kl_output){true, (uint32_t)it->temp};
    return true;
}

/* What an item reduces. */
static const kf_node *terms_of(const item *it)
{
    return it->group == NO_GROUP ? it->operand[0] : it->node->arg[0];
}

/* Keeps the results that `f` reads and the sweep of group `fused` (UINT32_MAX: a step of its own) does not have. */
static bool need_leaves(cut *c, const kf_node *f, uint32_t fused)
{
    kf_order order;
    if (f->op == KF_REDUCE)
        return find_item(c, f)->group == fused || need_temp(c, find_item(c, f));
    if (kf_order_init(&order, c->g, 1, &f, true, c->err) < 0)
        return c->failed = true, false;
    bool ok = true;
    for (size_t k = 0; ok && k < order.count; k++)
        if (order.nodes[k]->op == KF_REDUCE && find_item(c, order.nodes[k])->group != fused)
            ok = need_temp(c, find_item(c, order.nodes[k]));
    kf_order_finish(&order);
    return ok;
}

/* Reductions that later levels or roots of their own read are kept in temporaries: known before any step is made. */
static bool find_temps(cut *c, const uint32_t *fused, const kf_node *const *roots)
{
    bool ok = true;
    for (size_t k = 0; ok && k < c->item_count; k++) {
        const item *it = &c->items[k];
        const bool has_index = it->group == NO_GROUP && it->operand[1];
        ok = need_leaves(c, terms_of(it), it->fused);
        if (ok && (kf_is_stored(it->node) || has_index))
            ok = need_temp(c, &c->items[k]);
        if (ok && has_index)
            ok = need_index_temp(c, find_item(c, it->operand[1]));
    }
    for (size_t r = 0; ok && r < c->exec->root_count; r++)
        ok = need_leaves(c, roots[r], fused[r]);
    return ok;
}

/* ---- Sums over both axes that a sweep over one of them computes as well ------------------------------------------- */

static bool is_sum_of_pairs(const item *it)
{
    return it->group != NO_GROUP && it->node->param[0] == KF_REDUCE_SUM &&
           (it->node->param[1] & KF_PAIR_AXES) == KF_PAIR_AXES;
}

static bool mark_needed(cut *c)
{
    for (size_t k = 0; k < c->item_count; k++) {
        const item *it = &c->items[k];
        kf_order order;
        const kf_node *found[KF_MAX_ARGS];
        for (int n = 0; n < it->node->arg_count; n++) {
            found[n] = it->node->arg[n];
            if (found[n]->op == KF_REDUCE && find_item(c, found[n]))
                find_item(c, found[n])->is_needed = true;
        }
        if (kf_order_init(&order, c->g, (size_t)it->node->arg_count, found, true, c->err) < 0)
            return !(c->failed = true);
        for (size_t n = 0; n < order.count; n++)
            if (order.nodes[n]->op == KF_REDUCE && find_item(c, order.nodes[n]))
                find_item(c, order.nodes[n])->is_needed = true;
        kf_order_finish(&order);
    }
    return true;
}

/* Operators of the pair, below `f`, that are in `of_sweep` as well. */
static bool count_shared(cut *c, const kf_node *f, const kf_order *of_sweep, size_t *count)
{
    kf_order order;
    *count = 0;
    if (kf_order_init(&order, c->g, 1, &f, true, c->err) < 0)
        return !(c->failed = true);
    for (size_t k = 0; k < order.count; k++) {
        const kf_node *node = order.nodes[k];
        *count += (node->axes & KF_PAIR_AXES) == KF_PAIR_AXES && kf_reached(of_sweep, node);
    }
    kf_order_finish(&order);
    return true;
}

/* Finds what sums over both axes share with the sweep of a group. */
static bool compare_with_group(cut *c, uint32_t index)
{
    const group *gr = &c->groups[index];
    const kf_node **formulas = kb_calloc(c->a, c->item_count + 1, sizeof *formulas);
    size_t count = 0;
    kf_order of_sweep;
    if (!formulas)
        return out_of_memory(c);
    for (size_t k = 0; k < c->item_count; k++)
        if (c->items[k].group == index)
            formulas[count++] = c->items[k].node->arg[0];
    kcl_status status = kf_order_init(&of_sweep, c->g, count, formulas, true, c->err);
    kb_free(c->a, formulas);
    if (status < 0)
        return !(c->failed = true);
    for (size_t k = 0; !c->failed && k < c->item_count; k++) {
        item *it = &c->items[k];
        if (!is_sum_of_pairs(it) || it->is_needed || it->level != gr->level || !same_batch(&it->batch, &gr->batch))
            continue;
        for (int turn = 0; turn < 2; turn++) {
            const kf_node *f = turn ? kf_transpose(c->g, it->node->arg[0]) : it->node->arg[0];
            size_t shared;
            if (!f)
                take_error(c);
            if (!f ||
                (turn ? it->cols != gr->rows || it->rows != gr->cols : it->rows != gr->rows || it->cols != gr->cols))
                continue;
            if (count_shared(c, f, &of_sweep, &shared) && shared > it->shared) {
                it->shared = shared;
                it->by_rows = f;
            }
        }
    }
    kf_order_finish(&of_sweep);
    return !c->failed;
}

static const kf_node *sum_of_rows(void *user, const kf_node *leaf)
{
    cut *c = user;
    const item *it = leaf->op == KF_REDUCE ? find_item(c, leaf) : NULL;
    if (!it || !it->by_rows)
        return leaf;
    const kf_node *rows = kf_reduce(c->g, KF_REDUCE_SUM, KF_AXIS_J, 0, it->by_rows);
    return rows ? kf_reduce(c->g, KF_REDUCE_SUM, (unsigned)(it->node->param[1] & ~(int64_t)KF_AXIS_J), 0, rows) : NULL;
}

/*
 * A sum over both axes needs a sweep of its own. Where one over columns runs through the same pairs and computes some of
 * the same operators, as the other gradients do beside one in a parameter, it is the sum of that sweep's row sums instead.
 * Only in roots: what other reductions need would come a level later. *changed: the roots are other ones.
 */
static bool split_sums(cut *c, const kf_node **roots, bool *changed)
{
    bool any = false;
    *changed = false;
    for (size_t k = 0; k < c->item_count; k++)
        any = any || is_sum_of_pairs(&c->items[k]);
    if (!any || !mark_needed(c))
        return !c->failed;
    for (size_t k = 0; !c->failed && k < c->group_count; k++)
        if (c->groups[k].reduced == KF_AXIS_J)
            compare_with_group(c, (uint32_t)k);
    for (size_t r = 0; !c->failed && r < c->exec->root_count; r++) {
        const kf_node *before = roots[r];
        if (before->op == KF_REDUCE)
            roots[r] = sum_of_rows(c, before);
        else if (kf_substitute(c->g, 1, &before, true, sum_of_rows, c, &roots[r]) < 0)
            roots[r] = NULL;
        if (!roots[r])
            return take_error(c);
        *changed = *changed || roots[r] != before;
    }
    return !c->failed;
}

kcl_status kl_check_root(const kf_node *root, size_t number, kb_error *err)
{
    if (kf_is_integers(kf_value(root)))
        return kb_fail(err, KCL_ERROR_TYPE,
                       "result %zu is an array of int64 itself, which can only be the index of kcl_gather", number);
    if (root->axes & KF_PAIR_AXES & ~root->sized)
        return kb_fail(
            err, KCL_ERROR_SHAPE,
            "result %zu has of axis %s only the numbers, Index%s: nothing tells its length. An array with that "
            "axis must enter the formula, Like(f,x) takes no more than the length from x",
            number, root->axes & ~root->sized & KF_AXIS_I ? "i" : "j",
            root->axes & ~root->sized & KF_AXIS_I ? "I" : "J");
    if ((root->axes & KF_PAIR_AXES) != KF_PAIR_AXES)
        return KCL_OK;
    return kb_fail(err, KCL_ERROR_SHAPE,
                   "result %zu depends on both i and j: reduce it over one of them before it is computed", number);
}

/* Finds all reductions below the roots. */
static bool find_items(cut *c, const kf_node *const *roots)
{
    kf_order order;
    if (kf_order_init(&order, c->g, c->exec->root_count, roots, false, c->err) < 0)
        return false;
    for (size_t k = 0; !c->failed && k < order.count; k++)
        if (order.nodes[k]->op == KF_REDUCE)
            add_item(c, order.nodes[k]);
    kf_order_finish(&order);
    /* Transposed reductions hold transposed ones, which must be known too. */
    for (size_t k = 0; !c->failed && k < c->item_count; k++) {
        /* Those of a step of its own, and its operands as formulas of rows. */
        const kf_node *found[KF_MAX_ARGS + 2];
        size_t count = 0;
        for (int n = 0; n < c->items[k].node->arg_count; n++)
            found[count++] = c->items[k].node->arg[n];
        for (int n = 0; n < 2 && c->items[k].operand[n]; n++)
            found[count++] = c->items[k].operand[n];
        if (kf_order_init(&order, c->g, count, found, false, c->err) < 0)
            return false;
        for (size_t m = 0; !c->failed && m < order.count; m++)
            if (order.nodes[m]->op == KF_REDUCE && !find_item(c, order.nodes[m]))
                add_item(c, order.nodes[m]);
        kf_order_finish(&order);
    }
    return !c->failed;
}

/* ---- Values that several steps read ------------------------------------------------------------------------------- */

/* Who reads a node: nobody, one reduction, root or stored value, told by its position + 1, or several of these. */
enum { NOBODY = 0, SEVERAL = -1 };

static void add_reader(int64_t *readers, int64_t who)
{
    *readers = *readers == NOBODY || *readers == who ? who : SEVERAL;
}

enum { FEW_NODES = 32 };

/*
 * Whether reading f takes less than computing it again from what it is made of: more than one array of rows, or more than
 * few operators.
 */
static bool is_worth_storing(const kf_node *f)
{
    const kf_node *found[FEW_NODES], *array = NULL;
    const kf_class is = kf_info((kf_op)f->op)->op_class;
    int count = 1;
    if (is != KF_CLASS_MAP && is != KF_CLASS_SUM && is != KF_CLASS_CALL)
        return false;
    found[0] = f;
    for (int at = 0; at < count; at++) {
        const bool is_array = found[at]->op == KF_VAR || found[at]->op == KF_REDUCE;
        if (is_array && found[at]->axes && array)
            return true;
        if (is_array && found[at]->axes)
            array = found[at];
        for (int n = 0; !is_array && n < (found[at]->op == KF_LIKE ? 1 : found[at]->arg_count); n++) {
            int known = 0;
            while (known < count && found[known] != found[at]->arg[n])
                known++;
            if (known == FEW_NODES)
                return true;
            if (known == count)
                found[count++] = found[at]->arg[n];
        }
    }
    return false;
}

/*
 * Values of rows that hold the result of a reduction, and that several steps read, are stored, so that a step reads them and
 * not all that they are made of: in u_n+1 = u_n + sum_j F(u_n, y_j) the n-th step would otherwise read the sums of all steps
 * before, and be another kernel. A value of one array is computed again, since reading it takes as long as reading that.
 */
static bool store_shared(cut *c, const kf_node **roots)
{
    kf_order order;
    const size_t root_count = c->exec->root_count;
    if (kf_order_init(&order, c->g, root_count, roots, false, c->err) < 0)
        return !(c->failed = true);
    int64_t *readers = kb_calloc(c->a, order.count + 1, sizeof *readers);
    bool *holds = kb_calloc(c->a, order.count + 1, sizeof *holds),
         *stored = kb_calloc(c->a, order.count + 1, sizeof *stored);
    const kf_node **made = kb_calloc(c->a, order.count + 1, sizeof *made);
    bool any = false;
    if (!readers || !holds || !stored || !made)
        out_of_memory(c);
    for (size_t k = 0; !c->failed && k < order.count; k++) {
        const kf_node *f = order.nodes[k];
        holds[k] = f->op == KF_REDUCE;
        for (int n = 0; n < f->arg_count; n++)
            holds[k] |= holds[kf_at(&order, f->arg[n])];
    }
    for (size_t r = 0; !c->failed && r < root_count; r++)
        add_reader(&readers[kf_at(&order, roots[r])], (int64_t)(order.count + r + 1));
    for (size_t k = order.count; !c->failed && k-- > 0;) {
        const kf_node *f = order.nodes[k];
        stored[k] = readers[k] == SEVERAL && holds[k] && f->kind == KF_REAL && f->op != KF_REDUCE &&
                    (f->axes & KF_PAIR_AXES) != KF_PAIR_AXES && is_worth_storing(f);
        any |= stored[k];
        for (int n = 0; n < f->arg_count; n++)
            add_reader(&readers[kf_at(&order, f->arg[n])],
                       f->op == KF_REDUCE || stored[k] ? (int64_t)k + 1 : readers[k]);
    }
    for (size_t k = 0; !c->failed && any && k < order.count; k++) {
        const kf_node *f = order.nodes[k], *args[KF_MAX_ARGS] = {NULL};
        for (int n = 0; n < f->arg_count; n++)
            args[n] = made[kf_at(&order, f->arg[n])];
        made[k] = f->arg_count ? kf_rebuild(c->g, f, args) : f;
        if (stored[k])
            made[k] = kf_stored(c->g, made[k]);
        if (!made[k])
            take_error(c);
    }
    /* A root is written to an array of its own in any case. */
    for (size_t r = 0; !c->failed && any && r < root_count; r++) {
        const kf_node *root = made[kf_at(&order, roots[r])];
        roots[r] = kf_is_stored(root) ? root->arg[0] : root;
    }
    kb_free(c->a, readers);
    kb_free(c->a, holds);
    kb_free(c->a, stored);
    kb_free(c->a, made);
    kf_order_finish(&order);
    return !c->failed;
}

static bool cut_roots(cut *c, const kf_node **roots)
{
    kl_exec *e = c->exec;
    for (size_t r = 0; r < e->root_count; r++)
        if (kl_check_root(roots[r], r, c->err) < 0)
            return false;
    if (!check_lengths(c, e->root_count, roots))
        return false;
    for (size_t r = 0; r < e->root_count; r++) {
        if ((roots[r]->axes & KF_PAIR_AXES) == KF_AXIS_J)
            roots[r] = kf_transpose(c->g, roots[r]);
        if (!roots[r])
            return take_error(c);
    }
    bool changed;
    if (!store_shared(c, roots))
        return false;
    if (!find_items(c, roots) || !split_sums(c, roots, &changed))
        return false;
    if (changed) {
        memset(c->item_at, 0, c->item_at_count * sizeof *c->item_at);
        c->item_count = c->group_count = 0;
        if (!find_items(c, roots))
            return false;
    }
    for (size_t k = 0; !c->failed && k < c->item_count; k++)
        if (kf_is_stored(c->items[k].node))
            c->items[k].fused = fused_group(c, c->items[k].operand[0], &c->items[k].depth);
    uint32_t *fused = kb_calloc(c->a, e->root_count + 1, sizeof *fused);
    if (!fused)
        return out_of_memory(c);
    for (size_t r = 0; !c->failed && r < e->root_count; r++) {
        const kf_node *f = roots[r];
        int rows = 0, cols, level;
        kl_batch batch;
        if (!extents_of(c, f->op == KF_REDUCE && !kf_is_indexed(f) ? f->arg[0] : f, &rows, &cols, &batch, &level))
            break;
        /* Formulas are real: an integer that got an axis from elsewhere is the reduction itself, and copies. */
        if (f->kind == KF_INT)
            roots[r] = kf_value(f);
        e->root[r] =
            (kl_root){f->dim, f->axes & KF_PAIR_AXES ? rows : 0, (kf_kind)f->kind, f->axes & ~(unsigned)roots[r]->axes};
        e->repeats = e->repeats || e->root[r].repeats;
        int depth;
        fused[r] = fused_group(c, roots[r], &depth);
    }
    if (!c->failed)
        find_temps(c, fused, roots);
    int most = 0;
    for (size_t k = 0; k < c->item_count; k++)
        most = KB_MAX(most, c->items[k].level);
    for (int level = 1; !c->failed && level <= most; level++) {
        for (size_t k = 0; !c->failed && k < c->item_count; k++)
            if (c->items[k].level == level && c->items[k].group == NO_GROUP && !kf_is_stored(c->items[k].node))
                add_indexed_step(c, k);
        for (size_t k = 0; !c->failed && k < c->group_count; k++)
            if (c->groups[k].level == level)
                add_group_step(c, (uint32_t)k, fused, roots);
        for (size_t k = 0; !c->failed && k < c->item_count; k++)
            if (c->items[k].level == level && kf_is_stored(c->items[k].node) && c->items[k].fused == UINT32_MAX)
                add_map_step(c, (kl_output){true, (uint32_t)c->items[k].temp}, c->items[k].operand[0]);
    }
    for (size_t r = 0; !c->failed && r < e->root_count; r++)
        if (fused[r] == UINT32_MAX)
            add_map_step(c, (kl_output){false, (uint32_t)r}, roots[r]);
    kb_free(c->a, fused);
    return !c->failed;
}

/* ---- Computations ------------------------------------------------------------------------------------------------ */

kcl_status kl_exec_create(kl_exec **out, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                          size_t slot_count, const kl_slot *slots, const kl_options *options, kb_error *err)
{
    const kcl_allocator *a = kf_allocator(from);
    *out = NULL;
    kl_exec *e = kb_calloc(a, 1, sizeof *e);
    if (!e)
        return kb_no_memory(err);
    kf_graph_init(&e->graph, a);
    e->options = *options;
    const kf_node **own = kb_calloc(a, root_count + 1, sizeof *own);
    e->slots = kb_calloc(a, slot_count + 1, sizeof *e->slots);
    e->root = kb_calloc(a, root_count + 1, sizeof *e->root);
    e->slot_count = slot_count;
    e->root_count = root_count;
    kcl_status status = own && e->slots && e->root ? KCL_OK : kb_no_memory(err);
    if (status == KCL_OK) {
        memcpy(e->slots, slots, slot_count * sizeof *slots);
        status = kf_import(&e->graph, from, root_count, roots, own);
        if (status == KCL_OK)
            status = kf_simplify(&e->graph, root_count, own, own);
        if (status < 0)
            *err = e->graph.error;
    }
    if (status == KCL_OK) {
        e->key = kb_hash(options->schedule, strlen(options->schedule), root_count);
        if (options->fast)
            e->key = kb_hash_combine(e->key, 1);
        for (size_t r = 0; r < root_count; r++)
            e->key = kb_hash_combine(e->key, own[r]->hash);
        for (size_t k = 0; k < slot_count; k++) {
            e->key = kb_hash_combine(e->key, (uint64_t)slots[k].extent);
            /* Which sizes of batch axes are equal tells what shares a sweep. */
            for (int b = 0; b < slots[k].batch.count; b++) {
                size_t first = 0;
                while (kl_batch_size(&slots[first].batch, b) != slots[k].batch.size[b])
                    first++;
                e->key = kb_hash_combine(e->key, first * KF_MAX_BATCH + (size_t)b);
            }
        }
        /* What `err` says of an earlier call stays where this one succeeds. */
        kb_error why;
        kb_error_clear(&why);
        cut c = {.exec = e, .g = &e->graph, .err = &why, .a = a};
        if (!cut_roots(&c, own)) {
            *err = why;
            status = err->status;
        }
        kb_free(a, c.items);
        kb_free(a, c.item_at);
        kb_free(a, c.groups);
    }
    for (size_t k = 0; status == KCL_OK && k < e->step_count; k++)
        if (e->steps[k].kind == KL_SWEEP)
            status = kp_expansion_create(&e->steps[k].expansion, &e->steps[k].sweep, err);
    kb_free(a, own);
    if (status < 0)
        kl_exec_destroy(&e);
    *out = e;
    return status;
}

void kl_exec_destroy(kl_exec **exec)
{
    if (!exec || !*exec)
        return;
    kl_exec *e = *exec;
    const kcl_allocator a = *kf_allocator(&e->graph);
    for (size_t k = 0; k < e->step_count; k++) {
        kl_step *s = &e->steps[k];
        kp_expansion_destroy(&s->expansion);
        kb_free(&a, (void *)s->sweep.vars);
        kb_free(&a, (void *)s->sweep.terms);
        kb_free(&a, (void *)s->sweep.outputs);
        kb_free(&a, s->inputs);
        kb_free(&a, s->outputs);
    }
    kb_free(&a, e->steps);
    kb_free(&a, e->temps);
    kb_free(&a, e->slots);
    kb_free(&a, e->root);
    kf_graph_finish(&e->graph);
    kb_free(&a, e);
    *exec = NULL;
}
