/* SPDX-License-Identifier: MIT */
/* device/cuda_program.c: OpenCL C to PTX by NVIDIA's OpenCL, PTX to machine code by the CUDA driver. */
#include "cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Launch registers --------------------------------------------------------------------------------------------- */

char *kd_cuda_edit(const kcl_allocator *allocator, const char *ptx, int *unknown)
{
    static const char name[] = "%envreg";
    static const char axes[] = "xyz";
    const size_t length = sizeof name - 1;
    kb_str text;
    kb_str_init(&text, allocator);
    *unknown = -1;
    for (const char *next; (next = strstr(ptx, name)); ptx = next) {
        char *end;
        const long number = strtol(next + length, &end, 10);
        kb_str_putf(&text, "%.*s", (int)(next - ptx), ptx);
        if (end == next + length || number > 8) {
            *unknown = (int)number;
            kb_str_finish(&text);
            return NULL;
        }
        if (number < 6) /* offsets, which are 0 in all launches here */
            kb_str_put(&text, "0");
        else
            kb_str_putf(&text, "%%nctaid.%c", axes[number - 6]);
        next = end;
    }
    kb_str_put(&text, ptx);
    char *result = text.failed ? NULL : kb_strdup(allocator, kb_str_text(&text));
    kb_str_finish(&text);
    return result;
}

/* ---- Building ----------------------------------------------------------------------------------------------------- */

static void set_log(kd_cuda_program *p, char *log)
{
    free(p->log);
    p->log = log;
}

static char *copy(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *made = malloc(size);
    return made ? memcpy(made, text, size) : NULL;
}

/* The text or binary that a query gives; NULL: none. */
static char *read_log(const kd_cl *cl, cl_program program, cl_device_id device)
{
    size_t size = 0;
    if (cl->clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) || !size)
        return NULL;
    char *log = calloc(size + 1, 1);
    if (log && cl->clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, size, log, NULL))
        log[0] = 0;
    return log;
}

/* The PTX of a program that was built; NULL: none, or memory is out. */
static char *read_ptx(const kd_cl *cl, cl_program program, cl_int *code)
{
    size_t size = 0;
    *code = cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL);
    if (*code)
        return NULL;
    char *ptx = calloc(size + 1, 1);
    if (!ptx) {
        *code = CL_OUT_OF_HOST_MEMORY;
        return NULL;
    }
    *code = cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof ptx, &ptx, NULL);
    if (!*code)
        return ptx;
    free(ptx);
    return NULL;
}

/* With the lock of the context held. */
static cl_context compiler_of(kd_cuda_context *c, cl_int *code)
{
    const kd_cuda_device *d = c->device;
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)d->platform, 0};
    *code = CL_SUCCESS;
    if (!c->compiler)
        c->compiler = kd_cuda_compiler()->clCreateContext(properties, 1, &d->compiler, NULL, NULL, code);
    atomic_store(&c->compiles, c->compiler != NULL);
    return c->compiler;
}

void kd_cuda_end_compiler(kd_cuda_context *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->compiler)
        kd_cuda_compiler()->clReleaseContext(c->compiler);
    c->compiler = NULL;
    atomic_store(&c->compiles, false);
    pthread_mutex_unlock(&c->lock);
}

void kd_cuda_rest(kd_cuda_context *c)
{
    if (!atomic_load_explicit(&c->compiles, memory_order_relaxed))
        return;
    pthread_mutex_lock(&c->lock);
    const bool is_over = kb_seconds() - c->compiled_at > 1;
    pthread_mutex_unlock(&c->lock);
    if (is_over)
        kd_cuda_end_compiler(c);
}

/* The PTX of the source, by NVIDIA's OpenCL. */
static char *compile(kd_cuda_program *p, const char *options, cl_int *code)
{
    const kd_cl *cl = kd_cuda_compiler();
    kd_cuda_device *d = p->context->device;
    if (!d->compiler) {
        set_log(
            p,
            copy("there is no OpenCL of NVIDIA that compiles for this device (libnvidia-opencl, part of the driver)"));
        *code = CL_COMPILER_NOT_AVAILABLE;
        return NULL;
    }
    const char *source = p->source;
    char *ptx = NULL;
    pthread_mutex_lock(&p->context->lock);
    cl_context context = compiler_of(p->context, code);
    cl_program program = context ? cl->clCreateProgramWithSource(context, 1, &source, NULL, code) : NULL;
    if (program) {
        *code = cl->clBuildProgram(program, 1, &d->compiler, options, NULL, NULL);
        set_log(p, read_log(cl, program, d->compiler));
        if (!*code)
            ptx = read_ptx(cl, program, code);
        cl->clReleaseProgram(program);
    }
    p->context->compiled_at = kb_seconds();
    pthread_mutex_unlock(&p->context->lock);
    return ptx;
}

/* Machine code of PTX. */
static cl_int link_ptx(kd_cuda_program *p, char *ptx)
{
    enum { LOG = 4096 };
    const kd_cuda *driver = kd_cuda_driver();
    char log[LOG] = "";
    int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)LOG};
    CUlinkState state = NULL;
    void *binary = NULL;
    size_t size = 0;
    CUresult result = driver->cuLinkCreate(KB_COUNT(options), options, values, &state);
    if (!result)
        result = driver->cuLinkAddData(state, CU_JIT_INPUT_PTX, ptx, strlen(ptx) + 1, "keopscl", 0, NULL, NULL);
    if (!result)
        result = driver->cuLinkComplete(state, &binary, &size);
    if (!result && !(p->binary = malloc(size)))
        result = CUDA_ERROR_OUT_OF_MEMORY;
    if (!result) {
        memcpy(p->binary, binary, size);
        p->size = size;
    }
    if (state)
        driver->cuLinkDestroy(state);
    if (!result)
        return CL_SUCCESS;
    if (*log)
        set_log(p, copy(log));
    const cl_int code = kd_cuda_code(result);
    return code == CL_INVALID_BINARY ? CL_BUILD_PROGRAM_FAILURE : code;
}

cl_int kd_cuda_load(kd_cuda_program *p)
{
    bool entered;
    CUresult result = kd_cuda_enter(p->context, &entered);
    if (!result)
        result = kd_cuda_driver()->cuModuleLoadData(&p->module, p->binary);
    kd_cuda_leave(entered);
    return kd_cuda_code(result);
}

cl_int kd_cuda_build(kd_cuda_program *p, const char *options)
{
    cl_int code = CL_SUCCESS;
    const kcl_allocator allocator = kb_allocator(NULL);
    if (p->source) {
        int unknown;
        char *ptx = compile(p, options, &code);
        if (!ptx)
            return code ? code : CL_BUILD_PROGRAM_FAILURE;
        char *edited = kd_cuda_edit(&allocator, ptx, &unknown);
        free(ptx);
        if (!edited && unknown >= 0) {
            char why[200];
            snprintf(why, sizeof why,
                     "the OpenCL compiler's PTX reads the register %%envreg%d, which nothing in CUDA stands for",
                     unknown);
            set_log(p, copy(why));
        }
        if (!edited)
            return unknown >= 0 ? CL_COMPILER_NOT_AVAILABLE : CL_OUT_OF_HOST_MEMORY;
        bool entered;
        const CUresult result = kd_cuda_enter(p->context, &entered);
        code = result ? kd_cuda_code(result) : link_ptx(p, edited);
        kd_cuda_leave(entered);
        kb_free(&allocator, edited);
    }
    return code ? code : kd_cuda_load(p);
}
