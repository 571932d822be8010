/* SPDX-License-Identifier: MIT */
/* reduce/reduction.c: the table of reductions. */
#include "make.h"
#include "reduction.h"
#include "reductions.h"

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

/* ---- LogSumExp: for each component [largest term m, sum of exp(term - m), its error] ----------------------------- */

static int64_t logsumexp_state_size(int64_t dim, int64_t param)
{
    (void)param;
    return 3 * dim;
}

static void logsumexp_init(double *state, int64_t dim, int64_t param)
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

static void logsumexp_step(double *state, int64_t dim, int64_t param, const kr_block *block)
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

static void logsumexp_merge(double *state, const double *other, int64_t dim, int64_t param)
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

static void logsumexp_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    (void)param;
    for (int64_t k = 0; k < dim; k++, state += 3) {
        double sum = kf_sum_value(state[1], state[2]);
        result[k] = isnan(sum) || isinf(state[0]) ? state[0] + (isnan(sum) ? sum : 0) : state[0] + log(sum);
    }
}

/* ---- ExpSums: [m, then for each component of Concat(1, G) the sum of exp(F - m) G and its error] ----------------- */

static int64_t expsums_state_size(int64_t dim, int64_t param)
{
    (void)param;
    return 1 + 2 * dim;
}

static void expsums_init(double *state, int64_t dim, int64_t param)
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

static void expsums_step(double *state, int64_t dim, int64_t param, const kr_block *block)
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

static void expsums_merge(double *state, const double *other, int64_t dim, int64_t param)
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
static void expsums_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    (void)param;
    result[0] = isfinite(state[0]) ? state[0] : 0;
    for (int64_t k = 0; k < dim; k++)
        result[1 + k] = kf_sum_value(state[1 + 2 * k], state[2 + 2 * k]);
}

/* ---- Min, ArgMin, KMin, ArgKMin: [for each component the smallest values, sorted][their numbers, -1: none] ------- */

static int64_t wanted(int64_t param)
{
    return param ? param : 1;
}

static int64_t min_state_size(int64_t dim, int64_t param)
{
    return 2 * dim * wanted(param);
}

static void min_init(double *state, int64_t dim, int64_t param)
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

static void min_step(double *state, int64_t dim, int64_t param, const kr_block *block)
{
    int64_t count = wanted(param);
    double *number = state + dim * count;
    for (int64_t k = 0; k < dim; k++)
        for (int c = 0; c < block->count; c++)
            min_offer(state + k * count, number + k * count, count, block->value[k][c * block->stride[k]],
                      (double)(block->first + c));
}

static void min_merge(double *state, const double *other, int64_t dim, int64_t param)
{
    int64_t count = wanted(param), numbers = dim * count;
    for (int64_t k = 0; k < numbers; k++)
        if (other[numbers + k] >= 0)
            min_offer(state + k / count * count, state + numbers + k / count * count, count, other[k],
                      other[numbers + k]);
}

