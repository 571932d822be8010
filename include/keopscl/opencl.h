/* SPDX-License-Identifier: MIT */
/*
 * keopscl/opencl.h: for programs that use OpenCL themselves. No other header includes this one, and OpenCL's headers
 * are not needed: the types are what cl_context, cl_device_id, cl_command_queue and cl_mem of CL/cl.h stand for.
 *
 *     kcl_context *ctx;                       // on the program's own context and queue
 *     kcl_opencl_params own = {.context = context, .device = device, .queue = queue};
 *     kcl_opencl_context_create(&ctx, NULL, &own);
 *
 *     kcl_memory *xm, *ym, *am;               // the program's own buffers
 *     kcl_opencl_memory(ctx, xbuffer, &xm);
 *     kcl_opencl_memory(ctx, ybuffer, &ym);
 *     kcl_opencl_memory(ctx, abuffer, &am);
 *     kcl_array x = kcl_array_in(xm, 0, KCL_F32, 2, (int64_t[]){M, 3});
 *     kcl_array y = kcl_array_in(ym, 0, KCL_F32, 2, (int64_t[]){N, 3});
 *     kcl_array a = kcl_array_in(am, 0, KCL_F32, 2, (int64_t[]){M, 1});
 *
 *     clEnqueueNDRangeKernel(queue, moves_points, ...);                  // before the call,
 *     const kcl_array *outs[] = {&a}, *args[] = {&x, &y};
 *     kcl_operator_apply(op, ctx, outs, 1, args, 2);                     // which finds x moved,
 *     clEnqueueReadBuffer(queue, abuffer, CL_TRUE, 0, size, results, 0, NULL, NULL);   // and before the read
 *
 *     kcl_memory_release(&xm);                // and so on
 *     kcl_context_destroy(&ctx);
 *
 * Order
 * -----
 * All work of a context goes to its queue, which is in order. What the program gave to the queue before a call is done
 * before the work of the call, and what the program gives to the queue later is done after that work: neither waiting
 * nor events are needed. Which calls return without waiting is told in keopscl/memory.h. Work on other queues is not
 * known to the library: the program orders that work itself, by events on this queue or by waiting (clFinish,
 * kcl_context_finish).
 * PoCL's CPU devices work in place, so every call on them waits for the queue. Some versions of PoCL (5 is one) can end
 * the process when two queues run kernels of a device at once: there calls take turns on contexts that share their
 * programs, and a program with further queues of its own waits for these queues before a call.
 *
 * Lifetime
 * --------
 * The context holds references to the cl_context and the queue until it is destroyed. A kcl_memory holds a reference
 * to its cl_mem until the kcl_memory is released or the context is destroyed. So the program may release what it has at
 * any time.
 */
#ifndef KEOPSCL_OPENCL_H
#define KEOPSCL_OPENCL_H

#include <keopscl/array.h>
#include <keopscl/context.h>
#include <keopscl/memory.h>

struct _cl_context;
struct _cl_device_id;
struct _cl_command_queue;
struct _cl_mem;

KCL_BEGIN

/* What a program has. Initialise with = {0}, then set what is there. */
typedef struct kcl_opencl_params {
    struct _cl_context *context;     /* cl_context */
    struct _cl_device_id *device;    /* cl_device_id: one of the context's devices, or a part of a device */
    struct _cl_command_queue *queue; /* cl_command_queue of this context and device, in order; NULL: one is made */
    const kcl_context *share;        /* shares its programs with the new context; NULL: none. On the same cl_context */
} kcl_opencl_params;

/*
 * Creates a context on a cl_context and a queue that the program has. `params` may be NULL; its settings and the
 * settings of the environment count as for kcl_context_create, but neither `device` nor KEOPSCL_DEVICE is looked at,
 * and `threads` has no effect: the device is the given one, as a whole. With `share`, which must outlive the call only,
 * compiled programs are shared, as are the settings that concern them.
 *
 * On failure *context tells why, as with kcl_context_create. Errors: those of kcl_context_create, and
 * KCL_ERROR_ARGUMENT for a missing context or device, a device that is not one of the context's, a queue of another
 * context or device or one that is out of order, and a `share` on another device or cl_context.
 */
KCL_API kcl_status kcl_opencl_context_create(kcl_context **context, const kcl_context_params *params,
                                             const kcl_opencl_params *opencl);

/*
 * Describes a buffer of the program, or a sub-buffer, of the cl_context that `context` is on: *memory goes wherever
 * memory of the library goes. The same buffer can be described more than once. kcl_memory_release releases the
 * description only; the cl_mem stays the program's. On failure *memory is NULL.
 *
 * A call reads its arguments and writes its outputs: buffers made with CL_MEM_READ_ONLY are refused as outputs, and
 * buffers made with CL_MEM_WRITE_ONLY are refused as arguments. Errors: KCL_ERROR_ARGUMENT for NULL, for a cl_mem of
 * another cl_context and for one that is no buffer, KCL_ERROR_UNSUPPORTED for a context that is not on a device of
 * OpenCL, KCL_ERROR_NO_MEMORY, KCL_ERROR_OPENCL.
 */
KCL_API kcl_status kcl_opencl_memory(kcl_context *context, struct _cl_mem *mem, kcl_memory **memory);

KCL_END

#endif
