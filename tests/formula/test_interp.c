/* SPDX-License-Identifier: MIT */
/* The interpreter against values computed independently, in long double if rounding matters. */
#include "failing.h"
#include "interp.h"
#include "layout.h"
#include "make.h"
#include "reductions.h"
#include "table.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <tgmath.h>

enum { MOST_VARS = 8 };

/* Data of variable `index` of a test: `rows` rows of `dim` doubles. */
typedef struct table {
    double *data[MOST_VARS];
    int64_t dim[MOST_VARS], rows[MOST_VARS];
    kf_source source[MOST_VARS];
    int count;
} table;

static kf_graph g;
static kb_error err;
static table vars;
static uint64_t seed;

static double draw(double low, double high)
{
    seed = kb_hash_combine(seed, 1);
    return low + (high - low) * ((double)(seed >> 11) * 0x1p-53);
}

static void setup(void)
{
    kf_graph_init(&g, NULL);
    memset(&vars, 0, sizeof vars);
    seed = 1;
}

static void teardown(void)
{
    for (int k = 0; k < vars.count; k++)
        free(vars.data[k]);
    kf_graph_finish(&g);
}

/* A new variable with `rows` rows of random values. */
static const kf_node *variable(kf_role role, int64_t dim, int64_t rows, double low, double high)
{
    int k = vars.count++;
    ck_assert_int_lt(k, MOST_VARS);
    vars.dim[k] = dim;
    vars.rows[k] = role == KF_ROLE_P ? 1 : rows;
    vars.data[k] = malloc((size_t)(vars.rows[k] * dim) * sizeof(double));
    for (int64_t n = 0; n < vars.rows[k] * dim; n++)
        vars.data[k][n] = draw(low, high);
    vars.source[k] = (kf_source){vars.data[k], KCL_F64, dim * (int64_t)sizeof(double), sizeof(double)};
    return kf_var(&g, k, dim, role);
}

/* Component k of variable f at (i, j); a variable of one component repeats it. */
static double at(const kf_node *f, int64_t i, int64_t j, int64_t k)
{
    int64_t v = f->param[0], row = f->param[2] == KF_ROLE_I ? i : f->param[2] == KF_ROLE_J ? j : 0;
    return vars.data[v][row * vars.dim[v] + (vars.dim[v] == 1 ? 0 : k)];
}

static kf_interp *compiled(size_t count, const kf_node *const *roots)
{
    kf_interp *interp = NULL;
    for (size_t k = 0; k < count; k++)
        ck_assert_msg(roots[k] != NULL, "%s", g.error.text);
    ck_assert_msg(kf_interp_create(&interp, &g, count, roots, &err) == KCL_OK, "%s", err.text);
    return interp;
}

static kf_frame *framed(const kf_interp *interp)
{
    kf_frame *frame = NULL;
    ck_assert_msg(kf_frame_create(&frame, interp, &err) == KCL_OK, "%s", err.text);
    return frame;
}

/* out[((r * rows + i) * cols + j) * dim + k] for roots of one dimension. */
static void evaluate(size_t count, const kf_node *const *roots, const kf_source *sources, int64_t rows, int64_t cols,
                     double *out)
{
    kf_interp *interp = compiled(count, roots);
    kf_frame *frame = framed(interp);
    kf_frame_launch(frame, sources);
    for (int64_t i = 0; i < rows; i++) {
        kf_frame_row(frame, i, NULL);
        for (int64_t j = 0; j < cols; j += kf_frame_columns(frame)) {
            int n = (int)KB_MIN(kf_frame_columns(frame), cols - j), stride;
            kf_frame_block(frame, j, n);
            for (size_t r = 0; r < count; r++) {
                int64_t dim = roots[r]->dim;
                for (int64_t k = 0; k < dim; k++) {
                    const double *value = kf_frame_value(frame, r, k, &stride);
                    for (int c = 0; c < n; c++)
                        out[((((int64_t)r * rows + i) * cols) + j + c) * dim + k] = value[c * stride];
                }
            }
        }
    }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
    ck_assert_ptr_null(frame);
    ck_assert_ptr_null(interp);
}

static void expect_close(const char *what, double got, long double want, double tolerance, int64_t i, int64_t j,
                         int64_t k)
{
    ck_assert_msg(fabs(got - want) <= tolerance * fabs(want) || (double)want == got,
                  "%s at (%d, %d)[%d]: %.17g, not %.17Lg", what, (int)i, (int)j, (int)k, got, want);
}

/* ---- Elementwise operators --------------------------------------------------------------------------------------- */

