/* SPDX-License-Identifier: MIT */
/* program/temps.c: the results that later steps read, and the places in memory that they share. */
#include "compile.h"

bool kg_need_temp(kg_compiler *c, uint32_t *number, int32_t dim, int extent, kf_kind kind)
{
    kg_program *p = c->program;
    if (*number != KG_NONE)
        return true;
    if (!kb_reserve(c->a, (void **)&p->temps, &c->temp_capacity, p->temp_count + 1, sizeof *p->temps))
        return kg_out_of_memory(c);
    *number = (uint32_t)p->temp_count;
    p->temps[p->temp_count++] = (kg_temp){dim, extent, kind, KG_NONE};
    return true;
}

static bool need(kg_compiler *c, kg_item *it)
{
    return kg_need_temp(c, &it->temp, it->node->dim, kg_result_rows(it), KF_REAL);
}

/* Keeps the results that `f` reads and that the sweep of group `fused` (KG_NONE: a step of its own) does not have. */
static bool need_leaves(kg_compiler *c, const kf_node *f, uint32_t fused)
{
    kg_leaves leaves;
    if (!kg_leaves_init(&leaves, c, f))
        return false;
    bool ok = true;
    for (size_t k = 0; ok && k < leaves.count; k++) {
        kg_item *it = leaves.nodes[k]->op == KF_REDUCE ? kg_item_of(c, leaves.nodes[k]) : NULL;
        if (it && (fused == KG_NONE || it->group != fused))
            ok = need(c, it);
    }
    kg_leaves_finish(&leaves);
    return ok;
}

bool kg_find_temps(kg_compiler *c)
{
    for (size_t k = 0; k < c->item_count; k++) {
        kg_item *it = &c->items[k];
        const kf_node *terms = it->group == KG_NONE ? it->operand[0] : it->node->arg[0];
        if (!need_leaves(c, terms, it->fused))
            return false;
        if ((kf_is_stored(it->node) || it->operand[1]) && !need(c, it))
            return false;
        /* The index of a gather or scatter; and an index of which a formula takes the axes alone is computed too. */
        kg_item *index = it->operand[1] ? kg_item_of(c, it->operand[1]) : NULL;
        if (it->group == KG_NONE && it->node->param[0] == KF_REDUCE_WHOLE)
            index = it;
        if (index && !kg_need_temp(c, &index->index_temp, index->node->dim, kg_result_rows(index), KF_INT))
            return false;
    }
    for (size_t r = 0; r < c->program->root_count; r++)
        if (!need_leaves(c, c->roots[r], c->root_fused[r]))
            return false;
    return true;
}

/* ---- Places ------------------------------------------------------------------------------------------------------- */

/* Temporaries of one form may have one place. */
typedef struct form {
    int32_t dim;
    int extent;
    kf_kind kind;
    uint32_t free; /* the last temporary whose place is free, KG_NONE: there is none */
} form;

typedef struct placing {
    uint32_t *last_step; /* by temporary: the step that reads or writes it last */
    uint32_t *next_free; /* by temporary, in the list of its form */
    form *forms;
    size_t form_count;
} placing;

static form *form_of(placing *p, const kg_temp *t)
{
    for (size_t k = 0; k < p->form_count; k++)
        if (p->forms[k].dim == t->dim && p->forms[k].extent == t->extent && p->forms[k].kind == t->kind)
            return &p->forms[k];
    p->forms[p->form_count] = (form){t->dim, t->extent, t->kind, KG_NONE};
    return &p->forms[p->form_count++];
}

static void take_place(kg_program *program, placing *p, uint32_t temp)
{
    kg_temp *t = &program->temps[temp];
    form *f = form_of(p, t);
    if (t->place != KG_NONE)
        return;
    if (f->free == KG_NONE) {
        t->place = (uint32_t)program->place_count++;
        return;
    }
    t->place = program->temps[f->free].place;
    f->free = p->next_free[f->free];
}

static void take_places(kg_program *program, placing *p, size_t count, const kg_place *list)
{
    for (size_t k = 0; k < count; k++)
        if (list[k].is_temp)
            take_place(program, p, list[k].index);
}

/* Frees the places of temporaries among `count` inputs or outputs that step `step` uses last; each of them once. */
static void give_back(kg_program *program, placing *p, size_t count, const kg_place *list, uint32_t step)
{
    for (size_t k = 0; k < count; k++) {
        const uint32_t temp = list[k].index;
        if (!list[k].is_temp || p->last_step[temp] != step)
            continue;
        form *f = form_of(p, &program->temps[temp]);
        p->last_step[temp] = KG_NONE;
        p->next_free[temp] = f->free;
        f->free = temp;
    }
}

bool kg_place_temps(kg_compiler *c)
{
    kg_program *program = c->program;
    const size_t count = program->temp_count;
    placing p = {.last_step = kb_calloc(c->a, count + 1, sizeof *p.last_step),
                 .next_free = kb_calloc(c->a, count + 1, sizeof *p.next_free),
                 .forms = kb_calloc(c->a, count + 1, sizeof *p.forms)};
    const bool ok = (p.last_step && p.next_free && p.forms) || kg_out_of_memory(c);
    for (size_t k = 0; ok && k < program->step_count; k++) {
        const kg_step *step = &program->steps[k];
        for (size_t n = 0; n < step->input_count; n++)
            if (step->inputs[n].is_temp)
                p.last_step[step->inputs[n].index] = (uint32_t)k;
        for (size_t n = 0; n < step->output_count; n++)
            if (step->outputs[n].is_temp)
                p.last_step[step->outputs[n].index] = (uint32_t)k;
    }
    /*
     * A step's inputs keep their places till all its outputs have one: kernels read while they write. An index whose axes
     * a formula takes (Like), and not its numbers, is an input that no step has written as real numbers.
     */
    for (size_t k = 0; ok && k < program->step_count; k++) {
        const kg_step *step = &program->steps[k];
        take_places(program, &p, step->output_count, step->outputs);
        take_places(program, &p, step->input_count, step->inputs);
        give_back(program, &p, step->input_count, step->inputs, (uint32_t)k);
        give_back(program, &p, step->output_count, step->outputs, (uint32_t)k);
    }
    kb_free(c->a, p.last_step);
    kb_free(c->a, p.next_free);
    kb_free(c->a, p.forms);
    return ok;
}
