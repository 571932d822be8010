/* SPDX-License-Identifier: MIT */
/*
 * program/program.c: formulas compiled to steps.
 *
 * Every reduction is the term of a sweep; reductions that need nothing from each other and run over the same extents share
 * a sweep. A root is an output of the sweep that computes its reductions, if one sweep does; else the root is computed from
 * temporaries by a sweep of its own, without columns. Sweeps reduce over j, or over both axes: a reduction over i has its
 * axes exchanged first.
 */
#include "compile.h"
#include "passes.h"
#include "simplify.h"

#include <string.h>

kcl_status kg_read_math(const char *word, bool *fast, kb_error *err)
{
    const bool is_fast = word && strcmp(word, "fast") == 0;
    if (is_fast || !word || !*word || strcmp(word, "precise") == 0) {
        *fast = is_fast;
        return KCL_OK;
    }
    return kb_fail(err, KCL_ERROR_ARGUMENT, "math \"%s\" is not known: write \"precise\" or \"fast\"", word);
}

kcl_status kg_check_root(const kf_node *root, size_t number, kb_error *err)
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

/* ---- The passes --------------------------------------------------------------------------------------------------- */

static bool check_roots(kg_compiler *c)
{
    for (size_t r = 0; r < c->program->root_count; r++)
        if (kg_check_root(c->roots[r], r, c->err) < 0)
            return false;
    return true;
}

/* Results are rows: a root over j has its axes exchanged. */
static bool orient_roots(kg_compiler *c)
{
    for (size_t r = 0; r < c->program->root_count; r++) {
        if ((c->roots[r]->axes & KF_PAIR_AXES) == KF_AXIS_J)
            c->roots[r] = kg_turned(c, c->roots[r]);
        if (!c->roots[r])
            return kg_graph_error(c);
    }
    return true;
}

/* What the arrays of the roots are. */
static bool describe_roots(kg_compiler *c)
{
    kg_program *p = c->program;
    for (size_t r = 0; r < p->root_count; r++) {
        const kf_node *f = c->roots[r];
        kg_facts facts;
        if (!kg_facts_of(c, f->op == KF_REDUCE && !kf_is_indexed(f) ? f->arg[0] : f, &facts))
            return false;
        /* Formulas are real: an integer that got an axis from elsewhere is the reduction itself, and copies. */
        if (f->kind == KF_INT)
            c->roots[r] = kf_value(f);
        p->roots[r] = (kg_root){f->dim, f->axes & KF_PAIR_AXES ? facts.rows : 0, (kf_kind)f->kind,
                                f->axes & ~(unsigned)c->roots[r]->axes};
        p->repeats = p->repeats || p->roots[r].repeats;
    }
    return true;
}

static bool compile(kg_compiler *c)
{
    bool changed;
    if (!check_roots(c) || !kg_check_lengths(c) || !orient_roots(c) || !kg_store_shared(c) || !kg_find_items(c) ||
        !kg_split_sums(c, &changed))
        return false;
    if (changed) {
        kg_forget_items(c);
        if (!kg_find_items(c))
            return false;
    }
    return describe_roots(c) && kg_fuse(c) && kg_find_temps(c) && kg_make_steps(c) && kg_place_temps(c);
}

/* ---- Programs ----------------------------------------------------------------------------------------------------- */

uint64_t kg_structure(size_t root_count, const kf_node *const *roots, size_t slot_count, const kg_slot *slots,
                      const kg_options *options)
{
    uint64_t key = kb_hash(options->schedule, strlen(options->schedule), root_count);
    key = kb_hash_combine(key, (uint64_t)options->form * 2 + options->fast);
    for (size_t r = 0; r < root_count; r++)
        key = kb_hash_combine(key, roots[r]->hash);
    for (size_t k = 0; k < slot_count; k++) {
        key = kb_hash_combine(key, (uint64_t)slots[k].extent);
        for (int b = 0; b < slots[k].batch.count; b++)
            key = kb_hash_combine(key, (uint64_t)slots[k].batch.size[b] * KF_MAX_BATCH + (uint64_t)b);
    }
    return key;
}

/*
 * The key of kernels: sizes of batch axes do not count, but which of them are equal, and which are 1, tells what shares a
 * sweep.
 */
