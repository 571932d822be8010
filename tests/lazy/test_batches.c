/* SPDX-License-Identifier: MIT */
/*
 * Batch axes: random shapes and broadcasts against sums in double over all batches, written here. Argument "host": by the
 * interpreter alone.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "make.h"
#include "run.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { AXES = 6, MOST = 8192, MOST_CHOSEN = 4 };

static kcl_context *device;
static bool by_interpreter;
static kcl_scope *s;

static void setup(void)
{
    s = kcl_scope_create(device);
    seed_random(test_seed());
}

static void teardown(void)
{
    kcl_scope_destroy(&s);
}

/* ---- Arrays ------------------------------------------------------------------------------------------------------ */

/* Sizes of batch axes, from the last one on; axes that are not there have size 1. */
typedef struct sizes {
    int64_t of[AXES];
} sizes;

static const sizes no_batches = {{1, 1, 1, 1, 1, 1}};

static sizes join(sizes a, sizes b)
{
    for (int k = 0; k < AXES; k++)
        a.of[k] = a.of[k] == 1 ? b.of[k] : a.of[k];
    return a;
}

static int64_t count_of(const sizes *b)
{
    int64_t count = 1;
    for (int k = 0; k < AXES; k++)
        count *= b->of[k];
    return count;
}

static bool next_place(const sizes *b, int64_t place[AXES])
{
    for (int k = 0; k < AXES; k++) {
        if (++place[k] < b->of[k])
            return true;
        place[k] = 0;
    }
    return false;
}

typedef struct operand {
    char role; /* 'i', 'j', 'p' */
    int dim;
    int64_t rows;
    sizes batch;
    kcl_array array; /* (batch..., rows, dim), of a parameter (batch..., dim) */
    void *memory;
    double *exact; /* dense, what is in memory */
} operand;

/* Number `k` of row `row` at a place of the batches that the operand is broadcast to. */
static double *exact_at(const operand *o, const int64_t place[AXES], int64_t row, int k)
{
    int64_t at = 0;
    for (int b = AXES - 1; b >= 0; b--)
        at = at * o->batch.of[b] + (o->batch.of[b] == 1 ? 0 : place[b]);
    return &o->exact[(at * o->rows + row) * o->dim + k];
}

static char *memory_at(const operand *o, const int64_t place[AXES], int64_t row, int k)
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

static double memory_get(const operand *o, const int64_t place[AXES], int64_t row, int k)
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

enum { SHUFFLED = 1, APART = 2, BACKWARDS = 4 };

/*
 * Memory for an array with `leading` batch axes at least. SHUFFLED: axes in any order in memory; APART: gaps between
 * components; BACKWARDS: the last batch axis runs backwards.
 */
static operand make(char role, int dim, int64_t rows, const sizes *batch, kcl_dtype dtype, int leading, int how)
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

static void fill(operand *o, double low, double high)
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

static void drop(operand *o)
{
    free(o->memory);
    free(o->exact);
}

/* The variable that reads the operand's own memory. */
static kcl_expr *in_place(const operand *o)
{
    return o->role == 'i' ? kcl_vi(s, &o->array) : o->role == 'j' ? kcl_vj(s, &o->array) : kcl_pm(s, &o->array);
}

/* The variable, by the function that states the role or by the one that reads it off the shape. */
static kcl_expr *variable(const operand *o)
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

/* F = exp(-g |x_i - y_j|^2) b_j, and G = b_j0 / 3 - g |x_i - y_j|^2. */
enum { X, Y, B, G, U, OPERANDS };

static const struct {
    char role;
    int dim;
} kinds[OPERANDS] = {{'i', 3}, {'j', 3}, {'j', 2}, {'p', 1}, {'i', 2}};

typedef struct problem {
    kcl_dtype dtype;
    int64_t M, N;
    operand of[OPERANDS];
    sizes batch; /* of F: that of x, y, b and g */
    char text[400];
} problem;

static double squares(const problem *p, const int64_t place[AXES], int64_t i, int64_t j)
{
    double sum = 0;
    for (int k = 0; k < 3; k++) {
        double d = *exact_at(&p->of[X], place, i, k) - *exact_at(&p->of[Y], place, j, k);
        sum += d * d;
    }
    return *exact_at(&p->of[G], place, 0, 0) * sum;
}

static double f_of(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    return exp(-squares(p, place, i, j)) * *exact_at(&p->of[B], place, j, k);
}

static double g_of(const problem *p, const int64_t place[AXES], int64_t i, int64_t j)
{
    return *exact_at(&p->of[B], place, j, 0) / 3 - squares(p, place, i, j);
}

static sizes random_sizes(int axes, bool zeros)
{
    sizes b = no_batches;
    for (int k = 0, product = 1; k < axes; k++) {
        int64_t size = zeros && pick(12) == 0 ? 0 : 1 + pick(4);
        if (product * size <= 36)
            product *= (int)(b.of[k] = size);
    }
    return b;
}

static void problem_make(problem *p, kcl_dtype dtype, bool zeros)
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

static void problem_drop(problem *p)
{
    for (int k = 0; k < OPERANDS; k++)
        drop(&p->of[k]);
}

static double tolerance(const problem *p)
{
    return p->dtype == KCL_F32 ? 2e-5 : 1e-12;
}

/* Sum of F over the axes, times u_i where that has rows. */
static void check_sum(const problem *p, const operand *out, int over, bool times_u)
{
    int64_t place[AXES] = {0};
    if (!count_of(&out->batch))
        return;
    do {
        for (int64_t row = 0; row < out->rows; row++) {
            for (int k = 0; k < 2; k++) {
                double want = 0, scale = 1e-30;
                for (int64_t i = over & KCL_OVER_I ? 0 : row; i < (over & KCL_OVER_I ? p->M : row + 1); i++) {
                    for (int64_t j = over & KCL_OVER_J ? 0 : row; j < (over & KCL_OVER_J ? p->N : row + 1); j++) {
                        double f = f_of(p, place, i, j, k);
                        want += f;
                        scale += fabs(f);
                    }
                }
                if (times_u) {
                    want *= *exact_at(&p->of[U], place, row, k);
                    scale *= 1 + fabs(*exact_at(&p->of[U], place, row, k));
                }
                double got = memory_get(out, place, row, k);
                ck_assert_msg(fabs(got - want) <= tolerance(p) * scale, "%s: sum over %d, row %lld: %.9g, not %.9g",
                              p->text, over, (long long)row, got, want);
            }
        }
    } while (next_place(&out->batch, place));
}

/* LogSumExp and ArgMin of G over the axis that the result lacks. */
static void check_values(const problem *p, const operand *lse, const operand *least, int over)
{
    int64_t place[AXES] = {0}, terms = over == KCL_OVER_J ? p->N : p->M;
    if (!count_of(&lse->batch))
        return;
    do {
        for (int64_t row = 0; row < lse->rows; row++) {
            double most = -INFINITY, smallest = INFINITY, sum = 0;
            for (int64_t t = 0; t < terms; t++) {
                double g = over == KCL_OVER_J ? g_of(p, place, row, t) : g_of(p, place, t, row);
                most = fmax(most, g);
                smallest = fmin(smallest, g);
            }
            for (int64_t t = 0; t < terms; t++)
                sum += exp((over == KCL_OVER_J ? g_of(p, place, row, t) : g_of(p, place, t, row)) - most);
            double want = most + log(sum), got = memory_get(lse, place, row, 0);
            if (terms == 0)
                want = -INFINITY;
            ck_assert_msg(got == want || fabs(got - want) <= tolerance(p) * (1 + fabs(want)),
                          "%s: logsumexp over %d, row %lld: %.9g, not %.9g", p->text, over, (long long)row, got, want);
            int64_t index = (int64_t)memory_get(least, place, row, 0);
            ck_assert_msg(terms ? index >= 0 && index < terms : index == -1, "%s: argmin over %d, row %lld: %lld",
                          p->text, over, (long long)row, (long long)index);
            if (terms) {
                double g = over == KCL_OVER_J ? g_of(p, place, row, index) : g_of(p, place, index, row);
                ck_assert_msg(g - smallest <= tolerance(p) * (1 + fabs(smallest)), "%s: argmin over %d, row %lld: %lld",
                              p->text, over, (long long)row, (long long)index);
            }
        }
    } while (next_place(&lse->batch, place));
}

static operand result_for(const problem *p, char role, int dim, sizes batch, kcl_dtype dtype)
{
    return make(role, dim, role == 'i' ? p->M : p->N, &batch, dtype, pick(AXES), pick(3) ? 0 : pick(8));
}

static void eval(const problem *p, int count, kcl_expr *const *exprs, const operand *outs)
{
    const kcl_array *arrays[8];
    for (int k = 0; k < count; k++)
        arrays[k] = &outs[k].array;
    ck_assert_msg(kcl_eval(count, exprs, arrays) == KCL_OK, "%s: %s", p->text, kcl_context_error(device));
}

START_TEST(test_random_broadcasts)
{
    seed_random(test_seed() + (uint64_t)_i);
    problem p;
    problem_make(&p, _i % 3 ? KCL_F32 : KCL_F64, true);
    kcl_expr *v[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    kcl_expr *d = kcl_mul(v[G], kcl_sqdist(v[X], v[Y]));
    kcl_expr *F = kcl_mul(kcl_exp(kcl_neg(d)), v[B]);
    kcl_expr *value = kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), d);
    int64_t shape[KCL_MAX_AXES];
    int axes = kcl_expr_shape(F, shape);
    ck_assert_msg(axes >= 3, "%s: %s", p.text, kcl_expr_error(F));
    for (int b = 0; b < AXES; b++)
        ck_assert_int_eq(b < axes - 3 ? shape[axes - 4 - b] : 1, p.batch.of[b]);
    ck_assert(shape[axes - 3] == p.M && shape[axes - 2] == p.N && shape[axes - 1] == 2);
    int over = 1 + _i % 3;
    char role = over == KCL_OVER_J ? 'i' : over == KCL_OVER_I ? 'j' : 'p';
    bool times_u = role == 'i' && pick(2);
    sizes of_sum = times_u ? join(p.batch, p.of[U].batch) : p.batch;
    kcl_expr *sum = kcl_reduce_sum(F, (kcl_axes)over);
    operand outs[] = {result_for(&p, role, 2, of_sum, p.dtype), result_for(&p, role, 1, p.batch, p.dtype),
                      result_for(&p, role, 1, p.batch, KCL_I64)};
    kcl_expr *exprs[] = {times_u ? kcl_mul(sum, v[U]) : sum, kcl_reduce_logsumexp(value, (kcl_axes)over),
                         kcl_reduce_argmin(value, (kcl_axes)over)};
    /* Where an axis has size 1 or 0, ArgMin over it has nothing to choose from, or is no index of it. */
    bool indices = over != KCL_OVER_BOTH && p.M > 1 && p.N > 1;
    eval(&p, indices ? 3 : 1, exprs, outs);
    check_sum(&p, &outs[0], over, times_u);
    if (indices)
        check_values(&p, &outs[1], &outs[2], over);
    for (int k = 0; k < 3; k++)
        drop(&outs[k]);
    problem_drop(&p);
}
END_TEST

/* Operators get batches with the arrays; every schedule runs them. */
START_TEST(test_operators_on_every_schedule)
{
    static const char *const names[] = {NULL, "lanes", "rows", "contraction", "split", "columns"};
    static const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "g=Pm(1)"};
    seed_random(test_seed() + 7000 + (uint64_t)_i);
    int over = _i % 2 ? KCL_OVER_J : KCL_OVER_I;
    const char *schedule = names[_i % 6];
    bool numbers = schedule && strcmp(schedule, "contraction") == 0; /* its terms are numbers */
    const char *sums =
        over == KCL_OVER_J ? "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)" : "Sum_Reduction(Exp(-g*SqDist(x,y))*b,1)";
    const char *values =
        over == KCL_OVER_J
            ? "LogSumExp_Reduction(Elem(b,0)/3-g*SqDist(x,y),0);ArgMin_Reduction(Elem(b,0)/3-g*SqDist(x,y),0)"
            : "LogSumExp_Reduction(Elem(b,0)/3-g*SqDist(x,y),1);ArgMin_Reduction(Elem(b,0)/3-g*SqDist(x,y),1)";
    problem p;
    do
        problem_make(&p, _i % 4 == 3 ? KCL_F64 : KCL_F32, false);
    while ((p.M < 2 || p.N < 2) && (problem_drop(&p), true));
    const kcl_array *args[4];
    for (int k = 0; k < 4; k++)
        args[k] = &p.of[k].array;
    char role = over == KCL_OVER_J ? 'i' : 'j';
    operand outs[] = {result_for(&p, role, 2, p.batch, p.dtype), result_for(&p, role, 1, p.batch, p.dtype),
                      result_for(&p, role, 1, p.batch, KCL_I64)};
    const kcl_array *to[] = {&outs[0].array, &outs[1].array, &outs[2].array};
    for (int pass = numbers; pass < 2; pass++) {
        kcl_operator *op;
        const kcl_operator_params params = {.schedule = schedule, .form = _i % 4 == 1 ? "expanded" : NULL};
        ck_assert_msg(kcl_operator_create(&op, pass ? values : sums, 4, aliases, &params) == KCL_OK, "%s",
                      kcl_operator_error(op));
        ck_assert_msg(kcl_operator_apply(op, device, to + pass, 1 + pass, args, 4) == KCL_OK, "%s: %s: %s", p.text,
                      schedule ? schedule : "by rule", kcl_context_error(device));
        kcl_operator_destroy(&op);
    }
    if (!numbers)
        check_sum(&p, &outs[0], over, false);
    check_values(&p, &outs[1], &outs[2], over);
    for (int k = 0; k < 3; k++)
        drop(&outs[k]);
    problem_drop(&p);
}
END_TEST

/* ---- Bad shapes -------------------------------------------------------------------------------------------------- */

#define IS_SHAPE_ERROR(e, ...)                                                                                         \
    do {                                                                                                               \
        ck_assert_int_eq(kcl_expr_status(e), KCL_ERROR_SHAPE);                                                         \
        CONTAINS(kcl_expr_error(e), __VA_ARGS__);                                                                      \
    } while (0)

