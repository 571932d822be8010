/* SPDX-License-Identifier: MIT */
/*
 * What the examples share: memory, timing and its report, pictures. Not part of the library.
 */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <keopscl/keopscl.h>

#include <stdbool.h>
#include <stdint.h>

/* The name that messages begin with. Each example defines it. */
extern const char program[];

/* Prints "program: " and the message on standard error. Exit status 1. */
_Noreturn void fail(const char *format, ...);

/* Returns zeroed memory, which the caller frees. Fails if memory is exhausted. */
void *allocate(size_t count, size_t size);

/* Creates the context that the environment asks for, or fails. */
kcl_context *create_context(void);

/* Fails with the text of the context if `status` is an error. */
void require(kcl_status status, const kcl_context *context);

/* Returns a whole number of the command line, from 1 to `most`, or fails. */
int whole_number(const char *text, int most);

/* Returns the next random number of a sequence that `state` begins: uniform in [0,1), or normal of variance 1. */
double uniform(uint64_t *state);
double normal(uint64_t *state);

/*
 * count_programs() returns how many programs the context has built or read from disk. A loop that repeats a computation
 * on other numbers makes all programs in its first step: print_programs() prints their number, and fails if there are
 * more than `first`.
 */
uint64_t count_programs(const kcl_context *context);
void print_programs(const kcl_context *context, uint64_t first);

/* The time of day in seconds. */
double seconds(void);

/* Seconds that calls took. */
typedef struct timing {
    double first; /* the first call, the kernel built or loaded */
    double best;  /* the best of the `calls` calls after the first */
    int calls;
} timing;

/* Calls `call` once, then at most `repeats` times and not much longer than `limit` seconds. Fails if a call fails. */
timing time_calls(kcl_status (*call)(void *user), void *user, kcl_context *context, int repeats, double limit);

/* Prints the device of `context`. */
void print_device(const kcl_context *context);

/* Prints both times and the rate of `pairs` pairs a call. `pair` tells what a pair is. */
void print_timing(timing t, double pairs, const char *pair);

/*
 * Writes `name`.png (.ppm if built without libpng) from rows of pixels of 3 bytes, and prints the name and the caption.
 * Returns whether the file was written.
 */
bool write_picture(const char *name, int width, int height, const unsigned char *rgb, const char *caption);

/* A picture of a part of the plane, white at first. */
typedef struct canvas {
    int width, height;
    double left, top, scale; /* pixels a unit; y goes up */
    unsigned char *rgb;
} canvas;

/* Twelve colours that can be told apart. */
extern const unsigned char palette[12][3];

canvas canvas_create(double left, double bottom, double right, double top, int width);

/*
 * Draws a line with round ends, `width` pixels wide. A line from a point to itself is a disk. `opacity` is from 0 to 1.
 */
void draw_line(canvas *c, const double from[2], const double to[2], double width, const unsigned char colour[3],
               double opacity);

/* Writes the picture and frees its pixels. Returns whether the file was written. */
bool canvas_write(canvas *c, const char *name, const char *caption);

#endif
