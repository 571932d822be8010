/* SPDX-License-Identifier: MIT */
/* render/render.c: programs, from the kernels' sections and the skeletons of cl/. */
#include "entries.h"
#include "hooks.h"
#include "kernel.h"
#include "library.h"
#include "reductions.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

const char *const kt_kernel_names[KT_KERNELS] = {"prepare_rows", "prepare_columns", "sweep", "finish"};

enum { SHORT_LIST = 16 }; /* K of K-min for which registers are enough */

enum { MACRO_WIDTH = 117 }; /* of lines before their backslash; longer ones stick out */

const char *const kt_macro_prefixes[KT_KERNELS] = {"KCL_PREPARE_ROWS", "KCL_PREPARE_COLUMNS", "KCL_SWEEP",
                                                   "KCL_FINISH"};

/* The variable that holds the margins of screened terms. */
static size_t margin_of(const kp_plan *plan)
{
    return plan->var_count - plan->prepared_vars - 1;
}

/* ---- Macros ------------------------------------------------------------------------------------------------------ */

/*
 * Lines of text as the body of a macro: a backslash ends every line but the last, in one column as far as that goes.
 * Nothing where `text` has failed.
 */
static void put_macro(kb_str *out, const char *prefix, const char *name, const kb_str *text)
{
    int width = 0, length = (int)(strlen("#define _") + strlen(prefix) + strlen(name));
    if (text->failed)
        return;
    for (const char *p = kb_str_text(text); *p; p = strchr(p, '\n') + 1)
        width = KB_MAX(width, (int)KB_MIN(strcspn(p, "\n"), MACRO_WIDTH));
    width = KB_MAX(width, length);
    kb_str_putf(out, "#define %s_%s", prefix, name);
    for (const char *p = kb_str_text(text); *p;) {
        const char *end = strchr(p, '\n');
        kb_str_putf(out, "%*s \\\n", KB_MAX(0, width - length), "");
        kb_str_putn(out, p, (size_t)(end - p));
        length = (int)KB_MIN(end - p, MACRO_WIDTH);
        p = end + 1;
    }
    kb_str_put(out, "\n");
}

static const char *variable_name(void *user, const kf_node *var)
{
    static const char letters[] = {'x', 'y', 'a', 'r'};
    snprintf(user, 32, "%c%lld", letters[var->param[2]], (long long)var->param[0]);
    return user;
}

static void put_formula(kb_str *out, const kf_node *f)
{
    char name[32];
    kf_print(out, f, variable_name, name, 400);
}

/* ---- What is computed where -------------------------------------------------------------------------------------- */

/* Adds to `targets` the nodes of class `from` that cost something and that are wanted, or needed by others. */
static size_t hoisted(const kt_body *body, unsigned from, size_t wanted_count, const kf_node *const *wanted, bool *work,
                      bool *needed, kt_target *targets)
{
    const kf_order *order = &body->order;
    size_t count = 0;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        kf_class c = kf_info((kf_op)f->op)->op_class;
        work[k] = c == KF_CLASS_MAP || c == KF_CLASS_SUM || c == KF_CLASS_CALL;
        needed[k] = false;
        for (int n = 0; n < (f->op == KF_LIKE ? 1 : f->arg_count); n++) {
            size_t arg = kf_at(order, f->arg[n]);
            work[k] |= work[arg];
            needed[arg] |= kt_class(body, f) != from;
        }
    }
    for (size_t k = 0; k < wanted_count; k++)
        needed[kf_at(order, wanted[k])] = true;
    for (size_t k = 0; k < order->count; k++)
        if (work[k] && needed[k] && kt_class(body, order->nodes[k]) == from && body->stored[k].place == KT_NOWHERE &&
            !(from && body->step && order->nodes[k]->dim > 1)) /* steps of a contraction compute components anew */
            targets[count++] = (kt_target){.kind = KT_KEEP, .node = order->nodes[k]};
    return count;
}

/* ---- Kernels ----------------------------------------------------------------------------------------------------- */

