/* SPDX-License-Identifier: MIT */
/*
 * Mean shift: every point climbs the density of all points to the mode above it, and the modes are the clusters.
 *
 *     mean_shift [POINTS [PICTURE]]     2000 points if no number is given; draws PICTURE.png (.ppm)
 *
 * One step moves each x_i to the mean of the points y_j with the weights exp(-|x_i - y_j|^2 / (2 h^2)). The weights are
 * never stored. The points come from six planted clusters, which must be found.
 */
#include "../common/common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program[] = "mean_shift";

enum { D = 2, CLUSTERS = 6, MOST_STEPS = 300 };

static const double spread = 0.45, bandwidth = 0.5, tolerance = 1e-4;

/* Computes the centre of a planted cluster, on a circle. */
static void planted(int cluster, double centre[D])
{
    centre[0] = 3 * cos(1.0471975511965976 * cluster + 0.3);
    centre[1] = 3 * sin(1.0471975511965976 * cluster + 0.3);
}

static float distance(const float *a, const float *b)
{
    return hypotf(a[0] - b[0], a[1] - b[1]);
}

/* Moves x until no point moves by more than the tolerance. Returns the number of steps. */
static int climb(kcl_context *context, int count, const float *points, float *x, canvas *picture)
{
    float *moved = allocate((size_t)count * D, sizeof *moved), largest = INFINITY;
    kcl_scope *s = kcl_scope_create(context);
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, count, D)), *y_j = kcl_vj(s, kcl_f32(points, count, D));
    kcl_expr *g = kcl_scalar(s, 1 / (2 * bandwidth * bandwidth));
    kcl_expr *mean = kcl_reduce_sumsoftmaxweight(kcl_neg(kcl_mul(g, kcl_sqdist(x_i, y_j))), y_j, KCL_OVER_J);

    /* Arrays are read when an evaluation runs: the same expression serves all steps. */
    uint64_t programs = 0;
    int step = 0;
    while (largest > tolerance && step < MOST_STEPS) {
        require(kcl_eval1(mean, kcl_f32(moved, count, D)), context);
        programs = step++ ? programs : count_programs(context);
        largest = 0;
        for (int i = 0; i < count; i++) {
            largest = fmaxf(largest, distance(&x[D * i], &moved[D * i]));
            if (picture && i % 7 == 0)
                draw_line(picture, (double[]){x[D * i], x[D * i + 1]}, (double[]){moved[D * i], moved[D * i + 1]}, 1,
                          (unsigned char[]){110, 110, 110}, 0.6);
        }
        memcpy(x, moved, (size_t)count * D * sizeof *x);
    }
    kcl_scope_destroy(&s);
    free(moved);
    if (largest > tolerance)
        fail("points still move after %d steps, by %g", step, (double)largest);
    printf("converged   after %d steps\n", step);
    print_programs(context, programs);
    return step;
}

/* Gives points that ended at one place the same mode. Fails unless there are as many modes as planted clusters. */
static void find_modes(int count, const float *x, float modes[CLUSTERS][D], int *mode_of)
{
    int found = 0;
    for (int i = 0; i < count; i++) {
        int k = 0;
        while (k < found && distance(&x[D * i], modes[k]) > bandwidth / 2)
            k++;
        if (k == CLUSTERS)
            fail("there are more than %d modes", CLUSTERS);
        if (k == found)
            memcpy(modes[found++], &x[D * i], sizeof modes[k]);
        mode_of[i] = k;
    }
    if (found < CLUSTERS)
        fail("%d modes were found of %d", found, CLUSTERS);
}

/* Fails if a step in double, by a loop, moves a mode, or if the mode does not lie at a planted centre. */
static void check_modes(int count, const float *points, float modes[CLUSTERS][D], const int *mode_of)
{
    double farthest = 0, off = 0;
    int right = 0, mode_at[CLUSTERS] = {0};
    for (int k = 0; k < CLUSTERS; k++) {
        double nearest = INFINITY, centre[D], sum[D + 1] = {0};
        for (int m = 0; m < CLUSTERS; m++) {
            planted(k, centre);
            const double d = hypot(modes[m][0] - centre[0], modes[m][1] - centre[1]);
            if (d < nearest) {
                nearest = d;
                mode_at[k] = m;
            }
        }
        off = fmax(off, nearest);
        for (int j = 0; j < count; j++) {
            const double dx = (double)points[D * j] - modes[k][0], dy = (double)points[D * j + 1] - modes[k][1];
            const double w = exp(-(dx * dx + dy * dy) / (2 * bandwidth * bandwidth));
            sum[0] += w * dx;
            sum[1] += w * dy;
            sum[2] += w;
        }
        farthest = fmax(farthest, hypot(sum[0], sum[1]) / sum[2]);
    }
    for (int i = 0; i < count; i++)
        right += mode_of[i] == mode_at[i % CLUSTERS];
    printf("modes       %d, at most %.2g from the planted centres; a step in double moves them by %.1e\n", CLUSTERS,
           off, farthest);
    printf("points      %d of %d are with the mode of their cluster\n", right, count);
    if (!(farthest < 1e-3 && off < 0.5 * spread && right >= 0.98 * count))
        fail("the planted clusters were not found");
}

int main(int argc, char **argv)
{
    if (argc > 3)
        fail("usage: mean_shift [POINTS [PICTURE]]");
    const int count = argc > 1 ? whole_number(argv[1], 1000000) : 2000;
    float *points = allocate((size_t)count * D, sizeof *points), *x = allocate((size_t)count * D, sizeof *x);
    float modes[CLUSTERS][D];
    int *mode_of = allocate((size_t)count, sizeof *mode_of), status = 0;
    uint64_t state = 1;
    for (int i = 0; i < count; i++) {
        double centre[D];
        planted(i % CLUSTERS, centre);
        for (int k = 0; k < D; k++)
            points[D * i + k] = (float)(centre[k] + spread * normal(&state));
    }
    memcpy(x, points, (size_t)count * D * sizeof *x);

    kcl_context *context = create_context();
    print_device(context);
    canvas picture = canvas_create(-5, -5, 5, 5, 640), *drawn = argc > 2 ? &picture : NULL;
    climb(context, count, points, x, drawn);
    kcl_context_destroy(&context);
    find_modes(count, x, modes, mode_of);
    check_modes(count, points, modes, mode_of);
    for (int i = 0; drawn && i < count; i++) {
        const double at[D] = {points[D * i], points[D * i + 1]};
        draw_line(drawn, at, at, 4, palette[mode_of[i]], 0.7);
    }
    for (int k = 0; drawn && k < CLUSTERS; k++) {
        const double at[D] = {modes[k][0], modes[k][1]};
        draw_line(drawn, at, at, 16, (unsigned char[]){255, 255, 255}, 1);
        draw_line(drawn, at, at, 12, (unsigned char[]){0, 0, 0}, 1);
    }
    if (drawn)
        status = !canvas_write(drawn, argv[2], "points by the mode that they climb to, and the paths of some");
    else
        free(picture.rgb);
    free(points);
    free(x);
    free(mode_of);
    return status;
}
