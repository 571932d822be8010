/* SPDX-License-Identifier: MIT */
/* tests/device/faulty_cl.h: the machine's own OpenCL, whose n-th call fails. */
#ifndef FAULTY_CL_H
#define FAULTY_CL_H

#include "internal.h"

typedef struct faulty_state {
    int calls, fail_at; /* number of the call that fails, from 1; 0: none */
    cl_int code;
    bool failed;
    const char *name; /* the call that failed */
} faulty_state;

extern faulty_state faulty;

/* The table; NULL: there is no OpenCL. */
const kd_cl *faulty_cl(void);

#endif
