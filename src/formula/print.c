/* SPDX-License-Identifier: MIT */
/* formula/print.c: formulas as text, with a stack of its own, since formulas may be deeper than the thread's stack. */
#include "reductions.h"
#include "text.h"

#include <math.h>
#include <string.h>

/* How tightly texts bind, as the parser reads them. */
enum { LEVEL_REST = -1, LEVEL_ANY, LEVEL_DOT, LEVEL_ADD, LEVEL_MULT, LEVEL_MINUS, LEVEL_POWER, LEVEL_ATOM };

/*
 * What is still to be written: `text`, or else a node. The node is written in parentheses if it binds less tightly than
 * `level`; at LEVEL_REST only what follows its operands is written.
 */
typedef struct piece {
    const char *text;
    const kf_node *node;
    int level;
} piece;

typedef struct printer {
    kb_str *out;
    const char *(*name)(void *user, const kf_node *var);
    void *user;
    piece *stack;
    size_t depth, capacity;
} printer;

static void push(printer *p, size_t count, const piece *pieces)
{
    if (!kb_reserve(&p->out->allocator, (void **)&p->stack, &p->capacity, p->depth + count, sizeof *p->stack)) {
        p->out->failed = true;
        return;
    }
    while (count--)
        p->stack[p->depth++] = pieces[count];
}

#define TEXT(text) {text, NULL, 0}
#define NODE(node, level) {NULL, node, level}
#define REST(node) {NULL, node, LEVEL_REST}
#define PUSH(...) push(p, KB_COUNT(((const piece[]){__VA_ARGS__})), (const piece[]){__VA_ARGS__})

static bool is_dot(const kf_node *f)
{
    return f->op == KF_SUM && f->arg[0]->op == KF_MULT && f->arg[0]->arg[0]->dim == f->arg[0]->arg[1]->dim;
}

/* Powers that `**` with a number makes: kf_power has other nodes for the exponents 1 and 2. */
static bool is_whole_power(const kf_node *f)
{
    int64_t n = f->param[0];
    return f->op == KF_POW && n != 1 && n != 2 && n >= -INT32_MAX && n <= INT32_MAX;
}

static int level_of(const kf_node *f)
{
    switch ((kf_op)f->op) {
    case KF_ADD:
    case KF_SUB:
        return LEVEL_ADD;
    case KF_MULT:
    case KF_DIVIDE:
        return LEVEL_MULT;
    case KF_MINUS:
        return LEVEL_MINUS;
    case KF_CONST: /* a fraction is written as RatCst(p,q) */
        return f->value < 0 && f->param[1] <= 1 ? LEVEL_MINUS : LEVEL_ATOM;
    case KF_SQUARE:
        return LEVEL_POWER;
    case KF_POW:
        return is_whole_power(f) ? LEVEL_POWER : LEVEL_ATOM;
    case KF_POWF: /* an exponent without variables might be read as a number, which gives another node */
        return f->arg[1]->axes || f->arg[1]->op == KF_VAR ? LEVEL_POWER : LEVEL_ATOM;
    case KF_SUM:
        return is_dot(f) ? LEVEL_DOT : LEVEL_ATOM;
    default:
        return LEVEL_ATOM;
    }
}

/*
 * A text that begins with a minus is put in parentheses behind an operator: for readers, since the parser needs none.
 */
static int level_behind(const kf_node *f, int level)
{
    bool product = f->op == KF_MULT || f->op == KF_DIVIDE;
    return level_of(product ? f->arg[0] : f) == LEVEL_MINUS ? LEVEL_ATOM : level;
}

static void infix(printer *p, const char *sign, const kf_node *a, const kf_node *b, int level)
{
    PUSH(NODE(a, level), TEXT(sign), NODE(b, level_behind(b, level + 1)));
}

static void put_constant(kb_str *out, const kf_node *f)
{
    if (f->param[1] > 1) {
        kb_str_putf(out, "RatCst(%lld,%lld)", (long long)f->param[0], (long long)f->param[1]);
    } else if (f->param[1] == 1) {
        kb_str_putf(out, "%lld", (long long)f->param[0]);
    } else {
        size_t start = out->length;
        kb_str_put_double(out, f->value, false);
        /* Digits alone, unlike "inf", are a whole number, which is another node. */
        if (!strpbrk(kb_str_text(out) + start, ".en"))
            kb_str_put(out, ".0");
    }
}

