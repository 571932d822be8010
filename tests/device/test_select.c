/* SPDX-License-Identifier: MIT */
/* Which device is chosen, settings, the report of kcl_doctor. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void append(void *user, const char *text, size_t length)
{
    strncat(user, text, length);
}

/* ---- Selection --------------------------------------------------------------------------------------------------- */

START_TEST(test_device_is_found_by_what_is_written)
{
    static const struct {
        const char *written, *id;
    } cases[] = {{"", "2:1"},
                 {NULL, "2:1"},
                 {"gpu", "2:1"},
                 {"GPU", "2:1"},
                 {"cpu", "0:0"},
                 {"0:0", "0:0"},
                 {"2:0", "2:0"},
                 {"02:00", "2:0"},
                 {"igpu", "2:0"},
                 {"VENDOR", "2:1"},
                 {"1:0", "1:0"},
                 {"other", "1:0"},
                 {"portable", "0:0"},
                 {"host", "host"},
                 {"HOST", "host"},
                 {"interpreter", "host"},
                 {"Interpreter", "host"}};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        for (int by_variable = 0; by_variable < 2; by_variable++) {
            kcl_context *c;
            kcl_device_info info;
            if (by_variable && cases[k].written)
                setenv("KEOPSCL_DEVICE", cases[k].written, 1);
            else
                unsetenv("KEOPSCL_DEVICE");
            ck_assert_int_eq(open_device(&c, by_variable ? NULL : cases[k].written), KCL_OK);
            ck_assert_int_eq(kcl_context_device_info(c, &info), KCL_OK);
            ck_assert_msg(strcmp(info.id, cases[k].id) == 0, "\"%s\" gave %s, not %s",
                          cases[k].written ? cases[k].written : "NULL", info.id, cases[k].id);
            kcl_context_destroy(&c);
            ck_assert_ptr_null(c);
        }
    }
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

START_TEST(test_parameter_goes_before_variable)
{
    kcl_context *c;
    kcl_device_info info;
    setenv("KEOPSCL_DEVICE", "gpu", 1);
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    kcl_context_device_info(c, &info);
    ck_assert_str_eq(info.id, "0:0");
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_no_match_lists_what_can_be_written)
{
    static const char *const wrong[] = {"nothing", "9:9", "0:1", "5:0", "half", "lost", "acc"};
    for (size_t k = 0; k < KB_COUNT(wrong); k++) {
        kcl_context *c;
        setenv("KEOPSCL_DEVICE", wrong[k], 1);
        ck_assert_int_eq(open_device(&c, NULL), KCL_ERROR_NO_DEVICE);
        ck_assert_ptr_nonnull(c);
        const char *text = kcl_context_error(c);
        const char *const parts[] = {"KEOPSCL_DEVICE",
                                     wrong[k],
                                     "host",
                                     "gpu",
                                     "cpu",
                                     "0:0",
                                     "pthread-test processor",
                                     "2:1",
                                     "\"Big GPU\"",
                                     "OpenCL 1.2 is needed",
                                     "no compiler"};
        for (size_t p = 0; p < KB_COUNT(parts); p++)
            ck_assert_msg(strstr(text, parts[p]) != NULL, "no %s in: %s", parts[p], text);
        kcl_context_destroy(&c);
    }
}
END_TEST

