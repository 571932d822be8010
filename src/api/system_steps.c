/* SPDX-License-Identifier: MIT */
/* api/system_steps.c: what the method of a linear system asks for, as operators applied to vectors. */
#include "system.h"

#include "dense.h"

#include <math.h>
#include <string.h>

/* An array of a number for each system, of a ka_precision's type. */
static kcl_array numbers_array(const ka_system *s, const ka_precision *p, int which)
{
    int64_t sizes[KCL_MAX_AXES];
    int axes = 0;
    for (; axes < s->shape.ndim - 2; axes++)
        sizes[axes] = s->shape.shape[axes];
    sizes[axes++] = ka_system_numbers_dim(s);
    return kcl_array_of(p->numbers[which], p->dtype, axes, sizes);
}

static void read_numbers(const ka_system *s, const ka_precision *p, int which, double *to)
{
    for (size_t k = 0; k < s->count; k++)
        to[k] = ka_number_at(p->numbers[which], p->dtype, (int64_t)k);
}

static void write_numbers(const ka_system *s, ka_precision *p, int which, const double *from)
{
    for (size_t k = 0; k < s->count; k++)
        ka_put_number(p->numbers[which], p->dtype, (int64_t)k, from[k]);
}

kcl_status ka_system_make_vectors(ka_system *s)
{
    for (int k = 0; k < KA_VECTORS; k++) {
        kcl_array_free(&s->vectors[k]);
        const kcl_status status =
            kcl_array_create(s->context, s->now->dtype, s->shape.ndim, s->shape.shape, &s->vectors[k]);
        if (status < 0)
            return status;
    }
    return KCL_OK;
}

static kcl_array host_vector(const ka_system *s, double *numbers, float *narrow)
{
    return kcl_array_of(narrow ? (void *)narrow : numbers, narrow ? KCL_F32 : KCL_F64, s->shape.ndim, s->shape.shape);
}

/* r = b - A x in the highest ka_precision. */
static kcl_status find_residual(ka_system *s)
{
    ka_precision *p = &s->fine;
    kcl_array x = host_vector(s, s->x, s->narrow[0]), b = host_vector(s, s->b, s->narrow[1]),
              r = host_vector(s, s->r, s->narrow[2]), norm = numbers_array(s, p, 0);
    const size_t count = ka_system_matrix_arguments(s);
    for (int64_t at = 0; s->narrow[0] && at < s->elements; at++)
        s->narrow[0][at] = (float)s->x[at];
    p->args[s->unknown] = &x;
    p->args[count] = &b;
    const kcl_status status =
        kcl_operator_apply(s->residual, s->context, (const kcl_array *[]){&r, &norm}, 2, p->args, (int)count + 1);
    for (int64_t at = 0; s->narrow[2] && at < s->elements; at++)
        s->r[at] = s->narrow[2][at];
    return status;
}

void ka_system_norms(const ka_system *s, const double *vector, double *norm)
{
    memset(norm, 0, s->count * sizeof *norm);
    for (int64_t at = 0; at < s->elements; at++)
        norm[ka_system_of(s, at)] += vector[at] * vector[at];
    for (size_t k = 0; k < s->count; k++)
        norm[k] = sqrt(norm[k]);
}

/* x += scale d; what x was is kept. */
static kcl_status add_correction(ka_system *s, const double *scale)
{
    const kcl_array to = ka_system_scratch(s);
    const kcl_status status = kcl_array_download(s->context, &s->vectors[KA_CORRECTION + s->solved], &to);
    memcpy(s->kept, s->x, (size_t)s->elements * sizeof *s->x);
    for (int64_t at = 0; status == KCL_OK && at < s->elements; at++) {
        const double by = scale[ka_system_of(s, at)];
        if (by != 0)
            s->x[at] += by * ka_number_at(s->scratch, s->now->dtype, at);
    }
    s->is_started = true;
    return status;
}

kcl_status ka_system_correct(void *user, const double *scale, double *norm)
{
    ka_system *s = user;
    if (scale && add_correction(s, scale) < 0)
        return kd_error(s->context)->status;
    if (!s->is_started)
        memcpy(s->r, s->b, (size_t)s->elements * sizeof *s->r);
    else if (find_residual(s) < 0)
        return kd_error(s->context)->status;
    ka_system_norms(s, s->r, norm);
    return KCL_OK;
}

/* Subtracting the correction again would leave the rounding errors of a correction that may be far too large. */
static kcl_status undo(void *user, const double *scale)
{
    ka_system *s = user;
    for (int64_t at = 0; at < s->elements; at++)
        if (scale[ka_system_of(s, at)] != 0)
            s->x[at] = s->kept[at];
    return KCL_OK;
}

static kcl_status begin(void *user, const double *norm)
{
    ka_system *s = user;
    const kcl_array from = ka_system_scratch(s);
    memset(s->scratch, 0, (size_t)s->elements * kb_dtype_size(s->now->dtype));
    if (kcl_array_update(s->context, &from, &s->vectors[KA_CORRECTION + s->solved]) < 0)
        return kd_error(s->context)->status;
    memset(s->squares, 0, s->count * sizeof *s->squares);
    for (int64_t at = 0; at < s->elements; at++) {
        const size_t k = ka_system_of(s, at);
        if (norm[k] == 0)
            continue;
        ka_put_number(s->scratch, s->now->dtype, at, s->r[at] / norm[k]);
        const double rounded = ka_number_at(s->scratch, s->now->dtype, at);
        s->squares[k] += rounded * rounded;
    }
    return kcl_array_update(s->context, &from, &s->vectors[KA_RESIDUAL + s->solved]);
}

