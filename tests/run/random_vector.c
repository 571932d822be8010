/* SPDX-License-Identifier: MIT */
/* tests/run/random_vector.c: random operations on vectors; see random_formula.h. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "random_formula.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Growing ------------------------------------------------------------------------------------------------------- */

node *apply_vector(program *p, vector_operation op, node *x, node *y, node *z, int n, int m, int dim, const char *text)
{
    const int axes = x->axes | (y ? y->axes : 0) | (z ? z->axes : 0);
    node *f = node_make(p, dim, axes, x->batch || (y && y->batch) || (z && z->batch), "%s", text);
    f->operators = x->operators | (y ? y->operators : 0) | (z ? z->operators : 0);
    f->vectors = x->vectors | (y ? y->vectors : 0) | (z ? z->vectors : 0) | UINT64_C(1) << op;
    FOR_POINTS(p, f)
    {
        vectors v = {
            .x = {node_at(p, x, b, i, j), y ? node_at(p, y, b, i, j) : NULL, z ? node_at(p, z, b, i, j) : NULL},
            .dim = {x->dim, y ? y->dim : 0, z ? z->dim : 0},
            .n = n,
            .m = m};
        vector_value(op, &v, node_at(p, f, b, i, j), dim);
    }
    return f;
}

node *grow_vector(program *p)
{
    const vector_operation op = (vector_operation)rarest(p->vector, V_COUNT);
    node *x = any(p), *y = NULL, *z = NULL;
    int n = 0, m = 0, dim = 0;
    char text[5 * MOST_TEXT] = "";
#define TEXT(...) snprintf(text, sizeof text, __VA_ARGS__)
    if (op >= V_C_REAL && op != V_C_EXP1J && op != V_C_SCALE)
        x = any_of(p, 0, 2);
    if (op == V_DET || op == V_MATINV || op == V_TRACE)
        x = any_square(p);
    if (op == V_SUM_T || op == V_ELEM_T || op == V_SQNORMISO || op == V_ONEHOT || op == V_C_SCALE)
        x = any_of(p, 1, 1);
    if (!x)
        return NULL;
    const int d = x->dim;
    switch (op) {
    case V_SUM:
    case V_SQNORM2:
    case V_NORM2:
    case V_MAX:
    case V_MIN:
    case V_ARGMAX:
    case V_ARGMIN:
    case V_DET:
    case V_TRACE: {
        const char *name = op == V_SUM       ? "Sum"
                           : op == V_SQNORM2 ? "SqNorm2"
                           : op == V_NORM2   ? "Norm2"
                           : op == V_MAX     ? "Max"
                           : op == V_MIN     ? "Min"
                           : op == V_ARGMAX  ? "ArgMax"
                           : op == V_ARGMIN  ? "ArgMin"
                           : op == V_DET     ? "Det"
                                             : "Trace";
        dim = 1;
        TEXT("%s(%s)", name, x->text);
        break;
    }
    case V_NORMALIZE:
    case V_MATINV:
        dim = d;
        TEXT("%s(%s)", op == V_MATINV ? "MatInv" : "Normalize", x->text);
        break;
    case V_SUM_T:
        dim = 1 + pick(6);
        TEXT("SumT(%s,%d)", x->text, dim);
        break;
    case V_SCALPROD:
    case V_SQDIST:
        y = any_like(p, x);
        dim = 1;
        if (y && op == V_SCALPROD && pick(2))
            TEXT("(%s|%s)", x->text, y->text);
        else if (y)
            TEXT("%s(%s,%s)", op == V_SCALPROD ? "Scalprod" : "SqDist", x->text, y->text);
        break;
    case V_SQNORMISO:
        y = any(p);
        dim = 1;
        TEXT("SqNormIso(%s,%s)", x->text, y->text);
        break;
    case V_SQNORMDIAG:
        y = any_of(p, d, 1);
        dim = 1;
        if (y)
            TEXT("SqNormDiag(%s,%s)", x->text, y->text);
        break;
    case V_ELEM:
        n = pick(d);
        dim = 1;
        TEXT("Elem(%s,%d)", x->text, n);
        break;
    case V_ELEM_T:
        dim = 1 + pick(5);
        n = pick(dim);
        TEXT("ElemT(%s,%d,%d)", x->text, dim, n);
        break;
    case V_EXTRACT:
        dim = 1 + pick(d);
        n = pick(d - dim + 1);
        TEXT("Extract(%s,%d,%d)", x->text, n, dim);
        break;
    case V_EXTRACT_T:
        n = pick(4);
        dim = d + n + pick(3);
        TEXT("ExtractT(%s,%d,%d)", x->text, n, dim);
        break;
    case V_CONCAT:
        y = any(p);
        dim = d + y->dim;
        TEXT("Concat(%s,%s)", x->text, y->text);
        break;
    case V_WEIGHTED:
    case V_WEIGHTED_DIST:
    case V_SYMSQNORM: {
        const int root = root_of(d);
        y = (root * root == d && pick(2)) || op == V_SYMSQNORM ? any_of(p, root, 1) : d == 1 ? any(p) : any_of(p, d, 1);
        if (!y || (op == V_SYMSQNORM && root * root != d))
            return NULL;
        if (op == V_WEIGHTED_DIST && !(z = any_of(p, y->dim, 1)))
            return NULL;
        if (y->dim * y->dim == d && y->dim > 10)
            return NULL;
        dim = 1;
        if (z)
            TEXT("WeightedSqDist(%s,%s,%s)", x->text, y->text, z->text);
        else
            TEXT("%s(%s,%s)", op == V_WEIGHTED ? "WeightedSqNorm" : "SymSqNorm", x->text, y->text);
        break;
    }
    case V_ONEHOT:
        dim = 2 + pick(4);
        x = fit(p, x, -0.4, dim - 0.6);
        if (x)
            TEXT("OneHot(%s,%d)", x->text, dim);
        break;
    case V_MATVEC:
    case V_VECMAT:
        y = any(p);
        if (op == V_MATVEC ? d % y->dim != 0 : y->dim % d != 0)
            return NULL;
        dim = op == V_MATVEC ? d / y->dim : y->dim / d;
        TEXT("%s(%s,%s)", op == V_MATVEC ? "MatVecMult" : "VecMatMult", x->text, y->text);
        break;
    case V_TENSORPROD:
        y = any(p);
        dim = d * y->dim;
        TEXT("TensorProd(%s,%s)", x->text, y->text);
        break;
    case V_TENSORDOT: /* (n, m) times (m, q) */
        y = any(p);
        m = 1 + pick(4);
        if (d % m || y->dim % m)
            return NULL;
        n = d / m;
        dim = n * (y->dim / m);
        TEXT("TensorDot(%s,%s,[%d,%d],[%d,%d],[1],[0])", x->text, y->text, n, m, m, y->dim / m);
        break;
    case V_KRON:
        y = any(p);
        n = 1 + pick(3);
        m = 1 + pick(3);
        if (d % n || y->dim % m)
            return NULL;
        dim = d * y->dim;
        TEXT("Kron(%s,%s,[%d,%d],[%d,%d])", x->text, y->text, n, d / n, m, y->dim / m);
        break;
    case V_SUMROWS:
        n = 1 + pick(4);
        if (d % n)
            return NULL;
        dim = d / n;
        TEXT("SumRows(%s,%d)", x->text, n);
        break;
    case V_ARRANGE:
        n = 2 + pick(3);
        if (d % n || d == n)
            return NULL;
        dim = d;
        TEXT("Arrange(%s,2,0,%d,1,%d,%d)", x->text, d / n, n, d / n);
        break;
    case V_CLAMP:
        y = pick(2) ? constant(p, -0.5) : any_like(p, x);
        z = pick(2) ? constant(p, 0.75) : any_like(p, x);
        y = y ? fit(p, y, -2, -0.25) : NULL;
        z = z ? fit(p, z, 0.25, 2) : NULL;
        dim = d;
        if (y && z)
            TEXT("Clamp(%s,%s,%s)", x->text, y->text, z->text);
        break;
    case V_CLAMP_INT:
        n = -pick(2);
        m = 1 + pick(2);
        dim = d;
        TEXT("ClampInt(%s,%d,%d)", x->text, n, m);
        break;
    case V_MOD:
        y = pick(2) ? constant(p, 1.5) : any_like(p, x);
        z = pick(2) ? constant(p, 0.25) : any_like(p, x);
        y = y ? fit(p, y, 0.5, 2) : NULL;
        dim = d;
        if (y && z)
            TEXT("Mod(%s,%s,%s)", x->text, y->text, z->text);
        break;
    case V_BSPLINE:
        y = any_of(p, 1, 1);
        y = y ? fit(p, y, -0.5, 2.2) : NULL;
        x = p->pool[KNOTS];
        n = pick(3);
        dim = x->dim - n - 1;
        if (y)
            TEXT("BSpline(%s,%s,%d)", x->text, y->text, n);
        break;
    case V_LIKE:
        y = any(p);
        dim = d;
        TEXT("Like(%s,%s)", x->text, y->text);
        break;
    case V_C_OF_REAL:
    case V_C_OF_IMAG:
    case V_C_EXP1J:
        dim = 2 * d;
        TEXT("%s(%s)",
             op == V_C_OF_REAL   ? "Real2Complex"
             : op == V_C_OF_IMAG ? "Imag2Complex"
                                 : "ComplexExp1j",
             x->text);
        break;
    case V_C_REAL:
    case V_C_IMAG:
    case V_C_ABS:
    case V_C_SQUARE_ABS:
    case V_C_ANGLE:
        dim = d / 2;
        TEXT("Complex%s(%s)",
             op == V_C_REAL         ? "Real"
             : op == V_C_IMAG       ? "Imag"
             : op == V_C_ABS        ? "Abs"
             : op == V_C_SQUARE_ABS ? "SquareAbs"
                                    : "Angle",
             x->text);
        break;
    case V_C_CONJ:
    case V_C_EXP:
        x = op == V_C_EXP ? fit(p, x, -2, 2) : x;
        dim = d;
        if (x)
            TEXT("%s(%s)", op == V_C_EXP ? "ComplexExp" : "Conj", x->text);
        break;
    case V_C_SUM:
        dim = 2;
        TEXT("ComplexSum(%s)", x->text);
        break;
    case V_C_SCALE:
        y = any_of(p, 0, 2);
        dim = y ? y->dim : 0;
        if (y)
            TEXT("ComplexRealScal(%s,%s)", x->text, y->text);
        break;
    case V_C_ADD:
    case V_C_SUBTRACT:
    case V_C_MULT:
    case V_C_DIVIDE:
        y = pick(4) ? any_of(p, d, 1) : any_of(p, 2, 1);
        if (!y)
            return NULL;
        dim = KB_MAX(d, y->dim);
        TEXT("Complex%s(%s,%s)",
             op == V_C_ADD        ? "Add"
             : op == V_C_SUBTRACT ? "Subtract"
             : op == V_C_MULT     ? "Mult"
                                  : "Divide",
             x->text, y->text);
        break;
    case V_COUNT:
        break;
    }
#undef TEXT
    if (!*text || dim > 100)
        return NULL;
    return apply_vector(p, op, x, y, z, n, m, dim, text);
}
