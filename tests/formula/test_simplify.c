/* SPDX-License-Identifier: MIT */
/* Simplification: every rule on its example, and random formulas before and after. */
#include "dense.h"
#include "simplify.h"
#include "text.h"

static kf_graph g;
static dense d;

static void setup(void)
{
    dense_init(&d, &g, 3, 4, 1);
}

static void teardown(void)
{
    dense_finish(&d);
}

static const kf_node *simplified(const kf_node *f)
{
    const kf_node *out = NULL;
    ck_assert_msg(kf_simplify(&g, 1, &f, &out) == KCL_OK, "%s", g.error.text);
    ck_assert_ptr_nonnull(out);
    return out;
}

/* The variables of the rules' examples, each in any role. */
static const kf_node *example(const char *text, int roles)
{
    static const char *names[] = {"x", "y", "s", "t"};
    kf_binding bindings[4];
    for (int k = 0; k < 4; k++) {
        int role = k < 2 ? roles >> k & 1 : (roles >> k & 1) + (roles >> k & 2);
        bindings[k] = (kf_binding){names[k], dense_var(&d, (kf_role)(role > 2 ? 2 : role), k < 2 ? 3 : 1, 0.3, 2)};
    }
    int64_t next = 4;
    kb_error err = {0};
    const kf_node *f = NULL;
    ck_assert_msg(kf_parse_formula(&g, text, 4, bindings, &next, &f, &err) == KCL_OK, "%s", err.text);
    return f;
}

static void check_equal(const kf_node *before, const kf_node *after, const char *what)
{
    ck_assert_int_eq(before->dim, after->dim);
    long double *want = dense_eval(&d, before);
    double *got = dense_interpret(&d, after), *own = dense_interpret(&d, before);
    for (int64_t k = 0; k < d.rows * d.cols * before->dim; k++) {
        ck_assert_msg(fabs(got[k] - want[k]) <= 1e-15L * KB_MAX(fabs(want[k]), 4), "%s: component %d is %.17g,"
                      " not %.17Lg", what, (int)k, got[k], want[k]);
        ck_assert(fabs(own[k] - want[k]) <= 1e-15L * KB_MAX(fabs(want[k]), 4));
    }
    free(want);
    free(got);
    free(own);
}

/* ---- Rules ------------------------------------------------------------------------------------------------------- */

START_TEST(a_rule_changes_its_example_and_keeps_its_value)
{
    const kf_rule *rule = &kf_rules[_i / 16];
    const kf_node *f = example(rule->example, _i % 16), *args[KF_MAX_ARGS] = {0};
    for (int k = 0; k < f->arg_count; k++) /* as the pass does */
        args[k] = kf_value(simplified(f->arg[k]));
    f = kf_make(&g, (kf_op)f->op, args, f->param);
    ck_assert_msg((kf_op)f->op == rule->op, "%s: %s is a %s", rule->name, rule->example, kf_info(f->op)->name);
    const kf_node *simpler = rule->apply(&g, f);
    ck_assert_msg(simpler != NULL, "%s: %s", rule->name, g.error.text);
    ck_assert_msg(simpler != f, "%s does not change %s", rule->name, rule->example);
    check_equal(f, simpler, rule->name);
    check_equal(f, simplified(f), rule->name);
}
END_TEST

/*
 * Rows of values with NaN, infinities and zeros among them; some values are `extreme`: their sums and products are out
 * of range. So many rows have every pair of values in some row.
 */
enum { ROWS = 4096 };

static void draw_special(bool extreme)
{
    static const double values[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 1.5, -2, 1, 0x1.8p1023, -0x1p1023, 0x1p-1060};
    for (int k = 0; k < d.var_count; k++)
        for (int64_t n = 0; n < ROWS * d.dim[k]; n++)
            d.data[k][n] = values[dense_below(&d, (int64_t)KB_COUNT(values) - (extreme ? 0 : 3))];
}

