/* SPDX-License-Identifier: MIT */
/* What is said when something fails: by which function, about what, to which context; handles that are gone. */
#include "support.h"

#include <stdio.h>
#include <string.h>

enum { M = 4, N = 3, D = 2 };

static failing memory;
static kcl_context *c, *other;
static kcl_scope *s, *theirs;
static double x[M][D] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}}, y[N][D] = {{1, 0}, {0, 1}, {2, 2}}, w[N] = {1, 2, 3};
static double out[M * N * D];

static void setup(void)
{
    memory = (failing){.fail_at = 0};
    const kcl_context_params params = {.device = "host", .threads = 1, .allocator = failing_allocator(&memory)};
    ck_assert_int_eq(kcl_context_create(&c, &params), KCL_OK);
    ck_assert_int_eq(kcl_context_create(&other, &params), KCL_OK);
    s = kcl_scope_create(c);
    theirs = kcl_scope_create(other);
    ck_assert_ptr_nonnull(s);
    ck_assert_ptr_nonnull(theirs);
}

static void teardown(void)
{
    kcl_scope_destroy(&s);
    kcl_scope_destroy(&theirs);
    kcl_context_destroy(&c);
    kcl_context_destroy(&other);
    ck_assert_int_eq(memory.blocks, 0);
}

static kcl_expr *new_x(void)
{
    return kcl_vi(s, kcl_f64(&x[0][0], M, D));
}

static kcl_expr *new_y(void)
{
    return kcl_vj(s, kcl_f64(&y[0][0], N, D));
}

static kcl_expr *new_xy(void)
{
    return kcl_add(new_x(), new_y());
}

/* ---- Handles that are gone --------------------------------------------------------------------------------------- */

static void is_gone(const kcl_expr *e)
{
    ck_assert_int_eq(kcl_expr_status(e), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_expr_error(e), "gone", "reset or destroyed");
}

START_TEST(test_every_function_tells_a_scope_that_is_gone)
{
    kcl_scope *kept = kcl_scope_create(c), *copy = kept;
    kcl_data *data = kcl_data_create(kept, kcl_f64(w, N));
    kcl_expr *e = kcl_vj_data(kept, data);
    kcl_scope_destroy(&kept);
    ck_assert_ptr_null(kept);
    is_gone(e);
    is_gone(kcl_vi(copy, kcl_f64(w, N)));
    is_gone(kcl_vj(copy, kcl_f64(w, N)));
    is_gone(kcl_pm(copy, kcl_f64(w, N)));
    is_gone(kcl_lazy(copy, kcl_f64(w, 1, N, 1)));
    is_gone(kcl_lazy(copy, kcl_f64(w, 1, N)));
    is_gone(kcl_vi_data(copy, data));
    is_gone(kcl_vj_data(s, data));
    is_gone(kcl_scalar(copy, 1));
    is_gone(kcl_constant(copy, 1));
    is_gone(kcl_constant(copy, 1 / 0.0));
    is_gone(kcl_zero(copy, 1));
    is_gone(kcl_var(copy, 0, 1, KCL_ROLE_I));
    is_gone(kcl_var(copy, -1, 1, KCL_ROLE_I));
    is_gone(kcl_index_i(copy));
    is_gone(kcl_index_j(copy));
    is_gone(kcl_formula(copy, "1+1", 0, NULL, NULL));
    is_gone(kcl_formula(s, "e+1", 1, (const char *const[]){"e"}, &e));
    ck_assert_ptr_null(kcl_data_create(copy, kcl_f64(w, N)));
    ck_assert_ptr_null(kcl_data_upload(copy, kcl_f64(w, N)));
    is_gone(kcl_sqdist(new_x(), e));
    is_gone(kcl_clamp(e, new_x(), NULL));
    is_gone(kcl_concatenate(2, (kcl_expr *[]){new_y(), e}));
    ck_assert_int_eq(kcl_scope_set_math(copy, "fast"), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "gone");
    int64_t shape[KCL_MAX_AXES];
    ck_assert_int_eq(kcl_expr_shape(e, shape), 0);
    ck_assert_int_eq(kcl_expr_inner_shape(e, NULL), 0);
    ck_assert_int_eq(kcl_expr_dim(e), 0);
    kcl_scope_reset(copy);
    kcl_scope_destroy(&copy);
    ck_assert_ptr_null(copy);
    /* And goes on. */
    ck_assert_int_eq(kcl_sum(kcl_sum_inner(new_x()), KCL_OVER_I, kcl_f64(out, 1)), KCL_OK);
    ck_assert_double_eq(out[0], 36);
}
END_TEST

/* Through as many resets and destructions as the header promises, of scopes of any size. */
START_TEST(test_handles_are_told_for_as_long_as_is_promised)
{
    enum { MANY = 40000, LATER = 3 };
    static kcl_expr *old[MANY];
    for (int how = 0; how < 2; how++) {
        kcl_scope *scope = kcl_scope_create(c), *copy = scope;
        kcl_expr *a = kcl_vi(scope, kcl_f64(&x[0][0], M, D));
        for (int k = 0; k < MANY; k++)
            old[k] = a = kcl_add(a, kcl_constant(scope, k));
        if (how)
            kcl_scope_destroy(&scope);
        else
            kcl_scope_reset(scope);
        for (int later = 0; later <= LATER; later++) {
            kcl_scope *next = kcl_scope_create(c);
            kcl_expr *b = kcl_vi(next, kcl_f64(&x[0][0], M, D));
            for (int k = 0; k < 2000; k++)
                b = kcl_mul(b, kcl_constant(next, k + 1));
            ck_assert_int_eq(kcl_expr_status(b), KCL_OK);
            for (int k = 0; k < MANY; k++)
                ck_assert_int_eq(kcl_expr_status(old[k]), KCL_ERROR_ARGUMENT);
            is_gone(kcl_exp(old[0]));
            is_gone(kcl_mul(b, old[MANY - 1]));
            if (how)
                is_gone(kcl_scalar(copy, 1));
            kcl_scope_destroy(&next);
        }
        kcl_scope_destroy(&scope);
    }
}
END_TEST

