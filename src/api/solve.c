/* SPDX-License-Identifier: MIT */
/*
 * api/solve.c: linear systems whose matrix is an operator. The method is that of solve/cg.c; the products with the
 * matrix and all that is done with vectors are operators, so they run on every device.
 */
#include "system.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* x is the start, whose axes are those of the solution but for axes of size 1. */
static kcl_status fetch_start(ka_system *s)
{
    double *own;
    const kcl_status status = ka_system_fetch(s, s->params->start, &own);
    if (status == KCL_OK)
        memcpy(s->x, own, (size_t)s->elements * sizeof *own);
    kb_free(kd_allocator(s->context), own);
    return status;
}

/* Room for the vectors that the host keeps, and the operators. */
static kcl_status make_room(ka_system *s)
{
    const kcl_allocator *a = kd_allocator(s->context);
    const size_t elements = (size_t)s->elements + 1;
    const bool is_narrow = s->fine.dtype == KCL_F32;
    s->x = kb_calloc(a, elements, sizeof *s->x);
    s->kept = kb_calloc(a, elements, sizeof *s->kept);
    s->b = kb_calloc(a, elements, sizeof *s->b);
    s->r = kb_calloc(a, elements, sizeof *s->r);
    s->scratch = kb_calloc(a, elements, sizeof(double));
    s->squares = kb_calloc(a, s->count + 1, sizeof *s->squares);
    for (int k = 0; is_narrow && k < 3; k++)
        if (!(s->narrow[k] = kb_calloc(a, elements, sizeof(float))))
            return kb_no_memory(kd_error(s->context));
    if (!s->x || !s->kept || !s->b || !s->r || !s->scratch || !s->squares)
        return kb_no_memory(kd_error(s->context));
    if (ka_system_make_operators(s) < 0)
        return kd_error(s->context)->status;
    return ka_system_make_vectors(s);
}

static void end_system(ka_system *s)
{
    const kcl_allocator *a = kd_allocator(s->context);
    kcl_operator **const made[] = {&s->apply, &s->residual, &s->advance, &s->turn, &s->product};
    ka_precondition_free(&s->preconditioner);
    for (size_t k = 0; k < KB_COUNT(made); k++)
        kcl_operator_destroy(made[k]);
    for (int k = 0; k < KA_VECTORS; k++)
        kcl_array_free(&s->vectors[k]);
    ka_system_end_precision(s, &s->given);
    ka_system_end_precision(s, &s->fine);
    kb_free(a, s->x);
    kb_free(a, s->kept);
    kb_free(a, s->b);
    kb_free(a, s->r);
    kb_free(a, s->scratch);
    kb_free(a, s->squares);
    for (int k = 0; k < 3; k++)
        kb_free(a, s->narrow[k]);
}

/* Whether <u, K v> = <v, K u> for two random vectors, up to rounding. */
static kcl_status probe_symmetry(ka_system *s, bool *is_symmetric)
{
    *is_symmetric = true;
    double *const random[2] = {s->x, s->r};
    uint64_t state = 1;
    double form[2] = {0}, size[2] = {0};
    for (int64_t at = 0; at < 2 * s->elements; at++) {
        state = kb_hash_combine(state, (uint64_t)at);
        random[at % 2][at / 2] = (double)(state >> 11) * 0x1p-52 - 1;
    }
    const kcl_array host = ka_system_scratch(s);
    double *unused = kb_calloc(kd_allocator(s->context), 2 * s->count + 1, sizeof *unused);
    kcl_status status = unused ? KCL_OK : kb_no_memory(kd_error(s->context));
    for (int k = 0; status == KCL_OK && k < 2; k++) {
        for (int64_t at = 0; at < s->elements; at++)
            ka_put_number(s->scratch, s->now->dtype, at, random[k][at]);
        status = kcl_array_update(s->context, &host, &s->vectors[KA_DIRECTION + s->turned]);
        if (status == KCL_OK)
            status = ka_system_apply(s, unused, unused + s->count);
        if (status == KCL_OK)
            status = kcl_array_download(s->context, &s->vectors[KA_IMAGE], &host);
        for (int64_t at = 0; status == KCL_OK && at < s->elements; at++) {
            const double image = ka_number_at(s->scratch, s->now->dtype, at);
            form[k] += random[!k][at] * image;
            size[k] += image * image;
        }
    }
    kb_free(kd_allocator(s->context), unused);
    const double roundoff = s->now->dtype == KCL_F32 ? FLT_EPSILON : DBL_EPSILON;
    const double scale = sqrt((double)s->elements * KB_MAX(size[0], size[1]));
    *is_symmetric = !(fabs(form[0] - form[1]) > 100 * roundoff * scale);
    memset(s->x, 0, (size_t)s->elements * sizeof *s->x);
    return status;
}

