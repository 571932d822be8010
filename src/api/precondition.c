/* SPDX-License-Identifier: MIT */
/* api/precondition.c: a preconditioner from columns of K at rows drawn at random. */
#include "precondition.h"

#include "dense.h"
#include "make.h"
#include "numbers.h"
#include "passes.h"
#include "reductions.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 64 };

struct ka_preconditioner {
    kcl_context *context;
    kcl_dtype dtype;
    int64_t rows, rank, most; /* `most`: columns that there is room for */
    kcl_array factor;         /* L, of shape (rows, most) */
    double *middle;           /* Cholesky factor of shift Id + L' L, rank x rank */
    double shift;
    kcl_operator *combine; /* (r - L t) / shift from r and L t */
    kcl_array product;     /* L t, of the shape of r; ndim -1: not yet */
    kcl_array inner;       /* L' r, of shape (rank, columns) */
    double *inner_host;
    void *inner_copy;
    int64_t columns;
};

/* What making it needs. */
typedef struct maker {
    const ka_matrix *m;
    ka_preconditioner *p;
    const kcl_allocator *a;
    kcl_operator *column;  /* K for a right-hand side of one column */
    kcl_operator *squares; /* sums of squares of rows of `squares_of` columns */
    int64_t squares_of;
    kx_view *views;   /* of the arguments */
    void **picked;    /* by argument: its rows at the pivots */
    double *diagonal; /* of E */
    void *numbers;    /* a number for each row, of the matrix's type */
    int64_t pivots[BLOCK];
    int64_t pivot_count;
    uint64_t state;
    double small[BLOCK * BLOCK];
} maker;

static kb_error *error_of(const maker *k)
{
    return kd_error(k->m->context);
}

/* ---- The operator of one column ------------------------------------------------------------------------------------ */

/* The formula again, with an unknown of one component. */
static const kf_node *narrow_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const maker *k = user;
    if (f->op == KF_VAR && f->param[0] == (int64_t)k->m->unknown)
        return kf_lends_axes(f) ? f : kf_var(g, f->param[0], 1, (kf_role)f->param[2]);
    if (f->arg_count == 0 || kf_keeps_args(f, args))
        return kf_rebuild(g, f, args);
    if (f->op == KF_REDUCE)
        return kf_reduce(g, (kf_reduction)f->param[0], (unsigned)f->param[1], f->param[2], args[0]);
    return kf_make(g, (kf_op)f->op, args, f->param);
}

/* *fits: the result has one component as well. */
static kcl_status make_column(maker *k, bool *fits)
{
    const kcl_operator *from = k->m->op;
    kcl_operator *op = k->column = ka_operator_new(&(kcl_operator_params){.allocator = *k->a});
    if (!op)
        return kb_no_memory(error_of(k));
    op->options = from->options;
    kcl_status status = KCL_OK;
    for (size_t n = 0; status == KCL_OK && n < from->input_count; n++) {
        const bool is_unknown = n == k->m->unknown;
        status = ka_operator_declare(op, (int64_t)n, from->inputs[n].name, is_unknown ? 1 : from->inputs[n].dim,
                                     from->inputs[n].role);
        if (status == KCL_OK && !is_unknown)
            op->inputs[n] = from->inputs[n];
    }
    const kf_node *root = NULL;
    if (status == KCL_OK)
        status = kf_rewrite(&op->graph, &from->graph, 1, from->roots, false, narrow_node, k, &root);
    *fits = status == KCL_OK && root->dim == 1;
    if (status == KCL_OK && *fits)
        status = ka_operator_add_roots(op, 1);
    if (status == KCL_OK && *fits) {
        op->roots[0] = root;
        op->outputs[0].role = KF_ROLE_I;
        status = ka_operator_compile(op);
    }
    if (status < 0)
        *error_of(k) = op->error.status < 0 ? op->error : op->graph.error;
    return status < 0 ? error_of(k)->status : KCL_OK;
}

/* An operator of rows of i from a text. */
static kcl_status make_of_text(maker *k, kcl_operator **op, const char *formula, int count, const char *const *aliases)
{
    const kcl_operator_params params = {.allocator = *k->a};
    if (kcl_operator_create(op, formula, count, aliases, &params) < 0 && *op)
        *error_of(k) = (*op)->error;
    return !*op ? kb_no_memory(error_of(k)) : (*op)->error.status;
}

/* ---- Columns of K ------------------------------------------------------------------------------------------------- */

