/* SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "batches.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

kcl_context *device;
bool by_interpreter;
kcl_scope *s;

/* ---- Arrays ------------------------------------------------------------------------------------------------------ */

const sizes no_batches = {{1, 1, 1, 1, 1, 1}};

sizes join(sizes a, sizes b)
{
    for (int k = 0; k < AXES; k++)
        a.of[k] = a.of[k] == 1 ? b.of[k] : a.of[k];
    return a;
}

int64_t count_of(const sizes *b)
{
    int64_t count = 1;
    for (int k = 0; k < AXES; k++)
        count *= b->of[k];
    return count;
}

bool next_place(const sizes *b, int64_t place[AXES])
{
    for (int k = 0; k < AXES; k++) {
        if (++place[k] < b->of[k])
            return true;
        place[k] = 0;
    }
    return false;
}

double *exact_at(const operand *o, const int64_t place[AXES], int64_t row, int k)
{
    int64_t at = 0;
    for (int b = AXES - 1; b >= 0; b--)
        at = at * o->batch.of[b] + (o->batch.of[b] == 1 ? 0 : place[b]);
    return &o->exact[(at * o->rows + row) * o->dim + k];
}

char *memory_at(const operand *o, const int64_t place[AXES], int64_t row, int k)
{
    char *p = o->array.data;
    int axis = o->array.ndim;
    p += k * o->array.stride[--axis];
    if (o->role != 'p')
        p += row * o->array.stride[--axis];
    for (int b = 0; axis > 0; b++)
        p += place[b] * o->array.stride[--axis];
    return p;
}

double memory_get(const operand *o, const int64_t place[AXES], int64_t row, int k)
{
    const void *p = memory_at(o, place, row, k);
    float f;
    double d;
    int64_t n;
    if (o->array.dtype == KCL_F32)
        return memcpy(&f, p, sizeof f), (double)f;
    if (o->array.dtype == KCL_F64)
        return memcpy(&d, p, sizeof d), d;
    return memcpy(&n, p, sizeof n), (double)n;
}

operand make(char role, int dim, int64_t rows, const sizes *batch, kcl_dtype dtype, int leading, int how)
{
    operand o = {.role = role, .dim = dim, .rows = role == 'p' ? 1 : rows, .batch = *batch};
    int axes = leading, order[KCL_MAX_AXES];
    for (int k = AXES; k > axes; k--)
        if (batch->of[k - 1] != 1)
            axes = k;
    int64_t size = (int64_t)kb_dtype_size(dtype), step = size;
    o.array.dtype = dtype;
    for (int k = axes - 1; k >= 0; k--)
        o.array.shape[o.array.ndim++] = batch->of[k];
    if (role != 'p')
        o.array.shape[o.array.ndim++] = rows;
    o.array.shape[o.array.ndim++] = dim;
    int last = o.array.ndim - 1;
    for (int k = 0; k <= last; k++)
        order[k] = last - k;
    for (int k = how & SHUFFLED ? last : 0; k > 1; k--) { /* the components stay together */
        int other = 1 + pick(k), kept = order[k];
        order[k] = order[other];
        order[other] = kept;
    }
    for (int k = 0; k <= last; k++) {
        o.array.stride[order[k]] = step;
        step *= o.array.shape[order[k]] * (k == 0 && how & APART ? 2 : 1);
    }
    o.memory = calloc((size_t)step + 16, 1);
    o.array.data = o.memory;
    int first = role == 'p' ? last - 1 : last - 2;
    if (how & BACKWARDS && first >= 0 && o.array.shape[first] > 0) {
        o.array.data = (char *)o.memory + (o.array.shape[first] - 1) * o.array.stride[first];
        o.array.stride[first] = -o.array.stride[first];
    }
    o.exact = calloc((size_t)(count_of(batch) * o.rows * dim) + 1, sizeof(double));
    return o;
}

void fill(operand *o, double low, double high)
{
    int64_t place[AXES] = {0};
    if (!count_of(&o->batch))
        return;
    do
        for (int64_t i = 0; i < o->rows; i++)
            for (int k = 0; k < o->dim; k++) {
                double x = uniform(low, high);
                float f = (float)x;
                char *p = memory_at(o, place, i, k);
                if (o->array.dtype == KCL_F32)
                    memcpy(p, &f, sizeof f);
                else
                    memcpy(p, &x, sizeof x);
                *exact_at(o, place, i, k) = o->array.dtype == KCL_F32 ? (double)f : x;
            }
    while (next_place(&o->batch, place));
}

