/* SPDX-License-Identifier: MIT */
/* tests/solve/dense.c: systems of small dense matrices, and the operations of the method on them as plain loops. */
#include "dense.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <string.h>

dense s;

static double rounded(double value)
{
    return s.rounds && !s.refined ? (double)(float)value : value;
}

/* Counts a call, and tells whether it fails. */
static kcl_status enter(operation which)
{
    s.after_failure += s.err.status < 0;
    if (++s.calls[which] == s.fails_at && s.fails == which)
        return kb_fail(&s.err, KCL_ERROR_OPENCL, "operation %d failed", (int)which);
    return KCL_OK;
}

static double inner(const double *u, const double *v)
{
    double sum = 0;
    for (int k = 0; k < N; k++)
        sum = rounded(sum + rounded(u[k] * v[k]));
    return sum;
}

void residual_of(size_t k, const double *x, double *r)
{
    bool is_zero = true;
    for (int i = 0; i < N; i++)
        is_zero = is_zero && x[i] == 0;
    for (int i = 0; i < N; i++) {
        long double sum = (long double)s.b[k][i];
        for (int j = 0; !is_zero && j < N; j++)
            sum -= (long double)s.a[k][i][j] * (long double)x[j];
        r[i] = (double)sum;
    }
}

double norm_of(const double *v)
{
    long double sum = 0;
    for (int k = 0; k < N; k++)
        sum += (long double)v[k] * (long double)v[k];
    return (double)sqrtl(sum);
}

double true_residual(size_t k)
{
    vector r;
    residual_of(k, s.x[k], r);
    return norm_of(r);
}

static kcl_status correct(void *user, const double *scale, double *norm)
{
    (void)user;
    memcpy(s.kept, s.x, sizeof s.kept);
    for (size_t k = 0; k < s.count; k++) {
        for (int i = 0; scale && scale[k] != 0 && i < N; i++)
            s.x[k][i] += scale[k] * s.d[k][i];
        norm[k] = true_residual(k);
    }
    return enter(CORRECT);
}

static kcl_status undo(void *user, const double *scale)
{
    (void)user;
    for (size_t k = 0; k < s.count; k++)
        for (int i = 0; scale[k] != 0 && i < N; i++)
            s.x[k][i] = s.kept[k][i];
    return enter(UNDO);
}

static kcl_status begin(void *user, const double *norm)
{
    (void)user;
    for (size_t k = 0; k < s.count; k++) {
        vector r;
        residual_of(k, s.x[k], r);
        for (int i = 0; i < N; i++) {
            s.r[k][i] = norm[k] != 0 ? rounded(r[i] / norm[k]) : 0;
            s.d[k][i] = 0;
        }
    }
    return enter(BEGIN);
}

static kcl_status precondition(void *user, double *rz)
{
    (void)user;
    for (size_t k = 0; k < s.count; k++) {
        for (int i = 0; i < N; i++)
            s.z[k][i] = s.preconditions ? rounded(s.scaling[i] * s.r[k][i]) : s.r[k][i];
        rz[k] = inner(s.r[k], s.z[k]);
    }
    return enter(PRECONDITION);
}

static kcl_status turn(void *user, const double *beta)
{
    (void)user;
    for (size_t k = 0; k < s.count; k++)
        for (int i = 0; i < N; i++)
            s.p[k][i] = rounded(s.z[k][i] + (beta[k] != 0 ? rounded(beta[k] * s.p[k][i]) : 0));
    return enter(TURN);
}

static kcl_status apply(void *user, double *pq, double *size)
{
    (void)user;
    for (size_t k = 0; k < s.count; k++) {
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int j = 0; j < N; j++)
                sum = rounded(sum + rounded(rounded(s.a[k][i][j]) * s.p[k][j]));
            s.q[k][i] = !s.refined && s.apply_errs[k] != 0 ? s.apply_errs[k] * sum : sum;
        }
        pq[k] = inner(s.p[k], s.q[k]);
        size[k] = norm_of(s.p[k]) * norm_of(s.q[k]);
    }
    return enter(APPLY);
}

