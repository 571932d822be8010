/* SPDX-License-Identifier: MIT */
/*
 * api/solve.c: linear systems whose matrix is an operator. The method is that of solve/cg.c; the products with the
 * matrix and all that is done with vectors are operators, so they run on every device.
 */
#include "method.h"

#include "calculus.h"
#include "dense.h"
#include "make.h"
#include "operator.h"
#include "order.h"
#include "passes.h"
#include "precondition.h"
#include "reductions.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Vectors in the precision of the iterations. Two of a kind take turns: an operator reads one and writes the other. */
enum { CORRECTION = 0, RESIDUAL = 2, DIRECTION = 4, IMAGE = 6, PRECONDITIONED = 7, VECTORS = 8 };

/* One precision: the operators' arguments, and room for numbers. */
typedef struct precision {
    kcl_dtype dtype;
    const kcl_array **args; /* of the operator that applies the matrix */
    kcl_array *own;         /* copies in this precision, by argument; ndim -1: none */
    void *numbers[3];       /* by system, of this type */
    double alpha;           /* a number of this type lies there */
} precision;

typedef struct linear_system {
    kcl_context *context;
    const kcl_operator *op;
    size_t unknown;   /* number of the argument */
    bool is_separate; /* columns are systems of their own */
    const kcl_solve_params *params;
    kcl_array shape; /* of the solution: batch axes, rows, components */
    int64_t elements, rows, dim, batches;
    size_t count; /* of systems */
    kcl_operator *apply, *residual, *advance, *turn, *product;
    ka_preconditioner *preconditioner; /* NULL: none */
    precision given, fine, *now;       /* the arrays of the caller; the highest; the iterations' */
    kcl_array vectors[VECTORS];
    int solved, turned; /* 0 or 1: which of two vectors of a kind is the one that counts; turned: of DIRECTION */
    double *squares;    /* by system: inner products of the residual with itself */
    double *x, *b, *r;  /* the solution, the right-hand side, the residual, dense and in double */
    void *scratch;      /* a vector, in the precision of the iterations */
    float *narrow[3];   /* x, b and r where the device has no float64; else NULL */
    bool is_started;    /* x may differ from 0 */
    double shift;       /* alpha and the mean of the noise */
    bool is_rounded;    /* the solution is wanted in float32 */
    kcl_array noise;    /* ndim -1: none */
} linear_system;

/* ---- Operators ---------------------------------------------------------------------------------------------------- */

static const kf_node *norm_of(const linear_system *s, kf_graph *g, const kf_node *a, const kf_node *b)
{
    const kf_node *product = kf_binary(g, KF_MULT, a, b);
    if (product && !s->is_separate)
        product = kf_unary(g, KF_SUM, product);
    return product ? kf_reduce(g, KF_REDUCE_SUM, KF_AXIS_I, 0, product) : NULL;
}

/* An operator of rows of i and parameters; its results are added by finish_operator. */
static kcl_operator *start_operator(const linear_system *s)
{
    kcl_operator *op = ka_operator_new(&(kcl_operator_params){.allocator = *kd_allocator(s->context)});
    if (!op)
        kb_no_memory(kd_error(s->context));
    return op;
}

static const kf_node *declare(kcl_operator *op, const char *name, int32_t dim, kf_role role)
{
    const int64_t index = (int64_t)op->input_count;
    return ka_operator_declare(op, index, name, dim, role) < 0 ? NULL : kf_var(&op->graph, index, dim, role);
}

/* Compiles the operator with results `roots`. On failure the operator is destroyed and the context has the error. */
static kcl_status finish_operator(const linear_system *s, kcl_operator **op, size_t count, const kf_node *const *roots)
{
    kcl_operator *o = *op;
    kcl_status status = o->graph.error.status;
    if (status == KCL_OK)
        status = ka_operator_add_roots(o, count);
    for (size_t k = 0; status == KCL_OK && k < count; k++) {
        o->roots[k] = roots[k];
        o->outputs[k].role = roots[k]->axes & KF_AXIS_I ? KF_ROLE_I : KF_ROLE_P;
    }
    if (status == KCL_OK)
        status = ka_operator_compile(o);
    if (status < 0) {
        *kd_error(s->context) = o->error.status < 0 ? o->error : o->graph.error;
        kcl_operator_destroy(op);
        return kd_error(s->context)->status;
    }
    return KCL_OK;
}

/* The arguments of the matrix, and (alpha + noise) v + K v of the unknown v. */
static const kf_node *matrix_times(const linear_system *s, kcl_operator *op, const kf_node **v)
{
    kf_graph *g = &op->graph;
    op->options = s->op->options;
    op->joins_axes = true;
    for (size_t k = 0; k < s->op->input_count; k++) {
        if (ka_operator_declare(op, (int64_t)k, s->op->inputs[k].name, s->op->inputs[k].dim, s->op->inputs[k].role) < 0)
            return NULL;
        op->inputs[k] = s->op->inputs[k];
    }
    const kf_node *product, *diagonal = declare(op, "alpha", 1, KF_ROLE_P);
    if (kf_import(g, &s->op->graph, 1, s->op->roots, &product) < 0 || !diagonal)
        return NULL;
    if (s->noise.ndim >= 0) {
        const kf_node *noise = declare(op, "noise", 1, KF_ROLE_I);
        diagonal = noise ? kf_binary(g, KF_ADD, diagonal, noise) : NULL;
    }
    *v = kf_var(g, (int64_t)s->unknown, s->op->inputs[s->unknown].dim, KF_ROLE_I);
    return diagonal && *v ? kf_binary(g, KF_ADD, product, kf_binary(g, KF_MULT, diagonal, *v)) : NULL;
}