/* Row `row` of an argument, and `count` rows that follow each other, as single rows of batches. */
static kcl_array rows_of(const kx_view *v, int64_t row, int64_t count)
{
    kcl_array array = {.data = v->memory ? NULL : (char *)(uintptr_t)v->data + row * v->row_stride,
                       .dtype = v->dtype,
                       .ndim = 3,
                       .shape = {count, 1, v->dim},
                       .stride = {v->row_stride, v->row_stride, v->step},
                       .memory = v->memory,
                       .offset = v->offset + row * v->row_stride};
    return array;
}

/* Copies of the rows of the arguments of j at the pivots. */
static kcl_status pick_rows(maker *k, kcl_array *arrays, const kcl_array **args)
{
    const kcl_operator *op = k->m->op;
    for (size_t n = 0; n < op->input_count; n++) {
        const kx_view *v = &k->views[n];
        if (n == k->m->unknown || op->inputs[n].role != KF_ROLE_J)
            continue;
        const size_t bytes = (size_t)v->dim * kb_dtype_size(v->dtype);
        for (int64_t b = 0; b < k->pivot_count; b++) {
            const kcl_array from = rows_of(v, k->pivots[b], 1);
            kcl_array to = kcl_array_of((char *)k->picked[n] + (size_t)b * bytes, v->dtype, 3, from.shape);
            if (v->memory) {
                if (kcl_array_download(k->m->context, &from, &to) < 0)
                    return error_of(k)->status;
                continue;
            }
            for (int64_t c = 0; c < v->dim; c++)
                memcpy((char *)to.data + (size_t)c * kb_dtype_size(v->dtype), (char *)from.data + c * v->step,
                       kb_dtype_size(v->dtype));
        }
        arrays[n] = kcl_array_of(k->picked[n], v->dtype, 3, (const int64_t[]){k->pivot_count, 1, v->dim});
        args[n] = &arrays[n];
    }
    return KCL_OK;
}

static kcl_array ones_of(const maker *k)
{
    static const float one_f32 = 1;
    static const double one_f64 = 1;
    const bool is_f32 = k->m->dtype == KCL_F32;
    return kcl_array_of(is_f32 ? (const void *)&one_f32 : &one_f64, k->m->dtype, 2, (const int64_t[]){1, 1});
}

/* Columns of K at the pivots, into L from column `at` on; or the diagonal of K. */
static kcl_status evaluate(maker *k, int64_t at, bool is_diagonal)
{
    const kcl_operator *op = k->m->op;
    const ka_preconditioner *p = k->p;
    const int64_t size = (int64_t)kb_dtype_size(p->dtype);
    kcl_array *arrays = kb_calloc(k->a, op->input_count + 1, sizeof *arrays);
    const kcl_array **args = kb_calloc(k->a, op->input_count + 1, sizeof *args);
    kcl_status status = arrays && args ? KCL_OK : kb_no_memory(error_of(k));
    const kcl_array one = ones_of(k);
    for (size_t n = 0; status == KCL_OK && n < op->input_count; n++) {
        args[n] = n == k->m->unknown ? &one : k->m->args[n];
        if (n != k->m->unknown && op->inputs[n].role != KF_ROLE_P && is_diagonal) {
            arrays[n] = rows_of(&k->views[n], 0, p->rows);
            args[n] = &arrays[n];
        }
    }
    kcl_array out = kcl_array_of(k->numbers, p->dtype, 3, (const int64_t[]){p->rows, 1, 1});
    if (!is_diagonal) {
        out = (kcl_array){.dtype = p->dtype,
                          .ndim = 3,
                          .shape = {k->pivot_count, p->rows, 1},
                          .stride = {size, size * p->most, size},
                          .memory = p->factor.memory,
                          .offset = at * size};
        if (status == KCL_OK)
            status = pick_rows(k, arrays, args);
    }
    if (status == KCL_OK)
        status =
            kcl_operator_apply(k->column, k->m->context, (const kcl_array *[]){&out}, 1, args, (int)op->input_count);
    kb_free(k->a, arrays);
    kb_free(k->a, args);
    return status;
}

/* ---- The factor --------------------------------------------------------------------------------------------------- */

static kd_matrix matrix_of(const kcl_array *array, size_t rows, size_t columns, size_t offset, size_t stride)
{
    return (kd_matrix){.buffer = kd_memory_buffer(array->memory),
                       .host = kd_memory_host(array->memory),
                       .offset = offset,
                       .rows = rows,
                       .columns = columns,
                       .stride = stride};
}