/* NaN, an infinity of either sign, or a number. */
static int class_of(double value)
{
    return isnan(value) ? 2 : isinf(value) ? (value > 0 ? 1 : -1) : 0;
}

/* Numbers whose product or sum is out of range before the last step, in one order of the steps and not in the other. */
static bool regroups(const char *rule)
{
    static const char *names[] = {"mult-constants", "mult-scalars-first", "mult-inverse",    "sum-of-scaled",
                                  "sum-of-copy",    "sum-of-quotient",    "divide-constant", "add-like-terms",
                                  "sub-like-terms"};
    for (size_t k = 0; k < KB_COUNT(names); k++)
        if (strcmp(rule, names[k]) == 0)
            return true;
    return false;
}

/*
 * docs/formulas.md lists what is lost: rules with a note lose NaN, which becomes an infinity; other rules lose nothing.
 */
START_TEST(a_rule_keeps_nan_and_infinity)
{
    const kf_rule *rule = &kf_rules[_i / 2];
    const bool extreme = _i % 2;
    if (extreme && regroups(rule->name))
        return;
    teardown();
    dense_init(&d, &g, ROWS, 1, 7);
    const kf_node *f = example(rule->example, 0), *args[KF_MAX_ARGS] = {0};
    draw_special(extreme);
    for (int k = 0; k < f->arg_count; k++)
        args[k] = kf_value(simplified(f->arg[k]));
    f = kf_make(&g, (kf_op)f->op, args, f->param);
    double *before = dense_interpret(&d, f), *after = dense_interpret(&d, rule->apply(&g, f));
    double *whole = dense_interpret(&d, simplified(f));
    long lost = 0;
    for (int64_t k = 0; k < ROWS * f->dim; k++) {
        const bool listed = rule->note[0] && isnan(before[k]) && isinf(after[k]);
        lost += listed;
        ck_assert_msg(listed || class_of(before[k]) == class_of(after[k]), "%s, %s: component %d is %g, was %g",
                      rule->name, rule->example, (int)k, after[k], before[k]);
        ck_assert_msg(class_of(whole[k]) == class_of(after[k]), "%s: component %d is %g simplified, %g by the rule",
                      rule->name, (int)k, whole[k], after[k]);
    }
    ck_assert_msg(!rule->note[0] || lost, "%s loses nothing: %s", rule->name, rule->note);
    free(before);
    free(after);
    free(whole);
}
END_TEST

/* The same for texts in which several rules meet. */
static const char *const kept[] = {
    "x-x", "0*x", "x*0", "0/x", "Log(x)-Log(x)", "SqDist(x,x)", "Mod(2,s,2)", "2*x-3*x", "3*x-2*x", "x+x-2*x",
    "-(x-x)", "(x-y)-(x-y)", "0*(x-y)+0*s", "Sum(0*x)", "0*Sum(x)", "Square(x-x)", "(x-x)*y", "(x-x)/y",
    "0*Inv(x)", "0*Exp(x)", "x*0*y", "Elem(0*x,1)", "Concat(x-x,0*s)", "SumT(s-s,3)+x", "0*ComplexAbs(Concat(s,t))",
    "ComplexMult(Concat(s,t),Concat(t,s))", "Powf(x,0*s)", "IfElse(x-x,y,x)", "0*Pow(x,-1)", "Clamp(x-x,0,1)",
};

START_TEST(formulas_keep_nan_and_infinity)
{
    teardown();
    dense_init(&d, &g, ROWS, 1, 11);
    const kf_node *f = example(kept[_i], 0);
    draw_special(false);
    double *before = dense_interpret(&d, f), *after = dense_interpret(&d, simplified(f));
    for (int64_t k = 0; k < ROWS * f->dim; k++)
        ck_assert_msg(class_of(before[k]) == class_of(after[k]), "%s: component %d is %g, was %g", kept[_i], (int)k,
                      after[k], before[k]);
    free(before);
    free(after);
}
END_TEST

