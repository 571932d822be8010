/* SPDX-License-Identifier: MIT */
/* Plans: schedules, launches and rewriting, with capabilities made by hand. */
#include "failing.h"
#include "passes.h"
#include "sweeps.h"

#include <math.h>

static kb_error err;

static const char gauss_variables[] = "x:i3 y:j3 b:j1 g:p1";
static const char gauss_term[] = "Exp(-g*SqDist(x,y))*b";

static sweep_of s;
static kp_caps caps;

static void setup(void)
{
    sweep_init(&s, NULL, KF_AXIS_J, gauss_variables, gauss_term, "r0");
    caps = cpu_caps(16, 32);
    kb_error_clear(&err);
}

static void teardown(void)
{
    sweep_finish(&s);
}

/* The sweep of other formulas in place of the Gaussian sum. */
static void use(unsigned reduced, const char *variables, const char *terms, const char *outputs)
{
    sweep_finish(&s);
    sweep_init(&s, NULL, reduced, variables, terms, outputs);
}

static kp_shape shape_of(int64_t rows, int64_t cols, const char *schedule)
{
    kp_choice choice;
    ck_assert_msg(kp_choose(&s.sweep, &caps, KCL_F32, rows, cols, schedule, &choice, &err) == KCL_OK, "%s", err.text);
    return choice.shape;
}

static char *text_of(const kf_node *f)
{
    static char text[2048];
    kb_str out;
    kb_str_init(&out, NULL);
    kf_print(&out, f, NULL, NULL, sizeof text - 1);
    snprintf(text, sizeof text, "%s", kb_str_text(&out));
    kb_str_finish(&out);
    return text;
}

/* ---- Schedules --------------------------------------------------------------------------------------------------- */

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
    /* States of more rows than these take too much memory. */
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
    ck_assert_str_eq(err.text, "schedule \"wide\" is not known: write \"lanes\", \"rows\", \"contraction\", \"split\" or \"columns\"");
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
                          !c.forced, "case %zu: schedule %d, shape %d, %d states", n, (int)c.schedule, (int)c.shape,
                      c.states);
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
 * Calls whose numbers of rows vary have one program for many rows and one for few, however many columns there are. Where
 * columns vary too there is a third one, in which they are divided.
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
                        ck_assert_msg(count <= 2 && all_count <= 3,
                                      "formula %zu on a %s, %lld rows and %lld columns: programs %zu and %zu", f,
                                      devices[d], (long long)rows, (long long)columns[n], count, all_count);
                    }
                }
                ck_assert_uint_ge(all_count, 2);
            }
}
END_TEST

/* The group that a plan has, or the reason why there is none. */
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
    static const char lists[] = "KMin, KMax, their means and indices keep a list of K values for each row, and a work-item has "
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
        /* By rule, another schedule takes its place. */
        ck_assert_str_eq(contraction_of(cases[n].terms, &c, false, &unforced), "");
        ck_assert_int_eq(group, unforced);
        ck_assert_int_eq(group > 0, !*cases[n].why);
    }
    /* Smaller groups, where work-groups or local memory are small. */
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
    /* Both axes have no row to keep a state for. */
    kp_choice choice;
    use(BOTH_AXES, "x:i32 y:j32 b:j1", far, "r0");
    ck_assert_int_eq(kp_choose(&s.sweep, &caps, KCL_F32, 9, 9, "contraction", &choice, &err), KCL_ERROR_UNSUPPORTED);
    ck_assert_str_eq(err.text, "schedule \"contraction\" keeps a state for each row: it cannot reduce both axes");
}
END_TEST

START_TEST(double_is_refused_where_the_device_has_none)
{
    kp_plan *plan = (kp_plan *)&s;
    caps.has_f64 = false;
    ck_assert_int_eq(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F64, &caps, {.shape = KP_ROWS}, NULL, {0}}, &err),
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

START_TEST(steps_fit_the_registers)
{
    static const int registers[] = {32, 16};
    for (size_t n = 0; n < KB_COUNT(registers); n++) {
        caps = cpu_caps(registers[n] / 2, registers[n]);
        kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
        ck_assert_int_eq(plan->lanes, registers[n] / 2);
        ck_assert_int_eq(plan->stream, registers[n] / 2);
        ck_assert_int_eq(plan->tile % plan->stream, 0);
        kp_plan_destroy(&plan);
        plan = plan_of(&s.sweep, &caps, KCL_F64, KP_ROWS);
        ck_assert_int_eq(plan->lanes, registers[n] / 4);
        kp_plan_destroy(&plan);
    }
    /* A long formula is not written out sixteen times. */
    char text[4000] = "Exp(-g*SqDist(x,y))";
    for (int k = 1; k < 60; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "+Sin(b*(%d*SqDist(x,y)+%d))", k, k);
    char part[2048];
    snprintf(part, sizeof part, "%.*s", (int)sizeof part - 1, text);
    caps = cpu_caps(16, 32);
    use(KF_AXIS_J, gauss_variables, part, "r0");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_int_eq(plan->stream, 1);
    kp_plan_destroy(&plan);
}
END_TEST

/* Bytes of the arrays of cl/reduce.cl for a sum of `dim` components. */
static size_t state_bytes(const kp_plan *plan, int dim)
{
    size_t states = plan->shape == KP_COLUMNS ? (size_t)plan->stream : 1;
    return (size_t)dim * (size_t)plan->lanes * kb_dtype_size(plan->dtype) * (3 * states + (plan->shape == KP_ROWS));
}

