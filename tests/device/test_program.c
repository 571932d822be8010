/* SPDX-License-Identifier: MIT */
/* Building, the disk cache, sources written for reading. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mknod, makedev */
#endif
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
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

    /* A binary from before the first launch would begin with FAKE0 and be refused. */
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
        /*
         * One byte changed (all bytes of the header and of the end); at last an entry cut short, and an entry with a
         * byte more.
         */
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

/* ---- What others could have put there ---------------------------------------------------------------------------- */

/* Opens a context, runs, and returns how the program of the context came. */
static kcl_context_stats run_once(void)
{
    kcl_context *c;
    kcl_context_stats stats;
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    check_twice(c);
    ck_assert_int_eq(kcl_context_get_stats(c, &stats), KCL_OK);
    kcl_context_destroy(&c);
    return stats;
}

/* Puts something other than a file at `path`; false if this user cannot make it. */
static bool put_thing(int kind, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int socket_file, made;
    switch (kind) {
    case 0:
        return mkfifo(path, 0600) == 0;
    case 1:
        return mkdir(path, 0700) == 0;
    case 2: /* nothing is there */
        return symlink("nowhere", path) == 0;
    case 3: /* a file that would do */
        return symlink("whole", path) == 0;
    case 4:
        if (strlen(path) >= sizeof address.sun_path)
            return false;
        strcpy(address.sun_path, path);
        socket_file = socket(AF_UNIX, SOCK_STREAM, 0);
        made = bind(socket_file, (struct sockaddr *)&address, sizeof address);
        close(socket_file);
        return made == 0;
    default: /* for root alone: the terminal */
        return mknod(path, S_IFCHR | 0600, makedev(5, 0)) == 0;
    }
}

START_TEST(test_what_is_no_file_is_left_alone)
{
    char path[1024], whole[1024], temporary[1024], lock[1024];
    enum { KINDS = 6 };
    run_once();
    ck_assert(find_file(".bin", 0, path));
    snprintf(whole, sizeof whole, "%s/whole", harness_folder);
    snprintf(temporary, sizeof temporary, "%s/keopscl-tmp-AbCd01", harness_folder);
    ck_assert_int_eq(rename(path, whole), 0);
    strcpy(lock, path);
    strcpy(strrchr(lock, '.'), ".lock");
    for (int kind = 0; kind < KINDS; kind++) {
        struct stat before, after;
        kcl_cache_info info;
        uint64_t removed;
        if (!put_thing(kind, path))
            continue;
        ck_assert(put_thing(kind, temporary));
        ck_assert(put_thing(kind, lock));
        ck_assert_int_eq(lstat(path, &before), 0);
        kcl_context_stats stats = run_once();
        ck_assert_msg(stats.programs_built == 1 && stats.programs_loaded == 0, "kind %d", kind);
        ck_assert_int_eq(kcl_cache_stats(&info), KCL_OK);
        ck_assert_uint_eq(info.entries, 0);
        ck_assert_int_eq(kcl_cache_clear(&removed), KCL_OK);
        ck_assert_uint_eq(removed, 0);
        ck_assert_int_eq(lstat(path, &after), 0);
        ck_assert_msg(before.st_ino == after.st_ino && before.st_mode == after.st_mode, "kind %d", kind);
        ck_assert_int_eq(remove(path), 0);
        ck_assert_int_eq(remove(temporary), 0);
        ck_assert_int_eq(remove(lock), 0);
    }
}
END_TEST

START_TEST(test_entries_that_others_may_write_are_not_loaded)
{
    static const mode_t modes[] = {0620, 0602, 0666, 0777};
    char path[1024];
    struct stat st;
    run_once();
    ck_assert(find_file(".bin", 0, path));
    ck_assert_int_eq(chmod(path, 0644), 0); /* reading harms nobody */
    ck_assert_uint_eq(run_once().programs_loaded, 1);
    for (size_t k = 0; k < KB_COUNT(modes); k++) {
        ck_assert_int_eq(chmod(path, modes[k]), 0);
        kcl_context_stats stats = run_once();
        ck_assert_msg(stats.programs_built == 1 && stats.programs_loaded == 0, "mode %o", (unsigned)modes[k]);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_int_eq(st.st_mode & 0777, 0600);
    }
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 12345, (gid_t)-1), 0);
        ck_assert_uint_eq(run_once().programs_built, 1);
    }
}
END_TEST

static void append(void *user, const char *text, size_t length)
{
    strncat(user, text, length);
}

