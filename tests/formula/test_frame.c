/* SPDX-License-Identifier: MIT */
/* Frames of the interpreter: memory of variables, large and tangled formulas, failing memory. */
#include "interp_support.h"
#include "layout.h"

/* ---- Memory of variables ----------------------------------------------------------------------------------------- */

START_TEST(variables_are_read_with_any_type_stride_and_alignment)
{
    enum { ROWS = 140, D = 3, BYTES = 64 * 1024 };
    static const int64_t row_strides[] = {24, 12, 40, 13, 0, -24, -40, -13}, steps[] = {8, 4, 12, 9, 0, -8, -9};
    kf_role role = (kf_role)(_i % 3);
    kcl_dtype dtype = _i / 3 ? KCL_F32 : KCL_F64;
    char *memory = malloc(BYTES);
    const kf_node *f = kf_var(&g, 0, D, role);
    double *got = malloc(ROWS * D * sizeof *got);
    for (size_t r = 0; r < KB_COUNT(row_strides); r++)
        for (size_t s = 0; s < KB_COUNT(steps); s++)
            for (int offset = 0; offset < 2; offset++) {
                kf_source source = {memory + BYTES / 2 + offset, dtype, row_strides[r], steps[s]};
                int64_t rows = role == KF_ROLE_I ? ROWS : 1, cols = role == KF_ROLE_J ? ROWS : 1;
                /* Small whole numbers; memory of elements that overlap has what was written last. */
                for (int pass = 0; pass < 2; pass++) {
                    if (pass)
                        evaluate(1, &f, &source, rows, cols, got);
                    for (int64_t i = 0; i < rows * cols; i++)
                        for (int64_t k = 0; k < D; k++) {
                            char *p = (char *)source.data + i * source.row_stride + k * source.component_stride;
                            float f32 = (float)(i * D + k);
                            double f64 = (double)(i * D + k);
                            if (!pass) {
                                memcpy(p, dtype == KCL_F32 ? (void *)&f32 : (void *)&f64, kb_dtype_size(dtype));
                                continue;
                            }
                            memcpy(&f32, p, sizeof f32);
                            memcpy(&f64, p, sizeof f64);
                            double want = dtype == KCL_F32 ? (double)f32 : f64, have = got[i * D + k];
                            ck_assert_msg(have == want || (isnan(have) && isnan(want)),
                                          "strides %d, %d: %g, not %g at row %d, component %d", (int)source.row_stride,
                                          (int)source.component_stride, have, want, (int)i, (int)k);
                        }
                }
            }
    free(got);
    free(memory);
}
END_TEST

START_TEST(blocks_of_any_size_give_the_same_values)
{
    static const int counts[] = {1, 2, 7, KF_BLOCK - 1, KF_BLOCK, KF_BLOCK + 1, 3 * KF_BLOCK, 383, 397};
    const kf_node *x = variable(KF_ROLE_I, 3, 3, -2, 2), *y = variable(KF_ROLE_J, 3, 400, -2, 2);
    const kf_node *f = kf_unary(&g, KF_SUM, kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, x, y)));
    double got[3 * 400];
    for (size_t n = 0; n < KB_COUNT(counts); n++) {
        evaluate(1, &f, vars.source, 3, counts[n], got);
        for (int64_t i = 0; i < 3; i++)
            for (int64_t j = 0; j < counts[n]; j++) {
                long double want = 0;
                for (int k = 0; k < 3; k++)
                    want +=
                        ((long double)at(x, i, j, k) - at(y, i, j, k)) * ((long double)at(x, i, j, k) - at(y, i, j, k));
                expect_close("SqDist", got[i * counts[n] + j], want, 1e-15, i, j, 0);
            }
    }
}
END_TEST

START_TEST(kept_columns_follow_the_block_the_launch_and_the_data)
{
    const kf_node *x = variable(KF_ROLE_I, 1, 4, 1, 2), *y = variable(KF_ROLE_J, 1, 300, 1, 2);
    const kf_node *p = variable(KF_ROLE_P, 1, 1, 1, 2);
    const kf_node *f = kf_binary(&g, KF_ADD, kf_binary(&g, KF_MULT, y, p), x), *roots[] = {f, y};
    static const int steps[][3] = {
        {0, 0, 100}, {1, 0, 100}, {1, 0, 50},  {2, 7, 50},
        {2, 7, 50},  {3, 0, 128}, {0, 0, 128}, {0, 0, 100}}; /* the last as the first: only the launch is new */
    kf_interp *interp = compiled(2, roots);
    kf_frame *frame = framed(interp);
    for (int pass = 0; pass < 2; pass++) {
        kf_frame_launch(frame, vars.source);
        for (size_t s = 0; s < KB_COUNT(steps); s++) {
            int i = steps[s][0], j = steps[s][1], stride;
            kf_frame_row(frame, i, NULL);
            kf_frame_block(frame, j, steps[s][2]);
            const double *value = kf_frame_value(frame, 0, 0, &stride);
            ck_assert_int_eq(stride, 1);
            for (int c = 0; c < steps[s][2]; c++) {
                ck_assert(value[c] == at(y, 0, j + c, 0) * at(p, 0, 0, 0) + at(x, i, 0, 0));
                ck_assert(kf_frame_value(frame, 1, 0, &stride)[c] == at(y, 0, j + c, 0));
            }
        }
        for (int n = 0; n < 300; n++) /* the next launch sees new data at the same block */
            vars.data[1][n] += 1;
        vars.data[2][0] += 1;
    }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
}
END_TEST