START_TEST(test_sizes_that_do_not_broadcast)
{
    static float a[MOST];
    kcl_expr *x = kcl_vi(s, kcl_f32(a, 4, 3, 10, 2)), *y = kcl_vj(s, kcl_f32(a, 5, 1, 11, 2));
    kcl_expr *z = kcl_lazy(s, kcl_f32(a, 2, 1, 7, 2));
    IS_SHAPE_ERROR(kcl_sub(x, y), "size 4", "batch axis -2", "array 0", "5", "array 1");
    IS_SHAPE_ERROR(kcl_sqdist(x, z), "size 3", "batch axis -1", "array 0", "2", "array 2");
    kcl_expr *u = kcl_reduce_sum(kcl_sqdist(y, kcl_vi(s, kcl_f32(a, 11, 2))), KCL_OVER_J);
    ck_assert_int_eq(kcl_expr_status(u), KCL_OK);
    IS_SHAPE_ERROR(kcl_mul(u, x), "size 5", "batch axis -2", "a reduction of array 1", "4", "array 0");
    IS_SHAPE_ERROR(kcl_formula(s, "x-y", 2, (const char *[]){"x", "y"}, (kcl_expr *[]){x, y}), "size 4", "5");
    int64_t shape[KCL_MAX_AXES];
    ck_assert_int_eq(kcl_expr_shape(kcl_sub(x, y), shape), 0);
    /* The result has the batch axes of all its operands. */
    static float out[MOST];
    kcl_expr *sum = kcl_reduce_sum(kcl_sqdist(x, kcl_vj(s, kcl_f32(a, 11, 2))), KCL_OVER_J);
    ck_assert_int_eq(kcl_eval1(sum, kcl_f32(out, 4, 10)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "output 0", "(4, 10)", "(4, 3, M, 1)");
    ck_assert_int_eq(kcl_eval1(sum, kcl_f32(out, 4, 3, 1, 10)), KCL_OK);
    /* A text knows arrays by number only where they have no batches. */
    kcl_expr *unknown = kcl_formula(s, "Sum(Var(0,2,0))", 0, NULL, NULL);
    ck_assert_int_eq(kcl_eval1(unknown, kcl_f32(out, 10)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "array 0", "batch axes", "name");
}
END_TEST

/* Strides of 0 give small arrays any number of batches, and two of them together more than can be counted. */
START_TEST(test_batches_that_cannot_be_counted)
{
    static float a[MOST], out[8];
    const int64_t many = INT64_C(1) << 40;
    kcl_array left = kcl_array_of(a, KCL_F32, 4, (const int64_t[]){1, 1, 4, 2}), right = left, both = left;
    left.shape[0] = many;
    right.shape[1] = many;
    both.shape[0] = both.shape[1] = many;
    left.stride[0] = right.stride[1] = both.stride[0] = both.stride[1] = 0;
    kcl_expr *product = kcl_mul(kcl_vi(s, &left), kcl_vj(s, &right));
    kcl_expr *sum = kcl_reduce_sum_batch(kcl_reduce_sum_batch(kcl_reduce_sum(product, KCL_OVER_J), 1), 0);
    ck_assert_int_eq(kcl_eval1(sum, kcl_f32(out, 4, 2)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(device), "1099511627776 x 1099511627776 batches", "axes -2 to -1", "64-bit");
    ck_assert_int_eq(kcl_sum(kcl_vj(s, &both), KCL_OVER_J, kcl_f32(out, 2)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(device), "(1099511627776, 1099511627776, 4, 2)", "axes 0 to 1", "64-bit");
}
END_TEST

START_TEST(test_arguments_that_do_not_broadcast)
{
    static float a[MOST], out[MOST];
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)"};
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(SqDist(x,y),0)", 2, aliases, NULL), KCL_OK);
    const kcl_array *args[] = {kcl_f32(a, 4, 3, 10, 2), kcl_f32(a, 5, 1, 11, 2)}, *to = kcl_f32(out, 4, 3, 10);
    ck_assert_int_eq(kcl_operator_apply(op, device, &to, 1, args, 2), KCL_ERROR_LENGTH);
    CONTAINS(kcl_context_error(device), "\"x\"", "size 4", "axis -2", "\"y\"", "5");
    args[1] = kcl_f32(a, 3, 11, 2);
    ck_assert_msg(kcl_operator_apply(op, device, &to, 1, args, 2) == KCL_OK, "%s", kcl_context_error(device));
    to = kcl_f32(out, 4, 2, 10);
    ck_assert_int_eq(kcl_operator_apply(op, device, &to, 1, args, 2), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "output 0", "(4, 2, 10)", "(4, 3, M, 1)");
    kcl_operator_destroy(&op);
}
END_TEST

/* ---- Reductions over batch axes, gradients ----------------------------------------------------------------------- */

enum { SUM, MEAN, LOGSUMEXP, MIN, MAX, REDUCTIONS };

static kcl_expr *(*const over_rows[])(kcl_expr *f, kcl_axes over) = {
    kcl_reduce_sum, kcl_reduce_mean, kcl_reduce_logsumexp, kcl_reduce_min, kcl_reduce_max};
static kcl_expr *(*const over_batches[])(kcl_expr *f, int axis) = {kcl_reduce_sum_batch, kcl_reduce_mean_batch,
                                                                   kcl_reduce_logsumexp_batch, kcl_reduce_min_batch,
                                                                   kcl_reduce_max_batch};

/*
 * A reduction over `over` and over the batch axes in `axes`, bits from the last one on: sum or mean of F, or one of the
 * others of G.
 */
static void check_reduced(const problem *p, const operand *out, int over, unsigned axes, int what)
{
    int64_t place[AXES] = {0};
    sizes inner = no_batches;
    for (int b = 0; b < AXES; b++)
        if (axes >> b & 1)
            inner.of[b] = p->batch.of[b];
    if (!count_of(&out->batch))
        return;
    do {
        for (int64_t row = 0; row < out->rows; row++) {
            for (int k = 0; k < out->dim; k++) {
                double want = what == MIN ? INFINITY : what == MAX ? -INFINITY : 0, scale = 1e-30, terms = 0;
                int64_t each[AXES] = {0};
                bool some = count_of(&inner) > 0;
                while (some) {
                    int64_t all[AXES];
                    for (int b = 0; b < AXES; b++)
                        all[b] = axes >> b & 1 ? each[b] : place[b];
                    for (int64_t i = over & KCL_OVER_I ? 0 : row; i < (over & KCL_OVER_I ? p->M : row + 1); i++) {
                        for (int64_t j = over & KCL_OVER_J ? 0 : row; j < (over & KCL_OVER_J ? p->N : row + 1); j++) {
                            double f = what == SUM || what == MEAN ? f_of(p, all, i, j, k) : g_of(p, all, i, j);
                            f = what == LOGSUMEXP ? exp(f) : f;
                            want = what == MIN ? fmin(want, f) : what == MAX ? fmax(want, f) : want + f;
                            scale += fabs(f);
                            terms++;
                        }
                    }
                    some = next_place(&inner, each);
                }
                if (what == MEAN) {
                    want /= terms;
                    scale /= terms;
                } else if (what != SUM) {
                    want = what == LOGSUMEXP ? log(want) : want;
                    scale = 1 + fabs(want);
                }
                double got = memory_get(out, place, row, k);
                ck_assert_msg(got == want || (isnan(got) && isnan(want)) || fabs(got - want) <= tolerance(p) * scale,
                              "%s: over %d and batch axes %x, row %lld: %.9g, not %.9g", p->text, over, axes,
                              (long long)row, got, want);
            }
        }
    } while (next_place(&out->batch, place));
}

START_TEST(test_reductions_over_batch_axes)
{
    seed_random(test_seed() + 20000 + (uint64_t)_i);
    problem p;
    do
        problem_make(&p, _i % 3 ? KCL_F32 : KCL_F64, true);
    while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    kcl_expr *v[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    const int what = pick(2) ? SUM : pick(REDUCTIONS);
    int over = 1 + _i % 3, axes_there = 0;
    kcl_expr *d = kcl_mul(v[G], kcl_sqdist(v[X], v[Y])), *e = kcl_mul(kcl_exp(kcl_neg(d)), v[B]);
    if (what >= LOGSUMEXP)
        e = kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), d);
    for (int b = 0; b < AXES; b++)
        axes_there = p.batch.of[b] != 1 ? b + 1 : axes_there;
    unsigned axes = 0;
    sizes left = p.batch;
    const bool first = what == MEAN || pick(2); /* rows before batches, or after them */
    for (int pass = 0; pass < 2; pass++) {
        if (pass == !first)
            e = over_rows[what](e, (kcl_axes)over);
        for (int b = 0; pass == first && b < axes_there; b++) {
            if (!pick(2))
                continue;
            axes |= 1u << b;
            left.of[b] = 1;
            e = over_batches[what](e, -1 - b);
        }
    }
    char role = over == KCL_OVER_J ? 'i' : over == KCL_OVER_I ? 'j' : 'p';
    operand out = result_for(&p, role, kcl_expr_dim(e), left, p.dtype);
    ck_assert_msg(kcl_expr_status(e) == KCL_OK, "%s: %s", p.text, kcl_expr_error(e));
    eval(&p, 1, &e, &out);
    check_reduced(&p, &out, over, axes, what);
    drop(&out);
    problem_drop(&p);
}
END_TEST

/* ---- What is chosen, over batch axes too ------------------------------------------------------------------------- */

/* Reductions that choose, by what they give: values or indices, of the smallest or the largest, K of them or one. */
enum { INDEX = 1, LARGEST = 2, LIST = 4, CHOICES = 8 };

static kcl_expr *(*const choose_rows[])(kcl_expr *f, kcl_axes over) = {kcl_reduce_min, kcl_reduce_argmin,
                                                                       kcl_reduce_max, kcl_reduce_argmax};
static kcl_expr *(*const choose_batches[])(kcl_expr *f, int axis) = {kcl_reduce_min_batch, kcl_reduce_argmin_batch,
                                                                     kcl_reduce_max_batch, kcl_reduce_argmax_batch};
static kcl_expr *(*const list_rows[])(kcl_expr *f, int k, kcl_axes over) = {kcl_reduce_kmin, kcl_reduce_argkmin,
                                                                            kcl_reduce_kmax, kcl_reduce_argkmax};
static kcl_expr *(*const list_batches[])(kcl_expr *f, int k, int axis) = {
    kcl_reduce_kmin_batch, kcl_reduce_argkmin_batch, kcl_reduce_kmax_batch, kcl_reduce_argkmax_batch};

/* The terms of a result, and which of them it chooses. `over`: 0 for formulas of rows i. `axes`: batch axes, as bits. */
typedef struct choice {
    int what, k, over;
    unsigned axes;
    double (*term)(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int component);
} choice;

static kcl_expr *over_axes(const choice *c, kcl_expr *e, int what, bool rows_first)
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

static char rows_of_choice(const choice *c)
{
    return c->over == KCL_OVER_BOTH ? 'p' : c->over == KCL_OVER_I ? 'j' : 'i';
}

/*
 * The values chosen for component k of a row, and their numbers among the terms flattened row-major, by looking at all:
 * the first of equal ones. Infinite and -1 where there are too few; NaN does not count.
 */
static void choose(const problem *p, const choice *c, const int64_t place[AXES], int64_t row, int k, double *values,
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

/* Whole numbers, among which many are equal, and NaN. */
static double whole_term(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    return *exact_at(&p->of[B], place, j, k) - squares(p, place, i, j);
}

static double whole_row(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    (void)j;
    return *exact_at(&p->of[G], place, 0, 0) * *exact_at(&p->of[X], place, i, k);
}

static void fill_whole(operand *o, int low, int high, bool holes)
{
    int64_t place[AXES] = {0};
    if (!count_of(&o->batch))
        return;
    do
        for (int64_t i = 0; i < o->rows; i++)
            for (int k = 0; k < o->dim; k++) {
                double x = holes && pick(8) == 0 ? NAN : low + pick(high - low + 1);
                float f = (float)x;
                *exact_at(o, place, i, k) = x;
                memcpy(memory_at(o, place, i, k), o->array.dtype == KCL_F32 ? (void *)&f : (void *)&x,
                       kb_dtype_size(o->array.dtype));
            }
    while (next_place(&o->batch, place));
}

static void fill_problem_whole(problem *p)
{
    fill_whole(&p->of[X], -2, 2, false);
    fill_whole(&p->of[Y], -2, 2, false);
    fill_whole(&p->of[B], -3, 3, true);
    fill_whole(&p->of[G], 1, 2, false);
}

/* The batch axes of x and g, which formulas of rows have. */
static void keep_rows_only(problem *p)
{
    p->batch = join(p->of[X].batch, p->of[G].batch);
}

static int last_axis_of(const sizes *b)
{
    int axes = 0;
    for (int k = 0; k < AXES; k++)
        axes = b->of[k] != 1 ? k + 1 : axes;
    return axes;
}

static sizes without(sizes b, unsigned axes)
{
    for (int k = 0; k < AXES; k++)
        b.of[k] = axes >> k & 1 ? 1 : b.of[k];
    return b;
}

/* Values and indices are exactly those of plain loops. */
static void check_choice(const problem *p, const choice *c, const operand *values, const operand *numbers)
{
    int64_t place[AXES] = {0}, want_number[MOST_CHOSEN];
    double want[MOST_CHOSEN];
    const int count = c->what & LIST ? c->k : 1, dim = numbers->dim / count;
    if (!count_of(&numbers->batch))
        return;
    do {
        for (int64_t row = 0; row < numbers->rows; row++) {
            for (int k = 0; k < dim; k++) {
                choose(p, c, place, row, k, want, want_number);
                for (int q = 0; q < count; q++) {
                    const double value = values ? memory_get(values, place, row, q * dim + k) : want[q];
                    const double number = memory_get(numbers, place, row, q * dim + k);
                    ck_assert_msg(value == want[q] && (int64_t)number == want_number[q],
                                  "%s: what %d, %d over %d and batch axes %x, row %lld, component %d, number %d: %g at "
                                  "%lld, not %g at %lld",
                                  p->text, c->what, c->k, c->over, c->axes, (long long)row, k, q, value,
                                  (long long)number, want[q], (long long)want_number[q]);
                }
            }
        }
    } while (next_place(&numbers->batch, place));
}

START_TEST(test_choices_over_batch_axes)
{
    seed_random(test_seed() + 60000 + (uint64_t)_i);
    problem p;
    choice c = {.what = pick(CHOICES) & ~INDEX, .k = 1 + pick(MOST_CHOSEN), .over = _i % 4};
    do {
        problem_make(&p, _i % 3 ? KCL_F32 : KCL_F64, true);
        if (!c.over)
            keep_rows_only(&p);
    } while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    fill_problem_whole(&p);
    kcl_expr *v[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    kcl_expr *f =
        c.over ? kcl_sub(v[B], kcl_mul(v[G], kcl_sqdist(v[X], v[Y]))) : kcl_mul(v[G], kcl_extract(v[X], 0, 2));
    c.term = c.over ? whole_term : whole_row;
    const int last = last_axis_of(&p.batch);
    while (!c.axes && (!c.over || pick(4)))
        for (int b = 0; b < last; b++)
            c.axes |= pick(2) ? 1u << b : 0;
    const bool first = pick(2), alone = !c.over && !(c.axes & (c.axes - 1));
    kcl_expr *exprs[2] = {over_axes(&c, f, c.what, first), over_axes(&c, f, c.what | INDEX, first)};
    if (alone) { /* the function of both gives the same */
        int axis = 0;
        while (!(c.axes >> axis & 1))
            axis++;
        exprs[0] = c.what == LIST     ? kcl_reduce_kmin_argkmin_batch(f, c.k, -1 - axis, &exprs[1])
                   : c.what & LIST    ? kcl_reduce_kmax_argkmax_batch(f, c.k, -1 - axis, &exprs[1])
                   : c.what & LARGEST ? kcl_reduce_max_argmax_batch(f, -1 - axis, &exprs[1])
                                      : kcl_reduce_min_argmin_batch(f, -1 - axis, &exprs[1]);
    }
    const int dim = c.what & LIST ? 2 * c.k : 2;
    const sizes left = without(p.batch, c.axes);
    operand outs[] = {result_for(&p, rows_of_choice(&c), dim, left, p.dtype),
                      result_for(&p, rows_of_choice(&c), dim, left, KCL_I64)};
    for (int k = 0; k < 2; k++)
        ck_assert_msg(kcl_expr_status(exprs[k]) == KCL_OK, "%s: %s", p.text, kcl_expr_error(exprs[k]));
    eval(&p, 2, exprs, outs);
    check_choice(&p, &c, &outs[0], &outs[1]);
    drop(&outs[0]);
    drop(&outs[1]);
    problem_drop(&p);
}
END_TEST

/* For every component of w: log of the sum of exp(g) w, and its mean with weights exp(g). */
static void check_weighted(const problem *p, const operand *log_sum, const operand *mean, int over, unsigned axes)
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

START_TEST(test_weighted_reductions_over_batch_axes)
{
    seed_random(test_seed() + 70000 + (uint64_t)_i);
    const int over = _i % 4;
    problem p;
    do {
        problem_make(&p, _i % 3 ? KCL_F32 : KCL_F64, true);
        if (!over)
            keep_rows_only(&p);
    } while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    kcl_expr *v[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    kcl_expr *two = kcl_constant(s, 2);
    kcl_expr *f = over ? kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), kcl_mul(v[G], kcl_sqdist(v[X], v[Y])))
                       : kcl_mul(kcl_constant(s, 3), kcl_elem(v[X], 2));
    kcl_expr *w = kcl_add(two, over ? v[B] : kcl_mul(v[G], kcl_extract(v[X], 0, 2)));
    /* Batch axes that w has and f lacks count for both: those of the pair. */
    kcl_expr *log_sum = NULL, *mean = NULL, *sum = NULL;
    const int last = last_axis_of(&p.batch);
    unsigned axes = 0;
    while (!axes)
        for (int b = 0; b < last; b++)
            axes |= pick(2) ? 1u << b : 0;
    for (int pass = 0, rows_first = pick(2); pass < 2; pass++) {
        if (pass == !rows_first && over) {
            log_sum = log_sum ? kcl_reduce_logsumexp(log_sum, (kcl_axes)over)
                              : kcl_reduce_logsumexp_weight(f, w, (kcl_axes)over);
            mean = kcl_reduce_sumsoftmaxweight(mean ? sum : f, mean ? mean : w, (kcl_axes)over);
            sum = kcl_reduce_logsumexp(sum ? sum : f, (kcl_axes)over);
        }
        for (int b = 0; b < last && pass == rows_first; b++) {
            int64_t shape[KCL_MAX_AXES];
            if (!(axes >> b & 1))
                continue;
            log_sum =
                log_sum ? kcl_reduce_logsumexp_batch(log_sum, -1 - b) : kcl_reduce_logsumexp_weight_batch(f, w, -1 - b);
            mean = kcl_reduce_sumsoftmaxweight_batch(mean ? sum : f, mean ? mean : w, -1 - b);
            kcl_expr *exponent = sum ? sum : f; /* which may have fewer axes than w */
            sum = kcl_expr_shape(exponent, shape) - 3 > b ? kcl_reduce_logsumexp_batch(exponent, -1 - b) : exponent;
        }
    }
    const char role = over == KCL_OVER_BOTH ? 'p' : over == KCL_OVER_I ? 'j' : 'i';
    const sizes left = without(p.batch, axes);
    kcl_expr *exprs[] = {log_sum, mean};
    operand outs[] = {result_for(&p, role, 2, left, p.dtype), result_for(&p, role, 2, left, p.dtype)};
    for (int k = 0; k < 2; k++)
        ck_assert_msg(kcl_expr_status(exprs[k]) == KCL_OK, "%s: %s", p.text, kcl_expr_error(exprs[k]));
    eval(&p, 2, exprs, outs);
    check_weighted(&p, &outs[0], &outs[1], over, axes);
    drop(&outs[0]);
    drop(&outs[1]);
    problem_drop(&p);
}
END_TEST

/* Chains, what is no chain, and axes of size 1. */
START_TEST(test_what_an_index_over_batches_is)
{
    /* Two batches of 2 x 3 numbers. */
    double x[] = {5, 4, 3, 9, 1, 7, 6, 2, 8, 1, 0, NAN}, values[6], nan = NAN;
    int64_t index[6];
    kcl_expr *f = kcl_vj(s, kcl_f64(x, 2, 2, 3)), *g = kcl_elem(f, 0), *small;
    kcl_expr *all = kcl_reduce_argmin(kcl_reduce_argmin_batch(f, -1), KCL_OVER_J);
    ck_assert_msg(kcl_eval1(all, kcl_i64(index, 3)) == KCL_OK, "%s", kcl_context_error(device));
    ck_assert(index[0] == 3 && index[1] == 3 && index[2] == 0);
    if (by_interpreter || long_tests()) { /* a kernel each */
        ck_assert_int_eq(kcl_eval1(kcl_reduce_argmin_batch(g, 0), kcl_i64(index, 2)), KCL_OK);
        ck_assert(index[0] == 0 && index[1] == 1);
        kcl_expr *batch = kcl_reduce_argmin_batch(kcl_reduce_min(f, KCL_OVER_J), -1);
        ck_assert_int_eq(kcl_eval1(batch, kcl_i64(index, 3)), KCL_OK);
        ck_assert(index[0] == 1 && index[1] == 1 && index[2] == 0);
        /* The smallest of the indices, which are 0 1 0 and 1 1 0. */
        kcl_expr *of_indices = kcl_reduce_min_batch(kcl_mul(kcl_constant(s, 1), kcl_reduce_argmin(f, KCL_OVER_J)), -1);
        ck_assert_int_eq(kcl_eval1(of_indices, kcl_f64(values, 3)), KCL_OK);
        ck_assert(values[0] == 0 && values[1] == 1 && values[2] == 0);
        small = kcl_reduce_kmin_batch(kcl_reduce_kmin(f, 2, KCL_OVER_J), 2, 0);
        ck_assert_int_eq(kcl_expr_dim(small), 6);
        ck_assert_int_eq(kcl_eval1(small, kcl_f64(values, 6)), KCL_OK);
        ck_assert(values[0] == 1 && values[1] == 0 && values[2] == 3 && values[3] == 5 && values[4] == 1 &&
                  values[5] == 7);
    }
    small = kcl_reduce_kmin_batch(kcl_reduce_kmin(f, 2, KCL_OVER_J), 3, 0);
    ck_assert_int_eq(kcl_expr_status(small), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(small), "kcl_reduce_kmin_batch", "K is 3", "K is 2");
    CONTAINS(kcl_expr_error(kcl_reduce_argkmax_batch(f, 1, 1)), "kcl_reduce_argkmax_batch", "axis 1", "1 batch axes");
    ck_assert_int_eq(kcl_expr_status(kcl_reduce_kmin_batch(f, 0, 0)), KCL_ERROR_ARGUMENT);
    /* Axes of size 1, one that was reduced before among them. */
    kcl_expr *narrow = kcl_vi(s, kcl_f64(x, 2, 1, 3, 1)), *hole = kcl_pm(s, kcl_f64(&nan, 1));
    ck_assert_msg(kcl_eval1(kcl_reduce_argmax_batch(narrow, 1), kcl_i64(index, 2, 3)) == KCL_OK, "%s",
                  kcl_context_error(device));
    for (int k = 0; k < 6; k++)
        ck_assert_int_eq(index[k], 0);
    kcl_expr *again = kcl_reduce_argkmin_batch(kcl_reduce_sum_batch(kcl_mul(narrow, hole), 1), 2, 1);
    int64_t pairs[12];
    ck_assert_msg(kcl_eval1(again, kcl_i64(pairs, 2, 3, 2)) == KCL_OK, "%s", kcl_context_error(device));
    for (int k = 0; k < 12; k++)
        ck_assert_int_eq(pairs[k], -1);
    /* A matrix is left. */
    kcl_expr *matrix = kcl_reduce_argmin_batch(kcl_sqdist(narrow, kcl_vj(s, kcl_f64(x, 4, 1))), 0);
    ck_assert_int_eq(kcl_sum(matrix, KCL_OVER_J, kcl_f64(values, 3)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "batch axes", "both i and j");
}
END_TEST

/* Large enough for parts: of columns, of rows, and of the batches that are reduced. */
START_TEST(test_many_batches_become_one)
{
    enum { BATCHES = 300, M = 40, N = 30, D = 2 };
    static float x[BATCHES * M * D], y[N * D], g[BATCHES], out[M * D + 1];
    for (int k = 0; k < BATCHES * M * D; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < N * D; k++)
        y[k] = (float)uniform(-1, 1);
    for (int k = 0; k < BATCHES; k++)
        g[k] = (float)uniform(0.5, 2);
    kcl_expr *v = kcl_vi(s, kcl_f32(x, BATCHES, M, D)), *w = kcl_vj(s, kcl_f32(y, N, D));
    kcl_expr *K = kcl_mul(kcl_pm(s, kcl_f32(g, BATCHES, 1)), kcl_sqdist(v, w));
    for (int over = 1; over <= 3; over++) {
        kcl_expr *sum = kcl_reduce_sum_batch(kcl_reduce_sum(K, (kcl_axes)over), 0);
        ck_assert_msg(kcl_eval1(sum, over == KCL_OVER_J   ? kcl_f32(out, M)
                                     : over == KCL_OVER_I ? kcl_f32(out, N)
                                                          : kcl_f32(out, 1)) == KCL_OK,
                      "%s", kcl_context_error(device));
        int rows = over == KCL_OVER_J ? M : over == KCL_OVER_I ? N : 1;
        for (int row = 0; row < rows; row++) {
            double want = 0;
            for (int b = 0; b < BATCHES; b++)
                for (int i = over & KCL_OVER_I ? 0 : row; i < (over & KCL_OVER_I ? M : row + 1); i++)
                    for (int j = over & KCL_OVER_J ? 0 : row; j < (over & KCL_OVER_J ? N : row + 1); j++)
                        for (int k = 0; k < D; k++)
                            want += g[b] * pow((double)x[(b * M + i) * D + k] - y[j * D + k], 2);
            ck_assert_msg(fabs(out[row] - want) <= 1e-6 * want, "over %d, row %d: %g, not %g", over, row, out[row],
                          want);
        }
    }
    /* Batches of rows, without columns. */
    kcl_expr *rows = kcl_reduce_sum_batch(kcl_square(v), -1);
    ck_assert_msg(kcl_eval1(rows, kcl_f32(out, M, D)) == KCL_OK, "%s", kcl_context_error(device));
    for (int k = 0; k < M * D; k++) {
        double want = 0;
        for (int b = 0; b < BATCHES; b++)
            want += (double)x[b * M * D + k] * x[b * M * D + k];
        ck_assert_double_le(fabs(out[k] - want), 1e-6 * want);
    }
}
END_TEST

/* ---- The layer below expressions, where a schedule can be asked for ----------------------------------------------- */

typedef struct below {
    const problem *p;
    kf_graph g;
    kb_error err;
    kg_slot slots[4];
    kx_view views[4];
    const kf_node *v[4];
    sizes left;
    kg_batch batch; /* the same */
    unsigned axes;  /* that are reduced, as bits from the last one on */
} below;

static void below_make(below *l, const problem *p)
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

/* g |x - y|^2 */
static const kf_node *below_squares(below *l)
{
    kf_graph *g = &l->g;
    const kf_node *d = kf_unary(g, KF_SUM, kf_unary(g, KF_SQUARE, kf_binary(g, KF_SUB, l->v[X], l->v[Y])));
    return kf_binary(g, KF_MULT, l->v[G], d);
}

/* Computes reductions over `over` and the axes. */
static void below_run(below *l, const char *schedule, int over, int count, const kf_node *const *roots,
                      const operand *outs)
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

static const char *const schedules[] = {"lanes", "rows", "contraction", "split", "columns"};

START_TEST(test_every_schedule_reduces_batches)
{
    const char *schedule = schedules[_i % 5];
    seed_random(test_seed() + 50000 + (uint64_t)_i);
    bool lse = _i % 5 == 2 || pick(2); /* terms of contractions are numbers */
    int over = _i % 10 < 5 || _i % 5 == 2 || _i % 5 == 4 ? KCL_OVER_J : KCL_OVER_BOTH;
    problem p;
    below l;
    do
        problem_make(&p, KCL_F32, false);
    while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    below_make(&l, &p);
    kf_graph *g = &l.g;
    const kf_node *d = below_squares(&l);
    const kf_node *f = kf_binary(g, KF_MULT, kf_unary(g, KF_EXP, kf_unary(g, KF_MINUS, d)), l.v[B]);
    if (lse)
        f = kf_binary(g, KF_SUB, kf_binary(g, KF_DIVIDE, kf_make(g, KF_ELEM, &l.v[B], (int64_t[]){0}), kf_rat(g, 3, 1)),
                      d);
    const kf_node *root = kf_reduce(g, lse ? KF_REDUCE_LOGSUMEXP : KF_REDUCE_SUM, (unsigned)over | l.axes << 2, 0, f);
    operand out = result_for(&p, over == KCL_OVER_J ? 'i' : 'p', lse ? 1 : 2, l.left, p.dtype);
    below_run(&l, schedule, over, 1, &root, &out);
    check_reduced(&p, &out, over, l.axes, lse ? LOGSUMEXP : SUM);
    kf_graph_finish(&l.g);
    drop(&out);
    problem_drop(&p);
}
END_TEST

/* Indices, lists and weighted sums: what has more than sums in its states, or numbers the terms. */
START_TEST(test_every_schedule_chooses_in_batches)
{
    const char *schedule = schedules[_i % 5];
    seed_random(test_seed() + 80000 + (uint64_t)_i);
    const bool number = _i % 5 == 2, weighs = !number && _i % 10 >= 5; /* terms of contractions are numbers */
    choice c = {.what = pick(2) ? LARGEST : 0, .k = 1 + pick(long_tests() ? MOST_CHOSEN : 2), .term = whole_term};
    c.over = number || _i % 5 == 4 || pick(2) ? KCL_OVER_J : KCL_OVER_BOTH;
    c.what |= !number && (_i + _i / 10) % 2 ? LIST : 0;
    problem p;
    below l;
    do
        problem_make(&p, _i % 4 == 3 ? KCL_F64 : KCL_F32, false);
    while (count_of(&p.batch) == 1 && (problem_drop(&p), true));
    if (!weighs)
        fill_problem_whole(&p);
    below_make(&l, &p);
    c.axes = l.axes;
    kf_graph *g = &l.g;
    const unsigned axes = (unsigned)c.over | l.axes << 2;
    const kf_node *b0 = kf_make(g, KF_ELEM, &l.v[B], (int64_t[]){0}), *d = below_squares(&l), *roots[2];
    const int dim = number || (c.what & LIST && !long_tests()) ? 1 : 2, count = c.what & LIST ? c.k : 1;
    if (weighs) {
        const kf_node *f = kf_binary(g, KF_SUB, kf_binary(g, KF_DIVIDE, b0, kf_rat(g, 3, 1)), d);
        f = kf_weighted(g, KF_REDUCE_LOGSUMEXPWEIGHT, f, kf_binary(g, KF_ADD, kf_rat(g, 2, 1), l.v[B]));
        roots[0] = kf_reduce(g, KF_REDUCE_LOGSUMEXPWEIGHT, axes, 0, f);
        roots[1] = kf_reduce(g, KF_REDUCE_SUMSOFTMAXWEIGHT, axes, 0, f);
        operand outs[] = {result_for(&p, rows_of_choice(&c), 2, l.left, p.dtype),
                          result_for(&p, rows_of_choice(&c), 2, l.left, p.dtype)};
        below_run(&l, schedule, c.over, 2, roots, outs);
        check_weighted(&p, &outs[0], &outs[1], c.over, l.axes);
        drop(&outs[0]);
        drop(&outs[1]);
    } else {
        static const kf_reduction reductions[] = {[0] = KF_REDUCE_MIN,
                                                  [INDEX] = KF_REDUCE_ARGMIN,
                                                  [LARGEST] = KF_REDUCE_MAX,
                                                  [LARGEST | INDEX] = KF_REDUCE_ARGMAX,
                                                  [LIST] = KF_REDUCE_KMIN,
                                                  [LIST | INDEX] = KF_REDUCE_ARGKMIN,
                                                  [LIST | LARGEST] = KF_REDUCE_KMAX,
                                                  [LIST | LARGEST | INDEX] = KF_REDUCE_ARGKMAX};
        const kf_node *f = kf_binary(g, KF_SUB, dim == 1 ? b0 : l.v[B], d);
        const int64_t k = c.what & LIST ? c.k : 0;
        roots[0] = kf_reduce(g, reductions[c.what], axes, k, f);
        roots[1] = kf_reduce(g, reductions[c.what | INDEX], axes, k, f);
        operand outs[] = {result_for(&p, rows_of_choice(&c), dim * count, l.left, p.dtype),
                          result_for(&p, rows_of_choice(&c), dim * count, l.left, KCL_I64)};
        below_run(&l, schedule, c.over, 2, roots, outs);
        check_choice(&p, &c, &outs[0], &outs[1]);
        drop(&outs[0]);
        drop(&outs[1]);
    }
    kf_graph_finish(&l.g);
    problem_drop(&p);
}
END_TEST

START_TEST(test_batch_axes_that_are_not_there)
{
    static float a[MOST], out[MOST];
    kcl_expr *x = kcl_vi(s, kcl_f32(a, 4, 3, 10, 2)), *y = kcl_vj(s, kcl_f32(a, 10, 2)), *d = kcl_sqdist(x, y);
    ck_assert_int_eq(kcl_expr_status(kcl_reduce_sum_batch(d, 2)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(kcl_reduce_sum_batch(d, 2)), "kcl_reduce_sum_batch", "axis 2", "2 batch axes");
    CONTAINS(kcl_expr_error(kcl_reduce_logsumexp_batch(y, -1)), "kcl_reduce_logsumexp_batch", "axis -1",
             "0 batch axes");
    /* A matrix of numbers is left, which exp takes one by one: they are nowhere. */
    collected *text = calloc(1, sizeof *text);
    kcl_expr_print(kcl_reduce_sum_batch(kcl_reduce_sum(d, KCL_OVER_J), 0), collect, text);
    CONTAINS(text->text, ",0,batch axis -2)");
    free(text);
    kcl_expr *matrix = kcl_exp(kcl_neg(kcl_reduce_sum_batch(d, 0)));
    ck_assert_int_eq(kcl_sum(matrix, KCL_OVER_J, kcl_f32(out, 3, 10)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "batch axes", "both i and j");
    kcl_expr *L = kcl_reduce_sum(d, KCL_OVER_BOTH);
    ck_assert_int_eq(kcl_expr_status(kcl_grad(L, x)), KCL_ERROR_SHAPE);
    CONTAINS(kcl_expr_error(kcl_grad(L, x)), "a value for each batch");
}
END_TEST

START_TEST(test_operators_of_expressions_with_batches)
{
    static float a[MOST], out[MOST];
    for (int k = 0; k < MOST; k++)
        a[k] = (float)(k % 7);
    kcl_expr *x = kcl_vi(s, kcl_f32(a, 4, 10, 2)), *y = kcl_vj(s, kcl_f32(a, 11, 2)), *d = kcl_sqdist(x, y);
    kcl_expr *vars[] = {x, y}, *sum = kcl_reduce_sum(d, KCL_OVER_J);
    kcl_operator *op;
    /* Batches are those of the arguments. */
    ck_assert_int_eq(kcl_operator_from(&op, 1, &sum, 2, vars, NULL), KCL_OK);
    const kcl_array *args[] = {kcl_f32(a, 10, 2), kcl_f32(a, 3, 11, 2)}, *to = kcl_f32(out, 3, 10);
    ck_assert_msg(kcl_operator_apply(op, device, &to, 1, args, 2) == KCL_OK, "%s", kcl_context_error(device));
    for (int at = 0; at < 30; at++) {
        double want = 0;
        for (int j = 0; j < 11; j++)
            for (int k = 0; k < 2; k++)
                want += pow((double)a[at % 10 * 2 + k] - a[(at / 10 * 11 + j) * 2 + k], 2);
        ck_assert_double_eq_tol(out[at], want, 1e-4 * want);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* Where an expression reduces batch axes, they are those of its arrays: calls have them too, of any size. */
START_TEST(test_operators_that_reduce_batches)
{
    enum { M = 6, N = 5 };
    float x[7 * M * 2], y[N * 2], e[M], sums[M], shares[3 * M], grad[3 * N * 2], f[7];
    int64_t index[M];
    for (int k = 0; k < 7 * M * 2; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < N * 2; k++)
        y[k] = (float)uniform(-1, 1);
    for (int k = 0; k < M; k++)
        e[k] = (float)uniform(-1, 1);
    for (int k = 0; k < 7; k++)
        f[k] = (float)uniform(0.5, 2);
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, 4, 1, M, 2)), *y_j = kcl_vj(s, kcl_f32(y, N, 2));
    kcl_expr *p = kcl_pm(s, kcl_f32(f, 3, 1)), *d = kcl_sqdist(x_i, y_j), *vars[] = {x_i, y_j, p};
    kcl_expr *exprs[] = {kcl_reduce_sum_batch(kcl_reduce_sum(d, KCL_OVER_J), 0),
                         kcl_reduce_argmin_batch(kcl_reduce_argmin(d, KCL_OVER_J), 0), NULL};
    exprs[2] = kcl_mul(p, exprs[0]);
    kcl_operator *op, *of_y;
    ck_assert_msg(kcl_operator_from(&op, 3, exprs, 3, vars, NULL) == KCL_OK, "%s", kcl_operator_error(op));
    const kcl_array *outs[] = {kcl_f32(sums, M), kcl_i64(index, M), kcl_f32(shares, 3, M)};
    for (int batches = 1; batches <= 7; batches += 3) {
        const kcl_array *args[] = {kcl_f32(x, batches, 1, M, 2), kcl_f32(y, N, 2), kcl_f32(f, 3, 1)};
        ck_assert_msg(kcl_operator_apply(op, device, outs, 3, args, 3) == KCL_OK, "%d batches: %s", batches,
                      kcl_context_error(device));
        for (int i = 0; i < M; i++) {
            double want = 0, least = INFINITY;
            int64_t at = -1;
            for (int n = 0; n < batches * N; n++) {
                double square = 0;
                for (int k = 0; k < 2; k++)
                    square += pow((double)x[(n / N * M + i) * 2 + k] - y[n % N * 2 + k], 2);
                want += square;
                at = square < least ? n : at;
                least = fmin(least, square);
            }
            ck_assert_double_eq_tol(sums[i], want, 1e-5 * want);
            ck_assert_int_eq(index[i], at);
            for (int b = 0; b < 3; b++)
                ck_assert_double_eq_tol(shares[b * M + i], f[b] * want, 1e-5 * f[b] * want);
        }
    }
    /* Its gradient has the batch axes of y, none, and a cotangent those of the results. */
    kcl_operator *first;
    ck_assert_int_eq(kcl_operator_from(&first, 1, exprs, 2, vars, NULL), KCL_OK);
    ck_assert_msg(kcl_operator_grad(&of_y, first, "1") == KCL_OK, "%s", kcl_operator_error(of_y));
    const kcl_array *args[] = {kcl_f32(x, 7, 1, M, 2), kcl_f32(y, N, 2), kcl_f32(e, M)}, *to = kcl_f32(grad, N, 2);
    ck_assert_msg(kcl_operator_apply(of_y, device, &to, 1, args, 3) == KCL_OK, "%s", kcl_context_error(device));
    for (int n = 0; n < N * 2; n++) {
        double want = 0;
        for (int at = 0; at < 7 * M; at++)
            want += e[at % M] * 2 * ((double)y[n] - x[at * 2 + n % 2]);
        ck_assert_double_eq_tol(grad[n], want, 1e-4);
    }
    /* Axes that the expressions lack, or have. */
    const kcl_array *wide[] = {kcl_f32(x, 3, 1, M, 2), kcl_f32(x, 3, 1, N, 2), kcl_f32(f, 3, 1)};
    ck_assert_int_eq(kcl_operator_apply(op, device, outs, 3, wide, 3), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "argument 1", "size 3", "batch axis -2", "size 1");
    const kcl_array *other[] = {kcl_f32(x, 3, M, 2), kcl_f32(y, N, 2), kcl_f32(f, 3, 1)};
    ck_assert_int_eq(kcl_operator_apply(op, device, outs, 3, other, 3), KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "argument 0", "size 3", "batch axis -1", "size 1");
    ck_assert_int_eq(kcl_operator_apply(op, device, (const kcl_array *[]){outs[0], outs[1], outs[0]}, 3,
                                        (const kcl_array *[]){wide[0], args[1], wide[2]}, 3),
                     KCL_ERROR_SHAPE);
    CONTAINS(kcl_context_error(device), "output 2", "(1, 3, M, 1)");
    static collected text;
    text.length = 0;
    ck_assert_int_eq(kcl_operator_emit(op, NULL, "cpu", KCL_F32, 100, 100, collect, &text), KCL_OK);
    CONTAINS(text.text, "__kernel void sweep");
    kcl_operator_destroy(&first);
    kcl_operator_destroy(&op);
    kcl_operator_destroy(&of_y);
}
END_TEST

/* An index that is the same for all rows i, of each batch. */
START_TEST(test_repeated_indices)
{
    enum { BATCHES = 3, M = 5, N = 21 };
    static const char *const aliases[] = {"x=Vi(1)", "y=Vj(2)", "p=Pm(2)"};
    static float x[M], y[BATCHES * N * 2], p[] = {0.25f, -0.5f};
    static int64_t out[BATCHES * M];
    for (int k = 0; k < BATCHES * N * 2; k++)
        y[k] = (float)uniform(-1, 1);
    kcl_operator *op;
    ck_assert_int_eq(kcl_operator_create(&op, "ArgMin_Reduction(SqDist(y,p),0)", 3, aliases, NULL), KCL_OK);
    const kcl_array *args[] = {kcl_f32(x, M, 1), kcl_f32(y, BATCHES, N, 2), kcl_f32(p, 2)},
                    *to = kcl_i64(out, BATCHES, M);
    ck_assert_msg(kcl_operator_apply(op, device, &to, 1, args, 3) == KCL_OK, "%s", kcl_context_error(device));
    for (int b = 0; b < BATCHES; b++) {
        int best = 0;
        double least = INFINITY;
        for (int j = 0; j < N; j++) {
            double d = pow((double)y[(b * N + j) * 2] - p[0], 2) + pow((double)y[(b * N + j) * 2 + 1] - p[1], 2);
            if (d < least) {
                least = d;
                best = j;
            }
        }
        for (int i = 0; i < M; i++)
            ck_assert_int_eq(out[b * M + i], best);
    }
    kcl_operator_destroy(&op);
}
END_TEST

/* More batches than a launch takes. */
START_TEST(test_very_many_batches)
{
    enum { BATCHES = 70001, M = 2, N = 3 };
    float *x = malloc(sizeof *x * BATCHES * M), *y = malloc(sizeof *y * BATCHES * N);
    float *out = malloc(sizeof *out * BATCHES * M);
    for (int k = 0; k < BATCHES * M; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < BATCHES * N; k++)
        y[k] = (float)uniform(-1, 1);
    kcl_expr *d = kcl_sqdist(kcl_vi(s, kcl_f32(x, BATCHES, M, 1)), kcl_vj(s, kcl_f32(y, BATCHES, N, 1)));
    ck_assert_msg(kcl_sum(d, KCL_OVER_J, kcl_f32(out, BATCHES, M)) == KCL_OK, "%s", kcl_context_error(device));
    for (int at = 0; at < BATCHES * M; at++) {
        double want = 0;
        for (int j = 0; j < N; j++)
            want += pow((double)x[at] - y[at / M * N + j], 2);
        ck_assert_msg(fabs(out[at] - want) <= 1e-5 * want, "row %d: %g, not %g", at, (double)out[at], want);
    }
    free(x);
    free(y);
    free(out);
}
END_TEST

/* The sum over everything of (u_i sum_j F)^2. */
static double loss_of(const problem *p)
{
    int64_t place[AXES] = {0};
    sizes all = join(p->batch, p->of[U].batch);
    double loss = 0;
    do {
        for (int64_t i = 0; i < p->M; i++) {
            for (int k = 0; k < 2; k++) {
                double sum = 0;
                for (int64_t j = 0; j < p->N; j++)
                    sum += f_of(p, place, i, j, k);
                loss += pow(sum * *exact_at(&p->of[U], place, i, k), 2);
            }
        }
    } while (next_place(&all, place));
    return loss;
}

/* The sum over everything of (u_i0 LogSumExp_j G)^2. */
static double logsumexp_loss_of(const problem *p)
{
    int64_t place[AXES] = {0};
    sizes all = join(p->batch, p->of[U].batch);
    double loss = 0;
    do {
        for (int64_t i = 0; i < p->M; i++) {
            double sum = 0;
            for (int64_t j = 0; j < p->N; j++)
                sum += exp(g_of(p, place, i, j));
            loss += pow(log(sum) * *exact_at(&p->of[U], place, i, 0), 2);
        }
    } while (next_place(&all, place));
    return loss;
}

static kcl_expr *over_all_batches(kcl_expr *e)
{
    int64_t shape[KCL_MAX_AXES];
    const int batches = kcl_expr_shape(e, shape) - 3;
    for (int axis = 0; axis < batches; axis++)
        e = kcl_reduce_sum_batch(e, axis);
    return e;
}

/* Fails unless `got` is the gradient of `loss` in operand o, by central differences of the loss in double. */
static void check_gradient(problem *p, operand *o, const operand *got, double (*loss)(const problem *p))
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

static operand like_operand(const problem *p, int k)
{
    return make(kinds[k].role, kinds[k].dim, p->of[k].rows, &p->of[k].batch, p->dtype, 0, 0);
}

/* The gradients of L, each of its variable's shape and, by differences, that of `loss`. */
static void check_gradients(problem *p, kcl_expr *L, kcl_expr *const *v, double (*loss)(const problem *p),
                            kcl_expr **grads)
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

START_TEST(test_gradients)
{
    seed_random(test_seed() + 30000 + (uint64_t)_i);
    problem p;
    do
        problem_make(&p, _i % 2 ? KCL_F32 : KCL_F64, false);
    while ((p.M > 5 || p.N > 17 || count_of(&p.batch) > 12) && (problem_drop(&p), true));
    kcl_expr *v[OPERANDS], *grads[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = variable(&p.of[k]);
    kcl_expr *F = kcl_mul(kcl_exp(kcl_neg(kcl_mul(v[G], kcl_sqdist(v[X], v[Y])))), v[B]);
    kcl_expr *w = kcl_mul(kcl_reduce_sum(F, KCL_OVER_J), v[U]);
    const bool lse = _i % 3 == 2;
    kcl_expr *value = kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), kcl_mul(v[G], kcl_sqdist(v[X], v[Y])));
    if (lse)
        w = kcl_mul(kcl_reduce_logsumexp(value, KCL_OVER_J), kcl_elem(v[U], 0));
    kcl_expr *L = over_all_batches(kcl_reduce_sum(kcl_sqnorm2(w), KCL_OVER_I));
    check_gradients(&p, L, v, lse ? logsumexp_loss_of : loss_of, grads);
    problem_drop(&p);
}
END_TEST

/* ---- Gradients of what is chosen --------------------------------------------------------------------------------- */

static double real_term(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    (void)k;
    return g_of(p, place, i, j);
}

static double real_row(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    (void)j, (void)k;
    const double *x = exact_at(&p->of[X], place, i, 0);
    return *exact_at(&p->of[G], place, 0, 0) * x[0] + x[1] * x[2];
}

/* What is chosen among may be a result itself. */
static double result_term(const problem *p, const int64_t place[AXES], int64_t i, int64_t j, int k)
{
    double sum = 0;
    (void)j, (void)k;
    for (int64_t n = 0; n < p->N; n++)
        sum += exp(g_of(p, place, i, n));
    return log(sum);
}

static choice loss_choice; /* of the loss that check_gradient asks for */

/* What a result is weighted with: 1 + u_i0, 1 + b_j1, or 1. */
static const operand *weights_of(const problem *p)
{
    const char rows = rows_of_choice(&loss_choice);
    return rows == 'i' ? &p->of[U] : rows == 'j' ? &p->of[B] : NULL;
}

/* The weighted sum of (q + 1) exp(-value q / 4), of largest ones exp(value q / 4); what is not there counts 0. */
static double choice_loss_of(const problem *p)
{
    const choice *c = &loss_choice;
    const operand *w = weights_of(p);
    const double rate = c->what & LARGEST ? 0.25 : -0.25;
    int64_t place[AXES] = {0}, numbers[MOST_CHOSEN];
    double values[MOST_CHOSEN], loss = 0;
    sizes all = without(p->batch, c->axes);
    if (w)
        all = join(all, w->batch);
    do {
        for (int64_t row = 0; row < (w ? w->rows : 1); row++) {
            choose(p, c, place, row, 0, values, numbers);
            for (int q = 0; q < (c->what & LIST ? c->k : 1); q++)
                if (numbers[q] >= 0)
                    loss += (q + 1) * exp(rate * values[q]) * (w ? 1 + *exact_at(w, place, row, w == &p->of[B]) : 1);
        }
    } while (next_place(&all, place));
    return loss;
}

static kcl_expr *choice_loss(const problem *p, kcl_expr *const *v, bool rows_first)
{
    const choice *c = &loss_choice;
    kcl_expr *f = kcl_sub(kcl_div(kcl_elem(v[B], 0), kcl_constant(s, 3)), kcl_mul(v[G], kcl_sqdist(v[X], v[Y])));
    if (c->term == result_term)
        f = kcl_reduce_logsumexp(f, KCL_OVER_J);
    if (c->term == real_row)
        f = kcl_add(kcl_mul(v[G], kcl_elem(v[X], 0)), kcl_mul(kcl_elem(v[X], 1), kcl_elem(v[X], 2)));
    kcl_expr *values = over_axes(c, f, c->what, rows_first), *sum = kcl_zero(s, 1);
    kcl_expr *rate = kcl_constant(s, c->what & LARGEST ? 0.25 : -0.25);
    for (int q = 0; q < kcl_expr_dim(values); q++)
        sum = kcl_add(sum, kcl_mul(kcl_constant(s, q + 1), kcl_exp(kcl_mul(rate, kcl_elem(values, q)))));
    const operand *w = weights_of(p);
    if (w)
        sum = kcl_mul(sum, kcl_add(kcl_constant(s, 1), w == &p->of[B] ? kcl_elem(v[B], 1) : kcl_elem(v[U], 0)));
    return over_all_batches(kcl_reduce_sum(kcl_reduce_sum(sum, KCL_OVER_I), KCL_OVER_J));
}

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

/*
 * Second derivatives in both modes: the gradient's derivative in the direction, and the gradient of its product with
 * the direction, against differences of gradients.
 */
static void check_second_derivatives(problem *p, kcl_expr *const *v, kcl_expr *const *grads)
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

START_TEST(test_gradients_of_choices)
{
    seed_random(test_seed() + 90000 + (uint64_t)_i);
    problem p;
    choice *c = &loss_choice;
    *c = (choice){.what = pick(CHOICES) & ~INDEX, .k = 1 + pick(MOST_CHOSEN), .over = _i % 4};
    c->term = c->over ? real_term : _i % 8 ? result_term : real_row;
    do {
        problem_make(&p, _i % 2 ? KCL_F32 : KCL_F64, false);
        if (c->term == real_row)
            keep_rows_only(&p);
    } while ((p.M > 5 || p.N > 17 || count_of(&p.batch) > 12 || (!c->over && count_of(&p.batch) == 1)) &&
             (problem_drop(&p), true));
    const int last = last_axis_of(&p.batch);
    while (!c->axes && (!c->over || pick(2)))
        for (int b = 0; b < last; b++)
            c->axes |= pick(2) ? 1u << b : 0;
    kcl_expr *v[OPERANDS], *grads[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = in_place(&p.of[k]);
    snprintf(p.text + strlen(p.text), sizeof p.text - strlen(p.text), "; what %d, %d over %d and batch axes %x",
             c->what, c->k, c->over, c->axes);
    kcl_expr *L = choice_loss(&p, v, pick(2));
    check_gradients(&p, L, v, choice_loss_of, grads);
    if (p.dtype == KCL_F64 && (by_interpreter || long_tests()))
        check_second_derivatives(&p, v, grads);
    problem_drop(&p);
}
END_TEST

/*
 * Gathers and scatters themselves: a table and an index, each with batch axes or without, and whether indices number
 * batches of the table. What the table has and the index lacks, or lacks and the index has, is broadcast, or added up.
 */
START_TEST(test_gathers_and_scatters)
{
    seed_random(test_seed() + 100000 + (uint64_t)_i);
    enum { COLS = 5, K = 2 };
    const bool many = _i == 0; /* rows that choose one column, in all batches: longer segments than a piece */
    const int rows = many ? 9001 : 7;
    const kcl_allocator allocator = kb_allocator(NULL);
    kf_graph g;
    kb_error err;
    kb_error_clear(&err);
    kf_graph_init(&g, &allocator);
    const kcl_dtype dtype = _i % 2 ? KCL_F32 : KCL_F64;
    /* 0: points i, 1: points j, which make the index; 2: the table, of j; 3: a cotangent, of i. */
    static const char roles[] = {'i', 'j', 'j', 'i'};
    operand of[4];
    static const int of_many[] = {1, 0, 2, 3};
    sizes all = many ? (sizes){{2, 3, 1, 1, 1, 1}} : random_sizes(3, false), of_index = no_batches, of_values, of_sums;
    kg_slot slots[4] = {{0}};
    kx_view views[4], out_views[2];
    const kf_node *v[4];
    unsigned batches[4], over = 0;
    for (int k = 0; k < 4; k++) {
        sizes own = no_batches;
        batches[k] = 0;
        for (int b = 0; b < 3; b++)
            own.of[b] = (many ? of_many[k] >> b & 1 : pick(2)) ? all.of[b] : 1;
        of[k] = make(roles[k], k < 2 ? 1 : k == 2 ? 2 : 2 * K, roles[k] == 'i' ? rows : COLS, &own, dtype, 0, pick(8));
        fill(&of[k], -1, 1);
        kf_role role = roles[k] == 'i' ? KF_ROLE_I : KF_ROLE_J;
        ck_assert_int_eq(kx_view_of(&views[k], &of[k].array, role, of[k].dim, KX_STATED, "array", &err), KCL_OK);
        slots[k] = (kg_slot){.dim = of[k].dim, .extent = (int)role + 1, .rows = of[k].rows, .batch = views[k].batch};
        for (int b = 0; b < 3; b++)
            batches[k] |= own.of[b] != 1 ? KF_BATCH_AXIS(b) : 0;
        v[k] = kf_on_batches(&g, kf_var(&g, k, of[k].dim, role), batches[k]);
        if (k < 2)
            of_index = join(of_index, own);
    }
    /* The cotangent has none of the axes that the index numbers. */
    for (int b = 0; b < 3; b++)
        if ((batches[0] | batches[1]) & ~batches[3] & KF_BATCH_AXIS(b) && pick(2))
            over |= KF_BATCH_AXIS(b);
    const sizes terms = of_index;
    of_index = without(of_index, over >> 2);
    const kf_node *square = kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, v[0], v[1]));
    const kf_node *index = kf_reduce(&g, KF_REDUCE_ARGKMIN, KF_AXIS_J | over, K, square);
    const kf_node *roots[] = {kf_gather(&g, v[2], index, KF_ROW), kf_scatter(&g, v[3], index, KF_ROW, v[2])};
    ck_assert_msg(roots[0] && roots[1], "%s", g.error.text);
    of_values = join(of_index, without(of[2].batch, over >> 2));
    of_sums = of[2].batch;
    for (int b = 0; b < 3; b++) /* of what has an axis that no other has, once */
        if (of_sums.of[b] != 1 && of_index.of[b] == 1 && of[3].batch.of[b] == 1 && !(over & KF_BATCH_AXIS(b)))
            of_sums.of[b] = 1;
    operand outs[] = {make('i', 2 * K, rows, &of_values, dtype, 0, 0), make('j', 2, COLS, &of_sums, dtype, 0, 0)};
    for (int k = 0; k < 2; k++) {
        kg_batch batch = {.count = AXES};
        for (int b = 0; b < AXES; b++)
            batch.size[b] = outs[k].batch.of[b];
        ck_assert_int_eq(kx_view_of_result(&out_views[k], &outs[k].array, k ? KF_ROLE_J : KF_ROLE_I, roots[k]->dim,
                                           &batch, "output", &err),
                         KCL_OK);
    }
    kg_program *exec;
    ck_assert_msg(kg_program_create(&exec, &g, 2, roots, 4, slots, &(kg_options){.schedule = ""}, &err) == KCL_OK, "%s",
                  err.text);
    ck_assert_msg(kx_run_program(exec, device, dtype, views, out_views, NULL) == KCL_OK, "%s", kcl_context_error(device));
    kg_program_destroy(&exec);
    /* The same by plain loops over all places of the index and what is broadcast with it. */
    double *sums = calloc((size_t)(count_of(&of_sums) * COLS * 2), sizeof *sums);
    sizes inner = no_batches, outer = join(join(of_index, of_values), of[3].batch);
    for (int b = 0; b < 3; b++)
        inner.of[b] = over & KF_BATCH_AXIS(b) ? terms.of[b] : 1;
    int64_t place[AXES] = {0};
    do {
        for (int i = 0; i < rows; i++) {
            double best[K] = {INFINITY, INFINITY};
            int64_t at[K][AXES + 1] = {{0}}, each[AXES] = {0}, here[AXES + 1];
            do {
                memcpy(here, place, sizeof place);
                for (int b = 0; b < 3; b++)
                    here[b] = over & KF_BATCH_AXIS(b) ? each[b] : place[b];
                for (here[AXES] = 0; here[AXES] < COLS; here[AXES]++) {
                    double d = pow(*exact_at(&of[0], here, i, 0) - *exact_at(&of[1], here, here[AXES], 0), 2);
                    const int q = d < best[0] ? 0 : 1;
                    if (d >= best[1])
                        continue;
                    best[1] = q ? d : best[0];
                    memcpy(at[1], q ? here : at[0], sizeof here);
                    best[0] = q ? best[0] : d;
                    if (!q)
                        memcpy(at[0], here, sizeof here);
                }
            } while (next_place(&inner, each));
            for (int q = 0; q < K; q++) {
                int64_t own[AXES];
                for (int b = 0; b < AXES; b++)
                    own[b] = of_values.of[b] == 1 ? 0 : place[b];
                for (int k = 0; k < 2; k++) {
                    const double want = *exact_at(&of[2], at[q], at[q][AXES], k);
                    const double got = memory_get(&outs[0], own, i, 2 * q + k);
                    ck_assert_msg(got == want, "seed %llu, round %d: gather over %x, row %d: %g, not %g",
                                  (unsigned long long)test_seed(), _i, over >> 2, i, got, want);
                }
            }
            /* A table axis that neither the index nor the cotangent has does not make them more. */
            bool again = false;
            for (int b = 0; b < 3; b++)
                again = again || (place[b] && of_index.of[b] == 1 && of[3].batch.of[b] == 1);
            for (int q = 0; q < K && !again; q++) {
                int64_t to = 0;
                for (int b = AXES - 1; b >= 0; b--)
                    to = to * of_sums.of[b] + (of_sums.of[b] == 1 ? 0 : at[q][b]);
                for (int k = 0; k < 2; k++)
                    sums[(to * COLS + at[q][AXES]) * 2 + k] += *exact_at(&of[3], place, i, 2 * q + k);
            }
        }
    } while (next_place(&outer, place));
    memset(place, 0, sizeof place);
    const double *want = sums;
    do
        for (int j = 0; j < COLS; j++)
            for (int k = 0; k < 2; k++, want++) {
                const double got = memory_get(&outs[1], place, j, k);
                ck_assert_msg(fabs(got - *want) <= (dtype == KCL_F32 ? 1e-5 : 1e-12) * (1 + fabs(*want)),
                              "seed %llu, round %d: scatter over %x, row %d: %g, not %g",
                              (unsigned long long)test_seed(), _i, over >> 2, j, got, *want);
            }
    while (next_place(&of_sums, place));
    free(sums);
    kf_graph_finish(&g);
    for (int k = 0; k < 4; k++)
        drop(&of[k]);
    drop(&outs[0]);
    drop(&outs[1]);
}
END_TEST

/* ---- Rows by their numbers --------------------------------------------------------------------------------------- */

enum { INTEGERS, REALS, COMPUTED, OF_LEAST, NUMBER_KINDS };

/* Rows of t = x, or t = x * x, by numbers that are those of an array or are computed. */
typedef struct chooser {
    kcl_dtype dtype;
    int kind, power; /* of the numbers; of x in t */
    operand table, number, other, weight, direction;
    sizes batch; /* of the rows that are chosen */
    char text[400];
} chooser;

static void set_number(operand *o, const int64_t place[AXES], int64_t row, int k, double value)
{
    char *p = memory_at(o, place, row, k);
    const float f = (float)value;
    const int64_t n = isnan(value) ? -1 : (int64_t)value;
    if (o->array.dtype == KCL_F32)
        memcpy(p, &f, sizeof f);
    else if (o->array.dtype == KCL_F64)
        memcpy(p, &value, sizeof value);
    else
        memcpy(p, &n, sizeof n);
    *exact_at(o, place, row, k) = o->array.dtype == KCL_F32 ? (double)f : o->array.dtype == KCL_F64 ? value : (double)n;
}

/* Numbers of `rows` rows and some of none, by what is computed of them: steps of a quarter are exact in float32. */
static void fill_numbers(operand *o, int kind, int64_t rows)
{
    int64_t place[AXES] = {0};
    if (!count_of(&o->batch))
        return;
    do
        for (int64_t i = 0; i < o->rows; i++)
            for (int k = 0; k < o->dim; k++) {
                const double real = pick(20) ? uniform(-1, (double)rows) : NAN, quarter = pick(4 * (int)rows + 4) / 4.0;
                const int row = pick((int)rows + 2) - 1;
                set_number(o, place, i, k,
                           kind == INTEGERS   ? (pick(20) ? row : 1e15)
                           : kind == COMPUTED ? quarter
                                              : real);
            }
    while (next_place(&o->batch, place));
}

/* The row that number q chooses; -1: none. */
static int64_t row_by_number(const chooser *c, const int64_t place[AXES], int64_t row, int q)
{
    double value = *exact_at(&c->number, place, row, q), least = INFINITY;
    if (c->kind == COMPUTED)
        value = 3 * value - (c->number.role == 'p' ? 0 : (double)row) - 2;
    if (c->kind == OF_LEAST) {
        const double from = isnan(value) ? 0 : value;
        value = -1;
        for (int64_t n = 0; n < c->other.rows; n++) {
            const double d = fabs(from - *exact_at(&c->other, place, n, 0));
            value = d < least ? (double)n : value;
            least = fmin(d, least);
        }
    }
    value = round(value);
    return value >= 0 && value < (double)c->table.rows ? (int64_t)value : -1;
}

static kcl_expr *numbers_of(const chooser *c)
{
    kcl_expr *k = variable(&c->number);
    const kcl_axes over = c->other.role == 'i' ? KCL_OVER_I : KCL_OVER_J;
    if (c->kind == OF_LEAST)
        return kcl_reduce_argmin(kcl_abs(kcl_sub(k, variable(&c->other))), over);
    if (c->kind != COMPUTED)
        return k;
    k = kcl_sub(kcl_mul(kcl_constant(s, 3), k), kcl_constant(s, 2));
    return c->number.role == 'p' ? k : kcl_sub(k, c->number.role == 'i' ? kcl_index_i(s) : kcl_index_j(s));
}

/* Some of the axes, which an operand that is broadcast with them may have. */
static sizes some_of(sizes all)
{
    for (int b = 0; b < AXES; b++)
        all.of[b] = pick(3) ? all.of[b] : 1;
    return all;
}

static operand operand_on(char role, int dim, int64_t M, int64_t N, sizes batch, kcl_dtype dtype)
{
    return make(role, dim, role == 'i' ? M : N, &batch, dtype, pick(2) ? pick(AXES) : 0, pick(3) ? 0 : pick(8));
}

static void chooser_make(chooser *c, kcl_dtype dtype, bool many)
{
    static const int lengths[] = {1, 2, 3, 5, 17, 0};
    static const char roles[] = {'i', 'j', 'p'};
    const sizes all = many ? (sizes){{2, 3, 1, 1, 1, 1}} : random_sizes(1 + pick(AXES), pick(3) == 0);
    const int64_t M = many ? 9001 : lengths[pick(6)], N = many ? 3 : lengths[pick(6)];
    const char table = many ? 'j' : roles[pick(2)], number = many ? 'i' : roles[pick(3)];
    const int D = 1 + pick(3);
    *c = (chooser){.dtype = dtype, .kind = many ? INTEGERS : pick(NUMBER_KINDS), .power = 1 + pick(2)};
    const int K = c->kind == OF_LEAST ? 1 : 1 + pick(2);
    c->table = operand_on(table, D, M, N, some_of(all), dtype);
    c->number = operand_on(number, K, M, N, some_of(all), c->kind == INTEGERS ? KCL_I64 : dtype);
    c->other = operand_on(number == 'j' ? 'i' : 'j', 1, M, N, some_of(all), dtype);
    c->batch = join(c->table.batch, c->number.batch);
    if (c->kind == OF_LEAST)
        c->batch = join(c->batch, c->other.batch);
    c->weight = operand_on(number, K * D, M, N, some_of(c->batch), dtype);
    c->direction = operand_on(table, D, M, N, some_of(c->table.batch), dtype);
    fill(&c->table, -1, 1);
    fill(&c->other, 0, 1);
    fill(&c->weight, -1, 1);
    fill(&c->direction, -1, 1);
    if (c->kind == OF_LEAST)
        fill(&c->number, 0, 1);
    else
        fill_numbers(&c->number, c->kind, c->table.rows);
    size_t n = (size_t)snprintf(c->text, sizeof c->text, "seed %llu, %s, M %lld, N %lld, numbers %d of %c by %c",
                                (unsigned long long)test_seed(), dtype == KCL_F32 ? "float32" : "float64", (long long)M,
                                (long long)N, c->kind, table, number);
    const operand *of[] = {&c->table, &c->number, &c->other, &c->weight, &c->direction};
    for (int k = 0; k < 5; k++)
        for (int b = AXES; b >= 0; b--)
            n += (size_t)snprintf(c->text + n, sizeof c->text - n, b == AXES ? "; " : "%lld ",
                                  b == AXES ? 0LL : (long long)of[k]->batch.of[b]);
}

static void chooser_drop(chooser *c)
{
    operand *of[] = {&c->table, &c->number, &c->other, &c->weight, &c->direction};
    for (int k = 0; k < 5; k++)
        drop(of[k]);
}

/* The n-th derivative of the square of t in x. */
static double derivative_of(const chooser *c, double x, int n)
{
    double factor = 1;
    for (int k = 0; k < n; k++)
        factor *= 2 * c->power - k;
    return factor ? factor * pow(x, 2 * c->power - n) : 0;
}

static void check_number(const chooser *c, const char *what, double got, double want, double scale)
{
    const double most = (c->dtype == KCL_F32 ? 2e-5 : 1e-12) * (1 + scale);
    ck_assert_msg(fabs(got - want) <= most, "%s: %s is %.9g, not %.9g", c->text, what, got, want);
}

/*
 * Rows, their derivative in a direction, and in the table the gradient, second derivatives in both modes, and a third:
 * all of these are the weights that reach a row of the table times what depends on that row alone.
 */
START_TEST(test_rows_by_number)
{
    seed_random(test_seed() + 110000 + (uint64_t)_i);
    chooser c;
    chooser_make(&c, _i % 2 ? KCL_F32 : KCL_F64, _i == 0);
    kcl_expr *x = variable(&c.table), *u = variable(&c.direction), *w = variable(&c.weight);
    kcl_expr *rows = kcl_square(kcl_gather(c.power == 2 ? kcl_square(x) : x, numbers_of(&c)));
    kcl_expr *moved = kcl_jvp(rows, x, u), *gradient = kcl_vjp(rows, x, w), *second = kcl_vjp(gradient, x, u);
    kcl_expr *results[] = {rows, moved, gradient, second, kcl_vjp(moved, x, w), kcl_vjp(second, x, u)};
    enum { OF_PLACES = 2, RESULTS = 6 };
    static const char *const names[RESULTS] = {"a row",
                                               "its derivative",
                                               "the gradient",
                                               "the second derivative",
                                               "the gradient of a derivative",
                                               "the third derivative"};
    static const int order[RESULTS] = {0, 1, 1, 2, 2, 3};
    operand outs[RESULTS];
    const kcl_array *arrays[RESULTS];
    for (int n = 0; n < RESULTS; n++) {
        const operand *of = n < OF_PLACES ? &c.number : &c.table;
        const sizes batch = n < OF_PLACES ? c.batch : c.table.batch;
        outs[n] = make(of->role, n < OF_PLACES ? c.weight.dim : c.table.dim, of->rows, &batch, c.dtype, pick(AXES),
                       pick(3) ? 0 : pick(8));
        arrays[n] = &outs[n].array;
    }
    ck_assert_msg(kcl_eval(RESULTS, results, arrays) == KCL_OK, "%s: %s", c.text, kcl_context_error(device));
    const int64_t elements = count_of(&c.table.batch) * c.table.rows * c.table.dim;
    double *weights = calloc((size_t)elements + 1, sizeof *weights),
           *sizes_of = calloc((size_t)elements + 1, sizeof *weights);
    int64_t place[AXES] = {0};
    for (bool more = count_of(&c.batch); more; more = next_place(&c.batch, place)) {
        for (int64_t row = 0; row < c.number.rows; row++) {
            for (int k = 0; k < c.weight.dim; k++) {
                const int64_t at = row_by_number(&c, place, row, k / c.table.dim);
                const double weight = *exact_at(&c.weight, place, row, k);
                const double *from = at < 0 ? NULL : exact_at(&c.table, place, at, k % c.table.dim);
                const double along = from ? *exact_at(&c.direction, place, at, k % c.table.dim) : 0;
                for (int n = 0; n < OF_PLACES; n++)
                    check_number(&c, names[n], memory_get(&outs[n], place, row, k),
                                 from ? derivative_of(&c, *from, n) * (n ? along : 1) : 0, 1);
                if (from) {
                    weights[from - c.table.exact] += weight;
                    sizes_of[from - c.table.exact] += fabs(weight);
                }
            }
        }
    }
    memset(place, 0, sizeof place);
    for (bool more = elements; more; more = next_place(&c.table.batch, place)) {
        for (int64_t row = 0; row < c.table.rows; row++) {
            for (int k = 0; k < c.table.dim; k++) {
                const double *from = exact_at(&c.table, place, row, k), u_here = *exact_at(&c.direction, place, row, k);
                for (int n = OF_PLACES; n < RESULTS; n++)
                    check_number(&c, names[n], memory_get(&outs[n], place, row, k),
                                 derivative_of(&c, *from, order[n]) * pow(u_here, order[n] - 1) *
                                     weights[from - c.table.exact],
                                 sizes_of[from - c.table.exact]);
            }
        }
    }
    free(weights);
    free(sizes_of);
    for (int n = 0; n < RESULTS; n++)
        drop(&outs[n]);
    chooser_drop(&c);
}
END_TEST

/* As loss_of, where x_i is row number chosen_rows_i of x, in any batch of these, and b_j row number j + 1 of b. */
static operand chosen_rows;

static double chosen_rows_loss_of(const problem *p)
{
    int64_t place[AXES] = {0};
    sizes all = join(join(p->batch, p->of[U].batch), chosen_rows.batch);
    double loss = 0;
    do
        for (int64_t i = 0; i < p->M; i++) {
            const int64_t a = (int64_t)*exact_at(&chosen_rows, place, i, 0);
            for (int k = 0; k < 2; k++) {
                double sum = 0;
                for (int64_t j = 0; j + 1 < p->N; j++) {
                    double square = 0;
                    for (int n = 0; n < 3; n++)
                        square += pow((a >= 0 && a < p->M ? *exact_at(&p->of[X], place, a, n) : 0) -
                                          *exact_at(&p->of[Y], place, j, n),
                                      2);
                    sum += exp(-*exact_at(&p->of[G], place, 0, 0) * square) * *exact_at(&p->of[B], place, j + 1, k);
                }
                loss += pow(sum * *exact_at(&p->of[U], place, i, k), 2);
            }
        }
    while (next_place(&all, place));
    return loss;
}

START_TEST(test_gradients_of_chosen_rows)
{
    seed_random(test_seed() + 130000 + (uint64_t)_i);
    problem p;
    do
        problem_make(&p, _i % 2 ? KCL_F32 : KCL_F64, false);
    while ((p.M > 5 || p.N > 17 || count_of(&p.batch) > 12) && (problem_drop(&p), true));
    chosen_rows = operand_on('i', 1, p.M, p.N, some_of(join(p.batch, p.of[U].batch)), KCL_I64);
    fill_numbers(&chosen_rows, INTEGERS, p.M);
    kcl_expr *v[OPERANDS], *grads[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        v[k] = in_place(&p.of[k]);
    kcl_expr *x = kcl_gather(v[X], variable(&chosen_rows));
    kcl_expr *b = kcl_gather(v[B], kcl_add(kcl_index_j(s), kcl_constant(s, 1)));
    kcl_expr *F = kcl_mul(kcl_exp(kcl_neg(kcl_mul(v[G], kcl_sqdist(x, v[Y])))), b);
    kcl_expr *w = kcl_mul(kcl_reduce_sum(F, KCL_OVER_J), v[U]);
    kcl_expr *L = over_all_batches(kcl_reduce_sum(kcl_sqnorm2(w), KCL_OVER_I));
    check_gradients(&p, L, v, chosen_rows_loss_of, grads);
    if (p.dtype == KCL_F64 && (by_interpreter || long_tests()))
        check_second_derivatives(&p, v, grads);
    drop(&chosen_rows);
    problem_drop(&p);
}
END_TEST

/* Those in an argument that has no batches are the sum over the batches of the others, each of them once. */
START_TEST(test_gradients_of_choices_of_operators)
{
    enum { B = 3, M = 5, N = 4 };
    static const char *const aliases[] = {"x=Vi(1)", "y=Vj(1)"};
    double x[B][M], y[N], e[B][M], gradient[N], want[N] = {0};
    for (int j = 0; j < N; j++)
        y[j] = uniform(-1, 1);
    for (int b = 0; b < B; b++)
        for (int i = 0; i < M; i++) {
            int at = 0;
            x[b][i] = uniform(-1, 1);
            e[b][i] = uniform(-1, 1);
            for (int j = 1; j < N; j++)
                at = fabs(x[b][i] - y[j]) < fabs(x[b][i] - y[at]) ? j : at;
            want[at] += e[b][i] * 2 * (y[at] - x[b][i]);
        }
    const kcl_array *args[] = {kcl_f64(&x[0][0], B, M, 1), kcl_f64(y, N, 1), kcl_f64(&e[0][0], B, M, 1)};
    const kcl_array *to = kcl_f64(gradient, N, 1);
    kcl_operator *op, *grad;
    ck_assert_int_eq(kcl_operator_create(&op, "Min_Reduction(SqDist(x,y),0)", 2, aliases, NULL), KCL_OK);
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "y"), KCL_OK);
    ck_assert_msg(kcl_operator_apply(grad, device, &to, 1, args, 3) == KCL_OK, "%s", kcl_context_error(device));
    for (int j = 0; j < N; j++)
        ck_assert_double_eq_tol(gradient[j], want[j], 1e-12);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
}
END_TEST

/* The sum over j of (x_a | y_j) (x_i | y_j), a = k_j, of operators made from a text, and its gradient in x. */
START_TEST(test_operators_choose_rows)
{
    static const char *const names[] = {NULL, "lanes", "rows", "split", "columns"};
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "k=Vj(1)"};
    enum { SUMS, GRADIENT, ARGUMENTS = 4 };
    seed_random(test_seed() + 120000 + (uint64_t)_i);
    const char *schedule = names[_i % 5];
    const kcl_dtype dtype = _i % 2 ? KCL_F32 : KCL_F64;
    const int64_t M = 2 + pick(20), N = 2 + pick(20);
    const sizes all = random_sizes(1 + pick(4), false);
    operand of[ARGUMENTS] = {operand_on('i', 2, M, N, some_of(all), dtype),
                             operand_on('j', 2, M, N, some_of(all), dtype),
                             operand_on('j', 1, M, N, some_of(all), pick(2) ? KCL_I64 : dtype)};
    const operand *x = &of[0], *y = &of[1], *k = &of[2], *e = &of[3];
    sizes batch = join(join(x->batch, y->batch), k->batch);
    of[3] = operand_on('i', 1, M, N, some_of(batch), dtype);
    operand outs[] = {operand_on('i', 1, M, N, batch, dtype), operand_on('i', 2, M, N, x->batch, dtype)};
    const kcl_array *args[ARGUMENTS];
    kcl_operator *op[2];
    for (int n = 0; n < ARGUMENTS; n++) {
        args[n] = &of[n].array;
        if (n != 2)
            fill(&of[n], -1, 1);
    }
    fill_numbers(&of[2], k->array.dtype == KCL_I64 ? INTEGERS : REALS, M);
    ck_assert_int_eq(kcl_operator_create(&op[SUMS], "Sum_Reduction((Gather(x,k)|y)*(x|y),0)", 3, aliases,
                                         &(kcl_operator_params){.schedule = schedule}),
                     KCL_OK);
    ck_assert_msg(kcl_operator_grad(&op[GRADIENT], op[SUMS], "x") == KCL_OK, "%s", kcl_operator_error(op[GRADIENT]));
    for (int n = 0; n < 2; n++) {
        const kcl_array *to = &outs[n].array;
        ck_assert_msg(kcl_operator_apply(op[n], device, &to, 1, args, 3 + n) == KCL_OK, "seed %llu, round %d: %s",
                      (unsigned long long)test_seed(), _i, kcl_context_error(device));
        kcl_operator_destroy(&op[n]);
    }
    double *gradient = calloc((size_t)(count_of(&x->batch) * M * 2), sizeof *gradient);
    const double most = (dtype == KCL_F32 ? 2e-5 : 1e-12) * (double)(M * N * count_of(&batch));
    int64_t place[AXES] = {0};
    do
        for (int64_t i = 0; i < M; i++) {
            const double *here = exact_at(x, place, i, 0), weight = *exact_at(e, place, i, 0);
            double want = 0;
            for (int64_t j = 0; j < N; j++) {
                const double at = round(*exact_at(k, place, j, 0)), *v = exact_at(y, place, j, 0);
                if (!(at >= 0 && at < (double)M))
                    continue;
                const double *there = exact_at(x, place, (int64_t)at, 0);
                const double first = there[0] * v[0] + there[1] * v[1], second = here[0] * v[0] + here[1] * v[1];
                want += first * second;
                for (int n = 0; n < 2; n++) {
                    gradient[there + n - x->exact] += weight * second * v[n];
                    gradient[here + n - x->exact] += weight * first * v[n];
                }
            }
            const double got = memory_get(&outs[SUMS], place, i, 0);
            ck_assert_msg(fabs(got - want) <= most, "seed %llu, round %d: sum %.9g, not %.9g",
                          (unsigned long long)test_seed(), _i, got, want);
        }
    while (next_place(&batch, place));
    memset(place, 0, sizeof place);
    do
        for (int64_t i = 0; i < M; i++)
            for (int n = 0; n < 2; n++) {
                const double got = memory_get(&outs[GRADIENT], place, i, n);
                const double want = gradient[exact_at(x, place, i, n) - x->exact];
                ck_assert_msg(fabs(got - want) <= most, "seed %llu, round %d: gradient %.9g, not %.9g",
                              (unsigned long long)test_seed(), _i, got, want);
            }
    while (next_place(&x->batch, place));
    free(gradient);
    for (int n = 0; n < ARGUMENTS; n++)
        drop(&of[n]);
    drop(&outs[SUMS]);
    drop(&outs[GRADIENT]);
}
END_TEST

/* The sum over everything of u_i sum_j F: u is the cotangent. */
static double linear_loss_of(const problem *p)
{
    int64_t place[AXES] = {0};
    sizes all = join(p->batch, p->of[U].batch);
    double loss = 0;
    do
        for (int64_t i = 0; i < p->M; i++)
            for (int k = 0; k < 2; k++) {
                double sum = 0;
                for (int64_t j = 0; j < p->N; j++)
                    sum += f_of(p, place, i, j, k);
                loss += sum * *exact_at(&p->of[U], place, i, k);
            }
    while (next_place(&all, place));
    return loss;
}

/* Its derivative when x moves along itself. */
static double slope_along_x(const problem *p)
{
    int64_t place[AXES] = {0};
    sizes all = join(p->batch, p->of[U].batch);
    double slope = 0;
    do
        for (int64_t i = 0; i < p->M; i++)
            for (int64_t j = 0; j < p->N; j++) {
                double moves = 0;
                for (int k = 0; k < 3; k++) {
                    const double x = *exact_at(&p->of[X], place, i, k);
                    moves += 2 * x * (x - *exact_at(&p->of[Y], place, j, k));
                }
                moves *= -*exact_at(&p->of[G], place, 0, 0);
                for (int k = 0; k < 2; k++)
                    slope += moves * f_of(p, place, i, j, k) * *exact_at(&p->of[U], place, i, k);
            }
    while (next_place(&all, place));
    return slope;
}

/* Gradients of operators have the batch axes of the argument, whatever a call brings along; those of gradients too. */
START_TEST(test_gradients_of_operators)
{
    static const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "g=Pm(1)"}, *const names[] = {"x", "y", "b",
                                                                                                         "g"};
    seed_random(test_seed() + 110000 + (uint64_t)_i);
    problem p;
    do
        problem_make(&p, _i % 2 ? KCL_F32 : KCL_F64, false);
    while ((p.M > 5 || p.N > 17 || count_of(&p.batch) > 12) && (problem_drop(&p), true));
    kcl_operator *op, *grad, *second;
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)", 4, aliases, NULL), KCL_OK);
    const kcl_array *args[6];
    for (int k = 0; k < OPERANDS; k++)
        args[k] = &p.of[k].array;
    for (int k = 0; k < 4; k++) {
        operand out = like_operand(&p, k);
        const kcl_array *to = &out.array;
        ck_assert_int_eq(kcl_operator_grad(&grad, op, names[k]), KCL_OK);
        ck_assert_msg(kcl_operator_apply(grad, device, &to, 1, args, 5) == KCL_OK, "%s: %s", p.text,
                      kcl_context_error(device));
        check_gradient(&p, &p.of[k], &out, linear_loss_of);
        kcl_operator_destroy(&grad);
        drop(&out);
    }
    /* The gradient in x, with x as its cotangent: what x itself does as a variable is held. */
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "x"), KCL_OK);
    args[5] = &p.of[X].array;
    for (int k = 1; k < OPERANDS && (by_interpreter || k == 3); k++) {
        operand out = like_operand(&p, k);
        const kcl_array *to = &out.array;
        ck_assert_int_eq(kcl_operator_grad(&second, grad, k < 4 ? names[k] : "4"), KCL_OK);
        ck_assert_msg(kcl_operator_apply(second, device, &to, 1, args, 6) == KCL_OK, "%s: %s", p.text,
                      kcl_context_error(device));
        check_gradient(&p, &p.of[k], &out, slope_along_x);
        kcl_operator_destroy(&second);
        drop(&out);
    }
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
    problem_drop(&p);
}
END_TEST

