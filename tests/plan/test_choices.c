/* SPDX-License-Identifier: MIT */
/* Which schedule and which shape run a formula: by rule, by name, and why a name is refused. */
#include "fixture.h"

static kp_shape shape_of(int64_t rows, int64_t cols, const char *schedule)
{
    kp_choice choice;
    ck_assert_msg(kp_choose(&s.sweep, &caps, KCL_F32, rows, cols, schedule, &choice, &err) == KCL_OK, "%s", err.text);
    return choice.shape;
}

START_TEST(the_shape_follows_from_sizes)
{
    ck_assert_int_eq(shape_of(100000, 100000, NULL), KP_ROWS_SPLIT);
    ck_assert_int_eq(shape_of(100000, 1, ""), KP_ROWS);
    ck_assert_int_eq(shape_of(100, 100000, NULL), KP_ROWS_SPLIT);
    ck_assert_int_eq(shape_of(100, 1000, NULL), KP_ROWS);
    ck_assert_int_eq(shape_of(16, 100000, NULL), KP_COLUMNS);
    ck_assert_int_eq(shape_of(16, 63, NULL), KP_ROWS);
    ck_assert_int_eq(shape_of(17, 100000, NULL), KP_ROWS_SPLIT);
    ck_assert_int_eq(shape_of(17, 4096, NULL), KP_ROWS_SPLIT);
    ck_assert_int_eq(shape_of(17, 4095, NULL), KP_ROWS);
    caps.lanes_f32 = 8;
    ck_assert_int_eq(shape_of(16, 100000, NULL), KP_ROWS_SPLIT);
    ck_assert_int_eq(shape_of(8, 100000, NULL), KP_COLUMNS);
    /* States of more than 2^26 rows take too much memory. */
    ck_assert_int_eq(shape_of(1 << 26, 100000, NULL), KP_ROWS_SPLIT);
    ck_assert_int_eq(shape_of((1 << 26) + 1, 100000, NULL), KP_ROWS);
    ck_assert_int_eq(shape_of(INT64_MAX / 2, 100000, NULL), KP_ROWS);
    /* Long columns come in parts that a cache holds. */
    use(KF_AXIS_J, "x:i1000 y:j1000 b:j1 g:p1", gauss_term, "r0");
    ck_assert_int_eq(shape_of(10000, 4000, NULL), KP_ROWS_SPLIT);
    ck_assert_int_eq(shape_of(10000, 500, NULL), KP_ROWS);
    use(0, "x:i3", "", "Square(x)");
    ck_assert_int_eq(shape_of(5, 0, NULL), KP_MAP);
    use(BOTH_AXES, gauss_variables, gauss_term, "r0");
    ck_assert_int_eq(shape_of(5, 100000, NULL), KP_ROWS_BOTH);
}
END_TEST