/* Draws rows with probabilities in proportion to the diagonal of E, each row once. */
static void draw_pivots(maker *k, int64_t count)
{
    double total = 0, sum = 0, thresholds[BLOCK];
    for (int64_t i = 0; i < k->p->rows; i++)
        total += k->diagonal[i];
    /* Sorted uniform numbers from exponential gaps. */
    double place = 0;
    for (int64_t b = 0; b <= count; b++) {
        k->state = kb_hash_combine(k->state, (uint64_t)b);
        place -= log(((double)(k->state >> 11) + 0.5) * 0x1p-53);
        if (b < count)
            thresholds[b] = place;
    }
    k->pivot_count = 0;
    int64_t b = 0;
    for (int64_t i = 0; i < k->p->rows && b < count; i++) {
        sum += k->diagonal[i];
        if (sum < thresholds[b] / place * total || k->diagonal[i] <= 0)
            continue;
        k->pivots[k->pivot_count++] = i;
        while (b < count && thresholds[b] / place * total <= sum)
            b++;
    }
}

/* Rows of L at the pivots, columns from `at` on, as doubles in `to`, row-major. */
static kcl_status read_rows(maker *k, int64_t at, int64_t columns, double *to)
{
    const ka_preconditioner *p = k->p;
    const int64_t size = (int64_t)kb_dtype_size(p->dtype);
    for (int64_t b = 0; b < k->pivot_count; b++) {
        const kcl_array from =
            kcl_array_in(p->factor.memory, (k->pivots[b] * p->most + at) * size, p->dtype, 1, &columns);
        const kcl_array host = kcl_array_of(k->numbers, p->dtype, 1, &columns);
        if (kcl_array_download(k->m->context, &from, &host) < 0)
            return error_of(k)->status;
        for (int64_t c = 0; c < columns; c++)
            to[b * columns + c] = ka_number_at(k->numbers, p->dtype, c);
    }
    return KCL_OK;
}

/* What is left of the columns at the pivots once the columns of L before `at` are taken off. */
static kcl_status subtract_known(maker *k, int64_t at)
{
    ka_preconditioner *p = k->p;
    if (!at)
        return KCL_OK;
    const int64_t shape[] = {k->pivot_count, at};
    double *rows = kb_alloc(k->a, (size_t)(shape[0] * shape[1]) * sizeof *rows);
    void *typed = kb_alloc(k->a, (size_t)(shape[0] * shape[1]) * kb_dtype_size(p->dtype));
    kcl_array on_device = {.ndim = -1};
    kcl_status status = rows && typed ? read_rows(k, 0, at, rows) : kb_no_memory(error_of(k));
    for (int64_t n = 0; status == KCL_OK && n < shape[0] * shape[1]; n++)
        ka_put_number(typed, p->dtype, n, rows[n]);
    if (status == KCL_OK) {
        const kcl_array host = kcl_array_of(typed, p->dtype, 2, shape);
        status = kcl_array_upload(k->m->context, &host, &on_device);
    }
    if (status == KCL_OK) {
        const size_t n = (size_t)p->rows, b = (size_t)k->pivot_count, stride = (size_t)p->most;
        const kd_matrix known = matrix_of(&p->factor, n, (size_t)at, 0, stride);
        const kd_matrix picked = matrix_of(&on_device, b, (size_t)at, 0, (size_t)at);
        const kd_matrix block = matrix_of(&p->factor, n, b, (size_t)at, stride);
        status = kd_gemm(k->m->context, p->dtype, false, true, -1, &known, &picked, 1, &block);
        const kcl_status end = kd_finish(k->m->context);
        status = status < 0 ? status : end;
    }
    kb_free(k->a, rows);
    kb_free(k->a, typed);
    if (on_device.ndim >= 0)
        kcl_array_free(&on_device);
    return status;
}

