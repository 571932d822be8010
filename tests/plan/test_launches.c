/* SPDX-License-Identifier: MIT */
/* Launches: every row and every column once, within the limits of the device, batches as well. */
#include "fixture.h"

/*
 * Some million values are looked at: asserting each of them takes longer than the launches, so a value that fails is all
 * that Check hears of.
 */
#define EXPECT_OR(condition, ...) ((condition) ? (void)0 : (void)(ck_abort_msg(__VA_ARGS__)))
#define EXPECT(condition) EXPECT_OR(condition, "%s", #condition)
#define EXPECT_EQUAL(a, b)                                                                                             \
    EXPECT_OR((int64_t)(a) == (int64_t)(b), "%s is %lld, %s is %lld", #a, (long long)(a), #b, (long long)(b))
#define EXPECT_AT_MOST(a, b) EXPECT_OR((a) <= (b), "%s is %lld, %s is %lld", #a, (long long)(a), #b, (long long)(b))

/* Goes through rows and columns like the loops of cl/lanes.cl. Fails unless every row and every column is met once. */
static void walk(const kp_plan *plan, const kp_launch *l, int64_t rows, int64_t cols)
{
    bool columns = plan->shape == KP_COLUMNS;
    int64_t size = columns ? plan->stream : plan->lanes, blocks = (rows + size - 1) / size, met = 0;
    int64_t items = (int64_t)l->sweep_items[0];
    EXPECT(items >= 1);
    /* Work-item w takes the blocks of rows w, w + items, .... */
    for (int64_t w = 0; w < items && w < blocks; w++) {
        int64_t own = (blocks - 1 - w) / items + 1, last = w + (own - 1) * items;
        met += own * size - (last == blocks - 1 ? blocks * size - rows : 0);
    }
    EXPECT_EQUAL(met, rows);
    int64_t parts = plan->shape == KP_ROWS || plan->shape == KP_ROWS_BOTH ? 1 : (int64_t)l->sweep_items[1];
    int64_t length = parts == 1 && !columns && plan->shape != KP_ROWS_SPLIT ? cols : l->part_length, next = 0;
    for (int64_t p = 0; p < parts; p++) {
        int64_t first = p * length, last = KB_MIN(cols, first + length);
        EXPECT_EQUAL(first, KB_MIN(next, first));
        EXPECT_OR(first == next, "part %lld begins at %lld, the one before ends at %lld", (long long)p,
                  (long long)first, (long long)next);
        EXPECT_OR(last > first || cols == 0, "part %lld of %lld columns is empty", (long long)p, (long long)cols);
        /* Lanes over columns: only the very last vector may be incomplete. */
        EXPECT(!columns || first % plan->lanes == 0);
        /* Lanes over rows: a part consists of tiles of an undivided sum. */
        EXPECT(plan->shape != KP_ROWS_SPLIT || first % plan->tile == 0);
        next = KB_MAX(next, last);
    }
    EXPECT_EQUAL(next, cols);
}

static void check_launch(const kp_plan *plan, const kp_caps *c, int64_t rows, int64_t cols)
{
    kp_launch l;
    kp_launch_for(plan, c, rows, cols, &l);
    walk(plan, &l, rows, cols);
    EXPECT_AT_MOST((int64_t)l.sweep_items[0], c->max_groups);
    EXPECT_AT_MOST((int64_t)l.sweep_items[1], c->max_groups);
    EXPECT_AT_MOST((int64_t)l.finish_items, c->max_groups);
    EXPECT_AT_MOST((int64_t)l.prepare_items[0], c->max_groups);
    EXPECT_AT_MOST((int64_t)l.prepare_items[1], c->max_groups);
    bool partial = plan->shape != KP_ROWS;
    EXPECT_EQUAL(l.finish_items > 0, partial);
    EXPECT_EQUAL(l.prepare_items[plan->shape != KP_COLUMNS] > 0, plan->prepared_count > 0);
    EXPECT_EQUAL(l.prepare_items[plan->shape == KP_COLUMNS], 0);
    int64_t streamed = plan->shape == KP_COLUMNS ? rows : cols;
    EXPECT_EQUAL(l.prepared_elements, (int64_t)plan->prepared_count * streamed);
    /* The memory of states has a place for every part and row, or for every work-item. */
    int64_t parts = plan->shape == KP_ROWS_BOTH ? (int64_t)l.sweep_items[0] : (int64_t)l.sweep_items[1];
    if (partial)
        EXPECT_EQUAL(l.parts, parts);
    EXPECT_EQUAL(l.partial_elements, partial ? l.parts * (plan->shape == KP_ROWS_BOTH ? 1 : rows) : 0);
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

/* Fails unless work-groups are whole, parts are whole tiles or vectors of all columns, and states have places. */
static void check_group_launch(const kp_plan *plan, const kp_caps *c, int64_t rows, int64_t cols)
{
    kp_launch l;
    kp_launch_for(plan, c, rows, cols, &l);
    size_t group = (size_t)plan->group;
    bool contraction = plan->schedule == KP_BY_CONTRACTION, columns = plan->shape == KP_COLUMNS;
    EXPECT(l.sweep_items[0] >= group && l.sweep_items[0] % group == 0 && l.sweep_items[1] >= 1);
    EXPECT(l.prepare_items[0] % group == 0 && l.prepare_items[1] % group == 0);
    EXPECT_EQUAL(l.prepare_items[0] + l.prepare_items[1] > 0, plan->prepared_count > 0);
    EXPECT(l.finish_items % group == 0 && (l.finish_items > 0) == (plan->shape != KP_ROWS));
    if (plan->one_block) { /* kernels have no loop over blocks then */
        const int64_t row_blocks = (rows + plan->lanes - 1) / plan->lanes,
                      col_blocks = (cols + plan->lanes - 1) / plan->lanes;
        EXPECT(!l.finish_items || (int64_t)l.finish_items >= row_blocks);
        EXPECT(!l.prepare_items[0] || (int64_t)l.prepare_items[0] >= row_blocks);
        EXPECT(!l.prepare_items[1] || (int64_t)l.prepare_items[1] >= col_blocks);
        EXPECT_EQUAL(c->max_groups, INT32_MAX);
    }
    EXPECT_AT_MOST((int64_t)(l.sweep_items[0] / group), c->max_groups);
    EXPECT_AT_MOST((int64_t)l.sweep_items[1], c->max_groups);
    /* There is no work-group without rows. */
    int64_t per_item = columns ? plan->stream : plan->lanes;
    int64_t per_group = columns ? per_item : per_item * (contraction ? plan->tile / plan->stream : plan->group);
    int64_t groups = rows / per_group + (rows % per_group != 0);
    if (plan->shape == KP_ROWS_BOTH)
        EXPECT_AT_MOST((int64_t)(l.sweep_items[0] / group), KB_MAX(groups, 1));
    else
        EXPECT_EQUAL((int64_t)(l.sweep_items[0] / group), KB_MAX(1, KB_MIN(groups, c->max_groups)));
    int64_t state = 0;
    for (size_t k = 0; k < plan->term_count; k++)
        state += kp_state_dim(plan, k);
    switch (plan->shape) {
    case KP_ROWS:
        EXPECT(l.sweep_items[1] == 1 && l.partial_elements == 0);
        break;
    case KP_ROWS_BOTH:
        EXPECT_EQUAL(l.parts, (int64_t)(l.sweep_items[0] / group));
        EXPECT_EQUAL(l.partial_elements, l.parts * state);
        break;
    default:
        EXPECT_EQUAL(l.parts, (int64_t)l.sweep_items[1]);
        EXPECT_EQUAL(l.partial_elements, l.parts * rows * state);
        EXPECT_EQUAL(l.part_length % (columns ? plan->lanes : plan->tile), 0);
        EXPECT(l.parts * l.part_length >= cols);
        EXPECT(cols == 0 ? l.parts == 1 : (l.parts - 1) * l.part_length < cols);
    }
}

/* The programs of plans fit GPUs of any size: plans become smaller rather than fail. */
START_TEST(plans_fit_small_devices)
{
    static const struct {
        const char *variables, *term;
    } formulas[] = {
        {"x:i3 y:j3 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b"},     {"x:i3 y:j3 b:j7 g:p1", "Exp(-g*SqDist(x,y))*Sin(b)"},
        {"x:i100 y:j100 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b"}, {"x:i50 y:j50 u:i50 v:j50", "SqDist(x,y)*(u|v)"},
        {"x:i784 y:j784 b:j1 g:p1", "Exp(-g*SqDist(x,y))*b"}, {"x:i5000 y:j5000 b:j1", "SqDist(x,y)*b"},
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
                continue; /* LogSumExp takes numbers only */
            use(choice.shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J, formulas[f].variables, formulas[f].term, "r0");
            s.terms[0].reduction = reduction;
            for (size_t k = 0; k < KB_COUNT(groups) * KB_COUNT(memories); k++) {
                kp_caps c = gpu_caps(groups[k % KB_COUNT(groups)], memories[k / KB_COUNT(groups)]);
                kp_plan *plan;
                ck_assert_msg(kp_plan_create(&plan, &(kp_request){&s.sweep, dtype, &c, choice, NULL, {0}}, &err) ==
                                  KCL_OK,
                              "%s", err.text);
                ck_assert_msg(plan->group >= 1 && plan->group <= c.max_work_group &&
                                  (plan->group & (plan->group - 1)) == 0,
                              "group %d", plan->group);
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

/* Results come after the last of the reduced batches, and the parts hold all batches. */
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
            ck_assert_int_eq(kp_plan_create(&plan, &(kp_request){&s.sweep, KCL_F32, on, c, NULL, batches}, &err),
                             KCL_OK);
            kp_launch_batches(plan, on, z, &l);
            ck_assert_int_eq(l.parts % l.each_parts, 0);
            ck_assert_int_ge(l.each_parts * l.each_length, z->each);
            ck_assert(z->each == 0 || (l.each_parts - 1) * l.each_length < z->each);
            ck_assert_int_le(l.parts, 1024);
            ck_assert_int_eq(l.partial_elements % (l.parts * z->batches), 0);
            /* g differs between the batches, and does not leave the sum. */
            ck_assert_msg(strstr(text_of(plan->outputs[0]), "Var(3") == NULL, "%s", text_of(plan->outputs[0]));
            kp_plan_destroy(&plan);
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        launches_meet_every_row_and_column_once,   plans_fit_small_devices,
        work_without_pairs_is_launched_once_a_row, memory_of_states_stays_small_where_fewer_parts_allow_it,
        batches_take_the_place_of_parts,           reduced_batches_are_divided};
    return run_tests("launches", tests, KB_COUNT(tests));
}
