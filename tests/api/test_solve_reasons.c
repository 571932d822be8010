/* SPDX-License-Identifier: MIT */
/*
 * Linear systems that are not solved, and why: matrices that are not what they should be, limits, arguments that are
 * refused, calls that are cancelled, memory that runs out. By the interpreter and, with the argument "device", on a device.
 */
#include "systems.h"

#include <pthread.h>
#include <time.h>

enum { SIZE = 40 };

static double *points, *side, g = 5;
static kcl_array *x_array, *b_array, *a_array;

/* The arrays of a test, of `type`. */
static void make_arrays(kcl_dtype of)
{
    type = of;
    points = random_numbers(SIZE * 3, 0, 1);
    side = random_numbers(SIZE, -1, 1);
    x_array = GIVEN(points, SIZE, 3);
    b_array = GIVEN(side, SIZE, 1);
    a_array = WANTED(KCL_F64, SIZE, 1);
}

/* ---- Matrices ----------------------------------------------------------------------------------------------------- */

/* The reason for a formula of x, y, b and g; the call fails with a sentence that tells it. */
static kcl_solve_result reason_of(const char *formula, const kcl_solve_params *params, kcl_solve_reason reason)
{
    kcl_solve_result r;
    const kcl_status status = solve(operator_of(formula, 3, 1), a_array, x_array, b_array, g, params, &r, 1);
    ended(r, reason);
    ck_assert_int_eq(status, KCL_ERROR_NOT_SOLVED);
    CONTAINS(kcl_context_error(c), kcl_solve_reason_name(reason), kcl_solve_reason_text(reason));
    return r;
}

/* The residual is the one of the solution that is given, whatever the reason is. */
static void tells_residual(kcl_solve_result r, const double *matrix)
{
    honest(r, dense_residual(matrix, 0, NULL, SIZE, 1, 0, side, numbers_of(a_array)), 1e-12 * r.norm);
    ck_assert_double_le(r.residual, r.norm * (1 + 1e-12)); /* a = 0 is no better */
}

/* -K has negative curvature alone, |x-y| curvatures of both signs, exp(-(x-2y)^2) is not symmetric. */
START_TEST(three_matrices_and_three_reasons)
{
    make_arrays(_i % 2 ? KCL_F32 : KCL_F64);
    const kcl_solve_params checked = {.checks_symmetry = _i / 2}, always = {.checks_symmetry = 1};
    double *matrix = gauss_matrix(points, SIZE, 3, g), *distances = zeros(SIZE * SIZE);
    for (int k = 0; k < SIZE * SIZE; k++) {
        distances[k] = sqrt(-log(matrix[k]) / g);
        matrix[k] = -matrix[k];
    }
    tells_residual(reason_of("Sum_Reduction(-Exp(-g*SqDist(x,y))*b,0)", &checked, KCL_SOLVE_NOT_POSITIVE_DEFINITE),
                   matrix);
    tells_residual(reason_of("Sum_Reduction(Norm2(x-y)*b,0)", &checked, KCL_SOLVE_INDEFINITE), distances);
    const kcl_solve_result r = reason_of("Sum_Reduction(Exp(-SqDist(x,2*y))*b,0)", &always, KCL_SOLVE_NOT_SYMMETRIC);
    ck_assert_double_le(fabs(r.norm - column_norm(side, SIZE, 1, 0)), 1e-12 * r.norm);
    ck_assert_double_eq(r.residual, r.norm);
    ck_assert_double_eq(column_norm(numbers_of(a_array), SIZE, 1, 0), 0);
}
END_TEST