START_TEST(test_several_matches_give_the_best_and_a_log_line)
{
    kcl_context *c;
    ck_assert_int_eq(open_device(&c, "vendor"), KCL_OK);
    ck_assert_ptr_nonnull(strstr(harness_log, "names 3 devices, the best of them is used: 2:1 \"Big GPU\""));
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_machine_without_devices)
{
    for (int k = 0; k < 3; k++) {
        kcl_context *c;
        kcl_device_info info;
        harness_log[0] = 0;
        fake_reset();
        if (k == 0)
            fake.platforms_answer = -1001;
        else if (k == 1)
            fake.platform_count = 0;
        else
            fake.platforms += 3, fake.platform_count = 2;
        ck_assert_int_eq(open_device(&c, NULL), KCL_OK);
        kcl_context_device_info(c, &info);
        ck_assert_str_eq(info.id, "host");
        ck_assert(kd_is_host(c));
        ck_assert_ptr_nonnull(strstr(harness_log, "interpreter"));
        kcl_context_destroy(&c);
        ck_assert_int_eq(open_device(&c, "gpu"), KCL_ERROR_NO_DEVICE);
        ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "host"));
        kcl_context_destroy(&c);
        ck_assert_int_eq(kd_device_list_with(&fake_cl, &info, 1), 1);
        ck_assert_str_eq(info.id, "host");
    }
}
END_TEST

/*
 * PoCL has no device if it cannot write its cache, and gives no reason. A file in the way of the cache stops root as
 * well.
 */
START_TEST(test_pocl_that_cannot_write_its_cache)
{
    static const fake_platform silent[] = {{"Portable Computing Language", "OpenCL 2.0", CL_DEVICE_NOT_FOUND, 0, NULL},
                                           {"Portable Computing Language", "OpenCL 3.0", CL_SUCCESS, 0, NULL},
                                           {"Portable Computing Language", "OpenCL 3.0", CL_OUT_OF_RESOURCES, 0, NULL}};
    static const char *const names[] = {"HOME", "XDG_CACHE_HOME", "POCL_CACHE_DIR"};
    static char report[32768];
    char file[600], home[600];
    const char *given = getenv("HOME");
    snprintf(home, sizeof home, "%s", given ? given : "");
    snprintf(file, sizeof file, "%s/file", harness_folder);
    put_file(file, "x", 1);
    setenv("KEOPSCL_CACHE", "off", 1);
    for (size_t n = 0; n < KB_COUNT(names); n++)
        unsetenv(names[n]);
    for (size_t n = 0; n < KB_COUNT(names); n++) {
        setenv(names[n], file, 1);
        for (size_t k = 0; k < KB_COUNT(silent); k++) {
            kcl_context *c;
            const char *const parts[] = {"the OpenCL platform on this machine has no device", file, names[n],
                                         "Not a directory", "POCL_CACHE_DIR=folder"};
            fake.platforms = &silent[k];
            fake.platform_count = 1;
            ck_assert_int_eq(open_device(&c, "cpu"), KCL_ERROR_NO_DEVICE);
            for (size_t p = 0; p < KB_COUNT(parts); p++)
                ck_assert_msg(strstr(kcl_context_error(c), parts[p]) != NULL, "no %s in: %s", parts[p],
                              kcl_context_error(c));
            kcl_context_destroy(&c);
            harness_log[0] = report[0] = 0;
            ck_assert_int_eq(open_device(&c, NULL), KCL_OK);
            ck_assert_ptr_nonnull(strstr(harness_log, "POCL_CACHE_DIR=folder"));
            kcl_context_destroy(&c);
            ck_assert_int_eq(kd_doctor_with(&fake_cl, append, report), KCL_OK);
            ck_assert_ptr_nonnull(strstr(report, "one platform, which has no device"));
            ck_assert_ptr_nonnull(strstr(report, "POCL_CACHE_DIR=folder"));
        }
    }
    /* With a cache that can be written the reason is another one, which is not known. */
    for (int made = 0; made < 2; made++) {
        kcl_context *c;
        char folder[600];
        snprintf(folder, sizeof folder, "%s%s", harness_folder, made ? "" : "/not/there/yet");
        setenv("POCL_CACHE_DIR", folder, 1);
        ck_assert_int_eq(open_device(&c, "cpu"), KCL_ERROR_NO_DEVICE);
        ck_assert_ptr_null(strstr(kcl_context_error(c), "POCL_CACHE_DIR"));
        kcl_context_destroy(&c);
        char left[1024];
        ck_assert(!find_file("keopscl-tmp", 0, left));
    }
    for (size_t n = 0; n < KB_COUNT(names); n++)
        unsetenv(names[n]);
    setenv("HOME", home, 1);
}
END_TEST

