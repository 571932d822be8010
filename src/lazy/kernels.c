/* SPDX-License-Identifier: MIT */
/* lazy/kernels.c: compiled steps and the device memory of intermediate results, kept by the context. */
#include "kernels.h"

#include <string.h>

/* Results that later steps read, by computation and number. */
typedef struct temporary {
    struct temporary *next;
    uint64_t key;
    kl_room memory;
} temporary;

/* The form that a step last had, for descriptions: by computation and step. */
typedef struct form_note {
    struct form_note *next;
    uint64_t key;
    char text[KL_FORM_NOTE];
} form_note;

enum { BUCKETS = 256 };

typedef struct cache {
    kl_compiled *steps[BUCKETS];
    temporary *temps[BUCKETS];
    form_note *forms[BUCKETS];
    kl_grave *graves; /* in debug builds */
} cache;

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
        c->kernel[k] = NULL;
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

void kl_graves_free(const kcl_allocator *a, kl_grave **graves, int keep)
{
    while (*graves && keep-- > 0)
        graves = &(*graves)->next;
    while (*graves) {
        kl_grave *next = (*graves)->next;
        kb_arena_finish(&(*graves)->arena);
        kb_free(a, (*graves)->scope);
        kb_free(a, *graves);
        *graves = next;
    }
}

static void destroy_cache(kcl_context *context, void *object)
{
    cache *all = object;
    kl_graves_free(kd_allocator(context), &all->graves, 0);
    for (int k = 0; k < BUCKETS; k++) {
        while (all->steps[k]) {
            kl_compiled *next = all->steps[k]->next;
            destroy_compiled(context, all->steps[k]);
            all->steps[k] = next;
        }
        while (all->temps[k]) {
            temporary *next = all->temps[k]->next;
            kd_buffer_release(context, &all->temps[k]->memory.buffer);
            kb_free(kd_allocator(context), all->temps[k]);
            all->temps[k] = next;
        }
        while (all->forms[k]) {
            form_note *next = all->forms[k]->next;
            kb_free(kd_allocator(context), all->forms[k]);
            all->forms[k] = next;
        }
    }
    kb_free(kd_allocator(context), all);
}

static void empty_room(kcl_context *context, kl_room *r)
{
    kd_buffer_release(context, &r->buffer);
    r->size = 0;
}

void kl_empty_rooms(kcl_context *context)
{
    cache *all = kd_attachment(context);
    for (int k = 0; all && k < BUCKETS; k++) {
        for (kl_compiled *c = all->steps[k]; c; c = c->next) {
            empty_room(context, &c->partial);
            for (size_t n = 0; n < c->plan->prepared_vars; n++)
                empty_room(context, &c->prepared[n]);
        }
        for (temporary *t = all->temps[k]; t; t = t->next)
            empty_room(context, &t->memory);
    }
}

static cache *cache_of(kcl_context *context)
{
    cache *all = kd_attachment(context);
    if (!all) {
        all = kb_calloc(kd_allocator(context), 1, sizeof *all);
        if (!all)
            kb_no_memory(kd_error(context));
        else
            kd_attach(context, all, destroy_cache);
    }
    return all;
}

kl_grave **kl_graves(kcl_context *context)
{
    cache *all = cache_of(context);
    return all ? &all->graves : NULL;
}

kcl_status kl_make_room(kcl_context *context, kl_room *r, int64_t elements, kcl_dtype dtype)
{
    int64_t bytes;
    if (kb_mul_overflows(KB_MAX(elements, 1), (int64_t)kb_dtype_size(dtype), &bytes))
        return kb_fail(kd_error(context), KCL_ERROR_DEVICE_MEMORY, "intermediate results of %lld numbers are too many",
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
    temporary *t = all ? all->temps[key % BUCKETS] : NULL;
    while (t && t->key != key)
        t = t->next;
    if (t || !all)
        return t ? &t->memory : NULL;
    t = kb_calloc(kd_allocator(context), 1, sizeof *t);
    if (!t) {
        kb_no_memory(kd_error(context));
        return NULL;
    }
    t->key = key;
    t->next = all->temps[key % BUCKETS];
    all->temps[key % BUCKETS] = t;
    return &t->memory;
}

char *kl_form_note(kcl_context *context, uint64_t key, bool make)
{
    cache *all = make ? cache_of(context) : kd_attachment(context);
    form_note *note = all ? all->forms[key % BUCKETS] : NULL;
    while (note && note->key != key)
        note = note->next;
    if (note || !all || !make)
        return note ? note->text : NULL;
    note = kb_calloc(kd_allocator(context), 1, sizeof *note);
    if (!note) {
        kb_no_memory(kd_error(context));
        return NULL;
    }
    note->key = key;
    note->next = all->forms[key % BUCKETS];
    all->forms[key % BUCKETS] = note;
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

static kl_compiled *look_up(const cache *all, uint64_t key)
{
    kl_compiled *c = all->steps[key % BUCKETS];
    while (c && c->key != key)
        c = c->next;
    return c;
}

kl_compiled *kl_find_compiled(const kl_exec *exec, kcl_context *context, kcl_dtype dtype, size_t index,
                              const kp_choice *choice, const kl_layout *arrays)
{
    cache *all = cache_of(context);
    if (!all)
        return NULL;
    uint64_t key = step_key(exec, dtype, index, choice, arrays);
    kl_compiled *c = look_up(all, key);
    if (c)
        return c;
    c = kb_calloc(kd_allocator(context), 1, sizeof *c);
    if (!c) {
        kb_no_memory(kd_error(context));
        return NULL;
    }
    c->key = key;
    c->caps = *kd_caps(context);
    if (kl_compile(context, dtype, &exec->steps[index], choice, arrays, 0, c) < 0) {
        destroy_compiled(context, c);
        return NULL;
    }
    c->next = all->steps[key % BUCKETS];
    all->steps[key % BUCKETS] = c;
    return c;
}

void kl_forget_compiled(kcl_context *context, kl_compiled *c)
{
    kl_compiled **link = &cache_of(context)->steps[c->key % BUCKETS];
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    destroy_compiled(context, c);
}

kl_compiled *kl_built_before(const kl_exec *e, kcl_context *context, kcl_dtype dtype, size_t step, kp_choice choice)
{
    const cache *all = context ? kd_attachment(context) : NULL;
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
        c = look_up(all, step_key(e, dtype, step, &choice, &arrays));
    }
    kb_free(kd_allocator(context), dense);
    return c;
}
