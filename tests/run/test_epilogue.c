/* SPDX-License-Identifier: MIT */
/*
 * Epilogues: outputs that become alpha * result + beta * output, against plain loops.
 */
#include "sharing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t programs(void)
{
    kcl_context_stats stats;
    OK(kcl_context_get_stats(c, &stats));
    return stats.programs_built + stats.programs_loaded + stats.programs_reused;
}

/* ---- Sums, by plain loops ---------------------------------------------------------------------------------------- */

enum { MOST_OUTPUTS = 4 };

typedef struct problem {
    int m, n, dim, weights, tag; /* components of b; tag of the only output, -1: four outputs of all kinds */
    int output_count;
    kcl_operator *op;
    numbers in[4], out[MOST_OUTPUTS]; /* out[].exact is what an output held before */
    double *want[MOST_OUTPUTS];       /* results without epilogue */
} problem;

static void problem_make(problem *p, const char *schedule)
{
    char text[400], x[16], y[16], b[16];
    snprintf(b, sizeof b, "b=Vj(%d)", p->weights);
    snprintf(x, sizeof x, "x=Vi(%d)", p->dim);
    snprintf(y, sizeof y, "y=Vj(%d)", p->dim);
    if (p->tag < 0)
        snprintf(text, sizeof text,
                 "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0);Sum_Reduction(Exp(-g*SqDist(x,y))*b,1);"
                 "Sum_Reduction(Exp(-g*SqDist(x,y))*b,2);LogSumExp_Reduction(-g*SqDist(x,y)+Log(Sum(b)),0)");
    else
        snprintf(text, sizeof text, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,%d)", p->tag);
    ck_assert_msg(kcl_operator_create(&p->op, text, 4, (const char *const[]){"g=Pm(1)", x, y, b},
                                      &(kcl_operator_params){.schedule = schedule}) == KCL_OK,
                  "%s", kcl_operator_error(p->op));
    p->output_count = p->tag < 0 ? 4 : 1;
}

static int tag_of(const problem *p, int output)
{
    return p->tag >= 0 ? p->tag : output == 3 ? 0 : output;
}

static void problem_fill(problem *p, kcl_dtype dtype, layout how)
{
    const int rows[] = {1, p->m, p->n, p->n}, dims[] = {1, p->dim, p->dim, p->weights};
    for (int k = 0; k < 4; k++) {
        numbers_make(&p->in[k], dtype, rows[k], dims[k], DENSE);
        numbers_fill(&p->in[k], k == 0 ? 0.3 : k == 3 ? 0.5 : -1, 1); /* no cancellation: errors are relative */
    }
    for (int o = 0; o < p->output_count; o++) {
        const int tag = tag_of(p, o), count = tag == 0 ? p->m : tag == 1 ? p->n : 1, dim = o == 3 ? 1 : p->weights;
        numbers_make(&p->out[o], dtype, count, dim, how);
        numbers_fill(&p->out[o], -2, 2);
        p->want[o] = calloc((size_t)(count * dim) + 1, sizeof(double));
    }
    for (int i = 0; i < p->m; i++) {
        for (int j = 0; j < p->n; j++) {
            double d2 = 0;
            for (int k = 0; k < p->dim; k++)
                d2 += pow(*numbers_exact(&p->in[1], i, k) - *numbers_exact(&p->in[2], j, k), 2);
            const double entry = exp(-*numbers_exact(&p->in[0], 0, 0) * d2);
            for (int o = 0; o < p->output_count; o++) {
                const int tag = tag_of(p, o), row = tag == 0 ? i : tag == 1 ? j : 0;
                for (int k = 0; k < p->weights; k++)
                    p->want[o][o == 3 ? row : row * p->weights + k] += entry * *numbers_exact(&p->in[3], j, k);
            }
        }
    }
    for (int i = 0; p->tag < 0 && i < p->m; i++)
        p->want[3][i] = log(p->want[3][i]);
}