START_TEST(rules_are_named_and_documented)
{
    for (size_t k = 0; k < kf_rule_count; k++) {
        ck_assert_uint_gt(strlen(kf_rules[k].name), 0);
        ck_assert_ptr_nonnull(kf_rules[k].note);
        for (size_t other = 0; other < k; other++)
            ck_assert_msg(strcmp(kf_rules[k].name, kf_rules[other].name) != 0 || kf_rules[k].op != kf_rules[other].op,
                          "two rules %s for %s", kf_rules[k].name, kf_info(kf_rules[k].op)->name);
    }
}
END_TEST

/* Texts and what they become: each text needs several rules, or shows what a rule must leave alone. */
static const struct {
    const char *before, *after;
} pairs[] = {
    {"Sum(2*x)", "2*Sum(x)"},
    {"Zero(3)+y*1-Zero(3)", "y"},
    {"0*x+y", "0*x+y"},
    {"x*0", "0*x"},
    {"0*Iota(3)+x", "x"},
    {"x-x", "0*x"},
    {"2*x-3*x", "2*x-3*x"},
    {"3*x-x*3", "0*x"},
    {"SqDist(x,x)", "Sum(Square(0*x))"},
    {"0/x", "0/x"},
    {"Log(x)-Log(x)", "0*Log(x)"},
    {"Mod(2,s,2)", "2-s*Floor(0/s)"},
    {"0/2+s", "s"},
    {"1e-30*(1e-30*x)", "1e-30*(1e-30*x)"},
    {"1e-200*(1e-200*x)", "1e-200*(1e-200*x)"},
    {"x/1e-40", "x/1e-40"},
    {"s*(1e-30*(1e-30*t))", "s*(1e-30*(1e-30*t))"},
    {"x-(-(x-y))", "x-(y-x)"},
    {"2*x+3*x", "5*x"},
    {"x/4*8", "2*x"},
    {"-(-(-x))", "-x"},
    {"RatCst(1,3)+IntCst(1)", "RatCst(4,3)"},
    {"RatCst(1,3)-IntCst(1)", "RatCst(-2,3)"},
    {"Square(-x)", "Square(x)"},
    {"Pow(x,0)", "SumT(1,3)"},
    {"Pow(x,-1)", "Inv(x)"},
    {"Sum(Concat(x,y))", "Sum(x)+Sum(y)"},
    {"Elem(ExtractT(x,2,6),1)", "0"},
    {"Elem(ExtractT(x,2,6),3)", "Elem(x,1)"},
    {"Extract(Concat(x,y),1,4)", "Extract(Concat(x,y),1,4)"},
    {"Elem(Concat(Concat(x,s),y),3)", "s"},
    {"1e308*(1e308*x)", "1e308*(1e308*x)"},
    {"Sqrt(Square(s))", "Sqrt(Square(s))"},
    {"Exp(Log(x))", "Exp(Log(x))"},
    {"x/x", "x/x"},
    {"ComplexReal(ComplexMult(ComplexExp1j(s),Concat(s,t)))", "Cos(s)*s-Sin(s)*t"},
    {"Arrange(Arrange(Concat(x,y),2,0,3,1,2,3),1,1,3,2)", "y"},
    {"Arrange(Arrange(x,1,2,3,-1),1,2,3,-1)", "x"},
    {"Arrange(Concat(x,y),1,0,3,2)", "Arrange(Concat(x,y),1,0,3,2)"},
    {"Extract(Arrange(Concat(x,y),2,0,3,1,2,3),1,2)", "Arrange(Concat(x,y),1,3,2,-2)"},
    {"Place(x,1,0,3,2,6)+Place(y,1,1,3,2,6)", "Arrange(Concat(x,y),2,0,3,1,2,3)"},
    {"Place(x,1,1,3,2,6)+Place(y,1,0,3,2,6)", "Arrange(Concat(y,x),2,0,3,1,2,3)"},
    {"Place(x,1,0,3,2,7)+Place(y,1,1,3,2,7)", "Place(x,1,0,3,2,7)+Place(y,1,1,3,2,7)"},
    {"0.1+0.2", "0.30000000000000004"},
    {"9007199254740993*x", "9007199254740993*x"},
};

