/* SPDX-License-Identifier: MIT */
/*
 * States of the reductions on this machine's OpenCL CPU, in every shape, against the interpreter: widths of vectors,
 * tails, parts, infinities, NaN, ties, and terms of any growth. Exits with 77 (skipped) where there is none. Kernels
 * take a while to build: a fixed core and a seeded sample are tested; with KEOPSCL_LONG_TESTS=1 the full product.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "device.h"
#include "render.h"
#include "sweeps.h"

#include <math.h>

static kcl_context *context;

/* ---- Sweeps ------------------------------------------------------------------------------------------------------ */

enum { VARS = 5, DIM = 2, MOST_DIM = 33 }; /* x:iD y:jD b:j1 c:j1 g:p1 */

/* Terms by letter. All values are multiples of 1/4 that a float holds, so that both sides see the same ties. */
static const struct {
    char letter;
    const char *term;
    const char *output; /* of its results r and n */
    double error;       /* in units of the last digit, of `scale` */
    enum { OF_ALL, OF_ONE, OF_RESULT, OF_TERMS } scale;
} kinds[] = {
    {'S', "Exp(-SqDist(x,y))*c", "r", 12, OF_ALL},
    {'L', "LogSumExp:b-SqDist(x,y)", "r", 8, OF_RESULT},
    {'M', "LogSumExp:-g*SqDist(x,y)", "r", 8, OF_RESULT},
    {'J', "LogSumExp:Like(b,x)", "r", 8, OF_RESULT},
    {'U', "LogSumExp:b-Square(x-y)", "r", 8, OF_RESULT},
    {'A', "ArgMin:SqDist(x,y)+b", "1*n", 0, OF_ONE},
    {'V', "ArgMin:Square(x-y)+b", "n", 0, OF_ONE},
    {'P', "ArgMin:Elem(x,0)*Elem(y,1)", "1*n", 0, OF_ONE},
    {'N', "ArgMin:SqDist(x,y)+b", "n", 0, OF_ONE},
    {'B', "ArgMin:SqDist(x,y)+b", "r", 1, OF_TERMS},
    {'m', "Min:Square(x-y)+b", "r", 1, OF_TERMS},
    {'k', "KMin3:Square(x-y)+b", "r", 1, OF_TERMS},
    {'K', "MeanKMin3:Square(x-y)+b", "r", 3, OF_TERMS},
    {'q', "ArgKMin5:SqDist(x,y)+b", "n", 0, OF_ONE},
    {'Q', "ArgKMin20:SqDist(x,y)+b", "1*n", 0, OF_ONE},
    {'v', "ArgKMin20:SqDist(x,y)+b", "r", 1, OF_TERMS},
    {'z', "ArgKMin3:Square(x-y)+b", "n", 0, OF_ONE},
    {'W', "ExpSums:Concat(b-SqDist(x,y),x+Concat(c,Elem(y,0)))", "Extract(r,2,2)/Elem(r,1)", 24, OF_TERMS},
    {'w', "ExpSums:Concat(b-SqDist(x,y),1+Square(c))", "Elem(r,0)+Log(Elem(r,2))", 8, OF_RESULT},
};

static size_t kind_of(char letter)
{
    size_t k = 0;
    while (kinds[k].letter != letter)
        k++;
    return k;
}

typedef struct subject {
    const char *terms; /* letters */
    kp_shape shape;
    kcl_dtype dtype;
    int lanes, stream; /* 0: as the plan has it */
    kp_schedule schedule;
    int group, states; /* of GPUs; 0: GROUP, STATES */
    size_t local;      /* bytes of local memory of a GPU; 0: that of the profile */
    int dim;           /* of x and y; 0: DIM */
} subject;

enum { GROUP = 16, STATES = 4 };

static int dim_of(const subject *s)
{
    return s->dim ? s->dim : DIM;
}

static const char *describe(const subject *s)
{
    static char text[256];
    snprintf(text, sizeof text,
             "%s, schedule %d, shape %d, %s, %d lanes, %d a step, groups of %d, %d states, %zu bytes of local memory, "
             "dimension %d",
             s->terms, (int)s->schedule, (int)s->shape, kb_dtype_name(s->dtype), s->lanes, s->stream, s->group,
             s->states, s->local, dim_of(s));
    return text;
}

