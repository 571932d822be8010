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
#include <keopscl/memory.h>

#include <stdatomic.h>

/*
 * Refuses a NULL context, a context that could not be made, and a context that crossed a fork (the interpreter may
 * cross, since it has no driver). Public functions call kd_enter first: all functions below expect a context that
 * kd_enter accepts.
 */
kcl_status kd_enter(kcl_context *context);

kb_error *kd_error(kcl_context *context);
const kcl_allocator *kd_allocator(const kcl_context *context);
const kb_log *kd_log(const kcl_context *context);
const kp_caps *kd_caps(const kcl_context *context);
bool kd_is_host(const kcl_context *context);         /* the interpreter: no kernels */
int kd_threads(const kcl_context *context);          /* threads the interpreter may use */
const char *kd_dump_dir(const kcl_context *context); /* KEOPSCL_DUMP_DIR or NULL */
uint64_t kd_serial(const kcl_context *context);      /* that no other context has or had: a key for caches */
kcl_context_stats *kd_stats(kcl_context *context);   /* the caller counts `evaluations` and `run_seconds` */

/*
 * What the layers above keep with a context: one object for each place, NULL before it is attached. `destroy` is called
 * when the context is destroyed, while the device is still open; the last place comes first.
 */
typedef enum kd_place { KD_PLACE_PROGRAMS, KD_PLACE_HANDLES, KD_PLACES } kd_place;
void *kd_attachment(const kcl_context *context, kd_place place);
void kd_attach(kcl_context *context, kd_place place, void *object, void (*destroy)(kcl_context *context, void *object));

/*
 * A compiled kernel, cloned for this context. The same source and name give the same kernel. The program is looked for
 * in memory, then on disk, then built. `label` names the program in the log and in KEOPSCL_DUMP_DIR. Each call takes a
 * reference; references that are left end with the context.
 */
typedef struct kd_kernel kd_kernel;
kcl_status kd_kernel_get(kcl_context *context, const char *source, const char *name, const char *label,
                         kd_kernel **kernel);

/*
 * Gives a reference back and sets *kernel to NULL; a NULL *kernel is accepted. With its last reference the kernel goes,
 * after work that uses the kernel is done. The device keeps the program of the kernel for later while there are no more
 * than kd_most_programs.
 */
void kd_kernel_release(kcl_context *context, kd_kernel **kernel);

size_t kd_most_programs(const kcl_context *context);
void kd_drop_unused(kcl_context *context);       /* programs without kernels, memory that waits for reuse */
void kd_drop_idle_buffers(kcl_context *context); /* memory that waits for reuse */

/*
 * Of a context whose memory others lend. kd_is_captured: commands become part of a graph, so memory that they use belongs
 * to the graph, and no other call may use the memory. kd_holds_much: the context has memory that is wanted back.
 */
bool kd_is_captured(const kcl_context *context);
bool kd_holds_much(const kcl_context *context);

/* What is known of a kernel once its program is built. Sizes in bytes. */
typedef struct kd_limits {
    size_t work_group;   /* most work-items of a work-group; 0: the driver does not tell */
    size_t multiple;     /* sizes of work-groups should be multiples of this; 0: not told */
    size_t local_memory; /* of a work-group */
    size_t private_memory;
    /* From the build log of NVIDIA's compiler; -1: not told. */
    int registers;   /* of a work-item */
    int64_t spilled; /* written to and read from memory for want of registers */
    int64_t stack;   /* private arrays that are not in registers */
} kd_limits;

/* Asks the driver the first time. Never fails: what the driver does not tell is not known. */
const kd_limits *kd_kernel_limits(kcl_context *context, kd_kernel *kernel);

/* Memory on the device that the host does not see. Contents are undefined. Released memory is kept for a while. */
typedef struct kd_buffer kd_buffer;
kcl_status kd_buffer_create(kcl_context *context, size_t bytes, kd_buffer **buffer);
void kd_buffer_release(kcl_context *context, kd_buffer **buffer); /* work that uses the buffer may still be running */

/* Whether `memory`, which need not be valid, is memory of this context that was not released. */
bool kd_has_memory(const kcl_context *context, const kcl_memory *memory);
kd_buffer *kd_memory_buffer(const kcl_memory *memory); /* what kernels see of the memory; NULL for the interpreter */
void *kd_memory_host(const kcl_memory *memory);        /* memory of the interpreter; NULL for other devices */

/* Whether kernels may read memory, or write it: users can have made their memory for one of both. */
bool kd_is_readable(const kcl_memory *memory);
bool kd_is_writable(const kcl_memory *memory);

/*
 * Where memory lies: arrays have bytes in common only in memories of the same holder, whose first bytes lie at the
 * origins. Users can describe the same memory more than once, and parts of it.
 */
