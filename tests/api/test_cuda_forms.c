/* SPDX-License-Identifier: MIT */
/*
 * The form of long squared distances, decided by the device: on a simulated CUDA driver, or on a real one. Both forms have
 * other bits than the other, and each must be used for the data that it is right for, without a wait of the host.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "on_cuda.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Just enough pairs for the expanded form to be worth looking at the data, and vectors for the contraction schedule. */
enum { M = 1 << 10, N = 1 << 14, D = 48, FORMS = 3 };
enum { AUTO, DIFFERENCES, EXPANDED };

static const char *const forms[FORMS] = {"auto", "differences", "expanded"};
static void *stream;
static kcl_context *c;

#define OK(call) ck_assert_msg((call) == KCL_OK, "%s", kcl_context_error(c))

/* An array of the host, and the device's copy of it. */
typedef struct matrix {
    kcl_dtype dtype;
    int64_t rows;
    int dim;
    size_t bytes;
    void *data;
    cu_pointer there;
    kcl_memory *memory;
    kcl_array array; /* of the device */
} matrix;

static void put(matrix *m, int64_t i, int k, double value)
{
    if (m->dtype == KCL_F32)
        ((float *)m->data)[i * m->dim + k] = (float)value;
    else
        ((double *)m->data)[i * m->dim + k] = value;
}

static double at(const matrix *m, int64_t i, int k)
{
    return m->dtype == KCL_F32 ? (double)((const float *)m->data)[i * m->dim + k]
                               : ((const double *)m->data)[i * m->dim + k];
}

static void send(const matrix *m)
{
    CU(cuMemcpyHtoDAsync_v2(m->there, m->data, m->bytes, stream));
    CU(cuStreamSynchronize(stream));
}

static void matrix_make(matrix *m, kcl_dtype dtype, int64_t rows, int dim)
{
    *m = (matrix){.dtype = dtype, .rows = rows, .dim = dim};
    m->bytes = (size_t)(rows * dim) * (dtype == KCL_F32 ? sizeof(float) : sizeof(double));
    m->data = calloc(1, m->bytes);
    for (int64_t i = 0; i < rows; i++)
        for (int k = 0; k < dim; k++)
            put(m, i, k, uniform(0, 1));
    m->there = cuda_upload(m->data, m->bytes, stream);
    OK(kcl_cuda_memory(c, cuda_pointer(m->there), m->bytes, &m->memory));
    m->array = kcl_array_in(m->memory, 0, dtype, 2, (int64_t[]){rows, dim});
}

static void matrix_free(matrix *m)
{
    kcl_memory_release(&m->memory);
    CU(cuMemFree_v2(m->there));
    free(m->data);
}

/* ---- Points ------------------------------------------------------------------------------------------------------ */

/* Points for which the form of kind_form is right, whatever their place. */
enum { CUBE, FAR_CLUSTERS, FAR_AWAY, A_NAN, SPREAD, AN_INFINITY, KINDS };
static const int kind_form[KINDS] = {EXPANDED, DIFFERENCES, EXPANDED, DIFFERENCES, DIFFERENCES, DIFFERENCES};

static void make_points(matrix *x, matrix *y, int kind)
{
    for (int side = 0; side < 2; side++) {
        matrix *m = side == 0 ? x : y;
        for (int64_t i = 0; i < m->rows; i++) {
            const double middle = kind == FAR_AWAY ? 1024 : kind == FAR_CLUSTERS && i % 2 ? 300 : 0;
            const double extent = kind == SPREAD ? 1000 : 1;
            for (int k = 0; k < m->dim; k++) /* every row has a column near by */
                put(m, i, k,
                    side == 0 || i >= x->rows ? middle + extent * uniform(0, 1) : at(x, i, k) + uniform(0, 0.125));
        }
    }
    if (kind == A_NAN)
        put(x, 75, x->dim - 1, NAN);
    if (kind == AN_INFINITY)
        put(x, 150, 1, INFINITY);
    send(x);
    send(y);
}

/* ---- Operators --------------------------------------------------------------------------------------------------- */

typedef struct computation {
    kcl_operator *op[FORMS];
    size_t arg_count;
    const kcl_array *args[7];
    matrix *out;
} computation;