static void fill(sweep_of *s, const subject *of)
{
    char terms[512] = "", outputs[256] = "", variables[64];
    memset(s, 0, sizeof *s);
    ck_assert_int_eq(kf_graph_init(&s->g, NULL), KCL_OK);
    for (size_t k = 0; of->terms[k]; k++) {
        size_t m = kind_of(of->terms[k]);
        snprintf(terms + strlen(terms), sizeof terms - strlen(terms), "%s%s", k ? ";" : "", kinds[m].term);
        strcat(outputs, k ? ";" : "");
        for (const char *c = kinds[m].output; *c; c++) {
            bool result = (*c == 'r' && c[1] != 'a') || *c == 'n';
            snprintf(outputs + strlen(outputs), sizeof outputs - strlen(outputs), result ? "%c%d" : "%c", *c, (int)k);
        }
    }
    snprintf(variables, sizeof variables, "x:i%d y:j%d b:j1 c:j1 g:p1", dim_of(of), dim_of(of));
    sweep_fill(s, of->shape == KP_ROWS_BOTH ? BOTH_AXES : KF_AXIS_J, variables, terms, outputs);
}

/* ---- Data -------------------------------------------------------------------------------------------------------- */

enum { MOST_ROWS = 1100, MOST_COLS = 1100, MOST_ELEMENTS = 16400, MOST_RESULTS = 20 };

/* How b goes with the column, and what stands where. */
static const struct {
    const char *name;
    double slope, offset;
    int sawtooth;      /* columns after which it starts again; 0: never; 1: alternating signs */
    int special, next; /* columns of `value`, and of `other` */
    double value, other;
    bool all;    /* in every column */
    int nan_row; /* row in which x is NaN; -1: none */
} courses[] = {
    {"level", 0, 0, 0, -1, -1, 0, 0, false, -1},
    {"growing", 1000, 0, 0, -1, -1, 0, 0, false, -1},
    {"growing slowly", 0.5, 0, 0, -1, -1, 0, 0, false, -1},
    {"falling", -1000, 0, 0, -1, -1, 0, 0, false, -1},
    {"falling slowly", -0.5, 0, 0, -1, -1, 0, 0, false, -1},
    {"alternating", 500, 0, 1, -1, -1, 0, 0, false, -1},
    {"sawtooth", 20, 0, 37, -1, -1, 0, 0, false, -1},
    {"far above", 0, 1e6, 0, -1, -1, 0, 0, false, -1},
    {"far below", 0, -1e6, 0, -1, -1, 0, 0, false, -1},
    {"out of reach", 0, 1e30, 0, -1, -1, 0, 0, false, -1},
    {"growing out of reach", 1e28, 0, 0, -1, -1, 0, 0, false, -1},
    {"an infinity", 1, 0, 0, 7, -1, INFINITY, 0, false, -1},
    {"two infinities", 1, 0, 0, 7, 140, INFINITY, INFINITY, false, -1},
    {"both infinities", -3, 0, 0, 131, 9, INFINITY, -INFINITY, false, -1},
    {"minus infinities", 3, 0, 0, 0, 131, -INFINITY, -INFINITY, false, -1},
    {"a NaN", 0.5, 0, 0, 5, -1, NAN, 0, false, -1},
    {"NaN, then infinity", 0, 0, 0, 5, 140, NAN, INFINITY, false, -1},
    {"infinity, then NaN", 0, 0, 0, 5, 140, INFINITY, NAN, false, -1},
    {"only infinities", 0, 0, 0, 0, -1, INFINITY, 0, true, -1},
    {"only minus infinities", 0, 0, 0, 0, -1, -INFINITY, 0, true, -1},
    {"only NaN", 0, 0, 0, 0, -1, NAN, 0, true, -1},
    {"only NaN and an infinity", 0, 0, 0, 0, 133, NAN, INFINITY, true, -1},
    {"a row of NaN", 1000, 0, 0, -1, -1, 0, 0, false, 1},
    {"a last row of NaN", -1, 0, 0, -1, -1, 0, 0, false, 17},
};

typedef struct data {
    int64_t rows, cols;
    int dim;
    double value[VARS][KB_MAX(DIM * MOST_ELEMENTS, MOST_DIM * MOST_COLS)];
    float single[VARS][KB_MAX(DIM * MOST_ELEMENTS, MOST_DIM * MOST_COLS)];
} data;

static int64_t data_count(const data *d, int var)
{
    return (var < 2 ? d->dim : 1) * (var == 0 ? d->rows : var == 4 ? 1 : d->cols);
}

