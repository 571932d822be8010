/* SPDX-License-Identifier: MIT */
/* formula/parse_names.c: names in formula strings, the arguments that follow them, variables. */
#include "make.h"
#include "parse.h"

#include <stdio.h>
#include <string.h>

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static kf_reader read_var;

static const kf_special specials[] = {
    {"Var", read_var},
    {"Grad", kf_read_grad},
    {"Grad_WithSavedForward", kf_read_grad},
    {"Diff", kf_read_diff},
    {"Diff_WithSavedForward", kf_read_diff},
    {"GradMatrix", kf_read_grad_matrix},
    {"Divergence", kf_read_divergence},
    {"Laplacian", kf_read_laplacian},
    {"TraceOperator", kf_read_trace_operator},
    {"AdjointOperator", kf_read_adjoint_operator},
    {"SumLinOperator", kf_read_sum_lin_operator},
    {"Factorize", kf_read_factorize},
    {"AutoFactorize", kf_read_factorize},
    {"TensorDot", kf_read_tensordot},
    {"Kron", kf_read_kron},
};

static const kf_special *find_special(const kf_word *w)
{
    for (size_t k = 0; k < KB_COUNT(specials); k++)
        if (kf_is_word(w, specials[k].name))
            return &specials[k];
    return NULL;
}

static const char *const declarations[] = {"Vi", "Vj", "Pm", "Vx", "Vy", "Var"};

bool kf_is_declaration(const kf_word *w)
{
    for (size_t k = 0; k < KB_COUNT(declarations); k++)
        if (kf_is_word(w, declarations[k]))
            return true;
    return false;
}

bool kf_is_reserved(const kf_word *w)
{
    kf_name name;
    return find_special(w) || kf_is_declaration(w) || kf_ends_in_reduction(w) ||
           kf_find_name(w->text, w->length, &name);
}

size_t kf_binding_slot(const kf_parser *p, const char *name, size_t length)
{
    size_t slot = kb_hash(name, length, 0) & (p->table_size - 1);
    for (; p->table[slot]; slot = (slot + 1) & (p->table_size - 1)) {
        const char *other = p->bindings[p->table[slot] - 1].name;
        if (strncmp(other, name, length) == 0 && !other[length])
            break;
    }
    return slot;
}

