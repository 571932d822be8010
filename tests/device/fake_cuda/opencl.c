/* SPDX-License-Identifier: MIT */
/*
 * tests/device/fake_cuda/opencl.c: an OpenCL driver whose platform calls itself NVIDIA's, with a GPU for each simulated
 * CUDA device. It hands all calls on to the CPU, and answers what concerns devices and programs itself. A second
 * platform is the CPU as it is.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "simulation.h"

#include <CL/cl_icd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct simulated {
    const cl_icd_dispatch *dispatch; /* first, as the extension cl_khr_icd wants it */
    int device;
};

static cl_icd_dispatch table;
static struct simulated platform = {&table, 0};

/* OpenCL lists the devices in another order than CUDA does, as it may. */
static struct simulated devices[FC_DEVICES] = {{&table, 1}, {&table, 0}};

static const fc_cl *cl;
static const fc_host *host;

static bool is_platform(cl_platform_id id)
{
    return (void *)id == (void *)&platform;
}

/* The ordinal of a simulated device; -1: the device is a real one. */
static int ordinal_of(cl_device_id id)
{
    for (int k = 0; k < FC_DEVICES; k++)
        if ((void *)id == (void *)&devices[k])
            return devices[k].device;
    return -1;
}

static cl_device_id real(cl_device_id id)
{
    return ordinal_of(id) < 0 ? id : host->device;
}

static cl_int give(const void *data, size_t length, size_t size, void *value, size_t *need)
{
    if (need)
        *need = length;
    if (value && size < length)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, data, length);
    return CL_SUCCESS;
}

static cl_int give_text(const char *text, size_t size, void *value, size_t *need)
{
    return give(text, strlen(text) + 1, size, value, need);
}

/* ---- Platforms and devices --------------------------------------------------------------------------------------- */

static cl_int CL_API_CALL get_platforms(cl_uint most, cl_platform_id *ids, cl_uint *count);

static cl_int CL_API_CALL get_platform_info(cl_platform_id id, cl_platform_info what, size_t size, void *value,
                                            size_t *need)
{
    enum { ICD_SUFFIX = 0x0920 };
    if (!is_platform(id))
        return cl->clGetPlatformInfo(id, what, size, value, need);
    switch (what) {
    case CL_PLATFORM_NAME:
        return give_text("NVIDIA CUDA", size, value, need);
    case CL_PLATFORM_VENDOR:
        return give_text("NVIDIA Corporation, simulated", size, value, need);
    case CL_PLATFORM_VERSION:
        return give_text("OpenCL 3.0 CUDA 13.0.0 simulated", size, value, need);
    case CL_PLATFORM_PROFILE:
        return give_text("FULL_PROFILE", size, value, need);
    case CL_PLATFORM_EXTENSIONS:
        return give_text("cl_khr_icd cl_khr_device_uuid", size, value, need);
    case ICD_SUFFIX:
        return give_text("NV", size, value, need);
    }
    return CL_INVALID_VALUE;
}

static cl_int CL_API_CALL get_devices(cl_platform_id id, cl_device_type type, cl_uint most, cl_device_id *ids,
                                      cl_uint *count)
{
    cl_uint found = 0;
    if (!is_platform(id))
        return cl->clGetDeviceIDs(id, type, most, ids, count);
    for (int k = 0; k < FC_DEVICES; k++) {
        if (devices[k].device >= fake_cuda.devices || !(type & (CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_DEFAULT)))
            continue;
        if (ids && found < most)
            ids[found] = (cl_device_id)&devices[k];
        found++;
    }
    if (count)
        *count = found;
    return found ? CL_SUCCESS : CL_DEVICE_NOT_FOUND;
}

