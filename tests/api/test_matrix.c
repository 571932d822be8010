/* SPDX-License-Identifier: MIT */
/*
 * Values of expressions written out: all of a matrix, rows, columns, blocks, entries, the diagonal. Expected values are
 * those of plain loops in double; by the interpreter, or on a device (with the argument "device").
 */
#include "either.h"

enum { D = 3, MOST = 160 };

/* Points, and what the formulas below make of them. */
static double x[MOST][D], y[MOST][D], w[MOST];
static int64_t chosen[MOST];
static int M, N;
static const double g = 0.75;

static double distance(int i, int j)
{
    double sum = 0;
    for (int k = 0; k < D; k++)
        sum += (x[i][k] - y[j][k]) * (x[i][k] - y[j][k]);
    return sum;
}

static double row_sum(int i)
{
    double sum = 0;
    for (int j = 0; j < N; j++)
        sum += exp(-g * distance(i, j)) * w[j];
    return sum;
}

static double column_sum(int j)
{
    double sum = 0;
    for (int i = 0; i < M; i++)
        sum += distance(i, j);
    return sum;
}

/* ---- Formulas ----------------------------------------------------------------------------------------------------- */

typedef struct operands {
    kcl_expr *x, *y, *w, *chosen, *g, *i, *j;
} operands;

static kcl_expr *kernel_of(const operands *v)
{
    return kcl_exp(kcl_neg(kcl_mul(v->g, kcl_sqdist(v->x, v->y))));
}

static kcl_expr *make_kernel(const operands *v)
{
    return kernel_of(v);
}

static double kernel(int i, int j, int k)
{
    (void)k;
    return exp(-g * distance(i, j));
}

static kcl_expr *make_vectors(const operands *v)
{
    return kcl_mul(kcl_sub(v->x, v->y), kcl_sum_inner(v->x));
}

static double vectors(int i, int j, int k)
{
    return (x[i][k] - y[j][k]) * (x[i][0] + x[i][1] + x[i][2]);
}

/* Results of reductions of both axes, in the formula and below one another. */
static kcl_expr *make_normalized(const operands *v)
{
    kcl_expr *rows = kcl_reduce_sum(kcl_mul(kernel_of(v), v->w), KCL_OVER_J);
    kcl_expr *columns = kcl_reduce_sum(kcl_sqdist(v->x, v->y), KCL_OVER_I);
    return kcl_add(kcl_div(kernel_of(v), rows), kcl_div(kcl_sqdist(v->x, v->y), columns));
}

static double normalized(int i, int j, int k)
{
    (void)k;
    return exp(-g * distance(i, j)) / row_sum(i) + distance(i, j) / column_sum(j);
}

/* Numbers of rows in comparisons, choices and sums. */
static kcl_expr *make_numbers(const operands *v)
{
    kcl_expr *banded = kcl_less(kcl_abs(kcl_sub(v->i, v->j)), kcl_constant(s, 3));
    kcl_expr *value = kcl_where(kcl_less_equal(v->j, v->i), kcl_sqdist(v->x, v->y), kcl_add(v->i, v->j));
    return kcl_add(value, kcl_mul(kcl_mul(banded, v->j), v->w));
}

static double numbered(int i, int j, int k)
{
    (void)k;
    return (j <= i ? distance(i, j) : i + j) + (abs(i - j) < 3 ? j * w[j] : 0);
}

/* Rows that an index chooses. */
static kcl_expr *make_gathered(const operands *v)
{
    return kcl_dot(kcl_gather(v->x, v->chosen), kcl_sub(v->x, v->y));
}

static double gathered(int i, int j, int k)
{
    double sum = 0;
    for (k = 0; k < D; k++)
        sum += x[chosen[j]][k] * (x[i][k] - y[j][k]);
    return sum;
}

/* Axes that a formula has from Like alone. */
static kcl_expr *make_repeated(const operands *v)
{
    return kcl_like(kcl_sum_inner(v->x), v->y);
}

static double repeated(int i, int j, int k)
{
    (void)j;
    (void)k;
    return x[i][0] + x[i][1] + x[i][2];
}

