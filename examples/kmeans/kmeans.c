/* SPDX-License-Identifier: MIT */
/*
 * K-means by Lloyd's algorithm: points go to the nearest centre, and a centre goes to the mean of its points.
 *
 *     kmeans [POINTS [PICTURE]]     20000 points if no number is given; draws PICTURE.png (.ppm)
 *
 * A whole step is three reductions that are evaluated together: the nearest centre of each point, the least squared
 * distances, and for each centre the sum of the points that are nearest to the centre. The points come from twelve
 * planted clusters, which must be found.
 */
#include "../common/common.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program[] = "kmeans";

enum { D = 2, K = 12, MOST_STEPS = 100, TRIED = 10 * K };

static const double spread = 0.3;

static double distance(const float *a, const float *b)
{
    return hypot((double)a[0] - b[0], (double)a[1] - b[1]);
}

/* Chooses the first centres: of the first points, one by one, the point farthest from all centres before. */
static void choose_centres(int count, const float *x, float centres[K][D])
{
    memcpy(centres[0], x, sizeof centres[0]);
    for (int k = 1; k < K; k++) {
        double farthest = -1;
        for (int i = 0; i < count && i < TRIED; i++) {
            double nearest = INFINITY;
            for (int m = 0; m < k; m++)
                nearest = fmin(nearest, distance(&x[D * i], centres[m]));
            if (nearest > farthest) {
                farthest = nearest;
                memcpy(centres[k], &x[D * i], sizeof centres[k]);
            }
        }
    }
}

/* Moves the centres until no point changes to another centre. Returns the sum of squared distances. */
static double cluster(kcl_context *context, int count, const float *x, float centres[K][D], int64_t *label)
{
    int64_t *before = allocate((size_t)count, sizeof *before);
    float sums[K][D], counts[K], inertia = 0, last = INFINITY;
    kcl_scope *s = kcl_scope_create(context);
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, count, D)), *c_j = kcl_vj(s, kcl_f32(&centres[0][0], K, D)), *nearest;
    kcl_expr *least = kcl_reduce_min_argmin(kcl_sqdist(x_i, c_j), KCL_OVER_J, &nearest);
    kcl_expr *own = kcl_like(kcl_equal(nearest, kcl_index_j(s)), c_j); /* 1 where i belongs to j, else 0 */
    kcl_expr *const step[] = {nearest, kcl_reduce_sum(least, KCL_OVER_I), kcl_reduce_sum(own, KCL_OVER_I),
                              kcl_reduce_sum(kcl_mul(own, x_i), KCL_OVER_I)};

    uint64_t programs = 0;
    int steps = 0;
    bool changed = true;
    for (; changed && steps < MOST_STEPS; steps++) {
        require(kcl_eval(4, step,
                         (const kcl_array *[]){kcl_i64(label, count), kcl_f32(&inertia, 1), kcl_f32(counts, K),
                                               kcl_f32(&sums[0][0], K, D)}),
                context);
        programs = steps ? programs : count_programs(context);
        if (!(inertia <= last * (1 + 1e-6f))) /* the rounding of a sum in float32 */
            fail("the sum of squared distances has grown from %g to %g", (double)last, (double)inertia);
        last = inertia;
        changed = steps == 0 || memcmp(label, before, (size_t)count * sizeof *label) != 0;
        memcpy(before, label, (size_t)count * sizeof *label);
        for (int j = 0; j < K; j++)
            for (int k = 0; k < D && counts[j] > 0; k++) /* a centre without points stays where it is */
                centres[j][k] = sums[j][k] / counts[j];
    }
    kcl_scope_destroy(&s);
    free(before);
    if (changed)
        fail("points still change their centre after %d steps", steps);
    printf("converged   after %d steps, the sum of squared distances never grew\n", steps);
    print_programs(context, programs);
    return inertia;
}

/*
 * Checks by loops in double that labels are the nearest centres, centres are means, and centres lie near the planted
 * centres.
 */