static cl_int get_of_simulated(int device, cl_device_info what, size_t size, void *value, size_t *need)
{
    enum {
        UUID = 0x106a,
        CAPABILITY_MAJOR = 0x4000,
        CAPABILITY_MINOR = 0x4001,
        WARP = 0x4003,
        BUS = 0x4008,
        SLOT = 0x4009,
        DOMAIN = 0x400a
    };
    const cl_platform_id id = (cl_platform_id)&platform;
    const cl_device_type type = CL_DEVICE_TYPE_GPU;
    const cl_ulong memory = fake_cuda.memory, buffer = fake_cuda.memory / 4, shared = FC_SHARED;
    const cl_uint units = FC_UNITS, clock = 1000, bus = (cl_uint)(FC_BUS + device), one = 1, nine = 9, zero = 0,
                  warp = FC_WARP;
    const size_t group = FC_BLOCK, items[3] = {FC_BLOCK, FC_BLOCK, 64};
    const cl_bool no = CL_FALSE;
    unsigned char uuid[16];
    fc_uuid(device, uuid);
#define GIVE(name, variable)                                                                                           \
    case name:                                                                                                         \
        return give(&(variable), sizeof(variable), size, value, need)
    switch (what) {
        GIVE(CL_DEVICE_PLATFORM, id);
        GIVE(CL_DEVICE_TYPE, type);
        GIVE(CL_DEVICE_GLOBAL_MEM_SIZE, memory);
        GIVE(CL_DEVICE_MAX_MEM_ALLOC_SIZE, buffer);
        GIVE(CL_DEVICE_LOCAL_MEM_SIZE, shared);
        GIVE(CL_DEVICE_MAX_COMPUTE_UNITS, units);
        GIVE(CL_DEVICE_MAX_CLOCK_FREQUENCY, clock);
        GIVE(CL_DEVICE_MAX_WORK_GROUP_SIZE, group);
        GIVE(CL_DEVICE_MAX_WORK_ITEM_SIZES, items);
        GIVE(CL_DEVICE_HOST_UNIFIED_MEMORY, no);
        GIVE(CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, one);
        GIVE(CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, one);
        GIVE(CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE, one);
        GIVE(CL_DEVICE_PREFERRED_VECTOR_WIDTH_DOUBLE, one);
        GIVE(UUID, uuid);
        GIVE(CAPABILITY_MAJOR, nine);
        GIVE(CAPABILITY_MINOR, zero);
        GIVE(WARP, warp);
        GIVE(BUS, bus);
        GIVE(SLOT, zero);
        GIVE(DOMAIN, zero);
    case CL_DEVICE_NAME:
        return give_text(fc_name(device), size, value, need);
    case CL_DEVICE_VENDOR:
        return give_text("NVIDIA Corporation, simulated", size, value, need);
    case CL_DEVICE_VERSION:
        return give_text("OpenCL 3.0 CUDA", size, value, need);
    case CL_DRIVER_VERSION:
        return give_text("580.00 simulated", size, value, need);
    case CL_DEVICE_EXTENSIONS:
        return give_text("cl_khr_fp64 cl_khr_icd cl_nv_device_attribute_query cl_khr_device_uuid", size, value, need);
    }
#undef GIVE
    return cl->clGetDeviceInfo(host->device, what, size, value, need);
}

static cl_int CL_API_CALL get_device_info(cl_device_id id, cl_device_info what, size_t size, void *value, size_t *need)
{
    const int device = ordinal_of(id);
    return device < 0 ? cl->clGetDeviceInfo(id, what, size, value, need)
                      : get_of_simulated(device, what, size, value, need);
}

static cl_int CL_API_CALL create_parts(cl_device_id id, const cl_device_partition_property *parts, cl_uint most,
                                       cl_device_id *ids, cl_uint *count)
{
    return ordinal_of(id) < 0 ? cl->clCreateSubDevices(id, parts, most, ids, count) : CL_DEVICE_PARTITION_FAILED;
}

static cl_int CL_API_CALL release_device(cl_device_id id)
{
    return ordinal_of(id) < 0 ? cl->clReleaseDevice(id) : CL_SUCCESS;
}

/* ---- Contexts and programs --------------------------------------------------------------------------------------- */

static cl_context CL_API_CALL create_context(const cl_context_properties *properties, cl_uint count,
                                             const cl_device_id *ids,
                                             void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *),
                                             void *user, cl_int *error)
{
    if (count != 1 || ordinal_of(ids[0]) < 0)
        return cl->clCreateContext(properties, count, ids, notify, user, error);
    return cl->clCreateContext(NULL, 1, &host->device, notify, user, error);
}

static cl_command_queue CL_API_CALL create_queue(cl_context context, cl_device_id id,
                                                 cl_command_queue_properties properties, cl_int *error)
{
    return cl->clCreateCommandQueue(context, real(id), properties, error);
}

/* Options of NVIDIA's compiler mean nothing to the CPU's. */
static cl_int CL_API_CALL build(cl_program program, cl_uint count, const cl_device_id *ids, const char *options,
                                void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    static const char theirs[] = "-cl-nv-verbose";
    char with[512];
    if (count != 1 || ordinal_of(ids[0]) < 0)
        return cl->clBuildProgram(program, count, ids, options, notify, user);
    snprintf(with, sizeof with, "%s", options ? options : "");
    for (char *at = strstr(with, theirs); at; at = strstr(at, theirs))
        memset(at, ' ', sizeof theirs - 1);
    strncat(with, " -cl-kernel-arg-info", sizeof with - strlen(with) - 1);
    fake_cuda.builds++;
    return cl->clBuildProgram(program, 1, &host->device, with, notify, user);
}

static char *text_of(cl_program program, size_t *size)
{
    char options[512] = "";
    if (cl->clGetProgramBuildInfo(program, host->device, CL_PROGRAM_BUILD_OPTIONS, sizeof options, options, NULL))
        return NULL;
    return fc_write_ptx(host, program, options, size);
}