START_TEST(test_folders_that_others_may_write_are_not_used)
{
    static const mode_t modes[] = {0770, 0707, 0777, 01777};
    static char report[32768];
    char path[1024], dir[600];
    const int others = geteuid() == 0; /* root can also give the entry away */
    run_once();
    ck_assert(find_file(".bin", 0, path));
    for (int k = 0; k < (int)KB_COUNT(modes) + others; k++) {
        const bool given_away = k == (int)KB_COUNT(modes);
        ck_assert_int_eq(chmod(harness_folder, given_away ? 0700 : modes[k]), 0);
        if (given_away)
            ck_assert_int_eq(chown(harness_folder, 12345, (gid_t)-1), 0);
        harness_log[0] = report[0] = 0;
        kcl_context_stats stats = run_once();
        ck_assert_msg(stats.programs_built == 1 && stats.programs_loaded == 0, "case %d", k);
        char *line = strstr(harness_log, "kernels are not kept on disk");
        const char *why = given_away ? "it belongs to another user (12345)" : "others may write to it";
        ck_assert_ptr_nonnull(line);
        ck_assert_ptr_nonnull(strstr(line, why));
        ck_assert_ptr_null(strstr(line + 1, "kernels are not kept on disk"));
        ck_assert_int_eq(kd_doctor_with(&fake_cl, append, report), KCL_OK);
        ck_assert_ptr_nonnull(strstr(report, why));
        /* Nor are entries written. */
        ck_assert_int_eq(unlink(path), 0);
        run_once();
        ck_assert(!find_file("keopscl-", 0, path));
        ck_assert_int_eq(chmod(harness_folder, 0700), 0);
        if (given_away)
            ck_assert_int_eq(chown(harness_folder, geteuid(), (gid_t)-1), 0);
        run_once();
        ck_assert(find_file(".bin", 0, path));
    }
    /* A folder that is ours behind a link is ours. */
    snprintf(dir, sizeof dir, "%s/link", harness_folder);
    ck_assert_int_eq(symlink(harness_folder, dir), 0);
    setenv("KEOPSCL_CACHE_DIR", dir, 1);
    ck_assert_uint_eq(run_once().programs_loaded, 1);
}
END_TEST

/* The header claims more than the file has: reading that much would fill the memory. */
START_TEST(test_entry_of_a_terabyte)
{
    char path[1024];
    uint64_t header[5];
    struct stat st;
    const uint64_t huge = UINT64_C(1) << 40;
    run_once();
    ck_assert(find_file(".bin", 0, path));
    FILE *f = fopen(path, "r+b");
    ck_assert_uint_eq(fread(header, sizeof *header, KB_COUNT(header), f), KB_COUNT(header));
    header[3] = huge - sizeof header - header[1] - header[2];
    rewind(f);
    ck_assert_uint_eq(fwrite(header, sizeof *header, KB_COUNT(header), f), KB_COUNT(header));
    fclose(f);
    if (truncate(path, (off_t)huge) != 0)
        return; /* the file system cannot hold the file */
    ck_assert_uint_eq(run_once().programs_built, 1);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_lt(st.st_size, 1 << 20);
}
END_TEST

START_TEST(test_dumped_sources_follow_no_link)
{
    char path[1024], precious[1024], text[64] = "";
    struct stat st;
    setenv("KEOPSCL_CACHE", "off", 1);
    setenv("KEOPSCL_DUMP_DIR", harness_folder, 1);
    run_once();
    ck_assert(find_file(".cl", 0, path));
    snprintf(precious, sizeof precious, "%s/precious", harness_folder);
    put_file(precious, "precious", 8);
    for (int kind = 0; kind < 2; kind++) {
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(kind ? mkfifo(path, 0600) : symlink(precious, path), 0);
        run_once();
        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert(S_ISREG(st.st_mode));
        ck_assert_int_eq(st.st_size, (off_t)strlen(harness_source));
    }
    FILE *f = fopen(precious, "r");
    ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
    fclose(f);
    ck_assert_str_eq(text, "precious");
}
END_TEST

/* ---- Programs that others build ---------------------------------------------------------------------------------- */

/* Locks the entry of harness_source as another process would; its path. */
static int lock_as_another(char path[1024])
{
    run_once();
    ck_assert(find_file(".bin", 0, path));
    char *end = strstr(path, ".bin");
    strcpy(end, ".lock");
    int file = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(flock(file, LOCK_EX | LOCK_NB), 0);
    harness_log[0] = 0;
    return file;
}

static void move(const char *from, const char *from_end, const char *to_end)
{
    char name[1024], other[1024];
    const int stem = (int)(strrchr(from, '.') - from);
    snprintf(name, sizeof name, "%.*s%s", stem, from, from_end);
    snprintf(other, sizeof other, "%.*s%s", stem, from, to_end);
    ck_assert_int_eq(rename(name, other), 0);
}

