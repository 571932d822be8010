/* SPDX-License-Identifier: MIT */
/*
 * render/body.c: formulas as statements, straight-line single assignment.
 *
 * A section is a sequence of stages. Sums over components are computed in loops over the component, all sums of a stage
 * and dimension in one; between loops stands the arithmetic of numbers. Vectors are not kept: a loop computes the
 * component it needs from numbers, variables and kept values.
 */
#include "numeric.h"
#include "pass.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

enum { NEVER = INT32_MAX };

/* ---- A kernel's state -------------------------------------------------------------------------------------------- */

kcl_status kt_body_init(kt_body *body, const kp_plan *plan, unsigned lane_axis, unsigned stream_axis, size_t root_count,
                        const kf_node *const *roots, kb_error *err)
{
    const kcl_allocator *a = kf_allocator(&plan->graph);
    *body = (kt_body){.plan = plan, .err = err, .lane_axis = lane_axis, .stream_axis = stream_axis};
    kb_arena_init(&body->arena, a);
    if (kf_order_init(&body->order, &plan->graph, root_count, roots, false, err) < 0)
        return err->status;
    body->stored = kb_calloc(a, body->order.count + 1, sizeof *body->stored);
    body->reads = kb_calloc(a, plan->var_count + 1, sizeof *body->reads);
    body->operand = kb_calloc(a, plan->var_count + 1, sizeof *body->operand);
    return body->stored && body->reads && body->operand ? KCL_OK : kb_no_memory(err);
}

void kt_body_finish(kt_body *body)
{
    const kcl_allocator *a = kf_allocator(&body->plan->graph);
    kb_free(a, body->stored);
    kb_free(a, body->reads);
    kb_free(a, body->operand);
    kf_order_finish(&body->order);
    kb_arena_finish(&body->arena);
}

/* ---- Statements -------------------------------------------------------------------------------------------------- */

static void indent(kt_pass *s)
{
    for (int k = 0; k < s->depth; k++)
        kb_str_put(s->out, "    ");
}

/* Writes `text`, one statement a line, at the current indentation. */
static void put_lines(kt_pass *s, const kb_str *text)
{
    const char *p = kb_str_text(text);
    while (*p) {
        const char *end = strchr(p, '\n');
        indent(s);
        kb_str_putn(s->out, p, (size_t)(end - p) + 1);
        p = end + 1;
    }
}

static const char *variable_name(void *user, const kf_node *var)
{
    char *text = user;
    static const char letters[] = {'x', 'y', 'a', 'r'};
    snprintf(text, 32, "%c%lld", letters[var->param[2]], (long long)var->param[0]);
    return text;
}

static void put_comment(kb_str *out, const kf_node *f)
{
    char name[32];
    kb_str_put(out, " /* ");
    kf_print(out, f, variable_name, name, 80);
    kb_str_put(out, " */");
}

/* What becomes of a computed value. */
typedef struct sink {
    enum { SINK_ADD, SINK_KEEP, SINK_TERM, SINK_OUTPUT, SINK_PREPARED, SINK_OPERAND } kind;
    const kf_node *node;   /* the value: of which component k is taken */
    const kf_node *keeper; /* SINK_ADD: the sum; SINK_KEEP: the node */
    size_t index;          /* of the term, output or prepared variable; of an array q */
    int first;             /* component of the prepared variable */
    int32_t root;
} sink;

/* A product where a condition holds, else the number 0. */
static bool is_product_where(const kt_pass *s, int32_t child)
{
    const kt_instance *n = &s->list[child];
    return !n->named && n->node->op == KF_WHERE && kf_is_zero(n->node->arg[2]) && kt_is_product(s, n->child[1]);
}

