/* SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "on_cuda.h"

#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cuda_calls cu;
fake_cuda_state *fake_cuda_found;
char cuda_log[16384];
static fake_cuda_reset_fn *reset;

bool open_cuda(void)
{
    const char *lacks = NULL;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *address, *context;
    int devices = 0;
    if (!library) {
        printf("SKIPPED: %s\n", dlerror());
        return false;
    }
#define CU_CALL(name, parameters)                                                                                      \
    if (!(address = dlsym(library, #name)))                                                                            \
        lacks = #name;                                                                                                 \
    memcpy(&cu.name, &address, sizeof address);
    CU_CALLS(CU_CALL)
#undef CU_CALL
    fake_cuda_found = dlsym(library, "fake_cuda");
    address = dlsym(library, "fake_cuda_reset");
    memcpy(&reset, &address, sizeof address);
    if (lacks || cu.cuInit(0) || cu.cuDeviceGetCount(&devices) || !devices ||
        cu.cuDevicePrimaryCtxRetain(&context, 0) || cu.cuCtxSetCurrent(context)) {
        printf("SKIPPED: the CUDA driver has no device%s%s\n", lacks ? ", it lacks " : "", lacks ? lacks : "");
        return false;
    }
    return true;
}

void reset_cuda(void)
{
    if (reset)
        reset();
}

void cuda_collect(void *user, const char *line)
{
    (void)user;
    if (strlen(cuda_log) + strlen(line) + 2 < sizeof cuda_log) {
        strcat(cuda_log, line);
        strcat(cuda_log, "\n");
    }
}

/* Memory of the host that was freed holds NaN: work that reads it later than it may does not go unnoticed. */
static void *reallocate(void *user, void *pointer, size_t size)
{
    enum { HEAD = 32 }; /* holds the size; keeps the alignment */
    unsigned char *old = pointer ? (unsigned char *)pointer - HEAD : NULL, *made = size ? malloc(HEAD + size) : NULL;
    size_t old_size = 0;
    (void)user;
    if (old)
        memcpy(&old_size, old, sizeof old_size);
    if (size && !made)
        return NULL;
    if (made) {
        memcpy(made, &size, sizeof size);
        if (old)
            memcpy(made + HEAD, pointer, old_size < size ? old_size : size);
    }
    if (old)
        memset(pointer, 0xff, old_size);
    free(old);
    return made ? made + HEAD : NULL;
}

kcl_context *open_on(void *stream, const kcl_context *share)
{
    kcl_context *c;
    const kcl_status status =
        kcl_cuda_context_create(&c, &(kcl_context_params){.log = cuda_collect, .allocator = {reallocate, NULL}},
                                &(kcl_cuda_params){.stream = stream, .share = share});
    ck_assert_msg(status == KCL_OK, "%s", kcl_context_error(c));
    return c;
}

cu_pointer cuda_upload(const void *data, size_t bytes, void *stream)
{
    cu_pointer to;
    CU(cuMemAlloc_v2(&to, bytes));
    CU(cuMemcpyHtoDAsync_v2(to, data, bytes, stream));
    CU(cuStreamSynchronize(stream));
    return to;
}

void cuda_download(void *data, cu_pointer from, size_t bytes, void *stream)
{
    CU(cuMemcpyDtoHAsync_v2(data, from, bytes, stream));
    CU(cuStreamSynchronize(stream));
}

void *cuda_pointer(cu_pointer address)
{
    return (void *)(uintptr_t)address;
}

/* In the order of the stream: the next owner of the memory may write to it as soon as earlier work is done. */
void *pool_allocate(void *pool, size_t bytes)
{
    cuda_pool *p = pool;
    cu_pointer pointer;
    if (++p->allocations == p->fail_at || cu.cuMemAllocAsync(&pointer, bytes, p->stream))
        return NULL;
    p->live++;
    return cuda_pointer(pointer);
}

void pool_release(void *pool, void *pointer)
{
    cuda_pool *p = pool;
    p->releases++;
    p->live--;
    ck_assert_int_eq(cu.cuMemFreeAsync((cu_pointer)(uintptr_t)pointer, p->stream), CU_SUCCESS);
}
