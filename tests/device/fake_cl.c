/* SPDX-License-Identifier: MIT */
#include "fake_cl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fake_state fake;

#define FULL CL_TRUE, CL_TRUE
static const fake_device pocl_devices[] = {{"pthread-test processor", "OpenCL 3.0 PoCL", CL_DEVICE_TYPE_CPU, 8, 2000,
                                            16, 8, FULL, CL_TRUE, CL_TRUE, 63, 8000000000u, 1 << 20}};
static const fake_device other_devices[] = {{"  Other CPU  ", "OpenCL 2.1 (Build 0)", CL_DEVICE_TYPE_CPU, 4, 2000, 8, 4,
                                             FULL, CL_TRUE, CL_FALSE, 63, 8000000000u, 1 << 20}};
static const fake_device gpu_devices[] = {{"Shared iGPU", "OpenCL 3.0 CUTE", CL_DEVICE_TYPE_GPU, 96, 1500, 1, 0, FULL,
                                           CL_TRUE, CL_FALSE, 0, 8000000000u, 1 << 20},
                                          {"Big GPU", "OpenCL 3.0 CUTE", CL_DEVICE_TYPE_GPU, 32, 1500, 1, 1, FULL,
                                           CL_FALSE, CL_FALSE, 63, 16000000000u, 1 << 20}};
static const fake_device old_devices[] = {
    {"Old CPU", "OpenCL 1.1 old", CL_DEVICE_TYPE_CPU, 64, 9000, 4, 2, FULL, CL_TRUE, CL_FALSE, 63, 1 << 30, 1 << 20},
    {"Half GPU", "OpenCL 1.2 x", CL_DEVICE_TYPE_GPU, 64, 9000, 4, 2, CL_TRUE, CL_FALSE, CL_TRUE, CL_FALSE, 63, 1 << 30,
     1 << 20},
    {"Lost GPU", "OpenCL 1.2 x", CL_DEVICE_TYPE_GPU, 64, 9000, 4, 2, CL_FALSE, CL_TRUE, CL_TRUE, CL_FALSE, 63, 1 << 30,
     1 << 20}};
static const fake_platform platforms[] = {
    {"Portable Computing Language", "OpenCL 3.0 PoCL test", CL_SUCCESS, 1, pocl_devices},
    {"Other vendor's CPUs", "OpenCL 2.1", CL_SUCCESS, 1, other_devices},
    {"Vendor", "OpenCL 3.0", CL_SUCCESS, 2, gpu_devices},
    {"Broken", "OpenCL 3.0", CL_OUT_OF_RESOURCES, 1, gpu_devices},
    {"None", "OpenCL 3.0", CL_DEVICE_NOT_FOUND, 0, NULL},
    {"Old", "OpenCL 1.1", CL_SUCCESS, 3, old_devices},
};

/* ---- Objects: kept after their release, so that using one is noticed -------------------------------------------- */

enum { CONTEXT = 1, QUEUE, PROGRAM, KERNEL, BUFFER, SUB_DEVICE, EVENT };

typedef struct object {
    struct object *next;
    int kind, references; /* 0: released */
    char *source;         /* program */
    bool built, launched;
    int last_launch;        /* kernel */
    char *name;             /* kernel */
    struct object *program; /* kernel */
    struct object *mem[8];  /* kernel: arguments that are buffers */
    int value[8];           /* kernel: arguments of 4 bytes */
    char *data, *host;      /* buffer */
    size_t size;
    const void *device;     /* sub-device: the whole one; context, queue: their device */
    struct object *context; /* queue, buffer */
    bool in_place;          /* context */
} object;

static object *objects;

static object *new_object(int kind)
{
    object *o = calloc(1, sizeof *o);
    o->kind = kind;
    o->references = 1;
    o->next = objects;
    objects = o;
    fake.live++;
    return o;
}

static object *use(void *handle, int kind)
{
    object *o = handle;
    if (!o || o->kind != kind || !o->references) {
        fprintf(stderr, "fake OpenCL: an object of kind %d is used that is not one or was released\n", kind);
        abort();
    }
    return o;
}

static void release(void *handle, int kind)
{
    object *o = use(handle, kind);
    fake.early_releases += kind == KERNEL && o->last_launch > fake.finished;
    fake.live -= --o->references == 0;
}

void fake_reset(void)
{
    while (objects) {
        object *next = objects->next;
        if (objects->data != objects->host)
            free(objects->data);
        free(objects->source);
        free(objects->name);
        free(objects);
        objects = next;
    }
    fake = (fake_state){.platforms = platforms,
                        .platform_count = KB_COUNT(platforms),
                        .fail_code = CL_OUT_OF_RESOURCES,
                        .told_group = 1024,
                        .most_group = 1024,
                        .group_code = CL_INVALID_WORK_GROUP_SIZE,
                        .build_log = "line 1: error: #error"};
}

