/* SPDX-License-Identifier: MIT */
/*
 * Terms that weigh exp(-infinity). A row or column of nothing but masked terms is as good as not there: results and
 * derivatives of any order are the same without the row, and its own derivatives are 0, whatever infinities and NaN the
 * row holds. By the interpreter, and with the argument "device" on a device.
 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static kcl_context *c;
static bool on_device;

/* ---- Rows and columns that are masked, against the same without them --------------------------------------------- */

enum { M = 21, N = 37, D = 2, MOST = 12 };

typedef struct argument {
    const char *alias;
    kcl_role role;
    int dim;
    double masked; /* what stands in the rows that are masked; 0: random numbers, as elsewhere */
} argument;

/* The distance of a masked pair overflows, so derivatives by the points are infinite there. */
static const argument arguments[] = {
    {"x=Vi(2)", KCL_ROLE_I, D, 0},         {"y=Vj(2)", KCL_ROLE_J, D, 1e200},     {"u=Vi(1)", KCL_ROLE_I, 1, -INFINITY},
    {"w=Vj(1)", KCL_ROLE_J, 1, -INFINITY}, {"g=Pm(1)", KCL_ROLE_PARAMETER, 1, 0}, {"b=Vj(2)", KCL_ROLE_J, 2, NAN},
    {"e=Vi(2)", KCL_ROLE_I, 2, 0},         {"f=Vj(2)", KCL_ROLE_J, 2, 0},         {"s=Pm(2)", KCL_ROLE_PARAMETER, 2, 0},
    {"d=Vi(2)", KCL_ROLE_I, D, 0},         {"m=Vj(1)", KCL_ROLE_J, 1, 0},         {"h=Pm(1)", KCL_ROLE_PARAMETER, 1, 0},
};
enum { ARGUMENTS = sizeof arguments / sizeof *arguments, MASKS = 10, MINUS_INFINITY = 11 };

#define SCORE "(u+w-g*SqDist(x,y))"

static const char *const formulas[] = {
    "LogSumExp_Reduction(" SCORE ",0)",
    "LogSumExp_Reduction(" SCORE ",1)",
    "LogSumExp_Reduction(Concat(" SCORE ",2*" SCORE "),2)",
    "LogSumExpWeight_Reduction(" SCORE ",Exp(b),0)",
    "SumSoftMaxWeight_Reduction(" SCORE ",b,0)",
    "Max_SumShiftExp_Reduction(" SCORE ",0,b)",
    "Grad(LogSumExp_Reduction(" SCORE ",0),x,Elem(e,0))",
    "Grad(LogSumExp_Reduction(" SCORE ",0),y,Elem(e,0))",
    "Grad(LogSumExp_Reduction(" SCORE ",0),w,Elem(e,0))",
    "Grad(LogSumExp_Reduction(" SCORE ",0),u,Elem(e,0))",
    "Grad(LogSumExp_Reduction(" SCORE ",0),g,Elem(e,0))",
    "Grad(LogSumExp_Reduction(" SCORE ",1),x,Elem(f,1))",
    "Grad(LogSumExp_Reduction(" SCORE ",1),y,Elem(f,1))",
    "Grad(LogSumExp_Reduction(Concat(" SCORE ",2*" SCORE "),2),y,s)",
    "Grad(LogSumExpWeight_Reduction(" SCORE ",Exp(b),0),x,e)",
    "Grad(LogSumExpWeight_Reduction(" SCORE ",Exp(b),0),y,e)",
    "Grad(LogSumExpWeight_Reduction(" SCORE ",Exp(b),0),b,e)",
    "Grad(SumSoftMaxWeight_Reduction(" SCORE ",b,0),x,e)",
    "Grad(SumSoftMaxWeight_Reduction(" SCORE ",b,0),y,e)",
    "Grad(SumSoftMaxWeight_Reduction(" SCORE ",b,0),b,e)",
    "Grad(SumSoftMaxWeight_Reduction(" SCORE ",b,0),g,e)",
    "Grad(Max_SumShiftExp_Reduction(" SCORE ",0),x,e)",
    "Grad(Max_SumShiftExp_Reduction(" SCORE ",0),y,e)",
    "Diff(LogSumExp_Reduction(" SCORE ",0),x,d)",
    "Diff(SumSoftMaxWeight_Reduction(" SCORE ",b,0),x,d)",
    "Diff(LogSumExpWeight_Reduction(" SCORE ",Exp(b),0),x,d)",
    "Grad(Grad(LogSumExp_Reduction(" SCORE ",0),x,Elem(e,0)),y,d)",
    "Grad(Grad(LogSumExp_Reduction(" SCORE ",0),y,Elem(e,0)),g,f)",
    "Grad(Grad(SumSoftMaxWeight_Reduction(" SCORE ",b,0),b,e),x,f)",
    "Diff(Grad(LogSumExp_Reduction(" SCORE ",0),y,Elem(e,0)),x,d)",
    "Grad(Grad(LogSumExp_Reduction(" SCORE ",1),x,Elem(f,0)),w,d)",
    "LogSumExp_Reduction(Where(m,u-g*SqDist(x,y),h),0)",
    "Grad(LogSumExp_Reduction(Where(m,u-g*SqDist(x,y),h),0),x,Elem(e,0))",
    "Grad(LogSumExp_Reduction(Where(m,u-g*SqDist(x,y),h),0),y,Elem(e,0))",
    "Grad(Grad(LogSumExp_Reduction(Where(m,u-g*SqDist(x,y),h),0),y,Elem(e,0)),x,f)",
    "Grad(SumSoftMaxWeight_Reduction(Where(m,u-Norm2(x-y),h),b,0),y,e)",
};

