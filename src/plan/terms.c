/* SPDX-License-Identifier: MIT */
/* plan/terms.c: what the terms of a plan keep, by the table of reductions. */
#include "planner.h"

const kr_reduction *kp_reduction(const kp_plan *plan, size_t term)
{
    const kf_reduction id = plan->terms[term].reduction;
    return plan->exact[term] ? kr_screened(id) : kr_get(id);
}

/* Returns whether a term keeps a list of K values; *longest is the largest K. */
bool kp_keeps_lists(size_t count, const kr_term *terms, int64_t *longest)
{
    *longest = 0;
    for (size_t k = 0; k < count; k++)
        if (kr_get(terms[k].reduction)->lists)
            *longest = KB_MAX(*longest, terms[k].param);
    return *longest > 0;
}

int kp_numbers(const kp_plan *plan)
{
    int most = 0;
    for (size_t k = 0; k < plan->term_count; k++)
        most = KB_MAX(most, kp_reduction(plan, k)->numbers);
    return most;
}

int64_t kp_state_dim(const kp_plan *plan, size_t term)
{
    const kr_term *t = &plan->terms[term];
    return kp_reduction(plan, term)->numbers * kr_pieces(t) * t->formula->dim;
}

bool kp_has_array(const kp_plan *plan, const kr_array *array)
{
    return !(array->of & KR_ON_CPU) || plan->schedule == KP_BY_LANES;
}

/* Returns the elements of an array of a running state. */
static int64_t length_of(const kp_plan *plan, const kr_term *term, const kr_array *array)
{
    int64_t length = array->length;
    if (array->of & KR_PER_STATE && plan->shape == KP_COLUMNS)
        length *= plan->stream;
    if (array->of & KR_PER_COMPONENT)
        length *= term->formula->dim;
    if (array->of & KR_PER_VALUE)
        length *= kr_pieces(term);
    if (array->of & KR_PER_COLUMN)
        length *= KB_MAX(plan->stream, 1);
    return length;
}

/* Returns the bytes of the states and results of a work-item, and of the copies of lists while lists are joined. */
int64_t kp_state_memory(const kp_plan *plan)
{
    int64_t bytes = 0, vector = (int64_t)kb_dtype_size(plan->dtype) * plan->lanes;
    for (size_t k = 0; k < plan->term_count; k++) {
        const kr_term *term = &plan->terms[k];
        const kr_reduction *r = kp_reduction(plan, k);
        for (const kr_array *a = r->arrays; a->name; a++)
            if (kp_has_array(plan, a))
                bytes += length_of(plan, term, a) * (a->element == KR_BOOL ? (int64_t)sizeof(bool) : vector);
        const int64_t results = kf_reduction_dim(term->reduction, term->formula->dim, term->param);
        bytes += results * vector;
        if (kp_has_numbers(term)) /* as lanes and, lane by lane, as whole numbers */
            bytes += results * (vector + (int64_t)sizeof(int64_t) * plan->lanes);
        if (r->lists)
            bytes += 2 * r->numbers * kr_pieces(term) * vector;
    }
    return bytes;
}
