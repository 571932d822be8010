/* SPDX-License-Identifier: MIT */
/* formula/interp.c: formulas compiled to a list of instructions. */
#include "instructions.h"
#include "layout.h"
#include "numeric.h"
#include "order.h"

#include <string.h>

enum { NARROWEST = 8 }; /* columns of a block, at least */
/* Blocks are made narrower until a frame is no larger: a frame must stay in cache. */
enum { FRAME_BYTES = 1 << 20 };
enum { SIZE_CLASSES = 4 * 26 };

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
