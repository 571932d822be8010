/* SPDX-License-Identifier: MIT */
#include "faulty_cl.h"

#include <string.h>

faulty_state faulty;
static kd_cl real;

static bool fails(const char *name)
{
    if (++faulty.calls != faulty.fail_at)
        return false;
    faulty.name = name;
    faulty.failed = true;
    return true;
}

/* A release does its work and a wait waits even if they report a failure: the memory of the test depends on both. */
static bool is_done_anyway(const char *name)
{
    return strncmp(name, "clRelease", 9) == 0 || strcmp(name, "clFinish") == 0;
}

#define KD_CALL(result, name, parameters, arguments)                                                                   \
    static result CL_API_CALL faulty_##name parameters                                                                 \
    {                                                                                                                  \
        bool fail = fails(#name);                                                                                      \
        result answer = fail && !is_done_anyway(#name) ? faulty.code : real.name arguments;                            \
        return fail ? faulty.code : answer;                                                                            \
    }
#define KD_CREATE(result, name, parameters, arguments)                                                                 \
    static result CL_API_CALL faulty_##name parameters                                                                 \
    {                                                                                                                  \
        if (!fails(#name))                                                                                             \
            return real.name arguments;                                                                                \
        *error = faulty.code;                                                                                          \
        return NULL;                                                                                                   \
    }
#include "cl_calls.def"

const kd_cl *faulty_cl(void)
{
    static const kd_cl table = {
#define KD_CALL(result, name, parameters, arguments) .name = faulty_##name,
#include "cl_calls.def"
    };
    kb_error err;
    return kd_open_loader(&real, NULL, &err) >= 0 ? &table : NULL;
}