/* Corrections of a nearly singular matrix are enormous; what is told is the residual of the solution that is left. */
START_TEST(nearly_singular_matrices_have_true_residuals)
{
    make_arrays(_i % 2 ? KCL_F32 : KCL_F64);
    const double alpha = _i < 2 ? 1e-25 : 1e-18;
    double *matrix = zeros(SIZE * SIZE);
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++)
            for (int k = 0; k < 3; k++)
                matrix[i * SIZE + j] += points[3 * i + k] * points[3 * j + k];
    kcl_solve_result r;
    const kcl_solve_params params = {.alpha = alpha, .preconditioner = KCL_PRECONDITIONER_NONE};
    const kcl_status status =
        solve(operator_of("Sum_Reduction((x|y)*b,0)", 3, 1), a_array, x_array, b_array, g, &params, &r, 1);
    ck_assert_int_eq(status, KCL_ERROR_NOT_SOLVED);
    const double is = dense_residual(matrix, alpha, NULL, SIZE, 1, 0, side, numbers_of(a_array));
    ck_assert_msg(r.residual <= r.norm * (1 + 1e-6) && fabs(r.residual - is) <= 1e-6 * r.norm,
                  "the residual is %g, told was %g, |b| is %g", is, r.residual, r.norm);
}
END_TEST

/* The check finds nothing at symmetric matrices, in float32 neither, and little that is not symmetric. */
START_TEST(symmetry_is_checked_up_to_rounding)
{
    make_arrays(_i ? KCL_F32 : KCL_F64);
    kcl_solve_result r;
    const kcl_solve_params checked = {.alpha = 0.1, .checks_symmetry = 1}, unchecked = {.alpha = 0.1};
    ok(solve(operator_of(GAUSS, 3, 1), a_array, x_array, b_array, g, &checked, &r, 1));
    ended(r, KCL_SOLVE_CONVERGED);
    const double *want = dense_solution(gauss_matrix(points, SIZE, 3, g), 0.1, NULL, SIZE, 1, side);
    const double *a = numbers_of(a_array);
    for (int i = 0; i < SIZE; i++)
        ck_assert_double_le(fabs(a[i] - want[i]), 10 * r.residual + 1e-10);
    const char *const little = "Sum_Reduction(Exp(-g*SqDist(x,y))*(1+Elem(y,0)/20)*b,0)";
    reason_of(little, &checked, KCL_SOLVE_NOT_SYMMETRIC);
    (void)solve(operator_of(little, 3, 1), a_array, x_array, b_array, g, &unchecked, &r, 1);
    ck_assert_int_ne(r.reason, KCL_SOLVE_NOT_SYMMETRIC);
}
END_TEST

/* NaN in points, b, the noise, the start; an infinity; a kernel that is infinite on the diagonal. */
START_TEST(what_is_not_finite_is_told)
{
    make_arrays(_i % 2 ? KCL_F32 : KCL_F64);
    const double value = _i % 4 < 2 ? NAN : INFINITY;
    double *noise = random_numbers(SIZE, 0.1, 1), *start = random_numbers(SIZE, -1, 1);
    kcl_solve_params params = {.alpha = 0.1};
    const char *formula = GAUSS;
    switch (_i / 4) {
    case 0:
        points[3 * 7 + 1] = value;
        x_array = GIVEN(points, SIZE, 3);
        formula = "Sum_Reduction((1+(x|y))*b,0)";
        break;
    case 1:
        side[5] = value;
        b_array = GIVEN(side, SIZE, 1);
        break;
    case 2:
        noise[5] = value;
        params.noise = GIVEN(noise, SIZE);
        break;
    case 3:
        start[5] = value;
        params.start = GIVEN(start, SIZE, 1);
        break;
    default:
        formula = "Sum_Reduction(Inv(SqDist(x,y))*b,0)";
    }
    const kcl_solve_result r = reason_of(formula, &params, KCL_SOLVE_NOT_FINITE);
    ck_assert_int_le((int)r.iterations, 10);
}
END_TEST

/* float32 numbers that overflow in the product, and not in float64. */
START_TEST(float32_that_overflows_is_solved_in_float64)
{
    make_arrays(KCL_F32);
    kcl_solve_result r;
    const char *const formula = "Sum_Reduction(Square(1e25*Exp(-g*SqDist(x,y)/2))*b,0)";
    ok(solve(operator_of(formula, 3, 1), a_array, x_array, b_array, g,
             &(kcl_solve_params){.alpha = 1e48, .tolerance = 1e-6}, &r, 1));
    ended(r, KCL_SOLVE_CONVERGED);
}
END_TEST

/* ---- Ends --------------------------------------------------------------------------------------------------------- */