static void put_loads(const kp_plan *plan, const kt_body *body, unsigned lane_axis, kb_str *out)
{
    for (size_t v = 0; v < plan->var_count; v++) {
        const kr_var *var = &plan->vars[v];
        unsigned axis = var->role == KF_ROLE_I ? KF_AXIS_I : var->role == KF_ROLE_J ? KF_AXIS_J : 0;
        if (!body->reads[v] || axis != lane_axis || !plan->private[v])
            continue;
        char letter = var->role == KF_ROLE_I ? 'x' : 'y', stride[32];
        if (plan->dense[v])
            snprintf(stride, sizeof stride, "%d", var->dim);
        else
            snprintf(stride, sizeof stride, "a%zu_s", v);
        kb_str_putf(out, "    lanes %c%zu[%d];\n    KCL_LOAD(%c%zu, a%zu, %s, %d)\n", letter, v, var->dim, letter, v, v,
                    stride, var->dim);
    }
}

/* Distance between rows of a variable, numbers. */
static void put_stride(kb_str *out, const kp_plan *plan, size_t v)
{
    if (plan->dense[v])
        kb_str_putf(out, "%d", plan->vars[v].dim);
    else
        kb_str_putf(out, "a%zu_s", v);
}

/* How the streamed variables that the body reads are found in memory and in local memory, and how they get there. */
static void put_columns(const kp_plan *plan, const kt_body *body, kb_str *out)
{
    kb_str fill;
    kb_str_init(&fill, kf_allocator(&plan->graph));
    for (size_t v = 0; v < plan->var_count; v++) {
        unsigned axis = plan->vars[v].role == KF_ROLE_I ? KF_AXIS_I : plan->vars[v].role == KF_ROLE_J ? KF_AXIS_J : 0;
        if (!body->reads[v] || !axis || axis != plan->stream_axis)
            continue;
        kb_str_putf(out, "#define KCL_MEMORY_%zu(k) a%zu[KCL_ELEMENT(v) * ", v, v);
        put_stride(out, plan, v);
        kb_str_put(out, " + (k)]\n");
        if (!plan->record)
            continue;
        kb_str_putf(out, "#define KCL_LOCAL_%zu(k) KCL_OF_COLUMN(%d + (k))\n", v, plan->offset[v]);
        kb_str_putf(&fill, "    KCL_FILL(%d, a%zu, ", plan->offset[v], v);
        put_stride(&fill, plan, v);
        kb_str_putf(&fill, ", %d)\n", plan->vars[v].dim);
    }
    if (plan->record)
        put_macro(out, kt_macro_prefixes[KT_SWEEP], "FILL", &fill);
    kb_str_finish(&fill);
}

/* X(number, variable, distance of rows) for the vectors that a contraction stages, first of rows, then of columns. */
static void put_operands(const kp_plan *plan, const kt_body *body, kb_str *out)
{
    for (int side = 0; side < 2; side++) {
        int count = 0;
        kf_role role = side == 0 ? KF_ROLE_I : KF_ROLE_J;
        kb_str_put(out, side == 0 ? "#define KCL_ROW_OPERANDS(X)" : "#define KCL_COLUMN_OPERANDS(X)");
        for (size_t v = 0; v < plan->var_count; v++) {
            if (!body->operand[v] || plan->vars[v].role != role)
                continue;
            kb_str_putf(out, " X(%d, %zu, ", count++, v);
            put_stride(out, plan, v);
            kb_str_put(out, ")");
        }
        kb_str_putf(out, "\n#define %s %d\n", side == 0 ? "KCL_ROW_OPERAND_COUNT" : "KCL_COLUMN_OPERAND_COUNT", count);
    }
}

/* Arrays that several values share: the values are collected first, and stored in a loop. */
static void put_shared(const kp_plan *plan, const kt_kernel *k, kb_str *begin, kb_str *end)
{
    for (size_t v = plan->var_count - plan->prepared_vars; v < plan->var_count; v++) {
        const int dim = plan->vars[v].dim;
        bool shared = false;
        for (size_t t = 0; t < k->target_count; t++)
            shared |= k->targets[t].kind == KT_PREPARED && k->targets[t].index == v && k->targets[t].node->dim != dim;
        if (!shared)
            continue;
        kb_str_putf(begin, "    lanes shared%zu[%d];\n", v, dim);
        kb_str_putf(
            end, "    FOR_INDEX(k, 0, %d) {\n        kcl_scatter(a%zu, i, lane_count, %d, k, shared%zu[k]);\n    }\n",
            dim, v, dim, v);
    }
}

