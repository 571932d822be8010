/* SPDX-License-Identifier: MIT */
/*
 * Rows by their numbers, with batch axes.
 */
#include "batches.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

int main(int argc, char **argv)
{
    const bool host = begin_batches(argc, argv);
    const test_entry tests[] = {
        {test_rows_by_number, host || long_tests() ? 300 : 8},
        {test_gradients_of_chosen_rows, host           ? 60
                                        : long_tests() ? 40
                                                       : 2},
        {test_operators_choose_rows, host || long_tests() ? 100 : 5},
    };
    return run_batches("batch rows", tests, KB_COUNT(tests));
}