static void put_sink(kt_pass *s, kb_str *to, const sink *k, bool loop)
{
    const kp_plan *plan = s->body->plan;
    const kt_instance *n = &s->list[k->root];
    const char *component = loop ? "k" : "0";
    if (k->kind == SINK_ADD) {
        const kt_stored *sum = &s->body->stored[kt_at(s, k->keeper)];
        const kf_node *f = k->keeper;
        bool lanes = kt_is_lanes(s, f);
        char name[64];
        int length = snprintf(name, sizeof name, "%s", sum->name);
        if (f->dim > 1)
            length += snprintf(name + length, sizeof name - (size_t)length, "[k / %d]", f->arg[0]->dim / f->dim);
        if (sum->place == KT_STEP || sum->place == KT_STEP_VECTOR)
            snprintf(name + length, sizeof name - (size_t)length, "[v]");
        kb_str_put(to, name);
        if (f->op == KF_MAX || f->op == KF_MIN) {
            kb_str_putf(to, " = %s(%s, ", f->op == KF_MAX ? "fmax" : "fmin", name);
            kt_put_operand(s, to, k->root, 3, lanes);
            kb_str_put(to, ");\n");
        } else if (kt_is_product(s, k->root)) {
            kb_str_put(to, " = fma(");
            kt_put_operand(s, to, n->child[0], 3, lanes);
            kb_str_put(to, ", ");
            kt_put_operand(s, to, n->node->op == KF_SQUARE ? n->child[0] : n->child[1], 3, lanes);
            kb_str_putf(to, ", %s);\n", name);
        } else {
            kb_str_putf(to, " += %s;\n", n->text);
        }
        return;
    }
    if (k->kind == SINK_TERM) {
        const kr_term *term = &plan->terms[k->index];
        int dim = term->formula->dim;
        char place[64];
        if (plan->shape != KP_COLUMNS)
            snprintf(place, sizeof place, "%s", component);
        else if (dim == 1)
            snprintf(place, sizeof place, "base + v");
        else
            snprintf(place, sizeof place, "(base + v) * %d + %s", dim, component);
        const kr_reduction *reduction = kp_reduction(plan, k->index);
        const char *name = reduction->name;
        const bool where = reduction->hooks & KR_STEP_WHERE && is_product_where(s, k->root);
        if (where || kt_is_product(s, k->root)) {
            kb_str_putf(to, "KCL_STEP_%s(%s, %zu, %s, ", where ? "WHERE" : "PRODUCT", name, k->index, place);
            if (where) {
                kt_put_operand(s, to, n->child[0], 3, false);
                kb_str_put(to, ", ");
                n = &s->list[n->child[1]];
            }
            kt_put_operand(s, to, n->child[0], 3, false);
            kb_str_put(to, ", ");
            kt_put_operand(s, to, n->node->op == KF_SQUARE ? n->child[0] : n->child[1], 3, false);
            kb_str_put(to, ")\n");
        } else {
            kb_str_putf(to, "KCL_STEP(%s, %zu, %s, %s)\n", name, k->index, place, n->text);
        }
        return;
    }
    if (k->kind == SINK_OUTPUT && k->node->kind == KF_INT) {
        kb_str_putf(to, "KCL_STORE_INDEX(o%zu, %s, index%lld[%s])\n", k->index, component,
                    (long long)kf_value(k->node)->param[0], component);
        return;
    }
    if (k->kind == SINK_OUTPUT) {
        kb_str_putf(to, "KCL_STORE%s(o%zu, %s, %s)\n", plan->scaled[k->index] ? "_SCALED" : "", k->index, component,
                    n->text);
        return;
    }
    if (k->kind == SINK_PREPARED && plan->vars[k->index].dim != k->node->dim) {
        kb_str_putf(to, "shared%zu[%d] = %s;\n", k->index, k->first, n->text);
        return;
    }
    if (k->kind == SINK_PREPARED) {
        kb_str_putf(to, "kcl_scatter(a%zu, i, lane_count, %d, %s, (lanes)(%s));\n", k->index, k->node->dim, component,
                    n->text);
        return;
    }
    if (k->kind == SINK_OPERAND) {
        kb_str_putf(to, "q%zu[%s]%s = (lanes)(%s);\n", k->index, component, s->streamed ? "[v]" : "", n->text);
        return;
    }
    const char *name = s->body->stored[kt_at(s, k->keeper)].name;
    if (k->keeper->dim == 1 && !s->streamed) {
        kb_str_putf(to, "const %s %s = %s;", kt_is_lanes(s, k->keeper) ? "lanes" : "real", name, n->text);
        put_comment(to, k->keeper);
        kb_str_put(to, "\n");
        return;
    }
    const kt_place place = s->body->stored[kt_at(s, k->keeper)].place;
    kb_str_putf(to, "%s%s = %s;\n", name,
                k->keeper->dim == 1       ? "[v]"
                : place == KT_STEP_VECTOR ? "[k][v]"
                                          : "[k]",
                n->text);
}

