/* SPDX-License-Identifier: MIT */
/* run/compiled.c: sweeps planned, rendered and built for a device. */
#include "cache.h"

#include <string.h>

/* Forgets the kernels. */
static void clear_compiled(kcl_context *context, kx_compiled *c)
{
    const kcl_allocator *a = kd_allocator(context);
    for (size_t k = 0; c->prepared && k < c->plan->prepared_vars; k++)
        kd_buffer_release(context, &c->prepared[k].buffer);
    kd_buffer_release(context, &c->partial.buffer);
    for (int k = 0; k < KT_KERNELS; k++) {
        kb_free(&c->allocator, c->signature[k].args);
        c->signature[k] = (kt_signature){0, NULL};
        kd_kernel_release(context, &c->kernel[k]);
    }
    kb_free(a, c->prepared);
    c->prepared = NULL;
    c->partial = (kx_room){NULL, 0};
    kp_plan_destroy(&c->plan);
}

static void destroy_compiled(kcl_context *context, kx_kept *kept)
{
    clear_compiled(context, (kx_compiled *)kept);
    kb_free(kd_allocator(context), kept);
}

static void empty_rooms(kcl_context *context, kx_kept *kept)
{
    kx_compiled *c = (kx_compiled *)kept;
    kx_empty_room(context, &c->partial);
    for (size_t k = 0; c->prepared && k < c->plan->prepared_vars; k++)
        kx_empty_room(context, &c->prepared[k]);
}

static const kx_kept_kind kept_kind = {destroy_compiled, empty_rooms};

uint64_t kx_step_key(const kg_program *program, size_t step)
{
    return kb_hash_combine(program->key, step);
}

/* Of a step as a choice computes it. */
static uint64_t choice_key(uint64_t step_key, kcl_dtype dtype, size_t count, const kp_choice *choice,
                           const kx_layout *arrays)
{
    uint64_t choices =
        (((choice->expand * 2u + choice->decided) * 2u + choice->empty) * 32 + (size_t)choice->states) * 4 +
        choice->schedule;
    uint64_t key = kb_hash_combine(kb_hash_combine(step_key, choices * 8 + choice->shape), dtype);
    key = kb_hash_combine(key, kb_hash(arrays->dense, count, 7));
    /* All outputs of a computation are scaled, or none. */
    if (arrays->scales)
        key = kb_hash_combine(key, 1);
    const kp_batches *b = &arrays->batches;
    if (!(b->outer + b->each))
        return key;
    key = kb_hash_combine(key, (uint64_t)(b->outer * 8 + b->each) * 1024 + (uint64_t)choice->group);
    return kb_hash_combine(key, kb_hash(b->axes, count, 8));
}

/* Plans for c->caps and builds. */
static kcl_status build(kcl_context *context, kcl_dtype dtype, const kg_step *step, const kp_choice *choice,
                        const kx_layout *arrays, kx_compiled *c)
{
    kb_error *err = kd_error(context);
    kr_sweep sweep = step->sweep;
    sweep.scales = arrays->scales;
    kp_request request = {&sweep, dtype, &c->caps, *choice, arrays->dense, arrays->batches};
    kt_program text;
    clear_compiled(context, c);
    if (kp_plan_create(&c->plan, &request, err) < 0 || kt_render(&text, c->plan, err) < 0)
        return err->status;
    kcl_status status = KCL_OK;
    c->allocator = text.allocator;
    for (int k = 0; k < KT_KERNELS; k++) {
        c->signature[k] = text.kernel[k];
        text.kernel[k] = (kt_signature){0, NULL};
        if (status == KCL_OK && c->signature[k].count)
            status = kd_kernel_get(context, kb_str_text(&text.source), kt_kernel_names[k], "sweep", &c->kernel[k]);
    }
    kt_program_finish(&text);
    c->pace = (kx_pace){.weight = 1};
    for (size_t k = 0; k < c->plan->graph.count; k++)
        c->pace.weight += c->plan->graph.nodes[k]->dim;
    if (status == KCL_OK) {
        c->prepared = kb_calloc(kd_allocator(context), c->plan->prepared_vars + 1, sizeof *c->prepared);
        if (!c->prepared)
            status = kb_no_memory(err);
    }
    return status;
}

enum { MOST_TIGHTENED = 2 };

