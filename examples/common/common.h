/* SPDX-License-Identifier: MIT */
/*
 * What the examples share: memory, timing and its report, pictures. Not part of the library.
 */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <keopscl/keopscl.h>

#include <stdbool.h>

/* The name that messages begin with. Each example defines it. */
extern const char program[];

/* Prints "program: " and the message on standard error. Exit status 1. */
_Noreturn void fail(const char *format, ...);

/* Zeroed memory, which the caller frees. Fails where there is none. */
void *allocate(size_t count, size_t size);

/* Creates the context that the environment asks for, or fails. */
kcl_context *create_context(void);

/* Seconds that calls took. */
typedef struct timing {
    double first; /* the first call, the kernel built or loaded */
    double best;  /* of the other `calls` */
    int calls;
} timing;

/* Calls `call` once, then at most `repeats` times or for `limit` seconds, whichever ends first. A failed call fails. */
timing time_calls(kcl_status (*call)(void *user), void *user, kcl_context *context, int repeats, double limit);

/* Prints the device of `context`. */
void print_device(const kcl_context *context);

/* Prints both times and the rate of `pairs` pairs a call; `pair` tells what a pair is. */
void print_timing(timing t, double pairs, const char *pair);

/*
 * Writes `name`.png (.ppm where built without libpng) from rows of pixels of 3 bytes, prints its name and caption, and
 * tells whether it could.
 */
bool write_picture(const char *name, int width, int height, const unsigned char *rgb, const char *caption);

#endif
