/* SPDX-License-Identifier: MIT */
/*
 * Geodesic shooting (LDDMM): a closed curve is deformed until it lies on another curve.
 *
 *     shooting [POINTS [PICTURE]]     200 points if no number is given; draws PICTURE.png (.ppm)
 *
 * The points q of the curve and momenta p follow the Hamiltonian H(q, p) = 1/2 sum_ij exp(-|q_i - q_j|^2 / s^2) p_i.p_j
 * from time 0 to time 1: q' = dH/dp and p' = -dH/dq, in ten steps of Ralston's method. The library derives H at every
 * step. The momenta at time 0 tell the whole deformation. L-BFGS looks for the momenta that make
 *
 *     E(p) = c H(q, p) + |C(q at time 1) - C(target)|^2
 *
 * small. C(q) is the curve as a current: its segments, by centre a and direction t, with the scalar product <C, C'> =
 * sum_kl exp(-|a_k - a'_l|^2 / w^2) t_k.t'_l. No point needs a partner: the target has more points than the curve. The
 * gradient of E goes through all steps, and through the derivatives of H in the steps.
 *
 * Loops in double compute E too. Value and gradient are compared with the loops. H, the sum of the momenta and the
 * angular momentum are constants of the motion, for which the path is checked.
 */
#include "../common/common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program[] = "shooting";

enum { D = 2, STEPS = 10, MOST_STEPS = 60, MEMORY = 8 };

static const double turn = 6.283185307179586, kernel_size = 0.5, segment_size = 0.25, weight = 0.01;

typedef struct problem {
    int count, target_count;                  /* points */
    double *q, *p, *target;                   /* (count, D) twice, (target_count, D) */
    int64_t *next, *target_next;              /* the point that follows each point */
    double energy, *by_p;                     /* E, and its gradient in p */
    double *places, *momenta;                 /* (STEPS + 1, count, D): q and p at all times */
    kcl_expr *E, *gradient, *path[2 * STEPS]; /* q and p after each step, in turn */
    kcl_scope *scope;
    kcl_context *context;
} problem;

static int64_t *ring(int count)
{
    int64_t *next = allocate((size_t)count, sizeof *next);
    for (int k = 0; k < count; k++)
        next[k] = (k + 1) % count;
    return next;
}

/* Makes a circle, and a clover beside the circle with a third more points. */
static void make(problem *m, int count)
{
    *m = (problem){.count = count, .target_count = count + count / 3 + 1};
    m->next = ring(m->count);
    m->target_next = ring(m->target_count);
    m->q = allocate((size_t)count * D, sizeof *m->q);
    m->p = allocate((size_t)count * D, sizeof *m->p);
    m->by_p = allocate((size_t)count * D, sizeof *m->by_p);
    m->target = allocate((size_t)m->target_count * D, sizeof *m->target);
    m->places = allocate((size_t)count * D * (STEPS + 1), sizeof *m->places);
    m->momenta = allocate((size_t)count * D * (STEPS + 1), sizeof *m->momenta);
    for (int i = 0; i < count; i++) {
        m->q[D * i] = cos(turn * i / count);
        m->q[D * i + 1] = sin(turn * i / count);
    }
    for (int j = 0; j < m->target_count; j++) {
        const double angle = turn * (j + 0.3) / m->target_count, radius = 1.1 + 0.35 * cos(3 * angle - 0.5);
        m->target[D * j] = radius * cos(angle) + 0.2;
        m->target[D * j + 1] = radius * sin(angle) + 0.1;
    }
}

/* ---- As expressions ---------------------------------------------------------------------------------------------- */

/* Returns exp(-|f - g|^2 / size^2). */
static kcl_expr *gaussian(kcl_expr *f, kcl_expr *g, double size)
{
    return kcl_exp(kcl_scale(kcl_sqdist(f, g), -1 / (size * size)));
}

static kcl_expr *hamiltonian(kcl_expr *q, kcl_expr *p)
{
    kcl_expr *K = gaussian(q, kcl_transpose(q), kernel_size);
    return kcl_scale(kcl_reduce_sum(kcl_mul(K, kcl_dot(p, kcl_transpose(p))), KCL_OVER_BOTH), 0.5);
}