void drop(operand *o)
{
    free(o->memory);
    free(o->exact);
}

kcl_expr *in_place(const operand *o)
{
    return o->role == 'i' ? kcl_vi(s, &o->array) : o->role == 'j' ? kcl_vj(s, &o->array) : kcl_pm(s, &o->array);
}

kcl_expr *variable(const operand *o)
{
    const kcl_array *a = &o->array;
    bool by_shape = pick(2) && (o->role == 'p' || o->rows != 1) && a->ndim + (o->role == 'p' ? 2 : 1) <= KCL_MAX_AXES;
    if (!by_shape && pick(4) == 0) {
        kcl_data *copy = kcl_data_upload(s, a);
        return o->role == 'i' ? kcl_vi_data(s, copy) : o->role == 'j' ? kcl_vj_data(s, copy) : kcl_pm_data(s, copy);
    }
    if (!by_shape)
        return in_place(o);
    kcl_array wide = {.data = a->data, .dtype = a->dtype};
    for (int k = 0; k < a->ndim; k++) {
        int from_end = a->ndim - 1 - k;
        for (int n = 0; n < (o->role == 'p' ? 2 : 1); n++) {
            if ((o->role == 'p' && from_end == 0) || (o->role == 'i' && from_end == 0) ||
                (o->role == 'j' && from_end == 1)) {
                wide.shape[wide.ndim] = 1;
                wide.stride[wide.ndim++] = 12345;
            }
        }
        wide.shape[wide.ndim] = a->shape[k];
        wide.stride[wide.ndim++] = a->stride[k];
    }
    return kcl_lazy(s, &wide);
}

/* ---- The formula ------------------------------------------------------------------------------------------------- */

static const struct {
    char role;
    int dim;
} kinds[OPERANDS] = {{'i', 3}, {'j', 3}, {'j', 2}, {'p', 1}, {'i', 2}};

double squares(const problem *p, const int64_t place[AXES], int64_t i, int64_t j)
{
    double sum = 0;
    for (int k = 0; k < 3; k++) {
        double d = *exact_at(&p->of[X], place, i, k) - *exact_at(&p->of[Y], place, j, k);
        sum += d * d;
    }
    return *exact_at(&p->of[G], place, 0, 0) * sum;
}

double f_of(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    return exp(-squares(p, place, i, j)) * *exact_at(&p->of[B], place, j, k);
}

double g_of(const problem *p, const int64_t place[AXES], int64_t i, int64_t j)
{
    return *exact_at(&p->of[B], place, j, 0) / 3 - squares(p, place, i, j);
}

sizes random_sizes(int axes, bool zeros)
{
    sizes b = no_batches;
    for (int k = 0, product = 1; k < axes; k++) {
        int64_t size = zeros && pick(12) == 0 ? 0 : 1 + pick(4);
        if (product * size <= 36)
            product *= (int)(b.of[k] = size);
    }
    return b;
}

void problem_make(problem *p, kcl_dtype dtype, bool zeros)
{
    sizes all = random_sizes(1 + pick(AXES), zeros);
    static const int lengths[] = {1, 2, 5, 16, 17, 40, 70};
    p->dtype = dtype;
    p->M = zeros && pick(12) == 0 ? 0 : lengths[pick(7)];
    p->N = zeros && pick(12) == 0 ? 0 : lengths[pick(7)];
    p->batch = no_batches;
    size_t n =
        (size_t)snprintf(p->text, sizeof p->text, "seed %llu, %s, M %lld, N %lld", (unsigned long long)test_seed(),
                         dtype == KCL_F32 ? "float32" : "float64", (long long)p->M, (long long)p->N);
    for (int k = 0; k < OPERANDS; k++) {
        sizes own = no_batches;
        for (int b = 0; b < AXES; b++)
            own.of[b] = pick(2) ? all.of[b] : 1;
        int how = pick(3) ? 0 : pick(8);
        p->of[k] = make(kinds[k].role, kinds[k].dim, kinds[k].role == 'i' ? p->M : p->N, &own, dtype,
                        pick(2) ? pick(AXES) : 0, how);
        fill(&p->of[k], k == G ? 0.2 : -1, 1);
        if (k != U)
            p->batch = join(p->batch, own);
        n += (size_t)snprintf(p->text + n, sizeof p->text - n, "; %c (", "xybgu"[k]);
        for (int b = AXES - 1; b >= 0; b--)
            n += (size_t)snprintf(p->text + n, sizeof p->text - n, "%lld ", (long long)own.of[b]);
        n += (size_t)snprintf(p->text + n, sizeof p->text - n, ") %d", how);
    }
}

