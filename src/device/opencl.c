/* SPDX-License-Identifier: MIT */
/* device/opencl.c: contexts and memory for programs that have OpenCL objects of their own. */
#include "internal.h"

#include <keopscl/opencl.h>

#include <string.h>

/* ---- Contexts ---------------------------------------------------------------------------------------------------- */

static kcl_status query_failed(kb_error *err, const char *call, cl_int code, const char *what)
{
    kcl_status status = kd_cl_fail(err, NULL, call, code, what);
    /* What is no object of OpenCL, or was released, is the caller's mistake. */
    if (code == CL_INVALID_CONTEXT || code == CL_INVALID_DEVICE || code == CL_INVALID_COMMAND_QUEUE ||
        code == CL_INVALID_MEM_OBJECT)
        status = err->status = KCL_ERROR_ARGUMENT;
    return status;
}

/* Whether the device is one of the context's. */
static kcl_status check_device(const kd_cl *cl, cl_context context, cl_device_id device, const kcl_allocator *allocator,
                               kb_error *err)
{
    size_t bytes = 0;
    cl_int code = cl->clGetContextInfo(context, CL_CONTEXT_DEVICES, 0, NULL, &bytes);
    cl_device_id *devices = code ? NULL : kb_calloc(allocator, 1, bytes + 1);
    if (!code && !devices)
        return kb_no_memory(err);
    if (!code)
        code = cl->clGetContextInfo(context, CL_CONTEXT_DEVICES, bytes, devices, NULL);
    const size_t count = code ? 0 : bytes / sizeof *devices, at = kd_find_device(cl, devices, count, device);
    kb_free(allocator, devices);
    if (code)
        return query_failed(err, "clGetContextInfo", code, ": kcl_opencl_params.context is no context");
    return at < count
               ? KCL_OK
               : kb_fail(err, KCL_ERROR_ARGUMENT,
                         "kcl_opencl_params.device is none of the %zu devices of kcl_opencl_params.context", count);
}