static void put_params(kb_str *out, const int64_t *params, int count, bool comma)
{
    for (int k = 0; k < count; k++)
        kb_str_putf(out, "%s%lld", k || comma ? "," : "", (long long)params[k]);
}

static void put_variable(printer *p, const kf_node *f)
{
    const char *name = p->name ? p->name(p->user, f) : NULL;
    if (name) {
        kb_str_put(p->out, name);
        return;
    }
    kb_str_put(p->out, "Var(");
    put_params(p->out, f->param, 3, false);
    kb_str_put(p->out, ")");
}

/* What follows a node's operands: parameters and the closing parenthesis. */
static void put_rest(kb_str *out, const kf_node *f)
{
    if (f->op == KF_REDUCE) {
        unsigned axes = (unsigned)f->param[1] & KF_PAIR_AXES;
        put_params(out, &f->param[2], kf_reduction_get((kf_reduction)f->param[0])->params, true);
        if (axes)
            kb_str_put(out, axes == KF_AXIS_J ? ",0" : axes == KF_AXIS_I ? ",1" : ",2");
        for (int k = 0; k < KF_MAX_BATCH; k++)
            if (f->param[1] & KF_BATCH_AXIS(k))
                kb_str_putf(out, ",batch axis %d", -1 - k);
        kb_str_put(out, ")");
    } else if (level_of(f) == LEVEL_POWER) {
        kb_str_putf(out, "**%lld", f->op == KF_SQUARE ? 2LL : (long long)f->param[0]);
    } else {
        int count = kf_info((kf_op)f->op)->params;
        put_params(out, f->param, count < 0 ? f->param_count : count, f->arg_count > 0);
        kb_str_put(out, ")");
    }
}

/* The operand of a weighted reduction is Concat(F, G), written as F,G. */
static bool is_weighted(const kf_node *f)
{
    return f->op == KF_REDUCE && kf_reduction_get((kf_reduction)f->param[0])->formulas == 2;
}

static void put_call(printer *p, const kf_node *f)
{
    if (f->op == KF_REDUCE && f->param[0] == KF_REDUCE_GATHER && f->param[2] == KF_WHOLE) {
        const kf_node *index = f->arg[1];
        kb_str_put(p->out, "Gather(");
        if (index->op == KF_REDUCE && index->param[0] == KF_REDUCE_WHOLE)
            index = index->arg[0];
        PUSH(NODE(f->arg[0], LEVEL_ANY), TEXT(","), NODE(index, LEVEL_ANY), TEXT(")"));
        return;
    }
    if (f->op == KF_REDUCE)
        kb_str_putf(p->out, "%s_", kf_reduction_get((kf_reduction)f->param[0])->name);
    kb_str_put(p->out, kf_info((kf_op)f->op)->name);
    kb_str_put(p->out, "(");
    PUSH(REST(f));
    if (is_weighted(f))
        f = f->arg[0];
    for (int k = f->arg_count; k-- > 0;)
        PUSH(TEXT(k ? "," : ""), NODE(f->arg[k], LEVEL_ANY));
}

static bool is_bare_number(const kf_node *f)
{
    return (f->op == KF_CONST && f->param[1] <= 1 && f->value >= 0 && !isinf(f->value)) ||
           (f->op == KF_ZERO && f->dim == 1);
}

/* Writes what comes before the operands, and pushes the rest. */
static void put_node(printer *p, const kf_node *f)
{
    const kf_node *a = f->arg[0], *b = f->arg[1];
    const kf_node *norm = f->op == KF_SQRT ? a : f; /* Norm2 is Sqrt(SqNorm2) */
    if (f->op == KF_VAR) {
        put_variable(p, f);
    } else if (f->op == KF_CONST) {
        put_constant(p->out, f);
    } else if (is_bare_number(f)) {
        kb_str_put(p->out, "0");
    } else if (f->op == KF_ADD || f->op == KF_SUB) {
        infix(p, f->op == KF_ADD ? "+" : "-", a, b, LEVEL_ADD);
    } else if (f->op == KF_MULT || f->op == KF_DIVIDE) {
        infix(p, f->op == KF_MULT ? "*" : "/", a, b, LEVEL_MULT);
    } else if (f->op == KF_MINUS && is_bare_number(a)) { /* -3 is a number */
        PUSH(TEXT("-("), NODE(a, LEVEL_ANY), TEXT(")"));
    } else if (f->op == KF_MINUS) {
        PUSH(TEXT("-"), NODE(a, LEVEL_MINUS));
    } else if (f->op == KF_POWF && level_of(f) == LEVEL_POWER) {
        PUSH(NODE(a, LEVEL_ATOM), TEXT("**"), NODE(b, LEVEL_MINUS));
    } else if (level_of(f) == LEVEL_POWER) {
        PUSH(NODE(a, LEVEL_ATOM), REST(f));
    } else if (is_dot(f)) {
        infix(p, "|", a->arg[0], a->arg[1], LEVEL_DOT);
    } else if (f->op == KF_SUM && a->op == KF_SQUARE && a->arg[0]->op == KF_SUB) {
        PUSH(TEXT("SqDist("), NODE(a->arg[0]->arg[0], LEVEL_ANY), TEXT(","), NODE(a->arg[0]->arg[1], LEVEL_ANY),
             TEXT(")"));
    } else if (norm->op == KF_SUM && norm->arg[0]->op == KF_SQUARE) {
        PUSH(TEXT(f->op == KF_SQRT ? "Norm2(" : "SqNorm2("), NODE(norm->arg[0]->arg[0], LEVEL_ANY), TEXT(")"));
    } else {
        put_call(p, f);
    }
}

