/* SPDX-License-Identifier: MIT */
/* render/instances.c: which components of which nodes a piece of straight code needs. */
#include "layout.h"
#include "pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Finds or makes the instance; new ones are pushed for their operands to be visited. Returns its number, -1: no memory. */
static int32_t instance_of(kt_pass *s, const kf_node *f, bool fixed, int32_t base, int64_t offset, size_t *depth)
{
    size_t position = kt_at(s, f);
    fixed = fixed || f->dim == 1;
    if (f->dim == 1)
        offset = 0;
    if (fixed)
        base = 0;
    for (int32_t k = s->first[position]; k >= 0; k = s->list[k].same_node)
        if (s->list[k].fixed == fixed && s->list[k].offset == offset && s->list[k].base == base)
            return k;
    if (!kb_reserve(kt_alloc(s), (void **)&s->list, &s->capacity, s->count + 1, sizeof *s->list) ||
        !kb_reserve(kt_alloc(s), (void **)&s->stack, &s->stack_capacity, *depth + 1, sizeof *s->stack)) {
        kb_no_memory(s->body->err);
        return -1;
    }
    s->list[s->count] = (kt_instance){.node = f, .fixed = fixed, .base = base, .offset = offset, .child = {-1, -1, -1}};
    s->list[s->count].same_node = s->first[position];
    s->first[position] = (int32_t)s->count;
    s->stack[(*depth)++] = (uint32_t)s->count;
    return (int32_t)s->count++;
}

/* ---- Components of rearranged vectors ---------------------------------------------------------------------------- */

/*
 * Where a copy's operand is read at a component that is no constant distance from k, the component is a whole number of
 * its own, "const int k3 = k % 4 * 5 + k / 4;", computed in front of the statements that use it.
 */
typedef struct component {
    bool fixed;
    int32_t base;
    int64_t offset;
} component;

/* The number of the index with this text; -1: no memory. */
static int32_t index_of(kt_pass *s, kb_str *text)
{
    for (size_t k = 0; k < s->index_count && !text->failed; k++)
        if (strcmp(s->indices[k], kb_str_text(text)) == 0)
            return (int32_t)k;
    const char *copy = text->failed ? NULL : kb_arena_strdup(&s->body->arena, kb_str_text(text));
    if (!copy ||
        !kb_reserve(kt_alloc(s), (void **)&s->indices, &s->index_capacity, s->index_count + 1, sizeof *s->indices)) {
        kb_no_memory(s->body->err);
        return -1;
    }
    s->indices[s->index_count] = copy;
    return (int32_t)s->index_count++;
}

void kt_put_index(kb_str *text, int32_t base, int64_t offset)
{
    if (base)
        kb_str_putf(text, "k%d", base - 1);
    else
        kb_str_put(text, "k");
    if (offset)
        kb_str_putf(text, " %c %lld", offset < 0 ? '-' : '+', (long long)llabs(offset));
}

/* The source of component `e`, a name or "(a sum)". */
static void put_source(kb_str *text, const kf_layout *l, const char *e)
{
    int64_t inner = 1;
    bool any = false;
    for (int axis = l->rank; axis-- > 0; inner *= l->size[axis]) {
        if (l->size[axis] == 1 || l->stride[axis] == 0)
            continue;
        kb_str_putf(text, "%s%s", any ? " + " : "", e);
        if (inner > 1)
            kb_str_putf(text, " / %lld", (long long)inner);
        if (axis > 0)
            kb_str_putf(text, " %% %lld", (long long)l->size[axis]);
        if (l->stride[axis] != 1)
            kb_str_putf(text, " * %lld", (long long)l->stride[axis]);
        any = true;
    }
    if (l->offset || !any)
        kb_str_putf(text, "%s%lld", any ? " + " : "", (long long)l->offset);
}

/* The component of Place's operand that goes to `e`, -1 for those that get none. */
static void put_inverse(kb_str *text, const kf_layout *l, const char *e)
{
    kb_str_putf(text, "%s >= 0", e);
    for (int axis = 0; axis <= l->rank; axis++) {
        if (axis == l->rank && l->stride[axis - 1] == 1)
            break;
        kb_str_putf(text, " && %s", e);
        for (int outer = 0; outer < axis; outer++)
            kb_str_putf(text, " %% %lld", (long long)l->stride[outer]);
        if (axis < l->rank)
            kb_str_putf(text, " / %lld < %lld", (long long)l->stride[axis], (long long)l->size[axis]);
        else
            kb_str_put(text, " == 0");
    }
    kb_str_put(text, " ? ");
    int64_t inner = 1;
    for (int axis = 0; axis < l->rank; axis++)
        inner *= l->size[axis];
    for (int axis = 0; axis < l->rank; axis++) {
        inner /= l->size[axis];
        kb_str_putf(text, "%s%s", axis ? " + " : "", e);
        for (int outer = 0; outer < axis; outer++)
            kb_str_putf(text, " %% %lld", (long long)l->stride[outer]);
        if (l->stride[axis] != 1)
            kb_str_putf(text, " / %lld", (long long)l->stride[axis]);
        if (inner > 1)
            kb_str_putf(text, " * %lld", (long long)inner);
    }
    kb_str_put(text, " : -1");
}