START_TEST(formulas_become_what_they_should)
{
    const kf_node *f = example(pairs[_i].before, 2);
    kf_binding bindings[4] = {{"x", kf_var(&g, 0, 3, KF_ROLE_I)}, {"y", kf_var(&g, 1, 3, KF_ROLE_J)},
                              {"s", kf_var(&g, 2, 1, KF_ROLE_I)}, {"t", kf_var(&g, 3, 1, KF_ROLE_I)}};
    const kf_node *want = NULL, *got = kf_value(simplified(f));
    kb_error err = {0};
    ck_assert_msg(kf_parse_formula(&g, pairs[_i].after, 4, bindings, &(int64_t){4}, &want, &err) == KCL_OK, "%s",
                  err.text);
    kb_str text;
    kb_str_init(&text, NULL);
    kf_print(&text, got, NULL, NULL, 200);
    ck_assert_msg(got == want, "%s became %s, not %s", pairs[_i].before, kb_str_text(&text), pairs[_i].after);
    kb_str_finish(&text);
}
END_TEST

/* ---- Reductions and axes ----------------------------------------------------------------------------------------- */

static void check_dense(const kf_node *before, const kf_node *after)
{
    ck_assert_int_eq(before->dim, after->dim);
    ck_assert_uint_eq(before->axes, after->axes);
    long double *want = dense_eval(&d, before), *got = dense_eval(&d, after);
    for (int64_t k = 0; k < d.rows * d.cols * before->dim; k++)
        ck_assert_msg(fabs(got[k] - want[k]) <= 1e-14L * KB_MAX(fabs(want[k]), 4), "%.17Lg, not %.17Lg", got[k],
                      want[k]);
    free(want);
    free(got);
}

/* Texts cannot say these formulas, but derivatives may lead to them. */
START_TEST(division_by_zero_is_not_carried_out)
{
    const kf_node *x = kf_var(&g, 0, 3, KF_ROLE_I), *zero = kf_zero(&g, 1), *one = kf_rat(&g, 1, 1);
    const kf_node *inverse = kf_unary(&g, KF_INV, zero), *out;
    const kf_node *before[] = {kf_binary(&g, KF_DIVIDE, x, zero), kf_binary(&g, KF_DIVIDE, one, zero), inverse,
                               kf_binary(&g, KF_DIVIDE, zero, zero)};
    const kf_node *after[] = {before[0], inverse, inverse, before[3]};
    for (size_t k = 0; k < KB_COUNT(before); k++) {
        ck_assert_int_eq(kf_simplify(&g, 1, &before[k], &out), KCL_OK);
        ck_assert_ptr_eq(out, after[k]);
    }
}
END_TEST

START_TEST(a_lost_axis_still_counts_its_terms)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0.3, 2), *y = dense_var(&d, KF_ROLE_J, 3, 0.3, 2);
    const kf_node *p = dense_var(&d, KF_ROLE_P, 3, 0.3, 2);
    const kf_node *terms[] = {
        kf_binary(&g, KF_ADD, kf_binary(&g, KF_SUB, y, y), x),                    /* x, once for every j */
        kf_binary(&g, KF_SUB, kf_binary(&g, KF_ADD, x, y), kf_binary(&g, KF_ADD, x, y)), /* 0 */
        kf_binary(&g, KF_ADD, kf_binary(&g, KF_MULT, kf_zero(&g, 1), kf_binary(&g, KF_MULT, x, y)), p),
        kf_make(&g, KF_POW, (const kf_node *[]){kf_binary(&g, KF_MULT, x, y)}, &(int64_t){0}), /* 1 */
    };
    for (size_t k = 0; k < KB_COUNT(terms); k++)
        for (unsigned axes = 0; axes < 4; axes++) {
            const kf_node *r = kf_reduce(&g, KF_REDUCE_SUM, axes, 0, terms[k]);
            check_dense(r, simplified(r));
            const kf_node *deeper = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I | KF_AXIS_J, 0,
                                              kf_binary(&g, KF_SUB, kf_binary(&g, KF_ADD, r, x), r));
            check_dense(deeper, simplified(deeper));
        }
}
END_TEST