/* An index within a formula, and the axes exchanged. */
static kcl_expr *make_turned(const operands *v)
{
    kcl_expr *nearest = kcl_reduce_argmin(kcl_sqdist(v->x, v->y), KCL_OVER_J);
    kcl_expr *f = kcl_mul(kcl_add(nearest, kcl_constant(s, 0.5)), kcl_elem(v->y, 1));
    /* Of the points in the other roles, the roles exchanged again. */
    return kcl_transpose(kcl_transpose(f));
}

static double turned(int i, int j, int k)
{
    int nearest = 0;
    for (k = 1; k < N; k++)
        nearest = distance(i, k) < distance(i, nearest) ? k : nearest;
    return (nearest + 0.5) * y[j][1];
}

static const struct {
    const char *name;
    kcl_expr *(*make)(const operands *v);
    double (*value)(int i, int j, int k);
    int dim;
} formulas[] = {
    {"kernel", make_kernel, kernel, 1},
    {"vectors", make_vectors, vectors, D},
    {"normalized", make_normalized, normalized, 1},
    {"numbers", make_numbers, numbered, 1},
    {"gathered", make_gathered, gathered, 1},
    {"repeated", make_repeated, repeated, 1},
    {"turned", make_turned, turned, 1},
};

/* ---- Matrices ----------------------------------------------------------------------------------------------------- */

/* Numbers that are wanted of an axis, as the library is told and as a list. */
typedef struct wanted {
    kcl_indices indices;
    kcl_array list;
    int64_t numbers[2 * MOST];
    int count;
} wanted;

static void want_all(wanted *w_, int size)
{
    w_->indices = kcl_all();
    w_->count = size;
    for (int k = 0; k < size; k++)
        w_->numbers[k] = k;
}

static void want_range(wanted *w_, int start, int stop, int step)
{
    w_->indices = kcl_range(start, stop, step);
    w_->count = 0;
    for (int k = start; step > 0 ? k < stop : k > stop; k += step)
        w_->numbers[w_->count++] = k;
}

/* In any order, with repetitions. */
static void want_list(wanted *w_, int size, int count)
{
    w_->count = count;
    for (int k = 0; k < count; k++)
        w_->numbers[k] = pick(size);
    w_->list = kcl_array_i64(w_->numbers, 1, (const int64_t[]){count});
    w_->indices = kcl_list(&w_->list);
}

static void check_value(const numbers *out, int64_t row, int k, double want, kcl_dtype dtype, const char *what)
{
    const double got = numbers_get(out, row, k), tolerance = dtype == KCL_F32 ? 2e-5 : 1e-12;
    ck_assert_msg(fabs(got - want) <= tolerance * (1 + fabs(want)),
                  "%s (%d x %d), element %lld, component %d: %.9g, wanted %.9g", what, M, N, (long long)row, k, got,
                  want);
}

/* A block, or pairs, of one formula. The output's rows are all rows and columns after one another. */
static void check_picked(kcl_expr *f, int formula, const wanted *rows, const wanted *columns, bool pairs,
                         kcl_dtype dtype, layout how)
{
    const int dim = formulas[formula].dim, count = pairs ? rows->count : rows->count * columns->count;
    numbers out;
    numbers_make(&out, dtype, count, dim, how);
    kcl_array array = out.array;
    if (!pairs) { /* the axis of all rows becomes two */
        const int64_t rest = array.stride[0];
        array.ndim = 3;
        array.shape[2] = array.shape[1];
        array.stride[2] = array.stride[1];
        array.shape[1] = columns->count;
        array.stride[1] = rest;
        array.shape[0] = rows->count;
        array.stride[0] = rest * columns->count;
    }
    ok(pairs ? kcl_entries(f, rows->indices, columns->indices, &array)
             : kcl_block(f, rows->indices, columns->indices, &array));
    for (int r = 0; r < count; r++) {
        const int i = (int)rows->numbers[pairs ? r : r / columns->count];
        const int j = (int)columns->numbers[pairs ? r : r % columns->count];
        for (int k = 0; k < dim; k++)
            check_value(&out, r, k, formulas[formula].value(i, j, k), dtype, formulas[formula].name);
    }
    numbers_check_gaps(&out);
    numbers_free(&out);
}

