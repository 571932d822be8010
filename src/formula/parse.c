/* SPDX-License-Identifier: MIT */
/*
 * formula/parse.c: KeOps' formula language, read by recursive descent.
 *
 *     reductions  reduction (";" reduction)*                          a primary that is a call of a reduction or of a
 *                                                                     derivative of one
 *     expression  factor (infix factor)*                              infix operators bind as in Python
 *     factor      ("-" | "+")* primary ["**" factor]                  a sign before a number belongs to the number,
 *                                                                     unless "**" follows
 *     primary     number | "(" expression ")" | name | name "(" arguments ")"
 *
 * Recursion happens at parentheses and exponents only, and is bounded: chains of any length take no stack.
 */
#include "parse.h"

#include <string.h>

enum {
    MAX_LEVELS = 500,    /* of parentheses and exponents inside each other */
    MAX_TEXT = 16 << 20, /* bytes */
};

/* ---- Expressions ------------------------------------------------------------------------------------------------- */

static bool factor(kf_parser *p, kf_operand *out);

bool kf_need_formula(kf_parser *p, kf_operand *f)
{
    if (f->second)
        return kf_fault(p, KCL_ERROR_SYNTAX, f->at, "two results are no formula: name a reduction of one");
    f->tag = KF_NO_REDUCTION;
    return true;
}

static bool need_reduction(kf_parser *p, const kf_operand *f)
{
    return f->tag != KF_NO_REDUCTION || kf_fault(p, KCL_ERROR_SYNTAX, f->at,
                                                 "a reduction is expected, such as Sum_Reduction(F,0), not a formula; "
                                                 "Identity_Reduction(F,0) is one of what "
                                                 "needs none");
}

bool kf_nested(kf_parser *p, size_t at, bool (*read)(kf_parser *p, kf_operand *out), kf_operand *out)
{
    if (p->levels == MAX_LEVELS)
        return kf_fault(p, KCL_ERROR_SYNTAX, at, "the formula is nested more than %d levels deep", MAX_LEVELS);
    p->levels++;
    bool ok = read(p, out);
    p->levels--;
    return ok;
}

static bool read_parenthesis(kf_parser *p, kf_operand *out)
{
    size_t at = p->at++;
    if (!kf_nested(p, at, kf_read_expression, out))
        return false;
    if (kf_peek(p) != ')')
        return kf_expected(p, "an operator or ')'");
    p->at++;
    out->compared = NULL;
    return true;
}

static bool read_literal(kf_parser *p, bool *negative, kf_operand *out)
{
    kf_literal number;
    if (!kf_read_number(p, &number))
        return false;
    bool take_sign = *negative && !(kf_peek(p) == '*' && kf_ahead(p, 1) == '*');
    *negative = *negative && !take_sign;
    out->number = take_sign ? -number.value : number.value;
    int64_t whole = (int64_t)(number.whole ? number.magnitude : 0);
    out->node = isinf(out->number) ? kf_refuse(p->g, KCL_ERROR_SHAPE, "a constant must be a finite number, or inf")
                : number.whole     ? kf_rat(p->g, take_sign ? -whole : whole, 1)
                                   : kf_num(p->g, out->number);
    return out->node || kf_fault_graph(p, out->at);
}

static bool raise_to_power(kf_parser *p, kf_operand *base)
{
    kf_operand exponent;
    size_t at = p->at;
    p->at += 2;
    if (!kf_need_formula(p, base) || !kf_nested(p, at, factor, &exponent) || !kf_need_formula(p, &exponent))
        return false;
    base->node = isnan(exponent.number) ? kf_binary(p->g, KF_POWF, base->node, exponent.node)
                                        : kf_power(p->g, base->node, exponent.number);
    base->number = NAN;
    return base->node || kf_fault_graph(p, at);
}

