/* SPDX-License-Identifier: MIT */
/* device/loader.c: the ICD loader, or a driver without it; OpenCL errors by name. */
#include "internal.h"

#include <CL/cl_icd.h>
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The only state of the library outside its objects. Drivers do not survive fork, so the process must be known. Every
 * call asks, so a handler of fork tells the child; where there is no handler, the number of the process is asked for,
 * which is a system call.
 */
static atomic_long first_user;
static atomic_bool has_handler, in_child;

static void mark_child(void)
{
    atomic_store(&in_child, true);
}

void kd_mark_use(void)
{
    long none = 0;
    if (atomic_compare_exchange_strong(&first_user, &none, (long)getpid()) &&
        pthread_atfork(NULL, NULL, mark_child) == 0)
        atomic_store(&has_handler, true);
}

bool kd_forked(void)
{
    if (atomic_load_explicit(&has_handler, memory_order_relaxed))
        return atomic_load_explicit(&in_child, memory_order_relaxed);
    const long user = atomic_load_explicit(&first_user, memory_order_relaxed);
    return user && user != (long)getpid();
}

/* POSIX lets the address of a function pass through void *, ISO C does not say so: hence the copies. */
static void set_function(void *function, void *address)
{
    memcpy(function, &address, sizeof address);
}

/*
 * A driver by the path of its library. Its objects begin with the address of a table of its functions, by which a loader
 * hands calls on (the extension cl_khr_icd): with one driver the table serves for all calls.
 */
static kcl_status open_driver(kd_cl *cl, const char *path, kb_error *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        return kb_fail(err, KCL_ERROR_NO_DEVICE, "KEOPSCL_DRIVER=\"%s\" is no OpenCL driver that loads (%s)", path,
                       why ? why : "unknown");
    }
    void *(CL_API_CALL * find)(const char *) = NULL;
    cl_int(CL_API_CALL * platforms)(cl_uint, cl_platform_id *, cl_uint *) = NULL;
    set_function(&find, dlsym(library, "clGetExtensionFunctionAddress"));
    if (find)
        set_function(&platforms, find("clIcdGetPlatformIDsKHR"));
    cl_platform_id platform = NULL;
    cl_uint count = 0;
    if (!platforms || platforms(1, &platform, &count) != CL_SUCCESS || !count || !platform)
        return kb_fail(err, KCL_ERROR_NO_DEVICE,
                       "KEOPSCL_DRIVER=\"%s\" is no OpenCL driver with a platform (by the extension cl_khr_icd)", path);
    const cl_icd_dispatch *table = *(const cl_icd_dispatch **)platform;
    const char *missing = NULL;
#define KD_CALL(result, name, parameters, arguments)                                                                   \
    memcpy(&cl->name, &table->name, sizeof cl->name);                                                                  \
    if (!cl->name)                                                                                                     \
        missing = #name;
#include "cl_calls.def"
    cl->clGetPlatformIDs = platforms;
    cl->driver = table;
    if (missing)
        return kb_fail(err, KCL_ERROR_NO_DEVICE, "the OpenCL driver %s lacks the function %s of OpenCL 1.2", path,
                       missing);
    return KCL_OK;
}

bool kd_serves(const kd_cl *cl, const void *object)
{
    return !cl->driver || *(const void *const *)object == cl->driver;
}

