/* SPDX-License-Identifier: MIT */
/* run/bind.c: where the operands of steps lie, and what steps run over. */
#include "backend.h"
#include "reductions.h"

#include <stdio.h>
#include <string.h>

/* ---- Batches ------------------------------------------------------------------------------------------------------ */

/* Arrays that repeat along different axes are small, their batches together may be more than can be counted. */
static kcl_status check_batch_count(const kg_batch *batch, kb_error *err)
{
    char sizes[KF_MAX_BATCH * 24] = "";
    int64_t count = 1;
    size_t n = 0;
    bool overflows = false;
    for (int k = batch->count - 1; k >= 0; k--) {
        n += (size_t)snprintf(sizes + n, sizeof sizes - n, "%s%lld", n ? " x " : "", (long long)batch->size[k]);
        overflows = overflows || kb_mul_overflows(count, batch->size[k], &count);
    }
    return overflows
               ? kb_fail(err, KCL_ERROR_ARGUMENT,
                         "the arrays together have %s batches (axes %d to -1): the product of these sizes is more "
                         "than a 64-bit number holds",
                         sizes, -batch->count)
               : KCL_OK;
}

/* The batches of the terms of a step: of all its arrays together. */
static kcl_status find_step_batch(kx_run *r, size_t index)
{
    const kg_program *p = r->program;
    const kg_step *step = &p->steps[index];
    kg_batch *batch = &r->step_batch[index];
    int clash = -1;
    *batch = step->batch;
    /* What the formula knows of its arrays' axes is in step->batch: the formula may need some of them only. */
    for (size_t k = 0; k < step->input_count && clash < 0; k++) {
        const kg_place in = step->inputs[k];
        if (in.is_temp || !p->slots[in.index].batch.count)
            clash = kg_batch_join(batch, in.is_temp ? &r->temp_batch[in.index] : &r->slots[in.index].batch);
    }
    for (size_t k = 0; k < step->output_count && clash < 0; k++)
        if (!step->outputs[k].is_temp)
            clash = kg_batch_join(batch, &r->outs[step->outputs[k].index].batch);
    if (clash >= 0)
        return kb_fail(kd_error(r->context), KCL_ERROR_INTERNAL, "step %zu: batch axis %d has two sizes", index + 1,
                       -1 - clash);
    return check_batch_count(batch, kd_error(r->context));
}

/* The batch axes of every step and temporary; nothing where no array has any. */
static kcl_status find_batches(kx_run *r)
{
    const kg_program *p = r->program;
    bool any = false;
    for (size_t k = 0; k < p->slot_count; k++)
        any = any || r->slots[k].batch.count;
    for (size_t k = 0; k < p->root_count; k++)
        any = any || r->outs[k].batch.count;
    if (!any)
        return KCL_OK;
    r->step_batch = kb_arena_alloc(&r->arena, (p->step_count + 1) * sizeof *r->step_batch);
    r->temp_batch = kb_arena_alloc(&r->arena, (p->temp_count + 1) * sizeof *r->temp_batch);
    r->temp_terms = kb_arena_alloc(&r->arena, (p->temp_count + 1) * sizeof *r->temp_terms);
    if (!r->step_batch || !r->temp_batch || !r->temp_terms)
        return kb_no_memory(kd_error(r->context));
    for (size_t k = 0; k < p->step_count; k++) {
        const kg_step *step = &p->steps[k];
        if (find_step_batch(r, k) < 0)
            return kd_error(r->context)->status;
        for (size_t o = 0; o < step->output_count; o++) {
            if (!step->outputs[o].is_temp)
                continue;
            const size_t temp = step->outputs[o].index;
            r->temp_terms[temp] = r->step_batch[k];
            r->temp_batch[temp] = kg_reduced_batch(&r->step_batch[k], step->reduced_batches);
            kx_kinds[step->kind].find_result(r, step, &r->temp_batch[temp]);
        }
    }
    return KCL_OK;
}

/* ---- Temporaries -------------------------------------------------------------------------------------------------- */

/* The array of a temporary, without its memory. *elements: of all batches, INT64_MAX where there are more. */
static kx_view view_of_temp(const kx_run *r, size_t index, int64_t *elements)
{
    const kg_temp *t = &r->program->temps[index];
    const kcl_dtype real = r->backend->real ? r->backend->real : r->dtype;
    kx_view v = {.dtype = t->kind == KF_INT ? KCL_I64 : real,
                 .rows = kx_rows_of(r->program, r->slots, t->extent),
                 .dim = t->dim};
    v.step = (int64_t)kb_dtype_size(v.dtype);
    v.row_stride = v.dim * v.step;
    if (r->temp_batch) {
        v.batch = r->temp_batch[index];
        kg_dense_strides(&v.batch, v.rows * v.row_stride, v.batch_stride);
    }
    if (kb_mul_overflows(v.dim, v.rows, elements) || kb_mul_overflows(*elements, kg_batch_count(&v.batch), elements))
        *elements = INT64_MAX;
    return v;
}

