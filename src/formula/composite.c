/* SPDX-License-Identifier: MIT */
/* formula/composite.c: small matrices, made of other operators. */
#include "graph.h"

static const kf_node *element(kf_graph *g, const kf_node *f, int64_t k)
{
    return kf_make(g, KF_ELEM, &f, &k);
}

/* ---- Matrices ---------------------------------------------------------------------------------------------------- */

enum { MOST_ROWS = 4 }; /* cofactors of more are slow, and less accurate than an elimination */

/* n of n x n components; 0 after an error. `most` 0: any number. */
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

/* The determinant of the rows and columns in two sets of as many; equal ones are equal nodes. */
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
