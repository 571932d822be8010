/* SPDX-License-Identifier: MIT */
/* lazy/exec.c: steps run on a device. */
#include "exec.h"
#include "form.h"
#include "indexed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Compiled steps, kept by the context ------------------------------------------------------------------------- */

/* Device memory that grows and stays. */
typedef struct room {
    kd_buffer *buffer;
    size_t size;
} room;

typedef struct compiled {
    struct compiled *next;
    uint64_t key;
    kp_caps caps; /* the device's, tightened where the kernels turned out to need that */
    int tightened;
    kp_plan *plan;
    kcl_allocator allocator; /* of the signatures */
    kt_signature signature[KT_KERNELS];
    kd_kernel *kernel[KT_KERNELS];
    room partial;
    room *prepared; /* by prepared variable */
} compiled;

/* Results that later steps read, by computation and number. */
typedef struct temporary {
    struct temporary *next;
    uint64_t key;
    room memory;
} temporary;

/* The form that a step last had, for descriptions: by computation and step. */
typedef struct form_note {
    struct form_note *next;
    uint64_t key;
    char text[96];
} form_note;

enum { BUCKETS = 256 };

typedef struct cache {
    compiled *steps[BUCKETS];
    temporary *temps[BUCKETS];
    form_note *forms[BUCKETS];
} cache;

/* Forgets the kernels. */
static void clear_compiled(kcl_context *context, compiled *c)
{
    const kcl_allocator *a = kd_allocator(context);
    for (size_t k = 0; c->prepared && k < c->plan->prepared_count; k++)
        kd_buffer_release(context, &c->prepared[k].buffer);
    kd_buffer_release(context, &c->partial.buffer);
    for (int k = 0; k < KT_KERNELS; k++) {
        kb_free(&c->allocator, c->signature[k].args);
        c->signature[k] = (kt_signature){0, NULL};
        c->kernel[k] = NULL;
    }
    kb_free(a, c->prepared);
    c->prepared = NULL;
    c->partial = (room){NULL, 0};
    kp_plan_destroy(&c->plan);
}

static void destroy_compiled(kcl_context *context, compiled *c)
{
    clear_compiled(context, c);
    kb_free(kd_allocator(context), c);
}