/* Through outputs in host memory or, `on_device`, in that of the device. */
static void problem_apply(problem *p, bool on_device, const double *alpha, const double *beta)
{
    const kcl_array *outs[MOST_OUTPUTS], *args[4];
    kcl_array inside[MOST_OUTPUTS];
    for (int k = 0; k < 4; k++)
        args[k] = &p->in[k].array;
    for (int o = 0; o < p->output_count; o++) {
        outs[o] = &p->out[o].array;
        if (!on_device)
            continue;
        /* All of the memory with its gaps, as the host has it. */
        const int64_t elements = (int64_t)(p->out[o].bytes / kb_dtype_size(outs[o]->dtype));
        const kcl_array whole = kcl_array_of(p->out[o].memory, outs[o]->dtype, 1, &elements);
        kcl_array copy;
        OK(kcl_array_upload(c, &whole, &copy));
        inside[o] = *outs[o];
        inside[o].memory = copy.memory;
        inside[o].offset = (char *)outs[o]->data - (char *)p->out[o].memory;
        inside[o].data = NULL;
        outs[o] = &inside[o];
    }
    OK(kcl_operator_apply_scaled(p->op, c, outs, p->output_count, args, 4, alpha, beta));
    for (int o = 0; on_device && o < p->output_count; o++) {
        OK(kcl_array_download(c, &inside[o], &p->out[o].array));
        kcl_array_free(&inside[o]);
    }
}

static void problem_check(const problem *p, const double *alpha, const double *beta, const char *how)
{
    for (int o = 0; o < p->output_count; o++) {
        const numbers *out = &p->out[o];
        const double a = alpha ? alpha[o] : 1, b = beta ? beta[o] : 0;
        const double tolerance = out->array.dtype == KCL_F32 ? 1e-5 : 1e-12;
        for (int i = 0; i < out->rows; i++) {
            for (int k = 0; k < out->dim; k++) {
                const double result = p->want[o][i * out->dim + k], before = b ? b * *numbers_exact(out, i, k) : 0;
                const double want = a * result + before, got = numbers_get(out, i, k);
                const double scale = fabs(a) * (fabs(result) + (o == 3)) + fabs(before);
                if (isinf(want) ? got != want : !(fabs(got - want) <= tolerance * scale))
                    ck_abort_msg("%s, %s, alpha %g, beta %g: output %d at (%d, %d) is %.9g, by plain loops %.9g", how,
                                 kb_dtype_name(out->array.dtype), a, b, o, i, k, got, want);
            }
        }
        numbers_check_gaps(out);
    }
}

static void problem_empty(problem *p)
{
    for (int k = 0; k < 4; k++)
        numbers_free(&p->in[k]);
    for (int o = 0; o < p->output_count; o++) {
        numbers_free(&p->out[o]);
        free(p->want[o]);
    }
}

/* ---- Layouts and places of outputs ------------------------------------------------------------------------------- */

static const double alphas[][4] = {{1, 1, 1, 1}, {-0.5, 2, 0.25, 3}, {0, -1, 1, 0.5}};
static const double betas[][4] = {{1, 1, 1, 1}, {0.5, 0, -3, 1}, {1, -0.25, 0, 0}};
enum { SCALES = KB_COUNT(alphas) };

START_TEST(test_outputs_of_every_layout)
{
    problem p = {.m = 37, .n = 130, .dim = 3, .weights = 2, .tag = -1};
    problem_make(&p, "");
    choose(_i);
    for (int how = 0; how < LAYOUT_COUNT; how++) {
        for (int place = 0; place < 2; place++) {
            for (int set = 0; set < SCALES; set++) {
                problem_fill(&p, long_tests() && set ? KCL_F64 : KCL_F32, (layout)how);
                problem_apply(&p, place, alphas[set], betas[set]);
                problem_check(&p, alphas[set], betas[set], place ? "on the device" : "on the host");
                problem_empty(&p);
            }
        }
    }
    kcl_operator_destroy(&p.op);
}
END_TEST

