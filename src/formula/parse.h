/* SPDX-License-Identifier: MIT */
/*
 * formula/parse.h: what the files of the parser share.
 *
 *   parse.c              whole texts
 *   parse_expressions.c  expressions, and whole numbers that are computed
 *   parse_tokens.c       errors with a caret, characters, words, numbers
 *   parse_names.c        names, the arguments that follow them, variables
 *   parse_reductions.c   reductions
 *   parse_tensors.c      TensorDot and Kron
 *   parse_derivatives.c  Grad, Diff and other derivatives; linear operators
 *
 * Readers return false after setting *p->err. They begin at p->at, and leave p->at behind what they read.
 *
 * What is begun and not ended (a parenthesis, an operator that waits for its right operand, a name that waits for an
 * argument) is kept in memory, not on the thread's stack: a formula of any depth takes as much stack as a short one. So
 * a kf_reader reads a name with formulas among its arguments in steps.
 */
#ifndef KF_PARSE_H
#define KF_PARSE_H

#include "names.h"
#include "text.h"

#include <math.h>

enum {
    KF_NO_REDUCTION = -1, /* the tag of a formula */
};

#define KF_NOWHERE SIZE_MAX /* the place of a fault outside the text */

typedef struct kf_parser kf_parser;
typedef struct kf_call kf_call;

/* What an expression is: a formula, or a reduction with its tag. */
typedef struct kf_operand {
    const kf_node *node;
    size_t at; /* where the operand begins in the text */
    int tag;
    bool is_whole;           /* a whole number, or a sum, product and so on of whole numbers: */
    int64_t whole;           /* its value */
    double number;           /* the value of a number, or of a quotient of two; NaN for all else */
    const kf_node *second;   /* the indices of Min_ArgMin and the like; NULL for all else */
    const kf_node *compared; /* g of f < g without parentheses, where a further comparison begins; else NULL */
} kf_operand;

/* A piece of the text: points into it. */
typedef struct kf_word {
    const char *text;
    size_t length, at;
} kf_word;

/* For "%.*s" in errors. */
#define KF_SHOWN(w) (int)KB_MIN((w)->length, 40), (w)->text

typedef struct kf_literal {
    bool whole; /* a whole number whose magnitude is in `magnitude` */
    uint64_t magnitude;
    double value;
} kf_literal;

typedef enum kf_step { KF_FAILED, KF_WANTS_FORMULA, KF_DONE } kf_step;

/*
 * Reads the arguments of a name, up to the next formula among them. The parser calls a reader first with p->at behind
 * the name, then behind each formula that the reader asked for, until the reader is done and *out is the result. A
 * reader that returns KF_WANTS_FORMULA leaves p->at where the formula begins.
 */
typedef kf_step kf_reader(kf_parser *p, kf_call *c, kf_operand *out);

/* A name and its arguments, while they are read. */
struct kf_call {
    kf_word name;
    size_t open;                /* the parenthesis */
    int formulas, wholes, most; /* how many the name takes */
    const char *needs;          /* in words; NULL: as the numbers above say */
    kf_reader *read;
    int count;      /* of formulas that were read: */
    size_t first;   /* the place of the first formula, see kf_argument */
    int entry;      /* for names with a table of their own: the row */
    kf_name found;  /* of operators */
    char close;     /* of Diff: the bracket that ends the tuple being read; 0: no tuple */
    int tuples;     /* of Diff: how many were read */
    int directions; /* of Diff: the first formula of the second tuple */
};

struct kf_parser {
    kf_graph *g;
    const char *text;
    size_t length; /* without blanks at the end */
    size_t at;
    size_t binding_count;
    const kf_binding *bindings;
    uint32_t *table; /* of the bindings, by name: number + 1, 0 is free */
    size_t table_size;
    const kf_node **vars; /* by index; NULL: no variable yet */
    size_t var_count, var_capacity;
    int64_t next_index;
    int levels;
    struct kf_pending *pending; /* what is begun and not ended, the last begun behind */
    size_t pending_count, pending_capacity;
    kf_operand *arguments; /* of the calls that are begun */
    size_t argument_count, argument_capacity;
    const char *wanted; /* while a whole number is read: its name in errors; else NULL */
    bool quiet;         /* faults are not described */
    const kcl_allocator *allocator;
    kb_error *err;
};

/* Formula k among the arguments. Valid until the next formula is read. */
static inline kf_operand *kf_argument(kf_parser *p, const kf_call *c, int k)
{
    return &p->arguments[c->first + (size_t)k];
}

/* ---- parse_tokens.c ---------------------------------------------------------------------------------------------- */

