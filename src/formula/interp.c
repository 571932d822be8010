/* SPDX-License-Identifier: MIT */
/*
 * formula/interp.c: formulas compiled to a list of instructions, and run in double.
 *
 * Instructions are sorted by what they depend on: parameters alone, the row, the column, both. A value that depends on
 * columns is an array [component][column of the block], any other value an array [component]. Values that only their
 * own group reads give their memory back after the last use.
 */
#include "interp.h"
#include "layout.h"
#include "numeric.h"
#include "order.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The groups of instructions are the sets of axes. */
enum { LAUNCH = 0, ROW = KF_AXIS_I, COLUMN = KF_AXIS_J, PAIR = KF_AXIS_I | KF_AXIS_J, GROUPS };

enum { NARROWEST = 8 }; /* columns of a block, at least */
/* Blocks are made narrower until a frame is no larger: a frame must stay in cache. */
enum { FRAME_BYTES = 1 << 20 };
enum { SIZE_CLASSES = 4 * 26 };

/* The place of a value: `offset` in doubles, or in blocks of columns. */
typedef struct place {
    int64_t offset;
    int32_t dim;
    bool columns;
} place;

/*
 * Components to, to+1, ... of a COPY node: `count` components of operand `arg` from component `from` on; zeros if arg <
 * 0.
 */
typedef struct copy_run {
    int64_t to, from, count;
    int arg, stride;
} copy_run;

typedef struct instruction {
    place out;
    place arg[KF_MAX_ARGS];
    uint32_t producer[KF_MAX_ARGS]; /* the instruction that computes arg[k] */
    uint32_t last_use;              /* the last instruction that reads the value, or KEPT */
    uint8_t op, arg_count;
    uint8_t role, kind;
    int64_t index;     /* of a variable */
    int64_t n;         /* first parameter */
    int64_t number[3]; /* of Index */
    double value;      /* of a constant */
    size_t run, run_count;
} instruction;

#define KEPT UINT32_MAX

struct kf_interp {
    kcl_allocator allocator;
    instruction *instructions;
    size_t first[GROUPS + 1]; /* instructions of a group: from first[group] to first[group + 1] */
    copy_run *runs;
    size_t run_count, run_capacity;
    place *roots;
    size_t root_count;
    int64_t scalar_count; /* doubles of a frame that do not depend on columns */
    int64_t block_count;  /* blocks of columns of a frame */
    int64_t call_count;   /* doubles in which a function of whole vectors works, its operands and result among them */
    int columns;          /* of a block */
};

struct kf_frame {
    const kf_interp *interp;
    double *scalars, *blocks, *calls;
    const kf_source *sources;
    const double *const *acc;
    int64_t row, column;
    int count; /* columns of the block that is held, 0: none */
};

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

/* ---- Compilation ------------------------------------------------------------------------------------------------- */

/* What is known of a node, by its position in the order. Like nodes have no note: kf_value stands for them. */
typedef struct note {
    uint32_t instruction; /* the instruction that computes the node, if one does */
    uint8_t axes;
    bool needed;
} note;

static note *note_of(const kf_order *order, note *notes, const kf_node *f)
{
    return &notes[kf_at(order, kf_value(f))];
}

/* Sizes in quarters of a power of two, so that memory given back fits later values of about the same size. */
static int size_class(int32_t dim, int64_t *capacity)
{
    int shift = 0;
    while (dim >> shift >= 8)
        shift++;
    int64_t quarters = (dim + (INT64_C(1) << shift) - 1) >> shift;
    *capacity = quarters << shift;
    return 4 * shift + (int)quarters;
}

static kcl_status annotate(const kf_order *order, note *notes, size_t root_count, const kf_node *const *roots,
                           kb_error *err)
{
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (f->op == KF_REDUCE)
            return kb_fail(err, KCL_ERROR_INTERNAL,
                           "the interpreter was given a %s node of dimension %d: it must be replaced by a variable "
                           "before its formula is evaluated",
                           kf_info(f->op)->name, (int)f->dim);
        /* Not f->axes: Like adds axes on which the value does not depend. */
        if (f->op == KF_VAR || f->op == KF_INDEX)
            notes[k].axes = f->axes & KF_PAIR_AXES;
        for (int a = 0; a < f->arg_count; a++)
            notes[k].axes |= note_of(order, notes, f->arg[a])->axes;
    }
    for (size_t k = 0; k < root_count; k++)
        note_of(order, notes, roots[k])->needed = true;
    for (size_t k = order->count; k-- > 0;) {
        const kf_node *f = order->nodes[k];
        for (int a = 0; notes[k].needed && a < f->arg_count; a++)
            note_of(order, notes, f->arg[a])->needed = true;
    }
    return KCL_OK;
}

static bool add_runs(kf_interp *p, instruction *to, const kf_node *f)
{
    to->run = p->run_count;
    for (int64_t k = 0; k < f->dim;) {
        copy_run run = {.to = k};
        run.arg = kf_copy_source(f, k, &run.from, &run.count, &run.stride);
        if (!kb_reserve(&p->allocator, (void **)&p->runs, &p->run_capacity, p->run_count + 1, sizeof *p->runs))
            return false;
        p->runs[p->run_count++] = run;
        k += run.count;
    }
    to->run_count = p->run_count - to->run;
    return true;
}