static kcl_status precondition(void *user, double *rz)
{
    ka_system *s = user;
    if (!s->preconditioner) {
        memcpy(rz, s->squares, s->count * sizeof *rz);
        return KCL_OK;
    }
    const kcl_array *args[] = {&s->vectors[KA_RESIDUAL + s->solved], &s->vectors[KA_PRECONDITIONED]};
    const kcl_array products = numbers_array(s, s->now, 0);
    if (ka_precondition_apply(s->preconditioner, args[0], args[1], s->dim) < 0 ||
        kcl_operator_apply(s->product, s->context, (const kcl_array *[]){&products}, 1, args, 2) < 0)
        return kd_error(s->context)->status;
    read_numbers(s, s->now, 0, rz);
    return KCL_OK;
}

static kcl_status turn(void *user, const double *beta)
{
    ka_system *s = user;
    write_numbers(s, s->now, 0, beta);
    const kcl_array by = numbers_array(s, s->now, 0);
    const kcl_array *args[] = {&s->vectors[s->preconditioner ? KA_PRECONDITIONED : KA_RESIDUAL + s->solved],
                               &s->vectors[KA_DIRECTION + s->turned], &by};
    const kcl_array *out = &s->vectors[KA_DIRECTION + !s->turned];
    s->turned = !s->turned;
    return kcl_operator_apply(s->turn, s->context, &out, 1, args, 3);
}

kcl_status ka_system_apply(void *user, double *pq, double *size)
{
    ka_system *s = user;
    ka_precision *p = s->now;
    kcl_array numbers[3];
    for (int k = 0; k < 3; k++)
        numbers[k] = numbers_array(s, p, k);
    p->args[s->unknown] = &s->vectors[KA_DIRECTION + s->turned];
    const kcl_array *outs[] = {&s->vectors[KA_IMAGE], &numbers[0], &numbers[1], &numbers[2]};
    if (kcl_operator_apply(s->apply, s->context, outs, 4, p->args, (int)ka_system_matrix_arguments(s)) < 0)
        return kd_error(s->context)->status;
    read_numbers(s, p, 0, pq);
    for (size_t k = 0; k < s->count; k++)
        size[k] = sqrt(ka_number_at(p->numbers[1], p->dtype, (int64_t)k)) *
                  sqrt(ka_number_at(p->numbers[2], p->dtype, (int64_t)k));
    return KCL_OK;
}

static kcl_status advance(void *user, const double *step, double *rr)
{
    ka_system *s = user;
    ka_precision *p = s->now;
    write_numbers(s, p, 0, step);
    const kcl_array by = numbers_array(s, p, 0), squares = numbers_array(s, p, 1);
    const kcl_array *args[] = {&s->vectors[KA_CORRECTION + s->solved], &s->vectors[KA_RESIDUAL + s->solved],
                               &s->vectors[KA_DIRECTION + s->turned], &s->vectors[KA_IMAGE], &by};
    const kcl_array *outs[] = {&s->vectors[KA_CORRECTION + !s->solved], &s->vectors[KA_RESIDUAL + !s->solved],
                               &squares};
    if (kcl_operator_apply(s->advance, s->context, outs, 3, args, 5) < 0)
        return kd_error(s->context)->status;
    s->solved = !s->solved;
    read_numbers(s, p, 1, s->squares);
    memcpy(rr, s->squares, s->count * sizeof *rr);
    return KCL_OK;
}

/*
 * A preconditioner pays if eigenvalues of K are far above what is added to the diagonal, and a library computes with the
 * factor; for few rows the products of K cost less than the preconditioner does.
 */
kcl_status ka_system_make_preconditioner(ka_system *s)
{
    enum { FEW_ROWS = 1000, USUAL_RANK = 1000, LEAST_RATIO = 50 };
    const kcl_solve_params *p = s->params;
    const bool is_asked = p->preconditioner == KCL_PRECONDITIONER_CHOLESKY;
    kd_dense_info dense;
    ka_precondition_free(&s->preconditioner);
    if (p->preconditioner == KCL_PRECONDITIONER_NONE || !s->is_separate || s->shape.ndim > 2 || !s->rows ||
        !(s->shift > 0) || (!is_asked && s->rows < FEW_ROWS))
        return KCL_OK;
    if (kd_dense_describe(s->context, &dense) < 0)
        return kd_error(s->context)->status;
    if (!is_asked && !dense.is_fast)
        return KCL_OK;
    const ka_matrix matrix = {s->context, s->op, s->unknown, s->now->dtype, s->now->args, s->rows};
    const int64_t rank = p->rank ? p->rank : KB_MIN(USUAL_RANK, KB_MAX(s->rows / 4, 1));
    const kcl_status status =
        ka_precondition_make(&s->preconditioner, &matrix, s->shift, rank, is_asked ? 0 : LEAST_RATIO);
    if (s->preconditioner)
        kb_log_line(kd_log(s->context), "solve: a preconditioner of rank %lld; %s",
                    (long long)ka_precondition_rank(s->preconditioner), dense.text);
    return status;
}

static kcl_status refine(void *user)
{
    ka_system *s = user;
    s->now = &s->fine;
    return ka_system_make_vectors(s) < 0 ? kd_error(s->context)->status : ka_system_make_preconditioner(s);
}

static void tell(void *user, double fraction)
{
    const ka_system *s = user;
    kd_set_fraction(s->context, fraction);
}

const ks_operations ka_system_operations = {ka_system_correct, undo,    begin,  precondition, turn,
                                            ka_system_apply,   advance, refine, tell};
