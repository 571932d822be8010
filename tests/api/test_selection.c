/* SPDX-License-Identifier: MIT */
/*
 * Derivatives of smallest and largest values: against finite differences of plain loops in double, by the interpreter;
 * and a device (with the argument "device") against the interpreter.
 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 6, N = 5, D = 2, MOST = 12 };

/* What a loss depends on, as one vector: x (M x D), y (N x D), p. */
enum { X = 0, Y = M * D, P = Y + N * D, INPUTS = P + 1 };

static kcl_context *c;
static kcl_scope *s;
static kcl_expr *x_i, *x_j, *y_j, *p;

/* ---- Losses, in plain loops and as expressions ------------------------------------------------------------------- */

static double sqdist(const double *a, const double *b)
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

/* Those that are weighted have no index, but both modes. */
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

/* Rows of x and of functions of it by numbers: of neighbours, computed ones, those of no row, of a smallest term. */
static int chosen(double v, int k)
{
    return (int)lround(2.4 * sin(9 * v + k)) + 2;
}

static double gathered(const double *v)
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

/* The mean of the 3 smallest over j, of each component of a vector; it enters the loss by another function than the sum. */
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

/* The mean of the 2 largest over i, and that of the 4 smallest over both axes. */
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

static const struct loss {
    const char *name;
    double (*value)(const double *v);
    kcl_expr *(*expr)(void);
} losses[] = {
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

/* ---- Derivatives ------------------------------------------------------------------------------------------------- */

static void fill(double *v)
{
    for (int k = 0; k < INPUTS; k++)
        v[k] = uniform(-1, 1);
    v[P] = uniform(0.5, 1.5);
}

typedef struct typed {
    kcl_dtype dtype;
    union {
        double f64[INPUTS];
        float f32[INPUTS];
    } of;
} typed;

static kcl_array part(typed *t, int from, int rows, int dim)
{
    return t->dtype == KCL_F64 ? *kcl_f64(t->of.f64 + from, rows, dim) : *kcl_f32(t->of.f32 + from, rows, dim);
}

/* Variables of the arrays in `t`. */
static void bind(typed *t)
{
    kcl_array x = part(t, X, M, D), y = part(t, Y, N, D), q = part(t, P, 1, 1);
    kcl_data *xs = kcl_data_create(s, &x), *ys = kcl_data_create(s, &y);
    x_i = kcl_vi_data(s, xs);
    x_j = kcl_vj_data(s, xs);
    y_j = kcl_vj_data(s, ys);
    p = kcl_pm(s, &q);
}

static void from_double(typed *t, kcl_dtype dtype, const double *v)
{
    t->dtype = dtype;
    for (int k = 0; k < INPUTS; k++) {
        if (dtype == KCL_F64)
            t->of.f64[k] = v[k];
        else
            t->of.f32[k] = (float)v[k];
    }
}

static void to_double(const typed *t, double *v)
{
    for (int k = 0; k < INPUTS; k++)
        v[k] = t->dtype == KCL_F64 ? t->of.f64[k] : (double)t->of.f32[k];
}

/* The number e, and g[0..2] in x, y and p, evaluated together. */
static double evaluate(kcl_expr *e, kcl_expr *const *g, typed *gradient)
{
    double number[1];
    float single[1];
    const bool f64 = gradient->dtype == KCL_F64;
    kcl_array parts[3] = {part(gradient, X, M, D), part(gradient, Y, N, D), part(gradient, P, 1, 1)};
    const kcl_array *outs[4] = {f64 ? kcl_f64(number, 1) : kcl_f32(single, 1), &parts[0], &parts[1], &parts[2]};
    kcl_expr *all[4] = {e, g[0], g[1], g[2]};
    ck_assert_msg(kcl_eval(4, all, outs) == KCL_OK, "%s", kcl_context_error(c));
    return f64 ? number[0] : (double)single[0];
}

/*
 * The loss at v: its gradient and, unless `second` is NULL, that of the gradient's product with u. Where both modes are
 * asked for, the same in forward mode. Returns the loss.
 */
static double derivatives(const struct loss *l, kcl_dtype dtype, const double *v, const double *u, double *first,
                          double *second, bool both_modes)
{
    typed at, direction, result = {.dtype = dtype};
    s = kcl_scope_create(c);
    from_double(&direction, dtype, u);
    bind(&direction);
    kcl_expr *const along[3] = {x_i, y_j, p};
    from_double(&at, dtype, v);
    bind(&at);
    kcl_expr *const vars[3] = {x_i, y_j, p};
    kcl_expr *loss = l->expr(), *g[3], *h[3], *products[3] = {NULL}, *moved, *forward = loss;
    for (int k = 0; k < 3; k++)
        g[k] = kcl_grad(loss, vars[k]);
    moved = kcl_add(kcl_reduce_sum(kcl_dot(g[0], along[0]), KCL_OVER_I),
                    kcl_add(kcl_reduce_sum(kcl_dot(g[1], along[1]), KCL_OVER_J), kcl_mul(g[2], along[2])));
    double value = evaluate(loss, g, &result);
    to_double(&result, first);
    if (!second) {
        kcl_scope_destroy(&s);
        return value;
    }
    for (int k = 0; k < 3; k++)
        h[k] = kcl_grad(moved, vars[k]);
    if (both_modes)
        forward =
            kcl_add(kcl_jvp(loss, x_i, along[0]), kcl_add(kcl_jvp(loss, y_j, along[1]), kcl_jvp(loss, p, along[2])));
    double slope = evaluate(forward, h, &result), want = 0, size = 0, hessian[INPUTS];
    to_double(&result, second);
    for (int k = 0; k < INPUTS; k++) {
        want += first[k] * u[k];
        size += fabs(first[k] * u[k]);
    }
    for (int k = 0; k < 3 && both_modes; k++)
        products[k] =
            kcl_add(kcl_jvp(g[k], x_i, along[0]), kcl_add(kcl_jvp(g[k], y_j, along[1]), kcl_jvp(g[k], p, along[2])));
    if (both_modes) {
        ck_assert_msg(fabs(slope - want) <= 1e-12 * (1 + size), "%s: forward %.17g, reverse %.17g", l->name, slope,
                      want);
        evaluate(loss, products, &result);
        to_double(&result, hessian);
    }
    for (int k = 0; k < INPUTS && both_modes; k++)
        ck_assert_msg(fabs(hessian[k] - second[k]) <= 1e-10 * (1 + fabs(second[k])),
                      "%s: Hessian times direction, component %d: %.17g forward, %.17g reverse", l->name, k, hessian[k],
                      second[k]);
    kcl_scope_destroy(&s);
    return value;
}

START_TEST(derivatives_are_those_of_finite_differences)
{
    const struct loss *l = &losses[_i];
    double v[INPUTS], u[INPUTS], first[INPUTS], second[INPUTS], ahead[INPUTS], behind[INPUTS];
    for (int round = 0; round < 3; round++) {
        fill(v);
        fill(u);
        double value = derivatives(l, KCL_F64, v, u, first, second, true);
        ck_assert_msg(fabs(value - l->value(v)) <= 1e-12 * (1 + fabs(value)), "%s: %.17g, wanted %.17g", l->name, value,
                      l->value(v));
        const double h = 1e-6;
        for (int k = 0; k < INPUTS; k++) {
            double was = v[k];
            v[k] = was + h;
            double up = l->value(v);
            v[k] = was - h;
            double slope = (up - l->value(v)) / (2 * h);
            v[k] = was;
            ck_assert_msg(fabs(first[k] - slope) <= 1e-7 * (1 + fabs(slope)),
                          "%s, seed %llu: gradient %d is %.12g, by differences %.12g", l->name,
                          (unsigned long long)test_seed(), k, first[k], slope);
        }
        for (int k = 0; k < INPUTS; k++)
            v[k] += h * u[k];
        derivatives(l, KCL_F64, v, u, ahead, NULL, false);
        for (int k = 0; k < INPUTS; k++)
            v[k] -= 2 * h * u[k];
        derivatives(l, KCL_F64, v, u, behind, NULL, false);
        for (int k = 0; k < INPUTS; k++) {
            double slope = (ahead[k] - behind[k]) / (2 * h);
            ck_assert_msg(fabs(second[k] - slope) <= 1e-6 * (1 + fabs(slope)),
                          "%s, seed %llu: second derivative %d is %.12g, by differences %.12g", l->name,
                          (unsigned long long)test_seed(), k, second[k], slope);
        }
    }
}
END_TEST

/* ---- What is not smooth ------------------------------------------------------------------------------------------ */

START_TEST(of_equal_terms_the_first_is_followed)
{
    double x[] = {0, 1}, y[] = {2, -1, 2, -1}, gx[2], gy[4], least[2];
    s = kcl_scope_create(c);
    kcl_expr *a = kcl_vi(s, kcl_f64(x, 2, 1)), *b = kcl_vj(s, kcl_f64(y, 4, 1));
    kcl_expr *v = kcl_reduce_min(kcl_sqdist(a, b), KCL_OVER_J), *loss = kcl_reduce_sum(v, KCL_OVER_I);
    kcl_expr *all[] = {v, kcl_grad(loss, a), kcl_grad(loss, b)};
    ck_assert_msg(kcl_eval(3, all, (const kcl_array *const[]){kcl_f64(least, 2), kcl_f64(gx, 2), kcl_f64(gy, 4)}) ==
                      KCL_OK,
                  "%s", kcl_context_error(c));
    /* 0 is nearest to -1, 1 is nearest to 2. */
    ck_assert_double_eq(least[0], 1);
    ck_assert_double_eq(least[1], 1);
    ck_assert_double_eq(gx[0], 2);
    ck_assert_double_eq(gx[1], -2);
    ck_assert_double_eq(gy[0], 2);
    ck_assert_double_eq(gy[1], -2);
    ck_assert_double_eq(gy[2], 0);
    ck_assert_double_eq(gy[3], 0);
    kcl_scope_destroy(&s);
}
END_TEST

/* Values that are not there reach no variable, though the formula has no derivative where they are not. */
START_TEST(what_is_not_there_has_no_gradient)
{
    double x[] = {0.5, 2, 3}, y[] = {0.25, 4}, q = 2, gx[3], gy[2], gq = NAN, values[3 * 3];
    for (int n = 0; n <= 2; n += 2) {
        s = kcl_scope_create(c);
        kcl_expr *a = kcl_vi(s, kcl_f64(x, 3, 1)), *b = kcl_vj(s, kcl_f64(y, n, 1)), *w = kcl_pm(s, kcl_f64(&q, 1));
        kcl_expr *f = kcl_mul(kcl_rsqrt(a), kcl_mul(kcl_square(kcl_log(b)), kcl_log(w)));
        kcl_expr *v = kcl_reduce_kmin(f, 3, KCL_OVER_J);
        kcl_expr *loss = kcl_reduce_sum(kcl_sum_inner(kcl_square(v)), KCL_OVER_I); /* infinite */
        kcl_expr *all[] = {v, kcl_grad(loss, a), kcl_grad(loss, b), kcl_grad(loss, w)};
        const kcl_array *outs[] = {kcl_f64(values, 3, 3), kcl_f64(gx, 3), kcl_f64(gy, n), kcl_f64(&gq, 1)};
        ck_assert_msg(kcl_eval(4, all, outs) == KCL_OK, "%s", kcl_context_error(c));
        double want_y[2] = {0}, want_q = 0;
        for (int i = 0; i < 3; i++) {
            double want_x = 0;
            for (int j = 0; j < n; j++) {
                double l = log(y[j]), e = 2 * l * l * log(q) / sqrt(x[i]);
                want_x += e * l * l * log(q) * -0.5 * pow(x[i], -1.5);
                want_y[j] += e * 2 * l / y[j] * log(q) / sqrt(x[i]);
                want_q += e * l * l / q / sqrt(x[i]);
            }
            ck_assert_msg(fabs(gx[i] - want_x) <= 1e-12 * (1 + fabs(want_x)), "N %d, x %d: %g, wanted %g", n, i, gx[i],
                          want_x);
            for (int k = n; k < 3; k++)
                ck_assert(isinf(values[i * 3 + k]) && values[i * 3 + k] > 0);
        }
        for (int j = 0; j < n; j++)
            ck_assert_msg(fabs(gy[j] - want_y[j]) <= 1e-12 * (1 + fabs(want_y[j])), "y %d: %g, wanted %g", j, gy[j],
                          want_y[j]);
        ck_assert_msg(fabs(gq - want_q) <= 1e-12 * (1 + fabs(want_q)), "N %d, parameter: %g, wanted %g", n, gq, want_q);
        kcl_scope_destroy(&s);
    }
}
END_TEST

START_TEST(lengths_that_differ_are_told)
{
    double x[6] = {0}, y[4] = {0}, t[5] = {0}, out[4];
    s = kcl_scope_create(c);
    kcl_expr *a = kcl_vi(s, kcl_f64(x, 6, 1)), *b = kcl_vj(s, kcl_f64(y, 4, 1)), *w = kcl_vi(s, kcl_f64(t, 5, 1));
    kcl_expr *loss = kcl_reduce_sum(kcl_mul(w, kcl_reduce_min(kcl_sqdist(a, b), KCL_OVER_J)), KCL_OVER_I);
    ck_assert_int_eq(kcl_eval1(kcl_grad(loss, b), kcl_f64(out, 4)), KCL_ERROR_LENGTH);
    CONTAINS(kcl_context_error(c), "array 0 (kcl_vi of shape (6, 1)) has 6", "array 2 (kcl_vi of shape (5, 1)) has 5");
    kcl_scope_destroy(&s);
}
END_TEST

/* The scale of errors of formulas with indices; descriptions and programs name what is no sweep. */
START_TEST(operators_tell_of_them)
{
    static collected text;
    const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "e=Vi(3)"};
    double x[] = {0, 0, 3, 1}, y[] = {1, 0, 5, 5, 0, 2, 9, 9}, e[] = {1, 1, -1, 1, 1, -1}, g[2][2], size[2][2];
    kcl_operator *op, *magnitude;
    ck_assert_msg(kcl_operator_create(&op, "Grad(KMin_Reduction(SqDist(x,y),3,0),x,e)", 3, aliases, NULL) == KCL_OK,
                  "%s", kcl_operator_error(op));
    ck_assert_msg(kcl_operator_magnitude(&magnitude, op) == KCL_OK, "%s", kcl_operator_error(magnitude));
    const kcl_array *args[] = {kcl_f64(x, 2, 2), kcl_f64(y, 4, 2), kcl_f64(e, 2, 3)};
    ck_assert_int_eq(kcl_operator_apply(op, c, (const kcl_array *[]){kcl_f64(&g[0][0], 2, 2)}, 1, args, 3), KCL_OK);
    ck_assert_int_eq(kcl_operator_apply(magnitude, c, (const kcl_array *[]){kcl_f64(&size[0][0], 2, 2)}, 1, args, 3),
                     KCL_OK);
    /* Row 0: nearest are (1, 0), (0, 2), then (5, 5). */
    ck_assert_double_eq(g[0][0], 2 * (0 - 1) + 2 * (0 - 0) - 2 * (0 - 5));
    ck_assert_double_eq(g[0][1], 2 * (0 - 0) + 2 * (0 - 2) - 2 * (0 - 5));
    for (int k = 0; k < 2; k++)
        ck_assert(isfinite(size[0][k]) && size[0][k] != 0);
    text.length = 0;
    ck_assert_int_eq(kcl_operator_emit(op, NULL, "cpu", KCL_F32, 100, 100, collect, &text), KCL_OK);
    CONTAINS(text.text, "rows chosen by an index (gather)", "__kernel void gather");
    kcl_operator_destroy(&op);
    kcl_operator_destroy(&magnitude);
}
END_TEST

