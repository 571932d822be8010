/* SPDX-License-Identifier: MIT */
/* formula/tensor.c: vectors of components as small tensors (D1, ..., Dk), row-major, and their products. */
#include "tensor.h"
#include "layout.h"
#include "make.h"

#include <stdio.h>
#include <string.h>

const char *kf_shape_text(const kf_shape *s, char text[KF_SHAPE_TEXT])
{
    size_t n = (size_t)snprintf(text, KF_SHAPE_TEXT, "(");
    for (int k = 0; k < s->rank && n < KF_SHAPE_TEXT; k++)
        n += (size_t)snprintf(text + n, KF_SHAPE_TEXT - n, "%s%lld", k ? ", " : "", (long long)s->size[k]);
    if (n < KF_SHAPE_TEXT)
        snprintf(text + n, KF_SHAPE_TEXT - n, ")");
    return text;
}

int64_t kf_shape_count(const kf_shape *s)
{
    int64_t count = 1;
    for (int k = 0; k < s->rank; k++)
        count = s->size[k] < 1 || count < 0 || s->size[k] > KF_MAX_DIM / count ? -1 : count * s->size[k];
    return count;
}

void kf_shape_strides(const kf_shape *s, int64_t stride[KF_MAX_RANK])
{
    int64_t step = 1;
    for (int k = s->rank; k-- > 0; step *= s->size[k])
        stride[k] = step;
}

int kf_shape_axis(kf_graph *g, const char *name, const kf_shape *s, int64_t axis)
{
    char text[KF_SHAPE_TEXT];
    if (axis >= -s->rank && axis < s->rank)
        return (int)(axis < 0 ? axis + s->rank : axis);
    kf_refuse(g, KCL_ERROR_SHAPE, "%s: axis %lld of an inner shape %s is not between %d and %d", name, (long long)axis,
              kf_shape_text(s, text), -s->rank, s->rank - 1);
    return -1;
}

const kf_node *kf_arrange_shape(kf_graph *g, const kf_node *f, const kf_shape *size, const int64_t *stride,
                                int64_t offset)
{
    kf_layout l = {.rank = size->rank, .offset = offset};
    memcpy(l.size, size->size, sizeof l.size);
    memcpy(l.stride, stride, sizeof l.stride);
    return kf_arrange(g, f, &l);
}

bool kf_product_fits(kf_graph *g, const char *name, int rank)
{
    if (rank > KF_MAX_RANK)
        kf_refuse(g, KCL_ERROR_SHAPE, "%s: the product has %d axes, those that are summed over included: more than %d",
                  name, rank, KF_MAX_RANK);
    return rank <= KF_MAX_RANK;
}

const kf_node *kf_contract(kf_graph *g, const char *name, const kf_contraction *c, const kf_node *f, const kf_node *h,
                           kf_shape *shape)
{
    int64_t length = 1;
    char text[KF_SHAPE_TEXT];
    kf_shape s = c->size;
    if (kf_shape_count(&s) < 0)
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "%s: the product %s has more than %d components, those that are summed over included", name,
                         kf_shape_text(&s, text), KF_MAX_DIM);
    for (int k = 0; k < c->contracted; k++)
        length *= s.size[--s.rank];
    if (!s.rank)
        s = (kf_shape){1, {1}};
    *shape = s;
    return kf_sum_rows(
        g, kf_binary(g, KF_MULT, kf_arrange_shape(g, f, &c->size, c->f, 0), kf_arrange_shape(g, h, &c->size, c->h, 0)),
        length);
}

/* Whether the operand has as many components as its shape. */
static bool has_shape(kf_graph *g, const char *name, const kf_node *f, const kf_shape *s)
{
    char text[KF_SHAPE_TEXT];
    const int64_t count = kf_shape_count(s);
    if (f && count != f->dim)
        kf_refuse(g, KCL_ERROR_SHAPE, "%s: the shape %s is not one of %d components, as the operand has", name,
                  kf_shape_text(s, text), f->dim);
    return f && count == f->dim;
}

