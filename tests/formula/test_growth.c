/* SPDX-License-Identifier: MIT */
/*
 * How long it takes to read a formula, derive it twice, compute its divergence, simplify it and copy it into another
 * graph as the formula grows, and how much memory is asked for: both in proportion to the nodes. Prints both. Other
 * work on the machine makes times longer, not the requests for memory; a pass over few nodes that asks for as much as
 * the whole graph shows in the requests. Printing ends at its limit.
 */
#include "calculus.h"
#include "complex_numbers.h"
#include "dense.h"
#include "derive.h"
#include "matrix.h"
#include "names.h"
#include "passes.h"
#include "simplify.h"
#include "text.h"

enum { SIZES = 3, REPEATS = 3 };

static kf_graph g;
static double requested; /* bytes, since setup */

static void *reallocate(void *user, void *pointer, size_t size)
{
    (void)user;
    requested += (double)size;
    if (size)
        return realloc(pointer, size);
    free(pointer);
    return NULL;
}

static void setup(void)
{
    requested = 0;
    kf_graph_init(&g, &(kcl_allocator){reallocate, NULL});
}

static void teardown(void)
{
    kf_graph_finish(&g);
}

/* Terms that are added up, `count` of them, no two alike: %d is the number of the term. x, y: 6 components, s: 1. */
static const char *const terms[] = {
    "Exp(-%d*SqDist(x,y))*y",
    "Sin(x*%d)+Cos(y/%d)*s",
    "ComplexMult(ComplexExp(x*%d),y)",
    "ComplexRealScal(s,ComplexDivide(x*%d,ComplexAdd(y,x)))",
    "TensorDot(x*%d,y*y,[2,3],[3,2],[1,0],[0,1])*x",
    "Kron(Extract(x*%d,0,2),Extract(y,1,3),[2],[3])",
    "Concat(Extract(x*%d,0,3),Extract(y,3,3))*IfElse(x<y<%d,x,y)",
};

/* A composition, step by step, which only constructors can make so deep. */
static const kf_node *composed(int kind, const kf_node *x, const kf_node *y, int64_t count)
{
    const kf_node *f = x, *s = kf_dot(&g, x, y);
    for (int64_t k = 0; k < count; k++) {
        const kf_node *c = kf_rat(&g, k % 9 + 1, 10);
        switch (kind) {
        case 0:
            f = kf_complex_mult(&g, kf_complex_exp1j(&g, kf_complex_real(&g, f)), k % 2 ? x : y);
            break;
        case 1:
            f = kf_complex_add(&g, kf_complex_conj(&g, kf_binary(&g, KF_MULT, c, f)), y);
            break;
        case 2:
            f = kf_vec_mat(&g, kf_unary(&g, KF_SIN, f), kf_tensor_prod(&g, y, x));
            break;
        case 3:
            s = kf_unary(&g, KF_SIN, kf_binary(&g, KF_MULT, c, s));
            f = kf_binary(&g, KF_ADD, f, kf_binary(&g, KF_MULT, s, y));
            break;
        default:
            f = kf_binary(&g, KF_ADD, kf_unary(&g, KF_SIN, f), kf_binary(&g, KF_MULT, c, k % 2 ? x : y));
        }
    }
    return f;
}

enum { COMPOSITIONS = 5, TEXTS = KB_COUNT(terms), KINDS = TEXTS + COMPOSITIONS };

static char *text_of(const char *term, int64_t count)
{
    const size_t most = strlen(term) + 32;
    char *text = malloc((size_t)count * most + 1), *at = text;
    ck_assert_ptr_nonnull(text);
    for (int64_t k = 0; k < count; k++) {
        *at = '+';
        at += k > 0;
        for (const char *c = term; *c; c++) {
            if (c[0] == '%' && c[1] == 'd') {
                at += sprintf(at, "%d", (int)k + 2);
                c++;
            } else {
                *at++ = *c;
            }
        }
    }
    *at = 0;
    return text;
}

typedef struct times {
    double build, derive, copy, trace, bytes;
    size_t nodes, derived;
} times;

static times measure(int kind, size_t nodes)
{
    times t = {0};
    setup();
    const kf_node *x = kf_var(&g, 0, 6, KF_ROLE_I), *y = kf_var(&g, 1, 6, KF_ROLE_J), *s = kf_var(&g, 2, 1, KF_ROLE_P);
    const kf_binding names[] = {{"x", x}, {"y", y}, {"s", s}};
    const kf_node *f = NULL, *one, *two, *copied, *trace;
    kb_error err = {0};
    int64_t next = 3;
    char *text = kind < TEXTS ? text_of(terms[kind], (int64_t)nodes / 8) : NULL;
    double start = cpu_seconds();
    if (text)
        ck_assert_msg(kf_parse_formula(&g, text, 3, names, &next, &f, &err) == KCL_OK, "%s", err.text);
    else
        f = composed(kind - (int)TEXTS, x, y, (int64_t)nodes / 8);
    t.build = cpu_seconds() - start;
    free(text);
    ck_assert_msg(f != NULL, "%s", g.error.text);
    t.nodes = node_count(&g, f);
    start = cpu_seconds();
    ck_assert_int_eq(kf_vjp(&g, f, y, 1, &x, &one), KCL_OK);
    ck_assert_int_eq(kf_vjp(&g, one, x, 1, &x, &two), KCL_OK);
    ck_assert_int_eq(kf_simplify(&g, 1, &two, &two), KCL_OK);
    t.derive = cpu_seconds() - start;
    t.derived = node_count(&g, two);
    start = cpu_seconds();
    ck_assert_int_eq(f->dim == x->dim ? kf_divergence(&g, f, x, &trace) : KCL_OK, KCL_OK);
    t.trace = cpu_seconds() - start;
    kf_graph other;
    kf_graph_init(&other, kf_allocator(&g));
    start = cpu_seconds();
    ck_assert_int_eq(kf_import(&other, &g, 1, &two, &copied), KCL_OK);
    t.copy = cpu_seconds() - start;
    t.bytes = requested;
    kf_graph_finish(&other);
    teardown();
    setup();
    return t;
}