START_TEST(long_vectors_fit_private_memory_or_are_refused)
{
    static const int dims[] = {1, 100, 1000, 3000, 20000, 60000};
    static const kcl_dtype types[] = {KCL_F32, KCL_F64};
    for (size_t n = 0; n < KB_COUNT(dims); n++) {
        char variables[64], terms[64];
        snprintf(variables, sizeof variables, "x:i3 y:j3 b:j%d g:p1", dims[n]);
        snprintf(terms, sizeof terms, "%s", gauss_term);
        for (int shape = KP_ROWS; shape < KP_SHAPE_COUNT; shape++) {
            use(shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J, variables, terms, "r0");
            for (size_t t = 0; t < KB_COUNT(types); t++) {
                kp_plan *plan;
                kcl_status status = kp_plan_create(
                    &plan, &(kp_request){&s.sweep, types[t], &caps, {.shape = (kp_shape)shape}, NULL, {0}}, &err);
                if (dims[n] <= 20000)
                    ck_assert_msg(status == KCL_OK, "dimension %d, shape %d: %s", dims[n], shape, err.text);
                if (dims[n] <= 1000)
                    ck_assert_int_eq(plan->lanes, types[t] == KCL_F32 ? 16 : 8);
                if (status == KCL_OK) {
                    ck_assert_uint_le(state_bytes(plan, dims[n]), caps.private_memory);
                } else {
                    ck_assert_int_eq(status, KCL_ERROR_UNSUPPORTED);
                    ck_assert_uint_gt((size_t)dims[n] * kb_dtype_size(types[t]) * 3, caps.private_memory / 2);
                    ck_assert_ptr_nonnull(strstr(err.text, "1048576"));
                }
                kp_plan_destroy(&plan);
            }
        }
    }
    /* Row vectors stay in memory where they do not fit beside it; short ones are kept first. */
    use(KF_AXIS_J, "x:i100000 u:i3 y:j100000 v:j3", "Exp(-SqDist(x,y)-SqDist(u,v))", "r0");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert(!plan->private[0] && plan->private[1]);
    kp_plan_destroy(&plan);
    caps.private_memory = 400; /* a state of 256 bytes, no room for 3 vectors of 64 */
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert(!plan->private[0] && !plan->private[1] && plan->lanes == 16);
    kp_plan_destroy(&plan);
    /* Vectors computed once per row count too. */
    caps = cpu_caps(16, 32);
    use(KF_AXIS_J, "x:i300000 y:j300000", "SqDist(Sin(x),y)", "r0");
    ck_assert_int_eq(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS}, NULL, {0}}, &err),
                     KCL_ERROR_UNSUPPORTED);
}
END_TEST

/* ---- Launches ---------------------------------------------------------------------------------------------------- */

/* How often each row of a part of columns is met by the loops of cl/lanes.cl; true if once, with all columns once. */
static void walk(const kp_plan *plan, const kp_launch *l, int64_t rows, int64_t cols)
{
    bool columns = plan->shape == KP_COLUMNS;
    int64_t size = columns ? plan->stream : plan->lanes, blocks = (rows + size - 1) / size, met = 0;
    int64_t items = (int64_t)l->sweep_items[0];
    ck_assert_int_ge(items, 1);
    /* Work-item w takes blocks w, w + items, ...: rows of one block. */
    for (int64_t w = 0; w < items && w < blocks; w++) {
        int64_t own = (blocks - 1 - w) / items + 1, last = w + (own - 1) * items;
        met += own * size - (last == blocks - 1 ? blocks * size - rows : 0);
    }
    ck_assert_int_eq(met, rows);
    int64_t parts = plan->shape == KP_ROWS || plan->shape == KP_ROWS_BOTH ? 1 : (int64_t)l->sweep_items[1];
    int64_t length = parts == 1 && !columns && plan->shape != KP_ROWS_SPLIT ? cols : l->part_length, next = 0;
    for (int64_t p = 0; p < parts; p++) {
        int64_t first = p * length, last = KB_MIN(cols, first + length);
        ck_assert_int_eq(first, KB_MIN(next, first));
        ck_assert_msg(first == next, "part %lld begins at %lld, the one before ends at %lld", (long long)p,
                      (long long)first, (long long)next);
        ck_assert_msg(last > first || cols == 0, "part %lld of %lld columns is empty", (long long)p, (long long)cols);
        /* Lanes over columns: only the very last vector may be incomplete. */
        ck_assert(!columns || first % plan->lanes == 0);
        /* Rows: tiles are those of an undivided sum. */
        ck_assert(plan->shape != KP_ROWS_SPLIT || first % plan->tile == 0);
        next = KB_MAX(next, last);
    }
    ck_assert_int_eq(next, cols);
}

static void check_launch(const kp_plan *plan, const kp_caps *c, int64_t rows, int64_t cols)
{
    kp_launch l;
    kp_launch_for(plan, c, rows, cols, &l);
    walk(plan, &l, rows, cols);
    ck_assert_int_le((int64_t)l.sweep_items[0], c->max_groups);
    ck_assert_int_le((int64_t)l.sweep_items[1], c->max_groups);
    ck_assert_int_le((int64_t)l.finish_items, c->max_groups);
    ck_assert_int_le((int64_t)l.prepare_items[0], c->max_groups);
    ck_assert_int_le((int64_t)l.prepare_items[1], c->max_groups);
    bool partial = plan->shape != KP_ROWS;
    ck_assert_int_eq(l.finish_items > 0, partial);
    ck_assert_int_eq(l.prepare_items[plan->shape != KP_COLUMNS] > 0, plan->prepared_count > 0);
    ck_assert_uint_eq(l.prepare_items[plan->shape == KP_COLUMNS], 0);
    int64_t streamed = plan->shape == KP_COLUMNS ? rows : cols;
    ck_assert_int_eq(l.prepared_elements, (int64_t)plan->prepared_count * streamed);
    /* Every work-item's states have their place: a part and a row, or a work-item. */
    int64_t parts = plan->shape == KP_ROWS_BOTH ? (int64_t)l.sweep_items[0] : (int64_t)l.sweep_items[1];
    if (partial)
        ck_assert_int_eq(l.parts, parts);
    ck_assert_int_eq(l.partial_elements, partial ? l.parts * (plan->shape == KP_ROWS_BOTH ? 1 : rows) : 0);
}

