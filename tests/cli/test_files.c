/* SPDX-License-Identifier: MIT */
/* tests/cli/test_files.c: parameters, conversions, and files that cannot be used. */
#define _XOPEN_SOURCE 700 /* fmemopen, files */
#include "table_checks.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(parameter_texts)
{
    static const char *const refused[] = {"", "points.txt", "1,", ",1", "1,,2", "1 ", " 1", "1e999", "1;2", "0.5x"};
    table t;
    ck_assert_int_eq(table_parse(&t, "0.5"), 1);
    ck_assert_int_eq(t.rows * t.columns, 1);
    ck_assert_double_eq(table_get(&t, 0), 0.5);
    table_free(&t);
    ck_assert_int_eq(table_parse(&t, "9007199254740993,-2"), 1);
    ck_assert(t.rows * t.columns == 2 && t.dtype == KCL_I64 && t.natural == KCL_DTYPE_NONE);
    ck_assert(((const int64_t *)t.values)[0] == 9007199254740993 && ((const int64_t *)t.values)[1] == -2);
    table_free(&t);
    ck_assert_int_eq(table_parse(&t, "-0"), 1);
    ck_assert(t.dtype == KCL_F64 && signbit(table_get(&t, 0)));
    table_free(&t);
    ck_assert_int_eq(table_parse(&t, "1,-2,3e-1"), 1);
    ck_assert_int_eq(t.rows * t.columns, 3);
    ck_assert_double_eq(table_get(&t, 1), -2);
    ck_assert_double_eq(table_get(&t, 2), 0.3);
    table_free(&t);
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
        ck_assert_msg(!table_parse(&t, refused[k]), "'%s' was read as a number", refused[k]);
}
END_TEST

START_TEST(conversion_refuses_what_float32_cannot_hold)
{
    table t;
    fault f;
    ck_assert_int_eq(table_create(&t, KCL_F64, 1, 2, &f), EXIT_DONE);
    table_set(&t, 0, -INFINITY);
    table_set(&t, 1, 0.1);
    ck_assert_int_eq(table_convert(&t, KCL_F32, "argument 'x'", &f), EXIT_DONE);
    ck_assert_int_eq(t.dtype, KCL_F32);
    ck_assert(table_get(&t, 0) == -INFINITY && table_get(&t, 1) == 0.1f);
    ck_assert_int_eq(table_convert(&t, KCL_F64, "argument 'x'", &f), EXIT_DONE);
    ck_assert(table_get(&t, 0) == -INFINITY && table_get(&t, 1) == 0.1f);
    table_set(&t, 0, 1e39);
    ck_assert_int_eq(table_convert(&t, KCL_F32, "argument 'x'", &f), EXIT_COMPUTATION);
    ck_assert_str_eq(f.text, "argument 'x': 1e+39 is too large for float32; use --dtype f64");
    ck_assert_double_eq(table_get(&t, 0), 1e39);
    table_free(&t);
}
END_TEST

START_TEST(sizes_beyond_memory_are_refused)
{
    table t;
    fault f;
    ck_assert_int_eq(table_create(&t, KCL_F64, INT64_MAX, 3, &f), EXIT_COMPUTATION);
    ck_assert_ptr_nonnull(strstr(f.text, "9223372036854775807 x 3 numbers are more than memory can hold"));
    ck_assert_int_eq(table_create(&t, KCL_F64, 0, 3, &f), EXIT_DONE);
    ck_assert_ptr_null(t.values);
}
END_TEST

/* Writes and commits. */
static int save(const table *t, const char *path, fault *f)
{
    output out;
    int code = output_write(&out, t, path, f);
    if (!code)
        code = output_commit(&out, f);
    output_abandon(&out);
    return code;
}

START_TEST(files_that_cannot_be_used_tell_why)
{
    float value = 1;
    table t, one = {&value, KCL_F32, KCL_F32, 2, 1, 1};
    fault f;
    ck_assert_int_eq(table_load(&t, "there/is/no/such.npy", "argument 'x', there/is/no/such.npy", MISSING_IS_ERROR, &f),
                     EXIT_COMPUTATION);
    ck_assert_str_eq(f.text, "argument 'x', there/is/no/such.npy: cannot be opened: No such file or directory");
    ck_assert_int_eq(table_load(&t, "/", "argument 'x', /", MISSING_IS_ERROR, &f), EXIT_COMPUTATION);
    ck_assert_ptr_nonnull(strstr(f.text, "argument 'x', /: cannot be "));
    ck_assert_int_eq(save(&one, "there/is/no/such.npy", &f), EXIT_COMPUTATION);
    ck_assert_str_eq(f.text, "there/is/no/such.npy: cannot be written: No such file or directory");
    ck_assert_int_eq(save(&one, "/", &f), EXIT_COMPUTATION);
    ck_assert_str_eq(f.text, "/: cannot be written: Is a directory");
    ck_assert_int_eq(save(&one, "/nowhere/", &f), EXIT_COMPUTATION);
    ck_assert_ptr_nonnull(strstr(f.text, "/nowhere/: cannot be written: "));
    if (access("/dev/full", W_OK) == 0) {
        ck_assert_int_eq(save(&one, "/dev/full", &f), EXIT_COMPUTATION);
        ck_assert_str_eq(f.text, "/dev/full: cannot be written: No space left on device");
    }
}
END_TEST

