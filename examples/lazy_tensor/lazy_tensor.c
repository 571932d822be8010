/* SPDX-License-Identifier: MIT */
/*
 * A formula of four arrays with batch axes, summed over i without forming the tensor of its values:
 *
 *     a_j = sum_i cos(x_i^1.5 + y_j / l_i) - <x_i, y_j> + x_i[2] relu(p) y_j
 *
 *     lazy_tensor [A B M N D]     sizes; 7 3 1000 2000 10 if no sizes are given
 *
 * with x of shape (A, B, M, 1, D), l (1, 1, M, 1, D), y (1, B, 1, N, D), p (A, 1, 1, 1, 1) and a (A, B, N, D). The
 * results are compared with sums in double: first for positive x, then with negative x in some of the batches, where
 * the power is NaN.
 */
#include "../common/common.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program[] = "lazy_tensor";

enum { REPEATS = 3, MOST_CHECKED = 400 };

typedef struct tensors {
    int64_t A, B, M, N, D;
    float *x, *l, *y, *p, *a;
    kcl_context *context;
    kcl_scope *scope;
    kcl_expr *sum;
} tensors;

static float *random_array(int64_t count, uint64_t *state, double low, double high)
{
    float *values = allocate((size_t)count, sizeof *values);
    for (int64_t k = 0; k < count; k++)
        values[k] = (float)(low + (high - low) * uniform(state));
    return values;
}

static void build(tensors *t)
{
    kcl_scope *s = t->scope;
    kcl_expr *x_i = kcl_lazy(s, kcl_f32(t->x, t->A, t->B, t->M, 1, t->D));
    kcl_expr *l_i = kcl_lazy(s, kcl_f32(t->l, 1, 1, t->M, 1, t->D));
    kcl_expr *y_j = kcl_lazy(s, kcl_f32(t->y, 1, t->B, 1, t->N, t->D));
    kcl_expr *p = kcl_lazy(s, kcl_f32(t->p, t->A, 1, 1, 1, 1));

    kcl_expr *F = kcl_cos(kcl_add(kcl_pow(x_i, 1.5), kcl_div(y_j, l_i)));
    F = kcl_sub(F, kcl_dot(x_i, y_j));
    F = kcl_add(F, kcl_mul(kcl_mul(kcl_elem(x_i, 2), kcl_relu(p)), y_j));
    t->sum = kcl_reduce_sum(F, KCL_OVER_I);
}

static kcl_status evaluate(void *user)
{
    tensors *t = user;
    return kcl_eval1(t->sum, kcl_f32(t->a, t->A, t->B, t->N, t->D));
}

/* Computes the D sums of a_j in batch (a, b), and the sums of the absolute values of the terms. */
static void sum_in_double(const tensors *t, int64_t a, int64_t b, int64_t j, double *sum, double *magnitude)
{
    const float *y = t->y + (b * t->N + j) * t->D;
    double relu = t->p[a] > 0 ? t->p[a] : 0;
    memset(sum, 0, (size_t)t->D * sizeof *sum);
    memset(magnitude, 0, (size_t)t->D * sizeof *magnitude);
    for (int64_t i = 0; i < t->M; i++) {
        const float *x = t->x + ((a * t->B + b) * t->M + i) * t->D, *l = t->l + i * t->D;
        double dot = 0;
        for (int64_t k = 0; k < t->D; k++)
            dot += (double)x[k] * y[k];
        for (int64_t k = 0; k < t->D; k++) {
            double f = cos(pow(x[k], 1.5) + (double)y[k] / l[k]) - dot + x[2] * relu * y[k];
            sum[k] += f;
            magnitude[k] += fabs(f);
        }
    }
}

/*
 * Prints the largest error of a sample of results, relative to the sum of absolute values. Fails if the error is above
 * 1e-6.
 */
static void check(const tensors *t, uint64_t seed)
{
    double *sum = allocate((size_t)t->D, sizeof *sum), *magnitude = allocate((size_t)t->D, sizeof *magnitude),
           worst = 0;
    int64_t results = t->A * t->B * t->N, checked = results < MOST_CHECKED ? results : MOST_CHECKED, nans = 0;
    for (int64_t n = 0; n < checked; n++) {
        int64_t at = checked == results ? n : (int64_t)(uniform(&seed) * (double)results);
        sum_in_double(t, at / t->N / t->B, at / t->N % t->B, at % t->N, sum, magnitude);
        for (int64_t k = 0; k < t->D; k++) {
            double got = t->a[at * t->D + k];
            if (isnan(sum[k]) != isnan(got))
                fail("result %" PRId64 ", component %" PRId64 " is %g, it must be %g", at, k, got, sum[k]);
            nans += isnan(got);
            if (!isnan(got) && fabs(got - sum[k]) > worst * magnitude[k])
                worst = fabs(got - sum[k]) / magnitude[k];
        }
    }
    free(sum);
    free(magnitude);
    printf("%" PRId64 " of %" PRId64 " vectors compared with double: largest error %.2g of the sum of |terms|, %" PRId64
           " NaN\n",
           checked, results, worst, nans);
    if (worst > 1e-6)
        fail("the largest error is %.2g, more than 1e-6", worst);
}

