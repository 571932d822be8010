/* SPDX-License-Identifier: MIT */
/*
 * plan/expand.h: squared distances as norms and a dot product,
 *
 *     |a_i - b_j|^2 = |a_i - c|^2 + |b_j - c|^2 - 2 (a_i - c)|(b_j - c)
 *
 * with a centre c that the launch supplies. A pair takes one product and sum a component, where differences take two
 * operations. The result has the absolute error of its largest part. So a caller asks for the expanded form after
 * bounding the error (docs/accuracy.md).
 */
#ifndef KP_EXPAND_H
#define KP_EXPAND_H

#include "caps.h"
#include "reduction.h"

enum { KP_MAX_DISTANCES = 4 }; /* expanded distances of a sweep, at most: further distances stay differences */

/* A variable times a factor of parameters. */
typedef struct kp_operand {
    int64_t var;           /* a variable of the sweep */
    const kf_node *factor; /* a formula of parameters, of dimension 1 or of the variable's dimension; NULL: 1 */
} kp_operand;

/* Sum(Square(w (a - b))), or with a and b exchanged: a depends on i only, b on j only, w on parameters only. */
typedef struct kp_distance {
    const kf_node *node;
    const kf_node *row, *col;      /* a and b */
    kp_operand row_from, col_from; /* a and b as a variable and a factor */
    const kf_node *weight;         /* w^2; NULL: 1 */
    int32_t dim;
} kp_distance;

/* A sum of exponentials follows a change d of |a - b|^2 by |value d| times the term, a LogSumExp by |value d|. */
typedef struct kp_slope {
    size_t term, distance;
    const kf_node *value;          /* a formula of parameters */
    bool is_multiple, is_screened; /* the term is a parameter times the distance: of a sum, of an ArgMin (kp_screens) */
} kp_slope;

/* The distances of a sweep that can be expanded. */
typedef struct kp_expansion {
    kf_graph graph; /* holds all nodes of the structure */
    size_t count;
    kp_distance distance[KP_MAX_DISTANCES];
    size_t slope_count;
    kp_slope *slopes; /* every slope that is not zero */
    bool screens;     /* a slope is_screened */
    bool *wanted;     /* by variable: the slopes, or the factors of the operands, need the parameter */
} kp_expansion;

/* Finds the distances of a sweep that can be expanded; *expansion is NULL if there is none. A pure function. */
kcl_status kp_expansion_create(kp_expansion **expansion, const kr_sweep *sweep, kb_error *err);
void kp_expansion_destroy(kp_expansion **expansion);

/*
 * The bound on the error of a value, in units of roundoff (docs/accuracy.md): |slope| kp_error_growth(D) A for a distance of D
 * components with A = max |a - c|^2 + max |b - c|^2. A sweep uses the expanded form if no term's bound exceeds the limit.
 */
double kp_error_growth(int32_t dim);
#define KP_BOUND_LIMIT 10.0

/* Returns whether the expanded form is faster on a device. */
bool kp_expansion_pays(const kp_caps *caps, int32_t dim, int64_t rows, int64_t cols);

/*
 * The search of kp_expansion_create for plans, in simplified formulas: roots[k] is the formula of terms[k]. Writes at
 * most KP_MAX_DISTANCES distances and returns their number. Returns -1 after a failure, with the error in the graph.
 * `slopes` has room for term_count * KP_MAX_DISTANCES slopes.
 */
int kp_find_distances(kf_graph *g, size_t term_count, const kr_term *terms, const kf_node *const *roots,
                      kp_distance *distances, size_t *slope_count, kp_slope *slopes);

/* Replaces the distances in `roots` by the expanded form. Centre k is the parameter first_centre + k. */
kcl_status kp_expand(kf_graph *g, size_t root_count, const kf_node **roots, size_t count, const kp_distance *distances,
                     size_t first_centre);

#endif