/* Coordinates on a lattice: ties everywhere. */
static void make_data(data *d, int dim, int64_t rows, int64_t cols, size_t course, uint64_t *seed)
{
    d->rows = rows;
    d->cols = cols;
    d->dim = dim;
    for (int v = 0; v < VARS; v++) {
        for (int64_t k = 0; k < data_count(d, v); k++) {
            d->value[v][k] = ((double)draw(seed, 7) - 3) / 2;
            if (v < 2 && k % dim >= DIM && draw(seed, 8)) /* distances of long vectors stay small */
                d->value[v][k] = 0;
        }
    }
    d->value[4][0] = 0.5;
    for (int64_t j = 0; j < cols; j++) {
        double at = (double)(courses[course].sawtooth > 1 ? j % courses[course].sawtooth : j);
        double sign = courses[course].sawtooth == 1 && j % 2 ? -1 : 1;
        double b = sign * (courses[course].slope * at + courses[course].offset);
        if (courses[course].slope == 0 && courses[course].offset == 0)
            b = (double)draw(seed, 3) / 2;
        if (j == courses[course].special || courses[course].all)
            b = courses[course].value;
        if (j == courses[course].next)
            b = courses[course].other;
        d->value[2][j] = b;
    }
    if (courses[course].nan_row >= 0 && courses[course].nan_row < rows)
        d->value[0][dim * courses[course].nan_row + 1] = NAN;
    for (int v = 0; v < VARS; v++) {
        for (int64_t k = 0; k < data_count(d, v); k++) {
            d->single[v][k] = (float)d->value[v][k];
            d->value[v][k] = (double)d->single[v][k];
        }
    }
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* By output, then row, then component. */
typedef struct results {
    double value[MOST][MOST_RESULTS * MOST_ROWS];
    unsigned char bytes[MOST][MOST_RESULTS * MOST_ROWS * sizeof(double)];
} results;

typedef struct program {
    kp_plan *plan;
    kt_program text;
    kd_kernel *kernel[KT_KERNELS];
} program;

static void build(program *p, kcl_context *on, sweep_of *s, const subject *of)
{
    kp_caps caps = *kd_caps(on);
    kp_choice choice = {.schedule = of->schedule, .shape = of->shape, .forced = true};
    kb_error err;
    kb_error_clear(&err);
    if (of->schedule != KP_BY_LANES) {
        /* A GPU with small work-groups, so that few rows are several. */
        caps = gpu_caps(of->group ? of->group : GROUP, of->local ? of->local : kp_caps_profile("gpu")->local_memory);
        choice.states = of->shape != KP_COLUMNS ? 0 : of->states ? of->states : STATES;
    }
    if (of->lanes)
        caps.lanes_f32 = caps.lanes_f64 = of->lanes;
    ck_assert_msg(kp_plan_create(&p->plan, &(kp_request){&s->sweep, of->dtype, &caps, choice, NULL, {0}}, &err) == KCL_OK,
                  "%s: %s", describe(of), err.text);
    ck_assert_int_eq(p->plan->schedule, of->schedule);
    ck_assert_int_le(p->plan->group, caps.max_work_group);
    if (of->stream)
        p->plan->stream = of->stream;
    ck_assert_msg(kt_render(&p->text, p->plan, &err) == KCL_OK, "%s: %s", describe(of), err.text);
    for (int k = 0; k < KT_KERNELS; k++)
        if (p->text.kernel[k].count)
            ck_assert_msg(
                kd_kernel_get(on, kb_str_text(&p->text.source), kt_kernel_names[k], "states", &p->kernel[k]) == KCL_OK,
                "%s: %s", describe(of), kcl_context_error(on));
    if (of->schedule != KP_BY_LANES) {
        size_t local = kd_kernel_limits(on, p->kernel[KT_SWEEP])->local_memory;
        ck_assert_msg(local <= caps.local_memory && local_memory_of(p->plan) <= caps.local_memory,
                      "%s: the kernel has %zu bytes of local memory, the plan says %zu", describe(of), local,
                      local_memory_of(p->plan));
    }
}

static void finish(program *p)
{
    kt_program_finish(&p->text);
    kp_plan_destroy(&p->plan);
}

static void start(program *p, kcl_context *on, kt_kernel_id id, const data *d, const kp_launch *launch, results *out,
                  kd_buffer *partial, kd_buffer *prepared, size_t items0, size_t items1)
{
    enum { MOST_ARGS = 64 };
    const kt_signature *signature = &p->text.kernel[id];
    bool both = p->plan->shape == KP_ROWS_BOTH;
    kd_arg args[MOST_ARGS];
    int64_t values[MOST_ARGS];
    size_t size = kb_dtype_size(p->plan->dtype);
    ck_assert_uint_le(signature->count, MOST_ARGS);
    for (size_t k = 0; k < signature->count; k++) {
        kt_arg from = signature->args[k];
        args[k] = (kd_arg){KD_ARG_VALUE, &values[k], sizeof values[k], NULL};
        switch (from.kind) {
        case KT_ARG_VAR:
            if (from.index >= VARS)
                args[k] = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = prepared};
            else
                args[k] =
                    (kd_arg){KD_ARG_HOST_IN, size == 4 ? (const void *)d->single[from.index] : d->value[from.index],
                             size * (size_t)data_count(d, (int)from.index), NULL};
            break;
        case KT_ARG_OUTPUT: {
            int64_t count = p->plan->outputs[from.index]->dim * (both ? 1 : d->rows);
            size_t element = p->plan->outputs[from.index]->kind == KF_INT ? sizeof(int64_t) : size;
            args[k] = (kd_arg){KD_ARG_HOST_OUT, out->bytes[from.index], element * (size_t)count, NULL};
            break;
        }
        case KT_ARG_OUTPUT_STRIDE:
            values[k] = p->plan->outputs[from.index]->dim;
            break;
        case KT_ARG_OUTPUT_STEP:
            values[k] = 1;
            break;
        case KT_ARG_ROWS:
            values[k] = both && id == KT_FINISH ? 1 : d->rows;
            break;
        case KT_ARG_COLS:
            values[k] = d->cols;
            break;
        case KT_ARG_PARTS:
            values[k] = launch->parts;
            break;
        case KT_ARG_PART_LENGTH:
            values[k] = launch->part_length;
            break;
        case KT_ARG_FIRST_WORKER:
        case KT_ARG_FIRST_PART:
            values[k] = 0;
            break;
        case KT_ARG_WORKERS:
            values[k] = (int64_t)(items0 / (size_t)p->plan->group);
            break;
        case KT_ARG_PARTIAL:
            args[k] = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = partial};
            break;
        default:
            ck_abort_msg("an argument that no dense array has");
        }
    }
    ck_assert_msg(kd_launch(on, p->kernel[id], (int)signature->count, args, (size_t[]){items0, items1, 1},
                            (size_t[]){(size_t)p->plan->group, 1, 1}) == KCL_OK,
                  "%s", kcl_context_error(on));
}

