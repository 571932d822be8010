/* SPDX-License-Identifier: MIT */
/* tests/device/fake_cuda/kernel.c: modules, and kernels run by the CPU. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The linker -------------------------------------------------------------------------------------------------- */

/* A cubin of the simulated driver: this head, then the text that was linked, with a zero at its end. */
static const char cubin_head[] = "\177ELF\2\1\1 simulated cubin\n";

enum { OPTION_INFO_LOG = 3, OPTION_INFO_SIZE = 4, OPTION_ERROR_LOG = 5, OPTION_ERROR_SIZE = 6 };
enum { INPUT_CUBIN = 0, INPUT_PTX = 1 };

typedef struct fc_link {
    char *text, *image;
    char *logs[2]; /* info, error: memory of the caller */
    size_t sizes[2];
} fc_link;

static void write_log(const fc_link *l, int which, const char *text)
{
    if (l->logs[which] && l->sizes[which])
        snprintf(l->logs[which], l->sizes[which], "%s", text);
}

FC_EXPORT cu_result cuLinkCreate_v2(unsigned count, int *options, void **values, void **link)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    if (code)
        return fc_end(code);
    fc_link *l = calloc(1, sizeof *l);
    for (unsigned k = 0; k < count; k++) {
        const int o = options[k];
        if (o == OPTION_INFO_LOG || o == OPTION_ERROR_LOG)
            l->logs[o == OPTION_ERROR_LOG] = values[k];
        if (o == OPTION_INFO_SIZE || o == OPTION_ERROR_SIZE)
            l->sizes[o == OPTION_ERROR_SIZE] = (size_t)(uintptr_t)values[k];
    }
    *link = l;
    return fc_end(CU_SUCCESS);
}

FC_EXPORT cu_result cuLinkAddData_v2(void *link, int type, void *data, size_t size, const char *name, unsigned count,
                                     int *options, void **values)
{
    fc_context *context;
    fc_link *l = link;
    const char *problem = NULL;
    char *unused = NULL;
    cu_result code = fc_begin_in(__func__, &context);
    (void)name, (void)count, (void)options, (void)values;
    if (!code && (!l || !data || !size || l->text))
        code = CU_INVALID_VALUE;
    if (!code && type != INPUT_PTX)
        code = type == INPUT_CUBIN ? CU_INVALID_IMAGE : CU_INVALID_VALUE;
    if (!code) {
        free(fc_read_ptx(data, size, true, &unused, &problem));
        free(unused);
        if (problem) {
            char text[256];
            snprintf(text, sizeof text, "ptxas fatal   : %s\n", problem);
            write_log(l, 1, text);
            code = CU_INVALID_PTX;
        } else {
            char *notes = fc_ptx_notes(data, size);
            l->text = strndup(data, size);
            write_log(l, 0, notes);
            free(notes);
        }
    }
    return fc_end(code);
}

FC_EXPORT cu_result cuLinkComplete(void *link, void **image, size_t *size)
{
    fc_context *context;
    fc_link *l = link;
    cu_result code = fc_begin_in(__func__, &context);
    if (!code && (!l || !l->text || l->image))
        code = CU_INVALID_VALUE;
    if (!code) {
        const size_t head = sizeof cubin_head - 1, length = strlen(l->text);
        l->image = malloc(head + length + 1);
        memcpy(l->image, cubin_head, head);
        memcpy(l->image + head, l->text, length + 1);
        *image = l->image;
        *size = head + length + 1;
        fake_cuda.links++;
    }
    return fc_end(code);
}

/* The image goes with its linker. */
FC_EXPORT cu_result cuLinkDestroy(void *link)
{
    cu_result code = fc_begin(__func__);
    fc_link *l = link;
    if (l->image)
        memset(l->image, 0, strlen(l->image));
    free(l->image);
    free(l->text);
    free(l);
    return fc_end(code);
}

/* ---- Modules ----------------------------------------------------------------------------------------------------- */

static fc_module *modules;

/*
 * The size of a value: what the CPU's driver takes; 0: none. It takes any size for a type with a name of the program's
 * own, which is `real` in the library's kernels.
 */
static size_t size_of_value(const fc_cl *cl, cl_kernel kernel, cl_uint index, size_t real)
{
    static const size_t sizes[] = {8, 4, 16, 2, 1};
    static const double nothing[2];
    if (!cl->clSetKernelArg(kernel, index, 8, nothing) && !cl->clSetKernelArg(kernel, index, 4, nothing))
        return real;
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        if (!cl->clSetKernelArg(kernel, index, sizes[k], nothing))
            return sizes[k];
    return 0;
}