KB_PRINTF(4, 5) bool kf_fault(kf_parser *p, kcl_status status, size_t at, const char *format, ...);
bool kf_fault_memory(kf_parser *p);
bool kf_fault_graph(kf_parser *p, size_t at);          /* reports what a constructor of the graph has refused */
bool kf_fault_name(kf_parser *p, const kf_word *name); /* the same, with the name that the text has */
bool kf_expected(kf_parser *p, const char *what);      /* says that `what` should stand here */

static inline bool kf_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool kf_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool kf_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static inline char kf_ahead(const kf_parser *p, size_t steps)
{
    return p->at + steps < p->length ? p->text[p->at + steps] : 0;
}

/* What takes the place of a word of Python that is no name here; NULL for other words. */
const char *kf_python_hint(const kf_word *w);

char kf_peek(kf_parser *p); /* the next character that is no blank; 0 at the end */
kf_word kf_read_word(kf_parser *p);
bool kf_is_word(const kf_word *w, const char *text);
bool kf_ends_in_reduction(const kf_word *w);
bool kf_number_follows(const kf_parser *p);
bool kf_read_number(kf_parser *p, kf_literal *number);

/* ---- parse_names.c ----------------------------------------------------------------------------------------------- */

/* Names with a grammar of their own, and the readers of their arguments. */
typedef struct kf_special {
    const char *name;
    kf_reader *read;
} kf_special;

/* A name: KF_WANTS_FORMULA, with *c, if arguments follow. */
kf_step kf_read_name(kf_parser *p, kf_call *c, kf_operand *out);
bool kf_unknown_name(kf_parser *p, const kf_word *w);
bool kf_is_reserved(const kf_word *w); /* a word with a meaning of its own, which no alias may have */
bool kf_is_declaration(const kf_word *w);
/* The slot of the table that holds the name, or would hold it. */
size_t kf_binding_slot(const kf_parser *p, const char *name, size_t length);

int kf_count_arguments(const kf_parser *p, size_t open); /* arguments that the text has, whatever they are */
char kf_tuple_close(kf_parser *p); /* the bracket that ends the tuple or list that begins here; 0: no list begins */
bool kf_wrong_count(kf_parser *p, const kf_call *c);
bool kf_open_call(kf_parser *p, kf_call *c);
bool kf_next_argument(kf_parser *p, const kf_call *c, int k);   /* goes to argument k */
kf_step kf_want_formula(kf_parser *p, const kf_call *c, int k); /* goes to argument k, a formula */
bool kf_has_more(kf_parser *p);                                 /* whether a comma and an argument follow */
bool kf_skip_last_comma(kf_parser *p, char close);              /* before a bracket, as Python allows */
bool kf_close_call(kf_parser *p, const kf_call *c);

bool kf_check_divisor(kf_parser *p, const kf_operand *divisor); /* that the divisor is no constant 0 */

/* Enters a variable among the variables of the text; an index has one dimension and role. */
bool kf_enter_var(kf_parser *p, const kf_node *var, size_t at);
/* Reads "(3)", "(0,3)" after Vi, Vj, Pm, Vx or Vy and "(0,3,0)" after Var. */
bool kf_read_declaration(kf_parser *p, const kf_word *name, kf_alias *alias);

/* ---- parse_reductions.c, parse_tensors.c, parse_derivatives.c ---------------------------------------------------- */

kf_reader kf_read_reduction;

/*
 * F with the axes that a sum over `axes` needs. A sum over j has a term for each j of the call, even if F is the same
 * for all. So an axis of `axes` that F lacks, or of which F has only the numbers, comes from the first name that has
 * the axis. A weight (NULL: none) has the axes of F, and F the axes of the weight. Returns NULL if f is NULL, or after
 * the error of the graph.
 */
const kf_node *kf_on_declared_axes(kf_parser *p, const kf_node *f, const kf_node *weight, unsigned axes);

void kf_each_reduction(void (*visit)(void *user, const char *name), void *user);

static inline kf_role kf_role_of_tag(int tag)
{
    return tag == 0 ? KF_ROLE_I : tag == 1 ? KF_ROLE_J : KF_ROLE_P;
}

kf_reader kf_read_tensordot, kf_read_kron, kf_read_grad, kf_read_diff, kf_read_grad_matrix, kf_read_divergence,
    kf_read_laplacian, kf_read_trace_operator, kf_read_adjoint_operator, kf_read_sum_lin_operator, kf_read_factorize;

/* ---- parse_expressions.c ----------------------------------------------------------------------------------------- */

bool kf_read_expression(kf_parser *p, kf_operand *out);
/*
 * A whole number, or what Python computes from whole numbers by + - *
 *
 * % ** and parentheses, in numbers of 64 bits. `what` names the number in errors.
 */
bool kf_read_whole(kf_parser *p, const char *what, int64_t *value);
/* A reduction may stand in a formula: f becomes a formula of its result. False for two results. */
bool kf_need_formula(kf_parser *p, kf_operand *f);

#endif