static void read_values(const program *p, const data *d, results *out)
{
    int64_t rows = p->plan->shape == KP_ROWS_BOTH ? 1 : d->rows;
    for (size_t o = 0; o < p->plan->output_count; o++) {
        for (size_t k = 0; k < (size_t)p->plan->outputs[o]->dim * (size_t)rows; k++) {
            float single;
            int64_t index;
            memcpy(&single, out->bytes[o] + k * sizeof single, sizeof single);
            memcpy(&index, out->bytes[o] + k * sizeof index, sizeof index);
            memcpy(&out->value[o][k], out->bytes[o] + k * sizeof(double), sizeof(double));
            if (p->plan->outputs[o]->kind == KF_INT)
                out->value[o][k] = (double)index;
            else if (p->plan->dtype == KCL_F32)
                out->value[o][k] = (double)single;
        }
    }
}

/* `pieces`: into how many parts, or work-items where both axes are reduced, work is divided; 0: as the plan says. */
static void run(program *p, kcl_context *on, const data *d, int64_t pieces, results *out)
{
    kp_launch launch;
    kp_launch_for(p->plan, kd_caps(on), d->rows, d->cols, &launch);
    int64_t states = p->plan->shape == KP_ROWS_BOTH ? 1 : d->rows, numbers = 0;
    for (size_t k = 0; k < p->plan->term_count; k++)
        numbers += kp_state_dim(p->plan, k);
    if (pieces && p->plan->shape == KP_ROWS_BOTH) {
        launch.parts = pieces;
        launch.sweep_items[0] = (size_t)(pieces * p->plan->group);
    } else if (pieces && p->plan->shape != KP_ROWS && p->plan->schedule != KP_BY_CONTRACTION) {
        int64_t unit = p->plan->shape == KP_COLUMNS ? p->plan->lanes : p->plan->tile;
        int64_t length = (d->cols / pieces + unit) / unit * unit;
        launch.part_length = length;
        launch.parts = KB_MAX(1, (d->cols + length - 1) / length);
        launch.sweep_items[1] = (size_t)launch.parts;
    }
    kd_buffer *partial = NULL, *prepared = NULL;
    size_t size = kb_dtype_size(p->plan->dtype);
    ck_assert_uint_le(p->plan->prepared_count, 1);
    ck_assert_int_eq(kd_buffer_create(on, size * (size_t)(launch.parts * states * numbers + 1), &partial), KCL_OK);
    ck_assert_int_eq(kd_buffer_create(on, size * (size_t)(launch.prepared_elements + 1), &prepared), KCL_OK);
    memset(out, 0, sizeof *out);
    for (int side = 0; side < 2; side++)
        if (launch.prepare_items[side] && d->cols && d->rows)
            start(p, on, side ? KT_PREPARE_COLUMNS : KT_PREPARE_ROWS, d, &launch, out, partial, prepared,
                  launch.prepare_items[side], 1);
    start(p, on, KT_SWEEP, d, &launch, out, partial, prepared, launch.sweep_items[0], launch.sweep_items[1]);
    if (launch.finish_items)
        start(p, on, KT_FINISH, d, &launch, out, partial, prepared, launch.finish_items, 1);
    ck_assert_msg(kd_finish(on) == KCL_OK, "%s", kcl_context_error(on));
    kd_buffer_release(on, &partial);
    kd_buffer_release(on, &prepared);
    read_values(p, d, out);
}