static bool factor(kf_parser *p, kf_operand *out)
{
    size_t minus_count = 0, last_minus = 0;
    char c = kf_peek(p);
    *out = (kf_operand){.at = p->at, .tag = KF_NO_REDUCTION, .number = NAN};
    for (; c == '-' || c == '+'; c = kf_peek(p)) {
        minus_count += c == '-';
        last_minus = p->at++;
    }
    bool ok, negative = minus_count > 0;
    if (kf_number_follows(p)) {
        ok = read_literal(p, &negative, out);
        minus_count -= minus_count > 0 && !negative;
    } else if (c == '(') {
        ok = read_parenthesis(p, out);
    } else if (kf_is_letter(c)) {
        ok = kf_read_name(p, out);
    } else {
        return kf_expected(p, "a formula");
    }
    if (ok && kf_peek(p) == '*' && kf_ahead(p, 1) == '*')
        ok = raise_to_power(p, out);
    if (ok && minus_count)
        ok = kf_need_formula(p, out);
    for (; ok && minus_count; minus_count--) {
        out->number = -out->number;
        out->node = kf_unary(p->g, KF_MINUS, out->node);
        ok = out->node || kf_fault_graph(p, last_minus);
    }
    return ok;
}

/* Infix operators: the longer of two that begin alike first. */
typedef struct infix {
    const char *text;
    int tightness;
    kf_op op;       /* of "|" and "%", which are several nodes, KF_OP_COUNT */
    bool exchanged; /* f > g is g < f */
} infix;

enum { COMPARISON = 1, LEVELS = 4 };

static const infix infixes[] = {
    {"==", COMPARISON, KF_EQUAL, false},
    {"!=", COMPARISON, KF_NOT_EQUAL, false},
    {"<=", COMPARISON, KF_LESS_EQUAL, false},
    {">=", COMPARISON, KF_LESS_EQUAL, true},
    {"<", COMPARISON, KF_LESS, false},
    {">", COMPARISON, KF_LESS, true},
    {"|", 2, KF_OP_COUNT, false},
    {"+", 3, KF_ADD, false},
    {"-", 3, KF_SUB, false},
    {"*", 4, KF_MULT, false},
    {"/", 4, KF_DIVIDE, false},
    {"%", 4, KF_OP_COUNT, false},
};

/* The operator that follows; NULL where there is none. */
static const infix *find_infix(kf_parser *p)
{
    const char c = kf_peek(p), next = kf_ahead(p, 1);
    if (strchr("<>/", c) && (next == c || (c == '<' && next == '>'))) /* Python's, not ours */
        return NULL;
    for (size_t k = 0; c && k < KB_COUNT(infixes); k++)
        if (infixes[k].text[0] == c && (!infixes[k].text[1] || infixes[k].text[1] == next))
            return &infixes[k];
    return NULL;
}

static const kf_node *combined(kf_graph *g, const kf_node *f, const infix *sign, const kf_node *h)
{
    if (sign->op < KF_OP_COUNT)
        return sign->exchanged ? kf_binary(g, sign->op, h, f) : kf_binary(g, sign->op, f, h);
    return sign->text[0] == '|' ? kf_dot(g, f, h) : kf_mod(g, f, h, kf_zero(g, 1));
}

/* right = left sign right */
static bool combine(kf_parser *p, kf_operand *left, const infix *sign, size_t at, kf_operand *right)
{
    const kf_node *with = right->node;
    if (!kf_need_formula(p, left) || !kf_need_formula(p, right))
        return false;
    if ((sign->op == KF_DIVIDE || sign->text[0] == '%') && !kf_check_divisor(p, right))
        return false;
    right->number = sign->op == KF_DIVIDE ? left->number / right->number : NAN; /* x**(1/2) */
    right->at = left->at;
    right->node = combined(p->g, left->compared ? left->compared : left->node, sign, with);
    right->compared = sign->tightness == COMPARISON ? with : NULL;
    if (right->node && left->compared) /* f < g < h: both hold, as in Python */
        right->node = kf_binary(p->g, KF_MULT, left->node, right->node);
    return right->node || kf_fault_graph(p, at);
}

bool kf_read_expression(kf_parser *p, kf_operand *out)
{
    struct {
        kf_operand left;
        size_t at;
        const infix *sign;
    } waiting[LEVELS]; /* each binds tighter than the one before */
    int count = 0;
    for (;;) {
        if (!factor(p, out))
            return false;
        const infix *sign = find_infix(p);
        while (count && (!sign || waiting[count - 1].sign->tightness >= sign->tightness)) {
            count--;
            if (!combine(p, &waiting[count].left, waiting[count].sign, waiting[count].at, out))
                return false;
        }
        if (!sign)
            return true;
        waiting[count].left = *out;
        waiting[count].at = p->at;
        waiting[count++].sign = sign;
        p->at += strlen(sign->text);
    }
}

