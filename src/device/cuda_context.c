/* SPDX-License-Identifier: MIT */
/* device/cuda_context.c: contexts on streams of users, and memory of users: keopscl/cuda.h. */
#include "cuda.h"

#include <keopscl/cuda.h>

/* The context of CUDA that the stream belongs to; NULL as `context`: the primary one of the device. */
static kcl_status find_context(const kd_cuda_device *d, CUstream stream, CUcontext *context, kb_error *err)
{
    /* Handles of streams that every context has: the default one, and two that say which of its forms is meant. */
    const bool is_default = (uintptr_t)stream <= 2;
    const kd_cuda *driver = kd_cuda_driver();
    CUdevice device = -1;
    CUcontext before = NULL;
    *context = NULL;
    CUresult result = is_default ? driver->cuCtxGetCurrent(context) : driver->cuStreamGetCtx(stream, context);
    if (!result && !*context)
        return KCL_OK;
    if (!result && !(result = driver->cuCtxPushCurrent(*context))) {
        result = driver->cuCtxGetDevice(&device);
        driver->cuCtxPopCurrent(&before);
    }
    if (!result && device == d->id)
        return KCL_OK;
    *context = NULL;
    if (is_default)
        return KCL_OK;
    if (!result)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_cuda_context_create: the stream is of another device than kcl_cuda_params.device, %d",
                       d->ordinal);
    return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_cuda_context_create: kcl_cuda_params.stream is no stream: %s (%d)",
                   kd_cl_error_name(kd_cuda_code(result)), result);
}

static kd_cuda_context *shared_context(const kcl_context *share)
{
    const kcl_device *d = share->device;
    return d && !d->host && kd_is_cuda(d->info.platform) ? (kd_cuda_context *)d->context : NULL;
}

/* Objects for the context: what `given` holds is owned by the caller. */
static kcl_status make_objects(const kd_cl *cl, const kcl_cuda_params *p, kd_given *given, kb_error *err)
{
    kd_cuda_device *devices;
    int count;
    CUcontext wanted;
    cl_int code = CL_SUCCESS;
    kcl_status status = kd_cuda_open(&devices, &count, err);
    if (status < 0)
        return status;
    if (p->device < 0 || p->device >= count)
        return kb_fail(
            err, KCL_ERROR_NO_DEVICE,
            "kcl_cuda_context_create: kcl_cuda_params.device is %d, the CUDA driver has %d devices, numbered "
            "from 0",
            p->device, count);
    kd_cuda_device *d = &devices[p->device];
    if ((p->allocate == NULL) != (p->release == NULL))
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_cuda_context_create: of kcl_cuda_params.allocate and .release one is NULL");
    if ((status = find_context(d, p->stream, &wanted, err)) < 0)
        return status;
    cl->clGetPlatformIDs(1, &given->platform, NULL);
    given->device = (cl_device_id)(void *)d;
    kd_cuda_context *shared = p->share ? shared_context(p->share) : NULL;
    if (p->share && (!shared || shared->device != d))
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_cuda_context_create: kcl_cuda_params.share is a context on the device %s, not on cuda:%d",
                       p->share->device ? p->share->device->info.id : "that could not be opened", p->device);
    if (shared && wanted && shared->context != wanted)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_cuda_context_create: the stream belongs to another CUDA context of cuda:%d than "
                       "kcl_cuda_params.share, and programs are of one CUDA context",
                       p->device);
    if (shared) {
        given->context = p->share->device->context;
        cl->clRetainContext(given->context);
    } else {
        given->context = kd_cuda_context_new(d, wanted, &code);
    }
    if (!code)
        given->queue = kd_cuda_queue_new(given->context, p->stream, &code);
    if (!code)
        return KCL_OK;
    if (given->context)
        cl->clReleaseContext(given->context);
    return kd_cl_fail(err, NULL, "kcl_cuda_context_create", code, NULL);
}

kcl_status kcl_cuda_context_create(kcl_context **context, const kcl_context_params *params, const kcl_cuda_params *cuda)
{
    static const kcl_cuda_params defaults;
    kd_given given = {.share = cuda ? cuda->share : NULL};
    kd_cl cl;
    kb_error err;
    if (!context)
        return KCL_ERROR_ARGUMENT;
    if (!cuda)
        cuda = &defaults;
    kcl_status status = kd_refuse_fork(&err);
    if (status >= 0)
        status = kd_open_cuda(&cl, &err);
    if (status >= 0)
        status = make_objects(&cl, cuda, &given, &err);
    if (status < 0)
        return kd_context_create_failed(context, params, &err);
    status = kd_context_create_given(&cl, context, params, &given);
    if (status >= 0)
        (*context)->source = (kd_memory_source){cuda->allocate, cuda->release, cuda->user};
    return status;
}

kcl_status kcl_cuda_memory(kcl_context *context, void *pointer, size_t bytes, kcl_memory **memory)
{
    if (memory)
        *memory = NULL;
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    kb_error *err = kd_error(context);
    const kd_cuda_context *own = shared_context(context);
    if (!memory)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_cuda_memory: there is no place for the memory (NULL)");
    if (!own)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_cuda_memory: the context is on the device %s, which is not of CUDA",
                       context->device->info.id);
    int ordinal = -1;
    const CUdeviceptr address = (CUdeviceptr)(uintptr_t)pointer;
    if (bytes && kd_cuda_driver()->cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address))
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_cuda_memory: the pointer %p is no memory of a CUDA device",
                       pointer);
    if (bytes && ordinal != own->device->ordinal)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_cuda_memory: the pointer %p is memory of the device cuda:%d, the context is on cuda:%d",
                       pointer, ordinal, own->device->ordinal);
    return kd_memory_wrap(context, (cl_mem)pointer, bytes, false, memory);
}
