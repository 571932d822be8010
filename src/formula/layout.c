/* SPDX-License-Identifier: MIT */
/*
 * formula/layout.c: components rearranged by sizes and strides, and products of small tensors made from rearranged
 * components.
 */
#include "layout.h"
#include "make.h"
#include "matrix.h"

#include <stdio.h>
#include <stdlib.h>

kf_layout kf_layout_of(const kf_node *f)
{
    kf_layout l = {.rank = (int)f->param[0], .offset = f->param[1]};
    for (int k = 0; k < l.rank; k++) {
        l.size[k] = f->param[2 + 2 * k];
        l.stride[k] = f->param[3 + 2 * k];
    }
    return l;
}

int64_t kf_layout_source(const kf_layout *l, int64_t k)
{
    int64_t source = l->offset;
    for (int axis = l->rank; axis-- > 0; k /= l->size[axis])
        source += k % l->size[axis] * l->stride[axis];
    return source;
}

int64_t kf_layout_inverse(const kf_layout *l, int64_t source)
{
    int64_t rest = source - l->offset, k = 0;
    if (rest < 0)
        return -1;
    for (int axis = 0; axis < l->rank; axis++) {
        const int64_t digit = rest / l->stride[axis];
        if (digit >= l->size[axis])
            return -1;
        rest -= digit * l->stride[axis];
        k = k * l->size[axis] + digit;
    }
    return rest ? -1 : k;
}

/* Axes by falling stride, as a permutation; zero strides last. */
static void sort_axes(const kf_layout *l, int order[KF_MAX_RANK])
{
    for (int k = 0; k < l->rank; k++) {
        int at = k;
        for (; at > 0 && llabs(l->stride[order[at - 1]]) < llabs(l->stride[k]); at--)
            order[at] = order[at - 1];
        order[at] = k;
    }
}

bool kf_layout_check(const int64_t *params, bool place, int64_t dim, int64_t *count, char text[KF_LAYOUT_TEXT])
{
    const int64_t rank = params[0];
    if (rank < 1 || rank > KF_MAX_RANK) {
        snprintf(text, KF_LAYOUT_TEXT, "the number of axes is %lld, it must be between 1 and %d", (long long)rank,
                 KF_MAX_RANK);
        return false;
    }
    kf_layout l = {.rank = (int)rank, .offset = params[1]};
    int64_t low = l.offset, high = l.offset;
    *count = 1;
    for (int k = 0; k < l.rank; k++) {
        l.size[k] = params[2 + 2 * k];
        l.stride[k] = params[3 + 2 * k];
        if (l.size[k] < 1 || l.size[k] > KF_MAX_DIM || llabs(l.stride[k]) > KF_MAX_DIM ||
            llabs(l.offset) > KF_MAX_DIM || (*count *= l.size[k]) > KF_MAX_DIM) {
            snprintf(text, KF_LAYOUT_TEXT, "axis %d has size %lld and stride %lld: beyond what a vector can have", k,
                     (long long)l.size[k], (long long)l.stride[k]);
            return false;
        }
        *(l.stride[k] < 0 ? &low : &high) += (l.size[k] - 1) * l.stride[k];
    }
    if (low < 0 || high >= dim) {
        snprintf(text, KF_LAYOUT_TEXT, "components %lld to %lld of a vector of dimension %lld", (long long)low,
                 (long long)high, (long long)dim);
        return false;
    }
    /* No component is visited twice, but along an axis of stride 0: only then are derivatives copies again. */
    int order[KF_MAX_RANK];
    int64_t extent = 0;
    sort_axes(&l, order);
    for (int k = l.rank; k-- > 0;) {
        const int axis = order[k];
        const int64_t stride = llabs(l.stride[axis]);
        bool nested = l.size[axis] == 1 || (stride > extent) || (!place && stride == 0);
        bool ordered = !place || (axis == k && l.stride[axis] > 0);
        if (!nested || !ordered) {
            snprintf(text, KF_LAYOUT_TEXT, "axis %d has stride %lld: %s", axis, (long long)l.stride[axis],
                     place ? "strides must be positive, each beyond the axes that follow"
                           : "it must be 0, or lead beyond the axes of smaller strides");
            return false;
        }
        extent += (l.size[axis] - 1) * stride;
    }
    return true;
}

static void put_layout(const kf_layout *l, int64_t params[KF_MAX_PARAMS])
{
    params[0] = l->rank;
    params[1] = l->offset;
    for (int k = 0; k < l->rank; k++) {
        params[2 + 2 * k] = l->size[k];
        params[3 + 2 * k] = l->stride[k];
    }
}

/* Axes of size 1 are dropped; axes that follow each other in memory become one axis. */
static kf_layout shortest(const kf_layout *l)
{
    kf_layout s = {.offset = l->offset};
    for (int k = 0; k < l->rank; k++) {
        if (l->size[k] == 1)
            continue;
        if (s.rank && s.stride[s.rank - 1] == l->stride[k] * l->size[k]) {
            s.size[s.rank - 1] *= l->size[k];
            s.stride[s.rank - 1] = l->stride[k];
            continue;
        }
        s.size[s.rank] = l->size[k];
        s.stride[s.rank++] = l->stride[k];
    }
    if (!s.rank) {
        s.size[0] = 1;
        s.stride[0] = 1;
        s.rank = 1;
    }
    return s;
}