/* |dH/dm|^2 for H = sum over batches of m K m / 2, with x = (i) and m = (u); K_ij = exp(-|x_i - x_j|^2). */
static double squared_momentum(const problem *p)
{
    int64_t place[AXES] = {0};
    double loss = 0;
    do {
        for (int64_t i = 0; i < p->M; i++) {
            for (int k = 0; k < 2; k++) {
                double sum = 0;
                for (int64_t j = 0; j < p->M; j++) {
                    double square = 0;
                    for (int c = 0; c < 3; c++)
                        square += pow(*exact_at(&p->of[X], place, i, c) - *exact_at(&p->of[X], place, j, c), 2);
                    sum += exp(-square) * *exact_at(&p->of[U], place, j, k);
                }
                loss += sum * sum;
            }
        }
    } while (next_place(&p->of[X].batch, place));
    return loss;
}

START_TEST(test_second_derivatives_of_batches)
{
    problem p = {.dtype = _i ? KCL_F32 : KCL_F64, .M = 6, .text = "second derivatives"};
    const sizes batch = {{4, 1, 1, 1, 1, 1}};
    p.of[X] = make('i', 3, p.M, &batch, p.dtype, 0, 0);
    p.of[U] = make('i', 2, p.M, &batch, p.dtype, 0, 0);
    fill(&p.of[X], -1, 1);
    fill(&p.of[U], -1, 1);
    kcl_data *x = kcl_data_create(s, &p.of[X].array), *m = kcl_data_create(s, &p.of[U].array);
    kcl_expr *x_i = kcl_vi_data(s, x), *m_i = kcl_vi_data(s, m);
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, kcl_vj_data(s, x))));
    kcl_expr *H = kcl_reduce_sum(kcl_dot(m_i, kcl_reduce_sum(kcl_mul(K, kcl_vj_data(s, m)), KCL_OVER_J)), KCL_OVER_I);
    H = kcl_mul(kcl_constant(s, 0.5), over_all_batches(H));
    kcl_expr *L = over_all_batches(kcl_reduce_sum(kcl_sqnorm2(kcl_grad(H, m_i)), KCL_OVER_I));
    kcl_expr *grads[] = {kcl_grad(L, x_i), kcl_grad(L, m_i)};
    operand outs[] = {make('i', 3, p.M, &batch, p.dtype, 0, 0), make('i', 2, p.M, &batch, p.dtype, 0, 0)};
    eval(&p, 2, grads, outs);
    check_gradient(&p, &p.of[X], &outs[0], squared_momentum);
    check_gradient(&p, &p.of[U], &outs[1], squared_momentum);
    drop(&outs[0]);
    drop(&outs[1]);
    drop(&p.of[X]);
    drop(&p.of[U]);
}
END_TEST