/* Makes the right-hand sides of q' and p'. */
static void derive(kcl_expr *q, kcl_expr *p, kcl_expr **q_dot, kcl_expr **p_dot)
{
    kcl_expr *gradients[2] = {NULL, NULL};
    kcl_grad_many(hamiltonian(q, p), 2, (kcl_expr *[]){p, q}, gradients);
    *q_dot = gradients[0];
    *p_dot = kcl_neg(gradients[1]);
}

/* A closed curve as a current, a segment for each row of q. */
typedef struct current {
    kcl_expr *centre, *direction;
} current;

static current current_of(kcl_expr *q, kcl_expr *next)
{
    kcl_expr *end = kcl_gather(q, next);
    return (current){kcl_scale(kcl_add(q, end), 0.5), kcl_sub(end, q)};
}

/* Returns <C, C'>. */
static kcl_expr *product(current c, current other)
{
    kcl_expr *K = gaussian(c.centre, kcl_transpose(other.centre), segment_size);
    return kcl_reduce_sum(kcl_mul(K, kcl_dot(c.direction, kcl_transpose(other.direction))), KCL_OVER_BOTH);
}

static void build(problem *m)
{
    const double dt = 1.0 / STEPS;
    kcl_scope *s = m->scope;
    kcl_expr *q = kcl_vi(s, kcl_f64(m->q, m->count, D)), *p = kcl_vi(s, kcl_f64(m->p, m->count, D));
    kcl_expr *target = kcl_vi(s, kcl_f64(m->target, m->target_count, D)), *start = p, *H = hamiltonian(q, p);
    for (int n = 0; n < STEPS; n++) {
        kcl_expr *q_1, *p_1, *q_2, *p_2;
        derive(q, p, &q_1, &p_1);
        derive(kcl_add(q, kcl_scale(q_1, 2 * dt / 3)), kcl_add(p, kcl_scale(p_1, 2 * dt / 3)), &q_2, &p_2);
        q = m->path[2 * n] = kcl_add(q, kcl_scale(kcl_add(q_1, kcl_scale(q_2, 3)), dt / 4));
        p = m->path[2 * n + 1] = kcl_add(p, kcl_scale(kcl_add(p_1, kcl_scale(p_2, 3)), dt / 4));
    }
    const current c = current_of(q, kcl_vi(s, kcl_i64(m->next, m->count, 1)));
    const current t = current_of(target, kcl_vi(s, kcl_i64(m->target_next, m->target_count, 1)));
    kcl_expr *distance = kcl_add(kcl_sub(product(c, c), kcl_scale(product(c, t), 2)), product(t, t));
    m->E = kcl_add(kcl_scale(H, weight), distance);
    m->gradient = kcl_grad(m->E, start);
}

/* Arrays are read when an evaluation runs: the same expressions serve all momenta. */
static void evaluate(problem *m)
{
    require(kcl_eval(2, (kcl_expr *[]){m->E, m->gradient},
                     (const kcl_array *[]){kcl_f64(&m->energy, 1), kcl_f64(m->by_p, m->count, D)}),
            m->context);
}

/* Computes q and p at all times. */
static void evaluate_path(problem *m)
{
    kcl_array states[2 * STEPS];
    const kcl_array *outs[2 * STEPS];
    const size_t size = (size_t)m->count * D;
    memcpy(m->places, m->q, size * sizeof *m->q);
    memcpy(m->momenta, m->p, size * sizeof *m->p);
    for (int n = 0; n < 2 * STEPS; n++) {
        states[n] = *kcl_f64((n % 2 ? m->momenta : m->places) + (size_t)(n / 2 + 1) * size, m->count, D);
        outs[n] = &states[n];
    }
    require(kcl_eval(2 * STEPS, m->path, outs), m->context);
}

/* ---- As loops ---------------------------------------------------------------------------------------------------- */

/* Returns H. Computes q' and p' too, unless q_dot is NULL. */
static double loop_hamiltonian(int count, const double *q, const double *p, double *q_dot, double *p_dot)
{
    double H = 0;
    for (int i = 0; i < count; i++) {
        double v[D] = {0}, f[D] = {0};
        for (int j = 0; j < count; j++) {
            const double x = q[D * i] - q[D * j], y = q[D * i + 1] - q[D * j + 1];
            const double K = exp(-(x * x + y * y) / (kernel_size * kernel_size));
            const double dot = p[D * i] * p[D * j] + p[D * i + 1] * p[D * j + 1];
            H += K * dot / 2;
            v[0] += K * p[D * j];
            v[1] += K * p[D * j + 1];
            f[0] += 2 * K * dot * x / (kernel_size * kernel_size);
            f[1] += 2 * K * dot * y / (kernel_size * kernel_size);
        }
        for (int k = 0; q_dot && k < D; k++) {
            q_dot[D * i + k] = v[k];
            p_dot[D * i + k] = f[k];
        }
    }
    return H;
}

