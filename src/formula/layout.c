/* SPDX-License-Identifier: MIT */
/* formula/layout.c: sizes and strides, as numbers: which component stands where. */
#include "layout.h"

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

void kf_layout_order(const kf_layout *l, int order[KF_MAX_RANK])
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
    kf_layout_order(&l, order);
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

kf_layout kf_layout_shortest(const kf_layout *l)
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