static void destroy_cache(kcl_context *context, void *object)
{
    cache *all = object;
    for (int k = 0; k < BUCKETS; k++) {
        while (all->steps[k]) {
            compiled *next = all->steps[k]->next;
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

static void empty_room(kcl_context *context, room *r)
{
    kd_buffer_release(context, &r->buffer);
    r->size = 0;
}

/* Gives back all memory of intermediate results: the device has no more. */
static void empty_rooms(kcl_context *context)
{
    cache *all = kd_attachment(context);
    for (int k = 0; all && k < BUCKETS; k++) {
        for (compiled *c = all->steps[k]; c; c = c->next) {
            empty_room(context, &c->partial);
            for (size_t n = 0; n < c->plan->prepared_count; n++)
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

static kcl_status make_room(kcl_context *context, room *r, int64_t elements, kcl_dtype dtype)
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

/* ---- One evaluation ---------------------------------------------------------------------------------------------- */

enum { SMALL = 32 };

typedef struct run {
    const kl_exec *exec;
    kcl_context *context;
    kcl_dtype dtype;
    const kl_view *slots; /* packed where the device needs it */
    const kl_view *outs;
    const kl_view *given_slots, *given_outs;
    bool waits; /* till the outputs are there */
    kd_arg_kind host_input;
    room **temps;        /* device: by temporary */
    double **host_temps; /* host: by temporary */
    kl_seen seen;        /* device: what was learnt about arrays, in the arena */
    kb_arena arena;
} run;

static int64_t rows_of(const kl_exec *e, const kl_view *slots, int extent)
{
    for (size_t k = 0; extent && k < e->slot_count; k++)
        if (e->slots[k].extent == extent)
            return slots[k].rows;
    return 1;
}

static size_t span_of(const kl_view *v)
{
    if (v->rows == 0)
        return 0;
    return (size_t)((v->rows - 1) * v->row_stride + (v->dim - 1) * v->step) + kb_dtype_size(v->dtype);
}

static bool is_dense(const kl_view *v)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype);
    return (v->dim == 1 || v->step == size) && (v->rows <= 1 || v->row_stride == v->dim * size);
}

/* Whether kernels can reach the elements: whole elements apart, forwards. */
static bool is_reachable(const kl_view *v, bool with_step)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype);
    bool rows_ok = v->rows <= 1 || (v->row_stride >= 0 && v->row_stride % size == 0);
    bool step_ok = v->dim == 1 || v->step == size || (with_step && v->step >= 0 && v->step % size == 0);
    return rows_ok && step_ok && v->offset == 0 && (uintptr_t)v->data % (size_t)size == 0;
}

/* Copies elements between a view and dense memory. */
static void copy_view(const kl_view *v, char *dense, bool to_dense)
{
    size_t size = kb_dtype_size(v->dtype);
    for (int64_t i = 0; i < v->rows; i++) {
        for (int64_t k = 0; k < v->dim; k++, dense += size) {
            char *element = (char *)(uintptr_t)v->data + i * v->row_stride + k * v->step;
            memcpy(to_dense ? dense : element, to_dense ? element : dense, size);
        }
    }
}

static uint64_t step_key(const kl_exec *exec, kcl_dtype dtype, size_t step, const kp_choice *choice, const bool *dense)
{
    uint64_t choices = ((step * 2 + choice->expand) * 32 + (size_t)choice->states) * 4 + choice->schedule;
    uint64_t key = kb_hash_combine(exec->key, (choices * 8 + choice->shape) * 4 + dtype);
    return kb_hash_combine(key, kb_hash(dense, exec->steps[step].sweep.var_count, 7));
}

/* Plans for c->caps and builds. */
static kcl_status build(run *r, const kl_step *step, const kp_choice *choice, const bool *dense, compiled *c)
{
    kcl_context *context = r->context;
    kb_error *err = kd_error(context);
    kp_request request = {&step->sweep, r->dtype, &c->caps, *choice, dense};
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
        c->prepared = kb_calloc(kd_allocator(context), c->plan->prepared_count + 1, sizeof *c->prepared);
        if (!c->prepared)
            status = kb_no_memory(err);
    }
    return status;
}

enum { MOST_TIGHTENED = 2 };

/*
 * How large a work-group the built kernels allow is known only now. Where the plan asks for more it is made again with
 * that limit; `most`: what is known of it already, 0: nothing.
 */
static kcl_status compile(run *r, const kl_step *step, const kp_choice *choice, const bool *dense, size_t most,
                          compiled *c)
{
    for (;;) {
        kcl_status status = most ? KCL_OK : build(r, step, choice, dense, c);
        if (status < 0)
            return status;
        size_t group = (size_t)c->plan->group;
        for (int k = 0; k < KT_KERNELS && group > 1; k++) {
            size_t limit = c->kernel[k] ? kd_kernel_limits(r->context, c->kernel[k])->work_group : 0;
            if (limit && limit < group && (!most || limit < most))
                most = limit;
        }
        if (!most)
            return KCL_OK;
        if (most >= group || c->tightened == MOST_TIGHTENED)
            return kb_fail(kd_error(r->context), KCL_ERROR_UNSUPPORTED,
                           "the device runs the kernels of this formula with at most %zu work-items in a work-group, "
                           "the smallest plan needs %zu: use another schedule, or shorter vectors",
                           most, group);
        kb_log_line(kd_log(r->context), "the kernels run with at most %zu work-items in a work-group: planned again",
                    most);
        c->caps.max_work_group = (int)most;
        c->tightened++;
        most = 0;
    }
}

static compiled *look_up(const cache *all, uint64_t key)
{
    compiled *c = all->steps[key % BUCKETS];
    while (c && c->key != key)
        c = c->next;
    return c;
}

static compiled *find_compiled(run *r, size_t index, const kp_choice *choice, const bool *dense)
{
    cache *all = cache_of(r->context);
    if (!all)
        return NULL;
    uint64_t key = step_key(r->exec, r->dtype, index, choice, dense);
    compiled *c = look_up(all, key);
    if (c)
        return c;
    c = kb_calloc(kd_allocator(r->context), 1, sizeof *c);
    if (!c) {
        kb_no_memory(kd_error(r->context));
        return NULL;
    }
    c->key = key;
    c->caps = *kd_caps(r->context);
    if (compile(r, &r->exec->steps[index], choice, dense, 0, c) < 0) {
        destroy_compiled(r->context, c);
        return NULL;
    }
    c->next = all->steps[key % BUCKETS];
    all->steps[key % BUCKETS] = c;
    return c;
}

static void forget_compiled(kcl_context *context, compiled *c)
{
    compiled **link = &cache_of(context)->steps[c->key % BUCKETS];
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    destroy_compiled(context, c);
}

typedef struct geometry {
    int64_t rows, cols;
    kp_launch launch;
    const kl_choice *form;
} geometry;

kd_arg kl_view_arg(const kl_view *v, kd_arg_kind host_kind)
{
    if (v->buffer || v->memory)
        return (kd_arg){.kind = KD_ARG_BUFFER, .buffer = v->buffer ? v->buffer : kd_memory_buffer(v->memory)};
    return (kd_arg){.kind = host_kind, .data = v->data, .size = span_of(v)};
}

size_t kl_group_for(kcl_context *context, kd_kernel *kernel)
{
    enum { GROUP = 64 };
    size_t group = (size_t)KB_MAX(KB_MIN(GROUP, kd_caps(context)->max_work_group), 1);
    size_t limit = kd_kernel_limits(context, kernel)->work_group;
    return limit ? KB_MIN(group, limit) : group;
}

/* Between a device array and the copy that kernels work on. */
static kcl_status copy_rows(run *r, const kl_view *from, const kl_view *to)
{
    enum { MOST_GROUPS = 4096 };
    kcl_context *context = r->context;
    const int64_t size = (int64_t)kb_dtype_size(from->dtype), elements = to->rows * to->dim;
    const kl_view *ends[2] = {from, to};
    int64_t values[8];
    kd_arg args[10];
    kd_kernel *kernel;
    kb_str source;
    if (!elements)
        return KCL_OK;
    kb_str_init(&source, kd_allocator(context));
    kt_render_copy(&source, (size_t)size);
    kcl_status status = source.failed ? kb_no_memory(kd_error(context))
                                      : kd_kernel_get(context, kb_str_text(&source), "copy", "copy", &kernel);
    kb_str_finish(&source);
    if (status < 0)
        return status;
    for (int k = 0; k < 2; k++) {
        args[5 * k - k] = kl_view_arg(ends[k], KD_ARG_HOST_IN);
        values[3 * k] = ends[k]->buffer ? 0 : ends[k]->offset / size;
        values[3 * k + 1] = ends[k]->row_stride / size;
        values[3 * k + 2] = ends[k]->step / size;
    }
    /* One row may be that of all. */
    if (from->rows == 1)
        values[1] = 0;
    values[6] = to->rows;
    values[7] = to->dim;
    for (int k = 0; k < 8; k++)
        args[k + 1 + (k >= 3)] = (kd_arg){.kind = KD_ARG_VALUE, .data = &values[k], .size = sizeof values[k]};
    size_t group = kl_group_for(context, kernel);
    size_t groups = KB_MIN(((size_t)elements + group - 1) / group, MOST_GROUPS);
    return kd_launch(context, kernel, 10, args, (size_t[]){groups * group, 1, 1}, (size_t[]){group, 1, 1});
}

kcl_status kl_wait_for(kcl_context *context, kcl_status status)
{
    if (status == KCL_OK)
        return kd_finish(context);
    kb_error first = *kd_error(context);
    kd_finish(context);
    *kd_error(context) = first;
    return status;
}

/* ---- What the form of squared distances depends on, of device arrays --------------------------------------------- */

/* Takes `count` rows, `step` rows apart, to the host; waits. */
static kcl_status read_rows(void *user, const kl_view *view, int64_t step, int64_t count, void *to)
{
    run *r = user;
    kl_view from = *view, dense = {.dtype = view->dtype, .rows = count, .dim = view->dim};
    from.rows = count;
    from.row_stride *= step;
    dense.step = (int64_t)kb_dtype_size(view->dtype);
    dense.row_stride = dense.dim * dense.step;
    size_t bytes = (size_t)(count * dense.row_stride);
    if (!bytes)
        return KCL_OK;
    kcl_status status = kd_buffer_create(r->context, bytes, &dense.buffer);
    if (status == KCL_OK)
        status = copy_rows(r, &from, &dense);
    if (status == KCL_OK)
        status = kd_read(r->context, dense.buffer, 0, to, bytes);
    status = kl_wait_for(r->context, status);
    kd_buffer_release(r->context, &dense.buffer);
    return status;
}

static kcl_status largest_on_device(void *user, const kl_view *view, const void *factor, const void *centre,
                                    double *most)
{
    enum { MOST_ITEMS = 1 << 14 };
    run *r = user;
    kcl_context *context = r->context;
    const kcl_allocator *a = kd_allocator(context);
    const int64_t size = (int64_t)kb_dtype_size(view->dtype);
    const int64_t values[] = {view->buffer ? 0 : view->offset / size, view->rows > 1 ? view->row_stride / size : 0,
                              view->step / size, view->rows, view->dim};
    kd_kernel *kernel = NULL;
    kd_buffer *results = NULL;
    kd_arg args[9];
    kb_str source;
    kb_str_init(&source, a);
    kt_render_squares(&source, view->dtype);
    kcl_status status = source.failed ? kb_no_memory(kd_error(context))
                                      : kd_kernel_get(context, kb_str_text(&source), "squares", "squares", &kernel);
    kb_str_finish(&source);
    if (status < 0)
        return status;
    size_t group = kl_group_for(context, kernel);
    size_t items = (size_t)(KB_MIN(view->rows, MOST_ITEMS) + (int64_t)group - 1) / group * group;
    char *host = kb_calloc(a, items, (size_t)size);
    status = host ? kd_buffer_create(context, items * (size_t)size, &results) : kb_no_memory(kd_error(context));
    if (status == KCL_OK) {
        args[0] = kl_view_arg(view, KD_ARG_HOST_IN);
        for (int k = 0; k < 5; k++)
            args[k + 1] = (kd_arg){.kind = KD_ARG_VALUE, .data = &values[k], .size = sizeof values[k]};
        args[6] = (kd_arg){.kind = KD_ARG_HOST_IN, .data = factor, .size = (size_t)(view->dim * size)};
        args[7] = (kd_arg){.kind = KD_ARG_HOST_IN, .data = centre, .size = (size_t)(view->dim * size)};
        args[8] = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = results};
        status = kd_launch(context, kernel, 9, args, (size_t[]){items, 1, 1}, (size_t[]){group, 1, 1});
    }
    if (status == KCL_OK)
        status = kd_read(context, results, 0, host, items * (size_t)size);
    status = kl_wait_for(r->context, status);
    *most = 0;
    for (size_t k = 0; status == KCL_OK && k < items; k++)
        *most = fmax(*most, size == sizeof(float) ? (double)((const float *)(const void *)host)[k]
                                                  : ((const double *)(const void *)host)[k]);
    kb_free(a, host);
    kd_buffer_release(context, &results);
    return status;
}

