/* SPDX-License-Identifier: MIT */
/* tests/api/systems.c: linear systems of kernels. */
#include "systems.h"

#include <float.h>

kcl_dtype type;

enum { MOST_BLOCKS = 60000, MOST_ARRAYS = 1000, MOST_OPERATORS = 100 };
static void *blocks[MOST_BLOCKS];
static size_t block_count;
static kcl_array on_context[MOST_ARRAYS];
static size_t on_context_count;
static kcl_operator *operators[MOST_OPERATORS];
static size_t operator_count;

void begin_systems(void)
{
    begin();
    block_count = on_context_count = operator_count = 0;
    type = KCL_F64;
}

void end_systems(void)
{
    for (size_t k = 0; k < block_count; k++)
        free(blocks[k]);
    for (size_t k = 0; k < on_context_count; k++)
        kcl_array_free(&on_context[k]);
    for (size_t k = 0; k < operator_count; k++)
        kcl_operator_destroy(&operators[k]);
    end();
}

static void *block(size_t bytes)
{
    ck_assert_int_lt((int)block_count, MOST_BLOCKS);
    void *made = blocks[block_count++] = calloc(bytes + 1, 1);
    ck_assert_ptr_nonnull(made);
    return made;
}

double *zeros(int64_t count)
{
    return block((size_t)count * sizeof(double));
}

double *random_numbers(int64_t count, double low, double high)
{
    double *made = zeros(count);
    for (int64_t k = 0; k < count; k++)
        made[k] = uniform(low, high);
    return made;
}

static int64_t count_of(int axes, const int64_t *shape)
{
    int64_t count = 1;
    for (int k = 0; k < axes; k++)
        count *= shape[k];
    return count;
}

kcl_array *wanted(kcl_dtype of, int axes, const int64_t *shape)
{
    kcl_array *array = block(sizeof *array);
    *array = kcl_array_of(block((size_t)count_of(axes, shape) * kb_dtype_size(of)), of, axes, shape);
    return array;
}

kcl_array *given(double *numbers, int axes, const int64_t *shape)
{
    kcl_array *array = wanted(type, axes, shape);
    for (int64_t k = 0; k < count_of(axes, shape); k++)
        if (type == KCL_F32)
            numbers[k] = (double)(((float *)array->data)[k] = (float)numbers[k]);
        else
            ((double *)array->data)[k] = numbers[k];
    return array;
}

kcl_array *uploaded(const kcl_array *array)
{
    ck_assert_int_lt((int)on_context_count, MOST_ARRAYS);
    kcl_array *made = &on_context[on_context_count++];
    ok(kcl_array_upload(c, array, made));
    return made;
}

double *numbers_of(const kcl_array *array)
{
    const int64_t count = count_of(array->ndim, array->shape);
    kcl_array here = *array;
    double *made = zeros(count);
    if (array->memory) {
        here = *wanted(array->dtype, array->ndim, array->shape);
        ok(kcl_array_download(c, array, &here));
    }
    for (int64_t k = 0; k < count; k++)
        made[k] = array->dtype == KCL_F32 ? (double)((float *)here.data)[k] : ((double *)here.data)[k];
    return made;
}

/* ---- Dense -------------------------------------------------------------------------------------------------------- */

double *gauss_matrix(const double *x, int64_t n, int d, double g)
{
    double *matrix = zeros(n * n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double square = 0;
            for (int k = 0; k < d; k++)
                square += (x[i * d + k] - x[j * d + k]) * (x[i * d + k] - x[j * d + k]);
            matrix[i * n + j] = exp(-g * square);
        }
    return matrix;
}

double largest_eigenvalue(const double *matrix, int64_t n)
{
    double *v = zeros(n), *w = zeros(n), value = 0;
    for (int64_t i = 0; i < n; i++)
        v[i] = 1;
    for (int round = 0; round < 30; round++) {
        const double norm = column_norm(v, n, 1, 0);
        for (int64_t i = 0; i < n; i++) {
            w[i] = 0;
            for (int64_t j = 0; j < n; j++)
                w[i] += matrix[i * n + j] * v[j] / norm;
        }
        memcpy(v, w, (size_t)n * sizeof *v);
        value = column_norm(v, n, 1, 0);
    }
    return value;
}