START_TEST(time_grows_with_the_number_of_nodes)
{
    times t[SIZES];
#ifdef __SANITIZE_ADDRESS__ /* the sanitizer keeps what was freed, and so becomes slow itself */
    size_t nodes = 100;
#else
    size_t nodes = 1000;
#endif
    /* The largest size takes seconds: most kinds have it only with KEOPSCL_LONG_TESTS. */
    const bool quick = _i < 2 || _i == KINDS - 1;
    const int sizes = quick || getenv("KEOPSCL_LONG_TESTS") ? SIZES : SIZES - 1;
    for (int k = 0; k < sizes; k++, nodes *= 10) {
        t[k] = measure(_i, nodes);
        for (int repeat = 1; repeat < (k ? 1 : REPEATS); repeat++) { /* short times vary most */
            const times again = measure(_i, nodes);
            t[k].build = KB_MIN(t[k].build, again.build);
            t[k].derive = KB_MIN(t[k].derive, again.derive);
            t[k].copy = KB_MIN(t[k].copy, again.copy);
            t[k].trace = KB_MIN(t[k].trace, again.trace);
        }
        printf("%s, %zu nodes: built in %.2g s, derived twice in %.2g s: %zu nodes, copied in %.2g s, divergence in "
               "%.2g s, %.3g MB requested\n",
               _i < (int)TEXTS ? terms[_i] : "composition", t[k].nodes, t[k].build, t[k].derive, t[k].derived,
               t[k].copy, t[k].trace, t[k].bytes / 1e6);
    }
    for (int k = 1; k < sizes; k++) {
        const double before = t[k - 1].build + t[k - 1].derive + t[k - 1].copy + t[k - 1].trace;
        const double now = t[k].build + t[k].derive + t[k].copy + t[k].trace;
        ck_assert_msg(now < 60 * KB_MAX(before, 2e-3), "%g s for %zu nodes, %g s for %zu", before, t[k - 1].nodes, now,
                      t[k].nodes);
        ck_assert_msg(t[k].bytes < 20 * t[k - 1].bytes, "%g bytes requested for %zu nodes, %g for %zu", t[k - 1].bytes,
                      t[k - 1].nodes, t[k].bytes, t[k].nodes);
        ck_assert_msg(t[k].derived < 15 * t[k - 1].derived, "%zu nodes, then %zu", t[k - 1].derived, t[k].derived);
    }
}
END_TEST

/*
 * Normalize in Normalize writes its operand more than once, so texts grow exponentially with the levels, and end at a limit.
 * The work is counted: variables that were named, and bytes that were asked for.
 */
static const char *count_names(void *user, const kf_node *var)
{
    (void)var;
    ++*(int64_t *)user;
    return "x";
}

START_TEST(printing_ends_at_the_limit)
{
    enum { LIMIT = 1 << 12 };
    static const int levels[] = {3, 12, 30, 10000};
    for (size_t k = 0; k < KB_COUNT(levels); k++) {
        const kf_node *x = kf_var(&g, 0, 3, KF_ROLE_I), *f = x;
        kf_name normalize;
        ck_assert(kf_find_name("Normalize", strlen("Normalize"), &normalize));
        for (int n = 0; n < levels[k]; n++)
            f = kf_make_name(&g, &normalize, &f, NULL);
        ck_assert_ptr_nonnull(f);
        for (size_t limit = LIMIT; limit <= KF_MAX_TEXT; limit *= KF_MAX_TEXT / LIMIT) {
            kb_str text;
            int64_t named = 0;
            kb_str_init(&text, kf_allocator(&g));
            requested = 0;
            const double start = cpu_seconds();
            const bool whole = kf_print(&text, f, count_names, &named, limit);
            printf("# Normalize, %d levels: %lld variables, %.0f bytes of text, %.0f asked for, %.3f s\n", levels[k],
                   (long long)named, (double)text.length, requested, cpu_seconds() - start);
            ck_assert_uint_le(text.length, limit);
            ck_assert_int_le(named, (int64_t)limit + 1);
            ck_assert_int_eq(whole, levels[k] == 3 || (levels[k] == 12 && limit > LIMIT));
            ck_assert(!whole || named == INT64_C(1) << levels[k]);
            /* Memory doubles as it grows; what waits to be written is three pieces a level. */
            ck_assert_msg(requested < 4.0 * (double)limit + 1000.0 * levels[k] + 4096, "%.0f bytes", requested);
            kb_str_finish(&text);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("growth");
    TCase *tests = tcase_create("growth");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, time_grows_with_the_number_of_nodes, 0, KINDS);
    tcase_add_test(tests, printing_ends_at_the_limit);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