/* Lists that are missing stand for 1 and 0. */
START_TEST(test_lists_that_are_not_there)
{
    problem p = {.m = 37, .n = 130, .dim = 3, .weights = 2, .tag = -1};
    problem_make(&p, "");
    choose(_i);
    for (int given = 0; given < 4; given++) {
        const double *alpha = given & 1 ? alphas[1] : NULL, *beta = given & 2 ? betas[1] : NULL;
        problem_fill(&p, KCL_F32, DENSE);
        problem_apply(&p, false, alpha, beta);
        problem_check(&p, alpha, beta, "lists");
        problem_empty(&p);
    }
    kcl_operator_destroy(&p.op);
}
END_TEST

/* Other numbers compile nothing; without any the kernel is the one that there always was. */
START_TEST(test_other_numbers_compile_nothing)
{
    problem p = {.m = 37, .n = 130, .dim = 3, .weights = 2, .tag = -1};
    problem_make(&p, "");
    choose(_i);
    uint64_t known[2] = {0, 0};
    for (int round = 0; round < 6; round++) {
        const bool is_plain = round % 2;
        const double alpha[] = {round, 1, -round, 0}, beta[] = {0, round, 1, round % 3 ? 1 : 0};
        problem_fill(&p, KCL_F32, DENSE);
        problem_apply(&p, false, is_plain ? NULL : alpha, is_plain ? NULL : beta);
        problem_check(&p, is_plain ? NULL : alpha, is_plain ? NULL : beta, "rounds");
        problem_empty(&p);
        if (round < 2)
            known[1] = programs();
        else
            ck_assert_uint_eq(programs(), known[1]);
    }
    kcl_operator_destroy(&p.op);
}
END_TEST

/* NaN and infinity in an output are lost where beta is 0, and nowhere else. */
START_TEST(test_nothing_is_read_where_beta_is_zero)
{
    problem p = {.m = 37, .n = 130, .dim = 3, .weights = 2, .tag = -1};
    problem_make(&p, "");
    choose(_i);
    static const double zeros[4] = {0}, ones[4] = {1, 1, 1, 1};
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int how = 0; how < LAYOUT_COUNT; how++) {
        for (int place = 0; place < 2; place++) {
            problem_fill(&p, KCL_F32, (layout)how);
            for (int o = 0; o < 4; o++)
                for (int i = 0; i < p.out[o].rows; i++)
                    for (int k = 0; k < p.out[o].dim; k++)
                        numbers_set(&p.out[o], i, k, bad[(i + k) % 3]);
            problem_apply(&p, place, alphas[1], zeros);
            problem_check(&p, alphas[1], zeros, "bad outputs");
            for (int o = 0; o < 4; o++)
                numbers_set(&p.out[o], 0, 0, NAN);
            problem_apply(&p, place, ones, ones);
            for (int o = 0; o < 4; o++) {
                ck_assert(isnan(numbers_get(&p.out[o], 0, 0)));
                if (p.out[o].rows > 1) {
                    ck_assert(isfinite(numbers_get(&p.out[o], 1, 0)));
                }
            }
            problem_empty(&p);
        }
    }
    kcl_operator_destroy(&p.op);
}
END_TEST

static const double bad_numbers[] = {NAN, INFINITY, -INFINITY};

/*
 * NaN and infinity in a result are lost where alpha is 0, and nowhere else; what an output held is then its own beta
 * fold, to the bit. Of the four outputs 0 and 3 come from one sweep, so that all of its results are lost, or one.
 */
