/* SPDX-License-Identifier: MIT */
/*
 * program/compile.h: a program while it is compiled. The passes, in the order in which program.c calls them, each in a
 * file of its own, work on the lists that are declared here. Every pass takes time in proportion to the nodes.
 */
#ifndef KG_COMPILE_H
#define KG_COMPILE_H

#include "order.h"
#include "program.h"

#define KG_NONE UINT32_MAX /* no item, group, step or temporary */

/* A list of items or roots, by number: the first and the last one; the next one stands with each of them. */
typedef struct kg_list {
    uint32_t first, last;
} kg_list;

/* What leaves tell of a formula: the extent classes of its axes, its batch axes, and the level of its reductions. */
typedef struct kg_facts {
    int rows, cols;
    uint32_t batch; /* number in kg_compiler.batches; 0: no batch axes */
    uint32_t level;
} kg_facts;

/* A node of the graph, by id. */
typedef struct kg_note {
    bool is_known;         /* `facts` are */
    bool is_visited;       /* the reductions below the node are items */
    uint32_t item;         /* of a reduction */
    uint32_t of_terms;     /* of a formula: the first item whose term computes it */
    const kf_node *turned; /* the node with its axes i and j exchanged; NULL: nobody has asked for that */
    kg_facts facts;
} kg_note;

/* A reduction of the graph, in the orientation of sweeps: over j, or over both axes. */
typedef struct kg_item {
    const kf_node *node;
    kg_facts facts;            /* of the terms; but the level is the level of the step */
    kr_term term;              /* with the formula's own leaves; of what is a step of its own: none */
    uint32_t group;            /* KG_NONE: a step of its own */
    uint32_t term_index;       /* within the group; reductions that one term computes share the index */
    uint32_t temp, index_temp; /* that keep the result as real numbers, and as integers */
    const kf_node *operand[2]; /* of a step of its own: values and index, as formulas of rows */
    uint32_t fused;            /* of a stored value: the group whose sweep computes the value as well */
    int depth;                 /* of a stored value: values of the same sweep that go into each other */
    bool is_needed;            /* by another reduction */
    size_t shared;             /* of a sum over both axes: operators of the pair in common with `by_rows` */
    const kf_node *by_rows;    /* the terms of the sum, as a sweep over columns computes them; NULL: none does */
    uint32_t next_of_term;     /* item whose term has the same formula */
    uint32_t next_of_group, next_of_level, next_fused;
} kg_item;

/* Reductions that one sweep computes. */
typedef struct kg_group {
    uint32_t level;
    int rows, cols;
    uint32_t batch;
    unsigned reduced;
    size_t term_count, item_count, fused_count;
    kg_list items, fused, roots; /* the reductions; stored values and roots that are outputs of the sweep */
    uint32_t next;               /* group of the same level */
} kg_group;

/* What the steps of a level compute. */
typedef struct kg_level {
    kg_list items, groups;
} kg_level;

/* The variable that stands for a slot or temporary in one role, in the step that was the last to read it. */
typedef struct kg_local {
    uint32_t step; /* + 1; 0: no step yet */
    uint32_t var;
} kg_local;

typedef struct kg_compiler {
    kg_program *program;
    kf_graph *g;
    kb_error *err;
    const kcl_allocator *a;
    const kg_slot *slots; /* the caller's: with rows and names */
    const kf_node **roots;
    uint32_t *root_fused, *root_next; /* by root: the group that computes it, or KG_NONE; the next one of that group */

    kg_note *notes;
    size_t note_count, note_capacity;
    kg_item *items;
    size_t item_count, item_capacity;
    kg_group *groups;
    size_t group_count, group_capacity;
    kg_level *levels;
    size_t level_count, level_capacity;
    kg_batch *batches; /* different ones */
    size_t batch_count, batch_capacity;
    const kf_node **stack; /* of a walk through the graph */
    size_t stack_depth, stack_capacity;

    /* Steps. */
    size_t step_capacity, temp_capacity;
    kg_local *locals; /* by slot, then by temporary, for each role */
    size_t local_count, local_capacity;
} kg_compiler;