/* The form of a step by its data; noted for descriptions and the log. */
static kcl_status choose_form(run *r, size_t index, const geometry *g, const kp_choice *schedule, kl_choice *choice)
{
    const kl_step *step = &r->exec->steps[index];
    *choice = (kl_choice){.is_expanded = false};
    if (!step->expansion)
        return KCL_OK;
    kb_error *err = kd_error(r->context);
    const kl_view **views = kb_arena_alloc(&r->arena, step->sweep.var_count * sizeof *views);
    if (!views)
        return kb_no_memory(err);
    for (size_t k = 0; k < step->sweep.var_count; k++)
        views[k] = step->inputs[k].is_temp ? NULL : &r->slots[step->inputs[k].index];
    const kl_device_eyes eyes = {r, read_rows, largest_on_device};
    kl_question question = {&step->sweep,
                            step->expansion,
                            views,
                            &eyes,
                            g->rows,
                            g->cols,
                            r->dtype,
                            kd_caps(r->context),
                            r->exec->form,
                            kp_screens(schedule),
                            kd_threads(r->context)};
    cache *all = cache_of(r->context);
    if (!all || kl_choose_form(choice, &question, &r->seen, &r->arena, err) < 0)
        return err->status;
    uint64_t key = kb_hash_combine(r->exec->key, index * 4 + r->dtype);
    form_note *note = all->forms[key % BUCKETS];
    while (note && note->key != key)
        note = note->next;
    if (!note) {
        note = kb_calloc(kd_allocator(r->context), 1, sizeof *note);
        if (!note)
            return kb_no_memory(err);
        note->key = key;
        note->next = all->forms[key % BUCKETS];
        all->forms[key % BUCKETS] = note;
    }
    memcpy(note->text, choice->why, sizeof note->text);
    kb_log_line(kd_log(r->context), "sweep %zu: form: %s", index + 1, choice->why);
    return KCL_OK;
}

