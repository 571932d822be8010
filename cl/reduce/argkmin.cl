/* SPDX-License-Identifier: MIT */
/*
 * cl/reduce/argkmin.cl: ArgKMin; follows numbers.cl and kmin.cl. src/reduce/sweep_reductions.def tells what the state
 * is.
 */

/*
 * Inserts x, of column `column`, into the sorted lists. What is not filled yet is NaN: nothing is at least NaN, so that
 * infinity goes before it as any value does. Behind equal values, which are of smaller columns. `limit` is the last of
 * the list, or `bound`, below which a value must be as well; `full`: no list has room left.
 */
KCL_FN void kcl_offer(lanes *best, ilanes *place, int count, bool *full, lanes *limit, lanes bound, lanes x,
                      ilanes column, bool cut, long first, long lane_count)
{
#ifndef KCL_GROUP
    /* Full lists hold no NaN: a value that is not below the last one changes nothing, without a test. */
    if (*full && !cut) {
        if (!KCL_ANY(x < *limit))
            return;
        lanes here = best[count - 1];
        ilanes place_here = place[count - 1], below = x < here;
        FOR_LIST(q, count - 1)
        {
            const lanes before = best[q - 1];
            const ilanes place_before = place[q - 1], more = x < before;
            best[q] = more ? before : below ? x : here;
            place[q] = more ? place_before : below ? column : place_here;
            here = before;
            place_here = place_before;
            below = more;
            if (count > KCL_LONG_LIST && !KCL_ANY(below))
                break;
        }
        best[0] = below ? x : best[0];
        place[0] = below ? column : place[0];
        *limit = best[count - 1] < bound ? best[count - 1] : bound == bound ? bound : best[count - 1];
        return;
    }
#endif
    if (!KCL_ANY(((x >= *limit) == 0) & (x == x)))
        return;
    x = cut ? kcl_mask_lanes(x, (lanes)(NAN), first, lane_count) : x;
    const ilanes counts = x == x;
    ilanes here = ((x >= *limit) == 0) & counts;
    FOR_LIST(q, count - 1)
    {
        const lanes before = best[q - 1];
        const ilanes place_before = place[q - 1], more = ((x >= before) == 0) & counts & here;
        best[q] = more ? before : here ? x : best[q];
        place[q] = more ? place_before : here ? column : place[q];
        here = more;
        if (count > KCL_LONG_LIST && !KCL_ANY(here))
            break;
    }
    best[0] = here ? x : best[0];
    place[0] = here ? column : place[0];
    const lanes last = best[count - 1];
    *limit = ((last < bound) | (bound != bound)) ? last : bound;
    *full = !cut && !KCL_ANY(place[count - 1] < 0);
}

/* a: a sorted list of value, high, low. b: one of these. */
KCL_FN ilanes kcl_precedes(const lanes *b, const lanes *a)
{
    return (b[0] < a[0]) | ((b[0] == a[0]) & ((b[1] < a[1]) | ((b[1] == a[1]) & (b[2] < a[2]))));
}

KCL_FN void kcl_join_argkmin(lanes *a, int count, const lanes *b)
{
    ilanes here = kcl_precedes(b, a + 3 * (count - 1));
    if (!KCL_ANY(here))
        return;
    FOR_LIST(q, count - 1)
    {
        const ilanes more = kcl_precedes(b, a + 3 * (q - 1));
        for (int r = 0; r < 3; r++)
            a[3 * q + r] = more ? a[3 * (q - 1) + r] : here ? b[r] : a[3 * q + r];
        here = more;
        if (count > KCL_LONG_LIST && !KCL_ANY(here))
            return;
    }
    for (int r = 0; r < 3; r++)
        a[r] = here ? b[r] : a[r];
}

/* What a place of the running list is among the numbers. */
KCL_FN void kcl_close_argkmin(lanes *number, lanes best, ilanes place, long first, long step)
{
    number[0] = place < 0 ? (lanes)(INFINITY) : best;
    kcl_number_places(number, place, first, step, INFINITY);
}