static double loop_product(int n, const double *q, int m, const double *r)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const double *a = q + D * i, *b = q + D * ((i + 1) % n), side[D] = {b[0] - a[0], b[1] - a[1]};
        for (int j = 0; j < m; j++) {
            const double *c = r + D * j, *d = r + D * ((j + 1) % m), other[D] = {d[0] - c[0], d[1] - c[1]};
            const double x = (a[0] + b[0] - c[0] - d[0]) / 2, y = (a[1] + b[1] - c[1] - d[1]) / 2;
            const double dot = side[0] * other[0] + side[1] * other[1];
            sum += exp(-(x * x + y * y) / (segment_size * segment_size)) * dot;
        }
    }
    return sum;
}

/* Returns E at the momenta `start`. */
static double loop_energy(const problem *m, const double *start)
{
    const int count = m->count, size = count * D;
    const double dt = 1.0 / STEPS;
    double *memory = allocate((size_t)size * 8, sizeof *memory), *at[8];
    for (int k = 0; k < 8; k++)
        at[k] = memory + (size_t)k * (size_t)size;
    double *q = at[0], *p = at[1], *q_1 = at[2], *p_1 = at[3], *q_2 = at[4], *p_2 = at[5];
    memcpy(q, m->q, (size_t)size * sizeof *q);
    memcpy(p, start, (size_t)size * sizeof *p);
    double E = weight * loop_hamiltonian(count, q, p, NULL, NULL);
    for (int n = 0; n < STEPS; n++) {
        loop_hamiltonian(count, q, p, q_1, p_1);
        for (int k = 0; k < size; k++) {
            at[6][k] = q[k] + 2 * dt / 3 * q_1[k];
            at[7][k] = p[k] + 2 * dt / 3 * p_1[k];
        }
        loop_hamiltonian(count, at[6], at[7], q_2, p_2);
        for (int k = 0; k < size; k++) {
            q[k] += dt / 4 * (q_1[k] + 3 * q_2[k]);
            p[k] += dt / 4 * (p_1[k] + 3 * p_2[k]);
        }
    }
    E += loop_product(count, q, count, q) - 2 * loop_product(count, q, m->target_count, m->target) +
         loop_product(m->target_count, m->target, m->target_count, m->target);
    free(memory);
    return E;
}

/* ---- Checks ------------------------------------------------------------------------------------------------------ */

/* Compares E with the loop, and the slope of E in a random direction with differences of the values of the loop. */
static void check_gradient(problem *m)
{
    const int size = m->count * D;
    const double step = 1e-5;
    double *direction = allocate((size_t)size, sizeof *direction), *moved = allocate((size_t)size, sizeof *moved);
    double slope = 0, terms = 0, E[2];
    uint64_t state = 1;
    evaluate(m);
    for (int k = 0; k < size; k++) {
        direction[k] = uniform(&state) - 0.5;
        slope += direction[k] * m->by_p[k];
        terms += fabs(direction[k] * m->by_p[k]);
    }
    for (int side = 0; side < 2; side++) {
        for (int k = 0; k < size; k++)
            moved[k] = m->p[k] + (side ? -step : step) * direction[k];
        E[side] = loop_energy(m, moved);
    }
    const double want = loop_energy(m, m->p), off = fabs(m->energy - want) / want;
    const double wrong = fabs((E[0] - E[1]) / (2 * step) - slope) / terms;
    free(direction);
    free(moved);
    printf("by a loop   E differs by %.1e of itself, the gradient by %.1e of its terms\n", off, wrong);
    if (!(off < 1e-10))
        fail("E is %.15g, by a loop %.15g", m->energy, want);
    if (!(wrong < 1e-6))
        fail("the gradient is wrong");
}

