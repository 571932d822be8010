/* SPDX-License-Identifier: MIT */
/*
 * run/strides.h: whether places that strides reach meet. That is a question of whole numbers: is there a sum of multiples
 * of strides that is the distance of two elements, or less than an element away from the distance? It is searched for,
 * largest strides first. In arrays whose axes are nested, as axes of matrices and their parts are, two or three multiples of
 * a stride come into question at most.
 */
#ifndef KX_STRIDES_H
#define KX_STRIDES_H

#include "graph.h"

enum { KX_MOST_STRIDES = 2 * (2 + KF_MAX_BATCH) }; /* of two arrays */

/* Multiples of a stride above 0, from `least` to `most` times. */
typedef struct kx_multiples {
    int64_t stride, least, most;
} kx_multiples;

/* A search; zeros at first. */
typedef struct kx_search {
    int count, steps;
    kx_multiples of[KX_MOST_STRIDES];                              /* the largest stride first */
    int64_t least[KX_MOST_STRIDES + 1], most[KX_MOST_STRIDES + 1]; /* what the strides from here on add up to */
    int64_t divisor[KX_MOST_STRIDES + 1];                          /* of all strides from here on; 0 behind the last */
} kx_search;

/* Adds the multiples of `stride` from `least` to `most` times; equal strides become one. */
void kx_search_add(kx_search *s, int64_t stride, int64_t least, int64_t most);

/*
 * Whether multiples of the strides can add up to a number from `low` to `high`. Where the strides are so odd that a long
 * search does not tell, the answer is yes.
 */
bool kx_search_finds(kx_search *s, int64_t low, int64_t high);

/* Whether two elements, of `size` bytes, of an array with these axes have bytes in common. */
bool kx_shares_elements(int ndim, const int64_t *shape, const int64_t *stride, int64_t size);

#endif
