/* SPDX-License-Identifier: MIT */
/* Squared distances that are expanded: which distances are, and what plans prepare of them. */
#include "fixture.h"

#include <float.h>
#include <math.h>

START_TEST(distances_whose_error_is_told_are_expanded)
{
    static const struct {
        const char *variables, *term;
        size_t count;
    } cases[] = {
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b", 1},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*SqDist(y,x))*b", 1},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-SqDist(x/g,y/g))*b", 1},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-SqNorm2((x-y)/g))*b", 1},
        {"x:i32 y:j32 b:j1 g:p1 e:i1", "Grad(Exp(-g*SqDist(x,y))*b,x,e)", 1},
        {"x:i32 y:j32 b:j1 g:p1 u:i8 v:j8", "Exp(-g*SqDist(x,y))*Exp(-SqDist(u,v))", 2},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b;Exp(-SqDist(x,y))", 1},
        {"x:i32 y:j32 b:j1 g:p1", "SqDist(x,y)*g/3", 1},
        {"x:i32 y:j32 b:j1 g:p1", "IfElse(b,g,Exp(-SqDist(x,y)))", 0},
        /* The slope is no formula of parameters, or the value does not follow relatively to its size. */
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-b*SqDist(x,y))", 0},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*Norm2(x-y))", 0},
        {"x:i32 y:j32 b:j1 g:p1", "SqDist(x,y)*Exp(-g*SqDist(x,y))", 0},
        {"x:i32 y:j32 b:j1 g:p1", "Sin(SqDist(x,y))", 0},
        {"x:i32 y:j32 b:j1 g:p1", "SqDist(x,y)*b", 0},
        {"x:i32 y:j32 b:j1 g:p1", "SqDist(x,y)-g", 0},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b;Sqrt(SqDist(x,y))", 0},
        /* Distances of short vectors, or of operands other than a row variable and a column variable. */
        {"x:i7 y:j7 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b", 0},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*SqDist(x,y+b))", 0},
        {"x:i32 y:j32 u:i32 g:p1", "Exp(-g*SqDist(x,u))*Elem(y,0)", 0},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*SqDist(x,b))", 0},
    };
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        use(KF_AXIS_J, cases[n].variables, cases[n].term, "r0");
        kp_expansion *expansion;
        ck_assert_msg(kp_expansion_create(&expansion, &s.sweep, &err) == KCL_OK, "%s", err.text);
        ck_assert_msg((expansion ? expansion->count : 0) == cases[n].count, "%s", cases[n].term);
        kp_plan *plan;
        ck_assert_msg(kp_plan_create(
                          &plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS, .expand = true}, NULL, {0}},
                          &err) == KCL_OK,
                      "%s", err.text);
        ck_assert_uint_eq(plan->centre_count, cases[n].count);
        /* Centres stand behind the sweep's variables, in the order of the expansion. */
        for (size_t k = 0; k < cases[n].count; k++) {
            ck_assert_int_eq(plan->vars[s.sweep.var_count + k].role, KF_ROLE_P);
            ck_assert_int_eq(plan->vars[s.sweep.var_count + k].dim, expansion->distance[k].dim);
        }
        kp_plan_destroy(&plan);
        kp_expansion_destroy(&expansion);
        kp_expansion_destroy(NULL);
    }
}
END_TEST

START_TEST(expansion_depends_on_the_reduction)
{
    static const struct {
        kf_reduction reduction;
        const char *term;
        bool expands;
    } cases[] = {
        {KF_REDUCE_LOGSUMEXP, "-g*SqDist(x,y)", true},
        {KF_REDUCE_LOGSUMEXP, "Log(b)-SqDist(x,y)/g", true},
        {KF_REDUCE_LOGSUMEXP, "Exp(-g*SqDist(x,y))", false},
        {KF_REDUCE_LOGSUMEXP, "-b*SqDist(x,y)", false},
        {KF_REDUCE_ARGMIN, "SqDist(x,y)", true}, /* screened: an index is right or wrong */
        {KF_REDUCE_ARGMIN, "-SqDist(x,y)/g", true},
        {KF_REDUCE_ARGMIN, "SqDist(x/g,y/g)", false},
        {KF_REDUCE_ARGMIN, "SqDist(x,y)+b", false},
        {KF_REDUCE_ARGMIN, "-Exp(-g*SqDist(x,y))", false},
        {KF_REDUCE_SUM, "SqDist(x,y)", true},
    };
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        kp_expansion *expansion;
        use(KF_AXIS_J, "x:i32 y:j32 b:j1 g:p1", cases[n].term, "r0");
        s.terms[0].reduction = cases[n].reduction;
        ck_assert_msg(kp_expansion_create(&expansion, &s.sweep, &err) == KCL_OK, "%s", err.text);
        ck_assert_msg((expansion != NULL) == cases[n].expands, "%s", cases[n].term);
        if (expansion)
            ck_assert_int_eq(expansion->screens, cases[n].reduction == KF_REDUCE_ARGMIN);
        kp_expansion_destroy(&expansion);
    }
}
END_TEST