static bool is_masked(kcl_role role, int64_t row)
{
    return role == KCL_ROLE_I ? row % 5 == 2 : role == KCL_ROLE_J && row % 7 < 3;
}

static int64_t rows_of(kcl_role role, bool all)
{
    int64_t count = 0;
    const int64_t most = role == KCL_ROLE_I ? M : role == KCL_ROLE_J ? N : 1;
    for (int64_t k = 0; k < most; k++)
        count += all || !is_masked(role, k);
    return count;
}

/* Fills the arguments of both calls: with all rows, and with only the rows that are not masked. */
static void fill(const argument *a, numbers *all, numbers *few, kcl_dtype dtype)
{
    numbers_make(all, dtype, rows_of(a->role, true), a->dim, DENSE);
    numbers_make(few, dtype, rows_of(a->role, false), a->dim, DENSE);
    int64_t at = 0;
    for (int64_t k = 0; k < all->rows; k++) {
        const bool masked = is_masked(a->role, k);
        for (int n = 0; n < a->dim; n++) {
            double value = masked && a->masked != 0 ? a->masked : uniform(0.3, 1.2);
            value = a == arguments + MASKS ? !masked : a == arguments + MINUS_INFINITY ? -INFINITY : value;
            numbers_set(all, k, n, dtype == KCL_F32 && value == 1e200 ? 1e30 : value);
            if (!masked)
                numbers_set(few, at, n, value);
        }
        at += !masked;
    }
}

static void outputs_of(const kcl_operator *op, bool all, kcl_dtype dtype, numbers *out)
{
    kcl_slot_info info;
    ck_assert_int_eq(kcl_operator_output(op, 0, &info), KCL_OK);
    numbers_make(out, dtype, rows_of(info.role, all), info.dim, DENSE);
}

