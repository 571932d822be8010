/* SPDX-License-Identifier: MIT */
/*
 * indexed.cl: rows chosen by an index, and its adjoint.
 *
 *     #define KCL_REAL float      or double
 *
 * Element (row, k) of F is F[offset + place of the row + k * step]; the index lies without gaps. `count` is the number
 * of indices of a place, each of which has `dim` components. Tables of axes have three numbers a line: a size, and two
 * distances of neighbours on that axis; a number has its places on them from the first axis, the fastest, on.
 */

/* Where `number` is, by the distances in the second and in the third column. */
static long2 kcl_places_of(long number, __global const long *restrict axes, long lines)
{
    long2 place = 0;
    for (long n = 0; n < lines; n++) {
        /* What is left is the place on the last axis. */
        const long rest = n + 1 < lines ? number / axes[3 * n] : 0;
        place += (number - rest * axes[3 * n]) * (long2)(axes[3 * n + 1], axes[3 * n + 2]);
        number = rest;
    }
    return place;
}

/*
 * At each place, index n: the row of F that is there, on the axes that n numbers, and at the place itself, on the
 * others; 0 where n is none of `terms`. A line of `axes`: size, distance in the index, distance in F; of `digits`:
 * divisor, size and distance in F of an axis that n numbers.
 */
__kernel void gather(__global const KCL_REAL *restrict F, long offset, long step, __global const long *restrict index,
                     __global KCL_REAL *restrict out, long places, long count, long dim, long terms,
                     __global const long *restrict axes, long axis_count, __global const long *restrict digits,
                     long digit_count)
{
    const long width = count * dim;
    for (long e = get_global_id(0); e < places * width; e += get_global_size(0)) {
        const long place = e / width, k = e - place * width, q = k / dim;
        const long2 here = kcl_places_of(place, axes, axis_count);
        const long n = index[here.s0 + q];
        long at = offset + here.s1 + (k - q * dim) * step;
        for (long d = 0; d < digit_count; d++)
            at += n / digits[3 * d] % digits[3 * d + 1] * digits[3 * d + 2];
        out[e] = n >= 0 && n < terms ? F[at] : 0;
    }
}

/*
 * An index from values: rounded, half away from zero; -1 for NaN and what is below 0. A line of `axes`: size, distance
 * in F, a number that is not read.
 */
__kernel void whole(__global const KCL_REAL *restrict F, long offset, long step, __global long *restrict out,
                    long places, long dim, __global const long *restrict axes, long axis_count)
{
    for (long e = get_global_id(0); e < places * dim; e += get_global_size(0)) {
        const long place = e / dim, from = kcl_places_of(place, axes, axis_count).s0;
        const KCL_REAL value = round(F[offset + from + (e - place * dim) * step]);
        out[e] = value >= 0 && value < (KCL_REAL)0x1p62f ? (long)value : -1;
    }
}

/* The same of an array of integers. */
__kernel void take(__global const long *restrict F, long offset, long step, __global long *restrict out, long places,
                   long dim, __global const long *restrict axes, long axis_count)
{
    for (long e = get_global_id(0); e < places * dim; e += get_global_size(0)) {
        const long place = e / dim, from = kcl_places_of(place, axes, axis_count).s0;
        out[e] = F[offset + from + (e - place * dim) * step];
    }
}

/*
 * Sums of pieces: piece n adds up, in this order, the parts order[start[n]], ..., order[start[n + 1] - 1], which tell
 * where their first components are in F. `planes` of F have these pieces in common. A line of `axes`, of the pieces
 * and, behind these, of the planes: size, distance in F, distance in the result.
 */
__kernel void scatter(__global const KCL_REAL *restrict F, long offset, long step, __global const long *restrict order,
                      __global const long *restrict start, __global KCL_REAL *restrict out, long pieces, long dim,
                      long planes, __global const long *restrict axes, long piece_axes, long plane_axes)
{
    __global const long *const of_planes = axes + 3 * piece_axes;
    for (long e = get_global_id(0); e < planes * pieces * dim; e += get_global_size(0)) {
        const long all = e / dim, c = e - all * dim, plane = all / pieces, piece = all - plane * pieces;
        const long2 here = kcl_places_of(plane, of_planes, plane_axes);
        const long from = offset + here.s0 + c * step, end = start[piece + 1];
        KCL_REAL sum = 0, error = 0;
        for (long n = start[piece]; n < end; n++) {
            const KCL_REAL x = F[from + order[n]];
            const KCL_REAL t = sum + x, y = t - sum;
            error += (sum - (t - y)) + (x - y);
            sum = t;
        }
        /* The error of an infinite sum is NaN and says nothing. */
        const KCL_REAL value = sum + error;
        out[kcl_places_of(piece, axes, piece_axes).s1 + here.s1 + c] = value - value == 0 ? value : sum;
    }
}
