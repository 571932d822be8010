/* SPDX-License-Identifier: MIT */
/* formula/reductions.c: axes that are lent, reductions, and rows that an index chooses. */
#include "reductions.h"
#include "intern.h"
#include "make.h"

static const kf_reduction_info reduction_table[KF_REDUCTION_COUNT] = {
#define KF_REDUCTION(id, name, formulas, params, dimension, kind) {name, formulas, params, KF_##kind},
#include "reductions.def"
};

const kf_reduction_info *kf_reduction_get(kf_reduction reduction)
{
    return &reduction_table[reduction];
}

int64_t kf_reduction_dim(kf_reduction reduction, int64_t dim, int64_t param)
{
    (void)param;
    switch (reduction) {
#define KF_REDUCTION(id, name, formulas, params, dimension, kind)                                                      \
    case KF_REDUCE_##id:                                                                                               \
        return dimension;
#include "reductions.def"
    case KF_REDUCTION_COUNT:
        break;
    }
    return 0;
}

/* An operand that has the axis; if possible, an operand that tells the length of the axis. */
static const kf_node *operand_with_axis(const kf_node *f, unsigned axis)
{
    int k = 0;
    while (!((f->sized & axis ? f->arg[k]->sized : f->arg[k]->axes) & axis))
        k++;
    return f->arg[k];
}

/* A leaf below f that has the axis. */
static const kf_node *leaf_with_axis(const kf_node *f, unsigned axis)
{
    while (f->op != KF_VAR && f->op != KF_REDUCE && f->op != KF_INDEX)
        f = operand_with_axis(f, axis);
    return f;
}

/* The same, through reductions as well, whose formulas tell the lengths of all their axes. */
static const kf_node *variable_with_axis(const kf_node *f, unsigned axis)
{
    while (f->op != KF_VAR)
        f = operand_with_axis(f, axis);
    return f;
}

const kf_node *kf_like(kf_graph *g, const kf_node *f, const kf_node *axes_of)
{
    return kf_like_on(g, f, axes_of, ~0u);
}

const kf_node *kf_like_on(kf_graph *g, const kf_node *f, const kf_node *axes_of, unsigned axes)
{
    unsigned wanted = axes_of ? axes_of->axes & axes : 0;
    for (unsigned axis = 1; axis < 1u << KF_AXIS_COUNT && f && axes_of; axis *= 2) {
        if (!(wanted & (~f->axes | (axes_of->sized & ~f->sized)) & axis))
            continue;
        const kf_node *leaf = leaf_with_axis(axes_of, axis);
        /* The other axes of the node are not asked for. */
        if (leaf->op == KF_INDEX)
            leaf = kf_index(g, axis == KF_AXIS_I, axis == KF_AXIS_J, 0);
        else if (leaf->axes & ~(f->axes | wanted)) {
            leaf = variable_with_axis(leaf, axis);
            leaf = kf_lend_axes(g, leaf, leaf->axes & wanted);
        }
        f = kf_binary(g, KF_LIKE, f, leaf);
    }
    return axes_of ? f : NULL;
}

const kf_node *kf_to_real(kf_graph *g, const kf_node *f)
{
    return f && f->kind == KF_INT ? kf_binary(g, KF_MULT, kf_rat(g, 1, 1), f) : f;
}

bool kf_chooses(kf_reduction reduction)
{
    return kf_reduction_get(reduction)->kind == KF_INT || kf_reduction_get(reduction)->params > 0;
}

const kf_node *kf_weighted(kf_graph *g, kf_reduction reduction, const kf_node *F, const kf_node *G)
{
    if (F && F->dim != 1)
        return kf_refuse(
            g, KCL_ERROR_SHAPE,
            "%s_Reduction: the exponent has dimension %d, it must be 1: weigh its components one by one (Elem)",
            kf_reduction_get(reduction)->name, F->dim);
    return kf_binary(g, KF_CONCAT, F, G);
}

const kf_node *kf_term_count(kf_graph *g, unsigned axes, const kf_node *f)
{
    const kf_node *count = kf_rat(g, 1, 1);
    for (unsigned axis = 1; axis < 1u << KF_AXIS_COUNT && f; axis *= 2) {
        if (!(axes & f->axes & axis))
            continue;
        /* Along one axis alone: a sum of its own, of few terms. */
        const kf_node *one = kf_like_on(g, kf_rat(g, 1, 1), f, axis);
        count = kf_binary(g, KF_MULT, count, kf_reduce(g, KF_REDUCE_SUM, axis, 0, one));
    }
    return f ? count : NULL;
}