/* Into `numbers`: for each row, the sum of the squares of the columns from `at` on. */
static kcl_status add_squares(maker *k, int64_t at)
{
    const ka_preconditioner *p = k->p;
    if (k->squares_of != k->pivot_count) {
        char alias[32];
        kcl_operator_destroy(&k->squares);
        k->squares_of = k->pivot_count;
        snprintf(alias, sizeof alias, "l = Vi(%lld)", (long long)k->pivot_count);
        if (make_of_text(k, &k->squares, "Sum_Reduction(SqNorm2(l),0)", 1, (const char *[]){alias}) < 0)
            return error_of(k)->status;
    }
    const int64_t size = (int64_t)kb_dtype_size(p->dtype);
    kcl_array rows = kcl_array_in(p->factor.memory, at * size, p->dtype, 2, (const int64_t[]){p->rows, k->pivot_count});
    rows.stride[0] = size * p->most;
    const kcl_array sums = kcl_array_of(k->numbers, p->dtype, 2, (const int64_t[]){p->rows, 1});
    return kcl_operator_apply(k->squares, k->m->context, (const kcl_array *[]){&sums}, 1, (const kcl_array *[]){&rows},
                              1);
}

/* One block of columns. *taken: how many were added to L. */
static kcl_status add_block(maker *k, int64_t at, int64_t *taken)
{
    ka_preconditioner *p = k->p;
    *taken = 0;
    draw_pivots(k, KB_MIN((int64_t)BLOCK, p->most - at));
    if (!k->pivot_count)
        return KCL_OK;
    if (evaluate(k, at, false) < 0 || subtract_known(k, at) < 0 || read_rows(k, at, k->pivot_count, k->small) < 0)
        return error_of(k)->status;
    const size_t b = (size_t)k->pivot_count;
    double trace = 0;
    for (size_t n = 0; n < b; n++)
        trace += k->small[n * b + n];
    /* Pivots may be nearly dependent: a little is added to their block, so that the rest E stays positive. */
    const double jitter = 100 * (p->dtype == KCL_F32 ? FLT_EPSILON : DBL_EPSILON) * trace;
    for (size_t n = 0; n < b; n++)
        k->small[n * b + n] += jitter;
    size_t failed;
    if (!(trace > 0) || !isfinite(trace))
        return KCL_OK;
    if (kd_potrf(k->m->context, b, k->small, b, &failed) < 0)
        return error_of(k)->status;
    if (failed)
        return KCL_OK;
    const kd_matrix block = matrix_of(&p->factor, (size_t)p->rows, b, (size_t)at, (size_t)p->most);
    kcl_status status = kd_trsm(k->m->context, p->dtype, &block, k->small, b, true, true);
    const kcl_status end = kd_finish(k->m->context);
    if (status < 0 || end < 0)
        return status < 0 ? status : end;
    if (add_squares(k, at) < 0)
        return error_of(k)->status;
    for (int64_t i = 0; i < p->rows; i++)
        k->diagonal[i] = KB_MAX(0, k->diagonal[i] - ka_number_at(k->numbers, p->dtype, i));
    for (int64_t n = 0; n < k->pivot_count; n++)
        k->diagonal[k->pivots[n]] = 0;
    *taken = k->pivot_count;
    return KCL_OK;
}

/* shift Id + L' L and its factor. The shift is large enough for the precision. */
static kcl_status make_middle(maker *k, double shift)
{
    ka_preconditioner *p = k->p;
    const size_t r = (size_t)p->rank;
    p->middle = kb_calloc(k->a, r * r, sizeof *p->middle);
    if (!p->middle)
        return kb_no_memory(error_of(k));
    const kd_matrix l = matrix_of(&p->factor, (size_t)p->rows, r, 0, (size_t)p->most);
    const kcl_status status = kd_gram(k->m->context, p->dtype, 1, &l, 0, p->middle, r);
    const kcl_status end = kd_finish(k->m->context);
    if (status < 0 || end < 0)
        return status < 0 ? status : end;
    double square = 0;
    for (size_t n = 0; n < r * r; n++)
        square += p->middle[n] * p->middle[n];
    /* Vectors are rounded, and K multiplies the rounding by its largest eigenvalue, the shift divides by the shift. */
    p->shift = KB_MAX(shift, 8 * (p->dtype == KCL_F32 ? FLT_EPSILON : DBL_EPSILON) * sqrt(square));
    for (size_t n = 0; n < r; n++)
        p->middle[n * r + n] += p->shift;
    size_t failed;
    if (kd_potrf(k->m->context, r, p->middle, r, &failed) < 0)
        return error_of(k)->status;
    if (failed)
        p->rank = 0;
    return KCL_OK;
}