/* ---- Scenarios --------------------------------------------------------------------------------------------------- */

/* Clouds (4, 1) against (1, 4): all totals of squared distances. */
START_TEST(test_all_pairs_of_clouds)
{
    float *x = malloc(sizeof(float) * 4 * 64 * 3), out[16];
    for (int k = 0; k < 4 * 64 * 3; k++)
        x[k] = (float)uniform(-1, 1);
    kcl_expr *a = kcl_vi(s, kcl_f32(x, 4, 1, 64, 3)), *b = kcl_vj(s, kcl_f32(x, 1, 4, 64, 3));
    int64_t shape[KCL_MAX_AXES];
    ck_assert_int_eq(kcl_expr_shape(kcl_sqdist(a, b), shape), 5);
    ck_assert(shape[0] == 4 && shape[1] == 4 && shape[2] == 64 && shape[3] == 64 && shape[4] == 1);
    ck_assert_msg(kcl_sum(kcl_sqdist(a, b), KCL_OVER_BOTH, kcl_f32(out, 4, 4)) == KCL_OK, "%s",
                  kcl_context_error(device));
    for (int p = 0; p < 16; p++) {
        double want = 0;
        for (int i = 0; i < 64; i++)
            for (int j = 0; j < 64; j++)
                for (int k = 0; k < 3; k++)
                    want += pow((double)x[(p / 4 * 64 + i) * 3 + k] - x[(p % 4 * 64 + j) * 3 + k], 2);
        ck_assert_double_le(fabs(out[p] - want), 1e-5 * want);
    }
    free(x);
}
END_TEST

