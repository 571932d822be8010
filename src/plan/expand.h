/* SPDX-License-Identifier: MIT */
/*
 * plan/expand.h: squared distances as norms and a dot product,
 *
 *     |a_i - b_j|^2 = |a_i - c|^2 + |b_j - c|^2 - 2 (a_i - c)|(b_j - c)
 *
 * with a centre c that the launch supplies. What stands per pair is one product and sum a component where differences
 * take two operations. The result has the absolute error of its largest part: whoever asks for this form must have
 * bounded the error (docs/accuracy.md).
 */
#ifndef KP_EXPAND_H
#define KP_EXPAND_H

#include "caps.h"
#include "reduction.h"

enum { KP_MAX_DISTANCES = 4 }; /* of a sweep that are expanded; more stay differences */

/* A variable times a factor of parameters. */
typedef struct kp_operand {
    int64_t var;           /* of the sweep */
    const kf_node *factor; /* of parameters, of dimension 1 or of the variable's dimension; NULL: 1 */
} kp_operand;

/* Sum(Square(w (a - b))), or with a and b exchanged: a depends on i only, b on j only, w on parameters only. */
typedef struct kp_distance {
    const kf_node *node;
    const kf_node *row, *col;      /* a and b */
    kp_operand row_from, col_from; /* the same, taken apart */
    const kf_node *weight;         /* w^2; NULL: 1 */
    int32_t dim;
} kp_distance;

/*
 * How a term follows a change d of |a - b|^2. A sum of exponentials: by |value d| times the term; a LogSumExp: by
 * |value d|; `is_multiple`: the term is a parameter times the distance itself, and a sum; `is_screened`: the same and
 * an ArgMin, whose candidates are found with the expanded form and compared by differences.
 */
typedef struct kp_slope {
    size_t term, distance;
    const kf_node *value; /* of parameters */
    bool is_multiple, is_screened;
} kp_slope;

/* The distances of a sweep that can be expanded. */
typedef struct kp_expansion {
    kf_graph graph; /* of all nodes here */
    size_t count;
    kp_distance distance[KP_MAX_DISTANCES];
    size_t slope_count;
    kp_slope *slopes; /* every slope that is not zero */
    bool screens;     /* one is_screened */
} kp_expansion;

/* Finds them; *expansion stays NULL where there are none. A pure function of the sweep. */
kcl_status kp_expansion_create(kp_expansion **expansion, const kr_sweep *sweep, kb_error *err);
void kp_expansion_destroy(kp_expansion **expansion);

/* Whether the expanded form is faster on a device. */
bool kp_expansion_pays(const kp_caps *caps, int32_t dim, int64_t rows, int64_t cols);

/*
 * For plans: the same search in simplified formulas, roots[k] being the formula of terms[k]; writes at most
 * KP_MAX_DISTANCES distances and returns their number, -1 on failure (g->error). `slopes` has room for term_count *
 * KP_MAX_DISTANCES.
 */
int kp_find_distances(kf_graph *g, size_t term_count, const kr_term *terms, const kf_node *const *roots,
                      kp_distance *distances, size_t *slope_count, kp_slope *slopes);

/* Replaces the distances in `roots` by their expanded form; centre k is parameter number first_centre + k. */
kcl_status kp_expand(kf_graph *g, size_t root_count, const kf_node **roots, size_t count, const kp_distance *distances,
                     size_t first_centre);

#endif