static bool fails(const char *call)
{
    if (++fake.calls == fake.fail_at || (fake.fail_call && strcmp(fake.fail_call, call) == 0)) {
        fake.failed = true;
        return true;
    }
    return false;
}

#define FAILS                                                                                                          \
    if (fails(__func__ + 5))                                                                                           \
    return fake.fail_code
#define FAILS_CREATE                                                                                                   \
    if (fails(__func__ + 5)) {                                                                                         \
        *error = fake.fail_code;                                                                                       \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    *error = CL_SUCCESS

static cl_int answer(const void *data, size_t length, size_t size, void *value, size_t *need)
{
    if (need)
        *need = length;
    if (value && size < length)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, data, length);
    return CL_SUCCESS;
}

#define ANSWER(x) answer(&(x), sizeof(x), size, value, need)
#define ANSWER_TEXT(x) answer(x, strlen(x) + 1, size, value, need)

/* ---- The calls --------------------------------------------------------------------------------------------------- */

static cl_int fake_clGetPlatformIDs(cl_uint most, cl_platform_id *ids, cl_uint *count)
{
    FAILS;
    if (fake.platforms_answer)
        return fake.platforms_answer;
    for (cl_uint k = 0; ids && k < most && k < fake.platform_count; k++)
        ids[k] = (cl_platform_id)(uintptr_t)&fake.platforms[k];
    if (count)
        *count = fake.platform_count;
    return CL_SUCCESS;
}

static cl_int fake_clGetPlatformInfo(cl_platform_id id, cl_platform_info what, size_t size, void *value, size_t *need)
{
    FAILS;
    const fake_platform *p = (const fake_platform *)id;
    return ANSWER_TEXT(what == CL_PLATFORM_NAME ? p->name : p->version);
}

static cl_int fake_clGetDeviceIDs(cl_platform_id id, cl_device_type type, cl_uint most, cl_device_id *ids,
                                  cl_uint *count)
{
    FAILS;
    const fake_platform *p = (const fake_platform *)id;
    (void)type;
    if (p->answer)
        return p->answer;
    for (cl_uint k = 0; ids && k < most && k < p->count; k++)
        ids[k] = (cl_device_id)(uintptr_t)&p->devices[k];
    if (count)
        *count = p->count;
    return CL_SUCCESS;
}

/* The whole device of a device or of a part of one. */
static const fake_device *whole(const void *device)
{
    for (const object *o = objects; o; o = o->next)
        if (o == device)
            return o->device;
    return device;
}

static cl_int fake_clGetDeviceInfo(cl_device_id id, cl_device_info what, size_t size, void *value, size_t *need)
{
    FAILS;
    const fake_device *d = whole(id);
    const void *platform = NULL;
    for (cl_uint k = 0; k < fake.platform_count; k++)
        for (cl_uint m = 0; m < fake.platforms[k].count; m++)
            platform = &fake.platforms[k].devices[m] == d ? &fake.platforms[k] : platform;
    const cl_device_id parent = d == (const fake_device *)id ? NULL : (cl_device_id)(uintptr_t)d;
    const size_t group = 4096, sizes[3] = {1024, 1024, 64};
    const cl_ulong local = 32768;
    switch (what) {
    case CL_DEVICE_PLATFORM:
        return ANSWER(platform);
    case CL_DEVICE_PARENT_DEVICE:
        return ANSWER(parent);
    case CL_DEVICE_NAME:
        return ANSWER_TEXT(d->name);
    case CL_DEVICE_VERSION:
        return ANSWER_TEXT(d->version);
    case CL_DRIVER_VERSION:
        return ANSWER_TEXT("7.0");
    case CL_DEVICE_TYPE:
        return ANSWER(d->type);
    case CL_DEVICE_MAX_COMPUTE_UNITS:
        return ANSWER(d->units);
    case CL_DEVICE_MAX_CLOCK_FREQUENCY:
        return ANSWER(d->clock);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
        return ANSWER(d->memory);
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
        return ANSWER(d->max_buffer);
    case CL_DEVICE_AVAILABLE:
        return ANSWER(d->available);
    case CL_DEVICE_COMPILER_AVAILABLE:
        return ANSWER(d->compiler);
    case CL_DEVICE_HOST_UNIFIED_MEMORY:
        return ANSWER(d->unified);
    case CL_DEVICE_DOUBLE_FP_CONFIG:
        return ANSWER(d->f64);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        return ANSWER(group);
    case CL_DEVICE_MAX_WORK_ITEM_SIZES:
        return ANSWER(sizes);
    case CL_DEVICE_LOCAL_MEM_SIZE:
        return ANSWER(local);
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT:
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT:
        return ANSWER(d->lanes_f32);
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE:
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_DOUBLE:
        return ANSWER(d->lanes_f64);
    }
    return CL_INVALID_VALUE;
}

