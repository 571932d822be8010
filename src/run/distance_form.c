/* SPDX-License-Identifier: MIT */
/* run/distance_form.c: the bound on the error of expanded distances, from a launch's own data. */
#include "distance_form.h"
#include "interp.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Rows that the centre is taken from: any centre is right, one in the middle gives the best bound. As KCL_SAMPLE. */
    SAMPLE = 64,
    CHUNKS = 64,      /* that threads share */
    CHUNK_ROWS = 512, /* of a chunk at least */
    FEW = 16,         /* rows of the sample whose neighbours are looked at */
    APART = 16        /* margins between a row's two nearest neighbours in the sample, at least, for screening to pay */
};

double kx_form_bound(double slope, int32_t dim, double size)
{
    return fabs(slope) * kp_error_growth(dim) * size;
}

void kx_form_margin(double slope, int32_t dim, double size, kcl_dtype dtype, double margin[2])
{
    const double u = dtype == KCL_F32 ? FLT_EPSILON / 2 : DBL_EPSILON / 2, least = dtype == KCL_F32 ? FLT_MIN : DBL_MIN;
    const double slack = 2.1; /* both values may be wrong; and what rounding does to the test itself */
    margin[0] = slack * fabs(slope) * (2.0 * dim + 64) * (u * size + least);
    margin[1] = slack * (dim + 16.0) * u;
}

/* ---- Looking at arrays ------------------------------------------------------------------------------------------- */

static double element(const kx_view *v, int64_t row, int64_t k)
{
    return kb_number((const char *)v->data + row * v->row_stride + k * v->step, v->dtype);
}

/* Widens the box of components by the rows of v, each component multiplied by its factor. */
static void widen(const kx_view *v, const double *factor, double *low, double *high)
{
    for (int64_t i = 0; i < v->rows; i++) {
        for (int32_t k = 0; k < v->dim; k++) {
            double x = element(v, i, k) * factor[k];
            low[k] = x < low[k] ? x : low[k];
            high[k] = x > high[k] ? x : high[k];
        }
    }
}

typedef struct measure {
    const kx_view *view;
    const double *factor, *centre;
    int64_t chunk_rows;
    double most[CHUNKS];
} measure;

/* |x - c|^2 of a row of floats without gaps: eight sums, so that compilers use vectors. */
static double square_of_floats(const float *x, const double *factor, const double *c, int32_t dim)
{
    double sum[8] = {0}, rest = 0;
    int32_t k = 0;
    for (; k + 8 <= dim; k += 8) {
        for (int m = 0; m < 8; m++) {
            double t = (double)x[k + m] * factor[k + m] - c[k + m];
            sum[m] += t * t;
        }
    }
    for (; k < dim; k++)
        rest += ((double)x[k] * factor[k] - c[k]) * ((double)x[k] * factor[k] - c[k]);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]) + (sum[4] + sum[5]) + (sum[6] + sum[7]) + rest;
}

static void measure_chunk(void *user, int64_t chunk, int worker)
{
    measure *m = user;
    const kx_view *v = m->view;
    int64_t first = chunk * m->chunk_rows, last = KB_MIN(v->rows, first + m->chunk_rows);
    bool floats = v->dtype == KCL_F32 && v->step == (int64_t)sizeof(float) &&
                  ((uintptr_t)v->data | (uintptr_t)v->row_stride) % sizeof(float) == 0;
    double most = 0;
    (void)worker;
    for (int64_t i = first; i < last; i++) {
        double s = 0;
        if (floats)
            s = square_of_floats((const float *)(const void *)((const char *)v->data + i * v->row_stride), m->factor,
                                 m->centre, v->dim);
        else
            for (int32_t k = 0; k < v->dim; k++)
                s +=
                    (element(v, i, k) * m->factor[k] - m->centre[k]) * (element(v, i, k) * m->factor[k] - m->centre[k]);
        most = s <= most ? most : isnan(s) ? INFINITY : s;
    }
    m->most[chunk] = most;
}

/* max |x - c|^2 over the rows of a host array; infinite where a row is infinite or NaN. */
static double largest_on_host(const kx_view *v, const double *factor, const double *centre, int threads)
{
    measure m = {.view = v, .factor = factor, .centre = centre};
    m.chunk_rows = KB_MAX(v->rows / CHUNKS + 1, CHUNK_ROWS);
    int64_t chunks = v->rows / m.chunk_rows + (v->rows % m.chunk_rows != 0);
    kb_parallel_for(threads, chunks, measure_chunk, &m);
    double most = 0;
    for (int64_t k = 0; k < chunks; k++)
        most = fmax(most, m.most[k]);
    return most;
}

