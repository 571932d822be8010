/* SPDX-License-Identifier: MIT */
/*
 * render/body.c: formulas as statements, straight-line single assignment.
 *
 * A section is a sequence of stages. Sums over components are computed in loops over the component, all sums of a stage
 * and dimension in one; between loops stands the arithmetic of numbers. Vectors are not kept: a loop computes the
 * component it needs from numbers, variables and kept values.
 */
#include "body.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_TEXT = 72 }; /* a longer expression gets a name, so that lines can be read and brackets do not pile up */

enum { NEVER = INT32_MAX };

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

unsigned kt_class(const kt_body *body, const kf_node *f)
{
    return (f->axes & body->lane_axis ? KP_LANE : 0u) | (f->axes & body->stream_axis ? KP_STREAM : 0u);
}

/* ---- Instances: a component of a node within a piece of straight code -------------------------------------------- */

typedef struct instance {
    const kf_node *node;
    bool fixed;         /* component `offset`, else component k + offset, where k is: */
    int32_t base;       /* 0: the loop's k; else index number base - 1 of the section */
    int32_t chosen_by;  /* index + 1 whose sign chooses: below 0 child 0 of Concat, 0 of other copies; 0: none */
    bool named;         /* `text` is a name or an access */
    uint8_t precedence; /* of text: 0 primary, 1 sign, 2 product, 3 sum */
    int uses;
    int64_t offset;
    int32_t child[KF_MAX_ARGS]; /* instance, or -1: the number 0 */
    int32_t same_node;          /* next instance of the node, or -1 */
    const char *text;
} instance;

typedef struct section {
    kt_body *body;
    bool streamed;
    bool staged; /* within a step of a contraction: components are in registers */
    kb_str *out;
    int depth; /* of indentation */

    /* By position in body->order. */
    bool *live;
    bool *keep;   /* a number that a later loop or stage reads */
    bool *access; /* reading it costs nothing: a variable, a kept value, or a copy of one */
    int32_t *stage, *need;
    int32_t *first; /* first instance, or -1 */

    const char **indices; /* texts of whole numbers that components are counted by, k0, k1, ... */
    size_t index_count, index_capacity;

    instance *list; /* in an order in which operands come first */
    size_t count, capacity;
    uint32_t *stack;
    size_t stack_capacity;
} section;

static const kcl_allocator *alloc_of(const section *s)
{
    return kf_allocator(&s->body->plan->graph);
}

static size_t at(const section *s, const kf_node *f)
{
    return kf_at(&s->body->order, f);
}

static bool is_stored(const section *s, const kf_node *f)
{
    return s->body->stored[at(s, f)].place != KT_NOWHERE;
}

static bool is_leaf(const section *s, const kf_node *f)
{
    return kf_info((kf_op)f->op)->op_class == KF_CLASS_LEAF || is_stored(s, f);
}

static bool is_call(const kf_node *f)
{
    return kf_info((kf_op)f->op)->op_class == KF_CLASS_CALL;
}

/* One number or several from components: computed in loops of their own. */
static bool is_sum(const kf_node *f)
{
    return kf_info((kf_op)f->op)->op_class == KF_CLASS_SUM || is_call(f);
}

static bool is_lanes(const section *s, const kf_node *f)
{
    return (kt_class(s->body, f) & KP_LANE) != 0;
}

static void indent(section *s)
{
    for (int k = 0; k < s->depth; k++)
        kb_str_put(s->out, "    ");
}

/* Finds or makes the instance; new ones are pushed for their operands to be visited. Returns its number, -1: no memory. */
static int32_t instance_of(section *s, const kf_node *f, bool fixed, int32_t base, int64_t offset, size_t *depth)
{
    size_t position = at(s, f);
    fixed = fixed || f->dim == 1;
    if (f->dim == 1)
        offset = 0;
    if (fixed)
        base = 0;
    for (int32_t k = s->first[position]; k >= 0; k = s->list[k].same_node)
        if (s->list[k].fixed == fixed && s->list[k].offset == offset && s->list[k].base == base)
            return k;
    if (!kb_reserve(alloc_of(s), (void **)&s->list, &s->capacity, s->count + 1, sizeof *s->list) ||
        !kb_reserve(alloc_of(s), (void **)&s->stack, &s->stack_capacity, *depth + 1, sizeof *s->stack)) {
        kb_no_memory(s->body->err);
        return -1;
    }
    s->list[s->count] = (instance){.node = f, .fixed = fixed, .base = base, .offset = offset, .child = {-1, -1, -1}};
    s->list[s->count].same_node = s->first[position];
    s->first[position] = (int32_t)s->count;
    s->stack[(*depth)++] = (uint32_t)s->count;
    return (int32_t)s->count++;
}