void problem_drop(problem *p)
{
    for (int k = 0; k < OPERANDS; k++)
        drop(&p->of[k]);
}

double tolerance(const problem *p)
{
    return p->dtype == KCL_F32 ? 2e-5 : 1e-12;
}

operand result_for(const problem *p, char role, int dim, sizes batch, kcl_dtype dtype)
{
    return make(role, dim, role == 'i' ? p->M : p->N, &batch, dtype, pick(AXES), pick(3) ? 0 : pick(8));
}

void eval(const problem *p, int count, kcl_expr *const *exprs, const operand *outs)
{
    const kcl_array *arrays[8];
    for (int k = 0; k < count; k++)
        arrays[k] = &outs[k].array;
    ck_assert_msg(kcl_eval(count, exprs, arrays) == KCL_OK, "%s: %s", p->text, kcl_context_error(device));
}

/* ---- What is chosen, over batch axes too ------------------------------------------------------------------------- */

static kcl_expr *(*const choose_rows[])(kcl_expr *f, kcl_axes over) = {kcl_reduce_min, kcl_reduce_argmin,
                                                                       kcl_reduce_max, kcl_reduce_argmax};
static kcl_expr *(*const choose_batches[])(kcl_expr *f, int axis) = {kcl_reduce_min_batch, kcl_reduce_argmin_batch,
                                                                     kcl_reduce_max_batch, kcl_reduce_argmax_batch};
static kcl_expr *(*const list_rows[])(kcl_expr *f, int k, kcl_axes over) = {kcl_reduce_kmin, kcl_reduce_argkmin,
                                                                            kcl_reduce_kmax, kcl_reduce_argkmax};
static kcl_expr *(*const list_batches[])(kcl_expr *f, int k, int axis) = {
    kcl_reduce_kmin_batch, kcl_reduce_argkmin_batch, kcl_reduce_kmax_batch, kcl_reduce_argkmax_batch};

kcl_expr *over_axes(const choice *c, kcl_expr *e, int what, bool rows_first)
{
    for (int pass = 0; pass < 2; pass++) {
        if (pass == !rows_first && c->over)
            e = what & LIST ? list_rows[what & 3](e, c->k, (kcl_axes)c->over)
                            : choose_rows[what & 3](e, (kcl_axes)c->over);
        for (int b = 0; b < AXES && pass == rows_first; b++)
            if (c->axes >> b & 1)
                e = what & LIST ? list_batches[what & 3](e, c->k, -1 - b) : choose_batches[what & 3](e, -1 - b);
    }
    return e;
}

char rows_of_choice(const choice *c)
{
    return c->over == KCL_OVER_BOTH ? 'p' : c->over == KCL_OVER_I ? 'j' : 'i';
}

void choose(const problem *p, const choice *c, const int64_t place[AXES], int64_t row, int k, double *values,
            int64_t *numbers)
{
    const double sign = c->what & LARGEST ? -1 : 1;
    const int count = c->what & LIST ? c->k : 1;
    sizes inner = no_batches;
    int64_t each[AXES] = {0}, n = 0;
    for (int q = 0; q < count; q++) {
        values[q] = sign * INFINITY;
        numbers[q] = -1;
    }
    for (int b = 0; b < AXES; b++)
        if (c->axes >> b & 1)
            inner.of[b] = p->batch.of[b];
    const bool of_i = c->over & KCL_OVER_I, of_j = c->over & KCL_OVER_J;
    for (bool some = count_of(&inner) > 0; some; some = next_place(&inner, each)) {
        int64_t all[AXES];
        for (int b = 0; b < AXES; b++)
            all[b] = c->axes >> b & 1 ? each[b] : place[b];
        for (int64_t i = of_i ? 0 : row; i < (of_i ? p->M : row + 1); i++) {
            for (int64_t j = of_j ? 0 : row; j < (of_j ? p->N : row + 1); j++, n++) {
                double value = c->term(p, all, i, j, k);
                int at = 0;
                while (at < count && numbers[at] >= 0 && !(sign * value < sign * values[at]))
                    at++;
                if (at == count || isnan(value))
                    continue;
                memmove(values + at + 1, values + at, (size_t)(count - 1 - at) * sizeof *values);
                memmove(numbers + at + 1, numbers + at, (size_t)(count - 1 - at) * sizeof *numbers);
                values[at] = value;
                numbers[at] = n;
            }
        }
    }
}