/* Real devices have binaries of their own, but a program does not tell for which device it is: all are PTX here. */
static cl_int CL_API_CALL get_program_info(cl_program program, cl_program_info what, size_t size, void *value,
                                           size_t *need)
{
    if (what != CL_PROGRAM_BINARY_SIZES && what != CL_PROGRAM_BINARIES)
        return cl->clGetProgramInfo(program, what, size, value, need);
    size_t length;
    char *text = text_of(program, &length);
    if (!text)
        return CL_INVALID_PROGRAM_EXECUTABLE;
    cl_int code = CL_SUCCESS;
    if (what == CL_PROGRAM_BINARY_SIZES)
        code = give(&length, sizeof length, size, value, need);
    else if (need)
        *need = sizeof(void *);
    if (what == CL_PROGRAM_BINARIES && value)
        memcpy(*(unsigned char **)value, text, length);
    free(text);
    return code;
}

/* The log of a program that was built is what ptxas writes. */
static cl_int CL_API_CALL get_build_info(cl_program program, cl_device_id id, cl_program_build_info what, size_t size,
                                         void *value, size_t *need)
{
    cl_build_status status = CL_BUILD_NONE;
    if (ordinal_of(id) >= 0 && what == CL_PROGRAM_BUILD_LOG &&
        !cl->clGetProgramBuildInfo(program, host->device, CL_PROGRAM_BUILD_STATUS, sizeof status, &status, NULL) &&
        status == CL_BUILD_SUCCESS) {
        size_t length;
        char *text = text_of(program, &length);
        if (text) {
            char *notes = fc_ptx_notes(text, length);
            cl_int code = give_text(notes, size, value, need);
            free(notes);
            free(text);
            return code;
        }
    }
    return cl->clGetProgramBuildInfo(program, real(id), what, size, value, need);
}

static cl_program CL_API_CALL create_with_binary(cl_context context, cl_uint count, const cl_device_id *ids,
                                                 const size_t *sizes, const unsigned char **binaries, cl_int *statuses,
                                                 cl_int *error)
{
    if (count != 1 || ordinal_of(ids[0]) < 0)
        return cl->clCreateProgramWithBinary(context, count, ids, sizes, binaries, statuses, error);
    const char *problem;
    char *options = NULL, *source = fc_read_ptx((const char *)binaries[0], sizes[0], false, &options, &problem);
    if (statuses)
        statuses[0] = source ? CL_SUCCESS : CL_INVALID_BINARY;
    if (error)
        *error = source ? CL_SUCCESS : CL_INVALID_BINARY;
    if (!source)
        return NULL;
    const char *text = source;
    cl_program program = cl->clCreateProgramWithSource(context, 1, &text, NULL, error);
    free(source);
    free(options);
    return program;
}

static cl_int CL_API_CALL get_group_info(cl_kernel kernel, cl_device_id id, cl_kernel_work_group_info what, size_t size,
                                         void *value, size_t *need)
{
    const size_t group = FC_BLOCK, multiple = FC_WARP;
    if (ordinal_of(id) >= 0 && what == CL_KERNEL_WORK_GROUP_SIZE)
        return give(&group, sizeof group, size, value, need);
    if (ordinal_of(id) >= 0 && what == CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE)
        return give(&multiple, sizeof multiple, size, value, need);
    return cl->clGetKernelWorkGroupInfo(kernel, real(id), what, size, value, need);
}

/* ---- The driver -------------------------------------------------------------------------------------------------- */

static void fill_table(void)
{
    host = fc_open_host();
    if (!host)
        return;
    cl = &host->cl;
#define KD_CALL(result, name, parameters, arguments) memcpy(&table.name, &cl->name, sizeof cl->name);
#include "cl_calls.def"
    table.clGetPlatformIDs = get_platforms;
    table.clGetPlatformInfo = get_platform_info;
    table.clGetDeviceIDs = get_devices;
    table.clGetDeviceInfo = get_device_info;
    table.clCreateSubDevices = create_parts;
    table.clReleaseDevice = release_device;
    table.clCreateContext = create_context;
    table.clCreateCommandQueue = create_queue;
    table.clBuildProgram = build;
    table.clGetProgramInfo = get_program_info;
    table.clGetProgramBuildInfo = get_build_info;
    table.clCreateProgramWithBinary = create_with_binary;
    table.clGetKernelWorkGroupInfo = get_group_info;
}

static cl_int CL_API_CALL get_platforms(cl_uint most, cl_platform_id *ids, cl_uint *count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_table);
    if (!host)
        return CL_DEVICE_NOT_FOUND;
    if (ids && most)
        ids[0] = (cl_platform_id)&platform;
    if (ids && most > 1)
        ids[1] = host->platform;
    if (count)
        *count = 2;
    return CL_SUCCESS;
}

FC_EXPORT void *CL_API_CALL clGetExtensionFunctionAddress(const char *name);
FC_EXPORT void *CL_API_CALL clGetExtensionFunctionAddress(const char *name)
{
    cl_int(CL_API_CALL * found)(cl_uint, cl_platform_id *, cl_uint *) = get_platforms;
    void *address;
    memcpy(&address, &found, sizeof address);
    return strcmp(name, "clIcdGetPlatformIDsKHR") == 0 ? address : NULL;
}