/* Numbers in the number type of the launch. */
static const void *typed(const kx_question *q, const double *numbers, int32_t dim, kb_arena *arena)
{
    if (q->dtype == KCL_F64)
        return numbers;
    float *single = kb_arena_alloc(arena, (size_t)dim * sizeof *single);
    for (int32_t k = 0; single && k < dim; k++)
        single[k] = (float)numbers[k];
    return single;
}

/* Factors in the number type of the launch as a view. */
static kx_view factors_of(const kx_question *q, const void *data, int32_t dim)
{
    return (kx_view){.data = data, .dtype = q->dtype, .rows = 1, .dim = dim, .step = (int64_t)kb_dtype_size(q->dtype)};
}

static kcl_status largest_square(const kx_question *q, const kx_view *v, const double *factor, const double *centre,
                                 double *most, kb_arena *arena, kb_error *err)
{
    if (!v->memory) {
        *most = largest_on_host(v, factor, centre, q->threads);
        return KCL_OK;
    }
    const kx_view factors = factors_of(q, typed(q, factor, v->dim, arena), v->dim);
    const void *typed_centre = typed(q, centre, v->dim, arena);
    if (!factors.data || !typed_centre)
        return kb_no_memory(err);
    return q->eyes->largest(q->eyes->user, &(kx_side){v, &factors}, typed_centre, most);
}

/* A view on the host of up to SAMPLE rows, evenly spaced; of device arrays a copy. */
static kcl_status sample_of(const kx_question *q, const kx_view *v, kx_view *sample, kb_arena *arena, kb_error *err)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype), step = v->rows / SAMPLE + 1;
    *sample = *v;
    sample->rows = v->rows / step + (v->rows % step != 0);
    sample->row_stride = v->row_stride * step;
    if (!v->memory)
        return KCL_OK;
    *sample =
        (kx_view){.dtype = v->dtype, .rows = sample->rows, .dim = v->dim, .row_stride = v->dim * size, .step = size};
    void *rows = kb_arena_alloc(arena, (size_t)(sample->rows * sample->row_stride) + 1);
    sample->data = rows;
    return rows ? q->eyes->read(q->eyes->user, v, step, sample->rows, rows) : kb_no_memory(err);
}

/* The centre of both arrays, a number of the launch's type, and max |a - c|^2 + max |b - c|^2. */
static kcl_status look(const kx_question *q, const kx_view *rows, const double *row_factor, const kx_view *cols,
                       const double *col_factor, kb_arena *arena, const double **centre, double *size, kb_error *err)
{
    int32_t dim = rows->dim;
    double *low = kb_arena_alloc(arena, (size_t)dim * sizeof *low), *c = low;
    double *high = kb_arena_alloc(arena, (size_t)dim * sizeof *high);
    if (!low || !high)
        return kb_no_memory(err);
    for (int32_t k = 0; k < dim; k++) {
        low[k] = INFINITY;
        high[k] = -INFINITY;
    }
    kx_view some;
    if (sample_of(q, rows, &some, arena, err) < 0)
        return err->status;
    widen(&some, row_factor, low, high);
    if (sample_of(q, cols, &some, arena, err) < 0)
        return err->status;
    widen(&some, col_factor, low, high);
    for (int32_t k = 0; k < dim; k++) {
        double middle = low[k] + (high[k] - low[k]) / 2;
        c[k] = q->dtype == KCL_F32 ? (double)(float)middle : middle;
    }
    *centre = c;
    double of_rows, of_cols;
    if (largest_square(q, rows, row_factor, c, &of_rows, arena, err) < 0 ||
        largest_square(q, cols, col_factor, c, &of_cols, arena, err) < 0)
        return err->status;
    *size = of_rows + of_cols;
    return KCL_OK;
}

/*
 * For the sum over columns of the distance itself: the largest ratio of |a_i - c|^2 + mean |b - c|^2 to the mean distance
 * of a row, |a_i - m|^2 + mean |b - m|^2 with m the mean of b.
 */
