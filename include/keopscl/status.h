/* SPDX-License-Identifier: MIT */
/*
 * keopscl/status.h: results of calls, symbol visibility, version.
 */
#ifndef KEOPSCL_STATUS_H
#define KEOPSCL_STATUS_H

#include <stddef.h>
#include <stdint.h>

#define KCL_VERSION_MAJOR 0
#define KCL_VERSION_MINOR 1
#define KCL_VERSION_PATCH 0

#ifdef __cplusplus
#define KCL_BEGIN extern "C" {
#define KCL_END }
#else
#define KCL_BEGIN
#define KCL_END
#endif

#if defined(KCL_BUILDING) && defined(__GNUC__)
#define KCL_API __attribute__((visibility("default")))
#else
#define KCL_API
#endif

KCL_BEGIN

/*
 * Every result a call can have: name, value, meaning. Failures are negative, so `if (kcl_eval(...) < 0)` is the check.
 * The sentence that tells what happened, where, and what to do is kept by the object that failed
 * (kcl_context_error, kcl_operator_error).
 */
#define KCL_STATUSES(X)                                                                                                \
    X(KCL_OK, 0, "done")                                                                                               \
    X(KCL_ERROR_NO_MEMORY, -1, "host memory is exhausted")                                                             \
    X(KCL_ERROR_ARGUMENT, -2, "an argument of a call is not valid")                                                    \
    X(KCL_ERROR_SYNTAX, -3, "the text of a formula cannot be read")                                                    \
    X(KCL_ERROR_SHAPE, -4, "dimensions inside a formula do not fit")                                                   \
    X(KCL_ERROR_LENGTH, -5, "lengths of arrays do not agree")                                                          \
    X(KCL_ERROR_TYPE, -6, "number types do not agree or are not supported")                                            \
    X(KCL_ERROR_NO_DEVICE, -7, "no device answers to the name")                                                        \
    X(KCL_ERROR_OPENCL, -8, "a call of the OpenCL driver failed")                                                      \
    X(KCL_ERROR_BUILD, -9, "the OpenCL driver refused a kernel")                                                       \
    X(KCL_ERROR_DEVICE_MEMORY, -10, "device memory is exhausted")                                                      \
    X(KCL_ERROR_FORKED, -11, "the process was forked after OpenCL was first used")                                     \
    X(KCL_ERROR_UNSUPPORTED, -12, "the device or schedule cannot do this")                                             \
    X(KCL_ERROR_DERIVATIVE, -13, "an operator has no derivative")                                                      \
    X(KCL_ERROR_IO, -14, "a file cannot be read or written")                                                           \
    X(KCL_ERROR_INTERNAL, -15, "a fault of the library itself")                                                        \
    X(KCL_ERROR_CANCELLED, -16, "the call was cancelled before it was done")                                           \
    X(KCL_ERROR_NOT_SOLVED, -17, "a linear system was not solved to its tolerance")

typedef enum kcl_status {
#define KCL_STATUS_ENUM(name, value, text) name = value,
    KCL_STATUSES(KCL_STATUS_ENUM)
#undef KCL_STATUS_ENUM
} kcl_status;

/* The constant's name, "KCL_ERROR_SHAPE"; "KCL_?" for a number that is no status. Static storage, never NULL. */
KCL_API const char *kcl_status_name(kcl_status status);

/* The meaning in a few words, as in the table above. Static storage, never NULL. */
KCL_API const char *kcl_status_text(kcl_status status);

/* Version of the library that runs, "0.1.0", in static storage; the macros above tell the version compiled against. */
KCL_API const char *kcl_version(void);

/*
 * Receives text in pieces (not terminated by a zero byte); for calls that write something of any length. The thread
 * that made the call calls it, during the call; it must not call anything of the library on what the call is about.
 */
typedef void (*kcl_write_fn)(void *user, const char *text, size_t length);

KCL_END

#endif