/* Few columns and few rows, so that either axis becomes the rows of the map; squares; a single row. */
static const int sizes[][2] = {{7, 90}, {150, 5}, {70, 70}, {1, 9}, {40, 1}};

START_TEST(matrices_are_those_of_plain_loops)
{
    const bool all_cases = !on_device || long_tests();
    const int formula = all_cases ? _i / 2 : _i;
    const kcl_dtype dtype = _i % 2 ? KCL_F64 : KCL_F32;
    if (formula >= (int)KB_COUNT(formulas))
        return;
    for (size_t n = 0; n < (all_cases ? KB_COUNT(sizes) : 3); n++) {
        numbers ax, ay, aw;
        M = sizes[n][0];
        N = sizes[n][1];
        numbers_make(&ax, dtype, M, D, all_cases ? (layout)(n % LAYOUT_COUNT) : DENSE);
        numbers_make(&ay, dtype, N, D, all_cases ? (layout)((n + 1) % LAYOUT_COUNT) : DENSE);
        numbers_make(&aw, dtype, N, 1, DENSE);
        numbers_fill(&ax, -1, 1);
        numbers_fill(&ay, -1, 1);
        numbers_fill(&aw, 0.5, 1);
        for (int k = 0; k < D; k++) {
            for (int i = 0; i < M; i++)
                x[i][k] = *numbers_exact(&ax, i, k);
            for (int j = 0; j < N; j++)
                y[j][k] = *numbers_exact(&ay, j, k);
        }
        for (int j = 0; j < N; j++) {
            w[j] = *numbers_exact(&aw, j, 0);
            chosen[j] = pick(M);
        }
        const operands v = {
            kcl_vi(s, &ax.array), kcl_vj(s, &ay.array), kcl_vj(s, &aw.array), kcl_vj(s, kcl_i64(chosen, N)),
            kcl_scalar(s, g),     kcl_index_i(s),       kcl_index_j(s)};
        kcl_expr *f = formulas[formula].make(&v);
        static wanted rows[4], columns[4];
        want_all(&rows[0], M);
        want_all(&columns[0], N);
        want_range(&rows[1], 0, M, 3);
        want_range(&columns[1], N - 1, -1, -2);
        want_list(&rows[2], M, 11);
        want_list(&columns[2], N, 80);
        want_range(&rows[3], M - 1, M, 1);
        want_range(&columns[3], N / 2, N / 2, 1); /* none */
        /* Every combination may have kernels of its own: on a device, each kind of numbers with its like. */
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 4; b++)
                if (all_cases || (a == b && a < 3))
                    check_picked(f, formula, &rows[a], &columns[b], false, dtype, (layout)((a + b) % LAYOUT_COUNT));
        want_list(&rows[2], M, 80);
        check_picked(f, formula, &rows[2], &columns[2], true, dtype, ROWS_APART);
        numbers all;
        numbers_make(&all, dtype, (int64_t)M * N, formulas[formula].dim, DENSE);
        all.array.ndim = 3;
        const int dim = formulas[formula].dim;
        ok(kcl_dense(f, dtype == KCL_F32 ? kcl_f32(all.array.data, M, N, dim) : kcl_f64(all.array.data, M, N, dim)));
        for (int r = 0; r < M * N; r++)
            for (int k = 0; k < dim; k++)
                check_value(&all, r, k, formulas[formula].value(r / N, r % N, k), dtype, "kcl_dense");
        if (M == N) {
            ok(kcl_diagonal(f, dtype == KCL_F32 ? kcl_f32(all.array.data, M, dim) : kcl_f64(all.array.data, M, dim)));
            for (int r = 0; r < M; r++)
                for (int k = 0; k < dim; k++)
                    check_value(&all, r, k, formulas[formula].value(r, r, k), dtype, "kcl_diagonal");
        }
        numbers *made[] = {&ax, &ay, &aw, &all};
        for (size_t k = 0; k < KB_COUNT(made); k++)
            numbers_free(made[k]);
        kcl_scope_reset(s);
    }
}
END_TEST