static kcl_status launch_kernel(run *r, const kl_step *step, compiled *c, kt_kernel_id id, const geometry *g,
                                size_t items0, size_t items1)
{
    const kt_signature *signature = &c->signature[id];
    kd_arg small_args[SMALL], *args = small_args;
    int64_t small_values[SMALL], *values = small_values;
    const kcl_allocator *a = kd_allocator(r->context);
    if (signature->count > SMALL) {
        args = kb_calloc(a, signature->count, sizeof *args);
        values = kb_calloc(a, signature->count, sizeof *values);
    }
    kcl_status status = args && values ? KCL_OK : kb_no_memory(kd_error(r->context));
    size_t first_prepared = c->plan->var_count - c->plan->prepared_count, own = step->sweep.var_count;
    int64_t size = (int64_t)kb_dtype_size(r->dtype);
    for (size_t k = 0; status == KCL_OK && k < signature->count; k++) {
        kt_arg from = signature->args[k];
        kd_arg *to = &args[k];
        const kl_input *input = from.index < own && from.kind <= KT_ARG_VAR_STRIDE ? &step->inputs[from.index] : NULL;
        const kl_output *output =
            from.kind >= KT_ARG_OUTPUT && from.kind <= KT_ARG_OUTPUT_STEP ? &step->outputs[from.index] : NULL;
        const kl_view *out = output && !output->is_temp ? &r->outs[output->index] : NULL;
        values[k] = 0;
        *to = (kd_arg){.kind = KD_ARG_VALUE, .data = &values[k], .size = sizeof values[k]};
        switch (from.kind) {
        case KT_ARG_VAR:
            if (!input && from.index < first_prepared)
                *to = (kd_arg){.kind = r->host_input,
                               .data = g->form->parameter[from.index - own],
                               .size = g->form->size[from.index - own]};
            else if (!input)
                *to = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = c->prepared[from.index - first_prepared].buffer};
            else if (input->is_temp)
                *to = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = r->temps[input->index]->buffer};
            else
                *to = kl_view_arg(&r->slots[input->index], r->host_input);
            break;
        case KT_ARG_VAR_STRIDE:
            values[k] = r->slots[input->index].row_stride / size;
            break;
        case KT_ARG_OUTPUT:
            if (out)
                *to = kl_view_arg(out, KD_ARG_HOST_OUT);
            else
                *to = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = r->temps[output->index]->buffer};
            break;
        case KT_ARG_OUTPUT_STRIDE:
            values[k] = out ? out->row_stride / (int64_t)kb_dtype_size(out->dtype) : r->exec->temps[output->index].dim;
            break;
        case KT_ARG_OUTPUT_STEP:
            values[k] = out ? out->step / (int64_t)kb_dtype_size(out->dtype) : 1;
            break;
        case KT_ARG_ROWS:
            values[k] = g->rows;
            break;
        case KT_ARG_COLS:
            values[k] = g->cols;
            break;
        case KT_ARG_PARTS:
            values[k] = g->launch.parts;
            break;
        case KT_ARG_PART_LENGTH:
            values[k] = g->launch.part_length;
            break;
        case KT_ARG_PARTIAL:
            *to = (kd_arg){.kind = KD_ARG_BUFFER, .buffer = c->partial.buffer};
            break;
        }
    }
    if (status == KCL_OK)
        status = kd_launch(r->context, c->kernel[id], (int)signature->count, args, (size_t[]){items0, items1, 1},
                           (size_t[]){(size_t)c->plan->group, 1, 1});
    if (args != small_args)
        kb_free(a, args);
    if (values != small_values)
        kb_free(a, values);
    return status;
}

static kcl_status launch_step(run *r, const kl_step *step, compiled *c, geometry g)
{
    kcl_context *context = r->context;
    kcl_status status = KCL_OK;
    kp_launch_for(c->plan, &c->caps, g.rows, g.cols, &g.launch);
    for (size_t k = 0; status == KCL_OK && k < c->plan->prepared_count; k++) {
        const kr_var *var = &c->plan->vars[c->plan->var_count - c->plan->prepared_count + k];
        int64_t elements;
        if (kb_mul_overflows(var->dim, var->role == KF_ROLE_I ? g.rows : g.cols, &elements))
            elements = INT64_MAX;
        status = make_room(context, &c->prepared[k], elements, r->dtype);
    }
    if (status == KCL_OK && c->plan->term_count && c->plan->shape != KP_ROWS)
        status = make_room(context, &c->partial, g.launch.partial_elements, r->dtype);
    for (int side = 0; side < 2; side++)
        if (status == KCL_OK && g.launch.prepare_items[side] && (side == 0 ? g.rows : g.cols))
            status = launch_kernel(r, step, c, side == 0 ? KT_PREPARE_ROWS : KT_PREPARE_COLUMNS, &g,
                                   g.launch.prepare_items[side], 1);
    if (status == KCL_OK && g.launch.sweep_items[0])
        status = launch_kernel(r, step, c, KT_SWEEP, &g, g.launch.sweep_items[0], g.launch.sweep_items[1]);
    if (status == KCL_OK && g.launch.finish_items)
        /* Where both axes are reduced there is one row of results. */
        status = launch_kernel(r, step, c, KT_FINISH,
                               &(geometry){step->sweep.reduced & KF_AXIS_I ? 1 : g.rows, g.cols, g.launch, g.form},
                               g.launch.finish_items, 1);
    return status;
}

static void *host_data(const kl_view *v)
{
    return v->memory ? (char *)kd_memory_host(v->memory) + v->offset : (void *)(uintptr_t)v->data;
}

static kcl_dtype type_of_temp(const run *r, uint32_t index)
{
    return r->exec->temps[index].kind == KF_INT ? KCL_I64 : r->host_temps ? KCL_F64 : r->dtype;
}

static kl_view view_of_temp(const run *r, uint32_t index)
{
    const kl_temp *temp = &r->exec->temps[index];
    kl_view v = {.dtype = type_of_temp(r, index), .rows = rows_of(r->exec, r->slots, temp->extent), .dim = temp->dim};
    v.step = (int64_t)kb_dtype_size(v.dtype);
    v.row_stride = v.dim * v.step;
    if (r->host_temps)
        v.data = r->host_temps[index];
    else
        v.buffer = r->temps[index]->buffer;
    return v;
}

