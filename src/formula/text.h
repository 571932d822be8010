/* SPDX-License-Identifier: MIT */
/* formula/text.h: formulas as text, both ways. */
#ifndef KF_TEXT_H
#define KF_TEXT_H

#include "graph.h"

/* A name that stands for a formula inside a text: the variable of an alias, or an expression. */
typedef struct kf_binding {
    const char *name;
    const kf_node *value;
} kf_binding;

enum { KF_MAX_VARS = 1 << 16 }; /* variables in a text have smaller indices */

/*
 * Reads one formula of KeOps' language. The text may use the names of the table and of `bindings`; reductions are
 * refused. If Grad(F, v) has no cotangent, a new variable is made, whose index is at least *next_index and above all
 * indices of the text and the bindings. After success *next_index is above all indices, old and new.
 *
 * Errors, in err (the error of the graph is cleared): what is wrong, what was expected, then the text and a caret line.
 */
kcl_status kf_parse_formula(kf_graph *g, const char *text, size_t binding_count, const kf_binding *bindings,
                            int64_t *next_index, const kf_node **out, kb_error *err);

/* One of the reductions of a text: "Sum_Reduction(F, tag)". */
typedef struct kf_parsed_reduction {
    const kf_node
        *node; /* REDUCE node; Grad of one; or a formula: of Identity_Reduction, or where nothing was left to reduce */
    int tag;   /* 0: a row per i; 1: a row per j; 2: one row */
} kf_parsed_reduction;

/* The axes that a reduction with this tag reduces. */
static inline unsigned kf_axes_of_tag(int tag)
{
    return tag == 0 ? KF_AXIS_J : tag == 1 ? KF_AXIS_I : KF_AXIS_I | KF_AXIS_J;
}

enum { KF_MAX_RESULTS = 64 };

/* Reads "R1; R2; ...", at most KF_MAX_RESULTS results; otherwise like kf_parse_formula. */
kcl_status kf_parse_reductions(kf_graph *g, const char *text, size_t binding_count, const kf_binding *bindings,
                               int64_t *next_index, size_t *count, kf_parsed_reduction *out, kb_error *err);

/* What an alias declares: "x = Vi(3)", "x = Vi(0, 3)", "x = Var(0, 3, 0)", or "Var(0, 3, 0)" without a name. */
typedef struct kf_alias {
    char name[64]; /* "" for none */
    int64_t index; /* -1: the position in the list */
    int64_t dim;
    kf_role role;
} kf_alias;

kcl_status kf_parse_alias(const kcl_allocator *allocator, const char *text, kf_alias *alias, kb_error *err);

enum { KF_MAX_TEXT = 1 << 24 }; /* bytes of a printed formula */

/*
 * Writes a formula so that reading the text gives the same node. `name(user, var)` returns the name of a variable, or
 * NULL: then the variable is written as Var(index,dim,role). `name` may be NULL.
 *
 * A text has no names for shared parts: a part is written out wherever it stands, so the text may be longer than the
 * formula has nodes by any factor. The text takes `limit` bytes at most, or KF_MAX_TEXT if `limit` is 0. A longer text
 * ends at the limit, with "..." for its last bytes. Time and memory are proportional to the bytes written and the depth
 * of the formula.
 *
 * Returns whether the text is whole; kf_text_error tells why a text is not.
 *
 * Nodes that no text can say are written all the same: rows that derivatives choose as Gather_Reduction and
 * Scatter_Reduction, reductions over batch axes with a list of these axes, the result of another reduction
 * (KF_ROLE_ACC) as Var(index,dim,3).
 */
bool kf_print(kb_str *out, const kf_node *f, const char *(*name)(void *user, const kf_node *var), void *user,
              size_t limit);

/* The same for a result of kf_parse_reductions, with its tag. The result may be a formula that nothing reduces. */
bool kf_print_reduction(kb_str *out, const kf_parsed_reduction *r, const char *(*name)(void *user, const kf_node *var),
                        void *user, size_t limit);

/* The error of a text that is not whole: KCL_ERROR_NO_MEMORY, or KCL_ERROR_UNSUPPORTED for a text that is too long. */
kcl_status kf_text_error(const kb_str *text, kb_error *err);

#endif
