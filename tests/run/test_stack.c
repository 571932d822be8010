/* SPDX-License-Identifier: MIT */
/*
 * How much of a thread's stack the library needs: what keopscl/keopscl.h promises, for ordinary formulas and for the
 * deepest. The stack of the thread is painted before, so what was written to is seen.
 */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#endif
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum {
    STACK = 64 << 10, /* that keopscl/keopscl.h asks for */
    USED = 48 << 10,  /* of it, at most: other compilers make other frames */
    /* Sanitizers put red zones around everything: there the test looks for crashes, and not at sizes. */
    GIVEN = SANITIZED ? 1 << 20 : STACK,
    PAGE = 64 << 10, /* below the stack, where nothing may be written: a multiple of any system's pages */
    PAINT = 0xa5,
    MOST_LEVELS = 500,
    ROWS = 3,
    COLUMNS = 4
};

static void setup(void)
{
}

static void teardown(void)
{
}

/* `head` n times, `middle`, `tail` n times, in the reduction that a format makes of it. */
typedef struct shape {
    const char *name, *format, *head, *middle, *tail;
    int levels;   /* of each head; 0: a chain */
    bool doubles; /* its text, which is written in full, doubles with every level */
} shape;

static const shape shapes[] = {
    {"operators", "Sum_Reduction(%s,0)", "Sin(b+", "x|y", ")", 1, false},
    {"parentheses", "Sum_Reduction(%s,0)", "(g+", "x|y", ")", 1, false},
    {"exponents", "Sum_Reduction(b*%s,0)", "g**", "g", "", 1, false},
    {"products", "Sum_Reduction(%s,0)", "g*(b*", "(x|y)", ")", 1, false},
    {"quotients", "LogSumExp_Reduction(%s,0)", "g/(1+b*", "(x|y)", ")", 1, false},
    {"vectors", "Sum_Reduction(%s,0)", "Normalize(g*x-", "y", ")", 1, true},
    {"copies", "Sum_Reduction(Elem(%s,0),0)", "Concat(", "x*b", ",g)", 1, false},
    {"parts", "Sum_Reduction(%s,0)", "Extract(Concat(b,", "x", "),1,3)", 2, false},
    {"choices", "Sum_Reduction(%s,0)", "IfElse(x|y,", "b", ",Clamp(b,g,b))", 1, true},
    {"complex numbers", "Sum_Reduction(%s,0)", "ComplexMult(Concat(b,g),", "Concat(g,b)", ")", 1, true},
    {"reductions", "Sum_Reduction(%s,0)", "Exp(-g*Sum_Reduction(b*", "(x|y)", ",0))", 2, false},
    {"smallest values", "Sum_Reduction(%s,0)", "Exp(-Min_Reduction(b+", "(x|y)", ",0))", 2, false},
    {"weighted reductions", "Sum_Reduction(%s,0)", "(LogSumExpWeight_Reduction(b,0,", "(x|x)", "))", 2, false},
    {"a chain of sums", "Sum_Reduction(%s,0)", "b+", "(x|y)", "", 0, false},
    {"a chain of products", "Sum_Reduction(%s,0)", "b*g*", "(x|y)", "", 0, false},
    {"a chain of differences", "Sum_Reduction(%s,0)", "x*b-y/", "g", "", 0, false},
    {"signs", "Sum_Reduction(%s,0)", "-", "b", "", 0, false},
};

static char *text_of(const shape *s, int levels)
{
    const size_t n = (size_t)levels, head = strlen(s->head), middle = strlen(s->middle), tail = strlen(s->tail);
    char *inner = malloc(n * (head + tail) + middle + 1), *at = inner;
    char *text = malloc(n * (head + tail) + middle + strlen(s->format) + 1);
    ck_assert(inner && text);
    for (size_t k = 0; k < n; k++, at += head)
        memcpy(at, s->head, head);
    memcpy(at, s->middle, middle);
    at += middle;
    for (size_t k = 0; k < n; k++, at += tail)
        memcpy(at, s->tail, tail);
    *at = 0;
    sprintf(text, s->format, inner);
    free(inner);
    return text;
}

typedef struct job {
    const char *text; /* NULL: an expression that is built */
    bool print, emit, done;
    char problem[600];
} job;

static void swallow(void *user, const char *text, size_t length)
{
    (void)user, (void)text, (void)length;
}

static void note(job *j, const char *what, const char *why)
{
    if (!*j->problem)
        snprintf(j->problem, sizeof j->problem, "%s: %s", what, why);
}