START_TEST(test_nothing_is_added_where_alpha_is_zero)
{
    problem p = {.m = 37, .n = 130, .dim = 3, .weights = 2, .tag = -1};
    problem_make(&p, "");
    choose(_i);
    static const double factors[][4] = {{0, 0, 0, 0}, {0, 1, 1, 1}, {1, 0, 0, 0}, {0, 0, 1, 1}};
    static const double folds[][4] = {{1, 1, 1, 1}, {0, 0, 0, 0}, {0.5, -2, 0.25, 4}};
    for (int how = 0; how < LAYOUT_COUNT; how++) {
        for (int place = 0; place < 2; place++) {
            for (size_t set = 0; set < KB_COUNT(factors) * KB_COUNT(folds); set++) {
                const double *alpha = factors[set % KB_COUNT(factors)], *beta = folds[set / KB_COUNT(factors)];
                problem_fill(&p, set % 2 ? KCL_F32 : KCL_F64, (layout)how);
                for (int i = 0; i < p.m; i++)
                    numbers_set(&p.in[1], i, 0, bad_numbers[i % 3]);
                for (int o = 0; o < 4; o++) {
                    numbers_set(&p.out[o], 0, 0, 3);
                    numbers_set(&p.out[o], p.out[o].rows - 1, p.out[o].dim - 1, -0.0);
                }
                problem_apply(&p, place, alpha, beta);
                for (int o = 0; o < 4; o++) {
                    for (int i = 0; i < p.out[o].rows; i++) {
                        for (int k = 0; k < p.out[o].dim; k++) {
                            const double before = *numbers_exact(&p.out[o], i, k), got = numbers_get(&p.out[o], i, k);
                            const double want = beta[o] == 0 ? 0 : beta[o] * before;
                            if (alpha[o] == 0)
                                ck_assert_msg(got == want && (beta[o] == 0 || signbit(got) == signbit(want)),
                                              "layout %d, set %zu: output %d at (%d, %d) is %g, should be %g", how, set,
                                              o, i, k, got, want);
                            else if (i % 3 == 0 || o == 1 || o == 2) /* each term has NaN, or one of all */
                                ck_assert(isnan(got));
                        }
                    }
                }
                problem_empty(&p);
            }
        }
    }
    kcl_operator_destroy(&p.op);
}
END_TEST

/* In expressions; what the output held and is NaN stays, and a factor that the type rounds to 0 is one. */
START_TEST(test_alpha_zero_in_expressions)
{
    enum { M = 5 };
    float x[M] = {NAN, 1, INFINITY, 2, 3}, y[M] = {1, 2, 3, 4, 5}, sums[M], squares[M];
    static const float before[M] = {3, NAN, -1, 0, 8};
    static const double zeros[] = {0, 1e-60}, ones[] = {1, 1}, others[] = {-1, 1e-60};
    choose(_i);
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *xi = kcl_vi(s, kcl_f32(x, M, 1)), *yj = kcl_vj(s, kcl_f32(y, M, 1));
    kcl_expr *both[] = {kcl_exp(kcl_reduce_sum(kcl_mul(xi, yj), KCL_OVER_J)), kcl_square(xi)};
    const kcl_array *outs[] = {kcl_f32(sums, M), kcl_f32(squares, M)};
    memcpy(sums, before, sizeof before);
    memcpy(squares, before, sizeof before);
    OK(kcl_eval_scaled(2, both, outs, zeros, ones));
    for (int i = 0; i < M; i++) {
        ck_assert_msg(isnan(before[i]) ? isnan(sums[i]) && isnan(squares[i])
                                       : sums[i] == before[i] && squares[i] == before[i],
                      "row %d: %g and %g, should be %g", i, (double)sums[i], (double)squares[i], (double)before[i]);
    }
    OK(kcl_eval_scaled(2, both, outs, zeros, others));
    for (int i = 0; i < M; i++) {
        ck_assert(isnan(before[i]) ? isnan(sums[i]) : sums[i] == -before[i]);
        ck_assert(squares[i] == 0);
    }
    OK(kcl_eval_scaled(2, both, outs, zeros, NULL));
    for (int i = 0; i < M; i++)
        ck_assert(sums[i] == 0 && squares[i] == 0);
    /* What is wrong with the arrays is told all the same. */
    const kcl_array *const narrow[] = {kcl_f32(sums, M - 1), outs[1]};
    ck_assert_int_eq(kcl_eval_scaled(2, both, narrow, zeros, ones), KCL_ERROR_LENGTH);
    CONTAINS(kcl_context_error(c), "output 0", "4", "5");
    kcl_scope_destroy(&s);
}
END_TEST