/* A step that is no sweep. */
static kcl_status run_indexed(run *r, const kl_step *step)
{
    kl_indexed work = {.is_scatter = step->kind == KL_SCATTER,
                       .part = step->part,
                       .columns = rows_of(r->exec, r->slots, step->pair_extent),
                       .index = view_of_temp(r, step->inputs[1].index),
                       .out = view_of_temp(r, step->outputs[0].index)};
    work.values =
        step->inputs[0].is_temp ? view_of_temp(r, step->inputs[0].index) : r->slots[step->inputs[0].index];
    if (!r->host_temps)
        return kl_run_indexed(r->context, &work, r->dtype, r->host_input, &r->arena);
    work.values.data = host_data(&work.values);
    return kl_run_indexed_on_host(&work, kd_allocator(r->context), kd_error(r->context));
}

static kcl_status run_step(run *r, size_t index)
{
    const kl_step *step = &r->exec->steps[index];
    kcl_context *context = r->context;
    if (step->kind != KL_SWEEP)
        return run_indexed(r, step);
    kb_error *err = kd_error(context);
    geometry g = {.rows = rows_of(r->exec, r->slots, step->row_extent),
                  .cols = rows_of(r->exec, r->slots, step->col_extent)};
    if (g.rows == 0 && !(step->sweep.reduced & KF_AXIS_I))
        return KCL_OK;
    bool small_dense[SMALL], *dense = small_dense;
    const kcl_allocator *a = kd_allocator(context);
    if (step->sweep.var_count > SMALL)
        dense = kb_calloc(a, step->sweep.var_count, sizeof *dense);
    if (!dense)
        return kb_no_memory(err);
    for (size_t k = 0; k < step->sweep.var_count; k++)
        dense[k] = step->inputs[k].is_temp || is_dense(&r->slots[step->inputs[k].index]);
    kp_choice choice;
    kcl_status status =
        kp_choose(&step->sweep, kd_caps(context), r->dtype, g.rows, g.cols, r->exec->schedule, &choice, err);
    kl_choice form;
    if (status == KCL_OK)
        status = choose_form(r, index, &g, &choice, &form);
    if (status == KCL_OK)
        choice.expand = form.is_expanded;
    g.form = &form;
    compiled *c = status == KCL_OK ? find_compiled(r, index, &choice, dense) : NULL;
    status = c ? launch_step(r, step, c, g) : err->status;
    /* What the driver told beforehand may not have been all. */
    while (c && status == KCL_ERROR_UNSUPPORTED && c->plan->group > 1) {
        kb_error_clear(err);
        status = compile(r, step, &choice, dense, (size_t)c->plan->group / 2, c);
        if (status == KCL_OK) {
            status = launch_step(r, step, c, g);
        } else {
            forget_compiled(context, c);
            c = NULL;
        }
    }
    if (dense != small_dense)
        kb_free(a, dense);
    return status;
}

static kcl_status find_temps(run *r)
{
    const kl_exec *e = r->exec;
    cache *all = cache_of(r->context);
    if (!all)
        return kd_error(r->context)->status;
    for (size_t k = 0; k < e->temp_count; k++) {
        uint64_t key = kb_hash_combine(e->key, (k + 1) * 4 + r->dtype);
        temporary *t = all->temps[key % BUCKETS];
        while (t && t->key != key)
            t = t->next;
        if (!t) {
            t = kb_calloc(kd_allocator(r->context), 1, sizeof *t);
            if (!t)
                return kb_no_memory(kd_error(r->context));
            t->key = key;
            t->next = all->temps[key % BUCKETS];
            all->temps[key % BUCKETS] = t;
        }
        int64_t elements;
        if (kb_mul_overflows(e->temps[k].dim, rows_of(e, r->slots, e->temps[k].extent), &elements))
            elements = INT64_MAX;
        if (make_room(r->context, &t->memory, elements, type_of_temp(r, (uint32_t)k)) < 0)
            return kd_error(r->context)->status;
        r->temps[k] = &t->memory;
    }
    return KCL_OK;
}

static kcl_status end_run(run *r, kcl_status status)
{
    kcl_context *context = r->context;
    /* Nothing may refer to the caller's memory afterwards; the first error is the one to report. */
    status = status < 0 || r->waits ? kl_wait_for(r->context, status) : kd_submit(context);
    if (status == KCL_ERROR_DEVICE_MEMORY)
        empty_rooms(context);
    return status;
}

static kcl_status run_on_device(run *r)
{
    const kcl_allocator *a = kd_allocator(r->context);
    kcl_status status = KCL_OK;
    kb_arena_init(&r->arena, a);
    for (size_t k = 0; status == KCL_OK && k < r->exec->slot_count; k++)
        if (r->slots[k].buffer)
            status = copy_rows(r, &r->given_slots[k], &r->slots[k]);
    if (status == KCL_OK && r->exec->temp_count) {
        r->temps = kb_calloc(a, r->exec->temp_count, sizeof *r->temps);
        status = r->temps ? find_temps(r) : kb_no_memory(kd_error(r->context));
    }
    for (size_t k = 0; status == KCL_OK && k < r->exec->step_count; k++)
        status = run_step(r, k);
    for (size_t k = 0; status == KCL_OK && k < r->exec->root_count; k++)
        if (r->outs[k].buffer)
            status = copy_rows(r, &r->outs[k], &r->given_outs[k]);
    kb_free(a, r->temps);
    status = end_run(r, status);
    kb_arena_finish(&r->arena);
    return status;
}

/* ---- The interpreter --------------------------------------------------------------------------------------------- */

