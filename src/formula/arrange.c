/* SPDX-License-Identifier: MIT */
/* formula/arrange.c: components rearranged by sizes and strides, and the derivative of the rearrangement. */
#include "layout.h"
#include "make.h"

#include <stdlib.h>

static void put_layout(const kf_layout *l, int64_t params[KF_MAX_PARAMS])
{
    params[0] = l->rank;
    params[1] = l->offset;
    for (int k = 0; k < l->rank; k++) {
        params[2 + 2 * k] = l->size[k];
        params[3 + 2 * k] = l->stride[k];
    }
}

const kf_node *kf_arrange(kf_graph *g, const kf_node *f, const kf_layout *layout)
{
    const kf_layout l = kf_layout_shortest(layout);
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
    kf_layout_order(l, order);
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
    to = kf_layout_shortest(&to);
    if (!e || (to.rank == 1 && to.size[0] == dim))
        return e;
    if (to.rank == 1 && to.stride[0] == 1)
        return e->dim == 1 ? kf_make(g, KF_ELEMT, &e, (int64_t[]){dim, to.offset})
                           : kf_make(g, KF_EXTRACTT, &e, (int64_t[]){to.offset, dim});
    put_layout(&to, params);
    params[2 + 2 * to.rank] = dim;
    return kf_make(g, KF_PLACE, &e, params);
}
