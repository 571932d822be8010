/* SPDX-License-Identifier: MIT */
/* device/internal.h: what the files of this folder share. The only header with OpenCL types. */
#ifndef KD_INTERNAL_H
#define KD_INTERNAL_H

#include "device.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <pthread.h>
#include <stdatomic.h>

/* ---- The table of OpenCL calls ----------------------------------------------------------------------------------- */

typedef struct kd_cl {
#define KD_CALL(result, name, parameters, arguments) result(CL_API_CALL *name) parameters;
#include "cl_calls.def"
    const void *driver; /* the functions of the one driver that the table is of; NULL: an object's driver is found */
} kd_cl;

/* Whether the table can be asked about an object of OpenCL, which is one: a driver knows no object of another driver. */
bool kd_serves(const kd_cl *cl, const void *object);

/*
 * Opens the ICD loader and fills the table. The loader is never closed: drivers keep threads of their own.
 * KCL_ERROR_NO_DEVICE without a loader; the text lists what was tried. *name is the library found; `name` may be NULL.
 */
kcl_status kd_open_loader(kd_cl *cl, const char **name, kb_error *err);

void kd_mark_use(void); /* remembers the process that uses OpenCL first */
bool kd_forked(void);   /* this process is a child of the process that uses OpenCL */

/* "CL_OUT_OF_RESOURCES"; "unknown error" for other numbers. */
const char *kd_cl_error_name(cl_int code);

/* Reports "<call> failed: <name> (<code>) on device <device>"; `more` is appended, may be NULL. */
kcl_status kd_cl_fail(kb_error *err, const kcl_device_info *device, const char *call, cl_int code, const char *more);

/* Reads a text of a platform or device, cut to fit and trimmed of spaces. */
cl_int kd_platform_text(const kd_cl *cl, cl_platform_id id, cl_platform_info what, char *text, size_t size);
cl_int kd_device_text(const kd_cl *cl, cl_device_id id, cl_device_info what, char *text, size_t size);

/* ---- Settings: parameters and environment ------------------------------------------------------------------------ */

enum { KD_PATH = 1024 };

typedef struct kd_settings {
    const char *device;        /* what was asked for, "" for nothing */
    const char *device_source; /* the name of the parameter or variable that asks */
    int threads;               /* 0: all */
    const char *threads_source;
    int programs;            /* most that are kept in memory */
    char cache_dir[KD_PATH]; /* "" : no disk cache */
    bool names_cache_dir;    /* the user has named the folder; else it is the default */
    char dump_dir[KD_PATH];  /* "" : none */
} kd_settings;

/* Sets *log first, so that later failures can be logged. */
kcl_status kd_read_settings(kd_settings *settings, kb_log *log, const kcl_context_params *params, kb_error *err);

/* The folder of the disk cache by `given` (NULL: by the environment), "" if the cache is off; the log tells why. */
kcl_status kd_cache_folder(char dir[KD_PATH], const char *given, const kb_log *log, kb_error *err);

/* ---- Selection --------------------------------------------------------------------------------------------------- */

/* A device as its platform lists it. */
typedef struct kd_candidate {
    cl_platform_id platform;
    cl_device_id id;
    kcl_device_info info;
    char platform_version[256];
    char device_version[256];
    char problem[160]; /* why it cannot be used, "" if it can */
} kd_candidate;

typedef struct kd_candidates {
    kcl_allocator allocator;
    kd_candidate *items;
    size_t count, capacity;
    cl_uint platforms;  /* all platforms, including those that failed */
    char hint[KD_PATH]; /* why a platform may have no device; "": not known */
} kd_candidates;

/* Lists all devices. No platform at all is no error; a platform that fails is left out, with a log line. */
kcl_status kd_list(kd_candidates *list, const kd_cl *cl, const kcl_allocator *allocator, const kb_log *log,
                   kb_error *err);
void kd_list_finish(kd_candidates *list);

/* *chosen is the candidate that the settings ask for; NULL is the interpreter. */
kcl_status kd_choose(const kd_candidate **chosen, const kd_candidates *list, const kd_settings *settings,
                     const kb_log *log, kb_error *err);