/* More pairs than could be gone through: they are left out. */
START_TEST(test_no_pair_is_looked_at_where_alpha_is_zero)
{
    enum { M = 3 };
    double x[M] = {1, 2, 3}, y = 1, rows[M] = {3, 4, 5}, all = 7, batches[M] = {3, 4, 5};
    const kcl_array many = {.data = &y, .dtype = KCL_F64, .ndim = 2, .shape = {INT64_C(1) << 40, 1}, .stride = {0, 8}};
    static const double zero = 0, twice = 2;
    choose(_i);
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *f = kcl_mul(kcl_vi(s, kcl_f64(x, M, 1)), kcl_vj(s, &many));
    /* Batches of two, which are reduced too. */
    const kcl_array pair = {.data = &y, .dtype = KCL_F64, .ndim = 3, .shape = {2, 1, 1}, .stride = {0, 8, 8}};
    kcl_expr *const of_batches = kcl_reduce_sum(kcl_mul(f, kcl_pm(s, &pair)), KCL_OVER_J);
    kcl_expr *const sums[] = {kcl_reduce_sum(f, KCL_OVER_J), kcl_reduce_sum(f, KCL_OVER_BOTH),
                              kcl_reduce_sum_batch(of_batches, 0)};
    const kcl_array *const outs[] = {kcl_f64(rows, M), kcl_f64(&all, 1), kcl_f64(batches, M)};
    for (int k = 0; k < 3; k++)
        OK(kcl_eval_scaled(1, &sums[k], &outs[k], &zero, &twice));
    for (int i = 0; i < M; i++)
        ck_assert(rows[i] == 2 * (3 + i) && batches[i] == 2 * (3 + i));
    ck_assert_double_eq(all, 14);
    kcl_scope_destroy(&s);
}
END_TEST

/* ---- Schedules and sizes ----------------------------------------------------------------------------------------- */

START_TEST(test_every_schedule)
{
    enum { LANES, ROWS, CONTRACTION, SPLIT, COLUMNS, SCHEDULES };
    static const char *const schedules[] = {"lanes", "rows", "contraction", "split", "columns"};
    static const int pairs[][2] = {{17, 129}, {5, 2100}, {1, 1}, {130, 257}, {0, 2}, {3, 0}};
    choose(_i);
    for (int n = 0; n < SCHEDULES; n++) {
        for (int tag = 0; tag < 3; tag++) {
            const bool refused = tag == 2 && (n == CONTRACTION || n == COLUMNS);
            if (refused || (!long_tests() && tag != n % 2 && !(n == LANES && tag == 2)))
                continue;
            problem p = {.dim = 17, .weights = n == CONTRACTION ? 1 : 2, .tag = tag};
            problem_make(&p, schedules[n]);
            for (size_t k = long_tests() ? 0 : (size_t)n % 2; k < KB_COUNT(pairs); k += long_tests() ? 1 : 2) {
                const double *alpha = alphas[k % SCALES], *beta = betas[k % SCALES];
                p.m = pairs[k][tag == 1];
                p.n = pairs[k][tag != 1];
                problem_fill(&p, n % 2 ? KCL_F64 : KCL_F32, ROWS_APART);
                problem_apply(&p, k / 2 % 2, alpha, beta);
                problem_check(&p, alpha, beta, schedules[n]);
                problem_empty(&p);
            }
            kcl_operator_destroy(&p.op);
        }
    }
}
END_TEST

/* ---- Expressions ------------------------------------------------------------------------------------------------- */

