/* SPDX-License-Identifier: MIT */
/*
 * The device layer on this machine's first OpenCL CPU. Exits with 77 (skipped) without a CPU. Tests run in one process
 * (CK_NOFORK): drivers do not survive fork.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "faulty_cl.h"
#include "harness.h"

#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *program_path;

static const char *const scale_source =
    "__kernel void scale(__global const float *in, __global float *out, float a, int n)\n"
    "{\n"
    "    int i = get_global_id(0);\n"
    "    if (i < n)\n"
    "        out[i] = a * in[i];\n"
    "}\n"
    "__kernel void slow(__global float *out, int n)\n"
    "{\n"
    "    float s = 0;\n"
    "    for (int k = 0; k < n; k++)\n"
    "        s = s * 0.5f + 1.0f;\n"
    "    out[get_global_id(0)] = s;\n"
    "}\n";

static kcl_context *open_cpu(void)
{
    kcl_context *c;
    ck_assert_msg(kcl_context_create(&c, &(kcl_context_params){.device = "cpu"}) == KCL_OK, "%s", kcl_context_error(c));
    return c;
}

static kcl_status scale(kcl_context *c, const float *in, float *out, float a, int n)
{
    kd_kernel *k;
    const size_t local[3] = {8, 1, 1}, global[3] = {(size_t)(n + 7) / 8 * 8, 1, 1};
    kcl_status status = kd_kernel_get(c, scale_source, "scale", "scale", &k);
    if (status < 0)
        return status;
    status = kd_launch(c, k, 4,
                       (kd_arg[]){{KD_ARG_HOST_IN, in, (size_t)n * sizeof *in, NULL},
                                  {KD_ARG_HOST_OUT, out, (size_t)n * sizeof *out, NULL},
                                  {KD_ARG_VALUE, &a, sizeof a, NULL},
                                  {KD_ARG_VALUE, &n, sizeof n, NULL}},
                       global, local);
    kcl_status end = kd_finish(c);
    return status < 0 ? status : end;
}

static void check_scale(kcl_context *c, const float *in, float *out, float a, int n)
{
    ck_assert_msg(scale(c, in, out, a, n) == KCL_OK, "%s", kcl_context_error(c));
    for (int k = 0; k < n; k++)
        ck_assert_float_eq(out[k], a * in[k]);
}

/* Memory is read anew by each call: changed, freed and allocated again at the same address, at any alignment. */
START_TEST(test_host_memory_is_never_stale)
{
    kcl_context *c = open_cpu();
    for (int round = 0; round < 200; round++) {
        int n = 1 + round % 7 * 37, shift = round % 5;
        float *in = malloc(300 * sizeof *in), *out = malloc(300 * sizeof *out);
        for (int k = 0; k < 300; k++)
            in[k] = (float)(k + round);
        check_scale(c, in + shift, out + shift, (float)(round % 3), n);
        free(in);
        free(out);
    }
    check_scale(c, NULL, NULL, 1, 0);
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_buffer_may_be_released_while_work_runs)
{
    kcl_context *c = open_cpu();
    kd_kernel *slow;
    const size_t one[3] = {1, 1, 1}, global[3] = {16, 1, 1};
    float out[16];
    int n = 2000000;
    ck_assert_int_eq(kd_kernel_get(c, scale_source, "slow", "slow", &slow), KCL_OK);
    for (int round = 0; round < 3; round++) {
        kd_buffer *b;
        ck_assert_int_eq(kd_buffer_create(c, sizeof out * (size_t)(round + 1), &b), KCL_OK);
        ck_assert_int_eq(kd_launch(c, slow, 2,
                                   (kd_arg[]){{KD_ARG_BUFFER, NULL, 0, b}, {KD_ARG_VALUE, &n, sizeof n, NULL}}, global,
                                   one),
                         KCL_OK);
        kd_buffer_release(c, &b);
        ck_assert_ptr_null(b);
    }
    ck_assert_int_eq(kd_launch(c, slow, 2,
                               (kd_arg[]){{KD_ARG_HOST_OUT, out, sizeof out, NULL}, {KD_ARG_VALUE, &n, sizeof n, NULL}},
                               global, one),
                     KCL_OK);
    ck_assert_int_eq(kcl_context_finish(c), KCL_OK);
    for (int k = 0; k < 16; k++)
        ck_assert_float_eq(out[k], 2.0f);
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_threads_limit_on_the_driver)
{
    kcl_context *c;
    kcl_device_info all, limited;
    float in[100], out[100];
    for (int k = 0; k < 100; k++)
        in[k] = (float)k;
    c = open_cpu();
    kcl_context_device_info(c, &all);
    kcl_context_destroy(&c);
    ck_assert_int_eq(kcl_context_create(&c, &(kcl_context_params){.device = "cpu", .threads = 1}), KCL_OK);
    kcl_context_device_info(c, &limited);
    ck_assert_int_eq(limited.compute_units, all.compute_units);
    ck_assert_int_eq(kd_caps(c)->compute_units, all.compute_units);
    check_scale(c, in, out, 3, 100);
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_capabilities_of_the_driver)
{
    kcl_context *c = open_cpu();
    const kp_caps *caps = kd_caps(c);
    ck_assert(caps->lanes_f32 == 4 || caps->lanes_f32 == 8 || caps->lanes_f32 == 16);
    ck_assert(caps->lanes_f64 == 2 || caps->lanes_f64 == 4 || caps->lanes_f64 == 8);
#ifdef __x86_64__
    ck_assert_int_eq(caps->lanes_f32, __builtin_cpu_supports("avx512f") ? 16 : __builtin_cpu_supports("avx2") ? 8 : 4);
    ck_assert_int_eq(caps->lanes_f64, caps->lanes_f32 / 2);
#endif
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_compiler_says_what_is_wrong)
{
    kcl_context *c = open_cpu();
    kd_kernel *k;
    ck_assert_int_eq(kd_kernel_get(c, "__kernel void f(__global float *x) { x[0] = undeclared; }", "f", "bad", &k),
                     KCL_ERROR_BUILD);
    ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "clBuildProgram failed: CL_BUILD_PROGRAM_FAILURE (-11)"));
    ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "undeclared"));
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_array_beyond_the_largest_buffer)
{
    kcl_context *c = open_cpu();
    kcl_device_info info;
    kd_buffer *b;
    float in[8] = {1, 2, 3}, out[8];
    kcl_context_device_info(c, &info);
    ck_assert_int_eq(kd_buffer_create(c, (size_t)info.max_buffer + 1, &b), KCL_ERROR_DEVICE_MEMORY);
    ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "bytes"));
    check_scale(c, in, out, 2, 8);
    kcl_context_destroy(&c);
}
END_TEST

