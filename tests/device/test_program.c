/* SPDX-License-Identifier: MIT */
/* Building, the disk cache, sources written for reading. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(test_build_failure_tells_the_log)
{
    kcl_context *c;
    kd_kernel *k;
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    ck_assert_int_eq(kd_kernel_get(c, "#error", "twice", "the_label", &k), KCL_ERROR_BUILD);
    static const char *const parts[] = {"clBuildProgram failed: CL_BUILD_PROGRAM_FAILURE (-11)", "0:0",
                                        "pthread-test processor", "the_label", "line 1: error: #error"};
    for (size_t p = 0; p < KB_COUNT(parts); p++)
        ck_assert_msg(strstr(kcl_context_error(c), parts[p]) != NULL, "no %s in: %s", parts[p], kcl_context_error(c));
    ck_assert_int_eq(kd_kernel_get(c, harness_source, "missing", "label", &k), KCL_ERROR_BUILD);
    ck_assert_ptr_nonnull(strstr(kcl_context_error(c), "clCreateKernel failed: CL_INVALID_KERNEL_NAME (-46)"));
    check_twice(c);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

START_TEST(test_disk_cache_keeps_what_ran)
{
    kcl_context *c;
    kcl_context_stats stats;
    kcl_cache_info info;
    char path[1024];
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    check_twice(c);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.builds, 1);
    ck_assert_int_eq(kcl_cache_stats(&info), KCL_OK);
    ck_assert_str_eq(info.dir, harness_folder);
    ck_assert_uint_eq(info.entries, 1);
    ck_assert(find_file(".bin", 0, path));
    ck_assert(!find_file("keopscl-tmp", 0, path));

    /* A binary of before the first launch would begin with FAKE0 and be refused. */
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    check_twice(c);
    kcl_context_get_stats(c, &stats);
    ck_assert_uint_eq(stats.programs_loaded, 1);
    ck_assert_uint_eq(stats.programs_built, 0);
    kcl_context_destroy(&c);

    /* Another device has entries of its own. */
    ck_assert_int_eq(open_device(&c, "gpu"), KCL_OK);
    check_twice(c);
    kcl_context_get_stats(c, &stats);
    ck_assert_uint_eq(stats.programs_built, 1);
    kcl_context_destroy(&c);
    ck_assert_int_eq(kcl_cache_stats(&info), KCL_OK);
    ck_assert_uint_eq(info.entries, 2);
}
END_TEST

START_TEST(test_damaged_entry_is_built_again)
{
    kcl_context *c;
    kcl_context_stats stats;
    char path[1024];
    struct stat st;
    static unsigned char whole[4096], bad[4096];
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    check_twice(c);
    kcl_context_destroy(&c);
    ck_assert(find_file(".bin", 0, path));
    ck_assert_int_eq(stat(path, &st), 0);
    size_t size = (size_t)st.st_size;
    ck_assert_uint_lt(size, sizeof whole);
    FILE *f = fopen(path, "rb");
    ck_assert_uint_eq(fread(whole, 1, size, f), size);
    fclose(f);
    for (size_t k = 0; k < size + 2; k += k < 40 || k >= size - 20 ? 1 : 11) {
        /* One byte changed (all of the header and of the end), at last an entry cut short and one with a byte more. */
        memcpy(bad, whole, size);
        bad[k < size ? k : 0] ^= k < size ? 0x20 : 0;
        put_file(path, bad, k == size ? size - 1 : k == size + 1 ? size + 1 : size);
        ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
        check_twice(c);
        kcl_context_get_stats(c, &stats);
        ck_assert_msg(stats.programs_built == 1 && stats.programs_loaded == 0, "byte %zu of %zu", k, size);
        kcl_context_destroy(&c);
    }
    put_file(path, whole, 0);
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    check_twice(c);
    kcl_context_destroy(&c);

    /* The driver refuses a good entry: dropped and built again. */
    fake.refuse_binaries = true;
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    check_twice(c);
    kcl_context_get_stats(c, &stats);
    ck_assert_uint_eq(stats.programs_built, 1);
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

START_TEST(test_entry_that_cannot_be_launched_is_dropped)
{
    kcl_context *c;
    char path[1024];
    float in[4] = {0}, out[4];
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    check_twice(c);
    kcl_context_destroy(&c);
    fake.fail_call = "clEnqueueNDRangeKernel";
    fake.fail_code = CL_INVALID_PROGRAM_EXECUTABLE;
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    ck_assert_int_eq(run_twice(c, in, out, 4), KCL_ERROR_OPENCL);
    ck_assert_ptr_nonnull(strstr(kcl_context_error(c),
                                 "clEnqueueNDRangeKernel failed: CL_INVALID_PROGRAM_EXECUTABLE (-45) on device 0:0"));
    ck_assert(!find_file(".bin", 0, path));
    kcl_context_destroy(&c);
}
END_TEST

START_TEST(test_unusable_folder_switches_the_disk_cache_off)
{
    kcl_context *c;
    char path[1024];
    snprintf(path, sizeof path, "%s/file", harness_folder);
    put_file(path, "x", 1);
    static const char *const below[] = {"", "/below"};
    for (size_t k = 0; k < KB_COUNT(below); k++) {
        char dir[1100];
        harness_log[0] = 0;
        snprintf(dir, sizeof dir, "%s%s", path, below[k]);
        setenv("KEOPSCL_CACHE_DIR", dir, 1);
        ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
        check_twice(c);
        char *line = strstr(harness_log, "kernels are not kept on disk");
        ck_assert_ptr_nonnull(line);
        ck_assert_ptr_null(strstr(line + 1, "kernels are not kept on disk"));
        kcl_context_destroy(&c);
    }
    kcl_cache_info info;
    ck_assert_int_eq(kcl_cache_stats(&info), KCL_ERROR_IO);
    setenv("KEOPSCL_CACHE", "off", 1);
    ck_assert_int_eq(kcl_cache_stats(&info), KCL_OK);
    ck_assert_str_eq(info.dir, "");
    ck_assert_int_eq(kcl_cache_stats(NULL), KCL_ERROR_ARGUMENT);
}
END_TEST

START_TEST(test_folders_are_made_for_the_user_alone)
{
    kcl_context *c;
    char path[1024];
    struct stat st;
    unsetenv("KEOPSCL_CACHE_DIR");
    setenv("XDG_CACHE_HOME", harness_folder, 1);
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    check_twice(c);
    kcl_context_destroy(&c);
    snprintf(path, sizeof path, "%s/keopscl", harness_folder);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0700);
    uint64_t removed;
    ck_assert_int_eq(kcl_cache_clear(&removed), KCL_OK);
    ck_assert_uint_eq(removed, 1);
    ck_assert_int_eq(rmdir(path), 0);
    unsetenv("XDG_CACHE_HOME");
}
END_TEST