bool kd_wants_host(const kd_settings *settings); /* by id or name: OpenCL is not to be touched */

/*
 * Describes a device that a user has: the device, or the device that it is a part of, is looked for among the devices
 * of its platform. KCL_ERROR_ARGUMENT for another device, KCL_ERROR_NO_DEVICE for a device that cannot be used.
 */
kcl_status kd_describe(kd_candidate *found, const kd_cl *cl, cl_platform_id platform, cl_device_id device,
                       const kcl_allocator *allocator, const kb_log *log, kb_error *err);

/*
 * The number of the device among `count` devices, or of the whole of which it is a part: PoCL tells the whole devices of
 * contexts and programs that are on parts. `count`: it is none of them.
 */
size_t kd_find_device(const kd_cl *cl, const cl_device_id *ids, size_t count, cl_device_id device);

void kd_host_info(kcl_device_info *info, int threads);
cl_int kd_fill_caps(kp_caps *caps, const kd_cl *cl, cl_device_id id, const kcl_device_info *info);

/* ---- CUDA: see cuda.h --------------------------------------------------------------------------------------------- */

bool kd_is_cuda(const char *platform); /* the platform is that of kd_open_cuda's table */

/*
 * Fills the table with calls that the CUDA driver serves, for the devices "cuda:0" and so on. KCL_ERROR_NO_DEVICE: there
 * is no such driver, or it lacks something, and the text tells what.
 */
kcl_status kd_open_cuda(kd_cl *cl, kb_error *err);
/* Whether the stream of a queue is captured: commands do not run now, but each time that the graph is launched. */
bool kd_cuda_captures(cl_command_queue queue);
bool kd_wants_cuda(const kd_settings *settings); /* "cuda" or "cuda:N" */
const char *kd_cuda_error_name(cl_int code);     /* NULL for codes that are not CUDA's */

/* ---- PoCL's own cache -------------------------------------------------------------------------------------------- */

bool kd_is_pocl(const char *platform);

/*
 * Tells in which folder PoCL keeps what it compiles. False: PoCL cannot write there, and the text tells why and what
 * helps.
 */
bool kd_pocl_cache(char *text, size_t size);

/* Whether PoCL finds what it has compiled in an earlier process. */
bool kd_pocl_keeps(void);

/* ---- Devices, contexts ------------------------------------------------------------------------------------------- */

/* How host memory reaches kernels. */
typedef enum kd_sharing {
    KD_IN_PLACE, /* kernels work on the memory of the host (PoCL on CPUs): waiting is enough */
    KD_MAPPED,   /* the driver uses the memory of the host, and mapping makes results visible (other CPUs) */
    KD_COPIED,   /* GPUs and the rest */
} kd_sharing;

enum { KD_MOST_DEVICES = 64 }; /* of a cl_context whose programs are kept on disk */

typedef struct kd_program {
    struct kd_program *next;
    cl_program program;
    char *source, *label;
    char *notes; /* the build log of a driver that reports registers, else NULL; kept with the entry on disk */
    uint64_t hash;
    int users;             /* kernels of all contexts; guarded by the device's lock, like the next */
    uint64_t used;         /* the device's count of uses when a kernel was last made or let go */
    atomic_bool loaded;    /* from disk */
    atomic_bool unsaved;   /* built here and not yet on disk */
    atomic_bool is_pinned; /* a graph may use the program later: it stays until the device is closed */
} kd_program;

struct kcl_device {
    atomic_int references;
    kcl_allocator allocator;
    bool host;
    int threads;
    kcl_device_info info;
    kp_caps caps;
    char dump_dir[KD_PATH];
    /* What follows is for OpenCL devices only. */
    kd_cl cl;
    cl_device_id id;
    bool is_part; /* a sub-device that this library has made */
    cl_context context;
    kd_sharing sharing;
    bool takes_turns; /* the driver cannot run the submissions of several contexts side by side */
    const char *build_options;
    bool tells_registers; /* the build log holds what the compiler used: see kd_read_build_log */
    char platform_version[256];
    char device_version[256];
    pthread_mutex_t lock; /* guards what follows */
    bool has_lock;
    pthread_mutex_t turn; /* held by a context during a submission, with takes_turns */
    bool has_turn;
    kd_program *programs;
    size_t program_count;
    uint64_t uses; /* of programs: kd_program.used */
    size_t most_programs;
    double longest_wait;     /* seconds, for a program that another process builds */
    char cache_dir[KD_PATH]; /* "" : off */
    int (*clear_clblast)(void); /* CLBlast has programs of the device; NULL: it has none. Guarded by the lock too */
    bool leaves_to_driver;   /* entries are read, but none is made: the driver keeps programs */
};

