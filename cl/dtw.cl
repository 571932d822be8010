/* SPDX-License-Identifier: MIT */
/*
 * cl/dtw.cl: soft dynamic time warping of two sequences of numbers (Cuturi and Blondel, Soft-DTW, 2017), and its gradient.
 * Follows cl/common.cl; is part of programs that use it.
 *
 * Element k of a sequence is x[k * step]. R(i,j) = (x_i - y_j)^2 + the soft minimum of R(i-1,j-1), R(i-1,j) and R(i,j-1),
 * of those that are there: -gamma log(sum of exp(-R/gamma)), computed relative to the smallest. The loops are functions of
 * their own, for a text of theirs in every element of a step would be long.
 */
#define KCL_DTW static __attribute__((noinline))

/* The smallest of three, and the weights exp((smallest - R) / gamma), whose sum is returned. */
KCL_FN lanes kcl_soft_weights_(lanes a, lanes b, lanes c, lanes inverse, lanes *least, lanes *weight)
{
    *least = fmin(fmin(a, b), c);
    weight[0] = kcl_exp((*least - a) * inverse);
    weight[1] = kcl_exp((*least - b) * inverse);
    weight[2] = kcl_exp((*least - c) * inverse);
    return weight[0] + weight[1] + weight[2];
}

/* Fills a row of R, whose number is 0 where `above` is; `row` may be `above`. */
KCL_FN void kcl_dtw_row_(lanes x, const lanes *y, int m, int step, lanes gamma, lanes inverse, bool first,
                         const lanes *above, lanes *row)
{
    lanes before = above[0], left = row[0];
    for (int j = 0; j < m; j++) {
        const lanes d = x - y[j * step], up = above[j];
        lanes least, weight[3];
        if (first) {
            left = j ? fma(d, d, left) : d * d;
        } else if (j == 0) {
            left = fma(d, d, up);
        } else {
            const lanes sum = kcl_soft_weights_(before, up, left, inverse, &least, weight);
            left = fma(d, d, least - gamma * kcl_log(sum));
        }
        row[j] = left;
        before = up;
    }
}

/* out[0] = R(n-1,m-1); memory for m numbers. */
KCL_DTW void kcl_soft_dtw(const lanes *x, int n, const lanes *y, int m, int step, lanes gamma, lanes *memory, lanes *out)
{
    const lanes inverse = kcl_inv(gamma);
    for (int i = 0; i < n; i++)
        kcl_dtw_row_(x[i * step], y, m, step, gamma, inverse, i == 0, memory, memory);
    out[0] = memory[m - 1];
}

/*
 * Its derivatives by x, y and gamma, one after another. E(i,j), the derivative by the cost of (i,j), is what (i,j) has of
 * those of its three successors: the weight with which it entered their minimum. Memory for (n + 1) m numbers, the last m
 * of which hold the E of a row and, as it is computed from its end, of what remains of the row behind it.
 */
KCL_DTW void kcl_soft_dtw_gradient(const lanes *x, int n, const lanes *y, int m, int step, lanes gamma, lanes *memory,
                                   lanes *out)
{
    const lanes inverse = kcl_inv(gamma), none = (lanes)(KCL_R(0.0));
    lanes *const share = memory + n * m;
    for (int i = 0; i < n; i++)
        kcl_dtw_row_(x[i * step], y, m, step, gamma, inverse, i == 0, memory + (i ? i - 1 : 0) * m, memory + i * m);
    for (int k = 0; k < n + m + 1; k++)
        out[k] = none;
    for (int j = 0; j < m; j++)
        share[j] = none;
    share[m - 1] = (lanes)(KCL_R(1.0));
    /* E goes from each place to its predecessors: share[j] is that of (i,j), then what (i-1,j) has got so far. */
    for (int i = n - 1; i >= 0; i--) {
        for (int j = m - 1; j >= 0; j--) {
            const lanes e = share[j], d = KCL_R(2.0) * (x[i * step] - y[j * step]) * e;
            const lanes *const above = memory + (i - 1) * m + j;
            out[i] = out[i] + d;
            out[n + j] = out[n + j] - d;
            share[j] = none;
            if (i == 0 && j > 0) {
                share[j - 1] = share[j - 1] + e;
            } else if (i > 0 && j == 0) {
                share[0] = e;
            } else if (i > 0) {
                lanes least, weight[3];
                const lanes a = above[-1], b = above[0], c = memory[i * m + j - 1];
                const lanes sum = kcl_soft_weights_(a, b, c, inverse, &least, weight), part = e * kcl_inv(sum);
                const lanes mean = fma(weight[0], a - least, fma(weight[1], b - least, weight[2] * (c - least)));
                /* (i,j-1) is of this row and comes next; the others wait in the place of (i,j) and of its left. */
                out[n + m] = out[n + m] - part * fma(mean, inverse, sum * kcl_log(sum));
                share[j] = part * weight[1];
                share[j - 1] = fma(part, weight[2], share[j - 1]);
                /* of (i-1,j-1): added when (i,j-1) has been read */
                memory[i * m + j] = part * weight[0];
            }
        }
        /* What the diagonal gives to (i-1,j-1) was kept in the place of R(i,j), which nothing reads any more. */
        for (int j = 1; i > 0 && j < m; j++)
            share[j - 1] = share[j - 1] + memory[i * m + j];
    }
}
