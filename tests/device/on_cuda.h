/* SPDX-License-Identifier: MIT */
/* tests/device/on_cuda.h: what the tests of CUDA share, on a CUDA driver or on the simulated one. */
#ifndef ON_CUDA_H
#define ON_CUDA_H

#include "fake_cuda/fake_cuda.h"

#include <keopscl/cuda.h>

#include <stdbool.h>

typedef struct cuda_calls {
#define CU_CALL(name, parameters) cu_result(*name) parameters;
    CU_CALLS(CU_CALL)
#undef CU_CALL
} cuda_calls;

extern cuda_calls cu;
extern fake_cuda_state
    *fake_cuda_found; /* NULL: the driver is a real one, and tests that need the other are left out */

/* Opens the driver and makes the primary context of device 0 current. False, after a line that says why: no driver. */
bool open_cuda(void);

/* Forgets what was seen and set before; does nothing on a real driver. */
void reset_cuda(void);

/* The call must succeed. */
#define CU(call) ck_assert_int_eq(cu.call, CU_SUCCESS)

extern char cuda_log[16384]; /* what contexts logged to cuda_collect; a test sets it to "" */
void cuda_collect(void *user, const char *line);

/* A context on a stream of device 0, which must be made; `share` may be NULL. */
kcl_context *open_on(void *stream, const kcl_context *share);

/* Device memory of the driver, with what is copied there in the order of the stream and waited for. */
cu_pointer cuda_upload(const void *data, size_t bytes, void *stream);
void cuda_download(void *data, cu_pointer from, size_t bytes, void *stream); /* waits for the stream */
void *cuda_pointer(cu_pointer address);                                      /* as keopscl/cuda.h takes it */

/* An allocator for kcl_cuda_params on a stream, whose `user` is a pool. */
typedef struct cuda_pool {
    void *stream;
    int fail_at; /* the number of the allocation that fails, from 1; 0: none */
    int allocations, releases;
    size_t live;
} cuda_pool;

void *pool_allocate(void *pool, size_t bytes);
void pool_release(void *pool, void *pointer);

#endif
