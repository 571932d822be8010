/* SPDX-License-Identifier: MIT */
/*
 * Rows chosen by an index, with batch axes.
 */
#include "batches.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- The layer below expressions, where a schedule can be asked for ----------------------------------------------- */

/* An index that is the same for all rows i, of each batch. */
START_TEST(test_repeated_indices)
{
    enum { BATCHES = 3, M = 5, N = 21 };
    static const char *const aliases[] = {"x=Vi(1)", "y=Vj(2)", "p=Pm(2)"};
    static float x[M], y[BATCHES * N * 2], p[] = {0.25f, -0.5f};
    static int64_t out[BATCHES * M];
    for (int k = 0; k < BATCHES * N * 2; k++)
        y[k] = (float)uniform(-1, 1);
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_create(&op, "ArgMin_Reduction(SqDist(y,p),0)", 3, aliases, NULL), KCL_OK);
    const kcl_array *args[] = {kcl_f32(x, M, 1), kcl_f32(y, BATCHES, N, 2), kcl_f32(p, 2)},
                    *to = kcl_i64(out, BATCHES, M);
    ck_assert_msg(kcl_operator_apply(op, device, &to, 1, args, 3) == KCL_OK, "%s", kcl_context_error(device));
    for (int b = 0; b < BATCHES; b++) {
        int best = 0;
        double least = INFINITY;
        for (int j = 0; j < N; j++) {
            double d = pow((double)y[(b * N + j) * 2] - p[0], 2) + pow((double)y[(b * N + j) * 2 + 1] - p[1], 2);
            if (d < least) {
                least = d;
                best = j;
            }
        }
        for (int i = 0; i < M; i++)
            ck_assert_int_eq(out[b * M + i], best);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- Gradients of what is chosen --------------------------------------------------------------------------------- */

/*
 * Gathers and scatters themselves: a table and an index, each with batch axes or without, and whether indices number
 * batches of the table. What the table has and the index lacks, or lacks and the index has, is broadcast, or added up.
 */
START_TEST(test_gathers_and_scatters)
{
    seed_random(test_seed() + 100000 + (uint64_t)_i);
    enum { COLS = 5, K = 2 };
    const bool many = _i == 0; /* rows that choose one column, in all batches: longer segments than a piece */
    const int rows = many ? 9001 : 7;
    const kcl_allocator allocator = kb_allocator(NULL);
    kf_graph g;
    kb_error err;
    kb_error_clear(&err);
    kf_graph_init(&g, &allocator);
    const kcl_dtype dtype = _i % 2 ? KCL_F32 : KCL_F64;
    /* 0: points i, 1: points j, which make the index; 2: the table, of j; 3: a cotangent, of i. */
    static const char roles[] = {'i', 'j', 'j', 'i'};
    operand of[4];
    static const int of_many[] = {1, 0, 2, 3};
    sizes all = many ? (sizes){{2, 3, 1, 1, 1, 1}} : random_sizes(3, false), of_index = no_batches, of_values, of_sums;
    kg_slot slots[4] = {{0}};
    kx_view views[4], out_views[2];
    const kf_node *v[4];
    unsigned batches[4], over = 0;
    for (int k = 0; k < 4; k++) {
        sizes own = no_batches;
        batches[k] = 0;
        for (int b = 0; b < 3; b++)
            own.of[b] = (many ? of_many[k] >> b & 1 : pick(2)) ? all.of[b] : 1;
        of[k] = make(roles[k], k < 2 ? 1 : k == 2 ? 2 : 2 * K, roles[k] == 'i' ? rows : COLS, &own, dtype, 0, pick(8));
        fill(&of[k], -1, 1);
        kf_role role = roles[k] == 'i' ? KF_ROLE_I : KF_ROLE_J;
        ck_assert_int_eq(kx_view_of(&views[k], &of[k].array, role, of[k].dim, KX_STATED, "array", &err), KCL_OK);
        slots[k] = (kg_slot){.dim = of[k].dim, .extent = (int)role + 1, .rows = of[k].rows, .batch = views[k].batch};
        for (int b = 0; b < 3; b++)
            batches[k] |= own.of[b] != 1 ? KF_BATCH_AXIS(b) : 0;
        v[k] = kf_on_batches(&g, kf_var(&g, k, of[k].dim, role), batches[k]);
        if (k < 2)
            of_index = join(of_index, own);
    }
    /* The cotangent has none of the axes that the index numbers. */
    for (int b = 0; b < 3; b++)
        if ((batches[0] | batches[1]) & ~batches[3] & KF_BATCH_AXIS(b) && pick(2))
            over |= KF_BATCH_AXIS(b);
    const sizes terms = of_index;
    of_index = without(of_index, over >> 2);
    const kf_node *square = kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, v[0], v[1]));
    const kf_node *index = kf_reduce(&g, KF_REDUCE_ARGKMIN, KF_AXIS_J | over, K, square);
    const kf_node *roots[] = {kf_gather(&g, v[2], index, KF_ROW), kf_scatter(&g, v[3], index, KF_ROW, v[2])};
    ck_assert_msg(roots[0] && roots[1], "%s", g.error.text);
    of_values = join(of_index, without(of[2].batch, over >> 2));
    of_sums = of[2].batch;
    for (int b = 0; b < 3; b++) /* of what has an axis that no other has, once */
        if (of_sums.of[b] != 1 && of_index.of[b] == 1 && of[3].batch.of[b] == 1 && !(over & KF_BATCH_AXIS(b)))
            of_sums.of[b] = 1;
    operand outs[] = {make('i', 2 * K, rows, &of_values, dtype, 0, 0), make('j', 2, COLS, &of_sums, dtype, 0, 0)};
    for (int k = 0; k < 2; k++) {
        kg_batch batch = {.count = AXES};
        for (int b = 0; b < AXES; b++)
            batch.size[b] = outs[k].batch.of[b];
        ck_assert_int_eq(kx_view_of_result(&out_views[k], &outs[k].array, k ? KF_ROLE_J : KF_ROLE_I, roots[k]->dim,
                                           &batch, "output", &err),
                         KCL_OK);
    }
    kg_program *exec;
    ck_assert_msg(kg_program_create(&exec, &g, 2, roots, 4, slots, &(kg_options){.schedule = ""}, &err) == KCL_OK, "%s",
                  err.text);
    ck_assert_msg(kx_run_program(exec, device, dtype, views, out_views, NULL) == KCL_OK, "%s", kcl_context_error(device));
    kg_program_destroy(&exec);
    /* The same by plain loops over all places of the index and what is broadcast with it. */
    double *sums = calloc((size_t)(count_of(&of_sums) * COLS * 2), sizeof *sums);
    sizes inner = no_batches, outer = join(join(of_index, of_values), of[3].batch);
    for (int b = 0; b < 3; b++)
        inner.of[b] = over & KF_BATCH_AXIS(b) ? terms.of[b] : 1;
    int64_t place[AXES] = {0};
    do {
        for (int i = 0; i < rows; i++) {
            double best[K] = {INFINITY, INFINITY};
            int64_t at[K][AXES + 1] = {{0}}, each[AXES] = {0}, here[AXES + 1];
            do {
                memcpy(here, place, sizeof place);
                for (int b = 0; b < 3; b++)
                    here[b] = over & KF_BATCH_AXIS(b) ? each[b] : place[b];
                for (here[AXES] = 0; here[AXES] < COLS; here[AXES]++) {
                    double d = pow(*exact_at(&of[0], here, i, 0) - *exact_at(&of[1], here, here[AXES], 0), 2);
                    const int q = d < best[0] ? 0 : 1;
                    if (d >= best[1])
                        continue;
                    best[1] = q ? d : best[0];
                    memcpy(at[1], q ? here : at[0], sizeof here);
                    best[0] = q ? best[0] : d;
                    if (!q)
                        memcpy(at[0], here, sizeof here);
                }
            } while (next_place(&inner, each));
            for (int q = 0; q < K; q++) {
                int64_t own[AXES];
                for (int b = 0; b < AXES; b++)
                    own[b] = of_values.of[b] == 1 ? 0 : place[b];
                for (int k = 0; k < 2; k++) {
                    const double want = *exact_at(&of[2], at[q], at[q][AXES], k);
                    const double got = memory_get(&outs[0], own, i, 2 * q + k);
                    ck_assert_msg(got == want, "seed %llu, round %d: gather over %x, row %d: %g, not %g",
                                  (unsigned long long)test_seed(), _i, over >> 2, i, got, want);
                }
            }
            /* A table axis that neither the index nor the cotangent has does not make them more. */
            bool again = false;
            for (int b = 0; b < 3; b++)
                again = again || (place[b] && of_index.of[b] == 1 && of[3].batch.of[b] == 1);
            for (int q = 0; q < K && !again; q++) {
                int64_t to = 0;
                for (int b = AXES - 1; b >= 0; b--)
                    to = to * of_sums.of[b] + (of_sums.of[b] == 1 ? 0 : at[q][b]);
                for (int k = 0; k < 2; k++)
                    sums[(to * COLS + at[q][AXES]) * 2 + k] += *exact_at(&of[3], place, i, 2 * q + k);
            }
        }
    } while (next_place(&outer, place));
    memset(place, 0, sizeof place);
    const double *want = sums;
    do
        for (int j = 0; j < COLS; j++)
            for (int k = 0; k < 2; k++, want++) {
                const double got = memory_get(&outs[1], place, j, k);
                ck_assert_msg(fabs(got - *want) <= (dtype == KCL_F32 ? 1e-5 : 1e-12) * (1 + fabs(*want)),
                              "seed %llu, round %d: scatter over %x, row %d: %g, not %g",
                              (unsigned long long)test_seed(), _i, over >> 2, j, got, *want);
            }
    while (next_place(&of_sums, place));
    free(sums);
    kf_graph_finish(&g);
    for (int k = 0; k < 4; k++)
        drop(&of[k]);
    drop(&outs[0]);
    drop(&outs[1]);
}
END_TEST

int main(int argc, char **argv)
{
    const bool host = begin_batches(argc, argv);
    const test_entry tests[] = {
        {test_gathers_and_scatters, host || long_tests() ? 200 : 3},
        {test_repeated_indices, 0},
    };
    return run_batches("batch gathers", tests, KB_COUNT(tests));
}
