/* SPDX-License-Identifier: MIT */
/*
 * formula/parse.c: KeOps' formula language, read by recursive descent.
 *
 *     reductions  reduction (";" reduction)*
 *     expression  factor (("|" | "+" | "-" | "*" | "/") factor)*      "|" is loosest, "*" and "/" are tightest
 *     factor      ("-" | "+")* primary ["**" factor]                  a sign before a number belongs to the number,
 *                                                                     unless "**" follows
 *     primary     number | "(" expression ")" | name | name "(" arguments ")"
 *
 * Recursion happens at parentheses and exponents only, and is bounded: chains of any length take no stack.
 */
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_LEVELS = 500,    /* of parentheses and exponents inside each other */
    MAX_TEXT = 16 << 20, /* bytes */
    EXCERPT = 100,       /* characters of the text that an error shows */
    NO_REDUCTION = -1,   /* the tag of a formula */
};

static const size_t NOWHERE = SIZE_MAX; /* a fault that is not in the text */

typedef struct parser {
    kf_graph *g;
    const char *text;
    size_t length; /* without blanks at the end */
    size_t at;
    size_t binding_count;
    const kf_binding *bindings;
    uint32_t *table; /* of the bindings, by name: number + 1, 0 is free */
    size_t table_size;
    const kf_node **vars; /* by index; NULL where there is none yet */
    size_t var_count, var_capacity;
    int64_t next_index;
    int levels;
    kb_error *err;
} parser;

/* What an expression is: a formula, or a reduction with its tag. */
typedef struct operand {
    const kf_node *node;
    size_t at; /* where it begins */
    int tag;
    double number; /* the value of a literal, NaN for all else */
    const kf_node *second; /* the indices of Min_ArgMin and its like; NULL for all else */
} operand;

/* Reductions by their names in texts. */
static const struct reduction_name {
    const char *name;
    kf_reduction first, second; /* the same where there is one result */
} reduction_names[] = {
#define KF_REDUCTION(id, name, formulas, ...) {(formulas) ? name "_Reduction" : "", KF_REDUCE_##id, KF_REDUCE_##id},
#define KF_REDUCTION_PAIR(name, values, indices) {name "_Reduction", KF_REDUCE_##values, KF_REDUCE_##indices},
#include "reductions.def"
};

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80; /* of a UTF-8 character */
}

/* The part of the text around `at` on one line, then a caret below `at`. What is not ASCII shows as "?". */
static void excerpt(const parser *p, size_t at, char line[EXCERPT + 8], char caret[EXCERPT + 8])
{
    size_t begin = at, end = at, n = 0, column = 0;
    while (begin > 0 && p->text[begin - 1] != '\n')
        begin--;
    while (end < p->length && p->text[end] != '\n')
        end++;
    size_t first = at - begin > EXCERPT / 2 ? at - EXCERPT / 2 : begin;
    size_t last = end - first > EXCERPT ? first + EXCERPT : end;
    if (last - begin > EXCERPT && last - first < EXCERPT)
        first = last - EXCERPT;
    for (; n < 3 && first > begin; n++)
        line[n] = '.';
    for (size_t k = first; k < last; k++) {
        if (k == at)
            column = n;
        if (!is_continuation(p->text[k]))
            line[n++] = is_blank(p->text[k]) ? ' ' : p->text[k] > ' ' && p->text[k] < 0x7f ? p->text[k] : '?';
    }
    if (at >= last)
        column = n;
    for (size_t k = 0; k < 3 && last < end; k++)
        line[n++] = '.';
    line[n] = 0;
    memset(caret, ' ', column);
    memcpy(caret + column, "^", 2);
}

KB_PRINTF(4, 5) static bool fail(parser *p, kcl_status status, size_t at, const char *format, ...)
{
    char line[EXCERPT + 8], caret[EXCERPT + 8];
    va_list args;
    va_start(args, format);
    kb_failv(p->err, status, format, args);
    va_end(args);
    if (at != NOWHERE) {
        excerpt(p, at, line, caret);
        kb_fail(p->err, status, "%.3000s\n%s\n%s", p->err->text, line, caret);
    }
    return false;
}

static bool out_of_memory(parser *p)
{
    kb_no_memory(p->err);
    return false;
}

/* Reports what a constructor of the graph has refused. */
static bool refused(parser *p, size_t at)
{
    if (p->g->error.status == KCL_ERROR_NO_MEMORY)
        return out_of_memory(p);
    return fail(p, p->g->error.status, at, "%s", p->g->error.text);
}

/* ---- Characters and words ---------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The next character that is no blank; 0 at the end. */
static char peek(parser *p)
{
    while (p->at < p->length && is_blank(p->text[p->at]))
        p->at++;
    return p->at < p->length ? p->text[p->at] : 0;
}

static char ahead(const parser *p, size_t steps)
{
    return p->at + steps < p->length ? p->text[p->at + steps] : 0;
}

/* A piece of the text: points into it. */
typedef struct word {
    const char *text;
    size_t length, at;
} word;

/* For "%.*s" in errors. */
#define SHOWN(w) (int)KB_MIN((w)->length, 40), (w)->text

static word read_word(parser *p)
{
    word w = {p->text + p->at, 0, p->at};
    while (is_letter(ahead(p, w.length)) || is_digit(ahead(p, w.length)))
        w.length++;
    p->at += w.length;
    return w;
}