/* The value of a reduction of one term. */
static const kf_node *of_one_term(kf_graph *g, kf_reduction reduction, const kf_node *f)
{
    if (reduction == KF_REDUCE_LOGSUMEXPWEIGHT)
        return kf_binary(g, KF_ADD, f->arg[0], kf_unary(g, KF_LOG, f->arg[1]));
    return reduction == KF_REDUCE_SUMSOFTMAXWEIGHT ? f->arg[1] : f;
}

/*
 * Batches are reduced in the pass over rows and columns: the results of single batches are not kept. So a reduction of
 * a reduction is one reduction over all axes, if one of the two is over batches alone.
 */
static bool is_chain(unsigned axes, const kf_node *f)
{
    return f->op == KF_REDUCE && !kf_is_indexed(f) && (!(axes & KF_PAIR_AXES) || !(f->param[1] & KF_PAIR_AXES));
}

const kf_node *kf_reduce(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f)
{
    static const char *const axis_names[] = {"no axis", "i", "j", "i and j"};
    const kf_reduction_info *info = kf_reduction_get(reduction);
    if (!f)
        return kf_refuse(g, KCL_ERROR_ARGUMENT, "%s_Reduction: the formula is missing", info->name);
    if (kf_is_integers(f))
        return kf_refuse_integers(g, "Reduction");
    if (info->params && param < 1)
        return kf_refuse(g, KCL_ERROR_ARGUMENT, "%s_Reduction: K is %lld, it must be 1 or more", info->name,
                         (long long)param);
    if (info->params && param > KF_MAX_DIM / f->dim)
        return kf_refuse(
            g, KCL_ERROR_SHAPE,
            "%s_Reduction: K is %lld, for a formula of dimension %d: the K values can have at most %d components",
            info->name, (long long)param, f->dim, KF_MAX_DIM);
    /* A batch axis that f lacks has size 1: the reduction chooses from one term. */
    const unsigned there = axes & f->axes, of_one = kf_chooses(reduction) && !there ? axes & KF_BATCH_AXES : 0;
    if (!there && !of_one && kf_chooses(reduction))
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "%s_Reduction over %s: the formula depends on %s, there is nothing to choose from", info->name,
                         axis_names[axes & KF_PAIR_AXES],
                         f->axes & KF_PAIR_AXES ? axis_names[f->axes & KF_PAIR_AXES] : "neither i nor j");
    if (info->formulas == 2 && (f->op != KF_CONCAT || f->arg[0]->dim != 1)) {
        const kf_node *F = kf_make(g, KF_ELEM, &f, &(int64_t){0});
        const kf_node *G = kf_make(g, KF_EXTRACT, &f, (int64_t[]){1, f->dim - 1});
        f = kf_binary(g, KF_CONCAT, F, G);
        if (!f)
            return NULL;
    }
    if (there && f->axes & ~f->sized)
        return kf_refuse(
            g, KCL_ERROR_SHAPE,
            "%s_Reduction: of axis %s the formula has only the numbers, Index%s: nothing tells its length. An "
            "array with that axis must enter the formula, Like(f,x) takes no more than the length from x",
            info->name, axis_names[f->axes & ~f->sized], f->axes & ~f->sized & KF_AXIS_I ? "I" : "J");
    axes = there | of_one;
    if (!axes)
        return of_one_term(g, reduction, f);
    bool nests = reduction == KF_REDUCE_SUM || reduction == KF_REDUCE_LOGSUMEXP || reduction == KF_REDUCE_MIN ||
                 reduction == KF_REDUCE_MAX;
    if (nests && is_chain(axes, f) && f->param[0] == (int64_t)reduction)
        return kf_reduce(g, reduction, axes | (unsigned)f->param[1], param, f->arg[0]);
    kf_node draft = {.op = KF_REDUCE, .arg_count = 1, KF_FEW_PARAMS(reduction, axes, param), .arg = {f}};
    draft.kind = (uint8_t)info->kind;
    draft.axes = (uint8_t)(f->axes & ~axes);
    draft.dim = (int32_t)kf_reduction_dim(reduction, f->dim, param);
    return kf_intern(g, &draft);
}