START_TEST(a_schedule_can_be_forced)
{
    ck_assert_int_eq(shape_of(100000, 100000, "columns"), KP_COLUMNS);
    ck_assert_int_eq(shape_of(1, 100, "lanes"), KP_ROWS);
    ck_assert_int_eq(shape_of(1, 100000, "lanes"), KP_ROWS_SPLIT);
    kp_choice choice;
    ck_assert_int_eq(kp_choose(&s.sweep, &caps, KCL_F32, 9, 9, "wide", &choice, &err), KCL_ERROR_ARGUMENT);
    ck_assert_str_eq(
        err.text,
        "schedule \"wide\" is not known: write \"lanes\", \"rows\", \"contraction\", \"split\" or \"columns\"");
    use(BOTH_AXES, gauss_variables, gauss_term, "r0");
    ck_assert_int_eq(shape_of(9, 9, "lanes"), KP_ROWS_BOTH);
    ck_assert_int_eq(kp_choose(&s.sweep, &caps, KCL_F32, 9, 9, "columns", &choice, &err), KCL_ERROR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot reduce both axes"));
}
END_TEST

START_TEST(gpus_choose_by_size_and_dimension)
{
    static const struct {
        const char *variables;
        int64_t rows, cols;
        kp_schedule schedule;
        kp_shape shape;
        int states;
    } cases[] = {
        {"x:i3 y:j3 b:j1 g:p1", 1 << 22, 1 << 20, KP_BY_ROWS, KP_ROWS_SPLIT, 0},
        {"x:i3 y:j3 b:j1 g:p1", 1 << 27, 1 << 20, KP_BY_ROWS, KP_ROWS, 0},
        {"x:i3 y:j3 b:j1 g:p1", 1 << 20, 100, KP_BY_ROWS, KP_ROWS, 0},
        {"x:i3 y:j3 b:j1 g:p1", 1000, 1 << 20, KP_BY_ROWS, KP_ROWS_SPLIT, 0},
        {"x:i3 y:j3 b:j1 g:p1", 1000, 2047, KP_BY_ROWS, KP_ROWS, 0},
        {"x:i3 y:j3 b:j1 g:p1", 1000, 2048, KP_BY_ROWS, KP_ROWS_SPLIT, 0},
        {"x:i3 y:j3 b:j1 g:p1", 17, 1 << 20, KP_BY_ROWS, KP_ROWS_SPLIT, 0},
        {"x:i3 y:j3 b:j1 g:p1", 16, 1 << 20, KP_BY_ROWS, KP_COLUMNS, 5},
        {"x:i3 y:j3 b:j1 g:p1", 8, 1 << 20, KP_BY_ROWS, KP_COLUMNS, 5},
        {"x:i3 y:j3 b:j1 g:p1", 1, 2048, KP_BY_ROWS, KP_COLUMNS, 5},
        {"x:i3 y:j3 b:j1 g:p1", 1, 2047, KP_BY_ROWS, KP_ROWS, 0},
        /* Sums over the index of long vectors. */
        {"x:i47 y:j47 b:j1 g:p1", 1 << 22, 1 << 20, KP_BY_ROWS, KP_ROWS_SPLIT, 0},
        {"x:i48 y:j48 b:j1 g:p1", 1 << 20, 1 << 20, KP_BY_CONTRACTION, KP_ROWS_SPLIT, 0},
        {"x:i784 y:j784 b:j1 g:p1", 17, 100, KP_BY_CONTRACTION, KP_ROWS_SPLIT, 0},
        {"x:i3 y:j3 b:j3 g:p1", 8, 1 << 20, KP_BY_ROWS, KP_COLUMNS, 4},
        {"x:i784 y:j784 b:j1 g:p1", 16, 1 << 20, KP_BY_ROWS, KP_COLUMNS, 5},
        {"x:i784 y:j784 b:j1 g:p1", 16, 2047, KP_BY_ROWS, KP_ROWS, 0},
    };
    caps = *kp_caps_profile("gpu");
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        use(KF_AXIS_J, cases[n].variables, gauss_term, "r0");
        kp_choice c;
        ck_assert_int_eq(kp_choose(&s.sweep, &caps, KCL_F32, cases[n].rows, cases[n].cols, NULL, &c, &err), KCL_OK);
        ck_assert_msg(c.schedule == cases[n].schedule && c.shape == cases[n].shape && c.states == cases[n].states &&
                          !c.forced,
                      "case %zu: schedule %d, shape %d, %d states", n, (int)c.schedule, (int)c.shape, c.states);
        kp_plan *plan;
        ck_assert_int_eq(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, c, NULL, {0}}, &err), KCL_OK);
        ck_assert(plan->schedule == c.schedule && plan->shape == c.shape);
        ck_assert_int_eq(plan->shape == KP_COLUMNS ? plan->stream : 0, c.states);
        kp_plan_destroy(&plan);
    }
    use(BOTH_AXES, "x:i100 y:j100 b:j1 g:p1", gauss_term, "r0");
    ck_assert_int_eq(shape_of(1000, 1000, NULL), KP_ROWS_BOTH);
    use(0, "x:i3", "", "Square(x)");
    ck_assert_int_eq(shape_of(5, 0, "contraction"), KP_MAP);
}
END_TEST

/* Adds a choice to the list, unless one that leads to the same program is there. */
static void note_choice(kp_choice *list, size_t *count, const kp_choice *c)
{
    size_t k = 0;
    while (k < *count && !(list[k].schedule == c->schedule && list[k].shape == c->shape &&
                           list[k].states == c->states && list[k].group == c->group && list[k].empty == c->empty))
        k++;
    if (k == *count)
        list[(*count)++] = *c;
    ck_assert_uint_lt(*count, 8);
}

