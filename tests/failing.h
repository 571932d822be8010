/* SPDX-License-Identifier: MIT */
/* failing.h: an allocator for tests, which counts, and fails where it is told to. */
#ifndef TEST_FAILING_H
#define TEST_FAILING_H

#include "base.h"

#include <stdatomic.h>
#include <stdlib.h>

typedef struct failing {
    atomic_llong requests; /* made so far */
    atomic_llong blocks;   /* in use: 0 when nothing leaks */
    atomic_llong largest;  /* bytes of one request */
    long long fail_at;     /* this request fails, and every later one; 0: none */
} failing;

static void *failing_reallocate(void *user, void *pointer, size_t size)
{
    failing *f = user;
    if (size == 0) {
        atomic_fetch_sub(&f->blocks, pointer != NULL);
        free(pointer);
        return NULL;
    }
    long long number = atomic_fetch_add(&f->requests, 1) + 1;
    if (f->fail_at && number >= f->fail_at)
        return NULL;
    if ((long long)size > atomic_load(&f->largest))
        atomic_store(&f->largest, (long long)size);
    void *p = realloc(pointer, size);
    atomic_fetch_add(&f->blocks, p && !pointer);
    return p;
}

static inline kcl_allocator failing_allocator(failing *f)
{
    return (kcl_allocator){failing_reallocate, f};
}

#endif
