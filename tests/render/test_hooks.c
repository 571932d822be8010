/* SPDX-License-Identifier: MIT */
/*
 * Rows of the table of reductions against what becomes of them: hooks are those that cl/reduce defines, and
 * plans count the memory that kernels declare.
 */
#include "library.h"
#include "planner.h"
#include "programs.h"

#include <ctype.h>

static const char *const hook_names[] = {
#define KR_HOOK(hook, kind) #hook,
    KR_HOOKS(KR_HOOK)};

/* The hooks that a text defines for a reduction; a macro with its prefix that is none is an error. */
static unsigned hooks_in(const char *text, const char *reduction)
{
    unsigned hooks = 0;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "#define %s_", reduction);
    for (const char *at = text; (at = strstr(at, prefix)) != NULL;) {
        at += strlen(prefix);
        size_t length = 0, found = KR_HOOK_COUNT;
        while (isalnum((unsigned char)at[length]) || at[length] == '_')
            length++;
        for (size_t k = 0; k < KR_HOOK_COUNT; k++)
            if (strlen(hook_names[k]) == length && strncmp(hook_names[k], at, length) == 0)
                found = k;
        ck_assert_msg(found < KR_HOOK_COUNT, "%s_%.*s is no hook", reduction, (int)length, at);
        hooks |= 1u << found;
    }
    return hooks;
}

static void check_row(const kr_reduction *r)
{
    const unsigned needed = KR_INIT | KR_STEP | KR_RESULT | KR_JOIN;
    const unsigned hooks = hooks_in((const char *)kt_cl_text, r->name);
    for (int n = 0; n < KR_HOOK_COUNT; n++)
        ck_assert_msg(!((hooks ^ r->hooks) & 1u << n), "%s: hook %s of the %s is missing in the %s", r->name,
                      hook_names[n], hooks & 1u << n ? "file" : "row", hooks & 1u << n ? "row" : "file");
    ck_assert_uint_eq(r->hooks & needed, needed);
    ck_assert_int_gt(r->numbers, 0);
    ck_assert_ptr_nonnull(r->arrays[0].name);
}