/*
 * Calls whose numbers of rows vary have one program for many rows and one for few, however many columns there are. If
 * the numbers of columns vary too, there is a third program, in which columns are divided.
 */
START_TEST(few_programs_do_for_all_numbers_of_rows)
{
    static const struct {
        const char *variables, *term;
    } formulas[] = {{"x:i3 y:j3 b:j1 g:p1", gauss_term},  {"x:i100 y:j100 b:j1 g:p1", gauss_term},
                    {"x:i3 y:j3 b:j20 g:p1", gauss_term}, {"x:i3 y:j3 b:j1", "LogSumExp:b-SqDist(x,y)"},
                    {"x:i3 y:j3", "ArgMin:SqDist(x,y)"},  {"x:i3 y:j3", "ArgKMin5:SqDist(x,y)"}};
    static const char *const devices[] = {"cpu", "gpu"};
    static const int64_t columns[] = {1, 63, 64, 2047, 2048, 4095, 4096, 10000, 1000000};
    static const int64_t more[] = {100, 511, 512, 513, 1000, 2049, 10000, 100000, 1000000, 3000000};
    for (size_t f = 0; f < KB_COUNT(formulas); f++)
        for (size_t d = 0; d < KB_COUNT(devices); d++)
            for (int type = 0; type < 2; type++) {
                kp_choice all[8], here[8];
                size_t all_count = 0;
                use(KF_AXIS_J, formulas[f].variables, formulas[f].term, "r0");
                for (size_t n = 0; n < KB_COUNT(columns); n++) {
                    size_t count = 0;
                    for (size_t m = 0; m < 64 + KB_COUNT(more); m++) {
                        const int64_t rows = m < 64 ? (int64_t)m + 1 : more[m - 64];
                        kp_choice c;
                        ck_assert_int_eq(kp_choose(&s.sweep, kp_caps_profile(devices[d]), type ? KCL_F64 : KCL_F32,
                                                   rows, columns[n], NULL, &c, &err),
                                         KCL_OK);
                        note_choice(here, &count, &c);
                        note_choice(all, &all_count, &c);
                        /* Lists on CPUs: one program more, for many rows. */
                        const size_t most = f == KB_COUNT(formulas) - 1 && d == 0 ? 3 : 2;
                        ck_assert_msg(count <= most && all_count <= 3,
                                      "formula %zu on a %s, %lld rows and %lld columns: programs %zu and %zu", f,
                                      devices[d], (long long)rows, (long long)columns[n], count, all_count);
                    }
                }
                ck_assert_uint_ge(all_count, 2);
            }
}
END_TEST

/* Returns an empty text and the group of the plan (0: no contraction), or the reason against the plan. */
static const char *contraction_of(const char *terms, const kp_caps *c, bool forced, int *group)
{
    kp_plan *plan;
    kp_choice choice = {.schedule = KP_BY_CONTRACTION, .shape = KP_ROWS_SPLIT, .forced = forced};
    kb_error_clear(&err);
    use(KF_AXIS_J, "x:i32 y:j32 b:j1 u:i40 v:j40 w:i32", terms, "r0");
    kcl_status status = kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, c, choice, NULL, {0}}, &err);
    *group = plan && plan->schedule == KP_BY_CONTRACTION ? plan->group : 0;
    ck_assert(status == KCL_OK || (forced && status == KCL_ERROR_UNSUPPORTED && !plan));
    ck_assert(!plan || !forced || plan->schedule == KP_BY_CONTRACTION);
    ck_assert(!plan || *group || (plan->schedule == KP_BY_ROWS && plan->shape == KP_ROWS_SPLIT));
    if (plan)
        ck_assert_uint_le(local_memory_of(plan), c->local_memory);
    kp_plan_destroy(&plan);
    return status == KCL_OK ? "" : err.text;
}

