/* SPDX-License-Identifier: MIT */
/* tests/api/losses.c: numbers that choose terms, in plain loops and as expressions. */
#include "losses.h"

kcl_scope *s;
kcl_expr *x_i, *x_j, *y_j, *p;

double sqdist(const double *a, const double *b)
{
    double sum = 0;
    for (int k = 0; k < D; k++)
        sum += (a[k] - b[k]) * (a[k] - b[k]);
    return sum;
}

static int by_value(const void *a, const void *b)
{
    double u = *(const double *)a, v = *(const double *)b;
    return u < v ? -1 : u > v;
}

static double *sorted(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values;
}

/* sum_i sum_q (q + 1) exp(-value q of row i) of the K smallest p |x_i - y_j|^2: values that are not there count 0. */
static double nearest(const double *v, int k)
{
    double sum = 0, terms[N];
    for (int i = 0; i < M; i++) {
        for (int j = 0; j < N; j++)
            terms[j] = v[P] * sqdist(v + X + i * D, v + Y + j * D);
        sorted(terms, N);
        for (int q = 0; q < k && q < N; q++)
            sum += (q + 1) * exp(-terms[q]);
    }
    return sum;
}

static kcl_expr *scaled_distance(void)
{
    return kcl_mul(p, kcl_sqdist(x_i, y_j));
}

static kcl_expr *weighted(kcl_expr *values)
{
    kcl_expr *sum = kcl_zero(s, 1);
    for (int q = 0; q < kcl_expr_dim(values); q++)
        sum = kcl_add(sum, kcl_mul(kcl_constant(s, q + 1), kcl_exp(kcl_neg(kcl_elem(values, q)))));
    return sum;
}

static double min_over_j(const double *v)
{
    return nearest(v, 1);
}

static kcl_expr *min_over_j_expr(void)
{
    return kcl_reduce_sum(weighted(kcl_reduce_min(scaled_distance(), KCL_OVER_J)), KCL_OVER_I);
}

static kcl_expr *kmin_1_expr(void)
{
    return kcl_reduce_sum(weighted(kcl_reduce_kmin(scaled_distance(), 1, KCL_OVER_J)), KCL_OVER_I);
}

static double kmin_3(const double *v)
{
    return nearest(v, 3);
}

static kcl_expr *kmin_3_expr(void)
{
    return kcl_reduce_sum(weighted(kcl_reduce_kmin(scaled_distance(), 3, KCL_OVER_J)), KCL_OVER_I);
}

/* More than there are. */
static double kmin_10(const double *v)
{
    return nearest(v, 10);
}

static kcl_expr *kmin_10_expr(void)
{
    return kcl_reduce_sum(weighted(kcl_reduce_kmin(scaled_distance(), 10, KCL_OVER_J)), KCL_OVER_I);
}

/* Over i, the largest, with a weight of the column. */
static double max_over_i(const double *v)
{
    double sum = 0;
    for (int j = 0; j < N; j++) {
        double most = -INFINITY;
        for (int i = 0; i < M; i++)
            most = fmax(most, sin(v[P] * v[X + i * D]) + sqdist(v + X + i * D, v + Y + j * D));
        sum += v[Y + j * D + 1] * most * most;
    }
    return sum;
}

static kcl_expr *max_over_i_expr(void)
{
    kcl_expr *f = kcl_add(kcl_sin(kcl_mul(p, kcl_elem(x_i, 0))), kcl_sqdist(x_i, y_j));
    kcl_expr *most = kcl_reduce_max(f, KCL_OVER_I);
    return kcl_reduce_sum(kcl_mul(kcl_elem(y_j, 1), kcl_square(most)), KCL_OVER_J);
}

static double kmax_over_i(const double *v)
{
    double sum = 0, terms[M];
    for (int j = 0; j < N; j++) {
        for (int i = 0; i < M; i++)
            terms[i] = v[P] * sqdist(v + X + i * D, v + Y + j * D);
        sorted(terms, M);
        sum += exp(-terms[M - 1]) + 2 * exp(-terms[M - 2]);
    }
    return sum;
}