static void check_map(kf_op op, const kf_node *const *args, int64_t n)
{
    enum { ROWS = 3, COLS = KF_BLOCK + 3 };
    const kf_node *f = kf_make(&g, op, args, &n), *a = args[0], *b = args[1], *c = args[2];
    ck_assert_msg(f != NULL, "%s", g.error.text);
    double *got = malloc((size_t)(ROWS * COLS * f->dim) * sizeof *got);
    evaluate(1, &f, vars.source, ROWS, COLS, got);
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < COLS; j++)
            for (int64_t k = 0; k < f->dim; k++)
                expect_close(kf_info(op)->name, got[(i * COLS + j) * f->dim + k],
                             table_value(op, at(a, i, j, k), b ? at(b, i, j, k) : 0, c ? at(c, i, j, k) : 0, n), 1e-15,
                             i, j, k);
    free(got);
}

START_TEST(elementwise_operators_agree_with_long_double_on_every_axis_and_broadcast)
{
    static const int dims[][3] = {{1, 1, 1}, {4, 4, 1}, {1, 4, 4}, {4, 1, 4}};
    kf_op op = (kf_op)_i;
    if (kf_info(op)->op_class != KF_CLASS_MAP)
        return;
    double low = kf_info(op)->low, high = kf_info(op)->high;
    for (int64_t n = table_least_param(op); n <= table_most_param(op); n++)
        for (int roles = 0; roles < (kf_info(op)->arity == 3 ? 27 : 9); roles++)
            for (size_t d = 0; d < KB_COUNT(dims); d++) {
                teardown();
                setup();
                const kf_node *args[KF_MAX_ARGS] = {NULL};
                for (int k = 0, role = roles; k < kf_info(op)->arity; k++, role /= 3)
                    args[k] = variable((kf_role)(role % 3), dims[d][k], 200, low, high);
                check_map(op, args, n);
            }
}
END_TEST

