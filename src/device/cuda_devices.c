/* SPDX-License-Identifier: MIT */
/* device/cuda_devices.c: what OpenCL's queries of platforms and devices tell of the devices of CUDA. */
#include "cuda.h"

#include <stdio.h>
#include <string.h>

const char kd_cuda_platform[] = "CUDA";

bool kd_is_cuda(const char *platform)
{
    return strcmp(platform, kd_cuda_platform) == 0;
}

cl_int kd_cuda_give(const void *data, size_t bytes, size_t size, void *value, size_t *need)
{
    if (need)
        *need = bytes;
    if (!value)
        return CL_SUCCESS;
    if (size < bytes)
        return CL_INVALID_VALUE;
    memcpy(value, data, bytes);
    return CL_SUCCESS;
}

cl_int kd_cuda_give_text(const char *text, size_t size, void *value, size_t *need)
{
    return kd_cuda_give(text, strlen(text) + 1, size, value, need);
}

/* There is one platform. Its address is all that is asked of it. */
static char the_platform;

static cl_int CL_API_CALL get_platform_ids(cl_uint most, cl_platform_id *ids, cl_uint *count)
{
    if (ids && most)
        *ids = (cl_platform_id)(void *)&the_platform;
    if (count)
        *count = 1;
    return CL_SUCCESS;
}

static cl_int CL_API_CALL get_platform_info(cl_platform_id platform, cl_platform_info what, size_t size, void *value,
                                            size_t *need)
{
    (void)platform;
    char version[64];
    int number = 0;
    switch (what) {
    case CL_PLATFORM_NAME:
        return kd_cuda_give_text(kd_cuda_platform, size, value, need);
    case CL_PLATFORM_VERSION:
        kd_cuda_driver()->cuDriverGetVersion(&number);
        snprintf(version, sizeof version, "CUDA %d.%d", number / 1000, number % 1000 / 10);
        return kd_cuda_give_text(version, size, value, need);
    default:
        return CL_INVALID_VALUE;
    }
}

static cl_int CL_API_CALL get_device_ids(cl_platform_id platform, cl_device_type type, cl_uint most, cl_device_id *ids,
                                         cl_uint *count)
{
    (void)platform, (void)type;
    kd_cuda_device *devices;
    int found;
    kb_error err;
    if (kd_cuda_open(&devices, &found, &err) < 0)
        return CL_DEVICE_NOT_FOUND;
    for (cl_uint k = 0; ids && k < KB_MIN(most, (cl_uint)found); k++)
        ids[k] = (cl_device_id)(void *)&devices[k];
    if (count)
        *count = (cl_uint)found;
    return CL_SUCCESS;
}

/* The version of NVIDIA's driver: CUDA tells that of its interface alone. */
static cl_int give_driver_version(const kd_cuda_device *d, size_t size, void *value, size_t *need)
{
    int number = 0;
    char version[64];
    if (d->compiler)
        return kd_cuda_compiler()->clGetDeviceInfo(d->compiler, CL_DRIVER_VERSION, size, value, need);
    kd_cuda_driver()->cuDriverGetVersion(&number);
    snprintf(version, sizeof version, "%d", number);
    return kd_cuda_give_text(version, size, value, need);
}