static kcl_expr *kmax_over_i_expr(void)
{
    return kcl_reduce_sum(weighted(kcl_reduce_kmax(scaled_distance(), 2, KCL_OVER_I)), KCL_OVER_J);
}

/* Every component of a vector has its own index. */
static double by_component(const double *v)
{
    double sum = 0, terms[N];
    for (int i = 0; i < M; i++) {
        for (int k = 0; k < D; k++) {
            for (int j = 0; j < N; j++)
                terms[j] = cos(v[X + i * D + k] * v[Y + j * D + k] + v[P] * v[Y + j * D]);
            sorted(terms, N);
            for (int q = 0; q < 2; q++)
                sum += (q * D + k + 1) * exp(-terms[q]);
        }
    }
    return sum;
}

static kcl_expr *by_component_expr(void)
{
    kcl_expr *f = kcl_cos(kcl_add(kcl_mul(x_i, y_j), kcl_mul(p, kcl_elem(y_j, 0))));
    return kcl_reduce_sum(weighted(kcl_reduce_kmin(f, 2, KCL_OVER_J)), KCL_OVER_I);
}

/* A reduction of a min. */
static double reduced_min(const double *v)
{
    double sum = 0;
    for (int j = 0; j < N; j++) {
        double inner = 0;
        for (int i = 0; i < M; i++) {
            double least = INFINITY;
            for (int n = 0; n < N; n++)
                least = fmin(least, sqdist(v + X + i * D, v + Y + n * D));
            inner += exp(-v[P] * sqdist(v + X + i * D, v + Y + j * D)) * least;
        }
        sum += inner * inner;
    }
    return sum;
}

static kcl_expr *reduced_min_expr(void)
{
    kcl_expr *least = kcl_reduce_min(kcl_sqdist(x_i, y_j), KCL_OVER_J);
    kcl_expr *inner = kcl_reduce_sum(kcl_mul(kcl_exp(kcl_neg(scaled_distance())), least), KCL_OVER_I);
    return kcl_reduce_sum(kcl_square(inner), KCL_OVER_J);
}

/* A min of a formula with a reduction, and a min of that. */
static double min_of_reductions(const double *v)
{
    double w[N], low[N], sum = 0;
    for (int j = 0; j < N; j++) {
        w[j] = 0;
        low[j] = INFINITY;
        for (int i = 0; i < M; i++) {
            w[j] += exp(-sqdist(v + X + i * D, v + Y + j * D));
            low[j] = fmin(low[j], v[P] * sqdist(v + X + i * D, v + Y + j * D));
        }
    }
    for (int i = 0; i < M; i++) {
        double least = INFINITY;
        for (int j = 0; j < N; j++)
            least = fmin(least, v[P] * sqdist(v + X + i * D, v + Y + j * D) + w[j] * low[j]);
        sum += least * least;
    }
    return sum;
}

static kcl_expr *min_of_reductions_expr(void)
{
    kcl_expr *w = kcl_reduce_sum(kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j))), KCL_OVER_I);
    kcl_expr *low = kcl_reduce_min(scaled_distance(), KCL_OVER_I);
    kcl_expr *least = kcl_reduce_min(kcl_add(scaled_distance(), kcl_mul(w, low)), KCL_OVER_J);
    return kcl_reduce_sum(kcl_square(least), KCL_OVER_I);
}

/* Over both axes. */
static double over_both(const double *v)
{
    double terms[M * N], largest = -INFINITY;
    for (int i = 0; i < M; i++) {
        for (int j = 0; j < N; j++) {
            double f = v[P] * sqdist(v + X + i * D, v + Y + j * D);
            terms[i * N + j] = f;
            largest = fmax(largest, f * v[Y + j * D]);
        }
    }
    sorted(terms, M * N);
    return exp(-terms[0]) + 2 * exp(-terms[1]) + 3 * exp(-terms[2]) + largest * terms[0];
}

