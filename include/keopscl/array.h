/* SPDX-License-Identifier: MIT */
/*
 * keopscl/array.h: description of arrays.
 */
#ifndef KEOPSCL_ARRAY_H
#define KEOPSCL_ARRAY_H

#include <keopscl/status.h>

KCL_BEGIN

#define KCL_MAX_AXES 9

/* Number type of stored elements. KCL_DTYPE_NONE (0) in a parameter structure means "whatever the arrays have". */
typedef enum kcl_dtype {
    KCL_DTYPE_NONE = 0,
    KCL_F32 = 1, /* IEEE 754 binary32, float */
    KCL_F64 = 2, /* IEEE 754 binary64, double */
    KCL_I64 = 3, /* int64_t: of results that are indices, and of the index of kcl_gather or of Gather in texts */
} kcl_dtype;

/* Memory of a device: see keopscl/memory.h. */
typedef struct kcl_memory kcl_memory;

/*
 * A view of memory that the caller owns, in the manner of DLPack: nothing is copied or freed. Axes go from slowest to
 * fastest. If `memory` is NULL, the elements are in the host's memory, at `data` (which may be NULL without elements);
 * else the elements are in the memory of a device, and `data` is not looked at.
 *
 * An array may also be built field by field: `stride` counts bytes and may be 0 (a broadcast axis, of arrays that are
 * read) or negative. Fields that are not named are zero, which makes a host array. Strides by which elements would be
 * outside of the address space or of `memory` are KCL_ERROR_ARGUMENT in every call; strides of axes of size 0 or 1 are
 * not looked at.
 */
typedef struct kcl_array {
    void *data;                   /* host: address of element (0, ..., 0) */
    kcl_dtype dtype;              /* type of the elements */
    int ndim;                     /* number of axes, 0 to KCL_MAX_AXES */
    int64_t shape[KCL_MAX_AXES];  /* size of each axis, elements */
    int64_t stride[KCL_MAX_AXES]; /* distance between neighbours along each axis, bytes */
    kcl_memory *memory;           /* device: what holds the elements */
    int64_t offset; /* device: place of element (0, ..., 0) in `memory`, bytes; a multiple of an element */
} kcl_array;

/*
 * Describes a dense row-major array of `ndim` axes. `data` is written only when the array is passed as an output.
 * More than KCL_MAX_AXES axes, negative sizes, or a size in bytes beyond the address range give an array with
 * ndim = -1, which every call refuses with KCL_ERROR_ARGUMENT.
 */
KCL_API kcl_array kcl_array_of(const void *data, kcl_dtype dtype, int ndim, const int64_t *shape);

/*
 * The same with strides: stride[k] bytes between neighbours along axis k, 0 and negative ones too; `data` is the
 * address of element (0, ..., 0). NULL as `stride`: dense. Calls check the strides, as they check the strides of an
 * array that was built field by field.
 */
KCL_API kcl_array kcl_array_strided(const void *data, kcl_dtype dtype, int ndim, const int64_t *shape,
                                    const int64_t *stride);

/* Type-checked forms of kcl_array_of. */
static inline kcl_array kcl_array_f32(const float *data, int ndim, const int64_t *shape)
{
    return kcl_array_of(data, KCL_F32, ndim, shape);
}

static inline kcl_array kcl_array_f64(const double *data, int ndim, const int64_t *shape)
{
    return kcl_array_of(data, KCL_F64, ndim, shape);
}

static inline kcl_array kcl_array_i64(const int64_t *data, int ndim, const int64_t *shape)
{
    return kcl_array_of(data, KCL_I64, ndim, shape);
}

KCL_END

/*
 * kcl_f32(x, M, D), kcl_f64(x, M, D) and kcl_i64(x, M, D) describe an array inside a call: the value is a
 * `const kcl_array *` that lives until the end of the enclosing block (C) or of the full expression (C++).
 */
#ifdef __cplusplus

#include <initializer_list>

namespace keopscl {
struct array_view {
    kcl_array array;
    operator const kcl_array *() const { return &array; }
};
template <typename... Sizes> array_view f32(const float *data, Sizes... sizes)
{
    const int64_t shape[] = {static_cast<int64_t>(sizes)..., 0};
    return {kcl_array_f32(data, static_cast<int>(sizeof...(sizes)), shape)};
}
template <typename... Sizes> array_view f64(const double *data, Sizes... sizes)
{
    const int64_t shape[] = {static_cast<int64_t>(sizes)..., 0};
    return {kcl_array_f64(data, static_cast<int>(sizeof...(sizes)), shape)};
}
template <typename... Sizes> array_view i64(const int64_t *data, Sizes... sizes)
{
    const int64_t shape[] = {static_cast<int64_t>(sizes)..., 0};
    return {kcl_array_i64(data, static_cast<int>(sizeof...(sizes)), shape)};
}
} // namespace keopscl

#define kcl_f32(...) (static_cast<const kcl_array *>(::keopscl::f32(__VA_ARGS__)))
#define kcl_f64(...) (static_cast<const kcl_array *>(::keopscl::f64(__VA_ARGS__)))
#define kcl_i64(...) (static_cast<const kcl_array *>(::keopscl::i64(__VA_ARGS__)))

#else

#define KCL_SHAPE_COUNT_(...) ((int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
#define kcl_f32(data, ...)                                                                                             \
    ((const kcl_array *)(kcl_array[1]){                                                                                \
        kcl_array_f32(data, KCL_SHAPE_COUNT_(__VA_ARGS__), (const int64_t[]){__VA_ARGS__})})
#define kcl_f64(data, ...)                                                                                             \
    ((const kcl_array *)(kcl_array[1]){                                                                                \
        kcl_array_f64(data, KCL_SHAPE_COUNT_(__VA_ARGS__), (const int64_t[]){__VA_ARGS__})})
#define kcl_i64(data, ...)                                                                                             \
    ((const kcl_array *)(kcl_array[1]){                                                                                \
        kcl_array_i64(data, KCL_SHAPE_COUNT_(__VA_ARGS__), (const int64_t[]){__VA_ARGS__})})

#endif

#endif
