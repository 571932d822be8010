/* SPDX-License-Identifier: MIT */
/* api/system_arrays.c: copies between the arrays of a caller and those of a linear system. */
#include "system.h"

/* Goes through the elements of a host array in row-major order. */
static void for_elements(const kcl_array *array, void (*visit)(void *user, char *element, int64_t at), void *user)
{
    const int64_t count = ka_elements_of(array);
    int64_t place[KCL_MAX_AXES] = {0};
    char *element = array->data;
    for (int64_t at = 0; at < count; at++) {
        visit(user, element, at);
        for (int k = array->ndim - 1; k >= 0; k--) {
            element += array->stride[k];
            if (++place[k] < array->shape[k])
                break;
            element -= array->stride[k] * array->shape[k];
            place[k] = 0;
        }
    }
}

typedef struct copy {
    kcl_dtype dtype;
    double *dense;
} copy;

static void read_element(void *user, char *element, int64_t at)
{
    const copy *c = user;
    c->dense[at] = ka_number_at(element, c->dtype, 0);
}

static void write_element(void *user, char *element, int64_t at)
{
    const copy *c = user;
    ka_put_number(element, c->dtype, 0, c->dense[at]);
}

/* A dense copy in double of an array of real numbers. The caller frees *to with the context's allocator. */
kcl_status ka_system_fetch(ka_system *s, const kcl_array *from, double **to)
{
    const kcl_allocator *a = kd_allocator(s->context);
    const int64_t count = ka_elements_of(from);
    kcl_array host = *from;
    void *staged = NULL;
    *to = kb_alloc(a, (size_t)KB_MAX(count, 1) * sizeof **to);
    if (!*to)
        return kb_no_memory(kd_error(s->context));
    if (from->memory) {
        staged = kb_alloc(a, (size_t)KB_MAX(count, 1) * kb_dtype_size(from->dtype));
        if (!staged)
            return kb_no_memory(kd_error(s->context));
        host = kcl_array_of(staged, from->dtype, from->ndim, from->shape);
        if (kcl_array_download(s->context, from, &host) < 0) {
            kb_free(a, staged);
            return kd_error(s->context)->status;
        }
    }
    for_elements(&host, read_element, &(copy){host.dtype, *to});
    kb_free(a, staged);
    return KCL_OK;
}

/* A copy of an argument in the type of `p`, on the device. */
static kcl_status copy_argument(ka_system *s, ka_precision *p, size_t number, const kcl_array *array)
{
    if (array->dtype == KCL_I64)
        return KCL_OK;
    double *numbers;
    kcl_status status = ka_system_fetch(s, array, &numbers);
    if (status == KCL_OK) {
        const kcl_array host = kcl_array_of(numbers, KCL_F64, array->ndim, array->shape);
        status = kcl_array_upload(s->context, &host, &p->own[number]);
    }
    kb_free(kd_allocator(s->context), numbers);
    p->args[number] = &p->own[number];
    return status;
}

/* Arguments of the matrix in one ka_precision: of the caller, or copies. */
kcl_status ka_system_make_precision(ka_system *s, ka_precision *p, kcl_dtype dtype, const kcl_array *const *args,
                                    bool copies)
{
    const kcl_allocator *a = kd_allocator(s->context);
    const size_t inputs = s->op->input_count, count = inputs + 3;
    p->dtype = dtype;
    p->args = kb_calloc(a, count, sizeof *p->args);
    p->own = kb_calloc(a, count, sizeof *p->own);
    for (int k = 0; k < 3; k++)
        p->numbers[k] = kb_calloc(a, s->count + 1, sizeof(double));
    if (!p->args || !p->own || !p->numbers[0] || !p->numbers[1] || !p->numbers[2])
        return kb_no_memory(kd_error(s->context));
    for (size_t k = 0; k < count; k++)
        p->own[k].ndim = -1;
    for (size_t k = 0; k < inputs; k++)
        p->args[k] = args[k];
    ka_put_number(&p->alpha, dtype, 0, s->params->alpha);
    p->own[inputs] = kcl_array_of(&p->alpha, dtype, 1, (const int64_t[]){1});
    p->args[inputs] = &p->own[inputs];
    if (s->noise.ndim >= 0)
        p->args[inputs + 1] = &s->noise;
    kcl_status status = KCL_OK;
    for (size_t k = 0; copies && status == KCL_OK && k < ka_system_matrix_arguments(s); k++)
        if (k != s->unknown && k != inputs)
            status = copy_argument(s, p, k, p->args[k]);
    return status;
}