/* ---- Batches ------------------------------------------------------------------------------------------------------ */

/* x has both batch axes, y the last one, p the first one; a reduction over a batch axis of what has i and j. */
START_TEST(batches_stand_in_front)
{
    enum { B = 2, C = 3, R = 6, Q = 70 };
    static double bx[B][C][R], by[C][Q], bp[B], out[B][C][R][Q], sums[B][R][Q], some[B][C][2][Q], pairs[B][C][5];
    for (int k = 0; k < B * C * R; k++)
        (&bx[0][0][0])[k] = uniform(-1, 1);
    for (int k = 0; k < C * Q; k++)
        (&by[0][0])[k] = uniform(-1, 1);
    bp[0] = 0.5;
    bp[1] = 2;
    kcl_expr *x_i = kcl_vi(s, kcl_f64(&bx[0][0][0], B, C, R, 1)), *y_j = kcl_vj(s, kcl_f64(&by[0][0], C, Q, 1));
    kcl_expr *p = kcl_pm(s, kcl_f64(bp, B, 1, 1));
    kcl_expr *f = kcl_mul(p, kcl_square(kcl_sub(x_i, y_j)));
    const int64_t at[] = {4, 1}, rows[] = {5, 0, 2, 2, 3}, columns[] = {69, 0, 7, 8, 7};
    ok(kcl_dense(f, kcl_f64(&out[0][0][0][0], B, C, R, Q)));
    ok(kcl_rows(f, kcl_list(kcl_i64(at, 2)), kcl_f64(&some[0][0][0][0], B, C, 2, Q, 1)));
    ok(kcl_entries(f, kcl_list(kcl_i64(rows, 5)), kcl_list(kcl_i64(columns, 5)), kcl_f64(&pairs[0][0][0], B, C, 5)));
    for (int b = 0; b < B; b++)
        for (int c_ = 0; c_ < C; c_++)
            for (int i = 0; i < R; i++)
                for (int j = 0; j < Q; j++) {
                    const double difference = bx[b][c_][i] - by[c_][j], want = bp[b] * difference * difference;
                    ck_assert_double_eq_tol(out[b][c_][i][j], want, 1e-12);
                    for (int k = 0; k < 2; k++)
                        if (at[k] == i)
                            ck_assert_double_eq_tol(some[b][c_][k][j], want, 1e-12);
                    for (int k = 0; k < 5; k++)
                        if (rows[k] == i && columns[k] == j)
                            ck_assert_double_eq_tol(pairs[b][c_][k], want, 1e-12);
                }
    /* Over the last batch axis, which results keep with the size 1. */
    ok(kcl_dense(kcl_reduce_sum_batch(f, -1), kcl_f64(&sums[0][0][0], B, R, Q)));
    for (int b = 0; b < B; b++)
        for (int i = 0; i < R; i++)
            for (int j = 0; j < Q; j++) {
                double want = 0;
                for (int c_ = 0; c_ < C; c_++)
                    want += bp[b] * (bx[b][c_][i] - by[c_][j]) * (bx[b][c_][i] - by[c_][j]);
                ck_assert_double_eq_tol(sums[b][i][j], want, 1e-12);
            }
}
END_TEST

/* With as many batch axes as there can be. */
START_TEST(six_batch_axes)
{
    enum { R = 3, Q = 4 };
    double bx[2][2][R], by[2][Q], out[2][2][2][R][Q], part[2][2][2][2][Q];
    for (int k = 0; k < 4 * R; k++)
        (&bx[0][0][0])[k] = uniform(-1, 1);
    for (int k = 0; k < 2 * Q; k++)
        (&by[0][0])[k] = uniform(-1, 1);
    kcl_expr *f = kcl_sub(kcl_vi(s, kcl_f64(&bx[0][0][0], 2, 1, 1, 1, 1, 2, R, 1)),
                          kcl_vj(s, kcl_f64(&by[0][0], 2, 1, 1, 1, Q, 1)));
    ok(kcl_dense(f, kcl_f64(&out[0][0][0][0][0], 2, 1, 2, 1, 1, 2, R, Q, 1)));
    ok(kcl_rows(f, kcl_range(2, -1, -2), kcl_f64(&part[0][0][0][0][0], 2, 2, 2, 2, Q)));
    for (int k = 0; k < 8; k++)
        for (int i = 0; i < R; i++)
            for (int j = 0; j < Q; j++) {
                const int a = k >> 2, b = k >> 1 & 1, d = k & 1;
                ck_assert_double_eq(out[a][b][d][i][j], bx[a][d][i] - by[b][j]);
                if (i != 1)
                    ck_assert_double_eq(part[a][b][d][1 - i / 2][j], bx[a][d][i] - by[b][j]);
            }
}
END_TEST

