/* SPDX-License-Identifier: MIT */
/*
 * formula/parse_expressions.c: KeOps' formula language, an expression of Python.
 *
 *     reductions  reduction (";" reduction)*                          a primary that is a call of a reduction or of a
 *                                                                     derivative of one
 *     expression  factor (infix factor)*                              infix operators bind as in Python
 *     factor      ("-" | "+")* primary ["**" factor]                  a sign before a number belongs to the number,
 *                                                                     unless "**" follows
 *     primary     number | "(" expression ")" | name | name "(" arguments ")"
 *
 * Whole numbers are expressions of the same kind, without names.
 */
#include "make.h"
#include "parse.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LEVELS = 500 }; /* of parentheses and exponents inside each other */

/* Infix operators: the longer of two that begin alike first. */
typedef struct infix {
    const char *text;
    int tightness;
    kf_op op;       /* KF_OP_COUNT for "|" and "%", which are several nodes, and "//", which is no node */
    bool exchanged; /* f > g is g < f */
} infix;

enum { COMPARISON = 1 };

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
    {"//", 4, KF_OP_COUNT, false},
    {"/", 4, KF_DIVIDE, false},
    {"%", 4, KF_OP_COUNT, false},
};

/* What is begun and not ended. */
typedef enum pending_kind { SIGNS, POWER, INFIX, PARENTHESIS, CALL } pending_kind;

typedef struct kf_pending {
    pending_kind kind;
    size_t at;          /* the place of its sign or parenthesis */
    kf_operand left;    /* POWER, INFIX; SIGNS: left.at is the place of the signs */
    const infix *sign;  /* INFIX */
    size_t minus_count; /* SIGNS */
    kf_call call;       /* CALL */
} kf_pending;

/* What an expression needs next: an operand, or to go on with the operand that it has. */
typedef enum progress { WANTS_OPERAND, HAS_OPERAND, ENDED } progress;

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

static bool add_overflows(int64_t a, int64_t b)
{
    return b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b;
}

static bool multiply(int64_t a, int64_t b, int64_t *product)
{
    const uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    const bool negative = (a < 0) != (b < 0);
    const uint64_t most = (uint64_t)INT64_MAX + negative;
    if (y && x > most / y)
        return false;
    *product = !negative ? (int64_t)(x * y) : x && y ? -(int64_t)(x * y - 1) - 1 : 0;
    return true;
}

static bool raise_whole(int64_t base, int64_t exponent, int64_t *power)
{
    *power = 1;
    while (exponent > 0) {
        if (exponent % 2 && !multiply(*power, base, power))
            return false;
        exponent /= 2;
        if (exponent && !multiply(base, base, &base))
            return false;
    }
    return exponent == 0;
}

/* a sign b as in Python, where quotients are rounded down. False if the result is no whole number of 64 bits. */
static bool compute(int64_t a, const char *sign, int64_t b, int64_t *result)
{
    switch (sign[0]) {
    case '+':
        return !add_overflows(a, b) && (*result = a + b, true);
    case '-':
        return (b == INT64_MIN ? a < 0 : !add_overflows(a, -b)) && (*result = a - b, true);
    case '*':
        return sign[1] ? raise_whole(a, b, result) : multiply(a, b, result);
    case '%':
        if (b == 0)
            return false;
        *result = b == -1 ? 0 : a % b;
        *result += *result && (*result < 0) != (b < 0) ? b : 0;
        return true;
    default: /* "//" and "/" */
        if (b == 0 || !sign[1] || (a == INT64_MIN && b == -1))
            return false;
        *result = a / b - (a % b != 0 && (a < 0) != (b < 0));
        return true;
    }
}

static void set_whole(kf_operand *f, bool is_whole, int64_t value)
{
    f->is_whole = is_whole;
    f->whole = is_whole ? value : 0;
    if (is_whole)
        f->number = (double)value;
}

