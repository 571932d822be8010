/* SPDX-License-Identifier: MIT */
/*
 * tests/run/batches.h: what the tests of batch axes share: arrays of random shapes, and sums in double over all batches.
 * Their argument "host" is for the interpreter alone.
 */
#ifndef BATCHES_H
#define BATCHES_H

#include "make.h"
#include "run.h"
#include "support.h"

enum { AXES = 6, MOST = 8192, MOST_CHOSEN = 4 };

extern kcl_context *device;
extern bool by_interpreter;
extern kcl_scope *s;

/* ---- Arrays ------------------------------------------------------------------------------------------------------ */

/* Sizes of batch axes, from the last one on; axes that are not there have size 1. */
typedef struct sizes {
    int64_t of[AXES];
} sizes;

extern const sizes no_batches;

sizes join(sizes a, sizes b);

int64_t count_of(const sizes *b);

bool next_place(const sizes *b, int64_t place[AXES]);

typedef struct operand {
    char role; /* 'i', 'j', 'p' */
    int dim;
    int64_t rows;
    sizes batch;
    kcl_array array; /* (batch..., rows, dim), of a parameter (batch..., dim) */
    void *memory;
    double *exact; /* dense, what is in memory */
} operand;

/* Number `k` of row `row` at a place of the batches that the operand is broadcast to. */
double *exact_at(const operand *o, const int64_t place[AXES], int64_t row, int k);

char *memory_at(const operand *o, const int64_t place[AXES], int64_t row, int k);

double memory_get(const operand *o, const int64_t place[AXES], int64_t row, int k);

enum { SHUFFLED = 1, APART = 2, BACKWARDS = 4 };

/*
 * Memory for an array with `leading` batch axes at least. SHUFFLED: axes in any order in memory; APART: gaps between
 * components; BACKWARDS: the last batch axis runs backwards.
 */
operand make(char role, int dim, int64_t rows, const sizes *batch, kcl_dtype dtype, int leading, int how);

void fill(operand *o, double low, double high);

void drop(operand *o);

/* The variable that reads the operand's own memory. */
kcl_expr *in_place(const operand *o);

/* The variable, by the function that states the role or by the one that reads it off the shape. */
kcl_expr *variable(const operand *o);

/* ---- The formula ------------------------------------------------------------------------------------------------- */

/* F = exp(-g |x_i - y_j|^2) b_j, and G = b_j0 / 3 - g |x_i - y_j|^2. */
enum { X, Y, B, G, U, OPERANDS };

typedef struct problem {
    kcl_dtype dtype;
    int64_t M, N;
    operand of[OPERANDS];
    sizes batch; /* of F: that of x, y, b and g */
    char text[400];
} problem;

double squares(const problem *p, const int64_t place[AXES], int64_t i, int64_t j);

double f_of(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k);

double g_of(const problem *p, const int64_t place[AXES], int64_t i, int64_t j);

sizes random_sizes(int axes, bool zeros);

void problem_make(problem *p, kcl_dtype dtype, bool zeros);

void problem_drop(problem *p);

double tolerance(const problem *p);

operand result_for(const problem *p, char role, int dim, sizes batch, kcl_dtype dtype);

void eval(const problem *p, int count, kcl_expr *const *exprs, const operand *outs);

/* ---- What is chosen, over batch axes too ------------------------------------------------------------------------- */

/* Reductions that choose, by what they give: values or indices, of the smallest or the largest, K of them or one. */
enum { INDEX = 1, LARGEST = 2, LIST = 4, CHOICES = 8 };

/* The terms of a result, and which of them it chooses. `over`: 0 for formulas of rows i. `axes`: batch axes, as bits. */
typedef struct choice {
    int what, k, over;
    unsigned axes;
    double (*term)(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int component);
} choice;

kcl_expr *over_axes(const choice *c, kcl_expr *e, int what, bool rows_first);

char rows_of_choice(const choice *c);

/*
 * The values chosen for component k of a row, and their numbers among the terms flattened row-major, by looking at all:
 * the first of equal ones. Infinite and -1 where there are too few; NaN does not count.
 */
void choose(const problem *p, const choice *c, const int64_t place[AXES], int64_t row, int k, double *values,
            int64_t *numbers);

/* The batch axes of x and g, which formulas of rows have. */
void keep_rows_only(problem *p);

int last_axis_of(const sizes *b);

sizes without(sizes b, unsigned axes);

/* For every component of w: log of the sum of exp(g) w, and its mean with weights exp(g). */
void check_weighted(const problem *p, const operand *log_sum, const operand *mean, int over, unsigned axes);

/* ---- The layer below expressions, where a schedule can be asked for ----------------------------------------------- */

typedef struct below {
    const problem *p;
    kf_graph g;
    kb_error err;
    kg_slot slots[4];
    kx_view views[4];
    const kf_node *v[4];
    sizes left;
    kg_batch batch; /* the same */
    unsigned axes;  /* that are reduced, as bits from the last one on */
} below;

void below_make(below *l, const problem *p);

/* g |x - y|^2 */
const kf_node *below_squares(below *l);

/* Computes reductions over `over` and the axes. */
void below_run(below *l, const char *schedule, int over, int count, const kf_node *const *roots, const operand *outs);

extern const char *const schedules[];

kcl_expr *over_all_batches(kcl_expr *e);

/* Fails unless `got` is the gradient of `loss` in operand o, by central differences of the loss in double. */
void check_gradient(problem *p, operand *o, const operand *got, double (*loss)(const problem *p));

operand like_operand(const problem *p, int k);

/* The gradients of L, each of its variable's shape and, by differences, that of `loss`. */
void check_gradients(problem *p, kcl_expr *L, kcl_expr *const *v, double (*loss)(const problem *p), kcl_expr **grads);

/* ---- Gradients of what is chosen --------------------------------------------------------------------------------- */

/*
 * Second derivatives in both modes: the gradient's derivative in the direction, and the gradient of its product with
 * the direction, against differences of gradients.
 */
void check_second_derivatives(problem *p, kcl_expr *const *v, kcl_expr *const *grads);

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* Opens what the tests run on; true where that is the interpreter. */
bool begin_batches(int argc, char **argv);

/* Runs the tests and returns the exit status. */
int run_batches(const char *name, const test_entry *tests, size_t count);

#endif