/* u given as (B, 1, N): three axes that the shape takes for rows of j with N components. */
START_TEST(test_a_vector_axis_that_is_missing)
{
    enum { BATCHES = 8, M = 50, N = 60 };
    static float a[BATCHES * N * 3], out[BATCHES * N];
    kcl_expr *x = kcl_lazy(s, kcl_f32(a, BATCHES, M, 1, 3)), *y = kcl_lazy(s, kcl_f32(a, BATCHES, 1, N, 3));
    kcl_expr *wrong = kcl_lazy(s, kcl_f32(a, BATCHES, 1, N)), *right = kcl_lazy(s, kcl_f32(a, BATCHES, 1, N, 1));
    kcl_expr *F = kcl_div(kcl_add(kcl_neg(kcl_sqdist(x, y)), right), kcl_scalar(s, 0.1));
    ck_assert_msg(kcl_logsumexp(F, KCL_OVER_I, kcl_f32(out, BATCHES, 1, N, 1)) == KCL_OK, "%s",
                  kcl_context_error(device));
    /* (8, 1, 60) is an i-variable of 8 rows and 60 components: the result has 60 too, and does not get into the output. */
    ck_assert_int_eq(kcl_expr_dim(wrong), N);
    kcl_expr *G = kcl_reduce_logsumexp(kcl_add(kcl_neg(kcl_sqdist(x, y)), wrong), KCL_OVER_I);
    ck_assert_int_ne(kcl_eval1(G, kcl_f32(out, BATCHES, 1, N, 1)), KCL_OK);
    CONTAINS(kcl_context_error(device), "8 rows", "50");
}
END_TEST