void keep_rows_only(problem *p)
{
    p->batch = join(p->of[X].batch, p->of[G].batch);
}

int last_axis_of(const sizes *b)
{
    int axes = 0;
    for (int k = 0; k < AXES; k++)
        axes = b->of[k] != 1 ? k + 1 : axes;
    return axes;
}

sizes without(sizes b, unsigned axes)
{
    for (int k = 0; k < AXES; k++)
        b.of[k] = axes >> k & 1 ? 1 : b.of[k];
    return b;
}

void check_weighted(const problem *p, const operand *log_sum, const operand *mean, int over, unsigned axes)
{
    int64_t place[AXES] = {0};
    const bool of_i = over & KCL_OVER_I, of_j = over & KCL_OVER_J;
    sizes inner = no_batches;
    for (int b = 0; b < AXES; b++)
        if (axes >> b & 1)
            inner.of[b] = p->batch.of[b];
    if (!count_of(&mean->batch))
        return;
    do {
        for (int64_t row = 0; row < mean->rows; row++) {
            for (int k = 0; k < 2; k++) {
                double sum = 0, total = 0;
                int64_t each[AXES] = {0};
                for (bool some = count_of(&inner) > 0; some; some = next_place(&inner, each)) {
                    int64_t all[AXES];
                    for (int b = 0; b < AXES; b++)
                        all[b] = axes >> b & 1 ? each[b] : place[b];
                    for (int64_t i = of_i ? 0 : row; i < (of_i ? p->M : row + 1); i++) {
                        for (int64_t j = of_j ? 0 : row; j < (of_j ? p->N : row + 1); j++) {
                            double e = exp(over ? g_of(p, all, i, j) : 3 * *exact_at(&p->of[X], all, i, 2));
                            total += e;
                            sum += e * (2 + (over ? *exact_at(&p->of[B], all, j, k)
                                                  : *exact_at(&p->of[G], all, 0, 0) * *exact_at(&p->of[X], all, i, k)));
                        }
                    }
                }
                const double want[] = {log(sum), sum / total};
                for (int n = 0; n < 2; n++) {
                    double got = memory_get(n ? mean : log_sum, place, row, k);
                    ck_assert_msg(got == want[n] || (isnan(got) && isnan(want[n])) ||
                                      fabs(got - want[n]) <= tolerance(p) * (1 + fabs(want[n])),
                                  "%s: %s over %d and batch axes %x, row %lld: %.9g, not %.9g", p->text,
                                  n ? "mean" : "log of the sum", over, axes, (long long)row, got, want[n]);
                }
            }
        }
    } while (next_place(&mean->batch, place));
}

/* ---- The layer below expressions, where a schedule can be asked for ----------------------------------------------- */

void below_make(below *l, const problem *p)
{
    const kcl_allocator allocator = kb_allocator(NULL);
    *l = (below){.p = p, .left = p->batch};
    kf_graph_init(&l->g, &allocator);
    for (int k = 0; k < 4; k++) {
        kf_role role = kinds[k].role == 'i' ? KF_ROLE_I : kinds[k].role == 'j' ? KF_ROLE_J : KF_ROLE_P;
        ck_assert_int_eq(kx_view_of(&l->views[k], &p->of[k].array, role, 0, KX_STATED, "array", &l->err), KCL_OK);
        l->slots[k] =
            (kg_slot){.dim = kinds[k].dim, .extent = role == KF_ROLE_P ? 0 : (int)role + 1, .rows = l->views[k].rows};
        l->slots[k].batch = l->views[k].batch;
        unsigned axes = 0;
        for (int b = 0; b < AXES; b++)
            axes |= p->of[k].batch.of[b] != 1 ? KF_BATCH_AXIS(b) : 0;
        l->v[k] = kf_on_batches(&l->g, kf_var(&l->g, k, kinds[k].dim, role), axes);
    }
    for (int b = 0; b < AXES; b++) {
        if (p->batch.of[b] != 1 && (pick(3) || (!l->axes && b == AXES - 1))) {
            l->axes |= 1u << b;
            l->left.of[b] = 1;
        }
        l->batch.size[l->batch.count++] = l->left.of[b];
    }
}