START_TEST(launches_meet_every_row_and_column_once)
{
    static const int64_t sizes[] = {0, 1, 2, 7, 16, 17, 127, 128, 129, 2048, 4097, 65537, 1048573, 16777259, 100000007};
    static const int units[] = {1, 8, 64};
    for (int lanes = 4; lanes <= 16; lanes *= 2) {
        for (size_t u = 0; u < KB_COUNT(units); u++) {
            caps = cpu_caps(lanes, lanes == 16 ? 32 : 16);
            caps.compute_units = units[u];
            for (int shape = KP_ROWS; shape < KP_SHAPE_COUNT; shape++) {
                use(shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J, gauss_variables, "Exp(-SqDist(x,y))*Sin(b)", "r0");
                kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, (kp_shape)shape);
                for (size_t m = 0; m < KB_COUNT(sizes); m++)
                    for (size_t n = 0; n < KB_COUNT(sizes); n++)
                        check_launch(plan, &caps, sizes[m], sizes[n]);
                uint64_t seed = (uint64_t)lanes + u;
                for (int k = 0; k < 200; k++)
                    check_launch(plan, &caps, draw(&seed, 1u << draw(&seed, 31)), draw(&seed, 1u << draw(&seed, 31)));
                kp_plan_destroy(&plan);
            }
        }
    }
}
END_TEST

/* Groups are whole, parts are whole tiles (or vectors) and meet all columns, and every state has its place. */
static void check_group_launch(const kp_plan *plan, const kp_caps *c, int64_t rows, int64_t cols)
{
    kp_launch l;
    kp_launch_for(plan, c, rows, cols, &l);
    size_t group = (size_t)plan->group;
    bool contraction = plan->schedule == KP_BY_CONTRACTION, columns = plan->shape == KP_COLUMNS;
    ck_assert(l.sweep_items[0] >= group && l.sweep_items[0] % group == 0 && l.sweep_items[1] >= 1);
    ck_assert(l.prepare_items[0] % group == 0 && l.prepare_items[1] % group == 0);
    ck_assert_int_eq(l.prepare_items[0] + l.prepare_items[1] > 0, plan->prepared_count > 0);
    ck_assert(l.finish_items % group == 0 && (l.finish_items > 0) == (plan->shape != KP_ROWS));
    ck_assert_int_le((int64_t)(l.sweep_items[0] / group), c->max_groups);
    ck_assert_int_le((int64_t)l.sweep_items[1], c->max_groups);
    /* Not a work-group more than has rows. */
    int64_t per_item = columns ? plan->stream : plan->lanes;
    int64_t per_group = columns ? per_item : per_item * (contraction ? plan->tile / plan->stream : plan->group);
    int64_t groups = rows / per_group + (rows % per_group != 0);
    if (plan->shape == KP_ROWS_BOTH)
        ck_assert_int_le((int64_t)(l.sweep_items[0] / group), KB_MAX(groups, 1));
    else
        ck_assert_int_eq((int64_t)(l.sweep_items[0] / group), KB_MAX(1, KB_MIN(groups, c->max_groups)));
    int64_t state = 0;
    for (size_t k = 0; k < plan->term_count; k++)
        state += kp_state_dim(plan, k);
    switch (plan->shape) {
    case KP_ROWS:
        ck_assert(l.sweep_items[1] == 1 && l.partial_elements == 0);
        break;
    case KP_ROWS_BOTH:
        ck_assert_int_eq(l.parts, (int64_t)(l.sweep_items[0] / group));
        ck_assert_int_eq(l.partial_elements, l.parts * state);
        break;
    default:
        ck_assert_int_eq(l.parts, (int64_t)l.sweep_items[1]);
        ck_assert_int_eq(l.partial_elements, l.parts * rows * state);
        ck_assert_int_eq(l.part_length % (columns ? plan->lanes : plan->tile), 0);
        ck_assert(l.parts * l.part_length >= cols);
        ck_assert(cols == 0 ? l.parts == 1 : (l.parts - 1) * l.part_length < cols);
    }
}

/* The program's needs on GPUs of any size; and that plans become smaller rather than fail. */
START_TEST(plans_fit_small_devices)
{
    static const struct {
        const char *variables, *term;
    } formulas[] = {
        {"x:i3 y:j3 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b"},
        {"x:i3 y:j3 b:j7 g:p1", "Exp(-g*SqDist(x,y))*Sin(b)"},
        {"x:i100 y:j100 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b"},
        {"x:i50 y:j50 u:i50 v:j50", "SqDist(x,y)*(u|v)"},
        {"x:i784 y:j784 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b"},
        {"x:i5000 y:j5000 b:j1", "SqDist(x,y)*b"},
    };
    static const int groups[] = {1, 2, 16, 64, 100, 256, 1024};
    static const size_t memories[] = {1 << 10, 2 << 10, 4 << 10, 16 << 10, 32 << 10, 48 << 10, 200 << 10};
    static const int64_t sizes[] = {0, 1, 15, 17, 255, 256, 1025, 100003, 16777259};
    static const kf_reduction reductions[] = {KF_REDUCE_SUM, KF_REDUCE_LOGSUMEXP, KF_REDUCE_ARGMIN};
    int contractions = 0, staged = 0;
    for (size_t f = 0; f < KB_COUNT(formulas); f++) {
        for (int n = 0; n < 5 * 3 * 2; n++) {
            kp_choice choice = {.shape = (kp_shape)(KP_ROWS + n % 5 % 4), .schedule = KP_BY_ROWS};
            kf_reduction reduction = reductions[n / 5 % 3];
            kcl_dtype dtype = n / 15 ? KCL_F64 : KCL_F32;
            if (n % 5 == 4)
                choice = (kp_choice){.schedule = KP_BY_CONTRACTION, .shape = KP_ROWS_SPLIT};
            choice.states = choice.shape == KP_COLUMNS ? 16 : 0;
            if (reduction == KF_REDUCE_LOGSUMEXP && f == 1)
                continue; /* of numbers */
            use(choice.shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J, formulas[f].variables, formulas[f].term, "r0");
            s.terms[0].reduction = reduction;
            for (size_t k = 0; k < KB_COUNT(groups) * KB_COUNT(memories); k++) {
                kp_caps c = gpu_caps(groups[k % KB_COUNT(groups)], memories[k / KB_COUNT(groups)]);
                kp_plan *plan;
                ck_assert_msg(kp_plan_create(&plan, &(kp_request){&s.sweep, dtype, &c, choice, NULL, {0}}, &err) == KCL_OK,
                              "%s", err.text);
                ck_assert_msg(plan->group >= 1 && plan->group <= c.max_work_group &&
                                  (plan->group & (plan->group - 1)) == 0, "group %d", plan->group);
                ck_assert_msg(local_memory_of(plan) <= c.local_memory,
                              "%s, %s, %s, schedule %d, shape %d: %zu bytes of %zu, group %d, %d lanes, tile %d of %d",
                              formulas[f].term, kf_reduction_get(reduction)->name, kb_dtype_name(dtype),
                              (int)plan->schedule, (int)plan->shape, local_memory_of(plan), c.local_memory, plan->group,
                              plan->lanes, plan->tile, plan->record);
                ck_assert(plan->stream >= 1 && plan->lanes >= 1 && plan->tile >= 1);
                contractions += plan->schedule == KP_BY_CONTRACTION;
                staged += plan->schedule == KP_BY_ROWS && plan->record > 0;
                for (size_t m = 0; m < KB_COUNT(sizes) * KB_COUNT(sizes); m++)
                    check_group_launch(plan, &c, sizes[m % KB_COUNT(sizes)], sizes[m / KB_COUNT(sizes)]);
                kp_plan_destroy(&plan);
            }
        }
    }
    ck_assert_int_gt(contractions, 500);
    ck_assert_int_gt(staged, 2000);
}
END_TEST