static kcl_status find_temps(kx_run *r)
{
    const kg_program *p = r->program;
    if (!p->temp_count)
        return KCL_OK;
    r->temps = kb_arena_alloc(&r->arena, p->temp_count * sizeof *r->temps);
    int64_t *most = kb_arena_alloc(&r->arena, p->place_count * sizeof *most); /* elements by place */
    kx_view *places = kb_arena_alloc(&r->arena, p->place_count * sizeof *places);
    if (!r->temps || !most || !places)
        return kb_no_memory(kd_error(r->context));
    for (size_t k = 0; k < p->temp_count; k++) {
        int64_t elements, *of_place = &most[p->temps[k].place];
        r->temps[k] = view_of_temp(r, k, &elements);
        *of_place = KB_MAX(*of_place, elements);
        places[p->temps[k].place].dtype = r->temps[k].dtype;
    }
    for (size_t k = 0; k < p->place_count; k++) {
        kcl_status status = r->backend->place(r, (uint32_t)k, most[k], &places[k]);
        if (status < 0)
            return status;
    }
    for (size_t k = 0; k < p->temp_count; k++) {
        r->temps[k].data = places[p->temps[k].place].data;
        r->temps[k].buffer = places[p->temps[k].place].buffer;
    }
    return KCL_OK;
}

kcl_status kx_bind(kx_run *r)
{
    kcl_status status = find_batches(r);
    return status == KCL_OK ? find_temps(r) : status;
}

/* ---- Sweeps ------------------------------------------------------------------------------------------------------- */

static void set_operand(kx_operand *o, kf_role role, const kx_view *v)
{
    o->role = role;
    o->row_stride = v->row_stride;
    memcpy(o->stride, v->batch_stride, sizeof o->stride);
}

kcl_status kx_find_extents(kx_run *r, size_t index, kx_extents *x)
{
    const kg_step *step = &r->program->steps[index];
    *x = (kx_extents){.rows = kx_rows_of(r->program, r->slots, step->row_extent),
                      .cols = kx_rows_of(r->program, r->slots, step->col_extent),
                      .axes = {.batches = 1, .each_count = 1}};
    if (!kx_has_batches(r, index))
        return KCL_OK;
    const size_t count = step->input_count + step->output_count;
    kx_operand *operands = kb_arena_alloc(&r->arena, (count + 1) * sizeof *operands);
    if (!operands)
        return kb_no_memory(kd_error(r->context));
    const kf_role of_results = step->sweep.reduced & KF_AXIS_I || x->rows == 1 ? KF_ROLE_P : KF_ROLE_I;
    for (size_t k = 0; k < step->input_count; k++)
        set_operand(&operands[k], step->sweep.vars[k].role, kx_input(r, step, k));
    for (size_t k = 0; k < step->output_count; k++)
        set_operand(&operands[step->input_count + k], of_results, kx_output(r, step, k));
    /* Formulas count the elements of one batch. Terms are numbered row-major: i comes behind a batch axis. */
    unsigned fixed = step->numbered;
    for (size_t k = 0; k < step->sweep.term_count; k++)
        if (kf_reduction_get(step->sweep.terms[k].reduction)->kind == KF_INT && step->sweep.reduced & KF_AXIS_I)
            fixed |= KF_AXIS_J;
    kx_merge_axes(&x->axes, &r->step_batch[index], step->sweep.reduced, step->reduced_batches, fixed, count, operands,
                  &x->rows, &x->cols);
    x->operands = operands;
    return KCL_OK;
}

bool kx_has_no_rows(const kg_step *step, const kx_extents *x)
{
    return (x->rows == 0 && !(step->sweep.reduced & KF_AXIS_I)) || x->axes.batches == 0;
}

/* GCC 12 leaves the conversion out where two numbers beside each other are rounded this way, unless it is volatile. */
static double rounded(double number, kcl_dtype dtype)
{
    const volatile float single = (float)number;
    return dtype == KCL_F32 ? (double)single : number;
}

void kx_leave_out_pairs(const kx_run *r, const kg_step *step, kx_extents *x)
{
    for (size_t k = 0; k < step->output_count; k++) {
        const kr_scale *scale = kx_scale(r, step, k);
        if (!scale || rounded(scale->alpha, r->dtype) != 0)
            return;
    }
    x->rows = step->sweep.reduced & KF_AXIS_I ? 0 : x->rows;
    x->cols = 0;
}

kcl_status kx_find_scales(kx_run *r, const kg_step *step, const kr_scale **scales)
{
    kr_scale *of_step = NULL;
    *scales = NULL;
    for (size_t k = 0; r->scales && k < step->output_count; k++) {
        const kr_scale *scale = kx_scale(r, step, k);
        if (!scale)
            continue;
        if (!of_step)
            of_step = kb_arena_alloc(&r->arena, step->output_count * sizeof *of_step);
        if (!of_step)
            return kb_no_memory(kd_error(r->context));
        of_step[k] = (kr_scale){true, rounded(scale->alpha, r->dtype), rounded(scale->beta, r->dtype)};
    }
    *scales = of_step;
    return KCL_OK;
}
