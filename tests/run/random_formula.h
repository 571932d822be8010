/* SPDX-License-Identifier: MIT */
/*
 * tests/run/random_formula.h: random formulas, as texts and, by their definition (definition.h), as numbers.
 *
 * A program is twenty formulas in one text, of the same variables: building kernels is what takes time. Parts of formulas
 * are kept where they are well-conditioned on the data.
 */
#ifndef RANDOM_FORMULA_H
#define RANDOM_FORMULA_H

#include "definition_vectors.h"
#include "support.h"

enum {
    RESULTS = 20,   /* formulas of a program; some have two results */
    POOL = 48,      /* parts of formulas that further ones are made of */
    MOST_VARS = 40, /* cotangents among them */
    MOST_TEXT = 1200,
    VARIABLES = 9, /* at the beginning of the pool; KNOTS is one that rises */
    KNOTS = 7,
    LONG_DIM = 48,
    AXIS_I = 1,
    AXIS_J = 2,
};

typedef struct variable {
    char name[16];
    int role, dim; /* roles as those of the library: 0 i, 1 j, 2 a parameter */
    int batches;   /* bit k: it has batch axis k */
    layout how;
    double *data; /* [batch][row][component] */
} variable;

/* A part of a formula, with its numbers for all batches and pairs that it depends on. */
typedef struct node {
    char *text;
    int dim, axes;
    bool batch;
    uint64_t operators, vectors; /* sets of those that it is made of */
    int worth;                   /* how much of it can be wrong: see worth_of */
    num *at;
} node;

typedef enum kind { IS_VALUE, IS_INDEX, IS_GRADIENT } kind;

typedef struct result {
    char *text;
    kind kind;
    int role, dim;
    num *want;       /* [batch][row][component] */
    int64_t *number; /* of indices: the right one, with `want` its value */
    num *terms;      /* of indices: [batch][row][term][component of the formula] */
    int64_t term_count;
    int term_dim;
    bool *sure;
} result;

typedef struct program {
    kcl_dtype dtype;
    const char *schedule;
    int tag;
    int64_t rows, cols;
    int batch[2]; /* sizes; 1 where there is none */
    bool has_batches;
    variable var[MOST_VARS];
    int var_count;
    int moved[DIRECTIONS]; /* the variables of gradients, and which of their numbers moves */
    int64_t moved_row[DIRECTIONS];
    int moved_component[DIRECTIONS];
    node *pool[POOL];
    int count, leaves;
    node *all[20000];
    int all_count;
    result result[2 * RESULTS];
    int result_count, formulas;
    long op[D_COUNT], vector[64]; /* results that hold them; by V_... */
    int sweeps_left;              /* of reductions and gathers within formulas: each takes kernels of its own */
} program;

int64_t batches_of(const program *p);

int64_t rows_of_role(const program *p, int role);

/* ---- Nodes --------------------------------------------------------------------------------------------------------- */

num *node_at(const program *p, const node *f, int64_t b, int64_t i, int64_t j);

__attribute__((format(printf, 5, 6))) node *node_make(program *p, int dim, int axes, bool batch, const char *format,
                                                      ...);

#define FOR_POINTS(p, f)                                                                                               \
    for (int64_t b = 0; b < ((f)->batch ? batches_of(p) : 1); b++)                                                     \
        for (int64_t i = 0; i < ((f)->axes & AXIS_I ? (p)->rows : 1); i++)                                             \
            for (int64_t j = 0; j < ((f)->axes & AXIS_J ? (p)->cols : 1); j++)

bool is_good(const program *p, const node *f);

node *constant(program *p, double value);

node *elementwise(program *p, definition_op op, node *x, node *y, node *z, int n, bool infix);

/* A node moved to low..high, by a factor and an offset that floats hold; NULL where that would take a strange one. */
node *fit(program *p, node *f, double low, double high);

/* ---- Growing ------------------------------------------------------------------------------------------------------- */

/* Whether anything of f moves in direction t. */
bool moves(const program *p, const node *f, int t);

/* What moves, and vectors of both axes, are worth more than numbers. */
int worth_of(const program *p, const node *f);

/* A node of the pool: the best of some, among which are variables and late ones. */
node *any(const program *p);

/* One of a dimension, or a multiple of `times`; NULL where there is none. */
node *any_of(const program *p, int dim, int times);

node *any_square(const program *p);

/* One whose dimension goes with that of x. */
node *any_like(const program *p, const node *x);

/* The least used of three. */
int rarest(const long *uses, int count);

/* The terms of a reduction of f that belong to a row of its result, as [term][component]. */
num *terms_of(const program *p, const node *f, int tag, int64_t b, int64_t row);

int64_t term_count_of(const program *p, int tag);

/* The last node after some steps. */
node *grow(program *p, int steps);

/* The result of an operation on vectors, as `text`, and one of operands that are drawn; NULL where there are none for it. */
node *apply_vector(program *p, vector_operation op, node *x, node *y, node *z, int n, int m, int dim, const char *text);
node *grow_vector(program *p);

#endif
