/* SPDX-License-Identifier: MIT */
/*
 * run/overlap.c: which arrays have memory in common. Ranges of addresses tell nearly always; where they do, whether
 * elements meet is a question of whole numbers: is there a sum of multiples of strides that is the distance of two
 * elements, or less than an element away from it? It is searched for, largest strides first. In arrays whose axes are
 * nested, as those of matrices and their parts are, two or three multiples of a stride come into question at most.
 */
#include "overlap.h"

enum {
    MOST_AXES = 2 + KF_MAX_BATCH,
    MOST_STEPS = 4096 /* of a search; what it has not told by then is taken for an overlap */
};

/* Multiples of a stride above 0, from `least` to `most` times. */
typedef struct multiples {
    int64_t stride, least, most;
} multiples;

typedef struct search {
    int count, steps;
    multiples of[2 * MOST_AXES];                               /* the largest stride first */
    int64_t least[2 * MOST_AXES + 1], most[2 * MOST_AXES + 1]; /* what those from here on add up to */
    int64_t divisor[2 * MOST_AXES + 1];                        /* of all strides from here on; 0 behind the last */
} search;

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b > 0);
}

/* Adds the multiples of `stride` from `least` to `most` times; equal strides become one. */
static void add_multiples(search *s, int64_t stride, int64_t least, int64_t most)
{
    if (stride < 0) {
        const int64_t swapped = -least;
        stride = -stride;
        least = -most;
        most = swapped;
    }
    int at = 0;
    while (at < s->count && s->of[at].stride > stride)
        at++;
    if (at < s->count && s->of[at].stride == stride) {
        s->of[at].least += least;
        s->of[at].most += most;
        return;
    }
    for (int k = s->count++; k > at; k--)
        s->of[k] = s->of[k - 1];
    s->of[at] = (multiples){stride, least, most};
}

static void sum_up(search *s)
{
    s->least[s->count] = s->most[s->count] = s->divisor[s->count] = 0;
    for (int k = s->count - 1; k >= 0; k--) {
        int64_t a = s->of[k].stride, b = s->divisor[k + 1];
        while (b) {
            const int64_t rest = a % b;
            a = b;
            b = rest;
        }
        s->divisor[k] = a;
        s->least[k] = s->least[k + 1] + s->of[k].least * s->of[k].stride;
        s->most[k] = s->most[k + 1] + s->of[k].most * s->of[k].stride;
    }
}

/* Whether multiples of the strides from k on can add up to a number from `low` to `high`. */
static bool reaches(search *s, int k, int64_t low, int64_t high)
{
    if (++s->steps > MOST_STEPS)
        return true;
    low = KB_MAX(low, s->least[k]);
    high = KB_MIN(high, s->most[k]);
    if (low > high || k == s->count)
        return low <= high;
    if (floor_div(high, s->divisor[k]) * s->divisor[k] < low)
        return false;
    const multiples *m = &s->of[k];
    const int64_t from = KB_MAX(ceil_div(low - s->most[k + 1], m->stride), m->least);
    const int64_t to = KB_MIN(floor_div(high - s->least[k + 1], m->stride), m->most);
    for (int64_t n = from; n <= to; n++)
        if (reaches(s, k + 1, low - n * m->stride, high - n * m->stride))
            return true;
    return false;
}

/* ---- One array --------------------------------------------------------------------------------------------------- */

bool kx_shares_elements(int ndim, const int64_t *shape, const int64_t *stride, int64_t size)
{
    multiples of[KCL_MAX_AXES]; /* the smallest stride first */
    int count = 0;
    for (int k = 0; k < ndim; k++) {
        if (shape[k] == 0)
            return false;
        if (shape[k] == 1)
            continue;
        const int64_t step = stride[k] < 0 ? -stride[k] : stride[k];
        int at = count++;
        for (; at > 0 && of[at - 1].stride > step; at--)
            of[at] = of[at - 1];
        of[at] = (multiples){step, 0, shape[k] - 1};
    }
    int64_t length = size;
    bool is_nested = true;
    for (int k = 0; k < count; k++) {
        is_nested = is_nested && of[k].stride >= length;
        length += of[k].most * of[k].stride;
    }
    if (is_nested)
        return false;
    /* Two elements, whose places differ on axis k and agree on those of larger strides. */
    for (int k = 0; k < count; k++) {
        search s = {0};
        if (!of[k].stride)
            return true;
        add_multiples(&s, of[k].stride, 1, of[k].most);
        for (int m = 0; m < k; m++)
            add_multiples(&s, of[m].stride, -of[m].most, of[m].most);
        sum_up(&s);
        if (reaches(&s, 0, 1 - size, size - 1))
            return true;
    }
    return false;
}

/* ---- Two arrays -------------------------------------------------------------------------------------------------- */

typedef struct axis {
    int64_t size, stride;
} axis;

/* Those of more than one element, the outermost first. Returns their number. */
static int axes_of(const kx_view *v, axis axes[MOST_AXES])
{
    int count = 0;
    for (int k = v->batch.count - 1; k >= 0; k--)
        if (v->batch.size[k] > 1)
            axes[count++] = (axis){v->batch.size[k], v->batch_stride[k]};
    if (v->rows > 1)
        axes[count++] = (axis){v->rows, v->row_stride};
    if (v->dim > 1)
        axes[count++] = (axis){v->dim, v->step};
    return count;
}

/* Axes that follow each other without a gap become one. */
static int merge(int count, axis axes[MOST_AXES])
{
    int merged = 0;
    for (int k = 0; k < count; k++) {
        axis *outer = &axes[merged - (merged > 0)];
        if (merged && outer->stride == axes[k].size * axes[k].stride)
            *outer = (axis){outer->size * axes[k].size, axes[k].stride};
        else
            axes[merged++] = axes[k];
    }
    return merged;
}

bool kx_is_same_array(const kx_view *a, const kx_view *b)
{
    axis of[2][MOST_AXES];
    if (a->memory != b->memory || kx_place_of(a) != kx_place_of(b) || a->dtype != b->dtype)
        return false;
    const int count = merge(axes_of(a, of[0]), of[0]);
    if (count != merge(axes_of(b, of[1]), of[1]))
        return false;
    for (int k = 0; k < count; k++)
        if (of[0][k].size != of[1][k].size || of[0][k].stride != of[1][k].stride)
            return false;
    return true;
}

bool kx_elements_meet(const kx_view *a, const kx_view *b)
{
    axis axes[MOST_AXES];
    search s = {0};
    for (int m = 0; m < 2; m++) {
        const int count = axes_of(m ? b : a, axes);
        for (int k = 0; k < count; k++)
            if (axes[k].stride)
                add_multiples(&s, axes[k].stride, m ? 0 : 1 - axes[k].size, m ? axes[k].size - 1 : 0);
    }
    sum_up(&s);
    /* How far an element of b lies behind one of a: less than that one is long, and not as far before it as b's is. */
    const int64_t distance = (int64_t)(kx_place_of(b) - kx_place_of(a));
    return reaches(&s, 0, 1 - (int64_t)kb_dtype_size(b->dtype) - distance,
                   (int64_t)kb_dtype_size(a->dtype) - 1 - distance);
}
