/* SPDX-License-Identifier: MIT */
/* device/cuda_driver.c: the CUDA driver, found at run time, and the OpenCL that compiles for it. */
#include "cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Of NVIDIA's OpenCL (cl_nv_device_attribute_query). */
#define COMPUTE_CAPABILITY_MAJOR 0x4000
#define COMPUTE_CAPABILITY_MINOR 0x4001

enum { MOST_DEVICES = 64, FIRST_CODE = 10000 };

/*
 * Functions of a table of OpenCL calls are given nothing but objects, so the driver is known to the process. Nothing of
 * this changes once the driver is open. Drivers are never closed: they keep threads of their own.
 */
static struct {
    pthread_mutex_t lock;
    bool is_open;
    kd_cuda driver;
    kd_cl compiler;
    int count;
    kd_cuda_device devices[MOST_DEVICES];
} cuda = {.lock = PTHREAD_MUTEX_INITIALIZER};

const kd_cuda *kd_cuda_driver(void)
{
    return &cuda.driver;
}

const kd_cl *kd_cuda_compiler(void)
{
    return &cuda.compiler;
}

/* ---- Codes -------------------------------------------------------------------------------------------------------- */

cl_int kd_cuda_code(CUresult result)
{
    switch (result) {
    case CUDA_SUCCESS:
        return CL_SUCCESS;
    case CUDA_ERROR_INVALID_VALUE:
        return CL_INVALID_VALUE;
    case CUDA_ERROR_OUT_OF_MEMORY:
        return CL_MEM_OBJECT_ALLOCATION_FAILURE;
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
    case CUDA_ERROR_INVALID_PTX:
        return CL_INVALID_BINARY;
    case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES:
        return CL_OUT_OF_RESOURCES;
    default:
        return -FIRST_CODE - (cl_int)result;
    }
}

const char *kd_cuda_error_name(cl_int code)
{
    const char *name = NULL;
    if (code > -FIRST_CODE || !cuda.driver.cuGetErrorName || cuda.driver.cuGetErrorName(-FIRST_CODE - code, &name))
        return NULL;
    return name;
}

/* ---- Opening ------------------------------------------------------------------------------------------------------ */

static kcl_status fill_table(kd_cuda *driver, kb_error *err)
{
    /* The name that drivers register. */
    static const char name[] = "libcuda.so.1";
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        return kb_fail(err, KCL_ERROR_NO_DEVICE, "there is no CUDA driver (%s)", why ? why : name);
    }
#define KD_CUDA_CALL(name_, exported, parameters)                                                                      \
    {                                                                                                                  \
        void *address = dlsym(library, exported);                                                                      \
        if (!address)                                                                                                  \
            return kb_fail(err, KCL_ERROR_NO_DEVICE, "the CUDA driver %s lacks the function " exported, name);         \
        memcpy(&driver->name_, &address, sizeof address);                                                              \
    }
#include "cuda_calls.def"
    return KCL_OK;
}

/* Reports a failure while devices are looked for. */
static kcl_status failed(const char *call, CUresult result, kb_error *err)
{
    const char *name = kd_cl_error_name(kd_cuda_code(result));
    return kb_fail(err, KCL_ERROR_NO_DEVICE, "the CUDA driver has no device: %s failed: %s (%d)", call, name, result);
}

/* Any device of the same compute capability compiles what runs here. */
static void find_compilers(const kd_cl *cl)
{
    cl_platform_id platforms[16];
    cl_uint platform_count = 0;
    if (cl->clGetPlatformIDs(KB_COUNT(platforms), platforms, &platform_count))
        return;
    for (cl_uint p = 0; p < KB_MIN(platform_count, KB_COUNT(platforms)); p++) {
        cl_device_id ids[MOST_DEVICES];
        cl_uint count = 0;
        char name[128];
        if (kd_platform_text(cl, platforms[p], CL_PLATFORM_NAME, name, sizeof name) ||
            strncmp(name, "NVIDIA", 6) != 0 ||
            cl->clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MOST_DEVICES, ids, &count))
            continue;
        for (cl_uint k = 0; k < KB_MIN(count, (cl_uint)MOST_DEVICES); k++) {
            cl_uint major = 0, minor = 0;
            if (cl->clGetDeviceInfo(ids[k], COMPUTE_CAPABILITY_MAJOR, sizeof major, &major, NULL) ||
                cl->clGetDeviceInfo(ids[k], COMPUTE_CAPABILITY_MINOR, sizeof minor, &minor, NULL))
                continue;
            for (int n = 0; n < cuda.count; n++) {
                kd_cuda_device *d = &cuda.devices[n];
                if (!d->compiler && d->major == (int)major && d->minor == (int)minor) {
                    d->platform = platforms[p];
                    d->compiler = ids[k];
                }
            }
        }
    }
}

static kcl_status open_all(kb_error *err)
{
    kd_cuda *driver = &cuda.driver;
    kcl_status status = fill_table(driver, err);
    if (status < 0)
        return status;
    kd_mark_use();
    CUresult result = driver->cuInit(0);
    if (result)
        return failed("cuInit", result, err);
    if ((result = driver->cuDeviceGetCount(&cuda.count)))
        return failed("cuDeviceGetCount", result, err);
    cuda.count = KB_MIN(cuda.count, MOST_DEVICES);
    for (int k = 0; k < cuda.count; k++) {
        kd_cuda_device *d = &cuda.devices[k];
        *d = (kd_cuda_device){.ordinal = k};
        if ((result = driver->cuDeviceGet(&d->id, k)) ||
            (result = driver->cuDeviceGetAttribute(&d->major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, d->id)) ||
            (result = driver->cuDeviceGetAttribute(&d->minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, d->id)))
            return failed("cuDeviceGet", result, err);
    }
    if (!cuda.count)
        return failed("cuDeviceGetCount", CUDA_ERROR_NO_DEVICE, err);
    kb_error why;
    if (kd_open_loader(&cuda.compiler, NULL, &why) >= 0)
        find_compilers(&cuda.compiler);
    return KCL_OK;
}

kcl_status kd_cuda_open(kd_cuda_device **devices, int *count, kb_error *err)
{
    pthread_mutex_lock(&cuda.lock);
    const kcl_status status = cuda.is_open ? KCL_OK : open_all(err);
    cuda.is_open = status >= 0;
    pthread_mutex_unlock(&cuda.lock);
    *devices = cuda.devices;
    *count = status >= 0 ? cuda.count : 0;
    return status;
}

/* ---- The current context ------------------------------------------------------------------------------------------ */

CUresult kd_cuda_enter(const kd_cuda_context *context, bool *entered)
{
    CUcontext current = NULL;
    *entered = false;
    if (!cuda.driver.cuCtxGetCurrent(&current) && current == context->context)
        return CUDA_SUCCESS;
    const CUresult result = cuda.driver.cuCtxPushCurrent(context->context);
    *entered = result == CUDA_SUCCESS;
    return result;
}

void kd_cuda_leave(bool entered)
{
    CUcontext context;
    if (entered)
        cuda.driver.cuCtxPopCurrent(&context);
}