/* A full folder: no program is built, and the driver gives no reason. */
START_TEST(test_pocl_with_a_full_cache)
{
    kcl_context *c;
    kd_kernel *k;
    struct rlimit given;
    setenv("KEOPSCL_CACHE", "off", 1);
    setenv("POCL_CACHE_DIR", harness_folder, 1);
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    ck_assert_int_eq(kd_kernel_get(c, "#error", "twice", "label", &k), KCL_ERROR_BUILD);
    ck_assert_ptr_null(strstr(kcl_context_error(c), "POCL_CACHE_DIR"));
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &given), 0);
    const struct rlimit small = {8192, given.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    kcl_status status = kd_kernel_get(c, "#error", "twice", "label", &k);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &given), 0);
    signal(SIGXFSZ, handler);
    ck_assert_int_eq(status, KCL_ERROR_BUILD);
    const char *const parts[] = {harness_folder, "POCL_CACHE_DIR", "cannot be written", strerror(EFBIG), "line 1"};
    for (size_t p = 0; p < KB_COUNT(parts); p++)
        ck_assert_msg(strstr(kcl_context_error(c), parts[p]) != NULL, "no %s in: %s", parts[p], kcl_context_error(c));
    kcl_context_destroy(&c);
    unsetenv("POCL_CACHE_DIR");
}
END_TEST

START_TEST(test_host_touches_no_opencl)
{
    kcl_context *c;
    kd_kernel *k;
    ck_assert_int_eq(open_device(&c, "INTERPRETER"), KCL_OK);
    ck_assert(kd_is_host(c));
    kcl_context_destroy(&c);
    ck_assert_int_eq(open_device(&c, "host"), KCL_OK);
    ck_assert_int_eq(fake.calls, 0);
    ck_assert(kd_is_host(c));
    ck_assert_int_ge(kd_threads(c), 1);
    ck_assert_int_eq(kcl_context_finish(c), KCL_OK);
    ck_assert_int_eq(kd_kernel_get(c, harness_source, "twice", "label", &k), KCL_ERROR_UNSUPPORTED);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.calls, 0);
}
END_TEST

START_TEST(test_broken_platform_is_left_out)
{
    kcl_context *c;
    ck_assert_int_eq(open_device(&c, NULL), KCL_OK);
    ck_assert_ptr_nonnull(
        strstr(harness_log, "\"Broken\" is left out: clGetDeviceIDs failed: CL_OUT_OF_RESOURCES (-5)"));
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_list)
{
    kcl_device_info infos[8];
    ck_assert_int_eq(kd_device_list_with(&fake_cl, infos, 8), 5);
    ck_assert_str_eq(infos[0].id, "0:0");
    ck_assert_str_eq(infos[0].type, "cpu");
    ck_assert_str_eq(infos[1].name, "Other CPU");
    ck_assert_str_eq(infos[3].id, "2:1");
    ck_assert_str_eq(infos[4].id, "host");
    ck_assert(infos[3].score > infos[2].score && infos[2].score > infos[0].score && infos[0].score > infos[1].score);
    ck_assert(infos[1].score > infos[4].score);
    infos[1].id[0] = 'x';
    ck_assert_int_eq(kd_device_list_with(&fake_cl, infos, 1), 5);
    ck_assert_int_eq(infos[1].id[0], 'x');
    ck_assert_int_eq(kd_device_list_with(&fake_cl, NULL, 0), 5);
    ck_assert_int_eq(kd_device_list_with(&fake_cl, NULL, 3), KCL_ERROR_ARGUMENT);
}
END_TEST