static kcl_status run_host_step(run *r, const kl_step *step)
{
    const kcl_allocator *a = kd_allocator(r->context);
    kb_error *err = kd_error(r->context);
    if (step->kind != KL_SWEEP)
        return run_indexed(r, step);
    int64_t rows = rows_of(r->exec, r->slots, step->row_extent), cols = rows_of(r->exec, r->slots, step->col_extent);
    kf_source *sources = kb_calloc(a, step->sweep.var_count + 1, sizeof *sources);
    kr_sink *sinks = kb_calloc(a, step->sweep.output_count + 1, sizeof *sinks);
    kcl_status status = sources && sinks ? KCL_OK : kb_no_memory(err);
    for (size_t k = 0; status == KCL_OK && k < step->sweep.var_count; k++) {
        const kl_input *in = &step->inputs[k];
        const kl_view *v = in->is_temp ? NULL : &r->slots[in->index];
        int64_t size = sizeof(double);
        sources[k] = v ? (kf_source){host_data(v), v->dtype, v->row_stride, v->step}
                       : (kf_source){r->host_temps[in->index], KCL_F64, r->exec->temps[in->index].dim * size, size};
    }
    for (size_t k = 0; status == KCL_OK && k < step->sweep.output_count; k++) {
        const kl_output *out = &step->outputs[k];
        const kl_view *v = out->is_temp ? NULL : &r->outs[out->index];
        int64_t size = sizeof(double);
        sinks[k] = v ? (kr_sink){host_data(v), v->dtype, v->row_stride, v->step}
                     : (kr_sink){r->host_temps[out->index], type_of_temp(r, out->index),
                                 r->exec->temps[out->index].dim * size, size};
    }
    if (status == KCL_OK)
        status = kr_run_host(&step->sweep, rows, cols, sources, sinks, kd_threads(r->context), err);
    kb_free(a, sources);
    kb_free(a, sinks);
    return status;
}

static kcl_status run_on_host(run *r)
{
    const kcl_allocator *a = kd_allocator(r->context);
    const kl_exec *e = r->exec;
    kcl_status status = KCL_OK;
    r->host_temps = kb_calloc(a, e->temp_count + 1, sizeof *r->host_temps);
    if (!r->host_temps)
        return kb_no_memory(kd_error(r->context));
    for (size_t k = 0; status == KCL_OK && k < e->temp_count; k++) {
        r->host_temps[k] =
            kb_calloc(a, (size_t)e->temps[k].dim * sizeof(double), (size_t)rows_of(e, r->slots, e->temps[k].extent));
        if (!r->host_temps[k])
            status = kb_no_memory(kd_error(r->context));
    }
    for (size_t k = 0; status == KCL_OK && k < e->step_count; k++)
        status = run_host_step(r, &e->steps[k]);
    for (size_t k = 0; k < e->temp_count; k++)
        kb_free(a, r->host_temps[k]);
    kb_free(a, r->host_temps);
    return status;
}

/* ---- Dense copies ------------------------------------------------------------------------------------------------ */

/* Dense copies of what kernels cannot reach where it is, and single rows of what is repeated. */
typedef struct staging {
    kl_view *views; /* the views to use; those that were staged point to `memory` */
    char **memory;  /* by view, NULL where nothing was staged */
    size_t count;
} staging;

/* Whether kernels can work on it where it is. */
static bool is_usable(const kl_view *v, bool is_output, bool copies)
{
    /* Of host arrays whole copies come back: what lies between the elements of an output would be overwritten. */
    return is_reachable(v, is_output) && (!is_output || v->memory || !copies || is_dense(v));
}

/* `roots` belong to outputs; NULL: the views are inputs, and are copied. */
static kcl_status stage(staging *s, kcl_context *context, size_t count, const kl_view *views, const kl_root *roots)
{
    const kcl_allocator *a = kd_allocator(context);
    const bool host = kd_is_host(context), copies = kd_copies(context);
    *s = (staging){.count = count};
    s->views = kb_calloc(a, count + 1, sizeof *s->views);
    s->memory = kb_calloc(a, count + 1, sizeof *s->memory);
    if (!s->views || !s->memory)
        return kb_no_memory(kd_error(context));
    for (size_t k = 0; k < count; k++) {
        bool repeated = roots && roots[k].repeated;
        s->views[k] = views[k];
        if (!repeated && (host || is_usable(&views[k], roots != NULL, copies)))
            continue;
        kl_view *v = &s->views[k];
        v->rows = repeated ? 1 : v->rows;
        v->step = (int64_t)kb_dtype_size(v->dtype);
        v->row_stride = v->dim * v->step;
        if (v->memory && !host) {
            kcl_status status = kd_buffer_create(context, (size_t)(v->rows * v->row_stride), &v->buffer);
            if (status < 0)
                return status;
            continue;
        }
        s->memory[k] = kb_calloc(a, (size_t)v->row_stride, (size_t)v->rows);
        if (!s->memory[k])
            return kb_no_memory(kd_error(context));
        v->data = s->memory[k];
        v->memory = NULL;
        v->offset = 0;
        if (!roots)
            copy_view(&views[k], s->memory[k], true);
    }
    return KCL_OK;
}

static void unstage(staging *s, kcl_context *context, const kl_view *results)
{
    const kcl_allocator *a = kd_allocator(context);
    for (size_t k = 0; s->memory && k < s->count; k++) {
        for (int64_t i = 0; s->memory[k] && results && i < results[k].rows; i += s->views[k].rows) {
            kl_view rows = results[k];
            rows.data = (const char *)host_data(&rows) + i * rows.row_stride;
            rows.rows = s->views[k].rows;
            copy_view(&rows, s->memory[k], false);
        }
        kb_free(a, s->memory[k]);
        kd_buffer_release(context, &s->views[k].buffer);
    }
    kb_free(a, s->memory);
    kb_free(a, s->views);
}

static bool all_usable(size_t count, const kl_view *views, bool is_output, bool copies)
{
    for (size_t k = 0; k < count; k++)
        if (!is_usable(&views[k], is_output, copies))
            return false;
    return true;
}

/* ---- Arrays on the device ---------------------------------------------------------------------------------------- */