/* However long a handle is kept, its use is defined; and what is kept for that has a bound. */
START_TEST(test_memory_of_many_scopes_is_bounded)
{
    enum { SCOPES = 100000, FULL = 1000 };
    kcl_scope *first = kcl_scope_create(c), *copy = first;
    kcl_expr *a = kcl_vi(first, kcl_f64(&x[0][0], M, D));
    kcl_scope_destroy(&first);
    long long blocks = 0;
    for (int k = 0; k < SCOPES; k++) {
        kcl_scope *scope = kcl_scope_create(c);
        kcl_expr *b = kcl_exp(kcl_vi(scope, kcl_f64(&x[0][0], M, D)));
        ck_assert_int_eq(kcl_expr_status(b), KCL_OK);
        kcl_scope_destroy(&scope);
        if (k == FULL)
            blocks = memory.blocks;
        ck_assert_msg(k < FULL || memory.blocks == blocks, "%lld blocks after %d scopes, %lld after %d",
                      (long long)memory.blocks, k, blocks, FULL);
    }
    ck_assert_int_eq(kcl_expr_status(kcl_neg(a)), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_expr_status(kcl_scalar(copy, 1)), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_eval1(a, kcl_f64(out, M, D)), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_context_status(c), KCL_ERROR_ARGUMENT);
}
END_TEST

/* ---- What every builder says ------------------------------------------------------------------------------------- */

#define ONE(X)                                                                                                         \
    X(kcl_neg)                                                                                                         \
    X(kcl_inv)                                                                                                         \
    X(kcl_square)                                                                                                      \
    X(kcl_exp)                                                                                                         \
    X(kcl_log)                                                                                                         \
    X(kcl_sqrt) X(kcl_rsqrt) X(kcl_sin) X(kcl_cos) X(kcl_tan) X(kcl_abs) X(kcl_sign) X(kcl_xlogx) X(kcl_asin)          \
        X(kcl_acos) X(kcl_atan) X(kcl_sinh) X(kcl_cosh) X(kcl_tanh) X(kcl_asinh) X(kcl_acosh) X(kcl_atanh) X(kcl_erf)  \
            X(kcl_erfc) X(kcl_expm1) X(kcl_log1p) X(kcl_sigmoid) X(kcl_softplus) X(kcl_sinxdivx) X(kcl_sinc)           \
                X(kcl_step) X(kcl_relu) X(kcl_floor) X(kcl_ceil) X(kcl_trunc) X(kcl_not) X(kcl_sum_inner)              \
                    X(kcl_sqnorm2) X(kcl_norm2) X(kcl_normalize) X(kcl_max_inner) X(kcl_min_inner) X(kcl_argmax_inner) \
                        X(kcl_argmin_inner) X(kcl_transpose_inner) X(kcl_det_inner) X(kcl_inv_inner)                   \
                            X(kcl_trace_inner) X(kcl_real2complex) X(kcl_imag2complex) X(kcl_exp1j) X(kcl_real)        \
                                X(kcl_imag) X(kcl_conj) X(kcl_complex_abs) X(kcl_complex_square_abs)                   \
                                    X(kcl_complex_arg) X(kcl_complex_exp) X(kcl_complex_sum) X(kcl_transpose)
#define TWO(X)                                                                                                         \
    X(kcl_add)                                                                                                         \
    X(kcl_sub)                                                                                                         \
    X(kcl_mul)                                                                                                         \
    X(kcl_div)                                                                                                         \
    X(kcl_powf)                                                                                                        \
    X(kcl_atan2) X(kcl_hypot) X(kcl_minimum) X(kcl_maximum) X(kcl_equal) X(kcl_not_equal) X(kcl_less)                  \
        X(kcl_less_equal) X(kcl_greater) X(kcl_greater_equal) X(kcl_and) X(kcl_or) X(kcl_dot) X(kcl_sqdist)            \
            X(kcl_weightedsqnorm) X(kcl_concat) X(kcl_matmul_inner) X(kcl_kron) X(kcl_matvecmult) X(kcl_vecmatmult)    \
                X(kcl_tensorprod) X(kcl_complex_add) X(kcl_complex_sub) X(kcl_complex_mul) X(kcl_complex_div)          \
                    X(kcl_complex_scale) X(kcl_matmul) X(kcl_matvec) X(kcl_rmatvec) X(kcl_gather) X(kcl_like)          \
                        X(kcl_grad) X(kcl_divergence) X(kcl_grad_matrix) X(kcl_laplacian) X(kcl_trace_operator)
#define THREE(X)                                                                                                       \
    X(kcl_where)                                                                                                       \
    X(kcl_ifelse) X(kcl_clamp) X(kcl_mod) X(kcl_weightedsqdist) X(kcl_softdtw_sqdist) X(kcl_vjp) X(kcl_jvp) X(kcl_hvp)
