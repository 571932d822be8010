/* SPDX-License-Identifier: MIT */
/* What programs hold of cl/: what they use, and nothing else. */
#include "programs.h"

#include <ctype.h>
#include <stdlib.h>

enum { MOST_BYTES = 40000, MOST_OF_A_SUM = 24000 }; /* of what is not generated: all of cl/ is 120,000 */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* How often a word stands in a text. */
static int count_of(const char *text, const char *word, size_t length)
{
    int count = 0;
    for (const char *p = text; *p;) {
        size_t n = 0;
        while (is_word(p[n]))
            n++;
        count += n == length && strncmp(p, word, n) == 0;
        p += n ? n : 1;
    }
    return count;
}

static bool has(const char *text, const char *word)
{
    return count_of(text, word, strlen(word)) > 0;
}

/* The name of the function or macro whose definition this line begins; its length, 0: it begins none. */
static size_t name_defined_by(const char *line, const char **name)
{
    const char *p = line;
    size_t length = 0;
    if (strncmp(line, "#define ", 8) == 0) {
        p += 8;
    } else if (strncmp(line, "KCL_FN ", 7) == 0) {
        p = line + strcspn(line, "(\n");
        while (p > line && is_word(p[-1]))
            p--;
    } else if (strncmp(line, "KCL_PREPARE(", 12) != 0 && strncmp(line, "KCL_", 4) == 0 && /* that one makes kernels */
               line[strcspn(line, "\n") - 1] == ')') {                                    /* KCL_SCALAR_(kcl_exp) */
        p += strcspn(line, "(") + 1;
    } else {
        return 0;
    }
    while (is_word(p[length]))
        length++;
    *name = p;
    return length;
}

/* Definitions of a name in a text. */
static int definitions_of(const char *text, const char *word, size_t length)
{
    int count = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        const char *name;
        const size_t n = name_defined_by(line, &name);
        count += n == length && strncmp(name, word, n) == 0;
        if (!strchr(line, '\n'))
            break;
    }
    return count;
}

START_TEST(what_a_program_defines_is_used)
{
    const program_case *c = &program_cases[_i];
    kt_program program;
    render_case(&program, c);
    const char *text = kb_str_text(&program.source);
    int defined = 0;
    for (const char *line = text + program.body; line && *line; line = strchr(line, '\n')) {
        const char *name;
        line += *line == '\n';
        const size_t length = name_defined_by(line, &name);
        /* Macros that a pasted word or another definition of the same thing needs are no harm; functions are. */
        if (!length || strncmp(line, "#define", 7) == 0)
            continue;
        ck_assert_msg(count_of(text, name, length) > definitions_of(text, name, length), "%s: nothing uses %.*s",
                      c->name, (int)length, name);
        defined++;
    }
    ck_assert_int_gt(defined, 0);
    ck_assert_msg(program.source.length - program.body < MOST_BYTES, "%s: %zu bytes", c->name,
                  program.source.length - program.body);
    for (int k = 0; k < KT_KERNELS; k++) {
        const bool there = has(text + program.body, kt_kernel_names[k]);
        ck_assert_msg(there == (program.kernel[k].count > 0), "%s: kernel %s", c->name, kt_kernel_names[k]);
    }
    kt_program_finish(&program);
}
END_TEST

/* PoCL compiles a kernel three times. On CPUs a kernel is a call with its arguments and four numbers of the work-item. */
START_TEST(kernels_of_cpus_are_calls)
{
    const program_case *c = &program_cases[_i];
    kt_program program;
    render_case(&program, c);
    const char *text = kb_str_text(&program.source);
    for (int k = 0; k < KT_KERNELS; k++) {
        char head[64], call[64];
        snprintf(head, sizeof head, "\n__kernel void %s(", kt_kernel_names[k]);
        snprintf(call, sizeof call, ")\n{\n    %s_body(", kt_kernel_names[k]);
        const char *entry = strstr(text, head), *body = entry ? strstr(entry, call) : NULL;
        const bool there = c->schedule == KP_BY_LANES && program.kernel[k].count;
        ck_assert_msg(!entry == !there, "%s: kernel %s", c->name, kt_kernel_names[k]);
        if (!there)
            continue;
        ck_assert_msg(body && !memchr(entry + 1, '{', (size_t)(body - entry)), "%s: kernel %s is no call", c->name,
                      kt_kernel_names[k]);
        size_t arguments = 1;
        body += strlen(call);
        for (const char *p = body; *p != ';'; p++)
            arguments += *p == ',';
        ck_assert_uint_eq(arguments, program.kernel[k].count + 4);
        ck_assert(strncmp(body + strcspn(body, ";"), ";\n}\n", 4) == 0);
    }
    kt_program_finish(&program);
}
END_TEST