/* ---- Large and tangled formulas ---------------------------------------------------------------------------------- */

/* The simplest evaluator: every node of the graph, in the order of construction, at one pair. */
static void evaluate_all(int64_t i, int64_t j, double **values)
{
    for (size_t n = 0; n < g.count; n++) {
        const kf_node *f = g.nodes[n], *a = f->arg[0], *b = f->arg[1];
        long double sum = 0;
        for (int64_t k = 0; k < f->dim; k++) {
            int64_t component, run;
            int stride, source;
            switch (kf_info(f->op)->op_class) {
            case KF_CLASS_MAP:
                values[n][k] = (double)table_value(f->op, values[a->id][a->dim == 1 ? 0 : k],
                                                   b ? values[b->id][b->dim == 1 ? 0 : k] : 0, 0, f->param[0]);
                break;
            case KF_CLASS_COPY:
                source = kf_copy_source(f, k, &component, &run, &stride);
                values[n][k] = source < 0 ? 0 : values[f->arg[source]->id][component];
                break;
            case KF_CLASS_SUM:
                sum = 0;
                for (int64_t m = 0; m < a->dim / f->dim; m++)
                    sum += values[a->id][k * (a->dim / f->dim) + m];
                values[n][k] = (double)sum;
                break;
            case KF_CLASS_AXIS:
                values[n][k] = values[a->id][k];
                break;
            default:
                values[n][k] = f->op == KF_VAR ? at(f, i, j, k) : f->value;
            }
        }
    }
}

START_TEST(random_graphs_agree_with_the_simplest_evaluator)
{
    enum { NODES = 300, ROOTS = 12, ROWS = 3, COLS = 150, MOST_DIM = 40 };
    seed = (uint64_t)_i + 77;
    const kf_node *pool[NODES + 8];
    int count = 0;
    for (int role = 0; role < 3; role++) {
        pool[count++] = variable((kf_role)role, 1, COLS, -2, 2);
        pool[count++] = variable((kf_role)role, 3, COLS, -2, 2);
    }
    pool[count++] = kf_rat(&g, 2, 3);
    pool[count++] = kf_zero(&g, 2);
    while (count < NODES) {
        const kf_node *args[] = {pool[(int)draw(0, count)], pool[(int)draw(KB_MAX(count - 20, 0), count)]}, *f = NULL;
        int64_t dim = args[0]->dim, start = (int64_t)draw(0, (double)dim);
        switch ((int)draw(0, 13)) {
        case 10:
            f = kf_make(&g, KF_ARRANGE, args, (int64_t[]){2, dim - 1, 2, 0, dim, -1});
            break;
        case 11:
            f = kf_make(&g, KF_PLACE, args, (int64_t[]){1, 1, dim, 2, 2 * dim + 1});
            break;
        case 12:
            f = kf_make(&g, KF_SUMROWS, args, &(int64_t){dim % 2 ? dim : 2});
            f = kf_unary(&g, KF_SIN, f);
            break;
        case 0:
            f = kf_make(&g, KF_CONCAT, args, NULL);
            break;
        case 1:
            f = kf_make(&g, KF_EXTRACT, args, (int64_t[]){start, (int64_t)draw(1, (double)(dim - start + 1))});
            break;
        case 2:
            f = kf_make(&g, KF_EXTRACTT, args, (int64_t[]){start, dim + start + 2});
            break;
        case 3:
            f = kf_unary(&g, KF_SIN, kf_unary(&g, KF_SUM, args[0]));
            break;
        case 4:
            f = kf_like(&g, args[0], args[1]);
            break;
        case 5:
            f = kf_unary(&g, KF_COS, args[1]);
            break;
        default:
            if (dim == args[1]->dim || dim == 1 || args[1]->dim == 1)
                f = kf_unary(&g, KF_SIN, kf_binary(&g, (int)draw(0, 2) ? KF_SUB : KF_MULT, args[0], args[1]));
        }
        if (f && f->dim <= MOST_DIM)
            pool[count++] = f;
    }
    const kf_node *roots[ROOTS + 1];
    for (int k = 0; k < ROOTS; k++)
        roots[k] = pool[(int)draw(0, count)];
    roots[ROOTS] = roots[0]; /* a root may occur twice */
    double **values = malloc(g.count * sizeof *values);
    for (size_t n = 0; n < g.count; n++)
        values[n] = malloc((size_t)g.nodes[n]->dim * sizeof **values);
    kf_interp *interp = compiled(ROOTS + 1, roots);
    kf_frame *frame = framed(interp);
    kf_frame_launch(frame, vars.source);
    for (int64_t j = 0; j < COLS; j += kf_frame_columns(frame))
        for (int64_t i = 0; i < ROWS; i++) {
            int n = (int)KB_MIN(kf_frame_columns(frame), COLS - j), stride;
            kf_frame_row(frame, i, NULL);
            kf_frame_block(frame, j, n);
            for (int c = 0; c < n; c += 13) {
                evaluate_all(i, j + c, values);
                for (int r = 0; r <= ROOTS; r++)
                    for (int64_t k = 0; k < roots[r]->dim; k++) {
                        double got = kf_frame_value(frame, (size_t)r, k, &stride)[c * stride];
                        double want = values[roots[r]->id][k];
                        ck_assert_msg(fabs(got - want) <= 1e-9,
                                      "seed %d, root %d (%s): %.17g, not %.17g at (%d, %d)[%d]", _i, r,
                                      kf_info(roots[r]->op)->name, got, want, (int)i, (int)j + c, (int)k);
                    }
            }
        }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
    for (size_t n = 0; n < g.count; n++)
        free(values[n]);
    free(values);
}
END_TEST

