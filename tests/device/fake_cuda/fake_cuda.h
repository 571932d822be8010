/* SPDX-License-Identifier: MIT */
/*
 * tests/device/fake_cuda/fake_cuda.h: a simulated CUDA driver and NVIDIA OpenCL, for machines without a GPU.
 *
 * One library is both, and computes by an OpenCL CPU of the machine. As libcuda.so.1 it is found by LD_LIBRARY_PATH; as
 * an OpenCL driver it is named by KEOPSCL_DRIVER. The OpenCL compiles with the CPU's compiler and hands out a text that
 * looks like PTX as far as the library reads PTX, with the source inside. The CUDA driver takes the text once its
 * %envreg registers are replaced, as a real one must have them.
 *
 * The simulation is as strict as a driver may be:
 * - Streams have threads: commands run later than the calls that give them, in the order of each stream only. The
 *   legacy default stream and streams that are made without CU_STREAM_NON_BLOCKING wait for each other.
 * - Host memory of a copy is read and written by the stream's thread.
 * - Addresses of device memory are no addresses of the host: a host that follows one ends at once.
 * - New memory, and memory freed in stream order, holds NaN. Bytes around each allocation are looked at when the
 *   allocation is freed.
 * - Calls are refused without a current context, with handles of another context, during a capture that forbids them.
 */
#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H

#include "cuda_abi.h"

/* A command given to a stream, or a call that frees; `address` is of the memory (a copy's on the device), or 0. */
typedef struct fake_cuda_command {
    const char *call;
    void *stream;
    cu_pointer address;
    size_t bytes;
} fake_cuda_command;

enum { FAKE_CUDA_COMMANDS = 4096 };

/*
 * The library exports one of these by the name `fake_cuda`. Fields in the first part are set by the test, or by
 * environment variables when the library is loaded, and by fake_cuda_reset to what the environment says.
 */
typedef struct fake_cuda_state {
    int devices;           /* FAKE_CUDA_DEVICES: 0 to 2 */
    size_t memory;         /* FAKE_CUDA_MEMORY: bytes of each device */
    int delay;             /* FAKE_CUDA_DELAY: microseconds that a stream sleeps before each command */
    int envreg;            /* FAKE_CUDA_ENVREG: a register that compiled programs read as well; -1: none */
    unsigned most_threads; /* of a block that launches; larger blocks: CU_LAUNCH_OUT_OF_RESOURCES */
    const char *fail_call; /* FAKE_CUDA_FAIL=call:code: the call that fails; NULL: any */
    int fail_at;           /* the number of the call, from 1, among those of the name, that fails; 0: none; -1: all */
    cu_result fail_code;
    int calls;          /* of fail_call since fail_at was set: set to 0 with it */
    const char *failed; /* the name of the call that was made to fail last */
    /* What was seen. */
    int builds, links, loads; /* programs compiled by OpenCL, cubins made, modules loaded */
    int allocations, frees, launches, writes, reads, waits; /* calls; waits: of the host for the device */
    int overruns;                                           /* allocations around which bytes had changed */
    int early_unloads;                                      /* modules unloaded while their kernels were to run */
    size_t live_allocations, live_bytes, live_modules, live_streams, live_events;
    size_t command_count; /* all; the list keeps the first ones */
    fake_cuda_command commands[FAKE_CUDA_COMMANDS];
} fake_cuda_state;

/*
 * Exported as `fake_cuda_reset`: waits for all streams, forgets failures of kernels, counts and commands. Objects and
 * memory stay.
 */
typedef void fake_cuda_reset_fn(void);

/*
 * Exported as `fake_cuda_lend`: makes memory of the process memory of a device, until memory that overlaps it is lent, and
 * returns the address on the device; 0 where there is no such device. For programs that know device memory by objects of
 * their own: whoever frees the memory waits for the streams before. Retains the primary context of the device.
 */
typedef cu_pointer fake_cuda_lend_fn(int device, void *host, size_t bytes);

#endif
