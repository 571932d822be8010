/* SPDX-License-Identifier: MIT */
/* cl/reduce/numbers.cl: numbers of columns and pairs, as two exact ones: high 2^24 + low. */

/* number[1] and number[2] become high and low of `place`; `none` and 0 in lanes with a place below 0. */
KCL_FN void kcl_number_places(lanes *number, ilanes place, long first, long step, real none)
{
    ireal lane[KCL_LANES];
    real high[KCL_LANES], low[KCL_LANES];
    KCL_VSTORE(place, lane);
    FOR_LANES
    {
        const long at = first + l * step + lane[l];
        high[l] = lane[l] < 0 ? none : (real)(at >> 24);
        low[l] = lane[l] < 0 ? KCL_R(0.0) : (real)(at & 0xffffff);
    }
    number[1] = KCL_VLOAD(high);
    number[2] = KCL_VLOAD(low);
}

/* high 2^24 + low. */
KCL_FN void kcl_exact_numbers(long *at, lanes high, lanes low)
{
    real lane[KCL_LANES], other[KCL_LANES];
    KCL_VSTORE(high, lane);
    KCL_VSTORE(low, other);
    FOR_LANES
        at[l] = (long)lane[l] * 0x1000000 + (long)other[l];
}

/* The number high 2^24 + low, exactly in `index`; -1 where there is none. */
KCL_FN lanes kcl_index(lanes high, lanes low, long *index)
{
    real lane[KCL_LANES];
    kcl_exact_numbers(index, high, low);
    FOR_LANES
    {
        index[l] = max(index[l], -1L);
        lane[l] = (real)index[l];
    }
    return KCL_VLOAD(lane);
}
