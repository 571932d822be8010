/* SPDX-License-Identifier: MIT */
/* formula/tensor.h: products of tensors of components. */
#ifndef KF_TENSOR_H
#define KF_TENSOR_H

#include "graph.h"

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
int64_t kf_shape_count(const kf_shape *s); /* of components; -1 if a size is below 1, or the product too large */
void kf_shape_strides(const kf_shape *s, int64_t stride[KF_MAX_RANK]);
/*
 * The axis, counted from the end if `axis` is negative; -1 after refusing. `name` is the name of the operation, here
 * and below.
 */
int kf_shape_axis(kf_graph *g, const char *name, const kf_shape *s, int64_t axis);
const kf_node *kf_arrange_shape(kf_graph *g, const kf_node *f, const kf_shape *size, const int64_t *stride,
                                int64_t offset);

/*
 * The product of f and h, which are read by strides along axes of the given sizes, summed over the last `contracted` of
 * these axes.
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
 * The product of f and h, summed over axes_f[k] together with axes_h[k]. The other axes, first the axes of f, are the
 * axes of the result: number k of them is axis perm[k] of the result, or axis k if perm is NULL. *shape becomes the
 * shape of the result. Errors: KCL_ERROR_SHAPE; KCL_ERROR_ARGUMENT if axes are listed twice or perm is no permutation.
 */
const kf_node *kf_tensordot(kf_graph *g, const char *name, const kf_tensor *f, const kf_tensor *h, int count,
                            const int64_t *axes_f, const int64_t *axes_h, const int64_t *perm, kf_shape *shape);
const kf_node *kf_kron(kf_graph *g, const char *name, const kf_tensor *f, const kf_tensor *h, kf_shape *shape);

#endif