/* Other lengths and batch sizes of the same structure compile nothing. */
START_TEST(test_other_sizes_compile_nothing)
{
    static float x[MOST], y[MOST], out[MOST];
    kcl_context_stats stats;
    uint64_t built = 0;
    for (int round = 0; round < 30; round++) {
        int64_t A = 2 + round % 3, B = 2 + round % 4, M = 20 + round;
        kcl_expr *F = kcl_exp(kcl_neg(kcl_sqdist(kcl_vi(s, kcl_f32(x, A, B, M, 2)), kcl_vj(s, kcl_f32(y, B, 24, 2)))));
        ck_assert_msg(kcl_sum(F, KCL_OVER_J, kcl_f32(out, A, B, M)) == KCL_OK, "%s", kcl_context_error(device));
        kcl_scope_reset(s);
        kcl_context_get_stats(device, &stats);
        if (round == 0)
            built = stats.programs_built + stats.programs_loaded;
        ck_assert_uint_eq(stats.programs_built + stats.programs_loaded, built);
    }
}
END_TEST

/* K b with any number of columns, and its gradient for cotangents that are expanded, permuted or a slice. */
START_TEST(test_strides_of_cotangents)
{
    enum { BATCHES = 2, M = 7, N = 9, WIDEST = 128 };
    static const int columns[] = {1, 79, 80, 81, WIDEST};
    static float x[BATCHES * M * 3], y[N * 3], e[BATCHES * M * (WIDEST + 3)], out[BATCHES * N * WIDEST];
    const int C = columns[_i];
    const int64_t size = sizeof(float);
    for (int k = 0; k < BATCHES * M * 3; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < N * 3; k++)
        y[k] = (float)uniform(-1, 1);
    for (int k = 0; k < BATCHES * M * (WIDEST + 3); k++)
        e[k] = (float)uniform(-1, 1);
    /* by batch, row, column */
    const int64_t strides[][3] = {
        {M * C, C, 1},             /* dense */
        {0, 0, 0},                 /* one number, expanded */
        {0, C, 1},                 /* the same for all batches */
        {1, C * BATCHES, BATCHES}, /* permuted */
        {M * (C + 3), C + 3, 1},   /* a slice of more columns */
        {M * C, 1, M},             /* transposed */
    };
    kcl_expr *b = kcl_vj(s, kcl_f32(y, N, 1)), *wide = kcl_repeat(b, C);
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, BATCHES, M, 3)), *y_j = kcl_vj(s, kcl_f32(y, N, 3));
    kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x_i, y_j)));
    kcl_array of_v = *kcl_f32(out, N, C);
    static float zeros[N * WIDEST];
    of_v.data = zeros;
    kcl_expr *v = kcl_vj(s, &of_v), *sums = kcl_reduce_sum(kcl_mul(K, kcl_add(v, wide)), KCL_OVER_J);
    for (size_t n = 0; n < sizeof strides / sizeof *strides; n++) {
        kcl_array of_e = {.data = e, .dtype = KCL_F32, .ndim = 3, .shape = {BATCHES, M, C}};
        for (int k = 0; k < 3; k++)
            of_e.stride[k] = strides[n][k] * size;
        kcl_expr *grad = kcl_vjp(sums, v, kcl_vi(s, &of_e));
        ck_assert_msg(kcl_eval1(grad, kcl_f32(out, N, C)) == KCL_OK, "strides %zu: %s", n, kcl_context_error(device));
        for (int j = 0; j < N; j++) {
            for (int c = 0; c < C; c++) {
                double want = 0, scale = 0;
                for (int at = 0; at < BATCHES * M; at++) {
                    double d = 0, f;
                    for (int k = 0; k < 3; k++)
                        d += pow((double)x[at * 3 + k] - y[j * 3 + k], 2);
                    f = exp(-d) * e[at / M * strides[n][0] + at % M * strides[n][1] + c * strides[n][2]];
                    want += f;
                    scale += fabs(f);
                }
                ck_assert_msg(fabs(out[j * C + c] - want) <= 1e-5 * scale, "strides %zu, %d columns: %g, not %g", n, C,
                              (double)out[j * C + c], want);
            }
        }
    }
}
END_TEST

