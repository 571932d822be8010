/* SPDX-License-Identifier: MIT */
/*
 * Every program of golden/ is compiled by the OpenCL driver of this machine's CPU, in silence; exit 77 where there is
 * none. With an argument, as for an older processor, which PoCL can be asked for: a compiler warns of vectors that are
 * wider than the registers of its target.
 */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif
#include "device.h"
#include "programs.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What PoCL calls a family of processors, a part of its device's name then, and the floats of their registers. */
static const struct {
    const char *family, *device;
    int lanes;
} targets[] = {{"avx2", "haswell", 8}, {"sse2", "athlon64", 4}};

static kcl_context *context;
static kcl_device_info device;
static int most_lanes; /* of programs by lanes */

/* ---- What is written to standard error ----------------------------------------------------------------------------- */

static FILE *caught;
static int standard_error;

static void catch_errors(void)
{
    fflush(stderr);
    ck_assert_ptr_nonnull(caught = tmpfile());
    standard_error = dup(STDERR_FILENO);
    ck_assert_int_ge(standard_error, 0);
    dup2(fileno(caught), STDERR_FILENO);
}

/* Back to what it was; *text, cut to its size: what was written. */
static void release_errors(char *text, size_t size)
{
    fflush(stderr);
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    rewind(caught);
    text[fread(text, 1, size - 1, caught)] = 0;
    fclose(caught);
}

/* ---- Programs ------------------------------------------------------------------------------------------------------ */

START_TEST(the_driver_compiles_in_silence)
{
    program_case c = program_cases[_i];
    kt_program program;
    char errors[2000];
    kcl_status status = KCL_OK;
    if (c.dtype == KCL_F64 && !kd_caps(context)->has_f64)
        return;
    if (c.schedule != KP_BY_LANES && most_lanes < 8) /* kernels of GPUs have widths of their own */
        return;
    if (c.lanes == 0 || c.lanes > most_lanes)
        c.lanes = most_lanes;
    render_case(&program, &c);
    catch_errors();
    for (int k = 0; k < KT_KERNELS; k++) {
        kd_kernel *kernel;
        if (program.kernel[k].count && status == KCL_OK)
            status = kd_kernel_get(context, kb_str_text(&program.source), kt_kernel_names[k], c.name, &kernel);
    }
    release_errors(errors, sizeof errors);
    ck_assert_msg(status == KCL_OK, "%s: %s", c.name, kcl_context_error(context));
    ck_assert_msg(!*errors, "%s, on %s: the driver writes to standard error: %s", c.name, device.name, errors);
    kt_program_finish(&program);
}
END_TEST

/* ---- A folder for the driver's own cache, whose entries are compiled already --------------------------------------- */

static char folder[] = "/tmp/keopscl-build-XXXXXX";

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info, (void)type, (void)where;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    size_t target = 0;
    while (argc > 1 && target < KB_COUNT(targets) && strcmp(targets[target].family, argv[1]) != 0)
        target++;
    if (target == KB_COUNT(targets) || !mkdtemp(folder) || atexit(remove_folder))
        return 1;
    setenv("KEOPSCL_CACHE", "off", 1);
    setenv("POCL_CACHE_DIR", folder, 1);
    if (argc > 1)
        setenv("POCL_KERNELLIB_NAME", targets[target].family, 1);
    if (kcl_context_create(&context, &(kcl_context_params){.device = "cpu"}) < 0 ||
        kcl_context_device_info(context, &device) < 0) {
        printf("SKIPPED: no OpenCL for the CPU: %s\n", kcl_context_error(context));
        kcl_context_destroy(&context);
        return 77;
    }
    if (argc > 1 && !strstr(device.name, targets[target].device)) {
        printf("SKIPPED: %s does not compile for %s\n", device.name, targets[target].family);
        kcl_context_destroy(&context);
        return 77;
    }
    most_lanes = argc > 1 ? targets[target].lanes : kd_caps(context)->lanes_f32;
    Suite *suite = suite_create("render-build");
    TCase *tc = tcase_create("render-build");
    tcase_add_loop_test(tc, the_driver_compiles_in_silence, 0, PROGRAMS);
    tcase_set_timeout(tc, 0);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* drivers do not survive a fork */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    kcl_context_destroy(&context);
    return failed != 0;
}
