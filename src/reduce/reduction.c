/* SPDX-License-Identifier: MIT */
/* reduce/reduction.c: the table of reductions, and what terms of sweeps compute. */
#include "make.h"
#include "reductions.h"
#include "states.h"

/* ---- The table --------------------------------------------------------------------------------------------------- */

enum { S = KR_PER_STATE, D = KR_PER_COMPONENT, K = KR_PER_VALUE, V = KR_PER_COLUMN };

#define ARRAYS(...)                                                                                                    \
    (const kr_array[])                                                                                                 \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }
#define HOST(f) HOST_AS(f, f##_finish)
#define HOST_AS(f, last)                                                                                               \
    .state_size = f##_state_size, .init = f##_init, .step = f##_step, .merge = f##_merge, .finish = last

static const kr_reduction reductions[KF_REDUCTION_COUNT] = {
#define KR_REDUCTION(id, ...) [KF_REDUCE_##id] = {.name = #id, __VA_ARGS__},
#define KR_SCREENED(id, of, ...)
#include "sweep_reductions.def"
};

static const kr_reduction screened[KF_REDUCTION_COUNT] = {
#define KR_REDUCTION(id, ...)
#define KR_SCREENED(id, of, ...) [KF_REDUCE_##of] = {.name = #id, __VA_ARGS__},
#include "sweep_reductions.def"
};

const kr_reduction *kr_get(kf_reduction id)
{
    return &reductions[id];
}

const kr_reduction *kr_screened(kf_reduction id)
{
    return screened[id].name ? &screened[id] : NULL;
}

/* ---- Terms of reductions ----------------------------------------------------------------------------------------- */

/* How sweeps compute the reductions of formulas: a reduction with a row is the same in sweeps. */
static const struct lowering {
    kf_reduction other;
    enum { SAME, OPPOSITE, LOG, MEAN } value;
} lowerings[KF_REDUCTION_COUNT] = {
#define KR_REDUCTION(id, ...)
#define KR_SCREENED(id, of, ...)
#define KR_ASKED(asked, id, value) [KF_REDUCE_##asked] = {KF_REDUCE_##id, value},
#include "sweep_reductions.def"
};

static kf_reduction in_sweeps(const kf_node *f)
{
    const struct lowering *how = &lowerings[f->param[0]];
    return how->value == SAME ? (kf_reduction)f->param[0] : how->other;
}

kr_term kr_term_of(kf_graph *g, const kf_node *f)
{
    const struct lowering *how = &lowerings[f->param[0]];
    return (kr_term){in_sweeps(f), f->param[2], how->value == OPPOSITE ? kf_unary(g, KF_MINUS, f->arg[0]) : f->arg[0]};
}

/* The reduction that finds the numbers of the values as well; `reduction` where there is none. */
static kf_reduction with_numbers(kf_reduction reduction)
{
    return reductions[reduction].numbered ? reductions[reduction].numbered : reduction;
}

bool kr_join_terms(kr_term *term, const kr_term *other)
{
    if (term->formula != other->formula || term->param != other->param ||
        with_numbers(term->reduction) != with_numbers(other->reduction))
        return false;
    if (term->reduction != other->reduction)
        term->reduction = with_numbers(term->reduction);
    return true;
}

int64_t kr_pieces(const kr_term *term)
{
    return reductions[term->reduction].lists ? term->param : 1;
}

const kf_node *kr_value_of(kf_graph *g, const kf_node *f, int64_t index)
{
    const struct lowering *how = &lowerings[f->param[0]];
    const kf_node *acc =
        kf_acc(g, index, kf_reduction_dim(in_sweeps(f), f->arg[0]->dim, f->param[2]), (kf_kind)f->kind);
    const kf_node *sums = NULL;
    /* Results of ExpSums: m, the sum of the exponentials, and the sums of the weighted exponentials. */
    switch (how->value) {
    case LOG:
        sums = kf_make(g, KF_EXTRACT, &acc, (int64_t[]){2, f->dim});
        return kf_binary(g, KF_ADD, kf_make(g, KF_ELEM, &acc, &(int64_t){0}), kf_unary(g, KF_LOG, sums));
    case MEAN:
        sums = kf_make(g, KF_EXTRACT, &acc, (int64_t[]){2, f->dim});
        return kf_binary(g, KF_DIVIDE, sums, kf_make(g, KF_ELEM, &acc, &(int64_t){1}));
    case OPPOSITE:
        return f->kind == KF_REAL ? kf_unary(g, KF_MINUS, acc) : acc;
    default:
        return acc;
    }
}
