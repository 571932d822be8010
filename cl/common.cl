/* SPDX-License-Identifier: MIT */
/*
 * cl/common.cl: loops, and moves between arrays in memory and lanes. Follows cl/math.cl, which defines real, lanes and
 * KCL_LANES. Compiles on its own behind it.
 *
 * Names that generated text and skeletons share: `i`, the first element of the vector of lanes; `lane_count`, how many
 * elements the lane axis has; `j`, the first streamed element of a step; `v`, the streamed element within the step;
 * `k`, the component.
 */

#ifndef KCL_STREAM
#define KCL_STREAM 16 /* streamed elements a step */
#endif

/*
 * PoCL writes the code of a kernel out three times and compiles each copy. So on CPUs, where KCL_ENTRIES is defined, a
 * kernel only calls a function with the same parameters, and PoCL copies the call. PoCL writes out every function that
 * asks for a number of the work-item, so the kernel asks and hands these numbers on: KCL_PLACES. The kernels themselves
 * stand at the end of the generated program (src/render/entries.c).
 */
#ifdef KCL_ENTRIES
#define KCL_KERNEL static __attribute__((noinline))
#define KCL_NAME(kernel) kernel##_body
#define KCL_PLACES , const long global_id0, const long global_id1, const long global_id2, const long global_size
#define KCL_GLOBAL_ID(axis) global_id##axis
#define KCL_GLOBAL_SIZE global_size /* of axis 0 */
#define KCL_FROM(first, number) (number) /* the kernel has added them: if the function adds, argkmin takes 8 % longer */
#else
#define KCL_KERNEL __kernel
#define KCL_NAME(kernel) kernel
#define KCL_PLACES
#define KCL_GLOBAL_ID(axis) get_global_id(axis)
#define KCL_GLOBAL_SIZE get_global_size(0)
#define KCL_FROM(first, number) ((first) + (number))
#endif

#define FOR_LANES _Pragma("unroll") for (int l = 0; l < KCL_LANES; l++)
#define FOR_STREAM _Pragma("unroll") for (int v = 0; v < KCL_STREAM; v++)
/*
 * Loops over components. KCL_UNROLLED: straight code, for vectors are in registers, which have no index. KCL_ROLLED:
 * vectors are too long for registers, and as many loads of private memory as this are under way together.
 */
#if defined KCL_UNROLLED
#define FOR_INDEX(k, from, to) _Pragma("unroll") for (int k = (from); k < (to); k++)
#elif defined KCL_ROLLED
#define FOR_INDEX(k, from, to) _Pragma("unroll 4") for (int k = (from); k < (to); k++)
#else
#define FOR_INDEX(k, from, to) for (int k = (from); k < (to); k++)
#endif

/*
 * The blocks of a work-group (FOR_BLOCKS) and of a work-item (FOR_ITEM_BLOCKS), `step` apart. With KCL_ONE_BLOCK a launch has
 * exactly one work-group for every block, and no fewer work-items than blocks. There is no loop then, which compilers would
 * go through again and again around all other loops.
 *
 * KCL_TURNS: a work-group does nothing if it is not the plan's `turn`. PoCL takes a loop to that end, since it computes
 * barriers in a branch wrongly.
 */
#if defined KCL_TURNS && (!defined KCL_ONE_BLOCK || defined POCL_DEVICE_ADDRESS_BITS)
#define FOR_BLOCKS(block, from, count, step)                                                                           \
    for (long block = (from), end_of_blocks = turn ? (count) : 0; block < end_of_blocks; block += (step))
#elif defined KCL_TURNS
#define FOR_BLOCKS(block, from, count, step)                                                                           \
    const long block = (from);                                                                                         \
    if (turn)
#elif defined KCL_ONE_BLOCK
#define FOR_BLOCKS(block, from, count, step) const long block = (from);
#else
#define FOR_BLOCKS(block, from, count, step) for (long block = (from); block < (count); block += (step))
#endif
#ifdef KCL_ONE_BLOCK
#define FOR_ITEM_BLOCKS(block, from, count, step)                                                                      \
    const long block = (from);                                                                                         \
    if (block < (count))
#else
#define FOR_ITEM_BLOCKS(block, from, count, step) for (long block = (from); block < (count); block += (step))
#endif

/* One lane an element, from `first` on; lanes beyond the last element repeat it. */
KCL_FN lanes kcl_gather(__global const real *restrict from, long first, long count, long stride, long component)
{
    real lane[KCL_LANES];
    FOR_LANES
        lane[l] = from[min(first + l, count - 1) * stride + component];
    return KCL_VLOAD(lane);
}

KCL_FN void kcl_scatter(__global real *restrict to, long first, long count, long stride, long offset, lanes value)
{
    real lane[KCL_LANES];
    KCL_VSTORE(value, lane);
    FOR_LANES
        if (first + l < count)
            to[(first + l) * stride + offset] = lane[l];
}

/* All components of a variable of the lane axis. */
#define KCL_LOAD(to, from, stride, dim)                                                                                \
    FOR_INDEX(k, 0, dim)                                                                                               \
        (to)[k] = kcl_gather(from, i, lane_count, stride, k);

#define KCL_STORE(to, k, value) kcl_scatter(to, i, lane_count, to##_s, (long)(k)*to##_k, (lanes)(value));

/* The same for whole numbers, which a sweep keeps lane by lane. */
KCL_FN void kcl_scatter_index(__global long *restrict to, long first, long count, long stride, long offset,
                              const long *index)
{
    FOR_LANES
        if (first + l < count)
            to[(first + l) * stride + offset] = index[l];
}

#define KCL_STORE_INDEX(to, k, index) kcl_scatter_index(to, i, lane_count, to##_s, (long)(k)*to##_k, index);

/* 0, 1, 2, ... */
KCL_FN ilanes kcl_lane_numbers(void)
{
    ireal lane[KCL_LANES];
    FOR_LANES
        lane[l] = l;
    return KCL_VLOAD(lane);
}

/*
 * first + l * step in lane l, of whole numbers: exact up to the one rounding of the last sum, so that its sign is right
 * whatever the size of the numbers. Lane `last`, which may lie before the first, is that of the last element.
 */
KCL_FN lanes kcl_numbers(long first, int step, long last)
{
    const long high = first >> 16;
    const int low = (int)(first - (high << 16)), end = (int)min(last, (long)KCL_LANES);
    real lane[KCL_LANES];
    FOR_LANES
        lane[l] = low + min(l, end) * step;
    return (lanes)((real)high * KCL_R(65536.0)) + KCL_VLOAD(lane);
}

/* `value`, but `beyond` in lanes beyond the last element, which hold repetitions. */
KCL_FN lanes kcl_mask_lanes(lanes value, lanes beyond, long first, long count)
{
    real lane[KCL_LANES], other[KCL_LANES];
    KCL_VSTORE(value, lane);
    KCL_VSTORE(beyond, other);
    FOR_LANES
        lane[l] = first + l < count ? lane[l] : other[l];
    return KCL_VLOAD(lane);
}

/* Lane l + by in lane l; the last lanes are 0. */
KCL_FN lanes kcl_shift_lanes(lanes value, int by)
{
    real lane[2 * KCL_LANES];
    KCL_VSTORE(value, lane);
    KCL_VSTORE((lanes)(KCL_R(0.0)), lane + KCL_LANES);
    return KCL_VLOAD(lane + by);
}

KCL_FN real kcl_first_lane(lanes value)
{
    real lane[KCL_LANES];
    KCL_VSTORE(value, lane);
    return lane[0];
}