/* The limit counts products; the solution is the best so far. */
START_TEST(the_limit_ends)
{
    make_arrays(_i ? KCL_F32 : KCL_F64);
    const double *matrix = gauss_matrix(points, SIZE, 3, g);
    kcl_solve_params params = {.alpha = 0, .tolerance = 1e-9};
    for (int limit = 1; limit < 8; limit += 3) {
        params.max_iterations = limit;
        const kcl_solve_result r = reason_of(GAUSS, &params, KCL_SOLVE_LIMIT);
        ck_assert_int_eq((int)r.iterations, limit);
        honest(r, dense_residual(matrix, 0, NULL, SIZE, 1, 0, side, numbers_of(a_array)), 1e-12 * r.norm);
        ck_assert_double_le(r.residual, r.norm * (1 + 1e-12));
    }
}
END_TEST

/* b = 0, and a start that is not: the solution is 0, and no product is needed. */
START_TEST(zero_is_solved_by_zero)
{
    make_arrays(_i ? KCL_F32 : KCL_F64);
    double *none = zeros(SIZE), *start = random_numbers(SIZE, -1, 1);
    for (int with = 0; with < 2; with++) {
        kcl_solve_result r = {.iterations = -1};
        const kcl_solve_params params = {.alpha = 0.1, .start = with ? GIVEN(start, SIZE, 1) : NULL};
        a_array = GIVEN(start, SIZE, 1); /* of other numbers */
        ok(solve(operator_of(GAUSS, 3, 1), a_array, x_array, GIVEN(none, SIZE, 1), g, &params, &r, 1));
        ended(r, KCL_SOLVE_CONVERGED);
        ck_assert(r.iterations == 0 && r.norm == 0 && r.residual == 0);
        ck_assert_double_eq(column_norm(numbers_of(a_array), SIZE, 1, 0), 0);
    }
}
END_TEST

/* A tolerance below what float64 has, and float32 that may not become float64. */
START_TEST(what_no_arithmetic_has_is_not_reached)
{
    make_arrays(_i ? KCL_F32 : KCL_F64);
    const kcl_solve_params params = {
        .alpha = _i ? 1e-7 : 0.1, .tolerance = _i ? 1e-10 : 1e-30, .keeps_precision = _i, .max_iterations = 20000};
    g = 0.5;
    const kcl_solve_result r = reason_of(GAUSS, &params, KCL_SOLVE_NOT_REACHED);
    const double *a = numbers_of(a_array), *matrix = gauss_matrix(points, SIZE, 3, g);
    honest(r, dense_residual(matrix, params.alpha, NULL, SIZE, 1, 0, side, a), 1e-12 * r.norm);
    ck_assert_double_le(r.residual, r.norm);
    if (!_i)
        ck_assert_double_le(r.residual, 1e-13 * r.norm);
    g = 5;
}
END_TEST

/* One system of many: the sentence names the first, and the others are solved. */
START_TEST(the_first_system_that_fails_is_named)
{
    make_arrays(KCL_F64);
    double *sides = random_numbers(SIZE * 3, -1, 1);
    sides[3 * 4 + 1] = NAN;
    kcl_solve_result r[3];
    kcl_array *a = WANTED(KCL_F64, SIZE, 3);
    ck_assert_int_eq(
        solve(operator_of(GAUSS, 3, 3), a, x_array, GIVEN(sides, SIZE, 3), g, &(kcl_solve_params){.alpha = 0.1}, r, 3),
        KCL_ERROR_NOT_SOLVED);
    CONTAINS(kcl_context_error(c), "system 1 of 3", "KCL_SOLVE_NOT_FINITE");
    ended(r[0], KCL_SOLVE_CONVERGED);
    ended(r[1], KCL_SOLVE_NOT_FINITE);
    ended(r[2], KCL_SOLVE_CONVERGED);
    const double *matrix = gauss_matrix(points, SIZE, 3, g), *is = numbers_of(a);
    for (int k = 0; k < 3; k += 2)
        ck_assert_double_le(dense_residual(matrix, 0.1, NULL, SIZE, 3, k, sides, is), 1.01e-6 * r[k].norm);
}
END_TEST