const kf_node *below_squares(below *l)
{
    kf_graph *g = &l->g;
    const kf_node *d = kf_unary(g, KF_SUM, kf_unary(g, KF_SQUARE, kf_binary(g, KF_SUB, l->v[X], l->v[Y])));
    return kf_binary(g, KF_MULT, l->v[G], d);
}

void below_run(below *l, const char *schedule, int over, int count, const kf_node *const *roots, const operand *outs)
{
    kx_view out_views[2];
    kg_program *exec;
    const problem *p = l->p;
    kg_options options = {.schedule = ""};
    snprintf(options.schedule, sizeof options.schedule, "%s", schedule);
    for (int k = 0; k < count; k++) {
        ck_assert_msg(roots[k], "%s", l->g.error.text);
        ck_assert_msg(kx_view_of_result(&out_views[k], &outs[k].array, over == KCL_OVER_J ? KF_ROLE_I : KF_ROLE_P,
                                        roots[k]->dim, &l->batch, "output", &l->err) == KCL_OK,
                      "%s: %s", p->text, l->err.text);
    }
    ck_assert_msg(kg_program_create(&exec, &l->g, (size_t)count, roots, 4, l->slots, &options, &l->err) == KCL_OK, "%s",
                  l->err.text);
    ck_assert_msg(kx_run_program(exec, device, p->dtype, l->views, out_views, NULL) == KCL_OK, "%s: %s: %s", schedule,
                  p->text, kcl_context_error(device));
    kg_program_destroy(&exec);
}

const char *const schedules[] = {"lanes", "rows", "contraction", "split", "columns"};

kcl_expr *over_all_batches(kcl_expr *e)
{
    int64_t shape[KCL_MAX_AXES];
    const int batches = kcl_expr_shape(e, shape) - 3;
    for (int axis = 0; axis < batches; axis++)
        e = kcl_reduce_sum_batch(e, axis);
    return e;
}

void check_gradient(problem *p, operand *o, const operand *got, double (*loss)(const problem *p))
{
    int64_t place[AXES] = {0};
    double largest = 1e-3, wrong = 0;
    const double step = 1e-5;
    do {
        for (int64_t i = 0; i < o->rows; i++) {
            for (int k = 0; k < o->dim; k++) {
                double *x = exact_at(o, place, i, k), kept = *x;
                *x = kept + step;
                double above = loss(p);
                *x = kept - step;
                double slope = (above - loss(p)) / (2 * step);
                *x = kept;
                largest = fmax(largest, fabs(slope));
                wrong = fmax(wrong, fabs(slope - memory_get(got, place, i, k)));
            }
        }
    } while (next_place(&o->batch, place));
    ck_assert_msg(wrong <= (p->dtype == KCL_F32 ? 1e-4 : 1e-7) * largest, "%s: gradient off by %g of %g", p->text,
                  wrong, largest);
}

operand like_operand(const problem *p, int k)
{
    return make(kinds[k].role, kinds[k].dim, p->of[k].rows, &p->of[k].batch, p->dtype, 0, 0);
}

void check_gradients(problem *p, kcl_expr *L, kcl_expr *const *v, double (*loss)(const problem *p), kcl_expr **grads)
{
    operand outs[OPERANDS];
    for (int k = 0; k < OPERANDS; k++) {
        grads[k] = kcl_grad(L, v[k]);
        ck_assert_msg(kcl_expr_status(grads[k]) == KCL_OK, "%s: %s", p->text, kcl_expr_error(grads[k]));
        int64_t of_grad[KCL_MAX_AXES], of_variable[KCL_MAX_AXES];
        int axes = kcl_expr_shape(grads[k], of_grad);
        ck_assert_int_eq(axes, kcl_expr_shape(v[k], of_variable));
        ck_assert_msg(memcmp(of_grad, of_variable, (size_t)axes * sizeof *of_grad) == 0, "%s: shape of gradient %d",
                      p->text, k);
        outs[k] = like_operand(p, k);
    }
    eval(p, OPERANDS, grads, outs);
    for (int k = 0; k < OPERANDS; k++) {
        check_gradient(p, &p->of[k], &outs[k], loss);
        drop(&outs[k]);
    }
}

/* ---- Gradients of what is chosen --------------------------------------------------------------------------------- */

