/* SPDX-License-Identifier: MIT */
/* program/steps.c: the steps, level by level. */
#include "compile.h"
#include "make.h"
#include "passes.h"
#include "reductions.h"

enum { ROLES = 3 };

/* A step while it is made. */
typedef struct making {
    kg_compiler *c;
    kg_step *step;
    kr_var *vars;
    size_t var_capacity, input_capacity;
    uint32_t in_group; /* reductions of this group are results; KG_NONE: none are */
    unsigned each;     /* batch axes that the step reduces */
} making;

/* ---- Variables ---------------------------------------------------------------------------------------------------- */

static kg_local *find_local(kg_compiler *c, kg_place from, kf_role role)
{
    const size_t at = ((from.is_temp ? c->program->slot_count : 0) + from.index) * ROLES + (size_t)role;
    if (at < c->local_count)
        return &c->locals[at];
    const size_t before = c->local_count;
    if (!kb_reserve(c->a, (void **)&c->locals, &c->local_capacity, at + ROLES, sizeof *c->locals))
        return kg_out_of_memory(c), NULL;
    c->local_count = at + ROLES;
    for (size_t k = before; k < c->local_count; k++)
        c->locals[k] = (kg_local){0, 0};
    return &c->locals[at];
}

/* The sweep's variable for an input in a role. */
static const kf_node *local_variable(making *m, kg_place input, int32_t dim, kf_role role, unsigned each)
{
    kg_compiler *c = m->c;
    kg_step *step = m->step;
    kg_local *known = find_local(c, input, role);
    if (!known)
        return NULL;
    if (known->step != c->program->step_count) {
        const size_t count = step->input_count;
        const bool has_vars = kb_reserve(c->a, (void **)&m->vars, &m->var_capacity, count + 1, sizeof *m->vars);
        step->sweep.vars = m->vars; /* the step's, in any case */
        if (!has_vars || !kb_reserve(c->a, (void **)&step->inputs, &m->input_capacity, count + 1, sizeof *step->inputs))
            return kg_out_of_memory(c), NULL;
        m->vars[count] = (kr_var){role, dim};
        step->inputs[count] = input;
        *known = (kg_local){(uint32_t)c->program->step_count, (uint32_t)count};
        step->input_count++;
    }
    const kf_node *var = kf_on_batches(c->g, kf_var(c->g, known->var, dim, role), each);
    if (!var)
        kg_graph_error(c);
    return var;
}

/* ---- Formulas of a step ------------------------------------------------------------------------------------------- */

static const kf_node *localised(making *m, const kf_node *f, uint32_t in_group);

/* A leaf of a formula as the step has it. NULL: the error is set, in the compiler or in the graph. */
static const kf_node *localise(void *user, const kf_node *leaf)
{
    making *m = user;
    kg_compiler *c = m->c;
    const unsigned each = leaf->axes & m->each ? KF_AXIS_EACH : 0, pair = leaf->axes & KF_PAIR_AXES;
    if (leaf->op == KF_VAR) {
        const kg_place input = {false, (uint32_t)leaf->param[0]};
        const kf_node *var = local_variable(m, input, leaf->dim, (kf_role)leaf->param[2], each);
        return var && kf_lends_axes(leaf) ? kf_lend_axes(c->g, var, pair | each) : var;
    }
    kg_item *it = kg_item_of(c, leaf);
    if (m->in_group != KG_NONE && it->group == m->in_group)
        return kr_value_of(c->g, it->node, it->term_index);
    if (m->in_group != KG_NONE && it->fused == m->in_group)
        return localised(m, leaf->arg[0], m->in_group);
    const kf_role role = pair == KF_AXIS_I ? KF_ROLE_I : pair == KF_AXIS_J ? KF_ROLE_J : KF_ROLE_P;
    return local_variable(m, (kg_place){true, it->temp}, leaf->dim, role, each);
}

static const kf_node *localised(making *m, const kf_node *f, uint32_t in_group)
{
    kg_compiler *c = m->c;
    const kf_node *out = NULL;
    m->in_group = in_group;
    if (f->op == KF_REDUCE) /* a leaf, not a root whose operands are followed */
        out = localise(m, f);
    else if (kf_substitute(c->g, 1, &f, true, localise, m, &out) < 0)
        out = NULL;
    if (!out)
        kg_graph_error(c);
    return out;
}

/* ---- Steps -------------------------------------------------------------------------------------------------------- */