static bool is_word(const word *w, const char *text)
{
    return strlen(text) == w->length && memcmp(text, w->text, w->length) == 0;
}

static bool ends_in_reduction(const word *w)
{
    const size_t n = sizeof "Reduction" - 1;
    return w->length >= n && memcmp(w->text + w->length - n, "Reduction", n) == 0;
}

/* Says that `expected` should stand here. */
static bool expected(parser *p, const char *what)
{
    char c = peek(p);
    if (!c)
        return fail(p, KCL_ERROR_SYNTAX, p->at, "the text ends where %s is expected", what);
    if ((unsigned char)c < ' ' || (unsigned char)c >= 0x7f)
        return fail(p, KCL_ERROR_SYNTAX, p->at, "the byte 0x%02X has no meaning in a formula, which is ASCII text",
                    (unsigned char)c);
    if (strchr("<>=!%^@&~", c) || (c == '/' && ahead(p, 1) == '/')) {
        int length = ahead(p, 1) == '=' || ahead(p, 1) == c ? 2 : 1;
        return fail(p, KCL_ERROR_SYNTAX, p->at, "there is no operator '%.*s'; the operators are + - * / | **%s", length,
                    p->text + p->at, c == '^' ? ", powers are written **" : "");
    }
    if (strchr("#$?:[]{}\"'`\\", c))
        return fail(p, KCL_ERROR_SYNTAX, p->at, "the character %c has no meaning in a formula", c);
    size_t at = p->at;
    word w = read_word(p);
    p->at = at;
    if (!w.length)
        w.length = 1;
    return fail(p, KCL_ERROR_SYNTAX, at, "%s is expected, not '%.*s'", what, SHOWN(&w));
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

typedef struct literal {
    bool whole; /* a whole number whose magnitude is in `magnitude` */
    uint64_t magnitude;
    double value;
} literal;

static bool number_follows(const parser *p)
{
    return is_digit(ahead(p, 0)) || (ahead(p, 0) == '.' && is_digit(ahead(p, 1)));
}

static bool read_number(parser *p, literal *number)
{
    size_t n = kb_parse_double(p->text + p->at, p->length - p->at, &number->value);
    if (!n)
        return fail(p, KCL_ERROR_SYNTAX, p->at, "the number has too many digits");
    number->whole = true;
    number->magnitude = 0;
    for (size_t k = 0; k < n && number->whole; k++) {
        unsigned digit = (unsigned)(p->text[p->at + k] - '0');
        number->whole = is_digit(p->text[p->at + k]) && number->magnitude <= ((uint64_t)INT64_MAX - digit) / 10;
        number->magnitude = number->magnitude * 10 + digit;
    }
    p->at += n;
    return true;
}

/* A whole number with or without sign, as operators have for parameters. */
static bool read_whole(parser *p, const char *what, int64_t *value)
{
    literal number;
    bool negative = peek(p) == '-';
    size_t at = p->at;
    if (negative || ahead(p, 0) == '+') {
        p->at++;
        peek(p);
    }
    if (!number_follows(p))
        return expected(p, what);
    if (!read_number(p, &number))
        return false;
    if (!number.whole)
        return fail(p, KCL_ERROR_SYNTAX, at, "%s is expected, not %.*s", what, (int)KB_MIN(p->at - at, 40),
                    p->text + at);
    *value = negative ? -(int64_t)number.magnitude : (int64_t)number.magnitude;
    return true;
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static const char *const declarations[] = {"Vi", "Vj", "Pm", "Vx", "Vy", "Var"};

static bool is_declaration(const word *w)
{
    for (size_t k = 0; k < KB_COUNT(declarations); k++)
        if (is_word(w, declarations[k]))
            return true;
    return false;
}

/* Words with a meaning of their own, which no alias may have. */
static bool is_reserved(const word *w)
{
    kf_name name;
    return is_word(w, "Grad") || is_declaration(w) || ends_in_reduction(w) || kf_find_name(w->text, w->length, &name);
}

/* Slot of the table where the name is, or where it would be put. */
static size_t binding_slot(const parser *p, const char *name, size_t length)
{
    size_t slot = kb_hash(name, length, 0) & (p->table_size - 1);
    for (; p->table[slot]; slot = (slot + 1) & (p->table_size - 1)) {
        const char *other = p->bindings[p->table[slot] - 1].name;
        if (strncmp(other, name, length) == 0 && !other[length])
            break;
    }
    return slot;
}

static const kf_binding *find_binding(const parser *p, const word *w)
{
    size_t slot = binding_slot(p, w->text, w->length);
    return p->table[slot] ? &p->bindings[p->table[slot] - 1] : NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

enum { LONGEST_WORD = 40 }; /* for which a near name is looked for */

/* Letters to insert, delete, replace or exchange with their neighbour to turn one word into the other, any case. */
static int distance(const word *a, const char *b)
{
    int rows[3][LONGEST_WORD + 1];
    int *above = rows[0], *row = rows[1], *before = rows[2];
    size_t n = strlen(b);
    if (a->length > LONGEST_WORD || n > LONGEST_WORD)
        return LONGEST_WORD;
    for (size_t k = 0; k <= n; k++)
        above[k] = (int)k;
    for (size_t i = 1; i <= a->length; i++) {
        row[0] = (int)i;
        for (size_t k = 1; k <= n; k++) {
            bool same = lower(a->text[i - 1]) == lower(b[k - 1]);
            row[k] = KB_MIN(above[k - 1] + !same, KB_MIN(above[k], row[k - 1]) + 1);
            if (i > 1 && k > 1 && lower(a->text[i - 1]) == lower(b[k - 2]) && lower(a->text[i - 2]) == lower(b[k - 1]))
                row[k] = KB_MIN(row[k], before[k - 2] + 1);
        }
        int *unused = before;
        before = above;
        above = row;
        row = unused;
    }
    return above[n];
}

typedef struct nearest {
    const word *word;
    char name[LONGEST_WORD + 1];
    int distance;
} nearest;

static void consider(void *user, const char *text)
{
    nearest *best = user;
    int d = distance(best->word, text);
    if (d < best->distance) {
        best->distance = d;
        memcpy(best->name, text, strlen(text) + 1); /* a longer name is never nearer */
    }
}

/* Appends a name to a list; one that is full stays as it is. */
static void list(char *names, size_t size, const char *name)
{
    size_t n = strlen(names);
    if (n + strlen(name) + 3 <= size)
        snprintf(names + n, size - n, "%s%s", n ? ", " : "", name);
}

static bool unknown(parser *p, const word *w)
{
    char variables[400] = "", reductions[500] = "";
    nearest best = {.word = w, .distance = w->length < 2 ? 1 : w->length < 5 ? 2 : 3};
    for (size_t k = 0; k < p->binding_count; k++) {
        consider(&best, p->bindings[k].name);
        list(variables, sizeof variables, p->bindings[k].name);
    }
    kf_each_name(consider, &best);
    consider(&best, "Grad");
    consider(&best, "Var");
    for (size_t k = 0; k < KB_COUNT(reduction_names); k++) {
        if (!reduction_names[k].name[0])
            continue;
        consider(&best, reduction_names[k].name);
        list(reductions, sizeof reductions, reduction_names[k].name);
    }
    if (best.name[0])
        return fail(p, KCL_ERROR_SYNTAX, w->at, "unknown name '%.*s'; did you mean '%s'?", SHOWN(w), best.name);
    if (ends_in_reduction(w))
        return fail(p, KCL_ERROR_SYNTAX, w->at, "unknown reduction '%.*s'; there is %s", SHOWN(w), reductions);
    if (variables[0])
        return fail(p, KCL_ERROR_SYNTAX, w->at, "unknown name '%.*s'; the variables are %s", SHOWN(w), variables);
    return fail(p, KCL_ERROR_SYNTAX, w->at, "unknown name '%.*s'; variables are written Var(index,dimension,role)",
                SHOWN(w));
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

/* A name and its arguments, while they are read. */
typedef struct call {
    word name;
    size_t open;                /* the parenthesis */
    int formulas, wholes, most; /* how many it takes */
    const char *needs;          /* in words; NULL: from the numbers above */
} call;

/* How many arguments the text has, whatever they are. */
static int count_arguments(const parser *p, size_t open)
{
    int depth = 0, count = 0;
    bool empty = true;
    for (size_t k = open + 1; k < p->length && depth >= 0; k++) {
        char c = p->text[k];
        depth += (c == '(') - (c == ')');
        bool separates = depth < 0 || (depth == 0 && c == ',');
        count += empty && !separates && !is_blank(c);
        empty = separates || (empty && is_blank(c));
    }
    return count;
}

static bool wrong_count(parser *p, const call *c)
{
    char text[80];
    const char *needs = c->needs;
    if (!needs) {
        int n = 0;
        if (c->formulas)
            n = snprintf(text, sizeof text, "%d formula%s%s", c->formulas, c->formulas > 1 ? "s" : "",
                         c->wholes ? " and " : "");
        if (c->wholes)
            snprintf(text + n, sizeof text - (size_t)n, "%d whole number%s", c->wholes, c->wholes > 1 ? "s" : "");
        needs = text;
    }
    return fail(p, KCL_ERROR_SYNTAX, c->name.at, "%.*s needs %s, %d given", SHOWN(&c->name), needs,
                count_arguments(p, c->open));
}

static bool open_call(parser *p, call *c)
{
    c->open = p->at;
    if (peek(p) != '(')
        return fail(p, KCL_ERROR_SYNTAX, c->name.at, "%.*s is an operator: its arguments follow in parentheses",
                    SHOWN(&c->name));
    c->open = p->at++;
    return true;
}

/* Goes to argument k. */
static bool next_argument(parser *p, const call *c, int k)
{
    if (peek(p) == ')')
        return wrong_count(p, c);
    if (k == 0)
        return true;
    if (peek(p) != ',')
        return expected(p, "an operator or ','");
    p->at++;
    return peek(p) != ')' || wrong_count(p, c);
}

static bool close_call(parser *p, const call *c)
{
    if (peek(p) == ')') {
        p->at++;
        return true;
    }
    if (ahead(p, 0) == ',' && count_arguments(p, c->open) > c->most)
        return wrong_count(p, c);
    return expected(p, c->wholes ? "')'" : "an operator or ')'");
}

/* ---- Variables --------------------------------------------------------------------------------------------------- */

/* Enters a variable among those of the text; an index has one dimension and role. */
static bool enter_var(parser *p, const kf_node *var, size_t at)
{
    static const char *const role_name[] = {"Vi", "Vj", "Pm"};
    size_t index = (size_t)var->param[0], before = p->var_count;
    if (var->param[2] == KF_ROLE_ACC)
        return true;
    if (index >= KF_MAX_VARS)
        return fail(p, KCL_ERROR_SHAPE, at, "index %zu of a variable is not between 0 and %d", index, KF_MAX_VARS - 1);
    if (index >= before) {
        if (!kb_reserve(kf_allocator(p->g), (void **)&p->vars, &p->var_capacity, index + 1, sizeof *p->vars))
            return out_of_memory(p);
        p->var_count = index + 1;
        for (size_t k = before; k < p->var_count; k++)
            p->vars[k] = NULL;
    }
    const kf_node *other = p->vars[index];
    if (other && other != var)
        return fail(p, KCL_ERROR_SHAPE, at,
                    "variable %d is both %s(%d,%d) and %s(%d,%d): it has one role and dimension", (int)index,
                    role_name[other->param[2]], (int)index, other->dim, role_name[var->param[2]], (int)index, var->dim);
    p->vars[index] = var;
    p->next_index = KB_MAX(p->next_index, (int64_t)index + 1);
    return true;
}

/* Reads "(3)", "(0,3)" after Vi, Vj, Pm, Vx or Vy and "(0,3,0)" after Var. */
static bool read_declaration(parser *p, const word *name, kf_alias *alias)
{
    bool general = is_word(name, "Var");
    call c = {.name = *name, .wholes = 3, .most = general ? 3 : 2};
    int64_t number[3] = {-1, 0, is_word(name, "Pm") ? KF_ROLE_P : name->text[1] == 'i' || name->text[1] == 'x' ? 0 : 1};
    size_t at[3] = {0};
    if (!general)
        c.needs = "a dimension, or an index and a dimension";
    if (!open_call(p, &c))
        return false;
    int given = count_arguments(p, c.open);
    if (general ? given != 3 : given < 1 || given > 2)
        return wrong_count(p, &c);
    for (int k = 0; k < given; k++) {
        int meaning = given == 1 ? 1 : k;
        static const char *const what[] = {"a variable's index (a whole number)",
                                           "a variable's dimension (a whole number)", "a variable's role (0, 1 or 2)"};
        if (k && peek(p) != ',')
            return expected(p, "','");
        p->at += k > 0;
        peek(p);
        at[meaning] = p->at;
        if (!read_whole(p, what[meaning], &number[meaning]))
            return false;
    }
    if (given > 1 && (number[0] < 0 || number[0] >= KF_MAX_VARS))
        return fail(p, KCL_ERROR_SHAPE, at[0], "index %lld of a variable is not between 0 and %d", (long long)number[0],
                    KF_MAX_VARS - 1);
    if (number[1] < 1 || number[1] > KF_MAX_DIM)
        return fail(p, KCL_ERROR_SHAPE, at[1], "dimension %lld of a variable is not between 1 and %d",
                    (long long)number[1], KF_MAX_DIM);
    if (number[2] < KF_ROLE_I || number[2] > KF_ROLE_P)
        return fail(p, KCL_ERROR_SHAPE, at[2], "role %lld of a variable is not 0 (i), 1 (j) or 2 (parameter)",
                    (long long)number[2]);
    alias->index = number[0];
    alias->dim = number[1];
    alias->role = (kf_role)number[2];
    return close_call(p, &c);
}

static bool read_var(parser *p, const word *name, operand *out)
{
    kf_alias alias;
    if (!read_declaration(p, name, &alias))
        return false;
    out->node = kf_var(p->g, alias.index, alias.dim, alias.role);
    return out->node ? enter_var(p, out->node, name->at) : refused(p, name->at);
}

/* ---- Expressions ------------------------------------------------------------------------------------------------- */

static bool expression(parser *p, operand *out);
static bool factor(parser *p, operand *out);

static bool need_formula(parser *p, const operand *f)
{
    return f->tag == NO_REDUCTION ||
           fail(p, KCL_ERROR_SYNTAX, f->at,
                "a formula is expected, not a reduction; reductions are not part of formulas, nor of each other");
}

static bool need_reduction(parser *p, const operand *f)
{
    return f->tag != NO_REDUCTION ||
           fail(p, KCL_ERROR_SYNTAX, f->at, "a reduction is expected, such as Sum_Reduction(F,0), not a formula");
}

/* `read` one level deeper: the only way in which parsing recurs. */
static bool nested(parser *p, size_t at, bool (*read)(parser *p, operand *out), operand *out)
{
    if (p->levels == MAX_LEVELS)
        return fail(p, KCL_ERROR_SYNTAX, at, "the formula is nested more than %d levels deep", MAX_LEVELS);
    p->levels++;
    bool ok = read(p, out);
    p->levels--;
    return ok;
}

static bool read_formula_argument(parser *p, const call *c, int k, operand *out)
{
    return next_argument(p, c, k) && nested(p, c->open, expression, out);
}

static kf_role role_of_tag(int tag)
{
    return tag == 0 ? KF_ROLE_I : tag == 1 ? KF_ROLE_J : KF_ROLE_P;
}

/*
 * The sum over j has a term for each j of the call, even where F is the same for all: an axis that F lacks, or of which
 * it has only the numbers, comes from the first name that has it.
 */
static const kf_node *on_declared_axes(parser *p, const kf_node *f, unsigned axes)
{
    for (size_t k = 0; f && k < p->binding_count; k++) {
        const kf_node *var = p->bindings[k].value;
        if (var->op == KF_VAR && var->axes & ((axes & ~f->axes) | (f->axes & ~f->sized)))
            f = kf_like(p->g, f, var);
    }
    return f;
}

static bool take_tag(parser *p, size_t at, int64_t tag, operand *out)
{
    if (tag < 0 || tag > 2)
        return fail(p, KCL_ERROR_SYNTAX, at,
                    "tag %lld of a reduction is not 0 (a row per i), 1 (a row per j) or 2 "
                    "(a single row)",
                    (long long)tag);
    out->tag = (int)tag;
    return true;
}

/* The weight and the tag, in this order, or in that of KeOps. */
static bool read_weight(parser *p, const call *c, operand *weight, operand *out)
{
    operand tag;
    if (!read_formula_argument(p, c, 1, weight) || !read_formula_argument(p, c, 2, &tag))
        return false;
    if (isnan(tag.number)) {
        operand other = *weight;
        *weight = tag;
        tag = other;
    }
    if (!(tag.number >= -1 && tag.number <= 3) || tag.number != floor(tag.number))
        return fail(p, KCL_ERROR_SYNTAX, tag.at, "the reduction's tag (0, 1 or 2) is expected");
    return need_formula(p, weight) && take_tag(p, tag.at, (int64_t)tag.number, out);
}

static bool read_reduction(parser *p, const word *name, operand *out)
{
    size_t kind = 0;
    while (kind < KB_COUNT(reduction_names) && !is_word(name, reduction_names[kind].name))
        kind++;
    if (kind == KB_COUNT(reduction_names))
        return unknown(p, name);
    kf_reduction first = reduction_names[kind].first, second = reduction_names[kind].second;
    if (first == KF_REDUCE_LOGSUMEXP && count_arguments(p, p->at) == 3)
        first = second = KF_REDUCE_LOGSUMEXPWEIGHT;
    const kf_reduction_info *info = kf_reduction_get(first);
    bool weighted = info->formulas == 2;
    call c = {.name = *name,
              .formulas = info->formulas,
              .wholes = info->params + 1,
              .most = info->formulas + info->params + 1};
    int64_t param = 0, tag = 0;
    operand f, weight;
    if (!open_call(p, &c) || !read_formula_argument(p, &c, 0, &f) || !need_formula(p, &f))
        return false;
    if (info->params &&
        !(next_argument(p, &c, 1) && read_whole(p, "the reduction's parameter (a whole number)", &param)))
        return false;
    if (weighted) {
        if (!read_weight(p, &c, &weight, out))
            return false;
    } else {
        if (!next_argument(p, &c, info->params + 1))
            return false;
        size_t at = p->at;
        if (!read_whole(p, "the reduction's tag (0, 1 or 2)", &tag) || !take_tag(p, at, tag, out))
            return false;
    }
    unsigned axes = kf_axes_of_tag(out->tag);
    const kf_node *terms = on_declared_axes(p, f.node, axes);
    if (weighted)
        terms = kf_weighted(p->g, first, terms, weight.node);
    out->node = kf_reduce(p->g, first, axes, param, terms);
    if (second != first)
        out->second = kf_reduce(p->g, second, axes, param, terms);
    return out->node && (second == first || out->second) ? close_call(p, &c) : refused(p, name->at);
}

/* The variable that stands for the cotangent of F where a text gives none. */
static bool new_cotangent(parser *p, const call *c, const operand *F, const kf_node *v, operand *e)
{
    static const kf_role other[] = {KF_ROLE_J, KF_ROLE_I, KF_ROLE_P}; /* KeOps: 1 - v.cat */
    kf_role role = F->tag == NO_REDUCTION ? other[v->param[2]] : role_of_tag(F->tag);
    if (p->next_index >= KF_MAX_VARS)
        return fail(p, KCL_ERROR_SHAPE, c->name.at, "there are more than %d variables", KF_MAX_VARS);
    *e = (operand){.node = kf_var(p->g, p->next_index, F->node->dim, role),
                   .at = c->name.at,
                   .tag = NO_REDUCTION,
                   .number = NAN};
    return e->node ? enter_var(p, e->node, c->name.at) : refused(p, c->name.at);
}

/* Whether rows that an index chooses in F depend on v. */
static bool chooses_from(parser *p, const kf_node *F, const kf_node *v, bool *chooses)
{
    kf_order all, below;
    *chooses = false;
    if (kf_order_init(&all, p->g, 1, &F, false, &p->g->error) < 0)
        return false;
    bool ok = true;
    for (size_t k = 0; ok && k < all.count; k++) {
        if (!kf_is_indexed(all.nodes[k]))
            continue;
        ok = kf_order_init(&below, p->g, 1, &all.nodes[k]->arg[0], false, &p->g->error) == KCL_OK;
        for (size_t n = 0; ok && n < below.count; n++)
            *chooses = *chooses || kf_is_among(below.nodes[n], 1, &v);
        if (ok)
            kf_order_finish(&below);
    }
    kf_order_finish(&all);
    return ok;
}

static bool read_grad(parser *p, const word *name, operand *out)
{
    call c = {.name = *name, .most = 3, .needs = "a formula or reduction F, a variable v, and perhaps a cotangent e"};
    operand F, v, e;
    if (!open_call(p, &c) || !read_formula_argument(p, &c, 0, &F) || !read_formula_argument(p, &c, 1, &v))
        return false;
    if (v.tag != NO_REDUCTION || v.node->op != KF_VAR || v.node->param[2] == KF_ROLE_ACC)
        return fail(p, KCL_ERROR_SYNTAX, v.at, "the second argument of Grad must be a variable");
    if (F.second)
        return fail(p, KCL_ERROR_SYNTAX, F.at, "Grad differentiates one result: values and indices are two");
    if (peek(p) == ')' ? !new_cotangent(p, &c, &F, v.node, &e)
                       : !read_formula_argument(p, &c, 2, &e) || !need_formula(p, &e))
        return false;
    bool chooses = false;
    if (F.tag == NO_REDUCTION && !chooses_from(p, F.node, v.node, &chooses))
        return refused(p, F.at);
    if (chooses)
        return fail(
            p, KCL_ERROR_DERIVATIVE, F.at,
            "a row of Gather's table is used by many rows: Grad is of a reduction of the formula, or of what has "
            "no such table");
    if (F.tag == NO_REDUCTION) {
        if (kf_vjp(p->g, F.node, e.node, 1, &v.node, &out->node) < 0)
            return refused(p, e.at);
        return close_call(p, &c);
    }
    unsigned reduced = kf_axes_of_tag(F.tag);
    if (e.node->axes & reduced)
        return fail(p, KCL_ERROR_SHAPE, e.at, "the cotangent depends on %s, over which the result is reduced",
                    e.node->axes & reduced & KF_AXIS_I ? "i" : "j");
    /* A result without i has the same row for every i, and the gradient is the sum over the rows' cotangents. */
    const kf_node *rows = kf_like(p->g, F.node, e.node);
    if (!rows || kf_gradient(p->g, rows, e.node, 1, &v.node, &out->node) < 0)
        return refused(p, e.at);
    out->tag = v.node->param[2] == KF_ROLE_I ? 0 : v.node->param[2] == KF_ROLE_J ? 1 : 2;
    return close_call(p, &c);
}

static bool read_operator(parser *p, const word *name, const kf_name *found, operand *out)
{
    int count = found->params; /* of whole numbers; of layouts the first tells how many follow */
    call c = {.name = *name, .formulas = found->arity, .wholes = KB_MAX(count, 1), .most = found->arity + count};
    const kf_node *args[KF_MAX_ARGS];
    int64_t params[KF_MAX_PARAMS] = {0};
    int k = 0;
    if (count >= 0)
        c.wholes = count;
    else
        c.needs = "a formula, a number of axes, an offset, and a size and a stride for each axis";
    if (!open_call(p, &c))
        return false;
    for (; k < found->arity; k++) {
        operand f;
        if (!read_formula_argument(p, &c, k, &f) || !need_formula(p, &f))
            return false;
        args[k] = f.node;
    }
    for (int n = 0; n < (count < 0 ? 1 : count); n++, k++) {
        if (!next_argument(p, &c, k) || !read_whole(p, "a whole number", &params[n]))
            return false;
        if (count < 0) {
            count = 2 + 2 * (int)KB_MAX(KB_MIN(params[0], KF_MAX_RANK), 0) + (found->params == KF_LAYOUT_AND_DIM);
            c.most = found->arity + count;
        }
    }
    if (!close_call(p, &c))
        return false;
    out->node = kf_make_name(p->g, found, args, params);
    return out->node || refused(p, name->at);
}

static bool read_name(parser *p, operand *out)
{
    word w = read_word(p);
    const kf_binding *binding = find_binding(p, &w);
    kf_name found;
    if (binding) {
        if (peek(p) == '(')
            return fail(p, KCL_ERROR_SYNTAX, w.at, "'%.*s' is a variable, not an operator: write * to multiply",
                        SHOWN(&w));
        out->node = binding->value;
        return true;
    }
    if (is_word(&w, "Grad"))
        return read_grad(p, &w, out);
    if (is_word(&w, "Var"))
        return read_var(p, &w, out);
    if (ends_in_reduction(&w))
        return read_reduction(p, &w, out);
    if (kf_find_name(w.text, w.length, &found) && !found.arity && !found.params) {
        out->node = kf_make_name(p->g, &found, NULL, NULL);
        return out->node || refused(p, w.at);
    }
    if (kf_find_name(w.text, w.length, &found))
        return read_operator(p, &w, &found, out);
    if (is_declaration(&w))
        return fail(p, KCL_ERROR_SYNTAX, w.at,
                    "'%.*s' declares an alias; in a formula a variable is its alias or Var(index,dimension,role)",
                    SHOWN(&w));
    return unknown(p, &w);
}

static bool read_parenthesis(parser *p, operand *out)
{
    size_t at = p->at++;
    if (!nested(p, at, expression, out))
        return false;
    if (peek(p) != ')')
        return expected(p, "an operator or ')'");
    p->at++;
    return true;
}

static bool read_literal(parser *p, bool *negative, operand *out)
{
    literal number;
    if (!read_number(p, &number))
        return false;
    bool take_sign = *negative && !(peek(p) == '*' && ahead(p, 1) == '*');
    *negative = *negative && !take_sign;
    out->number = take_sign ? -number.value : number.value;
    int64_t whole = (int64_t)(number.whole ? number.magnitude : 0);
    out->node = number.whole ? kf_rat(p->g, take_sign ? -whole : whole, 1) : kf_num(p->g, out->number);
    return out->node || refused(p, out->at);
}

static bool raise_to_power(parser *p, operand *base)
{
    operand exponent;
    size_t at = p->at;
    p->at += 2;
    if (!need_formula(p, base) || !nested(p, at, factor, &exponent) || !need_formula(p, &exponent))
        return false;
    base->node = isnan(exponent.number) ? kf_binary(p->g, KF_POWF, base->node, exponent.node)
                                        : kf_power(p->g, base->node, exponent.number);
    base->number = NAN;
    return base->node || refused(p, at);
}

static bool factor(parser *p, operand *out)
{
    size_t minus_count = 0, last_minus = 0;
    char c = peek(p);
    *out = (operand){.at = p->at, .tag = NO_REDUCTION, .number = NAN};
    for (; c == '-' || c == '+'; c = peek(p)) {
        minus_count += c == '-';
        last_minus = p->at++;
    }
    bool ok, negative = minus_count > 0;
    if (number_follows(p)) {
        ok = read_literal(p, &negative, out);
        minus_count -= minus_count > 0 && !negative;
    } else if (c == '(') {
        ok = read_parenthesis(p, out);
    } else if (is_letter(c)) {
        ok = read_name(p, out);
    } else {
        return expected(p, "a formula");
    }
    if (ok && peek(p) == '*' && ahead(p, 1) == '*')
        ok = raise_to_power(p, out);
    if (ok && minus_count)
        ok = need_formula(p, out);
    for (; ok && minus_count; minus_count--) {
        out->number = -out->number;
        out->node = kf_unary(p->g, KF_MINUS, out->node);
        ok = out->node || refused(p, last_minus);
    }
    return ok;
}

/* How tightly an operator binds; 0 for what is none. */
static int tightness(char sign)
{
    return sign == '|' ? 1 : sign == '+' || sign == '-' ? 2 : sign == '*' || sign == '/' ? 3 : 0;
}

/* right = left sign right */
static bool combine(parser *p, const operand *left, char sign, size_t at, operand *right)
{
    if (!need_formula(p, left) || !need_formula(p, right))
        return false;
    kf_op op = sign == '+' ? KF_ADD : sign == '-' ? KF_SUB : sign == '*' ? KF_MULT : KF_DIVIDE;
    right->node = sign == '|' ? kf_dot(p->g, left->node, right->node) : kf_binary(p->g, op, left->node, right->node);
    right->number = sign == '/' ? left->number / right->number : NAN; /* x**(1/2) */
    right->at = left->at;
    return right->node || refused(p, at);
}

static bool expression(parser *p, operand *out)
{
    struct {
        operand left;
        size_t at;
        char sign;
    } waiting[3]; /* each binds tighter than the one before */
    int count = 0;
    for (;;) {
        if (!factor(p, out))
            return false;
        char sign = peek(p);
        int level = sign == '/' && ahead(p, 1) == '/' ? 0 : tightness(sign);
        while (count && tightness(waiting[count - 1].sign) >= level) {
            count--;
            if (!combine(p, &waiting[count].left, waiting[count].sign, waiting[count].at, out))
                return false;
        }
        if (!level)
            return true;
        waiting[count].left = *out;
        waiting[count].at = p->at++;
        waiting[count++].sign = sign;
    }
}

/* ---- Whole texts ------------------------------------------------------------------------------------------------- */

/* New variables come after all that the text names, wherever it does. */
static void skip_named_indices(parser *p)
{
    size_t at = 0;
    while (at < p->length) {
        p->at = at;
        if (!is_letter(p->text[at])) {
            at++;
            continue;
        }
        word w = read_word(p);
        at = p->at;
        int64_t index = 0;
        if (!is_word(&w, "Var") || peek(p) != '(')
            continue;
        p->at++;
        for (peek(p); is_digit(ahead(p, 0)) && index < KF_MAX_VARS; p->at++)
            index = index * 10 + (ahead(p, 0) - '0');
        if (index < KF_MAX_VARS)
            p->next_index = KB_MAX(p->next_index, index + 1);
    }
    p->at = 0;
}

static bool enter_bindings(parser *p)
{
    p->table_size = 16;
    while (p->table_size < p->binding_count * 2)
        p->table_size *= 2;
    p->table = kb_calloc(kf_allocator(p->g), p->table_size, sizeof *p->table);
    const kf_node **values = kb_calloc(kf_allocator(p->g), p->binding_count, sizeof *values);
    kf_order order = {0};
    bool ok = p->table && values;
    if (!ok)
        out_of_memory(p);
    for (size_t k = 0; ok && k < p->binding_count; k++) {
        const kf_binding *b = &p->bindings[k];
        const word name = {b->name, strlen(b->name), 0};
        size_t slot = binding_slot(p, name.text, name.length);
        values[k] = b->value;
        if (is_reserved(&name))
            ok = fail(p, KCL_ERROR_ARGUMENT, NOWHERE, "the alias '%.*s' has the name of an operator", SHOWN(&name));
        else if (p->table[slot])
            ok = fail(p, KCL_ERROR_ARGUMENT, NOWHERE, "two aliases have the name '%.*s'", SHOWN(&name));
        p->table[slot] = (uint32_t)k + 1;
    }
    ok = ok && kf_order_init(&order, p->g, p->binding_count, values, false, p->err) == KCL_OK;
    for (size_t k = 0; ok && k < order.count; k++)
        if (order.nodes[k]->op == KF_VAR)
            ok = enter_var(p, order.nodes[k], NOWHERE);
    if (order.nodes || order.position)
        kf_order_finish(&order);
    kb_free(kf_allocator(p->g), values);
    return ok;
}

static void set_text(parser *p, const char *text)
{
    p->text = text;
    p->length = strlen(text);
    while (p->length && is_blank(text[p->length - 1]))
        p->length--;
}

static bool begin(parser *p, const char *text)
{
    kb_error_clear(p->err);
    set_text(p, text);
    if (p->g->error.status < 0) /* somebody else's, which must not be taken for ours */
        return fail(p, p->g->error.status, NOWHERE, "%s", p->g->error.text);
    if (p->length > MAX_TEXT)
        return fail(p, KCL_ERROR_SYNTAX, NOWHERE, "the text has %zu bytes, more than %d", p->length, MAX_TEXT);
    if (!p->length)
        return fail(p, KCL_ERROR_SYNTAX, NOWHERE, "the formula is empty");
    if (!enter_bindings(p))
        return false;
    skip_named_indices(p);
    return true;
}

static kcl_status end(parser *p, bool ok, int64_t *next_index)
{
    kb_free(kf_allocator(p->g), p->table);
    kb_free(kf_allocator(p->g), p->vars);
    kf_clear_error(p->g);
    if (!ok)
        return p->err->status;
    *next_index = p->next_index;
    return KCL_OK;
}

static bool end_of_text(parser *p)
{
    if (peek(p) == ')')
        return fail(p, KCL_ERROR_SYNTAX, p->at, "there is no '(' for this ')'");
    return !peek(p) || expected(p, "an operator or the end of the formula");
}

kcl_status kf_parse_formula(kf_graph *g, const char *text, size_t binding_count, const kf_binding *bindings,
                            int64_t *next_index, const kf_node **out, kb_error *err)
{
    parser p = {.g = g, .binding_count = binding_count, .bindings = bindings, .next_index = *next_index, .err = err};
    operand f;
    bool ok = begin(&p, text) && expression(&p, &f);
    if (ok && peek(&p) == ';')
        ok = fail(&p, KCL_ERROR_SYNTAX, p.at, "one formula is expected; ';' separates reductions");
    ok = ok && end_of_text(&p) && need_formula(&p, &f);
    if (ok)
        *out = f.node;
    return end(&p, ok, next_index);
}

kcl_status kf_parse_reductions(kf_graph *g, const char *text, size_t binding_count, const kf_binding *bindings,
                               int64_t *next_index, size_t *count, kf_parsed_reduction *out, kb_error *err)
{
    parser p = {.g = g, .binding_count = binding_count, .bindings = bindings, .next_index = *next_index, .err = err};
    size_t n = 0;
    bool ok = begin(&p, text), more = true;
    while (ok && more) {
        operand f;
        ok =
            n < KF_MAX_RESULTS || fail(&p, KCL_ERROR_SYNTAX, p.at, "there are more than %d reductions", KF_MAX_RESULTS);
        ok = ok && expression(&p, &f);
        more = ok && peek(&p) == ';';
        ok = ok && (more || end_of_text(&p)) && need_reduction(&p, &f);
        if (ok && f.second && n + 1 == KF_MAX_RESULTS)
            ok = fail(&p, KCL_ERROR_SYNTAX, f.at, "there are more than %d results", KF_MAX_RESULTS);
        if (ok)
            out[n++] = (kf_parsed_reduction){f.node, f.tag};
        if (ok && f.second)
            out[n++] = (kf_parsed_reduction){f.second, f.tag};
        p.at += more;
        more = more && peek(&p);
    }
    if (ok)
        *count = n;
    return end(&p, ok, next_index);
}

static bool read_alias(parser *p, kf_alias *alias)
{
    if (p->length > MAX_TEXT)
        return fail(p, KCL_ERROR_SYNTAX, NOWHERE, "the alias has %zu bytes, more than %d", p->length, MAX_TEXT);
    if (!is_letter(peek(p)))
        return expected(p, "an alias such as x = Vi(3)");
    word w = read_word(p);
    if (peek(p) == '=') {
        if (is_reserved(&w))
            return fail(p, KCL_ERROR_SYNTAX, w.at, "'%.*s' has a meaning in formulas; choose another name", SHOWN(&w));
        if (w.length >= sizeof alias->name)
            return fail(p, KCL_ERROR_SYNTAX, w.at, "the name of an alias has at most %zu letters",
                        sizeof alias->name - 1);
        memcpy(alias->name, w.text, w.length);
        p->at++;
        peek(p);
        w = read_word(p);
    }
    if (!is_declaration(&w))
        return fail(p, KCL_ERROR_SYNTAX, w.at,
                    "a declaration is expected: Vi(dimension), Vj(dimension), Pm(dimension), each also with an index "
                    "first, or Var(index,dimension,role)");
    return read_declaration(p, &w, alias) && (!peek(p) || expected(p, "the end of the alias"));
}

kcl_status kf_parse_alias(const char *text, kf_alias *alias, kb_error *err)
{
    parser p = {.err = err};
    *alias = (kf_alias){.index = -1};
    kb_error_clear(err);
    set_text(&p, text);
    read_alias(&p, alias);
    return err->status;
}
