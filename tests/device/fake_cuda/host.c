/* SPDX-License-Identifier: MIT */
/* tests/device/fake_cuda/host.c: the OpenCL CPU that computes for the simulated devices. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setattr_default_np */
#endif
#include "simulation.h"

#include <dlfcn.h>
#include <string.h>

pthread_mutex_t fc_compute = PTHREAD_MUTEX_INITIALIZER;

static fc_host host;
static bool is_open;

/* The ICD loader, not KEOPSCL_DRIVER, which names this library. */
static bool load(fc_cl *cl)
{
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL), *address;
    if (!library)
        return false;
#define LOAD(name)                                                                                                     \
    if (!(address = dlsym(library, #name)))                                                                            \
        return false;                                                                                                  \
    memcpy(&cl->name, &address, sizeof address);
#define KD_CALL(result, name, parameters, arguments) LOAD(name)
#include "cl_calls.def"
    LOAD(clGetKernelArgInfo)
    LOAD(clGetKernelInfo)
#undef LOAD
    return true;
}

/*
 * Private arrays of the 256 work-items of a group lie on the stack of one thread of the CPU's driver, which has a stack
 * of the default size.
 */
static void enlarge_stacks(void)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes))
        return;
    pthread_attr_setstacksize(&attributes, (size_t)256 << 20);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

static void open_host(void)
{
    cl_platform_id platforms[16];
    cl_uint count = 0;
    cl_int code = CL_DEVICE_NOT_FOUND;
    enlarge_stacks();
    if (!load(&host.cl) || host.cl.clGetPlatformIDs(16, platforms, &count))
        return;
    for (cl_uint k = 0; k < count && k < 16 && code; k++) {
        host.platform = platforms[k];
        code = host.cl.clGetDeviceIDs(platforms[k], CL_DEVICE_TYPE_CPU, 1, &host.device, NULL);
    }
    if (code)
        return;
    host.context = host.cl.clCreateContext(NULL, 1, &host.device, NULL, NULL, &code);
    if (host.context)
        host.queue = host.cl.clCreateCommandQueue(host.context, host.device, 0, &code);
    is_open = host.queue != NULL;
}

const fc_host *fc_open_host(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_host);
    return is_open ? &host : NULL;
}

void fc_uuid(int device, unsigned char uuid[16])
{
    static const char start[] = "simulated GPU #";
    memcpy(uuid, start, 15);
    uuid[15] = (unsigned char)(0xa0 + device);
}

const char *fc_name(int device)
{
    return device ? "NVIDIA Simulated B" : "NVIDIA Simulated A";
}