/* Factors leave sums, but neither log(sum exp) nor the choice of the smallest value, which -0.5 would turn round. */
START_TEST(reductions_that_are_no_sums_keep_their_terms)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0.3, 2), *y = dense_var(&d, KF_ROLE_J, 3, 0.3, 2);
    const kf_node *half = kf_rat(&g, -1, 2), *product = kf_binary(&g, KF_MULT, x, y);
    const kf_node *scaled = kf_binary(&g, KF_MULT, half, kf_binary(&g, KF_MULT, kf_rat(&g, 3, 1), product));
    const kf_node *nothing = kf_binary(&g, KF_SUB, product, product);
    for (unsigned axes = 1; axes < 4; axes++) {
        const kf_node *f[] = {kf_reduce(&g, KF_REDUCE_LOGSUMEXP, axes, 0, kf_unary(&g, KF_SUM, scaled)),
                              kf_reduce(&g, KF_REDUCE_LOGSUMEXP, axes, 0, kf_unary(&g, KF_SUM, nothing)),
                              kf_reduce(&g, KF_REDUCE_ARGMIN, axes, 0, scaled),
                              kf_reduce(&g, KF_REDUCE_ARGMIN, axes, 0, nothing)};
        for (size_t k = 0; k < KB_COUNT(f); k++) {
            check_dense(f[k], simplified(f[k]));
            ck_assert_int_eq(simplified(f[k])->op, KF_REDUCE);
        }
    }
    /* An index times 1 is a real number, and stays one. */
    const kf_node *index = kf_reduce(&g, KF_REDUCE_ARGMIN, KF_AXIS_J, 0, scaled), *one = kf_rat(&g, 1, 1);
    const kf_node *real[] = {kf_binary(&g, KF_MULT, one, index), kf_binary(&g, KF_ADD, index, kf_zero(&g, 3)),
                             kf_unary(&g, KF_MINUS, kf_unary(&g, KF_MINUS, index)),
                             kf_make(&g, KF_EXTRACT, &index, (int64_t[]){0, 3})};
    for (size_t k = 0; k < KB_COUNT(real); k++) {
        check_dense(real[k], simplified(real[k]));
        ck_assert_int_eq(simplified(real[k])->kind, KF_REAL);
    }
    ck_assert_int_eq(simplified(index)->kind, KF_INT);
}
END_TEST

START_TEST(several_roots_and_roots_in_place)
{
    const kf_node *x = dense_var(&d, KF_ROLE_I, 3, 0.3, 2), *y = dense_var(&d, KF_ROLE_J, 3, 0.3, 2);
    const kf_node *zeros = kf_make(&g, KF_EXTRACT, (const kf_node *[]){kf_binary(&g, KF_CONCAT, kf_zero(&g, 3), x)},
                                   (int64_t[]){0, 3});
    const kf_node *roots[] = {kf_binary(&g, KF_ADD, x, kf_zero(&g, 3)), zeros, y, x};
    ck_assert_int_eq(kf_simplify(&g, 4, roots, roots), KCL_OK);
    ck_assert_ptr_eq(roots[0], x);
    ck_assert(kf_is_zero(kf_value(roots[1])));
    ck_assert_uint_eq(roots[1]->axes, KF_AXIS_I);
    ck_assert_ptr_eq(roots[2], y);
    ck_assert_int_eq(kf_simplify(&g, 0, NULL, NULL), KCL_OK);
}
END_TEST

