/* SPDX-License-Identifier: MIT */
/* formula/passes.c: nodes in order, the loop that rewrites them, and passes made of the loop. */
#include "passes.h"
#include "intern.h"
#include "make.h"
#include "reductions.h"

/* ---- Order ------------------------------------------------------------------------------------------------------- */

/* Twice as many pages, or the first pages. */
static bool grow_pages(kf_order *order)
{
    kf_order grown = *order;
    grown.page_bits = order->pages ? order->page_bits + 1 : 4;
    grown.pages = kb_calloc(&order->allocator, (size_t)1 << grown.page_bits, sizeof *grown.pages);
    if (!grown.pages)
        return false;
    for (size_t k = 0; order->pages && k < (size_t)1 << order->page_bits; k++)
        if (order->pages[k].number)
            *kf_page_of(&grown, order->pages[k].number) = order->pages[k];
    kb_free(&order->allocator, order->pages);
    *order = grown;
    return true;
}

/* Room for a page of positions, which are zeros. */
static bool add_positions(kf_order *order)
{
    if (!kb_reserve(&order->allocator, (void **)&order->position, &order->capacity, order->positions + KF_PAGE,
                    sizeof *order->position))
        return false;
    memset(order->position + order->positions, 0, KF_PAGE * sizeof *order->position);
    order->positions += KF_PAGE;
    return true;
}

static bool set_position(kf_order *order, const kf_node *f, uint32_t position)
{
    const uint32_t number = f->id / KF_PAGE + 1;
    if (!kf_page_of(order, number)->number) {
        const size_t first = order->positions;
        const bool crowded = first / KF_PAGE * 2 > (size_t)1 << order->page_bits;
        if ((crowded && !grow_pages(order)) || !add_positions(order))
            return false;
        *kf_page_of(order, number) = (kf_page){number, (uint32_t)first};
    }
    *kf_position(order, f) = position;
    return true;
}

/* The nodes whose operands are gone through, from a root on; each with the operand that comes next. */
typedef struct frame {
    const kf_node *node;
    int next;
} frame;

typedef struct walk {
    const kcl_allocator *a;
    frame *frames;
    size_t depth, capacity;
} walk;

static bool enter(walk *w, const kf_node *f, bool is_leaf)
{
    if (!kb_reserve(w->a, (void **)&w->frames, &w->capacity, w->depth + 1, sizeof *w->frames))
        return false;
    w->frames[w->depth++] = (frame){f, is_leaf ? f->arg_count : 0};
    return true;
}

kcl_status kf_order_init(kf_order *order, const kf_graph *g, size_t root_count, const kf_node *const *roots,
                         bool stop_at_reduce, kb_error *err)
{
    /* The position of a root before it is listed: another root may lead to the root. */
    const uint32_t new_root = UINT32_MAX;
    size_t capacity = 0;
    walk w = {.a = kf_allocator(g)};
    *order = (kf_order){.allocator = *w.a};
    bool ok = grow_pages(order) && add_positions(order);
    for (size_t r = 0; ok && r < root_count; r++)
        ok = set_position(order, roots[r], new_root);
    for (size_t r = 0; ok && r < root_count; r++) {
        if (*kf_position(order, roots[r]) != new_root)
            continue;
        ok = enter(&w, roots[r], false);
        while (ok && w.depth) {
            frame *top = &w.frames[w.depth - 1];
            const kf_node *f = top->node;
            if (top->next < f->arg_count) {
                const kf_node *arg = f->arg[top->next++];
                const uint32_t position = *kf_position(order, arg);
                /* A reduction that is no root is a leaf if `stop_at_reduce` says so: its axes are axes of another sweep. */
                if (!position || position == new_root)
                    ok = enter(&w, arg, stop_at_reduce && arg->op == KF_REDUCE && !position);
                continue;
            }
            w.depth--;
            ok = kb_reserve(w.a, (void **)&order->nodes, &capacity, order->count + 1, sizeof *order->nodes);
            if (ok) {
                order->nodes[order->count++] = f;
                ok = set_position(order, f, (uint32_t)order->count);
            }
        }
    }
    kb_free(w.a, w.frames);
    if (ok)
        return KCL_OK;
    kf_order_finish(order);
    return kb_no_memory(err);
}

void kf_order_finish(kf_order *order)
{
    kb_free(&order->allocator, order->nodes);
    kb_free(&order->allocator, order->position);
    kb_free(&order->allocator, order->pages);
    order->nodes = NULL;
    order->position = NULL;
    order->pages = NULL;
    order->count = 0;
}

