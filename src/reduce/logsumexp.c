/* SPDX-License-Identifier: MIT */
/* reduce/logsumexp.c: sums of exponentials on the host, relative to the largest of them. */
#include "states.h"

#include <math.h>

/* ---- LogSumExp: for each component [largest term m, sum of exp(term - m), its error] ----------------------------- */

int64_t kr_logsumexp_state_size(int64_t dim, int64_t param)
{
    (void)param;
    return 3 * dim;
}

void kr_logsumexp_init(double *state, int64_t dim, int64_t param)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++, state += 3) {
        state[0] = -INFINITY;
        state[1] = state[2] = 0;
    }
}

/* Raises m to `largest`, the sums that follow m and their errors with it. A NaN stays in a sum: NaN times 0 is NaN. */
static void raise_sums(double *state, double largest, int64_t count)
{
    if (!(largest > state[0]))
        return;
    double scale = exp(state[0] - largest);
    state[0] = largest;
    for (int64_t k = 1; k <= 2 * count; k++)
        state[k] *= scale;
}

static double largest_of(const double *x, int stride, int count)
{
    double largest = -INFINITY;
    for (int c = 0; c < count; c++)
        largest = x[c * stride] > largest ? x[c * stride] : largest;
    return largest;
}

void kr_logsumexp_step(double *state, int64_t dim, int64_t param, const kr_block *block)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++, state += 3) {
        const double *x = block->value[k];
        int stride = block->stride[k];
        raise_sums(state, largest_of(x, stride, block->count), 1);
        /* Infinite m: its own sign is the result, unless a NaN comes. */
        bool finite = isfinite(state[0]);
        for (int c = 0; c < block->count; c++)
            kf_sum_add(&state[1], &state[2], finite ? exp(x[c * stride] - state[0]) : isnan(x[c * stride]) ? NAN : 0);
    }
}

void kr_logsumexp_merge(double *state, const double *other, int64_t dim, int64_t param)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++, state += 3, other += 3) {
        double later[3] = {other[0], other[1], other[2]};
        raise_sums(state, later[0], 1);
        raise_sums(later, state[0], 1);
        kf_sum_add(&state[1], &state[2], later[1]);
        state[2] += later[2];
    }
}

void kr_logsumexp_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++, state += 3) {
        double sum = kf_sum_value(state[1], state[2]);
        result[k] = isnan(sum) || isinf(state[0]) ? state[0] + (isnan(sum) ? sum : 0) : state[0] + log(sum);
    }
}

/* ---- ExpSums: [m, then for each component of Concat(1, G) the sum of exp(F - m) G and its error] ----------------- */

int64_t kr_expsums_state_size(int64_t dim, int64_t param)
{
    (void)param;
    return 1 + 2 * dim;
}

void kr_expsums_init(double *state, int64_t dim, int64_t param)
{
    (void)param;
    for (int64_t k = 0; k <= 2 * dim; k++)
        state[k] = k ? 0 : -INFINITY;
}

/* exp(x - m), 1 for an infinity that m is as well, but no term where all are -infinity. */
static double power_of(double x, double m)
{
    return isfinite(m) || isnan(x) ? exp(x - m) : m > 0 && x > 0 && isinf(x) ? INFINITY : 0;
}

void kr_expsums_step(double *state, int64_t dim, int64_t param, const kr_block *block)
{
    (void)param;
    const double *x = block->value[0];
    int stride = block->stride[0];
    raise_sums(state, largest_of(x, stride, block->count), dim);
    for (int c = 0; c < block->count; c++) {
        double power = power_of(x[c * stride], state[0]);
        kf_sum_add(&state[1], &state[2], power);
        /* A term that weighs nothing adds nothing, whatever its G is. */
        for (int64_t k = 1; k < dim && power != 0; k++)
            kf_sum_add(&state[1 + 2 * k], &state[2 + 2 * k], power * block->value[k][c * block->stride[k]]);
    }
}

void kr_expsums_merge(double *state, const double *other, int64_t dim, int64_t param)
{
    (void)param;
    raise_sums(state, other[0], dim);
    double scale = other[0] == state[0] ? 1 : exp(other[0] - state[0]);
    for (int64_t k = 1; k < 1 + 2 * dim; k += 2) {
        kf_sum_add(&state[k], &state[k + 1], other[k] * scale);
        state[k + 1] += other[k + 1] * scale;
    }
}

/* An infinite m is in the sums already. */
void kr_expsums_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    (void)param;
    result[0] = isfinite(state[0]) ? state[0] : 0;
    for (int64_t k = 0; k < dim; k++)
        result[1 + k] = kf_sum_value(state[1 + 2 * k], state[2 + 2 * k]);
}