/* Tells why a result that compute() refuses is no whole number. */
static bool not_whole(kf_parser *p, const char *sign, size_t at, const kf_operand *right)
{
    if (strchr("<>=!|", sign[0]))
        return kf_fault(p, KCL_ERROR_SYNTAX, at, "%s is expected: whole numbers have + - * // %% **", p->wanted);
    if (strcmp(sign, "/") == 0)
        return kf_fault(p, KCL_ERROR_SYNTAX, at, "%s is expected: '/' does not give one, '//' does", p->wanted);
    if ((sign[0] == '/' || sign[0] == '%') && right->whole == 0)
        return kf_fault(p, KCL_ERROR_SYNTAX, right->at, "this divides by 0");
    if (sign[0] == '*' && sign[1] && right->whole < 0)
        return kf_fault(p, KCL_ERROR_SYNTAX, right->at, "%s is expected: a power with a negative exponent is none",
                        p->wanted);
    return kf_fault(p, KCL_ERROR_SYNTAX, at, "%s is expected: this one has more than 64 bits", p->wanted);
}

/* ---- Expressions ------------------------------------------------------------------------------------------------- */

bool kf_need_formula(kf_parser *p, kf_operand *f)
{
    if (f->second)
        return kf_fault(p, KCL_ERROR_SYNTAX, f->at, "two results are no formula: name a reduction of one");
    f->tag = KF_NO_REDUCTION;
    return true;
}

static kf_operand nothing_at(size_t at)
{
    return (kf_operand){.at = at, .tag = KF_NO_REDUCTION, .number = NAN};
}

/* Each parenthesis, exponent and call is one level deeper. */
static bool push(kf_parser *p, const kf_pending *begun)
{
    const bool deeper = begun->kind == PARENTHESIS || begun->kind == POWER || begun->kind == CALL;
    if (deeper && p->levels == MAX_LEVELS)
        return kf_fault(p, KCL_ERROR_SYNTAX, begun->at, "the formula is nested more than %d levels deep", MAX_LEVELS);
    if (!kb_reserve(p->allocator, (void **)&p->pending, &p->pending_capacity, p->pending_count + 1, sizeof *p->pending))
        return kf_fault_memory(p);
    p->levels += deeper;
    p->pending[p->pending_count++] = *begun;
    return true;
}

static kf_pending pop(kf_parser *p)
{
    const kf_pending ended = p->pending[--p->pending_count];
    p->levels -= ended.kind == PARENTHESIS || ended.kind == POWER || ended.kind == CALL;
    return ended;
}

static bool read_literal(kf_parser *p, bool *negative, kf_operand *out)
{
    kf_literal number;
    const size_t at = out->at;
    if (!kf_read_number(p, &number))
        return false;
    if (p->wanted && !number.whole)
        return kf_fault(p, KCL_ERROR_SYNTAX, at, "%s is expected, not %.*s", p->wanted, (int)KB_MIN(p->at - at, 40),
                        p->text + at);
    bool take_sign = *negative && !(kf_peek(p) == '*' && kf_ahead(p, 1) == '*');
    *negative = *negative && !take_sign;
    out->number = take_sign ? -number.value : number.value;
    const int64_t whole = (int64_t)(number.whole ? number.magnitude : 0);
    set_whole(out, number.whole, take_sign ? -whole : whole);
    if (p->wanted)
        return true;
    out->node = isinf(out->number) ? kf_refuse(p->g, KCL_ERROR_SHAPE, "a constant must be a finite number, or inf")
                : number.whole     ? kf_rat(p->g, out->whole, 1)
                                   : kf_num(p->g, out->number);
    return out->node || kf_fault_graph(p, at);
}

/* Signs and what comes first behind them. A number or a variable is *out at once; all else is begun. */
static bool begin_operand(kf_parser *p, kf_operand *out, progress *state)
{
    kf_pending begun = {.kind = SIGNS};
    char c = kf_peek(p);
    *state = WANTS_OPERAND;
    *out = begun.left = nothing_at(p->at);
    for (; c == '-' || c == '+'; c = kf_peek(p)) {
        begun.minus_count += c == '-';
        begun.at = p->at++;
    }
    const bool is_number = kf_number_follows(p);
    bool negative = begun.minus_count > 0;
    if (is_number && !read_literal(p, &negative, out))
        return false;
    begun.minus_count -= is_number && begun.minus_count > 0 && !negative;
    if (begun.minus_count && !push(p, &begun))
        return false;
    if (is_number) {
        *state = HAS_OPERAND;
        return true;
    }
    if (c == '(') {
        begun = (kf_pending){.kind = PARENTHESIS, .at = p->at++};
        return push(p, &begun);
    }
    if (p->wanted)
        return kf_expected(p, p->wanted);
    if (!kf_is_letter(c))
        return kf_expected(p, "a formula");
    begun = (kf_pending){.kind = CALL};
    const kf_step step = kf_read_name(p, &begun.call, out);
    *state = step == KF_DONE ? HAS_OPERAND : WANTS_OPERAND;
    begun.at = begun.call.open;
    begun.call.first = p->argument_count;
    return step != KF_FAILED && (step == KF_DONE || push(p, &begun));
}

