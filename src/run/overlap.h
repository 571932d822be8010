/* SPDX-License-Identifier: MIT */
/*
 * run/overlap.h: which arrays have memory in common.
 */
#ifndef KX_OVERLAP_H
#define KX_OVERLAP_H

#include "view.h"

/*
 * Whether elements of two arrays, whose ranges meet, have bytes in common. Exact for arrays whose axes are nested (parts of
 * dense arrays with axes in any order are), however their elements lie between each other; where the strides are so odd
 * that a long search does not tell, the answer is yes. kx_check_strides has passed the arrays.
 */
bool kx_elements_meet(const kx_view *a, const kx_view *b);

/* What holds the elements of a device array: several memories of users may have one holder. NULL for host arrays. */
static inline const void *kx_holder_of(const kx_view *v)
{
    return v->memory ? kd_memory_holder(v->memory) : NULL;
}

/* The address of the first element; of a device array, the place in its holder. */
static inline uint64_t kx_place_of(const kx_view *v)
{
    return v->memory ? kd_memory_origin(v->memory) + (uint64_t)v->offset : (uint64_t)(uintptr_t)v->data;
}

static inline bool kx_overlap(const kx_view *a, const kx_view *b)
{
    const uint64_t place[2] = {kx_place_of(a), kx_place_of(b)};
    const bool ranges_meet = place[0] + (uint64_t)a->low < place[1] + (uint64_t)b->high &&
                             place[1] + (uint64_t)b->low < place[0] + (uint64_t)a->high;
    return ranges_meet && kx_holder_of(a) == kx_holder_of(b) && a->low != a->high && b->low != b->high &&
           kx_elements_meet(a, b);
}

/*
 * Whether two arrays have the same elements in the same order and of the same type: as (N, 1) and (N), or a dense (N, D)
 * and (N D).
 */
bool kx_is_same_array(const kx_view *a, const kx_view *b);

#endif