static cl_int fake_clCreateSubDevices(cl_device_id id, const cl_device_partition_property *part, cl_uint most,
                                      cl_device_id *out, cl_uint *count)
{
    FAILS;
    const fake_device *d = (const fake_device *)id;
    if (!d->partitions || part[0] != CL_DEVICE_PARTITION_BY_COUNTS || most < 1)
        return CL_DEVICE_PARTITION_FAILED;
    object *o = new_object(SUB_DEVICE);
    o->device = d;
    fake.sub_device_units = (size_t)part[1];
    *out = (cl_device_id)o;
    *count = 1;
    return CL_SUCCESS;
}

/* Releases do their work even when they report a failure: a caller could do nothing about the failure. */
#define RELEASE(call, type, kind)                                                                                      \
    static cl_int fake_##call(type handle)                                                                             \
    {                                                                                                                  \
        release(handle, kind);                                                                                         \
        FAILS;                                                                                                         \
        return CL_SUCCESS;                                                                                             \
    }
RELEASE(clReleaseDevice, cl_device_id, SUB_DEVICE)
RELEASE(clReleaseContext, cl_context, CONTEXT)
RELEASE(clReleaseCommandQueue, cl_command_queue, QUEUE)
RELEASE(clReleaseProgram, cl_program, PROGRAM)
RELEASE(clReleaseKernel, cl_kernel, KERNEL)
RELEASE(clReleaseMemObject, cl_mem, BUFFER)
RELEASE(clReleaseEvent, cl_event, EVENT)

#define RETAIN(call, type, kind)                                                                                       \
    static cl_int fake_##call(type handle)                                                                             \
    {                                                                                                                  \
        object *o = use(handle, kind);                                                                                 \
        FAILS;                                                                                                         \
        o->references++;                                                                                               \
        return CL_SUCCESS;                                                                                             \
    }
RETAIN(clRetainContext, cl_context, CONTEXT)
RETAIN(clRetainCommandQueue, cl_command_queue, QUEUE)
RETAIN(clRetainMemObject, cl_mem, BUFFER)

static cl_int fake_clGetContextInfo(cl_context handle, cl_context_info what, size_t size, void *value, size_t *need)
{
    object *o = use(handle, CONTEXT);
    FAILS;
    return what == CL_CONTEXT_DEVICES ? ANSWER(o->device) : CL_INVALID_VALUE;
}

static cl_int fake_clGetCommandQueueInfo(cl_command_queue handle, cl_command_queue_info what, size_t size, void *value,
                                         size_t *need)
{
    object *o = use(handle, QUEUE);
    const cl_command_queue_properties properties = 0;
    FAILS;
    return what == CL_QUEUE_CONTEXT  ? ANSWER(o->context)
           : what == CL_QUEUE_DEVICE ? ANSWER(o->device)
                                     : ANSWER(properties);
}

static cl_int fake_clGetMemObjectInfo(cl_mem handle, cl_mem_info what, size_t size, void *value, size_t *need)
{
    object *o = use(handle, BUFFER);
    const cl_mem_object_type type = CL_MEM_OBJECT_BUFFER;
    const cl_mem_flags flags = CL_MEM_READ_WRITE;
    const cl_mem parent = NULL;
    FAILS;
    switch (what) {
    case CL_MEM_TYPE:
        return ANSWER(type);
    case CL_MEM_FLAGS:
        return ANSWER(flags);
    case CL_MEM_SIZE:
        return ANSWER(o->size);
    case CL_MEM_CONTEXT:
        return ANSWER(o->context);
    case CL_MEM_ASSOCIATED_MEMOBJECT:
        return ANSWER(parent);
    }
    return CL_INVALID_VALUE;
}

static cl_context fake_clCreateContext(const cl_context_properties *properties, cl_uint count, const cl_device_id *ids,
                                       void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *),
                                       void *user, cl_int *error)
{
    (void)properties, (void)count, (void)notify, (void)user;
    FAILS_CREATE;
    object *c = new_object(CONTEXT);
    c->device = ids[0];
    c->in_place = whole(ids[0]) == &pocl_devices[0];
    return (cl_context)c;
}