static void by_interpreter(const sweep_of *s, const data *d, results *out)
{
    kf_source sources[VARS];
    kr_sink sinks[MOST];
    kb_error err;
    kb_error_clear(&err);
    for (int v = 0; v < VARS; v++)
        sources[v] = (kf_source){d->value[v], KCL_F64, s->vars[v].dim * 8, 8};
    for (size_t o = 0; o < s->sweep.output_count; o++)
        sinks[o] = (kr_sink){out->value[o], KCL_F64, s->outputs[o]->dim * 8, 8};
    ck_assert_msg(kr_run_host(&s->sweep, d->rows, d->cols, sources, sinks, 1, &err) == KCL_OK, "%s", err.text);
}

static void compare(const sweep_of *s, const subject *of, const data *d, size_t course, int64_t pieces,
                    const results *got, const results *want)
{
    double unit = of->dtype == KCL_F32 ? 0x1p-23 : 0x1p-52, largest = 0;
    bool both = of->shape == KP_ROWS_BOTH;
    for (int64_t j = 0; j < d->cols; j++)
        largest = isfinite(d->value[2][j]) ? fmax(largest, fabs(d->value[2][j])) : largest;
    for (size_t o = 0; o < s->sweep.output_count; o++) {
        for (int64_t k = 0; k < s->outputs[o]->dim * (both ? 1 : d->rows); k++) {
            double a = got->value[o][k], b = want->value[o][k];
            kf_reduction r = s->terms[o].reduction;
            size_t kind = kind_of(of->terms[o]);
            const double scales[] = {(double)(d->cols * (both ? d->rows : 1)), 1, 1 + fabs(b), 20 + largest};
            double error = kinds[kind].error * unit * scales[kinds[kind].scale];
            bool same = isnan(b) ? isnan(a) : isinf(b) ? a == b : fabs(a - b) <= error;
            ck_assert_msg(same,
                          "%s: %s (%s), M=%lld, N=%lld, %lld pieces: number %lld is %.9g, by the interpreter %.9g",
                          describe(of), kf_reduction_get(r)->name, courses[course].name, (long long)d->rows,
                          (long long)d->cols, (long long)pieces, (long long)k, a, b);
        }
    }
}

static bool long_tests(void)
{
    const char *value = getenv("KEOPSCL_LONG_TESTS");
    return value && strcmp(value, "1") == 0;
}

/* Which part of a product a short run tests. */
static int test_seed(void)
{
    const char *value = getenv("KEOPSCL_TEST_SEED");
    return value && *value ? (int)(strtoull(value, NULL, 10) % 1000) : 1;
}