START_TEST(test_capabilities)
{
    static const struct {
        const char *device;
        kp_device_class device_class;
        int f32, f64, registers, units;
    } cases[] = {{"0:0", KP_CPU, 16, 8, 32, 8}, {"1:0", KP_CPU, 8, 4, 16, 4}, {"2:0", KP_GPU, 4, 2, 16, 96}};
    setenv("KEOPSCL_THREADS", "2", 1);
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        kcl_context *c;
        ck_assert_int_eq(open_device(&c, cases[k].device), KCL_OK);
        const kp_caps *caps = kd_caps(c);
        ck_assert_int_eq(caps->device_class, cases[k].device_class);
        ck_assert_int_eq(caps->lanes_f32, cases[k].f32);
        ck_assert_int_eq(caps->lanes_f64, cases[k].f64);
        ck_assert_int_eq(caps->vector_registers, cases[k].registers);
        ck_assert_int_eq(caps->compute_units, cases[k].units);
        ck_assert_int_eq(caps->max_work_group, caps->device_class == KP_GPU ? 1024 : 4096);
        ck_assert_uint_eq(caps->local_memory, 32768);
        ck_assert_int_eq(caps->has_f64, k != 2);
        kcl_context_destroy(&c);
    }
    static const struct {
        const char *type, *name;
        bool slow;
    } dividers[] = {{"cpu", "cpu-skylake-avx512-Intel(R) Xeon(R) Processor", true},
                    {"cpu", "cpu-skylake-avx512-AMD EPYC", false},
                    {"gpu", "Intel(R) Arc(TM) A770 Graphics", false}};
    for (size_t k = 0; k < KB_COUNT(dividers); k++) {
        const fake_device device = {.name = dividers[k].name};
        kcl_device_info info = {.compute_units = 1};
        kp_caps caps;
        snprintf(info.type, sizeof info.type, "%s", dividers[k].type);
        snprintf(info.name, sizeof info.name, "%s", dividers[k].name);
        ck_assert_int_eq(kd_fill_caps(&caps, &fake_cl, (cl_device_id)(uintptr_t)&device, &info), CL_SUCCESS);
        ck_assert_int_eq(caps.slow_divider, dividers[k].slow);
    }
}
END_TEST

/* ---- Settings ---------------------------------------------------------------------------------------------------- */

START_TEST(test_malformed_variables_are_named)
{
    static const struct {
        const char *name, *value;
    } cases[] = {{"KEOPSCL_THREADS", "0"},
                 {"KEOPSCL_THREADS", "-1"},
                 {"KEOPSCL_THREADS", "two"},
                 {"KEOPSCL_THREADS", "2.5"},
                 {"KEOPSCL_THREADS", " 2"},
                 {"KEOPSCL_THREADS", "99999999999999999999"},
                 {"KEOPSCL_LOG", "yes"},
                 {"KEOPSCL_CACHE", "never"},
                 {"KEOPSCL_CACHE_DIR", "off"},
                 {"KEOPSCL_CACHE_DIR", "kernels"},
                 {"KEOPSCL_DUMP_DIR", "/not/there"},
                 {"KEOPSCL_DUMP_DIR", "/dev/null"}};
    for (size_t k = 0; k < KB_COUNT(cases); k++) {
        kcl_context *c;
        setenv(cases[k].name, cases[k].value, 1);
        ck_assert_msg(open_device(&c, "host") == KCL_ERROR_ARGUMENT, "%s=%s", cases[k].name, cases[k].value);
        ck_assert_ptr_nonnull(strstr(kcl_context_error(c), cases[k].name));
        ck_assert_ptr_nonnull(strstr(kcl_context_error(c), cases[k].value));
        kcl_context_destroy(&c);
        unsetenv(cases[k].name);
    }
    kcl_context *c;
    ck_assert_int_eq(kd_context_create_with(&fake_cl, &c, &(kcl_context_params){.threads = -3}), KCL_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "kcl_context_params.threads is -3"));
    kcl_context_destroy(&c);
    setenv("KEOPSCL_THREADS", "", 1);
    ck_assert_int_eq(open_device(&c, "host"), KCL_OK);
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_threads_limit)
{
    kcl_context *c;
    setenv("KEOPSCL_THREADS", "3", 1);
    ck_assert_int_eq(open_device(&c, "host"), KCL_OK);
    ck_assert_int_eq(kd_threads(c), 3);
    kcl_context_destroy(&c);
    ck_assert_int_eq(open_device(&c, "0:0"), KCL_OK);
    ck_assert_uint_eq(fake.sub_device_units, 3);
    check_twice(c);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
    harness_log[0] = 0;
    ck_assert_int_eq(open_device(&c, "1:0"), KCL_OK);
    ck_assert_ptr_nonnull(strstr(harness_log, "KEOPSCL_THREADS=3 has no effect: clCreateSubDevices failed"));
    kcl_context_destroy(&c);
}
END_TEST

