/* SPDX-License-Identifier: MIT */
/*
 * reduce/host.c: sweeps on the host.
 *
 * Rows are cut into chunks, and columns into segments where the chunks are too few for many threads. How depends on
 * sizes only, and states are merged in order: the number of threads changes no bit of a result.
 */
#include "reduction.h"
#include "reductions.h"

#include <string.h>

enum {
    TASKS = 256,             /* pieces wanted, where sizes allow: enough for many threads */
    CHUNK_ROWS = 16,         /* rows that share values of columns alone */
    CHUNK_DOUBLES = 1 << 15, /* states of a chunk, at most, where it has several rows */
    SEGMENT = 8 * KF_BLOCK,  /* columns of a segment, at least */
    MAP_ROWS = 256,          /* rows of a chunk where no columns are reduced */
    MOST_CHUNKS = 1024,      /* where both axes are reduced: each has a state */
    MOST_WORKERS = 256
};

typedef struct term {
    const kr_reduction *reduction;
    int64_t dim, param;
    int64_t state, result; /* their first elements among the states and the results of a row */
    int64_t component;     /* in `value` and `stride` */
} term;

/* What a thread needs of its own. */
typedef struct worker {
    kf_frame *terms, *outputs;
    kf_source *sources; /* of the batch that the frames are at */
    kr_sink *sinks;
    int64_t batch, each;  /* that is; -1: none yet */
    double *states;       /* of a chunk, where they are not kept for a merge */
    double *results;      /* of a row */
    const double **acc;   /* in `results`, of each term: values, numbers */
    const double **value; /* by component of all formulas */
    int *stride;
} worker;

typedef struct job {
    const kr_sweep *sweep;
    const kf_source *sources; /* of the first batch */
    const kr_sink *sinks;
    const kr_batches *along; /* NULL: one batch */
    int64_t rows, cols, batches, each;
    int64_t chunk_rows, chunks, segment_cols, segments;
    int64_t chunk_states; /* rows with a state in a chunk */
    int64_t state_size, result_size, component_count;
    bool merges; /* states are kept in `states`, [batch][chunk][segment][row], and merged */
    double *states;
    term *terms;
    kf_interp *pairs, *outputs;
    worker *workers;
    int worker_count;
    const kr_watch *watch;   /* NULL: nobody ends the work */
    atomic_bool is_stopped;  /* what is left of the tasks is not done */
    atomic_llong tasks_done; /* of run_task */
    kb_arena arena;
} job;