kcl_status kl_check_memory(kcl_context *context, const kcl_memory *memory, int64_t lowest, int64_t highest,
                           int64_t offset, kcl_dtype dtype, const char *what)
{
    kb_error *err = kd_error(context);
    if (!memory)
        return KCL_OK;
    if (!kd_has_memory(context, memory))
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "%s is in device memory that this context does not have: it was released, or belongs to another "
                       "context",
                       what);
    if (offset % (int64_t)kb_dtype_size(dtype))
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "%s begins at byte %lld of its device memory, which is no multiple of "
                       "the %zu bytes of a %s",
                       what, (long long)offset, kb_dtype_size(dtype), kb_dtype_name(dtype));
    if (lowest < 0 || (uint64_t)highest > kcl_memory_size(memory))
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s takes the bytes %lld to %lld of its device memory, which has %zu",
                       what, (long long)lowest, (long long)highest, kcl_memory_size(memory));
    return KCL_OK;
}

static bool has_whole_strides(const kl_view *v)
{
    int64_t size = (int64_t)kb_dtype_size(v->dtype);
    return v->row_stride % size == 0 && v->step % size == 0;
}

static void range_of(const kl_view *v, int64_t *lowest, int64_t *highest)
{
    kl_range_of(2, (int64_t[]){v->rows, v->dim}, (int64_t[]){v->row_stride, v->step}, v->offset, v->dtype, lowest,
                highest);
}

static bool overlap(const kl_view *a, const kl_view *b)
{
    int64_t low[2], high[2], width[2];
    range_of(a, &low[0], &high[0]);
    range_of(b, &low[1], &high[1]);
    if (!a->memory || a->memory != b->memory || low[0] >= high[1] || low[1] >= high[0])
        return false;
    /* Columns of one matrix lie side by side. */
    const int64_t pitch = a->row_stride;
    if (a->rows < 2 || b->rows < 2 || pitch <= 0 || b->row_stride != pitch)
        return true;
    width[0] = high[0] - low[0] - (a->rows - 1) * pitch;
    width[1] = high[1] - low[1] - (b->rows - 1) * pitch;
    int64_t from = low[0] % pitch, to = (low[1] - from) % pitch;
    to = to < 0 ? to + pitch : to;
    return to < width[0] || to + width[1] > pitch;
}

static kcl_status check_memory(const kl_exec *e, kcl_context *context, const kl_view *slots, const kl_view *outs)
{
    for (size_t k = 0; k < e->slot_count + e->root_count; k++) {
        bool is_slot = k < e->slot_count;
        const kl_view *v = is_slot ? &slots[k] : &outs[k - e->slot_count];
        int64_t lowest, highest;
        char output[32];
        if (!v->memory)
            continue;
        range_of(v, &lowest, &highest);
        snprintf(output, sizeof output, "output %zu", k - e->slot_count);
        if (kl_check_memory(context, v->memory, lowest, highest, v->offset, v->dtype,
                            is_slot ? e->slots[k].name : output) < 0)
            return kd_error(context)->status;
        if (!has_whole_strides(v))
            return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT,
                           "%s is in device memory, where strides must be multiples of the %zu bytes of a %s",
                           is_slot ? e->slots[k].name : output, kb_dtype_size(v->dtype), kb_dtype_name(v->dtype));
        for (size_t m = 0; !is_slot && m < k; m++)
            if (overlap(m < e->slot_count ? &slots[m] : &outs[m - e->slot_count], v))
                return kb_fail(kd_error(context), KCL_ERROR_ARGUMENT,
                               "output %zu and %s overlap in device memory: give each output memory of its own",
                               k - e->slot_count, m < e->slot_count ? e->slots[m].name : "an output before it");
    }
    return KCL_OK;
}

/* Few enough bytes of host arrays among the arguments that they are copied rather than waited for. */
static bool has_little_host_data(size_t count, const kl_view *views)
{
    enum { LITTLE = 1 << 16 };
    size_t bytes = 0;
    for (size_t k = 0; k < count && bytes <= LITTLE; k++) {
        const kl_view *v = &views[k];
        bytes += v->memory                ? 0
                 : is_reachable(v, false) ? span_of(v)
                                          : (size_t)v->rows * (size_t)v->dim * kb_dtype_size(v->dtype);
    }
    return bytes <= LITTLE;
}

static bool all_on_device(size_t count, const kl_view *views)
{
    for (size_t k = 0; k < count; k++)
        if (!views[k].memory)
            return false;
    return true;
}

/* ---- Evaluations ------------------------------------------------------------------------------------------------- */

kcl_status kl_exec_run(const kl_exec *exec, kcl_context *context, kcl_dtype dtype, const kl_view *slots,
                       const kl_view *outs)
{
    kcl_context_stats *stats = kd_stats(context);
    double start = kb_seconds(), built = stats->build_seconds;
    const bool host = kd_is_host(context), copies = kd_copies(context);
    run r = {.exec = exec,
             .context = context,
             .dtype = dtype,
             .slots = slots,
             .outs = outs,
             .given_slots = slots,
             .given_outs = outs,
             .waits = kd_always_waits(context) || !all_on_device(exec->root_count, outs) ||
                      !has_little_host_data(exec->slot_count, slots)};
    r.host_input = r.waits ? KD_ARG_HOST_IN : KD_ARG_HOST_COPY;
    staging in = {0}, out = {0};
    kcl_status status = check_memory(exec, context, slots, outs);
    if (status < 0)
        return status;
    if (!host && !all_usable(exec->slot_count, slots, false, copies)) {
        status = stage(&in, context, exec->slot_count, slots, NULL);
        r.slots = in.views;
    }
    if (status == KCL_OK && (exec->repeats || (!host && !all_usable(exec->root_count, outs, true, copies)))) {
        status = stage(&out, context, exec->root_count, outs, exec->root);
        r.outs = out.views;
    }
    if (status == KCL_OK)
        status = host ? run_on_host(&r) : run_on_device(&r);
    unstage(&in, context, NULL);
    unstage(&out, context, status == KCL_OK ? outs : NULL);
    double seconds = kb_seconds() - start;
    stats->evaluations++;
    stats->run_seconds += seconds - (stats->build_seconds - built);
    kb_log_line(kd_log(context), "evaluation of %zu results in %zu sweeps: %.6f s, of which %.6f s building%s",
                exec->root_count, exec->step_count, seconds, stats->build_seconds - built,
                r.waits ? "" : "; the device is not waited for");
    return status;
}

