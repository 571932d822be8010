/* SPDX-License-Identifier: MIT */
/* program/store.c: values of rows that several steps read. */
#include "compile.h"
#include "passes.h"
#include "reductions.h"

/* Who reads a node: nobody, one reduction, root or stored value, told by its position + 1, or several of these. */
enum { NOBODY = 0, SEVERAL = -1 };

static void add_reader(int64_t *readers, int64_t who)
{
    *readers = *readers == NOBODY || *readers == who ? who : SEVERAL;
}

enum { FEW_NODES = 32 };

/*
 * Whether reading f takes less than computing f again from what it is made of: more than one array of rows, or more than
 * a few operators.
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

typedef struct storing {
    kf_order order;
    int64_t *readers;
    bool *holds; /* the result of a reduction */
    bool *stored;
    const kf_node **made;
} storing;

/* Finds what is stored; *any tells whether there is something. */
static void find_stored(const kg_compiler *c, storing *s, bool *any)
{
    const kf_order *order = &s->order;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        s->holds[k] = f->op == KF_REDUCE;
        for (int n = 0; n < f->arg_count; n++)
            s->holds[k] |= s->holds[kf_at(order, f->arg[n])];
    }
    for (size_t r = 0; r < c->program->root_count; r++)
        add_reader(&s->readers[kf_at(order, c->roots[r])], (int64_t)(order->count + r + 1));
    for (size_t k = order->count; k-- > 0;) {
        const kf_node *f = order->nodes[k];
        s->stored[k] = s->readers[k] == SEVERAL && s->holds[k] && f->kind == KF_REAL && f->op != KF_REDUCE &&
                       (f->axes & KF_PAIR_AXES) != KF_PAIR_AXES && is_worth_storing(f);
        *any |= s->stored[k];
        for (int n = 0; n < f->arg_count; n++)
            add_reader(&s->readers[kf_at(order, f->arg[n])],
                       f->op == KF_REDUCE || s->stored[k] ? (int64_t)k + 1 : s->readers[k]);
    }
}

static const kf_node *store(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const storing *s = user;
    const kf_node *made = f->arg_count ? kf_rebuild(g, f, args) : f;
    return made && s->stored[kf_at(&s->order, f)] ? kf_stored(g, made) : made;
}

static bool rebuild(kg_compiler *c, storing *s)
{
    if (kf_rewrite_in_order(c->g, &s->order, store, s, s->made) < 0)
        return kg_graph_error(c);
    /* A root is written to an array of its own in any case. */
    for (size_t r = 0; r < c->program->root_count; r++) {
        const kf_node *root = s->made[kf_at(&s->order, c->roots[r])];
        c->roots[r] = kf_is_stored(root) ? root->arg[0] : root;
    }
    return true;
}

/*
 * Values of rows that hold the result of a reduction, and that several steps read, are stored, so that a step reads the
 * value and not everything that the value is made of: in u_n+1 = u_n + sum_j F(u_n, y_j) the n-th step would otherwise
 * read the sums of all steps before, and be another kernel. A value of one array is computed again, since reading the
 * value takes as long as reading the array.
 */
bool kg_store_shared(kg_compiler *c)
{
    storing s = {.readers = NULL};
    bool any = false;
    if (kf_order_init(&s.order, c->g, c->program->root_count, c->roots, false, c->err) < 0)
        return false;
    s.readers = kb_calloc(c->a, s.order.count + 1, sizeof *s.readers);
    s.holds = kb_calloc(c->a, s.order.count + 1, sizeof *s.holds);
    s.stored = kb_calloc(c->a, s.order.count + 1, sizeof *s.stored);
    s.made = kb_calloc(c->a, s.order.count + 1, sizeof *s.made);
    bool ok = (s.readers && s.holds && s.stored && s.made) || kg_out_of_memory(c);
    if (ok)
        find_stored(c, &s, &any);
    ok = ok && (!any || rebuild(c, &s));
    kb_free(c->a, s.readers);
    kb_free(c->a, s.holds);
    kb_free(c->a, s.stored);
    kb_free(c->a, s.made);
    kf_order_finish(&s.order);
    return ok;
}