static kcl_expr *over_both_expr(void)
{
    kcl_expr *f = scaled_distance();
    kcl_expr *largest = kcl_reduce_max(kcl_mul(f, kcl_elem(y_j, 0)), KCL_OVER_BOTH);
    return kcl_add(weighted(kcl_reduce_kmin(f, 3, KCL_OVER_BOTH)), kcl_mul(largest, kcl_reduce_min(f, KCL_OVER_BOTH)));
}

/* The distance to the nearest other point: one array in both roles. */
static double both_roles(const double *v)
{
    double sum = 0, terms[M];
    for (int i = 0; i < M; i++) {
        for (int j = 0; j < M; j++)
            terms[j] = v[P] * sqdist(v + X + i * D, v + X + j * D);
        sorted(terms, M);
        sum += exp(-terms[0]) + 2 * exp(-terms[1]);
    }
    return sum;
}

static kcl_expr *both_roles_expr(void)
{
    return kcl_reduce_sum(weighted(kcl_reduce_kmin(kcl_mul(p, kcl_sqdist(x_i, x_j)), 2, KCL_OVER_J)), KCL_OVER_I);
}

/* Of columns alone. */
static double of_columns(const double *v)
{
    double least = INFINITY;
    for (int j = 0; j < N; j++)
        least = fmin(least, v[P] * v[Y + j * D] + v[Y + j * D + 1] * v[Y + j * D + 1]);
    double sum = 0;
    for (int i = 0; i < M; i++)
        sum += v[X + i * D] * least * least;
    return sum;
}

static kcl_expr *of_columns_expr(void)
{
    kcl_expr *f = kcl_add(kcl_mul(p, kcl_elem(y_j, 0)), kcl_square(kcl_elem(y_j, 1)));
    return kcl_reduce_sum(kcl_mul(kcl_elem(x_i, 0), kcl_square(kcl_reduce_min(f, KCL_OVER_J))), KCL_OVER_I);
}

/* sum_i min_j |x_i - y_j|^2 + sum_j min_i |x_i - y_j|^2 */
static double chamfer(const double *v)
{
    double sum = 0;
    for (int i = 0; i < M; i++) {
        double least = INFINITY;
        for (int j = 0; j < N; j++)
            least = fmin(least, sqdist(v + X + i * D, v + Y + j * D));
        sum += least;
    }
    for (int j = 0; j < N; j++) {
        double least = INFINITY;
        for (int i = 0; i < M; i++)
            least = fmin(least, sqdist(v + X + i * D, v + Y + j * D));
        sum += least;
    }
    return sum;
}

static kcl_expr *chamfer_expr(void)
{
    kcl_expr *d = kcl_sqdist(x_i, y_j);
    return kcl_add(kcl_reduce_sum(kcl_reduce_min(d, KCL_OVER_J), KCL_OVER_I),
                   kcl_reduce_sum(kcl_reduce_min(d, KCL_OVER_I), KCL_OVER_J));
}

/* Weighted sums choose no term; both modes derive them. */
static double weighted_sums(const double *v)
{
    double sum = 0;
    for (int i = 0; i < M; i++) {
        double total = 0, of_weights[2] = {0};
        for (int j = 0; j < N; j++) {
            double e = exp(v[P] * sqdist(v + X + i * D, v + Y + j * D));
            total += e;
            for (int k = 0; k < D; k++)
                of_weights[k] += e * (2 + v[Y + j * D + k] * v[X + i * D]);
        }
        for (int k = 0; k < D; k++)
            sum += (k + 1) * log(of_weights[k]) * of_weights[k] / total;
    }
    return sum;
}