const void *kd_memory_holder(const kcl_memory *memory);
uint64_t kd_memory_origin(const kcl_memory *memory);

/* Start copying between `bytes` of host memory and a buffer; the host memory is in use until kd_finish. */
kcl_status kd_write(kcl_context *context, kd_buffer *buffer, size_t offset, const void *from, size_t bytes);
kcl_status kd_read(kcl_context *context, kd_buffer *buffer, size_t offset, void *to, size_t bytes);

/* Whether outputs in host memory come back as whole copies, with what lies between their elements. */
bool kd_copies(const kcl_context *context);
bool kd_always_waits(const kcl_context *context); /* kd_submit is kd_finish */

/*
 * An argument of a launch. Within a submission, memory of the same address and size is one memory: an output may be an
 * input of a later launch. Otherwise outputs overlap nothing. Kernels write all of what the submission outputs to. Only
 * the submission refers to host memory: afterwards the memory may be changed and freed.
 */
typedef enum kd_arg_kind {
    KD_ARG_HOST_IN,   /* host memory that the kernel reads: in place on CPU devices, else copied once a submission */
    KD_ARG_HOST_COPY, /* the same, but copied before kd_launch returns, on every device */
    KD_ARG_HOST_OUT,  /* host memory that the kernel writes: holds the result after kd_finish */
    KD_ARG_HOST_BOTH, /* the same, and the kernel reads what it held before */
    KD_ARG_BUFFER,    /* device memory */
    KD_ARG_VALUE,     /* `size` bytes at `data`, copied */
} kd_arg_kind;

typedef struct kd_arg {
    kd_arg_kind kind;
    const void *data;  /* host memory or value; NULL only for size 0 */
    size_t size;       /* bytes */
    kd_buffer *buffer; /* KD_ARG_BUFFER */
} kd_arg;

/*
 * Starts a kernel after all work given before. `global` is a multiple of `local`; both have 3 entries. The work from
 * one kd_launch to kd_finish or kd_submit is a submission. A repeated launch with the same arguments costs little more
 * than the driver's own enqueue.
 *
 * KCL_ERROR_UNSUPPORTED: the device has not the means for work-groups of this size; the submission is as before the
 * call, and smaller work-groups may be tried. Any other failure ends the submission: see kd_finish.
 */
kcl_status kd_launch(kcl_context *context, kd_kernel *kernel, int arg_count, const kd_arg *args, const size_t global[3],
                     const size_t local[3]);

/* Waits for what was launched; the submission goes on. A failure ends the submission, as a failure of kd_launch does. */
kcl_status kd_wait(kcl_context *context);

/*
 * Waits for the submission and makes every KD_ARG_HOST_OUT and KD_ARG_HOST_BOTH memory visible. Must be called after a
 * failed launch too, and returns the status of that launch; nothing refers to host memory afterwards. Keeps programs on
 * disk that ran for the first time.
 */
kcl_status kd_finish(kcl_context *context);

/*
 * Ends the submission without waiting, unless the submission failed, refers to host memory, or the device works in
 * place: then like kd_finish. The next call that waits reports what goes wrong later.
 */
kcl_status kd_submit(kcl_context *context);

/* ---- watch.c: calls that tell how far they are, and can be cancelled ---------------------------------------------- */

/*
 * Long work of a watched call is given to the device in pieces. At the end of each the device waits for its slowest
 * processor, and then for the host: of ten a second a machine with other work loses some hundredths. A call has to end
 * within a second of a cancel, also where a piece takes a few times as long as the piece before.
 */
enum { KD_PIECES_PER_SECOND = 5 };

bool kd_is_watched(const kcl_context *context);

/*
 * Around a watched call. kd_begin_call refuses the call if a cancel came before. kd_check is called every now and then
 * by the thread that made the call, often or not, with the fraction that is done: tells the user, and returns
 * KCL_ERROR_CANCELLED if the call is to end.
 */
kcl_status kd_begin_call(kcl_context *context);
kcl_status kd_check(kcl_context *context, double fraction);
void kd_end_call(kcl_context *context, kcl_status status);

/*
 * Around a call that is made of others: a watched call within begins and ends nothing, and kd_check tells the fraction of
 * the whole. kd_set_fraction: how much of the whole is done; smaller fractions than before do not count.
 */
kcl_status kd_begin_whole(kcl_context *context);
void kd_set_fraction(kcl_context *context, double fraction);
void kd_end_whole(kcl_context *context, kcl_status status);

/* `seconds`: of the last launch. Waits if all that was launched since the last wait takes more than a piece may take. */
kcl_status kd_pace(kcl_context *context, double seconds);

/* Not 0: a cancel was asked for. For threads that work beside the thread that calls kd_check. */
const atomic_int *kd_cancel_flag(const kcl_context *context);

#endif
