/* SPDX-License-Identifier: MIT */
/*
 * device/cuda.c: the calls of OpenCL, made of the CUDA driver. Objects of each kind are described in cuda.h. The queries of
 * platforms and devices stand in cuda_devices.c.
 */
#include "cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Contexts and queues ------------------------------------------------------------------------------------------ */

cl_context kd_cuda_context_new(kd_cuda_device *device, CUcontext given, cl_int *code)
{
    kd_cuda_context *c = calloc(1, sizeof *c);
    *code = c ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
    if (!c)
        return NULL;
    atomic_init(&c->references, 1);
    c->device = device;
    c->context = given;
    c->is_primary = !given;
    if (pthread_mutex_init(&c->lock, NULL)) {
        free(c);
        *code = CL_OUT_OF_HOST_MEMORY;
        return NULL;
    }
    if (!given)
        *code = kd_cuda_code(kd_cuda_driver()->cuDevicePrimaryCtxRetain(&c->context, device->id));
    if (!*code)
        return (cl_context)(void *)c;
    pthread_mutex_destroy(&c->lock);
    free(c);
    return NULL;
}

static cl_context CL_API_CALL create_context(const cl_context_properties *properties, cl_uint count,
                                             const cl_device_id *devices,
                                             void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *),
                                             void *user, cl_int *code)
{
    (void)properties, (void)count, (void)notify, (void)user;
    return kd_cuda_context_new((kd_cuda_device *)devices[0], NULL, code);
}