/* What a step leaves for later ones is not scaled, its outputs are; formulas of rows alone are too. */
START_TEST(test_results_that_are_used_further)
{
    enum { M = 33 };
    double x[M], y[M], u[M], v[M], w[M], before[3][M];
    static const double alpha[] = {2, -1, 0.5}, beta[] = {1, 3, -2};
    choose(_i);
    kcl_scope *s = kcl_scope_create(c);
    for (int i = 0; i < M; i++) {
        x[i] = uniform(-1, 1);
        y[i] = uniform(-1, 1);
        before[0][i] = u[i] = uniform(-1, 1);
        before[1][i] = v[i] = uniform(-1, 1);
        before[2][i] = w[i] = uniform(-1, 1);
    }
    kcl_expr *xi = kcl_vi(s, kcl_f64(x, M, 1)), *yj = kcl_vj(s, kcl_f64(y, M, 1));
    kcl_expr *a = kcl_reduce_sum(kcl_mul(xi, kcl_square(yj)), KCL_OVER_J);
    kcl_expr *b = kcl_reduce_sum(kcl_mul(kcl_transpose(a), kcl_sub(xi, yj)), KCL_OVER_J);
    OK(kcl_eval_scaled(3, (kcl_expr *[]){a, b, kcl_square(xi)},
                       (const kcl_array *[]){kcl_f64(u, M), kcl_f64(v, M), kcl_f64(w, M)}, alpha, beta));
    double want[2][M] = {{0}};
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < M; i++)
            for (int j = 0; j < M; j++)
                want[pass][i] += pass ? want[0][j] * (x[i] - y[j]) : x[i] * y[j] * y[j];
    for (int i = 0; i < M; i++) {
        ck_assert_double_eq_tol(u[i], alpha[0] * want[0][i] + beta[0] * before[0][i], 1e-11);
        ck_assert_double_eq_tol(v[i], alpha[1] * want[1][i] + beta[1] * before[1][i], 1e-10);
        ck_assert_double_eq_tol(w[i], alpha[2] * x[i] * x[i] + beta[2] * before[2][i], 1e-13);
    }
    kcl_scope_destroy(&s);
}
END_TEST

/* Gradients of parts of the columns, added up in place, are the gradient of all. */
START_TEST(test_gradients_are_added_up)
{
    enum { M = 41, N = 90, PARTS = 3 };
    float x[M * 3], y[N * 3], b[N], gradient[M * 3], g = 0.7f, by_g;
    choose(_i);
    for (int k = 0; k < M * 3; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < N * 3; k++)
        y[k] = (float)uniform(-1, 1);
    for (int j = 0; j < N; j++)
        b[j] = (float)uniform(-1, 1);
    memset(gradient, 0xff, sizeof gradient); /* NaN */
    by_g = NAN;
    kcl_scope *s = kcl_scope_create(c);
    uint64_t known = 0;
    for (int part = 0; part < PARTS; part++) {
        const int from = part * N / PARTS, count = N / PARTS;
        kcl_expr *xi = kcl_vi(s, kcl_f32(x, M, 3)), *yj = kcl_vj(s, kcl_f32(y + 3 * from, count, 3));
        kcl_expr *bj = kcl_vj(s, kcl_f32(b + from, count, 1)), *p = kcl_pm(s, kcl_f32(&g, 1));
        kcl_expr *K = kcl_exp(kcl_neg(kcl_mul(p, kcl_sqdist(xi, yj))));
        kcl_expr *loss = kcl_reduce_sum(kcl_reduce_sum(kcl_mul(K, bj), KCL_OVER_J), KCL_OVER_I);
        const double beta[] = {part > 0, part > 0};
        OK(kcl_eval_scaled(2, (kcl_expr *[]){kcl_grad(loss, xi), kcl_grad(loss, p)},
                           (const kcl_array *[]){kcl_f32(gradient, M, 3), kcl_f32(&by_g, 1)}, NULL, beta));
        if (part == 0)
            known = programs();
        ck_assert_uint_eq(programs(), known);
        kcl_scope_reset(s);
    }
    double want_g = 0, scale_g = 0;
    for (int i = 0; i < M; i++) {
        double want[3] = {0}, scale[3] = {0};
        for (int j = 0; j < N; j++) {
            double d2 = 0;
            for (int k = 0; k < 3; k++)
                d2 += pow((double)x[3 * i + k] - (double)y[3 * j + k], 2);
            const double entry = exp(-(double)g * d2) * (double)b[j];
            want_g -= d2 * entry;
            scale_g += fabs(d2 * entry);
            for (int k = 0; k < 3; k++) {
                const double term = -2 * (double)g * ((double)x[3 * i + k] - (double)y[3 * j + k]) * entry;
                want[k] += term;
                scale[k] += fabs(term);
            }
        }
        for (int k = 0; k < 3; k++)
            ck_assert_double_eq_tol((double)gradient[3 * i + k], want[k], 1e-5 * scale[k]);
    }
    ck_assert_double_eq_tol((double)by_g, want_g, 1e-5 * scale_g);
    kcl_scope_destroy(&s);
}
END_TEST