void ka_system_end_precision(const ka_system *s, ka_precision *p)
{
    const kcl_allocator *a = kd_allocator(s->context);
    for (size_t k = 0; p->own && k < s->op->input_count + 3; k++)
        if (p->own[k].ndim >= 0 && p->own[k].memory)
            kcl_array_free(&p->own[k]);
    kb_free(a, p->args);
    kb_free(a, p->own);
    for (int k = 0; k < 3; k++)
        kb_free(a, p->numbers[k]);
}

/* Sees the argument of the unknown as the operator does. */
kcl_status ka_system_view_unknown(const ka_system *s, kx_view *view, const kcl_array *array)
{
    return kx_view_of(view, array, KF_ROLE_J, (int32_t)s->dim, s->shape.ndim > 2 ? KX_STATED : KX_SQUEEZED,
                      s->op->inputs[s->unknown].label, kd_error(s->context));
}

/* An array of rows of the unknown's dimension, broadcast to the solution's shape, in double. */
kcl_status ka_system_fetch_vector(ka_system *s, const kcl_array *from, double *to)
{
    double *own;
    kx_view view;
    kcl_status status = ka_system_fetch(s, from, &own);
    if (status == KCL_OK) {
        const kcl_array dense = kcl_array_of(own, KCL_F64, from->ndim, from->shape);
        status = ka_system_view_unknown(s, &view, &dense);
    }
    if (status == KCL_OK) {
        kg_batch batch = {.count = s->shape.ndim - 2};
        for (int k = 0; k < batch.count; k++)
            batch.size[k] = s->shape.shape[batch.count - 1 - k];
        int64_t place[KF_MAX_BATCH] = {0}, at = 0;
        if (s->elements)
            do {
                const char *row = (const char *)view.data + kx_offset_at(&view, place);
                for (int64_t i = 0; i < s->rows; i++)
                    for (int64_t k = 0; k < s->dim; k++)
                        to[at++] = *(const double *)(row + i * view.row_stride + k * view.step);
            } while (kx_next_place(&batch, place));
    }
    kb_free(kd_allocator(s->context), own);
    return status;
}

kcl_status ka_system_find_shift(ka_system *s)
{
    s->shift = s->params->alpha;
    if (s->noise.ndim < 0)
        return KCL_OK;
    double *noise;
    const kcl_status status = ka_system_fetch(s, &s->noise, &noise);
    const int64_t count = status == KCL_OK ? ka_elements_of(&s->noise) : 0;
    for (int64_t at = 0; at < count; at++)
        s->shift += noise[at] / (double)count;
    kb_free(kd_allocator(s->context), noise);
    return status;
}

/* Gives the solution to the caller's array. */
kcl_status ka_system_give_solution(ka_system *s, const kcl_array *solution)
{
    if (!solution->memory) {
        kcl_array to = *solution;
        for_elements(&to, write_element, &(copy){to.dtype, s->x});
        return KCL_OK;
    }
    for (int64_t at = 0; at < s->elements; at++)
        ka_put_number(s->scratch, solution->dtype, at, s->x[at]);
    const kcl_array from = kcl_array_of(s->scratch, solution->dtype, solution->ndim, solution->shape);
    return kcl_array_update(s->context, &from, solution);
}
