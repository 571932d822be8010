/* SPDX-License-Identifier: MIT */
/* run/strides.c: whether places that strides reach meet. */
#include "strides.h"

enum { MOST_STEPS = 4096 }; /* of a search; what it has not told by then is taken for an overlap */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b > 0);
}

void kx_search_add(kx_search *s, int64_t stride, int64_t least, int64_t most)
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
    s->of[at] = (kx_multiples){stride, least, most};
}

static void sum_up(kx_search *s)
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
static bool reaches(kx_search *s, int k, int64_t low, int64_t high)
{
    if (++s->steps > MOST_STEPS)
        return true;
    low = KB_MAX(low, s->least[k]);
    high = KB_MIN(high, s->most[k]);
    if (low > high || k == s->count)
        return low <= high;
    if (floor_div(high, s->divisor[k]) * s->divisor[k] < low)
        return false;
    const kx_multiples *m = &s->of[k];
    const int64_t from = KB_MAX(ceil_div(low - s->most[k + 1], m->stride), m->least);
    const int64_t to = KB_MIN(floor_div(high - s->least[k + 1], m->stride), m->most);
    for (int64_t n = from; n <= to; n++)
        if (reaches(s, k + 1, low - n * m->stride, high - n * m->stride))
            return true;
    return false;
}

bool kx_search_finds(kx_search *s, int64_t low, int64_t high)
{
    sum_up(s);
    return reaches(s, 0, low, high);
}

bool kx_shares_elements(int ndim, const int64_t *shape, const int64_t *stride, int64_t size)
{
    kx_multiples of[KCL_MAX_AXES]; /* the smallest stride first */
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
        of[at] = (kx_multiples){step, 0, shape[k] - 1};
    }
    int64_t length = size;
    bool is_nested = true;
    for (int k = 0; k < count; k++) {
        is_nested = is_nested && of[k].stride >= length;
        length += of[k].most * of[k].stride;
    }
    if (is_nested)
        return false;
    /* Two elements whose places differ on axis k and agree on the axes of larger strides. */
    for (int k = 0; k < count; k++) {
        kx_search s = {0};
        if (!of[k].stride)
            return true;
        kx_search_add(&s, of[k].stride, 1, of[k].most);
        for (int m = 0; m < k; m++)
            kx_search_add(&s, of[m].stride, -of[m].most, of[m].most);
        if (kx_search_finds(&s, 1 - size, size - 1))
            return true;
    }
    return false;
}
