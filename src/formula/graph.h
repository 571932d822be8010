/* SPDX-License-Identifier: MIT */
/*
 * formula/graph.h: formulas as interned graphs.
 *
 * Nodes are immutable and live in their graph's arena; the same sub-formula is the same pointer. Constructors check
 * shapes and intern, nothing else. A constructor that fails, or is given NULL, returns NULL; the graph keeps the first
 * error, so a chain of constructors needs one check.
 */
#ifndef KF_GRAPH_H
#define KF_GRAPH_H

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

typedef struct kf_reduction_info {
    const char *name;
    int formulas; /* 2: a weight follows the formula */
    int params;
    kf_kind kind; /* of the result */
} kf_reduction_info;

const kf_reduction_info *kf_reduction_get(kf_reduction reduction);
int64_t kf_reduction_dim(kf_reduction reduction, int64_t dim, int64_t param); /* of the result */

/* Numbers of the smallest or largest values, and the values themselves where there may be fewer than are asked for. */
bool kf_chooses(kf_reduction reduction);

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
#define KF_AXIS_EACH KF_BATCH_AXIS(0) /* of the formulas of a sweep: all batch axes that it reduces */

/* Roles of a variable, numbered as in KeOps. KF_ACC is the result of reduction `index` of the same sweep. */
typedef enum kf_role { KF_ROLE_I = 0, KF_ROLE_J = 1, KF_ROLE_P = 2, KF_ROLE_ACC = 3 } kf_role;

enum { KF_MAX_RANK = 8, KF_LEAST_PARAMS = 3, KF_MAX_PARAMS = 3 + 2 * KF_MAX_RANK };
enum { KF_MAX_ARGS = 3, KF_MAX_DIM = 1 << 24, KF_MAX_NODES = 1 << 26 };
enum { KF_MAX_DIGITS = 18, KF_MAX_BESSEL = 32 };
enum { KF_MAX_STEP = 1 << 19, KF_MAX_START_BITS = 53 }; /* of Index: a and b; bits of c */

