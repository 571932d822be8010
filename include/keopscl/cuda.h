/* SPDX-License-Identifier: MIT */
/*
 * keopscl/cuda.h: contexts on a CUDA device, for programs that have memory and streams of CUDA.
 *
 *     kcl_cuda_params cuda = {.device = 0, .stream = stream};            // a CUstream or cudaStream_t
 *     kcl_context *ctx;
 *     if (kcl_cuda_context_create(&ctx, NULL, &cuda) < 0)
 *         fprintf(stderr, "%s\n", kcl_context_error(ctx));
 *
 *     kcl_memory *xm, *am;                                               // memory of yours, which is not copied
 *     kcl_cuda_memory(ctx, x, 3 * M * sizeof(float), &xm);               // x: a CUdeviceptr, or what cudaMalloc gives
 *     kcl_cuda_memory(ctx, a, M * sizeof(float), &am);
 *     kcl_array xs = kcl_array_in(xm, 0, KCL_F32, 2, (int64_t[]){M, 3});
 *     kcl_array as = kcl_array_in(am, 0, KCL_F32, 2, (int64_t[]){M, 1});
 *     ...                                                                // kcl_operator_apply and so on, as memory.h says
 *     kcl_memory_release(&xm);                                           // the description; x stays
 *
 * Programs are those of the OpenCL device of the same card: NVIDIA's OpenCL, a part of NVIDIA's driver, compiles them,
 * and the CUDA driver runs them. Both are opened at run time; neither CUDA's toolkit nor its headers are needed to build
 * or to run. This header is included by no other.
 *
 * Order: all work of the context is given to the stream in the order of the calls, among what others give to the stream.
 * So what was given to the stream before a call is done before, and what is given after comes after. Calls whose outputs
 * are all memory of the device return without waiting, by the rules of keopscl/memory.h.
 *
 * Graphs: while the stream is captured, calls become part of the graph if they have been made once before with the same
 * formulas and shapes (which compiles and allocates what they need), and have device arrays as arguments and outputs,
 * at most some scalars of the host beside these. Scalars keep the values that they have during the capture. The form of
 * long squared distances is chosen each time that the graph is launched, by what the arrays hold then. Programs and
 * memory that the graph uses stay until the context is destroyed, which is therefore destroyed after the graph. Other
 * calls on the context use the same memory for intermediate results: the graph and the calls run one after another, not
 * in two streams at once.
 */
#ifndef KEOPSCL_CUDA_H
#define KEOPSCL_CUDA_H

#include <keopscl/context.h>
#include <keopscl/memory.h>

KCL_BEGIN

/* Zero in any field means the default. */
typedef struct kcl_cuda_params {
    int device; /* number of the device, as the CUDA driver counts (CUDA_VISIBLE_DEVICES): 0 is the first */
    /*
     * The stream of all work, a CUstream (cudaStream_t) of the device; NULL: the default stream. The stream, and the
     * CUDA context that it belongs to, outlive the kcl_context. With NULL this is the CUDA context that is current in
     * the calling thread if it is of the device, else the device's primary context.
     */
    void *stream;
    const kcl_context *share; /* a context on the same device, whose compiled programs are shared; NULL: none */
    /*
     * Where memory of the device for intermediate results comes from: `allocate` returns an address of the device, a
     * multiple of 256, or NULL; `release` takes the memory back while work of the stream that uses the memory may still
     * be running, so whoever uses the memory next is ordered behind that work. The thread that makes a call on the
     * context calls both, during the call. Both or neither are set. NULL: memory of the CUDA driver. A context keeps
     * little of what `allocate` gave between calls, and nothing of calls while the stream is captured: these take what
     * they need during the capture, and give it back.
     */
    void *(*allocate)(void *user, size_t bytes);
    void (*release)(void *user, void *pointer);
    void *user; /* handed to both */
} kcl_cuda_params;

/*
 * Creates a context on a CUDA device. KEOPSCL_DEVICE and `device` of `params` are not looked at; `params` may be NULL. As
 * with kcl_context_create a failed context tells why, and must be destroyed. The device's id is "cuda:0" and so on, which
 * KEOPSCL_DEVICE takes too: such a context has a stream of its own. Errors: as kcl_context_create; KCL_ERROR_NO_DEVICE
 * without a CUDA driver, without the device, or without NVIDIA's OpenCL; KCL_ERROR_ARGUMENT for a stream or `share` of
 * another device. Later, KCL_ERROR_UNSUPPORTED for programs that only OpenCL can run.
 */
KCL_API kcl_status kcl_cuda_context_create(kcl_context **context, const kcl_context_params *params,
                                           const kcl_cuda_params *cuda);

/*
 * Describes `bytes` bytes of the device's memory at `pointer` (a CUdeviceptr, a multiple of the size of an element), to be
 * released with kcl_memory_release. The library never frees the memory itself: the caller keeps the memory alive until
 * work that uses it is done, in the order of the stream. On failure *memory is NULL. Errors: KCL_ERROR_ARGUMENT for a
 * context that is not of CUDA, and for a pointer that is not memory of the context's device.
 */
KCL_API kcl_status kcl_cuda_memory(kcl_context *context, void *pointer, size_t bytes, kcl_memory **memory);

KCL_END

#endif