/* What a kernel was last given for an argument. */
typedef struct kd_saved_arg {
    uint64_t serial;         /* of a buffer; 0: no buffer, or not known */
    size_t size;             /* of a value; 0: no value, or not known */
    unsigned char value[32]; /* longer values are set every time */
} kd_saved_arg;

struct kd_kernel {
    struct kd_kernel *next;
    kd_program *program;
    char *name;
    cl_kernel kernel;
    kd_saved_arg *saved;
    size_t saved_count;
    size_t references;    /* of kd_kernel_get */
    uint64_t last_launch; /* by the context's count of launches; 0: none */
    bool has_limits;
    kd_limits limits;
};

struct kd_buffer {
    cl_mem mem;
    uint64_t serial;  /* never used twice in a context, unlike the address of a cl_mem */
    size_t size;      /* with which the buffer is used */
    size_t capacity;  /* bytes of the buffer */
    const void *host; /* the host memory that the buffer stands for in this submission; NULL: none */
    bool is_output;   /* `host` receives the contents at the end of the submission */
    bool is_own;      /* memory of the buffer, not of the host */
    bool is_kept;     /* `host` was copied to memory of ours: the submission does not refer to `host` */
    bool idle;        /* waits for reuse */
    bool is_pinned;   /* a graph may use the memory later: the memory stays until the context is destroyed */
};

/* This context builds the program of an entry on disk, and others wait for the entry. */
typedef struct kd_build_lock {
    struct kd_build_lock *next;
    int file;
    char path[]; /* of the file that is locked */
} kd_build_lock;

/* A copy of host memory that the device is to read later; freed when the context has waited. */
typedef struct kd_kept {
    struct kd_kept *next;
    max_align_t data[];
} kd_kept;

struct kcl_memory {
    struct kcl_memory *next, *previous; /* in the context's list */
    kcl_context *context;               /* NULL: the context was destroyed */
    kcl_allocator allocator;
    size_t size;
    kd_buffer *buffer;  /* OpenCL devices */
    void *host;         /* the interpreter */
    bool is_foreign;    /* memory of the user: `buffer` is `foreign`, which is not among the buffers of the context */
    bool is_retained;   /* foreign, and a reference to the cl_mem is ours */
    const void *holder; /* see kd_memory_holder */
    uint64_t origin;
    bool is_unreadable, is_unwritable; /* by kernels */
    kd_buffer foreign;
};

/* Where the device memory of a context comes from: see kcl_cuda_params. NULL as `allocate`: from the driver. */
typedef struct kd_memory_source {
    void *(*allocate)(void *user, size_t bytes);
    void (*release)(void *user, void *pointer);
    void *user;
} kd_memory_source;