#define ARGKMIN_INIT(t, d, p)                                                                                          \
    FOR_NUMBERS(n, KCL_K##t *KCL_STATES *(d))                                                                          \
    {                                                                                                                  \
        number##t[3 * n] = number##t[3 * n + 1] = (lanes)(INFINITY);                                                   \
        number##t[3 * n + 2] = 0;                                                                                      \
    }

#define ARGKMIN_ROWS_BEGIN(t, d, p)                                                                                    \
    FOR_NUMBERS(n, KCL_K##t *KCL_STATES *(d))                                                                          \
    {                                                                                                                  \
        best##t[n] = (lanes)(NAN);                                                                                     \
        place##t[n] = -1;                                                                                              \
    }                                                                                                                  \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        const lanes last = number##t[3 * (KCL_K##t * n + KCL_K##t - 1)];                                               \
        full##t[n] = false;                                                                                            \
        limit##t[n] = bound##t[n] = number##t[3 * (KCL_K##t * n + KCL_K##t - 1) + 1] < (lanes)(INFINITY)               \
                                        ? last                                                                         \
                                        : (lanes)(NAN);                                                                \
    }

#define ARGKMIN_ROWS_END(t, d, p)                                                                                      \
    FOR_NUMBERS(n, KCL_K##t *KCL_STATES *(d))                                                                          \
    {                                                                                                                  \
        lanes closed[3];                                                                                               \
        kcl_close_argkmin(closed, best##t[n], place##t[n], KCL_NUMBER_FIRST, KCL_NUMBER_STEP);                         \
        if (KCL_SHAPE == KCL_ROWS_BOTH || KCL_GOES_ON) {                                                               \
            kcl_join_argkmin(&number##t[3 * KCL_K##t * (n / KCL_K##t)], KCL_K##t, closed);                             \
        } else {                                                                                                       \
            number##t[3 * n] = closed[0];                                                                              \
            number##t[3 * n + 1] = closed[1];                                                                          \
            number##t[3 * n + 2] = closed[2];                                                                          \
        }                                                                                                              \
    }

#define ARGKMIN_TILE_BEGIN KMIN_TILE_BEGIN
#define ARGKMIN_STEP_NOW(t, n, value)                                                                                  \
    if (!skips##t)                                                                                                     \
        kcl_offer(&best##t[KCL_K##t * (n)], &place##t[KCL_K##t * (n)], KCL_K##t, &full##t[n], &limit##t[n], bound##t[n], \
                  (lanes)(value), KCL_COLUMN(v), KCL_CUT, i, lane_count);

#define ARGKMIN_BLOCK_BEGIN KMIN_BLOCK_BEGIN
#ifdef KCL_GROUP
#define ARGKMIN_BLOCK_END(t, d, p)
#define ARGKMIN_STEP ARGKMIN_STEP_NOW
#else
#define ARGKMIN_BLOCK_END(t, d, p)                                                                                     \
    FOR_INDEX(n, 0, d)                                                                                                 \
        if (KCL_ANY((low##t[n] >= limit##t[n]) == 0))                                                                  \
            for (int v = 0; v < KCL_STREAM; v++) {                                                                     \
                ARGKMIN_STEP_NOW(t, n, offered##t[KCL_STEP_LENGTH * n + v])                                            \
            }
#define ARGKMIN_STEP KMIN_STEP
#endif

#define ARGKMIN_LOOK_END KMIN_LOOK_END

#define ARGKMIN_RESULT(t, d, p)                                                                                        \
    FOR_NUMBERS(n, KCL_K##t *(d))                                                                                      \
    {                                                                                                                  \
        const int at = 3 * (KCL_K##t * (n % (d)) + n / (d));                                                           \
        const lanes high = number##t[at + 1];                                                                          \
        result##t[n] = number##t[at];                                                                                  \
        order##t[n] = kcl_index(high < (lanes)(INFINITY) ? high : (lanes)(KCL_R(-1.0)), number##t[at + 2], index##t[n]); \
    }

#define ARGKMIN_JOIN(t, a, b) kcl_join_argkmin(a, KCL_K##t, b);