START_TEST(large_formulas_need_little_memory)
{
    enum { DIM = 1000, NODES = 10000 };
    failing counter = {.fail_at = 0};
    kcl_allocator allocator = failing_allocator(&counter);
    kf_graph big;
    kf_graph_init(&big, &allocator);
    const kf_node *y = kf_var(&big, 0, DIM, KF_ROLE_J), *f = y;
    for (int k = 0; k < NODES; k++)
        f = kf_unary(&big, KF_SIN, kf_binary(&big, KF_ADD, f, k % 7 ? f : y));
    ck_assert_ptr_nonnull(f);
    kf_interp *interp = NULL;
    kf_frame *frame = NULL;
    ck_assert_int_eq(kf_interp_create(&interp, &big, 1, &f, &err), KCL_OK);
    atomic_store(&counter.largest, 0);
    ck_assert_int_eq(kf_frame_create(&frame, interp, &err), KCL_OK);
    ck_assert_int_ge(kf_frame_columns(frame), 8);
    ck_assert_int_le(kf_frame_columns(frame), KF_BLOCK);
    ck_assert_int_le(atomic_load(&counter.largest), 1 << 20);
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
    kf_graph_finish(&big);
    ck_assert_int_eq(atomic_load(&counter.blocks), 0);
}
END_TEST

START_TEST(small_formulas_use_whole_blocks)
{
    const kf_node *f = kf_unary(&g, KF_EXP, kf_var(&g, 0, 3, KF_ROLE_J));
    kf_interp *interp = compiled(1, &f);
    kf_frame *frame = framed(interp);
    ck_assert_int_eq(kf_frame_columns(frame), KF_BLOCK);
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
}
END_TEST

START_TEST(every_failing_allocation_is_reported_and_nothing_leaks)
{
    bool done = false;
    failing counter = {.fail_at = 0};
    kcl_allocator allocator = failing_allocator(&counter);
    kf_graph small;
    kf_graph_init(&small, &allocator);
    const kf_node *x = kf_var(&small, 0, 3, KF_ROLE_I), *y = kf_var(&small, 1, 3, KF_ROLE_J);
    const kf_node *f = kf_make(&small, KF_CONCAT, (const kf_node *[]){x, kf_binary(&small, KF_SUB, x, y)}, NULL);
    ck_assert_ptr_nonnull(f);
    long long before = atomic_load(&counter.blocks);
    for (int n = 1; !done; n++) {
        ck_assert_int_lt(n, 100);
        kf_interp *interp = NULL;
        kf_frame *frame = NULL;
        atomic_store(&counter.requests, 0);
        counter.fail_at = n;
        kcl_status status = kf_interp_create(&interp, &small, 1, &f, &err);
        if (status == KCL_OK)
            status = kf_frame_create(&frame, interp, &err);
        ck_assert_int_eq(frame != NULL, status == KCL_OK);
        done = status == KCL_OK;
        ck_assert(done || status == KCL_ERROR_NO_MEMORY);
        ck_assert(!done || n > 8); /* the failures before were real */
        counter.fail_at = 0;
        kf_frame_destroy(&frame);
        kf_interp_destroy(&interp);
        ck_assert_int_eq(atomic_load(&counter.blocks), before);
    }
    kf_graph_finish(&small);
    ck_assert_int_eq(atomic_load(&counter.blocks), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frame");
    TCase *tests = tcase_create("frame");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, variables_are_read_with_any_type_stride_and_alignment, 0, 6);
    tcase_add_test(tests, blocks_of_any_size_give_the_same_values);
    tcase_add_test(tests, kept_columns_follow_the_block_the_launch_and_the_data);
    tcase_add_loop_test(tests, random_graphs_agree_with_the_simplest_evaluator, 0, 40);
    tcase_add_test(tests, large_formulas_need_little_memory);
    tcase_add_test(tests, small_formulas_use_whole_blocks);
    tcase_add_test(tests, every_failing_allocation_is_reported_and_nothing_leaks);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
