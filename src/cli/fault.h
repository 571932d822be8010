/* SPDX-License-Identifier: MIT */
/* cli/fault.h: how a command of the tool ends. */
#ifndef CLI_FAULT_H
#define CLI_FAULT_H

/* Exit codes; scripts rely on them. */
enum {
    EXIT_DONE = 0,
    EXIT_COMPUTATION = 1,   /* the computation, a file or a device failed */
    EXIT_USAGE = 2,         /* the command line, or the formula in it, is wrong */
    EXIT_INTERRUPTED = 130, /* SIGINT, Ctrl-C: what shells make of the signal */
};

/*
 * What main() prints after "keopscl COMMAND: ": one line, and for a syntax error the text and a caret below the fault.
 */
typedef struct fault {
    char text[4608]; /* holds a library error of 4096 bytes and the tool's own words */
} fault;

#ifdef __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
/* Sets the text and returns `code`. */
int fail(fault *f, int code, const char *format, ...);

int fail_memory(fault *f);
int fail_output(fault *f); /* of standard output; errno tells why, 0: no longer known */

#endif
