/* SPDX-License-Identifier: MIT */
/* formula/parse.c: whole texts: a formula, reductions, an alias. */
#include "parse.h"
#include "order.h"

#include <string.h>

enum { MAX_TEXT = 16 << 20 }; /* bytes */

/* New variables come behind all variables that the text names, anywhere. */
static bool skip_named_indices(kf_parser *p)
{
    p->quiet = true; /* reading will find what is wrong */
    while (p->at < p->length && p->err->status == KCL_OK) {
        if (!kf_is_letter(p->text[p->at])) {
            p->at++;
            continue;
        }
        const kf_word w = kf_read_word(p);
        int64_t index;
        if (!kf_is_word(&w, "Var") || kf_peek(p) != '(')
            continue;
        p->at++;
        if (kf_read_whole(p, "", &index) && index >= 0 && index < KF_MAX_VARS)
            p->next_index = KB_MAX(p->next_index, index + 1);
    }
    p->quiet = false;
    p->at = 0;
    return p->err->status == KCL_OK; /* otherwise memory is out */
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
    if (p->g->error.status < 0) /* an error of an earlier caller, which must not be taken for ours */
        return kf_fault(p, p->g->error.status, KF_NOWHERE, "%s", p->g->error.text);
    if (p->length > MAX_TEXT)
        return kf_fault(p, KCL_ERROR_SYNTAX, KF_NOWHERE, "the text has %zu bytes, more than %d", p->length, MAX_TEXT);
    if (!p->length)
        return kf_fault(p, KCL_ERROR_SYNTAX, KF_NOWHERE, "the formula is empty");
    return enter_bindings(p) && skip_named_indices(p);
}

static kcl_status end(kf_parser *p, bool ok, int64_t *next_index)
{
    kb_free(p->allocator, p->table);
    kb_free(p->allocator, p->vars);
    kb_free(p->allocator, p->pending);
    kb_free(p->allocator, p->arguments);
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
    kf_parser p = {.g = g,
                   .binding_count = binding_count,
                   .bindings = bindings,
                   .next_index = *next_index,
                   .allocator = kf_allocator(g),
                   .err = err};
    kf_operand f;
    bool ok = begin(&p, text) && kf_read_expression(&p, &f);
    if (ok && kf_peek(&p) == ';')
        ok = kf_fault(&p, KCL_ERROR_SYNTAX, p.at, "one formula is expected; ';' separates reductions");
    ok = ok && end_of_text(&p) && kf_need_formula(&p, &f);
    if (ok)
        *out = f.node;
    return end(&p, ok, next_index);
}

static bool need_reduction(kf_parser *p, const kf_operand *f)
{
    return f->tag != KF_NO_REDUCTION || kf_fault(p, KCL_ERROR_SYNTAX, f->at,
                                                 "a reduction is expected, such as Sum_Reduction(F,0), not a formula; "
                                                 "Identity_Reduction(F,0) is one of what "
                                                 "needs none");
}

kcl_status kf_parse_reductions(kf_graph *g, const char *text, size_t binding_count, const kf_binding *bindings,
                               int64_t *next_index, size_t *count, kf_parsed_reduction *out, kb_error *err)
{
    kf_parser p = {.g = g,
                   .binding_count = binding_count,
                   .bindings = bindings,
                   .next_index = *next_index,
                   .allocator = kf_allocator(g),
                   .err = err};
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

kcl_status kf_parse_alias(const kcl_allocator *allocator, const char *text, kf_alias *alias, kb_error *err)
{
    kf_parser p = {.allocator = allocator, .err = err};
    *alias = (kf_alias){.index = -1};
    kb_error_clear(err);
    set_text(&p, text);
    read_alias(&p, alias);
    kb_free(allocator, p.pending);
    kb_free(allocator, p.arguments);
    return err->status;
}
