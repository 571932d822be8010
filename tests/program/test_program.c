/* SPDX-License-Identifier: MIT */
/*
 * Programs: which steps formulas become, what the steps read and write, and how long compiling takes as chains of
 * reductions grow.
 */
#include "derive.h"
#include "growth.h"
#include "make.h"
#include "program.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static kf_graph g;
static kb_error err;
static double requested; /* bytes, since setup */
static int64_t blocks;   /* that are not freed */
static int64_t left;     /* allocations that succeed; -1: all do */

static void *reallocate(void *user, void *pointer, size_t size)
{
    (void)user;
    if (!size) {
        blocks -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    if (left == 0)
        return NULL;
    left -= left > 0;
    requested += (double)size;
    blocks += pointer == NULL;
    return realloc(pointer, size);
}

static void setup(void)
{
    requested = 0;
    left = -1;
    kb_error_clear(&err);
    kf_graph_init(&g, &(kcl_allocator){reallocate, NULL});
}

static void teardown(void)
{
    kf_graph_finish(&g);
    ck_assert_int_eq(blocks, 0);
}

/* x: rows of 2 components, y: columns of 2, b: columns of 1, p: one row. */
static const kg_slot slots[] = {{2, 1, {0}, 4, "x"}, {2, 2, {0}, 5, "y"}, {1, 2, {0}, 5, "b"}, {1, 0, {0}, 1, "p"}};

static const kf_node *x(void)
{
    return kf_var(&g, 0, 2, KF_ROLE_I);
}

static const kf_node *y(void)
{
    return kf_var(&g, 1, 2, KF_ROLE_J);
}

static const kf_node *sum_over(unsigned axis, const kf_node *f)
{
    return kf_reduce(&g, KF_REDUCE_SUM, axis, 0, f);
}

/* sum_j exp(-|u - y|^2) y */
static const kf_node *velocity(const kf_node *u)
{
    const kf_node *d = kf_binary(&g, KF_SUB, u, y());
    const kf_node *power = kf_unary(&g, KF_EXP, kf_unary(&g, KF_MINUS, kf_dot(&g, d, d)));
    return sum_over(KF_AXIS_J, kf_binary(&g, KF_MULT, power, y()));
}

static kg_program *compiled(size_t count, const kf_node *const *roots)
{
    kg_program *p;
    ck_assert_msg(g.error.status == KCL_OK, "%s", g.error.text);
    ck_assert_msg(kg_program_create(&p, &g, count, roots, KB_COUNT(slots), slots, &(kg_options){.fast = false}, &err) ==
                      KCL_OK,
                  "%s", err.text);
    return p;
}

/* Every temporary is written by one step, before the steps that read it. */
static void check_order(const kg_program *p)
{
    int *written = calloc(p->temp_count + 1, sizeof *written);
    ck_assert_ptr_nonnull(written);
    for (size_t k = 0; k < p->step_count; k++) {
        const kg_step *step = &p->steps[k];
        for (size_t n = 0; n < step->input_count; n++)
            if (step->inputs[n].is_temp)
                ck_assert_msg(written[step->inputs[n].index] == 1, "step %zu reads what no step has written", k);
        for (size_t n = 0; n < step->output_count; n++)
            if (step->outputs[n].is_temp)
                written[step->outputs[n].index]++;
    }
    for (size_t k = 0; k < p->temp_count; k++)
        ck_assert_int_eq(written[k], 1);
    free(written);
}

/* Plays the program: no step overwrites the place of a temporary that a later step reads. */
static void check_places(const kg_program *p)
{
    uint32_t *holds = calloc(p->place_count + 1, sizeof *holds); /* temporary + 1, by place */
    ck_assert_ptr_nonnull(holds);
    for (size_t k = 0; k < p->step_count; k++) {
        const kg_step *step = &p->steps[k];
        for (size_t n = 0; n < step->input_count; n++)
            if (step->inputs[n].is_temp)
                ck_assert_uint_eq(holds[p->temps[step->inputs[n].index].place], step->inputs[n].index + 1);
        for (size_t n = 0; n < step->output_count; n++) {
            if (!step->outputs[n].is_temp)
                continue;
            const uint32_t temp = step->outputs[n].index, place = p->temps[temp].place;
            ck_assert_uint_lt(place, p->place_count);
            for (size_t m = 0; m < step->input_count; m++)
                ck_assert_msg(!step->inputs[m].is_temp || p->temps[step->inputs[m].index].place != place,
                              "step %zu writes where it reads", k);
            holds[place] = temp + 1;
        }
    }
    free(holds);
}

START_TEST(reductions_of_the_same_pairs_share_a_sweep)
{
    const kf_node *roots[] = {velocity(x()), sum_over(KF_AXIS_J, kf_dot(&g, x(), y())),
                              sum_over(KF_AXIS_I, kf_dot(&g, x(), y()))};
    kg_program *p = compiled(3, roots);
    /* Over j, and over i with the axes exchanged. */
    ck_assert_uint_eq(p->step_count, 2);
    ck_assert_uint_eq(p->steps[0].sweep.term_count, 2);
    ck_assert_uint_eq(p->steps[0].output_count, 2);
    ck_assert_uint_eq(p->steps[1].output_count, 1);
    ck_assert_int_eq(p->steps[1].row_extent, 2);
    ck_assert_uint_eq(p->temp_count, 0);
    kg_program_destroy(&p);
}
END_TEST

START_TEST(a_root_is_an_output_of_the_sweep_that_computes_its_reductions)
{
    const kf_node *root = kf_binary(&g, KF_ADD, x(), velocity(x()));
    kg_program *p = compiled(1, &root);
    ck_assert_uint_eq(p->step_count, 1);
    ck_assert_uint_eq(p->temp_count, 0);
    ck_assert_int_eq(p->roots[0].dim, 2);
    ck_assert_int_eq(p->roots[0].extent, 1);
    kg_program_destroy(&p);
}
END_TEST

/* u + sum_j F(u, y), n steps: each reads the value before, and two places do for any number of them. */
START_TEST(steps_of_a_chain_read_the_step_before)
{
    const int lengths[] = {5, 20, 100};
    for (size_t n = 0; n < KB_COUNT(lengths); n++) {
        const kf_node *u = x();
        for (int k = 0; k < lengths[n]; k++)
            u = kf_binary(&g, KF_ADD, u, velocity(u));
        kg_program *p = compiled(1, &u);
        ck_assert_uint_eq(p->step_count, (size_t)lengths[n]);
        for (size_t k = 0; k < p->step_count; k++)
            ck_assert_uint_le(p->steps[k].input_count, 2);
        ck_assert_uint_eq(p->place_count, 2);
        check_order(p);
        check_places(p);
        kg_program_destroy(&p);
    }
}
END_TEST

START_TEST(temporaries_share_places_and_never_clash)
{
    const kf_node *u = x(), *v = x(), *gradient, *leaf = x(), *one = kf_like(&g, kf_rat(&g, 1, 1), x());
    for (int k = 0; k < 7; k++) {
        u = kf_binary(&g, KF_ADD, u, velocity(kf_binary(&g, KF_ADD, u, v)));
        v = kf_binary(&g, KF_MULT, v, velocity(u));
    }
    const kf_node *sum = kf_dot(&g, u, v);
    ck_assert_int_eq(kf_gradient(&g, sum, one, 1, &leaf, &gradient), KCL_OK);
    const kf_node *roots[] = {sum, gradient};
    kg_program *p = compiled(2, roots);
    check_order(p);
    check_places(p);
    ck_assert_uint_lt(p->place_count, p->temp_count);
    kg_program_destroy(&p);
}
END_TEST

START_TEST(equal_structures_have_equal_keys)
{
    const kf_node *roots[] = {velocity(x()), sum_over(KF_AXIS_J, kf_dot(&g, x(), y()))};
    const kg_options plain = {.fast = false}, fast = {.fast = true}, lanes = {.schedule = "lanes"},
                     expanded = {.form = KG_FORM_EXPANDED};
    kg_slot other[KB_COUNT(slots)];
    memcpy(other, slots, sizeof slots);
    other[0].rows = 9;
    other[0].name = "z";
    const uint64_t key = kg_structure(1, roots, KB_COUNT(slots), slots, &plain);
    ck_assert(kg_structure(1, roots, KB_COUNT(slots), other, &plain) == key);
    ck_assert(kg_structure(1, roots + 1, KB_COUNT(slots), slots, &plain) != key);
    ck_assert(kg_structure(2, roots, KB_COUNT(slots), slots, &plain) != key);
    ck_assert(kg_structure(1, roots, KB_COUNT(slots), slots, &fast) != key);
    ck_assert(kg_structure(1, roots, KB_COUNT(slots), slots, &lanes) != key);
    ck_assert(kg_structure(1, roots, KB_COUNT(slots), slots, &expanded) != key);
    other[1].extent = 1;
    ck_assert(kg_structure(1, roots, KB_COUNT(slots), other, &plain) != key);
    memcpy(other, slots, sizeof slots);
    other[0].batch = (kg_batch){1, {3}};
    ck_assert(kg_structure(1, roots, KB_COUNT(slots), other, &plain) != key);
}
END_TEST

START_TEST(errors_leave_nothing_behind)
{
    kg_program *p = (kg_program *)&g;
    const kf_node *pairs = kf_binary(&g, KF_ADD, x(), y());
    ck_assert_int_eq(kg_program_create(&p, &g, 1, &pairs, KB_COUNT(slots), slots, &(kg_options){.fast = false}, &err),
                     KCL_ERROR_SHAPE);
    ck_assert_ptr_null(p);
    ck_assert_ptr_nonnull(strstr(err.text, "result 0 depends on both i and j"));
    /* x and y stand on axis i, and differ in length. */
    const kf_node *sum = velocity(kf_binary(&g, KF_ADD, x(), kf_var(&g, 1, 2, KF_ROLE_I)));
    ck_assert_int_eq(kg_program_create(&p, &g, 1, &sum, KB_COUNT(slots), slots, &(kg_options){.fast = false}, &err),
                     KCL_ERROR_LENGTH);
    ck_assert_ptr_nonnull(strstr(err.text, "x has 4 rows, y has 5"));
}
END_TEST

START_TEST(each_allocation_may_fail)
{
    const kf_node *u = x(), *gradient, *leaf = x(), *one = kf_like(&g, kf_rat(&g, 1, 1), x());
    for (int k = 0; k < 3; k++)
        u = kf_binary(&g, KF_ADD, u, velocity(u));
    const kf_node *least = kf_reduce(&g, KF_REDUCE_MIN, KF_AXIS_J, 0, kf_dot(&g, u, y()));
    ck_assert_int_eq(kf_gradient(&g, least, one, 1, &leaf, &gradient), KCL_OK);
    const kf_node *roots[] = {least, gradient};
    const int64_t before = blocks;
    kcl_status status = KCL_ERROR_NO_MEMORY;
    int64_t failed = 0;
    for (; status == KCL_ERROR_NO_MEMORY; failed++) {
        kg_program *p;
        left = failed;
        status = kg_program_create(&p, &g, 2, roots, KB_COUNT(slots), slots, &(kg_options){.fast = false}, &err);
        left = -1;
        ck_assert_msg(status == KCL_OK || status == KCL_ERROR_NO_MEMORY, "%s", err.text);
        kg_program_destroy(&p);
        ck_assert_int_eq(blocks, before);
    }
    ck_assert_int_gt(failed, 100);
}
END_TEST

/* ---- Growth ------------------------------------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { ALONE, ADDED, GRADIENT, GRADIENT_ADDED, BOTH_AXES, MANY_ROOTS, KINDS };
static const char *const names[KINDS] = {"reductions",
                                         "reductions that add u",
                                         "gradient of reductions",
                                         "gradient of reductions that add u",
                                         "sums over both axes beside rows",
                                         "roots of one sweep"};

/* Seconds to compile a chain of so many dependent reductions; the bytes that this asked for in *bytes. */
static double seconds_of(int kind, int count, double *bytes)
{
    kf_graph_finish(&g);
    setup();
    const kf_node *u = x(), *leaf = x(), *root;
    const kf_node **roots = calloc((size_t)count + 1, sizeof *roots);
    size_t root_count = 1;
    ck_assert_ptr_nonnull(roots);
    for (int k = 0; k < count && kind != MANY_ROOTS; k++) {
        const kf_node *v = velocity(u);
        u = kind == ADDED || kind == GRADIENT_ADDED || kind == BOTH_AXES ? kf_binary(&g, KF_ADD, u, v) : v;
        if (kind == BOTH_AXES)
            roots[root_count++] = sum_over(KF_AXIS_I | KF_AXIS_J, kf_dot(&g, u, y()));
    }
    root = u;
    if (kind == GRADIENT || kind == GRADIENT_ADDED)
        ck_assert_int_eq(kf_gradient(&g, u, kf_like(&g, kf_rat(&g, 1, 1), x()), 1, &leaf, &root), KCL_OK);
    roots[0] = root;
    for (int k = 0; k < count && kind == MANY_ROOTS; k++)
        roots[k] = sum_over(KF_AXIS_J, kf_dot(&g, kf_binary(&g, KF_MULT, kf_rat(&g, k + 1, 1), x()), y()));
    root_count = kind == MANY_ROOTS ? (size_t)count : root_count;
    requested = 0;
    const double start = cpu_seconds();
    kg_program *p = compiled(root_count, roots);
    const double seconds = cpu_seconds() - start;
    *bytes = requested;
    kg_program_destroy(&p);
    free(roots);
    return seconds;
}

START_TEST(time_and_memory_grow_with_the_number_of_reductions)
{
    enum { COUNT = 1600 };
    const double most = 3; /* other work on the machine uses up the caches */
    double bytes[2];
    growth times = {0};
    double least = seconds_of(_i, COUNT, &bytes[0]);
    growth_add(&times, 0, least);
    while (growth_goes_on(&times, most)) {
        const double whole = seconds_of(_i, 2 * COUNT, &bytes[1]), half = seconds_of(_i, COUNT, &bytes[0]);
        growth_add(&times, whole, half);
        least = KB_MIN(least, half);
    }
    printf("%d %s: %.3g s, twice as many %.2f times (%d runs); %.3g and %.3g MB requested\n", COUNT, names[_i], least,
           growth_median(&times), times.runs, bytes[0] / 1e6, bytes[1] / 1e6);
    ck_assert_double_lt(growth_median(&times), most);
    ck_assert_msg(bytes[1] < 2.05 * bytes[0], "%g bytes, then %g", bytes[0], bytes[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("program");
    TCase *plain = tcase_create("program");
    tcase_set_timeout(plain, 120);
    tcase_add_checked_fixture(plain, setup, teardown);
    tcase_add_test(plain, reductions_of_the_same_pairs_share_a_sweep);
    tcase_add_test(plain, a_root_is_an_output_of_the_sweep_that_computes_its_reductions);
    tcase_add_test(plain, steps_of_a_chain_read_the_step_before);
    tcase_add_test(plain, temporaries_share_places_and_never_clash);
    tcase_add_test(plain, equal_structures_have_equal_keys);
    tcase_add_test(plain, errors_leave_nothing_behind);
    tcase_add_test(plain, each_allocation_may_fail);
    tcase_add_loop_test(plain, time_and_memory_grow_with_the_number_of_reductions, 0, KINDS);
    suite_add_tcase(suite, plain);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
