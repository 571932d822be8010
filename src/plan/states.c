/* SPDX-License-Identifier: MIT */
/* plan/states.c: what reductions keep. */
#include "planner.h"
#include "reductions.h"

const kp_state kp_states[KF_REDUCTION_COUNT] = {
    [KF_REDUCE_SUM] = {1, 3, 1, 0, 0, 0},     [KF_REDUCE_LOGSUMEXP] = {2, 6, 3, 0, 0, 0},
    [KF_REDUCE_EXPSUMS] = {2, 6, 3, 0, 0, 1}, [KF_REDUCE_MIN] = {1, 3, 1, 0, 0, 0},
    [KF_REDUCE_ARGMIN] = {3, 5, 9, 0, 0, 0},  [KF_REDUCE_KMIN] = {1, 0, 2, 1, 3, 1},
    [KF_REDUCE_ARGKMIN] = {3, 2, 3, 5, 10, 1},
};

/* Of a piece of a closed state: R_NUMBERS. Where candidates are screened, the second smallest value too. */
int kp_numbers_of(const kr_term *term, bool is_screened)
{
    return kp_states[term->reduction].numbers + is_screened;
}

/* Pieces of a closed state: R_PIECES. */
int64_t kp_pieces_of(const kr_term *term)
{
    return kf_reduction_get(term->reduction)->params ? term->param : 1;
}

/* Lists of K values fill anew in every part of the columns. */
bool kp_keeps_lists(size_t count, const kr_term *terms, int64_t *longest)
{
    *longest = 0;
    for (size_t k = 0; k < count; k++)
        if (kf_reduction_get(terms[k].reduction)->params)
            *longest = KB_MAX(*longest, terms[k].param);
    return *longest > 0;
}

int kp_numbers(const kp_plan *plan)
{
    int most = 0;
    for (size_t k = 0; k < plan->term_count; k++)
        most = KB_MAX(most, kp_numbers_of(&plan->terms[k], plan->exact[k] != NULL));
    return most;
}

int64_t kp_state_dim(const kp_plan *plan, size_t term)
{
    const kr_term *t = &plan->terms[term];
    return kp_numbers_of(t, plan->exact[term] != NULL) * kp_pieces_of(t) * t->formula->dim;
}

const char *kp_term_name(const kp_plan *plan, size_t term)
{
    return plan->exact[term] ? "CANDIDATES" : kr_get(plan->terms[term].reduction)->cl;
}

/* Whether a term has numbers of terms as its results too. */
bool kp_has_numbers(const kr_term *term)
{
    return kf_reduction_get(term->reduction)->kind == KF_INT;
}