/* ---- Whole texts ------------------------------------------------------------------------------------------------- */

/* New variables come after all that the text names, wherever it does. */
static void skip_named_indices(kf_parser *p)
{
    size_t at = 0;
    while (at < p->length) {
        p->at = at;
        if (!kf_is_letter(p->text[at])) {
            at++;
            continue;
        }
        kf_word w = kf_read_word(p);
        at = p->at;
        int64_t index = 0;
        if (!kf_is_word(&w, "Var") || kf_peek(p) != '(')
            continue;
        p->at++;
        for (kf_peek(p); kf_is_digit(kf_ahead(p, 0)) && index < KF_MAX_VARS; p->at++)
            index = index * 10 + (kf_ahead(p, 0) - '0');
        if (index < KF_MAX_VARS)
            p->next_index = KB_MAX(p->next_index, index + 1);
    }
    p->at = 0;
}

static bool enter_bindings(kf_parser *p)
{
    p->table_size = 16;
    while (p->table_size < p->binding_count * 2)
        p->table_size *= 2;
    p->table = kb_calloc(kf_allocator(p->g), p->table_size, sizeof *p->table);
    const kf_node **values = kb_calloc(kf_allocator(p->g), p->binding_count, sizeof *values);
    kf_order order = {0};
    bool ok = p->table && values;
    if (!ok)
        kf_fault_memory(p);
    for (size_t k = 0; ok && k < p->binding_count; k++) {
        const kf_binding *b = &p->bindings[k];
        const kf_word name = {b->name, strlen(b->name), 0};
        size_t slot = kf_binding_slot(p, name.text, name.length);
        values[k] = b->value;
        if (kf_is_reserved(&name))
            ok = kf_fault(p, KCL_ERROR_ARGUMENT, KF_NOWHERE, "the alias '%.*s' has the name of an operator",
                          KF_SHOWN(&name));
        else if (p->table[slot])
            ok = kf_fault(p, KCL_ERROR_ARGUMENT, KF_NOWHERE, "two aliases have the name '%.*s'", KF_SHOWN(&name));
        p->table[slot] = (uint32_t)k + 1;
    }
    ok = ok && kf_order_init(&order, p->g, p->binding_count, values, false, p->err) == KCL_OK;
    for (size_t k = 0; ok && k < order.count; k++)
        if (order.nodes[k]->op == KF_VAR)
            ok = kf_enter_var(p, order.nodes[k], KF_NOWHERE);
    if (order.nodes || order.position)
        kf_order_finish(&order);
    kb_free(kf_allocator(p->g), values);
    return ok;
}

static void set_text(kf_parser *p, const char *text)
{
    p->text = text;
    p->length = strlen(text);
    while (p->length && kf_is_blank(text[p->length - 1]))
        p->length--;
}

static bool begin(kf_parser *p, const char *text)
{
    kb_error_clear(p->err);
    set_text(p, text);
    if (p->g->error.status < 0) /* somebody else's, which must not be taken for ours */
        return kf_fault(p, p->g->error.status, KF_NOWHERE, "%s", p->g->error.text);
    if (p->length > MAX_TEXT)
        return kf_fault(p, KCL_ERROR_SYNTAX, KF_NOWHERE, "the text has %zu bytes, more than %d", p->length, MAX_TEXT);
    if (!p->length)
        return kf_fault(p, KCL_ERROR_SYNTAX, KF_NOWHERE, "the formula is empty");
    if (!enter_bindings(p))
        return false;
    skip_named_indices(p);
    return true;
}

static kcl_status end(kf_parser *p, bool ok, int64_t *next_index)
{
    kb_free(kf_allocator(p->g), p->table);
    kb_free(kf_allocator(p->g), p->vars);
    kf_clear_error(p->g);
    if (!ok)
        return p->err->status;
    *next_index = p->next_index;
    return KCL_OK;
}