kcl_status kx_compile(kcl_context *context, kcl_dtype dtype, const kg_step *step, const kp_choice *choice,
                      const kx_layout *arrays, size_t most, kx_compiled *c)
{
    for (;;) {
        kcl_status status = most ? KCL_OK : build(context, dtype, step, choice, arrays, c);
        if (status < 0)
            return status;
        size_t group = (size_t)c->plan->group;
        for (int k = 0; k < KT_KERNELS && group > 1; k++) {
            size_t limit = c->kernel[k] ? kd_kernel_limits(context, c->kernel[k])->work_group : 0;
            if (limit && limit < group && (!most || limit < most))
                most = limit;
        }
        if (!most)
            return KCL_OK;
        if (most >= group || c->tightened == MOST_TIGHTENED)
            return kb_fail(kd_error(context), KCL_ERROR_UNSUPPORTED,
                           "the device runs the kernels of this formula with at most %zu work-items in a work-group, "
                           "the smallest plan needs %zu: use another schedule, or shorter vectors",
                           most, group);
        kb_log_line(kd_log(context), "the kernels run with at most %zu work-items in a work-group: planned again",
                    most);
        c->caps.max_work_group = (int)most;
        c->tightened++;
        most = 0;
    }
}

/* Holds nothing yet; NULL: the context's error tells why. */
static kx_compiled *new_compiled(kcl_context *context)
{
    kx_compiled *c = kb_calloc(kd_allocator(context), 1, sizeof *c);
    if (!c)
        kb_no_memory(kd_error(context));
    return c;
}

kx_compiled *kx_find_compiled(kcl_context *context, uint64_t step_key, kcl_dtype dtype, const kg_step *step,
                              const kp_choice *choice, const kx_layout *arrays)
{
    const uint64_t key = choice_key(step_key, dtype, step->input_count, choice, arrays);
    kx_compiled *c = kx_look_up(context, KX_COMPILED, key);
    if (c || !(c = new_compiled(context)))
        return c;
    c->caps = *kd_caps(context);
    if (kx_compile(context, dtype, step, choice, arrays, 0, c) < 0) {
        destroy_compiled(context, &c->kept);
        return NULL;
    }
    return kx_keep(context, KX_COMPILED, &c->kept, &kept_kind, key) < 0 ? NULL : c;
}

void kx_forget_compiled(kcl_context *context, kx_compiled *c)
{
    kx_take_out(context, KX_COMPILED, &c->kept);
    destroy_compiled(context, &c->kept);
}

kcl_status kx_own_kernel(kcl_context *context, void (*write)(kb_str *out, unsigned variant), unsigned variant,
                         const char *name, const char *label, kd_kernel **kernel)
{
    const uint64_t key = kb_hash(name, strlen(name), 9 + variant);
    kx_compiled *c = kx_look_up(context, KX_COMPILED, key);
    *kernel = NULL;
    if (!c) {
        kb_str source;
        if (!(c = new_compiled(context)))
            return kd_error(context)->status;
        kb_str_init(&source, kd_allocator(context));
        write(&source, variant);
        kcl_status status = source.failed ? kb_no_memory(kd_error(context))
                                          : kd_kernel_get(context, kb_str_text(&source), name, label, &c->kernel[0]);
        kb_str_finish(&source);
        if (status < 0) {
            destroy_compiled(context, &c->kept);
            return status;
        }
        if (kx_keep(context, KX_COMPILED, &c->kept, &kept_kind, key) < 0)
            return kd_error(context)->status;
    }
    *kernel = c->kernel[0];
    return KCL_OK;
}

kx_compiled *kx_built_before(const kg_program *program, kcl_context *context, kcl_dtype dtype, size_t step,
                             kp_choice choice)
{
    size_t count = program->steps[step].input_count;
    bool *dense = context ? kb_calloc(kd_allocator(context), count + 1, sizeof *dense) : NULL;
    const kx_layout arrays = {.dense = dense};
    if (!dense)
        return NULL;
    memset(dense, 1, count);
    kx_compiled *c = NULL;
    /* The data of a call chose the form, on the host or on the device. */
    for (int form = 3; !c && form >= 0; form--) {
        choice.expand = form & 1;
        choice.decided = form & 2;
        c = kx_look_up(context, KX_COMPILED, choice_key(kx_step_key(program, step), dtype, count, &choice, &arrays));
    }
    kb_free(kd_allocator(context), dense);
    return c;
}