START_TEST(reasons_have_names_and_texts)
{
    for (int k = KCL_SOLVE_CONVERGED; k <= KCL_SOLVE_NOT_FINITE; k++) {
        ck_assert_ptr_eq(strstr(kcl_solve_reason_name((kcl_solve_reason)k), "KCL_SOLVE_"),
                         kcl_solve_reason_name((kcl_solve_reason)k));
        ck_assert_int_gt((int)strlen(kcl_solve_reason_text((kcl_solve_reason)k)), 10);
        for (int other = 0; other < k; other++)
            ck_assert_str_ne(kcl_solve_reason_name((kcl_solve_reason)k),
                             kcl_solve_reason_name((kcl_solve_reason)other));
    }
    ck_assert_ptr_nonnull(kcl_solve_reason_name((kcl_solve_reason)77));
    ck_assert_ptr_nonnull(kcl_solve_reason_text((kcl_solve_reason)77));
}
END_TEST

/* ---- Arguments ---------------------------------------------------------------------------------------------------- */

/* A call that is refused with this status and a sentence with these parts; the solution stays as it was. */
typedef struct wrong_call {
    const kcl_operator *op;
    const char *unknown;
    const kcl_array *a, *x, *y, *b;
    int arg_count;
    const kcl_solve_params *params;
    int64_t results;
} wrong_call;

static void check_refusal(wrong_call w, kcl_status status, const char *const *parts)
{
    kcl_solve_result r[8];
    const kcl_array *const args[] = {w.x, w.y, w.b, kcl_f64(&g, 1)};
    const kcl_status is = kcl_operator_solve(w.op, c, w.unknown, w.a, args, w.arg_count, w.params,
                                             w.results < 0 ? NULL : r, w.results < 0 ? -1 - w.results : w.results);
    ck_assert_msg(is == status, "%s: %s", kcl_status_name(is), kcl_context_error(c));
    contains(kcl_context_error(c), parts);
    for (int i = 0; i < SIZE; i++)
        ck_assert_double_eq(numbers_of(a_array)[i], 7);
}
#define REFUSES(status, change, ...)                                                                                   \
    do {                                                                                                               \
        wrong_call w = usual;                                                                                          \
        change;                                                                                                        \
        check_refusal(w, status, (const char *const[]){__VA_ARGS__, NULL});                                            \
    } while (0)

static wrong_call usual;

static void begin_refusals(void)
{
    double *sevens = zeros(SIZE);
    make_arrays(KCL_F64);
    for (int i = 0; i < SIZE; i++)
        sevens[i] = 7;
    a_array = GIVEN(sevens, SIZE, 1);
    usual = (wrong_call){operator_of(GAUSS, 3, 1), "b", a_array, x_array, x_array, b_array, 4, NULL, 1};
}

START_TEST(numbers_out_of_range_are_refused)
{
    begin_refusals();
    const double wrong[] = {-1, NAN, INFINITY, -INFINITY, -1e-300};
    const char *const texts[] = {"-1", "nan", "inf", "-inf", "-1e-300"};
    for (size_t k = 0; k < KB_COUNT(wrong); k++) {
        REFUSES(KCL_ERROR_ARGUMENT, w.params = (&(kcl_solve_params){.alpha = wrong[k]}), "alpha", texts[k]);
        REFUSES(KCL_ERROR_ARGUMENT, w.params = (&(kcl_solve_params){.tolerance = wrong[k]}), "tolerance", texts[k]);
        REFUSES(KCL_ERROR_ARGUMENT, w.params = (&(kcl_solve_params){.absolute = wrong[k]}), "absolute", texts[k]);
    }
    REFUSES(KCL_ERROR_ARGUMENT, w.params = (&(kcl_solve_params){.max_iterations = -3}), "max_iterations", "-3");
}
END_TEST

