/* SPDX-License-Identifier: MIT */
/*
 * Optimal transport by Sinkhorn's iterations, in logarithms.
 *
 *     sinkhorn [POINTS [PICTURE]]     800 points if no number is given; draws PICTURE.png (.ppm)
 *
 * Two clouds of N points have the mass 1/N at each point. The plan P_ij = exp((f_i + g_j - |x_i - y_j|^2/2) / e) / N^2
 * of least cost, blurred by e, has potentials with f_i = -e log sum_j exp((g_j - |x_i - y_j|^2/2) / e) / N. The same
 * holds with the clouds exchanged: one operator computes both potentials. The plan is never stored. The second cloud is
 * the image of the first cloud under a symmetric positive map. So the transport without blur is known: each point goes
 * to its image.
 */
#include "../common/common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program[] = "sinkhorn";

enum { D = 2, MOST_STEPS = 3000 };

static const double last_blur = 0.02, tolerance = 1e-5;

typedef struct clouds {
    int count;
    double *x, *y; /* (count, D); y_i is the image of x_i */
    double *f, *g; /* (count), the potentials */
    double blur, log_mass;
} clouds;

/* Makes a spiral, and a stretched and moved spiral. */
static void make(clouds *c, int count)
{
    uint64_t state = 1;
    *c = (clouds){.count = count, .log_mass = -log(count)};
    c->x = allocate((size_t)count * D, sizeof *c->x);
    c->y = allocate((size_t)count * D, sizeof *c->y);
    c->f = allocate((size_t)count, sizeof *c->f);
    c->g = allocate((size_t)count, sizeof *c->g);
    for (int i = 0; i < count; i++) {
        const double angle = 3 * 3.14159265358979323846 * sqrt(uniform(&state)), radius = angle / 10;
        double *x = c->x + D * i, *y = c->y + D * i;
        x[0] = radius * cos(angle) + 0.03 * normal(&state);
        x[1] = radius * sin(angle) + 0.03 * normal(&state);
        y[0] = 0.7 * x[0] + 0.3 * x[1] + 2.5;
        y[1] = 0.3 * x[0] + 1.4 * x[1] + 0.5;
    }
}

/* Computes to_i = -e log sum_j exp((from_j - |a_i - b_j|^2/2) / e) / N. */
static void half_step(const kcl_operator *op, kcl_context *context, clouds *c, double *to, const double *a,
                      const double *b, const double *from)
{
    require(kcl_operator_apply(op, context, (const kcl_array *[]){kcl_f64(to, c->count, 1)}, 1,
                               (const kcl_array *[]){kcl_f64(a, c->count, D), kcl_f64(b, c->count, D),
                                                     kcl_f64(from, c->count, 1), kcl_f64(&c->blur, 1),
                                                     kcl_f64(&c->log_mass, 1)},
                               5),
            context);
}

/* Iterates with a blur that shrinks to the last blur, then until both sums of the plan are right. */
static void iterate(kcl_context *context, clouds *c)
{
    static const char formula[] = "Identity_Reduction(-e*LogSumExp_Reduction((g-SqDist(x,y)/2)/e+w,0),0)";
    static const char *const aliases[] = {"x=Vi(2)", "y=Vj(2)", "g=Vj(1)", "e=Pm(1)", "w=Pm(1)"};
    double *next = allocate((size_t)c->count, sizeof *next), error = INFINITY;
    uint64_t programs = 0;
    int step = 0;
    kcl_operator *op;
    if (kcl_operator_create(&op, formula, 5, aliases, NULL) < 0)
        fail("%s", kcl_operator_error(op));
    for (c->blur = 1; error > tolerance && step < MOST_STEPS; step++) {
        half_step(op, context, c, c->f, c->x, c->y, c->g);
        half_step(op, context, c, next, c->y, c->x, c->f);
        programs = step ? programs : count_programs(context);
        /* With g, the mass that arrives at y_j is exp((g_j - next_j) / e) times the mass that should arrive. */
        error = c->blur > last_blur ? INFINITY : 0;
        for (int j = 0; j < c->count; j++)
            error = fmax(error, fabs(expm1((c->g[j] - next[j]) / c->blur)));
        if (error > tolerance)
            memcpy(c->g, next, (size_t)c->count * sizeof *next);
        c->blur = fmax(last_blur, 0.9 * c->blur);
    }
    kcl_operator_destroy(&op);
    free(next);
    if (error > tolerance)
        fail("after %d steps masses are still wrong by %g of themselves", step, error);
    printf("converged   after %d steps, with the blur %g\n", step, c->blur);
    print_programs(context, programs);
}