/* ---- Rebuilding -------------------------------------------------------------------------------------------------- */

bool kf_keeps_args(const kf_node *f, const kf_node *const *args)
{
    bool same = f->arg_count > 0;
    for (int k = 0; k < f->arg_count; k++)
        same = same && args[k] == f->arg[k];
    return same;
}

const kf_node *kf_rebuild(kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    if (kf_keeps_args(f, args))
        return f;
    switch ((kf_op)f->op) {
    case KF_VAR:
        if (kf_lends_axes(f))
            return kf_lend_axes(g, kf_var(g, f->param[0], f->param[1], (kf_role)f->param[2]), f->axes);
        return kf_var_with(g, kf_var(g, f->param[0], f->param[1], (kf_role)f->param[2]), (kf_kind)f->kind, f->axes);
    case KF_CONST:
        return f->param[1] ? kf_rat(g, f->param[0], f->param[1]) : kf_num(g, f->value);
    case KF_REDUCE:
        if (f->param[0] == KF_REDUCE_WHOLE)
            return kf_whole(g, args[0]);
        if (kf_is_stored(f))
            return kf_stored(g, args[0]);
        if (kf_is_indexed(f))
            return f->arg_count == 2 ? kf_gather(g, args[0], args[1], (kf_part)f->param[2])
                                     : kf_scatter(g, args[0], args[1], (kf_part)f->param[2], args[2]);
        return kf_reduce(g, (kf_reduction)f->param[0], (unsigned)f->param[1], f->param[2], args[0]);
    default:
        return kf_make(g, (kf_op)f->op, args, f->param);
    }
}

kcl_status kf_rewrite_in_order(kf_graph *g, const kf_order *order, kf_rewriter *rewriter, void *user,
                               const kf_node **made)
{
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k], *args[KF_MAX_ARGS] = {NULL};
        for (int c = 0; c < f->arg_count; c++) {
            const uint32_t position = *kf_position(order, f->arg[c]);
            args[c] = position ? made[position - 1] : f->arg[c];
        }
        made[k] = rewriter(user, g, f, args);
        if (!made[k])
            return g->error.status;
    }
    return KCL_OK;
}

kcl_status kf_rewrite(kf_graph *g, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                      bool stop_at_reduce, kf_rewriter *rewriter, void *user, const kf_node **out)
{
    kf_order order;
    if (kf_order_init(&order, from, root_count, roots, stop_at_reduce, &g->error) < 0)
        return g->error.status;
    const kf_node **made = kb_calloc(kf_allocator(g), order.count + 1, sizeof *made);
    kcl_status status = made ? kf_rewrite_in_order(g, &order, rewriter, user, made) : kb_no_memory(&g->error);
    for (size_t k = 0; status == KCL_OK && k < root_count; k++)
        out[k] = made[kf_at(&order, roots[k])];
    kb_free(kf_allocator(g), made);
    kf_order_finish(&order);
    return status;
}

typedef struct substitution {
    const kf_node *(*replace)(void *user, const kf_node *leaf);
    void *user;
    bool stops_at_reduce; /* what is below a reduction is not looked at: it need not have been made yet */
} substitution;

static const kf_node *substitute_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const substitution *s = user;
    const kf_node *replaced = f->op == KF_VAR || f->op == KF_REDUCE ? s->replace(s->user, f) : f;
    if (replaced != f || f->op == KF_VAR || (f->op == KF_REDUCE && s->stops_at_reduce))
        return replaced;
    return kf_rebuild(g, f, args);
}

kcl_status kf_substitute(kf_graph *g, size_t root_count, const kf_node *const *roots, bool stop_at_reduce,
                         const kf_node *(*replace)(void *user, const kf_node *leaf), void *user, const kf_node **out)
{
    return kf_rewrite(g, g, root_count, roots, stop_at_reduce, substitute_node,
                      &(substitution){replace, user, stop_at_reduce}, out);
}

typedef struct replacement {
    size_t count;
    const kf_node *const *nodes, *const *by;
} replacement;

static const kf_node *replace_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const replacement *r = user;
    for (size_t k = 0; k < r->count; k++)
        if (f == r->nodes[k])
            return r->by[k];
    return f->op == KF_VAR ? f : kf_rebuild(g, f, args);
}

