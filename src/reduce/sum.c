/* SPDX-License-Identifier: MIT */
/* reduce/sum.c: sums on the host. State: [sums, errors]. */
#include "states.h"

int64_t kr_sum_state_size(int64_t dim, int64_t param)
{
    (void)param;
    return 2 * dim;
}

void kr_sum_init(double *state, int64_t dim, int64_t param)
{
    (void)param;
    for (int64_t k = 0; k < 2 * dim; k++)
        state[k] = 0;
}

void kr_sum_step(double *state, int64_t dim, int64_t param, const kr_block *block)
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

void kr_sum_merge(double *state, const double *other, int64_t dim, int64_t param)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++) {
        kf_sum_add(&state[k], &state[dim + k], other[k]);
        state[dim + k] += other[dim + k];
    }
}

void kr_sum_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++)
        result[k] = kf_sum_value(state[k], state[dim + k]);
}