/* Every number of the operands moves by `step` in the direction. */
static void move(problem *p, const operand *directions, double step)
{
    for (int k = 0; k < OPERANDS; k++) {
        operand *o = &p->of[k];
        int64_t place[AXES] = {0};
        do
            for (int64_t i = 0; i < o->rows; i++)
                for (int n = 0; n < o->dim; n++) {
                    *exact_at(o, place, i, n) += step * *exact_at(&directions[k], place, i, n);
                    memcpy(memory_at(o, place, i, n), exact_at(o, place, i, n), sizeof(double));
                }
        while (next_place(&o->batch, place));
    }
}

void check_second_derivatives(problem *p, kcl_expr *const *v, kcl_expr *const *grads)
{
    operand u[OPERANDS], out[4][OPERANDS];
    kcl_expr *along[OPERANDS], *ahead[OPERANDS], *back[OPERANDS], *slope = kcl_zero(s, 1);
    for (int k = 0; k < OPERANDS; k++) {
        u[k] = like_operand(p, k);
        fill(&u[k], -1, 1);
        along[k] = in_place(&u[k]);
        kcl_expr *product = kcl_reduce_sum(kcl_reduce_sum(kcl_dot(grads[k], along[k]), KCL_OVER_I), KCL_OVER_J);
        slope = kcl_add(slope, over_all_batches(product));
        for (int n = 0; n < 4; n++)
            out[n][k] = like_operand(p, k);
    }
    for (int k = 0; k < OPERANDS; k++) {
        ahead[k] = kcl_jvp(grads[k], v[0], along[0]);
        for (int n = 1; n < OPERANDS; n++)
            ahead[k] = kcl_add(ahead[k], kcl_jvp(grads[k], v[n], along[n]));
        back[k] = kcl_grad(slope, v[k]);
        ck_assert_msg(kcl_expr_status(ahead[k]) == KCL_OK && kcl_expr_status(back[k]) == KCL_OK, "%s: %s%s", p->text,
                      kcl_expr_error(ahead[k]), kcl_expr_error(back[k]));
    }
    const double step = 1e-6;
    eval(p, OPERANDS, ahead, out[0]);
    eval(p, OPERANDS, back, out[1]);
    move(p, u, step);
    eval(p, OPERANDS, grads, out[2]);
    move(p, u, -2 * step);
    eval(p, OPERANDS, grads, out[3]);
    move(p, u, step);
    for (int k = 0; k < OPERANDS; k++) {
        int64_t place[AXES] = {0};
        double largest = 1e-2;
        do {
            for (int64_t i = 0; i < p->of[k].rows; i++) {
                for (int n = 0; n < kinds[k].dim; n++) {
                    double want =
                        (memory_get(&out[2][k], place, i, n) - memory_get(&out[3][k], place, i, n)) / (2 * step);
                    largest = fmax(largest, fabs(want));
                    for (int mode = 0; mode < 2; mode++)
                        ck_assert_msg(fabs(memory_get(&out[mode][k], place, i, n) - want) <= 1e-6 * largest,
                                      "%s: second derivative in %c, %s: %.9g, not %.9g", p->text, "xybgu"[k],
                                      mode ? "reverse" : "forward", memory_get(&out[mode][k], place, i, n), want);
                }
            }
        } while (next_place(&p->of[k].batch, place));
        drop(&u[k]);
        for (int n = 0; n < 4; n++)
            drop(&out[n][k]);
    }
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

static void setup(void)
{
    s = kcl_scope_create(device);
    seed_random(test_seed());
}

static void teardown(void)
{
    kcl_scope_destroy(&s);
}

bool begin_batches(int argc, char **argv)
{
    char command[512];
    by_interpreter = argc > 1 && strcmp(argv[1], "host") == 0;
    if (!getenv("KEOPSCL_CACHE_DIR"))
        setenv("KEOPSCL_CACHE", "off", 1);
    if (by_interpreter)
        kcl_context_create(&device, &(kcl_context_params){.device = "host"});
    else
        device = open_cpu_or_skip();
    snprintf(command, sizeof command, "%s%s", argv[0], by_interpreter ? " host" : "");
    announce_seed(command);
    return by_interpreter;
}

int run_batches(const char *name, const test_entry *tests, size_t count)
{
    if (!device)
        return 77;
    const int failed = run_entries(name, tests, count, setup, teardown);
    kcl_context_destroy(&device);
    return failed;
}