/* ---- Numbers of rows ---------------------------------------------------------------------------------------------- */

/* Far out, float32 has no longer all whole numbers: comparisons, and what is rounded, are right all the same. */
START_TEST(large_numbers_are_exact)
{
    const int64_t n = (INT64_C(1) << 25) + 8, first = (INT64_C(1) << 24) - 2;
    enum { R = 9, Q = 70 };
    static float one = 1, below[R][Q], sums[R][Q], pairs[Q];
    static int64_t at[Q], row[Q];
    kcl_array ones = kcl_array_f32(&one, 2, (const int64_t[]){n, 1});
    ones.stride[0] = 0;
    kcl_expr *i_ = kcl_like(kcl_index_i(s), kcl_vi(s, &ones)), *j_ = kcl_like(kcl_index_j(s), kcl_vj(s, &ones));
    for (int k = 0; k < Q; k++) {
        at[k] = first + k / 2;
        row[k] = first + k % 7;
    }
    const kcl_indices rows = kcl_range(first, first + R, 1), columns = kcl_list(kcl_i64(at, Q));
    ok(kcl_block(kcl_less_equal(j_, i_), rows, columns, kcl_f32(&below[0][0], R, Q)));
    ok(kcl_block(kcl_add(i_, kcl_mul(kcl_constant(s, 3), j_)), rows, columns, kcl_f32(&sums[0][0], R, Q)));
    ok(kcl_entries(kcl_sub(i_, j_), kcl_list(kcl_i64(row, Q)), columns, kcl_f32(pairs, Q)));
    for (int j = 0; j < Q; j++) {
        for (int k = 0; k < R; k++) {
            ck_assert_float_eq(below[k][j], at[j] <= first + k);
            ck_assert_float_eq(sums[k][j], (float)(first + k + 3 * at[j]));
        }
        ck_assert_float_eq(pairs[j], (float)(row[j] - at[j]));
    }
}
END_TEST

/* ---- Arrays ------------------------------------------------------------------------------------------------------- */

/* Everything in the memory of the device: points, list, output; without a wait between. */
START_TEST(arrays_of_the_device)
{
    enum { R = 20, Q = 80 };
    static float px[R][2], py[Q][2], got[3][Q];
    const int64_t at[] = {19, 3, 0};
    for (int k = 0; k < 2 * R; k++)
        (&px[0][0])[k] = (float)uniform(-1, 1);
    for (int k = 0; k < 2 * Q; k++)
        (&py[0][0])[k] = (float)uniform(-1, 1);
    kcl_array ax, ay, list, out;
    ok(kcl_array_upload(c, kcl_f32(&px[0][0], R, 2), &ax));
    ok(kcl_array_upload(c, kcl_f32(&py[0][0], Q, 2), &ay));
    ok(kcl_array_upload(c, kcl_i64(at, 3), &list));
    ok(kcl_array_create(c, KCL_F32, 2, (const int64_t[]){3, Q}, &out));
    kcl_expr *f = kcl_sqdist(kcl_vi(s, &ax), kcl_vj(s, &ay));
    for (int round = 0; round < 2; round++) {
        ok(round ? kcl_rows(f, kcl_range(19, 0, -8), &out) : kcl_rows(f, kcl_list(&list), &out));
        ok(kcl_array_download(c, &out, kcl_f32(&got[0][0], 3, Q)));
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < Q; j++) {
                const int64_t i = round ? 19 - 8 * k : at[k];
                const double a = (double)px[i][0] - (double)py[j][0], b = (double)px[i][1] - (double)py[j][1];
                ck_assert_float_eq_tol(got[k][j], (float)(a * a + b * b), 1e-5f);
            }
    }
    kcl_array *all[] = {&ax, &ay, &list, &out};
    for (size_t k = 0; k < KB_COUNT(all); k++)
        kcl_array_free(all[k]);
}
END_TEST