START_TEST(elementwise_operators_have_their_mathematical_values)
{
    static const struct {
        kf_op op;
        double a, b;
        int n;
        double value;
    } known[] = {
        {KF_ADD, 2, 3, 0, 5},        {KF_SUB, 2, 3, 0, -1},
        {KF_MULT, 2, 3, 0, 6},       {KF_DIVIDE, 3, 2, 0, 1.5},
        {KF_MINUS, 2, 0, 0, -2},     {KF_INV, 4, 0, 0, 0.25},
        {KF_SQUARE, -3, 0, 0, 9},    {KF_POW, 2, 0, 10, 1024},
        {KF_POW, 2, 0, -2, 0.25},    {KF_POW, 7, 0, 0, 1},
        {KF_POW, -2, 0, 3, -8},      {KF_POWF, 4, 1.5, 0, 8},
        {KF_EXP, 0, 0, 0, 1},        {KF_EXP, 1, 0, 0, 0x1.5bf0a8b145769p+1},
        {KF_LOG, 1, 0, 0, 0},        {KF_LOG, 0, 0, 0, -INFINITY},
        {KF_EXP2, 3, 0, 0, 8},       {KF_LOG2, 8, 0, 0, 3},
        {KF_SQRT, 9, 0, 0, 3},       {KF_RSQRT, 4, 0, 0, 0.5},
        {KF_RSQRT, 0, 0, 0, 0},      {KF_SIN, 0, 0, 0, 0},
        {KF_COS, 0, 0, 0, 1},        {KF_ABS, -2, 0, 0, 2},
        {KF_SIGN, -2, 0, 0, -1},     {KF_SIGN, 0, 0, 0, 0},
        {KF_SIGN, 5, 0, 0, 1},       {KF_SIGN, NAN, 0, 0, NAN},
        {KF_INV, 0, 0, 0, INFINITY}, {KF_SQRT, -1, 0, 0, NAN},
        {KF_FLOOR, -1.5, 0, 0, -2},  {KF_FLOOR, NAN, 0, 0, NAN},
        {KF_ROUND, 2.5, 0, 0, 3},    {KF_ROUND, -2.5, 0, 0, -3},
        {KF_ROUND, 126, 0, -1, 130}, {KF_ROUND, 2.345678, 0, 2, 2.35},
        {KF_ROUND, 1e300, 0, 18, 1e300}, {KF_ROUND, 4, 0, -18, 0},
        {KF_ROUND, INFINITY, 0, 1, INFINITY}, {KF_ROUND, NAN, 0, 0, NAN},
        {KF_STEP, 0, 0, 0, 1},       {KF_STEP, -0.5, 0, 0, 0},
        {KF_STEP, NAN, 0, 0, 1},     {KF_RELU, -3, 0, 0, 0},
        {KF_RELU, 3, 0, 0, 3},       {KF_RELU, NAN, 0, 0, NAN},
        {KF_XLOGX, 0, 0, 0, 0},      {KF_XLOGX, 1, 0, 0, 0},
        {KF_XLOGX, -1, 0, 0, NAN},   {KF_ASIN, 1, 0, 0, 0x1.921fb54442d18p+0},
        {KF_ASIN, 1.5, 0, 0, NAN},   {KF_ACOS, 1, 0, 0, 0},
        {KF_ATAN, 1, 0, 0, 0x1.921fb54442d18p-1}, {KF_ATAN2, 1, 0, 0, 0x1.921fb54442d18p+0},
        {KF_ATAN2, 0, -1, 0, 0x1.921fb54442d18p+1}, {KF_ATAN2, 0, 0, 0, 0},
        {KF_SPHERICAL, 0, 0, 0, 1},  {KF_SPHERICAL, 0, 0, 1, 1.0 / 3},
        {KF_SPHERICAL, 0, 0, 2, 1.0 / 15}, {KF_SPHERICAL, INFINITY, 0, 3, 0},
        {KF_SPHERICAL, NAN, 0, 3, NAN}, {KF_EQUAL, 2, 2, 0, 1},
        {KF_EQUAL, 2, 3, 0, 0},      {KF_EQUAL, NAN, NAN, 0, 0},
        {KF_NOT_EQUAL, 2, 2, 0, 0},  {KF_NOT_EQUAL, NAN, NAN, 0, 1},
        {KF_LESS, 1, 2, 0, 1},       {KF_LESS, 2, 2, 0, 0},
        {KF_LESS, NAN, 2, 0, 0},     {KF_LESS_EQUAL, 2, 2, 0, 1},
        {KF_LESS_EQUAL, 3, 2, 0, 0}, {KF_LESS_EQUAL, NAN, NAN, 0, 0},
        {KF_IFELSE, 0, 2, 0, 2},     {KF_IFELSE, -1, 2, 0, 7},
        {KF_IFELSE, NAN, 2, 0, 7},   {KF_IFELSE, -1, NAN, 0, 7},
        {KF_TAN, 0, 0, 0, 0},        {KF_SINH, INFINITY, 0, 0, INFINITY},
        {KF_COSH, 0, 0, 0, 1},       {KF_TANH, -INFINITY, 0, 0, -1},
        {KF_ASINH, 0, 0, 0, 0},      {KF_ACOSH, 1, 0, 0, 0},
        {KF_ACOSH, 0.5, 0, 0, NAN},  {KF_ATANH, 1, 0, 0, INFINITY},
        {KF_ATANH, 2, 0, 0, NAN},    {KF_ERF, INFINITY, 0, 0, 1},
        {KF_ERFC, -INFINITY, 0, 0, 2}, {KF_EXPM1, 1e-300, 0, 0, 1e-300},
        {KF_LOG1P, 1e-300, 0, 0, 1e-300}, {KF_LOG1P, -1, 0, 0, -INFINITY},
        {KF_LOG1P, -2, 0, 0, NAN},   {KF_SIGMOID, 0, 0, 0, 0.5},
        {KF_SIGMOID, 1000, 0, 0, 1}, {KF_SIGMOID, -1000, 0, 0, 0},
        {KF_SIGMOID, NAN, 0, 0, NAN}, {KF_SOFTPLUS, 1000, 0, 0, 1000},
        {KF_SOFTPLUS, -1000, 0, 0, 0}, {KF_SOFTPLUS, NAN, 0, 0, NAN},
        {KF_CEIL, -1.5, 0, 0, -1},   {KF_CEIL, 1.5, 0, 0, 2},
        {KF_TRUNC, -1.5, 0, 0, -1},  {KF_TRUNC, 1.5, 0, 0, 1},
        {KF_HYPOT, 3, -4, 0, 5},     {KF_HYPOT, 3e300, 4e300, 0, 5e300},
        {KF_HYPOT, NAN, INFINITY, 0, INFINITY}, {KF_HYPOT, NAN, 1, 0, NAN},
        {KF_MINIMUM, 2, -3, 0, -3},  {KF_MINIMUM, NAN, 1, 0, NAN},
        {KF_MINIMUM, 1, NAN, 0, NAN}, {KF_MAXIMUM, 2, -3, 0, 2},
        {KF_MAXIMUM, NAN, 1, 0, NAN}, {KF_MAXIMUM, 1, NAN, 0, NAN},
        {KF_AND, 2, -0.5, 0, 1},     {KF_AND, 0, 1, 0, 0},
        {KF_AND, 1, 0, 0, 0},        {KF_AND, NAN, 1, 0, 1},
        {KF_OR, 0, 0, 0, 0},         {KF_OR, 0, -1, 0, 1},
        {KF_OR, 0.1, 0, 0, 1},       {KF_NOT, 0, 0, 0, 1},
        {KF_NOT, 0.1, 0, 0, 0},      {KF_NOT, NAN, 0, 0, 0},
    };
    const double third = 7;
    for (size_t k = 0; k < KB_COUNT(known); k++) {
        const kf_node *args[] = {kf_var(&g, 0, 1, KF_ROLE_P), kf_var(&g, 1, 1, KF_ROLE_P), kf_var(&g, 2, 1, KF_ROLE_P)};
        int64_t n = known[k].n;
        const kf_node *f = kf_make(&g, known[k].op, args, &n);
        kf_source sources[] = {{&known[k].a, KCL_F64, 0, 8}, {&known[k].b, KCL_F64, 0, 8}, {&third, KCL_F64, 0, 8}};
        double got;
        evaluate(1, &f, sources, 1, 1, &got);
        ck_assert_msg(got == known[k].value || (isnan(got) && isnan(known[k].value)),
                      "%s(%g, %g, %d) = %.17g, not %.17g", kf_info(known[k].op)->name, known[k].a, known[k].b,
                      known[k].n, got, known[k].value);
    }
}
END_TEST

