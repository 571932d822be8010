/* SPDX-License-Identifier: MIT */
/*
 * squares.cl: how far rows are from a centre: the largest sum over k of (factor_k x_k - centre_k)^2, of the rows of each
 * work-item. NaN counts as infinite.
 *
 *     #define KCL_REAL float      or double
 *
 * Element (row, k) is x[offset + row * distance + k * step].
 */
__kernel void squares(__global const KCL_REAL *restrict x, long offset, long distance, long step, long rows, long dim,
                      __global const KCL_REAL *restrict factor, __global const KCL_REAL *restrict centre,
                      __global KCL_REAL *restrict largest)
{
    KCL_REAL most = 0;
    for (long row = get_global_id(0); row < rows; row += get_global_size(0)) {
        KCL_REAL sum = 0;
        for (long k = 0; k < dim; k++) {
            const KCL_REAL t = factor[k] * x[offset + row * distance + k * step] - centre[k];
            sum = fma(t, t, sum);
        }
        most = sum <= most ? most : sum == sum ? sum : (KCL_REAL)INFINITY;
    }
    largest[get_global_id(0)] = most;
}