/* The residual of the solution as the caller's array holds it, rounded to float32. */
static kcl_status round_solution(ka_system *s, kcl_solve_result *results, const double *goal)
{
    double *norm = kb_calloc(kd_allocator(s->context), s->count + 1, sizeof *norm);
    kcl_status status = norm ? KCL_OK : kb_no_memory(kd_error(s->context));
    for (int64_t at = 0; at < s->elements; at++)
        s->x[at] = (double)(float)s->x[at];
    if (status == KCL_OK)
        status = ka_system_correct(s, NULL, norm);
    for (size_t k = 0; status == KCL_OK && k < s->count; k++) {
        results[k].residual = norm[k];
        if (results[k].reason == KCL_SOLVE_CONVERGED && !(norm[k] <= goal[k]))
            results[k].reason = KCL_SOLVE_NOT_REACHED;
    }
    kb_free(kd_allocator(s->context), norm);
    return status;
}

/*
 * Directions without positive curvature were met. The vector of ones tells a matrix that has curvatures of both signs, as
 * those of distances have, even if all residuals lie where the curvature is negative.
 */
static kcl_status probe_curvature(ka_system *s, kcl_solve_result *results)
{
    bool is_needed = false;
    for (size_t k = 0; k < s->count; k++)
        is_needed = is_needed || results[k].reason == KCL_SOLVE_NOT_POSITIVE_DEFINITE;
    if (!is_needed)
        return KCL_OK;
    double *form = kb_calloc(kd_allocator(s->context), 2 * s->count + 1, sizeof *form);
    const kcl_array ones = ka_system_scratch(s);
    for (int64_t at = 0; at < s->elements; at++)
        ka_put_number(s->scratch, s->now->dtype, at, 1);
    kcl_status status = form ? kcl_array_update(s->context, &ones, &s->vectors[KA_DIRECTION + s->turned])
                             : kb_no_memory(kd_error(s->context));
    if (status == KCL_OK)
        status = ka_system_apply(s, form, form + s->count);
    for (size_t k = 0; status == KCL_OK && k < s->count; k++)
        if (results[k].reason == KCL_SOLVE_NOT_POSITIVE_DEFINITE && form[k] > 0)
            results[k].reason = KCL_SOLVE_INDEFINITE;
    kb_free(kd_allocator(s->context), form);
    return status;
}

static kcl_status solve_systems(ka_system *s, kcl_solve_result *results)
{
    const kcl_solve_params *p = s->params;
    const kcl_allocator *a = kd_allocator(s->context);
    double *norm = kb_calloc(a, s->count + 1, sizeof *norm), *goal = kb_calloc(a, s->count + 1, sizeof *goal);
    kcl_status status = norm && goal ? KCL_OK : kb_no_memory(kd_error(s->context));
    if (status == KCL_OK) {
        ka_system_norms(s, s->b, norm);
        const double usual = s->is_rounded ? 1e-4 : 1e-6;
        const double tolerance = p->tolerance > 0 || p->absolute > 0 ? p->tolerance : usual;
        for (size_t k = 0; k < s->count; k++)
            goal[k] = KB_MAX(tolerance * norm[k], p->absolute);
        /* The solution for b = 0 is 0, whatever the guess is. */
        for (int64_t at = 0; at < s->elements; at++)
            if (norm[ka_system_of(s, at)] == 0)
                s->x[at] = 0;
        ks_operations own = ka_system_operations;
        if (s->now == &s->fine || p->keeps_precision || s->fine.dtype == s->given.dtype)
            own.refine = NULL;
        const ks_problem problem = {.count = s->count,
                                    .norm = norm,
                                    .goal = goal,
                                    .max_iterations =
                                        p->max_iterations ? p->max_iterations : KB_MAX(1000, 10 * s->rows),
                                    .unit_roundoff = s->now->dtype == KCL_F32 ? FLT_EPSILON : DBL_EPSILON,
                                    .is_finest = s->given.dtype == s->fine.dtype,
                                    .operations = &own,
                                    .user = s,
                                    .allocator = a};
        status = ks_solve(&problem, results, kd_error(s->context));
    }
    if (status == KCL_OK)
        status = probe_curvature(s, results);
    if (status == KCL_OK && s->is_rounded && s->is_started)
        status = round_solution(s, results, goal);
    kb_free(a, norm);
    kb_free(a, goal);
    return status;
}