static void computation_make(computation *s, const char *formula, const char *derive, size_t count,
                             const char *const *names)
{
    for (int form = 0; form < FORMS; form++) {
        kcl_operator *op;
        ck_assert_msg(kcl_operator_create(&op, formula, count, names, &(kcl_operator_params){.form = forms[form]}) ==
                          KCL_OK,
                      "%s", kcl_operator_error(op));
        s->op[form] = op;
        if (!*derive)
            continue;
        ck_assert_int_eq(kcl_operator_grad(&s->op[form], op, derive), KCL_OK);
        kcl_operator_destroy(&op);
    }
}

static void computation_free(computation *s)
{
    for (int form = 0; form < FORMS; form++)
        kcl_operator_destroy(&s->op[form]);
}

/* Calls, without a wait of the host where nothing is compiled; the results of each form in `got`. */
static void call(const computation *s, int form, bool is_first)
{
    const kcl_array *out = &s->out->array;
    const int waits = fake_cuda_found ? fake_cuda_found->waits : 0;
    CU(cuMemsetD32Async(s->out->there, 0xffffffffu, s->out->bytes / 4, stream));
    OK(kcl_operator_apply(s->op[form], c, &out, 1, s->args, s->arg_count));
    if (fake_cuda_found && !is_first)
        ck_assert_int_eq(fake_cuda_found->waits, waits);
    cuda_download(s->out->data, s->out->there, s->out->bytes, stream);
}

/* The form that "auto" took: the results of one form, and not of the other, are the same bit for bit. */
static int taken(const computation *s, bool is_first)
{
    void *copy[2] = {malloc(s->out->bytes), malloc(s->out->bytes)};
    for (int form = DIFFERENCES; form <= EXPANDED; form++) {
        call(s, form, is_first);
        memcpy(copy[form - 1], s->out->data, s->out->bytes);
    }
    call(s, AUTO, is_first);
    const bool same[2] = {memcmp(copy[0], s->out->data, s->out->bytes) == 0,
                          memcmp(copy[1], s->out->data, s->out->bytes) == 0};
    free(copy[0]);
    free(copy[1]);
    ck_assert_msg(same[0] != same[1], "the results are those of differences: %d, of the expanded form: %d", same[0],
                  same[1]);
    return same[0] ? DIFFERENCES : EXPANDED;
}

static void setup(void)
{
    reset_cuda();
    seed_random(test_seed());
    CU(cuStreamCreate(&stream, 1));
    c = open_on(stream, NULL);
    cuda_log[0] = 0;
}