typedef struct kf_node kf_node;
struct kf_node {
    uint64_t hash;      /* of the structure: the same in every graph and process */
    uint32_t id;        /* position in the graph; operands have smaller ones */
    int32_t dim;        /* number of components, the product of `shape` */
    uint8_t op;         /* kf_op */
    uint8_t kind;       /* kf_kind */
    uint8_t axes;       /* axes on which the value depends */
    uint8_t arg_count;
    uint8_t sized;        /* axes whose length a variable or a reduction tells: of Index none */
    int32_t rank;         /* length of `shape`; 1 for vectors */
    const int32_t *shape; /* inner shape (D1, ..., Dk) */
    int32_t param_count;
    const int64_t *param; /* KF_LEAST_PARAMS at least, 0 beyond those of the operator */
    double value;         /* of a constant; of a variable that lends its axes: 1 */
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

typedef struct kf_graph {
    kb_arena arena;
    kb_error error;         /* the first failure */
    const kf_node **nodes;  /* by id */
    size_t count, capacity;
    uint32_t *table; /* open addressing: id + 1, 0 is free */
    size_t table_size;
} kf_graph;

kcl_status kf_graph_init(kf_graph *g, const kcl_allocator *allocator);
void kf_graph_finish(kf_graph *g);
const kcl_allocator *kf_allocator(const kf_graph *g);
void kf_clear_error(kf_graph *g);

/* ---- Constructors ------------------------------------------------------------------------------------------------ */

/*
 * Any operator of the table but VAR, CONST and REDUCE: `args` has the operator's arity, `params` its parameters (NULL
 * where it has none). Errors: KCL_ERROR_SHAPE with the operator and both dimensions.
 */
const kf_node *kf_make(kf_graph *g, kf_op op, const kf_node *const *args, const int64_t *params);

const kf_node *kf_var(kf_graph *g, int64_t index, int64_t dim, kf_role role);
const kf_node *kf_on_batches(kf_graph *g, const kf_node *var, unsigned axes); /* with these batch axes beside its own */
/* Some of a variable's axes, for the second operand of Like: its value is never read. */
const kf_node *kf_lend_axes(kf_graph *g, const kf_node *var, unsigned axes);
/*
 * The result of term `index` of the sweep: its values, or, KF_INT, its numbers of terms. As an output of its own these
 * are an array of integers; formulas take the real number.
 */
const kf_node *kf_acc(kf_graph *g, int64_t index, int64_t dim, kf_kind kind);
const kf_node *kf_rat(kf_graph *g, int64_t numerator, int64_t denominator); /* reduced to lowest terms */
/* Whole numbers below 2^53 become kf_rat, -infinity Minus(infinity); NaN is an error. */
const kf_node *kf_num(kf_graph *g, double value);
const kf_node *kf_zero(kf_graph *g, int64_t dim);
/* a i + b j + c of the numbers of the row and the column: KCL_ERROR_SHAPE where that is out of bounds, or a = b = 0. */
const kf_node *kf_index(kf_graph *g, int64_t a, int64_t b, int64_t c);
const kf_node *kf_unary(kf_graph *g, kf_op op, const kf_node *a);
const kf_node *kf_binary(kf_graph *g, kf_op op, const kf_node *a, const kf_node *b);
/* `f ** exponent`: Square, Pow, Sqrt, Rsqrt or Powf by a constant, as the exponent asks. */
const kf_node *kf_power(kf_graph *g, const kf_node *f, double exponent);
const kf_node *kf_dot(kf_graph *g, const kf_node *a, const kf_node *b); /* f|g: Sum(f*g); one may have dimension 1 */
/* f brought into [offset, offset + n) by steps of n: Mod, and f % n */
const kf_node *kf_mod(kf_graph *g, const kf_node *f, const kf_node *n, const kf_node *offset);
const kf_node *kf_like(kf_graph *g, const kf_node *f, const kf_node *axes_of); /* f itself where that changes nothing */
const kf_node *kf_like_on(kf_graph *g, const kf_node *f, const kf_node *axes_of, unsigned axes); /* on these of them */
const kf_node *kf_to_real(kf_graph *g, const kf_node *f); /* an integer as a real number */
/*
 * The axes i and j exchanged: variables change roles, reductions the axes they reduce. What has no axis is the same
 * number either way and stays as it is.
 */
const kf_node *kf_transpose(kf_graph *g, const kf_node *f);
/*
 * An axis that f lacks is not reduced; where none is left the result is that of one term. Where numbers of terms are
 * asked for, or K of them, that is refused, KCL_ERROR_SHAPE, unless there is a batch axis among them: that has size 1
 * then. `param` is K of K-min, 1 or more, else 0. The operand of a weighted reduction is Concat(F, G): see kf_weighted.
 */
const kf_node *kf_reduce(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f);
/*
 * The same, but that a chain is one reduction over the axes of all: of f that is such a reduction itself, where one of
 * the two is over batch axes alone. Indices number the terms of all these axes then, and the K smallest are those of
 * all: K must be the same. LogSumExp continues LogSumExpWeight; SumSoftMaxWeight of (LogSumExp, SumSoftMaxWeight) of
 * the same F and axes continues that.
 */
const kf_node *kf_reduce_on(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f);
/* How many terms the reduction of f over `axes` has; 1 for axes that f lacks. */
const kf_node *kf_term_count(kf_graph *g, unsigned axes, const kf_node *f);
/*
 * An index numbers the terms of the axes that its reduction goes over, row-major: batch axes first, in front the one
 * that is farthest from the last, then i, then j. KF_ROW: its row, where that is of one axis of the pair; KF_ROW_I,
 * KF_ROW_J: of both; KF_ROW_OF_PLACE: none of its, but that of the place where the index stands; KF_WHOLE: the index is
 * the row itself, whatever it numbers, in the batch of the place, and may stand on the axis of F.
 */
typedef enum kf_part { KF_ROW, KF_ROW_I, KF_ROW_J, KF_ROW_OF_PLACE, KF_WHOLE } kf_part;
unsigned kf_index_axes(const kf_node *index); /* that it numbers */
/*
 * F at the terms `index` (KF_INT): the dimension of F for each component of the index, on the axes of the index and
 * those of F that it does not number. F has one axis of the pair, or none, of which the index tells `part`. A REDUCE
 * node of operands F and index, as it is made by kf_reduce.
 */
const kf_node *kf_gather(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part);
/*
 * The adjoint, on the axes of `like`: for each of its rows, the sum of those parts of F whose index is that row, over
 * all batches that `like` lacks. F has none of the axes that the index numbers, and a multiple of its dimension. A
 * REDUCE node of operands F, index and what has the axes of `like`.
 */
const kf_node *kf_scatter(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part, const kf_node *like);
/* The variable of an array of int64, KF_INT: nothing but kf_whole takes it as an operand. */
const kf_node *kf_integers(kf_graph *g, const kf_node *var);
/*
 * A formula as an index, KF_INT: a reduction that gives one itself, of anything else a REDUCE node of that operand. F has
 * one axis of the pair or none.
 */
const kf_node *kf_whole(kf_graph *g, const kf_node *F);
/* F, of one axis of the pair or none, as a leaf of those that read it, as results of reductions are. */
const kf_node *kf_stored(kf_graph *g, const kf_node *F);
/*
 * Gather(table, index) of formula strings, whose batch axes are broadcast: numbers are those of rows of the same batch.
 * Errors: KCL_ERROR_SHAPE.
 */
const kf_node *kf_gather_rows(kf_graph *g, const kf_node *table, const kf_node *index);
static inline bool kf_is_indexed(const kf_node *f); /* a REDUCE node made by one of these */
/* Concat(F, G), the operand of `reduction`. Errors: KCL_ERROR_SHAPE where F is a vector. */
const kf_node *kf_weighted(kf_graph *g, kf_reduction reduction, const kf_node *F, const kf_node *G);

/* A name of the table, or a composite, by its name in formula strings. */
typedef struct kf_name {
    int op;        /* kf_op, or -1 - k for composite k */
    int arity;     /* formulas that come first */
    int params;    /* whole numbers that follow */
} kf_name;

bool kf_find_name(const char *text, size_t length, kf_name *name);
const kf_node *kf_make_name(kf_graph *g, const kf_name *name, const kf_node *const *args, const int64_t *params);
/*
 * Puts the name of what the user wrote into the error that making it has left: instead of the operator that refused, of
 * which the user may know nothing, or in front.
 */
void kf_name_error(kf_graph *g, const char *name, size_t length);
/* Calls visit for every name that formula strings may use, in the table's order. */
void kf_each_name(void (*visit)(void *user, const char *text), void *user);

double kf_powi(double base, int64_t exponent);
double kf_hypot_ratio(double a, double b);   /* a / hypot(a, b), and 0 for 0 and 0 */
double kf_inverse_hypot(double a, double b); /* 1 / hypot(a, b), and 0 for 0 and 0 */
double kf_round(double value, int64_t digits); /* to `digits` decimals, half away from zero */
double kf_spherical(double x, int64_t n);      /* j_n(x) / x^n, j_n the spherical Bessel function: sin(x)/x for n = 0 */

/* ---- Components as small tensors: layout.c ----------------------------------------------------------------------- */

/* Component (k0, k1, ...) of the result, row-major, is component offset + k0 stride[0] + k1 stride[1] + ... */
typedef struct kf_layout {
    int rank;
    int64_t offset, size[KF_MAX_RANK], stride[KF_MAX_RANK];
} kf_layout;

kf_layout kf_layout_of(const kf_node *f); /* of Arrange, and of Place, whose operand is the result */
int64_t kf_layout_source(const kf_layout *l, int64_t k);
int64_t kf_layout_inverse(const kf_layout *l, int64_t source); /* -1: none; of Place */

enum { KF_LAYOUT_TEXT = 160 };

/* Whether parameters are those of Arrange (Place) of a vector of `dim` components; else `text` tells why not. */
bool kf_layout_check(const int64_t *params, bool place, int64_t dim, int64_t *count, char text[KF_LAYOUT_TEXT]);

/* The components of f as the layout says; f, Elem, Extract and SumT where they do the same. */
const kf_node *kf_arrange(kf_graph *g, const kf_node *f, const kf_layout *l);
/* The cotangent of an operand of dimension `dim` whose arrangement has the cotangent e. */
const kf_node *kf_arrange_adjoint(kf_graph *g, const kf_layout *l, int64_t dim, const kf_node *e);
const kf_node *kf_sum_rows(kf_graph *g, const kf_node *f, int64_t length); /* of `length` components each */

/* Matrices are row-major; dimensions tell their sizes. Errors: KCL_ERROR_SHAPE. */
const kf_node *kf_mat_vec(kf_graph *g, const kf_node *A, const kf_node *b);
const kf_node *kf_vec_mat(kf_graph *g, const kf_node *b, const kf_node *A);
const kf_node *kf_tensor_prod(kf_graph *g, const kf_node *a, const kf_node *b);
/* s|f|^2, the sum of s_k f_k^2, or f^T s f, by the dimension of s. */
const kf_node *kf_weighted_norm(kf_graph *g, const kf_node *s, const kf_node *f);
const kf_node *kf_one_hot(kf_graph *g, const kf_node *index, int64_t dim);
/* The first component that is the largest (KF_MAX) or smallest (KF_MIN); the dimension where all are NaN. */
const kf_node *kf_arg_extreme(kf_graph *g, const kf_node *f, kf_op op);

/* Keeps the error, unless there is one already; returns NULL for constructors to return. */
KB_PRINTF(3, 4) const kf_node *kf_refuse(kf_graph *g, kcl_status status, const char *format, ...);

/* ---- Tensors of components: tensor.c ----------------------------------------------------------------------------- */

/* Inner shape (D1, ..., Dk), row-major, of vectors of D1 * ... * Dk components. */
typedef struct kf_shape {
    int rank;
    int64_t size[KF_MAX_RANK];
} kf_shape;

typedef struct kf_tensor {
    const kf_node *node;
    kf_shape shape;
} kf_tensor;

enum { KF_SHAPE_TEXT = 112 };

const char *kf_shape_text(const kf_shape *s, char text[KF_SHAPE_TEXT]);
int64_t kf_shape_count(const kf_shape *s); /* of components; -1 where a size is below 1, or all are too many */
void kf_shape_strides(const kf_shape *s, int64_t stride[KF_MAX_RANK]);
/* The axis, from the end where it is negative; -1 after refusing. `name` is that of the operation, here and below. */
int kf_shape_axis(kf_graph *g, const char *name, const kf_shape *s, int64_t axis);
const kf_node *kf_arrange_shape(kf_graph *g, const kf_node *f, const kf_shape *size, const int64_t *stride,
                                int64_t offset);

/*
 * The product of f and h, which are read by strides along axes of the given sizes, summed over the last `contracted` of
 * them.
 */
typedef struct kf_contraction {
    kf_shape size;
    int64_t f[KF_MAX_RANK], h[KF_MAX_RANK];
    int contracted;
} kf_contraction;

bool kf_product_fits(kf_graph *g, const char *name, int rank); /* false after refusing */
const kf_node *kf_contract(kf_graph *g, const char *name, const kf_contraction *c, const kf_node *f, const kf_node *h,
                           kf_shape *shape);

/*
 * The product of f and h summed over axes_f[k] together with axes_h[k]. The axes that are left, those of f first: number
 * k of them is axis perm[k] of the result, or k where perm is NULL. *shape is the result's. Errors: KCL_ERROR_SHAPE,
 * KCL_ERROR_ARGUMENT where axes are listed twice or perm is no permutation.
 */
const kf_node *kf_tensordot(kf_graph *g, const char *name, const kf_tensor *f, const kf_tensor *h, int count,
                            const int64_t *axes_f, const int64_t *axes_h, const int64_t *perm, kf_shape *shape);
const kf_node *kf_kron(kf_graph *g, const char *name, const kf_tensor *f, const kf_tensor *h, kf_shape *shape);

/* ---- Complex numbers: complex.c ---------------------------------------------------------------------------------- */

/*
 * n complex numbers are 2n components re, im, re, im, ... Operands of two are of one dimension, or one of them is one
 * number, which is repeated. Errors: KCL_ERROR_SHAPE with the name in formula strings.
 */
const kf_node *kf_complex_of_real(kf_graph *g, const kf_node *f); /* f + 0i */
const kf_node *kf_complex_of_imag(kf_graph *g, const kf_node *f); /* 0 + fi */
const kf_node *kf_complex_real(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_imag(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_conj(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_square_abs(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_abs(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_angle(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_sum(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_sum_t(kf_graph *g, const kf_node *f, int64_t dim); /* one number repeated, dim/2 times */
const kf_node *kf_complex_add(kf_graph *g, const kf_node *f, const kf_node *h);
const kf_node *kf_complex_subtract(kf_graph *g, const kf_node *f, const kf_node *h);
const kf_node *kf_complex_mult(kf_graph *g, const kf_node *f, const kf_node *h);
const kf_node *kf_complex_divide(kf_graph *g, const kf_node *f, const kf_node *h);
const kf_node *kf_complex_real_scal(kf_graph *g, const kf_node *s, const kf_node *f); /* in either order */
const kf_node *kf_complex_exp(kf_graph *g, const kf_node *f);
const kf_node *kf_complex_exp1j(kf_graph *g, const kf_node *f); /* e^(if) of real f */

/* ---- Operators made of others: composite.c ----------------------------------------------------------------------- */

/*
 * Square matrices of 1 to 4 rows (of kf_trace: of any number), row-major, by cofactors; of a singular one the inverse is
 * what dividing by 0 gives. Errors: KCL_ERROR_SHAPE.
 */
const kf_node *kf_det(kf_graph *g, const kf_node *A);
const kf_node *kf_mat_inv(kf_graph *g, const kf_node *A);
const kf_node *kf_trace(kf_graph *g, const kf_node *A);

/*
 * The B-splines of a degree with the knots t, which do not fall, at x: dimension of t less the degree less 1. Knots may be
 * equal. Errors: KCL_ERROR_SHAPE.
 */
const kf_node *kf_bspline(kf_graph *g, const kf_node *t, const kf_node *x, int64_t degree);

/* ---- Functions of whole vectors: dtw.c --------------------------------------------------------------------------- */

/* Numbers of memory that a CALL node works in. */
int64_t kf_call_memory(const kf_node *f);

/*
 * Soft dynamic time warping (Cuturi and Blondel 2017) of x, n numbers, and y, m, with the costs (x_i - y_j)^2; `memory` is
 * for m numbers. Its gradient, n + m + 1 numbers, by x, y and gamma: `memory` is for (n + 1) m.
 */
double kf_soft_dtw(const double *x, int64_t n, const double *y, int64_t m, double gamma, double *memory);
void kf_soft_dtw_gradient(const double *x, int64_t n, const double *y, int64_t m, double gamma, double *memory,
                          double *out);

/* ---- Looking at nodes -------------------------------------------------------------------------------------------- */

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

/* 0 or 1, whatever the operands are: comparisons, and what is made of truth values. */
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

static inline bool kf_is_indexed(const kf_node *f)
{
    return f->op == KF_REDUCE &&
           (f->param[0] == KF_REDUCE_GATHER || f->param[0] == KF_REDUCE_SCATTER || f->param[0] == KF_REDUCE_WHOLE ||
            f->param[0] == KF_REDUCE_STORED);
}

/* The node that computes f's value: f without Like nodes around it. */
static inline const kf_node *kf_value(const kf_node *f)
{
    while (f->op == KF_LIKE)
        f = f->arg[0];
    return f;
}

/*
 * For a KF_CLASS_COPY node: where component k comes from. Returns the operand's number and sets *component, or -1 where
 * the component is 0. *run is set to the number of components from k on for which the answer continues: each the
 * operand's next component (or the same one again where *step is 0).
 */
int kf_copy_source(const kf_node *f, int64_t k, int64_t *component, int64_t *run, int *step);

enum { KF_PAGE = 64 };

typedef struct kf_page {
    uint32_t number; /* id / KF_PAGE + 1; 0: free */
    uint32_t first;  /* of its positions */
} kf_page;

/*
 * The nodes reachable from `roots`, operands before users, in an order that depends on the structure alone. Stops at
 * REDUCE nodes where `stop_at_reduce` (they are listed, their operands are not followed, but roots always are).
 */
typedef struct kf_order {
    kcl_allocator allocator;
    const kf_node **nodes;
    size_t count;
    /* Positions by id, in pages of KF_PAGE: an order of few nodes takes little time and memory in a large graph. */
    uint32_t *position; /* + 1; 0 for nodes not reached. The first page is that of ids without a page: zeros */
    size_t positions, capacity;
    kf_page *pages; /* by a hash of their numbers, 2^page_bits of them */
    int page_bits;
} kf_order;

kcl_status kf_order_init(kf_order *order, const kf_graph *g, size_t root_count, const kf_node *const *roots,
                         bool stop_at_reduce, kb_error *err);
void kf_order_finish(kf_order *order);

/* The page of this number, or the free one that it would have. */
static inline kf_page *kf_page_of(const kf_order *order, uint32_t number)
{
    const uint32_t mask = (1u << order->page_bits) - 1;
    uint32_t slot = number * 0x9e3779b9u >> (32 - order->page_bits);
    while (order->pages[slot].number && order->pages[slot].number != number)
        slot = (slot + 1) & mask;
    return &order->pages[slot];
}
static inline uint32_t *kf_position(const kf_order *order, const kf_node *f)
{
    return &order->position[kf_page_of(order, f->id / KF_PAGE + 1)->first + f->id % KF_PAGE];
}
static inline size_t kf_at(const kf_order *order, const kf_node *f)
{
    return *kf_position(order, f) - 1u;
}
static inline bool kf_reached(const kf_order *order, const kf_node *f)
{
    return *kf_position(order, f) > 0;
}

/* ---- Passes ------------------------------------------------------------------------------------------------------ */

/*
 * The same graphs with leaves replaced: `replace(user, leaf)` is asked for every VAR and REDUCE node and returns the
 * node to stand for it (itself where nothing changes). out[k] belongs to roots[k].
 */
kcl_status kf_substitute(kf_graph *g, size_t root_count, const kf_node *const *roots, bool stop_at_reduce,
                         const kf_node *(*replace)(void *user, const kf_node *leaf), void *user, const kf_node **out);

/*
 * F with the variable by[k] for every node nodes[k], whatever that is made of, of the same dimension and axes; and with
 * nodes[k] for the variable again.
 */
const kf_node *kf_replace(kf_graph *g, const kf_node *F, size_t count, const kf_node *const *nodes,
                          const kf_node *const *by);
const kf_node *kf_put_back(kf_graph *g, const kf_node *F, size_t count, const kf_node *const *nodes,
                           const kf_node *const *by);

/* The node with other operands, of the same dimensions. */
const kf_node *kf_rebuild(kf_graph *g, const kf_node *f, const kf_node *const *args);

/*
 * The same formulas of variables that have the batch axes batches[index] beside their own: in every batch the value
 * that they have without. So sums of the rows that have an index are those of a batch, whether the table has batches or
 * not.
 */
kcl_status kf_spread(kf_graph *g, size_t root_count, const kf_node *const *roots, const unsigned *batches,
                     const kf_node **out);

/* Copies formulas from one graph into another. */
kcl_status kf_import(kf_graph *g, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                     const kf_node **out);

/*
 * simplify.c: the same values by fewer operations, of the same kind and on the same axes, by the rules of the table
 * below; linear in the number of nodes. Goes through reductions.
 */
typedef struct kf_rule {
    const char *name;
    kf_op op;            /* of the nodes it applies to */
    const char *example; /* a formula in x, y (3 components) and s, t (1) that it changes */
    const char *note;    /* which NaN or infinity it loses; "" where it keeps them, but for what overflows between */
    /* The simpler node; f itself where the rule does not apply; NULL on failure. Operands are simplified already. */
    const kf_node *(*apply)(kf_graph *g, const kf_node *f);
} kf_rule;

extern const kf_rule kf_rules[];
extern const size_t kf_rule_count;

/*
 * What is 0 by its form. The rules keep 0 f, which is NaN where f is infinite; in derivatives, and for the part of a
 * complex number that a real one lacks, such a factor stands for nothing at all, and what it multiplies is left out by
 * those who make these products.
 */
/* f, or Zero where the rules see that f is nothing else; NULL of NULL. */
const kf_node *kf_or_zero(kf_graph *g, const kf_node *f);
/* f h, or Zero where one of them is Zero; NULL where one is NULL. */
const kf_node *kf_product(kf_graph *g, const kf_node *f, const kf_node *h);

kcl_status kf_simplify(kf_graph *g, size_t root_count, const kf_node *const *roots, const kf_node **out);

/*
 * derive.c: vector-Jacobian products of a formula F, in one sweep: out[k] = (dF/dleaves[k])^T e, simplified. F's leaves
 * are VAR and REDUCE nodes; no reduction is differentiated. `e` has F's dimension.
 */
kcl_status kf_vjp(kf_graph *g, const kf_node *F, const kf_node *e, size_t leaf_count, const kf_node *const *leaves,
                  const kf_node **out);

/*
 * derive.c: the gradient of the sum of F * e through reductions: out[k] has the axes and dimension of variable
 * vars[k], summed over the others. Every variable with the index of vars[k] counts, whatever its role. An integer is
 * a constant inside a formula; where F itself is one, a variable that it depends on is an error, KCL_ERROR_DERIVATIVE.
 */
kcl_status kf_gradient(kf_graph *g, const kf_node *F, const kf_node *e, size_t var_count, const kf_node *const *vars,
                       const kf_node **out);

/*
 * forward.c: the derivative of F when every variable vars[k] moves in directions[k], through reductions, simplified. It
 * has the axes and dimension of F. A direction has its variable's dimension, or 1, and no axis that the variable lacks.
 * Indices are constants; of F an index that moves, KCL_ERROR_DERIVATIVE.
 */
kcl_status kf_jvp(kf_graph *g, const kf_node *F, size_t var_count, const kf_node *const *vars,
                  const kf_node *const *directions, const kf_node **out);

/*
 * The same for one variable, exactly as it is used: not in other roles of its array. A direction may have axes that the
 * variable lacks: every pair (i, j) moves in its own. A reduction over such an axis is KCL_ERROR_SHAPE.
 */
kcl_status kf_diff(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *u, const kf_node **out);

/*
 * calculus.c: what is computed from the matrix dF/dv, for each pair (i, j) of F, v a VAR node that counts where it
 * stands in F and not in other roles of its array. Results are simplified and on the axes of F. F may have reductions
 * that leave the rows of v apart; others are KCL_ERROR_DERIVATIVE. Other errors: KCL_ERROR_SHAPE.
 */
/* The matrix itself, row-major: the gradient of component k of F is row k. */
kcl_status kf_grad_matrix(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out);
kcl_status kf_divergence(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node **out); /* its trace */
kcl_status kf_laplacian(kf_graph *g, const kf_node *F, const kf_node *v,
                        const kf_node **out); /* of second derivatives */
/* KCL_ERROR_DERIVATIVE unless F is linear in v; what stands before v, and is added, must be seen to be 0. */
kcl_status kf_check_linear(kf_graph *g, const char *name, const kf_node *F, const kf_node *v, bool through_reductions);
/* F linear in v: its matrix M has the trace sum of w_k M_kk, F repeated where it is a number; the sum of l_i M_ij r_j. */
kcl_status kf_trace_operator(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *w, const kf_node **out);
kcl_status kf_sum_lin_operator(kf_graph *g, const kf_node *F, const kf_node *v, const kf_node *left,
                               const kf_node *right, const kf_node **out); /* NULL: ones, as for w above */

/*
 * select.c: F with every smallest or largest value that depends on one of the variables written as the formula of the
 * term that it is, at its index, so that it can be differentiated.
 */
kcl_status kf_select_terms(kf_graph *g, const kf_node *F, size_t var_count, const kf_node *const *vars,
                           const kf_node **out);

/* guard.c: a cotangent that counts where `where` is true, everywhere where that is NULL; `masked`: it is 0 elsewhere. */
typedef struct kf_guarded {
    const kf_node *value, *where;
    bool masked;
} kf_guarded;

/* The truth value that tells where f takes operand k; NULL: f is no choice, or the operand is what chooses. */
const kf_node *kf_condition(kf_graph *g, const kf_node *f, int k);
const kf_node *kf_guard_and(kf_graph *g, const kf_node *a, const kf_node *b); /* NULL: true */
const kf_node *kf_guard_mask(kf_graph *g, const kf_guarded *c);               /* the value, and 0 elsewhere */
bool kf_guard_add(kf_graph *g, kf_guarded *sum, const kf_guarded *c); /* a sum without value is 0; false on failure */

/* What both modes share: `e` times the derivative of elementwise f by its operand k; */
const kf_node *kf_times_partial(kf_graph *g, const kf_node *f, int k, const kf_node *e);

/*
 * exp(F - L), the share that a term exp(F) has of a sum exp(L) of such terms: 0 where F is -infinity, even if L is as well,
 * because all terms are or because a device takes numbers of that size for infinite; NaN where F is NaN.
 */
const kf_node *kf_share(kf_graph *g, const kf_node *F, const kf_node *L);

/* 1, and 0 where F is -infinity: of sums of exp(F) G, which may be 0 where no F is -infinity. */
const kf_node *kf_has_weight(kf_graph *g, const kf_node *F);
/* the error of a derivative of SoftDTW's gradient, returns NULL; */
const kf_node *kf_refuse_second(kf_graph *g);
/* whether f is a use of the array of one of the variables; */
bool kf_is_among(const kf_node *f, size_t var_count, const kf_node *const *vars);
/* whether the use of an array as `leaf` can be told from that as `var`: rows and a parameter are no one shape. */
bool kf_has_one_shape(kf_graph *g, const kf_node *var, const kf_node *leaf);

#endif