struct kcl_context {
    kcl_allocator allocator;
    kcl_device *device;
    kb_log log;
    kb_error error;
    bool dead; /* the context could not be made, and only tells why */
    uint64_t serial;
    kcl_context_stats stats;
    cl_command_queue queue;
    bool is_cuda;     /* the queue is a stream of CUDA */
    bool is_captured; /* what is being launched becomes part of a graph: see kd_cuda_captures */
    kd_memory_source source;
    kd_kernel *kernels;
    kd_buffer **buffers;
    size_t buffer_count, buffer_capacity;
    uint64_t last_serial; /* of buffers */
    kd_buffer *nothing;   /* stands for memory of size 0 */
    kcl_memory *memories; /* that users hold */
    struct kd_dense *dense; /* libraries of dense algebra; NULL: not needed yet */
    kd_kept *kept;
    size_t kept_bytes;
    kcl_status submission_status;
    bool holds_turn;            /* of the device */
    cl_event last;              /* of the command given last, if its end must be seen: see kd_settle_queue */
    uint64_t launches;          /* since the context was made */
    uint64_t finished_launches; /* launches among them that were waited for */
    int batch_launches;
    double batch_start;
    double in_flight; /* seconds that work which was not waited for takes, as far as anybody estimated */
    kcl_progress_fn progress;
    void *progress_user;
    bool cancellable;
    atomic_int cancel;    /* asked for: the running call ends, or the next one */
    double told_at;       /* when the progress function was called last, or the call began */
    bool was_told;        /* of the running call */
    bool is_whole;        /* the running call is made of others */
    double fraction;      /* of a call that is made of others: what is done */
    bool save_pending;    /* a program of this submission belongs on disk */
    kd_build_lock *locks; /* until the end of the submission */
    struct {
        void *object;
        void (*destroy)(kcl_context *context, void *object);
    } attached[KD_PLACES]; /* by the layers above */
};

/* kcl_context_create and others with a given table; NULL: the table of the ICD loader. */
kcl_status kd_context_create_with(const kd_cl *cl, kcl_context **context, const kcl_context_params *params);
int kd_device_list_with(const kd_cl *cl, kcl_device_info *infos, int capacity);
kcl_status kd_doctor_with(const kd_cl *cl, kcl_write_fn write, void *user);

/*
 * What a user gives for a context. The device of `share`, and with it the programs, is shared if it was opened on the
 * same objects; else the call fails. Without a queue the context makes one.
 */
typedef struct kd_given {
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    bool retain; /* false: the caller's references pass to the library, also if the call fails */
    const kcl_context *share;
} kd_given;

/*
 * A context on given objects, made by the calls of the table `cl` (not NULL), and held until the context is destroyed.
 * Settings are read as for other contexts, but the device is the one that is given, and all its processors are used.
 * Failures as for kcl_context_create, and KCL_ERROR_ARGUMENT. The caller has checked that the objects belong together.
 */
kcl_status kd_context_create_given(const kd_cl *cl, kcl_context **context, const kcl_context_params *params,
                                   const kd_given *given);

/* kcl_opencl_context_create with a given table; NULL: the table of the ICD loader. */
struct kcl_opencl_params;
kcl_status kd_opencl_context_create_with(const kd_cl *cl, kcl_context **context, const kcl_context_params *params,
                                         const struct kcl_opencl_params *opencl);

kcl_status kd_refuse_fork(kb_error *err); /* in a child of the process that uses OpenCL */

/* A context that only tells why there is none. Returns the status of the error, or KCL_ERROR_NO_MEMORY. */
kcl_status kd_context_create_failed(kcl_context **context, const kcl_context_params *params, const kb_error *err);

/*
 * A kcl_memory that stands for `bytes` bytes of the user's memory, which the library neither allocates, counts nor
 * frees. `retain`: the memory holds a reference to the cl_mem. Without `retain` the cl_mem is an address of the device,
 * and the user keeps the memory while work uses it. Made and released with hardly more than the driver's calls: bindings
 * do so for every array of every call.
 */
kcl_status kd_memory_wrap(kcl_context *context, cl_mem mem, size_t bytes, bool retain, kcl_memory **memory);

/*
 * Opens the device that the settings ask for, or the device that is given, whose context the device takes over if the
 * call succeeds; `cl` as above.
 */
kcl_status kd_device_open(kcl_device **device, const kd_cl *cl, const kd_settings *settings,
                          const kcl_allocator *allocator, const kb_log *log, kb_error *err);
kcl_status kd_device_open_given(kcl_device **device, const kd_cl *cl, const kd_given *given,
                                const kd_settings *settings, const kcl_allocator *allocator, const kb_log *log,
                                kb_error *err);
void kd_device_release(kcl_device *device);

/*
 * Waits until the driver has let go of the kernel launched last, before the queue is released. PoCL's threads still use
 * the queue after clFinish has returned, while they release the event of the command that they ran.
 */