static void teardown(void)
{
    kcl_context_destroy(&c);
    CU(cuStreamSynchronize(stream));
    CU(cuStreamDestroy_v2(stream));
    if (!fake_cuda_found)
        return;
    const size_t live = fake_cuda_found->live_allocations;
    fake_cuda_found->live_allocations = 0;
    ck_assert_uint_eq(live, 0);
    ck_assert_int_eq(fake_cuda_found->overruns, 0);
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

/* x and y of D components, b and one number, on the device; results of `width` numbers a row. */
typedef struct problem {
    matrix x, y, b, g, out;
    computation s;
} problem;

static void problem_make(problem *p, kcl_dtype dtype, int64_t cols, int dim, int width)
{
    matrix_make(&p->x, dtype, M, dim);
    matrix_make(&p->y, dtype, cols, dim);
    matrix_make(&p->b, dtype, cols, 1);
    matrix_make(&p->g, dtype, 1, 1);
    matrix_make(&p->out, dtype, M, width);
    p->s = (computation){.arg_count = 4, .args = {&p->x.array, &p->y.array, &p->b.array, &p->g.array}, .out = &p->out};
}

static void set_g(problem *p, double g)
{
    put(&p->g, 0, 0, g);
    send(&p->g);
}

static void problem_free(problem *p)
{
    computation_free(&p->s);
    matrix_free(&p->x);
    matrix_free(&p->y);
    matrix_free(&p->b);
    matrix_free(&p->g);
    matrix_free(&p->out);
}

static const char *const of_48[] = {"x=Vi(48)", "y=Vj(48)", "b=Vj(1)", "g=Pm(1)"};

static const char *const of_16[] = {"x=Vi(16)", "y=Vj(16)", "b=Vj(1)", "g=Pm(1)"};

/* The sums of some rows against a plain loop. */
static void check_sums(const problem *p, double g, double tolerance, int kind)
{
    for (int64_t i = 0; i < M; i += 75) {
        double want = 0;
        for (int64_t j = 0; j < p->y.rows; j++) {
            double square = 0;
            for (int k = 0; k < p->x.dim; k++)
                square += (at(&p->x, i, k) - at(&p->y, j, k)) * (at(&p->x, i, k) - at(&p->y, j, k));
            want += exp(-g * square) * at(&p->b, j, 0);
        }
        const double got = at(&p->out, i, 0);
        ck_assert_msg(fabs(got - want) <= tolerance * want || (isnan(want) && isnan(got)),
                      "kind %d, row %d: %.9g, not %.9g", kind, (int)i, got, want);
    }
}

/* One operator on data that change from call to call. */
START_TEST(test_the_device_decides_for_each_call)
{
    problem p;
    problem_make(&p, KCL_F32, N, D, 1);
    computation_make(&p.s, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", "", 4, of_48);
    set_g(&p, 0.0625);
    for (int kind = 0; kind < KINDS; kind++) {
        make_points(&p.x, &p.y, kind);
        ck_assert_msg(taken(&p.s, kind == 0) == kind_form[kind], "points of kind %d", kind);
        check_sums(&p, 0.0625, 2e-5, kind);
    }
    /* The slope counts as well, whether the device or the host has it. */
    make_points(&p.x, &p.y, CUBE);
    set_g(&p, 4);
    ck_assert_int_eq(taken(&p.s, false), DIFFERENCES);
    set_g(&p, NAN);
    call(&p.s, AUTO, false);
    ck_assert(isnan(at(&p.out, 3, 0)));
    for (int n = 0; n < 2; n++) {
        const float g = n ? 4 : 0.0625f;
        const kcl_array on_host = kcl_array_of(&g, KCL_F32, 1, (int64_t[]){1});
        p.s.args[3] = &on_host;
        ck_assert_int_eq(taken(&p.s, false), n ? DIFFERENCES : EXPANDED);
        check_sums(&p, (double)g, 2e-5, CUBE);
    }
    problem_free(&p);
}
END_TEST

START_TEST(test_doubles)
{
    problem p;
    problem_make(&p, KCL_F64, N, 16, 1);
    computation_make(&p.s, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", "", 4, of_16);
    set_g(&p, 0.0625);
    static const int kinds[] = {CUBE, FAR_CLUSTERS, AN_INFINITY};
    for (size_t n = 0; n < KB_COUNT(kinds); n++) {
        make_points(&p.x, &p.y, kinds[n]);
        ck_assert_msg(taken(&p.s, n == 0) == kind_form[kinds[n]], "points of kind %d", kinds[n]);
        check_sums(&p, 0.0625, 1e-13, kinds[n]);
    }
    problem_free(&p);
}
END_TEST

/* How often a kernel was launched, as the context told since cuda_log was made empty. */
static int launches_of(const char *kernel)
{
    char line[64];
    int count = 0;
    snprintf(line, sizeof line, "launch %s:", kernel);
    for (const char *at = cuda_log; (at = strstr(at, line)); at++)
        count++;
    return count;
}

/*
 * Log-sum-exp and gradients: sweeps of both forms. The gradient of a log-sum-exp has one sweep more, whose terms are masked
 * and computed by differences.
 */
START_TEST(test_other_reductions_are_decided_too)
{
    static const struct {
        const char *formula, *derive;
        int width;
    } cases[] = {{"LogSumExp_Reduction(-g*SqDist(x,y)+b,0)", "", 1},
                 {"LogSumExp_Reduction(-g*SqDist(x,y)+b,0)", "x", D},
                 {"Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", "x", D}};
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        problem p;
        matrix e;
        problem_make(&p, KCL_F32, N, D, cases[n].width);
        matrix_make(&e, KCL_F32, M, 1);
        computation_make(&p.s, cases[n].formula, cases[n].derive, 4, of_48);
        if (*cases[n].derive)
            p.s.args[p.s.arg_count++] = &e.array;
        set_g(&p, 0.25);
        /* The columns near by count, so that no error of a distance is lost among many. */
        for (int64_t j = M; j < N; j++)
            put(&p.b, j, 0, -50);
        send(&p.b);
        for (int kind = CUBE; kind <= FAR_CLUSTERS; kind++) {
            make_points(&p.x, &p.y, kind);
            ck_assert_int_eq(taken(&p.s, kind == CUBE), kind_form[kind]);
        }
        cuda_log[0] = 0;
        call(&p.s, AUTO, false);
        ck_assert_int_eq(launches_of("squares"), 1);
        ck_assert_int_eq(launches_of("sweep"), n == 1 ? 3 : 2);
        matrix_free(&e);
        problem_free(&p);
    }
}
END_TEST

static void check_description(const kcl_operator *op, const char *want)
{
    static collected text;
    text.length = 0;
    ck_assert_int_eq(kcl_operator_describe(op, c, KCL_F32, M, N, collect, &text), KCL_OK);
    CONTAINS(text.text, want);
}

/* Sums over the rows and over the columns of one matrix: two sweeps, for which the data are looked at once. */
START_TEST(test_sweeps_share_what_was_seen)
{
    static const char *const names[] = {"x=Vi(16)", "y=Vj(16)", "b=Vj(1)", "g=Pm(1)", "a=Vi(1)"};
    problem p;
    matrix a, second;
    problem_make(&p, KCL_F32, N, 16, 1);
    matrix_make(&a, KCL_F32, M, 1);
    matrix_make(&second, KCL_F32, N, 1);
    p.s.args[p.s.arg_count++] = &a.array;
    make_points(&p.x, &p.y, CUBE);
    set_g(&p, 0.25);
    computation_make(&p.s, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0);Sum_Reduction(Exp(-g*SqDist(x,y))*a,1)", "", 5,
                     names);
    const kcl_array *outs[] = {&p.out.array, &second.array};
    cuda_log[0] = 0;
    OK(kcl_operator_apply(p.s.op[AUTO], c, outs, 2, p.s.args, 5));
    ck_assert_int_eq(launches_of("centre"), 1);
    ck_assert_int_eq(launches_of("squares"), 1);
    ck_assert_int_eq(launches_of("sweep"), 4);
    cuda_download(p.out.data, p.out.there, p.out.bytes, stream);
    cuda_download(second.data, second.there, second.bytes, stream);
    check_sums(&p, 0.25, 2e-5, CUBE);
    for (int64_t j = 0; j < N; j += 1001) {
        double want = 0;
        for (int64_t i = 0; i < M; i++) {
            double square = 0;
            for (int k = 0; k < 16; k++)
                square += (at(&p.x, i, k) - at(&p.y, j, k)) * (at(&p.x, i, k) - at(&p.y, j, k));
            want += exp(-0.25 * square) * at(&a, i, 0);
        }
        ck_assert_double_le(fabs(at(&second, j, 0) - want), 2e-5 * want);
    }
    matrix_free(&a);
    matrix_free(&second);
    problem_free(&p);
}
END_TEST

/* max |a - c|^2 + max |b - c|^2 for points of a unit cube and its middle c, about. */
static double size_of(const matrix *a, const matrix *b)
{
    double size = 0;
    for (int side = 0; side < 2; side++) {
        const matrix *m = side ? b : a;
        double most = 0;
        for (int64_t i = 0; i < m->rows; i++) {
            double square = 0;
            for (int k = 0; k < m->dim; k++)
                square += (at(m, i, k) - 0.5) * (at(m, i, k) - 0.5);
            most = fmax(most, square);
        }
        size += most;
    }
    return size;
}

/* The bounds of the distances of a term are added. */
START_TEST(test_two_distances)
{
    static const char *const names[] = {"x=Vi(16)", "y=Vj(16)", "b=Vj(1)", "g=Pm(1)",
                                        "u=Vi(16)", "v=Vj(16)", "h=Pm(1)"};
    problem p;
    matrix u, v, h;
    problem_make(&p, KCL_F32, N, 16, 1);
    matrix_make(&u, KCL_F32, M, 16);
    matrix_make(&v, KCL_F32, N, 16);
    matrix_make(&h, KCL_F32, 1, 1);
    const kcl_array *const more[] = {&u.array, &v.array, &h.array};
    for (int k = 0; k < 3; k++)
        p.s.args[p.s.arg_count++] = more[k];
    make_points(&p.x, &p.y, CUBE);
    computation_make(&p.s, "Sum_Reduction(Exp(-g*SqDist(x,y)-h*SqDist(u,v))*b,0)", "", 7, names);
    static const double bounds[][2] = {{4, 4}, {6, 6}, {8.5, 0.25}, {0.5, 11}};
    for (size_t n = 0; n < KB_COUNT(bounds); n++) {
        const double growth = sqrt(0.09 * 16 + 1.5);
        set_g(&p, bounds[n][0] / (growth * size_of(&p.x, &p.y)));
        put(&h, 0, 0, bounds[n][1] / (growth * size_of(&u, &v)));
        send(&h);
        ck_assert_msg(taken(&p.s, n == 0) == (bounds[n][0] + bounds[n][1] < 10 ? EXPANDED : DIFFERENCES),
                      "bounds of %g and %g", bounds[n][0], bounds[n][1]);
    }
    matrix_free(&u);
    matrix_free(&v);
    matrix_free(&h);
    problem_free(&p);
}
END_TEST

/* Formulas of parameters as factors of the points, computed by the device or known to the host. */
START_TEST(test_factors_of_points)
{
    static const struct {
        const char *formula;
        float g[2]; /* expanded, and by differences */
    } cases[] = {
        {"Sum_Reduction(Exp(-SqDist(x/(g+1),y/(g+1)))*b,0)", {0.25f, -0.9375f}},
        {"Sum_Reduction(Exp(-SqDist(g*x,y/2)/100)*b,0)", {6, 20}},
    };
    problem p;
    problem_make(&p, KCL_F32, N, 16, 1);
    make_points(&p.x, &p.y, CUBE);
    for (size_t n = 0; n < KB_COUNT(cases); n++) {
        computation_make(&p.s, cases[n].formula, "", 4, of_16);
        for (int k = 0; k < 4; k++) {
            const float *g = &cases[n].g[k % 2];
            const kcl_array on_host = kcl_array_of(g, KCL_F32, 1, (int64_t[]){1});
            set_g(&p, (double)*g);
            p.s.args[3] = k < 2 ? &p.g.array : &on_host;
            ck_assert_msg(taken(&p.s, k == 0) == (k % 2 ? DIFFERENCES : EXPANDED), "%s, g %g", cases[n].formula,
                          (double)*g);
        }
        check_description(p.s.op[AUTO], "form: decided on the device");
        check_description(p.s.op[EXPANDED], "form: expanded (asked for)");
        check_description(p.s.op[DIFFERENCES], "form: differences (asked for)");
        computation_free(&p.s);
    }
    /* Errors of a sum of distances are compared with the sum, which nobody computes: differences. */
    p.s.args[3] = &p.g.array;
    computation_make(&p.s, "Sum_Reduction(g*SqDist(x,y),0)", "", 4, of_16);
    call(&p.s, AUTO, true);
    const double of_auto = at(&p.out, 5, 0);
    call(&p.s, DIFFERENCES, true);
    ck_assert_double_eq(at(&p.out, 5, 0), of_auto);
    check_description(p.s.op[AUTO], "form: differences (a sum of distances");
    problem_free(&p);
}
END_TEST

/* A graph decides each time that it is replayed, on what its arrays hold then. */
START_TEST(test_a_graph_decides_when_it_is_replayed)
{
    problem p;
    void *graph, *executable;
    problem_make(&p, KCL_F32, N, D, 1);
    computation_make(&p.s, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", "", 4, of_48);
    set_g(&p, 0.0625);
    make_points(&p.x, &p.y, CUBE);
    ck_assert_int_eq(taken(&p.s, true), EXPANDED);
    const kcl_array *out = &p.out.array;
    CU(cuStreamBeginCapture_v2(stream, 0));
    OK(kcl_operator_apply(p.s.op[AUTO], c, &out, 1, p.s.args, 4));
    CU(cuStreamEndCapture(stream, &graph));
    CU(cuGraphInstantiateWithFlags(&executable, graph, 0));
    float *want = malloc(p.out.bytes);
    static const int kinds[] = {FAR_CLUSTERS, CUBE, A_NAN};
    for (size_t n = 0; n < KB_COUNT(kinds); n++) {
        make_points(&p.x, &p.y, kinds[n]);
        call(&p.s, kind_form[kinds[n]], false);
        memcpy(want, p.out.data, p.out.bytes);
        CU(cuMemsetD32Async(p.out.there, 0xffffffffu, p.out.bytes / 4, stream));
        CU(cuGraphLaunch(executable, stream));
        cuda_download(p.out.data, p.out.there, p.out.bytes, stream);
        ck_assert_mem_eq(p.out.data, want, p.out.bytes);
    }
    free(want);
    CU(cuGraphExecDestroy(executable));
    CU(cuGraphDestroy(graph));
    problem_free(&p);
}
END_TEST

/* Batches are computed by differences, whatever their elements are. */
START_TEST(test_batches_are_not_looked_at)
{
    enum { BATCHES = 2 };
    problem p;
    problem_make(&p, KCL_F32, N, 16, 1);
    computation_make(&p.s, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", "", 4, of_16);
    set_g(&p, 0.0625);
    for (int kind = CUBE; kind <= FAR_CLUSTERS; kind++) {
        make_points(&p.x, &p.y, kind);
        kcl_array x = kcl_array_in(p.x.memory, 0, KCL_F32, 3, (int64_t[]){BATCHES, M / BATCHES, 16});
        kcl_array y = kcl_array_in(p.y.memory, 0, KCL_F32, 3, (int64_t[]){BATCHES, N / BATCHES, 16});
        kcl_array b = kcl_array_in(p.b.memory, 0, KCL_F32, 3, (int64_t[]){BATCHES, N / BATCHES, 1});
        kcl_array out = kcl_array_in(p.out.memory, 0, KCL_F32, 3, (int64_t[]){BATCHES, M / BATCHES, 1});
        const kcl_array *outs = &out, *args[] = {&x, &y, &b, &p.g.array};
        float *want = malloc(p.out.bytes);
        for (int form = 2; form-- > 0;) {
            OK(kcl_operator_apply(p.s.op[form], c, &outs, 1, args, 4));
            cuda_download(p.out.data, p.out.there, p.out.bytes, stream);
            if (form == DIFFERENCES)
                memcpy(want, p.out.data, p.out.bytes);
        }
        ck_assert_mem_eq(p.out.data, want, p.out.bytes);
        free(want);
    }
    problem_free(&p);
}
END_TEST

/* Memory of the device runs out in every allocation in turn: an error, and the next call decides as before. */
START_TEST(test_each_allocation_fails_in_turn)
{
    cuda_pool pool = {.stream = stream};
    problem p;
    int failures = 0;
    kcl_context_destroy(&c);
    const kcl_cuda_params params = {
        .stream = stream, .allocate = pool_allocate, .release = pool_release, .user = &pool};
    ck_assert_int_eq(kcl_cuda_context_create(&c, NULL, &params), KCL_OK);
    problem_make(&p, KCL_F32, N, 16, 1);
    computation_make(&p.s, "Sum_Reduction(Exp(-SqDist(x/(g+1),y/(g+1)))*b,0)", "", 4, of_16);
    set_g(&p, 3);
    make_points(&p.x, &p.y, CUBE);
    ck_assert_int_eq(taken(&p.s, true), EXPANDED);
    const kcl_array *out = &p.out.array;
    for (bool more = true; more;) {
        OK(kcl_context_drop_programs(c)); /* and the memory that waits */
        pool.allocations = 0;
        pool.fail_at = ++failures;
        const kcl_status status = kcl_operator_apply(p.s.op[AUTO], c, &out, 1, p.s.args, 4);
        more = pool.allocations >= pool.fail_at;
        ck_assert_int_eq(status, more ? KCL_ERROR_DEVICE_MEMORY : KCL_OK);
        pool.fail_at = 0;
    }
    ck_assert_int_gt(failures, 4);
    ck_assert_int_eq(taken(&p.s, true), EXPANDED);
    problem_free(&p);
    kcl_context_destroy(&c);
    ck_assert_uint_eq(pool.live, 0);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    setenv("KEOPSCL_CACHE", "off", 1);
    if (!open_cuda())
        return 77;
    announce_seed(argv[0]);
    const test_entry tests[] = {{test_the_device_decides_for_each_call, 0},
                                {test_doubles, 0},
                                {test_other_reductions_are_decided_too, 0},
                                {test_sweeps_share_what_was_seen, 0},
                                {test_two_distances, 0},
                                {test_factors_of_points, 0},
                                {test_a_graph_decides_when_it_is_replayed, 0},
                                {test_batches_are_not_looked_at, 0},
                                {test_each_allocation_fails_in_turn, 0}};
    return run_entries("forms on CUDA", tests, KB_COUNT(tests), setup, teardown);
}
