/* SPDX-License-Identifier: MIT */
/* plan/planner.h: constants and functions that the files of this folder share. */
#ifndef KP_PLANNER_H
#define KP_PLANNER_H

#include "order.h"
#include "plan.h"
#include "reductions.h"

#include <stdlib.h>
#include <string.h>

enum {
    FEW_BLOCKS = 4,      /* row blocks a compute unit, below which columns are divided too */
    PART_COLUMNS = 2048, /* columns of a part, at least: a part costs a state in memory */
    MAX_PARTS = 1024,
    STATE_NUMBERS = 1 << 22, /* numbers in the memory of states, at most: fewer parts keep the memory small */
    LONGEST_PART = 1 << 30,  /* columns that a number of the width of a float counts, with room for a vector more */
    GROUP = 256,             /* work-items of a work-group of a GPU */
    GROUPS = 48,             /* work-groups a compute unit, so that the last work-groups leave few compute units idle */
    SMALLEST_SIDE = 4        /* work-items along the side of a register-tiled work-group, at least */
};

static inline int64_t blocks_of(int64_t count, int64_t size)
{
    return count / size + (count % size != 0);
}

/* Returns a * b for a and b of at least 0, and at most INT64_MAX. */
static inline int64_t product(int64_t a, int64_t b)
{
    int64_t result;
    return kb_mul_overflows(a, b, &result) ? INT64_MAX : result;
}

/* Returns the largest power of two up to `most`. */
static inline int power_of_two(int most)
{
    int result = 1;
    while (result <= most / 2)
        result *= 2;
    return result;
}

/* ---- terms.c ---- */

bool kp_keeps_lists(size_t count, const kr_term *terms, int64_t *longest);
int64_t kp_state_memory(const kp_plan *plan);

/* Returns whether results of a term are numbers of terms. */
static inline bool kp_has_numbers(const kr_term *term)
{
    return kf_reduction_get(term->reduction)->kind == KF_INT;
}

/* ---- choose.c ---- */

int kp_lanes_of(const kp_caps *caps, kcl_dtype dtype);
const char *kp_schedule_name(const kp_plan *plan);
int64_t kp_column_bytes(size_t count, const kr_var *vars, kcl_dtype dtype);
int64_t kp_cached_parts(int64_t bytes, int64_t cols);
int kp_side_of(const kp_caps *caps);

/* ---- rewrite.c ---- */

kcl_status kp_lower(kf_graph *g, size_t count, const kf_node **roots);
kcl_status kp_rewrite_terms(kp_plan *plan);

/* ---- prepare.c ---- */

kcl_status kp_grow_vars(kp_plan *plan, size_t count);
kcl_status kp_prepare(kp_plan *plan);
/* Orders the nodes of the terms' formulas. The caller finishes the order, after an error too. */
kcl_status kp_order_terms(kp_plan *plan, kf_order *order);

/* ---- contraction.c ---- */

kcl_status kp_check_contraction(kp_plan *plan, const kp_request *request);
int64_t kp_joining_memory(const kp_plan *plan);
int64_t kp_sharing_items(const kp_plan *plan, const kp_caps *caps);

/* ---- blocks.c ---- */

kcl_status kp_choose_sizes(kp_plan *plan, const kp_caps *caps);

#endif