/* Batches with results of their own, whose axes lie in any order in memory, and batches that are reduced. */
START_TEST(test_batches)
{
    enum { A = 3, B = 2, M = 5, N = 37 };
    static const double alpha[] = {-2, 1, 0.5}, beta[] = {0.5, 1, -1};
    double x[A][M][2], y[B][N][2], rows[M][B][A], cols[A][B][N], both[B];
    double rows_before[M][B][A], cols_before[A][B][N], both_before[B];
    choose(_i);
    for (int k = 0; k < A * M * 2; k++)
        (&x[0][0][0])[k] = uniform(-1, 1);
    for (int k = 0; k < B * N * 2; k++)
        (&y[0][0][0])[k] = uniform(-1, 1);
    for (int k = 0; k < M * B * A; k++)
        (&rows[0][0][0])[k] = uniform(-9, 9);
    for (int k = 0; k < A * B * N; k++)
        (&cols[0][0][0])[k] = uniform(-9, 9);
    for (int k = 0; k < B; k++)
        both[k] = uniform(-9, 9);
    memcpy(rows_before, rows, sizeof rows);
    memcpy(cols_before, cols, sizeof cols);
    memcpy(both_before, both, sizeof both);
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *xi = kcl_vi(s, kcl_f64(&x[0][0][0], A, 1, M, 2)), *yj = kcl_vj(s, kcl_f64(&y[0][0][0], 1, B, N, 2));
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(xi, yj)));
    const kcl_array turned = {.data = rows,
                              .dtype = KCL_F64,
                              .ndim = 3,
                              .shape = {A, B, M},
                              .stride = {sizeof(double), A * sizeof(double), A * B * sizeof(double)}};
    /* Axis -1 is the last batch axis, B; that of A is reduced. */
    kcl_expr *sums[] = {kcl_reduce_sum(K, KCL_OVER_J), kcl_reduce_sum(K, KCL_OVER_I),
                        kcl_reduce_sum_batch(kcl_reduce_sum(kcl_reduce_sum(K, KCL_OVER_J), KCL_OVER_I), 0)};
    OK(kcl_eval_scaled(3, sums, (const kcl_array *[]){&turned, kcl_f64(&cols[0][0][0], A, B, N), kcl_f64(both, B)},
                       alpha, beta));
    double want_rows[M][B][A] = {{{0}}}, want_cols[A][B][N] = {{{0}}}, want_both[B] = {0};
    for (int a = 0; a < A; a++) {
        for (int b = 0; b < B; b++) {
            for (int i = 0; i < M; i++) {
                for (int j = 0; j < N; j++) {
                    const double entry = exp(-pow(x[a][i][0] - y[b][j][0], 2) - pow(x[a][i][1] - y[b][j][1], 2));
                    want_rows[i][b][a] += entry;
                    want_cols[a][b][j] += entry;
                    want_both[b] += entry;
                }
            }
        }
    }
    for (int k = 0; k < M * B * A; k++)
        ck_assert_double_eq_tol((&rows[0][0][0])[k],
                                alpha[0] * (&want_rows[0][0][0])[k] + beta[0] * (&rows_before[0][0][0])[k], 1e-11);
    for (int k = 0; k < A * B * N; k++)
        ck_assert_double_eq_tol((&cols[0][0][0])[k],
                                alpha[1] * (&want_cols[0][0][0])[k] + beta[1] * (&cols_before[0][0][0])[k], 1e-11);
    for (int b = 0; b < B; b++)
        ck_assert_double_eq_tol(both[b], alpha[2] * want_both[b] + beta[2] * both_before[b], 1e-10);
    kcl_scope_destroy(&s);
}
END_TEST