START_TEST(a_sum_has_nothing_of_others)
{
    static const char *const foreign[] = {"kcl_sin",     "kcl_log2",      "kcl_erf",        "kcl_soft_dtw",
                                          "kcl_numbers", "ARGMIN_STEP",   "LOGSUMEXP_INIT", "kcl_join_argmin",
                                          "KMIN_STEP",   "kcl_fast_exp2", "finish"};
    static const char *const own[] = {"kcl_exp2", "kcl_two_sum", "SUM_STEP_PRODUCT", "sweep"};
    const program_case *c = program_cases;
    while (strcmp(c->name, "gauss-3") != 0)
        c++;
    kt_program program;
    render_case(&program, c);
    const char *text = kb_str_text(&program.source);
    for (size_t k = 0; k < KB_COUNT(foreign); k++)
        ck_assert_msg(!has(text, foreign[k]), "a sum has %s", foreign[k]);
    for (size_t k = 0; k < KB_COUNT(own); k++)
        ck_assert_msg(has(text, own[k]), "a sum has no %s", own[k]);
    ck_assert_uint_lt(program.source.length - program.body, MOST_OF_A_SUM);
    kt_program_finish(&program);
}
END_TEST

START_TEST(other_programs_have_their_kernels)
{
    kb_str text, with;
    kb_str_init(&text, NULL);
    kb_str_init(&with, NULL);
    kt_render_squares(&text, KCL_F32, false);
    kt_render_squares(&with, KCL_F64, true);
    ck_assert(!has(kb_str_text(&text), "double") && has(kb_str_text(&with), "double"));
    ck_assert(!has(kb_str_text(&text), "kcl_exp2") && has(kb_str_text(&text), "squares"));
    kb_str_clear(&text);
    kt_render_indexed(&text, KCL_F32);
    static const char *const kernels[] = {"gather", "whole", "take", "scatter"};
    for (size_t k = 0; k < KB_COUNT(kernels); k++)
        ck_assert_msg(has(kb_str_text(&text), kernels[k]), "%s", kernels[k]);
    kb_str_finish(&text);
    kb_str_finish(&with);
}
END_TEST

START_TEST(copies_take_elements_as_they_are)
{
    static const struct {
        size_t size;
        const char *type;
    } elements[] = {{1, "uchar"}, {2, "ushort"}, {4, "uint"}, {8, "ulong"}, {16, "ulong2"}};
    for (size_t k = 0; k < KB_COUNT(elements); k++) {
        kb_str text;
        kb_str_init(&text, NULL);
        kt_render_copy(&text, elements[k].size);
        ck_assert_msg(has(kb_str_text(&text), elements[k].type), "%zu bytes", elements[k].size);
        ck_assert(has(kb_str_text(&text), "copy") && !has(kb_str_text(&text), "sweep"));
        kb_str_finish(&text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("render-library");
    TCase *tc = tcase_create("library");
    tcase_add_loop_test(tc, what_a_program_defines_is_used, 0, PROGRAMS);
    tcase_add_loop_test(tc, kernels_of_cpus_are_calls, 0, PROGRAMS);
    tcase_add_test(tc, a_sum_has_nothing_of_others);
    tcase_add_test(tc, other_programs_have_their_kernels);
    tcase_add_test(tc, copies_take_elements_as_they_are);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