const kf_node *kf_reduce_on(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f)
{
    if (f && reduction == KF_REDUCE_SUMSOFTMAXWEIGHT && f->op == KF_CONCAT) {
        /* The weights of the inner sums are the sums of their own exponents. */
        const kf_node *sums = f->arg[0], *means = f->arg[1];
        if (is_chain(axes, means) && means->param[0] == KF_REDUCE_SUMSOFTMAXWEIGHT && sums->op == KF_REDUCE &&
            sums->param[0] == KF_REDUCE_LOGSUMEXP && sums->param[1] == means->param[1] &&
            sums->arg[0] == means->arg[0]->arg[0])
            return kf_reduce(g, reduction, axes | (unsigned)means->param[1], 0, means->arg[0]);
        return kf_reduce(g, reduction, axes, param, f);
    }
    if (!f || !is_chain(axes, f))
        return kf_reduce(g, reduction, axes, param, f);
    const kf_reduction below = (kf_reduction)f->param[0];
    if (reduction == KF_REDUCE_LOGSUMEXP && below == KF_REDUCE_LOGSUMEXPWEIGHT)
        return kf_reduce(g, below, axes | (unsigned)f->param[1], 0, f->arg[0]);
    if (below != reduction || kf_reduction_get(reduction)->formulas == 2)
        return kf_reduce(g, reduction, axes, param, f);
    if (f->param[2] != param)
        return kf_refuse(
            g, KCL_ERROR_ARGUMENT,
            "%s_Reduction: K is %lld, of a reduction over other axes whose K is %lld: in a chain it must be the same",
            kf_reduction_get(reduction)->name, (long long)param, (long long)f->param[2]);
    return kf_reduce(g, reduction, axes | (unsigned)f->param[1], param, f->arg[0]);
}

/* ---- Rows chosen by an index ------------------------------------------------------------------------------------- */

unsigned kf_index_axes(const kf_node *index)
{
    return (unsigned)kf_value(index)->param[1];
}

/* `reduced`: axes of F that the result lacks. */
static const kf_node *indexed(kf_graph *g, kf_reduction reduction, unsigned axes, unsigned reduced, int64_t dim,
                              const kf_node *F, const kf_node *index, kf_part part, const kf_node *like)
{
    if (!kf_dim_in_range(g, kf_reduction_get(reduction)->name, dim))
        return NULL;
    kf_node draft = {.op = KF_REDUCE, KF_FEW_PARAMS(reduction, reduced, part), .arg = {F, index, like}};
    draft.dim = (int32_t)dim;
    draft.arg_count = like ? 3 : 2;
    draft.axes = (uint8_t)axes;
    return kf_intern(g, &draft);
}

/* The axes of a table (F of a gather, the result of a scatter) whose number the index tells. */
static unsigned told_axes(const kf_node *table, const kf_node *index, kf_part part)
{
    return (part == KF_WHOLE ? 0 : table->axes & kf_index_axes(index) & KF_BATCH_AXES) |
           (part == KF_ROW_OF_PLACE ? 0 : table->axes & KF_PAIR_AXES);
}

static bool has_both(unsigned axes)
{
    return (axes & KF_PAIR_AXES) == KF_PAIR_AXES;
}

static const kf_node *refuse_indexed(kf_graph *g)
{
    return kf_refuse(
        g, KCL_ERROR_UNSUPPORTED,
        "the derivative of a smallest or largest value needs a reduction, over batch axes alone, of a formula "
        "that depends on both i and j: reduce that over one of them as well");
}

const kf_node *kf_gather(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part)
{
    F = kf_to_real(g, F);
    if (!F || !index)
        return NULL;
    const unsigned told = told_axes(F, index, part), placed = F->axes & ~told, axes = index->axes | placed;
    if (!told || has_both(F->axes) || has_both(axes) || (part != KF_WHOLE && told & index->axes) ||
        index->kind != KF_INT)
        return refuse_indexed(g);
    const int64_t dim = (int64_t)F->dim * index->dim;
    if (kf_is_zero(kf_value(F)))
        return kf_like_on(g, kf_like(g, kf_zero(g, dim), index), F, placed);
    return indexed(g, KF_REDUCE_GATHER, axes, told, dim, F, index, part, NULL);
}