static bool apply_signs(kf_parser *p, const kf_pending *signs, kf_operand *f)
{
    f->at = signs->left.at;
    if (signs->minus_count % 2) {
        f->number = -f->number;
        f->is_whole = f->is_whole && f->whole > INT64_MIN;
        f->whole = f->is_whole ? -f->whole : 0;
    }
    if (p->wanted)
        return f->is_whole ||
               kf_fault(p, KCL_ERROR_SYNTAX, signs->at, "%s is expected: this one has more than 64 bits", p->wanted);
    if (!kf_need_formula(p, f))
        return false;
    for (size_t k = 0; k < signs->minus_count; k++)
        if (!(f->node = kf_unary(p->g, KF_MINUS, f->node)))
            return kf_fault_graph(p, signs->at);
    return true;
}

/* The operator that refused has a name; the text has a sign in its place. */
static bool fault_sign(kf_parser *p, const char *sign, size_t at)
{
    char quoted[8];
    const int length = snprintf(quoted, sizeof quoted, "'%s'", sign);
    kf_name_error(p->g, quoted, (size_t)length);
    return kf_fault_graph(p, at);
}

/* exponent = base ** exponent */
static bool raise_to_power(kf_parser *p, kf_operand *base, size_t at, kf_operand *exponent)
{
    kf_operand power = nothing_at(base->at);
    int64_t value = 0;
    const bool whole = base->is_whole && exponent->is_whole && compute(base->whole, "**", exponent->whole, &value);
    set_whole(&power, whole, value);
    if (p->wanted) {
        const kf_operand by = *exponent;
        *exponent = power;
        return whole || not_whole(p, "**", at, &by);
    }
    if (!kf_need_formula(p, base) || !kf_need_formula(p, exponent))
        return false;
    power.node = isnan(exponent->number) ? kf_binary(p->g, KF_POWF, base->node, exponent->node)
                                         : kf_power(p->g, base->node, exponent->number);
    *exponent = power;
    return power.node || fault_sign(p, "**", at);
}

/* The operator that follows; NULL: no operator. */
static const infix *find_infix(kf_parser *p)
{
    const char c = kf_peek(p), next = kf_ahead(p, 1);
    if ((c == '<' || c == '>') && (next == c || (c == '<' && next == '>'))) /* Python's operators, not ours */
        return NULL;
    for (size_t k = 0; c && k < KB_COUNT(infixes); k++)
        if (infixes[k].text[0] == c && (!infixes[k].text[1] || infixes[k].text[1] == next))
            return &infixes[k];
    return NULL;
}

static const kf_node *combined(kf_graph *g, const kf_node *f, const infix *sign, const kf_node *h)
{
    if (sign->op < KF_OP_COUNT)
        return sign->exchanged ? kf_exchanged(g, sign->op, f, h) : kf_binary(g, sign->op, f, h);
    return sign->text[0] == '|' ? kf_dot(g, f, h) : kf_mod(g, f, h, kf_zero(g, 1));
}

