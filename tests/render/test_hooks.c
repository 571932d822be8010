/* SPDX-License-Identifier: MIT */
/* Rows of the table of reductions against their .cl files: hooks are those that the file of a reduction defines. */
#include "reduction.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

extern const struct kt_file {
    const char *name;
    const unsigned char *text;
} kt_cl_reductions[];

static const char *const hook_names[] = {
#define KR_HOOK(hook, kind) #hook,
    KR_HOOKS(KR_HOOK)};

static const char *text_of(const char *name)
{
    for (const struct kt_file *f = kt_cl_reductions; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return (const char *)f->text;
    return NULL;
}

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
    int last = 0;
    while (r->files[last + 1])
        last++;
    for (int k = 0; k <= last; k++) {
        const char *text = text_of(r->files[k]);
        ck_assert_msg(text != NULL, "%s: there is no file %s", r->name, r->files[k]);
        const unsigned hooks = hooks_in(text, r->name), wanted = k == last ? r->hooks : 0;
        for (int n = 0; n < KR_HOOK_COUNT; n++)
            ck_assert_msg(!((hooks ^ wanted) & 1u << n), "%s: hook %s of the %s is missing in the %s", r->files[k],
                          hook_names[n], hooks & 1u << n ? "file" : "row", hooks & 1u << n ? "row" : "file");
    }
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

int main(void)
{
    Suite *suite = suite_create("render-hooks");
    TCase *tc = tcase_create("hooks");
    tcase_add_test(tc, rows_have_the_hooks_of_their_files);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
