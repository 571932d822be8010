/* SPDX-License-Identifier: MIT */
/* render/pass.h: one section of a kernel while its statements are written; for body.c, instances.c and texts.c. */
#ifndef KT_PASS_H
#define KT_PASS_H

#include "body.h"

/* A component of a node within a piece of straight code. */
typedef struct kt_instance {
    const kf_node *node;
    bool fixed;         /* component `offset`, else component k + offset, where k is: */
    int32_t base;       /* 0: the loop's k; else index number base - 1 of the section */
    int32_t chosen_by;  /* index + 1 whose sign chooses: below 0 child 0 of Concat, 0 of other copies; 0: none */
    bool named;         /* `text` is a name or an access */
    uint8_t precedence; /* of text: 0 primary, 1 sign, 2 product, 3 sum */
    int uses;
    int64_t offset;
    int32_t child[KF_MAX_ARGS]; /* instance, or -1: the number 0 */
    int32_t same_node;          /* next instance of the node, or -1 */
    const char *text;
} kt_instance;

/* A section that is being written. */
typedef struct kt_pass {
    kt_body *body;
    bool streamed;
    bool staged; /* within a step of a contraction: components are in registers */
    kb_str *out;
    int depth; /* of indentation */

    /* By position in body->order. */
    bool *live;
    bool *keep;   /* a number that a later loop or stage reads */
    bool *access; /* reading it costs nothing: a variable, a kept value, or a copy of one */
    int32_t *stage, *need;
    int32_t *first; /* first instance, or -1 */

    const char **indices; /* texts of whole numbers that components are counted by, k0, k1, ... */
    size_t index_count, index_capacity;

    kt_instance *list; /* in an order in which operands come first */
    size_t count, capacity;
    uint32_t *stack;
    size_t stack_capacity;
} kt_pass;

static inline const kcl_allocator *kt_alloc(const kt_pass *s)
{
    return kf_allocator(&s->body->plan->graph);
}

static inline size_t kt_at(const kt_pass *s, const kf_node *f)
{
    return kf_at(&s->body->order, f);
}

static inline bool kt_is_stored(const kt_pass *s, const kf_node *f)
{
    return s->body->stored[kt_at(s, f)].place != KT_NOWHERE;
}

static inline bool kt_is_leaf(const kt_pass *s, const kf_node *f)
{
    return kf_info((kf_op)f->op)->op_class == KF_CLASS_LEAF || kt_is_stored(s, f);
}

static inline bool kt_is_call(const kf_node *f)
{
    return kf_info((kf_op)f->op)->op_class == KF_CLASS_CALL;
}

/* One number or several from components: computed in loops of their own. */
static inline bool kt_is_sum(const kf_node *f)
{
    return kf_info((kf_op)f->op)->op_class == KF_CLASS_SUM || kt_is_call(f);
}

static inline bool kt_is_lanes(const kt_pass *s, const kf_node *f)
{
    return (kt_class(s->body, f) & KP_LANE) != 0;
}

/* ---- instances.c ------------------------------------------------------------------------------------------------- */

/* "k3 + 2": component `offset` of base `base`. */
void kt_put_index(kb_str *text, int32_t base, int64_t offset);

/*
 * Collects what `f` needs for component k (from `k0` on) or for the fixed component k0, and returns its instance, -1: no
 * memory. *limit is lowered to the component up to which the same text holds.
 */
int32_t kt_collect(kt_pass *s, const kf_node *f, bool fixed, int64_t k0, int64_t *limit);
void kt_forget_instances(kt_pass *s);

/* ---- texts.c ----------------------------------------------------------------------------------------------------- */

/*
 * Makes the text of every instance; those used more than once become statements: in `once` those that no streamed element
 * changes, the others in `per_element`.
 */
bool kt_write_instances(kt_pass *s, kb_str *once, kb_str *per_element);

/* The text of an operand, in brackets above precedence `allowed`; a number where lanes are wanted is widened if `widen`. */
void kt_put_operand(kt_pass *s, kb_str *text, int32_t child, int allowed, bool widen);

/* Whether the instance is a product without a name, whose factors fma can take. */
bool kt_is_product(const kt_pass *s, int32_t child);

#endif
