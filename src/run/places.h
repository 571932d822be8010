/* SPDX-License-Identifier: MIT */
/* run/places.h: which elements a gather or scatter reads and writes, as tables of axes; for the host and for kernels. */
#ifndef KX_PLACES_H
#define KX_PLACES_H

#include "gather.h"

enum { KX_MOST_AXES = 1 + KF_MAX_BATCH }; /* rows, and batch axes */

/* A line of the kernels' tables. */
typedef struct kx_line {
    int64_t size, first, second;
} kx_line;

typedef struct kx_lines {
    int count;
    kx_line of[KX_MOST_AXES];
} kx_lines;

/* The number of all places; 1 where there are no axes. */
int64_t kx_places_of(const kx_lines *l);

/* Goes to the next place, from zeros on; the distances follow. */
void kx_go_on(const kx_lines *l, int64_t place[KX_MOST_AXES], int64_t *first, int64_t *second);

/* The digits of an index. */
typedef struct kx_digits {
    kx_lines of;   /* of the axes that the table has: a divisor, a size, a distance in the table */
    int64_t terms; /* of all axes */
} kx_digits;

bool kx_is_term(const kx_digits *d, int64_t n);

/* Where term n is in the table, on the axes that the term tells. */
int64_t kx_place_of_term(const kx_digits *d, int64_t n);

/* The places of a gather: distances in the index and in the table. */
kx_lines kx_places_of_gather(const kx_gather *work, kx_digits *d);

/* The places of a formula as an index: distances in the values. */
kx_lines kx_places_of_whole(const kx_gather *work);

/* What a scatter goes over. */
typedef struct kx_spread {
    kx_lines places;  /* of the index: distances in `values`, and among the targets, on axes that the place tells */
    kx_digits digits; /* distances among the targets on the others */
    kx_lines targets; /* rows of the table that indices choose: no distance, distance in the result */
    kx_lines planes;  /* axes of the table that the index knows nothing of: distances in `values`, in the result */
} kx_spread;

kx_spread kx_spread_of(const kx_gather *work);

#endif