static kcl_status mean_ratio(const kx_view *rows, const double *row_factor, const kx_view *cols,
                             const double *col_factor, const double *centre, kb_arena *arena, double *ratio,
                             kb_error *err)
{
    int32_t dim = rows->dim;
    *ratio = INFINITY; /* of device arrays nobody computes it */
    if (rows->memory || cols->memory)
        return KCL_OK;
    double *mean = kb_arena_alloc(arena, (size_t)dim * sizeof *mean), about_centre = 0, about_mean = 0;
    if (!mean)
        return kb_no_memory(err);
    for (int64_t j = 0; j < cols->rows; j++) {
        for (int32_t k = 0; k < dim; k++) {
            double t = element(cols, j, k) * col_factor[k] - centre[k];
            mean[k] += t / (double)cols->rows;
            about_centre += t * t / (double)cols->rows;
        }
    }
    about_mean = about_centre;
    for (int32_t k = 0; k < dim; k++)
        about_mean -= mean[k] * mean[k];
    *ratio = 0;
    for (int64_t i = 0; i < rows->rows; i++) {
        double to_centre = about_centre, to_mean = about_mean;
        for (int32_t k = 0; k < dim; k++) {
            double t = element(rows, i, k) * row_factor[k] - centre[k];
            to_centre += t * t;
            to_mean += (t - mean[k]) * (t - mean[k]);
        }
        double here = to_mean > 0 ? to_centre / to_mean : INFINITY;
        *ratio = here <= *ratio ? *ratio : here;
    }
    return KCL_OK;
}

/* ---- Numbers of parameters --------------------------------------------------------------------------------------- */

/* Returns whether the points and all parameters that the decision takes can be looked at. */
static bool are_visible(const kx_question *q)
{
    const kp_expansion *e = q->expansion;
    bool visible = true;
    for (size_t k = 0; k < e->count; k++)
        visible = visible && q->views[e->distance[k].row_from.var] && q->views[e->distance[k].col_from.var];
    for (size_t k = 0; k < q->sweep->var_count; k++)
        visible = visible && (!e->wanted[k] || q->views[k]);
    return visible;
}

/* Returns whether a parameter that slopes and factors are computed from is in the device's memory. */
static bool has_parameters_there(const kx_question *q)
{
    bool there = false;
    for (size_t k = 0; k < q->sweep->var_count; k++)
        there |= q->expansion->wanted[k] && q->views[k]->memory;
    return there;
}

/* Values of formulas of parameters, in double: value[k] has the node's dimension. */
static kcl_status evaluate(const kx_question *q, size_t count, const kf_node *const *nodes, double **value,
                           kb_arena *arena, kb_error *err)
{
    kf_source *sources = kb_arena_alloc(arena, (q->sweep->var_count + 1) * sizeof *sources);
    kr_sink *sinks = kb_arena_alloc(arena, count * sizeof *sinks);
    if (!sources || !sinks)
        return kb_no_memory(err);
    for (size_t k = 0; k < q->sweep->var_count; k++) {
        kx_view v;
        if (!q->expansion->wanted[k])
            continue;
        if (sample_of(q, q->views[k], &v, arena, err) < 0)
            return err->status;
        sources[k] = (kf_source){v.data, v.dtype, v.row_stride, v.step};
    }
    for (size_t k = 0; k < count; k++) {
        value[k] = kb_arena_alloc(arena, (size_t)nodes[k]->dim * sizeof(double));
        if (!value[k])
            return kb_no_memory(err);
        sinks[k] = (kr_sink){value[k], KCL_F64, nodes[k]->dim * (int64_t)sizeof(double), sizeof(double)};
    }
    kr_sweep sweep = {.graph = &q->expansion->graph,
                      .var_count = q->sweep->var_count,
                      .vars = q->sweep->vars,
                      .output_count = count,
                      .outputs = nodes};
    return kr_run_host(&sweep, 1, 0, sources, sinks, 1, err);
}

/* ---- What was seen -------------------------------------------------------------------------------------------------- */

/*
 * What is known of two arrays, whichever stands in front; made where *is_new. NULL: memory is out. Arrays with factors are
 * looked at each time.
 */
static kx_sight *sight_of(kx_seen *seen, const kx_view *row, const kx_view *col, bool is_plain, bool *is_new,
                          kb_arena *arena)
{
    kx_sight *s = seen->first;
    while (s && !(is_plain && s->is_plain && ((s->row == row && s->col == col) || (s->row == col && s->col == row))))
        s = s->next;
    *is_new = !s;
    if (s || !(s = kb_arena_alloc(arena, sizeof *s)))
        return s;
    *s = (kx_sight){.next = seen->first, .row = row, .col = col, .is_plain = is_plain};
    return seen->first = s;
}

