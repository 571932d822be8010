/* SPDX-License-Identifier: MIT */
/*
 * keopscl/memory.h: arrays kept in the memory of the device.
 *
 *     kcl_array x, y, b, a;                                          // descriptions, with memory of the device
 *     kcl_array_upload(ctx, kcl_f32(xdata, M, 3), &x);
 *     kcl_array_upload(ctx, kcl_f32(ydata, N, 3), &y);
 *     kcl_array_upload(ctx, kcl_f32(bdata, N, 1), &b);
 *     kcl_array_create(ctx, KCL_F32, 2, (int64_t[]){M, 1}, &a);      // contents are not specified
 *
 *     const kcl_array *outs[] = {&a}, *args[] = {&x, &y, &b};
 *     for (int step = 0; step < 100; step++)
 *         kcl_operator_apply(op, ctx, outs, 1, args, 3);             // copies nothing, waits for nothing
 *     if (kcl_array_download(ctx, &a, kcl_f32(adata, M, 1)) < 0)     // waits
 *         fprintf(stderr, "%s\n", kcl_context_error(ctx));
 *
 *     kcl_array_free(&x);                                            // and so on
 *
 * A device array goes wherever an array goes: arguments and outputs of operators, variables and outputs of lazy
 * tensors, together with host arrays. It may be a part of its memory (`offset`, `stride`). A device array whose
 * components do not follow each other, whose rows go backwards or whose offset is not 0 is copied on the device when it
 * is used.
 *
 * Every device takes device arrays, the interpreter too, so that a program is the same everywhere; on CPUs they are
 * ordinary memory, and gain nothing over host arrays.
 *
 * Order and waiting
 * -----------------
 * Work on a context is done in the order of the calls. kcl_eval and kcl_operator_apply return as soon as the work is
 * given to the device if all outputs are device arrays. An output may be an argument of the next call, and of the call
 * itself (by the rules of kcl_eval, keopscl/evaluation.h): the output is then computed in other memory and copied on
 * the device. Host arrays given as arguments are not looked at after the call: they are copied first, and the call
 * waits if they have more than 64 KiB in all. With any host array as an output the call waits, and so do uploads and
 * downloads, and all calls on CPU devices that work in place. A call that had a kernel compiled for the disk cache
 * waits as well, so that other processes find the kernel in the cache. Long squared distances are no reason to wait: a GPU
 * chooses their form by itself, unless the call is watched (kcl_context_set_progress). kcl_context_finish waits for
 * everything. What goes wrong after a call has returned is reported by a later call that waits, at the latest by
 * kcl_context_finish.
 *
 * Errors
 * ------
 * KCL_ERROR_ARGUMENT: memory of another context or already released, an array that goes beyond its memory, an output
 * that overlaps another output, or an argument in part. KCL_ERROR_DEVICE_MEMORY: the device has no more memory; the
 * sentence says how many bytes were asked for and how many the device has. The context can be used further: release
 * something, or take fewer rows at once.
 */
#ifndef KEOPSCL_MEMORY_H
#define KEOPSCL_MEMORY_H

#include <keopscl/array.h>
#include <keopscl/context.h>

KCL_BEGIN

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/*
 * Takes `bytes` bytes of the memory of the context's device; the contents are not specified. The memory belongs to the
 * context and goes with it: memory that outlives the context can only be released. On failure *memory is NULL. Errors:
 * KCL_ERROR_DEVICE_MEMORY, KCL_ERROR_NO_MEMORY, KCL_ERROR_OPENCL.
 */
KCL_API kcl_status kcl_memory_create(kcl_context *context, size_t bytes, kcl_memory **memory);

/* The number of bytes; 0 for NULL. */
KCL_API size_t kcl_memory_size(const kcl_memory *memory);

/*
 * Gives the memory back and sets *memory to NULL; work that uses the memory is done all the same. NULL and a pointer to
 * NULL are accepted. To be called by the thread that uses the context, or after the context was destroyed.
 */
KCL_API void kcl_memory_release(kcl_memory **memory);

/* ---- Arrays in the memory of a device ---------------------------------------------------------------------------- */

/*
 * Describes a dense row-major array whose first element is `offset` bytes from the beginning of `memory`. The memory is
 * looked at when the array is used. Refused as by kcl_array_of, and for a NULL memory, with ndim = -1.
 */
KCL_API kcl_array kcl_array_in(kcl_memory *memory, int64_t offset, kcl_dtype dtype, int ndim, const int64_t *shape);

/*
 * A dense row-major array in memory of its own, with contents that are not specified. The caller gives it back with
 * kcl_array_free. On failure *array is refused by every call (ndim = -1) and has no memory. Errors as for
 * kcl_memory_create, and KCL_ERROR_ARGUMENT for a shape that kcl_array_of refuses.
 */
KCL_API kcl_status kcl_array_create(kcl_context *context, kcl_dtype dtype, int ndim, const int64_t *shape,
                                    kcl_array *array);

/* kcl_array_create with type and shape of the host array `from`, whatever its strides, and a copy of its elements. */
KCL_API kcl_status kcl_array_upload(kcl_context *context, const kcl_array *from, kcl_array *array);

/*
 * Copy all elements between a host and a device array of the same type and shape, of any strides: kcl_array_update to
 * the device, kcl_array_download from the device. Both wait for the work given before and for the copy.
 * KCL_ERROR_ARGUMENT if elements of the array that is written share memory (a stride of 0).
 */
KCL_API kcl_status kcl_array_update(kcl_context *context, const kcl_array *from, const kcl_array *array);
KCL_API kcl_status kcl_array_download(kcl_context *context, const kcl_array *array, const kcl_array *to);

/* Releases array->memory, whoever else describes it, and makes *array an array that is refused. NULL is accepted. */
KCL_API void kcl_array_free(kcl_array *array);

KCL_END

#endif