/* Of a matrix of smallest values, one for each pair, no derivative goes by rows. */
START_TEST(matrices_are_refused)
{
    static double x[2 * 3 * 2], y[4 * 2];
    s = kcl_scope_create(c);
    kcl_expr *a = kcl_vi(s, kcl_f64(x, 2, 3, 2)), *b = kcl_vj(s, kcl_f64(y, 4, 2));
    kcl_expr *v = kcl_reduce_min_batch(kcl_sqdist(a, b), 0), *g = kcl_vjp(v, a, kcl_constant(s, 1));
    ck_assert_int_eq(kcl_expr_status(v), KCL_OK);
    ck_assert_int_eq(kcl_expr_status(g), KCL_ERROR_UNSUPPORTED);
    CONTAINS(kcl_expr_error(g), "smallest or largest value", "batch axes alone", "both i and j");
    kcl_scope_destroy(&s);
}
END_TEST

/* Every allocation from one on fails: an error, and nothing is lost. */
START_TEST(allocations_that_fail)
{
    double v[INPUTS];
    typed at, result = {.dtype = KCL_F64};
    fill(v);
    from_double(&at, KCL_F64, v);
    kcl_array x = part(&at, X, M, D), y = part(&at, Y, N, D), gx = part(&result, X, M, D), gy = part(&result, Y, N, D);
    bool done = false;
    int failures = 0;
    for (long long n = 1; !done; n++) {
        failing memory = {.fail_at = 0};
        const kcl_context_params params = {.device = "host", .allocator = failing_allocator(&memory)};
        kcl_context *own;
        ck_assert_int_eq(kcl_context_create(&own, &params), KCL_OK);
        memory.fail_at = atomic_load(&memory.requests) + n;
        kcl_scope *scope = kcl_scope_create(own);
        kcl_expr *a = kcl_vi(scope, &x), *b = kcl_vj(scope, &y);
        kcl_expr *loss = kcl_reduce_sum(kcl_reduce_min(kcl_sqdist(a, b), KCL_OVER_J), KCL_OVER_I);
        kcl_expr *g[2] = {kcl_grad(loss, a), kcl_grad(loss, b)};
        kcl_status status = kcl_eval(2, g, (const kcl_array *const[]){&gx, &gy});
        done = atomic_load(&memory.requests) < memory.fail_at;
        failures += !done;
        ck_assert_msg(done == (status == KCL_OK), "allocation %lld: %s", n, kcl_status_name(status));
        kcl_scope_destroy(&scope);
        kcl_context_destroy(&own);
        ck_assert_int_eq(atomic_load(&memory.blocks), 0);
    }
    ck_assert_int_gt(failures, 50);
}
END_TEST