START_TEST(work_without_pairs_is_launched_once_a_row)
{
    use(0, "x:i3", "", "Square(x)");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_MAP);
    kp_launch l;
    kp_launch_for(plan, &caps, 33, 1, &l);
    ck_assert_uint_eq(l.finish_items, 3);
    ck_assert_uint_eq(l.sweep_items[0], 0);
    ck_assert_uint_eq(l.prepare_items[0] + l.prepare_items[1], 0);
    kp_launch_for(plan, &caps, (int64_t)1 << 40, 1, &l);
    ck_assert_uint_eq(l.finish_items, 65535);
    kp_plan_destroy(&plan);
}
END_TEST

START_TEST(memory_of_states_stays_small_where_fewer_parts_allow_it)
{
    use(KF_AXIS_J, "x:i3 y:j3 b:j1000", "Exp(-SqDist(x,y))*b", "r0");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS_SPLIT);
    kp_launch l;
    kp_launch_for(plan, &caps, 500, 10000000, &l); /* enough rows for all processors */
    ck_assert_int_eq(l.parts, 1);
    kp_launch_for(plan, &caps, 100, 10000000, &l);
    ck_assert_int_le(l.partial_elements, 1 << 23);
    ck_assert_int_gt(l.parts, 1);
    /* Sizes beyond memory do not overflow. */
    kp_launch_for(plan, &caps, INT64_MAX / 2, 10000000, &l);
    ck_assert_int_eq(l.partial_elements, INT64_MAX);
    kp_plan_destroy(&plan);
}
END_TEST

/* ---- Rewriting --------------------------------------------------------------------------------------------------- */

START_TEST(batches_take_the_place_of_parts)
{
    static const struct {
        const char *device;
        kp_sizes sizes;
        kp_shape shape;
        int group;
    } cases[] = {
        {"gpu", {256, 1 << 16, 1, 1}, KP_ROWS_SPLIT, 0},
        {"gpu", {256, 1 << 16, 1 << 14, 1}, KP_ROWS_SPLIT, 64}, /* work-items with 4 rows each */
        {"gpu", {60, 60, 1000, 1}, KP_ROWS, 32},
        {"gpu", {1 << 16, 1 << 12, 1000, 1}, KP_ROWS_SPLIT, 256},
        {"gpu", {1 << 16, 1 << 12, 2000, 1}, KP_ROWS, 256},
        {"cpu", {64, 8192, 1, 1}, KP_ROWS_SPLIT, 0},
        {"cpu", {64, 8192, 1000, 1}, KP_ROWS_SPLIT, 0},
    };
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        const kp_caps *on = kp_caps_profile(cases[n].device);
        kp_choice c;
        kp_launch l;
        kp_plan *plan;
        use(KF_AXIS_J, "x:i3a y:j3a b:j1 g:p1", gauss_term, "r0");
        uint8_t axes[MOST];
        kp_batches batches = cases[n].sizes.batches > 1 ? batches_of(&s, axes) : (kp_batches){0};
        ck_assert_int_eq(kp_choose_for(&s.sweep, on, KCL_F32, &cases[n].sizes, NULL, &c, &err), KCL_OK);
        ck_assert_msg(c.shape == cases[n].shape && c.group == cases[n].group, "case %zu: shape %d, group %d", n,
                      (int)c.shape, c.group);
        ck_assert_int_eq(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, on, c, NULL, batches}, &err), KCL_OK);
        kp_launch_batches(plan, on, &cases[n].sizes, &l);
        ck_assert_int_eq(plan->outer_batches, cases[n].sizes.batches > 1);
        ck_assert(!c.group || plan->group == c.group);
        ck_assert_int_eq(l.parts > 1, cases[n].sizes.batches == 1);
        kp_plan_destroy(&plan);
    }
}
END_TEST

/* Reduced batches: results come after the last of them, parts cover all. */
START_TEST(reduced_batches_are_divided)
{
    static const kp_sizes sizes[] = {
        {256, 256, 1, 1000}, {5, 3, 7, 100000}, {1 << 20, 100, 1, 3}, {16, 1 << 20, 4, 2}, {100, 100, 1, 0}};
    for (int over = 0; over < 2; over++) {
        for (size_t n = 0; n < 2 * KB_COUNT(sizes); n++) {
            const kp_caps *on = kp_caps_profile(n % 2 ? "cpu" : "gpu");
            const kp_sizes *z = &sizes[n / 2];
            kp_choice c;
            kp_launch l;
            kp_plan *plan;
            use((over ? BOTH_AXES : (unsigned)KF_AXIS_J) | KF_AXIS_EACH, "x:i3E y:j3a b:j1 g:p1E",
                "Exp(-g*SqDist(x,y))*b*g", "r0");
            uint8_t axes[MOST];
            const kp_batches batches = batches_of(&s, axes);
            ck_assert_int_eq(kp_choose_for(&s.sweep, on, KCL_F32, z, NULL, &c, &err), KCL_OK);
            ck_assert_int_ne(c.shape, KP_ROWS);
            ck_assert_int_eq(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, on, c, NULL, batches}, &err), KCL_OK);
            kp_launch_batches(plan, on, z, &l);
            ck_assert_int_eq(l.parts % l.each_parts, 0);
            ck_assert_int_ge(l.each_parts * l.each_length, z->each);
            ck_assert(z->each == 0 || (l.each_parts - 1) * l.each_length < z->each);
            ck_assert_int_le(l.parts, 1024);
            ck_assert_int_eq(l.partial_elements % (l.parts * z->batches), 0);
            /* g differs between the batches: it does not leave the sum. */
            ck_assert_msg(strstr(text_of(plan->outputs[0]), "Var(3") == NULL, "%s", text_of(plan->outputs[0]));
            kp_plan_destroy(&plan);
        }
    }
}
END_TEST