const kf_node *kf_arrange(kf_graph *g, const kf_node *f, const kf_layout *layout)
{
    const kf_layout l = shortest(layout);
    int64_t params[KF_MAX_PARAMS] = {0};
    if (!f)
        return NULL;
    if (l.rank == 1 && l.size[0] == 1)
        return f->dim == 1 ? f : kf_make(g, KF_ELEM, &f, &l.offset);
    if (l.rank == 1 && l.stride[0] == 1)
        return l.size[0] == f->dim ? f : kf_make(g, KF_EXTRACT, &f, (int64_t[]){l.offset, l.size[0]});
    if (l.rank == 1 && l.stride[0] == 0) {
        const kf_node *one = f->dim == 1 ? f : kf_make(g, KF_ELEM, &f, &l.offset);
        return one ? kf_make(g, KF_SUMT, &one, &l.size[0]) : NULL;
    }
    put_layout(&l, params);
    return kf_make(g, KF_ARRANGE, &f, params);
}

const kf_node *kf_sum_rows(kf_graph *g, const kf_node *f, int64_t length)
{
    if (!f || length == 1)
        return f;
    return length == f->dim ? kf_unary(g, KF_SUM, f) : kf_make(g, KF_SUMROWS, &f, &length);
}

/*
 * The cotangent of a component is the cotangent of the operand's component: axes of stride 0 are summed, the others put
 * into the order that Place wants.
 */
const kf_node *kf_arrange_adjoint(kf_graph *g, const kf_layout *l, int64_t dim, const kf_node *e)
{
    int order[KF_MAX_RANK];
    int64_t pitch[KF_MAX_RANK], inner = 1, repeats = 1, params[KF_MAX_PARAMS] = {0};
    kf_layout from = {.rank = l->rank}, to = {.offset = l->offset};
    for (int k = l->rank; k-- > 0; inner *= l->size[k])
        pitch[k] = inner;
    sort_axes(l, order);
    for (int k = 0; k < l->rank; k++) {
        const int axis = order[k];
        const bool backwards = l->stride[axis] < 0;
        from.size[k] = l->size[axis];
        from.stride[k] = backwards ? -pitch[axis] : pitch[axis];
        from.offset += backwards ? (l->size[axis] - 1) * pitch[axis] : 0;
        if (l->stride[axis] == 0) {
            repeats *= l->size[axis];
            continue;
        }
        to.size[to.rank] = l->size[axis];
        to.stride[to.rank++] = llabs(l->stride[axis]);
        to.offset += backwards ? (l->size[axis] - 1) * l->stride[axis] : 0;
    }
    e = kf_sum_rows(g, kf_arrange(g, e, &from), repeats);
    to = shortest(&to);
    if (!e || (to.rank == 1 && to.size[0] == dim))
        return e;
    if (to.rank == 1 && to.stride[0] == 1)
        return e->dim == 1 ? kf_make(g, KF_ELEMT, &e, (int64_t[]){dim, to.offset})
                           : kf_make(g, KF_EXTRACTT, &e, (int64_t[]){to.offset, dim});
    put_layout(&to, params);
    params[2 + 2 * to.rank] = dim;
    return kf_make(g, KF_PLACE, &e, params);
}

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

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

int kf_copy_source(const kf_node *f, int64_t k, int64_t *component, int64_t *run, int *stride)
{
    const int64_t *p = f->param;
    int64_t start = 0, length = f->dim; /* components of f that operand 0 gives */
    *stride = 1;
    switch ((kf_op)f->op) {
    case KF_SUMT:
        *component = 0;
        *run = f->dim - k;
        *stride = 0;
        return 0;
    case KF_ELEM:
        *component = p[0];
        *run = 1;
        return 0;
    case KF_EXTRACT:
        *component = p[0] + k;
        *run = f->dim - k;
        return 0;
    case KF_ARRANGE: {
        const kf_layout l = kf_layout_of(f);
        const int64_t last = l.stride[l.rank - 1];
        *component = kf_layout_source(&l, k);
        *run = last == 0 || last == 1 ? l.size[l.rank - 1] - k % l.size[l.rank - 1] : 1;
        *stride = last != 0;
        return 0;
    }
    case KF_PLACE: {
        const kf_layout l = kf_layout_of(f);
        *component = kf_layout_inverse(&l, k);
        *run = 1;
        if (*component >= 0)
            return 0;
        *component = 0;
        return -1;
    }
    case KF_CONCAT:
        length = f->arg[0]->dim;
        if (k >= length) {
            *component = k - length;
            *run = f->dim - k;
            return 1;
        }
        break;
    case KF_ELEMT:
        start = p[1];
        length = 1;
        break;
    case KF_EXTRACTT:
        start = p[0];
        length = f->arg[0]->dim;
        break;
    default:
        break;
    }
    if (k < start || k >= start + length) {
        *component = 0;
        *run = (k < start ? start : f->dim) - k;
        return -1;
    }
    *component = k - start;
    *run = start + length - k;
    return 0;
}
