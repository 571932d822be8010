/* SPDX-License-Identifier: MIT */
/* run/emit.c: the kernels of a program, as text and described. */
#include "cache.h"
#include "launch.h"

#include <string.h>

/* What the compiler made of the kernel that does the work. */
static void describe_kernel(kcl_context *context, const kx_compiled *c, kb_str *out)
{
    kd_kernel *kernel = c->kernel[KT_SWEEP] ? c->kernel[KT_SWEEP] : c->kernel[KT_FINISH];
    if (!kernel)
        return;
    const kd_limits *limits = kd_kernel_limits(context, kernel);
    if (limits->work_group)
        kb_str_putf(out, "largest work-group: %zu\n", limits->work_group);
    kb_str_putf(out, "local memory: %zu bytes\nprivate memory: %zu bytes\n", limits->local_memory,
                limits->private_memory);
    if (limits->registers >= 0)
        kb_str_putf(out, "registers: %d\n", limits->registers);
    if (limits->spilled >= 0)
        kb_str_putf(out, "spilled bytes: %lld\n", (long long)limits->spilled);
    if (limits->stack >= 0)
        kb_str_putf(out, "stack bytes: %lld\n", (long long)limits->stack);
}

/* What a description says about the form of step `index`. */
static void describe_form(const kg_program *p, size_t index, kcl_context *context, kcl_dtype dtype, kb_str *out)
{
    static const char *const asked[] = {"by the data of each call", "differences (asked for)", "expanded (asked for)"};
    const char *text = asked[p->options.form];
    const char *note = context ? kx_form_note(context, kx_note_key(p, index, dtype), false) : NULL;
    if (note)
        text = note;
    if (p->steps[index].expansion)
        kb_str_putf(out, "form: %s\n", text);
}

/* The text of a sweep, whose comment begins with what a0, a1, ... are. The programs that are built do not have that line. */
static void put_program(const kg_step *step, const char *const *names, const char *source, kb_str *out)
{
    static const char comment[] = "/*\n";
    size_t count = 0;
    kb_str_put(out, comment);
    for (size_t v = 0; v < step->input_count; v++) {
        const kg_place *input = &step->inputs[v];
        const char *name = input->is_temp ? "a result" : names[input->index];
        if (name && *name)
            kb_str_putf(out, "%sa%zu: %s", count++ ? ", " : " * ", v, name);
    }
    kb_str_put(out, count ? "\n" : "");
    kb_str_put(out, source + strlen(comment));
}

kcl_status kx_emit(const kg_program *p, kcl_context *context, const kp_caps *caps, kcl_dtype dtype,
                   const int64_t *extents, const char *const *names, bool describe, kb_str *out, kb_error *err)
{
    for (size_t k = 0; k < p->step_count; k++) {
        const kg_step *step = &p->steps[k];
        if (kx_kinds[step->kind].title) {
            kb_str_putf(out, describe ? "sweep: %zu of %zu\nno sweep: %s\n" : "/* Sweep %zu of %zu: %s. */\n", k + 1,
                        p->step_count, kx_kinds[step->kind].title);
            if (!describe)
                kt_render_indexed(out, dtype);
            continue;
        }
        kp_plan *plan;
        kt_program program;
        kp_choice choice;
        if (kp_choose(&step->sweep, caps, dtype, extents[step->row_extent], extents[step->col_extent],
                      p->options.schedule, &choice, err) < 0)
            return err->status;
        choice.expand = p->options.form == KG_FORM_EXPANDED &&
                        !(step->expansion && step->expansion->screens && !kp_screens(&choice));
        choice.fast = p->options.fast;
        if (kp_plan_create(&plan, &(kp_request){&step->sweep, dtype, caps, choice, NULL, {0}}, err) < 0)
            return err->status;
        if (p->step_count > 1)
            kb_str_putf(out, describe ? "sweep: %zu of %zu\n" : "/* Sweep %zu of %zu. */\n", k + 1, p->step_count);
        kcl_status status = KCL_OK;
        if (describe) {
            kp_launch launch;
            const kx_compiled *c = kx_built_before(p, context, dtype, k, choice);
            const kp_plan *made = c ? c->plan : plan;
            kp_describe(made, out);
            describe_form(p, k, context, dtype, out);
            kp_launch_for(made, c ? &c->caps : caps, extents[step->row_extent], extents[step->col_extent], &launch);
            kb_str_putf(out, "work-items: %zu x %zu\nparts: %lld\n", launch.sweep_items[0], launch.sweep_items[1],
                        (long long)launch.parts);
            if (c)
                describe_kernel(context, c, out);
        } else {
            status = kt_render(&program, plan, err);
            if (status == KCL_OK) {
                put_program(step, names, kb_str_text(&program.source), out);
                kt_program_finish(&program);
            }
        }
        kp_plan_destroy(&plan);
        if (status < 0)
            return status;
    }
    return out->failed ? kb_no_memory(err) : KCL_OK;
}
