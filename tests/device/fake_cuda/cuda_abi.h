/* SPDX-License-Identifier: MIT */
/*
 * tests/device/fake_cuda/cuda_abi.h: what of the CUDA driver's binary interface the simulated driver offers and the
 * tests call, since NVIDIA's own header is not needed to build. Handles are pointers without a type.
 */
#ifndef CUDA_ABI_H
#define CUDA_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef int cu_result;
typedef int cu_device;
typedef unsigned long long cu_pointer; /* CUdeviceptr */

typedef struct cu_uuid {
    unsigned char bytes[16];
} cu_uuid;

enum {
    CU_SUCCESS = 0,
    CU_INVALID_VALUE = 1,
    CU_OUT_OF_MEMORY = 2,
    CU_NOT_INITIALIZED = 3,
    CU_NO_DEVICE = 100,
    CU_INVALID_DEVICE = 101,
    CU_INVALID_IMAGE = 200,
    CU_INVALID_CONTEXT = 201,
    CU_INVALID_PTX = 218,
    CU_INVALID_HANDLE = 400,
    CU_NOT_FOUND = 500,
    CU_NOT_READY = 600,
    CU_ILLEGAL_ADDRESS = 700,
    CU_LAUNCH_OUT_OF_RESOURCES = 701,
    CU_LAUNCH_FAILED = 719,
    CU_CAPTURE_UNSUPPORTED = 900,
    CU_CAPTURE_INVALIDATED = 901,
    CU_UNKNOWN = 999,
};

/* CU_CALL(name, parameters): all functions return a cu_result. */
#define CU_CALLS(CU_CALL)                                                                                              \
    CU_CALL(cuInit, (unsigned flags))                                                                                  \
    CU_CALL(cuDriverGetVersion, (int *version))                                                                        \
    CU_CALL(cuGetErrorName, (cu_result code, const char **text))                                                       \
    CU_CALL(cuGetErrorString, (cu_result code, const char **text))                                                     \
    CU_CALL(cuDeviceGetCount, (int *count))                                                                            \
    CU_CALL(cuDeviceGet, (cu_device * device, int ordinal))                                                            \
    CU_CALL(cuDeviceGetName, (char *name, int length, cu_device device))                                               \
    CU_CALL(cuDeviceGetUuid, (cu_uuid * uuid, cu_device device))                                                       \
    CU_CALL(cuDeviceGetUuid_v2, (cu_uuid * uuid, cu_device device))                                                    \
    CU_CALL(cuDeviceTotalMem_v2, (size_t * bytes, cu_device device))                                                   \
    CU_CALL(cuDeviceGetAttribute, (int *value, int what, cu_device device))                                            \
    CU_CALL(cuDevicePrimaryCtxRetain, (void **context, cu_device device))                                              \
    CU_CALL(cuDevicePrimaryCtxRelease_v2, (cu_device device))                                                          \
    CU_CALL(cuDevicePrimaryCtxGetState, (cu_device device, unsigned *flags, int *active))                              \
    CU_CALL(cuCtxGetCurrent, (void **context))                                                                         \
    CU_CALL(cuCtxSetCurrent, (void *context))                                                                          \
    CU_CALL(cuCtxPushCurrent_v2, (void *context))                                                                      \
    CU_CALL(cuCtxPopCurrent_v2, (void **context))                                                                      \
    CU_CALL(cuCtxGetDevice, (cu_device * device))                                                                      \
    CU_CALL(cuCtxSynchronize, (void))                                                                                  \
    CU_CALL(cuModuleLoadData, (void **module, const void *image))                                                      \
    CU_CALL(cuModuleUnload, (void *module))                                                                            \
    CU_CALL(cuModuleGetFunction, (void **function, void *module, const char *name))                                    \
    CU_CALL(cuFuncGetAttribute, (int *value, int what, void *function))                                                \
    CU_CALL(cuFuncSetAttribute, (void *function, int what, int value))                                                 \
    CU_CALL(cuLinkCreate_v2, (unsigned count, int *options, void **values, void **link))                               \
    CU_CALL(cuLinkAddData_v2, (void *link, int type, void *data, size_t size, const char *name, unsigned count,        \
                               int *options, void **values))                                                           \
    CU_CALL(cuLinkComplete, (void *link, void **image, size_t *size))                                                  \
    CU_CALL(cuLinkDestroy, (void *link))                                                                               \
    CU_CALL(cuMemAlloc_v2, (cu_pointer * pointer, size_t bytes))                                                       \
    CU_CALL(cuMemFree_v2, (cu_pointer pointer))                                                                        \
    CU_CALL(cuMemAllocAsync, (cu_pointer * pointer, size_t bytes, void *stream))                                       \
    CU_CALL(cuMemFreeAsync, (cu_pointer pointer, void *stream))                                                        \
    CU_CALL(cuMemGetInfo_v2, (size_t * available, size_t * total))                                                     \
    CU_CALL(cuPointerGetAttribute, (void *value, int what, cu_pointer pointer))                                        \
    CU_CALL(cuMemcpyHtoDAsync_v2, (cu_pointer to, const void *from, size_t bytes, void *stream))                       \
    CU_CALL(cuMemcpyDtoHAsync_v2, (void *to, cu_pointer from, size_t bytes, void *stream))                             \
    CU_CALL(cuMemcpyDtoDAsync_v2, (cu_pointer to, cu_pointer from, size_t bytes, void *stream))                        \
    CU_CALL(cuMemsetD32Async, (cu_pointer to, unsigned value, size_t count, void *stream))                             \
    CU_CALL(cuLaunchKernel,                                                                                            \
            (void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,    \
             unsigned block_z, unsigned shared, void *stream, void **parameters, void **extra))                        \
    CU_CALL(cuStreamCreate, (void **stream, unsigned flags))                                                           \
    CU_CALL(cuStreamDestroy_v2, (void *stream))                                                                        \
    CU_CALL(cuStreamQuery, (void *stream))                                                                             \
    CU_CALL(cuStreamSynchronize, (void *stream))                                                                       \
    CU_CALL(cuStreamWaitEvent, (void *stream, void *event, unsigned flags))                                            \
    CU_CALL(cuStreamGetCtx, (void *stream, void **context))                                                            \
    CU_CALL(cuStreamIsCapturing, (void *stream, int *status))                                                          \
    CU_CALL(cuStreamBeginCapture_v2, (void *stream, int mode))                                                         \
    CU_CALL(cuStreamEndCapture, (void *stream, void **graph))                                                          \
    CU_CALL(cuThreadExchangeStreamCaptureMode, (int *mode))                                                            \
    CU_CALL(cuGraphInstantiateWithFlags, (void **executable, void *graph, unsigned long long flags))                   \
    CU_CALL(cuGraphLaunch, (void *executable, void *stream))                                                           \
    CU_CALL(cuGraphDestroy, (void *graph))                                                                             \
    CU_CALL(cuGraphExecDestroy, (void *executable))                                                                    \
    CU_CALL(cuEventCreate, (void **event, unsigned flags))                                                             \
    CU_CALL(cuEventRecord, (void *event, void *stream))                                                                \
    CU_CALL(cuEventQuery, (void *event))                                                                               \
    CU_CALL(cuEventSynchronize, (void *event))                                                                         \
    CU_CALL(cuEventDestroy_v2, (void *event))

#endif
