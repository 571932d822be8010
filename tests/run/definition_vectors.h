/* SPDX-License-Identifier: MIT */
/* tests/run/definition_vectors.h: operations on whole vectors by their definition; see definition.h. */
#ifndef TEST_DEFINITION_VECTORS_H
#define TEST_DEFINITION_VECTORS_H

#include "definition.h"

/* What a vector operation reads at a point. */
typedef struct vectors {
    const num *x[3];
    int dim[3];
    int n, m;
} vectors;

static inline num square_sum(const num *x, int count)
{
    return dot_of(x, 1, x, 1, count);
}

/* The determinant of the minor of A, of order n, without row `row` and column `column`; by expansion. */
static inline num determinant(const num *A, int n)
{
    num sum = {0}, minor[9];
    if (n == 1)
        return A[0];
    for (int c = 0; c < n; c++) {
        for (int r = 1; r < n; r++)
            for (int k = 0; k < n - 1; k++)
                minor[(r - 1) * (n - 1) + k] = A[r * n + k + (k >= c)];
        num term = mult(A[c], determinant(minor, n - 1));
        sum = c % 2 ? subtract(sum, term) : add(sum, term);
    }
    return sum;
}

static inline void inverse(num *r, const num *A, int n)
{
    num minor[9];
    const num det = determinant(A, n);
    for (int row = 0; row < n; row++) {
        for (int column = 0; column < n; column++) {
            for (int a = 0, k = 0; a < n; a++)
                for (int c = 0; c < n; c++)
                    if (a != column && c != row)
                        minor[k++] = A[a * n + c];
            num value = n == 1 ? number(1) : determinant(minor, n - 1);
            if ((row + column) % 2)
                value = op1(D_MINUS, value);
            r[row * n + column] = op2(D_DIVIDE, value, det);
        }
    }
}

static inline int root_of(int n)
{
    int r = 1;
    while (r * r < n)
        r++;
    return r;
}

/* The number of the first largest component of `sign` x. */
static inline num place_of_largest(const num *x, int count, int sign)
{
    num r = {0};
    int best = 0;
    for (int k = 1; k < count; k++)
        best = sign * x[k].v > sign * x[best].v ? k : best;
    for (int k = 0; k < count; k++)
        if (k != best && x[k].e + x[best].e != 0 && fabsl(x[k].v - x[best].v) <= 4 * (x[k].e + x[best].e))
            r.e = INFINITY;
    r.v = best;
    return r;
}

/* The B-splines of degree n at x, by the recursion, of knots that differ. */
static inline num spline(const num *t, num x, int k, int n)
{
    if (n == 0) {
        num r = {.v = t[k].v <= x.v && x.v < t[k + 1].v ? 1 : 0};
        for (int q = k; q <= k + 1; q++)
            if (t[q].e + x.e != 0 && fabsl(t[q].v - x.v) <= 4 * (t[q].e + x.e))
                r.e = INFINITY;
        return r;
    }
    num left = op2(D_DIVIDE, subtract(x, t[k]), subtract(t[k + n], t[k]));
    num right = op2(D_DIVIDE, subtract(t[k + n + 1], x), subtract(t[k + n + 1], t[k + 1]));
    return add(mult(left, spline(t, x, k, n - 1)), mult(right, spline(t, x, k + 1, n - 1)));
}

static inline num complex_part(const num *x, int dim, int k, int part)
{
    return x[dim == 2 ? part : 2 * k + part];
}

/* X(id): a vector operation. */
#define VECTOR_OPERATIONS(X)                                                                                           \
    X(SUM)                                                                                                             \
    X(SUM_T)                                                                                                           \
    X(SCALPROD)                                                                                                        \
    X(SQNORM2)                                                                                                         \
    X(NORM2)                                                                                                           \
    X(SQDIST) X(NORMALIZE) X(SQNORMISO) X(SQNORMDIAG) X(ELEM) X(ELEM_T) X(EXTRACT) X(EXTRACT_T) X(CONCAT) X(WEIGHTED)  \
        X(WEIGHTED_DIST) X(SYMSQNORM) X(MAX) X(MIN) X(ARGMAX) X(ARGMIN) X(ONEHOT) X(MATVEC) X(VECMAT) X(TENSORPROD)    \
            X(TENSORDOT) X(KRON) X(DET) X(MATINV) X(TRACE) X(SUMROWS) X(ARRANGE) X(CLAMP) X(CLAMP_INT) X(MOD)          \
                X(BSPLINE) X(LIKE) X(C_OF_REAL) X(C_OF_IMAG) X(C_REAL) X(C_IMAG) X(C_CONJ) X(C_ABS) X(C_SQUARE_ABS)    \
                    X(C_ANGLE) X(C_ADD) X(C_SUBTRACT) X(C_MULT) X(C_DIVIDE) X(C_SCALE) X(C_EXP) X(C_EXP1J) X(C_SUM)