double *dense_solution(const double *matrix, double alpha, const double *noise, int64_t n, int64_t columns,
                       const double *b)
{
    double *l = zeros(n * n), *a = zeros(n * columns);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = matrix[i * n + j] + (i == j ? alpha + (noise ? noise[i] : 0) : 0);
            for (int64_t k = 0; k < j; k++)
                sum -= l[i * n + k] * l[j * n + k];
            ck_assert_msg(i != j || sum > 0, "the matrix of the test is not positive definite");
            l[i * n + j] = i == j ? sqrt(sum) : sum / l[j * n + j];
        }
    for (int64_t column = 0; column < columns; column++) {
        for (int64_t i = 0; i < n; i++) {
            double sum = b[i * columns + column];
            for (int64_t k = 0; k < i; k++)
                sum -= l[i * n + k] * a[k * columns + column];
            a[i * columns + column] = sum / l[i * n + i];
        }
        for (int64_t i = n - 1; i >= 0; i--) {
            double sum = a[i * columns + column];
            for (int64_t k = i + 1; k < n; k++)
                sum -= l[k * n + i] * a[k * columns + column];
            a[i * columns + column] = sum / l[i * n + i];
        }
    }
    return a;
}

double dense_residual(const double *matrix, double alpha, const double *noise, int64_t n, int64_t columns,
                      int64_t column, const double *b, const double *a)
{
    long double square = 0;
    for (int64_t i = 0; i < n; i++) {
        const long double diagonal = (long double)alpha + (noise ? (long double)noise[i] : 0);
        long double r = (long double)b[i * columns + column] - diagonal * (long double)a[i * columns + column];
        for (int64_t j = 0; j < n; j++)
            r -= (long double)matrix[i * n + j] * (long double)a[j * columns + column];
        square += r * r;
    }
    return (double)sqrtl(square);
}

double column_norm(const double *v, int64_t n, int64_t columns, int64_t column)
{
    long double square = 0;
    for (int64_t i = 0; i < n; i++)
        square += (long double)v[i * columns + column] * (long double)v[i * columns + column];
    return (double)sqrtl(square);
}

/* ---- Operators ---------------------------------------------------------------------------------------------------- */

kcl_operator *operator_of(const char *formula, int d, int columns)
{
    char texts[4][32];
    const char *const aliases[] = {texts[0], texts[1], texts[2], texts[3]};
    snprintf(texts[0], sizeof texts[0], "x=Vi(%d)", d);
    snprintf(texts[1], sizeof texts[1], "y=Vj(%d)", d);
    snprintf(texts[2], sizeof texts[2], "b=Vj(%d)", columns);
    snprintf(texts[3], sizeof texts[3], "g=Pm(1)");
    ck_assert_int_lt((int)operator_count, MOST_OPERATORS);
    kcl_operator **op = &operators[operator_count++];
    ck_assert_msg(kcl_operator_create(op, formula, 4, aliases, NULL) == KCL_OK, "%s", kcl_operator_error(*op));
    return *op;
}

kcl_status solve(const kcl_operator *op, const kcl_array *a, const kcl_array *x, const kcl_array *b, double g,
                 const kcl_solve_params *params, kcl_solve_result *results, int64_t count)
{
    const kcl_array *args[] = {x, x, b, GIVEN(&g, 1)};
    return kcl_operator_solve(op, c, "b", a, args, 4, params, results, count);
}

void ended(kcl_solve_result result, kcl_solve_reason reason)
{
    ck_assert_msg(result.reason == reason, "%s, not %s, after %lld products; residual %g of %g",
                  kcl_solve_reason_name(result.reason), kcl_solve_reason_name(reason), (long long)result.iterations,
                  result.residual, result.norm);
}

void honest(kcl_solve_result result, double is, double rounding)
{
    ck_assert_msg(result.residual <= 2 * is + rounding && result.residual >= 0.5 * is - rounding,
                  "residual %g is told, and is %g", result.residual, is);
}