/* Returns whether the batch has an odd a + b. There the components of x of odd number become normally distributed. */
static bool is_changed(int64_t a, int64_t b)
{
    return (a + b) % 2 == 1;
}

static void make_negative(tensors *t, uint64_t *state)
{
    for (int64_t batch = 0; batch < t->A * t->B; batch++)
        for (int64_t n = 0; is_changed(batch / t->B, batch % t->B) && n < t->M * t->D; n++)
            if (n % t->D % 2 == 1)
                t->x[batch * t->M * t->D + n] = (float)normal(state);
}

/* Fails unless results are NaN exactly if x is negative, and results of the other batches are the same as before. */
static void check_negative(const tensors *t, const float *before)
{
    int64_t nans = 0;
    bool *negative = allocate((size_t)t->D, sizeof *negative);
    for (int64_t batch = 0; batch < t->A * t->B; batch++) {
        memset(negative, 0, (size_t)t->D * sizeof *negative);
        for (int64_t n = 0; n < t->M * t->D; n++)
            negative[n % t->D] |= t->x[batch * t->M * t->D + n] < 0;
        for (int64_t n = batch * t->N * t->D; n < (batch + 1) * t->N * t->D; n++) {
            bool is_nan = isnan(t->a[n]);
            nans += is_nan;
            if (is_nan != negative[n % t->D])
                fail("result %" PRId64 " is %g, but x is%s negative there", n, (double)t->a[n],
                     negative[n % t->D] ? "" : " not");
            if (!is_changed(batch / t->B, batch % t->B) && memcmp(&t->a[n], &before[n], sizeof *before) != 0)
                fail("result %" PRId64 " was %g, is %g: its batch has not changed", n, (double)before[n],
                     (double)t->a[n]);
        }
    }
    free(negative);
    printf("negative x: %" PRId64 " results are NaN, each where it must be; other batches have the same bits\n", nans);
}

static int64_t size_from(const char *text)
{
    char *end;
    long long size = strtoll(text, &end, 10);
    if (*end || size < 1 || size > 1 << 30)
        fail("\"%s\" is no size: write 5 whole numbers from 1 on, A B M N D", text);
    return size;
}

int main(int argc, char **argv)
{
    int64_t size[] = {7, 3, 1000, 2000, 10};
    uint64_t state = 1;
    if (argc != 1 && argc != 6)
        fail("usage: lazy_tensor [A B M N D]");
    for (int k = 1; k < argc; k++)
        size[k - 1] = size_from(argv[k]);
    tensors t = {size[0], size[1], size[2], size[3], size[4], .context = NULL};
    if (t.D < 3)
        fail("D is %" PRId64 ": the formula reads component 2 of x, D must be 3 or more", t.D);
    t.x = random_array(t.A * t.B * t.M * t.D, &state, 0, 2);
    t.l = random_array(t.M * t.D, &state, 0.5, 1.5);
    t.y = random_array(t.B * t.N * t.D, &state, -1, 1);
    t.p = random_array(t.A, &state, -1, 1);
    t.a = allocate((size_t)(t.A * t.B * t.N * t.D), sizeof *t.a);
    t.context = create_context();
    t.scope = kcl_scope_create(t.context);
    build(&t);

    print_device(t.context);
    printf("A, B, M, N, D = %" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "\n", t.A, t.B, t.M, t.N,
           t.D);
    timing seconds = time_calls(evaluate, &t, t.context, REPEATS, 60);
    print_timing(seconds, (double)t.A * (double)t.B * (double)t.M * (double)t.N, "rows i and j, in all batches");
    check(&t, 2);

    float *before = allocate((size_t)(t.A * t.B * t.N * t.D), sizeof *before);
    memcpy(before, t.a, (size_t)(t.A * t.B * t.N * t.D) * sizeof *before);
    make_negative(&t, &state);
    if (evaluate(&t) < 0)
        fail("%s", kcl_context_error(t.context));
    check_negative(&t, before);
    check(&t, 3);

    free(before);
    free(t.x);
    free(t.l);
    free(t.y);
    free(t.p);
    free(t.a);
    kcl_scope_destroy(&t.scope);
    kcl_context_destroy(&t.context);
    return 0;
}