/* Without rows or columns; what lacks an axis; indices. */
START_TEST(empty_and_single)
{
    float px[5] = {1, 2, 3, 4, 5}, out[15], untouched = 7;
    int64_t nearest[5];
    const int64_t zeros[] = {0, 0, 0}, at[] = {4, 2};
    kcl_expr *x_i = kcl_vi(s, kcl_f32(px, 5)), *none = kcl_vj(s, kcl_f32(NULL, 0, 1));
    ok(kcl_dense(kcl_mul(x_i, none), kcl_f32(NULL, 5, 0)));
    ok(kcl_rows(kcl_mul(x_i, none), kcl_all(), kcl_f32(&untouched, 5, 0)));
    ok(kcl_columns(kcl_mul(x_i, none), kcl_list(kcl_i64(NULL, 0)), kcl_f32(NULL, 5, 0, 1)));
    ok(kcl_entries(kcl_mul(x_i, none), kcl_range(3, 3, 1), kcl_all(), kcl_f32(NULL, 0)));
    ck_assert_float_eq(untouched, 7);
    ok(kcl_dense(kcl_square(x_i), kcl_f32(out, 5, 1)));
    ck_assert_float_eq(out[4], 25);
    ok(kcl_block(kcl_square(x_i), kcl_list(kcl_i64(at, 2)), kcl_list(kcl_i64(zeros, 3)), kcl_f32(out, 2, 3)));
    for (int k = 0; k < 6; k++)
        ck_assert_float_eq(out[k], k < 3 ? 25 : 9);
    ok(kcl_rows(kcl_scalar(s, 3), kcl_list(kcl_i64(zeros, 3)), kcl_f32(out, 3)));
    for (int k = 0; k < 3; k++)
        ck_assert_float_eq(out[k], 3);
    kcl_expr *index = kcl_reduce_argmin(kcl_sqdist(x_i, kcl_vj(s, kcl_f32(px, 5))), KCL_OVER_J);
    ok(kcl_dense(index, kcl_i64(nearest, 5)));
    for (int k = 0; k < 5; k++)
        ck_assert_int_eq(nearest[k], k);
}
END_TEST

/* ---- Refusals ----------------------------------------------------------------------------------------------------- */

#define FAILS(call, status, ...)                                                                                       \
    do {                                                                                                               \
        ck_assert_int_eq(call, status);                                                                                \
        ck_assert_int_eq(kcl_context_status(c), status);                                                               \
        CONTAINS(kcl_context_error(c), __VA_ARGS__);                                                                   \
    } while (0)