/* Sets the sizes of the arguments, 0 for pointers. False: an argument of a kind that the driver could not pass. */
static bool look_at_arguments(const fc_cl *cl, fc_function *f, size_t real)
{
    cl_uint count = 0;
    if (cl->clGetKernelInfo(f->kernel, CL_KERNEL_NUM_ARGS, sizeof count, &count, NULL) || count > FC_ARGUMENTS)
        return false;
    f->count = count;
    for (cl_uint k = 0; k < count; k++) {
        cl_kernel_arg_address_qualifier place = 0;
        if (cl->clGetKernelArgInfo(f->kernel, k, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof place, &place, NULL))
            return false;
        if (place == CL_KERNEL_ARG_ADDRESS_GLOBAL || place == CL_KERNEL_ARG_ADDRESS_CONSTANT)
            continue;
        if (place != CL_KERNEL_ARG_ADDRESS_PRIVATE || !(f->sizes[k] = size_of_value(cl, f->kernel, k, real)))
            return false;
    }
    return true;
}

static void free_function(const fc_cl *cl, fc_function *f)
{
    if (f->kernel)
        cl->clReleaseKernel(f->kernel);
    free(f->name);
    free(f);
}

static void free_module(fc_module *m)
{
    const fc_host *host = fc_open_host();
    while (m->functions) {
        fc_function *next = m->functions->next;
        free_function(&host->cl, m->functions);
        m->functions = next;
    }
    free(m);
}

static cu_result add_function(const fc_host *host, fc_module *m, const char *name, size_t real)
{
    const fc_cl *cl = &host->cl;
    fc_function *f = calloc(1, sizeof *f);
    cl_ulong local = 0;
    *f = (fc_function){.next = m->functions, .module = m, .name = strdup(name)};
    m->functions = f;
    f->kernel = cl->clCreateKernel(m->program, name, NULL);
    if (!f->kernel || !look_at_arguments(cl, f, real))
        return CU_INVALID_IMAGE;
    cl->clGetKernelWorkGroupInfo(f->kernel, host->device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, sizeof f->group, f->group,
                                 NULL);
    cl->clGetKernelWorkGroupInfo(f->kernel, host->device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    f->local = (size_t)local;
    return f->local > FC_SHARED ? CU_INVALID_PTX : CU_SUCCESS;
}

/* Programs of the CPU, which stay: one text is loaded again and again, and a build takes a tenth of a second. */
typedef struct fc_built {
    struct fc_built *next;
    char *source, *options;
    cl_program program;
} fc_built;

static fc_built *all_built;

static cl_program build_program(const fc_host *host, const char *source, const char *options)
{
    const fc_cl *cl = &host->cl;
    char with[512];
    for (const fc_built *b = all_built; b; b = b->next)
        if (strcmp(b->source, source) == 0 && strcmp(b->options, options) == 0)
            return b->program;
    snprintf(with, sizeof with, "%s -cl-kernel-arg-info", options);
    cl_program program = cl->clCreateProgramWithSource(host->context, 1, &source, NULL, NULL);
    if (!program || cl->clBuildProgram(program, 1, &host->device, with, NULL, NULL))
        return NULL;
    fc_built *b = calloc(1, sizeof *b);
    *b = (fc_built){all_built, strdup(source), strdup(options), program};
    all_built = b;
    return program;
}

/* Builds what is inside a text. */
static cu_result build(const fc_host *host, fc_module *m, const char *source, const char *options)
{
    char names[4096] = "", *rest;
    cu_result code = CU_SUCCESS;
    m->program = build_program(host, source, options);
    if (!m->program || host->cl.clGetProgramInfo(m->program, CL_PROGRAM_KERNEL_NAMES, sizeof names, names, NULL))
        return CU_INVALID_IMAGE;
    for (char *name = strtok_r(names, ";", &rest); name && !code; name = strtok_r(NULL, ";", &rest))
        code = add_function(host, m, name, strstr(source, "#define KCL_REAL_F64") ? 8 : 4);
    return code;
}

/* Takes PTX, or a cubin. */
FC_EXPORT cu_result cuModuleLoadData(void **module, const void *image)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    if (!code && fc_is_forbidden())
        code = CU_CAPTURE_UNSUPPORTED;
    fake_cuda.loads += !code;
    fc_end(code);
    if (code)
        return code;
    const size_t head = sizeof cubin_head - 1;
    const bool is_cubin = strncmp(image, cubin_head, head) == 0;
    const char *text = (const char *)image + (is_cubin ? head : 0), *problem;
    char *options = NULL, *source = fc_read_ptx(text, strlen(text), true, &options, &problem);
    if (!source)
        return strncmp(image, "\177ELF", 4) == 0 ? CU_INVALID_IMAGE : CU_INVALID_PTX;
    fc_module *m = calloc(1, sizeof *m);
    m->context = context;
    pthread_mutex_lock(&fc_compute);
    code = build(fc_open_host(), m, source, options);
    if (code)
        free_module(m);
    pthread_mutex_unlock(&fc_compute);
    free(source);
    free(options);
    if (code)
        return code;
    pthread_mutex_lock(&fc_world);
    m->next = modules;
    *module = modules = m;
    fake_cuda.live_modules++;
    return fc_end(CU_SUCCESS);
}