/* ---- The other nodes --------------------------------------------------------------------------------------------- */

START_TEST(copies_put_components_where_they_belong)
{
    enum { ROWS = 2, COLS = 131, D = 5 };
    kf_role role = (kf_role)(_i % 3), other = (kf_role)(_i / 3);
    const kf_node *v = variable(role, D, 150, -2, 2), *s = variable(role, 1, 150, -2, 2);
    const kf_node *w = variable(other, 3, 150, -2, 2);
    const kf_node *f[] = {
        kf_make(&g, KF_SUMT, &s, (int64_t[]){8}),
        kf_make(&g, KF_ELEMT, &s, (int64_t[]){8, 3}),
        kf_make(&g, KF_EXTRACTT, &v, (int64_t[]){2, 8}),
        kf_make(&g, KF_CONCAT, (const kf_node *[]){v, w}, NULL),
        kf_make(&g, KF_CONCAT, (const kf_node *[]){w, v}, NULL),
        kf_make(&g, KF_ELEMT, &s, (int64_t[]){8, 0}),
        kf_make(&g, KF_ELEMT, &s, (int64_t[]){8, 7}),
    };
    double *got = malloc(KB_COUNT(f) * ROWS * COLS * 8 * sizeof *got), *p = got;
    evaluate(KB_COUNT(f), f, vars.source, ROWS, COLS, got);
    for (size_t r = 0; r < KB_COUNT(f); r++)
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLS; j++)
                for (int k = 0; k < 8; k++) {
                    double want = r == 0   ? at(s, i, j, 0)
                                  : r == 1 ? (k == 3 ? at(s, i, j, 0) : 0)
                                  : r == 2 ? (k >= 2 && k < 7 ? at(v, i, j, k - 2) : 0)
                                  : r == 3 ? (k < D ? at(v, i, j, k) : at(w, i, j, k - D))
                                  : r == 4 ? (k < 3 ? at(w, i, j, k) : at(v, i, j, k - 3))
                                           : (k == (r == 5 ? 0 : 7) ? at(s, i, j, 0) : 0);
                    expect_close(kf_info(f[r]->op)->name, *p++, want, 0, i, j, k);
                }
    free(got);
    const kf_node *part = kf_make(&g, KF_EXTRACT, &v, (int64_t[]){1, 3});
    got = malloc(ROWS * COLS * 3 * sizeof *got);
    evaluate(1, &part, vars.source, ROWS, COLS, got);
    for (int n = 0; n < ROWS * COLS * 3; n++)
        expect_close("Extract", got[n], at(v, n / 3 / COLS, n / 3 % COLS, n % 3 + 1), 0, n / 3 / COLS, n / 3 % COLS,
                     n % 3);
    const kf_node *one = kf_make(&g, KF_ELEM, &v, (int64_t[]){4});
    evaluate(1, &one, vars.source, ROWS, COLS, got);
    for (int n = 0; n < ROWS * COLS; n++)
        expect_close("Elem", got[n], at(v, n / COLS, n % COLS, 4), 0, n / COLS, n % COLS, 0);
    free(got);
}
END_TEST

START_TEST(sums_of_components_are_compensated_and_keep_infinities)
{
    static const double rows[][4] = {{1e16, 1, -1e16, 1},
                                     {INFINITY, 1, 2, 3},
                                     {-INFINITY, 1, INFINITY, 1},
                                     {1, 2, NAN, 3},
                                     {1e-3, 1e17, 1e-3, -1e17}};
    static const double want[] = {2, INFINITY, NAN, NAN, 2e-3};
    kf_role role = (kf_role)_i;
    const kf_node *f = kf_unary(&g, KF_SUM, kf_var(&g, 0, 4, role));
    for (int k = 0; k < 5; k++) {
        double got[5];
        kf_source source = {rows[k], KCL_F64, 0, 8};
        evaluate(1, &f, &source, 1, 5, got);
        for (int c = 0; c < 5; c++)
            ck_assert_msg(got[c] == want[k] || (isnan(got[c]) && isnan(want[k])), "row %d: %.17g, not %g", k, got[c],
                          want[k]);
    }
}
END_TEST