START_TEST(factors_leave_the_sum)
{
    use(KF_AXIS_J, "x:i3 y:j3 u:i1 g:p1", "u*(-Exp(-SqDist(x,y))*g)", "r0");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_uint_eq(plan->terms[0].formula->axes, BOTH_AXES);
    const kf_node *f = plan->terms[0].formula;
    ck_assert_msg(f->op == KF_EXP || f->op == KF_EXP2, "%s", text_of(f));
    kp_plan_destroy(&plan);
    /* From deep inside a product. */
    use(KF_AXIS_J, "x:i3 y:j3 u:i1 b:j1", "((u*b)*Exp(-SqDist(x,y)))*(-(x-y))", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_msg(!strstr(text_of(plan->terms[0].formula), "Var(2,1,0)"), "%s", text_of(plan->terms[0].formula));
    ck_assert_msg(strstr(text_of(plan->outputs[0]), "Var(2,1,0)") != NULL, "%s", text_of(plan->outputs[0]));
    kp_plan_destroy(&plan);
    /* Vectors too: the sum has one component then. */
    use(KF_AXIS_J, "x:i3 y:j3", "Exp(-SqDist(x,y))*x", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_int_eq(plan->terms[0].formula->dim, 1);
    ck_assert_int_eq(plan->outputs[0]->dim, 3);
    kp_plan_destroy(&plan);
    /* What is left must still be summed over the same axes. */
    use(BOTH_AXES, "u:i1 b:j1", "u*b", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS_BOTH);
    ck_assert_uint_eq(plan->terms[0].formula->axes, BOTH_AXES);
    kp_plan_destroy(&plan);
}
END_TEST

START_TEST(the_factor_of_exp2_joins_the_parameter)
{
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    const kf_node *f = plan->terms[0].formula; /* Exp2((c*g)*d)*b */
    ck_assert_int_eq(f->op, KF_MULT);
    const kf_node *e = f->arg[0]->op == KF_EXP2 ? f->arg[0] : f->arg[1];
    ck_assert_msg(e->op == KF_EXP2 && e->arg[0]->op == KF_MULT, "%s", text_of(f));
    const kf_node *p = e->arg[0]->arg[0]->axes ? e->arg[0]->arg[1] : e->arg[0]->arg[0];
    ck_assert_msg(p->axes == 0 && p->op == KF_MULT, "%s", text_of(f));
    kp_plan_destroy(&plan);
    /* What is rounded for each pair already may be rounded again. Where nothing rounds the argument, Exp stays. */
    static const struct {
        const char *formula;
        bool by_exp2;
    } cases[] = {{"Exp(x-y)", true},
                 {"Exp(-Abs(x-y))", true},
                 {"Exp(Maximum(y,x*y))", true},
                 {"Exp(IfElse(x-y,x,x*y))", true},
                 {"Exp(IfElse(x-y,x,y))", false},
                 {"Exp(Floor(x-y))", false},
                 {"Exp(x<y)", false},
                 {"Exp(-SqDist(x,y))", true},
                 {"Exp(Minimum(x,-y))", false},
                 {"Exp(Minimum(x,Abs(y)))", false}};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        use(KF_AXIS_J, "x:i1 y:j1", cases[k].formula, "r0");
        plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
        ck_assert_int_eq(plan->terms[0].formula->op, cases[k].by_exp2 ? KF_EXP2 : KF_EXP);
        kp_plan_destroy(&plan);
    }
    /* And where it is not computed for each pair. */
    use(KF_AXIS_J, "x:i1 y:j1", "Exp(x+1)*Sin(x*y)", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_msg(strstr(text_of(plan->outputs[0]), "Exp(") != NULL, "%s", text_of(plan->outputs[0]));
    kp_plan_destroy(&plan);
}
END_TEST

START_TEST(what_depends_on_columns_alone_is_prepared)
{
    use(KF_AXIS_J, "x:i3 y:j3 b:j1 g:p1", "Exp(-SqDist(x,Sin(y)*g))*b", "r0");
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_uint_eq(plan->prepared_count, 1); /* b is read where it is */
    ck_assert_uint_eq(plan->prepared[0].value->axes, KF_AXIS_J);
    ck_assert_int_eq(plan->vars[4].role, KF_ROLE_J);
    ck_assert_int_eq(plan->vars[4].dim, 3);
    kp_plan_destroy(&plan);
    /* Lanes over columns: rows are what is streamed. */
    use(KF_AXIS_J, "x:i3 y:j3", "Exp(-SqDist(Sin(x),Cos(y)))", "r0");
    plan = plan_of(&s.sweep, &caps, KCL_F32, KP_COLUMNS);
    ck_assert_uint_eq(plan->prepared_count, 1);
    ck_assert_uint_eq(plan->prepared[0].value->axes, KF_AXIS_I);
    ck_assert_int_eq(plan->vars[2].role, KF_ROLE_I);
    kp_plan_destroy(&plan);
}
END_TEST

/* Numbers are components of arrays of at most 1,024; vectors have arrays of their own. */
START_TEST(many_prepared_numbers_share_arrays)
{
    static const int counts[] = {16, 17, 1024, 1030, 1100};
    static const size_t arrays[] = {16, 1, 1, 1 + 6, 2};
    kb_str text;
    for (size_t n = 0; n < KB_COUNT(counts); n++) {
        kb_str_init(&text, NULL);
        kb_str_put(&text, "x*Exp(z)");
        for (int k = 0; k < counts[n]; k++)
            kb_str_putf(&text, "+Sin(x*Cos(y+%d))", k);
        use(KF_AXIS_J, "x:i1 y:j1 z:j2", kb_str_text(&text), "r0");
        kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
        ck_assert_uint_eq(plan->prepared_count, (size_t)counts[n] + 1);
        ck_assert_uint_eq(plan->prepared_vars, arrays[n] + 1);
        bool *filled = calloc(plan->var_count * 1024, sizeof *filled);
        for (size_t k = 0; k < plan->prepared_count; k++) {
            const kp_prepared *p = &plan->prepared[k];
            ck_assert_uint_ge(p->var, plan->var_count - plan->prepared_vars);
            for (int c = 0; c < p->value->dim; c++) {
                bool *place = &filled[p->var * 1024 + (size_t)(p->at + c)];
                ck_assert_int_lt(p->at + c, plan->vars[p->var].dim);
                ck_assert(!*place);
                *place = true;
            }
        }
        for (size_t v = plan->var_count - plan->prepared_vars; v < plan->var_count; v++)
            for (int c = 0; c < plan->vars[v].dim; c++)
                ck_assert(filled[v * 1024 + (size_t)c]);
        free(filled);
        kp_plan_destroy(&plan);
        kb_str_finish(&text);
    }
}
END_TEST

/* Their own text, which has a branch each, would take a compiler long. GPUs' are the drivers' anyway. */
START_TEST(many_sines_are_the_drivers)
{
    for (int count = 32; count <= 33; count++) {
        kb_str text;
        kb_str_init(&text, NULL);
        for (int k = 1; k <= count; k++)
            kb_str_putf(&text, "%s%s(x*y+%d)", k > 1 ? "+" : "", k % 3 ? k % 2 ? "Sin" : "Cos" : "Tan", k);
        use(KF_AXIS_J, "x:i1 y:j1", kb_str_text(&text), "r0");
        kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
        ck_assert_int_eq(plan->many_periodic, count > 32);
        kp_plan_destroy(&plan);
        plan = plan_of(&s.sweep, kp_caps_profile("gpu"), KCL_F32, KP_ROWS);
        ck_assert(!plan->many_periodic);
        kp_plan_destroy(&plan);
        kb_str_finish(&text);
    }
}
END_TEST

/* ---- Rewriting changes no value ---------------------------------------------------------------------------------- */

enum { ROWS = 5, COLS = 9, WIDEST = 8 };

static double *numbers(uint64_t *seed, size_t count)
{
    double *x = malloc((count + 1) * sizeof *x);
    for (size_t k = 0; k < count; k++)
        x[k] = ((double)draw(seed, 2000001) - 1000000) * 1e-6;
    return x;
}

static kf_source source_of(const double *x, int dim, kf_role role)
{
    return (kf_source){x, KCL_F64, role == KF_ROLE_P ? 0 : dim * (int64_t)sizeof *x, sizeof *x};
}

static void run_sweep(const kr_sweep *sweep, int64_t rows, int64_t cols, const kf_source *sources, double **out)
{
    kr_sink sinks[64];
    for (size_t k = 0; k < sweep->output_count; k++) {
        out[k] = calloc(KB_MAX(ROWS, COLS) * 64, sizeof **out);
        ck_assert_int_le(sweep->outputs[k]->dim, 64);
        sinks[k] = (kr_sink){out[k], KCL_F64, sweep->outputs[k]->dim * (int64_t)sizeof **out, sizeof **out};
    }
    ck_assert_msg(kr_run_host(sweep, rows, cols, sources, sinks, 1, &err) == KCL_OK, "%s", err.text);
}

/* Runs the plan's rewritten sweep: the prepared values first. */
static void run_plan(kp_plan *plan, const kf_source *given, double *out)
{
    kf_source sources[256];
    double *prepared[256] = {0}, *arrays[256], *outs[MOST] = {0};
    kr_var turned[256];
    const kf_node *formulas[256];
    size_t first = plan->var_count - plan->prepared_vars;
    bool columns = plan->stream_axis == KF_AXIS_J;
    int64_t rows = columns ? COLS : ROWS;
    memcpy(sources, given, first * sizeof *sources);
    ck_assert_uint_le(plan->var_count, 256);
    ck_assert_uint_le(plan->prepared_count, 256);
    for (size_t k = 0; k < plan->var_count; k++) {
        turned[k] = plan->vars[k];
        if (columns && turned[k].role != KF_ROLE_P)
            turned[k].role = turned[k].role == KF_ROLE_I ? KF_ROLE_J : KF_ROLE_I;
    }
    for (size_t k = 0; k < plan->prepared_count; k++)
        formulas[k] = columns ? kf_transpose(&plan->graph, plan->prepared[k].value) : plan->prepared[k].value;
    kr_sweep map = {&plan->graph, 0, first, 0, plan->prepared_count, turned, NULL, formulas, NULL};
    if (plan->prepared_count)
        run_sweep(&map, rows, 1, sources, prepared);
    for (size_t v = first; v < plan->var_count; v++) {
        arrays[v] = calloc((size_t)(rows * plan->vars[v].dim), sizeof(double));
        sources[v] = source_of(arrays[v], plan->vars[v].dim, plan->vars[v].role);
    }
    for (size_t k = 0; k < plan->prepared_count; k++) {
        const kp_prepared *p = &plan->prepared[k];
        for (int64_t i = 0; i < rows; i++)
            memcpy(arrays[p->var] + i * plan->vars[p->var].dim + p->at, prepared[k] + i * p->value->dim,
                   (size_t)p->value->dim * sizeof(double));
        free(prepared[k]);
    }
    kr_sweep all = {&plan->graph, plan->reduced, plan->var_count, plan->term_count, plan->output_count, plan->vars,
                    plan->terms, plan->outputs, NULL};
    run_sweep(&all, ROWS, COLS, sources, outs);
    memcpy(out, outs[0], ROWS * WIDEST * sizeof *out);
    for (size_t v = first; v < plan->var_count; v++)
        free(arrays[v]);
    free(outs[0]);
}

START_TEST(rewriting_changes_no_result)
{
    static const kp_shape shapes[] = {KP_ROWS, KP_COLUMNS, KP_ROWS_BOTH};
    for (uint64_t first = 1; first <= 300; first++) {
        uint64_t seed = first;
        kp_shape shape = shapes[first % 3];
        unsigned reduced = shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J;
        use(reduced, RANDOM_VARIABLES, "", "");
        s.terms[0] = (kr_term){KF_REDUCE_SUM, 0, random_formula(&s, &seed, true)};
        /* Factors that can leave the sum, and a ratio behind it. */
        if (first % 2)
            s.terms[0].formula = kf_binary(&s.g, KF_MULT, s.names[2].value,
                                           kf_binary(&s.g, KF_MULT, s.terms[0].formula, s.names[4].value));
        const kf_node *acc = kf_var(&s.g, 0, s.terms[0].formula->dim, KF_ROLE_ACC);
        s.outputs[0] = first % 5 ? acc : kf_binary(&s.g, KF_DIVIDE, acc, kf_binary(&s.g, KF_ADD, kf_rat(&s.g, 2, 1),
                                                   kf_unary(&s.g, KF_SQUARE, acc)));
        s.sweep.term_count = s.sweep.output_count = 1;
        ck_assert_msg(s.g.error.status == KCL_OK, "seed %llu: %s", (unsigned long long)first, s.g.error.text);
        double *data[6], *want[1], got[ROWS * WIDEST];
        kf_source sources[6];
        for (int v = 0; v < 6; v++) {
            data[v] = numbers(&seed, (size_t)KB_MAX(ROWS, COLS) * 3);
            sources[v] = source_of(data[v], s.vars[v].dim, s.vars[v].role);
        }
        run_sweep(&s.sweep, ROWS, COLS, sources, want);
        kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F64, shape);
        run_plan(plan, sources, got);
        for (int k = 0; k < ROWS * s.outputs[0]->dim; k++)
            ck_assert_msg(fabs(got[k] - want[0][k]) <= 1e-11 * (COLS * ROWS + fabs(want[0][k])),
                          "seed %llu, number %d: %.17g, not %.17g, of %s", (unsigned long long)first, k, got[k],
                          want[0][k], text_of(s.terms[0].formula));
        kp_plan_destroy(&plan);
        free(want[0]);
        for (int v = 0; v < 6; v++)
            free(data[v]);
    }
}
END_TEST

START_TEST(dead_formulas_change_no_plan)
{
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    uint64_t seed = 3;
    sweep_of other;
    sweep_init(&other, NULL, KF_AXIS_J, RANDOM_VARIABLES, "", "");
    for (int k = 0; k < 10; k++)
        random_formula(&other, &seed, true);
    const kf_node *formulas[MOST];
    add_variables(&other, "c:j1"); /* a Gaussian sum behind a graph full of others */
    other.vars[2] = (kr_var){KF_ROLE_J, 1};
    other.vars[3] = (kr_var){KF_ROLE_P, 1};
    other.name_count = 2;
    add_name(&other, "b", 1, kf_var(&other.g, 2, 1, KF_ROLE_J));
    add_name(&other, "g", 1, kf_var(&other.g, 3, 1, KF_ROLE_P));
    read_formulas(&other, gauss_term, formulas);
    other.terms[0] = (kr_term){KF_REDUCE_SUM, 0, formulas[0]};
    other.outputs[0] = kf_var(&other.g, 0, 1, KF_ROLE_ACC);
    other.sweep.var_count = 4;
    other.sweep.term_count = other.sweep.output_count = 1;
    kp_plan *again = plan_of(&other.sweep, &caps, KCL_F32, KP_ROWS);
    ck_assert_int_eq(again->stream, plan->stream);
    ck_assert_uint_eq(again->terms[0].formula->hash, plan->terms[0].formula->hash);
    kp_plan_destroy(&plan);
    kp_plan_destroy(&again);
    sweep_finish(&other);
}
END_TEST

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

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
    ck_assert_int_eq(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS}, NULL, {0}}, &err),
                     KCL_ERROR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "different operators"));
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    failing counter = {0};
    kcl_allocator allocator = failing_allocator(&counter);
    sweep_of own;
    sweep_init(&own, &allocator, KF_AXIS_J, "x:i3 y:j3 b:j1 g:p1",
               "g*Exp(-g*SqDist(Sin(x),Cos(y)))*x*b;Log(b)/x", "r0/r1");
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
    /* The search for distances and the form in which they are expanded. */
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
            status = kp_plan_create(&plan, &(kp_request){&far.sweep, KCL_F32, &caps, {.shape = KP_ROWS, .expand = true}, NULL, {0}}, &err);
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
        /* The slope is no number, or the formula does not follow relatively to its size. */
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-b*SqDist(x,y))", 0},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*Norm2(x-y))", 0},
        {"x:i32 y:j32 b:j1 g:p1", "SqDist(x,y)*Exp(-g*SqDist(x,y))", 0},
        {"x:i32 y:j32 b:j1 g:p1", "Sin(SqDist(x,y))", 0},
        {"x:i32 y:j32 b:j1 g:p1", "SqDist(x,y)*b", 0},
        {"x:i32 y:j32 b:j1 g:p1", "SqDist(x,y)-g", 0},
        {"x:i32 y:j32 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b;Sqrt(SqDist(x,y))", 0},
        /* Other shapes of distance. */
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
        ck_assert_msg(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS, .expand = true}, NULL, {0}}, &err) ==
                          KCL_OK, "%s", err.text);
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
    ck_assert_int_eq(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS, .expand = true}, NULL, {0}}, &err), KCL_OK);
    /* Columns: the difference to the centre, and half its squared norm. */
    ck_assert_uint_eq(plan->prepared_count, 2);
    ck_assert_int_eq(plan->vars[4].dim, 100);
    ck_assert_int_eq(plan->vars[5].dim, 1);
    ck_assert_int_eq(plan->stream, 16); /* one sum a column, as with differences */
    kp_plan_destroy(&plan);
    /* Rows about the centre are kept in private memory: where it is small there are fewer lanes. */
    caps.private_memory = 16 * 4 * 100;
    ck_assert_int_eq(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, &caps, {.shape = KP_ROWS, .expand = true}, NULL, {0}}, &err), KCL_OK);
    ck_assert_int_eq(plan->lanes, 8);
    kp_plan_destroy(&plan);
}
END_TEST

