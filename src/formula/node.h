/* SPDX-License-Identifier: MIT */
/*
 * formula/node.h: what nodes of formulas are, and what can be told by looking at one node.
 *
 * Nodes are immutable and lie in the arena of their graph; the same sub-formula is the same pointer.
 */
#ifndef KF_NODE_H
#define KF_NODE_H

#include "base.h"

typedef enum kf_op {
#define KF_MAP(id, ...) KF_##id,
#define KF_NODE(id, ...) KF_##id,
#include "ops.def"
    KF_OP_COUNT
} kf_op;

typedef enum kf_reduction {
#define KF_REDUCTION(id, ...) KF_REDUCE_##id,
#include "reductions.def"
    KF_REDUCTION_COUNT
} kf_reduction;

/* What values are: exact integers are row and column numbers, labels, gather indices. */
typedef enum kf_kind { KF_REAL, KF_INT } kf_kind;

typedef enum kf_class {
    KF_CLASS_MAP,
    KF_CLASS_LEAF,
    KF_CLASS_COPY,
    KF_CLASS_SUM,
    KF_CLASS_CALL,
    KF_CLASS_AXIS,
    KF_CLASS_REDUCE
} kf_class;

/* Sets of axes: i, j, and batch axes, which count from the last one. */
enum { KF_AXIS_I = 1, KF_AXIS_J = 2, KF_AXIS_COUNT = 8, KF_MAX_BATCH = 6 };
#define KF_PAIR_AXES (KF_AXIS_I | KF_AXIS_J)
#define KF_BATCH_AXIS(k) (4u << (k))
#define KF_BATCH_AXES (0xffu & ~(unsigned)KF_PAIR_AXES)
#define KF_AXIS_EACH KF_BATCH_AXIS(0) /* in formulas of a sweep: all batch axes that the sweep reduces */

/* Roles of a variable, numbered as in KeOps. KF_ACC is the result of reduction `index` of the same sweep. */
typedef enum kf_role { KF_ROLE_I = 0, KF_ROLE_J = 1, KF_ROLE_P = 2, KF_ROLE_ACC = 3 } kf_role;

enum { KF_MAX_RANK = 8, KF_LEAST_PARAMS = 3, KF_MAX_PARAMS = 3 + 2 * KF_MAX_RANK };
enum { KF_MAX_ARGS = 3, KF_MAX_DIM = 1 << 24, KF_MAX_NODES = 1 << 26 };
enum { KF_MAX_DIGITS = 18, KF_MAX_BESSEL = 32 };
enum { KF_MAX_STEP = 1 << 19, KF_MAX_START_BITS = 53 }; /* of Index: a and b; bits of c */

typedef struct kf_node kf_node;
struct kf_node {
    uint64_t hash; /* of the structure: the same in every graph and process */
    uint32_t id;   /* position in the graph; operands have smaller ones */
    int32_t dim;   /* number of components */
    uint8_t op;    /* kf_op */
    uint8_t kind;  /* kf_kind */
    uint8_t axes;  /* axes on which the value depends */
    uint8_t arg_count;
    uint8_t sized;        /* axes whose length a variable or a reduction tells; Index tells none */
    uint8_t param_count;  /* KF_LEAST_PARAMS or more */
    const int64_t *param; /* 0 beyond the parameters of the operator */
    double value;         /* of a constant; 1 in a variable that lends its axes */
    const kf_node *arg[KF_MAX_ARGS];
};

enum { KF_LAYOUT = -1, KF_LAYOUT_AND_DIM = -2 };

typedef struct kf_op_info {
    const char *name;
    kf_class op_class;
    int arity;
    int params;         /* KF_LAYOUT: a number of axes, an offset, and a size and a stride for each axis; */
                        /* KF_LAYOUT_AND_DIM: then a dimension */
    int cost;           /* KF_CLASS_MAP: of one component */
    const char *kernel; /* KF_CLASS_MAP: OpenCL C */
    double low, high;   /* KF_CLASS_MAP: test domain */
} kf_op_info;

const kf_op_info *kf_info(kf_op op);

/* A variable of an array of int64. */
static inline bool kf_is_integers(const kf_node *f)
{
    return f->op == KF_VAR && f->kind == KF_INT && f->param[2] != KF_ROLE_ACC;
}

static inline bool kf_is_stored(const kf_node *f)
{
    return f->op == KF_REDUCE && f->param[0] == KF_REDUCE_STORED;
}

static inline bool kf_lends_axes(const kf_node *var)
{
    return var->op == KF_VAR && var->value != 0;
}

/* 0 or 1, whatever the operands are: comparisons, and operators of truth values. */
static inline bool kf_is_truth(const kf_node *f)
{
    switch ((kf_op)f->op) {
    case KF_EQUAL:
    case KF_NOT_EQUAL:
    case KF_LESS:
    case KF_LESS_EQUAL:
    case KF_AND:
    case KF_OR:
    case KF_NOT:
        return true;
    default:
        return false;
    }
}

/* One of two operands, as a condition says: IfElse, Where. */
static inline bool kf_is_choice(const kf_node *f)
{
    return f->op == KF_IFELSE || f->op == KF_WHERE;
}

static inline bool kf_is_zero(const kf_node *f)
{
    return f->op == KF_ZERO || (f->op == KF_CONST && f->value == 0);
}

/* A REDUCE node that reduces nothing: kf_gather, kf_scatter, kf_whole or kf_stored has made the node. */
static inline bool kf_is_indexed(const kf_node *f)
{
    return f->op == KF_REDUCE && (f->param[0] == KF_REDUCE_GATHER || f->param[0] == KF_REDUCE_SCATTER ||
                                  f->param[0] == KF_REDUCE_WHOLE || f->param[0] == KF_REDUCE_STORED);
}

/* The node that computes the value of f: f without Like nodes around it. */
static inline const kf_node *kf_value(const kf_node *f)
{
    while (f->op == KF_LIKE)
        f = f->arg[0];
    return f;
}

#endif