/* Straight code for the sinks' components from k0 on; returns the component up to which it holds, -1 on failure. */
static int64_t put_code(kt_pass *s, size_t sink_count, sink *sinks, bool fixed, int64_t k0, int64_t limit)
{
    const kcl_allocator *a = kt_alloc(s);
    kb_str once, each;
    kb_str_init(&once, a);
    kb_str_init(&each, a);
    bool ok = true;
    for (size_t k = 0; ok && k < sink_count; k++) {
        sinks[k].root = kt_collect(s, sinks[k].node, fixed, k0, &limit);
        ok = sinks[k].root >= 0;
        if (ok)
            s->list[sinks[k].root].uses++;
    }
    bool loop = !fixed && limit - k0 > 1;
    if (ok && !fixed && !loop) {
        /* A single component: its number takes the place of k. */
        kt_forget_instances(s);
        kb_str_finish(&once);
        kb_str_finish(&each);
        indent(s);
        kb_str_putf(s->out, "{ const int k = %lld;\n", (long long)k0);
        s->depth++;
        int64_t end = put_code(s, sink_count, sinks, true, k0, k0 + 1);
        s->depth--;
        indent(s);
        kb_str_put(s->out, "}\n");
        return end;
    }
    for (size_t k = 0; ok && k < s->index_count; k++)
        kb_str_putf(&once, "const int k%zu = %s;\n", k, s->indices[k]);
    ok = ok && kt_write_instances(s, &once, &each);
    for (size_t k = 0; ok && k < sink_count; k++)
        put_sink(s, &each, &sinks[k], sinks[k].node->dim > 1);
    if (ok && (once.failed || each.failed)) {
        kb_no_memory(s->body->err);
        ok = false;
    }
    if (ok) {
        loop = loop && !s->staged; /* the skeleton's */
        if (loop) {
            indent(s);
            kb_str_putf(s->out, "FOR_INDEX(k, %lld, %lld) {\n", (long long)k0, (long long)limit);
            s->depth++;
        }
        put_lines(s, &once);
        if (s->streamed) {
            indent(s);
            kb_str_put(s->out, "FOR_STREAM {\n");
            s->depth++;
        }
        put_lines(s, &each);
        if (s->streamed) {
            s->depth--;
            indent(s);
            kb_str_put(s->out, "}\n");
        }
        if (loop) {
            s->depth--;
            indent(s);
            kb_str_put(s->out, "}\n");
        }
    }
    kt_forget_instances(s);
    kb_str_finish(&once);
    kb_str_finish(&each);
    return ok ? limit : -1;
}

static bool put_loop(kt_pass *s, size_t sink_count, sink *sinks, int64_t dim)
{
    for (int64_t k0 = 0; k0 < dim;) {
        k0 = put_code(s, sink_count, sinks, false, k0, dim);
        if (k0 < 0)
            return false;
    }
    return true;
}

static kt_place place_of(const kt_pass *s, const kf_node *f)
{
    if (f->dim > 1)
        return s->streamed ? KT_STEP_VECTOR : KT_VECTOR;
    return s->streamed ? KT_STEP : KT_SCALAR;
}