START_TEST(rows_have_the_hooks_of_their_files)
{
    int count = 0;
    for (int k = 0; k < KF_REDUCTION_COUNT; k++) {
        const kr_reduction *screened = kr_screened((kf_reduction)k);
        if (!kr_get((kf_reduction)k)->name)
            continue;
        check_row(kr_get((kf_reduction)k));
        ck_assert(kr_get((kf_reduction)k)->finish != NULL);
        ck_assert_int_eq(kr_get((kf_reduction)k)->error == KR_ERROR_CHOOSES, screened != NULL);
        if (screened)
            check_row(screened);
        count += 1 + (screened != NULL);
    }
    ck_assert_int_ge(count, 8);
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* A factor of the length of an array: a number, or a macro of the program. */
static int64_t factor_at(const kp_plan *plan, const char **at)
{
    static const char *const names[] = {"KCL_STATES", "KCL_STEP_LENGTH", "KCL_LANES", "KCL_D", "KCL_K"};
    for (size_t k = 0; k < KB_COUNT(names); k++) {
        if (strncmp(*at, names[k], strlen(names[k])) != 0)
            continue;
        *at += strlen(names[k]);
        if (k == 0)
            return plan->shape == KP_COLUMNS ? plan->stream : 1;
        if (k < 3)
            return k == 1 ? plan->stream : plan->lanes;
        const kr_term *term = &plan->terms[strtoll(*at, (char **)(uintptr_t)at, 10)];
        return k == 3 ? term->formula->dim : term->param;
    }
    const char *begin = *at;
    const int64_t number = strtoll(*at, (char **)(uintptr_t)at, 10);
    ck_assert_msg(*at > begin, "no length: %.40s", begin);
    return number;
}

/* Bytes of the arrays that the macro `name` of a program declares. */
static int64_t declared_bytes(const kp_plan *plan, const char *source, const char *name)
{
    static const char *const types[] = {"lanes ", "ilanes ", "bool ", "long "};
    const int64_t vector = (int64_t)kb_dtype_size(plan->dtype) * plan->lanes, sizes[] = {vector, vector, 1, 8};
    int64_t bytes = 0;
    const char *at = strstr(source, name);
    ck_assert_ptr_nonnull(at);
    const char *end = strchr(at, '\n');
    while (end[-1] == '\\')
        end = strchr(end + 1, '\n');
    for (at += strlen(name); at < end;) {
        int64_t size = 0;
        for (size_t k = 0; k < KB_COUNT(types); k++)
            if (strncmp(at, types[k], strlen(types[k])) == 0) {
                size = sizes[k];
                at += strlen(types[k]);
                break;
            }
        for (bool more = size > 0; more; at++) {
            int64_t count = 1;
            at += strcspn(at, "[,;");
            while (*at == '[') {
                do {
                    at += strspn(at, "[* ");
                    count *= factor_at(plan, &at);
                } while (*at == ' ');
                ck_assert_int_eq(*at++, ']');
            }
            bytes += count * size;
            more = *at == ',';
        }
        if (!size)
            at += isalnum((unsigned char)*at) ? strcspn(at, "(") + strcspn(strchr(at, '('), ")") : 1;
    }
    return bytes;
}

/* While lists are joined there are copies of both. */
static int64_t joined_bytes(const kp_plan *plan)
{
    int64_t bytes = 0, vector = (int64_t)kb_dtype_size(plan->dtype) * plan->lanes;
    for (size_t k = 0; k < plan->term_count; k++)
        if (kp_reduction(plan, k)->lists)
            bytes += 2 * kp_reduction(plan, k)->numbers * plan->terms[k].param * vector;
    return bytes;
}

START_TEST(plans_count_what_kernels_declare)
{
    static const program_case more[] = {
        {"lists", "x:i3 y:j3", "KMin7:x-y;MeanKMin5:x-y;ArgKMin4:x-y", "r0;r1;n2", KP_ROWS, KCL_F32, 0, NULL, 0, false,
         KP_BY_LANES},
        {"lists of GPUs", "x:i3 y:j3", "KMin7:x-y;ArgKMin4:x-y", "r0;n1", KP_COLUMNS, KCL_F64, 0, NULL, 0, false,
         KP_BY_ROWS},
        {"exponentials", "x:i3 y:j3", "ExpSums:Concat(-SqDist(x,y),y);LogSumExp:x-y", "r0;r1", KP_ROWS, KCL_F64, 0,
         NULL, 0, false, KP_BY_LANES},
    };
    int counted = 0;
    for (size_t k = 0; k < PROGRAMS + KB_COUNT(more); k++) {
        const program_case *c = k < PROGRAMS ? &program_cases[k] : &more[k - PROGRAMS];
        sweep_of s;
        kt_program program;
        memset(&s, 0, sizeof s);
        ck_assert_int_eq(kf_graph_init(&s.g, NULL), KCL_OK);
        kp_plan *plan = plan_case(&s, c);
        render_plan(&program, plan);
        if (plan->term_count) {
            const char *text = kb_str_text(&program.source);
            const int64_t bytes = declared_bytes(plan, text, "#define KCL_DECLARE") +
                                  declared_bytes(plan, text, "#define KCL_RESULT") + joined_bytes(plan);
            ck_assert_msg(kp_state_memory(plan) == bytes, "%s: the plan counts %lld bytes, the kernel declares %lld",
                          c->name, (long long)kp_state_memory(plan), (long long)bytes);
            counted++;
        }
        kt_program_finish(&program);
        kp_plan_destroy(&plan);
        sweep_finish(&s);
    }
    ck_assert_int_ge(counted, 40);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("render-hooks");
    TCase *tc = tcase_create("hooks");
    tcase_add_test(tc, rows_have_the_hooks_of_their_files);
    tcase_add_test(tc, plans_count_what_kernels_declare);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