/* Values by the interpreter, divided into pieces, and twice the same bits. */
static void check_size(program *p, const sweep_of *s, const subject *of, size_t course, int64_t rows, int64_t cols,
                       uint64_t *seed)
{
    static data d;
    static results got, again, want;
    make_data(&d, dim_of(of), rows, cols, course, seed);
    by_interpreter(s, &d, &want);
    for (int64_t pieces = 0; pieces < (of->shape == KP_ROWS ? 1 : 6); pieces += 1 + pieces) {
        run(p, context, &d, pieces, &got);
        compare(s, of, &d, course, pieces, &got, &want);
    }
    run(p, context, &d, 0, &got);
    run(p, context, &d, 0, &again);
    ck_assert_mem_eq(got.bytes, again.bytes, sizeof got.bytes);
}

static void check(const subject *of)
{
    uint64_t seed = 1;
    sweep_of s;
    program p;
    fill(&s, of);
    build(&p, context, &s, of);
    int v = p.plan->lanes, w = p.plan->stream;
    /* Around vectors, steps, tiles; parts that end within them. */
    const int rows[] = {0, 1, 2, v - 1, v, v + 1, 2 * v + 3, 2 * w + 1, 35};
    const int cols[] = {0, 1, w - 1, w, w + 1, v - 1, v + 1, 127, 128, 129, 128 * v + 1, 300, 700};
    for (size_t c = 0; c < KB_COUNT(courses); c++) {
        for (size_t k = 0; k < KB_COUNT(rows) * KB_COUNT(cols); k++) {
            int m = rows[k % KB_COUNT(rows)], n = cols[k / KB_COUNT(rows)];
            bool small = of->shape == KP_ROWS_BOTH || m > 0;
            if (!small || n > MOST_COLS || (!long_tests() && c && (k + c) % 23))
                continue;
            check_size(&p, &s, of, c, m, n, &seed);
        }
    }
    finish(&p);
    sweep_finish(&s);
}

/* Sizes around what a work-item, a step, a tile and a work-group have of rows and columns. */
static void check_groups(const subject *of)
{
    uint64_t seed = 1;
    sweep_of s;
    program p;
    fill(&s, of);
    build(&p, context, &s, of);
    bool columns = of->shape == KP_COLUMNS, contraction = of->schedule == KP_BY_CONTRACTION;
    int v = p.plan->lanes, w = p.plan->stream, t = p.plan->tile;
    int own = columns ? w : v, all = columns ? w : v * (contraction ? t / w : p.plan->group);
    int block = columns ? v * p.plan->group : t;
    const int rows[] = {1, all - 1, own + 1, 2 * all + own + 1, own, all, own - 1, all + 1, 35};
    const int cols[] = {0, block, w + 1, block + 1, 1, 2 * block + w + 1, block - 1, w, v + 1, 300};
    int met = 0;
    for (size_t c = 0; c < KB_COUNT(courses); c++) {
        for (size_t k = 0; k < KB_COUNT(rows) * KB_COUNT(cols); k++) {
            int m = rows[k % KB_COUNT(rows)], n = cols[k / KB_COUNT(rows)];
            bool fits = m > 0 && m <= MOST_ROWS && n <= MOST_COLS && m * n <= (long_tests() ? 400000 : 20000);
            if (fits && (long_tests() || (k * 7 + c) % (c ? 89 : 11) == 0)) {
                check_size(&p, &s, of, c, m, n, &seed);
                met++;
            }
        }
    }
    ck_assert_int_ge(met, 12);
    finish(&p);
    sweep_finish(&s);
}

static const kp_shape shapes[] = {KP_ROWS, KP_ROWS_SPLIT, KP_COLUMNS, KP_ROWS_BOTH};
static const char *const sets[] = {"L", "A", "LSVAM", "P"};

START_TEST(states_of_every_shape)
{
    subject s = {sets[_i / 4 % 4], shapes[_i % 4], _i / 16 ? KCL_F64 : KCL_F32, 0, 0, KP_BY_LANES, 0, 0, 0, 0};
    if (s.terms[0] != 'P' || s.shape == KP_COLUMNS || long_tests())
        check(&s);
}
END_TEST

/* Narrower vectors and shorter steps than this device would have. */
START_TEST(states_of_other_sizes)
{
    static const int lanes[] = {1, 2, 4, 8, 16}, streams[] = {1, 2, 4, 8, 16};
    int number = 0;
    /* Each shape with one width and step, which the seed chooses. */
    const int chosen = (_i + test_seed()) % 4;
    for (int l = 0; l < 5; l++) {
        for (int w = 0; w < 5; w++) {
            for (int t = 0; t < 2; t++) {
                bool core = l == chosen && (l + _i) % 5 == w && t == (l + _i) % 2;
                number += core;
                if (core || long_tests())
                    check(&(subject){"LSVAM", shapes[_i], t ? KCL_F64 : KCL_F32, lanes[l], streams[w], KP_BY_LANES, 0, 0, 0, 0});
            }
        }
    }
    ck_assert_int_eq(number, 1);
}
END_TEST