kcl_status kl_exec_check(const kl_exec *e, const kl_view *slots, const kl_view *outs, kb_error *err)
{
    for (size_t k = 0; k < e->slot_count; k++) {
        size_t first = 0;
        while (e->slots[first].extent != e->slots[k].extent)
            first++;
        if (e->slots[k].extent && slots[k].rows != slots[first].rows)
            return kb_fail(err, KCL_ERROR_LENGTH, "%s has %lld rows, %s has %lld: both are on axis %s and must agree",
                           e->slots[first].name, (long long)slots[first].rows, e->slots[k].name,
                           (long long)slots[k].rows, e->slots[k].extent == KL_EXTENT_I ? "i" : "j");
    }
    for (size_t k = 0; k < e->root_count; k++) {
        int64_t rows = rows_of(e, slots, e->root[k].extent);
        if (outs[k].rows != rows)
            return kb_fail(err, KCL_ERROR_LENGTH, "output %zu has %lld rows, the result has %lld", k,
                           (long long)outs[k].rows, (long long)rows);
    }
    return KCL_OK;
}

/* What a step was compiled to for dense arrays; NULL: it was not. Not an error where memory is out. */
static compiled *built_before(const kl_exec *e, kcl_context *context, kcl_dtype dtype, size_t step, kp_choice choice)
{
    const cache *all = context ? kd_attachment(context) : NULL;
    size_t count = e->steps[step].sweep.var_count;
    bool *dense = all ? kb_calloc(kd_allocator(context), count + 1, sizeof *dense) : NULL;
    if (!dense)
        return NULL;
    memset(dense, 1, count);
    compiled *c = NULL;
    /* The data of a call chose the form. */
    for (int expand = 1; !c && expand >= 0; expand--) {
        choice.expand = expand;
        c = look_up(all, step_key(e, dtype, step, &choice, dense));
    }
    kb_free(kd_allocator(context), dense);
    return c;
}

/* What the compiler made of the kernel that does the work. */
static void describe_kernel(kcl_context *context, const compiled *c, kb_str *out)
{
    kd_kernel *kernel = c->kernel[KT_SWEEP] ? c->kernel[KT_SWEEP] : c->kernel[KT_FINISH];
    if (!kernel)
        return;
    const kd_limits *limits = kd_kernel_limits(context, kernel);
    if (limits->work_group)
        kb_str_putf(out, "largest work-group: %zu\n", limits->work_group);
    kb_str_putf(out, "local memory: %zu bytes\nprivate memory: %zu bytes\n", limits->local_memory,
                limits->private_memory);
    if (limits->registers >= 0)
        kb_str_putf(out, "registers: %d\n", limits->registers);
    if (limits->spilled >= 0)
        kb_str_putf(out, "spilled bytes: %lld\n", (long long)limits->spilled);
    if (limits->stack >= 0)
        kb_str_putf(out, "stack bytes: %lld\n", (long long)limits->stack);
}

/* What a description says about the form of step `index`. */
static void describe_form(const kl_exec *e, size_t index, kcl_context *context, kcl_dtype dtype, kb_str *out)
{
    static const char *const asked[] = {"by the data of each call", "differences (asked for)", "expanded (asked for)"};
    const char *text = asked[e->form];
    const cache *all = context ? kd_attachment(context) : NULL;
    uint64_t key = kb_hash_combine(e->key, index * 4 + dtype);
    for (const form_note *n = all ? all->forms[key % BUCKETS] : NULL; n; n = n->next)
        if (n->key == key)
            text = n->text;
    if (e->steps[index].expansion)
        kb_str_putf(out, "form: %s\n", text);
}

kcl_status kl_exec_emit(const kl_exec *e, kcl_context *context, const kp_caps *caps, kcl_dtype dtype,
                        const int64_t *extents, bool describe, kb_str *out, kb_error *err)
{
    for (size_t k = 0; k < e->step_count; k++) {
        const kl_step *step = &e->steps[k];
        if (step->kind != KL_SWEEP) {
            kl_emit_indexed(step, dtype, k + 1, e->step_count, describe, out);
            continue;
        }
        kp_plan *plan;
        kt_program program;
        kp_choice choice;
        if (kp_choose(&step->sweep, caps, dtype, extents[step->row_extent], extents[step->col_extent], e->schedule,
                      &choice, err) < 0)
            return err->status;
        choice.expand =
            e->form == KL_FORM_EXPANDED && !(step->expansion && step->expansion->screens && !kp_screens(&choice));
        if (kp_plan_create(&plan, &(kp_request){&step->sweep, dtype, caps, choice, NULL}, err) < 0)
            return err->status;
        if (e->step_count > 1)
            kb_str_putf(out, describe ? "sweep: %zu of %zu\n" : "/* Sweep %zu of %zu. */\n", k + 1, e->step_count);
        kcl_status status = KCL_OK;
        if (describe) {
            kp_launch launch;
            const compiled *c = built_before(e, context, dtype, k, choice);
            const kp_plan *made = c ? c->plan : plan;
            kp_describe(made, out);
            describe_form(e, k, context, dtype, out);
            kp_launch_for(made, c ? &c->caps : caps, extents[step->row_extent], extents[step->col_extent], &launch);
            kb_str_putf(out, "work-items: %zu x %zu\nparts: %lld\n", launch.sweep_items[0], launch.sweep_items[1],
                        (long long)launch.parts);
            if (c)
                describe_kernel(context, c, out);
        } else {
            status = kt_render(&program, plan, err);
            if (status == KCL_OK) {
                kb_str_put(out, kb_str_text(&program.source));
                kt_program_finish(&program);
            }
        }
        kp_plan_destroy(&plan);
        if (status < 0)
            return status;
    }
    return out->failed ? kb_no_memory(err) : KCL_OK;
}
