/* SPDX-License-Identifier: MIT */
/*
 * squares.cl: a centre of two arrays of rows, and how far the rows are from it.
 *
 *     #define KCL_REAL float      or double
 *     #define KCL_WIDE double     in which the centre is computed before it is rounded; float where there is no double
 *
 * Element (row, k) of array x is x[x_offset + row * x_distance + k * x_step], times x_factor[k * x_factor_step], or times 1
 * where x_factor_step is below 0. Both kernels have the same parameters. A work-group has at most KCL_MOST_ITEMS work-items,
 * and `share` of them divide what one component (centre) or one row (squares) needs.
 */
#define KCL_MOST_ITEMS 64
#define KCL_SAMPLE 64 /* rows of an array that the centre is taken from: SAMPLE of src/run/distance_form.c */
#define KCL_SIDE(x)                                                                                                    \
    __global const KCL_REAL *restrict x, long x##_offset, long x##_distance, long x##_step, long x##_rows,             \
        __global const KCL_REAL *restrict x##_factor, long x##_factor_step

/* Widens the interval from low to high by the numbers of the sample's rows that a work-item looks at. */
#define KCL_WIDEN(x)                                                                                                   \
    {                                                                                                                  \
        const long step = x##_rows / KCL_SAMPLE + 1;                                                                   \
        const KCL_WIDE factor = x##_factor_step < 0 ? 1 : x##_factor[k * x##_factor_step];                             \
        _Pragma("unroll 8") for (long row = slice * step; row < x##_rows; row += share * step)                         \
        {                                                                                                              \
            const KCL_WIDE t = x[x##_offset + row * x##_distance + k * x##_step] * factor;                             \
            low = t < low ? t : low;                                                                                   \
            high = t > high ? t : high;                                                                                \
        }                                                                                                              \
    }

/* The middle of the box around both samples. Sets the two numbers of `largest` to 0. */
__kernel void centre(KCL_SIDE(x), KCL_SIDE(y), long dim, int share, __global KCL_REAL *restrict middle,
                     __global KCL_REAL *restrict largest)
{
    __local KCL_WIDE lows[KCL_MOST_ITEMS], highs[KCL_MOST_ITEMS];
    const int item = get_local_id(0), width = (int)get_local_size(0) / share, slice = item / width;
    const long component = (long)get_group_id(0) * width + item % width, k = min(component, dim - 1);
    KCL_WIDE low = INFINITY, high = -INFINITY;
    KCL_WIDEN(x)
    KCL_WIDEN(y)
    lows[item] = low;
    highs[item] = high;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (slice == 0 && component < dim) {
        for (int other = item + width; other < share * width; other += width) {
            low = lows[other] < low ? lows[other] : low;
            high = highs[other] > high ? highs[other] : high;
        }
        middle[component] = (KCL_REAL)(low + (high - low) / 2);
    }
    if (get_global_id(0) < 2)
        largest[get_global_id(0)] = 0;
}

/*
 * The largest |factor * x - middle|^2 over the rows of array x, and of array y, become largest[0] and largest[1], which
 * were 0. NaN counts as infinite. Numbers that are not negative have the order of their bits. Of a double the upper half
 * is rounded up and the lower half stays 0.
 */
#define KCL_SQUARES(x)                                                                                                 \
    for (long first = get_group_id(0) * teams; first < x##_rows; first += get_num_groups(0) * teams) {                 \
        const long row = first + item / share;                                                                         \
        KCL_REAL sum = 0;                                                                                              \
        if (row < x##_rows) {                                                                                          \
            _Pragma("unroll 4") for (long k = item % share; k < dim; k += share)                                       \
            {                                                                                                          \
                const KCL_REAL factor = x##_factor_step < 0 ? 1 : x##_factor[k * x##_factor_step];                     \
                const KCL_REAL t = factor * x[x##_offset + row * x##_distance + k * x##_step] - middle[k];             \
                sum = fma(t, t, sum);                                                                                  \
            }                                                                                                          \
        }                                                                                                              \
        sums[item] = sum;                                                                                              \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                                  \
        if (item % share == 0) {                                                                                       \
            for (int other = 1; other < share; other++)                                                                \
                sum += sums[item + other];                                                                             \
            most = sum <= most ? most : sum == sum ? sum : (KCL_REAL)INFINITY;                                         \
        }                                                                                                              \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                                  \
    }

__kernel void squares(KCL_SIDE(x), KCL_SIDE(y), long dim, int share, __global const KCL_REAL *restrict middle,
                      volatile __global uint *largest)
{
    __local KCL_REAL sums[KCL_MOST_ITEMS];
    const int item = get_local_id(0), items = get_local_size(0), side = get_group_id(1);
    const long teams = items / share;
    KCL_REAL most = 0;
    if (side == 0) {
        KCL_SQUARES(x)
    } else {
        KCL_SQUARES(y)
    }
    sums[item] = most;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (item == 0) {
        for (int other = 1; other < items; other++)
            most = max(most, sums[other]);
#ifdef KCL_REAL_F64
        const uint2 halves = as_uint2(most);
        atomic_max(largest + 2 * side + 1, halves.y + (halves.x != 0));
#else
        atomic_max(largest + side, as_uint(most));
#endif
    }
}