static void put_piece(printer *p, const piece *top)
{
    if (top->text)
        kb_str_put(p->out, top->text);
    else if (top->level == LEVEL_REST)
        put_rest(p->out, top->node);
    else if (level_of(top->node) < top->level)
        PUSH(TEXT("("), NODE(top->node, LEVEL_ANY), TEXT(")"));
    else
        put_node(p, top->node);
}

static size_t limit_of(size_t limit)
{
    return limit ? limit : KF_MAX_TEXT;
}

/* Ends a text that is longer than the limit. Returns whether the text is whole. */
static bool end_text(kb_str *out, size_t start, size_t limit)
{
    if (out->failed || out->length - start <= limit)
        return !out->failed;
    size_t dots = KB_MIN(limit, 3);
    out->length = start + limit - dots;
    kb_str_putn(out, "...", dots);
    return false;
}

bool kf_print(kb_str *out, const kf_node *f, const char *(*name)(void *user, const kf_node *var), void *user,
              size_t limit)
{
    printer p = {.out = out, .name = name, .user = user};
    const size_t start = out->length;
    push(&p, 1, &(const piece)NODE(f, LEVEL_ANY));
    while (p.depth && !out->failed && out->length - start <= limit_of(limit)) {
        piece top = p.stack[--p.depth];
        put_piece(&p, &top);
    }
    kb_free(&out->allocator, p.stack);
    return end_text(out, start, limit_of(limit));
}

static void put_reduction(kb_str *out, const kf_parsed_reduction *r,
                          const char *(*name)(void *user, const kf_node *var), void *user, size_t limit)
{
    const kf_reduction_info *info = kf_reduction_get((kf_reduction)r->node->param[0]);
    const kf_node *f = r->node->arg[0];
    kb_str_putf(out, "%s_Reduction(", info->name);
    if (is_weighted(r->node)) {
        kf_print(out, f->arg[0], name, user, limit);
        kb_str_put(out, ",");
        f = f->arg[1];
    }
    kf_print(out, f, name, user, limit);
    put_params(out, &r->node->param[2], info->params, true);
    kb_str_putf(out, ",%d)", r->tag);
}

bool kf_print_reduction(kb_str *out, const kf_parsed_reduction *r, const char *(*name)(void *user, const kf_node *var),
                        void *user, size_t limit)
{
    const kf_node *f = r->node;
    const size_t start = out->length;
    if (f->op == KF_ZERO) {
        kb_str_putf(out, "Zero_Reduction(%d,%d)", f->dim, r->tag);
    } else if (f->op == KF_REDUCE && !kf_is_indexed(f) && (unsigned)f->param[1] == kf_axes_of_tag(r->tag)) {
        put_reduction(out, r, name, user, limit);
    } else { /* its rows are the rows of another tag, or it reduces fewer axes than its tag says */
        kb_str_put(out, "Identity_Reduction(");
        kf_print(out, f, name, user, limit);
        kb_str_putf(out, ",%d)", r->tag);
    }
    return end_text(out, start, limit_of(limit));
}

kcl_status kf_text_error(const kb_str *text, kb_error *err)
{
    if (text->failed)
        return kb_no_memory(err);
    return kb_fail(err, KCL_ERROR_UNSUPPORTED,
                   "as a text the formula is longer than %d bytes: parts that it shares are written out wherever they "
                   "stand",
                   KF_MAX_TEXT);
}