/* Gives a node a place, and declares it; a number outside steps without `value` is declared where it is computed. */
static void declare(kt_pass *s, const kf_node *f, const char *value)
{
    kt_body *body = s->body;
    kt_stored *stored = &body->stored[kt_at(s, f)];
    bool lanes = kt_is_lanes(s, f);
    if (s->streamed)
        snprintf(stored->name, sizeof stored->name, "s%d", body->next_s++);
    else if (lanes)
        snprintf(stored->name, sizeof stored->name, "r%d", body->next_r++);
    else
        snprintf(stored->name, sizeof stored->name, "p%d", body->next_p++);
    stored->place = place_of(s, f);
    if (!value && stored->place == KT_SCALAR)
        return;
    indent(s);
    kb_str_putf(s->out, "%s %s", lanes ? "lanes" : "real", stored->name);
    if (stored->place == KT_STEP)
        kb_str_put(s->out, "[KCL_STREAM]");
    else if (stored->place == KT_VECTOR)
        kb_str_putf(s->out, "[%d]", f->dim);
    else if (stored->place == KT_STEP_VECTOR)
        kb_str_putf(s->out, "[%d][KCL_STREAM]", f->dim);
    if (value && stored->place == KT_SCALAR)
        kb_str_putf(s->out, " = %s", value);
    kb_str_put(s->out, ";");
    put_comment(s->out, f);
    kb_str_put(s->out, "\n");
    if (value && stored->place == KT_STEP) {
        indent(s);
        kb_str_putf(s->out, "FOR_STREAM { %s[v] = %s; }\n", stored->name, value);
    }
    if (value && (stored->place == KT_STEP_VECTOR || stored->place == KT_VECTOR)) {
        const bool step = stored->place == KT_STEP_VECTOR;
        indent(s);
        kb_str_putf(s->out, "FOR_INDEX(k, 0, %d) { %s%s[k]%s = %s; }\n", f->dim, step ? "FOR_STREAM " : "",
                    stored->name, step ? "[v]" : "", value);
    }
}

/* ---- Stages ------------------------------------------------------------------------------------------------------ */

static int operand_count(const kf_node *f)
{
    return f->op == KF_LIKE ? 1 : f->arg_count;
}

/* Which nodes the section computes, in which stage, and which numbers outlive their stage. */
static int32_t analyse(kt_pass *s, size_t target_count, const kt_target *targets)
{
    const kf_order *order = &s->body->order;
    int32_t last = 0;
    for (size_t k = 0; k < target_count; k++)
        s->live[kt_at(s, targets[k].node)] = true;
    for (size_t k = order->count; k-- > 0;) {
        s->need[k] = NEVER;
        s->first[k] = -1;
        if (s->live[k] && !kt_is_leaf(s, order->nodes[k]))
            for (int c = 0; c < operand_count(order->nodes[k]); c++)
                s->live[kt_at(s, order->nodes[k]->arg[c])] = true;
    }
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (!s->live[k])
            continue;
        s->access[k] = kt_is_leaf(s, f);
        if (kt_is_leaf(s, f))
            continue;
        bool copies = f->op == KF_LIKE || kf_info((kf_op)f->op)->op_class == KF_CLASS_COPY;
        for (int c = 0; c < operand_count(f); c++) {
            size_t arg = kt_at(s, f->arg[c]);
            s->stage[k] = KB_MAX(s->stage[k], s->stage[arg]);
            copies = copies && s->access[arg];
        }
        s->access[k] = copies;
        s->stage[k] += kt_is_sum(f);
        last = KB_MAX(last, s->stage[k]);
    }
    for (size_t k = 0; k < target_count; k++) {
        size_t n = kt_at(s, targets[k].node);
        s->need[n] = KB_MIN(s->need[n], last);
        s->keep[n] |= targets[k].kind == KT_KEEP;
    }
    for (size_t k = order->count; k-- > 0;) {
        const kf_node *f = order->nodes[k];
        if (!s->live[k] || kt_is_leaf(s, f))
            continue;
        int32_t when = kt_is_sum(f) ? s->stage[k] - 1 : s->need[k];
        for (int c = 0; c < operand_count(f); c++) {
            size_t arg = kt_at(s, f->arg[c]);
            s->need[arg] = KB_MIN(s->need[arg], when);
            /* Loops read numbers that were computed before them. */
            s->keep[arg] |= f->dim > 1 && f->arg[c]->dim == 1;
        }
    }
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        for (int c = 0; s->live[k] && !kt_is_leaf(s, f) && !kt_is_sum(f) && c < operand_count(f); c++)
            s->keep[kt_at(s, f->arg[c])] |= s->need[kt_at(s, f->arg[c])] != s->need[k];
    }
    return last;
}