static kcl_status make(maker *k, double shift, double least, bool *fits)
{
    const ka_matrix *m = k->m;
    ka_preconditioner *p = k->p;
    const kcl_operator *op = m->op;
    k->views = kb_calloc(k->a, op->input_count + 1, sizeof *k->views);
    k->picked = kb_calloc(k->a, op->input_count + 1, sizeof *k->picked);
    k->diagonal = kb_calloc(k->a, (size_t)p->rows + 1, sizeof *k->diagonal);
    k->numbers = kb_calloc(k->a, (size_t)KB_MAX(p->rows, p->most) + 1, sizeof(double));
    if (!k->views || !k->picked || !k->diagonal || !k->numbers)
        return kb_no_memory(error_of(k));
    *fits = !op->joins_axes;
    for (size_t n = 0; *fits && n < op->input_count; n++) {
        if (n == m->unknown || op->inputs[n].role == KF_ROLE_P)
            continue;
        if (kx_view_of(&k->views[n], m->args[n], op->inputs[n].role, op->inputs[n].dim, KX_SQUEEZED, "", error_of(k)) <
            0)
            return error_of(k)->status;
        *fits = !k->views[n].batch.count;
        k->picked[n] = kb_alloc(k->a, (size_t)(BLOCK * op->inputs[n].dim) * sizeof(double));
        if (!k->picked[n])
            return kb_no_memory(error_of(k));
    }
    if (!*fits)
        return KCL_OK;
    const kcl_status status = make_column(k, fits);
    if (status < 0 || !*fits)
        return status;
    if (evaluate(k, 0, true) < 0)
        return error_of(k)->status;
    double trace = 0;
    for (int64_t i = 0; i < p->rows; i++) {
        k->diagonal[i] = ka_number_at(k->numbers, p->dtype, i);
        *fits = *fits && k->diagonal[i] >= 0 && isfinite(k->diagonal[i]);
        trace += k->diagonal[i];
    }
    *fits = *fits && trace > 0 && trace >= least * shift * (double)p->rows;
    if (!*fits)
        return KCL_OK;
    if (kcl_array_create(m->context, p->dtype, 2, (const int64_t[]){p->rows, p->most}, &p->factor) < 0)
        return error_of(k)->status;
    while (p->rank < p->most && trace > shift * (double)p->rows) {
        int64_t taken;
        if (add_block(k, p->rank, &taken) < 0)
            return error_of(k)->status;
        if (!taken)
            break;
        p->rank += taken;
        trace = 0;
        for (int64_t i = 0; i < p->rows; i++)
            trace += k->diagonal[i];
    }
    if (p->rank && make_middle(k, shift) < 0)
        return error_of(k)->status;
    *fits = p->rank > 0;
    return KCL_OK;
}

kcl_status ka_precondition_make(ka_preconditioner **made, const ka_matrix *matrix, double shift, int64_t rank,
                                double least)
{
    const kcl_allocator *a = kd_allocator(matrix->context);
    ka_preconditioner *p = *made = kb_calloc(a, 1, sizeof *p);
    if (!p)
        return kb_no_memory(kd_error(matrix->context));
    *p = (ka_preconditioner){.context = matrix->context,
                             .dtype = matrix->dtype,
                             .rows = matrix->rows,
                             .most = KB_MIN(rank, matrix->rows),
                             .factor = {.ndim = -1},
                             .product = {.ndim = -1},
                             .inner = {.ndim = -1}};
    maker *k = kb_calloc(a, 1, sizeof *k);
    kcl_status status = k ? KCL_OK : kb_no_memory(kd_error(matrix->context));
    bool fits = false;
    if (k) {
        *k = (maker){.m = matrix, .p = p, .a = a, .state = 1};
        status = make(k, shift, least, &fits);
        for (size_t n = 0; k->picked && n < matrix->op->input_count; n++)
            kb_free(a, k->picked[n]);
        kcl_operator_destroy(&k->column);
        kcl_operator_destroy(&k->squares);
        kb_free(a, k->views);
        kb_free(a, k->picked);
        kb_free(a, k->diagonal);
        kb_free(a, k->numbers);
    }
    kb_free(a, k);
    if (status < 0 || !fits)
        ka_precondition_free(made);
    return status;
}

int64_t ka_precondition_rank(const ka_preconditioner *p)
{
    return p ? p->rank : 0;
}