static void check_formula(const char *text, kcl_dtype dtype)
{
    const char *aliases[ARGUMENTS];
    numbers all[ARGUMENTS], few[ARGUMENTS], got, want;
    const kcl_array *all_in[ARGUMENTS], *few_in[ARGUMENTS];
    const bool derived = strncmp(text, "Grad", 4) == 0;
    for (int k = 0; k < ARGUMENTS; k++) {
        aliases[k] = arguments[k].alias;
        fill(&arguments[k], &all[k], &few[k], dtype);
        all_in[k] = &all[k].array;
        few_in[k] = &few[k].array;
    }
    kcl_operator *op;
    ck_assert_msg(kcl_operator_create(&op, text, ARGUMENTS, aliases, NULL) == KCL_OK, "%s: %s", text,
                  kcl_operator_error(op));
    kcl_slot_info info;
    ck_assert_int_eq(kcl_operator_output(op, 0, &info), KCL_OK);
    outputs_of(op, true, dtype, &got);
    outputs_of(op, false, dtype, &want);
    ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){&got.array}, 1, all_in, ARGUMENTS) == KCL_OK,
                  "%s: %s", text, kcl_context_error(c));
    ck_assert_msg(kcl_operator_apply(op, c, (const kcl_array *[]){&want.array}, 1, few_in, ARGUMENTS) == KCL_OK,
                  "%s: %s", text, kcl_context_error(c));
    int64_t at = 0;
    for (int64_t k = 0; k < got.rows; k++) {
        for (int n = 0; n < info.dim; n++) {
            const double value = numbers_get(&got, k, n);
            if (is_masked(info.role, k)) {
                ck_assert_msg(!derived || value == 0, "%s: %g in row %lld, which is masked", text, value, (long long)k);
                continue;
            }
            const double right = numbers_get(&want, at, n);
            ck_assert_msg(isfinite(right), "%s: %g without masks", text, right);
            ck_assert_msg(fabs(value - right) <= (dtype == KCL_F32 ? 2e-4 : 1e-10) * (1 + fabs(right)),
                          "%s: %.9g in row %lld, %.9g without the rows that are masked", text, value, (long long)k,
                          right);
        }
        at += !is_masked(info.role, k);
    }
    kcl_operator_destroy(&op);
    numbers_free(&got);
    numbers_free(&want);
    for (int k = 0; k < ARGUMENTS; k++) {
        numbers_free(&all[k]);
        numbers_free(&few[k]);
    }
}

START_TEST(masked_rows_are_as_good_as_not_there)
{
    /* A driver takes a second for each: one type a formula, and a third of the derivatives by seed. */
    const char *text = formulas[_i];
    if (on_device && !long_tests() && strncmp(text, "LogSumExp_Reduction(" SCORE ",0", 30) != 0 &&
        ((uint64_t)_i + test_seed()) % 3)
        return;
    if (!on_device || long_tests() || _i % 4)
        check_formula(text, KCL_F32);
    if (!on_device || long_tests() || _i % 4 == 0)
        check_formula(text, KCL_F64);
}
END_TEST

/* ---- By hand ----------------------------------------------------------------------------------------------------- */

/*
 * L_i = log(sum_j exp(-(x_i - y_j)^2 + w_j + u_i)) with u_0 = w_1 = -infinity: L_0 = -infinity, and the gradients of
 * the sum of e_i L_i are sums over the pairs that are left.
 */
START_TEST(one_masked_row_leaves_the_others_alone)
{
    double x[] = {0, 1, 2}, y[] = {0, .5, 1, 3}, u[] = {-INFINITY, 0, 0}, w[] = {0, -INFINITY, 0, 0}, e[] = {0, 1, 3};
    double L[3], dx[3], dy[4], dw[4], du[3];
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *x_i = kcl_vi(s, kcl_f64(x, 3, 1)), *y_j = kcl_vj(s, kcl_f64(y, 4, 1));
    kcl_expr *u_i = kcl_vi(s, kcl_f64(u, 3, 1)), *w_j = kcl_vj(s, kcl_f64(w, 4, 1)), *e_i = kcl_vi(s, kcl_f64(e, 3, 1));
    kcl_expr *F = kcl_add(kcl_add(kcl_neg(kcl_sqdist(x_i, y_j)), w_j), u_i);
    kcl_expr *value = kcl_reduce_logsumexp(F, KCL_OVER_J);
    kcl_expr *all[] = {value, kcl_vjp(value, x_i, e_i), kcl_vjp(value, y_j, e_i), kcl_vjp(value, w_j, e_i),
                       kcl_vjp(value, u_i, e_i)};
    const kcl_array *outs[] = {kcl_f64(L, 3, 1), kcl_f64(dx, 3, 1), kcl_f64(dy, 4, 1), kcl_f64(dw, 4, 1),
                               kcl_f64(du, 3, 1)};
    ck_assert_msg(kcl_eval(5, all, outs) == KCL_OK, "%s", kcl_context_error(c));
    double want_x[3] = {0}, want_y[4] = {0}, want_w[4] = {0};
    for (int i = 1; i < 3; i++) {
        double sum = 0;
        for (int j = 0; j < 4; j++)
            sum += j == 1 ? 0 : exp(-(x[i] - y[j]) * (x[i] - y[j]));
        ck_assert_double_eq_tol(L[i], log(sum), 1e-14);
        for (int j = 0; j < 4; j++) {
            const double share = j == 1 ? 0 : e[i] * exp(-(x[i] - y[j]) * (x[i] - y[j])) / sum;
            want_x[i] -= 2 * (x[i] - y[j]) * share;
            want_y[j] += 2 * (x[i] - y[j]) * share;
            want_w[j] += share;
        }
    }
    ck_assert(L[0] == -INFINITY);
    ck_assert(dx[0] == 0 && du[0] == 0 && dy[1] == 0 && dw[1] == 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq_tol(dx[i], want_x[i], 1e-13);
        ck_assert_double_eq_tol(du[i], e[i], 1e-13);
    }
    for (int j = 0; j < 4; j++) {
        ck_assert_double_eq_tol(dy[j], want_y[j], 1e-13);
        ck_assert_double_eq_tol(dw[j], want_w[j], 1e-13);
    }
    kcl_scope_destroy(&s);
}
END_TEST

