/* SPDX-License-Identifier: MIT */
/*
 * keopscl/context.h: devices, contexts, errors, caches, diagnosis.
 *
 * Environment variables, read when a context is created (fields of kcl_context_params go before them):
 *
 *   KEOPSCL_DEVICE     which device: see kcl_context_params.device
 *   KEOPSCL_DRIVER     path of the library of an OpenCL driver, which is used alone and without an OpenCL loader
 *   KEOPSCL_THREADS    number of threads on CPU devices, 1 or more
 *   KEOPSCL_LOG        1: device, plan, build and run times of every call on standard error; 0: none
 *   KEOPSCL_CACHE_DIR  folder of compiled kernels, as an absolute path; default $XDG_CACHE_HOME/keopscl or
 *                      ~/.cache/keopscl. Not used where others may write to it. Processes that need the same kernel at
 *                      the same time build it once: the others wait for its entry, up to 30 seconds. PoCL keeps kernels
 *                      itself (POCL_CACHE_DIR, ~/.cache/pocl): the default folder holds none of them, a folder that is
 *                      named holds them as well
 *   KEOPSCL_CACHE      off: no kernels are kept on disk; on: the default
 *   KEOPSCL_PROGRAMS   number of compiled programs that a context keeps in memory, 1 or more; default 256
 *   KEOPSCL_DUMP_DIR   an existing folder: every generated kernel is written there
 *
 * Read when dense matrices are computed with for the first time (preconditioners): the path of a library in place of
 * the one that is found by its name, or "none" for no library. kcl_doctor tells what is found.
 *
 *   KEOPSCL_BLAS       a library with CBLAS and LAPACK, for CPUs and for small matrices: OpenBLAS, or one like it
 *   KEOPSCL_CLBLAST    CLBlast, for OpenCL's GPUs
 *   KEOPSCL_CUBLAS     cuBLAS, for the devices "cuda:N"
 */
#ifndef KEOPSCL_CONTEXT_H
#define KEOPSCL_CONTEXT_H

#include <keopscl/status.h>

KCL_BEGIN

/*
 * An opened OpenCL device, or the built-in interpreter, with its compiled kernels.
 * Thread safety: may be shared between contexts of different threads.
 */
typedef struct kcl_device kcl_device;

/*
 * Runs computations on one device, one after another, and keeps the last error.
 * Thread safety: one thread at a time; make one context a thread, on a shared device.
 */
typedef struct kcl_context kcl_context;

/*
 * Memory for the library's own structures. `reallocate(user, NULL, n)` allocates, `reallocate(user, p, n)` resizes,
 * `reallocate(user, p, 0)` frees and returns NULL; failure returns NULL and leaves `p` valid. Must be thread safe.
 */
typedef struct kcl_allocator {
    void *(*reallocate)(void *user, void *pointer, size_t size);
    void *user;
} kcl_allocator;

/*
 * Receives a line of log, without the newline: valid during the call. The thread that works with the context calls it;
 * it must not call anything of the library.
 */
typedef void (*kcl_log_fn)(void *user, const char *line);

/* Zero in any field means the default. */
typedef struct kcl_context_params {
    /*
     * "gpu", "cpu": the best device of that kind; "host" or "interpreter": the interpreter, which needs no OpenCL;
     * "P:D": device D of platform P, counted from 0; "cuda", "cuda:N": device N of the CUDA driver, 0 if not told, for
     * whose programs NVIDIA's OpenCL is the compiler (see keopscl/cuda.h), or without a CUDA driver NVIDIA's best OpenCL
     * device, with a log line; anything else: part of a device's or platform's name. Upper and
     * lower case are the same. A part of several names takes the best device of them, and a log line tells which.
     * NULL or "": KEOPSCL_DEVICE; where that is unset or empty too, the best device, or the interpreter, with a log
     * line, when there is none. The best are GPUs with memory of their own, then other GPUs, CPUs, others; among them
     * those with double precision, then those with most compute units times clock.
     */
    const char *device;
    int threads;             /* threads on CPU devices; default KEOPSCL_THREADS, else all processors */
    const char *cache_dir;   /* folder of compiled kernels: see KEOPSCL_CACHE_DIR; "" switches the disk cache off */
    kcl_allocator allocator; /* default: malloc, realloc, free */
    kcl_log_fn log;          /* receives log lines; with log set, logging is on */
    void *log_user;          /* handed to `log` */
    /*
     * Compiled programs that the context keeps in memory (each takes about 1 MiB with PoCL); default KEOPSCL_PROGRAMS,
     * else 256. Beyond that the one whose last use is longest ago is let go, and with it the device memory of its
     * intermediate results. What needs it again reads it from the disk cache or builds it: operators and expressions
     * work on as before. The programs of an evaluation stay until its end, so one that needs more has them all.
     */
    int programs;
} kcl_context_params;