void ka_precondition_free(ka_preconditioner **made)
{
    ka_preconditioner *p = *made;
    if (!p)
        return;
    const kcl_allocator *a = kd_allocator(p->context);
    kcl_array *const arrays[] = {&p->factor, &p->product, &p->inner};
    for (size_t n = 0; n < KB_COUNT(arrays); n++)
        if (arrays[n]->ndim >= 0)
            kcl_array_free(arrays[n]);
    kcl_operator_destroy(&p->combine);
    kb_free(a, p->middle);
    kb_free(a, p->inner_host);
    kb_free(a, p->inner_copy);
    kb_free(a, p);
    *made = NULL;
}

/* ---- Applying ------------------------------------------------------------------------------------------------------ */

/* What applying to `columns` columns needs, the first time. */
static kcl_status prepare(ka_preconditioner *p, int64_t columns)
{
    if (p->columns == columns)
        return KCL_OK;
    const kcl_allocator *a = kd_allocator(p->context);
    kb_error *err = kd_error(p->context);
    const size_t count = (size_t)(p->rank * columns);
    p->inner_host = kb_calloc(a, count, sizeof *p->inner_host);
    p->inner_copy = kb_calloc(a, count, sizeof(double));
    if (!p->inner_host || !p->inner_copy)
        return kb_no_memory(err);
    if (kcl_array_create(p->context, p->dtype, 2, (const int64_t[]){p->rank, columns}, &p->inner) < 0 ||
        kcl_array_create(p->context, p->dtype, 2, (const int64_t[]){p->rows, columns}, &p->product) < 0)
        return err->status;
    char aliases[3][32];
    snprintf(aliases[0], sizeof aliases[0], "r = Vi(%lld)", (long long)columns);
    snprintf(aliases[1], sizeof aliases[1], "w = Vi(%lld)", (long long)columns);
    snprintf(aliases[2], sizeof aliases[2], "s = Pm(1)");
    const kcl_operator_params params = {.allocator = *a};
    if (kcl_operator_create(&p->combine, "Sum_Reduction((r-w)*s,0)", 3,
                            (const char *[]){aliases[0], aliases[1], aliases[2]}, &params) < 0) {
        if (p->combine)
            *err = p->combine->error;
        return p->combine ? err->status : kb_no_memory(err);
    }
    p->columns = columns;
    return KCL_OK;
}

/* By the identity of Woodbury: (L L' + s Id)^-1 = (Id - L (s Id + L' L)^-1 L') / s. */
kcl_status ka_precondition_apply(ka_preconditioner *p, const kcl_array *r, const kcl_array *z, int64_t columns)
{
    kcl_context *c = p->context;
    if (prepare(p, columns) < 0)
        return kd_error(c)->status;
    const size_t rank = (size_t)p->rank, n = (size_t)p->rows, b = (size_t)columns;
    const kd_matrix l = matrix_of(&p->factor, n, rank, 0, (size_t)p->most), rs = matrix_of(r, n, b, 0, b),
                    ts = matrix_of(&p->inner, rank, b, 0, b), ws = matrix_of(&p->product, n, b, 0, b);
    kcl_status status = kd_gemm(c, p->dtype, true, false, 1, &l, &rs, 0, &ts), end = kd_finish(c);
    if (status < 0 || end < 0)
        return status < 0 ? status : end;
    const kcl_array inner = kcl_array_of(p->inner_copy, p->dtype, 2, (const int64_t[]){p->rank, columns});
    if (kcl_array_download(c, &p->inner, &inner) < 0)
        return kd_error(c)->status;
    for (int64_t k = 0; k < p->rank * columns; k++)
        p->inner_host[k] = ka_number_at(p->inner_copy, p->dtype, k);
    if (kd_potrs(c, rank, p->middle, rank, b, p->inner_host, b) < 0)
        return kd_error(c)->status;
    for (int64_t k = 0; k < p->rank * columns; k++)
        ka_put_number(p->inner_copy, p->dtype, k, p->inner_host[k]);
    if (kcl_array_update(c, &inner, &p->inner) < 0)
        return kd_error(c)->status;
    status = kd_gemm(c, p->dtype, false, false, 1, &l, &ts, 0, &ws);
    end = kd_finish(c);
    if (status < 0 || end < 0)
        return status < 0 ? status : end;
    const float narrow = (float)(1 / p->shift);
    const double wide = 1 / p->shift;
    const kcl_array scale =
        kcl_array_of(p->dtype == KCL_F32 ? (const void *)&narrow : &wide, p->dtype, 1, (const int64_t[]){1});
    return kcl_operator_apply(p->combine, c, (const kcl_array *[]){z}, 1, (const kcl_array *[]){r, &p->product, &scale},
                              3);
}
