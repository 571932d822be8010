/* SPDX-License-Identifier: MIT */
/*
 * Kernel density and kernel regression of points on the Earth: where airports are, and how high they lie.
 *
 *     density [POINTS.csv [PICTURE]]     computes, checks and draws PICTURE.png (.ppm where built without libpng)
 *     density --formula                  prints the formula and the declarations of its arguments, a line each
 *
 * POINTS.csv has a longitude, a latitude (degrees) and a value a line. With a Gaussian K of the distance between a place
 * x_i of a map and a point y_j with value v_j, the map shows the density sum_j K_ij / area and the local mean
 * sum_j K_ij v_j / sum_j K_ij. Both sums come from one sweep over all pairs.
 */
#include <keopscl/keopscl.h>

#include <errno.h>
#include <math.h>
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

#define FORMULA "Sum_Reduction(Exp(-g*SqDist(x,y))*v,0); Sum_Reduction(Exp(-g*SqDist(x,y)),0)"

static const char *const aliases[] = {"x=Vi(3)", "y=Vj(3)", "v=Vj(1)", "g=Pm(1)"};

enum { WIDTH = 720, HEIGHT = 360, PLACES = WIDTH * HEIGHT, REPEATS = 5 };

static const double pi = 3.14159265358979323846, radius_km = 6371, bandwidth_km = 150;

typedef struct points {
    size_t count;
    float *position; /* (count, 3), kilometres from the centre of the Earth */
    float *value;    /* (count) */
} points;

static void to_sphere(double longitude, double latitude, float *position)
{
    double lon = longitude * pi / 180, lat = latitude * pi / 180;
    position[0] = (float)(radius_km * cos(lat) * cos(lon));
    position[1] = (float)(radius_km * cos(lat) * sin(lon));
    position[2] = (float)(radius_km * sin(lat));
}

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    if (!p) {
        fprintf(stderr, "density: memory is exhausted\n");
        exit(1);
    }
    return p;
}

static points read_points(const char *path)
{
    points p = {0, NULL, NULL};
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "density: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    size_t capacity = 0, line_number = 0;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        double longitude, latitude, value;
        line_number++;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (sscanf(line, "%lf ,%lf ,%lf", &longitude, &latitude, &value) != 3) {
            fprintf(stderr, "density: %s, line %zu: expected longitude,latitude,value\n", path, line_number);
            exit(1);
        }
        if (p.count == capacity) {
            capacity = capacity ? 2 * capacity : 1024;
            p.position = realloc(p.position, capacity * 3 * sizeof *p.position);
            p.value = realloc(p.value, capacity * sizeof *p.value);
            if (!p.position || !p.value) {
                fprintf(stderr, "density: memory is exhausted\n");
                exit(1);
            }
        }
        to_sphere(longitude, latitude, p.position + 3 * p.count);
        p.value[p.count++] = (float)value;
    }
    fclose(file);
    if (p.count == 0) {
        fprintf(stderr, "density: %s holds no points\n", path);
        exit(1);
    }
    return p;
}

static double longitude_of(int column)
{
    return -180 + (column + 0.5) * 360 / WIDTH;
}

static double latitude_of(int row)
{
    return 90 - (row + 0.5) * 180 / HEIGHT;
}

static int place_at(double longitude, double latitude)
{
    int column = (int)((longitude + 180) * WIDTH / 360), row = (int)((90 - latitude) * HEIGHT / 180);
    return row * WIDTH + column;
}

/* ---- Check -------------------------------------------------------------------------------------------------------- */