/* A formula string, and an operator that is applied to other lengths. */
START_TEST(operators_have_them_too)
{
    const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "e=Vi(1)"};
    kcl_operator *op;
    ck_assert_msg(kcl_operator_create(&op, "Grad(Max_Reduction(-SqDist(x,y),0),y,e)", 3, aliases, NULL) == KCL_OK, "%s",
                  kcl_operator_error(op));
    for (int m = 0; m <= 9; m += 3) {
        enum { COLS = 4 };
        double x[9][2], y[COLS][2], e[9], g[COLS][2], want[COLS][2] = {{0}};
        for (int k = 0; k < 2; k++) {
            for (int i = 0; i < m; i++)
                x[i][k] = uniform(-1, 1);
            for (int j = 0; j < COLS; j++)
                y[j][k] = uniform(-1, 1);
        }
        for (int i = 0; i < m; i++) {
            int at = 0;
            e[i] = uniform(-1, 1);
            for (int j = 1; j < COLS; j++)
                at = sqdist(x[i], y[j]) < sqdist(x[i], y[at]) ? j : at;
            for (int k = 0; k < 2; k++)
                want[at][k] += e[i] * 2 * (x[i][k] - y[at][k]);
        }
        const kcl_array *args[] = {kcl_f64(&x[0][0], m, 2), kcl_f64(&y[0][0], COLS, 2), kcl_f64(e, m, 1)};
        const kcl_array *outs[] = {kcl_f64(&g[0][0], COLS, 2)};
        ck_assert_msg(kcl_operator_apply(op, c, outs, 1, args, 3) == KCL_OK, "%s", kcl_context_error(c));
        for (int j = 0; j < COLS; j++)
            for (int k = 0; k < 2; k++)
                ck_assert_msg(fabs(g[j][k] - want[j][k]) <= 1e-13 * (1 + fabs(want[j][k])), "%d rows: %g, wanted %g", m,
                              g[j][k], want[j][k]);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- Devices ----------------------------------------------------------------------------------------------------- */

/*
 * Gradients in both types in turn, and second derivatives of some: most of the time is the driver's compiler's. So of
 * the losses but for three one in three is computed, another one with another seed.
 */
START_TEST(a_device_computes_the_same)
{
    const struct loss *l = &losses[_i];
    const bool core = _i == 0 || _i == 9 || l->value == gathered;
    if (!core && !long_tests() && ((uint64_t)_i + test_seed()) % 3)
        return;
    const kcl_context_params params = {.device = "host"};
    const kcl_dtype dtype = _i % 2 ? KCL_F64 : KCL_F32;
    const double tolerance = dtype == KCL_F64 ? 1e-12 : 2e-5;
    const bool twice = _i == 0 || _i == 9;
    double v[INPUTS], u[INPUTS], got[2][INPUTS], want[2][INPUTS];
    kcl_context *device = c, *host;
    ck_assert_int_eq(kcl_context_create(&host, &params), KCL_OK);
    fill(v);
    fill(u);
    for (int k = 0; k < INPUTS; k++) {
        v[k] = (float)v[k];
        u[k] = (float)u[k];
    }
    c = host;
    derivatives(l, KCL_F64, v, u, want[0], twice ? want[1] : NULL, false);
    c = device;
    derivatives(l, dtype, v, u, got[0], twice ? got[1] : NULL, false);
    for (int order = 0; order <= twice; order++) {
        double size = 0;
        for (int k = 0; k < INPUTS; k++)
            size = fmax(size, fabs(want[order][k]));
        for (int k = 0; k < INPUTS; k++)
            ck_assert_msg(fabs(got[order][k] - want[order][k]) <= tolerance * (1 + size),
                          "%s, derivative %d, component %d: %.12g, wanted %.12g", l->name, order + 1, k, got[order][k],
                          want[order][k]);
    }
    kcl_context_destroy(&host);
}
END_TEST

/*
 * Many rows that choose the same column, more than one piece of its sum; the same bits each time; and no kernel works on
 * pairs but the one sweep, so that with columns that are few or many as many kernels start.
 */
START_TEST(many_rows_choose_one_column)
{
    enum { ROWS = 10007, COLS = 300 };
    float *x = calloc(ROWS, sizeof *x), *t = calloc(ROWS, sizeof *t), y[COLS], g[2][COLS], gx[ROWS];
    uint64_t launches[2];
    ck_assert(x && t);
    for (int i = 0; i < ROWS; i++) {
        x[i] = (float)uniform(-1, 1);
        t[i] = (float)uniform(-1, 1);
    }
    for (int cols = 3; cols <= COLS; cols += COLS - 3) {
        for (int j = 0; j < cols; j++)
            y[j] = j == 1 ? 0 : (float)(100 + j);
        for (int round = 0; round < 2; round++) {
            kcl_context_stats before, after;
            s = kcl_scope_create(c);
            kcl_expr *a = kcl_vi(s, kcl_f32(x, ROWS, 1)), *b = kcl_vj(s, kcl_f32(y, cols, 1));
            kcl_expr *w = kcl_vi(s, kcl_f32(t, ROWS, 1));
            kcl_expr *v = kcl_reduce_min(kcl_sqdist(a, b), KCL_OVER_J);
            kcl_expr *loss = kcl_reduce_sum(kcl_mul(w, v), KCL_OVER_I);
            kcl_expr *both[] = {kcl_grad(loss, b), kcl_grad(loss, a)};
            kcl_context_get_stats(c, &before);
            ck_assert_msg(
                kcl_eval(2, both, (const kcl_array *const[]){kcl_f32(g[round], cols, 1), kcl_f32(gx, ROWS, 1)}) ==
                    KCL_OK,
                "%s", kcl_context_error(c));
            kcl_context_get_stats(c, &after);
            launches[cols > 3] = after.launches - before.launches;
            kcl_scope_destroy(&s);
        }
        double want = 0, size = 0;
        for (int i = 0; i < ROWS; i++) {
            want += (double)t[i] * 2 * (0 - (double)x[i]);
            size += fabs((double)t[i] * 2 * (double)x[i]);
            ck_assert_float_eq(gx[i], t[i] * 2 * x[i]);
        }
        ck_assert_msg(fabs(g[0][1] - want) <= 2e-7 * size, "%.9g, wanted %.9g", (double)g[0][1], want);
        for (int j = 0; j < cols; j++)
            ck_assert(j == 1 || g[0][j] == 0);
        ck_assert_mem_eq(g[0], g[1], (size_t)cols * sizeof **g);
    }
    printf("gradient of sum_i t_i min_j: %llu kernels\n", (unsigned long long)launches[0]);
    ck_assert_uint_eq(launches[0], launches[1]);
    free(x);
    free(t);
}
END_TEST

/* Arrays on the device stay there. */
START_TEST(device_arrays)
{
    double v[INPUTS], first[INPUTS];
    typed at, result = {.dtype = KCL_F64};
    fill(v);
    derivatives(&losses[2], KCL_F64, v, v, first, NULL, false);
    s = kcl_scope_create(c);
    from_double(&at, KCL_F64, v);
    kcl_array x = part(&at, X, M, D), y = part(&at, Y, N, D), q = part(&at, P, 1, 1);
    x_i = kcl_vi_data(s, kcl_data_upload(s, &x));
    y_j = kcl_vj_data(s, kcl_data_upload(s, &y));
    p = kcl_pm_data(s, kcl_data_upload(s, &q));
    kcl_expr *loss = losses[2].expr();
    evaluate(loss, (kcl_expr *[]){kcl_grad(loss, x_i), kcl_grad(loss, y_j), kcl_grad(loss, p)}, &result);
    ck_assert_mem_eq(result.of.f64, first, sizeof first);
    kcl_scope_destroy(&s);
}
END_TEST

/* ---- All --------------------------------------------------------------------------------------------------------- */

static void setup_host(void)
{
    const kcl_context_params params = {.device = "host"};
    ck_assert_int_eq(kcl_context_create(&c, &params), KCL_OK);
    seed_random(test_seed());
}

static void setup_device(void)
{
    c = open_cpu_or_skip();
    ck_assert_ptr_nonnull(c);
    seed_random(test_seed());
}

static void teardown(void)
{
    kcl_context_destroy(&c);
}

int main(int argc, char **argv)
{
    const test_entry by_host[] = {
        {derivatives_are_those_of_finite_differences, KB_COUNT(losses)},
        {of_equal_terms_the_first_is_followed, 0},
        {what_is_not_there_has_no_gradient, 0},
        {lengths_that_differ_are_told, 0},
        {matrices_are_refused, 0},
        {operators_tell_of_them, 0},
        {allocations_that_fail, 0},
        {operators_have_them_too, 0},
        {many_rows_choose_one_column, 0},
        {device_arrays, 0},
    };
    const test_entry by_device[] = {
        {a_device_computes_the_same, KB_COUNT(losses)},
        {of_equal_terms_the_first_is_followed, 0},
        {what_is_not_there_has_no_gradient, 0},
        {operators_have_them_too, 0},
        {many_rows_choose_one_column, 0},
        {device_arrays, 0},
    };
    announce_seed(argv[0]);
    if (argc > 1 && strcmp(argv[1], "device") == 0) {
        kcl_context *device = open_cpu_or_skip();
        if (!device)
            return 77;
        kcl_context_destroy(&device);
        return run_entries("selection on a device", by_device, KB_COUNT(by_device), setup_device, teardown);
    }
    return run_entries("selection", by_host, KB_COUNT(by_host), setup_host, teardown);
}