static void min_finish(const double *state, int64_t dim, int64_t param, double *result)
{
    int64_t count = wanted(param), numbers = dim * count;
    for (int64_t k = 0; k < numbers; k++) {
        int64_t to = k % count * dim + k / count;
        result[to] = state[k];
        result[numbers + to] = state[numbers + k];
    }
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

#define MIN_FUNCTIONS min_state_size, min_init, min_step, min_merge, min_finish

static const kr_reduction reductions[KF_REDUCTION_COUNT] = {
    [KF_REDUCE_SUM] = {"SUM", sum_state_size, sum_init, sum_step, sum_merge, sum_finish},
    [KF_REDUCE_LOGSUMEXP] = {"LOGSUMEXP", logsumexp_state_size, logsumexp_init, logsumexp_step, logsumexp_merge,
                             logsumexp_finish},
    [KF_REDUCE_EXPSUMS] = {"EXPSUMS", expsums_state_size, expsums_init, expsums_step, expsums_merge, expsums_finish},
    [KF_REDUCE_MIN] = {"MIN", MIN_FUNCTIONS},
    [KF_REDUCE_ARGMIN] = {"ARGMIN", MIN_FUNCTIONS},
    [KF_REDUCE_KMIN] = {"KMIN", MIN_FUNCTIONS},
    [KF_REDUCE_ARGKMIN] = {"ARGKMIN", MIN_FUNCTIONS},
};

const kr_reduction *kr_get(kf_reduction id)
{
    return &reductions[id];
}

/* ---- Terms of reductions ----------------------------------------------------------------------------------------- */

/* How sweeps compute what formulas ask for. */
static const struct lowering {
    kf_reduction reduction;
    bool negative; /* of the formula with its sign turned */
} lowerings[KF_REDUCTION_COUNT] = {
    [KF_REDUCE_SUM] = {KF_REDUCE_SUM, false},
    [KF_REDUCE_LOGSUMEXP] = {KF_REDUCE_LOGSUMEXP, false},
    [KF_REDUCE_MIN] = {KF_REDUCE_MIN, false},
    [KF_REDUCE_ARGMIN] = {KF_REDUCE_ARGMIN, false},
    [KF_REDUCE_KMIN] = {KF_REDUCE_KMIN, false},
    [KF_REDUCE_ARGKMIN] = {KF_REDUCE_ARGKMIN, false},
    [KF_REDUCE_MAX] = {KF_REDUCE_MIN, true},
    [KF_REDUCE_ARGMAX] = {KF_REDUCE_ARGMIN, true},
    [KF_REDUCE_KMAX] = {KF_REDUCE_KMIN, true},
    [KF_REDUCE_ARGKMAX] = {KF_REDUCE_ARGKMIN, true},
    [KF_REDUCE_LOGSUMEXPWEIGHT] = {KF_REDUCE_EXPSUMS, false},
    [KF_REDUCE_SUMSOFTMAXWEIGHT] = {KF_REDUCE_EXPSUMS, false},
    [KF_REDUCE_EXPSUMS] = {KF_REDUCE_EXPSUMS, false},
};

kr_term kr_term_of(kf_graph *g, const kf_node *f)
{
    const struct lowering *how = &lowerings[f->param[0]];
    return (kr_term){how->reduction, f->param[2], how->negative ? kf_unary(g, KF_MINUS, f->arg[0]) : f->arg[0]};
}

/* That which finds the numbers of the values as well. */
static kf_reduction with_numbers(kf_reduction reduction)
{
    return reduction == KF_REDUCE_MIN ? KF_REDUCE_ARGMIN : reduction == KF_REDUCE_KMIN ? KF_REDUCE_ARGKMIN : reduction;
}

bool kr_join_terms(kr_term *term, const kr_term *other)
{
    if (term->formula != other->formula || term->param != other->param ||
        with_numbers(term->reduction) != with_numbers(other->reduction))
        return false;
    if (term->reduction != other->reduction)
        term->reduction = with_numbers(term->reduction);
    return true;
}

const kf_node *kr_value_of(kf_graph *g, const kf_node *f, int64_t index)
{
    const struct lowering *how = &lowerings[f->param[0]];
    int64_t dim = kf_reduction_dim(how->reduction, f->arg[0]->dim, f->param[2]);
    const kf_node *acc = kf_acc(g, index, dim, (kf_kind)f->kind);
    const kf_node *sums = NULL;
    switch ((kf_reduction)f->param[0]) {
    case KF_REDUCE_LOGSUMEXPWEIGHT:
        sums = kf_make(g, KF_EXTRACT, &acc, (int64_t[]){2, f->dim});
        return kf_binary(g, KF_ADD, kf_make(g, KF_ELEM, &acc, &(int64_t){0}), kf_unary(g, KF_LOG, sums));
    case KF_REDUCE_SUMSOFTMAXWEIGHT:
        sums = kf_make(g, KF_EXTRACT, &acc, (int64_t[]){2, f->dim});
        return kf_binary(g, KF_DIVIDE, sums, kf_make(g, KF_ELEM, &acc, &(int64_t){1}));
    default:
        return how->negative && f->kind == KF_REAL ? kf_unary(g, KF_MINUS, acc) : acc;
    }
}