/*
 * Whether it is the plan's turn, as the numbers say that decide between two plans. Kernels return where it is not. A sweep
 * leaves its loop out (FOR_BLOCKS of cl/common.cl): behind a return PoCL computes barriers wrongly.
 */
static kcl_status put_guards(const kp_plan *plan, kt_kernel_id id, kt_body *body, kt_target *targets, kb_str *out)
{
    for (size_t k = 0; k < plan->guard_count; k++)
        targets[k] = (kt_target){.kind = KT_KEEP, .node = plan->guards[k]};
    if (!plan->guard_count)
        return KCL_OK;
    kcl_status status = kt_section(body, false, plan->guard_count, targets, out);
    kb_str_putf(out, "    const bool turn = %s(", plan->expanded ? "" : "!");
    for (size_t k = 0; status == KCL_OK && k < plan->guard_count; k++) {
        kb_str_putf(out, "%s%s <= ", k ? " && " : "", body->stored[kf_at(&body->order, plan->guards[k])].name);
        kt_put_number(out, plan->dtype, KP_BOUND_LIMIT);
    }
    kb_str_put(out, id == KT_SWEEP ? ");\n" : ");\n    if (!turn)\n        return;\n");
    return status;
}

static kcl_status put_kernel(kt_program *program, const kp_plan *plan, const kt_kernel *k, kb_error *err)
{
    const kcl_allocator *a = &program->allocator;
    kb_str *out = &program->source;
    kt_body body;
    const size_t root_count = k->target_count + plan->guard_count;
    const kf_node **roots = kb_calloc(a, root_count + 1, sizeof *roots);
    if (!roots)
        return kb_no_memory(err);
    size_t term_count = 0;
    for (size_t t = 0; t < k->target_count; t++) {
        roots[t] = k->targets[t].node;
        term_count += k->targets[t].kind == KT_TERM;
    }
    for (size_t t = 0; t < plan->guard_count; t++)
        roots[k->target_count + t] = plan->guards[t];
    kcl_status status = kt_body_init(&body, plan, k->lane_axis, k->stream_axis, root_count, roots, err);
    size_t most = body.order.count + 1;
    bool *work = kb_calloc(a, most, sizeof *work), *needed = kb_calloc(a, most, sizeof *needed);
    kt_target *kept = kb_calloc(a, most, sizeof *kept);
    if (status == KCL_OK && (!work || !needed || !kept))
        status = kb_no_memory(err);
    kb_str parameters, begin, launch, lane, sums, step, block, end, loads;
    kb_str *texts[] = {&parameters, &begin, &launch, &lane, &sums, &step, &block, &end, &loads};
    for (size_t t = 0; t < KB_COUNT(texts); t++)
        kb_str_init(texts[t], a);
    body.indirect = k->id == KT_SWEEP && plan->schedule != KP_BY_LANES;
    if (status == KCL_OK && k->id == KT_FINISH && plan->screens)
        body.reads[margin_of(plan)] = true;
    if (k->id == KT_SWEEP && plan->schedule == KP_BY_CONTRACTION) {
        body.sums = &sums;
        body.step = &step;
    }
    if (status == KCL_OK)
        status = put_guards(plan, k->id, &body, kept, &launch);
    if (status == KCL_OK) {
        size_t count = hoisted(&body, 0, k->target_count, roots, work, needed, kept);
        status = kt_section(&body, false, count, kept, &launch);
    }
    if (status == KCL_OK && term_count) {
        size_t count = hoisted(&body, KP_LANE, term_count, roots, work, needed, kept);
        status = kt_section(&body, false, count, kept, &lane);
    }
    if (status == KCL_OK && term_count)
        status = kt_section(&body, true, term_count, k->targets, &block);
    if (status == KCL_OK && k->target_count > term_count)
        status = kt_section(&body, false, k->target_count - term_count, k->targets + term_count, &end);
    if (status == KCL_OK) {
        kt_put_launched_batch(&begin, plan, k, &body);
        kt_put_looped_batch(&begin, &loads, plan, k, &body);
        /* What is computed once a launch is computed once a batch where batches are reduced. */
        kb_str_put(kt_looped_axes(plan, k) ? &loads : &begin, kb_str_text(&launch));
        put_loads(plan, &body, k->lane_axis, &loads);
        put_shared(plan, k, &loads, &end);
        kb_str_put(&loads, kb_str_text(&lane));
        status = kt_put_parameters(program, plan, k, &body, &parameters);
        put_macro(out, kt_macro_prefixes[k->id], "PARAMETERS", &parameters);
        put_macro(out, kt_macro_prefixes[k->id], "LAUNCH", &begin);
        put_macro(out, kt_macro_prefixes[k->id], "LANE", &loads);
        if (body.indirect)
            put_columns(plan, &body, out);
        if (body.step) {
            put_operands(plan, &body, out);
            put_macro(out, kt_macro_prefixes[k->id], "SUMS", &sums);
            put_macro(out, kt_macro_prefixes[k->id], "STEP", &step);
        }
        if (term_count)
            put_macro(out, kt_macro_prefixes[k->id], "BLOCK", &block);
        if (k->target_count > term_count)
            put_macro(out, kt_macro_prefixes[k->id], "OUT", &end);
        kb_str_put(out, "\n");
        for (size_t t = 0; t < KB_COUNT(texts); t++)
            if (texts[t]->failed && status == KCL_OK)
                status = kb_no_memory(err);
    }
    for (size_t t = 0; t < KB_COUNT(texts); t++)
        kb_str_finish(texts[t]);
    kb_free(a, roots);
    kb_free(a, work);
    kb_free(a, needed);
    kb_free(a, kept);
    kt_body_finish(&body);
    return status;
}

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

