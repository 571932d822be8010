/* SPDX-License-Identifier: MIT */
/* run/view.h: arrays of the caller seen as rows of vectors, and what is wrong with arrays that cannot be seen so. */
#ifndef KX_VIEW_H
#define KX_VIEW_H

#include "device.h"
#include "program.h"

/* What errors call an array: "argument \"x\"", "array 3 (kcl_vj of shape (100, 3))". */
enum { KX_NAME = 112 };

/* An array seen as rows of vectors, with batch axes. */
typedef struct kx_view {
    const void *data;
    kcl_dtype dtype;
    int64_t rows;
    int32_t dim;
    int64_t row_stride, step; /* bytes */
    kcl_memory *memory;       /* of the device, that holds the elements; NULL: they are at `data` */
    int64_t offset;           /* of element (0, 0) in `memory` or `buffer`, bytes */
    kd_buffer *buffer;        /* a copy that kernels work on */
    const char *name;         /* of an argument, for messages: the caller's; NULL: the array has none */
    kg_batch batch;
    int64_t batch_stride[KF_MAX_BATCH]; /* bytes; 0 for axes of size 1 */
    int64_t low, high; /* of an array of the caller: the bytes of its elements, from the first one on; 0 where empty */
} kx_view;

/*
 * How the axes of an array are read. In all cases role P has no rows, and the batch axes stand in front.
 */
typedef enum kx_reading {
    KX_STATED,   /* the last axis is the vector, the one before it the rows; (M) is rows of numbers */
    KX_SQUEEZED, /* axes of size 1 do not count; where that leaves more than rows and vector, as KX_STATED */
} kx_reading;

/*
 * Sees `array` as rows of `dim` components, or of any number where dim is 0 (then KX_STATED). Where dim is 1 and there are
 * no batches the vector's axis may be missing. `what` names the array in errors,
 * "argument \"x\"", and becomes the name of the view.
 */
kcl_status kx_view_of(kx_view *view, const kcl_array *array, kf_role role, int32_t dim, kx_reading reading,
                      const char *what, kb_error *err);

/*
 * Sees the array of a result: its axes that are not 1 must be those of the batches, the rows (any number, where there
 * are rows) and the vector. Its elements must have memory of their own each.
 */
kcl_status kx_view_of_result(kx_view *view, const kcl_array *array, kf_role role, int32_t dim, const kg_batch *batch,
                             const char *what, kb_error *err);

/* Refuses what is no array: NULL, too many axes, sizes below 0, no number type. */
kcl_status kx_check_shape(const kcl_array *array, const char *what, int64_t *elements, kb_error *err);
void kx_put_shape(char *text, size_t size, const kcl_array *array); /* "(3, 4)" */

/*
 * Where the elements of an array that kx_check_shape has passed lie, in bytes from the first one on: from *low to *high,
 * both 0 where there are none. Refuses strides and offsets that memory cannot have, so that sums of a few such distances
 * are numbers. Strides of axes of size 0 or 1 are not looked at.
 */
kcl_status kx_check_strides(const kcl_array *array, const char *what, int64_t *low, int64_t *high, kb_error *err);

/* Refuses an array that is written and has an element where another one is. Strides were checked. */
kcl_status kx_check_elements(const kcl_array *array, const char *what, kb_error *err);

/* Whether a variable, or a result of this kind, may be an array of this type: KCL_ERROR_TYPE where not. */
kcl_status kx_check_input_type(const kx_view *view, kf_kind kind, const char *what, kb_error *err);
kcl_status kx_check_output_type(const kx_view *view, kf_kind kind, const char *what, kb_error *err);

/*
 * Whether an array in the device's memory is there: the memory is the context's, and the array within the memory. `what`
 * names the array; lowest and highest are its bytes in the memory. Host arrays pass.
 */
kcl_status kx_check_memory(kcl_context *context, const kcl_memory *memory, int64_t lowest, int64_t highest,
                           int64_t offset, kcl_dtype dtype, const char *what);

bool kx_is_empty(const kx_view *v); /* has no element */
size_t kx_span(const kx_view *v);   /* bytes from the first element to the end of the last */
bool kx_has_dense_rows(const kx_view *v);
void *kx_host_data(const kx_view *v); /* where the interpreter finds the elements */

/* The batch axes along which the elements of a view differ. */
kg_batch kx_own_batch(const kx_view *v);

/* Goes to the next place of a batch; false after the last one. Starts and ends with zeros. */
bool kx_next_place(const kg_batch *batch, int64_t place[KF_MAX_BATCH]);
int64_t kx_offset_at(const kx_view *v, const int64_t place[KF_MAX_BATCH]); /* of a place, bytes */

#endif