START_TEST(test_waiting_for_another_process_has_an_end)
{
    kcl_context *c;
    kcl_context_stats stats;
    char path[1024], left[1024];
    int file = lock_as_another(path);
    move(path, ".bin", ".away");
    ck_assert_int_eq(open_device(&c, "cpu"), KCL_OK);
    ck_assert(c->device->longest_wait >= 10 && c->device->longest_wait <= 60);
    c->device->longest_wait = 0.1;
    double start = kb_seconds();
    check_twice(c);
    ck_assert(kb_seconds() - start >= 0.1);
    ck_assert_int_eq(kcl_context_get_stats(c, &stats), KCL_OK);
    ck_assert_uint_eq(stats.programs_built, 1);
    ck_assert_ptr_nonnull(strstr(harness_log, "it is built here as well"));
    kcl_context_destroy(&c);
    /* A lock whose process ended, or died, is not waited for; what the process has left goes with the next lock. */
    ck_assert(find_file(".lock", 0, left));
    close(file);
    ck_assert(find_file(".bin", 0, left));
    ck_assert_int_eq(unlink(left), 0);
    harness_log[0] = 0;
    ck_assert_uint_eq(run_once().programs_built, 1);
    ck_assert_ptr_null(strstr(harness_log, "another process"));
    ck_assert(!find_file(".lock", 0, left));
}
END_TEST

typedef struct other_process {
    pthread_t thread;
    int file;
    const char *path;
} other_process;

/* Keeps the entry after a while, then ends its lock. */
static void *keep_entry(void *user)
{
    const other_process *o = user;
    nanosleep(&(struct timespec){0, 200 * 1000 * 1000}, NULL);
    char name[1024], other[1024];
    const int stem = (int)(strrchr(o->path, '.') - o->path);
    snprintf(name, sizeof name, "%.*s.away", stem, o->path);
    snprintf(other, sizeof other, "%.*s.bin", stem, o->path);
    if (rename(name, other) == 0)
        flock(o->file, LOCK_UN);
    return NULL;
}

START_TEST(test_what_another_process_builds_is_read)
{
    char path[1024];
    other_process o = {.path = path};
    o.file = lock_as_another(path);
    move(path, ".bin", ".away");
    ck_assert_int_eq(pthread_create(&o.thread, NULL, keep_entry, &o), 0);
    kcl_context_stats stats = run_once();
    pthread_join(o.thread, NULL);
    ck_assert_uint_eq(stats.programs_built, 0);
    ck_assert_uint_eq(stats.programs_loaded, 1);
    ck_assert_ptr_nonnull(strstr(harness_log, "another process builds it and is waited for"));
    close(o.file);
}
END_TEST

/* Two devices of one process, in one thread: the first has built and not ended its submission when the second comes. */
START_TEST(test_no_context_is_waited_for_by_its_own_thread)
{
    kcl_context *c[2];
    kd_kernel *k;
    char left[1024];
    for (int n = 0; n < 2; n++)
        ck_assert_int_eq(open_device(&c[n], "gpu"), KCL_OK);
    ck_assert_int_eq(kd_kernel_get(c[0], harness_source, "twice", "label", &k), KCL_OK);
    ck_assert(find_file(".lock", 0, left));
    /* A context does not wait for others while others wait for it. */
    ck_assert_int_eq(kd_kernel_get(c[1], "kernel idle", "idle", "label", &k), KCL_OK);
    c[0]->device->longest_wait = c[1]->device->longest_wait = 1000;
    ck_assert_int_eq(kd_kernel_get(c[0], "kernel idle", "idle", "label", &k), KCL_OK);
    ck_assert_int_eq(kd_kernel_get(c[1], harness_source, "twice", "label", &k), KCL_OK);
    /* Every submission ends what it holds, even if nothing ran in the submission. */
    for (int n = 0; n < 2; n++)
        ck_assert_int_eq(n ? kd_submit(c[n]) : kd_finish(c[n]), KCL_OK);
    ck_assert(!find_file(".lock", 0, left));
    ck_assert_int_eq(kd_kernel_get(c[0], "kernel twice", "twice", "label", &k), KCL_OK);
    ck_assert(find_file(".lock", 0, left));
    for (int n = 0; n < 2; n++)
        kcl_context_destroy(&c[n]);
    ck_assert(!find_file(".lock", 0, left));
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
                 {"keopscl-0123456789abcdef.lock", "", true},
                 {"keopscl-0123456789abcde0.lock", "my notes", false},
                 {"keopscl-0123456789abcde.lock", "", false},
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
                                  test_what_is_no_file_is_left_alone,
                                  test_entries_that_others_may_write_are_not_loaded,
                                  test_folders_that_others_may_write_are_not_used,
                                  test_entry_of_a_terabyte,
                                  test_dumped_sources_follow_no_link,
                                  test_waiting_for_another_process_has_an_end,
                                  test_what_another_process_builds_is_read,
                                  test_no_context_is_waited_for_by_its_own_thread,
                                  test_clear_removes_our_entries_only,
                                  test_sources_are_written_where_asked};
    return run_tests("programs", tests, KB_COUNT(tests));
}