/*
 * Opens a device and creates a context on it. `params` may be NULL.
 *
 * On failure *context is set all the same (unless memory is out: then it is NULL), to a context that only tells why:
 * kcl_context_error(*context) is the sentence, every other call returns the same status, and it must be destroyed.
 * Errors: KCL_ERROR_NO_DEVICE (the text lists what can be written), KCL_ERROR_ARGUMENT (a malformed environment
 * variable, a KEOPSCL_DUMP_DIR that cannot be written to), KCL_ERROR_OPENCL, KCL_ERROR_DEVICE_MEMORY,
 * KCL_ERROR_FORKED, KCL_ERROR_NO_MEMORY.
 */
KCL_API kcl_status kcl_context_create(kcl_context **context, const kcl_context_params *params);

/*
 * Creates a further context on the device of `other`, sharing its compiled kernels: for another thread. `other` must
 * outlive the call only. Errors as above.
 */
KCL_API kcl_status kcl_context_create_shared(kcl_context **context, const kcl_context *other);

/* Waits for running work, frees the context and sets *context to NULL. NULL and a pointer to NULL are accepted. */
KCL_API void kcl_context_destroy(kcl_context **context);

/*
 * The sentence about the last failed call on this context, "" when none failed. Every call that is given a context, or
 * something of one (a scope, an expression), and returns a failure sets it, to why that call failed. Calls that succeed
 * leave it, or clear it where they got over something on their way. Owned by the context, valid until its next call. A
 * NULL context: a sentence that says so.
 */
KCL_API const char *kcl_context_error(const kcl_context *context);

/* The status that belongs to kcl_context_error. */
KCL_API kcl_status kcl_context_status(const kcl_context *context);

/*
 * Waits until all work given to the context is done: calls whose results are all device arrays return before that (see
 * keopscl/memory.h). Reports what went wrong since the last wait.
 */
KCL_API kcl_status kcl_context_finish(kcl_context *context);

/*
 * Waits for running work and gives back what the context keeps to make later calls faster: its compiled programs, the
 * device memory of intermediate results, and memory that waits for reuse. Operators, expressions and arrays stay valid;
 * their next use reads programs from the disk cache or builds them. Programs that other contexts on the device use stay
 * with those. Errors: as kcl_context_finish; what is kept is given back all the same.
 */
KCL_API kcl_status kcl_context_drop_programs(kcl_context *context);

/* ---- Long calls -------------------------------------------------------------------------------------------------- */

/*
 * Receives how far a call is: `fraction` goes from 0 to 1, estimated from numbers of pairs. Returns 0 to go on; any
 * other value cancels the call. The function must not call anything of the library but kcl_context_cancel.
 */
typedef int (*kcl_progress_fn)(void *user, double fraction);

/*
 * Sets the function that calls on this context tell how far they are; NULL: none, as in a new context. The thread that
 * made the call calls the function several times a second, and not at all if the call is done soon. A call that is done
 * tells 1 if it has told something before. Only calls that compute tell (kcl_eval, kcl_operator_apply, kcl_operator_solve
 * and their like), and neither while a kernel is compiled nor during copies.
 *
 * With a function, or once kcl_context_set_cancellable asks for it, long work is given to the device in pieces of about
 * a fifth of a second, and the call waits for each; results are the same, bit for bit. So a long call waits even if all
 * its outputs are device arrays. Short calls are as they are without. How long a call will take is known from earlier
 * pieces of the same computation; the first ones are very small. Pieces are longer where work cannot be divided so far:
 * a sum over both axes has at most 1024 of them, a handful of rows against more than 1e8 columns has one.
 *
 * A cancelled call returns KCL_ERROR_CANCELLED. The contents of its outputs are not specified; the context, its arrays
 * and expressions can be used further. Errors: KCL_ERROR_ARGUMENT for NULL, and the status of a context that could not
 * be made.
 */