START_TEST(constants_zeros_and_like_have_their_values)
{
    const kf_node *y = variable(KF_ROLE_J, 2, 10, -2, 2), *x = variable(KF_ROLE_I, 2, 10, -2, 2);
    const kf_node *f[] = {kf_like(&g, kf_zero(&g, 2), y), kf_like(&g, x, y),
                          kf_binary(&g, KF_ADD, kf_zero(&g, 2), kf_rat(&g, -1, 3)),
                          kf_binary(&g, KF_MULT, kf_like(&g, kf_num(&g, 0.1), y), kf_like(&g, x, y))};
    double got[4][3][7][2];
    evaluate(4, f, vars.source, 3, 7, &got[0][0][0][0]);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 7; j++)
            for (int k = 0; k < 2; k++) {
                ck_assert(got[0][i][j][k] == 0);
                ck_assert(got[1][i][j][k] == at(x, i, j, k));
                ck_assert(got[2][i][j][k] == -1.0 / 3);
                ck_assert(got[3][i][j][k] == 0.1 * at(x, i, j, k));
            }
}
END_TEST

START_TEST(results_of_reductions_are_read_per_row)
{
    const kf_node *x = variable(KF_ROLE_I, 2, 4, -2, 2), *s = variable(KF_ROLE_P, 1, 1, 1, 2);
    const kf_node *acc1 = kf_acc(&g, 1, 2, KF_REAL), *acc0 = kf_acc(&g, 0, 1, KF_REAL), *at1 = kf_acc(&g, 1, 2, KF_INT);
    const kf_node *f = kf_binary(&g, KF_ADD, kf_binary(&g, KF_DIVIDE, acc1, acc0), kf_binary(&g, KF_MULT, x, s));
    f = kf_binary(&g, KF_ADD, f, at1);
    kf_interp *interp = compiled(1, &f);
    kf_frame *frame = framed(interp);
    kf_frame_launch(frame, vars.source);
    for (int i = 0; i < 4; i++) {
        double a = 3 + i, b[] = {7.5 * i, -i}, numbers[] = {i, 7};
        kf_frame_row(frame, i, (const double *const[]){&a, NULL, b, numbers});
        for (int k = 0; k < 2; k++) {
            int stride;
            double got = *kf_frame_value(frame, 0, k, &stride);
            ck_assert_int_eq(stride, 0);
            ck_assert(got == b[k] / a + at(x, i, 0, k) * at(s, 0, 0, 0) + numbers[k]);
        }
    }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
}
END_TEST

START_TEST(reductions_are_refused_by_name)
{
    kf_interp *interp = (kf_interp *)&g;
    const kf_node *f = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_var(&g, 0, 3, KF_ROLE_J));
    f = kf_unary(&g, KF_EXP, f);
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(kf_interp_create(&interp, &g, 1, &f, &err), KCL_ERROR_INTERNAL);
    ck_assert_ptr_null(interp);
    ck_assert_ptr_nonnull(strstr(err.text, "Reduction"));
    ck_assert_ptr_nonnull(strstr(err.text, "3"));
}
END_TEST

/* ---- Memory of variables ----------------------------------------------------------------------------------------- */

START_TEST(variables_are_read_with_any_type_stride_and_alignment)
{
    enum { ROWS = 140, D = 3, BYTES = 64 * 1024 };
    static const int64_t row_strides[] = {24, 12, 40, 13, 0, -24, -40, -13}, steps[] = {8, 4, 12, 9, 0, -8, -9};
    kf_role role = (kf_role)(_i % 3);
    kcl_dtype dtype = _i / 3 ? KCL_F32 : KCL_F64;
    char *memory = malloc(BYTES);
    const kf_node *f = kf_var(&g, 0, D, role);
    double *got = malloc(ROWS * D * sizeof *got);
    for (size_t r = 0; r < KB_COUNT(row_strides); r++)
        for (size_t s = 0; s < KB_COUNT(steps); s++)
            for (int offset = 0; offset < 2; offset++) {
                kf_source source = {memory + BYTES / 2 + offset, dtype, row_strides[r], steps[s]};
                int64_t rows = role == KF_ROLE_I ? ROWS : 1, cols = role == KF_ROLE_J ? ROWS : 1;
                /* Small whole numbers; memory of elements that overlap has what was written last. */
                for (int pass = 0; pass < 2; pass++) {
                    if (pass)
                        evaluate(1, &f, &source, rows, cols, got);
                    for (int64_t i = 0; i < rows * cols; i++)
                        for (int64_t k = 0; k < D; k++) {
                            char *p = (char *)source.data + i * source.row_stride + k * source.component_stride;
                            float f32 = (float)(i * D + k);
                            double f64 = (double)(i * D + k);
                            if (!pass) {
                                memcpy(p, dtype == KCL_F32 ? (void *)&f32 : (void *)&f64, kb_dtype_size(dtype));
                                continue;
                            }
                            memcpy(&f32, p, sizeof f32);
                            memcpy(&f64, p, sizeof f64);
                            double want = dtype == KCL_F32 ? (double)f32 : f64, have = got[i * D + k];
                            ck_assert_msg(have == want || (isnan(have) && isnan(want)),
                                          "strides %d, %d: %g, not %g at row %d, component %d", (int)source.row_stride,
                                          (int)source.component_stride, have, want, (int)i, (int)k);
                        }
                }
            }
    free(got);
    free(memory);
}
END_TEST