/* ---- Components of rearranged vectors ---------------------------------------------------------------------------- */

/*
 * Where a copy's operand is read at a component that is no constant distance from k, the component is a whole number of
 * its own, "const int k3 = k % 4 * 5 + k / 4;", computed in front of the statements that use it.
 */
typedef struct component {
    bool fixed;
    int32_t base;
    int64_t offset;
} component;

/* The number of the index with this text; -1: no memory. */
static int32_t index_of(section *s, kb_str *text)
{
    for (size_t k = 0; k < s->index_count && !text->failed; k++)
        if (strcmp(s->indices[k], kb_str_text(text)) == 0)
            return (int32_t)k;
    const char *copy = text->failed ? NULL : kb_arena_strdup(&s->body->arena, kb_str_text(text));
    if (!copy ||
        !kb_reserve(alloc_of(s), (void **)&s->indices, &s->index_capacity, s->index_count + 1, sizeof *s->indices)) {
        kb_no_memory(s->body->err);
        return -1;
    }
    s->indices[s->index_count] = copy;
    return (int32_t)s->index_count++;
}

static void put_index(kb_str *text, int32_t base, int64_t offset)
{
    if (base)
        kb_str_putf(text, "k%d", base - 1);
    else
        kb_str_put(text, "k");
    if (offset)
        kb_str_putf(text, " %c %lld", offset < 0 ? '-' : '+', (long long)llabs(offset));
}

/* The source of component `e`, a name or "(a sum)". */
static void put_source(kb_str *text, const kf_layout *l, const char *e)
{
    int64_t inner = 1;
    bool any = false;
    for (int axis = l->rank; axis-- > 0; inner *= l->size[axis]) {
        if (l->size[axis] == 1 || l->stride[axis] == 0)
            continue;
        kb_str_putf(text, "%s%s", any ? " + " : "", e);
        if (inner > 1)
            kb_str_putf(text, " / %lld", (long long)inner);
        if (axis > 0)
            kb_str_putf(text, " %% %lld", (long long)l->size[axis]);
        if (l->stride[axis] != 1)
            kb_str_putf(text, " * %lld", (long long)l->stride[axis]);
        any = true;
    }
    if (l->offset || !any)
        kb_str_putf(text, "%s%lld", any ? " + " : "", (long long)l->offset);
}

/* The component of Place's operand that goes to `e`, -1 for those that get none. */
static void put_inverse(kb_str *text, const kf_layout *l, const char *e)
{
    kb_str_putf(text, "%s >= 0", e);
    for (int axis = 0; axis <= l->rank; axis++) {
        if (axis == l->rank && l->stride[axis - 1] == 1)
            break;
        kb_str_putf(text, " && %s", e);
        for (int outer = 0; outer < axis; outer++)
            kb_str_putf(text, " %% %lld", (long long)l->stride[outer]);
        if (axis < l->rank)
            kb_str_putf(text, " / %lld < %lld", (long long)l->stride[axis], (long long)l->size[axis]);
        else
            kb_str_put(text, " == 0");
    }
    kb_str_put(text, " ? ");
    int64_t inner = 1;
    for (int axis = 0; axis < l->rank; axis++)
        inner *= l->size[axis];
    for (int axis = 0; axis < l->rank; axis++) {
        inner /= l->size[axis];
        kb_str_putf(text, "%s%s", axis ? " + " : "", e);
        for (int outer = 0; outer < axis; outer++)
            kb_str_putf(text, " %% %lld", (long long)l->stride[outer]);
        if (l->stride[axis] != 1)
            kb_str_putf(text, " / %lld", (long long)l->stride[axis]);
        if (inner > 1)
            kb_str_putf(text, " * %lld", (long long)inner);
    }
    kb_str_put(text, " : -1");
}

