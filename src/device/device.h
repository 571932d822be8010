/* SPDX-License-Identifier: MIT */
/*
 * device/device.h: what the layers above may ask of a device. The only folder that calls OpenCL, and it does so through
 * the table of cl_calls.def.
 *
 * Every function that takes a context reports failures in kd_error(context) and returns the status.
 */
#ifndef KD_DEVICE_H
#define KD_DEVICE_H

#include "base.h"
#include "caps.h"

#include <keopscl/context.h>

/*
 * Refuses a NULL context, one that could not be made, and one that crossed a fork (the interpreter may, it has no
 * driver). Call it first in public functions: all others below expect a context that it accepts.
 */
kcl_status kd_enter(kcl_context *context);

kb_error *kd_error(kcl_context *context);
const kcl_allocator *kd_allocator(const kcl_context *context);
const kb_log *kd_log(const kcl_context *context);
const kp_caps *kd_caps(const kcl_context *context);
bool kd_is_host(const kcl_context *context); /* the interpreter: no kernels */
int kd_threads(const kcl_context *context);  /* threads the interpreter may use */
const char *kd_dump_dir(const kcl_context *context); /* KEOPSCL_DUMP_DIR or NULL */
uint64_t kd_serial(const kcl_context *context); /* unlike that of any other context, past ones too: a key for caches */
kcl_context_stats *kd_stats(kcl_context *context); /* `evaluations` and `run_seconds` are the caller's to count */

/*
 * One object of the layers above that goes with the context: `destroy` is called when the context is destroyed, while
 * the device is still open.
 */
void *kd_attachment(const kcl_context *context);
void kd_attach(kcl_context *context, void *object, void (*destroy)(kcl_context *context, void *object));

/*
 * A compiled kernel, cloned for this context; lives as long as the context. The same source and name give the same
 * kernel. Looked for in memory, then on disk, then built. `label` names the program in the log and in KEOPSCL_DUMP_DIR.
 */
typedef struct kd_kernel kd_kernel;
kcl_status kd_kernel_get(kcl_context *context, const char *source, const char *name, const char *label,
                         kd_kernel **kernel);

/* Memory on the device that the host does not see. Contents are undefined. Released memory is kept for a while. */
typedef struct kd_buffer kd_buffer;
kcl_status kd_buffer_create(kcl_context *context, size_t bytes, kd_buffer **buffer);
void kd_buffer_release(kcl_context *context, kd_buffer **buffer); /* work that uses it may still be running */

/*
 * An argument of a launch. Within a batch, memory of the same address and size is one memory: an output may be an input
 * of a later launch. Otherwise outputs overlap nothing. What a batch outputs to, its kernels write completely. Only the
 * batch refers to host memory: afterwards it may be changed and freed.
 */
typedef enum kd_arg_kind {
    KD_ARG_HOST_IN,  /* host memory that the kernel reads: used in place on CPU devices, else copied once a batch */
    KD_ARG_HOST_OUT, /* host memory that the kernel writes: holds the result after kd_finish */
    KD_ARG_BUFFER,   /* device memory */
    KD_ARG_VALUE,    /* `size` bytes at `data`, copied */
} kd_arg_kind;

typedef struct kd_arg {
    kd_arg_kind kind;
    const void *data;  /* host memory or value; may be NULL where size is 0 */
    size_t size;       /* bytes */
    kd_buffer *buffer; /* KD_ARG_BUFFER */
} kd_arg;

/*
 * Starts a kernel after all work given before. `global` is a multiple of `local`; both have 3 entries. Work from one
 * kd_launch to kd_finish is a batch. A repeated launch with the same arguments costs little more than the driver's own
 * enqueue.
 */
kcl_status kd_launch(kcl_context *context, kd_kernel *kernel, int arg_count, const kd_arg *args, const size_t global[3],
                     const size_t local[3]);

/*
 * Waits for the batch and makes every KD_ARG_HOST_OUT memory visible. Must be called after a failed launch too, then
 * returns its status: nothing refers to host memory afterwards. Keeps programs on disk that ran for the first time.
 */
kcl_status kd_finish(kcl_context *context);

#endif