/* The argument, the axis and both sizes. */
START_TEST(sizes_that_disagree_are_refused)
{
    begin_refusals();
    double *more = zeros(2 * (SIZE + 1) * 3);
    kcl_array *longer = GIVEN(more, SIZE + 1, 1), *wider = GIVEN(more, SIZE, 2), *batch = GIVEN(more, 2, SIZE, 1);
    REFUSES(KCL_ERROR_LENGTH, w.b = longer, "b", "40", "41");
    REFUSES(KCL_ERROR_SHAPE, w.b = wider, "b", "2");
    REFUSES(KCL_ERROR_SHAPE, w.x = GIVEN(more, SIZE, 2), "x", "3", "2");
    /* As many columns as unknowns, but other rows. */
    REFUSES(KCL_ERROR_LENGTH, w.x = GIVEN(more, SIZE + 1, 3); w.a = longer, "41 rows", "b", "40", "square");
    REFUSES(KCL_ERROR_SHAPE, w.a = longer, "solution", "40", "41");
    REFUSES(KCL_ERROR_SHAPE, w.a = wider, "solution", "(40, 2)", "(40, 1)");
    REFUSES(KCL_ERROR_SHAPE, w.a = batch, "solution", "(2, 40, 1)", "(40, 1)");
    REFUSES(KCL_ERROR_SHAPE, w.b = batch, "solution", "(2, 40, 1)", "(40, 1)");
    /* The noise: its length, its batch axes. */
    REFUSES(KCL_ERROR_SHAPE, w.params = (&(kcl_solve_params){.noise = GIVEN(more, SIZE + 1)}), "noise", "41", "40");
    REFUSES(KCL_ERROR_SHAPE, w.params = (&(kcl_solve_params){.noise = GIVEN(more, 2, SIZE)}), "noise", "2");
    /* The start: rows, components, batch axes. */
    REFUSES(KCL_ERROR_SHAPE, w.params = (&(kcl_solve_params){.start = GIVEN(more, SIZE - 1, 1)}), "start", "39", "40");
    REFUSES(KCL_ERROR_SHAPE, w.params = (&(kcl_solve_params){.start = longer}), "start", "41", "40");
    REFUSES(KCL_ERROR_SHAPE, w.params = (&(kcl_solve_params){.start = wider}), "start", "(40, 2)", "(40, 1)");
    REFUSES(KCL_ERROR_SHAPE, w.params = (&(kcl_solve_params){.start = batch}), "start", "(2, 40, 1)", "(40, 1)");
    /* Results. */
    REFUSES(KCL_ERROR_LENGTH, w.results = 2, "1 systems", "2 results");
    REFUSES(KCL_ERROR_LENGTH, w.results = 0, "1 systems", "0 results");
    REFUSES(KCL_ERROR_LENGTH, w.results = -2, "1 systems", "1 results"); /* NULL, 1 */
}
END_TEST

START_TEST(types_that_disagree_are_refused)
{
    begin_refusals();
    int64_t whole[SIZE] = {0};
    float single[SIZE] = {0};
    const kcl_array *integers = kcl_i64(whole, SIZE, 1), *singles = kcl_f32(single, SIZE, 1);
    REFUSES(KCL_ERROR_TYPE, w.a = integers, "solution", "int64", "float64");
    REFUSES(KCL_ERROR_TYPE, w.a = singles, "solution", "float32", "float64");
    REFUSES(KCL_ERROR_TYPE, w.b = singles, "float32", "float64");
    REFUSES(KCL_ERROR_TYPE, w.b = integers, "b", "int64");
    REFUSES(KCL_ERROR_TYPE, w.params = (&(kcl_solve_params){.noise = kcl_i64(whole, SIZE)}), "noise", "int64");
    REFUSES(KCL_ERROR_TYPE, w.params = (&(kcl_solve_params){.start = integers}), "start", "int64");
}
END_TEST

