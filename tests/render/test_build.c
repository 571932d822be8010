/* SPDX-License-Identifier: MIT */
/* Every program of golden/ is compiled by the OpenCL driver of this machine's CPU; exit 77 where there is none. */
#include "device.h"
#include "programs.h"

static kcl_context *context;

START_TEST(the_driver_compiles)
{
    const program_case *c = &program_cases[_i];
    kt_program program;
    if (c->dtype == KCL_F64 && !kd_caps(context)->has_f64)
        return;
    render_case(&program, c);
    for (int k = 0; k < KT_KERNELS; k++) {
        kd_kernel *kernel;
        if (program.kernel[k].count)
            ck_assert_msg(kd_kernel_get(context, kb_str_text(&program.source), kt_kernel_names[k], c->name, &kernel) ==
                              KCL_OK,
                          "%s, kernel %s: %s", c->name, kt_kernel_names[k], kcl_context_error(context));
    }
    kt_program_finish(&program);
}
END_TEST

int main(void)
{
    if (kcl_context_create(&context, &(kcl_context_params){.device = "cpu"}) < 0) {
        printf("no OpenCL for the CPU: %s\n", kcl_context_error(context));
        kcl_context_destroy(&context);
        return 77;
    }
    Suite *suite = suite_create("render-build");
    TCase *tc = tcase_create("render-build");
    tcase_add_loop_test(tc, the_driver_compiles, 0, PROGRAMS);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* drivers do not survive a fork */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    kcl_context_destroy(&context);
    return failed != 0;
}