START_TEST(blocks_of_any_size_give_the_same_values)
{
    static const int counts[] = {1, 2, 7, KF_BLOCK - 1, KF_BLOCK, KF_BLOCK + 1, 3 * KF_BLOCK, 383, 397};
    const kf_node *x = variable(KF_ROLE_I, 3, 3, -2, 2), *y = variable(KF_ROLE_J, 3, 400, -2, 2);
    const kf_node *f = kf_unary(&g, KF_SUM, kf_unary(&g, KF_SQUARE, kf_binary(&g, KF_SUB, x, y)));
    double got[3 * 400];
    for (size_t n = 0; n < KB_COUNT(counts); n++) {
        evaluate(1, &f, vars.source, 3, counts[n], got);
        for (int64_t i = 0; i < 3; i++)
            for (int64_t j = 0; j < counts[n]; j++) {
                long double want = 0;
                for (int k = 0; k < 3; k++)
                    want +=
                        ((long double)at(x, i, j, k) - at(y, i, j, k)) * ((long double)at(x, i, j, k) - at(y, i, j, k));
                expect_close("SqDist", got[i * counts[n] + j], want, 1e-15, i, j, 0);
            }
    }
}
END_TEST

START_TEST(kept_columns_follow_the_block_the_launch_and_the_data)
{
    const kf_node *x = variable(KF_ROLE_I, 1, 4, 1, 2), *y = variable(KF_ROLE_J, 1, 300, 1, 2);
    const kf_node *p = variable(KF_ROLE_P, 1, 1, 1, 2);
    const kf_node *f = kf_binary(&g, KF_ADD, kf_binary(&g, KF_MULT, y, p), x), *roots[] = {f, y};
    static const int steps[][3] = {
        {0, 0, 100}, {1, 0, 100}, {1, 0, 50},  {2, 7, 50},
        {2, 7, 50},  {3, 0, 128}, {0, 0, 128}, {0, 0, 100}}; /* the last as the first: only the launch is new */
    kf_interp *interp = compiled(2, roots);
    kf_frame *frame = framed(interp);
    for (int pass = 0; pass < 2; pass++) {
        kf_frame_launch(frame, vars.source);
        for (size_t s = 0; s < KB_COUNT(steps); s++) {
            int i = steps[s][0], j = steps[s][1], stride;
            kf_frame_row(frame, i, NULL);
            kf_frame_block(frame, j, steps[s][2]);
            const double *value = kf_frame_value(frame, 0, 0, &stride);
            ck_assert_int_eq(stride, 1);
            for (int c = 0; c < steps[s][2]; c++) {
                ck_assert(value[c] == at(y, 0, j + c, 0) * at(p, 0, 0, 0) + at(x, i, 0, 0));
                ck_assert(kf_frame_value(frame, 1, 0, &stride)[c] == at(y, 0, j + c, 0));
            }
        }
        for (int n = 0; n < 300; n++) /* the next launch sees new data at the same block */
            vars.data[1][n] += 1;
        vars.data[2][0] += 1;
    }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
}
END_TEST

/* ---- Large and tangled formulas ---------------------------------------------------------------------------------- */

