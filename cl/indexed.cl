/* SPDX-License-Identifier: MIT */
/*
 * indexed.cl: rows chosen by an index, and its adjoint.
 *
 *     #define KCL_REAL float      or double
 *
 * Element (row, k) of F is F[offset + row * distance + k * step]; all else lies without gaps. `count` is the number of
 * indices of a row, each of which has `dim` components.
 */

/* Row `row`, index n: row (n / divisor) % modulus of F, 0 where there is none. */
__kernel void gather(__global const KCL_REAL *restrict F, long offset, long distance, long step,
                     __global const long *restrict index, __global KCL_REAL *restrict out, long rows, long count,
                     long dim, long terms, long divisor, long modulus)
{
    const long width = count * dim;
    for (long e = get_global_id(0); e < rows * width; e += get_global_size(0)) {
        const long row = e / width, k = e - row * width, q = k / dim, n = index[row * count + q];
        const long t = n < 0 ? n : n / divisor % modulus;
        out[e] = t >= 0 && t < terms ? F[offset + t * distance + (k - q * dim) * step] : 0;
    }
}

/* An index from values: rounded, half away from zero; -1 for NaN and what is below 0. */
__kernel void whole(__global const KCL_REAL *restrict F, long offset, long distance, long step,
                    __global long *restrict out, long rows, long dim)
{
    for (long e = get_global_id(0); e < rows * dim; e += get_global_size(0)) {
        const long row = e / dim;
        const KCL_REAL value = round(F[offset + row * distance + (e - row * dim) * step]);
        out[e] = value >= 0 && value < (KCL_REAL)0x1p62f ? (long)value : -1;
    }
}

/* The same of an array of integers. */
__kernel void take(__global const long *restrict from, long offset, long distance, long step, __global long *restrict out,
                   long rows, long dim)
{
    for (long e = get_global_id(0); e < rows * dim; e += get_global_size(0)) {
        const long row = e / dim;
        out[e] = from[offset + row * distance + (e - row * dim) * step];
    }
}

/*
 * Sums of pieces: piece n adds up, in this order, the parts order[start[n]], ..., order[start[n + 1] - 1] of F: part p
 * is what index p % count of row p / count has of its row.
 */
__kernel void scatter(__global const KCL_REAL *restrict F, long offset, long distance, long step,
                      __global const long *restrict order, __global const long *restrict start,
                      __global KCL_REAL *restrict out, long pieces, long count, long dim)
{
    for (long e = get_global_id(0); e < pieces * dim; e += get_global_size(0)) {
        const long piece = e / dim, c = e - piece * dim, end = start[piece + 1];
        KCL_REAL sum = 0, error = 0;
        for (long n = start[piece]; n < end; n++) {
            const long part = order[n], row = part / count;
            const KCL_REAL x = F[offset + row * distance + ((part - row * count) * dim + c) * step];
            const KCL_REAL t = sum + x, y = t - sum;
            error += (sum - (t - y)) + (x - y);
            sum = t;
        }
        /* The error of an infinite sum is NaN and says nothing. */
        const KCL_REAL value = sum + error;
        out[e] = value - value == 0 ? value : sum;
    }
}