/* The largest |error| / sum_j |term| of both sums over every 997th place, against a plain loop in double. */
static double largest_error(const points *p, const float *x, double g, const float *weighted, const float *plain)
{
    double largest = 0;
    for (int i = 0; i < PLACES; i += 997) {
        double sum[2] = {0, 0}, scale[2] = {0, 0};
        for (size_t j = 0; j < p->count; j++) {
            double distance = 0;
            for (int k = 0; k < 3; k++) {
                double d = (double)x[3 * i + k] - (double)p->position[3 * j + k];
                distance += d * d;
            }
            double K = exp(-g * distance);
            sum[0] += K * p->value[j];
            scale[0] += K * fabs(p->value[j]);
            sum[1] += K;
            scale[1] += K;
        }
        /* Far from every point Exp has a large negative argument, and the rounding of that alone is the error. */
        if (scale[1] > 1e-6)
            largest = fmax(largest, fmax(fabs(weighted[i] - sum[0]) / scale[0], fabs(plain[i] - sum[1]) / scale[1]));
    }
    return largest;
}

/* ---- Picture ------------------------------------------------------------------------------------------------------ */

typedef struct colour {
    double at;
    unsigned char rgb[3];
} colour;

static const colour density_colours[] = {
    {0.0, {13, 8, 60}}, {0.3, {84, 2, 163}}, {0.55, {185, 50, 137}}, {0.8, {243, 135, 72}}, {1.0, {240, 249, 33}}};
static const colour height_colours[] = {{0, {38, 112, 72}},     {300, {150, 190, 110}}, {800, {232, 216, 150}},
                                        {1500, {190, 130, 80}}, {2500, {130, 80, 60}},  {4200, {250, 250, 250}}};

static void paint(unsigned char *pixel, double t, const colour *colours, int count)
{
    int k = 1;
    while (k < count - 1 && t > colours[k].at)
        k++;
    double u = (t - colours[k - 1].at) / (colours[k].at - colours[k - 1].at);
    u = fmin(fmax(u, 0), 1);
    for (int c = 0; c < 3; c++)
        pixel[c] = (unsigned char)(colours[k - 1].rgb[c] * (1 - u) + colours[k].rgb[c] * u + 0.5);
}

static int write_picture(const char *path, int width, int height, const unsigned char *rgb)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    int failed;
#ifdef HAVE_PNG
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = (unsigned)width, .height = (unsigned)height, .format = PNG_FORMAT_RGB};
    failed = !png_image_write_to_stdio(&image, file, 0, rgb, 0, NULL);
#else
    fprintf(file, "P6\n%d %d\n255\n", width, height);
    failed = fwrite(rgb, 3, (size_t)width * height, file) != (size_t)width * height;
#endif
    return fclose(file) || failed ? -1 : 0;
}

/* The density above (logarithmic), the mean value below; dark where no point is near. */
static int draw(const char *name, const float *weighted, const float *plain)
{
    char path[4096];
    snprintf(path, sizeof path, "%s" PICTURE_TYPE, name);
    unsigned char *rgb = allocate(2 * PLACES, 3);
    float densest = 0;
    for (int i = 0; i < PLACES; i++)
        densest = fmaxf(densest, plain[i]);
    for (int i = 0; i < PLACES; i++) {
        paint(rgb + 3 * i, 1 + log10(plain[i] / densest + 1e-30) / 4, density_colours, 5);
        unsigned char *below = rgb + 3 * (PLACES + i);
        if (plain[i] > 0.02f)
            paint(below, weighted[i] / plain[i], height_colours, 6);
        else
            memcpy(below, (unsigned char[]){24, 32, 48}, 3);
    }
    int status = write_picture(path, WIDTH, 2 * HEIGHT, rgb);
    if (status < 0)
        fprintf(stderr, "density: cannot write %s: %s\n", path, strerror(errno));
    else
        printf("picture     %s: density above, mean elevation below\n", path);
    free(rgb);
    return status;
}