/* A function of whole vectors: its operands are arrays of lanes, `step` apart where the step has several elements. */
static bool put_call_of(kt_pass *s, const kf_node *f, sink *sinks)
{
    kt_body *body = s->body;
    const int first = body->next_q;
    const char *element = s->streamed ? "[v]" : "", *each = s->streamed ? "FOR_STREAM " : "";
    const bool lanes = kt_is_lanes(s, f);
    body->next_q += f->arg_count;
    for (int c = 0; c < f->arg_count; c++) {
        const kf_node *a = f->arg[c];
        indent(s);
        kb_str_putf(s->out, "lanes q%d[%d]%s;\n", first + c, a->dim, s->streamed ? "[KCL_STREAM]" : "");
        sinks[0] = (sink){.kind = SINK_OPERAND, .node = a, .index = (size_t)(first + c)};
        if (!put_loop(s, 1, sinks, a->dim))
            return false;
    }
    declare(s, f, "0");
    const kt_stored *to = &body->stored[kt_at(s, f)];
    indent(s);
    kb_str_putf(s->out, "%s{\n", each);
    s->depth++;
    indent(s);
    kb_str_putf(s->out, "lanes memory[%lld], out[%d];\n", (long long)kf_call_memory(f), f->dim);
    indent(s);
    kb_str_putf(s->out, "%s(&q%d[0]%s, %d, &q%d[0]%s, %d, %s, q%d[0]%s, memory, out);\n",
                f->op == KF_SOFTDTW ? "kcl_soft_dtw" : "kcl_soft_dtw_gradient", first, element, f->arg[0]->dim,
                first + 1, element, f->arg[1]->dim, s->streamed ? "KCL_STREAM" : "1", first + 2, element);
    indent(s);
    if (f->dim == 1)
        kb_str_putf(s->out, "%s%s = %s(out[0]);\n", to->name, element, lanes ? "" : "kcl_first_lane");
    else
        kb_str_putf(s->out, "FOR_INDEX(k, 0, %d) { %s[k]%s = %s(out[k]); }\n", f->dim, to->name, element,
                    lanes ? "" : "kcl_first_lane");
    s->depth--;
    indent(s);
    kb_str_put(s->out, "}\n");
    return true;
}

static bool put_sums(kt_pass *s, int32_t stage, sink *sinks)
{
    const kf_order *order = &s->body->order;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (!s->live[k] || !kt_is_sum(f) || kt_is_stored(s, f) || s->stage[k] != stage)
            continue;
        if (kt_is_call(f)) {
            if (!put_call_of(s, f, sinks))
                return false;
            continue;
        }
        /* This sum and all later ones of its dimension. */
        size_t count = 0;
        for (size_t m = k; m < order->count; m++) {
            const kf_node *g = order->nodes[m];
            if (s->live[m] && kt_is_sum(g) && !kt_is_call(g) && !kt_is_stored(s, g) && s->stage[m] == stage &&
                g->arg[0]->dim == f->arg[0]->dim)
                sinks[count++] = (sink){.kind = SINK_ADD, .node = g->arg[0], .keeper = g};
        }
        kb_str *out = s->out;
        s->staged = s->streamed && s->body->step && kp_is_contraction(s->body->plan, f);
        if (s->staged)
            s->out = s->body->sums;
        for (size_t m = 0; m < count; m++)
            /* fmin and fmax keep a NaN beside another one only. */
            declare(s, sinks[m].keeper, sinks[m].keeper->op == KF_MAX || sinks[m].keeper->op == KF_MIN ? "NAN" : "0");
        if (s->staged)
            s->out = s->body->step;
        bool ok = put_loop(s, count, sinks, f->arg[0]->dim);
        s->staged = false;
        s->out = out;
        if (!ok)
            return false;
    }
    return true;
}

static sink sink_for(const kt_target *t)
{
    sink result = {.node = t->node, .index = t->index, .first = t->component};
    result.kind = t->kind == KT_TERM ? SINK_TERM : t->kind == KT_OUTPUT ? SINK_OUTPUT : SINK_PREPARED;
    return result;
}

/* Declares what is kept. Until its code is written it is no place to read from. */
static void put_kept(kt_pass *s, size_t count, const sink *sinks)
{
    for (size_t k = 0; k < count; k++) {
        declare(s, sinks[k].keeper, NULL);
        s->body->stored[kt_at(s, sinks[k].keeper)].place = KT_NOWHERE;
    }
}