static bool end_of_text(kf_parser *p)
{
    if (kf_peek(p) == ')')
        return kf_fault(p, KCL_ERROR_SYNTAX, p->at, "there is no '(' for this ')'");
    return !kf_peek(p) || kf_expected(p, "an operator or the end of the formula");
}

kcl_status kf_parse_formula(kf_graph *g, const char *text, size_t binding_count, const kf_binding *bindings,
                            int64_t *next_index, const kf_node **out, kb_error *err)
{
    kf_parser p = {.g = g, .binding_count = binding_count, .bindings = bindings, .next_index = *next_index, .err = err};
    kf_operand f;
    bool ok = begin(&p, text) && kf_read_expression(&p, &f);
    if (ok && kf_peek(&p) == ';')
        ok = kf_fault(&p, KCL_ERROR_SYNTAX, p.at, "one formula is expected; ';' separates reductions");
    ok = ok && end_of_text(&p) && kf_need_formula(&p, &f);
    if (ok)
        *out = f.node;
    return end(&p, ok, next_index);
}

kcl_status kf_parse_reductions(kf_graph *g, const char *text, size_t binding_count, const kf_binding *bindings,
                               int64_t *next_index, size_t *count, kf_parsed_reduction *out, kb_error *err)
{
    kf_parser p = {.g = g, .binding_count = binding_count, .bindings = bindings, .next_index = *next_index, .err = err};
    size_t n = 0;
    bool ok = begin(&p, text), more = true;
    while (ok && more) {
        kf_operand f;
        ok = n < KF_MAX_RESULTS ||
             kf_fault(&p, KCL_ERROR_SYNTAX, p.at, "there are more than %d reductions", KF_MAX_RESULTS);
        ok = ok && kf_read_expression(&p, &f);
        more = ok && kf_peek(&p) == ';';
        ok = ok && (more || end_of_text(&p)) && need_reduction(&p, &f);
        if (ok && f.second && n + 1 == KF_MAX_RESULTS)
            ok = kf_fault(&p, KCL_ERROR_SYNTAX, f.at, "there are more than %d results", KF_MAX_RESULTS);
        if (ok)
            out[n++] = (kf_parsed_reduction){f.node, f.tag};
        if (ok && f.second)
            out[n++] = (kf_parsed_reduction){f.second, f.tag};
        p.at += more;
        more = more && kf_peek(&p);
    }
    if (ok)
        *count = n;
    return end(&p, ok, next_index);
}

static bool read_alias(kf_parser *p, kf_alias *alias)
{
    if (p->length > MAX_TEXT)
        return kf_fault(p, KCL_ERROR_SYNTAX, KF_NOWHERE, "the alias has %zu bytes, more than %d", p->length, MAX_TEXT);
    if (!kf_is_letter(kf_peek(p)))
        return kf_expected(p, "an alias such as x = Vi(3)");
    kf_word w = kf_read_word(p);
    if (kf_peek(p) == '=') {
        if (kf_is_reserved(&w))
            return kf_fault(p, KCL_ERROR_SYNTAX, w.at, "'%.*s' has a meaning in formulas; choose another name",
                            KF_SHOWN(&w));
        if (w.length >= sizeof alias->name)
            return kf_fault(p, KCL_ERROR_SYNTAX, w.at, "the name of an alias has at most %zu letters",
                            sizeof alias->name - 1);
        memcpy(alias->name, w.text, w.length);
        p->at++;
        kf_peek(p);
        w = kf_read_word(p);
    }
    if (!kf_is_declaration(&w))
        return kf_fault(
            p, KCL_ERROR_SYNTAX, w.at,
            "a declaration is expected: Vi(dimension), Vj(dimension), Pm(dimension), each also with an index "
            "first, or Var(index,dimension,role)");
    return kf_read_declaration(p, &w, alias) && (!kf_peek(p) || kf_expected(p, "the end of the alias"));
}

kcl_status kf_parse_alias(const char *text, kf_alias *alias, kb_error *err)
{
    kf_parser p = {.err = err};
    *alias = (kf_alias){.index = -1};
    kb_error_clear(err);
    set_text(&p, text);
    read_alias(&p, alias);
    return err->status;
}