static kcl_expr *weighted_sums_expr(void)
{
    kcl_expr *f = scaled_distance(), *w = kcl_add(kcl_constant(s, 2), kcl_mul(y_j, kcl_elem(x_i, 0)));
    kcl_expr *terms =
        kcl_mul(kcl_reduce_logsumexp_weight(f, w, KCL_OVER_J), kcl_reduce_sumsoftmaxweight(f, w, KCL_OVER_J));
    return kcl_reduce_sum(kcl_add(kcl_elem(terms, 0), kcl_mul(kcl_constant(s, 2), kcl_elem(terms, 1))), KCL_OVER_I);
}

/* Numbers of rows and columns: a causal mask, a band, and as factors; reduced over i, then over j. */
static double counted(const double *v)
{
    double sum = 0;
    for (int j = 0; j < N; j++) {
        double inner = 0;
        for (int i = 0; i < M; i++)
            inner += (j <= i ? exp(-v[P] * (i - j)) : 0.5) * (abs(i - j) < 2 ? 1 : v[X + i * D]) * sin(v[Y + j * D]);
        sum += (j + 1) * inner * inner;
    }
    return sum;
}

static kcl_expr *counted_expr(void)
{
    kcl_expr *i = kcl_index_i(s), *j = kcl_index_j(s), *apart = kcl_sub(i, j), *one = kcl_constant(s, 1);
    kcl_expr *causal = kcl_sub(kcl_less_equal(j, i), one);
    kcl_expr *f = kcl_ifelse(causal, kcl_exp(kcl_neg(kcl_mul(p, apart))), kcl_constant(s, 0.5));
    f = kcl_mul(f, kcl_ifelse(kcl_sub(one, kcl_abs(apart)), one, kcl_elem(x_i, 0)));
    kcl_expr *inner = kcl_reduce_sum(kcl_mul(f, kcl_sin(kcl_elem(y_j, 0))), KCL_OVER_I);
    return kcl_reduce_sum(kcl_mul(kcl_add(j, one), kcl_square(inner)), KCL_OVER_J);
}

/*
 * Rows of x, and of functions of x, by numbers: of neighbours, computed numbers, numbers of no row, of a smallest term.
 */
static int chosen(double v, int k)
{
    return (int)lround(2.4 * sin(9 * v + k)) + 2;
}

double gathered(const double *v)
{
    double sum = 0;
    for (int i = 0; i < M; i++) {
        double least = INFINITY;
        int at = 0;
        for (int j = 0; j < N; j++) {
            const double d = sqdist(v + X + i * D, v + Y + j * D);
            at = d < least ? j : at;
            least = fmin(least, d);
        }
        const double *next = i + 1 < M ? v + X + (i + 1) * D : (const double[D]){0}, *nearest = v + Y + at * D;
        for (int j = 0; j < N; j++) {
            const int a = chosen(v[Y + j * D], 0), b = chosen(v[Y + j * D], 1); /* 5 is no row of y */
            const double of_a = a < N ? exp(v[Y + a * D + 1] * v[P]) : 0,
                         of_b = b < N ? exp(v[Y + b * D + 1] * v[P]) : 0;
            sum += sqdist(v + X + i * D, next) * sin(v[P] * v[Y + j * D]) * (1 + of_a * of_a + of_b) +
                   cos(nearest[0] * nearest[1]) * of_b;
        }
    }
    return sum;
}

static kcl_expr *gathered_expr(void)
{
    kcl_expr *one = kcl_constant(s, 1), *nine = kcl_constant(s, 9), *y_0 = kcl_elem(y_j, 0);
    kcl_expr *next = kcl_gather(x_i, kcl_add(kcl_index_i(s), one));
    kcl_expr *at = kcl_reduce_argmin(kcl_sqdist(x_i, y_j), KCL_OVER_J), *nearest = kcl_gather(y_j, at);
    kcl_expr *angle = kcl_concat(kcl_mul(nine, y_0), kcl_add(kcl_mul(nine, y_0), one));
    kcl_expr *index = kcl_add(kcl_mul(kcl_constant(s, 2.4), kcl_sin(angle)), kcl_constant(s, 2));
    kcl_expr *both = kcl_gather(kcl_exp(kcl_mul(p, kcl_elem(y_j, 1))), index);
    kcl_expr *f = kcl_mul(kcl_sqdist(x_i, next), kcl_sin(kcl_mul(p, y_0)));
    f = kcl_mul(f, kcl_add(one, kcl_add(kcl_square(kcl_elem(both, 0)), kcl_elem(both, 1))));
    f = kcl_add(f, kcl_mul(kcl_cos(kcl_mul(kcl_elem(nearest, 0), kcl_elem(nearest, 1))), kcl_elem(both, 1)));
    return kcl_reduce_sum(f, KCL_OVER_BOTH);
}

