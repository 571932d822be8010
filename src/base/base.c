/* SPDX-License-Identifier: MIT */
/* base/base.c: errors, memory, sizes, status texts. */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *kcl_status_name(kcl_status status)
{
    switch (status) {
#define STATUS_NAME(name, value, text)                                                                                 \
    case name:                                                                                                         \
        return #name;
        KCL_STATUSES(STATUS_NAME)
#undef STATUS_NAME
    }
    return "KCL_?";
}

const char *kcl_status_text(kcl_status status)
{
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                                                 \
    case name:                                                                                                         \
        return text;
        KCL_STATUSES(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "not a status of this library";
}

#define VERSION_TEXT_(a, b, c) #a "." #b "." #c
#define VERSION_TEXT(a, b, c) VERSION_TEXT_(a, b, c)

const char *kcl_version(void)
{
    return VERSION_TEXT(KCL_VERSION_MAJOR, KCL_VERSION_MINOR, KCL_VERSION_PATCH);
}

kcl_status kb_failv(kb_error *err, kcl_status status, const char *format, va_list args)
{
    char text[sizeof err->text];
    int length = vsnprintf(text, sizeof text, format, args);
    if (length >= (int)sizeof text)
        memcpy(text + sizeof text - 4, "...", 4);
    memcpy(err->text, text, sizeof text);
    err->status = status;
    return status;
}

kcl_status kb_fail(kb_error *err, kcl_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    kb_failv(err, status, format, args);
    va_end(args);
    return status;
}

kcl_status kb_no_memory(kb_error *err)
{
    return kb_fail(err, KCL_ERROR_NO_MEMORY, "host memory is exhausted");
}

void kb_error_clear(kb_error *err)
{
    err->status = KCL_OK;
    err->text[0] = 0;
}

static void *default_reallocate(void *user, void *pointer, size_t size)
{
    (void)user;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    return realloc(pointer, size);
}

kcl_allocator kb_allocator(const kcl_allocator *given)
{
    return given && given->reallocate ? *given : (kcl_allocator){default_reallocate, NULL};
}

void *kb_alloc(const kcl_allocator *a, size_t size)
{
    return a->reallocate(a->user, NULL, size ? size : 1);
}

void *kb_calloc(const kcl_allocator *a, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    void *p = kb_alloc(a, count * size);
    if (p)
        memset(p, 0, count * size);
    return p;
}

void kb_free(const kcl_allocator *a, void *pointer)
{
    if (pointer)
        a->reallocate(a->user, pointer, 0);
}

bool kb_reserve(const kcl_allocator *a, void **array, size_t *capacity, size_t need, size_t element_size)
{
    if (need <= *capacity)
        return true;
    size_t grown = KB_MAX(need, KB_MAX(*capacity * 2, 16));
    if (grown > SIZE_MAX / element_size)
        return false;
    void *p = a->reallocate(a->user, *array, grown * element_size);
    if (!p)
        return false;
    *array = p;
    *capacity = grown;
    return true;
}

char *kb_strdup(const kcl_allocator *a, const char *text)
{
    size_t size = strlen(text) + 1;
    char *p = kb_alloc(a, size);
    if (p)
        memcpy(p, text, size);
    return p;
}

struct kb_arena_chunk {
    struct kb_arena_chunk *next;
    size_t capacity;
    max_align_t data[];
};

void kb_arena_init(kb_arena *arena, const kcl_allocator *allocator)
{
    *arena = (kb_arena){kb_allocator(allocator), NULL, 0};
}

void kb_arena_finish(kb_arena *arena)
{
    while (arena->chunks) {
        struct kb_arena_chunk *next = arena->chunks->next;
        kb_free(&arena->allocator, arena->chunks);
        arena->chunks = next;
    }
    arena->used = 0;
}

void *kb_arena_alloc(kb_arena *arena, size_t size)
{
    const size_t unit = sizeof(max_align_t), chunk_size = 16384;
    if (size > SIZE_MAX / 2)
        return NULL;
    size = KB_MAX(unit, (size + unit - 1) / unit * unit);
    if (!arena->chunks || arena->chunks->capacity - arena->used < size) {
        size_t capacity = KB_MAX(size, chunk_size);
        struct kb_arena_chunk *chunk = kb_alloc(&arena->allocator, sizeof *chunk + capacity);
        if (!chunk)
            return NULL;
        *chunk = (struct kb_arena_chunk){arena->chunks, capacity};
        arena->chunks = chunk;
        arena->used = 0;
    }
    void *p = (char *)arena->chunks->data + arena->used;
    arena->used += size;
    memset(p, 0, size);
    return p;
}

char *kb_arena_strdup(kb_arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *p = kb_arena_alloc(arena, size);
    if (p)
        memcpy(p, text, size);
    return p;
}

bool kb_mul_overflows(int64_t a, int64_t b, int64_t *product)
{
    if (a && b > INT64_MAX / a)
        return true;
    *product = a * b;
    return false;
}

size_t kb_dtype_size(kcl_dtype dtype)
{
    return dtype == KCL_F32 ? 4 : dtype == KCL_F64 || dtype == KCL_I64 ? 8 : 0;
}

const char *kb_dtype_name(kcl_dtype dtype)
{
    static const char *const names[] = {"no type", "float32", "float64", "int64"};
    return names[(unsigned)dtype < KB_COUNT(names) ? dtype : 0];
}

kcl_array kcl_array_strided(const void *data, kcl_dtype dtype, int ndim, const int64_t *shape, const int64_t *stride)
{
    kcl_array array = kcl_array_of(data, dtype, ndim, shape);
    for (int k = 0; stride && k < array.ndim; k++)
        array.stride[k] = stride[k];
    return array;
}

kcl_array kcl_array_of(const void *data, kcl_dtype dtype, int ndim, const int64_t *shape)
{
    kcl_array array = {.data = (void *)(uintptr_t)data, .dtype = dtype, .ndim = -1};
    int64_t stride = (int64_t)kb_dtype_size(dtype), extent = stride;
    if (ndim < 0 || ndim > KCL_MAX_AXES || stride == 0)
        return array;
    for (int k = ndim - 1; k >= 0; k--) {
        if (shape[k] < 0 || kb_mul_overflows(extent, KB_MAX(shape[k], 1), &extent))
            return array;
        array.shape[k] = shape[k];
        array.stride[k] = stride;
        stride = extent;
    }
    array.ndim = ndim;
    return array;
}