static void *take(job *job, int64_t count, size_t size)
{
    if (count < 0 || (uint64_t)count > SIZE_MAX / 2 / size)
        return NULL;
    return kb_arena_alloc(&job->arena, (size_t)count * size);
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

static bool reduces_rows(const job *job)
{
    return job->sweep->reduced & KF_AXIS_I;
}

/* Sizes of pieces. */
static void divide(job *job)
{
    if (job->sweep->reduced == 0)
        job->chunk_rows = MAP_ROWS;
    else if (reduces_rows(job))
        job->chunk_rows = KB_MAX(CHUNK_ROWS, ceil_div(job->rows, MOST_CHUNKS));
    else
        job->chunk_rows = KB_MAX(1, KB_MIN(CHUNK_ROWS, CHUNK_DOUBLES / KB_MAX(job->state_size, 1)));
    if (reduces_rows(job) && job->batches >= TASKS)
        job->chunk_rows = KB_MAX(job->rows, 1);
    job->chunks = ceil_div(job->rows, job->chunk_rows);
    int64_t tasks = job->chunks * KB_MIN(job->batches, TASKS);
    int64_t wanted = tasks ? KB_MIN(TASKS / tasks, job->cols / SEGMENT) : 1;
    job->segment_cols = ceil_div(ceil_div(job->cols, KB_MAX(wanted, 1)), KF_BLOCK) * KF_BLOCK;
    job->segments = job->segment_cols ? ceil_div(job->cols, job->segment_cols) : 1;
    job->chunk_states = reduces_rows(job) ? 1 : KB_MIN(job->chunk_rows, job->rows);
    job->merges = reduces_rows(job) || job->segments > 1;
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

/* Distance of place `number` on axes from..to-1. */
static int64_t offset_on(const kr_batches *b, int from, int to, int64_t number, const int64_t *stride)
{
    int64_t offset = 0;
    for (int k = from; k < to && b->size[k]; k++) {
        offset += number % b->size[k] * stride[k];
        number /= b->size[k];
    }
    return offset;
}

/* Turns a worker to a batch, and to one of the batches that are reduced for this one. */
static void go_to(const job *job, worker *w, int64_t batch, int64_t each)
{
    const kr_batches *b = job->along;
    if (w->batch == batch && w->each == each)
        return;
    for (size_t k = 0; b && k < job->sweep->var_count; k++) {
        const int64_t *stride = b->source_stride[k];
        w->sources[k].data = (const char *)job->sources[k].data + offset_on(b, 0, b->outer, batch, stride) +
                             offset_on(b, b->outer, b->outer + b->each, each, stride);
    }
    for (size_t k = 0; b && k < job->sweep->output_count; k++)
        w->sinks[k].data = (char *)job->sinks[k].data + offset_on(b, 0, b->outer, batch, b->sink_stride[k]);
    w->batch = batch;
    w->each = each;
    if (job->each) /* else there may be no memory behind the pointers that the terms read */
        kf_frame_launch(w->terms, w->sources);
    kf_frame_launch(w->outputs, w->sources);
}

/* ---- Work on a piece --------------------------------------------------------------------------------------------- */

static void init_state(const job *job, double *state)
{
    for (const term *t = job->terms; t < job->terms + job->sweep->term_count; t++)
        t->reduction->init(state + t->state, t->dim, t->param);
}

static void merge_state(const job *job, double *state, const double *other)
{
    for (const term *t = job->terms; t < job->terms + job->sweep->term_count; t++)
        t->reduction->merge(state + t->state, other + t->state, t->dim, t->param);
}

static void store(const kr_sink *sink, const kr_scale *scale, int64_t row, int64_t k, double value)
{
    char *to = (char *)sink->data + row * sink->row_stride + k * sink->step;
    if (scale && scale->is_scaled) {
        /* A factor of 0 means that the other factor is not read, whatever its value: BLAS's convention. */
        const double added = scale->beta != 0 ? scale->beta * kb_number(to, sink->dtype) : 0;
        value = scale->alpha == 0 ? added : scale->alpha * value + added;
    }
    if (sink->dtype == KCL_F32) {
        float rounded = (float)value;
        memcpy(to, &rounded, sizeof rounded);
    } else if (sink->dtype == KCL_I64) {
        int64_t whole = (int64_t)value;
        memcpy(to, &whole, sizeof whole);
    } else {
        memcpy(to, &value, sizeof value);
    }
}

/* Writes a row of every output. */
static void finish_row(const job *job, worker *w, const double *state, int64_t row)
{
    for (const term *t = job->terms; t < job->terms + job->sweep->term_count; t++)
        t->reduction->finish(state + t->state, t->dim, t->param, w->results + t->result);
    kf_frame_row(w->outputs, row, w->acc);
    for (size_t o = 0; o < job->sweep->output_count; o++) {
        int stride;
        const kr_scale *scale = job->sweep->scales ? &job->sweep->scales[o] : NULL;
        for (int64_t k = 0; k < job->sweep->outputs[o]->dim; k++)
            store(&w->sinks[o], scale, row, k, *kf_frame_value(w->outputs, o, k, &stride));
    }
}

/* Whether the work is to end. Worker 0 is the thread that made the call. */
static bool is_stopped(job *job, int worker_index)
{
    const kr_watch *watch = job->watch;
    if (!watch || atomic_load_explicit(&job->is_stopped, memory_order_relaxed))
        return watch != NULL;
    const double tasks = (double)(job->chunks * job->segments) * (double)job->batches;
    const double done = (double)atomic_load_explicit(&job->tasks_done, memory_order_relaxed);
    const bool stops = worker_index ? atomic_load_explicit(watch->stop, memory_order_relaxed) != 0
                                    : !watch->goes_on(watch->user, done / tasks);
    if (stops)
        atomic_store(&job->is_stopped, true);
    return stops;
}

/* Rows are the inner loop: values of columns alone are then computed once for all rows. */
static void step_pairs(job *job, worker *w, double *states, int64_t row, int64_t rows, int64_t col, int64_t cols)
{
    int64_t state_step = reduces_rows(job) ? 0 : job->state_size;
    const int64_t before = w->each * (reduces_rows(job) ? job->rows : 1); /* rows of other batches */
    int width = kf_frame_columns(w->terms);
    for (int64_t j = col; j < col + cols && !is_stopped(job, (int)(w - job->workers)); j += width) {
        int count = (int)KB_MIN(width, col + cols - j);
        for (int64_t i = 0; i < rows; i++) {
            int64_t first = (before + (reduces_rows(job) ? row + i : 0)) * job->cols;
            kf_frame_row(w->terms, row + i, NULL);
            kf_frame_block(w->terms, j, count);
            for (const term *t = job->terms; t < job->terms + job->sweep->term_count; t++) {
                kr_block block = {w->value + t->component, w->stride + t->component, first + j, count};
                t->reduction->step(states + i * state_step + t->state, t->dim, t->param, &block);
            }
        }
    }
}

static void run_task(void *user, int64_t k, int worker_index)
{
    job *job = user;
    worker *w = &job->workers[worker_index];
    if (is_stopped(job, worker_index))
        return;
    int64_t pieces = job->chunks * job->segments, piece = k % pieces, batch = k / pieces;
    int64_t row = piece / job->segments * job->chunk_rows, rows = KB_MIN(job->chunk_rows, job->rows - row);
    int64_t col = piece % job->segments * job->segment_cols, cols = KB_MIN(job->segment_cols, job->cols - col);
    double *states = job->merges ? job->states + k * job->chunk_states * job->state_size : w->states;
    for (int64_t i = 0; i < KB_MIN(rows, job->chunk_states); i++)
        init_state(job, states + i * job->state_size);
    for (int64_t each = 0; each < job->each && job->sweep->term_count; each++) {
        go_to(job, w, batch, each);
        step_pairs(job, w, states, row, rows, col, cols);
    }
    atomic_fetch_add_explicit(&job->tasks_done, 1, memory_order_relaxed);
    if (job->merges)
        return;
    go_to(job, w, batch, 0);
    for (int64_t i = 0; i < rows; i++)
        finish_row(job, w, states + i * job->state_size, row + i);
}

/* Where only columns are reduced: merges the segments of a chunk and finishes its rows. */
static void merge_chunk(void *user, int64_t k, int worker_index)
{
    const job *job = user;
    worker *w = &job->workers[worker_index];
    int64_t row = k % job->chunks * job->chunk_rows, rows = KB_MIN(job->chunk_rows, job->rows - row);
    int64_t segment_step = job->chunk_states * job->state_size;
    double *states = job->states + k * job->segments * segment_step;
    go_to(job, w, k / job->chunks, 0);
    for (int64_t i = 0; i < rows; i++) {
        double *state = states + i * job->state_size;
        for (int64_t s = 1; s < job->segments; s++)
            merge_state(job, state, state + s * segment_step);
        finish_row(job, w, state, row + i);
    }
}

/* Where both axes are reduced: merges all pieces of a batch. */
static void merge_batch(void *user, int64_t batch, int worker_index)
{
    const job *job = user;
    worker *w = &job->workers[worker_index];
    int64_t pieces = job->chunks * job->segments;
    double *state = w->states;
    go_to(job, w, batch, 0);
    init_state(job, state);
    for (int64_t k = 0; k < pieces; k++)
        merge_state(job, state, job->states + (batch * pieces + k) * job->state_size);
    finish_row(job, w, state, 0);
}

static void run_tasks(job *job)
{
    int64_t pieces = job->chunks * job->segments;
    kb_parallel_for(job->worker_count, pieces * job->batches, run_task, job);
    if (atomic_load(&job->is_stopped))
        return;
    if (reduces_rows(job))
        kb_parallel_for(job->worker_count, job->batches, merge_batch, job);
    else if (job->merges)
        kb_parallel_for(job->worker_count, job->chunks * job->batches, merge_chunk, job);
}

/* ---- Preparation ------------------------------------------------------------------------------------------------- */

static kcl_status prepare(job *job, kb_error *err)
{
    const kr_sweep *sweep = job->sweep;
    for (size_t o = 0; o < sweep->output_count; o++)
        if (sweep->outputs[o]->axes & KF_AXIS_J)
            return kb_fail(err, KCL_ERROR_INTERNAL, "output %zu of a sweep on the host has an unreduced axis j", o);
    job->terms = take(job, (int64_t)sweep->term_count, sizeof *job->terms);
    const kf_node **formulas = take(job, (int64_t)sweep->term_count, sizeof *formulas);
    if (!job->terms || !formulas)
        return kb_no_memory(err);
    for (size_t k = 0; k < sweep->term_count; k++) {
        const kr_term *from = &sweep->terms[k];
        term *t = &job->terms[k];
        *t = (term){kr_get(from->reduction), from->formula->dim, from->param,
                    job->state_size,         job->result_size,   job->component_count};
        job->state_size += t->reduction->state_size(t->dim, t->param);
        job->result_size += 2 * kf_reduction_dim(from->reduction, t->dim, t->param);
        job->component_count += t->dim;
        formulas[k] = from->formula;
    }
    divide(job);
    if (job->merges) {
        int64_t count;
        if (kb_mul_overflows(job->chunks * job->segments, job->chunk_states * job->state_size, &count) ||
            kb_mul_overflows(count, job->batches, &count))
            return kb_no_memory(err);
        job->states = take(job, count, sizeof *job->states);
        if (!job->states)
            return kb_no_memory(err);
    }
    kcl_status status = kf_interp_create(&job->pairs, sweep->graph, sweep->term_count, formulas, err);
    if (status == KCL_OK)
        status = kf_interp_create(&job->outputs, sweep->graph, sweep->output_count, sweep->outputs, err);
    return status;
}

static kcl_status prepare_worker(job *job, worker *w, kb_error *err)
{
    kcl_status status = kf_frame_create(&w->terms, job->pairs, err);
    if (status == KCL_OK)
        status = kf_frame_create(&w->outputs, job->outputs, err);
    if (status != KCL_OK)
        return status;
    w->states = take(job, job->chunk_states * job->state_size, sizeof *w->states);
    w->results = take(job, job->result_size, sizeof *w->results);
    w->acc = take(job, 2 * (int64_t)job->sweep->term_count, sizeof *w->acc);
    w->value = take(job, job->component_count, sizeof *w->value);
    w->stride = take(job, job->component_count, sizeof *w->stride);
    w->sources = take(job, (int64_t)job->sweep->var_count, sizeof *w->sources);
    w->sinks = take(job, (int64_t)job->sweep->output_count, sizeof *w->sinks);
    if (!w->states || !w->results || !w->acc || !w->value || !w->stride || !w->sources || !w->sinks)
        return kb_no_memory(err);
    for (size_t k = 0; k < job->sweep->var_count; k++)
        w->sources[k] = job->sources[k];
    for (size_t k = 0; k < job->sweep->output_count; k++)
        w->sinks[k] = job->sinks[k];
    w->batch = w->each = -1;
    for (size_t k = 0; k < job->sweep->term_count; k++) {
        const term *t = &job->terms[k];
        w->acc[2 * k] = w->results + t->result;
        w->acc[2 * k + 1] = w->acc[2 * k] + kf_reduction_dim(job->sweep->terms[k].reduction, t->dim, t->param);
        for (int64_t c = 0; c < t->dim; c++)
            w->value[t->component + c] = kf_frame_value(w->terms, k, c, &w->stride[t->component + c]);
    }
    return KCL_OK;
}

kcl_status kr_run_batches(const kr_sweep *sweep, int64_t rows, int64_t cols, const kr_batches *batches,
                          const kf_source *sources, const kr_sink *sinks, int threads, const kr_watch *watch,
                          kb_error *err)
{
    job job = {.sweep = sweep,
               .watch = watch,
               .sources = sources,
               .sinks = sinks,
               .along = batches,
               .rows = rows,
               .cols = sweep->reduced ? cols : 0,
               .batches = 1,
               .each = 1};
    for (int k = 0; batches && k < batches->outer + batches->each; k++) {
        int64_t *product = k < batches->outer ? &job.batches : &job.each;
        if (kb_mul_overflows(*product, batches->size[k], product))
            return kb_no_memory(err);
    }
    if (job.batches == 0)
        return KCL_OK;
    kb_arena_init(&job.arena, kf_allocator(sweep->graph));
    kcl_status status = prepare(&job, err);
    if (status == KCL_OK) {
        int64_t most = KB_MIN(job.chunks * job.segments * KB_MIN(job.batches, MOST_WORKERS), MOST_WORKERS);
        job.worker_count = (int)KB_MAX(KB_MIN(threads, most), 1);
        job.workers = take(&job, job.worker_count, sizeof *job.workers);
        if (!job.workers)
            status = kb_no_memory(err);
    }
    for (int k = 0; status == KCL_OK && k < job.worker_count; k++)
        status = prepare_worker(&job, &job.workers[k], err);
    if (status == KCL_OK)
        run_tasks(&job);
    if (atomic_load(&job.is_stopped))
        status = KCL_ERROR_CANCELLED;
    for (int k = 0; job.workers && k < job.worker_count; k++) {
        kf_frame_destroy(&job.workers[k].terms);
        kf_frame_destroy(&job.workers[k].outputs);
    }
    kf_interp_destroy(&job.pairs);
    kf_interp_destroy(&job.outputs);
    kb_arena_finish(&job.arena);
    return status;
}

kcl_status kr_run_host(const kr_sweep *sweep, int64_t rows, int64_t cols, const kf_source *sources,
                       const kr_sink *sinks, int threads, kb_error *err)
{
    return kr_run_batches(sweep, rows, cols, NULL, sources, sinks, threads, NULL, err);
}