static cl_int CL_API_CALL retain_context(cl_context context)
{
    atomic_fetch_add(&((kd_cuda_context *)context)->references, 1);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL release_context(cl_context context)
{
    kd_cuda_context *c = (kd_cuda_context *)context;
    if (atomic_fetch_sub(&c->references, 1) != 1)
        return CL_SUCCESS;
    kd_cuda_end_compiler(c);
    pthread_mutex_destroy(&c->lock);
    const CUresult result = c->is_primary ? kd_cuda_driver()->cuDevicePrimaryCtxRelease(c->device->id) : CUDA_SUCCESS;
    free(c);
    return kd_cuda_code(result);
}

static kd_cuda_queue *new_queue(kd_cuda_context *context, CUstream stream, bool is_own, cl_int *code)
{
    kd_cuda_queue *q = calloc(1, sizeof *q);
    *code = q ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
    if (!q)
        return NULL;
    atomic_init(&q->references, 1);
    q->context = context;
    q->stream = stream;
    q->is_own = is_own;
    retain_context((cl_context)(void *)context);
    return q;
}

cl_command_queue kd_cuda_queue_new(cl_context context, CUstream stream, cl_int *code)
{
    return (cl_command_queue)(void *)new_queue((kd_cuda_context *)context, stream, false, code);
}

static cl_command_queue CL_API_CALL create_queue(cl_context context, cl_device_id device,
                                                 cl_command_queue_properties properties, cl_int *code)
{
    (void)device, (void)properties;
    kd_cuda_context *c = (kd_cuda_context *)context;
    CUstream stream = NULL;
    bool entered;
    CUresult result = kd_cuda_enter(c, &entered);
    if (!result)
        result = kd_cuda_driver()->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
    *code = kd_cuda_code(result);
    kd_cuda_queue *q = *code ? NULL : new_queue(c, stream, true, code);
    if (!q && stream)
        kd_cuda_driver()->cuStreamDestroy(stream);
    kd_cuda_leave(entered);
    return (cl_command_queue)(void *)q;
}

/* Objects of CUDA are checked by functions of CUDA: see cuda_context.c. */
static cl_int CL_API_CALL get_context_info(cl_context context, cl_context_info what, size_t size, void *value,
                                           size_t *need)
{
    (void)context, (void)what, (void)size, (void)value, (void)need;
    return CL_INVALID_OPERATION;
}

static cl_int CL_API_CALL get_queue_info(cl_command_queue queue, cl_command_queue_info what, size_t size, void *value,
                                         size_t *need)
{
    (void)queue, (void)what, (void)size, (void)value, (void)need;
    return CL_INVALID_OPERATION;
}

static cl_int CL_API_CALL get_mem_info(cl_mem mem, cl_mem_info what, size_t size, void *value, size_t *need)
{
    (void)mem, (void)what, (void)size, (void)value, (void)need;
    return CL_INVALID_OPERATION;
}

static cl_int CL_API_CALL retain_queue(cl_command_queue queue)
{
    atomic_fetch_add(&((kd_cuda_queue *)queue)->references, 1);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL release_queue(cl_command_queue queue)
{
    kd_cuda_queue *q = (kd_cuda_queue *)queue;
    CUresult result = CUDA_SUCCESS;
    if (atomic_fetch_sub(&q->references, 1) != 1)
        return CL_SUCCESS;
    if (q->is_own) {
        bool entered;
        result = kd_cuda_enter(q->context, &entered);
        if (!result)
            result = kd_cuda_driver()->cuStreamDestroy(q->stream);
        kd_cuda_leave(entered);
    }
    release_context((cl_context)(void *)q->context);
    free(q);
    return kd_cuda_code(result);
}

/* ---- Programs ----------------------------------------------------------------------------------------------------- */

static cl_int CL_API_CALL release_program(cl_program program)
{
    kd_cuda_program *p = (kd_cuda_program *)program;
    CUresult result = CUDA_SUCCESS;
    if (atomic_fetch_sub(&p->references, 1) != 1)
        return CL_SUCCESS;
    if (p->module) {
        bool entered;
        result = kd_cuda_enter(p->context, &entered);
        if (!result)
            result = kd_cuda_driver()->cuModuleUnload(p->module);
        kd_cuda_leave(entered);
    }
    release_context((cl_context)(void *)p->context);
    free(p->source);
    free(p->log);
    free(p->binary);
    free(p);
    return kd_cuda_code(result);
}

/* A program with a copy of `size` bytes, which are a binary or, with a zero behind them, a source. */
static cl_program new_program(cl_context context, const void *data, size_t size, bool is_source, cl_int *code)
{
    kd_cuda_program *p = calloc(1, sizeof *p);
    char *bytes = malloc(size + 1);
    *code = p && bytes ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
    if (*code) {
        free(p);
        free(bytes);
        return NULL;
    }
    memcpy(bytes, data, size);
    bytes[size] = 0;
    atomic_init(&p->references, 1);
    p->context = (kd_cuda_context *)context;
    retain_context(context);
    if (is_source) {
        p->source = bytes;
    } else {
        p->binary = (unsigned char *)bytes;
        p->size = size;
    }
    return (cl_program)(void *)p;
}

/* One text that ends with a zero: what program.c gives. */
static cl_program CL_API_CALL create_with_source(cl_context context, cl_uint count, const char **texts,
                                                 const size_t *lengths, cl_int *code)
{
    (void)count, (void)lengths;
    return new_program(context, texts[0], strlen(texts[0]), true, code);
}

static cl_program CL_API_CALL create_with_binary(cl_context context, cl_uint count, const cl_device_id *devices,
                                                 const size_t *sizes, const unsigned char **binaries, cl_int *statuses,
                                                 cl_int *code)
{
    (void)count, (void)devices;
    cl_program program = new_program(context, binaries[0], sizes[0], false, code);
    if (statuses)
        *statuses = CL_SUCCESS; /* the driver looks at the binary when the program is built */
    return program;
}

static cl_int CL_API_CALL build_program(cl_program program, cl_uint count, const cl_device_id *devices,
                                        const char *options, void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    (void)count, (void)devices, (void)notify, (void)user;
    return kd_cuda_build((kd_cuda_program *)program, options);
}

static cl_int CL_API_CALL get_program_info(cl_program program, cl_program_info what, size_t size, void *value,
                                           size_t *need)
{
    const kd_cuda_program *p = (const kd_cuda_program *)program;
    if (what == CL_PROGRAM_BINARY_SIZES)
        return kd_cuda_give(&p->size, sizeof p->size, size, value, need);
    if (what != CL_PROGRAM_BINARIES || !value || size < sizeof(void *))
        return CL_INVALID_VALUE;
    unsigned char *to = *(unsigned char **)value;
    if (to && p->size)
        memcpy(to, p->binary, p->size);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL get_program_build_info(cl_program program, cl_device_id device, cl_program_build_info what,
                                                 size_t size, void *value, size_t *need)
{
    (void)device;
    const char *log = ((const kd_cuda_program *)program)->log;
    return what == CL_PROGRAM_BUILD_LOG ? kd_cuda_give_text(log ? log : "", size, value, need) : CL_INVALID_VALUE;
}

/* ---- Kernels ------------------------------------------------------------------------------------------------------ */

static cl_kernel CL_API_CALL create_kernel(cl_program program, const char *name, cl_int *code)
{
    kd_cuda_program *p = (kd_cuda_program *)program;
    kd_cuda_kernel *k = calloc(1, sizeof *k);
    if (!k) {
        *code = CL_OUT_OF_HOST_MEMORY;
        return NULL;
    }
    bool entered;
    CUresult result = kd_cuda_enter(p->context, &entered);
    if (!result)
        result = kd_cuda_driver()->cuModuleGetFunction(&k->function, p->module, name);
    kd_cuda_leave(entered);
    *code = kd_cuda_code(result);
    if (*code) {
        free(k);
        return NULL;
    }
    k->program = p;
    atomic_fetch_add(&p->references, 1);
    return (cl_kernel)(void *)k;
}

static cl_int CL_API_CALL release_kernel(cl_kernel kernel)
{
    kd_cuda_kernel *k = (kd_cuda_kernel *)kernel;
    const cl_int code = release_program((cl_program)(void *)k->program);
    free(k->values);
    free(k->parameters);
    free(k);
    return code;
}

/* Room for `count` parameters, at least twice as much as there was. */
static bool grow(kd_cuda_kernel *k, size_t count)
{
    count = KB_MAX(count, KB_MAX(2 * k->count, (size_t)16));
    kd_cuda_value *values = calloc(count, sizeof *values);
    void **parameters = calloc(count, sizeof *parameters);
    if (!values || !parameters) {
        free(values);
        free(parameters);
        return false;
    }
    if (k->count)
        memcpy(values, k->values, k->count * sizeof *values);
    for (size_t n = 0; n < count; n++)
        parameters[n] = &values[n];
    free(k->values);
    free(k->parameters);
    k->values = values;
    k->parameters = parameters;
    k->count = count;
    return true;
}

static cl_int CL_API_CALL set_kernel_arg(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
    kd_cuda_kernel *k = (kd_cuda_kernel *)kernel;
    if (!value || size > sizeof(kd_cuda_value))
        return CL_INVALID_ARG_SIZE;
    if (index >= k->count && !grow(k, (size_t)index + 1))
        return CL_OUT_OF_HOST_MEMORY;
    memcpy(&k->values[index], value, size);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL get_kernel_info(cl_kernel kernel, cl_device_id id, cl_kernel_work_group_info what,
                                          size_t size, void *value, size_t *need)
{
    const kd_cuda *driver = kd_cuda_driver();
    const kd_cuda_kernel *k = (const kd_cuda_kernel *)kernel;
    int number = 0;
    CUresult result;
    switch (what) {
    case CL_KERNEL_WORK_GROUP_SIZE:
        result = driver->cuFuncGetAttribute(&number, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, k->function);
        break;
    case CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE:
        result = driver->cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_WARP_SIZE, ((const kd_cuda_device *)id)->id);
        break;
    case CL_KERNEL_LOCAL_MEM_SIZE:
        result = driver->cuFuncGetAttribute(&number, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, k->function);
        break;
    case CL_KERNEL_PRIVATE_MEM_SIZE:
        result = driver->cuFuncGetAttribute(&number, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, k->function);
        break;
    default:
        return CL_INVALID_VALUE;
    }
    if (result)
        return kd_cuda_code(result);
    return what == CL_KERNEL_LOCAL_MEM_SIZE || what == CL_KERNEL_PRIVATE_MEM_SIZE
               ? kd_cuda_give(&(cl_ulong){(cl_ulong)number}, sizeof(cl_ulong), size, value, need)
               : kd_cuda_give(&(size_t){(size_t)number}, sizeof(size_t), size, value, need);
}

static bool is_captured(CUstream stream)
{
    int status = CU_STREAM_CAPTURE_STATUS_NONE;
    return !kd_cuda_driver()->cuStreamIsCapturing(stream, &status) && status != CU_STREAM_CAPTURE_STATUS_NONE;
}

bool kd_cuda_captures(cl_command_queue queue)
{
    const kd_cuda_queue *q = (const kd_cuda_queue *)queue;
    bool entered;
    const bool captures = !kd_cuda_enter(q->context, &entered) && is_captured(q->stream);
    kd_cuda_leave(entered);
    return captures;
}

static cl_int CL_API_CALL launch(cl_command_queue queue, cl_kernel kernel, cl_uint dim, const size_t *offset,
                                 const size_t *global, const size_t *local, cl_uint waits, const cl_event *list,
                                 cl_event *event)
{
    (void)dim, (void)offset, (void)waits, (void)list, (void)event;
    const kd_cuda_queue *q = (const kd_cuda_queue *)queue;
    const kd_cuda_kernel *k = (const kd_cuda_kernel *)kernel;
    unsigned int groups[3], group[3];
    for (int n = 0; n < 3; n++) {
        const size_t count = global[n] / local[n];
        if (count > INT32_MAX || local[n] > INT32_MAX)
            return CL_INVALID_GLOBAL_WORK_SIZE;
        groups[n] = (unsigned int)count;
        group[n] = (unsigned int)local[n];
    }
    if (atomic_load_explicit(&q->context->compiles, memory_order_relaxed) && !is_captured(q->stream))
        kd_cuda_rest(q->context);
    bool entered;
    CUresult result = kd_cuda_enter(q->context, &entered);
    if (!result)
        result = kd_cuda_driver()->cuLaunchKernel(k->function, groups[0], groups[1], groups[2], group[0], group[1],
                                                  group[2], 0, q->stream, k->parameters, NULL);
    kd_cuda_leave(entered);
    return kd_cuda_code(result);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------- */

static CUdeviceptr address_of(cl_mem mem)
{
    return (CUdeviceptr)(uintptr_t)mem;
}

static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *code)
{
    CUdeviceptr address = 0;
    *code = host || (flags & CL_MEM_USE_HOST_PTR) ? CL_INVALID_HOST_PTR : CL_SUCCESS;
    if (*code)
        return NULL;
    bool entered;
    CUresult result = kd_cuda_enter((const kd_cuda_context *)context, &entered);
    if (!result)
        result = kd_cuda_driver()->cuMemAlloc(&address, size);
    kd_cuda_leave(entered);
    *code = kd_cuda_code(result);
    return *code ? NULL : (cl_mem)(uintptr_t)address;
}

/*
 * Memory of users is neither retained nor released: whoever has the memory keeps it alive, in the order of the stream.
 * memory.c asks for neither.
 */
static cl_int CL_API_CALL retain_mem(cl_mem mem)
{
    (void)mem;
    return CL_INVALID_OPERATION;
}

/* The driver waits for work that uses the memory. */
static cl_int CL_API_CALL release_mem(cl_mem mem)
{
    const kd_cuda *driver = kd_cuda_driver();
    kd_cuda_context owner = {.context = NULL};
    CUresult result = driver->cuPointerGetAttribute(&owner.context, CU_POINTER_ATTRIBUTE_CONTEXT, address_of(mem));
    if (result)
        return kd_cuda_code(result);
    bool entered;
    result = kd_cuda_enter(&owner, &entered);
    if (!result)
        result = driver->cuMemFree(address_of(mem));
    kd_cuda_leave(entered);
    return kd_cuda_code(result);
}

/* ---- Copies and waiting ------------------------------------------------------------------------------------------- */

/*
 * While a stream is captured for a graph, the numbers of a few bytes become part of the graph: a copy would read the
 * host's memory each time that the graph is launched, when other things stand there.
 */
static CUresult write_captured(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    enum { MOST = 64 }; /* words, each of which is a node of the graph */
    CUresult result = bytes % sizeof(uint32_t) || bytes / sizeof(uint32_t) > MOST
                          ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
                          : CUDA_SUCCESS;
    for (size_t k = 0; !result && k < bytes / sizeof(uint32_t); k++) {
        uint32_t word;
        memcpy(&word, (const char *)from + k * sizeof word, sizeof word);
        result = kd_cuda_driver()->cuMemsetD32Async(to + k * sizeof word, word, 1, stream);
    }
    return result;
}

static cl_int CL_API_CALL write_buffer(cl_command_queue queue, cl_mem mem, cl_bool blocking, size_t offset, size_t size,
                                       const void *data, cl_uint waits, const cl_event *list, cl_event *event)
{
    (void)blocking, (void)waits, (void)list, (void)event;
    const kd_cuda_queue *q = (const kd_cuda_queue *)queue;
    const CUdeviceptr to = address_of(mem) + offset;
    bool entered;
    CUresult result = kd_cuda_enter(q->context, &entered);
    if (!result)
        result = is_captured(q->stream) ? write_captured(to, data, size, q->stream)
                                        : kd_cuda_driver()->cuMemcpyHtoDAsync(to, data, size, q->stream);
    kd_cuda_leave(entered);
    return kd_cuda_code(result);
}

static cl_int CL_API_CALL read_buffer(cl_command_queue queue, cl_mem mem, cl_bool blocking, size_t offset, size_t size,
                                      void *data, cl_uint waits, const cl_event *list, cl_event *event)
{
    (void)blocking, (void)waits, (void)list, (void)event;
    const kd_cuda_queue *q = (const kd_cuda_queue *)queue;
    bool entered;
    CUresult result = kd_cuda_enter(q->context, &entered);
    if (!result)
        result = kd_cuda_driver()->cuMemcpyDtoHAsync(data, address_of(mem) + offset, size, q->stream);
    kd_cuda_leave(entered);
    return kd_cuda_code(result);
}

static void *CL_API_CALL map_buffer(cl_command_queue queue, cl_mem mem, cl_bool blocking, cl_map_flags flags,
                                    size_t offset, size_t size, cl_uint waits, const cl_event *list, cl_event *event,
                                    cl_int *code)
{
    (void)queue, (void)mem, (void)blocking, (void)flags, (void)offset, (void)size, (void)waits, (void)list, (void)event;
    *code = CL_MAP_FAILURE; /* of memory that the host does not see */
    return NULL;
}

static cl_int CL_API_CALL unmap(cl_command_queue queue, cl_mem mem, void *at, cl_uint waits, const cl_event *list,
                                cl_event *event)
{
    (void)queue, (void)mem, (void)at, (void)waits, (void)list, (void)event;
    return CL_INVALID_VALUE;
}

/* Launches have no events: streams are in order. */
static cl_int CL_API_CALL get_event_info(cl_event event, cl_event_info what, size_t size, void *value, size_t *need)
{
    (void)event, (void)what, (void)size, (void)value, (void)need;
    return CL_INVALID_EVENT;
}

static cl_int CL_API_CALL release_event(cl_event event)
{
    (void)event;
    return CL_INVALID_EVENT;
}

static cl_int CL_API_CALL flush(cl_command_queue queue)
{
    (void)queue; /* streams start by themselves */
    return CL_SUCCESS;
}

static cl_int CL_API_CALL finish(cl_command_queue queue)
{
    const kd_cuda_queue *q = (const kd_cuda_queue *)queue;
    kd_cuda_rest(q->context);
    bool entered;
    CUresult result = kd_cuda_enter(q->context, &entered);
    if (!result)
        result = kd_cuda_driver()->cuStreamSynchronize(q->stream);
    kd_cuda_leave(entered);
    return kd_cuda_code(result);
}

/* ---- The table ---------------------------------------------------------------------------------------------------- */

kcl_status kd_open_cuda(kd_cl *cl, kb_error *err)
{
    kd_cuda_device *devices;
    int count;
    const kcl_status status = kd_cuda_open(&devices, &count, err);
    if (status < 0)
        return status;
    *cl = (kd_cl){.clCreateContext = create_context,
                  .clRetainContext = retain_context,
                  .clGetContextInfo = get_context_info,
                  .clReleaseContext = release_context,
                  .clCreateCommandQueue = create_queue,
                  .clRetainCommandQueue = retain_queue,
                  .clGetCommandQueueInfo = get_queue_info,
                  .clReleaseCommandQueue = release_queue,
                  .clCreateProgramWithSource = create_with_source,
                  .clCreateProgramWithBinary = create_with_binary,
                  .clBuildProgram = build_program,
                  .clGetProgramInfo = get_program_info,
                  .clGetProgramBuildInfo = get_program_build_info,
                  .clReleaseProgram = release_program,
                  .clCreateKernel = create_kernel,
                  .clSetKernelArg = set_kernel_arg,
                  .clGetKernelWorkGroupInfo = get_kernel_info,
                  .clReleaseKernel = release_kernel,
                  .clCreateBuffer = create_buffer,
                  .clRetainMemObject = retain_mem,
                  .clGetMemObjectInfo = get_mem_info,
                  .clReleaseMemObject = release_mem,
                  .clEnqueueNDRangeKernel = launch,
                  .clGetEventInfo = get_event_info,
                  .clReleaseEvent = release_event,
                  .clEnqueueWriteBuffer = write_buffer,
                  .clEnqueueReadBuffer = read_buffer,
                  .clEnqueueMapBuffer = map_buffer,
                  .clEnqueueUnmapMemObject = unmap,
                  .clFlush = flush,
                  .clFinish = finish};
    kd_cuda_set_queries(cl);
    return KCL_OK;
}