static void put_preface(kb_str *out, const kp_plan *plan)
{
    static const char *const shapes[] = {"KCL_MAP", "KCL_ROWS", "KCL_ROWS_SPLIT", "KCL_COLUMNS", "KCL_ROWS_BOTH"};
    static const char *const loops[] = {"", "#define KCL_UNROLLED\n", "#define KCL_UNROLLED\n#define KCL_WIDE\n",
                                        "#define KCL_ROLLED\n"};
    kb_str_put(out, "/*\n");
    for (size_t k = 0; k < plan->prepared_count; k++) {
        const kp_prepared *p = &plan->prepared[k];
        kb_str_putf(out, " * %c%zu", plan->vars[p->var].role == KF_ROLE_I ? 'x' : 'y', p->var);
        if (plan->vars[p->var].dim != p->value->dim)
            kb_str_putf(out, "[%d]", p->at);
        kb_str_put(out, " = ");
        put_formula(out, p->value);
        kb_str_put(out, ", once a launch\n");
    }
    for (size_t k = 0; k < plan->term_count; k++) {
        kb_str_putf(out, " * r%zu = %s over %s of ", k, kf_reduction_get(plan->terms[k].reduction)->name,
                    plan->reduced & KF_AXIS_I ? "i and j" : "j");
        /* The plan has multiplied exponents by log2(e). */
        bool powers = kp_reduction(plan, k)->exponent == KR_EXPONENTS;
        bool exponent = kp_reduction(plan, k)->exponent == KR_FIRST_EXPONENT;
        kb_str_put(out, powers ? "ln(2)*(" : "");
        put_formula(out, plan->terms[k].formula);
        kb_str_put(out, powers ? ")\n" : exponent ? ", the first component times ln(2)\n" : "\n");
    }
    for (size_t k = 0; k < plan->output_count; k++) {
        const bool scaled = plan->scaled[k];
        kb_str_putf(out, scaled ? " * o%zu = o%zu_alpha*(" : " * o%zu = ", k, k);
        put_formula(out, plan->outputs[k]);
        if (scaled)
            kb_str_putf(out, ") + o%zu_beta*o%zu", k, k);
        kb_str_put(out, "\n");
    }
    if (plan->fast)
        kb_str_put(out, " * with fast elementary functions\n");
    kb_str_putf(out, " */\n#define %s\n#define KCL_LANES %d\n",
                plan->dtype == KCL_F32 ? "KCL_REAL_F32" : "KCL_REAL_F64", plan->lanes);
    if (plan->native)
        kb_str_put(out, "#define KCL_NATIVE\n");
    if (plan->one_block)
        kb_str_put(out, "#define KCL_ONE_BLOCK\n");
    if (plan->guard_count)
        kb_str_put(out, "#define KCL_TURNS\n");
    if (plan->fast && plan->slow_divider)
        kb_str_put(out, "#define KCL_SLOW_DIVIDER\n");
    if (plan->many_periodic)
        kb_str_put(out, "#define KCL_MANY_PERIODIC\n");
    if (!plan->stream_axis && plan->native && plan->loops == KP_LOOPS_SHORT)
        kb_str_put(out, "#define KCL_LONG_MAP\n");
    if (plan->stream_axis) {
        kb_str_putf(out, "#define KCL_SHAPE %s\n#define KCL_STREAM %d\n#define KCL_TILE %d\n", shapes[plan->shape],
                    plan->stream, plan->tile);
        if (plan->shape == KP_COLUMNS)
            kb_str_putf(out, "#define KCL_STATES %d\n", plan->stream);
        if (plan->schedule != KP_BY_LANES)
            kb_str_putf(out, "#define KCL_GROUP %d\n#define KCL_NUMBERS %d\n", plan->group, kp_numbers(plan));
        if (plan->each_batches)
            kb_str_put(out, "#define KCL_EACH\n");
        kb_str_put(out, loops[plan->loops]);
        if (plan->schedule == KP_BY_ROWS && plan->shape != KP_COLUMNS)
            kb_str_putf(out, "#define KCL_RECORD %d\n", plan->record);
        if (plan->schedule == KP_BY_CONTRACTION)
            kb_str_putf(out, "#define KCL_SIDE %d\n#define KCL_DIM %d\n#define KCL_CHUNK %d\n",
                        plan->tile / plan->stream, plan->contracted, plan->chunk);
        int64_t longest = 0;
        for (size_t k = 0; k < plan->term_count; k++) {
            if (!kp_reduction(plan, k)->lists)
                continue;
            longest = KB_MAX(longest, plan->terms[k].param);
            kb_str_putf(out, "#define KCL_K%zu %lld\n", k, (long long)plan->terms[k].param);
        }
        if (plan->schedule != KP_BY_LANES && longest)
            kb_str_putf(out, "#define KCL_%s_LISTS\n", longest <= SHORT_LIST ? "SHORT" : "LONG");
        kb_str_put(out, "#define KCL_TERMS(X)");
        int64_t before = 0;
        for (size_t k = 0; k < plan->term_count; k++) {
            kb_str_putf(out, " X(%s, %zu, %d, %lld)", kp_reduction(plan, k)->name, k, plan->terms[k].formula->dim,
                        (long long)before);
            before += kp_state_dim(plan, k);
        }
        kb_str_put(out, plan->deferred ? "\n#define KCL_DEFERRED\n" : "\n");
        if (plan->screens)
            kb_str_putf(out, "#define KCL_MARGIN(k) a%zu[k]\n", margin_of(plan));
    }
    kb_str_put(out, "\n");
}