/* An index from a text that was written behind `text`'s old content; clears it. */
static int32_t take_index(section *s, kb_str *text)
{
    int32_t index = index_of(s, text);
    kb_str_clear(text);
    return index;
}

/* Where component `here` of copy n comes from in operand c; for choices also by which index. False: no memory. */
static bool trace(section *s, instance *n, int c, component *out)
{
    const kf_node *f = n->node;
    const kf_layout l = f->op == KF_ARRANGE || f->op == KF_PLACE ? kf_layout_of(f) : (kf_layout){.rank = 0};
    kb_str text;
    char e[64];
    int32_t index = 0, chosen = 0;
    kb_str_init(&text, alloc_of(s));
    put_index(&text, n->base, n->offset);
    snprintf(e, sizeof e, n->offset ? "(%s)" : "%s", kb_str_text(&text));
    *out = (component){false, n->base, n->offset};
    switch ((kf_op)f->op) {
    case KF_SUMT:
        *out = (component){true, 0, 0};
        break;
    case KF_EXTRACT:
        out->offset += f->param[0];
        break;
    case KF_ARRANGE:
        if (l.rank == 1 && l.stride[0] == 1) {
            out->offset += l.offset;
            break;
        }
        kb_str_clear(&text);
        put_source(&text, &l, e);
        index = take_index(s, &text);
        *out = (component){false, index + 1, 0};
        break;
    case KF_CONCAT:
        /* Below 0: the first operand, and how far from its end. */
        kb_str_clear(&text);
        put_index(&text, n->base, n->offset - f->arg[0]->dim);
        chosen = take_index(s, &text);
        if (c == 0)
            kb_str_putf(&text, "min(%s, %d)", e, f->arg[0]->dim - 1);
        else
            kb_str_putf(&text, "max(k%d, 0)", chosen);
        index = chosen < 0 ? -1 : take_index(s, &text);
        n->chosen_by = chosen + 1;
        *out = (component){false, index + 1, 0};
        break;
    default: /* ElemT, ExtractT, Place: the operand's component, or none */
        kb_str_clear(&text);
        put_index(&text, n->base,
                  n->offset - (f->op == KF_PLACE   ? l.offset
                               : f->op == KF_ELEMT ? f->param[1]
                                                   : f->param[0]));
        index = take_index(s, &text);
        snprintf(e, sizeof e, "k%d", index);
        if (f->op == KF_PLACE)
            put_inverse(&text, &l, e);
        else
            kb_str_putf(&text, "%s >= 0 && %s < %d ? %s : -1", e, e, f->arg[0]->dim, e);
        chosen = index < 0 ? -1 : take_index(s, &text);
        kb_str_putf(&text, "max(k%d, 0)", chosen);
        index = chosen < 0 ? -1 : take_index(s, &text);
        n->chosen_by = chosen + 1;
        *out = (component){false, index + 1, 0};
        break;
    }
    bool ok = index >= 0 && chosen >= 0 && !text.failed;
    kb_str_finish(&text);
    return ok;
}

/*
 * Collects what `f` needs for component k (from `k0` on) or for the fixed component k0. *limit is lowered to the
 * component up to which the same text holds.
 */
static int32_t collect(section *s, const kf_node *f, bool fixed, int64_t k0, int64_t *limit)
{
    size_t depth = 0;
    int32_t root = instance_of(s, f, fixed, 0, fixed ? k0 : 0, &depth);
    while (root >= 0 && depth) {
        uint32_t number = s->stack[--depth];
        const kf_node *node = s->list[number].node;
        bool is_fixed = s->list[number].fixed;
        int64_t offset = s->list[number].offset;
        if (is_leaf(s, node))
            continue;
        int operands = node->op == KF_LIKE ? 1 : node->arg_count;
        for (int c = 0; c < operands; c++) {
            const kf_node *arg = node->arg[c];
            component from = {is_fixed, s->list[number].base, offset};
            const bool copies = kf_info((kf_op)node->op)->op_class == KF_CLASS_COPY;
            const bool in_runs = is_fixed || (!from.base && node->op != KF_ARRANGE && node->op != KF_PLACE);
            if (copies && in_runs) {
                int64_t source_component, run, here = is_fixed ? offset : k0 + offset;
                int step, source = kf_copy_source(node, here, &source_component, &run, &step);
                if (!is_fixed)
                    *limit = KB_MIN(*limit, k0 + run);
                if (source != c)
                    continue;
                from.fixed = is_fixed || step == 0;
                from.offset = from.fixed ? source_component : source_component - k0;
            } else if (copies && !trace(s, &s->list[number], c, &from)) {
                return -1;
            }
            int32_t child = instance_of(s, arg, from.fixed, from.base, from.offset, &depth);
            if (child < 0)
                return -1;
            s->list[number].child[c] = child;
            s->list[child].uses += node->op == KF_SQUARE ? 2 : 1;
        }
    }
    return root;
}

