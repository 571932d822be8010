/* SPDX-License-Identifier: MIT */
/* formula/composite.c: products, small matrices and splines, made of other operators. */
#include "layout.h"
#include "make.h"
#include "matrix.h"

/* ---- Products ---------------------------------------------------------------------------------------------------- */

static const kf_node *spread(kf_graph *g, const kf_node *f, int64_t rows, int64_t row_stride, int64_t columns,
                             int64_t stride)
{
    const kf_layout l = {.rank = 2, .size = {rows, columns}, .stride = {row_stride, stride}};
    return kf_arrange(g, f, &l);
}

const kf_node *kf_mat_vec(kf_graph *g, const kf_node *A, const kf_node *b)
{
    if (!A || !b)
        return NULL;
    const int64_t rows = A->dim / b->dim;
    if (rows * b->dim != A->dim)
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "MatVecMult: a matrix of %d components has no rows of %d, as the vector has", A->dim, b->dim);
    return kf_sum_rows(g, kf_binary(g, KF_MULT, A, spread(g, b, rows, 0, b->dim, 1)), b->dim);
}

const kf_node *kf_vec_mat(kf_graph *g, const kf_node *b, const kf_node *A)
{
    if (!A || !b)
        return NULL;
    const int64_t columns = A->dim / b->dim;
    if (columns * b->dim != A->dim)
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "VecMatMult: a matrix of %d components has no columns of %d, as the vector has", A->dim,
                         b->dim);
    const kf_node *turned = spread(g, A, columns, 1, b->dim, columns);
    return kf_sum_rows(g, kf_binary(g, KF_MULT, turned, spread(g, b, columns, 0, b->dim, 1)), b->dim);
}

const kf_node *kf_tensor_prod(kf_graph *g, const kf_node *a, const kf_node *b)
{
    if (!a || !b)
        return NULL;
    if ((int64_t)a->dim * b->dim > KF_MAX_DIM)
        return kf_refuse(g, KCL_ERROR_SHAPE, "TensorProd: dimensions %d and %d give more than %d components", a->dim,
                         b->dim, KF_MAX_DIM);
    return kf_binary(g, KF_MULT, spread(g, a, a->dim, 1, b->dim, 0), spread(g, b, a->dim, 0, b->dim, 1));
}

const kf_node *kf_weighted_norm(kf_graph *g, const kf_node *s, const kf_node *f)
{
    if (!s || !f)
        return NULL;
    const kf_node *square = kf_unary(g, KF_SQUARE, f);
    if (s->dim == 1)
        return kf_binary(g, KF_MULT, s, kf_unary(g, KF_SUM, square));
    if (s->dim == f->dim)
        return kf_dot(g, s, square);
    if (s->dim != (int64_t)f->dim * f->dim)
        return kf_refuse(
            g, KCL_ERROR_SHAPE,
            "WeightedSqNorm: weights of dimension %d for a vector of dimension %d; it must be 1, %d or %lld", s->dim,
            f->dim, f->dim, (long long)f->dim * f->dim);
    return kf_dot(g, f, kf_mat_vec(g, s, f));
}

const kf_node *kf_one_hot(kf_graph *g, const kf_node *index, int64_t dim)
{
    if (!index)
        return NULL;
    if (index->dim != 1)
        return kf_refuse(g, KCL_ERROR_SHAPE, "OneHot: the index has dimension %d, it must be 1", index->dim);
    const kf_node *count = kf_make(g, KF_IOTA, NULL, &dim);
    return kf_binary(g, KF_EQUAL, count, kf_make(g, KF_ROUND, &index, &(int64_t){0}));
}

const kf_node *kf_arg_extreme(kf_graph *g, const kf_node *f, kf_op op)
{
    if (!f)
        return NULL;
    const int64_t dim = f->dim;
    const kf_node *here = kf_binary(g, KF_EQUAL, f, kf_unary(g, op, f));
    const kf_node *args[] = {kf_binary(g, KF_SUB, here, kf_rat(g, 1, 1)), kf_make(g, KF_IOTA, NULL, &dim),
                             kf_rat(g, dim, 1)};
    return kf_unary(g, KF_MIN, kf_make(g, KF_IFELSE, args, NULL));
}

static const kf_node *element(kf_graph *g, const kf_node *f, int64_t k)
{
    return kf_make(g, KF_ELEM, &f, &k);
}

/* ---- Matrices ---------------------------------------------------------------------------------------------------- */

enum { MOST_ROWS = 4 }; /* cofactors of larger matrices are slow, and less accurate than elimination */

/* Returns n for a matrix of n x n components; 0 after an error. `most` 0: any number of rows. */
static int rows_of(kf_graph *g, const char *name, const kf_node *A, int most)
{
    int n = 1;
    while (n * n < A->dim)
        n++;
    if (n * n == A->dim && (!most || n <= most))
        return n;
    if (most)
        kb_fail(&g->error, KCL_ERROR_SHAPE,
                "%s: %d components are no square matrix of 1 to %d rows, which has 1, 4, 9 or 16", name, A->dim, most);
    else
        kb_fail(&g->error, KCL_ERROR_SHAPE, "%s: %d components are no square matrix", name, A->dim);
    return 0;
}

