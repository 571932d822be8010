/* SPDX-License-Identifier: MIT */
/* run/interpreter.c: the backend that runs steps on the host, in double. */
#include "backend.h"
#include "interp.h"

#include <string.h>

/*
 * A schedule that was asked for is refused where CPUs would refuse it: the interpreter has none, but a program should not
 * find out on another device.
 */
static kcl_status check_schedule(kx_run *r, const kg_step *step, const kx_extents *x)
{
    const kp_caps *caps = kp_caps_profile("cpu");
    const kp_sizes sizes = {x->rows, x->cols, x->axes.batches, x->axes.each_count};
    const char *schedule = r->program->options.schedule;
    kb_error *err = kd_error(r->context);
    kp_choice choice;
    kp_plan *plan;
    if (!*schedule || kx_has_no_rows(step, x))
        return KCL_OK;
    if (kp_choose_for(&step->sweep, caps, r->dtype, &sizes, schedule, &choice, err) < 0)
        return err->status;
    /* Contractions look at formulas closely. */
    if (choice.schedule != KP_BY_CONTRACTION)
        return KCL_OK;
    kcl_status status = kp_plan_create(&plan, &(kp_request){&step->sweep, r->dtype, caps, choice, NULL, {0}}, err);
    kp_plan_destroy(&plan);
    return status;
}

/* What the sweep reads and writes. */
typedef struct ends {
    kf_source *sources;
    kr_sink *sinks;
    int64_t (*strides)[KF_MAX_BATCH]; /* of the sources, then of the sinks */
} ends;

static void find_ends(const kx_run *r, const kg_step *step, const kx_extents *x, const ends *e)
{
    const size_t count = step->input_count + step->output_count;
    for (size_t k = 0; k < step->input_count; k++) {
        const kx_view *v = kx_input(r, step, k);
        e->sources[k] = (kf_source){kx_host_data(v), v->dtype, v->row_stride, v->step};
    }
    for (size_t k = 0; k < step->output_count; k++) {
        const kx_view *v = kx_output(r, step, k);
        e->sinks[k] = (kr_sink){kx_host_data(v), v->dtype, v->row_stride, v->step};
    }
    for (size_t k = 0; x->operands && k < count; k++)
        memcpy(e->strides[k], x->operands[k].stride, sizeof e->strides[k]);
}

static bool goes_on(void *user, double fraction)
{
    kx_run *r = user;
    r->watched = kx_tell(r, fraction);
    return r->watched == KCL_OK;
}

/* Why a sweep was ended. It may be that other threads have seen the cancel, and the one that tells has not. */
static kcl_status tell_end(kx_run *r)
{
    if (r->watched == KCL_OK)
        r->watched = kx_tell(r, 1);
    return r->watched < 0 ? r->watched : kb_fail(kd_error(r->context), KCL_ERROR_CANCELLED, "the call was cancelled");
}

static kcl_status sweep(kx_run *r, size_t index)
{
    const kg_step *step = &r->program->steps[index];
    const size_t count = step->input_count + step->output_count;
    kb_error *err = kd_error(r->context);
    kx_extents x;
    kr_sweep sweep = step->sweep;
    if (kx_find_extents(r, index, &x) < 0 || kx_find_scales(r, step, &sweep.scales) < 0 ||
        check_schedule(r, step, &x) < 0)
        return err->status;
    kx_leave_out_pairs(r, step, &x);
    ends e;
    e.sources = kb_arena_alloc(&r->arena, (step->input_count + 1) * sizeof *e.sources);
    e.sinks = kb_arena_alloc(&r->arena, (step->output_count + 1) * sizeof *e.sinks);
    e.strides = kb_arena_alloc(&r->arena, (count + 1) * sizeof *e.strides);
    if (!e.sources || !e.sinks || !e.strides)
        return kb_no_memory(err);
    find_ends(r, step, &x, &e);
    kr_batches batches = {x.axes.outer,
                          x.axes.each,
                          {0},
                          (const int64_t(*)[KF_MAX_BATCH])e.strides,
                          (const int64_t(*)[KF_MAX_BATCH])(e.strides + step->input_count)};
    memcpy(batches.size, x.axes.size, sizeof batches.size);
    const kr_watch watch = {kd_cancel_flag(r->context), goes_on, r};
    const kcl_status status = kr_run_batches(&sweep, x.rows, x.cols, x.operands ? &batches : NULL, e.sources, e.sinks,
                                             kd_threads(r->context), r->is_watched ? &watch : NULL, err);
    return status == KCL_ERROR_CANCELLED ? tell_end(r) : status;
}

static bool reaches(kcl_context *context, const kx_view *v, bool is_output)
{
    (void)context;
    (void)v;
    (void)is_output;
    return true;
}

static kcl_status place(kx_run *r, uint32_t number, int64_t elements, kx_view *view)
{
    const kcl_allocator *a = kd_allocator(r->context);
    if (!r->host_places)
        r->host_places = kb_calloc(a, r->program->place_count, sizeof *r->host_places);
    if (r->host_places)
        r->host_places[number] = kb_calloc(a, kb_dtype_size(view->dtype), (size_t)KB_MAX(elements, 1));
    if (!r->host_places || !r->host_places[number])
        return kb_no_memory(kd_error(r->context));
    view->data = r->host_places[number];
    return KCL_OK;
}

static kcl_status copy(kx_run *r, const kx_view *from, const kx_view *to)
{
    (void)from;
    (void)to;
    return kb_fail(kd_error(r->context), KCL_ERROR_INTERNAL, "the interpreter has no copies of its own");
}

static kcl_status gather(kx_run *r, const kx_gather *work)
{
    return kx_gather_on_host(work, kd_allocator(r->context), kd_error(r->context));
}

static kcl_status end(kx_run *r, kcl_status status)
{
    const kcl_allocator *a = kd_allocator(r->context);
    for (size_t k = 0; r->host_places && k < r->program->place_count; k++)
        kb_free(a, r->host_places[k]);
    kb_free(a, r->host_places);
    return status;
}

const kx_backend kx_interpreter = {KCL_F64, false, reaches, place, copy, sweep, gather, end};
