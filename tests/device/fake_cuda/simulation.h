/* SPDX-License-Identifier: MIT */
/* tests/device/fake_cuda/simulation.h: what the files of the simulated driver share. */
#ifndef SIMULATION_H
#define SIMULATION_H

#include "fake_cuda.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <pthread.h>
#include <stdbool.h>

enum {
    FC_DEVICES = 2,
    FC_VERSION = 13000,
    FC_WARP = 32,
    FC_BLOCK = 1024,
    FC_SHARED = 49152,
    FC_UNITS = 8,
    FC_GUARD = 256
};

#define FC_EXPORT __attribute__((visibility("default")))

extern fake_cuda_state fake_cuda;

#define CU_CALL(name, parameters) FC_EXPORT cu_result name parameters;
CU_CALLS(CU_CALL)
#undef CU_CALL

/* ---- The OpenCL CPU that computes (host.c) ----------------------------------------------------------------------- */

typedef struct fc_cl {
#define KD_CALL(result, name, parameters, arguments) result(CL_API_CALL *name) parameters;
#include "cl_calls.def"
    cl_int(CL_API_CALL *clGetKernelArgInfo)(cl_kernel, cl_uint, cl_kernel_arg_info, size_t, void *, size_t *);
    cl_int(CL_API_CALL *clGetKernelInfo)(cl_kernel, cl_kernel_info, size_t, void *, size_t *);
} fc_cl;

typedef struct fc_host {
    fc_cl cl;
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
} fc_host;

/* NULL: this machine has no OpenCL CPU. */
const fc_host *fc_open_host(void);

/*
 * Held around all work of the CPU for the CUDA driver: drivers of CPUs do not all bear several queues. Taken with no
 * other lock held, or after the lock of the world is let go.
 */
extern pthread_mutex_t fc_compute;

cl_device_id fc_simulated_id(int device); /* the OpenCL device that is the CUDA device of this ordinal */
void fc_uuid(int device, unsigned char uuid[16]);
const char *fc_name(int device);
enum { FC_BUS = 6 }; /* the PCI bus of device 0; the next device has the next bus */

/* ---- PTX (ptx.c) ------------------------------------------------------------------------------------------------- */

/* The text of a built program of the CPU, with two zeros at its end; malloc'd. NULL: a call failed. */
char *fc_write_ptx(const fc_host *host, cl_program program, const char *options, size_t *size);

/*
 * The source and the options inside a text; malloc'd. NULL: *problem tells why the text is none that runs. `edited`: as
 * the CUDA driver reads it, without %envreg registers. Else as OpenCL reads it, with them.
 */
char *fc_read_ptx(const char *text, size_t size, bool edited, char **options, const char **problem);

/* What ptxas would write of the kernels of a text; malloc'd. */
char *fc_ptx_notes(const char *text, size_t size);

/* ---- Objects ----------------------------------------------------------------------------------------------------- */

/* The world is guarded by one lock; `fc_changed` is signalled whenever a stream has done a command. */
extern pthread_mutex_t fc_world;
extern pthread_cond_t fc_changed;

typedef struct fc_context {
    int device;
    int references; /* of cuDevicePrimaryCtxRetain; 0: not active */
    cu_result sick; /* what a kernel did to the context, which all calls report from then on */
    size_t used;
    struct fc_stream *legacy, *per_thread;
} fc_context;

typedef struct fc_allocation {
    struct fc_allocation *next;
    fc_context *context;
    unsigned char *host; /* the first byte, after the guard */
    size_t size;
    bool is_leaving; /* a free was given to a stream */
    bool is_lent;    /* memory of the process: see fake_cuda_lend */
} fc_allocation;

typedef struct fc_module {
    struct fc_module *next;
    fc_context *context;
    cl_program program;
    struct fc_function *functions;
    int pending; /* launches that are not done */
} fc_module;

enum { FC_ARGUMENTS = 64 };

typedef struct fc_function {
    struct fc_function *next;
    fc_module *module;
    cl_kernel kernel;
    char *name;
    unsigned count;
    size_t sizes[FC_ARGUMENTS]; /* of values; 0: a pointer */
    size_t group[3];            /* that the kernel requires; 0: any */
    size_t local;
    int dynamic; /* set by cuFuncSetAttribute */
} fc_function;

typedef enum fc_kind { FC_WRITE, FC_READ, FC_COPY, FC_SET, FC_LAUNCH, FC_FREE, FC_WAIT } fc_kind;

typedef struct fc_task {
    struct fc_task *next;
    fc_kind kind;
    cu_pointer to, from;
    void *host;
    size_t bytes;
    unsigned value;
    fc_function *function;
    unsigned grid[3], block[3];
    unsigned char arguments[FC_ARGUMENTS][16];
    struct fc_wait {
        struct fc_stream *stream;
        uint64_t count;
    } * waits;
    size_t wait_count;
} fc_task;

typedef struct fc_graph {
    struct fc_graph *next;
    fc_context *context;
    fc_task *first, **last;
} fc_graph;

/* Streams stay in the list for as long as the process lives: events refer to them. */
typedef struct fc_stream {
    struct fc_stream *next;
    fc_context *context;
    bool is_blocking; /* waits for the legacy stream, and the legacy stream for it */
    bool is_closed;
    pthread_t thread;
    fc_task *first, **last;
    uint64_t given, done; /* commands */
    fc_graph *capture;    /* being made; NULL: none */
    int capture_mode;
    bool is_spoilt; /* the capture was ended by a call that it forbids */
} fc_stream;

/* ---- The world (world.c) ----------------------------------------------------------------------------------------- */

/*
 * Begins a call: takes the lock of the world, counts the call, and tells whether it is to fail. fc_end lets the lock
 * go and returns `code`. Calls but cuInit need it to have been called.
 */
cu_result fc_begin(const char *call);
cu_result fc_end(cu_result code);

/* fc_begin for calls that need a current context, which a kernel may have made sick. */
cu_result fc_begin_in(const char *call, fc_context **context);

/* Whether a capture in this process, by a mode that the thread has not relaxed, forbids the call; spoils the capture. */
bool fc_is_forbidden(void);

fc_context *fc_current(void);
fc_context *fc_known_context(void *handle);

void fc_log(const char *call, void *stream, cu_pointer address, size_t bytes);

/* ---- Memory (memory.c) ------------------------------------------------------------------------------------------- */

/* The host's address of `bytes` of device memory, with the bytes left from there; NULL: not allocated. */
unsigned char *fc_find(const fc_context *context, cu_pointer pointer, size_t bytes, size_t *left);
void fc_release(cu_pointer pointer); /* fills the memory with NaN and forgets it */
void fc_release_all(fc_context *context);

/* ---- Streams (stream.c) ------------------------------------------------------------------------------------------ */

/* The stream of a handle, in the current context; NULL: no stream of the context. */
fc_stream *fc_stream_of(fc_context *context, void *handle);

/* Takes a task to a stream, or to the stream's capture, and the task's memory. */
cu_result fc_give(fc_stream *stream, const fc_task *task);

/* Waits with the lock of the world, which is let go meanwhile. */
void fc_wait_for_stream(fc_stream *stream, uint64_t count);
void fc_wait_for_context(fc_context *context);

/* ---- Kernels (kernel.c) ------------------------------------------------------------------------------------------ */

bool fc_is_function(const fc_function *function); /* its module is loaded */

/* Called by the thread of a stream, without the lock of the world. */
cu_result fc_run_kernel(fc_task *task);
void fc_unload_all(fc_context *context);

#endif