/*
 * Computes the plan by a loop: its sums, its cost, and where the mass of each x_i goes on the average. No plan costs
 * less than the known transport without blur. The blurred plan costs at most e log N more, since the entropies of the
 * two plans differ by at most log N.
 */
static void check(const clouds *c, double *image)
{
    const int n = c->count;
    double *columns = allocate((size_t)n, sizeof *columns), rows = 0, cost = 0, best = 0, dual = 0, entropy = 0,
           off = 0, wrong = 0;
    for (int i = 0; i < n; i++) {
        double sum = 0, mean[D] = {0};
        for (int j = 0; j < n; j++) {
            const double u = c->x[D * i] - c->y[D * j], v = c->x[D * i + 1] - c->y[D * j + 1];
            const double distance = (u * u + v * v) / 2, log_ratio = (c->f[i] + c->g[j] - distance) / c->blur;
            const double P = exp(log_ratio) / n / n;
            sum += P;
            columns[j] += P;
            cost += P * distance;
            entropy += P * log_ratio;
            mean[0] += P * c->y[D * j];
            mean[1] += P * c->y[D * j + 1];
            best += i == j ? distance / n : 0;
        }
        rows = fmax(rows, fabs(sum * n - 1));
        dual += (c->f[i] + c->g[i]) / n;
        image[D * i] = mean[0] / sum;
        image[D * i + 1] = mean[1] / sum;
        off += hypot(image[D * i] - c->y[D * i], image[D * i + 1] - c->y[D * i + 1]) / n;
    }
    for (int j = 0; j < n; j++)
        wrong = fmax(wrong, fabs(columns[j] * n - 1));
    free(columns);
    printf("masses      leave within %.1e, arrive within %.1e of what they should be, by a loop\n", rows, wrong);
    printf("cost        %.6f; without blur %.6f, and at most %.6f more with it\n", cost, best, c->blur * log(n));
    printf("duality     cost + e entropy is %.9f, the potentials give %.9f\n", cost + c->blur * entropy, dual);
    printf("images      are %.3f from the known ones on the average\n", off);
    if (!(rows < 2 * tolerance && wrong < 2 * tolerance))
        fail("the sums of the plan are wrong");
    if (!(cost >= best * (1 - 2 * tolerance) && cost <= best + c->blur * log(n)))
        fail("the cost is outside of its bounds");
    if (!(fabs(cost + c->blur * entropy - dual) < 10 * tolerance))
        fail("primal and dual values differ");
    if (!(off < sqrt(c->blur)))
        fail("points are not where they should go");
}

/* Draws the first cloud on its way to where the mass goes. */
static bool draw(const char *name, const clouds *c, const double *image)
{
    enum { PLACES = 5 };
    canvas p = canvas_create(-1.3, -1.2, 3.7, 2.1, 800);
    for (int i = 0; i < c->count; i += 4)
        draw_line(&p, c->x + D * i, image + D * i, 1, (unsigned char[]){120, 120, 120}, 0.3);
    for (int i = 0; i < c->count; i++)
        draw_line(&p, c->y + D * i, c->y + D * i, 7, (unsigned char[]){200, 200, 200}, 0.8);
    for (int k = 0; k < PLACES; k++) {
        const double t = (double)k / (PLACES - 1);
        const unsigned char colour[3] = {(unsigned char)(30 + 190 * t), 60, (unsigned char)(200 - 160 * t)};
        for (int i = 0; i < c->count; i++) {
            const double at[D] = {c->x[D * i] + t * (image[D * i] - c->x[D * i]),
                                  c->x[D * i + 1] + t * (image[D * i + 1] - c->x[D * i + 1])};
            draw_line(&p, at, at, 4, colour, k == 0 || k == PLACES - 1 ? 0.8 : 0.35);
        }
    }
    return canvas_write(&p, name, "the first cloud, blue, on its way to the second, which is grey below");
}

int main(int argc, char **argv)
{
    if (argc > 3)
        fail("usage: sinkhorn [POINTS [PICTURE]]");
    clouds c;
    make(&c, argc > 1 ? whole_number(argv[1], 100000) : 800);
    double *image = allocate((size_t)c.count * D, sizeof *image);
    kcl_context *context = create_context();
    print_device(context);
    iterate(context, &c);
    kcl_context_destroy(&context);
    check(&c, image);
    const int status = argc > 2 && !draw(argv[2], &c, image);
    free(c.x);
    free(c.y);
    free(c.f);
    free(c.g);
    free(image);
    return status;
}
