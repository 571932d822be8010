/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
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

void require(kcl_status status, const kcl_context *context)
{
    if (status < 0)
        fail("%s", kcl_context_error(context));
}

int whole_number(const char *text, int most)
{
    char *end;
    const long value = strtol(text, &end, 10);
    if (end == text || *end || value < 1 || value > most)
        fail("\"%s\" is no number from 1 to %d", text, most);
    return (int)value;
}

double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

double normal(uint64_t *state)
{
    double u = uniform(state), v = uniform(state);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

uint64_t count_programs(const kcl_context *context)
{
    kcl_context_stats stats;
    require(kcl_context_get_stats(context, &stats), context);
    return stats.programs_built + stats.programs_loaded;
}

void print_programs(const kcl_context *context, uint64_t first)
{
    const uint64_t now = count_programs(context);
    if (now != first)
        fail("%" PRIu64 " programs were made in the first step, %" PRIu64 " later on", first, now - first);
    printf("programs    %" PRIu64 ", all made in the first step\n", now);
}

double seconds(void)
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

/* ---- Pictures of the plane --------------------------------------------------------------------------------------- */

const unsigned char palette[12][3] = {{31, 119, 180},  {255, 127, 14}, {44, 160, 44},   {214, 39, 40},
                                      {148, 103, 189}, {140, 86, 75},  {227, 119, 194}, {127, 127, 127},
                                      {188, 189, 34},  {23, 190, 207}, {0, 90, 90},     {120, 0, 70}};

canvas canvas_create(double left, double bottom, double right, double top, int width)
{
    canvas c = {.width = width, .left = left, .top = top, .scale = width / (right - left)};
    c.height = (int)lround((top - bottom) * c.scale);
    c.rgb = allocate((size_t)c.width * (size_t)c.height, 3);
    memset(c.rgb, 255, (size_t)c.width * (size_t)c.height * 3);
    return c;
}

void draw_line(canvas *c, const double from[2], const double to[2], double width, const unsigned char colour[3],
               double opacity)
{
    const double x0 = (from[0] - c->left) * c->scale, y0 = (c->top - from[1]) * c->scale;
    const double dx = (to[0] - from[0]) * c->scale, dy = (from[1] - to[1]) * c->scale, square = dx * dx + dy * dy;
    const double reach = width / 2 + 1;
    const int left = (int)fmax(0, fmin(x0, x0 + dx) - reach), top = (int)fmax(0, fmin(y0, y0 + dy) - reach);
    const int right = (int)fmin(c->width - 1, fmax(x0, x0 + dx) + reach);
    const int bottom = (int)fmin(c->height - 1, fmax(y0, y0 + dy) + reach);
    for (int row = top; row <= bottom; row++)
        for (int column = left; column <= right; column++) {
            const double x = column + 0.5 - x0, y = row + 0.5 - y0;
            const double along = square > 0 ? fmin(fmax((x * dx + y * dy) / square, 0), 1) : 0;
            const double inside =
                width / 2 + 0.5 - hypot(x - along * dx, y - along * dy); /* colours are mixed at the rim */
            const double share = opacity * fmin(fmax(inside, 0), 1);
            unsigned char *pixel = c->rgb + 3 * ((size_t)row * (size_t)c->width + (size_t)column);
            for (int k = 0; k < 3; k++)
                pixel[k] = (unsigned char)(pixel[k] * (1 - share) + colour[k] * share + 0.5);
        }
}

bool canvas_write(canvas *c, const char *name, const char *caption)
{
    bool written = write_picture(name, c->width, c->height, c->rgb, caption);
    free(c->rgb);
    return written;
}