/* place[k]: the axis of the result that the k-th remaining axis becomes: perm[k], or k if perm is NULL. */
static bool check_perm(kf_graph *g, const char *name, const int64_t *perm, int count, int place[KF_MAX_RANK])
{
    kf_shape listed = {.rank = count};
    char text[KF_SHAPE_TEXT];
    unsigned seen = 0;
    for (int k = 0; k < count; k++) {
        listed.size[k] = perm ? perm[k] : k;
        seen |= listed.size[k] >= 0 && listed.size[k] < count ? 1u << listed.size[k] : 0;
        place[k] = (int)listed.size[k];
    }
    if (seen == (1u << count) - 1)
        return true;
    kf_refuse(g, KCL_ERROR_ARGUMENT, "%s: %s is no permutation of the %d axes of the product, 0 to %d", name,
              kf_shape_text(&listed, text), count, count - 1);
    return false;
}

const kf_node *kf_tensordot(kf_graph *g, const char *name, const kf_tensor *f, const kf_tensor *h, int count,
                            const int64_t *axes_f, const int64_t *axes_h, const int64_t *perm, kf_shape *shape)
{
    const kf_shape *a = &f->shape, *b = &h->shape;
    int64_t stride_f[KF_MAX_RANK], stride_h[KF_MAX_RANK];
    int place[KF_MAX_RANK];
    unsigned summed_f = 0, summed_h = 0;
    if (!has_shape(g, name, f->node, a) || !has_shape(g, name, h->node, b))
        return NULL;
    if (count < 0 || count > KB_MIN(a->rank, b->rank) || (count && (!axes_f || !axes_h)))
        return kf_refuse(g, KCL_ERROR_ARGUMENT,
                         "%s: %d axes are to be summed over, of inner shapes with %d and %d axes", name, count, a->rank,
                         b->rank);
    const int left = a->rank + b->rank - 2 * count;
    if (!kf_product_fits(g, name, left + count) || !check_perm(g, name, perm, left, place))
        return NULL;
    kf_contraction c = {.size.rank = left, .contracted = count};
    kf_shape_strides(a, stride_f);
    kf_shape_strides(b, stride_h);
    for (int k = 0; k < count; k++) {
        const int m = kf_shape_axis(g, name, a, axes_f[k]);
        const int n = m < 0 ? -1 : kf_shape_axis(g, name, b, axes_h[k]);
        if (n < 0)
            return NULL;
        if (summed_f & 1u << m || summed_h & 1u << n)
            return kf_refuse(g, KCL_ERROR_ARGUMENT, "%s: an axis is summed over twice (%lld, %lld)", name,
                             (long long)axes_f[k], (long long)axes_h[k]);
        if (a->size[m] != b->size[n])
            return kf_refuse(g, KCL_ERROR_SHAPE,
                             "%s: axis %lld of the first has size %lld, axis %lld of the second has %lld", name,
                             (long long)axes_f[k], (long long)a->size[m], (long long)axes_h[k], (long long)b->size[n]);
        summed_f |= 1u << m;
        summed_h |= 1u << n;
        c.size.size[c.size.rank] = a->size[m];
        c.f[c.size.rank] = stride_f[m];
        c.h[c.size.rank++] = stride_h[n];
    }
    for (int k = 0, at = 0; k < a->rank + b->rank; k++) {
        const bool first = k < a->rank;
        const int axis = first ? k : k - a->rank;
        if ((first ? summed_f : summed_h) & 1u << axis)
            continue;
        c.size.size[place[at]] = first ? a->size[axis] : b->size[axis];
        c.f[place[at]] = first ? stride_f[axis] : 0;
        c.h[place[at++]] = first ? 0 : stride_h[axis];
    }
    return kf_contract(g, name, &c, f->node, h->node, shape);
}

const kf_node *kf_kron(kf_graph *g, const char *name, const kf_tensor *f, const kf_tensor *h, kf_shape *shape)
{
    const kf_shape *a = &f->shape, *b = &h->shape;
    int64_t perm[KF_MAX_RANK];
    kf_shape pairs;
    if (a->rank != b->rank)
        return kf_refuse(g, KCL_ERROR_SHAPE, "%s: the inner shapes have %d and %d axes, it must be as many", name,
                         a->rank, b->rank);
    if (!kf_product_fits(g, name, 2 * a->rank))
        return NULL;
    for (int k = 0; k < a->rank; k++) {
        perm[k] = 2 * k;
        perm[a->rank + k] = 2 * k + 1;
    }
    const kf_node *product = kf_tensordot(g, name, f, h, 0, NULL, NULL, perm, &pairs);
    *shape = (kf_shape){.rank = a->rank};
    for (int k = 0; k < a->rank; k++)
        shape->size[k] = a->size[k] * b->size[k];
    return product;
}