static kcl_status tell_result(const ka_system *s, const kcl_solve_result *results)
{
    for (size_t k = 0; k < s->count; k++) {
        const kcl_solve_result *r = &results[k];
        if (r->reason == KCL_SOLVE_CONVERGED)
            continue;
        return kb_fail(kd_error(s->context), KCL_ERROR_NOT_SOLVED,
                       "kcl_operator_solve: system %zu of %zu (%s): %s; after %lld products the residual is %.3g%s", k,
                       s->count, kcl_solve_reason_name(r->reason), kcl_solve_reason_text(r->reason),
                       (long long)r->iterations, r->norm > 0 ? r->residual / r->norm : r->residual,
                       r->norm > 0 ? " of |b|" : "");
    }
    return KCL_OK;
}

static kcl_status run(ka_system *s, const kcl_array *solution, const kcl_array *const *args, kcl_solve_result *results)
{
    kb_error *err = kd_error(s->context);
    const bool has_f64 = kd_is_host(s->context) || kd_caps(s->context)->has_f64;
    const kcl_dtype given = s->shape.dtype, fine = has_f64 ? KCL_F64 : KCL_F32;
    s->now = &s->given;
    s->is_rounded = solution->dtype == KCL_F32;
    bool is_symmetric = true;
    if (ka_system_make_precision(s, &s->given, given, args, false) < 0 ||
        ka_system_make_precision(s, &s->fine, fine, args, given != fine) < 0 || make_room(s) < 0 ||
        ka_system_fetch_vector(s, args[s->unknown], s->b) < 0 ||
        (s->params->checks_symmetry && probe_symmetry(s, &is_symmetric) < 0))
        return err->status;
    if (!is_symmetric) {
        for (size_t k = 0; k < s->count; k++)
            results[k] = (kcl_solve_result){.reason = KCL_SOLVE_NOT_SYMMETRIC};
        for (int64_t at = 0; at < s->elements; at++)
            results[ka_system_of(s, at)].norm += s->b[at] * s->b[at];
        for (size_t k = 0; k < s->count; k++)
            results[k].residual = results[k].norm = sqrt(results[k].norm);
    } else {
        if (s->params->start && fetch_start(s) < 0)
            return err->status;
        s->is_started = s->params->start;
        if (ka_system_find_shift(s) < 0 || ka_system_make_preconditioner(s) < 0)
            return err->status;
        if (solve_systems(s, results) < 0)
            return err->status;
    }
    return ka_system_give_solution(s, solution) < 0 ? err->status : tell_result(s, results);
}

kcl_status kcl_operator_solve(const kcl_operator *op, kcl_context *context, const char *unknown,
                              const kcl_array *solution, const kcl_array *const *args, int arg_count,
                              const kcl_solve_params *params, kcl_solve_result *results, int64_t result_count)
{
    static const kcl_solve_params defaults = {0};
    kcl_status status = kd_enter(context);
    if (status < 0)
        return status;
    kb_error *err = kd_error(context);
    if (!op)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: the operator is NULL");
    if (op->error.status < 0) {
        *err = op->error;
        return err->status;
    }
    ka_system s = {.context = context, .op = op, .params = params ? params : &defaults, .noise = {.ndim = -1}};
    for (int k = 0; k < KA_VECTORS; k++)
        s.vectors[k].ndim = -1;
    if (ka_system_check(&s, unknown, solution, args, arg_count) < 0 || ka_system_check_formula(&s) < 0 ||
        ka_system_find_shape(&s, solution, args) < 0)
        return err->status;
    if (results ? result_count != (int64_t)s.count : result_count != 0)
        return kb_fail(err, KCL_ERROR_LENGTH, "kcl_operator_solve: there are %zu systems, and room for %lld results",
                       s.count, (long long)result_count);
    kcl_solve_result *room = results ? results : kb_calloc(kd_allocator(context), s.count + 1, sizeof *room);
    status = room ? kd_begin_whole(context) : kb_no_memory(err);
    if (status == KCL_OK)
        status = run(&s, solution, args, room);
    kd_end_whole(context, status);
    if (!results)
        kb_free(kd_allocator(context), room);
    end_system(&s);
    return status;
}

const char *kcl_solve_reason_name(kcl_solve_reason reason)
{
    switch (reason) {
#define NAME(name, value, text)                                                                                        \
    case name:                                                                                                         \
        return #name;
        KCL_SOLVE_REASONS(NAME)
#undef NAME
    }
    return "KCL_SOLVE_?";
}

const char *kcl_solve_reason_text(kcl_solve_reason reason)
{
    switch (reason) {
#define TEXT(name, value, text)                                                                                        \
    case name:                                                                                                         \
        return text;
        KCL_SOLVE_REASONS(TEXT)
#undef TEXT
    }
    return "no reason of a solver";
}
