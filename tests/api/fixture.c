/* SPDX-License-Identifier: MIT */
/* tests/api/fixture.c: a context of the interpreter and a scope. */
#include "fixture.h"

failing memory;
kcl_context *c;
kcl_scope *s;

const char *const gauss_aliases[] = {"x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"};
const char gauss[] = "Sum_Reduction(Exp(-g*SqDist(x,y))*b, 0)";

void setup(void)
{
    memory = (failing){.fail_at = 0};
    const kcl_context_params params = {.device = "host", .allocator = failing_allocator(&memory)};
    ck_assert_int_eq(kcl_context_create(&c, &params), KCL_OK);
    s = kcl_scope_create(c);
    ck_assert_ptr_nonnull(s);
    seed_random(1);
}

void teardown(void)
{
    kcl_scope_destroy(&s);
    ck_assert_ptr_null(s);
    kcl_context_destroy(&c);
    ck_assert_int_eq(memory.blocks, 0);
}

void eval_ok(kcl_expr *e, const kcl_array *out)
{
    ck_assert_msg(kcl_eval1(e, out) == KCL_OK, "%s", kcl_context_error(c));
}

void is_error(kcl_expr *e, kcl_status status, const char *const *parts)
{
    double out[64];
    ck_assert_ptr_nonnull(e);
    ck_assert_msg(kcl_expr_status(e) == status, "%s: %s", kcl_status_name(kcl_expr_status(e)), kcl_expr_error(e));
    contains(kcl_expr_error(e), parts);
    ck_assert_int_eq(kcl_expr_dim(e), 0);
    ck_assert_int_eq(kcl_expr_axes(e), 0);
    kcl_expr *chain = kcl_reduce_sum(kcl_add(kcl_exp(e), kcl_constant(s, 1)), KCL_OVER_J);
    ck_assert_str_eq(kcl_expr_error(chain), kcl_expr_error(e));
    ck_assert_int_eq(kcl_eval1(chain, kcl_f64(out, 64)), status);
    ck_assert_str_eq(kcl_context_error(c), kcl_expr_error(e));
    ck_assert_int_eq(kcl_context_status(c), status);
}

kcl_operator *make(const char *formula, int count, const char *const *aliases)
{
    kcl_operator *op;
    const kcl_operator_params params = {.allocator = failing_allocator(&memory)};
    ck_assert_msg(kcl_operator_create(&op, formula, count, aliases, &params) == KCL_OK, "%s", kcl_operator_error(op));
    ck_assert_str_eq(kcl_operator_error(op), "");
    return op;
}