/* ---- The choice -------------------------------------------------------------------------------------------------- */

static const double *wide_factor(const kf_node *node, const double *value, int32_t dim, kb_arena *arena)
{
    if (node && node->dim == dim)
        return value;
    double *wide = kb_arena_alloc(arena, (size_t)dim * sizeof *wide);
    for (int32_t k = 0; wide && k < dim; k++)
        wide[k] = node ? *value : 1;
    return wide;
}

/* What is known of a distance. */
typedef struct sight {
    const kx_view *row, *col;
    const double *row_factor, *col_factor, *centre;
    double size;
} sight;

static kcl_status see_distance(const kx_question *q, const kp_distance *d, double *const *factors, kx_seen *seen,
                               sight *s, kb_arena *arena, kb_error *err)
{
    bool plain = !d->row_from.factor && !d->col_from.factor;
    *s = (sight){.row = q->views[d->row_from.var],
                 .col = q->views[d->col_from.var],
                 .row_factor = wide_factor(d->row_from.factor, factors[0], d->dim, arena),
                 .col_factor = wide_factor(d->col_from.factor, factors[1], d->dim, arena)};
    if (!s->row_factor || !s->col_factor)
        return kb_no_memory(err);
    bool is_new;
    kx_sight *known = sight_of(seen, s->row, s->col, plain, &is_new, arena);
    if (!known)
        return kb_no_memory(err);
    if (is_new && look(q, s->row, s->row_factor, s->col, s->col_factor, arena, &known->centre, &known->size, err) < 0)
        return err->status;
    s->centre = known->centre;
    s->size = known->size;
    return KCL_OK;
}