static void *scale_often(void *context)
{
    kcl_context *c = context;
    float in[64], out[64];
    for (int round = 0; round < 100; round++) {
        for (int k = 0; k < 64; k++)
            in[k] = (float)(k + round);
        if (scale(c, in, out, 2, 64) != KCL_OK)
            return c;
        for (int k = 0; k < 64; k++)
            if (out[k] != 2 * in[k])
                return c;
    }
    return NULL;
}

START_TEST(test_threads_with_contexts_on_one_device)
{
    enum { THREADS = 4 };
    kcl_context *c[THREADS];
    pthread_t threads[THREADS];
    c[0] = open_cpu();
    for (int k = 1; k < THREADS; k++)
        ck_assert_int_eq(kcl_context_create_shared(&c[k], c[0]), KCL_OK);
    for (int k = 0; k < THREADS; k++)
        ck_assert_int_eq(pthread_create(&threads[k], NULL, scale_often, c[k]), 0);
    for (int k = 0; k < THREADS; k++) {
        void *failed;
        pthread_join(threads[k], &failed);
        ck_assert_msg(!failed, "%s", kcl_context_error(c[k]));
    }
    for (int k = 0; k < THREADS; k++)
        kcl_context_destroy(&c[k]);
}
END_TEST

START_TEST(test_fork_with_a_driver)
{
    kcl_context *c = open_cpu();
    float in[16] = {1, 2, 3}, out[16];
    check_scale(c, in, out, 2, 16);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        kcl_context *d;
        int bad = kcl_context_finish(c) != KCL_ERROR_FORKED;
        bad |= (kcl_context_create(&d, NULL) != KCL_ERROR_FORKED) << 1;
        kcl_context_destroy(&d);
        kcl_context_destroy(&c);
        _exit(bad);
    }
    int state;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state));
    ck_assert_int_eq(WEXITSTATUS(state), 0);
    check_scale(c, in, out, 3, 16);
    kcl_context_destroy(&c);
}
END_TEST