static void forget_instances(section *s)
{
    for (size_t k = 0; k < s->count; k++)
        s->first[at(s, s->list[k].node)] = -1;
    s->count = 0;
    s->index_count = 0;
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static const char *keep_text(section *s, kb_str *text)
{
    const char *copy = text->failed ? NULL : kb_arena_strdup(&s->body->arena, kb_str_text(text));
    if (!copy)
        kb_no_memory(s->body->err);
    return copy;
}

static void put_component(kb_str *text, const instance *n)
{
    if (n->fixed)
        kb_str_putf(text, "%lld", (long long)n->offset);
    else
        put_index(text, n->base, n->offset);
}

static void put_variable(section *s, kb_str *text, const instance *n)
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
static void put_number_of_row(section *s, kb_str *text, const kf_node *f)
{
    const bool lane_is_i = s->body->lane_axis == KF_AXIS_I, lanes = is_lanes(s, f);
    const int64_t of_lane = f->param[!lane_is_i], of_stream = f->param[lane_is_i], start = f->param[2];
    kb_str whole;
    kb_str_init(&whole, alloc_of(s));
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

/* The text of an operand; a number where lanes are wanted is widened if `widen`. */
static void put_operand(section *s, kb_str *text, int32_t child, int allowed, bool widen)
{
    if (child < 0) {
        kb_str_put(text, widen ? "(lanes)(0)" : s->body->plan->dtype == KCL_F32 ? "0.0f" : "0.0");
        return;
    }
    const instance *n = &s->list[child];
    bool cast = widen && !is_lanes(s, n->node), brackets = cast || n->precedence > allowed;
    kb_str_putf(text, "%s%s%s%s", cast ? "(lanes)" : "", brackets ? "(" : "", n->text, brackets ? ")" : "");
}

static bool is_product(const section *s, int32_t child)
{
    return child >= 0 && !s->list[child].named &&
           (s->list[child].node->op == KF_MULT || s->list[child].node->op == KF_SQUARE);
}

/* fma(a, b, c) with the factors of product instance `p`; `sign` stands before the first and `c_sign` before c. */
static void put_fma(section *s, kb_str *text, int32_t p, const char *sign, int32_t c, const char *c_sign, bool lanes)
{
    const instance *n = &s->list[p];
    kb_str_putf(text, "fma(%s", sign);
    put_operand(s, text, n->child[0], *sign ? 0 : 3, lanes);
    kb_str_put(text, ", ");
    put_operand(s, text, n->node->op == KF_SQUARE ? n->child[0] : n->child[1], 3, lanes);
    kb_str_putf(text, ", %s", c_sign);
    put_operand(s, text, c, *c_sign ? 0 : 3, lanes);
    kb_str_put(text, ")");
}

/* Expands an operator's kernel text: "$a", "$b" operands, "$n" the parameter. */
static void put_call(section *s, kb_str *text, instance *n, const char *form, bool lanes)
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
            put_operand(s, text, n->child[*p - 'a'], sign ? 0 : 3, lanes && !sign);
    }
    n->precedence = sign ? 1 : 0;
}