void kd_settle_queue(kcl_context *context);

/* Takes over the event of a command, which may be NULL: it is the command whose end kd_settle_queue waits for. */
void kd_note_last(kcl_context *context, cl_event event);

/* Waits for all that the queue holds. A failure ends the submission. */
kcl_status kd_wait_for_queue(kcl_context *context);

/* A copy of host memory that lives until the context waits; NULL when memory is out. */
const void *kd_keep_copy(kcl_context *context, const void *data, size_t bytes);

/*
 * The turn of a device whose submissions take turns, taken before the lock of the device. True: the turn was taken now,
 * and the caller ends it. kd_finish ends the turn of a submission.
 */
bool kd_take_turn(kcl_context *context);
void kd_end_turn(kcl_context *context);

/*
 * Waits if launches of the kernel may not be done. False: waiting failed, which the end of the submission will report.
 */
bool kd_wait_for_kernel(kcl_context *context, const kd_kernel *kernel);

/* ---- Programs and the disk cache --------------------------------------------------------------------------------- */

void kd_programs_free(kcl_device *device); /* with kd_forked(), host memory only */
void kd_kernels_free(kcl_context *context);
size_t kd_program_count(const kcl_context *context);     /* of the device */
void kd_save_programs(kcl_context *context);             /* programs whose first launch is done */
void kd_drop_entry(kcl_context *context, kd_program *p); /* takes a program that failed off the disk */

/*
 * Whether the folder is not there yet, or is one that only this user and root can write to. *why tells what is wrong.
 */
bool kd_folder_is_safe(const char *dir, char *why, size_t size);

typedef struct kd_piece {
    const void *data; /* NULL only for size 0 */
    size_t size;
} kd_piece;

/*
 * Writes a file under another name in the folder `dir`, then gives the file its own name, in place of what had the
 * name. A link of that name is not followed. Returns 0, or the errno of the failure.
 */
int kd_put_file(const char *dir, const char *path, const kd_piece *pieces, size_t count);

/*
 * `key` names the entry exactly, `notes` is a text kept with the program. False: there is no entry, or it was damaged
 * and is removed. The caller frees *binary and *notes.
 */
bool kd_disk_load(kcl_device *device, const kb_log *log, const kb_str *key, unsigned char **binary, size_t *size,
                  char **notes);
void kd_disk_store(kcl_device *device, const kb_log *log, const kb_str *key, const unsigned char *binary, size_t size,
                   const char *notes);
void kd_disk_remove(kcl_device *device, const kb_str *key);

/*
 * Locks the entry for the process that builds its program, as long as the process lives at most. KD_LOCK_NONE: there
 * are no locks here (no cache, a file system without locks, no memory), and everybody builds.
 */
typedef enum kd_lock { KD_LOCK_TAKEN, KD_LOCK_BUSY, KD_LOCK_NONE } kd_lock;
kd_lock kd_disk_lock(kcl_context *context, const kb_str *key);
void kd_disk_unlock_last(kcl_context *context); /* the lock taken last, which must exist */
void kd_disk_unlock(kcl_context *context);      /* all locks of the context; with kd_forked(), host memory only */

/* ---- Dense algebra: see dense.h ---------------------------------------------------------------------------------- */

void kd_dense_free(kcl_context *context); /* with kd_forked(), host memory only */
void kd_dense_report(kb_str *out);        /* for kcl_doctor: which libraries are found, and what is lost without them */

/* ---- What the compiler tells ------------------------------------------------------------------------------------- */

/*
 * Reads registers, spilled bytes and stack of a kernel from the log that NVIDIA's compiler writes with -cl-nv-verbose.
 * What the log does not tell stays as it is.
 */
void kd_read_build_log(const char *log, const char *kernel, kd_limits *limits);

/* ---- Buffers ----------------------------------------------------------------------------------------------------- */

void kd_buffers_free(kcl_context *context);    /* with kd_forked(), host memory only */
void kd_memories_orphan(kcl_context *context); /* users may still hold them; their buffers go with all other buffers */

#endif