/* The simplest evaluator: every node of the graph, in the order of construction, at one pair. */
static void evaluate_all(int64_t i, int64_t j, double **values)
{
    for (size_t n = 0; n < g.count; n++) {
        const kf_node *f = g.nodes[n], *a = f->arg[0], *b = f->arg[1];
        long double sum = 0;
        for (int64_t k = 0; k < f->dim; k++) {
            int64_t component, run;
            int stride, source;
            switch (kf_info(f->op)->op_class) {
            case KF_CLASS_MAP:
                values[n][k] = (double)table_value(f->op, values[a->id][a->dim == 1 ? 0 : k],
                                                   b ? values[b->id][b->dim == 1 ? 0 : k] : 0, 0, f->param[0]);
                break;
            case KF_CLASS_COPY:
                source = kf_copy_source(f, k, &component, &run, &stride);
                values[n][k] = source < 0 ? 0 : values[f->arg[source]->id][component];
                break;
            case KF_CLASS_SUM:
                sum = 0;
                for (int64_t m = 0; m < a->dim / f->dim; m++)
                    sum += values[a->id][k * (a->dim / f->dim) + m];
                values[n][k] = (double)sum;
                break;
            case KF_CLASS_AXIS:
                values[n][k] = values[a->id][k];
                break;
            default:
                values[n][k] = f->op == KF_VAR ? at(f, i, j, k) : f->value;
            }
        }
    }
}

START_TEST(random_graphs_agree_with_the_simplest_evaluator)
{
    enum { NODES = 300, ROOTS = 12, ROWS = 3, COLS = 150, MOST_DIM = 40 };
    seed = (uint64_t)_i + 77;
    const kf_node *pool[NODES + 8];
    int count = 0;
    for (int role = 0; role < 3; role++) {
        pool[count++] = variable((kf_role)role, 1, COLS, -2, 2);
        pool[count++] = variable((kf_role)role, 3, COLS, -2, 2);
    }
    pool[count++] = kf_rat(&g, 2, 3);
    pool[count++] = kf_zero(&g, 2);
    while (count < NODES) {
        const kf_node *args[] = {pool[(int)draw(0, count)], pool[(int)draw(KB_MAX(count - 20, 0), count)]}, *f = NULL;
        int64_t dim = args[0]->dim, start = (int64_t)draw(0, (double)dim);
        switch ((int)draw(0, 13)) {
        case 10:
            f = kf_make(&g, KF_ARRANGE, args, (int64_t[]){2, dim - 1, 2, 0, dim, -1});
            break;
        case 11:
            f = kf_make(&g, KF_PLACE, args, (int64_t[]){1, 1, dim, 2, 2 * dim + 1});
            break;
        case 12:
            f = kf_make(&g, KF_SUMROWS, args, &(int64_t){dim % 2 ? dim : 2});
            f = kf_unary(&g, KF_SIN, f);
            break;
        case 0:
            f = kf_make(&g, KF_CONCAT, args, NULL);
            break;
        case 1:
            f = kf_make(&g, KF_EXTRACT, args, (int64_t[]){start, (int64_t)draw(1, (double)(dim - start + 1))});
            break;
        case 2:
            f = kf_make(&g, KF_EXTRACTT, args, (int64_t[]){start, dim + start + 2});
            break;
        case 3:
            f = kf_unary(&g, KF_SIN, kf_unary(&g, KF_SUM, args[0]));
            break;
        case 4:
            f = kf_like(&g, args[0], args[1]);
            break;
        case 5:
            f = kf_unary(&g, KF_COS, args[1]);
            break;
        default:
            if (dim == args[1]->dim || dim == 1 || args[1]->dim == 1)
                f = kf_unary(&g, KF_SIN, kf_binary(&g, (int)draw(0, 2) ? KF_SUB : KF_MULT, args[0], args[1]));
        }
        if (f && f->dim <= MOST_DIM)
            pool[count++] = f;
    }
    const kf_node *roots[ROOTS + 1];
    for (int k = 0; k < ROOTS; k++)
        roots[k] = pool[(int)draw(0, count)];
    roots[ROOTS] = roots[0]; /* a root may occur twice */
    double **values = malloc(g.count * sizeof *values);
    for (size_t n = 0; n < g.count; n++)
        values[n] = malloc((size_t)g.nodes[n]->dim * sizeof **values);
    kf_interp *interp = compiled(ROOTS + 1, roots);
    kf_frame *frame = framed(interp);
    kf_frame_launch(frame, vars.source);
    for (int64_t j = 0; j < COLS; j += kf_frame_columns(frame))
        for (int64_t i = 0; i < ROWS; i++) {
            int n = (int)KB_MIN(kf_frame_columns(frame), COLS - j), stride;
            kf_frame_row(frame, i, NULL);
            kf_frame_block(frame, j, n);
            for (int c = 0; c < n; c += 13) {
                evaluate_all(i, j + c, values);
                for (int r = 0; r <= ROOTS; r++)
                    for (int64_t k = 0; k < roots[r]->dim; k++) {
                        double got = kf_frame_value(frame, (size_t)r, k, &stride)[c * stride];
                        double want = values[roots[r]->id][k];
                        ck_assert_msg(fabs(got - want) <= 1e-9,
                                      "seed %d, root %d (%s): %.17g, not %.17g at (%d, %d)[%d]", _i, r,
                                      kf_info(roots[r]->op)->name, got, want, (int)i, (int)j + c, (int)k);
                    }
            }
        }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
    for (size_t n = 0; n < g.count; n++)
        free(values[n]);
    free(values);
}
END_TEST

