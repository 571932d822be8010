/* SPDX-License-Identifier: MIT */
/* base/system.c: log, clock, threads. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

void kb_log_line(const kb_log *log, const char *format, ...)
{
    if (!log->write)
        return;
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log->write(log->user, line);
}

void kb_log_stderr(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "keopscl: %s\n", line);
}

double kb_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int kb_processors(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

typedef struct parallel_job {
    atomic_llong next;
    int64_t count;
    void (*work)(void *user, int64_t k, int worker);
    void *user;
} parallel_job;

typedef struct parallel_worker {
    parallel_job *job;
    int index;
    pthread_t thread;
} parallel_worker;

static void *run_worker(void *argument)
{
    parallel_worker *w = argument;
    for (;;) {
        int64_t k = atomic_fetch_add_explicit(&w->job->next, 1, memory_order_relaxed);
        if (k >= w->job->count)
            return NULL;
        w->job->work(w->job->user, k, w->index);
    }
}

void kb_parallel_for(int threads, int64_t count, void (*work)(void *user, int64_t k, int worker), void *user)
{
    enum { MOST = 256 };
    parallel_worker workers[MOST];
    parallel_job job = {.count = count, .work = work, .user = user};
    atomic_init(&job.next, 0);
    int wanted = (int)KB_MIN((int64_t)KB_MIN(threads, MOST), count), started = 1;
    for (; started < wanted; started++) {
        workers[started] = (parallel_worker){&job, started, 0};
        if (pthread_create(&workers[started].thread, NULL, run_worker, &workers[started]) != 0)
            break;
    }
    workers[0] = (parallel_worker){&job, 0, 0};
    run_worker(&workers[0]);
    for (int k = 1; k < started; k++)
        pthread_join(workers[k].thread, NULL);
}