typedef enum vector_operation {
#define X(id) V_##id,
    VECTOR_OPERATIONS(X)
#undef X
        V_COUNT
} vector_operation;

static const char *const vector_names[] = {
#define X(id) #id,
    VECTOR_OPERATIONS(X)
#undef X
};

static inline void vector_value(vector_operation op, const vectors *v, num *r, int dim)
{
    const num *x = v->x[0], *y = v->x[1], *z = v->x[2];
    const int d = v->dim[0], n = v->n, m = v->m;
    const int x_step = d == 1 ? 0 : 1, y_step = v->dim[1] == 1 ? 0 : 1;
    num differences[256], first, second;
    switch (op) {
    case V_SUM:
        r[0] = sum_of(x, d, 1);
        return;
    case V_SUM_T:
        for (int k = 0; k < dim; k++)
            r[k] = x[0];
        return;
    case V_SCALPROD:
        r[0] = dot_of(x, x_step, y, y_step, KB_MAX(d, v->dim[1]));
        return;
    case V_SQNORM2:
        r[0] = square_sum(x, d);
        return;
    case V_NORM2:
        r[0] = op1(D_SQRT, square_sum(x, d));
        return;
    case V_SQDIST:
        for (int k = 0; k < KB_MAX(d, v->dim[1]); k++)
            differences[k] = subtract(x[k * x_step], y[k * y_step]);
        r[0] = square_sum(differences, KB_MAX(d, v->dim[1]));
        return;
    case V_NORMALIZE:
        first = op1(D_RSQRT, square_sum(x, d));
        for (int k = 0; k < d; k++)
            r[k] = mult(x[k], first);
        return;
    case V_SQNORMISO:
        r[0] = mult(x[0], square_sum(y, v->dim[1]));
        return;
    case V_SQNORMDIAG:
        for (int k = 0; k < d; k++)
            differences[k] = mult(y[k], y[k]);
        r[0] = dot_of(x, 1, differences, 1, d);
        return;
    case V_ELEM:
        r[0] = x[n];
        return;
    case V_ELEM_T:
    case V_EXTRACT_T:
        for (int k = 0; k < dim; k++)
            r[k] = k >= n && k < n + d ? x[k - n] : (num){0};
        return;
    case V_EXTRACT:
        for (int k = 0; k < dim; k++)
            r[k] = x[n + k];
        return;
    case V_CONCAT:
        for (int k = 0; k < dim; k++)
            r[k] = k < d ? x[k] : y[k - d];
        return;
    case V_WEIGHTED: /* s, f */
    case V_WEIGHTED_DIST:
    case V_SYMSQNORM: {
        const int length = v->dim[1];
        for (int k = 0; k < length; k++)
            differences[k] = op == V_WEIGHTED_DIST ? subtract(y[k], z[k]) : y[k];
        if (d == 1 && op != V_SYMSQNORM) {
            r[0] = mult(x[0], square_sum(differences, length));
        } else if (d == length && op != V_SYMSQNORM) {
            num squares[256];
            for (int k = 0; k < length; k++)
                squares[k] = mult(differences[k], differences[k]);
            r[0] = dot_of(x, 1, squares, 1, length);
        } else {
            num rows[16];
            for (int k = 0; k < length; k++)
                rows[k] = dot_of(x + k * length, 1, differences, 1, length);
            r[0] = dot_of(differences, 1, rows, 1, length);
        }
        return;
    }
    case V_MAX:
    case V_MIN:
        r[0] = x[0];
        for (int k = 1; k < d; k++)
            r[0] = op2(op == V_MAX ? D_MAXIMUM : D_MINIMUM, r[0], x[k]);
        return;
    case V_ARGMAX:
    case V_ARGMIN:
        r[0] = place_of_largest(x, d, op == V_ARGMAX ? 1 : -1);
        return;
    case V_ONEHOT:
        first = op1(D_ROUND, (num){.v = x[0].v, .e = x[0].e});
        for (int k = 0; k < dim; k++)
            r[k] = (num){.v = first.v == k, .e = first.e};
        return;
    case V_MATVEC: /* A of dim rows */
        for (int k = 0; k < dim; k++)
            r[k] = dot_of(x + k * v->dim[1], 1, y, 1, v->dim[1]);
        return;
    case V_VECMAT:
        for (int k = 0; k < dim; k++)
            r[k] = dot_of(x, 1, y + k, dim, d);
        return;
    case V_TENSORPROD:
        for (int k = 0; k < dim; k++)
            r[k] = mult(x[k / v->dim[1]], y[k % v->dim[1]]);
        return;
    case V_TENSORDOT: /* (n, m) times (m, dim / n), or the transposed of that */
        for (int k = 0; k < dim; k++)
            r[k] = dot_of(x + k / (dim / n) * m, 1, y + k % (dim / n), dim / n, m);
        return;
    case V_KRON: { /* x of (n, d / n), y of (m, dim[1] / m) */
        const int x_cols = d / n, y_cols = v->dim[1] / m;
        for (int row = 0; row < n * m; row++)
            for (int column = 0; column < x_cols * y_cols; column++)
                r[row * x_cols * y_cols + column] =
                    mult(x[row / m * x_cols + column / y_cols], y[row % m * y_cols + column % y_cols]);
        return;
    }
    case V_DET:
        r[0] = determinant(x, root_of(d));
        return;
    case V_MATINV:
        inverse(r, x, root_of(d));
        return;
    case V_TRACE:
        r[0] = sum_of(x, root_of(d), root_of(d) + 1);
        return;
    case V_SUMROWS:
        for (int k = 0; k < dim; k++)
            r[k] = sum_of(x + k * n, n, 1);
        return;
    case V_ARRANGE: /* the transposed of (n, d / n) */
        for (int k = 0; k < dim; k++)
            r[k] = x[k % n * (d / n) + k / n];
        return;
    case V_CLAMP:
        for (int k = 0; k < dim; k++)
            r[k] = op2(D_MINIMUM, op2(D_MAXIMUM, x[k], y[k * y_step]), z[v->dim[2] == 1 ? 0 : k]);
        return;
    case V_CLAMP_INT:
        for (int k = 0; k < dim; k++)
            r[k] = op2(D_MINIMUM, op2(D_MAXIMUM, x[k], number(n)), number(m));
        return;
    case V_MOD:
        for (int k = 0; k < dim; k++) {
            first = op1(D_FLOOR, op2(D_DIVIDE, subtract(x[k], z[v->dim[2] == 1 ? 0 : k]), y[k * y_step]));
            r[k] = subtract(x[k], mult(y[k * y_step], first));
        }
        return;
    case V_BSPLINE:
        for (int k = 0; k < dim; k++)
            r[k] = spline(x, y[0], k, n);
        return;
    case V_LIKE:
        for (int k = 0; k < dim; k++)
            r[k] = x[k];
        return;
    case V_C_OF_REAL:
    case V_C_OF_IMAG:
        for (int k = 0; k < dim; k++)
            r[k] = k % 2 == (op == V_C_OF_IMAG) ? x[k / 2] : (num){0};
        return;
    case V_C_REAL:
    case V_C_IMAG:
        for (int k = 0; k < dim; k++)
            r[k] = x[2 * k + (op == V_C_IMAG)];
        return;
    case V_C_CONJ:
        for (int k = 0; k < dim; k++)
            r[k] = k % 2 ? op1(D_MINUS, x[k]) : x[k];
        return;
    case V_C_ABS:
    case V_C_SQUARE_ABS:
        for (int k = 0; k < dim; k++) {
            r[k] = square_sum(x + 2 * k, 2);
            if (op == V_C_ABS)
                r[k] = op1(D_SQRT, r[k]);
        }
        return;
    case V_C_ANGLE:
        for (int k = 0; k < dim; k++)
            r[k] = op2(D_ATAN2, x[2 * k + 1], x[2 * k]);
        return;
    case V_C_SUM:
        r[0] = sum_of(x, d / 2, 2);
        r[1] = sum_of(x + 1, d / 2, 2);
        return;
    case V_C_SCALE:
        for (int k = 0; k < dim; k++)
            r[k] = mult(x[0], y[k]);
        return;
    case V_C_EXP:
    case V_C_EXP1J:
        for (int k = 0; k < dim / 2; k++) {
            const num angle = op == V_C_EXP ? x[2 * k + 1] : x[k];
            r[2 * k] = op1(D_COS, angle);
            r[2 * k + 1] = op1(D_SIN, angle);
            first = op == V_C_EXP ? op1(D_EXP, x[2 * k]) : number(1);
            for (int part = 0; part < 2 && op == V_C_EXP; part++)
                r[2 * k + part] = mult(first, r[2 * k + part]);
        }
        return;
    case V_C_ADD:
    case V_C_SUBTRACT:
        for (int k = 0; k < dim; k++)
            r[k] = op2(op == V_C_ADD ? D_ADD : D_SUBTRACT, complex_part(x, d, k / 2, k % 2),
                       complex_part(y, v->dim[1], k / 2, k % 2));
        return;
    case V_C_MULT:
    case V_C_DIVIDE:
        for (int k = 0; k < dim / 2; k++) {
            const num a = complex_part(x, d, k, 0), b = complex_part(x, d, k, 1);
            num c = complex_part(y, v->dim[1], k, 0), e = complex_part(y, v->dim[1], k, 1);
            const num size = add(mult(c, c), mult(e, e));
            if (op == V_C_DIVIDE)
                e = op1(D_MINUS, e);
            first = subtract(mult(a, c), mult(b, e));
            second = add(mult(a, e), mult(b, c));
            r[2 * k] = op == V_C_DIVIDE ? op2(D_DIVIDE, first, size) : first;
            r[2 * k + 1] = op == V_C_DIVIDE ? op2(D_DIVIDE, second, size) : second;
        }
        return;
    case V_COUNT:
        return;
    }
}

#endif