/*
 * A batch of nothing but masked terms: its own derivatives are 0; what it shares with other batches has their
 * derivatives.
 */
START_TEST(a_masked_batch_leaves_the_others_alone)
{
    double x[2][3], y[2][4], w[2][4], L[2][3], dx[2][3], dy[4], dw[2][4], want[4] = {0};
    for (int k = 0; k < 6; k++)
        x[k / 3][k % 3] = 0.3 * k;
    for (int k = 0; k < 8; k++) {
        y[k / 4][k % 4] = 0.4 * k - 1;
        w[k / 4][k % 4] = k < 4 ? -INFINITY : 0.1 * k;
    }
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *x_i = kcl_vi(s, kcl_f64(&x[0][0], 2, 3, 1)), *y_j = kcl_vj(s, kcl_f64(y[0], 4, 1));
    kcl_expr *w_j = kcl_vj(s, kcl_f64(&w[0][0], 2, 4, 1));
    kcl_expr *value = kcl_reduce_logsumexp(kcl_sub(w_j, kcl_sqdist(x_i, y_j)), KCL_OVER_J), *one = kcl_constant(s, 1);
    kcl_expr *all[] = {value, kcl_vjp(value, x_i, one), kcl_vjp(value, y_j, one), kcl_vjp(value, w_j, one)};
    const kcl_array *outs[] = {kcl_f64(&L[0][0], 2, 3, 1), kcl_f64(&dx[0][0], 2, 3, 1), kcl_f64(dy, 4, 1),
                               kcl_f64(&dw[0][0], 2, 4, 1)};
    ck_assert_msg(kcl_eval(4, all, outs) == KCL_OK, "%s", kcl_context_error(c));
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (int j = 0; j < 4; j++)
            sum += exp(w[1][j] - (x[1][i] - y[0][j]) * (x[1][i] - y[0][j]));
        for (int j = 0; j < 4; j++)
            want[j] += 2 * (x[1][i] - y[0][j]) * exp(w[1][j] - (x[1][i] - y[0][j]) * (x[1][i] - y[0][j])) / sum;
        ck_assert(L[0][i] == -INFINITY && dx[0][i] == 0);
        ck_assert_double_eq_tol(L[1][i], log(sum), 1e-14);
    }
    for (int j = 0; j < 4; j++) {
        ck_assert(dw[0][j] == 0);
        ck_assert_double_eq_tol(dy[j], want[j], 1e-13);
    }
    kcl_scope_destroy(&s);
}
END_TEST

/*
 * Branches that are not taken: 0 at an x at which log(x) or sqrt(x) has no derivative, in each mode and twice. The sum
 * of Where(x, x log(x), 0) has the gradient log(x) + 1, or 0 at 0, and the second derivative 1/x, or 0.
 */