/* Device arrays that begin within their memory are copied batch by batch, in both directions. */
START_TEST(test_device_arrays_of_batches)
{
    enum { A = 3, B = 2, M = 5, N = 4 };
    float x[A * M * 2], y[B * N * 2], out[A * B * M + 1];
    for (int k = 0; k < A * M * 2; k++)
        x[k] = (float)uniform(-1, 1);
    for (int k = 0; k < B * N * 2; k++)
        y[k] = (float)uniform(-1, 1);
    kcl_memory *memory[2] = {NULL, NULL};
    ck_assert_int_eq(kcl_memory_create(device, sizeof x + 8, &memory[0]), KCL_OK);
    ck_assert_int_eq(kcl_memory_create(device, sizeof out + 16, &memory[1]), KCL_OK);
    const kcl_array of_x = kcl_array_in(memory[0], 8, KCL_F32, 4, (const int64_t[]){A, 1, M, 2});
    const kcl_array of_out = kcl_array_in(memory[1], 4, KCL_F32, 3, (const int64_t[]){A, B, M});
    ck_assert_msg(kcl_array_update(device, kcl_f32(x, A, 1, M, 2), &of_x) == KCL_OK, "%s", kcl_context_error(device));
    kcl_expr *sum = kcl_reduce_sum(kcl_sqdist(kcl_vi(s, &of_x), kcl_vj(s, kcl_f32(y, B, N, 2))), KCL_OVER_J);
    ck_assert_msg(kcl_eval1(sum, &of_out) == KCL_OK, "%s", kcl_context_error(device));
    ck_assert_msg(kcl_array_download(device, &of_out, kcl_f32(out, A, B, M)) == KCL_OK, "%s",
                  kcl_context_error(device));
    for (int at = 0; at < A * B * M; at++) {
        double want = 0;
        for (int j = 0; j < N; j++)
            for (int k = 0; k < 2; k++)
                want += pow((double)x[(at / M / B * M + at % M) * 2 + k] - y[(at / M % B * N + j) * 2 + k], 2);
        ck_assert_msg(fabs(out[at] - want) <= 1e-5 * want, "%d: %g, not %g", at, (double)out[at], want);
    }
    kcl_memory_release(&memory[0]);
    kcl_memory_release(&memory[1]);
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Totals of all batches and their gradients, in a context of its own. */
static kcl_status compute(kcl_context *context, kcl_scope *scope, int64_t A, int64_t B, int64_t M)
{
    static double x[MOST], y[MOST], g[64], out[MOST], of_x[MOST], of_g[64];
    for (int k = 0; k < MOST; k++)
        x[k] = y[k] = sin(k + 1.0);
    for (int k = 0; k < 64; k++)
        g[k] = 1 + 0.01 * k;
    kcl_expr *v = kcl_vi(scope, kcl_f64(x, A, 1, M, 2)), *w = kcl_vj(scope, kcl_f64(y, B, 9, 2));
    kcl_expr *p = kcl_pm(scope, kcl_f64(g, A, 1, 1));
    kcl_expr *sum = kcl_reduce_sum(kcl_exp(kcl_neg(kcl_mul(p, kcl_sqdist(v, w)))), KCL_OVER_J);
    kcl_expr *L = kcl_reduce_sum(kcl_square(kcl_reduce_sum_batch(sum, -1)), KCL_OVER_I);
    L = kcl_reduce_sum_batch(L, 0);
    kcl_status status =
        kcl_eval(3, (kcl_expr *[]){sum, kcl_grad(L, v), kcl_grad(L, p)},
                 (const kcl_array *[]){kcl_f64(out, A, B, M), kcl_f64(of_x, A, M, 2), kcl_f64(of_g, A)});
    ck_assert(status == KCL_OK || *kcl_context_error(context));
    kcl_scope_reset(scope);
    return status;
}

START_TEST(test_each_allocation_fails)
{
    kcl_status status = KCL_ERROR_NO_MEMORY;
    long long n;
    for (n = 1; status == KCL_ERROR_NO_MEMORY; n++) {
        failing f = {.fail_at = n};
        kcl_context *c = NULL;
        status = kcl_context_create(&c, &(kcl_context_params){.device = "host", .allocator = failing_allocator(&f)});
        kcl_scope *scope = status == KCL_OK ? kcl_scope_create(c) : NULL;
        if (scope)
            status = compute(c, scope, 3, 2, 5);
        else
            status = KCL_ERROR_NO_MEMORY;
        ck_assert_msg(status == KCL_OK || status == KCL_ERROR_NO_MEMORY, "allocation %lld: %s", n,
                      kcl_context_error(c));
        kcl_scope_destroy(&scope);
        kcl_context_destroy(&c);
        ck_assert_msg(f.blocks == 0, "allocation %lld: %lld blocks leak", n, (long long)f.blocks);
    }
    ck_assert_int_eq(status, KCL_OK);
    ck_assert_int_gt(n, 50);
}
END_TEST

/* Of a call whose batches are reduced: the operator is there before. */
START_TEST(test_each_allocation_of_a_call_fails)
{
    enum { A = 3, M = 4, N = 5 };
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)"};
    double x[A * M * 2], y[N * 2], e[M * 2] = {1, 2, 3, 4}, out[N * 2];
    for (int k = 0; k < A * M * 2; k++)
        x[k] = sin(k + 1.0);
    for (int k = 0; k < N * 2; k++)
        y[k] = cos(k + 1.0);
    kcl_operator *op, *grad;
    ck_assert_int_eq(
        kcl_operator_create(&op, "KMin_Reduction(SqDist(x,y)+Elem(Gather(y,IndexJ+1),0),2,0)", 2, aliases, NULL),
        KCL_OK);
    ck_assert_int_eq(kcl_operator_grad(&grad, op, "y"), KCL_OK);
    const kcl_array *args[] = {kcl_f64(x, A, M, 2), kcl_f64(y, N, 2), kcl_f64(e, M, 2)}, *to = kcl_f64(out, N, 2);
    kcl_status status = KCL_ERROR_NO_MEMORY;
    int n;
    for (n = 1; status == KCL_ERROR_NO_MEMORY; n++) {
        failing f = {.fail_at = 0};
        kcl_context *c = NULL;
        ck_assert_int_eq(
            kcl_context_create(&c, &(kcl_context_params){.device = "host", .allocator = failing_allocator(&f)}),
            KCL_OK);
        f.fail_at = atomic_load(&f.requests) + n;
        status = kcl_operator_apply(grad, c, &to, 1, args, 3);
        ck_assert_msg(status == KCL_OK || status == KCL_ERROR_NO_MEMORY, "allocation %d: %s", n, kcl_context_error(c));
        kcl_context_destroy(&c);
        ck_assert_msg(f.blocks == 0, "allocation %d: %lld blocks leak", n, (long long)f.blocks);
    }
    ck_assert_int_eq(status, KCL_OK);
    ck_assert_int_gt(n, 50);
    kcl_operator_destroy(&grad);
    kcl_operator_destroy(&op);
}
END_TEST

