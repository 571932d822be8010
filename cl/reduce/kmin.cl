/* SPDX-License-Identifier: MIT */
/* cl/reduce/kmin.cl: KMin. src/reduce/sweep_reductions.def tells what the state is. */

/* On GPUs short lists are in registers, which have no index. */
#ifdef KCL_SHORT_LISTS
#define FOR_LIST(q, last) _Pragma("unroll") for (int q = (last); q > 0; q--)
#else
#define FOR_LIST(q, last) _Pragma("nounroll") for (int q = (last); q > 0; q--)
#endif
#define KCL_LONG_LIST 16 /* from which on it is asked whether an insertion has ended */

/* Lanes beyond the last element repeat it and do not count, where lanes become one state. */
#define KCL_CUT ((KCL_SHAPE == KCL_ROWS_BOTH || KCL_SHAPE == KCL_COLUMNS) && i + KCL_LANES > lane_count)

/* Inserts x into the sorted list `best` of `count` values. */
KCL_FN void kcl_insert_value(lanes *best, int count, lanes x)
{
    ilanes here = x < best[count - 1];
    FOR_LIST(q, count - 1)
    {
        const lanes before = best[q - 1];
        const ilanes more = x < before;
        best[q] = more ? before : here ? x : best[q];
        here = more;
        if (count > KCL_LONG_LIST && !KCL_ANY(here))
            return;
    }
    best[0] = here ? x : best[0];
}

KCL_FN void kcl_offer_value(lanes *best, int count, lanes x, bool cut, long first, long lane_count)
{
    if (!KCL_ANY(x < best[count - 1]))
        return;
    kcl_insert_value(best, count, cut ? kcl_mask_lanes(x, (lanes)(INFINITY), first, lane_count) : x);
}

#define KMIN_INIT(t, d, p)                                                                                             \
    FOR_NUMBERS(n, KCL_K##t *KCL_STATES *(d))                                                                          \
        number##t[n] = (lanes)(INFINITY);

/* A tile that is begun anew for another term has been offered already. */
#define KMIN_TILE_BEGIN(t, d, p) stepped##t = skips##t = false;
#define KMIN_STEP_NOW(t, n, value)                                                                                     \
    if (!skips##t)                                                                                                     \
        kcl_offer_value(&number##t[KCL_K##t * (n)], KCL_K##t, (lanes)(value), KCL_CUT, i, lane_count);

/* On CPUs the terms of a block are kept, and their smallest is compared; on GPUs the copies would cost registers. */
#ifdef KCL_GROUP
#define KMIN_BLOCK_BEGIN(t, d, p) stepped##t = true;
#define KMIN_BLOCK_END(t, d, p)
#define KMIN_STEP KMIN_STEP_NOW
#else
#define KMIN_BLOCK_BEGIN(t, d, p)                                                                                      \
    stepped##t = true;                                                                                                 \
    FOR_INDEX(n, 0, d)                                                                                                 \
        low##t[n] = (lanes)(INFINITY);
#define KMIN_BLOCK_END(t, d, p)                                                                                        \
    FOR_INDEX(n, 0, d)                                                                                                 \
        if (KCL_ANY(low##t[n] < number##t[KCL_K##t * n + KCL_K##t - 1]))                                               \
            for (int v = 0; v < KCL_STREAM; v++) {                                                                     \
                KMIN_STEP_NOW(t, n, offered##t[KCL_STEP_LENGTH * n + v])                                               \
            }
#define KMIN_STEP(t, n, value)                                                                                         \
    {                                                                                                                  \
        const lanes term = (lanes)(value);                                                                             \
        offered##t[KCL_STEP_LENGTH * (n) + v] = term;                                                                  \
        low##t[n] = term < low##t[n] ? term : low##t[n];                                                               \
    }
#endif

#define KMIN_LOOK_END(t, d, p) skips##t = stepped##t;

/* Value q of component n is result q d + n. */
#define KMIN_RESULT(t, d, p)                                                                                           \
    FOR_NUMBERS(n, KCL_K##t *(d))                                                                                      \
        result##t[n] = number##t[KCL_K##t * (n % (d)) + n / (d)];

#define KMIN_JOIN(t, a, b) kcl_join_value(a, KCL_K##t, (b)[0]);

KCL_FN void kcl_join_value(lanes *a, int count, lanes b)
{
    if (KCL_ANY(b < a[count - 1]))
        kcl_insert_value(a, count, b);
}
