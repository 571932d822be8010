/* SPDX-License-Identifier: MIT */
/* lazy/kernels.c: compiled steps and the device memory of intermediate results, kept by the context. */
#include "kernels.h"

#include <string.h>

/* Results that later steps read, by computation and number. */
typedef struct temporary {
    kl_kept kept;
    kl_room memory;
} temporary;

/* The form that a step last had, for descriptions: by computation and step. */
typedef struct form_note {
    kl_kept kept;
    char text[KL_FORM_NOTE];
} form_note;

enum { BUCKETS = 256 };

typedef struct table {
    kl_kept *bucket[BUCKETS];
    size_t count;
} table;

typedef struct cache {
    table steps, temps, forms;
} cache;

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static kl_kept *look_up(const table *t, uint64_t key)
{
    kl_kept *k = t->bucket[key % BUCKETS];
    while (k && k->key != key)
        k = k->next;
    return k;
}

static uint64_t now(kcl_context *context)
{
    return kd_stats(context)->evaluations;
}

static void add(table *t, kl_kept *k, uint64_t key, uint64_t used)
{
    *k = (kl_kept){t->bucket[key % BUCKETS], key, used};
    t->bucket[key % BUCKETS] = k;
    t->count++;
}

static void take_out(table *t, kl_kept *k)
{
    kl_kept **link = &t->bucket[k->key % BUCKETS];
    while (*link != k)
        link = &(*link)->next;
    *link = k->next;
    t->count--;
}

/*
 * Takes out what was used last longest ago, where there are more than `most`: NULL where there are not, or all others are
 * in use by the running evaluation. All are looked at, which is nothing beside the building that made one too many.
 */
static void *take_oldest(table *t, size_t most, uint64_t in_use)
{
    kl_kept *oldest = NULL;
    for (int b = 0; t->count > most && b < BUCKETS; b++)
        for (kl_kept *k = t->bucket[b]; k; k = k->next)
            if (k->used != in_use && (!oldest || k->used < oldest->used))
                oldest = k;
    if (oldest)
        take_out(t, oldest);
    return oldest;
}

static void *take_any(table *t)
{
    for (int b = 0; t->count && b < BUCKETS; b++) {
        kl_kept *k = t->bucket[b];
        if (k) {
            take_out(t, k);
            return k;
        }
    }
    return NULL;
}

/* Forgets the kernels. */
static void clear_compiled(kcl_context *context, kl_compiled *c)
{
    const kcl_allocator *a = kd_allocator(context);
    for (size_t k = 0; c->prepared && k < c->plan->prepared_vars; k++)
        kd_buffer_release(context, &c->prepared[k].buffer);
    kd_buffer_release(context, &c->partial.buffer);
    for (int k = 0; k < KT_KERNELS; k++) {
        kb_free(&c->allocator, c->signature[k].args);
        c->signature[k] = (kt_signature){0, NULL};
        kd_kernel_release(context, &c->kernel[k]);
    }
    kb_free(a, c->prepared);
    c->prepared = NULL;
    c->partial = (kl_room){NULL, 0};
    kp_plan_destroy(&c->plan);
}

static void destroy_compiled(kcl_context *context, kl_compiled *c)
{
    clear_compiled(context, c);
    kb_free(kd_allocator(context), c);
}

static void destroy_temporary(kcl_context *context, temporary *t)
{
    kd_buffer_release(context, &t->memory.buffer);
    kb_free(kd_allocator(context), t);
}

static void empty_cache(kcl_context *context, cache *all)
{
    void *k;
    while ((k = take_any(&all->steps)))
        destroy_compiled(context, k);
    while ((k = take_any(&all->temps)))
        destroy_temporary(context, k);
    while ((k = take_any(&all->forms)))
        kb_free(kd_allocator(context), k);
}

static void destroy_cache(kcl_context *context, void *object)
{
    cache *all = object;
    empty_cache(context, all);
    kb_free(kd_allocator(context), all);
}

kcl_status kcl_context_drop_programs(kcl_context *context)
{
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    status = kd_finish(context);
    cache *all = kd_attachment(context, KD_PLACE_PROGRAMS);
    if (all)
        empty_cache(context, all);
    kd_drop_unused(context);
    return status;
}

static void empty_room(kcl_context *context, kl_room *r)
{
    kd_buffer_release(context, &r->buffer);
    r->size = 0;
}