/* ---- The disk cache, from process to process -------------------------------------------------------------------- */

/* What a second process does: writes built, loaded and seconds from context to result. */
static int first_result(void)
{
    float in[100], out[100];
    kcl_context *c;
    kcl_context_stats stats;
    for (int k = 0; k < 100; k++)
        in[k] = (float)k;
    double start = kb_seconds();
    if (kcl_context_create(&c, &(kcl_context_params){.device = "cpu"}) < 0 || scale(c, in, out, 2, 100) < 0)
        return 1;
    double seconds = kb_seconds() - start;
    kcl_context_get_stats(c, &stats);
    printf("%d %d %.6f\n", (int)stats.programs_built, (int)stats.programs_loaded, seconds);
    kcl_context_destroy(&c);
    return out[99] == 198 ? 0 : 1;
}

static void run_process(int *built, int *loaded, double *seconds)
{
    int ends[2], state;
    pid_t child;
    posix_spawn_file_actions_t actions;
    char *arguments[] = {(char *)(uintptr_t)program_path, "first-result", NULL};
    ck_assert_int_eq(pipe(ends), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    ck_assert_int_eq(posix_spawn(&child, program_path, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    FILE *f = fdopen(ends[0], "r");
    ck_assert_int_eq(fscanf(f, "%d %d %lf", built, loaded, seconds), 3);
    fclose(f);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
}

START_TEST(test_next_process_starts_at_once)
{
    char own[1100], command[2400];
    int built, loaded;
    double first, second;
    /* The driver's own cache is empty for both. */
    for (int process = 0; process < 2; process++) {
        snprintf(own, sizeof own, "%s/driver%d", harness_folder, process);
        setenv("POCL_CACHE_DIR", own, 1);
        run_process(&built, &loaded, process ? &second : &first);
        ck_assert_int_eq(built, !process);
        ck_assert_int_eq(loaded, process);
        snprintf(command, sizeof command, "rm -rf '%s'", own);
        ck_assert_int_eq(system(command), 0);
    }
    unsetenv("POCL_CACHE_DIR");
    printf("first result: %.3f s in the first process, %.4f s in the second\n", first, second);
    /* A binary from before the first launch would cost the second process most of the time of the first. */
    ck_assert_double_lt(second, first / 2);
}
END_TEST

/* Entries of our own in the folder that is used where none is named. */
static int entries_below(const char *caches)
{
    char command[1200];
    int count;
    snprintf(command, sizeof command, "ls '%s/keopscl' 2>&1 | grep -c '[.]bin$'", caches);
    FILE *f = popen(command, "r");
    ck_assert_int_eq(fscanf(f, "%d", &count), 1);
    pclose(f);
    return count;
}

START_TEST(test_driver_keeps_kernels_where_no_folder_is_named)
{
    char caches[1100], command[2400];
    int built, loaded;
    double first, second;
    snprintf(caches, sizeof caches, "%s/caches", harness_folder);
    unsetenv("KEOPSCL_CACHE_DIR");
    unsetenv("POCL_CACHE_DIR");
    setenv("XDG_CACHE_HOME", caches, 1);
    run_process(&built, &loaded, &first);
    ck_assert(built == 1 && loaded == 0 && entries_below(caches) == 0);
    run_process(&built, &loaded, &second);
    ck_assert(built == 1 && loaded == 0 && entries_below(caches) == 0);
    printf("first result: %.3f s in the first process, %.4f s in the second\n", first, second);
    /* The second process builds from the source again, but PoCL finds what it has compiled. */
    ck_assert_double_lt(second, first / 2);
    /* Where PoCL keeps nothing, we do. */
    setenv("POCL_KERNEL_CACHE", "0", 1);
    run_process(&built, &loaded, &first);
    ck_assert(built == 1 && loaded == 0 && entries_below(caches) == 1);
    run_process(&built, &loaded, &second);
    ck_assert(built == 0 && loaded == 1);
    ck_assert_double_lt(second, first / 2);
    unsetenv("POCL_KERNEL_CACHE");
    unsetenv("XDG_CACHE_HOME");
    setenv("KEOPSCL_CACHE_DIR", harness_folder, 1);
    snprintf(command, sizeof command, "rm -rf '%s'", caches);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* ---- Everything that can fail, in turn --------------------------------------------------------------------------- */

static bool run_failing(int call, int allocation)
{
    failing memory = {.fail_at = allocation};
    float in[20], out[20];
    kcl_context *c;
    for (int k = 0; k < 20; k++)
        in[k] = (float)k;
    faulty = (faulty_state){.fail_at = call, .code = CL_OUT_OF_RESOURCES};
    const kcl_context_params params = {.device = "cpu", .threads = 1, .allocator = failing_allocator(&memory)};
    kcl_status status = kd_context_create_with(faulty_cl(), &c, &params);
    if (status >= 0) {
        status = scale(c, in, out, 2, 20);
        ck_assert_msg(status >= 0 || *kcl_context_error(c), "no text after %s failed", faulty.name);
        faulty.fail_at = memory.fail_at = 0;
        check_scale(c, in, out, 3, 20);
    }
    kcl_context_destroy(&c);
    ck_assert_int_eq(memory.blocks, 0);
    return !faulty.failed && !(allocation && memory.requests >= allocation);
}

START_TEST(test_each_call_to_the_driver_fails_in_turn)
{
    int n = 1;
    while (!run_failing(n, 0))
        n++;
    ck_assert_int_gt(n, 20);
}
END_TEST

START_TEST(test_each_allocation_beside_the_driver_fails_in_turn)
{
    int n = 1;
    while (!run_failing(0, n))
        n++;
    ck_assert_int_gt(n, 5);
}
END_TEST

/* The path of PoCL's library in the files that the loader reads; 0 without one. */
static int find_pocl(char path[1024])
{
    const char *vendors = getenv("OCL_ICD_VENDORS");
    char name[1024], end = 0;
    snprintf(name, sizeof name, "%s/pocl.icd", vendors && *vendors ? vendors : "/etc/OpenCL/vendors");
    FILE *file = fopen(name, "r");
    if (!file)
        return 0;
    int read = fscanf(file, "%1023[^\n]%c", path, &end);
    fclose(file);
    return read >= 1;
}

START_TEST(test_a_driver_without_a_loader)
{
    char path[1024];
    float in[20], out[40];
    kcl_context *c;
    kcl_device_info info;
    if (!find_pocl(path)) {
        printf("a driver without a loader: SKIPPED: there is no pocl.icd\n");
        return;
    }
    for (int k = 0; k < 20; k++)
        in[k] = (float)k;
    setenv("KEOPSCL_DRIVER", path, 1);
    ck_assert_msg(kcl_context_create(&c, &(kcl_context_params){.device = "cpu"}) >= 0, "%s", kcl_context_error(c));
    unsetenv("KEOPSCL_DRIVER");
    ck_assert_int_eq(kcl_context_device_info(c, &info), KCL_OK);
    ck_assert_str_eq(info.type, "cpu");
    check_scale(c, in, out, 3, 20);
    kcl_context_destroy(&c);
}
END_TEST

int main(int argc, char **argv)
{
    kcl_context *c;
    if (argc == 2 && strcmp(argv[1], "first-result") == 0)
        return first_result();
    program_path = argv[0];
    if (kcl_context_create(&c, &(kcl_context_params){.device = "cpu"}) < 0) {
        printf("SKIPPED: %s\n", kcl_context_error(c));
        kcl_context_destroy(&c);
        return 77;
    }
    kcl_context_destroy(&c);
    setenv("CK_FORK", "no", 1);
    const TTest *const tests[] = {test_host_memory_is_never_stale,
                                  test_buffer_may_be_released_while_work_runs,
                                  test_threads_limit_on_the_driver,
                                  test_capabilities_of_the_driver,
                                  test_a_driver_without_a_loader,
                                  test_compiler_says_what_is_wrong,
                                  test_array_beyond_the_largest_buffer,
                                  test_threads_with_contexts_on_one_device,
                                  test_fork_with_a_driver,
                                  test_next_process_starts_at_once,
                                  test_driver_keeps_kernels_where_no_folder_is_named,
                                  test_each_call_to_the_driver_fails_in_turn,
                                  test_each_allocation_beside_the_driver_fails_in_turn};
    return run_tests("OpenCL CPU", tests, KB_COUNT(tests));
}