START_TEST(large_formulas_need_little_memory)
{
    enum { DIM = 1000, NODES = 10000 };
    failing counter = {.fail_at = 0};
    kcl_allocator allocator = failing_allocator(&counter);
    kf_graph big;
    kf_graph_init(&big, &allocator);
    const kf_node *y = kf_var(&big, 0, DIM, KF_ROLE_J), *f = y;
    for (int k = 0; k < NODES; k++)
        f = kf_unary(&big, KF_SIN, kf_binary(&big, KF_ADD, f, k % 7 ? f : y));
    ck_assert_ptr_nonnull(f);
    kf_interp *interp = NULL;
    kf_frame *frame = NULL;
    ck_assert_int_eq(kf_interp_create(&interp, &big, 1, &f, &err), KCL_OK);
    atomic_store(&counter.largest, 0);
    ck_assert_int_eq(kf_frame_create(&frame, interp, &err), KCL_OK);
    ck_assert_int_ge(kf_frame_columns(frame), 8);
    ck_assert_int_le(kf_frame_columns(frame), KF_BLOCK);
    ck_assert_int_le(atomic_load(&counter.largest), 1 << 20);
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
    kf_graph_finish(&big);
    ck_assert_int_eq(atomic_load(&counter.blocks), 0);
}
END_TEST

START_TEST(small_formulas_use_whole_blocks)
{
    const kf_node *f = kf_unary(&g, KF_EXP, kf_var(&g, 0, 3, KF_ROLE_J));
    kf_interp *interp = compiled(1, &f);
    kf_frame *frame = framed(interp);
    ck_assert_int_eq(kf_frame_columns(frame), KF_BLOCK);
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
}
END_TEST

START_TEST(every_failing_allocation_is_reported_and_nothing_leaks)
{
    bool done = false;
    failing counter = {.fail_at = 0};
    kcl_allocator allocator = failing_allocator(&counter);
    kf_graph small;
    kf_graph_init(&small, &allocator);
    const kf_node *x = kf_var(&small, 0, 3, KF_ROLE_I), *y = kf_var(&small, 1, 3, KF_ROLE_J);
    const kf_node *f = kf_make(&small, KF_CONCAT, (const kf_node *[]){x, kf_binary(&small, KF_SUB, x, y)}, NULL);
    ck_assert_ptr_nonnull(f);
    long long before = atomic_load(&counter.blocks);
    for (int n = 1; !done; n++) {
        ck_assert_int_lt(n, 100);
        kf_interp *interp = NULL;
        kf_frame *frame = NULL;
        atomic_store(&counter.requests, 0);
        counter.fail_at = n;
        kcl_status status = kf_interp_create(&interp, &small, 1, &f, &err);
        if (status == KCL_OK)
            status = kf_frame_create(&frame, interp, &err);
        ck_assert_int_eq(frame != NULL, status == KCL_OK);
        done = status == KCL_OK;
        ck_assert(done || status == KCL_ERROR_NO_MEMORY);
        ck_assert(!done || n > 8); /* the failures before were real */
        counter.fail_at = 0;
        kf_frame_destroy(&frame);
        kf_interp_destroy(&interp);
        ck_assert_int_eq(atomic_load(&counter.blocks), before);
    }
    kf_graph_finish(&small);
    ck_assert_int_eq(atomic_load(&counter.blocks), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interp");
    TCase *tests = tcase_create("interp");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, elementwise_operators_agree_with_long_double_on_every_axis_and_broadcast, 0,
                        KF_OP_COUNT);
    tcase_add_test(tests, elementwise_operators_have_their_mathematical_values);
    tcase_add_loop_test(tests, copies_put_components_where_they_belong, 0, 9);
    tcase_add_loop_test(tests, sums_of_components_are_compensated_and_keep_infinities, 0, 3);
    tcase_add_test(tests, constants_zeros_and_like_have_their_values);
    tcase_add_test(tests, results_of_reductions_are_read_per_row);
    tcase_add_test(tests, reductions_are_refused_by_name);
    tcase_add_loop_test(tests, variables_are_read_with_any_type_stride_and_alignment, 0, 6);
    tcase_add_test(tests, blocks_of_any_size_give_the_same_values);
    tcase_add_test(tests, kept_columns_follow_the_block_the_launch_and_the_data);
    tcase_add_loop_test(tests, random_graphs_agree_with_the_simplest_evaluator, 0, 40);
    tcase_add_test(tests, large_formulas_need_little_memory);
    tcase_add_test(tests, small_formulas_use_whole_blocks);
    tcase_add_test(tests, every_failing_allocation_is_reported_and_nothing_leaks);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