/*
 * Fails unless H and the angular momentum stay up to the error of the steps, which is of second order, and the sum of
 * the momenta stays up to rounding.
 */
static void check_motion(const problem *m)
{
    const size_t size = (size_t)m->count * D;
    double first[4] = {0}, energy_off = 0, turn_off = 0, sum_off = 0, most = 0;
    for (int n = 0; n <= STEPS; n++) {
        const double *q = m->places + (size_t)n * size, *p = m->momenta + (size_t)n * size;
        double now[4] = {loop_hamiltonian(m->count, q, p, NULL, NULL)}, lever = 0, force = 0;
        for (int i = 0; i < m->count; i++) {
            now[1] += q[D * i] * p[D * i + 1] - q[D * i + 1] * p[D * i];
            now[2] += p[D * i];
            now[3] += p[D * i + 1];
            lever += hypot(q[D * i], q[D * i + 1]) * hypot(p[D * i], p[D * i + 1]);
            force += hypot(p[D * i], p[D * i + 1]);
            most = fmax(most, hypot(q[D * i] - m->q[D * i], q[D * i + 1] - m->q[D * i + 1]));
        }
        if (n == 0)
            memcpy(first, now, sizeof first);
        energy_off = fmax(energy_off, fabs(now[0] - first[0]) / first[0]);
        turn_off = fmax(turn_off, fabs(now[1] - first[1]) / lever);
        sum_off = fmax(sum_off, hypot(now[2] - first[2], now[3] - first[3]) / force);
    }
    printf(
        "motion      moves points by up to %.2f; H stays within %.1e, angular momentum %.1e, the sum of momenta %.1e\n",
        most, energy_off, turn_off, sum_off);
    if (!(energy_off < 1e-2 && turn_off < 1e-3 && sum_off < 1e-12))
        fail("what the motion keeps is not kept");
}

/* ---- L-BFGS ------------------------------------------------------------------------------------------------------ */

static double dot(int size, const double *a, const double *b)
{
    double sum = 0;
    for (int k = 0; k < size; k++)
        sum += a[k] * b[k];
    return sum;
}

/* The last steps, and the change of the gradient in each step: step n is in row n % MEMORY. */
typedef struct history {
    int size, count;
    double *step, *change; /* (MEMORY, size) */
} history;

/* Computes d = -B gradient, where B is the inverse of the Hessian as far as the history tells B. */
static void find_direction(const history *h, const double *gradient, double *d)
{
    const size_t size = (size_t)h->size;
    const int first = h->count > MEMORY ? h->count - MEMORY : 0;
    double alpha[MEMORY];
    for (int k = 0; k < h->size; k++)
        d[k] = -gradient[k];
    for (int n = h->count - 1; n >= first; n--) {
        const double *s = h->step + (size_t)(n % MEMORY) * size, *y = h->change + (size_t)(n % MEMORY) * size;
        alpha[n % MEMORY] = dot(h->size, s, d) / dot(h->size, s, y);
        for (int k = 0; k < h->size; k++)
            d[k] -= alpha[n % MEMORY] * y[k];
    }
    if (h->count) {
        const size_t last = (size_t)((h->count - 1) % MEMORY);
        const double *s = h->step + last * size, *y = h->change + last * size;
        const double scale = dot(h->size, s, y) / dot(h->size, y, y);
        for (int k = 0; k < h->size; k++)
            d[k] *= scale;
    }
    for (int n = first; n < h->count; n++) {
        const double *s = h->step + (size_t)(n % MEMORY) * size, *y = h->change + (size_t)(n % MEMORY) * size;
        const double beta = dot(h->size, y, d) / dot(h->size, s, y);
        for (int k = 0; k < h->size; k++)
            d[k] += (alpha[n % MEMORY] - beta) * s[k];
    }
}