/* What a writer leaves that dies between writing and renaming is never read, and goes with kcl_cache_clear. */
START_TEST(test_clear_removes_our_entries_only)
{
    kcl_context *c;
    char path[1024], left[1024];
    uint64_t removed;
    kcl_cache_info info;
    static const struct {
        const char *name, *text;
        bool ours;
    } files[] = {{"keopscl-tmp-AbCd01", "KCLPROG1 half an", true},
                 {"keopscl-tmp-AbCd02", "KCL", true},
                 {"keopscl-tmp-AbCd03", "", true},
                 {"keopscl-tmp-AbCd04", "my notes", false},
                 {"keopscl-0123456789abcdef.bin", "my notes on it", false},
                 {"keopscl-012345.bin", "KCLPROG1", false},
                 {"notes.txt", "KCLPROG1", false}};
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    check_twice(c);
    kcl_context_destroy(&c);
    for (size_t k = 0; k < KB_COUNT(files); k++) {
        snprintf(path, sizeof path, "%s/%s", harness_folder, files[k].name);
        put_file(path, files[k].text, strlen(files[k].text));
    }
    ck_assert_int_eq(kcl_cache_stats(&info), KCL_OK);
    ck_assert_uint_eq(info.entries, 1);
    ck_assert_int_eq(kcl_cache_clear(&removed), KCL_OK);
    ck_assert_uint_eq(removed, 1);
    for (size_t k = 0; k < KB_COUNT(files); k++)
        ck_assert_msg(find_file(files[k].name, 0, left) != files[k].ours, "%s", files[k].name);
    ck_assert_int_eq(kcl_cache_clear(NULL), KCL_OK);
}
END_TEST

START_TEST(test_sources_are_written_where_asked)
{
    kcl_context *c;
    kd_kernel *k;
    char path[1024], text[64] = "";
    setenv("KEOPSCL_CACHE", "off", 1);
    setenv("KEOPSCL_DUMP_DIR", harness_folder, 1);
    ck_assert_int_eq(open_device(&c, "gpu"), KCL_OK);
    ck_assert_str_eq(kd_dump_dir(c), harness_folder);
    ck_assert_int_eq(kd_kernel_get(c, harness_source, "twice", "a/b c", &k), KCL_OK);
    ck_assert(find_file("a_b_c-", 0, path));
    ck_assert_str_eq(path + strlen(path) - 3, ".cl");
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
    fclose(f);
    ck_assert_str_eq(text, harness_source);
    empty_folder();
    rmdir(harness_folder);
    ck_assert_int_eq(kd_kernel_get(c, "kernel twice again", "twice", "x", &k), KCL_ERROR_IO);
    ck_assert_ptr_nonnull(strstr(kcl_context_error(c), harness_folder));
    kcl_context_destroy(&c);
    ck_assert_int_eq(fake.live, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_build_failure_tells_the_log,
                                  test_disk_cache_keeps_what_ran,
                                  test_damaged_entry_is_built_again,
                                  test_entry_that_cannot_be_launched_is_dropped,
                                  test_unusable_folder_switches_the_disk_cache_off,
                                  test_folders_are_made_for_the_user_alone,
                                  test_clear_removes_our_entries_only,
                                  test_sources_are_written_where_asked};
    return run_tests("programs", tests, KB_COUNT(tests));
}
