/* SPDX-License-Identifier: MIT */
/* Plans from a request: descriptions, requests that are refused, memory that is exhausted. */
#include "failing.h"
#include "fixture.h"

START_TEST(a_plan_describes_itself)
{
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    kb_str out;
    kb_str_init(&out, NULL);
    kp_describe(plan, &out);
    ck_assert_ptr_nonnull(strstr(kb_str_text(&out), "shape: rows\ntype: float32\nlanes: 16\n"));
    ck_assert_ptr_nonnull(strstr(kb_str_text(&out), "columns a block: 16\nsummation: tiles of 128 columns\n"));
    ck_assert_ptr_nonnull(strstr(kb_str_text(&out), "term 0: Sum of dimension 1\n"));
    kb_str_finish(&out);
    kp_plan_destroy(&plan);
    ck_assert_ptr_nonnull(kp_caps_profile("cpu"));
    ck_assert_ptr_null(kp_caps_profile("abacus"));
}
END_TEST

START_TEST(double_is_refused_where_the_device_has_none)
{
    kp_plan *plan = (kp_plan *)&s;
    caps.has_f64 = false;
    ck_assert_int_eq(
        kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F64, &caps, {.shape = KP_ROWS}, NULL, {0}}, &err),
        KCL_ERROR_UNSUPPORTED);
    ck_assert_ptr_null(plan);
    ck_assert_ptr_nonnull(strstr(err.text, "use float32 arrays"));
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    kp_plan_destroy(&plan);
    ck_assert_ptr_null(plan);
    kp_plan_destroy(&plan);
    kp_plan_destroy(NULL);
}
END_TEST

START_TEST(formulas_of_too_many_operators_are_refused)
{
    const kf_node *f = s.terms[0].formula;
    for (int k = 0; k < 60000; k++)
        f = kf_unary(&s.g, k % 2 ? KF_SIN : KF_COS, f);
    s.terms[0].formula = f;
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    kp_plan_destroy(&plan);
    for (int k = 0; k < 60000; k++)
        f = kf_unary(&s.g, k % 2 ? KF_SIN : KF_COS, f);
    s.terms[0].formula = f;
    ck_assert_int_eq(
        kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS}, NULL, {0}}, &err),
        KCL_ERROR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "different operators"));
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    failing counter = {0};
    kcl_allocator allocator = failing_allocator(&counter);
    sweep_of own;
    sweep_init(&own, &allocator, KF_AXIS_J, "x:i3 y:j3 b:j1 g:p1", "g*Exp(-g*SqDist(Sin(x),Cos(y)))*x*b;Log(b)/x",
               "r0/r1");
    long long blocks = atomic_load(&counter.blocks);
    kcl_status status = KCL_ERROR_NO_MEMORY;
    int n = 1;
    for (; status < 0; n++) {
        kp_plan *plan = (kp_plan *)&own;
        kb_error_clear(&err);
        counter.fail_at = atomic_load(&counter.requests) + n;
        status = kp_plan_create(&plan, &(kp_request){&own.sweep, KCL_F32, &caps, {.shape = KP_ROWS}, NULL, {0}}, &err);
        counter.fail_at = 0;
        if (status < 0) {
            ck_assert_msg(status == KCL_ERROR_NO_MEMORY && err.status == status, "request %d: %s", n, err.text);
            ck_assert_ptr_null(plan);
        }
        kp_plan_destroy(&plan);
        ck_assert_msg(atomic_load(&counter.blocks) == blocks, "request %d leaks", n);
        ck_assert_int_lt(n, 10000);
    }
    ck_assert_int_gt(n, 20);
    /* The search for distances, and plans that expand the distances. */
    status = KCL_ERROR_NO_MEMORY;
    for (n = 1; status < 0; n++) {
        sweep_of far;
        kp_plan *plan = NULL;
        kp_expansion *expansion = NULL;
        kb_error_clear(&err);
        sweep_init(&far, &allocator, KF_AXIS_J, "x:i9 y:j9 b:j1 g:p1", "Exp(-g*SqDist(g*x,y))*b", "r0");
        counter.fail_at = atomic_load(&counter.requests) + n;
        status = kp_expansion_create(&expansion, &far.sweep, &err);
        ck_assert((status == KCL_OK) == (expansion != NULL));
        if (status == KCL_OK)
            status = kp_plan_create(
                &plan, &(kp_request){&far.sweep, KCL_F32, &caps, {.shape = KP_ROWS, .expand = true}, NULL, {0}}, &err);
        counter.fail_at = 0;
        ck_assert_msg(status == KCL_OK || (status == KCL_ERROR_NO_MEMORY && err.status == status), "%s", err.text);
        kp_plan_destroy(&plan);
        kp_expansion_destroy(&expansion);
        sweep_finish(&far);
        ck_assert_msg(atomic_load(&counter.blocks) == blocks, "request %d leaks", n);
    }
    ck_assert_int_gt(n, 20);
    sweep_finish(&own);
    ck_assert_int_eq(atomic_load(&counter.blocks), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_plan_describes_itself, double_is_refused_where_the_device_has_none,
                                  formulas_of_too_many_operators_are_refused, every_allocation_may_fail};
    return run_tests("creation of plans", tests, KB_COUNT(tests));
}