/*
 * The mean of the 3 smallest over j, of each component of a vector; it enters the loss by another function than the
 * sum.
 */
static double mean_of_least(const double *v)
{
    double sum = 0, terms[N];
    for (int i = 0; i < M; i++) {
        for (int k = 0; k < D; k++) {
            for (int j = 0; j < N; j++)
                terms[j] = cos(v[X + i * D + k] * v[Y + j * D + k] + v[P] * v[Y + j * D]);
            sorted(terms, N);
            sum += (k + 1) * exp(-(terms[0] + terms[1] + terms[2]) / 3);
        }
    }
    return sum;
}

static kcl_expr *mean_of_least_expr(void)
{
    kcl_expr *f = kcl_cos(kcl_add(kcl_mul(x_i, y_j), kcl_mul(p, kcl_elem(y_j, 0))));
    return kcl_reduce_sum(weighted(kcl_reduce_mean_kmin(f, 3, KCL_OVER_J)), KCL_OVER_I);
}

/* The mean of the 2 largest over i, and the mean of the 4 smallest over both axes. */
static double means_of_others(const double *v)
{
    double sum = 0, terms[M * N], column[M];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            terms[j * M + i] = v[P] * sqdist(v + X + i * D, v + Y + j * D);
    for (int j = 0; j < N; j++) {
        memcpy(column, terms + j * M, sizeof column);
        sorted(column, M);
        sum += v[Y + j * D] * sin((column[M - 1] + column[M - 2]) / 2);
    }
    sorted(terms, M * N);
    return sum + exp((terms[0] + terms[1] + terms[2] + terms[3]) / 4);
}

static kcl_expr *means_of_others_expr(void)
{
    kcl_expr *largest = kcl_sin(kcl_reduce_mean_kmax(scaled_distance(), 2, KCL_OVER_I));
    return kcl_add(kcl_reduce_sum(kcl_mul(kcl_elem(y_j, 0), largest), KCL_OVER_J),
                   kcl_exp(kcl_reduce_mean_kmin(scaled_distance(), 4, KCL_OVER_BOTH)));
}

const loss losses[LOSSES] = {
    {"min over j", min_over_j, min_over_j_expr},
    {"K-min, K = 1", min_over_j, kmin_1_expr},
    {"K-min, K = 3", kmin_3, kmin_3_expr},
    {"K-min, K = 10 of 5", kmin_10, kmin_10_expr},
    {"max over i", max_over_i, max_over_i_expr},
    {"K-max over i", kmax_over_i, kmax_over_i_expr},
    {"by component", by_component, by_component_expr},
    {"a reduction of a min", reduced_min, reduced_min_expr},
    {"a min of reductions", min_of_reductions, min_of_reductions_expr},
    {"over both axes", over_both, over_both_expr},
    {"one array in both roles", both_roles, both_roles_expr},
    {"of columns alone", of_columns, of_columns_expr},
    {"chamfer", chamfer, chamfer_expr},
    {"weighted sums", weighted_sums, weighted_sums_expr},
    {"numbers of rows", counted, counted_expr},
    {"rows by their numbers", gathered, gathered_expr},
    {"the mean of the 3 smallest", mean_of_least, mean_of_least_expr},
    {"means of the largest and over both axes", means_of_others, means_of_others_expr},
};