/* What the program uses of cl/. */
static void put_library(kt_program *program, const kp_plan *plan)
{
    const char *const skeleton = plan->schedule == KP_BY_CONTRACTION ? "contraction"
                                 : plan->shape == KP_COLUMNS         ? "columns"
                                 : plan->schedule == KP_BY_LANES     ? "lanes"
                                                                     : "rows";
    const char *files[9] = {"math", "common", "scaled", "dtw"};
    size_t count = 4;
    if (plan->fast)
        files[count++] = "fast";
    if (plan->term_count) {
        files[count++] = "reduce";
        files[count++] = "reduce/";
        files[count++] = skeleton;
    }
    if (plan->shape != KP_ROWS || plan->prepared_count)
        files[count++] = "map";
    kb_str words;
    kb_str_init(&words, &program->allocator);
    for (int k = 0; k < KT_KERNELS; k++)
        if (program->kernel[k].count)
            kb_str_putf(&words, "%s ", kt_kernel_names[k]);
    kt_put_step_names(&words, plan);
    program->source.failed |= words.failed;
    kt_put_library(&program->source, files, count, kb_str_text(&words));
    kb_str_finish(&words);
}

kcl_status kt_render(kt_program *program, const kp_plan *plan, kb_error *err)
{
    const kcl_allocator *a = kf_allocator(&plan->graph);
    *program = (kt_program){.allocator = *a};
    kb_str *out = &program->source;
    kb_str_init(out, a);
    kt_target *targets =
        kb_calloc(a, plan->term_count + plan->output_count + plan->prepared_count + 1, sizeof *targets);
    if (!targets)
        return kb_no_memory(err);
    put_preface(out, plan);
    kcl_status status = KCL_OK;
    for (int side = 0; status == KCL_OK && side < 2; side++) {
        unsigned axis = side == 0 ? KF_AXIS_I : KF_AXIS_J;
        size_t count = 0;
        for (size_t k = 0; k < plan->prepared_count; k++) {
            const kp_prepared *p = &plan->prepared[k];
            if ((p->value->axes & KF_PAIR_AXES) == axis)
                targets[count++] =
                    (kt_target){.kind = KT_PREPARED, .node = p->value, .index = p->var, .component = p->at};
        }
        kt_kernel k = {side == 0 ? KT_PREPARE_ROWS : KT_PREPARE_COLUMNS, axis, 0, count, targets};
        if (count)
            status = put_kernel(program, plan, &k, err);
    }
    bool direct = plan->shape == KP_ROWS;
    size_t count = 0;
    for (size_t k = 0; k < plan->term_count; k++)
        targets[count++] = (kt_target){.kind = KT_TERM, .node = plan->terms[k].formula, .index = k};
    size_t term_count = count;
    for (size_t k = 0; k < plan->output_count; k++)
        targets[count++] = (kt_target){.kind = KT_OUTPUT, .node = plan->outputs[k], .index = k};
    if (status == KCL_OK && term_count) {
        kt_kernel k = {KT_SWEEP, plan->lane_axis, plan->stream_axis, direct ? count : term_count, targets};
        status = put_kernel(program, plan, &k, err);
    }
    if (status == KCL_OK && !direct) {
        /* The terms that are looked at again, in front of the outputs. */
        size_t first = term_count;
        for (size_t n = plan->term_count; plan->deferred && n-- > 0;)
            if (kp_reduction(plan, n)->hooks & KR_FIND_PART)
                targets[--first] = (kt_target){
                    .kind = KT_TERM, .node = plan->exact[n] ? plan->exact[n] : plan->terms[n].formula, .index = n};
        kt_kernel k = {KT_FINISH, KF_AXIS_I, plan->deferred ? KF_AXIS_J : 0, count - first, targets + first};
        status = put_kernel(program, plan, &k, err);
    }
    kb_free(a, targets);
    program->body = out->length;
    if (plan->schedule == KP_BY_LANES)
        kb_str_put(out, "#define KCL_ENTRIES\n");
    if (term_count)
        kt_put_reductions(out, plan);
    put_library(program, plan);
    if (plan->schedule == KP_BY_LANES)
        kt_put_entries(program);
    if (status == KCL_OK && out->failed)
        status = kb_no_memory(err);
    if (status < 0)
        kt_program_finish(program);
    return status;
}

void kt_program_finish(kt_program *program)
{
    for (int k = 0; k < KT_KERNELS; k++) {
        kb_free(&program->allocator, program->kernel[k].args);
        program->kernel[k] = (kt_signature){0, NULL};
    }
    kb_str_finish(&program->source);
}