static cl_int CL_API_CALL get_device_info(cl_device_id id, cl_device_info what, size_t size, void *value, size_t *need)
{
    const kd_cuda *driver = kd_cuda_driver();
    const kd_cuda_device *d = (const kd_cuda_device *)id;
    char name[256] = "";
    int number[3] = {0};
    size_t bytes = 0;
    CUresult result = CUDA_SUCCESS;
    switch (what) {
    case CL_DEVICE_NAME:
        result = driver->cuDeviceGetName(name, sizeof name, d->id);
        return result ? kd_cuda_code(result) : kd_cuda_give_text(name, size, value, need);
    case CL_DEVICE_VERSION:
        return kd_cuda_give_text("OpenCL 1.2 CUDA", size, value, need);
    case CL_DRIVER_VERSION:
        return give_driver_version(d, size, value, need);
    case CL_DEVICE_TYPE:
        return kd_cuda_give(&(cl_device_type){CL_DEVICE_TYPE_GPU}, sizeof(cl_device_type), size, value, need);
    case CL_DEVICE_AVAILABLE:
        return kd_cuda_give(&(cl_bool){CL_TRUE}, sizeof(cl_bool), size, value, need);
    case CL_DEVICE_COMPILER_AVAILABLE:
        return kd_cuda_give(&(cl_bool){d->compiler != NULL}, sizeof(cl_bool), size, value, need);
    case CL_DEVICE_DOUBLE_FP_CONFIG:
        return kd_cuda_give(&(cl_device_fp_config){CL_FP_FMA}, sizeof(cl_device_fp_config), size, value, need);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
        result = driver->cuDeviceTotalMem(&bytes, d->id);
        return result ? kd_cuda_code(result) : kd_cuda_give(&(cl_ulong){bytes}, sizeof(cl_ulong), size, value, need);
    case CL_DEVICE_MAX_WORK_ITEM_SIZES:
        for (int k = 0; !result && k < 3; k++)
            result = driver->cuDeviceGetAttribute(&number[k], CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X + k, d->id);
        return result ? kd_cuda_code(result)
                      : kd_cuda_give((size_t[]){(size_t)number[0], (size_t)number[1], (size_t)number[2]},
                                     3 * sizeof(size_t), size, value, need);
    default:
        break;
    }
    static const struct {
        cl_device_info what;
        int attribute;
        enum { UINT, ULONG, SIZE, BOOL } type;
        int unit;
    } attributes[] = {
        {CL_DEVICE_MAX_COMPUTE_UNITS, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, UINT, 1},
        {CL_DEVICE_MAX_CLOCK_FREQUENCY, CU_DEVICE_ATTRIBUTE_CLOCK_RATE, UINT, 1000},
        {CL_DEVICE_HOST_UNIFIED_MEMORY, CU_DEVICE_ATTRIBUTE_INTEGRATED, BOOL, 1},
        {CL_DEVICE_MAX_WORK_GROUP_SIZE, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, SIZE, 1},
        {CL_DEVICE_LOCAL_MEM_SIZE, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, ULONG, 1},
    };
    for (size_t k = 0; k < KB_COUNT(attributes); k++) {
        if (attributes[k].what != what)
            continue;
        result = driver->cuDeviceGetAttribute(&number[0], attributes[k].attribute, d->id);
        if (result)
            return kd_cuda_code(result);
        const int n = number[0] / attributes[k].unit;
        switch (attributes[k].type) {
        case UINT:
            return kd_cuda_give(&(cl_uint){(cl_uint)n}, sizeof(cl_uint), size, value, need);
        case ULONG:
            return kd_cuda_give(&(cl_ulong){(cl_ulong)n}, sizeof(cl_ulong), size, value, need);
        case SIZE:
            return kd_cuda_give(&(size_t){(size_t)n}, sizeof(size_t), size, value, need);
        case BOOL:
            return kd_cuda_give(&(cl_bool){n != 0}, sizeof(cl_bool), size, value, need);
        }
    }
    return CL_INVALID_VALUE;
}

static cl_int CL_API_CALL create_sub_devices(cl_device_id device, const cl_device_partition_property *parts,
                                             cl_uint most, cl_device_id *ids, cl_uint *count)
{
    (void)device, (void)parts, (void)most, (void)ids, (void)count;
    return CL_DEVICE_PARTITION_FAILED;
}

static cl_int CL_API_CALL release_device(cl_device_id device)
{
    (void)device; /* devices stay */
    return CL_SUCCESS;
}

void kd_cuda_set_queries(kd_cl *cl)
{
    cl->clGetPlatformIDs = get_platform_ids;
    cl->clGetPlatformInfo = get_platform_info;
    cl->clGetDeviceIDs = get_device_ids;
    cl->clGetDeviceInfo = get_device_info;
    cl->clCreateSubDevices = create_sub_devices;
    cl->clReleaseDevice = release_device;
}