START_TEST(refusals_tell_what_is_wrong)
{
    float px[5] = {0}, py[4] = {0}, out[20];
    double wide[20];
    int64_t at[] = {3, 5, 0, -1};
    kcl_expr *x_i = kcl_vi(s, kcl_f32(px, 5)), *y_j = kcl_vj(s, kcl_f32(py, 4)), *f = kcl_add(x_i, y_j);
    const kcl_array *rows = kcl_f32(out, 2, 4);
    FAILS(kcl_rows(f, kcl_list(kcl_i64(at, 2)), rows), KCL_ERROR_ARGUMENT, "kcl_rows", "list of rows", "has 5",
          "element 1", "5 rows");
    FAILS(kcl_columns(f, kcl_list(kcl_i64(at + 2, 2)), kcl_f32(out, 5, 2)), KCL_ERROR_ARGUMENT, "kcl_columns",
          "list of columns", "has -1", "element 1", "4 columns");
    FAILS(kcl_rows(f, kcl_range(1, 6, 2), rows), KCL_ERROR_ARGUMENT, "from 1 to 6 by 2", "5 rows");
    FAILS(kcl_rows(f, kcl_range(-1, 3, 2), rows), KCL_ERROR_ARGUMENT, "from -1 to 3 by 2");
    FAILS(kcl_rows(f, kcl_range(4, -3, -2), rows), KCL_ERROR_ARGUMENT, "from 4 to -3 by -2");
    FAILS(kcl_rows(f, kcl_range(INT64_MIN, INT64_MAX, 1), rows), KCL_ERROR_ARGUMENT, "5 rows");
    FAILS(kcl_rows(f, kcl_range(INT64_MAX, INT64_MIN, INT64_MIN), rows), KCL_ERROR_ARGUMENT, "5 rows");
    FAILS(kcl_rows(f, kcl_range(0, 2, 0), rows), KCL_ERROR_ARGUMENT, "step 0");
    FAILS(kcl_rows(f, kcl_list(kcl_f32(px, 2)), rows), KCL_ERROR_TYPE, "list of rows", "float32", "int64");
    FAILS(kcl_rows(f, kcl_list(kcl_i64(at, 2, 2)), rows), KCL_ERROR_SHAPE, "list of rows", "(2, 2)", "one axis");
    FAILS(kcl_rows(f, kcl_list(NULL), rows), KCL_ERROR_ARGUMENT, "list of rows", "missing");
    FAILS(kcl_rows(f, kcl_list(kcl_i64(NULL, 2)), rows), KCL_ERROR_ARGUMENT, "list of rows", "NULL");
    FAILS(kcl_rows(f, (kcl_indices){.kind = (kcl_indices_kind)9}, rows), KCL_ERROR_ARGUMENT, "rows", "9");
    FAILS(kcl_rows(f, kcl_range(0, 3, 1), rows), KCL_ERROR_SHAPE, "output", "(2, 4)", "(3, 4, 1)");
    FAILS(kcl_dense(f, kcl_f32(out, 4, 5)), KCL_ERROR_SHAPE, "kcl_dense", "output", "(4, 5)", "(5, 4, 1)");
    FAILS(kcl_dense(f, kcl_f32(NULL, 5, 4)), KCL_ERROR_ARGUMENT, "output", "NULL");
    FAILS(kcl_dense(f, NULL), KCL_ERROR_ARGUMENT, "output", "missing");
    FAILS(kcl_dense(f, kcl_f64(wide, 5, 4)), KCL_ERROR_TYPE, "output", "float64", "float32");
    FAILS(kcl_dense(f, kcl_i64((int64_t *)wide, 5, 4)), KCL_ERROR_TYPE, "int64");
    FAILS(kcl_diagonal(f, kcl_f32(out, 5)), KCL_ERROR_LENGTH, "5 rows", "4 columns", "square");
    FAILS(kcl_entries(f, kcl_range(0, 3, 1), kcl_range(0, 2, 1), kcl_f32(out, 3)), KCL_ERROR_ARGUMENT, "3 row numbers",
          "2 column numbers");
    FAILS(kcl_dense(kcl_add(f, kcl_vi(s, kcl_f32(px, 3))), kcl_f32(out, 5, 4)), KCL_ERROR_LENGTH, "5 rows", "3",
          "axis i");
    FAILS(kcl_dense(kcl_add(x_i, kcl_index_j(s)), kcl_f32(out, 5, 4)), KCL_ERROR_SHAPE, "IndexJ", "length");
    FAILS(kcl_dense(kcl_add(f, kcl_var(s, 0, 1, KCL_ROLE_I)), kcl_f32(out, 5, 4)), KCL_ERROR_ARGUMENT, "kcl_var");
    FAILS(kcl_rows(kcl_reduce_argmin(f, KCL_OVER_J), kcl_all(), kcl_f32(out, 5)), KCL_ERROR_TYPE, "index", "kcl_dense");
    FAILS(kcl_dense(kcl_add(f, kcl_vj(s, NULL)), kcl_f32(out, 5, 4)), KCL_ERROR_ARGUMENT, "kcl_vj", "NULL");
    ck_assert_int_eq(kcl_dense(NULL, kcl_f32(out, 5, 4)), KCL_ERROR_ARGUMENT);
    /* The output within an input. */
    FAILS(kcl_rows(f, kcl_range(0, 1, 1), kcl_f32(px, 1, 4)), KCL_ERROR_ARGUMENT, "output 0");
    /* The scope works on, and knows nothing of what was computed. */
    px[1] = 2;
    const int64_t before[] = {1};
    ok(kcl_rows(f, kcl_list(kcl_i64(before, 1)), kcl_f32(out, 4)));
    kcl_expr *more = kcl_vj(s, kcl_f32(py, 4));
    ok(kcl_dense(kcl_add(f, more), kcl_f32(out, 5, 4)));
    ck_assert_float_eq(out[7], 2);
}
END_TEST