KCL_API kcl_status kcl_context_set_progress(kcl_context *context, kcl_progress_fn progress, void *user);

/* Whether kcl_context_cancel ends calls: 0, as in a new context without a progress function, or 1. Forgets a cancel. */
KCL_API kcl_status kcl_context_set_cancellable(kcl_context *context, int cancellable);

/*
 * Ends the call that runs on the context, which has a progress function or is cancellable, within a fraction of a
 * second; where no call runs, the next call that computes ends as soon as it begins. May be called from any thread and
 * from a signal handler while the context exists: sets a flag and does nothing else. NULL is accepted.
 */
KCL_API void kcl_context_cancel(kcl_context *context);

/* ---- What there is ----------------------------------------------------------------------------------------------- */

/* What a device is. Texts are cut to fit. */
typedef struct kcl_device_info {
    char id[16];         /* what KEOPSCL_DEVICE takes: "0:1", "cuda:0" or "host" */
    char name[128];      /* the driver's name for the device */
    char platform[128];  /* the driver's name for the platform */
    char version[128];   /* version of the driver */
    char type[8];        /* "gpu", "cpu", "host", "other" */
    int compute_units;   /* OpenCL compute units; threads for the interpreter */
    int clock_mhz;       /* 0 where unknown */
    uint64_t memory;     /* device memory, bytes */
    uint64_t max_buffer; /* largest single buffer, bytes */
    int has_f64;         /* 1: computes in double precision */
    double score;        /* the default device is the one with the highest */
} kcl_device_info;

/* Fills `info` with the context's device. KCL_ERROR_ARGUMENT for NULL. */
KCL_API kcl_status kcl_context_device_info(const kcl_context *context, kcl_device_info *info);

/*
 * Lists the devices, the interpreter last: fills at most `capacity` entries of `infos` and returns how many devices
 * there are (which may be more), or a negative kcl_status. A machine without OpenCL has one, the interpreter.
 */
KCL_API int kcl_device_list(kcl_device_info *infos, int capacity);

/* Counters since the context was created, but for programs_kept. Times in seconds. */
typedef struct kcl_context_stats {
    uint64_t evaluations;     /* calls that computed something */
    uint64_t launches;        /* kernels started */
    uint64_t programs_built;  /* kernels compiled by the driver */
    uint64_t programs_loaded; /* kernels read from the disk cache */
    uint64_t programs_reused; /* kernels found in memory */
    double build_seconds;     /* spent in the driver's compiler */
    double run_seconds;       /* spent in evaluations (till they return), builds not counted */
    uint64_t programs_kept;   /* compiled programs in memory now: those of all contexts that share the device */
} kcl_context_stats;

KCL_API kcl_status kcl_context_get_stats(const kcl_context *context, kcl_context_stats *stats);

/* The disk cache. */
typedef struct kcl_cache_info {
    char dir[1024];   /* the folder; "" where the cache is off */
    uint64_t entries; /* number of kernels kept */
    uint64_t bytes;   /* their size */
} kcl_cache_info;

/*
 * Looks at the disk cache that the environment names. A folder that is not there is empty. Errors: KCL_ERROR_IO,
 * KCL_ERROR_ARGUMENT (KEOPSCL_CACHE or KEOPSCL_CACHE_DIR is not valid; kcl_doctor tells why).
 */
KCL_API kcl_status kcl_cache_stats(kcl_cache_info *info);

/* Removes every entry of the disk cache that the environment names, and nothing else. `removed` may be NULL. Errors as above. */
KCL_API kcl_status kcl_cache_clear(uint64_t *removed);

/*
 * Writes a report: what was looked for, where, what each found, and what is lost without it: the OpenCL loader, its
 * platforms and devices, libraries of dense algebra, the disk cache. Meant to be read, and to be pasted into a
 * question.
 */
KCL_API kcl_status kcl_doctor(kcl_write_fn write, void *user);

KCL_END

#endif