START_TEST(branches_that_are_not_taken_bring_nothing)
{
    const double x[] = {0, 0.5, 2, 0}, u[] = {1, 1, 1, 1};
    double g[4], t[4], h[4], k[4], value;
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *v = kcl_vi(s, kcl_f64(x, 4, 1)), *d = kcl_vi(s, kcl_f64(u, 4, 1)), *zero = kcl_constant(s, 0);
    kcl_expr *F = kcl_where(v, kcl_mul(v, kcl_log(v)), zero), *L = kcl_reduce_sum(F, KCL_OVER_I);
    kcl_expr *G = kcl_reduce_sum(kcl_ifelse(kcl_sub(v, kcl_constant(s, 0.25)), kcl_log(kcl_square(v)), kcl_square(v)),
                                 KCL_OVER_I);
    kcl_expr *all[] = {L, kcl_grad(L, v), kcl_jvp(F, v, d), kcl_hvp(L, v, d), kcl_grad(G, v)};
    const kcl_array *outs[] = {kcl_f64(&value, 1), kcl_f64(g, 4, 1), kcl_f64(t, 4, 1), kcl_f64(h, 4, 1),
                               kcl_f64(k, 4, 1)};
    ck_assert_msg(kcl_eval(5, all, outs) == KCL_OK, "%s", kcl_context_error(c));
    ck_assert_double_eq_tol(value, 0.5 * log(0.5) + 2 * log(2), 1e-14);
    for (int i = 0; i < 4; i++) {
        ck_assert_double_eq_tol(g[i], x[i] > 0 ? log(x[i]) + 1 : 0, 1e-14);
        ck_assert_double_eq_tol(t[i], x[i] > 0 ? log(x[i]) + 1 : 0, 1e-14);
        ck_assert_double_eq_tol(h[i], x[i] > 0 ? 1 / x[i] : 0, 1e-14);
        ck_assert_double_eq_tol(k[i], x[i] > 0.25 ? 2 / x[i] : 2 * x[i], 1e-14);
    }
    kcl_scope_destroy(&s);
}
END_TEST

/* A weight of components: each component counts by its own condition, in sums, copies and norms of components. */
START_TEST(components_have_guards_of_their_own)
{
    const double x[] = {0, 4, 9, 0}, e[] = {1, 2};
    double g[4];
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *v = kcl_pm(s, kcl_f64(x, 4)), *w = kcl_pm(s, kcl_f64(e, 2));
    kcl_expr *roots = kcl_where(v, kcl_log(v), kcl_constant(s, 0)); /* 0, log 4, log 9, 0 */
    kcl_expr *parts[] = {kcl_slice(roots, 1, 3, 1), kcl_slice(roots, 2, 4, 1)};
    kcl_expr *L = kcl_add(kcl_sqnorm2(kcl_mul(w, parts[0])), kcl_dot(w, parts[1]));
    ck_assert_msg(kcl_eval1(kcl_grad(L, v), kcl_f64(g, 4)) == KCL_OK, "%s", kcl_context_error(c));
    /* L = log(v1)^2 + 4 log(v2)^2 + log(v2) + 2 log(v3), the last one not taken. */
    ck_assert(g[0] == 0 && g[3] == 0);
    ck_assert_double_eq_tol(g[1], 2 * log(4) / 4, 1e-14);
    ck_assert_double_eq_tol(g[2], 8 * log(9) / 9 + 1.0 / 9, 1e-14);
    kcl_scope_destroy(&s);
}
END_TEST

/* ---- All --------------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {masked_rows_are_as_good_as_not_there, KB_COUNT(formulas)},
        {one_masked_row_leaves_the_others_alone, 0},
        {a_masked_batch_leaves_the_others_alone, 0},
        {branches_that_are_not_taken_bring_nothing, 0},
        {components_have_guards_of_their_own, 0},
    };
    return run_here_or_there(
        argc, argv,
        &(here_or_there){
            .name = "masks", .context = &c, .on_device = &on_device, .tests = tests, .count = KB_COUNT(tests)});
}
