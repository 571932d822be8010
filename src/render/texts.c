/* SPDX-License-Identifier: MIT */
/* render/texts.c: the text of instances, as OpenCL C expressions. */
#include "pass.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONG_TEXT = 72 }; /* a longer expression gets a name, so that lines can be read and brackets do not pile up */

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

void kt_put_number(kb_str *out, kcl_dtype dtype, double value)
{
    char text[48];
    double shown = dtype == KCL_F32 ? (double)(float)value : value;
    const char *suffix = dtype == KCL_F32 ? "f" : "";
    if (isinf(shown)) { /* beyond float */
        kb_str_put(out, shown < 0 ? "-INFINITY" : "INFINITY");
        return;
    }
    if (shown == floor(shown) && fabs(shown) < 1e6) {
        snprintf(text, sizeof text, "%.0f", shown);
        kb_str_putf(out, "%s.0%s", text, suffix);
        return;
    }
    /* Short decimals that are exact, as 0.5; else hexadecimal. */
    double scaled = shown * 1024;
    if (fabs(shown) < 1000 && scaled == floor(scaled) && fabs(shown) >= 0.125 && (scaled / 128) == floor(scaled / 128))
        kb_str_put_double(out, shown, false);
    else
        kb_str_put_double(out, shown, true);
    kb_str_put(out, suffix);
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static const char *keep_text(kt_pass *s, kb_str *text)
{
    const char *copy = text->failed ? NULL : kb_arena_strdup(&s->body->arena, kb_str_text(text));
    if (!copy)
        kb_no_memory(s->body->err);
    return copy;
}

static void put_component(kb_str *text, const kt_instance *n)
{
    if (n->fixed)
        kb_str_putf(text, "%lld", (long long)n->offset);
    else
        kt_put_index(text, n->base, n->offset);
}

static void put_variable(kt_pass *s, kb_str *text, const kt_instance *n)
{
    const kp_plan *plan = s->body->plan;
    int64_t index = n->node->param[0];
    int dim = n->node->dim;
    if (n->node->param[2] == KF_ROLE_ACC) {
        kb_str_putf(text, "%s%lld[", n->node->kind == KF_INT ? "order" : "result", (long long)index);
        put_component(text, n);
        kb_str_put(text, "]");
        return;
    }
    s->body->reads[index] = true;
    char stride[32];
    if (plan->dense[index])
        snprintf(stride, sizeof stride, "%d", dim);
    else
        snprintf(stride, sizeof stride, "a%lld_s", (long long)index);
    unsigned c = kt_class(s->body, n->node);
    if (c && s->staged && dim > 1) {
        s->body->operand[index] = true;
        kb_str_putf(text, c == KP_LANE ? "%c%lld" : "%c%lld[v]", n->node->param[2] == KF_ROLE_I ? 'x' : 'y',
                    (long long)index);
        return;
    }
    if (c == KP_STREAM && s->body->indirect) {
        kb_str_putf(text, "KCL_READ(%lld, ", (long long)index);
        put_component(text, n);
        kb_str_put(text, ")");
        return;
    }
    if (c == KP_LANE && plan->private[index])
        kb_str_putf(text, "%c%lld[", n->node->param[2] == KF_ROLE_I ? 'x' : 'y', (long long)index);
    else if (c == KP_LANE)
        kb_str_putf(text, "kcl_gather(a%lld, i, lane_count, %s, ", (long long)index, stride);
    else
        kb_str_putf(text, "a%lld[", (long long)index);
    if (c == KP_STREAM && plan->dense[index] && dim == 1) {
        kb_str_put(text, "j + v");
    } else {
        if (c == KP_STREAM)
            kb_str_putf(text, "(j + v) * %s + ", stride);
        put_component(text, n);
    }
    kb_str_put(text, c == KP_LANE && !plan->private[index] ? ")" : "]");
}

/* "2 * (j + v)": a multiple of a number of rows or columns; nothing where `factor` is 0. */
static void put_multiple(kb_str *text, int64_t factor, const char *number)
{
    const bool first = text->length == 0;
    if (factor == 0)
        return;
    kb_str_put(text, factor < 0 ? first ? "-" : " - " : first ? "" : " + ");
    if (factor != 1 && factor != -1)
        kb_str_putf(text, "%lld * ", (long long)llabs(factor));
    kb_str_put(text, number);
}

/* Index: whole numbers up to the last step, which rounds. */
static void put_number_of_row(kt_pass *s, kb_str *text, const kf_node *f)
{
    const bool lane_is_i = s->body->lane_axis == KF_AXIS_I, lanes = kt_is_lanes(s, f);
    const int64_t of_lane = f->param[!lane_is_i], of_stream = f->param[lane_is_i], start = f->param[2];
    kb_str whole;
    kb_str_init(&whole, kt_alloc(s));
    put_multiple(&whole, of_lane, "i");
    put_multiple(&whole, of_stream, "(j + v)");
    if (start)
        kb_str_putf(&whole, " %c %lld", start < 0 ? '-' : '+', (long long)llabs(start));
    if (lanes)
        kb_str_putf(text, "kcl_numbers(%s, %lld, lane_count - 1 - i)", kb_str_text(&whole), (long long)of_lane);
    else
        kb_str_putf(text, "(real)(%s)", kb_str_text(&whole));
    text->failed |= whole.failed;
    kb_str_finish(&whole);
}

void kt_put_operand(kt_pass *s, kb_str *text, int32_t child, int allowed, bool widen)
{
    if (child < 0) {
        kb_str_put(text, widen ? "(lanes)(0)" : s->body->plan->dtype == KCL_F32 ? "0.0f" : "0.0");
        return;
    }
    const kt_instance *n = &s->list[child];
    bool cast = widen && !kt_is_lanes(s, n->node), brackets = cast || n->precedence > allowed;
    kb_str_putf(text, "%s%s%s%s", cast ? "(lanes)" : "", brackets ? "(" : "", n->text, brackets ? ")" : "");
}

bool kt_is_product(const kt_pass *s, int32_t child)
{
    return child >= 0 && !s->list[child].named &&
           (s->list[child].node->op == KF_MULT || s->list[child].node->op == KF_SQUARE);
}

/* fma(a, b, c) with the factors of product instance `p`; `sign` stands before the first and `c_sign` before c. */
static void put_fma(kt_pass *s, kb_str *text, int32_t p, const char *sign, int32_t c, const char *c_sign, bool lanes)
{
    const kt_instance *n = &s->list[p];
    kb_str_putf(text, "fma(%s", sign);
    kt_put_operand(s, text, n->child[0], *sign ? 0 : 3, lanes);
    kb_str_put(text, ", ");
    kt_put_operand(s, text, n->node->op == KF_SQUARE ? n->child[0] : n->child[1], 3, lanes);
    kb_str_putf(text, ", %s", c_sign);
    kt_put_operand(s, text, c, *c_sign ? 0 : 3, lanes);
    kb_str_put(text, ")");
}

/* Expands an operator's kernel text: "$a", "$b" operands, "$n" the parameter. */
static void put_call(kt_pass *s, kb_str *text, kt_instance *n, const char *form, bool lanes)
{
    bool sign = form[0] == '-';
    for (const char *p = form; *p; p++) {
        if (*p != '$') {
            kb_str_putn(text, p, 1);
            continue;
        }
        p++;
        if (*p == 'n')
            kb_str_putf(text, "%lld", (long long)n->node->param[0]);
        else
            kt_put_operand(s, text, n->child[*p - 'a'], sign ? 0 : 3, lanes && !sign);
    }
    n->precedence = sign ? 1 : 0;
}

static void put_infix(kt_pass *s, kb_str *text, kt_instance *n, char op, bool lanes)
{
    int32_t a = n->child[0], b = n->child[1];
    if (op == '+' && kt_is_product(s, b)) {
        put_fma(s, text, b, "", a, "", lanes);
    } else if (op == '+' && kt_is_product(s, a)) {
        put_fma(s, text, a, "", b, "", lanes);
    } else if (op == '-' && kt_is_product(s, b)) {
        put_fma(s, text, b, "-", a, "", lanes);
    } else if (op == '-' && kt_is_product(s, a)) {
        put_fma(s, text, a, "", b, "-", lanes);
    } else {
        int level = op == '+' || op == '-' ? 3 : 2;
        kt_put_operand(s, text, a, level, false);
        kb_str_putf(text, " %c ", op);
        kt_put_operand(s, text, b, level - 1, false);
        n->precedence = (uint8_t)level;
    }
}

bool kt_write_instances(kt_pass *s, kb_str *once, kb_str *per_element)
{
    const kcl_allocator *a = kt_alloc(s);
    kb_str text;
    kb_str_init(&text, a);
    bool ok = true;
    /* The list is in order of discovery: order it by the nodes' positions, in which operands come first. */
    uint32_t *order = kb_calloc(a, s->count + 1, sizeof *order);
    size_t total = 0;
    if (!order) {
        kb_no_memory(s->body->err);
        return false;
    }
    for (size_t k = 0; k < s->count; k++)
        order[total++] = (uint32_t)k;
    for (size_t gap = total / 2; gap > 0; gap /= 2) {
        for (size_t k = gap; k < total; k++) {
            uint32_t x = order[k];
            size_t here = kt_at(s, s->list[x].node), m = k;
            for (; m >= gap && kt_at(s, s->list[order[m - gap]].node) > here; m -= gap)
                order[m] = order[m - gap];
            order[m] = x;
        }
    }
    for (size_t k = 0; ok && k < total; k++) {
        kt_instance *n = &s->list[order[k]];
        const kf_node *f = n->node;
        const kt_stored *stored = &s->body->stored[kt_at(s, f)];
        const char *form = kf_info((kf_op)f->op)->kernel;
        bool lanes = kt_is_lanes(s, f), load = false;
        kb_str_clear(&text);
        n->precedence = 0;
        n->named = false;
        if (stored->place != KT_NOWHERE) {
            kb_str_put(&text, stored->name);
            if (stored->place == KT_STEP) {
                kb_str_put(&text, "[v]");
            } else if (stored->place == KT_VECTOR || stored->place == KT_STEP_VECTOR) {
                kb_str_put(&text, "[");
                put_component(&text, n);
                kb_str_put(&text, stored->place == KT_STEP_VECTOR ? "][v]" : "]");
            }
            n->named = true;
        } else if (f->op == KF_VAR) {
            put_variable(s, &text, n);
            n->named = true;
            load = lanes && f->param[2] != KF_ROLE_ACC && !s->body->plan->private[f->param[0]] &&
                   !(s->staged && f->dim > 1);
        } else if (f->op == KF_INDEX) {
            put_number_of_row(s, &text, f);
            load = true;
        } else if (f->op == KF_IOTA && !n->fixed) {
            kb_str_put(&text, "(real)(");
            put_component(&text, n);
            kb_str_put(&text, ")");
        } else if (f->op == KF_IOTA) {
            kt_put_number(&text, s->body->plan->dtype, (double)n->offset);
        } else if (f->op == KF_CONST || f->op == KF_ZERO) {
            kt_put_number(&text, s->body->plan->dtype, f->value);
            n->precedence = f->value < 0;
            n->named = true;
        } else if (n->chosen_by) {
            kb_str_putf(&text, "(k%d < 0 ? ", n->chosen_by - 1);
            kt_put_operand(s, &text, f->op == KF_CONCAT ? n->child[0] : -1, 2, lanes);
            kb_str_put(&text, " : ");
            kt_put_operand(s, &text, f->op == KF_CONCAT ? n->child[1] : n->child[0], 2, lanes);
            kb_str_put(&text, ")");
        } else if (f->op == KF_LIKE || kf_info((kf_op)f->op)->op_class == KF_CLASS_COPY) {
            int32_t child = f->op == KF_LIKE ? n->child[0] : n->child[0] >= 0 ? n->child[0] : n->child[1];
            kt_put_operand(s, &text, child, 3, lanes && child >= 0);
            if (child >= 0 && (kt_is_lanes(s, s->list[child].node) || !lanes)) {
                n->precedence = s->list[child].precedence;
                n->named = s->list[child].named || s->list[child].uses > 1;
            }
        } else if (kt_is_sum(f)) {
            ok = false;
            kb_fail(s->body->err, KCL_ERROR_INTERNAL, "a sum over components was not computed before its use");
        } else if (form[0] == '/' && s->body->plan->fast) {
            put_call(s, &text, n, "kcl_divide($a, $b)", lanes);
        } else if (form[1] == ' ') {
            put_infix(s, &text, n, form[0], lanes);
        } else {
            put_call(s, &text, n, form, lanes);
        }
        n->text = keep_text(s, &text);
        ok = ok && n->text != NULL;
        bool twice = n->uses > 1 && !n->named, is_long = !n->named && text.length > LONG_TEXT;
        if (!ok || !(twice || is_long || load))
            continue;
        /* What no streamed element changes is computed in front of their loop. */
        kb_str *to = s->streamed && !(kt_class(s->body, f) & KP_STREAM) ? once : per_element;
        kb_str_clear(&text);
        kb_str_putf(&text, "t%d", s->body->next_t++);
        kb_str_putf(to, "const %s %s = %s;\n", lanes ? "lanes" : "real", kb_str_text(&text), n->text);
        n->text = keep_text(s, &text);
        ok = n->text != NULL;
        n->named = true;
        n->precedence = 0;
    }
    kb_free(a, order);
    kb_str_finish(&text);
    return ok;
}
