/* SPDX-License-Identifier: MIT */
/* What is said when something fails: by which function, about what, to which context; handles that are gone. */
#include "support.h"

#include <stdio.h>
#include <string.h>

enum { M = 4, N = 3, D = 2 };

static failing memory;
static kcl_context *c, *other;
static kcl_scope *s, *theirs;
static double x[M][D] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}}, y[N][D] = {{1, 0}, {0, 1}, {2, 2}}, w[N] = {1, 2, 3};
static double out[M * N * D];

static void setup(void)
{
    memory = (failing){.fail_at = 0};
    const kcl_context_params params = {.device = "host", .threads = 1, .allocator = failing_allocator(&memory)};
    ck_assert_int_eq(kcl_context_create(&c, &params), KCL_OK);
    ck_assert_int_eq(kcl_context_create(&other, &params), KCL_OK);
    s = kcl_scope_create(c);
    theirs = kcl_scope_create(other);
    ck_assert_ptr_nonnull(s);
    ck_assert_ptr_nonnull(theirs);
}

static void teardown(void)
{
    kcl_scope_destroy(&s);
    kcl_scope_destroy(&theirs);
    kcl_context_destroy(&c);
    kcl_context_destroy(&other);
    ck_assert_int_eq(memory.blocks, 0);
}

static kcl_expr *new_x(void)
{
    return kcl_vi(s, kcl_f64(&x[0][0], M, D));
}

static kcl_expr *new_y(void)
{
    return kcl_vj(s, kcl_f64(&y[0][0], N, D));
}

/* ---- Handles that are gone --------------------------------------------------------------------------------------- */

static void is_gone(const kcl_expr *e)
{
    ck_assert_int_eq(kcl_expr_status(e), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(e), "gone", "reset or destroyed");
}

START_TEST(test_every_function_tells_a_scope_that_is_gone)
{
    kcl_scope *kept = kcl_scope_create(c), *copy = kept;
    kcl_data *data = kcl_data_create(kept, kcl_f64(w, N));
    kcl_expr *e = kcl_vj_data(kept, data);
    kcl_scope_destroy(&kept);
    ck_assert_ptr_null(kept);
    is_gone(e);
    is_gone(kcl_vi(copy, kcl_f64(w, N)));
    is_gone(kcl_vj(copy, kcl_f64(w, N)));
    is_gone(kcl_pm(copy, kcl_f64(w, N)));
    is_gone(kcl_lazy(copy, kcl_f64(w, 1, N, 1)));
    is_gone(kcl_lazy(copy, kcl_f64(w, 1, N)));
    is_gone(kcl_vi_data(copy, data));
    is_gone(kcl_vj_data(s, data));
    is_gone(kcl_scalar(copy, 1));
    is_gone(kcl_constant(copy, 1));
    is_gone(kcl_constant(copy, 1 / 0.0));
    is_gone(kcl_zero(copy, 1));
    is_gone(kcl_var(copy, 0, 1, KCL_ROLE_I));
    is_gone(kcl_var(copy, -1, 1, KCL_ROLE_I));
    is_gone(kcl_index_i(copy));
    is_gone(kcl_index_j(copy));
    is_gone(kcl_formula(copy, "1+1", 0, NULL, NULL));
    is_gone(kcl_formula(s, "e+1", 1, (const char *const[]){"e"}, &e));
    ck_assert_ptr_null(kcl_data_create(copy, kcl_f64(w, N)));
    ck_assert_ptr_null(kcl_data_upload(copy, kcl_f64(w, N)));
    is_gone(kcl_sqdist(new_x(), e));
    is_gone(kcl_clamp(e, new_x(), NULL));
    is_gone(kcl_concatenate(2, (kcl_expr *[]){new_y(), e}));
    ck_assert_int_eq(kcl_scope_set_math(copy, "fast"), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "gone");
    int64_t shape[KCL_MAX_AXES];
    ck_assert_int_eq(kcl_expr_shape(e, shape), 0);
    ck_assert_int_eq(kcl_expr_inner_shape(e, NULL), 0);
    ck_assert_int_eq(kcl_expr_dim(e), 0);
    kcl_scope_reset(copy);
    kcl_scope_destroy(&copy);
    ck_assert_ptr_null(copy);
    /* And goes on. */
    ck_assert_int_eq(kcl_sum(kcl_sum_inner(new_x()), KCL_OVER_I, kcl_f64(out, 1)), KCL_OK);
    ck_assert_double_eq(out[0], 36);
}
END_TEST

/* Through as many resets and destructions as the header promises, of scopes of any size. */
START_TEST(test_handles_are_told_for_as_long_as_is_promised)
{
    enum { MANY = 40000, LATER = 3 };
    static kcl_expr *old[MANY];
    for (int how = 0; how < 2; how++) {
        kcl_scope *scope = kcl_scope_create(c), *copy = scope;
        kcl_expr *a = kcl_vi(scope, kcl_f64(&x[0][0], M, D));
        for (int k = 0; k < MANY; k++)
            old[k] = a = kcl_add(a, kcl_constant(scope, k));
        if (how)
            kcl_scope_destroy(&scope);
        else
            kcl_scope_reset(scope);
        for (int later = 0; later <= LATER; later++) {
            kcl_scope *next = kcl_scope_create(c);
            kcl_expr *b = kcl_vi(next, kcl_f64(&x[0][0], M, D));
            for (int k = 0; k < 2000; k++)
                b = kcl_mul(b, kcl_constant(next, k + 1));
            ck_assert_int_eq(kcl_expr_status(b), KCL_OK);
            for (int k = 0; k < MANY; k++)
                ck_assert_int_eq(kcl_expr_status(old[k]), KCL_ERROR_ARGUMENT);
            is_gone(kcl_exp(old[0]));
            is_gone(kcl_mul(b, old[MANY - 1]));
            if (how)
                is_gone(kcl_scalar(copy, 1));
            kcl_scope_destroy(&next);
        }
        kcl_scope_destroy(&scope);
    }
}
END_TEST

/* However long a handle is kept, its use is defined; and what is kept for that has a bound. */
START_TEST(test_memory_of_many_scopes_is_bounded)
{
    enum { SCOPES = 100000, FULL = 1000 };
    kcl_scope *first = kcl_scope_create(c), *copy = first;
    kcl_expr *a = kcl_vi(first, kcl_f64(&x[0][0], M, D));
    kcl_scope_destroy(&first);
    long long blocks = 0;
    for (int k = 0; k < SCOPES; k++) {
        kcl_scope *scope = kcl_scope_create(c);
        kcl_expr *b = kcl_exp(kcl_vi(scope, kcl_f64(&x[0][0], M, D)));
        ck_assert_int_eq(kcl_expr_status(b), KCL_OK);
        kcl_scope_destroy(&scope);
        if (k == FULL)
            blocks = memory.blocks;
        ck_assert_msg(k < FULL || memory.blocks == blocks, "%lld blocks after %d scopes, %lld after %d",
                      (long long)memory.blocks, k, blocks, FULL);
    }
    ck_assert_int_eq(kcl_expr_status(kcl_neg(a)), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_expr_status(kcl_scalar(copy, 1)), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_eval1(a, kcl_f64(out, M, D)), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_context_status(c), KCL_ERROR_ARGUMENT);
}
END_TEST

int main(void)
{
    const test_entry tests[] = {
        {test_every_function_tells_a_scope_that_is_gone, 0},
        {test_handles_are_told_for_as_long_as_is_promised, 0},
        {test_memory_of_many_scopes_is_bounded, 0},
    };
    return run_entries("errors", tests, KB_COUNT(tests), setup, teardown);
}
