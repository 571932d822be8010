/* SPDX-License-Identifier: MIT */
/*
 * reduce/min.c: smallest values on the host: Min, ArgMin, KMin and ArgKMin. State: [for each component the smallest
 * values, sorted][their numbers, -1: none].
 */
#include "states.h"

#include <math.h>

static int64_t wanted(int64_t param)
{
    return param ? param : 1;
}

int64_t kr_min_state_size(int64_t dim, int64_t param)
{
    return 2 * dim * wanted(param);
}

void kr_min_init(double *state, int64_t dim, int64_t param)
{
    int64_t count = dim * wanted(param);
    for (int64_t k = 0; k < count; k++) {
        state[k] = INFINITY;
        state[count + k] = -1;
    }
}

static bool comes_before(double x, double n, double value, double number)
{
    return x < value || (x == value && n < number) || (number < 0 && !isnan(x));
}

/* Numbers below 2^53 are exact in double. */
static void min_offer(double *value, double *number, int64_t count, double x, double n)
{
    int64_t at = count;
    for (; at > 0 && comes_before(x, n, value[at - 1], number[at - 1]); at--) {
        if (at == count)
            continue;
        value[at] = value[at - 1];
        number[at] = number[at - 1];
    }
    if (at < count) {
        value[at] = x;
        number[at] = n;
    }
}

void kr_min_step(double *state, int64_t dim, int64_t param, const kr_block *block)
{
    int64_t count = wanted(param);
    double *number = state + dim * count;
    for (int64_t k = 0; k < dim; k++)
        for (int c = 0; c < block->count; c++)
            min_offer(state + k * count, number + k * count, count, block->value[k][c * block->stride[k]],
                      (double)(block->first + c));
}

void kr_min_merge(double *state, const double *other, int64_t dim, int64_t param)
{
    int64_t count = wanted(param), numbers = dim * count;
    for (int64_t k = 0; k < numbers; k++)
        if (other[numbers + k] >= 0)
            min_offer(state + k / count * count, state + numbers + k / count * count, count, other[k],
                      other[numbers + k]);
}

void kr_min_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    int64_t count = wanted(param), numbers = dim * count;
    for (int64_t k = 0; k < numbers; k++) {
        int64_t to = k % count * dim + k / count;
        result[to] = state[k];
        result[numbers + to] = state[numbers + k];
    }
}

/* The mean of the values of a list, which ends with infinities where it is not full. */
void kr_meankmin_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    for (int64_t k = 0; k < dim; k++, state += param) {
        double sum = 0, error = 0;
        for (int64_t q = 0; q < param; q++)
            kf_sum_add(&sum, &error, state[q]);
        result[k] = kf_sum_value(sum, error) / (double)param;
    }
}
