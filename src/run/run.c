/* SPDX-License-Identifier: MIT */
/* run/run.c: programs run on the arrays of a call. */
#include "backend.h"
#include "cache.h"
#include "staging.h"

#include <stdio.h>

kcl_status kx_scales_of(kr_scale *scales, size_t count, const kf_node *const *roots, const double *alpha,
                        const double *beta, kb_error *err)
{
    for (size_t k = 0; k < count; k++) {
        const bool is_index = roots[k]->kind == KF_INT;
        scales[k] = (kr_scale){!is_index, alpha ? alpha[k] : 1, beta ? beta[k] : 0};
        if (is_index && !(scales[k].alpha == 1 && scales[k].beta == 0))
            return kb_fail(err, KCL_ERROR_TYPE,
                           "output %zu is an index, an int64, which is not scaled or added to: its alpha is %g and its "
                           "beta %g, they must be 1 and 0",
                           k, scales[k].alpha, scales[k].beta);
    }
    return KCL_OK;
}

kcl_dtype kx_type_beside_integers(kcl_context *context)
{
    return kd_is_host(context) || kd_caps(context)->has_f64 ? KCL_F64 : KCL_F32;
}

/* "(B, rows, dim)" of a result. */
static void put_result_shape(char *text, size_t size, const kx_view *v, int64_t rows)
{
    kcl_array shape = {.ndim = 0};
    for (int k = v->batch.count - 1; k >= 0; k--)
        shape.shape[shape.ndim++] = v->batch.size[k];
    shape.shape[shape.ndim++] = rows;
    shape.shape[shape.ndim++] = v->dim;
    kx_put_shape(text, size, &shape);
}

kcl_status kx_check_rows(const kg_program *p, const kx_view *slots, kb_error *err)
{
    static const char *const axis_names[] = {
        "", "axis i", "axis j", "the axes i and j, which have one length where an argument stands on both,"};
    for (size_t k = 0; k < p->slot_count; k++) {
        const uint32_t first = p->extent_slot[p->slots[k].extent];
        if (p->slots[k].extent && slots[k].rows != slots[first].rows)
            return kb_fail(err, KCL_ERROR_LENGTH, "%s has %lld rows, %s has %lld: both are on %s and must agree",
                           slots[first].name, (long long)slots[first].rows, slots[k].name, (long long)slots[k].rows,
                           axis_names[KB_MIN(p->slots[k].extent, KG_EXTENT_BOTH)]);
    }
    return KCL_OK;
}

kcl_status kx_check(const kg_program *p, const kx_view *slots, const kx_view *outs, kb_error *err)
{
    if (kx_check_rows(p, slots, err) < 0)
        return err->status;
    for (size_t k = 0; k < p->root_count; k++) {
        int64_t rows = kx_rows_of(p, slots, p->roots[k].extent);
        if (outs[k].rows == rows)
            continue;
        char given[160], wanted[160];
        put_result_shape(given, sizeof given, &outs[k], outs[k].rows);
        put_result_shape(wanted, sizeof wanted, &outs[k], rows);
        return kb_fail(err, KCL_ERROR_LENGTH,
                       "output %zu has shape %s, the result %s: %lld rows, and %lld (axes of size 1 may be left out)",
                       k, given, wanted, (long long)outs[k].rows, (long long)rows);
    }
    return KCL_OK;
}

/* ---- Running ------------------------------------------------------------------------------------------------------ */

/*
 * Copies what kernels cannot reach where it is, and outputs that must not be written before all steps are done: `shares`
 * tells whether an output is the array of an input.
 */
static kcl_status stage(kx_run *r, bool shares, kx_staging *in, kx_staging *out)
{
    const kg_program *p = r->program;
    kcl_status status = KCL_OK;
    if (!kx_all_reached(r->backend, r->context, p->slot_count, r->slots, false)) {
        status = kx_stage_inputs(in, r);
        r->slots = in->views;
    }
    if (status == KCL_OK &&
        (shares || p->repeats || !kx_all_reached(r->backend, r->context, p->root_count, r->outs, true))) {
        status = kx_stage_outputs(out, r);
        r->outs = out->views;
    }
    return status;
}