/* Formulas that are no matrix times the unknown. */
START_TEST(formulas_that_are_no_systems_are_refused)
{
    begin_refusals();
    static const char *const not_linear[] = {
        "Sum_Reduction(Exp(-g*SqDist(x,y))*b*b,0)", "Sum_Reduction(Exp(-g*SqDist(x,y))*b+1,0)",
        "Sum_Reduction(Exp(-g*SqDist(x,y)*b),0)",   "Max_Reduction(Exp(-g*SqDist(x,y))*b,0)",
        "LogSumExp_Reduction(SqDist(x,y)*b,0)",
    };
    for (size_t k = 0; k < KB_COUNT(not_linear); k++)
        REFUSES(KCL_ERROR_ARGUMENT, w.op = operator_of(not_linear[k], 3, 1), "not linear", "\"b\"");
    REFUSES(KCL_ERROR_ARGUMENT, w.unknown = "x", "x", "each j");
    REFUSES(KCL_ERROR_ARGUMENT, w.unknown = "g", "g", "each j");
    REFUSES(KCL_ERROR_ARGUMENT, w.unknown = "y", "y", "dimension 1", "3"); /* the formula has one component */
    REFUSES(KCL_ERROR_ARGUMENT, w.unknown = "z", "z", "no argument");
    REFUSES(KCL_ERROR_ARGUMENT, w.unknown = "4", "4", "no argument");
    REFUSES(KCL_ERROR_ARGUMENT, w.unknown = "", "no argument");
    REFUSES(KCL_ERROR_ARGUMENT, w.unknown = NULL, "no argument", "NULL");
    static const char *const no_output[] = {
        "Sum_Reduction(Exp(-g*SqDist(x,y))*b,1)",
        "Sum_Reduction(Exp(-g*SqDist(x,y))*b,2)",
        "ArgMin_Reduction(SqDist(x,y)*b,0)",
        "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0); Sum_Reduction(b*g*Elem(x,0),0)",
    };
    for (size_t k = 0; k < KB_COUNT(no_output); k++)
        REFUSES(KCL_ERROR_ARGUMENT, w.op = operator_of(no_output[k], 3, 1), "one output");
    /* Two components of one. */
    REFUSES(KCL_ERROR_ARGUMENT, w.op = operator_of("Sum_Reduction(Exp(-g*SqDist(x,y))*Concat(b,b),0)", 3, 1),
            "dimension 2", "1");
}
END_TEST

START_TEST(what_is_missing_is_told)
{
    begin_refusals();
    REFUSES(KCL_ERROR_ARGUMENT, w.op = NULL, "operator is NULL");
    REFUSES(KCL_ERROR_ARGUMENT, w.a = NULL, "no array for the solution");
    REFUSES(KCL_ERROR_ARGUMENT, w.arg_count = 3, "4", "3");
    REFUSES(KCL_ERROR_ARGUMENT, w.arg_count = 5, "4", "5");
    REFUSES(KCL_ERROR_ARGUMENT, w.arg_count = -1, "4");
    REFUSES(KCL_ERROR_ARGUMENT, w.b = NULL, "b");
    REFUSES(KCL_ERROR_ARGUMENT, w.x = NULL, "x");
    ck_assert_int_eq(kcl_operator_solve(usual.op, c, "b", a_array, NULL, 4, NULL, NULL, 0), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_operator_solve(usual.op, NULL, "b", a_array, NULL, 4, NULL, NULL, 0), KCL_ERROR_ARGUMENT);
    /* Arrays without data, or that are no arrays. */
    const kcl_array none = kcl_array_of(NULL, KCL_F64, 2, (const int64_t[]){SIZE, 1}),
                    no_noise = kcl_array_of(NULL, KCL_F64, 1, (const int64_t[]){SIZE}), bad = {.ndim = -1},
                    untyped = kcl_array_of(side, KCL_DTYPE_NONE, 2, (const int64_t[]){SIZE, 1});
    const kcl_array *const arrays[] = {&none, &bad, &untyped};
    for (size_t k = 0; k < KB_COUNT(arrays); k++) {
        kcl_solve_result r;
        const kcl_solve_params with_noise = {.alpha = 1, .noise = k ? arrays[k] : &no_noise},
                               with_start = {.alpha = 1, .start = arrays[k]};
        for (int of = 0; of < 2; of++) { /* what float32 copies */
            make_arrays(of ? KCL_F32 : KCL_F64);
            ck_assert_int_lt(solve(usual.op, arrays[k], x_array, b_array, g, NULL, &r, 1), 0);
            ck_assert_int_lt(solve(usual.op, a_array, x_array, arrays[k], g, NULL, &r, 1), 0);
            ck_assert_int_lt(solve(usual.op, a_array, arrays[k], b_array, g, NULL, &r, 1), 0);
            ck_assert_int_lt(solve(usual.op, a_array, x_array, b_array, g, &with_noise, &r, 1), 0);
            CONTAINS(kcl_context_error(c), "noise");
            ck_assert_int_lt(solve(usual.op, a_array, x_array, b_array, g, &with_start, &r, 1), 0);
            CONTAINS(kcl_context_error(c), "start");
        }
    }
    /* A solution whose rows are one place. */
    kcl_array one_place = *a_array;
    one_place.stride[0] = 0;
    ck_assert_int_eq(solve(usual.op, &one_place, x_array, b_array, g, NULL, NULL, 0), KCL_ERROR_ARGUMENT);
    /* An operator that could not be made. */
    kcl_operator *broken;
    kcl_operator_create(&broken, "Sum_Reduction(", 0, NULL, NULL);
    ck_assert_int_eq(kcl_operator_solve(broken, c, "b", a_array, NULL, 0, NULL, NULL, 0), KCL_ERROR_SYNTAX);
    kcl_operator_destroy(&broken);
}
END_TEST