/* right = left sign right */
static bool combine(kf_parser *p, kf_operand *left, const infix *sign, size_t at, kf_operand *right)
{
    const kf_node *with = right->node;
    int64_t value = 0;
    const bool has_value = left->is_whole && right->is_whole && sign->tightness > 2;
    const bool whole = has_value && compute(left->whole, sign->text, right->whole, &value);
    const double quotient = left->number / right->number; /* x**(1/2) */
    if (p->wanted && !whole)
        return not_whole(p, sign->text, at, right);
    if (!kf_need_formula(p, left) || !kf_need_formula(p, right))
        return false;
    if (!p->wanted && (sign->op == KF_DIVIDE || sign->text[0] == '%' || (has_value && sign->text[0] == '/')) &&
        !kf_check_divisor(p, right))
        return false;
    right->at = left->at;
    right->number = sign->op == KF_DIVIDE ? quotient : NAN;
    set_whole(right, whole, value);
    right->compared = sign->tightness == COMPARISON ? with : NULL;
    if (p->wanted)
        return true;
    if (sign->text[0] == '/' && sign->text[1]) {
        if (!whole) {
            p->at = at;
            return kf_expected(p, "an operator");
        }
        right->node = kf_rat(p->g, value, 1);
    } else {
        right->node = combined(p->g, left->compared ? left->compared : left->node, sign, with);
    }
    if (right->node && left->compared) /* f < g < h: both hold, as in Python */
        right->node = kf_binary(p->g, KF_MULT, left->node, right->node);
    return right->node || fault_sign(p, sign->text, at);
}

/* The formula *out is the next argument of the call on top. When the call is complete, *out becomes its result. */
static bool continue_call(kf_parser *p, kf_operand *out, progress *state)
{
    kf_call c = p->pending[p->pending_count - 1].call; /* reading may move the other pending parts */
    if (!kb_reserve(p->allocator, (void **)&p->arguments, &p->argument_capacity, p->argument_count + 1,
                    sizeof *p->arguments))
        return kf_fault_memory(p);
    p->arguments[p->argument_count++] = *out;
    c.count++;
    *out = nothing_at(c.name.at);
    const kf_step step = c.read(p, &c, out);
    *state = step == KF_DONE ? HAS_OPERAND : WANTS_OPERAND;
    p->pending[p->pending_count - 1].call = c;
    if (step == KF_DONE) {
        pop(p);
        p->argument_count = c.first;
    }
    return step != KF_FAILED;
}

/* *out is an operand: ends all that it completes, down to `base`. */
static bool end_operand(kf_parser *p, size_t base, kf_operand *out, progress *state)
{
    kf_pending ended = {.kind = POWER, .at = p->at, .left = *out};
    if (kf_peek(p) == '*' && kf_ahead(p, 1) == '*') {
        ended.at = p->at;
        *state = WANTS_OPERAND;
        p->at += 2;
        return push(p, &ended);
    }
    while (p->pending_count > base && p->pending[p->pending_count - 1].kind <= POWER) {
        ended = pop(p);
        if (ended.kind == SIGNS ? !apply_signs(p, &ended, out) : !raise_to_power(p, &ended.left, ended.at, out))
            return false;
    }
    const infix *sign = find_infix(p);
    while (p->pending_count > base && p->pending[p->pending_count - 1].kind == INFIX &&
           (!sign || p->pending[p->pending_count - 1].sign->tightness >= sign->tightness)) {
        ended = pop(p);
        if (!combine(p, &ended.left, ended.sign, ended.at, out))
            return false;
    }
    if (sign) {
        ended = (kf_pending){.kind = INFIX, .at = p->at, .left = *out, .sign = sign};
        *state = WANTS_OPERAND;
        p->at += strlen(sign->text);
        return push(p, &ended);
    }
    if (p->pending_count == base) {
        *state = ENDED;
        return true;
    }
    if (p->pending[p->pending_count - 1].kind == CALL)
        return continue_call(p, out, state);
    if (kf_peek(p) != ')')
        return kf_expected(p, "an operator or ')'");
    p->at++;
    pop(p);
    out->compared = NULL;
    return true;
}

bool kf_read_expression(kf_parser *p, kf_operand *out)
{
    const size_t base = p->pending_count, arguments = p->argument_count;
    const int levels = p->levels;
    progress state = WANTS_OPERAND;
    bool ok = true;
    while (ok && state != ENDED)
        ok = state == WANTS_OPERAND ? begin_operand(p, out, &state) : end_operand(p, base, out, &state);
    p->pending_count = base; /* a fault leaves parts above */
    p->argument_count = arguments;
    p->levels = levels;
    return ok;
}

bool kf_read_whole(kf_parser *p, const char *what, int64_t *value)
{
    kf_operand f;
    p->wanted = what;
    const bool ok = kf_read_expression(p, &f);
    p->wanted = NULL;
    *value = ok ? f.whole : 0;
    return ok;
}