/* The determinant of the rows and columns in two sets of one size. Equal determinants are equal nodes. */
static const kf_node *minor(kf_graph *g, const kf_node *A, int n, unsigned rows, unsigned columns)
{
    const kf_node *sum = NULL;
    int row = 0, place = 0;
    while (rows && !(rows >> row & 1))
        row++;
    if (!rows)
        return kf_rat(g, 1, 1);
    for (int column = 0; column < n; column++) {
        if (!(columns >> column & 1))
            continue;
        const kf_node *rest = minor(g, A, n, rows & ~(1u << row), columns & ~(1u << column));
        const kf_node *entry = element(g, A, row * n + column);
        const kf_node *term = rows == 1u << row ? entry : kf_binary(g, KF_MULT, entry, rest);
        sum = !sum ? term : kf_binary(g, place % 2 ? KF_SUB : KF_ADD, sum, term);
        place++;
    }
    return sum;
}

const kf_node *kf_det(kf_graph *g, const kf_node *A)
{
    const int n = A ? rows_of(g, "Det", A, MOST_ROWS) : 0;
    const unsigned all = (1u << n) - 1;
    return n ? minor(g, A, n, all, all) : NULL;
}

const kf_node *kf_trace(kf_graph *g, const kf_node *A)
{
    const int n = A ? rows_of(g, "Trace", A, 0) : 0;
    const kf_layout diagonal = {.rank = 1, .size = {n}, .stride = {n > 1 ? n + 1 : 1}};
    return n ? kf_unary(g, KF_SUM, kf_arrange(g, A, &diagonal)) : NULL;
}

/* Components from..from+count-1 of the adjugate, in a tree of few levels. */
static const kf_node *adjugate(kf_graph *g, const kf_node *A, int n, int from, int count)
{
    if (count > 1)
        return kf_binary(g, KF_CONCAT, adjugate(g, A, n, from, count / 2),
                         adjugate(g, A, n, from + count / 2, count - count / 2));
    const int row = from / n, column = from % n;
    const unsigned all = (1u << n) - 1;
    const kf_node *cofactor = minor(g, A, n, all & ~(1u << column), all & ~(1u << row));
    return (row + column) % 2 ? kf_unary(g, KF_MINUS, cofactor) : cofactor;
}

const kf_node *kf_mat_inv(kf_graph *g, const kf_node *A)
{
    const int n = A ? rows_of(g, "MatInv", A, MOST_ROWS) : 0;
    return n ? kf_binary(g, KF_DIVIDE, adjugate(g, A, n, 0, n * n), kf_det(g, A)) : NULL;
}

/* ---- Splines ----------------------------------------------------------------------------------------------------- */

static const kf_node *part_of(kf_graph *g, const kf_node *f, int64_t start, int64_t count)
{
    return kf_make(g, KF_EXTRACT, &f, (int64_t[]){start, count});
}

/*
 * De Boor, A Practical Guide to Splines (1978), chapter X: B of degree 0 is 1 between neighbouring knots, and
 *
 *     B_j^d = (x - t_j) / (t_j+d - t_j) B_j^d-1 + (t_j+d+1 - x) / (t_j+d+1 - t_j+1) B_j+1^d-1
 *
 * with quotients by 0 taken as 0. All j of a degree are one vector.
 */
const kf_node *kf_bspline(kf_graph *g, const kf_node *t, const kf_node *x, int64_t degree)
{
    if (!t || !x)
        return NULL;
    if (x->dim != 1)
        return kb_fail(&g->error, KCL_ERROR_SHAPE, "BSpline: the place x has dimension %d, it must be 1", x->dim), NULL;
    if (degree < 0 || degree > t->dim - 2)
        return kb_fail(
                   &g->error, KCL_ERROR_SHAPE,
                   "BSpline: %d knots for degree %lld: the degree must be 0 or more, and the knots 2 more than that or "
                   "more",
                   t->dim, (long long)degree),
               NULL;
    const int64_t knots = t->dim;
    const kf_node *zero = kf_zero(g, 1);
    const kf_node *B = kf_binary(g, KF_MULT, kf_binary(g, KF_LESS_EQUAL, part_of(g, t, 0, knots - 1), x),
                                 kf_binary(g, KF_LESS, x, part_of(g, t, 1, knots - 1)));
    for (int64_t d = 1; d <= degree; d++) {
        const int64_t count = knots - d - 1;
        /* Lengths of d intervals, and their inverses. The inverse of 0 is 0, so that the derivative is 0 as well. */
        const kf_node *length = kf_binary(g, KF_SUB, part_of(g, t, d, count + 1), part_of(g, t, 0, count + 1));
        const kf_node *none = kf_binary(g, KF_EQUAL, length, zero);
        const kf_node *inverse =
            kf_binary(g, KF_DIVIDE, kf_binary(g, KF_NOT_EQUAL, length, zero), kf_binary(g, KF_ADD, length, none));
        const kf_node *rise = kf_binary(g, KF_SUB, x, part_of(g, t, 0, count));
        const kf_node *fall = kf_binary(g, KF_SUB, part_of(g, t, d + 1, count), x);
        rise =
            kf_binary(g, KF_MULT, kf_binary(g, KF_MULT, rise, part_of(g, inverse, 0, count)), part_of(g, B, 0, count));
        fall =
            kf_binary(g, KF_MULT, kf_binary(g, KF_MULT, fall, part_of(g, inverse, 1, count)), part_of(g, B, 1, count));
        B = kf_binary(g, KF_ADD, rise, fall);
    }
    return B;
}
