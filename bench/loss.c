/* SPDX-License-Identifier: MIT */
/*
 * bench/loss.c: a loss through two reductions, alone and with its gradients in all variables.
 *
 *     u_i = x_i + sum_j exp(-|x_i - y_j|^2 / sigma^2) b_j,  v_k = logsumexp_i(-|z_k - u_i|^2),  L = sum_k (v_k - t_k)^2
 *
 * Both sides alternate: kcl_eval of L, and of L and the gradients in x, y, b and sigma. Prints the medians and their
 * ratio, and exits with 1 when that is above 4, with 2 when something fails.
 *
 *     cc -O2 -o loss bench/loss.c $(pkg-config --cflags --libs keopscl) && ./loss [POINTS [REPEATS]]
 */
#define _POSIX_C_SOURCE 200809L
#include "timing.h"

#include <keopscl/keopscl.h>

#include <stdio.h>
#include <stdlib.h>

enum { DIM = 3, RESULTS = 5, LIMIT = 4 };

static float *points(int count, int dim, float scale)
{
    float *const x = malloc((size_t)count * (size_t)dim * sizeof *x);
    for (int k = 0; x != NULL && k < count * dim; k++) {
        x[k] = scale * ((float)rand() / (float)RAND_MAX - 0.5f);
    }
    return x;
}

int main(int argc, char **argv)
{
    const int count = argc > 1 ? atoi(argv[1]) : 5000, repeats = argc > 2 ? atoi(argv[2]) : 9;
    if (count < 1 || repeats < 1) {
        fprintf(stderr, "loss: POINTS and REPEATS must be positive numbers\n");
        return 2;
    }
    kcl_context *context;
    const kcl_context_params params = {.device = getenv("KEOPSCL_DEVICE") ? NULL : "cpu"};
    kcl_status status = kcl_context_create(&context, &params);
    float *const x = points(count, DIM, 2), *const y = points(count, DIM, 2),
                 *const b = points(count, DIM, 2 / (float)count);
    float *const z = points(count, DIM, 2), *const t = points(count, 1, 1), sigma = 0.5f, value;
    float *const by_x = points(count, DIM, 0), *const by_y = points(count, DIM, 0), *const by_b = points(count, DIM, 0);
    float by_sigma;
    double *const times[2] = {malloc((size_t)repeats * sizeof(double)), malloc((size_t)repeats * sizeof(double))};
    if (!x || !y || !b || !z || !t || !by_x || !by_y || !by_b || !times[0] || !times[1]) {
        fprintf(stderr, "loss: out of memory\n");
        return 2;
    }

    kcl_scope *s = kcl_scope_create(context);
    kcl_expr *x_i = kcl_vi(s, kcl_f32(x, count, DIM)), *y_j = kcl_vj(s, kcl_f32(y, count, DIM));
    kcl_expr *b_j = kcl_vj(s, kcl_f32(b, count, DIM)), *z_i = kcl_vi(s, kcl_f32(z, count, DIM));
    kcl_expr *t_i = kcl_vi(s, kcl_f32(t, count, 1)), *w = kcl_pm(s, kcl_f32(&sigma, 1));
    kcl_expr *K = kcl_exp(kcl_neg(kcl_div(kcl_sqdist(x_i, y_j), kcl_square(w))));
    kcl_expr *u = kcl_add(x_i, kcl_reduce_sum(kcl_mul(K, b_j), KCL_OVER_J));
    kcl_expr *v = kcl_reduce_logsumexp(kcl_neg(kcl_sqdist(z_i, kcl_transpose(u))), KCL_OVER_J);
    kcl_expr *L = kcl_reduce_sum(kcl_square(kcl_sub(v, t_i)), KCL_OVER_I);
    kcl_expr *exprs[RESULTS] = {L, kcl_grad(L, x_i), kcl_grad(L, y_j), kcl_grad(L, b_j), kcl_grad(L, w)};
    const kcl_array *outs[RESULTS] = {kcl_f32(&value, 1), kcl_f32(by_x, count, DIM), kcl_f32(by_y, count, DIM),
                                      kcl_f32(by_b, count, DIM), kcl_f32(&by_sigma, 1)};
    for (int r = -1; r < repeats && status == KCL_OK; r++) { /* negative: warm-up */
        for (int side = 0; side < 2 && status == KCL_OK; side++) {
            const double start = seconds_now();
            status = kcl_eval(side == 0 ? 1 : RESULTS, exprs, outs);
            if (r >= 0) {
                times[side][r] = seconds_now() - start;
            }
        }
    }
    int code = 2;
    if (status < 0) {
        fprintf(stderr, "loss: %s\n", kcl_context_error(context));
    } else {
        const double alone = median(times[0], repeats), all = median(times[1], repeats);
        printf("%d points, %d calls, medians in milliseconds: loss %.2f, with gradients %.2f, ratio %.2f (limit %d)\n",
               count, repeats, 1e3 * alone, 1e3 * all, all / alone, (int)LIMIT);
        code = all > LIMIT * alone;
    }
    kcl_scope_destroy(&s);
    kcl_context_destroy(&context);
    float *const all[] = {x, y, b, z, t, by_x, by_y, by_b};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        free(all[k]);
    }
    free(times[0]);
    free(times[1]);
    return code;
}