/* Moves p until the gradient is a fiftieth of the first gradient. Returns the number of evaluations. */
static int minimise(problem *m)
{
    const int size = m->count * D;
    double *memory = allocate((size_t)size * (3 + 2 * MEMORY), sizeof *memory);
    double *at = memory, *gradient = at + size, *d = gradient + size;
    history h = {.size = size, .step = d + size, .change = d + (size_t)size * (1 + MEMORY)};
    const double first = dot(size, m->by_p, m->by_p);
    int evaluations = 0;
    for (int n = 0; n < MOST_STEPS && dot(size, m->by_p, m->by_p) > first / 2500; n++) {
        const double E = m->energy;
        memcpy(at, m->p, (size_t)size * sizeof *at);
        memcpy(gradient, m->by_p, (size_t)size * sizeof *gradient);
        find_direction(&h, gradient, d);
        const double slope = dot(size, gradient, d);
        double length = n ? 1 : 0.1 / sqrt(first);
        for (bool lower = false; !lower; length /= 2) {
            for (int k = 0; k < size; k++)
                m->p[k] = at[k] + length * d[k];
            evaluate(m);
            evaluations++;
            lower = m->energy <= E + 1e-4 * length * slope; /* false for NaN */
            if (!lower && length < 1e-10)
                fail("E does not fall along its gradient");
        }
        for (int k = 0; k < size; k++) {
            d[k] = m->p[k] - at[k];
            gradient[k] = m->by_p[k] - gradient[k];
        }
        if (dot(size, d, gradient) > 0) { /* else the Hessian is not positive there */
            const size_t place = (size_t)(h.count++ % MEMORY) * (size_t)size;
            memcpy(h.step + place, d, (size_t)size * sizeof *d);
            memcpy(h.change + place, gradient, (size_t)size * sizeof *d);
        }
    }
    free(memory);
    return evaluations;
}

/* ---- Picture ----------------------------------------------------------------------------------------------------- */

static void draw_curve(canvas *c, int count, const double *q, double width, const unsigned char colour[3],
                       double opacity)
{
    for (int i = 0; i < count; i++)
        draw_line(c, q + D * i, q + D * ((i + 1) % count), width, colour, opacity);
}

/* Draws the curve at all times from blue to red, the ways of some points, and the target. */
static bool draw(const char *name, const problem *m)
{
    const size_t size = (size_t)m->count * D;
    canvas c = canvas_create(-1.4, -1.5, 1.8, 1.7, 720);
    draw_curve(&c, m->target_count, m->target, 9, (unsigned char[]){200, 200, 200}, 1);
    for (int i = 0; i < m->count; i += 1 + m->count / 50)
        for (int n = 0; n < STEPS; n++)
            draw_line(&c, m->places + (size_t)n * size + D * i, m->places + (size_t)(n + 1) * size + D * i, 1,
                      (unsigned char[]){90, 90, 90}, 0.6);
    for (int n = 0; n <= STEPS; n++) {
        const double t = (double)n / STEPS;
        const unsigned char colour[3] = {(unsigned char)(30 + 190 * t), 60, (unsigned char)(200 - 160 * t)};
        const bool is_end = n == 0 || n == STEPS;
        draw_curve(&c, m->count, m->places + (size_t)n * size, is_end ? 3 : 1.5, colour, is_end ? 1 : 0.35);
    }
    return canvas_write(&c, name, "the curve from time 0, blue, to time 1, red, on the target, grey");
}

int main(int argc, char **argv)
{
    if (argc > 3)
        fail("usage: shooting [POINTS [PICTURE]]");
    problem m;
    make(&m, argc > 1 ? whole_number(argv[1], 100000) : 200);
    m.context = create_context();
    m.scope = kcl_scope_create(m.context);
    print_device(m.context);
    double begin = seconds();
    build(&m);
    const double building = seconds() - begin;
    evaluate(&m);
    const double before = m.energy, first = seconds() - begin - building;
    const uint64_t programs = count_programs(m.context);

    begin = seconds();
    const int evaluations = minimise(&m);
    const double each = (seconds() - begin) / evaluations;
    printf("E           %.5f, after %d evaluations %.5f\n", before, evaluations, m.energy);
    printf("times       expressions %.3g s, first evaluation %.3g s, others %.3g s\n", building, first, each);
    print_programs(m.context, programs);
    check_gradient(&m);
    evaluate_path(&m);
    check_motion(&m);
    if (!(m.energy < 0.05 * before))
        fail("the curve is not where the target is");
    const int status = argc > 2 && !draw(argv[2], &m);
    kcl_scope_destroy(&m.scope);
    kcl_context_destroy(&m.context);
    free(m.q);
    free(m.p);
    free(m.by_p);
    free(m.target);
    free(m.places);
    free(m.momenta);
    free(m.next);
    free(m.target_next);
    return status;
}
