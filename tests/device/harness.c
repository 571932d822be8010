/* SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char harness_source[] = "kernel twice, kernel idle";
char harness_folder[512];
char harness_log[16384];

static void collect(void *user, const char *line)
{
    (void)user;
    if (strlen(harness_log) + strlen(line) + 2 < sizeof harness_log) {
        strcat(harness_log, line);
        strcat(harness_log, "\n");
    }
}

void put_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, size, f), size);
    fclose(f);
}

bool find_file(const char *part, int n, char path[1024])
{
    DIR *d = opendir(harness_folder);
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        if (e->d_name[0] != '.' && strstr(e->d_name, part) && n-- == 0) {
            snprintf(path, 1024, "%s/%s", harness_folder, e->d_name);
            found = true;
        }
    }
    if (d)
        closedir(d);
    return found;
}

void harness_setup(void)
{
    static const char *const names[] = {"KEOPSCL_DEVICE", "KEOPSCL_THREADS",  "KEOPSCL_LOG",     "KEOPSCL_CACHE_DIR",
                                        "KEOPSCL_CACHE",  "KEOPSCL_DUMP_DIR", "KEOPSCL_PROGRAMS"};
    for (size_t k = 0; k < KB_COUNT(names); k++)
        unsetenv(names[k]);
    const char *base = getenv("TMPDIR");
    snprintf(harness_folder, sizeof harness_folder, "%s/keopscl-test-XXXXXX", base && *base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(harness_folder));
    setenv("KEOPSCL_CACHE_DIR", harness_folder, 1);
    harness_log[0] = 0;
    fake_reset();
}

void empty_folder(void)
{
    char path[1024];
    while (find_file("", 0, path))
        unlink(path);
}

void harness_teardown(void)
{
    empty_folder();
    rmdir(harness_folder);
    fake_reset();
}

void has_parts(const char *text, const char *const *parts)
{
    for (; *parts; parts++)
        ck_assert_msg(strstr(text, *parts) != NULL, "no \"%s\" in: %s", *parts, text);
}

kcl_status open_device(kcl_context **c, const char *device)
{
    return kd_context_create_with(&fake_cl, c, &(kcl_context_params){.device = device, .log = collect});
}

kcl_status run_twice(kcl_context *c, const float *in, float *out, int n)
{
    kd_kernel *twice, *idle;
    kd_buffer *scratch = NULL;
    const size_t one[3] = {1, 1, 1}, global[3] = {64, 1, 1}, bytes = (size_t)n * sizeof *in;
    kcl_status status = kd_kernel_get(c, harness_source, "twice", "label", &twice);
    if (status >= 0)
        status = kd_kernel_get(c, harness_source, "idle", "label", &idle);
    if (status >= 0)
        status = kd_buffer_create(c, 256, &scratch);
    if (status >= 0)
        status = kd_launch(c, twice, 3,
                           (kd_arg[]){{KD_ARG_HOST_IN, in, bytes, NULL},
                                      {KD_ARG_HOST_OUT, out, bytes, NULL},
                                      {KD_ARG_VALUE, &n, sizeof n, NULL}},
                           global, one);
    if (status >= 0)
        status = kd_launch(c, idle, 3,
                           (kd_arg[]){{KD_ARG_BUFFER, NULL, 0, scratch},
                                      {KD_ARG_HOST_IN, NULL, 0, NULL},
                                      {KD_ARG_HOST_IN, in, bytes, NULL}},
                           global, one);
    kd_buffer_release(c, &scratch);
    if (status >= 0 || kcl_context_status(c) < 0) {
        kcl_status end = kd_finish(c);
        status = status < 0 ? status : end;
    }
    return status;
}

void check_twice(kcl_context *c)
{
    float in[10], out[10];
    for (int round = 0; round < 3; round++) {
        for (int k = 0; k < 10; k++)
            in[k] = (float)(k + 100 * round);
        memset(out, 0, sizeof out);
        ck_assert_msg(run_twice(c, in, out, 10) == KCL_OK, "%s", kcl_context_error(c));
        for (int k = 0; k < 10; k++)
            ck_assert_float_eq(out[k], 2 * in[k]);
    }
}

int run_tests(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create("fake OpenCL");
    tcase_add_checked_fixture(tc, harness_setup, harness_teardown);
    tcase_set_timeout(tc, 0); /* meson has limits, and lengthens them under sanitizers */
    for (size_t k = 0; k < count; k++)
        tcase_add_test(tc, tests[k]);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