/* ---- What has no epilogue ---------------------------------------------------------------------------------------- */

START_TEST(test_indices_are_not_scaled)
{
    enum { M = 4, N = 9 };
    float x[M] = {0, 1, 2, 3}, y[N] = {5, 4, 3.25f, 2, 1, 0, -1, -2, -3}, smallest[M] = {1, 2, 3, 4};
    int64_t at[M] = {7, 7, 7, 7};
    static const int64_t nearest[M] = {5, 4, 3, 2};
    choose(_i);
    kcl_scope *s = kcl_scope_create(c);
    kcl_expr *d = kcl_sqdist(kcl_vi(s, kcl_f32(x, M, 1)), kcl_vj(s, kcl_f32(y, N, 1)));
    kcl_expr *pair[2];
    pair[0] = kcl_reduce_min_argmin(d, KCL_OVER_J, &pair[1]);
    const kcl_array *outs[] = {kcl_f32(smallest, M), kcl_i64(at, M)};
    ck_assert_int_eq(kcl_eval_scaled(2, pair, outs, (double[]){1, 2}, NULL), KCL_ERROR_TYPE);
    CONTAINS(kcl_context_error(c), "output 1 is an index", "alpha is 2");
    ck_assert_int_eq(kcl_eval_scaled(2, pair, outs, NULL, (double[]){1, 1}), KCL_ERROR_TYPE);
    CONTAINS(kcl_context_error(c), "output 1 is an index", "beta 1");
    for (int i = 0; i < M; i++)
        ck_assert_int_eq(at[i], 7);
    /* The values beside them are. */
    OK(kcl_eval_scaled(2, pair, outs, (double[]){-2, 1}, (double[]){10, 0}));
    for (int i = 0; i < M; i++) {
        ck_assert_int_eq(at[i], nearest[i]);
        ck_assert_double_eq((double)smallest[i], 10 * (i + 1) - (i == 3 ? 2 * 0.0625 : 0));
    }
    kcl_operator *op;
    const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)"};
    ck_assert_int_eq(kcl_operator_create(&op, "ArgMin_Reduction(SqDist(x,y),0)", 2, aliases, NULL), KCL_OK);
    ck_assert_int_eq(kcl_operator_apply_scaled(op, c, outs + 1, 1,
                                               (const kcl_array *[]){kcl_f32(x, M, 1), kcl_f32(y, N, 1)}, 2, NULL,
                                               (double[]){0.5}),
                     KCL_ERROR_TYPE);
    CONTAINS(kcl_context_error(c), "output 0 is an index");
    kcl_operator_destroy(&op);
    kcl_scope_destroy(&s);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const int rounds = begin_sharing(argv[0]);
    const test_entry tests[] = {
        {test_outputs_of_every_layout, rounds},
        {test_lists_that_are_not_there, rounds},
        {test_other_numbers_compile_nothing, rounds},
        {test_nothing_is_read_where_beta_is_zero, rounds},
        {test_nothing_is_added_where_alpha_is_zero, rounds},
        {test_alpha_zero_in_expressions, rounds},
        {test_no_pair_is_looked_at_where_alpha_is_zero, rounds},
        {test_every_schedule, rounds},
        {test_results_that_are_used_further, rounds},
        {test_gradients_are_added_up, rounds},
        {test_batches, rounds},
        {test_indices_are_not_scaled, rounds},
    };
    return run_sharing("epilogues", tests, KB_COUNT(tests));
}
