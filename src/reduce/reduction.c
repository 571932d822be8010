/* SPDX-License-Identifier: MIT */
/* reduce/reduction.c: the table of reductions. */
#include "reduction.h"

#include <math.h>

/* ---- Sum: [sums, errors] ----------------------------------------------------------------------------------------- */

static int64_t sum_state_size(int64_t dim, int64_t param)
{
    (void)param;
    return 2 * dim;
}

static void sum_init(double *state, int64_t dim, int64_t param)
{
    (void)param;
    for (int64_t k = 0; k < 2 * dim; k++)
        state[k] = 0;
}

static void sum_step(double *state, int64_t dim, int64_t param, const kr_block *block)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++) {
        const double *x = block->value[k];
        double sum = state[k], error = state[dim + k];
        for (int c = 0; c < block->count; c++, x += block->stride[k])
            kf_sum_add(&sum, &error, *x);
        state[k] = sum;
        state[dim + k] = error;
    }
}

static void sum_merge(double *state, const double *other, int64_t dim, int64_t param)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++) {
        kf_sum_add(&state[k], &state[dim + k], other[k]);
        state[dim + k] += other[dim + k];
    }
}

static void sum_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++)
        result[k] = kf_sum_value(state[k], state[dim + k]);
}

/* ---- LogSumExp: [largest term m, sum of exp(term - m), its error] ------------------------------------------------ */

static int64_t logsumexp_state_size(int64_t dim, int64_t param)
{
    (void)dim, (void)param;
    return 3;
}

static void logsumexp_init(double *state, int64_t dim, int64_t param)
{
    (void)dim, (void)param;
    state[0] = -INFINITY;
    state[1] = state[2] = 0;
}

/* A NaN stays in the sum: NaN times 0 is NaN. */
static void logsumexp_raise(double *state, double largest)
{
    if (!(largest > state[0]))
        return;
    double scale = exp(state[0] - largest);
    state[0] = largest;
    state[1] *= scale;
    state[2] *= scale;
}

static void logsumexp_step(double *state, int64_t dim, int64_t param, const kr_block *block)
{
    (void)dim, (void)param;
    const double *x = block->value[0];
    int stride = block->stride[0];
    double largest = -INFINITY;
    for (int c = 0; c < block->count; c++)
        largest = x[c * stride] > largest ? x[c * stride] : largest;
    logsumexp_raise(state, largest);
    /* Infinite m: its own sign is the result, unless a NaN comes. */
    bool finite = isfinite(state[0]);
    for (int c = 0; c < block->count; c++)
        kf_sum_add(&state[1], &state[2], finite ? exp(x[c * stride] - state[0]) : isnan(x[c * stride]) ? NAN : 0);
}

static void logsumexp_merge(double *state, const double *other, int64_t dim, int64_t param)
{
    (void)dim, (void)param;
    double later[3] = {other[0], other[1], other[2]};
    logsumexp_raise(state, later[0]);
    logsumexp_raise(later, state[0]);
    kf_sum_add(&state[1], &state[2], later[1]);
    state[2] += later[2];
}

static void logsumexp_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    (void)dim, (void)param;
    double sum = kf_sum_value(state[1], state[2]);
    *result = isnan(sum) || isinf(state[0]) ? state[0] + (isnan(sum) ? sum : 0) : state[0] + log(sum);
}

/* ---- ArgMin: [smallest values, their numbers] -------------------------------------------------------------------- */

static int64_t argmin_state_size(int64_t dim, int64_t param)
{
    (void)param;
    return 2 * dim;
}

static void argmin_init(double *state, int64_t dim, int64_t param)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++) {
        state[k] = NAN;
        state[dim + k] = -1;
    }
}

/* Numbers below 2^53 are exact in double. */
static void argmin_offer(double *value, double *number, double x, double n)
{
    if (x < *value || (x == *value && n < *number) || (*number < 0 && !isnan(x))) {
        *value = x;
        *number = n;
    }
}

static void argmin_step(double *state, int64_t dim, int64_t param, const kr_block *block)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++)
        for (int c = 0; c < block->count; c++)
            argmin_offer(&state[k], &state[dim + k], block->value[k][c * block->stride[k]], (double)(block->first + c));
}

static void argmin_merge(double *state, const double *other, int64_t dim, int64_t param)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++)
        argmin_offer(&state[k], &state[dim + k], other[k], other[dim + k]);
}

static void argmin_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++)
        result[k] = state[dim + k];
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

static const kr_reduction reductions[KF_REDUCTION_COUNT] = {
    [KF_REDUCE_SUM] = {"SUM", sum_state_size, sum_init, sum_step, sum_merge, sum_finish},
    [KF_REDUCE_LOGSUMEXP] = {"LOGSUMEXP", logsumexp_state_size, logsumexp_init, logsumexp_step, logsumexp_merge,
                             logsumexp_finish},
    [KF_REDUCE_ARGMIN] = {"ARGMIN", argmin_state_size, argmin_init, argmin_step, argmin_merge, argmin_finish},
};

const kr_reduction *kr_get(kf_reduction id)
{
    return &reductions[id];
}
