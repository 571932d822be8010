/* SPDX-License-Identifier: MIT */
/*
 * tests/growth.h: how much longer twice as much takes. Each time stands between two times of half as much, so all of the
 * three suffer alike from other work on the machine, and the median of the ratios counts. A bound that the median
 * misses is given more runs: what is quadratic misses the bound in every run.
 */
#ifndef TEST_GROWTH_H
#define TEST_GROWTH_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { GROWTH_LEAST_RUNS = 5, GROWTH_MOST_RUNS = 61 };

typedef struct growth {
    int runs;
    double half; /* the last time of half as much; 0: none yet */
    double ratio[GROWTH_MOST_RUNS];
} growth;

/* The time of as much, and the time of half as much that followed. The first time of half as much follows none. */
static inline void growth_add(growth *g, double as_much, double half)
{
    if (g->half > 0)
        g->ratio[g->runs++] = 2 * as_much / (g->half + half);
    g->half = half;
}

static inline int growth_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double growth_median(const growth *g)
{
    double sorted[GROWTH_MOST_RUNS] = {0};
    memcpy(sorted, g->ratio, (size_t)g->runs * sizeof *sorted);
    qsort(sorted, (size_t)g->runs, sizeof *sorted, growth_compare);
    return sorted[g->runs / 2];
}

/* Whether to measure again. */
static inline bool growth_goes_on(const growth *g, double bound)
{
    return g->runs < GROWTH_LEAST_RUNS || (g->runs < GROWTH_MOST_RUNS && growth_median(g) >= bound);
}

#endif
