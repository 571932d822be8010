/* SPDX-License-Identifier: MIT */
/*
 * reduce/reduction.h: the reductions as a table, and sweeps: what one pass over the matrix computes.
 *
 * A reduction has a state a row. It takes its terms in blocks of columns, because a step per pair could express neither
 * a stale maximum nor a deferred index nor a threshold.
 */
#ifndef KR_REDUCTION_H
#define KR_REDUCTION_H

#include "interp.h"

#include <stdatomic.h>

/*
 * A block of terms, in double: term c (0..count-1), component k is value[k][c * stride[k]]; its number among the terms
 * of the row is first + c. Where both axes are reduced, the number of pair (i, j) is i times the columns + j, and
 * blocks do not come in that order. Batches that are reduced come one after another, each with the numbers behind the
 * numbers of the last.
 */
typedef struct kr_block {
    const double *const *value;
    const int *stride;
    int64_t first;
    int count;
} kr_block;

/* ---- What a kernel keeps ----------------------------------------------------------------------------------------- */

typedef enum kr_element { KR_LANES, KR_ILANES, KR_BOOL } kr_element;

/* What the length of an array is multiplied by, and which kernels have it. */
enum {
    KR_PER_STATE = 1,     /* the rows (or vectors of rows) whose states a work-item keeps: KCL_STATES */
    KR_PER_COMPONENT = 2, /* the dimension of the formula */
    KR_PER_VALUE = 4,     /* K */
    KR_PER_COLUMN = 8,    /* the columns of a block: KCL_STEP_LENGTH */
    KR_ON_CPU = 16,       /* sweeps by lanes alone: on GPUs it would cost registers */
    KR_FINISH = 32,       /* the kernel that looks again at the steps of all parts, too: KCL_DEFERRED */
};

/* An array of a running state, or a single element where the length is 1 and multiplied by nothing. */
typedef struct kr_array {
    kr_element element;
    const char *name; /* in kernels: followed by the number of the term */
    int length;
    unsigned of;
} kr_array;

/*
 * The macros of a reduction that kernels call (cl/reduce.cl explains each), and the kernels that have a place for
 * them: all, kernels that look again at tiles or at steps, or programs whose `finish` looks at the steps of all parts.
 */
#define KR_HOOKS(X)                                                                                                    \
    X(INIT, ALL)                                                                                                       \
    X(ROWS_BEGIN, ALL)                                                                                                 \
    X(ROWS_END, ALL)                                                                                                   \
    X(TILE_BEGIN, ALL)                                                                                                 \
    X(TILE_END, ALL)                                                                                                   \
    X(MASK, ALL)                                                                                                       \
    X(BLOCK_BEGIN, ALL)                                                                                                \
    X(BLOCK_END, ALL)                                                                                                  \
    X(CLOSE, ALL)                                                                                                      \
    X(RESULT, ALL)                                                                                                     \
    X(LOOKS, TILES)                                                                                                    \
    X(TILE_FAILS, TILES)                                                                                               \
    X(LOOK_BEGIN, TILES)                                                                                               \
    X(LOOK_END, TILES)                                                                                                 \
    X(FIND, STEPS)                                                                                                     \
    X(FIND_NEXT, STEPS)                                                                                                \
    X(FIND_BEGIN, STEPS)                                                                                               \
    X(FIND_END, STEPS)                                                                                                 \
    X(FIND_LIMIT, PARTS)                                                                                               \
    X(FIND_PART, PARTS)                                                                                                \
    X(FIND_CLOSE, PARTS)                                                                                               \
    X(STEP, STEPPING)                                                                                                  \
    X(STEP_PRODUCT, STEPPING)                                                                                          \
    X(STEP_WHERE, STEPPING)                                                                                            \
    X(STEP_NOW, STEPPING)                                                                                              \
    X(STEP_NOW_PRODUCT, STEPPING)                                                                                      \
    X(RESCAN_STEP, STEPPING)                                                                                           \
    X(JOIN, JOINING)                                                                                                   \
    X(JOINED, JOINING)

#define KR_HOOK(hook, kind) KR_BIT_##hook,
enum { KR_HOOKS(KR_HOOK) KR_HOOK_COUNT };
#undef KR_HOOK
#define KR_HOOK(hook, kind) KR_##hook = 1u << KR_BIT_##hook,
enum { KR_HOOKS(KR_HOOK) };
#undef KR_HOOK

/* ---- The table --------------------------------------------------------------------------------------------------- */

/* Which part of a term is an exponent: kernels have powers of 2, so plans multiply it by log2(e). */
typedef enum kr_exponent { KR_NO_EXPONENT, KR_EXPONENTS, KR_FIRST_EXPONENT } kr_exponent;

/* What an error in a formula does to the result. */
typedef enum kr_error {
    KR_ERROR_UNTOLD,  /* nothing is known */
    KR_ERROR_ADDS,    /* it is added up, with the errors of all terms */
    KR_ERROR_STAYS,   /* it is one of the result, and no larger there */
    KR_ERROR_CHOOSES, /* another term may be taken; kr_screened is the reduction that compares candidates */
} kr_error;

