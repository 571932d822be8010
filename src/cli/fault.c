/* SPDX-License-Identifier: MIT */
/* cli/fault.c */
#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fail(fault *f, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    return code;
}

int fail_memory(fault *f)
{
    return fail(f, EXIT_COMPUTATION, "memory is exhausted");
}

int fail_output(fault *f)
{
    return fail(f, EXIT_COMPUTATION, "standard output cannot be written: %s",
                errno ? strerror(errno) : "an earlier write failed");
}