kcl_status kd_open_loader(kd_cl *cl, const char **name, kb_error *err)
{
    cl->driver = NULL;
    const char *driver = getenv("KEOPSCL_DRIVER");
    if (driver && *driver) {
        if (name)
            *name = driver;
        return open_driver(cl, driver, err);
    }
    static const char *const names[] = {
        "libOpenCL.so.1",
        "libOpenCL.so",
#ifdef __APPLE__
        "/System/Library/Frameworks/OpenCL.framework/OpenCL",
#endif
    };
    char tried[1024] = "";
    size_t length = 0;
    for (size_t k = 0; k < KB_COUNT(names); k++) {
        void *library = dlopen(names[k], RTLD_NOW | RTLD_LOCAL);
        const char *missing = NULL;
        if (!library) {
            const char *why = dlerror();
            int n = snprintf(tried + length, sizeof tried - length, "%s%s", length ? "; " : "", why ? why : names[k]);
            length = KB_MIN(length + (size_t)KB_MAX(n, 0), sizeof tried - 1);
            continue;
        }
#define KD_CALL(result, name, parameters, arguments)                                                                   \
    {                                                                                                                  \
        void *address = dlsym(library, #name);                                                                         \
        set_function(&cl->name, address);                                                                              \
        if (!address)                                                                                                  \
            missing = #name;                                                                                           \
    }
#include "cl_calls.def"
        if (missing)
            return kb_fail(err, KCL_ERROR_NO_DEVICE, "the OpenCL loader %s lacks the function %s of OpenCL 1.2",
                           names[k], missing);
        if (name)
            *name = names[k];
        return KCL_OK;
    }
    return kb_fail(err, KCL_ERROR_NO_DEVICE, "there is no OpenCL loader (%s)", tried);
}

const char *kd_cl_error_name(cl_int code)
{
    switch (code) {
#define NAME(name)                                                                                                     \
    case name:                                                                                                         \
        return #name;
        NAME(CL_SUCCESS)
        NAME(CL_DEVICE_NOT_FOUND)
        NAME(CL_DEVICE_NOT_AVAILABLE)
        NAME(CL_COMPILER_NOT_AVAILABLE)
        NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE)
        NAME(CL_OUT_OF_RESOURCES)
        NAME(CL_OUT_OF_HOST_MEMORY)
        NAME(CL_PROFILING_INFO_NOT_AVAILABLE)
        NAME(CL_MEM_COPY_OVERLAP)
        NAME(CL_IMAGE_FORMAT_MISMATCH)
        NAME(CL_IMAGE_FORMAT_NOT_SUPPORTED)
        NAME(CL_BUILD_PROGRAM_FAILURE)
        NAME(CL_MAP_FAILURE)
        NAME(CL_MISALIGNED_SUB_BUFFER_OFFSET)
        NAME(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST)
        NAME(CL_COMPILE_PROGRAM_FAILURE)
        NAME(CL_LINKER_NOT_AVAILABLE)
        NAME(CL_LINK_PROGRAM_FAILURE)
        NAME(CL_DEVICE_PARTITION_FAILED)
        NAME(CL_KERNEL_ARG_INFO_NOT_AVAILABLE)
        NAME(CL_INVALID_VALUE)
        NAME(CL_INVALID_DEVICE_TYPE)
        NAME(CL_INVALID_PLATFORM)
        NAME(CL_INVALID_DEVICE)
        NAME(CL_INVALID_CONTEXT)
        NAME(CL_INVALID_QUEUE_PROPERTIES)
        NAME(CL_INVALID_COMMAND_QUEUE)
        NAME(CL_INVALID_HOST_PTR)
        NAME(CL_INVALID_MEM_OBJECT)
        NAME(CL_INVALID_IMAGE_FORMAT_DESCRIPTOR)
        NAME(CL_INVALID_IMAGE_SIZE)
        NAME(CL_INVALID_SAMPLER)
        NAME(CL_INVALID_BINARY)
        NAME(CL_INVALID_BUILD_OPTIONS)
        NAME(CL_INVALID_PROGRAM)
        NAME(CL_INVALID_PROGRAM_EXECUTABLE)
        NAME(CL_INVALID_KERNEL_NAME)
        NAME(CL_INVALID_KERNEL_DEFINITION)
        NAME(CL_INVALID_KERNEL)
        NAME(CL_INVALID_ARG_INDEX)
        NAME(CL_INVALID_ARG_VALUE)
        NAME(CL_INVALID_ARG_SIZE)
        NAME(CL_INVALID_KERNEL_ARGS)
        NAME(CL_INVALID_WORK_DIMENSION)
        NAME(CL_INVALID_WORK_GROUP_SIZE)
        NAME(CL_INVALID_WORK_ITEM_SIZE)
        NAME(CL_INVALID_GLOBAL_OFFSET)
        NAME(CL_INVALID_EVENT_WAIT_LIST)
        NAME(CL_INVALID_EVENT)
        NAME(CL_INVALID_OPERATION)
        NAME(CL_INVALID_GL_OBJECT)
        NAME(CL_INVALID_BUFFER_SIZE)
        NAME(CL_INVALID_MIP_LEVEL)
        NAME(CL_INVALID_GLOBAL_WORK_SIZE)
        NAME(CL_INVALID_PROPERTY)
        NAME(CL_INVALID_IMAGE_DESCRIPTOR)
        NAME(CL_INVALID_COMPILER_OPTIONS)
        NAME(CL_INVALID_LINKER_OPTIONS)
        NAME(CL_INVALID_DEVICE_PARTITION_COUNT)
#undef NAME
    case -1001:
        return "CL_PLATFORM_NOT_FOUND_KHR";
    }
    const char *name = kd_cuda_error_name(code);
    return name ? name : "unknown error";
}

kcl_status kd_cl_fail(kb_error *err, const kcl_device_info *device, const char *call, cl_int code, const char *more)
{
    kcl_status status = code == CL_OUT_OF_HOST_MEMORY              ? KCL_ERROR_NO_MEMORY
                        : code == CL_MEM_OBJECT_ALLOCATION_FAILURE ? KCL_ERROR_DEVICE_MEMORY
                                                                   : KCL_ERROR_OPENCL;
    if (!device)
        return kb_fail(err, status, "%s failed: %s (%d)%s", call, kd_cl_error_name(code), (int)code, more ? more : "");
    return kb_fail(err, status, "%s failed: %s (%d) on device %s \"%s\"%s", call, kd_cl_error_name(code), (int)code,
                   device->id, device->name, more ? more : "");
}

/* Drivers pad names with spaces. */
static void put_text(char *text, size_t size, char *long_text)
{
    char *start = long_text;
    while (isspace((unsigned char)*start))
        start++;
    size_t length = strlen(start);
    while (length && isspace((unsigned char)start[length - 1]))
        length--;
    length = KB_MIN(length, size - 1);
    memcpy(text, start, length);
    text[length] = 0;
}

cl_int kd_platform_text(const kd_cl *cl, cl_platform_id id, cl_platform_info what, char *text, size_t size)
{
    char long_text[4096] = "";
    cl_int code = cl->clGetPlatformInfo(id, what, sizeof long_text - 1, long_text, NULL);
    put_text(text, size, long_text);
    return code;
}

cl_int kd_device_text(const kd_cl *cl, cl_device_id id, cl_device_info what, char *text, size_t size)
{
    char long_text[4096] = "";
    cl_int code = cl->clGetDeviceInfo(id, what, sizeof long_text - 1, long_text, NULL);
    put_text(text, size, long_text);
    return code;
}