/* ---- Main --------------------------------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compute(kcl_context *context, const char *points_path, const char *picture)
{
    points p = read_points(points_path);
    float *x = allocate(PLACES, 3 * sizeof *x);
    float *weighted = allocate(PLACES, sizeof *weighted), *plain = allocate(PLACES, sizeof *plain);
    for (int i = 0; i < PLACES; i++)
        to_sphere(longitude_of(i % WIDTH), latitude_of(i / WIDTH), x + 3 * i);
    const float g = (float)(1 / (2 * bandwidth_km * bandwidth_km));

    kcl_operator *op;
    int status = 1;
    if (kcl_operator_create(&op, FORMULA, 4, aliases, NULL) < 0) {
        fprintf(stderr, "density: %s\n", kcl_operator_error(op));
        goto end;
    }
    const kcl_array *outs[] = {kcl_f32(weighted, PLACES, 1), kcl_f32(plain, PLACES, 1)};
    const kcl_array *args[] = {kcl_f32(x, PLACES, 3), kcl_f32(p.position, (int64_t)p.count, 3),
                               kcl_f32(p.value, (int64_t)p.count, 1), kcl_f32(&g, 1)};
    double first = 0, best = 0, begin = seconds();
    for (int k = 0; k == 0 || (k <= REPEATS && seconds() - begin < 10); k++) {
        double start = seconds();
        if (kcl_operator_apply(op, context, outs, 2, args, 4) < 0) {
            fprintf(stderr, "density: %s\n", kcl_context_error(context));
            goto end;
        }
        double elapsed = seconds() - start;
        first = k == 0 ? elapsed : first;
        best = k <= 1 ? elapsed : fmin(best, elapsed);
    }

    kcl_device_info device;
    kcl_context_device_info(context, &device);
    double pairs = (double)PLACES * (double)p.count;
    printf("device      %s (%s), KEOPSCL_DEVICE=%s\n", device.name, device.platform, device.id);
    printf("formula     %s\n", FORMULA);
    printf("data        %zu points of %s, map of %d x %d places, bandwidth %.0f km\n", p.count, points_path, WIDTH,
           HEIGHT, bandwidth_km);
    printf("first call  %.3f s, the kernel built or loaded\n", first);
    printf("best call   %.3f s: %.2f Gpair/s (1 Gpair = 1e9 pairs of a place and a point)\n", best,
           pairs / best * 1e-9);

    static const struct {
        const char *name;
        double longitude, latitude;
    } shown[] = {{"Alps", 8.0, 46.6},        {"Netherlands", 5.2, 52.2},   {"Altiplano", -68.0, -18.0},
                 {"Colorado", -106.0, 39.0}, {"Tibet", 91.0, 30.0},        {"Ganges plain", 80.0, 26.5},
                 {"Kenya", 37.0, -1.0},      {"Amazon basin", -60.0, -3.0}};
    printf("\n%-14s %28s %20s\n", "place", "airports per million km^2", "mean elevation, m");
    for (size_t k = 0; k < sizeof shown / sizeof shown[0]; k++) {
        int i = place_at(shown[k].longitude, shown[k].latitude);
        printf("%-14s %28.1f %20.0f\n", shown[k].name, plain[i] / (2 * pi * bandwidth_km * bandwidth_km) * 1e6,
               weighted[i] / plain[i]);
    }
    double error = largest_error(&p, x, g, weighted, plain);
    printf("\nlargest error against a plain loop in double: %.1e of the sum of |terms| (limit 1e-5): %s\n", error,
           error <= 1e-5 ? "ok" : "WRONG");
    status = !(error <= 1e-5);
    if (picture && draw(picture, weighted, plain) < 0)
        status = 1;
end:
    kcl_operator_destroy(&op);
    free(plain);
    free(weighted);
    free(x);
    free(p.value);
    free(p.position);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--formula") == 0) {
        puts(FORMULA);
        for (size_t k = 0; k < sizeof aliases / sizeof aliases[0]; k++)
            puts(aliases[k]);
        return 0;
    }
    if (argc > 3 || (argc > 1 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: density [POINTS.csv [PICTURE]]\n       density --formula\n");
        return 2;
    }
    kcl_context *context;
    int status = 1;
    if (kcl_context_create(&context, NULL) < 0)
        fprintf(stderr, "density: %s\n", kcl_context_error(context));
    else
        status = compute(context, argc > 1 ? argv[1] : "examples/data/airports.csv", argc > 2 ? argv[2] : NULL);
    kcl_context_destroy(&context);
    return status;
}