static int count_files(const char *folder)
{
    int count = 0;
    DIR *d = opendir(folder);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(d);
    return count;
}

START_TEST(files_are_whole_or_not_there)
{
    char folder[] = "/tmp/keopscl-XXXXXX";
    double values[4096] = {1.5, 2.5};
    table one = {values, KCL_F64, KCL_F64, 2, 1, 2}, many = {values, KCL_F64, KCL_F64, 2, 4096, 1}, t;
    output out;
    fault f;
    struct stat info;
    ck_assert(mkdtemp(folder) && chdir(folder) == 0 && mkdir("sub", 0700) == 0);

    /* A name appears with the commit and not before, and keeps its mode. */
    ck_assert_int_eq(output_write(&out, &one, "sub/a.txt", &f), EXIT_DONE);
    ck_assert_int_ne(access("sub/a.txt", F_OK), 0);
    output_abandon(&out);
    ck_assert_int_eq(count_files("sub"), 0);
    ck_assert_int_eq(save(&one, "sub/a.txt", &f), EXIT_DONE);
    ck_assert_int_eq(count_files("sub"), 1);
    ck_assert(chmod("sub/a.txt", 0640) == 0);
    ck_assert_int_eq(save(&many, "sub/a.txt", &f), EXIT_DONE);
    ck_assert(stat("sub/a.txt", &info) == 0 && (info.st_mode & 0777) == 0640);
    ck_assert_int_eq(table_load(&t, "sub/a.txt", "a", MISSING_IS_ERROR, &f), EXIT_DONE);
    ck_assert_int_eq(t.rows, 4096);
    table_free(&t);

    /* Symbolic links are followed, also links to nowhere. */
    ck_assert(symlink("sub/a.txt", "link") == 0 && symlink("sub/b.npy", "none") == 0);
    ck_assert_int_eq(save(&one, "link", &f), EXIT_DONE);
    ck_assert_int_eq(save(&one, "none", &f), EXIT_DONE);
    ck_assert(lstat("link", &info) == 0 && S_ISLNK(info.st_mode));
    ck_assert(lstat("none", &info) == 0 && S_ISLNK(info.st_mode));
    ck_assert(stat("sub/a.txt", &info) == 0 && info.st_size == 8);
    ck_assert(stat("sub/b.npy", &info) == 0);
    ck_assert(symlink("round", "round") == 0);
    ck_assert_int_eq(save(&one, "round", &f), EXIT_COMPUTATION);
    ck_assert_ptr_nonnull(strstr(f.text, "round: cannot be written: "));

    /* No room: earlier files stay, no new file appears, and nothing else is left behind. */
    struct rlimit old, limit;
    ck_assert(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = (struct rlimit){1000, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    static const char *const names[] = {"sub/a.txt", "link", "sub/new.txt", "sub/new.npy"};
    static fault faults[4];
    int codes[4];
    ck_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (size_t k = 0; k < 4; k++) /* no assertion here: Check writes files too */
        codes[k] = save(&many, names[k], &faults[k]);
    ck_assert(setrlimit(RLIMIT_FSIZE, &old) == 0);
    for (size_t k = 0; k < 4; k++) {
        ck_assert_int_eq(codes[k], EXIT_COMPUTATION);
        ck_assert(strncmp(faults[k].text, names[k], strlen(names[k])) == 0);
        ck_assert_str_eq(faults[k].text + strlen(names[k]), ": cannot be written: File too large");
    }
    ck_assert_int_eq(count_files("sub"), 2);
    ck_assert(stat("sub/a.txt", &info) == 0 && info.st_size == 8);

    if (geteuid() != 0) { /* root may write anything */
        ck_assert(chmod("sub/a.txt", 0440) == 0);
        ck_assert_int_eq(save(&one, "sub/a.txt", &f), EXIT_COMPUTATION);
        ck_assert_str_eq(f.text, "sub/a.txt: cannot be written: Permission denied");
        /* A file that may be written, in a folder in which nothing may be created. */
        ck_assert(chmod("sub/a.txt", 0600) == 0 && chmod("sub", 0500) == 0);
        ck_assert_int_eq(save(&many, "sub/a.txt", &f), EXIT_DONE);
        ck_assert(stat("sub/a.txt", &info) == 0 && info.st_size > 8);
        ck_assert_int_eq(save(&one, "sub/c.txt", &f), EXIT_COMPUTATION);
        ck_assert(chmod("sub", 0700) == 0);
    }
    static const char *const rest[] = {"sub/a.txt", "sub/b.npy", "sub", "link", "none", "round"};
    for (size_t k = 0; k < 6; k++)
        ck_assert(remove(rest[k]) == 0);
    ck_assert(chdir("/") == 0 && rmdir(folder) == 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {parameter_texts, conversion_refuses_what_float32_cannot_hold,
                                  sizes_beyond_memory_are_refused, files_that_cannot_be_used_tell_why,
                                  files_are_whole_or_not_there};
    return run_table_tests("files", tests, sizeof tests / sizeof *tests);
}
