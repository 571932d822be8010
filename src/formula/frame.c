/* SPDX-License-Identifier: MIT */
/* formula/frame.c: lists of instructions, run in double. */
#include "instructions.h"
#include "numeric.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- Elementwise operators: ops.def ------------------------------------------------------------------------------ */

/* Component k, column l of an operand is at[k * stride + l * lane]; lane is 0 or 1. */
typedef struct operand {
    const double *at;
    int64_t stride;
    int lane;
} operand;

typedef void (*map_fn)(double *restrict out, int64_t out_stride, const operand *x, int64_t n, int64_t dim,
                       int64_t count);

/* The loops differ in the operands that stay the same, so that each loop can become vector code. */
#define KF_MAP(id, name, arity, parameters, cost, value, ...)                                                          \
    _Static_assert((arity) <= KF_MAX_ARGS, "map_" #id " has too many operands");                                       \
    static void map_##id(double *restrict out, int64_t out_stride, const operand *x, int64_t n, int64_t dim,           \
                         int64_t count)                                                                                \
    {                                                                                                                  \
        (void)n;                                                                                                       \
        for (int64_t k = 0; k < dim; k++, out += out_stride) {                                                         \
            const double *pa = x[0].at + k * x[0].stride, *pb = x[1].at + k * x[1].stride;                             \
            const double *pc = x[2].at + k * x[2].stride;                                                              \
            if ((arity) == 3) {                                                                                        \
                for (int64_t l = 0; l < count; l++) {                                                                  \
                    double a = pa[l * x[0].lane], b = pb[l * x[1].lane], c = pc[l * x[2].lane];                        \
                    (void)b, (void)c;                                                                                  \
                    out[l] = value;                                                                                    \
                }                                                                                                      \
            } else if ((arity) == 1 || (x[0].lane && x[1].lane)) {                                                     \
                for (int64_t l = 0; l < count; l++) {                                                                  \
                    double a = pa[l], b = pb[l], c = 0;                                                                \
                    (void)b, (void)c;                                                                                  \
                    out[l] = value;                                                                                    \
                }                                                                                                      \
            } else if (x[0].lane) {                                                                                    \
                double b = *pb, c = 0;                                                                                 \
                (void)b, (void)c;                                                                                      \
                for (int64_t l = 0; l < count; l++) {                                                                  \
                    double a = pa[l];                                                                                  \
                    out[l] = value;                                                                                    \
                }                                                                                                      \
            } else {                                                                                                   \
                double a = *pa, c = 0;                                                                                 \
                (void)c;                                                                                               \
                for (int64_t l = 0; l < count; l++) {                                                                  \
                    double b = pb[l];                                                                                  \
                    (void)b;                                                                                           \
                    out[l] = value;                                                                                    \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }
#include "ops.def"

static const map_fn maps[KF_OP_COUNT] = {
#define KF_MAP(id, ...) [KF_##id] = map_##id,
#include "ops.def"
};

/* ---- Evaluation -------------------------------------------------------------------------------------------------- */

kcl_status kf_frame_create(kf_frame **frame, const kf_interp *interp, kb_error *err)
{
    const kcl_allocator *allocator = &interp->allocator;
    int64_t bytes;
    *frame = NULL;
    if (kb_mul_overflows(interp->block_count, interp->columns, &bytes) ||
        kb_mul_overflows(KB_MAX(bytes, interp->scalar_count), (int64_t)sizeof(double), &bytes) ||
        (uint64_t)bytes > SIZE_MAX)
        return kb_no_memory(err);
    kf_frame *f = kb_calloc(allocator, 1, sizeof *f);
    if (!f)
        return kb_no_memory(err);
    f->interp = interp;
    f->scalars = kb_calloc(allocator, (size_t)interp->scalar_count, sizeof *f->scalars);
    f->blocks = kb_calloc(allocator, (size_t)(interp->block_count * interp->columns), sizeof *f->blocks);
    f->calls = kb_calloc(allocator, (size_t)interp->call_count, sizeof *f->calls);
    *frame = f;
    if (!f->scalars || !f->blocks || !f->calls) {
        kf_frame_destroy(frame);
        return kb_no_memory(err);
    }
    return KCL_OK;
}

void kf_frame_destroy(kf_frame **frame)
{
    if (!frame || !*frame)
        return;
    kf_frame *f = *frame;
    const kcl_allocator *allocator = &f->interp->allocator;
    kb_free(allocator, f->scalars);
    kb_free(allocator, f->blocks);
    kb_free(allocator, f->calls);
    kb_free(allocator, f);
    *frame = NULL;
}

int kf_frame_columns(const kf_frame *frame)
{
    return frame->interp->columns;
}

static double *address(const kf_frame *f, const place *p)
{
    return p->columns ? f->blocks + p->offset * f->interp->columns : f->scalars + p->offset;
}

/* Distance between components. */
static int64_t component_stride(const kf_frame *f, const place *p)
{
    return p->columns ? f->interp->columns : 1;
}

static void run_map(const kf_frame *f, const instruction *s)
{
    operand x[KF_MAX_ARGS];
    for (int a = 0; a < s->arg_count; a++) {
        const place *from = &s->arg[a];
        x[a].at = address(f, from);
        x[a].stride = from->dim == 1 ? 0 : component_stride(f, from);
        x[a].lane = s->out.columns ? from->columns : from->dim == s->out.dim;
    }
    for (int a = s->arg_count; a < KF_MAX_ARGS; a++)
        x[a] = x[0];
    if (s->out.columns)
        maps[s->op](address(f, &s->out), f->interp->columns, x, s->n, s->out.dim, f->count);
    else /* components take the place of columns */
        maps[s->op](address(f, &s->out), 0, x, s->n, 1, s->out.dim);
}

/* `count` numbers, `stride` bytes apart, whatever their alignment. */
static void load(double *out, int64_t count, const char *data, int64_t stride, kcl_dtype dtype)
{
    if (dtype == KCL_F32) {
        for (int64_t c = 0; c < count; c++) {
            float value;
            memcpy(&value, data + c * stride, sizeof value);
            out[c] = value;
        }
    } else {
        for (int64_t c = 0; c < count; c++)
            memcpy(out + c, data + c * stride, sizeof *out);
    }
}

static void run_var(const kf_frame *f, const instruction *s)
{
    double *out = address(f, &s->out);
    if (s->role == KF_ROLE_ACC) {
        memcpy(out, f->acc[2 * s->index + (s->kind == KF_INT)], (size_t)s->out.dim * sizeof *out);
        return;
    }
    const kf_source *from = &f->sources[s->index];
    const char *data = from->data;
    if (s->role == KF_ROLE_J) {
        data += f->column * from->row_stride;
        for (int64_t k = 0; k < s->out.dim; k++, out += f->interp->columns)
            load(out, f->count, data + k * from->component_stride, from->row_stride, from->dtype);
    } else {
        data += s->role == KF_ROLE_I ? f->row * from->row_stride : 0;
        load(out, s->out.dim, data, from->component_stride, from->dtype);
    }
}

static void run_index(const kf_frame *f, const instruction *s)
{
    const int64_t *p = s->number, first = (p[0] ? p[0] * f->row : 0) + p[2];
    double *out = address(f, &s->out);
    for (int64_t c = 0; c < (s->out.columns ? f->count : 1); c++)
        out[c] = (double)(first + (p[1] ? p[1] * (f->column + c) : 0));
}

static void add_components(double *out, const double *x, int64_t dim, int64_t stride, int64_t count)
{
    double sum[KF_BLOCK], error[KF_BLOCK];
    for (int64_t c = 0; c < count; c++) {
        sum[c] = x[c];
        error[c] = 0;
    }
    for (int64_t k = 1; k < dim; k++) {
        x += stride;
        for (int64_t c = 0; c < count; c++)
            kf_sum_add(&sum[c], &error[c], x[c]);
    }
    for (int64_t c = 0; c < count; c++)
        out[c] = kf_sum_value(sum[c], error[c]);
}

/* NaN is chosen only if all components are NaN. */
static void choose_component(double *out, const double *x, int64_t dim, int64_t stride, int64_t count, bool largest)
{
    for (int64_t c = 0; c < count; c++)
        out[c] = NAN;
    for (int64_t k = 0; k < dim; k++, x += stride)
        for (int64_t c = 0; c < count; c++)
            out[c] = (largest ? x[c] > out[c] : x[c] < out[c]) || isnan(out[c]) ? x[c] : out[c];
}

static void run_sum(const kf_frame *f, const instruction *s)
{
    const double *x = address(f, &s->arg[0]);
    double *out = address(f, &s->out);
    int64_t dim = s->arg[0].dim, stride = component_stride(f, &s->arg[0]), out_stride = component_stride(f, &s->out);
    int64_t count = s->out.columns ? f->count : 1, length = dim / s->out.dim;
    if (s->op == KF_MAX || s->op == KF_MIN) {
        choose_component(out, x, dim, stride, count, s->op == KF_MAX);
        return;
    }
    for (int64_t k = 0; k < s->out.dim; k++)
        add_components(out + k * out_stride, x + k * length * stride, length, stride, count);
}

static void run_copy(const kf_frame *f, const instruction *s)
{
    int64_t out_stride = component_stride(f, &s->out), count = s->out.columns ? f->count : 1;
    for (size_t r = s->run; r < s->run + s->run_count; r++) {
        const copy_run *run = &f->interp->runs[r];
        double *out = address(f, &s->out) + run->to * out_stride;
        const place *from = run->arg < 0 ? NULL : &s->arg[run->arg];
        const double *x = from ? address(f, from) + run->from * component_stride(f, from) : NULL;
        int64_t stride = from ? run->stride * component_stride(f, from) : 0;
        for (int64_t k = 0; k < run->count; k++, out += out_stride) {
            if (from && from->columns) {
                memcpy(out, x + k * stride, (size_t)count * sizeof *out);
                continue;
            }
            double value = from ? x[k * stride] : 0;
            for (int64_t c = 0; c < count; c++)
                out[c] = value;
        }
    }
}

/* Operands of column c, one after another; returns the place behind the last. */
static double *take_column(const kf_frame *f, const place *from, int64_t c, double *to)
{
    const double *x = address(f, from) + (from->columns ? c : 0);
    const int64_t stride = component_stride(f, from);
    for (int64_t k = 0; k < from->dim; k++)
        *to++ = x[k * stride];
    return to;
}

static void run_call(const kf_frame *f, const instruction *s)
{
    const int64_t n = s->arg[0].dim, m = s->arg[1].dim, stride = component_stride(f, &s->out);
    double *out = address(f, &s->out), *const x = f->calls, gamma;
    for (int64_t c = 0; c < (s->out.columns ? f->count : 1); c++) {
        double *y = take_column(f, &s->arg[0], c, x), *result = take_column(f, &s->arg[1], c, y);
        take_column(f, &s->arg[2], c, &gamma);
        if (s->op == KF_SOFTDTW)
            *result = kf_soft_dtw(x, n, y, m, gamma, result + 1);
        else
            kf_soft_dtw_gradient(x, n, y, m, gamma, result + s->out.dim, result);
        for (int64_t k = 0; k < s->out.dim; k++)
            out[k * stride + c] = result[k];
    }
}

static void run(const kf_frame *f, int group)
{
    const instruction *end = f->interp->instructions + f->interp->first[group + 1];
    for (const instruction *s = f->interp->instructions + f->interp->first[group]; s < end; s++) {
        switch (kf_info(s->op)->op_class) {
        case KF_CLASS_MAP:
            run_map(f, s);
            break;
        case KF_CLASS_SUM:
            run_sum(f, s);
            break;
        case KF_CLASS_CALL:
            run_call(f, s);
            break;
        case KF_CLASS_COPY:
            run_copy(f, s);
            break;
        case KF_CLASS_LEAF:
            if (s->op == KF_VAR) {
                run_var(f, s);
            } else if (s->op == KF_INDEX) {
                run_index(f, s);
            } else { /* CONST, IOTA, and ZERO, whose value is 0 */
                double *out = address(f, &s->out);
                for (int64_t k = 0; k < s->out.dim; k++)
                    out[k] = s->op == KF_CONST ? s->value : s->op == KF_IOTA ? (double)k : 0;
            }
            break;
        case KF_CLASS_AXIS:
        case KF_CLASS_REDUCE:
            assert(!"never compiled");
            break;
        }
    }
}

void kf_frame_launch(kf_frame *frame, const kf_source *sources)
{
    frame->sources = sources;
    frame->count = 0;
    run(frame, LAUNCH);
}

void kf_frame_row(kf_frame *frame, int64_t i, const double *const *acc)
{
    frame->row = i;
    frame->acc = acc;
    run(frame, ROW);
}

void kf_frame_block(kf_frame *frame, int64_t j, int count)
{
    assert(count > 0 && count <= frame->interp->columns);
    if (j != frame->column || count != frame->count) {
        frame->column = j;
        frame->count = count;
        run(frame, COLUMN);
    }
    run(frame, PAIR);
}

const double *kf_frame_value(const kf_frame *frame, size_t root, int64_t k, int *stride)
{
    const place *p = &frame->interp->roots[root];
    *stride = p->columns;
    return address(frame, p) + k * component_stride(frame, p);
}
