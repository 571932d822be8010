/* SPDX-License-Identifier: MIT */
/*
 * device/cuda.h: what the files of the CUDA driver share.
 *
 * The CUDA driver fills the table of OpenCL calls a second time (kd_cl): a program that NVIDIA's OpenCL has compiled runs
 * under CUDA, on memory and in streams of CUDA. Everything above the table stays as it is: memory that is used again,
 * caches, launches, waiting. A cl_mem of this table is an address of the device, a CUdeviceptr; other objects are the
 * structures below.
 *
 * No header of CUDA is needed: the names and numbers used here are those of CUDA's documentation (driver API).
 */
#ifndef KD_CUDA_H
#define KD_CUDA_H

#include "internal.h"

typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUlinkState_st *CUlinkState;

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    CUDA_ERROR_INVALID_PTX = 218,
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
    CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 1,
    CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X = 2,
    CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y = 3,
    CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z = 4,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK = 8,
    CU_DEVICE_ATTRIBUTE_WARP_SIZE = 10,
    CU_DEVICE_ATTRIBUTE_CLOCK_RATE = 13, /* kHz */
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_INTEGRATED = 18,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
    CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 0,
    CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1,
    CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
    CU_POINTER_ATTRIBUTE_CONTEXT = 1,
    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,
    CU_JIT_ERROR_LOG_BUFFER = 5,
    CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
    CU_JIT_INPUT_PTX = 1,
    CU_STREAM_NON_BLOCKING = 1,
    CU_STREAM_CAPTURE_STATUS_NONE = 0,
};

/* The driver's functions. */
typedef struct kd_cuda {
#define KD_CUDA_CALL(name, exported, parameters) CUresult(*name) parameters;
#include "cuda_calls.def"
} kd_cuda;

/* A device of the CUDA driver. The objects are made when the driver is opened, and stay. */
typedef struct kd_cuda_device {
    int ordinal;
    CUdevice id;
    int major, minor; /* compute capability */
    /* The device of NVIDIA's OpenCL whose compiler makes programs for this device; NULL: there is none. */
    cl_platform_id platform;
    cl_device_id compiler;
} kd_cuda_device;

/* A cl_context: a context of CUDA. */
typedef struct kd_cuda_context {
    atomic_int references;
    kd_cuda_device *device;
    CUcontext context;
    bool is_primary;      /* the device's own context, which was retained */
    pthread_mutex_t lock; /* guards what follows */
    cl_context compiler;  /* NVIDIA's OpenCL, while programs are compiled: see kd_cuda_rest */
    double compiled_at;   /* when a program was compiled last */
    atomic_bool compiles; /* `compiler` is there */
} kd_cuda_context;

/* A cl_command_queue: a stream. */
typedef struct kd_cuda_queue {
    atomic_int references;
    kd_cuda_context *context;
    CUstream stream;
    bool is_own; /* the stream ends with the queue */
} kd_cuda_queue;

/* A cl_program. */
typedef struct kd_cuda_program {
    atomic_int references; /* kernels hold one each */
    kd_cuda_context *context;
    char *source;          /* OpenCL C; NULL: the program was made of a binary */
    char *log;             /* of the OpenCL compiler, or why there is no binary; NULL: none */
    unsigned char *binary; /* machine code */
    size_t size;
    CUmodule module;
} kd_cuda_program;

/* A parameter of a kernel: an address or a number. */
typedef union kd_cuda_value {
    uint64_t words[2];
    double alignment;
} kd_cuda_value;

/* A cl_kernel. */
typedef struct kd_cuda_kernel {
    kd_cuda_program *program;
    CUfunction function;
    size_t count; /* room for parameters */
    kd_cuda_value *values;
    void **parameters; /* addresses of the values */
} kd_cuda_kernel;

/* ---- cuda_driver.c ------------------------------------------------------------------------------------------------ */

/*
 * Opens libcuda, and the OpenCL that compiles for it, once a process; fills *devices and *count. KCL_ERROR_NO_DEVICE
 * without a driver that has a device and all functions: the text tells why.
 */
kcl_status kd_cuda_open(kd_cuda_device **devices, int *count, kb_error *err);

/* Valid once kd_cuda_open has succeeded. */
const kd_cuda *kd_cuda_driver(void);
const kd_cl *kd_cuda_compiler(void);

/* The OpenCL code of an answer of the CUDA driver; a number of its own, which has a name, for what OpenCL does not know. */
cl_int kd_cuda_code(CUresult result);

/*
 * Makes the context current in the thread. *entered: the context was not current before. kd_cuda_leave is due in any case,
 * also after a failure.
 */
CUresult kd_cuda_enter(const kd_cuda_context *context, bool *entered);
void kd_cuda_leave(bool entered);

/* ---- cuda_devices.c ----------------------------------------------------------------------------------------------- */

extern const char kd_cuda_platform[]; /* the platform's name */

void kd_cuda_set_queries(kd_cl *cl); /* calls about platforms and devices */

/* Answers a query: OpenCL's `value` and `need` get the data. */
cl_int kd_cuda_give(const void *data, size_t bytes, size_t size, void *value, size_t *need);
cl_int kd_cuda_give_text(const char *text, size_t size, void *value, size_t *need);

/* ---- cuda.c ------------------------------------------------------------------------------------------------------- */

/* A cl_context on a context of CUDA, which outlives the cl_context; NULL as `given`: the device's primary context. */
cl_context kd_cuda_context_new(kd_cuda_device *device, CUcontext given, cl_int *code);

/* A cl_command_queue on a stream, which outlives the queue. */
cl_command_queue kd_cuda_queue_new(cl_context context, CUstream stream, cl_int *code);

/* ---- cuda_program.c ----------------------------------------------------------------------------------------------- */

/*
 * PTX that NVIDIA's OpenCL has compiled, changed to what the CUDA driver runs; the caller frees the text. OpenCL hands
 * the numbers of groups and the offsets of a launch over in the registers %envreg0 to %envreg8, which CUDA leaves 0. NULL:
 * memory is out, or the text reads another of these registers, whose number is put into *unknown, else -1.
 */
char *kd_cuda_edit(const kcl_allocator *allocator, const char *ptx, int *unknown);

/*
 * A context of OpenCL takes hundreds of megabytes of the device's memory beside what CUDA takes, and some time to make, in
 * which other processes wait. So it is kept between programs that are compiled one after another, and released by the
 * first launch or wait that comes more than a second after the last of them.
 */
void kd_cuda_rest(kd_cuda_context *context);
void kd_cuda_end_compiler(kd_cuda_context *context);

/* Makes the binary of a program with source, and loads the binary. Sets the log. Returns a code of clBuildProgram. */
cl_int kd_cuda_build(kd_cuda_program *program, const char *options);
cl_int kd_cuda_load(kd_cuda_program *program);

#endif