/* ---- Random formulas --------------------------------------------------------------------------------------------- */

enum { CASES = 3000, STEPS = 60 };

typedef struct tally {
    long formulas, components, skipped, nodes_before, nodes_after, reductions;
} tally;

/* `reductions`: the definition gives the values of both sides; otherwise the interpreter gives them as well. */
static void check_random(uint64_t seed, bool reductions, tally *count)
{
    dense_finish(&d);
    dense_init(&d, &g, 3, 4, seed);
    garden w;
    garden_init(&w, &d, STEPS + 8, reductions);
    for (int k = 0; k < 6; k++)
        w.pool[w.count++] = dense_var(&d, (kf_role)(k % 3), k < 3 ? 3 : 1, -2, 2);
    const kf_node *f = garden_grow(&w, STEPS), *s = simplified(f);
    ck_assert_msg(s->dim == f->dim && s->axes == f->axes, "seed %llu: dimension %d, axes %d; before %d, %d",
                  (unsigned long long)seed, s->dim, s->axes, f->dim, f->axes);
    ck_assert_msg(simplified(s) == s, "seed %llu: simplified twice is not simplified once", (unsigned long long)seed);
    dense_compute(&d, &w.values, f);
    dense_compute(&d, &w.values, s);
    long double *want = w.values.of[f->id], *exact = w.values.of[s->id];
    double *rounded = reductions ? NULL : dense_interpret(&d, f), *got = reductions ? NULL : dense_interpret(&d, s);
    for (int64_t k = 0; k < d.rows * d.cols * f->dim; k++) {
        long double scale = KB_MAX(1, fabs(want[k]));
        count->components++;
        /* A formula whose value changes this much by rounding alone says nothing. */
        if (rounded && !(fabs(rounded[k] - want[k]) <= 1e-10L * scale)) {
            count->skipped++;
            continue;
        }
        ck_assert_msg(fabs(exact[k] - want[k]) <= 1e-8L * scale, "seed %llu: %.17Lg, not %.17Lg",
                      (unsigned long long)seed, exact[k], want[k]);
        if (got)
            ck_assert_msg(fabs(got[k] - want[k]) <= 1e-8L * scale, "seed %llu: %.17g, not %.17Lg",
                          (unsigned long long)seed, got[k], want[k]);
    }
    count->formulas++;
    count->nodes_before += (long)node_count(&g, f);
    count->nodes_after += (long)node_count(&g, s);
    for (uint32_t k = 0; k < f->id; k++)
        count->reductions += g.nodes[k]->op == KF_REDUCE;
    free(rounded);
    free(got);
    garden_finish(&w);
}

static void report(const char *what, const tally *t, uint64_t seed)
{
    printf("%s: seed %llu, %ld formulas, %.1f nodes before and %.1f after, %ld reductions, %ld of %ld components "
           "skipped\n",
           what, (unsigned long long)seed, t->formulas, (double)t->nodes_before / (double)t->formulas,
           (double)t->nodes_after / (double)t->formulas, t->reductions, t->skipped, t->components);
    ck_assert_int_le(t->skipped * 200, t->components);
    ck_assert_int_ge(t->nodes_before, 25 * t->formulas);
    ck_assert_int_lt(t->nodes_after, t->nodes_before);
}

START_TEST(random_formulas_keep_their_values)
{
    uint64_t seed = case_seed(1);
    tally t = {0};
    for (int k = 0; k < (getenv("KEOPSCL_TEST_SEED") ? 1 : CASES); k++)
        check_random(seed + (uint64_t)k, false, &t);
    report("formulas", &t, seed);
}
END_TEST