static void set_places(kt_pass *s, size_t count, const sink *sinks)
{
    for (size_t k = 0; k < count; k++)
        s->body->stored[kt_at(s, sinks[k].keeper)].place = place_of(s, sinks[k].keeper);
}

static bool put_numbers(kt_pass *s, int32_t stage, bool is_last, size_t target_count, const kt_target *targets,
                        sink *sinks)
{
    const kf_order *order = &s->body->order;
    size_t count = 0;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (s->live[k] && s->keep[k] && f->dim == 1 && s->need[k] == stage && !s->access[k] && !kt_is_sum(f) &&
            !kt_is_leaf(s, f))
            sinks[count++] = (sink){.kind = SINK_KEEP, .node = f, .keeper = f};
    }
    size_t kept = count;
    for (size_t k = 0; is_last && k < target_count; k++)
        if (targets[k].kind != KT_KEEP && targets[k].node->dim == 1)
            sinks[count++] = sink_for(&targets[k]);
    if (!count)
        return true;
    put_kept(s, kept, sinks);
    bool ok = put_code(s, count, sinks, true, 0, 1) >= 0;
    set_places(s, kept, sinks);
    return ok;
}

static bool put_vectors(kt_pass *s, size_t target_count, kt_target *targets, sink *sinks)
{
    for (size_t k = 0; k < target_count; k++)
        targets[k].used = targets[k].node->dim == 1 || (targets[k].kind == KT_KEEP && kt_is_stored(s, targets[k].node));
    for (size_t k = 0; k < target_count; k++) {
        size_t count = 0;
        int dim = targets[k].node->dim;
        bool keeps = targets[k].kind == KT_KEEP;
        for (size_t m = k; !targets[k].used && m < target_count; m++) {
            if (targets[m].used || targets[m].node->dim != dim || (targets[m].kind == KT_KEEP) != keeps)
                continue;
            if (m > k)
                targets[m].used = true;
            sinks[count++] = keeps ? (sink){.kind = SINK_KEEP, .node = targets[m].node, .keeper = targets[m].node}
                                   : sink_for(&targets[m]);
        }
        if (!count)
            continue;
        size_t kept = keeps ? count : 0;
        put_kept(s, kept, sinks);
        if (!put_loop(s, count, sinks, dim))
            return false;
        set_places(s, kept, sinks);
    }
    return true;
}

kcl_status kt_section(kt_body *body, bool streamed, size_t target_count, kt_target *targets, kb_str *out)
{
    kt_pass s = {.body = body, .streamed = streamed, .out = out, .depth = 1};
    const kcl_allocator *a = kt_alloc(&s);
    size_t n = body->order.count + 1;
    s.live = kb_calloc(a, n, sizeof *s.live);
    s.keep = kb_calloc(a, n, sizeof *s.keep);
    s.access = kb_calloc(a, n, sizeof *s.access);
    s.stage = kb_calloc(a, n, sizeof *s.stage);
    s.need = kb_calloc(a, n, sizeof *s.need);
    s.first = kb_calloc(a, n, sizeof *s.first);
    sink *sinks = kb_calloc(a, n + target_count, sizeof *sinks);
    bool ok = s.live && s.keep && s.access && s.stage && s.need && s.first && sinks;
    if (!ok)
        kb_no_memory(body->err);
    int32_t last = ok ? analyse(&s, target_count, targets) : -1;
    for (int32_t stage = 0; ok && stage <= last; stage++) {
        ok = stage == 0 || put_sums(&s, stage, sinks);
        ok = ok && put_numbers(&s, stage, stage == last, target_count, targets, sinks);
    }
    ok = ok && put_vectors(&s, target_count, targets, sinks);
    kb_free(a, s.live);
    kb_free(a, s.keep);
    kb_free(a, s.access);
    kb_free(a, s.stage);
    kb_free(a, s.need);
    kb_free(a, s.first);
    kb_free(a, s.list);
    kb_free(a, s.indices);
    kb_free(a, s.stack);
    kb_free(a, sinks);
    if (ok && out->failed)
        return kb_no_memory(body->err);
    return ok ? KCL_OK : body->err->status;
}
