/* SPDX-License-Identifier: MIT */
/* tests/api/values.c: numbers in float64 or float32. */
#include "values.h"

kcl_dtype dtype;

void choose_type(int round)
{
    dtype = round ? KCL_F32 : KCL_F64;
}

kcl_array described(values *v, int axes, const int64_t *shape)
{
    return dtype == KCL_F32 ? kcl_array_f32(v->rounded, axes, shape) : kcl_array_f64(v->exact, axes, shape);
}

void round_values(values *v)
{
    for (int k = 0; k < MOST; k++) {
        v->rounded[k] = (float)v->exact[k];
        v->exact[k] = dtype == KCL_F32 ? (double)v->rounded[k] : v->exact[k];
    }
}

kcl_expr *rows_of(values *v, bool columns, int64_t rows, int64_t dim)
{
    const kcl_array a = described(v, 2, (const int64_t[]){rows, dim});
    round_values(v);
    return columns ? kcl_vj(s, &a) : kcl_vi(s, &a);
}

void fill(values *v, int count, double low, double high)
{
    for (int k = 0; k < count; k++)
        v->exact[k] = uniform(low, high);
}

void evaluate(kcl_expr *e, values *out, int64_t rows, int64_t dim)
{
    const kcl_array a = described(out, 2, (const int64_t[]){rows, dim});
    ck_assert_msg(kcl_expr_status(e) == KCL_OK, "%s", kcl_expr_error(e));
    ok(kcl_eval1(e, &a));
    for (int k = 0; k < rows * dim && dtype == KCL_F32; k++)
        out->exact[k] = (double)out->rounded[k];
}

void near(double got, double wanted, double tolerance, const char *what, int k)
{
    const double most = tolerance * (1 + fabs(wanted));
    ck_assert_msg(got == wanted || fabs(got - wanted) <= most, "%s, %s, number %d: %.17g, wanted %.17g", what,
                  dtype == KCL_F32 ? "float32" : "float64", k, got, wanted);
}

double tolerance(void)
{
    return dtype == KCL_F32 ? 2e-5 : 1e-11;
}

kcl_expr *number(double value)
{
    return kcl_constant(s, value);
}
