/* SPDX-License-Identifier: MIT */
/* run/cache.c: what the context keeps between evaluations. */
#include "cache.h"

enum { BUCKETS = 256 };

typedef struct table {
    kx_kept *bucket[BUCKETS];
    size_t count, weight;
} table;

typedef struct cache {
    table tables[KX_KINDS_KEPT];
    kx_room *places; /* of temporaries: all evaluations share them, for one follows the other */
    size_t place_count, place_capacity;
} cache;

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static kx_kept *look_up(const table *t, uint64_t key)
{
    kx_kept *k = t->bucket[key % BUCKETS];
    while (k && k->key != key)
        k = k->next;
    return k;
}

static uint64_t now(kcl_context *context)
{
    return kd_stats(context)->evaluations;
}

static void add(table *t, kx_kept *k, uint64_t key, uint64_t used)
{
    k->next = t->bucket[key % BUCKETS];
    k->key = key;
    k->used = used;
    t->bucket[key % BUCKETS] = k;
    t->count++;
    t->weight += k->weight;
}

static void take_out(table *t, kx_kept *k)
{
    kx_kept **link = &t->bucket[k->key % BUCKETS];
    while (*link != k)
        link = &(*link)->next;
    *link = k->next;
    t->count--;
    t->weight -= k->weight;
}

/*
 * Takes out what was used last longest ago. Returns NULL where there are no more than `most` and their weights are within
 * the bound, or the running evaluation uses all. All are looked at, which is nothing beside the building that made one too
 * many.
 */
static kx_kept *take_oldest(table *t, size_t most, uint64_t in_use)
{
    kx_kept *oldest = NULL;
    if (t->count <= most && t->weight <= KX_MOST_WEIGHT)
        return NULL;
    for (int b = 0; b < BUCKETS; b++)
        for (kx_kept *k = t->bucket[b]; k; k = k->next)
            if (k->used != in_use && (!oldest || k->used < oldest->used))
                oldest = k;
    if (oldest)
        take_out(t, oldest);
    return oldest;
}

static kx_kept *take_any(table *t)
{
    for (int b = 0; t->count && b < BUCKETS; b++) {
        kx_kept *k = t->bucket[b];
        if (k) {
            take_out(t, k);
            return k;
        }
    }
    return NULL;
}

static void destroy(kcl_context *context, kx_kept *k)
{
    k->kind->destroy(context, k);
}

static void empty_cache(kcl_context *context, cache *all)
{
    kx_kept *k;
    for (int kind = 0; kind < KX_KINDS_KEPT; kind++)
        while ((k = take_any(&all->tables[kind])))
            destroy(context, k);
    for (size_t n = 0; n < all->place_count; n++)
        kx_empty_room(context, &all->places[n]);
    kb_free(kd_allocator(context), all->places);
    all->places = NULL;
    all->place_count = all->place_capacity = 0;
}

static void destroy_cache(kcl_context *context, void *object)
{
    empty_cache(context, object);
    kb_free(kd_allocator(context), object);
}

static cache *known_cache(kcl_context *context)
{
    return kd_attachment(context, KD_PLACE_PROGRAMS);
}

static cache *cache_of(kcl_context *context)
{
    cache *all = kd_attachment(context, KD_PLACE_PROGRAMS);
    if (!all) {
        all = kb_calloc(kd_allocator(context), 1, sizeof *all);
        if (!all)
            kb_no_memory(kd_error(context));
        else
            kd_attach(context, KD_PLACE_PROGRAMS, all, destroy_cache);
    }
    return all;
}

kcl_status kcl_context_drop_programs(kcl_context *context)
{
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    status = kd_finish(context);
    cache *all = known_cache(context);
    if (all)
        empty_cache(context, all);
    kd_drop_unused(context);
    return status;
}

/* ---- What is kept by key ------------------------------------------------------------------------------------------ */

void *kx_look_up(kcl_context *context, kx_kind_kept kind, uint64_t key)
{
    const cache *all = known_cache(context);
    kx_kept *k = all ? look_up(&all->tables[kind], key) : NULL;
    if (k)
        k->used = now(context);
    return k;
}

kcl_status kx_keep(kcl_context *context, kx_kind_kept kind, kx_kept *kept, const kx_kept_kind *functions, uint64_t key)
{
    cache *all = cache_of(context);
    kx_kept *old;
    kept->kind = functions;
    if (!all) {
        destroy(context, kept);
        return kd_error(context)->status;
    }
    add(&all->tables[kind], kept, key, now(context));
    while ((old = take_oldest(&all->tables[kind], kd_most_programs(context), now(context))))
        destroy(context, old);
    return KCL_OK;
}

void kx_take_out(kcl_context *context, kx_kind_kept kind, kx_kept *kept)
{
    take_out(&known_cache(context)->tables[kind], kept);
}

/* ---- Memory of intermediate results ------------------------------------------------------------------------------- */

void kx_empty_room(kcl_context *context, kx_room *r)
{
    kd_buffer_release(context, &r->buffer);
    r->size = 0;
}

void kx_empty_rooms(kcl_context *context)
{
    cache *all = known_cache(context);
    for (int kind = 0; all && kind < KX_KINDS_KEPT; kind++)
        for (int b = 0; b < BUCKETS; b++)
            for (kx_kept *k = all->tables[kind].bucket[b]; k; k = k->next)
                if (k->kind->empty_rooms)
                    k->kind->empty_rooms(context, k);
    for (size_t n = 0; all && n < all->place_count; n++)
        kx_empty_room(context, &all->places[n]);
}

void kx_give_back(kcl_context *context)
{
    kx_empty_rooms(context);
    kd_drop_idle_buffers(context);
}

kcl_status kx_make_room(kcl_context *context, kx_room *r, int64_t elements, kcl_dtype dtype)
{
    int64_t bytes;
    if (kb_mul_overflows(KB_MAX(elements, 1), (int64_t)kb_dtype_size(dtype), &bytes))
        return kb_fail(kd_error(context), KCL_ERROR_DEVICE_MEMORY,
                       "intermediate results of %lld numbers are more bytes than a 64-bit number holds",
                       (long long)elements);
    if (r->buffer && r->size >= (size_t)bytes)
        return KCL_OK;
    kx_empty_room(context, r);
    kcl_status status = kd_buffer_create(context, (size_t)bytes, &r->buffer);
    if (status == KCL_OK)
        r->size = (size_t)bytes;
    return status;
}

kx_room *kx_room_of_place(kcl_context *context, uint32_t number)
{
    cache *all = cache_of(context);
    if (!all)
        return NULL;
    if (number < all->place_count)
        return &all->places[number];
    if (!kb_reserve(kd_allocator(context), (void **)&all->places, &all->place_capacity, (size_t)number + 1,
                    sizeof *all->places)) {
        kb_no_memory(kd_error(context));
        return NULL;
    }
    while (all->place_count <= number)
        all->places[all->place_count++] = (kx_room){NULL, 0};
    return &all->places[number];
}