static kcl_status emit(kf_interp *p, const kf_order *order, note *notes, kb_error *err)
{
    size_t next[GROUPS] = {0}, count = 0;
    for (size_t k = 0; k < order->count; k++)
        next[notes[k].axes] += notes[k].needed;
    for (int group = 0; group < GROUPS; group++) {
        p->first[group] = count;
        count += next[group];
        next[group] = p->first[group];
    }
    p->first[GROUPS] = count;
    p->instructions = kb_calloc(&p->allocator, count, sizeof *p->instructions);
    if (!p->instructions)
        return kb_no_memory(err);
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (!notes[k].needed)
            continue;
        uint32_t number = (uint32_t)next[notes[k].axes]++;
        instruction *to = &p->instructions[number];
        notes[k].instruction = number;
        *to = (instruction){.out = {0, f->dim, notes[k].axes & KF_AXIS_J},
                            .last_use = number,
                            .op = f->op,
                            .arg_count = f->arg_count,
                            .n = f->param[0],
                            .value = f->value};
        if (kf_info(f->op)->op_class == KF_CLASS_CALL)
            p->call_count =
                KB_MAX(p->call_count, (int64_t)f->arg[0]->dim + f->arg[1]->dim + f->dim + kf_call_memory(f));
        for (int n = 0; f->op == KF_INDEX && n < 3; n++)
            to->number[n] = f->param[n];
        if (f->op == KF_VAR) {
            to->index = f->param[0];
            to->role = (uint8_t)f->param[2];
            to->kind = f->kind;
        }
        for (int a = 0; a < f->arg_count; a++) {
            const note *source = note_of(order, notes, f->arg[a]);
            instruction *from = &p->instructions[source->instruction];
            to->producer[a] = source->instruction;
            if (source->axes != notes[k].axes)
                from->last_use = KEPT;
            else if (from->last_use != KEPT)
                from->last_use = number;
        }
        if (kf_info(f->op)->op_class == KF_CLASS_COPY && !add_runs(p, to, f))
            return kb_no_memory(err);
    }
    return KCL_OK;
}

/*
 * Gives every value its place. An operand's memory is given back after the result has its own, so the two never
 * overlap.
 */
static kcl_status allocate(kf_interp *p, kb_error *err)
{
    size_t count = p->first[GROUPS];
    uint32_t head[2][SIZE_CLASSES], *next = kb_alloc(&p->allocator, count * sizeof *next);
    if (!next)
        return kb_no_memory(err);
    memset(head, 0xff, sizeof head); /* KEPT: empty */
    for (size_t k = 0; k < count; k++) {
        instruction *to = &p->instructions[k];
        int64_t capacity, *total = to->out.columns ? &p->block_count : &p->scalar_count;
        uint32_t *free_one = &head[to->out.columns][size_class(to->out.dim, &capacity)];
        if (*free_one != KEPT) {
            to->out.offset = p->instructions[*free_one].out.offset;
            *free_one = next[*free_one];
        } else {
            to->out.offset = *total;
            *total += capacity;
        }
        for (int a = 0; a < to->arg_count; a++) {
            uint32_t q = to->producer[a];
            instruction *from = &p->instructions[q];
            to->arg[a] = from->out;
            if (from->last_use == k) {
                uint32_t *list = &head[from->out.columns][size_class(from->out.dim, &capacity)];
                next[q] = *list;
                *list = q;
                from->last_use = KEPT; /* an operand may occur twice */
            }
        }
    }
    kb_free(&p->allocator, next);
    int64_t fit = FRAME_BYTES / (int64_t)sizeof(double) / KB_MAX(p->block_count, 1);
    p->columns = (int)KB_MAX(KB_MIN(fit, KF_BLOCK) / NARROWEST * NARROWEST, NARROWEST);
    return KCL_OK;
}

static kcl_status compile(kf_interp *p, const kf_order *order, size_t root_count, const kf_node *const *roots,
                          kb_error *err)
{
    note *notes = kb_calloc(&p->allocator, order->count, sizeof *notes);
    p->roots = kb_calloc(&p->allocator, root_count, sizeof *p->roots);
    kcl_status status = notes && p->roots ? annotate(order, notes, root_count, roots, err) : kb_no_memory(err);
    if (status == KCL_OK)
        status = emit(p, order, notes, err);
    for (size_t k = 0; status == KCL_OK && k < root_count; k++)
        p->instructions[note_of(order, notes, roots[k])->instruction].last_use = KEPT;
    if (status == KCL_OK)
        status = allocate(p, err);
    for (size_t k = 0; status == KCL_OK && k < root_count; k++)
        p->roots[k] = p->instructions[note_of(order, notes, roots[k])->instruction].out;
    p->root_count = root_count;
    kb_free(&p->allocator, notes);
    return status;
}

kcl_status kf_interp_create(kf_interp **interp, const kf_graph *g, size_t root_count, const kf_node *const *roots,
                            kb_error *err)
{
    const kcl_allocator *allocator = kf_allocator(g);
    kf_order order;
    *interp = NULL;
    kf_interp *p = kb_calloc(allocator, 1, sizeof *p);
    if (!p)
        return kb_no_memory(err);
    p->allocator = *allocator;
    kcl_status status = kf_order_init(&order, g, root_count, roots, true, err);
    if (status == KCL_OK) {
        status = compile(p, &order, root_count, roots, err);
        kf_order_finish(&order);
    }
    if (status != KCL_OK)
        kf_interp_destroy(&p);
    *interp = p;
    return status;
}

void kf_interp_destroy(kf_interp **interp)
{
    if (!interp || !*interp)
        return;
    kf_interp *p = *interp;
    kcl_allocator allocator = p->allocator;
    kb_free(&allocator, p->instructions);
    kb_free(&allocator, p->runs);
    kb_free(&allocator, p->roots);
    kb_free(&allocator, p);
    *interp = NULL;
}

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
