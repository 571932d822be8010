/* SPDX-License-Identifier: MIT */
/* tests/device/fake_cuda/world.c: devices and contexts of the simulated driver, and calls that are made to fail. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

FC_EXPORT fake_cuda_state fake_cuda;

pthread_mutex_t fc_world = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t fc_changed = PTHREAD_COND_INITIALIZER;

enum { DEPTH = 32 };
static fc_context contexts[FC_DEVICES] = {{.device = 0}, {.device = 1}};
static bool is_initialised;
static _Thread_local fc_context *stack[DEPTH];
static _Thread_local int depth;

/* ---- What the test sets ------------------------------------------------------------------------------------------ */

static long number_of(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

static void set_from_environment(void)
{
    static char call[64];
    const char *fail = getenv("FAKE_CUDA_FAIL");
    int code = 0;
    const long devices = number_of("FAKE_CUDA_DEVICES", FC_DEVICES);
    fake_cuda.devices = devices < 0 ? 0 : devices > FC_DEVICES ? FC_DEVICES : (int)devices;
    fake_cuda.memory = (size_t)number_of("FAKE_CUDA_MEMORY", 1L << 31);
    fake_cuda.delay = (int)number_of("FAKE_CUDA_DELAY", 0);
    fake_cuda.envreg = (int)number_of("FAKE_CUDA_ENVREG", -1);
    fake_cuda.most_threads = FC_BLOCK;
    fake_cuda.fail_call = NULL;
    fake_cuda.fail_at = 0;
    if (fail && sscanf(fail, "%63[^:]:%d", call, &code) == 2) {
        fake_cuda.fail_call = call;
        fake_cuda.fail_at = -1;
        fake_cuda.fail_code = code;
    }
}

__attribute__((constructor)) static void begin_world(void)
{
    set_from_environment();
}

FC_EXPORT void fake_cuda_reset(void);
FC_EXPORT void fake_cuda_reset(void)
{
    pthread_mutex_lock(&fc_world);
    for (int k = 0; k < FC_DEVICES; k++) {
        fc_wait_for_context(&contexts[k]);
        contexts[k].sick = CU_SUCCESS;
    }
    set_from_environment();
    fake_cuda.calls = fake_cuda.builds = fake_cuda.links = fake_cuda.loads = 0;
    fake_cuda.allocations = fake_cuda.frees = fake_cuda.launches = fake_cuda.writes = fake_cuda.reads = 0;
    fake_cuda.waits = fake_cuda.overruns = fake_cuda.early_unloads = 0;
    fake_cuda.failed = NULL;
    fake_cuda.command_count = 0;
    pthread_mutex_unlock(&fc_world);
}

void fc_log(const char *call, void *stream, cu_pointer address, size_t bytes)
{
    if (fake_cuda.command_count < FAKE_CUDA_COMMANDS)
        fake_cuda.commands[fake_cuda.command_count] = (fake_cuda_command){call, stream, address, bytes};
    fake_cuda.command_count++;
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

cu_result fc_begin(const char *call)
{
    pthread_mutex_lock(&fc_world);
    if (!fake_cuda.fail_call || strcmp(fake_cuda.fail_call, call) == 0) {
        fake_cuda.calls++;
        if (fake_cuda.fail_at < 0 || (fake_cuda.fail_at && fake_cuda.fail_at == fake_cuda.calls)) {
            fake_cuda.failed = call;
            return fake_cuda.fail_code;
        }
    }
    return is_initialised || strcmp(call, "cuInit") == 0 ? CU_SUCCESS : CU_NOT_INITIALIZED;
}

cu_result fc_end(cu_result code)
{
    pthread_mutex_unlock(&fc_world);
    return code;
}

fc_context *fc_current(void)
{
    return depth ? stack[depth - 1] : NULL;
}

cu_result fc_begin_in(const char *call, fc_context **context)
{
    cu_result code = fc_begin(call);
    *context = fc_current();
    return code ? code : !*context || !(*context)->references ? CU_INVALID_CONTEXT : (*context)->sick;
}

fc_context *fc_known_context(void *handle)
{
    for (int k = 0; k < FC_DEVICES; k++)
        if (handle == &contexts[k])
            return contexts[k].references ? &contexts[k] : NULL;
    return NULL;
}

FC_EXPORT cu_result cuInit(unsigned flags)
{
    cu_result code = fc_begin(__func__);
    if (!code)
        code = flags ? CU_INVALID_VALUE : fake_cuda.devices && fc_open_host() ? CU_SUCCESS : CU_NO_DEVICE;
    is_initialised |= !code;
    return fc_end(code);
}

FC_EXPORT cu_result cuDriverGetVersion(int *version)
{
    *version = FC_VERSION;
    return CU_SUCCESS;
}

static const struct {
    cu_result code;
    const char *name, *text;
} errors[] = {
    {CU_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CU_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CU_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CU_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CU_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CU_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CU_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CU_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CU_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CU_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CU_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CU_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CU_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CU_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CU_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CU_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CU_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CU_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"}};

FC_EXPORT cu_result cuGetErrorName(cu_result code, const char **text)
{
    *text = NULL;
    for (size_t k = 0; k < sizeof errors / sizeof errors[0]; k++)
        if (errors[k].code == code)
            *text = errors[k].name;
    return *text ? CU_SUCCESS : CU_INVALID_VALUE;
}

FC_EXPORT cu_result cuGetErrorString(cu_result code, const char **text)
{
    *text = NULL;
    for (size_t k = 0; k < sizeof errors / sizeof errors[0]; k++)
        if (errors[k].code == code)
            *text = errors[k].text;
    return *text ? CU_SUCCESS : CU_INVALID_VALUE;
}

/* ---- Devices ----------------------------------------------------------------------------------------------------- */

FC_EXPORT cu_result cuDeviceGetCount(int *count)
{
    cu_result code = fc_begin(__func__);
    if (!code)
        *count = fake_cuda.devices;
    return fc_end(code);
}

/* Begins a call about a device. */
static cu_result begin_of(const char *call, cu_device device)
{
    cu_result code = fc_begin(call);
    return code ? code : device < 0 || device >= fake_cuda.devices ? CU_INVALID_DEVICE : CU_SUCCESS;
}

FC_EXPORT cu_result cuDeviceGet(cu_device *device, int ordinal)
{
    cu_result code = begin_of(__func__, ordinal);
    if (!code)
        *device = ordinal;
    return fc_end(code);
}

FC_EXPORT cu_result cuDeviceGetName(char *name, int length, cu_device device)
{
    cu_result code = begin_of(__func__, device);
    if (!code)
        snprintf(name, (size_t)length, "%s", fc_name(device));
    return fc_end(code);
}

FC_EXPORT cu_result cuDeviceGetUuid(cu_uuid *uuid, cu_device device)
{
    cu_result code = begin_of(__func__, device);
    if (!code)
        fc_uuid(device, uuid->bytes);
    return fc_end(code);
}

FC_EXPORT cu_result cuDeviceGetUuid_v2(cu_uuid *uuid, cu_device device)
{
    cu_result code = begin_of(__func__, device);
    if (!code)
        fc_uuid(device, uuid->bytes);
    return fc_end(code);
}

FC_EXPORT cu_result cuDeviceTotalMem_v2(size_t *bytes, cu_device device)
{
    cu_result code = begin_of(__func__, device);
    if (!code)
        *bytes = fake_cuda.memory;
    return fc_end(code);
}

FC_EXPORT cu_result cuDeviceGetAttribute(int *value, int what, cu_device device)
{
    /* By the numbers of CUdevice_attribute. */
    const int values[][2] = {
        {1, FC_BLOCK},  {2, FC_BLOCK}, {3, FC_BLOCK}, {4, 64},       {5, 2147483647}, {6, 65535}, {7, 65535},
        {8, FC_SHARED}, {9, 65536},    {10, FC_WARP}, {12, 65536},   {13, 1000000},   {14, 512},  {15, 1},
        {16, FC_UNITS}, {17, 0},       {18, 0},       {19, 1},       {20, 0},         {31, 1},    {33, FC_BUS + device},
        {34, 0},        {36, 1000000}, {37, 1024},    {38, 1 << 20}, {39, 2048},      {40, 2},    {41, 1},
        {50, 0},        {75, 9},       {76, 0},       {81, 65536},   {82, 65536},     {83, 0},    {97, FC_SHARED},
        {106, 32},      {115, 1}};
    cu_result code = begin_of(__func__, device);
    bool is_known = false;
    for (size_t k = 0; !code && k < sizeof values / sizeof values[0]; k++) {
        if (values[k][0] == what) {
            *value = values[k][1];
            is_known = true;
        }
    }
    return fc_end(code ? code : is_known ? CU_SUCCESS : CU_INVALID_VALUE);
}

/* ---- Contexts ---------------------------------------------------------------------------------------------------- */

FC_EXPORT cu_result cuDevicePrimaryCtxRetain(void **context, cu_device device)
{
    cu_result code = begin_of(__func__, device);
    if (!code) {
        contexts[device].references++;
        *context = &contexts[device];
    }
    return fc_end(code);
}

/* The last release ends the context, with all that was made in it. */
FC_EXPORT cu_result cuDevicePrimaryCtxRelease_v2(cu_device device)
{
    cu_result code = begin_of(__func__, device);
    if (!code && !contexts[device].references)
        code = CU_INVALID_CONTEXT;
    if (!code && !--contexts[device].references) {
        fc_wait_for_context(&contexts[device]);
        fc_unload_all(&contexts[device]);
        fc_release_all(&contexts[device]);
        contexts[device].sick = CU_SUCCESS;
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuDevicePrimaryCtxGetState(cu_device device, unsigned *flags, int *active)
{
    cu_result code = begin_of(__func__, device);
    if (!code) {
        *flags = 0;
        *active = contexts[device].references > 0;
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuCtxGetCurrent(void **context)
{
    cu_result code = fc_begin(__func__);
    if (!code)
        *context = fc_current();
    return fc_end(code);
}

FC_EXPORT cu_result cuCtxSetCurrent(void *context)
{
    cu_result code = fc_begin(__func__);
    if (!code && context && !fc_known_context(context))
        code = CU_INVALID_CONTEXT;
    if (!code && !context)
        depth -= depth > 0;
    else if (!code)
        stack[depth ? depth - 1 : depth++] = context;
    return fc_end(code);
}

FC_EXPORT cu_result cuCtxPushCurrent_v2(void *context)
{
    cu_result code = fc_begin(__func__);
    if (!code && (!fc_known_context(context) || depth == DEPTH))
        code = CU_INVALID_CONTEXT;
    if (!code)
        stack[depth++] = context;
    return fc_end(code);
}

/* A pop that is made to fail pops all the same: whoever calls it has nothing else to do about the stack. */
FC_EXPORT cu_result cuCtxPopCurrent_v2(void **context)
{
    cu_result code = fc_begin(__func__);
    fc_context *top = fc_current();
    depth -= depth > 0;
    if (context)
        *context = top;
    return fc_end(code ? code : top ? CU_SUCCESS : CU_INVALID_CONTEXT);
}

FC_EXPORT cu_result cuCtxGetDevice(cu_device *device)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    if (!code)
        *device = context->device;
    return fc_end(code);
}

FC_EXPORT cu_result cuCtxSynchronize(void)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    if (!code && fc_is_forbidden())
        code = CU_CAPTURE_UNSUPPORTED;
    if (!code) {
        fake_cuda.waits++;
        fc_wait_for_context(context);
        code = context->sick;
    }
    return fc_end(code);
}