/* ---- Cancelled ---------------------------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double cancel_time;

static void *cancel_then(void *unused)
{
    const struct timespec pause = {0, 1000000};
    while (seconds() < cancel_time)
        nanosleep(&pause, NULL);
    kcl_context_cancel(c);
    return unused;
}

typedef struct told {
    int count;
    double last;
} told;

/* Fractions grow. */
static int stop_at_third(void *user, double fraction)
{
    told *t = user;
    ck_assert_msg(fraction >= t->last && fraction < 1, "%g after %g", fraction, t->last);
    t->last = fraction;
    return ++t->count == 3;
}

/*
 * Eigenvalues from 1 to 1e-10, at equal ratios, which take more products than anybody waits for. What another thread cancels
 * ends within a second.
 */
START_TEST(another_thread_cancels)
{
    kcl_device_info info;
    ok(kcl_context_device_info(c, &info));
    const int64_t n = strcmp(info.type, "gpu") == 0 ? 20000 : on_device ? 4000 : 500;
    double *x = random_numbers(n * 3, 0, 1), *b = random_numbers(n, -1, 1), *kept = random_numbers(n, -1, 1),
           *noise = zeros(n);
    for (int64_t i = 0; i < n; i++)
        noise[i] = pow(1e-10, (double)i / (double)n);
    kcl_array *points_array = GIVEN(x, n, 3), *b_long = GIVEN(b, n, 1), *a_long = GIVEN(kept, n, 1),
              *noise_array = GIVEN(noise, n);
    kcl_operator *op = operator_of("Sum_Reduction(g*Exp(-SqDist(x,y))*b,0)", 3, 1);
    const kcl_solve_params params = {.noise = noise_array, .tolerance = 1e-14, .max_iterations = INT64_MAX};
    const kcl_solve_params few = {.alpha = 10, .noise = noise_array, .tolerance = 1e-3, .max_iterations = 100};
    const double small = 1e-15;
    kcl_solve_result r;
    ok(solve(op, WANTED(KCL_F64, n, 1), points_array, b_long, small, &few, &r, 1)); /* kernels are built */
    ok(kcl_context_set_cancellable(c, 1));
    pthread_t by;
    cancel_time = seconds() + 0.2;
    ck_assert_int_eq(pthread_create(&by, NULL, cancel_then, NULL), 0);
    const kcl_status status = solve(op, a_long, points_array, b_long, small, &params, &r, 1);
    const double late = seconds() - cancel_time;
    pthread_join(by, NULL);
    ck_assert_msg(status == KCL_ERROR_CANCELLED, "%s: %s", kcl_status_name(status), kcl_context_error(c));
    CONTAINS(kcl_context_error(c), "cancelled");
    ck_assert_msg(late > 0 && late < 1, "the call went on for %.3f s", late);
    const double *a = numbers_of(a_long);
    for (int64_t i = 0; i < n; i++)
        ck_assert_double_eq(a[i], kept[i]);
    /* So does a function that is told how far the call is, whose products are short. */
    told by_products = {.last = 0};
    ok(kcl_context_set_progress(c, stop_at_third, &by_products));
    ck_assert_int_eq(solve(op, a_long, points_array, b_long, small, &params, &r, 1), KCL_ERROR_CANCELLED);
    ck_assert_int_eq(by_products.count, 3);
    CONTAINS(kcl_context_error(c), "progress function");
    ok(kcl_context_set_progress(c, NULL, NULL));
    /* The next call is as always. */
    ok(solve(op, a_long, points_array, b_long, small, &few, &r, 1));
    ended(r, KCL_SOLVE_CONVERGED);
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------------------------------------- */

/* Requests for memory fail in turn: the call says so, and nothing leaks. */
START_TEST(memory_runs_out)
{
    make_arrays(KCL_F32);
    kcl_context *const outer = c;
    double *noise = random_numbers(SIZE, 0.1, 1);
    const kcl_solve_params params = {
        .alpha = 0.1, .noise = GIVEN(noise, SIZE), .start = b_array, .checks_symmetry = 1, .max_iterations = 5};
    kcl_operator *op = operator_of(GAUSS, 3, 1);
    kcl_array *single = WANTED(KCL_F32, SIZE, 1);
    kcl_status status = KCL_ERROR_NO_MEMORY;
    long long at = 0, failures = 0;
    while (status == KCL_ERROR_NO_MEMORY) {
        failing memory = {.fail_at = 0};
        kcl_solve_result r;
        ck_assert_int_eq(
            kcl_context_create(
                &c, &(kcl_context_params){.device = "host", .threads = 1, .allocator = failing_allocator(&memory)}),
            KCL_OK);
        at++;
        memory.fail_at = atomic_load(&memory.requests) + at;
        status = solve(op, single, x_array, b_array, g, &params, &r, 1);
        failures += status == KCL_ERROR_NO_MEMORY;
        ck_assert_msg(status == KCL_ERROR_NO_MEMORY || status == KCL_ERROR_NOT_SOLVED || status == KCL_OK, "%s: %s",
                      kcl_status_name(status), kcl_context_error(c));
        kcl_context_destroy(&c);
        ck_assert_msg(memory.blocks == 0, "%lld blocks leak at request %lld", (long long)memory.blocks, at);
        c = outer;
    }
    ck_assert_int_gt((int)failures, 50);
}
END_TEST

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        {three_matrices_and_three_reasons, 4},
        {nearly_singular_matrices_have_true_residuals, 4},
        {symmetry_is_checked_up_to_rounding, 2},
        {what_is_not_finite_is_told, 20},
        {float32_that_overflows_is_solved_in_float64, 0},
        {the_limit_ends, 2},
        {zero_is_solved_by_zero, 2},
        {what_no_arithmetic_has_is_not_reached, 2},
        {the_first_system_that_fails_is_named, 0},
        {reasons_have_names_and_texts, 0},
        {numbers_out_of_range_are_refused, 0},
        {sizes_that_disagree_are_refused, 0},
        {types_that_disagree_are_refused, 0},
        {formulas_that_are_no_systems_are_refused, 0},
        {what_is_missing_is_told, 0},
        {another_thread_cancels, 0},
        {memory_runs_out, 0},
    };
    const test_entry on_devices[] = {
        {three_matrices_and_three_reasons, 2},
        {what_is_not_finite_is_told, 2},
        {float32_that_overflows_is_solved_in_float64, 0},
        {the_limit_ends, 2},
        {what_no_arithmetic_has_is_not_reached, 2},
        {another_thread_cancels, 0},
    };
    return run_here_or_there(argc, argv,
                             &(here_or_there){.name = "reasons",
                                              .context = &c,
                                              .on_device = &on_device,
                                              .begin = begin_systems,
                                              .end = end_systems,
                                              .tests = tests,
                                              .count = KB_COUNT(tests),
                                              .device_tests = long_tests() ? NULL : on_devices,
                                              .device_count = KB_COUNT(on_devices)});
}
