/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef HAVE_PNG
#include <png.h>
#define PICTURE_TYPE ".png"
#else
#define PICTURE_TYPE ".ppm"
#endif

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void *allocate(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    if (!p)
        fail("memory is exhausted");
    return p;
}

kcl_context *create_context(void)
{
    kcl_context *context;
    if (kcl_context_create(&context, NULL) < 0)
        fail("%s", kcl_context_error(context));
    return context;
}

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

timing time_calls(kcl_status (*call)(void *user), void *user, kcl_context *context, int repeats, double limit)
{
    timing t = {0, 0, 0};
    double begin = seconds();
    for (int k = 0; k == 0 || (k <= repeats && (k == 1 || seconds() - begin < limit)); k++) {
        double start = seconds();
        if (call(user) < 0)
            fail("%s", kcl_context_error(context));
        double elapsed = seconds() - start;
        if (k == 0)
            t.first = elapsed;
        else if (k == 1 || elapsed < t.best)
            t.best = elapsed;
        t.calls = k;
    }
    return t;
}

void print_device(const kcl_context *context)
{
    kcl_device_info device;
    if (kcl_context_device_info(context, &device) < 0)
        fail("%s", kcl_context_error(context));
    printf("device      %s (%s), KEOPSCL_DEVICE=%s\n", device.name, device.platform, device.id);
}

void print_timing(timing t, double pairs, const char *pair)
{
    printf("first call  %.3g s, the kernel built or loaded\n", t.first);
    printf("best call   %.3g s of %d: %.2f Gpair/s (1 Gpair = 1e9 pairs of %s; %.0f a call)\n", t.best, t.calls,
           pairs / t.best * 1e-9, pair, pairs);
}

static bool write_pixels(FILE *file, int width, int height, const unsigned char *rgb)
{
#ifdef HAVE_PNG
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = (unsigned)width, .height = (unsigned)height, .format = PNG_FORMAT_RGB};
    return png_image_write_to_stdio(&image, file, 0, rgb, 0, NULL);
#else
    fprintf(file, "P6\n%d %d\n255\n", width, height);
    return fwrite(rgb, 3, (size_t)width * height, file) == (size_t)width * height;
#endif
}

bool write_picture(const char *name, int width, int height, const unsigned char *rgb, const char *caption)
{
    char path[4096];
    snprintf(path, sizeof path, "%s" PICTURE_TYPE, name);
    FILE *file = fopen(path, "wb");
    bool written = file && write_pixels(file, width, height, rgb);
    written = file && fclose(file) == 0 && written;
    if (written)
        printf("picture     %s: %s\n", path, caption);
    else
        fprintf(stderr, "%s: cannot write %s: %s\n", program, path, strerror(errno));
    return written;
}