START_TEST(random_formulas_with_reductions_keep_their_values)
{
    uint64_t seed = case_seed(100001);
    tally t = {0};
    for (int k = 0; k < (getenv("KEOPSCL_TEST_SEED") ? 1 : CASES / 2); k++)
        check_random(seed + (uint64_t)k, true, &t);
    report("with reductions", &t, seed);
    ck_assert_int_ge(t.reductions, t.formulas / 2);
}
END_TEST

/* ---- Growth ------------------------------------------------------------------------------------------------------ */

/* A formula of about `size` nodes that needs rules everywhere. */
static const kf_node *large(int size, int kind)
{
    const kf_node *x = kf_var(&g, 0, 3, KF_ROLE_I), *y = kf_var(&g, 1, 3, KF_ROLE_J), *s = kf_var(&g, 2, 1, KF_ROLE_I);
    const kf_node *f = kind == 2 ? s : x;
    for (int k = 0; k < size / 5; k++) {
        if (kind == 0) {
            const kf_node *t = kf_binary(&g, KF_MULT, kf_rat(&g, k % 9 + 1, 7), kf_unary(&g, KF_SIN, f));
            f = kf_binary(&g, KF_ADD, f, kf_unary(&g, KF_MINUS, kf_binary(&g, KF_MULT, t, k % 2 ? x : y)));
        } else if (kind == 1) {
            const kf_node *t = kf_binary(&g, KF_MULT, s, kf_binary(&g, KF_MULT, kf_num(&g, 1.1), y));
            f = kf_binary(&g, KF_MULT, kf_binary(&g, KF_MULT, f, kf_rat(&g, 1, k % 5 + 1)),
                          kf_unary(&g, KF_MINUS, t));
        } else { /* sums over, and components of, a vector that is put together piece by piece */
            f = kf_binary(&g, KF_CONCAT, f, s);
            f = kf_binary(&g, KF_CONCAT, kf_unary(&g, KF_SUM, f), kf_make(&g, KF_ELEM, &f, &(int64_t){0}));
        }
    }
    return f;
}

START_TEST(time_grows_with_the_number_of_nodes)
{
    double seconds[3];
    for (int k = 0, size = 1000; k < 3; k++, size *= 10) {
        seconds[k] = INFINITY;
        for (int repeat = 0; repeat < 3; repeat++) {
            teardown();
            setup();
            const kf_node *f = large(size, _i);
            double start = cpu_seconds();
            simplified(f);
            seconds[k] = KB_MIN(seconds[k], cpu_seconds() - start);
        }
    }
    printf("simplify, kind %d: %.2g s for 1e3 nodes, %.2g s for 1e4, %.2g s for 1e5\n", _i, seconds[0], seconds[1],
           seconds[2]);
    ck_assert_msg(seconds[2] < 60 * KB_MAX(seconds[1], 2e-3), "%g s for 1e4 nodes, %g s for 1e5", seconds[1],
                  seconds[2]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("simplify");
    TCase *tests = tcase_create("simplify");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, a_rule_changes_its_example_and_keeps_its_value, 0, (int)kf_rule_count * 16);
    tcase_add_loop_test(tests, a_rule_keeps_nan_and_infinity, 0, (int)kf_rule_count * 2);
    tcase_add_loop_test(tests, formulas_keep_nan_and_infinity, 0, KB_COUNT(kept));
    tcase_add_test(tests, rules_are_named_and_documented);
    tcase_add_loop_test(tests, formulas_become_what_they_should, 0, KB_COUNT(pairs));
    tcase_add_test(tests, division_by_zero_is_not_carried_out);
    tcase_add_test(tests, a_lost_axis_still_counts_its_terms);
    tcase_add_test(tests, reductions_that_are_no_sums_keep_their_terms);
    tcase_add_test(tests, several_roots_and_roots_in_place);
    tcase_add_test(tests, random_formulas_keep_their_values);
    tcase_add_test(tests, random_formulas_with_reductions_keep_their_values);
    tcase_add_loop_test(tests, time_grows_with_the_number_of_nodes, 0, 3);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