static void check(int count, const float *x, float centres[K][D], const int64_t *label, double inertia,
                  double planted[K][D])
{
    double mean[K][D] = {{0}}, sum = 0, off = 0, error = 0;
    int of[K] = {0}, centre_at[K] = {0}, right = 0;
    for (int i = 0; i < count; i++) {
        const double own = distance(&x[D * i], centres[label[i]]);
        for (int j = 0; j < K; j++)
            if (distance(&x[D * i], centres[j]) < own * (1 - 1e-5))
                fail("point %d is nearer to centre %d than to its own, %" PRId64, i, j, label[i]);
        sum += own * own;
        of[label[i]]++;
        for (int k = 0; k < D; k++)
            mean[label[i]][k] += x[D * i + k];
    }
    for (int j = 0; j < K; j++) {
        double nearest = INFINITY;
        for (int m = 0; m < K; m++) {
            const double d = hypot(planted[j][0] - centres[m][0], planted[j][1] - centres[m][1]);
            centre_at[j] = d < nearest ? m : centre_at[j];
            nearest = fmin(nearest, d);
        }
        off = fmax(off, nearest);
        error = fmax(error, hypot(mean[j][0] / of[j] - centres[j][0], mean[j][1] / of[j] - centres[j][1]));
    }
    for (int i = 0; i < count; i++)
        right += label[i] == centre_at[i % K];
    printf("inertia     %.6g, by a loop in double %.6g\n", inertia, sum);
    printf("centres     at most %.1e from the means of their points, %.2g from those planted\n", error, off);
    printf("points      %d of %d are with the centre of their cluster\n", right, count);
    if (!(fabs(inertia - sum) <= 1e-5 * sum && error < 1e-5))
        fail("the results are not those of a loop");
    if (!(off < spread && right >= 0.98 * count))
        fail("the planted clusters were not found");
}

static bool draw(const char *name, int count, const float *x, float centres[K][D], const int64_t *label)
{
    canvas c = canvas_create(-1.5, -1.5, 7.5, 5.5, 720);
    for (int pixel = 0; pixel < c.width * c.height; pixel++) { /* the cells of the centres, lightly */
        const float at[D] = {(float)(c.left + (pixel % c.width + 0.5) / c.scale),
                             (float)(c.top - (pixel / c.width + 0.5) / c.scale)};
        int nearest = 0;
        for (int j = 1; j < K; j++)
            nearest = distance(at, centres[j]) < distance(at, centres[nearest]) ? j : nearest;
        for (int k = 0; k < 3; k++)
            c.rgb[3 * pixel + k] = (unsigned char)(255 - (255 - palette[nearest][k]) / 5);
    }
    for (int i = 0; i < count; i++) {
        const double at[D] = {x[D * i], x[D * i + 1]};
        draw_line(&c, at, at, 2.5, palette[label[i]], 0.5);
    }
    for (int j = 0; j < K; j++) {
        const double at[D] = {centres[j][0], centres[j][1]};
        draw_line(&c, at, at, 14, (unsigned char[]){255, 255, 255}, 1);
        draw_line(&c, at, at, 10, (unsigned char[]){0, 0, 0}, 1);
    }
    return canvas_write(&c, name, "points by their nearest centre, and the cells of the centres");
}

int main(int argc, char **argv)
{
    if (argc > 3)
        fail("usage: kmeans [POINTS [PICTURE]]");
    const int count = argc > 1 ? whole_number(argv[1], 10000000) : 20000;
    if (count < TRIED)
        fail("%d points are too few, %d are needed", count, TRIED);
    float *x = allocate((size_t)count * D, sizeof *x), centres[K][D];
    int64_t *label = allocate((size_t)count, sizeof *label);
    double planted[K][D];
    uint64_t state = 3;
    for (int j = 0; j < K; j++) { /* on a grid of 4 x 3, each a little off */
        planted[j][0] = 2 * (j % 4) + 0.6 * (uniform(&state) - 0.5);
        planted[j][1] = 2 * (j / 4) + 0.6 * (uniform(&state) - 0.5);
    }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < D; k++)
            x[D * i + k] = (float)(planted[i % K][k] + spread * normal(&state));

    kcl_context *context = create_context();
    print_device(context);
    choose_centres(count, x, centres);
    const double inertia = cluster(context, count, x, centres, label);
    kcl_context_destroy(&context);
    check(count, x, centres, label, inertia, planted);
    const int status = argc > 2 && !draw(argv[2], count, x, centres, label);
    free(x);
    free(label);
    return status;
}