/* A row of sweep_reductions.def, which explains the columns. */
typedef struct kr_reduction {
    const char *name;
    int numbers;
    bool lists;
    const kr_array *arrays; /* up to one without a name */
    unsigned hooks;
    kr_exponent exponent;
    kr_error error;
    bool sums;
    kf_reduction numbered;
    int64_t (*state_size)(int64_t dim, int64_t param); /* doubles of state a row, for a formula of `dim` components */
    void (*init)(double *state, int64_t dim, int64_t param);
    void (*step)(double *state, int64_t dim, int64_t param, const kr_block *block);
    void (*merge)(double *state, const double *other, int64_t dim, int64_t param);   /* `other`: of later columns */
    void (*finish)(const double *state, int64_t dim, int64_t param, double *result); /* values, then their numbers */
} kr_reduction;

/* The row of a reduction that sweeps have; kr_term_of tells how the other reductions are computed. */
const kr_reduction *kr_get(kf_reduction id);

/* The row of kernels whose formula has an error (KR_ERROR_CHOOSES); NULL: there is none. */
const kr_reduction *kr_screened(kf_reduction id);

/* ---- Sweeps ------------------------------------------------------------------------------------------------------ */

/* A reduction of one formula in a sweep, which has a row in sweep_reductions.def. */
typedef struct kr_term {
    kf_reduction reduction; /* one whose result is of kind KF_INT has two results: values, and their numbers */
    int64_t param;
    const kf_node *formula; /* leaves: VAR nodes with roles I, J and P */
} kr_term;

/* The term that computes a REDUCE node; its formula is NULL on failure. Largest values are smallest ones of -F. */
kr_term kr_term_of(kf_graph *g, const kf_node *f);

/* Whether one term can compute both, which `term` then does: smallest values and their numbers, of one formula. */
bool kr_join_terms(kr_term *term, const kr_term *other);

/* Pieces of a closed state of a term, for each component: K of lists, else 1. */
int64_t kr_pieces(const kr_term *term);

/* The REDUCE node's value from the results of term `index`, which computes it. */
const kf_node *kr_value_of(kf_graph *g, const kf_node *f, int64_t index);

typedef struct kr_var {
    kf_role role; /* I, J or P; the variable's index is its position */
    int32_t dim;
} kr_var;

/*
 * alpha * value + beta * old value. If a factor is 0, its other factor is not read: a NaN there is lost, as BLAS has
 * it.
 */
typedef struct kr_scale {
    bool is_scaled; /* false: the value alone */
    double alpha, beta;
} kr_scale;

/*
 * One pass over pairs (row, column), or over rows only. Rows are i, columns are j: a reduction over i has had its axes
 * exchanged before it gets here. Several reductions are computed together; outputs are formulas of their results
 * (kf_acc variables, index = position of the term; of kind KF_INT: numbers of terms), row variables and parameters. An
 * output of kind KF_INT is a result of numbers itself, and an array of int64; any other is an array of real numbers.
 */
typedef struct kr_sweep {
    const kf_graph *graph;
    unsigned reduced; /* 0: no columns, outputs come from rows alone; KF_AXIS_J; KF_AXIS_I | KF_AXIS_J: one row */
    size_t var_count, term_count, output_count;
    const kr_var *vars;
    const kr_term *terms;
    const kf_node *const *outputs; /* a row per i, or one row where both axes are reduced */
    const kr_scale *scales;        /* by output; NULL: none is scaled. Kernels get the numbers when they are started */
} kr_sweep;

/* Memory of an output: element (row, k) at data + row * row_stride + k * step, bytes. */
typedef struct kr_sink {
    void *data;
    kcl_dtype dtype;
    int64_t row_stride;
    int64_t step;
} kr_sink;

/*
 * Batches: the axes with results of their own first, then the axes that are reduced (and the sweep's `reduced` has
 * KF_AXIS_EACH); each from the fastest on. Strides in bytes, along these axes.
 */
typedef struct kr_batches {
    int outer, each;
    int64_t size[KF_MAX_BATCH];
    const int64_t (*source_stride)[KF_MAX_BATCH]; /* by variable */
    const int64_t (*sink_stride)[KF_MAX_BATCH];   /* by output; outer axes only */
} kr_batches;

/*
 * Computes a sweep on the host in double with compensated sums: the `host` device, and the reference of tests.
 * rows and cols may be 0. Results do not depend on `threads`.
 */
kcl_status kr_run_host(const kr_sweep *sweep, int64_t rows, int64_t cols, const kf_source *sources,
                       const kr_sink *sinks, int threads, kb_error *err);

/*
 * Who may end long work. The thread that began the work asks goes_on some thousand times a second, with the fraction
 * that is done; the other threads look at the flag.
 */
typedef struct kr_watch {
    const atomic_int *stop;
    bool (*goes_on)(void *user, double fraction);
    void *user;
} kr_watch;

/*
 * The same for all batches. KCL_ERROR_CANCELLED: `watch` (NULL: nobody) ended the work, and knows why; `err` is as it
 * was, and outputs may be written in part.
 */
kcl_status kr_run_batches(const kr_sweep *sweep, int64_t rows, int64_t cols, const kr_batches *batches,
                          const kf_source *sources, const kr_sink *sinks, int threads, const kr_watch *watch,
                          kb_error *err);

#endif