const kf_node *kf_replace(kf_graph *g, const kf_node *F, size_t count, const kf_node *const *nodes,
                          const kf_node *const *by)
{
    const kf_node *out = NULL;
    return kf_rewrite(g, g, 1, &F, false, replace_node, &(replacement){count, nodes, by}, &out) < 0 ? NULL : out;
}

/* A node that takes the axes of a variable takes the axes of what stands for the variable. */
static const kf_node *put_back_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const replacement *r = user;
    const kf_node *axes_of = f->op == KF_LIKE ? f->arg[1] : f->op == KF_VAR ? f : NULL;
    for (size_t k = 0; axes_of && axes_of->op == KF_VAR && k < r->count; k++) {
        const kf_node *var = r->by[k];
        if (axes_of->param[0] != var->param[0] || axes_of->param[2] != var->param[2])
            continue;
        if (f->op == KF_LIKE)
            return kf_like_on(g, args[0], r->nodes[k], axes_of->axes);
        return kf_lends_axes(f) ? kf_like_on(g, kf_rat(g, 1, 1), r->nodes[k], f->axes) : r->nodes[k];
    }
    return f->op == KF_VAR ? f : kf_rebuild(g, f, args);
}

const kf_node *kf_put_back(kf_graph *g, const kf_node *F, size_t count, const kf_node *const *nodes,
                           const kf_node *const *by)
{
    const kf_node *out = NULL;
    return kf_rewrite(g, g, 1, &F, false, put_back_node, &(replacement){count, nodes, by}, &out) < 0 ? NULL : out;
}

static const kf_node *spread_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const unsigned *batches = user;
    if (f->op == KF_VAR)
        return kf_lends_axes(f) ? f : kf_on_batches(g, f, f->axes | batches[f->param[0]]);
    if (!kf_is_indexed(f) || f->param[0] != KF_REDUCE_SCATTER)
        return kf_rebuild(g, f, args);
    const kf_node *like = kf_like_on(g, args[2], args[0], KF_BATCH_AXES);
    return kf_rebuild(g, f, (const kf_node *[]){args[0], args[1], kf_like_on(g, like, args[1], KF_BATCH_AXES)});
}

kcl_status kf_spread(kf_graph *g, size_t root_count, const kf_node *const *roots, const unsigned *batches,
                     const kf_node **out)
{
    return kf_rewrite(g, g, root_count, roots, false, spread_node, (void *)(uintptr_t)batches, out);
}

static const kf_node *import_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    (void)user;
    return kf_rebuild(g, f, args);
}

kcl_status kf_import(kf_graph *g, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                     const kf_node **out)
{
    return kf_rewrite(g, from, root_count, roots, false, import_node, NULL, out);
}

const kf_node *kf_transpose_node(kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    static const kf_role swapped[] = {KF_ROLE_J, KF_ROLE_I, KF_ROLE_P, KF_ROLE_ACC};
    static const unsigned swapped_axes[] = {0, KF_AXIS_J, KF_AXIS_I, KF_AXIS_I | KF_AXIS_J};
    if (!(f->axes & KF_PAIR_AXES))
        return f;
    if (f->op == KF_VAR) {
        const kf_node *var = kf_var(g, f->param[0], f->param[1], swapped[f->param[2]]);
        unsigned axes = swapped_axes[f->axes & KF_PAIR_AXES] | (f->axes & KF_BATCH_AXES);
        var = f->kind == KF_INT && !kf_lends_axes(f) ? kf_integers(g, var) : var;
        return kf_lends_axes(f) ? kf_lend_axes(g, var, axes) : kf_on_batches(g, var, axes);
    }
    if (f->op == KF_INDEX)
        return kf_index(g, f->param[1], f->param[0], f->param[2]);
    if (f->op == KF_REDUCE && !kf_is_indexed(f)) {
        unsigned axes = swapped_axes[f->param[1] & KF_PAIR_AXES] | (f->param[1] & KF_BATCH_AXES);
        return kf_reduce(g, (kf_reduction)f->param[0], axes, f->param[2], args[0]);
    }
    return kf_rebuild(g, f, args);
}

static const kf_node *transpose_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    (void)user;
    return kf_transpose_node(g, f, args);
}

const kf_node *kf_transpose(kf_graph *g, const kf_node *f)
{
    const kf_node *out = NULL;
    if (!f || kf_rewrite(g, g, 1, &f, false, transpose_node, NULL, &out) < 0)
        return NULL;
    return out;
}