static cl_command_queue fake_clCreateCommandQueue(cl_context c, cl_device_id id, cl_command_queue_properties properties,
                                                  cl_int *error)
{
    (void)properties;
    object *context = use(c, CONTEXT);
    FAILS_CREATE;
    object *o = new_object(QUEUE);
    o->device = id;
    o->context = context;
    return (cl_command_queue)o;
}

static char *copy_text(const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    return strcpy(copy, text);
}

static cl_program fake_clCreateProgramWithSource(cl_context c, cl_uint count, const char **texts, const size_t *lengths,
                                                 cl_int *error)
{
    (void)count, (void)lengths;
    use(c, CONTEXT);
    FAILS_CREATE;
    object *o = new_object(PROGRAM);
    o->source = copy_text(texts[0]);
    return (cl_program)o;
}

static cl_program fake_clCreateProgramWithBinary(cl_context c, cl_uint count, const cl_device_id *ids,
                                                 const size_t *sizes, const unsigned char **binaries, cl_int *status,
                                                 cl_int *error)
{
    (void)count, (void)ids;
    use(c, CONTEXT);
    FAILS_CREATE;
    if (fake.refuse_binaries || sizes[0] < 6 || memcmp(binaries[0], "FAKE", 4) != 0 || binaries[0][4] != '1') {
        *status = *error = CL_INVALID_BINARY;
        return NULL;
    }
    object *o = new_object(PROGRAM);
    o->source = copy_text((const char *)binaries[0] + 5);
    *status = CL_SUCCESS;
    return (cl_program)o;
}

static cl_int fake_clBuildProgram(cl_program program, cl_uint count, const cl_device_id *ids, const char *options,
                                  void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    (void)count, (void)ids, (void)notify, (void)user;
    object *o = use(program, PROGRAM);
    FAILS;
    fake.builds++;
    snprintf(fake.build_options, sizeof fake.build_options, "%s", options);
    if (strstr(o->source, "#error"))
        return CL_BUILD_PROGRAM_FAILURE;
    o->built = true;
    return CL_SUCCESS;
}

static cl_int fake_clGetProgramInfo(cl_program program, cl_program_info what, size_t size, void *value, size_t *need)
{
    object *o = use(program, PROGRAM);
    (void)need;
    FAILS;
    size_t length = strlen(o->source) + 6;
    if (what == CL_PROGRAM_BINARY_SIZES)
        return ANSWER(length);
    sprintf(*(char **)value, "FAKE%d%s", o->launched, o->source);
    return CL_SUCCESS;
}

static cl_int fake_clGetProgramBuildInfo(cl_program program, cl_device_id id, cl_program_build_info what, size_t size,
                                         void *value, size_t *need)
{
    (void)id, (void)what;
    use(program, PROGRAM);
    FAILS;
    return ANSWER_TEXT(fake.build_log);
}

static cl_kernel fake_clCreateKernel(cl_program program, const char *name, cl_int *error)
{
    object *p = use(program, PROGRAM);
    FAILS_CREATE;
    if (!p->built || !strstr(p->source, name)) {
        *error = CL_INVALID_KERNEL_NAME;
        return NULL;
    }
    object *o = new_object(KERNEL);
    o->name = copy_text(name);
    o->program = p;
    return (cl_kernel)o;
}

static cl_int fake_clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id id, cl_kernel_work_group_info what,
                                            size_t size, void *value, size_t *need)
{
    use(kernel, KERNEL);
    (void)id;
    FAILS;
    const size_t group = fake.told_group, multiple = 32;
    const cl_ulong bytes = what == CL_KERNEL_LOCAL_MEM_SIZE ? 4096 : 48;
    return what == CL_KERNEL_WORK_GROUP_SIZE                      ? ANSWER(group)
           : what == CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE ? ANSWER(multiple)
                                                                  : ANSWER(bytes);
}

static cl_int fake_clSetKernelArg(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
    object *o = use(kernel, KERNEL);
    FAILS;
    fake.set_args++;
    if (index >= 8)
        return CL_INVALID_ARG_INDEX;
    o->mem[index] = NULL;
    if (size == sizeof o->mem[index])
        memcpy(&o->mem[index], value, size);
    else
        memcpy(&o->value[index], value, sizeof o->value[index]);
    return CL_SUCCESS;
}

/*
 * The first device works in place. Other devices do as OpenCL allows: a copy of their own, which a map brings up to
 * date.
 */