/* The largest bound over the terms; the bound of a term is the sum of the bounds of its distances. */
static kcl_status bound_of(const kx_question *q, const sight *sights, double *const *slopes, double *bound,
                           kb_arena *arena, kb_error *err)
{
    const kp_expansion *e = q->expansion;
    *bound = 0;
    for (size_t t = 0; t < q->sweep->term_count; t++) {
        double sum = 0, ratio = 0;
        for (size_t k = 0; k < e->slope_count; k++) {
            const sight *s = &sights[e->slopes[k].distance];
            int32_t dim = e->distance[e->slopes[k].distance].dim;
            if (e->slopes[k].term != t || e->slopes[k].is_screened)
                continue;
            if (!e->slopes[k].is_multiple)
                sum += kx_form_bound(*slopes[k], dim, s->size);
            else if (mean_ratio(s->row, s->row_factor, s->col, s->col_factor, s->centre, arena, &ratio, err) == KCL_OK)
                sum += kx_form_bound(1, dim, ratio);
            else
                return err->status;
        }
        *bound = sum <= *bound ? *bound : sum;
    }
    return KCL_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/*
 * By how many margins the nearest two columns of a row differ: the median over rows, in a sample of both. Among all columns
 * they are nearer to each other, but what counts is the order of magnitude: tight clusters far apart have neighbours within
 * rounding.
 */
static kcl_status neighbours(const kx_question *q, const sight *s, double slope, const double *margin, double *apart,
                             kb_arena *arena, kb_error *err)
{
    kx_view rows, cols;
    double gaps[FEW] = {0};
    int64_t count = 0;
    if (sample_of(q, s->row, &rows, arena, err) < 0 || sample_of(q, s->col, &cols, arena, err) < 0)
        return err->status;
    for (int64_t i = 0; i < rows.rows && count < FEW; i += rows.rows / FEW + 1) {
        double first = INFINITY, second = INFINITY;
        for (int64_t j = 0; j < cols.rows; j++) {
            double sum = 0;
            for (int32_t k = 0; k < rows.dim; k++)
                sum += (element(&rows, i, k) - element(&cols, j, k)) * (element(&rows, i, k) - element(&cols, j, k));
            second = sum < first ? first : sum < second ? sum : second;
            first = sum < first ? sum : first;
        }
        gaps[count++] = fabs(slope) * (second - first) / (margin[0] + margin[1] * fabs(slope) * first);
    }
    qsort(gaps, (size_t)count, sizeof *gaps, by_size);
    *apart = gaps[count / 2];
    return KCL_OK;
}

/* The plan's margins, and how far neighbours are apart where that is least; infinite where nothing is screened. */
static kcl_status margins_of(const kx_question *q, const sight *sights, double *const *slopes, kx_choice *choice,
                             double *apart, kb_arena *arena, kb_error *err)
{
    const kp_expansion *e = q->expansion;
    int32_t count = 2 * (int32_t)q->sweep->term_count;
    *apart = INFINITY;
    if (!e->screens)
        return KCL_OK;
    double *margins = kb_arena_alloc(arena, (size_t)count * sizeof *margins), here = 0;
    for (size_t k = 0; margins && k < e->slope_count; k++) {
        const sight *s = &sights[e->slopes[k].distance];
        double *margin = &margins[2 * e->slopes[k].term];
        if (!e->slopes[k].is_screened)
            continue;
        kx_form_margin(*slopes[k], e->distance[e->slopes[k].distance].dim, s->size, q->dtype, margin);
        if (neighbours(q, s, *slopes[k], margin, &here, arena, err) < 0)
            return err->status;
        *apart = here >= *apart ? *apart : here;
    }
    choice->parameter[e->count] = margins ? typed(q, margins, count, arena) : NULL;
    choice->size[e->count] = (size_t)count * kb_dtype_size(q->dtype);
    return choice->parameter[e->count] ? KCL_OK : kb_no_memory(err);
}

static kcl_status differences(kx_choice *choice, const char *why)
{
    *choice = (kx_choice){.is_expanded = false};
    snprintf(choice->why, sizeof choice->why, "differences%s%s%s", *why ? " (" : "", why, *why ? ")" : "");
    return KCL_OK;
}

/* ---- Decisions on the device ------------------------------------------------------------------------------------- */

/*
 * A factor where the device can read it: a parameter as it is, or computed there, or by the host, which knows all
 * parameters. Buffers go to a sight of their own.
 */
static kcl_status find_factor(const kx_question *q, const kf_node *node, kx_side *side, kx_seen *seen, kb_arena *arena,
                              kb_error *err)
{
    kx_view *factor = NULL;
    double *value = NULL;
    bool is_new;
    if (!node)
        return KCL_OK;
    if (node->op == KF_VAR) {
        side->factor = q->views[node->param[0]];
        return KCL_OK;
    }
    if (!(factor = kb_arena_alloc(arena, sizeof *factor)))
        return kb_no_memory(err);
    *factor = factors_of(q, NULL, node->dim);
    side->factor = factor;
    if (has_parameters_there(q)) {
        kx_sight *s = sight_of(seen, side->view, NULL, false, &is_new, arena);
        if (!s)
            return kb_no_memory(err);
        kcl_status status = q->eyes->evaluate(q->eyes->user, q->expansion, node, &s->centre_there);
        factor->buffer = s->centre_there;
        return status;
    }
    if (evaluate(q, 1, &node, &value, arena, err) < 0)
        return err->status;
    factor->data = typed(q, value, node->dim, arena);
    return factor->data ? KCL_OK : kb_no_memory(err);
}

/* Whether the device has to say which form it is: the host would wait for some of the numbers. */
static bool is_for_the_device(const kx_question *q)
{
    const kp_expansion *e = q->expansion;
    bool there = has_parameters_there(q);
    for (size_t k = 0; k < e->count; k++)
        there |= q->views[e->distance[k].row_from.var]->memory || q->views[e->distance[k].col_from.var]->memory;
    return q->decides && there && !e->screens;
}

/* Has the device look at the data. With a form that was asked for the centres are all that is needed. */
static kcl_status let_the_device_decide(kx_choice *choice, const kx_question *q, kx_seen *seen, kb_arena *arena,
                                        kb_error *err)
{
    const kp_expansion *e = q->expansion;
    const bool forced = q->form == KG_FORM_EXPANDED;
    for (size_t k = 0; k < e->slope_count; k++) /* the mean distance of a row is not computed there */
        if (e->slopes[k].is_multiple && !forced)
            return differences(choice, "a sum of distances, in the device's memory");
    for (size_t k = 0; k < e->count; k++) {
        const kp_distance *d = &e->distance[k];
        const bool plain = !d->row_from.factor && !d->col_from.factor;
        kx_side sides[2] = {{q->views[d->row_from.var], NULL}, {q->views[d->col_from.var], NULL}};
        bool is_new;
        if (find_factor(q, d->row_from.factor, &sides[0], seen, arena, err) < 0)
            return err->status;
        if (d->col_from.factor == d->row_from.factor)
            sides[1].factor = sides[0].factor;
        else if (find_factor(q, d->col_from.factor, &sides[1], seen, arena, err) < 0)
            return err->status;
        kx_sight *s = sight_of(seen, sides[0].view, sides[1].view, plain, &is_new, arena);
        if (!s)
            return kb_no_memory(err);
        if (is_new && q->eyes->measure(q->eyes->user, sides, &s->centre_there, &s->sizes_there, !forced) < 0)
            return err->status;
        choice->centre[k] = s->centre_there;
        choice->sizes[k] = s->sizes_there;
    }
    choice->is_expanded = forced;
    choice->is_decided = !forced;
    snprintf(choice->why, sizeof choice->why, "%s",
             forced ? "expanded (asked for)" : "decided on the device, by the data of each call");
    return KCL_OK;
}

kcl_status kx_choose_form(kx_choice *choice, const kx_question *q, kx_seen *seen, kb_arena *arena, kb_error *err)
{
    const kp_expansion *e = q->expansion;
    bool forced = q->form == KG_FORM_EXPANDED;
    int32_t longest = 0;
    char why[64];
    *choice = (kx_choice){.is_expanded = false};
    if (!e)
        return forced ? differences(choice, "no distance can be expanded") : KCL_OK;
    if (q->form == KG_FORM_DIFFERENCES)
        return differences(choice, "asked for");
    if (q->has_batches)
        return differences(choice, "there are batches");
    if (e->screens && !q->screens)
        return differences(choice, "an ArgMin, on this schedule");
    for (size_t k = 0; k < e->count; k++)
        longest = KB_MAX(longest, e->distance[k].dim);
    if (!forced && !kp_expansion_pays(q->caps, longest, q->rows, q->cols))
        return differences(choice, "too small to gain");

    if (!are_visible(q))
        return differences(choice, "the bound needs a result of an earlier sweep");
    if (is_for_the_device(q))
        return let_the_device_decide(choice, q, seen, arena, err);

    const kf_node **nodes = kb_arena_alloc(arena, (2 * e->count + e->slope_count) * sizeof *nodes);
    double **value = kb_arena_alloc(arena, (2 * e->count + e->slope_count) * sizeof *value);
    double **factors[KP_MAX_DISTANCES][2] = {{NULL}}, *none = NULL;
    sight sights[KP_MAX_DISTANCES];
    double bound, apart, largest = q->dtype == KCL_F32 ? FLT_MAX : DBL_MAX;
    size_t count = 0;
    if (!nodes || !value)
        return kb_no_memory(err);
    for (size_t k = 0; k < e->slope_count; k++)
        nodes[count++] = e->slopes[k].value;
    for (size_t k = 0; k < e->count; k++) {
        const kp_operand *sides[] = {&e->distance[k].row_from, &e->distance[k].col_from};
        for (int s = 0; s < 2; s++) {
            factors[k][s] = sides[s]->factor ? &value[count] : &none;
            if (sides[s]->factor)
                nodes[count++] = sides[s]->factor;
        }
    }
    if (evaluate(q, count, nodes, value, arena, err) < 0)
        return err->status;
    for (size_t k = 0; k < e->count; k++) {
        double *const pair[] = {*factors[k][0], *factors[k][1]};
        if (see_distance(q, &e->distance[k], pair, seen, &sights[k], arena, err) < 0)
            return err->status;
        choice->parameter[k] = typed(q, sights[k].centre, e->distance[k].dim, arena);
        choice->size[k] = (size_t)e->distance[k].dim * kb_dtype_size(q->dtype);
        if (!choice->parameter[k])
            return kb_no_memory(err);
    }
    if (bound_of(q, sights, value, &bound, arena, err) < 0 ||
        margins_of(q, sights, value, choice, &apart, arena, err) < 0)
        return err->status;
    /* Norms must not overflow where distances do not. NaN is no bound. */
    bool holds = bound <= KP_BOUND_LIMIT && apart >= (forced ? 0 : APART);
    for (size_t k = 0; k < e->count; k++)
        holds = holds && sights[k].size < largest / 4;
    snprintf(why, sizeof why, "bound %.3g %s %g%s", bound, bound <= KP_BOUND_LIMIT ? "<=" : ">", KP_BOUND_LIMIT,
             forced ? ", asked for" : "");
    if (e->screens && bound <= KP_BOUND_LIMIT)
        snprintf(why, sizeof why, "neighbours %.3g margins apart%s", apart, forced ? ", asked for" : "");
    if (!holds && !forced)
        return differences(choice, why);
    choice->is_expanded = true;
    snprintf(choice->why, sizeof choice->why, "expanded (%s)", why);
    return KCL_OK;
}