/* A new step with room for so many outputs. */
static bool start_step(kg_compiler *c, making *m, kg_step_kind kind, size_t most_outputs)
{
    kg_program *p = c->program;
    *m = (making){.c = c, .in_group = KG_NONE};
    if (!kb_reserve(c->a, (void **)&p->steps, &c->step_capacity, p->step_count + 1, sizeof *p->steps))
        return kg_out_of_memory(c);
    m->step = &p->steps[p->step_count++];
    *m->step = (kg_step){.kind = kind, .sweep = {.graph = c->g}};
    m->step->outputs = kb_calloc(c->a, most_outputs + 1, sizeof *m->step->outputs);
    if (kind == KG_SWEEP)
        m->step->sweep.outputs = kb_calloc(c->a, most_outputs + 1, sizeof *m->step->sweep.outputs);
    return (m->step->outputs && (kind != KG_SWEEP || m->step->sweep.outputs)) || kg_out_of_memory(c);
}

static bool add_output(making *m, const kf_node *f, kg_place to)
{
    kg_step *step = m->step;
    const kf_node **outputs = (const kf_node **)(uintptr_t)step->sweep.outputs;
    if (!f)
        return kg_graph_error(m->c);
    outputs[step->output_count] = f;
    step->outputs[step->output_count++] = to;
    return true;
}

/* Notes the axes whose rows the step's formulas count. */
static bool find_numbered(kg_compiler *c, kg_step *step, size_t count, const kf_node *const *formulas)
{
    kf_order order;
    if (!count)
        return true;
    if (kf_order_init(&order, c->g, count, formulas, false, c->err) < 0)
        return false;
    for (size_t k = 0; k < order.count; k++)
        if (order.nodes[k]->op == KF_INDEX)
            step->numbered |= order.nodes[k]->axes;
    kf_order_finish(&order);
    return true;
}

static bool close_sweep(making *m)
{
    kg_step *step = m->step;
    kr_sweep *sweep = &step->sweep;
    sweep->var_count = step->input_count;
    sweep->output_count = step->output_count;
    bool ok = find_numbered(m->c, step, sweep->output_count, sweep->outputs);
    for (size_t k = 0; ok && k < sweep->term_count; k++)
        ok = find_numbered(m->c, step, 1, &sweep->terms[k].formula);
    return ok && kp_expansion_create(&step->expansion, sweep, m->c->err) == KCL_OK;
}

/* The terms of the sweep, and the reductions of the group that later steps read. */
static bool add_terms(making *m, const kg_group *gr, kr_term *terms)
{
    kg_compiler *c = m->c;
    for (uint32_t k = gr->items.first; k != KG_NONE; k = c->items[k].next_of_group) {
        const kg_item *it = &c->items[k];
        if (!terms[it->term_index].formula)
            terms[it->term_index] = it->term;
        else
            kr_join_terms(&terms[it->term_index], &it->term);
        if (it->temp != KG_NONE &&
            !add_output(m, kf_to_real(c->g, kr_value_of(c->g, it->node, it->term_index)), (kg_place){true, it->temp}))
            return false;
        if (it->index_temp != KG_NONE &&
            !add_output(m, kr_value_of(c->g, it->node, it->term_index), (kg_place){true, it->index_temp}))
            return false;
    }
    for (size_t k = 0; k < gr->term_count; k++)
        if (!(terms[k].formula = localised(m, terms[k].formula, KG_NONE)))
            return false;
    return true;
}

static bool add_sweep(kg_compiler *c, uint32_t index)
{
    const kg_group *gr = &c->groups[index];
    making m;
    if (!start_step(c, &m, KG_SWEEP, 2 * gr->item_count + gr->fused_count))
        return false;
    kr_term *terms = kb_calloc(c->a, gr->term_count + 1, sizeof *terms);
    kg_step *step = m.step;
    step->sweep.terms = terms;
    if (!terms)
        return kg_out_of_memory(c);
    m.each = gr->reduced & KF_BATCH_AXES;
    step->batch = *kg_batch_at(c, gr->batch);
    step->reduced_batches = m.each;
    /* Batches alone are reduced as a single column each. */
    step->sweep.reduced =
        (gr->reduced & KF_PAIR_AXES ? gr->reduced & KF_PAIR_AXES : KF_AXIS_J) | (m.each ? KF_AXIS_EACH : 0);
    step->sweep.term_count = gr->term_count;
    step->row_extent = gr->rows;
    step->col_extent = gr->cols;
    if (!add_terms(&m, gr, terms))
        return false;
    for (uint32_t k = gr->fused.first; k != KG_NONE; k = c->items[k].next_fused)
        if (!add_output(&m, localised(&m, c->items[k].operand[0], index), (kg_place){true, c->items[k].temp}))
            return false;
    for (uint32_t r = gr->roots.first; r != KG_NONE; r = c->root_next[r])
        if (!add_output(&m, localised(&m, c->roots[r], index), (kg_place){false, r}))
            return false;
    return close_sweep(&m);
}