/* With the lock of the world, which is let go meanwhile. */
static void unload(fc_module **link)
{
    fc_module *m = *link;
    *link = m->next;
    fake_cuda.live_modules--;
    fake_cuda.early_unloads += m->pending > 0;
    while (m->pending)
        pthread_cond_wait(&fc_changed, &fc_world);
    pthread_mutex_unlock(&fc_world);
    pthread_mutex_lock(&fc_compute);
    free_module(m);
    pthread_mutex_unlock(&fc_compute);
    pthread_mutex_lock(&fc_world);
}

static fc_module **find_module(const fc_context *context, const void *handle)
{
    fc_module **link = &modules;
    while (*link && (*link != handle || (*link)->context != context))
        link = &(*link)->next;
    return link;
}

void fc_unload_all(fc_context *context)
{
    for (fc_module **link = &modules; *link;) {
        if ((*link)->context == context) {
            unload(link);
            link = &modules;
        } else {
            link = &(*link)->next;
        }
    }
}

FC_EXPORT cu_result cuModuleUnload(void *module)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    fc_module **link = find_module(context, module);
    if (!code && !*link)
        code = CU_INVALID_HANDLE;
    if (!code)
        unload(link);
    return fc_end(code);
}

FC_EXPORT cu_result cuModuleGetFunction(void **function, void *module, const char *name)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    const fc_module *m = *find_module(context, module);
    fc_function *f = m ? m->functions : NULL;
    while (f && strcmp(f->name, name) != 0)
        f = f->next;
    if (!code && (!m || !f))
        code = m ? CU_NOT_FOUND : CU_INVALID_HANDLE;
    if (!code)
        *function = f;
    return fc_end(code);
}

/* A function of a module that is loaded, in any context; NULL: none. */
static fc_function *find_function(const void *handle)
{
    for (fc_module *m = modules; m; m = m->next)
        for (fc_function *f = m->functions; f; f = f->next)
            if (f == handle)
                return f;
    return NULL;
}

bool fc_is_function(const fc_function *function)
{
    return find_function(function) != NULL;
}

enum {
    MOST_THREADS = 0,
    SHARED = 1,
    CONSTANT = 2,
    LOCAL = 3,
    REGISTERS = 4,
    PTX = 5,
    BINARY = 6,
    CACHE = 7,
    DYNAMIC = 8
};

FC_EXPORT cu_result cuFuncGetAttribute(int *value, int what, void *function)
{
    cu_result code = fc_begin(__func__);
    const fc_function *f = find_function(function);
    if (!code && !f)
        code = CU_INVALID_HANDLE;
    if (code)
        return fc_end(code);
    const int values[] = {FC_BLOCK, (int)f->local, 0, 0, 40, 90, 90, 0, f->dynamic};
    if (what < 0 || what > DYNAMIC)
        return fc_end(CU_INVALID_VALUE);
    *value = values[what];
    return fc_end(CU_SUCCESS);
}

FC_EXPORT cu_result cuFuncSetAttribute(void *function, int what, int value)
{
    enum { CARVEOUT = 9 };
    cu_result code = fc_begin(__func__);
    fc_function *f = find_function(function);
    if (!code && !f)
        code = CU_INVALID_HANDLE;
    if (!code && (value < -1 || (what != DYNAMIC && what != CARVEOUT) ||
                  (what == DYNAMIC && (size_t)value + f->local > FC_SHARED)))
        code = CU_INVALID_VALUE;
    if (!code && what == DYNAMIC)
        f->dynamic = value;
    return fc_end(code);
}

/* ---- Launches ---------------------------------------------------------------------------------------------------- */