void kl_empty_rooms(kcl_context *context)
{
    cache *all = kd_attachment(context, KD_PLACE_PROGRAMS);
    for (int b = 0; all && b < BUCKETS; b++) {
        for (kl_kept *k = all->steps.bucket[b]; k; k = k->next) {
            kl_compiled *c = (kl_compiled *)k;
            empty_room(context, &c->partial);
            for (size_t n = 0; c->prepared && n < c->plan->prepared_vars; n++)
                empty_room(context, &c->prepared[n]);
        }
        for (kl_kept *k = all->temps.bucket[b]; k; k = k->next)
            empty_room(context, &((temporary *)k)->memory);
    }
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

kcl_status kl_make_room(kcl_context *context, kl_room *r, int64_t elements, kcl_dtype dtype)
{
    int64_t bytes;
    if (kb_mul_overflows(KB_MAX(elements, 1), (int64_t)kb_dtype_size(dtype), &bytes))
        return kb_fail(kd_error(context), KCL_ERROR_DEVICE_MEMORY,
                       "intermediate results of %lld numbers are more bytes than a 64-bit number holds",
                       (long long)elements);
    if (r->buffer && r->size >= (size_t)bytes)
        return KCL_OK;
    empty_room(context, r);
    kcl_status status = kd_buffer_create(context, (size_t)bytes, &r->buffer);
    if (status == KCL_OK)
        r->size = (size_t)bytes;
    return status;
}

kl_room *kl_temporary(kcl_context *context, uint64_t key)
{
    cache *all = cache_of(context);
    temporary *t = all ? (temporary *)look_up(&all->temps, key) : NULL, *old;
    if (!t && all) {
        t = kb_calloc(kd_allocator(context), 1, sizeof *t);
        if (!t) {
            kb_no_memory(kd_error(context));
            return NULL;
        }
        add(&all->temps, &t->kept, key, now(context));
        while ((old = take_oldest(&all->temps, kd_most_programs(context), now(context))))
            destroy_temporary(context, old);
    }
    if (!t)
        return NULL;
    t->kept.used = now(context);
    return &t->memory;
}

char *kl_form_note(kcl_context *context, uint64_t key, bool make)
{
    cache *all = make ? cache_of(context) : kd_attachment(context, KD_PLACE_PROGRAMS);
    form_note *note = all ? (form_note *)look_up(&all->forms, key) : NULL, *old;
    if (!note && all && make) {
        note = kb_calloc(kd_allocator(context), 1, sizeof *note);
        if (!note) {
            kb_no_memory(kd_error(context));
            return NULL;
        }
        add(&all->forms, &note->kept, key, now(context));
        while ((old = take_oldest(&all->forms, kd_most_programs(context), now(context))))
            kb_free(kd_allocator(context), old);
    }
    if (!note)
        return NULL;
    note->kept.used = now(context);
    return note->text;
}

/* ---- Compiling --------------------------------------------------------------------------------------------------- */

static uint64_t step_key(const kl_exec *exec, kcl_dtype dtype, size_t step, const kp_choice *choice,
                         const kl_layout *arrays)
{
    size_t count = exec->steps[step].sweep.var_count;
    uint64_t choices =
        (((step * 2 + choice->expand) * 2 + choice->empty) * 32 + (size_t)choice->states) * 4 + choice->schedule;
    uint64_t key = kb_hash_combine(exec->key, (choices * 8 + choice->shape) * 4 + dtype);
    key = kb_hash_combine(key, kb_hash(arrays->dense, count, 7));
    /* All outputs of a computation are scaled, or none. */
    if (arrays->scales)
        key = kb_hash_combine(key, 1);
    const kp_batches *b = &arrays->batches;
    if (!(b->outer + b->each))
        return key;
    key = kb_hash_combine(key, (uint64_t)(b->outer * 8 + b->each) * 1024 + (uint64_t)choice->group);
    return kb_hash_combine(key, kb_hash(b->axes, count, 8));
}

/* Plans for c->caps and builds. */
static kcl_status build(kcl_context *context, kcl_dtype dtype, const kl_step *step, const kp_choice *choice,
                        const kl_layout *arrays, kl_compiled *c)
{
    kb_error *err = kd_error(context);
    kr_sweep sweep = step->sweep;
    sweep.scales = arrays->scales;
    kp_request request = {&sweep, dtype, &c->caps, *choice, arrays->dense, arrays->batches};
    kt_program program;
    clear_compiled(context, c);
    if (kp_plan_create(&c->plan, &request, err) < 0 || kt_render(&program, c->plan, err) < 0)
        return err->status;
    kcl_status status = KCL_OK;
    c->allocator = program.allocator;
    for (int k = 0; k < KT_KERNELS; k++) {
        c->signature[k] = program.kernel[k];
        program.kernel[k] = (kt_signature){0, NULL};
        if (status == KCL_OK && c->signature[k].count)
            status = kd_kernel_get(context, kb_str_text(&program.source), kt_kernel_names[k], "sweep", &c->kernel[k]);
    }
    kt_program_finish(&program);
    if (status == KCL_OK) {
        c->prepared = kb_calloc(kd_allocator(context), c->plan->prepared_vars + 1, sizeof *c->prepared);
        if (!c->prepared)
            status = kb_no_memory(err);
    }
    return status;
}

enum { MOST_TIGHTENED = 2 };

kcl_status kl_compile(kcl_context *context, kcl_dtype dtype, const kl_step *step, const kp_choice *choice,
                      const kl_layout *arrays, size_t most, kl_compiled *c)
{
    for (;;) {
        kcl_status status = most ? KCL_OK : build(context, dtype, step, choice, arrays, c);
        if (status < 0)
            return status;
        size_t group = (size_t)c->plan->group;
        for (int k = 0; k < KT_KERNELS && group > 1; k++) {
            size_t limit = c->kernel[k] ? kd_kernel_limits(context, c->kernel[k])->work_group : 0;
            if (limit && limit < group && (!most || limit < most))
                most = limit;
        }
        if (!most)
            return KCL_OK;
        if (most >= group || c->tightened == MOST_TIGHTENED)
            return kb_fail(kd_error(context), KCL_ERROR_UNSUPPORTED,
                           "the device runs the kernels of this formula with at most %zu work-items in a work-group, "
                           "the smallest plan needs %zu: use another schedule, or shorter vectors",
                           most, group);
        kb_log_line(kd_log(context), "the kernels run with at most %zu work-items in a work-group: planned again",
                    most);
        c->caps.max_work_group = (int)most;
        c->tightened++;
        most = 0;
    }
}

/* Keeps what was built, in place of what was not used for longest. */
static void keep(kcl_context *context, cache *all, kl_compiled *c, uint64_t key)
{
    kl_compiled *old;
    add(&all->steps, &c->kept, key, now(context));
    while ((old = take_oldest(&all->steps, kd_most_programs(context), now(context))))
        destroy_compiled(context, old);
}

/* One that holds nothing yet; NULL: the context's error tells why. */
static kl_compiled *new_compiled(kcl_context *context)
{
    kl_compiled *c = kb_calloc(kd_allocator(context), 1, sizeof *c);
    if (!c)
        kb_no_memory(kd_error(context));
    return c;
}

kl_compiled *kl_find_compiled(const kl_exec *exec, kcl_context *context, kcl_dtype dtype, size_t index,
                              const kp_choice *choice, const kl_layout *arrays)
{
    cache *all = cache_of(context);
    if (!all)
        return NULL;
    uint64_t key = step_key(exec, dtype, index, choice, arrays);
    kl_compiled *c = (kl_compiled *)look_up(&all->steps, key);
    if (c) {
        c->kept.used = now(context);
        return c;
    }
    if (!(c = new_compiled(context)))
        return NULL;
    c->caps = *kd_caps(context);
    if (kl_compile(context, dtype, &exec->steps[index], choice, arrays, 0, c) < 0) {
        destroy_compiled(context, c);
        return NULL;
    }
    keep(context, all, c, key);
    return c;
}

void kl_forget_compiled(kcl_context *context, kl_compiled *c)
{
    take_out(&cache_of(context)->steps, &c->kept);
    destroy_compiled(context, c);
}

kcl_status kl_own_kernel(kcl_context *context, const char *source, const char *name, const char *label,
                         kd_kernel **kernel)
{
    cache *all = cache_of(context);
    const uint64_t key = kb_hash(name, strlen(name), kb_hash(source, strlen(source), 9));
    kl_compiled *c = all ? (kl_compiled *)look_up(&all->steps, key) : NULL;
    kcl_status status = KCL_OK;
    *kernel = NULL;
    if (!c && (!all || !(c = new_compiled(context))))
        return kd_error(context)->status;
    if (!c->kernel[0]) {
        status = kd_kernel_get(context, source, name, label, &c->kernel[0]);
        if (status < 0)
            destroy_compiled(context, c);
        else
            keep(context, all, c, key);
    }
    if (status < 0)
        return status;
    c->kept.used = now(context);
    *kernel = c->kernel[0];
    return KCL_OK;
}

kl_compiled *kl_built_before(const kl_exec *e, kcl_context *context, kcl_dtype dtype, size_t step, kp_choice choice)
{
    const cache *all = context ? kd_attachment(context, KD_PLACE_PROGRAMS) : NULL;
    size_t count = e->steps[step].sweep.var_count;
    bool *dense = all ? kb_calloc(kd_allocator(context), count + 1, sizeof *dense) : NULL;
    const kl_layout arrays = {.dense = dense};
    if (!dense)
        return NULL;
    memset(dense, 1, count);
    kl_compiled *c = NULL;
    /* The data of a call chose the form. */
    for (int expand = 1; !c && expand >= 0; expand--) {
        choice.expand = expand;
        c = (kl_compiled *)look_up(&all->steps, step_key(e, dtype, step, &choice, &arrays));
    }
    kb_free(kd_allocator(context), dense);
    return c;
}