static cl_mem fake_clCreateBuffer(cl_context c, cl_mem_flags flags, size_t size, void *host, cl_int *error)
{
    object *context = use(c, CONTEXT);
    FAILS_CREATE;
    fake.buffers++;
    if (!size) {
        *error = CL_INVALID_BUFFER_SIZE;
        return NULL;
    }
    object *o = new_object(BUFFER);
    o->context = context;
    o->size = size;
    o->host = flags & CL_MEM_USE_HOST_PTR ? host : NULL;
    o->data = o->host && context->in_place ? o->host : malloc(size);
    if (o->host && o->data != o->host)
        memcpy(o->data, o->host, size);
    return (cl_mem)o;
}

static cl_int fake_clGetEventInfo(cl_event event, cl_event_info what, size_t size, void *value, size_t *size_back)
{
    use(event, EVENT);
    (void)what, (void)size, (void)size_back;
    FAILS;
    *(cl_uint *)value = 1;
    return CL_SUCCESS;
}

static cl_int fake_clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel kernel, cl_uint dim, const size_t *offset,
                                          const size_t *global, const size_t *local, cl_uint n, const cl_event *list,
                                          cl_event *event)
{
    use(q, QUEUE);
    object *k = use(kernel, KERNEL);
    (void)dim, (void)offset, (void)global, (void)n, (void)list;
    FAILS;
    if (local[0] * local[1] * local[2] > fake.most_group)
        return fake.group_code;
    fake.last_group = local[0] * local[1] * local[2];
    if (event)
        *event = (cl_event)new_object(EVENT);
    k->last_launch = ++fake.launches;
    k->program->launched = true;
    for (int a = 0; a < 8; a++)
        if (k->mem[a])
            use(k->mem[a], BUFFER);
    if (strcmp(k->name, "twice") != 0)
        return CL_SUCCESS;
    const float *in = (const float *)k->mem[0]->data;
    float *out = (float *)k->mem[1]->data;
    for (int i = 0; i < k->value[2]; i++)
        out[i] = 2 * in[i];
    return CL_SUCCESS;
}

static cl_int fake_clEnqueueWriteBuffer(cl_command_queue q, cl_mem mem, cl_bool wait, size_t offset, size_t size,
                                        const void *data, cl_uint n, const cl_event *list, cl_event *event)
{
    use(q, QUEUE);
    object *o = use(mem, BUFFER);
    (void)wait, (void)n, (void)list, (void)event;
    FAILS;
    fake.writes++;
    memcpy(o->data + offset, data, size);
    return CL_SUCCESS;
}

static cl_int fake_clEnqueueReadBuffer(cl_command_queue q, cl_mem mem, cl_bool wait, size_t offset, size_t size,
                                       void *data, cl_uint n, const cl_event *list, cl_event *event)
{
    use(q, QUEUE);
    object *o = use(mem, BUFFER);
    (void)wait, (void)n, (void)list, (void)event;
    FAILS;
    fake.reads++;
    memcpy(data, o->data + offset, size);
    return CL_SUCCESS;
}

static void *fake_clEnqueueMapBuffer(cl_command_queue q, cl_mem mem, cl_bool wait, cl_map_flags flags, size_t offset,
                                     size_t size, cl_uint n, const cl_event *list, cl_event *event, cl_int *error)
{
    use(q, QUEUE);
    object *o = use(mem, BUFFER);
    (void)wait, (void)flags, (void)n, (void)list, (void)event;
    FAILS_CREATE;
    fake.maps++;
    memcpy(o->host + offset, o->data + offset, size);
    return o->host + offset;
}

static cl_int fake_clEnqueueUnmapMemObject(cl_command_queue q, cl_mem mem, void *at, cl_uint n, const cl_event *list,
                                           cl_event *event)
{
    use(q, QUEUE);
    use(mem, BUFFER);
    (void)at, (void)n, (void)list, (void)event;
    FAILS;
    return CL_SUCCESS;
}

static cl_int fake_clFlush(cl_command_queue q)
{
    use(q, QUEUE);
    FAILS;
    fake.flushes++;
    return CL_SUCCESS;
}

static cl_int fake_clFinish(cl_command_queue q)
{
    use(q, QUEUE);
    FAILS;
    fake.finishes++;
    fake.finished = fake.launches;
    return CL_SUCCESS;
}

const kd_cl fake_cl = {
#define KD_CALL(result, name, parameters, arguments) .name = fake_##name,
#include "cl_calls.def"
};

cl_int CL_API_CALL fake_set_any_arg(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
    (void)size;
    return fake_cl.clSetKernelArg(kernel, index % 8, sizeof(cl_uint), value);
}

kd_cl fake_table(void)
{
    kd_cl table = fake_cl;
    table.clSetKernelArg = fake_set_any_arg;
    return table;
}