/* An index from a text that was written behind `text`'s old content; clears it. */
static int32_t take_index(kt_pass *s, kb_str *text)
{
    int32_t index = index_of(s, text);
    kb_str_clear(text);
    return index;
}

/* Where component `here` of copy n comes from in operand c; for choices also by which index. False: no memory. */
static bool trace(kt_pass *s, kt_instance *n, int c, component *out)
{
    const kf_node *f = n->node;
    const kf_layout l = f->op == KF_ARRANGE || f->op == KF_PLACE ? kf_layout_of(f) : (kf_layout){.rank = 0};
    kb_str text;
    char e[64];
    int32_t index = 0, chosen = 0;
    kb_str_init(&text, kt_alloc(s));
    kt_put_index(&text, n->base, n->offset);
    snprintf(e, sizeof e, n->offset ? "(%s)" : "%s", kb_str_text(&text));
    *out = (component){false, n->base, n->offset};
    switch ((kf_op)f->op) {
    case KF_SUMT:
        *out = (component){true, 0, 0};
        break;
    case KF_EXTRACT:
        out->offset += f->param[0];
        break;
    case KF_ARRANGE:
        if (l.rank == 1 && l.stride[0] == 1) {
            out->offset += l.offset;
            break;
        }
        kb_str_clear(&text);
        put_source(&text, &l, e);
        index = take_index(s, &text);
        *out = (component){false, index + 1, 0};
        break;
    case KF_CONCAT:
        /* Below 0: the first operand, and how far from its end. */
        kb_str_clear(&text);
        kt_put_index(&text, n->base, n->offset - f->arg[0]->dim);
        chosen = take_index(s, &text);
        if (c == 0)
            kb_str_putf(&text, "min(%s, %d)", e, f->arg[0]->dim - 1);
        else
            kb_str_putf(&text, "max(k%d, 0)", chosen);
        index = chosen < 0 ? -1 : take_index(s, &text);
        n->chosen_by = chosen + 1;
        *out = (component){false, index + 1, 0};
        break;
    default: /* ElemT, ExtractT, Place: the operand's component, or none */
        kb_str_clear(&text);
        kt_put_index(&text, n->base,
                     n->offset - (f->op == KF_PLACE   ? l.offset
                                  : f->op == KF_ELEMT ? f->param[1]
                                                      : f->param[0]));
        index = take_index(s, &text);
        snprintf(e, sizeof e, "k%d", index);
        if (f->op == KF_PLACE)
            put_inverse(&text, &l, e);
        else
            kb_str_putf(&text, "%s >= 0 && %s < %d ? %s : -1", e, e, f->arg[0]->dim, e);
        chosen = index < 0 ? -1 : take_index(s, &text);
        kb_str_putf(&text, "max(k%d, 0)", chosen);
        index = chosen < 0 ? -1 : take_index(s, &text);
        n->chosen_by = chosen + 1;
        *out = (component){false, index + 1, 0};
        break;
    }
    bool ok = index >= 0 && chosen >= 0 && !text.failed;
    kb_str_finish(&text);
    return ok;
}

int32_t kt_collect(kt_pass *s, const kf_node *f, bool fixed, int64_t k0, int64_t *limit)
{
    size_t depth = 0;
    int32_t root = instance_of(s, f, fixed, 0, fixed ? k0 : 0, &depth);
    while (root >= 0 && depth) {
        uint32_t number = s->stack[--depth];
        const kf_node *node = s->list[number].node;
        bool is_fixed = s->list[number].fixed;
        int64_t offset = s->list[number].offset;
        if (kt_is_leaf(s, node))
            continue;
        int operands = node->op == KF_LIKE ? 1 : node->arg_count;
        for (int c = 0; c < operands; c++) {
            const kf_node *arg = node->arg[c];
            component from = {is_fixed, s->list[number].base, offset};
            const bool copies = kf_info((kf_op)node->op)->op_class == KF_CLASS_COPY;
            const bool in_runs = is_fixed || (!from.base && node->op != KF_ARRANGE && node->op != KF_PLACE);
            if (copies && in_runs) {
                int64_t source_component, run, here = is_fixed ? offset : k0 + offset;
                int step, source = kf_copy_source(node, here, &source_component, &run, &step);
                if (!is_fixed)
                    *limit = KB_MIN(*limit, k0 + run);
                if (source != c)
                    continue;
                from.fixed = is_fixed || step == 0;
                from.offset = from.fixed ? source_component : source_component - k0;
            } else if (copies && !trace(s, &s->list[number], c, &from)) {
                return -1;
            }
            int32_t child = instance_of(s, arg, from.fixed, from.base, from.offset, &depth);
            if (child < 0)
                return -1;
            s->list[number].child[c] = child;
            s->list[child].uses += node->op == KF_SQUARE ? 2 : 1;
        }
    }
    return root;
}

void kt_forget_instances(kt_pass *s)
{
    for (size_t k = 0; k < s->count; k++)
        s->first[kt_at(s, s->list[k].node)] = -1;
    s->count = 0;
    s->index_count = 0;
}
