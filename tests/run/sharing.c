/* SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "sharing.h"

#include <string.h>

kcl_context *host, *device, *c;

static kd_sharing natural; /* how the device shares arrays where no way is chosen */

void choose(int which)
{
    /* The memory of the host is nothing that CUDA's functions map. */
    const bool can_map = device && strncmp(device->device->info.id, "cuda", 4) != 0;
    const kd_sharing sharing[] = {
        [IN_PLACE] = natural, [MAPPED] = can_map ? KD_MAPPED : natural, [COPIED] = KD_COPIED};
    c = which == HOST ? host : device;
    if (which != HOST)
        device->device->sharing = sharing[which];
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

static void setup(void)
{
    seed_random(test_seed());
}

static void teardown(void)
{
}

int begin_sharing(const char *program)
{
    if (!getenv("KEOPSCL_CACHE_DIR"))
        setenv("KEOPSCL_CACHE", "off", 1);
    if (kcl_context_create(&host, &(kcl_context_params){.device = "host"}) < 0)
        kcl_context_destroy(&host);
    device = open_cpu_or_skip();
    if (device)
        natural = device->device->sharing;
    announce_seed(program);
    return device ? DEVICES : 1;
}

int run_sharing(const char *name, const test_entry *tests, size_t count)
{
    const int failed = host ? run_entries(name, tests, count, setup, teardown) : 1;
    kcl_context_destroy(&host);
    kcl_context_destroy(&device);
    return failed;
}
