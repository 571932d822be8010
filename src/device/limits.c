/* SPDX-License-Identifier: MIT */
/* device/limits.c: what is known of a kernel once it is built. */
#include "internal.h"

#include <ctype.h>
#include <string.h>

/* ---- The build log of NVIDIA's compiler -------------------------------------------------------------------------- */

/*
 * Lines like
 *
 *     ptxas info    : Compiling entry function 'sweep' for 'sm_90'
 *     ptxas info    : Function properties for sweep
 *         0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
 *     ptxas info    : Used 40 registers, used 1 barriers, 4096 bytes smem, 400 bytes cmem[0]
 */
typedef struct span {
    const char *text;
    size_t length;
} span;

static const char *find(span line, const char *part)
{
    size_t n = strlen(part);
    for (size_t k = 0; k + n <= line.length; k++)
        if (memcmp(line.text + k, part, n) == 0)
            return line.text + k;
    return NULL;
}

/* Reads the name after `title`, with or without quotes. */
static bool read_name(span line, const char *title, span *name)
{
    const char *p = find(line, title), *end = line.text + line.length;
    if (!p)
        return false;
    for (p += strlen(title); p < end && (isspace((unsigned char)*p) || *p == '\''); p++) {
    }
    *name = (span){p, 0};
    while (p < end && (isalnum((unsigned char)*p) || *p == '_' || *p == '$'))
        p++;
    name->length = (size_t)(p - name->text);
    return true;
}

/* The number in front of `unit`; -1: no number. */
static int64_t number_before(span line, const char *unit)
{
    const char *p = find(line, unit);
    int64_t value = 0, place = 1;
    if (!p || p == line.text || !isdigit((unsigned char)p[-1]))
        return -1;
    while (p > line.text && isdigit((unsigned char)p[-1]) && place < INT64_C(1000000000000)) {
        value += (*--p - '0') * place;
        place *= 10;
    }
    return value;
}

static bool is(span name, const char *text)
{
    return name.length && name.length == strlen(text) && memcmp(name.text, text, name.length) == 0;
}

void kd_read_build_log(const char *log, const char *kernel, kd_limits *limits)
{
    span entry = {NULL, 0}, function = {NULL, 0};
    while (*log) {
        span line = {log, strcspn(log, "\r\n")};
        log += line.length + (log[line.length] != 0);
        if (read_name(line, "Compiling entry function", &entry)) {
            function = entry;
            continue;
        }
        /* Functions that kernels call have properties of their own, between the properties of the kernels. */
        if (read_name(line, "Function properties for", &function))
            continue;
        int64_t stores = number_before(line, " bytes spill stores"), loads = number_before(line, " bytes spill loads");
        int64_t stack = number_before(line, " bytes stack frame"), registers = number_before(line, " registers");
        if (is(function, kernel) && stores >= 0 && loads >= 0)
            limits->spilled = stores + loads;
        if (is(function, kernel) && stack >= 0)
            limits->stack = stack;
        if (registers < 0 || registers > 100000 || !is(entry.length ? entry : function, kernel))
            continue;
        limits->registers = (int)registers;
        /* Older compilers report private memory only here. */
        if (limits->stack < 0)
            limits->stack = number_before(line, " bytes lmem");
    }
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

const kd_limits *kd_kernel_limits(kcl_context *c, kd_kernel *k)
{
    const kcl_device *d = c->device;
    kd_limits *l = &k->limits;
    if (k->has_limits)
        return l;
    cl_ulong local = 0, own = 0;
    *l = (kd_limits){.registers = -1, .spilled = -1, .stack = -1};
#define GET(what, variable)                                                                                            \
    if (d->cl.clGetKernelWorkGroupInfo(k->kernel, d->id, what, sizeof variable, &variable, NULL))                      \
    variable = 0
    GET(CL_KERNEL_WORK_GROUP_SIZE, l->work_group);
    GET(CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, l->multiple);
    GET(CL_KERNEL_LOCAL_MEM_SIZE, local);
    GET(CL_KERNEL_PRIVATE_MEM_SIZE, own);
#undef GET
    l->local_memory = (size_t)local;
    l->private_memory = (size_t)own;
    if (k->program->notes)
        kd_read_build_log(k->program->notes, k->name, l);
    k->has_limits = true;
    return l;
}