START_TEST(a_contraction_that_cannot_be_says_why)
{
    static const char lists[] =
        "KMin, KMax, their means and indices keep a list of K values for each row, and a work-item has "
        "several rows: more than registers hold";
    static const char far[] = "Exp(-SqDist(x,y))*b";
    static const struct {
        const char *terms, *why;
        int work_group;
        size_t local_memory;
    } cases[] = {
        {far, "", 256, 48 << 10},
        {"Exp(-SqDist(x,y))*(x|y)+Elem(x,3)*b", "", 256, 48 << 10},
        {"Exp(-SqDist(x,y))*x", "", 256, 48 << 10}, /* x leaves the sum */
        {"Exp(-SqDist(x,y))*y", "its terms are vectors", 256, 48 << 10},
        {"SqNorm2(x*SqDist(w,y)-y)", "it has a sum over components within another one", 256, 48 << 10},
        {"SqDist(x,y)*SqDist(u,v)", "it sums over the components of vectors of different dimensions", 256, 48 << 10},
        {"SqNorm2(x*Sin(Elem(w,0)*b)-y)", "a number of both axes enters its sum over components", 256, 48 << 10},
        {"Elem(x*y,2)*b", "it needs vectors of both axes outside of sums over their components", 256, 48 << 10},
        {"(Extract(Concat(x,w),4,32)|y)", "it rearranges the components of its vectors", 256, 48 << 10},
        {"KMin2:SqDist(x,y)", lists, 256, 48 << 10},
        {"ArgKMin10:SqDist(x,y);Exp(-SqDist(x,y))*b", lists, 256, 48 << 10},
        {"Elem(x,0)*Sin(Elem(x,1)*b)", "it has no sum over the components of row and column vectors", 256, 48 << 10},
        {far, "work-groups of the device are too small", 15, 48 << 10},
        {far, "work-groups of the device are too small", 1, 48 << 10},
        {far, "memory of the device's work-groups is too small", 256, 512},
    };
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        kp_caps c = gpu_caps(cases[n].work_group, cases[n].local_memory);
        int group, unforced;
        char want[256] = "";
        if (*cases[n].why)
            snprintf(want, sizeof want, "schedule \"contraction\" cannot run the formula: %s", cases[n].why);
        ck_assert_str_eq(contraction_of(cases[n].terms, &c, true, &group), want);
        /* Without force another schedule takes the place of the contraction. */
        ck_assert_str_eq(contraction_of(cases[n].terms, &c, false, &unforced), "");
        ck_assert_int_eq(group, unforced);
        ck_assert_int_eq(group > 0, !*cases[n].why);
    }
    /* Groups are smaller if work-groups or local memory are small. */
    static const struct {
        int work_group;
        size_t local_memory;
        int group;
    } sizes[] = {
        {1024, 48 << 10, 256}, {256, 16 << 10, 256}, {255, 48 << 10, 64}, {64, 16 << 10, 64},
        {63, 48 << 10, 16},    {16, 16 << 10, 16},   {256, 4 << 10, 64},  {64, 2 << 10, 16},
    };
    for (size_t n = 0; n < KB_COUNT(sizes); n++) {
        kp_caps c = gpu_caps(sizes[n].work_group, sizes[n].local_memory);
        int group;
        ck_assert_str_eq(contraction_of(far, &c, true, &group), "");
        ck_assert_msg(group == sizes[n].group, "work-groups of %d, %zu bytes: %d", sizes[n].work_group,
                      sizes[n].local_memory, group);
    }
    /* A sweep that reduces both axes has no row to keep a state for. */
    kp_choice choice;
    use(BOTH_AXES, "x:i32 y:j32 b:j1", far, "r0");
    ck_assert_int_eq(kp_choose(&s.sweep, &caps, KCL_F32, 9, 9, "contraction", &choice, &err), KCL_ERROR_UNSUPPORTED);
    ck_assert_str_eq(err.text, "schedule \"contraction\" keeps a state for each row: it cannot reduce both axes");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {the_shape_follows_from_sizes, a_schedule_can_be_forced,
                                  gpus_choose_by_size_and_dimension, few_programs_do_for_all_numbers_of_rows,
                                  a_contraction_that_cannot_be_says_why};
    return run_tests("choices of schedules", tests, KB_COUNT(tests));
}