/* Every allocation fails in turn: the call says so, loses nothing, and is right when it is called again. */
START_TEST(each_allocation_fails)
{
    enum { R = 4, Q = 20 };
    double px[R][D], py[Q][D], out[3][Q];
    const int64_t at[] = {3, 0, 3};
    for (int k = 0; k < R * D; k++)
        (&px[0][0])[k] = uniform(-1, 1);
    for (int k = 0; k < Q * D; k++)
        (&py[0][0])[k] = uniform(-1, 1);
    long long n = 0;
    for (bool done = false; !done;) {
        failing memory = {.fail_at = 0};
        kcl_context *mine;
        const kcl_context_params params = {.device = "host", .allocator = failing_allocator(&memory)};
        ck_assert_int_eq(kcl_context_create(&mine, &params), KCL_OK);
        kcl_scope *scope = kcl_scope_create(mine);
        kcl_expr *x_i = kcl_vi(scope, kcl_f64(&px[0][0], R, D)), *y_j = kcl_vj(scope, kcl_f64(&py[0][0], Q, D));
        kcl_expr *f = kcl_mul(kcl_sqdist(x_i, y_j), kcl_reduce_sum(kcl_sqdist(x_i, y_j), KCL_OVER_J));
        f = kcl_add(f, kcl_less(kcl_index_i(scope), kcl_index_j(scope)));
        ck_assert_int_eq(kcl_expr_status(f), KCL_OK);
        memory.fail_at = memory.requests + ++n;
        const kcl_status status = kcl_rows(f, kcl_list(kcl_i64(at, 3)), kcl_f64(&out[0][0], 3, Q));
        done = memory.requests < memory.fail_at;
        ck_assert_msg(status == (done ? KCL_OK : KCL_ERROR_NO_MEMORY), "allocation %lld: %s", n,
                      kcl_context_error(mine));
        memory.fail_at = 0;
        ck_assert_int_eq(kcl_rows(f, kcl_list(kcl_i64(at, 3)), kcl_f64(&out[0][0], 3, Q)), KCL_OK);
        for (int k = 0; k < 3; k++) {
            double distances[Q], sum = 0;
            for (int j = 0; j < Q; j++) {
                distances[j] = 0;
                for (int d = 0; d < D; d++)
                    distances[j] += (px[at[k]][d] - py[j][d]) * (px[at[k]][d] - py[j][d]);
                sum += distances[j];
            }
            for (int j = 0; j < Q; j++)
                ck_assert_double_eq_tol(out[k][j], distances[j] * sum + (at[k] < j), 1e-12 * (1 + sum));
        }
        kcl_scope_destroy(&scope);
        kcl_context_destroy(&mine);
        ck_assert_int_eq(memory.blocks, 0);
    }
    ck_assert_int_gt(n, 20);
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {matrices_are_those_of_plain_loops, 2 * (int)KB_COUNT(formulas)},
        {batches_stand_in_front, 0},
        {six_batch_axes, 0},
        {large_numbers_are_exact, 0},
        {arrays_of_the_device, 0},
        {empty_and_single, 0},
        {refusals_tell_what_is_wrong, 0},
        {each_allocation_fails, 0},
    };
    const size_t of_devices = KB_COUNT(tests) - 1; /* all but the last one, which is about the interpreter */
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "matrix",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .begin = begin,
                                              .end = end,
                                              .tests = tests,
                                              .count = KB_COUNT(tests),
                                              .device_tests = tests,
                                              .device_count = of_devices});
}
