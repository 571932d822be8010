/* SPDX-License-Identifier: MIT */
/*
 * Kernel density and kernel regression of points on the Earth: where airports are, and how high they lie.
 *
 *     density [POINTS.csv [PICTURE]]     computes, checks and draws PICTURE.png (.ppm if built without libpng)
 *     density --formula                  prints the formula and the declarations of its arguments, a line each
 *
 * POINTS.csv has a longitude, a latitude (degrees) and a value a line. With a Gaussian K of the distance between a
 * place x_i of a map and a point y_j with value v_j, the map shows the density sum_j K_ij / area and the local mean
 * sum_j K_ij v_j / sum_j K_ij. Both sums come from one sweep over all pairs.
 */
#include "../common/common.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program[] = "density";

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

static points read_points(const char *path)
{
    points p = {0, NULL, NULL};
    FILE *file = fopen(path, "r");
    if (!file)
        fail("%s: %s", path, strerror(errno));
    size_t capacity = 0, line_number = 0;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        double longitude, latitude, value;
        line_number++;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (sscanf(line, "%lf ,%lf ,%lf", &longitude, &latitude, &value) != 3)
            fail("%s, line %zu: expected longitude,latitude,value", path, line_number);
        if (p.count == capacity) {
            capacity = capacity ? 2 * capacity : 1024;
            p.position = realloc(p.position, capacity * 3 * sizeof *p.position);
            p.value = realloc(p.value, capacity * sizeof *p.value);
            if (!p.position || !p.value)
                fail("memory is exhausted");
        }
        to_sphere(longitude, latitude, p.position + 3 * p.count);
        p.value[p.count++] = (float)value;
    }
    fclose(file);
    if (p.count == 0)
        fail("%s holds no points", path);
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

/* ---- Check ------------------------------------------------------------------------------------------------------- */

/* Returns the largest |error| / sum_j |term| of both sums over every 997th place, against a plain loop in double. */
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
        /* Far from every point Exp has a large negative argument, whose rounding alone is the error. */
        if (scale[1] > 1e-6)
            largest = fmax(largest, fmax(fabs(weighted[i] - sum[0]) / scale[0], fabs(plain[i] - sum[1]) / scale[1]));
    }
    return largest;
}

/* ---- Picture ----------------------------------------------------------------------------------------------------- */

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

/* Draws the density above (logarithmic) and the mean value below, dark if no point is near. */
static bool draw(const char *name, const float *weighted, const float *plain)
{
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
    bool written = write_picture(name, WIDTH, 2 * HEIGHT, rgb, "density above, mean elevation below");
    free(rgb);
    return written;
}

/* ---- Main -------------------------------------------------------------------------------------------------------- */

typedef struct sums {
    kcl_operator *op;
    kcl_context *context;
    const kcl_array *outs[2], *args[4];
} sums;

static kcl_status run(void *user)
{
    sums *s = user;
    return kcl_operator_apply(s->op, s->context, s->outs, 2, s->args, 4);
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
    if (kcl_operator_create(&op, FORMULA, 4, aliases, NULL) < 0)
        fail("%s", kcl_operator_error(op));
    sums s = {op,
              context,
              {kcl_f32(weighted, PLACES, 1), kcl_f32(plain, PLACES, 1)},
              {kcl_f32(x, PLACES, 3), kcl_f32(p.position, (int64_t)p.count, 3), kcl_f32(p.value, (int64_t)p.count, 1),
               kcl_f32(&g, 1)}};
    timing t = time_calls(run, &s, context, REPEATS, 10);
    kcl_operator_destroy(&op);

    print_device(context);
    printf("formula     %s\n", FORMULA);
    printf("data        %zu points of %s, map of %d x %d places, bandwidth %.0f km\n", p.count, points_path, WIDTH,
           HEIGHT, bandwidth_km);
    print_timing(t, (double)PLACES * (double)p.count, "a place and a point");

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
    bool good = error <= 1e-5;
    if (picture)
        good = draw(picture, weighted, plain) && good;
    free(plain);
    free(weighted);
    free(x);
    free(p.value);
    free(p.position);
    return !good;
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
    kcl_context *context = create_context();
    int status = compute(context, argc > 1 ? argv[1] : "examples/data/airports.csv", argc > 2 ? argv[2] : NULL);
    kcl_context_destroy(&context);
    return status;
}