/* facts.c. Both return false, after setting the error. */
bool kg_out_of_memory(kg_compiler *c);
bool kg_graph_error(kg_compiler *c);

/* Puts number `n` at the end of the list. Returns the number that was the last one, whose next is `n`; KG_NONE: none was. */
static inline uint32_t kg_append(kg_list *list, uint32_t n)
{
    const uint32_t before = list->first == KG_NONE ? KG_NONE : list->last;
    list->first = before == KG_NONE ? n : list->first;
    list->last = n;
    return before;
}

/* ---- Passes ------------------------------------------------------------------------------------------------------- */

/* lengths.c: refuses operands of an operation whose axes differ in length. The roots are as the user wrote them. */
bool kg_check_lengths(kg_compiler *c);

/* store.c: values of rows that several steps read become pseudo-reductions (kf_stored). */
bool kg_store_shared(kg_compiler *c);

/* items.c: finds the reductions below the roots, and groups the reductions that one sweep computes. */
bool kg_find_items(kg_compiler *c);
void kg_forget_items(kg_compiler *c);

/* split.c: sums over both axes become sums of row sums, where a sweep computes these. *changed: the roots are others. */
bool kg_split_sums(kg_compiler *c, bool *changed);

/* fuse.c: finds the stored values and roots that are outputs of the sweeps which compute their reductions. */
bool kg_fuse(kg_compiler *c);

/* temps.c: numbers the results that later steps read, before any step is made. */
bool kg_find_temps(kg_compiler *c);

/* steps.c: makes the steps, level by level. */
bool kg_make_steps(kg_compiler *c);

/* temps.c: gives temporaries that are never needed at the same time the same place. */
bool kg_place_temps(kg_compiler *c);

/* ---- What the passes share ---------------------------------------------------------------------------------------- */

/* facts.c: room for the note about the node with this id. */
bool kg_reserve_notes(kg_compiler *c, uint32_t id);

/* facts.c: the number of a batch among the different ones. */
bool kg_find_batch(kg_compiler *c, const kg_batch *batch, uint32_t *number);

/*
 * facts.c: goes through what is below `f`, operands first, and through no node twice: `is_done` tells what to leave out,
 * `is_leaf` which operands do not count (NULL: all do), `take` is called for each node, and may walk too.
 */
bool kg_walk(kg_compiler *c, const kf_node *f, bool (*is_done)(kg_compiler *c, const kf_node *f),
             bool (*is_leaf)(const kf_node *f), bool (*take)(kg_compiler *c, const kf_node *f));

/*
 * facts.c: `f` with its axes i and j exchanged. Reductions that go into each other, over i and over j in turn, are
 * exchanged again and again, so what was exchanged before is not gone through. NULL, after setting the error: it failed.
 */
const kf_node *kg_turned(kg_compiler *c, const kf_node *f);

/* facts.c: the item of a reduction; NULL: the reduction is not known. */
kg_item *kg_item_of(const kg_compiler *c, const kf_node *reduce);

/* facts.c: what the leaves of `f` tell; a reduction is a leaf. False: they clash, or memory is out. */
bool kg_facts_of(kg_compiler *c, const kf_node *f, kg_facts *facts);

static inline const kg_batch *kg_batch_at(const kg_compiler *c, uint32_t number)
{
    return &c->batches[number];
}

/*
 * facts.c: the leaves that a formula reads, among the nodes above its reductions; a formula that is a reduction is a leaf
 * itself. Leaves are not copied: `nodes` may point to `self`.
 */
typedef struct kg_leaves {
    kf_order order;
    const kf_node *self;
    const kf_node *const *nodes;
    size_t count;
} kg_leaves;

bool kg_leaves_init(kg_leaves *leaves, kg_compiler *c, const kf_node *f);
void kg_leaves_finish(kg_leaves *leaves);

/* temps.c: a new temporary, where *number is KG_NONE. */
bool kg_need_temp(kg_compiler *c, uint32_t *number, int32_t dim, int extent, kf_kind kind);

/* The extent class of an item's result: the result of reducing both axes is one row. */
static inline int kg_result_rows(const kg_item *it)
{
    return it->node->axes & KF_PAIR_AXES ? it->facts.rows : 0;
}

#endif