static const kf_binding *find_binding(const kf_parser *p, const kf_word *w)
{
    size_t slot = kf_binding_slot(p, w->text, w->length);
    return p->table[slot] ? &p->bindings[p->table[slot] - 1] : NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

enum { LONGEST_WORD = 40 }; /* a longer word is not compared with names */

/*
 * The number of letters to insert, delete, replace or exchange with a neighbour to turn one word into the other, any
 * case.
 */
static int distance(const kf_word *a, const char *b)
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
    const kf_word *word;
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

typedef struct names {
    char text[500];
    nearest *best;
} names;

/* A list that is full stays as it is. */
static void list(void *user, const char *name)
{
    names *l = user;
    size_t n = strlen(l->text);
    consider(l->best, name);
    if (n + strlen(name) + 3 <= sizeof l->text)
        snprintf(l->text + n, sizeof l->text - n, "%s%s", n ? ", " : "", name);
}

bool kf_unknown_name(kf_parser *p, const kf_word *w)
{
    if (kf_python_hint(w))
        return kf_fault(p, KCL_ERROR_SYNTAX, w->at, "there is no operator '%.*s': %s", KF_SHOWN(w), kf_python_hint(w));
    nearest best = {.word = w, .distance = w->length < 2 ? 1 : w->length < 5 ? 2 : 3};
    names variables = {.best = &best}, reductions = {.best = &best};
    for (size_t k = 0; k < p->binding_count; k++)
        list(&variables, p->bindings[k].name);
    kf_each_name(consider, &best);
    for (size_t k = 0; k < KB_COUNT(specials); k++)
        consider(&best, specials[k].name);
    kf_each_reduction(list, &reductions);
    if (best.name[0])
        return kf_fault(p, KCL_ERROR_SYNTAX, w->at, "unknown name '%.*s'; did you mean '%s'?", KF_SHOWN(w), best.name);
    if (kf_ends_in_reduction(w))
        return kf_fault(p, KCL_ERROR_SYNTAX, w->at, "unknown reduction '%.*s'; there is %s", KF_SHOWN(w),
                        reductions.text);
    if (variables.text[0])
        return kf_fault(p, KCL_ERROR_SYNTAX, w->at, "unknown name '%.*s'; the variables are %s", KF_SHOWN(w),
                        variables.text);
    return kf_fault(p, KCL_ERROR_SYNTAX, w->at, "unknown name '%.*s'; variables are written Var(index,dimension,role)",
                    KF_SHOWN(w));
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

/* How many arguments the text has, whatever they are. */
int kf_count_arguments(const kf_parser *p, size_t open)
{
    int depth = 0, count = 0;
    bool empty = true;
    for (size_t k = open + 1; k < p->length && depth >= 0; k++) {
        char c = p->text[k];
        depth += (c == '(' || c == '[') - (c == ')' || c == ']');
        bool separates = depth < 0 || (depth == 0 && c == ',');
        count += empty && !separates && !kf_is_blank(c);
        empty = separates || (empty && kf_is_blank(c));
    }
    return count;
}

char kf_tuple_close(kf_parser *p)
{
    int depth = 0;
    const char open = kf_peek(p);
    if (open == '[')
        return ']';
    for (size_t k = p->at; open == '(' && k < p->length; k++) {
        const char c = p->text[k];
        depth += (c == '(' || c == '[') - (c == ')' || c == ']');
        if ((depth == 1 && c == ',') || (depth == 0 && !kf_count_arguments(p, p->at)))
            return ')';
        if (depth == 0)
            break;
    }
    return 0;
}

bool kf_wrong_count(kf_parser *p, const kf_call *c)
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
    return kf_fault(p, KCL_ERROR_SYNTAX, c->name.at, "%.*s needs %s, %d given", KF_SHOWN(&c->name), needs,
                    kf_count_arguments(p, c->open));
}

bool kf_open_call(kf_parser *p, kf_call *c)
{
    c->open = p->at;
    if (kf_peek(p) != '(')
        return kf_fault(p, KCL_ERROR_SYNTAX, c->name.at, "%.*s is an operator: its arguments follow in parentheses",
                        KF_SHOWN(&c->name));
    c->open = p->at++;
    return true;
}

bool kf_next_argument(kf_parser *p, const kf_call *c, int k)
{
    if (kf_peek(p) == ')')
        return kf_wrong_count(p, c);
    if (k == 0)
        return true;
    if (kf_peek(p) != ',')
        return kf_expected(p, "an operator or ','");
    p->at++;
    return kf_peek(p) != ')' || kf_wrong_count(p, c);
}

kf_step kf_want_formula(kf_parser *p, const kf_call *c, int k)
{
    return kf_next_argument(p, c, k) ? KF_WANTS_FORMULA : KF_FAILED;
}

/* The first character behind the comma that follows, and its place; 0 where no comma follows. */
static char behind_comma(kf_parser *p, size_t *at)
{
    if (kf_peek(p) != ',')
        return 0;
    const size_t comma = p->at++;
    const char c = kf_peek(p);
    *at = p->at;
    p->at = comma;
    return c;
}

bool kf_has_more(kf_parser *p)
{
    size_t at = p->at;
    const char c = behind_comma(p, &at);
    return c && c != ')';
}

bool kf_skip_last_comma(kf_parser *p, char close)
{
    size_t at = p->at;
    if (behind_comma(p, &at) != close)
        return false;
    p->at = at;
    return true;
}

bool kf_close_call(kf_parser *p, const kf_call *c)
{
    kf_skip_last_comma(p, ')');
    if (kf_peek(p) == ')') {
        p->at++;
        return true;
    }
    if (kf_ahead(p, 0) == ',' && kf_count_arguments(p, c->open) > c->most)
        return kf_wrong_count(p, c);
    return kf_expected(p, c->wholes ? "')'" : "an operator or ')'");
}

/* ---- Variables --------------------------------------------------------------------------------------------------- */

bool kf_enter_var(kf_parser *p, const kf_node *var, size_t at)
{
    static const char *const role_name[] = {"Vi", "Vj", "Pm"};
    size_t index = (size_t)var->param[0], before = p->var_count;
    if (var->param[2] == KF_ROLE_ACC)
        return true;
    if (index >= KF_MAX_VARS)
        return kf_fault(p, KCL_ERROR_SHAPE, at, "index %zu of a variable is not between 0 and %d", index,
                        KF_MAX_VARS - 1);
    if (index >= before) {
        if (!kb_reserve(kf_allocator(p->g), (void **)&p->vars, &p->var_capacity, index + 1, sizeof *p->vars))
            return kf_fault_memory(p);
        p->var_count = index + 1;
        for (size_t k = before; k < p->var_count; k++)
            p->vars[k] = NULL;
    }
    /* A binding may have one variable in several roles; a text that writes two roles has a mistake. */
    const kf_node *other = p->vars[index];
    if (other && other != var && (at != KF_NOWHERE || other->dim != var->dim))
        return kf_fault(p, KCL_ERROR_SHAPE, at,
                        "variable %d is both %s(%d,%d) and %s(%d,%d): it has one role and dimension", (int)index,
                        role_name[other->param[2]], (int)index, other->dim, role_name[var->param[2]], (int)index,
                        var->dim);
    p->vars[index] = other ? other : var;
    p->next_index = KB_MAX(p->next_index, (int64_t)index + 1);
    return true;
}

bool kf_read_declaration(kf_parser *p, const kf_word *name, kf_alias *alias)
{
    bool general = kf_is_word(name, "Var");
    kf_call c = {.name = *name, .wholes = 3, .most = general ? 3 : 2};
    int64_t number[3] = {-1, 0,
                         kf_is_word(name, "Pm")                         ? KF_ROLE_P
                         : name->text[1] == 'i' || name->text[1] == 'x' ? 0
                                                                        : 1};
    size_t at[3] = {0};
    if (!general)
        c.needs = "a dimension, or an index and a dimension";
    if (!kf_open_call(p, &c))
        return false;
    int given = kf_count_arguments(p, c.open);
    if (general ? given != 3 : given < 1 || given > 2)
        return kf_wrong_count(p, &c);
    for (int k = 0; k < given; k++) {
        int meaning = given == 1 ? 1 : k;
        static const char *const what[] = {"a variable's index (a whole number)",
                                           "a variable's dimension (a whole number)", "a variable's role (0, 1 or 2)"};
        if (k && kf_peek(p) != ',')
            return kf_expected(p, "','");
        p->at += k > 0;
        kf_peek(p);
        at[meaning] = p->at;
        if (!kf_read_whole(p, what[meaning], &number[meaning]))
            return false;
    }
    if (given > 1 && (number[0] < 0 || number[0] >= KF_MAX_VARS))
        return kf_fault(p, KCL_ERROR_SHAPE, at[0], "index %lld of a variable is not between 0 and %d",
                        (long long)number[0], KF_MAX_VARS - 1);
    if (number[1] < 1 || number[1] > KF_MAX_DIM)
        return kf_fault(p, KCL_ERROR_SHAPE, at[1], "dimension %lld of a variable is not between 1 and %d",
                        (long long)number[1], KF_MAX_DIM);
    if (number[2] < KF_ROLE_I || number[2] > KF_ROLE_P)
        return kf_fault(p, KCL_ERROR_SHAPE, at[2], "role %lld of a variable is not 0 (i), 1 (j) or 2 (parameter)",
                        (long long)number[2]);
    alias->index = number[0];
    alias->dim = number[1];
    alias->role = (kf_role)number[2];
    return kf_close_call(p, &c);
}

static kf_step read_var(kf_parser *p, kf_call *c, kf_operand *out)
{
    kf_alias alias;
    if (!kf_read_declaration(p, &c->name, &alias))
        return KF_FAILED;
    out->node = kf_var(p->g, alias.index, alias.dim, alias.role);
    return (out->node ? kf_enter_var(p, out->node, c->name.at) : kf_fault_name(p, &c->name)) ? KF_DONE : KF_FAILED;
}

/* ---- Operators --------------------------------------------------------------------------------------------------- */

bool kf_check_divisor(kf_parser *p, const kf_operand *divisor)
{
    return !kf_is_zero(divisor->node) || kf_fault(p, KCL_ERROR_SYNTAX, divisor->at, "this divides by 0");
}

/* The number of the operand by which an operator divides; -1: the operator does not divide. */
static int divisor_of(const kf_word *name)
{
    if (kf_is_word(name, "Inv"))
        return 0;
    return kf_is_word(name, "Divide") || kf_is_word(name, "Mod") || kf_is_word(name, "ComplexDivide") ? 1 : -1;
}

/* The whole numbers behind the formulas of an operator. The first whole number of a layout tells how many follow. */
static bool read_params(kf_parser *p, kf_call *c, int64_t *params)
{
    int count = c->found.params;
    for (int n = 0; n < (count < 0 ? 1 : count); n++) {
        if (!kf_next_argument(p, c, c->count + n) || !kf_read_whole(p, "a whole number", &params[n]))
            return false;
        if (count < 0) {
            count = 2 + 2 * (int)KB_MAX(KB_MIN(params[0], KF_MAX_RANK), 0) + (c->found.params == KF_LAYOUT_AND_DIM);
            c->most = c->found.arity + count;
        }
    }
    return true;
}

static kf_step read_operator(kf_parser *p, kf_call *c, kf_operand *out)
{
    const int k = c->count - 1; /* the formula that was just read */
    if (k < 0) {
        const int params = c->found.params;
        c->formulas = c->found.arity;
        c->wholes = params < 0 ? 1 : params;
        c->most = c->formulas + params;
        if (params < 0)
            c->needs = "a formula, a number of axes, an offset, and a size and a stride for each axis";
        if (!kf_open_call(p, c))
            return KF_FAILED;
    } else if (!kf_need_formula(p, kf_argument(p, c, k)) ||
               (k == divisor_of(&c->name) && !kf_check_divisor(p, kf_argument(p, c, k)))) {
        return KF_FAILED;
    }
    if (c->count < c->formulas)
        return kf_want_formula(p, c, c->count);
    const kf_node *args[KF_MAX_ARGS];
    int64_t params[KF_MAX_PARAMS] = {0};
    if (!read_params(p, c, params) || !kf_close_call(p, c))
        return KF_FAILED;
    const bool needs_lengths = kf_is_word(&c->name, "Gather"); /* of its table, and of the rows that the table gives */
    for (int n = 0; n < c->count; n++) {
        args[n] = kf_argument(p, c, n)->node;
        if (needs_lengths && !(args[n] = kf_on_declared_axes(p, args[n], NULL, 0)))
            return kf_fault_name(p, &c->name) ? KF_DONE : KF_FAILED;
    }
    out->node = kf_make_name(p->g, &c->found, args, params);
    return out->node || kf_fault_name(p, &c->name) ? KF_DONE : KF_FAILED;
}

kf_step kf_read_name(kf_parser *p, kf_call *c, kf_operand *out)
{
    const kf_word w = kf_read_word(p);
    const kf_binding *binding = find_binding(p, &w);
    bool ok = true;
    if (binding) {
        if (kf_peek(p) == '(')
            return kf_fault(p, KCL_ERROR_SYNTAX, w.at, "'%.*s' is a variable, not an operator: write * to multiply",
                            KF_SHOWN(&w)),
                   KF_FAILED;
        out->node = binding->value;
        return KF_DONE;
    }
    const kf_special *special = find_special(&w);
    *c = (kf_call){.name = w};
    if (special) {
        c->read = special->read;
    } else if (kf_ends_in_reduction(&w)) {
        c->read = kf_read_reduction;
    } else if (kf_find_name(w.text, w.length, &c->found) && (c->found.arity || c->found.params)) {
        c->read = read_operator;
    } else if (kf_find_name(w.text, w.length, &c->found)) {
        out->node = kf_make_name(p->g, &c->found, NULL, NULL);
        ok = out->node || kf_fault_name(p, &w);
    } else if (kf_is_declaration(&w)) {
        ok = kf_fault(p, KCL_ERROR_SYNTAX, w.at,
                      "'%.*s' declares an alias; in a formula a variable is its alias or Var(index,dimension,role)",
                      KF_SHOWN(&w));
    } else {
        ok = kf_unknown_name(p, &w);
    }
    return !ok ? KF_FAILED : c->read ? c->read(p, c, out) : KF_DONE;
}