/* Values and lists of them, weighted exponentials; sums of exponentials that begin tiles anew beside lists. */
START_TEST(states_of_lists_and_weights)
{
    static const char *const others[] = {"mkQv", "LqW", "zUwK"};
    for (int k = 0; k < 3; k++) {
        bool core = (k + _i + test_seed()) % 3 == 0 && (_i / 4 + _i + test_seed()) % 2 == 0;
        for (int t = 0; t < 2; t++) {
            if (!long_tests() && (!core || t != (_i + test_seed()) % 2))
                continue;
            check(&(subject){others[k], shapes[_i % 4], t ? KCL_F64 : KCL_F32, 0, 0, _i < 4 ? KP_BY_LANES : KP_BY_ROWS,
                             0, 0, 0, 0});
        }
    }
}
END_TEST

START_TEST(terms_of_columns_alone)
{
    for (int k = 0; k < 4; k++)
        if (k == 0 || long_tests())
            check(&(subject){"JS", shapes[k], KCL_F32, 0, 0, KP_BY_LANES, 0, 0, 0, 0});
}
END_TEST

/* More pairs than a float counts: the last one is the nearest. */
START_TEST(numbers_beyond_24_bits)
{
    static data d;
    static results got;
    subject of = {"NAN", KP_ROWS_BOTH, KCL_F32, 0, 0, KP_BY_LANES, 0, 0, 0, 0};
    sweep_of s;
    program p;
    fill(&s, &of);
    build(&p, context, &s, &of);
    d.dim = DIM;
    d.rows = 16400;
    d.cols = 1031;
    for (int v = 0; v < VARS; v++)
        for (int64_t k = 0; k < data_count(&d, v); k++)
            d.single[v][k] = v == 0 && k < 2 * (d.rows - 1) ? 100 : v == 2 && k < d.cols - 1 ? 1 : 0;
    for (int64_t pieces = 0; pieces < 3; pieces++) {
        run(&p, context, &d, pieces, &got);
        ck_assert_double_eq(got.value[0][0], (double)(d.rows * d.cols - 1));
        ck_assert_double_eq(got.value[1][0], (double)(float)(d.rows * d.cols - 1));
        ck_assert_double_eq(got.value[2][0], (double)(d.rows * d.cols - 1));
    }
    finish(&p);
    sweep_finish(&s);
}
END_TEST

START_TEST(threads_change_nothing)
{
    static data d;
    static results one, two;
    uint64_t seed = 3;
    kcl_context *other;
    kcl_status status = kcl_context_create(&other, &(kcl_context_params){.device = "cpu", .threads = 1});
    ck_assert_msg(status == KCL_OK, "%s", kcl_context_error(other));
    subject of = {"LSVAM", shapes[_i], KCL_F32, 0, 0, KP_BY_LANES, 0, 0, 0, 0};
    sweep_of s;
    program p, q;
    fill(&s, &of);
    build(&p, context, &s, &of);
    build(&q, other, &s, &of);
    for (size_t c = 0; c < KB_COUNT(courses); c++) {
        make_data(&d, DIM, 67, 1000, c, &seed);
        run(&p, context, &d, 0, &two);
        run(&q, other, &d, 0, &one);
        ck_assert_msg(memcmp(one.bytes, two.bytes, sizeof one.bytes) == 0, "%s: %s", describe(&of), courses[c].name);
    }
    finish(&p);
    finish(&q);
    sweep_finish(&s);
    kcl_context_destroy(&other);
}
END_TEST

/* The schedules of GPUs, which this device runs as well. */
START_TEST(states_of_schedules_for_gpus)
{
    kcl_dtype dtype = _i % 2 ? KCL_F64 : KCL_F32;
    for (int k = 0; k < 5; k++) {
        if ((k + _i + test_seed()) % 2 && !long_tests())
            continue;
        if (k < 4)
            check(&(subject){"LSVAM", shapes[k], dtype, 0, 0, KP_BY_ROWS, 0, 0, 0, 0});
        else
            check(&(subject){"LSAB", KP_ROWS_SPLIT, dtype, 0, 0, KP_BY_CONTRACTION, 0, 0, 0, 0});
    }
}
END_TEST