static kcl_status apply_to_ones(const kcl_operator *op, kcl_context *ctx)
{
    static const double ones[3 * COLUMNS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static double results[64][3 * COLUMNS];
    kcl_array ins[8], outs[8];
    const kcl_array *in[8], *out[8];
    const int in_count = kcl_operator_input_count(op), out_count = kcl_operator_output_count(op);
    for (int k = 0; k < in_count + out_count; k++) {
        kcl_slot_info slot;
        if (k < in_count)
            kcl_operator_input(op, k, &slot);
        else
            kcl_operator_output(op, k - in_count, &slot);
        const int64_t rows = slot.role == KCL_ROLE_I ? ROWS : slot.role == KCL_ROLE_J ? COLUMNS : 1;
        kcl_array *a = k < in_count ? &ins[k] : &outs[k - in_count];
        *a = *kcl_f64(k < in_count ? (void *)(uintptr_t)ones : results[k - in_count], rows, slot.dim);
        *(k < in_count ? &in[k] : &out[k - in_count]) = a;
    }
    return kcl_operator_apply(op, ctx, out, out_count, in, in_count);
}

static void work_on_text(job *j, kcl_context *ctx)
{
    static const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "b=Vj(1)", "g=Pm(1)"};
    kcl_operator *op, *gradient = NULL;
    if (kcl_operator_create(&op, j->text, 4, aliases, NULL) < 0)
        note(j, "operator", op ? kcl_operator_error(op) : "no memory");
    else if (apply_to_ones(op, ctx) < 0)
        note(j, "apply", kcl_context_error(ctx));
    else if (kcl_operator_grad(&gradient, op, "b") < 0)
        note(j, "gradient", gradient ? kcl_operator_error(gradient) : "no memory");
    else if (apply_to_ones(gradient, ctx) < 0)
        note(j, "gradient, apply", kcl_context_error(ctx));
    else if (j->print && kcl_operator_print(op, swallow, NULL) < 0)
        note(j, "print", kcl_operator_error(op));
    for (int k = 0; j->emit && k < 2 && !*j->problem; k++)
        if (kcl_operator_emit(k ? gradient : op, NULL, k ? "gpu" : "cpu", KCL_F32, 1000, 1000, swallow, NULL) < 0)
            note(j, "emit", "an error");
    kcl_operator_destroy(&gradient);
    kcl_operator_destroy(&op);
}

/* An expression of many levels, which builders do not bound, and its gradient. */
static void work_on_expression(job *j, kcl_context *ctx)
{
    const double rows[ROWS] = {0.5, 1, 2};
    double sums[ROWS], slopes[ROWS];
    kcl_scope *s = kcl_scope_create(ctx);
    kcl_expr *x = kcl_vi(s, kcl_f64(rows, ROWS, 1)), *y = kcl_vj(s, kcl_f64(rows, ROWS, 1)), *f = kcl_mul(x, y);
    for (int k = 0; k < 2 * MOST_LEVELS; k++)
        f = kcl_sin(kcl_add(f, x));
    kcl_expr *L = kcl_reduce_sum(f, KCL_OVER_J), *all = kcl_reduce_sum(L, KCL_OVER_I);
    kcl_expr *const results[] = {L, kcl_grad(all, x)};
    const kcl_array *const outs[] = {kcl_f64(sums, ROWS, 1), kcl_f64(slopes, ROWS, 1)};
    if (kcl_eval(2, results, outs) < 0)
        note(j, "expression", kcl_context_error(ctx));
    kcl_scope_destroy(&s);
}

static void *work(void *user)
{
    job *j = user;
    kcl_context *ctx;
    if (kcl_context_create(&ctx, &(kcl_context_params){.device = "host"}) < 0)
        note(j, "context", kcl_context_error(ctx));
    else if (j->text)
        work_on_text(j, ctx);
    else
        work_on_expression(j, ctx);
    kcl_context_destroy(&ctx);
    j->done = true;
    return NULL;
}

/* Runs the job in a thread of its own; returns how much of its stack was written to. */
static size_t stack_of(job *j)
{
    pthread_attr_t attributes;
    pthread_t thread;
    const size_t given = GIVEN;
    unsigned char *memory = mmap(NULL, given + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    ck_assert_int_eq(mprotect(memory, PAGE, PROT_NONE), 0);
    unsigned char *stack = memory + PAGE;
    memset(stack, PAINT, given);
    ck_assert_int_eq(pthread_attr_init(&attributes), 0);
    ck_assert_int_eq(pthread_attr_setstack(&attributes, stack, given), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, work, j), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    size_t clean = 0;
    while (clean < given && stack[clean] == PAINT)
        clean++;
    munmap(memory, given + PAGE);
    ck_assert(j->done);
    return given - clean;
}

static void check_stack(const char *name, int levels, job *j)
{
    const size_t used = stack_of(j);
    printf("%s, %d times: %zu bytes\n", name, levels, used);
    ck_assert_msg(SANITIZED || used <= USED, "%s, %d times: %zu bytes of the stack, more than %d", name, levels, used,
                  USED);
}

/* Levels of a formula take no stack: the parser, the passes over formulas, plans, texts and the interpreter. */
START_TEST(test_texts)
{
    const shape *s = &shapes[_i];
    const int most = s->levels ? (MOST_LEVELS - 5) / s->levels : 20000;
    for (int levels = 15; levels <= most; levels = levels < most && levels * 10 > most ? most : levels * 10) {
        char *text = text_of(s, levels);
        job j = {.text = text, .print = !s->doubles || levels == 15, .emit = levels < 100};
        check_stack(s->name, levels, &j);
        ck_assert_msg(!*j.problem, "%s, %d times: %s", s->name, levels, j.problem);
        free(text);
        if (levels == most)
            break;
    }
}
END_TEST

/* What is too deep is an error. */
START_TEST(test_too_many_levels)
{
    const shape *s = &shapes[_i];
    if (!s->levels)
        return;
    for (int levels = MOST_LEVELS + 1; levels < 100000; levels *= 60) {
        char *text = text_of(s, levels);
        job j = {.text = text};
        check_stack(s->name, levels, &j);
        ck_assert_msg(strstr(j.problem, "the formula is nested more than 500 levels deep") != NULL, "%s", j.problem);
        free(text);
    }
}
END_TEST

START_TEST(test_expressions)
{
    job j = {.text = NULL};
    check_stack("an expression", 2 * MOST_LEVELS, &j);
    ck_assert_msg(!*j.problem, "%s", j.problem);
}
END_TEST

int main(void)
{
    const int count = (int)KB_COUNT(shapes);
    const test_entry tests[] = {
        {test_texts, count},
        {test_too_many_levels, count},
        {test_expressions, 0},
    };
    return run_entries("stack", tests, KB_COUNT(tests), setup, teardown);
}
