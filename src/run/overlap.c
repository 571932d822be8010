/* SPDX-License-Identifier: MIT */
/* run/overlap.c: which arrays have memory in common. Ranges of addresses tell nearly always; else strides.h does. */
#include "overlap.h"
#include "strides.h"

enum { MOST_AXES = 2 + KF_MAX_BATCH };

typedef struct axis {
    int64_t size, stride;
} axis;

/* Those of more than one element, the outermost first. Returns their number. */
static int axes_of(const kx_view *v, axis axes[MOST_AXES])
{
    int count = 0;
    for (int k = v->batch.count - 1; k >= 0; k--)
        if (v->batch.size[k] > 1)
            axes[count++] = (axis){v->batch.size[k], v->batch_stride[k]};
    if (v->rows > 1)
        axes[count++] = (axis){v->rows, v->row_stride};
    if (v->dim > 1)
        axes[count++] = (axis){v->dim, v->step};
    return count;
}

/* Axes that follow each other without a gap become one. */
static int merge(int count, axis axes[MOST_AXES])
{
    int merged = 0;
    for (int k = 0; k < count; k++) {
        axis *outer = &axes[merged - (merged > 0)];
        if (merged && outer->stride == axes[k].size * axes[k].stride)
            *outer = (axis){outer->size * axes[k].size, axes[k].stride};
        else
            axes[merged++] = axes[k];
    }
    return merged;
}

bool kx_is_same_array(const kx_view *a, const kx_view *b)
{
    axis of[2][MOST_AXES];
    if (kx_holder_of(a) != kx_holder_of(b) || kx_place_of(a) != kx_place_of(b) || a->dtype != b->dtype)
        return false;
    const int count = merge(axes_of(a, of[0]), of[0]);
    if (count != merge(axes_of(b, of[1]), of[1]))
        return false;
    for (int k = 0; k < count; k++)
        if (of[0][k].size != of[1][k].size || of[0][k].stride != of[1][k].stride)
            return false;
    return true;
}

bool kx_elements_meet(const kx_view *a, const kx_view *b)
{
    axis axes[MOST_AXES];
    kx_search s = {0};
    for (int m = 0; m < 2; m++) {
        const int count = axes_of(m ? b : a, axes);
        for (int k = 0; k < count; k++)
            if (axes[k].stride)
                kx_search_add(&s, axes[k].stride, m ? 0 : 1 - axes[k].size, m ? axes[k].size - 1 : 0);
    }
    /* How far an element of b lies behind one of a: less than that one is long, and not as far before it as b's is. */
    const int64_t distance = (int64_t)(kx_place_of(b) - kx_place_of(a));
    return kx_search_finds(&s, 1 - (int64_t)kb_dtype_size(b->dtype) - distance,
                           (int64_t)kb_dtype_size(a->dtype) - 1 - distance);
}