START_TEST(test_memory_stays_flat)
{
    failing f = {0};
    kcl_context *c = NULL;
    const char *name = by_interpreter ? "host" : test_device();
    ck_assert_int_eq(kcl_context_create(&c, &(kcl_context_params){.device = name, .allocator = failing_allocator(&f)}),
                     KCL_OK);
    kcl_scope *scope = kcl_scope_create(c);
    kcl_context_stats stats, first;
    long long blocks = 0;
    const int rounds = 600;
    for (int round = 0; round < rounds; round++) {
        ck_assert_msg(compute(c, scope, 2 + round % 5, 2 + round % 3, 3 + round % 40) == KCL_OK, "%s",
                      kcl_context_error(c));
        kcl_context_get_stats(c, &stats);
        if (round == rounds / 2) {
            blocks = f.blocks;
            first = stats;
        }
        if (round > rounds / 2) {
            ck_assert_int_le(f.blocks, blocks);
            ck_assert_uint_eq(stats.programs_built, first.programs_built);
        }
    }
    kcl_scope_destroy(&scope);
    kcl_context_destroy(&c);
    ck_assert_int_eq(f.blocks, 0);
}
END_TEST

int main(int argc, char **argv)
{
    const bool host = by_interpreter = argc > 1 && strcmp(argv[1], "host") == 0;
    if (!getenv("KEOPSCL_CACHE_DIR"))
        setenv("KEOPSCL_CACHE", "off", 1);
    if (host)
        kcl_context_create(&device, &(kcl_context_params){.device = "host"});
    else
        device = open_cpu_or_skip();
    if (!device)
        return 77;
    announce_seed(host ? "test_lazy_batches host" : "test_lazy_batches");
    const test_entry tests[] = {
        {test_random_broadcasts, host || long_tests() ? 300 : 16},
        {test_operators_on_every_schedule, host           ? 60
                                           : long_tests() ? 300
                                                          : 9},
        {test_sizes_that_do_not_broadcast, 0},
        {test_batches_that_cannot_be_counted, 0},
        {test_arguments_that_do_not_broadcast, 0},
        {test_reductions_over_batch_axes, host || long_tests() ? 200 : 18},
        {test_every_schedule_reduces_batches, host || long_tests() ? 100 : 10},
        {test_many_batches_become_one, 0},
        {test_batch_axes_that_are_not_there, 0},
        {test_choices_over_batch_axes, host || long_tests() ? 200 : 6},
        {test_weighted_reductions_over_batch_axes, host || long_tests() ? 100 : 2},
        {test_every_schedule_chooses_in_batches, host || long_tests() ? 100 : 6},
        {test_what_an_index_over_batches_is, 0},
        {test_operators_of_expressions_with_batches, 0},
        {test_operators_that_reduce_batches, 0},
        {test_gradients_of_operators, host           ? 40
                                      : long_tests() ? 60
                                                     : 1},
        {test_repeated_indices, 0},
        {test_very_many_batches, 0},
        {test_gradients, host           ? 30
                         : long_tests() ? 60
                                        : 3},
        {test_second_derivatives_of_batches, 2},
        {test_all_pairs_of_clouds, 0},
        {test_gradients_of_choices, host           ? 60
                                    : long_tests() ? 40
                                                   : 2},
        {test_gathers_and_scatters, host || long_tests() ? 200 : 3},
        {test_rows_by_number, host || long_tests() ? 300 : 8},
        {test_gradients_of_chosen_rows, host           ? 60
                                        : long_tests() ? 40
                                                       : 2},
        {test_gradients_of_choices_of_operators, 0},
        {test_operators_choose_rows, host || long_tests() ? 100 : 5},
        {test_a_vector_axis_that_is_missing, 0},
        {test_other_sizes_compile_nothing, 0},
        {test_device_arrays_of_batches, 0},
        {test_strides_of_cotangents, 5},
        {test_each_allocation_fails, 0},
        {test_each_allocation_of_a_call_fails, 0},
        {test_memory_stays_flat, 0},
    };
    int failed = run_entries("batches", tests, KB_COUNT(tests), setup, teardown);
    kcl_context_destroy(&device);
    return failed;
}