static void put_infix(section *s, kb_str *text, instance *n, char op, bool lanes)
{
    int32_t a = n->child[0], b = n->child[1];
    if (op == '+' && is_product(s, b)) {
        put_fma(s, text, b, "", a, "", lanes);
    } else if (op == '+' && is_product(s, a)) {
        put_fma(s, text, a, "", b, "", lanes);
    } else if (op == '-' && is_product(s, b)) {
        put_fma(s, text, b, "-", a, "", lanes);
    } else if (op == '-' && is_product(s, a)) {
        put_fma(s, text, a, "", b, "-", lanes);
    } else {
        int level = op == '+' || op == '-' ? 3 : 2;
        put_operand(s, text, a, level, false);
        kb_str_putf(text, " %c ", op);
        put_operand(s, text, b, level - 1, false);
        n->precedence = (uint8_t)level;
    }
}

/* Makes the text of every instance; those used more than once become statements. Operands come later in the list. */
static bool write_instances(section *s, kb_str *once, kb_str *per_element)
{
    const kcl_allocator *a = alloc_of(s);
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
            size_t here = at(s, s->list[x].node), m = k;
            for (; m >= gap && at(s, s->list[order[m - gap]].node) > here; m -= gap)
                order[m] = order[m - gap];
            order[m] = x;
        }
    }
    for (size_t k = 0; ok && k < total; k++) {
        instance *n = &s->list[order[k]];
        const kf_node *f = n->node;
        const kt_stored *stored = &s->body->stored[at(s, f)];
        const char *form = kf_info((kf_op)f->op)->kernel;
        bool lanes = is_lanes(s, f), load = false;
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
            put_operand(s, &text, f->op == KF_CONCAT ? n->child[0] : -1, 2, lanes);
            kb_str_put(&text, " : ");
            put_operand(s, &text, f->op == KF_CONCAT ? n->child[1] : n->child[0], 2, lanes);
            kb_str_put(&text, ")");
        } else if (f->op == KF_LIKE || kf_info((kf_op)f->op)->op_class == KF_CLASS_COPY) {
            int32_t child = f->op == KF_LIKE ? n->child[0] : n->child[0] >= 0 ? n->child[0] : n->child[1];
            put_operand(s, &text, child, 3, lanes && child >= 0);
            if (child >= 0 && (is_lanes(s, s->list[child].node) || !lanes)) {
                n->precedence = s->list[child].precedence;
                n->named = s->list[child].named || s->list[child].uses > 1;
            }
        } else if (is_sum(f)) {
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

/* ---- Statements -------------------------------------------------------------------------------------------------- */

/* Writes `text`, one statement a line, at the current indentation. */
static void put_lines(section *s, const kb_str *text)
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

static void put_sink(section *s, kb_str *to, const sink *k, bool loop)
{
    const kp_plan *plan = s->body->plan;
    const instance *n = &s->list[k->root];
    const char *component = loop ? "k" : "0";
    if (k->kind == SINK_ADD) {
        const kt_stored *sum = &s->body->stored[at(s, k->keeper)];
        const kf_node *f = k->keeper;
        bool lanes = is_lanes(s, f);
        char name[64];
        int length = snprintf(name, sizeof name, "%s", sum->name);
        if (f->dim > 1)
            length += snprintf(name + length, sizeof name - (size_t)length, "[k / %d]", f->arg[0]->dim / f->dim);
        if (sum->place == KT_STEP || sum->place == KT_STEP_VECTOR)
            snprintf(name + length, sizeof name - (size_t)length, "[v]");
        kb_str_put(to, name);
        if (f->op == KF_MAX || f->op == KF_MIN) {
            kb_str_putf(to, " = %s(%s, ", f->op == KF_MAX ? "fmax" : "fmin", name);
            put_operand(s, to, k->root, 3, lanes);
            kb_str_put(to, ");\n");
        } else if (is_product(s, k->root)) {
            kb_str_put(to, " = fma(");
            put_operand(s, to, n->child[0], 3, lanes);
            kb_str_put(to, ", ");
            put_operand(s, to, n->node->op == KF_SQUARE ? n->child[0] : n->child[1], 3, lanes);
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
        const char *name = kp_term_name(plan, k->index);
        if (is_product(s, k->root)) {
            kb_str_putf(to, "KCL_STEP_PRODUCT(%s, %zu, %s, ", name, k->index, place);
            put_operand(s, to, n->child[0], 3, false);
            kb_str_put(to, ", ");
            put_operand(s, to, n->node->op == KF_SQUARE ? n->child[0] : n->child[1], 3, false);
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
    const char *name = s->body->stored[at(s, k->keeper)].name;
    if (k->keeper->dim == 1 && !s->streamed) {
        kb_str_putf(to, "const %s %s = %s;", is_lanes(s, k->keeper) ? "lanes" : "real", name, n->text);
        put_comment(to, k->keeper);
        kb_str_put(to, "\n");
        return;
    }
    const kt_place place = s->body->stored[at(s, k->keeper)].place;
    kb_str_putf(to, "%s%s = %s;\n", name,
                k->keeper->dim == 1       ? "[v]"
                : place == KT_STEP_VECTOR ? "[k][v]"
                                          : "[k]",
                n->text);
}

/* Straight code for the sinks' components from k0 on; returns the component up to which it holds, -1 on failure. */
static int64_t put_code(section *s, size_t sink_count, sink *sinks, bool fixed, int64_t k0, int64_t limit)
{
    const kcl_allocator *a = alloc_of(s);
    kb_str once, each;
    kb_str_init(&once, a);
    kb_str_init(&each, a);
    bool ok = true;
    for (size_t k = 0; ok && k < sink_count; k++) {
        sinks[k].root = collect(s, sinks[k].node, fixed, k0, &limit);
        ok = sinks[k].root >= 0;
        if (ok)
            s->list[sinks[k].root].uses++;
    }
    bool loop = !fixed && limit - k0 > 1;
    if (ok && !fixed && !loop) {
        /* A single component: its number takes the place of k. */
        forget_instances(s);
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
    ok = ok && write_instances(s, &once, &each);
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
    forget_instances(s);
    kb_str_finish(&once);
    kb_str_finish(&each);
    return ok ? limit : -1;
}

static bool put_loop(section *s, size_t sink_count, sink *sinks, int64_t dim)
{
    for (int64_t k0 = 0; k0 < dim;) {
        k0 = put_code(s, sink_count, sinks, false, k0, dim);
        if (k0 < 0)
            return false;
    }
    return true;
}

static kt_place place_of(const section *s, const kf_node *f)
{
    if (f->dim > 1)
        return s->streamed ? KT_STEP_VECTOR : KT_VECTOR;
    return s->streamed ? KT_STEP : KT_SCALAR;
}

/* Gives a node a place, and declares it; a number outside steps without `value` is declared where it is computed. */
static void declare(section *s, const kf_node *f, const char *value)
{
    kt_body *body = s->body;
    kt_stored *stored = &body->stored[at(s, f)];
    bool lanes = is_lanes(s, f);
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
static int32_t analyse(section *s, size_t target_count, const kt_target *targets)
{
    const kf_order *order = &s->body->order;
    int32_t last = 0;
    for (size_t k = 0; k < target_count; k++)
        s->live[at(s, targets[k].node)] = true;
    for (size_t k = order->count; k-- > 0;) {
        s->need[k] = NEVER;
        s->first[k] = -1;
        if (s->live[k] && !is_leaf(s, order->nodes[k]))
            for (int c = 0; c < operand_count(order->nodes[k]); c++)
                s->live[at(s, order->nodes[k]->arg[c])] = true;
    }
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (!s->live[k])
            continue;
        s->access[k] = is_leaf(s, f);
        if (is_leaf(s, f))
            continue;
        bool copies = f->op == KF_LIKE || kf_info((kf_op)f->op)->op_class == KF_CLASS_COPY;
        for (int c = 0; c < operand_count(f); c++) {
            size_t arg = at(s, f->arg[c]);
            s->stage[k] = KB_MAX(s->stage[k], s->stage[arg]);
            copies = copies && s->access[arg];
        }
        s->access[k] = copies;
        s->stage[k] += is_sum(f);
        last = KB_MAX(last, s->stage[k]);
    }
    for (size_t k = 0; k < target_count; k++) {
        size_t n = at(s, targets[k].node);
        s->need[n] = KB_MIN(s->need[n], last);
        s->keep[n] |= targets[k].kind == KT_KEEP;
    }
    for (size_t k = order->count; k-- > 0;) {
        const kf_node *f = order->nodes[k];
        if (!s->live[k] || is_leaf(s, f))
            continue;
        int32_t when = is_sum(f) ? s->stage[k] - 1 : s->need[k];
        for (int c = 0; c < operand_count(f); c++) {
            size_t arg = at(s, f->arg[c]);
            s->need[arg] = KB_MIN(s->need[arg], when);
            /* Loops read numbers that were computed before them. */
            s->keep[arg] |= f->dim > 1 && f->arg[c]->dim == 1;
        }
    }
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        for (int c = 0; s->live[k] && !is_leaf(s, f) && !is_sum(f) && c < operand_count(f); c++)
            s->keep[at(s, f->arg[c])] |= s->need[at(s, f->arg[c])] != s->need[k];
    }
    return last;
}

/* A function of whole vectors: its operands are arrays of lanes, `step` apart where the step has several elements. */
static bool put_call_of(section *s, const kf_node *f, sink *sinks)
{
    kt_body *body = s->body;
    const int first = body->next_q;
    const char *element = s->streamed ? "[v]" : "", *each = s->streamed ? "FOR_STREAM " : "";
    const bool lanes = is_lanes(s, f);
    body->next_q += f->arg_count;
    body->calls = true;
    for (int c = 0; c < f->arg_count; c++) {
        const kf_node *a = f->arg[c];
        indent(s);
        kb_str_putf(s->out, "lanes q%d[%d]%s;\n", first + c, a->dim, s->streamed ? "[KCL_STREAM]" : "");
        sinks[0] = (sink){.kind = SINK_OPERAND, .node = a, .index = (size_t)(first + c)};
        if (!put_loop(s, 1, sinks, a->dim))
            return false;
    }
    declare(s, f, "0");
    const kt_stored *to = &body->stored[at(s, f)];
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

static bool put_sums(section *s, int32_t stage, sink *sinks)
{
    const kf_order *order = &s->body->order;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (!s->live[k] || !is_sum(f) || is_stored(s, f) || s->stage[k] != stage)
            continue;
        if (is_call(f)) {
            if (!put_call_of(s, f, sinks))
                return false;
            continue;
        }
        /* This sum and all later ones of its dimension. */
        size_t count = 0;
        for (size_t m = k; m < order->count; m++) {
            const kf_node *g = order->nodes[m];
            if (s->live[m] && is_sum(g) && !is_call(g) && !is_stored(s, g) && s->stage[m] == stage &&
                g->arg[0]->dim == f->arg[0]->dim)
                sinks[count++] = (sink){.kind = SINK_ADD, .node = g->arg[0], .keeper = g};
        }
        kb_str *out = s->out;
        s->staged = s->streamed && s->body->step && kp_is_contraction(s->body->plan, f);
        if (s->staged)
            s->out = s->body->sums;
        for (size_t m = 0; m < count; m++)
            declare(s, sinks[m].keeper,
                    sinks[m].keeper->op == KF_MAX   ? "-INFINITY"
                    : sinks[m].keeper->op == KF_MIN ? "INFINITY"
                                                    : "0");
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
static void put_kept(section *s, size_t count, const sink *sinks)
{
    for (size_t k = 0; k < count; k++) {
        declare(s, sinks[k].keeper, NULL);
        s->body->stored[at(s, sinks[k].keeper)].place = KT_NOWHERE;
    }
}

static void set_places(section *s, size_t count, const sink *sinks)
{
    for (size_t k = 0; k < count; k++)
        s->body->stored[at(s, sinks[k].keeper)].place = place_of(s, sinks[k].keeper);
}

static bool put_numbers(section *s, int32_t stage, bool is_last, size_t target_count, const kt_target *targets,
                        sink *sinks)
{
    const kf_order *order = &s->body->order;
    size_t count = 0;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (s->live[k] && s->keep[k] && f->dim == 1 && s->need[k] == stage && !s->access[k] && !is_sum(f) &&
            !is_leaf(s, f))
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

static bool put_vectors(section *s, size_t target_count, kt_target *targets, sink *sinks)
{
    for (size_t k = 0; k < target_count; k++)
        targets[k].used = targets[k].node->dim == 1 || (targets[k].kind == KT_KEEP && is_stored(s, targets[k].node));
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
    section s = {.body = body, .streamed = streamed, .out = out, .depth = 1};
    const kcl_allocator *a = alloc_of(&s);
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
