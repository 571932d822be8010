/* SPDX-License-Identifier: MIT */
/*
 * cl/reduce/argmin.cl: ArgMin; follows min.cl and numbers.cl. src/reduce/sweep_reductions.def tells what the state is.
 */

/* Ties go to the smaller number, so lanes that repeat the last element change nothing: its own number is smaller. */
KCL_FN void kcl_join_argmin(lanes *a, const lanes *b)
{
    const lanes zero = (lanes)(KCL_R(0.0));
    const ilanes before = (b[1] < a[1]) | ((b[1] == a[1]) & (b[2] < a[2]));
    const ilanes wins = (b[1] >= zero) & ((a[1] < zero) | (b[0] < a[0]) | ((b[0] == a[0]) & before));
    for (int q = 0; q < 3; q++)
        a[q] = wins ? b[q] : a[q];
}

/* The column nearest to nothing so far: `place` is below 0 before the first that is not NaN. */
KCL_FN void kcl_take_less(lanes *best, ilanes *place, lanes value, ilanes column)
{
    const ilanes less = (value < *best) | ((value == *best) & (*place < 0));
    *best = less ? value : *best;
    *place = less ? column : *place;
}

/* Joins the numbers with the running state. */
KCL_FN void kcl_close_argmin(lanes *number, lanes best, ilanes place, long first, long step)
{
    lanes closed[3];
    closed[0] = best;
    kcl_number_places(closed, place, first, step, KCL_R(-1.0));
    kcl_join_argmin(number, closed);
}

/*
 * What a part's state asks for where its value is not above `limit`, which may be NaN: its place, from `first` on, or
 * -1, all columns, where it has none (high < 0); else -2, nothing.
 */
KCL_FN ilanes kcl_ask(lanes value, lanes limit, lanes high, lanes low, long first)
{
    long at[KCL_LANES];
    ireal place[KCL_LANES];
    kcl_exact_numbers(at, high, low);
    FOR_LANES
        place[l] = (ireal)(at[l] - first);
    return value > limit ? (ilanes)(-2) : high < (lanes)(KCL_R(0.0)) ? (ilanes)(-1) : KCL_VLOAD(place);
}

/* Whether a lane's place is still to be looked at: -2 marks places that are done. */
KCL_FN bool kcl_find(ilanes asked, long *query)
{
    ireal lane[KCL_LANES];
    KCL_VSTORE(asked, lane);
    for (int l = 0; l < KCL_LANES; l++) {
        if (lane[l] >= -1) {
            *query = lane[l];
            return true;
        }
    }
    return false;
}

#define ARGMIN_INIT(t, d, p)                                                                                           \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        number##t[3 * n] = (lanes)(INFINITY);                                                                          \
        number##t[3 * n + 1] = (lanes)(KCL_R(-1.0));                                                                   \
        number##t[3 * n + 2] = 0;                                                                                      \
    }

#define ARGMIN_ROWS_BEGIN(t, d, p)                                                                                     \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        best##t[n] = (lanes)(INFINITY);                                                                                \
        place##t[n] = -1;                                                                                              \
    }

#define ARGMIN_ROWS_END(t, d, p)                                                                                       \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        kcl_close_argmin(&number##t[3 * n], best##t[n], place##t[n], KCL_NUMBER_FIRST, KCL_NUMBER_STEP);

/* Two minima by turns: the next one need not wait for the last. */
#define ARGMIN_BLOCK_BEGIN(t, d, p)                                                                                    \
    FOR_INDEX(n, 0, 2 * (d))                                                                                           \
        low##t[n] = (lanes)(INFINITY);

#define ARGMIN_BLOCK_END(t, d, p)                                                                                      \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        const lanes first_low = low##t[2 * n], low = low##t[2 * n + 1] < first_low ? low##t[2 * n + 1] : first_low;    \
        const ilanes less = low < best##t[n];                                                                          \
        best##t[n] = less ? low : best##t[n];                                                                          \
        place##t[n] = less ? KCL_COLUMN(0) : place##t[n];                                                              \
    }

#define ARGMIN_STEP MIN_STEP
#define ARGMIN_STEP_NOW(t, n, value) kcl_take_less(&best##t[n], &place##t[n], (lanes)(value), KCL_COLUMN(v));
#define ARGMIN_RESCAN_STEP(t, n, value) kcl_take_less(&near##t[n], &found##t[n], (lanes)(value), KCL_COLUMN(v));

#define ARGMIN_FIND(t, d, p)                                                                                           \
    FOR_INDEX(n, 0, d)                                                                                                 \
        asked##t[n] = place##t[n];

#define ARGMIN_FIND_NEXT(t, d, p)                                                                                      \
    FOR_INDEX(n, 0, d)                                                                                                 \
        more = more || kcl_find(asked##t[n], &query);

#define ARGMIN_FIND_BEGIN(t, d, p)                                                                                     \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        near##t[n] = (lanes)(INFINITY);                                                                                \
        found##t[n] = -1;                                                                                              \
    }

#define ARGMIN_FIND_END(t, d, p)                                                                                       \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        const ilanes here = asked##t[n] == (ilanes)((ireal)query);                                                     \
        place##t[n] = here ? found##t[n] : place##t[n];                                                                \
        best##t[n] = here ? near##t[n] : best##t[n];                                                                   \
        asked##t[n] = here ? (ilanes)(-2) : asked##t[n];                                                               \
    }

/* Parts whose smallest value is at most `limit` are looked at. */
#define ARGMIN_FIND_LIMIT(t, d, p)                                                                                     \
    FOR_INDEX(n, 0, d)                                                                                                 \
        limit##t[n] = number##t[3 * n];                                                                                \
    ARGMIN_INIT(t, d, p)

#define ARGMIN_FIND_PART(t, d, p)                                                                                      \
    ARGMIN_ROWS_BEGIN(t, d, p)                                                                                         \
    FOR_INDEX(n, 0, d)                                                                                                 \
        asked##t[n] = kcl_ask(KCL_PART_(3, d, p, part, n, 0), limit##t[n], KCL_PART_(3, d, p, part, n, 1),             \
                              KCL_PART_(3, d, p, part, n, 2), first);
#define ARGMIN_FIND_CLOSE ARGMIN_ROWS_END

#define KCL_ARGMIN_RESULT(t, d, numbers)                                                                               \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        result##t[n] = number##t[(numbers) * n];                                                                       \
        order##t[n] = kcl_index(number##t[(numbers) * n + 1], number##t[(numbers) * n + 2], index##t[n]);              \
    }
#define ARGMIN_RESULT(t, d, p) KCL_ARGMIN_RESULT(t, d, ARGMIN_NUMBERS)

#define ARGMIN_JOIN(t, a, b) kcl_join_argmin(a, b);