static kcl_status make_apply(linear_system *s)
{
    const kf_node *v, *roots[4];
    if (!(s->apply = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    kf_graph *g = &s->apply->graph;
    roots[0] = matrix_times(s, s->apply, &v);
    roots[1] = roots[0] ? norm_of(s, g, v, roots[0]) : NULL;
    roots[2] = roots[0] ? norm_of(s, g, v, v) : NULL;
    roots[3] = roots[0] ? norm_of(s, g, roots[0], roots[0]) : NULL;
    return finish_operator(s, &s->apply, KB_COUNT(roots), roots);
}

static kcl_status make_residual(linear_system *s)
{
    const kf_node *v, *roots[2] = {NULL};
    if (!(s->residual = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    kf_graph *g = &s->residual->graph;
    const kf_node *image = matrix_times(s, s->residual, &v);
    const kf_node *b = image ? declare(s->residual, "", (int32_t)s->dim, KF_ROLE_I) : NULL;
    roots[0] = b ? kf_binary(g, KF_SUB, b, image) : NULL;
    roots[1] = roots[0] ? norm_of(s, g, roots[0], roots[0]) : NULL;
    return finish_operator(s, &s->residual, KB_COUNT(roots), roots);
}

/* a times v, and 0 where a is 0, whatever v is: the vectors of systems that have ended may hold NaN. */
static const kf_node *scaled(kf_graph *g, const kf_node *a, const kf_node *v)
{
    const kf_node *product = kf_binary(g, KF_MULT, a, v);
    return product ? kf_make(g, KF_WHERE, (const kf_node *[]){a, product, kf_zero(g, 1)}, NULL) : NULL;
}

static int32_t numbers_dim(const linear_system *s)
{
    return s->is_separate ? (int32_t)s->dim : 1;
}

static kcl_status make_steps(linear_system *s)
{
    const kf_node *v[4], *roots[3] = {NULL};
    if (!(s->advance = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    for (int k = 0; k < 4; k++)
        v[k] = declare(s->advance, "", (int32_t)s->dim, KF_ROLE_I);
    const kf_node *a = declare(s->advance, "", numbers_dim(s), KF_ROLE_P);
    kf_graph *g = &s->advance->graph;
    if (a && v[3]) {
        roots[0] = kf_binary(g, KF_ADD, v[0], scaled(g, a, v[2]));
        roots[1] = kf_binary(g, KF_SUB, v[1], scaled(g, a, v[3]));
        roots[2] = norm_of(s, g, roots[1], roots[1]);
    }
    if (finish_operator(s, &s->advance, 3, roots) < 0)
        return kd_error(s->context)->status;
    if (!(s->turn = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    g = &s->turn->graph;
    for (int k = 0; k < 2; k++)
        v[k] = declare(s->turn, "", (int32_t)s->dim, KF_ROLE_I);
    a = declare(s->turn, "", numbers_dim(s), KF_ROLE_P);
    if (a && v[1])
        roots[0] = kf_binary(g, KF_ADD, v[0], scaled(g, a, v[1]));
    if (finish_operator(s, &s->turn, 1, roots) < 0)
        return kd_error(s->context)->status;
    if (!(s->product = start_operator(s)))
        return KCL_ERROR_NO_MEMORY;
    for (int k = 0; k < 2; k++)
        v[k] = declare(s->product, "", (int32_t)s->dim, KF_ROLE_I);
    roots[0] = v[1] ? norm_of(s, &s->product->graph, v[0], v[1]) : NULL;
    return finish_operator(s, &s->product, 1, roots);
}

/* ---- Arrays ------------------------------------------------------------------------------------------------------- */

static double number_at(const void *data, kcl_dtype dtype, int64_t at)
{
    return dtype == KCL_F32 ? (double)((const float *)data)[at] : ((const double *)data)[at];
}

static void put_number(void *data, kcl_dtype dtype, int64_t at, double number)
{
    if (dtype == KCL_F32)
        ((float *)data)[at] = (float)number;
    else
        ((double *)data)[at] = number;
}

static int64_t elements_of(const kcl_array *array)
{
    int64_t count = 1;
    for (int k = 0; k < array->ndim; k++)
        count *= array->shape[k];
    return count;
}

/* Goes through the elements of a host array in row-major order. */
static void for_elements(const kcl_array *array, void (*visit)(void *user, char *element, int64_t at), void *user)
{
    const int64_t count = elements_of(array);
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
    c->dense[at] = number_at(element, c->dtype, 0);
}

static void write_element(void *user, char *element, int64_t at)
{
    const copy *c = user;
    put_number(element, c->dtype, 0, c->dense[at]);
}

/* A dense copy in double of an array of real numbers. The caller frees *to with the context's allocator. */
static kcl_status fetch(linear_system *s, const kcl_array *from, double **to)
{
    const kcl_allocator *a = kd_allocator(s->context);
    const int64_t count = elements_of(from);
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
static kcl_status copy_argument(linear_system *s, precision *p, size_t number, const kcl_array *array)
{
    if (array->dtype == KCL_I64)
        return KCL_OK;
    double *numbers;
    kcl_status status = fetch(s, array, &numbers);
    if (status == KCL_OK) {
        const kcl_array host = kcl_array_of(numbers, KCL_F64, array->ndim, array->shape);
        status = kcl_array_upload(s->context, &host, &p->own[number]);
    }
    kb_free(kd_allocator(s->context), numbers);
    p->args[number] = &p->own[number];
    return status;
}

/* An array of a number for each system, of a precision's type. */
static kcl_array numbers_array(const linear_system *s, const precision *p, int which)
{
    int64_t sizes[KCL_MAX_AXES];
    int axes = 0;
    for (; axes < s->shape.ndim - 2; axes++)
        sizes[axes] = s->shape.shape[axes];
    sizes[axes++] = numbers_dim(s);
    return kcl_array_of(p->numbers[which], p->dtype, axes, sizes);
}

static void read_numbers(const linear_system *s, const precision *p, int which, double *to)
{
    for (size_t k = 0; k < s->count; k++)
        to[k] = number_at(p->numbers[which], p->dtype, (int64_t)k);
}

static void write_numbers(const linear_system *s, precision *p, int which, const double *from)
{
    for (size_t k = 0; k < s->count; k++)
        put_number(p->numbers[which], p->dtype, (int64_t)k, from[k]);
}

/* The system of an element of a vector. */
static size_t system_of(const linear_system *s, int64_t at)
{
    const int64_t batch = at / (s->rows * s->dim);
    return (size_t)(s->is_separate ? batch * s->dim + at % s->dim : batch);
}

static kcl_status make_vectors(linear_system *s)
{
    for (int k = 0; k < VECTORS; k++) {
        kcl_array_free(&s->vectors[k]);
        const kcl_status status =
            kcl_array_create(s->context, s->now->dtype, s->shape.ndim, s->shape.shape, &s->vectors[k]);
        if (status < 0)
            return status;
    }
    return KCL_OK;
}

/* ---- Operations of the method -------------------------------------------------------------------------------------- */

static kcl_array host_vector(const linear_system *s, double *numbers, float *narrow)
{
    return kcl_array_of(narrow ? (void *)narrow : numbers, narrow ? KCL_F32 : KCL_F64, s->shape.ndim, s->shape.shape);
}

static kcl_array scratch_vector(const linear_system *s)
{
    return kcl_array_of(s->scratch, s->now->dtype, s->shape.ndim, s->shape.shape);
}

static size_t matrix_arguments(const linear_system *s)
{
    return s->op->input_count + 1 + (s->noise.ndim >= 0);
}

/* r = b - A x in the highest precision. */
static kcl_status find_residual(linear_system *s)
{
    precision *p = &s->fine;
    kcl_array x = host_vector(s, s->x, s->narrow[0]), b = host_vector(s, s->b, s->narrow[1]),
              r = host_vector(s, s->r, s->narrow[2]), norm = numbers_array(s, p, 0);
    const size_t count = matrix_arguments(s);
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

static void norms_of(const linear_system *s, const double *vector, double *norm)
{
    memset(norm, 0, s->count * sizeof *norm);
    for (int64_t at = 0; at < s->elements; at++)
        norm[system_of(s, at)] += vector[at] * vector[at];
    for (size_t k = 0; k < s->count; k++)
        norm[k] = sqrt(norm[k]);
}

/* x += sign scale d */
static kcl_status add_correction(linear_system *s, double sign, const double *scale)
{
    const kcl_array to = scratch_vector(s);
    const kcl_status status = kcl_array_download(s->context, &s->vectors[CORRECTION + s->solved], &to);
    for (int64_t at = 0; status == KCL_OK && at < s->elements; at++) {
        const double by = scale[system_of(s, at)];
        if (by != 0)
            s->x[at] += sign * by * number_at(s->scratch, s->now->dtype, at);
    }
    s->is_started = true;
    return status;
}

static kcl_status correct(void *user, const double *scale, double *norm)
{
    linear_system *s = user;
    if (scale && add_correction(s, 1, scale) < 0)
        return kd_error(s->context)->status;
    if (!s->is_started)
        memcpy(s->r, s->b, (size_t)s->elements * sizeof *s->r);
    else if (find_residual(s) < 0)
        return kd_error(s->context)->status;
    norms_of(s, s->r, norm);
    return KCL_OK;
}

static kcl_status undo(void *user, const double *scale)
{
    return add_correction(user, -1, scale);
}

static kcl_status begin(void *user, const double *norm)
{
    linear_system *s = user;
    const kcl_array from = scratch_vector(s);
    memset(s->scratch, 0, (size_t)s->elements * kb_dtype_size(s->now->dtype));
    if (kcl_array_update(s->context, &from, &s->vectors[CORRECTION + s->solved]) < 0)
        return kd_error(s->context)->status;
    memset(s->squares, 0, s->count * sizeof *s->squares);
    for (int64_t at = 0; at < s->elements; at++) {
        const size_t k = system_of(s, at);
        if (norm[k] == 0)
            continue;
        put_number(s->scratch, s->now->dtype, at, s->r[at] / norm[k]);
        const double rounded = number_at(s->scratch, s->now->dtype, at);
        s->squares[k] += rounded * rounded;
    }
    return kcl_array_update(s->context, &from, &s->vectors[RESIDUAL + s->solved]);
}

static kcl_status precondition(void *user, double *rz)
{
    linear_system *s = user;
    if (!s->preconditioner) {
        memcpy(rz, s->squares, s->count * sizeof *rz);
        return KCL_OK;
    }
    const kcl_array *args[] = {&s->vectors[RESIDUAL + s->solved], &s->vectors[PRECONDITIONED]};
    const kcl_array products = numbers_array(s, s->now, 0);
    if (ka_precondition_apply(s->preconditioner, args[0], args[1], s->dim) < 0 ||
        kcl_operator_apply(s->product, s->context, (const kcl_array *[]){&products}, 1, args, 2) < 0)
        return kd_error(s->context)->status;
    read_numbers(s, s->now, 0, rz);
    return KCL_OK;
}

static kcl_status turn(void *user, const double *beta)
{
    linear_system *s = user;
    write_numbers(s, s->now, 0, beta);
    const kcl_array by = numbers_array(s, s->now, 0);
    const kcl_array *args[] = {&s->vectors[s->preconditioner ? PRECONDITIONED : RESIDUAL + s->solved],
                               &s->vectors[DIRECTION + s->turned], &by};
    const kcl_array *out = &s->vectors[DIRECTION + !s->turned];
    s->turned = !s->turned;
    return kcl_operator_apply(s->turn, s->context, &out, 1, args, 3);
}

static kcl_status apply(void *user, double *pq, double *size)
{
    linear_system *s = user;
    precision *p = s->now;
    kcl_array numbers[3];
    for (int k = 0; k < 3; k++)
        numbers[k] = numbers_array(s, p, k);
    p->args[s->unknown] = &s->vectors[DIRECTION + s->turned];
    const kcl_array *outs[] = {&s->vectors[IMAGE], &numbers[0], &numbers[1], &numbers[2]};
    if (kcl_operator_apply(s->apply, s->context, outs, 4, p->args, (int)matrix_arguments(s)) < 0)
        return kd_error(s->context)->status;
    read_numbers(s, p, 0, pq);
    for (size_t k = 0; k < s->count; k++)
        size[k] =
            sqrt(number_at(p->numbers[1], p->dtype, (int64_t)k)) * sqrt(number_at(p->numbers[2], p->dtype, (int64_t)k));
    return KCL_OK;
}

static kcl_status advance(void *user, const double *step, double *rr)
{
    linear_system *s = user;
    precision *p = s->now;
    write_numbers(s, p, 0, step);
    const kcl_array by = numbers_array(s, p, 0), squares = numbers_array(s, p, 1);
    const kcl_array *args[] = {&s->vectors[CORRECTION + s->solved], &s->vectors[RESIDUAL + s->solved],
                               &s->vectors[DIRECTION + s->turned], &s->vectors[IMAGE], &by};
    const kcl_array *outs[] = {&s->vectors[CORRECTION + !s->solved], &s->vectors[RESIDUAL + !s->solved], &squares};
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
static kcl_status make_preconditioner(linear_system *s)
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
    linear_system *s = user;
    s->now = &s->fine;
    return make_vectors(s) < 0 ? kd_error(s->context)->status : make_preconditioner(s);
}

static void tell(void *user, double fraction)
{
    const linear_system *s = user;
    kd_set_fraction(s->context, fraction);
}

static const ks_operations operations = {correct, undo, begin, precondition, turn, apply, advance, refine, tell};

/* ---- A call ------------------------------------------------------------------------------------------------------- */

/* Refuses what is no problem. */
static kcl_status check_problem(linear_system *s, const char *unknown, const kcl_array *solution,
                                const kcl_array *const *args, int arg_count)
{
    kb_error *err = kd_error(s->context);
    const kcl_operator *op = s->op;
    const kcl_solve_params *p = s->params;
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"alpha", p->alpha}, {"tolerance", p->tolerance}, {"absolute", p->absolute}};
    for (size_t k = 0; k < KB_COUNT(numbers); k++)
        if (!(numbers[k].value >= 0) || !isfinite(numbers[k].value))
            return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: %s is %g, it must be 0 or more and finite",
                           numbers[k].name, numbers[k].value);
    if (p->max_iterations < 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: max_iterations is %lld, below 0",
                       (long long)p->max_iterations);
    if (p->preconditioner < KCL_PRECONDITIONER_DEFAULT || p->preconditioner > KCL_PRECONDITIONER_CHOLESKY)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: there is no preconditioner %d",
                       (int)p->preconditioner);
    if (p->rank < 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: rank is %lld, below 0", (long long)p->rank);
    const int64_t at = unknown ? ka_operator_find_input(op, unknown) : -1;
    if (at < 0)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: the operator has no argument \"%s\"",
                       unknown ? unknown : "(NULL)");
    s->unknown = (size_t)at;
    s->dim = op->inputs[at].dim;
    if (op->knows_batches)
        return kb_fail(err, KCL_ERROR_UNSUPPORTED,
                       "kcl_operator_solve: the operator's expressions reduce batch axes, which is no matrix");
    if (op->root_count != 1 || op->outputs[0].role != KF_ROLE_I || op->roots[0]->kind == KF_INT)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_operator_solve: the operator must have one output, a row of real numbers for each i");
    if (op->inputs[at].role != KF_ROLE_J || op->roots[0]->dim != s->dim)
        return kb_fail(err, KCL_ERROR_ARGUMENT,
                       "kcl_operator_solve: %s must have a row for each j, of the dimension of the output: the output "
                       "has dimension %d, the argument %d",
                       op->inputs[at].label, op->roots[0]->dim, op->inputs[at].dim);
    if (arg_count < 0 || (size_t)arg_count != op->input_count || !args || !solution)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: the operator has %zu arguments, %d were given%s",
                       op->input_count, args ? arg_count : 0, solution ? "" : ", and no array for the solution");
    return KCL_OK;
}

static bool is_use(const kf_node *f, const kf_node *var)
{
    return f->op == KF_VAR && f->param[0] == var->param[0] && !kf_lends_axes(f);
}

/* What goes through a node, given that all that depends on the variable has its dimension. */
static bool keeps_components(const kf_node *f)
{
    if (f->op == KF_REDUCE)
        return f->param[0] == KF_REDUCE_SUM;
    return f->op == KF_VAR || f->op == KF_LIKE || kf_info((kf_op)f->op)->op_class == KF_CLASS_MAP;
}

/*
 * Whether component k of the root depends on component k of the variable alone: nothing that depends on the variable
 * moves components or has another number of them.
 */
static kcl_status find_separate(kf_graph *g, const kf_node *root, const kf_node *var, bool *is_separate)
{
    kf_order order;
    if (kf_order_init(&order, g, 1, &root, false, &g->error) < 0)
        return g->error.status;
    bool *depends = kb_calloc(kf_allocator(g), order.count + 1, sizeof *depends);
    *is_separate = true;
    for (size_t k = 0; depends && k < order.count; k++) {
        const kf_node *f = order.nodes[k];
        depends[k] = is_use(f, var);
        for (int c = 0; c < f->arg_count; c++)
            depends[k] = depends[k] || depends[kf_at(&order, f->arg[c])];
        if (!depends[k])
            continue;
        *is_separate = *is_separate && f->dim == var->dim && keeps_components(f);
    }
    if (!depends)
        kb_no_memory(&g->error);
    kb_free(kf_allocator(g), depends);
    kf_order_finish(&order);
    return g->error.status;
}

/* What the formula is as a function of the unknown. */
static kcl_status check_formula(linear_system *s)
{
    kb_error *err = kd_error(s->context);
    kf_graph g;
    kf_graph_init(&g, kd_allocator(s->context));
    const kf_node *root, *var;
    kcl_status status = kf_import(&g, &s->op->graph, 1, s->op->roots, &root);
    if (status == KCL_OK) {
        var = kf_var(&g, (int64_t)s->unknown, s->dim, KF_ROLE_J);
        status = var ? kf_check_linear(&g, __func__, root, var, KF_THROUGH_ALL) : g.error.status;
        if (status == KCL_OK)
            status = find_separate(&g, root, var, &s->is_separate);
    }
    if (status == KCL_ERROR_DERIVATIVE)
        kb_fail(err, KCL_ERROR_ARGUMENT, "kcl_operator_solve: the formula is not linear in %s",
                s->op->inputs[s->unknown].label);
    else if (status < 0)
        *err = g.error;
    kf_graph_finish(&g);
    return status < 0 ? err->status : KCL_OK;
}

/* The array without axes of size 1. */
static kcl_array squeezed(const kcl_array *array)
{
    kcl_array a = *array;
    a.ndim = 0;
    for (int k = 0; k < array->ndim; k++) {
        if (array->shape[k] == 1)
            continue;
        a.shape[a.ndim] = array->shape[k];
        a.stride[a.ndim++] = array->stride[k];
    }
    return a;
}

static bool same_sizes(const kcl_array *a, const kcl_array *b)
{
    return a->ndim == b->ndim && (!a->ndim || !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape));
}

/* Refuses an array beside the operator's arguments that cannot be read, or is of integers. */
static kcl_status check_array(const linear_system *s, const kcl_array *array, const char *what)
{
    kb_error *err = kd_error(s->context);
    int64_t elements, low, high;
    if (kx_check_shape(array, what, &elements, err) < 0 || kx_check_strides(array, what, &low, &high, err) < 0)
        return err->status;
    if (!array->data && !array->memory && elements)
        return kb_fail(err, KCL_ERROR_ARGUMENT, "%s has no data (NULL), but %lld elements", what, (long long)elements);
    if (array->dtype == KCL_I64)
        return kb_fail(err, KCL_ERROR_TYPE, "%s is int64, it must be float32 or float64", what);
    return kx_check_memory(s->context, array->memory, low, high, array->offset, array->dtype, what);
}

/* Refuses an array that has not the shape of the solution. */
static kcl_status check_vector(const linear_system *s, const kcl_array *array, const char *what)
{
    if (check_array(s, array, what) < 0)
        return kd_error(s->context)->status;
    const kcl_array is = squeezed(array), needed = squeezed(&s->shape);
    char given[160], wanted[160];
    if (same_sizes(&is, &needed))
        return KCL_OK;
    kx_put_shape(given, sizeof given, array);
    kx_put_shape(wanted, sizeof wanted, &s->shape);
    return kb_fail(kd_error(s->context), KCL_ERROR_SHAPE, "%s has shape %s, the solution %s", what, given, wanted);
}

/* Takes the noise of the call, with an axis for one component. */
static kcl_status take_noise(linear_system *s, const kcl_array *noise)
{
    const int batches = s->shape.ndim - 2, surplus = noise->ndim - 1 - batches;
    if (check_array(s, noise, "the noise") < 0)
        return kd_error(s->context)->status;
    bool fits = noise->ndim >= 1 && noise->ndim < KCL_MAX_AXES && noise->shape[noise->ndim - 1] == s->rows;
    for (int k = 0; fits && k < noise->ndim - 1; k++)
        fits = noise->shape[k] == 1 || (k >= surplus && noise->shape[k] == s->shape.shape[k - surplus]);
    if (!fits) {
        char given[160], wanted[160];
        kx_put_shape(given, sizeof given, noise);
        kx_put_shape(wanted, sizeof wanted, &s->shape);
        return kb_fail(kd_error(s->context), KCL_ERROR_SHAPE,
                       "the noise has shape %s, for a solution of shape %s: its last axis must have a number for each "
                       "of %lld rows, and axes before it must be batch axes of the solution",
                       given, wanted, (long long)s->rows);
    }
    s->noise = *noise;
    s->noise.shape[s->noise.ndim] = 1;
    s->noise.stride[s->noise.ndim++] = (int64_t)kb_dtype_size(s->noise.dtype);
    return KCL_OK;
}

/* Sees the argument of the unknown as the operator does. */
static kcl_status view_unknown(const linear_system *s, kx_view *view, const kcl_array *array)
{
    return kx_view_of(view, array, KF_ROLE_J, (int32_t)s->dim, s->shape.ndim > 2 ? KX_STATED : KX_SQUEEZED,
                      s->op->inputs[s->unknown].label, kd_error(s->context));
}

/* Finds the shape of the solution, checks the arrays for it, the start and the noise, and counts the systems. */
static kcl_status find_shape(linear_system *s, const kcl_array *solution, const kcl_array *const *args)
{
    const kcl_solve_params *p = s->params;
    kb_error *err = kd_error(s->context);
    if (kcl_operator_output_shape(s->op, s->context, 0, args, (int)s->op->input_count, &s->shape) < 0)
        return err->status;
    s->rows = s->shape.shape[s->shape.ndim - 2];
    s->elements = elements_of(&s->shape);
    s->batches = 1;
    for (int k = 0; k < s->shape.ndim - 2; k++)
        s->batches *= s->shape.shape[k];
    s->count = (size_t)(s->batches * numbers_dim(s));
    kx_view unknown;
    if (view_unknown(s, &unknown, args[s->unknown]) < 0)
        return err->status;
    if (unknown.rows != s->rows)
        return kb_fail(
            err, KCL_ERROR_LENGTH,
            "kcl_operator_solve: the matrix has %lld rows, and as many columns as %s has rows, %lld: it must "
            "be square",
            (long long)s->rows, unknown.name, (long long)unknown.rows);
    if (check_vector(s, solution, "the array of the solution") < 0 ||
        kx_check_elements(solution, "the array of the solution", err) < 0)
        return err->status;
    if (solution->dtype != s->shape.dtype && solution->dtype != KCL_F64)
        return kb_fail(err, KCL_ERROR_TYPE,
                       "the array of the solution is %s, the arguments are %s: it must be that, or float64",
                       kb_dtype_name(solution->dtype), kb_dtype_name(s->shape.dtype));
    if (p->start && check_vector(s, p->start, "the start") < 0)
        return err->status;
    return p->noise ? take_noise(s, p->noise) : KCL_OK;
}

static kcl_status find_shift(linear_system *s)
{
    s->shift = s->params->alpha;
    if (s->noise.ndim < 0)
        return KCL_OK;
    double *noise;
    const kcl_status status = fetch(s, &s->noise, &noise);
    const int64_t count = status == KCL_OK ? elements_of(&s->noise) : 0;
    for (int64_t at = 0; at < count; at++)
        s->shift += noise[at] / (double)count;
    kb_free(kd_allocator(s->context), noise);
    return status;
}

/* An array of rows of the unknown's dimension, broadcast to the solution's shape, in double. */
static kcl_status fetch_vector(linear_system *s, const kcl_array *from, double *to)
{
    double *own;
    kx_view view;
    kcl_status status = fetch(s, from, &own);
    if (status == KCL_OK) {
        const kcl_array dense = kcl_array_of(own, KCL_F64, from->ndim, from->shape);
        status = view_unknown(s, &view, &dense);
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

/* x is the start, whose axes are those of the solution but for axes of size 1. */
static kcl_status fetch_start(linear_system *s)
{
    double *own;
    const kcl_status status = fetch(s, s->params->start, &own);
    if (status == KCL_OK)
        memcpy(s->x, own, (size_t)s->elements * sizeof *own);
    kb_free(kd_allocator(s->context), own);
    return status;
}

/* Arguments of the matrix in one precision: of the caller, or copies. */
static kcl_status make_precision(linear_system *s, precision *p, kcl_dtype dtype, const kcl_array *const *args,
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
    put_number(&p->alpha, dtype, 0, s->params->alpha);
    p->own[inputs] = kcl_array_of(&p->alpha, dtype, 1, (const int64_t[]){1});
    p->args[inputs] = &p->own[inputs];
    if (s->noise.ndim >= 0)
        p->args[inputs + 1] = &s->noise;
    kcl_status status = KCL_OK;
    for (size_t k = 0; copies && status == KCL_OK && k < matrix_arguments(s); k++)
        if (k != s->unknown && k != inputs)
            status = copy_argument(s, p, k, p->args[k]);
    return status;
}

static void end_precision(const linear_system *s, precision *p)
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

/* Room for the vectors that the host keeps, and the operators. */
static kcl_status make_room(linear_system *s)
{
    const kcl_allocator *a = kd_allocator(s->context);
    const size_t elements = (size_t)s->elements + 1;
    const bool is_narrow = s->fine.dtype == KCL_F32;
    s->x = kb_calloc(a, elements, sizeof *s->x);
    s->b = kb_calloc(a, elements, sizeof *s->b);
    s->r = kb_calloc(a, elements, sizeof *s->r);
    s->scratch = kb_calloc(a, elements, sizeof(double));
    s->squares = kb_calloc(a, s->count + 1, sizeof *s->squares);
    for (int k = 0; is_narrow && k < 3; k++)
        if (!(s->narrow[k] = kb_calloc(a, elements, sizeof(float))))
            return kb_no_memory(kd_error(s->context));
    if (!s->x || !s->b || !s->r || !s->scratch || !s->squares)
        return kb_no_memory(kd_error(s->context));
    if (make_apply(s) < 0 || make_residual(s) < 0 || make_steps(s) < 0)
        return kd_error(s->context)->status;
    return make_vectors(s);
}

static void end_system(linear_system *s)
{
    const kcl_allocator *a = kd_allocator(s->context);
    kcl_operator **const made[] = {&s->apply, &s->residual, &s->advance, &s->turn, &s->product};
    ka_precondition_free(&s->preconditioner);
    for (size_t k = 0; k < KB_COUNT(made); k++)
        kcl_operator_destroy(made[k]);
    for (int k = 0; k < VECTORS; k++)
        kcl_array_free(&s->vectors[k]);
    end_precision(s, &s->given);
    end_precision(s, &s->fine);
    kb_free(a, s->x);
    kb_free(a, s->b);
    kb_free(a, s->r);
    kb_free(a, s->scratch);
    kb_free(a, s->squares);
    for (int k = 0; k < 3; k++)
        kb_free(a, s->narrow[k]);
}

/* Whether <u, K v> = <v, K u> for two random vectors, up to rounding. */
static kcl_status probe_symmetry(linear_system *s, bool *is_symmetric)
{
    *is_symmetric = true;
    double *const random[2] = {s->x, s->r};
    uint64_t state = 1;
    double form[2] = {0}, size[2] = {0};
    for (int64_t at = 0; at < 2 * s->elements; at++) {
        state = kb_hash_combine(state, (uint64_t)at);
        random[at % 2][at / 2] = (double)(state >> 11) * 0x1p-52 - 1;
    }
    const kcl_array host = scratch_vector(s);
    double *unused = kb_calloc(kd_allocator(s->context), 2 * s->count + 1, sizeof *unused);
    kcl_status status = unused ? KCL_OK : kb_no_memory(kd_error(s->context));
    for (int k = 0; status == KCL_OK && k < 2; k++) {
        for (int64_t at = 0; at < s->elements; at++)
            put_number(s->scratch, s->now->dtype, at, random[k][at]);
        status = kcl_array_update(s->context, &host, &s->vectors[DIRECTION + s->turned]);
        if (status == KCL_OK)
            status = apply(s, unused, unused + s->count);
        if (status == KCL_OK)
            status = kcl_array_download(s->context, &s->vectors[IMAGE], &host);
        for (int64_t at = 0; status == KCL_OK && at < s->elements; at++) {
            const double image = number_at(s->scratch, s->now->dtype, at);
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

/* Gives the solution to the caller's array. */
static kcl_status give_solution(linear_system *s, const kcl_array *solution)
{
    if (!solution->memory) {
        kcl_array to = *solution;
        for_elements(&to, write_element, &(copy){to.dtype, s->x});
        return KCL_OK;
    }
    for (int64_t at = 0; at < s->elements; at++)
        put_number(s->scratch, solution->dtype, at, s->x[at]);
    const kcl_array from = kcl_array_of(s->scratch, solution->dtype, solution->ndim, solution->shape);
    return kcl_array_update(s->context, &from, solution);
}

/* The residual of the solution as the caller's array holds it, rounded to float32. */
static kcl_status round_solution(linear_system *s, kcl_solve_result *results, const double *goal)
{
    double *norm = kb_calloc(kd_allocator(s->context), s->count + 1, sizeof *norm);
    kcl_status status = norm ? KCL_OK : kb_no_memory(kd_error(s->context));
    for (int64_t at = 0; at < s->elements; at++)
        s->x[at] = (double)(float)s->x[at];
    if (status == KCL_OK)
        status = correct(s, NULL, norm);
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
static kcl_status probe_curvature(linear_system *s, kcl_solve_result *results)
{
    bool is_needed = false;
    for (size_t k = 0; k < s->count; k++)
        is_needed = is_needed || results[k].reason == KCL_SOLVE_NOT_POSITIVE_DEFINITE;
    if (!is_needed)
        return KCL_OK;
    double *form = kb_calloc(kd_allocator(s->context), 2 * s->count + 1, sizeof *form);
    const kcl_array ones = scratch_vector(s);
    for (int64_t at = 0; at < s->elements; at++)
        put_number(s->scratch, s->now->dtype, at, 1);
    kcl_status status = form ? kcl_array_update(s->context, &ones, &s->vectors[DIRECTION + s->turned])
                             : kb_no_memory(kd_error(s->context));
    if (status == KCL_OK)
        status = apply(s, form, form + s->count);
    for (size_t k = 0; status == KCL_OK && k < s->count; k++)
        if (results[k].reason == KCL_SOLVE_NOT_POSITIVE_DEFINITE && form[k] > 0)
            results[k].reason = KCL_SOLVE_INDEFINITE;
    kb_free(kd_allocator(s->context), form);
    return status;
}

static kcl_status solve_systems(linear_system *s, kcl_solve_result *results)
{
    const kcl_solve_params *p = s->params;
    const kcl_allocator *a = kd_allocator(s->context);
    double *norm = kb_calloc(a, s->count + 1, sizeof *norm), *goal = kb_calloc(a, s->count + 1, sizeof *goal);
    kcl_status status = norm && goal ? KCL_OK : kb_no_memory(kd_error(s->context));
    if (status == KCL_OK) {
        norms_of(s, s->b, norm);
        const double usual = s->is_rounded ? 1e-4 : 1e-6;
        const double tolerance = p->tolerance > 0 || p->absolute > 0 ? p->tolerance : usual;
        for (size_t k = 0; k < s->count; k++)
            goal[k] = KB_MAX(tolerance * norm[k], p->absolute);
        /* The solution for b = 0 is 0, whatever the guess is. */
        for (int64_t at = 0; at < s->elements; at++)
            if (norm[system_of(s, at)] == 0)
                s->x[at] = 0;
        ks_operations own = operations;
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

static kcl_status tell_result(const linear_system *s, const kcl_solve_result *results)
{
    for (size_t k = 0; k < s->count; k++) {
        const kcl_solve_result *r = &results[k];
        if (r->reason == KCL_SOLVE_CONVERGED)
            continue;
        return kb_fail(
            kd_error(s->context), KCL_ERROR_NOT_SOLVED,
            "kcl_operator_solve: system %zu of %zu (%s): %s; after %lld products the residual is %.3g of |b|", k,
            s->count, kcl_solve_reason_name(r->reason), kcl_solve_reason_text(r->reason), (long long)r->iterations,
            r->residual / r->norm);
    }
    return KCL_OK;
}

static kcl_status run(linear_system *s, const kcl_array *solution, const kcl_array *const *args,
                      kcl_solve_result *results)
{
    kb_error *err = kd_error(s->context);
    const bool has_f64 = kd_is_host(s->context) || kd_caps(s->context)->has_f64;
    const kcl_dtype given = s->shape.dtype, fine = has_f64 ? KCL_F64 : KCL_F32;
    s->now = &s->given;
    s->is_rounded = solution->dtype == KCL_F32;
    bool is_symmetric = true;
    if (make_precision(s, &s->given, given, args, false) < 0 ||
        make_precision(s, &s->fine, fine, args, given != fine) < 0 || make_room(s) < 0 ||
        fetch_vector(s, args[s->unknown], s->b) < 0 ||
        (s->params->checks_symmetry && probe_symmetry(s, &is_symmetric) < 0))
        return err->status;
    if (!is_symmetric) {
        for (size_t k = 0; k < s->count; k++)
            results[k] = (kcl_solve_result){.reason = KCL_SOLVE_NOT_SYMMETRIC};
        for (int64_t at = 0; at < s->elements; at++)
            results[system_of(s, at)].norm += s->b[at] * s->b[at];
        for (size_t k = 0; k < s->count; k++)
            results[k].residual = results[k].norm = sqrt(results[k].norm);
    } else {
        if (s->params->start && fetch_start(s) < 0)
            return err->status;
        s->is_started = s->params->start;
        if (find_shift(s) < 0 || make_preconditioner(s) < 0)
            return err->status;
        if (solve_systems(s, results) < 0)
            return err->status;
    }
    return give_solution(s, solution) < 0 ? err->status : tell_result(s, results);
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
    linear_system s = {.context = context, .op = op, .params = params ? params : &defaults, .noise = {.ndim = -1}};
    for (int k = 0; k < VECTORS; k++)
        s.vectors[k].ndim = -1;
    if (check_problem(&s, unknown, solution, args, arg_count) < 0 || check_formula(&s) < 0 ||
        find_shape(&s, solution, args) < 0)
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