static kcl_status check_queue(const kd_cl *cl, const kcl_opencl_params *own, kb_error *err)
{
    cl_context context = NULL;
    cl_device_id device = NULL;
    cl_command_queue_properties properties = 0;
    cl_int code = cl->clGetCommandQueueInfo(own->queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL);
    if (!code)
        code = cl->clGetCommandQueueInfo(own->queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL);
    if (!code)
        code = cl->clGetCommandQueueInfo(own->queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
    if (code)
        return query_failed(err, "clGetCommandQueueInfo", code, ": kcl_opencl_params.queue is no command queue");
    if (context != own->context)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_opencl_params.queue is a queue of another context than kcl_opencl_params.context");
    if (device != own->device)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_opencl_params.queue is a queue of another device than kcl_opencl_params.device");
    if (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_opencl_params.queue is out of order (CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE): calls need a "
                       "queue in order, which NULL makes");
    return KCL_OK;
}

/* Fills `given` once everything that the program has fits together. */
static kcl_status check_params(kd_given *given, const kd_cl *cl, const kcl_opencl_params *own,
                               const kcl_allocator *allocator, kb_error *err)
{
    if (!kd_serves(cl, own->device) || !kd_serves(cl, own->context) || (own->queue && !kd_serves(cl, own->queue)))
        return kb_fail(
            err, KCL_ERROR_ARGUMENT,
            "the objects in kcl_opencl_params are not objects of the driver that KEOPSCL_DRIVER names, which "
            "is the only one in use");
    *given = (kd_given){
        .device = own->device, .context = own->context, .queue = own->queue, .retain = true, .share = own->share};
    kcl_status status = check_device(cl, own->context, own->device, allocator, err);
    if (status >= 0 && own->queue)
        status = check_queue(cl, own, err);
    if (status < 0)
        return status;
    cl_int code = cl->clGetDeviceInfo(own->device, CL_DEVICE_PLATFORM, sizeof given->platform, &given->platform, NULL);
    return code ? query_failed(err, "clGetDeviceInfo", code, ": kcl_opencl_params.device is no device") : KCL_OK;
}

kcl_status kd_opencl_context_create_with(const kd_cl *cl, kcl_context **context, const kcl_context_params *params,
                                         const kcl_opencl_params *opencl)
{
    kd_given given;
    kd_cl opened;
    kb_error err;
    if (!context)
        return KCL_ERROR_ARGUMENT;
    kb_error_clear(&err);
    const kcl_allocator allocator = kb_allocator(params ? &params->allocator : NULL);
    kcl_status status = kd_refuse_fork(&err);
    if (status >= 0 && (!opencl || !opencl->context || !opencl->device))
        status = kb_fail(&err, KCL_ERROR_ARGUMENT, "kcl_opencl_context_create: %s is NULL",
                         !opencl            ? "the kcl_opencl_params"
                         : !opencl->context ? "kcl_opencl_params.context"
                                            : "kcl_opencl_params.device");
    if (status >= 0 && !cl) {
        status = kd_open_loader(&opened, NULL, &err);
        cl = &opened;
    }
    if (status >= 0) {
        kd_mark_use();
        status = check_params(&given, cl, opencl, &allocator, &err);
    }
    return status < 0 ? kd_context_create_failed(context, params, &err)
                      : kd_context_create_given(cl, context, params, &given);
}

kcl_status kcl_opencl_context_create(kcl_context **context, const kcl_context_params *params,
                                     const kcl_opencl_params *opencl)
{
    return kd_opencl_context_create_with(NULL, context, params, opencl);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static kcl_status describe(kcl_context *c, cl_mem mem, kcl_memory **memory)
{
    const kd_cl *cl = &c->device->cl;
    cl_mem_object_type type = 0;
    cl_context of = NULL;
    cl_mem whole = NULL;
    cl_mem_flags flags = 0;
    size_t bytes = 0, origin = 0;
#define GET(what, variable)                                                                                            \
    if (!code)                                                                                                         \
    code = cl->clGetMemObjectInfo(mem, what, sizeof variable, &variable, NULL)
    cl_int code = 0;
    GET(CL_MEM_TYPE, type);
    GET(CL_MEM_CONTEXT, of);
    GET(CL_MEM_SIZE, bytes);
    GET(CL_MEM_FLAGS, flags);
    GET(CL_MEM_ASSOCIATED_MEMOBJECT, whole);
    if (whole)
        GET(CL_MEM_OFFSET, origin);
#undef GET
    if (code)
        return query_failed(&c->error, "clGetMemObjectInfo", code, ": kcl_opencl_memory takes a cl_mem");
    if (type != CL_MEM_OBJECT_BUFFER)
        return kb_fail(&c->error, KCL_ERROR_ARGUMENT, "kcl_opencl_memory: the cl_mem is no buffer, but of type %#x",
                       (unsigned)type);
    if (of != c->device->context)
        return kb_fail(&c->error, KCL_ERROR_ARGUMENT,
                       "kcl_opencl_memory: the cl_mem is of another cl_context than the context, which is on device %s "
                       "\"%s\"",
                       c->device->info.id, c->device->info.name);
    kcl_status status = kd_memory_wrap(c, mem, bytes, true, memory);
    if (status < 0)
        return status;
    if (whole) {
        (*memory)->holder = whole;
        (*memory)->origin = origin;
    }
    (*memory)->is_unwritable = flags & CL_MEM_READ_ONLY;
    (*memory)->is_unreadable = flags & CL_MEM_WRITE_ONLY;
    return KCL_OK;
}

kcl_status kcl_opencl_memory(kcl_context *context, struct _cl_mem *mem, kcl_memory **memory)
{
    if (memory)
        *memory = NULL;
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    if (context->device->host || kd_is_cuda(context->device->info.platform))
        return kb_fail(&context->error, KCL_ERROR_UNSUPPORTED,
                       "kcl_opencl_memory: the context is on the device %s, which has no memory of OpenCL",
                       context->device->info.id);
    if (!mem || !memory)
        return kb_fail(&context->error, KCL_ERROR_ARGUMENT, "kcl_opencl_memory: %s (NULL)",
                       mem ? "there is no place for the memory" : "there is no cl_mem");
    if (!kd_serves(&context->device->cl, mem))
        return kb_fail(&context->error, KCL_ERROR_ARGUMENT,
                       "kcl_opencl_memory: the cl_mem is not of the driver that KEOPSCL_DRIVER names");
    return describe(context, mem, memory);
}