static kcl_status advance(void *user, const double *step, double *rr)
{
    (void)user;
    for (size_t k = 0; k < s.count; k++) {
        for (int i = 0; step[k] != 0 && i < N; i++) {
            s.d[k][i] = rounded(s.d[k][i] + rounded(step[k] * s.p[k][i]));
            s.r[k][i] = rounded(s.r[k][i] - rounded(step[k] * s.q[k][i]));
        }
        rr[k] = inner(s.r[k], s.r[k]);
    }
    return enter(ADVANCE);
}

static kcl_status refine(void *user)
{
    (void)user;
    s.refined = true;
    return enter(REFINE);
}

static void tell(void *user, double fraction)
{
    (void)user;
    s.told = fraction;
}

const ks_operations operations = {correct, undo, begin, precondition, turn, apply, advance, refine, tell};

/* ---- Problems ----------------------------------------------------------------------------------------------------- */

static uint64_t state;

double random_number(void)
{
    state = kb_hash_combine(state, 1);
    return (double)(state >> 11) * 0x1p-52 - 1;
}

void set_matrix(size_t k, const double *eigenvalues)
{
    double u[N][N];
    memset(s.a[k], 0, sizeof s.a[k]);
    for (int v = 0; v < N; v++) {
        for (int i = 0; i < N; i++)
            u[v][i] = random_number();
        for (int again = 0; again < 2; again++)
            for (int w = 0; w < v; w++) {
                double product = 0;
                for (int i = 0; i < N; i++)
                    product += u[v][i] * u[w][i];
                for (int i = 0; i < N; i++)
                    u[v][i] -= product * u[w][i];
            }
        const double norm = norm_of(u[v]);
        for (int i = 0; i < N; i++)
            u[v][i] /= norm;
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                s.a[k][i][j] += eigenvalues[v] * u[v][i] * u[v][j];
    }
}

/* Eigenvalues from 1 down to 1 / condition, at equal ratios; `distinct` values. */
void set_condition(size_t k, double condition, int distinct)
{
    double eigenvalues[N];
    for (int v = 0; v < N; v++)
        eigenvalues[v] = pow(condition, -(double)(v * distinct / N) / KB_MAX(distinct - 1, 1));
    set_matrix(k, eigenvalues);
}

void set_right_side(size_t k, double scale)
{
    for (int i = 0; i < N; i++)
        s.b[k][i] = scale * random_number();
}

kcl_status solve(const double *goal, int64_t limit, const ks_operations *by, kcl_solve_result *results)
{
    double norm[MOST];
    const kcl_allocator allocator = kb_allocator(NULL);
    for (size_t k = 0; k < s.count; k++)
        norm[k] = norm_of(s.b[k]);
    const ks_problem problem = {.count = s.count,
                                .norm = norm,
                                .goal = goal,
                                .max_iterations = limit,
                                .unit_roundoff = s.rounds ? FLT_EPSILON : DBL_EPSILON,
                                .is_finest = !s.rounds,
                                .operations = by,
                                .allocator = &allocator};
    return ks_solve(&problem, results, &s.err);
}

kcl_solve_result solve_one(double tolerance, int64_t limit, const ks_operations *by)
{
    kcl_solve_result result;
    s.count = 1;
    const kcl_status status = solve((const double[]){tolerance * norm_of(s.b[0])}, limit, by, &result);
    ck_assert_msg(status == KCL_OK, "%s", s.err.text);
    const double is = true_residual(0);
    if (isfinite(is))
        ck_assert_msg(fabs(result.residual - is) <= 1e-6 * is + 1e-14 * result.norm, "%g is reported, and is %g",
                      result.residual, is);
    ck_assert_double_eq(result.norm, norm_of(s.b[0]));
    return result;
}

void is_reason(kcl_solve_result result, kcl_solve_reason reason)
{
    ck_assert_msg(result.reason == reason, "reason %d, not %d, after %lld products, residual %g of %g",
                  (int)result.reason, (int)reason, (long long)result.iterations, result.residual, result.norm);
}

ks_operations without_refine(void)
{
    ks_operations own = operations;
    own.refine = NULL;
    return own;
}

void set_up(void)
{
    memset(&s, 0, sizeof s);
    state = 7;
}