static kp_shape shape_of(int course)
{
    return course < 4 ? shapes[course] : KP_ROWS_SPLIT;
}

/* Work-groups of any size: rows in four shapes, then contractions, which need 16 work-items. */
START_TEST(states_of_work_groups)
{
    static const int groups[] = {1, 16, 64, 256};
    static const int dims[] = {2, 15, 16, 33};
    for (int g = 0; g < 4; g++) {
        for (int t = 0; t < 2; t++) {
            for (int more = 0; more < 4; more++) {
                bool contraction = _i == 4, columns = shape_of(_i) == KP_COLUMNS;
                if ((contraction && groups[g] < 16) || (!contraction && !columns && more))
                    continue;
                /* Groups, types, dimensions and numbers of states by turns. */
                bool core = (contraction || g % 2 == _i % 2) && (g + _i) / 2 % 2 == t &&
                            more == (columns || contraction ? g : 0) && (g / 2 + _i + test_seed()) % 2 == 0;
                if (core || long_tests())
                    check_groups(&(subject){contraction ? "LSAM" : "LSVAM", shape_of(_i), t ? KCL_F64 : KCL_F32, 0, 0,
                                            contraction ? KP_BY_CONTRACTION : KP_BY_ROWS, groups[g],
                                            (int[]){2, 4, 5, 16}[more], 16 << 10, contraction ? dims[more] : 0});
            }
        }
    }
}
END_TEST

/* Local memory for small groups, for a few components of a contraction, and for no columns at all. */
START_TEST(states_of_little_local_memory)
{
    for (int t = 0; t < 2; t++) {
        if ((t != _i % 2 || (_i + test_seed()) % 2) && !long_tests())
            continue;
        kcl_dtype dtype = t ? KCL_F64 : KCL_F32;
        if (_i < 4)
            check_groups(&(subject){"LSVAM", shape_of(_i), dtype, 0, 0, KP_BY_ROWS, 64, 0, 256, 0});
        else
            check_groups(&(subject){"LSAM", shape_of(_i), dtype, 0, 0, KP_BY_CONTRACTION, 64, 0, t ? 4096 : 2048, 19});
    }
}
END_TEST

/* A case each: CK_RUN_CASE=name runs it alone. */
static void add(Suite *suite, const char *name, const TTest *test, int rounds)
{
    static unsigned number;
    unsigned part = 0, parts = 1;
    const char *wanted = getenv("KEOPSCL_TEST_PART"); /* as in tests/support.h */
    if (wanted && (sscanf(wanted, "%u/%u", &part, &parts) != 2 || part >= parts))
        exit(1);
    if (number++ % parts != part)
        return;
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 0);
    tcase_add_loop_test(tc, test, 0, rounds);
    suite_add_tcase(suite, tc);
}

int main(void)
{
    if (!getenv("KEOPSCL_CACHE_DIR"))
        setenv("KEOPSCL_CACHE", "off", 1);
    if (kcl_context_create(&context, &(kcl_context_params){.device = "cpu"}) < 0) {
        printf("no OpenCL for the CPU: %s\n", kcl_context_error(context));
        kcl_context_destroy(&context);
        return 77;
    }
    printf("repeat with: KEOPSCL_TEST_SEED=%d %srender-states\n", test_seed(), long_tests() ? "KEOPSCL_LONG_TESTS=1 " : "");
    fflush(stdout);
    Suite *suite = suite_create("render-states");
    add(suite, "every-shape", states_of_every_shape, 32);
    add(suite, "other-sizes", states_of_other_sizes, 4);
    add(suite, "lists-and-weights", states_of_lists_and_weights, 8);
    add(suite, "columns-alone", terms_of_columns_alone, 1);
    add(suite, "many-pairs", numbers_beyond_24_bits, 1);
    add(suite, "threads", threads_change_nothing, 4);
    add(suite, "schedules-for-gpus", states_of_schedules_for_gpus, 2);
    add(suite, "work-groups", states_of_work_groups, 5);
    add(suite, "local-memory", states_of_little_local_memory, 5);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* drivers do not survive a fork */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    kcl_context_stats stats;
    kcl_context_get_stats(context, &stats);
    printf("%llu kernels built in %.1f s, %llu loaded\n", (unsigned long long)stats.programs_built, stats.build_seconds,
           (unsigned long long)stats.programs_loaded);
    srunner_free(runner);
    kcl_context_destroy(&context);
    return failed != 0;
}