/* A sweep without columns. */
static bool add_map(kg_compiler *c, kg_place result, const kf_node *f)
{
    making m;
    kg_facts facts;
    if (!start_step(c, &m, KG_SWEEP, 1) || !kg_facts_of(c, f, &facts))
        return false;
    m.step->batch = *kg_batch_at(c, facts.batch);
    m.step->row_extent = facts.rows;
    return add_output(&m, localised(&m, f, KG_NONE), result) && close_sweep(&m);
}

/* Where a step of its own finds its values, which are computed first where they are no array yet. */
static bool find_values(kg_compiler *c, const kg_item *it, kg_place *from)
{
    const kf_node *F = it->operand[0];
    uint32_t temp = KG_NONE;
    if (F->op == KF_VAR) {
        *from = (kg_place){false, (uint32_t)F->param[0]};
        return true;
    }
    if (F->op == KF_REDUCE) {
        *from = (kg_place){true, kg_item_of(c, F)->temp};
        return true;
    }
    if (!kg_need_temp(c, &temp, F->dim, it->facts.cols, KF_REAL))
        return false;
    *from = (kg_place){true, temp};
    return add_map(c, *from, F);
}

/* What a gather or scatter does with its index. */
static kg_chosen chosen_by(const kg_item *it, const kg_item *index)
{
    const kf_node *node = it->node;
    kg_chosen chosen = {
        (kf_part)node->param[2], (unsigned)index->node->param[1], 0, {index->facts.rows, index->facts.cols}};
    const bool is_scatter = node->param[0] == KF_REDUCE_SCATTER;
    chosen.batches = chosen.axes & KF_BATCH_AXES & (is_scatter ? node->axes : node->arg[0]->axes);
    if (chosen.part == KF_WHOLE) { /* as an index that numbers the rows of the table */
        const int table = is_scatter ? it->facts.rows : it->facts.cols;
        chosen = (kg_chosen){KF_ROW, KF_AXIS_I, 0, {table, table}};
    }
    return chosen;
}

static bool add_own_step(kg_compiler *c, const kg_item *it)
{
    const kf_node *node = it->node;
    kg_place values;
    making m;
    if (!find_values(c, it, &values))
        return false;
    const kg_step_kind kind = node->param[0] == KF_REDUCE_SCATTER ? KG_SCATTER
                              : node->param[0] == KF_REDUCE_WHOLE ? KG_WHOLE
                                                                  : KG_GATHER;
    if (!start_step(c, &m, kind, 1))
        return false;
    kg_step *step = m.step;
    step->row_extent = it->facts.rows;
    step->col_extent = it->facts.cols;
    step->batch = *kg_batch_at(c, it->facts.batch);
    step->reduced_batches = (unsigned)node->param[1] & KF_BATCH_AXES;
    step->inputs = kb_calloc(c->a, 2, sizeof *step->inputs);
    if (!step->inputs)
        return kg_out_of_memory(c);
    step->inputs[step->input_count++] = values;
    if (kind != KG_WHOLE) {
        const kg_item *index = kg_item_of(c, it->operand[1]);
        step->inputs[step->input_count++] = (kg_place){true, index->index_temp};
        step->chosen = chosen_by(it, index);
    }
    step->outputs[step->output_count++] = (kg_place){true, kind == KG_WHOLE ? it->index_temp : it->temp};
    return true;
}

static bool make_level(kg_compiler *c, const kg_level *level)
{
    for (uint32_t k = level->items.first; k != KG_NONE; k = c->items[k].next_of_level)
        if (c->items[k].group == KG_NONE && !kf_is_stored(c->items[k].node) && !add_own_step(c, &c->items[k]))
            return false;
    for (uint32_t k = level->groups.first; k != KG_NONE; k = c->groups[k].next)
        if (!add_sweep(c, k))
            return false;
    for (uint32_t k = level->items.first; k != KG_NONE; k = c->items[k].next_of_level) {
        const kg_item *it = &c->items[k];
        if (kf_is_stored(it->node) && it->fused == KG_NONE && !add_map(c, (kg_place){true, it->temp}, it->operand[0]))
            return false;
    }
    return true;
}

bool kg_make_steps(kg_compiler *c)
{
    for (size_t k = 0; k < c->level_count; k++)
        if (!make_level(c, &c->levels[k]))
            return false;
    for (size_t r = 0; r < c->program->root_count; r++)
        if (c->root_fused[r] == KG_NONE && !add_map(c, (kg_place){false, (uint32_t)r}, c->roots[r]))
            return false;
    return true;
}