/* ---- Doctor ------------------------------------------------------------------------------------------------------ */

START_TEST(test_doctor_reports)
{
    static char report[32768];
    report[0] = 0;
    setenv("KEOPSCL_DEVICE", "igpu", 1);
    setenv("KEOPSCL_BLAS", "/nowhere/libblas.so", 1);
    setenv("KEOPSCL_CLBLAST", "none", 1);
    ck_assert_int_eq(kd_doctor_with(&fake_cl, append, report), KCL_OK);
    unsetenv("KEOPSCL_BLAS");
    unsetenv("KEOPSCL_CLBLAST");
    static const char *const parts[] = {"OpenCL loader",
                                        "vendors",
                                        "0:0  cpu \"pthread-test processor\"",
                                        "\"Broken\" is left out",
                                        "Half GPU",
                                        "no compiler",
                                        "chosen: 2:0",
                                        "Dense algebra",
                                        "on GPUs: ",
                                        "KEOPSCL_BLAS: /nowhere/libblas.so",
                                        "plain loops",
                                        "KEOPSCL_CLBLAST=none: CLBlast is not to be used",
                                        "Compiled kernels on disk",
                                        "KEOPSCL_DEVICE=igpu"};
    for (size_t k = 0; k < KB_COUNT(parts); k++)
        ck_assert_msg(strstr(report, parts[k]) != NULL, "no %s in:\n%s", parts[k], report);
    ck_assert_int_eq(kcl_doctor(NULL, NULL), KCL_ERROR_ARGUMENT);
    fake.fail_call = "clGetPlatformIDs";
    ck_assert_int_eq(kd_doctor_with(&fake_cl, append, report), KCL_ERROR_OPENCL);
}
END_TEST

START_TEST(test_driver_that_does_not_load_is_named)
{
    /* A path where nothing is, and a library that is no driver. */
    static const char *const paths[] = {"/nowhere/libdriver.so", "libm.so.6"};
    for (size_t k = 0; k < KB_COUNT(paths); k++) {
        kcl_context *c;
        setenv("KEOPSCL_DRIVER", paths[k], 1);
        ck_assert_int_eq(kcl_context_create(&c, &(kcl_context_params){.device = "cpu"}), KCL_ERROR_NO_DEVICE);
        const char *error = kcl_context_error(c);
        ck_assert_msg(strstr(error, "KEOPSCL_DRIVER") && strstr(error, paths[k]), "the error is \"%s\"", error);
        kcl_context_destroy(&c);
    }
    unsetenv("KEOPSCL_DRIVER");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_device_is_found_by_what_is_written,
                                  test_parameter_goes_before_variable,
                                  test_no_match_lists_what_can_be_written,
                                  test_several_matches_give_the_best_and_a_log_line,
                                  test_machine_without_devices,
                                  test_pocl_that_cannot_write_its_cache,
                                  test_pocl_with_a_full_cache,
                                  test_host_touches_no_opencl,
                                  test_broken_platform_is_left_out,
                                  test_list,
                                  test_capabilities,
                                  test_malformed_variables_are_named,
                                  test_driver_that_does_not_load_is_named,
                                  test_threads_limit,
                                  test_doctor_reports};
    return run_tests("device selection", tests, KB_COUNT(tests));
}