static cu_result check_launch(const fc_task *t, unsigned shared, void **parameters, void **extra)
{
    const fc_function *f = t->function;
    const unsigned most_grid[3] = {2147483647, 65535, 65535}, most_block[3] = {FC_BLOCK, FC_BLOCK, 64};
    unsigned long long threads = 1;
    if (extra || shared || (f->count && !parameters))
        return CU_INVALID_VALUE;
    for (int k = 0; k < 3; k++) {
        if (!t->grid[k] || t->grid[k] > most_grid[k] || !t->block[k] || t->block[k] > most_block[k] ||
            (f->group[0] && t->block[k] != f->group[k]))
            return CU_INVALID_VALUE;
        threads *= t->block[k];
    }
    if (threads > FC_BLOCK)
        return CU_INVALID_VALUE;
    return threads > fake_cuda.most_threads ? CU_LAUNCH_OUT_OF_RESOURCES : CU_SUCCESS;
}

/* Arguments are read before the call returns. */
FC_EXPORT cu_result cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                                   unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **parameters,
                                   void **extra)
{
    fc_context *context;
    cu_result code = fc_begin_in(__func__, &context);
    fc_task task = {.kind = FC_LAUNCH, .grid = {grid_x, grid_y, grid_z}, .block = {block_x, block_y, block_z}};
    fc_stream *s = code ? NULL : fc_stream_of(context, stream);
    task.function = find_function(function);
    if (!code && (!s || !task.function || task.function->module->context != context))
        code = CU_INVALID_HANDLE;
    if (!code)
        code = check_launch(&task, shared, parameters, extra);
    for (unsigned k = 0; !code && k < task.function->count; k++) {
        const size_t size = task.function->sizes[k];
        if (!parameters[k])
            code = CU_INVALID_VALUE;
        else
            memcpy(task.arguments[k], parameters[k], size ? size : sizeof(cu_pointer));
    }
    if (code)
        return fc_end(code);
    fake_cuda.launches++;
    fc_log("cuLaunchKernel", stream, 0, 0);
    return fc_end(fc_give(s, &task));
}

/* A buffer on the memory at an address, to the end of its allocation; one address may be given by several arguments. */
static cu_result set_pointer(const fc_host *host, const fc_task *task, cl_uint index, cl_mem *buffer)
{
    cu_pointer pointer;
    size_t left = 0;
    memcpy(&pointer, task->arguments[index], sizeof pointer);
    *buffer = NULL;
    if (!pointer)
        return host->cl.clSetKernelArg(task->function->kernel, index, sizeof *buffer, NULL) ? CU_LAUNCH_FAILED
                                                                                            : CU_SUCCESS;
    pthread_mutex_lock(&fc_world);
    unsigned char *at = fc_find(task->function->module->context, pointer, 0, &left);
    pthread_mutex_unlock(&fc_world);
    if (!at)
        return CU_ILLEGAL_ADDRESS;
    *buffer = host->cl.clCreateBuffer(host->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, left ? left : FC_GUARD,
                                      at, NULL);
    return *buffer && !host->cl.clSetKernelArg(task->function->kernel, index, sizeof *buffer, buffer)
               ? CU_SUCCESS
               : CU_LAUNCH_FAILED;
}

cu_result fc_run_kernel(fc_task *task)
{
    const fc_host *host = fc_open_host();
    const fc_cl *cl = &host->cl;
    const fc_function *f = task->function;
    cl_mem buffers[FC_ARGUMENTS] = {NULL};
    size_t global[3], local[3];
    cu_result code = CU_SUCCESS;
    pthread_mutex_lock(&fc_compute);
    for (cl_uint k = 0; k < f->count && !code; k++) {
        if (!f->sizes[k])
            code = set_pointer(host, task, k, &buffers[k]);
        else if (cl->clSetKernelArg(f->kernel, k, f->sizes[k], task->arguments[k]))
            code = CU_LAUNCH_FAILED;
    }
    for (int k = 0; k < 3; k++) {
        local[k] = task->block[k];
        global[k] = (size_t)task->grid[k] * task->block[k];
    }
    if (!code && (cl->clEnqueueNDRangeKernel(host->queue, f->kernel, 3, NULL, global, local, 0, NULL, NULL) ||
                  cl->clFinish(host->queue)))
        code = CU_LAUNCH_FAILED;
    for (cl_uint k = 0; k < f->count; k++)
        if (buffers[k])
            cl->clReleaseMemObject(buffers[k]);
    pthread_mutex_unlock(&fc_compute);
    return code;
}
