/* SPDX-License-Identifier: MIT */
/*
 * cl/copy.cl: rows of an array that other kernels cannot reach where it is, to rows without gaps or back.
 *
 *     #define KCL_ELEMENT uint    whole numbers of the elements' size: bits are moved, whatever they mean
 *
 * Element (row, k) is from[from_offset + row * from_row + k * from_step], all of them counted in elements.
 */
__kernel void copy(__global const KCL_ELEMENT *restrict from, long from_offset, long from_row, long from_step,
                   __global KCL_ELEMENT *restrict to, long to_offset, long to_row, long to_step, long rows, long dim)
{
    for (long e = get_global_id(0); e < rows * dim; e += get_global_size(0)) {
        const long row = e / dim, k = e - row * dim;
        to[to_offset + row * to_row + k * to_step] = from[from_offset + row * from_row + k * from_step];
    }
}