static uint64_t key_of(const kg_program *p, const kf_node *const *roots)
{
    uint64_t key = kb_hash(p->options.schedule, strlen(p->options.schedule), p->root_count);
    if (p->options.fast)
        key = kb_hash_combine(key, 1);
    for (size_t r = 0; r < p->root_count; r++)
        key = kb_hash_combine(key, roots[r]->hash);
    for (size_t k = 0; k < p->slot_count; k++) {
        key = kb_hash_combine(key, (uint64_t)p->slots[k].extent);
        for (int b = 0; b < p->slots[k].batch.count; b++) {
            size_t first = 0;
            while (kg_batch_size(&p->slots[first].batch, b) != p->slots[k].batch.size[b])
                first++;
            key = kb_hash_combine(key, (first * KF_MAX_BATCH + (size_t)b) * 2 + (p->slots[k].batch.size[b] == 1));
        }
    }
    return key;
}

/* The slots without what belongs to a call, and a slot for every extent class. */
static bool keep_slots(kg_program *p, const kcl_allocator *a, size_t count, const kg_slot *slots)
{
    p->slots = kb_calloc(a, count + 1, sizeof *p->slots);
    if (!p->slots)
        return false;
    p->slot_count = count;
    p->extent_count = 1;
    for (size_t k = 0; k < count; k++) {
        p->slots[k] = slots[k];
        p->slots[k].rows = -1;
        p->slots[k].name = NULL;
        p->extent_count = KB_MAX(p->extent_count, slots[k].extent + 1);
    }
    p->extent_slot = kb_calloc(a, (size_t)p->extent_count, sizeof *p->extent_slot);
    if (!p->extent_slot)
        return false;
    memset(p->extent_slot, 0xff, (size_t)p->extent_count * sizeof *p->extent_slot);
    for (size_t k = count; k-- > 0;)
        p->extent_slot[slots[k].extent] = (uint32_t)k;
    return true;
}

static void free_compiler(kg_compiler *c)
{
    kb_free(c->a, c->roots);
    kb_free(c->a, c->root_fused);
    kb_free(c->a, c->root_next);
    kb_free(c->a, c->notes);
    kb_free(c->a, c->items);
    kb_free(c->a, c->groups);
    kb_free(c->a, c->levels);
    kb_free(c->a, c->batches);
    kb_free(c->a, c->stack);
    kb_free(c->a, c->locals);
}

kcl_status kg_program_create(kg_program **out, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                             size_t slot_count, const kg_slot *slots, const kg_options *options, kb_error *err)
{
    const kcl_allocator *a = kf_allocator(from);
    *out = NULL;
    kg_program *p = kb_calloc(a, 1, sizeof *p);
    if (!p)
        return kb_no_memory(err);
    kf_graph_init(&p->graph, a);
    p->options = *options;
    p->root_count = root_count;
    p->roots = kb_calloc(a, root_count + 1, sizeof *p->roots);
    /* What `err` says of an earlier call stays where this one succeeds. */
    kb_error why;
    kb_error_clear(&why);
    kg_compiler c = {.program = p, .g = &p->graph, .err = &why, .a = a, .slots = slots};
    c.roots = kb_calloc(a, root_count + 1, sizeof *c.roots);
    c.root_fused = kb_calloc(a, root_count + 1, sizeof *c.root_fused);
    c.root_next = kb_calloc(a, root_count + 1, sizeof *c.root_next);
    bool ok = (p->roots && c.roots && c.root_fused && c.root_next && keep_slots(p, a, slot_count, slots)) ||
              kg_out_of_memory(&c);
    if (ok && (kf_import(&p->graph, from, root_count, roots, c.roots) < 0 ||
               kf_simplify(&p->graph, root_count, c.roots, c.roots) < 0))
        ok = kg_graph_error(&c);
    if (ok) {
        p->key = key_of(p, c.roots);
        ok = compile(&c);
    }
    free_compiler(&c);
    if (!ok) {
        *err = why;
        kg_program_destroy(&p);
        return err->status;
    }
    *out = p;
    return KCL_OK;
}

void kg_program_destroy(kg_program **program)
{
    if (!program || !*program)
        return;
    kg_program *p = *program;
    const kcl_allocator a = *kf_allocator(&p->graph);
    for (size_t k = 0; k < p->step_count; k++) {
        kg_step *s = &p->steps[k];
        kp_expansion_destroy(&s->expansion);
        kb_free(&a, (void *)s->sweep.vars);
        kb_free(&a, (void *)s->sweep.terms);
        kb_free(&a, (void *)s->sweep.outputs);
        kb_free(&a, s->inputs);
        kb_free(&a, s->outputs);
    }
    kb_free(&a, p->steps);
    kb_free(&a, p->temps);
    kb_free(&a, p->slots);
    kb_free(&a, p->extent_slot);
    kb_free(&a, p->roots);
    kf_graph_finish(&p->graph);
    kb_free(&a, p);
    *program = NULL;
}