START_TEST(a_plan_describes_itself)
{
    kp_plan *plan = plan_of(&s.sweep, &caps, KCL_F32, KP_ROWS);
    kb_str out;
    kb_str_init(&out, NULL);
    kp_describe(plan, &out);
    ck_assert_ptr_nonnull(strstr(kb_str_text(&out), "shape: rows\ntype: float32\nlanes: 16\n"));
    ck_assert_ptr_nonnull(strstr(kb_str_text(&out), "term 0: Sum of dimension 1\n"));
    kb_str_finish(&out);
    kp_plan_destroy(&plan);
    ck_assert_ptr_nonnull(kp_caps_profile("cpu"));
    ck_assert_ptr_null(kp_caps_profile("abacus"));
}
END_TEST

/* Lists of K-min: memory grows with K, vectors narrow, then there is a reason; columns stay in few parts. */
START_TEST(lists_of_k_values)
{
    static const struct {
        const char *terms;
        kp_shape shape;
        int lanes; /* 0: refused */
    } cases[] = {
        {"ArgKMin10:SqDist(x,y)", KP_ROWS, 16},      {"ArgKMin64:SqDist(x,y)", KP_ROWS_SPLIT, 16},
        {"KMin64:SqDist(x,y)", KP_COLUMNS, 16},      {"ArgKMin4000:SqDist(x,y)", KP_ROWS, 4},
        {"ArgKMin100000:SqDist(x,y)", KP_ROWS, 0},   {"ArgKMin10:SqDist(x,y)", KP_ROWS_BOTH, 16},
    };
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        sweep_of own;
        kp_plan *plan = NULL;
        kb_error err;
        kb_error_clear(&err);
        kp_caps caps = cpu_caps(16, 32);
        sweep_init(&own, NULL, cases[k].shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J, "x:i3 y:j3", cases[k].terms, "r0");
        kp_choice choice = {.schedule = KP_BY_LANES, .shape = cases[k].shape};
        kcl_status status = kp_plan_create(&plan, &(kp_request){.sweep = &own.sweep, .dtype = KCL_F32, .caps = &caps, .choice = choice},
                                           &err);
        if (!cases[k].lanes) {
            ck_assert_int_eq(status, KCL_ERROR_UNSUPPORTED);
            ck_assert_msg(strstr(err.text, "lists of K values") != NULL, "%s", err.text);
        } else {
            ck_assert_msg(status == KCL_OK, "%s", err.text);
            ck_assert_msg(plan->lanes == cases[k].lanes, "%s: %d lanes", cases[k].terms, plan->lanes);
            int64_t list = own.terms[0].param;
            ck_assert_int_eq(kp_state_dim(plan, 0), list * (own.terms[0].reduction == KF_REDUCE_KMIN ? 1 : 3));
            ck_assert(plan->shape != KP_COLUMNS || plan->stream * list <= 64);
            kb_str text;
            char line[32];
            kb_str_init(&text, kf_allocator(&own.g));
            kp_describe(plan, &text);
            snprintf(line, sizeof line, "K: %lld\n", (long long)list);
            ck_assert_ptr_nonnull(strstr(kb_str_text(&text), line));
            kb_str_finish(&text);
        }
        kp_plan_destroy(&plan);
        sweep_finish(&own);
    }
    /* Rows of a GPU whose lists are in registers have no room for blocks of a contraction. */
    use(KF_AXIS_J, "x:i100 y:j100", "ArgKMin10:SqDist(x,y)", "r0");
    kp_choice choice;
    ck_assert_int_eq(kp_choose(&s.sweep, kp_caps_profile("gpu"), KCL_F32, 1 << 16, 1 << 16, NULL, &choice, &err), KCL_OK);
    ck_assert_int_eq(choice.schedule, KP_BY_ROWS);
    use(KF_AXIS_J, "x:i100 y:j100", "ArgMin:SqDist(x,y)", "r0");
    ck_assert_int_eq(kp_choose(&s.sweep, kp_caps_profile("gpu"), KCL_F32, 1 << 16, 1 << 16, NULL, &choice, &err), KCL_OK);
    ck_assert_int_eq(choice.schedule, KP_BY_CONTRACTION);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_shape_follows_from_sizes, a_schedule_can_be_forced, gpus_choose_by_size_and_dimension,
        few_programs_do_for_all_numbers_of_rows,

        a_contraction_that_cannot_be_says_why, plans_fit_small_devices,
        distances_whose_error_is_told_are_expanded,
        expansion_depends_on_the_reduction,
        an_expanded_distance_is_hoisted,
        double_is_refused_where_the_device_has_none,
        steps_fit_the_registers, long_vectors_fit_private_memory_or_are_refused,
        launches_meet_every_row_and_column_once, work_without_pairs_is_launched_once_a_row,
        memory_of_states_stays_small_where_fewer_parts_allow_it, batches_take_the_place_of_parts,
        reduced_batches_are_divided, factors_leave_the_sum,
        the_factor_of_exp2_joins_the_parameter, what_depends_on_columns_alone_is_prepared,
        many_prepared_numbers_share_arrays, many_sines_are_the_drivers,
        rewriting_changes_no_result, dead_formulas_change_no_plan, formulas_of_too_many_operators_are_refused,
        every_allocation_may_fail, a_plan_describes_itself, lists_of_k_values,
    };
    Suite *suite = suite_create("plan");
    TCase *tc = tcase_create("plan");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    for (size_t k = 0; k < KB_COUNT(tests); k++)
        tcase_add_test(tc, tests[k]);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