START_TEST(an_expanded_distance_is_hoisted)
{
    use(KF_AXIS_J, "x:i100 y:j100 b:j1", "Exp(-SqDist(x,y))*b", "r0");
    kp_plan *plan;
    ck_assert_int_eq(
        kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS, .expand = true}, NULL, {0}},
                       &err),
        KCL_OK);
    /* Prepared for columns: the difference to the centre, and half the squared norm of the difference. */
    ck_assert_uint_eq(plan->prepared_count, 2);
    ck_assert_int_eq(plan->vars[4].dim, 100);
    ck_assert_int_eq(plan->vars[5].dim, 1);
    ck_assert_int_eq(plan->stream, 16); /* one sum a column, as many as with differences */
    kp_plan_destroy(&plan);
    /* Private memory keeps the differences of rows to the centre. In small private memory there are fewer lanes. */
    caps.private_memory = 16 * 4 * 100;
    ck_assert_int_eq(
        kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS, .expand = true}, NULL, {0}},
                       &err),
        KCL_OK);
    ck_assert_int_eq(plan->lanes, 8);
    kp_plan_destroy(&plan);
}
END_TEST

/*
 * If the device decides both plans have the same guards: 40 / FLT_MAX times the sizes of each distance, and the bound of each
 * term, the sum over its distances of |slope| sqrt(0.09 D + 1.5) times the sizes. Distances have the sizes 3 + 5 and 7 + 1.
 */
START_TEST(both_plans_have_the_bounds_as_guards)
{
    static const struct {
        const char *terms;
        size_t distances, bounds;
        double slope[2][2]; /* by bound and distance, for g = -0.25 */
    } cases[] = {
        {"Exp(g*SqDist(x,y))*b", 1, 1, {{0.25}}},
        {"Exp(-SqDist(x,y)/g)*b;Exp(g*SqDist(x,y))*(x-y)", 1, 2, {{4}, {0.25}}},
        {"Exp(g*SqDist(x,y))*b;Exp(g*SqDist(x,y))*Square(b)", 1, 1, {{0.25}}},
        {"Exp(g*SqDist(x,y))*Exp(-3*SqDist(u,v))", 2, 1, {{0.25, 3}}},
    };
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        const double g = -0.25, sizes[2][2] = {{3, 5}, {7, 1}}, dims[2] = {32, 8}, sums[2] = {8, 8};
        for (int expanded = 0; expanded < 2; expanded++) {
            kp_plan *plan;
            use(KF_AXIS_J, "x:i32 y:j32 b:j1 g:p1 u:i8 v:j8", cases[n].terms, "r0");
            const kp_choice choice = {.shape = KP_ROWS, .expand = expanded, .decided = true};
            const kp_request request = {&s.sweep, KCL_F32, &caps, choice, NULL, {0}};
            ck_assert_msg(kp_plan_create(&plan, &request, &err) == KCL_OK, "%s", err.text);
            ck_assert_int_eq(plan->expanded, expanded);
            ck_assert_uint_eq(plan->size_count, cases[n].distances);
            ck_assert_uint_eq(plan->centre_count, expanded ? cases[n].distances : 0);
            ck_assert_uint_eq(plan->guard_count, cases[n].distances + cases[n].bounds);
            kf_source sources[MOST * 3] = {{0}};
            kr_sink sinks[4];
            double got[4];
            sources[3] = (kf_source){&g, KCL_F64, sizeof g, sizeof g};
            for (size_t k = 0; k < plan->size_count; k++)
                sources[s.sweep.var_count + plan->centre_count + k] =
                    (kf_source){sizes[k], KCL_F64, sizeof sizes[k], sizeof(double)};
            for (size_t k = 0; k < plan->guard_count; k++)
                sinks[k] = (kr_sink){&got[k], KCL_F64, sizeof(double), sizeof(double)};
            const kr_sweep guards = {.graph = &plan->graph,
                                     .var_count = plan->var_count,
                                     .vars = plan->vars,
                                     .output_count = plan->guard_count,
                                     .outputs = plan->guards};
            ck_assert_msg(kr_run_host(&guards, 1, 0, sources, sinks, 1, &err) == KCL_OK, "%s", err.text);
            for (size_t k = 0; k < plan->guard_count; k++) {
                double want = 40 / (double)FLT_MAX * 8;
                for (size_t d = 0; k >= plan->size_count && d < 2; d++) {
                    want = d ? want : 0;
                    want += cases[n].slope[k - plan->size_count][d] * sqrt(0.09 * dims[d] + 1.5) * sums[d];
                }
                ck_assert_msg(fabs(got[k] - want) <= 1e-14 * want, "%s, guard %zu: %.17g, want %.17g", cases[n].terms,
                              k, got[k], want);
            }
            kp_plan_destroy(&plan);
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {distances_whose_error_is_told_are_expanded, expansion_depends_on_the_reduction,
                                  an_expanded_distance_is_hoisted, both_plans_have_the_bounds_as_guards};
    return run_tests("expanded distances", tests, KB_COUNT(tests));
}