#define REDUCTIONS(X) X(sum) X(mean) X(logsumexp) X(min) X(max) X(argmin) X(argmax)
#define REDUCTIONS_K(X) X(kmin) X(kmax) X(argkmin) X(argkmax) X(mean_kmin) X(mean_kmax)
#define REDUCTIONS_WEIGHTED(X) X(logsumexp_weight) X(sumsoftmaxweight)
#define REDUCTIONS_PAIR(X) X(min_argmin) X(max_argmax)
#define REDUCTIONS_PAIR_K(X) X(kmin_argkmin) X(kmax_argkmax)

typedef struct builder {
    const char *name;
    int operands;
    kcl_expr *(*call)(kcl_expr *const *f);
} builder;

#define DEFINE(name, ...)                                                                                              \
    static kcl_expr *call_##name(kcl_expr *const *f)                                                                   \
    {                                                                                                                  \
        return name(__VA_ARGS__);                                                                                      \
    }
#define DEFINE_ONE(name) DEFINE(name, f[0])
#define DEFINE_TWO(name) DEFINE(name, f[0], f[1])
#define DEFINE_THREE(name) DEFINE(name, f[0], f[1], f[2])
ONE(DEFINE_ONE)
TWO(DEFINE_TWO)
THREE(DEFINE_THREE)
#define DEFINE_REDUCTION(name) DEFINE(kcl_reduce_##name, f[0], KCL_OVER_J) DEFINE(kcl_reduce_##name##_batch, f[0], 0)
#define DEFINE_REDUCTION_K(name)                                                                                       \
    DEFINE(kcl_reduce_##name, f[0], 2, KCL_OVER_J) DEFINE(kcl_reduce_##name##_batch, f[0], 2, 0)
#define DEFINE_REDUCTION_WEIGHTED(name)                                                                                \
    DEFINE(kcl_reduce_##name, f[0], f[1], KCL_OVER_J) DEFINE(kcl_reduce_##name##_batch, f[0], f[1], 0)
#define DEFINE_REDUCTION_PAIR(name)                                                                                    \
    DEFINE(kcl_reduce_##name, f[0], KCL_OVER_J, NULL) DEFINE(kcl_reduce_##name##_batch, f[0], 0, NULL)
#define DEFINE_REDUCTION_PAIR_K(name)                                                                                  \
    DEFINE(kcl_reduce_##name, f[0], 2, KCL_OVER_J, NULL) DEFINE(kcl_reduce_##name##_batch, f[0], 2, 0, NULL)
REDUCTIONS(DEFINE_REDUCTION)
REDUCTIONS_K(DEFINE_REDUCTION_K)
REDUCTIONS_WEIGHTED(DEFINE_REDUCTION_WEIGHTED)
REDUCTIONS_PAIR(DEFINE_REDUCTION_PAIR)
REDUCTIONS_PAIR_K(DEFINE_REDUCTION_PAIR_K)
DEFINE(kcl_scale, f[0], 0.5)
DEFINE(kcl_jvp_many, f[0], 1, &f[1], &f[2])
DEFINE(kcl_pow, f[0], 2)
DEFINE(kcl_round, f[0], 2)
DEFINE(kcl_clampint, f[0], 0, 1)
DEFINE(kcl_repeat, f[0], 2)
DEFINE(kcl_one_hot, f[0], 2)
DEFINE(kcl_bspline, f[0], f[1], 1)
DEFINE(kcl_elem, f[0], 0)
DEFINE(kcl_extract, f[0], 0, 1)
DEFINE(kcl_concatenate, 3, f)
DEFINE(kcl_slice, f[0], 0, 1, 1)
DEFINE(kcl_reshape_inner, f[0], 1, (const int[]){D})
DEFINE(kcl_permute_inner, f[0], (const int[]){0})
DEFINE(kcl_sum_inner_axis, f[0], 0)
DEFINE(kcl_slice_inner, f[0], 0, 0, 1, 1)
DEFINE(kcl_tensordot, f[0], f[1], 1, (const int[]){0}, (const int[]){0})
DEFINE(kcl_complex_repeat, f[0], 2)

static const builder builders[] = {
#define ROW(name, operands) {#name, operands, call_##name},
#define ROW_ONE(name) ROW(name, 1)
#define ROW_TWO(name) ROW(name, 2)
#define ROW_THREE(name) ROW(name, 3)
#define ROW_REDUCTION(name) ROW(kcl_reduce_##name, 1) ROW(kcl_reduce_##name##_batch, 1)
#define ROW_REDUCTION_WEIGHTED(name) ROW(kcl_reduce_##name, 2) ROW(kcl_reduce_##name##_batch, 2)
    ONE(ROW_ONE) TWO(ROW_TWO) THREE(ROW_THREE) REDUCTIONS(ROW_REDUCTION) REDUCTIONS_K(ROW_REDUCTION)
        REDUCTIONS_WEIGHTED(ROW_REDUCTION_WEIGHTED) REDUCTIONS_PAIR(ROW_REDUCTION) REDUCTIONS_PAIR_K(ROW_REDUCTION)
            ROW(kcl_pow, 1) ROW(kcl_scale, 1) ROW(kcl_jvp_many, 3) ROW(kcl_round, 1) ROW(kcl_clampint, 1)
                ROW(kcl_repeat, 1) ROW(kcl_one_hot, 1) ROW(kcl_bspline, 2) ROW(kcl_elem, 1) ROW(kcl_extract, 1)
                    ROW(kcl_concatenate, 3) ROW(kcl_slice, 1) ROW(kcl_reshape_inner, 1) ROW(kcl_permute_inner, 1)
                        ROW(kcl_sum_inner_axis, 1) ROW(kcl_slice_inner, 1) ROW(kcl_tensordot, 2)
                            ROW(kcl_complex_repeat, 1)};

/* Of these, made in a scope, other tests see what they say. */
static const char *const of_scopes[] = {"kcl_vi",      "kcl_vj",      "kcl_pm",      "kcl_vi_data", "kcl_vj_data",
                                        "kcl_pm_data", "kcl_lazy",    "kcl_scalar",  "kcl_var",     "kcl_constant",
                                        "kcl_zero",    "kcl_index_i", "kcl_index_j", "kcl_formula"};

static bool is_known(const char *name, size_t length)
{
    for (size_t k = 0; k < KB_COUNT(builders) + KB_COUNT(of_scopes); k++) {
        const char *known = k < KB_COUNT(builders) ? builders[k].name : of_scopes[k - KB_COUNT(builders)];
        if (strlen(known) == length && memcmp(known, name, length) == 0)
            return true;
    }
    return false;
}

START_TEST(test_the_table_has_every_builder)
{
    static const char *const headers[] = {HEADERS};
    static char text[1 << 18];
    const char before[] = "KCL_API kcl_expr *";
    int count = 0;
    for (size_t k = 0; k < KB_COUNT(headers); k++) {
        FILE *header = fopen(headers[k], "rb");
        ck_assert_ptr_nonnull(header);
        text[fread(text, 1, sizeof text - 1, header)] = 0;
        fclose(header);
        for (const char *p = text; (p = strstr(p, before)) != NULL; count++) {
            p += sizeof before - 1;
            const size_t length = strcspn(p, "(");
            ck_assert_msg(is_known(p, length), "%.*s is in %s, but not in the table of this test", (int)length, p,
                          headers[k]);
        }
    }
    ck_assert_int_eq(count, (int)(KB_COUNT(builders) + KB_COUNT(of_scopes)));
}
END_TEST

/* Another error, of which nothing may be left. */
static const char poison[] = "kcl_context_get_stats";

static void spoil(void)
{
    ck_assert_int_eq(kcl_context_get_stats(c, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_context_get_stats(other, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), poison, "NULL");
}

/* The call that has returned `status` has told the context why. */
static void told(const kcl_context *context, const char *name, kcl_status status, const char *part)
{
    const char *text = kcl_context_error(context);
    ck_assert_msg(status < 0, "%s succeeds", name);
    ck_assert_msg(*text && !strstr(text, poison), "%s: the context says \"%s\"", name, text);
    ck_assert_msg(strstr(text, part), "%s: the context says \"%s\", not \"%s\"", name, text, part);
    ck_assert_msg(kcl_context_status(context) == status, "%s: %d and %d", name, kcl_context_status(context), status);
}

/* What `b` makes of operands that are right, but for the one at `wrong`. */
static kcl_expr *with(const builder *b, int wrong, kcl_expr *operand)
{
    kcl_expr *f[3];
    for (int k = 0; k < 3; k++)
        f[k] = k == wrong ? operand : new_x();
    spoil();
    return b->call(f);
}

START_TEST(test_every_builder_names_itself_and_tells_the_context)
{
    const kcl_array *to = kcl_f64(out, M, D);
    for (size_t n = 0; n < KB_COUNT(builders); n++) {
        const builder *b = &builders[n];
        char at[64];
        for (int k = 0; k < b->operands; k++) {
            snprintf(at, sizeof at, "%s: operand %d of %d", b->name, k + 1, b->operands);
            if (b->operands > 1) {
                kcl_expr *made = with(b, k, NULL);
                told(c, b->name, kcl_eval1(made, to), at);
                ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "NULL"));
                spoil();
                told(c, b->name, kcl_eval1(kcl_exp(made), to), at);
                /* An operand of another context: both are told. */
                made = with(b, k, kcl_vi(theirs, kcl_f64(&x[0][0], M, D)));
                told(c, b->name, kcl_eval(2, (kcl_expr *[]){made, new_x()}, (const kcl_array *[]){to, to}),
                     "another context");
                ck_assert_msg(strstr(kcl_context_error(other), b->name), "%s", kcl_context_error(other));
            }
            kcl_scope *gone = kcl_scope_create(c);
            kcl_expr *old = kcl_vi(gone, kcl_f64(&x[0][0], M, D));
            kcl_scope_destroy(&gone);
            told(c, b->name, kcl_eval1(with(b, k, old), to), "reset or destroyed");
            /* An error of an operand stays what it was. */
            told(c, b->name, kcl_eval1(with(b, k, kcl_extract(new_x(), 7, 1)), to), "kcl_extract: 1 components from 7");
            /* An error that knew of no context learns of the context of the operand beside it. */
            if (b->operands > 1)
                told(c, b->name, kcl_eval1(with(b, k, kcl_neg(NULL)), to), "without a scope");
            kcl_scope_reset(s);
        }
    }
    ck_assert_int_eq(kcl_eval1(kcl_neg(NULL), to), KCL_ERROR_ARGUMENT); /* no context is known */
}
END_TEST

/* ---- What a call says -------------------------------------------------------------------------------------------- */

#define TOLD(call, part)                                                                                               \
    do {                                                                                                               \
        spoil();                                                                                                       \
        told(c, #call, call, part);                                                                                    \
    } while (0)

START_TEST(test_every_short_form_tells_the_context)
{
    const kcl_array *to = kcl_f64(out, M, D), *index = kcl_i64((int64_t[M *D]){0}, M, D);
#define SHORT(name)                                                                                                    \
    TOLD(kcl_##name(new_x(), (kcl_axes)0, to), "kcl_" #name ": the axes are 0");                                       \
    TOLD(kcl_##name(new_xy(), KCL_OVER_J, NULL), "output 0 is missing");                                               \
    TOLD(kcl_##name(kcl_add(new_x(), NULL), KCL_OVER_J, to), "kcl_add: operand 2 of 2 is NULL");
#define SHORT_K(name)                                                                                                  \
    TOLD(kcl_##name(new_x(), 2, (kcl_axes)0, to), "kcl_" #name ": the axes are 0");                                    \
    TOLD(kcl_##name(new_xy(), 0, KCL_OVER_J, to), "kcl_" #name ": K is 0");                                            \
    TOLD(kcl_##name(new_xy(), 2, KCL_OVER_J, NULL), "output 0 is missing");
#define SHORT_WEIGHTED(name)                                                                                           \
    TOLD(kcl_##name(new_x(), new_y(), (kcl_axes)0, to), "kcl_" #name);                                                 \
    TOLD(kcl_##name(new_xy(), NULL, KCL_OVER_J, to), "kcl_" #name ": operand 2 of 2 is NULL");                         \
    TOLD(kcl_##name(kcl_elem(new_xy(), 0), new_y(), KCL_OVER_J, NULL), "output 0 is missing");
#define SHORT_PAIR(name)                                                                                               \
    TOLD(kcl_##name(new_x(), (kcl_axes)0, to, index), "kcl_" #name ": the axes are 0");                                \
    TOLD(kcl_##name(new_xy(), KCL_OVER_J, to, NULL), "output");
#define SHORT_PAIR_K(name)                                                                                             \
    TOLD(kcl_##name(new_x(), 2, (kcl_axes)0, to, index), "kcl_" #name ": the axes are 0");                             \
    TOLD(kcl_##name(new_xy(), 0, KCL_OVER_J, to, index), "kcl_" #name ": K is 0");                                     \
    TOLD(kcl_##name(new_xy(), 2, KCL_OVER_J, NULL, index), "output 0 is missing");
    REDUCTIONS(SHORT)
    REDUCTIONS_K(SHORT_K)
    REDUCTIONS_WEIGHTED(SHORT_WEIGHTED)
    REDUCTIONS_PAIR(SHORT_PAIR)
    REDUCTIONS_PAIR_K(SHORT_PAIR_K)
}
END_TEST

static void drop(void *user, const char *text, size_t length)
{
    (void)user, (void)text, (void)length;
}

START_TEST(test_every_call_with_a_context_tells_it)
{
    kcl_array a = {.ndim = -1}, far = {.ndim = -1}, made;
    kcl_memory *block = NULL;
    const kcl_array *to = kcl_f64(out, M, D), *wrong = kcl_f64(out, M, D + 1);
    kcl_device_info info;
    ck_assert_int_eq(kcl_array_create(c, KCL_F64, 2, (int64_t[]){M, D}, &a), KCL_OK);
    ck_assert_int_eq(kcl_array_create(other, KCL_F64, 2, (int64_t[]){M, D}, &far), KCL_OK);
    /* Contexts and memory. */
    TOLD(kcl_context_device_info(c, NULL), "kcl_context_device_info");
    ck_assert_int_eq(kcl_context_device_info(c, &info), KCL_OK);
    ck_assert_int_eq(kcl_context_device_info(c, NULL), KCL_ERROR_ARGUMENT);
    ck_assert_int_eq(kcl_context_get_stats(c, NULL), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "kcl_context_get_stats", "NULL");
    TOLD(kcl_memory_create(c, 1, NULL), "kcl_memory_create");
    TOLD(kcl_memory_create(c, SIZE_MAX, &block), "bytes were requested");
    TOLD(kcl_array_create(c, KCL_F64, 2, NULL, &made), "kcl_array_create: the shape is NULL");
    TOLD(kcl_array_create(c, KCL_F64, 2, (int64_t[]){1, 1}, NULL), "kcl_array_create: the array that is to be made");
    TOLD(kcl_array_create(c, (kcl_dtype)9, 1, (int64_t[]){1}, &made), "kcl_array_create");
    TOLD(kcl_array_upload(c, NULL, &made), "kcl_array_upload: the host's array is missing");
    TOLD(kcl_array_upload(c, to, NULL), "kcl_array_upload: the array that is to be made is NULL");
    TOLD(kcl_array_update(c, NULL, &a), "kcl_array_update: the host's array is missing");
    TOLD(kcl_array_update(c, to, NULL), "kcl_array_update: the device's array is missing");
    TOLD(kcl_array_update(c, wrong, &a), "(4, 3), the device's array (4, 2)");
    TOLD(kcl_array_update(c, to, &far), "does not have");
    TOLD(kcl_array_download(c, &a, NULL), "kcl_array_download: the host's array is missing");
    TOLD(kcl_array_download(c, NULL, to), "kcl_array_download: the device's array is missing");
    TOLD(kcl_array_download(c, &a, kcl_f32((float *)out, M, D)), "float32");
    /* Scopes and expressions. */
    kcl_expr *f = new_x(), *bad = kcl_elem(new_x(), 5), *far_x = kcl_vi(theirs, kcl_f64(&x[0][0], M, D));
    TOLD(kcl_scope_set_math(s, "quick"), "math \"quick\"");
    TOLD(kcl_expr_print(f, NULL, NULL), "kcl_expr_print");
    TOLD(kcl_expr_print(bad, drop, NULL), "kcl_elem: index 5");
    TOLD(kcl_eval1(f, NULL), "output 0 is missing");
    TOLD(kcl_eval1(f, wrong), "output 0 has shape (4, 3), the result (M, 2)");
    TOLD(kcl_eval1(f, kcl_f64(out, M - 1, D)), "output 0 has shape (3, 2), the result (4, 2): 3 rows, and 4");
    TOLD(kcl_eval1(f, &far), "output 0 is in device memory that this context does not have");
    TOLD(kcl_eval1(new_xy(), to), "result 0 depends on both i and j");
    TOLD(kcl_eval1(bad, to), "kcl_elem: index 5");
    TOLD(kcl_eval(1, &f, NULL), "kcl_eval: the list of outputs is NULL");
    TOLD(kcl_eval(2, (kcl_expr *[]){f, NULL}, (const kcl_array *[]){to, to}), "kcl_eval: expression 1 is NULL");
    TOLD(kcl_eval(2, (kcl_expr *[]){NULL, f}, (const kcl_array *[]){to, to}), "kcl_eval: expression 0 is NULL");
    TOLD(kcl_eval(2, (kcl_expr *[]){f, bad}, (const kcl_array *[]){to, to}), "kcl_elem: index 5");
    TOLD(kcl_eval(2, (kcl_expr *[]){f, far_x}, (const kcl_array *[]){to, to}), "expression 1 belongs to another scope");
    CONTAINS(kcl_context_error(other), "expression 1 belongs to another scope");
    TOLD(kcl_eval_scaled(1, (kcl_expr *[]){kcl_reduce_argmin(new_xy(), KCL_OVER_J)},
                         (const kcl_array *[]){kcl_i64((int64_t[M]){0}, M)}, (double[]){2}, NULL),
         "its alpha is 2");
    TOLD(kcl_eval1(kcl_vj_data(s, NULL), to), "kcl_vj_data: the data handle is NULL");
    TOLD(kcl_eval1(kcl_vj_data(s, kcl_data_create(theirs, to)), to), "kcl_vj_data: the data handle belongs to another");
    TOLD(kcl_eval1(kcl_pm(s, NULL), to), "kcl_pm: the array is NULL");
    TOLD(kcl_eval1(kcl_vi_data(s, kcl_data_upload(s, kcl_f64(NULL, 2, 2))), to), "kcl_array_upload");
    TOLD(kcl_eval1(kcl_formula(s, "x+", 1, (const char *[]){"x"}, &f), to), "x+");
    TOLD(kcl_eval1(kcl_formula(s, "x", 1, (const char *[]){"x"}, &far_x), to), "\"x\" belongs to another scope");
    TOLD(kcl_eval1(kcl_formula(s, NULL, 0, NULL, NULL), to), "kcl_formula");
    TOLD(kcl_eval1(kcl_var(s, 3, 2, KCL_ROLE_I), to), "variable 3 (kcl_var)");
    /* Operators. */
    kcl_operator *op = NULL, *none = NULL;
    const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)"};
    const kcl_array *xs = kcl_f64(&x[0][0], M, D), *ys = kcl_f64(&y[0][0], N, D);
    kcl_expr *g = kcl_reduce_sum(kcl_dot(f, new_y()), KCL_OVER_J);
    TOLD(kcl_operator_from(NULL, 1, &g, 0, NULL, NULL), "kcl_operator_from: there is no place");
#define FROM_FAILS(count, exprs, vars, list, part)                                                                     \
    do {                                                                                                               \
        TOLD(kcl_operator_from(&op, count, exprs, vars, list, NULL), part);                                            \
        CONTAINS(kcl_operator_error(op), part);                                                                        \
        kcl_operator_destroy(&op);                                                                                     \
    } while (0)
    FROM_FAILS(1, &g, 1, &f, "kcl_vj of shape (3, 2)) in the role j, which is not in the list");
    FROM_FAILS(1, &g, 1, (kcl_expr *[]){NULL}, "kcl_operator_from: variable 0 is NULL");
    FROM_FAILS(2, ((kcl_expr *[]){g, NULL}), 0, NULL, "kcl_operator_from: expression 1 is NULL");
    FROM_FAILS(1, &g, 1, &far_x, "different scopes");
    CONTAINS(kcl_context_error(other), "different scopes");
    FROM_FAILS(1, &bad, 0, NULL, "kcl_elem: index 5");
    FROM_FAILS(0, NULL, 1, &f, "needs one expression or more");
    ck_assert_int_eq(kcl_operator_create(&op, "Sum_Reduction(x*y,0)", 2, aliases, NULL), KCL_OK);
    ck_assert_int_lt(kcl_operator_create(&none, "Sum_Reduction(x*z,0)", 2, aliases, NULL), 0);
    TOLD(kcl_operator_apply(NULL, c, &to, 1, NULL, 0), "the operator is NULL");
    TOLD(kcl_operator_apply(none, c, &to, 1, NULL, 0), "z");
    TOLD(kcl_operator_apply(op, c, &to, 1, &xs, 1), "argument \"y\"");
    TOLD(kcl_operator_apply(op, c, &to, 1, NULL, 2), "the list of arguments is NULL");
    TOLD(kcl_operator_apply(op, c, NULL, 1, (const kcl_array *[]){xs, ys}, 2), "outputs");
    TOLD(kcl_operator_apply(op, c, &to, 1, (const kcl_array *[]){xs, NULL}, 2), "argument \"y\" is missing");
    TOLD(kcl_operator_apply(op, c, &to, 1, (const kcl_array *[]){xs, &far}, 2), "argument \"y\" is in device memory");
    TOLD(kcl_operator_apply(op, c, &to, 1, (const kcl_array *[]){xs, wrong}, 2), "argument \"y\" has shape (4, 3)");
    TOLD(kcl_operator_apply(op, c, (const kcl_array *[]){NULL}, 1, (const kcl_array *[]){xs, ys}, 2),
         "output 0 is missing");
    TOLD(kcl_operator_apply_scaled(NULL, c, &to, 1, NULL, 0, NULL, NULL), "the operator is NULL");
    TOLD(kcl_operator_emit(NULL, c, "cpu", KCL_F64, 1, 1, drop, NULL), "kcl_operator_emit: the operator is NULL");
    TOLD(kcl_operator_emit(op, c, "cpu", KCL_F64, 1, 1, NULL, NULL), "kcl_operator_emit: the function");
    TOLD(kcl_operator_emit(op, c, "cpu", KCL_F64, -1, 1, drop, NULL), "m = -1");
    TOLD(kcl_operator_emit(op, c, "cpu", KCL_I64, 1, 1, drop, NULL), "KCL_F32 or KCL_F64");
    TOLD(kcl_operator_emit(op, c, "abacus", KCL_F64, 1, 1, drop, NULL), "\"abacus\"");
    TOLD(kcl_operator_emit(op, c, NULL, KCL_F64, 1, 1, drop, NULL), "has no kernels");
    TOLD(kcl_operator_describe(NULL, c, KCL_F64, 1, 1, drop, NULL), "kcl_operator_describe: the operator is NULL");
    TOLD(kcl_operator_describe(op, c, KCL_F64, 1, 1, NULL, NULL), "kcl_operator_describe: the function");
    TOLD(kcl_operator_describe(op, c, KCL_F64, 1, 1, drop, NULL), "has no kernels");
    /* What succeeds changes nothing. */
    spoil();
    ck_assert_int_eq(kcl_eval1(g, kcl_f64(out, M)), KCL_OK);
    CONTAINS(kcl_context_error(c), poison);
    ck_assert_int_eq(kcl_operator_apply(op, c, &to, 1, (const kcl_array *[]){xs, ys}, 2), KCL_OK);
    CONTAINS(kcl_context_error(c), poison);
    kcl_operator_destroy(&op);
    kcl_operator_destroy(&none);
    kcl_array_free(&a);
    kcl_array_free(&far);
}
END_TEST

/* Memory that was out once is no reason to refuse a scope for ever, and a scope that cannot be made tells why. */
START_TEST(test_memory_that_is_out_is_told)
{
    spoil();
    memory.fail_at = memory.requests + 1;
    ck_assert_int_eq(kcl_array_create(c, KCL_F64, 1, (int64_t[]){4}, &(kcl_array){.ndim = 0}), KCL_ERROR_NO_MEMORY);
    kcl_scope *scope = kcl_scope_create(c);
    ck_assert_ptr_null(scope);
    ck_assert_int_eq(kcl_context_status(c), KCL_ERROR_NO_MEMORY);
    CONTAINS(kcl_context_error(c), "memory");
    ck_assert_int_eq(kcl_sum(kcl_exp(kcl_vi(scope, kcl_f64(w, N))), KCL_OVER_I, kcl_f64(out, 1)), KCL_ERROR_ARGUMENT);
    CONTAINS(kcl_context_error(c), "memory");
    memory.fail_at = 0;
    scope = kcl_scope_create(c);
    ck_assert_ptr_nonnull(scope);
    kcl_scope_destroy(&scope);
}
END_TEST

/* ---- What sizes are called --------------------------------------------------------------------------------------- */

/* The error says all parts, and no name of an operator that the user has not written. */
static void says(kcl_expr *e, const char *const *parts)
{
    static const char *const inner[] = {"Subtract", "Iota", "RatCst", "Mult", "Concat", "Arrange", "SumRows", "Square"};
    ck_assert_msg(kcl_expr_status(e) == KCL_ERROR_SHAPE, "not refused, with %s, or \"%s\"", parts[0],
                  kcl_expr_error(e));
    contains(kcl_expr_error(e), parts);
    for (size_t k = 0; k < KB_COUNT(inner); k++)
        ck_assert_msg(!strstr(kcl_expr_error(e), inner[k]), "%s", kcl_expr_error(e));
}
#define SAYS(e, ...) says(e, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(test_functions_are_named_as_they_were_called)
{
    kcl_expr *a = new_x(), *three = kcl_pm(s, kcl_f64(w, N)), *both = new_xy();
    SAYS(kcl_sqdist(a, three), "kcl_sqdist: ", "dimensions 2 and 3");
    SAYS(kcl_weightedsqdist(a, three, a), "kcl_weightedsqdist: ", "2 and 3");
    SAYS(kcl_one_hot(a, 0), "kcl_one_hot: ");
    SAYS(kcl_one_hot(kcl_elem(a, 0), 0), "kcl_one_hot: ", "dimension 0");
    SAYS(kcl_matmul(a, three), "kcl_matmul: ", "dimension 2");
    SAYS(kcl_hvp(a, a, a), "kcl_hvp: ", "dimension 2");
    SAYS(kcl_less(a, three), "kcl_less: ", "dimensions 2 and 3");
    SAYS(kcl_greater(a, three), "kcl_greater: ", "dimensions 2 and 3");
    SAYS(kcl_greater_equal(three, a), "kcl_greater_equal: ", "dimensions 3 and 2");
    kcl_expr *four = kcl_concat(a, a);
    SAYS(kcl_complex_add(four, kcl_concat(four, a)), "kcl_complex_add: ", "4 and 6");
    SAYS(kcl_vecmatmult(three, a), "kcl_vecmatmult: ", "2 components", "3");
    SAYS(kcl_reduce_kmin(both, 1 << 24, KCL_OVER_J), "kcl_reduce_kmin: ", "K is 16777216", "dimension 2");
    SAYS(kcl_reduce_logsumexp_weight(both, a, KCL_OVER_J), "kcl_reduce_logsumexp_weight: ", "dimension 2");
    SAYS(kcl_vjp(kcl_elem(a, 0), a, three), "kcl_vjp: ", "3");
}
END_TEST

/* Arrays are called by number, by the name in a text, by the function that made them and their shape. */
START_TEST(test_arrays_are_named_as_they_were_made)
{
    double many[12] = {0};
    kcl_expr *p = kcl_vi(s, kcl_f64(many, 6, 2)), *q = kcl_vi_data(s, kcl_data_create(s, kcl_f64(many, 5, 2)));
    kcl_expr *r = kcl_lazy(s, kcl_f64(many, 4, 1, 2)), *b3 = kcl_vj(s, kcl_f64(many, 3, 2, 2));
    kcl_expr *b2 = kcl_vi(s, kcl_f64(many, 2, 3, 2)), *t = kcl_vj(s, kcl_f64(many, 12));
    TOLD(
        kcl_eval1(kcl_add(p, q), kcl_f64(out, 6, 2)),
        "array 0 (kcl_vi of shape (6, 2)) has 6 rows, array 1 (kcl_vi_data of shape (5, 2)) has 5: both are on axis i");
    TOLD(kcl_eval1(kcl_add(p, r), kcl_f64(out, 6, 2)), "array 2 (kcl_lazy of shape (4, 2)) has 4");
    TOLD(kcl_eval1(kcl_sum_inner(p), kcl_f32((float *)out, 6)), "array 0 (kcl_vi of shape (6, 2)) is float64");
    kcl_expr *named = kcl_formula(s, "pos - mean", 2, (const char *const[]){"pos", "mean"}, (kcl_expr *[]){p, q});
    TOLD(kcl_eval1(named, kcl_f64(out, 6, 2)),
         "array 0 (\"pos\", kcl_vi of shape (6, 2)) has 6 rows, array 1 (\"mean\", kcl_vi_data of shape (5, 2)) has 5");
    kcl_expr *clash = kcl_mul(b3, b2);
    CONTAINS(kcl_expr_error(clash), "kcl_mul: the first operand has size 3 on batch axis -1",
             "array 3 (kcl_vj of shape (3, 2, 2))", "2 (that of array 4 (kcl_vi of shape (2, 3, 2)))");
    clash = kcl_sqdist(b3, kcl_reduce_sum(kcl_mul(b2, kcl_elem(t, 0)), KCL_OVER_J));
    CONTAINS(kcl_expr_error(clash), "kcl_sqdist: the first operand has size 3 on batch axis -1",
             "a reduction of array 4");
    kcl_expr *huge =
        kcl_vi(s, &(kcl_array){.data = many, .dtype = KCL_F64, .ndim = 9, .shape = {1, 1, 1, 1, 1, 1, 1, 0, 2}});
    TOLD(kcl_eval1(kcl_add(p, huge), kcl_f64(out, 6, 2)), "(1, 1, 1, 1, 1, 1, 1, 0, 2)");
    /* Names of any length are cut. */
    char alias[300];
    memset(alias, 'a', sizeof alias - 1);
    alias[sizeof alias - 1] = 0;
    kcl_expr *cut = kcl_formula(s, alias, 1, (const char *const[]){alias}, &r);
    TOLD(kcl_eval1(kcl_add(p, cut), kcl_f64(out, 6, 2)), "aaa... has 4: both are on axis i");
}
END_TEST

int main(void)
{
    const test_entry tests[] = {
        {test_every_function_tells_a_scope_that_is_gone, 0},
        {test_handles_are_told_for_as_long_as_is_promised, 0},
        {test_memory_of_many_scopes_is_bounded, 0},
        {test_the_table_has_every_builder, 0},
        {test_every_builder_names_itself_and_tells_the_context, 0},
        {test_every_short_form_tells_the_context, 0},
        {test_every_call_with_a_context_tells_it, 0},
        {test_memory_that_is_out_is_told, 0},
        {test_functions_are_named_as_they_were_called, 0},
        {test_arrays_are_named_as_they_were_made, 0},
    };
    return run_entries("errors", tests, KB_COUNT(tests), setup, teardown);
}