/* How long a step takes, by guess: its pairs, times the numbers that are read of a pair. */
static double work_of(const kx_run *r, size_t index)
{
    const kg_program *p = r->program;
    const kg_step *step = &p->steps[index];
    double work = r->step_batch ? (double)kg_batch_count(&r->step_batch[index]) : 1, numbers = 1;
    work *= (double)kx_rows_of(p, r->slots, step->row_extent);
    if (step->kind == KG_SWEEP && step->sweep.reduced & KF_PAIR_AXES)
        work *= (double)kx_rows_of(p, r->slots, step->col_extent);
    for (size_t k = 0; step->kind == KG_SWEEP && k < step->sweep.var_count; k++)
        numbers += step->sweep.vars[k].dim;
    return work * numbers;
}

kcl_status kx_tell(kx_run *r, double fraction)
{
    return kd_check(r->context, (r->work_done + fraction * r->step_work) / KB_MAX(r->work, 1));
}

static kcl_status run_step(kx_run *r, size_t index)
{
    if (!r->is_watched)
        return kx_kinds[r->program->steps[index].kind].run(r, index);
    r->step_work = work_of(r, index);
    kcl_status status = kx_kinds[r->program->steps[index].kind].run(r, index);
    if (status == KCL_OK)
        status = kx_tell(r, 1);
    r->work_done += r->step_work;
    return status;
}

static kcl_status run_steps(kx_run *r)
{
    const kg_program *p = r->program;
    kcl_status status = kx_bind(r);
    for (size_t k = 0; r->is_watched && status == KCL_OK && k < p->step_count; k++)
        r->work += work_of(r, k);
    for (size_t k = 0; status == KCL_OK && k < p->slot_count; k++)
        if (r->slots[k].buffer)
            status = r->backend->copy(r, &r->given_slots[k], &r->slots[k]);
    for (size_t k = 0; status == KCL_OK && k < p->root_count; k++)
        if (r->outs[k].buffer && kx_is_read(r->scales, k))
            status = r->backend->copy(r, &r->given_outs[k], &r->outs[k]);
    for (size_t k = 0; status == KCL_OK && k < p->step_count; k++)
        status = run_step(r, k);
    for (size_t k = 0; status == KCL_OK && k < p->root_count; k++)
        if (r->outs[k].buffer)
            status = r->backend->copy(r, &r->outs[k], &r->given_outs[k]);
    return r->backend->end(r, status);
}

kcl_status kx_run_program(const kg_program *program, kcl_context *context, kcl_dtype dtype, const kx_view *slots,
                          const kx_view *outs, const kr_scale *scales)
{
    kcl_context_stats *stats = kd_stats(context);
    bool shares;
    const bool is_watched = kd_is_watched(context);
    if (kx_check_arrays(program, context, slots, outs, scales, &shares) < 0 ||
        (is_watched && kd_begin_call(context) < 0))
        return kd_error(context)->status;
    const bool is_captured = kd_is_captured(context);
    if (is_captured)
        kx_give_back(context);
    double start = kb_seconds(), built = stats->build_seconds;
    kx_run r = {.program = program,
                .context = context,
                .backend = kd_is_host(context) ? &kx_interpreter : &kx_opencl,
                .dtype = dtype,
                .slots = slots,
                .outs = outs,
                .given_slots = slots,
                .given_outs = outs,
                .scales = scales,
                .is_watched = is_watched,
                .waits = kd_always_waits(context) || !kx_all_on_device(program->root_count, outs) ||
                         !kx_has_little_host_data(program->slot_count, slots)};
    r.host_input = r.waits ? KD_ARG_HOST_IN : KD_ARG_HOST_COPY;
    kx_staging in = {0}, out = {0};
    kb_arena_init(&r.arena, kd_allocator(context));
    kcl_status status = stage(&r, shares, &in, &out);
    if (status == KCL_OK)
        status = run_steps(&r);
    kx_forget_seen(&r.seen, context);
    kb_arena_finish(&r.arena);
    kx_unstage(&in, context, NULL);
    kx_unstage(&out, context, status == KCL_OK ? outs : NULL);
    if (is_captured || kd_holds_much(context))
        kx_give_back(context);
    if (is_watched)
        kd_end_call(context, status);
    double seconds = kb_seconds() - start;
    stats->evaluations++;
    stats->run_seconds += seconds - (stats->build_seconds - built);
    kb_log_line(kd_log(context), "evaluation of %zu results in %zu sweeps: %.6f s, of which %.6f s building%s",
                program->root_count, program->step_count, seconds, stats->build_seconds - built,
                r.waits ? "" : "; the device is not waited for");
    return status;
}
