/* SPDX-License-Identifier: MIT */
/* render/arguments.c: what kernels are called with: arrays, strides, sizes, and the batches that a launch goes through. */
#include "kernel.h"

/* The parameters of a kernel while they are written. */
typedef struct parameters {
    kt_program *program;
    kt_kernel_id id;
    size_t capacity;
    bool ok;
    kb_str *text;
} parameters;

static void add_arg(parameters *p, kt_arg_kind kind, size_t index, int axis)
{
    kt_signature *s = &p->program->kernel[p->id];
    p->ok = p->ok && kb_reserve(&p->program->allocator, (void **)&s->args, &p->capacity, s->count + 1, sizeof *s->args);
    if (p->ok)
        s->args[s->count++] = (kt_arg){kind, (uint32_t)index, (uint32_t)axis};
}

static bool is_prepared_by(const kt_kernel *k, size_t var)
{
    for (size_t t = 0; t < k->target_count; t++)
        if (k->targets[t].kind == KT_PREPARED && k->targets[t].index == var)
            return true;
    return false;
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

static bool has_partial(const kp_plan *plan, kt_kernel_id id)
{
    return (id == KT_SWEEP || id == KT_FINISH) && plan->shape != KP_ROWS && plan->term_count > 0;
}

/*
 * The batch axes that a kernel is launched over, as bits. A sweep has a loop over the reduced batch axes. A kernel that
 * prepares values is launched over the axes that the values depend on.
 */
static unsigned launched_axes(const kp_plan *plan, const kt_kernel *k)
{
    for (size_t v = plan->var_count - plan->prepared_vars; v < plan->var_count; v++)
        if (is_prepared_by(k, v))
            return plan->batched[v];
    return (1u << plan->outer_batches) - 1;
}

unsigned kt_looped_axes(const kp_plan *plan, const kt_kernel *k)
{
    return k->id == KT_SWEEP ? ((1u << plan->each_batches) - 1) << plan->outer_batches : 0;
}

static void put_batch_parameters(parameters *p, const kp_plan *plan, const kt_kernel *k, const kt_body *body)
{
    unsigned launched = launched_axes(plan, k), looped = kt_looped_axes(plan, k);
    for (size_t v = 0; v < plan->var_count; v++) {
        for (int b = 0; (body->reads[v] || is_prepared_by(k, v)) && b < KF_MAX_BATCH; b++) {
            if (!(plan->batched[v] & (launched | looped) & 1u << b))
                continue;
            kb_str_putf(p->text, "    const long a%zu_b%d,\n", v, b);
            add_arg(p, KT_ARG_VAR_BATCH, v, b);
        }
    }
    for (size_t t = 0; t < k->target_count; t++) {
        for (int b = 0; k->targets[t].kind == KT_OUTPUT && b < plan->outer_batches; b++) {
            kb_str_putf(p->text, "    const long o%zu_b%d,\n", k->targets[t].index, b);
            add_arg(p, KT_ARG_OUTPUT_BATCH, k->targets[t].index, b);
        }
    }
    /* The last axis needs no size. */
    for (int b = 0; b < KF_MAX_BATCH; b++) {
        unsigned of = launched & 1u << b ? launched : looped;
        if (!(of & 1u << b) || of >> b == 1)
            continue;
        kb_str_putf(p->text, "    const long n%d,\n", b);
        add_arg(p, KT_ARG_BATCH_SIZE, 0, b);
    }
    if (launched) {
        kb_str_put(p->text, "    const long first_batch,\n");
        add_arg(p, KT_ARG_FIRST_BATCH, 0, 0);
    }
    if (launched && has_partial(plan, k->id)) {
        kb_str_put(p->text, "    const long partial_b,\n");
        add_arg(p, KT_ARG_PARTIAL_BATCH, 0, 0);
    }
    if (looped) {
        kb_str_put(p->text, "    const long column_parts, const long each_count, const long each_length,\n");
        add_arg(p, KT_ARG_COLUMN_PARTS, 0, 0);
        add_arg(p, KT_ARG_EACH_COUNT, 0, 0);
        add_arg(p, KT_ARG_EACH_LENGTH, 0, 0);
    }
}

/* b0, b1, ...: the place of batch `number` on each of the axes. */
static void put_places(kb_str *out, const char *number, unsigned axes)
{
    if (!axes)
        return;
    kb_str_put(out, "    const long ");
    for (int b = 0, count = 0; axes >> b; b++) {
        if (!(axes & 1u << b))
            continue;
        kb_str_putf(out, "%sb%d = %s", count++ ? ", " : "", b, number);
        for (int before = 0; before < b; before++)
            if (axes & 1u << before)
                kb_str_putf(out, " / n%d", before);
        if (axes >> b != 1)
            kb_str_putf(out, " %% n%d", b);
    }
    kb_str_put(out, ";\n");
}

static void put_offset(kb_str *out, char letter, size_t number, unsigned axes)
{
    for (int b = 0, count = 0; axes >> b; b++)
        if (axes & 1u << b)
            kb_str_putf(out, "%sb%d * %c%zu_b%d", count++ ? " + " : "", b, letter, number, b);
}

void kt_put_launched_batch(kb_str *out, const kp_plan *plan, const kt_kernel *k, const kt_body *body)
{
    unsigned axes = launched_axes(plan, k);
    if (!axes)
        return;
    kb_str_put(out, "    const long batch = first_batch + KCL_GLOBAL_ID(2);\n");
    put_places(out, "batch", axes);
    for (size_t v = 0; v < plan->var_count; v++) {
        if (!(body->reads[v] || is_prepared_by(k, v)) || !(plan->batched[v] & axes))
            continue;
        kb_str_putf(out, "    a%zu += ", v);
        put_offset(out, 'a', v, plan->batched[v] & axes);
        kb_str_put(out, ";\n");
    }
    for (size_t t = 0; t < k->target_count; t++) {
        if (k->targets[t].kind != KT_OUTPUT)
            continue;
        kb_str_putf(out, "    o%zu += ", k->targets[t].index);
        put_offset(out, 'o', k->targets[t].index, axes);
        kb_str_put(out, ";\n");
    }
    if (has_partial(plan, k->id))
        kb_str_put(out, "    partial += batch * partial_b;\n");
}

void kt_put_looped_batch(kb_str *launch, kb_str *each, const kp_plan *plan, const kt_kernel *k, const kt_body *body)
{
    unsigned axes = kt_looped_axes(plan, k);
    put_places(each, "each", axes);
    for (size_t v = 0; v < plan->var_count; v++) {
        if (!body->reads[v] || !(plan->batched[v] & axes))
            continue;
        kb_str_putf(launch, "    __global const real *const all%zu = a%zu;\n", v, v);
        kb_str_putf(each, "    __global const real *restrict const a%zu = all%zu + ", v, v);
        put_offset(each, 'a', v, plan->batched[v] & axes);
        kb_str_put(each, ";\n");
    }
}

kcl_status kt_put_parameters(kt_program *program, const kp_plan *plan, const kt_kernel *k, const kt_body *body,
                             kb_str *out)
{
    parameters p = {.program = program, .id = k->id, .ok = true, .text = out};
    for (size_t v = 0; v < plan->var_count; v++) {
        bool written = is_prepared_by(k, v);
        if (!written && !body->reads[v])
            continue;
        kb_str_putf(p.text, "    __global %sreal *restrict a%zu,\n", written ? "" : "const ", v);
        add_arg(&p, KT_ARG_VAR, v, 0);
        if (!plan->dense[v] && plan->vars[v].role != KF_ROLE_P) {
            kb_str_putf(p.text, "    const long a%zu_s,\n", v);
            add_arg(&p, KT_ARG_VAR_STRIDE, v, 0);
        }
    }
    for (size_t t = 0; t < k->target_count; t++) {
        size_t index = k->targets[t].index;
        if (k->targets[t].kind != KT_OUTPUT)
            continue;
        kb_str_putf(p.text, "    __global %s *restrict o%zu, const long o%zu_s, const long o%zu_k,\n",
                    k->targets[t].node->kind == KF_INT ? "long" : "real", index, index, index);
        add_arg(&p, KT_ARG_OUTPUT, index, 0);
        add_arg(&p, KT_ARG_OUTPUT_STRIDE, index, 0);
        add_arg(&p, KT_ARG_OUTPUT_STEP, index, 0);
        if (!plan->scaled[index])
            continue;
        kb_str_putf(p.text, "    const real o%zu_alpha, const real o%zu_beta,\n", index, index);
        add_arg(&p, KT_ARG_OUTPUT_ALPHA, index, 0);
        add_arg(&p, KT_ARG_OUTPUT_BETA, index, 0);
    }
    put_batch_parameters(&p, plan, k, body);
    bool columns = k->id == KT_SWEEP || (k->id == KT_FINISH && plan->deferred);
    if (k->id != KT_PREPARE_COLUMNS)
        add_arg(&p, KT_ARG_ROWS, 0, 0);
    if (k->id == KT_PREPARE_COLUMNS || columns)
        add_arg(&p, KT_ARG_COLS, 0, 0);
    /* Work-items of few rows go through all rows, so that parts alone divide their work. */
    if (k->id == KT_SWEEP && plan->shape != KP_COLUMNS) {
        add_arg(&p, KT_ARG_FIRST_WORKER, 0, 0);
        add_arg(&p, KT_ARG_WORKERS, 0, 0);
    }
    if (has_partial(plan, k->id)) {
        add_arg(&p, KT_ARG_PARTS, 0, 0);
        if (columns)
            add_arg(&p, KT_ARG_PART_LENGTH, 0, 0);
        if (k->id == KT_SWEEP && plan->shape != KP_ROWS_BOTH)
            add_arg(&p, KT_ARG_FIRST_PART, 0, 0);
        add_arg(&p, KT_ARG_PARTIAL, 0, 0);
    }
    return p.ok && !out->failed ? KCL_OK : kb_no_memory(body->err);
}