/* A node with these axes of f, without a value: variables that lend the axes. */
static const kf_node *holder_of(kf_graph *g, const kf_node *f, unsigned axes)
{
    const kf_node *holder = NULL;
    for (unsigned axis = 1; axis < 1u << KF_AXIS_COUNT; axis *= 2) {
        if (!(axes & axis) || (holder && holder->axes & axis))
            continue;
        const kf_node *var = variable_with_axis(f, axis);
        if (var->axes & ~axes)
            var = kf_lend_axes(g, var, var->axes & axes);
        holder = holder ? kf_binary(g, KF_LIKE, holder, var) : var;
        if (!holder)
            return NULL;
    }
    return holder;
}

const kf_node *kf_scatter(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part, const kf_node *like)
{
    F = kf_like(g, kf_to_real(g, F), index);
    if (!F || !like)
        return NULL;
    const unsigned told = told_axes(like, index, part);
    if (!told || has_both(F->axes) || has_both(like->axes) || (part != KF_WHOLE && F->axes & told) ||
        index->kind != KF_INT || F->dim % index->dim)
        return refuse_indexed(g);
    /* Batches that have the index in common are added up first. */
    F = kf_reduce(g, KF_REDUCE_SUM, F->axes & ~(index->axes | like->axes), 0, F);
    if (!F)
        return NULL;
    const unsigned axes = like->axes & (F->axes | told);
    if (kf_is_zero(kf_value(F)))
        return kf_like_on(g, kf_zero(g, F->dim / index->dim), like, axes);
    like = holder_of(g, like, axes);
    return like ? indexed(g, KF_REDUCE_SCATTER, axes, F->axes & ~axes, F->dim / index->dim, F, index, part, like)
                : NULL;
}

const kf_node *kf_whole(kf_graph *g, const kf_node *F)
{
    if (!F || (F->op == KF_REDUCE && F->kind == KF_INT))
        return F;
    if (F->op == KF_MULT && F->arg[1]->op == KF_REDUCE && F->arg[1]->kind == KF_INT && F->arg[0] == kf_rat(g, 1, 1))
        return F->arg[1]; /* f is kf_to_real of an index */
    F = kf_is_integers(F) ? F : kf_to_real(g, F);
    if (!F)
        return NULL;
    kf_node draft = {.op = KF_REDUCE, .arg_count = 1, KF_FEW_PARAMS(KF_REDUCE_WHOLE), .arg = {F}};
    draft.kind = KF_INT;
    draft.axes = F->axes;
    draft.dim = F->dim;
    return kf_intern(g, &draft);
}

const kf_node *kf_stored(kf_graph *g, const kf_node *F)
{
    if (!F)
        return NULL;
    kf_node draft = {.op = KF_REDUCE, .arg_count = 1, KF_FEW_PARAMS(KF_REDUCE_STORED), .arg = {F}};
    draft.kind = KF_REAL;
    draft.axes = F->axes;
    draft.dim = F->dim;
    return kf_intern(g, &draft);
}

const kf_node *kf_gather_rows(kf_graph *g, const kf_node *table, const kf_node *index)
{
    static const char *const axis_names[] = {"neither i nor j", "i", "j", "both i and j"};
    if (!table || !index)
        return NULL;
    const unsigned rows = table->axes & KF_PAIR_AXES;
    if (!rows || has_both(rows))
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "Gather: the table depends on %s, it must have one of these axes: its rows", axis_names[rows]);
    if (has_both(index->axes))
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "Gather: the index depends on both i and j, it must have one axis or none");
    if ((index->axes & KF_PAIR_AXES) == rows)
        index = kf_like_on(g, index, table, rows);
    if (!index)
        return NULL;
    if (index->axes & ~index->sized || table->axes & ~table->sized)
        return kf_refuse(
            g, KCL_ERROR_SHAPE,
            "Gather: of its axis the %s has only the numbers, Index%s: nothing tells its length. Like(f,x) "
            "takes it from x",
            index->axes & ~index->sized ? "index" : "table",
            (index->axes & ~index->sized ? index : table)->axes & KF_AXIS_I ? "I" : "J");
    return kf_gather(g, table, kf_whole(g, index), KF_WHOLE);
}
